#!/usr/bin/env python3
"""Images beside their peers, in one run: a line a figure.  usage: bench/images.py [append] [unpack] [many]

append: `oscar image append` against `crane append`, the same small layer onto bases of 10 MB and 1 GB, in the same
repository and into another (where the registry mounts), against docker-registry.
unpack: an image of about 200 MB of this machine's files: our registry unpacks it for a new service, bsdtar the same
layer into a folder, skopeo and umoci the same image; then a second image on the same base is pulled.
many: a layer of FILES files (10^6) of one byte in a hundred folders: brought in beside bsdtar, seen by a job, removed
beside rm while another image is brought in.

As root all of it happens on a fresh ext4 with a journal (a file, mounted), as a Debian has it. Without a journal ext4
looks at every inode that was freed in the last minutes before it gives one away, so that whoever runs after others
have cleaned up pays for them: five times as long was seen.
"""
import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402
import requests  # noqa: E402
import oci  # noqa: E402
import test_image_bad_input  # noqa: E402
from test_image_tools import crane_program  # noqa: E402

MB, LAYER = 1 << 20, 600_000


def timed(what, times=1, before=lambda: None):
    """The median of the wall times, in ms."""
    taken = []
    for _ in range(times):
        before()
        start = time.monotonic()
        what()
        taken.append((time.monotonic() - start) * 1000)
    return statistics.median(taken)


def run(*args, env=None):
    done = subprocess.run(args, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        sys.exit(f"{args}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def descriptor(data, media):
    return {"mediaType": media, "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}


def put_blob(host, repo, data):
    where = requests.post(f"http://{host}/v2/{repo}/blobs/uploads/", timeout=60).headers["Location"]
    where += ("&" if "?" in where else "?") + "digest=sha256:" + hashlib.sha256(data).hexdigest()
    assert requests.put(where, data=data, timeout=600).status_code == 201


def put_base(host, repo, megabytes):
    """An image of four layers without any order in their bytes. Of a tar only the first block matters here."""
    layers, ids = [], []
    for i in range(4):
        data = gzip.compress(oci.tar_of((f"f{i}", os.urandom(megabytes * MB // 4))), compresslevel=0, mtime=0)
        put_blob(host, repo, data)
        layers.append(descriptor(data, oci.LAYER + "+gzip"))
        ids.append("sha256:" + hashlib.sha256(gzip.decompress(data)).hexdigest())
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": ids}}).encode()
    put_blob(host, repo, config)
    manifest = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": descriptor(config, oci.CONFIG),
                "layers": layers}
    answer = requests.put(f"http://{host}/v2/{repo}/manifests/1", data=json.dumps(manifest),
                          headers={"Content-Type": oci.MANIFEST}, timeout=60)
    assert answer.status_code == 201, answer.text


def append(tmp):
    crane, why = crane_program()
    if not crane:
        sys.exit(why)
    registry = oci.Registry(tmp)
    count = [0]

    def fresh():
        """A layer that the registry has never seen, for both sides."""
        count[0] += 1
        (tmp / "file").write_bytes(os.urandom(LAYER))
        with tarfile.open(tmp / "layer.tar", "w") as tar:
            tar.add(tmp / "file", "app/file")

    def ours(base, to):
        run(str(conftest.OSCAR), "image", "append", base, f"{to}:o{count[0]}", "-f", f"{tmp}/file:/app/file")

    def theirs(base, to):
        run(crane, "append", "--insecure", "-b", base, "-f", f"{tmp}/layer.tar", "-t", f"{to}:c{count[0]}")
    try:
        for megabytes in (10, 1024):
            repo = f"lab/base{megabytes}"
            put_base(registry.host, repo, megabytes)
            base = f"{registry.host}/{repo}:1"
            for name, to in (("same repository", lambda i: f"{registry.host}/{repo}"),
                             ("other repository", lambda i: f"{registry.host}/lab/{i}-{count[0]}-{megabytes}")):
                us = timed(lambda: ours(base, to("o")), 9, fresh)
                them = timed(lambda: theirs(base, to("c")), 9, fresh)
                print(f"append, base {megabytes} MB, {name}: oscar {us:.0f} ms, crane {them:.0f} ms, "
                      f"ratio {us / them:.2f}", flush=True)
    finally:
        registry.close()


def machine_files(tar):
    """About 200 MB of what a Debian has."""
    left = 200 * MB
    for top in ("/bin/sh", "/usr/share/perl", "/usr/lib/python3", "/usr/include", "/usr/share/zoneinfo", "/usr/lib/gcc",
                "/usr/lib/x86_64-linux-gnu"):
        for path in sorted(pathlib.Path(top).rglob("*")) if os.path.isdir(top) else [pathlib.Path(os.path.realpath(top))]:
            if left > 0 and (path.is_file() or path.is_symlink() or path.is_dir()):
                tar.add(path, str(path).lstrip("/"), recursive=False)
                left -= path.lstat().st_size if path.is_file() and not path.is_symlink() else 0


def unpack(tmp):
    with tarfile.open(tmp / "root.tar", "w") as tar:
        machine_files(tar)
    run("gzip", "-k", "-n", "-6", str(tmp / "root.tar"))
    packed, plain = (tmp / "root.tar.gz").read_bytes(), (tmp / "root.tar").read_bytes()
    image = oci.Image([plain], pack=lambda i, data: packed)
    registry = oci.Registry(tmp)
    (tmp / "data").mkdir()
    daemon = conftest.Daemon(str(tmp / "data"))
    try:
        registry.push(tmp, image, "lab/big:1")
        with tarfile.open(tmp / "root.tar") as tar:
            entries = len(tar.getmembers())
        print(f"image: {len(plain) / MB:.0f} MB, packed {len(packed) / MB:.0f} MB, {entries} entries")
        number = [0]

        def bsdtar():
            shutil.rmtree(tmp / "b", ignore_errors=True)
            (tmp / "b").mkdir()
            start = time.monotonic()
            run("bsdtar", "-xf", str(tmp / "root.tar.gz"), "-C", str(tmp / "b"))
            return time.monotonic() - start

        def umoci():
            for name in ("u", "bundle"):
                shutil.rmtree(tmp / name, ignore_errors=True)
            start = time.monotonic()
            run("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false",
                f"docker://{registry.host}/lab/big:1", f"oci:{tmp}/u:1")
            run("umoci", "unpack", "--image", f"{tmp}/u:1", str(tmp / "bundle"))
            return time.monotonic() - start

        def pulled():
            daemon.call("POST", "/system/images/prune?now=1")
            start = time.monotonic()
            answer = daemon.call("POST", "/system/images/pull", 201,
                                 json={"reference": f"{registry.host}/lab/big:1", "name": "big:1"})
            taken = time.monotonic() - start
            again = daemon.call("POST", "/system/images/pull", 201,
                                json={"reference": f"{registry.host}/lab/big:1", "name": "big:2"})
            assert answer.json()["transferred"] > 0 and again.json()["transferred"] == 0
            daemon.call("DELETE", "/system/images/big:2", 204)
            daemon.call("DELETE", "/system/images/big:1", 204)
            return taken

        def pushed():
            """Only the unpacking: the image is in our registry."""
            number[0] += 1
            name = f"big/{number[0]}"
            run("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false",
                "--dest-creds", f"{conftest.USER}:{conftest.PASSWORD}", f"docker://{registry.host}/lab/big:1",
                f"docker://{daemon.api.removeprefix('http://')}/{name}:1")
            start = time.monotonic()
            daemon.create(f"big{number[0]}", "true", image=f"{name}:1")
            taken = time.monotonic() - start
            daemon.call("DELETE", f"/system/services/big{number[0]}", 204)
            daemon.call("DELETE", f"/system/images/{requests.utils.quote(name + ':1', safe='')}", 204)
            return taken
        figures = {"bsdtar": [], "oscar": [], "oscar pull": [], "skopeo+umoci": []}
        for _ in range(3):
            for name, what in (("bsdtar", bsdtar), ("oscar", pushed), ("oscar pull", pulled), ("skopeo+umoci", umoci)):
                figures[name].append(what())
        best = {name: statistics.median(values) for name, values in figures.items()}
        print(", ".join(f"{name} {value:.2f} s" for name, value in best.items()))
        print(f"unpack: {best['oscar'] / best['bsdtar']:.2f} x bsdtar; "
              f"pull: 1/{best['skopeo+umoci'] / best['oscar pull']:.1f} of skopeo+umoci; second pull transfers 0 bytes")
    finally:
        daemon.close()
        registry.close()


def many(tmp):
    count = int(os.environ.get("FILES", "1000000"))
    diff_id, packed = test_image_bad_input.many_files(count)
    (tmp / "layer.tar.gz").write_bytes(packed)
    base = oci.base_layer()
    image = oci.Image([base, b""], pack=lambda i, data: packed if i else data, diff_ids=[oci.sha(base), diff_id],
                      Env=["PATH=/bin"])
    archive = oci.layout((image, {}))
    tiny = oci.layout((oci.Image([base, oci.tar_of(("x", b"x"))]), {}))
    for name in ("data", "b"):
        (tmp / name).mkdir()
    daemon = conftest.Daemon(str(tmp / "data"))
    try:
        theirs = timed(lambda: run("bsdtar", "-xf", str(tmp / "layer.tar.gz"), "-C", str(tmp / "b")))
        ours = timed(lambda: oci.take_in(daemon, archive, "many:1", timeout=3600))
        print(f"{count} files, packed {len(packed) / MB:.0f} MB: import {ours / 1000:.1f} s, bsdtar {theirs / 1000:.1f} s, "
              f"ratio {ours / theirs:.2f}; daemon's peak {test_image_bad_input.peak(daemon) >> 20} MiB", flush=True)
        daemon.create("many", "n=0; for f in /many/*/*; do n=$((n+1)); done; echo files: $n", image="many:1",
                      memory="2Gi", timeout=3600)
        daemon.put("many", "in/f", b"x")
        job = timed(lambda: daemon.settled("many", 1, 3600))
        assert f"files: {count}\n" in daemon.joblog(daemon.jobs("many")[0]["name"])
        print(f"a job that looks at all of them: {job / 1000:.1f} s", flush=True)
        daemon.call("DELETE", "/system/services/many", 204)
        os.sync()
        theirs = timed(lambda: run("rm", "-rf", str(tmp / "b")))
        removed, waits = [], []
        remover = threading.Thread(target=lambda: removed.append(timed(
            lambda: requests.delete(daemon.api + "/system/images/many:1", auth=daemon.http.auth, timeout=3600))))
        remover.start()
        while remover.is_alive():
            waits.append(timed(lambda: oci.take_in(daemon, tiny, "tiny:1")))
            time.sleep(0.5)
        remover.join()
        print(f"remove {removed[0] / 1000:.1f} s, rm {theirs / 1000:.1f} s, ratio {removed[0] / theirs:.2f}; "
              f"a small image is brought in meanwhile in {statistics.median(waits):.0f} ms", flush=True)
    finally:
        daemon.close()


@contextlib.contextmanager
def fresh_disk(tmp):
    """A folder on a file system of its own; of root only."""
    folder, disk = tmp / "disk", tmp / "disk.img"
    folder.mkdir()
    if os.geteuid():
        yield folder
        return
    with open(disk, "wb") as f:
        f.truncate(16 << 30)
    run("mkfs.ext4", "-q", "-F", "-i", "4096", str(disk))  # room for files of one byte, twice
    run("mount", "-o", "loop", str(disk), str(folder))
    try:
        yield folder
    finally:
        conftest.wait_for("the disk to be free", lambda: subprocess.run(["umount", str(folder)], check=False, stderr=subprocess.DEVNULL).returncode == 0)


def main():
    for name in sys.argv[1:] or ("append", "unpack"):
        with tempfile.TemporaryDirectory(prefix="oscar-bench-") as tmp:
            os.chmod(tmp, 0o755)
            with fresh_disk(pathlib.Path(tmp)) as folder:
                {"append": append, "unpack": unpack, "many": many}[name](folder)


main()
