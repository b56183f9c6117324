# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the image tests: functions with @test in the modules named here."""
import importlib
import pathlib
import sys
import tempfile
import time
import traceback

sys.path.append(str(pathlib.Path(__file__).resolve().parent))  # behind the guest tests' own runner

import imagelib  # noqa: E402

MODULES = ["matrix", "chains", "command", "network", "encrypted", "imported"]


def names():
    for m in MODULES:
        importlib.import_module(m)
    return list(imagelib.TESTS)


def run(wanted, build, full, report):
    """report(name, state, seconds, detail)"""
    for name in wanted:
        start = time.monotonic()
        if not imagelib.peers():
            report(name, "skip", 0, "no qemu-img to compare with: apt-get install qemu-utils")
            continue
        with tempfile.TemporaryDirectory(prefix="lodge-image-", dir="/var/tmp") as tmp:
            try:
                imagelib.TESTS[name](imagelib.Env(build, tmp, full))
                report(name, "ok", time.monotonic() - start, "")
            except imagelib.Failure as e:
                report(name, "FAIL", time.monotonic() - start, str(e))
            except Exception:  # a broken test is a failed one
                report(name, "FAIL", time.monotonic() - start, traceback.format_exc())


if __name__ == "__main__":
    every = names()
    which = [n for n in every if not sys.argv[2:] or any(a in n for a in sys.argv[2:])]
    failed = []

    def show(name, state, seconds, detail):
        print(f"{state:5}image.{name} ({seconds:.1f} s){': ' + detail if detail else ''}", flush=True)
        if state == "FAIL":
            failed.append(name)

    run(which, pathlib.Path(sys.argv[1]), False, show)
    sys.exit(bool(failed))
