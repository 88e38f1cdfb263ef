#!/usr/bin/env python3
"""Jobs a second, end to end: upload by S3, event, sandbox, accounted; beside the launcher alone.  usage: bench/jobs.py [JOBS]

The service runs `true`. Uploads come from bench/s3load over 8 connections; the clock stops when the last job is
accounted. CPU time is that of the daemon, the runner and what it waited for, a job; the load client's is apart.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def floor(jobs):
    done = subprocess.run([ROOT / "build" / "bench" / "floor", "-n", str(jobs), "-p", "8"], capture_output=True, text=True)
    line = done.stdout.strip().splitlines()[-1]
    print("floor:", line)
    return float(re.search(r"([\d.]+) jobs/s", line).group(1))


def cpu_s(pid, children):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own = int(fields[11]) + int(fields[12])
    return (own + (int(fields[13]) + int(fields[14]) if children else 0)) / TICK


def runner_of(daemon):
    done = subprocess.run(["pgrep", "-f", f"runner --data {daemon.data}"], capture_output=True, text=True)
    return max(int(p) for p in done.stdout.split())


def main():
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    before = floor(jobs)
    d = conftest.Daemon()
    try:
        d.create("noop", "true", output=[])
        parts = ((d.process.pid, False), (runner_of(d), True))
        used = [cpu_s(*p) for p in parts]
        start = time.monotonic()
        done = subprocess.run([ROOT / "build" / "bench" / "s3load", "-o", "put", "-h", d.s3_url.split("//")[1], "-b", "noop",
                               "-k", conftest.KEY, "-s", conftest.SECRET, "-p", "in/", "-n", str(jobs), "-c", "8", "-z", "1"],
                              capture_output=True, text=True, check=True)
        load = json.loads(done.stdout)
        conftest.wait_for("the last job", lambda: d.summary("noop")["succeeded"] >= jobs, 600)
        took = time.monotonic() - start
        used = [cpu_s(*p) - u for p, u in zip(parts, used)]
        after = floor(jobs)
        rate = jobs / took
        print(f"end to end: {rate:.0f} jobs/s, {rate / ((before + after) / 2):.2f} of the floor; CPU ms a job: daemon "
              f"{used[0] * 1000 / jobs:.2f}, runner and sandboxes {used[1] * 1000 / jobs:.2f}, load client "
              f"{load['client_cpu_us'] / 1000:.2f}; uploads at {load['rate']:.0f}/s (load {os.getloadavg()[0]:.1f})")
    finally:
        d.close()


main()
