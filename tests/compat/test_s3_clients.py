"""Libraries of other languages and houses with their default settings; clients/ holds one program for each."""
import os
import pathlib
import subprocess

import pytest
from conftest import KEYS, TOOLS

HERE = pathlib.Path(__file__).resolve().parent / "clients"
BIN = TOOLS / "python" / "bin"
MODULES = TOOLS / "node" / "node_modules"
CLIENTS = {"minio_py.py": (BIN / "python", TOOLS / "python" / "done"),
           "minio_js.mjs": (BIN / "node", TOOLS / "node" / "done"),
           "aws_js.mjs": (BIN / "node", TOOLS / "node" / "done")}


@pytest.mark.parametrize("program", CLIENTS)
def test_client(service, tmp_path, program):
    interpreter, installed = CLIENTS[program]
    if not installed.exists():
        pytest.skip(f"tools/setup could not install {program}'s library")
    bucket = "client-" + program.split(".")[0].replace("_", "-")
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "NODE_PATH": str(MODULES)}
    done = subprocess.run([interpreter, HERE / program, service.endpoint, *KEYS["main"], bucket, tmp_path],
                          env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
