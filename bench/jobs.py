#!/usr/bin/env python3
"""Jobs a second, end to end: upload by S3, event, sandbox, accounted; beside the launcher alone.  usage: bench/jobs.py [JOBS]

The service runs `true`. Uploads come from bench/s3load over 8 connections; the clock stops when the last job is
accounted. CPU time is that of the daemon, the runner and what it waited for, a job; the load client's is apart.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402
from measure import cpu_s, floor, runner_of  # noqa: E402


def main():
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    before, _ = floor(jobs, 8)
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
        after, _ = floor(jobs, 8)
        rate = jobs / took
        print(f"end to end: {rate:.0f} jobs/s, {rate / ((before + after) / 2):.2f} of the floor; CPU ms a job: daemon "
              f"{used[0] * 1000 / jobs:.2f}, runner and sandboxes {used[1] * 1000 / jobs:.2f}, load client "
              f"{load['client_cpu_us'] / 1000:.2f}; uploads at {load['rate']:.0f}/s (load {os.getloadavg()[0]:.1f})")
    finally:
        d.close()


main()
