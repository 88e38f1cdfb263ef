"""awscli, rclone, s3cmd and mc with their default settings."""
import json
import os
import shutil
import subprocess
import urllib.request

import pytest

SIZES = {"empty": 0, "small.txt": 100, "dir/with space+plus.bin": 70000, "dir/ümläut": 5000,
         "large": 20 << 20}


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "tree"
    for name, size in SIZES.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    return top


def same(a, b):
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in SIZES)


def bare(env):
    """An environment in which no setting of this machine changes what the tools do."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **env}


def run(cmd, env):
    done = subprocess.run(cmd, env=bare(env), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{cmd}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.skipif(not shutil.which("aws"), reason="no awscli")
def test_awscli(service, bucket, tree, tmp_path):
    env = {"AWS_ACCESS_KEY_ID": "S3TEST", "AWS_SECRET_ACCESS_KEY": "s3testsecret",
           "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": "/dev/null", "AWS_PAGER": ""}
    aws = ["aws", "--endpoint-url", service.endpoint]
    run(aws + ["s3", "cp", "--recursive", str(tree), f"s3://{bucket}/up/"], env)
    listed = run(aws + ["s3", "ls", "--recursive", f"s3://{bucket}/up/"], env)
    for name, size in SIZES.items():
        assert f"{size} up/{name}\n" in listed
    run(aws + ["s3", "sync", f"s3://{bucket}/up/", str(tmp_path / "down")], env)
    assert same(tree, tmp_path / "down")
    run(aws + ["s3", "mv", f"s3://{bucket}/up/large", f"s3://{bucket}/moved"], env)
    head = json.loads(run(aws + ["s3api", "head-object", "--bucket", bucket, "--key", "moved"], env))
    assert head["ContentLength"] == SIZES["large"]
    link = run(aws + ["s3", "presign", f"s3://{bucket}/up/small.txt"], env).strip()
    with urllib.request.urlopen(link, timeout=30) as got:
        assert got.read() == (tree / "small.txt").read_bytes()
    run(aws + ["s3", "rm", "--recursive", f"s3://{bucket}/"], env)
    left = json.loads(run(aws + ["s3api", "list-objects-v2", "--bucket", bucket], env) or "{}")
    assert "Contents" not in left


@pytest.mark.skipif(not shutil.which("rclone"), reason="no rclone")
def test_rclone(service, bucket, tree, tmp_path):
    env = {"RCLONE_CONFIG": str(tmp_path / "rclone.conf"), "RCLONE_CONFIG_S_TYPE": "s3",
           "RCLONE_CONFIG_S_PROVIDER": "Other", "RCLONE_CONFIG_S_ACCESS_KEY_ID": "S3TEST",
           "RCLONE_CONFIG_S_SECRET_ACCESS_KEY": "s3testsecret", "RCLONE_CONFIG_S_ENDPOINT": service.endpoint,
           "RCLONE_S3_UPLOAD_CUTOFF": "8M"}
    run(["rclone", "copy", str(tree), f"s:{bucket}/up"], env)
    run(["rclone", "check", "--download", str(tree), f"s:{bucket}/up"], env)
    # A second copy finds nothing to do: times and sums came back as they were.
    stats = subprocess.run(["rclone", "copy", "-v", "--stats-one-line", str(tree), f"s:{bucket}/up"],
                           env=bare(env), capture_output=True, text=True, timeout=120)
    assert "Copied" not in stats.stderr, stats.stderr
    run(["rclone", "moveto", f"s:{bucket}/up/large", f"s:{bucket}/up/renamed"], env)
    run(["rclone", "moveto", f"s:{bucket}/up/renamed", f"s:{bucket}/up/large"], env)
    run(["rclone", "sync", f"s:{bucket}/up", str(tmp_path / "down")], env)
    assert same(tree, tmp_path / "down")
    size = json.loads(run(["rclone", "size", "--json", f"s:{bucket}"], env))
    assert size["bytes"] == sum(SIZES.values())
    run(["rclone", "delete", f"s:{bucket}/up"], env)
    assert run(["rclone", "ls", f"s:{bucket}"], env) == ""


@pytest.mark.skipif(not shutil.which("s3cmd"), reason="no s3cmd")
def test_s3cmd(service, bucket, tree, tmp_path):
    config = tmp_path / "s3cfg"
    host = service.endpoint.split("//")[1]
    config.write_text(f"[default]\naccess_key=S3TEST\nsecret_key=s3testsecret\nhost_base={host}\n"
                      f"host_bucket={host}\nuse_https=False\n")
    s3cmd = ["s3cmd", "-c", str(config)]
    run(s3cmd + ["put", "--recursive", str(tree) + "/", f"s3://{bucket}/up/"], {})
    run(s3cmd + ["sync", f"s3://{bucket}/up/", str(tmp_path / "down") + "/"], {})
    assert same(tree, tmp_path / "down")
    run(s3cmd + ["del", "--recursive", "--force", f"s3://{bucket}/up/"], {})


def test_mc(mc, service, bucket, tree, tmp_path):
    top = f"o/{bucket}"
    mc("cp", "--recursive", f"{tree}/", f"{top}/up/")
    listed = {e["key"]: e["size"] for e in mc("ls", "--recursive", f"{top}/up/")}
    assert listed == SIZES
    assert {e["key"] for e in mc("ls", f"{top}/up/")} == {"dir/", "empty", "large", "small.txt"}
    mc("mirror", f"{top}/up/", str(tmp_path / "down"))
    assert same(tree, tmp_path / "down")
    assert mc("diff", f"{top}/up/", str(tmp_path / "down")) == []
    assert mc("du", f"{top}/up/")[-1]["size"] == sum(SIZES.values())
    mc("mv", f"{top}/up/large", f"{top}/moved")
    assert mc("stat", f"{top}/moved")[0]["size"] == SIZES["large"]
    assert [e["key"].split("/", 1)[1] for e in mc("find", top, "--name", "*.txt")] == [f"{bucket}/up/small.txt"]
    mc("tag", "set", f"{top}/moved", "Project=One")
    assert mc("tag", "list", f"{top}/moved")[0]["tagset"] == {"Project": "One"}
    mc("anonymous", "set", "download", top)
    with urllib.request.urlopen(f"{service.endpoint}/{bucket}/up/small.txt", timeout=30) as got:
        assert got.read() == (tree / "small.txt").read_bytes()
    mc("anonymous", "set", "private", top)
    link = mc("share", "download", f"{top}/up/small.txt")[0]["share"]
    with urllib.request.urlopen(link, timeout=30) as got:
        assert got.read() == (tree / "small.txt").read_bytes()
    mc("version", "enable", top)
    mc("rm", f"{top}/moved")
    assert [e.get("isDeleteMarker", False) for e in mc("ls", "--versions", f"{top}/moved")] == [True, False]
    mc("undo", f"{top}/moved")
    assert mc("stat", f"{top}/moved")[0]["size"] == SIZES["large"]
    mc("rm", "--recursive", "--force", "--versions", top)
    assert mc("ls", "--recursive", "--versions", top) == []
