# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock Debian boots to login, works, and powers off, with 1, 2 and 4 vCPUs."""
import re

from runner import test

# What a kernel says when the machine below it is wrong.
COMPLAINTS = re.compile(
    r"BUG:|Oops|Kernel panic|Call Trace|soft lockup|rcu.*stall|hung task|WARNING: CPU|"
    r"Unable to handle|general protection|clocksource: timekeeping watchdog.*unstable|"
    r"nobody cared|APIC error|MP-BIOS bug|Firmware Bug|ACPI (BIOS )?Error|DMAR|"
    r"blk_update_request|I/O error|EXT4-fs error|EXT4-fs warning|Buffer I/O")
# True of any such machine without firmware or with `-cpu max`; nothing to complain of.
HARMLESS = re.compile(r"\[Firmware Bug\]: (CPU|TSC)|TSC doesn't count")


def complaints(text):
    return [line.strip() for line in text.splitlines()
            if COMPLAINTS.search(line) and not HARMLESS.search(line)]


def boots(env, cpus, times, memory="1G"):
    took = []
    disk = env.disk()  # the same disk again and again: each boot sees what the last one left
    for i in range(times):
        m = env.machine(cpus=cpus, memory=memory, disk=disk)
        took.append(m.boot())
        m.login()
        assert m.run("nproc").strip() == str(cpus), m.run("cat /proc/cpuinfo")
        assert m.run("systemctl is-system-running --wait", 120).strip() == "running", \
            m.run("systemctl --failed")
        log = m.run("dmesg", 60)
        assert not complaints(log), "\n".join(complaints(log))
        status = m.poweroff()
        assert status == 0, f"boot {i + 1}: exit status {status} after a clean power-off"
        m.kill()
    return f"login after {' '.join(f'{t:.1f}' for t in took)} s"


for count, short in ((1, 2), (2, 2), (4, 1)):
    @test(f"boot.cpus{count}", timeout=120 * short + 60, full_timeout=1800)
    def boot(env, count=count, short=short):
        return boots(env, count, 10 if env.full else short)


@test("boot.cpus16", timeout=10, full_timeout=900)
def boot16(env):
    from runner import Skip
    if not env.full:
        raise Skip("long form only (--full)")
    return boots(env, 16, 1, memory="2G")


@test("boot.reboot", timeout=240)
def reboot(env):
    m = env.machine(cpus=2)
    m.boot()
    m.login()
    m.send("reboot\n")
    m.expect(r"reboot: Restarting system", 90)
    m.expect(r"login: ", 150)
    m.login()
    assert m.poweroff() == 0


@test("boot.memory", timeout=180)
def memory(env):
    """More memory than fits below 4 GiB is found and usable on both sides of the hole."""
    m = env.machine(memory="5G")
    m.boot()
    m.login()
    kib = int(re.search(r"MemTotal:\s+(\d+)", m.run("cat /proc/meminfo"))[1])
    assert 4.6 < kib / (1 << 20) < 5.0, f"{kib} KiB"
    m.run("python3 -c 'b = bytearray(3 << 30); b[::4096] = b\"x\" * (len(b) // 4096); "
          "assert sum(b[::4096]) == 120 * (len(b) // 4096)'", 120)
    assert m.poweroff() == 0
