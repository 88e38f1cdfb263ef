"""What a service made that is there, and what of it would come out otherwise today."""
import json

DOUBLE = 'name=$(basename "$INPUT_FILE_PATH"); cat "$INPUT_FILE_PATH" "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$name"'


def outputs(daemon, name, **query):
    found, after = [], ""
    while True:
        page = daemon.call("GET", f"/system/services/{name}/outputs", 200, params=dict(query, after=after)).json()
        found += page["outputs"]
        after = page.get("next", "")
        if not after:
            return found


def stale(daemon, name, **query):
    return {o["key"]: o["stale"] for o in outputs(daemon, name, stale=1, **query)}


def test_outputs_of_another_script_or_input_are_stale(daemon, cli):
    daemon.create("double", DOUBLE)
    for key in "abcde":
        daemon.put("double", f"in/{key}", key.encode())
    daemon.settled("double", 5)
    daemon.put("double", "out/by-hand", b"not of the service")
    assert [o["key"] for o in outputs(daemon, "double", limit=2)] == [f"out/{k}" for k in "abcde"]
    assert all(o["stale"] == [] and o["revision"] == "1" and o["size"] == 2 for o in outputs(daemon, "double"))
    assert stale(daemon, "double", limit=1) == {}

    daemon.s3.delete_object(Bucket="double", Key="in/b")
    assert stale(daemon, "double") == {"out/b": ["input"]}

    fdl = {"name": "double", "image": "host", "cpu": "0.1", "memory": "64Mi", "script": DOUBLE + "\n# changed",
           "input": [{"storage_provider": "minio", "path": "double/in"}],
           "output": [{"storage_provider": "minio", "path": "double/none"},
                      {"storage_provider": "minio", "path": "double/out"}]}
    daemon.call("PUT", "/system/services", 204, json=fdl)
    daemon.put("double", "in/a", b"A")
    daemon.settled("double", 6)
    assert stale(daemon, "double", limit=2) == {
        "out/b": ["script", "input"], "out/c": ["script"], "out/d": ["script"], "out/e": ["script"]}
    shown = cli("service", "outputs", "--stale", "double")
    assert [line.split()[0] for line in shown.stdout.splitlines()[1:]] == [f"double/out/{k}" for k in "bcde"]
    assert "backfill --changed double" in shown.stderr

    cli("backfill", "--changed", "--wait", "double")  # waits until they are queued
    daemon.settled("double", 9)
    assert stale(daemon, "double") == {"out/b": ["script", "input"]}
    assert {o["key"] for o in json.loads(cli("service", "outputs", "-o", "json", "double").stdout)} == {
        f"{folder}/{k}" for folder in ("none", "out") for k in "acde"} | {"out/b"}


def test_only_the_owner_lists_them_and_pages_are_checked(daemon):
    daemon.create("shy", DOUBLE, visibility="public")
    daemon.call("POST", "/system/users", 201, json={"name": "kim", "password": "password-of-kim"})
    daemon.call("GET", "/system/services/shy/outputs", 403, auth=("kim", "password-of-kim"))
    daemon.call("GET", "/system/services/nobody/outputs", 404)
    for after in ("7/out/a", "x/out/a", "-1/"):
        daemon.call("GET", "/system/services/shy/outputs", 400, params={"after": after})
    daemon.create("call-only", "true", input=[], output=[])
    assert outputs(daemon, "call-only") == []
