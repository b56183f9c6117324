# SPDX-License-Identifier: GPL-2.0-or-later
"""Backing chains, snapshots and bitmaps inside images, resizing, rebasing, committing."""
import shutil

from imagelib import MIB, check, make_source, peers, test


def make_chain(env, peer, depth=3):
    """base <- 1 <- 2 … made by turns by the peer and by us; returns the top and its raw twin."""
    base, twin = env.path("base.qcow2"), env.path("twin.img")
    source = env.source()
    shutil.copy(source, twin)
    env.lodge("convert", "--force", "-f", "raw", "-O", "qcow2", source, base)
    last = base
    for i in range(depth):
        top = env.path(f"top{i}.qcow2")
        top.unlink(missing_ok=True)
        if i % 2:
            env.lodge("create", "-q", "-f", "qcow2", "-b", last.name, "-F", "qcow2", top)
        else:
            peer.img("create", "-q", "-f", "qcow2", "-b", last.name, "-F", "qcow2", top)
        for f, p in (("qcow2", top), ("raw", twin)):
            peer.io("-f", f, "-c", f"write -P {i + 65} {i * 5 + 1}M 300k", "-c", f"write -z {i * 7 + 2}M 1M", p)
        last = top
    return last, twin


@test
def read(env):
    for peer in peers():
        top, twin = make_chain(env, peer)
        env.same(top, "qcow2", twin, peer)
        chain = env.lodge.json("info", "--json", "--backing-chain", top)
        check(len(chain) == 4, f"a chain of {len(chain)}")
        theirs = peer.img.json("map", "--output=json", top)
        ours = env.lodge.json("map", "--json", top)
        check(sum(r["length"] for r in theirs if r["data"]) == sum(r["length"] for r in ours if r["data"]),
              "the maps have different amounts of data")


@test
def rebase_and_commit(env):
    for peer in peers():
        top, twin = make_chain(env, peer)
        env.lodge("rebase", "-b", "base.qcow2", "-F", "qcow2", top)
        env.same(top, "qcow2", twin, peer)
        env.lodge("rebase", "-b", "", top)
        env.same(top, "qcow2", twin, peer)
        peer.img("check", top)
        top, twin = make_chain(env, peer)
        env.lodge("commit", top)
        below = env.path("top1.qcow2")
        env.same(below, "qcow2", twin, peer)
        env.same(top, "qcow2", twin, peer)
        peer.img("check", below)
        peer.img("check", top)


@test
def convert_part_of_chain(env):
    """-B: the copy stands on the same backing file and holds what differs."""
    for peer in peers():
        top, twin = make_chain(env, peer)
        copy = env.path("copy.qcow2")
        env.lodge("convert", "--force", "-O", "qcow2", "-B", "base.qcow2", "-F", "qcow2", top, copy)
        env.same(copy, "qcow2", twin, peer)
        check(copy.stat().st_size < env.path("base.qcow2").stat().st_size, "all was copied")
        peer.img("check", copy)


@test
def refused(env):
    """Files an image has no business with, formats that were not stated, loops."""
    peer = peers()[0]
    secret = env.tmp / "elsewhere"
    secret.mkdir()
    make_source(secret / "x.img", MIB)
    image = env.tmp / "inside"
    image.mkdir()
    peer.img("create", "-q", "-f", "qcow2", "-u", "-b", "../elsewhere/x.img", "-F", "raw", image / "a.qcow2", "1M")
    done = env.lodge("convert", "-O", "raw", image / "a.qcow2", image / "out.img", status=None)
    check(done.returncode and "outside" in done.stderr, f"an image read a file elsewhere: {done.stderr}")
    env.lodge("convert", "-O", "raw", "--backing-dir", secret, image / "a.qcow2", image / "out.img")
    env.path("loop.qcow2").unlink(missing_ok=True)
    peer.img("create", "-q", "-f", "qcow2", "-u", "-b", "loop.qcow2", "-F", "qcow2", env.path("loop.qcow2"), "1M")
    done = env.lodge("map", env.path("loop.qcow2"), status=None, timeout=20)
    check(done.returncode and "itself" in done.stderr, done.stderr)


@test
def snapshots(env):
    for peer in peers():
        image, before, after = env.path("s.qcow2"), env.path("before.img"), env.path("after.img")
        source = env.source()
        env.lodge("convert", "--force", "-f", "raw", "-O", "qcow2", source, image)
        shutil.copy(source, before)
        env.lodge("snapshot", "-c", "one", image)
        peer.io("-f", "qcow2", "-c", "write -P 7 0 9M", image)
        shutil.copy(before, after)
        peer.io("-f", "raw", "-c", "write -P 7 0 9M", after)
        peer.img("snapshot", "-c", "two", image)
        names = [s["name"] for s in env.lodge.json("snapshot", "-l", "--json", image)]
        check(names == ["one", "two"], names)
        env.same(image, "qcow2", after, peer)
        env.lodge("snapshot", "-a", "one", image)
        env.same(image, "qcow2", before, peer)
        env.lodge("snapshot", "-a", "two", image)
        env.same(image, "qcow2", after, peer)
        env.lodge("snapshot", "-d", "one", image)
        peer.img("snapshot", "-d", "two", image)
        peer.img("check", image)
        env.lodge("check", image)


@test
def bitmaps(env):
    for peer in peers():
        image = env.path("b.qcow2")
        env.lodge("create", "-q", "--force", "-f", "qcow2", image, "64M")
        env.lodge("bitmap", "--add", "-g", "64k", image, "mine")
        peer.img("bitmap", "--add", "-g", "64k", image, "theirs")
        peer.io("-f", "qcow2", "-c", "write 1M 128k", "-c", "write 9M 64k", image)
        info = peer.img.json("info", "--output=json", image)["format-specific"]["data"]["bitmaps"]
        check(sorted(b["name"] for b in info) == ["mine", "theirs"], info)
        info = env.lodge.json("info", "--json", image)["format-specific"]["data"]["bitmaps"]
        check(sorted(b["name"] for b in info) == ["mine", "theirs"], info)
        env.lodge("bitmap", "--add", "--merge", "theirs", image, "both")
        env.lodge("bitmap", "--remove", image, "mine")
        peer.img("bitmap", "--clear", image, "theirs")
        peer.img("check", image)
        env.lodge("check", image)


@test
def resize(env):
    for peer in peers():
        source = env.source()
        for f in ("qcow2", "raw"):
            image, twin = env.path(f"r.{f}"), env.path("r-twin.img")
            env.lodge("convert", "--force", "-f", "raw", "-O", f, source, image)
            shutil.copy(source, twin)
            for size in ("+16M", "80M", "-30M"):
                shrink = ["--shrink"] if size[0] == "-" else []
                env.lodge("resize", *shrink, "-f", f, image, size)
                peer.img("resize", "-q", *shrink, "-f", "raw", twin, size)
                env.same(image, f, twin, peer)
            if f == "qcow2":
                peer.img("check", image)
        done = env.lodge("resize", "-f", "raw", env.path("r.raw"), "1M", status=None)
        check(done.returncode == 2 and "--shrink" in done.stderr, done.stderr)
