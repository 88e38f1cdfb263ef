"""Faults of disk, clock and limits under the real daemon, by a library that is preloaded into it (tests/fault)."""
import errno
import mmap
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

import boto3
import botocore.config
import botocore.exceptions
import conftest
import pytest
import requests
from conftest import KEY, OSCAR, ROOT, SECRET, Daemon, wait_for

LIBRARY = pathlib.Path(os.environ.get("FAULT_LIBRARY", ROOT / "build" / "tests" / "fault" / "fault.so"))
READ, WRITE, SYNC, OPEN, MEMORY, MAP = 1, 2, 4, 8, 16, 32
ORDER = "<IiqI100sI"

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the library is not built with sanitizers")


class Faults:
    """A daemon with the library, and what it is told."""

    def __init__(self, place, *options):
        self.order = place / "order"
        self.order.write_bytes(bytes(256))
        self.order.chmod(0o666)
        with open(self.order, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 256)
        os.environ.update(LD_PRELOAD=str(LIBRARY), FAULT=str(self.order))
        try:
            self.daemon = Daemon(None, *options)
        finally:
            del os.environ["LD_PRELOAD"], os.environ["FAULT"]
        self.s3 = boto3.client("s3", endpoint_url=self.daemon.s3_url, aws_access_key_id=KEY,
                               aws_secret_access_key=SECRET, region_name="us-east-1",
                               config=botocore.config.Config(retries={"max_attempts": 0}))

    def fail(self, calls, path, error=errno.EIO, each=0):
        self.map[:struct.calcsize(ORDER)] = struct.pack(ORDER, 0, error, 0, 0, path.encode(), each)
        self.map[:4] = struct.pack("<I", calls)

    def shift(self, seconds):
        self.map[8:16] = struct.pack("<q", seconds)

    def heal(self):
        """… and how often something failed."""
        hits = struct.unpack(ORDER, self.map[:struct.calcsize(ORDER)])[3]
        self.map[:256] = bytes(256)
        return hits

    def refused(self, call, **kw):
        try:
            call(**kw)
            return None
        except botocore.exceptions.ClientError as e:
            return e.response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture
def faults(opened):
    f = Faults(opened)
    f.s3.create_bucket(Bucket="store")
    yield f
    f.heal()
    f.daemon.close()
    done = subprocess.run([str(OSCAR), "check", "--data", f.daemon.data], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 5), done.stdout  # 5: the data went with the daemon


SMALL, LARGE = b"small", b"large" * 20000


@pytest.mark.parametrize("calls,path,body,status", [
    (WRITE, "oscar.db-wal", SMALL, 503),
    (SYNC, "oscar.db-wal", SMALL, 503),
    (SYNC, "oscar.db-wal", LARGE, 503),
    (WRITE, "/content/", LARGE, 503),
    (SYNC, "/content", LARGE, 503),
])
def test_writes_that_fail(faults, calls, path, body, status):
    faults.s3.put_object(Bucket="store", Key="before", Body=body)
    faults.fail(calls, path)
    assert faults.refused(faults.s3.put_object, Bucket="store", Key="new", Body=body) == status
    assert faults.refused(faults.s3.put_object, Bucket="store", Key="before", Body=b"other" + body) == status
    assert faults.daemon.get("store", "before") == body
    assert faults.daemon.keys("store") == ["before"]
    assert faults.heal() >= 2
    # Without a restart.
    faults.s3.put_object(Bucket="store", Key="new", Body=body)
    assert faults.daemon.get("store", "new") == body
    # What was refused is not there after one either.
    faults.daemon.kill()
    faults.daemon.start()
    assert faults.daemon.get("store", "before") == body and faults.daemon.get("store", "new") == body
    faults.daemon.leave()
    checked = subprocess.run([str(OSCAR), "check", "--data", faults.daemon.data], capture_output=True, text=True,
                             check=False)
    assert checked.returncode == 0, checked.stdout


def test_a_disk_that_is_full_on_write(faults):
    faults.fail(WRITE, "/content/", errno.ENOSPC)
    assert faults.refused(faults.s3.put_object, Bucket="store", Key="k", Body=LARGE) == 507
    faults.fail(WRITE, "oscar.db-wal", errno.ENOSPC)
    assert faults.refused(faults.s3.put_object, Bucket="store", Key="k", Body=SMALL) == 507
    faults.heal()
    faults.s3.put_object(Bucket="store", Key="k", Body=SMALL)


def test_a_failed_commit_loses_no_content(faults):
    """The log's sync fails: the record may be on disk or not. After a crash the object is whole, or not there."""
    for i in range(10):
        faults.fail(SYNC, "oscar.db-wal")
        assert faults.refused(faults.s3.put_object, Bucket="store", Key=f"k{i}", Body=LARGE) == 503
        faults.heal()
        faults.daemon.kill()
        faults.daemon.start()
        faults.s3 = faults.daemon.s3
        for key in faults.daemon.keys("store"):
            assert faults.daemon.get("store", key) == LARGE
        if i == 0:  # later lives are without the library
            break
    faults.daemon.leave()
    checked = subprocess.run([str(OSCAR), "check", "--data", faults.daemon.data], capture_output=True, text=True,
                             check=False)
    assert checked.returncode == 0, checked.stdout


def test_reads_that_fail(faults):
    faults.s3.put_object(Bucket="store", Key="large", Body=LARGE)
    faults.s3.put_object(Bucket="store", Key="small", Body=SMALL)
    faults.fail(OPEN, "/")  # of the content: "ab/1ab"
    assert faults.refused(faults.s3.get_object, Bucket="store", Key="large") == 503
    assert faults.daemon.get("store", "small") == SMALL
    faults.heal()
    assert faults.daemon.get("store", "large") == LARGE


def test_a_job_waits_for_its_outputs_disk(faults):
    faults.daemon.create("slow", "sleep 0.5; cp \"$INPUT_FILE_PATH\" \"$TMP_OUTPUT_DIR/\"")
    faults.daemon.put("slow", "in/a", LARGE)
    wait_for("its start", lambda: faults.daemon.summary("slow")["running"] == 1)
    faults.fail(SYNC, "oscar.db-wal")
    wait_for("the failure to account it", lambda: "not accounted yet" in
             (pathlib.Path(faults.daemon.data) / "daemon.log").read_text())
    faults.heal()
    jobs = faults.daemon.settled("slow", 1)
    assert [j["state"] for j in jobs] == ["succeeded"]
    assert faults.daemon.get("slow", "out/a") == LARGE


@pytest.mark.parametrize("days", [1, -1])
def test_the_clock_jumps(faults, days):
    daemon = faults.daemon
    daemon.create("once", "sleep 3; date >\"$TMP_OUTPUT_DIR/$(basename \"$INPUT_FILE_PATH\")\"")
    daemon.put("once", "in/a", b"a")
    wait_for("its start", lambda: daemon.summary("once")["running"] == 1)
    faults.shift(days * 86400)
    jobs = daemon.settled("once", 1)
    assert [(j["state"], j["attempt"]) for j in jobs] == [("succeeded", 1)]
    answer = daemon.call("POST", "/job/once", 201, data=b"x",
                         headers={"Authorization": "Bearer " +
                                  daemon.call("GET", "/system/services/once", 200).json()["token"]})
    assert answer
    daemon.settled("once", 2)
    faults.shift(0)
    daemon.put("once", "in/b", b"b")
    jobs = daemon.settled("once", 3)
    assert {(j["state"], j["attempt"]) for j in jobs} <= {("succeeded", 1), ("failed", 1)}
    assert daemon.get("once", "out/b")


def cpu_seconds(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def test_no_descriptors_left(tmp_path, monkeypatch):
    few = tmp_path / "few"
    few.write_text(f"#!/bin/sh\nulimit -n 64\nexec {OSCAR} \"$@\"\n")
    few.chmod(0o755)
    monkeypatch.setattr(conftest, "OSCAR", few)
    daemon = Daemon()
    host, port = daemon.s3_url.split("//")[1].split(":")
    held, pid = [], daemon.process.pid
    try:
        daemon.s3.create_bucket(Bucket="store")
        for _ in range(100):
            held.append(socket.create_connection((host, int(port)), timeout=2))
        wait_for("the last descriptor", lambda: len(os.listdir(f"/proc/{pid}/fd")) >= 62)
        before = cpu_seconds(pid)
        time.sleep(1)
        assert cpu_seconds(pid) - before < 0.5, "it spins"
        for s in held:
            s.close()
        daemon.put("store", "k", LARGE)
        assert daemon.get("store", "k") == LARGE
    finally:
        for s in held:
            s.close()
        daemon.close()


# Who asks for memory: the server's own code, which stops when there is none, and those it relies on.
@pytest.mark.parametrize("calls,who,each", [
    (MEMORY, "/oscar", 1), (MEMORY, "/oscar", 300), (MEMORY, "libsqlite3", 1), (MEMORY, "libsqlite3", 50),
    (MEMORY, "libmicrohttpd", 1), (MEMORY, "libmicrohttpd", 7), (MEMORY, "libjansson", 1), (MEMORY, "libjansson", 20),
    (MEMORY, "libexpat", 1), (MEMORY, "libcrypto", 1), (MEMORY, "libc.so", 1), (MAP, "", 1)])  # fmt: skip
def test_no_memory_left(faults, calls, who, each):
    d, s3, there = faults.daemon, faults.s3, {}
    d.create("copy", 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"')

    def put(key, body):
        s3.put_object(Bucket="store", Key=key, Body=body)
        there[key] = body
    rules = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "x"}, "Expiration": {"Days": 9}}]}
    work = [lambda i: put(f"small{i}", SMALL), lambda i: put(f"large{i}", LARGE + b"%d" % i), lambda i: s3.list_objects_v2(Bucket="store"),
            lambda i: s3.get_object(Bucket="store", Key="large0")["Body"].read(),
            lambda i: s3.delete_objects(Bucket="store", Delete={"Objects": [{"Key": "none"}]}),
            lambda i: s3.put_bucket_lifecycle_configuration(Bucket="store", LifecycleConfiguration=rules),
            lambda i: d.create(f"more{i}", "true"), lambda i: d.call("POST", "/run/copy", data="x", timeout=2),
            lambda i: requests.get(d.s3_url + "/minio/health/live", timeout=2)]  # fmt: skip
    put("large0", LARGE)
    for n, do in enumerate(work):
        do(n)
    faults.fail(calls, who, errno.ENOMEM, each)
    for i in range(10, 14):
        for do in work:
            try:
                do(i)
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, requests.RequestException, AssertionError):
                pass  # refused, or nobody answers, or it waits until its outcome can be written
    assert faults.heal(), "nobody asked"
    if d.process.poll() is not None:  # it may stop, saying so, and begins anew without loss
        assert "out of memory" in (pathlib.Path(d.data) / "daemon.log").read_text(), d.process.returncode
        d.start()
    for key, body in there.items():
        assert d.get("store", key) == body
    d.put("copy", "in/after", LARGE)
    wait_for("the job", lambda: d.keys("copy", "out/after"))
    d.leave()
    checked = subprocess.run([str(OSCAR), "check", "--data", d.data], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_daemon_stands_still(faults):
    faults.daemon.create("still", "sleep 1; echo \"$INPUT_FILE_PATH\" >\"$TMP_OUTPUT_DIR/f\"")
    faults.daemon.put("still", "in/a", b"a")
    wait_for("its start", lambda: faults.daemon.summary("still")["running"] == 1)
    faults.daemon.process.send_signal(signal.SIGSTOP)
    time.sleep(int(os.environ.get("STILL", 4)))
    faults.daemon.process.send_signal(signal.SIGCONT)
    jobs = faults.daemon.settled("still", 1)
    assert [(j["state"], j["attempt"]) for j in jobs] == [("succeeded", 1)]


def test_a_damaged_database_is_read_only_and_says_so(faults):
    daemon = faults.daemon
    for i in range(50):
        faults.s3.put_object(Bucket="store", Key=f"k{i}", Body=SMALL * 1000)
    daemon.leave()  # all of it is in the file then
    daemon.start()
    path = pathlib.Path(daemon.data) / "oscar.db"
    whole = path.read_bytes()
    with open(path, "r+b") as f:
        f.truncate(len(whole) // 2 // 4096 * 4096)
    s3 = boto3.client("s3", endpoint_url=daemon.s3_url, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
                      region_name="us-east-1", config=botocore.config.Config(retries={"max_attempts": 0}))
    faults.s3 = s3
    answers = {faults.refused(s3.get_object, Bucket="store", Key=f"k{i}") for i in range(50)}
    assert answers <= {None, 500, 503}
    for i in range(50):
        faults.refused(s3.put_object, Bucket="store", Key=f"new{i}", Body=SMALL * 1000)
    assert faults.refused(s3.put_object, Bucket="store", Key="last", Body=SMALL) in (500, 503)
    assert "is damaged; writes are refused" in (pathlib.Path(daemon.data) / "daemon.log").read_text()
    assert daemon.call("GET", "/health").status_code in (200, 503)
    daemon.kill()
    path.write_bytes(whole)
    (pathlib.Path(daemon.data) / "oscar.db-wal").unlink(missing_ok=True)
    daemon.start()
    assert daemon.get("store", "k49") == SMALL * 1000
