"""oscar check on the data of a daemon that has left, and what the daemon then does with what is damaged."""
import os
import pathlib
import subprocess

import requests

from conftest import OSCAR, wait_for


def check(daemon, *options):
    return subprocess.run([str(OSCAR), "check", "--data", daemon.data, *options], capture_output=True,
                          text=True, timeout=60)


def test_damage_is_found_marked_and_answered(fresh):
    fresh.s3.create_bucket(Bucket="box")
    body = os.urandom(3 << 20)
    fresh.put("box", "big", body)
    fresh.put("box", "small", b"x")
    busy = check(fresh)
    assert busy.returncode == 5 and "already" in busy.stderr
    fresh.leave()
    done = check(fresh)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("2 objects, 1 content files of 3145728 bytes, 1 bodies")
    content = pathlib.Path(fresh.data) / "content"
    path = next(p for p in content.glob("??/*"))
    with open(path, "r+b") as f:
        f.seek(1 << 20)
        f.write(bytes([body[1 << 20] ^ 1]))
    (content / "07" / "stray").write_bytes(b"?")
    done = check(fresh, "--repair")
    assert done.returncode == 1
    assert "1 damaged" in done.stdout and "the MiB at 1048576 differs" in done.stdout
    assert "1 belong to nobody" in done.stdout and (content / "aside" / "stray").read_bytes() == b"?"
    fresh.start()
    signed = fresh.s3.generate_presigned_url("get_object", Params={"Bucket": "box", "Key": "big"})
    assert requests.get(signed, timeout=30).status_code == 500
    assert fresh.get("box", "small") == b"x"
    assert fresh.s3.head_object(Bucket="box", Key="big")["ContentLength"] == len(body)
    fresh.leave()
    with open(path, "r+b") as f:
        f.seek(1 << 20)
        f.write(body[1 << 20:(1 << 20) + 1])
    assert "1 right again" in check(fresh, "--repair").stdout
    assert check(fresh).returncode == 0
    fresh.start()
    assert fresh.get("box", "big") == body


def test_damage_is_found_by_who_reads_it_first(fresh):
    fresh.s3.create_bucket(Bucket="box")
    body = os.urandom(3 << 20)
    fresh.put("box", "big", body)
    signed = fresh.s3.generate_presigned_url("get_object", Params={"Bucket": "box", "Key": "big"})
    assert requests.get(signed, timeout=30).content == body
    path = next((pathlib.Path(fresh.data) / "content").glob("??/*"))
    fresh.leave()
    with open(path, "r+b") as f:
        f.seek(2 << 20)
        f.write(bytes([body[2 << 20] ^ 1]))
    fresh.start()
    signed = fresh.s3.generate_presigned_url("get_object", Params={"Bucket": "box", "Key": "big"})
    early = requests.get(signed, headers={"Range": "bytes=0-99"}, timeout=30)
    assert early.status_code == 206 and early.content == body[:100]
    try:  # it breaks off (older clients only see that it is short), or was marked meanwhile and is refused at once
        whole = requests.get(signed, timeout=30)
        assert whole.status_code == 500 or whole.content == body[:len(whole.content)] and len(whole.content) < len(body)
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
        pass
    wait_for("the mark", lambda: requests.get(signed, headers={"Range": "bytes=0-99"},
                                              timeout=30).status_code == 500)


def test_wrong_usage_and_no_data(tmp_path):
    assert subprocess.run([str(OSCAR), "check", "--what"], capture_output=True).returncode == 2
    done = subprocess.run([str(OSCAR), "check", "--data", str(tmp_path / "none")], capture_output=True, text=True)
    assert done.returncode == 5 and "does not exist" in done.stderr
    assert not (tmp_path / "none").exists()
