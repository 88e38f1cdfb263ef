"""kill -9 while sandboxes are frozen: a signal that kills waits there for the thaw, for which somebody has to care."""
import os
import pathlib
import signal
import threading

import pytest

from eyes import e2e, groups, mounts, parts

KEYS = {"cpu": "0.2", "memory": "64Mi", "input": [], "output": [], "freeze_after": 1}
SERVER = """exec python3 -u -c '
import http.server, threading
def work():
    while True: pass
threading.Thread(target=work, daemon=True).start()
http.server.ThreadingHTTPServer(("127.0.0.1", 8123), http.server.SimpleHTTPRequestHandler).serve_forever()'"""


def frozen(daemon):
    text = daemon.call("GET", "/metrics", 200).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith(("oscar_servers_frozen ", 'oscar_kept_sandboxes{state="frozen"}')))


@pytest.fixture
def daemon():
    d = e2e.Daemon()
    d.create("serves", SERVER, expose={"api_port": 8123, "max_scale": 1}, **KEYS)
    d.create("called", "echo well", keep_warm=1, **KEYS)
    ask(d)
    e2e.wait_for("two frozen", lambda: frozen(d) == 2, 20)
    yield d
    d.close()


def ask(d):
    e2e.wait_for("a server", lambda: e2e.requests.get(d.api + "/system/services/serves/exposed/", timeout=30).status_code == 200, 30)
    assert d.call("POST", "/run/called", 200, data="x").text == "well\n"


def kill(there, *roles):
    for role in roles:
        assert there[role], role
        for pid in there[role]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass  # it ended with the one before


def gone(pids):
    return not any(os.path.isdir(f"/proc/{p}") for p in pids)


@pytest.mark.parametrize("roles", [("shim",), ("runner", "shim"), ("init",), ("script",)])
def test_what_dies_frozen_is_gone_and_begins_anew(daemon, roles):
    there = parts(daemon)
    kill(there, *roles)
    if "shim" in roles:
        e2e.wait_for("their end", lambda: gone(there["init"] + there["script"]), 20)
    ask(daemon)
    e2e.wait_for("two frozen", lambda: frozen(daemon) == 2, 20)
    assert gone(there[roles[-1]])


def thaw(daemon):
    for group in groups(daemon):
        for file, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):  # v1, v2
            if (pathlib.Path(group) / file).exists():
                (pathlib.Path(group) / file).write_text(word)


def dead(pids):
    """Also those that nobody has waited for yet."""
    lines = (pathlib.Path(f"/proc/{p}/stat").read_text() for p in pids if os.path.isdir(f"/proc/{p}"))
    return all(line.rsplit(") ", 1)[1][0] == "Z" for line in lines)


def test_a_call_that_finds_its_sandbox_dead_is_begun_in_another(daemon):
    """Who keeps the sandbox is stopped meanwhile, so that it hears of the call and of the death at once."""
    there = parts(daemon)
    for pid in there["shim"]:
        os.kill(pid, signal.SIGSTOP)
    kill(there, "init")
    thaw(daemon)
    e2e.wait_for("the death of both", lambda: dead(there["init"]), 20)
    answers = []
    call = threading.Thread(target=lambda: answers.append(daemon.call("POST", "/run/called", data="x")))
    call.start()
    # Or the answer, should it have got a sandbox that was made just now.
    e2e.wait_for("the call", lambda: answers or "\noscar_jobs_active 1\n" in daemon.call("GET", "/metrics", 200).text, 20)
    for pid in there["shim"]:
        os.kill(pid, signal.SIGCONT)
    call.join(60)
    assert [(a.status_code, a.text) for a in answers] == [(200, "well\n")]


@pytest.mark.parametrize("roles", [(), ("runner",), ("shim",), ("keeper", "runner", "shim")])
def test_nothing_is_left_after_the_daemon_died(daemon, roles):
    there = parts(daemon)
    daemon.kill()
    kill(there, *roles)
    daemon.start()  # where even who keeps the runner was killed, the next one cleans up
    e2e.wait_for("the end of all", lambda: gone(there["shim"] + there["init"] + there["script"]), 30)
    ask(daemon)
    e2e.wait_for("two frozen", lambda: frozen(daemon) == 2, 20)
    assert len(parts(daemon)["init"]) == 2
    data = daemon.data
    daemon.leave()
    e2e.wait_for("the end of all processes", lambda: not any(parts(daemon).values()), 30)
    assert not groups(daemon) and not mounts(daemon), data
    daemon.start()
