"""POST /run/NAME: callers who wait. Their calls are in memory while they are young and jobs like others when they last."""
import base64
import concurrent.futures
import pathlib
import socket
import threading
import time
from urllib.parse import urlparse

import pytest
import requests
from conftest import PASSWORD, USER, wait_for


def sleeping(seconds):
    """Is the process `sleep SECONDS` there?"""
    wanted = f"sleep\0{seconds}\0".encode()
    found = 0
    for cmdline in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += cmdline.read_bytes() == wanted
        except OSError:
            pass
    return found


def hung_up(daemon, service, body="x"):
    """A connection whose caller sent a call and will not read the answer."""
    url = urlparse(daemon.api)
    s = socket.create_connection((url.hostname, url.port))
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    s.sendall(f"POST /run/{service} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\n"
              f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return s


def waiting(daemon):
    text = daemon.call("GET", "/metrics", 200).text
    return [float(line.split()[1]) for line in text.splitlines() if line.startswith("oscar_calls_waiting ")][0]


def test_an_answer_names_its_job_which_is_over(daemon):
    daemon.create("named", 'cat "$INPUT_FILE_PATH"; cat > "$TMP_OUTPUT_DIR/out"')
    answer = daemon.call("POST", "/run/named", 200, data="hello")
    job = daemon.detail(answer.headers["X-Oscar-Job"])
    assert job["state"] == "succeeded" and job["attempts"][0]["outcome"] == "exited"
    assert daemon.joblog(job["name"]) == "hello"
    assert daemon.get("named", "out/out") == b"hello"
    assert base64.b64decode(answer.text) == b"hello" and answer.headers["X-Oscar-Encoding"] == "base64"
    daemon.create("broken", "exit 3")
    answer = daemon.call("POST", "/run/broken", 500, data="x")
    assert daemon.detail(answer.headers["X-Oscar-Job"])["state"] == "failed"


def test_many_callers_get_their_own_answers(daemon):
    daemon.create("mine", 'cat "$INPUT_FILE_PATH"', cpu="0.05", memory="32Mi", output=[])

    def one(i):
        with requests.Session() as http:
            answer = http.post(daemon.api + "/run/mine", auth=(USER, PASSWORD), data=f"caller {i}", timeout=60)
            return answer.status_code, answer.text, answer.headers["X-Oscar-Job"]

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        got = list(pool.map(one, range(300)))
    assert [(s, t) for s, t, _ in got] == [(200, f"caller {i}") for i in range(300)]
    assert len({job for _, _, job in got}) == 300
    assert daemon.summary("mine")["succeeded"] == 300


def test_a_call_that_lasts_is_seen_and_can_be_cancelled(daemon):
    daemon.create("long", "sleep 6101", output=[])
    got = []
    caller = threading.Thread(target=lambda: got.append(daemon.call("POST", "/run/long", data="x")))
    caller.start()
    job = wait_for("a running job", lambda: [j for j in daemon.jobs("long") if j["state"] == "running"])[0]
    assert sleeping(6101) == 1
    daemon.call("POST", f"/system/jobs/{job['name']}/cancel", 202)
    caller.join(20)
    assert got[0].status_code == 500 and got[0].headers["X-Oscar-Job"] == job["name"]
    wait_for("the end of the process", lambda: not sleeping(6101), 2)
    assert daemon.detail(job["name"])["state"] == "cancelled"


def test_who_does_not_want_to_wait_long_says_so(daemon):
    daemon.create("patient", 'sleep "$(cat "$INPUT_FILE_PATH")"; echo slept', output=[])
    began = time.monotonic()
    late = daemon.call("POST", "/run/patient", 504, data="6105", headers={"Prefer": "wait=1"})
    assert "took too long" in late.text and time.monotonic() - began < 3
    wait_for("the end of its process", lambda: not sleeping(6105), 2)
    wait_for("its account", lambda: daemon.detail(late.headers["X-Oscar-Job"])["state"] == "cancelled")
    assert daemon.call("POST", "/run/patient", 200, data="0.1", headers={"Prefer": "wait=30"}).text == "slept\n"
    daemon.call("DELETE", "/system/services/patient", 204)


def test_who_hangs_up_ends_the_call(daemon):
    daemon.create("left", "sleep 6102", output=[], queue={"concurrency": 1})
    with hung_up(daemon, "left"):
        wait_for("the process", lambda: sleeping(6102))
        assert daemon.jobs("left") == []  # too young
        with hung_up(daemon, "left"):
            wait_for("a call that waits", lambda: waiting(daemon) == 1)
        ended = daemon.settled("left", 1, 10)
        assert [(j["state"], j["attempt"]) for j in ended if j["state"] == "cancelled"] == [("cancelled", 0)]
        assert waiting(daemon) == 0
    wait_for("the end of the process", lambda: not sleeping(6102), 3)
    assert {j["state"] for j in daemon.settled("left", 2, 10)} == {"cancelled"}


@pytest.mark.parametrize("lasts", [False, True])
def test_a_crash_before_the_answer_leaves_no_half_call(fresh, lasts):
    fresh.create("cut", 'echo x > "$TMP_OUTPUT_DIR/half"; sleep 6103', retry={"attempts": 1, "on": ["exit"]})
    fresh.create("after", "echo well", output=[])
    failed = []

    def caller():
        try:
            fresh.call("POST", "/run/cut", data="x")
        except requests.RequestException as e:
            failed.append(e)

    t = threading.Thread(target=caller)
    t.start()
    wait_for("the process", lambda: sleeping(6103))
    if lasts:
        wait_for("its row", lambda: fresh.jobs("cut"))
    fresh.kill()
    t.join(30)
    assert failed  # no answer came
    fresh.start()
    if lasts:  # it is a job like others, and goes on
        job = wait_for("the job", lambda: fresh.jobs("cut"))[0]
        assert job["state"] == "running" and sleeping(6103) == 1
        fresh.call("POST", f"/system/jobs/{job['name']}/cancel", 202)
        assert [j["state"] for j in fresh.settled("cut", 1)] == ["cancelled"]
    wait_for("the end of the process", lambda: not sleeping(6103), 10)
    if not lasts:
        assert fresh.jobs("cut") == []
    assert fresh.keys("cut", "out/") == []
    assert fresh.call("POST", "/run/after", 200, data="x").text == "well\n"
    folders = pathlib.Path(fresh.data) / "jobs"
    wait_for("empty folders", lambda: not [f for f in folders.iterdir() if f.name.startswith("j")], 10)


def test_calls_outlive_an_orderly_restart(fresh):
    fresh.create("kept", 'sleep 2; echo x > "$TMP_OUTPUT_DIR/out"')
    with hung_up(fresh, "kept"):
        wait_for("the process", lambda: sleeping(2))
        fresh.leave()
    fresh.start()
    done = fresh.settled("kept", 1)
    # Its caller had no time to hang up: it was told nothing, as a crash would have it, but what ran is accounted.
    assert [(j["state"], j["attempt"]) for j in done] == [("succeeded", 1)]
    assert fresh.keys("kept", "out/") == ["out/out"]


def test_a_full_queue_pushes_calls_back(daemon):
    daemon.create("narrow", "sleep 6104", output=[], queue={"concurrency": 1, "max": 1})
    with hung_up(daemon, "narrow"):
        wait_for("the process", lambda: sleeping(6104))
        with hung_up(daemon, "narrow"):
            wait_for("a call that waits", lambda: waiting(daemon) == 1 or len(daemon.jobs("narrow")) == 2)
            answer = daemon.call("POST", "/run/narrow", 429, data="x")
            assert answer.headers["Retry-After"]
    daemon.settled("narrow", 2, 15)
    wait_for("the end of the process", lambda: not sleeping(6104), 3)
