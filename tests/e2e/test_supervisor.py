"""oscar-supervisor as a container would start it, against the real daemon's S3 port."""
import base64
import http.server
import io
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import urllib.parse
import zipfile

import pytest

from conftest import KEY, ROOT, SECRET, wait_for

SUPERVISOR = ROOT / "build" / "oscar-supervisor"


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def config(endpoint, secret=SECRET, **keys):
    """JSON is YAML."""
    doc = {"name": "sup", "storage_providers": {"minio": {"here": {
        "endpoint": endpoint, "access_key": KEY, "secret_key": secret, "region": "us-east-1"}}}}
    doc.update(keys)
    return doc


def event(bucket, key):
    quoted = urllib.parse.quote_plus(key, safe="/")
    record = {"eventSource": "minio:s3", "eventTime": "2026-11-24T00:00:00.000Z",
              "s3": {"bucket": {"name": bucket}, "object": {"key": quoted}}}
    inner = json.dumps({"EventName": "s3:ObjectCreated:Put", "Key": f"{bucket}/{key}", "Records": [record]})
    return json.dumps({"storage_provider": "minio.here", "event": inner})


class Bench:
    """Starts supervisors with their temporary files in a folder of its own, which must be empty again."""

    def __init__(self, folder):
        self.tmp = folder

    def env(self, script, conf, **more):
        env = {"PATH": os.environ["PATH"], "TMPDIR": str(self.tmp), "FUNCTION_CONFIG": b64(json.dumps(conf))}
        if script is not None:
            env["SCRIPT"] = b64(script)
        env.update(more)
        return env

    def start(self, script, conf=None, **more):
        return subprocess.Popen([str(SUPERVISOR)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=self.env(script, conf or {"name": "sup"}, **more))

    def run(self, script, stdin=b"", conf=None, status=0, **more):
        p = self.start(script, conf, **more)
        out, err = p.communicate(stdin if isinstance(stdin, bytes) else stdin.encode(), timeout=120)
        assert p.returncode == status, (p.returncode, out[-500:], err[-2000:])
        assert os.listdir(self.tmp) == [], "temporary files are left"
        return out, err.decode()


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def bucket(daemon, request):
    name = "sup-" + b64(request.node.name).lower().translate({43: "x", 47: "y", 61: None})[-40:]
    daemon.s3.create_bucket(Bucket=name)
    return name


# ---- objects in, objects out -------------------------------------------------------------------------

def test_an_object_goes_in_and_outputs_come_out(daemon, bench, bucket):
    key = "in/a b+ü%2F.txt"
    daemon.put(bucket, key, b"content\n")
    conf = config(daemon.s3_url, output=[
        {"storage_provider": "minio.here", "path": f"{bucket}/out"},
        {"storage_provider": "minio.here", "path": f"{bucket}/only", "prefix": ["sub/"], "suffix": [".json"]}])
    out, err = bench.run(
        'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/copy"; mkdir "$TMP_OUTPUT_DIR/sub"\n'
        'echo "{}" >"$TMP_OUTPUT_DIR/sub/x.json"; : >"$TMP_OUTPUT_DIR/sub/empty"\n'
        'echo "$STORAGE_OBJECT_KEY|$EVENT_TIME|$(basename "$INPUT_FILE_PATH")|${FUNCTION_CONFIG-none}"\n'
        'echo to-stderr >&2; printf %s "$EVENT" | cmp - /dev/stdin >&2',
        event(bucket, key), conf)
    assert out.decode() == f"{key}|2026-11-24T00:00:00.000Z|a b+ü%2F.txt|none\n"
    assert "to-stderr\n" in err
    assert set(daemon.keys(bucket)) == {key, "out/copy", "out/sub/x.json", "out/sub/empty", "only/sub/x.json"}
    assert daemon.get(bucket, "out/copy") == b"content\n"
    assert daemon.get(bucket, "out/sub/empty") == b""


def test_a_large_object_streams_both_ways(daemon, bench, bucket):
    body = os.urandom(1 << 20) * 48
    daemon.put(bucket, "big", body)
    conf = config(daemon.s3_url, output=[{"storage_provider": "minio.here", "path": f"{bucket}/out"}])
    p = bench.start('ln "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/big"; grep VmHWM /proc/$PPID/status', conf)
    out, err = p.communicate(event(bucket, "big").encode(), timeout=120)
    assert p.returncode == 0, err
    assert int(out.split()[1]) < 10 * 1024, "resident KiB"
    assert daemon.get(bucket, "out/big") == body


def test_users_kept_apart_get_outputs_in_their_bucket(daemon, bench, bucket):
    daemon.put(bucket, "in", b"x")
    conf = config(daemon.s3_url, isolation_level="USER", bucket_list=["other", bucket],
                  output=[{"storage_provider": "minio.here", "path": "elsewhere/out"}])
    bench.run('echo y >"$TMP_OUTPUT_DIR/y"', event(bucket, "in"), conf)
    assert daemon.get(bucket, "out/y") == b"y\n"


def test_stage_in_can_be_skipped(daemon, bench, bucket):
    conf = config("http://127.0.0.1:1", file_stage_in=True)
    out, _ = bench.run('echo "[$INPUT_FILE_PATH] $STORAGE_OBJECT_KEY"', event(bucket, "in"), conf)
    assert out == b"[] in\n"


def test_a_failed_script_sends_nothing_unless_asked(daemon, bench, bucket):
    daemon.put(bucket, "in", b"x")
    conf = config(daemon.s3_url, output=[{"storage_provider": "minio.here", "path": f"{bucket}/out"}])
    script = 'echo y >"$TMP_OUTPUT_DIR/y"; echo said; exit 3'
    out, _ = bench.run(script, event(bucket, "in"), conf, status=3)
    assert out == b"said\n" and daemon.keys(bucket, "out/") == []
    bench.run(script, event(bucket, "in"), dict(conf, upload_on_failure=True), status=3)
    assert daemon.keys(bucket, "out/") == ["out/y"]


@pytest.mark.parametrize("what,status,word", [
    ("missing object", 66, "NoSuchKey"), ("wrong secret", 66, "SignatureDoesNotMatch"),
    ("nobody there", 66, "refused"), ("no credentials", 78, "s3.default"), ("no bucket out", 74, "NoSuchBucket")])
def test_storage_that_fails(daemon, bench, bucket, what, status, word):
    daemon.put(bucket, "in", b"x")
    conf = config("http://127.0.0.1:1" if what == "nobody there" else daemon.s3_url,
                  secret="wrong" if what == "wrong secret" else SECRET)
    ev = event(bucket, "gone" if what == "missing object" else "in")
    if what == "no credentials":
        ev = json.dumps({"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": bucket}, "object": {
            "key": "in"}}}]})
    if what == "no bucket out":
        conf["output"] = [{"storage_provider": "minio.here", "path": "no-such-bucket-here/out"}]
    out, err = bench.run('echo ran; echo x >"$TMP_OUTPUT_DIR/x"', ev, conf, status=status)
    assert word in err and SECRET not in err
    assert out == (b"ran\n" if status == 74 else b"")


def test_storages_not_spoken_to_are_named(bench):
    _, err = bench.run("echo ran", "x", {"name": "s", "output": [{"storage_provider": "ftp.one", "path": "a/b"}]},
                       status=78)
    assert "ftp.one" in err and "rucio" in err


def test_incomplete_storage_is_refused(bench):
    _, err = bench.run("true", "", {"name": "s", "storage_providers": {"minio": {"m": {"access_key": "A"}}}}, status=78)
    assert "minio.m is incomplete" in err


# ---- a server that misbehaves ------------------------------------------------------------------------

class Flaky(http.server.BaseHTTPRequestHandler):
    """Cuts each answer after 40,000 bytes, and is busy at first."""
    protocol_version = "HTTP/1.1"
    body = os.urandom(150000)
    seen = []

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.seen.append((start, self.headers.get("If-Match")))
        if len(self.seen) == 1:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = self.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", str(len(rest)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        self.end_headers()
        self.wfile.write(rest[:40000])
        self.close_connection = True

    def log_message(self, *args):
        pass


def test_a_cut_download_goes_on_where_it_stopped(bench):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        conf = config(f"http://localhost:{server.server_port}")
        out, err = bench.run('cat "$INPUT_FILE_PATH"', event("b", "k"), conf)
    finally:
        server.shutdown()
        server.server_close()
    assert out == Flaky.body
    assert Flaky.seen == [(0, None), (0, None), (40000, '"e"'), (80000, '"e"'), (120000, '"e"')]
    assert "trying again" in err


class Plain(http.server.BaseHTTPRequestHandler):
    """Chunked, as some stores answer."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"4\r\nover\r\n5;x=y\r\n TLS\n\r\n0\r\n\r\n")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, str(folder / "cert")
    server.shutdown()
    server.server_close()


def test_tls_trusts_the_bundle_and_nobody_else(bench, tls):
    port, cert = tls
    script = 'cat "$INPUT_FILE_PATH"'
    conf = config(f"https://localhost:{port}")
    out, _ = bench.run(script, event("b", "k"), conf, SSL_CERT_FILE=cert)
    assert out == b"over TLS\n"
    _, err = bench.run(script, event("b", "k"), conf, status=66)
    assert "certificate" in err and "trying again" not in err
    _, err = bench.run(script, event("b", "k"), config(f"https://127.0.0.1:{port}"), status=66, SSL_CERT_FILE=cert)
    assert "IP address mismatch" in err
    conf["storage_providers"]["minio"]["here"]["verify"] = False
    out, _ = bench.run(script, event("b", "k"), conf)
    assert out == b"over TLS\n"


# ---- calls: the payload is the input -----------------------------------------------------------------

@pytest.mark.parametrize("payload,want", [
    (b'{"a": 1,  "b":"\xc3\xbc"}', None), (b"aGVsbG8=", b"hello"), (b"plain text, no base64\n", None), (b"", None),
    (b"42", None), (b'"aGVsbG8="', b"hello"), (bytes(range(256)) * 4, None),
    (b"x" * 131071, None), (b"y" * 131073, None), (b"z!" * (5 << 20), None)])
def test_calls_bring_their_input(bench, payload, want):
    out, _ = bench.run('case "$INPUT_FILE_PATH" in */event-file-*) cat "$INPUT_FILE_PATH";; esac', payload,
                       LOG_LEVEL="CRITICAL")
    assert out == (payload if want is None else want)


def test_an_event_over_the_limit_is_refused(bench):
    _, err = bench.run("true", b"x" * ((16 << 20) + 1), status=66)
    assert "over 16777216 bytes" in err


def test_a_gateway_call_sets_variables(bench):
    out, _ = bench.run('echo "$CONT_VAR_x"; cat "$INPUT_FILE_PATH"', json.dumps(
        {"httpMethod": "POST", "queryStringParameters": {"x": "1 2"}, "body": b64("in"), "isBase64Encoded": True}))
    assert out == b"1 2\nin"


def test_answers(bench):
    out, _ = bench.run('printf "\\000\\001one" >"$TMP_OUTPUT_DIR/f"; echo not-this')
    assert base64.b64decode(out, validate=True) == b"\0\1one"
    out, _ = bench.run('cd "$TMP_OUTPUT_DIR"; head -c 100000 /dev/zero >a; mkdir d; echo b >d/ü')
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(out, validate=True))) as z:
        assert z.testzip() is None
        assert {n: len(z.read(n)) for n in z.namelist()} == {"a": 100000, "d/ü": 2}
    out, _ = bench.run("echo first; sleep 0.1; echo second >&2")
    assert out == b"first\nsecond\n"
    out, _ = bench.run("echo why; exit 5", status=5)
    assert out == b"why\n"


def test_outputs_that_are_no_files_are_refused(bench):
    out, err = bench.run('ln -s /etc/passwd "$TMP_OUTPUT_DIR/p"', status=74)
    assert out == b"" and "symbolic link" in err


# ---- ends --------------------------------------------------------------------------------------------

def test_statuses_of_the_script(bench):
    bench.run("exit 255", status=255)
    bench.run("kill -9 $$", status=137)
    _, err = bench.run(None, status=127)
    assert "SCRIPT" in err
    bench.run("echo x", SCRIPT="no base64!", status=78)
    bench.run("echo x", FUNCTION_CONFIG="no base64!", status=78)
    bench.run("echo x", FUNCTION_CONFIG=b64("a: [b"), status=78)


def test_a_timeout_ends_the_script_and_its_children(bench):
    out, err = bench.run('trap "echo term" TERM; sleep 1000 & echo $!; wait; wait', "", {"name": "s", "timeout": 1},
                         status=124)
    child, said = out.decode().split()
    assert said == "term" and "over its 1 s" in err
    wait_for("the end of the child", lambda: not pathlib.Path(f"/proc/{child}").exists())


@pytest.mark.parametrize("phase", ["event", "download", "script", "deaf script", "upload"])
def test_sigterm_in_each_phase_leaves_nothing(daemon, bench, bucket, phase):
    hang = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler, False)
    hang.server_bind()
    hang.server_activate()  # takes connections, and never answers
    dead = f"http://127.0.0.1:{hang.server_port}"
    daemon.put(bucket, "in", b"x")
    conf = config(dead if phase == "download" else daemon.s3_url)
    ready = bench.tmp.parent / f"ready-{bench.tmp.name}"
    script = f"touch {ready}; sleep 1000"
    if phase == "deaf script":
        script = f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done"
    if phase == "upload":
        script = f'echo x >"$TMP_OUTPUT_DIR/x"; touch {ready}'
        conf["storage_providers"]["minio"]["dead"] = dict(conf["storage_providers"]["minio"]["here"], endpoint=dead)
        conf["output"] = [{"storage_provider": "minio.dead", "path": "b/out"}]
    try:
        p = bench.start(script, conf)
        if phase != "event":
            p.stdin.write(event(bucket, "in").encode())
            p.stdin.close()
        if phase in ("event", "download"):
            wait_for("temporary files", lambda: os.listdir(bench.tmp))
            if phase == "download":
                wait_for("the download", lambda: b"Downloading" in os.read(p.stderr.fileno(), 4096))
        else:
            wait_for("the script", ready.exists)
        if phase == "upload":
            wait_for("its end", lambda: not pathlib.Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text())
        p.send_signal(signal.SIGTERM)
        assert p.wait(20) == 128 + signal.SIGTERM
        assert os.listdir(bench.tmp) == []
    finally:
        p.kill()
        hang.server_close()


def test_much_output_takes_little_memory(bench):
    out, _ = bench.run('head -c 104857600 /dev/zero | tr "\\000" x; echo; grep VmHWM /proc/$PPID/status',
                       LOG_LEVEL="CRITICAL")
    assert len(out) > 100 << 20
    assert int(out[out.rindex(b"VmHWM"):].split()[1]) < 10 * 1024, "resident KiB"


# ---- a foreign image ---------------------------------------------------------------------------------

def test_runs_in_an_image_that_holds_a_static_shell_alone(daemon, bucket):
    busybox = shutil.which("busybox")
    if not busybox or subprocess.run(["ldd", busybox], capture_output=True).returncode == 0:
        pytest.skip("no static shell here (package busybox-static)")
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    root = pathlib.Path(tempfile.mkdtemp(prefix="oscar-e2e-root-", dir="/tmp"))
    try:
        for d in ("bin", "tmp", "oscar/bin", "oscar/config", "var/run/secrets/providers/minio.default", "etc"):
            (root / d).mkdir(parents=True)
        shutil.copy(busybox, root / "bin/sh")
        shutil.copy(SUPERVISOR, root / "oscar/bin/supervisor")
        (root / "etc/hosts").write_text("127.0.0.1\tminio-service.minio\n")
        port = daemon.s3_url.rsplit(":", 1)[1]
        (root / "oscar/config/function_config.yaml").write_text(
            f"name: s\nstorage_providers:\n  minio:\n    default: {{endpoint: 'http://minio-service.minio:{port}'}}\n"
            f"output:\n- {{storage_provider: minio, path: {bucket}/out}}\n")
        (root / "oscar/config/script.sh").write_text('while read -r l; do echo "$l $l"; done <"$INPUT_FILE_PATH" '
                                                     '>"$TMP_OUTPUT_DIR/twice"\n')
        secrets = root / "var/run/secrets/providers/minio.default"
        (secrets / "accessKey").write_text(KEY)
        (secrets / "secretKey").write_text(SECRET + "\n")
        daemon.put(bucket, "in", b"word\n")
        ev = json.loads(json.loads(event(bucket, "in"))["event"])
        done = subprocess.run(["chroot", str(root), "/oscar/bin/supervisor"], input=json.dumps(ev).encode(),
                              capture_output=True, env={"PATH": "/usr/sbin:/usr/bin"}, timeout=60)
        assert done.returncode == 0, done.stderr
        assert daemon.get(bucket, "out/twice") == b"word word\n"
        assert os.listdir(root / "tmp") == []
    finally:
        shutil.rmtree(root)
