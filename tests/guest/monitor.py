# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP: the names and shapes its existing clients expect."""
import time

from guestlib.qmp import QMP, QMPError
from runner import test

BALLOON = {"lodge-vm": ["--balloon"], "qemu": ["-device", "virtio-balloon-pci,disable-legacy=on"]}


def started(env, **kw):
    m = env.machine(qmp=True, **kw)
    q = QMP(m.qmp_path)
    env.stack.callback(q.close)
    return m, q


@test("monitor.queries", timeout=180)
def queries(env):
    m, q = started(env, cpus=2)
    m.boot()
    assert {"version", "capabilities"} <= q.greeting.keys()
    status = q.command("query-status")
    assert status["status"] == "running" and status["running"] is True, status
    cpus = q.command("query-cpus-fast")
    assert [c["cpu-index"] for c in cpus] == [0, 1] and all(c["thread-id"] > 0 for c in cpus)
    blocks = q.command("query-block")
    assert any(b.get("inserted", {}).get("file") == str(m.disk) for b in blocks), blocks
    ids = {(d["id"]["vendor"], d["id"]["device"]) for bus in q.command("query-pci")
           for d in devices(bus)}
    assert {(0x1af4, 0x1041), (0x1af4, 0x1042)} <= ids, ids
    names = {c["name"] for c in q.command("query-commands")}
    assert {"query-status", "stop", "cont", "system_reset", "system_powerdown", "quit",
            "query-cpus-fast", "query-block", "query-pci", "query-version", "balloon"} <= names
    assert "qemu" in q.command("query-version")
    for name, arguments in (("no-such", {}), ("balloon", {}), ("balloon", {"value": "much"})):
        try:
            q.command(name, **arguments)
            raise AssertionError(f"{name} {arguments} was accepted")
        except QMPError as e:
            assert e.args[0] in ("CommandNotFound", "GenericError", "DeviceNotActive"), e


def devices(bus):
    for d in bus["devices"]:
        yield d
        if "pci_bridge" in d:
            yield from devices({"devices": d["pci_bridge"].get("devices", [])})


@test("monitor.lifecycle", timeout=300)
def lifecycle(env):
    """stop freezes the guest, cont goes on, reset and powerdown do what they say, with events."""
    m, q = started(env)
    m.boot()
    m.login()
    m.send("for i in $(seq 1000); do echo tick-$i-; sleep 0.1; done\n")
    m.expect(r"tick-5-", 30)
    q.command("stop")
    q.event("STOP")
    assert q.command("query-status")["status"] == "paused"
    time.sleep(0.5)
    size = len(m.console.text)
    time.sleep(1.5)
    assert len(m.console.text) == size, "the guest runs while it is stopped"
    q.command("cont")
    q.event("RESUME")
    m.expect(r"tick-\d+-", 10)
    q.command("system_reset")
    q.event("RESET")
    m.boot()
    m.login()
    q.command("system_powerdown")
    q.event("POWERDOWN")
    m.expect(r"reboot: Power down", 90)
    assert q.event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-shutdown"}
    assert m.console.wait(20) == 0


@test("monitor.quit", timeout=120)
def quit_(env):
    m, q = started(env, append="init=/bin/sh")
    m.expect(r"# ", 90)
    q.command("quit")
    assert q.event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-qmp-quit"}
    assert m.console.wait(20) == 0
    assert not m.qmp_path.exists() or env.backend.name != "lodge-vm", "left its socket behind"


@test("monitor.balloon", timeout=180)
def balloon(env):
    """The balloon takes memory from the guest and gives it back; the host gets it meanwhile."""
    m, q = started(env, extra=BALLOON[env.backend.name])
    m.boot()
    m.login()
    m.run("modprobe virtio_balloon; sync; echo 3 > /proc/sys/vm/drop_caches")

    def free():  # MiB; MemTotal stays where the balloon deflates by itself under pressure
        return int(m.run("grep MemFree /proc/meminfo").split()[1]) >> 10

    def reaches(wanted):
        for _ in range(50):
            if wanted(free()):
                return True
            time.sleep(0.2)
        return False

    before = free()
    q.command("balloon", value=624 << 20)
    q.event("BALLOON_CHANGE")
    assert reaches(lambda now: now < before - 350), (before, free())
    for _ in range(50):  # the last pages go one by one
        actual = q.command("query-balloon")["actual"] >> 20
        if actual <= 632:
            break
        time.sleep(0.2)
    assert 616 <= actual <= 632, actual
    q.command("balloon", value=1024 << 20)
    assert reaches(lambda now: now > before - 50), (before, free())
    assert m.poweroff() == 0
