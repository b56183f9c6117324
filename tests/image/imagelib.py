# SPDX-License-Identifier: GPL-2.0-or-later
"""What the image tests share: the two programs, source images, the registry.

The peer is every qemu-img to be had: the installed one and the newest (tools/newest-qemu).
"""
import functools
import json
import os
import pathlib
import random
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MIB = 1 << 20
TESTS = {}


def test(f):
    TESTS[f"{f.__module__}.{f.__name__}"] = f
    return f


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


class Tool:
    """A program with its environment."""

    def __init__(self, name, argv, env=None):
        self.name, self.argv, self.env = name, argv, {**os.environ, **(env or {})}

    def __call__(self, *args, status=0, timeout=300, **kw):
        """Runs it; fails unless the exit status is `status` (None: any). Returns the result."""
        done = subprocess.run([*self.argv, *map(str, args)], env=self.env, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout, errors="replace", **kw)
        if status is not None and done.returncode != status:
            raise Failure(f"{self.name} {' '.join(map(str, args))}: status {done.returncode}, expected "
                          f"{status}\n{(done.stdout + done.stderr)[-1500:]}")
        return done

    def json(self, *args, **kw):
        return json.loads(self(*args, **kw).stdout)


class Peer:
    """One version of QEMU's tools."""

    def __init__(self, version, folder, env):
        self.version = version
        self.img = Tool(f"qemu-img {version}", [f"{folder}/qemu-img"], env)
        self.io = Tool(f"qemu-io {version}", [f"{folder}/qemu-io"], env)
        self.nbd = [f"{folder}/qemu-nbd"]
        self.env = {**os.environ, **env}


@functools.cache
def peers():
    found = []
    if shutil.which("qemu-img"):
        out = subprocess.run(["qemu-img", "--version"], capture_output=True, text=True).stdout
        found.append(Peer(out.split()[2], pathlib.Path(shutil.which("qemu-img")).parent, {}))
    newest = subprocess.run([str(ROOT / "tools/newest-qemu")], capture_output=True, text=True)
    if newest.returncode == 0:
        n = json.loads(newest.stdout)
        folder = pathlib.Path(n["argv"][0]).parent
        if (folder / "qemu-img").exists() and all(p.version != n["version"] for p in found):
            found.append(Peer(n["version"], folder, n["env"]))
    return found


def make_source(path, size=48 * MIB, seed=1, runs=40):
    """A sparse raw image with random data, repeated bytes and zeroes in places of all alignments."""
    r = random.Random(seed)
    with open(path, "wb") as f:
        f.truncate(size)
        for _ in range(runs):
            n = r.randrange(1, 400) * 512
            f.seek(r.randrange(0, (size - n) // 512) * 512)
            kind = r.randrange(3)
            f.write(r.randbytes(n) if kind == 0 else bytes([r.randrange(256)]) * n if kind == 1 else bytes(n))
        f.seek(size - 512)
        f.write(r.randbytes(512))
    return path


class Env:
    def __init__(self, build, tmp, full):
        self.tmp, self.full, self.build = pathlib.Path(tmp), full, build
        self.binary = os.environ.get("LODGE", str(build / "src/prog/lodge"))
        self.lodge = Tool("lodge image", [self.binary, "image"])

    def path(self, name):
        return self.tmp / name

    def source(self, name="source.img", **kw):
        p = self.path(name)
        return p if p.exists() else make_source(p, **kw)

    def same(self, ours, theirs_format, raw, peer):
        """The image reads like the raw one, to the peer and to us."""
        peer.img("compare", "-f", theirs_format, "-F", "raw", ours, raw)
        self.lodge("compare", "-f", theirs_format, ours, "-F", "raw", raw)
