"""Uploads by browsers: forms signed in both ways, their policies, and what is wrong with them."""
import base64
import datetime
import hashlib
import hmac
import json
import uuid
import zlib

import boto3
import pytest
from botocore.config import Config


def encode(fields, file=b"bar", filename="foo.txt", tail=()):
    boundary = uuid.uuid4().hex
    out = []
    for name, value in fields.items():
        value = value if isinstance(value, bytes) else str(value).encode()
        out.append(b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name.encode(), value))
    if file is not None:
        out.append(b'Content-Disposition: form-data; name="file"; filename="%s"\r\n'
                   b'Content-Type: application/x-from-part\r\n\r\n%s' % (filename.encode(), file))
    out.extend(tail)
    mark = b"--" + boundary.encode()
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in out) + mark + b"--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=" + boundary}


@pytest.fixture(scope="module")
def post(service):
    def send(bucket, fields, headers=None, **kw):
        body, kind = encode(fields, **kw)
        status, answer, back = service.raw("POST", f"/{bucket}", body, headers={**kind, **(headers or {})})
        return status, answer, back
    return send


def later(**kw):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**(kw or {"seconds": 600}))
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def signed(fields, document, secret="mainsecret", access="MAIN"):
    """The fields with a version 2 signature over the document."""
    text = document if isinstance(document, str) else json.dumps(document)
    policy = base64.b64encode(text.encode()).decode()
    mac = base64.b64encode(hmac.new(secret.encode(), policy.encode(), hashlib.sha1).digest()).decode()
    return {**fields, "AWSAccessKeyId": access, "signature": mac, "policy": policy}


def usual(bucket, *more, **change):
    document = {"expiration": later(), "conditions": [
        {"bucket": bucket}, ["starts-with", "$key", "foo"], {"acl": "private"},
        ["starts-with", "$Content-Type", "text/plain"], ["content-length-range", 0, 1024], *more]}
    document.update(change)
    return {k: v for k, v in document.items() if v is not None}


FIELDS = {"key": "foo.txt", "acl": "private", "Content-Type": "text/plain"}


def code(answer):
    body = answer[1].decode()
    return answer[0], body.split("<Code>")[1].split("<")[0] if "<Code>" in body else ""


def test_anonymous_forms(main, post, make):
    b = make(ACL="public-read-write")
    r = post(b, {"key": "foo.txt", "acl": "public-read", "Content-Type": "text/plain"})
    assert r[0] == 204 and r[1] == b"" and r[2]["ETag"] and r[2]["Location"].endswith(f"/{b}/foo.txt")
    got = main.get_object(Bucket=b, Key="foo.txt")
    assert got["Body"].read() == b"bar" and got["ContentType"] == "text/plain"
    assert len(main.get_object_acl(Bucket=b, Key="foo.txt")["Grants"]) == 2
    assert code(post(make(), {"key": "k"})) == (403, "AccessDenied")
    assert code(post("no-such-bucket-here", {"key": "k"})) == (404, "NoSuchBucket")


def test_answers(main, post, make):
    b = make(ACL="public-read-write")
    status, body, headers = post(b, {"key": "a b/ü.txt", "success_action_status": "201"})
    assert status == 201 and headers["Content-Type"] == "application/xml"
    for part in (f"<Bucket>{b}</Bucket>", "<Key>a b/ü.txt</Key>", f"/{b}/a%20b/%C3%BC.txt</Location>",
                 "37b51d194a7513e45b56f6524f2d51f2"):
        assert part in body.decode()
    assert post(b, {"key": "k", "success_action_status": "200"})[0] == 200
    for odd in ("404", "", "abc"):
        r = post(b, {"key": "k", "success_action_status": odd})
        assert r[0] == 204 and r[1] == b""
    r = post(b, {"key": "k", "success_action_redirect": "http://example.org/done?a=b"})
    assert r[0] == 303
    assert r[2]["Location"] == f"http://example.org/done?a=b&bucket={b}&key=k&etag=" \
        "%2237b51d194a7513e45b56f6524f2d51f2%22"
    assert post(b, {"key": "k", "success_action_redirect": "nowhere"})[0] == 204
    assert main.get_object(Bucket=b, Key="a b/ü.txt")["Body"].read() == b"bar"


@pytest.mark.parametrize("size", [0, 1, 100000, 5 << 20])
def test_files_of_all_sizes(main, post, make, size):
    b = make(ACL="public-read-write")
    data = (b"\r\n--" + uuid.uuid4().bytes) * (size // 20 + 1)
    assert post(b, {"key": "up/${filename}"}, file=data[:size], filename="C:\\dir\\my file.bin")[0] == 204
    assert main.get_object(Bucket=b, Key="up/my file.bin")["Body"].read() == data[:size]


def test_signed_forms(main, post, make):
    b = make()
    assert post(b, signed(FIELDS, usual(b)))[0] == 204
    assert main.get_object(Bucket=b, Key="foo.txt")["Body"].read() == b"bar"
    fields = signed(FIELDS, usual(b))
    for change, expected in (({"signature": fields["signature"][::-1]}, (403, "SignatureDoesNotMatch")),
                             ({"AWSAccessKeyId": "foo"}, (403, "InvalidAccessKeyId")),
                             ({"signature": None}, (400, "InvalidArgument")),
                             ({"AWSAccessKeyId": None}, (400, "InvalidArgument")),
                             ({"policy": None}, (400, "InvalidArgument")),
                             ({"key": None}, (400, "InvalidArgument")),
                             ({"acl": None}, (403, "AccessDenied")),
                             ({"extra": "x"}, (403, "AccessDenied")),
                             ({"x-ignore-foo": "bar"}, (204, "")),
                             ({"acl": "public-read"}, (403, "AccessDenied"))):
        changed = {k: v for k, v in {**fields, **change}.items() if v is not None}
        assert code(post(b, changed)) == expected, change
    assert code(post(b, signed(FIELDS, usual(b), access="OTHER", secret="othersecret"))) == \
        (403, "AccessDenied")


@pytest.mark.parametrize("version", ["default", "s3v4", "s3"])
def test_forms_of_boto3(service, main, post, make, version):
    b = make()
    config = Config() if version == "default" else Config(signature_version=version)
    s3 = boto3.client("s3", endpoint_url=service.endpoint, aws_access_key_id="MAIN",
                      aws_secret_access_key="mainsecret", region_name="us-east-1", config=config)
    form = s3.generate_presigned_post(b, "up/${filename}", Fields={"x-amz-meta-color": "red"}, Conditions=[
        {"x-amz-meta-color": "red"}, ["content-length-range", 1, 10]], ExpiresIn=60)
    assert post(b, form["fields"])[0] == 204
    assert main.head_object(Bucket=b, Key="up/foo.txt")["Metadata"] == {"color": "red"}
    assert code(post(b, form["fields"], file=b"x" * 11)) == (400, "EntityTooLarge")
    assert code(post(b, form["fields"], file=b"")) == (400, "EntityTooSmall")
    assert code(post(b, {**form["fields"], "x-amz-meta-color": "blue"})) == (403, "AccessDenied")
    name = "x-amz-signature" if "x-amz-signature" in form["fields"] else "signature"
    assert code(post(b, {**form["fields"], name: "0" * 64})) == (403, "SignatureDoesNotMatch")
    if name == "x-amz-signature":
        bad = form["fields"]["x-amz-credential"].replace("MAIN", "NOBODY")
        assert post(b, {**form["fields"], "x-amz-credential": bad})[0] == 403
        assert code(post(b, {**form["fields"], "x-amz-algorithm": "X"})) == (400, "InvalidArgument")
        assert code(post(b, {**form["fields"], "x-amz-credential": "x"})) == (400, "InvalidArgument")


def test_policies(main, post, make):
    b = make()
    doc = (400, "InvalidPolicyDocument")
    denied = (403, "AccessDenied")
    for document, expected in (
            (usual(b, expiration=later(seconds=-600)), denied),
            (usual(b, expiration="2099-01-01 10:00:00"), doc),
            (usual(b, expiration=None), doc), (usual(b, expiration=5), doc),
            (usual(b, conditions=None), doc), (usual(b, conditions={}), doc),
            (usual(b, conditions=[{}]), doc), (usual(b, conditions=[]), denied),
            (usual(b, 5), doc), (usual(b, ["eq"]), doc), (usual(b, ["eq", "key", "x"]), doc),
            (usual(b, ["ends-with", "$key", "x"]), doc), (usual(b, {"acl": ["private"]}), doc),
            (usual(b, ["content-length-range", 0]), doc),
            (usual(b, ["content-length-range", -1, 0]), doc),
            (usual(b, ["content-length-range", 5, 4]), doc),
            (usual(b, ["content-length-range", "0", "2"]), (400, "EntityTooLarge")),
            (usual(b, ["content-length-range", 4, 10]), (400, "EntityTooSmall")),
            (usual("another-bucket"), denied),
            (usual(b, conditions=usual(b)["conditions"][1:]), denied),
            (usual(b, ["starts-with", "$x-amz-meta-foo", "bar"]), denied),
            (usual(b, ["starts-with", "$x-amz-meta-foo", ""]), (204, "")),
            (usual(b, ["eq", "$key", "foo.txt"], {"Content-type": "text/plain"}), (204, "")),
            ({"EXPIRATION": later(), "conditions": []}, doc),
            ({"expiration": later(), "CONDITIONS": []}, doc),
            ("no json", doc), ("[]", doc)):
        assert code(post(b, signed(FIELDS, document))) == expected, document
    fields = signed(FIELDS, usual(b))
    assert code(post(b, {**fields, "policy": "%%%"})) == (403, "SignatureDoesNotMatch")
    # names in any case
    upper = {k.upper() if k != "Content-Type" else "cOnTeNt-TyPe": v for k, v in fields.items()}
    assert post(b, upper)[0] == 204
    odd = json.dumps(usual(b)).replace("starts-with", "StArTs-WiTh").replace("$key", "$KeY")
    assert post(b, signed(FIELDS, odd.replace('"acl"', '"AcL"').replace('"bucket"', '"bUcKeT"')))[0] == 204


def test_what_a_form_can_carry(main, post, make):
    b = make(ACL="public-read-write")
    tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    crc = base64.b64encode(zlib.crc32(b"bar").to_bytes(4, "big")).decode()
    md5 = base64.b64encode(hashlib.md5(b"bar").digest()).decode()
    assert post(b, {"key": "k", "tagging": tags, "Cache-Control": "no-store", "x-amz-meta-A": "ü",
                    "Content-Disposition": "attachment", "x-amz-checksum-crc32": crc,
                    "Content-MD5": md5, "x-amz-storage-class": "STANDARD_IA"})[0] == 204
    head = main.head_object(Bucket=b, Key="k", ChecksumMode="ENABLED")
    assert head["CacheControl"] == "no-store" and head["ContentDisposition"] == "attachment"
    assert head["ContentType"] == "binary/octet-stream" and head["ChecksumCRC32"] == crc
    assert "a" in head["Metadata"] and head["StorageClass"] == "STANDARD_IA"
    assert main.get_object_tagging(Bucket=b, Key="k")["TagSet"] == [{"Key": "a", "Value": "1"}]
    for field, value, expected in (
            ("x-amz-checksum-crc32", "AAAAAA==", (400, "BadDigest")),
            ("x-amz-checksum-sha256", "x", (400, "InvalidRequest")),
            ("Content-MD5", "rL0Y20xC+Fzt72VPzMSk2A==", (400, "BadDigest")),
            ("acl", "public-ready", (400, "InvalidArgument")),
            ("tagging", "<x", (400, "MalformedXML")),
            ("x-amz-server-side-encryption", "AES256", (501, "NotImplemented")),
            ("x-amz-storage-class", "X", (400, "InvalidStorageClass")),
            ("x-amz-meta-big", "x" * 3000, (400, "MetadataTooLarge"))):
        assert code(post(b, {"key": "k2", field: value})) == expected, field
    assert code(post(b, {"key": "x" * 1025})) == (400, "KeyTooLongError")
    assert code(post(b, {"key": b"\xff"})) == (400, "InvalidArgument")


def test_conditions_see_the_list_of_a_form(main, post, make):
    b = make(ACL="public-read-write")
    main.put_bucket_policy(Bucket=b, Policy=json.dumps({"Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{b}/*",
         "Condition": {"StringLike": {"s3:x-amz-acl": "public*"}}}]}))
    assert code(post(b, {"key": "k", "acl": "public-read"})) == (403, "AccessDenied")
    assert post(b, {"key": "k", "acl": "private"})[0] == 204


def test_forms_that_are_none(service, post, make):
    b = make(ACL="public-read-write")
    assert code(post(b, {"key": "k"}, file=None)) == (400, "InvalidArgument")
    assert code(post(b, {f"x-ignore-{i}": "" for i in range(101)})) == (400, "MaxPostPreDataLengthExceeded")
    assert code(post(b, {"x-ignore": "x" * 70000})) == (400, "MaxPostPreDataLengthExceeded")
    twice = [b'Content-Disposition: form-data; name="key"\r\n\r\nz']
    assert code(post(b, {"key": "k"}, file=None, tail=twice)) == (400, "InvalidArgument")
    # what follows the file does not count
    assert post(b, {"key": "k"}, tail=twice)[0] == 204
    assert code(service.raw("POST", f"/{b}", b"x", headers={"Content-Type": "text/plain"})) == \
        (412, "PreconditionFailed")
    body, kind = encode({"key": "k"})
    assert code(service.raw("POST", f"/{b}", body[:-20], headers=kind)) == (400, "MalformedPOSTRequest")
    assert code(service.raw("POST", f"/{b}", body, "main", kind)) == (400, "InvalidRequest")


def test_memory_stays_bounded(service, post, main, make):
    b = make(ACL="public-read-write")
    service.forget_peak()
    before = service.resident_kib()
    assert post(b, {"key": "big"}, file=bytes(64 << 20))[0] == 204
    assert main.head_object(Bucket=b, Key="big")["ContentLength"] == 64 << 20
    assert service.resident_kib() - before < 16 << 10
