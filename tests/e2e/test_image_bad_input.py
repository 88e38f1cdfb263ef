"""Images against full disks, liars and each other: a clear error, nothing half visible, nothing left."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile
import threading
import time
import zlib

import pytest
import requests
from conftest import OSCAR, PASSWORD, USER, Daemon, wait_for
from oci import (MANIFEST, Image, LyingRegistry, base_layer, daemon_call, drop, drop_all, layout, pull, sha,
                 take_in, tar_of)

FILES = int(os.environ.get("FILES", "5000"))  # FILES=1000000 for a night


@pytest.fixture
def small():
    """A daemon whose disk has 96 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tempfile.mkdtemp(prefix="oscar-small-", dir="/tmp")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=755", "oscar-small", folder], check=True)
    d = None
    try:
        d = Daemon(folder)
        yield d
    finally:
        if d:
            d.stop()
        wait_for("the runner to let go", lambda: subprocess.run(["umount", folder], stderr=subprocess.DEVNULL).returncode == 0, 30)
        os.rmdir(folder)


def used(daemon):
    return sum(p.lstat().st_size for p in (pathlib.Path(daemon.data) / "images").rglob("*") if p.is_file())


@pytest.mark.parametrize("what", ["blob", "unpacked", "imported"])
def test_a_disk_that_becomes_full_in_the_middle(small, what):
    if what == "blob":
        image = Image([tar_of(("big", os.urandom(90 << 20)))])
    else:  # 12 MiB packed, 120 MiB unpacked
        image = Image([tar_of(*((f"f{n}", os.urandom(1 << 20) + bytes(9 << 20)) for n in range(12)))],
                      pack=lambda i, data: gzip.compress(data, 1, mtime=0))
    tiny = Image([tar_of(("tiny", b"tiny"))])
    if what == "imported":
        answer = small.call("POST", "/system/images/import", params={"name": "lab/big:1"}, data=layout((image, {})))
    else:
        with LyingRegistry(image) as r:
            answer = small.call("POST", "/system/images/pull", json={"reference": f"{r.host}/lab/big:1"})
    assert answer.status_code == 507 and "space" in answer.text, (answer.status_code, answer.text)
    assert not small.image_files() and used(small) == 0
    assert [i["name"] for i in small.call("GET", "/system/images", 200).json()] == ["host"]
    # There is room again, and all goes on without a restart.
    with LyingRegistry(tiny) as r:
        assert pull(small, f"{r.host}/lab/tiny:1").json()["digest"] == tiny.digest
    small.s3.create_bucket(Bucket="after")
    small.put("after", "x", b"x")
    assert small.get("after", "x") == b"x"


def test_one_name_pulled_by_many_at_once(daemon):
    image = Image([base_layer(), tar_of(("big", os.urandom(2 << 20)))], Env=["PATH=/bin"])
    with LyingRegistry(image) as r:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(daemon_call(daemon, {"reference": f"{r.host}/lab/same:1"})))
                   for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    assert {a.status_code for a in answers} <= {201, 503, 409} and 201 in {a.status_code for a in answers}, [a.text for a in answers]
    assert all("try again" in a.text for a in answers if a.status_code != 201)
    names = [i["name"] for i in daemon.call("GET", "/system/images", 200).json()]
    assert names == ["host", f"{r.host}/lab/same:1"]
    assert not [p for p in daemon.image_files() if p.name.startswith("new-")]
    drop_all(daemon)


def test_pruning_and_removing_while_a_job_runs_and_a_pull_is_on_its_way(daemon, tmp_path):
    take_in(daemon, layout((Image([base_layer(), tar_of(("late", b"still here\n"))], Env=["PATH=/bin"]), {})), "lab/used:1")
    daemon.create("used", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; cat /late", image="lab/used:1")
    daemon.put("used", "in/f", b"x")
    job = wait_for("the job to run", lambda: [j for j in daemon.jobs("used") if j["state"] == "running"])[0]
    daemon.call("POST", "/system/images/prune?now=1&untagged=1", 200)
    assert daemon.call("DELETE", "/system/images/lab%2Fused:1").status_code == 409
    assert daemon.settled("used", 1)[0]["state"] == "succeeded"
    assert "still here" in daemon.joblog(job["name"])
    # A pull that has fetched a layer and waits for the next: that layer is not garbage.
    image = Image([tar_of(("one", b"1")), tar_of(("two", b"2"))])
    reached, go_on = threading.Event(), threading.Event()
    second = json.loads(image.manifest)["layers"][1]["digest"]

    def slow(h):
        if h.path.endswith(second):
            reached.set()
            go_on.wait(30)
        h.server.honest(h)

    with LyingRegistry(image, slow) as r:
        answers = []
        puller = threading.Thread(target=lambda: answers.append(daemon_call(daemon, {"reference": f"{r.host}/lab/two:1"})))
        puller.start()
        try:
            assert reached.wait(30)
            busy = daemon.call("POST", "/system/images/prune?now=1&untagged=1")
            assert busy.status_code in (409, 503) and "on their way" in busy.text, busy.text
        finally:
            go_on.set()
            puller.join()
        assert answers[0].status_code == 201, answers[0].text
    daemon.call("DELETE", "/system/services/used", 204)
    drop_all(daemon)


class Stream:
    """What is sent until the other side has enough."""

    def __init__(self, h, head):
        self.sent = 0
        h.send_response(200)
        for k, v in head.items():
            h.send_header(k, v)
        h.end_headers()
        try:
            while self.sent < 100 << 20:
                h.wfile.write(b" " * 65536)
                self.sent += 65536
        except OSError:
            pass
        h.close_connection = True


@pytest.mark.parametrize("head", [{"Content-Length": str(100 << 20)}, {"Connection": "close"}])
def test_a_manifest_of_100_mb_is_not_read(daemon, head):
    streams = []
    image = Image([tar_of(("x", b"x"))])
    with LyingRegistry(image, lambda h: streams.append(Stream(h, dict(head, **{"Content-Type": MANIFEST})))) as r:
        assert "larger" in pull(daemon, f"{r.host}/lab/x:1", 413).text
        wait_for("the end of the stream", lambda: streams)
    assert all(s.sent < 20 << 20 for s in streams), [s.sent for s in streams]  # 4 MiB and what sockets hold
    assert not daemon.image_files()


def test_an_index_of_100_mb_in_an_archive_is_not_read(daemon):
    huge = tar_of(("oci-layout", b"{}"), ("index.json", b" " * (100 << 20)))
    answer = daemon.call("POST", "/system/images/import", params={"name": "huge:1"}, data=gzip.compress(huge, 1))
    assert answer.status_code in (400, 413) and "larger" in answer.text, (answer.status_code, answer.text)
    assert not daemon.image_files()


def test_a_registry_that_lies_about_lengths(daemon):
    image = Image([tar_of(("x", os.urandom(200000)))])
    layer = json.loads(image.manifest)["layers"][0]["digest"]
    data = image.blobs[layer]
    streams = []

    def with_layer(plan):
        return lambda h: plan(h) if h.path.endswith(layer) else h.server.honest(h)

    def announces_more(h):
        h.send_response(200)
        h.send_header("Content-Length", str(len(data) * 10))
        h.end_headers()
        h.wfile.write(data + data)
        h.close_connection = True

    def never_ends(h):
        streams.append(Stream(h, {"Connection": "close"}))

    def other_range(h):  # asked to go on, it begins anew under the name of going on
        start = int(h.headers.get("Range", "bytes=0-")[6:-1])
        h.send_response(206 if start else 200)
        h.send_header("Content-Length", str(len(data) - start))
        if start:
            h.send_header("Content-Range", f"bytes 0-{len(data) - start - 1}/{len(data)}")
        h.end_headers()
        h.wfile.write(data[:1000])
        h.wfile.flush()
        h.close_connection = True

    for plan in (announces_more, never_ends, other_range):
        began = time.monotonic()
        with LyingRegistry(image, with_layer(plan)) as r:
            answer = daemon.call("POST", "/system/images/pull", json={"reference": f"{r.host}/lab/x:1"})
            assert answer.status_code in (502, 503), answer.text
            if plan is other_range:
                assert answer.status_code == 502 and "where 1000 was asked for" in answer.text, answer.text
            assert len(r.seen) < 50
        assert time.monotonic() - began < 30, plan.__name__
        assert not daemon.image_files(), plan.__name__
    assert all(s.sent < 20 << 20 for s in streams)


def test_a_registry_that_is_never_content_with_credentials(daemon):
    """… asks for others each time, or sends the asker in circles for a token: it ends, and the secret stays out of it."""
    image = Image([tar_of(("x", b"x"))])

    def never(h):
        n = h.server.state["n"] = h.server.state.get("n", 0) + 1
        if h.path.startswith("/token"):
            h.answer(200, json.dumps({"token": f"t{n}"}).encode())
        else:
            h.answer(401, WWW_Authenticate=f'Bearer realm="http://{h.server.host}/token",service="s{n}",scope="x{n}"')

    def basic(h):
        h.answer(401, WWW_Authenticate='Basic realm="again"')

    def token_in_circles(h):
        h.answer(401, WWW_Authenticate=f'Bearer realm="http://{h.server.host}/token",service="s"')

    for plan in (never, basic, token_in_circles):
        with LyingRegistry(image, plan) as r:
            answer = pull(daemon, f"{r.host}/lab/x:1", 403, username="ana", password="very-secret")
            assert len(r.seen) < 12 and "very-secret" not in answer.text
    assert "very-secret" not in (pathlib.Path(daemon.data) / "daemon.log").read_text()
    assert not daemon.image_files()


def test_what_a_crash_left_of_a_removal_goes_in_the_background(fresh):
    image = Image([base_layer()], Env=["PATH=/bin"])
    take_in(fresh, layout((image, {})), "lab/stays:1")
    before = set(fresh.image_files())
    fresh.kill()
    owner = os.stat(fresh.data + "/images")
    for name in ("gone-0123456789abcdef/0/rootfs/deep", "new-0123456789abcdef/rootfs", "aaaaaaaaaaaaaaaaaaaaaaaa/rootfs"):
        folder = pathlib.Path(fresh.data) / "images" / name
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
        subprocess.run(["chown", "-R", f"{owner.st_uid}:{owner.st_gid}", str(folder.parents[len(name.split("/")) - 2])], check=True)
    fresh.start()
    wait_for("what was left", lambda: set(fresh.image_files()) == before)


class Packer(io.RawIOBase):
    """Packs and sums what is written to it, so that a large layer is never in memory as a whole."""

    def __init__(self):
        super().__init__()
        self.sum, self.gzip, self.pieces = hashlib.sha256(), zlib.compressobj(1, wbits=31), []

    def writable(self):
        return True

    def write(self, data):
        self.sum.update(data)
        self.pieces.append(self.gzip.compress(data))
        return len(data)

    def done(self):
        return "sha256:" + self.sum.hexdigest(), b"".join(self.pieces) + self.gzip.flush()


def many_files(count):
    """A layer of so many files in a hundred folders."""
    packer = Packer()
    with tarfile.open(fileobj=packer, mode="w|") as tar:
        for n in range(count):
            info = tarfile.TarInfo(f"many/{n % 100}/{n}")
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    return packer.done()


def peak(daemon):
    status = (pathlib.Path("/proc") / str(daemon.process.pid) / "status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def test_very_many_files(daemon):
    """FILES of them in one layer: brought in, seen by a job, taken away by a layer above, and removed, in a time that is
    in proportion and in little memory."""
    many, base = many_files(FILES), base_layer()
    took = {}

    def timed(what, call):
        began = time.monotonic()
        answer = call()
        took[what] = time.monotonic() - began
        return answer

    full = Image([base, b""], pack=lambda i, d: many[1] if i else d, diff_ids=[sha(base), many[0]], Env=["PATH=/bin"])
    gone = Image([base, b"", tar_of((".wh.many", b""), ("left", b"1"))], pack=lambda i, d: many[1] if i == 1 else d,
                 diff_ids=[sha(base), many[0], sha(tar_of((".wh.many", b""), ("left", b"1")))])
    made = timed("import", lambda: take_in(daemon, layout((full, {})), "lab/many:1", timeout=60 + FILES / 500)).json()
    daemon.create("many", "n=0; for f in /many/*/*; do n=$((n+1)); done; echo files: $n", image="lab/many:1",
                  memory="1Gi", timeout=1200)
    daemon.put("many", "in/f", b"x")
    job = timed("job", lambda: daemon.settled("many", 1, 60 + FILES / 1000))[0]
    assert job["state"] == "succeeded" and f"files: {FILES}\n" in daemon.joblog(job["name"])
    daemon.call("DELETE", "/system/services/many", 204)
    made = timed("import and away", lambda: take_in(daemon, layout((gone, {})), "lab/gone:1", timeout=60 + FILES / 500)).json()
    root = pathlib.Path(daemon.data) / "images" / made["id"] / "rootfs"
    assert not (root / "many").exists() and (root / "left").exists()
    timed("prune", lambda: daemon.call("POST", "/system/images/prune?now=1", 200))
    timed("remove", lambda: daemon.call("DELETE", "/system/images/lab%2Fmany:1", 204, timeout=60 + FILES / 500))
    drop(daemon, "lab/gone:1")
    assert not daemon.image_files()
    print(f"{FILES} files: " + ", ".join(f"{what} {s:.1f} s" for what, s in took.items()) +
          f", daemon's peak {peak(daemon) >> 20} MiB")
    assert all(s < 60 + FILES / 1000 for s in took.values()), took
    assert peak(daemon) < 300 << 20


def test_a_daemon_that_is_told_to_leave_ends_an_import_in_the_middle(fresh):
    base, many = base_layer(), many_files(60000)
    image = Image([base, b""], pack=lambda i, d: many[1] if i else d, diff_ids=[sha(base), many[0]])
    images = pathlib.Path(fresh.data) / "images"
    ends = []

    def importer():
        try:
            ends.append(fresh.call("POST", "/system/images/import", params={"name": "x:1"}, data=layout((image, {}))).status_code)
        except requests.ConnectionError:
            ends.append(0)
    thread = threading.Thread(target=importer)
    thread.start()
    wait_for("the first files", lambda: list(images.glob("new-*/rootfs/many/50")))
    fresh.leave()
    thread.join()
    assert ends != [201] and not list(images.glob("*/rootfs/many/99/59999"))
    fresh.start()
    wait_for("nothing of it", lambda: not fresh.image_files())


def test_bounds_of_an_image_are_ones_of_the_machine():
    """What is over them is refused with the option that says so, and leaves nothing: files, a bomb, a large layer."""
    d = Daemon(None, "--max-image-files", "1000", "--max-image-size", "32Mi")
    try:
        ids, packed = many_files(1001)
        many = Image([b""], pack=lambda i, data: packed, diff_ids=[ids])
        bomb = Image([tar_of(("zeros", bytes(100 << 20)))], pack=lambda i, data: gzip.compress(data, 9, mtime=0))
        large = Image([tar_of(("noise", os.urandom(33 << 20)))])
        assert sum(map(len, bomb.blobs.values())) < 1 << 20
        for image, word in ((many, "--max-image-files"), (bomb, "--max-image-size"), (large, "--max-image-size")):
            with LyingRegistry(image) as r:
                for answer in (d.call("POST", "/system/images/import", params={"name": "x:1"}, data=layout((image, {}))),
                               d.call("POST", "/system/images/pull", json={"reference": f"{r.host}/lab/x:1"})):
                    assert answer.status_code == 413 and word in answer.text, (answer.status_code, answer.text)
                    assert not d.image_files()
        host = d.api.removeprefix("http://")
        pushed = requests.post(f"http://{host}/v2/lab/x/blobs/uploads/", auth=(USER, PASSWORD), timeout=30)
        where = requests.compat.urljoin(d.api, pushed.headers["Location"])
        layer = json.loads(large.manifest)["layers"][0]["digest"]
        answer = requests.put(where + ("&" if "?" in where else "?") + "digest=" + layer, auth=(USER, PASSWORD),
                              data=large.blobs[layer], timeout=60)
        assert answer.status_code == 413, answer.text
        for words in (["--max-image-files", "0"], ["--max-image-size", "much"]):
            done = subprocess.run([str(OSCAR), "serve", "--data", d.data + "/x", *words], capture_output=True, text=True,
                                  timeout=30, check=False)
            assert done.returncode == 2 and words[0] in done.stderr, done.stderr
    finally:
        d.close()
