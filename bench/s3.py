#!/usr/bin/env python3
"""The object store beside MinIO and nginx, one after the other with the same load.  usage: bench/s3.py [OP...]

Ops: aget get get64m put1 put32 del list1k list1m put64m multipart. Prints a line an op with each server's rate, its
CPU time a request, and ratios. nginx serves the same bytes as plain files. MINIO names the minio binary
(go install github.com/minio/minio@latest); without it or nginx their columns stay empty. SCALE=0.1 shortens.
"""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import conftest  # noqa: E402

LOAD = ROOT / "build" / "bench" / "s3load"
SCALE = float(os.environ.get("SCALE", "1"))
KEY, SECRET = conftest.KEY, conftest.SECRET
PUBLIC = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": [
    "s3:GetObject"], "Resource": ["arn:aws:s3:::bench/*"]}]}


def children(pid):
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(p) for p in done.stdout.split()]


class Ours:
    name = "oscar"

    def __init__(self):
        self.daemon = conftest.Daemon()
        self.host = self.daemon.s3_url.split("//")[1]
        self.pids = [self.daemon.process.pid]

    def close(self):
        self.daemon.close()


class Minio:
    name = "minio"

    def __init__(self):
        binary = os.environ.get("MINIO") or shutil.which("minio") or os.path.expanduser("~/go/bin/minio")
        if not os.access(binary, os.X_OK):
            raise FileNotFoundError("minio")
        self.dir = tempfile.mkdtemp(prefix="oscar-bench-minio-")
        self.host = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            [binary, "server", "--quiet", "--address", self.host, self.dir], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=dict(os.environ, MINIO_ROOT_USER=KEY, MINIO_ROOT_PASSWORD=SECRET))
        self.pids = [self.process.pid]

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Nginx:
    name = "nginx"

    def __init__(self):
        binary = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        if not binary:
            raise FileNotFoundError("nginx")
        self.dir = tempfile.mkdtemp(prefix="oscar-bench-nginx-")
        os.chmod(self.dir, 0o755)
        os.mkdir(f"{self.dir}/bench")
        self.host = f"127.0.0.1:{free_port()}"
        config = pathlib.Path(self.dir) / "nginx.conf"
        config.write_text(f"daemon off; worker_processes auto; pid {self.dir}/pid; error_log {self.dir}/error;\n"
                          "events { worker_connections 1024; }\nhttp { access_log off; sendfile on; "
                          "keepalive_requests 10000000; "
                          f"server {{ listen {self.host}; root {self.dir}; }} }}\n")
        self.process = subprocess.Popen([binary, "-c", str(config)], stderr=subprocess.DEVNULL)
        conftest.wait_for("nginx", lambda: children(self.process.pid))
        self.pids = children(self.process.pid)

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def client(server):
    import boto3
    from botocore.config import Config
    return boto3.client("s3", endpoint_url=f"http://{server.host}", aws_access_key_id=KEY,
                        aws_secret_access_key=SECRET, region_name="us-east-1",
                        config=Config(retries={"max_attempts": 10}))


def load(server, op, n, connections, signed=True, **options):
    args = [str(LOAD), "-o", op, "-h", server.host, "-b", "bench", "-n", str(max(1, int(n))), "-c", str(connections)]
    if signed:
        args += ["-k", KEY, "-s", SECRET]
    for flag, value in options.items():
        args += [f"-{flag}", str(value)]
    for pid in server.pids:
        args += ["-P", str(pid)]
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        print(f"  {server.name}: {done.stderr.strip()}")
    return json.loads(done.stdout) if done.stdout else None


def fill(server, prefix, n, size):
    """Keys PREFIX00000000 …, all of the same size."""
    if isinstance(server, Nginx):
        for i in range(n):
            (pathlib.Path(server.dir) / "bench" / f"{prefix}{i:08d}").write_bytes(os.urandom(size))
    else:
        load(server, "put", n, 32, p=prefix, z=size)


def multipart(server, times, part_mib=8, parts=8):
    """The median of so many uploads: the time of its requests, without what the clients need to start and sign."""
    s3 = client(server)
    return sorted((upload_parts(server, s3, part_mib, parts) for _ in range(times)), key=lambda got: got["rate"])[times // 2]


def upload_parts(server, s3, part_mib, parts):
    def timed(call, **named):
        start = time.monotonic()
        got = call(Bucket="bench", Key="multi", **named)
        seconds.append(time.monotonic() - start)
        return got

    seconds = []
    upload = timed(s3.create_multipart_upload)["UploadId"]
    got = load(server, "part", parts, parts, p="multi", q=f"uploadId={upload}", z=part_mib << 20)
    listed = timed(s3.list_parts, UploadId=upload)["Parts"]
    timed(s3.complete_multipart_upload, UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in listed]})
    got["rate"] = 1 / (got["seconds"] + sum(seconds))
    return got


def second(run):
    """The first one finds memory that nobody used yet, which a virtual machine has to get from its host first."""
    run()
    return run()


OPS = {
    "aget": ("anonymous GET 4 KiB, 8 connections", ("oscar", "minio", "nginx"),
             lambda s: load(s, "get", 60000 * SCALE, 8, False, p="small", K=1000)),
    "get": ("signed GET 4 KiB, 8 connections", ("oscar", "minio"),
            lambda s: load(s, "get", 40000 * SCALE, 8, p="small", K=1000)),
    "get64m": ("GET 64 MiB, 2 connections", ("oscar", "minio", "nginx"),
               lambda s: load(s, "get", 48 * SCALE, 2, isinstance(s, Nginx) is False, p="large", K=2)),
    "put1": ("durable PUT 4 KiB, 1 client", ("oscar", "minio"),
             lambda s: load(s, "put", 2000 * SCALE, 1, p=f"one{time.time_ns()}", z=4096)),
    "put32": ("durable PUT 4 KiB, 32 clients", ("oscar", "minio"),
              lambda s: load(s, "put", 12000 * SCALE, 32, p="del", z=4096)),
    "del": ("DELETE, 32 clients", ("oscar", "minio"), lambda s: load(s, "delete", 12000 * SCALE, 32, p="del")),
    "list1k": ("LIST 1,000-key pages of 1,000 keys", ("oscar", "minio"),
               lambda s: load(s, "list", 200 * SCALE, 2, p="small", K=1000)),
    "put64m": ("PUT 64 MiB, 1 client", ("oscar", "minio"),
               lambda s: second(lambda: load(s, "put", max(4, 12 * SCALE), 1, p="big", z=64 << 20))),
    "multipart": ("multipart 8 x 8 MiB in parallel", ("oscar", "minio"),
                  lambda s: multipart(s, max(3, int(9 * SCALE)))),
}


def put_floor(size=64 << 20, times=5):
    """What 64 MiB take that are only summed, and only written: the medians, a second."""
    def median(work):
        took = []
        for _ in range(times):
            start = time.monotonic()
            work()
            took.append(time.monotonic() - start)
        return 1 / sorted(took)[times // 2]

    def write():
        with tempfile.TemporaryFile(buffering=0) as f:
            for at in range(0, size, 1 << 20):
                f.write(data[at:at + (1 << 20)])
            os.fsync(f.fileno())

    data = memoryview(os.urandom(size))
    return {"MD5 alone": median(lambda: hashlib.md5(data)), "write and fsync alone": median(write)}


FLOORS = {"put64m": put_floor}


def peak_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def column(got):
    return f"{got['rate']:9.1f}/s {got['server_cpu_us']:8.0f} us CPU, p99 {got['p99_ms']:.2f} ms" if got else "-"


def main():
    wanted = sys.argv[1:] or list(OPS)
    servers = {}
    for kind in (Ours, Minio, Nginx):
        try:
            servers[kind.name] = kind()
        except FileNotFoundError as missing:
            print(f"{missing} is not installed: its column stays empty")
    try:
        for s in servers.values():
            if s.name != "nginx":
                s3 = client(s)
                conftest.wait_for(s.name, lambda: quiet(s3.list_buckets))
                s3.create_bucket(Bucket="bench")
                quiet(lambda: s3.put_bucket_policy(Bucket="bench", Policy=json.dumps(PUBLIC)))
            fill(s, "small", 1000, 4096)
            fill(s, "large", 2, 64 << 20)
        for op in wanted:
            title, names, run = OPS[op]
            got = {n: run(servers[n]) for n in names if n in servers}
            print(f"{title}  (load {os.getloadavg()[0]:.1f})")
            for n, g in got.items():
                ratio = f"  ours/{n} {got['oscar']['rate'] / g['rate']:.2f}" if n != "oscar" and g else ""
                print(f"  {n:6} {column(g)}{ratio}")
            for name, rate in FLOORS[op]().items() if op in FLOORS else ():
                print(f"  {name} {rate:.1f}/s  ours/that {got['oscar']['rate'] / rate:.2f}")
        for s in servers.values():
            print(f"{s.name}: {sum(peak_mib(p) for p in s.pids):.0f} MiB resident at the most")
    finally:
        for s in servers.values():
            s.close()


def quiet(call):
    try:
        return call() and True
    except Exception:
        return False


if __name__ == "__main__":
    main()
