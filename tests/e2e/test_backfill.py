"""A service over objects that were there before it."""
import os
import subprocess

import pytest

import conftest
from conftest import wait_for


@pytest.fixture(scope="module")
def stock(daemon):
    daemon.s3.create_bucket(Bucket="stock")
    for i in range(450):  # more than two pieces
        daemon.put("stock", f"in/{'odd' if i % 2 else 'even'}/{i:03}.txt", b"x")
    daemon.put("stock", "elsewhere/a.txt", b"x")
    return "stock"


def io(path, **keys):
    return {"storage_provider": "minio", "path": path, **keys}


def start(daemon, service, expect=202, **what):
    return daemon.call("POST", f"/system/services/{service}/backfill", expect, json=what)


def done(daemon, service, seconds=60):
    def look():
        newest = daemon.call("GET", f"/system/services/{service}/backfill", 200).json()[0]
        return newest if newest["state"] != "working" else None
    return wait_for("the backfill's end", look, seconds)


def test_every_object_of_the_input_gets_one_job(daemon, stock):
    daemon.create("whole", "true", input=[io("stock/in", suffix=[".txt"])], output=[])
    start(daemon, "whole")
    end = done(daemon, "whole")
    assert (end["state"], end["queued"], end["looked"]) == ("done", 450, 451)  # and the folder itself
    daemon.settled("whole", 450, 120)
    jobs = daemon.jobs("whole")
    assert len({j["input"] for j in jobs}) == len(jobs) == 450


def test_prefix_glob_limit_and_since_choose(daemon, stock):
    daemon.create("chosen", "true", input=[io("stock/in")], output=[])
    daemon.call("POST", "/system/services/chosen/pause", 204)
    for what, queued in (({"prefix": "odd/"}, 225), ({"glob": "even/00*.txt"}, 5), ({"limit": 7}, 7),
                         ({"since": "2100-01-01T00:00:00Z"}, 0), ({"prefix": "none/"}, 0)):
        start(daemon, "chosen", **what)
        assert done(daemon, "chosen")["queued"] == queued, what
    assert daemon.summary("chosen")["queued"] == 237


def test_changed_leaves_out_what_was_done_the_same_way(daemon):
    daemon.s3.create_bucket(Bucket="again")
    for key in "abc":
        daemon.put("again", f"in/{key}", b"x")
    daemon.create("again", "true", output=[])
    start(daemon, "again", changed=True)
    assert done(daemon, "again")["queued"] == 3
    daemon.settled("again", 3)
    daemon.put("again", "in/b", b"y")  # a new version, with a job of its own
    daemon.settled("again", 4)
    start(daemon, "again", changed=True)
    end = done(daemon, "again")
    assert (end["queued"], end["skipped"]) == (0, 3)
    body = {"name": "again", "image": "host", "cpu": "0.1", "memory": "64Mi", "script": "exit 0", "input": [io("again/in")]}
    daemon.call("PUT", "/system/services", 204, json=body)
    start(daemon, "again", changed=True)
    assert done(daemon, "again")["queued"] == 3


def test_a_full_queue_makes_it_wait_and_it_can_be_cancelled(daemon, stock):
    daemon.create("bounded", "true", input=[io("stock/in")], output=[], queue={"max": 10})
    daemon.call("POST", "/system/services/bounded/pause", 204)
    made = start(daemon, "bounded").json()["id"]
    wait_for("ten jobs", lambda: daemon.summary("bounded")["queued"] == 10)
    assert daemon.call("GET", "/system/services/bounded/backfill").json()[0]["state"] == "working"
    daemon.call("POST", f"/system/backfills/{made}/cancel", 204)
    daemon.call("POST", f"/system/backfills/{made}/cancel", 409)
    assert done(daemon, "bounded")["state"] == "cancelled"
    assert daemon.summary("bounded")["queued"] == 10


def test_it_survives_kill_9_without_loss_or_doubles():
    d = conftest.Daemon()
    try:
        d.s3.create_bucket(Bucket="kept")
        for i in range(600):
            d.put("kept", f"in/{i:04}", b"x")
        d.create("kept", "true", output=[], queue={"max": 40})
        d.call("POST", "/system/services/kept/pause", 204)
        start(d, "kept")
        wait_for("its begin", lambda: d.summary("kept")["queued"] == 40)
        for _ in range(2):
            d.call("POST", "/system/services/kept/resume", 204)
            before = d.summary("kept")["succeeded"]
            wait_for("progress", lambda: d.summary("kept")["succeeded"] > before)
            d.kill()
            d.start()
        assert done(d, "kept", 180)["state"] == "done"
        d.settled("kept", 600, 120)
        jobs = d.jobs("kept")
        assert len(jobs) == len({j["input"] for j in jobs}) == 600
        assert {j["state"] for j in jobs} == {"succeeded"}
    finally:
        d.close()


def test_wrong_requests_and_other_users_are_refused(daemon, stock):
    daemon.create("guarded", "true", input=[io("stock/in")], output=[], visibility="public")
    daemon.call("POST", "/system/users", 201, json={"name": "mal", "password": "password-of-mal"})
    mal = ("mal", "password-of-mal")
    daemon.call("POST", "/system/services/guarded/backfill", 403, json={}, auth=mal)
    for bad in ({"since": "yesterday"}, {"limit": -1}, {"input": 3}, {"prefix": "x" * 2000}, {"glob": 5}):
        start(daemon, "guarded", 400, **bad)
    start(daemon, "no-such-service", 404)
    daemon.call("POST", "/system/backfills/999999/cancel", 404)
    daemon.call("POST", "/system/backfills/x/cancel", 404)


def test_the_command_line_waits_for_it(daemon, stock):
    daemon.create("worded", "true", input=[io("stock/in")], output=[])
    done_ = subprocess.run([conftest.OSCAR, "backfill", "worded", "--glob", "odd/*", "--limit", "5", "--wait"],
                           capture_output=True, text=True, timeout=60,
                           env=dict(os.environ, OSCAR_ENDPOINT=daemon.api, OSCAR_USERNAME=conftest.USER,
                                    OSCAR_PASSWORD=conftest.PASSWORD))
    assert done_.returncode == 0 and "5 jobs queued" in done_.stdout, done_
    daemon.settled("worded", 5)


def test_a_sample_predicts_what_the_rest_takes(daemon, stock, cli):
    daemon.create("tried", 'sleep 0.2; head -c 1000 /dev/zero > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"', input=[io("stock/in")])
    out = cli("backfill", "tried", "--prefix", "odd/", "--sample", "4").stdout
    assert "4 jobs queued" in out and "rest: 221 objects, 221 B; about " in out and "1000 B of outputs" in out, out
    newest = daemon.call("GET", "/system/services/tried/backfill", 200).json()[0]
    got = daemon.call("GET", f"/system/backfills/{newest['id']}", 200).json()
    assert (got["ended"], got["succeeded"], got["rest"], got["output_bytes"]) == (4, 4, 221, 1000)
    assert 0.2 <= got["run_seconds"] < 5 and got["rest_output_bytes"] == 221000
    assert got["rest_seconds"] == pytest.approx(got["run_seconds"] * -(-221 // got["at_once"]), 1e-6)
    assert len(daemon.jobs("tried")) == 4
    start(daemon, "tried", prefix="odd/", changed=True, limit=3)
    assert (done(daemon, "tried")["skipped"], done(daemon, "tried")["queued"]) == (4, 3)


def test_a_sample_of_jobs_that_fail_predicts_nothing(daemon, stock, cli):
    daemon.create("broken", "exit 3", input=[io("stock/in")], output=[])
    out = cli("backfill", "broken", "--glob", "odd/00*", "--sample", "2").stdout
    assert "2 of the 2 failed" in out and "about" not in out, out
    assert start(daemon, "broken", 400, sample=101).text.count("sample: at most 100")
    assert daemon.call("GET", "/system/backfills/999999").status_code == 404
