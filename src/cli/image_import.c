/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_import.c: `lodge image import`: the disks of an OVA or OVF, and what machine they belong
 * to. */
#include "cli/image.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "cli/image_target.h"
#include "image/convert.h"
#include "image/file.h"
#include "image/ovf.h"

const struct cli_option image_import_options[] = {
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "an .ova, or an .ovf with its files beside it" },
	{ "directory", 'd', CLI_TEXT, .value = "DIR", .complete = CLI_COMPLETE_FILE,
		.help = "where the disks go (default: here)" },
	{ "output-format", 'O', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "of the disks (default: qcow2)" },
	{ "xml", 0, CLI_TEXT, .value = "FILE", .complete = CLI_COMPLETE_FILE,
		.help = "write the machine as libvirt domain XML (-: to the terminal)" },
	{ "no-verify", 0, CLI_FLAG, .help = "do not compare files with the manifest's sums" },
	{ "force", 0, CLI_FLAG, .help = "replace disks that are there" },
	OPT_PROGRESS,
	{ NULL },
};
const char image_import_help[] =
	"  lodge image import -d /var/lib/lodge/images --xml web.xml web.ova\n\n"
	"Each disk becomes NAME-1, NAME-2, … of the format.";

struct import {
	struct cli *c;
	struct ovf_source *source;
	struct ovf_machine *machine;
	const char *format;
	GPtrArray *paths; /* char *: of the disks, made */
};

/* A machine's name may hold anything: what file names had better not is replaced. */
static char *file_name(const struct import *v, unsigned i)
{
	const char *dir = cli_text(v->c, "directory");
	g_autofree char *name =
		g_strdup(v->machine->name && *v->machine->name ? v->machine->name : "machine");
	g_autofree char *base = NULL;

	g_strcanon(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", '-');
	base = g_strdup_printf("%s%s-%u.%s", *name == '.' ? "disk" : "", name, i + 1, v->format);
	return g_build_filename(dir ? dir : ".", base, NULL);
}

static int copy_disk(struct import *v, const struct ovf_disk *d, struct image *to, GError **error)
{
	struct image_options o = { .path = d->href, .readonly = true, .format = "vmdk" };
	struct file *f = ovf_file(v->source, d->href, error);
	struct convert_options how = { .sparse = 4096, .target_zero = true, .tick = image_tick };
	struct image_ticker t;
	struct image *from;
	int r;

	if (!f)
		return -1;
	/* By the format the standard says, or another one that is plainly another. */
	if (!g_str_has_suffix(d->href, ".vmdk"))
		o.format = NULL;
	from = image_open_file(f, &o, error);
	if (!from)
		return -1;
	r = image_size(to) < image_size(from) ? image_resize(to, image_size(from), NULL, error) : 0;
	if (!r) {
		image_ticker_start(&t, v->c, "Importing");
		how.opaque = &t;
		r = image_convert(from, to, &how, error);
		progress_end(&t.p);
		if (r < 0 && error && !*error)
			cli_fail_interrupted(error);
	}
	image_close(from);
	return r;
}

static int make_disk(struct import *v, unsigned i, GError **error)
{
	const struct ovf_disk *d = v->machine->disks->pdata[i];
	g_autofree char *path = file_name(v, i);
	struct image_spec spec = { .size = d->capacity ? d->capacity : 1 << 20 };
	struct image_target t;
	struct image *to = NULL;
	int r = image_target_start(&t, path, v->format, cli_flag(v->c, "force"), error);

	if (!r)
		r = image_create(t.part, v->format, &spec, false, NULL, error);
	if (!r) {
		struct image_options o = { .path = t.part, .format = v->format, .no_sync = true };

		to = image_open(&o, error);
		r = to ? 0 : -1;
	}
	if (!r && d->href)
		r = copy_disk(v, d, to, error);
	image_close(to);
	if (!r)
		r = image_target_finish(&t, error);
	image_target_end(&t);
	if (!r)
		g_ptr_array_add(v->paths, g_steal_pointer(&path));
	return r;
}

/* ---- the machine ---- */

static char *domain_xml(const struct import *v)
{
	const struct ovf_machine *m = v->machine;
	GString *s = g_string_new("<domain type='kvm'>\n");
	g_autofree char *name = g_markup_escape_text(m->name ? m->name : "machine", -1);

	g_string_append_printf(s, "  <name>%s</name>\n", name);
	g_string_append_printf(s,
		"  <memory unit='KiB'>%" G_GUINT64_FORMAT "</memory>\n  <vcpu>%u</vcpu>\n"
		"  <os>\n    <type arch='x86_64'>hvm</type>\n  </os>\n  "
		"<features><acpi/><apic/></features>\n"
		"  <devices>\n",
		MAX(m->memory, 64 << 20) >> 10, m->cpus);
	for (unsigned i = 0; i < v->paths->len; i++) {
		g_autofree char *full = g_canonicalize_filename(v->paths->pdata[i], NULL),
				*safe = g_markup_escape_text(full, -1);

		g_string_append_printf(s,
			"    <disk type='file' device='disk'>\n      <driver name='qemu' "
			"type='%s'/>\n      <source file='%s'/>\n      <target dev='vd%c' "
			"bus='virtio'/>\n"
			"    </disk>\n",
			v->format, safe, 'a' + (int)MIN(i, 25));
	}
	for (unsigned i = 0; i < m->nets->len; i++)
		g_string_append(s,
			"    <interface type='network'>\n      <source network='default'/>\n"
			"      <model type='virtio'/>\n    </interface>\n");
	g_string_append(s, "    <console type='pty'/>\n  </devices>\n</domain>\n");
	return g_string_free(s, FALSE);
}

static json_t *machine_json(const struct import *v)
{
	const struct ovf_machine *m = v->machine;
	json_t *disks = json_array(), *nets = json_array();

	for (unsigned i = 0; i < v->paths->len; i++) {
		const struct ovf_disk *d = m->disks->pdata[i];

		json_array_append_new(
			disks, json_pack("{s:s,s:s,s:s*,s:s*}", "path", v->paths->pdata[i],
				       "format", v->format, "from", d->href, "bus", d->bus));
	}
	for (unsigned i = 0; i < m->nets->len; i++)
		json_array_append_new(nets, json_string(m->nets->pdata[i]));
	return json_pack("{s:s*,s:s*,s:i,s:I,s:o,s:o}", "name", m->name, "os", m->os, "cpus",
		(int)m->cpus, "memory", (json_int_t)m->memory, "disks", disks, "networks", nets);
}

static int tell(const struct import *v, GError **error)
{
	const char *xml_path = cli_text(v->c, "xml");
	g_autofree char *xml = xml_path ? domain_xml(v) : NULL,
			*memory = size_format(v->machine->memory);

	if (xml && !strcmp(xml_path, "-"))
		fputs(xml, stdout);
	else if (xml && !g_file_set_contents(xml_path, xml, -1, NULL))
		return fail(error, LODGE_ERROR_FILE, "%s: cannot write it", xml_path);
	if (v->c->json) {
		cli_print_json(machine_json(v));
	} else if (!v->c->quiet && !(xml && !strcmp(xml_path, "-"))) {
		printf("%s: %u CPUs, %s of memory, %u disks, %u network cards\n",
			v->machine->name ? v->machine->name : "machine", v->machine->cpus, memory,
			v->paths->len, v->machine->nets->len);
		for (unsigned i = 0; i < v->paths->len; i++)
			printf("  %s\n", (char *)v->paths->pdata[i]);
	}
	return 0;
}

int image_import_run(struct cli *c, GError **error)
{
	const char *path = cli_text(c, "file"),
		   *format = image_format_spelling(cli_text(c, "output-format"));
	struct import v = { .c = c, .format = format ? format : "qcow2" };
	g_autofree char *text = NULL;
	size_t n;
	int r = -1;

	cli_catch_signals(c);
	v.paths = g_ptr_array_new_with_free_func(g_free);
	v.source = ovf_open(path, error);
	text = v.source ? ovf_description(v.source, &n, error) : NULL;
	v.machine = text ? ovf_parse(text, n, path, error) : NULL;
	if (v.machine)
		r = cli_flag(c, "no-verify") ? 0 : ovf_verify(v.source, error);
	for (unsigned i = 0; v.machine && r >= 0 && i < v.machine->disks->len; i++)
		r = make_disk(&v, i, error);
	if (v.machine && r >= 0)
		r = tell(&v, error);
	ovf_free(v.machine);
	ovf_close(v.source);
	g_ptr_array_unref(v.paths);
	return r < 0 ? -1 : 0;
}
