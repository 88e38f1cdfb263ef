"""oscar-supervisor with WebDAV (a real server, rclone's) and Onedata (CDMI as its REST interface speaks it)."""
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.parse

import pytest
from conftest import free_port, wait_for
from test_supervisor import bench  # noqa: F401

SCRIPT = ('tr a-z A-Z <"$INPUT_FILE_PATH" >"$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"; mkdir "$TMP_OUTPUT_DIR/deep"\n'
          'echo note >"$TMP_OUTPUT_DIR/deep/a b+ü.txt"; echo no >"$TMP_OUTPUT_DIR/other.log"')


class Dav:
    def __init__(self, folder, *options, scheme="http", user="ana"):
        if not shutil.which("rclone"):
            pytest.skip("rclone is not installed")
        self.folder, port = folder, free_port()
        (folder / "data").mkdir()
        self.url = f"{scheme}://localhost:{port}"
        self.log = open(folder / "rclone.log", "ab")
        self.process = subprocess.Popen(
            ["rclone", "serve", "webdav", str(folder / "data"), "--addr", f"127.0.0.1:{port}", "--config", "/dev/null",
             "--vfs-cache-mode", "off", "--dir-cache-time", "0s", *(["--user", user, "--pass", "secret"] if user else []),
             *options],
            stdout=self.log, stderr=self.log)

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        wait_for("the WebDAV server", listens)

    def data(self, name):
        return self.folder / "data" / name

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def dav(tmp_path_factory):
    d = Dav(tmp_path_factory.mktemp("dav"))
    yield d
    d.close()


def dav_config(dav, password="secret", **keys):
    return dict({"name": "sup", "storage_providers": {"webdav": {"dcache": {
        "hostname": dav.url, "login": "ana", "password": password}}},
        "input": [{"storage_provider": "webdav.dcache", "path": "/lab/in"}],
        "output": [{"storage_provider": "webdav.dcache", "path": "lab/out/new", "suffix": [".txt"]}]}, **keys)


def dcache_event(name):
    return json.dumps({"event": {"name": name, "mask": ["IN_CLOSE_WRITE"]}, "subscription": "https://x/1"})


def test_webdav_both_ways(dav, bench):
    dav.data("lab/in").mkdir(parents=True)
    dav.data("lab/in/a b+ü.txt").write_text("hello\n")
    bench.run(SCRIPT, dcache_event("a b+ü.txt"), dav_config(dav))
    out = dav.data("lab/out/new")
    assert (out / "a b+ü.txt").read_text() == "HELLO\n"
    assert (out / "deep/a b+ü.txt").read_text() == "note\n"
    assert sorted(p.name for p in out.iterdir()) == ["a b+ü.txt", "deep"]
    bench.run(SCRIPT, dcache_event("a b+ü.txt"), dav_config(dav))  # folders and files that are there
    # A file of 30 MB passes in little memory.
    big = os.urandom(1 << 20) * 30
    dav.data("lab/in/big.txt").write_bytes(big)
    p = bench.start('cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"; grep VmHWM /proc/$PPID/status', dav_config(dav))
    printed, err = p.communicate(dcache_event("big.txt").encode(), timeout=120)
    assert p.returncode == 0, err
    assert int(printed.split()[1]) < 10 * 1024 and (out / "big.txt").read_bytes() == big


def test_webdav_that_refuses(dav, bench):
    _, err = bench.run(SCRIPT, dcache_event("missing"), dav_config(dav), status=66)
    assert "404" in err
    _, err = bench.run(SCRIPT, dcache_event("a"), dav_config(dav, password="WRONGSECRET"), status=66)
    assert "401" in err and "WRONGSECRET" not in err
    conf = dav_config(dav)
    conf["input"] = []
    _, err = bench.run(SCRIPT, dcache_event("a"), conf, status=78)
    assert "no input" in err


def test_webdav_over_tls_trusts_its_bundle_only(bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("davs")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key",
                    "-out", folder / "cert"], check=True, capture_output=True)
    dav = Dav(folder, "--cert", str(folder / "cert"), "--key", str(folder / "key"), scheme="https")
    try:
        dav.data("lab/in").mkdir(parents=True)
        dav.data("lab/in/f.txt").write_text("tls\n")
        conf = dav_config(dav)
        conf["storage_providers"]["webdav"]["dcache"]["hostname"] = dav.url.removeprefix("https://")
        _, err = bench.run(SCRIPT, dcache_event("f.txt"), conf, status=66)
        assert "certificate" in err
        bench.run(SCRIPT, dcache_event("f.txt"), conf, SSL_CERT_FILE=str(folder / "cert"))
        assert dav.data("lab/out/new/f.txt").read_text() == "TLS\n"
        conf["storage_providers"]["webdav"]["dcache"]["verify"] = False
        bench.run(SCRIPT, dcache_event("f.txt"), conf)
    finally:
        dav.close()


class Pool(http.server.BaseHTTPRequestHandler):
    """A dCache pool: whoever has the address of a transfer may make it."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        path, _, query = urllib.parse.unquote(self.path).partition("?")
        data = self.server.files.get(path)
        self.answer(200, data) if data is not None and query == "dcache-http-uuid=1" else self.answer(404)

    def do_PUT(self):
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        self.server.files[urllib.parse.unquote(self.path).partition("?")[0]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201)


class Door(Pool):
    """A dCache door: it knows who one is, and sends to the pool before any byte of a file passes."""

    def known(self):
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        if self.headers.get("Authorization") != "Basic YW5hOnNlY3JldA==":
            self.answer(401)
        return self.headers.get("Authorization") == "Basic YW5hOnNlY3JldA=="

    def send_on(self):
        self.answer(self.server.status, Location=self.server.pool + self.path + "?dcache-http-uuid=1")

    def do_MKCOL(self):
        if self.known():
            self.answer(405)

    def do_GET(self):
        if self.known():
            self.send_on()

    def handle_expect_100(self):
        if self.server.waits:
            return super().handle_expect_100()
        if self.known():
            self.send_on()
        return False

    def do_PUT(self):  # by who did not ask, or was told to go on
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies += len(body)
        if self.known():
            self.send_on()


class Dcache:
    def __init__(self):
        self.pool, self.door = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Pool, Door))
        self.files = self.pool.files = {}
        self.door.status, self.door.waits, self.door.bodies = 307, False, 0
        for server in (self.pool, self.door):
            server.seen, server.daemon_threads = [], True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self.door.pool = "http://127.0.0.1:%d" % self.pool.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.door.server_address[1]

    def close(self):
        for server in (self.pool, self.door):
            server.shutdown()
            server.server_close()


@pytest.fixture
def dcache():
    d = Dcache()
    yield d
    d.close()


@pytest.mark.parametrize("status,waits", [(307, False), (302, False), (307, True)])
def test_a_dcache_door_sends_to_its_pool(dcache, bench, status, waits):
    dcache.door.status, dcache.door.waits = status, waits
    dcache.files["/lab/in/a b+ü.txt"] = b"hello\n"
    bench.run(SCRIPT, dcache_event("a b+ü.txt"), dav_config(dcache))
    assert dcache.files["/lab/out/new/a b+ü.txt"] == b"HELLO\n"
    assert dcache.files["/lab/out/new/deep/a b+ü.txt"] == b"note\n"
    # The pool hears no password, and the door no byte of the files, if it says so in time.
    assert len(dcache.pool.seen) == 3 and not any("Authorization" in head for _, _, head in dcache.pool.seen)
    puts = [head for method, _, head in dcache.door.seen if method == "PUT"]
    assert puts and all(head.get("Expect") == "100-continue" for head in puts)
    assert (dcache.door.bodies > 0) == waits


def test_a_door_that_leads_astray(dcache, bench):
    for pool, word in [(dcache.url, "redirects"), ("ftp://127.0.0.1", "nowhere"), ("http://127.0.0.1:1", "sent on to"),
                       ("http://" + "x" * 300, "redirect"), ("//elsewhere", "nowhere")]:
        dcache.door.pool = pool
        dcache.door.seen.clear()
        _, err = bench.run(SCRIPT, dcache_event("a"), dav_config(dcache), status=66)
        assert word in err, (pool, err)
        assert len(dcache.door.seen) < 8


class Cdmi(http.server.BaseHTTPRequestHandler):
    """The CDMI calls of a Oneprovider that are used: objects without a version header, containers with one."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def path_of(self):
        if self.headers.get("X-Auth-Token") != "token-1":
            self.answer(401)
            return None
        path = urllib.parse.unquote(self.path)
        assert path.startswith("/cdmi/space/"), path
        return path.removeprefix("/cdmi/")

    def do_GET(self):
        path = self.path_of()
        if path is None:
            return
        if path.endswith("/"):
            assert self.headers["X-CDMI-Specification-Version"] == "1.1.1"
            self.answer(200 if path in self.server.folders else 404)
        elif path in self.server.files:
            self.answer(200, self.server.files[path])
        else:
            self.answer(404)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path_of()
        if path is None:
            return
        if path.endswith("/"):
            assert self.headers["X-CDMI-Specification-Version"] == "1.1.1"
            above = path[:path.rstrip("/").rfind("/") + 1]
            if above not in self.server.folders:
                return self.answer(404)
            self.server.folders.append(path)
        else:
            if path[:path.rfind("/") + 1] not in self.server.folders:
                return self.answer(404)
            self.server.files[path] = body
        self.answer(201)


@pytest.fixture
def onedata():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cdmi)
    server.files, server.folders = {}, ["space/"]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def onedata_config(server, token="token-1"):
    return {"name": "sup", "storage_providers": {"onedata": {"mine": {
        "oneprovider_host": f"http://127.0.0.1:{server.server_port}", "token": token, "space": "space"}}},
        "input": [{"storage_provider": "onedata.mine", "path": "space/in"}],
        "output": [{"storage_provider": "onedata.mine", "path": "space/out/new", "suffix": [".txt"]}]}


def onedata_event(path):
    name = path.rsplit("/", 1)[1]
    return json.dumps({"Key": path, "Records": [{"objectKey": name, "objectId": "0", "eventTime": "2026-11-24T00:00:00Z",
                                                 "eventSource": "OneTrigger"}]})


def test_onedata_both_ways(onedata, bench):
    onedata.files["space/in/a b.txt"] = b"hello\n"
    out, _ = bench.run(SCRIPT + '\necho "$STORAGE_OBJECT_KEY"', onedata_event("/space/in/a b.txt"), onedata_config(onedata))
    assert out == b"/space/in/a b.txt\n"
    assert onedata.files["space/out/new/a b.txt"] == b"HELLO\n"
    assert onedata.files["space/out/new/deep/a b+ü.txt"] == b"note\n"
    assert "space/out/new/other.log" not in onedata.files
    assert onedata.folders == ["space/", "space/out/", "space/out/new/", "space/out/new/deep/"]


def test_onedata_that_refuses(onedata, bench):
    _, err = bench.run(SCRIPT, onedata_event("/space/in/x"), onedata_config(onedata), status=66)
    assert "404" in err
    _, err = bench.run(SCRIPT, onedata_event("/space/in/x"), onedata_config(onedata, "WRONGTOKEN"), status=66)
    assert "401" in err and "WRONGTOKEN" not in err
    _, err = bench.run(SCRIPT, onedata_event("/other/in/x"), onedata_config(onedata), status=78)
    assert "space" in err
    _, err = bench.run(SCRIPT, onedata_event("/space/in/x"), onedata_config(onedata, "a\r\nX-Evil: 1"), status=78)
    assert "token" in err and "Evil" not in err
