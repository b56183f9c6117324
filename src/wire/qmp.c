/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qmp.c: QMP framing, see qmp.h. Spec: QEMU Machine Protocol Specification; RFC 8259. */
#include "wire/qmp.h"

#include <string.h>

static const char too_long[] = "JSON message is longer than 1 MiB";
static const char too_deep[] = "JSON nesting is deeper than 64";

void qmp_reader_init(struct qmp_reader *r)
{
	*r = (struct qmp_reader){ .text = g_string_new(NULL) };
}

void qmp_reader_fini(struct qmp_reader *r)
{
	if (r->text)
		g_string_free(r->text, TRUE);
	r->text = NULL;
}

static void restart(struct qmp_reader *r)
{
	g_string_truncate(r->text, 0);
	r->depth = 0;
	r->in_string = r->in_escape = r->in_word = false;
	r->broken = NULL;
}

static void keep(struct qmp_reader *r, char c)
{
	if (r->broken)
		return;
	if (r->text->len >= QMP_VALUE_MAX)
		r->broken = too_long;
	else
		g_string_append_c(r->text, c);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Takes one byte; true if it ended a value, or made going on with it pointless. */
static bool take(struct qmp_reader *r, char c)
{
	if ((unsigned char)c == 0xff) { /* never in UTF-8: a peer's way to say "start afresh" */
		if (r->text->len)
			r->broken = "JSON message was abandoned";
		return r->text->len;
	}
	if (r->in_string) {
		keep(r, c);
		if (c == '\n') { /* not allowed there: the line is lost, not the connection */
			r->broken = "JSON string is not closed";
			return true;
		}
		if (r->in_escape || c == '\\')
			r->in_escape = !r->in_escape;
		else if (c == '"')
			r->in_string = false;
		return !r->in_string && !r->depth;
	}
	if (r->in_word && (is_space(c) || strchr("{}[]\"", c)))
		return true; /* c itself comes again */
	if (is_space(c)) {
		if (r->text->len)
			keep(r, c);
		return false;
	}
	keep(r, c);
	switch (c) {
	case '"':
		r->in_string = true;
		return false;
	case '{':
	case '[':
		/* Counted on, so that the end is found; the text is not kept. */
		if (++r->depth > QMP_DEPTH_MAX && !r->broken)
			r->broken = too_deep;
		return false;
	case '}':
	case ']':
		if (!r->depth)
			return true;
		return --r->depth == 0;
	default:
		r->in_word = !r->depth;
		return false;
	}
}

static enum qmp_status finish(struct qmp_reader *r, json_t **ret_message, char **ret_error)
{
	json_error_t e;
	json_t *v = NULL;

	if (r->broken) {
		*ret_error = g_strdup(r->broken);
	} else {
		v = json_loadb(r->text->str, r->text->len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES,
			       &e);
		if (!v)
			*ret_error = g_strdup_printf("JSON parse error, %s", e.text);
	}
	restart(r);
	if (!v)
		return QMP_BROKEN;
	*ret_message = v;
	return QMP_MESSAGE;
}

enum qmp_status qmp_read(struct qmp_reader *r, const char **p, size_t *n, json_t **ret_message,
	char **ret_error)
{
	while (*n) {
		bool word = r->in_word;
		bool end = take(r, **p);

		/* What ends a bare word belongs to the next value. */
		if (!end || !word) {
			++*p;
			--*n;
		}
		if (end)
			return finish(r, ret_message, ret_error);
	}
	return QMP_MORE;
}

static json_t *with_id(json_t *message, json_t *id)
{
	if (id)
		json_object_set_new(message, "id", id);
	return message;
}

json_t *qmp_reply(json_t *data, json_t *id)
{
	return with_id(json_pack("{s:o}", "return", data ? data : json_object()), id);
}

json_t *qmp_error(const char *error_class, const char *text, json_t *id)
{
	/* Texts may quote a client's or a file name's bytes; JSON takes UTF-8 only. */
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	return with_id(json_pack("{s:{s:s, s:s}}", "error", "class", error_class, "desc", valid), id);
}

json_t *qmp_event(const char *name, json_t *data)
{
	int64_t now = g_get_real_time();
	json_t *e = json_pack("{s:{s:I, s:I}, s:s}", "timestamp", "seconds",
			      (json_int_t)(now / G_USEC_PER_SEC), "microseconds",
			      (json_int_t)(now % G_USEC_PER_SEC), "event", name);

	if (data)
		json_object_set_new(e, "data", data);
	return e;
}

json_t *qmp_greeting(json_t *version)
{
	return json_pack("{s:{s:o, s:[]}}", "QMP", "version", version, "capabilities");
}

static int append(const char *buffer, size_t size, void *opaque)
{
	g_byte_array_append(opaque, (const guint8 *)buffer, size);
	return 0;
}

void qmp_print(GByteArray *out, const json_t *message)
{
	json_dump_callback(message, append, out, JSON_ENSURE_ASCII);
	g_byte_array_append(out, (const guint8 *)"\r\n", 2);
}
