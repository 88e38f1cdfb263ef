#!/usr/bin/env python3
"""Waiting calls a second: POST /run/NAME of a script that does nothing, in a fresh sandbox beside the launcher alone in
the same run, and in kept ones; and how long one caller alone waits whose sandbox was made ahead, or is made for the call.
usage: bench/sync.py [CALLS [CONNECTIONS]]

CPU time is that of the daemon, and of the runner and the sandboxes with all they waited for, a call; the load client's is apart.
"""
import json
import os
import pathlib
import subprocess
import sys

WARM = 4  # sandboxes kept, and calls at once
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402
from measure import cpu_s, floor, sandboxes_cpu_s  # noqa: E402


def load(daemon, token, op, bucket, path, calls, connections):
    done = subprocess.run([ROOT / "build" / "bench" / "s3load", "-o", op, "-h", daemon.api.split("//")[1], "-b", bucket,
                           "-p", path, "-t", token, "-n", str(calls), "-c", str(connections), "-z", "2"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def measure(d, name, calls, connections, keys):
    d.create(name, "true", output=[], **{"cpu": "0.05", "memory": "32Mi", **keys})
    token = d.call("GET", f"/system/services/{name}", 200).json()["token"]
    load(d, token, "call", "run", name, connections * 4, connections)  # the first calls fill the pools
    used = [cpu_s(d.process.pid), sandboxes_cpu_s(d)]
    got = load(d, token, "call", "run", name, calls, connections)
    used = [now - u for now, u in zip((cpu_s(d.process.pid), sandboxes_cpu_s(d)), used)]
    print(f"{name}: {got['rate']:.0f} calls/s at {connections} connections, p50 {got['p50_ms']:.1f} p99 {got['p99_ms']:.1f} ms; "
          f"CPU ms a call: daemon {used[0] * 1000 / calls:.2f}, runner and sandboxes {used[1] * 1000 / calls:.2f}, "
          f"load client {got['client_cpu_us'] / 1000:.2f} (load {os.getloadavg()[0]:.1f})")
    return got


def main():
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    connections = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    before, _ = floor(calls // 2, connections)
    d = conftest.Daemon()
    try:
        rate = measure(d, "fresh", calls, connections, {})["rate"]
        after, _ = floor(calls // 2, connections)
        print(f"fresh: {rate / ((before + after) / 2):.2f} of the floor")
        kept = measure(d, "warm", calls, connections, {"cpu": "0.5", "keep_warm": WARM, "queue": {"concurrency": WARM}})["rate"]
        print(f"warm, {WARM} kept: {kept / rate:.2f} of fresh")
        # A whole core, or one call would wait for what the one before took of its group's share.
        alone = [measure(d, name, calls // 8, 1, {"cpu": "1", "prepared": n})["p50_ms"] for name, n in (("made", 0), ("ahead", 2))]
        print(f"one caller alone: {alone[1]:.1f} ms with its sandbox made ahead, {alone[0]:.1f} ms without (p50)")
    finally:
        d.close()


if __name__ == "__main__":
    main()
