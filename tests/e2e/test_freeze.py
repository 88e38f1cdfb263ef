"""freeze_after: what is idle does not run at all until it is asked for something."""
import concurrent.futures
import pathlib
import re
import socket
import time

import pytest
from conftest import run_cli, wait_for
from test_expose import SERVER, ask, deployment, expose, remove, url
from test_warm import kept, run, shims

# The same server, with a thread that never rests.
BUSY = SERVER.replace("count = 0\n", "import threading\ndef work():\n    while True: pass\n"
                      "threading.Thread(target=work, daemon=True).start()\ncount = 0\n", 1)


def cpu_of(pid):
    fields = (pathlib.Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def workers(daemon):
    """What runs in the sandboxes of this daemon: all that descends from its shims."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass
    found, more = set(), set(shims(daemon))
    while more:
        more = {p for p, parent in parents.items() if parent in more}
        found |= more
    return found


def stands_still(daemon):
    def ticks():
        return {p: cpu_of(p) for p in workers(daemon)}
    before = ticks()
    time.sleep(0.3)
    return before and ticks() == before


def figure(daemon, name):
    return float(re.search(rf"^{re.escape(name)} (.*)$", daemon.call("GET", "/metrics", 200).text, re.M)[1])


def frozen(daemon, name):
    return wait_for("its freezing", lambda: deployment(daemon, name)["frozen_instances"] == 1 and stands_still(daemon), 15)


def test_an_idle_server_is_frozen_and_answers_at_once(daemon):
    expose(daemon, "rests", BUSY, freeze_after=1, expose={"min_scale": 1, "max_scale": 1})
    first = ask(daemon, "rests").json()
    assert not stands_still(daemon)
    frozen(daemon, "rests")
    state = deployment(daemon, "rests")
    assert (state["state"], state["active_instances"]) == ("ready", 1)
    assert figure(daemon, "oscar_servers_frozen") == 1 and figure(daemon, 'oscar_servers{state="ready"}') == 1
    assert "frozen until the next request" in run_cli(daemon, "service", "deployment", "rests").stdout
    for _ in range(3):  # it is the same one, and freezes again
        then = ask(daemon, "rests").json()
        assert then["pid"] == first["pid"] and then["count"] > first["count"]
        assert deployment(daemon, "rests")["frozen_instances"] == 0
        first = then
        frozen(daemon, "rests")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:  # many at once thaw it together
        got = list(pool.map(lambda i: ask(daemon, "rests", f"/{i}").json()["path"], range(40)))
    assert got == [f"/{i}" for i in range(40)]
    frozen(daemon, "rests")
    daemon.call("POST", "/system/services/rests/stop", 200)
    wait_for("its end", lambda: not shims(daemon), 10)
    daemon.call("POST", "/system/services/rests/start", 200)
    ask(daemon, "rests")
    frozen(daemon, "rests")
    remove(daemon, "rests")


def test_a_connection_that_lasts_keeps_it_awake(daemon):
    expose(daemon, "talks", freeze_after=1)
    host, port = daemon.api.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=20) as c, c.makefile("rb") as lines:
        c.sendall(f"GET {url(daemon, 'talks', '/switch').split(daemon.api)[1]} HTTP/1.1\r\nHost: {host}\r\n"
                  "Connection: Upgrade\r\nUpgrade: lines\r\n\r\n".encode())
        while lines.readline() not in (b"hi\n", b""):
            pass
        for i in range(4):
            time.sleep(0.5)
            c.sendall(b"line %d\n" % i)
            assert lines.readline() == b"line %d\n" % i
            assert deployment(daemon, "talks")["frozen_instances"] == 0
        c.sendall(b"bye\n")
    frozen(daemon, "talks")
    remove(daemon, "talks")


def test_a_frozen_server_ends_when_it_was_idle_for_long_enough(daemon):
    expose(daemon, "ends", BUSY, freeze_after=1, idle_stop=3)
    ask(daemon, "ends")
    frozen(daemon, "ends")
    wait_for("its end", lambda: not shims(daemon), 15)
    assert ask(daemon, "ends").status_code == 200
    remove(daemon, "ends")


def test_who_shall_never_rest_does_not(daemon):
    expose(daemon, "works", BUSY, freeze_after=0)
    ask(daemon, "works")
    expose(daemon, "always", BUSY, expose={"min_scale": 1})  # so it is by default, where one is always there
    ask(daemon, "always")
    time.sleep(2)
    assert figure(daemon, "oscar_servers_frozen") == 0 and not stands_still(daemon)
    for name in ("works", "always"):
        daemon.call("DELETE", f"/system/services/{name}", 204)
    wait_for("their end", lambda: not shims(daemon), 15)


def test_a_kept_sandbox_is_frozen_between_its_calls(daemon):
    daemon.create("calls", 'echo $$; cat "$INPUT_FILE_PATH"', output=[], cpu="1", keep_warm=1, freeze_after=1, idle_stop=60)
    first = None
    for i in range(3):
        pid, said = run(daemon, "calls", f"call {i}").text.split("\n")
        first = first or int(pid)
        assert (int(pid), said) == (first + 2 * i, f"call {i}")  # script and cat: the numbers go on
        assert figure(daemon, 'oscar_kept_sandboxes{state="frozen"}') == 0
        wait_for("its freezing", lambda: figure(daemon, 'oscar_kept_sandboxes{state="frozen"}') == 1, 10)
    assert figure(daemon, 'oscar_kept_sandboxes{state="idle"}') == figure(daemon, 'oscar_kept_sandboxes{state="busy"}') == 0
    one = kept(daemon)
    daemon.call("POST", "/system/services/calls/pause", 204)  # a frozen one ends as others do
    wait_for("its end", lambda: not kept(daemon) and not shims(daemon), 10)
    daemon.call("POST", "/system/services/calls/resume", 204)
    run(daemon, "calls", "once more")
    assert kept(daemon) != one
    wait_for("its freezing", lambda: figure(daemon, 'oscar_kept_sandboxes{state="frozen"}') == 1, 10)
    daemon.call("DELETE", "/system/services/calls", 204)
    wait_for("its end", lambda: not kept(daemon), 10)


@pytest.mark.parametrize("keys, wrong", [
    ({"freeze_after": -1}, "freeze_after"),
    ({"freeze_after": "soon"}, "freeze_after"),
    ({"freeze_after": 300}, "less than idle_stop, which is 300"),
    ({"freeze_after": 5, "idle_stop": 5}, "less than idle_stop, which is 5"),
])
def test_wrong_times_say_what_is_wrong(daemon, keys, wrong):
    body = {"name": "wrong", "image": "host", "cpu": "1", "memory": "64Mi", "script": "true", **keys}
    assert wrong in daemon.call("POST", "/system/services", 400, json=body).text
