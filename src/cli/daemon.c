/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon.c: what the commands that talk to the daemon share, see daemon.h. */
#include "cli/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "base/error.h"
#include "base/size.h"

enum { DEFINITION_MAX = 16 << 20 };

json_t *daemon_ask(struct cli *c, const char *method, char *path, json_t *body, int *ret_status,
	GError **error)
{
	struct client *cl = client_open(c, error);
	json_t *v = NULL;

	*ret_status = -1;
	if (cl)
		v = client_call(cl, method, path, body, error);
	else
		json_decref(body);
	if (v)
		v = client_finish(cl, v, error);
	client_close(cl);
	g_free(path);
	if (v)
		*ret_status = 0;
	if (v && c->json) {
		cli_print_json(v);
		return NULL;
	}
	return v;
}

int daemon_do(struct cli *c, const char *method, char *path, json_t *body, const char *done,
	GError **error)
{
	int status;
	json_t *v = daemon_ask(c, method, path, body, &status, error);

	if (v)
		cli_note(c, "%s", done);
	json_decref(v);
	return status;
}

int daemon_do_xml(struct cli *c, const char *method, char *path, const char *xml, const char *done,
	GError **error)
{
	struct client *cl = client_open(c, error);
	json_t *v = cl ? client_send_xml(cl, method, path, xml, error) : NULL;

	if (v)
		v = client_finish(cl, v, error);
	client_close(cl);
	g_free(path);
	if (!v)
		return -1;
	if (c->json)
		cli_print_json(v);
	else
		json_decref(v);
	cli_note(c, "%s", done);
	return 0;
}

int daemon_print_xml(struct cli *c, char *path, GError **error)
{
	struct client *cl = client_open(c, error);
	g_autofree char *text = cl ? client_text(cl, path, error) : NULL;

	client_close(cl);
	g_free(path);
	if (!text)
		return -1;
	if (c->json)
		cli_print_json(json_pack("{s:s}", "xml", text));
	else
		fputs(text, stdout);
	return 0;
}

char *daemon_read_file(const char *path, GError **error)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	g_autoptr(GString) s = g_string_new(NULL);
	char buf[65536];
	size_t n;

	if (!f) {
		fail_errno(error, LODGE_ERROR_FILE, errno, "%s: cannot read it", path);
		return NULL;
	}
	while ((n = fread(buf, 1, sizeof(buf), f)) && s->len <= DEFINITION_MAX)
		g_string_append_len(s, buf, n);
	if (ferror(f))
		fail_errno(error, LODGE_ERROR_FILE, errno, "%s: cannot read it", path);
	else if (s->len > DEFINITION_MAX)
		fail(error, LODGE_ERROR_FILE, "%s: more than 16 MiB is no definition", path);
	if (f != stdin)
		fclose(f);
	return error && *error ? NULL : g_strdup(s->str);
}

/* ---- editing ---- */

static int run_editor(const char *path, GError **error)
{
	const char *editor = g_getenv("VISUAL") ? g_getenv("VISUAL") : g_getenv("EDITOR");
	g_autofree char *quoted = g_shell_quote(path);
	g_autofree char *command =
		g_strdup_printf("%s %s", editor ? editor : "sensible-editor", quoted);
	char *argv[] = { "/bin/sh", "-c", command, NULL };
	int status;

	if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL, NULL,
		    &status, error))
		return -1;
	if (!g_spawn_check_wait_status(status, NULL))
		return fail(error, LODGE_ERROR_HOST,
			"the editor '%s' failed; set EDITOR to another one",
			editor ? editor : "sensible-editor");
	return 0;
}

/* After a refusal: whether to open the editor again. */
static bool again(const GError *why)
{
	char line[16];

	fprintf(stderr, "lodge: %s\n", why->message);
	if (!isatty(STDIN_FILENO))
		return false;
	fputs("Edit again? [Y/n] ", stderr);
	return fgets(line, sizeof(line), stdin) && *line != 'n' && *line != 'N';
}

static int edit_loop(struct cli *c, struct client *cl, const char *file, const char *before,
	const char *put, const char *what, GError **error)
{
	for (;;) {
		g_autofree char *text = NULL;
		g_autoptr(GError) refused = NULL;
		json_t *v;

		if (run_editor(file, error) < 0 || !(text = daemon_read_file(file, error)))
			return -1;
		if (!strcmp(text, before)) {
			cli_note(c, "%s was not changed", what);
			return 0;
		}
		v = client_send_xml(cl, "POST", put, text, &refused);
		if (v) {
			json_decref(v);
			c->error_status = 0;
			cli_note(c, "%s was changed", what);
			return 0;
		}
		if (!again(refused)) {
			g_propagate_error(error, g_steal_pointer(&refused));
			return -1;
		}
	}
}

int daemon_edit_xml(struct cli *c, char *get, char *put, const char *what, GError **error)
{
	struct client *cl = client_open(c, error);
	g_autofree char *before = cl ? client_text(cl, get, error) : NULL, *file = NULL;
	int fd = -1, status = -1;

	if (before && (fd = g_file_open_tmp("lodge-XXXXXX.xml", &file, error)) >= 0) {
		close(fd);
		if (g_file_set_contents(file, before, -1, error))
			status = edit_loop(c, cl, file, before, put, what, error);
		g_unlink(file);
	}
	client_close(cl);
	g_free(get);
	g_free(put);
	return status;
}

/* ---- members ---- */

const char *member_text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s && *s ? s : "-";
}

char *member_size(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return json_is_integer(v) ? size_format((uint64_t)json_integer_value(v)) : g_strdup("-");
}

json_int_t member_int(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

bool member_bool(const json_t *o, const char *name)
{
	return json_is_true(json_object_get(o, name));
}
