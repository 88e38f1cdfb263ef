"""Bucket notifications: rules by boto3 and mc, events as MinIO's webhooks have them."""
import pathlib
import sys
import urllib.parse

import pytest
from conftest import KEYS
from test_s3_boto3 import fault

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from hook import Hook, wait_until  # noqa: E402


@pytest.fixture
def hook(mc):
    h = Hook()
    mc("admin", "config", "set", "o", "notify_webhook:hook", f"endpoint={h.url}", "auth_token=tok123")
    yield h
    h.close()


ARN = "arn:minio:sqs::hook:webhook"


def rules(*events, arn=ARN, prefix=None, suffix=None, **kw):
    rule = {"QueueArn": arn, "Events": list(events), **kw}
    filters = [{"Name": n, "Value": v} for n, v in (("prefix", prefix), ("suffix", suffix)) if v is not None]
    if filters:
        rule["Filter"] = {"Key": {"FilterRules": filters}}
    return rule


def set_rules(s3, bucket, *queues, **others):
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": list(queues), **others})


@pytest.fixture
def told(s3, bucket, hook):
    """Sets rules, and says what the hook heard when it has heard so many."""
    def heard(n):
        wait_until(f"{n} events", lambda: len(hook.posts) >= n)
        found = [(r["eventName"][3:], urllib.parse.unquote_plus(r["s3"]["object"]["key"])) for r in hook.records()]
        assert len(found) == n, found
        return found
    yield heard
    set_rules(s3, bucket)


def test_documents(s3, bucket, hook):
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    one = rules("s3:ObjectCreated:*", "s3:ObjectRemoved:Delete", prefix="in/", suffix=".jpg", Id="first")
    two = rules("s3:ObjectAccessed:Get", Id="second", arn="arn:minio:sqs:us-east-1:hook:webhook")
    set_rules(s3, bucket, one, two)
    got = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    assert [g["Id"] for g in got] == ["first", "second"]
    assert got[0]["Events"] == one["Events"] and got[0]["QueueArn"] == ARN
    assert got[0]["Filter"]["Key"]["FilterRules"] == one["Filter"]["Key"]["FilterRules"]
    set_rules(s3, bucket)
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_refused_documents(s3, main, service, bucket, hook):
    def code(*queues, **others):
        return fault(s3.put_bucket_notification_configuration, Bucket=bucket,
                     NotificationConfiguration={"QueueConfigurations": list(queues), **others})
    argument = (400, "InvalidArgument")
    made = "s3:ObjectCreated:*"
    for arn in ("arn:minio:sqs::nobody:webhook", "arn:minio:sqs:eu-west-1:hook:webhook", "arn:aws:sqs:::x",
                "arn:minio:sqs::hook:nats", "hook"):
        assert code(rules(made, arn=arn)) == argument
    assert code(rules("s3:ObjectCreated:Smile")) == argument
    assert code(rules(made), rules("s3:ObjectCreated:Put")) == argument
    assert code(rules(made, prefix="a", Id="x"), rules(made, prefix="b", Id="x")) == argument
    infix = rules(made)
    infix["Filter"] = {"Key": {"FilterRules": [{"Name": "infix", "Value": "x"}]}}
    assert code(infix) == argument
    assert code(rules(made, prefix="x" * 1025)) == argument
    assert code(TopicConfigurations=[{"TopicArn": "arn:aws:sns:::x", "Events": [made]}]) == argument
    assert code(LambdaFunctionConfigurations=[{"LambdaFunctionArn": "arn:x", "Events": [made]}]) == argument
    assert code(EventBridgeConfiguration={}) == argument
    status, body, _ = service.raw("PUT", f"/{bucket}?notification", b"<Notification", who="boss")
    assert status == 400 and b"MalformedXML" in body
    assert fault(s3.get_bucket_notification_configuration, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")
    assert fault(main.get_bucket_notification_configuration, Bucket=bucket) == (403, "AccessDenied")
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_record(s3, bucket, hook, told):
    set_rules(s3, bucket, rules("s3:ObjectCreated:*", Id="mine"))
    key = "in/my photo+ü&(1).jpg"
    etag = s3.put_object(Bucket=bucket, Key=key, Body=b"hello", ContentType="image/jpeg",
                         Metadata={"who": "lab"})["ETag"]
    told(1)
    headers, body, _ = hook.posts[0]
    assert headers["Content-Type"] == "application/json" and headers["Authorization"] == "Bearer tok123"
    assert headers["X-Oscar-Attempt"] == "1" and headers["X-Oscar-Delivery"]
    assert body["EventName"] == "s3:ObjectCreated:Put" and body["Key"] == f"{bucket}/{key}"
    r = body["Records"][0]
    assert r["eventVersion"] == "2.0" and r["eventSource"] == "minio:s3" and r["awsRegion"] == ""
    assert r["userIdentity"]["principalId"] == KEYS["boss"][0]
    assert r["s3"]["configurationId"] == "Config" and r["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{bucket}"
    o = r["s3"]["object"]
    assert o["key"] == "in%2Fmy+photo%2B%C3%BC%26%281%29.jpg"
    assert o["size"] == 5 and f'"{o["eTag"]}"' == etag and o["contentType"] == "image/jpeg"
    assert o["userMetadata"] == {"X-Amz-Meta-Who": "lab", "content-type": "image/jpeg"}
    assert "versionId" not in o and r["source"]["host"] == "127.0.0.1"
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    told(2)
    assert "size" not in hook.records()[1]["s3"]["object"]


def test_what_happens_to_objects(s3, bucket, hook, told):
    set_rules(s3, bucket, rules("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectAccessed:*",
                                "s3:ObjectTagging:*", "s3:ObjectAcl:Put"))
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="c")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="c", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    s3.complete_multipart_upload(Bucket=bucket, Key="c", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.delete_object_tagging(Bucket=bucket, Key="a")
    s3.put_object_acl(Bucket=bucket, Key="a", ACL="private")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    s3.head_object(Bucket=bucket, Key="a")
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_object(Bucket=bucket, Key="never")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b"}, {"Key": "c"}]})
    # Keys overtake each other; of one key the order stands.
    found = sorted(told(12), key=lambda f: f[1])
    assert found == [
        ("ObjectCreated:Put", "a"), ("ObjectTagging:Put", "a"), ("ObjectTagging:Delete", "a"), ("ObjectAcl:Put", "a"),
        ("ObjectAccessed:Get", "a"), ("ObjectAccessed:Head", "a"), ("ObjectRemoved:Delete", "a"),
        ("ObjectCreated:Copy", "b"), ("ObjectRemoved:Delete", "b"),
        ("ObjectCreated:CompleteMultipartUpload", "c"), ("ObjectRemoved:Delete", "c"),
        ("ObjectRemoved:NoOP", "never")]
    last = {}
    for r in hook.records():
        o = r["s3"]["object"]
        assert o["sequencer"] > last.get(o["key"], ""), "the sequencer of a key increases"
        last[o["key"]] = o["sequencer"]


def test_versions(s3, bucket, hook, told):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    set_rules(s3, bucket, rules("s3:ObjectCreated:Put", "s3:ObjectRemoved:*"))
    version = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="a")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="a", VersionId=version)
    assert [f[0] for f in told(3)] == ["ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated",
                                       "ObjectRemoved:Delete"]
    assert [r["s3"]["object"]["versionId"] for r in hook.records()] == [version, marker, version]


def test_filters_and_overlaps(s3, bucket, told):
    set_rules(s3, bucket, rules("s3:ObjectCreated:*", prefix="in/"), rules("s3:ObjectCreated:*", prefix="in/sub/"),
              rules("s3:ObjectCreated:*", suffix=".jpg"), rules("s3:ObjectRemoved:*", prefix="out/"))
    for key in ("in/sub/a.jpg", "in/b", "c.jpg", "d", "out/e"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.delete_object(Bucket=bucket, Key="in/b")
    s3.delete_object(Bucket=bucket, Key="out/e")
    assert sorted(f[1] for f in told(4)) == ["c.jpg", "in/b", "in/sub/a.jpg", "out/e"]


def test_browser_uploads(s3, service, bucket, told):
    import requests
    set_rules(s3, bucket, rules("s3:ObjectCreated:Post"))
    form = s3.generate_presigned_post(bucket, "posted")
    answer = requests.post(form["url"], data=form["fields"], files={"file": b"x"}, timeout=30)
    assert answer.status_code == 204
    assert told(1) == [("ObjectCreated:Post", "posted")]


def test_mc(mc, s3, bucket, hook, told):
    arn = "arn:minio:sqs:us-east-1:hook:webhook"
    assert arn in mc("admin", "info", "o")[0]["info"]["sqsARN"]
    mc("event", "add", f"o/{bucket}", arn, "--event", "put,delete,replica,ilm,scanner", "--prefix", "p/",
       "--suffix", ".txt")
    listed = mc("event", "list", f"o/{bucket}")[0]
    assert listed["arn"] == arn and "s3:ObjectCreated:*" in listed["event"] and listed["prefix"] == "p/"
    assert mc("event", "add", f"o/{bucket}", "arn:minio:sqs::nobody:webhook", check=False) != 0
    s3.put_object(Bucket=bucket, Key="p/a.txt", Body=b"x")
    told(1)
    mc("event", "remove", f"o/{bucket}", "--force")
    assert mc("event", "list", f"o/{bucket}") == []


def test_mc_config(mc, s3, bucket, hook):
    mc("admin", "config", "set", "o", "notify_webhook:other", f"endpoint={hook.url}", "auth_token=Basic abc",
       "comment=two words")
    import json
    text = json.dumps(mc("admin", "config", "get", "o", "notify_webhook"))
    assert "two words" in text and "Basic abc" not in text and hook.url in text
    assert mc("admin", "config", "set", "o", "notify_webhook:bad", "endpoint=nonsense", check=False) != 0
    assert mc("admin", "config", "set", "o", "scanner", "speed=fast", check=False) != 0
    set_rules(s3, bucket, rules("s3:ObjectCreated:*", arn="arn:minio:sqs::other:webhook"))
    assert mc("admin", "config", "reset", "o", "notify_webhook:other", check=False) != 0  # in use
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    wait_until("an event", lambda: hook.posts)
    assert hook.posts[0][0]["Authorization"] == "Basic abc"
    set_rules(s3, bucket)
    mc("admin", "config", "reset", "o", "notify_webhook:other")
    mc("admin", "service", "restart", "o")
    assert mc("admin", "config", "set", "plain", "notify_webhook:x", f"endpoint={hook.url}", check=False) != 0
