"""Imported root file systems."""
import io
import pathlib
import tarfile

import pytest
from conftest import run_cli
from oci import add, program_files


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    path = tmp_path_factory.mktemp("rootfs") / "tiny.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for f in program_files("/bin/sh", "/bin/cat", "/bin/ls", "/usr/bin/id"):
            add(tar, "." + f, pathlib.Path(f).resolve().read_bytes())
        add(tar, "./etc/marker", b"tiny image\n", 0o600)
        add(tar, "./etc/passwd", b"root:x:0:0::/:/bin/sh\n", 0o644)
    return path


def test_a_service_runs_in_an_imported_root_file_system(daemon, rootfs):
    made = run_cli(daemon, "image", "import", str(rootfs), "lab/tiny:1")
    assert "lab/tiny:1" in made.stdout + made.stderr
    assert "lab/tiny:1" in run_cli(daemon, "image", "list").stdout
    daemon.create("tiny", 'cat /etc/marker; id -u; ls /; ls /usr/share 2>&1; cat "$INPUT_FILE_PATH"; '
                          'cat /etc/marker > "$TMP_OUTPUT_DIR/m"; : > /etc/x', image="lab/tiny:1")
    daemon.put("tiny", "in/f", b"the input\n")
    job = daemon.settled("tiny", 1)[0]
    text = daemon.joblog(job["name"])
    # Files that only root may read belong to the sandbox's root, and nothing of the machine is there.
    assert "tiny image\n0\n" in text and "the input\n" in text, text
    assert "python" not in text and job["state"] == "failed" and "ead-only" in text


def test_an_image_in_use_is_kept(daemon):
    daemon.call("DELETE", "/system/images/lab%2Ftiny:1", 409)
    daemon.call("DELETE", "/system/services/tiny", 204)
    daemon.call("DELETE", "/system/images/lab%2Ftiny:1", 204)
    daemon.call("DELETE", "/system/images/lab%2Ftiny:1", 404)
    assert not daemon.image_files()


def imported(daemon, data, name="bad/image:1"):
    return daemon.call("POST", "/system/images/import", params={"name": name}, data=data)


def archive(build):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        build(tar)
    return out.getvalue()


@pytest.mark.parametrize("what,data,word", [
    ("nothing", b"", "tar archive"), ("noise", b"\x00\x01noise" * 1000, "archive"),
    ("dots", archive(lambda t: add(t, "../../etc/evil", b"x")), ".."),
    ("outside link", archive(lambda t: add(t, "a", type=tarfile.LNKTYPE, linkname="../../../etc/passwd")), ".."),
], ids=["nothing", "noise", "dots", "outside-link"])
def test_hostile_and_broken_archives_are_refused_and_leave_nothing(daemon, what, data, word):
    answer = imported(daemon, data)
    assert answer.status_code == 400 and word in answer.text, answer.text
    assert not daemon.image_files()


def test_a_link_out_of_the_image_leads_back_into_it(daemon):
    data = archive(lambda t: (add(t, "out", type=tarfile.SYMTYPE, linkname="/../../../../tmp"),
                              add(t, "out/oscar-was-here", b"x")))
    assert imported(daemon, data, "links:1").status_code == 400
    assert not pathlib.Path("/tmp/oscar-was-here").exists()


def test_an_image_without_a_shell_fails_its_job_with_the_reason(daemon):
    assert imported(daemon, archive(lambda t: add(t, "etc/x", b"x")), "empty:1").status_code == 201
    daemon.create("shellless", "true", image="empty:1")
    daemon.call("POST", "/job/shellless", 201, data="x")
    job = daemon.settled("shellless", 1)[0]
    assert job["state"] == "failed" and "/bin/sh" in job["reason"], job


@pytest.mark.parametrize("name", ["", "UPPER:1", "host", "a b:1", "x:", "-x:1"])
def test_bad_names_are_refused(daemon, name):
    assert imported(daemon, b"x", name).status_code == 400
