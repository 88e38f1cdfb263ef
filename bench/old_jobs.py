#!/usr/bin/env python3
"""What finished jobs cost: dispatch rate and listing with N of them in the database beside none.  usage: bench/old_jobs.py [N] [JOBS]

One finished job is copied in the database (job, event, payload, attempt, log) until N are there; then JOBS calls of `true`
are queued while the service is paused, and the clock runs from its resuming to the last one's end. Order: none, N, none.
Then retention is switched on: how fast N shrink to a thousand while jobs run.
"""
import os
import pathlib
import sqlite3
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402


def columns(db, table, but):
    return ",".join(r[1] for r in db.execute(f"PRAGMA table_info({table})") if r[1] not in but)


def grow(d, n):
    """Makes n finished jobs of the one that is there. The daemon is not running."""
    db = sqlite3.connect(pathlib.Path(d.data) / "oscar.db")
    db.execute("PRAGMA cache_size=-200000")
    (model,) = db.execute("SELECT min(id) FROM jobs WHERE state=4").fetchone()
    jobs, events = columns(db, "jobs", ("id", "uuid")), columns(db, "events", ("id", "job"))
    attempts = columns(db, "attempts", ("job",))
    for done in range(0, n - 1, 50000):
        k = min(50000, n - 1 - done)
        (top,) = db.execute("SELECT max(seq) FROM sqlite_sequence WHERE name='jobs'").fetchone()
        numbers = f"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<{k}) "
        for text in (f"INSERT INTO jobs(id,uuid,{jobs}) SELECT {top}+i,randomblob(16),{jobs} FROM jobs,c WHERE id={model}",
                     f"INSERT INTO events(job,{events}) SELECT {top}+i,{events} FROM events,c WHERE job={model}",
                     f"INSERT INTO payloads(job,data) SELECT {top}+i,data FROM payloads,c WHERE job={model}",
                     f"INSERT INTO attempts(job,{attempts}) SELECT {top}+i,{attempts} FROM attempts,c WHERE job={model}",
                     f"INSERT INTO job_logs(job,attempt,data) SELECT {top}+i,attempt,data FROM job_logs,c WHERE job={model}"):
            db.execute(numbers + text)
        db.execute(f"UPDATE job_counts SET n=n+{k} WHERE state=4 AND service=(SELECT service FROM jobs WHERE id={model})")
        db.commit()
    db.close()


def page_ms(d, **query):
    start = time.monotonic()
    d.call("GET", "/system/jobs", 200, params=dict(query, limit=100))
    return (time.monotonic() - start) * 1000


def load(d, jobs):
    d.call("POST", "/system/services/noop/pause", 204)
    subprocess.run([ROOT / "build" / "bench" / "s3load", "-o", "put", "-h", d.s3_url.split("//")[1], "-b", "noop", "-k",
                    conftest.KEY, "-s", conftest.SECRET, "-p", "in/", "-n", str(jobs), "-c", "8", "-z", "1"],
                   capture_output=True, check=True)
    before, start = d.summary("noop")["succeeded"], time.monotonic()
    d.call("POST", "/system/services/noop/resume", 204)
    conftest.wait_for("the last job", lambda: d.summary("noop")["queued"] == 0, 600)
    took = time.monotonic() - start
    return max(d.summary("noop")["succeeded"] - before, jobs) / took


def measure(n, jobs, sweep=False):
    d = conftest.Daemon(None, "--keep-jobs", "0", "--keep-job-days", "0")
    try:
        d.create("noop", "echo done", output=[])
        d.call("POST", "/job/noop", 201, data="x")
        d.settled("noop", 1)
        if n:
            d.leave()
            grow(d, n)
            d.start()
        rate = load(d, jobs)
        slowest = max(page_ms(d, **q) for q in ({}, {"service": "noop"}, {"state": "succeeded"}, {"state": "queued"},
                                                {"service": "noop", "state": "failed"}) for _ in range(5))
        size = (pathlib.Path(d.data) / "oscar.db").stat().st_size / 2**20
        print(f"{n} finished: {rate:.0f} jobs/s, slowest page of 100 {slowest:.1f} ms, database {size:.0f} MiB "
              f"(load {os.getloadavg()[0]:.1f})", flush=True)
        if sweep:
            d.leave()
            d.options[-3:] = ["1000", "--keep-job-days", "0"]
            d.start()
            there, start = d.summary("noop")["succeeded"], time.monotonic()
            swept = load(d, jobs)
            gone, took = there + jobs - d.summary("noop")["succeeded"], time.monotonic() - start
            print(f"while retention works: {swept:.0f} jobs/s, {gone / took:.0f} old jobs deleted a second")
        return rate, slowest
    finally:
        d.close()


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    none = [measure(0, jobs)]
    many = measure(n, jobs, sweep=True)
    none.append(measure(0, jobs))
    print(f"with {n} finished jobs: {many[0] * 2 / (none[0][0] + none[1][0]):.2f} of the rate without, slowest page "
          f"{many[1] * 2 / (none[0][1] + none[1][1]):.2f} of that without")


main()
