"""Versioning: ids, null versions, delete markers, listings, copies, and deletes of many at once."""
import concurrent.futures

import pytest

from test_s3_boto3 import fault, fetch


def enable(s3, bucket, status="Enabled"):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def versions(s3, bucket, **kw):
    """[(key, id, latest, is a marker)] as listed, over all pages."""
    out = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **kw):
        both = [(v, False) for v in page.get("Versions", [])] + \
            [(m, True) for m in page.get("DeleteMarkers", [])]
        out += [(v["Key"], v["VersionId"], v["IsLatest"], marker) for v, marker in both]
    return out


def body(s3, bucket, key, **kw):
    return s3.get_object(Bucket=bucket, Key=key, **kw)["Body"].read()


def test_states_of_a_bucket(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for status in ("Suspended", "Enabled", "Enabled", "Suspended"):
        enable(s3, bucket, status)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status
    assert fault(enable, s3, bucket, "On") == (400, "MalformedXML")
    assert fault(s3.put_bucket_versioning, Bucket=bucket, MFA="1 2", VersioningConfiguration={
        "Status": "Enabled", "MFADelete": "Enabled"}) == (501, "NotImplemented")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"


def test_versions_are_kept_and_read(s3, bucket):
    assert "VersionId" not in s3.put_object(Bucket=bucket, Key="k", Body=b"null")
    assert "VersionId" not in s3.get_object(Bucket=bucket, Key="k")
    enable(s3, bucket)
    ids = [s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % i)["VersionId"] for i in range(3)]
    assert len(set(ids)) == 3 and "null" not in ids
    assert [v[1] for v in versions(s3, bucket)] == ids[::-1] + ["null"]
    assert [v[2] for v in versions(s3, bucket)] == [True, False, False, False]
    for i, version in enumerate(ids):
        got = s3.get_object(Bucket=bucket, Key="k", VersionId=version)
        assert got["Body"].read() == b"%d" % i and got["VersionId"] == version
        assert s3.head_object(Bucket=bucket, Key="k", VersionId=version)["VersionId"] == version
    assert body(s3, bucket, "k") == b"2"
    got = s3.get_object(Bucket=bucket, Key="k", VersionId="null")
    assert got["Body"].read() == b"null" and got["VersionId"] == "null"
    s3.put_object(Bucket=bucket, Key="summed", Body=b"x", ChecksumAlgorithm="SHA1")
    assert s3.list_object_versions(Bucket=bucket, Prefix="summed")["Versions"][0]["ChecksumAlgorithm"] == ["SHA1"]
    assert fault(s3.get_object, Bucket=bucket, Key="k", VersionId="x") == (400, "InvalidArgument")
    assert fault(s3.get_object, Bucket=bucket, Key="k", VersionId="f" + "0" * 15) == \
        (400, "InvalidArgument")
    assert fault(s3.get_object, Bucket=bucket, Key="k", VersionId="07" + "f" * 14) == \
        (404, "NoSuchVersion")
    assert s3.delete_object(Bucket=bucket, Key="k", VersionId=ids[2])["VersionId"] == ids[2]
    assert body(s3, bucket, "k") == b"1"
    assert fault(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")


def test_null_versions_are_replaced_while_suspended(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    enable(s3, bucket)
    kept = s3.put_object(Bucket=bucket, Key="k", Body=b"kept")["VersionId"]
    enable(s3, bucket, "Suspended")
    assert "VersionId" not in s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    assert versions(s3, bucket) == [("k", "null", True, False), ("k", kept, False, False)]
    assert body(s3, bucket, "k") == b"new" and s3.get_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    gone = s3.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"] and gone["VersionId"] == "null"
    assert versions(s3, bucket) == [("k", kept, False, False), ("k", "null", True, True)]
    assert s3.delete_object(Bucket=bucket, Key="k", VersionId="null")["DeleteMarker"]
    assert body(s3, bucket, "k") == b"kept"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=kept)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=kept)  # again: not an error
    assert versions(s3, bucket) == []


def test_delete_markers(service, s3, bucket):
    enable(s3, bucket)
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="a=b")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"] and marker["VersionId"] not in ("null", first)
    for status, kw in ((404, {}), (405, {"VersionId": marker["VersionId"]})):
        for method in ("GET", "HEAD"):
            url = s3.generate_presigned_url(method.lower() + "_object", Params=dict(Bucket=bucket, Key="k", **kw))
            got, text, headers = fetch(url, method)
            assert got == status and headers["x-amz-delete-marker"] == "true"
            assert headers["x-amz-version-id"] == marker["VersionId"]
            assert ("Last-Modified" in headers) == (status == 405)
            if method == "GET":
                assert (b"NoSuchKey" if status == 404 else b"MethodNotAllowed") in text
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    with_version = {"Bucket": bucket, "Key": "k", "VersionId": marker["VersionId"]}
    assert fault(s3.get_object_tagging, **with_version) == (405, "MethodNotAllowed")
    assert fault(s3.copy_object, Bucket=bucket, Key="c", CopySource=with_version) == (400, "InvalidRequest")
    assert fault(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/k") == (404, "NoSuchKey")
    again = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    missing = s3.delete_object(Bucket=bucket, Key="never-there")["VersionId"]
    assert [v[1] for v in versions(s3, bucket) if v[3]] == [again, marker["VersionId"], missing]
    for version in (again, marker["VersionId"]):
        gone = s3.delete_object(Bucket=bucket, Key="k", VersionId=version)
        assert gone["DeleteMarker"] and gone["VersionId"] == version
    assert body(s3, bucket, "k") == b"1"
    assert s3.get_object_tagging(Bucket=bucket, Key="k", VersionId=first)["TagSet"] == \
        [{"Key": "a", "Value": "b"}]


def test_many_versions_at_once(s3, bucket):
    enable(s3, bucket)
    ids = [s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"] for _ in range(3)]
    made = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})["Deleted"][0]
    assert made["DeleteMarker"] and made["DeleteMarkerVersionId"] and "VersionId" not in made
    doomed = [{"Key": "k", "VersionId": v} for v in ids[:2] + [made["DeleteMarkerVersionId"]]]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed + [{"Key": "k", "VersionId": "zz"}]})
    assert [(d["VersionId"], d.get("DeleteMarker", False)) for d in done["Deleted"]] == \
        [(ids[0], False), (ids[1], False), (made["DeleteMarkerVersionId"], True)]
    assert done["Deleted"][2]["DeleteMarkerVersionId"] == made["DeleteMarkerVersionId"]
    assert [(x["Code"], x["VersionId"]) for x in done["Errors"]] == [("NoSuchVersion", "zz")]
    assert versions(s3, bucket) == [("k", ids[2], True, False)]
    again = s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed})
    assert len(again["Deleted"]) == 3 and "Errors" not in again


def test_parallel_puts_and_deletes_of_versions(s3, bucket):
    enable(s3, bucket)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda i: s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % i)["VersionId"],
                            range(40)))
        listed = versions(s3, bucket)
        assert {v[1] for v in listed} == set(ids) and [v[2] for v in listed] == [True] + [False] * 39
        for i, version in enumerate(ids):
            assert body(s3, bucket, "k", VersionId=version) == b"%d" % i
        objects = [{"Key": "k", "VersionId": v} for v in ids]
        for done in pool.map(lambda _: s3.delete_objects(Bucket=bucket, Delete={"Objects": objects}), range(5)):
            assert len(done["Deleted"]) == 40 and "Errors" not in done
    assert versions(s3, bucket) == []


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_pages_of_versions(s3, bucket, size):
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    enable(s3, bucket)
    want = []
    for key in ("a", "b/1", "b/2", "c"):
        made = [s3.put_object(Bucket=bucket, Key=key, Body=b"")["VersionId"] for _ in range(2)]
        made.append(s3.delete_object(Bucket=bucket, Key=key)["VersionId"])
        want += [(key, v) for v in made[::-1]] + ([("a", "null")] if key == "a" else [])
    got = versions(s3, bucket, PaginationConfig={"PageSize": size})
    assert sorted((v[0], v[1]) for v in got) == sorted(want)
    assert sorted(v[0] for v in got if v[2]) == ["a", "b/1", "b/2", "c"]
    page = s3.list_object_versions(Bucket=bucket, KeyMarker="a", VersionIdMarker=want[1][1])
    assert page["Versions"][0]["VersionId"] == want[2][1] and not page["Versions"][0]["IsLatest"]
    page = s3.list_object_versions(Bucket=bucket, KeyMarker="a", VersionIdMarker="null", Delimiter="/")
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["b/"]
    assert {v["Key"] for v in page["Versions"]} == {"c"} and page["KeyMarker"] == "a"
    assert fault(s3.list_object_versions, Bucket=bucket, VersionIdMarker="null") == (400, "InvalidArgument")
    page = s3.list_object_versions(Bucket=bucket, Prefix="b/", EncodingType="url")
    assert {v["Key"] for v in page["Versions"]} == {"b/1", "b/2"}


def test_copies_of_versions(s3, bucket):
    enable(s3, bucket)
    old = s3.put_object(Bucket=bucket, Key="a?b", Body=b"old" * 2 ** 21)["VersionId"]
    s3.put_object(Bucket=bucket, Key="a?b", Body=b"new")
    source = {"Bucket": bucket, "Key": "a?b", "VersionId": old}
    made = s3.copy_object(Bucket=bucket, Key="c", CopySource=source)
    assert made["CopySourceVersionId"] == old and made["VersionId"] not in ("null", old)
    assert body(s3, bucket, "c", VersionId=made["VersionId"]) == b"old" * 2 ** 21
    made = s3.copy_object(Bucket=bucket, Key="a?b", CopySource=source)  # brings it back
    assert body(s3, bucket, "a?b") == b"old" * 2 ** 21
    up = s3.create_multipart_upload(Bucket=bucket, Key="m")
    upload = {"Bucket": bucket, "Key": "m", "UploadId": up["UploadId"]}
    part = s3.upload_part_copy(PartNumber=1, CopySource=source, **upload)
    assert part["CopySourceVersionId"] == old
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}, **upload)
    assert body(s3, bucket, "m", VersionId=done["VersionId"]) == b"old" * 2 ** 21


def test_tags_belong_to_a_version(s3, bucket):
    enable(s3, bucket)
    ids = [s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"] for _ in range(2)]
    tags = [{"Key": "n", "Value": "old"}]
    assert s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=ids[0], Tagging={"TagSet": tags})[
        "VersionId"] == ids[0]
    got = s3.get_object_tagging(Bucket=bucket, Key="k", VersionId=ids[0])
    assert got["TagSet"] == tags and got["VersionId"] == ids[0]
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    s3.delete_object_tagging(Bucket=bucket, Key="k", VersionId=ids[0])
    assert s3.get_object_tagging(Bucket=bucket, Key="k", VersionId=ids[0])["TagSet"] == []
