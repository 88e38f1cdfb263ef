"""Outputs of services as plain files of a directory served in place."""
import json
import os
import pathlib
import random
import stat
import time

import pytest
from conftest import run_cli, wait_for
from test_directory import root, served  # noqa: F401

OWNER = 1234
COPY = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"'
ROOT = os.geteuid() == 0


def folder(d, root, name="archive"):
    """Of a user who lets the server's group write."""
    path = root / name
    path.mkdir()
    if ROOT:
        os.chown(path, OWNER, pathlib.Path(f"/proc/{d.process.pid}").stat().st_gid)
    path.chmod(0o2775)
    return path


def serve(d, name, path, **options):
    options = {"stable_s": 1, "outputs": True, **options}
    d.call("POST", "/system/buckets", 201, json={"bucket_name": name, "directory": {"path": str(path), **options}})


def state(d, name):
    return next(b for b in d.call("GET", "/system/buckets", 200).json() if b["bucket_name"] == name)["directory"]


def looked(d, name):
    """After all of the directory was looked at once more."""
    was = state(d, name)["scans"]
    wait_for("another look", lambda: state(d, name)["scans"] > was + 1)


def io(path):
    return [{"storage_provider": "minio", "path": path}]


def files(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())


def reason(d, job):
    return d.detail(job["name"])["attempts"][-1]


@pytest.mark.parametrize("no_watch", [False, True])
def test_a_chain_leaves_files_of_the_folders_owner(served, root, no_watch):
    d, path = served, folder(served, root)
    serve(d, "archive", path, no_watch=no_watch, interval_s=1)
    d.create("first", COPY + '; mkdir "$TMP_OUTPUT_DIR/deep"; echo extra >"$TMP_OUTPUT_DIR/deep/x.log"',
             output=[*io("archive/mid"), *io("archive/mid")])  # said twice, made once
    d.create("second", COPY, input=[{**io("archive/mid")[0], "suffix": [".txt"]}], output=io("archive/done/a"))
    d.put("first", "in/a.txt", b"text")
    jobs = d.settled("second", 1)
    assert [j["state"] for j in jobs] == ["succeeded"], reason(d, jobs[0])
    looked(d, "archive")
    assert files(path) == ["done/a/a.txt", "mid/a.txt", "mid/deep/x.log"]
    assert sorted(d.keys("archive")) == files(path)
    assert (path / "done/a/a.txt").read_bytes() == b"text" == d.get("archive", "done/a/a.txt")
    assert len(d.jobs("first")) == len(d.jobs("second")) == 1
    made = d.s3.head_object(Bucket="archive", Key="done/a/a.txt")
    assert made["Metadata"]["oscar-service"] == "second" and made["Metadata"]["oscar-input"] == "archive/mid/a.txt"
    assert made["ContentType"] == "text/plain"
    run = d.call("GET", f"/system/runs/{made['Metadata']['oscar-run']}", 200).json()
    assert sorted(j["service"] for j in run["jobs"]) == ["first", "second"]
    for p in (path / "done", path / "done/a", path / "mid/deep", path / "mid/a.txt", path / "done/a/a.txt"):
        st = p.stat()
        assert (st.st_uid, st.st_gid) == (path.stat().st_uid, path.stat().st_gid), p
        assert stat.S_IMODE(st.st_mode) == (0o2775 if p.is_dir() else 0o664), p
    d.put("first", "in/a.txt", b"text anew")  # the same names again
    jobs = d.settled("second", 2)
    assert [j["state"] for j in jobs] == ["succeeded"] * 2
    looked(d, "archive")
    assert (path / "done/a/a.txt").read_bytes() == b"text anew"
    assert len(d.jobs("first")) == len(d.jobs("second")) == 2
    (path / "mid/b.txt").write_bytes(b"from a program")  # which others write there as well
    d.settled("second", 3)
    assert (path / "done/a/b.txt").read_bytes() == b"from a program"


def test_many_jobs_write_one_name(served, root):
    d, path = served, folder(served, root)
    serve(d, "archive", path, interval_s=1)
    d.create("count", 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/last"', output=io("archive/out"))
    d.create("seen", "cat", input=io("archive/out"), output=[])
    for i in range(24):
        d.put("count", f"in/{i}", f"{i}".encode())
    assert {j["state"] for j in d.settled("count", 24)} == {"succeeded"}
    looked(d, "archive")
    assert files(path) == ["out/last"] and d.keys("archive") == ["out/last"]
    assert d.get("archive", "out/last") == (path / "out/last").read_bytes()
    assert len(d.jobs("seen")) == 24  # each write once, found again by no look


def test_what_may_not_be_is_told(served, root):
    d, path = served, folder(served, root)
    serve(d, "plain", folder(d, root, "plain"), outputs=False)
    body = {"name": "wrong", "image": "host", "script": "true", "input": io("wrong/in"), "output": io("plain/out")}
    answer = d.call("POST", "/system/services", json=body)
    assert answer.status_code == 400 and 'output[0].path: the bucket "plain" is a directory that takes no outputs' in answer.text
    outside = root / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    (path / "link").symlink_to(outside)
    (path / "file").write_bytes(b"x")
    (path / "closed").mkdir()
    (path / "closed").chmod(0o555)
    serve(d, "archive", path)
    serve(d, "sentinel", folder(d, root, "sentinel"), complete="sentinel")
    wants = {"link": ("archive/link", "link"), "file": ("archive/file", "is a file, not a folder"),
             "closed": ("archive/closed/sub" if ROOT else None, "Permission denied"),
             "sentinel": ("sentinel/out", "has a meaning"), "part": ("archive/out", "has a meaning")}
    names = {"sentinel": "a.done", "part": ".oscar-part-1"}
    for name, (where, why) in wants.items():
        if not where:
            continue
        d.create(name, f'cat >/dev/null; echo x >"$TMP_OUTPUT_DIR/{names.get(name, "out")}"', output=io(where))
        d.call("POST", f"/job/{name}", 201, json={})
        job = d.settled(name, 1)[0]
        assert job["state"] == "failed", name
        assert reason(d, job)["outcome"] == "upload" and why in reason(d, job)["reason"], reason(d, job)
    assert not list(outside.iterdir()) and files(path) == ["file"] and not files(root / "sentinel")


def test_none_of_a_failed_job(served, root):
    """All outputs or none: one of them has a name that the directory cannot take."""
    d, path = served, folder(served, root)
    serve(d, "archive", path, interval_s=1)
    d.create("some", 'for i in 1 2 3; do echo $i >"$TMP_OUTPUT_DIR/$i"; done; echo x >"$TMP_OUTPUT_DIR/.oscar-part-9"',
             output=io("archive/out"))
    d.call("POST", "/job/some", 201, json={})
    assert d.settled("some", 1)[0]["state"] == "failed"
    looked(d, "archive")
    assert not files(path) and not d.keys("archive")


def test_a_directory_that_is_away_is_waited_for(served, root):
    d, path = served, folder(served, root)
    serve(d, "archive", path, interval_s=1)
    d.create("copy", COPY, output=io("archive/out"))
    looked(d, "archive")
    d.leave()
    path.rename(root / "away")
    d.start()
    d.put("copy", "in/a", b"a")
    wait_for("its end", lambda: [j["state"] for j in d.jobs("copy")] == ["uploading"])
    (root / "away").rename(path)
    assert d.settled("copy", 1)[0]["state"] == "succeeded"
    assert files(path) == ["out/a"]


def test_kills_lose_and_double_nothing(served, root):
    seed = int(os.environ.get("SEED", time.time_ns() % 10**6))
    print(f"SEED={seed}")
    rng, n, kills = random.Random(seed), int(os.environ.get("FILES", 60)), int(os.environ.get("KILLS", 8))
    d, path = served, folder(served, root)
    serve(d, "archive", path, interval_s=1)
    retry = {"attempts": 50, "backoff_seconds": 0}
    d.create("first", COPY, output=io("archive/mid"), retry=retry)
    d.create("second", COPY, input=io("archive/mid"), output=io("archive/done"), retry=retry)
    for i in range(n):
        d.put("first", f"in/{i}", f"{i}".encode() * 20000)  # not a small one
    for _ in range(kills):
        time.sleep(rng.random() * 0.3)
        d.kill()
        d.start()
    jobs = d.settled("second", n, 120)
    looked(d, "archive")
    assert {j["state"] for j in jobs} == {"succeeded"}
    assert len(d.jobs("first")) == len(d.jobs("second")) == n
    want = sorted(f"{part}/{i}" for part in ("mid", "done") for i in range(n))
    assert files(path) == want == sorted(d.keys("archive"))
    for i in range(n):
        assert (path / f"done/{i}").read_bytes() == f"{i}".encode() * 20000


def test_by_the_command_line(served, root):
    d, path = served, folder(served, root)
    run_cli(d, "bucket", "add", "archive", "--directory", str(path), "--outputs")
    assert state(d, "archive")["outputs"] is True
    assert json.loads(run_cli(d, "bucket", "list", "-o", "json").stdout)
