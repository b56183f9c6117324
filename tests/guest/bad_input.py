# SPDX-License-Identifier: GPL-2.0-or-later
"""What people get wrong: one clear line on stderr, the right exit status, nothing left behind."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

from guestlib.console import SCALE
from guestlib.machine import CACHE, free_port
from runner import Skip, test

USAGE, FILE, HOST = 2, 3, 4  # src/base/error.h
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def leftovers():
    """What a process may leave in places it has no business with."""
    return {str(p) for d in ("/dev/shm", "/run", "/tmp") if os.path.isdir(d)
            for p in pathlib.Path(d).iterdir() if "lodge-vm" in p.name}


def refused(env, args, status, pattern, wrapper=(), kernel=True):
    """lodge-vm with these arguments ends with `status` and one line that matches."""
    if env.backend.name != "lodge-vm":
        raise Skip("lodge-vm's own messages")
    if kernel:
        args = ["--kernel", CACHE / "vmlinuz", *args]
    if "--accel" not in args:
        args = ["--accel", env.accel, *args]
    before = leftovers()
    done = subprocess.run([*wrapper, str(env.binary), *map(str, args)], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=20 * SCALE)
    said = [line for line in done.stderr.splitlines() if line]
    call = " ".join(map(str, args))
    assert done.returncode == status, f"{call}: status {done.returncode}, not {status}: {said}"
    assert len(said) == 1, f"{call}: {len(said)} lines: {said}"
    assert re.search(pattern, said[0], re.IGNORECASE), f"{call}: {said[0]!r} does not say {pattern!r}"
    assert leftovers() == before, f"{call}: left {leftovers() - before}"
    return said[0]


def sparse(path, size):
    with open(path, "wb") as f:
        f.truncate(size)
    return path


@test("bad.kernel", timeout=60)
def kernel(env):
    missing, cut, empty = env.tmp / "absent", env.tmp / "cut", env.tmp / "empty"
    cut.write_bytes((CACHE / "vmlinuz").read_bytes()[:20000])
    empty.write_bytes(b"")
    text = env.tmp / "text"
    text.write_text("hello\n" * 1000)
    for path, pattern in ((missing, "No such file"), (cut, "truncated|short|ends"),
                          (empty, "empty|truncated|short|neither"), (env.tmp, "directory|regular|not a file"),
                          (text, "neither|not a kernel")):
        refused(env, ["--kernel", path], FILE, rf"{re.escape(str(path))}.*({pattern})|"
                rf"({pattern}).*{re.escape(str(path))}", kernel=False)


@test("bad.initrd", timeout=60)
def initrd(env):
    refused(env, ["--initrd", env.tmp / "absent"], FILE, "absent.*No such file")
    large = sparse(env.tmp / "large", 2 << 30)
    said = refused(env, ["--memory", "256M", "--initrd", large], FILE, "large")
    assert re.search(r"memory|fit", said), said


@test("bad.disk", timeout=60)
def disk(env):
    refused(env, ["--disk", f"path={env.tmp}/absent.img"], FILE, r"absent\.img.*no such")
    refused(env, ["--disk", f"path={env.tmp}"], FILE, "directory|regular|not a file")
    odd = env.tmp / "odd.img"
    odd.write_bytes(b"x" * 700)
    refused(env, ["--disk", f"path={odd},format=qcow9"], USAGE, "qcow9")


@test("bad.permission", timeout=60)
def permission(env):
    """Without root: an image one may only read, and a /dev/kvm one may not open."""
    if os.geteuid() != 0:
        raise Skip("needs root, to be somebody else")
    place = env.tmp / "open"
    place.mkdir(mode=0o755)
    env.tmp.chmod(0o755)
    binary, kernel_ = place / "lodge-vm", place / "vmlinuz"
    shutil.copy(env.binary, binary)
    shutil.copy(CACHE / "vmlinuz", kernel_)
    image = sparse(place / "ro.img", 1 << 20)
    image.chmod(0o444)
    saved, env.binary = env.binary, binary
    try:
        said = refused(env, ["--kernel", kernel_, "--disk", f"path={image}"], FILE,
                       r"ro\.img.*permission", wrapper=NOBODY, kernel=False)
        assert "readonly" in said or "chmod" in said or "permission" in said.lower(), said
        if os.path.exists("/dev/kvm") and os.stat("/dev/kvm").st_mode & 0o006 == 0:
            refused(env, ["--kernel", kernel_, "--accel", "kvm"], HOST,
                    r"/dev/kvm.*(Permission denied|permission)", wrapper=NOBODY, kernel=False)
    finally:
        env.binary = saved


@test("bad.no_kvm", timeout=60)
def no_kvm(env):
    """A host without /dev/kvm: --accel kvm says so, auto takes the translator and says why."""
    if os.geteuid() != 0:
        raise Skip("needs root, for a mount namespace without /dev/kvm")
    hide = ["unshare", "-m", "sh", "-c",
            "mount -t tmpfs t /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && "
            "mkdir /dev/shm && exec \"$@\"", "sh"]
    if subprocess.run([*hide, "true"], capture_output=True).returncode:
        raise Skip("this host allows no mount namespaces")
    refused(env, ["--accel", "kvm"], HOST, "/dev/kvm", wrapper=hide)
    done = subprocess.run([*hide, str(env.binary), "--kernel", str(env.tmp / "absent")],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == FILE, done.stderr


@test("bad.locked", timeout=120)
def locked(env):
    """An image that a running machine writes is refused to a second one, ours or QEMU."""
    image = sparse(env.tmp / "d.img", 1 << 20)
    holder = env.machine(disk=None, append="root=none", initrd=False,
                         extra=["--disk", f"path={image}", "--paused"])
    deadline = time.monotonic() + 20
    files = pathlib.Path(f"/proc/{holder.console.process.pid}/fd")
    while holder.console.process.poll() is None and \
            str(image) not in [os.path.realpath(f) for f in files.iterdir()]:
        assert time.monotonic() < deadline, holder.console.stderr
        time.sleep(0.1)
    assert holder.console.process.poll() is None, holder.console.stderr
    time.sleep(0.3)
    refused(env, ["--disk", f"path={image}"], FILE, r"d\.img.*(in use|lock)")
    refused(env, ["--disk", f"path={image},readonly=on"], FILE, r"d\.img.*(in use|lock)")
    if shutil.which("qemu-img"):
        done = subprocess.run(["qemu-img", "resize", "-f", "raw", str(image), "2M"],
                              capture_output=True, text=True)
        assert done.returncode and "lock" in done.stderr, done.stderr
    holder.kill()
    done = env.lodge_vm("--accel", env.accel, "--kernel", CACHE / "absent", "--disk", f"path={image}")
    assert "lock" not in done.stderr and "in use" not in done.stderr, done.stderr


@test("bad.options", timeout=120)
def options(env):
    for args, pattern in (
            (["--memry", "1G"], "--memry.*--memory"),
            (["--cpu-count", "2"], "--cpu-count"),
            (["--cpus"], "cpus.*(value|needs|missing)"),
            (["--cpus", "0"], "cpus.*0|0 vcpus"), (["--cpus", "two"], "cpus.*two"),
            (["--cpus", "300"], "255"), (["--memory", "12Q"], "memory.*12Q"),
            (["--memory", "-1"], "memory"), (["--memory", "99999999999999T"], "memory"),
            (["--disk", "path=x,readonyl=on"], "readonyl.*readonly"),
            (["--disk", "path=x,readonly=perhaps"], "readonly.*perhaps"),
            (["--net", "usr"], "usr.*user"), (["--net", "user,forward=tcp:1"], "forward"),
            (["--net", "user,forward=tcp:70000:22"], "70000|65535"),
            (["--net", "user,mac=zz:1"], "mac"), (["--serial", "stdioo"], "stdioo.*stdio"),
            (["--accel", "kvn"], "kvn.*kvm"), (["--cpu", "x86-64-v9"], "x86-64-v9.*x86-64-v"),
            (["extra"], "extra")):
        refused(env, args, USAGE, pattern)


@test("bad.host", timeout=120)
def host(env):
    """What the host has not: that much memory, a free port, a directory for the socket."""
    total = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
    size = min((total >> 20) * 8, 1000)
    if size << 20 > total:
        refused(env, ["--memory", f"{size}G"], HOST, "memory")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        refused(env, ["--net", f"user,forward=tcp:{port}:22"], HOST, rf"{port}.*in use")
    refused(env, ["--qmp", env.tmp / "absent/qmp"], HOST, "absent/qmp")
    refused(env, ["--hugepages", "--memory", "1G"], HOST, "huge ?page")


@test("bad.load", timeout=60)
def load(env):
    junk = env.tmp / "junk"
    junk.write_bytes(os.urandom(1 << 16))
    for path, status in ((env.tmp / "absent", FILE), (junk, 5)):
        refused(env, ["--load", path], status, path.name, kernel=False)


@test("bad.signals", timeout=180)
def signals(env):
    """SIGTERM and SIGKILL: what is left behind, and what the next start makes of it."""
    if env.backend.name != "lodge-vm":
        raise Skip("lodge-vm's own files")
    port = free_port()
    for sig, statuses in ((signal.SIGTERM, (0, 143)), (signal.SIGINT, (0, 130)),
                          (signal.SIGKILL, (-9,))):
        before = leftovers()
        path = env.tmp / "qmp"
        m = env.machine(disk=None, append="root=none", extra=[
            "--qmp", path, "--net", f"user,forward=tcp:{port}:22"])
        deadline = time.monotonic() + 30
        while not path.exists():  # a socket left by the SIGKILL before must not be in the way
            assert time.monotonic() < deadline and m.console.process.poll() is None, \
                m.console.stderr
            time.sleep(0.05)
        m.console.process.send_signal(sig)
        status = m.console.wait(20)
        assert status in statuses, f"{sig.name}: status {status}"
        assert leftovers() == before, leftovers() - before
        if sig != signal.SIGKILL:
            assert not path.exists(), f"{sig.name}: left its QMP socket"
