"""The REST contract of the OSCAR clients."""
import base64
import io
import json
import re
import socket
import zipfile
from urllib.parse import urlparse

import pytest
import requests
from conftest import PASSWORD, USER, wait_for


def test_health_is_open_and_exact(daemon):
    answer = requests.get(daemon.api + "/health", timeout=10)
    assert (answer.status_code, answer.text) == (200, "Ok")


def test_wrong_credentials_get_the_basic_challenge(daemon):
    for auth in (None, (USER, "wrong"), ("nobody", PASSWORD)):
        answer = requests.get(daemon.api + "/system/info", auth=auth, timeout=10)
        assert answer.status_code == 401 and answer.text == ""
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="Authorization Required"'


def test_info_config_and_status_have_the_keys_clients_read(daemon):
    info = daemon.call("GET", "/system/info", 200).json()
    assert info["serverless_backend"]["name"] == "sandbox" and info["version"]
    config = daemon.call("GET", "/system/config/", 200)
    assert '"name":"oscar"' in config.text
    provider = config.json()["minio_provider"]
    assert provider["endpoint"] == daemon.s3_url and provider["access_key"] and provider["verify"] is True
    status = daemon.call("GET", "/system/status", 200)
    assert '"nodes_count":1' in status.text


def test_unknown_paths_and_methods_are_404(daemon):
    for method, path in (("GET", "/nothing"), ("PATCH", "/system/services"), ("GET", "/system/logs/none")):
        assert daemon.call(method, path).status_code == 404


def test_a_service_is_created_listed_changed_and_deleted(daemon):
    daemon.create("plants", "echo one")
    assert daemon.call("POST", "/system/services", 400, json={
        "name": "plants", "image": "host", "script": "x"}).text.startswith("A service with the provided name")
    listed = daemon.call("GET", "/system/services", 200)
    assert '"oscar_service":' in listed.text
    one = daemon.call("GET", "/system/services/plants", 200).json()
    assert re.fullmatch("[0-9a-f]{64}", one["token"]) and one["script"] == "echo one"
    assert one["input"] == [{"storage_provider": "minio", "path": "plants/in"}]
    assert {"in/", "out/"} <= {o["Key"] for o in daemon.s3.list_objects_v2(Bucket="plants")["Contents"]}
    daemon.call("PUT", "/system/services", 204, json=dict(one, script="echo two", memory="96Mi"))
    two = daemon.call("GET", "/system/services/plants", 200).json()
    assert two["script"] == "echo two" and two["token"] == one["token"] and two["memory"] == "96Mi"
    daemon.call("DELETE", "/system/services/plants", 204)
    daemon.call("GET", "/system/services/plants", 404)
    daemon.call("DELETE", "/system/services/plants", 404)
    assert "plants" not in [b["Name"] for b in daemon.s3.list_buckets()["Buckets"]]


def test_updating_an_unknown_service_is_404(daemon):
    daemon.call("PUT", "/system/services", 404, json={"name": "none", "image": "host", "script": "x"})


def test_secrets_come_back_empty_and_reach_the_script(daemon):
    daemon.create("secret", 'printf "%s/%s" "$A" "$KEY"',
                  environment={"Variables": {"A": "b"}, "secrets": {"KEY": "hush-hush"}})
    text = daemon.call("GET", "/system/services/secret", 200).text
    assert "hush-hush" not in text and '"secrets":{"KEY":""}' in text
    assert daemon.call("POST", "/run/secret", 200, data="").text == "b/hush-hush"
    daemon.call("DELETE", "/system/services/secret", 204)


def test_a_sync_call_answers_text_one_file_or_a_zip(daemon):
    daemon.create("sync", 'n=$(cat "$INPUT_FILE_PATH"); echo "said $n"; '
                          'for i in $(seq 1 "$n"); do echo $i > "$TMP_OUTPUT_DIR/f$i.txt"; done', output=[])
    assert daemon.call("POST", "/run/sync", 200, data="0").text == "said 0\n"
    one = daemon.call("POST", "/run/sync", 200, data="1").text
    assert base64.b64decode(one) == b"1\n"
    several = base64.b64decode(daemon.call("POST", "/run/sync", 200, data="2").text)
    archive = zipfile.ZipFile(io.BytesIO(several))
    assert {n: archive.read(n) for n in archive.namelist()} == {"f1.txt": b"1\n", "f2.txt": b"2\n"}
    daemon.call("DELETE", "/system/services/sync", 204)


@pytest.mark.parametrize("sent,want", [
    (b'{"message": "hi",  "n": [1,2]}', b'{"message": "hi",  "n": [1,2]}'),
    (b"7", b"7"), (b"plain *  text\\n", b"plain *  text\\n"),
    (base64.b64encode(b"\x00\x01binary"), b"\x00\x01binary"),
    (b'"' + base64.b64encode(b"quoted") + b'"', b"quoted"), (b"", b""),
    (b"x" * 200001, b"x" * 200001),
], ids=["json", "number", "text", "base64", "quoted", "empty", "large"])
def test_an_unknown_payload_is_the_input_file(daemon, sent, want):
    if not getattr(daemon, "echo", None):
        daemon.create("echo", 'cat "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/x"', output=[])
        daemon.echo = True
    text = daemon.call("POST", "/run/echo", 200, data=sent).text
    assert base64.b64decode(text) == want


def test_a_failed_script_answers_500_with_what_it_printed(daemon):
    daemon.create("fails", "echo out; echo err >&2; exit 3")
    answer = daemon.call("POST", "/run/fails", 500, data="x")
    assert answer.text == "out\nerr\n" and "3" in answer.headers["X-Oscar-Reason"]
    job = daemon.settled("fails", 1)[0]
    assert (job["state"], job["exit_code"]) == ("failed", 3) and "3" in job["reason"]


def test_the_service_token_calls_its_own_service_only(daemon):
    daemon.create("tokened", "echo ok")
    token = daemon.call("GET", "/system/services/tokened", 200).json()["token"]

    def post(path, bearer):
        return requests.post(daemon.api + path, data="x", headers={"Authorization": "Bearer " + bearer}, timeout=30)
    assert post("/run/tokened", token).text == "ok\n"
    assert post("/job/tokened", token).status_code == 201
    assert post("/run/fails", token).status_code == 401
    assert post("/run/tokened", "0" * 64).status_code == 401
    assert requests.get(daemon.api + "/system/services", headers={"Authorization": "Bearer " + token},
                        timeout=10).status_code == 401


def test_chunked_bodies_without_a_length_are_taken(daemon):
    daemon.create("chunked", 'wc -c < "$INPUT_FILE_PATH"', output=[])
    assert daemon.call("POST", "/run/chunked", 200, data=(c for c in [b"abc", b"defg"])).text.strip() == "7"


def test_jobs_and_logs_are_listed_read_and_deleted(daemon):
    daemon.create("logged", 'echo to out; echo to err >&2')
    for _ in range(3):
        daemon.call("POST", "/job/logged", 201, data="x")
    jobs = daemon.settled("logged", 3)
    listing = daemon.call("GET", "/system/logs/logged?page=", 200)
    assert not re.search(r"\b(true|false|null)\b", listing.text)  # some clients read it as Python
    entry = listing.json()["jobs"][jobs[0]["name"]]
    assert entry["status"] == "Succeeded" and entry["finish_time"].endswith("Z")
    text = daemon.call("GET", f"/system/logs/logged/{jobs[0]['name']}", 200).text
    assert "to out\n" in text and "to err\n" in text
    stamped = daemon.call("GET", f"/system/logs/logged/{jobs[0]['name']}?timestamps=true", 200).text
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", stamped)
    assert daemon.joblog(jobs[0]["name"], stream="stderr") == "to err\n"
    daemon.call("DELETE", f"/system/logs/logged/{jobs[0]['name']}", 204)
    daemon.call("GET", f"/system/logs/logged/{jobs[0]['name']}", 404)
    daemon.call("DELETE", "/system/logs/logged?all=true", 204)
    assert daemon.call("GET", "/system/logs/logged", 200).json()["jobs"] == {}


def test_job_lists_are_paged(daemon):
    daemon.create("paged", "true")
    for _ in range(75):
        daemon.call("POST", "/job/paged", 201, data="x")
    daemon.settled("paged", 75)
    first = daemon.call("GET", "/system/logs/paged", 200).json()
    assert len(first["jobs"]) == 70
    second = daemon.call("GET", f"/system/logs/paged?page={first['next_page']}", 200).json()
    assert len(second["jobs"]) == 5 and "next_page" not in second
    assert not set(first["jobs"]) & set(second["jobs"])


def test_a_log_is_followed_while_the_job_runs(daemon):
    daemon.create("slow", "for i in 1 2 3; do echo line $i; sleep 0.4; done")
    daemon.call("POST", "/job/slow", 201, data="x")
    job = wait_for("a running job", lambda: [j for j in daemon.jobs("slow") if j["state"] == "running"])[0]
    answer = daemon.call("GET", f"/system/jobs/{job['name']}/log?follow=1", 200, stream=True)
    pieces = answer.iter_content(None)
    first = next(pieces)
    state = daemon.detail(job["name"])["state"]
    assert b"line 1" in first and state == "running"
    rest = b"".join(pieces)
    assert (first + rest).decode() == "line 1\nline 2\nline 3\n"


def test_the_event_feed_resumes_where_it_was_left(daemon):
    daemon.create("feeds", "true")
    daemon.call("POST", "/job/feeds", 201, data="x")
    daemon.settled("feeds", 1)

    def read(after, want):
        answer = daemon.call("GET", "/system/events", 200, stream=True, headers={"Last-Event-ID": str(after)})
        events, event = [], {}
        for line in answer.iter_lines(decode_unicode=True):
            if line.startswith(":"):
                continue
            if not line:
                if event:
                    events.append(event)
                event = {}
                if len(events) >= want:
                    break
                continue
            key, _, value = line.partition(": ")
            event[key] = value
        answer.close()
        return events
    events = [e for e in read(0, 6)]
    assert [int(e["id"]) for e in events] == sorted(int(e["id"]) for e in events)
    again = read(events[2]["id"], 3)
    assert again == events[3:6]


def test_a_job_is_cancelled(daemon):
    daemon.create("endless", "sleep 600")
    daemon.call("POST", "/job/endless", 201, data="x")
    job = wait_for("a running job", lambda: [j for j in daemon.jobs("endless") if j["state"] == "running"])[0]
    daemon.call("POST", f"/system/jobs/{job['name']}/cancel", 202)
    assert daemon.settled("endless", 1, 10)[0]["state"] == "cancelled"
    daemon.call("POST", f"/system/jobs/{job['name']}/cancel", 409)


def test_deleting_a_service_ends_its_jobs(daemon):
    daemon.create("doomed", "sleep 600")
    for _ in range(3):
        daemon.call("POST", "/job/doomed", 201, data="x")
    wait_for("a running job", lambda: [j for j in daemon.jobs("doomed") if j["state"] == "running"])
    daemon.call("DELETE", "/system/services/doomed", 204)
    daemon.call("GET", "/system/services/doomed", 404)


def test_a_caller_that_hangs_up_cancels_its_call(daemon):
    daemon.create("hung", "sleep 600")
    url = urlparse(daemon.api)
    with socket.create_connection((url.hostname, url.port)) as s:
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        s.sendall(f"POST /run/hung HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\n"
                  f"Content-Length: 1\r\n\r\nx".encode())
        wait_for("a running job", lambda: [j for j in daemon.jobs("hung") if j["state"] == "running"])
    assert daemon.settled("hung", 1, 10)[0]["state"] == "cancelled"


def test_users_see_their_own_services_only(daemon):
    daemon.call("POST", "/system/users", 201, json={"name": "ana", "password": "ana-password",
                                                    "s3_key": "ANAKEY", "s3_secret": "ana-secret-key"})
    daemon.call("POST", "/system/users", 409, json={"name": "ana", "password": "x"})
    ana = ("ana", "ana-password")
    names = [s["name"] for s in requests.get(daemon.api + "/system/services", auth=ana, timeout=10).json()]
    assert names == []
    assert requests.get(daemon.api + "/system/services/echo", auth=ana, timeout=10).status_code == 403
    assert requests.post(daemon.api + "/system/users", auth=ana, json={"name": "eve"}, timeout=10).status_code == 403
    made = requests.post(daemon.api + "/system/services", auth=ana, timeout=10, json={
        "name": "anas", "image": "host", "script": "echo ana", "memory": "64Mi"})
    assert made.status_code == 201
    assert requests.post(daemon.api + "/run/anas", auth=ana, data="x", timeout=30).text == "ana\n"
    config = requests.get(daemon.api + "/system/config", auth=ana, timeout=10).json()["minio_provider"]
    assert config["access_key"] == "ANAKEY"
    # a bucket of somebody else cannot be read from or written to
    stolen = requests.post(daemon.api + "/system/services", auth=ana, timeout=10, json={
        "name": "thief", "image": "host", "script": "x", "memory": "64Mi",
        "input": [{"storage_provider": "minio", "path": "echo/in"}]})
    assert stolen.status_code == 403, stolen.text


def test_json_is_compact_and_escaped_as_clients_expect(daemon):
    daemon.create("escaped", "echo '<a&b>'")
    text = daemon.call("GET", "/system/services/escaped", 200).text
    assert r"\u003ca\u0026b\u003e" in text and '", "' not in text
    assert json.loads(text)["script"] == "echo '<a&b>'"


def test_keys_of_a_user(daemon):
    daemon.call("POST", "/system/users", 201, json={"name": "kim", "s3_key": "KIMKEY", "s3_secret": "kim-secret-1",
                                                    "email": "kim@example.org"})
    listed = [u for u in daemon.call("GET", "/system/users", 200).json() if u["name"] == "kim"][0]
    assert listed["email"] == "kim@example.org" and len(listed["canonical_id"]) == 64
    daemon.call("POST", "/system/users/kim/keys", 201, json={"s3_key": "KIMKEY2", "s3_secret": "kim-secret-2"})
    names = {k["s3_key"] for k in daemon.call("GET", "/system/users/kim/keys", 200).json()}
    assert names == {"KIMKEY", "KIMKEY2"}
    daemon.call("DELETE", "/system/users/kim/keys/KIMKEY", 204)
    daemon.call("DELETE", "/system/users/kim/keys/KIMKEY", 404)
    daemon.call("POST", "/system/users/kim/keys", 400, json={"s3_key": "KIMKEY3"})
    daemon.call("GET", "/system/users/nobody/keys", 404)
    daemon.call("POST", "/system/users", 409, json={"name": "kim2", "email": "kim@example.org"})
    assert "kim2" not in [u["name"] for u in daemon.call("GET", "/system/users", 200).json()]


def samples(daemon):
    """The metrics as Prometheus would read them: name with labels -> value."""
    text = daemon.call("GET", "/metrics", 200).text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_metrics_tell_jobs_times_and_store(daemon):
    before = samples(daemon)
    daemon.create("measured", 'sleep 0.06; cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"')
    daemon.put("measured", "in/x", b"y" * 1000)
    daemon.settled("measured", 1)
    # The job is accounted before it is counted and let go.
    wait_for("the figures", lambda: samples(daemon)["oscar_job_run_seconds_count"] > before["oscar_job_run_seconds_count"])
    wait_for("the end", lambda: samples(daemon)["oscar_jobs_active"] == 0)
    after = samples(daemon)

    def grew(name):
        return after[name] - before[name]
    assert grew('oscar_jobs{state="succeeded"}') == 1
    assert after["oscar_queue_head_age_seconds"] == 0
    assert grew("oscar_object_bytes") == 2000 and grew("oscar_buckets") == 1
    assert grew("oscar_job_run_seconds_count") == 1 and grew("oscar_job_run_seconds_sum") >= 0.06
    assert grew('oscar_job_run_seconds_bucket{le="0.05"}') == 0
    assert grew('oscar_job_run_seconds_bucket{le="+Inf"}') == 1
    assert grew("oscar_job_wait_seconds_count") == 1
    assert grew("oscar_sandbox_start_seconds_count") == 1
    assert 0 < grew("oscar_sandbox_start_seconds_sum") < grew("oscar_job_wait_seconds_sum")
    assert 0 < grew("oscar_db_commit_seconds_count") <= grew("oscar_db_requests_total")
    assert grew('oscar_http_requests_total{server="s3",code="2xx"}') == 1  # the upload
    assert grew('oscar_http_request_seconds_count{server="s3"}') == 1
    assert grew('oscar_http_request_seconds_bucket{server="s3",le="+Inf"}') == 1
    assert grew('oscar_http_requests_total{server="api",code="2xx"}') >= 3
    assert after['oscar_http_connections{server="api"}'] >= 1
    daemon.call("GET", "/system/services/no-such", 404)
    assert samples(daemon)['oscar_http_requests_total{server="api",code="4xx"}'] > after[
        'oscar_http_requests_total{server="api",code="4xx"}']
    assert after["process_resident_memory_bytes"] > 1e6 and after["process_open_fds"] > 5
    assert requests.get(daemon.api + "/metrics", timeout=10).status_code == 401
