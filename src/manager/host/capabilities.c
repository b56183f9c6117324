/* SPDX-License-Identifier: GPL-2.0-or-later */
/* capabilities.c: the documents in which clients look up what a host and its hypervisor can. */
#include <string.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/host/host.h"
#include "manager/manager.h"

/* The machine we build is a q35 one; its versioned name is what clients record in definitions. */
#define MACHINE "pc-q35-9.2"

static void add_text(GString *out, const char *indent, const char *name, const char *text)
{
	g_autofree char *t = g_markup_escape_text(text, -1);

	g_string_append_printf(out, "%s<%s>%s</%s>\n", indent, name, t, name);
}

static void add_uuid(GString *out, const char *text)
{
	g_autofree char *hex = NULL;
	GString *digits = g_string_new(NULL);

	for (const char *p = text; p && *p; p++) {
		if (g_ascii_isxdigit(*p))
			g_string_append_c(digits, g_ascii_tolower(*p));
	}
	hex = g_string_free(digits, FALSE);
	if (strlen(hex) == 32)
		g_string_append_printf(out, "    <uuid>%.8s-%.4s-%.4s-%.4s-%.12s</uuid>\n", hex,
			hex + 8, hex + 12, hex + 16, hex + 20);
}

static void add_cpu(GString *out, const struct host *h)
{
	const char *model = host_cpu_best(h);

	g_string_append_printf(out, "    <cpu>\n      <arch>%s</arch>\n", h->arch);
	if (model) {
		add_text(out, "      ", "model", model);
		if (h->vendor)
			add_text(out, "      ", "vendor",
				strcmp(h->vendor, "GenuineIntel") == 0   ? "Intel"
				: strcmp(h->vendor, "AuthenticAMD") == 0 ? "AMD"
									 : h->vendor);
		g_string_append_printf(out,
			"      <topology sockets='%u' dies='1' cores='%u' threads='%u'/>\n",
			h->sockets * h->nodes->len, h->cores, h->threads);
	}
	g_string_append_printf(
		out, "      <pages unit='KiB' size='%ld'/>\n", sysconf(_SC_PAGESIZE) / 1024);
	if (g_hash_table_contains(h->flags, "pse"))
		g_string_append(out, "      <pages unit='KiB' size='2048'/>\n");
	if (g_hash_table_contains(h->flags, "pdpe1gb"))
		g_string_append(out, "      <pages unit='KiB' size='1048576'/>\n");
	g_string_append(out, "    </cpu>\n");
}

static void add_node_pages(GString *out, const struct host_node *n)
{
	static const unsigned sizes[] = { 2048, 1048576 };
	uint64_t huge = 0;
	GString *lines = g_string_new(NULL);

	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		uint64_t count = host_number(UINT64_MAX,
			"/sys/devices/system/node/node%u/hugepages/hugepages-%ukB/nr_hugepages",
			n->id, sizes[i]);

		if (count == UINT64_MAX)
			continue;
		huge += count * sizes[i];
		g_string_append_printf(lines,
			"          <pages unit='KiB' size='%u'>%" G_GUINT64_FORMAT "</pages>\n",
			sizes[i], count);
	}
	g_string_append_printf(out,
		"          <pages unit='KiB' size='4'>%" G_GUINT64_FORMAT "</pages>\n%s",
		((n->memory >> 10) - MIN(huge, n->memory >> 10)) / 4, lines->str);
	g_string_free(lines, TRUE);
}

static void add_node(GString *out, const struct host *h, const struct host_node *n)
{
	GString *cpus = g_string_new(NULL);
	unsigned count = 0;

	for (guint i = 0; i < h->cpus->len; i++) {
		const struct host_cpu *c = &g_array_index(h->cpus, struct host_cpu, i);

		if (c->node != n->id || !c->online)
			continue;
		count++;
		g_string_append_printf(cpus,
			"            <cpu id='%u' socket_id='%u' die_id='%u' core_id='%u'", c->id,
			c->socket, c->die, c->core);
		if (c->siblings)
			g_string_append_printf(cpus, " siblings='%s'", c->siblings);
		g_string_append(cpus, "/>\n");
	}
	g_string_append_printf(out,
		"        <cell id='%u'>\n          <memory unit='KiB'>%" G_GUINT64_FORMAT
		"</memory>\n",
		n->id, n->memory >> 10);
	add_node_pages(out, n);
	g_string_append_printf(out,
		"          <cpus num='%u'>\n%s          </cpus>\n        </cell>\n", count,
		cpus->str);
	g_string_free(cpus, TRUE);
}

static void add_guest(GString *out, const struct manager *m, const struct host *h)
{
	g_string_append(out, "  <guest>\n    <os_type>hvm</os_type>\n    <arch name='x86_64'>\n"
			     "      <wordsize>64</wordsize>\n");
	add_text(out, "      ", "emulator", m->paths.lodge_vm);
	g_string_append_printf(out,
		"      <machine maxCpus='%d'>" MACHINE "</machine>\n"
		"      <machine canonical='" MACHINE "' maxCpus='%d'>q35</machine>\n"
		"      <domain type='qemu'/>\n",
		HOST_VCPUS_MAX, HOST_VCPUS_MAX);
	if (h->kvm)
		g_string_append(out, "      <domain type='kvm'/>\n");
	g_string_append(out,
		"    </arch>\n    <features>\n      <acpi default='on' toggle='no'/>\n"
		"      <apic default='on' toggle='no'/>\n      <cpuselection/>\n      "
		"<deviceboot/>\n"
		"      <disksnapshot default='on' toggle='no'/>\n    </features>\n  </guest>\n");
}

char *host_capabilities(struct manager *m)
{
	g_autoptr(host_auto) h = host_read();
	GString *out = g_string_new("<capabilities>\n\n  <host>\n");

	add_uuid(out, h->uuid);
	add_cpu(out, h);
	g_string_append(out, "    <power_management/>\n    <iommu support='");
	g_string_append(out, access("/sys/class/iommu/dmar0", F_OK) == 0 ? "yes" : "no");
	g_string_append(out,
		"'/>\n    <migration_features>\n      <live/>\n      <uri_transports>\n"
		"        <uri_transport>tcp</uri_transport>\n      </uri_transports>\n"
		"    </migration_features>\n    <topology>\n");
	g_string_append_printf(out, "      <cells num='%u'>\n", h->nodes->len);
	for (guint i = 0; i < h->nodes->len; i++)
		add_node(out, h, &g_array_index(h->nodes, struct host_node, i));
	g_string_append(out, "      </cells>\n    </topology>\n  </host>\n\n");
	add_guest(out, m, h);
	g_string_append(out, "\n</capabilities>\n");
	return g_string_free(out, FALSE);
}

/* <NAME supported='yes'> with enumerations: "bus=virtio,scsi|model=a,b". */
static void add_enums(GString *out, const char *name, const char *enums)
{
	g_auto(GStrv) list = enums ? g_strsplit(enums, "|", -1) : NULL;

	if (!list) {
		g_string_append_printf(out, "    <%s supported='no'/>\n", name);
		return;
	}
	g_string_append_printf(out, "    <%s supported='yes'>\n", name);
	for (char **e = list; *e; e++) {
		char *equals = strchr(*e, '=');
		g_auto(GStrv) values = g_strsplit(equals + 1, ",", -1);

		*equals = 0;
		g_string_append_printf(out, "      <enum name='%s'>\n", *e);
		for (char **v = values; *v; v++)
			g_string_append_printf(out, "        <value>%s</value>\n", *v);
		g_string_append(out, "      </enum>\n");
	}
	g_string_append_printf(out, "    </%s>\n", name);
}

static void add_cpu_modes(GString *out, const struct host *h, bool kvm)
{
	const char *best = host_cpu_best(h);

	g_string_append_printf(out,
		"  <cpu>\n    <mode name='host-passthrough' supported='%s'>\n"
		"      <enum name='hostPassthroughMigratable'>\n        <value>on</value>\n"
		"        <value>off</value>\n      </enum>\n    </mode>\n",
		kvm ? "yes" : "no");
	g_string_append(out, "    <mode name='maximum' supported='yes'>\n"
			     "      <enum name='maximumMigratable'>\n        <value>on</value>\n   "
			     "     <value>off</value>\n"
			     "      </enum>\n    </mode>\n");
	if (best)
		g_string_append_printf(out,
			"    <mode name='host-model' supported='yes'>\n"
			"      <model fallback='forbid'>%s</model>\n    </mode>\n",
			best);
	else
		g_string_append(out, "    <mode name='host-model' supported='no'/>\n");
	g_string_append(out, "    <mode name='custom' supported='yes'>\n");
	for (unsigned i = 0; host_cpu_models[i]; i++)
		g_string_append_printf(out,
			"      <model usable='%s' vendor='unknown'>%s</model>\n",
			host_cpu_can(h, host_cpu_models[i]) ? "yes" : "no", host_cpu_models[i]);
	g_string_append(out, "    </mode>\n  </cpu>\n");
}

static const struct {
	const char *name, *enums; /* NULL: not supported */
} devices[] = {
	{ "disk", "diskDevice=disk,cdrom|bus=virtio|model=virtio,virtio-non-transitional" },
	{ "graphics", NULL },
	{ "video", "modelType=none" },
	{ "hostdev", NULL },
	{ "rng", "model=virtio,virtio-non-transitional|backendModel=random,builtin" },
	{ "filesystem", NULL },
	{ "tpm", NULL },
	{ "redirdev", NULL },
	{ "channel", "type=pty,unix" },
};

static int check_wanted(const struct manager *m, const char *emulator, const char *arch,
	const char *machine, const char *type, const struct host *h, GError **error)
{
	if (arch && strcmp(arch, "x86_64") != 0)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"no guest of architecture '%s' can run here", arch);
	if (emulator && strcmp(emulator, m->paths.lodge_vm) != 0 && access(emulator, X_OK) < 0)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "there is no emulator %s", emulator);
	if (machine && strcmp(machine, "q35") != 0 && !g_str_has_prefix(machine, "pc-q35"))
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"no machine type '%s': q35 is the one", machine);
	if (type && strcmp(type, "qemu") != 0 && strcmp(type, "kvm") != 0)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "no virtualization type '%s'", type);
	if (type && strcmp(type, "kvm") == 0 && !h->kvm)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "this host has no KVM");
	return 0;
}

char *host_domain_capabilities(struct manager *m, const char *emulator, const char *arch,
	const char *machine, const char *type, GError **error)
{
	g_autoptr(host_auto) h = host_read();
	const char *own = type ? type : h->kvm ? "kvm" : "qemu";
	GString *out;

	if (check_wanted(m, emulator, arch, machine, type, h, error) < 0)
		return NULL;
	out = g_string_new("<domainCapabilities>\n");
	add_text(out, "  ", "path", emulator ? emulator : m->paths.lodge_vm);
	g_string_append_printf(out,
		"  <domain>%s</domain>\n  <machine>" MACHINE "</machine>\n"
		"  <arch>x86_64</arch>\n  <vcpu max='%d'/>\n  <iothreads supported='no'/>\n"
		"  <os supported='yes'>\n    <enum name='firmware'/>\n"
		"    <loader supported='no'/>\n  </os>\n",
		own, HOST_VCPUS_MAX);
	add_cpu_modes(out, h, strcmp(own, "kvm") == 0);
	g_string_append(out, "  <memoryBacking supported='yes'>\n    <enum name='sourceType'>\n"
			     "      <value>memfd</value>\n      <value>anonymous</value>\n    "
			     "</enum>\n  </memoryBacking>\n"
			     "  <devices>\n");
	for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++)
		add_enums(out, devices[i].name, devices[i].enums);
	g_string_append(out,
		"  </devices>\n  <features>\n    <vmcoreinfo supported='no'/>\n"
		"    <genid supported='no'/>\n    <backingStoreInput supported='yes'/>\n"
		"    <backup supported='no'/>\n    <sev supported='no'/>\n  </features>\n"
		"</domainCapabilities>\n");
	return g_string_free(out, FALSE);
}

static void add_entries(
	GString *out, const char *section, const char *const (*entries)[2], unsigned count)
{
	bool any = false;

	for (unsigned i = 0; i < count; i++) {
		g_autofree char *value = host_file("/sys/class/dmi/id/%s", entries[i][1]);
		g_autofree char *text = value && *value ? g_markup_escape_text(value, -1) : NULL;

		if (!text)
			continue;
		if (!any)
			g_string_append_printf(out, "  <%s>\n", section);
		any = true;
		g_string_append_printf(
			out, "    <entry name='%s'>%s</entry>\n", entries[i][0], text);
	}
	if (any)
		g_string_append_printf(out, "  </%s>\n", section);
}

char *host_sysinfo(GError **error)
{
	static const char *const bios[][2] = { { "vendor", "bios_vendor" },
		{ "version", "bios_version" }, { "date", "bios_date" },
		{ "release", "bios_release" } };
	static const char *const system[][2] = { { "manufacturer", "sys_vendor" },
		{ "product", "product_name" }, { "version", "product_version" },
		{ "serial", "product_serial" }, { "uuid", "product_uuid" },
		{ "sku", "product_sku" }, { "family", "product_family" } };
	static const char *const board[][2] = { { "manufacturer", "board_vendor" },
		{ "product", "board_name" }, { "version", "board_version" },
		{ "serial", "board_serial" }, { "asset", "board_asset_tag" } };
	GString *out;

	if (access("/sys/class/dmi/id", R_OK) < 0) {
		refuse(error, MANAGER_ERR_NO_SUPPORT, "this host has no SMBIOS tables");
		return NULL;
	}
	out = g_string_new("<sysinfo type='smbios'>\n");
	add_entries(out, "bios", bios, G_N_ELEMENTS(bios));
	add_entries(out, "system", system, G_N_ELEMENTS(system));
	add_entries(out, "baseBoard", board, G_N_ELEMENTS(board));
	g_string_append(out, "</sysinfo>\n");
	return g_string_free(out, FALSE);
}
