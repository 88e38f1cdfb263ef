"""A trace id from the request to the job to the output, and back."""
import re

import pytest

from conftest import wait_for
from test_expose import ask, expose

ID, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{ID}-{PARENT}-01"
SCRIPT = 'printf "%s" "$TRACEPARENT" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH" .txt).trace.txt"'
FORM = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]")


@pytest.fixture(scope="module")
def chain(daemon):
    daemon.create("first", SCRIPT)
    daemon.create("second", SCRIPT, input=[{"storage_provider": "minio", "path": "first/out"}])
    return daemon


def put(daemon, bucket, key, trace):
    def add(request, **_):
        request.headers["traceparent"] = trace
    daemon.s3.meta.events.register("before-sign.s3.PutObject", add)
    try:
        daemon.put(bucket, key, b"x")
    finally:
        daemon.s3.meta.events.unregister("before-sign.s3.PutObject", add)


def job_of(daemon, service, name):
    return wait_for(f"the job of {name}", lambda: [j for j in daemon.jobs(service) if j["input"].endswith(name)
                                                   and j["state"] == "succeeded"])[0]


def test_an_uploads_trace_goes_through_the_chain(chain):
    put(chain, "first", "in/a.txt", HEADER)
    first, second = job_of(chain, "first", "in/a.txt"), job_of(chain, "second", "out/a.trace.txt")
    assert first["trace"] == second["trace"] == ID and first["run"] == second["run"]
    one, two = (FORM.fullmatch(chain.get(b, k).decode())
                for b, k in (("first", "out/a.trace.txt"), ("second", "out/a.trace.trace.txt")))
    assert one[1] == two[1] == ID, "the script is told the trace"
    assert len({PARENT, one[2], two[2]}) == 3, "each job is a parent of its own"
    for bucket, key in (("first", "out/a.trace.txt"), ("second", "out/a.trace.trace.txt")):
        assert chain.s3.head_object(Bucket=bucket, Key=key)["Metadata"]["oscar-trace"] == ID
    assert chain.detail(first["id"])["trace"] == ID


def test_a_trace_begins_with_the_upload_that_names_none(chain):
    chain.put("first", "in/b.txt", b"x")
    first, second = job_of(chain, "first", "in/b.txt"), job_of(chain, "second", "out/b.trace.txt")
    assert first["trace"] == second["trace"] != ID
    assert FORM.fullmatch(chain.get("first", "out/b.trace.txt").decode())[1] == first["trace"]
    assert chain.call("GET", f"/system/traces/{first['trace']}", 200).json() == \
        {"trace": first["trace"], "runs": [first["run"]]}


@pytest.mark.parametrize("wrong", [f"00-{ID.upper()}-{PARENT}-01", f"ff-{ID}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01",
                                   f"00-{ID}-{'0' * 16}-01", f"{HEADER}-x", "x" * 5000])
def test_what_is_no_context_is_none(chain, wrong):
    name = f"in/wrong{abs(hash(wrong))}.txt"
    put(chain, "first", name, wrong)
    assert job_of(chain, "first", name)["trace"] != ID


def test_calls_of_both_kinds(chain):
    chain.create("called", 'echo "$TRACEPARENT"', input=[], output=[])
    other = "a" * 32
    headers = {"traceparent": f"00-{other}-{PARENT}-00"}
    answer = chain.call("POST", "/run/called", 200, data="!x", headers=headers)
    assert FORM.fullmatch(answer.text.strip())[1] == other and answer.text.strip().endswith("-00")
    assert chain.detail(answer.headers["X-Oscar-Job"])["trace"] == other
    queued = chain.call("POST", "/job/called", 201, data="!x", headers=headers).headers["X-Oscar-Job"]
    wait_for("the job", lambda: chain.detail(queued)["state"] == "succeeded")
    assert FORM.search(chain.joblog(queued))[1] == other
    runs = chain.call("GET", f"/system/traces/{other}", 200).json()["runs"]
    assert sorted(runs) == sorted(chain.detail(j)["run"] for j in (answer.headers["X-Oscar-Job"], queued))
    assert FORM.fullmatch(chain.call("POST", "/run/called", 200, data="!x").text.strip())[1] != other


def test_it_is_shown_and_found_by_the_command_line(chain, cli):
    put(chain, "first", "in/shown.txt", f"00-{'b' * 32}-{PARENT}-01")
    job = job_of(chain, "first", "in/shown.txt")
    job_of(chain, "second", "out/shown.trace.txt")
    text = cli("run", "show", job["id"]).stdout
    assert f"run {job['run']}, 2 jobs, trace {'b' * 32}" in text
    assert cli("run", "show", "b" * 32).stdout == text
    assert cli("run", "show", "c" * 32, check=False).returncode == 3
    chain.call("GET", "/system/traces/XYZ", 400)
    chain.call("GET", f"/system/traces/{'c' * 32}", 404)


def test_another_user_finds_nothing(chain):
    chain.call("POST", "/system/users", 201, json={"name": "curious", "password": "curious-password"})
    chain.call("GET", f"/system/traces/{ID}", 404, auth=("curious", "curious-password"))


def test_requests_to_an_exposed_service(daemon):
    expose(daemon, "traced")

    def told(trace):
        headers = {"traceparent": trace, "tracestate": "vendor=1"} if trace else {}
        return {k.lower(): v for k, v in ask(daemon, "traced", "/", headers=headers).json()["headers"]}
    passed = told(HEADER)
    assert (passed["traceparent"], passed["tracestate"]) == (HEADER, "vendor=1")
    for wrong in (None, "00-x", f"ff-{ID}-{PARENT}-01"):
        made = told(wrong)
        assert FORM.fullmatch(made["traceparent"])[1] != ID and "tracestate" not in made
