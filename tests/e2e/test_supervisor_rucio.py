"""oscar-supervisor with Rucio: its real server over SQLite, WebDAV storage elements, and an OpenID provider's token endpoint."""
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import threading
import urllib.parse
import zlib

import pytest
import requests
from conftest import TOOLS, free_port
from oci import Liar
from test_supervisor import bench  # noqa: F401
from test_supervisor_storages import Dav

JWT = "e30.eyJzdWIiOiJhbmEifQ.c2ln"  # three parts: one that storage elements can read as well


class Tokens(http.server.BaseHTTPRequestHandler):
    """The refresh grant of RFC 6749 6, with refresh tokens that are good once."""

    def log_message(self, *args):
        pass

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.server.seen.append(form)
        body, status = {"error": "invalid_grant"}, 400
        if form.get("refresh_token") == self.server.good and form["grant_type"] == "refresh_token":
            self.server.good = f"refresh {len(self.server.seen)}&+"
            body, status = {"access_token": self.server.access.pop(0), "expires_in": self.server.lifetime,
                            "refresh_token": self.server.good, "token_type": "Bearer"}, 200
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextlib.contextmanager
def serving(handler, **state):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.seen = []
    vars(server).update(state)
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def tokens():
    with serving(Tokens, good="first", access=[JWT] * 9, lifetime=3600) as server:
        yield server


class Rucio:
    def __init__(self, folder, python):
        self.url, self.disks = f"http://127.0.0.1:{free_port()}", {}
        for name in ("A-SCRATCHDISK", "B-SCRATCHDISK"):
            (folder / name).mkdir()
            self.disks[name] = Dav(folder / name, user=None)
        rses = {name: {"scheme": "http", "hostname": "127.0.0.1", "port": int(d.url.rsplit(":", 1)[1]), "prefix": "/grid/"}
                for name, d in self.disks.items()}
        rses["TAPE-MOCK"] = {"scheme": "root", "hostname": "127.0.0.1", "port": 1094, "prefix": "//tape/"}
        rses["GONE-MOCK"] = {"scheme": "http", "hostname": "127.0.0.1", "port": free_port(), "prefix": "/x/"}
        self.log = open(folder / "rucio.log", "ab")
        self.process = subprocess.Popen([python, str(pathlib.Path(__file__).with_name("rucio_server.py")), str(folder),
                                         self.url.rsplit(":", 1)[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log)
        self.process.stdin.write(json.dumps({"rses": rses, "tokens": [JWT, "plain-token"]}).encode() + b"\n")
        self.process.stdin.close()
        assert self.process.stdout.readline() == b"ready\n", (folder / "rucio.log").read_text()[-3000:]

    def call(self, method, path, expect, body=None):
        answer = requests.request(method, self.url + path, json=body, timeout=30, headers={"X-Rucio-Auth-Token": JWT})
        assert answer.status_code == expect, (path, answer.status_code, answer.text)
        return answer

    def file(self, rse, name, data, where=True, scope="lab"):
        """A file that Rucio knows, and that lies where it says."""
        self.call("POST", "/replicas", 201, {"rse": rse, "files": [{
            "scope": scope, "name": name, "bytes": len(data), "adler32": f"{zlib.adler32(data):08x}"}]})
        if where:
            self.place(rse, name, data, scope)
        return {"scope": scope, "name": name}

    def place(self, rse, name, data, scope="lab"):
        path = self.path(rse, name, scope)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def path(self, rse, name, scope="lab"):
        md5 = hashlib.md5(f"{scope}:{name}".encode()).hexdigest()
        return self.disks[rse].data(f"grid/{scope}/{md5[:2]}/{md5[2:4]}/{name}")

    def data_set(self, name, files):
        self.call("POST", f"/dids/lab/{name}", 201, {"type": "DATASET"})
        if files:
            self.call("POST", f"/dids/lab/{name}/dids", 201, {"dids": files})

    def meta(self, name, scope="ana"):
        return self.call("GET", f"/dids/{scope}/{name}/meta", 200).json()

    def lines(self, method, path, body=None):
        return [json.loads(line) for line in self.call(method, path, 200, body).text.splitlines()]

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        for disk in self.disks.values():
            disk.close()


@pytest.fixture(scope="module")
def rucio(tmp_path_factory):
    python = TOOLS / "rucio" / "bin" / "python"
    if not (TOOLS / "rucio" / "done").exists():
        pytest.skip("Rucio's server is not installed (tools/setup)")
    r = Rucio(tmp_path_factory.mktemp("rucio"), str(python))
    yield r
    r.close()


def config(url, output="A-SCRATCHDISK", **keys):
    store = {"host": url, "auth_host": url, "account": "ana", "rse": output, "access_token": JWT}
    store.update(keys)
    return {"name": "sup", "storage_providers": {"rucio": {"egi": {k: v for k, v in store.items() if v}}},
            "output": [{"storage_provider": "rucio.egi", "path": "ignored/folder"}]}


def event(name, scope="lab", **more):
    return json.dumps(dict({"event_type": "close", "payload": {"scope": scope, "name": name}}, **more))


def test_a_data_set_comes_and_files_go(rucio, bench, tokens):
    files = {f"s1.{n}.dat": os.urandom(1000 * n) for n in range(1, 4)}
    rucio.data_set("set1", [rucio.file("A-SCRATCHDISK" if n % 2 else "B-SCRATCHDISK", name, data)
                            for n, (name, data) in enumerate(files.items())])
    conf = config(rucio.url, access_token=None, refresh_token="first", token_endpoint=tokens.url + "/token",
                  oidc_audience="rucio")
    out, _ = bench.run('cd "$INPUT_FILE_PATH" && sha256sum *; mkdir "$TMP_OUTPUT_DIR/sub"; echo "[$STORAGE_OBJECT_KEY]"\n'
                       'echo one >"$TMP_OUTPUT_DIR/set1.txt"; echo two >"$TMP_OUTPUT_DIR/sub/set1.txt"', event("set1"), conf)
    assert out.decode() == "".join(f"{hashlib.sha256(d).hexdigest()}  {n}\n" for n, d in sorted(files.items())) + "[]\n"
    # One exchange of the refresh token for the input, one for the outputs, each with what the other left behind.
    assert [s["grant_type"] for s in tokens.seen] == ["refresh_token"] * len(tokens.seen)
    assert tokens.seen[0] == {"grant_type": "refresh_token", "client_id": "token-portal", "audience": "rucio",
                              "refresh_token": "first"}
    for name, data in (("set1.txt", b"one\n"), ("sub__set1.txt", b"two\n")):
        meta = rucio.meta(name)
        assert (meta["bytes"], meta["adler32"], meta["md5"]) == (4, f"{zlib.adler32(data):08x}", hashlib.md5(data).hexdigest())
        assert rucio.path("A-SCRATCHDISK", name, "ana").read_bytes() == data
        listed = rucio.lines("POST", "/replicas/list", {"dids": [{"scope": "ana", "name": name}]})[0]
        assert listed["states"] == {"A-SCRATCHDISK": "AVAILABLE"}
        rules = rucio.lines("GET", f"/dids/ana/{name}/rules")
        assert [(r["rse_expression"], r["state"], r["account"]) for r in rules] == [("A-SCRATCHDISK", "OK", "ana")]


def test_the_same_again_is_fine_and_other_content_is_not(rucio, bench):
    conf = config(rucio.url, output="B-SCRATCHDISK")
    for _ in range(2):
        bench.run('echo same >"$TMP_OUTPUT_DIR/again.txt"', "x", conf)
    assert len(rucio.lines("GET", "/dids/ana/again.txt/rules")) == 1
    _, err = bench.run('echo other >"$TMP_OUTPUT_DIR/again.txt"', "x", conf, status=74)
    assert "other data called ana:again.txt" in err
    assert rucio.path("B-SCRATCHDISK", "again.txt", "ana").read_bytes() == b"same\n"


def test_one_file_is_told_by_its_path(rucio, bench):
    rucio.file("A-SCRATCHDISK", "single.dat", b"1")
    for payload in (event("single.dat"), json.dumps({"storage_provider": "rucio.egi", "event": event("single.dat")}),
                    json.dumps({"Records": [{"eventSource": "rucio"}], "payload": {"scope": "lab", "name": "single.dat"}})):
        out, _ = bench.run('cat "$INPUT_FILE_PATH"; basename "$INPUT_FILE_PATH"', payload, config(rucio.url))
        assert out == b"1single.dat\n"


def test_another_replica_has_its_turn(rucio, bench):
    """… when a server is away, lacks the file, or has other bytes."""
    data = os.urandom(200000)
    for n, broken in enumerate(("away", "missing", "wrong", "short")):
        name = f"twice{n}"
        rucio.file("GONE-MOCK" if broken == "away" else "A-SCRATCHDISK", name, data, where=False)
        rucio.file("B-SCRATCHDISK", name, data)
        if broken in ("wrong", "short"):
            rucio.place("A-SCRATCHDISK", name, data[:-1] + (b"" if broken == "short" else bytes([data[-1] ^ 1])))
        out, err = bench.run('sha256sum <"$INPUT_FILE_PATH"', event(name), config(rucio.url))
        assert out.decode().split()[0] == hashlib.sha256(data).hexdigest()
    rucio.path("B-SCRATCHDISK", "twice2").unlink()
    _, err = bench.run("true", event("twice2"), config(rucio.url), status=66)
    assert "lab:twice2" in err and ("checksum" in err or "404" in err)


def test_what_cannot_be_had_is_said(rucio, bench, tokens):
    rucio.file("TAPE-MOCK", "on-tape", b"1", where=False)
    rucio.data_set("empty", [])
    for name, status, word in [("nowhere", 66, "lab:nowhere of rucio.egi: Rucio knows no such data"),
                               ("on-tape", 66, "none of its 1 replicas is reached by https"), ("empty", 66, "has no files")]:
        _, err = bench.run("true", event(name), config(rucio.url), status=status)
        assert word in err, err
    _, err = bench.run("true", event("x"), config(rucio.url, access_token="WRONG-TOKEN"), status=66)
    assert "401" in err and "WRONG-TOKEN" not in err
    wrong = config(rucio.url, access_token=None, refresh_token="WRONG-REFRESH", token_endpoint=tokens.url)
    _, err = bench.run("true", event("x"), wrong, status=66)
    assert "refresh token is not taken" in err and "WRONG-REFRESH" not in err
    _, err = bench.run('echo x >"$TMP_OUTPUT_DIR/x"', "x", config(rucio.url, output="NO-SUCH-RSE"), status=74)
    assert "NO-SUCH-RSE" in err
    _, err = bench.run("true", event("x"), {"name": "sup"}, status=78)
    assert "no storage of type rucio" in err


def test_a_token_that_ended_is_renewed(rucio, bench, tokens):
    rucio.file("A-SCRATCHDISK", "renewed.dat", b"1")
    tokens.access[:0] = ["ended.long.ago"]  # the server does not take it: once more
    conf = config(rucio.url, access_token=None, refresh_token="first", token_endpoint=tokens.url)
    bench.run('cat "$INPUT_FILE_PATH"', event("renewed.dat"), conf)
    assert len(tokens.seen) == 2
    tokens.lifetime, tokens.good = 1, "first"  # ends before it can be used: a new one for each exchange
    tokens.seen.clear()
    bench.run('cat "$INPUT_FILE_PATH"', event("renewed.dat"), conf)
    assert len(tokens.seen) > 2


# ---- servers that misbehave --------------------------------------------------------------------------

class Bad(Liar):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()


def line(name, **more):
    return json.dumps(dict({"scope": "lab", "name": name, "bytes": 1, "adler32": "00320032"}, **more)).encode() + b"\n"


def served(files, pfns):
    """A Rucio of this list, whose files all lie at `pfns`; what lies there is "1"."""
    def plan(h):
        if h.path.endswith("/files"):
            h.answer(200, files)
        elif h.path == "/replicas/list":
            h.answer(200, json.dumps({"pfns": {p: {"priority": n} for n, p in enumerate(pfns(h.server))}}).encode())
        else:
            h.answer(200, b"1")
    return plan


@pytest.mark.parametrize("files,word", [
    (line("..") + line("x"), "cannot be the name"), (line("a/b") + line("c/b"), "two files of the data set are called b"),
    (b"<html>a portal</html>\n", "no JSON"), (b'{"ExceptionClass":"DatabaseException"}\n', "without scope and name"),
    (line("x", more="y" * 20000), "over 16384 bytes"), (line("short", bytes=7), "in Rucio it has 7"),
    (b" " * (65 << 20), "over 67108864 bytes")], ids=lambda v: v[:40] if isinstance(v, str) else "")
def test_lists_that_cannot_be_are_refused(bench, files, word):
    with serving(Bad, plan=served(files, lambda s: [s.url + "/data"])) as server:
        _, err = bench.run("echo ran >&2", event("set"), config(server.url), status=66)
    assert word in err and "ran\n" not in err, err


def test_a_long_list_is_read_in_pieces(bench):
    files = b"".join(line(f"f{n:04}", pad="p" * (n * 5)) for n in range(100)).rstrip(b"\n")
    with serving(Bad, plan=served(files, lambda s: [s.url + "/data"])) as server:
        out, _ = bench.run('ls "$INPUT_FILE_PATH" | wc -l', event("set"), config(server.url))
    assert out == b"100\n"


def test_the_token_goes_where_it_belongs(bench):
    """A storage element gets it when it can read it, unless the address is signed; redirects and other places do not."""
    with serving(Bad, plan=lambda h: h.answer(200, b"1")) as pool:
        with serving(Bad, plan=lambda h: h.answer(307, Location=pool.url + "/pool")) as door:
            for token, path, expect in [(JWT, "/data", f"Bearer {JWT}"), (JWT, "/data?X-Amz-Signature=s", None),
                                        ("plain-token", "/data", None)]:
                for seen in (pool.seen, door.seen):
                    seen.clear()
                with serving(Bad, plan=served(line("one"), lambda s: [door.url + path])) as server:
                    bench.run("true", event("one"), config(server.url, access_token=token))
                assert door.seen[0][0] == path and door.seen[0][1].get("Authorization") == expect
                assert pool.seen and not any("Authorization" in head for _, head in pool.seen)
                assert not any("X-Rucio-Auth-Token" in head for _, head in pool.seen + door.seen)


def test_addresses_of_other_kinds_are_told(bench):
    with serving(Bad, plan=served(line("one"), lambda s: ["root://a//b", "gsiftp://c/d"])) as server:
        _, err = bench.run("true", event("one"), config(server.url), status=66)
    assert "none of its 2 replicas is reached by https or davs" in err


def test_a_server_that_is_busy_is_asked_again(bench):
    def plan(h):
        if len(h.server.seen) % 2:
            h.answer(503)
        else:
            served(line("one"), lambda s: [s.url + "/data"])(h)
    with serving(Bad, plan=plan) as server:
        out, err = bench.run('cat "$INPUT_FILE_PATH"', event("one"), config(server.url))
    assert out == b"1" and "trying again" in err
