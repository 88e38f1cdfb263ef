"""The command line as users meet it: a chain from FDL to results, exit statuses, waiting, map."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from conftest import OSCAR, run_cli, wait_for

COUNT = """name=$(basename "$INPUT_FILE_PATH")
case $name in bad*) echo "cannot read $name" >&2; exit 3;; esac
wc -c < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$name.count"
echo "counted $name"
"""
FDL = """functions:
  oscar:
  - local:
      name: letters
      image: host
      cpu: 0.1
      memory: 64Mi
      script: |
        while read -r word; do
          echo "$word" > "$TMP_OUTPUT_DIR/$word.txt"
        done < "$INPUT_FILE_PATH"
      input:
      - storage_provider: minio.default
        path: cli-words/in
        suffix: [.list]
      output:
      - storage_provider: minio.default
        path: cli-letters/in
  - local:
      name: count
      image: host
      cpu: 0.1
      memory: 64Mi
      script: count.sh
      input:
      - storage_provider: minio.default
        path: cli-letters/in
      output:
      - storage_provider: minio.default
        path: cli-counts/out
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fdl")
    (folder / "count.sh").write_text(COUNT)
    (folder / "chain.yaml").write_text(FDL)
    return folder


@pytest.fixture(scope="module")
def chain(daemon, files):
    run_cli(daemon, "apply", str(files / "chain.yaml"))
    return files


def test_apply_twice_creates_then_updates(daemon, cli, files):
    done = cli("apply", "-o", "json", str(files / "chain.yaml"))
    assert {r["name"] for r in json.loads(done.stdout)} == {"letters", "count"}
    done = cli("apply", str(files / "chain.yaml"))
    assert re.search(r"letters +updated\ncount +updated\n", done.stdout)
    assert json.loads(cli("service", "list", "-o", "json").stdout)[0]["name"] in ("letters", "count")
    got = cli("service", "get", "count").stdout
    assert "cpu: \"0.1\"" in got and "script: |" in got


def test_an_upload_runs_through_the_chain_and_wait_returns_at_its_end(cli, chain, tmp_path):
    (tmp_path / "a.list").write_text("one\ntwo\nthree\n")
    done = cli("put-file", "--wait", "--timeout", "2m", "letters", str(tmp_path / "a.list"))
    assert done.stdout == "cli-words/in/a.list\n"
    assert "4 succeeded, 0 failed" in done.stderr
    listed = json.loads(cli("list-files", "-o", "json", "count").stdout)
    assert {f["key"] for f in listed} == {f"out/{n}.txt.count" for n in ("one", "two", "three")}
    cli("get-file", "count", str(tmp_path / "out"))
    assert (tmp_path / "out" / "three.txt.count").read_text().strip() == "6"
    cli("get-file", "count", "cli-counts/out/one.txt.count", str(tmp_path))
    assert (tmp_path / "one.txt.count").read_text().strip() == "4"
    assert "counted" in cli("logs", "count").stdout


def test_a_failed_job_makes_wait_end_with_one_and_its_reason(daemon, cli, chain, tmp_path):
    (tmp_path / "bad.list").write_text("badone\ngood\n")
    done = cli("put-file", "--wait", "letters", str(tmp_path / "bad.list"), check=False)
    assert done.returncode == 1
    assert "2 succeeded, 1 failed" in done.stderr and "exit code 3" in done.stderr
    listed = json.loads(cli("jobs", "-s", "count", "--state", "failed", "-o", "json").stdout)["jobs"]
    assert len(listed) == 1
    job = json.loads(cli("jobs", "get", "-o", "json", listed[0]["name"]).stdout)
    assert job["exit_code"] == 3 and job["attempts"]
    assert "cannot read badone.txt" in cli("logs", "--stream", "stderr", listed[0]["name"]).stdout
    counts = json.loads(cli("jobs", "--summary", "-o", "json", "-s", "count").stdout)
    assert counts["failed"] == 1 and {"queued", "running", "succeeded"} <= set(counts)


def test_a_file_that_starts_nothing_is_told(cli, chain, tmp_path):
    (tmp_path / "x.txt").write_text("x")
    done = cli("put-file", "--wait", "letters", str(tmp_path / "x.txt"), check=False)
    assert done.returncode == 3 and "started no job" in done.stderr


def test_run_and_job(daemon, cli, tmp_path):
    daemon.create("upper", "tr a-z A-Z < $INPUT_FILE_PATH", input=[], output=[])
    assert cli("service", "run", "upper", "-i", "hello").stdout == "HELLO"
    (tmp_path / "in.bin").write_bytes(bytes(range(256)))
    daemon.create("copy", "cp $INPUT_FILE_PATH $TMP_OUTPUT_DIR/out", input=[], output=[])
    cli("service", "run", "copy", "-f", str(tmp_path / "in.bin"), "-o", str(tmp_path / "out.bin"))
    daemon.create("word", "echo mine", input=[], output=[])  # printed, though it could be base64
    assert cli("service", "run", "word", "-i", "x").stdout == "mine\n"
    assert (tmp_path / "out.bin").read_bytes() == bytes(range(256))
    done = cli("service", "job", "upper", "-i", "hello", "--wait")
    assert done.stdout.startswith("upper-") and "succeeded" in done.stderr
    daemon.create("broken", "echo why; exit 7", input=[], output=[])
    assert cli("service", "run", "broken", "-i", "x", check=False).returncode == 1
    assert cli("service", "job", "broken", "-i", "x", "--wait", check=False).returncode == 1


def test_wait_gives_up_after_its_timeout(daemon, cli):
    daemon.create("sleepy", "sleep 60", input=[], output=[])
    done = cli("service", "job", "sleepy", "-i", "x", "--wait", "--timeout", "1s", check=False)
    assert done.returncode == 5
    cli("jobs", "cancel", done.stdout.strip())
    assert cli("jobs", "wait", "-s", "sleepy", "--timeout", "30s", check=False).returncode == 1


def test_logs_are_followed_while_the_job_runs(daemon, cli):
    daemon.create("talker", "echo first; sleep 1; echo last", input=[], output=[])
    job = cli("service", "job", "talker", "-i", "x").stdout.strip()
    began = time.monotonic()
    assert cli("logs", "-f", job).stdout == "first\nlast\n"
    assert time.monotonic() - began < 20


def test_events_are_followed(daemon, cli):
    daemon.create("noted", "true", input=[], output=[])
    cli("service", "job", "noted", "-i", "x", "--wait")
    lines = cli("events", "--after", "0", "-n", "3", "-o", "json").stdout.splitlines()
    assert len(lines) == 3 and all(json.loads(line)["id"] for line in lines)


@pytest.mark.parametrize("words,status,text", [
    (["service", "get", "absent"], 3, "there is no service \"absent\""),
    (["service", "remove", "absent"], 3, "there is no service \"absent\""),
    (["jobs", "get", "absent"], 3, "there is no job \"absent\""),
    (["logs", "absent"], 3, "absent"),
    (["jobs", "--state", "asleep"], 1, "queued"),
    (["nonsense"], 2, "unknown command"),
    (["image", "rm", "absent:1"], 3, "absent"),
])
def test_exit_statuses(cli, words, status, text):
    done = cli(*words, check=False)
    assert done.returncode == status and text in done.stderr, done.stderr
    assert done.stdout.count("\n") <= 1


def test_a_wrong_password_is_four_and_no_server_is_six(daemon):
    env = dict(os.environ, OSCAR_ENDPOINT=daemon.api, OSCAR_USERNAME="oscar", OSCAR_PASSWORD="wrong")
    done = subprocess.run([OSCAR, "service", "list"], env=env, capture_output=True, text=True)
    assert done.returncode == 4 and "OSCAR_PASSWORD" in done.stderr
    env["OSCAR_ENDPOINT"] = "http://127.0.0.1:1"
    done = subprocess.run([OSCAR, "service", "list"], env=env, capture_output=True, text=True)
    assert done.returncode == 6 and "is the server running?" in done.stderr


def test_a_service_that_feeds_itself_is_refused_before_and_by_the_server(daemon, cli, tmp_path):
    (tmp_path / "loop.yaml").write_text(
        "functions:\n  oscar:\n  - c:\n      name: looper\n      image: host\n      script: |\n        a\n        b\n"
        "      input: [{path: cli-loop/a}]\n      output: [{path: cli-loop/a}]\n")
    done = cli("apply", str(tmp_path / "loop.yaml"), check=False)
    assert done.returncode == 1 and "looper writes cli-loop/a, which triggers looper" in done.stderr
    answer = daemon.call("POST", "/system/services", json={
        "name": "looper", "image": "host", "script": "a", "input": [{"path": "cli-loop/a"}],
        "output": [{"path": "cli-loop/a"}]})
    assert answer.status_code in (400, 409) and "which triggers looper" in answer.text


def test_a_user_of_its_own(daemon, cli):
    cli("user", "add", "ana", "--s3-key", "ANAKEY12", "--s3-secret", "-", input="ana-secret-key\n")
    assert cli("user", "add", "ana", check=False).returncode == 1


def test_a_folder_becomes_an_image_and_a_service_runs_in_it(daemon, cli, tmp_path):
    root = tmp_path / "root"
    for name in ("bin", "lib", "lib64", "usr", "etc", "tmp", "proc", "dev"):
        (root / name).mkdir(parents=True)
    libraries = set(re.findall(r"(/\S+)", subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True).stdout))
    for path in libraries | {"/bin/sh"}:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(pathlib.Path(path).read_bytes())
        target.chmod(0o755)
    (root / "etc" / "mark").write_text("made here\n")
    done = cli("image", "import", "-o", "json", str(root), "tiny:1")
    assert json.loads(done.stdout)["name"].startswith("tiny")
    assert "tiny" in cli("image", "list").stdout
    daemon.create("inside", "read -r line < /etc/mark; echo \"$line\"", image="tiny:1", input=[], output=[])
    assert cli("service", "run", "inside", "-i", "x").stdout == "made here\n"
    cli("service", "remove", "inside")
    cli("image", "rm", "tiny:1")


# ---- map: no server of the test's ----------------------------------------------------------------------


def map_env():
    return {k: v for k, v in os.environ.items() if not k.startswith(("OSCAR_", "MINIO_"))}


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for i in range(10):
        (tmp_path / "in" / f"f{i}.txt").write_text("x" * i)
        (tmp_path / "in" / "sub" / f"f{i}.txt").write_text("y" * (i + 100))
    (tmp_path / "in" / ".hidden").write_text("not for us")
    (tmp_path / "count.sh").write_text(COUNT)
    return tmp_path


def left_behind():
    return {p.name for base in ("/var/tmp", os.path.expanduser("~/.cache")) for p in
            pathlib.Path(base).glob("oscar-map-*")}


def test_map_runs_a_script_on_every_file_without_a_server(texts):
    before = left_behind()
    done = subprocess.run([OSCAR, "map", "--image", "host", "--script", "count.sh", "in", "out"], cwd=texts,
                          env=map_env(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "20 of 20 files done, 0 failed; 20 results in out" in done.stderr
    got = {str(p.relative_to(texts / "out")): p.read_text().strip() for p in (texts / "out").rglob("*.count")}
    assert len(got) == 20
    assert got["f3.txt.count"] == "3" and got["sub/f3.txt.count"] == "103"
    assert left_behind() == before


def test_map_lists_failures_and_keeps_what_succeeded(texts):
    (texts / "in" / "sub" / "bad.txt").write_text("x")
    done = subprocess.run([OSCAR, "map", "-o", "json", "--script", "count.sh", "in", "in/out"], cwd=texts,
                          env=map_env(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert result["files"] == 21 and result["failed"] == 1 and result["results"] == 20
    assert result["failures"][0]["file"] == "sub/bad.txt" and "3" in result["failures"][0]["reason"]
    assert "| cannot read bad.txt" in done.stderr
    # Once more: the results in in/out are no input.
    done = subprocess.run([OSCAR, "map", "--script", "count.sh", "in", "in/out"], cwd=texts, env=map_env(),
                          capture_output=True, text=True, timeout=120)
    assert "20 of 21 files done" in done.stderr


def test_map_leaves_nothing_behind_after_ctrl_c(texts):
    (texts / "slow.sh").write_text("sleep 300\n")
    before = left_behind()
    work = subprocess.Popen([OSCAR, "map", "--script", "slow.sh", "in", "out"], cwd=texts, env=map_env(),
                            stderr=subprocess.PIPE, text=True)
    wait_for("the folder of the map's own server", lambda: left_behind() - before)
    time.sleep(1)  # into the middle of the jobs; at any other time the end must be the same
    work.send_signal(signal.SIGINT)
    assert work.wait(60) == 130
    assert left_behind() == before


def test_map_on_a_named_server_removes_its_services(daemon, cli, texts):
    done = cli("map", "--script", "count.sh", "in", "out", cwd=texts)
    assert "20 of 20 files done" in done.stderr
    assert not [s for s in json.loads(cli("service", "list", "-o", "json").stdout) if s["name"].startswith("map-")]


def test_the_example_is_a_good_fdl_file(cli):
    example = pathlib.Path(__file__).resolve().parents[2] / "examples" / "video-process" / "video-process.yaml"
    assert "3 services, no fault found" in cli("fdl", "check", str(example)).stdout
