"""expose: services that run servers, and the proxy to them."""
import concurrent.futures
import gzip
import hashlib
import http.client
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
import requests
from conftest import Daemon, run_cli, wait_for
from oci import Image, base_layer, drop, layout, take_in, tar_of
from test_listeners import certificate
from test_sync import sleeping
from test_warm import shims

# A server of many habits, chosen by the path. It answers with JSON of what it saw.
SERVER = r'''
exec python3 -u - <<'EOF'
import hashlib, http.server, json, os, socketserver, sys, time
count = 0
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): print(self.command, self.path)
    def answer(self, body, status=200, **headers):
        self.send_response(status)
        for k, v in headers.items(): self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def pieces(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while n := int(self.rfile.readline(), 16):
                yield self.rfile.read(n); self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left:
                piece = self.rfile.read(min(left, 65536)); left -= len(piece); yield piece
    def any(self):
        global count
        count += 1
        what = self.path.split("?")[0].rstrip("/").split("/")[-1]
        if what == "raw":
            self.wfile.write(b"".join(self.pieces())); self.close_connection = True
        elif what == "die": os._exit(5)
        elif what == "slow": time.sleep(float(self.headers["X-Sleep"])); self.answer(b"slept")
        elif what == "sink":
            sha, n = hashlib.sha256(), 0
            for piece in self.pieces(): sha.update(piece); n += len(piece)
            self.answer(json.dumps([n, sha.hexdigest()]).encode())
        elif what == "lazy":
            time.sleep(float(self.headers["X-Sleep"])); self.answer(b"no", 413); self.close_connection = True
        elif what == "source":
            n = int(self.headers["X-Size"]); block = bytes(range(256)) * 256
            self.send_response(200); self.send_header("Content-Length", str(n)); self.end_headers()
            while n: n -= self.wfile.write(block[:min(n, len(block))])
        elif what == "chunks":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            for i in range(int(self.headers["X-Size"])):
                line = b"line %d\n" % i
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line)); self.wfile.flush()
                time.sleep(float(self.headers.get("X-Sleep", 0)))
            self.wfile.write(b"0\r\n\r\n")
        elif what == "switch":
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\nhi\n"
                             % self.headers["Upgrade"].encode())
            while line := self.rfile.readline():
                if line == b"bye\n": break
                self.wfile.write(line)
            self.close_connection = True
        elif what == "close":
            self.send_response(200); self.end_headers(); self.wfile.write(b"until the end"); self.close_connection = True
        elif what == "cookies":
            self.send_response(204); self.send_header("Set-Cookie", "a=1"); self.send_header("Set-Cookie", "b=2")
            self.send_header("Connection", "keep-alive, X-Hop"); self.send_header("X-Hop", "1"); self.send_header("Upgrade", "h2c")
            self.end_headers()
        else:
            body = b"".join(self.pieces())
            self.answer(json.dumps({"method": self.command, "path": self.path, "headers": self.headers.items(),
                                    "body": body.decode(), "pid": os.getpid(), "count": count,
                                    "said": os.environ.get("SAID"), "base": os.environ["OSCAR_SERVICE_BASE_PATH"]}).encode(),
                        Content_Type="application/json", X_From="inside")
    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = any
class S(socketserver.ThreadingMixIn, http.server.HTTPServer): daemon_threads = True; request_queue_size = 128
print("listening")
S(("127.0.0.1", 8123), H).serve_forever()
EOF
'''


def expose(daemon, name, script=SERVER, expose=None, **keys):
    daemon.create(name, script, **{"cpu": "0.5", "memory": "128Mi", "input": [], "output": [],
                                   "expose": {"api_port": 8123, "max_scale": 1, **(expose or {})}, **keys})


def url(daemon, name, path=""):
    return f"{daemon.api}/system/services/{name}/exposed{path}"


def ask(daemon, name, path="/", expect=200, method="GET", **kw):
    answer = requests.request(method, url(daemon, name, path), timeout=60, **kw)
    assert answer.status_code == expect, (answer.status_code, answer.text)
    return answer


def deployment(daemon, name):
    return daemon.call("GET", f"/system/services/{name}/deployment", 200).json()


def instances(daemon):
    return sorted(f.name for f in (pathlib.Path(daemon.data) / "jobs").iterdir() if f.name.startswith("x"))


def runners(daemon):
    """The runner and whoever keeps it, not the shims that it forked."""
    found = []
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            line = (comm.parent / "cmdline").read_bytes()
            if comm.read_text() == "oscar-runner\n" and daemon.data.encode() in line:
                found.append(int(comm.parent.name))
        except OSError:
            pass
    return found


def remove(daemon, name):
    daemon.call("DELETE", f"/system/services/{name}", 204)
    wait_for("the end of its instances", lambda: not shims(daemon), 15)


@pytest.fixture(scope="module")
def served():
    d = Daemon()
    expose(d, "web", environment={"Variables": {"SAID": "hello"}})
    yield d
    remove(d, "web")
    d.close()


def test_requests_reach_a_server_without_a_network(served):
    got = ask(served, "web", "/a%20b/c?x=1&y=%2F", method="PATCH", data="body",
              headers={"X-Mine": "1", "Connection": "X-Gone, keep-alive", "X-Gone": "1", "TE": "trailers", "Forwarded": "for=192.0.2.1",
                       "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "gopher", "Authorization": "Bearer its-own"})
    seen = got.json()
    heads = {k.lower(): v for k, v in seen["headers"]}
    assert (seen["method"], seen["path"], seen["body"]) == ("PATCH", "/a%20b/c?x=1&y=%2F", "body")
    assert (seen["said"], seen["base"]) == ("hello", "/system/services/web/exposed")
    host = served.api.split("//")[1]
    assert heads["host"] == host and heads["x-mine"] == "1" and heads["authorization"] == "Bearer its-own"
    assert heads["x-forwarded-for"] == "192.0.2.1, 127.0.0.1" and heads["x-forwarded-proto"] == "http"
    assert heads["x-forwarded-host"] == host and heads["x-forwarded-prefix"] == "/system/services/web/exposed"
    assert heads["forwarded"] == f'for=192.0.2.1, for=127.0.0.1;host="{host}";proto=http'
    assert not {"x-gone", "te", "connection", "expect"} & set(heads)
    assert got.headers["X-From"] == "inside" and got.headers["Content-Type"] == "application/json"
    # One server, whatever the path.
    assert ask(served, "web").json()["path"] == "/"
    assert ask(served, "web", "").json()["path"] == "/"
    assert ask(served, "web", "?q").json()["path"] == "/?q"
    assert ask(served, "web").json()["pid"] == seen["pid"]
    assert len(instances(served)) == 1


def test_answers_come_as_they_were_made(served):
    head = ask(served, "web", "/x", method="HEAD")
    assert head.text == "" and int(head.headers["Content-Length"]) > 100
    assert ask(served, "web", "/close").text == "until the end"
    assert ask(served, "web", "/chunks", headers={"X-Size": "5000"}).text == "".join(f"line {i}\n" for i in range(5000))
    raw = requests.get(url(served, "web", "/cookies"), stream=True, timeout=10)
    assert raw.status_code == 204 and raw.raw.headers.getlist("Set-Cookie") == ["a=1", "b=2"]
    assert "X-Hop" not in raw.headers and "Upgrade" not in raw.headers
    assert ask(served, "web", "/x", method="OPTIONS").json()["method"] == "OPTIONS"
    for i in range(50):  # kept connections, and those that its server closes, side by side
        assert ask(served, "web", "/close" if i % 2 else "/").status_code == 200


def test_a_stream_comes_while_it_is_made(served):
    began = time.monotonic()
    with requests.get(url(served, "web", "/chunks"), headers={"X-Size": "4", "X-Sleep": "0.4"}, stream=True, timeout=20) as got:
        lines = [(line, time.monotonic() - began) for line in got.iter_lines(chunk_size=1)]
    assert [line for line, _ in lines] == [b"line 0", b"line 1", b"line 2", b"line 3"]
    assert lines[0][1] < 0.4 < lines[3][1] - lines[0][1]


def memory_kib(daemon):
    status = (pathlib.Path("/proc") / str(daemon.process.pid) / "status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.parametrize("sized", [True, False])
def test_large_bodies_go_through_in_little_memory(served, sized):
    size, block = 256 << 20, bytes(range(256)) * 4096
    before, most = memory_kib(served), 0

    def pieces():
        nonlocal most
        for _ in range(size // len(block)):
            most = max(most, memory_kib(served))
            yield block
    sha = hashlib.sha256()
    for _ in range(size // len(block)):
        sha.update(block)

    class Sized:
        def __init__(self):
            self.left = pieces()
        def __len__(self):
            return size
        def read(self, n):
            return next(self.left, b"")
    sent = requests.put(url(served, "web", "/sink"), data=Sized() if sized else pieces(), timeout=120)
    assert sent.json() == [size, sha.hexdigest()]
    got, n = hashlib.sha256(), 0
    with requests.get(url(served, "web", "/source"), headers={"X-Size": str(size)}, stream=True, timeout=120) as answer:
        for piece in answer.iter_content(1 << 20):
            got.update(piece)
            n += len(piece)
            most = max(most, memory_kib(served))
    assert (n, got.hexdigest()) == (size, sha.hexdigest())
    assert most - before < 8 << 10, (before, most)


def test_a_slow_reader_holds_the_server_back(served):
    before = memory_kib(served)
    with requests.get(url(served, "web", "/source"), headers={"X-Size": str(512 << 20)}, stream=True, timeout=60) as answer:
        time.sleep(1)
        assert memory_kib(served) - before < 8 << 10
        assert len(answer.raw.read(1 << 20)) == 1 << 20
    ask(served, "web")


def test_an_answer_before_the_end_of_the_request(served):
    began = time.monotonic()
    answer = ask(served, "web", "/lazy", 413, method="PUT", data=b"x" * (32 << 20), headers={"X-Sleep": "0.2"})
    assert answer.text == "no" and time.monotonic() - began < 20


HOSTILE = {
    b"": "closed the connection",
    b"hello\r\n\r\n": "not HTTP",
    b"HTTP/2 200 OK\r\n\r\n": "not HTTP",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab": "length",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": "length",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n": "transfer encoding",
    b"HTTP/1.1 200 OK\r\nA\x00B: x\r\n\r\n": "malformed",
    b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: x=y\r\n\r\n": "malformed",
    b"HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\nabcd": "malformed",
    b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n": "malformed",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40000 + b"\r\n\r\n": "too large",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n": "100 headers",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + b"HTTP/1.1 200 OK\r\n\r\n": "another protocol",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n": "another protocol",
}


@pytest.mark.parametrize("raw", HOSTILE, ids=lambda r: repr(r[:40]))
def test_hostile_answers_are_refused(served, raw):
    answer = ask(served, "web", "/raw", 502, method="POST", data=raw)
    assert HOSTILE[raw] in answer.text
    assert "Set-Cookie" not in answer.headers
    ask(served, "web")


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde",
])
def test_an_answer_that_breaks_off_is_not_taken_for_whole(served, raw):
    connection = http.client.HTTPConnection(served.api.split("//")[1], timeout=10)
    connection.request("POST", "/system/services/web/exposed/raw", body=raw)
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.getresponse().read()
    connection.close()
    ask(served, "web")


def test_an_answer_has_no_second_one_behind_it(served):
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    for _ in range(3):
        assert ask(served, "web", "/raw", method="POST", data=raw).text == "ab"
        assert "forged" not in ask(served, "web").text


def test_deadlines(served):
    began = time.monotonic()
    late = ask(served, "web", "/slow", 504, headers={"X-Sleep": "20", "Prefer": "respond-async, wait=1"})
    assert "within 1 s" in late.text and time.monotonic() - began < 3
    assert ask(served, "web", "/slow", headers={"X-Sleep": "0.5", "Prefer": "wait=30"}).text == "slept"


def switched(daemon, name, early=b"", tls=None):
    """A connection that has switched to another protocol, as WebSockets do, with what came first on it."""
    host, port = daemon.api.split("//")[1].split(":")
    s = socket.create_connection((host, int(port)), timeout=20)
    s = tls.wrap_socket(s, server_hostname=host) if tls else s
    s.sendall(f"GET /system/services/{name}/exposed/switch HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
              "Upgrade: echo\r\n\r\n".encode() + early)
    f = s.makefile("rb")
    head = []
    while (line := f.readline()) not in (b"\r\n", b""):
        head.append(line.strip().lower())
    assert head[0].startswith(b"http/1.1 101") and b"upgrade: echo" in head and b"connection: upgrade" in head, head
    return s, f


def test_connections_that_switch_to_another_protocol(served):
    s, f = switched(served, "web", b"early\n")
    assert [f.readline(), f.readline()] == [b"hi\n", b"early\n"]
    for i in range(300):
        s.sendall(b"%d\n" % i)
        assert f.readline() == b"%d\n" % i
    big = b"x" * 65535 + b"\n"
    sender = threading.Thread(target=lambda: [s.sendall(big) for _ in range(256)])
    sender.start()
    for _ in range(256):
        assert f.readline() == big
    sender.join()
    s.sendall(b"bye\n")
    assert f.read() == b""
    s.close()
    # A server that does not switch answers as always.
    plain = ask(served, "web", "/", headers={"Connection": "Upgrade", "Upgrade": "websocket"}).json()
    assert dict(plain["headers"])["Upgrade"] == "websocket"


def test_over_tls(opened):
    cert, key = certificate(opened, "first")
    d = Daemon(None, "--tls-cert", str(cert), "--tls-key", str(key))
    try:
        d.call("POST", "/system/services", 201, verify=str(cert), json={
            "name": "safe", "image": "host", "cpu": "0.5", "memory": "128Mi", "script": SERVER, "expose": {"api_port": 8123}})
        heads = dict(ask(d, "safe", verify=str(cert)).json()["headers"])
        assert heads["X-Forwarded-Proto"] == "https" and heads["Forwarded"].endswith("proto=https")
        body = b"x" * (8 << 20)
        assert ask(d, "safe", "/sink", method="PUT", data=body, verify=str(cert)).json()[0] == len(body)
        s, f = switched(d, "safe", b"early\n", ssl.create_default_context(cafile=str(cert)))
        assert [f.readline(), f.readline()] == [b"hi\n", b"early\n"]
        s.sendall(b"y" * 100000 + b"\n")
        assert f.readline() == b"y" * 100000 + b"\n"
        s.sendall(b"bye\n")
        assert f.read() == b""
    finally:
        d.close()


def test_a_switched_connection_has_its_place(daemon):
    expose(daemon, "talk", expose={"concurrency": 1}, timeout=2)
    s, f = switched(daemon, "talk")
    assert f.readline() == b"hi\n"
    assert "no instance was ready" in ask(daemon, "talk", "/", 503, headers={"Prefer": "wait=1"}).text
    s.close()
    f.close()
    ask(daemon, "talk")
    s, f = switched(daemon, "talk")  # one in which nobody says anything ends
    began = time.monotonic()
    assert f.read() == b"hi\n" and 1 < time.monotonic() - began < 5
    s, f = switched(daemon, "talk")
    assert f.readline() == b"hi\n"
    daemon.call("POST", "/system/services/talk/stop", 200)
    remove(daemon, "talk")
    assert f.read() == b""


def test_who_hangs_up_frees_the_connection(daemon):
    expose(daemon, "once", expose={"concurrency": 1})
    ask(daemon, "once")
    host, port = daemon.api.split("//")[1].split(":")
    with socket.create_connection((host, int(port))) as s:
        s.sendall(b"GET /system/services/once/exposed/slow HTTP/1.1\r\nHost: x\r\nX-Sleep: 30\r\n\r\n")
        time.sleep(0.5)
    began = time.monotonic()
    ask(daemon, "once")  # the one place is free again, long before the server has slept
    assert time.monotonic() - began < 4
    remove(daemon, "once")


def test_who_is_let_in(daemon):
    expose(daemon, "shut", expose={"set_auth": True})
    token = daemon.call("GET", "/system/services/shut", 200).json()["token"]
    refused = ask(daemon, "shut", "/", 401)
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="shut"'
    for auth in (("shut", token[:-1] + "x"), ("other", token), ("oscar", "wrong"), ("nobody", "x")):
        ask(daemon, "shut", "/", 401, auth=auth)
    ask(daemon, "shut", "/", 401, headers={"Authorization": "Bearer " + "0" * 64})
    daemon.call("POST", "/system/users", 201, json={"name": "eve", "password": "eve-password", "s3_key": "EVEKEY",
                                                    "s3_secret": "eve-secret-key"})
    ask(daemon, "shut", "/", 401, auth=("eve", "eve-password"))
    for kw in ({"auth": ("shut", token)}, {"auth": daemon.http.auth}, {"headers": {"Authorization": f"Bearer {token}"}}):
        assert "authorization" not in {k.lower() for k, _ in ask(daemon, "shut", **kw).json()["headers"]}
    remove(daemon, "shut")
    ask(daemon, "shut", "/", 404)


def test_a_service_that_is_not_exposed(daemon):
    daemon.create("plain", "true")
    assert "not exposed" in ask(daemon, "plain", "/", 404).text
    ask(daemon, "none", "/", 404)
    daemon.call("DELETE", "/system/services/plain", 204)


def test_the_whole_path_for_those_who_want_it(daemon):
    expose(daemon, "whole", expose={"rewrite_target": True})
    assert ask(daemon, "whole", "/a?b").json()["path"] == "/system/services/whole/exposed/a?b"
    assert "x-forwarded-prefix" not in {k.lower() for k, _ in ask(daemon, "whole").json()["headers"]}
    remove(daemon, "whole")


def test_the_images_own_command(daemon):
    busybox = shutil.which("busybox")
    if not busybox or subprocess.run(["ldd", busybox], capture_output=True).returncode == 0:
        pytest.skip("no static busybox here (package busybox-static)")
    top = tar_of(("./bin/busybox", pathlib.Path(busybox).read_bytes()), ("./it's $HOME/index.html", b"<p>of the image</p>\n"))
    image = Image([base_layer(), top], pack=lambda i, data: gzip.compress(data, mtime=0), WorkingDir="/app",
                  Entrypoint=["/bin/busybox", "httpd", "-f"], Cmd=["-p", "127.0.0.1:8123", "-h", "/it's $HOME"])
    take_in(daemon, layout((image, {})), "lab/httpd:1")
    expose(daemon, "httpd", "", image="lab/httpd:1", expose={"default_command": True, "health_path": "/"})
    assert ask(daemon, "httpd").text == "<p>of the image</p>\n"
    ask(daemon, "httpd", "/none", 404)
    remove(daemon, "httpd")
    drop(daemon, "lab/httpd:1")
    bare = Image([base_layer()], pack=lambda i, data: gzip.compress(data, mtime=0))
    take_in(daemon, layout((bare, {})), "lab/bare:1")
    expose(daemon, "bare", "", image="lab/bare:1", expose={"default_command": True})
    assert "the image says no command" in ask(daemon, "bare", "/", 503).text
    remove(daemon, "bare")
    drop(daemon, "lab/bare:1")


def test_a_crash_is_told_and_survived(daemon):
    expose(daemon, "frail")
    first = ask(daemon, "frail").json()["pid"]
    assert "closed the connection" in ask(daemon, "frail", "/die", 502, method="POST").text
    wait_for("the next one", lambda: requests.get(url(daemon, "frail"), timeout=20).status_code == 200, 10)
    assert first  # the numbers of processes begin anew in each sandbox
    log = daemon.call("GET", "/system/services/frail/deployment/logs", 200).json()
    assert "listening" in [e["message"] for e in log["entries"]]
    remove(daemon, "frail")


def test_one_that_cannot_start_says_why(daemon):
    expose(daemon, "broken", "echo missing library >&2; exit 3", expose={"min_scale": 1})
    answer = wait_for("the reason", lambda: (a := requests.get(url(daemon, "broken"), timeout=20)).status_code == 503 and [a])[0]
    assert "exit code 3" in answer.text and int(answer.headers["Retry-After"]) >= 1
    state = wait_for("the state", lambda: (s := deployment(daemon, "broken"))["state"] == "failed" and s)
    assert "exit code 3" in state["reason"] and state["resource_kind"] == "exposed_service"
    log = daemon.call("GET", "/system/services/broken/deployment/logs", 200).json()
    assert "missing library" in [e["message"] for e in log["entries"]]
    # The pause between two tries doubles.
    began = len(instances(daemon))
    time.sleep(3)
    assert len(instances(daemon)) <= began + 1
    remove(daemon, "broken")


def test_between_the_bounds(daemon):
    expose(daemon, "wide", cpu="0.1", memory="64Mi", idle_stop=1, expose={"min_scale": 1, "max_scale": 3, "concurrency": 1})
    wait_for("the first", lambda: deployment(daemon, "wide")["active_instances"] == 1)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        slow = [pool.submit(ask, daemon, "wide", "/slow", headers={"X-Sleep": "1.5"}) for _ in range(6)]
        wait_for("three", lambda: deployment(daemon, "wide")["active_instances"] == 3, 10)
        assert [s.result().text for s in slow] == ["slept"] * 6
    wait_for("the end of two", lambda: deployment(daemon, "wide")["active_instances"] == 1, 15)
    remove(daemon, "wide")


def test_from_nothing_and_back(daemon):
    expose(daemon, "rare", idle_stop=1)
    assert deployment(daemon, "rare")["active_instances"] == 0
    assert ask(daemon, "rare").status_code == 200
    assert deployment(daemon, "rare")["state"] == "ready"
    wait_for("its end", lambda: not shims(daemon), 15)
    assert ask(daemon, "rare").status_code == 200
    remove(daemon, "rare")


def test_a_health_path_is_waited_for(daemon):
    late = SERVER.replace("def any(self):", "def any(self):\n        if time.time() < began + 1: self.answer(b'not yet', 503); return")
    late = late.replace("count = 0", "count = 0; began = time.time()", 1)
    expose(daemon, "warms", late, expose={"health_path": "/health"})
    began = time.monotonic()
    assert ask(daemon, "warms").status_code == 200
    assert time.monotonic() - began > 0.9
    remove(daemon, "warms")


def test_changes_pauses_and_orders(daemon):
    expose(daemon, "changed", environment={"Variables": {"SAID": "one"}})
    assert ask(daemon, "changed").json()["said"] == "one"
    body = daemon.call("GET", "/system/services/changed", 200).json()
    body["environment"]["variables"]["SAID"] = "two"
    daemon.call("PUT", "/system/services", 204, json=body)
    wait_for("the new one", lambda: requests.get(url(daemon, "changed"), timeout=20).json()["said"] == "two", 10)
    daemon.call("POST", "/system/services/changed/pause", 204)
    wait_for("its refusal", lambda: requests.get(url(daemon, "changed"), timeout=20).status_code == 503, 5)
    assert "paused" in ask(daemon, "changed", "/", 503).text
    wait_for("its end", lambda: not shims(daemon), 10)
    daemon.call("POST", "/system/services/changed/resume", 204)
    wait_for("its return", lambda: requests.get(url(daemon, "changed"), timeout=20).status_code == 200, 10)
    assert daemon.call("POST", "/system/services/changed/stop", 200).json()["state"] == "stopped"
    assert "stopped" in ask(daemon, "changed", "/", 503).text
    wait_for("its end", lambda: not shims(daemon), 10)
    daemon.call("POST", "/system/services/changed/start", 200)
    assert ask(daemon, "changed").json()["said"] == "two"
    before = instances(daemon)
    daemon.call("POST", "/system/services/changed/restart", 200)
    wait_for("another", lambda: ask(daemon, "changed") and set(instances(daemon)) - set(before), 10)
    remove(daemon, "changed")
    daemon.create("plain", "true")
    refused = daemon.call("POST", "/system/services/plain/stop", 400)
    assert refused.text == 'service "plain" is not exposed'
    daemon.call("DELETE", "/system/services/plain", 204)


def test_it_is_ended_over_its_memory(daemon):
    hungry = SERVER.replace('elif what == "die": os._exit(5)', 'elif what == "die": x = bytearray(300 << 20); self.answer(b"?")')
    expose(daemon, "hungry", hungry)
    ask(daemon, "hungry")
    ask(daemon, "hungry", "/die", 502)
    wait_for("the reason", lambda: "memory limit" in deployment(daemon, "hungry").get("reason", ""), 10)
    remove(daemon, "hungry")


def test_a_service_that_has_no_room_says_so(daemon):
    expose(daemon, "big", memory="100Mi", cpu=str(os.cpu_count()))
    expose(daemon, "second", cpu=str(os.cpu_count()))
    ask(daemon, "big")
    answer = ask(daemon, "second", "/", 503, headers={"Prefer": "wait=2"})
    assert "no instance was ready within 2 s" in answer.text
    assert "no room" in deployment(daemon, "second")["reason"]
    daemon.call("DELETE", "/system/services/big", 204)
    ask(daemon, "second")
    remove(daemon, "second")


@pytest.mark.parametrize("how", ["kill", "leave", "stop"])
def test_nothing_is_left_when_the_daemon_ends(fresh, how):
    expose(fresh, "left", SERVER.replace("exec python3", "sleep 6301 & exec python3"), expose={"min_scale": 1})
    ask(fresh, "left")
    assert sleeping(6301)
    caller = threading.Thread(target=lambda: pytest.raises(Exception, ask, fresh, "left", "/slow", headers={"X-Sleep": "20"}))
    caller.start()
    time.sleep(0.3)
    getattr(fresh, how)()
    caller.join(30)
    wait_for("the end of its processes", lambda: not sleeping(6301), 5)
    fresh.start()
    ask(fresh, "left")  # min_scale brings it back
    assert sleeping(6301) == 1
    wait_for("old folders", lambda: len(instances(fresh)) == 1, 10)
    remove(fresh, "left")


def test_a_killed_shim_is_replaced(fresh):
    expose(fresh, "shot")
    ask(fresh, "shot")
    for pid in shims(fresh):
        os.kill(pid, signal.SIGKILL)
    wait_for("another", lambda: requests.get(url(fresh, "shot"), timeout=20).status_code == 200, 15)
    remove(fresh, "shot")


def test_a_killed_runner_does_not_concern_a_server(fresh):
    expose(fresh, "stays", expose={"min_scale": 1})
    seen = ask(fresh, "stays").json()
    killed = runners(fresh)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    after = ask(fresh, "stays").json()
    assert (after["pid"], after["count"]) == (seen["pid"], seen["count"] + 1)
    # Also when the next runner is there, and for connections that are new.
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ask(fresh, "stays", "/slow", headers={"X-Sleep": "0.5"}), range(8)))
    assert ask(fresh, "stays").json()["count"] == seen["count"] + 10
    wait_for("a runner", lambda: requests.post(fresh.api + "/system/services/stays/restart", auth=fresh.http.auth, timeout=20)
             and ask(fresh, "stays").json()["count"] < 5, 20)
    remove(fresh, "stays")


def test_metrics_and_the_command_line(served):
    def figures():
        text = served.call("GET", "/metrics", 200).text
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"}
    before = figures()
    ask(served, "web")
    after = figures()
    assert after["oscar_server_requests_total"] == before["oscar_server_requests_total"] + 1
    assert after['oscar_servers{state="ready"}'] == 1 and after["oscar_server_requests_waiting"] == 0
    assert run_cli(served, "service", "stop", "web").stdout == "web stopped\n"
    ask(served, "web", "/", 503)
    assert run_cli(served, "service", "start", "web").stdout == "web started\n"
    ask(served, "web")
    assert "listening" in run_cli(served, "service", "deployment", "web").stdout
    assert run_cli(served, "service", "restart", "web").stdout == "web restarted\n"
    ask(served, "web")


def test_many_at_once(served):
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        got = list(pool.map(lambda i: ask(served, "web", f"/n/{i}", method="POST", data=f"body {i}").json(), range(400)))
    assert [(g["path"], g["body"]) for g in got] == [(f"/n/{i}", f"body {i}") for i in range(400)]
    assert len({g["pid"] for g in got}) == 1


def test_the_number_of_instances_is_bounded():
    d = Daemon(None, "--max-instances", "1")
    try:
        expose(d, "one", cpu="0.1")
        expose(d, "two", cpu="0.1")
        ask(d, "one")
        assert "ready within 1 s" in ask(d, "two", "/", 503, headers={"Prefer": "wait=1"}).text
        assert "no more are allowed" in deployment(d, "two")["reason"]
    finally:
        d.close()
