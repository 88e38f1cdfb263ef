"""Sandboxes made ahead of calls: ready before their call comes, for that one alone."""
import concurrent.futures
import os
import pathlib
import signal
import time

import pytest
from conftest import wait_for
from test_freeze import figure
from test_sync import hung_up, sleeping
from test_warm import run, shims

# How long pid 1 was there before the script, in hundredths of a second, and when it began, which tells sandboxes apart.
AGE = """began() { cut -d' ' -f22 /proc/$1/stat; }
echo $(( $(began self) - $(began 1) )); began 1
"""


AHEAD = 'oscar_kept_sandboxes{state="ahead"}'


def waiting(daemon):
    """The folders of those that wait."""
    return sorted(f.name for f in (pathlib.Path(daemon.data) / "jobs").iterdir() if f.name.startswith("a"))


def ready(daemon, n=1):
    """Until so many wait, and have done so for a while."""
    wait_for("sandboxes that wait", lambda: figure(daemon, AHEAD) == n)
    time.sleep(0.4)  # they are to be older than one that is made for its call can be


def runner(daemon):
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_runner(daemon, pid)][0]


def is_runner(daemon, pid):
    try:
        place = pathlib.Path(f"/proc/{pid}")
        return (place / "comm").read_text() == "oscar-runner\n" and daemon.data.encode() in (place / "cmdline").read_bytes()
    except OSError:
        return False


def age(answer):
    first, began = answer.text.split()[:2]
    return int(first), began


def test_a_call_finds_its_sandbox_made_and_nobody_else_does(daemon):
    daemon.create("early", AGE + 'cat "$INPUT_FILE_PATH"; ls -A /tmp; echo x > /tmp/left; echo "$SAID"', output=[],
                  cpu="0.1", memory="32Mi", environment={"Variables": {"SAID": "env"}})
    sandboxes = set()
    for i in range(4):
        answer = run(daemon, "early", f"call {i}\n")
        old, began = age(answer)
        assert old >= 30 if i else old < 30, old  # the first had nobody who knew of it
        sandboxes.add(began if i else None)
        assert answer.text.splitlines()[2:] == [f"call {i}", "env"]
        ready(daemon)
    assert len(sandboxes) == 4
    daemon.call("DELETE", "/system/services/early", 204)
    wait_for("their end", lambda: not waiting(daemon) and figure(daemon, AHEAD) == 0)


def test_as_many_as_the_service_says(daemon):
    daemon.create("two", AGE, output=[], cpu="0.1", memory="32Mi", prepared=2)
    run(daemon, "two")
    ready(daemon, 2)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert all(age(a)[0] >= 30 for a in pool.map(lambda _: run(daemon, "two"), range(2)))
    daemon.create("none", AGE, output=[], cpu="0.1", memory="32Mi", prepared=0)
    for _ in range(3):
        assert age(run(daemon, "none"))[0] < 30
    daemon.call("DELETE", "/system/services/two", 204)
    wait_for("their end", lambda: not waiting(daemon))
    answer = daemon.call("POST", "/system/services", 400, json={"name": "wrong", "image": "host", "script": "true", "prepared": 65})
    assert "prepared" in answer.text


def test_a_changed_service_has_new_ones(daemon):
    keys = dict(output=[], cpu="0.1", memory="32Mi")
    daemon.create("changes", "echo one", **keys)
    assert run(daemon, "changes").text == "one\n"
    ready(daemon)
    daemon.call("PUT", "/system/services", 204, json={
        "name": "changes", "image": "host", "script": "echo two", "cpu": "0.1", "memory": "32Mi", "idle_stop": 1,
        "input": [{"storage_provider": "minio", "path": "changes/in"}]})  # fmt: skip
    for _ in range(2):
        assert run(daemon, "changes").text == "two\n"
    wait_for("the end of idle ones", lambda: not waiting(daemon), 10)


def test_one_that_died_costs_nothing(fresh):
    fresh.create("dies", AGE, output=[], cpu="0.1", memory="32Mi")
    run(fresh, "dies")
    ready(fresh)
    for pid in shims(fresh):
        os.kill(pid, signal.SIGKILL)
    # Whoever takes the dead one before that is known is served all the same.
    assert age(run(fresh, "dies"))[0] < 30
    assert [len(j["attempts"]) for j in map(lambda j: fresh.detail(j["name"]), fresh.jobs("dies"))] == [1, 1]
    ready(fresh)
    os.kill(runner(fresh), signal.SIGKILL)
    assert run(fresh, "dies").text.count("\n") == 2
    wait_for("the old one's folder", lambda: len(waiting(fresh)) <= 1, 10)


def test_the_call_it_serves_is_a_job_like_others(fresh):
    fresh.create("lasts", 'cat "$INPUT_FILE_PATH"; case $(cat "$INPUT_FILE_PATH") in *long*) sleep 7.6205;; esac; '
                 'echo done > "$TMP_OUTPUT_DIR/out"', cpu="0.1", memory="32Mi", timeout=20)  # fmt: skip
    run(fresh, "lasts", "short")
    ready(fresh)
    with hung_up(fresh, "lasts", "a long one"):
        wait_for("its process", lambda: sleeping(7.6205))
        wait_for("its row", lambda: [j for j in fresh.jobs("lasts") if j["state"] == "running"])
        fresh.kill()  # it outlives the daemon; what waits for nobody does not
        wait_for("the end of those that wait", lambda: len(shims(fresh)) == 1, 5)
        assert sleeping(7.6205)
    fresh.start()
    fresh.settled("lasts", 2)
    assert [(j["state"], j["attempt"]) for j in fresh.jobs("lasts")] == [("succeeded", 1)] * 2
    wait_for("empty folders", lambda: not waiting(fresh), 10)


def test_who_hangs_up_ends_it_and_limits_hold(daemon):
    daemon.create("ends", 'case $(cat "$INPUT_FILE_PATH") in x) sleep 6206;; y) :;; *) sleep 9;; esac', output=[], cpu="0.1",
                  memory="32Mi", timeout=1)  # fmt: skip
    run(daemon, "ends", "y")
    ready(daemon)
    answer = run(daemon, "ends", "z", 408)
    assert daemon.detail(answer.headers["X-Oscar-Job"])["attempts"][0]["outcome"] == "timeout"
    ready(daemon)
    with hung_up(daemon, "ends"):
        wait_for("its process", lambda: sleeping(6206))
    wait_for("the end of the process", lambda: not sleeping(6206), 5)


@pytest.mark.parametrize("how", ["leave", "stop"])
def test_nothing_is_left_behind(fresh, how):
    fresh.create("left", "true", output=[], cpu="0.1", memory="32Mi", prepared=3)
    for _ in range(3):
        run(fresh, "left")
    ready(fresh, 3)
    getattr(fresh, how)()
    wait_for("the end of all", lambda: not shims(fresh), 10)
    fresh.start()
    wait_for("empty folders", lambda: not waiting(fresh), 10)
    run(fresh, "left")
