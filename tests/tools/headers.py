#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every header compiles alone, and twice in one file. Argument: the src folder."""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
         "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-sign-compare"]


def packages():
    out = subprocess.run(["pkg-config", "--cflags", "glib-2.0", "gio-2.0", "gio-unix-2.0",
                          "liburing", "slirp", "jansson", "libxml-2.0", "gnutls",
                          "libsoup-3.0", "nettle"], capture_output=True, text=True)
    return out.stdout.split()


def generate(root, out):
    """The headers that the build makes."""
    wire = root / "wire/libvirt"
    made = out / "wire/libvirt"
    if not wire.is_dir():
        return
    made.mkdir(parents=True)
    subprocess.run([sys.executable, wire / "codegen.py", wire / "protocol.txt",
                    made / "protocol.h", made / "protocol.c"], check=True)


def check(root):
    with tempfile.TemporaryDirectory() as out:
        generate(root, pathlib.Path(out))
        return compile_all(root, out)


def compile_all(root, generated):
    flags = ["gcc", *FLAGS, f"-I{root}", f"-I{generated}", *packages(), "-x", "c", "-"]

    def one(path):
        name = path.relative_to(root).as_posix()
        done = subprocess.run(flags, input=f'#include "{name}"\n' * 2, capture_output=True,
                              text=True)
        return f"{name} does not compile alone:\n{done.stderr[:600]}" if done.returncode else None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [e for e in pool.map(one, sorted(root.rglob("*.h"))) if e]


if __name__ == "__main__":
    wrong = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "src"))
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(bool(wrong))
