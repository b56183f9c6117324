# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks share: the two sides, paired runs, medians, the report.

The two sides run alternately in one go, so that whatever else the host does hits both; a row's
value is the median of its rounds and its ratio that of the rounds' own ratios (peer / ours: above
1 is in our favour).
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/guest"))

from guestlib.machine import LodgeVM, Qemu, scratch  # noqa: E402,F401

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "lodge"


def arguments(doc, rounds, **more):
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print only the result, as JSON")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    parser.add_argument("--binary", default=os.environ.get("LODGE_VM"),
                        help="the lodge-vm to measure (default: build-release, built now)")
    for name, kw in more.items():
        parser.add_argument("--" + name, **kw)
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    return args


def quietly(cmd):
    done = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{cmd[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def lodge_vm(args):
    """The binary to measure, built if it was not given."""
    if args.binary:
        return os.path.abspath(args.binary)
    build = ROOT / "build-release"
    if not (build / "build.ninja").exists():
        quietly(["meson", "setup", str(build), str(ROOT), "--buildtype=release", "-Dtests=false"])
    quietly(["ninja", "-C", str(build), "src/prog/lodge-vm"])
    return str(build / "src/prog/lodge-vm")


class Peer:
    """The newest QEMU to be had."""

    def __init__(self):
        found = json.loads(quietly([str(ROOT / "tools/newest-qemu")]))
        self.argv, self.env = found["argv"], {**os.environ, **found["env"]}
        self.name = f"qemu {found['version']}"


def guest(full=False):
    """Makes sure that the default guest (full: the one with compilers and tools) is there; returns its folder."""
    subprocess.run([str(ROOT / "tools/guest-image"), *(["--full"] if full else [])], stdin=subprocess.DEVNULL, check=True,
                   stdout=subprocess.DEVNULL)
    return CACHE


class Report:
    """Rows of paired measurements."""

    def __init__(self, args, peer):
        self.args, self.peer, self.rows = args, peer, {}
        self.ours = "lodge-vm"
        self.table = None  # set by benches that add rows of their own to result()

    def progress(self, text):
        if not self.args.json:
            print(text, file=sys.stderr, flush=True)

    def paired(self, measure_ours, measure_peer):
        """Runs both `rounds` times, alternating who goes first. Each returns {row: value}."""
        for i in range(self.args.rounds):
            order = [("ours", measure_ours), ("peer", measure_peer)]
            got = {side: measure() for side, measure in (order if i % 2 == 0 else order[::-1])}
            for row in got["ours"]:
                self.rows.setdefault(row, []).append((got["ours"][row], got["peer"][row]))
            self.progress(f"round {i + 1}: " + "  ".join(
                f"{row} {got['ours'][row]:.4g} / {got['peer'][row]:.4g}" for row in got["ours"]))

    def result(self):
        rows = []
        for row, pairs in self.rows.items():
            rows.append({"row": row,
                         "ours": round(statistics.median(o for o, _ in pairs), 6),
                         "peer": round(statistics.median(p for _, p in pairs), 6),
                         "ratio": round(statistics.median(p / o for o, p in pairs), 4)})
        return rows

    def finish(self, units):
        rows = self.table or self.result()
        if self.args.json:
            print(json.dumps({"rows": rows}))
            return
        width = max(len(r["row"]) + len(units.get(r["row"], "")) + 3 for r in rows)
        native = any("native" in r for r in rows)
        print(f"{'':{width}}{self.ours:>12}{self.peer.name:>14}{'ratio':>9}" + (f"{'native':>11}" if native else ""))
        for r in rows:
            label = r["row"] + (f" ({units[r['row']]})" if r["row"] in units else "")
            print(f"{label:{width}}{r['ours']:>12.4g}{r['peer']:>14.4g}{r['ratio']:>9.3f}" +
                  (f"{r['native']:>11.4g}" if "native" in r else ""))
