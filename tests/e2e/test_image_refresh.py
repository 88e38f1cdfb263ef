"""A service's image is pinned; `image_refresh` says when its registry is asked for news, and what goes on is told."""
import gzip
import json
import os
import threading
import time

import pytest
import requests
from conftest import run_cli, wait_for
from oci import Image, LyingRegistry, Registry, base_layer, drop_all, layout, pull, take_in, tar_of


def version(n, **config):
    return Image([base_layer(), tar_of(("version", b"%d\n" % n))], Env=["PATH=/bin"],
                 pack=lambda i, data: gzip.compress(data, mtime=0), **config)


@pytest.fixture
def tidy(daemon):
    yield
    for s in daemon.call("GET", "/system/services", 200).json():
        daemon.call("DELETE", f"/system/services/{s['name']}", 204)
    daemon.call("POST", "/system/images/prune", 200)  # what only their revisions held
    drop_all(daemon)


def body(name, image, **keys):
    return dict({"name": name, "image": image, "cpu": "0.1", "memory": "64Mi", "script": "cat /version"}, **keys)


def runs(daemon, name, n):
    daemon.call("POST", f"/job/{name}", 201, data=b"x")
    before = len(daemon.jobs(name))
    job = max(daemon.settled(name, before), key=lambda j: j["id"])
    assert job["state"] == "succeeded" and daemon.joblog(job["name"]).endswith(f"{n}\n"), job
    return daemon.detail(job["name"])


def get(daemon, name):
    return daemon.call("GET", f"/system/services/{name}", 200).json()


def test_an_image_stays_pinned_until_it_is_asked_for_again(daemon, registry, tmp_path, tidy):
    one, two, three = (version(n) for n in (1, 2, 3))
    ref = f"{registry.host}/lab/moving:1"
    registry.push(tmp_path, one, "lab/moving:1")
    pull(daemon, ref)
    daemon.call("POST", "/system/services", 201, json=body("pinned", ref))
    daemon.call("POST", "/system/services", 201, json=body("fresh", ref, image_refresh="apply"))
    registry.push(tmp_path, two, "lab/moving:1")
    assert runs(daemon, "pinned", 1)["image_digest"] == one.digest
    assert runs(daemon, "fresh", 1)["image_digest"] == one.digest
    # Never: not even when it is applied again. Apply: then.
    daemon.call("PUT", "/system/services", 204, json=body("pinned", ref, image_refresh="never"))
    assert get(daemon, "pinned")["image_digest"] == one.digest
    daemon.call("PUT", "/system/services", 204, json=body("fresh", ref, image_refresh="apply"))
    assert get(daemon, "fresh")["image_digest"] == two.digest
    assert runs(daemon, "fresh", 2)["image_digest"] == two.digest
    assert runs(daemon, "pinned", 1)["image_digest"] == one.digest
    # Every so often: a new revision by itself, which is told.
    daemon.call("PUT", "/system/services", 204, json=body("fresh", ref, image_refresh="10s"))
    registry.push(tmp_path, three, "lab/moving:1")
    wait_for("the third version", lambda: get(daemon, "fresh")["image_digest"] == three.digest)
    assert runs(daemon, "fresh", 3)["image_digest"] == three.digest
    assert get(daemon, "fresh")["image_checked"] and "image_error" not in get(daemon, "fresh")
    answer = daemon.call("GET", "/system/events", 200, stream=True, headers={"Last-Event-ID": "0"})
    changes = [json.loads(line[6:]) for line in first_lines(answer, b'"change":"image"')]
    answer.close()
    assert changes[-1]["service"] == "fresh" and changes[-1]["revision"] == 4
    log = daemon.call("GET", "/system/services/fresh/deployment/logs?timestamps=1", 200).json()
    assert any("image is" in entry["message"] and entry["timestamp"] for entry in log["entries"]), log
    assert f"image {ref} is now" in open(daemon.data + "/daemon.log").read()


def first_lines(feed, word):
    lines = []
    for line in feed.iter_lines():
        if line.startswith(b"data: ") and b'"change"' in line:
            lines.append(line)
            if word in line:
                return lines
    pytest.fail("the feed ended")


def test_a_registry_that_is_away_changes_nothing_and_is_told(daemon, tmp_path, tidy):
    r = Registry(tmp_path)
    ref = f"{r.host}/lab/away:1"
    r.push(tmp_path, version(1), "lab/away:1")
    pull(daemon, ref)
    daemon.call("POST", "/system/services", 201, json=body("away", ref, image_refresh="10s"))
    r.close()
    wait_for("the error", lambda: get(daemon, "away").get("image_error"))
    assert r.host in get(daemon, "away")["image_error"]
    runs(daemon, "away", 1)
    shown = run_cli(daemon, "service", "deployment", "away").stdout
    assert "failed:" in shown and "image is" in shown
    # Who applies it now hears it at once; who does not ask can.
    answer = daemon.call("PUT", "/system/services", json=body("away", ref, image_refresh="apply"))
    assert answer.status_code >= 400 and r.host in answer.text
    daemon.call("PUT", "/system/services", 204, json=body("away", ref))


def test_what_did_not_come_from_a_registry_is_not_looked_for_in_one(daemon, tidy):
    """Else a stranger who takes the same name on Docker Hub would be run here."""
    take_in(daemon, layout((version(1), {})), "lab/mine:1")
    daemon.call("POST", "/system/services", 201, json=body("mine", "lab/mine:1", image_refresh="apply"))
    runs(daemon, "mine", 1)


def test_an_image_that_is_not_here_is_fetched_on_apply(daemon, registry, tmp_path, tidy):
    image = version(7)
    registry.push(tmp_path, image, "lab/new:1")
    ref = f"{registry.host}/lab/new:1"
    answer = daemon.call("POST", "/system/services", json=body("new", ref))
    assert answer.status_code == 400 and "does not exist here" in answer.text
    daemon.call("POST", "/system/services", 201, json=body("new", ref, image_refresh="apply"))
    assert runs(daemon, "new", 7)["image_digest"] == image.digest


@pytest.mark.parametrize("word", ["sometimes", "5s", "10", "1w", "-1h", "1.5h", "400d", "h", "99999999999999999999s"])
def test_odd_times_are_refused(daemon, word):
    answer = daemon.call("POST", "/system/services", json=body("odd", "host", image_refresh=word))
    assert answer.status_code == 400 and "image_refresh" in answer.text, answer.text


def test_building_is_told_while_the_image_is_on_its_way(daemon, tidy):
    image = Image([base_layer(), tar_of(("version", b"1\n"), ("big", os.urandom(3 << 20)))])
    go_on = threading.Event()
    big = json.loads(image.manifest)["layers"][1]["digest"]

    def slow(h):
        if not h.path.endswith(big):
            h.server.honest(h)
            return
        data = image.blobs[big]
        h.send_response(200)
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data[:1 << 20])
        h.wfile.flush()
        go_on.wait(30)
        h.wfile.write(data[1 << 20:])

    with LyingRegistry(image, slow) as r:
        wanted = body("built", f"{r.host}/lab/built:1", image_refresh="apply")
        answers = []
        maker = threading.Thread(target=lambda: answers.append(
            requests.post(daemon.api + "/system/services", json=wanted, auth=daemon.http.auth, timeout=60)))
        maker.start()
        try:
            def layer_two():
                answer = daemon.call("GET", "/system/services/built/deployment")
                return answer.json() if answer.status_code == 200 and "layer 2 of 2, 1" in answer.text else None

            state = wait_for("layer 2", layer_two)
            assert state["state"] == "pending" and state["reason"].startswith("getting the image")
            # Nobody waits for it meanwhile, and it is not there before it is.
            daemon.call("POST", "/system/services", 201, json=body("other", "host"))
            daemon.call("GET", "/system/services/built", 404)
            assert "layer 2 of 2" in run_cli(daemon, "service", "deployment", "built").stdout
            daemon.call("POST", "/system/users", 201, json={"name": "stranger", "password": "strange-pass"})
            seen = requests.get(daemon.api + "/system/services/built/deployment",
                                              auth=("stranger", "strange-pass"), timeout=10)
            assert seen.status_code == 404
        finally:
            go_on.set()
            maker.join()
        assert answers[0].status_code == 201, answers[0].text
    after = daemon.call("GET", "/system/services/built/deployment", 200).json()
    assert after["state"] == "unavailable" and "reason" not in after
    runs(daemon, "built", 1)
    daemon.call("GET", "/system/services/nonesuch/deployment", 404)
    assert "image_state" not in get(daemon, "built")


def test_a_daemon_that_leaves_does_not_wait_for_a_registry(fresh):
    over, asked = threading.Event(), threading.Event()

    def silent(h):
        asked.set()
        over.wait(60)

    with LyingRegistry(version(1), silent) as r:
        wanted = body("left", f"{r.host}/lab/left:1", image_refresh="apply")
        maker = threading.Thread(target=lambda: swallow(fresh, wanted), daemon=True)
        maker.start()
        assert asked.wait(20)
        began = time.monotonic()
        fresh.leave()
        assert time.monotonic() - began < 10
        over.set()
        maker.join()


def swallow(daemon, wanted):
    try:
        requests.post(daemon.api + "/system/services", json=wanted, auth=daemon.http.auth, timeout=60)
    except requests.RequestException:
        pass
