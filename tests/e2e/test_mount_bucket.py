"""`mount`: a bucket, or a folder of it, that a script sees as a folder below /mnt."""
import os
import pathlib
import shutil
import tempfile

import pytest
from conftest import Daemon, wait_for

SHOW = 'cat >/dev/null; cd "/mnt/$WHERE" || exit 9; find . -type f | sort | while read f; do echo "$f $(wc -c <"$f")"; done'


def mount(path, provider="minio.default"):
    return {"storage_provider": provider, "path": path}


def job_of(d, service, n=1):
    d.call("POST", f"/job/{service}", 201, json={})
    job = d.settled(service, n)[0]
    return job, d.detail(job["name"])["attempts"][-1].get("reason", ""), d.joblog(job["name"])


def views(d):
    return [n for n in os.listdir(pathlib.Path(d.data) / "tmp") if n.startswith("view-")]


@pytest.fixture
def small():
    d = Daemon(None, "--mount-objects", "50")
    yield d
    d.close()


def test_a_folder_of_a_bucket(fresh):
    d = fresh
    d.s3.create_bucket(Bucket="models")
    for key, size in (("v1/a", 10), ("v1/deep/er/b.bin", 300000), ("v1/deep/c", 70000), ("v2/a", 5), ("v10", 3)):
        d.put("models", key, b"x" * size)
    d.put("models", "v1/mark/", b"")
    up = d.s3.create_multipart_upload(Bucket="models", Key="v1/parts")["UploadId"]
    etags = [d.s3.upload_part(Bucket="models", Key="v1/parts", UploadId=up, PartNumber=i, Body=b"p" * (5 << 20))["ETag"]
             for i in (1, 2)]
    d.s3.complete_multipart_upload(Bucket="models", Key="v1/parts", UploadId=up, MultipartUpload={
        "Parts": [{"PartNumber": i + 1, "ETag": e} for i, e in enumerate(etags)]})
    d.create("look", SHOW + "; ls -d mark; (echo x >new) 2>/dev/null && echo wrote; (echo x >>deep/c) 2>/dev/null && echo wrote; true",
             mount=mount("/models/v1/"), environment={"variables": {"WHERE": "models/v1"}})
    job, why, log = job_of(d, "look")
    assert job["state"] == "succeeded", why
    assert log.split("\n") == ["./a 10", "./deep/c 70000", "./deep/er/b.bin 300000", "./parts 10485760", "mark", ""]
    assert d.call("GET", "/system/services/look", 200).json()["mount"] == mount("/models/v1/")
    wait_for("no views", lambda: not views(d))  # just behind the job's end
    assert d.get("models", "v1/deep/c") == b"x" * 70000
    d.create("whole", SHOW, mount=mount("models"), environment={"variables": {"WHERE": "models"}})
    assert job_of(d, "whole")[2].split("\n")[-3:] == ["./v10 3", "./v2/a 5", ""]
    d.put("models", "v2/later", b"later")
    assert "./v2/later 5" in job_of(d, "whole", 2)[2]
    d.create("sync", SHOW, mount=mount("models/v2"), keep_warm=1, environment={"variables": {"WHERE": "models/v2"}})
    assert d.call("POST", "/run/sync", 200, data="x").text == "./a 5\n./later 5\n"
    d.s3.delete_object(Bucket="models", Key="v2/later")
    assert d.call("POST", "/run/sync", 200, data="x").text == "./a 5\n"
    # A call's folder goes once it is accounted, which is before its answer or just behind it.
    wait_for("no views", lambda: not views(d))


def test_a_bucket_is_made_and_stays(fresh):
    d = fresh
    d.create("look", SHOW, mount=mount("kept/inner"), environment={"variables": {"WHERE": "kept/inner"}})
    assert job_of(d, "look")[0]["state"] == "succeeded"  # an empty folder
    d.call("DELETE", "/system/services/look", 204)
    assert any(b["bucket_name"] == "kept" for b in d.call("GET", "/system/buckets", 200).json())
    d.create("none", "cat >/dev/null; ls /mnt | wc -l", mount={"storage_provider": "", "path": ""})  # as clients send it
    assert job_of(d, "none")[0]["state"] == "succeeded"


@pytest.mark.parametrize("body,status,text", [
    (dict(mount=mount("x/y", "s3.other")), 400, "not defined"),
    (dict(mount=mount("x")), 400, "3 to 63"),
    (dict(mount=mount("bucket/../etc")), 400, "must not be named"),
    (dict(mount=mount("bucket/a//b")), 400, "empty name"),
    (dict(mount=mount("bucket/" + "a" * 260)), 400, "allowed are 255"),
    (dict(mount=mount("s3bucket/a", "s3.aws"), storage_providers={"s3": {"aws": {"access_key": "k", "secret_key": "s"}}}),
     400, "mount.storage_provider: s3.aws is not offered"),
])
def test_what_cannot_be_is_refused(daemon, body, status, text):
    answer = daemon.call("POST", "/system/services", json={"name": "wrong", "image": "host", "script": "true", **body})
    assert answer.status_code == status and text in answer.text, answer.text


def test_another_users_bucket_is_not_shown(daemon):
    d = daemon
    d.s3.create_bucket(Bucket="mine-alone")
    d.call("POST", "/system/users", json={"name": "eve", "password": "eve-password"})
    body = {"name": "thief", "image": "host", "script": "true", "mount": mount("mine-alone")}
    answer = d.http.post(d.api + "/system/services", json=body, auth=("eve", "eve-password"))
    assert answer.status_code in (400, 403) and "belongs to somebody else" in answer.text, answer.text


def test_bounds_and_names(small):
    d = small
    d.s3.create_bucket(Bucket="many")
    for i in range(51):
        d.put("many", f"a/{i}", b"x")
    d.put("many", "both/x", b"x")
    d.put("many", "both/x/y", b"x")
    d.put("many", "odd/a//b", b"x")
    d.put("many", "odd2/../b", b"x")
    for name, path, why in (("a", "many/a", "more than 50 objects"), ("both", "many/both", "of an object and of a folder"),
                            ("odd", "many/odd", "no file can be called"), ("odd2", "many/odd2", "no file can be called")):
        d.create(f"look-{name}", SHOW, mount=mount(path), environment={"variables": {"WHERE": path}})
        job, reason, _ = job_of(d, f"look-{name}")
        assert job["state"] == "failed" and why in reason and f"mount {path}" in reason, reason
    wait_for("no views", lambda: not views(d))


def test_a_directory_is_mounted_as_it_is():
    root = pathlib.Path(tempfile.mkdtemp(prefix="oscar-view-", dir="/tmp"))
    root.chmod(0o755)
    (root / "refs/sub").mkdir(parents=True)
    (root / "refs/sub/genome").write_text("ACGT")
    (root / "secret").write_text("secret")
    (root / "refs/link").symlink_to(root / "secret")
    (root / "refs/out").symlink_to(root)
    d = Daemon(None, "--directory-root", str(root))
    try:
        d.call("POST", "/system/buckets", 201, json={"bucket_name": "refs", "directory": {"path": str(root / "refs"), "stable_s": 1}})
        d.create("look", 'cat >/dev/null; cat /mnt/refs/sub/genome; cat /mnt/refs/link; echo x >/mnt/refs/sub/new; true', mount=mount("refs"))
        job, why, log = job_of(d, "look")
        assert job["state"] == "succeeded", why
        assert log.startswith("ACGT") and "secret" not in log.replace(str(root / "secret"), "").replace("/mnt/refs/link", "")
        assert not (root / "refs/sub/new").exists()
        wait_for("no views", lambda: not views(d))
        (root / "refs/sub/later").write_text("later")  # seen at once: it is the folder itself
        d.create("sub", 'cat >/dev/null; ls /mnt/refs/sub', mount=mount("refs/sub"))
        assert job_of(d, "sub")[2] == "genome\nlater\n"
        d.create("gone", "true", mount=mount("refs/out"))
        job, why, _ = job_of(d, "gone")
        assert job["state"] == "failed" and "mount refs/out" in why
    finally:
        d.close()
        shutil.rmtree(root)


def test_a_view_outlives_a_kill_and_goes_with_its_job(fresh):
    d = fresh
    d.s3.create_bucket(Bucket="models")
    d.put("models", "a", b"x" * 50000)
    d.create("slow", 'cat >/dev/null; echo began; while ! [ -s "$TMP_OUTPUT_DIR/go" ]; do sleep 0.05; [ $((n=n+1)) -gt 40 ] && break; done; wc -c </mnt/models/a',
             mount=mount("models"))
    d.call("POST", "/job/slow", 201, json={})
    wait_for("its begin", lambda: any("began" in d.joblog(j["name"]) for j in d.jobs("slow")))
    d.kill()
    (pathlib.Path(d.data) / "tmp/view-999.1").mkdir()  # of a job that is no more
    d.start()
    job = d.settled("slow", 1)[0]
    assert job["state"] == "succeeded" and "50000" in d.joblog(job["name"])
    wait_for("no views", lambda: not views(d))
