#!/usr/bin/env python3
"""Checks every #include "module/…" below src/ against modules.txt, and that no folders form a circle."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
allowed = {}
for line in (root / "tests/lint/modules.txt").read_text().splitlines():
    line = line.split("#")[0].strip()
    if line:
        name, rest = line.split(":")
        allowed[name] = set(rest.split()) - {"-"}

bad, edges = [], {}
for path in sorted((root / "src").rglob("*.[ch]")):
    module = path.relative_to(root / "src").parts[0]
    if module not in allowed:
        bad.append(f"{path.relative_to(root)}: module {module} is not in modules.txt")
        continue
    for n, line in enumerate(path.read_text().splitlines(), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m:
            continue
        target = m.group(1).split("/")[0]
        where = f"{path.relative_to(root)}:{n}"
        if not (root / "src" / m.group(1)).exists():
            bad.append(f'{where}: "{m.group(1)}" is not a path below src/')
        elif target not in (module, "base") and "*" not in allowed[module] and target not in allowed[module]:
            bad.append(f"{where}: {module} may not include {target}")
        else:
            edges.setdefault(module, set()).add(target)

state = {}


def visit(module, trail):
    if state.get(module) == "done":
        return
    if module in trail:
        bad.append("circle: " + " -> ".join(trail[trail.index(module):] + [module]))
        return
    for target in sorted(edges.get(module, set()) - {module}):
        visit(target, trail + [module])
    state[module] = "done"


for module in sorted(edges):
    visit(module, [])
print("\n".join(bad) if bad else f"module directions hold: {len(edges)} modules")
sys.exit(bool(bad))
