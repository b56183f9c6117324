#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The way a card and a disk go in and out, end to end, with a Debian guest and unmodified virsh: live and kept
XML, PCI hot-plugging, DHCP from the named network, leases, traffic; and its shutdown by the power button.
`tests/manager/hotplug.py BUILD [TEST...]`"""
import os
import pathlib
import re
import subprocess
import sys

import hostlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "guest"))
from guestlib.console import Console, Gone  # noqa: E402

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "lodge"
PROMPT = r"root@lodge:.*# "


class Guest:
    """The Debian guest, through virsh console."""

    def __init__(self, host):
        self.host, self.count = host, 0
        disk = host.root / "debian.img"
        host.run("cp", "--reflink=auto", "--sparse=always", CACHE / "debian.img", disk, timeout=120)
        host.virsh("define", host.file("deb.xml", f"""
<domain type='qemu'><name>deb</name><memory unit='MiB'>512</memory><vcpu current='1'>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{CACHE}/vmlinuz</kernel>
<initrd>{CACHE}/initrd.img</initrd><cmdline>root=/dev/vda rw console=ttyS0</cmdline></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk><serial type='pty'/></devices></domain>"""))
        host.virsh("start", "deb")
        self.console = Console(["virsh", "-c", f"qemu+unix:///system?socket={host.socket}", "console", "deb"],
                               log=os.environ.get("LODGE_TEST_CONSOLE"))
        self.console.expect("login: ", 180)
        self.console.send("root\r")
        self.console.expect(PROMPT, 60)
        self.run("bind 'set enable-bracketed-paste off' 2>/dev/null; stty cols 500; dmesg -n 1")

    def run(self, command, timeout=60):
        """What it prints. Each has a mark of its own: what came before is not taken for it."""
        self.count += 1
        mark = f"END{self.count}:"
        self.console.send(f"{command}; echo {mark}$?\r")
        m = self.console.expect(rf"(?s)(.*?){mark}(\d+)\n", timeout)
        self.console.expect(PROMPT, timeout)
        return m[1].rsplit(f"echo {mark}$?\n", 1)[-1]

    def until(self, command, pattern, timeout=30):
        def there():
            self.last = self.run(command)
            return re.search(pattern, self.last)
        self.host.until(there, f"{command}: no /{pattern}/", timeout)
        return re.search(pattern, self.last)


def guest(host):
    if not hasattr(host, "guest"):
        host.guest = Guest(host)
    return host.guest


def disk(host):
    g = guest(host)
    host.run("truncate", "-s", "64M", host.root / "extra.img")
    host.virsh("attach-disk", "deb", host.root / "extra.img", "vdb", "--live", "--config")
    for what in ([], ["--inactive"]):
        host.has(host.virsh("dumpxml", *what, "deb"), "extra.img", "both definitions have it")
    host.valid(host.virsh("dumpxml", "deb"), "domain")
    g.until("cat /sys/block/vdb/size", r"^131072\b")
    g.run("dd if=/dev/urandom of=/tmp/r bs=1M count=8; dd if=/tmp/r of=/dev/vdb oflag=direct bs=1M; sync")
    sum_ = g.run("md5sum < /tmp/r").split()[0]
    host.has(host.run("sh", "-c", f"head -c 8388608 {host.root}/extra.img | md5sum"), sum_, "the bytes are there")
    host.check(int(re.search(r"vdb wr_bytes (\d+)", host.virsh("domblkstat", "deb", "vdb"))[1]) >= 8 << 20,
               "its writes are counted")
    host.virsh("attach-disk", "deb", host.root / "extra.img", "vdb", ok=False)
    host.virsh("blockresize", "deb", "vdb", "96M")
    g.until("cat /sys/block/vdb/size", r"^196608\b")
    host.has(host.virsh("domblkinfo", "deb", "vdb"), "100663296", "its size is told")
    host.virsh("blkdeviotune", "deb", "vdb", "--total-bytes-sec", "1000000", "--live")
    host.check(re.search(r"total_bytes_sec\s*: 1000000", host.virsh("blkdeviotune", "deb", "vdb")), "the limit is told")
    took = float(g.run("sync; dd if=/dev/vdb of=/dev/null iflag=direct bs=64k count=48 2>&1").split(" s,")[0].split()[-1])
    host.check(took > 1.5, f"3 MiB at 1 MB/s took {took} s")
    host.virsh("blkdeviotune", "deb", "vdb", "--read-iops-sec", "10", "--live", ok=False)
    host.virsh("blkdeviotune", "deb", "vdb", "--total-bytes-sec", "0", "--live")
    host.virsh("detach-disk", "deb", "vdb", "--live", "--config")
    g.until("ls /sys/block", r"(?s)^(?!.*vdb)")
    for what in ([], ["--inactive"]):
        host.until(lambda: "extra.img" not in host.virsh("dumpxml", *what, "deb"), "both definitions are without")
    # and again: its place is free
    host.virsh("attach-disk", "deb", host.root / "extra.img", "vdc", "--live")
    g.until("ls /sys/block", "vd[bc]")
    host.virsh("detach-disk", "deb", "vdc", "--live")


def card(host):
    g = guest(host)
    taps = host.run("ip", "-br", "link")
    host.until(lambda: "active" in host.virsh("net-list"), "the default network is up")
    mac = "52:54:00:ab:cd:ef"
    host.virsh("attach-interface", "deb", "network", "default", "--model", "virtio", "--mac", mac, "--live",
               "--config")
    host.has(host.virsh("dumpxml", "--inactive", "deb"), mac, "the kept definition has it")
    live = host.virsh("dumpxml", "deb")
    host.valid(live, "domain")
    tap = re.search(rf"{mac}.*?<target dev=\"(\S+)\"", live, re.S)[1]
    host.has(host.virsh("domiflist", "deb"), tap, "domiflist")
    name = g.until("ip -br link", rf"(en\S+)\s+\S+\s+{mac}")[1]  # as udev names it
    address = g.until(f"ip -4 -br addr show {name}", r"(192\.168\.\d+\.\d+)/24", 60)[1]
    host.has(host.virsh("domifaddr", "deb"), address, "domifaddr")
    host.has(host.virsh("net-dhcp-leases", "default"), address, "net-dhcp-leases")
    host.has(g.run("ping -c 2 -W 5 192.168.122.1"), " 0% packet loss", "traffic flows")
    host.check(int(re.search(r"rx_bytes (\d+)", host.virsh("domifstat", "deb", tap))[1]) > 0, "it is counted")
    host.virsh("domiftune", "deb", tap, "--inbound", "1000,2000,3000", "--outbound", "500", "--live")
    told = host.virsh("domiftune", "deb", tap)
    host.check(re.search(r"inbound.average: 1000\s+inbound.peak\s+: 2000", told), f"bandwidth: {told}")
    host.has(host.virsh("dumpxml", "deb"), "<outbound average=\"500\"/>", "bandwidth in the live XML")
    host.virsh("domif-setlink", "deb", mac, "down")
    g.until(f"cat /sys/class/net/{name}/carrier", "^0")
    host.has(host.virsh("domif-getlink", "deb", mac), "down", "the link's state is told")
    host.virsh("domif-setlink", "deb", mac, "up")
    g.until(f"cat /sys/class/net/{name}/carrier", "^1")
    # what is hot-plugged is found again by another daemon, and can be taken out by it
    host.restart()
    host.has(host.virsh("domiflist", "deb"), tap, "found again")
    host.virsh("detach-interface", "deb", "network", "--mac", mac, "--live", "--config")
    g2 = reopen(host)
    g2.until("ip -br link", rf"(?s)^(?!.*{mac})")
    for what in ([], ["--inactive"]):
        host.until(lambda: mac not in host.virsh("dumpxml", *what, "deb"), "both definitions are without")
    host.lacks(host.run("ip", "-br", "link"), tap, "no tap is left")
    host.equal(sorted(w.split()[0] for w in host.run("ip", "-br", "link").splitlines()
                      if w.startswith("lodge")), sorted(w.split()[0] for w in taps.splitlines()
                                                        if w.startswith("lodge")), "as before")


def reopen(host):
    """A console on the daemon that came after."""
    host.guest.console.kill()
    host.guest.console = Console(["virsh", "-c", f"qemu+unix:///system?socket={host.socket}", "console", "deb"])
    host.guest.console.expect("Escape character", 30)
    for _ in range(10):  # what comes before virsh has switched its terminal over is lost
        host.guest.console.send("\r")
        try:
            host.guest.console.expect(PROMPT, 3)
            break
        except Gone:
            continue
    host.check("root@" in host.guest.console.text, "the console answers")
    return host.guest


def vcpus(host):
    g = guest(host)
    host.virsh("setvcpus", "deb", "2", "--live")
    g.until("for c in /sys/devices/system/cpu/cpu*/online; do echo 1 > $c; done; nproc", "^2")
    host.has(host.virsh("vcpucount", "deb"), "current      live           2", "vcpucount")


def medium(host):
    """A CD comes and goes."""
    g = guest(host)
    host.run("truncate", "-s", "3M", host.root / "cd.iso")
    host.virsh("attach-device", "deb", host.file("cd.xml", "<disk type='file' device='cdrom'><target dev='sda' "
                                                 "bus='sata'/><readonly/></disk>"), "--live")
    host.virsh("change-media", "deb", "sda", host.root / "cd.iso", "--insert", "--live")
    g.until("cat /sys/block/vd*/size", r"\b6144\b")
    host.virsh("change-media", "deb", "sda", "--eject", "--live")
    g.until("cat /sys/block/vd*/size", r"(?s)^(?!.*\b6144\b)")


def save(host):
    """The guest goes on where it was."""
    g = guest(host)
    g.run("echo kept > /run/there; sleep 1000 & true")
    host.virsh("managedsave", "deb", timeout=120)
    g.console.kill()
    host.virsh("start", "deb", timeout=120)
    g = reopen(host)
    host.has(g.run("cat /run/there; jobs"), "kept", "memory is as it was")


def off(host):
    guest(host)
    host.virsh("shutdown", "deb")
    host.until(lambda: host.virsh("domstate", "--reason", "deb").strip() == "shut off (shutdown)",
               "the power button ends it", 60)
    host.guest.console.kill()
    host.virsh("undefine", "deb")


if __name__ == "__main__":
    if not (CACHE / "debian.img").exists():
        subprocess.run([str(pathlib.Path(__file__).resolve().parents[2] / "tools/guest-image")], check=True)
    hostlib.main([disk, card, vcpus, medium, save, off])
