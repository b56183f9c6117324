# SPDX-License-Identifier: GPL-2.0-or-later
"""The command's own promises: exit statuses, nothing half-made, nothing overwritten, odd images refused."""
import os
import random
import resource
import signal
import struct
import subprocess
import time

from imagelib import MIB, check, make_source, peers, test


@test
def exit_statuses(env):
    """As qemu-img's, for scripts that know them."""
    source, image = env.source(), env.path("x.qcow2")
    env.lodge("convert", "-f", "raw", "-O", "qcow2", source, image)
    env.lodge("compare", "-f", "raw", source, image, status=0)
    peers()[0].io("-f", "qcow2", "-c", "write -P 9 3M 512", image)
    done = env.lodge("compare", "-f", "raw", source, image, status=1)
    check(f"offset {3 * MIB}" in done.stdout, done.stdout)
    env.lodge("compare", "-f", "raw", source, env.path("absent"), status=2)
    env.lodge("check", image, status=0)
    env.lodge("check", "-f", "raw", source, status=63)
    env.lodge("check", env.path("absent"), status=1)
    with open(image, "r+b") as f:  # a count of a cluster in use becomes 0
        f.seek(2 * 65536 + 2 * 3)
        f.write(b"\0\0")
    status = peers()[0].img("check", image, status=None).returncode
    env.lodge("check", image, status=status)
    env.lodge("check", "-r", "all", image)
    env.lodge("check", image, status=0)
    peers()[0].img("check", image, status=0)


@test
def nothing_is_overwritten(env):
    source, target = env.source(), env.path("there.img")
    target.write_text("precious")
    for args in (["convert", "-f", "raw", "-O", "raw", source, target], ["create", target, "1M"]):
        done = env.lodge(*args, status=None)
        check(done.returncode == 3 and target.read_text() == "precious", done.stderr)
    env.lodge("convert", "-f", "raw", "-O", "raw", "--force", source, target)
    check(target.stat().st_size == source.stat().st_size, "not replaced")


def big_source(env):
    return make_source(env.path("big.img"), 512 * MIB, seed=3, runs=1500)


def convert_and_signal(env, source, target, number, after):
    p = subprocess.Popen([env.binary, "image", "convert", "-c", "--force", "-f", "raw", "-O", "qcow2", str(source),
                          str(target)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    time.sleep(after)
    p.send_signal(number)
    return p.wait(timeout=60)


@test
def killed_while_converting(env):
    """kill -9 at random times: the target is absent or whole."""
    source, target, peer = big_source(env), env.path("target.qcow2"), peers()[-1]
    r, whole, cut = random.Random(4), 0, 0
    start = time.monotonic()
    env.lodge("convert", "-c", "-f", "raw", "-O", "qcow2", source, target)
    took = time.monotonic() - start
    for _ in range(40 if env.full else 12):
        target.unlink(missing_ok=True)
        convert_and_signal(env, source, target, signal.SIGKILL, r.uniform(0, took))
        if target.exists():
            whole += 1
            peer.img("compare", "-f", "raw", source, target)
        else:
            cut += 1
    check(cut, "no conversion was cut")


@test
def interrupted(env):
    """Ctrl-C leaves nothing, not even under another name."""
    source, target = big_source(env), env.path("target.qcow2")
    cut = 0
    for after in (0.05, 0.1, 0.2, 0.4):
        target.unlink(missing_ok=True)
        status = convert_and_signal(env, source, target, signal.SIGINT, after)
        cut += status != 0
        left = [f for f in os.listdir(env.tmp) if "target" in f]
        # Before it began to listen the signal ends it as any program.
        check(left == (["target.qcow2"] if status == 0 else []), f"status {status} left {left}")
    check(cut, "no conversion was interrupted")


@test
def no_room(env):
    """Told before it begins."""
    done = env.lodge("convert", "-f", "raw", "-O", "raw", "-o", "preallocation=full",
                     make_sparse(env, 1 << 50), env.path("out.img"), status=None)
    check(done.returncode and not env.path("out.img").exists(), done.stderr)


def make_sparse(env, size):
    p = env.path("sparse.img")
    while size > MIB:
        try:
            with open(p, "wb") as f:
                f.truncate(size)
            return p
        except OSError:
            size //= 2
    return p


def absurd_images():
    """Names and bytes of images that claim to be larger than anything."""
    qcow2 = struct.pack(">IIQIIQIIQQIIQ", 0x514649fb, 3, 0, 0, 16, 1 << 62, 0, 0xffffffff, 65536, 131072, 1, 0, 0)
    yield "qcow2", qcow2.ljust(1 << 18, b"\0")
    yield "qcow2", struct.pack(">IIQIIQIIQQIIQ", 0x514649fb, 3, 0, 0, 63, 1 << 40, 0, 1, 65536, 131072, 1, 0,
                               0).ljust(1 << 18, b"\0")
    vmdk = b"KDMV" + struct.pack("<IIQQQQIQQQ", 1, 3, 1 << 62, 128, 1, 20, 512, 21, 26, 128)
    yield "vmdk", vmdk.ljust(1 << 16, b"\0")
    yield "vmdk", b'# Disk DescriptorFile\ncreateType="x"\n' + b'RW 18446744073709551615 ZERO\n' * 3
    vdi = bytearray(1024)
    struct.pack_into("<III", vdi, 0x40, 0xbeda107f, 0x10001, 0x190)
    struct.pack_into("<I", vdi, 0x4c, 1)
    struct.pack_into("<II", vdi, 0x154, 512, 1 << 20)
    struct.pack_into("<I", vdi, 0x168, 512)
    struct.pack_into("<QIIII", vdi, 0x170, 1 << 62, 1 << 20, 0, 0xffffffff, 0)
    yield "vdi", bytes(vdi)
    yield "vhdx", b"vhdxfile".ljust(4 * MIB, b"\0")
    yield "vhd", b"conectix".ljust(4096, b"\xff")


@test
def absurd_sizes(env):
    """Refused with a line, in bounded memory and time."""
    for i, (fmt, data) in enumerate(absurd_images()):
        p = env.path(f"absurd{i}.{fmt}")
        p.write_bytes(data)
        for verb in ("info", "check", "map"):
            done = env.lodge(verb, "-f", fmt, p, status=None, timeout=20,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)))
            check(0 < done.returncode < 64 and done.stderr.startswith("lodge: "),
                  f"{verb} of absurd image {i} ({fmt}): status {done.returncode}: {done.stderr[-300:]}")


@test
def locked(env):
    """What QEMU has open for writing we do not write, and the other way round."""
    image = env.path("l.qcow2")
    env.lodge("create", "-q", image, "16M")
    for peer in peers():
        p = subprocess.Popen([*peer.io.argv, "-f", "qcow2", str(image)], env=peer.env, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
        p.stdin.write("write 0 64k\n")
        p.stdin.flush()
        p.stdout.readline()
        done = env.lodge("resize", image, "32M", status=None)
        p.stdin.close()
        p.wait(timeout=30)
        check(done.returncode, "it was resized under qemu-io's hands")
        env.lodge("info", image)
