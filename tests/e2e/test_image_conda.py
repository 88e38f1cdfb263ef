"""Environments of conda-pack on top of an image. The archives are made by conda-pack itself where that can be imported, of
a prefix that is laid out as conda lays it out (conda is not in Debian); else by hand, as conda-pack's source has it."""
import gzip
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest
from conftest import TOOLS, run_cli
from oci import Image, add, base_layer, drop_all, layout, program_files, take_in, tar_of

sys.path.append(str(TOOLS / "conda-pack"))  # by tools/setup
OLD = "/opt/conda_build_" + "placehold_" * 20
TOOL_C = r'''#include <stdio.h>
char where[1024] = "@OLD@/share/word:@OLD@/x";
int main(void) { char p[300]; sscanf(where, "%299[^:]", p); FILE *f = fopen(p, "r"); int c;
if (!f) { printf("no %s\n", p); return 1; } while ((c = getc(f)) != EOF) putchar(c); puts(where); return 0; }
'''


def environment(tmp):
    """Files of an environment: a script with a shebang, a compiled program that holds its prefix, a text, a link."""
    (tmp / "tool.c").write_text(TOOL_C.replace("@OLD@", OLD))
    subprocess.run(["gcc", "-O0", "-static", "-o", tmp / "tool", tmp / "tool.c"], check=True)
    return {
        "bin/tool": ((tmp / "tool").read_bytes(), "binary", 0o755),
        "bin/hello": (b'#!%s/bin/run\necho "hello from $0"\n' % OLD.encode(), "text", 0o755),
        "share/word": (b"the word\n", None, 0o644),
        "etc/where": (b"prefix=%s\nagain=%s\n" % (OLD.encode(), OLD.encode()), "text", 0o644),
    }


def packed_by_hand(files):
    records = ",\n".join(repr((name, OLD, mode)) for name, (_, mode, _) in files.items() if mode)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, (data, _, mode) in files.items():
            add(tar, name, data, mode=mode, uid=1000, gid=1000)
        add(tar, "bin/run", type=tarfile.SYMTYPE, linkname="/bin/sh")
        add(tar, "share/again", type=tarfile.LNKTYPE, linkname="share/word")
        add(tar, "conda-meta/history", b"")
        add(tar, "bin/activate", b"# activate\n", mode=0o755)
        add(tar, "bin/conda-unpack", ("#!/usr/bin/env python\n\n_prefix_records = [\n" + records +
                                      "\n]\n\nif __name__ == '__main__':\n    raise SystemExit(9)\n").encode(), mode=0o755)
    return gzip.compress(out.getvalue())


def packed_by_conda_pack(tmp, files):
    conda_pack = pytest.importorskip("conda_pack", reason="conda-pack is not installed (pip install conda-pack)")
    prefix = tmp / "env"
    for name, (data, _, mode) in files.items():
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_bytes(data)
        (prefix / name).chmod(mode)
    (prefix / "bin/run").symlink_to("/bin/sh")
    os.link(prefix / "share/word", prefix / "share/again")
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta/history").write_text("")
    paths = [dict({"_path": name, "path_type": "hardlink"}, **({"prefix_placeholder": OLD, "file_mode": mode} if mode else {}))
             for name, (_, mode, _) in files.items()] + [
                 {"_path": "bin/run", "path_type": "softlink"}, {"_path": "share/again", "path_type": "hardlink"}]
    package = tmp / "pkgs" / "tool-1-0"
    (package / "info").mkdir(parents=True)
    (package / "info/paths.json").write_text(json.dumps({"paths": paths, "paths_version": 1}))
    for name in [*files, "share/again", "bin/run"]:
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        if name == "bin/run":
            (package / name).symlink_to("/bin/sh")
        else:
            (package / name).write_bytes((prefix / name).read_bytes())
            (package / name).chmod((prefix / name).stat().st_mode & 0o777)
    (prefix / "conda-meta/tool-1-0.json").write_text(json.dumps({
        "name": "tool", "version": "1", "build": "0", "build_number": 0, "channel": "lab", "subdir": "linux-64",
        "files": [p["_path"] for p in paths], "paths_data": {"paths": paths, "paths_version": 1},
        "link": {"source": str(package), "type": 1}, "extracted_package_dir": str(package)}))
    conda_pack.pack(prefix=str(prefix), output=str(tmp / "env.tar.gz"), ignore_editable_packages=True)
    return (tmp / "env.tar.gz").read_bytes()


@pytest.fixture
def base(daemon):
    env = [("." + f, pathlib.Path(f).resolve().read_bytes()) for f in program_files("/usr/bin/env")]
    image = Image([base_layer(), tar_of(*env)], pack=lambda i, d: gzip.compress(d, mtime=0), Env=["PATH=/bin:/usr/bin", "WORD=kept"])
    take_in(daemon, layout((image, {})), "lab/base:1")
    yield image
    for s in daemon.call("GET", "/system/services", 200).json():
        daemon.call("DELETE", f"/system/services/{s['name']}", 204)
    drop_all(daemon)


@pytest.mark.parametrize("maker", ["conda-pack", "by hand"])
def test_an_environment_works_in_its_new_place(daemon, base, tmp_path, maker):
    files = environment(tmp_path)
    packed = packed_by_hand(files) if maker == "by hand" else packed_by_conda_pack(tmp_path, files)
    (tmp_path / "e.tar.gz").write_bytes(packed)
    out = run_cli(daemon, "image", "import", str(tmp_path / "e.tar.gz"), "lab/env:1", "--conda", "--base", "lab/base:1")
    daemon.create("env", 'tool; hello; cat $CONDA_PREFIX/etc/where /opt/env/share/again; echo "$PATH $WORD"; '
                         'ls /opt/env/bin', image="lab/env:1")
    daemon.put("env", "in/f", b"x")
    job = daemon.settled("env", 1)[0]
    text = daemon.joblog(job["name"])
    assert job["state"] == "succeeded", text
    assert "the word\n/opt/env/share/word:/opt/env/x\n" in text, text
    assert "hello from /opt/env/bin/hello\n" in text, text  # conda-pack makes its first line "#!/usr/bin/env run"
    assert "prefix=/opt/env\nagain=/opt/env\nthe word\n/opt/env/bin:/bin:/usr/bin kept\n" in text, text
    assert "conda-unpack" not in text and "placehold" not in text
    # An image like any other, and the same each time.
    again = run_cli(daemon, "image", "import", str(tmp_path / "e.tar.gz"), "lab/twice:1", "--conda", "--base", "lab/base:1")
    assert out.stdout.split()[-1] == again.stdout.split()[-1]
    config = daemon.call("GET", "/system/images/lab%2Fenv:1", 200).json()["config"]
    assert "CONDA_PREFIX=/opt/env" in config["env"]
    other = run_cli(daemon, "image", "import", str(tmp_path / "e.tar.gz"), "lab/far:1", "--conda", "--base", "lab/base:1",
                    "--prefix", "/srv/other")
    assert other.stdout.split()[-1] != out.stdout.split()[-1]


def with_list(text):
    return tar_of(("conda-meta/history", b""), ("bin/x", b"/old\0"), ("bin/conda-unpack", text))


@pytest.mark.parametrize("what,data,word", [
    ("no environment", tar_of(("usr/bin/x", b"x")), "no conda-meta"),
    ("no archive", b"hello", "cannot be read"),
    ("cut off", gzip.compress(with_list(b"\n_prefix_records = [\n\n]\n"))[:-40], "cannot be read"),
    ("no list", with_list(b"import os\n"), "no list of prefixes"),
    ("a list with a program", with_list(b"\n_prefix_records = [\nos.system('x'),\n]\n"), "not understood"),
    ("no room", with_list(b"\n_prefix_records = [\n('bin/x', '/old', 'binary')\n]\n"), "no room"),
    ("climbs", tar_of(("conda-meta/history", b""), ("../../../etc/x", b"x")), ".."),
    ("a link that climbs", tar_of(("conda-meta/history", b""), ("l", "= ../../../../etc/passwd")), ".."),
])
def test_what_is_no_environment_is_refused_and_leaves_nothing(daemon, base, what, data, word):
    before = {p.name for p in daemon.image_files()}
    answer = daemon.call("POST", "/system/images/import", params={"name": "bad:1", "conda": "/opt/env", "base": "lab/base:1"},
                         data=data)
    assert answer.status_code == 400 and word in answer.text, (answer.status_code, answer.text)
    assert {p.name for p in daemon.image_files()} == before


@pytest.mark.parametrize("query,word", [
    ({"base": "lab/none:1"}, "does not exist here"), ({"base": "host"}, "no container image"), ({}, "base"),
    ({"base": "lab/base:1", "conda": "relative"}, "absolute"), ({"base": "lab/base:1", "conda": "/a/../b"}, "absolute"),
    ({"base": "lab/base:1", "conda": "/" + "a" * 70}, "absolute")])
def test_what_it_is_put_on_and_where_is_checked(daemon, base, query, word):
    query = dict({"name": "bad:1", "conda": "/opt/env"}, **query)
    answer = daemon.call("POST", "/system/images/import", params=query, data=tar_of(("conda-meta/history", b"")))
    assert answer.status_code in (400, 404) and word in answer.text, answer.text
    assert run_cli(daemon, "image", "import", "-", "x:1", "--conda", check=False).returncode == 2
