"""The real daemon in a temporary folder on free ports, and clients for it."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import boto3
import botocore.config
import pytest
import requests

import contract

ROOT = pathlib.Path(__file__).resolve().parents[2]
OSCAR = pathlib.Path(os.environ.get("OSCAR_BINARY", ROOT / "build" / "oscar"))  # a sanitizer's, for instance
# OSCAR_E2E_RUNTIME=oci (or oci:runc): the same tests with sandboxes made by an OCI runtime.
_runtime, _, _program = os.environ.get("OSCAR_E2E_RUNTIME", "").partition(":")
RUNTIME = (["--runtime", _runtime] if _runtime else []) + (["--oci-runtime", _program] if _program else [])
# Tools that are not in Debian, put there by tools/setup.
TOOLS = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "oscar-test-tools"
USER, PASSWORD, KEY, SECRET = "oscar", "e2e-password", "E2EKEY", "e2e-secret-key"


def wait_for(what, condition, seconds=30):
    """Waits for a condition with a deadline; its last value is in the message."""
    deadline = time.monotonic() + seconds
    value = None
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    pytest.fail(f"{what} did not come within {seconds} s (last: {value!r})")


def pytest_make_parametrize_id(val, argname):
    """Bytes and long words go by their argument's name: a test's name is read by people, and the same in each process."""
    return argname if isinstance(val, bytes) or (isinstance(val, str) and len(val) > 60) else None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Daemon:
    def __init__(self, data=None, *options):
        self.made = data is None
        self.data = data or tempfile.mkdtemp(prefix="oscar-e2e-", dir="/tmp")
        os.chmod(self.data, 0o755)
        self.options = [*RUNTIME, *options]
        self.process = None
        self.start()

    def start(self):
        self.log = open(pathlib.Path(self.data) / "daemon.log", "ab")
        self.process = subprocess.Popen(
            [str(OSCAR), "serve", "--data", self.data, "--listen", "127.0.0.1:0", "--s3-listen",
             "127.0.0.1:0", *self.options],
            stdout=subprocess.PIPE, stderr=self.log,
            env=dict(os.environ, OSCAR_USERNAME=USER, OSCAR_PASSWORD=PASSWORD, MINIO_ACCESS_KEY=KEY,
                     MINIO_SECRET_KEY=SECRET))
        line = self.process.stdout.readline()
        assert line, f"no ready line: {(pathlib.Path(self.data) / 'daemon.log').read_text()[-2000:]}"
        ready = json.loads(line)
        assert ready["ready"] is True
        self.api, self.s3_url = ready["api"], ready["s3"]
        self.http = requests.Session()
        self.http.auth = (USER, PASSWORD)
        self.s3 = boto3.client("s3", endpoint_url=self.s3_url, aws_access_key_id=KEY,
                               aws_secret_access_key=SECRET, region_name="us-east-1",
                               config=botocore.config.Config(s3={"addressing_style": "path"},
                                                             retries={"max_attempts": 8}))

    def kill(self):
        """kill -9, as a crash would."""
        self.process.kill()
        self.process.wait()

    def leave(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(40)
        self.log.close()

    def close(self):
        self.stop()
        if self.made:
            # What the daemon made belongs to its user; root may remove it.
            shutil.rmtree(self.data, ignore_errors=True)

    def call(self, method, path, expect=None, **kw):
        kw.setdefault("timeout", 120)
        answer = self.http.request(method, self.api + path, **kw)
        if expect is not None:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        if not kw.get("stream"):
            contract.check(method, path, answer)
        return answer

    def create(self, name, script, **keys):
        body = {"name": name, "image": "host", "cpu": "0.1", "memory": "64Mi", "script": script,
                "input": [{"storage_provider": "minio", "path": f"{name}/in"}],
                "output": [{"storage_provider": "minio", "path": f"{name}/out"}]}
        body.update(keys)
        return self.call("POST", "/system/services", 201, json=body)

    def jobs(self, service, **query):
        return self.call("GET", "/system/jobs", 200, params=dict(service=service, limit=1000, **query)).json()["jobs"]

    def summary(self, service):
        return self.call("GET", "/system/jobs/summary", 200, params={"service": service}).json()

    def settled(self, service, n, seconds=60):
        """The jobs of a service once n of them are over."""
        final = ("succeeded", "failed", "cancelled", "dead")
        wait_for(f"{n} ended jobs of {service}",
                 lambda: sum(self.summary(service)[s] for s in final) >= n, seconds)
        return self.jobs(service)

    def detail(self, job):
        return self.call("GET", f"/system/jobs/{job}", 200).json()

    def joblog(self, job, **query):
        return self.call("GET", f"/system/jobs/{job}/log", 200, params=query).text

    def keys(self, bucket, prefix=""):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [o["Key"] for page in pages for o in page.get("Contents", []) if not o["Key"].endswith("/")]

    def put(self, bucket, key, body):
        self.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def image_files(self):
        """What lies in the images' folder, beside the empty folders for blobs."""
        images = pathlib.Path(self.data) / "images"
        blobs = images / "blobs"
        return [p for p in [*images.iterdir(), *(blobs / "sha256").iterdir()] if p != blobs]

    def get(self, bucket, key):
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


@pytest.fixture
def opened():
    """A folder that the daemon's user reaches: pytest's own are closed anew whenever another run begins."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="oscar-open-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def daemon():
    d = Daemon()
    yield d
    d.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Debian's docker-registry, empty."""
    import oci
    r = oci.Registry(tmp_path_factory.mktemp("registry"))
    yield r
    r.close()


@pytest.fixture
def fresh():
    """A daemon of the test's own, for tests that stop or kill it."""
    d = Daemon()
    yield d
    d.close()


def run_cli(daemon, *args, input=None, check=True, cwd=None):
    done = subprocess.run([str(OSCAR), *args], capture_output=True, text=True, input=input, cwd=cwd, timeout=180,
                          env=dict(os.environ, OSCAR_ENDPOINT=daemon.api, OSCAR_USERNAME=USER,
                                   OSCAR_PASSWORD=PASSWORD))
    if check:
        assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture
def cli(daemon):
    return lambda *args, **kw: run_cli(daemon, *args, **kw)
