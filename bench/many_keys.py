#!/usr/bin/env python3
"""A bucket with very many keys: start to ready, pages of a listing, memory.  usage: bench/many_keys.py [KEYS...]

The keys are written into the database while no daemon runs, as copies of one small object (default: 1000 and 1000000).
Prints a line for each number: the start until it answers, LIST of 1,000-key pages anywhere in the bucket by two clients
(objects/s, CPU a page), its ratio to the first number, GET of 4 KiB by eight, resident memory at the end.
"""
import json
import pathlib
import sqlite3
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402

LOAD = ROOT / "build" / "bench" / "s3load"


def fill(data, keys):
    """Copies of the one object, in order of their names, with a body each."""
    db = sqlite3.connect(pathlib.Path(data) / "oscar.db")
    columns = [row[1] for row in db.execute("PRAGMA table_info(objects)")]
    named = [c for c in columns if c not in ("key", "version", "content")]
    db.execute("CREATE TEMP TABLE n(i INTEGER PRIMARY KEY)")
    db.execute("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<?) INSERT INTO n SELECT i FROM c",
               (keys - 1,))
    base = 10**9
    db.execute(f"INSERT INTO bodies(content,crc,data) SELECT {base}+i,crc,data FROM n,bodies")
    db.execute(f"INSERT INTO objects(key,version,content,{','.join(named)}) SELECT printf('k/%08d',i),{base}+i,{base}+i,"
               f"{','.join(named)} FROM n,objects WHERE key='k/00000000'")
    db.execute("UPDATE buckets SET objects=?, bytes=?*size FROM (SELECT size FROM objects LIMIT 1)", (keys, keys))
    db.execute("UPDATE sequences SET reserved=? WHERE name IN ('version','content')", (base + keys + 1,))
    db.commit()
    db.close()


def load(daemon, op, requests, connections, keys):
    out = subprocess.run([str(LOAD), "-o", op, "-h", daemon.s3_url.split("//")[1], "-b", "many", "-k", conftest.KEY, "-s",
                          conftest.SECRET, "-p", "k/", "-n", str(requests), "-c", str(connections), "-K", str(keys),
                          "-P", str(daemon.process.pid)], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


def resident_mib(daemon):
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main():
    first = None
    for keys in [int(a) for a in sys.argv[1:]] or [1000, 1000000]:
        daemon = conftest.Daemon()
        try:
            daemon.s3.create_bucket(Bucket="many")
            daemon.s3.put_object(Bucket="many", Key="k/00000000", Body=b"x" * 4096)
            daemon.leave()
            fill(daemon.data, keys)
            began = time.monotonic()
            daemon.start()
            ready = time.monotonic() - began
            pages = load(daemon, "list", 300, 2, keys)
            gets = load(daemon, "get", 30000, 8, keys)
            rate = pages["rate"] * 1000
            first = first or rate
            print(f"{keys:>9} keys: ready {ready * 1000:.0f} ms, LIST {rate:.0f} objects/s ({rate / first:.2f} of the "
                  f"first), {pages['server_cpu_us']:.0f} us CPU a page, GET {gets['rate']:.0f}/s, "
                  f"resident {resident_mib(daemon):.0f} MiB", flush=True)
        finally:
            daemon.close()


if __name__ == "__main__":
    main()
