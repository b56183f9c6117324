# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest tests' registry and runner. A test is a function with @test; it gets an Env."""
import contextlib
import fnmatch
import importlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from guestlib import machine as machines  # noqa: E402
from guestlib.console import Gone, SCALE  # noqa: E402

MODULES = ["boot", "terminal", "shell", "disk", "monitor", "hotplug", "saved", "bad_input", "tiny", "nested"]
TESTS = {}


class Skip(Exception):
    """This host cannot run the test; says why."""


class Env:
    """What a test may use: scratch space, machines, the length asked for."""

    def __init__(self, build, full):
        self.build, self.full = build, full
        self.binary = pathlib.Path(os.environ.get("LODGE_VM", build / "src/prog/lodge-vm"))
        # The same tests under QEMU show whether a test itself is right.
        self.backend = machines.BACKENDS[os.environ.get("LODGE_TEST_BACKEND", "lodge")]
        self.accel = os.environ.get("LODGE_TEST_ACCEL", "jit")
        self.stack = contextlib.ExitStack()  # of the running test
        self.shared = {}  # machines kept between tests
        self.shared_stack = contextlib.ExitStack()
        self.tmp = None
        self.test = None
        self.logs = build / "guest-logs"

    def begin(self, name):
        self.test = name
        self.stack = contextlib.ExitStack()
        self.tmp = pathlib.Path(self.stack.enter_context(machines.scratch()))
        self.logs.mkdir(exist_ok=True)
        (self.logs / f"{name}.log").unlink(missing_ok=True)

    def log(self):
        return self.logs / f"{self.test}.log"

    def disk(self, image="debian", directory=None):
        return machines.disk_copy(machines.CACHE / f"{image}.img",
                                  (directory or self.tmp) / f"{image}.img")

    def machine(self, **kw):
        """A started machine that ends with the test. Without `disk`, on a copy of debian.img."""
        kw.setdefault("log", self.log())
        kw.setdefault("accel", self.accel)
        if "disk" not in kw:
            kw["disk"] = self.disk()
        m = self.backend(self.tmp, binary=self.binary if self.backend.name == "lodge-vm" else None,
                         **kw)
        self.stack.callback(m.kill)
        return m.start()

    def lodge_vm(self, *args, timeout=20, **kw):
        """Runs lodge-vm to its end without a terminal."""
        return subprocess.run([str(self.binary), *map(str, args)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout * SCALE, errors="replace",
                              **kw)

    def workbench(self, cpus=2):
        """The machine most shell tests share: the full image, logged in, with a forwarded port."""
        m = self.shared.get(cpus)
        if m and m.console.process.poll() is None:
            return m
        directory = pathlib.Path(self.shared_stack.enter_context(machines.scratch()))
        m = self.backend(directory, cpus=cpus, memory="2G", ssh=True, accel=self.accel,
                         binary=self.binary if self.backend.name == "lodge-vm" else None,
                         log=self.logs / f"workbench-{cpus}.log",
                         disk=self.disk("debian-full", directory))
        self.shared_stack.callback(m.kill)
        m.start()
        self.shared[cpus] = m
        m.boot(240)
        m.login(120)
        return m

    def end(self, ok):
        self.stack.close()
        if not ok:  # whatever state the shared machines are in now, no test shall inherit it
            self.close_shared()

    def close_shared(self):
        self.shared_stack.close()
        self.shared_stack = contextlib.ExitStack()
        self.shared = {}


def test(name, timeout=300, full_timeout=None):
    """Registers a test; timeout in seconds, in its short and its long form."""
    def register(function):
        TESTS[name] = (function, timeout, full_timeout or timeout)
        return function
    return register


def names():
    for m in MODULES:
        if (HERE / f"{m}.py").exists():
            importlib.import_module(m)
    return list(TESTS)


def host_prepare(chosen):
    """The guest images the chosen tests need."""
    small = [t for t in chosen if not fnmatch.fnmatch(t, "shell.*")]
    for needed, args in ((small, []), (True, ["--full"])):
        if needed:
            subprocess.run([str(HERE.parent.parent / "tools/guest-image"), *args], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


class Timeout(BaseException):
    """Not an Exception: no test shall swallow it."""


def on_alarm(*_):
    raise Timeout


def attempt(env, name):
    """Runs a test once: its state, what there is to say, seconds."""
    function, short, long = TESTS[name]
    limit = (long if env.full else short) * SCALE
    start = time.monotonic()
    state, detail = "ok", ""
    env.begin(name)
    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        detail = function(env) or ""
    except Skip as e:
        state, detail = "skip", str(e)
    except Timeout:
        state, detail = "FAIL", f"not done after {limit:.0f} s; see {env.log()}"
    except (AssertionError, Gone) as e:
        where = traceback.extract_tb(e.__traceback__)
        line = next((f.lineno for f in reversed(where) if not f.filename.endswith(
            ("console.py", "machine.py"))), 0)
        state, detail = "FAIL", f"line {line}: {e}\n  log: {env.log()}"
    except Exception:  # a broken test fails, and the others go on
        state, detail = "FAIL", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.monotonic() - start
    env.end(state != "FAIL")
    return state, detail, seconds


def run_one(env, name, result):
    state, detail, seconds = attempt(env, name)
    if state == "FAIL" and os.environ.get("CI"):
        # A shared CI machine can stand still for seconds under a whole guest. What fails there is tried
        # once more, and both outcomes are told: a real fault fails twice.
        print(f"     guest.{name}: failed, trying again: {detail}", flush=True)
        first = detail.splitlines()[0] if detail else ""
        state, detail, again = attempt(env, name)
        seconds += again
        if state == "ok":
            detail = f"on the second try; the first: {first}"
    result(name, state, seconds, detail)


def run(chosen, build, full, result):
    # `runner` and `__main__.runner` must be one module for the registry to be one.
    env = Env(build, full)
    try:
        host_prepare(chosen)
    except subprocess.CalledProcessError:
        result("image", "FAIL", 0, "tools/guest-image failed, see above")
        return
    try:
        for name in chosen:
            run_one(env, name, result)
    finally:
        env.close_shared()
