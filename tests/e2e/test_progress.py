"""$OSCAR_PROGRESS: how far a job says it is, in the API, the event stream, the command line, and what it says last."""
import json
import os
import pathlib
import pty
import shutil
import subprocess
import tempfile
import threading

import pytest
import requests
from conftest import OSCAR, PASSWORD, USER, Daemon, run_cli, wait_for

WAIT = 'while [ ! -e /mnt/go/$GO ]; do sleep 0.05; done\n'


@pytest.fixture(scope="module")
def daemon():
    go = tempfile.mkdtemp(prefix="oscar-go-", dir="/tmp")
    os.chmod(go, 0o755)
    d = Daemon(None, "--mount", f"go={go}")
    d.go = pathlib.Path(go)
    yield d
    d.close()
    shutil.rmtree(go)


def waiting(daemon, name, script, **keys):
    """A service whose script ends when let_go() says so."""
    keys.setdefault("output", [])
    daemon.create(name, script + "\n" + WAIT, cpu="0.1", memory="32Mi", mounts=[{"name": "go", "path": "/mnt/go"}],
                  environment={"Variables": {"GO": name}}, **keys)


def let_go(daemon, name):
    (daemon.go / name).write_text("")


def job_of(daemon, name, state="running"):
    return wait_for(f"a job of {name}", lambda: next((j for j in daemon.jobs(name) if j["state"] == state), None))


def said(daemon, name):
    job = job_of(daemon, name)
    return wait_for("what it says", lambda: (lambda j: "progress_time" in j and j)(daemon.detail(job["name"])))


def test_a_job_shows_how_far_it_is(daemon):
    waiting(daemon, "far", """echo '{"progress":0.25,"message":"frame 3 of 12"}' > "$OSCAR_PROGRESS"
        python3 -c "
import json, os
with open(os.environ['OSCAR_PROGRESS'], 'a') as f:
    for i in range(5):
        json.dump({'progress': 0.4, 'message': 'frame %d – ä' % i}, f); print(file=f, flush=True)
" """)
    daemon.put("far", "in/a", b"x")
    job = wait_for("the last report", lambda: (lambda j: j if j.get("progress_message") == "frame 4 – ä" else None)(
        said(daemon, "far")))
    assert job["progress"] == 0.4
    listed = daemon.jobs("far")[0]
    assert (listed["progress"], listed["progress_message"]) == (0.4, "frame 4 – ä")
    table = run_cli(daemon, "jobs", "list", "--service", "far").stdout
    assert "40 %: frame 4 – ä" in table
    assert "progress_message: " in run_cli(daemon, "jobs", "get", job["name"]).stdout
    let_go(daemon, "far")
    daemon.settled("far", 1)
    over = daemon.detail(job["name"])
    assert over["state"] == "succeeded" and "progress" not in over and "progress_time" not in over
    assert daemon.joblog(job["name"]) == ""  # it is no output of the script


def test_the_event_stream_tells(daemon):
    waiting(daemon, "told", """echo '{"progress":0.5,"message":"half"}' > "$OSCAR_PROGRESS"
        while [ ! -e /mnt/go/more ]; do sleep 0.05; done; echo '{"progress":0.75}' > "$OSCAR_PROGRESS" """)
    heard, ids = [], []

    def listen():
        with requests.get(daemon.api + "/system/events", auth=daemon.http.auth, stream=True, timeout=60) as answer:
            kind, number = None, None
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                key, _, value = line.partition(": ")
                if key == "event":
                    kind = value
                elif key == "id":
                    number = value
                elif key == "data" and kind == "progress":
                    assert json.loads(value)["service"] == "told"
                    heard.append(json.loads(value))
                    ids.append(number)
                    if len(heard) == 2:
                        return
                elif not line:
                    kind = number = None

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    daemon.put("told", "in/a", b"x")
    wait_for("the first report", lambda: heard)
    (daemon.go / "more").write_text("")
    listener.join(30)
    job = job_of(daemon, "told")
    assert [(e["job"], e["service"], e["attempt"], e.get("progress"), e.get("progress_message")) for e in heard] == [
        (job["name"], "told", 1, 0.5, "half"), (job["name"], "told", 1, 0.75, None)]
    assert ids == [None, None]  # they cannot be resumed from
    # Who comes later hears where it is.
    late = json.loads(run_cli(daemon, "events", "--limit", "1", "--after", "999999999", "-o", "json").stdout)
    assert (late["event"], late["data"]["progress"]) == ("progress", 0.75)
    let_go(daemon, "told")
    daemon.settled("told", 1)


def test_hostile_reports(daemon):
    waiting(daemon, "bad", """echo '{"progress":0.3,"message":"good"}' > "$OSCAR_PROGRESS"
        printf '{"progress":NaN}\\n{"progress":4}\\n{"message":"\\377"}\\nrubbish\\n{"progress":0.9' > "$OSCAR_PROGRESS"
        rm -f "$OSCAR_PROGRESS"; ln -sf /etc/passwd "$OSCAR_PROGRESS"
        echo done""")
    daemon.put("bad", "in/a", b"x")
    job = said(daemon, "bad")
    wait_for("its words", lambda: "done" in daemon.joblog(job["name"]))
    assert (daemon.detail(job["name"])["progress"], daemon.detail(job["name"])["progress_message"]) == (0.3, "good")
    let_go(daemon, "bad")
    daemon.settled("bad", 1)


def test_who_says_a_lot_is_bounded_and_ends(daemon):
    daemon.create("flood", """yes '{"progress":0.1,"message":"again"}' | head -n 1000000 > "$OSCAR_PROGRESS"
        head -c 30000000 /dev/zero > "$OSCAR_PROGRESS"; echo > "$OSCAR_PROGRESS"; echo '{"progress":1}' > "$OSCAR_PROGRESS"; exit 3""",
                  output=[], cpu="1", memory="64Mi")
    daemon.put("flood", "in/a", b"x")
    daemon.settled("flood", 1)
    job = daemon.jobs("flood")[0]
    assert job["exit_code"] == 3
    # What a failed job said last is in its log.
    assert 'it last said: {"progress":1}' in daemon.joblog(job["name"]).splitlines()[-1]


def test_a_kept_sandbox_forgets_what_the_last_call_said(daemon):
    daemon.create("kept", """case "$(cat "$INPUT_FILE_PATH")" in
        one) echo '{"progress":0.6}' > "$OSCAR_PROGRESS";; esac
        sleep 2.5""", output=[], cpu="0.1", memory="32Mi", keep_warm=1)
    calls = []
    for what in ("one", "two"):
        call = threading.Thread(target=lambda: calls.append(daemon.call("POST", "/run/kept", data=what).status_code))
        call.start()
        # A young call has no row; after a second it has.
        job = job_of(daemon, "kept")
        shown = daemon.detail(job["name"]).get("progress")
        call.join()
        assert shown == (0.6 if what == "one" else None)
    assert calls == [200, 200]


def test_following_a_log_shows_it(daemon):
    waiting(daemon, "shown", """echo first; echo '{"progress":0.5,"message":"half way"}' > "$OSCAR_PROGRESS" """)
    daemon.put("shown", "in/a", b"x")
    job = said(daemon, "shown")
    main, side = pty.openpty()
    follow = subprocess.Popen([OSCAR, "logs", "-f", job["name"]], stdout=subprocess.PIPE, stderr=side, text=True,
                              env=dict(os.environ, OSCAR_ENDPOINT=daemon.api, OSCAR_USERNAME=USER, OSCAR_PASSWORD=PASSWORD))
    os.close(side)
    text = b""
    while b"half way" not in text:
        text += os.read(main, 4096)
    let_go(daemon, "shown")
    assert follow.communicate(timeout=30)[0] == "first\n"
    assert follow.returncode == 0
    os.close(main)
    assert b"-- 50 %: half way" in text
