/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nwfilter_builtin.c: the filters that clients expect by name. "out" is what the guest sends. Those
 * that end with a drop leave by "return" what they find right; clean-traffic puts the parts
 * together.
 */
#include "manager/network/nwfilter.h"

#define FILTER(name, head, body)                                                                   \
	{                                                                                          \
		name, "<filter name='" name "'" head ">" body "</filter>"                          \
	}
#define RULE(action, direction, priority, what)                                                    \
	"<rule action='" action "' direction='" direction "' priority='" priority "'>" what        \
	"</rule>"
#define REF(name) "<filterref filter='" name "'/>"

const struct nwfilter_builtin nwfilter_builtins[] = {
	FILTER("allow-arp", " chain='arp' priority='-500'",
		RULE("accept", "inout", "500", "<arp/>")),
	FILTER("allow-ipv4", " chain='ipv4' priority='-700'",
		RULE("accept", "inout", "500", "<ip/>")),
	FILTER("allow-ipv6", " chain='ipv6' priority='-600'",
		RULE("accept", "inout", "500", "<ipv6/>")),
	FILTER("allow-incoming-ipv4", " chain='ipv4' priority='-700'",
		RULE("accept", "in", "500", "<ip/>")),
	FILTER("allow-incoming-ipv6", " chain='ipv6' priority='-600'",
		RULE("accept", "in", "500", "<ipv6/>")),
	FILTER("allow-dhcp", " chain='ipv4' priority='-700'",
		RULE("accept", "out", "100",
			"<ip srcipaddr='0.0.0.0' dstipaddr='255.255.255.255' protocol='udp' "
			"srcportstart='68' dstportstart='67'/>") RULE("accept", "in", "100",
			"<ip protocol='udp' srcportstart='67' dstportstart='68'/>")),
	FILTER("allow-dhcp-server", " chain='ipv4' priority='-700'",
		RULE("accept", "out", "100",
			"<ip srcipaddr='0.0.0.0' dstipaddr='255.255.255.255' protocol='udp' "
			"srcportstart='68' dstportstart='67'/>") RULE("accept", "in", "100",
			"<ip srcipaddr='$DHCPSERVER' protocol='udp' srcportstart='67' "
			"dstportstart='68'/>")),
	FILTER("allow-dhcpv6", " chain='ipv6' priority='-600'",
		RULE("accept", "out", "100",
			"<ipv6 srcipaddr='fe80::' srcipmask='10' dstipaddr='ff02::1:2' "
			"protocol='udp' srcportstart='546' dstportstart='547'/>")
			RULE("accept", "in", "100",
				"<ipv6 srcipaddr='fe80::' srcipmask='10' protocol='udp' "
				"srcportstart='547' dstportstart='546'/>")),
	FILTER("allow-dhcpv6-server", " chain='ipv6' priority='-600'",
		RULE("accept", "out", "100",
			"<ipv6 srcipaddr='fe80::' srcipmask='10' dstipaddr='ff02::1:2' "
			"protocol='udp' srcportstart='546' dstportstart='547'/>")
			RULE("accept", "in", "100",
				"<ipv6 srcipaddr='$DHCPSERVER' srcipmask='10' protocol='udp' "
				"srcportstart='547' dstportstart='546'/>")),
	FILTER("no-mac-spoofing", " chain='mac' priority='-800'",
		RULE("return", "out", "500", "<mac srcmacaddr='$MAC'/>")
			RULE("drop", "out", "500", "<mac/>")),
	FILTER("no-mac-broadcast", " chain='mac' priority='-800'",
		RULE("drop", "out", "500", "<mac dstmacaddr='ff:ff:ff:ff:ff:ff'/>")),
	FILTER("no-ip-spoofing", " chain='ipv4-ip-spoofing' priority='-710'",
		RULE("return", "out", "100", "<ip srcipaddr='0.0.0.0' protocol='udp'/>")
			RULE("return", "out", "500", "<ip srcipaddr='$IP'/>")
				RULE("drop", "out", "1000", "")),
	FILTER("no-ipv6-spoofing", " chain='ipv6-ip-spoofing' priority='-610'",
		RULE("return", "out", "100", "<ipv6 srcipaddr='::' protocol='icmpv6'/>")
			RULE("return", "out", "200", "<ipv6 srcipaddr='fe80::' srcipmask='10'/>")
				RULE("return", "out", "500", "<ipv6 srcipaddr='$IPV6'/>")
					RULE("drop", "out", "1000", "")),
	FILTER("no-ip-multicast", " chain='ipv4' priority='-700'",
		RULE("drop", "out", "500", "<ip dstipaddr='224.0.0.0' dstipmask='4'/>")),
	FILTER("no-ipv6-multicast", " chain='ipv6' priority='-600'",
		RULE("drop", "out", "500", "<ipv6 dstipaddr='ff00::' dstipmask='8'/>")),
	FILTER("no-arp-mac-spoofing", " chain='arp-mac' priority='-520'",
		RULE("return", "out", "350", "<arp arpsrcmacaddr='$MAC'/>")
			RULE("drop", "out", "1000", "")),
	FILTER("no-arp-ip-spoofing", " chain='arp-ip' priority='-510'",
		RULE("return", "out", "350", "<arp arpsrcipaddr='0.0.0.0'/>") RULE("return", "out",
			"400", "<arp arpsrcipaddr='$IP'/>") RULE("drop", "out", "1000", "")),
	FILTER("no-arp-spoofing", "", REF("no-arp-mac-spoofing") REF("no-arp-ip-spoofing")),
	FILTER("no-other-l2-traffic", "", RULE("drop", "inout", "1000", "")),
	FILTER("no-other-rarp-traffic", " chain='rarp' priority='-400'",
		RULE("drop", "inout", "1000", "")),
	FILTER("qemu-announce-self", "",
		REF("qemu-announce-self-rarp")
			RULE("accept", "out", "500", "<mac protocolid='0x835'/>")),
	FILTER("qemu-announce-self-rarp", " chain='rarp' priority='-400'",
		RULE("accept", "out", "500",
			"<rarp srcmacaddr='$MAC' dstmacaddr='ff:ff:ff:ff:ff:ff' "
			"opcode='Request_Reverse'/>") RULE("accept", "in", "500",
			"<rarp dstmacaddr='ff:ff:ff:ff:ff:ff' opcode='Request_Reverse'/>")),
	FILTER("clean-traffic", "",
		REF("no-mac-spoofing") REF("no-ip-spoofing") REF("allow-incoming-ipv4") REF(
			"no-arp-spoofing") RULE("accept", "out", "-650", "<mac protocolid='ipv4'/>")
			RULE("accept", "inout", "-500", "<mac protocolid='arp'/>")
				REF("no-other-l2-traffic") REF("qemu-announce-self")),
	FILTER("clean-traffic-gateway", "",
		REF("no-mac-spoofing") REF("no-ip-spoofing") REF("no-arp-spoofing") RULE(
			"accept", "out", "0", "<mac dstmacaddr='$GATEWAY_MAC'/>") RULE("accept",
			"in", "0", "<mac srcmacaddr='$GATEWAY_MAC'/>") RULE("accept", "out", "0",
			"<mac dstmacaddr='ff:ff:ff:ff:ff:ff' protocolid='arp'/>") RULE("accept",
			"in", "0", "<mac dstmacaddr='ff:ff:ff:ff:ff:ff' protocolid='arp'/>")
			REF("no-other-l2-traffic") REF("qemu-announce-self")),
	{},
};
