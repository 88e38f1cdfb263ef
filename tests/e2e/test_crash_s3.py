"""kill -9 under writes of all kinds to a versioned bucket: what was answered is there, and oscar check is content."""
import os
import subprocess
import threading
import time

import boto3
import botocore.config
import botocore.exceptions

from conftest import KEY, OSCAR, SECRET

PART = 5 << 20
ROUNDS, WRITERS = 4, 6


class Writer(threading.Thread):
    """Puts, overwrites, deletes, copies and completes until the server goes; keeps what was answered."""

    def __init__(self, url, number):
        super().__init__()
        self.s3 = boto3.client("s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
                               region_name="us-east-1", config=botocore.config.Config(
                                   retries={"max_attempts": 0}, connect_timeout=5, read_timeout=20))
        self.number, self.kept, self.markers, self.error = number, {}, set(), None

    def put(self, key, body):
        self.kept[key, self.s3.put_object(Bucket="box", Key=key, Body=body)["VersionId"]] = body

    def whole(self, key, body):
        up = self.s3.create_multipart_upload(Bucket="box", Key=key)
        upload = {"Bucket": "box", "Key": key, "UploadId": up["UploadId"]}
        parts = []
        for number, piece in ((1, body), (2, b"tail")):
            done = self.s3.upload_part(PartNumber=number, Body=piece, **upload)
            parts.append({"PartNumber": number, "ETag": done["ETag"]})
        done = self.s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
        self.kept[key, done["VersionId"]] = body + b"tail"

    def turn(self, i):
        key = f"{self.number}/{i % 3}"
        self.put(key, os.urandom(100 + i))
        self.put(key, os.urandom(50000 + i))
        self.markers.add((key, self.s3.delete_object(Bucket="box", Key=key)["VersionId"]))
        source = next(iter(self.kept))
        made = self.s3.copy_object(Bucket="box", Key=key + "c", CopySource={
            "Bucket": "box", "Key": source[0], "VersionId": source[1]})
        self.kept[key + "c", made["VersionId"]] = self.kept[source]
        if i % 5 == 4:  # for good
            gone = next(iter(self.kept))
            body = self.kept.pop(gone)  # what was asked to go may be there or not
            self.s3.delete_object(Bucket="box", Key=gone[0], VersionId=gone[1])
            assert body is not None
        if i % 4 == 0:
            self.whole(key + "m", os.urandom(PART))

    def run(self):
        try:
            for i in range(10 ** 6):
                self.turn(i)
        except (botocore.exceptions.EndpointConnectionError, botocore.exceptions.ConnectionClosedError,
                botocore.exceptions.HTTPClientError):
            pass
        except Exception as e:  # noqa: BLE001: the test shows it
            self.error = e


def test_answered_versions_survive_and_all_is_well(fresh):
    fresh.s3.create_bucket(Bucket="box")
    fresh.s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
    answered = 0
    for number in range(ROUNDS):
        writers = [Writer(fresh.s3_url, f"{number}-{i}") for i in range(WRITERS)]
        for w in writers:
            w.start()
        deadline = time.monotonic() + 20
        while sum(len(w.kept) for w in writers) < 40 * (number + 1) and time.monotonic() < deadline:
            time.sleep(0.01)
        fresh.kill()
        for w in writers:
            w.join(60)
            assert w.error is None, w.error
        done = subprocess.run([str(OSCAR), "check", "--data", fresh.data], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        fresh.start()
        listed = {}
        for page in fresh.s3.get_paginator("list_object_versions").paginate(Bucket="box"):
            listed.update({(v["Key"], v["VersionId"]): v["Size"] for v in page.get("Versions", [])})
            listed.update({(m["Key"], m["VersionId"]): None for m in page.get("DeleteMarkers", [])})
        for w in writers:
            for (key, version), body in w.kept.items():
                assert listed.get((key, version)) == len(body), (key, version)
                assert fresh.s3.get_object(Bucket="box", Key=key, VersionId=version)["Body"].read() == body
            assert w.markers <= set(listed)
            answered += len(w.kept)
    assert answered >= ROUNDS * 10
