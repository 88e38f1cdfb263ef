"""Folders of the machine that an administrator offers by name, and services that mount them."""
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from conftest import OSCAR, Daemon


@pytest.fixture(scope="module")
def offered():
    path = pathlib.Path(tempfile.mkdtemp(prefix="oscar-mount-", dir="/tmp"))
    path.chmod(0o755)
    (path / "refs").mkdir()
    (path / "refs/genome").write_text("ACGT")
    (path / "refs/escape").symlink_to(path / "outside")
    (path / "outside").write_text("outside")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def served(offered):
    d = Daemon(None, "--mount", f"refs={offered}/refs", "--mount", f"tools={offered}/refs:ro")
    yield d
    d.close()


def test_a_service_sees_a_folder_by_name(served, offered):
    d = served
    d.create("look", 'cat /mnt/refs/genome; echo; ls /mnt/lib/tools; cat /mnt/refs/escape; echo x >/mnt/refs/new; true',
             mounts=[{"name": "refs"}, {"name": "tools", "path": "/mnt/lib/tools/"}])
    d.call("POST", "/job/look", 201, json={})
    job = d.settled("look", 1)[0]
    assert job["state"] == "succeeded", str(d.detail(job["name"])["attempts"])
    log = d.joblog(job["name"])
    assert log.startswith("ACGT\nescape\ngenome\n") and "outside" not in log.replace(f"{offered}/outside", "")
    assert not (offered / "refs/new").exists()
    assert d.call("GET", "/system/services/look", 200).json()["mounts"][1] == {"name": "tools", "path": "/mnt/lib/tools/"}
    d.create("other", "ls /mnt/refs && exit 1; true")  # which did not ask for it
    d.call("POST", "/job/other", 201, json={})
    assert d.settled("other", 1)[0]["state"] == "succeeded"


@pytest.mark.parametrize("mounts,text", [
    ([{"name": "homes"}], 'mounts[0].name: this server offers no folder "homes"'),
    ([{"name": "../etc"}], "mounts: [0]: name: want a word"),
    ([{"name": "refs", "path": "/etc"}], "want a place below /mnt"),
    ([{"name": "refs", "path": "/mnt/../etc"}], "want a place below /mnt"),
    ([{"name": "refs"}, {"name": "tools", "path": "/mnt/refs/x"}], "lie in one another"),
])
def test_what_cannot_be_is_refused(served, mounts, text):
    body = {"name": "wrong", "image": "host", "script": "true", "mounts": mounts}
    answer = served.call("POST", "/system/services", json=body)
    assert answer.status_code == 400 and text in answer.text, answer.text


def test_a_folder_that_is_offered_no_more_fails_its_jobs(offered):
    d = Daemon(None, "--mount", f"refs={offered}/refs")
    try:
        d.create("look", "cat /mnt/refs/genome", mounts=[{"name": "refs"}])
        d.leave()
        d.options = []
        d.start()
        d.call("POST", "/job/look", 201, json={})
        job = d.settled("look", 1)[0]
        assert job["state"] == "failed"
        assert d.detail(job["name"])["attempts"][0]["reason"] == "mount refs: this server offers no such folder any more"
    finally:
        d.close()


@pytest.mark.parametrize("text,why", [
    ("refs", "absolute path"), ("=/tmp", "want NAME"), ("A=/tmp", "want NAME"), ("a=tmp", "absolute path"),
    ("a=/nonesuch", "No such file"), ("a=/etc/passwd", "no folder"), ("a=/", "own data"), ("a={data}", "own data"),
])
def test_wrong_options_are_told(tmp_path, text, why):
    text = text.format(data=tmp_path)
    done = subprocess.run([OSCAR, "serve", "--data", tmp_path, "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0",
                           "--mount", text], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and why in done.stderr, done.stderr


def test_a_kept_sandbox_has_its_folders(served):
    d = served
    d.create("kept", "cat /mnt/refs/genome", mounts=[{"name": "refs"}], keep_warm=1)
    for _ in range(3):
        assert "ACGT" in d.call("POST", "/run/kept", 200, json={}).text
