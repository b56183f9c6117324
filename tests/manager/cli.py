#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line `lodge` against the daemon, from nothing to a Debian with more disks and cards.
`tests/manager/cli.py BUILD [TEST...]`"""
import json
import os
import pathlib
import pty
import re
import select
import subprocess
import time

import hostlib

NETWORK = """<network><name>lab</name><bridge name='labbr0'/><ip address='10.55.0.1' netmask='255.255.255.0'>
<dhcp><range start='10.55.0.10' end='10.55.0.99'/></dhcp></ip></network>"""


def lodge(h, *argv, ok=True, timeout=60, input=None):
    return h.run(h.build / "src/prog/lodge", *argv[:1], "-c", h.root / "run/lodge/lodge.sock", *argv[1:],
                 ok=ok, timeout=timeout, input=input)


def ask(h, *argv):
    return json.loads(lodge(h, *argv, "--json"))


def general(h):
    h.has(lodge(h, "version"), "qemu:///system", "version")
    h.has(lodge(h, "nodeinfo"), "translator", "nodeinfo says what guests run on")
    h.has(lodge(h, "list", "--all"), "State", "a list")
    h.equal(ask(h, "list"), [], "no machine runs")
    h.has(lodge(h, "lisst", ok=False), "did you mean 'list'", "a typing error")
    h.has(lodge(h, "info", "nobody", ok=False), "nobody", "a machine that is not there")
    h.has(h.run(h.build / "src/prog/lodge", "help", "attach-disk"), "--live", "help")
    script = h.run(h.build / "src/prog/lodge", "completion", "bash")
    h.run("bash", "-n", "-c", script)
    h.has(h.run(h.build / "src/prog/lodge", "-c", h.root / "no-socket", "list", ok=False), "no-socket",
          "no daemon there")


def networks(h):
    path = h.file("lab.xml", NETWORK)
    lodge(h, "net-define", path)
    lodge(h, "net-start", "lab")
    lodge(h, "net-autostart", "lab")
    h.check([n for n in ask(h, "net-list") if n["name"] == "lab" and n["active"] and n["autostart"]],
            "the network is on")
    h.has(lodge(h, "net-dumpxml", "lab"), "10.55.0.10", "its definition")
    h.has(lodge(h, "net-info", "lab"), "labbr0", "its bridge")
    lodge(h, "net-destroy", "lab")
    h.lacks(lodge(h, "net-list"), "lab", "it is off")
    lodge(h, "net-start", "lab")


def apply(h):
    """A difference is shown, made so when agreed, and then there is none."""
    both = h.file("both.xml", "<lodge>" + NETWORK.replace("lab", "wanted").replace("10.55.", "10.56.") +
                  "<domain type='qemu'><name>small</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type "
                  "arch='x86_64'>hvm</type><kernel>/bin/true</kernel></os></domain></lodge>")
    shown = lodge(h, "apply", both, "--dry-run")
    h.has(shown, "machine small (new)", "a new machine is shown")
    h.has(shown, "+ memory = 64 MiB", "and what it is")
    h.lacks(lodge(h, "list", "--all"), "small", "but not made")
    lodge(h, "apply", both, "--yes")
    h.has(lodge(h, "list", "--all"), "small", "it is made")
    h.equal(lodge(h, "apply", both, "--yes").count("is as it shall be"), 2, "both are as they shall be")
    more = h.file("more.xml", both.read_text().replace("<vcpu>1<", "<vcpu>3<"))
    h.has(lodge(h, "apply", more, "--yes"), "~ vcpu: 1 -> 3", "a change is shown")
    h.equal(ask(h, "info", "small")["vcpus"], 3, "and made")
    h.has(lodge(h, "apply", h.file("bad.xml", "<nothing/>"), ok=False), "<nothing>", "a file of something else")
    lodge(h, "undefine", "small")
    lodge(h, "net-undefine", "wanted")


def volumes(h):
    data = os.urandom(300000)
    (h.root / "data").write_bytes(data)
    lodge(h, "vol-create-as", "default", "d.img", "1M", "--format", "raw")
    lodge(h, "vol-upload", "d.img", h.root / "data")
    lodge(h, "vol-download", "d.img", h.root / "back")
    h.check((h.root / "back").read_bytes()[:len(data)] == data, "what came back is what went there")
    lodge(h, "vol-resize", "d.img", "2M")
    h.equal(ask(h, "vol-info", "d.img")["capacity"], 2 << 20, "its new size")
    lodge(h, "vol-clone", "d.img", "e.img")
    h.has(lodge(h, "vol-list"), "e.img", "the copy")
    for name in ("d.img", "e.img"):
        lodge(h, "vol-delete", name)
    h.lacks(lodge(h, "vol-list"), "d.img", "it is gone")
    h.has(lodge(h, "pool-info", "default"), "running", "the pool")


def run_debian(h):
    lodge(h, "run", "debian", "--name", "web", "--detach", timeout=300)
    h.has(lodge(h, "list"), "web", "it runs")
    h.has(lodge(h, "shell", "--wait", "170", "web", "uname", "-a", timeout=180), "Debian", "a command in it")
    (h.root / "note").write_text("carried over\n")
    lodge(h, "cp", h.root / "note", "web:/root/note")
    h.equal(lodge(h, "shell", "web", "cat", "/root/note"), "carried over\n", "a file in it")
    lodge(h, "cp", "web:/etc/hostname", h.root / "hostname")
    h.check((h.root / "hostname").read_text().strip(), "a file out of it")
    leases = ask(h, "net-dhcp-leases", "default")
    addresses = ask(h, "domifaddr", "web")
    h.check({a["address"] for a in addresses} & {l["address"] for l in leases}, "its address is its lease's")
    h.check(ask(h, "domstats", "web")["cpu_ns"] > 0, "it uses the processor")
    h.has(lodge(h, "top", "-n", "2", "-d", "1"), "web", "top")


def disk_and_card(h):
    """In by `lodge`, seen, used and named by the guest, in the definition, out again."""
    h.run("truncate", "-s", "96M", h.root / "more.img")
    lodge(h, "attach-disk", "web", h.root / "more.img", "vdb", "--serial", "MORE", "--persistent")
    h.until(lambda: "100663296" in lodge(h, "shell", "web", "lsblk", "-bdn", "-o", "SIZE"), "the guest sees the disk")
    lodge(h, "attach-interface", "web", "network", "lab", "--mac", "52:54:00:aa:bb:01", "--persistent")
    h.until(lambda: "10.55.0." in lodge(h, "domifaddr", "web"), "the card has an address of its network", 60)
    address = [a["address"] for a in ask(h, "domifaddr", "web") if a["mac"] == "52:54:00:aa:bb:01"][0]
    h.run("ping", "-c", "1", "-W", "5", address)
    kept = lodge(h, "dumpxml", "--inactive", "web")
    h.has(kept, "52:54:00:aa:bb:01", "the card is in the kept definition")
    h.has(kept, "more.img", "and the disk")
    lodge(h, "domif-setlink", "web", "52:54:00:aa:bb:01", "down")
    h.until(lambda: "NO-CARRIER" in lodge(h, "shell", "web", "ip", "link"), "the cable is out")
    lodge(h, "detach-interface", "web", "--mac", "52:54:00:aa:bb:01", "--persistent")
    lodge(h, "detach-disk", "web", "vdb", "--persistent")
    h.until(lambda: "100663296" not in lodge(h, "shell", "web", "lsblk", "-bdn", "-o", "SIZE"), "the disk is gone", 20)
    h.lacks(lodge(h, "domiflist", "web"), "lab", "the card is gone")
    h.lacks(lodge(h, "dumpxml", "--inactive", "web"), "more.img", "and no longer kept")


def console(h):
    """On a terminal: what is typed arrives, ^] leaves and the terminal is as it was."""
    leader, follower = pty.openpty()
    p = subprocess.Popen([h.build / "src/prog/lodge", "console", "-c", h.root / "run/lodge/lodge.sock", "web"],
                         stdin=follower, stdout=follower, stderr=follower, start_new_session=True)
    seen = b""

    def until(pattern, seconds=30):
        nonlocal seen
        end = time.monotonic() + seconds
        while time.monotonic() < end and not re.search(pattern, seen):
            if select.select([leader], [], [], 0.2)[0]:
                seen += os.read(leader, 4096)
        h.check(re.search(pattern, seen), f"the console shows {pattern}, not {seen[-300:]}")

    until(rb"\^\] leaves")
    os.write(leader, b"\r")
    until(rb"login: ")
    os.write(leader, b"root\r")
    until(rb"# ")
    os.write(leader, b"echo in-$((40+2))\r")
    until(rb"in-42")
    os.write(leader, b"exit\r\x1d")
    h.equal(p.wait(20), 0, "the console's status")
    os.close(leader)
    os.close(follower)


def life(h):
    lodge(h, "suspend", "web")
    h.equal(lodge(h, "domstate", "web"), "paused\n", "paused")
    lodge(h, "resume", "web")
    lodge(h, "shell", "web", "touch", "/run/kept-in-memory")
    lodge(h, "managedsave", "web", timeout=120)
    h.equal(lodge(h, "domstate", "web"), "shutoff\n", "saved")
    lodge(h, "start", "web", timeout=120)
    lodge(h, "shell", "web", "test", "-e", "/run/kept-in-memory")
    lodge(h, "desc", "web", "a web server")
    h.equal(lodge(h, "desc", "web"), "a web server\n", "its description")
    editor = h.file("editor", "#!/bin/sh\nsed -i 's/a web server/an edited one/' \"$1\"\n")
    editor.chmod(0o755)
    os.environ["EDITOR"] = str(editor)
    lodge(h, "edit", "web")
    h.has(lodge(h, "dumpxml", "--inactive", "web"), "an edited one", "edit")
    watcher = subprocess.Popen([h.build / "src/prog/lodge", "events", "-c", h.root / "run/lodge/lodge.sock", "-n",
                                "1", "web", "--json"], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    lodge(h, "shutdown", "web")
    h.until(lambda: lodge(h, "domstate", "web") == "shutoff\n", "it shut down", 90)
    h.has(watcher.communicate(timeout=20)[0], '"web"', "an event")
    lodge(h, "domrename", "web", "old")
    lodge(h, "undefine", "old", "--remove-all-storage")
    h.lacks(lodge(h, "list", "--all"), "old", "it is forgotten")
    h.lacks(lodge(h, "vol-list"), "web.qcow2", "and its disk is gone")


if __name__ == "__main__":
    pathlib.Path("/root/.cache/lodge").mkdir(parents=True, exist_ok=True)
    hostlib.main([general, networks, apply, volumes, run_debian, disk_and_card, console, life])
