"""TLS on both ports, changed while the daemon runs; limits and virtual hosts by options."""
import os
import signal
import socket
import ssl
import subprocess
import urllib.parse

import boto3
import pytest
import requests
from conftest import KEY, OSCAR, SECRET, Daemon, wait_for


def certificate(opened, name, key=True):
    cert, private = opened / "cert.pem", opened / "key.pem"
    cmd = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
           "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
           "-out", str(cert) + ".new", "-keyout", str(private) + ".new"]
    subprocess.run(cmd, check=True, capture_output=True)
    for path in (private, cert) if key else (cert,):
        os.chmod(str(path) + ".new", 0o644)
        os.rename(str(path) + ".new", path)
    return cert, private


def shown(url):
    """The subject of the certificate that a port shows."""
    where = urllib.parse.urlsplit(url)
    pem = ssl.get_server_certificate((where.hostname, where.port))
    return subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem, text=True, check=True,
                          capture_output=True).stdout.strip().split("CN = ")[1]


def test_tls(opened):
    cert, key = certificate(opened, "first")
    d = Daemon(None, "--tls-cert", str(cert), "--tls-key", str(key))
    try:
        assert d.api.startswith("https://") and d.s3_url.startswith("https://")
        assert requests.get(d.api + "/health", verify=str(cert), timeout=30).status_code == 200
        s3 = boto3.client("s3", endpoint_url=d.s3_url, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
                          region_name="us-east-1", verify=str(cert))
        s3.create_bucket(Bucket="over-tls")
        s3.put_object(Bucket="over-tls", Key="k", Body=b"x" * 100000)
        assert len(s3.get_object(Bucket="over-tls", Key="k")["Body"].read()) == 100000
        s3.put_bucket_policy(Bucket="over-tls", Policy='{"Statement":[{"Effect":"Allow","Principal":"*","Action":'
                             '"s3:GetObject","Resource":"arn:aws:s3:::over-tls/*","Condition":{"Bool":'
                             '{"aws:SecureTransport":"true"}}}]}')
        assert requests.get(d.s3_url + "/over-tls/k", verify=str(cert), timeout=30).status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(d.api + "/health", timeout=30)
        certificate(opened, "second")
        d.process.send_signal(signal.SIGHUP)
        wait_for("the new certificate", lambda: shown(d.api) == "second" and shown(d.s3_url) == "second")
        certificate(opened, "third")  # noticed without a signal
        wait_for("the newer certificate", lambda: shown(d.s3_url) == "third")
        certificate(opened, "mismatched", key=False)
        d.process.send_signal(signal.SIGHUP)
        log = os.path.join(d.data, "daemon.log")
        wait_for("the refusal in the log", lambda: "stays as it was" in open(log, encoding="utf-8").read())
        assert shown(d.api) == "third"
    finally:
        d.close()


def test_wrong_tls_files_are_told(opened):
    cert, key = certificate(opened, "one")
    for options in (["--tls-cert", str(cert)], ["--tls-cert", str(cert), "--tls-key", str(opened / "none")],
                    ["--tls-cert", str(key), "--tls-key", str(key)]):
        done = subprocess.run([str(OSCAR), "serve", "--data", str(opened / "data"), "--listen", "127.0.0.1:0",
                               "--s3-listen", "127.0.0.1:0", *options], capture_output=True, text=True, timeout=60)
        assert done.returncode in (1, 2) and ("--tls-" in done.stderr or "TLS" in done.stderr)


def test_limits_and_virtual_hosts():
    d = Daemon(None, "--max-per-address", "8", "--max-header", "16384", "--s3-domain", "s3.localhost,other.test")
    try:
        d.s3.create_bucket(Bucket="by-host")
        d.s3.put_object(Bucket="by-host", Key="k", Body=b"x", ACL="public-read")
        for host in ("by-host.s3.localhost", "by-host.other.test:1234"):
            assert requests.get(d.s3_url + "/k", headers={"Host": host}, timeout=30).content == b"x"
        assert requests.get(d.s3_url + "/k", headers={"Host": "by-host.elsewhere"}, timeout=30).status_code == 404
        assert requests.get(d.s3_url + "/k", headers={"X": "y" * 20000}, timeout=30).status_code == 431
        d.s3.close()
        d.http.close()
        where = urllib.parse.urlsplit(d.s3_url)
        links = [socket.create_connection((where.hostname, where.port), 10) for _ in range(12)]

        def refused():
            n = 0
            for link in links:
                link.setblocking(False)
                try:
                    n += link.recv(1) == b""
                except BlockingIOError:
                    pass
                except ConnectionResetError:
                    n += 1
            return n
        wait_for("connections over the bound are closed", lambda: refused() >= 4)
        for link in links:
            link.close()
    finally:
        d.close()
