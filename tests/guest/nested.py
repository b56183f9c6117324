# SPDX-License-Identifier: GPL-2.0-or-later
"""True KVM on a host without VT-x or SVM: QEMU's translator offers SVM with nested paging, a stock
Debian kernel there loads kvm-amd, and lodge-vm --accel kvm runs inside. `tests/guest/nested` drops
you into that host; /mnt/run starts the inner guest, /mnt/tiny NAME a tiny one.
"""
import pathlib
import re
import shutil
import subprocess

from boot import complaints
from guestlib.machine import CACHE, Qemu, disk_copy
from runner import Skip, test
from tiny import assemble

RUN = """#!/bin/sh
# Arguments: more options of lodge-vm, e.g. --cpus 2
export LD_LIBRARY_PATH=/mnt/lib
exec /mnt/lodge-vm --accel kvm --memory 512M --kernel /mnt/vmlinuz --initrd /mnt/initrd.img \\
    --append "$(cat /mnt/cmdline) ${APPEND-init=/bin/bash}" \\
    --disk path=/dev/vdc,format=raw --net user ${SERIAL---serial stdio} "$@"
"""
TINY = """#!/bin/sh
export LD_LIBRARY_PATH=/mnt/lib
exec /mnt/lodge-vm --accel kvm --memory 64M --kernel /mnt/$1.bin,format=raw \\
    --debug-console stdio --debug-exit
"""
# QEMU's SVM lets a guest's xsetbv through to nobody: KVM below a guest does not learn of it.
TCG_SVM = re.compile(r"arch/x86/kernel/fpu/xstate|Call Trace")
MODES = ("real", "protected", "long")  # no limits: TCG, at the bottom, checks none


def luggage(env):
    """An ext4 image with lodge-vm, its libraries, the inner kernel and scripts."""
    root = env.tmp / "luggage"
    (root / "lib").mkdir(parents=True)
    shutil.copy(env.binary, root / "lodge-vm")
    out = subprocess.run(["ldd", str(env.binary)], capture_output=True, text=True, check=True).stdout
    for path in re.findall(r"=> (/\S+)", out):
        if not re.search(r"/(libc|libm|libpthread|ld-linux[^/]*)\.so", path):
            shutil.copy(path, root / "lib")
    for f in ("vmlinuz", "initrd.img", "cmdline"):
        shutil.copy(CACHE / f, root)
    for mode in MODES:
        assemble(env, mode, root / f"{mode}.bin")
    shutil.copy(pathlib.Path(__file__).parent / "nestedlib/save.py", root)
    for name, text in (("run", RUN), ("tiny", TINY)):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    image = env.tmp / "luggage.img"
    subprocess.run(["truncate", "-s", "512M", str(image)], check=True)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(image)], check=True)
    return image


def host(env, cpus=1):
    """The nested host at a root shell, /dev/kvm there, luggage at /mnt, /dev/vdc the inner disk."""
    if not shutil.which("qemu-system-x86_64"):
        raise Skip("qemu-system-x86_64 is not installed")
    disks = [luggage(env), disk_copy(CACHE / "debian.img", env.tmp / "inner.img")]
    extra = ["-device", "virtio-rng-pci"]
    for i, d in enumerate(disks):
        extra += ["-drive", f"file={d},format=raw,if=none,id=x{i}",
                  "-device", f"virtio-blk-pci,drive=x{i},disable-legacy=on"]
    m = Qemu(env.tmp, cpus=cpus, memory="2G", disk=env.disk(), append="init=/bin/bash",
             log=env.log(), extra=extra)
    env.stack.callback(m.kill)
    m.start()
    m.expect(r"# ", 180)
    m.send("export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root; mount -t proc p /proc; "
           "mount -t sysfs s /sys; mount -t tmpfs t /tmp\n")
    m.shell_prepare()
    m.run("ip link set lo up; modprobe kvm-amd && test -c /dev/kvm && mount /dev/vdb /mnt", 120)
    return m


@test("nested.tiny", timeout=300)
def nested_tiny(env):
    """The tiny guests, whole, on a KVM that has SVM below it."""
    m = host(env)
    for mode in MODES:
        status, out = m.run(f"/mnt/tiny {mode}", 60, check=False)
        assert (status, out) == (1, f"{mode} ok\n"), f"{mode}: status {status}: {out}"


@test("nested.debian", timeout=600, full_timeout=1200)
def nested_debian(env):
    """A stock Debian kernel reaches a shell under lodge-vm --accel kvm, with disk and network."""
    m = host(env)
    m.send("/mnt/run\n")
    m.expect(r"bash-[\d.]+# |root@\S+# ", 400)
    m.send("export PATH=/usr/sbin:/usr/bin:/sbin:/bin; mount -t proc p /proc; "
           "mount -t sysfs s /sys\n")
    m.shell_prepare(120)
    assert "Debian" in m.run("uname -v")
    m.run("modprobe virtio_net; sleep 1; n=$(ls /sys/class/net | grep -v lo); ip link set $n up; "
          "ip addr add 10.0.2.15/24 dev $n && ping -c 3 -W 5 10.0.2.2", 120)
    m.run("dd if=/dev/urandom of=/root/data bs=64k count=64 status=none && sync && "
          "sha256sum /root/data > /root/sum && echo 3 > /proc/sys/vm/drop_caches && "
          "sha256sum -c /root/sum", 120)
    log = m.run("dmesg -l emerg,alert,crit,err,warn", 180)  # each byte is slow here
    bad = [c for c in complaints(log) if not TCG_SVM.search(c)]
    assert not bad, "\n".join(bad)
    m.send("mount -o remount,ro /; echo o > /proc/sysrq-trigger\n")
    m.expect(r"reboot: Power down", 60)
    m.expect(r"lodge-test# ", 60)  # the outer shell's, again
    image = env.tmp / "inner.img"
    m.run("sync", 60)
    m.kill()
    done = subprocess.run(["e2fsck", "-f", "-n", str(image)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@test("nested.saved", timeout=900)
def nested_saved(env):
    """Under KVM too a stock guest that was saved at its shell goes on there in a new process."""
    m = host(env)
    out = m.run("SERIAL= python3 /mnt/save.py", 850)
    assert "saved and restored" in out, out


@test("nested.login", timeout=10, full_timeout=1800)
def nested_login(env):
    if not env.full:
        raise Skip("long form only (--full)")
    m = host(env, cpus=2)
    m.send("APPEND= /mnt/run --cpus 2\n")
    m.expect(r"login: ", 1200)
    m.login(240)
    assert m.run("nproc").strip() == "2"
    m.send("poweroff\n")
    m.expect(r"reboot: Power down", 240)
    m.expect(r"lodge-test# ", 60)
