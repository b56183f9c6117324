#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every device class has its name, help, version and state table. Argument: the src folder."""
import pathlib
import re
import sys

CLASS = re.compile(r"struct\s+device_class\s+(\w+)(\[\])?\s*=\s*\{")


def body(text, start):
    """The braces' content from `start`, just after the opening one."""
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if not depth:
            return text[start:i]
    return text[start:]


def check(root):
    wrong, seen = [], {}
    for f in sorted(root.rglob("*.c")):
        text = re.sub(r"/\*.*?\*/", "", f.read_text(), flags=re.DOTALL)
        rel = f.relative_to(root).as_posix()
        for m in CLASS.finditer(text):
            inside = body(text, m.end())
            for field in ("name", "help", "size", "version", "state"):
                if not re.search(rf"\.{field}\s*=\s*(?!NULL\b|0\s*[,}}])\S", inside):
                    wrong.append(f"{rel}: device class {m[1]} has no .{field}")
            name = re.search(r'\.name\s*=\s*"([^"]+)"', inside)
            if name and seen.setdefault(name[1], rel) != rel:
                wrong.append(f"{rel}: device name \"{name[1]}\" is taken by {seen[name[1]]}")
    return wrong


if __name__ == "__main__":
    wrong = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "src"))
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(bool(wrong))
