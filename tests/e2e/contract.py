"""docs/api/openapi.yaml, and whether an answer of the daemon is as it says."""
import functools
import pathlib
import re

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
JSON_MAX = 64 << 10  # bytes of an answer that is worth the time
METHODS = ("get", "put", "post", "delete")


@functools.lru_cache(None)
def document():
    return yaml.safe_load((ROOT / "docs" / "api" / "openapi.yaml").read_text())


def resolve(node):
    while isinstance(node, dict) and "$ref" in node:
        at = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        node = at
    return node


@functools.lru_cache(None)
def operations():
    """(method, pattern of the path, the path as written, operation), fixed paths before those with parameters."""
    found = []
    for path, item in document()["paths"].items():
        pattern = re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path) + "/?")
        found += [(method, pattern, path, item[method]) for method in METHODS if method in item]
    return sorted(found, key=lambda o: o[2].count("{"))


def find(method, path):
    for known, pattern, _, operation in operations():
        if known == method.lower() and pattern.fullmatch(path):
            return operation
    return None


@functools.lru_cache(None)
def validator(operation_id, status):
    operation = next(o for _, _, _, o in operations() if o["operationId"] == operation_id)
    content = resolve(operation["responses"][status]).get("content", {})
    if "application/json" not in content:
        return None
    schema = dict(content["application/json"]["schema"], components=document()["components"])
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def check(method, path, answer):
    """Raises AssertionError when a success is not as documented. Failures are told as text, which tests read."""
    path = path.split("?")[0]
    if "/exposed/" in path:
        return  # a service's own server answers
    if not path.startswith(("/system/", "/run/", "/job/", "/health", "/metrics")) or answer.status_code >= 300:
        return
    operation, status = find(method, path), str(answer.status_code)
    assert operation, f"openapi.yaml does not know {method} {path}"
    assert status in operation["responses"], f"openapi.yaml: {method} {path} does not answer {status}"
    schema = validator(operation["operationId"], status)
    is_json = answer.headers.get("Content-Type", "").startswith("application/json")
    assert is_json == (schema is not None) or not answer.content, f"openapi.yaml: {method} {path}: JSON or not?"
    if schema and len(answer.content) <= JSON_MAX:
        wrong = jsonschema.exceptions.best_match(schema.iter_errors(answer.json()))
        assert not wrong, f"openapi.yaml: {method} {path}: {wrong.json_path}: {wrong.message}"
