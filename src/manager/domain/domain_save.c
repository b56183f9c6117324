/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_save.c: machines in files: lodge-vm's saved state, and behind its end a note with the
 * document it ran by. Spec: docs/state-format.md.
 *
 *     state  "LODGENTE"  text of JSON  u64 its length, little endian  "LODGENTE"
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/domain/domain_priv.h"
#include "manager/error.h"

enum { NOTE_MAX = 16 << 20, SAVE_TIMEOUT = 30 * 60 * 1000 };
static const char magic[8] = "LODGENTE"; /* exactly: no end byte */

/* ---- the note ---- */

static int write_note(int fd, const char *text, GError **error)
{
	g_autoptr(GByteArray) b = g_byte_array_new();
	uint64_t len = GUINT64_TO_LE(strlen(text));

	g_byte_array_append(b, (const uint8_t *)magic, sizeof(magic));
	g_byte_array_append(b, (const uint8_t *)text, (guint)strlen(text));
	g_byte_array_append(b, (const uint8_t *)&len, sizeof(len));
	g_byte_array_append(b, (const uint8_t *)magic, sizeof(magic));
	for (size_t done = 0; done < b->len;) {
		ssize_t n = write(fd, b->data + done, b->len - done);

		if (n < 0)
			return refuse(error, MANAGER_ERR_SYSTEM,
				"cannot write the saved machine: %s", g_strerror(errno));
		done += (size_t)n;
	}
	if (fdatasync(fd) < 0)
		return refuse(error, MANAGER_ERR_SYSTEM, "cannot write the saved machine: %s",
			g_strerror(errno));
	return 0;
}

static int not_ours(const char *path, GError **error)
{
	return refuse(
		error, MANAGER_ERR_OPERATION_FAILED, "%s is no machine that Lodge saved", path);
}

/* The JSON; *ret_at: where the note begins. The descriptor stays the caller's. */
static json_t *read_note(int fd, const char *path, off_t *ret_at, GError **error)
{
	struct {
		uint64_t len;
		char magic[8];
	} tail;
	off_t size = lseek(fd, 0, SEEK_END), at;
	g_autofree char *text = NULL;
	char head[8];
	json_t *note;

	if (size < (off_t)(sizeof(tail) + sizeof(magic)) ||
		pread(fd, &tail, sizeof(tail), size - sizeof(tail)) != sizeof(tail) ||
		memcmp(tail.magic, magic, sizeof(magic)) != 0) {
		not_ours(path, error);
		return NULL;
	}
	tail.len = GUINT64_FROM_LE(tail.len);
	if (tail.len > NOTE_MAX || (off_t)(tail.len + sizeof(tail) + sizeof(magic)) > size) {
		not_ours(path, error);
		return NULL;
	}
	at = size - (off_t)(sizeof(tail) + tail.len + sizeof(magic));
	text = g_malloc(tail.len);
	if (pread(fd, head, sizeof(head), at) != sizeof(head) ||
		memcmp(head, magic, sizeof(head)) != 0 ||
		pread(fd, text, tail.len, at + (off_t)sizeof(head)) != (ssize_t)tail.len) {
		not_ours(path, error);
		return NULL;
	}
	note = json_loadb(text, tail.len, 0, NULL);
	if (!note || !json_is_string(json_object_get(note, "xml"))) {
		json_decref(note);
		not_ours(path, error);
		return NULL;
	}
	*ret_at = at;
	return note;
}

static int open_saved(const char *path, int mode, GError **error)
{
	int fd = open(path, mode | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return refuse(error, MANAGER_ERR_OPERATION_FAILED, "cannot open %s: %s", path,
			g_strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return not_ours(path, error);
	}
	return fd;
}

static json_t *note_of(const char *path, GError **error)
{
	int fd = open_saved(path, O_RDONLY, error);
	off_t at;
	json_t *note;

	if (fd < 0)
		return NULL;
	note = read_note(fd, path, &at, error);
	close(fd);
	return note;
}

char *domain_save_xml(const char *from, GError **error)
{
	json_t *note = note_of(from, error);
	struct domain_config *c;
	char *xml = NULL;

	if (!note)
		return NULL;
	c = domain_config_parse(json_string_value(json_object_get(note, "xml")), 0, error);
	if (c)
		xml = g_strdup(c->xml);
	domain_config_unref(c);
	json_decref(note);
	return xml;
}

/* What a saved machine may become: the same one, with other host ends. */
static int check_same(
	const struct domain_config *was, const struct domain_config *is, GError **error)
{
	if (memcmp(was->uuid, is->uuid, 16) != 0 || strcmp(was->name, is->name) != 0 ||
		was->memory_kib != is->memory_kib || was->vcpus != is->vcpus ||
		was->devices->len != is->devices->len)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"the definition is of another machine than the saved one");
	return 0;
}

int domain_save_set_xml(const char *from, const char *xml, unsigned flags, GError **error)
{
	int fd = open_saved(from, O_RDWR, error), rc = -1;
	struct domain_config *was = NULL, *is = NULL;
	off_t at = 0;
	json_t *note;
	char *text;

	if (fd < 0)
		return -1;
	note = read_note(fd, from, &at, error);
	if (note)
		was = domain_config_parse(
			json_string_value(json_object_get(note, "xml")), 0, error);
	if (was)
		is = domain_config_parse(xml, 0, error);
	if (is && check_same(was, is, error) == 0) {
		json_object_set_new(note, "xml", json_string(is->xml));
		if (flags & (SAVE_RUNNING | SAVE_PAUSED))
			json_object_set_new(note, "running", json_boolean(flags & SAVE_RUNNING));
		text = json_dumps(note, JSON_COMPACT);
		if (ftruncate(fd, at) < 0 || lseek(fd, at, SEEK_SET) < 0)
			refuse(error, MANAGER_ERR_SYSTEM, "cannot change %s: %s", from,
				g_strerror(errno));
		else
			rc = write_note(fd, text, error);
		free(text);
	}
	domain_config_unref(was);
	domain_config_unref(is);
	json_decref(note);
	close(fd);
	return rc;
}

/* ---- saving ---- */

static char *make_note(const struct domain *d, const struct domain_config *c, bool running)
{
	json_t *note = json_pack("{s:s, s:b, s:i}", "xml", c->xml, "running", (int)running, "vcpus",
		(int)d->boot_vcpus);
	char *text = json_dumps(note, JSON_COMPACT), *copy = g_strdup(text);

	free(text);
	json_decref(note);
	return copy;
}

static int add_note(const char *part, const char *note, GError **error)
{
	int fd = open(part, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW), rc;

	if (fd < 0)
		return refuse(
			error, MANAGER_ERR_SYSTEM, "cannot open %s: %s", part, g_strerror(errno));
	rc = write_note(fd, note, error);
	close(fd);
	return rc;
}

/* Paused already. The file appears whole or not at all. */
static int write_file(
	struct domain *d, const char *to, const char *xml, bool running, GError **error)
{
	g_autofree char *part = g_strconcat(to, ".part", NULL), *note = NULL;
	struct domain_config *live = domain_config_for(d, AFFECT_LIVE, error), *other;
	json_t *result;
	int rc = -1;

	if (!live)
		return -1;
	if (xml) {
		other = domain_config_parse(xml, CONFIG_LIVE, error);
		if (!other || check_same(live, other, error) < 0) {
			domain_config_unref(other);
			domain_config_unref(live);
			return -1;
		}
		domain_config_unref(live);
		live = other;
	}
	note = make_note(d, live, running);
	domain_config_unref(live);
	result = domain_qmp(d, "save", json_pack("{s:s}", "file", part), SAVE_TIMEOUT, error);
	if (result && add_note(part, note, error) == 0) {
		rc = rename(part, to);
		if (rc < 0)
			refuse(error, MANAGER_ERR_SYSTEM, "cannot make %s: %s", to,
				g_strerror(errno));
	}
	json_decref(result);
	if (rc < 0)
		unlink(part);
	return rc;
}

static int save_paused(
	struct domain *d, const char *to, const char *xml, unsigned flags, GError **error)
{
	bool was_running = d->state == DOMAIN_RUNNING;
	bool running = flags & SAVE_PAUSED ? false : flags & SAVE_RUNNING ? true : was_running;

	if (was_running) {
		if (domain_qmp_do(d, "stop", NULL, error) < 0)
			return -1;
		domain_set_state(d, DOMAIN_PAUSED, PAUSED_SAVE, LIFE_SUSPENDED, 0);
	}
	if (write_file(d, to, xml, running, error) == 0)
		return domain_end(d, SHUTOFF_SAVED, error);
	if (was_running && domain_qmp_do(d, "cont", NULL, NULL) == 0)
		domain_set_state(d, DOMAIN_RUNNING, RUNNING_SAVE_CANCELED, LIFE_RESUMED, 0);
	return -1;
}

int domain_save(struct domain *d, const char *to, const char *xml, unsigned flags, GError **error)
{
	g_autofree char *managed = domain_file(d, d->manager->paths.state, ".save");
	int rc;

	if (to && !g_path_is_absolute(to))
		return refuse(error, MANAGER_ERR_INVALID_ARG, "'%s' is no absolute path", to);
	if (flags & SAVE_RUNNING && flags & SAVE_PAUSED)
		return refuse(
			error, MANAGER_ERR_INVALID_ARG, "running and paused exclude each other");
	if (domain_job_begin(d, "save", error) < 0)
		return -1;
	rc = domain_need_active(d, error);
	if (rc == 0 && !to && !d->persistent)
		rc = refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"cannot do managed save for transient domain");
	if (rc == 0)
		rc = save_paused(d, to ? to : managed, xml, flags, error);
	domain_job_end(d);
	return rc;
}

int domain_managed_save_remove(struct domain *d, GError **error)
{
	g_autofree char *managed = domain_file(d, d->manager->paths.state, ".save");
	int rc = 0;

	if (domain_job_begin(d, "remove the managed save of", error) < 0)
		return -1;
	if (unlink(managed) < 0 && errno != ENOENT)
		rc = refuse(error, MANAGER_ERR_SYSTEM, "cannot remove %s: %s", managed,
			g_strerror(errno));
	domain_job_end(d);
	return rc;
}

/* ---- and back ---- */

/* How many vCPUs it was made with, before any were plugged. */
static unsigned vcpus_of(const json_t *note, const struct domain_config *c)
{
	json_int_t n = json_integer_value(json_object_get(note, "vcpus"));

	return n > 0 && n <= c->vcpus_max ? (unsigned)n : c->vcpus;
}

int domain_launch_saved(
	struct domain *d, const char *from, const char *xml, unsigned flags, GError **error)
{
	json_t *note = note_of(from, error);
	struct domain_config *saved = NULL, *base = NULL;
	int rc = -1;

	if (note)
		saved = domain_config_parse(
			json_string_value(json_object_get(note, "xml")), CONFIG_LIVE, error);
	if (saved && xml) {
		base = domain_config_parse(xml, CONFIG_LIVE, error);
		if (base && check_same(saved, base, error) < 0)
			g_clear_pointer(&base, domain_config_unref);
	} else if (saved) {
		base = domain_config_ref(saved);
	}
	if (base) {
		if (!json_is_true(json_object_get(note, "running")) &&
			!(flags & START_SAVED_RUNNING))
			flags |= START_PAUSED;
		rc = domain_launch(
			d, base, vcpus_of(note, base), flags & START_PAUSED, from, error);
	}
	domain_config_unref(base);
	domain_config_unref(saved);
	json_decref(note);
	return rc;
}

int domain_restore(
	struct manager *m, const char *from, const char *xml, unsigned flags, GError **error)
{
	g_autofree char *own = xml ? g_strdup(xml) : domain_save_xml(from, error);
	struct domain_config *c = own ? domain_config_parse(own, 0, error) : NULL;
	struct domain *d = NULL;
	unsigned start = flags & SAVE_PAUSED    ? START_PAUSED
			 : flags & SAVE_RUNNING ? START_SAVED_RUNNING
						: 0;
	bool made;
	int rc;

	if (!c)
		return -1;
	rc = domain_find_same(m, c, &d, error);
	made = rc == 0 && !d;
	if (made) {
		d = domain_make(m, c, false, error);
		rc = d ? 0 : -1;
	} else {
		domain_config_unref(c);
	}
	if (rc < 0 || domain_job_begin(d, "restore", error) < 0) {
		domain_unref(d);
		return -1;
	}
	rc = domain_is_active(d)
		     ? refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain is already running")
		     : domain_launch_saved(d, from, xml, start, error);
	domain_job_end(d);
	domain_unref(d);
	return rc;
}
