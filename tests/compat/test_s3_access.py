"""Access lists, ownership, bucket policies and the block of public access: two users and a stranger."""
import json

import pytest
from test_s3_boto3 import fault
from test_s3_post import encode

ALL = "http://acs.amazonaws.com/groups/global/AllUsers"
KNOWN = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
DENIED = (403, "AccessDenied")


@pytest.fixture(scope="module")
def alt(service):
    return service.client("other")


@pytest.fixture(scope="module")
def stranger(service):
    return service.client(None)


@pytest.fixture(scope="module")
def ids(main, alt):
    """Canonical ids of both, as ListBuckets tells them."""
    return main.list_buckets()["Owner"]["ID"], alt.list_buckets()["Owner"]["ID"]


def grants(answer):
    return [(g["Grantee"].get("ID") or g["Grantee"]["URI"], g["Permission"]) for g in answer["Grants"]]


def works(call, *args, **kw):
    return call(*args, **kw)["ResponseMetadata"]["HTTPStatusCode"] in (200, 204)


# ---- access lists --------------------------------------------------------------------------------------

def test_default_lists(main, alt, stranger, make, ids):
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"x")
    for answer in (main.get_bucket_acl(Bucket=b), main.get_object_acl(Bucket=b, Key="k")):
        assert answer["Owner"] == {"ID": ids[0], "DisplayName": "main"}
        assert grants(answer) == [(ids[0], "FULL_CONTROL")]
        assert answer["Grants"][0]["Grantee"]["Type"] == "CanonicalUser"
    for who in (alt, stranger):
        assert fault(who.list_objects_v2, Bucket=b) == DENIED
        assert fault(who.get_object, Bucket=b, Key="k") == DENIED
        assert fault(who.get_object, Bucket=b, Key="nothing") == DENIED
        assert fault(who.put_object, Bucket=b, Key="k", Body=b"") == DENIED
        assert fault(who.delete_object, Bucket=b, Key="k") == DENIED
        assert fault(who.get_bucket_acl, Bucket=b) == DENIED
        assert fault(who.get_object_acl, Bucket=b, Key="k") == DENIED
        assert fault(who.put_object_acl, Bucket=b, Key="k", ACL="private") == DENIED
        assert fault(who.get_object_tagging, Bucket=b, Key="k") == DENIED
        assert fault(who.create_multipart_upload, Bucket=b, Key="k") == DENIED
        assert fault(who.copy_object, Bucket=b, Key="l", CopySource=f"{b}/k") == DENIED
        deleted = who.delete_objects(Bucket=b, Delete={"Objects": [{"Key": "k"}]})
        assert [e["Code"] for e in deleted["Errors"]] == ["AccessDenied"]
    assert main.get_object(Bucket=b, Key="k")["Body"].read() == b"x"
    assert fault(main.get_object, Bucket=b, Key="nothing") == (404, "NoSuchKey")


@pytest.mark.parametrize("canned,groups", [
    ("private", []), ("aws-exec-read", []), ("public-read", [(ALL, "READ")]),
    ("public-read-write", [(ALL, "READ"), (ALL, "WRITE")]),
    ("authenticated-read", [(KNOWN, "READ")])])
def test_canned_lists(main, alt, stranger, make, ids, canned, groups):
    b = make(ACL=canned)
    assert grants(main.get_bucket_acl(Bucket=b)) == groups + [(ids[0], "FULL_CONTROL")]
    main.put_bucket_acl(Bucket=b, ACL="private")
    main.put_bucket_acl(Bucket=b, ACL=canned)
    assert grants(main.get_bucket_acl(Bucket=b)) == groups + [(ids[0], "FULL_CONTROL")]
    main.put_object(Bucket=b, Key="k", Body=b"x", ACL=canned)
    assert grants(main.get_object_acl(Bucket=b, Key="k")) == groups + [(ids[0], "FULL_CONTROL")]
    main.put_object(Bucket=b, Key="hidden", Body=b"x")
    for who, readers in ((alt, {ALL, KNOWN}), (stranger, {ALL})):
        reads = any(uri in readers for uri, _ in groups)
        for call, kw in ((who.list_objects, {}), (who.head_bucket, {}), (who.get_object, {"Key": "k"}),
                         (who.list_object_versions, {})):
            if reads:
                assert works(call, Bucket=b, **kw)
            else:
                assert fault(call, Bucket=b, **kw)[0] == 403
        assert fault(who.get_object, Bucket=b, Key="hidden") == DENIED
        if canned == "public-read-write":
            assert works(who.put_object, Bucket=b, Key="new", Body=b"")
            assert works(who.delete_object, Bucket=b, Key="new")
        else:
            assert fault(who.put_object, Bucket=b, Key="new", Body=b"") == DENIED
        if reads:
            assert fault(who.get_object, Bucket=b, Key="nothing") == (404, "NoSuchKey")


def test_lists_for_the_buckets_owner(main, alt, make, ids):
    b = make(ACL="public-read-write")
    for canned, extra in (("bucket-owner-read", "READ"), ("bucket-owner-full-control", "FULL_CONTROL")):
        alt.put_object(Bucket=b, Key="k", Body=b"x", ACL=canned)
        answer = alt.get_object_acl(Bucket=b, Key="k")
        assert answer["Owner"]["ID"] == ids[1]
        assert grants(answer) == [(ids[1], "FULL_CONTROL"), (ids[0], extra)]
        assert main.get_object(Bucket=b, Key="k")["Body"].read() == b"x"
    alt.put_object(Bucket=b, Key="k", Body=b"x")
    assert fault(main.get_object, Bucket=b, Key="k") == DENIED
    assert fault(main.get_object_acl, Bucket=b, Key="k") == DENIED
    assert works(main.delete_object, Bucket=b, Key="k")
    up = alt.create_multipart_upload(Bucket=b, Key="m", ACL="bucket-owner-read")["UploadId"]
    part = alt.upload_part(Bucket=b, Key="m", UploadId=up, PartNumber=1, Body=b"y")
    alt.complete_multipart_upload(Bucket=b, Key="m", UploadId=up, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert grants(alt.get_object_acl(Bucket=b, Key="m"))[1] == (ids[0], "READ")


def grant_list(owner, *given):
    return {"Owner": {"ID": owner}, "Grants": [
        {"Grantee": who, "Permission": what} for who, what in given]}


def user(id_):
    return {"Type": "CanonicalUser", "ID": id_}


@pytest.mark.parametrize("permission", ["FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"])
def test_grants_to_a_user(main, alt, make, ids, permission):
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"x")
    lists = grant_list(ids[0], (user(ids[0]), "FULL_CONTROL"), (user(ids[1]), permission))
    main.put_bucket_acl(Bucket=b, AccessControlPolicy=lists)
    main.put_object_acl(Bucket=b, Key="k", AccessControlPolicy=lists)
    assert grants(main.get_bucket_acl(Bucket=b))[1] == (ids[1], permission)
    assert grants(main.get_object_acl(Bucket=b, Key="k"))[1] == (ids[1], permission)
    full = permission == "FULL_CONTROL"
    for needs, call, kw in (
            ("READ", alt.head_bucket, {}), ("WRITE", alt.put_object, {"Key": "new", "Body": b""}),
            ("READ_ACP", alt.get_bucket_acl, {}), ("READ", alt.get_object, {"Key": "k"}),
            ("READ_ACP", alt.get_object_acl, {"Key": "k"}),
            ("WRITE_ACP", alt.put_object_acl, {"Key": "k", "AccessControlPolicy": lists}),
            ("WRITE_ACP", alt.put_bucket_acl, {"AccessControlPolicy": lists})):
        if full or permission == needs:
            assert works(call, Bucket=b, **kw), needs
        else:
            assert fault(call, Bucket=b, **kw)[0] == 403, needs
    assert main.get_object_acl(Bucket=b, Key="k")["Owner"]["ID"] == ids[0]


def test_an_owner_may_give_up_and_take_back(main, make, ids):
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"x")
    main.put_bucket_acl(Bucket=b, AccessControlPolicy=grant_list(ids[0]))
    assert main.get_bucket_acl(Bucket=b)["Grants"] == []
    assert works(main.get_object, Bucket=b, Key="k")
    assert fault(main.put_object, Bucket=b, Key="k2", Body=b"") == DENIED
    main.put_bucket_acl(Bucket=b, ACL="private")
    assert works(main.put_object, Bucket=b, Key="k2", Body=b"")


def test_grants_in_headers_and_by_mail(main, alt, make, ids):
    order = ["READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL"]
    give = {"Grant" + "".join(w.capitalize().replace("Acp", "ACP") for w in p.split("_")): f"id={ids[1]}"
            for p in order}
    b = make(**give)
    assert grants(main.get_bucket_acl(Bucket=b)) == [(ids[1], p) for p in order]
    b = make()
    give.pop("GrantWrite")
    main.put_object(Bucket=b, Key="k", Body=b"", **give)
    assert grants(main.get_object_acl(Bucket=b, Key="k")) == [(ids[1], p) for p in order if p != "WRITE"]
    main.put_object_acl(Bucket=b, Key="k", GrantRead=f'uri="{ALL}", emailaddress="other@example.org"')
    assert grants(main.get_object_acl(Bucket=b, Key="k")) == [(ALL, "READ"), (ids[1], "READ")]
    main.put_object_acl(Bucket=b, Key="k", AccessControlPolicy=grant_list(
        ids[0], (user(ids[0]), "FULL_CONTROL"), ({"Type": "Group", "URI": KNOWN}, "READ")))
    assert grants(main.get_object_acl(Bucket=b, Key="k")) == [(KNOWN, "READ"), (ids[0], "FULL_CONTROL")]
    main.put_bucket_acl(Bucket=b, AccessControlPolicy=grant_list(
        ids[0], ({"Type": "AmazonCustomerByEmail", "EmailAddress": "Other@Example.org"}, "FULL_CONTROL")))
    assert grants(main.get_bucket_acl(Bucket=b)) == [(ids[1], "FULL_CONTROL")]
    assert works(alt.list_objects, Bucket=b)


def test_lists_that_are_refused(main, make, ids, service):
    b = make()
    put = main.put_bucket_acl
    mail = {"Type": "AmazonCustomerByEmail", "EmailAddress": "nobody@example.org"}
    assert fault(put, Bucket=b, AccessControlPolicy=grant_list(ids[0], (mail, "READ"))) == \
        (400, "UnresolvableGrantByEmailAddress")
    for bad in ("_foo", "0" * 64, "f" * 64, "-" + "0" * 62 + "3"):
        assert fault(put, Bucket=b, AccessControlPolicy=grant_list(ids[0], (user(bad), "READ"))) == \
            (400, "InvalidArgument")
    assert fault(put, Bucket=b, AccessControlPolicy=grant_list(
        ids[0], ({"Type": "Group", "URI": "http://example.org/"}, "READ"))) == (400, "InvalidArgument")
    assert fault(put, Bucket=b, AccessControlPolicy=grant_list(ids[1], (user(ids[0]), "READ"))) == DENIED
    assert fault(put, Bucket=b, ACL="public-ready") == (400, "InvalidArgument")
    assert fault(put, Bucket=b, ACL="private", GrantRead=f"id={ids[0]}") == (400, "InvalidRequest")
    assert fault(put, Bucket=b, GrantRead="who=me") == (400, "InvalidArgument")
    assert fault(put, Bucket=b, AccessControlPolicy=grant_list(
        ids[0], *[(user(ids[0]), "READ")] * 101)) == (400, "InvalidRequest")
    for body in (b"<AccessControlPolicy/>", b"<Other/>", b"nonsense", b""):
        status, answer, _ = service.raw("PUT", f"/{b}?acl", body, "main")
        assert status == 400 and b"<Code>MalformedXML</Code>" in answer
    assert grants(main.get_bucket_acl(Bucket=b)) == [(ids[0], "FULL_CONTROL")]


def test_changing_a_list_leaves_the_object_as_it_was(main, make):
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"x", Metadata={"a": "b"}, Tagging="t=u")
    before = main.head_object(Bucket=b, Key="k")
    main.put_object_acl(Bucket=b, Key="k", ACL="public-read")
    after = main.head_object(Bucket=b, Key="k")
    for name in ("LastModified", "ETag", "Metadata", "TagCount"):
        assert before.get(name) == after.get(name)
    main.copy_object(Bucket=b, Key="copy", CopySource=f"{b}/k")
    assert len(main.get_object_acl(Bucket=b, Key="copy")["Grants"]) == 1  # a copy does not take the list
    main.copy_object(Bucket=b, Key="copy", CopySource=f"{b}/k", ACL="public-read")
    assert len(main.get_object_acl(Bucket=b, Key="copy")["Grants"]) == 2
    assert fault(main.get_object_acl, Bucket=b, Key="no") == (404, "NoSuchKey")


def test_a_bucket_made_twice(main, make):
    b = make(ACL="public-read")
    assert fault(main.create_bucket, Bucket=b, ACL="public-read") == (409, "BucketAlreadyOwnedByYou")
    assert fault(main.create_bucket, Bucket=b) == (409, "BucketAlreadyExists")
    assert len(main.get_bucket_acl(Bucket=b)["Grants"]) == 2


def test_listing_buckets_shows_ones_own(main, alt, stranger, s3, make):
    b = make()
    names = [[x["Name"] for x in c.list_buckets()["Buckets"]] for c in (main, alt, stranger, s3)]
    assert [b in n for n in names] == [True, False, False, True]
    assert names[2] == []


def test_anonymous_uploads_are_for_the_buckets_owner(main, alt, stranger, make):
    b = make(ACL="public-read-write")
    stranger.put_object(Bucket=b, Key="k", Body=b"x")
    assert main.get_object(Bucket=b, Key="k")["Body"].read() == b"x"
    assert main.get_object_acl(Bucket=b, Key="k")["Owner"]["DisplayName"] == "main"
    assert fault(alt.get_object, Bucket=b, Key="k") == DENIED
    assert fault(stranger.create_bucket, Bucket="stranger-bucket") == DENIED


def test_lists_of_versions(main, alt, s3, make):
    b = make(ACL="public-read-write")
    main.put_bucket_versioning(Bucket=b, VersioningConfiguration={"Status": "Enabled"})
    one = main.put_object(Bucket=b, Key="k", Body=b"1")["VersionId"]
    two = main.put_object(Bucket=b, Key="k", Body=b"2", ACL="public-read")["VersionId"]
    main.put_object_acl(Bucket=b, Key="k", VersionId=one, ACL="public-read")
    main.put_object_acl(Bucket=b, Key="k", ACL="private")
    counts = [len(main.get_object_acl(Bucket=b, Key="k", **v)["Grants"])
              for v in ({"VersionId": one}, {"VersionId": two}, {})]
    assert counts == [2, 1, 1]
    assert alt.get_object(Bucket=b, Key="k", VersionId=one)["Body"].read() == b"1"
    assert fault(alt.get_object, Bucket=b, Key="k") == DENIED
    main.put_bucket_policy(Bucket=b, Policy=policy(b, {"Action": "s3:GetObjectVersion"}))
    assert works(alt.get_object, Bucket=b, Key="k", VersionId=two)
    assert fault(alt.get_object, Bucket=b, Key="k") == DENIED
    main.put_bucket_policy(Bucket=b, Policy=policy(
        b, {"Action": "s3:GetObject*", "Condition": {"StringEquals": {"s3:VersionId": two}}},
        {"Action": "s3:DeleteObjectVersion", "Effect": "Deny"}))
    assert works(alt.get_object, Bucket=b, Key="k", VersionId=two)
    assert fault(alt.delete_object, Bucket=b, Key="k", VersionId=two) == DENIED
    assert works(alt.delete_object, Bucket=b, Key="k")
    s3.delete_bucket_policy(Bucket=b)
    for kind in ("Versions", "DeleteMarkers"):
        for v in s3.list_object_versions(Bucket=b).get(kind, []):
            s3.delete_object(Bucket=b, Key="k", VersionId=v["VersionId"])


# ---- ownership -----------------------------------------------------------------------------------------

def own(rule):
    return {"Rules": [{"ObjectOwnership": rule}]}


def test_ownership_controls(main, alt, make, ids):
    b = make()
    assert fault(main.get_bucket_ownership_controls, Bucket=b) == (404, "OwnershipControlsNotFoundError")
    for rule in ("ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"):
        main.put_bucket_ownership_controls(Bucket=b, OwnershipControls=own(rule))
        assert main.get_bucket_ownership_controls(Bucket=b)["OwnershipControls"] == own(rule)
        c = make(ObjectOwnership=rule)
        assert main.get_bucket_ownership_controls(Bucket=c)["OwnershipControls"] == own(rule)
    assert fault(alt.put_bucket_ownership_controls, Bucket=b, OwnershipControls=own("ObjectWriter")) == DENIED
    assert fault(main.put_bucket_ownership_controls, Bucket=b, OwnershipControls=own("Other")) == \
        (400, "MalformedXML")
    main.delete_bucket_ownership_controls(Bucket=b)
    assert fault(main.get_bucket_ownership_controls, Bucket=b) == (404, "OwnershipControlsNotFoundError")
    main.delete_bucket_ownership_controls(Bucket=b)


def test_bucket_owner_enforced(main, alt, make, ids):
    b = make(ACL="public-read-write")
    alt.put_object(Bucket=b, Key="k", Body=b"x", ACL="public-read")
    assert fault(main.put_bucket_ownership_controls, Bucket=b, OwnershipControls=own("BucketOwnerEnforced")) \
        == (400, "InvalidBucketAclWithObjectOwnership")
    main.put_bucket_acl(Bucket=b, ACL="private")
    main.put_bucket_ownership_controls(Bucket=b, OwnershipControls=own("BucketOwnerEnforced"))
    assert works(main.get_object, Bucket=b, Key="k")
    assert fault(alt.get_object, Bucket=b, Key="k") == DENIED
    assert main.get_object_acl(Bucket=b, Key="k")["Owner"]["ID"] == ids[0]
    refused = (400, "AccessControlListNotSupported")
    assert fault(main.put_bucket_acl, Bucket=b, ACL="public-read") == refused
    assert fault(main.put_object_acl, Bucket=b, Key="k", ACL="public-read") == refused
    assert fault(main.put_object, Bucket=b, Key="l", Body=b"", ACL="public-read") == refused
    assert works(main.put_object, Bucket=b, Key="l", Body=b"", ACL="bucket-owner-full-control")
    assert fault(main.create_bucket, Bucket="enforced-and-public", ACL="public-read",
                 ObjectOwnership="BucketOwnerEnforced") == (400, "InvalidBucketAclWithObjectOwnership")


def test_bucket_owner_preferred(main, alt, make, ids):
    b = make(ACL="public-read-write", ObjectOwnership="BucketOwnerPreferred")
    alt.put_object(Bucket=b, Key="k", Body=b"x")
    assert alt.get_object_acl(Bucket=b, Key="k")["Owner"]["ID"] == ids[1]
    alt.put_object(Bucket=b, Key="k", Body=b"x", ACL="bucket-owner-full-control")
    answer = main.get_object_acl(Bucket=b, Key="k")
    assert answer["Owner"]["ID"] == ids[0] and grants(answer) == [(ids[0], "FULL_CONTROL")]


# ---- policies ------------------------------------------------------------------------------------------

def policy(bucket, *statements):
    out = []
    for s in statements:
        s = {"Effect": "Allow", "Principal": "*", **s}
        if "NotPrincipal" in s:
            s.pop("Principal")
        if "NotResource" not in s:
            s.setdefault("Resource", [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"])
        out.append({k: v for k, v in s.items() if v is not None})
    return json.dumps({"Version": "2012-10-17", "Statement": out})


def test_policy_comes_and_goes(main, alt, stranger, make):
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"x")
    assert fault(main.get_bucket_policy, Bucket=b) == (404, "NoSuchBucketPolicy")
    text = policy(b, {"Action": ["s3:ListBucket", "s3:GetObject"]})
    main.put_bucket_policy(Bucket=b, Policy=text)
    assert main.get_bucket_policy(Bucket=b)["Policy"] == text
    for who in (alt, stranger):
        assert works(who.list_objects_v2, Bucket=b)
        assert who.get_object(Bucket=b, Key="k")["Body"].read() == b"x"
        assert fault(who.get_object, Bucket=b, Key="no") == (404, "NoSuchKey")
        assert fault(who.put_object, Bucket=b, Key="k", Body=b"") == DENIED
        assert fault(who.get_bucket_policy, Bucket=b) == DENIED
        assert fault(who.delete_bucket_policy, Bucket=b) == DENIED
    main.delete_bucket_policy(Bucket=b)
    main.delete_bucket_policy(Bucket=b)
    for who in (alt, stranger):
        assert fault(who.get_object, Bucket=b, Key="k") == DENIED


def test_malformed_policies(main, make):
    b = make()
    arn = f"arn:aws:s3:::{b}/*"
    good = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": arn}
    for text in ("", "no json", "[]", "{}", '{"Statement":[]}',
                 json.dumps({"Version": "2013-01-01", "Statement": [good]}),
                 json.dumps({"Version": "2012-10-17", "Statement": [good], "Extra": 1})):
        assert fault(main.put_bucket_policy, Bucket=b, Policy=text or " ") == (400, "MalformedPolicy")
    for change in ({"Effect": "allow"}, {"Principal": None}, {"Principal": "someone"},
                   {"Action": None}, {"Action": "ec2:Run"}, {"Action": []}, {"NotAction": "s3:*"},
                   {"Resource": "arn:aws:s3:::another-bucket/*"}, {"Resource": None}, {"Other": 1},
                   {"Condition": {"NoSuchOperator": {"aws:SourceIp": "1.2.3.4"}}},
                   {"Condition": {"IpAddress": {"aws:SourceIp": "not an address"}}},
                   {"Condition": {"StringEquals": {"nocolon": "x"}}},
                   {"Condition": {"NumericEquals": {"s3:max-keys": "many"}}},
                   {"Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
                   {"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1", "s3:prefixes": "x"}}},
                   {"Principal": None, "NotPrincipal": {"AWS": "*"}}):
        s = {k: v for k, v in {**good, **change}.items() if v is not None}
        text = json.dumps({"Version": "2012-10-17", "Statement": [s]})
        assert fault(main.put_bucket_policy, Bucket=b, Policy=text) == (400, "MalformedPolicy"), change
    long = json.dumps({"Version": "2012-10-17", "Statement": [{**good, "Sid": "x" * 21000}]})
    assert fault(main.put_bucket_policy, Bucket=b, Policy=long) == (400, "MalformedPolicy")
    assert fault(main.get_bucket_policy, Bucket=b) == (404, "NoSuchBucketPolicy")


def test_principals(main, alt, stranger, make, ids):
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"x")
    number = str(int(ids[1], 16)).zfill(12)
    for principal in ({"AWS": ids[1]}, {"AWS": [ids[0], ids[1]]}, {"CanonicalUser": ids[1]},
                      {"AWS": f"arn:aws:iam::{number}:root"}, {"AWS": number},
                      {"AWS": f"arn:aws:iam::{number}:user/other"}, {"AWS": "arn:aws:iam:::user/other"},
                      {"AWS": f"arn:aws:iam:::user/{ids[1]}"}):
        main.put_bucket_policy(Bucket=b, Policy=policy(b, {"Action": "s3:*", "Principal": principal}))
        assert works(alt.get_object, Bucket=b, Key="k"), principal
        assert fault(stranger.get_object, Bucket=b, Key="k") == DENIED
        assert main.get_bucket_policy_status(Bucket=b)["PolicyStatus"]["IsPublic"] is False
    for principal in ({"AWS": ids[0]}, {"AWS": "arn:aws:iam::tenant:user/other"},
                      {"AWS": "arn:aws:iam::s3tenant1:root"}, {"Service": "s3.amazonaws.com"}):
        main.put_bucket_policy(Bucket=b, Policy=policy(b, {"Action": "s3:*", "Principal": principal}))
        assert fault(alt.get_object, Bucket=b, Key="k") == DENIED, principal
    main.put_bucket_policy(Bucket=b, Policy=policy(
        b, {"Action": "s3:GetObject"},
        {"Effect": "Deny", "Action": "s3:*", "NotPrincipal": {"AWS": [ids[0], ids[1]]}}))
    assert works(alt.get_object, Bucket=b, Key="k")
    assert fault(stranger.get_object, Bucket=b, Key="k") == DENIED


def test_a_denial_outweighs_all_and_can_be_mended(main, alt, s3, make):
    b = make(ACL="public-read-write")
    main.put_object(Bucket=b, Key="k", Body=b"x", ACL="public-read")
    main.put_bucket_policy(Bucket=b, Policy=policy(b, {"Action": "s3:*"}, {"Action": "s3:*", "Effect": "Deny"}))
    for who in (main, alt, s3):
        assert fault(who.get_object, Bucket=b, Key="k") == DENIED
        assert fault(who.list_objects, Bucket=b) == DENIED
    assert fault(alt.delete_bucket_policy, Bucket=b) == DENIED
    assert "Deny" in main.get_bucket_policy(Bucket=b)["Policy"]
    main.delete_bucket_policy(Bucket=b)
    assert works(alt.get_object, Bucket=b, Key="k")


def test_actions_and_resources(main, alt, make):
    b = make()
    for key in ("public/a", "public/b", "private/a", "k?"):
        main.put_object(Bucket=b, Key=key, Body=b"x")
    main.put_bucket_policy(Bucket=b, Policy=policy(
        b, {"Action": "s3:Get*", "Resource": f"arn:aws:s3:::{b}/public/*"}))
    assert works(alt.get_object, Bucket=b, Key="public/a")
    assert works(alt.get_object_acl, Bucket=b, Key="public/a")
    assert works(alt.get_object_tagging, Bucket=b, Key="public/a")
    assert fault(alt.get_object, Bucket=b, Key="private/a") == DENIED
    assert fault(alt.put_object, Bucket=b, Key="public/a", Body=b"") == DENIED
    main.put_bucket_policy(Bucket=b, Policy=policy(
        b, {"NotAction": "s3:Delete*", "Resource": None, "NotResource": f"arn:aws:s3:::{b}/private/*"}))
    assert works(alt.get_object, Bucket=b, Key="public/a")
    assert works(alt.list_objects_v2, Bucket=b)
    assert fault(alt.get_object, Bucket=b, Key="private/a") == DENIED
    assert fault(alt.delete_object, Bucket=b, Key="public/a") == DENIED
    main.put_bucket_policy(Bucket=b, Policy=policy(
        b, {"Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{b}/public/a"}))
    done = alt.delete_objects(Bucket=b, Delete={"Objects": [{"Key": "public/a"}, {"Key": "public/b"}]})
    assert [d["Key"] for d in done["Deleted"]] == ["public/a"]
    assert [(e["Key"], e["Code"]) for e in done["Errors"]] == [("public/b", "AccessDenied")]
    main.put_bucket_policy(Bucket=b, Policy=policy(
        b, {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{b}/${{aws:username}}/*"}))
    main.put_object(Bucket=b, Key="other/mine", Body=b"")
    assert works(alt.get_object, Bucket=b, Key="other/mine")
    assert fault(alt.get_object, Bucket=b, Key="main/mine") == DENIED


def test_what_a_write_does_besides_can_be_denied(main, alt, make, service):
    b = make()
    allow = {"Action": ["s3:PutObject", "s3:GetObject"]}
    k = {"Bucket": b, "Key": "k"}
    public, tagged = {"ACL": "public-read"}, {"Tagging": "a=b"}
    main.put_bucket_policy(Bucket=b, Policy=policy(b, allow))
    assert works(alt.put_object, Body=b"", **k, **public, **tagged)
    assert works(alt.get_object_attributes, ObjectAttributes=["ETag"], **k)
    main.put_bucket_policy(Bucket=b, Policy=policy(b, allow, {"Effect": "Deny", "Action": [
        "s3:PutObjectAcl", "s3:PutObjectTagging", "s3:GetObjectAttributes"]}))
    for who in (main, alt):  # a denial is for the owner too
        assert works(who.put_object, Body=b"", **k)
        for more in (public, tagged, {"GrantRead": f'uri="{ALL}"'}):
            assert fault(who.put_object, Body=b"", **k, **more) == DENIED
            assert fault(who.create_multipart_upload, **k, **more) == DENIED
        assert fault(who.copy_object, CopySource=f"{b}/k", TaggingDirective="REPLACE", **k, **tagged) == DENIED
        assert fault(who.copy_object, CopySource=f"{b}/k", MetadataDirective="REPLACE", **k, **public) == DENIED
        assert fault(who.get_object_attributes, ObjectAttributes=["ETag"], **k) == DENIED
    for field, value in (("acl", "public-read"), ("tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag>"
                                                  "</TagSet></Tagging>")):
        body, kind = encode({"key": "k", field: value})
        assert service.raw("POST", f"/{b}", body, headers=kind)[0] == 403


def test_removing_versions_needs_more_than_a_list(s3, main, alt, stranger, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    k = {"Bucket": bucket, "Key": "k"}
    old = s3.put_object(Body=b"old", **k)["VersionId"]
    for who in (alt, stranger):
        assert fault(who.delete_object, VersionId=old, **k) == DENIED
        done = who.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": old}, {"Key": "k"}]})
        assert ([d["Key"] for d in done["Deleted"]], [e["VersionId"] for e in done["Errors"]]) == (["k"], [old])
        assert works(who.delete_object, **k)  # a marker on top
    assert s3.get_object(VersionId=old, **k)["Body"].read() == b"old"
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, {"Action": "s3:DeleteObjectVersion"}))
    assert works(alt.delete_object, VersionId=old, **k)
    s3.delete_bucket_policy(Bucket=bucket)


def test_versions_as_sources_need_the_right_of_reading_versions(main, alt, s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    by_version = {"Bucket": bucket, "Key": "k", "VersionId": old}

    def allow(*actions):
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, {"Action": actions}))

    allow("s3:GetObject", "s3:PutObject")
    up = alt.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    part = dict(Bucket=bucket, Key="m", UploadId=up, PartNumber=1)
    assert works(alt.copy_object, Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert fault(alt.copy_object, Bucket=bucket, Key="copy", CopySource=by_version) == DENIED
    assert fault(alt.upload_part_copy, CopySource=by_version, **part) == DENIED
    allow("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject")
    assert works(alt.copy_object, Bucket=bucket, Key="copy", CopySource=by_version)
    assert works(alt.upload_part_copy, CopySource=by_version, **part)
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"old"
    s3.delete_bucket_policy(Bucket=bucket)


def headers(client, operation, values):
    """Adds headers before the request is signed; returns how to stop that."""
    def add(params, **_):
        params["headers"].update(values)
    event = f"before-call.s3.{operation}"
    client.meta.events.register(event, add)
    return lambda: client.meta.events.unregister(event, add)


def test_conditions(main, service, make, ids):
    alt, stranger = service.client("other"), service.client(None)
    b = make()
    main.put_object(Bucket=b, Key="k", Body=b"x", Tagging="security=public&team=a")
    main.put_object(Bucket=b, Key="secret", Body=b"x", Tagging="security=private")
    get = {"Action": "s3:GetObject"}

    def may(condition, call, expected, action="s3:GetObject", **kw):
        main.put_bucket_policy(Bucket=b, Policy=policy(b, {"Action": action, "Condition": condition}))
        if expected:
            assert works(call, Bucket=b, **kw), condition
        else:
            assert fault(call, Bucket=b, **kw) == DENIED, condition

    k = {"Key": "k"}
    may({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, stranger.get_object, True, **k)
    assert main.get_bucket_policy_status(Bucket=b)["PolicyStatus"]["IsPublic"] is False
    may({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "127.0.0.1"]}}, stranger.get_object, True, **k)
    may({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, alt.get_object, False, **k)
    may({"NotIpAddress": {"aws:SourceIp": "127.0.0.1/32"}}, alt.get_object, False, **k)
    may({"Bool": {"aws:SecureTransport": "false"}}, alt.get_object, True, **k)
    may({"Bool": {"aws:SecureTransport": True}}, alt.get_object, False, **k)
    may({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, alt.get_object, True, **k)
    may({"DateLessThan": {"aws:CurrentTime": "2020-01-01"}}, alt.get_object, False, **k)
    may({"StringEquals": {"aws:username": "other"}}, alt.get_object, True, **k)
    may({"StringEquals": {"aws:username": "other"}}, stranger.get_object, False, **k)
    may({"StringLike": {"aws:UserAgent": "*otocore*"}}, alt.get_object, True, **k)
    may({"Null": {"aws:Referer": "true"}}, alt.get_object, True, **k)
    may({"Null": {"aws:Referer": "false"}}, alt.get_object, False, **k)
    may({"StringLikeIfExists": {"aws:Referer": "http://example.org/*"}}, alt.get_object, True, **k)
    may({"StringLike": {"aws:Referer": "http://example.org/*"}}, alt.get_object, False, **k)
    stop = headers(alt, "GetObject", {"referer": "http://example.org/page"})
    may({"StringLike": {"aws:Referer": "http://example.org/*"}}, alt.get_object, True, **k)
    may({"StringNotLike": {"aws:Referer": "http://example.org/*"}}, alt.get_object, False, **k)
    stop()
    for tag, expected in (("public", True), ("private", False)):
        may({"StringEquals": {"s3:ExistingObjectTag/security": tag}}, alt.get_object, expected, **k)
    may({"StringEquals": {"s3:ExistingObjectTag/security": "public"}}, alt.get_object_acl, True,
        "s3:GetObjectAcl", **k)
    may({"StringEquals": {"s3:ExistingObjectTag/security": "public"}}, alt.get_object_tagging, False,
        "s3:GetObjectTagging", Key="secret")
    may({"StringEquals": {"s3:prefix": ["", "foo"]}}, alt.list_objects_v2, False, "s3:ListBucket")
    may({"StringEquals": {"s3:prefix": ["", "foo"]}}, alt.list_objects_v2, True, "s3:ListBucket", Prefix="foo")
    may({"StringLike": {"s3:prefix": "foo*"}}, alt.list_objects, True, "s3:ListBucket", Prefix="foobar")
    may({"NumericLessThanEquals": {"s3:max-keys": "10"}}, alt.list_objects, True, "s3:ListBucket", MaxKeys=10)
    may({"NumericLessThanEquals": {"s3:max-keys": 10}}, alt.list_objects, False, "s3:ListBucket", MaxKeys=11)
    may({"StringEquals": {"s3:delimiter": "/"}}, alt.list_objects, True, "s3:ListBucket", Delimiter="/")
    put = {"Key": "n", "Body": b""}
    may({"StringEquals": {"s3:x-amz-acl": "public-read"}}, alt.put_object, True, "s3:PutObject",
        ACL="public-read", **put)
    may({"StringEquals": {"s3:x-amz-acl": "public-read"}}, alt.put_object, False, "s3:PutObject", **put)
    may({"StringEquals": {"s3:x-amz-grant-full-control": f"id={ids[0]}"}}, alt.put_object, True,
        "s3:PutObject", GrantFullControl=f"id={ids[0]}", **put)
    assert grants(main.get_object_acl(Bucket=b, Key="n")) == [(ids[0], "FULL_CONTROL")]
    may({"StringEquals": {"s3:RequestObjectTag/security": "public"}}, alt.put_object, True,
        "s3:PutObject", Tagging="security=public", **put)
    may({"StringEquals": {"s3:RequestObjectTag/security": "public"}}, alt.put_object, False,
        "s3:PutObject", Tagging="security=private", **put)
    tags = [{"Key": "security", "Value": "public"}, {"Key": "team", "Value": "a"}]
    may({"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["security", "team"]}},
        alt.put_object_tagging, True, "s3:PutObjectTagging", Tagging={"TagSet": tags}, **k)
    may({"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["security"]}},
        alt.put_object_tagging, False, "s3:PutObjectTagging", Tagging={"TagSet": tags}, **k)
    may({"ForAnyValue:StringLike": {"s3:RequestObjectTagKeys": "te*"}},
        alt.put_object_tagging, True, "s3:PutObjectTagging", Tagging={"TagSet": tags}, **k)
    may({"StringEquals": {"s3:VersionId": "null"}}, alt.get_object, False, **k)
    young = {"NumericLessThan": {"s3:signatureAge": "600000"}}
    may(young, alt.get_object, True, **k)
    may({"NumericGreaterThan": {"s3:signatureAge": "600000"}}, alt.get_object, False, **k)
    may(young, stranger.get_object, False, **k)
    old = service.client("other", signature_version="s3")
    may({"StringEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}}, alt.get_object, True, **k)
    may({"StringEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}}, old.get_object, False, **k)
    may({"StringEquals": {"s3:signatureversion": "AWS"}}, old.get_object, True, **k)
    may({"Null": {"s3:x-amz-server-side-encryption": "true"}}, alt.put_object, True, "s3:PutObject", **put)
    may({"StringEquals": {"s3:x-amz-server-side-encryption": "AES256"}}, alt.put_object, False,
        "s3:PutObject", **put)
    source = policy(b, {"Action": ["s3:PutObject", "s3:GetObject"]},
                    {"Action": "s3:PutObject", "Effect": "Deny", "Condition": {
                        "StringNotLike": {"s3:x-amz-copy-source": f"{b}/k*"}}})
    main.put_bucket_policy(Bucket=b, Policy=source)
    assert works(alt.copy_object, Bucket=b, Key="c", CopySource=f"{b}/k")
    assert fault(alt.copy_object, Bucket=b, Key="c", CopySource=f"{b}/secret") == DENIED
    assert get["Action"] == "s3:GetObject"


# ---- the block of public access ------------------------------------------------------------------------

def block(**on):
    return {n: n in on for n in ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy",
                                 "RestrictPublicBuckets")}


def test_public_access_block(main, alt, stranger, make):
    b = make()
    assert fault(main.get_public_access_block, Bucket=b) == (404, "NoSuchPublicAccessBlockConfiguration")

    def put(**on):
        main.put_public_access_block(Bucket=b, PublicAccessBlockConfiguration=block(**on))
        assert main.get_public_access_block(Bucket=b)["PublicAccessBlockConfiguration"] == block(**on)

    put(BlockPublicAcls=1)
    for canned in ("public-read", "public-read-write", "authenticated-read"):
        assert fault(main.put_bucket_acl, Bucket=b, ACL=canned) == DENIED
        assert fault(main.put_object, Bucket=b, Key="k", Body=b"", ACL=canned) == DENIED
    assert works(main.put_object, Bucket=b, Key="k", Body=b"x")
    assert fault(main.put_object_acl, Bucket=b, Key="k", ACL="public-read") == DENIED
    main.delete_public_access_block(Bucket=b)
    main.put_bucket_acl(Bucket=b, ACL="public-read")
    main.put_object_acl(Bucket=b, Key="k", ACL="public-read")
    assert works(stranger.get_object, Bucket=b, Key="k")
    put(IgnorePublicAcls=1)
    for who in (alt, stranger):
        assert fault(who.list_objects, Bucket=b) == DENIED
        assert fault(who.get_object, Bucket=b, Key="k") == DENIED
    assert works(main.put_bucket_acl, Bucket=b, ACL="public-read")
    put(BlockPublicPolicy=1)
    public = policy(b, {"Action": "s3:GetObject"})
    assert fault(main.put_bucket_policy, Bucket=b, Policy=public) == DENIED
    assert works(main.put_bucket_policy, Bucket=b, Policy=policy(
        b, {"Action": "s3:GetObject", "Principal": {"AWS": "arn:aws:iam::s3tenant1:root"}}))
    main.delete_public_access_block(Bucket=b)
    main.put_bucket_acl(Bucket=b, ACL="private")
    main.put_object_acl(Bucket=b, Key="k", ACL="private")
    main.put_bucket_policy(Bucket=b, Policy=public)
    assert works(stranger.get_object, Bucket=b, Key="k")
    put(RestrictPublicBuckets=1)
    for who in (alt, stranger):
        assert fault(who.get_object, Bucket=b, Key="k") == DENIED
    assert works(main.get_object, Bucket=b, Key="k")
    assert fault(alt.put_public_access_block, Bucket=b, PublicAccessBlockConfiguration=block()) == DENIED


def test_policy_status(main, make):
    b = make()

    def public():
        return main.get_bucket_policy_status(Bucket=b)["PolicyStatus"]["IsPublic"]
    assert public() is False
    for canned in ("public-read", "authenticated-read"):
        main.put_bucket_acl(Bucket=b, ACL=canned)
        assert public() is True
    main.put_bucket_acl(Bucket=b, ACL="private")
    main.put_bucket_policy(Bucket=b, Policy=policy(b, {"Action": "s3:ListBucket"}))
    assert public() is True


def test_documents_of_which_only_the_empty_one_is_offered(main, make):
    b = make()
    put = main.put_bucket_notification_configuration
    put(Bucket=b, NotificationConfiguration={})
    assert fault(put, Bucket=b, NotificationConfiguration={"QueueConfigurations": [
        {"QueueArn": "arn:minio:sqs::x:webhook", "Events": ["s3:ObjectCreated:*"]}]}) == (400, "InvalidArgument")
    main.put_bucket_logging(Bucket=b, BucketLoggingStatus={})
    assert "LoggingEnabled" not in main.get_bucket_logging(Bucket=b)
    assert fault(main.put_bucket_logging, Bucket=b, BucketLoggingStatus={"LoggingEnabled": {
        "TargetBucket": b, "TargetPrefix": "p"}}) == (501, "NotImplemented")
    main.put_bucket_request_payment(Bucket=b, RequestPaymentConfiguration={"Payer": "Requester"})
    assert main.get_bucket_request_payment(Bucket=b)["Payer"] == "Requester"
    assert fault(main.put_bucket_request_payment, Bucket=b, RequestPaymentConfiguration={"Payer": "Me"}) == \
        (400, "MalformedXML")


def test_the_expected_owner(main, make, ids):
    b = make()
    assert works(main.head_bucket, Bucket=b, ExpectedBucketOwner=ids[0])
    assert fault(main.list_objects, Bucket=b, ExpectedBucketOwner=ids[1]) == DENIED
    assert fault(main.put_object, Bucket=b, Key="k", Body=b"", ExpectedBucketOwner="123456789012") == DENIED
