"""What users and scripts do wrong: a clear error or a failed job with its reason; the daemon goes on."""
import pytest
from conftest import wait_for


@pytest.fixture(autouse=True)
def the_daemon_goes_on(daemon):
    yield
    assert daemon.process.poll() is None
    assert daemon.call("GET", "/health", 200).text == "Ok"


def refused(daemon, status, word, **keys):
    body = {"name": "bad", "image": "host", "script": "echo"}
    body.update(keys)
    answer = daemon.call("POST", "/system/services", status, json={k: v for k, v in body.items() if v is not None})
    assert word in answer.text, answer.text
    daemon.call("GET", "/system/services/bad", 404)


@pytest.mark.parametrize("keys,word", [
    (dict(name=None), "name"), (dict(image=None), "image"), (dict(script=None), "script"), (dict(script=""), "script"),
    (dict(name="Bad_6"), "name"), (dict(name="x" * 40), "name"), (dict(cpu=1), "cpu"), (dict(cpu="lots"), "cpu"),
    (dict(memory="12Q"), "memory"), (dict(memory="-1"), "memory"), (dict(cpu="1000000"), "cpu"),
    (dict(memory="999Ti"), "memory"), (dict(image="no/such:image"), "import"),
    (dict(input=[{"storage_provider": "minio", "path": ""}]), "path"),
    (dict(input=[{"storage_provider": "minio", "path": "UPPER/x"}]), "bucket"),
    (dict(input=[{"storage_provider": "minio", "path": "a/x"}]), "bucket"),
    (dict(input=[{"storage_provider": "minio", "path": "a..b/x"}]), "bucket"),
    (dict(input={"storage_provider": "minio"}), "input"), (dict(timeout="soon"), "timeout"),
])
def test_a_bad_service_is_refused_with_its_field(daemon, keys, word):
    refused(daemon, 400, word, **keys)


def test_unsupported_providers_are_named(daemon):
    refused(daemon, 400, "s3.x", output=[{"storage_provider": "s3.x", "path": "bucket/f"}],
            storage_providers={"s3": {"x": {"access_key": "a", "secret_key": "b", "region": "r"}}})


def test_what_is_no_json_is_refused(daemon):
    for body in (b"", b"{", b"[]", b"nonsense", b"\xff\xfe", b'{"name":"a"' + b"," * 1000):
        answer = daemon.call("POST", "/system/services", 400, data=body)
        assert answer.text.startswith("The service specification is not valid: ")


def test_unknown_keys_are_ignored_and_named(daemon):
    answer = daemon.create("warned", "true", memry="64Mi")
    assert "memry" in answer.headers["Warning"]


def test_a_ten_mebibyte_event_arrives_whole(daemon):
    daemon.create("large", 'cksum < "$INPUT_FILE_PATH"; cat | cksum', output=[])
    body = b"\x01\x02\x03 *  $x\\n" * (10 * 1024 * 1024 // 12)
    lines = daemon.call("POST", "/run/large", 200, data=body).text.split("\n")
    assert lines[0] == lines[1] and lines[0].split()[1] == str(len(body))
    assert daemon.call("POST", "/run/large", data=b"x" * (17 << 20)).status_code == 413


def ends(daemon, name, script, state="failed", seconds=60, **keys):
    daemon.create(name, script, **keys)
    daemon.call("POST", f"/job/{name}", 201, data="x")
    job = daemon.settled(name, 1, seconds)[0]
    assert job["state"] == state, job
    return job


def test_over_the_memory_limit_is_named(daemon):
    job = ends(daemon, "hungry", 'python3 -c "x = bytearray(400 << 20)"')
    assert "memory limit of 64 MiB" in job["reason"]


def test_past_the_timeout_is_named(daemon):
    job = ends(daemon, "sleeper", "echo begun; sleep 600", timeout=1)
    assert "time" in job["reason"]
    assert daemon.joblog(job["name"], stream="stdout") == "begun\n"


def test_a_fork_bomb_hits_its_own_limit(daemon):
    ends(daemon, "bomb", 'b() { b | b & }; b; wait; sleep 2; exit 1', seconds=90, timeout=20, pids=64)


def test_a_full_output_allowance_is_named(daemon):
    job = ends(daemon, "filler", 'head -c 200000000 /dev/zero > "$TMP_OUTPUT_DIR/x"; sleep 3',
               ephemeral_storage_request="10Mi")
    assert "10 MiB" in job["reason"]
    assert daemon.keys("filler", "out/") == []


def test_a_gibibyte_of_output_is_cut_and_counted(daemon):
    job = ends(daemon, "chatty", "yes | head -c 1073741824", "succeeded", 120)
    assert len(daemon.joblog(job["name"])) < 20 << 20


def test_a_script_that_kills_its_own_shell(daemon):
    job = ends(daemon, "suicidal", "kill -9 $$")
    assert "signal" in job["reason"] and "9" in job["reason"]


@pytest.mark.parametrize("name,script,word", [
    ("linker", 'ln -s /etc/passwd "$TMP_OUTPUT_DIR/passwd"', "symbolic link"),
    ("dirlink", 'ln -s / "$TMP_OUTPUT_DIR/all"', "symbolic link"),
    ("piper", 'mkfifo "$TMP_OUTPUT_DIR/pipe"', "not a regular file"),
    ("newline", 'printf x > "$TMP_OUTPUT_DIR/a\nb"', "control"),
    ("latin", 'printf x > "$TMP_OUTPUT_DIR/$(printf "\\351")"', "UTF-8"),
])
def test_outputs_that_are_no_files_fail_the_job(daemon, name, script, word):
    job = ends(daemon, name, script)
    assert word in job["reason"]
    assert daemon.keys(name, "out/") == []


def test_the_sandbox_shows_nothing_of_ours(daemon):
    job = ends(daemon, "nosy", f'ls {daemon.data} /root /home /var/lib 2>&1; cat /etc/shadow 2>&1; '
                               'echo x > /usr/x; (echo > /dev/tcp/127.0.0.1/80) 2>&1; ls /sys/class/net; exit 4')
    text = daemon.joblog(job["name"])
    assert "oscar.db" not in text and "root:x:" not in text and job["exit_code"] == 4
