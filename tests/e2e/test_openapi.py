"""The API's description holds every route and says what the daemon answers; contract.py checks the same in all tests."""
import re

import contract

ROOT = contract.ROOT


def routes():
    text = (ROOT / "src" / "api" / "api.c").read_text()
    return {(m.lower(), p) for m, p in re.findall(r'\{ HTTP_(\w+), "([^"]+)",', text)}


def test_every_route_is_described_and_nothing_else():
    described = {(m, re.sub(r"\{[^}]*\}", "{}", path)) for m, _, path, _ in contract.operations()}
    assert described == routes()


def test_references_names_and_parameters_are_whole():
    document, ids = contract.document(), set()

    def walk(node):
        if isinstance(node, dict):
            assert contract.resolve(node) is not None
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    tags = {t["name"] for t in document["tags"]}
    for method, _, path, operation in contract.operations():
        assert operation["operationId"] not in ids, operation["operationId"]
        ids.add(operation["operationId"])
        assert operation["summary"] and set(operation["tags"]) <= tags
        given = document["paths"][path].get("parameters", []) + operation.get("parameters", [])
        named = {p["name"] for p in map(contract.resolve, given) if p["in"] == "path"}
        assert named == set(re.findall(r"\{([^}]*)\}", path)), f"{method} {path}"
        assert all(contract.resolve(r)["description"] for r in operation["responses"].values())


def test_what_can_be_read_is_as_described(daemon):
    daemon.create("described", 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/x"')
    daemon.put("described", "in/a", b"1")
    job = daemon.settled("described", 1)[0]
    backfill = daemon.call("POST", "/system/services/described/backfill", 202, json={"sample": 1}).json()["id"]
    daemon.call("POST", "/system/users", 201, json={"name": "des", "password": "password-of-des"})
    daemon.call("POST", "/system/users/des/keys", 201, json={"s3_key": "DESKEY", "s3_secret": "secret-of-des"})
    daemon.call("PUT", "/system/targets/queue/read", json={"users": "des"})
    values = {"/system/services": {"name": "described"}, "/system/logs": {"name": "described", "job": job["name"]},
              "/system/jobs": {"job": job["name"]}, "/system/runs": {"run": job["run"]}, "/system/traces": {"trace": job["trace"]},
              "/system/backfills": {"id": backfill}, "/system/targets": {"kind": "queue", "name": "read"},
              "/system/queues": {"name": "read"}, "/system/users": {"user": "des"}}
    seen = 0
    for method, _, path, operation in contract.operations():
        if method != "get" or operation["operationId"] in ("events", "getImage", "getImageProgress"):
            continue  # a stream without end; what needs an image is read in the tests of images
        filled = path
        for name, value in values.get("/".join(path.split("/")[:3]), {}).items():
            filled = filled.replace("{" + name + "}", str(value))
        daemon.call("GET", filled, 200)
        seen += 1
    assert seen >= 25
