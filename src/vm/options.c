/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.c: the command line of lodge-vm: its one table and its parser. */
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "core/device.h"
#include "core/stream.h"
#include "vm/parts.h"
#include "vm/spec.h"

#define OPTION(opt, member, k, arg_text, def, text)                                                \
	{                                                                                          \
		.name = (opt), .arg = (arg_text), .help = (text), .field = {                       \
			.name = (opt),                                                             \
			.offset = offsetof(struct vm_spec, member),                                \
			.count = 1,                                                                \
			.kind = (k),                                                               \
			.dflt = (def)                                                              \
		}                                                                                  \
	}
#define SWITCH(opt, member, text) OPTION(opt, member, FIELD_BOOL, NULL, NULL, text)
#define PART(opt, arg_text, kind, text)                                                            \
	{                                                                                          \
		.name = (opt), .arg = (arg_text), .help = (text), .part = (kind)                   \
	}

const struct vm_option vm_options[] = {
	OPTION("name", name, FIELD_STRING, "NAME", NULL, "the machine's name, for people and QMP"),
	OPTION("cpus", cpus, FIELD_U32, "N", "1", "virtual CPUs, 1 to 255"),
	OPTION("max-cpus", max_cpus, FIELD_U32, "N", "0",
		"vCPUs that can be plugged while it runs, with QMP's set-vcpus; 0: no more than "
		"--cpus"),
	OPTION("memory", memory, FIELD_SIZE, "SIZE", "256M",
		"guest memory; K, M, G and T are understood"),
	SWITCH("hugepages", hugepages, "back guest memory with the host's reserved huge pages"),
	PART("kernel", "FILE[,format=F]", &part_kernel,
		"kernel to start: bzImage or ELF (PVH, or plain); format=raw for a flat real-mode "
		"image"),
	PART("initrd", "FILE", &part_initrd, "initial RAM disk for the kernel"),
	OPTION("append", append, FIELD_STRING, "TEXT", NULL, "the kernel's command line"),
	PART("disk", "FILE[,PROPERTY=VALUE...]", &part_disk, "a disk (virtio-blk)"),
	PART("net", "user|tap|none[,PROPERTY=VALUE...]", &part_net, "a network card (virtio-net)"),
	PART("serial", "CHAR", &part_serial,
		"a 16550 serial port: stdio, pty, null, file:PATH, unix:PATH[,server], "
		"tcp:HOST:PORT[,server]"),
	PART("console", "CHAR", &part_console, "a port of the virtio console, as --serial"),
	PART("rng", "[PROPERTY=VALUE...]", &part_rng, "a source of random numbers (virtio-rng)"),
	PART("balloon", "[PROPERTY=VALUE...]", &part_balloon, "a memory balloon (virtio-balloon)"),
	OPTION("slots", slots, FIELD_U32, "N", "0", "hot-pluggable PCI Express slots, 0 to 16"),
	OPTION("accel", accel, FIELD_STRING, "auto|kvm|jit", "auto",
		"what executes the guest: the CPU's virtualization, or Lodge's translator"),
	OPTION("jit-cache", jit_cache, FIELD_SIZE, "SIZE", "256M",
		"translated code kept at most, 4M to 1G; the oldest goes first"),
	SWITCH("jit-stats", jit_stats,
		"at the end, print what the translator did on stderr; QMP's query-jit tells it at "
		"any "
		"time"),
	OPTION("cpu", cpu, FIELD_STRING, "MODEL", NULL,
		"host, max, x86-64-v2 or x86-64-v3, each with ,+FEATURE or ,-FEATURE (default: "
		"host "
		"under KVM, else max)"),
	OPTION("qmp", qmp, FIELD_STRING, "PATH", NULL, "listen for QMP clients on a unix socket"),
	OPTION("load", load, FIELD_STRING, "FILE", NULL,
		"go on from a saved state instead of booting"),
	SWITCH("paused", paused, "do not start yet: wait for QMP's cont"),
	SWITCH("no-reboot", no_reboot, "end when the guest asks for a reset"),
	SWITCH("debug-exit", debug_exit,
		"for test guests: a byte V written to port 0xf4 ends the process with status 2V+1"),
	PART("debug-console", "CHAR", &part_debug_console,
		"for test guests: bytes written to port 0xe9"),
	{ 0 },
};

static bool prop_known(const struct part_kind *k, const char *name)
{
	if (strcmp(name, "id") == 0)
		return true;
	for (const struct part_prop *p = k->props; p && p->name; p++) {
		if (strcmp(p->name, name) == 0)
			return true;
	}
	for (const struct field *f = k->cls ? k->cls->config : NULL; f && f->name; f++) {
		if (strcmp(f->name, name) == 0)
			return true;
	}
	return false;
}

static int prop_unknown(const struct part_kind *k, const char *name, GError **error)
{
	g_autofree char *hint = NULL;
	struct nearest near;

	nearest_init(&near, name);
	nearest_offer(&near, "id");
	for (const struct part_prop *p = k->props; p && p->name; p++)
		nearest_offer(&near, p->name);
	for (const struct field *f = k->cls ? k->cls->config : NULL; f && f->name; f++)
		nearest_offer(&near, f->name);
	hint = nearest_hint(&near);
	return fail(error, LODGE_ERROR_USAGE, "--%s has no property '%s'%s; see --help %s", k->name,
		name, hint, k->name);
}

/* The next comma-separated word of *text, two commas standing for one; NULL at the end. */
static char *next_word(const char **text)
{
	GString *w;

	if (!*text)
		return NULL;
	w = g_string_new(NULL);
	for (; **text; ++*text) {
		if (**text == ',' && *++*text != ',')
			return g_string_free(w, FALSE);
		g_string_append_c(w, **text);
	}
	*text = NULL;
	return g_string_free(w, FALSE);
}

/* Appends ",word" to the value of the leading property. */
static void part_extend(struct part *p, const char *word)
{
	struct part_value *v = &g_array_index(p->values, struct part_value, 0);
	char *longer = g_strdup_printf("%s,%s", v->value, word);

	g_free(v->value);
	v->value = longer;
}

static int part_add_word(struct part *p, const char *word, bool leading, GError **error)
{
	const struct part_kind *k = p->kind;
	const char *eq = strchr(word, '=');
	struct part_value v;
	g_autofree char *name = NULL;

	if (!*word)
		return fail(error, LODGE_ERROR_USAGE, "--%s: an empty property", k->name);
	if (leading && k->first) {
		name = eq ? g_strndup(word, eq - word) : NULL;
		/* A leading word may hold '=' itself (a path): only a known name makes a property.
		 */
		if (!name || (!prop_known(k, name) && (k->open_ended || strchr(name, '/')))) {
			v = (struct part_value){ g_strdup(k->first), g_strdup(word) };
			g_array_append_val(p->values, v);
			return 0;
		}
	} else if (eq) {
		name = g_strndup(word, eq - word);
	}
	if (k->open_ended && !prop_known(k, name ? name : word)) {
		part_extend(p, word);
		return 0;
	}
	if (!name && !prop_known(k, word))
		return prop_unknown(k, word, error);
	if (!name)
		return fail(error, LODGE_ERROR_USAGE, "--%s: property %s needs a value: %s=...",
			k->name, word, word);
	if (!prop_known(k, name))
		return prop_unknown(k, name, error);
	v = (struct part_value){ g_steal_pointer(&name), g_strdup(eq + 1) };
	g_array_append_val(p->values, v);
	return 0;
}

static bool id_taken(const struct vm_spec *s, const char *id)
{
	for (guint i = 0; i < s->parts->len; i++) {
		const struct part *p = g_ptr_array_index(s->parts, i);

		if (p->id && strcmp(p->id, id) == 0)
			return true;
	}
	return false;
}

/* Ids name devices in saved states and QMP; the automatic ones count per kind. */
static int part_name(const struct vm_spec *s, struct part *p, unsigned nth, GError **error)
{
	const char *id = part_get(p, "id");

	p->id = id ? g_strdup(id) : g_strdup_printf("%s%u", p->kind->name, nth);
	if (!*p->id || strlen(p->id) > 64 ||
		strspn(p->id, "abcdefghijklmnopqrstuvwxyz"
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != strlen(p->id))
		return fail(error, LODGE_ERROR_USAGE,
			"--%s: id '%s': up to 64 letters, digits, '-', '_' and '.'", p->kind->name,
			p->id);
	return 0;
}

static int parse_part(
	struct vm_spec *s, const struct part_kind *k, const char *text, GError **error)
{
	struct part *p = part_new(k);
	unsigned nth = 0;
	char *word;
	bool leading = true;

	for (guint i = 0; i < s->parts->len; i++)
		nth += ((struct part *)g_ptr_array_index(s->parts, i))->kind == k;
	g_ptr_array_add(s->parts, p);
	if (nth == k->max)
		return fail(error, LODGE_ERROR_USAGE,
			k->max == 1 ? "--%s is possible only once"
				    : "--%s is possible only %u times",
			k->name, k->max);
	while ((word = next_word(&text))) {
		int rc = part_add_word(p, word, leading, error);

		g_free(word);
		if (rc < 0)
			return -1;
		leading = false;
	}
	if (k->first && !part_get(p, k->first))
		return fail(error, LODGE_ERROR_USAGE, "--%s: %s is missing", k->name, k->first);
	if (part_get(p, "id") && id_taken(s, part_get(p, "id")))
		return fail(error, LODGE_ERROR_USAGE, "--%s: the id '%s' is taken", k->name,
			part_get(p, "id"));
	return part_name(s, p, nth, error);
}

static const struct vm_option *find_option(const char *name, size_t len, GError **error)
{
	g_autofree char *word = g_strndup(name, len), *hint = NULL;
	struct nearest near;

	nearest_init(&near, word);
	for (const struct vm_option *o = vm_options; o->name; o++) {
		if (strcmp(o->name, word) == 0)
			return o;
		nearest_offer(&near, o->name);
	}
	nearest_offer(&near, "help");
	nearest_offer(&near, "version");
	if (near.best) {
		g_autofree char *dashed = g_strdup_printf("--%s", near.best);

		near.best = dashed;
		hint = nearest_hint(&near);
	}
	fail(error, LODGE_ERROR_USAGE, "no option '--%s'%s", word, hint ? hint : "; see --help");
	return NULL;
}

static int set_option(
	struct vm_spec *s, const struct vm_option *o, const char *value, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (o->part)
		return parse_part(s, o->part, value, error);
	if (field_parse(&o->field, s, value ? value : "on", &why) < 0)
		return fail(error, LODGE_ERROR_USAGE, "--%s: %s", o->name, why->message);
	return 0;
}

int vm_spec_parse(struct vm_spec *s, int argc, char *const *argv, GError **error)
{
	for (int i = 0; i < argc; i++) {
		const char *name = argv[i], *eq, *value = NULL;
		const struct vm_option *o;

		if (strncmp(name, "--", 2) != 0 || !name[2])
			return fail(error, LODGE_ERROR_USAGE,
				"what is '%s'? Options begin with '--'; see --help", name);
		name += 2;
		eq = strchr(name, '=');
		o = find_option(name, eq ? (size_t)(eq - name) : strlen(name), error);
		if (!o)
			return -1;
		if (eq)
			value = eq + 1;
		else if (o->arg && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
			value = argv[++i];
		else if (o->arg && i + 1 < argc && *o->arg != '[')
			return fail(error, LODGE_ERROR_USAGE,
				"--%s needs a value: %s (write --%s=... for one that begins with "
				"--)",
				o->name, o->arg, o->name);
		else if (o->arg && *o->arg != '[')
			return fail(error, LODGE_ERROR_USAGE, "--%s needs a value: %s", o->name,
				o->arg);
		if (set_option(s, o, value, error) < 0)
			return -1;
	}
	return 0;
}
