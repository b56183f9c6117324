#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuse an #include that points up or sideways, or an include cycle. Argument: the src folder.

The table below is the rule; ARCHITECTURE.md explains it.
"""
import pathlib
import re
import sys

LOW = "base cpu core image char net"
MAY = {  # folder -> folders it may include (itself is implied)
    "base": "",
    "wire": "base", "cpu": "base", "image": "base", "char": "base", "net": "base",
    "core": "base cpu",
    "accel": "base cpu core",
    "device": LOW,
    "board": "base cpu core device accel image",
    "vm": LOW + " accel device board",
    "monitor": "base wire core vm",
    "manager": "base wire image",
    "cli": "base wire image",
    "prog": LOW + " wire accel device board vm monitor manager cli",
}
EXACT = {  # folder -> folder -> the only headers it may see there
    "device": {"image": {"image/image.h"}, "char": {"char/char.h"}, "net": {"net/net.h"}},
    "board": {"accel": {"accel/accel.h"}, "image": {"image/image.h"}},
    "vm": {"accel": {"accel/accel.h"}},
}
GENERATED = {"wire/libvirt/protocol.h"}  # made by the build
INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')


def includes(root):
    """{file: [(line, included path)]} of all C files, paths relative to root."""
    graph = {}
    for f in sorted([*root.rglob("*.[ch]"), *root.rglob("*.def"), *root.rglob("*.inc")]):
        found = graph.setdefault(f.relative_to(root).as_posix(), [])
        for n, line in enumerate(f.read_text().splitlines(), 1):
            m = INCLUDE.match(line)
            if m:
                found.append((n, m[1]))
    return graph


def forbidden(graph, root):
    """Includes that the tables do not allow, as lines for people."""
    bad = []
    for f, list_ in graph.items():
        top = f.split("/")[0]
        for n, inc in list_:
            to = inc.split("/")[0]
            if top not in MAY:
                bad.append(f"{f}:{n}: {top}/ is in no layer: add it to tests/tools/layers.py")
            elif inc not in GENERATED and not (root / inc).is_file():
                bad.append(f"{f}:{n}: \"{inc}\" is no path from src/")
            elif to != top and to not in MAY[top].split():
                bad.append(f"{f}:{n}: {top}/ may not include {inc}")
            elif inc not in EXACT.get(top, {}).get(to, {inc}):
                bad.append(f"{f}:{n}: of {to}/, {top}/ may not include {inc}")
    return bad


def cycles(graph):
    bad, done, path = [], set(), []

    def walk(f):
        if f in path:
            bad.append("cycle: " + " -> ".join(path[path.index(f):] + [f]))
        elif f not in done:
            path.append(f)
            for _, g in graph.get(f, []):
                walk(g)
            path.pop()
            done.add(f)

    for f in graph:
        walk(f)
    return bad


def check(root):
    graph = includes(root)
    return forbidden(graph, root) + cycles(graph)


if __name__ == "__main__":
    wrong = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "src"))
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(bool(wrong))
