"""`oscar serve --runtime oci`: sandboxes made by crun or runc. The tests of jobs run with it by OSCAR_E2E_RUNTIME=oci; here is what
only an administrator meets."""
import pathlib
import shutil
import signal
import subprocess

import pytest

from conftest import OSCAR, Daemon, wait_for

pytestmark = pytest.mark.skipif(not shutil.which("crun"), reason="crun is not installed")


def refused(data, *options):
    done = subprocess.run([OSCAR, "serve", "--data", data, "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0", *options],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    return done.stderr


@pytest.fixture(scope="module", params=["crun", "runc"])
def runtime(request):
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    d = Daemon(None, "--runtime", "oci", "--oci-runtime", request.param)
    yield d
    d.close()


@pytest.mark.parametrize("options, told", [
    (["--runtime", "docker"], "--runtime docker: want sandbox or oci"),
    (["--runtime", "sandbox", "--oci-runtime", "crun"], "--oci-runtime is for --runtime oci"),
    (["--runtime", "oci", "--oci-runtime", "podman"], "podman: want crun, runc or the absolute path of one"),
    (["--runtime", "oci", "--oci-runtime", "/nowhere/crun"], "/nowhere/crun is not installed, or cannot be executed"),
])
def test_a_runtime_that_cannot_be_is_refused(tmp_path, options, told):
    assert told in refused(str(tmp_path), *options)


def test_a_job_runs_in_a_container(runtime):
    runtime.create("box", 'cat /proc/1/comm; id -u; grep -c . /proc/net/dev; test -e /run/crun && echo seen; '
                          'cat "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/copy"; exit 7')
    runtime.put("box", "in/a", b"text")
    job = runtime.settled("box", 1)[0]
    detail = runtime.detail(job["id"])
    assert job["state"] == "failed" and detail["attempts"][0]["exit_code"] == 7, detail
    assert runtime.joblog(job["name"]).splitlines()[:3] == ["oscar-init", "0", "3"]
    assert detail["attempts"][0]["memory_peak_bytes"] > 0


def test_nothing_of_the_container_lies_on_the_disk(runtime):
    runtime.create("secretive", "touch $TMP_OUTPUT_DIR/began; sleep 30", environment={"secrets": {"TOKEN": "not-on-the-disk"}})
    runtime.call("POST", "/job/secretive", 201, data="x")
    wait_for("its start", lambda: runtime.summary("secretive")["running"])
    folder = pathlib.Path(runtime.data)
    wait_for("its script", lambda: list(folder.glob("jobs/*/oscar/output/began")))
    assert not list(folder.glob("jobs/**/config.json"))
    found = [p for p in folder.glob("jobs/**/*") if p.is_file() and p.name != "env" and b"not-on-the-disk" in p.read_bytes()]
    assert not found  # but in what the daemon gives to any sandbox
    assert not list(pathlib.Path("/run").glob("crun/job*")) and not list(pathlib.Path("/run").glob("runc/job*"))
    job = runtime.jobs("secretive")[0]
    runtime.call("POST", f"/system/jobs/{job['id']}/cancel", 202)
    wait_for("its end", lambda: runtime.summary("secretive")["cancelled"], 3)


def test_a_runtime_that_fails_is_told_of(tmp_path):
    tmp_path.chmod(0o755)
    shutil.copy("/bin/false", tmp_path / "crun")
    d = Daemon(None, "--runtime", "oci", "--oci-runtime", str(tmp_path / "crun"))
    try:
        d.create("never", "true", retry={"attempts": 1})
        d.call("POST", "/job/never", 201, data="x")
        job = d.settled("never", 1)[0]
        assert job["state"] in ("failed", "dead") and f"{tmp_path}/crun: it failed without a word" in job["reason"]
    finally:
        d.close()


def test_the_runtime_changes_when_no_job_of_the_other_is_left():
    d = Daemon(None, "--runtime", "sandbox")
    try:
        d.create("long", "sleep 60")
        d.call("POST", "/job/long", 201, data="x")
        wait_for("its start", lambda: d.summary("long")["running"])
        d.leave()
        own = d.options
        assert "still has jobs: let them end, or end them by `oscar stop`" in refused(d.data, "--runtime", "oci")
        subprocess.run([OSCAR, "stop", "--data", d.data], check=True, timeout=60)
        d.options = ["--runtime", "oci"]
        d.start()
        d.create("short", "cat /proc/1/comm")
        assert d.call("POST", "/run/short", 200, data="x").text.strip()
        job = d.settled("short", 1)[0]
        assert d.joblog(job["name"]) == "oscar-init\n"
        d.process.send_signal(signal.SIGINT)
        d.process.wait(60)
        d.options = own
        d.start()
        assert d.call("POST", "/run/short", 200, data="x").text.strip()
    finally:
        d.close()
