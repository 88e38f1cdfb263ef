"""MinIO's own command line against our administration calls: users, policies, groups, quotas."""
import json

from test_s3_boto3 import fault

DENIED = (403, "AccessDenied")


def test_users(mc, service):
    mc("admin", "user", "add", "o", "mcuser", "mcusersecret")
    assert "mcuser" in [u["accessKey"] for u in mc("admin", "user", "list", "o")]
    client = service.client(("mcuser", "mcusersecret"))
    client.create_bucket(Bucket="of-mcuser")
    client.delete_bucket(Bucket="of-mcuser")
    assert mc("admin", "user", "info", "o", "mcuser")[0]["userStatus"] == "enabled"
    mc("admin", "user", "disable", "o", "mcuser")
    assert fault(client.list_buckets) == (403, "InvalidAccessKeyId")
    mc("admin", "user", "enable", "o", "mcuser")
    client.list_buckets()
    mc("admin", "user", "add", "o", "mcuser", "another-secret")  # the key's new secret
    assert fault(client.list_buckets) == (403, "SignatureDoesNotMatch")
    service.client(("mcuser", "another-secret")).list_buckets()
    mc("admin", "user", "remove", "o", "mcuser")
    assert fault(service.client(("mcuser", "another-secret")).list_buckets) == (403, "InvalidAccessKeyId")
    assert mc("admin", "user", "info", "o", "mcuser", check=False) != 0
    for call in (["user", "list", "plain"], ["user", "add", "plain", "intruder", "intrudersecret"],
                 ["policy", "list", "plain"]):
        assert mc("admin", *call, check=False) != 0


def test_policies_of_users(mc, service, main, make, tmp_path):
    b = make()
    main.put_object(Bucket=b, Key="in/a", Body=b"x")
    main.put_object(Bucket=b, Key="out/a", Body=b"x")
    mc("admin", "user", "add", "o", "polly", "pollysecret")
    polly = service.client(("polly", "pollysecret"))
    assert fault(polly.get_object, Bucket=b, Key="in/a") == DENIED
    assert {"readonly", "readwrite", "writeonly"} <= {p["policy"] for p in mc("admin", "policy", "list", "o")}
    mc("admin", "policy", "attach", "o", "readonly", "--user", "polly")
    assert mc("admin", "user", "info", "o", "polly")[0]["policyName"] == "readonly"
    assert polly.get_object(Bucket=b, Key="in/a")["Body"].read() == b"x"
    assert polly.list_objects_v2(Bucket=b)["KeyCount"] == 2
    assert b in [x["Name"] for x in polly.list_buckets()["Buckets"]]
    assert fault(polly.put_object, Bucket=b, Key="in/b", Body=b"") == DENIED
    mc("admin", "policy", "detach", "o", "readonly", "--user", "polly")
    assert fault(polly.get_object, Bucket=b, Key="in/a") == DENIED
    assert polly.list_buckets()["Buckets"] == []
    document = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"],
         "Resource": [f"arn:aws:s3:::{b}/${{aws:username}}/*", f"arn:aws:s3:::{b}/in/*"]},
        {"Effect": "Deny", "Action": ["s3:CreateBucket", "s3:GetObject"],
         "Resource": ["arn:aws:s3:::forbidden*", f"arn:aws:s3:::{b}/in/secret"]},
        {"Effect": "Deny", "Action": ["s3:ListAllMyBuckets"], "Resource": ["arn:aws:s3:::*"]}]}
    (tmp_path / "p.json").write_text(json.dumps(document))
    mc("admin", "policy", "create", "o", "inbox", str(tmp_path / "p.json"))
    assert mc("admin", "policy", "info", "o", "inbox")[0]["policyInfo"]["Policy"] == document
    mc("admin", "policy", "attach", "o", "inbox", "--user", "polly")
    polly.put_object(Bucket=b, Key="in/b", Body=b"")
    polly.put_object(Bucket=b, Key="polly/b", Body=b"")
    main.put_object(Bucket=b, Key="in/secret", Body=b"", ACL="public-read")
    assert fault(polly.get_object, Bucket=b, Key="in/secret") == DENIED
    assert fault(polly.put_object, Bucket=b, Key="out/b", Body=b"") == DENIED
    assert fault(polly.create_bucket, Bucket="forbidden-fruit") == DENIED
    assert fault(polly.list_buckets) == DENIED
    assert mc("admin", "policy", "remove", "o", "inbox", check=False) != 0  # in use
    mc("admin", "user", "remove", "o", "polly")
    mc("admin", "policy", "remove", "o", "inbox")
    assert mc("admin", "policy", "info", "o", "inbox", check=False) != 0
    (tmp_path / "bad.json").write_text('{"Version":"2012-10-17","Statement":[{"Effect":"Maybe"}]}')
    assert mc("admin", "policy", "create", "o", "bad", str(tmp_path / "bad.json"), check=False) != 0


def test_groups(mc, service, main, make):
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"x")
    mc("admin", "user", "add", "o", "gina", "ginasecret")
    gina = service.client(("gina", "ginasecret"))
    mc("admin", "group", "add", "o", "lab", "gina")
    mc("admin", "policy", "attach", "o", "readwrite", "--group", "lab")
    info = mc("admin", "group", "info", "o", "lab")[0]
    assert info["members"] == ["gina"] and info["groupPolicy"] == "readwrite"
    assert "lab" in mc("admin", "group", "list", "o")[0]["groups"]
    assert gina.get_object(Bucket=b, Key="k")["Body"].read() == b"x"
    mc("admin", "group", "disable", "o", "lab")
    assert fault(gina.get_object, Bucket=b, Key="k") == DENIED
    mc("admin", "group", "enable", "o", "lab")
    gina.put_object(Bucket=b, Key="g", Body=b"")
    mc("admin", "group", "remove", "o", "lab", "gina")
    assert fault(gina.get_object, Bucket=b, Key="k") == DENIED
    mc("admin", "group", "remove", "o", "lab")
    assert mc("admin", "group", "info", "o", "lab", check=False) != 0
    mc("admin", "user", "remove", "o", "gina")


def test_quotas(mc, main, make):
    b = make()
    mc("quota", "set", f"o/{b}", "--size", "100KiB")
    assert mc("quota", "info", f"o/{b}")[0]["quota"] == 100 << 10
    main.put_object(Bucket=b, Key="small", Body=b"x")
    assert fault(main.put_object, Bucket=b, Key="big", Body=bytes(200 << 10))[0] == 400
    mc("quota", "clear", f"o/{b}")
    main.put_object(Bucket=b, Key="big", Body=bytes(200 << 10))


def test_what_there_is(mc, service, main, make):
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"x" * 1000)
    info = mc("admin", "info", "o")[0]["info"]
    assert info["mode"] == "online" and info["buckets"]["count"] >= 1 and info["usage"]["size"] >= 1000
    assert info["servers"][0]["state"] == "online"
    status, body, _ = service.raw("GET", "/minio/admin/v3/datausageinfo", b"", "boss")
    usage = json.loads(body)
    assert status == 200 and usage["bucketsUsageInfo"][b] == {"size": 1000, "objectsCount": 1}
    assert usage["objectsTotalSize"] >= 1000


def test_calls_that_are_none(service):
    for method, name, status in (("GET", "nothing", 501), ("PUT", "add-user?accessKey=x", 400),
                                 ("PUT", "add-user?accessKey=x", 400)):
        got = service.raw(method, f"/minio/admin/v3/{name}", b"\0" * 60 if method == "PUT" else b"", "boss")
        assert got[0] == status
    assert service.raw("GET", "/minio/admin/v3/list-users", b"")[0] == 403
    assert service.raw("GET", "/minio/admin/v3/list-users", b"", "main")[0] == 403
