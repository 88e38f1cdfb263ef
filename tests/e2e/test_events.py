"""Uploads that trigger jobs, chains, filters, loops."""
import concurrent.futures
import json

from conftest import wait_for


def io(path, **filters):
    return dict(storage_provider="minio.default", path=path, **filters)


def test_an_upload_becomes_a_result(daemon):
    daemon.create("upper", 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"')
    daemon.put("upper", "in/hello wörld+&.txt", b"some text")
    job = daemon.settled("upper", 1)[0]
    assert job["state"] == "succeeded" and job["input"] == "upper/in/hello wörld+&.txt"
    assert daemon.get("upper", "out/hello wörld+&.txt") == b"SOME TEXT"
    made = daemon.detail(job["name"])
    version = made["outputs"][0].pop("version")
    assert len(version) == 16 and int(version, 16) > 0
    assert made["outputs"] == [{"bucket": "upper", "key": "out/hello wörld+&.txt", "size": 9}]
    assert made["attempts"][0]["driver"] == "sandbox"


def test_the_event_is_on_stdin_in_minios_form(daemon):
    daemon.create("events", 'cat > "$TMP_OUTPUT_DIR/event.json"; echo "$STORAGE_OBJECT_KEY" > "$TMP_OUTPUT_DIR/key"')
    daemon.put("events", "in/a b+ñ.txt", b"12345")
    daemon.settled("events", 1)
    event = json.loads(daemon.get("events", "out/event.json"))
    record = event["Records"][0]
    assert event["EventName"] == "s3:ObjectCreated:Put" and event["Key"] == "events/in/a b+ñ.txt"
    assert record["s3"]["object"]["key"] == "in%2Fa+b%2B%C3%B1.txt"
    assert record["s3"]["object"]["size"] == 5 and record["eventSource"] == "minio:s3"
    assert record["requestParameters"]["principalId"] == "E2EKEY"
    assert daemon.get("events", "out/key").decode() == "in/a b+ñ.txt\n"


def test_filters_choose_inputs_and_outputs(daemon):
    daemon.create("filtered", 'cd "$TMP_OUTPUT_DIR"; mkdir sub; echo 1 > r.txt; echo 2 > r.csv; echo 3 > sub/x.txt',
                  input=[io("filtered/in", suffix=[".jpg", ".png"], prefix=["pic"])],
                  output=[io("filtered/text", suffix=[".txt"]), io("filtered/r", prefix=["r"])])
    for key in ("in/pic1.jpg", "in/other.jpg", "in/pic2.gif", "elsewhere/pic3.jpg", "in/pic/4.png"):
        daemon.put("filtered", key, b"x")
    jobs = daemon.settled("filtered", 2)
    assert sorted(j["input"] for j in jobs) == ["filtered/in/pic/4.png", "filtered/in/pic1.jpg"]
    assert sorted(daemon.keys("filtered", "text/")) == ["text/r.txt", "text/sub/x.txt"]
    assert sorted(daemon.keys("filtered", "r/")) == ["r/r.csv", "r/r.txt"]


def test_a_chain_through_a_shared_bucket_has_one_run(daemon):
    daemon.create("first", 'for i in 1 2 3; do cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/$i.txt"; done',
                  input=[io("first/in")], output=[io("middle/in")])
    daemon.create("second", 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"', input=[io("middle/in")], output=[io("last/out")])
    daemon.put("first", "in/a", b"x")
    jobs = daemon.settled("second", 3)
    assert len({j["run"] for j in jobs + daemon.jobs("first")}) == 1
    assert len(daemon.keys("last")) == 3
    # the shared bucket survives the first service
    daemon.call("DELETE", "/system/services/first", 204)
    assert len(daemon.keys("middle", "in/")) == 3


def test_a_service_that_feeds_itself_is_refused_with_the_chain(daemon):
    answer = daemon.call("POST", "/system/services", 400, json={
        "name": "loop", "image": "host", "script": "x", "input": [io("loop/x")], "output": [io("loop/x")]})
    assert "start itself" in answer.text and "loop/x" in answer.text
    daemon.call("GET", "/system/services/loop", 404)


def test_fan_out_runs_every_service_on_the_file(daemon):
    for name in ("left", "right"):
        daemon.create(name, f'echo {name} > "$TMP_OUTPUT_DIR/{name}"', input=[io("fan/in")], output=[io("fanout/out")])
    daemon.put("fan", "in/x", b"1")
    daemon.settled("left", 1), daemon.settled("right", 1)
    assert sorted(daemon.keys("fanout")) == ["out/left", "out/right"]


def test_multipart_and_copy_trigger_too(daemon):
    daemon.create("big", 'wc -c < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/n"')
    daemon.s3.upload_fileobj(__import__("io").BytesIO(b"x" * (9 << 20)), "big", "in/large.bin")
    daemon.settled("big", 1)
    assert daemon.get("big", "out/n").strip() == str(9 << 20).encode()
    daemon.s3.copy_object(Bucket="big", Key="in/copy", CopySource={"Bucket": "big", "Key": "in/large.bin"})
    daemon.settled("big", 2)


def test_two_hundred_uploads_are_two_hundred_results(daemon):
    daemon.create("many", 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"')
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: daemon.put("many", f"in/{i}.txt", str(i).encode()), range(200)))
    jobs = daemon.settled("many", 200, 120)
    assert {j["state"] for j in jobs} == {"succeeded"} and len(jobs) == 200
    assert sorted(daemon.keys("many", "out/")) == sorted(f"out/{i}.txt" for i in range(200))


def test_an_update_moves_the_trigger(daemon):
    daemon.create("mover", "true")
    service = daemon.call("GET", "/system/services/mover", 200).json()
    daemon.call("PUT", "/system/services", 204, json=dict(service, input=[io("mover/new")]))
    daemon.put("mover", "in/old", b"x")
    daemon.put("mover", "new/one", b"x")
    jobs = daemon.settled("mover", 1)
    assert [j["input"] for j in jobs] == ["mover/new/one"]


def test_a_job_that_waits_too_long_fails_unrun(daemon):
    status = daemon.call("GET", "/system/status", 200).json()
    cores = status["cluster"]["metrics"]["cpu"]["total_schedulable_cores"]
    daemon.create("blocker", "sleep 3", cpu=str(cores / 1000), memory="64Mi")
    daemon.create("impatient", "true", wait_timeout=1)
    daemon.call("POST", "/job/blocker", 201, data="x")
    wait_for("the blocker", lambda: [j for j in daemon.jobs("blocker") if j["state"] == "running"])
    daemon.call("POST", "/job/impatient", 201, data="x")
    job = daemon.settled("impatient", 1)[0]
    assert job["state"] == "failed" and "waited" in job["reason"] and not daemon.detail(job["name"])["attempts"][0].get("started")


def test_retries_end_in_the_dead_letters(daemon):
    daemon.create("stubborn", "exit 9", retry={"attempts": 3, "backoff_seconds": 0, "on": ["exit"]})
    daemon.put("stubborn", "in/x", b"x")
    job = daemon.settled("stubborn", 1)[0]
    assert (job["state"], job["attempt"]) == ("dead", 3)
    assert [a["exit_code"] for a in daemon.detail(job["name"])["attempts"]] == [9, 9, 9]


def test_versions_are_events_of_their_own(daemon):
    """Each version of a key is one job, on that version's bytes, and names it."""
    daemon.create("versioned", 'cat > "$TMP_OUTPUT_DIR/$(cat "$INPUT_FILE_PATH").json"')
    daemon.s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    ids = {n: daemon.s3.put_object(Bucket="versioned", Key="in/k", Body=n.encode())["VersionId"]
           for n in ("first", "second")}
    marker = daemon.s3.delete_object(Bucket="versioned", Key="in/k")["VersionId"]
    jobs = daemon.settled("versioned", 2)
    assert [j["state"] for j in jobs] == ["succeeded"] * 2
    for name, version in ids.items():
        record = json.loads(daemon.get("versioned", f"out/{name}.json"))["Records"][0]
        assert record["s3"]["object"]["versionId"] == version != marker
