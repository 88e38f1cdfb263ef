"""`group`: one job for several files, or for a folder that is complete by a sentinel."""
import json
import os
import pathlib
import random
import shutil
import tempfile
import time

import pytest
from conftest import Daemon, run_cli, wait_for

LIST = 'cat >"$TMP_OUTPUT_DIR/event.json"; cd "$INPUT_FILE_PATH" && find . -type f | sort | while read f; do echo "$f=$(head -c 40 "$f")"; done'


def grouped(name, folder="in", **group):
    return [{"storage_provider": "minio", "path": f"{name}/{folder}", "group": group}]


def files_of(d, job):
    return [line for line in d.joblog(job["name"]).split("\n") if line]


def groups(d, service):
    return d.call("GET", f"/system/services/{service}/queue", 200).json()["groups"]


def copies(d):
    return [n for n in os.listdir(pathlib.Path(d.data) / "tmp") if n.startswith(("group-", "view-"))]


@pytest.fixture
def root():
    path = pathlib.Path(tempfile.mkdtemp(prefix="oscar-grp-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_so_many_files_make_one_job(fresh):
    d = fresh
    d.create("tiles", LIST, input=grouped("tiles", count=3, wait=600))
    d.put("tiles", "in/a/x", b"first")
    d.put("tiles", "in/b/x", b"second " + b"." * 50000)  # the same name again
    assert not d.jobs("tiles")
    state = groups(d, "tiles")
    assert len(state) == 1 and state[0]["files"] == 2 and state[0]["of"] == 3 and state[0]["due"] > state[0]["opened"]
    assert "files: 2" in run_cli(d, "service", "queue", "tiles").stdout
    d.put("tiles", "in/b/x", b"second anew " + b"." * 50000)  # takes the other's place
    assert groups(d, "tiles")[0]["files"] == 2
    up = d.s3.create_multipart_upload(Bucket="tiles", Key="in/parts")["UploadId"]
    etags = [d.s3.upload_part(Bucket="tiles", Key="in/parts", UploadId=up, PartNumber=i, Body=b"p" * (5 << 20))["ETag"]
             for i in (1, 2)]
    d.s3.complete_multipart_upload(Bucket="tiles", Key="in/parts", UploadId=up, MultipartUpload={
        "Parts": [{"PartNumber": i + 1, "ETag": e} for i, e in enumerate(etags)]})
    job = d.settled("tiles", 1)[0]
    assert job["state"] == "succeeded", d.detail(job["name"])
    assert files_of(d, job) == ["./2-x=second anew " + "." * 28, "./parts=" + "p" * 40, "./x=first"]
    assert not groups(d, "tiles")
    wait_for("no copies", lambda: not copies(d))  # just behind the job's end
    event = json.loads(d.get("tiles", "out/event.json"))
    assert [r["s3"]["object"]["key"] for r in event["Records"]] == ["in%2Fa%2Fx", "in%2Fb%2Fx", "in%2Fparts"]
    made = d.s3.head_object(Bucket="tiles", Key="out/event.json")["Metadata"]
    versions = [r["s3"]["object"]["sequencer"].lower() for r in event["Records"]]
    assert made["oscar-input-count"] == "3"
    assert made["oscar-inputs"].lower().split() == [f"tiles/{k}:{v}" for k, v in zip(("in/a/x", "in/b/x", "in/parts"), versions)]
    d.put("tiles", "in/next", b"next")
    assert [g["files"] for g in groups(d, "tiles")] == [1] and len(d.jobs("tiles")) == 1


def test_fewer_make_one_after_a_while(fresh):
    d = fresh
    d.create("slow", LIST, input=grouped("slow", count=64, wait=1))
    d.put("slow", "in/a", b"a")
    d.put("slow", "in/b", b"b")
    assert files_of(d, d.settled("slow", 1)[0]) == ["./a=a", "./b=b"]
    d.put("slow", "in/c", b"c")
    assert files_of(d, d.settled("slow", 2)[0]) == ["./c=c"]
    assert not groups(d, "slow")


def test_an_input_that_went_fails_its_job(fresh):
    d = fresh
    d.create("gone", LIST, input=grouped("gone", count=2, wait=600))
    d.put("gone", "in/a", b"a")
    d.s3.delete_object(Bucket="gone", Key="in/a")
    d.put("gone", "in/b", b"b")
    job = d.settled("gone", 1)[0]
    assert job["state"] == "failed" and "gone/in/a is gone" in d.detail(job["name"])["attempts"][0]["reason"]


def test_a_change_of_the_service_closes_and_its_end_forgets(fresh):
    d = fresh
    d.create("moving", LIST, input=grouped("moving", count=5, wait=600))
    d.put("moving", "in/a", b"a")
    service = d.call("GET", "/system/services/moving", 200).json()
    service["input"][0].pop("group")
    service["script"] = "{ " + LIST + "; } 2>/dev/null; echo changed"  # its input is a file now, as sh would say piecemeal
    d.call("PUT", "/system/services", 204, json=service)
    assert "changed" in files_of(d, d.settled("moving", 1)[0])
    d.create("leaving", LIST, input=grouped("leaving", count=5, wait=1))
    d.put("leaving", "in/a", b"a")
    d.call("DELETE", "/system/services/leaving", 204)
    d.create("leaving", LIST, input=grouped("leaving", count=5, wait=1))
    time.sleep(2)
    assert not d.jobs("leaving") and not groups(d, "leaving")


def test_a_chain_and_files_that_were_there(fresh):
    d = fresh
    d.create("split", 'cat >/dev/null; for i in 1 2 3 4; do echo $i >"$TMP_OUTPUT_DIR/$i"; done',
             output=[{"storage_provider": "minio", "path": "join/in"}])
    d.create("join", LIST, input=grouped("join", count=4, wait=600), queue={"max": 1})
    d.put("split", "in/a", b"a")
    job = d.settled("join", 1)[0]
    assert files_of(d, job) == ["./1=1", "./2=2", "./3=3", "./4=4"]
    run = d.call("GET", f"/system/runs/{d.detail(job['name'])['run']}", 200).json()
    assert sorted(j["service"] for j in run["jobs"]) == ["join", "split"]
    run_cli(d, "backfill", "join")
    assert len(d.settled("join", 2)) == 2
    answer = d.call("POST", "/system/services/join/backfill", json={"sample": 2})
    assert answer.status_code == 400 and "groups its files" in answer.text


@pytest.mark.parametrize("group,text", [
    ({"count": 1}, "count: want 2 to 64"), ({"count": 65}, "count: want 2 to 64"), ({"wait": 5}, "want count"),
    ({"count": 2, "wait": 0}, "wait: want 1 to"), ({"count": 2, "sentinel": "x"}, "want one of"),
    ({"sentinel": "a/b"}, "want the name of a file"), ({"sentinel": ".."}, "want the name of a file"),
    ({"sentinel": "x", "wait": 5}, "want count"), ({"count": "two"}, "group.count"),
])
def test_what_cannot_be_is_refused(daemon, group, text):
    body = {"name": "wrong", "image": "host", "script": "true", "input": grouped("wrong", **group)}
    answer = daemon.call("POST", "/system/services", json=body)
    assert answer.status_code == 400 and text in answer.text and "input[0]" in answer.text, answer.text


def test_combinations_that_cannot_be(daemon):
    body = {"name": "wrong", "image": "host", "script": "true", "input": grouped("wrong", sentinel="_SUCCESS")}
    body["input"][0]["suffix"] = [".tif"]
    assert "no prefix or suffix" in daemon.call("POST", "/system/services", 400, json=body).text.replace("there can be ", "")
    body["input"][0].pop("suffix")
    body["mount"] = {"storage_provider": "minio.default", "path": "input/refs"}
    assert "/mnt/input/refs is mounted" in daemon.call("POST", "/system/services", 400, json=body).text
    body.pop("mount")
    body["output"] = grouped("other", count=2)
    assert "outputs are not grouped" in daemon.call("POST", "/system/services", 400, json=body).text


@pytest.mark.parametrize("kind", ["bucket", "directory"])
def test_a_folder_is_the_input_when_its_sentinel_comes(root, kind):
    d = Daemon(None, "--directory-root", str(root))
    try:
        if kind == "directory":
            (root / "scans").mkdir()
            d.call("POST", "/system/buckets", 201, json={"bucket_name": "scans", "directory": {"path": str(root / "scans"), "stable_s": 1}})

            def put(key, data):
                path = root / "scans" / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        else:
            d.s3.create_bucket(Bucket="scans")

            def put(key, data):
                d.put("scans", key, data)
        d.create("zarr", LIST + '; basename "$INPUT_FILE_PATH"; (echo x >new) 2>/dev/null && echo wrote; true',
                 input=grouped("scans", "in", sentinel=".zattrs"))
        put("in/one.zarr/0/0.0", b"chunk " + b"." * 100000)
        put("in/one.zarr/0/0.1", b"other")
        put("in/two.zarr/0/0.0", b"of two")
        put("in/one.zarr/x.zattrs", b"not the sentinel")
        wait_for("the files", lambda: len(d.keys("scans")) == 4)
        assert not d.jobs("zarr")
        put("in/one.zarr/.zattrs", b"{}")
        job = d.settled("zarr", 1)[0]
        assert job["state"] == "succeeded", d.detail(job["name"])
        assert files_of(d, job) == ["./.zattrs={}", "./0/0.0=chunk " + "." * 34, "./0/0.1=other", "./x.zattrs=not the sentinel", "one.zarr"]
        assert d.detail(job["name"])["input"] == "scans/in/one.zarr/.zattrs"
        put("in/.zattrs", b"all")  # of the input's own folder
        job = d.settled("zarr", 2)[0]
        lines = files_of(d, job)
        assert "./two.zarr/0/0.0=of two" in lines and lines[-1] == "in"
        wait_for("no copies", lambda: not copies(d))
    finally:
        d.close()


def test_files_of_a_directory_are_bound(root):
    d = Daemon(None, "--directory-root", str(root))
    try:
        (root / "in").mkdir()
        d.call("POST", "/system/buckets", 201, json={"bucket_name": "dir", "directory": {"path": str(root / "in"), "stable_s": 1}})
        d.create("pair", LIST + '; grep -c " /oscar/input/" /proc/self/mountinfo', input=[
            {"storage_provider": "minio", "path": "dir/raw", "group": {"count": 2, "wait": 600}}])
        (root / "in/raw").mkdir()
        (root / "in/raw/a").write_bytes(b"a" * 10)
        (root / "in/raw/b").write_bytes(b"b" * 10)
        job = d.settled("pair", 1)[0]
        assert files_of(d, job) == ["./a=" + "a" * 10, "./b=" + "b" * 10, "2"], d.detail(job["name"])
    finally:
        d.close()


def test_kills_lose_and_double_nothing(fresh):
    seed = int(os.environ.get("SEED", time.time_ns() % 10**6))
    print(f"SEED={seed}")
    d, rng = fresh, random.Random(seed)
    n, kills = int(os.environ.get("FILES", 120)), int(os.environ.get("KILLS", 8))
    d.create("some", LIST, input=grouped("some", count=7, wait=3), retry={"attempts": 50, "backoff_seconds": 0})
    at = sorted(rng.sample(range(n), kills))
    for i in range(n):
        if at and at[0] == i:
            at.pop(0)
            d.kill()
            d.start()
        d.put("some", f"in/{i:04}", f"{i}".encode())
    wait_for("no open group", lambda: not groups(d, "some"))
    jobs = wait_for("all jobs", lambda: (lambda found: found if {j["state"] for j in found} == {"succeeded"} else None)(d.jobs("some")), 60)
    seen = sorted(line for j in jobs for line in files_of(d, j))
    assert seen == sorted(f"./{i:04}={i}" for i in range(n))
    assert n / 7 <= len(jobs) <= n / 7 + kills + 2
