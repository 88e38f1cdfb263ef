"""The daemon of tests/e2e, and eyes for what belongs to it: processes, mounts, control groups, namespaces."""
import importlib.util
import os
import pathlib
import sys

_folder = pathlib.Path(__file__).parents[1] / "e2e"
sys.path.append(str(_folder))  # for what its conftest imports
_spec = importlib.util.spec_from_file_location("e2e", _folder / "conftest.py")
e2e = importlib.util.module_from_spec(_spec)
sys.modules["e2e"] = e2e
_spec.loader.exec_module(e2e)


class Process:
    def __init__(self, pid, parent, name, line):
        self.pid, self.parent, self.name, self.line = pid, parent, name, line


def processes():
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name, fields = (entry / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found[int(entry.name)] = Process(int(entry.name), int(fields.split()[1]), name, line)
    return found


def parts(daemon):
    """What runs for this daemon's folder, by role: daemon, keeper, runner, shim, init, script."""
    everything = processes()
    roles = {r: [] for r in ("daemon", "keeper", "runner", "shim", "init", "script")}
    names = {"oscar-shim": "shim", "oscar-keeper": "keeper"}
    mark = f"runner --data {daemon.data} "
    def is_init(p):
        parent = p and everything.get(p.parent)
        # By an OCI runtime it is started anew, so its command line is another.
        return p and p.name == "oscar-init" and (mark in p.line or (parent and mark in parent.line))

    for p in everything.values():
        if is_init(p):
            roles["init"].append(p.pid)
        elif mark in p.line:
            roles[names.get(p.name, "runner")].append(p.pid)
        elif is_init(everything.get(p.parent)):
            roles["script"].append(p.pid)
        elif f"serve --data {daemon.data} " in p.line:
            roles["daemon"].append(p.pid)
    return roles


def group_name(daemon):
    st = os.stat(daemon.data)
    return f"oscar-{st.st_dev:x}-{st.st_ino:x}"


def groups(daemon):
    """Control groups of this daemon's jobs."""
    name = group_name(daemon)
    tops = [d for d, inside, _ in os.walk("/sys/fs/cgroup") if os.path.basename(d) == name]
    return [os.path.join(t, job) for t in tops for job in os.listdir(t) if os.path.isdir(os.path.join(t, job))]


def mounts(daemon):
    """Mounts of the daemon's folder in any namespace that still has a process."""
    found = set()
    for entry in pathlib.Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            found |= {line for line in entry.read_text().splitlines() if daemon.data in line}
        except OSError:
            continue
    return found
