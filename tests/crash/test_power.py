"""Power loss at random moments, on a file system of its own on a loop device.

The daemon is stopped for a moment and what the file system has sent to its device so far is copied: what a disk holds
when the power goes. Everything that was not synced is missing from it, since the kernel writes back late. A daemon that
starts on the copy must have all that was acknowledged, nothing half, one job for each upload, and nothing to repair.
CUTS and CLIENTS choose the size.
"""
import copy
import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest

from eyes import e2e
from test_store import SEED, Client, check_client, random

CUTS, CLIENTS = int(os.environ.get("CUTS", 2)), int(os.environ.get("CLIENTS", 6))
MIB = 1 << 20

opened = e2e.opened
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")


def mount(image, where):
    """The loop device's name."""
    where.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(where)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[1] == str(where):
            return line.split()[0].rsplit("/", 1)[1]
    raise AssertionError("mounted nowhere")


def umount(where):
    e2e.wait_for("the end of all that uses it",
                 lambda: subprocess.run(["umount", str(where)], capture_output=True, check=False).returncode == 0)


def written(device):
    """(writes done, sectors written, requests under way)"""
    fields = pathlib.Path(f"/sys/block/{device}/stat").read_text().split()
    return fields[4], fields[6], fields[8]


def cut(daemon, device, image, to, clients):
    """Copies the disk as it is at one moment, and what the clients know then; None when it did not hold still."""
    os.kill(daemon.process.pid, signal.SIGSTOP)
    try:
        for _ in range(20):
            before = written(device)
            subprocess.run(["cp", "--sparse=always", str(image), str(to)], check=True)
            if before[2] == "0" and written(device) == before:
                return [copy.copy(c.may) for c in clients]
        return None
    finally:
        os.kill(daemon.process.pid, signal.SIGCONT)


class Uploader(threading.Thread):
    """Drops files into a service's folder; `may` tells which were answered."""

    def __init__(self, daemon):
        super().__init__()
        self.daemon, self.may, self.stop, self.failed = daemon, {}, threading.Event(), None

    def run(self):
        n = 0
        while not self.stop.is_set():
            self.may = {**self.may, f"in/{n}": False}
            try:
                self.daemon.put("copy", f"in/{n}", str(n).encode() * 5000)
            except Exception as e:
                self.failed = e
                return
            self.may = {**self.may, f"in/{n}": True}
            n += 1
            time.sleep(0.02)


def check_jobs(daemon, sent):
    names = {k[3:] for k in daemon.keys("copy", "in/")}
    answered = {k[3:] for k, yes in sent.items() if yes}
    assert answered <= names and len(names - answered) <= 1
    daemon.settled("copy", len(names))
    jobs = daemon.jobs("copy")
    assert [j["state"] for j in jobs] == ["succeeded"] * len(names), [j for j in jobs if j["state"] != "succeeded"]
    assert {k[4:] for k in daemon.keys("copy", "out/")} == names
    for name in names:
        assert daemon.get("copy", "out/" + name) == name.encode() * 5000


def check_image(image, where, may):
    mount(image, where)
    # Other than after a mere crash the machine has a new boot id then.
    (where / "data" / "jobs" / ".boot").write_text("another")
    daemon = e2e.Daemon(str(where / "data"))
    try:
        pages = daemon.s3.get_paginator("list_objects_v2").paginate(Bucket="store")
        listed = {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}
        for keys in may[:-1]:
            check_client(daemon, type("Known", (), {"may": keys}), listed)
        check_jobs(daemon, may[-1])
        daemon.stop()
        done = subprocess.run([str(e2e.OSCAR), "check", "--data", str(where / "data")], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        daemon.stop()
        umount(where)
    return len(listed), sum(may[-1].values())


def test_what_was_acknowledged_survives_a_power_loss(opened):
    print(f"SEED={SEED}")
    rng, image = random.Random(SEED), opened / "disk.img"
    with open(image, "wb") as f:
        f.truncate(1024 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    device = mount(image, opened / "mnt")
    (opened / "mnt" / "data").mkdir()
    daemon = e2e.Daemon(str(opened / "mnt" / "data"))
    cuts = []
    try:
        daemon.s3.create_bucket(Bucket="store")
        daemon.create("copy", "cp \"$INPUT_FILE_PATH\" \"$TMP_OUTPUT_DIR/\"")
        clients = [Client(daemon, n) for n in range(CLIENTS)] + [Uploader(daemon)]
        for c in clients:
            c.start()
        for n in range(CUTS):
            time.sleep(0.2 + rng.random())
            to = opened / f"cut{n}.img"
            may = cut(daemon, device, image, to, clients)
            if may:
                cuts.append((to, may))
        for c in clients:
            c.stop.set()
        for c in clients:
            c.join()
            assert c.failed is None, repr(c.failed)
    finally:
        daemon.stop()
        umount(opened / "mnt")
    assert len(cuts) >= CUTS // 2
    for to, may in cuts:
        print(to.name, "objects, answered uploads:", check_image(to, opened / "again", may))
        to.unlink()
