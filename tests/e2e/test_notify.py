"""Bucket notifications of the real daemon: nothing is lost by kill -9, by a target that is away, or by a restart."""
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests
from conftest import free_port, run_cli, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from hook import Hook  # noqa: E402


def set_target(d, kind, name, **settings):
    return d.call("PUT", f"/system/targets/{kind}/{name}", 200, json=settings).json()


def set_rules(d, bucket, kind, name, *events, prefix=""):
    d.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [
        {"QueueArn": f"arn:minio:sqs::{name}:{kind}", "Events": list(events or ["s3:ObjectCreated:*"]),
         "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}}]})


def state(d, kind, name):
    return d.call("GET", f"/system/targets/{kind}/{name}", 200).json()


def keys_of(records):
    return [r["s3"]["object"]["key"] for r in records]


def test_nothing_is_lost_by_kill_9(fresh):
    """The target is away; the daemon is killed under load; each acknowledged object's event arrives, in order."""
    port = free_port()
    fresh.s3.create_bucket(Bucket="photos")
    set_target(fresh, "webhook", "w", endpoint=f"http://127.0.0.1:{port}/")
    set_rules(fresh, "photos", "webhook", "w")
    acknowledged, lock, stop = {}, threading.Lock(), threading.Event()

    def load(n):
        link = requests.Session()
        url = fresh.s3.generate_presigned_url("put_object", {"Bucket": "photos", "Key": f"k{n}"})
        for i in range(1, 10000):
            try:
                answer = link.put(url, data=b"x" * i, timeout=10)
            except requests.RequestException:
                return
            if answer.status_code != 200 or stop.is_set():
                return
            with lock:
                acknowledged[f"k{n}"] = i
    hook = None
    for life in range(3):
        stop.clear()
        threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        before = sum(acknowledged.values())
        wait_for("some puts", lambda: sum(acknowledged.values()) > before + 20 or not any(
            t.is_alive() for t in threads))
        if life == 2:  # the target is there in the last life, and delivery is interrupted as well
            hook = Hook(port)
            wait_for("some events", lambda: len(hook.posts) > 5)
        fresh.kill()
        stop.set()
        for t in threads:
            t.join()
        acknowledged_now = dict(acknowledged)
        assert sum(acknowledged_now.values()) > before
        fresh.start()
    heard = {}
    try:
        def all_there():
            heard.clear()
            for r in hook.records():
                o = r["s3"]["object"]
                heard.setdefault(o["key"], []).append((o["sequencer"], o["size"]))
            return all(heard.get(k) and max(s for _, s in heard[k]) >= size for k, size in acknowledged_now.items())
        wait_for("every event", all_there, 60)
        wait_for("an empty queue", lambda: state(fresh, "webhook", "w")["waiting"] == 0)
        all_there()
        for key, list_ in heard.items():
            once = list(dict.fromkeys(list_))  # at least once: an event may come again
            assert once == sorted(once), f"{key} out of order"
            sizes = [s for _, s in once]
            # Each life starts at one byte again; what was acknowledged in between is there without a gap.
            assert all(b == a + 1 or b == 1 for a, b in zip(sizes, sizes[1:])), f"{key}: {sizes}"
    finally:
        hook.close()


def test_dead_letters(fresh):
    port = free_port()
    fresh.s3.create_bucket(Bucket="photos")
    run_cli(fresh, "target", "set", "webhook", "w", f"endpoint=http://127.0.0.1:{port}/", "retry_attempts=2",
            "auth_token=-", input="very-secret\n")
    set_rules(fresh, "photos", "webhook", "w")
    for key in ("a", "b"):
        fresh.put("photos", key, b"x")
    wait_for("dead letters", lambda: state(fresh, "webhook", "w")["dead"] == 2)
    listing = run_cli(fresh, "target", "list").stdout
    assert "arn:minio:sqs:us-east-1:w:webhook" in listing and "very-secret" not in listing
    assert "very-secret" not in fresh.call("GET", "/system/targets", 200).text
    dead = json.loads(run_cli(fresh, "target", "dead", "webhook", "w", "-o", "json").stdout)
    assert keys_of(e["record"]["Records"][0] for e in dead) == ["a", "b"]
    assert dead[0]["attempts"] == 2 and dead[0]["reason"]
    hook = Hook(port)
    try:
        run_cli(fresh, "target", "redrive", "webhook", "w", str(dead[0]["id"]))
        wait_for("the event", lambda: hook.posts)
        assert keys_of(hook.records()) == ["a"]
        assert hook.posts[0][0]["Authorization"] == "Bearer very-secret"
        assert "1 events dropped" in run_cli(fresh, "target", "drop", "webhook", "w").stdout
        wait_for("nothing left", lambda: state(fresh, "webhook", "w")["dead"] == 0)
        assert run_cli(fresh, "target", "remove", "webhook", "w", check=False).returncode != 0  # rules name it
        assert "very-secret" not in (pathlib.Path(fresh.data) / "daemon.log").read_text()
    finally:
        hook.close()


def test_queue_of_our_own(daemon):
    d = daemon
    d.s3.create_bucket(Bucket="inbox")
    for name in ("ana", "ben"):
        d.call("POST", "/system/users", 201, json={"name": name, "password": name + "-password"})
    set_target(d, "queue", "mine", users="ana, carl")
    set_rules(d, "inbox", "queue", "mine", "s3:ObjectCreated:*", "s3:ObjectRemoved:*")
    read = lambda **q: d.call("GET", "/system/queues/mine", 200, params=q).json()  # noqa: E731
    assert read() == {"events": [], "last": 0}
    got = {}

    def wait_on():
        got["answer"] = read(wait=30)
        got["at"] = time.monotonic()
    reader = threading.Thread(target=wait_on)
    reader.start()
    assert read(wait=1)["events"] == []  # another one, whose time is over first
    d.put("inbox", "a", b"x")
    put_at = time.monotonic()
    reader.join()
    assert keys_of(e["record"]["Records"][0] for e in got["answer"]["events"]) == ["a"]
    assert got["at"] - put_at < 1
    d.s3.delete_object(Bucket="inbox", Key="a")
    both = read()["events"]
    assert [e["record"]["EventName"] for e in both] == ["s3:ObjectCreated:Put", "s3:ObjectRemoved:Delete"]
    assert read(after=both[0]["id"])["events"] == both[1:]
    assert d.call("DELETE", "/system/queues/mine", 200, params={"through": both[0]["id"]}).json() == {"events": 1}
    assert read()["events"] == both[1:]
    ask = lambda who: requests.get(d.api + "/system/queues/mine", auth=(who, who + "-password"), timeout=30)  # noqa: E731
    assert ask("ana").status_code == 200, ask("ana").text
    assert ask("ana").json()["events"] == both[1:]
    assert ask("ben").status_code == 403
    assert requests.get(d.api + "/system/targets", auth=("ana", "ana-password"), timeout=30).status_code == 403
    line = run_cli(d, "queue", "read", "mine").stdout
    assert json.loads(line)["id"] == both[1]["id"]
    assert "1 events taken" in run_cli(d, "queue", "take", "mine", str(both[1]["id"])).stdout
    assert read() == {"events": [], "last": 0}
    d.call("GET", "/system/queues/nobody", 404)
    d.call("DELETE", "/system/queues/mine", 400)
    d.call("PUT", "/system/targets/queue/mine", 400, json={"queue_limit": "many"})


def test_tls(fresh, tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    shutil.copy(cert, pathlib.Path(fresh.data) / "hook.pem")
    (pathlib.Path(fresh.data) / "hook.pem").chmod(0o644)
    hook = Hook(certificate=(cert, key))
    try:
        fresh.s3.create_bucket(Bucket="photos")
        set_target(fresh, "webhook", "w", endpoint=hook.url)
        set_rules(fresh, "photos", "webhook", "w")
        fresh.put("photos", "a", b"x")
        wait_for("a fault", lambda: state(fresh, "webhook", "w")["fault"])  # nobody vouches for the certificate
        assert not hook.posts
        set_target(fresh, "webhook", "w", ca_file=f"{fresh.data}/hook.pem")
        wait_for("the event", lambda: hook.posts)
        assert keys_of(hook.records()) == ["a"]
    finally:
        hook.close()


class Nats:
    """A real nats-server, and as much of its protocol as a subscriber needs."""

    def __init__(self, folder, port=None):
        self.port = port or free_port()
        self.process = subprocess.Popen(["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", folder,
                                         "--user", "u", "--pass", "p"], stderr=subprocess.DEVNULL)
        self.link = wait_for("nats-server", self.connect)
        self.lines = self.link.makefile("rb")
        self.lines.readline()
        self.send('CONNECT {"verbose":false,"user":"u","pass":"p"}')

    def connect(self):
        try:
            return socket.create_connection(("127.0.0.1", self.port), 10)
        except OSError:
            return None

    def send(self, *lines):
        self.link.sendall("".join(line + "\r\n" for line in lines).encode())

    def message(self):
        while True:
            words = self.lines.readline().decode().split()
            assert words, "nats-server hung up"
            if words[0] == "PING":
                self.send("PONG")
            if words[0] == "MSG":
                body = self.lines.read(int(words[-1]) + 2)[:-2]
                return json.loads(body)

    def ask(self, subject, body):
        text = json.dumps(body)
        self.send("SUB answer 9", f"PUB {subject} answer {len(text)}", text)
        answer = self.message()
        self.send("UNSUB 9")
        return answer

    def close(self):
        self.link.close()
        self.process.terminate()
        self.process.wait()


@pytest.mark.skipif(not shutil.which("nats-server"), reason="nats-server is not here")
def test_nats(fresh, tmp_path):
    nats = Nats(tmp_path / "js")
    try:
        fresh.s3.create_bucket(Bucket="plain")
        fresh.s3.create_bucket(Bucket="stream")
        login = {"address": f"127.0.0.1:{nats.port}", "username": "u", "password": "p"}
        set_target(fresh, "nats", "bus", subject="files", **login)
        set_target(fresh, "nats", "js", subject="kept.files", jetstream="on", **login)
        set_rules(fresh, "plain", "nats", "bus")
        set_rules(fresh, "stream", "nats", "js")
        nats.send("SUB files 1", "PING")
        while nats.lines.readline() != b"PONG\r\n":
            pass
        for i in range(5):
            fresh.put("plain", "k", b"x" * (i + 1))
        assert [nats.message()["Records"][0]["s3"]["object"]["size"] for _ in range(5)] == [1, 2, 3, 4, 5]
        # There is no stream yet, so nobody acknowledges: the event waits until there is one.
        fresh.put("stream", "a", b"x")
        wait_for("a fault", lambda: state(fresh, "nats", "js")["fault"], 60)
        assert state(fresh, "nats", "js")["waiting"] == 1
        made = nats.ask("$JS.API.STREAM.CREATE.kept", {"name": "kept", "subjects": ["kept.*"]})
        assert made["config"]["name"] == "kept", made
        wait_for("delivery", lambda: state(fresh, "nats", "js")["waiting"] == 0, 60)
        assert nats.ask("$JS.API.STREAM.INFO.kept", {})["state"]["messages"] == 1
        # The server goes and comes back.
        port = nats.port
        nats.close()
        fresh.put("plain", "later", b"x")
        wait_for("a fault", lambda: state(fresh, "nats", "bus")["fault"])
        nats = Nats(tmp_path / "js", port)
        wait_for("delivery", lambda: state(fresh, "nats", "bus")["waiting"] == 0, 60)
    finally:
        nats.close()


def test_the_library_of_nats_is_loaded_when_needed(daemon):
    maps = pathlib.Path(f"/proc/{daemon.process.pid}/maps").read_text()
    assert "libnats" not in maps
