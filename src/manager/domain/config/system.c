/* SPDX-License-Identifier: GPL-2.0-or-later */
/* system.c: a definition's names, memory, processors and way to boot. Spec: libvirt.org, Domain
 * XML. */
#include <string.h>

#include "base/own.h"
#include "manager/domain/config/parts.h"
#include "manager/error.h"
#include "manager/ids.h"
#include "manager/xml.h"

enum { NAME_MAX_BYTES = 255, VCPUS_MAX = 255 };

static int read_identity(struct domain_config *c, xmlNode *root, unsigned flags, GError **error)
{
	g_autofree char *uuid = xml_child_text(root, "uuid");
	char text[37];

	c->name = xml_child_text(root, "name");
	if (!c->name)
		return refuse(error, MANAGER_ERR_XML, "<name> is missing");
	if (xml_check_text(c->name, "<name>", NAME_MAX_BYTES, error) < 0)
		return -1;
	if (strchr(c->name, '/') || strcmp(c->name, ".") == 0 || strcmp(c->name, "..") == 0)
		return refuse(
			error, MANAGER_ERR_XML, "<name>: '%s' has a '/' or is a folder", c->name);
	if (uuid && uuid_parse_text(uuid, c->uuid) < 0)
		return refuse(error, MANAGER_ERR_XML, "<uuid>: '%.64s' is none", uuid);
	if (!uuid)
		uuid_make(c->uuid);
	uuid_format(c->uuid, text);
	if (!uuid) {
		xmlNode *n = xmlNewDocNode(
			root->doc, NULL, (const xmlChar *)"uuid", (const xmlChar *)text);

		xmlAddNextSibling(xml_child(root, "name"), n);
	} else {
		xml_set_text(xml_child(root, "uuid"), text);
	}
	c->title = xml_child_text(root, "title");
	c->description = xml_child_text(root, "description");
	if (!(flags & CONFIG_LIVE))
		xml_set_attr(root, "id", NULL);
	return 0;
}

static int read_type(struct domain_config *c, xmlNode *root, GError **error)
{
	const char *type = xml_attr(root, "type");

	if (!type)
		return refuse(error, MANAGER_ERR_XML, "attribute 'type' of <domain> is missing");
	c->kvm = strcmp(type, "kvm") == 0;
	if (!c->kvm && strcmp(type, "qemu") != 0)
		return config_unsupported(error,
			"domain type '%.32s': Lodge has kvm (the processor's "
			"virtualization) and qemu (its own translator)",
			type);
	return 0;
}

static void set_uint(xmlNode *n, uint64_t v)
{
	g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, v);

	xml_set_text(n, text);
}

/* The memory that was said, in KiB; the element gets it in that unit. */
static int memory_of(xmlNode *n, uint64_t *ret_kib, GError **error)
{
	uint64_t bytes = 0;

	if (xml_text_bytes(n, &bytes, error) < 0)
		return -1;
	*ret_kib = (bytes + 1023) / 1024;
	xml_set_attr(n, "unit", "KiB");
	set_uint(n, *ret_kib);
	return 0;
}

static int read_memory(struct domain_config *c, xmlNode *root, GError **error)
{
	xmlNode *memory = xml_child(root, "memory"), *current = xml_child(root, "currentMemory");
	xmlNode *backing = xml_child(root, "memoryBacking");

	if (!memory)
		return refuse(error, MANAGER_ERR_XML, "<memory> is missing");
	if (memory_of(memory, &c->memory_kib, error) < 0)
		return -1;
	if (!c->memory_kib)
		return refuse(error, MANAGER_ERR_XML, "<memory> is 0");
	/* lodge-vm takes whole MiB. */
	c->memory_kib = (c->memory_kib + 1023) & ~(uint64_t)1023;
	set_uint(memory, c->memory_kib);
	c->current_kib = c->memory_kib;
	if (!current) {
		current = xmlNewDocNode(root->doc, NULL, (const xmlChar *)"currentMemory", NULL);
		xmlAddNextSibling(memory, current);
		xml_set_attr(current, "unit", "KiB");
		set_uint(current, c->memory_kib);
	}
	if (memory_of(current, &c->current_kib, error) < 0)
		return -1;
	if (c->current_kib > c->memory_kib) {
		c->current_kib = c->memory_kib;
		set_uint(current, c->memory_kib);
	}
	c->hugepages = backing && xml_child(backing, "hugepages");
	return 0;
}

static int read_vcpus(struct domain_config *c, xmlNode *root, GError **error)
{
	xmlNode *n = xml_child(root, "vcpu");
	uint64_t max = 1, now;

	if (!n) {
		n = xmlNewDocNode(root->doc, NULL, (const xmlChar *)"vcpu", (const xmlChar *)"1");
		xmlAddNextSibling(xml_child(root, "currentMemory"), n);
	}
	if (xml_text_uint(n, VCPUS_MAX, &max, error) < 0)
		return -1;
	now = max;
	if (xml_attr_uint(n, "current", VCPUS_MAX, &now, error) < 0)
		return -1;
	if (!max || !now || now > max)
		return refuse(error, MANAGER_ERR_XML, "<vcpu>: %u of %u are not possible",
			(unsigned)now, (unsigned)max);
	if (now == max)
		xml_set_attr(n, "current", NULL);
	if (!xml_attr(n, "placement"))
		xml_set_attr(n, "placement", "static");
	c->vcpus_max = (unsigned)max;
	c->vcpus = (unsigned)now;
	c->tune.cpuset = g_strdup(xml_attr(n, "cpuset"));
	return 0;
}

/* libvirt's names of processors, by the level of the x86-64 psABI that they have. */
static const struct model {
	const char *prefix, *cpu;
} models[] = {
	{ "qemu", NULL },
	{ "kvm", NULL },
	{ "x86-64-v2", "x86-64-v2" },
	{ "x86-64-v3", "x86-64-v3" },
	{ "max", "max" },
	{ "Nehalem", "x86-64-v2" },
	{ "Westmere", "x86-64-v2" },
	{ "SandyBridge", "x86-64-v2" },
	{ "IvyBridge", "x86-64-v2" },
	{ "Opteron_G4", "x86-64-v2" },
	{ "Opteron_G5", "x86-64-v2" },
	{ "Haswell", "x86-64-v3" },
	{ "Broadwell", "x86-64-v3" },
	{ "Skylake-Client", "x86-64-v3" },
	{ "EPYC", "x86-64-v3" },
	{ "Dhyana", "x86-64-v3" },
};

static int model_of(const char *name, const char **ret, GError **error)
{
	for (size_t i = 0; i < array_len(models); i++) {
		if (g_str_has_prefix(name, models[i].prefix)) {
			*ret = models[i].cpu;
			return 0;
		}
	}
	return config_unsupported(error,
		"cpu model '%.64s': Lodge has host-passthrough, host-model, "
		"maximum, x86-64-v2, x86-64-v3 and older processors' names",
		name);
}

static int read_features(GString *cpu, const xmlNode *n, GError **error)
{
	static const char *const policies[] = { "force", "require", "optional", "disable", "forbid",
		NULL };

	for (const xmlNode *f = xml_child(n, "feature"); f; f = xml_next(f, "feature")) {
		const char *name = xml_attr(f, "name");
		unsigned policy = 1;

		if (!name || !*name ||
			strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != strlen(name))
			return refuse(
				error, MANAGER_ERR_XML, "<feature> of <cpu> has no proper name");
		if (xml_attr_enum(f, "policy", policies, &policy, error) < 0)
			return -1;
		if (policy != 2)
			g_string_append_printf(cpu, ",%c%s", policy < 2 ? '+' : '-', name);
	}
	return 0;
}

static int read_cpu(struct domain_config *c, xmlNode *root, GError **error)
{
	static const char *const modes[] = { "custom", "host-model", "host-passthrough", "maximum",
		NULL };
	const xmlNode *n = xml_child(root, "cpu"), *topology = n ? xml_child(n, "topology") : NULL;
	g_autoptr(GString) cpu = g_string_new(NULL);
	g_autofree char *name = n ? xml_child_text(n, "model") : NULL;
	const char *model = NULL;
	unsigned mode = 0;
	uint64_t threads = 1, cores = 1, dies = 1, sockets = 1;

	if (!n)
		return 0;
	if (xml_attr_enum(n, "mode", modes, &mode, error) < 0)
		return -1;
	if (mode == 0 && name && model_of(name, &model, error) < 0)
		return -1;
	if (mode == 3)
		model = "max";
	else if (mode)
		model = c->kvm ? "host" : "max";
	if (read_features(cpu, n, error) < 0)
		return -1;
	if (model || cpu->len)
		c->cpu = g_strconcat(model ? model : c->kvm ? "host" : "max", cpu->str, NULL);
	if (!topology)
		return 0;
	if (xml_attr_uint(topology, "threads", VCPUS_MAX, &threads, error) < 0 ||
		xml_attr_uint(topology, "cores", VCPUS_MAX, &cores, error) < 0 ||
		xml_attr_uint(topology, "dies", VCPUS_MAX, &dies, error) < 0 ||
		xml_attr_uint(topology, "sockets", VCPUS_MAX, &sockets, error) < 0)
		return -1;
	if (threads * cores * dies * sockets != c->vcpus_max)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"<topology>: has room for %u processors, <vcpu> says %u",
			(unsigned)(threads * cores * dies * sockets), c->vcpus_max);
	return 0;
}

static int read_os(struct domain_config *c, xmlNode *root, GError **error)
{
	xmlNode *os = xml_want(root, "os"), *type = xml_child(os, "type");
	g_autofree char *word = type ? xml_text(type) : NULL;
	const char *arch, *machine;

	if (!type || strcmp(word, "hvm") != 0)
		return config_unsupported(
			error, "<type> of <os> '%.32s': Lodge has hvm", word ? word : "");
	if (xml_attr(os, "firmware"))
		return config_unsupported(error,
			"firmware '%.32s': Lodge has no firmware yet; give "
			"<kernel>",
			xml_attr(os, "firmware"));
	arch = xml_attr(type, "arch");
	if (arch && strcmp(arch, "x86_64") != 0)
		return config_unsupported(error, "architecture '%.32s': Lodge has x86_64", arch);
	xml_set_attr(type, "arch", "x86_64");
	machine = xml_attr(type, "machine");
	if (machine && strcmp(machine, "q35") != 0 && strcmp(machine, "pc") != 0 &&
		!g_str_has_prefix(machine, "pc-q35"))
		return config_unsupported(error, "machine '%.32s': Lodge has q35", machine);
	xml_set_attr(type, "machine", "q35");
	c->kernel = xml_child_text(os, "kernel");
	c->initrd = xml_child_text(os, "initrd");
	c->cmdline = xml_child_text(os, "cmdline");
	if (c->kernel && !*c->kernel)
		g_clear_pointer(&c->kernel, g_free);
	if (c->initrd && !*c->initrd)
		g_clear_pointer(&c->initrd, g_free);
	return 0;
}

static int read_action(xmlNode *root, const char *name, enum lifecycle_action dflt,
	enum lifecycle_action *ret, GError **error)
{
	static const char *const words[] = { "destroy", "restart", "preserve", "rename-restart",
		"coredump-destroy", "coredump-restart", NULL };
	g_autofree char *word = xml_child_text(root, name);

	*ret = dflt;
	if (!word)
		xml_add(root, name, words[dflt]);
	for (unsigned i = 0; word && words[i]; i++) {
		if (strcmp(word, words[i]) != 0)
			continue;
		*ret = i;
		if (i >= ACTION_RENAME_RESTART)
			return config_unsupported(error,
				"<%s>: '%s': Lodge has destroy, restart and "
				"preserve",
				name, word);
		return 0;
	}
	return word ? refuse(error, MANAGER_ERR_XML, "<%s>: '%.32s' is no action", name, word) : 0;
}

/* A label that a person chose is protection they count on. */
static int check_labels(const xmlNode *root, GError **error)
{
	for (const xmlNode *n = xml_child(root, "seclabel"); n; n = xml_next(n, "seclabel")) {
		const char *type = xml_attr(n, "type");

		if (type && strcmp(type, "static") == 0)
			return config_unsupported(error,
				"<seclabel type='static'>: Lodge has no security labels yet");
	}
	return 0;
}

int config_system(struct domain_config *c, xmlNode *root, unsigned flags, GError **error)
{
	if (read_type(c, root, error) < 0 || read_identity(c, root, flags, error) < 0 ||
		read_memory(c, root, error) < 0 || read_vcpus(c, root, error) < 0 ||
		read_os(c, root, error) < 0 || read_cpu(c, root, error) < 0 ||
		check_labels(root, error) < 0)
		return -1;
	if (!xml_child(root, "clock"))
		xml_set_attr(xml_add(root, "clock", NULL), "offset", "utc");
	if (read_action(root, "on_poweroff", ACTION_DESTROY, &c->on_poweroff, error) < 0 ||
		read_action(root, "on_reboot", ACTION_RESTART, &c->on_reboot, error) < 0)
		return -1;
	return read_action(root, "on_crash", ACTION_DESTROY, &c->on_crash, error);
}
