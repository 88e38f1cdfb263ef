"""What the drivers here measure with: the launcher's floor, CPU time of a process."""
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICK = os.sysconf("SC_CLK_TCK")


def floor(jobs, at_once):
    """bench/floor, the launcher alone: its jobs a second, and the median of a job in ms."""
    done = subprocess.run([ROOT / "build" / "bench" / "floor", "-n", str(jobs), "-p", str(at_once)], capture_output=True, text=True)
    line = done.stdout.strip().splitlines()[-1]
    print("floor:", line)
    return float(re.search(r"([\d.]+) jobs/s", line).group(1)), float(re.search(r"p50 ([\d.]+) ms", line).group(1))


def cpu_s(pid, children=False):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own = int(fields[11]) + int(fields[12])
    return (own + (int(fields[13]) + int(fields[14]) if children else 0)) / TICK


def runner_of(daemon):
    done = subprocess.run(["pgrep", "-f", f"runner --data {daemon.data}"], capture_output=True, text=True)
    return max(int(p) for p in done.stdout.split())


def sandboxes_cpu_s(daemon):
    """The runner, its shims and the first processes of sandboxes, each with what it waited for."""
    done = subprocess.run(["pgrep", "-f", f"runner --data {daemon.data}"], capture_output=True, text=True)
    total = 0.0
    for pid in done.stdout.split():
        try:
            total += cpu_s(int(pid), True)
        except OSError:
            pass  # it has ended, and who waited for it counts it
    return total
