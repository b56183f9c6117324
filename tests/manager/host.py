#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The host by unmodified clients: what it is and can, secrets, devices, events, streams; libvirt-python's event
loop, virt-install. `tests/manager/host.py BUILD [TEST...]`"""
import os
import re
import socket
import subprocess
import threading
import time

import libvirt

import hostlib
import rest

SECRET = "<secret ephemeral='{}' private='{}'><usage type='volume'><volume>/{}</volume></usage></secret>"


def uri(h):
    return f"qemu+unix:///system?socket={h.socket}"


def documents(h):
    caps = h.virsh("capabilities")
    h.valid(caps, "capability")
    h.valid(h.virsh("domcapabilities"), "domaincaps")
    h.virsh("domcapabilities", "--arch", "riscv64", ok=False)
    h.virsh("domcapabilities", "--machine", "pc-i440fx-9.0", ok=False)
    h.has(h.virsh("maxvcpus"), "255", "most vCPUs")
    f = h.file("caps.xml", caps)
    h.has(h.virsh("cpu-compare", f), "identical", "the host's CPU to itself")
    h.has(h.virsh("cpu-baseline", f), "<model", "baseline")
    h.has(h.virsh("cpu-models", "x86_64"), "x86-64-v2", "models")
    f.write_text("<cpu><arch>x86_64</arch><model>x86-64-v2</model><feature name='nosuch' policy='require'/></cpu>")
    h.has(h.virsh("cpu-compare", f, ok=None), "incompatible", "a feature the host has not")
    f.write_text("<cpu><arch>x86_64</arch><model>Imaginary</model></cpu>")
    h.virsh("cpu-compare", f, ok=False)


def numbers(h):
    """Against what the kernel's own tools say."""
    info = dict(re.findall(r"^(.+?):\s+(.*)$", h.virsh("nodeinfo"), re.M))
    h.equal(info["CPU(s)"], str(os.cpu_count()), "CPUs")
    total = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read())[1])
    h.equal(info["Memory size"], f"{total} KiB", "memory")
    h.has(h.virsh("nodecpumap"), "y" * os.cpu_count(), "the map of CPUs")
    cpu = dict(re.findall(r"(\w+):\s+(\d+)", h.virsh("nodecpustats")))
    h.equal(sorted(cpu), ["idle", "iowait", "system", "user"], "times")
    h.has(h.virsh("nodecpustats", "--cpu", "0"), "idle", "of one CPU")
    h.virsh("nodecpustats", "--cpu", "4000", ok=False)
    h.has(h.virsh("nodecpustats", "--percent"), "%", "in percent")
    h.has(h.virsh("nodememstats"), f"{total} KiB", "memory's statistics")
    h.has(h.virsh("freecell", "--all"), "KiB", "cells")
    h.has(h.virsh("freepages", "--all"), "4KiB", "pages")
    h.equal(h.virsh("hostname").strip(), socket.gethostname(), "name")
    h.has(h.virsh("version"), "Running hypervisor: QEMU 9.2.0", "versions")
    h.has(h.virsh("uri"), "qemu+unix:///system", "URI")
    h.virsh("node-suspend", "mem", "100", ok=False)


def secrets(h):
    c = libvirt.open(uri(h))

    def define(*a):
        return c.secretDefineXML(SECRET.format(*a)).UUIDString()

    open_, private, short = define("no", "no", "a"), define("no", "yes", "b"), define("yes", "no", "c")
    c.close()
    for s in (open_, private, short):
        h.virsh("secret-set-value", s, "c2VjcmV0")
        h.valid(h.virsh("secret-dumpxml", s), "secret")
    h.has(h.virsh("secret-get-value", open_), "c2VjcmV0", "a value")
    h.has(h.virsh("secret-get-value", private, ok=False), "private", "a private one stays here")
    h.has(h.virsh("secret-define", h.file("s.xml", SECRET.format("no", "no", "a")), ok=False), "already", "one use")
    h.equal(h.virsh("secret-list").count("volume"), 3, "three")
    h.equal(h.virsh("secret-list", "--ephemeral").count("volume"), 1, "one is ephemeral")
    files = list((h.root / "var/lib/lodge/secrets").iterdir())
    h.check(len(files) == 2 and all(f.stat().st_mode & 0o777 == 0o600 for f in files), f"kept for the daemon only: {files}")
    h.restart()
    h.equal(h.virsh("secret-list").count("volume"), 2, "two outlive the daemon")
    h.has(h.virsh("secret-get-value", open_), "c2VjcmV0", "with their values")
    for s in (open_, private):
        h.virsh("secret-undefine", s)
    h.equal(list((h.root / "var/lib/lodge/secrets").iterdir()), [], "nothing stays")
    h.virsh("secret-dumpxml", open_, ok=False)
    for bad in ("<secret><usage type='volume'/></secret>", "<secret><usage type='odd'/></secret>", "<secret><x/></secret>"):
        h.virsh("secret-define", h.file("s.xml", bad), ok=False)


def devices(h):
    names = h.virsh("nodedev-list").split()
    h.check("computer" in names, f"the computer: {names}")
    for name in names:
        h.valid(h.virsh("nodedev-dumpxml", name), "nodedev")
    h.equal(len(h.virsh("nodedev-list", "--cap", "pci").split()), sum(n.startswith("pci_") for n in names), "PCI's")
    h.virsh("nodedev-dumpxml", "nonsense", ok=False)
    for line in h.virsh("iface-list", "--all").splitlines():
        if line.split():
            h.valid(h.virsh("iface-dumpxml", line.split()[0]), "interface")
    h.virsh("iface-dumpxml", "nonsense", ok=False)


def not_supported(h):
    """What is not there says so with libvirt's own code."""
    c = libvirt.open(uri(h))
    for call in (lambda: c.suspendForDuration(0, 60), lambda: c.getSEVInfo(), lambda: c.changeBegin()):
        try:
            call()
            h.check(False, "it is supported")
        except libvirt.libvirtError as e:
            h.equal(e.get_error_code(), libvirt.VIR_ERR_NO_SUPPORT, "its code")
    try:
        c.lookupByName("none")
    except libvirt.libvirtError as e:
        h.equal(e.get_error_code(), libvirt.VIR_ERR_NO_DOMAIN, "no machine")
    h.equal((c.isSecure(), c.isEncrypted(), c.isAlive(), c.getType(), c.getLibVersion()), (1, 0, 1, "QEMU", 11000000),
            "of the connection")
    c.close()


def event_loop(h):
    """libvirt-python's loop, with keepalive and every event there is."""
    libvirt.virEventRegisterDefaultImpl()
    running = [True]

    def loop():
        while running[0]:
            libvirt.virEventRunDefaultImpl()

    tick = libvirt.virEventAddTimeout(50, lambda *a: None, None)
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    c = libvirt.open(uri(h))
    h.equal(c.setKeepAlive(5, 3), 0, "keepalive")
    heard, closed = [], []
    c.registerCloseCallback(lambda *a: closed.append(a), None)
    ids = [c.domainEventRegisterAny(None, 0, lambda conn, dom, event, detail, o: heard.append(
        ("domain", dom.name(), event, detail, time.monotonic())), None)]
    for i in range(1, 27):
        ids.append(c.domainEventRegisterAny(None, i, lambda *a: heard.append(("other", a)), None))
    net = c.networkEventRegisterAny(None, 0, lambda conn, n, event, detail, o: heard.append(
        ("network", n.name(), event)), None)
    pool = c.storagePoolEventRegisterAny(None, 0, lambda conn, p, event, detail, o: heard.append(
        ("pool", p.name(), event)), None)
    c.nodeDeviceEventRegisterAny(None, 0, lambda *a: None, None)
    secret = c.secretEventRegisterAny(None, 0, lambda conn, s, event, detail, o: heard.append(("secret", event)), None)

    def until(what, want):
        h.until(lambda: any(want(e) for e in list(heard)), f"{what}: {heard}")

    dom = c.defineXML(rest.TINY.format(name="ev", kernel=rest.kernel(h)))
    until("defined", lambda e: e[:4] == ("domain", "ev", 0, 0))
    start = time.monotonic()
    dom.create()
    until("started", lambda e: e[:4] == ("domain", "ev", 2, 0))
    h.check(next(e[4] for e in heard if e[:3] == ("domain", "ev", 2)) - start < 2, "at once")
    dom.suspend()
    until("suspended", lambda e: e[:3] == ("domain", "ev", 3))
    dom.resume()
    until("resumed", lambda e: e[:3] == ("domain", "ev", 4))
    dom.destroy()
    until("stopped", lambda e: e[:4] == ("domain", "ev", 5, 1))
    dom.undefine()
    until("undefined", lambda e: e[:4] == ("domain", "ev", 1, 0))
    n = c.networkDefineXML("<network><name>evn</name></network>")
    until("a network's", lambda e: e == ("network", "evn", 0))
    n.undefine()
    s = c.secretDefineXML(SECRET.format("yes", "no", "z"))
    until("a secret's", lambda e: e == ("secret", 0))
    s.undefine()
    for i in ids:
        c.domainEventDeregisterAny(i)
    c.networkEventDeregisterAny(net)
    c.storagePoolEventDeregisterAny(pool)
    c.secretEventDeregisterAny(secret)
    count = len(heard)
    c.networkDefineXML("<network><name>evn</name></network>").undefine()
    time.sleep(0.3)
    h.equal(len(heard), count, "after deregistering")
    h.kill()
    h.until(lambda: closed, "the end of the daemon is noticed", 20)
    running[0] = False
    thread.join(5)
    libvirt.virEventRemoveTimeout(tick)
    h.start()


def streams(h):
    """Up and down, sparse and not, broken off at both ends."""
    folder = h.root / "pool"
    h.virsh("pool-create-as", "st", "dir", "--target", folder, "--build")
    data = os.urandom(3 << 20)
    (h.root / "data").write_bytes(data)
    h.virsh("vol-create-as", "st", "v", "16M", "--format", "raw")
    h.virsh("vol-upload", "v", h.root / "data", "--pool", "st")
    h.virsh("vol-download", "v", h.root / "back", "--pool", "st")
    h.equal((h.root / "back").read_bytes(), data.ljust(16 << 20, b"\0"), "up and down")
    h.virsh("vol-download", "v", h.root / "back", "--pool", "st", "--offset", "1000", "--length", "5000")
    h.check((h.root / "back").read_bytes() == data[1000:6000], "a piece")
    with open(h.root / "sparse", "wb") as f:
        f.truncate(16 << 20)
        f.seek(8 << 20)
        f.write(data[:65536])
    h.virsh("vol-upload", "v", h.root / "sparse", "--pool", "st", "--sparse")
    h.check((folder / "v").read_bytes() == (h.root / "sparse").read_bytes(), "sparse, up")
    h.check((folder / "v").stat().st_blocks * 512 < 1 << 20, "holes stay holes")
    h.virsh("vol-download", "v", h.root / "back", "--pool", "st", "--sparse")
    h.check((h.root / "back").read_bytes() == (h.root / "sparse").read_bytes(), "sparse, down")
    h.check((h.root / "back").stat().st_blocks * 512 < 1 << 20, "there too")
    h.has(h.virsh("vol-upload", "v", h.root / "data", "--pool", "st", "--offset", "99999999999999", ok=False), "error",
          "an absurd offset")
    c = libvirt.open(uri(h))
    vol = c.storagePoolLookupByName("st").storageVolLookupByName("v")
    s = c.newStream()
    vol.download(s, 0, 0)
    s.recv(1000)
    s.abort()
    s = c.newStream()
    vol.upload(s, 0, 0)
    s.send(b"x" * 100000)
    s.abort()
    h.equal(c.getType(), "QEMU", "the connection outlives its streams")
    s = c.newStream()
    vol.upload(s, 0, 0)
    s.send(b"y" * 1000000)
    child = subprocess.Popen(["virsh", "-c", uri(h), "vol-upload", "v", "/dev/zero", "--pool", "st", "--length", "0"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    child.kill()
    child.wait()
    threads = lambda: len(os.listdir(f"/proc/{h.daemon.pid}/task"))
    s.finish()
    c.close()
    h.virsh("vol-list", "st")
    h.until(lambda: not any("stream" in open(f"/proc/{h.daemon.pid}/task/{t}/comm").read()
                            for t in os.listdir(f"/proc/{h.daemon.pid}/task")), f"no stream stays ({threads()})")
    h.virsh("pool-destroy", "st")


def virt_install(h):
    """To a running machine, with its disk in a pool; virt-xml and virt-clone on it."""
    env = ["env", "LC_ALL=C", f"HOME={h.root}"]
    h.run(*env, "virt-install", "--connect", uri(h), "--virt-type", "qemu", "--name", "vi", "--memory", "64", "--vcpus",
          "1", "--import", "--disk", "size=1,format=qcow2,bus=virtio", "--network", "none", "--graphics", "none",
          "--osinfo", "detect=off,require=off", "--boot", f"kernel={rest.kernel(h)}", "--noautoconsole", "--wait", "0",
          timeout=60)
    h.has(h.virsh("list"), "running", "it runs")
    h.valid(h.virsh("dumpxml", "vi"), "domain")
    h.virsh("destroy", "vi")
    h.run(*env, "virt-xml", "--connect", uri(h), "vi", "--edit", "--memory", "96", timeout=60)
    h.has(h.virsh("dominfo", "vi"), "98304 KiB", "virt-xml")
    h.run(*env, "virt-clone", "--connect", uri(h), "--original", "vi", "--name", "vj", "--auto-clone", timeout=60)
    h.has(h.virsh("list", "--all"), "vj", "virt-clone")
    for name in ("vi", "vj"):
        h.virsh("undefine", name, "--remove-all-storage")


if __name__ == "__main__":
    hostlib.main([documents, numbers, secrets, devices, not_supported, event_loop, streams, virt_install])
