# SPDX-License-Identifier: GPL-2.0-or-later
"""A host of its own for a test of the daemon: private network and mount namespaces, a root folder below
/tmp, the daemon in it, unmodified virsh as its client."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def enter():
    """Runs the script again inside private namespaces, once; what it leaves there goes with them."""
    if os.environ.get("LODGE_TEST_INSIDE") == "1":
        return
    os.environ["LODGE_TEST_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                          sys.executable, *sys.argv])


class Failed(Exception):
    pass


class Host:
    def __init__(self, build, session=False):
        self.build = pathlib.Path(build).resolve()
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="lodge-test-"))
        os.chmod(self.root, 0o755)
        self.socket = self.root / "sock"
        self.daemon = None
        self.checks = 0
        self.run("ip", "link", "set", "lo", "up")
        # Named network namespaces live in /run/netns: ours are not to be seen outside.
        self.run("mount", "-t", "tmpfs", "none", "/run")
        os.makedirs("/run/lock", exist_ok=True)

    # ---- programs

    def run(self, *argv, ok=True, timeout=30, input=None, netns=None):
        argv = [str(a) for a in argv]
        if netns:
            argv = ["ip", "netns", "exec", netns, *argv]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
                              input=input, stdin=None if input is not None else subprocess.DEVNULL)
        if ok is not None and (done.returncode == 0) != ok:
            raise Failed(f"{' '.join(argv)}: exit {done.returncode}, expected "
                         f"{'success' if ok else 'failure'}:\n{done.stdout}")
        return done.stdout

    def virsh(self, *argv, ok=True, timeout=30):
        env = ["env", "LC_ALL=C"]
        return self.run(*env, "virsh", "-q", "-c", f"qemu+unix:///system?socket={self.socket}", *argv, ok=ok,
                        timeout=timeout)

    def start(self):
        log = open(self.root / "log", "ab")
        self.daemon = subprocess.Popen(
            [self.build / "src/prog/lodged", "--root", self.root, "--socket", self.socket], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL)
        for _ in range(100):
            if self.socket.exists() and self.virsh_ready():
                return
            if self.daemon.poll() is not None:
                break
            time.sleep(0.1)
        raise Failed("lodged does not start: " + (self.root / "log").read_text()[-2000:])

    def virsh_ready(self):
        return subprocess.run(["virsh", "-c", f"qemu+unix:///system?socket={self.socket}", "version"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20).returncode == 0

    def kill(self):
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()
        self.socket.unlink(missing_ok=True)

    def restart(self):
        """As a crash, then a new daemon."""
        self.kill()
        self.start()

    def stop(self):
        self.daemon.terminate()
        if self.daemon.wait(timeout=20) != 0:
            raise Failed(f"lodged ended with {self.daemon.returncode}: " + (self.root / "log").read_text()[-2000:])

    # ---- checks

    def check(self, condition, what):
        self.checks += 1
        if not condition:
            raise Failed(what)

    def equal(self, a, b, what):
        self.check(a == b, f"{what}:\n--- got\n{a}\n--- expected\n{b}")

    def has(self, text, part, what):
        self.check(part in text, f"{what}: no '{part}' in:\n{text}")

    def lacks(self, text, part, what):
        self.check(part not in text, f"{what}: '{part}' in:\n{text}")

    def valid(self, xml, schema):
        path = self.root / "valid.xml"
        path.write_text(xml)
        self.checks += 1
        self.run("virt-xml-validate", path, schema)

    def until(self, condition, what, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                self.checks += 1
                return
            time.sleep(0.1)
        raise Failed(what)

    def file(self, name, text):
        path = self.root / name
        path.write_text(text)
        return path

    def clean(self):
        shutil.rmtree(self.root, ignore_errors=True)


def main(tests):
    """`tests`: functions of one Host, in order. First argument: the build folder."""
    enter()
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    only = sys.argv[2:]
    host = Host(build)
    failed = passed = 0
    try:
        host.start()
        for test in tests:
            if only and test.__name__ not in only:
                continue
            before, began = host.checks, time.monotonic()
            try:
                test(host)
                passed += 1
                print(f"PASSED {test.__name__} ({host.checks - before} checks, "
                      f"{time.monotonic() - began:.1f} s)", flush=True)
            except (Failed, subprocess.TimeoutExpired) as e:
                failed += 1
                print(f"FAILED {test.__name__}: {e}", flush=True)
        host.stop()
    except Failed as e:
        failed += 1
        print(f"FAILED {e}", flush=True)
    if failed:
        print((host.root / "log").read_text()[-3000:])
    host.clean()
    print(f"{passed} passed, {failed} failed, {host.checks} checks")
    sys.exit(1 if failed else 0)
