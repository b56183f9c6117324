/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.h: what must survive: every object's definition, in one SQLite file. A call that returned 0
 * is on the disk. Any thread.
 */
#ifndef MANAGER_STORE_H
#define MANAGER_STORE_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Opens or makes it, brings its schema up to date; a newer schema is refused. */
struct store *store_open(const char *path, GError **error);
void store_close(struct store *s);

/* One object: kind is "domain", "network", "pool", "nwfilter", "secret", "snapshot" (parent: its
 * domain), …; `definition` its kept XML, `status` the run-time part as JSON (NULL: none), which a
 * restarted daemon finds running things by. Borrowed in put, valid during the callback in each. */
struct store_record {
	const char *kind;
	uint8_t uuid[16];
	uint8_t parent[16];     /* zeroes: none */
	const char *name;       /* unique by kind and parent */
	const char *definition; /* NULL: transient */
	const char *status;
	bool autostart;
};

/* Inserts or replaces by kind and uuid. A name that another object has fails. */
int store_put(struct store *s, const struct store_record *r, GError **error);
/* Only the run-time part. */
int store_put_status(struct store *s, const char *kind, const uint8_t uuid[16], const char *status,
	GError **error);
int store_remove(struct store *s, const char *kind, const uint8_t uuid[16], GError **error);
int store_each(struct store *s, const char *kind,
	void (*fn)(const struct store_record *r, void *opaque), void *opaque, GError **error);
/* Several changes as one: begin, then commit or roll back, on one thread. */
int store_begin(struct store *s, GError **error);
int store_commit(struct store *s, GError **error);
void store_rollback(struct store *s);

#endif
