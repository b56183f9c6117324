# SPDX-License-Identifier: GPL-2.0-or-later
"""OVA and OVF, with disks the peer made."""
import hashlib
import tarfile

from imagelib import check, peers, test

OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
 <References><File ovf:href="{href}" ovf:id="file1"/></References>
 <DiskSection><Info>d</Info><Disk ovf:capacity="48" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1"
  ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
 <VirtualSystem ovf:id="x"><Name>web &amp; mail</Name>
  <OperatingSystemSection ovf:id="94"><Info>o</Info><Description>Debian</Description></OperatingSystemSection>
  <VirtualHardwareSection><Info>h</Info>
   <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
   <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>768</rasd:VirtualQuantity></Item>
   <Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>
   <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
   <Item><rasd:Connection>VM Network</rasd:Connection><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceType>10</rasd:ResourceType></Item>
  </VirtualHardwareSection></VirtualSystem></Envelope>
"""


@test
def ova(env):
    source, peer = env.source(), peers()[-1]
    disk, ovf, mf, archive = (env.path(n) for n in ("disk1.vmdk", "m.ovf", "m.mf", "m.ova"))
    peer.img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", source, disk)
    ovf.write_text(OVF.format(href="disk1.vmdk"))
    mf.write_text("".join(f"SHA256({p.name})= {hashlib.sha256(p.read_bytes()).hexdigest()}\n" for p in (ovf, disk)))
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as t:
        for p in (ovf, mf, disk):
            t.add(p, p.name)
    for n, path in enumerate((archive, ovf)):
        out = env.path(f"out{n}")
        out.mkdir()
        m = env.lodge.json("import", "--json", "-d", out, "--xml", out / "m.xml", path)
        check((m["name"], m["cpus"], m["memory"], m["networks"], m["disks"][0]["bus"]) ==
              ("web & mail", 2, 768 << 20, ["VM Network"], "scsi"), m)
        made = m["disks"][0]["path"]
        check(made.endswith("/web---mail-1.qcow2"), made)
        peer.img("compare", "-f", "raw", "-F", "qcow2", source, made)
        xml = (out / "m.xml").read_text()
        check("<name>web &amp; mail</name>" in xml and made in xml, xml)


@test
def damaged(env):
    """A wrong sum, a name that leads elsewhere, several machines: refused."""
    ovf = env.path("m.ovf")
    env.path("disk1.vmdk").write_bytes(b"KDMV" + bytes(2000))
    ovf.write_text(OVF.format(href="disk1.vmdk"))
    env.path("m.mf").write_text("SHA256(disk1.vmdk)= " + "0" * 64 + "\n")
    done = env.lodge("import", "-d", env.tmp, ovf, status=3)
    check("damaged" in done.stderr, done.stderr)
    env.path("m.mf").unlink()
    env.lodge("import", "-d", env.tmp, ovf, status=3)
    ovf.write_text(OVF.format(href="../../etc/passwd"))
    done = env.lodge("import", "-d", env.tmp, ovf, status=3)
    check("beside" in done.stderr, done.stderr)
    ovf.write_text("<Envelope><VirtualSystem/><VirtualSystem/></Envelope>")
    done = env.lodge("import", ovf, status=3)
    check("several" in done.stderr, done.stderr)
