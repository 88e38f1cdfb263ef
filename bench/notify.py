#!/usr/bin/env python3
"""How long after the answer to a PUT its event arrives.  usage: bench/notify.py [N]

A line for a webhook and one for a queue of our own (read with wait): N puts of 1 KiB, one after the other, each with
its event's delay from the moment the client had the 200 (an event may come before it: that counts as 0). Client and
listener are processes of their own and read the same monotonic clock.
"""
import multiprocessing
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
sys.path.insert(0, str(ROOT / "tests"))
import conftest  # noqa: E402
import requests  # noqa: E402
from hook import Hook, wait_until  # noqa: E402


def listener(pipe, n):
    hook = Hook()
    pipe.send(hook.url)
    wait_until("all events", lambda: len(hook.posts) >= n, 600)
    pipe.send({body["Records"][0]["s3"]["object"]["key"]: at for _, body, at in hook.posts})
    hook.close()


def reader(pipe, api, n):
    link = requests.Session()
    link.auth = (conftest.USER, conftest.PASSWORD)
    heard, last = {}, 0
    pipe.send("ready")
    while len(heard) < n:
        answer = link.get(f"{api}/system/queues/q", params={"after": last, "wait": 30}, timeout=60).json()
        now = time.monotonic()
        last = answer["last"]
        for e in answer["events"]:
            heard[e["record"]["Records"][0]["s3"]["object"]["key"]] = now
    pipe.send(heard)


def puts(d, bucket, n):
    answered, link = {}, requests.Session()
    urls = [(f"{i}", d.s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": f"{i}"})) for i in range(n)]
    for key, url in urls:
        assert link.put(url, data=b"x" * 1024, timeout=30).status_code == 200
        answered[key] = time.monotonic()
        time.sleep(0.002)
    return answered


def measure(name, d, kind, n, work, *args):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=work, args=(theirs, *args, n))
    process.start()
    first = ours.recv()
    settings = {"endpoint": first} if kind == "webhook" else {}
    d.call("PUT", f"/system/targets/{kind}/q", 200, json=settings)
    d.s3.create_bucket(Bucket=name)
    d.s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={"QueueConfigurations": [
        {"QueueArn": f"arn:minio:sqs::q:{kind}", "Events": ["s3:ObjectCreated:*"]}]})
    answered = puts(d, name, n)
    heard = ours.recv()
    process.join()
    late = sorted(max(0, heard[k] - answered[k]) * 1000 for k in answered)
    print(f"{name}: {n} events, p50 {late[n // 2]:.2f} ms, p99 {late[n * 99 // 100]:.2f} ms, max {late[-1]:.2f} ms")


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    d = conftest.Daemon()
    try:
        measure("webhook", d, "webhook", n, listener)
        d.call("PUT", "/system/targets/queue/q", 200, json={})
        measure("own-queue", d, "queue", n, reader, d.api)
    finally:
        d.close()


if __name__ == "__main__":
    main()
