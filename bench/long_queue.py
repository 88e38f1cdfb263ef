#!/usr/bin/env python3
"""What a long queue costs: dispatch rate, memory and listing with N queued jobs beside 1,000.  usage: bench/long_queue.py [N] [SECONDS]

The service runs `true`. It is paused; one job is queued by the API and copied in the database, with its event and payload,
until N are there. Then it is resumed and the jobs accounted within SECONDS are counted. Order: 1,000 (again filled up so
that none runs dry), N, 1,000 again, all in one run; the ratio is N against the mean of the others. Listing is the slowest
of several pages, of the API, while jobs run.
"""
import os
import pathlib
import sqlite3
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402
from measure import cpu_s  # noqa: E402

COLUMNS = "service,revision,owner,state,attempt,sync,priority,run_after_ns,lease_ns,worker,run,depth,created_ns"


def grow(d, n):
    """Makes n queued jobs of the one that is there. The daemon is not running."""
    db = sqlite3.connect(pathlib.Path(d.data) / "oscar.db")
    db.execute("PRAGMA cache_size=-200000")
    (model,) = db.execute("SELECT min(id) FROM jobs WHERE state=0").fetchone()
    for _ in range(0, n - 1, 50000):
        k = min(50000, n - 1 - _)
        (top,) = db.execute("SELECT max(seq) FROM sqlite_sequence WHERE name='jobs'").fetchone()
        numbers = f"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<{k}) "
        db.execute(f"{numbers} INSERT INTO jobs(id,uuid,{COLUMNS}) SELECT {top}+i,randomblob(16),{COLUMNS} FROM jobs,c WHERE id={model}")
        db.execute(f"{numbers} INSERT INTO events(service,trigger,source,bucket,key,version,job,time_ns) "
                   f"SELECT service,trigger,source,bucket,key,version,{top}+i,time_ns FROM events,c WHERE job={model}")
        db.execute(f"{numbers} INSERT INTO payloads(job,data) SELECT {top}+i,data FROM payloads,c WHERE job={model}")
        db.execute(f"UPDATE job_counts SET n=n+{k} WHERE state=0 AND service=(SELECT service FROM jobs WHERE id={model})")
        db.execute(f"UPDATE lanes SET queued=queued+{k} WHERE service=(SELECT service FROM jobs WHERE id={model})")
        db.commit()
    db.close()


def rss_mib(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return 0


def page_ms(d, **query):
    start = time.monotonic()
    d.call("GET", "/system/jobs", 200, params=query)
    return (time.monotonic() - start) * 1000


def measure(n, seconds):
    d = conftest.Daemon()
    try:
        d.create("noop", "true", output=[])
        d.call("POST", "/system/services/noop/pause", 204)
        d.call("POST", "/job/noop", 201, data="x")
        d.leave()
        grow(d, n)
        d.start()
        assert d.summary("noop")["queued"] == n
        d.call("POST", "/system/services/noop/resume", 204)
        time.sleep(0.5)
        used = cpu_s(d.process.pid)
        before, start, slowest = d.summary("noop")["succeeded"], time.monotonic(), 0.0
        while time.monotonic() - start < seconds and d.summary("noop")["queued"] > 150:
            for query in ({"service": "noop"}, {"state": "queued"}, {"service": "noop", "state": "failed"},
                          {"service": "noop", "state": "succeeded"}, {}):
                slowest = max(slowest, page_ms(d, limit=100, **query))
            time.sleep(0.2)
        took = time.monotonic() - start
        done = d.summary("noop")["succeeded"] - before
        rate, used = done / took, (cpu_s(d.process.pid) - used) * 1000 / done
        peak = rss_mib(d.process.pid, "VmHWM")
        d.call("POST", "/system/services/noop/pause", 204)
        print(f"{n} queued: {rate:.0f} jobs/s, CPU of the daemon {used:.2f} ms a job, at most {peak:.0f} MiB, slowest page of 100 {slowest:.1f} ms "
              f"(load {os.getloadavg()[0]:.1f})", flush=True)
        return rate, peak, slowest, used
    finally:
        d.close()


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10
    few = [measure(1000, seconds)]
    many = measure(n, seconds)
    few.append(measure(1000, seconds))
    base = sum(f[0] for f in few) / 2
    cpu = sum(f[3] for f in few) / 2
    print(f"with {n} queued: {many[0] / base:.2f} of the rate with 1000, {many[3] / cpu:.2f} times its CPU; {many[1]:.0f} MiB; slowest page {many[2]:.1f} ms")


main()
