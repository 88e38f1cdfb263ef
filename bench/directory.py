#!/usr/bin/env python3
"""A directory served in place.  usage: bench/directory.py [FILES]

Three lines: how long FILES (100,000) files of 4 KiB in 100 folders take until all are listed as objects, with the bytes that
the daemon read meanwhile; and the rate of GETs of a 64 KiB file of it beside the same bytes as an ordinary object (s3load,
8 connections, signed, in turns); and how long a job with a 1 GiB file of it as input takes from its request to its end,
beside one without input, and one with the same bytes as an object of two parts, which is copied.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402

SIZE = 64 << 10
LOAD = ROOT / "build" / "bench" / "s3load"


def read_bytes(pid):
    with open(f"/proc/{pid}/io", encoding="ascii") as io:
        return next(int(line.split()[1]) for line in io if line.startswith("rchar"))


def directory(d, name):
    return next(b for b in d.call("GET", "/system/buckets", 200).json() if b["bucket_name"] == name)["directory"]


def index(d, root, n):
    path = root / "many"
    for i in range(n):
        if i < 100:
            (path / f"{i:02}").mkdir(parents=True)
        with open(path / f"{i % 100:02}" / f"file-{i:06}", "wb") as f:
            f.write(bytes(4096))
    for folder, _, files in os.walk(path):
        for f in files:
            os.utime(os.path.join(folder, f), (1e9, 1e9))
    time.sleep(2)  # settled
    before, start = read_bytes(d.process.pid), time.monotonic()
    d.call("POST", "/system/buckets", 201,
           json={"bucket_name": "many", "directory": {"path": str(path), "stable_s": 1}})
    conftest.wait_for("the index", lambda: directory(d, "many")["files"] == n, 600)
    took = time.monotonic() - start
    again = directory(d, "many")["scan_ms"]
    print(f"index: {n} files in {took:.1f} s, {(read_bytes(d.process.pid) - before) >> 20} MiB read "
          f"of {n * 4096 >> 20} MiB of contents; the scan {again} ms")


def rate(d, bucket):
    done = subprocess.run([str(LOAD), "-o", "get", "-h", d.s3_url.split("//")[1], "-b", bucket, "-n", "8000", "-c", "8",
                           "-k", conftest.KEY, "-s", conftest.SECRET, "-p", "get", "-K", "10", "-P", str(d.process.pid)],
                          capture_output=True, text=True, check=True)
    got = json.loads(done.stdout)
    return got["rate"], got["server_cpu_us"]


def get(d, root):
    path = root / "get"
    path.mkdir()
    d.s3.create_bucket(Bucket="ordinary")
    for i in range(10):
        data = os.urandom(SIZE)
        (path / f"get{i:08}").write_bytes(data)
        os.utime(path / f"get{i:08}", (1e9, 1e9))
        d.put("ordinary", f"get{i:08}", data)
    time.sleep(2)
    d.call("POST", "/system/buckets", 201,
           json={"bucket_name": "in-place", "directory": {"path": str(path), "stable_s": 1}})
    conftest.wait_for("the index", lambda: directory(d, "in-place")["files"] == 10)
    ours, theirs = [], []
    for _ in range(9):
        ours.append(rate(d, "in-place"))
        theirs.append(rate(d, "ordinary"))
    (a, a_cpu), (b, b_cpu) = ([sorted(c)[4] for c in zip(*runs)] for runs in (ours, theirs))
    print(f"GET {SIZE >> 10} KiB: in place {a:.0f}/s, ordinary {b:.0f}/s, ratio {a / b:.2f}; CPU {a_cpu:.0f} and "
          f"{b_cpu:.0f} us a request, ratio {a_cpu / b_cpu:.2f}")


def job_ms(d, service, n, bucket=None, key=None):
    times = []
    for _ in range(n):
        start = time.monotonic()
        record = {"Records": [{"eventSource": "minio:s3", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]}
        d.call("POST", f"/run/{service}", 200, json=record if bucket else {})
        times.append((time.monotonic() - start) * 1000)
    return sorted(times)[n // 2]


def job(d, root, size=1 << 30):
    path = root / "large"
    path.mkdir()
    half = os.urandom(1 << 20) * (size >> 21)
    (path / "file").write_bytes(half * 2)
    os.utime(path / "file", (1e9, 1e9))
    d.s3.create_bucket(Bucket="parts")
    up = d.s3.create_multipart_upload(Bucket="parts", Key="file")["UploadId"]
    parts = [{"PartNumber": i, "ETag": d.s3.upload_part(Bucket="parts", Key="file", UploadId=up, PartNumber=i,
                                                        Body=half)["ETag"]} for i in (1, 2)]
    d.s3.complete_multipart_upload(Bucket="parts", Key="file", UploadId=up, MultipartUpload={"Parts": parts})
    d.call("POST", "/system/buckets", 201,
           json={"bucket_name": "large", "directory": {"path": str(path), "stable_s": 1}})
    conftest.wait_for("the index", lambda: directory(d, "large")["files"] == 1)
    d.create("size", 'test -z "$STORAGE_OBJECT_KEY" || test "$(stat -c %s "$INPUT_FILE_PATH")" = ' + str(size))
    none, bound, copied = job_ms(d, "size", 21), job_ms(d, "size", 21, "large", "file"), job_ms(d, "size", 3, "parts", "file")
    print(f"job with {size >> 20} MiB of input: in place {bound:.1f} ms, without input {none:.1f} ms, two parts "
          f"{copied:.0f} ms; ratio to none {bound / none:.2f}, to copied {bound / copied:.4f}")


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
    root = pathlib.Path(tempfile.mkdtemp(prefix="oscar-bench-dir-", dir="/tmp"))
    root.chmod(0o755)
    d = conftest.Daemon(None, "--directory-root", str(root))
    try:
        index(d, root, n)
        get(d, root)
        job(d, root)
    finally:
        d.close()
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
