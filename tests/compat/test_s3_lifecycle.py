"""Lifecycle: the configuration and its faults, the header, and the keeper with days of a second."""
import datetime
import re
import time

import pytest

from conftest import Service, remove_bucket
from test_s3_boto3 import fault
from test_s3_versions import enable, versions

UTC = datetime.timezone.utc
MIDNIGHT = datetime.datetime(2035, 5, 1, tzinfo=UTC)


def rule(name="r", prefix="", status="Enabled", **actions):
    return dict({"ID": name, "Prefix": prefix, "Status": status}, **actions)


def put(s3, bucket, *rules):
    return s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)})


def get(s3, bucket):
    return s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]


def until(check, seconds=20):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


# ---- the configuration ---------------------------------------------------------------------------------

GOOD = [
    rule(Expiration={"Days": 1}),
    rule(status="Disabled", prefix="a&b/", Expiration={"Date": MIDNIGHT}),
    rule(NoncurrentVersionExpiration={"NoncurrentDays": 3, "NewerNoncurrentVersions": 5}),
    rule(Expiration={"ExpiredObjectDeleteMarker": True}),
    rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 2}),
    rule(Expiration={"Days": 60}, Transitions=[{"Days": 30, "StorageClass": "GLACIER"}],
         NoncurrentVersionTransitions=[{"NoncurrentDays": 9, "StorageClass": "STANDARD_IA"}]),
    {"ID": "f", "Filter": {}, "Status": "Enabled", "Expiration": {"Days": 1}},
    {"ID": "f", "Filter": {"Prefix": "x"}, "Status": "Enabled", "Expiration": {"Days": 1}},
    {"ID": "f", "Filter": {"Tag": {"Key": "a", "Value": "b c"}}, "Status": "Enabled", "Expiration": {"Days": 1}},
    {"ID": "f", "Filter": {"ObjectSizeGreaterThan": 10}, "Status": "Enabled", "Expiration": {"Days": 1}},
    {"ID": "f", "Filter": {"And": {"Prefix": "p", "Tags": [{"Key": "a", "Value": ""}, {"Key": "b", "Value": "c"}],
                                   "ObjectSizeGreaterThan": 1, "ObjectSizeLessThan": 100}},
     "Status": "Enabled", "Expiration": {"Days": 1}},
]


def test_what_is_set_comes_back(s3, bucket):
    for one in GOOD:
        put(s3, bucket, one)
        assert get(s3, bucket) == [one]
    both = [dict(GOOD[0], ID="one"), dict(GOOD[8], ID="two")]
    put(s3, bucket, *both)
    assert get(s3, bucket) == both
    nameless = {k: v for k, v in GOOD[0].items() if k != "ID"}
    put(s3, bucket, nameless, nameless)
    assert len({r["ID"] for r in get(s3, bucket)}) == 2
    s3.delete_bucket_lifecycle(Bucket=bucket)
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert fault(get, s3, bucket) == (404, "NoSuchLifecycleConfiguration")


MALFORMED, ARGUMENT, REQUEST = ((400, c) for c in ("MalformedXML", "InvalidArgument", "InvalidRequest"))
BAD = [
    (ARGUMENT, rule(Expiration={"Days": 0})),
    (ARGUMENT, rule(Expiration={"Days": -1})),
    (ARGUMENT, rule("x" * 256, Expiration={"Days": 1})),
    (ARGUMENT, rule(Expiration={"Date": MIDNIGHT + datetime.timedelta(hours=1)})),
    (ARGUMENT, rule(NoncurrentVersionExpiration={"NoncurrentDays": 0})),
    (ARGUMENT, rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 101})),
    (ARGUMENT, rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 0})),
    (ARGUMENT, rule(Expiration={"Days": 3}, Transitions=[{"Days": 3, "StorageClass": "GLACIER"}])),
    (MALFORMED, rule(status="enabled", Expiration={"Days": 1})),
    (MALFORMED, rule(Expiration={"Days": 1, "Date": MIDNIGHT})),
    (MALFORMED, rule(Expiration={"Days": 1, "ExpiredObjectDeleteMarker": True})),
    (MALFORMED, rule(Expiration={})),
    (MALFORMED, rule(Filter={"Prefix": "x"}, Expiration={"Days": 1})),
    (MALFORMED, rule(NoncurrentVersionExpiration={})),
    (MALFORMED, rule(Transitions=[{"Days": 1, "StorageClass": "CELLAR"}])),
    (MALFORMED, rule(Transitions=[{"StorageClass": "GLACIER"}])),
    (REQUEST, rule()),
    (REQUEST, {"Filter": {"Tag": {"Key": "a", "Value": "b"}}, "Status": "Enabled",
               "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}),
    (REQUEST, {"Filter": {"Tag": {"Key": "a", "Value": "b"}}, "Status": "Enabled",
               "Expiration": {"ExpiredObjectDeleteMarker": True}}),
]


def test_faults(s3, bucket):
    for want, one in BAD:
        assert fault(put, s3, bucket, one) == want, one
    assert fault(put, s3, bucket, rule(Expiration={"Days": 1}), rule(Expiration={"Days": 2})) == ARGUMENT
    assert fault(put, s3, bucket) == MALFORMED
    assert fault(get, s3, bucket) == (404, "NoSuchLifecycleConfiguration")


def test_header_says_when(s3, bucket):
    put(s3, bucket, rule("first one", "a/", Expiration={"Days": 5}), rule("second", "a/b", Expiration={"Days": 1}),
        {"ID": "tagged", "Filter": {"Tag": {"Key": "k", "Value": "v"}}, "Status": "Enabled", "Expiration": {"Days": 2}})

    def parsed(answer):
        when, name = re.fullmatch('expiry-date="(.+)", rule-id="(.+)"', answer["Expiration"]).groups()
        when = datetime.datetime.strptime(when, "%a, %d %b %Y %H:%M:%S GMT")
        assert (when.hour, when.minute, when.second) == (0, 0, 0)
        return (when - datetime.datetime.now(UTC).replace(tzinfo=None)).days, name

    assert parsed(s3.put_object(Bucket=bucket, Key="a/x", Body=b"")) == (5, "first%20one")
    assert parsed(s3.put_object(Bucket=bucket, Key="a/b", Body=b"")) == (1, "second")
    assert parsed(s3.put_object(Bucket=bucket, Key="t", Body=b"", Tagging="k=v")) == (2, "tagged")
    for read in (s3.get_object, s3.head_object):
        assert parsed(read(Bucket=bucket, Key="a/b")) == (1, "second")
        assert parsed(read(Bucket=bucket, Key="t")) == (2, "tagged")
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="b", Body=b"")


def test_header_says_when_an_upload_is_aborted(s3, bucket):
    put(s3, bucket, rule("late", "a/", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 9}),
        rule("soon", "a/b", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 3}))
    for key, days, name in (("a/x", 9, "late"), ("a/b", 3, "soon")):
        up = s3.create_multipart_upload(Bucket=bucket, Key=key)
        for answer in (up, s3.list_parts(Bucket=bucket, Key=key, UploadId=up["UploadId"])):
            when = answer["AbortDate"]
            assert (when.hour, when.minute, when.second) == (0, 0, 0) and answer["AbortRuleId"] == name
            assert (when - datetime.datetime.now(UTC)).days == days
    assert "AbortDate" not in s3.create_multipart_upload(Bucket=bucket, Key="b")


# ---- the keeper ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A service whose days last a second."""
    s = Service(tmp_path_factory.mktemp("s3d-day"), S3D_DAY="1")
    yield s.client()
    assert s.stop() == 0


@pytest.fixture
def short(quick, request):
    name = "q-" + str(abs(hash(request.node.nodeid)) % 10**12)
    quick.create_bucket(Bucket=name)
    yield name
    remove_bucket(quick, name)


def keys(s3, bucket):
    return [o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_expiry_by_days_prefix_tag_and_size(quick, short):
    for key, size, tags in (("go/1", 5, ""), ("go/2", 5, ""), ("stay/1", 5, ""), ("off/1", 5, ""),
                            ("t/tagged", 5, "a=b%20c&x=y"), ("t/other", 5, "a=d"),
                            ("s/small", 10, ""), ("s/middle", 15, ""), ("s/large", 20, "")):
        quick.put_object(Bucket=short, Key=key, Body=b"x" * size, Tagging=tags)
    put(quick, short, rule("1", "go/", Expiration={"Days": 1}), rule("2", "off/", "Disabled", Expiration={"Days": 1}),
        rule("3", "stay/", Expiration={"Days": 1000}),
        {"ID": "4", "Filter": {"And": {"Prefix": "t/", "Tags": [{"Key": "a", "Value": "b c"}]}},
         "Status": "Enabled", "Expiration": {"Days": 1}},
        {"ID": "5", "Filter": {"And": {"Prefix": "s/", "ObjectSizeGreaterThan": 10, "ObjectSizeLessThan": 20}},
         "Status": "Enabled", "Expiration": {"Days": 1}})
    until(lambda: keys(quick, short) == ["off/1", "s/large", "s/small", "stay/1", "t/other"])


def test_expiry_by_date(quick, short):
    for key in ("past/1", "future/1"):
        quick.put_object(Bucket=short, Key=key, Body=b"")
    put(quick, short, rule("1", "past/", Expiration={"Date": datetime.datetime(2015, 1, 1)}),
        rule("2", "future/", Expiration={"Date": datetime.datetime(2090, 1, 1)}))
    until(lambda: keys(quick, short) == ["future/1"])


def test_versions_expire(quick, short):
    enable(quick, short)
    for _ in range(6):
        quick.put_object(Bucket=short, Key="many", Body=b"x")
    kept = quick.put_object(Bucket=short, Key="current", Body=b"x")["VersionId"]
    put(quick, short, rule("1", "many", NoncurrentVersionExpiration={
        "NoncurrentDays": 1, "NewerNoncurrentVersions": 2}), rule("2", "current", Expiration={"Days": 1}))
    until(lambda: len(versions(quick, short, Prefix="many")) == 3)
    until(lambda: [v[3] for v in versions(quick, short, Prefix="current")] == [False, True])
    assert versions(quick, short, Prefix="current")[0][1:3] == (kept, False)
    put(quick, short, rule("1", NoncurrentVersionExpiration={"NoncurrentDays": 1},
                           Expiration={"ExpiredObjectDeleteMarker": True}))
    until(lambda: [v[0] for v in versions(quick, short)] == ["many"])


def test_locked_versions_outlive_their_rules(quick, request):
    name = "locked-and-due"
    quick.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    held = quick.put_object(Bucket=name, Key="a", Body=b"1", ObjectLockLegalHoldStatus="ON")["VersionId"]
    free = quick.put_object(Bucket=name, Key="a", Body=b"2")["VersionId"]
    put(quick, name, rule(NoncurrentVersionExpiration={"NoncurrentDays": 1}))
    last = quick.put_object(Bucket=name, Key="a", Body=b"3")["VersionId"]
    until(lambda: free not in [v[1] for v in versions(quick, name)])
    assert sorted(v[1] for v in versions(quick, name)) == sorted([held, last])
    quick.put_object_legal_hold(Bucket=name, Key="a", VersionId=held, LegalHold={"Status": "OFF"})
    until(lambda: [v[1] for v in versions(quick, name)] == [last])
    remove_bucket(quick, name)


def test_uploads_are_aborted(quick, short):
    for key in ("go", "stay"):
        quick.create_multipart_upload(Bucket=short, Key=key)
    put(quick, short, rule("1", "go", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}))

    def left():
        return [u["Key"] for u in quick.list_multipart_uploads(Bucket=short).get("Uploads", [])]

    until(lambda: left() == ["stay"])
    until(lambda: left() == [])  # after the days that any upload is given


def test_transitions_change_the_label(quick, short):
    quick.put_object(Bucket=short, Key="k", Body=b"x")
    put(quick, short, rule(Transitions=[{"Days": 1, "StorageClass": "STANDARD_IA"},
                                        {"Days": 2, "StorageClass": "GLACIER"}]))
    until(lambda: quick.head_object(Bucket=short, Key="k").get("StorageClass") == "GLACIER")
    assert quick.list_objects_v2(Bucket=short)["Contents"][0]["StorageClass"] == "GLACIER"
    assert quick.get_object(Bucket=short, Key="k")["Body"].read() == b"x"
