/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spec.c: what a person asked for: making, reading and freeing it. */
#include "vm/spec.h"

#include <string.h>

#include "base/error.h"
#include "core/stream.h"

static void value_clear(void *v)
{
	g_free(((struct part_value *)v)->name);
	g_free(((struct part_value *)v)->value);
}

static void part_free(void *opaque)
{
	struct part *p = opaque;

	g_free(p->id);
	g_array_unref(p->values);
	g_free(p);
}

struct part *part_new(const struct part_kind *kind)
{
	struct part *p = g_new0(struct part, 1);

	p->kind = kind;
	p->values = g_array_new(FALSE, FALSE, sizeof(struct part_value));
	g_array_set_clear_func(p->values, value_clear);
	return p;
}

const char *part_get(const struct part *p, const char *name)
{
	for (guint i = p->values->len; i-- > 0;) {
		const struct part_value *v = &g_array_index(p->values, struct part_value, i);

		if (strcmp(v->name, name) == 0)
			return v->value;
	}
	return NULL;
}

int part_get_bool(const struct part *p, const char *name, bool dflt, GError **error)
{
	const struct field f = { .name = name, .kind = FIELD_BOOL, .count = 1 };
	const char *text = part_get(p, name);
	g_autoptr(GError) why = NULL;
	bool v = dflt;

	if (text && field_parse(&f, &v, text, &why) < 0)
		return fail(error, LODGE_ERROR_USAGE, "--%s: property %s: %s", p->kind->name, name,
			why->message);
	return v;
}

void vm_spec_init(struct vm_spec *s)
{
	*s = (struct vm_spec){ .parts = g_ptr_array_new_with_free_func(part_free) };
	for (const struct vm_option *o = vm_options; o->name; o++) {
		if (!o->part && o->field.dflt && field_parse(&o->field, s, o->field.dflt, NULL) < 0)
			g_error("option %s: bad default", o->name);
	}
}

void vm_spec_fini(struct vm_spec *s)
{
	for (const struct vm_option *o = vm_options; o->name; o++) {
		if (!o->part && o->field.kind == FIELD_STRING)
			g_clear_pointer((char **)((char *)s + o->field.offset), g_free);
	}
	g_clear_pointer(&s->parts, g_ptr_array_unref);
}
