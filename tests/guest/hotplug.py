# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks and cards that come and go under a running Debian, by QMP."""
import array
import fcntl
import json
import os
import socket
import struct
import subprocess
import time

from guestlib.qmp import QMP, QMPError
from runner import Skip, test

SLOTS = {"lodge-vm": ["--slots", "3"],
         "qemu": [w for n in (1, 2, 3) for w in ("-device", f"pcie-root-port,id=slot{n},slot={n}")]}


def started(env):
    m = env.machine(qmp=True, extra=SLOTS[env.backend.name])
    q = QMP(m.qmp_path)
    env.stack.callback(q.close)
    m.boot()
    m.login()
    return m, q


def appears(m, test_command, timeout=20):
    m.run(f"for i in $(seq {timeout * 5}); do {test_command} && exit 0; sleep 0.2; done; exit 1",
          timeout + 10)


def refused(call, *words):
    try:
        call()
    except QMPError as e:
        assert all(w in e.args[1] for w in words), e
    else:
        raise AssertionError("it was accepted")


@test("hotplug.disk", timeout=240)
def disk(env):
    """A disk is plugged, used, unplugged and plugged again with what was written."""
    m, q = started(env)
    data = env.tmp / "data.img"
    subprocess.run(["truncate", "-s", "64M", data], check=True)

    def plug():
        q.command("blockdev-add", node_name="node1", driver="raw",
                  file={"driver": "file", "filename": str(data)})
        q.command("device_add", driver="virtio-blk-pci", id="disk9", drive="node1", bus="slot1",
                  serial="HOTSERIAL")
        appears(m, "grep -qs HOTSERIAL /sys/block/vd?/serial")

    def unplug():
        q.command("device_del", id="disk9")
        assert q.event("DEVICE_DELETED")["data"]["device"] == "disk9"
        appears(m, "! grep -qs HOTSERIAL /sys/block/vd?/serial")
        q.command("blockdev-del", node_name="node1")

    plug()
    refused(lambda: q.command("blockdev-del", node_name="node1"), "in use")
    refused(lambda: q.command("device_add", driver="virtio-blk-pci", id="disk8", drive="none",
                              bus="slot2"), "drive" if env.backend.name == "lodge-vm" else "none")
    m.run("d=/dev/$(basename $(dirname $(grep -ls HOTSERIAL /sys/block/vd?/serial))); "
          "echo written-while-hot | dd of=$d bs=512 conv=sync oflag=direct status=none")
    stats = {s["qdev"].split("/")[3] if "/" in s["qdev"] else s["qdev"]: s["stats"]
             for s in q.command("query-blockstats") if s.get("qdev")}
    assert stats["disk9"]["wr_bytes"] == 512 and stats["disk9"]["wr_operations"] == 1, stats
    q.command("block_resize", node_name="node1", size=96 << 20)
    appears(m, "[ $(cat $(dirname $(grep -ls HOTSERIAL /sys/block/vd?/serial))/size) = 196608 ]")
    limits = {"bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}
    q.command("block_set_io_throttle", **{"id": "node1", "bps": 4 << 20, **limits})
    m.run("d=/dev/$(basename $(dirname $(grep -ls HOTSERIAL /sys/block/vd?/serial))); s=$(date +%s); "
          "dd if=$d of=/dev/null bs=64k count=192 iflag=direct status=none; "
          "t=$(($(date +%s) - s)); echo $t; [ $t -ge 2 ]")
    q.command("block_set_io_throttle", **{"id": "node1", "bps": 0, **limits})
    unplug()
    assert data.read_bytes()[:17] == b"written-while-hot"
    plug()
    assert "written-while-hot" in m.run(
        "d=/dev/$(basename $(dirname $(grep -ls HOTSERIAL /sys/block/vd?/serial))); "
        "head -c 512 $d | tr -d '\\0'")
    refused(lambda: q.command("device_del", id="no-such"), "no-such")
    unplug()
    assert m.poweroff() == 0


def open_tap(name):
    """A tap's descriptor with the address 10.77.0.1, in the tests' own network namespace."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x5002))  # TUNSETIFF
    subprocess.run(["ip", "addr", "add", "10.77.0.1/24", "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return fd


def pass_fd(q, name, fd):
    message = json.dumps({"execute": "getfd", "arguments": {"fdname": name}}).encode()
    q.sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    answer = q._line()
    assert answer == {"return": {}}, answer


@test("hotplug.card", timeout=240)
def card(env):
    """A card on a tap that came as a descriptor: traffic flows, the cable can be pulled."""
    if os.geteuid():
        raise Skip("a tap needs root")
    m, q = started(env)
    tap = open_tap("lodgehot0")
    pass_fd(q, "tapfd", tap)
    os.close(tap)
    q.command("netdev_add", type="tap", id="net9", fd="tapfd")
    q.command("device_add", driver="virtio-net-pci", id="card9", netdev="net9", bus="slot2",
              mac="52:54:00:77:00:09")
    appears(m, "ip -o link | grep -q 52:54:00:77:00:09")
    m.run("udevadm settle")  # it gives the card its name
    name = m.run("ip -o link | grep 52:54:00:77:00:09").split(":")[1].strip()
    m.run(f"ip link set {name} up; ip addr add 10.77.0.2/24 dev {name}")
    appears(m, "ping -c 1 -W 1 10.77.0.1 >/dev/null")
    if env.backend.name == "lodge-vm":
        counts = [n for n in q.command("query-netdev") if n["device"] == "card9"][0]
        assert counts["in-packets"] and counts["out-bytes"] > 98, counts
    q.command("set_link", name="card9", up=False)
    appears(m, f"[ $(cat /sys/class/net/{name}/carrier) = 0 ]")
    assert subprocess.run(["ping", "-c", "1", "-W", "1", "10.77.0.2"],
                          stdout=subprocess.DEVNULL).returncode
    q.command("set_link", name="card9", up=True)
    appears(m, f"[ $(cat /sys/class/net/{name}/carrier) = 1 ]")
    appears(m, "ping -c 1 -W 1 10.77.0.1 >/dev/null")
    q.command("device_del", id="card9")
    q.event("DEVICE_DELETED")
    q.command("netdev_del", id="net9")
    for _ in range(50):
        if not os.path.exists("/sys/class/net/lodgehot0"):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the tap is still there")
    refused(lambda: q.command("netdev_add", type="tap", id="net9", fd="tapfd"), "tapfd")
    assert m.poweroff() == 0


@test("hotplug.cpu", timeout=240)
def cpu(env):
    """vCPUs come, work, and go; a machine that restarts keeps those it has."""
    if env.backend.name != "lodge-vm":
        raise Skip("set-vcpus is Lodge's own")
    m = env.machine(qmp=True, cpus=1, extra=["--max-cpus", "3"])
    q = QMP(m.qmp_path)
    env.stack.callback(q.close)
    m.boot()
    m.login()

    def present():
        return [c["cpu-index"] for c in q.command("query-cpus-fast")]

    assert m.run("nproc").strip() == "1" and present() == [0]
    refused(lambda: q.command("set-vcpus", count=4), "3")
    refused(lambda: q.command("set-vcpus", count=0), "1")
    q.command("set-vcpus", count=3)
    appears(m, "[ -e /sys/devices/system/cpu/cpu2/online ]")
    m.run("for c in 1 2; do echo 1 > /sys/devices/system/cpu/cpu$c/online; done; "
          "[ $(nproc) = 3 ] && taskset -c 2 sha256sum /bin/bash")
    assert present() == [0, 1, 2]
    q.command("set-vcpus", count=2)
    assert q.event("DEVICE_DELETED", 60)["data"]["device"] == "cpu2"
    appears(m, "[ $(nproc) = 2 ]")
    assert present() == [0, 1]
    q.command("set-vcpus", count=3)
    appears(m, "[ -e /sys/devices/system/cpu/cpu2/online ] && "
               "echo 1 > /sys/devices/system/cpu/cpu2/online && [ $(nproc) = 3 ]")
    q.command("set-vcpus", count=2)
    q.event("DEVICE_DELETED", 60)
    q.command("system_reset")
    m.boot()
    m.login()
    assert m.run("nproc").strip() == "2"
    assert m.poweroff() == 0
