/* SPDX-License-Identifier: GPL-2.0-or-later */
/* manual.c: --help and the man page, made of the option table and the device classes. */
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "core/device.h"
#include "vm/spec.h"

enum { HELP_COLUMN = 28, WIDTH = 80 };

/* Appends text wrapped at WIDTH, continued at HELP_COLUMN; the line has `at` columns already. */
static void wrap(GString *out, size_t at, const char *text)
{
	g_auto(GStrv) words = g_strsplit(text, " ", 0);

	if (at + 1 > HELP_COLUMN) {
		g_string_append_c(out, '\n');
		at = 0;
	}
	g_string_append_printf(out, "%*s", (int)(HELP_COLUMN - at), "");
	at = HELP_COLUMN;
	for (char **w = words; *w; w++) {
		if (w != words && at + 1 + strlen(*w) > WIDTH) {
			g_string_append_printf(out, "\n%*s", HELP_COLUMN, "");
			at = HELP_COLUMN;
		} else if (w != words) {
			g_string_append_c(out, ' ');
			at++;
		}
		g_string_append(out, *w);
		at += strlen(*w);
	}
	g_string_append_c(out, '\n');
}

static void help_row(GString *out, const char *dashes, const char *name, const char *sep,
	const char *arg, const char *help, const char *dflt)
{
	g_autofree char *head =
		g_strdup_printf("  %s%s%s%s", dashes, name, arg ? sep : "", arg ? arg : "");
	g_autofree char *text =
		dflt ? g_strdup_printf("%s (default %s)", help, dflt) : g_strdup(help);

	g_string_append(out, head);
	wrap(out, strlen(head), text);
}

static const char *arg_of(const struct field *f)
{
	switch (f->kind) {
	case FIELD_BOOL: return "on|off";
	case FIELD_STRING: return "TEXT";
	case FIELD_SIZE: return "SIZE";
	case FIELD_MAC: return "MAC";
	default: return "N";
	}
}

static void help_part(GString *out, const struct vm_option *o)
{
	const struct part_kind *k = o->part;

	g_string_append(out, "\nProperties:\n");
	help_row(out, "", "id", "=", "NAME", "name in QMP and saved states", NULL);
	for (const struct part_prop *p = k->props; p && p->name; p++)
		help_row(out, "", p->name, "=", p->arg, p->help, NULL);
	for (const struct field *f = k->cls ? k->cls->config : NULL; f && f->name; f++)
		help_row(out, "", f->name, "=", arg_of(f), f->help, f->dflt);
}

char *vm_help(const char *option, GError **error)
{
	GString *out = g_string_new(NULL);
	g_autofree char *hint = NULL;
	struct nearest near;

	if (!option) {
		g_string_append(out, "Usage: lodge-vm [OPTION...]\nRuns one virtual machine.\n\n");
		for (const struct vm_option *o = vm_options; o->name; o++)
			help_row(out, "--", o->name, " ", o->arg, o->help,
				o->part ? NULL : o->field.dflt);
		help_row(out, "--", "help", " ", "[OPTION]", "this text, or an option's properties",
			NULL);
		help_row(out, "--", "man", "", NULL, "the manual page, for man -l -", NULL);
		help_row(out, "--", "version", "", NULL, "which version this is", NULL);
		g_string_append(out, "\nOn a terminal, Ctrl-a ? lists the keys.\n");
		return g_string_free(out, FALSE);
	}
	option += strspn(option, "-");
	nearest_init(&near, option);
	for (const struct vm_option *o = vm_options; o->name; o++) {
		if (strcmp(o->name, option) == 0) {
			help_row(out, "--", o->name, " ", o->arg, o->help,
				o->part ? NULL : o->field.dflt);
			if (o->part)
				help_part(out, o);
			return g_string_free(out, FALSE);
		}
		nearest_offer(&near, o->name);
	}
	g_string_free(out, TRUE);
	hint = nearest_hint(&near);
	fail(error, LODGE_ERROR_USAGE, "no option '%s'%s", option, hint);
	return NULL;
}

/* Escapes what roff would take for itself. */
static void roff(GString *out, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (*p == '\\')
			g_string_append(out, "\\e");
		else if (*p == '-')
			g_string_append(out, "\\-");
		else if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
			g_string_append_printf(out, "\\&%c", *p);
		else
			g_string_append_c(out, *p);
	}
}

static void man_row(GString *out, const char *dashes, const char *name, const char *sep,
	const char *arg, const char *help, const char *dflt)
{
	g_string_append(out, ".TP\n.BR ");
	roff(out, dashes);
	roff(out, name);
	if (arg) {
		g_string_append_printf(out, " \"%s", sep);
		roff(out, arg);
		g_string_append_c(out, '"');
	}
	g_string_append_c(out, '\n');
	roff(out, help);
	if (dflt) {
		g_string_append(out, " (default ");
		roff(out, dflt);
		g_string_append_c(out, ')');
	}
	g_string_append_c(out, '\n');
}

static void man_part(GString *out, const struct vm_option *o)
{
	const struct part_kind *k = o->part;

	g_string_append(out, ".RS\n");
	man_row(out, "", "id", "=", "NAME", "name in QMP and saved states", NULL);
	for (const struct part_prop *p = k->props; p && p->name; p++)
		man_row(out, "", p->name, "=", p->arg, p->help, NULL);
	for (const struct field *f = k->cls ? k->cls->config : NULL; f && f->name; f++)
		man_row(out, "", f->name, "=", arg_of(f), f->help, f->dflt);
	g_string_append(out, ".RE\n");
}

static const char man_tail[] =
	".SH KEYS\n"
	"On a terminal (\\fB\\-\\-serial stdio\\fR or \\fB\\-\\-console stdio\\fR) Ctrl\\-a starts "
	"a command:\n"
	".B x\nends the machine,\n.B s\npresses the power button,\n.B r\nresets,\n.B p\npauses,\n"
	".B c\ngoes on,\n.B ?\nlists the keys, Ctrl\\-a itself is sent by a second Ctrl\\-a.\n"
	".SH EXIT STATUS\n"
	".TP\n0\nThe guest powered off, or the machine was told to end.\n"
	".TP\n2\nA bad option or property.\n"
	".TP\n3\nA file is missing, damaged, locked or not permitted.\n"
	".TP\n4\nThe host lacks something: memory, /dev/kvm, a port.\n"
	".TP\n5\nA saved state that does not fit or is damaged.\n"
	".TP\n6\nThe guest did something that ends the machine.\n"
	".TP\n70\nA bug in lodge\\-vm.\n"
	".TP\n143, 130, 129\nEnded by SIGTERM, SIGINT or SIGHUP, with images flushed.\n"
	".SH EXAMPLES\n"
	".nf\nlodge\\-vm \\-\\-cpus 2 \\-\\-memory 2G \\-\\-kernel vmlinuz \\-\\-initrd i.gz \\e\n"
	"    \\-\\-append 'root=/dev/vda console=ttyS0' \\-\\-disk path=d.img \\e\n"
	"    \\-\\-net user,forward=tcp:2222:22 \\-\\-serial stdio\n.fi\n";

char *vm_man(void)
{
	GString *out = g_string_new(".TH LODGE\\-VM 1 \"\" \"Lodge " LODGE_VERSION "\"\n.SH NAME\n"
				    "lodge\\-vm \\- run one virtual machine\n.SH SYNOPSIS\n.B "
				    "lodge\\-vm\n.RI [ OPTION ...]\n"
				    ".SH DESCRIPTION\nRuns one virtual machine in this process, "
				    "with the CPU's virtualization "
				    "or with Lodge's own translator. Properties are separated by "
				    "commas; two commas stand for "
				    "one.\n.SH OPTIONS\n");

	for (const struct vm_option *o = vm_options; o->name; o++) {
		man_row(out, "--", o->name, " ", o->arg, o->help, o->part ? NULL : o->field.dflt);
		if (o->part)
			man_part(out, o);
	}
	man_row(out, "--", "help", " ", "[OPTION]", "A summary, or an option's properties.", NULL);
	man_row(out, "--", "man", "", NULL, "This page.", NULL);
	man_row(out, "--", "version", "", NULL, "The version.", NULL);
	g_string_append(out, man_tail);
	return g_string_free(out, FALSE);
}
