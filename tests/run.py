#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Build Lodge and run its tests; the last line is `N passed, N failed, N skipped`.

  ./test             everything, guest tests in their short form
  ./test --full      everything, guest tests in their long form (hours)
  ./test tree        only the checks of the source tree
  ./test unit        only the unit tests (ASan and UBSan, clang)
  ./test isa         only the translator against the host CPU (optimized build, gcc)
  ./test fuzz        only the fuzzers, for a short while each (libFuzzer, ASan and UBSan, clang)
  ./test image       only disk images against every qemu-img to be had (optimized build, gcc)
  ./test manager     only the daemon under unmodified clients (optimized build, gcc; root)
  ./test guest       only the guest tests (optimized build, gcc)
  ./test NAME...     only tests whose name matches: a whole name or a pattern (`boot.*`)
  ./test --list      names of the tests
"""
import argparse
import fnmatch
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests/tools"), str(ROOT / "tests/guest"), str(ROOT / "tests")]
ASAN = ROOT / "build-asan"
RELEASE = ROOT / "build-release"
FUZZ = ROOT / "build-fuzz"
# Each fuzzer's bounds; the short form is bounded by inputs, so that the same tree gives the same answer.
FUZZ_SECONDS = {False: 60, True: 600}
FUZZ_RUNS = {False: 10000, True: -1}


class Results:
    """Counts, and tells each result as it comes."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, name, state, seconds, detail="", cases=1):
        took = f" ({seconds:.1f} s)" if seconds >= 0.05 else ""
        many = f" [{cases}]" if cases != 1 else ""
        print(f"{state:5}{name}{many}{took}{': ' + detail if detail else ''}", flush=True)
        if state == "ok":
            self.passed += cases
        elif state == "skip":
            self.skipped += cases
        else:
            self.failed += cases
            self.failures.append(name)


def build(where, compiler, options, targets=()):
    """Configure (once) and build; the compiler's output is shown only when it fails."""
    print(f"building {where.name} ({compiler})", flush=True)
    cores = str(os.cpu_count() or 2)
    if (where / "build.ninja").exists():
        setup = ["meson", "configure", str(where), *options]
    else:
        setup = ["meson", "setup", str(where), str(ROOT), *options]
    env = dict(os.environ, CC=compiler)
    for cmd in (setup, ["ninja", "-C", str(where), "-j", cores, *targets]):
        done = subprocess.run(cmd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
        if done.returncode:
            print(done.stdout[-8000:])
            return False
    return True


def build_asan():
    return build(ASAN, "clang", ["-Doptimization=1", "-Db_sanitize=address,undefined",
                                 "-Db_lundef=false", "-Dwerror=true", "-Dtests=true"])


def build_release():
    return build(RELEASE, "gcc", ["--buildtype=release", "-Dwerror=true", "-Dtests=true"],
                 ["src/prog/lodge-vm", "src/prog/lodge", "src/prog/lodged", "src/prog/virt-ssh-helper",
                  "tests/isa/isa_diff"])


# ---- tree

def tree_tests():
    import devices
    import files
    import headers
    import layers

    def selftest():
        done = subprocess.run([sys.executable, str(ROOT / "tests/tools/selftest.py")],
                              capture_output=True, text=True)
        return [done.stderr] if done.returncode else []

    return {
        "tree.selftest": selftest,
        "tree.layers": lambda: layers.check(ROOT / "src"),
        "tree.headers": lambda: headers.check(ROOT / "src"),
        "tree.files": lambda: files.check(ROOT),
        "tree.devices": lambda: devices.check(ROOT / "src"),
    }


def run_tree(wanted, results):
    for name, check in tree_tests().items():
        if wanted(name):
            start = time.monotonic()
            wrong = check()
            results.add(name, "FAIL" if wrong else "ok", time.monotonic() - start,
                        "\n  " + "\n  ".join(wrong) if wrong else "")


# ---- unit, isa

def meson_names(where):
    """{test name: suite} as the configured build has them; empty if there is none."""
    text = subprocess.run(["meson", "test", "-C", str(where), "--list", "--no-rebuild"],
                          capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        if line.strip():
            suite, _, name = line.rpartition(" / ")
            found[name.strip()] = suite.split(":")[-1].strip()
    return found


def cases(output, word):
    """Sum of cmocka's own counts, e.g. `[  PASSED  ] 12 test(s).`"""
    return sum(int(n) for n in re.findall(rf"\[  {word} *\] (\d+) test", output))


def run_meson(where, names, prefix, results):
    """Runs meson tests; each case counts, named after its program."""
    log = where / "meson-logs/testlog.json"
    log.unlink(missing_ok=True)
    env = dict(os.environ, UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1",
               ASAN_OPTIONS="detect_stack_use_after_return=1:strict_string_checks=1")
    run = subprocess.run(["meson", "test", "-C", str(where), "--no-rebuild", "--quiet", *names],
                         env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, errors="replace")
    lines = log.read_text().splitlines() if log.exists() else []
    if len(lines) < len(names):
        results.add(prefix + "run", "FAIL", 0, run.stdout[-2000:])
    for line in lines:
        t = json.loads(line)
        name = prefix + t["name"].split(" / ")[-1].strip()
        output = (t.get("stdout") or "") + (t.get("stderr") or "")
        good, bad, skip = (cases(output, w) for w in ("PASSED", "FAILED", "SKIPPED"))
        if t["result"] == "SKIP":
            results.add(name, "skip", t["duration"])
        elif t["result"] in ("OK", "EXPECTEDFAIL"):
            said = re.findall(r"^\d+ (?:cases|of \d+ encodings).*", output, re.M)  # isa_diff's own
            results.add(name, "ok", t["duration"], "; ".join(said),
                        cases=max(good, 0 if skip else 1))
            if skip:
                results.add(name, "skip", 0, cases=skip)
        else:
            results.add(name, "FAIL", t["duration"], f"{t['result']}\n{output[-4000:]}",
                        cases=max(bad, 1))


def run_unit(wanted, results):
    if not build_asan():
        results.add("unit.build", "FAIL", 0, "the sanitizer build does not compile")
        return
    every = [n for n, suite in meson_names(ASAN).items() if suite != "isa"]
    if not every:
        results.add("unit.list", "FAIL", 0, "meson lists no tests")
    names = [n for n in every if wanted("unit." + n)]
    if names:
        run_meson(ASAN, names, "unit.", results)


def run_isa(wanted, results):
    """Instruction by instruction against the host CPU: on the optimized build, since sanitizers
    use the vector registers and the addresses that the code under test has for itself."""
    if not build_release():
        results.add("isa.build", "FAIL", 0, "the release build does not compile")
        return
    names = [n for n, suite in meson_names(RELEASE).items() if suite == "isa" and wanted("isa." + n)]
    if names:
        run_meson(RELEASE, names, "isa.", results)


# ---- fuzz

def fuzz_names():
    return sorted(f.stem.removeprefix("fuzz_") for f in (ROOT / "tests/fuzz").glob("fuzz_*.c"))


def run_fuzz(wanted, results, full):
    """Each fuzzer from an empty corpus, with a fixed seed: whatever it finds is a failure."""
    names = [n for n in fuzz_names() if wanted("fuzz." + n)]
    if names and not build(FUZZ, "clang", [
            "-Doptimization=1", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dfuzz=true",
            "-Dtests=true", "-Dc_args=-fsanitize=fuzzer-no-link"],
            [f"tests/fuzz/fuzz_{n}" for n in names]):
        results.add("fuzz.build", "FAIL", 0, "the fuzzers do not compile")
        return
    for name in names:
        start = time.monotonic()
        run = subprocess.run([str(FUZZ / f"tests/fuzz/fuzz_{name}"), "-seed=1", "-timeout=60",
                              f"-max_total_time={FUZZ_SECONDS[full]}", f"-runs={FUZZ_RUNS[full]}",
                              "-print_final_stats=1"],
                             cwd=FUZZ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace")
        done = re.search(r"number_of_executed_units: (\d+)", run.stdout)
        good = run.returncode == 0 and done and int(done[1]) > 100
        results.add("fuzz." + name, "ok" if good else "FAIL", time.monotonic() - start,
                    f"{done[1]} inputs" if good else run.stdout[-3000:])


# ---- image

def image_runner():
    import image.runner
    return image.runner


def run_image(wanted, results, full):
    names = [n for n in image_runner().names() if wanted("image." + n)]
    if not names:
        return
    if not build_release():
        results.add("image.build", "FAIL", 0, "the release build does not compile")
        return
    image_runner().run(names, RELEASE, full, lambda name, *rest: results.add("image." + name, *rest))


# ---- manager

def manager_names():
    return sorted(f.stem for f in (ROOT / "tests/manager").glob("*.py") if f.stem != "hostlib")


def run_manager(wanted, results, full):
    """The daemon under unmodified clients, each script in namespaces of its own; that takes root."""
    names = [n for n in manager_names() if wanted("manager." + n)]
    if names and not build_release():
        results.add("manager.build", "FAIL", 0, "the release build does not compile")
        return
    for name in names:
        start = time.monotonic()
        if os.geteuid():
            results.add("manager." + name, "skip", 0, "needs root")
            continue
        # The system's own interpreter: Debian's bindings of libvirt are for it.
        run = subprocess.run(["/usr/bin/python3", str(ROOT / f"tests/manager/{name}.py"), str(RELEASE)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace", env={**os.environ, **({"LODGE_TEST_FULL": "1"} if full else {})})
        said = re.search(r"^(\d+) passed, (\d+) failed", run.stdout, re.M)
        took = time.monotonic() - start
        if said and int(said[1]):
            results.add("manager." + name, "ok", took, cases=int(said[1]))
        if not said or int(said[2]) or run.returncode:
            failures = "\n".join(l for l in run.stdout.splitlines() if not l.startswith("PASSED"))
            results.add("manager." + name, "FAIL", took, failures[-4000:], cases=max(int(said[2]) if said else 1, 1))


# ---- guest

def run_guest(wanted, results, full):
    import runner
    names = [n for n in runner.names() if wanted("guest." + n)]
    if not names:
        return
    if not build_release():
        results.add("guest.build", "FAIL", 0, "the release build does not compile")
        return
    runner.run(names, RELEASE, full, lambda name, *rest: results.add("guest." + name, *rest))


def main():
    parser = argparse.ArgumentParser(prog="./test", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()

    def wanted(name):
        group, rest = name.split(".", 1)
        return not args.names or any(
            fnmatch.fnmatch(n, p) for n in (name, group, rest) for p in args.names)

    if args.list:
        import runner
        built = {**meson_names(RELEASE), **meson_names(ASAN)}
        for name in [*tree_tests(), *(("isa." if suite == "isa" else "unit.") + n
                                      for n, suite in built.items()),
                     *("fuzz." + n for n in fuzz_names()),
                     *("image." + n for n in image_runner().names()),
                     *("manager." + n for n in manager_names()),
                     *("guest." + n for n in runner.names())]:
            print(name)
        return 0
    results = Results()
    start = time.monotonic()
    run_tree(wanted, results)
    # A name that is plainly of other groups needs no build of this one.
    for group, run in (("unit", run_unit), ("isa", run_isa)):
        others = tuple({"tree", "unit", "isa", "fuzz", "image", "manager", "guest"} - {group})
        if not args.names or any(not p.startswith(others) for p in args.names):
            run(wanted, results)
    run_fuzz(wanted, results, args.full)
    run_image(wanted, results, args.full)
    run_manager(wanted, results, args.full)
    run_guest(wanted, results, args.full)
    total = results.passed + results.failed + results.skipped
    if args.names and not total:
        print(f"no test is called {' '.join(args.names)}; ./test --list names them")
        results.failed += 1
    if results.failures:
        print("failed: " + " ".join(results.failures))
    print(f"took {time.monotonic() - start:.0f} s")
    print(f"{results.passed} passed, {results.failed} failed, {results.skipped} skipped")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
