"""Restart, crash and stop: jobs outlive the daemon, nothing is lost, nothing is left over."""
import os
import pathlib
import subprocess
import time

from conftest import OSCAR, Daemon, run_cli, wait_for


def pid_of_script(daemon, mark):
    done = subprocess.run(["pgrep", "-f", mark], capture_output=True, text=True)
    return [int(p) for p in done.stdout.split()]


def running(daemon, service):
    return wait_for("a running job", lambda: [j for j in daemon.jobs(service) if j["state"] == "running"])[0]


def test_a_job_outlives_kill_9_and_restart_with_one_attempt_and_its_whole_log(fresh):
    fresh.create("long", "for i in $(seq 1 40); do echo line $i; sleep 0.1; done; sleep 0.0731; echo x > $TMP_OUTPUT_DIR/f")
    fresh.call("POST", "/job/long", 201, data="x")
    job = running(fresh, "long")
    fresh.kill()
    time.sleep(0.5)
    fresh.start()
    assert fresh.detail(job["name"])["state"] == "running"
    fresh.leave()  # SIGTERM: jobs go on
    fresh.start()
    ended = fresh.settled("long", 1)[0]
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1), ended
    assert fresh.joblog(job["name"]) == "".join(f"line {i}\n" for i in range(1, 41))
    assert fresh.keys("long", "out/") == ["out/f"]


def test_a_job_that_ended_while_the_daemon_was_away_is_collected(fresh):
    fresh.create("short", "sleep 0.5; echo done > $TMP_OUTPUT_DIR/f")
    fresh.call("POST", "/job/short", 201, data="x")
    running(fresh, "short")
    fresh.kill()
    time.sleep(1.5)
    fresh.start()
    assert fresh.settled("short", 1)[0]["state"] == "succeeded"
    assert fresh.get("short", "out/f") == b"done\n"


def test_nothing_is_lost_when_killed_in_the_middle_of_many(fresh):
    fresh.create("many", 'sleep 0.02; cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"')
    for i in range(60):
        fresh.put("many", f"in/{i}", str(i).encode())
        if i in (20, 40):
            fresh.kill()
            fresh.start()
    jobs = fresh.settled("many", 60, 90)
    assert [j["state"] for j in jobs] == ["succeeded"] * 60
    assert sorted(fresh.keys("many", "out/")) == sorted(f"out/{i}" for i in range(60))


def runners(daemon):
    """Keeper and runner, the older one first."""
    pids = pid_of_script(daemon, f"runner --data {daemon.data}")
    return sorted(pids, key=lambda p: int(pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()[19]))


def test_a_killed_runner_comes_back_by_itself(fresh):
    fresh.create("after", "echo hello", prepared=0)
    assert fresh.call("POST", "/run/after", 200, data="x").text == "hello\n"
    keeper, runner = runners(fresh)
    os.kill(runner, 9)
    assert fresh.call("POST", "/run/after", 200, data="x").text == "hello\n"
    jobs = fresh.settled("after", 2)
    assert [(j["state"], j["attempt"]) for j in jobs] == [("succeeded", 1)] * 2


def test_without_any_runner_jobs_wait_and_count_no_attempt(fresh):
    fresh.create("waits", "echo hello")
    for pid in runners(fresh):
        os.kill(pid, 9)
    fresh.call("POST", "/job/waits", 201, data="x")
    time.sleep(2)
    assert fresh.jobs("waits")[0]["state"] in ("queued", "staging")
    fresh.leave()
    fresh.start()
    job = fresh.settled("waits", 1)[0]
    assert (job["state"], job["attempt"]) == ("succeeded", 1)


def test_stop_ends_jobs_which_go_back_to_the_queue(fresh):
    fresh.create("stopped", "echo begun; sleep 731.73")
    fresh.call("POST", "/job/stopped", 201, data="x")
    running(fresh, "stopped")
    assert pid_of_script(fresh, "sleep 731.73")
    done = subprocess.run([str(OSCAR), "stop", "--data", fresh.data], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert fresh.process.wait(10) == 0
    wait_for("the script's end", lambda: not pid_of_script(fresh, "sleep 731.73"), 5)
    wait_for("the runner's end", lambda: not pid_of_script(fresh, f"runner --data {fresh.data}"), 15)
    assert fresh.data not in pathlib.Path("/proc/self/mountinfo").read_text()
    fresh.start()
    job = running(fresh, "stopped")
    assert job["attempt"] == 2


def test_a_second_daemon_on_the_same_data_is_refused(fresh):
    done = subprocess.run([str(OSCAR), "serve", "--data", fresh.data, "--listen", "127.0.0.1:0", "--s3-listen",
                           "127.0.0.1:0"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "another oscar serves" in done.stderr
    assert fresh.call("GET", "/health", 200)


def test_the_daemon_has_no_rights_and_the_secrets_are_its_own(fresh):
    status = pathlib.Path(f"/proc/{fresh.process.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    if os.geteuid() == 0:
        assert fields["Uid"].split()[0] != "0" and int(fields["CapEff"], 16) == 0
    assert "e2e-password" not in pathlib.Path(f"/proc/{fresh.process.pid}/cmdline").read_text()
    for path in pathlib.Path(fresh.data).glob("oscar.db*"):
        assert path.stat().st_mode & 0o077 == 0


def test_random_credentials_are_made_once_and_not_logged():
    import json, tempfile, requests
    data = tempfile.mkdtemp(prefix="oscar-e2e-")
    os.chmod(data, 0o755)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OSCAR_", "MINIO_"))}
    for _ in range(2):
        p = subprocess.Popen([str(OSCAR), "serve", "--data", data, "--listen", "127.0.0.1:0", "--s3-listen",
                              "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        ready = json.loads(p.stdout.readline())
        path = pathlib.Path(data) / "credentials.json"
        made = json.loads(path.read_text())
        assert path.stat().st_mode & 0o777 == 0o600
        assert requests.get(ready["api"] + "/system/info", auth=(made["username"], made["password"]),
                            timeout=10).status_code == 200
        p.terminate()
        text = p.communicate(timeout=20)[1]
        assert made["password"] not in text and made["secret_key"] not in text
    assert made == json.loads(path.read_text())


def test_database_and_content_may_lie_apart(tmp_path_factory):
    import tempfile
    base = pathlib.Path(tempfile.mkdtemp(prefix="oscar-e2e-apart-"))
    os.chmod(base, 0o755)
    d = Daemon(None, "--db", str(base / "db"), "--content", str(base / "content"))
    try:
        d.create("apart", 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"')
        d.put("apart", "in/x", b"y" * 100000)
        assert d.settled("apart", 1)[0]["state"] == "succeeded"
        assert d.get("apart", "out/x") == b"y" * 100000
        assert (base / "db" / "oscar.db").exists() and list((base / "content").glob("*/*"))
    finally:
        d.close()
