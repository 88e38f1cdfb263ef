#!/usr/bin/env python3
"""Compiles every header below src/ on its own: each includes what its own lines need."""
import concurrent.futures
import pathlib
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
cc = sys.argv[1:] or ["cc"]


def alone(path):
    cmd = cc + ["-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                "-I", str(root / "src"), "-x", "c", "-"]
    done = subprocess.run(cmd, input=f'#include "{path.relative_to(root / "src")}"\n',
                          capture_output=True, text=True)
    return "" if done.returncode == 0 else f"{path.relative_to(root)}:\n{done.stderr}"


headers = sorted((root / "src").rglob("*.h"))
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    bad = [text for text in pool.map(alone, headers) if text]
print("\n".join(bad) if bad else f"{len(headers)} headers compile alone")
sys.exit(bool(bad))
