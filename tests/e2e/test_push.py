"""Sending images to registries: push, append, and who we are to them."""
import base64
import gzip
import hashlib
import http.server
import json
import os
import re
import stat
import subprocess
import threading

import pytest
import requests
from conftest import OSCAR, PASSWORD, USER, run_cli
from oci import MANIFEST, Image, Registry, layout, sha, take_in, tar_of, zstd
from test_oci import registry, image  # noqa: F401


@pytest.fixture(scope="module")
def home(daemon, tmp_path_factory):
    """A Docker configuration that knows our own registry."""
    folder = tmp_path_factory.mktemp("docker")
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {ours(daemon): {"auth": login}}}))
    return folder


def ours(daemon):
    return daemon.api.removeprefix("http://")


@pytest.fixture
def oscar(daemon, home, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(home))
    return lambda *args, **kw: run_cli(daemon, *args, **kw)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "run.sh"
    path.write_text("#!/bin/sh\necho appended\n")
    path.chmod(0o750)
    return path


def get(host, path, **kw):
    return requests.get(f"http://{host}/v2/{path}", headers={"Accept": MANIFEST}, timeout=60, **kw)


def test_a_layer_is_put_on_and_the_base_stays_where_it_is(oscar, registry, image, script):
    base = f"{registry.host}/lab/tool:1"
    same = json.loads(oscar("image", "append", base, f"{registry.host}/lab/tool:2", "--file", f"{script}:/app/run.sh",
                            "-o", "json").stdout)
    assert (same["mounted"], same["copied"]) == (0, 0) and same["sent_bytes"] < 10000
    other = json.loads(oscar("image", "append", base, f"{registry.host}/lab/mine:2", "-f", f"{script}:/app/run.sh",
                             "--entrypoint", "/bin/sh", "--entrypoint", "/app/run.sh", "-o", "json").stdout)
    assert (other["mounted"], other["copied"]) == (2, 0) and other["layer"] == same["layer"]
    manifest = get(registry.host, "lab/mine/manifests/2").json()
    old = json.loads(image.manifest)
    assert manifest["layers"][:2] == old["layers"] and manifest["mediaType"] == old["mediaType"]
    assert manifest["layers"][2]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    config = get(registry.host, "lab/mine/blobs/" + manifest["config"]["digest"]).json()
    assert config["config"]["Entrypoint"] == ["/bin/sh", "/app/run.sh"] and "Cmd" not in config["config"]
    assert config["config"]["Env"] == json.loads(image.config)["config"]["Env"]
    assert len(config["rootfs"]["diff_ids"]) == 3
    # Once more: the same digest.
    os.utime(script, (1, 1))
    again = json.loads(oscar("image", "append", base, f"{registry.host}/lab/tool:3", "-f", f"{script}:/app/run.sh",
                             "-o", "json").stdout)
    assert again["digest"] == same["digest"]
    kept = get(registry.host, "lab/tool/blobs/" + get(registry.host, "lab/tool/manifests/3").json()["config"]["digest"])
    assert kept.json()["config"]["Cmd"] == ["/bin/sh"] and "Entrypoint" not in kept.json()["config"]


def test_from_another_registry_into_ours_and_used(daemon, oscar, registry, script):
    made = json.loads(oscar("image", "append", f"{registry.host}/lab/tool:1", f"{ours(daemon)}/lab/mine:1",
                            "-f", f"{script}:/app/run.sh", "-o", "json").stdout)
    assert (made["mounted"], made["copied"]) == (0, 2)
    mount = json.loads(oscar("image", "append", f"{ours(daemon)}/lab/mine:1", f"{ours(daemon)}/lab/more:1",
                             "-f", f"{script}:/app/more.sh", "-o", "json").stdout)
    assert (mount["mounted"], mount["copied"]) == (3, 0)
    daemon.create("appended", "/app/run.sh; cat /data/kept", image="lab/more:1")
    daemon.put("appended", "in/f", b"x")
    job = daemon.settled("appended", 1)[0]
    assert daemon.joblog(job["name"]) == "appended\nagain\n", job
    daemon.call("DELETE", "/system/services/appended", 204)


def test_history_and_dockers_forms_are_kept(oscar, registry, image, script, tmp_path):
    old = json.loads(image.config)
    old["history"] = [{"created_by": "one"}, {"created_by": "two"}]
    docker = Image(image.layers, pack=lambda i, data: gzip.compress(data, mtime=0))
    docker.blobs.pop("sha256:" + hashlib.sha256(docker.config).hexdigest())
    config = docker.add(json.dumps(old).encode(), "application/vnd.docker.container.image.v1+json")
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    text = json.loads(docker.manifest)
    for layer in text["layers"]:
        layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    docker.manifest = json.dumps(dict(text, mediaType=kind, config=config)).encode()
    for digest, data in docker.blobs.items():
        where = requests.post(f"http://{registry.host}/v2/lab/docker/blobs/uploads/").headers["Location"]
        assert requests.put(where + "&digest=" + digest, data=data).status_code == 201
    put = requests.put(f"http://{registry.host}/v2/lab/docker/manifests/1", data=docker.manifest,
                       headers={"Content-Type": kind})
    assert put.status_code == 201, put.text
    oscar("image", "append", f"{registry.host}/lab/docker:1", f"{registry.host}/lab/docker:2", "-f", f"{script}:/x")
    new = requests.get(f"http://{registry.host}/v2/lab/docker/manifests/2", headers={"Accept": kind})
    assert new.headers["Content-Type"] == kind
    assert new.json()["layers"][2]["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar.gzip"
    config = get(registry.host, "lab/docker/blobs/" + new.json()["config"]["digest"]).json()
    assert len(config["history"]) == 3 and config["history"][2]["created_by"] == "oscar image append"


def test_what_is_wrong_is_said(daemon, oscar, registry, script):
    def fails(code, *args):
        done = oscar("image", "append", *args, check=False)
        assert done.returncode == code, done
        return done.stderr
    one = f"{registry.host}/lab/tool:1"
    assert "404" in fails(3, f"{registry.host}/lab/none:1", f"{registry.host}/lab/x:1", "-f", f"{script}:/x")
    assert "SRC:DST" in fails(2, one, f"{registry.host}/lab/x:1", "-f", f"{script}:x")
    assert "SRC:DST" in fails(2, one, f"{registry.host}/lab/x:1")
    assert "two files" in fails(1, one, f"{registry.host}/lab/x:1", "-f", f"{script}:/x", "-f", f"{script}:/x")
    fails(3, one, f"{registry.host}/lab/x:1", "-f", "/nonexistent:/x")
    assert requests.get(f"http://{registry.host}/v2/lab/x/tags/list").status_code == 404


def test_an_image_of_ours_is_pushed_once(daemon, oscar, registry):
    image = Image([tar_of(("file", os.urandom(20000)))])
    take_in(daemon, layout((image, {})), "lab/here:1")
    to = f"{registry.host}/up/here:1"
    first = json.loads(oscar("image", "push", "lab/here:1", to, "-o", "json").stdout)
    assert first["digest"] == image.digest and first["transferred"] > 20000 and first["blobs"] == 2
    assert get(registry.host, "up/here/manifests/1").content == image.manifest
    again = json.loads(oscar("image", "push", "lab/here:1", to, "-o", "json").stdout)
    assert again["transferred"] == 0
    assert oscar("image", "push", "lab/none:1", to, check=False).returncode == 3


@pytest.mark.parametrize("pack", [lambda tar: tar, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_a_root_file_system_is_an_image_of_one_layer(daemon, oscar, registry, pack):
    tar = tar_of(("etc/x", b"x"), ("bin/tool", b"#!/bin/sh\n"))
    name, to = f"lab/plain-{len(pack(tar))}:1", f"{registry.host}/up/plain:1"
    made = take_in(daemon, pack(tar), name).json()
    assert json.loads(oscar("image", "push", name, to, "-o", "json").stdout)["digest"] == made["digest"]
    manifest = get(registry.host, "up/plain/manifests/1").json()
    assert [layer["mediaType"].rsplit("+")[-1] for layer in manifest["layers"]] == ["gzip"]
    blob = get(registry.host, f"up/plain/blobs/{manifest['layers'][0]['digest']}").content
    assert gzip.decompress(blob) == tar  # whatever it was packed with
    config = get(registry.host, f"up/plain/blobs/{manifest['config']['digest']}").json()
    assert config["rootfs"]["diff_ids"] == [sha(tar)] and config["os"] == "linux"
    checked = subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{to}"], capture_output=True, text=True)
    assert checked.returncode == 0 and json.loads(checked.stdout)["Digest"] == made["digest"], checked.stderr


def test_an_empty_archive_is_no_image(daemon):
    assert "empty" in take_in(daemon, tar_of(), "lab/nothing:1", 400).text


def test_user_and_password_of_a_registry_that_wants_them(daemon, home, tmp_path, monkeypatch, script):
    """By the file, and by a credential helper that the file names."""
    locked = Registry(tmp_path, auth=True)
    try:
        image = Image([tar_of(("file", b"x"))])
        take_in(daemon, layout((image, {})), "lab/locked:1")
        to = f"{locked.host}/lab/locked:1"
        assert run_cli(daemon, "image", "push", "lab/locked:1", to, check=False).returncode == 4
        helper = tmp_path / "docker-credential-lab"
        helper.write_text("#!/bin/sh\nread -r where\n"
                          f'[ "$1" = get ] && [ "$where" = "{locked.host}" ] || exit 1\n'
                          'echo "{\\"ServerURL\\":\\"$where\\",\\"Username\\":\\"ana\\",\\"Secret\\":\\"secret\\"}"\n')
        helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {locked.host: "lab"}}))
        assert run_cli(daemon, "image", "push", "lab/locked:1", to).returncode == 0
        run_cli(daemon, "image", "append", to, f"{locked.host}/lab/locked:2", "-f", f"{script}:/x")
        (tmp_path / "config.json").write_text(json.dumps({"credsStore": "nosuch"}))
        done = run_cli(daemon, "image", "push", "lab/locked:1", to, check=False)
        assert done.returncode != 0 and "docker-credential-nosuch" in done.stderr
        (tmp_path / "config.json").write_text(json.dumps({"credsStore": "../x"}))
        assert "proper" in run_cli(daemon, "image", "push", "lab/locked:1", to, check=False).stderr
    finally:
        locked.close()


class Narrow(http.server.BaseHTTPRequestHandler):
    """A registry behind a proxy that takes no large bodies: blobs come in pieces or not at all."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_HEAD(self):
        self.answer(404)

    def do_POST(self):
        self.server.data = b""
        self.answer(202, Location="/v2/x/blobs/uploads/1?state=a")

    def do_PATCH(self):
        piece = self.body()
        first, last = map(int, self.headers["Content-Range"].split("-"))
        assert first == len(self.server.data) and last == first + len(piece) - 1
        self.server.data += piece
        self.answer(202, Location="/v2/x/blobs/uploads/1?state=b")

    def do_PUT(self):
        piece = self.body()
        if "/manifests/" in self.path:
            self.server.manifest = piece
        elif len(piece) > 0:
            return self.answer(413)
        else:
            self.server.blobs[re.search("digest=(.*)", self.path).group(1)] = self.server.data
        self.answer(201)


def test_a_registry_that_wants_pieces(daemon, oscar):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Narrow)
    server.blobs, server.data = {}, b""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        image = Image([tar_of(("file", os.urandom((16 << 20) + 5)))])
        take_in(daemon, layout((image, {})), "lab/narrow:1")
        oscar("image", "push", "lab/narrow:1", f"127.0.0.1:{server.server_port}/x:1")
        assert server.manifest == image.manifest and server.blobs == image.blobs
    finally:
        server.shutdown()
        server.server_close()


def test_the_store_as_people_look_at_it(daemon, oscar, tmp_path):
    base = tar_of(("base", os.urandom(50000)))
    for name in ("one", "two"):
        take_in(daemon, layout((Image([base, tar_of((name, name.encode() * 1000))], User="ana"), {})), f"du/{name}:1")
    rows = {r["name"]: r for r in json.loads(oscar("image", "du", "-o", "json").stdout)}
    for name in ("du/one:1", "du/two:1"):
        assert 50000 < rows[name]["shared_bytes"] < 70000 and 3000 < rows[name]["own_bytes"] < 20000
    assert "user: ana" in oscar("image", "inspect", "du/one:1").stdout
    piped = layout((Image([tar_of(("piped", b"x"))]), {}))
    (tmp_path / "piped.tar").write_bytes(piped)
    with open(tmp_path / "piped.tar", "rb") as archive:
        subprocess.run([str(OSCAR), "image", "import", "-", "du/piped:1"], stdin=archive, check=True,
                       env=dict(os.environ, OSCAR_ENDPOINT=daemon.api, OSCAR_USERNAME=USER, OSCAR_PASSWORD=PASSWORD))
    oscar("image", "rm", "du/one:1", "du/two:1", "du/piped:1")
    assert oscar("image", "inspect", "du/one:1", check=False).returncode == 3
    assert "0 manifests" in oscar("image", "prune").stdout
