"""The registry inside: the distribution API as clients use and misuse it."""
import base64
import json
import os
import pathlib
import re
import socket
import sqlite3
import threading

import pytest
import requests
from conftest import PASSWORD, USER, wait_for
from oci import INDEX, MANIFEST, Image, layout, program_files, sha, take_in, tar_of

ALICE, BOB = ("alice", "alice-password"), ("bob", "bob-password")
LOGIN = base64.b64encode(":".join(ALICE).encode()).decode()


def raw(daemon):
    host, port = daemon.api.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


@pytest.fixture(scope="module")
def users(daemon):
    for name, password in (ALICE, BOB):
        daemon.call("POST", "/system/users", 201, json={"name": name, "password": password})


@pytest.fixture
def v2(daemon, users):
    """Calls below /v2/ as alice, unless said otherwise."""
    def call(method, path, expect=None, auth=ALICE, **kw):
        kw.setdefault("timeout", 60)
        answer = requests.request(method, daemon.api + "/v2/" + path, auth=auth, **kw)
        if expect is not None:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer
    return call


def code(answer):
    assert answer.headers["Content-Type"] == "application/json", answer.text
    return answer.json()["errors"][0]["code"]


def push_blob(v2, repo, data):
    where = v2("POST", f"{repo}/blobs/uploads/", 202).headers["Location"]
    v2("PUT", where[4:] + "?digest=" + sha(data), 201, data=data)


def push(v2, repo, tag, image):
    for data in image.blobs.values():
        push_blob(v2, repo, data)
    return v2("PUT", f"{repo}/manifests/{tag}", 201, data=image.manifest, headers={"Content-Type": MANIFEST})


def small(text=b"x", **config):
    return Image([tar_of(("file", text))], **config)


def runnable():
    files = [("." + f, open(f, "rb").read()) for f in program_files("/bin/sh", "/bin/cat")]
    return Image([tar_of(*files, ("./word", b"from the registry\n"))])


def test_the_way_in_asks_who_it_is(daemon, v2):
    answer = requests.get(daemon.api + "/v2/")
    assert answer.status_code == 401 and code(answer) == "UNAUTHORIZED"
    realm = re.search(r'Bearer realm="([^"]+)",service="oscar"', answer.headers["WWW-Authenticate"]).group(1)
    assert requests.get(realm).status_code == 401
    assert requests.get(realm, auth=("alice", "wrong")).status_code == 401
    token = requests.get(realm, auth=ALICE).json()["token"]
    assert requests.post(realm, data={"grant_type": "password", "username": "alice",
                                      "password": ALICE[1]}).json()["access_token"]
    bearer = {"Authorization": "Bearer " + token}
    assert requests.get(daemon.api + "/v2/", headers=bearer).json() == {}
    for bad in (token[:-1] + ("0" if token[-1] != "0" else "1"), token.replace("oscar.", "oscar.1"), "", "a.b.c"):
        assert requests.get(daemon.api + "/v2/", headers={"Authorization": "Bearer " + bad}).status_code == 401
    assert v2("GET", "").headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_pushed_is_pulled_listed_used_and_removed(daemon, v2):
    image = runnable()
    push(v2, "alice/tool", "1", image)
    got = v2("GET", "alice/tool/manifests/1", 200)
    assert got.content == image.manifest and got.headers["Content-Type"] == MANIFEST
    assert got.headers["Docker-Content-Digest"] == image.digest
    assert v2("HEAD", f"alice/tool/manifests/{image.digest}", 200).headers["Content-Length"] == str(len(image.manifest))
    for digest, data in image.blobs.items():
        assert v2("GET", f"alice/tool/blobs/{digest}", 200).content == data
    assert v2("GET", "alice/tool/tags/list", 200).json() == {"name": "alice/tool", "tags": ["1"]}
    assert "alice/tool" in v2("GET", "_catalog", 200).json()["repositories"]
    assert "alice/tool" not in v2("GET", "_catalog", 200, auth=BOB).json()["repositories"]
    # As it was pushed, it is a service's image.
    host = daemon.api.removeprefix("http://")
    daemon.create("fromreg", "cat /word", image=f"{host}/alice/tool:1")
    daemon.put("fromreg", "in/f", b"x")
    job = daemon.settled("fromreg", 1)[0]
    assert job["state"] == "succeeded" and "from the registry" in daemon.joblog(job["name"])
    # The tag goes, the service stays.
    v2("DELETE", "alice/tool/manifests/1", 202)
    assert code(v2("GET", "alice/tool/manifests/1", 404)) == "MANIFEST_UNKNOWN"
    v2("GET", f"alice/tool/manifests/{image.digest}", 200)
    daemon.put("fromreg", "in/g", b"x")
    assert all(j["state"] == "succeeded" for j in daemon.settled("fromreg", 2))
    v2("DELETE", f"alice/tool/manifests/{image.digest}", 202)
    v2("GET", f"alice/tool/manifests/{image.digest}", 404)
    daemon.call("DELETE", "/system/services/fromreg", 204)


def test_what_was_imported_can_be_pulled(daemon, v2):
    image = small(b"imported")
    take_in(daemon, layout((image, {})), "lab/imported:7")
    assert v2("GET", "lab/imported/manifests/7", 200, auth=BOB).content == image.manifest
    for digest, data in image.blobs.items():
        assert v2("GET", f"lab/imported/blobs/{digest}", 200, auth=BOB).content == data
    daemon.call("DELETE", "/system/images/lab%2Fimported:7", 204)
    v2("GET", "lab/imported/manifests/7", 404)
    v2("GET", f"lab/imported/blobs/{sha(image.config)}", 404)


def test_rights(daemon, v2):
    image = small()
    push(v2, "alice/secret", "1", image)
    assert code(v2("GET", "alice/secret/manifests/1", 403, auth=BOB)) == "DENIED"
    assert code(v2("POST", "alice/secret/blobs/uploads/", 403, auth=BOB)) == "DENIED"
    assert code(v2("POST", "lab/x/blobs/uploads/", 403)) == "DENIED"
    v2("GET", "alice/secret/manifests/1", 200, auth=(USER, PASSWORD))
    # Knowing a digest is no right to its bytes, neither directly nor by mounting.
    digest = sha(image.config)
    v2("GET", f"bob/x/blobs/{digest}", 404, auth=BOB)
    v2("POST", f"bob/x/blobs/uploads/?mount={digest}&from=alice/secret", 202, auth=BOB)
    v2("GET", f"bob/x/blobs/{digest}", 404, auth=BOB)
    answer = requests.post(daemon.api + "/system/services", auth=BOB, json={
        "name": "thief", "image": "alice/secret:1", "script": "true", "cpu": "0.1", "memory": "64Mi"})
    assert answer.status_code == 403 and "another user" in answer.text
    v2("DELETE", f"alice/secret/manifests/{image.digest}", 202)


def test_mounting_spares_the_transfer(v2):
    image = small(b"mounted")
    push(v2, "alice/from", "1", image)
    for digest in image.blobs:
        answer = v2("POST", f"alice/to/blobs/uploads/?mount={digest}&from=alice/from", 201)
        assert answer.headers["Docker-Content-Digest"] == digest
    v2("PUT", "alice/to/manifests/1", 201, data=image.manifest, headers={"Content-Type": MANIFEST})
    v2("DELETE", f"alice/from/manifests/{image.digest}", 202)
    for digest, data in image.blobs.items():
        assert v2("GET", f"alice/to/blobs/{digest}", 200).content == data
    v2("DELETE", f"alice/to/manifests/{image.digest}", 202)


def test_uploads_in_pieces_with_status_and_cancel(v2):
    data = os.urandom(300000)
    where = v2("POST", "alice/pieces/blobs/uploads/", 202).headers["Location"][4:]
    answer = v2("PATCH", where, 202, data=data[:100000], headers={"Content-Range": "0-99999"})
    assert answer.headers["Range"] == "0-99999"
    wrong = v2("PATCH", where, 416, data=data[:10], headers={"Content-Range": "5-14"})
    assert wrong.headers["Range"] == "0-99999" and code(wrong) == "BLOB_UPLOAD_INVALID"
    assert v2("GET", where, 204).headers["Range"] == "0-99999"
    v2("PATCH", where, 202, data=iter([data[100000:150000], data[150000:200000]]))  # without a length
    v2("PUT", f"{where}?digest={sha(data)}", 201, data=data[200000:], headers={"Content-Range": "200000-299999"})
    assert v2("GET", f"alice/pieces/blobs/{sha(data)}", 200).content == data
    assert code(v2("GET", where, 404)) == "BLOB_UPLOAD_UNKNOWN"
    where = v2("POST", "alice/pieces/blobs/uploads/", 202).headers["Location"][4:]
    v2("DELETE", where, 204)
    v2("PATCH", where, 404, data=b"x")
    once = v2("POST", f"alice/pieces/blobs/uploads/?digest={sha(b'at once')}", 201, data=b"at once")
    assert once.headers["Location"].endswith("/alice/pieces/blobs/" + sha(b"at once"))


def test_a_wrong_digest_leaves_nothing(daemon, v2):
    before = len(daemon.image_files())
    where = v2("POST", "alice/wrong/blobs/uploads/", 202).headers["Location"][4:]
    assert code(v2("PUT", f"{where}?digest={sha(b'other')}", 400, data=b"this")) == "DIGEST_INVALID"
    v2("GET", f"alice/wrong/blobs/{sha(b'other')}", 404)
    v2("GET", f"alice/wrong/blobs/{sha(b'this')}", 404)
    v2("GET", where, 404)
    for bad in ("sha256:12", "md5:" + "0" * 32, "sha256:" + "G" * 64):
        where = v2("POST", "alice/wrong/blobs/uploads/", 202).headers["Location"][4:]
        assert code(v2("PUT", f"{where}?digest={bad}", 400, data=b"this")) == "DIGEST_INVALID"
        v2("DELETE", where, 204)
    assert len(daemon.image_files()) == before


def test_ranges_of_blobs(v2):
    data = b"0123456789"
    push_blob(v2, "alice/r", data)
    path = f"alice/r/blobs/{sha(data)}"
    part = v2("GET", path, 206, headers={"Range": "bytes=3-5"})
    assert part.content == b"345" and part.headers["Content-Range"] == "bytes 3-5/10"
    assert v2("GET", path, 206, headers={"Range": "bytes=-2"}).content == b"89"
    v2("GET", path, 416, headers={"Range": "bytes=10-"})
    v2("GET", path, 304, headers={"If-None-Match": f'"{sha(data)}"'})
    assert v2("HEAD", path, 200).headers["Content-Length"] == "10"


def test_manifests_that_are_refused(v2):
    image = small()

    def put(data, status=400, tag="1", media=MANIFEST):
        return code(v2("PUT", f"alice/bad/manifests/{tag}", status, data=data, headers={"Content-Type": media}))
    assert put(image.manifest) == "MANIFEST_BLOB_UNKNOWN"
    assert put(b"{") == "MANIFEST_INVALID"
    assert put(b"[]") == "MANIFEST_INVALID"
    assert put(image.manifest, media=INDEX) == "MANIFEST_INVALID"
    assert put(image.manifest, tag=sha(b"other")) == "DIGEST_INVALID"
    assert put(image.manifest, tag="-bad") == "TAG_INVALID"
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image.descriptor()]}).encode()
    assert put(index, media=INDEX) == "MANIFEST_BLOB_UNKNOWN"
    assert code(v2("GET", "alice/bad/tags/list", 404)) == "NAME_UNKNOWN"


def test_a_manifest_of_100_mb_is_refused_before_it_is_sent(daemon, users):
    with raw(daemon) as s:
        s.sendall(f"PUT /v2/alice/bad/manifests/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {LOGIN}\r\n"
                  f"Content-Length: {100 << 20}\r\n\r\n".encode())
        answer = s.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413") and b"MANIFEST_INVALID" in answer


@pytest.mark.parametrize("path,status,word", [
    ("ALICE/x/manifests/1", 400, "NAME_INVALID"), ("alice/../x/manifests/1", 404, None),
    ("alice//x/manifests/1", 400, "NAME_INVALID"), ("alice/x/manifests/sha256:1", 400, "DIGEST_INVALID"),
    ("alice/x/blobs/sha256:1", 400, "DIGEST_INVALID"), ("alice/x/blobs/uploads/nosuch", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("alice/-x/tags/list", 400, "NAME_INVALID"), ("alice/x/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
    ("alice/x/else/1", 404, "NAME_UNKNOWN")])
def test_paths_that_are_refused(v2, path, status, word):
    answer = v2("GET", path, status)
    assert word is None or code(answer) == word


def test_pages(v2):
    image = small()
    for tag in ("c", "a", "b", "d", "e"):
        push(v2, "alice/pages", tag, image)
    first = v2("GET", "alice/pages/tags/list?n=2", 200)
    assert first.json()["tags"] == ["a", "b"]
    seen, path = [], "alice/pages/tags/list?n=2"
    while path:
        page = v2("GET", path, 200)
        seen += page.json()["tags"]
        link = page.headers.get("Link")
        path = re.match(r'</v2/([^>]+)>; rel="next"', link).group(1) if link else None
    assert seen == ["a", "b", "c", "d", "e"]
    v2("DELETE", f"alice/pages/manifests/{image.digest}", 202)
    v2("GET", "alice/pages/tags/list", 404)


def test_artefacts_and_their_referrers(v2):
    image, empty = small(), b"{}"
    push(v2, "alice/about", "1", image)
    push_blob(v2, "alice/about", empty)
    note = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.lab.note",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha(empty), "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha(empty), "size": 2}],
        "subject": image.descriptor(), "annotations": {"word": "yes"}}).encode()
    put = v2("PUT", f"alice/about/manifests/{sha(note)}", 201, data=note, headers={"Content-Type": MANIFEST})
    assert put.headers["OCI-Subject"] == image.digest
    listed = v2("GET", f"alice/about/referrers/{image.digest}", 200)
    assert listed.headers["Content-Type"] == INDEX
    assert listed.json()["manifests"] == [{"mediaType": MANIFEST, "digest": sha(note), "size": len(note),
                                           "artifactType": "application/vnd.lab.note", "annotations": {"word": "yes"}}]
    other = v2("GET", f"alice/about/referrers/{image.digest}?artifactType=x/y", 200)
    assert other.json()["manifests"] == [] and other.headers["OCI-Filters-Applied"] == "artifactType"
    assert v2("GET", f"alice/about/referrers/{sha(b'none')}", 200).json()["manifests"] == []


def test_an_index_and_its_children(daemon, v2):
    image, other = runnable(), small(arch="arm64")
    for i in (image, other):
        for data in i.blobs.values():
            push_blob(v2, "alice/multi", data)
        v2("PUT", f"alice/multi/manifests/{i.digest}", 201, data=i.manifest, headers={"Content-Type": MANIFEST})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        other.descriptor(platform={"os": "linux", "architecture": "arm64"}),
        image.descriptor(platform={"os": "linux", "architecture": "amd64"})]}).encode()
    v2("PUT", "alice/multi/manifests/all", 201, data=index, headers={"Content-Type": INDEX})
    daemon.create("multi", "cat /word", image="alice/multi:all")
    daemon.put("multi", "in/f", b"x")
    assert daemon.settled("multi", 1)[0]["state"] == "succeeded"
    daemon.call("DELETE", "/system/services/multi", 204)
    assert v2("GET", "alice/multi/manifests/all", 200).content == index  # what was pushed, not what was unpacked


def test_a_broken_off_piece_goes_on_where_it_was(daemon, v2):
    data = os.urandom(1 << 20)
    where = v2("POST", "alice/cut/blobs/uploads/", 202).headers["Location"][4:]
    with raw(daemon) as s:
        s.sendall(f"PATCH /v2/{where} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {LOGIN}\r\n"
                  f"Content-Length: {len(data)}\r\n\r\n".encode() + data[:500000])
        wait_for("the first half", lambda: any(f.stat().st_size == 500000 for f in pathlib.Path(daemon.data, "images/blobs/sha256").glob("new-*")))
    status = wait_for("the end of the broken request", lambda: [
        a for a in [v2("GET", where)] if a.status_code == 204])[0]
    assert status.headers["Range"] == "0-499999"
    v2("PUT", f"{where}?digest={sha(data)}", 201, data=data[500000:])


def test_many_pushes_of_the_same_at_once(v2):
    image = Image([tar_of(("big", os.urandom(2 << 20)))])
    faults = []

    def one(n):
        try:
            push(v2, f"alice/same{n % 2}", f"t{n}", image)
        except BaseException as e:
            faults.append(e)
    threads = [threading.Thread(target=one, args=(n,)) for n in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not faults
    for n in range(6):
        assert v2("GET", f"alice/same{n % 2}/manifests/t{n}", 200).content == image.manifest


def test_prune_takes_what_nothing_names_and_survives_a_restart(fresh):
    def v2(method, path, expect=None, **kw):
        answer = requests.request(method, fresh.api + "/v2/" + path, auth=(USER, PASSWORD), timeout=60, **kw)
        assert expect is None or answer.status_code == expect, answer.text
        return answer
    image, loose = small(b"kept"), b"nobody names this"
    push(v2, "lab/kept", "1", image)
    push_blob(v2, "lab/kept", loose)
    first = fresh.call("POST", "/system/images/prune", 200).json()
    assert first == {"manifests": 0, "blobs": 0, "bytes": 0}  # a client may be about to name it
    v2("GET", f"lab/kept/blobs/{sha(loose)}", 200)
    gone = fresh.call("POST", "/system/images/prune", 200, params={"now": "true"}).json()
    assert gone == {"manifests": 0, "blobs": 1, "bytes": len(loose)}
    v2("GET", f"lab/kept/blobs/{sha(loose)}", 404)
    moved = small(b"moved")
    push(v2, "lab/kept", "1", moved)
    v2("GET", f"lab/kept/manifests/{image.digest}", 200)  # without a tag, but perhaps pinned by somebody
    fresh.leave()
    fresh.start()
    v2("GET", f"lab/kept/manifests/{image.digest}", 200)
    assert fresh.call("POST", "/system/images/prune", 200, params={"untagged": "true", "now": "true"}).json()["manifests"] == 1
    v2("GET", f"lab/kept/manifests/{image.digest}", 404)
    v2("GET", "lab/kept/manifests/1", 200)
    fresh.call("DELETE", "/system/images/lab%2Fkept:1", 204)
    fresh.call("POST", "/system/images/prune", 200, params={"now": "true"})
    assert not fresh.image_files()


def test_images_of_before_the_registry_are_taken_along(fresh):
    """A database that knew images only by their names: they can be pulled after the upgrade."""
    image = runnable()
    take_in(fresh, layout((image, {})), "lab/old:1")
    take_in(fresh, tar_of(("etc/x", b"x")), "lab/plain:1")
    fresh.leave()
    base = sqlite3.connect(pathlib.Path(fresh.data, "oscar.db"))
    for table in ("manifests", "manifest_refs", "repo_blobs"):  # as they are when they have just been made
        base.execute(f"DELETE FROM {table}")
    base.commit()
    base.close()
    os.remove(pathlib.Path(fresh.data, "images/blobs/sha256", image.digest[7:]))
    fresh.start()
    host = fresh.api + "/v2/lab/old/"
    assert requests.get(host + "manifests/1", auth=(USER, PASSWORD)).content == image.manifest
    for digest, data in image.blobs.items():
        assert requests.get(host + "blobs/" + digest, auth=(USER, PASSWORD)).content == data
    names = [i["name"] for i in fresh.call("GET", "/system/images", 200).json()]
    assert names == ["host", "lab/old:1", "lab/plain:1"]
