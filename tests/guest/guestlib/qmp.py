# SPDX-License-Identifier: GPL-2.0-or-later
"""A small QMP client."""
import json
import socket
import time


# Arguments whose names Python cannot write as keywords.
DASHED = {"node_name": "node-name", "read_only": "read-only"}


class QMPError(Exception):
    """The server answered with an error; args: (class, description)."""


class QMP:
    """Connects to the unix socket `path` (waiting until it is there) and negotiates."""

    def __init__(self, path, timeout=30):
        deadline = time.monotonic() + timeout
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            try:
                self.sock.connect(str(path))
                break
            except OSError:
                self.sock.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.file = self.sock.makefile("rw", encoding="utf-8")
        self.events = []
        self.sock.settimeout(timeout)
        self.greeting = self._line()["QMP"]
        self.command("qmp_capabilities")

    def _line(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("QMP connection closed")
        return json.loads(line)

    def command(self, name, /, **arguments):
        request = {"execute": name}
        if arguments:
            request["arguments"] = {DASHED.get(k, k): v for k, v in arguments.items()}
        self.file.write(json.dumps(request) + "\n")
        self.file.flush()
        while True:
            answer = self._line()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QMPError(answer["error"]["class"], answer["error"]["desc"])
            else:
                return answer["return"]

    def event(self, name, timeout=30):
        """The next event of that name, among those already received or to come."""
        deadline = time.monotonic() + timeout
        while True:
            for e in self.events:
                if e["event"] == name:
                    self.events.remove(e)
                    return e
            self.sock.settimeout(max(0.1, deadline - time.monotonic()))
            answer = self._line()
            if "event" in answer:
                self.events.append(answer)

    def close(self):
        self.file.close()
        self.sock.close()
