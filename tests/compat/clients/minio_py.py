"""minio-py with its default settings.  usage: minio_py.py ENDPOINT ACCESS SECRET BUCKET FOLDER"""
import datetime
import io
import os
import pathlib
import sys
import threading
import urllib.request

from minio import Minio
from minio.commonconfig import CopySource, ComposeSource, ENABLED, Filter, Tags
from minio.datatypes import PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.versioningconfig import VersioningConfig

LARGE = 11 << 20  # three parts of 5 MiB
ODD = "dir/with space+plus ümläut &<>'\".bin"


def fails(code, call, *args, **kw):
    try:
        call(*args, **kw)
    except S3Error as e:
        assert e.code == code, e
    else:
        raise AssertionError(f"{code} was expected")


def main(endpoint, access, secret, bucket, folder):
    c = Minio(endpoint.split("//")[1], access, secret, secure=False)
    folder = pathlib.Path(folder)
    assert not c.bucket_exists(bucket)
    c.make_bucket(bucket)
    assert c.bucket_exists(bucket) and bucket in [b.name for b in c.list_buckets()]
    fails("BucketAlreadyOwnedByYou", c.make_bucket, bucket)

    # Bodies: known length, unknown length in parts, from and to files.
    large = os.urandom(LARGE)
    c.put_object(bucket, ODD, io.BytesIO(b"small"), 5, content_type="text/plain", metadata={"colour": "blue"})
    c.put_object(bucket, "large", io.BytesIO(large), -1, part_size=5 << 20)
    (folder / "up").write_bytes(large)
    c.fput_object(bucket, "file", str(folder / "up"))
    c.fget_object(bucket, "file", str(folder / "down"))
    assert (folder / "down").read_bytes() == large
    stat = c.stat_object(bucket, ODD)
    assert (stat.size, stat.content_type, stat.metadata["x-amz-meta-colour"]) == (5, "text/plain", "blue")
    assert c.stat_object(bucket, "large").etag.endswith("-3")
    got = c.get_object(bucket, "large", offset=LARGE - 10, length=10)
    assert got.read() == large[-10:]
    got.close()
    got.release_conn()
    fails("NoSuchKey", c.stat_object, bucket, "none")

    # Listings: all of them, one level, after a key.
    for i in range(25):
        c.put_object(bucket, f"many/{i:03}", io.BytesIO(b""), 0)
    assert [o.object_name for o in c.list_objects(bucket, "many/", recursive=True)] == [f"many/{i:03}" for i in range(25)]
    assert sorted(o.object_name for o in c.list_objects(bucket)) == ["dir/", "file", "large", "many/"]
    assert [o.object_name for o in c.list_objects(bucket, recursive=True, start_after="many/022")] == ["many/023", "many/024"]
    assert [o.object_name for o in c.list_objects(bucket, "dir/", use_api_v1=True)] == [ODD]

    # Copies, and a new object of several.
    c.copy_object(bucket, "copy", CopySource(bucket, ODD))
    assert c.get_object(bucket, "copy").read() == b"small"
    c.compose_object(bucket, "composed", [ComposeSource(bucket, "large"), ComposeSource(bucket, ODD)])
    assert c.get_object(bucket, "composed").read() == large + b"small"

    # Tags, versions, lifecycle, policy.
    tags = Tags.new_object_tags()
    tags["Project"] = "One"
    c.set_object_tags(bucket, ODD, tags)
    assert c.get_object_tags(bucket, ODD) == {"Project": "One"}
    c.delete_object_tags(bucket, ODD)
    assert not c.get_object_tags(bucket, ODD)
    c.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    assert c.get_bucket_versioning(bucket).status == ENABLED
    first = c.put_object(bucket, "v", io.BytesIO(b"1"), 1).version_id
    second = c.put_object(bucket, "v", io.BytesIO(b"2"), 1).version_id
    assert c.get_object(bucket, "v", version_id=first).read() == b"1"
    assert [(o.version_id, o.is_latest) for o in c.list_objects(bucket, "v", include_version=True)] == [
        (second, "true"), (first, "false")]
    c.set_bucket_lifecycle(bucket, LifecycleConfig([Rule(ENABLED, rule_filter=Filter(prefix="tmp/"), rule_id="r",
                                                         expiration=Expiration(days=3))]))
    assert c.get_bucket_lifecycle(bucket).rules[0].expiration.days == 3
    c.delete_bucket_lifecycle(bucket)
    fails("NoSuchBucketPolicy", c.get_bucket_policy, bucket)

    # Addresses signed ahead, and a form.
    hour = datetime.timedelta(hours=1)
    with urllib.request.urlopen(c.presigned_get_object(bucket, ODD, expires=hour)) as r:
        assert r.read() == b"small"
    put = urllib.request.Request(c.presigned_put_object(bucket, "by-link", expires=hour), b"linked", method="PUT")
    urllib.request.urlopen(put).close()
    assert c.get_object(bucket, "by-link").read() == b"linked"
    policy = PostPolicy(bucket, datetime.datetime.now(datetime.timezone.utc) + hour)
    policy.add_starts_with_condition("key", "form/")
    policy.add_content_length_range_condition(1, 100)
    fields = {**c.presigned_post_policy(policy), "key": "form/a"}
    edge = "edge-of-the-form"
    form = "".join(f'--{edge}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items())
    form += f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nposted\r\n--{edge}--\r\n'
    urllib.request.urlopen(urllib.request.Request(
        f"{endpoint}/{bucket}", form.encode(), {"Content-Type": f"multipart/form-data; boundary={edge}"})).close()
    assert c.get_object(bucket, "form/a").read() == b"posted"

    # Events as they happen. It connects when the first is asked for, so puts go on until one is heard.
    heard = threading.Event()

    def put_often():
        while not heard.wait(0.1):
            c.put_object(bucket, "unheard", io.BytesIO(b""), 0)
            c.put_object(bucket, "heard/a b", io.BytesIO(b"123"), 3)
    putting = threading.Thread(target=put_often)
    putting.start()
    with c.listen_bucket_notification(bucket, prefix="heard/", events=["s3:ObjectCreated:*"]) as events:
        record = next(iter(events))["Records"][0]
        heard.set()
        putting.join()
    assert (record["eventName"], record["s3"]["object"]["size"]) == ("s3:ObjectCreated:Put", 3), record
    assert record["s3"]["object"]["key"] == "heard/a b", record

    # All goes, versions too.
    every = [DeleteObject(o.object_name, o.version_id)
             for o in c.list_objects(bucket, recursive=True, include_version=True)]
    assert not list(c.remove_objects(bucket, every))
    c.remove_bucket(bucket)
    fails("NoSuchBucket", lambda: list(c.list_objects(bucket)))


main(*sys.argv[1:])
