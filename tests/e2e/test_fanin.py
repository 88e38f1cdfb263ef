"""`group: {run: true}`: one job for all that a run has made, once the run has ended."""
import json
import os
import pathlib
import random
import shutil
import tempfile
import time

import pytest
from conftest import Daemon, run_cli, wait_for

# The root: each line of the file becomes a picture. A picture "bad" fails.
SPLIT = 'n=0; while read -r w; do n=$((n+1)); echo "$w" >"$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")-$(printf %04d $n).pic"; done <"$INPUT_FILE_PATH"'
DETECT = """read -r w <"$INPUT_FILE_PATH"; n=$(basename "$INPUT_FILE_PATH" .pic)
            [ "$w" != bad ] || [ -e /mnt/go/$n ] || exit 4
            mkdir -p "$TMP_OUTPUT_DIR/d"; echo "found $w" >"$TMP_OUTPUT_DIR/d/$n" """
JOIN = """cat >"$TMP_OUTPUT_DIR/event.json"; cd "$INPUT_FILE_PATH"
          echo "$INPUT_FILE_PATH $OSCAR_RUN_FILES $OSCAR_RUN_FAILED"
          find . -type f | sort | while read -r f; do echo "$f=$(cat "$f")"; done | tee "$TMP_OUTPUT_DIR/all" """


def path(at, **keys):
    return [{"storage_provider": "minio", "path": at, **keys}]


def chain(d, name, failed=None, **keys):
    """NAME/in -> split -> NAME/pics -> detect -> NAME/found -> (the whole run) join -> NAME/out."""
    group = {"run": True, **({"failed": failed} if failed else {}), **keys}
    mounts = [{"name": "go"}] if d.go else []
    d.create(f"{name}-split", SPLIT, input=path(f"{name}/in"), output=path(f"{name}/pics"))
    d.create(f"{name}-detect", DETECT, input=path(f"{name}/pics"), output=path(f"{name}/found"), mounts=mounts,
             retry={"attempts": 1})
    d.create(f"{name}-join", JOIN, input=path(f"{name}/found", group=group), output=path(f"{name}/out"))


@pytest.fixture(scope="module")
def daemon():
    go = pathlib.Path(tempfile.mkdtemp(prefix="oscar-go-", dir="/tmp"))
    go.chmod(0o755)
    d = Daemon(None, "--mount", f"go={go}", "--directory-root", str(go))
    d.go = go
    yield d
    d.close()
    shutil.rmtree(go)


def lines(d, job):
    return d.joblog(job["name"]).splitlines()


def groups(d, service):
    return d.call("GET", f"/system/services/{service}/queue", 200).json()["groups"]


def test_all_pictures_of_a_video(daemon):
    d = daemon
    chain(d, "video")
    d.put("video", "in/one", "".join(f"w{i}\n" for i in range(100)).encode())
    d.put("video", "in/two", b"x\ny\n")
    jobs = d.settled("video-join", 2)
    assert [j["state"] for j in jobs] == ["succeeded"] * 2, [d.detail(j["name"]) for j in jobs]
    one = next(j for j in jobs if len(lines(d, j)) == 101)
    two = next(j for j in jobs if j is not one)
    # One folder with all files, however many, as they lie below the input's own.
    assert lines(d, one) == ["/mnt/input/found 100 0"] + [f"./d/one-{i + 1:04}=found w{i}" for i in range(100)]
    assert lines(d, two) == ["/mnt/input/found 2 0", "./d/two-0001=found x", "./d/two-0002=found y"]
    runs = {j["run"] for j in jobs}
    assert len(runs) == 2  # that of the upload
    for j in jobs:
        assert {x["service"] for x in d.call("GET", "/system/runs/" + j["run"] + "?limit=500", 200).json()["jobs"]} == {
            "video-split", "video-detect", "video-join"}
    time.sleep(1.5)  # three looks
    assert len(d.jobs("video-join")) == 2 and not groups(d, "video-join")
    made = d.s3.head_object(Bucket="video", Key="out/all")["Metadata"]
    assert made["oscar-run"] in runs and made["oscar-input-count"] in ("100", "2")
    assert not [n for n in os.listdir(pathlib.Path(d.data) / "tmp") if n.startswith("group-")]


def test_the_event_and_the_drawing(daemon):
    d = daemon
    chain(d, "told")
    d.put("told", "in/a", b"x\nbad\ny\n")
    job = d.settled("told-join", 1)[0]
    assert lines(d, job) == ["/mnt/input/found 2 1", "./d/a-0001=found x", "./d/a-0003=found y"]
    event = json.loads(d.get("told", "out/event.json"))
    assert len(event["Records"]) == 1 and event["Oscar"]["run"] == job["run"]
    assert [f["key"] for f in event["Oscar"]["files"]] == ["found/d/a-0001", "found/d/a-0003"]
    assert all(len(f["version"]) == 16 for f in event["Oscar"]["files"])
    assert event["Oscar"]["failed"] == 1
    bad = event["Oscar"]["failed_jobs"][0]
    assert (bad["service"], bad["state"], bad["key"]) == ("told-detect", "failed", "pics/a-0002.pic")
    text = run_cli(d, "run", "show", job["name"]).stdout
    assert f"{job['name']}  of 2 files, succeeded" in text and "told-detect" in text
    shown = d.call("GET", f"/system/runs/{job['run']}", 200).json()
    assert shown["groups"] == [] and {j["service"]: j.get("inputs_count") for j in shown["jobs"]}["told-join"] == 2
    # What failed is sent again: a job of its own for what comes then.
    (d.go / "a-0002").write_text("")
    d.call("POST", f"/system/jobs/{bad['job']}/redrive", 202)
    again = d.settled("told-join", 2)
    assert lines(d, again[0]) == ["/mnt/input/found 1 0", "./d/a-0002=found bad"]
    (d.go / "a-0002").unlink()


def test_it_waits_for_what_failed(daemon):
    d = daemon
    chain(d, "whole", failed="wait")
    d.put("whole", "in/a", b"x\nbad\n")
    d.settled("whole-detect", 2)
    state = wait_for("the group", lambda: groups(d, "whole-join"))[0]
    assert state["kind"] == "run" and state["files"] == 1 and state["due"] > state["opened"]
    run = d.jobs("whole-split")[0]["run"]
    assert "1 files wait for whole-join, which takes them when the run has ended" in run_cli(d, "run", "show", run).stdout
    time.sleep(1.5)
    assert not d.jobs("whole-join")
    (d.go / "a-0002").write_text("")
    run_cli(d, "jobs", "redrive", "--run", run)
    job = d.settled("whole-join", 1)[0]
    assert lines(d, job) == ["/mnt/input/found 2 0", "./d/a-0001=found x", "./d/a-0002=found bad"]
    (d.go / "a-0002").unlink()
    # Not for ever.
    service = d.call("GET", "/system/services/whole-join", 200).json()
    assert service["input"][0]["group"] == {"run": True, "failed": "wait"}
    service["input"][0]["group"]["wait"] = 1
    d.call("PUT", "/system/services", 204, json=service)
    d.put("whole", "in/b", b"ok\nx\nbad\n")
    d.settled("whole-detect", 5)
    wait_for("its end", lambda: not groups(d, "whole-join"))
    assert len(d.jobs("whole-join")) == 1


def test_a_second_level(daemon):
    d = daemon
    chain(d, "deep")
    d.create("deep-sum", JOIN, input=path("deep/out", group={"run": True}), output=path("deep/sum"))
    d.put("deep", "in/a", b"x\ny\n")
    job = d.settled("deep-sum", 1)[0]
    assert lines(d, job)[0] == "/mnt/input/out 2 0"
    event = json.loads(d.get("deep", "sum/event.json"))
    assert [f["key"] for f in event["Oscar"]["files"]] == ["out/all", "out/event.json"]
    time.sleep(1.5)
    assert len(d.jobs("deep-sum")) == len(d.jobs("deep-join")) == 1


def test_who_cancels_a_run_gets_no_job(daemon):
    d = daemon
    d.create("stop-work", 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"; sleep 0.2',
             input=path("stop/in"), output=path("stop/mid"))
    d.create("stop-slow", "sleep 600", input=path("stop/mid"), output=[])
    d.create("stop-join", JOIN, input=path("stop/mid", group={"run": True}), output=path("stop/out"))
    d.put("stop", "in/a", b"x")
    slow = wait_for("the slow one", lambda: next((j for j in d.jobs("stop-slow") if j["state"] == "running"), None))
    assert groups(d, "stop-join")[0]["files"] == 1
    assert d.call("POST", f"/system/jobs/cancel?run={slow['run']}", 200).json()["cancelled"] == 1
    time.sleep(1.5)
    assert not groups(d, "stop-join") and not d.jobs("stop-join")


def test_again_by_a_backfill(daemon):
    d = daemon
    chain(d, "anew")
    d.put("anew", "in/a", b"x\ny\n")
    d.put("anew", "in/b", b"z\n")
    d.settled("anew-join", 2)
    run_cli(d, "backfill", "anew-join")
    jobs = d.settled("anew-join", 4)
    assert {j["state"] for j in jobs} == {"succeeded"}
    # By the runs that made the files.
    assert sorted((j["run"], len(lines(d, j))) for j in jobs[:2]) == sorted((j["run"], len(lines(d, j))) for j in jobs[2:])


def test_files_of_a_directory_served_in_place(daemon):
    """What jobs put into a directory is renamed after the commit that makes it visible."""
    d = daemon
    root = d.go / "placed"
    root.mkdir()
    root.chmod(0o777)
    try:
        d.call("POST", "/system/buckets", 201, json={"bucket_name": "placed", "directory": {
            "path": str(root), "outputs": True, "stable_s": 1}})
        d.create("d-split", SPLIT, input=path("d-start/in"), output=path("d-start/pics"))
        d.create("d-detect", DETECT, input=path("d-start/pics"), output=path("placed/found"))
        d.create("d-join", JOIN, input=path("placed/found", group={"run": True}), output=path("placed/out"))
        d.put("d-start", "in/a", b"x\ny\nz\n")
        job = d.settled("d-join", 1)[0]
        assert lines(d, job) == ["/mnt/input/found 3 0"] + [f"./d/a-000{i + 1}=found {w}" for i, w in enumerate("xyz")], \
            d.detail(job["name"])
        assert (root / "out/all").read_text().count("found") == 3
        time.sleep(1.5)
        assert len(d.jobs("d-join")) == 1
    finally:
        for name in ("d-split", "d-detect", "d-join"):
            d.call("DELETE", f"/system/services/{name}")
        d.call("DELETE", "/system/buckets/placed")


@pytest.mark.parametrize("group,text", [
    ({"run": True, "count": 2}, "want one of"), ({"run": True, "sentinel": "x"}, "want one of"),
    ({"run": True, "failed": "ignore"}, "want run (the default) or wait"), ({"failed": "run"}, '"failed" goes with run'),
    ({"run": True, "wait": 5}, "only \"failed: wait\" has a bound"), ({"run": "yes"}, "group.run"),
    ({"run": True, "failed": "wait", "wait": 0}, "want 1 to"),
])
def test_what_cannot_be_is_refused(daemon, group, text):
    body = {"name": "wrong", "image": "host", "script": "true", "input": path("wrong/in", group=group)}
    answer = daemon.call("POST", "/system/services", json=body)
    assert answer.status_code == 400 and text in answer.text and "input[0]" in answer.text, answer.text


def test_kills_lose_and_double_nothing():
    seed = int(os.environ.get("SEED", time.time_ns() % 10**6))
    print(f"SEED={seed}")
    rng = random.Random(seed)
    d = Daemon()
    d.go = None
    try:
        retry = {"attempts": 50, "backoff_seconds": 0}
        d.create("k-split", SPLIT, input=path("kill/in"), output=path("kill/pics"), retry=retry)
        d.create("k-detect", DETECT, input=path("kill/pics"), output=path("kill/found"), retry=retry, cpu="0.2")
        d.create("k-join", JOIN, input=path("kill/found", group={"run": True}), output=path("kill/out"), retry=retry)
        d.create("k-sum", JOIN, input=path("kill/out", group={"run": True}), output=path("kill/sum"), retry=retry)
        n, kills = int(os.environ.get("FILES", 40)), int(os.environ.get("KILLS", 8))
        d.put("kill", "in/a", "".join(f"w{i}\n" for i in range(n)).encode())
        for _ in range(kills):
            time.sleep(rng.random() * 0.8)
            d.kill()
            d.start()
        job = d.settled("k-sum", 1, 120)[0]
        assert job["state"] == "succeeded", d.detail(job["name"])
        time.sleep(1.5)
        assert len(d.jobs("k-sum")) == 1
        join = d.jobs("k-join")
        assert len(join) == 1
        assert lines(d, join[0]) == [f"/mnt/input/found {n} 0"] + [f"./d/a-{i + 1:04}=found w{i}" for i in range(n)]
    finally:
        d.close()
