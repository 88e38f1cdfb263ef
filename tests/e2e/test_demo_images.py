"""The case study in its own images: the same results as with this machine's programs, from an archive without network.
The archive takes minutes and a Debian mirror to make, so it is used when it is there: `make dist-demo`."""
import json
import os
import shutil
import subprocess
import tarfile

import pytest
from conftest import OSCAR, ROOT

ARCHIVE = ROOT / "demo-images.tar"
pytestmark = pytest.mark.skipif(not ARCHIVE.exists(), reason="no demo-images.tar: `make dist-demo` makes it")


def run_demo(**env):
    done = subprocess.run([ROOT / "tools" / "demo", OSCAR], env=dict(os.environ, PICTURES="10", **env), text=True,
                          capture_output=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    out = ROOT / "demo-out"
    summary = json.loads((out / "summary.json").read_text())
    boxes = {p.name: [(o["class"], [round(v) for v in o["box"]]) for o in json.loads(p.read_text())["objects"]]
             for p in out.glob("sample-*.json")}
    shutil.rmtree(out)
    return summary, boxes


def test_three_images_in_one_archive_share_their_base():
    with tarfile.open(ARCHIVE) as tar:
        index = json.load(tar.extractfile("index.json"))
        manifests = [json.load(tar.extractfile("blobs/sha256/" + m["digest"][7:])) for m in index["manifests"]]
    assert [m["annotations"]["org.opencontainers.image.ref.name"] for m in index["manifests"]] == [
        "demo/video-split:1", "demo/detect:1", "demo/people:1"]
    assert len({m["layers"][0]["digest"] for m in manifests}) == 1
    assert len({m["layers"][1]["digest"] for m in manifests}) == 3


def test_the_case_study_runs_in_its_images_as_it_does_without():
    host, host_boxes = run_demo()
    own, own_boxes = run_demo(IMAGES=str(ARCHIVE))
    for what in ("pictures", "json", "jpg", "lost", "twice", "failed", "precision", "recall", "people"):
        assert own[what] == host[what], (what, own, host)
    assert own_boxes == host_boxes and len(own_boxes) == 10
