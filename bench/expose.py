#!/usr/bin/env python3
"""Requests a second through the proxy to an exposed service, beside the same server asked directly in the same run.
usage: bench/expose.py [REQUESTS [CONNECTIONS]]

The server is bench/webfloor, in a sandbox and outside of one. CPU time is that of the daemon a request; the load client's is
apart. Then one GiB each way through a server in Python, with the daemon's memory.
"""
import base64
import json
import os
import pathlib
import subprocess
import sys
import time
import zlib

import requests

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402
from measure import cpu_s  # noqa: E402
from test_expose import SERVER, memory_kib  # noqa: E402

PORT = 18123
SIZE = 1 << 30


def load(host, bucket, path, count, connections):
    done = subprocess.run([ROOT / "build" / "bench" / "s3load", "-o", "fetch", "-h", host, "-b", bucket, "-p", path, "-n", str(count),
                           "-c", str(connections)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def direct(program, count, connections):
    server = subprocess.Popen([program, str(PORT)])
    try:
        time.sleep(0.3)
        return load(f"127.0.0.1:{PORT}", "x", "y", count, connections)
    finally:
        server.terminate()
        server.wait()


def say(name, got, cpu=None):
    print(f"{name}: {got['rate']:.0f} requests/s, p50 {got['p50_ms']:.2f} p99 {got['p99_ms']:.2f} ms; "
          f"CPU us a request: " + (f"daemon {cpu:.0f}, " if cpu else "") + f"load client {got['client_cpu_us']:.0f} "
          f"(load {os.getloadavg()[0]:.1f})")


def service(d, name, script, **keys):
    d.create(name, script, input=[], output=[], cpu="1", memory="128Mi",
             expose={"api_port": 8123, "min_scale": 1, "max_scale": 1}, **keys)
    url = f"{d.api}/system/services/{name}/exposed"
    conftest.wait_for("the server", lambda: requests.get(url, timeout=10).status_code == 200)
    return url


def proxied(d, program, count, connections):
    # The program travels in the script: a sandbox sees nothing of the machine's own folders but its programs.
    packed = base64.b64encode(zlib.compress(pathlib.Path(program).read_bytes(), 9)).decode()
    service(d, "floor", "python3 -c 'import sys,base64,zlib; open(\"/tmp/w\",\"wb\").write(zlib.decompress(base64.b64decode(sys.stdin.read())))' "
            f"<<'EOF'\n{packed}\nEOF\nchmod +x /tmp/w; exec /tmp/w 8123")
    host = d.api.split("//")[1]
    load(host, "system", "services/floor/exposed", connections * 8, connections)
    used = cpu_s(d.process.pid)
    got = load(host, "system", "services/floor/exposed", count, connections)
    return got, (cpu_s(d.process.pid) - used) * 1e6 / count


def stream(d):
    url, block = service(d, "stream", SERVER), bytes(range(256)) * 4096
    before, most = memory_kib(d), 0

    def pieces():
        nonlocal most
        for _ in range(SIZE // len(block)):
            most = max(most, memory_kib(d))
            yield block
    began = time.monotonic()
    assert requests.put(url + "/sink", data=pieces(), timeout=300).json()[0] == SIZE
    up = time.monotonic() - began
    began, n = time.monotonic(), 0
    with requests.get(url + "/source", headers={"X-Size": str(SIZE)}, stream=True, timeout=300) as answer:
        for piece in answer.iter_content(1 << 20):
            n += len(piece)
            most = max(most, memory_kib(d))
    assert n == SIZE
    print(f"stream: 1 GiB up in {up:.1f} s, down in {time.monotonic() - began:.1f} s (clients and server in Python); "
          f"daemon's memory +{(most - before) / 1024:.1f} MiB")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50000
    connections = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    program = ROOT / "build" / "bench" / "webfloor"
    before = direct(program, count, connections)
    say("direct", before)
    d = conftest.Daemon()
    try:
        got, cpu = proxied(d, program, count, connections)
        say("proxy", got, cpu)
        print(f"proxy: {got['rate'] / before['rate']:.2f} of the floor")
        stream(d)
    finally:
        d.close()


if __name__ == "__main__":
    main()
