"""Random kill -9 of the daemon, the runner, shims and sandboxes during a chain of two services.

Every input is accounted once, the outputs are complete, and after the end nothing is left over.
FILES and KILLS choose the size; SEED repeats a run.
"""
import os
import random
import threading
import time

import botocore.exceptions
import pytest
import requests

from eyes import e2e, groups, mounts, parts

FILES, KILLS = int(os.environ.get("FILES", 120)), int(os.environ.get("KILLS", 24))
SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
VICTIMS = ("daemon", "runner", "shim", "init", "script")
RETRY = {"attempts": 50, "backoff_seconds": 0}


def only_once(params, **_):
    """Debian's boto3 does not know the parameter yet."""
    params["headers"]["If-None-Match"] = "*"


class Feeder(threading.Thread):
    """Uploads every file until it is acknowledged, in step with the kills.

    If-None-Match keeps a repeated upload from being a second one.
    """

    def __init__(self, daemon):
        super().__init__()
        self.daemon, self.failed, self.url = daemon, None, None
        self.kills = threading.Semaphore(1)

    def client(self):
        """For where the daemon is now; boto3's own retries would hold on to where it was."""
        if self.url != self.daemon.s3_url:
            self.url = self.daemon.s3_url
            self.s3 = e2e.boto3.client("s3", endpoint_url=self.url, aws_access_key_id=e2e.KEY,
                                       aws_secret_access_key=e2e.SECRET, region_name="us-east-1",
                                       config=e2e.botocore.config.Config(retries={"max_attempts": 0}))
            self.s3.meta.events.register("before-call.s3.PutObject", only_once)
        return self.s3

    def put(self, i):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.client().put_object(Bucket="first", Key=f"in/{i}", Body=f"{i}\n".encode())
                return
            except botocore.exceptions.ClientError as e:
                if e.response["Error"]["Code"] == "PreconditionFailed":
                    return  # it was stored, and the answer was lost
                raise
            except (botocore.exceptions.BotoCoreError, OSError) as e:
                why = repr(e)
                time.sleep(0.05)
        raise TimeoutError(f"in/{i}: {why}")

    def run(self):
        try:
            for i in range(FILES):
                if i * KILLS // FILES != (i - 1) * KILLS // FILES:
                    self.kills.acquire()
                self.put(i)
        except Exception as e:  # told by the main thread
            self.failed = e


def kill_one(daemon, rng):
    """Ends one of them; the role, or None when none of it was there."""
    role = rng.choice(VICTIMS)
    if role == "daemon":
        daemon.kill()
        daemon.start()
        return role
    there = parts(daemon)[role]
    if not there:
        return None
    try:
        os.kill(rng.choice(there), 9)
    except ProcessLookupError:
        return None
    return role


def left_in(daemon, folder):
    """Folders named .spare-N are kept for the jobs to come, .boot says when they ran."""
    return [n for n in os.listdir(os.path.join(daemon.data, folder)) if not n.startswith((".spare-", ".boot"))]


def ended(daemon, service):
    try:
        s = daemon.summary(service)
    except requests.RequestException:
        return -1
    return sum(s[k] for k in ("succeeded", "failed", "cancelled", "dead"))


def all_jobs(daemon, service):
    jobs, query = [], {}
    while True:
        page = daemon.call("GET", "/system/jobs", 200, params=dict(service=service, limit=500, **query)).json()
        jobs += page["jobs"]
        if not page.get("next"):
            return jobs
        query = {"after": page["next"]}


def twice(daemon, service, jobs):
    """The jobs that have the same input, and the jobs that made it, for the message of a failure."""
    by = {}
    for j in jobs:
        detail = daemon.detail(j["id"])
        by.setdefault(str(detail.get("input") or detail.get("event")), []).append(detail)
    return {k: v for k, v in by.items() if len(v) > 1}


def test_a_chain_under_random_kills_accounts_every_input_once():
    print(f"SEED={SEED}")
    rng = random.Random(SEED)
    daemon = e2e.Daemon()
    try:
        pause = 'sleep 0.0$(od -An -N1 -tu1 /dev/urandom | tr -d " "); '
        daemon.create("first", pause + 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/" && echo log of first', retry=RETRY,
                      output=[{"storage_provider": "minio", "path": "second/in"}])
        daemon.create("second", pause + 'sed s/^/seen:/ "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"',
                      retry=RETRY)
        feeder = Feeder(daemon)
        feeder.start()
        kills = dict.fromkeys(VICTIMS, 0)
        deadline = time.monotonic() + max(240, KILLS * 5)
        while sum(kills.values()) < KILLS and feeder.is_alive() and time.monotonic() < deadline:
            role = kill_one(daemon, rng)
            if role:
                kills[role] += 1
                feeder.kills.release()
            time.sleep(rng.random() * 0.4)
        feeder.kills.release(FILES)
        feeder.join()
        assert feeder.failed is None, feeder.failed
        e2e.wait_for("the end of the chain", lambda: ended(daemon, "second") >= FILES,
                     max(120, deadline - time.monotonic()))
        print("kills:", kills)
        for service in ("first", "second"):
            jobs = all_jobs(daemon, service)
            assert len(jobs) == FILES, f"{service}: {len(jobs)} jobs, {twice(daemon, service, jobs)}"
            assert {j["state"] for j in jobs} == {"succeeded"}, [j for j in jobs if j["state"] != "succeeded"][:3]
        names = sorted(str(i) for i in range(FILES))
        assert sorted(k.split("/")[1] for k in daemon.keys("second", "in/")) == names
        assert sorted(k.split("/")[1] for k in daemon.keys("second", "out/")) == names
        for i in range(FILES):
            assert daemon.get("second", f"out/{i}") == f"seen:{i}\n".encode()
        left = {r: p for r, p in parts(daemon).items() if r in ("shim", "init", "script") and p}
        assert not left, left
        e2e.wait_for("the control groups' end", lambda: not groups(daemon), 10)
        for folder in ("jobs", "tmp"):
            e2e.wait_for(f"an empty {folder}/", lambda: not left_in(daemon, folder), 10)
        daemon.stop()
        e2e.wait_for("the runner's end", lambda: not any(parts(daemon).values()), 20)
        assert not mounts(daemon)
        assert os.listdir(os.path.join(daemon.data, "jobs")) == [".boot"]
    finally:
        daemon.close()


@pytest.mark.parametrize("role", ["shim", "init", "script"])
def test_a_job_whose_part_was_killed_says_so_and_the_next_one_runs(role):
    daemon = e2e.Daemon()
    try:
        daemon.create("one", "sleep 30", retry={"attempts": 1, "on": []})
        daemon.call("POST", "/job/one", 201, data="x")
        victim = e2e.wait_for("the sandbox", lambda: parts(daemon)[role])[0]
        e2e.wait_for("the start", lambda: daemon.summary("one")["running"])
        os.kill(victim, 9)
        job = daemon.settled("one", 1, 20)[0]
        assert job["state"] in ("failed", "dead") and job["reason"], job
        daemon.create("two", "echo well", prepared=0)
        assert daemon.call("POST", "/run/two", 200, data="x").text == "well\n"
        e2e.wait_for("the control groups' end", lambda: not groups(daemon), 10)
    finally:
        daemon.close()
