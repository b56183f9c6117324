# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in the nested host: saves the inner guest at its shell and lets it go on in a new process."""
import json
import re
import socket
import subprocess
import sys
import time

SERIAL, QMP, STATE = "/tmp/serial", "/tmp/qmp", "/tmp/state"


def connect(path, tries=600):
    for _ in range(tries):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            return s
        except OSError:
            s.close()
            time.sleep(0.2)
    sys.exit(f"nobody listens at {path}")


def expect(s, pattern, timeout):
    s.settimeout(timeout)
    seen = ""
    while not re.search(pattern, seen):
        try:
            data = s.recv(65536)
        except TimeoutError:
            data = b""
        if not data:
            sys.exit(f"no {pattern!r} in time; last: {seen[-1500:]}")
        seen += data.decode(errors="replace")
    return seen


def start(*more):
    vm = subprocess.Popen(["/mnt/run", "--serial", f"unix:{SERIAL},server", "--qmp", QMP, *more],
                          stdin=subprocess.DEVNULL)
    return vm, connect(SERIAL)


def command(f, name, **arguments):
    f.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
    f.flush()
    for line in f:
        reply = json.loads(line)
        if "error" in reply:
            sys.exit(f"{name}: {reply}")
        if "return" in reply:
            return


vm, serial = start()
expect(serial, r"bash-[\d.]+# |root@\S+# ", 400)
serial.sendall(b"token=alive-$((6*7)); echo token-is-'set'\n")
expect(serial, r"token-is-set", 60)
with connect(QMP).makefile("rw") as f:
    f.readline()
    command(f, "qmp_capabilities")
    command(f, "save", file=STATE)
    command(f, "quit")
if vm.wait(60) != 0:
    sys.exit(f"lodge-vm ended with {vm.returncode}")
vm, serial = start("--load", STATE)
serial.sendall(b"\necho $token-goes-on\n")
expect(serial, r"alive-42-goes-on", 120)
vm.terminate()
vm.wait(60)
print("saved and restored")
