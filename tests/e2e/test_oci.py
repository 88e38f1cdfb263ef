"""Container images: archives of every form, and pulls from a real registry and from a lying one."""
import base64
import gzip
import io
import json
import os
import pathlib
import pty
import select
import signal
import socket
import subprocess
import tarfile
import threading
import time

import pytest
import requests
from conftest import OSCAR, PASSWORD, USER, Daemon, free_port, run_cli, wait_for
from oci import (DOCKER_LIST, MANIFEST, Image, LyingRegistry, Registry, base_layer, daemon_call, drop, drop_all,
                 layout, pull, sha, take_in, tar_of, zstd)


@pytest.fixture(scope="module")
def image():
    top = tar_of(("opaque/new", b"new\n"), ("opaque/.wh..wh..opq", b""), ("data/.wh.gone", b""),
                 ("was-folder", b"now a file\n"), ("twice", "= linked"), ("data/.wh.kept", b""),
                 ("data/kept", b"again\n"), ("app/here", b"in the app\n"))
    return Image([base_layer(), top], pack=lambda i, data: zstd(data) if i else gzip.compress(data, mtime=0),
                 Env=["GREETING=from image", "PATH=/bin:/usr/bin", "COLOR=red"], WorkingDir="/app",
                 Cmd=["/bin/sh"])


SCRIPT = ('ls /data /opaque; cat /data/kept /was-folder /twice; echo "$GREETING $COLOR"; pwd; cat here; '
          'ls -a / | cat; id -u')


def check_runs(daemon, name, ref, extra=""):
    daemon.create(name, SCRIPT + extra, image=ref, environment={"variables": {"COLOR": "blue"}})
    daemon.put(name, "in/f", b"x")
    job = daemon.settled(name, 1)[0]
    text = daemon.joblog(job["name"])
    assert job["state"] == "succeeded", (job, text)
    assert "/data:\nkept\n" in text and "/opaque:\nnew\n" in text, text
    assert "again\nnow a file\nlinked\n" in text and ".wh." not in text, text
    assert "from image blue\n/app\nin the app\n" in text, text
    daemon.call("DELETE", f"/system/services/{name}", 204)


# ---- archives --------------------------------------------------------------------------------------------


def test_a_layout_becomes_an_image_with_its_layers_in_order(daemon, image):
    made = take_in(daemon, layout((image, {})), "lab/layered:1").json()
    assert made["digest"] == image.digest
    check_runs(daemon, "layered", "lab/layered:1")
    drop(daemon, "lab/layered:1")


def test_a_layout_folder_by_the_command_line(daemon, image, tmp_path):
    with tarfile.open(fileobj=io.BytesIO(layout((image, {})))) as tar:
        tar.extractall(tmp_path / "layout")
    run_cli(daemon, "image", "import", str(tmp_path / "layout"), "folder:1")
    assert image.digest in json.dumps(json.loads(run_cli(daemon, "image", "list", "-o", "json").stdout))
    drop(daemon, "folder:1")


def test_the_platform_of_this_machine_is_taken_and_attestations_are_not(daemon, image):
    other = Image([tar_of(("x", b"x"))], arch="arm64")
    note = dict(mediaType=MANIFEST, digest=sha(b"note"), size=4, platform={"os": "unknown", "architecture": "unknown"},
                annotations={"vnd.docker.reference.type": "attestation-manifest"})
    data = layout((other, {"platform": {"os": "linux", "architecture": "arm64"}}),
                  (image, {"platform": {"os": "linux", "architecture": "amd64"}}), extra=[note])
    assert take_in(daemon, data, "multi:1").json()["digest"] == image.digest
    drop(daemon, "multi:1")
    answer = take_in(daemon, layout((other, {"platform": {"os": "linux", "architecture": "arm64"}})), "multi:2", 400)
    assert "linux/arm64" in answer.text and "linux/amd64" in answer.text
    assert "arm64" in take_in(daemon, layout((other, {})), "multi:3", 400).text
    assert not daemon.image_files()


def test_one_of_several_is_chosen_by_its_tag(daemon, image):
    other = Image([tar_of(("x", b"x"))])
    tag = "org.opencontainers.image.ref.name"
    data = layout((image, {"annotations": {tag: "a"}}), (other, {"annotations": {tag: "b"}}))
    assert take_in(daemon, data, "some:b").json()["digest"] == other.digest
    assert "several" in take_in(daemon, data, "some:c", 400).text
    drop(daemon, "some:b")


def saved(image, names, layers=None):
    config = sha(image.config)[7:] + ".json"
    layers = layers or image.layers
    files = [f"{sha(data)[7:]}/layer.tar" for data in layers]
    manifest = [{"Config": config, "RepoTags": [n], "Layers": files} for n in names]
    return tar_of(*zip(files, layers), ("link/layer.tar", f"-> ../{files[0]}"), (config, image.config),
                  ("manifest.json", json.dumps(manifest).encode()), ("repositories", b"{}"))


def test_docker_save_archives_plain_and_packed(daemon, image):
    plain = saved(image, ["saved:1"])
    first = take_in(daemon, plain, "saved:1").json()
    check_runs(daemon, "saved", "saved:1")
    again = take_in(daemon, gzip.compress(plain), "saved:2").json()
    assert again["digest"] == first["digest"] and again["id"] == first["id"]
    daemon.call("DELETE", "/system/images/saved:1", 204)
    assert daemon.image_files()  # the other name still needs them
    drop(daemon, "saved:2")


def test_docker_save_with_a_changed_layer_is_refused(daemon, image):
    layers = [image.layers[0], image.layers[1][:-512] + b"\x00" * 511 + b"x"]
    assert "digest" in take_in(daemon, saved(image, ["x:1"], layers), "x:1", 400).text
    assert not daemon.image_files()


@pytest.mark.parametrize("tool", ["docker-archive", "oci-archive", "oci"])
def test_what_skopeo_writes_is_read(daemon, image, tmp_path, tool):
    if tool == "docker-archive":  # knows no zstd
        image = Image(image.layers, pack=lambda i, d: gzip.compress(d, mtime=0),
                      **json.loads(image.config)["config"])
    with tarfile.open(fileobj=io.BytesIO(layout((image, {})))) as tar:
        tar.extractall(tmp_path / "in")
    to = tmp_path / ("out" if tool == "oci" else "out.tar")
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", f"oci:{tmp_path}/in", f"{tool}:{to}:lab/t:1"],
                   check=True)
    run_cli(daemon, "image", "import", str(to), "lab/t:1")
    check_runs(daemon, "skopeo-" + tool, "lab/t:1")
    drop(daemon, "lab/t:1")


def without(data, match):
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for m in old:
            if match not in m.name:
                new.addfile(m, old.extractfile(m))
    return out.getvalue()


def test_broken_layouts_are_refused_and_leave_nothing(daemon, image):
    good = layout((image, {}))
    top = sha(gzip.compress(image.layers[0], mtime=0))[7:]
    schema1 = json.dumps({"schemaVersion": 1, "name": "x", "fsLayers": []}).encode()
    evil = Image([tar_of(("../../evil", b"x"))])
    empty_mark = Image([base_layer(), tar_of((".wh.", b""))])
    bomb = Image([gzip.compress(b"\x00" * 1000)])
    for what, data, word in [
            ("a missing layer", without(good, top), "lacks layer 1 of 2"),
            ("a changed blob", good.replace(image.config, image.config.replace(b"red", b"bad")), "another digest"),
            ("no index", without(good, "index.json"), "index.json"),
            ("schema 1", tar_of(("oci-layout", b"{}"), ("index.json", schema1)), "schema 1"),
            ("no JSON", tar_of(("oci-layout", b"{}"), ("index.json", b"{")), "index.json"),
            ("names that climb", layout((evil, {})), ".."),
            ("an empty mark", layout((empty_mark, {})), "layer 2 of 2"),
            ("a layer of zeros", layout((bomb, {})), ""),
            ("cut off", good[:len(good) // 2], "archive"),
    ]:
        answer = take_in(daemon, data, "broken:1", 201 if what == "a layer of zeros" else 400)
        assert word in answer.text, (what, answer.text)
        if what == "a layer of zeros":
            drop(daemon, "broken:1")
        assert not daemon.image_files(), what


# ---- the registry of Debian ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registry(registry, image, tmp_path_factory):
    registry.push(tmp_path_factory.mktemp("pushed"), image, "lab/tool:1")
    return registry


def test_an_image_is_pulled_and_runs(daemon, registry, image):
    out = run_cli(daemon, "image", "pull", f"{registry.host}/lab/tool:1")
    assert image.digest in out.stdout
    check_runs(daemon, "pulled", f"{registry.host}/lab/tool:1")
    again = pull(daemon, f"{registry.host}/lab/tool@{image.digest}", name="mine:2").json()
    assert again["transferred"] == 0 and again["layers"] == 2 and again["name"] == "mine:2"
    drop_all(daemon)


def test_two_images_share_their_base(daemon, registry, image, tmp_path):
    second = Image([base_layer(), tar_of(("second", b"2"))], pack=lambda i, d: gzip.compress(d, mtime=0))
    registry.push(tmp_path, second, "lab/second:1", "--format=v2s2")
    pull(daemon, f"{registry.host}/lab/tool:1")
    got = pull(daemon, f"{registry.host}/lab/second:1").json()
    assert got["transferred"] < 2000
    daemon.call("DELETE", "/system/images/" + requests.utils.quote(f"{registry.host}/lab/tool:1", safe=""), 204)
    assert pull(daemon, f"{registry.host}/lab/tool:1", name="back:1").json()["transferred"] < 5000
    drop_all(daemon)


def test_two_pulls_at_once(daemon, registry, image):
    answers = []

    def one(n):
        answers.append(daemon_call(daemon, {"reference": f"{registry.host}/lab/tool:1", "name": f"both:{n}"}))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(3)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert [a.status_code for a in answers] == [201] * 3, [a.text for a in answers]
    check_runs(daemon, "both", "both:1")
    drop_all(daemon)


def test_what_is_not_there_is_said(daemon, registry):
    assert "unknown" in pull(daemon, f"{registry.host}/lab/tool:nope", 404).text
    pull(daemon, f"{registry.host}/lab/tool@sha256:{'0' * 64}", 404)
    assert "onnect" in pull(daemon, f"127.0.0.1:{free_port()}/x:1", 503).text
    assert "http://" in pull(daemon, "http://example.org/x:1", 400).text
    assert "lower-case" in pull(daemon, "example.org/Upper:1", 400).text
    assert not daemon.image_files()


def test_user_and_password_of_a_docker_login(daemon, image, opened):
    r = Registry(opened, auth=True)
    try:
        r.push(opened, image, "p/x:1", "--dest-creds=ana:secret")
        ref = f"{r.host}/p/x:1"
        assert "user and password" in pull(daemon, ref, 403).text
        answer = pull(daemon, ref, 403, username="ana", password="wrong-password")
        assert "wrong-password" not in answer.text and "refuses" in answer.text
        assert pull(daemon, ref, username="ana", password="secret").json()["digest"] == image.digest
        drop_all(daemon)
        login = {"auths": {r.host: {"auth": base64.b64encode(b"ana:secret").decode()}}}
        (opened / "config.json").write_text(json.dumps(login))
        # Of the person at the command line …
        subprocess.run([str(pathlib.Path(__file__).parents[2] / "build" / "oscar"), "image", "pull", ref], check=True,
                       env=dict(os.environ, OSCAR_ENDPOINT=daemon.api, OSCAR_USERNAME=daemon.http.auth[0],
                                OSCAR_PASSWORD=daemon.http.auth[1], DOCKER_CONFIG=str(opened)))
        drop_all(daemon)
        assert "secret" not in (pathlib.Path(daemon.data) / "daemon.log").read_text()
        # … or of the daemon itself.
        os.environ["DOCKER_CONFIG"] = str(opened)
        try:
            other = Daemon()
        finally:
            del os.environ["DOCKER_CONFIG"]
        try:
            assert pull(other, ref).json()["digest"] == image.digest
        finally:
            other.close()
    finally:
        r.close()


# ---- a registry that misbehaves --------------------------------------------------------------------------


def test_wrong_bytes_are_never_an_image(daemon, image):
    layer = json.loads(image.manifest)["layers"][0]["digest"]

    def changed(h):
        if h.path.endswith(layer):
            h.answer(200, image.blobs[layer][:-1] + b"?")
        else:
            r.honest(h)

    def longer(h):
        if h.path.endswith(layer):
            h.answer(200, image.blobs[layer] + b"more")
        else:
            r.honest(h)

    def manifest(h):
        h.answer(200, image.manifest + b" ", Content_Type=MANIFEST)

    def huge(h):
        h.answer(200, b" " * (5 << 20), Content_Type=MANIFEST)

    def page(h):
        h.answer(200, b"<html>a portal</html>", Content_Type="text/html")

    for plan, status, word in [(changed, 502, "layer 1 of 2"), (longer, 502, "announced"), (manifest, 502, "digest"),
                               (huge, 413, "larger"), (page, 502, "digest")]:
        with LyingRegistry(image, plan) as r:
            answer = pull(daemon, f"{r.host}/lab/x@{image.digest}", status)
            assert word in answer.text, answer.text
    with LyingRegistry(image, page) as r:
        pull(daemon, f"{r.host}/lab/x:1", 400)
    assert not daemon.image_files()


def test_a_broken_transfer_goes_on_where_it_was(daemon, image):
    layer = json.loads(image.manifest)["layers"][0]["digest"]
    data = image.blobs[layer]

    def breaks(h):
        start = int(h.headers.get("Range", "bytes=0-")[6:-1])
        if not h.path.endswith(layer) or start > len(data) // 2:
            r.honest(h)
            return
        h.send_response(206 if start else 200)
        h.send_header("Content-Length", str(len(data) - start))
        h.end_headers()
        h.wfile.write(data[start:start + len(data) // 3])
        h.wfile.flush()
        h.connection.shutdown(socket.SHUT_RDWR)

    def ends(h):
        if h.path.endswith(layer):
            h.answer(200, data[:len(data) // 2])
        else:
            r.honest(h)

    with LyingRegistry(image, breaks) as r:
        assert pull(daemon, f"{r.host}/lab/x:1", name="resumed:1").json()["digest"] == image.digest
        ranges = [s[1]["Range"] for s in r.seen if "Range" in s[1]]
        assert ranges and all(x != "bytes=0-" for x in ranges)
    drop(daemon, "resumed:1")
    with LyingRegistry(image, ends) as r:
        assert "ends after" in pull(daemon, f"{r.host}/lab/x:1", 502).text
    assert not daemon.image_files()


def test_a_silent_registry_is_given_up(daemon, image):
    over = threading.Event()

    def silent(h):
        over.wait(30)

    with LyingRegistry(image, silent) as r:
        begun = time.monotonic()
        pull(daemon, f"{r.host}/lab/x:1", 504, idle_timeout_s=1)
        assert time.monotonic() - begun < 10
        over.set()
    assert not daemon.image_files()


def test_redirects_carry_no_credentials_and_end(daemon, image):
    def circle(h):
        h.answer(307, Location=f"http://{r.host}{h.path}")

    with LyingRegistry(image, circle) as r:
        assert "redirect" in pull(daemon, f"{r.host}/lab/x:1", 502).text
        assert len(r.seen) < 10

    with LyingRegistry(image) as store:
        def elsewhere(h):
            if "Authorization" not in h.headers:
                h.answer(401, WWW_Authenticate='Basic realm="lab"')
            elif "/blobs/" in h.path:
                h.answer(307, Location=f"http://{store.host}{h.path}")
            else:
                r.honest(h)

        with LyingRegistry(image, elsewhere) as r:
            pull(daemon, f"{r.host}/lab/x:1", name="moved:1", username="ana", password="pw")
        assert len(store.seen) == 3 and not any("Authorization" in s[1] for s in store.seen)
    drop(daemon, "moved:1")


def test_tokens(daemon, image):
    def tokens(h):
        if h.path.startswith("/token"):
            if "service=reg" in h.path and "scope=repository:lab/x:pull" in h.path:
                h.answer(200, json.dumps({"token": "T0K"}).encode())
            else:
                h.answer(400)
        elif h.headers.get("Authorization") != "Bearer T0K":
            h.answer(401, WWW_Authenticate=f'Bearer realm="http://{r.host}/token",service="reg",'
                                           'scope="repository:lab/x:pull"')
        else:
            r.honest(h)

    def denied(h):
        if h.path.startswith("/token"):
            h.answer(401)
        else:
            h.answer(401, WWW_Authenticate=f'Bearer realm="http://{r.host}/token",service="reg"')

    def useless(h):
        if h.path.startswith("/token"):
            h.answer(200, b'{"token":"x\\r\\nEvil: 1"}')
        else:
            h.answer(401, WWW_Authenticate=f'Bearer realm="http://{r.host}/token",service="reg"')

    def strange(h):
        h.answer(401, WWW_Authenticate='Negotiate')

    with LyingRegistry(image, tokens) as r:
        assert pull(daemon, f"{r.host}/lab/x:1", name="token:1").json()["digest"] == image.digest
        assert sum(s[0].startswith("/token") for s in r.seen) == 1
    drop(daemon, "token:1")
    for plan, status, word in [(denied, 403, "user and password"), (useless, 502, "no token"), (strange, 403, "unknown kind")]:
        with LyingRegistry(image, plan) as r:
            assert word in pull(daemon, f"{r.host}/lab/x:1", status).text
    assert not daemon.image_files()


def test_a_list_of_platforms(daemon, image):
    other = Image([tar_of(("x", b"x"))], arch="arm64")
    index = json.dumps({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [
        other.descriptor(platform={"os": "linux", "architecture": "arm64", "variant": "v8"}),
        image.descriptor(platform={"os": "linux", "architecture": "amd64"})]}).encode()

    def plan(h):
        if h.path.endswith("/manifests/1"):
            h.answer(200, index, Content_Type=DOCKER_LIST, Docker_Content_Digest=sha(index))
        else:
            r.honest(h)

    with LyingRegistry(image, plan) as r:
        assert pull(daemon, f"{r.host}/lab/x:1", name="list:1").json()["digest"] == image.digest
    drop(daemon, "list:1")


def test_five_hundred_layers_are_one_image_and_no_more(daemon):
    layers = [base_layer()] + [tar_of((f"l/{n}", b"%d" % n), ("top", b"%d\n" % n)) for n in range(1, 500)]
    image = Image(layers, Env=["PATH=/bin"])
    with LyingRegistry(image) as r:
        assert pull(daemon, f"{r.host}/lab/deep:1", name="deep:1").json()["layers"] == 500
    daemon.create("deep", "n=0; for f in /l/*; do n=$((n+1)); done; echo $n; cat /top", image="deep:1")
    daemon.put("deep", "in/f", b"x")
    job = daemon.settled("deep", 1)[0]
    assert job["state"] == "succeeded" and daemon.joblog(job["name"]) == "499\n499\n"
    daemon.call("DELETE", "/system/services/deep", 204)
    more = Image(layers + [tar_of(("one", b"more"))])
    with LyingRegistry(more) as r:
        assert "at most 500" in pull(daemon, f"{r.host}/lab/deeper:1", 413).text
    drop(daemon, "deep:1")


def test_a_caller_that_leaves_ends_its_pull(daemon, image):
    over = threading.Event()

    def silent(h):
        h.server.state["asked"] = True
        over.wait(30)

    with LyingRegistry(image, silent) as r:
        with pytest.raises(requests.Timeout):
            requests.post(daemon.api + "/system/images/pull", json={"reference": f"{r.host}/lab/x:1"},
                          auth=daemon.http.auth, timeout=1)
        assert r.state["asked"]
        wait_for("the end of the pull", lambda: not daemon.image_files(), 10)
        over.set()


def test_a_pull_tells_how_far_it_is(daemon):
    """By the API, and on the terminal of who waits for it."""
    image = Image([tar_of(("big", os.urandom(3 << 20)))])
    go_on = threading.Event()

    def slow(h):
        if "/blobs/" not in h.path or h.path.endswith(sha(image.config)):
            h.server.honest(h)
            return
        data = image.blobs[h.path.rsplit("/", 1)[1]]
        h.send_response(200)
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data[:1 << 20])
        h.wfile.flush()
        go_on.wait(30)
        h.wfile.write(data[1 << 20:])

    ours, theirs = pty.openpty()
    with LyingRegistry(image, slow) as r:
        p = subprocess.Popen([str(OSCAR), "image", "pull", f"{r.host}/lab/slow:1"], stderr=theirs,
                             stdout=subprocess.PIPE, env=dict(os.environ, OSCAR_ENDPOINT=daemon.api,
                                                              OSCAR_USERNAME=USER, OSCAR_PASSWORD=PASSWORD, TERM="vt100"))
        os.close(theirs)
        drawn = b""
        while b"layer 1/1  1.0 of 3.0 MiB" not in drawn:
            assert select.select([ours], [], [], 30)[0], drawn
            drawn += os.read(ours, 4096)
        go_on.set()
        assert p.wait(60) == 0 and image.digest in p.stdout.read().decode()
    os.close(ours)
    daemon.call("GET", "/system/images/progress/none", 404)
    daemon.call("DELETE", "/system/images/" + requests.utils.quote(f"{r.host}/lab/slow:1", safe=""), 204)


def test_a_killed_daemon_leaves_nothing_half(fresh, image):
    layer = json.loads(image.manifest)["layers"][1]["digest"]
    reached, over = threading.Event(), threading.Event()

    def stops(h):
        if h.path.endswith(layer):
            reached.set()
            over.wait(30)
        else:
            r.honest(h)

    with LyingRegistry(image, stops) as r:
        thread = threading.Thread(target=lambda: pytest.raises(
            requests.ConnectionError, daemon_call, fresh, {"reference": f"{r.host}/lab/x:1"}))
        thread.start()
        assert reached.wait(20)
        assert fresh.image_files()
        fresh.process.send_signal(signal.SIGKILL)
        fresh.process.wait()
        over.set()
        thread.join()
    fresh.start()
    assert not fresh.image_files()
    assert [i["name"] for i in fresh.call("GET", "/system/images", 200).json()] == ["host"]


def test_what_was_not_on_disk_when_the_machine_went_down_is_unpacked_again(fresh, image):
    """An image is used before the disk has all of it; its mark tells the next boot not to believe the folder."""
    made = take_in(fresh, layout((image, {})), "lab/late:1").json()
    folder = pathlib.Path(fresh.data) / "images" / made["id"]
    mark, one = folder / "unsynced", folder / "rootfs" / "was-folder"
    wait_for("the disk", lambda: not mark.exists())
    whole = one.read_bytes()
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
    for what, left, expect in (("this boot", boot, b""), ("an earlier one", "0-1-2", whole), ("nobody knows", "", whole)):
        fresh.leave()
        one.write_bytes(b"")
        mark.write_text(left)
        fresh.start()
        assert one.read_bytes() == expect, what
        wait_for("the disk", lambda: not mark.exists())
    check_runs(fresh, "late", "lab/late:1")
    # Its layer is damaged as well: there is no half of an image, the name stays and says what is wrong.
    fresh.leave()
    layer = pathlib.Path(fresh.data) / "images" / "blobs" / "sha256" / json.loads(image.manifest)["layers"][0]["digest"][7:]
    layer.write_bytes(layer.read_bytes()[:-1000])
    mark.write_text("0-1-2")
    fresh.start()
    assert not folder.exists()
    answer = fresh.call("POST", "/system/services", json={"name": "damaged", "image": "lab/late:1", "script": "true"})
    assert answer.status_code >= 400 and "layer 1 of 2" in answer.text, answer.text
