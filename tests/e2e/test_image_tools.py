"""Our registry and images among the programs that others wrote: each pushes to us what each pulls from us, and what we
make is checked by theirs. podman and buildah keep their store as plain folders, since there is no overlay in overlay."""
import base64
import io
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tarfile
import tempfile

import pytest
import requests
from conftest import PASSWORD, TOOLS, USER, run_cli, wait_for
from oci import Image, layout, program_files, sha, take_in, tar_of
from test_registry import runnable



class Place:
    """Where the tools keep their logins and stores."""

    def __init__(self, daemon, tmp):
        self.host = daemon.api.removeprefix("http://")
        self.tmp = tmp
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (tmp / "config.json").write_text(json.dumps({"auths": {self.host: {"auth": login}}}))
        (tmp / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        self.env = dict(os.environ, DOCKER_CONFIG=str(tmp), REGISTRY_AUTH_FILE=str(tmp / "config.json"),
                        TMPDIR=str(tmp), BUILDAH_ISOLATION="chroot")

    def run(self, *args, check=True):
        if not shutil.which(args[0]):
            pytest.skip(f"{args[0]} is not installed")
        done = subprocess.run(args, env=self.env, capture_output=True, text=True, timeout=240, check=False)
        assert not check or done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return done

    def store(self, program, *args):
        options = ["--root", f"{self.tmp}/store", "--runroot", f"{self.tmp}/run", "--storage-driver", "vfs"]
        return self.run(program, *options, *args)

    def crane(self, *args):
        program = TOOLS / "crane" / "crane"
        if not program.exists():
            pytest.skip("tools/setup could not build crane")
        return self.run(program, *args, "--insecure")

    # Each tool: an OCI layout on disk to a reference, and back.
    def skopeo_push(self, where, to):
        self.run("skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", f"oci:{where}:x", f"docker://{to}")

    def skopeo_pull(self, ref, where):
        self.run("skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", f"docker://{ref}", f"oci:{where}:x")

    def crane_push(self, where, to):
        self.crane("push", str(where), to)

    def crane_pull(self, ref, where):
        self.crane("pull", "--format", "oci", ref, str(where))

    def podman_push(self, where, to):
        self.store("podman", "pull", "-q", f"oci:{where}:x")
        image = self.store("podman", "images", "-q").stdout.split()[0]
        self.store("podman", "push", "-q", "--tls-verify=false", image, to)
        self.store("podman", "rmi", "-f", image)

    def podman_pull(self, ref, where):
        self.store("podman", "pull", "-q", "--tls-verify=false", ref)
        self.store("podman", "push", "-q", ref, f"oci:{where}:x")
        self.store("podman", "rmi", "-f", ref)

    def buildah_push(self, where, to):
        image = self.store("buildah", "pull", "-q", f"oci:{where}:x").stdout.split()[-1]
        self.store("buildah", "push", "-q", "--tls-verify=false", image, f"docker://{to}")
        self.store("buildah", "rmi", "-f", image)

    def buildah_pull(self, ref, where):
        self.store("buildah", "pull", "-q", "--tls-verify=false", ref)
        self.store("buildah", "push", "-q", ref, f"oci:{where}:x")
        self.store("buildah", "rmi", "-f", ref)


@pytest.fixture(scope="module")
def place(daemon):
    with tempfile.TemporaryDirectory(prefix="tools-", dir="/tmp") as tmp:  # podman takes no long path
        yield Place(daemon, pathlib.Path(tmp))


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """An OCI layout with one runnable image, tagged x."""
    where = tmp_path_factory.mktemp("layout") / "oci"
    image = runnable()
    with tarfile.open(fileobj=io.BytesIO(layout((image, {"annotations": {
            "org.opencontainers.image.ref.name": "x"}})))) as tar:
        tar.extractall(where)
    return where, image


def files_of(where):
    """What an OCI layout's only image says of its layers."""
    index = json.loads((where / "index.json").read_text())
    blob = lambda d: (where / "blobs/sha256" / d["digest"][7:]).read_bytes()  # noqa: E731
    config = json.loads(blob(json.loads(blob(index["manifests"][0]))["config"]))
    return config["rootfs"]["diff_ids"]


@pytest.mark.parametrize("tool", ["skopeo", "crane", "podman", "buildah"])
def test_pushed_by_one_and_pulled_by_it(daemon, place, on_disk, tool, tmp_path):
    where, image = on_disk
    to = f"{place.host}/tools/{tool}:1"
    getattr(place, tool + "_push")(where, to)
    getattr(place, tool + "_pull")(to, tmp_path / "back")
    assert files_of(tmp_path / "back") == [sha(layer) for layer in image.layers]
    # What came by that tool runs here.
    daemon.create(tool, "cat /word", image=f"tools/{tool}:1")
    daemon.put(tool, "in/f", b"x")
    assert daemon.settled(tool, 1)[0]["state"] == "succeeded"
    daemon.call("DELETE", f"/system/services/{tool}", 204)


@pytest.mark.parametrize("tool", ["skopeo", "crane", "podman", "buildah"])
def test_appended_by_us_and_pulled_by_others(daemon, place, on_disk, tool, tmp_path, monkeypatch):
    where, image = on_disk
    monkeypatch.setenv("DOCKER_CONFIG", str(place.tmp))
    base, new = f"{place.host}/tools/base:1", f"{place.host}/tools/new-{tool}:1"
    place.skopeo_push(where, base)
    (tmp_path / "f").write_text("appended")
    run_cli(daemon, "image", "append", base, new, "-f", f"{tmp_path}/f:/app/f")
    getattr(place, tool + "_pull")(new, tmp_path / "back")
    assert len(files_of(tmp_path / "back")) == 2
    if tool == "skopeo":
        assert "linux" in place.run("skopeo", "inspect", "--tls-verify=false", f"docker://{new}").stdout
    if tool == "crane":
        assert "PASS" in place.crane("validate", "--remote", new).stderr + place.crane("validate", "--remote", new).stdout


def test_umoci_unpacks_what_we_appended(daemon, place, on_disk, tmp_path, monkeypatch):
    where, _ = on_disk
    monkeypatch.setenv("DOCKER_CONFIG", str(place.tmp))
    place.skopeo_push(where, f"{place.host}/tools/umoci:1")
    (tmp_path / "f").write_text("appended")
    run_cli(daemon, "image", "append", f"{place.host}/tools/umoci:1", f"{place.host}/tools/umoci:2",
            "-f", f"{tmp_path}/f:/app/f", "--entrypoint", "/app/f")
    place.skopeo_pull(f"{place.host}/tools/umoci:2", tmp_path / "oci")
    place.run("umoci", "unpack", "--image", f"{tmp_path}/oci:x", str(tmp_path / "bundle"))
    root = tmp_path / "bundle/rootfs"
    assert (root / "app/f").read_text() == "appended" and (root / "word").exists()
    assert json.loads((tmp_path / "bundle/config.json").read_text())["process"]["args"][0] == "/app/f"


def test_between_docker_registry_and_ours(daemon, place, on_disk, registry):
    place.skopeo_push(on_disk[0], f"{registry.host}/lab/x:1")
    place.run("skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false",
              f"docker://{registry.host}/lab/x:1", f"docker://{place.host}/tools/over:1")
    run_cli(daemon, "image", "push", "tools/over:1", f"{registry.host}/lab/back:1")
    run_cli(daemon, "image", "pull", "--name", "tools/again:1", f"{registry.host}/lab/back:1")
    crane = place.crane("digest", f"{place.host}/tools/again:1").stdout.strip()
    assert crane == place.crane("digest", f"{registry.host}/lab/x:1").stdout.strip()
    place.crane("validate", "--remote", f"{registry.host}/lab/back:1")


def test_what_was_a_root_file_system_is_valid(daemon, place, registry):
    take_in(daemon, tar_of(("etc/x", b"x"), ("bin", None)), "lab/plain:1")
    run_cli(daemon, "image", "push", "lab/plain:1", f"{registry.host}/lab/plain:1")
    for ref in (f"{registry.host}/lab/plain:1", f"{place.host}/lab/plain:1"):
        done = place.crane("validate", "--remote", ref)
        assert "PASS" in done.stdout + done.stderr


@pytest.mark.parametrize("tool", ["skopeo", "crane", "podman", "buildah"])
def test_what_a_tool_left_in_docker_registry_is_pulled_pushed_and_appended_by_us(daemon, place, on_disk, registry, tool,
                                                                                tmp_path):
    where, image = on_disk
    ref = f"{registry.host}/lab/{tool}"
    getattr(place, tool + "_push")(where, f"{ref}:theirs")
    run_cli(daemon, "image", "pull", "--name", f"over/{tool}:1", f"{ref}:theirs")
    run_cli(daemon, "image", "push", f"over/{tool}:1", f"{ref}:ours")
    (tmp_path / "f").write_text("appended")
    run_cli(daemon, "image", "append", f"{ref}:theirs", f"{ref}:more", "-f", f"{tmp_path}/f:/app/f")
    for tag, layers in (("ours", 0), ("more", 1)):
        getattr(place, tool + "_pull")(f"{ref}:{tag}", tmp_path / tag)
        kept = files_of(tmp_path / tag)
        assert kept[:len(image.layers)] == [sha(layer) for layer in image.layers], tag
        assert len(kept) == len(image.layers) + layers, tag


def test_what_umoci_made_is_imported_pushed_and_unpacked_by_it_again(daemon, place, on_disk, registry, tmp_path):
    shutil.copytree(on_disk[0], tmp_path / "oci")
    (tmp_path / "f").write_text("by umoci")
    place.run("umoci", "insert", "--image", f"{tmp_path}/oci:x", str(tmp_path / "f"), "/inserted")
    run_cli(daemon, "image", "import", str(tmp_path / "oci"), "over/umoci:1")
    run_cli(daemon, "image", "push", "over/umoci:1", f"{registry.host}/lab/umoci:1")
    place.skopeo_pull(f"{registry.host}/lab/umoci:1", tmp_path / "back")
    place.run("umoci", "unpack", "--image", f"{tmp_path}/back:x", str(tmp_path / "bundle"))
    assert (tmp_path / "bundle/rootfs/inserted").read_text() == "by umoci"


def test_what_crane_appended_is_taken(daemon, place, on_disk, registry, tmp_path):
    (tmp_path / "layer.tar").write_bytes(tar_of(("more", b"by crane\n")))
    for host in (place.host, registry.host):
        place.crane_push(on_disk[0], f"{host}/tools/below:1")
        place.crane("append", "-b", f"{host}/tools/below:1", "-f", str(tmp_path / "layer.tar"), "-t",
                    f"{host}/tools/above:1")
    run_cli(daemon, "image", "pull", "--name", "over/crane-append:1", f"{registry.host}/tools/above:1")
    for name, image in (("here", "tools/above:1"), ("there", "over/crane-append:1")):
        daemon.create(name, "cat /more", image=image)
        daemon.put(name, "in/f", b"x")
        job = daemon.settled(name, 1)[0]
        assert job["state"] == "succeeded" and daemon.joblog(job["name"]) == "by crane\n"
        daemon.call("DELETE", f"/system/services/{name}", 204)


def test_crane_copies_lists_and_deletes(place, on_disk):
    where, image = on_disk
    ref = f"{place.host}/tools/many"
    place.crane_push(where, f"{ref}:a")
    place.crane("tag", f"{ref}:a", "b")
    place.crane("copy", f"{ref}:a", f"{place.host}/tools/copied:1")  # mounts
    assert place.crane("ls", ref).stdout.split() == ["a", "b"]
    assert "tools/copied" in place.crane("catalog", place.host).stdout.split()
    place.crane("delete", f"{ref}@{image.digest}")
    place.run("skopeo", "delete", "--tls-verify=false", f"docker://{place.host}/tools/copied:1")
    assert image.digest not in place.crane("catalog", place.host).stdout


def test_an_image_is_built_by_buildah(daemon, place, on_disk, tmp_path, monkeypatch):
    if not shutil.which("buildah"):
        pytest.skip("buildah is not installed")
    (tmp_path / "hello").write_text("built\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY hello /hello\nENV WORD=built\n")
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STORAGE_DRIVER", "vfs")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    run_cli(daemon, "image", "build", "-t", "tools/built:1", str(tmp_path))
    assert "WORD=built" in run_cli(daemon, "image", "inspect", "tools/built:1").stdout
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run_cli(daemon, "image", "build", "-t", "tools/built:2", str(tmp_path), check=False)
    assert done.returncode == 3 and "apt-get install buildah" in done.stderr


def sif(squashfs, arch=b"02", kind=1):
    """The image that Apptainer would write around a squashfs: header, one descriptor, the file system."""
    offset, table = 4096, 128
    head = b"#!/usr/bin/env run-singularity\n".ljust(32, b"\0") + b"SIF_MAGIC\0" + b"01\0" + arch + b"\0" + bytes(16)
    head += struct.pack("<8q", 0, 0, 0, 1, table, 585, offset, len(squashfs))
    extra = struct.pack("<2i", kind, 2) + arch + b"\0"
    entry = struct.pack("<i?IIIqqqqqqq", 0x4004, True, 1, 1, 0, offset, len(squashfs), len(squashfs), 0, 0, 0, 0)
    return (head + entry + b"squash".ljust(128, b"\0") + extra.ljust(384, b"\0")).ljust(offset, b"\0") + squashfs


def test_a_sif_image_is_taken(daemon, tmp_path, monkeypatch):
    if not shutil.which("mksquashfs"):
        pytest.skip("squashfs-tools is not installed")
    root = tmp_path / "root"
    for name in program_files("/bin/sh", "/bin/cat"):
        (root / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, root / name.lstrip("/"))
    (root / "word").write_text("from a sif\n")
    subprocess.run(["mksquashfs", str(root), str(tmp_path / "fs"), "-quiet", "-no-progress"], check=True)
    squashfs = (tmp_path / "fs").read_bytes()
    (tmp_path / "x.sif").write_bytes(sif(squashfs))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    run_cli(daemon, "image", "import", str(tmp_path / "x.sif"), "sif/x:1")
    daemon.create("sif", "cat /word", image="sif/x:1")
    daemon.put("sif", "in/f", b"x")
    job = daemon.settled("sif", 1)[0]
    assert daemon.joblog(job["name"]) == "from a sif\n"
    daemon.call("DELETE", "/system/services/sif", 204)
    for word, data in (("another machine", sif(squashfs, arch=b"04")), ("encrypted", sif(squashfs, kind=5)),
                       ("no squashfs", sif(squashfs, kind=2)), ("ends before", sif(squashfs)[:5000]),
                       ("ends within", sif(squashfs)[:400])):
        (tmp_path / "bad.sif").write_bytes(data)
        done = run_cli(daemon, "image", "import", str(tmp_path / "bad.sif"), "sif/bad:1", check=False)
        assert done.returncode == 1 and word in done.stderr, done.stderr
    assert not [p for p in tmp_path.glob("oscar-sif-*")]


def test_pruning_during_a_run_takes_nothing_from_it(daemon, place, on_disk):
    where, image = on_disk
    place.skopeo_push(where, f"{place.host}/tools/running:1")
    daemon.create("running", 'echo started; read -r _ < /mnt/never 2>/dev/null; i=0; while [ $i -lt 300000 ]; do '
                  'i=$((i+1)); done; cat /word', image="tools/running:1")
    daemon.put("running", "in/f", b"x")
    wait_for("the job", lambda: daemon.summary("running")["running"])
    digest = daemon.call("GET", "/system/services/running", 200).json()["image_digest"]
    answer = requests.delete(f"{daemon.api}/v2/tools/running/manifests/{digest}", auth=(USER, PASSWORD), timeout=30)
    assert answer.status_code == 202
    daemon.call("POST", "/system/images/prune?now=1&untagged=1", 200)
    job = daemon.settled("running", 1)[0]
    assert job["state"] == "succeeded" and "from the registry" in daemon.joblog(job["name"])
    daemon.call("DELETE", "/system/services/running", 204)


def test_the_digest_is_pinned_shown_and_kept_in_the_jobs(daemon):
    one, two = runnable(), Image(runnable().layers + [tar_of(("word", b"another one\n"))])
    take_in(daemon, layout((one, {})), "pin/x:1")
    daemon.create("pinned", "cat /word", image="pin/x:1")
    assert daemon.call("GET", "/system/services/pinned", 200).json()["image_digest"] == one.digest
    take_in(daemon, layout((two, {})), "pin/x:1")
    daemon.put("pinned", "in/f", b"x")
    job = daemon.detail(daemon.settled("pinned", 1)[0]["name"])
    assert job["image_digest"] == one.digest and job["image"] == "pin/x:1" and len(job["script_sha256"]) == 64
    assert "from the registry" in daemon.joblog(job["name"])
    daemon.call("DELETE", "/system/services/pinned", 204)
