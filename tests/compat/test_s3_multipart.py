"""Parts of finished objects, their attributes and checksums, part copies, and what guards a completion."""
import base64
import datetime
import hashlib
import os

import pytest

from test_s3_boto3 import NEW, PART, SUMS, fault
from test_s3_versions import enable

pytestmark = pytest.mark.skipif(not NEW, reason="needs a newer boto3")


def begin(s3, bucket, key, **kw):
    made = s3.create_multipart_upload(Bucket=bucket, Key=key, **kw)
    return {"Bucket": bucket, "Key": key, "UploadId": made["UploadId"]}


def send(s3, upload, pieces, **kw):
    """Uploads {number: bytes}; the parts as a completion names them."""
    parts = []
    for number, piece in pieces.items():
        done = s3.upload_part(PartNumber=number, Body=piece, **upload, **kw)
        parts.append({"PartNumber": number, "ETag": done["ETag"],
                      **{k: v for k, v in done.items() if k.startswith("Checksum")}})
    return parts


def finish(s3, upload, parts, **kw):
    return s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload, **kw)


def b64(raw):
    return base64.b64encode(raw).decode()


def test_parts_of_a_finished_object(s3, bucket):
    pieces = {2: os.urandom(PART), 5: os.urandom(PART + 1), 9: b"end"}
    upload = begin(s3, bucket, "m", ChecksumAlgorithm="SHA256")
    assert fault(s3.get_object, Bucket=bucket, Key="m", PartNumber=2) == (404, "NoSuchKey")
    parts = send(s3, upload, pieces, ChecksumAlgorithm="SHA256")
    done = finish(s3, upload, parts)
    whole = b"".join(pieces.values())
    at = 0
    for number, piece in pieces.items():
        got = s3.get_object(Bucket=bucket, Key="m", PartNumber=number, ChecksumMode="ENABLED")
        assert got["Body"].read() == piece and got["PartsCount"] == 3 and got["ETag"] == done["ETag"]
        assert got["ContentRange"] == f"bytes {at}-{at + len(piece) - 1}/{len(whole)}"
        assert got["ChecksumSHA256"] == b64(hashlib.sha256(piece).digest())
        head = s3.head_object(Bucket=bucket, Key="m", PartNumber=number)
        assert head["ContentLength"] == len(piece) and head["ResponseMetadata"]["HTTPStatusCode"] == 206
        at += len(piece)
    assert fault(s3.get_object, Bucket=bucket, Key="m", PartNumber=3) == (400, "InvalidPart")
    assert fault(s3.get_object, Bucket=bucket, Key="m", PartNumber=2, Range="bytes=0-1") == (400, "InvalidRequest")
    s3.put_object(Bucket=bucket, Key="plain", Body=b"abc")
    got = s3.get_object(Bucket=bucket, Key="plain", PartNumber=1)
    assert got["Body"].read() == b"abc" and "PartsCount" not in got
    assert fault(s3.get_object, Bucket=bucket, Key="plain", PartNumber=2) == (400, "InvalidPart")


def test_attributes(s3, bucket):
    everything = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    pieces = {1: os.urandom(PART), 2: os.urandom(PART), 3: b"end"}
    upload = begin(s3, bucket, "m", ChecksumAlgorithm="SHA256", StorageClass="STANDARD_IA")
    parts = send(s3, upload, pieces, ChecksumAlgorithm="SHA256")
    done = finish(s3, upload, parts)
    got = s3.get_object_attributes(Bucket=bucket, Key="m", ObjectAttributes=everything)
    assert got["ETag"] == done["ETag"].strip('"') and got["ObjectSize"] == 2 * PART + 3
    assert got["StorageClass"] == "STANDARD_IA" and got["LastModified"]
    assert got["Checksum"] == {"ChecksumSHA256": done["ChecksumSHA256"], "ChecksumType": "COMPOSITE"}
    assert got["ObjectParts"]["TotalPartsCount"] == 3 and not got["ObjectParts"]["IsTruncated"]
    assert [(p["PartNumber"], p["Size"], p["ChecksumSHA256"]) for p in got["ObjectParts"]["Parts"]] == \
        [(n, len(p), b64(hashlib.sha256(p).digest())) for n, p in pieces.items()]
    page = s3.get_object_attributes(Bucket=bucket, Key="m", ObjectAttributes=["ObjectParts"], MaxParts=1,
                                    PartNumberMarker=1)["ObjectParts"]
    assert [p["PartNumber"] for p in page["Parts"]] == [2] and page["IsTruncated"]
    assert (page["NextPartNumberMarker"], page["PartNumberMarker"], page["MaxParts"]) == (2, 1, 1)
    s3.put_object(Bucket=bucket, Key="plain", Body=b"abc")
    got = s3.get_object_attributes(Bucket=bucket, Key="plain", ObjectAttributes=everything)
    assert "ObjectParts" not in got and got["ObjectSize"] == 3 and got["StorageClass"] == "STANDARD"
    assert fault(s3.get_object_attributes, Bucket=bucket, Key="plain", ObjectAttributes=["Colour"]) == \
        (400, "InvalidArgument")
    enable(s3, bucket)
    version = s3.put_object(Bucket=bucket, Key="plain", Body=b"abcd")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="plain")["VersionId"]
    got = s3.get_object_attributes(Bucket=bucket, Key="plain", VersionId=version, ObjectAttributes=["ObjectSize"])
    assert got["VersionId"] == version and got["ObjectSize"] == 4
    assert fault(s3.get_object_attributes, Bucket=bucket, Key="plain", ObjectAttributes=["ETag"]) == \
        (404, "NoSuchKey")
    assert fault(s3.get_object_attributes, Bucket=bucket, Key="plain", VersionId=marker,
                 ObjectAttributes=["ETag"]) == (405, "MethodNotAllowed")


def test_completion_is_checked(s3, bucket):
    piece = os.urandom(100)
    digest = b64(hashlib.sha256(piece).digest())
    upload = begin(s3, bucket, "m", ChecksumAlgorithm="SHA256")
    parts = send(s3, upload, {1: piece}, ChecksumAlgorithm="SHA256")
    whole = b64(hashlib.sha256(hashlib.sha256(piece).digest()).digest())
    bare = [{k: v for k, v in parts[0].items() if k != "ChecksumSHA256"}]
    assert fault(finish, s3, upload, parts, ChecksumSHA256="bad") == (400, "InvalidRequest")
    assert fault(finish, s3, upload, parts, ChecksumSHA256=digest) == (400, "BadDigest")
    assert fault(finish, s3, upload, bare) == (400, "InvalidRequest")
    assert fault(finish, s3, upload, [dict(parts[0], ChecksumSHA256="bad")]) == (400, "InvalidPart")
    assert fault(finish, s3, upload, parts, ChecksumType="FULL_OBJECT") == (400, "InvalidRequest")
    assert fault(finish, s3, upload, parts, MpuObjectSize=99) == (400, "InvalidRequest")
    done = finish(s3, upload, parts, ChecksumSHA256=whole + "-1", MpuObjectSize=100)
    assert done["ChecksumSHA256"] == whole + "-1"
    again = finish(s3, upload, parts)
    assert (again["ETag"], again["ChecksumSHA256"]) == (done["ETag"], done["ChecksumSHA256"])
    s3.delete_object(Bucket=bucket, Key="m")
    assert fault(finish, s3, upload, parts) == (404, "NoSuchUpload")


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
def test_whole_sums_of_parts(service, bucket, name):
    """The client sends no sums: each part's is computed here, and combined is that of one piece."""
    s3 = service.client(request_checksum_calculation="when_required")
    pieces = {1: os.urandom(PART), 2: os.urandom(77)}
    sums = []
    for split in (pieces, {1: b"".join(pieces.values())}):
        upload = begin(s3, bucket, "m", ChecksumAlgorithm=name, ChecksumType="FULL_OBJECT")
        done = finish(s3, upload, send(s3, upload, split))
        assert done["ChecksumType"] == "FULL_OBJECT"
        sums.append(done[f"Checksum{name}"])
    assert sums[0] == sums[1]
    if name == "CRC32":
        assert sums[0] == b64(SUMS["CRC32"](b"".join(pieces.values())))


def test_guards_of_completion_and_put(s3, bucket):
    s3.put_object(Bucket=bucket, Key="m", Body=b"old")
    etag = s3.head_object(Bucket=bucket, Key="m")["ETag"]
    upload = begin(s3, bucket, "m")
    parts = send(s3, upload, {1: b"new"})
    assert fault(finish, s3, upload, parts, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert fault(finish, s3, upload, parts, IfMatch='"0123"') == (412, "PreconditionFailed")
    finish(s3, upload, parts, IfMatch=etag)
    put = dict(Bucket=bucket, Key="k", Body=b"x")
    assert fault(s3.put_object, IfMatch="*", **put) == (404, "NoSuchKey")
    etag = s3.put_object(IfNoneMatch="*", **put)["ETag"]
    assert fault(s3.put_object, IfNoneMatch="*", **put) == (412, "PreconditionFailed")
    assert fault(s3.put_object, IfNoneMatch=etag, **put) == (412, "PreconditionFailed")
    s3.put_object(IfNoneMatch='"other"', **put)
    s3.put_object(IfMatch="*", **put)
    assert fault(s3.put_object, IfMatch=etag, IfNoneMatch="*", **put) == (400, "InvalidRequest")


def test_guards_of_deletes(s3, bucket):
    def put(key):
        s3.put_object(Bucket=bucket, Key=key, Body=b"abc")
        got = s3.head_object(Bucket=bucket, Key=key)
        return got["ETag"], got["LastModified"]

    k = {"Bucket": bucket, "Key": "k"}
    etag, when = put("k")
    later = when + datetime.timedelta(seconds=5)
    for wrong in ({"IfMatch": '"0"'}, {"IfMatchSize": 4}, {"IfMatchLastModifiedTime": later}):
        assert fault(s3.delete_object, **k, **wrong) == (412, "PreconditionFailed")
    s3.delete_object(IfMatch=etag, IfMatchSize=3, IfMatchLastModifiedTime=when, **k)
    for tag in (etag, "*"):  # what is gone does not match
        assert fault(s3.delete_object, IfMatch=tag, **k) == (404, "NoSuchKey")
    s3.delete_object(IfMatchSize=3, IfMatchLastModifiedTime=when, **k)  # of these the reference says 204
    for key in "abc":
        put(key)
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": "a", "ETag": '"0"'}, {"Key": "b", "ETag": etag, "Size": 3, "LastModifiedTime": when
                                      if put("b")[1] == when else put("b")[1]},
        {"Key": "c", "Size": 9}, {"Key": "none", "ETag": etag}]})
    assert [d["Key"] for d in done["Deleted"]] == ["b"]
    assert [(x["Key"], x["Code"]) for x in done["Errors"]] == \
        [("a", "PreconditionFailed"), ("c", "PreconditionFailed"), ("none", "NoSuchKey")]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.delete_object(Bucket=bucket, Key="a")  # a delete marker is no object, whatever lies below it
    for tag in (etag, "*"):
        assert fault(s3.delete_object, Bucket=bucket, Key="a", IfMatch=tag) == (404, "NoSuchKey")
    assert len(s3.list_object_versions(Bucket=bucket, Prefix="a")["DeleteMarkers"]) == 1


def test_part_copies_share_content(service, s3, bucket):
    """100 parts of 8 MiB each from one object: nothing may be written."""
    body = os.urandom(8 << 20)
    s3.put_object(Bucket=bucket, Key="src", Body=body)

    def used():
        return sum(f.stat().st_size for f in (service.directory / "content").rglob("*") if f.is_file())

    before = used()
    upload = begin(s3, bucket, "m")
    parts = []
    for number in range(1, 41):
        kw = {"CopySourceRange": f"bytes=1-{PART + 7}"} if number % 2 else {}
        done = s3.upload_part_copy(PartNumber=number, CopySource=f"{bucket}/src", **kw, **upload)
        piece = body[1:PART + 8] if number % 2 else body
        assert done["CopyPartResult"]["ETag"] == f'"{hashlib.md5(piece).hexdigest()}"'
        parts.append({"PartNumber": number, "ETag": done["CopyPartResult"]["ETag"]})
    finish(s3, upload, parts)
    assert used() == before
    s3.delete_object(Bucket=bucket, Key="src")
    got = s3.get_object(Bucket=bucket, Key="m")["Body"]
    for number in range(1, 41):
        want = body[1:PART + 8] if number % 2 else body
        assert got.read(len(want)) == want
    assert got.read() == b""
    # From an object of pieces, across them.
    upload = begin(s3, bucket, "again", ChecksumAlgorithm="CRC32")
    done = s3.upload_part_copy(PartNumber=1, CopySource=f"{bucket}/m", **upload,
                               CopySourceRange=f"bytes={PART}-{PART + 20}")["CopyPartResult"]
    want = (body[1:PART + 8] + body)[PART:PART + 21]
    assert done["ChecksumCRC32"] == b64(SUMS["CRC32"](want))
    large = s3.upload_part_copy(PartNumber=2, CopySource=f"{bucket}/m", **upload,
                                CopySourceRange=f"bytes=100-{9 << 20}")["CopyPartResult"]
    assert large["ChecksumCRC32"] == b64(SUMS["CRC32"]((body[1:PART + 8] + body)[100:(9 << 20) + 1]))
    s3.abort_multipart_upload(**upload)


def test_copies_and_their_sums(s3, bucket):
    body = os.urandom(100000)
    s3.put_object(Bucket=bucket, Key="a", Body=body, ChecksumAlgorithm="SHA1")
    made = s3.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a")["CopyObjectResult"]
    assert made["ChecksumSHA1"] == b64(hashlib.sha1(body).digest())
    made = s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/a", ChecksumAlgorithm="SHA256")
    assert made["CopyObjectResult"]["ChecksumSHA256"] == b64(hashlib.sha256(body).digest())
    head = s3.head_object(Bucket=bucket, Key="c", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == b64(hashlib.sha256(body).digest()) and "ChecksumSHA1" not in head
    upload = begin(s3, bucket, "m", ChecksumAlgorithm="SHA256")
    parts = send(s3, upload, {1: body}, ChecksumAlgorithm="SHA256")
    finish(s3, upload, parts)
    made = s3.copy_object(Bucket=bucket, Key="d", CopySource=f"{bucket}/m")["CopyObjectResult"]
    assert made["ChecksumSHA256"] == b64(hashlib.sha256(body).digest())
    assert made["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'


def test_empty_parts(s3, bucket):
    upload = begin(s3, bucket, "m")
    parts = send(s3, upload, {1: b""})
    done = finish(s3, upload, parts)
    assert done["ETag"].endswith('-1"')
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == b""
    assert s3.head_object(Bucket=bucket, Key="m")["ContentLength"] == 0


def test_storage_classes_are_labels(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="GLACIER_IR")
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == "GLACIER_IR"
    s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", StorageClass="STANDARD")
    assert "StorageClass" not in s3.head_object(Bucket=bucket, Key="k")
    upload = begin(s3, bucket, "m", StorageClass="ONEZONE_IA")
    assert s3.list_parts(**upload)["StorageClass"] == "ONEZONE_IA"
    assert s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["StorageClass"] == "ONEZONE_IA"
    finish(s3, upload, send(s3, upload, {1: b"x"}))
    assert [o["StorageClass"] for o in s3.list_objects(Bucket=bucket)["Contents"]] == ["STANDARD", "ONEZONE_IA"]
    assert fault(s3.put_object, Bucket=bucket, Key="k", Body=b"", StorageClass="CELLAR") == \
        (400, "InvalidStorageClass")
