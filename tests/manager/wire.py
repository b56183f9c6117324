#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The wire itself, by hand: framing, order, limits, bad and dying clients. `tests/manager/wire.py BUILD [TEST...]`"""
import os
import socket
import struct
import time

import hostlib

REMOTE, KEEPALIVE = 0x20008086, 0x6b656570
CALL, REPLY, MESSAGE, STREAM = range(4)
OPEN, CLOSE, GET_TYPE, HOSTNAME, FEATURE, AUTH_LIST, CAPABILITIES = 1, 2, 3, 59, 60, 66, 7


def string(text):
    data = text.encode()
    return struct.pack(">I", len(data)) + data + b"\0" * (-len(data) % 4)


def frame(proc, payload=b"", serial=1, kind=CALL, status=0, program=REMOTE, version=1):
    return struct.pack(">7I", 28 + len(payload), program, version, proc, kind, serial, status) + payload


class Client:
    def __init__(self, h, opened=True):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(str(h.socket))
        self.s.settimeout(20)
        if opened:
            self.call(OPEN, struct.pack(">II", 0, 0))

    def send(self, data):
        self.s.sendall(data)

    def take(self, n):
        data = b""
        while len(data) < n:
            more = self.s.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def reply(self):
        """(procedure, type, serial, status, payload)"""
        size = struct.unpack(">I", self.take(4))[0]
        rest = self.take(size - 4)
        return (*struct.unpack(">4I", rest[8:24]), rest[24:])

    def call(self, proc, payload=b"", **more):
        self.send(frame(proc, payload, **more))
        return self.reply()

    def closed(self):
        try:
            while self.s.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def close(self):
        self.s.close()


def error(payload):
    """(code, domain, message)"""
    code, domain, there = struct.unpack(">iiI", payload[:12])
    size = struct.unpack(">I", payload[12:16])[0] if there else 0
    return code, domain, payload[16:16 + size].decode()


def memory(h):
    for line in open(f"/proc/{h.daemon.pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) << 10


def alive(h):
    c = Client(h)
    h.check(c.call(GET_TYPE)[4] == string("QEMU"), "the daemon answers")
    c.close()


def handshake(h):
    c = Client(h, opened=False)
    proc, kind, serial, status, payload = c.call(AUTH_LIST, serial=0)
    h.equal((proc, kind, serial, status, payload), (AUTH_LIST, REPLY, 0, 0, struct.pack(">II", 1, 0)), "AUTH_LIST")
    status, payload = c.call(HOSTNAME)[3:]
    h.equal((status, error(payload)[0]), (1, 39), "a call before the connection is open")
    status, payload = c.call(OPEN, struct.pack(">I", 1) + string("xen:///system") + struct.pack(">I", 0))[3:]
    h.equal((status, error(payload)[0]), (1, 5), "a URI of others")
    h.equal(c.call(OPEN, struct.pack(">I", 1) + string("qemu:///system") + struct.pack(">I", 0))[3], 0, "open")
    h.equal(c.call(HOSTNAME)[3], 0, "a call")
    for feature, want in ((8, 1), (9, 1), (10, 1), (14, 1), (15, 1), (1, 0), (77, 0)):
        h.equal(c.call(FEATURE, struct.pack(">I", feature))[4], struct.pack(">I", want), f"feature {feature}")
    h.equal(c.call(CLOSE)[3], 0, "close")


def unknown(h):
    c = Client(h)
    for proc in (0, 444444, 0xffffffff, 318):
        status, payload = c.call(proc, serial=9)[3:]
        code, domain, message = error(payload)
        h.check(status == 1 and code in (39, 3), f"procedure {proc}: {code} {message}")
    status, payload = c.call(999)[3:]
    h.equal(error(payload), (39, 7, "unknown procedure: 999"), "an unknown procedure")
    status, payload = c.call(GET_TYPE, program=0x12345678)[3:]
    h.equal(error(payload)[0], 39, "an unknown program")
    status, payload = c.call(GET_TYPE, version=2)[3:]
    h.equal(error(payload)[0], 39, "an unknown version")


def arguments(h):
    c = Client(h)
    bad = [
        (FEATURE, b"", "nothing"), (FEATURE, b"\0\0\0", "three bytes"), (FEATURE, b"\0" * 8, "too many"),
        (23, struct.pack(">I", 0xffffffff), "a length without end"),
        (23, struct.pack(">I", 5000000) + b"x" * 5000000, "a string of 5 MB"),
        (23, struct.pack(">I", 8) + b"a\0bcdefg", "a NUL in a string"),
        (162, struct.pack(">I", 256), "a list that is not there"),
        (162, struct.pack(">I", 0x10000000), "a list of 268 million"),
        (1, struct.pack(">II", 7, 0), "a pointer that is neither"),
        (33, b"\0" * 1, "a truncated machine"),
    ]
    for proc, payload, what in bad:
        status, reply = c.call(proc, payload)[3:]
        h.equal((status, error(reply)[0]), (1, 39), what)
    alive(h)


def lengths(h):
    for size in (0, 1, 27, 33554432 + 5, 0x7fffffff, 0xffffffff):
        c = Client(h)
        c.send(struct.pack(">I", size) + b"\0" * 64)
        h.check(c.closed(), f"a frame of {size} bytes closes the connection")
    c = Client(h, opened=False)
    before = memory(h)
    c.send(struct.pack(">I", 33554432) + b"\0" * 100)
    time.sleep(0.3)
    h.check(memory(h) - before < 4 << 20, "what is announced takes no memory")
    c.close()
    c = Client(h)
    c.send(frame(GET_TYPE)[:13])
    c.close()
    for kind in (REPLY, MESSAGE, 17):
        c = Client(h)
        c.send(frame(GET_TYPE, kind=kind))
        h.check(c.closed(), f"a client that sends type {kind}")
    alive(h)


def slow(h):
    c = Client(h)
    for byte in frame(GET_TYPE, serial=5):
        c.send(bytes([byte]))
        time.sleep(0.01)
    h.equal(c.reply()[2:4], (5, 0), "a frame byte by byte")
    c.send(b"".join(frame(GET_TYPE, serial=i) for i in range(500)))
    h.equal(sorted(c.reply()[2] for _ in range(500)), list(range(500)), "500 calls in one write")


def keepalive(h):
    c = Client(h)
    c.send(frame(1, kind=MESSAGE, program=KEEPALIVE, serial=0))
    h.equal(c.reply()[:2], (2, MESSAGE), "a ping is answered")
    c.call(FEATURE, struct.pack(">I", 10))
    start = time.monotonic()
    h.equal(c.reply()[:2], (1, MESSAGE), "the daemon pings")
    h.check(3 < time.monotonic() - start < 9, "after 5 seconds")
    h.check(c.closed(), "who does not answer")
    h.check(time.monotonic() - start < 45, "is let go")


def unread(h):
    """Asks for megabytes and reads none of them: the daemon stops reading, its memory is bounded."""
    c = Client(h)
    c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    before, sent = memory(h), 0
    c.s.settimeout(2)
    try:
        while sent < 64 << 20:
            c.send(frame(CAPABILITIES) * 100)
            sent += 2800
    except TimeoutError:
        pass
    h.check(sent < 64 << 20, "it is read no further")
    h.check(memory(h) - before < 48 << 20, f"memory grows by {(memory(h) - before) >> 20} MiB")
    alive(h)
    c.close()


def many(h):
    before = memory(h)
    clients = [Client(h, opened=False) for _ in range(2000)]
    alive(h)
    h.check(memory(h) - before < 200 << 20, f"2000 connections take {(memory(h) - before) >> 20} MiB")
    for c in clients:
        c.close()
    start = time.monotonic()
    alive(h)
    h.check(time.monotonic() - start < 2, "they go as fast")
    fds = len(os.listdir(f"/proc/{h.daemon.pid}/fd"))
    h.until(lambda: len(os.listdir(f"/proc/{h.daemon.pid}/fd")) < 100, f"descriptors are given back ({fds})")


def garbage(h):
    state = 12345
    for _ in range(200):
        c = Client(h)
        data = b""
        for _ in range(64):
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            data += struct.pack(">Q", state)
        # a true head now and then, so that it gets further
        c.send(frame(state % 450, data[:state % 400], serial=state % 7, kind=(0, 3, 6, 4)[state % 4]) + data)
        c.close()
    alive(h)


def descriptors(h):
    """Those that no call wants are closed; more than may come end the connection."""
    count = lambda: len(os.listdir(f"/proc/{h.daemon.pid}/fd"))
    c = Client(h)
    before = count()
    r, w = os.pipe()
    c.send(frame(GET_TYPE, struct.pack(">I", 1), kind=4))
    socket.send_fds(c.s, [b"\0"], [r])
    h.equal(c.reply()[3], 0, "a call with a descriptor")
    h.until(lambda: count() == before, "its descriptor is closed")
    c.send(frame(GET_TYPE, struct.pack(">I", 33), kind=4))
    h.check(c.closed(), "33 descriptors")
    c = Client(h)
    c.send(frame(GET_TYPE, struct.pack(">I", 1), kind=4) + b"\0")
    h.check(c.closed(), "a descriptor that did not come")
    os.close(r)
    os.close(w)


def streams_of_nobody(h):
    c = Client(h)
    c.send(frame(201, b"data", serial=77, kind=STREAM, status=2))
    c.send(frame(201, serial=77, kind=STREAM, status=1))
    h.equal(c.call(GET_TYPE)[3], 0, "data of no stream are dropped")


if __name__ == "__main__":
    hostlib.main([handshake, unknown, arguments, lengths, slow, unread, many, garbage, descriptors,
                  streams_of_nobody, keepalive])
