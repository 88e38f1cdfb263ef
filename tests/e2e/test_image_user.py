"""An image's USER is whom its scripts run as."""
import gzip

import pytest
from oci import Image, base_layer, drop, layout, take_in, tar_of

PASSWD = b"root:x:0:0::/root:/bin/sh\napp:x:1000:100:App:/home/app:/bin/sh\n"
GROUP = b"root:x:0:\nusers:x:100:\nvideo:x:44:app\n"
SCRIPT = ('echo "ids $(id -u) $(id -g) $(id -G)"; cat "$INPUT_FILE_PATH" >"$TMP_OUTPUT_DIR/copy"; '
          'cat /secret; test -O /secret && echo owned; touch /secret 2>/dev/null && echo wrote; exit 0')


def image_of(user, *files):
    files = files or (("./etc/passwd", PASSWD), ("./etc/group", GROUP))
    top = tar_of(*files, ("./secret", b"of the image\n"))
    return Image([base_layer(), top], pack=lambda i, data: gzip.compress(data, mtime=0), User=user,
                 Env=["PATH=/bin:/usr/bin"])


@pytest.mark.parametrize("user,ids", [
    ("app", "1000 100 100 44"), ("1000", "1000 100 100 44"), ("app:video", "1000 44 44"), ("4321:77", "4321 77 77"),
    ("", "0 0 0"), ("root", "0 0 0")])
def test_a_script_runs_as_the_user_of_its_image(daemon, user, ids):
    take_in(daemon, layout((image_of(user), {})), "lab/user:1")
    daemon.create("whoami", SCRIPT, image="lab/user:1")
    daemon.put("whoami", "in/f", b"bytes")
    job = daemon.settled("whoami", 1)[0]
    text = daemon.joblog(job["name"])
    assert job["state"] == "succeeded", (job, text)
    assert f"ids {ids}\nof the image\nowned\n" in text and "wrote" not in text, text
    assert daemon.s3.get_object(Bucket="whoami", Key="out/copy")["Body"].read() == b"bytes"
    daemon.call("DELETE", "/system/services/whoami", 204)
    drop(daemon, "lab/user:1")


@pytest.mark.parametrize("user,files,why", [
    ("ghost", (), 'user "ghost"'), ("app:ghosts", (), 'group "ghosts"'), ("4294967295", (), "user"),
    ("app", (("./etc/hello", b""),), 'user "app"'),
    ("app", (("./etc/passwd", "-> /proc/self/environ"),), 'user "app"'),
    ("app", (("./etc/passwd", "-> ../../../../../../etc/passwd"),), 'user "app"'),
    ("root", (("./etc/passwd", "-> ../../../../../../../etc/passwd"),), 'user "root"'),
    ("app", (("./etc/passwd/", None),), 'user "app"'),
    ("app", (("./etc/passwd", b"x" * (1 << 20) + b"\n" + PASSWD),), "over 1048576 bytes")])
def test_a_user_that_the_image_does_not_have_is_told_when_a_service_is_made(daemon, user, files, why):
    take_in(daemon, layout((image_of(user, *files), {})), "lab/ghost:1")
    answer = daemon.call("POST", "/system/services", json={
        "name": "ghost", "image": "lab/ghost:1", "cpu": "0.1", "memory": "64Mi", "script": "true"})
    assert answer.status_code in (400, 413) and why in answer.text and "lab/ghost:1" in answer.text, answer.text
    drop(daemon, "lab/ghost:1")
