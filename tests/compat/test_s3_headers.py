"""Headers of the wire: version 2 signatures, and values that are missing, empty, odd or out of date."""
import hashlib
import http.client
import socket

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import KEYS
from test_s3_access import headers
from test_s3_boto3 import NEW, fault, fetch


@pytest.fixture
def v2(service):
    return service.client("main", signature_version="s3")


@pytest.mark.skipif(not NEW, reason="older boto3 signs ?acl?acl")
def test_version_2_in_the_header(v2, service, make):
    b = make()
    v2.put_object(Bucket=b, Key="a b/ü+.txt", Body=b"x", Metadata={"a": "b  c"}, ContentType="text/plain")
    assert v2.get_object(Bucket=b, Key="a b/ü+.txt")["Body"].read() == b"x"
    assert v2.get_bucket_acl(Bucket=b)["Owner"]["DisplayName"] == "main"
    assert v2.list_objects_v2(Bucket=b, Prefix="a b")["KeyCount"] == 1
    up = v2.create_multipart_upload(Bucket=b, Key="m")["UploadId"]
    part = v2.upload_part(Bucket=b, Key="m", UploadId=up, PartNumber=1, Body=b"y")
    v2.complete_multipart_upload(Bucket=b, Key="m", UploadId=up, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert fault(service.client(("MAIN", "wrong"), signature_version="s3").list_objects, Bucket=b) == \
        (403, "SignatureDoesNotMatch")
    assert fault(service.client(("NOBODY", "x"), signature_version="s3").list_objects, Bucket=b) == \
        (403, "InvalidAccessKeyId")


@pytest.mark.parametrize("date,expected", [
    ("Bad Date", "AccessDenied"), ("", "AccessDenied"), ("Tue, 07 Jul 1950 21:53:04 GMT", "AccessDenied"),
    ("Tue, 07 Jul 2010 21:53:04 GMT", "RequestTimeTooSkewed"),
    ("Tue, 07 Jul 9999 21:53:04 GMT", "RequestTimeTooSkewed")])
def test_odd_dates(v2, make, date, expected):
    b = make()
    headers(v2, "PutObject", {"x-amz-date": date})
    assert fault(v2.put_object, Bucket=b, Key="k", Body=b"x") == (403, expected)


@pytest.mark.parametrize("value,expected", [
    ("", (403, "AccessDenied")), ("AWS HAHAHA", (400, "InvalidArgument")), ("AWS :x", (400, "InvalidArgument")),
    ("AWS AKIAIGR7ZNNBHC5BKSUB:FWeDfwojDSdS2Ztmpfeubhd9isU=", (403, "InvalidAccessKeyId")),
    ("HAHAHA", (400, "AuthorizationHeaderMalformed"))])
def test_odd_authorization(service, make, value, expected):
    b = make()
    for target in (f"/{b}/k", "/new-bucket-here"):
        status, body, _ = service.raw("PUT", target, b"bar", headers={"Authorization": value})
        assert (status, body.split(b"<Code>")[1].split(b"<")[0].decode()) == expected


@pytest.mark.parametrize("name,value,expected", [
    ("Content-MD5", "YWJyYWNhZGFicmE=", "InvalidDigest"), ("Content-MD5", "rL0Y20xC+Fzt72VPzMSk2A==", "BadDigest"),
    ("Content-MD5", "", "InvalidDigest"), ("Content-MD5", "AWS HAHAHA", "InvalidDigest"),
    ("Expect", "200", None), ("Expect", "", None), ("Content-Type", "", None), ("User-Agent", "", None)])
def test_odd_values(service, make, name, value, expected):
    b = make()
    status, body, _ = service.raw("PUT", f"/{b}/k", b"bar", "main", {name: value})
    assert status == (400 if expected else 200)
    if expected:
        assert f"<Code>{expected}</Code>" in body.decode()


@pytest.mark.parametrize("method,name,value", [
    ("PUT", "x-amz-write-offset-bytes", "3"), ("PUT", "x-amz-server-side-encryption", "AES256"),
    ("PUT", "x-amz-server-side-encryption-customer-key", "a"), ("PUT", "If-Unmodified-Since", "Fri, 01 Jan 2010 00:00:00 GMT"),
    ("PUT", "If-Modified-Since", "Fri, 01 Jan 2010 00:00:00 GMT"), ("DELETE", "If-None-Match", "*"),
    ("DELETE", "If-Unmodified-Since", "Fri, 01 Jan 2010 00:00:00 GMT")])
def test_what_is_asked_for_is_not_overlooked(service, main, make, method, name, value):
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"abc")
    status, body, _ = service.raw(method, f"/{b}/k", b"def" if method == "PUT" else None, "main", {name: value})
    assert (status, b"<Code>NotImplemented</Code>" in body) == (501, True)
    assert main.get_object(Bucket=b, Key="k")["Body"].read() == b"abc"


def test_what_others_have_is_not_overlooked(service, main, make):
    b = make()
    up = main.create_multipart_upload(Bucket=b, Key="k")["UploadId"]
    for method, target, header in (
            ("DELETE", f"/{b}/k?uploadId={up}", {"x-amz-if-match-initiated-time": "Fri, 01 Jan 2010 00:00:00 GMT"}),
            ("PUT", f"/{b}/k?uploadId={up}&partNumber=1", {
                "x-amz-copy-source": f"{b}/k", "x-amz-copy-source-server-side-encryption-customer-algorithm": "AES256"}),
            ("PUT", "/regional-bucket", {"x-amz-bucket-namespace": "account-regional"})):
        assert service.raw(method, target, None, "main", header)[0] == 501
    assert len(main.list_multipart_uploads(Bucket=b)["Uploads"]) == 1
    assert fault(main.head_bucket, Bucket="regional-bucket")[0] == 404


@pytest.mark.parametrize("length,status", [("", 400), ("-1", 400), ("x", 400), (None, 411)])
def test_odd_lengths(service, make, length, status):
    b = make(ACL="public-read-write")
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    link.putrequest("PUT", f"/{b}/k")
    if length is not None:
        link.putheader("Content-Length", length)
    link.endheaders()
    assert link.getresponse().status == status
    link.close()
    # calls that need no body need no length
    assert service.raw("PUT", f"/{b}?acl", None, "main", {"x-amz-acl": "public-read-write"})[0] == 200


def test_bodies_of_unknown_length(service, main, make):
    """As `curl -T -` sends them."""
    b = make(ACL="public-read-write")
    up = main.create_multipart_upload(Bucket=b, Key="m")["UploadId"]
    pieces = [b"a" * 70000, b"b"]
    for target in (f"/{b}/k", f"/{b}/m?uploadId={up}&partNumber=1"):
        link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        link.request("PUT", target, iter(pieces), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        answer = link.getresponse()
        assert (answer.status, answer.headers["ETag"]) == (200, f'"{hashlib.md5(b"".join(pieces)).hexdigest()}"')
        link.close()
    assert main.get_object(Bucket=b, Key="k")["Body"].read() == b"".join(pieces)
    with socket.create_connection(("127.0.0.1", service.port), 30) as cut:  # off before the last chunk
        cut.sendall(f"PUT /{b}/cut HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".encode())
        cut.shutdown(socket.SHUT_WR)
        assert b" 200 " not in cut.recv(1000)
    assert fault(main.head_object, Bucket=b, Key="cut")[0] == 404


# ---- headers that the signer of an address puts into its query -----------------------------------------

def signed_ahead(service, method, target, **params):
    """As the SDKs for JavaScript and Go sign: their user sends no header."""
    request = AWSRequest(method, service.endpoint + target, params=params)
    S3SigV4QueryAuth(Credentials(*KEYS["main"]), "s3", "us-east-1", expires=60).add_auth(request)
    return request.prepare().url


def test_headers_in_the_query_of_version_4(service, main, make):
    b = make()
    link = signed_ahead(service, "PUT", f"/{b}/k", **{
        "x-amz-acl": "public-read", "x-amz-meta-Colour": "light blue", "x-amz-tagging": "a=b",
        "x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "CRC32"})  # of no body: Amazon does not look
    assert fetch(link, "PUT", b"linked")[0] == 200
    assert service.raw("GET", f"/{b}/k")[:2] == (200, b"linked")
    assert main.head_object(Bucket=b, Key="k")["Metadata"] == {"colour": "light blue"}
    assert main.get_object_tagging(Bucket=b, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert fetch(link.replace("public-read", "private"), "PUT", b"")[0] == 403
    copy = signed_ahead(service, "PUT", f"/{b}/copy", **{"x-amz-copy-source": f"{b}/k"})
    assert fetch(copy, "PUT")[0] == 200
    assert main.get_object(Bucket=b, Key="copy")["Body"].read() == b"linked"
    status, text, _ = fetch(signed_ahead(service, "PUT", f"/{b}/k", **{"x-amz-meta-a": "b\r\nc"}), "PUT", b"")
    assert (status, b"AuthorizationQueryParametersError" in text) == (400, True)


def test_headers_in_the_query_of_version_2(v2, service, main, make):
    b = make()
    put = lambda **kw: v2.generate_presigned_url("put_object", Params=dict(Bucket=b, Key="k", **kw))
    link = put(ACL="public-read", Metadata={"a": "b"}, ContentType="text/x")
    assert fetch(link, "PUT", b"linked")[0] == 200
    assert service.raw("GET", f"/{b}/k")[:2] == (200, b"linked")
    about = main.head_object(Bucket=b, Key="k")
    assert (about["Metadata"], about["ContentType"]) == ({"a": "b"}, "text/x")
    assert fetch(link, "PUT", b"linked", {"x-amz-acl": "public-read", "Content-Type": "text/x"})[0] == 200
    for added in ("x-amz-acl=public-read", "x-amz-meta-a=b", "content-type=text/html", "x-amz-copy-source=a/b"):
        assert fetch(put() + "&" + added, "PUT", b"")[0] == 403


def test_version_2_addresses_are_for_one_operation(s3, service):
    b = "v2-locked"
    v2 = service.client(signature_version="s3")
    s3.create_bucket(Bucket=b, ObjectLockEnabledForBucket=True)
    version = s3.put_object(Bucket=b, Key="k", Body=b"x")["VersionId"]
    sign = lambda call, **kw: v2.generate_presigned_url(call, Params=dict(Bucket=b, **kw))
    lock = b"<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2090-01-01T00:00:00Z</RetainUntilDate></Retention>"
    for link, method, body in (
            (sign("put_object", Key="k") + "&retention", "PUT", lock),
            (sign("put_object", Key="k") + "&legal-hold", "PUT", b"<LegalHold><Status>ON</Status></LegalHold>"),
            (sign("get_object", Key="k") + "&attributes", "GET", None),
            (sign("list_objects") + "&publicAccessBlock", "GET", None),
            (sign("delete_bucket") + "&ownershipControls", "DELETE", None)):
        status, answer, _ = fetch(link, method, body)
        assert (status, b"please use AWS4-HMAC-SHA256" in answer) == (403, True)
    assert fetch(sign("list_objects") + "&list-type=2")[0] == 200  # shows no more
    s3.delete_object(Bucket=b, Key="k", VersionId=version)  # it is not locked
    s3.delete_bucket(Bucket=b)


def test_a_list_in_several_headers(service, main, make):
    """As the SDKs for Rust and Java send it."""
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"abc")
    request = AWSRequest("GET", f"{service.endpoint}/{b}/k?attributes")
    for name in ("ETag", "ObjectSize"):
        request.headers.add_header("x-amz-object-attributes", name)
    S3SigV4Auth(Credentials(*KEYS["main"]), "s3", "us-east-1").add_auth(request)
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    link.putrequest("GET", f"/{b}/k?attributes")
    for name, value in request.headers.items():
        link.putheader(name, value)
    link.endheaders()
    answer = link.getresponse()
    body = answer.read()
    link.close()
    assert answer.status == 200 and b"<ObjectSize>3<" in body and b"<ETag>900150983cd24fb0d6963f7d28e17f72<" in body
