"""Object lock: configuration, retention, legal hold, and what they forbid."""
import datetime
import json

import pytest

from conftest import remove_bucket
from test_s3_boto3 import fault, fetch
from test_s3_post import encode

UTC = datetime.timezone.utc
FAR = datetime.datetime(2090, 1, 1, tzinfo=UTC)
FARTHER = datetime.datetime(2091, 1, 1, tzinfo=UTC)
NEAR = datetime.datetime(2089, 1, 1, tzinfo=UTC)


@pytest.fixture
def locked(s3, request):
    """A bucket with object lock; holds are taken off at the end."""
    name = "l-" + str(abs(hash(request.node.nodeid)) % 10**12)
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    yield name
    for v in s3.list_object_versions(Bucket=name).get("Versions", []):
        s3.put_object_legal_hold(Bucket=name, Key=v["Key"], VersionId=v["VersionId"],
                                 LegalHold={"Status": "OFF"})
    remove_bucket(s3, name)


def default(mode="GOVERNANCE", enabled="Enabled", **period):
    return {"ObjectLockEnabled": enabled, "Rule": {"DefaultRetention": dict(Mode=mode, **period)}}


def set_default(s3, bucket, *args, **kw):
    return s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=default(*args, **kw))


def test_configuration(s3, locked, bucket):
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == \
        {"ObjectLockEnabled": "Enabled"}
    for config in (default(Days=3), default("COMPLIANCE", Years=2)):
        s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=config)
        assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == config
    assert fault(set_default, s3, locked, Days=0) == (400, "InvalidRetentionPeriod")
    assert fault(set_default, s3, locked, Years=-1) == (400, "InvalidRetentionPeriod")
    assert fault(set_default, s3, locked, Days=10 ** 6) == (400, "InvalidRetentionPeriod")
    assert fault(set_default, s3, locked, Days=1, Years=1) == (400, "MalformedXML")
    assert fault(set_default, s3, locked) == (400, "MalformedXML")
    assert fault(set_default, s3, locked, "governance", Days=1) == (400, "MalformedXML")
    assert fault(set_default, s3, locked, enabled="Disabled", Days=1) == (400, "MalformedXML")
    assert fault(s3.put_bucket_versioning, Bucket=locked, VersioningConfiguration={
        "Status": "Suspended"}) == (409, "InvalidBucketState")
    assert fault(set_default, s3, bucket, Days=1) == (409, "InvalidBucketState")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={
        "ObjectLockEnabled": "Enabled"})
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == \
        {"ObjectLockEnabled": "Enabled"}


def test_buckets_without_lock_refuse(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    k = {"Bucket": bucket, "Key": "k"}
    refused = (400, "InvalidRequest")
    assert fault(s3.put_object_retention, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": FAR}, **k) == refused
    assert fault(s3.get_object_retention, **k) == refused
    assert fault(s3.put_object_legal_hold, LegalHold={"Status": "ON"}, **k) == refused
    assert fault(s3.get_object_legal_hold, **k) == refused
    assert fault(s3.put_object, Body=b"", ObjectLockLegalHoldStatus="ON", **k) == refused
    assert fault(s3.get_object_lock_configuration, Bucket=bucket) == \
        (404, "ObjectLockConfigurationNotFoundError")


def test_event_holds_are_not_overlooked(s3, service, locked):
    """Of 2026; the document must not be read as one that takes the retention away."""
    k = {"Bucket": locked, "Key": "k"}
    s3.put_object(Body=b"x", **k)
    s3.put_object_retention(Retention={"Mode": "GOVERNANCE", "RetainUntilDate": FAR}, **k)
    for target, body in [(f"/{locked}/k?retention", b"<Retention><EventHold>ON</EventHold></Retention>"),
                         (f"/{locked}?object-lock", b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>"
                          b"<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days><DefaultEventHold>ON"
                          b"</DefaultEventHold></DefaultRetention></Rule></ObjectLockConfiguration>")]:
        status, answer, _ = service.raw("PUT", target, body, "boss", {"x-amz-bypass-governance-retention": "true"})
        assert (status, b"NotImplemented" in answer) == (501, True)
    assert s3.get_object_retention(**k)["Retention"]["RetainUntilDate"] == FAR
    assert "Rule" not in s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert service.raw("PUT", f"/{locked}/e", b"", "boss", {"x-amz-object-lock-event-hold": "ON"})[0] == 501


def test_retention_governs(s3, locked):
    version = s3.put_object(Bucket=locked, Key="k", Body=b"x")["VersionId"]
    k = {"Bucket": locked, "Key": "k"}
    assert fault(s3.get_object_retention, **k) == (404, "NoSuchObjectLockConfiguration")

    def retain(until, mode="GOVERNANCE", **kw):
        return s3.put_object_retention(Retention={"Mode": mode, "RetainUntilDate": until}, **k, **kw)

    retain(FAR)
    assert s3.get_object_retention(**k)["Retention"] == {"Mode": "GOVERNANCE", "RetainUntilDate": FAR}
    retain(FARTHER, VersionId=version)
    assert fault(retain, FAR) == (403, "AccessDenied")
    assert fault(retain, FARTHER, "COMPLIANCE") == (403, "AccessDenied")
    retain(NEAR, BypassGovernanceRetention=True)
    for mode in ("governance", "abc"):
        assert fault(retain, FAR, mode) == (400, "MalformedXML")
    assert fault(retain, datetime.datetime(2001, 1, 1)) == (400, "InvalidArgument")
    assert s3.delete_object(**k)["DeleteMarker"]  # a marker on top is allowed
    assert fault(s3.delete_object, VersionId=version, **k) == (403, "AccessDenied")
    done = s3.delete_objects(Bucket=locked, Delete={"Objects": [{"Key": "k", "VersionId": version}]})
    assert [(x["Key"], x["VersionId"], x["Code"]) for x in done["Errors"]] == [("k", version, "AccessDenied")]
    assert "Deleted" not in done
    assert s3.get_object(VersionId=version, **k)["Body"].read() == b"x"
    done = s3.delete_objects(Bucket=locked, BypassGovernanceRetention=True, Delete={
        "Objects": [{"Key": "k", "VersionId": version}]})
    assert "Errors" not in done and done["Deleted"][0]["VersionId"] == version


def test_conditions_see_what_is_asked_for(s3, locked):
    deny = {"Effect": "Deny", "Principal": "*", "Resource": f"arn:aws:s3:::{locked}/*"}
    s3.put_bucket_policy(Bucket=locked, Policy=json.dumps({"Statement": [
        {**deny, "Action": ["s3:PutObject", "s3:PutObjectRetention"],
         "Condition": {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "100"}}},
        {**deny, "Action": "s3:PutObjectRetention", "Condition": {"StringEquals": {"s3:object-lock-mode": "COMPLIANCE"}}},
        {**deny, "Action": "s3:PutObjectLegalHold", "Condition": {"StringEquals": {"s3:object-lock-legal-hold": "ON"}}}]}))
    k = {"Bucket": locked, "Key": "k"}
    days = lambda n: datetime.datetime.now(UTC) + datetime.timedelta(days=n)
    retain = lambda until, mode="GOVERNANCE": s3.put_object_retention(
        Retention={"Mode": mode, "RetainUntilDate": until}, **k)
    denied = (403, "AccessDenied")
    s3.put_object(Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=days(50), **k)
    for until in (days(101), FAR):
        assert fault(s3.put_object, Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until, **k) == denied
        assert fault(retain, until) == denied
    retain(days(100))
    assert fault(retain, days(100), "COMPLIANCE") == denied
    assert fault(s3.put_object_legal_hold, LegalHold={"Status": "ON"}, **k) == denied
    s3.put_object_legal_hold(LegalHold={"Status": "OFF"}, **k)
    s3.put_bucket_policy(Bucket=locked, Policy=json.dumps({"Statement": [
        {**deny, "Action": "s3:PutObjectRetention",
         "Condition": {"DateGreaterThan": {"s3:object-lock-retain-until-date": "2089-06-01T00:00:00Z"}}}]}))
    retain(NEAR)
    assert fault(retain, FAR) == denied


def test_governance_is_bypassed_key_by_key(s3, service, locked):
    retain = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": FAR}
    made = [{"Key": key, "VersionId": s3.put_object(Bucket=locked, Key=key, Body=b"x", **retain)["VersionId"]}
            for key in ("open/k", "shut/k")]
    rule = {"Effect": "Allow", "Principal": "*"}
    s3.put_bucket_policy(Bucket=locked, Policy=json.dumps({"Statement": [
        {**rule, "Action": "s3:DeleteObjectVersion", "Resource": f"arn:aws:s3:::{locked}/*"},
        {**rule, "Action": "s3:BypassGovernanceRetention", "Resource": f"arn:aws:s3:::{locked}/open/*"}]}))
    done = service.client("other").delete_objects(Bucket=locked, Delete={"Objects": made}, BypassGovernanceRetention=True)
    assert ([d["Key"] for d in done["Deleted"]], [(e["Key"], e["Code"]) for e in done["Errors"]]) == \
        (["open/k"], [("shut/k", "AccessDenied")])


def test_compliance_cannot_be_weakened(s3, locked):
    """Retained for seconds only, so that the bucket can go: the refusals are what counts."""
    soon = datetime.datetime.now(UTC) + datetime.timedelta(seconds=2)
    version = s3.put_object(Bucket=locked, Key="k", Body=b"x", ObjectLockMode="COMPLIANCE",
                            ObjectLockRetainUntilDate=soon)["VersionId"]
    k = {"Bucket": locked, "Key": "k", "VersionId": version}
    for until, mode in ((FAR, "GOVERNANCE"), (soon - datetime.timedelta(seconds=1), "COMPLIANCE")):
        assert fault(s3.put_object_retention, BypassGovernanceRetention=True, Retention={
            "Mode": mode, "RetainUntilDate": until}, **k) == (403, "AccessDenied")
    assert fault(s3.delete_object, BypassGovernanceRetention=True, **k) == (403, "AccessDenied")
    while datetime.datetime.now(UTC) <= soon:
        assert s3.head_object(**k)["ObjectLockMode"] == "COMPLIANCE"
    s3.delete_object(**k)


def test_legal_hold(s3, locked):
    k = {"Bucket": locked, "Key": "k"}
    version = s3.put_object(Body=b"x", **k)["VersionId"]
    assert fault(s3.get_object_legal_hold, **k) == (404, "NoSuchObjectLockConfiguration")
    s3.put_object_legal_hold(LegalHold={"Status": "ON"}, **k)
    assert s3.get_object_legal_hold(**k)["LegalHold"] == {"Status": "ON"}
    assert fault(s3.delete_object, VersionId=version, BypassGovernanceRetention=True, **k) == \
        (403, "AccessDenied")
    assert fault(s3.put_object_legal_hold, LegalHold={"Status": "abc"}, **k) == (400, "MalformedXML")
    s3.put_object_legal_hold(LegalHold={"Status": "OFF"}, **k)
    assert s3.get_object_legal_hold(**k)["LegalHold"] == {"Status": "OFF"}
    s3.delete_object(VersionId=version, **k)


def test_headers_of_writes_and_reads(s3, locked):
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": FAR, "ObjectLockLegalHoldStatus": "ON"}
    s3.put_object(Bucket=locked, Key="put", Body=b"x", **lock)
    s3.copy_object(Bucket=locked, Key="copy", CopySource=f"{locked}/put", **lock)
    s3.copy_object(Bucket=locked, Key="plain-copy", CopySource=f"{locked}/put")
    up = s3.create_multipart_upload(Bucket=locked, Key="parts", **lock)
    upload = {"Bucket": locked, "Key": "parts", "UploadId": up["UploadId"]}
    part = s3.upload_part(PartNumber=1, Body=b"x", **upload)
    s3.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, **upload)
    for key in ("put", "copy", "parts"):
        for read in (s3.head_object, s3.get_object):
            got = read(Bucket=locked, Key=key)
            assert {k: got[k] for k in lock} == lock
    assert "ObjectLockMode" not in s3.head_object(Bucket=locked, Key="plain-copy")

    def put(**kw):
        return s3.put_object(Bucket=locked, Key="bad", Body=b"x", **kw)

    assert fault(put, ObjectLockMode="GOVERNANCE") == (400, "InvalidArgument")
    assert fault(put, ObjectLockRetainUntilDate=FAR) == (400, "InvalidArgument")
    assert fault(put, ObjectLockMode="X", ObjectLockRetainUntilDate=FAR) == (400, "InvalidArgument")
    assert fault(put, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=datetime.datetime(2001, 1, 1)) \
        == (400, "InvalidArgument")
    assert fault(put, ObjectLockLegalHoldStatus="on") == (400, "InvalidArgument")


def test_locks_of_a_form(s3, locked):
    fields = {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": "2090-01-01T00:00:00Z",
              "x-amz-object-lock-legal-hold": "ON"}
    form = s3.generate_presigned_post(locked, "form", Fields=fields, Conditions=[{k: v} for k, v in fields.items()])
    body, kind = encode(form["fields"])
    assert fetch(form["url"], "POST", body, kind)[0] == 204
    got = s3.head_object(Bucket=locked, Key="form")
    assert (got["ObjectLockMode"], got["ObjectLockRetainUntilDate"], got["ObjectLockLegalHoldStatus"]) == \
        ("GOVERNANCE", FAR, "ON")


def test_writers_may_lock_only_when_allowed(s3, service, locked):
    def allow(*actions):
        s3.put_bucket_policy(Bucket=locked, Policy=json.dumps({"Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": f"arn:aws:s3:::{locked}/*"}]}))

    def put(**kw):
        return service.client("other").put_object(Bucket=locked, Key="k", Body=b"x", **kw)

    retain = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": FAR}
    hold = {"ObjectLockLegalHoldStatus": "ON"}
    denied = (403, "AccessDenied")
    allow("s3:PutObject")
    put()
    assert fault(put, **retain) == denied and fault(put, **hold) == denied
    body, kind = encode({"key": "form", "x-amz-object-lock-legal-hold": "ON"})
    assert service.raw("POST", f"/{locked}", body, headers=kind)[0] == 403
    allow("s3:PutObject", "s3:PutObjectRetention")
    put(**retain)
    assert fault(put, **retain, **hold) == denied
    allow("s3:PutObject", "s3:PutObjectLegalHold")
    put(**hold)
    assert s3.head_object(Bucket=locked, Key="k")["ObjectLockLegalHoldStatus"] == "ON"


def test_default_retention(s3, locked):
    set_default(s3, locked, Days=2)
    s3.put_object(Bucket=locked, Key="k", Body=b"x")
    got = s3.head_object(Bucket=locked, Key="k")
    assert got["ObjectLockMode"] == "GOVERNANCE"
    left = got["ObjectLockRetainUntilDate"] - datetime.datetime.now(UTC)
    assert datetime.timedelta(days=1, hours=23) < left <= datetime.timedelta(days=2)
    s3.put_object(Bucket=locked, Key="own", Body=b"x", ObjectLockMode="GOVERNANCE",
                  ObjectLockRetainUntilDate=FAR)
    assert s3.head_object(Bucket=locked, Key="own")["ObjectLockRetainUntilDate"] == FAR
