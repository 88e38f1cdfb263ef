"""`oscar job shell`: a job's sandbox opened again, by the real command line under a terminal of its own and between pipes."""
import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest

from conftest import Daemon, OSCAR, PASSWORD, USER, wait_for
from test_listeners import certificate

SCRIPT = """#!/bin/sh
echo made > "$TMP_OUTPUT_DIR/made.txt"
grep -q bad "$INPUT_FILE_PATH" && exit 7
exit 0
"""


def environment(daemon, user=USER, password=PASSWORD):
    return dict(os.environ, OSCAR_ENDPOINT=daemon.api, OSCAR_USERNAME=user, OSCAR_PASSWORD=password,
                TERM="xterm-256color")


class Terminal:
    """The command line on a pseudo-terminal, as a person sees it."""

    def __init__(self, daemon, *args, rows=24, columns=80, command="jobs"):
        self.master, slave = pty.openpty()
        self.size(rows, columns)
        self.slave = os.dup(slave)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen([str(OSCAR), command, "shell", *args], stdin=slave, stdout=slave, stderr=slave,
                                        env=environment(daemon), start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.text = ""

    def size(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                break
            if not piece:
                break
            self.text += piece.decode(errors="replace")
        return self.text

    def until(self, what, seconds=20):
        wait_for(f"{what!r} on the terminal", lambda: what in self.read(), seconds)

    def type(self, text):
        self.text = ""
        os.write(self.master, text.encode())

    def run(self, text, want, seconds=20):
        self.type(text + "\n")
        self.until(want, seconds)

    def end(self, seconds=20):
        wait_for("the command's end", lambda: [self.read()] and self.process.poll() is not None, seconds)
        return self.process.returncode

    def is_as_before(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(daemon):
    made = []

    def make(*args, **kw):
        made.append(Terminal(daemon, *args, **kw))
        return made[-1]
    yield make
    for t in made:
        t.close()


@pytest.fixture(scope="module")
def failed(daemon):
    """A job that failed, and its service's secrets and variables."""
    daemon.create("shelled", SCRIPT, environment={"Variables": {"COLOUR": "a 'blue' one"},
                                                  "Secrets": {"KEY": "s3cr3t-of-shell"}})
    daemon.put("shelled", "in/photo.txt", b"bad input\n")
    job = daemon.settled("shelled", 1)[0]
    assert job["state"] == "failed"
    return job["id"]


def piped(daemon, job, *command, input="", **kw):
    return subprocess.run([str(OSCAR), "job", "shell", job, *(["--", *command] if command else [])],
                          input=input, capture_output=True, text=True, timeout=60, env=environment(daemon, **kw))


def sandboxes(daemon):
    """The folders of shells' sandboxes that are there."""
    return [p.name for p in (pathlib.Path(daemon.data) / "jobs").iterdir() if p.name.startswith("s")]


def processes(mark):
    """Processes of this machine with this word in their command line."""
    found = []
    for p in pathlib.Path("/proc").iterdir():
        try:
            if p.name.isdigit() and mark in (p / "cmdline").read_bytes().replace(b"\0", b" ").decode():
                found.append(p.name)
        except OSError:
            pass
    return found


def test_the_sandbox_is_as_the_job_had_it(daemon, failed):
    done = piped(daemon, failed, "sh", "-c", "cat $INPUT_FILE_PATH; echo $COLOUR; cat /oscar/secrets/KEY; echo; "
                 "echo $JOB_UUID; ls /oscar/input; cat /oscar/shell/event")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:5] == ["bad input", "a 'blue' one", "s3cr3t-of-shell", failed, "photo.txt"]
    assert json.loads("\n".join(lines[5:]))["Records"][0]["s3"]["object"]["key"] == "in%2Fphoto.txt"
    assert done.stderr == ""


def test_the_script_runs_again_and_stores_nothing(daemon, failed):
    before = daemon.keys("shelled")
    done = piped(daemon, failed, "sh", "-c",
                 "sh /oscar/config/script.sh </oscar/shell/event; echo $?; cat /oscar/output/made.txt")
    assert done.stdout.split() == ["7", "made"]
    wait_for("the sandbox's end", lambda: not sandboxes(daemon))
    assert daemon.keys("shelled") == before
    assert len(daemon.jobs("shelled")) == 1


@pytest.mark.parametrize("command, status", [(["true"], 0), (["sh", "-c", "exit 42"], 42), (["false"], 1),
                                             (["no-such-program"], 127), (["sh", "-c", "kill -9 $$"], 137)])
def test_the_exit_status_is_the_commands(daemon, failed, command, status):
    assert piped(daemon, failed, *command).returncode == status


def test_standard_input_and_both_outputs_are_apart(daemon, failed):
    done = piped(daemon, failed, "sh", "-c", "tr a-z A-Z; echo oops >&2; exit 3", input="hello\n" * 20000)
    assert done.returncode == 3
    assert done.stdout == "HELLO\n" * 20000 and done.stderr == "oops\n"


def test_a_shell_reads_commands_from_a_pipe(daemon, failed):
    done = piped(daemon, failed, input="cd /oscar/input\npwd\nexit 5\n")
    assert (done.returncode, done.stdout) == (5, "/oscar/input\n")


def test_words_come_as_they_were_given(daemon, failed):
    words = ["a b", "it's", "$HOME", "*", "", "\n", "-n"]
    done = piped(daemon, failed, "sh", "-c", 'for w; do printf "[%s]" "$w"; done', "x", *words)
    assert done.stdout == "".join(f"[{w}]" for w in words)


def test_much_output_waits_for_its_reader(daemon, failed):
    with subprocess.Popen([str(OSCAR), "job", "shell", failed, "--", "head", "-c", "30000000", "/dev/zero"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment(daemon)) as p:
        total = 0
        while piece := p.stdout.read(1 << 20):
            total += len(piece)
        assert (p.wait(30), total) == (0, 30000000)


def test_a_terminal_with_job_control_and_its_size(daemon, failed, terminal):
    t = terminal(failed, rows=33, columns=101)
    t.until("outputs are not stored")
    t.run("stty size", "33 101")
    t.run("echo $TERM-$COLOUR", "xterm-256color-a 'blue' one")
    t.size(50, 120)
    wait_for("the new size", lambda: [t.type("stty size\n"), t.until("stty size"), time.sleep(0.1)]
             and "50 120" in t.read())
    t.run("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all-$((1+1))", "all-2")
    t.run("echo to-dev-tty-$((2+3)) > /dev/tty", "to-dev-tty-5")
    t.run("echo to-std$((2+3)) > /dev/stderr", "to-std5")
    t.type("exit 9\n")
    assert t.end() == 9
    assert t.is_as_before()


def test_control_c_is_for_what_runs_inside(daemon, failed, terminal):
    t = terminal(failed)
    t.until("outputs are not stored")
    t.run("sh -c \"echo rea''dy; exec sleep 1000\"", "ready")  # what says so is what is to be interrupted
    t.type("\x03")
    t.run("echo al''ive", "alive")
    t.type("\x04")
    t.end()
    assert t.is_as_before()


def test_a_command_may_have_the_terminal(daemon, failed, terminal):
    t = terminal(failed, "--", "sh", "-c", "stty size; exit 4", rows=12, columns=34)
    assert t.end() == 4
    assert "12 34" in t.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_gives_the_terminal_back(daemon, failed, terminal, number):
    t = terminal(failed)
    t.until("outputs are not stored")
    assert not t.is_as_before()
    t.process.send_signal(number)
    assert t.end() == 128 + number
    assert t.is_as_before()
    wait_for("the sandbox's end", lambda: not sandboxes(daemon), 5)


@pytest.mark.parametrize("shield", ["", "trap '' TERM HUP INT PIPE; "])
def test_killing_the_client_kills_all_within_two_seconds(daemon, failed, shield):
    mark = f"98765{len(shield)}"
    p = subprocess.Popen([str(OSCAR), "job", "shell", failed, "--", "sh", "-c",
                          f"{shield}sleep {mark} & sleep {mark} & wait"],
                         stdin=subprocess.PIPE, env=environment(daemon))
    wait_for("what runs in the sandbox", lambda: len(processes(f"sleep {mark}")) >= 2)
    began = time.monotonic()
    p.kill()
    p.wait()
    wait_for("its end", lambda: not processes(f"sleep {mark}"), 5)
    assert time.monotonic() - began < 2
    wait_for("the sandbox's end", lambda: not sandboxes(daemon), 5)


def test_a_shell_takes_room_and_gives_it_back(daemon, failed):
    before = daemon.call("GET", "/system/status", 200).text
    p = subprocess.Popen([str(OSCAR), "job", "shell", failed, "--", "cat"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, env=environment(daemon))
    p.stdin.write(b"there\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"there\n"
    during = daemon.call("GET", "/system/status", 200).text
    assert during != before
    p.stdin.close()
    assert p.wait(20) == 0


def test_limits_hold_in_a_shell(daemon, failed):
    done = piped(daemon, failed, "sh", "-c", "tail /dev/zero")
    assert done.returncode == 1
    assert "over the memory limit of 64 MiB" in done.stderr


def test_a_job_of_another_user(daemon, failed):
    daemon.call("POST", "/system/users", 201, json={"name": "stranger", "password": "stranger-password"})
    done = piped(daemon, failed, "true", user="stranger", password="stranger-password")
    assert done.returncode == 3, done.stderr
    assert "no such job" in done.stderr


def test_a_caller_gets_no_shell_in_the_owners_service(daemon):
    daemon.call("POST", "/system/users", 201, json={"name": "caller", "password": "caller-password"})
    daemon.create("public", "exit 3", visibility="public", input=[], output=[])
    answer = daemon.call("POST", "/job/public", 201, data="x", auth=("caller", "caller-password"))
    job = daemon.settled("public", 1)[0]["id"]
    assert answer.status_code == 201
    done = piped(daemon, job, "true", user="caller", password="caller-password")
    assert done.returncode != 0
    assert "only the owner of its service" in done.stderr


def test_wrong_password_unknown_job_and_running_job(daemon, failed):
    assert piped(daemon, failed, "true", password="wrong").returncode == 4
    done = piped(daemon, "shelled-01a2290f-0328-7580-a2ee-2d506227ec18", "true")
    assert done.returncode == 3 and "no job named" in done.stderr
    daemon.create("slow", "sleep 60")
    daemon.put("slow", "in/x", b"x")
    job = wait_for("a running job", lambda: [j for j in daemon.jobs("slow") if j["state"] == "running"])[0]["id"]
    done = piped(daemon, job, "true")
    assert done.returncode != 0 and "is running: a shell opens the sandbox of one that is over" in done.stderr
    daemon.call("POST", f"/system/jobs/{job}/cancel", 202)


def test_an_input_that_is_gone_is_told(daemon):
    daemon.create("gone", "exit 1")
    daemon.put("gone", "in/a.txt", b"first")
    job = daemon.settled("gone", 1)[0]["id"]
    daemon.put("gone", "in/a.txt", b"second")
    daemon.settled("gone", 2)
    done = piped(daemon, job, "true")
    assert done.returncode == 3
    assert "gone/in/a.txt is gone: this version of it was deleted or overwritten" in done.stderr


def test_large_inputs_and_calls(daemon):
    daemon.create("calls", "exit 1", input=[], output=[])
    body = "!" + os.urandom(300000).hex()
    daemon.call("POST", "/job/calls", 201, data=body)
    job = daemon.settled("calls", 1)[0]["id"]
    done = piped(daemon, job, "sh", "-c", "cat $INPUT_FILE_PATH | wc -c; wc -c </oscar/shell/event")
    assert done.stdout.split()[0] == "600001"


def test_without_a_switch_it_is_said(daemon, failed):
    answer = daemon.call("POST", f"/system/jobs/{failed}/shell", 426)
    assert answer.headers["Upgrade"] == "oscar-shell/1"


def ask(daemon, job, body, rest=b""):
    """A shell's connection by hand: (socket, answer's head)."""
    import base64
    host, port = daemon.api.split("//")[1].split(":")
    s = socket.create_connection((host, int(port)), 10)
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    s.sendall((f"POST /system/jobs/{job}/shell HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n"
               f"Connection: Upgrade\r\nUpgrade: oscar-shell/1\r\nContent-Length: {len(body)}\r\n\r\n").encode()
              + body + rest)
    head = b""
    while b"\r\n\r\n" not in head:
        piece = s.recv(4096)
        if not piece:
            break
        head += piece
    return s, head


@pytest.mark.parametrize("body, status, what", [
    (b"{", 400, b""),
    (b"[]", 400, b"expected an object"),
    (b'{"command":"ls"}', 400, b"command: expected"),
    (b'{"command":[1]}', 400, b"expected texts"),
    (b'{"command":[""]}', 400, b"expected texts"),
    (b'{"command":["a\\u0000b"]}', 400, b""),
    (b'{"terminal":{"type":"x y"}}', 400, b"terminal: type"),
    (b'{"terminal":{"rows":70000}}', 400, b"rows"),
    (json.dumps({"command": ["x"] * 65}).encode(), 413, b"more than 64 words"),
    (b"x" * 70000, 413, b""),
], ids=lambda v: str(v)[:24])
def test_wrong_requests(daemon, failed, body, status, what):
    s, head = ask(daemon, failed, body)
    s.settimeout(10)
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
    while what not in head:
        piece = s.recv(4096)
        assert piece, head
        head += piece
    s.close()
    assert not sandboxes(daemon)


@pytest.mark.parametrize("frame", [b"x\0\0\2\0\0", b"o\0\0\1a", b"i\1\0\1a", b"i\0\x50\0", b"\0\0\0\0", b"s\0\0\2aa"])
def test_a_client_that_breaks_the_protocol_is_sent_away(daemon, failed, frame):
    s, head = ask(daemon, failed, b'{"command":["sleep","1000"]}', frame)
    assert head.startswith(b"HTTP/1.1 101 ")
    s.settimeout(10)
    text = head.split(b"\r\n\r\n", 1)[1]
    while piece := s.recv(4096):
        text += piece
        if b"does not keep to the protocol" in text:
            break
    assert text[:1] == b"x" and b"does not keep to the protocol" in text
    s.close()
    wait_for("the sandbox's end", lambda: not sandboxes(daemon), 5)


def test_what_was_sent_early_is_not_lost(daemon, failed):
    s, head = ask(daemon, failed, b'{"command":["cat"]}', b"i\0\0\3hey" + b"e\0\0\0")
    s.settimeout(10)
    text = head.split(b"\r\n\r\n", 1)[1]
    while piece := s.recv(4096):
        text += piece
        if text.endswith(b"x\0\0\2\0\0"):
            break
    assert text == b"o\0\0\3hey" + b"x\0\0\2\0\0"
    s.close()


def test_it_is_in_the_log_without_secrets(daemon, failed):
    assert piped(daemon, failed, "echo", "not-for-the-log").returncode == 0
    log = (pathlib.Path(daemon.data) / "daemon.log").read_text()
    assert f"user oscar opens a shell on job {failed} of service shelled" in log
    wait_for("the end in the log", lambda: f"user oscar left the shell on job {failed}" in
             (pathlib.Path(daemon.data) / "daemon.log").read_text())
    assert "not-for-the-log" not in log and "s3cr3t-of-shell" not in log


def test_an_image_without_a_shell_and_the_command_line_help(daemon, failed, cli):
    assert "not stored" in cli("jobs", "shell", "--help").stdout
    assert cli("job", "shell", check=False).returncode == 2
    assert cli("job", "shell", failed, "-x", check=False).returncode == 2


def test_bounds_of_number_and_time(tmp_path):
    d = Daemon(None, "--max-shells", "1", "--shell-idle", "2", "--shell-time", "4")
    try:
        d.create("bounded", "exit 1")
        d.put("bounded", "in/x", b"x")
        job = d.settled("bounded", 1)[0]["id"]
        first = subprocess.Popen([str(OSCAR), "job", "shell", job, "--", "sleep", "1000"], stdin=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=environment(d))
        wait_for("the first shell", lambda: sandboxes(d))
        done = piped(d, job, "true")
        assert done.returncode != 0 and "1 shells are open" in done.stderr
        assert first.wait(10) == 1
        assert b"nothing was typed or printed for too long" in first.stderr.read()
        began = time.monotonic()
        done = piped(d, job, "sh", "-c", "while :; do echo tick; sleep 0.2; done")
        assert done.returncode == 1 and "over the time limit of 4.000 s" in done.stderr
        assert 3 < time.monotonic() - began < 10
    finally:
        d.close()


def test_shells_can_be_forbidden():
    d = Daemon(None, "--max-shells", "0")
    try:
        d.create("none", "exit 1")
        d.put("none", "in/x", b"x")
        job = d.settled("none", 1)[0]["id"]
        done = piped(d, job, "true")
        assert done.returncode != 0 and "this server opens no shells" in done.stderr
    finally:
        d.close()


@pytest.mark.parametrize("how", ["kill", "leave", "stop"])
def test_nothing_is_left_when_the_daemon_ends(fresh, how):
    fresh.create("left", "exit 1")
    fresh.put("left", "in/x", b"x" * 100000)
    job = fresh.settled("left", 1)[0]["id"]
    mark = f"87654{len(how)}"
    p = subprocess.Popen([str(OSCAR), "job", "shell", job, "--", "sh", "-c",
                          f"trap '' TERM HUP PIPE; sleep {mark}; :"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=environment(fresh))
    wait_for("what runs in the sandbox", lambda: processes(f"sleep {mark}"))
    # From then on it ends with the daemon; one that dies before is waited for by the shim for a minute.
    wait_for("the daemon at its door", lambda: not list(pathlib.Path(fresh.data).glob("jobs/s*/door")))
    if how == "kill":
        fresh.kill()
    elif how == "leave":
        fresh.leave()
    else:
        fresh.process.send_signal(signal.SIGINT)
        fresh.process.wait(40)
    assert p.wait(10) in (1, 6)
    assert p.stderr.read()
    wait_for("its end", lambda: not processes(f"sleep {mark}"), 5)
    fresh.start()
    wait_for("no folders", lambda: not sandboxes(fresh))
    tmp = pathlib.Path(fresh.data) / "tmp"
    wait_for("no copies", lambda: not [f for f in tmp.iterdir() if f.name.startswith(("input-", "view"))])
    assert piped(fresh, job, "wc", "-c", "/oscar/input/x").stdout.split()[0] == "100000"


def test_over_tls(tmp_path, monkeypatch):
    cert, key = certificate(tmp_path, "shells")
    d = Daemon(None, "--tls-cert", str(cert), "--tls-key", str(key))
    try:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
        d.create("secure", "exit 1", input=[], output=[])
        d.call("POST", "/job/secure", 201, data="!x")
        job = d.settled("secure", 1)[0]["id"]
        env = dict(environment(d), OSCAR_CA_FILE=str(cert))
        done = subprocess.run([str(OSCAR), "job", "shell", job, "--", "sh", "-c", "md5sum; exit 6"], env=env,
                              input=b"0123456789" * 10000, capture_output=True, timeout=60)
        assert (done.returncode, done.stdout.split()[0]) == (6, b"13572e9e296cff52b79c52148313c3a5"), done
        done = subprocess.run([str(OSCAR), "job", "shell", job, "--", "head", "-c", "200000", "/dev/zero"], env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        assert (done.returncode, len(done.stdout)) == (0, 200000)
        mark = "7654321"
        p = subprocess.Popen([str(OSCAR), "job", "shell", job, "--", "sleep", mark], env=env, stdin=subprocess.PIPE)
        wait_for("what runs in the sandbox", lambda: processes(f"sleep {mark}"))
        p.kill()
        p.wait()
        wait_for("its end", lambda: not processes(f"sleep {mark}"), 2)
        assert subprocess.run([str(OSCAR), "job", "shell", job, "--", "true"], env=environment(d),
                              stdin=subprocess.DEVNULL).returncode != 0, "an unknown certificate is refused"
    finally:
        d.close()
