#!/usr/bin/env python3
"""What the platform adds to a job, beside the launcher's floor in the same run.  usage: bench/overhead.py [JOBS]

Jobs run `true`, one at a time: upload by S3, event, sandbox, accounted. The job's time is from its event's commit
to its outcome's commit, as the database has them; the floor is bench/floor's, one at a time.
"""
import os
import pathlib
import sqlite3
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402
from measure import floor  # noqa: E402


def main():
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    _, before = floor(jobs, 1)
    d = conftest.Daemon()
    try:
        d.create("noop", "true", output=[])
        answered = []
        for i in range(jobs):
            start = time.monotonic()
            d.put("noop", f"in/{i}", b"x")
            answered.append((time.monotonic() - start) * 1000)
            d.settled("noop", i + 1, 30)
        base = sqlite3.connect(f"file:{d.data}/oscar.db?mode=ro", uri=True)
        rows = base.execute("SELECT j.created_ns, a.leased_ns, a.started_ns, j.ended_ns FROM jobs j "
                            "JOIN attempts a ON a.job=j.id WHERE j.state=4").fetchall()
        base.close()

        def quantiles(values):
            values = sorted(v / 1e6 for v in values)
            return f"p50 {statistics.median(values):.2f} p99 {values[int(len(values) * 0.99)]:.2f} ms"
        whole = [r[3] - r[0] for r in rows]
        print("job:     ", quantiles(whole), "from event to outcome")
        print("to lease:", quantiles([r[1] - r[0] for r in rows]), " to execve:", quantiles([r[2] - r[0] for r in rows]))
        print("PUT:     ", f"p50 {statistics.median(answered):.2f} ms by boto3")
        _, after = floor(jobs, 1)
        print(f"overhead over the floor: p50 {statistics.median(whole) / 1e6 - (before + after) / 2:.2f} ms  "
              f"(load {os.getloadavg()[0]:.1f})")
    finally:
        d.close()


main()
