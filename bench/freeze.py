#!/usr/bin/env python3
"""The first call after a pause: to what went on running, to what was frozen, and to what had been stopped.
usage: bench/freeze.py [ROUNDS [SERVICES]]

Of services with a kept sandbox (a script that runs `true`) and of exposed ones (bench/webfloor). In each round every service is
called once, one after the other, after a pause in which nothing was asked of it.
"""
import base64
import os
import pathlib
import re
import sys
import time
import zlib

import requests

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402

PAUSE_S = 1.6  # a second of idleness is the least that freezes or stops
STATES = {"running": {"freeze_after": 0}, "frozen": {"freeze_after": 1}, "stopped": {"freeze_after": 0, "idle_stop": 1}}


def server_script():
    """The program travels in the script, gzipped: a sandbox sees nothing of the machine's own folders but its programs."""
    pack = zlib.compressobj(9, wbits=31)
    packed = base64.b64encode(pack.compress((ROOT / "build" / "bench" / "webfloor").read_bytes()) + pack.flush()).decode()
    return f"base64 -d <<'EOF' | gzip -d > /tmp/w\n{packed}\nEOF\nchmod +x /tmp/w; exec /tmp/w 8123"


def figure(d, name):
    return float(re.search(rf"^{re.escape(name)} (.*)$", d.call("GET", "/metrics", 200).text, re.M)[1])


def kept_now(d, state):
    if state == "frozen":
        return figure(d, 'oscar_kept_sandboxes{state="frozen"}')
    return figure(d, 'oscar_kept_sandboxes{state="idle"}')


def servers_now(d, state):
    if state == "frozen":
        return figure(d, "oscar_servers_frozen")
    return figure(d, 'oscar_servers{state="ready"}')


def measure(d, kind, state, rounds, services):
    names = [f"{kind}{i}" for i in range(services)]
    keys = {"input": [], "output": [], "cpu": "0.1", "memory": "32Mi", "idle_stop": 600, **STATES[state]}
    if kind == "kept":
        keys["keep_warm"] = 1
    else:
        keys["expose"] = {"api_port": 8123, "max_scale": 1}
    for name in names:
        d.create(name, "true" if kind == "kept" else server_script(), **keys)
    calls = [requests.Request("POST", f"{d.api}/run/{n}", data="x") if kind == "kept"
             else requests.Request("GET", f"{d.api}/system/services/{n}/exposed/") for n in names]
    calls = [d.http.prepare_request(c) for c in calls]
    now = kept_now if kind == "kept" else servers_now
    want = 0 if state == "stopped" else services
    took = []
    for r in range(rounds + 1):
        if r:
            time.sleep(PAUSE_S)
            conftest.wait_for(f"all to be {state}", lambda: now(d, state) == want, 30)
        for call in calls:
            began = time.perf_counter()
            answer = d.http.send(call, timeout=60)
            if r:  # the first ones begin them
                took.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, answer.text
    took.sort()
    print(f"{kind}, {state}: first call p50 {took[len(took) // 2]:.2f} p99 {took[len(took) * 99 // 100]:.2f} max {took[-1]:.2f} ms "
          f"of {len(took)} (load {os.getloadavg()[0]:.1f})", flush=True)
    for name in names:
        d.call("DELETE", f"/system/services/{name}", 204)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    services = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    d = conftest.Daemon()
    try:
        for kind in ("kept", "server"):
            for state in STATES:
                measure(d, kind, state, rounds, services)
    finally:
        d.close()


if __name__ == "__main__":
    main()
