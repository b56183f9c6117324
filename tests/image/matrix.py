# SPDX-License-Identifier: GPL-2.0-or-later
"""Each format and option, written by one side and read by the other, both ways, bytes and checks."""
import random
import shutil

from imagelib import MIB, check, peers, test

# (format, QEMU's name for it, options, QEMU's options if they differ, QEMU can check it)
KINDS = [
    ("qcow2", "qcow2", "", None, True),
    ("qcow2", "qcow2", "compat=0.10", None, True),
    ("qcow2", "qcow2", "cluster_size=512", None, True),
    ("qcow2", "qcow2", "cluster_size=4k", None, True),
    ("qcow2", "qcow2", "cluster_size=2M", None, True),
    ("qcow2", "qcow2", "extended_l2=on", None, True),
    ("qcow2", "qcow2", "extended_l2=on,cluster_size=128k", None, True),
    ("qcow2", "qcow2", "refcount_bits=1", None, True),
    ("qcow2", "qcow2", "refcount_bits=8", None, True),
    ("qcow2", "qcow2", "refcount_bits=64", None, True),
    ("qcow2", "qcow2", "lazy_refcounts=on", None, True),
    ("qcow2", "qcow2", "preallocation=metadata", None, True),
    ("qcow2", "qcow2", "preallocation=falloc", None, True),
    ("qcow2", "qcow2", "preallocation=full", None, True),
    ("vmdk", "vmdk", "", None, True),
    ("vmdk", "vmdk", "zeroed_grain=on", None, True),
    ("vmdk", "vmdk", "subformat=monolithicFlat", None, True),
    ("vmdk", "vmdk", "subformat=twoGbMaxExtentSparse", None, True),
    ("vmdk", "vmdk", "subformat=twoGbMaxExtentFlat", None, True),
    ("vdi", "vdi", "", None, True),
    ("vdi", "vdi", "static=on", None, True),
    ("vhd", "vpc", "", "force_size=on", False),
    ("vhd", "vpc", "subformat=fixed", "subformat=fixed,force_size=on", False),
    ("vhdx", "vhdx", "", None, True),
    ("vhdx", "vhdx", "subformat=fixed", None, True),
    ("vhdx", "vhdx", "block_size=1M", None, True),
]


def options(text):
    return ["-o", text] if text else []


def random_writes(env, peer, their, image, raw, seed):
    """The same writes by qemu-io into the image and its raw twin."""
    r = random.Random(seed)
    commands = []
    for i in range(12):
        n = r.choice([512, 4096, 65536, 300 * 1024])
        at = r.randrange(0, (48 * MIB - n) // 512) * 512
        commands += ["-c", f"write -P {i + 1} {at} {n}" if i % 4 else f"write -z {at} {n}"]
    for f, p in ((their, image), ("raw", raw)):
        out = peer.io("-f", f, *commands, p).stdout
        check("failed" not in out, out)


def one_kind(env, peer, ours, their, opts, their_opts, can_check, source, n):
    theirs_made, ours_made, twin = (env.path(f"{who}.{ours}") for who in ("theirs", "ours", "twin"))
    peer.img("convert", "-f", "raw", "-O", their, *options(opts if their_opts is None else their_opts),
             source, theirs_made)
    env.lodge("compare", "-f", "raw", source, "-F", ours, theirs_made)
    env.lodge("check", "-f", ours, theirs_made)
    env.lodge("convert", "-f", "raw", "-O", ours, *options(opts), source, ours_made)
    env.same(ours_made, their, source, peer)
    if can_check:
        peer.img("check", "-f", their, ours_made)
    info = peer.img.json("info", "--output=json", "-f", their, ours_made)
    mine = env.lodge.json("info", "--json", "-f", ours, ours_made)
    check(info["virtual-size"] == mine["virtual-size"], f"sizes differ: {info} {mine}")
    # Theirs changes ours, ours changes theirs.
    shutil.copy(source, twin)
    random_writes(env, peer, their, ours_made, twin, n)
    env.same(ours_made, their, twin, peer)
    env.lodge("check", "-f", ours, ours_made)
    env.lodge("convert", "-n", "-f", "raw", "-O", ours, twin, theirs_made)
    env.same(theirs_made, their, twin, peer)
    if can_check:
        peer.img("check", "-f", their, theirs_made)
    for f in env.tmp.glob("*"):
        if f != source:
            f.unlink()


def all_kinds(env, prefix):
    source = env.source()
    for peer in peers():
        for n, (ours, *rest) in enumerate(KINDS):
            if ours.startswith(prefix):
                one_kind(env, peer, ours, *rest, source, n)


@test
def qcow2(env):
    all_kinds(env, "qcow2")


@test
def vmdk(env):
    all_kinds(env, "vmdk")


@test
def vdi(env):
    all_kinds(env, "vdi")


@test
def vhd_and_vhdx(env):
    all_kinds(env, "vhd")


@test
def compressed(env):
    """qcow2 by zlib and zstd with several cluster sizes, and stream-optimized VMDK."""
    source = env.source()
    for peer in peers():
        kinds = [("qcow2", f"compression_type={z},cluster_size={c}")
                 for z in ("zlib", "zstd") for c in ("4k", "64k", "2M")]
        for f, o in kinds + [("vmdk", "subformat=streamOptimized")]:
            theirs, ours = env.path(f"theirs.{f}"), env.path(f"ours.{f}")
            flag = ["-c"] if f == "qcow2" else []
            peer.img("convert", *flag, "-f", "raw", "-O", f, "-o", o, source, theirs)
            env.lodge("compare", "-f", "raw", source, theirs)
            env.lodge("convert", "--force", *flag, "-f", "raw", "-O", f, "-o", o, source, ours)
            env.same(ours, f, source, peer)
            peer.img("check", ours)
            env.lodge("check", ours)
            if f == "qcow2":  # writes over compressed clusters
                twin = env.path("twin.img")
                shutil.copy(source, twin)
                random_writes(env, peer, f, ours, twin, 5)
                env.same(ours, f, twin, peer)
                peer.img("check", ours)


@test
def between_formats(env):
    """Every pair of formats, by us, judged by the peer."""
    source, peer = env.source(), peers()[-1]
    names = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
    for a in names:
        env.lodge("convert", "-f", "raw", "-O", a, source, env.path(f"a.{a}"))
        for b, their in names.items():
            env.lodge("convert", "--force", "-f", a, "-O", b, env.path(f"a.{a}"), env.path(f"b.{b}"))
            peer.img("compare", "-f", "raw", "-F", their, source, env.path(f"b.{b}"))


@test
def huge_sparse(env):
    """2 TiB with bytes at both ends takes no room and no time."""
    size = 2 << 40
    raw = env.path("huge.img")
    with open(raw, "wb") as f:
        f.truncate(size)
        f.write(b"\x11" * 4096)
        f.seek(size - 4096)
        f.write(b"\x22" * 4096)
    for peer in peers():
        for ours, their in (("qcow2", "qcow2"), ("vdi", "vdi"), ("vhdx", "vhdx"), ("vmdk", "vmdk")):
            image = env.path(f"huge.{ours}")
            env.lodge("convert", "--force", "-f", "raw", "-O", ours, raw, image, timeout=60)
            check(image.stat().st_blocks * 512 < 80 * MIB, f"{image} takes {image.stat().st_blocks * 512}")
            out = peer.io("-f", their, "-c", "read -P 0x11 0 4096", "-c", "read -P 0 4096 64k", "-c",
                          f"read -P 0x22 {size - 4096} 4096", image).stdout
            check("failed" not in out and out.count("bytes at offset") == 3, out)
            env.lodge("compare", "-f", "raw", raw, image, timeout=60)


@test
def only_read(env):
    """Formats of old that the peer can write."""
    source = env.source()
    for peer in peers():
        for form, options in (("qcow", []), ("qed", []), ("qed", ["-o", "cluster_size=4k"]),
                              ("parallels", [])):
            image = env.path(f"old.{form}")
            peer.img("convert", *options, "-f", "raw", "-O", form, source, image)
            env.lodge("compare", "-f", "raw", source, image)
            done = env.lodge("resize", image, "+1M", status=None)
            check(done.returncode and "read" in done.stderr, done.stderr)
        peer.img("create", "-q", "-f", "qed", "-b", source, "-F", "raw", env.path("over.qed"))
        peer.io("-f", "qed", "-c", "write -P 3 1M 1M", "-c", "write -z 5M 1M", env.path("over.qed"))
        peer.img("convert", "-O", "raw", env.path("over.qed"), env.path("over.img"))
        env.lodge("compare", env.path("over.qed"), "-F", "raw", env.path("over.img"))
