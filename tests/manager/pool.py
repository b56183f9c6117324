#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Storage pools and volumes by unmodified virsh; qemu-img says whether images are what they should be.
`tests/manager/pool.py BUILD [TEST...]`"""
import os
import pathlib
import re
import subprocess
import time

import hostlib

FORMATS = ["raw", "qcow2", "vmdk", "vdi", "vpc"]
QEMU_NAME = {"vpc": "vpc"}


def images(h):
    return h.root / "var/lib/lodge/images"


def number(xml, element):
    return int(re.search(rf"<{element}[^>]*>(\d+)</{element}>", xml)[1])


def volume(h, name, pool="default"):
    return h.virsh("vol-dumpxml", name, pool)


def default_pool(h):
    xml = h.virsh("pool-dumpxml", "default")
    h.valid(xml, "storagepool")
    h.has(xml, str(images(h)), "the folder of images")
    h.has(h.virsh("pool-info", "default"), "running", "started by itself")
    stat = os.statvfs(images(h))
    h.check(abs(number(xml, "capacity") - stat.f_frsize * stat.f_blocks) < 1 << 20, "capacity")
    h.virsh("pool-define", h.file("p.xml", xml))
    h.equal(number(h.virsh("pool-dumpxml", "default"), "capacity"), number(xml, "capacity"), "defined again")


def formats(h):
    for f in FORMATS:
        h.virsh("vol-create-as", "default", f"v.{f}", "64M", "--format", f, "--allocation", "0")
        xml = volume(h, f"v.{f}")
        h.valid(xml, "storagevol")
        h.check(number(xml, "capacity") >= 64 << 20, f"{f}: capacity")
        h.check(number(xml, "allocation") < 4 << 20, f"{f}: sparse")
        h.has(h.run("qemu-img", "info", "-f", QEMU_NAME.get(f, f), images(h) / f"v.{f}"), f"file format: {f}", f)
    h.virsh("pool-refresh", "default")
    listed = h.virsh("vol-list", "default")
    for f in FORMATS:
        h.has(listed, f"v.{f}", "listed")
        h.virsh("vol-create-as", "default", f"v.{f}", "1M", "--format", f, ok=False)
        h.virsh("vol-delete", f"v.{f}", "default")
    h.equal(os.listdir(images(h)), [], "deleted")


def raw_is_never_probed(h):
    """A guest can write a header into its raw disk: it stays raw, and names no file."""
    h.virsh("vol-create-as", "default", "guest.raw", "10M", "--format", "raw")
    h.run("qemu-img", "create", "-f", "raw", h.root / "secret", "1M")
    h.run("qemu-img", "create", "-f", "qcow2", "-b", h.root / "secret", "-F", "raw", h.root / "evil")
    with open(images(h) / "guest.raw", "r+b") as f:
        f.write((h.root / "evil").read_bytes())
    h.virsh("pool-refresh", "default")
    h.has(volume(h, "guest.raw"), "type=\"raw\"", "made as raw")
    h.restart()
    h.has(volume(h, "guest.raw"), "type=\"raw\"", "after a restart")
    h.virsh("vol-delete", "guest.raw", "default")
    # Somebody's own file is shown as what it says, but what it names is not opened.
    h.run("cp", h.root / "evil", images(h) / "own.qcow2")
    h.virsh("pool-refresh", "default")
    h.has(volume(h, "own.qcow2"), f"<path>{h.root}/secret</path>", "the chain is shown")
    h.virsh("vol-clone", "own.qcow2", "copy.qcow2", "default", ok=False)
    h.equal([f for f in os.listdir(images(h)) if "copy" in f], [], "nothing half made stays")
    h.virsh("vol-delete", "own.qcow2", "default")


def allocation(h):
    h.virsh("vol-create-as", "default", "full", "20M")
    h.check(number(volume(h, "full"), "allocation") >= 20 << 20, "no --allocation: all of it")
    h.virsh("vol-create-as", "default", "part", "20M", "--allocation", "5M")
    h.check(5 << 20 <= number(volume(h, "part"), "allocation") < 6 << 20, "some of it")
    h.virsh("vol-create-as", "default", "meta", "100M", "--format", "qcow2", "--prealloc-metadata")
    h.run("qemu-img", "check", images(h) / "meta")
    for v in ("full", "part", "meta"):
        h.virsh("vol-delete", v, "default")


def qcow2_options(h):
    h.virsh("vol-create", "default", h.file("v.xml", """<volume><name>o.qcow2</name><capacity unit='G'>3</capacity>
        <target><format type='qcow2'/><compat>1.1</compat><clusterSize unit='KiB'>256</clusterSize>
        <features><lazy_refcounts/></features><permissions><mode>0640</mode></permissions></target></volume>"""))
    xml = volume(h, "o.qcow2")
    h.equal(number(xml, "capacity"), 3 << 30, "capacity")
    h.equal(number(xml, "clusterSize"), 256 << 10, "cluster size")
    h.has(xml, "lazy_refcounts", "features")
    h.has(xml, "<mode>0640</mode>", "permissions")
    h.has(h.run("qemu-img", "info", images(h) / "o.qcow2"), "cluster_size: 262144", "qemu-img agrees")
    h.virsh("vol-delete", "o.qcow2", "default")
    for bad, named in (("<target><encryption format='luks'/></target>", "encryption"),
                       ("<target><format type='qed'/></target>", "qed"), ("<nonsense/>", "nonsense")):
        out = h.virsh("vol-create", "default", h.file("v.xml", f"<volume><name>bad</name><capacity>1</capacity>{bad}"
                                                      "</volume>"), ok=False)
        h.has(out, named, "the refusal")
    for name in (".hidden", "a/b", "..", ""):
        h.virsh("vol-create-as", "default", name, "1M", ok=False)


def backing_and_clone(h):
    h.virsh("vol-create-as", "default", "base.qcow2", "50M", "--format", "qcow2")
    h.run("qemu-io", "-c", "write -P 0x5a 1M 2M", images(h) / "base.qcow2")
    h.virsh("vol-create-as", "default", "top.qcow2", "50M", "--format", "qcow2", "--backing-vol", "base.qcow2",
            "--backing-vol-format", "qcow2")
    xml = volume(h, "top.qcow2")
    h.valid(xml, "storagevol")
    h.has(xml, f"<path>{images(h)}/base.qcow2</path>", "backingStore")
    h.virsh("vol-create-as", "default", "x.qcow2", "1M", "--format", "qcow2", "--backing-vol", "base.qcow2", ok=False)
    h.run("qemu-io", "-c", "write -P 0xa5 10M 1M", images(h) / "top.qcow2")
    h.virsh("vol-clone", "top.qcow2", "second.qcow2", "default")
    h.has(h.run("qemu-img", "compare", images(h) / "second.qcow2", images(h) / "top.qcow2"), "identical", "the clone")
    h.has(volume(h, "second.qcow2"), "base.qcow2", "it stands on the same")
    h.check(number(volume(h, "second.qcow2"), "allocation") < 2 << 20, "and has only its own")
    h.virsh("vol-create-from", "default", h.file("v.xml", "<volume><name>flat.qcow2</name><target>"
            "<format type='qcow2'/></target></volume>"), "top.qcow2", "--inputpool", "default")
    h.has(h.run("qemu-img", "compare", images(h) / "flat.qcow2", images(h) / "top.qcow2"), "identical", "a copy")
    h.lacks(volume(h, "flat.qcow2"), "backingStore", "which stands alone")
    h.virsh("vol-create-from", "default", h.file("v.xml", "<volume><name>c.raw</name><capacity>1</capacity><target>"
            "<format type='raw'/></target></volume>"), "top.qcow2", "--inputpool", "default")
    h.has(h.run("qemu-img", "compare", "-f", "raw", images(h) / "c.raw", images(h) / "top.qcow2"), "identical",
          "to another format")
    h.virsh("vol-resize", "flat.qcow2", "80M", "default")
    h.equal(number(volume(h, "flat.qcow2"), "capacity"), 80 << 20, "larger")
    h.virsh("vol-resize", "flat.qcow2", "10M", "default", "--delta")
    h.equal(number(volume(h, "flat.qcow2"), "capacity"), 90 << 20, "by so much")
    h.virsh("vol-resize", "c.raw", "10M", "default", ok=False)
    h.virsh("vol-resize", "c.raw", "10M", "default", "--shrink")
    h.equal((images(h) / "c.raw").stat().st_size, 10 << 20, "smaller")
    for v in ("top.qcow2", "second.qcow2", "flat.qcow2", "c.raw", "base.qcow2"):
        h.virsh("vol-delete", v, "default")


def streams(h):
    data = os.urandom(3 << 20) + bytes(5 << 20) + os.urandom(1 << 20)
    src, dst = h.root / "src", h.root / "dst"
    src.write_bytes(data)
    for sparse in ([], ["--sparse"]):
        h.virsh("vol-create-as", "default", "s.raw", str(len(data)) + "B", "--allocation", "0")
        h.run("cp", "--sparse=always", src, h.root / "sparse")
        h.virsh("vol-upload", "s.raw", h.root / "sparse", "default", *sparse)
        h.check((images(h) / "s.raw").read_bytes() == data, "uploaded")
        h.virsh("vol-download", "s.raw", dst, "default", *sparse)
        h.check(dst.read_bytes() == data, "downloaded")
        if sparse:
            h.check(number(volume(h, "s.raw"), "allocation") < 5 << 20, "holes stay holes in the volume")
            h.check(dst.stat().st_blocks * 512 < 5 << 20, "and in the copy")
        h.virsh("vol-download", "s.raw", dst, "default", "--offset", "1000", "--length", "5000")
        h.check(dst.read_bytes() == data[1000:6000], "a part")
        h.virsh("vol-delete", "s.raw", "default")
    # An image that is brought is what it is.
    h.run("qemu-img", "create", "-f", "qcow2", src, "33M")
    h.virsh("vol-create-as", "default", "b", "1M")
    h.virsh("vol-upload", "b", src, "default")
    h.has(volume(h, "b"), "type=\"qcow2\"", "an uploaded image")
    h.equal(number(volume(h, "b"), "capacity"), 33 << 20, "and its size")
    h.virsh("vol-delete", "b", "default")


def wipes(h):
    for algorithm in ("zero", "nnsa", "dod", "bsi", "gutmann", "schneier", "pfitzner7", "pfitzner33", "random"):
        h.virsh("vol-create-as", "default", "w", "1M")
        with open(images(h) / "w", "r+b") as f:
            f.write(b"SECRET" * 100000)
        h.virsh("vol-wipe", "w", "default", "--algorithm", algorithm)
        h.check(b"SECRET" not in (images(h) / "w").read_bytes(), algorithm)
        h.virsh("vol-delete", "w", "default")
    h.virsh("vol-create-as", "default", "w", "1M")
    h.virsh("vol-wipe", "w", "default", "--algorithm", "trim")
    h.equal(number(volume(h, "w"), "allocation"), 0, "trimmed")
    h.virsh("vol-delete", "w", "default")


def lookups(h):
    h.virsh("vol-create-as", "default", "l", "1M")
    path = str(images(h) / "l")
    h.equal(h.virsh("vol-path", "l", "default").strip(), path, "path")
    h.equal(h.virsh("vol-key", "l", "default").strip(), path, "key")
    h.equal(h.virsh("vol-name", path).strip(), "l", "name by path")
    h.equal(h.virsh("vol-pool", path).strip(), "default", "pool")
    code = ("import libvirt, sys\nc = libvirt.open(sys.argv[1])\ntry:\n c.storageVolLookupByPath('/nowhere')\n"
            "except libvirt.libvirtError as e:\n print(e.get_error_code())\n")
    h.equal(h.run("/usr/bin/python3", "-c", code, f"qemu+unix:///system?socket={h.socket}").split()[-1], "50",
            "virt-install relies on that number")
    h.virsh("vol-delete", "l", "default")


def life(h):
    target = h.root / "pools/one"
    h.virsh("pool-define-as", "one", "dir", "--target", target)
    h.virsh("pool-start", "one", ok=False)
    h.virsh("pool-build", "one")
    h.virsh("pool-start", "one")
    h.virsh("pool-autostart", "one")
    h.virsh("pool-delete", "one", ok=False)
    h.virsh("pool-define-as", "two", "dir", "--target", target, ok=False)
    (target / "file").write_bytes(bytes(5000))
    h.lacks(h.virsh("vol-list", "one"), "file", "not seen before a refresh")
    h.virsh("pool-refresh", "one")
    h.has(h.virsh("vol-list", "one"), "file", "seen")
    h.restart()
    h.has(h.virsh("vol-list", "one"), "file", "after a crash")
    h.virsh("vol-delete", "file", "one")
    h.virsh("pool-destroy", "one")
    h.restart()
    h.has(h.virsh("pool-info", "one"), "inactive", "what was stopped stays so")
    h.virsh("pool-delete", "one")
    h.check(not target.exists(), "deleted")
    h.virsh("pool-undefine", "one")
    target.mkdir()
    h.virsh("pool-create-as", "three", "dir", "--target", target)
    h.restart()
    h.has(h.virsh("pool-info", "three"), "Persistent:     no", "a transient one after a crash")
    h.virsh("pool-destroy", "three")
    h.virsh("pool-info", "three", ok=False)
    for body, named in (("<pool type='iscsi'><name>x</name></pool>", "iscsi"),
                        ("<pool type='dir'><name>x</name></pool>", "path"),
                        ("<pool type='fs'><name>x</name><target><path>/x</path></target></pool>", "device"),
                        ("<pool type='dir'><name>x</name><target><path>x</path></target></pool>", "path"),
                        ("<pool type='netfs'><name>x</name><source><host name='h'/><dir path='/d'/></source>"
                         "<target><path>/x</path></target><mount_opts><option name='suid'/></mount_opts></pool>",
                         "mount_opts")):
        h.has(h.virsh("pool-define", h.file("p.xml", body), ok=False), named, "the refusal")
    h.valid(h.virsh("pool-capabilities"), "storagepoolcaps")


def loop(h, name, size):
    path = h.root / name
    h.run("truncate", "-s", size, path)
    return h.run("losetup", "-fP", "--show", path).strip()


def file_system(h):
    device = loop(h, "fs.img", "64M")
    try:
        target = h.root / "mnt"
        h.virsh("pool-define-as", "fs", "fs", "--source-dev", device, "--source-format", "ext4", "--target", target)
        h.virsh("pool-build", "fs", "--no-overwrite")
        h.has(h.virsh("pool-build", "fs", "--no-overwrite", ok=False), "already", "there is a file system")
        h.virsh("pool-start", "fs")
        h.valid(h.virsh("pool-dumpxml", "fs"), "storagepool")
        capacity = number(h.virsh("pool-dumpxml", "fs"), "capacity")
        h.check(40 << 20 < capacity < 64 << 20, "the file system's own size")
        h.virsh("vol-create-as", "fs", "v", "5M")
        h.has(h.virsh("vol-create-as", "fs", "big", "500M", ok=False), "space", "full")
        h.equal([f for f in os.listdir(target) if "big" in f], [], "no remains")
        h.restart()
        h.has(h.virsh("vol-list", "fs"), "v", "after a crash")
        h.virsh("pool-destroy", "fs")
        h.equal(os.listdir(target), [], "unmounted")
        h.virsh("pool-undefine", "fs")
    finally:
        h.run("umount", h.root / "mnt", ok=None)
        h.run("losetup", "-d", device)


def disk(h):
    device = loop(h, "disk.img", "128M")
    base = os.path.basename(device)
    try:
        h.virsh("pool-define-as", "disk", "disk", "--source-dev", device, "--source-format", "gpt", "--target", "/dev")
        h.virsh("pool-start", "disk", ok=False)
        h.virsh("pool-build", "disk")
        h.has(h.virsh("pool-build", "disk", ok=False), "gpt", "there is a table")
        h.virsh("pool-start", "disk")
        h.valid(h.virsh("pool-dumpxml", "disk"), "storagepool")
        h.virsh("vol-create-as", "disk", f"{base}p1", "16M")
        h.virsh("vol-create-as", "disk", f"{base}p2", "32M")
        xml = volume(h, f"{base}p2", "disk")
        h.valid(xml, "storagevol")
        h.equal(number(xml, "capacity"), 32 << 20, "the partition's size")
        h.has(h.run("parted", "-ms", device, "unit", "MiB", "print"), "2:17.0MiB:49.0MiB:32.0MiB", "parted agrees")
        h.virsh("vol-create-as", "disk", f"{base}p3", "100M", ok=False)
        h.virsh("vol-delete", f"{base}p1", "disk")
        h.virsh("vol-create-as", "disk", f"{base}p1", "8M")
        h.equal(number(volume(h, f"{base}p1", "disk"), "capacity"), 8 << 20, "in the gap")
        data = os.urandom(1 << 20)
        (h.root / "d").write_bytes(data)
        h.virsh("vol-upload", f"{base}p2", h.root / "d", "disk")
        h.virsh("vol-download", f"{base}p2", h.root / "e", "disk", "--length", str(1 << 20))
        h.check((h.root / "e").read_bytes() == data, "bytes of a partition")
        h.restart()
        h.has(h.virsh("vol-list", "disk"), f"{base}p2", "after a crash")
        h.virsh("pool-destroy", "disk")
        h.virsh("pool-undefine", "disk")
    finally:
        h.run("losetup", "-d", device)


def logical(h):
    device = loop(h, "lvm.img", "128M")
    try:
        h.virsh("pool-define", h.file("p.xml", f"<pool type='logical'><name>lodgetest</name><source><device "
                                      f"path='{device}'/></source><target/></pool>"))
        h.virsh("pool-start", "lodgetest", ok=False)
        h.virsh("pool-build", "lodgetest")
        h.virsh("pool-start", "lodgetest")
        xml = h.virsh("pool-dumpxml", "lodgetest")
        h.valid(xml, "storagepool")
        h.equal(number(xml, "capacity"), 124 << 20, "what LVM leaves of it")
        h.has(h.virsh("find-storage-pool-sources", "logical"), "lodgetest", "found")
        h.valid(h.virsh("pool-dumpxml", "lodgetest"), "storagepool")
        h.virsh("vol-create-as", "lodgetest", "sparse", "16M", "--allocation", "0", ok=False)
        h.virsh("vol-create-as", "lodgetest", "-x", "16M", ok=False)
        if "device-mapper" in open("/proc/misc").read():
            logical_volumes(h)
        else:
            print("SKIPPED logical volumes: this kernel has no device mapper")
        h.virsh("pool-destroy", "lodgetest")
        h.virsh("pool-delete", "lodgetest")
        h.lacks(h.run("vgs"), "lodgetest", "deleted")
        h.virsh("pool-undefine", "lodgetest")
    finally:
        h.run("vgremove", "-f", "lodgetest", ok=None)
        h.run("losetup", "-d", device)


def logical_volumes(h):
    h.virsh("vol-create-as", "lodgetest", "one", "16M")
    h.valid(volume(h, "one", "lodgetest"), "storagevol")
    h.virsh("vol-resize", "one", "32M", "lodgetest")
    h.equal(number(volume(h, "one", "lodgetest"), "capacity"), 32 << 20, "larger")
    h.virsh("vol-delete", "one", "lodgetest")


def crash_while_making(h):
    """kill -9 in a long creation: no volume, no remains."""
    for i in range(6):
        p = subprocess.Popen(["virsh", "-q", "-c", f"qemu+unix:///system?socket={h.socket}", "vol-create-as", "default",
                              "long", "2G", "--format", "qcow2", "--prealloc-metadata"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(0.05 + 0.03 * i)
        h.kill()
        p.wait(timeout=20)
        h.start()
        h.virsh("pool-refresh", "default")
        files = os.listdir(images(h))
        h.check(files in ([], ["long"]), f"round {i}: {files}")
        if files:
            h.run("qemu-img", "check", images(h) / "long")
            h.virsh("vol-delete", "long", "default")


def client_goes(h):
    """A long job ends when who asked for it is gone; the volume is free again."""
    h.virsh("vol-create-as", "default", "big", "300M")
    h.run("dd", "if=/dev/zero", f"of={images(h)}/big", "bs=1M", "count=300", "conv=notrunc,fsync")
    p = subprocess.Popen(["virsh", "-q", "-c", f"qemu+unix:///system?socket={h.socket}", "vol-wipe", "big", "default",
                          "--algorithm", "gutmann"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    h.has(h.virsh("vol-delete", "big", "default", ok=False), "job at work", "a volume in use")
    h.has(h.virsh("pool-destroy", "default", ok=False), "jobs at work", "and its pool")
    p.kill()
    p.wait()
    h.until(lambda: "deleted" in h.run("virsh", "-c", f"qemu+unix:///system?socket={h.socket}", "vol-delete", "big",
                                       "default", ok=None), "the job ends", 8)


def events(h):
    p = subprocess.Popen(["stdbuf", "-oL", "virsh", "-c", f"qemu+unix:///system?socket={h.socket}", "pool-event",
                          "--event", "lifecycle", "--loop", "--timeout", "5"], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    h.virsh("pool-define-as", "ev", "dir", "--target", h.root / "ev")
    h.virsh("pool-build", "ev")
    h.virsh("pool-start", "ev")
    h.virsh("pool-destroy", "ev")
    h.virsh("pool-undefine", "ev")
    out = p.communicate(timeout=30)[0]
    order = [out.find(w) for w in ("Defined", "Created", "Started", "Stopped", "Undefined")]
    h.check(order == sorted(order) and order[0] >= 0, f"events in order: {out}")


if __name__ == "__main__":
    hostlib.main([default_pool, formats, raw_is_never_probed, allocation, qcow2_options, backing_and_clone, streams,
                  wipes, lookups, life, file_system, disk, logical, crash_while_making, client_goes, events])
