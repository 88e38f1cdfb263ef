"""`environment.secrets`: files in /oscar/secrets, and variables unless the service wants files alone."""
import os
import pathlib

import pytest
from conftest import wait_for

SECRETS = {"TOKEN": "s3cret value", "key.pem": "line 1\nline 2=x\n", "EMPTY": ""}
SHOW = ('cat >/dev/null; cd /oscar/secrets && for f in *; do echo "$f $(stat -c "%a %s" "$f") [$(cat "$f")]"; done; stat -f -c %T .; stat -c %a .; '
        'echo "variable [$TOKEN]"; (echo x >new) 2>/dev/null && echo wrote; (echo x >TOKEN) 2>/dev/null && echo wrote; '
        '(chmod 666 TOKEN) 2>/dev/null && echo wrote; true')
FILES = "EMPTY 400 0 []\nTOKEN 400 12 [s3cret value]\nkey.pem 400 16 [line 1\nline 2=x]\ntmpfs\n500\n"


def run(d, service, n=1):
    d.call("POST", f"/job/{service}", 201, json={})
    job = d.settled(service, n)[0]
    assert job["state"] == "succeeded", d.detail(job["name"])
    return d.joblog(job["name"])


def everything(data):
    for path in pathlib.Path(data).rglob("*"):
        if path.is_file() and not path.name.startswith("oscar.db"):
            yield path, path.read_bytes()


@pytest.mark.parametrize("how,variable", [(None, "s3cret value"), ("both", "s3cret value"), ("files", "")])
def test_secrets_are_files(fresh, how, variable):
    d = fresh
    d.create("safe", SHOW, environment={"secrets": SECRETS}, **({"secrets_as": how} if how else {}))
    assert run(d, "safe") == FILES + f"variable [{variable}]\n"
    d.create("none", "cat >/dev/null; ls /oscar; ls /oscar/secrets 2>/dev/null; true")  # in the same folder, used again
    assert "TOKEN" not in run(d, "none")
    answer = d.call("GET", "/system/services/safe", 200)
    assert answer.json()["environment"]["secrets"] == dict.fromkeys(SECRETS, "") and "s3cret" not in answer.text


def test_they_are_on_no_disk_while_the_script_runs(fresh):
    d = fresh
    d.create("slow", "cat >/dev/null; echo began; sleep 3; cat /oscar/secrets/TOKEN", secrets_as="files",
             environment={"secrets": {"TOKEN": "unmistakable-secret"}})
    d.call("POST", "/job/slow", 201, json={})
    wait_for("its begin", lambda: any("began" in d.joblog(j["name"]) for j in d.jobs("slow")))
    if os.geteuid() == 0:
        for path, data in everything(d.data):
            assert b"unmistakable-secret" not in data, path
        for part in ("environ", "cmdline"):
            assert b"unmistakable" not in pathlib.Path(f"/proc/{d.process.pid}/{part}").read_bytes()
    job = d.settled("slow", 1)[0]
    assert job["state"] == "succeeded" and "unmistakable-secret" in d.joblog(job["name"])


def test_calls_in_kept_sandboxes_have_them(fresh):
    d = fresh
    d.create("warm", "cat >/dev/null; cat /oscar/secrets/TOKEN", keep_warm=1, secrets_as="files",
             environment={"secrets": {"TOKEN": "one"}})
    for _ in range(3):
        assert d.call("POST", "/run/warm", 200, data="x").text == "one"
    service = d.call("GET", "/system/services/warm", 200).json()
    service["environment"]["secrets"] = {"TOKEN": "two"}
    d.call("PUT", "/system/services", 204, json=service)
    assert d.call("POST", "/run/warm", 200, data="x").text == "two"


@pytest.mark.parametrize("secrets,text", [({"..": "x"}, ".."), ({".": "x"}, "."), ({"a/b": "x"}, "a/b")])
def test_names_that_no_file_can_have(daemon, secrets, text):
    body = {"name": "wrong", "image": "host", "script": "true", "environment": {"secrets": secrets}}
    answer = daemon.call("POST", "/system/services", json=body)
    assert answer.status_code == 400 and "environment.secrets" in answer.text and text in answer.text
    body = {"name": "wrong", "image": "host", "script": "true", "secrets_as": "env"}
    assert "none of both, files" in daemon.call("POST", "/system/services", 400, json=body).text
