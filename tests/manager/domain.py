#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines by unmodified virsh: definitions, life, files, crashes of the daemon and of machines; with a tiny
guest that needs no disk. `tests/manager/domain.py BUILD [TEST...]`"""
import os
import pathlib
import re
import signal
import subprocess
import time

import hostlib

HERE = pathlib.Path(__file__).resolve().parent


def guest(host):
    """The tiny guest's kernel."""
    path = host.root / "idle"
    if not path.exists():
        host.run("nasm", "-f", "bin", "-o", path, HERE / "images/idle.asm")
    return path


def xml(host, name, devices="", rest="", memory=16, uuid=""):
    return (f"<domain type='qemu'><name>{name}</name>{uuid}<memory unit='MiB'>{memory}</memory>"
            f"<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{guest(host)}</kernel></os>{rest}"
            f"<devices><serial type='pty'/><memballoon model='none'/>{devices}</devices></domain>")


def define(host, name, devices="", rest="", ok=True, **more):
    return host.virsh("define", host.file(f"{name}.xml", xml(host, name, devices, rest, **more)), ok=ok)


def state(host, name):
    return host.virsh("domstate", "--reason", name).strip()


def pid_of(host, name):
    """Of the machine's process, by its command line."""
    for p in pathlib.Path("/proc").iterdir():
        try:
            argv = (p / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argv[0].endswith(b"lodge-vm") and argv[1] == b"--name=" + name.encode():
            return int(p.name)
    return None


DISK = ("<disk type='file' device='disk'><driver name='qemu' type='raw'{driver}/><source file='/tmp/x.img'/>"
        "<target dev='{dev}' bus='virtio'/>{rest}</disk>")

# Devices that are kept and valid; the second dump equals the first.
KEPT = {
    "disk": DISK.format(dev="vda", driver=" cache='none' io='native' discard='unmap'",
                        rest="<serial>ABC</serial><boot order='1'/>"),
    "iotune": DISK.format(dev="vdb", driver="", rest="<iotune><total_bytes_sec>1000000</total_bytes_sec>"
                          "<total_iops_sec>100</total_iops_sec></iotune>"),
    "volume": "<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='default' "
              "volume='a.qcow2'/><target dev='vda' bus='virtio'/></disk>",
    "block": "<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/null'/>"
             "<target dev='vda' bus='virtio'/><readonly/><shareable/></disk>",
    "cdrom": "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>",
    "nics": "<interface type='network'><source network='default'/><model type='virtio'/><bandwidth><inbound "
            "average='100' peak='200' burst='300'/></bandwidth><mtu size='1400'/></interface>"
            "<interface type='bridge'><source bridge='br0'/><mac address='52:54:00:11:22:33'/></interface>"
            "<interface type='user'><link state='down'/></interface>"
            "<interface type='direct'><source dev='lo' mode='bridge'/></interface>"
            "<interface type='ethernet'><target dev='tap7' managed='no'/></interface>",
    "chars": "<console type='pty'><target type='virtio'/></console><channel type='unix'><source mode='bind'/>"
             "<target type='virtio' name='org.qemu.guest_agent.0'/></channel><channel type='spicevmc'><target "
             "type='virtio' name='com.redhat.spice.0'/></channel>",
    "display": "<input type='tablet' bus='usb'/><graphics type='vnc' port='-1' autoport='yes' passwd='secret'/>"
               "<graphics type='spice' autoport='yes'><image compression='off'/></graphics><sound model='ich9'/>"
               "<video><model type='virtio'/></video><redirdev bus='usb' type='spicevmc'/>"
               "<controller type='usb' model='qemu-xhci' ports='15'/>",
    "rng": "<rng model='virtio'><backend model='random'>/dev/urandom</backend><rate bytes='1024' "
           "period='500'/></rng>",
}
REST = {
    "cpu": "<vcpu current='2'>4</vcpu><cpu mode='host-passthrough' check='none'><topology sockets='1' dies='1' "
           "cores='2' threads='2'/><feature policy='disable' name='avx2'/></cpu>",
    "tune": "<vcpu>2</vcpu><cputune><shares>2048</shares><period>100000</period><quota>50000</quota><vcpupin "
            "vcpu='0' cpuset='0'/><emulatorpin cpuset='0'/></cputune><memtune><hard_limit "
            "unit='KiB'>1000000</hard_limit></memtune><blkiotune><weight>200</weight></blkiotune><numatune>"
            "<memory mode='strict' nodeset='0'/></numatune>",
    "meta": "<title>T &amp; t</title><description>d\nd</description><metadata><a:b xmlns:a='http://a.b/'>"
            "<a:c d='&lt;'/></a:b></metadata>",
    "clock": "<clock offset='localtime'><timer name='rtc' tickpolicy='catchup'/><timer name='hpet' "
             "present='no'/></clock><pm><suspend-to-mem enabled='no'/></pm><features><acpi/><apic/><hyperv>"
             "<relaxed state='on'/></hyperv><vmport state='off'/></features>",
    "life": "<on_poweroff>restart</on_poweroff><on_reboot>destroy</on_reboot><on_crash>preserve</on_crash>",
}

# (devices, rest, what the refusal must name)
REFUSED = [
    ("<watchdog model='i6300esb' action='reset'/>", "", "watchdog"),
    ("<tpm><backend type='emulator' version='2.0'/></tpm>", "", "tpm"),
    ("<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='0' slot='1' "
     "function='0'/></source></hostdev>", "", "hostdev"),
    ("<filesystem type='mount'><source dir='/tmp'/><target dir='x'/></filesystem>", "", "filesystem"),
    ("<interface type='user'><model type='e1000'/></interface>", "", "e1000"),
    ("<interface type='vhostuser'/>", "", "vhostuser"),
    (DISK.format(dev="sda", driver="", rest="").replace("bus='virtio'", "bus='scsi'"), "", "scsi"),
    (DISK.format(dev="vda", driver="", rest="") * 2, "", "vda"),
    ("<disk type='network' device='disk'><source protocol='rbd' name='a'/><target dev='vda'/></disk>", "",
     "network"),
    ("<disk type='file'><source file='relative'/><target dev='vda'/></disk>", "", "relative"),
    (DISK.format(dev="vda", driver="", rest="<iotune><read_iops_sec>1</read_iops_sec></iotune>"), "",
     "read_iops_sec"),
    ("<rng model='virtio'><backend model='egd'/></rng>", "", "egd"),
    ("<nonsense/>", "", "nonsense"),
    ("", "<maxMemory slots='2' unit='GiB'>4</maxMemory>", "maxMemory"),
    ("", "<os firmware='efi'><type>hvm</type></os>", "os"),
    ("", "<launchSecurity type='sev'/>", "launchSecurity"),
    ("", "<memoryBacking><locked/></memoryBacking>", "locked"),
    ("", "<seclabel type='static' model='dac'><label>+0:+0</label></seclabel>", "seclabel"),
    ("", "<vcpu>0</vcpu>", "vcpu"),
    ("", "<vcpu>1000</vcpu>", "vcpu"),
    ("", "<cpu><model>Nonsense</model></cpu>", "Nonsense"),
    ("", "<cpu><topology sockets='3' cores='3' threads='1'/></cpu>", "topology"),
    ("", "<uuid>12</uuid>", "uuid"),
    ("", "<cputune><vcpupin vcpu='7' cpuset='0'/></cputune>", "vcpupin"),
    ("", "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-x'/>"
     "</q:commandline>", "commandline"),
]


def dumps(host):
    """What is defined comes back valid, and defining that changes nothing."""
    cases = [(n, d, "") for n, d in KEPT.items()] + [(n, "", r) for n, r in REST.items()]
    for name, devices, rest in cases:
        define(host, name, devices, rest)
        first = host.virsh("dumpxml", "--security-info", name)
        host.valid(first, "domain")
        host.virsh("define", host.file("again.xml", first))
        host.equal(host.virsh("dumpxml", "--security-info", name), first, f"{name} defined again")
        host.virsh("undefine", name)
    define(host, "display", KEPT["display"])
    host.lacks(host.virsh("dumpxml", "display"), "secret", "a dump for all")
    host.virsh("undefine", "display")


def virt_install(host):
    """What virt-install writes is taken; it imports a machine through us."""
    base = ["virt-install", "--connect", f"qemu+unix:///system?socket={host.socket}", "--name", "vi",
            "--memory", "64", "--disk", "none", "--boot", f"kernel={guest(host)}", "--noautoconsole",
            "--virt-type", "qemu", "--import"]
    for more in (["--osinfo", "detect=on,require=off", "--network", "user,model=virtio"], ["--osinfo", "debian11", "--network", "user"],
                 ["--osinfo", "generic", "--graphics", "vnc", "--network", "none"]):
        text = host.run(*base, *more, "--print-xml", timeout=60)
        host.virsh("define", host.file("vi.xml", text))
        first = host.virsh("dumpxml", "vi")
        host.valid(first, "domain")
        host.virsh("undefine", "vi")
    host.run(*base, "--osinfo", "generic", "--network", "none", "--graphics", "none", timeout=60)
    host.equal(state(host, "vi"), "running (booted)", "imported")
    host.virsh("destroy", "vi")
    host.virsh("undefine", "vi")


def refusals(host):
    for devices, rest, word in REFUSED:
        out = define(host, "bad", devices, rest, ok=False)
        host.has(out, word, "the refusal names what it is about")
    host.equal(host.virsh("list", "--all").strip(), "", "nothing is defined")


def hostile(host):
    """Documents that are attacks."""
    bomb = "<!DOCTYPE domain [" + "<!ENTITY a0 'aaaaaaaaaa'>" + "".join(
        f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 12)) + "]><domain><name>&a11;</name></domain>"
    for text in (bomb, "<domain>" * 200000, "<domain><name>" + "x" * 3000000 + "</name></domain>",
                 "<domain type='qemu'><name>a/../../b</name><memory>1</memory><os><type>hvm</type></os></domain>",
                 "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain/>", "<domain", "",
                 "<domain type='qemu'><name>n</name><memory>99999999999999999999</memory></domain>"):
        if text:
            host.virsh("define", host.file("hostile.xml", text), ok=False)
    rss = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{host.daemon.pid}/status").read_text())[1])
    host.check(rss < 200000, f"the daemon has {rss} KiB")
    host.equal(host.virsh("list", "--all").strip(), "", "nothing is defined")


def life(host):
    define(host, "t")
    host.equal(state(host, "t"), "shut off (unknown)", "defined")
    events = subprocess.Popen(["virsh", "-c", f"qemu+unix:///system?socket={host.socket}", "event", "--domain", "t",
                               "--event", "lifecycle", "--loop", "--timeout", "60"], stdout=subprocess.PIPE,
                              text=True)
    time.sleep(0.5)
    host.virsh("start", "t", "--paused")
    host.equal(state(host, "t"), "paused (user)", "started paused")
    host.virsh("resume", "t")
    host.equal(state(host, "t"), "running (unpaused)", "resumed")
    host.virsh("start", "t", ok=False)
    host.virsh("suspend", "t")
    host.equal(state(host, "t"), "paused (user)", "suspended")
    host.virsh("resume", "t")
    live = host.virsh("dumpxml", "t")
    host.valid(live, "domain")
    host.has(live, "<alias name=\"serial0\"/>", "live XML")
    host.check(re.search(r"<console type=\"pty\" tty=\"/dev/pts/\d+\">", live), "the terminal is told")
    host.check(re.match(r"/dev/pts/\d+", host.virsh("ttyconsole", "t")), "ttyconsole")
    host.virsh("reset", "t")
    host.virsh("destroy", "t")
    host.equal(state(host, "t"), "shut off (destroyed)", "destroyed")
    host.virsh("destroy", "t", ok=False)
    host.check(pid_of(host, "t") is None, "its process is gone")
    host.virsh("domrename", "t", "u")
    host.virsh("domstate", "t", ok=False)
    host.virsh("autostart", "u")
    host.has(host.virsh("dominfo", "u"), "Autostart:      enable", "autostart")
    host.virsh("undefine", "u")
    host.virsh("domstate", "u", ok=False)
    events.terminate()
    told = re.findall(r"event 'lifecycle' for domain \S+ (.*)", events.communicate()[0])
    host.equal(told[:7], ["Started Booted", "Suspended Paused", "Resumed Unpaused", "Suspended Paused",
                          "Resumed Unpaused", "Stopped Destroyed", "Undefined Renamed"], "events")


def transient(host):
    host.virsh("create", host.file("t.xml", xml(host, "t")))
    host.has(host.virsh("dominfo", "t"), "Persistent:     no", "transient")
    host.virsh("undefine", "t", ok=False)
    host.virsh("destroy", "t")
    host.virsh("domstate", "t", ok=False)
    host.virsh("create", host.file("t.xml", xml(host, "t")))
    uuid = host.virsh("domuuid", "t").strip()
    define(host, "t", uuid=f"<uuid>{uuid}</uuid>")
    host.virsh("destroy", "t")
    host.equal(state(host, "t"), "shut off (destroyed)", "it was made persistent")
    host.virsh("undefine", "t")


def files(host):
    define(host, "t")
    host.virsh("start", "t")
    saved = host.root / "t.save"
    host.virsh("save", "t", saved)
    host.equal(state(host, "t"), "shut off (saved)", "saved")
    host.has(host.virsh("save-image-dumpxml", saved), "<name>t</name>", "the file knows its machine")
    host.virsh("restore", saved, "--paused")
    host.equal(state(host, "t"), "paused (user)", "restored paused")
    host.virsh("resume", "t")
    host.virsh("managedsave", "t")
    host.has(host.virsh("dominfo", "t"), "Managed save:   yes", "managed save")
    host.virsh("undefine", "t", ok=False)
    host.virsh("start", "t")
    host.equal(state(host, "t"), "running (restored)", "started from its managed save")
    host.has(host.virsh("dominfo", "t"), "Managed save:   no", "it is used up")
    host.virsh("save", "t", host.root / "no" / "folder", ok=False)
    host.equal(state(host, "t"), "running (save canceled)", "a save that fails changes nothing")
    host.virsh("destroy", "t")
    host.virsh("restore", host.file("junk", "junk" * 100), ok=False)
    host.virsh("undefine", "t")


def settings(host):
    define(host, "t", DISK.format(dev="vda", driver="", rest="") + "<interface type='user'/>",
           "<vcpu>2</vcpu>")
    pathlib.Path("/tmp/x.img").write_bytes(b"")
    os.truncate("/tmp/x.img", 1 << 20)
    host.virsh("start", "t")
    host.has(host.virsh("domstats", "t"), "block.0.capacity=1048576", "domstats")
    host.has(host.virsh("domblklist", "t"), "/tmp/x.img", "domblklist")
    host.has(host.virsh("domiflist", "t"), "virtio", "domiflist")
    host.virsh("vcpupin", "t", "0", "0")
    host.check(re.search(r"0\s+0\n", host.virsh("vcpupin", "t")), "pinned")
    host.virsh("setvcpus", "t", "1", "--config")
    host.has(host.virsh("dumpxml", "--inactive", "t"), "current=\"1\"", "setvcpus --config")
    host.virsh("setmem", "t", "8M", "--config")
    host.has(host.virsh("dumpxml", "--inactive", "t"), "<currentMemory unit=\"KiB\">8192<", "setmem --config")
    host.virsh("desc", "t", "--title", "one two")
    host.equal(host.virsh("desc", "t", "--title").strip(), "one two", "title")
    host.virsh("metadata", "t", "http://a.b/", "--key", "k", "--set", "<x y='1'/>")
    host.has(host.virsh("metadata", "t", "http://a.b/"), "y=\"1\"", "metadata")
    host.virsh("metadata", "t", "http://a.c/", ok=False)
    host.virsh("set-lifecycle-action", "t", "crash", "restart", "--config")
    host.has(host.virsh("dumpxml", "--inactive", "t"), "<on_crash>restart<", "set-lifecycle-action")
    host.virsh("destroy", "t")
    host.virsh("undefine", "t")


def snapshots(host):
    """Inside qcow2 images, of a machine that is off; the bytes come back."""
    image = host.root / "snap.qcow2"
    host.run("qemu-img", "create", "-q", "-f", "qcow2", image, "8M")

    def write(byte):
        host.run("qemu-io", "-f", "qcow2", "-c", f"write -P {byte} 0 1M", image)

    def holds(byte):
        host.has(host.run("qemu-io", "-f", "qcow2", "-c", f"read -P {byte} 0 1M", image, ok=None), "read 1048576",
                 "readable")
        host.run("qemu-io", "-f", "qcow2", "-c", f"read -P {byte} 0 1M", image)
    define(host, "t", f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{image}'/>"
                      "<target dev='vda' bus='virtio'/></disk>")
    write(1)
    host.virsh("snapshot-create-as", "t", "one", "the first")
    write(2)
    host.virsh("snapshot-create-as", "t", "two")
    write(3)
    host.has(host.virsh("snapshot-list", "t", "--tree"), "one\n  |\n  +- two", "a tree")
    host.equal(host.virsh("snapshot-current", "t", "--name").strip(), "two", "current")
    host.has(host.virsh("snapshot-info", "t", "one"), "Children:       1", "info")
    host.valid(host.virsh("snapshot-dumpxml", "t", "one"), "domainsnapshot")
    host.has(host.run("qemu-img", "snapshot", "-l", image), "two", "QEMU sees it in the image")
    host.restart()
    host.virsh("snapshot-revert", "t", "one")
    holds(1)
    host.virsh("snapshot-revert", "t", "two")
    holds(2)
    host.virsh("undefine", "t", ok=False)
    host.virsh("snapshot-create-as", "t", "two", ok=False)
    host.virsh("snapshot-delete", "t", "one")
    host.virsh("snapshot-parent", "t", "two", ok=False)
    host.lacks(host.run("qemu-img", "snapshot", "-l", image), "one", "gone from the image")
    host.virsh("start", "t")
    host.has(host.virsh("snapshot-create-as", "t", "three", ok=False), "running", "refused by name")
    host.has(host.virsh("snapshot-create-as", "t", "three", "--disk-only", ok=False), "disk-only", "so is this")
    host.virsh("destroy", "t")
    host.virsh("undefine", "t", "--snapshots-metadata")


def machine_dies(host):
    """kill -9 of a machine's process."""
    define(host, "t")
    define(host, "again", rest="<on_crash>restart</on_crash>")
    for name in ("t", "again"):
        host.virsh("start", name)
        pid = pid_of(host, name)
        os.kill(pid, signal.SIGKILL)
        if name == "t":
            host.until(lambda: state(host, "t") == "shut off (crashed)", "the state is right within a second", 1)
        else:
            host.until(lambda: pid_of(host, "again") not in (None, pid), "on_crash is obeyed", 3)
            host.until(lambda: state(host, "again") == "running (booted)", "it runs again")
            host.virsh("destroy", "again")
    for name in ("t", "again"):
        host.virsh("undefine", name)
    host.equal([p.name for p in (host.root / "run/lodge").glob("*.qmp")], [], "no socket is left")


def daemon_dies(host, rounds=8, machines=3):
    """kill -9 of the daemon under a load of calls: machines run on, nothing accepted is lost."""
    names = [f"m{i}" for i in range(machines)]
    for n in names:
        define(host, n)
        host.virsh("start", n)
    pids = {n: pid_of(host, n) for n in names}
    accepted, count = set(), 0
    for r in range(rounds):
        load = []
        for i in range(4):
            name = f"r{r}-{i}"
            host.file(f"{name}.xml", xml(host, name))
            load.append((name, subprocess.Popen(
                ["virsh", "-q", "-c", f"qemu+unix:///system?socket={host.socket}", "define",
                 str(host.root / f"{name}.xml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)))
        load.append((None, subprocess.Popen(["virsh", "-q", "-c", f"qemu+unix:///system?socket={host.socket}",
                                             "domstats"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)))
        time.sleep(0.02 + 0.03 * (r % 5))
        host.kill()
        for name, p in load:
            if p.wait(timeout=20) == 0 and name:
                accepted.add(name)
                count += 1
        host.start()
        for n in names:
            host.equal(pid_of(host, n), pids[n], f"{n} runs on")
            host.check(state(host, n).startswith("running"), f"{n} is known to run")
    have = set(host.virsh("list", "--all", "--name").split())
    host.equal(accepted - have, set(), "no accepted definition is lost")
    host.virsh("suspend", "m0")
    host.restart()
    host.equal(state(host, "m0"), "paused (user)", "a paused machine is found paused")
    host.kill()
    os.kill(pids["m1"], signal.SIGKILL)
    host.start()
    host.until(lambda: state(host, "m1") == "shut off (crashed)", "a machine that died meanwhile is off")
    for n in have | set(names):
        host.virsh("destroy", n, ok=None)
        host.virsh("undefine", n)
    host.equal([p.name for p in (host.root / "run/lodge").glob("*.qmp")], [], "no socket is left")


def daemon_dies_often(host):
    daemon_dies(host, 100, 10)


TESTS = [dumps, virt_install, refusals, hostile, life, transient, files, settings, snapshots, machine_dies, daemon_dies]
if os.environ.get("LODGE_TEST_FULL"):
    TESTS.append(daemon_dies_often)

if __name__ == "__main__":
    hostlib.main(TESTS)
