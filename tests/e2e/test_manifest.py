"""`group: {manifest: .list}`: one job for the files that an uploaded list names, once all are there."""
import os
import pathlib
import time

import pytest
from conftest import run_cli, wait_for

LIST = """cd "$INPUT_FILE_PATH"; echo "$INPUT_FILE_PATH $OSCAR_MANIFEST $(head -n 1 "$OSCAR_MANIFEST")"
          find . -type f | sort | while read -r f; do echo "$f=$(head -c 20 "$f")"; done | tee "$TMP_OUTPUT_DIR/all" """


def service(d, name, **group):
    d.create(name, LIST, input=[{"storage_provider": "minio", "path": f"{name}/in",
                                 "group": {"manifest": ".list", **group}}])


def groups(d, name):
    return d.call("GET", f"/system/services/{name}/queue", 200).json()["groups"]


def lines(d, job):
    return d.joblog(job["name"]).splitlines()


def test_a_list_waits_for_its_files(daemon):
    d = daemon
    service(d, "slides")
    d.put("slides", "in/s1/a.tif", b"first")
    d.put("slides", "in/s1/x.list", b"a.tif\nsub/b.tif\n/shared/c.tif\n")
    d.put("slides", "in/s1/unnamed", b"of nobody")
    d.put("slides", "in/shared/c.tif", b"third " + b"." * 50000)
    state = wait_for("the list", lambda: groups(d, "slides"))
    assert (state[0]["kind"], state[0]["files"]) == ("manifest", 1) and state[0]["due"] > state[0]["opened"]
    time.sleep(1.5)
    assert not d.jobs("slides")
    d.put("slides", "in/s1/sub/b.tif", b"second")
    job = d.settled("slides", 1)[0]
    assert job["state"] == "succeeded" and job["input"] == "slides/in/s1/x.list", d.detail(job["name"])
    assert lines(d, job) == ["/mnt/input/in /mnt/input/in/s1/x.list a.tif", "./s1/a.tif=first", "./s1/sub/b.tif=second",
                             "./s1/x.list=a.tif", "sub/b.tif", "/sha", "./shared/c.tif=third " + "." * 14]
    assert not groups(d, "slides")
    made = d.s3.head_object(Bucket="slides", Key="out/all")["Metadata"]
    assert made["oscar-input"] == "slides/in/s1/x.list"
    wait_for("no copies", lambda: not [n for n in os.listdir(pathlib.Path(d.data) / "tmp") if n.startswith("group-")])


def test_what_never_comes_is_a_failed_job_that_can_be_sent_again(daemon):
    d = daemon
    service(d, "late", wait=1)
    d.put("late", "in/x.list", b"a\nb\n")
    d.put("late", "in/a", b"here")
    job = d.settled("late", 1)[0]
    assert (job["state"], job["reason"]) == (
        "failed", "1 of the 2 files that in/x.list names are missing, the first is in/b")
    d.put("late", "in/b", b"at last")
    run_cli(d, "jobs", "redrive", job["name"])
    wait_for("its success", lambda: d.detail(job["name"])["state"] == "succeeded")
    assert "./b=at last" in lines(d, job)


@pytest.mark.parametrize("text,reason", [
    (b"", "names no file"), (b"../../../etc/passwd\n", "line 1: a name with an empty part"), (b"a\n\xff\xfe\n", "line 2: a name that is not UTF-8"),
    (b"x" * 2000, "a key of more than 1024 bytes"), (b"#" * (1 << 20) + b"\n", "a manifest of 1048577 bytes"),
    (b"".join(b"%d\n" % i for i in range(10001)), "line 10000: it names more than 9999 files"),
])
def test_absurd_lists_fail_at_once(daemon, text, reason):
    d = daemon
    if "absurd" not in [s["name"] for s in d.call("GET", "/system/services", 200).json()]:
        service(d, "absurd")
    before = len(d.jobs("absurd"))
    d.put("absurd", f"in/{before}.list", text)
    job = d.settled("absurd", before + 1)[0]
    assert job["state"] == "failed" and reason in job["reason"] and f"in/{before}.list" in job["reason"], job["reason"]
    assert not groups(d, "absurd")


def test_what_cannot_be_is_refused(daemon):
    for group, text in (({"manifest": ".list", "count": 2}, "want one of"), ({"manifest": "a/b"}, "how the names of files end"),
                        ({"manifest": ".list", "wait": 0}, "want 1 to"), ({"manifest": ".list", "failed": "run"}, "goes with run")):
        body = {"name": "wrong", "image": "host", "script": "true",
                "input": [{"storage_provider": "minio", "path": "wrong/in", "group": group}]}
        answer = daemon.call("POST", "/system/services", json=body)
        assert answer.status_code == 400 and text in answer.text and "input[0]" in answer.text, answer.text
    body["input"][0].update(group={"manifest": ".list"}, suffix=[".tif"])
    assert "no prefix or suffix" in daemon.call("POST", "/system/services", 400, json=body).text.replace("there can be ", "")


def test_a_list_that_a_job_makes_is_waited_for_by_its_run(fresh):
    d = fresh
    d.create("plan", 'echo late >"$TMP_OUTPUT_DIR/x.list"', input=[{"storage_provider": "minio", "path": "plan/in"}],
             output=[{"storage_provider": "minio", "path": "named/in"}])
    service(d, "named")
    d.create("whole", 'ls "$INPUT_FILE_PATH"', input=[{"storage_provider": "minio", "path": "named/out", "group": {"run": True}}],
             output=[])
    d.put("plan", "in/a", b"x")
    d.settled("plan", 1)
    assert groups(d, "named")
    d.kill()  # what waits is in the database
    d.start()
    d.put("named", "in/late", b"x")
    assert lines(d, d.settled("whole", 1)[0]) == ["all"]
    assert len({j["run"] for s in ("plan", "named", "whole") for j in d.jobs(s)}) == 1
