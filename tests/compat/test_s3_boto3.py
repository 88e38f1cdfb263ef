"""boto3 with its default settings, and with each of the ways to sign and to send a body."""
import base64
import datetime
import hashlib
import http.client
import io
import os
import time
import urllib.parse
import zlib

import boto3
import botocore
import botocore.httpchecksum
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

NEW = tuple(int(x) for x in botocore.__version__.split(".")[:2]) >= (1, 36)  # sends checksums


def fault(call, *args, **kw):
    """(status, code) that a call is refused with."""
    with pytest.raises(ClientError) as e:
        call(*args, **kw)
    r = e.value.response
    return r["ResponseMetadata"]["HTTPStatusCode"], r["Error"]["Code"]


def fetch(url, method="GET", data=None, headers=None):
    """(status, body, headers) of a bare request: nothing is sent that is not said here."""
    where = urllib.parse.urlsplit(url)
    link = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    try:
        link.request(method, where.path + ("?" + where.query if where.query else ""), data, headers or {})
        r = link.getresponse()
        return r.status, r.read(), r.headers
    finally:
        link.close()


# ---- buckets -------------------------------------------------------------------------------------------

def test_buckets_come_and_go(s3, service):
    s3.create_bucket(Bucket="come-and-go")
    s3.put_object(Bucket="come-and-go", Key="k", Body=b"kept")
    for other in ({}, {"ObjectLockEnabledForBucket": True}, {"ObjectOwnership": "BucketOwnerEnforced"}):
        assert fault(s3.create_bucket, Bucket="come-and-go", **other) == (409, "BucketAlreadyOwnedByYou")
    assert fault(service.client("other").create_bucket, Bucket="come-and-go") == \
        (409, "BucketAlreadyExists")
    assert s3.get_object(Bucket="come-and-go", Key="k")["Body"].read() == b"kept"
    assert "come-and-go" in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket="come-and-go")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_location(Bucket="come-and-go")["LocationConstraint"] is None
    assert fault(s3.delete_bucket, Bucket="come-and-go") == (409, "BucketNotEmpty")
    s3.delete_object(Bucket="come-and-go", Key="k")
    s3.delete_bucket(Bucket="come-and-go")
    assert fault(s3.head_bucket, Bucket="come-and-go") == (404, "404")
    assert fault(s3.list_objects_v2, Bucket="come-and-go") == (404, "NoSuchBucket")


@pytest.mark.skipif(not NEW, reason="needs a newer boto3")
def test_buckets_are_listed_in_pages(service):
    s3 = service.client()
    names = [f"paged-{i}" for i in range(5)]
    for name in names:
        s3.create_bucket(Bucket=name)
    got, token = [], {}
    while True:
        page = s3.list_buckets(Prefix="paged-", MaxBuckets=2, **token)
        got.append([b["Name"] for b in page["Buckets"]])
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert got == [names[:2], names[2:4], names[4:]]
    assert s3.list_buckets(Prefix="paged-", BucketRegion="us-east-1")["Buckets"][0]["BucketRegion"] == "us-east-1"
    assert s3.list_buckets(BucketRegion="eu-west-1")["Buckets"] == []
    assert fault(s3.list_buckets, MaxBuckets=10001) == (400, "InvalidArgument")
    for name in names:
        s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("name", ["ab", "Upper", "a" * 64, "192.168.1.1", "under_score", "-x-",
                                  "sthree-x", "amzn-s3-demo-x", "x-s3alias", "x--ol-s3", "x--table-s3", "x.mrap"])
def test_bad_bucket_names_are_refused(service, name):
    s3 = service.client()
    s3.meta.events.unregister("before-parameter-build.s3", botocore.handlers.validate_bucket_name)
    assert fault(s3.create_bucket, Bucket=name) == (400, "InvalidBucketName")


def test_other_users_cannot_look_in(s3, service, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    other = service.client("other")
    for call in (lambda: other.get_object(Bucket=bucket, Key="k"),
                 lambda: other.put_object(Bucket=bucket, Key="k", Body=b"x"),
                 lambda: other.delete_object(Bucket=bucket, Key="k"),
                 lambda: other.list_objects_v2(Bucket=bucket),
                 lambda: other.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/k"),
                 lambda: other.delete_bucket(Bucket=bucket)):
        assert fault(call) == (403, "AccessDenied")
    assert bucket not in [b["Name"] for b in other.list_buckets()["Buckets"]]
    other.create_bucket(Bucket="of-other")
    assert fault(other.copy_object, Bucket="of-other", Key="c", CopySource=f"{bucket}/k") == \
        (403, "AccessDenied")
    other.delete_bucket(Bucket="of-other")


def test_documents_that_are_not_set(s3, bucket):
    assert fault(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")
    assert fault(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
    assert fault(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    assert fault(s3.get_bucket_website, Bucket=bucket) == (404, "NoSuchWebsiteConfiguration")
    assert fault(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == \
        (404, "NoSuchLifecycleConfiguration")
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert fault(s3.get_object_lock_configuration, Bucket=bucket) == \
        (404, "ObjectLockConfigurationNotFoundError")


def test_bucket_tags(s3, service, bucket):
    tags = [{"Key": "team", "Value": "a&b <c>"}, {"Key": "é", "Value": ""}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    assert fault(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    made = lambda *tags: service.raw("PUT", "/made-with-tags", b"<CreateBucketConfiguration><Tags>%s</Tags>"
                                     b"</CreateBucketConfiguration>" % b"".join(tags), "boss")[0]
    tag = b"<Tag><Key>a</Key><Value>b</Value></Tag>"
    assert made(tag, tag) == 400 and fault(s3.head_bucket, Bucket="made-with-tags")[0] == 404
    assert made(tag) == 200
    assert s3.get_bucket_tagging(Bucket="made-with-tags")["TagSet"] == [{"Key": "a", "Value": "b"}]
    s3.delete_bucket(Bucket="made-with-tags")


# ---- objects -------------------------------------------------------------------------------------------

KEYS = ["plain", "a/b/c", "sp ace+plus", "ümläut/日本語", "a=b&c?d#e%20%2F", "//double//", "../dots/.",
        "'quotes\"<>", "~-_.!*()", "x" * 1024, " lead", "tail ", "new\nline"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_keys_of_all_kinds(service, bucket, key, style):
    s3 = service.client(s3={"addressing_style": style})
    if style == "virtual":
        s3 = boto3.client("s3", endpoint_url=f"http://s3.localhost:{service.port}",
                          aws_access_key_id="S3TEST", aws_secret_access_key="s3testsecret",
                          region_name="us-east-1",
                          config=Config(s3={"addressing_style": "virtual"}))
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert [o["Key"] for o in s3.list_objects(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": key},
                   MetadataDirective="REPLACE", Metadata={"copied": "yes"})
    assert s3.head_object(Bucket=bucket, Key=key)["Metadata"] == {"copied": "yes"}
    assert s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})["Deleted"] == \
        [{"Key": key}]
    assert fault(s3.get_object, Bucket=bucket, Key=key) == (404, "NoSuchKey")


def test_key_too_long(s3, bucket):
    assert fault(s3.put_object, Bucket=bucket, Key="x" * 1025, Body=b"") == (400, "KeyTooLongError")


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 300000, 9 << 20])
def test_bodies_of_all_sizes(s3, bucket, size):
    body = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body)
    md5 = hashlib.md5(body).hexdigest()
    assert put["ETag"] == f'"{md5}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == body
    assert got["ETag"] == f'"{md5}"' and got["ContentLength"] == size
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == size


def test_metadata_and_headers_come_back(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/x-test",
                  CacheControl="max-age=5", ContentDisposition='attachment; filename="a b"',
                  ContentEncoding="gzip", ContentLanguage="de", Expires="Thu, 01 Dec 2033 16:00:00 GMT",
                  Metadata={"Mixed-Case": "Value  kept", "empty": ""})
    h = s3.head_object(Bucket=bucket, Key="k")
    assert h["ContentType"] == "text/x-test" and h["CacheControl"] == "max-age=5"
    assert h["ContentDisposition"] == 'attachment; filename="a b"'
    assert h["ContentEncoding"] == "gzip" and h["ContentLanguage"] == "de"
    assert h["ResponseMetadata"]["HTTPHeaders"]["expires"] == "Thu, 01 Dec 2033 16:00:00 GMT"
    assert h["Metadata"]["mixed-case"].split() == ["Value", "kept"]
    assert h["Metadata"]["empty"] == ""
    g = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="a/b",
                      ResponseContentDisposition="inline")
    assert g["ContentType"] == "a/b" and g["ContentDisposition"] == "inline"
    s3.put_object(Bucket=bucket, Key="plain", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="plain")["ContentType"] == "binary/octet-stream"
    for sent, kept in [("deflate, gzip", "deflate, gzip"), ("deflate,gzip", "deflate,gzip"), ("aws-chunked", None),
                       ("aws-chunked, deflate, gzip", "deflate, gzip"), ("gzip, aws-chunked", "gzip")]:
        s3.put_object(Bucket=bucket, Key="coded", Body=b"x", ContentEncoding=sent)
        assert s3.head_object(Bucket=bucket, Key="coded").get("ContentEncoding") == kept
    assert fault(s3.put_object, Bucket=bucket, Key="big", Body=b"", Metadata={"a": "x" * 2048}) == \
        (400, "MetadataTooLarge")


def test_ranges(s3, bucket):
    for size in (26, 100000):
        body = bytes(range(256)) * (size // 256 + 1)
        body = body[:size]
        s3.put_object(Bucket=bucket, Key="k", Body=body)
        for text, part in (("bytes=0-0", body[:1]), ("bytes=5-9", body[5:10]), ("bytes=20-", body[20:]),
                           ("bytes=-3", body[-3:]), (f"bytes=0-{size * 2}", body),
                           (f"bytes=-{size * 2}", body)):
            g = s3.get_object(Bucket=bucket, Key="k", Range=text)
            assert g["Body"].read() == part
            assert g["ResponseMetadata"]["HTTPStatusCode"] == 206
            start = body.index(part) if len(part) < size else 0
            if not text.startswith("bytes=-3") and not text.startswith("bytes=20"):
                assert g["ContentRange"] == f"bytes {start}-{start + len(part) - 1}/{size}"
        for text in ("bytes=9-5", "bytes=0-1,3-4", "bytes=x-y", "lines=1-2"):
            g = s3.get_object(Bucket=bucket, Key="k", Range=text)
            assert g["Body"].read() == body and g["ResponseMetadata"]["HTTPStatusCode"] == 200
        for text in (f"bytes={size}-", "bytes=-0"):
            assert fault(s3.get_object, Bucket=bucket, Key="k", Range=text) == (416, "InvalidRange")


def test_conditions_of_reads(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    tag = put["ETag"]
    when = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    day = datetime.timedelta(days=1)
    get = lambda **kw: s3.get_object(Bucket=bucket, Key="k", **kw)
    for good in ({"IfMatch": tag}, {"IfNoneMatch": '"x"'}, {"IfMatch": "*"},
                 {"IfModifiedSince": when - day}, {"IfUnmodifiedSince": when},
                 {"IfMatch": tag, "IfUnmodifiedSince": when - day},
                 {"IfNoneMatch": '"x"', "IfModifiedSince": when + day}):
        get(**good)
    for bad in ({"IfMatch": '"x"'}, {"IfUnmodifiedSince": when - day}):
        assert fault(get, **bad) == (412, "PreconditionFailed")
    for same in ({"IfNoneMatch": tag}, {"IfNoneMatch": "*"}, {"IfModifiedSince": when},
                 {"IfNoneMatch": tag, "IfModifiedSince": when - day}):
        assert fault(get, **same)[0] == 304
    assert fault(s3.head_object, Bucket=bucket, Key="k", IfMatch='"x"')[0] == 412


@pytest.mark.skipif(not NEW, reason="needs a newer boto3")
def test_conditions_of_writes(s3, bucket):
    tag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert fault(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == \
        (412, "PreconditionFailed")
    assert fault(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"x"') == \
        (412, "PreconditionFailed")
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=tag)
    assert fault(s3.put_object, Bucket=bucket, Key="none", Body=b"2", IfMatch='"x"') == \
        (404, "NoSuchKey")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"3"


def test_deleting(s3, bucket):
    s3.delete_object(Bucket=bucket, Key="never-was")
    for key in "abc":
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": "a"}, {"Key": "none"}, {"Key": "x" * 1025}]})
    assert [d["Key"] for d in done["Deleted"]] == ["a", "none"]
    assert [d["Code"] for d in done["Errors"]] == ["KeyTooLongError"]
    done = s3.delete_objects(Bucket=bucket, Delete={"Quiet": True, "Objects": [{"Key": "b"}]})
    assert "Deleted" not in done
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["c"]
    too_many = [{"Key": str(i)} for i in range(1001)]
    assert fault(s3.delete_objects, Bucket=bucket, Delete={"Objects": too_many}) == \
        (400, "MalformedXML")


def test_object_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="a=1&b=x%20y")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == \
        [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "x y"}]
    head = s3.get_object(Bucket=bucket, Key="k")
    assert head["TagCount"] == 2
    tags = [{"Key": f"k{i}", "Value": "v" * 256} for i in range(10)]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    for bad in (tags + [{"Key": "one-more", "Value": ""}], [{"Key": "x" * 129, "Value": ""}],
                [{"Key": "x", "Value": "v" * 257}], [{"Key": "d", "Value": ""}] * 2,
                [{"Key": "aws:x", "Value": ""}]):
        assert fault(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": bad}) == \
            (400, "InvalidTag")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == tags
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k", TaggingDirective="REPLACE",
                   Tagging="n=1")
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == [{"Key": "n", "Value": "1"}]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


def test_copies(s3, bucket):
    body = os.urandom(100000)
    put = s3.put_object(Bucket=bucket, Key="a b", Body=body, ContentType="x/y", Metadata={"m": "1"})
    done = s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "a b"})
    assert done["CopyObjectResult"]["ETag"] == put["ETag"]
    got = s3.get_object(Bucket=bucket, Key="c")
    assert got["Body"].read() == body and got["Metadata"] == {"m": "1"}
    assert got["ContentType"] == "x/y"
    s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/a b", MetadataDirective="REPLACE",
                   Metadata={"n": "2"})
    assert s3.head_object(Bucket=bucket, Key="c")["Metadata"] == {"n": "2"}
    assert fault(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/c") == \
        (400, "InvalidRequest")
    assert fault(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/none") == \
        (404, "NoSuchKey")
    assert fault(s3.copy_object, Bucket=bucket, Key="c", CopySource="no-such-bucket/k") == \
        (404, "NoSuchBucket")
    assert fault(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/a b",
                 CopySourceIfMatch='"x"') == (412, "PreconditionFailed")
    assert fault(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/a b",
                 CopySourceIfNoneMatch=put["ETag"]) == (412, "PreconditionFailed")
    s3.delete_object(Bucket=bucket, Key="a b")
    assert s3.get_object(Bucket=bucket, Key="c")["Body"].read() == body


# ---- checksums -----------------------------------------------------------------------------------------

SUMS = {
    "CRC32": lambda b: zlib.crc32(b).to_bytes(4, "big"),
    "SHA1": lambda b: hashlib.sha1(b).digest(),
    "SHA256": lambda b: hashlib.sha256(b).digest(),
}


@pytest.mark.parametrize("name", sorted(SUMS))
def test_checksums_are_kept_and_checked(s3, bucket, name):
    body = os.urandom(70000)
    text = base64.b64encode(SUMS[name](body)).decode()
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, **{f"Checksum{name}": text})
    assert put[f"Checksum{name}"] == text
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[f"Checksum{name}"] == text
    assert f"Checksum{name}" not in s3.head_object(Bucket=bucket, Key="k")
    wrong = base64.b64encode(SUMS[name](b"other")).decode()
    assert fault(s3.put_object, Bucket=bucket, Key="w", Body=body, **{f"Checksum{name}": wrong}) == \
        (400, "BadDigest")
    assert fault(s3.put_object, Bucket=bucket, Key="w", Body=body, **{f"Checksum{name}": "AAA="}) == \
        (400, "InvalidRequest")
    assert fault(s3.head_object, Bucket=bucket, Key="w")[0] == 404


@pytest.mark.parametrize("headers,expected", [
    ({"x-amz-checksum-xxhash64": "AAAAAAAAAAA="}, (501, "NotImplemented")),
    ({"x-amz-checksum-foo": "x"}, (501, "NotImplemented")),
    ({"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-sdk-checksum-algorithm": "SHA256"}, (400, "BadDigest")),
    ({"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-sdk-checksum-algorithm": "CRC32"}, None),
    ({"x-amz-sdk-checksum-algorithm": "CRC32"}, None)])
def test_checksums_are_not_overlooked(service, bucket, headers, expected):
    status, body, _ = service.raw("PUT", f"/{bucket}/k", b"123456789", "boss", headers)
    assert status == (expected[0] if expected else 200)
    assert not expected or f"<Code>{expected[1]}</Code>" in body.decode()
    assert service.raw("GET", f"/{bucket}/k", None, "boss")[0] == (404 if expected else 200)


def test_content_md5(s3, bucket):
    good = base64.b64encode(hashlib.md5(b"body").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"body", ContentMD5=good)
    assert fault(s3.put_object, Bucket=bucket, Key="k", Body=b"other", ContentMD5=good) == \
        (400, "BadDigest")
    assert fault(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="bad") == \
        (400, "InvalidDigest")


# ---- signatures ----------------------------------------------------------------------------------------

def test_wrong_keys(service, bucket):
    assert fault(service.client(("S3TEST", "wrong")).list_buckets) == (403, "SignatureDoesNotMatch")
    assert fault(service.client(("NOBODY", "x")).list_buckets) == (403, "InvalidAccessKeyId")
    anonymous = service.client(signature_version=UNSIGNED)
    assert fault(anonymous.get_object, Bucket=bucket, Key="k") == (403, "AccessDenied")
    assert anonymous.list_buckets()["Buckets"] == []


def test_another_region_is_named(service):
    s3 = boto3.client("s3", endpoint_url=service.endpoint, aws_access_key_id="S3TEST",
                      aws_secret_access_key="s3testsecret", region_name="eu-west-1")
    with pytest.raises(ClientError) as e:
        s3.list_buckets()
    assert e.value.response["Error"]["Code"] == "AuthorizationHeaderMalformed"
    assert e.value.response["Error"]["Region"] == "us-east-1"


@pytest.mark.parametrize("version", ["default", "s3v4", "s3"])
def test_presigned_links(service, bucket, version):
    s3 = service.client() if version == "default" else service.client(signature_version=version)
    body = os.urandom(50000)
    sign = lambda call, **kw: s3.generate_presigned_url(call, ExpiresIn=60, Params=dict(
        Bucket=bucket, Key="a b/ü+", **kw))
    status, text, _ = fetch(sign("put_object"), "PUT", body)
    assert status == 200, text
    status, got, headers = fetch(sign("get_object", ResponseContentType="x/y"))
    assert status == 200 and got == body and headers["Content-Type"] == "x/y"
    assert fetch(sign("head_object"), "HEAD")[0] == 200
    assert fetch(sign("get_object"), "DELETE")[0] == 403
    assert fetch(sign("get_object").replace("%C3%BC", "x"))[0] == 403
    soon_over = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/ü+"},
                                          ExpiresIn=1)
    deadline = time.monotonic() + 10
    while (answer := fetch(soon_over))[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer[0] == 403 and b"AccessDenied" in answer[1]


def test_body_unlike_its_signed_hash(service, bucket):
    """A changed byte on the way must not be stored."""
    s3 = service.client()

    def change(request, **_):
        request.body = b"HELLO" if not hasattr(request.body, "read") else io.BytesIO(b"HELLO")

    s3.meta.events.register("before-send.s3.PutObject", change)
    code = fault(s3.put_object, Bucket=bucket, Key="k", Body=b"hello")
    assert code in ((400, "XAmzContentSHA256Mismatch"), (400, "BadDigest"))
    assert fault(s3.head_object, Bucket=bucket, Key="k")[0] == 404


def test_unsigned_payload_with_trailer(service, bucket):
    """What boto3 does over TLS: aws-chunked inside HTTP chunks, the checksum in the trailer."""
    if not NEW:
        pytest.skip("needs a newer boto3")
    body = os.urandom(200000)
    s3 = service.client()
    framed = botocore.httpchecksum.AwsChunkedWrapper(
        io.BytesIO(body), checksum_cls=botocore.httpchecksum.Crc32Checksum,
        checksum_name="x-amz-checksum-crc32", chunk_size=16384).read()
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    request = AWSRequest("PUT", f"{service.endpoint}/{bucket}/stream", data=framed, headers={
        "Content-Encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-decoded-content-length": str(len(body)),
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})

    class Auth(S3SigV4Auth):
        def payload(self, _):
            return "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

    Auth(Credentials("S3TEST", "s3testsecret"), "s3", "us-east-1").add_auth(request)
    status, text, headers = fetch(request.url, "PUT", framed, dict(request.headers.items()))
    assert status == 200, text
    assert headers["x-amz-checksum-crc32"] == base64.b64encode(SUMS["CRC32"](body)).decode()
    got = s3.get_object(Bucket=bucket, Key="stream")
    assert got["Body"].read() == body
    assert "ContentEncoding" not in got


# ---- listings ------------------------------------------------------------------------------------------

def put_all(s3, bucket, keys):
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")


def test_listing_order_and_groups(s3, bucket):
    keys = ["a", "a-", "a-b", "a/", "a/b", "a/c/d", "ab", "b/1", "b/2", "é", "zz"]
    put_all(s3, bucket, keys)
    everything = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert everything == sorted(keys, key=lambda k: k.encode())
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["a/", "b/"]
    assert [o["Key"] for o in page["Contents"]] == ["a", "a-", "a-b", "ab", "zz", "é"]
    assert page["KeyCount"] == 8
    page = s3.list_objects_v2(Bucket=bucket, Prefix="a/", Delimiter="/")
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["a/c/"]
    assert [o["Key"] for o in page["Contents"]] == ["a/", "a/b"]
    page = s3.list_objects_v2(Bucket=bucket, StartAfter="b/1")
    assert [o["Key"] for o in page["Contents"]] == ["b/2", "zz", "é"]


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_paging_gives_everything_once(s3, bucket, delimiter, size):
    keys = [f"d{i}/f{k}" for i in range(3) for k in range(2)] + ["top", "z"]
    put_all(s3, bucket, keys)
    want = sorted({k.split("/")[0] + "/" if "/" in k else k for k in keys}) if delimiter else sorted(keys)
    got = []
    for page in s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Delimiter=delimiter, PaginationConfig={"PageSize": size}):
        here = [o["Key"] for o in page.get("Contents", [])] + \
            [p["Prefix"] for p in page.get("CommonPrefixes", [])]
        assert len(here) <= size and page["KeyCount"] == len(here)
        got += here
    assert sorted(got) == want and len(got) == len(want)
    got, marker = [], ""
    while True:
        page = s3.list_objects(Bucket=bucket, Delimiter=delimiter, Marker=marker, MaxKeys=size)
        got += [o["Key"] for o in page.get("Contents", [])]
        got += [p["Prefix"] for p in page.get("CommonPrefixes", [])]
        if not page["IsTruncated"]:
            break
        marker = page["NextMarker"]
    assert sorted(got) == want and len(got) == len(want)


def test_listing_bounds(s3, service, bucket):
    put_all(s3, bucket, ["a", "b"])
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert page["KeyCount"] == 0 and not page["IsTruncated"] and "Contents" not in page
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)["MaxKeys"] == 1000
    assert fault(s3.list_objects_v2, Bucket=bucket, MaxKeys=-1) == (400, "InvalidArgument")
    assert fault(s3.list_objects_v2, Bucket=bucket, ContinuationToken="%%%") == (400, "InvalidArgument")
    assert s3.list_objects_v2(Bucket=bucket, ContinuationToken="enp6")["KeyCount"] == 0
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [(v["Key"], v["VersionId"], v["IsLatest"]) for v in versions] == \
        [("a", "null", True), ("b", "null", True)]
    owner = s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]["Owner"]
    assert owner == s3.list_buckets()["Owner"]


# ---- multipart -----------------------------------------------------------------------------------------

PART = 5 << 20


def test_multipart(s3, bucket):
    body = os.urandom(2 * PART + 12345)
    made = s3.create_multipart_upload(Bucket=bucket, Key="m", ContentType="x/y", Metadata={"a": "b"},
                                      Tagging="t=1")
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    listed = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [(u["Key"], u["UploadId"]) for u in listed] == [("m", made["UploadId"])]
    parts = []
    for i in (3, 1, 2):  # in any order
        piece = body[(i - 1) * PART:i * PART]
        done = s3.upload_part(PartNumber=i, Body=piece, **upload)
        assert done["ETag"] == f'"{hashlib.md5(piece).hexdigest()}"'
        parts.append({"PartNumber": i, "ETag": done["ETag"]})
    shown = s3.list_parts(MaxParts=2, **upload)
    assert [p["PartNumber"] for p in shown["Parts"]] == [1, 2] and shown["IsTruncated"]
    shown = s3.list_parts(PartNumberMarker=shown["NextPartNumberMarker"], **upload)
    assert [p["Size"] for p in shown["Parts"]] == [12345] and not shown["IsTruncated"]
    assert fault(s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **upload) == \
        (400, "InvalidPartOrder")
    parts.sort(key=lambda p: p["PartNumber"])
    wrong = [dict(parts[0], ETag='"0123"')] + parts[1:]
    assert fault(s3.complete_multipart_upload, MultipartUpload={"Parts": wrong}, **upload) == \
        (400, "InvalidPart")
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
    md5s = b"".join(hashlib.md5(body[i * PART:(i + 1) * PART]).digest() for i in range(3))
    assert done["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"'
    got = s3.get_object(Bucket=bucket, Key="m")
    assert got["Body"].read() == body
    assert (got["ContentType"], got["Metadata"], got["TagCount"]) == ("x/y", {"a": "b"}, 1)
    across = s3.get_object(Bucket=bucket, Key="m", Range=f"bytes={PART - 10}-{PART + 9}")
    assert across["Body"].read() == body[PART - 10:PART + 10]
    inside = s3.get_object(Bucket=bucket, Key="m", Range=f"bytes={PART + 5}-{PART + 9}")
    assert inside["Body"].read() == body[PART + 5:PART + 10]
    copy = s3.copy_object(Bucket=bucket, Key="one-piece", CopySource=f"{bucket}/m")
    assert copy["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    again = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
    assert again["ETag"] == done["ETag"]
    assert fault(s3.complete_multipart_upload, MultipartUpload={"Parts": parts[:2]}, **upload) == \
        (404, "NoSuchUpload")


def test_multipart_faults(s3, bucket):
    made = s3.create_multipart_upload(Bucket=bucket, Key="m")
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    assert fault(s3.upload_part, PartNumber=10001, Body=b"x", **upload) == (400, "InvalidArgument")
    assert fault(s3.upload_part, PartNumber=0, Body=b"x", **upload) == (400, "InvalidArgument")
    small = [dict(PartNumber=i, ETag=s3.upload_part(PartNumber=i, Body=b"x", **upload)["ETag"])
             for i in (1, 2)]
    assert fault(s3.complete_multipart_upload, MultipartUpload={"Parts": small}, **upload) == \
        (400, "EntityTooSmall")
    assert fault(s3.complete_multipart_upload, MultipartUpload={"Parts": []}, **upload) == \
        (400, "MalformedXML")
    s3.abort_multipart_upload(**upload)
    assert fault(s3.abort_multipart_upload, **upload) == (404, "NoSuchUpload")
    assert fault(s3.upload_part, PartNumber=1, Body=b"x", **upload) == (404, "NoSuchUpload")
    assert fault(s3.list_parts, **upload) == (404, "NoSuchUpload")


def test_part_copies(s3, bucket):
    body = os.urandom(PART + 1000)
    s3.put_object(Bucket=bucket, Key="src", Body=body)
    made = s3.create_multipart_upload(Bucket=bucket, Key="m")
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    source = {"Bucket": bucket, "Key": "src"}
    one = s3.upload_part_copy(PartNumber=1, CopySource=source, **upload)["CopyPartResult"]
    two = s3.upload_part_copy(PartNumber=2, CopySource=source, CopySourceRange="bytes=10-19",
                              **upload)["CopyPartResult"]
    for bad in ("bytes=10-", "10-19", "bytes=19-10", "bytes=-5"):
        assert fault(s3.upload_part_copy, PartNumber=3, CopySource=source, CopySourceRange=bad,
                     **upload) == (400, "InvalidArgument")
    assert fault(s3.upload_part_copy, PartNumber=3, CopySource=source,
                 CopySourceRange=f"bytes=0-{len(body)}", **upload) == (416, "InvalidRange")
    s3.complete_multipart_upload(MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": one["ETag"]}, {"PartNumber": 2, "ETag": two["ETag"]}]}, **upload)
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == body + body[10:20]


@pytest.mark.parametrize("name", sorted(SUMS))
def test_multipart_checksums(s3, bucket, name):
    body = os.urandom(PART + 99)
    made = s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm=name)
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    parts, sums = [], b""
    for i, piece in enumerate((body[:PART], body[PART:]), 1):
        done = s3.upload_part(PartNumber=i, Body=piece, ChecksumAlgorithm=name, **upload)
        text = base64.b64encode(SUMS[name](piece)).decode()
        assert done[f"Checksum{name}"] == text
        sums += SUMS[name](piece)
        parts.append({"PartNumber": i, "ETag": done["ETag"], f"Checksum{name}": text})
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
    whole = base64.b64encode(SUMS[name](sums)).decode() + "-2"
    assert done[f"Checksum{name}"] == whole
    assert s3.head_object(Bucket=bucket, Key="m", ChecksumMode="ENABLED")[f"Checksum{name}"] == whole


@pytest.mark.skipif(not NEW, reason="needs a newer boto3")
def test_multipart_full_object_checksum(s3, bucket):
    body = os.urandom(PART + 99)
    made = s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm="CRC32",
                                      ChecksumType="FULL_OBJECT")
    upload = {"Bucket": bucket, "Key": "m", "UploadId": made["UploadId"]}
    parts = []
    for i, piece in enumerate((body[:PART], body[PART:]), 1):
        done = s3.upload_part(PartNumber=i, Body=piece, ChecksumAlgorithm="CRC32", **upload)
        parts.append({"PartNumber": i, "ETag": done["ETag"]})
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)
    assert done["ChecksumCRC32"] == base64.b64encode(SUMS["CRC32"](body)).decode()
    assert done["ChecksumType"] == "FULL_OBJECT"


def test_upload_listing_pages(s3, bucket):
    ids = [s3.create_multipart_upload(Bucket=bucket, Key=k)["UploadId"]
           for k in ("a", "a", "d/1", "d/2", "z")]
    got = []
    for page in s3.get_paginator("list_multipart_uploads").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": 2}):
        got += [u["UploadId"] for u in page.get("Uploads", [])]
    assert sorted(got) == sorted(ids)
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [u["Key"] for u in page["Uploads"]] == ["a", "a", "z"]
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["d/"]
    page = s3.list_multipart_uploads(Bucket=bucket, Prefix="d/")
    assert [u["Key"] for u in page["Uploads"]] == ["d/1", "d/2"]


def test_transfer_of_a_large_file_in_bounded_memory(s3, service, bucket, tmp_path):
    """64 MiB by the managed transfer: parts in parallel both ways."""
    path = tmp_path / "large"
    digest = hashlib.sha256()
    with open(path, "wb") as f:
        for _ in range(64):
            piece = os.urandom(1 << 20)
            digest.update(piece)
            f.write(piece)
    service.forget_peak()
    s3.upload_file(str(path), bucket, "large")
    s3.download_file(bucket, "large", str(tmp_path / "back"))
    assert hashlib.sha256((tmp_path / "back").read_bytes()).digest() == digest.digest()
    assert s3.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-8"')
    if "S3D" not in os.environ:  # a sanitizer's own memory is not ours
        assert service.resident_kib() < 64 * 1024


# ---- browsers and probes -------------------------------------------------------------------------------

def test_cors_and_health(service):
    status, _, headers = fetch(f"{service.endpoint}/b/k", "OPTIONS", headers={
        "Origin": "https://ui.example", "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,x-amz-date"})
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == "https://ui.example"
    assert headers["Access-Control-Allow-Methods"] == "PUT"
    assert headers["Access-Control-Allow-Headers"] == "content-type,x-amz-date"
    status, _, headers = fetch(f"{service.endpoint}/", headers={"Origin": "https://ui.example"})
    assert status == 200 and headers["Access-Control-Allow-Origin"] == "https://ui.example"
    assert fetch(f"{service.endpoint}/minio/health/live")[0] == 200
    assert fetch(f"{service.endpoint}/minio/health/ready")[0] == 200
