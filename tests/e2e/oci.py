"""Images and registries for tests: images in memory, Debian's docker-registry, and one that does as a test plans."""
import hashlib
import http.server
import io
import json
import pathlib
import re
import subprocess
import tarfile
import threading

import requests
from conftest import free_port, wait_for

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

# "secret" by bcrypt with cost 4, the only form that docker-registry reads.
HTPASSWD = "$2b$04$I7VPSPFTThhSb1/Icke9KeSpryLdMgEu7UJlhIBmDngU/dEsbsI9K"


def program_files(*programs):
    """A program and the libraries that it needs, as the loader names them."""
    files = set()
    for p in programs:
        files.add(p)
        files.update(re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", p], capture_output=True, text=True).stdout))
    return sorted(files)


def add(tar, name, data=b"", mode=0o755, **attributes):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    for key, value in attributes.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(*entries):
    """Each entry: (name, bytes | None for a folder | "-> target" link | "= target" hard link)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, what in entries:
            if what is None:
                add(tar, name, type=tarfile.DIRTYPE)
            elif isinstance(what, str):
                kind = tarfile.SYMTYPE if what.startswith("-> ") else tarfile.LNKTYPE
                add(tar, name, type=kind, linkname=what.split(" ", 1)[1])
            else:
                add(tar, name, what)
    return out.getvalue()


def zstd(data):
    return subprocess.run(["zstd", "-q"], input=data, capture_output=True, check=True).stdout


def base_layer():
    files = [("." + f, pathlib.Path(f).resolve().read_bytes())
             for f in program_files("/bin/sh", "/bin/cat", "/bin/ls", "/usr/bin/id")]
    return tar_of(*files, ("./etc/low", b"low\n"), ("./data/gone", b"gone\n"), ("./data/kept", b"kept\n"),
                  ("./opaque/old", b"old\n"), ("./opaque/deep/old", b"old\n"), ("./was-folder/x", b"x"),
                  ("./app", None), ("./linked", b"linked\n"))


class Image:
    """An image in memory: its blobs by digest, its manifest."""

    def __init__(self, layers, pack=lambda i, data: data, arch="amd64", diff_ids=None, **config):
        self.blobs, entries = {}, []
        for i, layer in enumerate(layers):
            packed = pack(i, layer)
            suffix = {b"\x1f\x8b": "+gzip", b"\x28\xb5": "+zstd"}.get(packed[:2], "")
            entries.append(self.add(packed, LAYER + suffix))
        self.config = json.dumps({"architecture": arch, "os": "linux", "config": config, "rootfs": {
            "type": "layers", "diff_ids": diff_ids or [sha(layer) for layer in layers]}}).encode()
        self.layers = list(layers)
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                                    "config": self.add(self.config, CONFIG), "layers": entries}).encode()
        self.digest = sha(self.manifest)

    def add(self, data, media):
        self.blobs[sha(data)] = data
        return {"mediaType": media, "digest": sha(data), "size": len(data)}

    def descriptor(self, **more):
        return dict(mediaType=MANIFEST, digest=self.digest, size=len(self.manifest), **more)


def layout(*entries, extra=()):
    """The tar of an OCI layout: (image, fields of its descriptor)…; blobs before the index, as tar sorts them."""
    blobs, manifests = {}, []
    for image, fields in entries:
        blobs.update(image.blobs)
        blobs[image.digest] = image.manifest
        manifests.append(image.descriptor(**fields))
    manifests += extra
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
    return tar_of(("blobs/", None), ("blobs/sha256/", None),
                  *[("blobs/sha256/" + d[7:], data) for d, data in blobs.items()],
                  ("index.json", index), ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'))


def take_in(daemon, data, name, status=201, **kw):
    answer = daemon.call("POST", "/system/images/import", params={"name": name}, data=data, **kw)
    assert answer.status_code == status, answer.text
    return answer


def drop(daemon, *names):
    for n in names:
        daemon.call("DELETE", "/system/images/" + requests.utils.quote(n, safe=""), 204)
    assert not daemon.image_files()


def drop_all(daemon):
    names = [i["name"] for i in daemon.call("GET", "/system/images", 200).json() if i["name"] != "host"]
    drop(daemon, *names)


class Registry:
    def __init__(self, tmp, auth=False):
        self.host = f"127.0.0.1:{free_port()}"
        config = {"version": "0.1", "storage": {"filesystem": {"rootdirectory": str(tmp / "registry")}},
                  "http": {"addr": self.host}}
        if auth:
            (tmp / "htpasswd").write_text("ana:" + HTPASSWD + "\n")
            config["auth"] = {"htpasswd": {"realm": "lab", "path": str(tmp / "htpasswd")}}
        (tmp / "config.yml").write_text(json.dumps(config))
        self.log = open(tmp / "registry.log", "ab")
        self.process = subprocess.Popen(["docker-registry", "serve", str(tmp / "config.yml")], stdout=self.log,
                                        stderr=self.log)
        wait_for("the registry", self.answers)

    def answers(self):
        try:
            return requests.get(f"http://{self.host}/v2/", timeout=1).status_code in (200, 401)
        except requests.ConnectionError:
            return None

    def push(self, tmp, image, name, *options):
        with tarfile.open(fileobj=io.BytesIO(layout((image, {})))) as tar:
            tar.extractall(tmp / "push")
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", *options,
                        f"oci:{tmp}/push", f"docker://{self.host}/{name}"], check=True)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def pull(daemon, reference, status=201, **more):
    answer = daemon.call("POST", "/system/images/pull", json=dict(reference=reference, **more))
    assert answer.status_code == status, (answer.status_code, answer.text)
    return answer


def daemon_call(daemon, body):
    return requests.post(daemon.api + "/system/images/pull", json=body, auth=daemon.http.auth, timeout=60)


class Liar(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        self.server.plan(self)


class LyingRegistry(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, image, plan=None):
        super().__init__(("127.0.0.1", 0), Liar)
        self.image, self.seen, self.state = image, [], {}
        self.plan = plan or self.honest
        self.host = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def honest(self, h):
        if "/manifests/" in h.path:
            h.answer(200, self.image.manifest, Content_Type=MANIFEST)
            return
        data = self.image.blobs.get(h.path.rsplit("/", 1)[1])
        start = int(h.headers.get("Range", "bytes=0-")[6:-1])
        if data is None:
            h.answer(404)
        elif start:
            h.answer(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            h.answer(200, data)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.shutdown()
        self.server_close()
