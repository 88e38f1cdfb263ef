"""Backups beside a running daemon, and daemons from backups."""
import hashlib
import pathlib
import subprocess
import threading

import pytest
from conftest import OSCAR, Daemon, wait_for


def run(*args, status=0):
    done = subprocess.run([str(OSCAR), *map(str, args)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def restored(opened, backup, name, *options):
    data = opened / name
    data.mkdir()
    run("restore", backup, "--data", data, *options)
    return Daemon(str(data))


def content_files(backup):
    return {p for p in (pathlib.Path(backup) / "content").rglob("*") if p.is_file()}


def test_a_backup_beside_changes_is_of_one_moment(daemon, opened):
    daemon.s3.create_bucket(Bucket="moving")
    daemon.create("copier", "cp \"$INPUT_FILE_PATH\" \"$TMP_OUTPUT_DIR/\"")
    daemon.put("copier", "in/first", b"1")
    daemon.settled("copier", 1)
    stop, rounds = threading.Event(), []

    def change(me):
        # Each object says in its key what it holds; old ones go all the time.
        n = 0
        while not stop.is_set():
            body = hashlib.sha256(f"{me} {n}".encode()).digest() * (2000 if n % 3 else 10)
            daemon.put("moving", f"{me}/{n}/{hashlib.md5(body).hexdigest()}", body)
            if n >= 5:
                for key in daemon.keys("moving", f"{me}/{n - 5}/"):
                    daemon.s3.delete_object(Bucket="moving", Key=key)
            n += 1
        rounds.append(n)

    threads = [threading.Thread(target=change, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    backup = opened / "backup"
    try:
        for _ in range(3):
            out = run("backup", backup, "--data", daemon.data)
            assert "damaged" not in out
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert min(rounds) > 5
    other = restored(opened, backup, "again")
    try:
        keys = other.keys("moving")
        assert 3 * 4 <= len(keys) <= 3 * 7
        for key in keys:
            assert hashlib.md5(other.get("moving", key)).hexdigest() == key.rsplit("/", 1)[1]
        assert other.get("copier", "out/first") == b"1"
        assert [j["state"] for j in other.jobs("copier")] == ["succeeded"]
        other.put("copier", "in/second", b"2")  # its credentials, services and queue work
        other.settled("copier", 2)
        assert other.get("copier", "out/second") == b"2"
    finally:
        other.close()
    assert "0 damaged, 0 right again, 0 lost, 0 belong to nobody" in run("check", "--data", opened / "again")
    # Nothing waits for the backup any more.
    wait_for("the end of what was deleted",
             lambda: "0 belong" in run("check", "--data", opened / "again"))


def test_what_is_there_is_not_copied_again(fresh, opened):
    backup = opened / "backup"
    fresh.s3.create_bucket(Bucket="bucket")
    for i in range(5):
        fresh.put("bucket", f"k{i}", bytes([i]) * 100000)
    assert "5 files of 500000 bytes, 5 of them" in run("backup", backup, "--data", fresh.data)
    fresh.put("bucket", "k5", b"5" * 100000)
    fresh.s3.delete_object(Bucket="bucket", Key="k0")
    assert "5 files of 500000 bytes, 1 of them" in run("backup", backup, "--data", fresh.data)
    assert len(content_files(backup)) == 6
    first, second = sorted(p.name for p in (backup / "snapshots").iterdir())
    old = restored(opened, backup, "old", "--snapshot", first)
    try:
        assert old.keys("bucket") == [f"k{i}" for i in range(5)]
    finally:
        old.close()
    out = run("backup", backup, "--data", fresh.data, "--keep", 1)
    assert "older snapshots removed" in out
    assert len(content_files(backup)) == 5 and not (backup / "snapshots" / second).exists()
    new = restored(opened, backup, "new")
    try:
        assert [new.get("bucket", k)[:1] for k in new.keys("bucket")] == [b"\1", b"\2", b"\3", b"\4", b"5"]
    finally:
        new.close()


def test_damage_is_named_and_the_rest_is_copied(fresh, opened):
    backup = opened / "backup"
    fresh.s3.create_bucket(Bucket="bucket")
    fresh.put("bucket", "good", b"g" * 100000)
    fresh.put("bucket", "bad", b"b" * 100000)
    path = max((p for p in (pathlib.Path(fresh.data) / "content").glob("??/*")), key=lambda p: int(p.name, 16))
    with open(path, "r+b") as f:
        f.write(b"X")
    out = run("backup", backup, "--data", fresh.data, status=1)
    assert path.name in out and "1 damaged" in out
    assert len(content_files(backup)) == 1


def test_refusals(fresh, opened):
    assert "lies in the data folder" in run("backup", pathlib.Path(fresh.data) / "x", "--data", fresh.data, status=5)
    assert "does not exist" in run("backup", opened / "b", "--data", opened / "nothing", status=5)
    assert "Usage" in run("backup", status=2)
    assert "a number" in run("backup", opened / "b", "--keep", "x", status=2)
    run("backup", opened / "b", "--data", fresh.data)
    assert "no snapshot nope" in run("restore", opened / "b", "--snapshot", "nope", "--data", opened / "r", status=5)
    assert not (opened / "r" / "credentials.json").exists()
    fresh.stop()
    # What is there stays as it is.
    (opened / "b" / "credentials.json").write_text("of the backup")
    (pathlib.Path(fresh.data) / "credentials.json").write_text("of the data")
    assert "exists already" in run("restore", opened / "b", "--data", fresh.data, status=5)
    assert (pathlib.Path(fresh.data) / "credentials.json").read_text() == "of the data"


def test_content_in_several_folders(opened):
    data, more, backup = opened / "data", opened / "more", opened / "backup"
    data.mkdir()
    options = ["--content", str(data / "content"), "--content", str(more)]
    d = Daemon(str(data), *options)
    try:
        d.s3.create_bucket(Bucket="bucket")
        d.put("bucket", "k", b"k" * 100000)
        run("backup", backup, "--data", data, *options)
    finally:
        d.close()
    assert "named" in (out := run("restore", backup, "--data", opened / "r1", status=5)) or "directories" in out
    r, other = opened / "r2", opened / "other"
    run("restore", backup, "--data", r, "--content", r / "content", "--content", other)
    again = Daemon(str(r), "--content", str(r / "content"), "--content", str(other))
    try:
        assert again.get("bucket", "k") == b"k" * 100000
    finally:
        again.close()
