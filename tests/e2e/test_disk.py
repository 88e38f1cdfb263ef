"""The disk runs full, or can only be read: what works then, and that all of it works again."""
import os
import pathlib
import subprocess
import threading
import uuid

import botocore.config
import botocore.exceptions
import boto3
import pytest
from conftest import KEY, OSCAR, SECRET, Daemon, wait_for

MIB = 1 << 20

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def disk(opened):
    """An ext4 file system of 192 MiB, all of it for anybody."""
    image, mnt = opened / "disk.img", opened / "mnt"
    mnt.mkdir()
    with open(image, "wb") as f:
        f.truncate(192 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-F", str(image)], check=True)
    made = subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(mnt)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    yield mnt
    # The runner leaves a moment after the daemon.
    wait_for("the end of all that uses it",
             lambda: subprocess.run(["umount", str(mnt)], capture_output=True, check=False).returncode == 0)


def share(mnt):
    v = os.statvfs(mnt)
    return v.f_bavail / v.f_blocks


def once(daemon):
    """A client that does not try again."""
    return boto3.client("s3", endpoint_url=daemon.s3_url, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
                        region_name="us-east-1", config=botocore.config.Config(retries={"max_attempts": 0}))


def refused(call, **kw):
    """The (status, code) of a call's refusal, None when it was done."""
    try:
        call(**kw)
        return None
    except botocore.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def fill_by_s3(daemon, bucket):
    """Four clients put until each is refused; what was stored."""
    stored, last = {}, []

    def work(me):
        s3, n = once(daemon), 0
        while True:
            key, body = f"{me}-{n}", bytes([me, n % 256]) * (MIB // 2)
            n += 1
            why = refused(s3.put_object, Bucket=bucket, Key=key, Body=body)
            if why:
                last.append(why)
                return
            stored[key] = body

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(last) == {(507, "XMinioStorageFull")}
    return stored


def fill_all(path):
    """Somebody else takes all that is left."""
    with open(path, "ab", buffering=0) as f:
        for size in (MIB, 4096, 512):
            try:
                while True:
                    f.write(bytes(size))
            except OSError:
                pass
        os.fsync(f.fileno())


@needs_root
def test_a_full_disk(disk):
    data = disk / "data"
    data.mkdir()
    daemon = Daemon(str(data))
    try:
        daemon.create("copy", "cp \"$INPUT_FILE_PATH\" \"$TMP_OUTPUT_DIR/\"")
        s3 = once(daemon)
        s3.create_bucket(Bucket="fill")
        stored = fill_by_s3(daemon, "fill")
        assert len(stored) > 50 and share(disk) < 0.03
        for key in list(stored)[:5]:
            assert daemon.get("fill", key) == stored[key]

        fill_all(disk / "others")
        assert os.statvfs(disk).f_bavail == 0
        assert refused(s3.put_object, Bucket="fill", Key="x", Body=b"x") == (507, "XMinioStorageFull")
        key = sorted(stored)[0]
        assert refused(s3.delete_object, Bucket="fill", Key=key) is None
        assert refused(s3.head_object, Bucket="fill", Key=key)[0] == 404
        keys = sorted(stored)[1:]
        fill_all(disk / "others")
        answer = s3.delete_objects(Bucket="fill", Delete={"Objects": [{"Key": k} for k in keys[:50]]})
        assert len(answer["Deleted"]) == 50 and "Errors" not in answer
        assert daemon.get("fill", keys[-1]) == stored[keys[-1]]

        # The content goes by itself, and then there is room again. Between the two bounds things are stored, but
        # no job starts.
        content = data / "content"
        wait_for("the end of what was deleted",
                 lambda: sum(1 for f in content.rglob("*") if f.is_file()) == len(keys) - 50 + 1)
        with open(disk / "more", "wb") as f:
            v = os.statvfs(disk)
            os.posix_fallocate(f.fileno(), 0, int((share(disk) - 0.035) * v.f_blocks) * v.f_frsize)
        assert 0.02 < share(disk) < 0.05
        daemon.put("copy", "in/waits", b"w")
        wait_for("the refusal to start jobs",
                 lambda: "no new job starts" in (pathlib.Path(daemon.data) / "daemon.log").read_text())
        assert daemon.summary("copy")["queued"] == 1
        (disk / "more").unlink()
        daemon.settled("copy", 1)
        assert daemon.get("copy", "out/waits") == b"w"
        name = uuid.uuid4().hex
        daemon.put("fill", name, b"again")
        assert daemon.get("fill", name) == b"again"
    finally:
        daemon.close()
    checked = subprocess.run([str(OSCAR), "check", "--data", str(data)],
                             capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def turn_read_only(mnt):
    """As the kernel does when it finds the file system damaged; who has files open for writing is not asked."""
    device = next(line.split()[0] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()
                  if line.split()[1] == str(mnt))
    trigger = pathlib.Path("/sys/fs/ext4") / pathlib.Path(device).name / "trigger_fs_error"
    if not trigger.exists():
        pytest.skip("this kernel has no way to make ext4 believe in an error")
    trigger.write_text("a test")
    with pytest.raises(OSError, match="Read-only"):
        (mnt / "probe").touch()


def mend(image, mnt):
    """As an administrator does; such a file system cannot be made writable while it is mounted."""
    wait_for("the end of all that uses it",
             lambda: subprocess.run(["umount", str(mnt)], capture_output=True, check=False).returncode == 0)
    assert subprocess.run(["e2fsck", "-fy", str(image)], capture_output=True, check=False).returncode in (0, 1)
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(mnt)], check=True)


@needs_root
def test_a_disk_that_turns_read_only(disk):
    data = disk / "data"
    data.mkdir()
    daemon = Daemon(str(data))
    body = b"large" * 100000
    try:
        daemon.create("copy", "sleep 1; cp \"$INPUT_FILE_PATH\" \"$TMP_OUTPUT_DIR/\"")
        s3 = once(daemon)
        s3.create_bucket(Bucket="store")
        for i in range(20):
            s3.put_object(Bucket="store", Key=f"small{i}", Body=b"s%d" % i)
            s3.put_object(Bucket="store", Key=f"large{i}", Body=body + b"%d" % i)
        daemon.put("copy", "in/runs", body)
        wait_for("its start", lambda: daemon.summary("copy")["running"] == 1)
        turn_read_only(disk)
        for key, what in (("small", b"x"), ("large", body)):
            assert refused(s3.put_object, Bucket="store", Key=key + "new", Body=what)[0] in (503, 507)
            assert refused(s3.put_object, Bucket="store", Key=key + "1", Body=what)[0] in (503, 507)
        assert refused(s3.delete_object, Bucket="store", Key="small1")[0] in (503, 507)
        for i in range(20):
            assert daemon.get("store", f"small{i}") == b"s%d" % i
            assert daemon.get("store", f"large{i}") == body + b"%d" % i
        assert len(daemon.keys("store")) == 40
        daemon.leave()
        daemon.log.close()  # which lies there, too
        mend(disk.parent / "disk.img", disk)
        daemon.start()
        daemon.put("store", "again", body)
        assert [j["state"] for j in daemon.settled("copy", 1)] == ["succeeded"]
        assert daemon.get("copy", "out/runs") == body and daemon.get("store", "again") == body
        assert len(daemon.keys("store")) == 41
    finally:
        daemon.close()
    checked = subprocess.run([str(OSCAR), "check", "--data", str(data)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
