"""Where a result comes from: metadata of outputs, runs as the API and the command line show them."""
import hashlib
import os
import subprocess
import urllib.parse

import pytest

import conftest
from conftest import wait_for

SPLIT = "for i in 1 2; do cp \"$INPUT_FILE_PATH\" $TMP_OUTPUT_DIR/part-$i; done"
COUNT = "wc -c < $INPUT_FILE_PATH > $TMP_OUTPUT_DIR/$(basename $INPUT_FILE_PATH).count"


@pytest.fixture(scope="module")
def run(daemon):
    daemon.create("split", SPLIT)
    daemon.create("count", COUNT, input=[{"storage_provider": "minio", "path": "split/out"}])
    daemon.put("split", "in/ä b.txt", b"twelve bytes")
    daemon.settled("count", 2)
    return daemon.jobs("split")[0]["run"]


def test_outputs_say_how_they_were_made(daemon, run):
    made = daemon.s3.head_object(Bucket="split", Key="out/part-1")["Metadata"]
    job = daemon.detail(made["oscar-job"])
    assert (job["service"], job["state"], job["run"]) == ("split", "succeeded", run)
    assert made["oscar-run"] == run and made["oscar-service"] == "split" and made["oscar-revision"] == "1"
    assert made["oscar-image"] == "host"
    assert made["oscar-script-sha256"] == hashlib.sha256(SPLIT.encode()).hexdigest()
    assert urllib.parse.unquote(made["oscar-input"]) == "split/in/ä b.txt"
    second = daemon.s3.head_object(Bucket="count", Key="out/part-1.count")["Metadata"]
    assert second["oscar-run"] == run and second["oscar-input"] == "split/out/part-1"
    assert int(second["oscar-input-version"], 16) > int(made["oscar-input-version"], 16) > 0


def test_a_run_holds_the_chain_with_versions(daemon, run):
    answer = daemon.call("GET", f"/system/runs/{run}", 200).json()
    assert answer["run"] == run and "next" not in answer
    by_input = {j["input"]: j for j in answer["jobs"]}
    split = by_input["split/in/ä b.txt"]
    assert [o["key"] for o in split["outputs"]] == ["out/part-1", "out/part-2"]
    for made in split["outputs"]:
        reader = by_input[f"{made['bucket']}/{made['key']}"]
        assert reader["service"] == "count" and reader["input_version"] == made["version"]
        assert reader["script_sha256"] == hashlib.sha256(COUNT.encode()).hexdigest()
    pages = daemon.call("GET", f"/system/runs/{run}", 200, params={"limit": 2}).json()
    assert len(pages["jobs"]) == 2
    rest = daemon.call("GET", f"/system/runs/{run}", 200, params={"limit": 2, "after": pages["next"]}).json()
    assert [j["service"] for j in rest["jobs"]] == ["split"]


def test_runs_are_their_owners_and_must_exist(daemon, run):
    daemon.call("POST", "/system/users", 201, json={"name": "eve", "password": "password-of-eve"})
    daemon.call("GET", f"/system/runs/{run}", 404, auth=("eve", "password-of-eve"))
    daemon.call("GET", "/system/runs/987654321", 404)
    for bad in ("0", "x", "1x", "%20"):
        daemon.call("GET", f"/system/runs/{bad}", 400)


def test_a_run_is_drawn(daemon, run):
    def oscar(*words):
        return subprocess.run([conftest.OSCAR, *words], capture_output=True, text=True, timeout=60,
                              env=dict(os.environ, OSCAR_ENDPOINT=daemon.api, OSCAR_USERNAME=conftest.USER,
                                       OSCAR_PASSWORD=conftest.PASSWORD))

    drawn = oscar("run", "show", run).stdout.splitlines()
    assert drawn[0] .startswith(f"run {run}, 3 jobs, trace ")
    assert drawn[1] == "split/in/ä b.txt"
    assert drawn[2].startswith("└─ split-") and "succeeded, revision 1" in drawn[2]
    assert drawn[3].startswith("   ├─ split/out/part-1 ")
    assert drawn[4].startswith("   │  └─ count-")
    assert drawn[5].startswith("   │     └─ count/out/part-1.count ")
    assert drawn[6].startswith("   └─ split/out/part-2 ")
    assert oscar("run", "show", daemon.jobs("count")[0]["name"]).stdout.splitlines() == drawn
    assert oscar("run", "show", "424242").returncode == 3


def test_a_call_is_a_run_of_its_own(daemon):
    daemon.create("called", "cat > $TMP_OUTPUT_DIR/said", input=[])
    daemon.call("POST", "/job/called", 201, data="x")
    job = daemon.settled("called", 1)[0]
    made = daemon.s3.head_object(Bucket="called", Key="out/said")["Metadata"]
    assert made["oscar-job"] == job["name"] and "oscar-input" not in made and "oscar-input-version" not in made
    assert len(daemon.call("GET", f"/system/runs/{job['run']}", 200).json()["jobs"]) == 1
    wait_for("its output", lambda: daemon.keys("called", "out/") == ["out/said"])
