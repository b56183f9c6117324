# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-blk holds what it was given: verified inside by fio, outside by e2fsck and debugfs."""
import hashlib
import os
import signal
import subprocess
import time

from runner import Skip, test


def fsck(image, *options):
    done = subprocess.run(["e2fsck", *options, str(image)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def second_disk(env, size="1G"):
    path = env.tmp / "data.img"
    subprocess.run(["truncate", "-s", size, str(path)], check=True)
    return path


def disk_option(env, path):
    if env.backend.name == "lodge-vm":
        return ["--disk", f"path={path},format=raw"]
    return ["-drive", f"file={path},format=raw,if=none,id=d1",
            "-device", "virtio-blk-pci,drive=d1,disable-legacy=on"]


@test("disk.fio", timeout=400, full_timeout=900)
def fio(env):
    """Random writes of several sizes, verified by fio; then the file system is clean from outside."""
    data = second_disk(env)
    m = env.machine(cpus=2, disk=env.disk("debian-full"), extra=disk_option(env, data))
    m.boot()
    m.login()
    # write-zeroes and discard touch what they should and nothing else
    m.run("dd if=/dev/urandom of=/tmp/r bs=1M count=4 status=none && dd if=/tmp/r of=/dev/vdb "
          "oflag=direct bs=1M status=none && blkdiscard -f -z -o 1M -l 1M /dev/vdb && "
          "blkdiscard -f -o 3M -l 1M /dev/vdb && sync && echo 3 > /proc/sys/vm/drop_caches && "
          "cmp -n 1M /tmp/r /dev/vdb && cmp -n 1M -i 1M:0 /dev/vdb /dev/zero && "
          "cmp -n 1M -i 2M /tmp/r /dev/vdb", 60)
    scale = 8 if env.full else 1
    m.run("mkfs.ext4 -q /dev/vdb && mount -o discard /dev/vdb /mnt", 60)
    # One block size a job: with several, fio loses track of what overlaps what.
    jobs = " ".join(f"--name=b{size} --bs={size} --size={mib * scale}M"
                    for size, mib in (("512", 2), ("4k", 24), ("16k", 24), ("128k", 32)))
    m.run("fio --directory=/mnt --rw=randrw --direct=1 --ioengine=libaio --iodepth=16 "
          "--verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=7 --fsync=64 "
          f"--output=/tmp/fio.log {jobs} || {{ head -n 40 /tmp/fio.log; false; }}", 600)
    m.run("dd if=/dev/urandom of=/mnt/file bs=64k count=300 status=none && "
          "sha256sum /mnt/file", 60)
    inside = m.run("sha256sum /mnt/file").split()[0]
    m.run("rm /mnt/b4k.* && fstrim /mnt && umount /mnt", 60)
    assert m.poweroff() == 0
    for image in (m.disk, data):
        status, out = fsck(image, "-f", "-n")
        assert status == 0, out
    out = env.tmp / "file"
    subprocess.run(["debugfs", "-R", f"dump /file {out}", str(data)], check=True,
                   capture_output=True)
    assert hashlib.sha256(out.read_bytes()).hexdigest() == inside, "contents differ outside"


@test("disk.killed", timeout=300)
def killed(env):
    """SIGKILL while the guest writes: its journal makes the image whole again."""
    m = env.machine(cpus=2)
    m.boot()
    m.login()
    m.send("i=0; while :; do i=$((i+1)); mkdir -p /w/$((i%50)); cp /etc/services /w/$((i%50))/$i; "
           "rm -rf /w/$(((i+25)%50)); [ $((i%40)) = 0 ] && { sync; echo synced-$i-; }; done\n")
    for _ in range(3):
        m.expect(r"synced-\d+-", 90)
    m.console.process.send_signal(signal.SIGKILL)
    m.console.wait(10)
    status, out = fsck(m.disk, "-p")
    assert status in (0, 1), f"the journal did not suffice ({status}):\n{out}"
    status, out = fsck(m.disk, "-f", "-n")
    assert status == 0, out
    # And it boots again: no lock, socket or other trace of the dead process is in the way.
    again = env.machine(disk=m.disk)
    again.boot()
    again.login()
    assert again.poweroff() == 0


@test("disk.synced", timeout=240)
def synced(env):
    """What fsync() promised is in the image right after SIGKILL."""
    m = env.machine()
    m.boot()
    m.login()
    token = os.urandom(16).hex()
    m.run(f"echo {token} > /root/token && sync /root/token && sync", 60)
    m.console.process.send_signal(signal.SIGKILL)
    m.console.wait(10)
    fsck(m.disk, "-p")
    out = subprocess.run(["debugfs", "-R", "cat /root/token", str(m.disk)], capture_output=True,
                         text=True).stdout
    assert out.strip() == token, out


@test("disk.properties", timeout=240)
def properties(env):
    """Serial number, read-only and queues reach the guest; a read-only image never changes."""
    if env.backend.name != "lodge-vm":
        raise Skip("lodge-vm's own options")
    data = second_disk(env, "64M")
    data.write_bytes(os.urandom(1 << 20) * 64)
    before = hashlib.sha256(data.read_bytes()).hexdigest()
    m = env.machine(cpus=2, extra=["--disk",
                                   f"path={data},format=raw,readonly=on,serial=lodge-42,queues=2"])
    m.boot()
    m.login()
    assert m.run("cat /sys/block/vdb/serial").strip() == "lodge-42"
    assert m.run("cat /sys/block/vdb/ro").strip() == "1"
    assert m.run("ls /sys/block/vdb/mq").split() == ["0", "1"]
    assert m.run("sha256sum /dev/vdb", 60).split()[0] == before
    status, _ = m.run("dd if=/dev/zero of=/dev/vdb bs=4096 count=1", check=False)
    assert status != 0, "the guest wrote to a read-only disk"
    assert m.poweroff() == 0
    assert hashlib.sha256(data.read_bytes()).hexdigest() == before


@test("disk.many", timeout=240)
def many(env):
    """Eight more disks, each the one it says it is, all written at once."""
    paths, extra = [], []
    for i in range(8):
        p = env.tmp / f"d{i}.img"
        subprocess.run(["truncate", "-s", f"{16 + i}M", str(p)], check=True)
        paths.append(p)
        if env.backend.name == "lodge-vm":
            packed = ",packed=on" if i % 2 else ""  # both ring layouts
            extra += ["--disk", f"path={p},format=raw{packed}"]
        else:
            extra += ["-drive", f"file={p},format=raw,if=none,id=e{i}",
                      "-device", f"virtio-blk-pci,drive=e{i},disable-legacy=on"]
    m = env.machine(cpus=2, extra=extra)
    m.boot()
    m.login()
    for i, letter in enumerate("bcdefghi"):
        assert int(m.run(f"cat /sys/block/vd{letter}/size")) * 512 == (16 + i) << 20
    m.run("for l in b c d e f g h i; do yes disk-$l | dd of=/dev/vd$l bs=1M count=16 iflag=fullblock "
          "status=none & done; wait; sync", 90)
    start = time.monotonic()
    assert m.poweroff() == 0
    for letter, p in zip("bcdefghi", paths):
        line = f"disk-{letter}\n".encode()
        want = (line * ((16 << 20) // len(line) + 1))[:16 << 20]
        assert p.read_bytes()[:16 << 20] == want, p
    return f"power-off took {time.monotonic() - start:.1f} s"


@test("disk.qcow2", timeout=400, full_timeout=900)
def qcow2(env):
    """A qcow2 disk over a backing file passes fio --verify, and is whole for qemu-img; its cost over raw."""
    if env.backend.name != "lodge-vm":
        raise Skip("lodge-vm's own engine")
    base, top, raw = env.tmp / "base.img", env.tmp / "top.qcow2", env.tmp / "raw.img"
    base.write_bytes(os.urandom(1 << 20) * 64)
    with open(base, "r+b") as f:
        f.truncate(512 << 20)
    subprocess.run(["truncate", "-s", "512M", str(raw)], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw",
                    str(top)], check=True)
    m = env.machine(cpus=2, disk=env.disk("debian-full"),
                    extra=["--disk", f"path={top},format=qcow2",
                           "--disk", f"path={raw},format=raw"])
    m.boot()
    m.login()
    assert m.run("dd if=/dev/vdb bs=1M count=64 status=none | sha256sum", 60).split()[0] == \
        hashlib.sha256(base.read_bytes()[:64 << 20]).hexdigest()
    scale = 4 if env.full else 1
    jobs = " ".join(f"--name=b{size} --bs={size} --size={mib * scale}M --offset={at}M"
                    for size, mib, at in (("4k", 16, 0), ("16k", 16, 128), ("128k", 32, 256)))
    verify = ("fio --filename=/dev/%s --rw=randrw --direct=1 --ioengine=libaio --iodepth=16 "
              "--verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=7 --fsync=64 "
              f"--output=/tmp/fio.log {jobs} || {{ head -n 40 /tmp/fio.log; false; }}")
    m.run(verify % "vdb", 600)
    m.run(verify % "vdc", 600)
    m.run("blkdiscard -o 400M -l 64M /dev/vdb && cmp -n 64M -i 400M:0 /dev/vdb /dev/zero", 60)
    cost = {}
    for name, disk in (("qcow2", "vdb"), ("raw", "vdc")):
        out = m.run(f"fio --filename=/dev/{disk} --name=c --rw=randrw --bs=4k --iodepth=16 --direct=1 "
                    "--ioengine=libaio --offset=256M --size=32M --time_based --runtime=3 --minimal "
                    "2>/dev/null", 60)
        fields = out.strip().splitlines()[-1].split(";")
        cost[name] = int(fields[7]) + int(fields[48])  # read and write IOPS
    assert m.poweroff() == 0
    subprocess.run(["qemu-img", "check", "-q", str(top)], check=True)
    assert base.stat().st_size == 512 << 20
    return f"4K random at depth 16: qcow2 has {cost['qcow2'] / cost['raw']:.2f} of raw's rate"
