"""Our registry as that of a Kubernetes cluster: containerd, which pulls for the nodes, with the files that a node has."""
import json
import shutil
import subprocess

import pytest
from conftest import PASSWORD, USER, wait_for
from oci import layout, sha, take_in
from test_registry import runnable

ALICE = ("alice", "alice-password")


class Node:
    def __init__(self, tmp, registry):
        if not shutil.which("containerd"):
            pytest.skip("containerd is not installed")
        self.tmp, self.socket = tmp, tmp / "sock"
        (tmp / "config.toml").write_text(
            f'version = 2\nroot = "{tmp}/root"\nstate = "{tmp}/state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{self.socket}"\n')
        hosts = tmp / "certs.d" / registry  # /etc/containerd/certs.d/HOST:PORT/hosts.toml of a node
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(f'server = "http://{registry}"\n[host."http://{registry}"]\n'
                                          'capabilities = ["pull", "resolve", "push"]\n')
        self.log = open(tmp / "log", "ab")
        self.process = subprocess.Popen(["containerd", "-c", str(tmp / "config.toml")], stdout=self.log, stderr=self.log)
        wait_for("containerd", lambda: self.socket.exists() and self.ctr("version", check=False).returncode == 0)

    def ctr(self, *args, check=True):
        done = subprocess.run(["ctr", "-a", str(self.socket), "-n", "k8s.io", *args], capture_output=True, text=True,
                              timeout=120, check=False)
        assert not check or done.returncode == 0, (args, done.stdout, done.stderr)
        return done

    def images(self, what, ref, who, *options, check=True):
        return self.ctr("images", what, "--hosts-dir", str(self.tmp / "certs.d"), "-u", ":".join(who), *options, ref,
                        check=check)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def node(daemon, tmp_path_factory):
    n = Node(tmp_path_factory.mktemp("node"), daemon.api.removeprefix("http://"))
    yield n
    n.close()


def test_a_node_pulls_what_it_may(daemon, node):
    daemon.call("POST", "/system/users", 201, json={"name": ALICE[0], "password": ALICE[1]})
    host, image = daemon.api.removeprefix("http://"), runnable()
    take_in(daemon, layout((image, {})), "alice/tool:1")
    ref = f"{host}/alice/tool:1"
    for who in (("alice", "wrong"), ("nobody", "x")):
        done = node.images("pull", ref, who, "--snapshotter", "native", check=False)
        assert done.returncode != 0 and "401" in done.stdout + done.stderr, done.stderr
    node.images("pull", ref, ALICE, "--snapshotter", "native")
    listed = node.ctr("images", "ls", f"name=={ref}").stdout
    assert image.digest in listed
    manifest = json.loads(node.ctr("content", "get", image.digest).stdout)
    assert [layer["digest"] for layer in manifest["layers"]] == list(image.blobs)[:len(manifest["layers"])]
    where = node.tmp / "mounted"
    where.mkdir()
    node.ctr("images", "mount", "--snapshotter", "native", ref, str(where))
    try:
        assert (where / "word").read_text() == "from the registry\n"
    finally:
        node.ctr("images", "unmount", str(where))
    # By digest, as a pod may name it; and back, under another name.
    node.images("pull", f"{host}/alice/tool@{image.digest}", ALICE, "--snapshotter", "native")
    node.ctr("images", "tag", ref, f"{host}/lab/back:1")
    node.images("push", f"{host}/lab/back:1", (USER, PASSWORD))
    listed = {i["name"]: i["digest"] for i in daemon.call("GET", "/system/images", 200).json()}
    assert listed["lab/back:1"] == image.digest == listed["alice/tool:1"] and sha(image.manifest) == image.digest
    node.ctr("images", "tag", ref, f"{host}/lab/other:1")
    assert node.images("push", f"{host}/lab/other:1", ALICE, check=False).returncode != 0
