/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device.c: the life of a device instance. */
#include "core/device.h"

#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "core/machine.h"
#include "core/stream.h"

/* Frees strings and blobs of a table; a field named in two tables is freed once. */
static void table_clear(const struct field *f, void *object)
{
	for (; f && f->name; f++) {
		char *at = (char *)object + f->offset;

		if (f->kind == FIELD_STRING) {
			g_clear_pointer((char **)at, g_free);
		} else if (f->kind == FIELD_BLOB) {
			g_clear_pointer((GByteArray **)at, g_byte_array_unref);
		} else if (f->kind == FIELD_STRUCT) {
			for (uint32_t i = 0; i < f->count; i++)
				table_clear(f->sub, at + (size_t)i * f->stride);
		}
	}
}

void device_free(struct device *d)
{
	const struct device_class *cls = d->cls;

	if (cls->fini)
		cls->fini(d);
	table_clear(cls->config, d);
	table_clear(cls->state, d);
	g_rec_mutex_clear(&d->lock);
	g_free(d->id);
	g_free(d);
}

struct device *device_new(struct machine *m, const struct device_class *cls, const char *id)
{
	struct device *d = g_malloc0(cls->size);

	d->cls = cls;
	d->machine = m;
	d->id = g_strdup(id);
	g_rec_mutex_init(&d->lock);
	for (const struct field *f = cls->config; f && f->name; f++) {
		g_autoptr(GError) error = NULL;

		if (f->dflt && field_parse(f, d, f->dflt, &error) < 0)
			g_error("class %s: default of %s: %s", cls->name, f->name, error->message);
	}
	return d;
}

int device_set(struct device *d, const char *name, const char *value, GError **error)
{
	g_autofree char *hint = NULL;
	struct nearest near;

	nearest_init(&near, name);
	for (const struct field *f = d->cls->config; f && f->name; f++) {
		if (strcmp(f->name, name) == 0) {
			g_autoptr(GError) why = NULL;

			if (field_parse(f, d, value, &why) == 0)
				return 0;
			return fail(error, LODGE_ERROR_USAGE, "%s: property %s: %s", d->cls->name,
				name, why->message);
		}
		nearest_offer(&near, f->name);
	}
	hint = nearest_hint(&near);
	return fail(
		error, LODGE_ERROR_USAGE, "%s has no property '%s'%s", d->cls->name, name, hint);
}

struct device *device_find(struct machine *m, const char *id)
{
	for (unsigned i = 0; i < m->devices->len; i++) {
		struct device *d = g_ptr_array_index(m->devices, i);

		if (strcmp(d->id, id) == 0)
			return d;
	}
	return NULL;
}

int device_add(struct device *d, GError **error)
{
	int rc;

	if (device_find(d->machine, d->id)) {
		rc = fail(
			error, LODGE_ERROR_USAGE, "there are two devices with the id '%s'", d->id);
		device_free(d);
		return rc;
	}
	if (d->cls->init && d->cls->init(d, error) < 0) {
		device_free(d);
		return -1;
	}
	d->inited = true;
	g_ptr_array_add(d->machine->devices, d);
	return 0;
}

void device_remove(struct device *d)
{
	g_ptr_array_remove(d->machine->devices, d);
	device_free(d);
}

void device_lock(struct device *d)
{
	g_rec_mutex_lock(&d->lock);
}

void device_unlock(struct device *d)
{
	g_rec_mutex_unlock(&d->lock);
}
