#!/usr/bin/env python3
"""Mixed load for hours, and whether memory, descriptors and the database stay flat.  usage: bench/soak.py [MINUTES [PAUSE_MS]]

Beside one another, each waiting PAUSE_MS (100) after every step: objects of 100 B to 4 MiB written, read whole and in
part, listed, overwritten and deleted; multipart uploads, one in four given up; files that start a job each, of which
one in ten fails, the last 1,000 of them kept; calls that wait for their answer; followers that come and go; a service
that is changed and sent its dead jobs again. Retention is short (--keep-jobs 2000), so that what is kept reaches its
bound within the run.

Every minute a line; at the end the middle of each figure in the second third of the run and in the last, and what does
not add up: uploads without exactly one job, objects that are not what was written. Exit status 1 if there are any.
"""
import os
import pathlib
import random
import statistics
import sys
import threading
import time

import boto3
import requests

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402
from measure import cpu_s, runner_of  # noqa: E402

KEPT, WINDOW = 2000, 1000  # jobs; files with their outputs


class Load:
    def __init__(self, daemon, pause):
        self.d, self.pause = daemon, pause
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.steps, self.wrong, self.uploads = {}, [], 0

    def s3(self):
        return boto3.client("s3", endpoint_url=self.d.s3_url, aws_access_key_id=conftest.KEY,
                            aws_secret_access_key=conftest.SECRET, region_name="us-east-1",
                            config=boto3.session.Config(s3={"addressing_style": "path"}))

    def run(self, name, make):
        """One kind of load: make() gives the function of a step, which may keep what it needs."""
        step = make()
        while not self.over.wait(self.pause * random.uniform(0.5, 1.5)):
            try:
                step()
                with self.lock:
                    self.steps[name] = self.steps.get(name, 0) + 1
            except Exception as e:  # whatever it is: it is reported, and the load goes on
                self.fault(f"{name}: {e!r}")

    def fault(self, what):
        with self.lock:
            self.wrong.append(what)
        print("WRONG", what[:300], flush=True)

    def objects(self):
        s3, kept = self.s3(), {}

        def step():
            key = f"o/{random.randrange(500)}"
            what = random.random()
            if key not in kept or what < 0.3:
                kept[key] = random.randbytes(int(100 * 40000 ** random.random() ** 2))
                s3.put_object(Bucket="soak", Key=key, Body=kept[key])
            elif what < 0.6:
                if s3.get_object(Bucket="soak", Key=key)["Body"].read() != kept[key]:
                    self.fault(f"{key} is not what was written")
            elif what < 0.75:
                first = random.randrange(len(kept[key]))
                if s3.get_object(Bucket="soak", Key=key, Range=f"bytes={first}-")["Body"].read() != kept[key][first:]:
                    self.fault(f"{key} from {first} is not what was written")
            elif what < 0.9:
                s3.delete_object(Bucket="soak", Key=key)
                del kept[key]
            elif {o["Key"] for o in s3.list_objects_v2(Bucket="soak", Prefix="o/").get("Contents", [])} != set(kept):
                self.fault("a listing differs from what was written")
        return step

    def multipart(self):
        s3, part = self.s3(), random.randbytes(5 << 20)

        def step():
            upload = s3.create_multipart_upload(Bucket="soak", Key="m")["UploadId"]
            put = [{"PartNumber": n, "ETag": s3.upload_part(Bucket="soak", Key="m", UploadId=upload, PartNumber=n, Body=part)["ETag"]}
                   for n in (1, 2)]
            name = {"Bucket": "soak", "Key": "m", "UploadId": upload}
            if random.random() < 0.25:
                s3.abort_multipart_upload(**name)
            else:
                s3.complete_multipart_upload(MultipartUpload={"Parts": put}, **name)
            self.over.wait(20 * self.pause)
        return step

    def files(self):
        s3 = self.s3()

        def step():
            s3.put_object(Bucket="job", Key=f"in/{self.uploads}", Body=b"fail" if self.uploads % 10 == 0 else b"work")
            self.uploads += 1
            if self.uploads > WINDOW:
                for folder in ("in", "out"):
                    s3.delete_object(Bucket="job", Key=f"{folder}/{self.uploads - WINDOW - 1}")
        return step

    def calls(self):
        session = requests.Session()
        session.auth = (conftest.USER, conftest.PASSWORD)

        def step():
            answer = session.post(f"{self.d.api}/run/call", data="hello", timeout=60)
            if answer.status_code != 200 or answer.text != "hello":
                self.fault(f"a call: {answer.status_code} {answer.text[:100]}")
        return step

    def followers(self):
        def step():
            with requests.get(f"{self.d.api}/system/events", auth=(conftest.USER, conftest.PASSWORD), stream=True, timeout=60) as answer:
                next(answer.iter_lines())
            self.over.wait(10 * self.pause)
        return step

    def changes(self):
        session = requests.Session()
        session.auth = (conftest.USER, conftest.PASSWORD)

        def step():
            service = session.get(f"{self.d.api}/system/services/call", timeout=60).json()
            service["memory"] = random.choice(("32Mi", "48Mi"))
            session.put(f"{self.d.api}/system/services", json=service, timeout=60).raise_for_status()
            session.post(f"{self.d.api}/system/jobs/redrive", params={"service": "job", "limit": 1}, timeout=60)
            self.over.wait(50 * self.pause)
        return step


def status(pid, word):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(word):
            return int(line.split()[1])
    return 0


def sizes(data):
    database = content = files = 0
    for folder, _, names in os.walk(data):
        for name in names:
            try:
                size = os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
            files += 1
            if ".db" in name:
                database += size
            else:
                content += size
    return database / 2**20, content / 2**20, files


def sample(d, runner):
    database, content, files = sizes(d.data)
    return {"daemon MiB": status(d.process.pid, "VmRSS") / 1024, "anonymous MiB": status(d.process.pid, "RssAnon") / 1024,
            "descriptors": len(os.listdir(f"/proc/{d.process.pid}/fd")), "threads": status(d.process.pid, "Threads"),
            "runner MiB": status(runner, "VmRSS") / 1024, "runner's descriptors": len(os.listdir(f"/proc/{runner}/fd")),
            "database MiB": database, "content MiB": content, "files": files}


def watch(d, runner, minutes):
    samples, start = [], time.monotonic()
    while time.monotonic() - start < minutes * 60:
        time.sleep(min(60, minutes * 60 / 12))
        samples.append(sample(d, runner))
        print(f"{(time.monotonic() - start) / 60:6.1f} min  " + "  ".join(f"{k} {v:.0f}" for k, v in samples[-1].items()) +
              f"  (load {os.getloadavg()[0]:.1f})", flush=True)
    return samples


def settle(load):
    """When the last job is over: each upload has exactly one, as far as jobs are kept."""
    d = load.d
    conftest.wait_for("the last job", lambda: not sum(d.summary("job")[s] for s in ("queued", "running")), 120)
    kept = d.summary("job")
    print(f"uploads {load.uploads}, jobs kept {kept}")
    made = len([k for k in d.keys("job", "out/")])
    wanted = sum(1 for n in range(max(0, load.uploads - WINDOW), load.uploads) if n % 10)
    if made != wanted:
        load.fault(f"{wanted} outputs were due, {made} are there")


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 120
    pause = (float(sys.argv[2]) if len(sys.argv) > 2 else 100) / 1000
    d = conftest.Daemon(None, "--keep-jobs", str(KEPT), "--keep-feed", str(KEPT))
    try:
        runner = runner_of(d)  # before a job: its shims have the same words
        d.s3.create_bucket(Bucket="soak")
        d.create("job", 'grep -q work "$INPUT_FILE_PATH" && cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"', memory="32Mi")
        d.create("call", "cat", input=[], output=[], memory="32Mi")
        load = Load(d, pause)
        threads = [threading.Thread(target=load.run, args=(name, getattr(load, name)))
                   for name in ("objects", "multipart", "files", "calls", "followers", "changes")]
        for t in threads:
            t.start()
        try:
            samples = watch(d, runner, minutes)
        finally:
            load.over.set()
            for t in threads:
                t.join()
        print("steps:", load.steps, f"CPU of the daemon {cpu_s(d.process.pid):.0f} s")
        settle(load)
        third = len(samples) // 3
        for what in samples[0]:
            middle, last = (statistics.median(s[what] for s in part) for part in (samples[third:-third], samples[-third:]))
            print(f"{what}: {middle:.1f} in the second third, {last:.1f} in the last ({last / middle:.3f})")
        if load.wrong:
            sys.exit(f"{len(load.wrong)} faults")
    finally:
        d.close()


main()
