"""`network: nat`: a way out, but not to the machine. The machine is a network namespace of ours here, with another one outside of it."""
import ctypes
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import contract
from conftest import OSCAR, Daemon, wait_for

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
MACHINE, OUTSIDE, METADATA = "198.51.100.2", "198.51.100.1", "169.254.169.254"
SERVER = ["-c", "import http.server,sys,functools; http.server.ThreadingHTTPServer(('0.0.0.0', int(sys.argv[1])), "
          "functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[2])).serve_forever()"]

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
              pytest.mark.skipif(not shutil.which("slirp4netns"), reason="slirp4netns is not installed")]


def enter(fd):
    if LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


def slirps(daemon):
    """The processes of slirp4netns that have one of this daemon's shims as parent."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cmdline").read_bytes().startswith(b"slirp4netns\0"):
                parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
                if daemon.data.encode() in pathlib.Path(f"/proc/{parent}/cmdline").read_bytes():
                    found.append(int(entry.name))
        except OSError:
            pass
    return found


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """This process, and what it starts, in a network namespace that is the machine; a server at each address."""
    names = [f"oscar-{role}-{os.getpid()}" for role in ("machine", "outside")]
    page = tmp_path_factory.mktemp("page")
    (page / "index.html").write_text("a page of outside\n")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    servers, spaces = [], []
    try:
        for name in names:
            ip("netns", "add", name)
            spaces.append(os.open(f"/run/netns/{name}", os.O_RDONLY))
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", names[0], "link", "add", "up0", "type", "veth", "peer", "name", "down0", "netns", names[1])
        for name, link, addresses in ((names[0], "up0", [MACHINE]), (names[1], "down0", [OUTSIDE, METADATA])):
            for address in addresses:
                ip("-n", name, "address", "add", f"{address}/24", "dev", link)
            ip("-n", name, "link", "set", link, "up")
        ip("-n", names[0], "route", "add", "default", "via", OUTSIDE)
        for fd in reversed(spaces):
            enter(fd)
            servers.append(subprocess.Popen([sys.executable, *SERVER, "8000", str(page)], stderr=subprocess.DEVNULL))
        yield
    finally:
        enter(home)
        for s in servers:
            s.kill()
            s.wait()
        for fd in (home, *spaces):
            os.close(fd)
        for name in names[:len(spaces)]:
            ip("netns", "delete", name)


@pytest.fixture(scope="module")
def networked(machine):
    d = Daemon(None, "--nat")
    yield d
    d.close()


FETCH = """python3 - "$@" <<'END'
import socket, sys, urllib.request
for where in {where!r}:
    try:
        print(where, urllib.request.urlopen("http://%s/" % where, timeout=5).read().decode().strip())
    except OSError as e:
        print(where, type(getattr(e, "reason", e)).__name__, getattr(e, "reason", e))
END
"""


def fetch(daemon, name, where, **keys):
    daemon.create(name, FETCH.format(where=where), network="nat", memory="128Mi", cpu="0.5", output=[], prepared=0, **keys)
    text = daemon.call("POST", f"/run/{name}", 200, data="x").text
    return dict(line.split(" ", 1) for line in text.splitlines())


def test_a_script_reaches_what_is_outside(networked):
    got = fetch(networked, "out", [f"{OUTSIDE}:8000"])
    assert got == {f"{OUTSIDE}:8000": "a page of outside"}


def test_the_machine_and_metadata_are_not_reached(networked):
    wait_for("the machine's own server", lambda: subprocess.run(
        ["curl", "-s", f"http://{MACHINE}:8000/"], capture_output=True).stdout == b"a page of outside\n")
    assert subprocess.run(["curl", "-s", f"http://{METADATA}:8000/"], capture_output=True).stdout  # the machine reaches it
    api = networked.api.rsplit(":", 1)[1]
    refused = [f"{MACHINE}:8000", f"{METADATA}:8000", "127.0.0.1:8000", f"127.0.0.1:{api}", f"10.0.2.2:{api}", "10.0.2.2:8000"]
    got = fetch(networked, "inward", refused)
    assert set(got) == set(refused)
    assert not [where for where, said in got.items() if "page" in said or "HTTPError" in said], got


def test_its_rules_hold_against_the_script(networked):
    networked.create("tries", f"""
        python3 - <<'END'
import socket
for option in ((socket.SOL_SOCKET, 25, b"tap0\\0"), (socket.IPPROTO_IP, 50, (socket.if_nametoindex("tap0")).to_bytes(4, "big"))):
    for where in ("{MACHINE}", "{METADATA}"):
        s = socket.socket()
        s.settimeout(3)
        try:
            s.setsockopt(*option)
            s.connect((where, 8000))
            print("reached", where)
        except OSError:
            pass
END
        ip route flush table main 2>/dev/null && echo flushed
        ip route del prohibit {MACHINE} 2>/dev/null && echo deleted
        cat /etc/resolv.conf""", network="nat", memory="128Mi", cpu="0.5", output=[], prepared=0)
    assert networked.call("POST", "/run/tries", 200, data="x").text == "nameserver 10.0.2.3\noptions edns0\n"


def test_kept_sandboxes_have_one_too(networked):
    got = fetch(networked, "kept", [f"{OUTSIDE}:8000"], keep_warm=1)
    assert got == {f"{OUTSIDE}:8000": "a page of outside"}
    assert networked.call("POST", "/run/kept", 200, data="x").text == f"{OUTSIDE}:8000 a page of outside\n"
    networked.call("DELETE", "/system/services/kept", 204)
    wait_for("the end of its network", lambda: not slirps(networked))


def test_services_that_are_tried_locally_have_one(machine, tmp_path):
    (tmp_path / "fdl.yaml").write_text(f"""functions:
  oscar:
  - local:
      name: out
      image: host
      cpu: '0.5'
      memory: 128Mi
      network: nat
      script: |
        python3 -c 'import urllib.request
        for where in "{OUTSIDE}", "{MACHINE}":
            try: print(urllib.request.urlopen("http://%s:8000/" % where, timeout=5).read().decode().strip())
            except OSError as e: print(where, "is not reached")' > "$TMP_OUTPUT_DIR/said"
      input: [{{storage_provider: minio.default, path: out/in}}]
      output: [{{storage_provider: minio.default, path: out/out}}]
""")
    (tmp_path / "x").write_text("x")
    done = subprocess.run([str(OSCAR), "run", "--local", "--output-dir", "r", "fdl.yaml", "x"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r/out/out/said").read_text() == f"a page of outside\n{MACHINE} is not reached\n"


@pytest.mark.parametrize("end", ["cancel", "kill"])
def test_its_network_ends_with_the_job(networked, end):
    networked.create(end, "sleep 60", network="nat", cpu="0.5", output=[], retry={"attempts": 1, "on": []})
    networked.call("POST", f"/job/{end}", 201, data="x")
    wait_for("its start", lambda: networked.summary(end)["running"])
    pid = wait_for("its network", lambda: slirps(networked))[0]
    job = networked.jobs(end)[0]
    if end == "cancel":
        networked.call("POST", f"/system/jobs/{job['id']}/cancel", 202)
    else:
        shim = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        os.kill(shim, 9)
    wait_for("the end of its network", lambda: not pathlib.Path(f"/proc/{pid}").exists(), 5)
    networked.settled(end, 1)


@pytest.mark.parametrize("network, option", [("nat", "--nat"), ("host", "--host-network")])
def test_it_is_refused_where_it_is_not_offered(daemon, network, option):
    body = {"name": "wants", "image": "host", "script": "true", "network": network}
    answer = daemon.call("POST", "/system/services", json=body)
    assert answer.status_code == 400 and f"oscar serve {option}" in answer.text
    contract.check("POST", "/system/services", answer)


def test_the_machines_network_is_used_where_it_is_allowed():
    d = Daemon(None, "--host-network")
    try:
        port = d.api.rsplit(":", 1)[1]
        d.create("wide", f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached'", network="host", output=[])
        assert d.call("POST", "/run/wide", 200, data="x").text == "reached\n"
    finally:
        d.close()
