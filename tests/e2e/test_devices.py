"""Devices of the machine by CDI specifications: nodes of our own that behave like /dev/zero and /dev/full."""
import datetime
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile

import pytest
from conftest import OSCAR, Daemon, run_cli, wait_for

KIND = "example.test/gpu"
LIBRARY = pathlib.Path(__file__).parents[1] / "fuzz/corpus/soname/libfake.so"  # calls itself libfake.so.1
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make device nodes")


def specification(folder, kind=KIND):
    """As NVIDIA's generator writes it, with a second name for each device and one for all."""
    def device(name, *numbers):
        return {"name": name, "containerEdits": {
            "deviceNodes": [{"path": f"/dev/test/gpu{n}", "hostPath": f"{folder}/gpu{n}"} for n in numbers],
            "env": [f"TEST_GPU_{name}=1"]}}

    def hook(*args):
        return {"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": ["nvidia-cdi-hook", *args]}
    return {"cdiVersion": "0.6.0", "kind": kind,
            "devices": [device("0", 0), device("1", 1), device("UUID-1", 1), device("all", 0, 1)],
            "containerEdits": {
                "env": ["TEST_VISIBLE=void"],
                "mounts": [{"hostPath": str(folder / "libfake.so.1.2.3"), "options": ["ro", "nosuid", "nodev", "bind"],
                            "containerPath": "/usr/lib/oscar-test/libfake.so.1.2.3"}],
                "hooks": [hook("create-symlinks", "--link", "libfake.so.1::/usr/lib/oscar-test/libfake.so"),
                          hook("enable-cuda-compat", "--host-driver-version=1.2.3"),
                          hook("update-ldcache", "--folder", "/usr/lib/oscar-test")]}}


class Machine:
    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="oscar-devices-", dir="/tmp"))
        self.path.chmod(0o755)
        self.cdi = self.path / "cdi"
        self.gate = self.path / "gate"
        self.cdi.mkdir()
        self.gate.mkdir()
        shutil.copyfile(LIBRARY, self.path / "libfake.so.1.2.3")
        for n, minor in ((0, 5), (1, 7)):
            os.mknod(self.path / f"gpu{n}", stat.S_IFCHR | 0o600, os.makedev(1, minor))
        self.write("test.json", specification(self.path))
        self.options = ["--cdi-dir", str(self.cdi), "--mount", f"gate={self.gate}"]

    def write(self, name, value):
        part = self.path / "part"
        part.write_text(value if isinstance(value, str) else json.dumps(value))
        part.rename(self.cdi / name)

    def open(self, open=True):
        (self.gate / "go").touch() if open else (self.gate / "go").unlink()


@pytest.fixture
def machine():
    m = Machine()
    yield m
    shutil.rmtree(m.path)


@pytest.fixture
def served(machine):
    d = Daemon(None, *machine.options)
    d.machine = machine
    yield d
    d.close()


HOLD = """#!/bin/sh
echo have $(ls /dev/test)
until [ -e /mnt/gate/go ]; do sleep 0.05; done
"""


def submit(d, name, count, **keys):
    d.create(name, keys.pop("script", HOLD), mounts=[{"name": "gate"}], **keys)
    for _ in range(count):
        d.call("POST", f"/job/{name}", 201, json={})


def running(d, name, n):
    wait_for(f"{n} running jobs", lambda: d.summary(name)["running"] == n)


def in_use(d):
    devices = d.call("GET", "/system/status", 200).json()["cluster"]["devices"]
    return [x["name"] for x in devices if x["in_use"]]


def held(d, job):
    return d.detail(job["name"])["attempts"][-1].get("devices", [])


def time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def apart(d, jobs):
    """No two jobs had the same device at the same time, and each saw the node of its own alone."""
    spans = {}
    for job in jobs:
        attempt = d.detail(job["name"])["attempts"][-1]
        (name,) = attempt["devices"]
        assert f"have gpu{name[-1]}" in d.joblog(job["name"])
        spans.setdefault(name, []).append((time(attempt["started"]), time(attempt["ended"])))
    for times in spans.values():
        times.sort()
        assert all(a[1] <= b[0] for a, b in zip(times, times[1:])), spans
    return spans


def test_two_devices_and_four_jobs(served):
    d = served
    submit(d, "four", 4, enable_gpu=True)
    running(d, "four", 2)
    assert d.summary("four")["queued"] == 2
    assert in_use(d) == [f"{KIND}=0", f"{KIND}=1"]
    metrics = d.call("GET", "/metrics", 200).text
    assert f'oscar_devices{{device="{KIND}",kind="total"}} 2' in metrics
    assert f'oscar_devices{{device="{KIND}",kind="used"}} 2' in metrics
    status = d.call("GET", "/system/status", 200).json()["cluster"]
    assert status["metrics"]["gpu"]["total_gpu"] == 2 and status["nodes"][0]["gpu"] == 2
    assert d.call("GET", "/system/config", 200).json()["config"]["gpu_available"] is True
    # What needs none does not wait behind what does.
    submit(d, "plain", 1, script="test ! -e /dev/test && test -z \"$TEST_VISIBLE\"")
    assert d.settled("plain", 1)[0]["state"] == "succeeded"
    d.machine.open()
    jobs = d.settled("four", 4)
    assert [j["state"] for j in jobs] == ["succeeded"] * 4
    assert sorted(apart(d, jobs)) == [f"{KIND}=0", f"{KIND}=1"]
    wait_for("free devices", lambda: in_use(d) == [])
    name = jobs[0]["name"]
    assert KIND in run_cli(d, "jobs", "get", name).stdout


def test_what_a_job_finds(served):
    d = served
    d.create("finds", """#!/bin/sh
set -ex
test "$(ls /dev/test)" = gpu0
test "$(head -c 3 /dev/test/gpu0 | od -An -tx1)" = ' 00 00 00'
test "$TEST_VISIBLE$TEST_GPU_0$TEST_GPU_1" = void1
test "$LD_LIBRARY_PATH" = /usr/lib/oscar-test
cd /usr/lib/oscar-test
test "$(readlink libfake.so)" = libfake.so.1
test "$(readlink libfake.so.1)" = libfake.so.1.2.3
head -c 4 libfake.so | grep -q ELF
! touch libfake.so.1.2.3 && ! touch x
python3 -c 'import ctypes; assert ctypes.CDLL("libfake.so.1").oscar_fake() == 7'
""", gpus=1)
    d.call("POST", "/job/finds", 201, json={})
    job = d.settled("finds", 1)[0]
    assert job["state"] == "succeeded", d.joblog(job["name"]) + job["reason"]
    assert "enable-cuda-compat is left out" in (pathlib.Path(d.data) / "daemon.log").read_text()
    shell = run_cli(d, "jobs", "shell", job["name"], "--", "sh", "-c", "ls /dev/test; echo $TEST_VISIBLE")
    assert shell.stdout.split() == ["gpu0", "void"]
    answer = d.call("POST", "/run/finds", 200, data=b"{}")
    assert answer.status_code == 200


def test_kill_in_the_middle(served):
    d = served
    submit(d, "killed", 2, gpus=1)
    running(d, "killed", 2)
    before = {j["name"]: held(d, j) for j in d.jobs("killed")}
    d.kill()
    d.start()
    wait_for("devices of the life before", lambda: len(in_use(d)) == 2)
    submit(d, "later", 1, gpus=1)
    submit(d, "plain", 1, script="true")
    d.settled("plain", 1)  # it had its turn after the other
    assert d.summary("later")["queued"] == 1
    d.machine.open()
    d.settled("killed", 2)
    d.settled("later", 1)
    for job in d.jobs("killed"):
        detail = d.detail(job["name"])
        assert detail["state"] == "succeeded" and len(detail["attempts"]) == 1
        assert held(d, job) == before[job["name"]]
    apart(d, d.jobs("killed") + d.jobs("later"))


def test_several_for_one_job_and_its_turn(served):
    d = served
    submit(d, "first", 1, gpus=1)
    running(d, "first", 1)
    submit(d, "both", 1, gpus=2)
    submit(d, "plain", 1, script="true")
    d.settled("plain", 1)
    submit(d, "after", 1, gpus=1)  # one is free, but another waits for two
    submit(d, "plain2", 1, script="true")
    d.settled("plain2", 1)
    assert d.summary("both")["queued"] == 1 and d.summary("after")["queued"] == 1
    d.machine.open()
    (job,) = d.settled("both", 1)
    assert job["state"] == "succeeded" and held(d, job) == [f"{KIND}=0", f"{KIND}=1"]
    assert d.settled("after", 1)[0]["state"] == "succeeded"


@pytest.mark.parametrize("keys,reason", [
    ({"gpus": 3}, f"it needs 3 devices {KIND}, and this machine has 2"),
    ({"devices": [{"kind": "example.test/fpga"}]}, "devices of the kind example.test/fpga are not offered here"),
])
def test_more_than_there_is(served, keys, reason):
    d = served
    submit(d, "many", 1, retry={"attempts": 1}, **keys)
    (job,) = d.settled("many", 1)
    assert job["state"] == "failed" and reason in job["reason"]
    answer = d.call("POST", "/run/many", data=b"{}")
    assert answer.status_code >= 500 and reason in answer.text, answer.text


def test_other_kinds_by_name(machine):
    machine.write("fpga.yaml", "cdiVersion: 0.6.0\nkind: example.test/fpga\ndevices:\n- name: a\n"
                               "  containerEdits: {env: [FPGA=a]}\n")
    d = Daemon(None, *machine.options, "--device-kind", "example.test/fpga", "--gpu-kind", KIND)
    try:
        submit(d, "mixed", 1, enable_gpu=True, devices=[{"kind": "example.test/fpga", "count": 1}],
               script="test $FPGA = a && test -c /dev/test/gpu0")
        (job,) = d.settled("mixed", 1)
        assert job["state"] == "succeeded" and sorted(held(d, job)) == ["example.test/fpga=a", f"{KIND}=0"]
    finally:
        d.close()


@pytest.mark.parametrize("keys,text", [
    ({"gpus": 17}, "gpus: 17 is not between 0 and 16"),
    ({"gpus": 0, "enable_gpu": True}, "gpus: 0, and enable_gpu wants one"),
    ({"gpus": "two"}, "gpus: expected a whole number"),
    ({"devices": [{"kind": "gpu"}]}, 'devices[0]: kind: "gpu": want one such as vendor.com/class'),
    ({"devices": [{"kind": KIND, "count": 0}]}, "devices[0]: count: want a number from 1 to 16"),
    ({"devices": [{"kind": KIND}, {"kind": KIND}]}, "is there twice"),
    ({"gpus": 9, "devices": [{"kind": KIND, "count": 9}]}, "with gpus 18 in all, allowed are 16"),
    ({"gpus": 1, "keep_warm": 1}, "keep_warm: a sandbox with devices is not kept"),
])
def test_nonsense_is_refused(served, keys, text):
    body = {"name": "wrong", "image": "host", "script": "true", **keys}
    answer = served.call("POST", "/system/services", json=body)
    assert answer.status_code == 400 and text in answer.text, answer.text


def test_files_come_and_go(served):
    d, m = served, served.machine

    def total():
        return d.call("GET", "/system/status", 200).json()["cluster"]["metrics"]["gpu"]["total_gpu"]
    assert total() == 2
    m.write("bad.yaml", "cdiVersion: 0.6.0\nkind: example.test/gpu\ndevices:\n- name: '7'\n"
                        "  containerEdits: {deviceNodes: [{path: /etc/passwd}]}\n")
    log = pathlib.Path(d.data) / "daemon.log"
    want = f"{m.cdi}/bad.yaml: devices[0]: containerEdits: deviceNodes[0]: path: "
    wait_for("a warning", lambda: want in log.read_text())
    os.mknod(m.path / "gpu2", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    m.write("more.yaml", f"cdiVersion: 0.6.0\nkind: {KIND}\ndevices:\n- name: '2'\n"
                         f"  containerEdits: {{deviceNodes: [{{path: /dev/test/gpu2, hostPath: {m.path}/gpu2}}]}}\n")
    wait_for("a third device", lambda: total() == 3)
    submit(d, "three", 1, gpus=3, script="test $(ls /dev/test | wc -l) = 3")
    assert d.settled("three", 1)[0]["state"] == "succeeded"


def test_a_server_keeps_its_device(served):
    d = served
    d.create("serves", "ls /dev/test > /tmp/index.html; cd /tmp; exec python3 -m http.server 8000", gpus=1,
             memory="128Mi", cpu="0.5", input=[], output=[], expose={"api_port": 8000, "max_scale": 1})
    answer = d.call("GET", "/system/services/serves/exposed/index.html", 200)
    assert answer.text.split() == ["gpu0"]
    assert in_use(d) == [f"{KIND}=0"]
    submit(d, "beside", 1, gpus=1, script="ls /dev/test")
    (job,) = d.settled("beside", 1)
    assert held(d, job) == [f"{KIND}=1"]
    d.call("DELETE", "/system/services/serves", 204)
    wait_for("a free device", lambda: in_use(d) == [])


def test_without_a_server(machine, opened):
    fdl = opened / "f.yaml"
    fdl.write_text(f"""functions:
  oscar:
  - local:
      name: alone
      image: host
      cpu: '0.5'
      memory: 64Mi
      devices: [{{kind: {KIND}}}]
      script: |
        #!/bin/sh
        ls /dev/test > "$TMP_OUTPUT_DIR/nodes"
      input: [{{storage_provider: minio.default, path: alone/in}}]
      output: [{{storage_provider: minio.default, path: alone/out}}]
""")
    (opened / "in.txt").write_text("x")
    done = subprocess.run([OSCAR, "run", "--local", "--cdi-dir", machine.cdi, "--output-dir", opened / "out", fdl,
                           opened / "in.txt"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (opened / "out").rglob("nodes")
    assert made.read_text() == "gpu0\n"


@pytest.mark.parametrize("options,why", [
    (["--gpu-kind", "gpu"], "want a kind such as vendor.com/class"),
    (["--device-kind", "a/b/c"], "want a kind such as vendor.com/class"),
])
def test_wrong_options_are_told(tmp_path, options, why):
    done = subprocess.run([OSCAR, "serve", "--data", tmp_path, "--listen", "127.0.0.1:0", *options],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and re.search(why, done.stderr), done.stderr
