#!/usr/bin/env python3
"""What idle followers cost: memory of the daemon with N clients of the event stream, and of a job's log.  usage: bench/followers.py [N]

Connections are opened one after the other and kept; memory is read when all are answered and again after five seconds in
which nothing happens to them. Then one event is made: the time until the last client has it.
"""
import base64
import os
import pathlib
import resource
import selectors
import socket
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402


def memory_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def follow(d, path, n):
    host, port = d.api.split("//")[1].split(":")
    login = base64.b64encode(f"{conftest.USER}:{conftest.PASSWORD}".encode()).decode()
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {login}\r\n\r\n".encode()
    sockets = []
    for i in range(n):
        s = socket.socket()
        s.bind((f"127.0.{i % 200 + 1}.1", 0))
        s.connect((host, int(port)))
        s.sendall(request)
        s.settimeout(60)
        head = s.recv(4096)
        assert head.startswith(b"HTTP/1.1 200"), head[:200]
        s.setblocking(False)
        sockets.append(s)
    return sockets


def await_all(sockets, word, seconds):
    chosen, start, left = selectors.DefaultSelector(), time.monotonic(), len(sockets)
    for s in sockets:
        chosen.register(s, selectors.EVENT_READ)
    while left and time.monotonic() - start < seconds:
        for key, _ in chosen.select(1):
            if word in key.fileobj.recv(65536):
                chosen.unregister(key.fileobj)
                left -= 1
    return time.monotonic() - start, left


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * n + 1000, max(2 * n + 1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    d = conftest.Daemon(None, "--max-connections", str(n + 1000))
    try:
        d.create("slow", "echo begun; sleep 600", output=[])
        job = d.call("POST", "/job/slow", 201, data="x").headers["X-Oscar-Job"]
        conftest.wait_for("its first line", lambda: "begun" in d.joblog(job))
        base = memory_mib(d.process.pid)
        for what, path in (("event stream", "/system/events"), ("log of a running job", f"/system/jobs/{job}/log?follow=1")):
            files = open_files(d.process.pid)
            sockets = follow(d, path, n)
            first = memory_mib(d.process.pid)
            time.sleep(5)
            idle = memory_mib(d.process.pid)
            took = ""
            if path == "/system/events":
                d.call("POST", "/system/services/slow/pause", 204)
                seconds, left = await_all(sockets, b"paused", 60)
                took = f", an event reached {n - left} of them within {seconds:.1f} s"
            for s in sockets:
                s.close()
            print(f"{n} followers of the {what}: {idle:.0f} MiB ({first:.0f} when all were answered, {base:.0f} without){took} "
                  f"(load {os.getloadavg()[0]:.1f})", flush=True)
            d.call("POST", "/system/services/slow/resume", 204)  # a stream notices that its client went when it has to write
            conftest.wait_for("the sockets to go", lambda: open_files(d.process.pid) < files + n // 2, 60)
    finally:
        d.close()


main()
