"""kill -9 of the daemon at random moments while clients write, overwrite, copy, delete and upload in parts.

Every acknowledged object is there and whole, no unacknowledged one is half there, listings agree with contents, the
start needs no repair, and `oscar check` finds nothing. CLIENTS, KILLS and SEED choose the size and repeat a run.
"""
import hashlib
import os
import random
import subprocess
import threading
import time

import botocore.exceptions

from eyes import e2e

CLIENTS, KILLS = int(os.environ.get("CLIENTS", 8)), int(os.environ.get("KILLS", 15))
SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
SIZES = (0, 100, 5000, 17000, 300000, 1500000)
PART = 5 << 20


def content(tag, size):
    block = hashlib.sha256(tag.encode()).digest() * 32
    return (block * (size // len(block) + 1))[:size]


class Client(threading.Thread):
    """Owns a few keys and knows what each may hold: one state when the last answer came, two when it did not."""

    def __init__(self, daemon, number):
        super().__init__()
        self.daemon, self.number, self.rng = daemon, number, random.Random(SEED * 100 + number)
        self.may = {f"c{number}/k{i}": {None} for i in range(12)}  # key -> (tag, size) or None
        self.stop, self.failed, self.url, self.answered, self.step = threading.Event(), None, None, 0, 0

    def client(self):
        if self.url != self.daemon.s3_url:
            self.url = self.daemon.s3_url
            self.s3 = e2e.boto3.client("s3", endpoint_url=self.url, aws_access_key_id=e2e.KEY,
                                       aws_secret_access_key=e2e.SECRET, region_name="us-east-1",
                                       config=e2e.botocore.config.Config(retries={"max_attempts": 0},
                                                                         connect_timeout=5, read_timeout=60))
        return self.s3

    def put(self, key, state):
        self.client().put_object(Bucket="store", Key=key, Body=content(*state))

    def delete(self, key, state):
        self.client().delete_object(Bucket="store", Key=key)

    def parts(self, key, state):
        s3, whole = self.client(), content(*state)
        upload = s3.create_multipart_upload(Bucket="store", Key=key)["UploadId"]
        made = [s3.upload_part(Bucket="store", Key=key, UploadId=upload, PartNumber=n + 1,
                               Body=whole[n * PART:(n + 1) * PART])["ETag"] for n in range(2)]
        s3.complete_multipart_upload(Bucket="store", Key=key, UploadId=upload, MultipartUpload={
            "Parts": [{"PartNumber": n + 1, "ETag": e} for n, e in enumerate(made)]})

    def one(self):
        key = self.rng.choice(sorted(self.may))
        kind = self.rng.choices((self.put, self.delete, self.parts), (20, 5, 1))[0]
        self.step += 1
        size = PART + 70000 if kind == self.parts else self.rng.choice(SIZES)
        state = None if kind == self.delete else (f"{self.number}-{self.step}", size)
        self.may[key] = self.may[key] | {state}
        kind(key, state)
        self.may[key] = {state}
        self.answered += 1

    def run(self):
        while not self.stop.is_set():
            try:
                self.one()
            except (botocore.exceptions.BotoCoreError, OSError):
                time.sleep(0.05)  # the daemon is away
            except Exception as e:
                self.failed = e
                return


def check_client(daemon, c, listed):
    for key, states in c.may.items():
        try:
            body = daemon.get("store", key)
        except daemon.s3.exceptions.NoSuchKey:
            body = None
        allowed = [None if s is None else content(*s) for s in states]
        assert body in allowed, f"{key}: {None if body is None else len(body)} bytes, allowed {states}"
        assert (key in listed) == (body is not None), f"{key}: the listing does not agree"
        assert body is None or listed[key] == len(body), key


def test_what_was_acknowledged_survives_kill_9_at_any_moment():
    print(f"SEED={SEED}")
    rng = random.Random(SEED)
    daemon = e2e.Daemon()
    try:
        daemon.s3.create_bucket(Bucket="store")
        clients = [Client(daemon, n) for n in range(CLIENTS)]
        for c in clients:
            c.start()
        starts = []
        for _ in range(KILLS):
            time.sleep(rng.random() * 0.8)
            daemon.kill()
            began = time.monotonic()
            daemon.start()
            starts.append(time.monotonic() - began)
        for c in clients:
            c.stop.set()
        for c in clients:
            c.join()
            assert c.failed is None, repr(c.failed)
        pages = daemon.s3.get_paginator("list_objects_v2").paginate(Bucket="store")
        listed = {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}
        for c in clients:
            check_client(daemon, c, listed)
        print(f"{sum(c.answered for c in clients)} answered, {len(listed)} objects, "
              f"slowest start {max(starts) * 1000:.0f} ms")
        daemon.leave()
        done = subprocess.run([str(e2e.OSCAR), "check", "--data", daemon.data], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        daemon.start()
    finally:
        daemon.close()
