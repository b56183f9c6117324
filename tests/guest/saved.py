# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest saved at its shell goes on there in a new process."""
import re
import time

from guestlib.machine import disk_copy
from guestlib.qmp import QMP
from runner import Skip, test


def save_and_load(env, cpus, rounds):
    if env.backend.name != "lodge-vm":
        raise Skip("lodge-vm's own format")
    m = env.machine(cpus=cpus, qmp=True, extra=["--rng", "--balloon"])
    m.boot()
    m.login()
    # State in the shell, in kernel memory, in a process that runs on, in files and on a timer.
    m.run("mkdir -p /tmp/t && mount -t tmpfs t /tmp/t && "
          "python3 -c 'import os; open(\"/tmp/t/data\", \"wb\").write(os.urandom(8 << 20))' && "
          "sha256sum /tmp/t/data > /tmp/t/sum; echo kept > /root/kept")
    m.send("token=alive-$((6*7)); cd /usr/share\n")
    m.expect(r"lodge-test# ", 20)
    m.send("( i=0; while sleep 0.2; do i=$((i+1)); echo $i > /tmp/t/ticks; done ) &\n")
    m.expect(r"lodge-test# ", 20)
    m.run("sleep 1")
    disk, ticks = m.disk, int(m.run("cat /tmp/t/ticks"))
    for i in range(rounds):
        state = env.tmp / f"state{i}"
        q = QMP(m.qmp_path)
        q.command("save", file=str(state))
        q.command("quit")
        assert m.console.wait(30) == 0
        q.close()
        m.kill()
        time.sleep(2)
        m = env.machine(cpus=cpus, disk=disk, qmp=True,
                        extra=["--rng", "--balloon", "--load", state])
        m.send("\n")
        m.expect(r"lodge-test# ", 60)
        m.console.expect(r"(?:lodge-test# )?$", 5)
        m.send("echo $token-$PWD-ok\n")
        m.expect(r"alive-42-/usr/share-ok\n", 30)
        m.expect(r"lodge-test# ", 10)
        m.run("sleep 1; sha256sum -c /tmp/t/sum", 60)
        now = int(m.run("cat /tmp/t/ticks"))
        assert now > ticks, f"the background process stands still: {ticks}, {now}"
        ticks = now
        m.run("echo 3 > /proc/sys/vm/drop_caches; grep -q kept /root/kept; "
              "dd if=/dev/urandom of=/root/more bs=64k count=32 status=none; sync", 60)
        assert m.run("nproc").strip() == str(cpus)
    log = m.run("dmesg")
    assert not re.search(r"BUG|soft lockup|rcu.*stall|Call Trace|I/O error", log), log[-2000:]
    assert m.poweroff() == 0


for count in (1, 2):
    @test(f"saved.cpus{count}", timeout=300, full_timeout=900)
    def saved(env, count=count):
        save_and_load(env, count, 5 if env.full else 2)


@test("saved.network", timeout=300)
def network(env):
    """The user network works after a restore: a new ssh connection through the forwarded port."""
    if env.backend.name != "lodge-vm":
        raise Skip("lodge-vm's own format")
    m = env.machine(ssh=True, qmp=True)
    m.boot()
    m.login()
    m.run("systemctl is-system-running --wait", 120, check=False)
    state = env.tmp / "state"
    q = QMP(m.qmp_path)
    q.command("save", file=str(state))
    q.command("quit")
    m.console.wait(30)
    q.close()
    m.kill()
    again = env.machine(ssh=True, disk=m.disk, extra=["--load", state])
    deadline = time.monotonic() + 60
    while (done := again.ssh("echo through")).stdout != "through\n":
        assert time.monotonic() < deadline, (done.stdout, done.stderr)
        time.sleep(1)
    again.send("\n")
    again.expect(r"lodge-test# ", 30)
    assert again.poweroff() == 0


@test("saved.twice", timeout=300)
def twice(env):
    """One saved state starts two machines, each on its own copy of the disk."""
    if env.backend.name != "lodge-vm":
        raise Skip("lodge-vm's own format")
    m = env.machine(qmp=True)
    m.boot()
    m.login()
    state = env.tmp / "state"
    q = QMP(m.qmp_path)
    q.command("stop")
    q.command("save", file=str(state))
    q.command("quit")
    m.console.wait(30)
    q.close()
    m.kill()
    machines = [env.machine(disk=disk_copy(m.disk, env.tmp / f"disk{i}"),
                            extra=["--load", state]) for i in range(2)]
    for i, each in enumerate(machines):
        each.send("\n")
        each.expect(r"lodge-test# ", 60)
        assert each.run(f"echo {i} > /root/me; sync; cat /root/me").strip() == str(i)
    for each in machines:
        assert each.poweroff() == 0
