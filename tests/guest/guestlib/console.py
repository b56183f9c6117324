# SPDX-License-Identifier: GPL-2.0-or-later
"""A program on a terminal of its own, and what it says: spawn, expect, send."""
import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

SCALE = float(os.environ.get("LODGE_TEST_SCALE", "1"))  # for slow or busy hosts


class Gone(Exception):
    """The program ended, or said nothing fitting in time."""


def _own_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Console:
    """Runs argv on a pty, its controlling terminal. A thread reads all it says, so that it never
    blocks on us; carriage returns are left out."""

    def __init__(self, argv, log=None, env=None):
        self.argv = argv
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 50, 200, 0, 0))
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=env,
            start_new_session=True, preexec_fn=_own_terminal)
        self.slave = slave  # kept open: its terminal settings are looked at afterwards
        self.master = master
        self.log = open(log, "ab", buffering=0) if log else None
        self.text = ""  # all output so far
        self.seen = 0  # start of what no expect() has consumed
        self.stderr = ""
        self.ended = False
        self.news = threading.Condition()
        self.threads = [threading.Thread(target=self._read_tty, daemon=True),
                        threading.Thread(target=self._read_stderr, daemon=True)]
        for t in self.threads:
            t.start()

    def _take(self, data, stderr=False):
        if self.log:
            self.log.write(data)
        with self.news:
            if stderr:
                self.stderr += data.decode(errors="replace")
            else:
                self.text += data.decode(errors="replace").replace("\r", "")
            self.news.notify_all()

    def _read_tty(self):
        while not self.ended:
            ready, _, _ = select.select([self.master], [], [], 0.2)
            if ready:
                try:
                    data = os.read(self.master, 65536)
                except OSError as e:
                    if e.errno != errno.EIO:
                        raise
                    data = b""
                if data:
                    self._take(data)
                    continue
            if self.process.poll() is not None:
                break
        with self.news:
            self.ended = True
            self.news.notify_all()

    def _read_stderr(self):
        for line in iter(self.process.stderr.readline, b""):
            self._take(line, stderr=True)

    def expect_stderr(self, pattern, timeout):
        """Waits until stderr holds `pattern`."""
        deadline = time.monotonic() + timeout * SCALE
        with self.news:
            while not re.search(pattern, self.stderr):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Gone(f"no /{pattern}/ on stderr: {self.stderr[-500:]}")
                self.news.wait(0.2)

    def expect(self, pattern, timeout):
        """Waits until the output holds `pattern` (a regex) after what was matched before; returns
        the match. Raises Gone at the end of the program or of the time."""
        regex = re.compile(pattern)
        deadline = time.monotonic() + timeout * SCALE
        with self.news:
            while True:
                m = regex.search(self.text, self.seen)
                if m:
                    self.seen = m.end()
                    return m
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    why = "the program ended" if self.ended else f"{timeout * SCALE:.0f} s passed"
                    tail = (self.text[self.seen:][-600:] + self.stderr[-300:]).strip()
                    raise Gone(f"no /{pattern}/: {why}; last was:\n{tail}")
                self.news.wait(min(left, 1))

    def send(self, text):
        data = text.encode()
        while data:
            n = os.write(self.master, data[:256])
            data = data[n:]

    def wait(self, timeout):
        """The exit status (negative: signal); raises Gone if it does not end in time."""
        try:
            status = self.process.wait(timeout * SCALE)
        except subprocess.TimeoutExpired:
            raise Gone(f"still running after {timeout * SCALE:.0f} s:\n{self.text[-500:]}") from None
        for t in self.threads:
            t.join(5)
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        for t in self.threads:
            t.join(5)
        self.close()

    def close(self):
        for fd in (self.master, self.slave):
            try:
                os.close(fd)
            except OSError:
                pass
        self.master = self.slave = -1
        if self.log:
            self.log.close()
            self.log = None
