"""oscar run --local: an FDL file's services on a few files, without a server."""
import os
import pathlib
import shutil
import signal
import subprocess
import tarfile
import tempfile

import pytest
from conftest import OSCAR, wait_for
from test_cli import map_env
from test_images import add, program_files

FDL = """functions:
  oscar:
  - local:
      name: count
      image: {image}
      cpu: '0.5'
      memory: 128Mi
      script: |
        #!/bin/sh
        echo "looking at $(basename "$INPUT_FILE_PATH")"
        read -r word < "$INPUT_FILE_PATH" || exit 4
        echo "$word $word" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH").twice"
      input:
      - storage_provider: minio.default
        path: texts/in
        suffix: [.txt]
      output:
      - storage_provider: minio.default
        path: texts/twice
  - local:
      name: mark
      image: {image}
      cpu: '0.5'
      memory: 128Mi
      script: |
        #!/bin/sh
        read -r words < "$INPUT_FILE_PATH"
        echo "$words!" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH").marked"
      input:
      - storage_provider: minio.default
        path: texts/twice
      output:
      - storage_provider: minio.default
        path: texts/marked
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "chain.yaml").write_text(FDL.format(image="host"))
    (tmp_path / "none.yaml").write_text(FDL.format(image="127.0.0.1:1/none:1"))
    (tmp_path / "a.txt").write_text("hello\n")
    (tmp_path / "empty.txt").write_text("")
    return tmp_path


def local(place, *args, timeout=120):
    return subprocess.run([OSCAR, "run", "--local", *args], cwd=place, env=map_env(), capture_output=True, text=True,
                          timeout=timeout)


def left_behind():
    return {p.name for base in ("/var/tmp", os.path.expanduser("~/.cache")) for p in
            pathlib.Path(base).glob("oscar-local-*")}


def test_a_chain_runs_and_its_results_come_here(place):
    before = left_behind()
    done = local(place, "chain.yaml", "a.txt")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["results/texts/marked/a.txt.twice.marked", "results/texts/twice/a.txt.twice"]
    assert (place / "results/texts/marked/a.txt.twice.marked").read_text() == "hello hello!\n"
    assert "count a.txt: succeeded" in done.stderr and "  | looking at a.txt" in done.stderr
    assert left_behind() == before


def test_a_failed_script_is_told_with_its_log(place):
    done = local(place, "--output-dir", "out", "chain.yaml", "a.txt", "empty.txt")
    assert done.returncode == 1
    assert "count empty.txt: failed: ended with exit code 4" in done.stderr and "| looking at empty.txt" in done.stderr
    assert (place / "out/texts/marked/a.txt.twice.marked").exists()


def test_one_service_of_the_file_can_be_meant(place):
    (place / "b.twice").write_text("one two\n")
    done = local(place, "--service", "mark", "chain.yaml", "b.twice")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["results/texts/marked/b.twice.marked"]


def test_an_image_comes_from_a_file(place):
    (place / "chain.yaml").write_text(FDL.format(image="lab/tools:1"))
    with tarfile.open(place / "tools.tar", "w") as tar:
        for path in program_files("/bin/sh", "/usr/bin/basename"):
            add(tar, "." + path, pathlib.Path(path).resolve().read_bytes(), mode=0o755)
    done = local(place, "--import", "lab/tools:1=tools.tar", "chain.yaml", "a.txt")
    assert done.returncode == 0, done.stderr
    assert (place / "results/texts/marked/a.txt.twice.marked").read_text() == "hello hello!\n"


def test_a_folder_of_the_machine_is_offered(place):
    data = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are root's alone, the server is nobody's
    data.chmod(0o755)
    (data / "reference").write_text("known\n")
    (place / "m.yaml").write_text("""functions:
  oscar:
  - local:
      name: with-data
      image: host
      script: |
        #!/bin/sh
        cat /mnt/data/reference
        cp /mnt/data/reference "$TMP_OUTPUT_DIR/found"
      mounts:
      - name: data
      input:
      - {storage_provider: minio.default, path: work/x}
      output:
      - {storage_provider: minio.default, path: work/y}
""")
    done = local(place, "--mount", f"data={data}", "m.yaml", "a.txt")
    shutil.rmtree(data)
    assert done.returncode == 0, done.stderr
    assert (place / "results/work/y/found").read_text() == "known\n"


@pytest.mark.parametrize("args,status,words", [
    (["chain.yaml", "missing.txt"], 3, "missing.txt"),
    (["chain.yaml", "chain.yaml"], 1, "does not pass the input's prefix and suffix"),
    (["missing.yaml", "a.txt"], 3, "missing.yaml"),
    (["--service", "nobody", "chain.yaml", "a.txt"], 3, 'no service "nobody"'),
    (["--import", "tools.tar", "chain.yaml", "a.txt"], 2, "--import wants IMAGE=FILE"),
    (["none.yaml", "a.txt"], 6, "--import"),
    (["--timeout", "soon", "chain.yaml", "a.txt"], 2, "soon"),
])
def test_what_is_wrong_is_said(place, args, status, words):
    before = left_behind()
    done = local(place, *args)
    assert done.returncode == status and words in done.stderr, done.stderr
    assert "is the server running" not in done.stderr  # it was
    assert left_behind() == before


def test_without_local_it_says_how_a_server_is_used(place):
    done = subprocess.run([OSCAR, "run", "chain.yaml", "a.txt"], cwd=place, env=map_env(), capture_output=True, text=True)
    assert done.returncode == 2 and "put-file" in done.stderr


def test_time_runs_out(place):
    slow = FDL.format(image="host").replace("exit 4", "exit 4\n        sleep 300")
    (place / "slow.yaml").write_text(slow)
    before = left_behind()
    done = local(place, "--timeout", "2s", "slow.yaml", "a.txt")
    assert done.returncode == 5 and "still not done after 2 s" in done.stderr
    assert left_behind() == before


def test_ctrl_c_leaves_nothing_behind(place):
    (place / "slow.yaml").write_text(FDL.format(image="host").replace("exit 4", "exit 4\n        sleep 300"))
    before = left_behind()
    work = subprocess.Popen([OSCAR, "run", "--local", "slow.yaml", "a.txt"], cwd=place, env=map_env(),
                            stderr=subprocess.PIPE, text=True)
    wait_for("the folder of its own server", lambda: left_behind() - before)
    work.send_signal(signal.SIGINT)
    assert work.wait(60) == 130
    assert left_behind() == before


def test_a_shell_on_the_job_that_failed(place):
    files = [place / "a.txt", place / "empty.txt"]
    done = subprocess.run([str(OSCAR), "run", "--local", "--shell", "--output-dir", str(place / "out"),
                           str(place / "chain.yaml"), *map(str, files)], input="ls /oscar/input; echo $((20+3))\n",
                          env=map_env(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-2:] == ["empty.txt", "23"]
