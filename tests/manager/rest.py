#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP as docs/openapi.yaml describes it: every path and method is answered, replies fit their schemas.
`tests/manager/rest.py BUILD [TEST...]`"""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import struct
import time

import yaml

import doors
import hostlib

SPEC = yaml.safe_load((pathlib.Path(__file__).resolve().parents[2] / "docs/openapi.yaml").read_text())
METHODS = ("get", "post", "put", "patch", "delete")
TINY = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel></os>
<devices><serial type='pty'/></devices></domain>"""
used = set()


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("lodge", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)
        self.sock.settimeout(60)


def unix(h):
    return Unix(str(h.root / "run/lodge/lodge.sock"))


def deref(node):
    while isinstance(node, dict) and "$ref" in node:
        at = SPEC
        for key in node["$ref"][2:].split("/"):
            at = at[key]
        node = at
    return node


def fits(value, schema, where="reply"):
    """What is wrong with the value; None: nothing."""
    schema = deref(schema)
    if value is None:
        return None if schema.get("nullable") else f"{where}: null"
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    kind = schema.get("type")
    if kind and (not isinstance(value, kinds[kind]) or (kind != "boolean" and isinstance(value, bool))):
        return f"{where}: {value!r} is no {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where}: {value!r} is not one of {schema['enum']}"
    if kind == "array":
        for i, item in enumerate(value):
            if wrong := fits(item, schema["items"], f"{where}[{i}]"):
                return wrong
    if kind == "object" and "properties" in schema:
        for name in schema.get("required", ()):
            if name not in value:
                return f"{where}: no {name}"
        for name, item in value.items():
            if name not in schema["properties"]:
                return f"{where}: {name} is not described"
            if wrong := fits(item, schema["properties"][name], f"{where}.{name}"):
                return wrong
    return None


def template(path):
    """The described path that this one is, and its description; a fixed segment wins."""
    best = None
    for known, item in SPEC["paths"].items():
        want, have = known.split("/"), path.split("/")
        if len(want) != len(have):
            continue
        if all(a == b or a.startswith("{") for a, b in zip(want, have)):
            score = sum(a == b for a, b in zip(want, have))
            if not best or score > best[0]:
                best = (score, known, item)
    return best[1:] if best else (None, None)


def ask(h, method, path, body=None, kind="text/xml", status=None, connection=None, headers=()):
    """(status, reply); the reply is held against what docs/openapi.yaml says of this path and status."""
    c = connection or unix(h)
    head = dict(headers)
    if isinstance(body, dict):
        body, kind = json.dumps(body), "application/json"
    if body is not None:
        head["Content-Type"] = kind
    prefix = "" if path == "/metrics" else "/v1"
    c.request(method, prefix + path, body=body, headers=head)
    r = c.getresponse()
    data = r.read()
    known, item = template(path.split("?")[0])
    h.check(known and method.lower() in item, f"{method} {path} is described")
    used.add((known, method.lower()))
    responses = item[method.lower()]["responses"]
    described = deref(responses.get(str(r.status), responses.get("default")) or
                      (SPEC["components"]["responses"]["error"] if r.status >= 400 else None))
    h.check(described, f"{method} {path}: status {r.status} is described: {data[:300]}")
    content = described.get("content", {})
    reply = None
    if content and data:
        got = r.headers.get_content_type()
        h.check(got in content, f"{method} {path}: {got} is described")
        reply = json.loads(data) if got == "application/json" else data.decode()
        if got == "application/json":
            wrong = fits(reply, content[got]["schema"])
            h.check(not wrong, f"{method} {path}: {wrong}")
    if status is not None:
        h.equal(r.status, status, f"{method} {path}: {data[:500]}")
    return r.status, reply


def kernel(h):
    """A kernel that only waits: two instructions at a PVH entry would do, and so does any ELF that halts."""
    path = h.root / "kernel"
    if not path.exists():
        path.write_bytes(idle_elf())
    return path


def idle_elf():
    """A 32-bit ELF with a PVH note whose code is cli; hlt; jmp back."""
    base, code = 0x100000, b"\xfa\xf4\xeb\xfd"
    note = struct.pack("<III", 4, 4, 18) + b"Xen\0" + struct.pack("<I", base + 0x1000)
    head = b"\x7fELF\x01\x01\x01" + b"\0" * 9 + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 0x1000, 52, 0, 0, 52,
                                                          32, 2, 40, 0, 0)
    load = struct.pack("<IIIIIIII", 1, 0x1000, base + 0x1000, base + 0x1000, len(code), len(code), 5, 0x1000)
    pt_note = struct.pack("<IIIIIIII", 4, 0x200, base + 0x200, base + 0x200, len(note), len(note), 4, 4)
    image = bytearray(0x1000 + len(code))
    image[:len(head)] = head
    image[52:52 + 64] = load + pt_note
    image[0x200:0x200 + len(note)] = note
    image[0x1000:] = code
    return bytes(image)


def host(h):
    ask(h, "GET", "/version", status=200)
    ask(h, "GET", "/host", status=200)
    h.has(ask(h, "GET", "/host/capabilities", status=200)[1], "<capabilities>", "capabilities")
    text = ask(h, "GET", "/metrics", status=200)[1]
    for line in text.splitlines():
        h.check(re.fullmatch(r"# (HELP|TYPE) \w+ .*|\w+(\{\w+=\"[^\"]*\"\})? \d+", line), f"Prometheus' format: {line}")
    h.has(text, "lodge_machines 0", "a count")


def machines(h):
    ask(h, "GET", "/machines", status=200)
    ask(h, "GET", "/machines/none", status=404)
    status, reply = ask(h, "POST", "/machines", TINY.format(name="a", kernel=kernel(h)), status=201)
    h.equal((reply["name"], reply["state"], reply["id"]), ("a", "shutoff", None), "defined")
    uuid = reply["uuid"]
    h.equal(ask(h, "GET", f"/machines/{uuid}", status=200)[1]["name"], "a", "by UUID")
    ask(h, "POST", "/machines", "<domain/>", status=400)
    ask(h, "POST", "/machines", "", status=400)
    h.has(ask(h, "GET", "/machines/a/xml?inactive=true", status=200)[1], "<name>a</name>", "XML")
    h.equal(ask(h, "POST", "/machines/a/start", status=200)[1]["state"], "running", "started")
    ask(h, "POST", "/machines/a/start", status=409)
    h.equal(ask(h, "POST", "/machines/a/suspend", status=200)[1]["state"], "paused", "paused")
    h.equal(ask(h, "POST", "/machines/a/resume", status=200)[1]["state"], "running", "resumed")
    ask(h, "POST", "/machines/a/reset", status=200)
    h.equal(ask(h, "GET", "/machines/a/stats", status=200)[1]["state"], "running", "statistics")
    h.equal([s["name"] for s in ask(h, "GET", "/stats", status=200)[1]], ["a"], "of all")
    h.has(ask(h, "GET", "/metrics", status=200)[1], 'machine="a"', "metrics of it")
    h.has(ask(h, "GET", "/machines/a/log?lines=5", status=200)[1], "lodge-vm", "the log")
    ask(h, "PATCH", "/machines/a", {"autostart": True, "title": "A title"}, status=200)
    h.equal(ask(h, "GET", "/machines/a", status=200)[1]["autostart"], True, "autostart")
    ask(h, "PATCH", "/machines/a", {"vcpus": "many"}, status=400)
    ask(h, "PATCH", "/machines/a", "{", kind="application/json", status=400)
    ask(h, "GET", "/machines/a/addresses")
    for method in ("POST", "PUT", "DELETE"):
        ask(h, method, "/machines/a/devices", "<nonsense/>")
    ask(h, "POST", "/machines/a/nmi")
    ask(h, "POST", "/machines/a/reboot", {"mode": "acpi"})
    ask(h, "POST", "/machines/a/shutdown", {"mode": "acpi"})
    ask(h, "POST", "/machines/a/destroy", status=200)
    ask(h, "PATCH", "/machines/a", {"name": "b"}, status=200)
    ask(h, "GET", "/machines/a", status=404)
    ask(h, "DELETE", "/machines/b", status=204)
    reply = ask(h, "POST", "/machines?transient=true", TINY.format(name="t", kernel=kernel(h)), status=201)[1]
    h.equal((reply["persistent"], reply["state"]), (False, "running"), "a transient one")
    ask(h, "POST", "/machines/t/destroy", status=204)
    ask(h, "GET", "/machines/t", status=404)


def snapshots(h):
    ask(h, "POST", "/machines", TINY.format(name="s", kernel=kernel(h)), status=201)
    ask(h, "GET", "/machines/s/snapshots")
    ask(h, "POST", "/machines/s/snapshots", "<domainsnapshot><name>one</name></domainsnapshot>")
    for method in ("GET", "POST", "DELETE"):
        ask(h, method, "/machines/s/snapshots/one")
    ask(h, "DELETE", "/machines/s?snapshots=true", status=204)


def operations(h):
    """Saving and restoring as operations."""
    ask(h, "POST", "/machines?start=true", TINY.format(name="o", kernel=kernel(h)), status=201)
    status, op = ask(h, "POST", "/machines/o/save", {"file": str(h.root / "saved")}, status=202)
    h.equal((op["state"], op["object"]), ("running", "/v1/machines/o"), "an operation")
    op = ask(h, "GET", f"/operations/{op['id']}?wait=20", status=200)[1]
    h.equal(op["state"], "done", f"it ends: {op}")
    h.check((h.root / "saved").stat().st_size > 0, "its file")
    h.check(any(o["id"] == op["id"] for o in ask(h, "GET", "/operations", status=200)[1]), "it is listed")
    ask(h, "DELETE", f"/operations/{op['id']}", status=409)
    ask(h, "GET", "/operations/99999", status=404)
    reply = ask(h, "POST", "/machines/o/restore?wait=20", {"file": str(h.root / "saved")}, status=200)[1]
    h.equal(reply["state"], "running", "restored, waiting for it")
    ask(h, "POST", "/machines/o/save", {"file": "relative"}, status=202)
    ask(h, "POST", "/machines/o/managedsave?wait=20", status=200)
    h.equal(ask(h, "GET", "/machines/o", status=200)[1]["managed_save"], True, "a managed save")
    ask(h, "DELETE", "/machines/o?managed_save=true", status=204)


def networks(h):
    names = [n["name"] for n in ask(h, "GET", "/networks", status=200)[1]]
    h.equal(names, ["default"], "the default network")
    xml = "<network><name>n</name><ip address='10.77.0.1' prefix='24'/></network>"
    ask(h, "POST", "/networks", xml, status=201)
    ask(h, "POST", "/networks", "<network/>", status=400)
    h.equal(ask(h, "POST", "/networks/n/start", status=200)[1]["active"], True, "started")
    ask(h, "PATCH", "/networks/n", {"autostart": True}, status=200)
    ask(h, "GET", "/networks/n", status=200)
    h.has(ask(h, "GET", "/networks/n/xml", status=200)[1], "10.77.0.1", "XML")
    ask(h, "GET", "/networks/n/leases", status=200)
    ask(h, "POST", "/networks/n/destroy", status=200)
    ask(h, "DELETE", "/networks/n", status=204)
    ask(h, "GET", "/networks/n", status=404)


def pools(h):
    ask(h, "GET", "/pools", status=200)
    folder = h.root / "pool"
    xml = f"<pool type='dir'><name>p</name><target><path>{folder}</path></target></pool>"
    ask(h, "POST", "/pools?build=true", xml, status=201)
    h.equal(ask(h, "POST", "/pools/p/start", status=200)[1]["active"], True, "started")
    ask(h, "PATCH", "/pools/p", {"autostart": True}, status=200)
    h.equal(ask(h, "GET", "/pools/p", status=200)[1]["path"], str(folder), "its path")
    h.has(ask(h, "GET", "/pools/p/xml", status=200)[1], str(folder), "XML")
    vol = "<volume><name>{}</name><capacity unit='MiB'>8</capacity><target><format type='{}'/></target></volume>"
    reply = ask(h, "POST", "/pools/p/volumes", vol.format("v", "raw"), status=201)[1]
    h.equal((reply["name"], reply["capacity"]), ("v", 8 << 20), "a volume")
    ask(h, "POST", "/pools/p/volumes?from=v", vol.format("copy", "raw"), status=201)
    h.equal(len(ask(h, "GET", "/pools/p/volumes", status=200)[1]), 2, "two volumes")
    data = os.urandom(5 << 20)
    ask(h, "PUT", "/pools/p/volumes/v/data", data, kind="application/octet-stream", status=204)
    h.check((folder / "v").read_bytes()[:5 << 20] == data, "what was sent is there")
    c = unix(h)
    c.request("GET", "/v1/pools/p/volumes/v/data")
    r = c.getresponse()
    used.add(("/pools/{pool}/volumes/{volume}/data", "get"))
    got = r.read()
    h.check(r.status == 200 and got[:5 << 20] == data and len(got) == 8 << 20, f"it comes back: {len(got)} bytes")
    ask(h, "PUT", "/pools/p/volumes/none/data", b"x" * 300000, kind="application/octet-stream", status=404)
    h.equal(ask(h, "PATCH", "/pools/p/volumes/v", {"capacity": 16 << 20}, status=200)[1]["capacity"], 16 << 20, "grown")
    ask(h, "GET", "/pools/p/volumes/v", status=200)
    h.has(ask(h, "GET", "/pools/p/volumes/v/xml", status=200)[1], "<name>v</name>", "XML")
    ask(h, "DELETE", "/pools/p/volumes/v", status=204)
    ask(h, "DELETE", "/pools/p/volumes/copy", status=204)
    ask(h, "GET", "/pools/p/volumes/v", status=404)
    ask(h, "POST", "/pools/p/refresh", status=200)
    ask(h, "POST", "/pools/p/destroy", status=200)
    ask(h, "POST", "/pools/p/build", status=200)
    ask(h, "POST", "/pools/p/delete", status=200)
    ask(h, "DELETE", "/pools/p", status=204)


def events(h):
    """Server-sent events, resumed by the last one's number; the same over a WebSocket."""
    c = unix(h)
    c.request("GET", "/v1/events")
    r = c.getresponse()
    used.add(("/events", "get"))
    h.equal(r.headers.get_content_type(), "text/event-stream", "its type")

    def one(response):
        while True:
            line = response.readline().decode()
            if line.startswith("data: "):
                return json.loads(line[6:])

    ws = upgrade(h, "/v1/events?object=machine", "websocket")
    ask(h, "POST", "/machines", TINY.format(name="e", kernel=kernel(h)), status=201)
    first = one(r)
    h.equal((first["object"], first["name"], first["kind"], first["event"]), ("machine", "e", "lifecycle", "defined"),
            "the event")
    wrong = fits(first, {"$ref": "#/components/schemas/Event"})
    h.check(not wrong, f"an event fits its schema: {wrong}")
    ask(h, "DELETE", "/machines/e", status=204)
    h.equal(one(r)["event"], "undefined", "the next")
    h.equal([json.loads(message(ws)[1])["event"] for _ in range(2)], ["defined", "undefined"], "over a WebSocket")
    again = unix(h)
    again.request("GET", "/v1/events", headers={"Last-Event-ID": str(first["serial"])})
    h.equal(one(again.getresponse())["event"], "undefined", "from where it was")
    ws.close()


def upgrade(h, path, protocol):
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(h.root / "run/lodge/lodge.sock"))
    s.settimeout(20)
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: lodge\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"
              f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += s.recv(1)
    h.has(head.decode(), "HTTP/1.1 101", f"{protocol} on {path}")
    if protocol == "websocket":
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        h.has(head, accept, "its answer to the key")
    return s


def message(s):
    """(opcode, payload) of a frame from the server."""
    head = s.recv(2, socket.MSG_WAITALL)
    size = head[1] & 127
    if size == 126:
        size = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))[0]
    return head[0] & 15, s.recv(size, socket.MSG_WAITALL)


def send(s, op, data):
    mask = os.urandom(4)
    s.sendall(bytes([0x80 | op, 0x80 | len(data)]) + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(data)))


def console(h):
    used.add(("/machines/{name}/console", "get"))
    ask(h, "POST", "/machines?start=true", TINY.format(name="c", kernel=kernel(h)), status=201)
    ask(h, "GET", "/machines/c/console", status=400)
    s = upgrade(h, "/v1/machines/c/console", "websocket")
    send(s, 2, b"typed")
    send(s, 9, b"there?")
    h.equal(message(s), (10, b"there?"), "a ping's answer")
    send(s, 8, b"\x03\xe8")
    h.equal(message(s), (8, b"\x03\xe8"), "closing is answered")
    s.close()
    s = upgrade(h, "/v1/machines/c/console?force=true", "lodge-console")
    s.close()
    s = upgrade(h, "/v1/machines/c/console?force=true", "websocket")
    s.sendall(b"\x82\x05hello")
    h.equal(rest_of(s), b"", "a frame without a mask ends it")
    ask(h, "POST", "/machines/c/destroy", status=200)
    ask(h, "DELETE", "/machines/c", status=204)


def rest_of(s):
    """What still comes until the end."""
    data = b""
    try:
        while more := s.recv(4096):
            data += more
    except ConnectionError:
        pass
    return data


def bad_requests(h):
    c = unix(h)
    c.request("BREW", "/v1/machines")
    h.check(c.getresponse().status in (400, 404, 405, 501), "an unknown method")
    for path in ("/", "/v1", "/v2/machines", "/v1/machines/", "/v1/machines//xml", "/v1/machines/a/b/c/d/e",
                 "/v1/machines/%00", "/v1/machines/%2e%2e%2f"):
        c = unix(h)
        c.request("GET", path)
        h.check(c.getresponse().status in (400, 404), f"{path} is not found")
    c = unix(h)
    c.request("POST", "/v1/machines", body=b"x" * (17 << 20), headers={"Content-Type": "text/xml"})
    h.equal(c.getresponse().status, 413, "17 MiB of definition")
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(h.root / "run/lodge/lodge.sock"))
    s.sendall(b"POST /v1/machines HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n")
    s.close()
    for junk in (b"\0" * 5000, b"GET " + b"a" * 100000, os.urandom(5000)):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(h.root / "run/lodge/lodge.sock"))
        try:
            s.sendall(junk)
        except ConnectionError:
            pass
        s.close()
    quiet = [socket.socket(socket.AF_UNIX) for _ in range(300)]
    for s in quiet:
        s.connect(str(h.root / "run/lodge/lodge.sock"))
        s.sendall(b"GET /v1/")
    ask(h, "GET", "/machines", status=200)
    for s in quiet:
        s.close()


def tokens(h):
    digest = hashlib.sha256(b"secret").hexdigest()
    doors.configure(h, f"[identity bot]\nrole = read\ntoken = sha256:{digest}\n[identity one]\nrole = none\n"
                       f"token = sha256:{hashlib.sha256(b'one').hexdigest()}\nmachine-mine = operate\n",
                    doors="rest_tls = 127.0.0.1:16500")

    def tls():
        context = ssl.create_default_context(cafile=str(h.root / "pki/cacert.pem"))
        return http.client.HTTPSConnection("localhost", 16500, context=context, timeout=20)

    ask(h, "GET", "/machines", connection=tls(), status=401)
    ask(h, "GET", "/machines", connection=tls(), headers={"Authorization": "Bearer wrong"}, status=401)
    ask(h, "GET", "/version", connection=tls(), status=200)
    bot, one = {"Authorization": "Bearer secret"}, {"Authorization": "Bearer one"}
    ask(h, "GET", "/machines", connection=tls(), headers=bot, status=200)
    ask(h, "POST", "/networks/default/destroy", connection=tls(), headers=bot, status=403)
    for name in ("mine", "other"):
        ask(h, "POST", "/machines", TINY.format(name=name, kernel=kernel(h)), status=201)
    ask(h, "POST", "/machines/mine/start", connection=tls(), headers=one, status=200)
    ask(h, "POST", "/machines/mine/destroy", connection=tls(), headers=one, status=200)
    ask(h, "POST", "/machines/other/start", connection=tls(), headers=one, status=403)
    ask(h, "DELETE", "/machines/mine", connection=tls(), headers=one, status=403)
    log = (h.root / "var/log/lodge/audit.log").read_text()
    h.has(log, "denied token bot from 127.0.0.1", "the audit log tells")


def complete(h):
    """Nothing that the document describes was left out above."""
    every = {(path, method) for path, item in SPEC["paths"].items() for method in METHODS if method in item}
    h.equal(sorted(every - used), [], "paths that no test has asked")


if __name__ == "__main__":
    hostlib.main([host, machines, snapshots, operations, networks, pools, events, console, bad_requests, tokens,
                  complete])
