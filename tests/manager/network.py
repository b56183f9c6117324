#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Networks by unmodified virsh; network namespaces on the bridge stand for guests: real DHCP clients, pings,
NAT to another namespace, isolation. `tests/manager/network.py BUILD [TEST...]`"""
import os
import re
import signal
import subprocess
import time

import hostlib

DEFAULT_UUID = re.compile(r"<uuid>(.*)</uuid>")

# Each is defined, valid as dumped, and unchanged by defining the dump again.
DOCUMENTS = {
    "nat": "<forward mode='nat'><nat><port start='2000' end='3000'/></nat></forward>"
           "<ip address='10.1.0.1' prefix='24'><dhcp><range start='10.1.0.10' end='10.1.0.20'/>"
           "<host mac='52:54:00:01:02:03' name='fixed' ip='10.1.0.5'/></dhcp></ip>",
    "natdev": "<forward mode='nat' dev='lo'><nat><address start='1.2.3.4' end='1.2.3.10'/></nat></forward>"
              "<ip address='10.2.0.1' netmask='255.255.0.0'/>",
    "routed": "<forward mode='route'/><ip address='10.3.0.1' netmask='255.255.255.0'/>"
              "<ip family='ipv6' address='fd00:3::1' prefix='64'><dhcp><range start='fd00:3::100' "
              "end='fd00:3::1ff'/><host id='0:4:7e:7d:f0:7d:a8:bc:c5:d2:13:32:11:ed:16:ea:84:63' name='six' "
              "ip='fd00:3::20'/></dhcp></ip><route address='192.168.222.0' prefix='24' gateway='10.3.0.2'/>"
              "<route family='ipv6' address='fd00:9::' prefix='48' gateway='fd00:3::2' metric='5'/>",
    "opened": "<forward mode='open'/><bridge name='op0' stp='off' delay='2'/><mtu size='9000'/>"
              "<ip address='10.4.0.1' prefix='24'/>",
    "isolated": "<domain name='inner.test' localOnly='yes'/><ip address='10.5.0.1' prefix='24'><dhcp>"
                "<range start='10.5.0.10' end='10.5.0.20'><lease expiry='2' unit='hours'/></range></dhcp></ip>",
    "bare": "",
    "dns": "<dns forwardPlainNames='no'><forwarder addr='8.8.8.8'/><forwarder domain='example.com' "
           "addr='192.168.1.1'/><forwarder domain='www.example.com'/><txt name='example' value='a, b'/>"
           "<srv service='ldap' protocol='tcp' domain='x.test' target='l.x.test' port='389' priority='1' "
           "weight='2'/><host ip='10.6.0.7'><hostname>seven</hostname><hostname>sept</hostname></host></dns>"
           "<ip address='10.6.0.1' prefix='24' localPtr='yes'/>",
    "nodns": "<dns enable='no'/><ip address='10.7.0.1' prefix='24'/>",
    "boot": "<ip address='10.8.0.1' prefix='24'><tftp root='/srv/tftp'/><dhcp><range start='10.8.0.5' "
            "end='10.8.0.9'/><bootp file='pxelinux.0' server='10.8.0.1'/></dhcp></ip>",
    "groups": "<forward mode='nat'/><bandwidth><inbound average='1000' peak='5000' burst='1024'/><outbound "
              "average='128' burst='256'/></bandwidth><ip address='10.9.0.1' prefix='24'/><portgroup name='a' "
              "default='yes'><bandwidth><inbound average='10'/></bandwidth></portgroup><portgroup name='b' "
              "trustGuestRxFilters='yes'/>",
    "hostbridge": "<forward mode='bridge'/><bridge name='br9'/>",
    "macvtap": "<forward mode='vepa'><interface dev='eth7'/><interface dev='eth8'/></forward>",
    "meta": "<metadata><app:x xmlns:app='http://app.example/1' a='1'><app:y>text &amp; more</app:y></app:x>"
            "</metadata><port isolated='yes'/><ip address='10.10.0.1' prefix='24'/>",
}

# (document, what the refusal must name)
REFUSED = [
    ("<forward mode='hostdev' managed='yes'><pf dev='eth0'/></forward>", "managed"),
    ("<forward mode='hostdev'><pf dev='eth0'/></forward>", "pf"),
    ("<virtualport type='openvswitch'/>", "virtualport"),
    ("<vlan><tag id='42'/></vlan>", "vlan"),
    ("<bridge name='b0' zone='public'/>", "zone"),
    ("<nonsense/>", "nonsense"),
    ("<bridge name='b0' nonsense='1'/>", "nonsense"),
    ("<bridge name='../../etc'/>", "name"),
    ("<ip address='10.1.0.1' netmask='255.0.255.0'/>", "netmask"),
    ("<ip address='10.1.0.1' prefix='24'><dhcp><range start='10.2.0.1' end='10.2.0.9'/></dhcp></ip>", "not within"),
    ("<ip address='10.1.0.1' prefix='24'><dhcp><range start='10.1.0.9' end='10.1.0.2'/></dhcp></ip>", "reversed"),
    ("<ip address='10.1.0.1' prefix='8'><dhcp><range start='10.1.0.9' end='10.200.0.2'/></dhcp></ip>", "more than"),
    ("<ip address='10.1.0.1' prefix='24'><dhcp><host mac='01:00:00:00:00:01' ip='10.1.0.2'/></dhcp></ip>",
     "multicast"),
    ("<ip address='fd00::1' prefix='24'/>", "family"),
    ("<dns><txt name='a' value='x&#10;address=/#/1.2.3.4'/></dns>", "txt"),
    ("<dns><host ip='1.2.3.4'><hostname>a&#10;b</hostname></host></dns>", "hostname"),
    ("<domain name='a,b'/>", "domain"),
    ("<route address='10.0.0.0' prefix='8' gateway='1.2.3.4'/>", "gateway"),
    ("<dnsmasq:options xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><dnsmasq:option "
     "value='conf-script=/bin/sh'/></dnsmasq:options>", "options"),
]


def document(name, body):
    return f"<network><name>{name}</name>{body}</network>"


def leases(h, net="default"):
    return h.virsh("net-dhcp-leases", net)


def guest(h, name, bridge="virbr0", mac=None):
    """A namespace with eth0 on the bridge."""
    h.run("ip", "netns", "add", name)
    h.run("ip", "link", "add", f"t-{name}", "type", "veth", "peer", "name", "eth0", "netns", name,
          *(["address", mac] if mac else []))
    if bridge:
        h.run("ip", "link", "set", f"t-{name}", "master", bridge)
    h.run("ip", "link", "set", f"t-{name}", "up")
    for dev in ("lo", "eth0"):
        h.run("ip", "link", "set", dev, "up", netns=name)


def dhcp(h, name, hostname=None):
    """The address that a DHCP client gets."""
    script = h.file("udhcpc.sh", "#!/bin/sh\n[ $1 = bound ] || exit 0\nip addr flush dev $interface\n"
                    "ip addr add $ip/$mask dev $interface\n[ -n \"$router\" ] && ip route replace default via "
                    "$router\necho GOT $ip ROUTER $router MTU $mtu DNS $dns BOOT $boot_file\nexit 0\n")
    os.chmod(script, 0o755)
    out = h.run("busybox", "udhcpc", "-f", "-q", "-n", "-t", "8", "-T", "1", "-i", "eth0", "-s", script, "-O", "mtu",
                *(["-x", f"hostname:{hostname}"] if hostname else []), netns=name)
    return re.search(r"GOT (\S+)", out)[1], out


def reaches(h, name, address, ok=True):
    h.checks += 1
    h.run("ping", "-c", "2", "-i", "0.2", "-W", "1", address, netns=name, ok=ok)


def links(h):
    return set(re.findall(r"^\d+: ([^:@]+)", h.run("ip", "link"), re.M))


def dnsmasqs(h):
    """Process ids of those of this test."""
    found = []
    for p in os.listdir("/proc"):
        try:
            if p.isdigit() and str(h.root) in open(f"/proc/{p}/cmdline").read() and \
                    open(f"/proc/{p}/comm").read().strip() == "dnsmasq":
                found.append(int(p))
        except OSError:
            pass
    return found


# ---- tests

def default_network(h):
    xml = h.virsh("net-dumpxml", "default")
    h.valid(xml, "network")
    h.has(xml, "192.168.122.1", "the default range")
    h.has(h.virsh("net-info", "default"), "Bridge:         virbr0", "net-info")
    h.virsh("net-define", h.file("d.xml", xml))
    h.equal(h.virsh("net-dumpxml", "default"), xml, "defining what was dumped changes it")
    h.equal(len(dnsmasqs(h)), 1, "one dnsmasq")


def documents(h):
    for name, body in DOCUMENTS.items():
        path = h.file("n.xml", document(name, body))
        h.valid(path.read_text(), "network")
        h.virsh("net-define", path)
        xml = h.virsh("net-dumpxml", name)
        h.valid(xml, "network")
        h.virsh("net-define", h.file("n.xml", xml))
        h.equal(h.virsh("net-dumpxml", name), xml, f"{name}: defining what was dumped changes it")
    h.has(h.virsh("net-dumpxml", "meta"), "text &amp; more", "metadata")
    h.restart()
    for name in DOCUMENTS:
        h.has(h.virsh("net-list", "--all", "--name"), name, "kept over a crash")
        h.virsh("net-undefine", name)
        h.virsh("net-info", name, ok=False)


def refusals(h):
    for body, named in REFUSED:
        out = h.virsh("net-define", h.file("n.xml", document("bad", body)), ok=False)
        h.has(out, named, f"{body}: the refusal")
    for text in ("", "<network", "<domain/>", "<network/>", "<network><name>a/b</name></network>",
                 "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><network><name>&a;</name></network>"):
        h.virsh("net-define", h.file("n.xml", text), ok=False)
    h.lacks(h.virsh("net-list", "--all", "--name"), "bad", "refused ones")


def guests_on_nat(h):
    """DHCP, DNS, each other, the gateway, out by NAT and not in."""
    h.run("ip", "netns", "add", "world")
    h.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", "world")
    h.run("ip", "addr", "add", "203.0.113.1/24", "dev", "up0")
    h.run("ip", "link", "set", "up0", "up")
    h.run("ip", "link", "set", "lo", "up", netns="world")
    h.run("ip", "link", "set", "eth0", "up", netns="world")
    h.run("ip", "addr", "add", "203.0.113.2/24", "dev", "eth0", netns="world")
    guest(h, "a", mac="52:54:00:aa:00:01")
    guest(h, "b", mac="52:54:00:aa:00:02")
    a, said = dhcp(h, "a", "anna")
    h.has(said, "ROUTER 192.168.122.1", "the router")
    b, _ = dhcp(h, "b")
    h.check(a != b, "two guests, two addresses")
    table = leases(h)
    h.has(table, f"{a}/24", "the lease of a")
    h.has(table, "52:54:00:aa:00:02", "the lease of b")
    h.has(table, "anna", "the host name")
    h.lacks(h.virsh("net-dhcp-leases", "default", "--mac", "52:54:00:aa:00:01"), b, "leases of one card")
    for other in ("192.168.122.1", b, "203.0.113.2"):
        reaches(h, "a", other)  # the world has no route back: this is NAT
    h.has(h.run("busybox", "nslookup", "anna", "192.168.122.1", netns="b", ok=None), a, "DNS knows leases")
    h.run("ip", "route", "add", "192.168.122.0/24", "via", "203.0.113.1", netns="world")
    reaches(h, "world", a, ok=False)
    h.run("ip", "route", "del", "192.168.122.0/24", netns="world")


def update_hosts(h):
    new = "<host mac='52:54:00:aa:00:03' name='charly' ip='192.168.122.77'/>"
    h.virsh("net-update", "default", "add", "ip-dhcp-host", new, "--live", "--config")
    h.has(h.virsh("net-dumpxml", "default"), "charly", "live")
    h.has(h.virsh("net-dumpxml", "default", "--inactive"), "charly", "config")
    h.virsh("net-update", "default", "add", "ip-dhcp-host", new, "--live", ok=False)
    guest(h, "c", mac="52:54:00:aa:00:03")
    h.equal(dhcp(h, "c")[0], "192.168.122.77", "the reserved address")
    h.virsh("net-update", "default", "modify", "ip-dhcp-host",
            "<host mac='52:54:00:aa:00:03' name='charly' ip='192.168.122.78'/>", "--live")
    h.equal(dhcp(h, "c")[0], "192.168.122.78", "the changed address")
    h.has(h.virsh("net-dumpxml", "default", "--inactive"), "192.168.122.77", "only live was changed")
    h.virsh("net-update", "default", "add", "dns-host",
            "<host ip='192.168.122.200'><hostname>zweihundert</hostname></host>", "--live")
    h.until(lambda: "192.168.122.200" in h.run("busybox", "nslookup", "zweihundert", "192.168.122.1", netns="c",
                                               ok=None), "a new DNS host")
    h.virsh("net-update", "default", "delete", "dns-host", "<host ip='192.168.122.200'/>", ok=None)
    h.virsh("net-update", "default", "add-first", "ip-dhcp-range",
            "<range start='192.168.122.2' end='192.168.122.9'/>", "--live", ok=None)
    for command in (("ip-dhcp-host", new.replace("77", "78"), "--live"), ("ip-dhcp-host", new, "--config")):
        h.virsh("net-update", "default", "delete", *command)
    h.lacks(h.virsh("net-dumpxml", "default"), "charly", "deleted")
    h.virsh("net-update", "default", "add", "dns-txt", "<txt name='t' value='v'/>")
    h.has(h.virsh("net-dumpxml", "default"), "value=\"v\"", "a TXT record")
    h.virsh("net-update", "default", "add", "portgroup", "<portgroup name='p'/>")
    h.valid(h.virsh("net-dumpxml", "default"), "network")


def survives_crash(h):
    pids, before = dnsmasqs(h), links(h)
    xml = h.virsh("net-dumpxml", "default")
    h.kill()
    reaches(h, "a", "203.0.113.2")
    h.start()
    h.equal(dnsmasqs(h), pids, "dnsmasq was found again")
    h.equal(links(h), before, "interfaces")
    h.equal(h.virsh("net-dumpxml", "default"), xml, "the live definition")
    reaches(h, "a", "203.0.113.2")
    os.kill(pids[0], signal.SIGKILL)
    h.until(lambda: dnsmasqs(h) and dnsmasqs(h) != pids, "a dead dnsmasq is started again")
    dhcp(h, "b")


def isolated_and_routed(h):
    h.virsh("net-define", h.file("i.xml", document("iso", DOCUMENTS["isolated"])))
    h.virsh("net-start", "iso")
    bridge = h.virsh("net-info", "iso").split("Bridge:")[1].split()[0]
    guest(h, "i", bridge)
    address, said = dhcp(h, "i")
    h.lacks(said, "ROUTER 10.5.0.1", "a network that leads nowhere gives no router")
    reaches(h, "i", "10.5.0.1")
    h.run("ip", "route", "add", "default", "via", "10.5.0.1", netns="i")
    reaches(h, "i", "203.0.113.2", ok=False)
    reaches(h, "a", address, ok=False)
    h.virsh("net-create", h.file("r.xml", document(
        "rout", "<forward mode='route'/><bridge name='rt0'/><ip address='10.20.0.1' prefix='24'><dhcp>"
        "<range start='10.20.0.10' end='10.20.0.20'/></dhcp></ip>")))
    guest(h, "r", "rt0")
    address, _ = dhcp(h, "r")
    h.run("ip", "route", "add", "10.20.0.0/24", "via", "203.0.113.1", netns="world")
    reaches(h, "r", "203.0.113.2")
    reaches(h, "world", address)
    reaches(h, "i", address, ok=False)
    h.has(h.virsh("net-info", "rout"), "Persistent:     no", "transient")
    h.restart()
    h.has(h.virsh("net-info", "rout"), "Active:         yes", "a transient one after a crash")
    reaches(h, "world", address)
    h.virsh("net-destroy", "rout")
    h.virsh("net-info", "rout", ok=False)
    h.virsh("net-destroy", "iso")
    h.virsh("net-undefine", "iso")
    h.check("rt0" not in links(h) and bridge not in links(h), "bridges are gone")


def ipv6(h):
    h.virsh("net-create", h.file("6.xml", document(
        "six", "<forward mode='nat'><nat ipv6='yes'/></forward><bridge name='six0'/>"
        "<ip family='ipv6' address='fd00:66::1' prefix='64'><dhcp><range start='fd00:66::100' end='fd00:66::1ff'/>"
        "</dhcp></ip>")))
    guest(h, "s", "six0")
    h.until(lambda: "fd00:66:" in h.run("ip", "-6", "addr", "show", "dev", "eth0", netns="s") or
            "default" in h.run("ip", "-6", "route", netns="s"), "a router advertisement", 20)
    h.run("ip", "-6", "addr", "add", "fd00:66::5/64", "dev", "eth0", "nodad", netns="s")
    reaches(h, "s", "fd00:66::1")
    h.has(h.run("nft", "list", "table", "inet", "lodge"), "ip6 saddr fd00:66::/64", "NAT of IPv6")
    h.virsh("net-destroy", "six")


def conflicts(h):
    h.virsh("net-define", h.file("c.xml", document("clash", "<ip address='192.168.122.5' prefix='24'/>")))
    h.has(h.virsh("net-start", "clash", ok=False), "uses", "a range in use")
    h.run("ip", "link", "add", "taken", "type", "bridge")
    h.virsh("net-define", h.file("c.xml", document("clash", "<bridge name='taken'/>")))
    h.has(h.virsh("net-start", "clash", ok=False), "already", "a bridge of someone else")
    h.check("taken" in links(h), "which stays")
    h.run("ip", "link", "del", "taken")
    h.virsh("net-undefine", "clash")
    h.has(h.virsh("net-start", "default", ok=False), "active", "twice")
    h.virsh("net-define", h.file("c.xml", document("clash", "<bridge name='virbr0'/>")), ok=False)


def foreign_rules(h):
    h.run("nft", "add", "table", "inet", "mine")
    h.run("nft", "add", "chain", "inet", "mine", "c", "{ type filter hook input priority 0; }")
    h.run("nft", "add", "rule", "inet", "mine", "c", "tcp", "dport", "1", "drop")
    before = h.run("nft", "list", "table", "inet", "mine")
    h.virsh("net-destroy", "default")
    h.lacks(h.run("nft", "list", "tables"), "lodge", "no network, no table")
    h.virsh("net-start", "default")
    h.equal(h.run("nft", "list", "table", "inet", "mine"), before, "another's table")
    h.run("nft", "delete", "table", "inet", "mine")


def crash_at_any_time(h):
    """kill -9 while networks start and stop: nothing stays that no network has."""
    h.virsh("net-define", h.file("k.xml", document("kill", "<bridge name='kill0'/>" + DOCUMENTS["isolated"])))
    for i in range(16):
        subprocess.Popen(["timeout", "5", "virsh", "-q", "-c", f"qemu+unix:///system?socket={h.socket}",
                          "net-start" if i % 2 == 0 else "net-destroy", "kill"], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
        time.sleep(0.05 + 0.015 * i)
        h.restart()
        active = "yes" in h.virsh("net-info", "kill").split("Active:")[1].split("\n")[0]
        h.equal("kill0" in links(h), active, f"round {i}: the bridge is there when the network is active")
        h.equal(len(dnsmasqs(h)), 1 + active, f"round {i}: one dnsmasq a network")
        if active != (i % 2 == 0):
            h.virsh("net-start" if i % 2 == 0 else "net-destroy", "kill")
    h.virsh("net-undefine", "kill")


def ports(h):
    port = ("<networkport><uuid>11111111-2222-4333-8444-555555555555</uuid><owner><name>m</name>"
            "<uuid>aaaaaaaa-2222-4333-8444-555555555555</uuid></owner><mac address='52:54:00:11:22:33'/>"
            "<bandwidth><inbound average='100'/></bandwidth></networkport>")
    h.virsh("net-port-create", "default", h.file("p.xml", port))
    xml = h.virsh("net-port-dumpxml", "default", "11111111-2222-4333-8444-555555555555")
    h.valid(xml, "networkport")
    h.virsh("net-port-create", "default", h.file("p.xml", port), ok=False)
    h.restart()
    h.has(h.virsh("net-port-list", "default"), "11111111", "a kept port")
    h.has(h.virsh("net-dumpxml", "default"), "connections=\"1\"", "connections")
    h.virsh("net-port-delete", "default", "11111111-2222-4333-8444-555555555555")
    h.lacks(h.virsh("net-port-list", "default"), "11111111", "deleted")


def events(h):
    p = subprocess.Popen(["stdbuf", "-oL", "virsh", "-c", f"qemu+unix:///system?socket={h.socket}", "net-event",
                          "--event", "lifecycle", "--loop", "--timeout", "6"], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    h.virsh("net-define", h.file("e.xml", document("ev", "")))
    h.virsh("net-start", "ev")
    h.virsh("net-destroy", "ev")
    h.virsh("net-undefine", "ev")
    out = p.communicate(timeout=30)[0]
    order = [out.find(w) for w in ("Defined", "Started", "Stopped", "Undefined")]
    h.check(order == sorted(order) and order[0] >= 0, f"events in order: {out}")


def nothing_leaks(h):
    h.virsh("net-destroy", "default")
    h.equal([n for n in links(h) if n.startswith(("virbr", "vnet", "rt0", "six"))], [], "interfaces")
    h.equal(dnsmasqs(h), [], "dnsmasq")
    h.lacks(h.run("nft", "list", "tables"), "lodge", "rules")
    h.equal([str(f) for f in (h.root / "run/lodge/network").rglob("*") if f.name != "autostarted"], [],
            "run-time files")
    h.virsh("net-undefine", "default")
    h.restart()
    h.equal(h.virsh("net-list", "--all", "--name").strip(), "", "what was undefined stays so")


if __name__ == "__main__":
    hostlib.main([default_network, documents, refusals, guests_on_nat, update_hosts, survives_crash,
                  isolated_and_routed, ipv6, conflicts, foreign_rules, crash_at_any_time, ports, events,
                  nothing_leaks])
