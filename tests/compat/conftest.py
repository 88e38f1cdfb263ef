"""Starts the S3 service alone (build/tests/compat/s3d) with a temporary directory, one per test session.

S3D names another program of the same manners.
"""
import http.client
import json
import os
import pathlib
import socket
import subprocess
import uuid

import pytest

boto3 = pytest.importorskip("boto3")
from botocore import UNSIGNED  # noqa: E402
from botocore.auth import S3SigV4Auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "oscar-test-tools"
KEYS = {"boss": ("S3TEST", "s3testsecret"), "other": ("OTHER", "othersecret"),
        "main": ("MAIN", "mainsecret")}


real_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, *args, **kw):
    """Every name below localhost is this machine (RFC 6761), whatever the resolver thinks."""
    local = isinstance(host, str) and host.endswith(".localhost")
    return real_getaddrinfo("127.0.0.1" if local else host, *args, **kw)


socket.getaddrinfo = getaddrinfo


class Service:
    """A running service, and clients for it."""

    def __init__(self, directory, domain="s3.localhost", **env):
        program = os.environ.get("S3D", str(ROOT / "build/tests/compat/s3d"))
        self.directory = directory
        self.process = subprocess.Popen([program, str(directory), domain], text=True, env=dict(os.environ, **env),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def client(self, who="boss", **config):
        if who is None:
            return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1",
                                config=Config(signature_version=UNSIGNED,
                                              retries={"max_attempts": 0}, **config))
        access, secret = KEYS[who] if who in KEYS else who
        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id=access,
                            aws_secret_access_key=secret, region_name="us-east-1",
                            config=Config(retries={"max_attempts": 0}, **config))

    def raw(self, method, target, body=b"", who=None, headers=None):
        """(status, body, headers) of a request that no client would make, signed when `who` is given."""
        headers = dict(headers or {})
        if who:
            request = AWSRequest(method, self.endpoint + target, data=body, headers=headers)
            S3SigV4Auth(Credentials(*KEYS[who]), "s3", "us-east-1").add_auth(request)
            headers = dict(request.headers)
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request(method, target, body, headers)
            r = link.getresponse()
            return r.status, r.read(), r.headers
        finally:
            link.close()

    def stop(self):
        self.process.stdin.close()
        return self.process.wait(30)

    def forget_peak(self):
        """What resident_kib() told so far, as of the 64 MiB that an administration call takes, counts no more."""
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as refs:
            refs.write("5")

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    s = Service(tmp_path_factory.mktemp("s3d"))
    yield s
    assert s.stop() == 0


@pytest.fixture(scope="session")
def s3(service):
    return service.client()


def remove_bucket(s3, name):
    """With everything in it that is not locked for compliance."""
    for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        keys = [{"Key": o["Key"], "VersionId": o["VersionId"]}
                for o in page.get("Versions", []) + page.get("DeleteMarkers", [])]
        if keys:
            s3.delete_objects(Bucket=name, Delete={"Objects": keys}, BypassGovernanceRetention=True)
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def bucket(s3, request):
    """A bucket of the test's own, emptied and removed at its end."""
    name = "t-" + str(abs(hash(request.node.nodeid)) % 10**12)
    s3.create_bucket(Bucket=name)
    yield name
    remove_bucket(s3, name)


@pytest.fixture(scope="session")
def main(service):
    """A user who is no administrator."""
    return service.client("main")


@pytest.fixture
def make(main, s3):
    """Makes buckets of main's; they are emptied by the administrator."""
    made = []

    def new(**kw):
        made.append("acc-" + uuid.uuid4().hex[:16])
        main.create_bucket(Bucket=made[-1], **kw)
        return made[-1]
    yield new
    for name in made:
        s3.delete_bucket_policy(Bucket=name)
        for o in s3.list_objects_v2(Bucket=name).get("Contents", []):
            s3.delete_object(Bucket=name, Key=o["Key"])
        for u in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
            s3.abort_multipart_upload(Bucket=name, Key=u["Key"], UploadId=u["UploadId"])
        s3.delete_bucket(Bucket=name)


@pytest.fixture(scope="module")
def mc(service, tmp_path_factory):
    """MinIO's own command line: what it says as JSON, or its exit status when check is False."""
    program = TOOLS / "mc" / "mc"
    if not program.exists():
        pytest.skip("tools/setup could not build mc")
    home = tmp_path_factory.mktemp("mc")

    def run(*args, check=True, **kw):
        done = subprocess.run([program, "--config-dir", str(home), "--json", "--no-color", *args], text=True,
                              capture_output=True, timeout=60, **kw)
        if check:
            assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
            return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return done.returncode

    def start(*args):
        return subprocess.Popen([program, "--config-dir", str(home), "--json", "--no-color", *args], text=True,
                                stdout=subprocess.PIPE)
    run.start = start
    run("alias", "set", "o", service.endpoint, *KEYS["boss"])
    run("alias", "set", "plain", service.endpoint, *KEYS["main"])
    return run
