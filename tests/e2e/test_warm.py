"""keep_warm: sandboxes that stay for the next call, in which nothing of the one before is left."""
import concurrent.futures
import os
import pathlib
import signal
import threading
import time

import pytest
import requests
from conftest import wait_for
from test_sync import hung_up, sleeping


def kept(daemon):
    """The folders of kept sandboxes."""
    return sorted(f.name for f in (pathlib.Path(daemon.data) / "jobs").iterdir() if f.name.startswith("w"))


def run(daemon, name, data="x", expect=200):
    answer = daemon.call("POST", f"/run/{name}", data=data)
    assert answer.status_code == expect, (answer.status_code, answer.text, answer.headers.get("X-Oscar-Reason"))
    return answer


def remove(daemon, name):
    daemon.call("DELETE", f"/system/services/{name}", 204)
    wait_for("the end of kept sandboxes", lambda: not kept(daemon), 10)


def test_nothing_of_a_call_is_seen_by_the_next(daemon):
    daemon.create("clean", """
        echo "$(ls -A /tmp /dev/shm /oscar/output | grep -v : | tr -d '\\n')|$(ls /oscar/input | wc -l)|$(ls -d /proc/[0-9]* | wc -l)|$SAID"
        umask 077; mkdir -p /tmp/a/b; echo x > /tmp/a/b/c; echo x > /tmp/.hidden; chmod 0 /tmp/a; chmod 700 /tmp
        echo x > /dev/shm/s; mkdir /oscar/output/folder; echo "$$" > /oscar/output/out; chmod 0 /oscar/output/folder
        (trap '' TERM; setsid sh -c 'sleep 6201' & setsid sh -c 'while :; do echo x >> /tmp/late; done' &)
        cat "$INPUT_FILE_PATH"
        """, cpu="1", keep_warm=1, environment={"Variables": {"SAID": "env"}})
    first = None
    for i in range(5):
        text = run(daemon, "clean", f"call {i}")
        job = daemon.detail(text.headers["X-Oscar-Job"])
        assert job["state"] == "succeeded"
        log = daemon.joblog(job["name"])
        left, inputs, processes, said = log.splitlines()[0].split("|")
        assert (left, inputs, said) == ("", "1", "env")
        assert int(processes) <= 5  # pid 1, the script, a subshell, ls, wc
        assert log.splitlines()[1] == f"call {i}"
        first = first or kept(daemon)
        assert len(first) == 1 and kept(daemon) == first
    assert not sleeping(6201)
    # The same pid namespace served all of them: the numbers go on.
    assert int(daemon.get("clean", "out/out")) > 10
    remove(daemon, "clean")


@pytest.mark.parametrize("what", [
    "import ctypes; assert ctypes.CDLL(None).shmget(7, 4096, 0o1600) >= 0",
    "import ctypes; assert ctypes.CDLL(None).semget(7, 1, 0o1600) >= 0",
    "import ctypes; assert ctypes.CDLL(None).msgget(7, 0o1600) >= 0",
    "import os; os.setxattr('/oscar/output', 'user.x', b'y')",
    "import os; os.mkdir('/oscar/output/a'); os.chmod('/oscar/output/a', 0); os.chmod('/oscar/output', 0o500)",
])
def test_nothing_that_a_call_hides_is_left(daemon, what):
    daemon.create("dirty", f"""
        echo "$$ $(tail -qn +2 /proc/sysvipc/* | wc -l) $(stat -c %a /oscar/output) $(ls -A /oscar/output | wc -l)"
        python3 -c "{what}; print(os.listxattr('/oscar/output') if 'os' in dir() else [])"
        """, output=[], cpu="1", memory="128Mi", keep_warm=1)
    said = [run(daemon, "dirty").text for _ in range(3)]
    assert len({s.split(" ", 1)[1] for s in said}) == 1, said
    assert " 0 " in said[0]
    if "chmod" not in what:  # one that cannot be cleaned is not used again
        assert all(int(s.split()[0]) < 8 for s in said)  # in a second call the numbers would have gone on from there
    remove(daemon, "dirty")


def test_logs_stay_with_their_calls(daemon):
    daemon.create("loud", 'n=$(cat "$INPUT_FILE_PATH"); i=0; while [ $i -lt 3000 ]; do echo "line $i of $n"; i=$((i+1)); done',
                  output=[], cpu="1", keep_warm=1)
    jobs = [run(daemon, "loud", str(n)).headers["X-Oscar-Job"] for n in range(3)]
    for n, job in enumerate(jobs):
        assert daemon.joblog(job) == "".join(f"line {i} of {n}\n" for i in range(3000))
    assert len(kept(daemon)) == 1
    remove(daemon, "loud")


def test_more_callers_than_kept_ones(daemon):
    daemon.create("some", 'cat "$INPUT_FILE_PATH"', output=[], cpu="0.1", memory="32Mi", keep_warm=2)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        got = list(pool.map(lambda i: requests.post(daemon.api + "/run/some", auth=daemon.http.auth, data=f"{i}",
                                                    timeout=60).text, range(120)))
    assert got == [str(i) for i in range(120)]
    assert len(kept(daemon)) <= 2
    assert daemon.summary("some")["succeeded"] == 120
    remove(daemon, "some")


def test_a_change_a_pause_and_idleness_end_them(daemon):
    keys = dict(output=[], cpu="1", keep_warm=1)
    daemon.create("changed", "echo one", **keys)
    assert run(daemon, "changed").text == "one\n"
    old = kept(daemon)
    daemon.call("PUT", "/system/services", 204, json={
        "name": "changed", "image": "host", "cpu": "1", "memory": "64Mi", "script": "echo two", "keep_warm": 1,
        "input": [{"storage_provider": "minio", "path": "changed/in"}], "output": []})
    wait_for("the end of the old one", lambda: not set(old) & set(kept(daemon)), 10)
    assert run(daemon, "changed").text == "two\n"
    assert kept(daemon) and kept(daemon) != old
    daemon.call("POST", "/system/services/changed/pause", 204)
    wait_for("the end at a pause", lambda: not kept(daemon), 10)
    daemon.call("DELETE", "/system/services/changed", 204)
    daemon.create("idle", "echo here", idle_stop=1, **keys)
    assert run(daemon, "idle").text == "here\n"
    assert kept(daemon)
    wait_for("the end by idleness", lambda: not kept(daemon), 10)
    assert run(daemon, "idle").text == "here\n"
    remove(daemon, "idle")


def test_each_user_has_sandboxes_of_their_own(daemon):
    daemon.call("POST", "/system/users", 201, json={"name": "ben", "password": "ben-password", "s3_key": "BENKEY",
                                                    "s3_secret": "ben-secret-key"})
    daemon.create("shared", "echo $$", output=[], cpu="1", keep_warm=1, visibility="public")
    first = int(run(daemon, "shared").text)  # of a sandbox's first script; a runtime may have used some before
    assert int(run(daemon, "shared").text) == first + 1
    other = requests.post(daemon.api + "/run/shared", auth=("ben", "ben-password"), data="x", timeout=30)
    assert (other.status_code, other.text) == (200, f"{first}\n")
    assert len(kept(daemon)) == 2
    remove(daemon, "shared")


@pytest.mark.parametrize("script, keys, status, outcome", [
    ("sleep 6202", {"timeout": 1}, 408, "timeout"),
    ("exit 3", {}, 500, "exited"),
    ("kill -9 $$", {}, 500, "signaled"),
    ("kill -9 -1; kill -9 1; exit 4", {}, 500, "exited"),
    ("python3 -c 'x = bytearray(200 << 20)'", {"memory": "64Mi"}, 500, "oom"),
    ('head -c 3000000 /dev/zero > "$TMP_OUTPUT_DIR/big"', {"ephemeral_storage_request": "1Mi"}, 500, "disk"),
    ('rm -f "$INPUT_FILE_PATH"; ln -s /etc/passwd "$TMP_OUTPUT_DIR/link"', {}, 500, "upload"),
])
def test_calls_that_fail_are_told_and_the_next_one_runs(daemon, script, keys, status, outcome):
    daemon.create("fails", f'case $(cat "$INPUT_FILE_PATH") in bad) {script} ;; *) echo well ;; esac',
                  **{"cpu": "1", "keep_warm": 1, **keys})
    assert run(daemon, "fails", "good").text == "well\n"
    answer = run(daemon, "fails", "bad", status)
    job = daemon.detail(answer.headers["X-Oscar-Job"])
    assert job["state"] == "failed" and job["attempts"][-1]["outcome"] == outcome, job
    assert run(daemon, "fails", "good").text == "well\n"
    assert not sleeping(6202)
    assert daemon.keys("fails", "out/") == []
    remove(daemon, "fails")


def test_who_hangs_up_ends_the_call_and_cancels_reach_it(daemon):
    daemon.create("left", 'case $(cat "$INPUT_FILE_PATH") in x) sleep 6203 ;; *) echo well ;; esac', output=[], cpu="1",
                  keep_warm=1)
    assert run(daemon, "left", "y").text == "well\n"
    with hung_up(daemon, "left"):
        wait_for("the process", lambda: sleeping(6203))
    wait_for("the end of the process", lambda: not sleeping(6203), 3)
    got = []
    caller = threading.Thread(target=lambda: got.append(daemon.call("POST", "/run/left", data="x")))
    caller.start()
    job = wait_for("a running job", lambda: [j for j in daemon.jobs("left") if j["state"] == "running"])[0]
    daemon.call("POST", f"/system/jobs/{job['name']}/cancel", 202)
    caller.join(20)
    assert got[0].status_code == 500
    wait_for("the end of the process", lambda: not sleeping(6203), 2)
    assert run(daemon, "left", "y").text == "well\n"
    remove(daemon, "left")


def shims(daemon):
    """Those of this daemon: the runner's command line stays theirs."""
    found = []
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text() == "oscar-shim\n" and daemon.data.encode() in (comm.parent / "cmdline").read_bytes():
                found.append(int(comm.parent.name))
        except OSError:
            pass
    return found


def test_a_killed_shim_costs_an_attempt_and_no_call(fresh):
    fresh.create("cut", 'sleep 1; echo well', output=[], cpu="1", keep_warm=1)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(run, fresh, "cut")
        wait_for("the shim", lambda: shims(fresh))
        time.sleep(0.3)  # its script runs
        for pid in shims(fresh):
            os.kill(pid, signal.SIGKILL)
        assert answer.result(30).text == "well\n"
    job = fresh.detail(answer.result().headers["X-Oscar-Job"])
    assert [a["outcome"] for a in job["attempts"]] == ["lost", "exited"]


@pytest.mark.parametrize("lasts", [False, True])
def test_a_kept_sandbox_ends_with_its_daemon(fresh, lasts):
    fresh.create("cut", 'case $(cat "$INPUT_FILE_PATH") in x) sleep 6204 ;; *) echo well ;; esac', output=[], cpu="1",
                 keep_warm=2)
    assert run(fresh, "cut", "y").text == "well\n"
    with hung_up(fresh, "cut"):
        wait_for("the process", lambda: sleeping(6204))
        if lasts:
            wait_for("its row", lambda: [j for j in fresh.jobs("cut") if j["state"] == "running"])
        fresh.kill()
    wait_for("the end of the process", lambda: not sleeping(6204), 5)
    fresh.start()
    if lasts:  # it is accounted, and not run again
        fresh.settled("cut", 2)
        assert [(j["state"], j["attempt"], j["reason"]) for j in fresh.jobs("cut")][0] == (
            "failed", 1, "ended with the daemon that kept its sandbox")
    else:
        assert len(fresh.jobs("cut")) == 1
    wait_for("empty folders", lambda: not kept(fresh), 10)
    assert not sleeping(6204)
    assert run(fresh, "cut", "y").text == "well\n"
    assert len(kept(fresh)) == 1
    fresh.leave()
    time.sleep(0.2)
    fresh.start()
    wait_for("empty folders", lambda: not kept(fresh), 10)


def test_wrong_keys_say_what_is_wrong(daemon):
    for keys in ({"keep_warm": 65}, {"keep_warm": -1}, {"idle_stop": 0}, {"keep_warm": "many"}):
        body = {"name": "wrong", "image": "host", "cpu": "1", "memory": "64Mi", "script": "true", **keys}
        answer = daemon.call("POST", "/system/services", 400, json=body)
        assert list(keys)[0] in answer.text
