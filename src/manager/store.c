/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.c: definitions in SQLite: a write-ahead log, synced on each commit. One connection behind
 * one lock; a transaction belongs to the thread that began it, others wait for its end.
 */
#include "manager/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/own.h"
#include "manager/error.h"

enum { STORE_UUID = 16 };

struct store {
	GRecMutex lock; /* held from begin to commit or roll back */
	sqlite3 *db;
	sqlite3_stmt *put, *put_status, *remove, *each;
	bool in_transaction; /* by whoever holds the lock */
	int lock_fd;         /* keeps a second daemon out */
};

/* One entry a schema version; what stands here never changes, new versions are appended. */
static const char *const migrations[] = {
	"CREATE TABLE object ("
	" kind TEXT NOT NULL, uuid BLOB NOT NULL, parent BLOB NOT NULL, name TEXT NOT NULL,"
	" definition TEXT, status TEXT, autostart INTEGER NOT NULL DEFAULT 0,"
	" PRIMARY KEY (kind, uuid)) WITHOUT ROWID;"
	"CREATE UNIQUE INDEX object_name ON object (kind, parent, name);",
	/* Children are found by their parent, also when there are thousands. */
	"CREATE INDEX object_parent ON object (parent, kind);",
};

static int store_fail(struct store *s, const char *what, GError **error)
{
	int rc = sqlite3_errcode(s->db);

	return refuse(error, MANAGER_ERR_SYSTEM,
		rc == SQLITE_FULL ? "cannot %s the store: the disk is full"
				  : "cannot %s the store: %s",
		what, sqlite3_errmsg(s->db));
}

static int run(struct store *s, const char *sql, const char *what, GError **error)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_fail(s, what, error);
	return 0;
}

static int schema_version(struct store *s, int *ret, GError **error)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK)
		return store_fail(s, "read", error);
	*ret = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int(st, 0) : 0;
	sqlite3_finalize(st);
	return 0;
}

static int migrate(struct store *s, const char *path, GError **error)
{
	int version = 0;

	if (schema_version(s, &version, error) < 0)
		return -1;
	if (version > (int)array_len(migrations))
		return refuse(error, MANAGER_ERR_INTERNAL,
			"%s was written by a newer lodged (schema %d, this one knows %zu)", path,
			version, array_len(migrations));
	for (; version < (int)array_len(migrations); version++) {
		g_autofree char *sql =
			g_strdup_printf("BEGIN IMMEDIATE;%s;PRAGMA user_version=%d;COMMIT",
				migrations[version], version + 1);

		if (run(s, sql, "update", error) < 0) {
			sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
			return -1;
		}
	}
	return 0;
}

static int prepare(struct store *s, sqlite3_stmt **st, const char *sql, GError **error)
{
	if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
		return store_fail(s, "prepare", error);
	return 0;
}

static int lock_out_others(struct store *s, const char *path, GError **error)
{
	g_autofree char *lock = g_strdup_printf("%s.lock", path);

	s->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return refuse(
			error, MANAGER_ERR_SYSTEM, "cannot open %s: %s", lock, g_strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return refuse(
			error, MANAGER_ERR_RESOURCE_BUSY, "%s is in use by another lodged", path);
	return 0;
}

static int setup(struct store *s, const char *path, GError **error)
{
	if (lock_out_others(s, path, error) < 0)
		return -1;
	if (sqlite3_open_v2(path, &s->db,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
		    NULL) != SQLITE_OK)
		return store_fail(s, "open", error);
	sqlite3_busy_timeout(s->db, 5000);
	/* Exclusive: the lock above says so already, and no shared memory file is needed. */
	if (run(s,
		    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA "
		    "synchronous=FULL;"
		    "PRAGMA foreign_keys=ON; PRAGMA journal_size_limit=4194304;",
		    "open", error) < 0)
		return -1;
	if (migrate(s, path, error) < 0)
		return -1;
	/* A plain REPLACE would throw another object with this name away: a conflict must fail. */
	if (prepare(s, &s->put,
		    "INSERT INTO object (kind, uuid, parent, name, definition, status, autostart)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (kind, uuid) DO UPDATE SET"
		    " parent=?3, name=?4, definition=?5, status=?6, autostart=?7",
		    error) < 0 ||
		prepare(s, &s->put_status, "UPDATE object SET status=?3 WHERE kind=?1 AND uuid=?2",
			error) < 0 ||
		prepare(s, &s->remove, "DELETE FROM object WHERE kind=?1 AND uuid=?2", error) < 0)
		return -1;
	return prepare(s, &s->each,
		"SELECT uuid, parent, name, definition, status, autostart FROM object"
		" WHERE kind=?1 ORDER BY name",
		error);
}

struct store *store_open(const char *path, GError **error)
{
	struct store *s = g_new0(struct store, 1);

	g_rec_mutex_init(&s->lock);
	s->lock_fd = -1;
	if (setup(s, path, error) == 0)
		return s;
	store_close(s);
	return NULL;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	sqlite3_finalize(s->put);
	sqlite3_finalize(s->put_status);
	sqlite3_finalize(s->remove);
	sqlite3_finalize(s->each);
	sqlite3_close(s->db);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	g_rec_mutex_clear(&s->lock);
	g_free(s);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	if (text)
		sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(st, at);
}

/* Runs a bound statement that returns nothing. */
static int finish(struct store *s, sqlite3_stmt *st, GError **error)
{
	int rc = sqlite3_step(st), result = 0;

	if (rc != SQLITE_DONE)
		result = store_fail(s, "write", error);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	/* A full disk may have ended the whole transaction. */
	if (result < 0 && s->in_transaction && sqlite3_get_autocommit(s->db))
		s->in_transaction = false;
	return result;
}

int store_put(struct store *s, const struct store_record *r, GError **error)
{
	int rc;

	g_rec_mutex_lock(&s->lock);
	bind_text(s->put, 1, r->kind);
	sqlite3_bind_blob(s->put, 2, r->uuid, STORE_UUID, SQLITE_STATIC);
	sqlite3_bind_blob(s->put, 3, r->parent, STORE_UUID, SQLITE_STATIC);
	bind_text(s->put, 4, r->name);
	bind_text(s->put, 5, r->definition);
	bind_text(s->put, 6, r->status);
	sqlite3_bind_int(s->put, 7, r->autostart);
	rc = finish(s, s->put, error);
	g_rec_mutex_unlock(&s->lock);
	return rc;
}

int store_put_status(struct store *s, const char *kind, const uint8_t uuid[16], const char *status,
	GError **error)
{
	int rc;

	g_rec_mutex_lock(&s->lock);
	bind_text(s->put_status, 1, kind);
	sqlite3_bind_blob(s->put_status, 2, uuid, STORE_UUID, SQLITE_STATIC);
	bind_text(s->put_status, 3, status);
	rc = finish(s, s->put_status, error);
	g_rec_mutex_unlock(&s->lock);
	return rc;
}

int store_remove(struct store *s, const char *kind, const uint8_t uuid[16], GError **error)
{
	int rc;

	g_rec_mutex_lock(&s->lock);
	bind_text(s->remove, 1, kind);
	sqlite3_bind_blob(s->remove, 2, uuid, STORE_UUID, SQLITE_STATIC);
	rc = finish(s, s->remove, error);
	g_rec_mutex_unlock(&s->lock);
	return rc;
}

static void take_uuid(sqlite3_stmt *st, int column, uint8_t uuid[STORE_UUID])
{
	const void *p = sqlite3_column_blob(st, column);

	if (p && sqlite3_column_bytes(st, column) == STORE_UUID)
		memcpy(uuid, p, STORE_UUID);
}

int store_each(struct store *s, const char *kind,
	void (*fn)(const struct store_record *r, void *opaque), void *opaque, GError **error)
{
	int rc;

	g_rec_mutex_lock(&s->lock);
	bind_text(s->each, 1, kind);
	while ((rc = sqlite3_step(s->each)) == SQLITE_ROW) {
		struct store_record r = { .kind = kind };

		take_uuid(s->each, 0, r.uuid);
		take_uuid(s->each, 1, r.parent);
		r.name = (const char *)sqlite3_column_text(s->each, 2);
		r.definition = (const char *)sqlite3_column_text(s->each, 3);
		r.status = (const char *)sqlite3_column_text(s->each, 4);
		r.autostart = sqlite3_column_int(s->each, 5);
		fn(&r, opaque);
	}
	rc = rc == SQLITE_DONE ? 0 : store_fail(s, "read", error);
	sqlite3_reset(s->each);
	sqlite3_clear_bindings(s->each);
	g_rec_mutex_unlock(&s->lock);
	return rc;
}

int store_begin(struct store *s, GError **error)
{
	g_rec_mutex_lock(&s->lock);
	if (run(s, "BEGIN IMMEDIATE", "write", error) < 0) {
		g_rec_mutex_unlock(&s->lock);
		return -1;
	}
	s->in_transaction = true;
	return 0;
}

int store_commit(struct store *s, GError **error)
{
	int rc = s->in_transaction ? run(s, "COMMIT", "write", error)
				   : refuse(error, MANAGER_ERR_SYSTEM,
					     "cannot write the store: the change was undone");

	if (rc < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	s->in_transaction = false;
	g_rec_mutex_unlock(&s->lock);
	return rc;
}

void store_rollback(struct store *s)
{
	if (s->in_transaction)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	s->in_transaction = false;
	g_rec_mutex_unlock(&s->lock);
}
