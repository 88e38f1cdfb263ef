#!/usr/bin/env python3
"""Runs everything that CI runs and counts it.  usage: tests/run.py [SUITE...]

Suites: lint unit clang asan tsan e2e. Each failed suite shows its log; the last line is the sum.
"""
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.chdir(ROOT)
os.environ["PATH"] = "/usr/bin:/bin:/usr/sbin:/sbin:" + os.environ.get("PATH", "")
count = {"passed": 0, "failed": 0, "skipped": 0}
TOOLS = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "oscar-test-tools"
TIDIED = TOOLS / "tidied"  # one empty file for each state of a source file that clang-tidy found nothing in
CC = {"gcc": "gcc", "clang": "clang-14"}


def say(text):
    print(text, flush=True)


def add(name, passed, failed, skipped, seconds, log=""):
    count["passed"] += passed
    count["failed"] += failed
    count["skipped"] += skipped
    say(f"{name:<28} {passed} passed, {failed} failed, {skipped} skipped  ({seconds:.0f} s)")
    if failed and log:
        say("\n".join("    " + line for line in log.splitlines()[-80:]))


def run(cmd, **kw):
    return subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **kw)


def step(name, cmd, **kw):
    start = time.time()
    done = run(cmd, **kw)
    ok = done.returncode == 0
    add(name, int(ok), int(not ok), 0, time.time() - start, done.stdout)
    return ok


def sources(*suffixes):
    return [str(p.relative_to(ROOT)) for top in ("src", "tests", "bench") for p in
            sorted((ROOT / top).rglob("*")) if p.suffix in suffixes]


def lint():
    step("format", ["clang-format-14", "--dry-run", "-Werror"] + sources(".c", ".h"))
    build("build", "gcc")
    step("cppcheck", ["cppcheck", "--quiet", "--error-exitcode=1", "--std=c17", "-j2",
                      "--enable=warning", "--inline-suppr", "--library=posix",
                      "--suppressions-list=tests/lint/cppcheck.txt", "-Isrc", "src"])
    start = time.time()
    states = tidy_states()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(tidy, states, states.values()))
    bad = [text for text in done if text]
    known = done.count(None)
    add("clang-tidy", len(done) - len(bad), len(bad), 0, time.time() - start, "".join(bad))
    say(f"    {known} of them as they were when they passed before: {TIDIED}")


def relative(text):
    """As seen from a folder of builds, so that every clone says the same."""
    return text.replace(str(ROOT), "..")


def tidy_states():
    """Each source file, and a digest of all that clang-tidy's judgement on it depends on, as the last build knows it."""
    common = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    common.update(run(["clang-tidy-14", "--version"]).stdout.encode())
    contents = functools.lru_cache(None)(lambda path: (ROOT / "build" / path).read_bytes())
    needs = {}
    for rule in relative(run(["ninja", "-C", "build", "-t", "deps"]).stdout).split("\n\n"):
        files = [line.strip() for line in rule.splitlines()[1:] if line.startswith(" ")]
        if files and files[0].startswith("../src/"):
            needs[files[0][3:]] = sorted(f for f in files if not f.startswith("/"))
    states = {}
    for command in json.loads((ROOT / "build/compile_commands.json").read_text()):
        file = command["file"][3:]
        if file.startswith("src/"):
            state = common.copy()
            state.update(relative(command["command"]).encode())
            for path in needs.get(file, [command["file"]]):
                state.update(path.encode() + contents(path))
            states[file] = state.hexdigest()
    return states


def tidy(file, state):
    """What clang-tidy finds in a file: "" nothing, None when the file passed before as it is now."""
    mark = TIDIED / state
    if mark.exists():
        mark.touch()
        return None
    done = subprocess.run(["clang-tidy-14", "--quiet", "-p", "build", file],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if done.returncode:
        return done.stdout or f"{file}: clang-tidy ended with {done.returncode}\n"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return ""


def build(folder, compiler, *options):
    """Sets up and builds; a compiler's warning is an error."""
    env = dict(os.environ, CC=CC[compiler])
    if not (ROOT / folder / "build.ninja").exists():
        done = run(["meson", "setup", folder, *options], env=env)
        if done.returncode:
            add(f"setup {folder}", 0, 1, 0, 0, done.stdout)
            return False
    done = run(["ninja", "-C", folder, "--quiet"])
    if done.returncode:
        add(f"build {folder}", 0, 1, 0, 0, done.stdout)
        return False
    return True


def meson_tests(name, folder, suites, env=None):
    start = time.time()
    cmd = ["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", "-t", "4", "--num-processes", "4"]
    for s in suites:
        cmd += ["--suite", s]
    done = run(cmd, env=dict(os.environ, **(env or {})))
    passed = failed = skipped = 0
    log = ROOT / folder / "meson-logs" / "testlog.json"
    if log.exists():
        for line in log.read_text().splitlines():
            t = json.loads(line)
            taps = re.findall(r"^(not )?ok \d+(.*)$", t.get("stdout") or "", re.M)
            if taps:
                passed += sum(1 for bad, rest in taps if not bad and "# SKIP" not in rest.upper())
                skipped += sum(1 for bad, rest in taps if "# SKIP" in rest.upper())
                failed += sum(1 for bad, rest in taps if bad and "# SKIP" not in rest.upper())
                if t["result"] not in ("OK", "SKIP") and not any(bad for bad, _ in taps):
                    failed += 1
            elif t["result"] == "OK":
                passed += 1
            elif t["result"] == "SKIP":
                skipped += 1
            else:
                failed += 1
    if done.returncode and not failed:
        failed = 1
    add(name, passed, failed, skipped, time.time() - start, done.stdout)


def unit():
    if build("build", "gcc"):
        meson_tests("unit (gcc)", "build", ["lint", "unit", "fuzz"])


def clang():
    if build("build-clang", "clang"):
        add("builds with clang", 1, 0, 0, 0)


def asan():
    if build("build-asan", "gcc", "-Db_sanitize=address,undefined"):
        meson_tests("unit (address, undefined)", "build-asan", ["unit", "fuzz"],
                    {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1"})


def tsan():
    # The sanitizer's own thread forbids what the runner does, so the runner is one built without it.
    if build("build", "gcc") and build("build-tsan", "gcc", "-Db_sanitize=thread"):
        meson_tests("unit (thread)", "build-tsan", ["unit"],
                    {"TSAN_OPTIONS": f"halt_on_error=1:suppressions={ROOT}/tests/lint/tsan.txt",
                     "BED_RUNNER": str(ROOT / "build/tests/test_exec_sandbox")})


DEBIAN_PYTHON = "/usr/bin/python3"
# Three files of tests at once, each with a server of its own: most of their time is waiting.
THREE = ("-n", "3", "--dist", "loadfile")


def pytest(name, folder, python=DEBIAN_PYTHON, *options):
    start = time.time()
    report = ROOT / "build" / f"{re.sub('[^a-z0-9]+', '-', name)}.xml"
    done = run([python if os.path.exists(python) else sys.executable, "-m", "pytest", *options, "-q", "-rs",
                "-x" if os.environ.get("FAIL_FAST") else "-q", f"--junitxml={report}", *([folder] if isinstance(folder, str) else folder)])
    passed = failed = skipped = 0
    if report.exists():
        for s in ET.parse(report).getroot().iter("testsuite"):
            total, bad = int(s.get("tests")), int(s.get("failures")) + int(s.get("errors"))
            skipped += int(s.get("skipped"))
            failed += bad
            passed += total - bad - int(s.get("skipped"))
    if done.returncode and not failed:
        failed = 1
    add(name, passed, failed, skipped, time.time() - start, done.stdout)
    for line in done.stdout.splitlines():
        if line.startswith("SKIPPED"):
            say("    " + line)


def e2e():
    if build("build", "gcc"):
        run(["make", "build"])
        pytest("e2e", "tests/e2e", DEBIAN_PYTHON, *THREE)
        pytest("compat", "tests/compat", DEBIAN_PYTHON, *THREE)
        pytest("crash", "tests/crash")
        compat_new()
        # A part of the same tests with the sandboxes made by an OCI runtime; all of them run by OSCAR_E2E_RUNTIME=oci.
        if shutil.which("crun"):
            os.environ["OSCAR_E2E_RUNTIME"] = "oci"
            pytest("e2e (crun)", ["tests/e2e/test_%s.py" % t for t in ("secrets", "mounts", "runs", "warm")])
            del os.environ["OSCAR_E2E_RUNTIME"]


def compat_new():
    """The same with the current boto3, which sends other headers than Debian's: tools/setup has put it there."""
    if (TOOLS / "python" / "done").exists():
        pytest("compat (current boto3)", "tests/compat", str(TOOLS / "python/bin/python"), *THREE,
               *("--ignore=tests/compat/test_s3_%s.py" % t for t in ("admin", "clients", "tools")))
    else:
        add("compat (current boto3)", 0, 0, 1, 0)
        say("    SKIPPED: no current boto3 could be installed from PyPI")


ALL = {"unit": unit, "e2e": e2e, "asan": asan, "tsan": tsan, "clang": clang, "lint": lint}
for suite in sys.argv[1:] or ALL:
    ALL[suite]()
say(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
sys.exit(count["failed"] > 0)
