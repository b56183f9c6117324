/* SPDX-License-Identifier: GPL-2.0-or-later */
/* volume.c: the commands for volumes in storage pools. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/size.h"
#include "cli/daemon.h"
#include "cli/groups.h"
#include "cli/table.h"

#define POOL_OPTION                                                                                \
	{                                                                                          \
		"pool", 0, CLI_TEXT, .help = "the pool it is in (default: default)",               \
				     .complete = COMPLETE_POOL                                     \
	}
#define VOLUME_ARGUMENT                                                                            \
	{                                                                                          \
		"vol", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .value = "VOLUME",              \
								   .help = "its name"              \
	}

static const char *pool_of(struct cli *c)
{
	return cli_text(c, "pool") ? cli_text(c, "pool") : "default";
}

static char *volume_path(struct cli *c, const char *below)
{
	g_autofree char *path = client_path("/pools/%s/volumes/%s", pool_of(c), cli_text(c, "vol"));

	return g_strconcat(path, below, NULL);
}

static const struct cli_option volume_options[] = { VOLUME_ARGUMENT, POOL_OPTION, CLIENT_OPTIONS,
	{ NULL } };

/* ---- looking ---- */

static const struct cli_option list_options[] = {
	{ "pool", 0, CLI_TEXT, CLI_POSITIONAL, .help = "the pool (default: default)",
		.complete = COMPLETE_POOL },
	{ "details", 0, CLI_FLAG, CLI_HIDDEN },
	CLIENT_OPTIONS,
	{ NULL },
};

static int list_run(struct cli *c, GError **error)
{
	static const struct table_column columns[] = { { "Name", TABLE_FLEX }, { "Format", 0 },
		{ "Capacity", TABLE_RIGHT }, { "Used", TABLE_RIGHT }, { "Path", TABLE_FLEX },
		{ NULL } };
	struct table *t = table_new(columns);
	int status;
	json_t *list = daemon_ask(c, "GET", client_path("/pools/%s/volumes", pool_of(c)), NULL,
		       &status, error),
	       *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		g_autofree char *capacity = member_size(v, "capacity"),
				*used = member_size(v, "allocation");

		table_cell(t, "%s", member_text(v, "name"));
		table_cell(t, "%s", member_text(v, "format"));
		table_cell(t, "%s", capacity);
		table_cell(t, "%s", used);
		table_cell(t, "%s", member_text(v, "path"));
	}
	if (list)
		table_show(t);
	else
		table_free(t);
	json_decref(list);
	return status;
}

static int info_run(struct cli *c, GError **error)
{
	int status;
	json_t *v = daemon_ask(c, "GET", volume_path(c, ""), NULL, &status, error);
	g_autofree char *capacity = member_size(v, "capacity"),
			*used = member_size(v, "allocation");

	if (v)
		printf("Name:           %s\nType:           %s\nFormat:         %s\n"
		       "Capacity:       %s\nAllocation:     %s\nBacking:        %s\nPath:          "
		       " %s\n",
			member_text(v, "name"), member_text(v, "type"), member_text(v, "format"),
			capacity, used, member_text(v, "backing"), member_text(v, "path"));
	json_decref(v);
	return status;
}

static int path_run(struct cli *c, GError **error)
{
	int status;
	json_t *v = daemon_ask(c, "GET", volume_path(c, ""), NULL, &status, error);

	if (v)
		puts(member_text(v, "path"));
	json_decref(v);
	return status;
}

static int dumpxml_run(struct cli *c, GError **error)
{
	return daemon_print_xml(c, volume_path(c, "/xml"), error);
}

/* ---- making, resizing, deleting ---- */

static const struct cli_option create_as_options[] = {
	{ "pool", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .help = "the pool",
		.complete = COMPLETE_POOL },
	{ "name", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .help = "the new volume's name" },
	{ "capacity", 0, CLI_SIZE, CLI_POSITIONAL | CLI_REQUIRED, .value = "SIZE",
		.help = "how large the guest sees it" },
	{ "allocation", 0, CLI_SIZE, .value = "SIZE", .help = "how much room to take at once" },
	{ "format", 0, CLI_TEXT, .help = "raw, qcow2, … (default: the pool's)" },
	{ "backing-vol", 0, CLI_TEXT, .value = "PATH", .help = "what it is an overlay of" },
	{ "backing-vol-format", 0, CLI_TEXT, .value = "FORMAT", .help = "and that one's format" },
	CLIENT_OPTIONS,
	{ NULL },
};

static void append(GString *s, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static void append(GString *s, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = g_markup_vprintf_escaped(fmt, ap);
	va_end(ap);
	g_string_append(s, text);
}

static char *volume_xml(struct cli *c)
{
	GString *s = g_string_new("<volume>");
	const char *backing = cli_text(c, "backing-vol");

	append(s, "<name>%s</name>", cli_text(c, "name"));
	g_string_append_printf(
		s, "<capacity>%" G_GUINT64_FORMAT "</capacity>", cli_size(c, "capacity", 0));
	if (cli_has(c, "allocation"))
		g_string_append_printf(s, "<allocation>%" G_GUINT64_FORMAT "</allocation>",
			cli_size(c, "allocation", 0));
	if (cli_text(c, "format"))
		append(s, "<target><format type='%s'/></target>", cli_text(c, "format"));
	if (backing)
		append(s, "<backingStore><path>%s</path><format type='%s'/></backingStore>",
			backing,
			cli_text(c, "backing-vol-format") ? cli_text(c, "backing-vol-format")
							  : "qcow2");
	g_string_append(s, "</volume>");
	return g_string_free(s, FALSE);
}

static int create_as_run(struct cli *c, GError **error)
{
	g_autofree char *xml = volume_xml(c);

	return daemon_do_xml(c, "POST", client_path("/pools/%s/volumes", cli_text(c, "pool")), xml,
		"The volume is made", error);
}

static const struct cli_option create_options[] = {
	{ "pool", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .help = "the pool",
		.complete = COMPLETE_POOL },
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "libvirt volume XML; - reads it from the standard input" },
	CLIENT_OPTIONS,
	{ NULL },
};

static int create_run(struct cli *c, GError **error)
{
	g_autofree char *xml = daemon_read_file(cli_text(c, "file"), error);

	return xml ? daemon_do_xml(c, "POST", client_path("/pools/%s/volumes", cli_text(c, "pool")),
			     xml, "The volume is made", error)
		   : -1;
}

static const struct cli_option clone_options[] = {
	VOLUME_ARGUMENT,
	{ "newname", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .value = "NAME",
		.help = "the copy's name" },
	POOL_OPTION,
	CLIENT_OPTIONS,
	{ NULL },
};

static int clone_run(struct cli *c, GError **error)
{
	g_autofree char *xml =
		g_markup_printf_escaped("<volume><name>%s</name></volume>", cli_text(c, "newname"));

	return daemon_do_xml(c, "POST",
		client_path("/pools/%s/volumes?from=%s", pool_of(c), cli_text(c, "vol")), xml,
		"The volume is copied", error);
}

static const struct cli_option resize_options[] = {
	VOLUME_ARGUMENT,
	{ "capacity", 0, CLI_SIZE, CLI_POSITIONAL | CLI_REQUIRED, .value = "SIZE",
		.help = "its new size" },
	{ "shrink", 0, CLI_FLAG, .help = "it may become smaller: what is behind the end is lost" },
	POOL_OPTION,
	CLIENT_OPTIONS,
	{ NULL },
};

static int resize_run(struct cli *c, GError **error)
{
	return daemon_do(c, "PATCH", volume_path(c, ""),
		json_pack("{s:I, s:b}", "capacity", (json_int_t)cli_size(c, "capacity", 0),
			"shrink", cli_flag(c, "shrink")),
		"Done", error);
}

static int delete_run(struct cli *c, GError **error)
{
	return daemon_do(c, "DELETE", volume_path(c, ""), NULL, "The volume is gone", error);
}

/* ---- carrying ---- */

static const struct cli_option transfer_options[] = {
	VOLUME_ARGUMENT,
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "the file here" },
	POOL_OPTION,
	{ "sparse", 0, CLI_FLAG, CLI_HIDDEN },
	CLIENT_OPTIONS,
	{ NULL },
};

static int transfer_run(struct cli *c, GError **error)
{
	bool up = !strcmp(c->verb->name, "vol-upload");
	const char *file = cli_text(c, "file");
	int fd = open(
		file, up ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	g_autofree char *path = volume_path(c, "/data");
	struct client *cl;
	int status = -1;

	if (fd < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "%s: cannot open it", file);
	cli_catch_signals(c);
	cl = client_open(c, error);
	if (cl)
		status = up ? client_upload(cl, path, fd, "Sending", error)
			    : client_download(cl, path, fd, "Receiving", error);
	client_close(cl);
	if (close(fd) < 0 && !status)
		status = fail_errno(error, LODGE_ERROR_FILE, errno, "%s: cannot write it", file);
	return status;
}

static const struct cli_verb verbs[] = {
	{ "vol-list", "List a pool's volumes", NULL, list_options, list_run },
	{ "vol-info", "Tell about a volume", NULL, volume_options, info_run },
	{ "vol-path", "Tell where a volume is", NULL, volume_options, path_run },
	{ "vol-dumpxml", "Show a volume's definition", NULL, volume_options, dumpxml_run },
	{ "vol-create-as", "Make a volume", NULL, create_as_options, create_as_run },
	{ "vol-create", "Make the volume of an XML file", NULL, create_options, create_run },
	{ "vol-clone", "Copy a volume", NULL, clone_options, clone_run },
	{ "vol-resize", "Change a volume's size", NULL, resize_options, resize_run },
	{ "vol-delete", "Delete a volume and its data", NULL, volume_options, delete_run },
	{ "vol-upload", "Write a file into a volume", NULL, transfer_options, transfer_run },
	{ "vol-download", "Read a volume into a file", NULL, transfer_options, transfer_run },
	{ NULL },
};

const struct cli_group cli_volumes = { "volumes", "Volumes", verbs };
