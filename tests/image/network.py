# SPDX-License-Identifier: GPL-2.0-or-later
"""Images over NBD, both ways, with QEMU's tools and nbdkit at the other end, and over HTTP."""
import contextlib
import functools
import http.server
import os
import re
import shutil
import signal
import subprocess
import threading
import time

from imagelib import MIB, check, peers, test


@contextlib.contextmanager
def running(argv, socket, env=None):
    p = subprocess.Popen([str(a) for a in argv], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(200):
            if socket.exists() or p.poll() is not None:
                break
            time.sleep(0.05)
        check(socket.exists(), f"{argv[0]} does not listen: {p.stderr.read() if p.poll() is not None else ''}")
        yield p
    finally:
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
        p.wait(timeout=30)


def url(socket, name=""):
    return f"nbd+unix:///{name}?socket={socket}"


def serve(env, socket, *args):
    return running([env.binary, "image", "serve", "-q", "-t", "--socket", socket, *args], socket)


@test
def server(env):
    """QEMU reads, writes and maps what we serve."""
    source, twin = env.source(), env.path("twin.img")
    for n, peer in enumerate(peers()):
        for form in ("raw", "qcow2"):
            image, socket = env.path(f"{n}.{form}"), env.path(f"{n}{form}.sock")
            env.lodge("convert", "-f", "raw", "-O", form, source, image)
            shutil.copy(source, twin)
            with serve(env, socket, "-f", form, "-x", "disk", image):
                peer.img("compare", "-f", "raw", source, url(socket, "disk"))
                served = peer.img.json("map", "--output=json", "-f", "raw", url(socket, "disk"))
                check(any(r["zero"] for r in served), "no zeroes in the block status")
                for f, p in (("raw", url(socket, "disk")), ("raw", twin)):
                    out = peer.io("-f", f, "-c", "write -P 3 1M 3M", "-c", "write -z 9M 1M", "-c", "discard 20M 1M",
                                  "-c", "aio_write -P 9 30M 64k", "-c", "aio_write -P 8 31M 64k", "-c", "aio_flush",
                                  "-c", "flush", p).stdout
                    check("failed" not in out, out)
                peer.io("-f", "raw", "-c", "write -z 20M 1M", twin)
                peer.io("-f", "raw", "-c", "write -z 20M 1M", url(socket, "disk"))
                peer.img("compare", "-f", "raw", twin, url(socket, "disk"))
                peer.img("info", url(socket, "other"), status=1)
            env.same(image, form, twin, peer)
            with serve(env, socket, "-r", "-f", form, image):
                peer.io("-f", "raw", "-c", "write 0 4k", url(socket), status=1)


@test
def server_by_libnbd(env):
    """nbdinfo and nbdcopy (libnbd's own tools) see all of it."""
    source, socket, copy = env.source(), env.path("s.sock"), env.path("copy.img")
    if not shutil.which("nbdinfo"):
        raise RuntimeError("nbdinfo is missing: apt-get install libnbd-bin")
    with serve(env, socket, "-f", "raw", "-D", "a disk", source):
        out = subprocess.run(["nbdinfo", url(socket)], capture_output=True, text=True, timeout=60).stdout
        check("can_multi_conn: true" in out and "structured" in out, out)
        out = subprocess.run(["nbdinfo", "--list", url(socket)], capture_output=True, text=True, timeout=60)
        check(out.returncode == 0, out.stderr)
        subprocess.run(["nbdcopy", url(socket), str(copy)], check=True, timeout=120)
    env.lodge("compare", "-f", "raw", source, "-F", "raw", copy)


@test
def client(env):
    """We read and write what qemu-nbd and nbdkit serve."""
    source, target = env.source(), env.path("t.qcow2")
    for peer in peers():
        socket = env.path("q.sock")
        with running([*peer.nbd, "-t", "-r", "-e", "8", "-f", "raw", "-k", socket, source], socket, peer.env):
            env.lodge("convert", "--force", "-f", "raw", "-O", "qcow2", url(socket), target)
            env.lodge("compare", "-f", "raw", source, target)
            check(target.stat().st_blocks * 512 < 40 * MIB, "zeroes were copied")
        peer.img("create", "-q", "-f", "qcow2", target, source.stat().st_size)
        with running([*peer.nbd, "-t", "-e", "8", "-f", "qcow2", "-k", socket, target], socket, peer.env):
            env.lodge("convert", "-n", "-f", "raw", "-O", "raw", source, url(socket))
        env.same(target, "qcow2", source, peer)
    if not shutil.which("nbdkit"):
        raise RuntimeError("nbdkit is missing: apt-get install nbdkit")
    socket = env.path("k.sock")
    with running(["nbdkit", "-f", "-U", socket, "--filter=blocksize-policy", "file", source,
                  "blocksize-minimum=4096", "blocksize-error-policy=error"], socket):
        env.lodge("compare", "-f", "raw", source, "-F", "raw", url(socket))


class Ranges(http.server.BaseHTTPRequestHandler):
    """A file with range requests, which Python's own handler lacks."""
    protocol_version = "HTTP/1.1"
    served = 0

    def __init__(self, path, ranges, *args):
        self.file, self.ranges = path, ranges
        super().__init__(*args)

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(os.path.getsize(self.file)))
        self.end_headers()

    def do_GET(self):
        size = os.path.getsize(self.file)
        m = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(m[1]), min(int(m[2]), size - 1)) if m and self.ranges else (0, size - 1)
        self.send_response(206 if m and self.ranges else 200)
        if m and self.ranges:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        with open(self.file, "rb") as f:
            f.seek(first)
            self.wfile.write(f.read(last - first + 1))
        Ranges.served += last - first + 1


@contextlib.contextmanager
def web(path, ranges=True):
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Ranges, str(path), ranges))
    s.handle_error = lambda request, address: None  # clients may hang up
    threading.Thread(target=s.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{s.server_address[1]}/disk"
    finally:
        s.shutdown()


@test
def over_http(env):
    source, image = env.source(), env.path("h.qcow2")
    peers()[-1].img("convert", "-f", "raw", "-O", "qcow2", source, image)
    with web(image) as address:
        Ranges.served = 0
        env.lodge("compare", "-f", "raw", source, "-F", "qcow2", address)
        check(Ranges.served <= image.stat().st_size + MIB, f"{Ranges.served} bytes were fetched")
        env.lodge("convert", "-f", "qcow2", "-O", "raw", address, env.path("h.img"))
        env.lodge("compare", "-f", "raw", source, "-F", "raw", env.path("h.img"))
        done = env.lodge("resize", "-f", "qcow2", address, "+1M", status=None)
        check(done.returncode == 3, done.stderr)
    with web(image, ranges=False) as address:
        done = env.lodge("info", address, status=None)
        check(done.returncode == 3 and "download" in done.stderr, done.stderr)
