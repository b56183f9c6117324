/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy.c: which elements a definition may hold. "+" are acted upon or kept, see
 * docs/domain-xml.md;
 * "-" are libvirt's but Lodge has not what they ask for. Spec: libvirt.org, Domain XML format.
 */
#include <stdbool.h>
#include <string.h>

#include "base/nearest.h"
#include "base/own.h"
#include "manager/domain/config/parts.h"
#include "manager/error.h"
#include "manager/xml.h"

static const struct policy {
	const char *path;            /* ends of the element's path, from the root down */
	const char *known, *refused; /* children, separated by blanks; known NULL: any */
	bool once;                   /* each at most once */
} policies[] = {
	{ "domain",
		"name uuid title description metadata memory currentMemory memoryBacking vcpu "
		"blkiotune memtune cputune numatune resource sysinfo os features cpu clock "
		"on_poweroff "
		"on_reboot on_crash pm devices seclabel iothreads defaultiothread on_lockfailure "
		"vcpus",
		"maxMemory genid bootloader bootloader_args launchSecurity idmap keywrap perf "
		"iothreadids",
		true },
	{ "domain/metadata", NULL, "" },
	{ "domain/os", "type boot kernel initrd cmdline bootmenu smbios bios",
		"acpi loader nvram firmware init initarg initenv initdir inituser initgroup dtb "
		"root shim" },
	{ "domain/features",
		"acpi apic pae hap viridian privnet hyperv kvm vmport pmu pvspinlock "
		"ioapic msrs tcg vmcoreinfo smm xen gic hpt htm nested-hv ccf-assist cfpc sbbc ibs "
		"async-teardown ras",
		"" },
	{ "domain/cpu", "model vendor topology feature cache maxphysaddr", "numa" },
	{ "domain/memoryBacking", "hugepages nosharepages source access allocation discard",
		"locked" },
	{ "domain/cputune",
		"vcpupin shares period quota emulatorpin emulator_period emulator_quota "
		"global_period global_quota iothreadpin iothread_period iothread_quota",
		"vcpusched iothreadsched emulatorsched cachetune memorytune" },
	{ "domain/numatune", "memory", "memnode" },
	{ "domain/memtune", "hard_limit soft_limit swap_hard_limit", "min_guarantee" },
	{ "domain/blkiotune", "weight", "device" },
	{ "domain/devices",
		"emulator disk controller interface serial console channel parallel rng "
		"memballoon input graphics video sound audio redirdev redirfilter hub panic iommu",
		"watchdog tpm hostdev filesystem smartcard shmem memory nvram vsock lease pstore "
		"crypto" },
	{ "devices/disk",
		"driver source target serial readonly shareable boot alias address iotune "
		"blockio geometry backingStore wwn vendor product throttlefilters",
		"auth encryption mirror transient reservations", true },
	{ "disk/source", "seclabel encryption slices",
		"host auth reservations initiator address ssl cookies readahead timeout snapshot "
		"config "
		"reconnect identity" },
	{ "disk/iotune",
		"total_bytes_sec read_bytes_sec write_bytes_sec total_iops_sec read_iops_sec "
		"write_iops_sec total_bytes_sec_max read_bytes_sec_max write_bytes_sec_max "
		"total_iops_sec_max read_iops_sec_max write_iops_sec_max size_iops_sec "
		"total_bytes_sec_max_length read_bytes_sec_max_length write_bytes_sec_max_length "
		"total_iops_sec_max_length read_iops_sec_max_length write_iops_sec_max_length",
		"group_name" },
	{ "devices/interface",
		"mac source target model driver alias address boot bandwidth mtu link "
		"filterref rom guest coalesce portForward backend ip port",
		"virtualport vlan teaming tune script downscript route" },
	{ "interface/bandwidth", "inbound outbound", "" },
	{ "devices/rng", "backend rate alias address driver", "" },
	{ "devices/memballoon", "stats alias address driver", "" },
	{ "devices/serial", "source target alias address log protocol", "" },
	{ "devices/console", "source target alias address log protocol", "" },
	{ "devices/channel", "source target alias address log protocol", "" },
	{ "devices/controller", "alias address driver target master model pcihole64", "" },
};

static bool listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; (p = strstr(p, name)); p += n) {
		if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
			return true;
	}
	return false;
}

static const struct policy *policy_of(const xmlNode *n)
{
	for (size_t i = 0; i < array_len(policies); i++) {
		const char *slash = strchr(policies[i].path, '/');
		const char *own = slash ? slash + 1 : policies[i].path;

		if (strcmp(xml_name(n), own) != 0)
			continue;
		if (!slash ? n->parent->type != XML_ELEMENT_NODE
			   : n->parent->type == XML_ELEMENT_NODE &&
					strlen(xml_name(n->parent)) == slash - policies[i].path &&
					strncmp(xml_name(n->parent), policies[i].path,
						slash - policies[i].path) == 0)
			return &policies[i];
	}
	return NULL;
}

static int refuse_child(
	const xmlNode *n, const xmlNode *child, const struct policy *p, GError **error)
{
	g_auto(GStrv) words = NULL;
	g_autofree char *hint = NULL;
	struct nearest near;

	if (child->ns && !listed(p->known, xml_name(child)))
		return config_unsupported(error, "<%s:%s> in <%s>: commands for another hypervisor",
			child->ns->prefix ? (const char *)child->ns->prefix : "", xml_name(child),
			xml_name(n));
	if (listed(p->refused, xml_name(child)))
		return config_unsupported(error, "<%s> in <%s>: Lodge does not have that yet",
			xml_name(child), xml_name(n));
	nearest_init(&near, xml_name(child));
	words = g_strsplit(p->known, " ", -1);
	for (unsigned i = 0; words[i]; i++)
		nearest_offer(&near, words[i]);
	hint = nearest_hint(&near);
	return refuse(error, MANAGER_ERR_XML, "<%.64s> is no element of <%s>%s", xml_name(child),
		xml_name(n), hint ? hint : "");
}

int policy_check(const xmlNode *n, GError **error)
{
	const struct policy *p = policy_of(n);

	if (p && !p->known)
		return 0;
	for (const xmlNode *c = xml_first(n); c; c = xml_after(c)) {
		if (p && (c->ns || !listed(p->known, xml_name(c))))
			return refuse_child(n, c, p, error);
		if (p && p->once && strcmp(xml_name(c), "seclabel") != 0 &&
			xml_next(c, xml_name(c)))
			return refuse(error, MANAGER_ERR_XML, "<%s> stands twice in <%s>",
				xml_name(c), xml_name(n));
		if (policy_check(c, error) < 0)
			return -1;
	}
	return 0;
}
