#!/usr/bin/env python3
"""What oscar-supervisor costs beside script and transfer: CPU, memory, size.  usage: bench/supervisor.py [RUNS]

Two rows: a call whose script does nothing, and an object of 1 KiB from our own store and back. CPU is that of the
supervisor and its script, less what the same script costs by `/bin/sh` alone; memory is the most that the supervisor held
when its script ran.
With a Python that has the peer (faas-supervisor and webdavclient3) in PEER_PYTHON, the call of it in the same run."""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402
import test_supervisor  # noqa: E402


def run(words, env, stdin):
    """CPU ms of the process and its children."""
    pid = os.fork()
    if not pid:
        with open(stdin, "rb") as f, open("/dev/null", "wb") as null:
            os.dup2(f.fileno(), 0)
            os.dup2(null.fileno(), 1)
            os.dup2(null.fileno(), 2)
            os.execve(words[0], words, env)
    _, status, used = os.wait4(pid, 0)
    assert status == 0, (words, status)
    return (used.ru_utime + used.ru_stime) * 1000


def held(words, env, stdin):
    """MiB, as the script sees its parent."""
    env = dict(env, SCRIPT=test_supervisor.b64("grep VmHWM /proc/$PPID/status"))
    with open(stdin, "rb") as f:
        out = subprocess.run(words, env=env, stdin=f, capture_output=True, check=True).stdout
    return int(out.split()[out.split().index(b"VmHWM:") + 1]) / 1024


def row(what, programs, env, stdin, script, runs):
    folder = pathlib.Path(stdin).parent
    (folder / "script.sh").write_text(script)
    alone = dict(env, INPUT_FILE_PATH=stdin, TMP_OUTPUT_DIR=str(folder))
    base = statistics.median(run(["/bin/sh", str(folder / "script.sh")], alone, stdin) for _ in range(runs))
    for name, words in programs:
        used = statistics.median(run(words, env, stdin) for _ in range(runs))
        print(f"{what}: {name} {used - base:.1f} ms CPU, {held(words, env, stdin):.1f} MiB", flush=True)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    programs = [("oscar-supervisor", [str(test_supervisor.SUPERVISOR)])]
    if os.environ.get("PEER_PYTHON"):
        programs.append(("faas-supervisor", [os.environ["PEER_PYTHON"], "-m", "faassupervisor.supervisor"]))
    daemon = conftest.Daemon()
    try:
        with tempfile.TemporaryDirectory() as tmp:
            bench, stdin = test_supervisor.Bench(pathlib.Path(tmp)), tmp + "/event"
            daemon.s3.create_bucket(Bucket="bench")
            daemon.put("bench", "in", bytes(1024))
            conf = test_supervisor.config(daemon.s3_url, output=[{"storage_provider": "minio", "path": "bench/out"}])
            conf["storage_providers"]["minio"]["default"] = conf["storage_providers"]["minio"].pop("here")
            for peers, what, payload, c, script in (
                    (programs, "call", "eA==", {"name": "sup"}, "true"),
                    (programs[:1], "1 KiB in and out", json.loads(test_supervisor.event("bench", "in"))["event"], conf,
                     'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/o"')):
                pathlib.Path(stdin).write_text(payload)
                row(what, peers, bench.env(script, c), stdin, script, runs)
        print(f"size: {test_supervisor.SUPERVISOR.stat().st_size / (1 << 20):.1f} MiB", json.dumps({"runs": runs}))
    finally:
        daemon.close()


main()
