"""No statement of the daemon goes through a whole table that grows with its work, but those that are meant to.

A parameter does not tell the planner that a partial index holds the row: such a query works, and takes a second once
there are ten million rows. The statements are read from the sources, their plans asked of the daemon's own database.
"""
import pathlib
import re
import sqlite3

from conftest import ROOT

GROWING = ("jobs", "events", "payloads", "attempts", "job_logs", "objects", "contents", "segments", "files", "bodies",
           "input_group_members", "notify_events")
MEANT = {
    "service/remove.c": "a service is deleted",
    "store/blocks.c": "damage is told",
    "store/check.c": "oscar check reads everything",
    "store/store.c": "files that are known to be bad, by their own index",
}
TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|\b([A-Z][A-Z0-9_]{3,})\b')
STATEMENT = re.compile(r'(?:\b[A-Z][A-Z0-9_]{3,}\s+)?"(?:SELECT|UPDATE|DELETE|INSERT|WHERE|WITH)(?:[^"\\]|\\.)*"'
                       r'(?:\s*(?:"(?:[^"\\]|\\.)*"|\b[A-Z][A-Z0-9_]{3,}\b))*')
DEFINITION = re.compile(r'#define (\w+)\s*\\?\n?((?:\s*"(?:[^"\\]|\\.)*"(?:\s*\\\n)?)+)')


def sources():
    return {p: p.read_text() for p in (ROOT / "src").rglob("*.c")} | {p: p.read_text() for p in (ROOT / "src").rglob("*.h")}


def statements():
    files, words = sources(), {}
    for text in files.values():
        for name, body in DEFINITION.findall(text):
            words[name] = "".join(m.group(1) for m in TOKEN.finditer(body) if m.group(1) is not None)
    for path, text in files.items():
        for found in STATEMENT.finditer(text):
            yield path, "".join(m.group(1) if m.group(1) is not None else words.get(m.group(2), "")
                                for m in TOKEN.finditer(found.group(0)))


def scans(db, sql):
    parameters = [int(n) for n in re.findall(r"\?(\d+)", sql)]
    try:
        plan = [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql, [1] * max(parameters, default=0))]
    except sqlite3.Error:
        return None  # a part of one, or of another database
    names = {alias: table for table, alias in re.findall(r"\b(?:FROM|JOIN|,)\s*(\w+) (?:AS )?(\w)\b", sql)}
    return [step for step in plan if step.startswith("SCAN ") and
            names.get(step.split()[1], step.split()[1]) in GROWING]


def test_no_statement_goes_through_a_table_that_grows(daemon):
    db = sqlite3.connect(pathlib.Path(daemon.data) / "oscar.db")
    known, wrong, meant = 0, [], set()
    for path, sql in statements():
        found = scans(db, sql)
        known += found is not None
        name = str(path.relative_to(ROOT / "src"))
        if found and name in MEANT:
            meant.add(name)
        elif found:
            wrong.append(f"{name}: {found[0]}: {sql[:160]}")
    assert known > 300, "the sources are read wrongly"
    assert not wrong, "\n".join(wrong)
    assert meant == set(MEANT), "an exception that nothing needs"


def test_it_would_see_one(daemon):
    db = sqlite3.connect(pathlib.Path(daemon.data) / "oscar.db")
    assert scans(db, "SELECT id FROM events WHERE version=?1 AND service=?2 AND trigger=?3")
    assert not scans(db, "SELECT id FROM events WHERE version=?1 AND version<>0 AND service=?2 AND trigger=?3")
    assert scans(db, "SELECT j.id FROM jobs j WHERE j.reason=?1")
