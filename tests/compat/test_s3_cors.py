"""CORS: rules kept and refused, and what pages of other origins are told."""
import pytest
from test_s3_boto3 import fault


def rule(origins, methods=("GET",), **kw):
    return {"AllowedOrigins": list(origins), "AllowedMethods": list(methods), **kw}


@pytest.fixture
def ask(service):
    def send(method, target, headers=None):
        status, _, got = service.raw(method, target, b"" if method == "PUT" else None, headers=headers)
        return status, got.get("Access-Control-Allow-Origin"), got.get("Access-Control-Allow-Methods")
    return send


def test_rules_come_and_go(main, service, make):
    b = make()
    rules = [rule(["*.example.org", "http://a"], ["GET", "PUT", "POST", "DELETE", "HEAD"], ID="one",
                  AllowedHeaders=["x-amz-*", "*"], ExposeHeaders=["ETag", "x-amz-id"], MaxAgeSeconds=5),
             rule(["*"])]
    assert fault(main.get_bucket_cors, Bucket=b) == (404, "NoSuchCORSConfiguration")
    main.put_bucket_cors(Bucket=b, CORSConfiguration={"CORSRules": rules})
    assert main.get_bucket_cors(Bucket=b)["CORSRules"] == rules
    assert fault(service.client("other").get_bucket_cors, Bucket=b) == (403, "AccessDenied")
    main.delete_bucket_cors(Bucket=b)
    main.delete_bucket_cors(Bucket=b)
    assert fault(main.get_bucket_cors, Bucket=b) == (404, "NoSuchCORSConfiguration")
    for bad, code in ((rule(["*a*"]), "InvalidRequest"), (rule(["*"], ["PATCH"]), "InvalidRequest"),
                      (rule(["*"], AllowedHeaders=["*x*"]), "InvalidRequest"),
                      (rule(["*"], ExposeHeaders=["x*"]), "InvalidRequest"),
                      (rule([]), "MalformedXML"), (rule(["*"], MaxAgeSeconds=-1), "MalformedXML")):
        assert fault(main.put_bucket_cors, Bucket=b, CORSConfiguration={"CORSRules": [bad]}) == (400, code)
    for bad in ([], [rule(["*"])] * 101):
        assert fault(main.put_bucket_cors, Bucket=b, CORSConfiguration={"CORSRules": bad}) == \
            (400, "MalformedXML")


def test_origins(main, make, ask):
    b = make(ACL="public-read")
    main.put_bucket_cors(Bucket=b, CORSConfiguration={"CORSRules": [
        rule(["*suffix"]), rule(["start*end"]), rule(["prefix*"]), rule(["*.put"], ["PUT"])]})
    bucket, thing = f"/{b}", f"/{b}/bar"
    assert ask("GET", bucket) == (200, None, None)
    for origin, fits in (("foo.suffix", True), ("foo.bar", False), ("foo.suffix.get", False),
                         ("startend", True), ("start1end", True), ("start12end", True), ("0start12end", False),
                         ("prefix", True), ("prefix.suffix", True), ("bla.prefix", False), ("Foo.Suffix", False)):
        expected = (origin, "GET") if fits else (None, None)
        assert ask("GET", bucket, {"Origin": origin}) == (200, *expected)
        assert ask("OPTIONS", bucket, {"Origin": origin, "Access-Control-Request-Method": "GET"}) == \
            ((200 if fits else 403), *expected)
    # answers that are errors say it too
    assert ask("GET", thing, {"Origin": "foo.suffix"}) == (404, "foo.suffix", "GET")
    wanted = "Access-Control-Request-Method"
    assert ask("PUT", thing, {"Origin": "foo.suffix", wanted: "GET"}) == (403, "foo.suffix", "GET")
    for method in ("PUT", "DELETE"):
        assert ask("PUT", thing, {"Origin": "foo.suffix", wanted: method}) == (403, None, None)
    assert ask("PUT", thing, {"Origin": "foo.suffix"}) == (403, None, None)
    assert ask("PUT", thing, {"Origin": "foo.put"}) == (403, "foo.put", "PUT")
    for headers in (None, {"Origin": "foo.suffix"}, {"Origin": "bla"}, {wanted: "GET"}):
        assert ask("OPTIONS", bucket, headers) == (400, None, None)
    assert ask("OPTIONS", bucket, {"Origin": "foo.put", wanted: "GET"}) == (403, None, None)
    assert ask("OPTIONS", bucket, {"Origin": "foo.put", wanted: "PUT"}) == (200, "foo.put", "PUT")


def test_headers_and_wildcards(main, service, make, ask):
    b = make(ACL="public-read")
    main.put_bucket_cors(Bucket=b, CORSConfiguration={"CORSRules": [
        rule(["http://a"], ["PUT", "GET"], AllowedHeaders=["X-Amz-*", "content-type"], MaxAgeSeconds=7,
             ExposeHeaders=["ETag", "x-amz-version-id"]), rule(["*"])]})
    wanted = {"Origin": "http://a", "Access-Control-Request-Method": "PUT"}
    for headers, status in (("x-amz-date,Content-Type", 200), ("authorization", 403), ("", 200)):
        r = service.raw("OPTIONS", f"/{b}/k", headers={**wanted, "Access-Control-Request-Headers": headers})
        assert r[0] == status, headers
    r = service.raw("OPTIONS", f"/{b}/k", headers={**wanted, "Access-Control-Request-Headers": "x-amz-date"})
    assert r[2]["Access-Control-Allow-Headers"] == "x-amz-date"
    assert r[2]["Access-Control-Allow-Methods"] == "PUT, GET"
    assert r[2]["Access-Control-Max-Age"] == "7"
    assert r[2]["Access-Control-Expose-Headers"] == "ETag, x-amz-version-id"
    assert "Origin" in r[2]["Vary"] and r[2]["Access-Control-Allow-Credentials"] == "true"
    r = service.raw("GET", f"/{b}", headers={"Origin": "http://b"})
    assert r[2]["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in r[2]


def test_presigned_addresses(main, service, make, ask):
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"x")
    main.put_bucket_cors(Bucket=b, CORSConfiguration={"CORSRules": [rule(["example"], ["GET", "PUT"])]})
    for version in ("s3", "s3v4"):
        s3 = service.client("main", signature_version=version)
        for call, method in (("get_object", "GET"), ("put_object", "PUT")):
            url = s3.generate_presigned_url(call, {"Bucket": b, "Key": "k"})
            target = url[len(service.endpoint):]
            assert ask("OPTIONS", target, {"Origin": "example", "Access-Control-Request-Method": method}) == \
                (200, "example", "GET, PUT")
            assert ask(method, target, {"Origin": "example"}) == (200, "example", "GET, PUT")
