#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every file names its licence and says what it is, and is built. Argument: the project's root."""
import pathlib
import re
import sys

SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"
KINDS = {".c", ".h", ".py", ".sh", ".build", ".S", ".asm", ".def", ".inc", ".yml"}


def sources(root):
    """All files that are written by hand and are programs: by name, or by their #! line."""
    for f in sorted(root.rglob("*")):
        rel = f.relative_to(root)
        if not f.is_file() or f.is_symlink() or rel.parts[0].startswith(("build", ".git", ".cache")):
            continue
        if f.suffix in KINDS or (not f.suffix and f.open("rb").read(2) == b"#!"):
            yield f, rel


def check_head(f, rel):
    head = f.read_text(errors="replace").splitlines()[:6]
    if not any(SPDX in line for line in head[:3]):
        return f"{rel}: no \"{SPDX}\" at its top"
    if rel.parts[0] == "src" and f.suffix in (".c", ".h"):
        if head[0] != f"/* {SPDX} */":
            return f"{rel}: the first line is not exactly the SPDX comment"
        if not any(re.search(rf"\b{re.escape(f.name)}: \S", line) for line in head[1:4]):
            return f"{rel}: the comment after the SPDX line does not say what {f.name} is for"
    return None


def unbuilt(root):
    """C files of src/ that no meson.build names."""
    listed = "\n".join(m.read_text() for m in (root / "src").rglob("meson.build"))
    names = set(re.findall(r"[\w./-]+\.[cS]\b", listed))
    tails = {n.rsplit("/", 1)[-1] for n in names}
    return [f"{f.relative_to(root)}: no meson.build lists it" for f in sorted((root / "src").rglob("*.c"))
            if f.name not in tails]


def check(root):
    wrong = [e for e in (check_head(f, rel) for f, rel in sources(root)) if e]
    return wrong + (unbuilt(root) if (root / "src").is_dir() else [])


if __name__ == "__main__":
    wrong = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(bool(wrong))
