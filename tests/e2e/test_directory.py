"""Directories served in place as buckets: indexed without reading, followed as they change, nothing outside reachable."""
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import threading
import time

import botocore.exceptions
import pytest
import requests
from conftest import Daemon, run_cli, wait_for


@pytest.fixture
def root():
    path = pathlib.Path(tempfile.mkdtemp(prefix="oscar-dir-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def served(root):
    d = Daemon(None, "--directory-root", str(root))
    yield d
    d.close()


def folder(root, name="archive"):
    path = root / name
    path.mkdir()
    path.chmod(0o755)
    return path


def serve(d, name, path, **options):
    d.call("POST", "/system/buckets", 201, json={"bucket_name": name, "directory": {"path": str(path), **options}})


def state(d, name):
    return next(b for b in d.call("GET", "/system/buckets", 200).json() if b["bucket_name"] == name)["directory"]


def wait_keys(d, bucket, keys, seconds=30):
    wait_for(f"keys of {bucket}", lambda: sorted(d.keys(bucket)) == sorted(keys), seconds)


def put(path, data, old=True):
    """As a program that writes and closes does; `old`: long ago, so that a look alone finds it complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if old:
        os.utime(path, (time.time() - 3600,) * 2)


def fault(call, *args, **kw):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        call(*args, **kw)
    return e.value.response["ResponseMetadata"]["HTTPStatusCode"], e.value.response["Error"]["Code"]


def test_objects_are_files(served, root):
    d, path = served, folder(root)
    data = random.Random(1).randbytes(300000)
    for key in ("a.bin", "sub/b.bin", "sub/deep/c", "a-b", "a"):
        put(path / key, data)
    serve(d, "archive", path, stable_s=1)
    wait_keys(d, "archive", ["a.bin", "sub/b.bin", "sub/deep/c", "a-b", "a"])
    page = d.s3.list_objects_v2(Bucket="archive", Delimiter="/")
    assert [o["Key"] for o in page["Contents"]] == ["a", "a-b", "a.bin"]
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["sub/"]
    got = d.s3.get_object(Bucket="archive", Key="sub/b.bin")
    assert got["Body"].read() == data
    assert got["ETag"].strip('"') != hashlib.md5(data).hexdigest() and got["ETag"].endswith('-1"')
    assert abs(got["LastModified"].timestamp() - (path / "sub/b.bin").stat().st_mtime) < 1
    assert d.s3.get_object(Bucket="archive", Key="a", Range="bytes=1000-1999")["Body"].read() == data[1000:2000]
    assert d.s3.head_object(Bucket="archive", Key="a")["ContentLength"] == len(data)
    denied = (403, "AccessDenied")
    assert fault(d.s3.put_object, Bucket="archive", Key="x", Body=b"x") == denied
    assert fault(d.s3.put_object, Bucket="archive", Key="big", Body=bytes(100000)) == denied
    assert fault(d.s3.delete_object, Bucket="archive", Key="a") == denied
    assert fault(d.s3.create_multipart_upload, Bucket="archive", Key="x") == denied
    assert fault(d.s3.put_object_tagging, Bucket="archive", Key="a", Tagging={"TagSet": []}) == denied
    assert fault(d.s3.put_bucket_versioning, Bucket="archive",
                 VersioningConfiguration={"Status": "Enabled"}) == denied
    assert "Errors" in d.s3.delete_objects(Bucket="archive", Delete={"Objects": [{"Key": "a"}]})
    d.s3.create_bucket(Bucket="other")
    assert fault(d.s3.copy_object, Bucket="archive", Key="x", CopySource="archive/a") == denied
    d.s3.copy_object(Bucket="other", Key="copy", CopySource="archive/a")
    up = d.s3.create_multipart_upload(Bucket="other", Key="parts")["UploadId"]
    part = d.s3.upload_part_copy(Bucket="other", Key="parts", UploadId=up, PartNumber=1, CopySource="archive/a",
                                 CopySourceRange="bytes=10-200009")["CopyPartResult"]["ETag"]
    d.s3.complete_multipart_upload(Bucket="other", Key="parts", UploadId=up,
                                   MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    (path / "a").unlink()
    wait_keys(d, "archive", ["a.bin", "sub/b.bin", "sub/deep/c", "a-b"])
    assert d.get("other", "copy") == data and d.get("other", "parts") == data[10:200010]
    assert fault(d.s3.get_object, Bucket="archive", Key="a") == (404, "NoSuchKey")
    d.s3.delete_bucket(Bucket="archive")
    assert (path / "sub/b.bin").read_bytes() == data  # the files stay
    assert d.call("GET", "/system/buckets", 200).text.count("archive") == 0


def test_changes_are_noticed(served, root):
    d, path = served, folder(root)
    serve(d, "archive", path, interval_s=600, stable_s=2)
    wait_for("a look", lambda: state(d, "archive")["scans"])
    assert state(d, "archive")["watching"]
    start = time.monotonic()
    put(path / "new", b"1", old=False)
    wait_keys(d, "archive", ["new"])
    assert time.monotonic() - start < 5  # by inotify: not settled, but closed
    with open(path / "slow", "wb") as f:
        f.write(b"half")
        f.flush()
        put(path / "other", b"2", old=False)
        wait_keys(d, "archive", ["new", "other"])  # one that is open is no object
        f.write(b"whole")
    wait_keys(d, "archive", ["new", "other", "slow"])
    assert d.get("archive", "slow") == b"halfwhole"
    put(path / "new", b"changed", old=False)
    wait_for("the new bytes", lambda: d.get("archive", "new") == b"changed")
    (path / ".tmp").mkdir()
    put(path / ".tmp/x", b"3", old=False)
    wait_keys(d, "archive", ["new", "other", "slow", ".tmp/x"])
    os.rename(path / ".tmp/x", path / "renamed")
    os.rename(path / ".tmp", path / "folder")
    os.link(path / "new", path / "folder/linked")
    wait_keys(d, "archive", ["new", "other", "slow", "renamed", "folder/linked"])
    shutil.rmtree(path / "folder")
    (path / "new").unlink()
    wait_keys(d, "archive", ["other", "slow", "renamed"])


def test_when_a_file_is_complete(served, root):
    d = served
    stable, sentinel = folder(root, "stable"), folder(root, "sentinel")
    serve(d, "stable", stable, complete="stable", stable_s=1, no_watch=True, interval_s=1)
    serve(d, "sentinel", sentinel, complete="sentinel", sentinel=".ok", interval_s=600)
    put(stable / "a", b"x", old=False)
    put(sentinel / "a", b"x")
    wait_keys(d, "stable", ["a"])
    assert not state(d, "stable")["watching"]
    assert d.keys("sentinel") == []
    put(sentinel / "a.ok", b"")
    wait_keys(d, "sentinel", ["a"])


def test_nothing_outside_is_reachable(served, root, tmp_path):
    d, path = served, folder(root)
    secret = root / "secret"
    secret.mkdir(mode=0o755)
    put(secret / "file", b"secret")
    put(path / "real", b"x")
    put(path / "sub/inner", b"x")
    (path / "link").symlink_to(secret / "file")
    (path / "dirlink").symlink_to(secret)
    (path / "up").symlink_to("..")
    os.mkfifo(path / "pipe")
    mounted = path / "mount"
    mounted.mkdir()
    bound = subprocess.run(["mount", "--bind", str(secret), str(mounted)], capture_output=True).returncode == 0
    try:
        serve(d, "archive", path, stable_s=1)
        wait_keys(d, "archive", ["real", "sub/inner"])
        assert state(d, "archive")["skipped_kinds"] >= 4
        for key in ("link", "dirlink/file", "up/secret/file", "../secret/file", "sub/../../secret/file", "pipe",
                    "mount/file"):
            assert fault(d.s3.get_object, Bucket="archive", Key=key)[0] in (400, 404), key
        # A name that was a file becomes a way out: what was indexed is not read through it.
        shutil.rmtree(path / "sub")
        (path / "sub").symlink_to(secret)
        put(secret / "inner", b"x")
        answer = requests.get(d.s3.generate_presigned_url("get_object", {"Bucket": "archive", "Key": "sub/inner"}),
                              timeout=30)
        assert answer.status_code in (404, 503)
        wait_keys(d, "archive", ["real"])
    finally:
        if bound:
            subprocess.run(["umount", str(mounted)], check=True)
    for wrong in (tmp_path, root / "archive" / "sub", pathlib.Path("/etc"), pathlib.Path(d.data)):
        answer = d.call("POST", "/system/buckets", json={"bucket_name": "wrong", "directory": {"path": str(wrong)}})
        assert answer.status_code in (400, 403) or wrong == root / "archive" / "sub", wrong
    d.call("POST", "/system/users", 201, json={"name": "ana", "password": "ana-password"})
    answer = requests.post(d.api + "/system/buckets", auth=("ana", "ana-password"), timeout=30,
                           json={"bucket_name": "mine", "directory": {"path": str(path)}})
    assert answer.status_code == 403


def test_names_that_cannot_be_keys(served, root):
    d, path = served, folder(root)
    put(path / "good", b"x")
    with open(os.fsencode(path) + b"/bad\xff", "wb"):
        pass
    deep = path
    for _ in range(5):
        deep = deep / ("d" * 240)
        deep.mkdir()
    put(path / "ü &+%.txt", b"u")
    serve(d, "archive", path, stable_s=1)
    wait_keys(d, "archive", ["good", "ü &+%.txt"])
    assert state(d, "archive")["skipped_names"] == 2
    assert d.get("archive", "ü &+%.txt") == b"u"


UPPER = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"'


def test_files_start_jobs_once(served, root):
    d, path = served, folder(root)
    (path / "in").mkdir()
    put(path / "in/first", b"first")
    run_cli(d, "bucket", "add", "archive", "--directory", str(path), "--stable", "1s")
    wait_keys(d, "archive", ["in/first"])
    d.create("upper", UPPER, input=[{"storage_provider": "minio", "path": "archive/in"}])
    put(path / "in/second", b"second", old=False)
    d.settled("upper", 1)
    assert d.get("upper", "out/second") == b"SECOND"
    for life in range(2):
        (d.kill if life else d.leave)()
        put(path / f"in/down{life}", b"down")  # while nobody looks
        d.start()
        d.settled("upper", 2 + life)
    wait_for("another look", lambda: state(d, "archive")["scans"] >= 1)
    put(path / "in/last", b"last", old=False)
    jobs = d.settled("upper", 4)
    assert len(jobs) == 4 and all(j["state"] == "succeeded" for j in jobs)
    assert sorted(d.keys("upper", "out/")) == ["out/down0", "out/down1", "out/last", "out/second"]


def test_a_changed_file_fails_its_job(served, root):
    d, path = served, folder(root)
    put(path / "a", b"before")
    serve(d, "archive", path, stable_s=1, no_watch=True, interval_s=86400)
    wait_keys(d, "archive", ["a"])
    d.create("upper", UPPER)
    put(path / "a", b"after!", old=False)  # of the same size, and nobody tells
    record = {"Records": [{"eventSource": "minio:s3", "s3": {"bucket": {"name": "archive"}, "object": {"key": "a"}}}]}
    d.call("POST", "/job/upper", 201, json=record)
    job = d.settled("upper", 1)[0]
    first = d.detail(job["name"])["attempts"][0]
    assert first["outcome"] == "stage" and "changed after it was indexed" in first["reason"]


def event(key, bucket="archive"):
    return {"Records": [{"eventSource": "minio:s3", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]}


def test_files_are_bound_into_jobs(served, root):
    d, path = served, folder(root)
    group = pathlib.Path(f"/proc/{d.process.pid}").stat().st_gid
    for name, mode in (("open", 0o644), ("closed", 0o640)):  # the second for the daemon by its group alone
        put(path / name, name.encode())
        if os.geteuid() == 0:
            os.chown(path / name, 1234, group)
        os.chmod(path / name, mode)
    serve(d, "archive", path, stable_s=1)
    wait_keys(d, "archive", ["open", "closed"])
    d.create("look", 'cat "$INPUT_FILE_PATH"; echo; grep " $INPUT_FILE_PATH " /proc/self/mountinfo | cut -d" " -f6; '
                     'ls /oscar/input; (echo x >>"$INPUT_FILE_PATH") 2>/dev/null && echo wrote; true')
    for n, name in enumerate(("open", "closed")):
        d.call("POST", "/job/look", 201, json=event(name))
        job = d.settled("look", n + 1)[0]
        assert job["state"] == "succeeded", str(d.detail(job["name"])["attempts"])
        lines = d.joblog(job["name"]).split("\n")
        assert lines[0] == name and lines[1].startswith("ro,nosuid,nodev,noexec") and lines[2:] == [name, ""]
        assert (path / name).read_bytes() == name.encode()


def test_a_file_that_changes_under_its_job_fails_it(served, root):
    d, path = served, folder(root)
    put(path / "edited", b"before")
    put(path / "replaced", b"before")
    serve(d, "archive", path, stable_s=1, no_watch=True, interval_s=86400)
    wait_keys(d, "archive", ["edited", "replaced"])
    d.create("edit", 'echo began; until grep -q after "$INPUT_FILE_PATH"; do sleep 0.02; done')
    d.create("replace", 'echo began; sleep 1; cat "$INPUT_FILE_PATH"')
    for name in ("edit", "replace"):
        d.call("POST", f"/job/{name}", 201, json=event(name + ("d" if name == "replace" else "ed")))
        wait_for("its begin", lambda: any("began" in d.joblog(j["name"]) for j in d.jobs(name)))
    put(path / "edited", b"after!", old=False)
    put(path / "new", b"after!", old=False)
    os.rename(path / "new", path / "replaced")
    edited, replaced = (d.settled(name, 1)[0] for name in ("edit", "replace"))
    assert edited["state"] == "failed"
    attempt = d.detail(edited["name"])["attempts"][0]
    assert attempt["outcome"] == "changed" and attempt["reason"] == "the input edited changed while the job ran"
    # Another file under its name: the job has the one it was given.
    assert replaced["state"] == "succeeded" and "before" in d.joblog(replaced["name"])


def test_a_name_that_swings_leads_nowhere(served, root):
    """Links, other files and nothing take the place of a file while jobs with it are made."""
    d, path = served, folder(root)
    put(root / "secret", b"secret")
    put(path / "a", b"public")
    os.link(path / "a", root / "kept")
    serve(d, "archive", path, stable_s=1, no_watch=True, interval_s=86400)
    wait_keys(d, "archive", ["a"])
    d.create("show", 'cat "$INPUT_FILE_PATH"')
    stop = threading.Event()

    def swing():
        spare, rest = path / "spare", random.Random(3)
        while not stop.is_set():
            spare.unlink(missing_ok=True)
            what = rest.randrange(4)
            if what == 0:
                spare.symlink_to(root / "secret")
            elif what == 1:
                os.link(root / "secret", spare)
            else:
                os.link(root / "kept", spare)
            os.rename(spare, path / "a")
            if what == 2:
                (path / "a").unlink(missing_ok=True)

    thread = threading.Thread(target=swing)
    thread.start()
    try:
        for _ in range(60):
            d.call("POST", "/job/show", 201, json=event("a"))
        jobs = d.settled("show", 60)
    finally:
        stop.set()
        thread.join()
    for job in jobs:
        detail, log = d.detail(job["name"]), d.joblog(job["name"])
        assert "secret" not in log
        if job["state"] == "succeeded":
            assert log.startswith("public")
        else:
            assert any(word in detail["attempts"][-1]["reason"] for word in ("changed", "removed", "is gone")), detail


def test_kill_9_while_indexing(served, root):
    """Each file makes exactly one event, however often the indexing was interrupted."""
    d, path, n = served, folder(root), 4000
    for i in range(20):
        (path / f"{i:02}").mkdir()
    for i in range(n):
        (path / f"{i % 20:02}" / f"f{i}").write_bytes(b"x")
    d.call("PUT", "/system/targets/queue/q", 200, json={})
    serve(d, "archive", path, stable_s=1)
    d.s3.put_bucket_notification_configuration(Bucket="archive", NotificationConfiguration={"QueueConfigurations": [
        {"QueueArn": "arn:minio:sqs::q:queue", "Events": ["s3:ObjectCreated:*"]}]})
    missed = len(d.keys("archive"))  # indexed before there was a rule
    rest = random.Random(2)
    for _ in range(4):
        time.sleep(rest.random() * 0.3)
        d.kill()
        d.start()
    wait_for("the index", lambda: len(d.keys("archive")) == n, 60)
    heard, last = [], 0
    while True:
        page = d.call("GET", "/system/queues/q", 200, params={"after": last, "limit": 1000}).json()
        if not page["events"]:
            break
        heard += [e["record"]["Records"][0]["s3"]["object"]["key"] for e in page["events"]]
        last = page["last"]
    assert len(heard) == len(set(heard)) and n - missed - 512 <= len(heard) <= n


def test_another_directory_is_not_taken_for_it(served, root):
    d, path = served, folder(root)
    put(path / "a", b"x")
    serve(d, "archive", path, stable_s=1, interval_s=1, no_watch=True)
    wait_keys(d, "archive", ["a"])
    os.rename(path, root / "away")
    folder(root)  # as an empty mount point would be
    wait_for("a fault", lambda: state(d, "archive")["fault"])
    assert d.keys("archive") == ["a"]
    shutil.rmtree(path)
    os.rename(root / "away", path)
    wait_for("no fault", lambda: not state(d, "archive")["fault"])
    assert d.get("archive", "a") == b"x"
