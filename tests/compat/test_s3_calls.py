"""docs/user/s3.md call by call: it names every call that boto3 knows, and what it says of those not offered is true."""
import re

import botocore.session
import pytest
from botocore.exceptions import ClientError
from conftest import ROOT

ELSEWHERE = {"ListDirectoryBuckets", "WriteGetObjectResponse"}  # other services' endpoints


def tables():
    """{call: what is said of it} of the two tables."""
    text = (ROOT / "docs/user/s3.md").read_text(encoding="utf-8")
    parts = re.findall(r"^\| (offered|not offered yet) \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M)
    assert [name for name, _ in parts] == ["offered", "not offered yet"]
    out = []
    for _, lines in parts:
        cells = [line.strip("|\n").split(" | ", 1) for line in lines.splitlines()]
        out.append({call: said for calls, said in cells for call in re.findall(r"`([A-Z][A-Za-z0-9]+)`", calls)})
    return out


OFFERED, LATER = tables()
MODEL = botocore.session.get_session().get_service_model("s3")


def least(shape):
    """The smallest value that boto3 takes for a shape."""
    if shape.type_name == "structure":
        one_of = list(shape.members)[:1] if getattr(shape, "is_tagged_union", False) else []
        return {name: least(shape.members[name]) for name in shape.required_members + one_of}
    if shape.type_name == "list":
        return [least(shape.member)]
    if shape.type_name == "map":
        return {}
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else "x" * shape.metadata.get("min", 1)
    return {"blob": b"x", "boolean": True, "timestamp": 0}.get(shape.type_name, 1)


def answer(call):
    try:
        return call()["ResponseMetadata"]["HTTPStatusCode"], None
    except ClientError as e:
        return e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"]


def test_every_call_is_named_once():
    assert not set(OFFERED) & set(LATER)
    known = set(MODEL.operation_names)
    named = set(OFFERED) | set(LATER)
    assert not known - named
    # An older boto3 knows fewer; nothing is named that no boto3 knows.
    assert not [n for n in named - known if not re.search("Metadata|Annotation|Abac|Session|Rename|UpdateObject|Directory", n)]


@pytest.mark.parametrize("call", sorted(set(LATER) & set(MODEL.operation_names) - ELSEWHERE))
def test_what_is_not_offered(s3, bucket, call):
    s3.put_object(Bucket=bucket, Key="kept", Body=b"as it was")
    model = MODEL.operation_model(call)
    given = {**least(model.input_shape), "Bucket": bucket, **({"Key": "kept"} if "Key" in model.input_shape.members else {})}
    method = next(m for m, name in s3.meta.method_to_api_mapping.items() if name == call)
    status, code = answer(lambda: getattr(s3, method)(**given))
    said = LATER[call]
    assert str(status) in re.findall(r"\b\d{3}\b", said), (status, code, said)
    assert code is None or f"`{code}`" in said
    # Whatever it was, it changed nothing.
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"as it was"
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["kept"]


def test_calls_that_there_are_none_of(s3, service, bucket):
    """Methods that S3 has not for a member: the plain form is not done instead."""
    s3.put_object(Bucket=bucket, Key="kept", Body=b"as it was")
    for method, target in (("DELETE", "kept?acl"), ("PUT", "kept?uploads"), ("DELETE", "kept?retention"),
                           ("POST", "kept?tagging"), ("DELETE", "?versioning"), ("DELETE", "?acl"), ("PUT", "?location")):
        status, body, _ = service.raw(method, f"/{bucket}/{target}".replace("/?", "?"), b"", "boss")
        assert status == 501 and b"NotImplemented" in body, (method, target, status, body)
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"as it was"
