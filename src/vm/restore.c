/* SPDX-License-Identifier: GPL-2.0-or-later */
/* restore.c: a machine from a file. Every byte of it is hostile. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/error.h"
#include "core/clock.h"
#include "core/device.h"
#include "core/engine.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/stream.h"
#include "core/vcpu.h"
#include "cpu/x86/state.h"
#include "vm/state.h"
#include "vm/vm.h"

struct reader {
	struct machine *machine;
	FILE *f;
	const char *path;
	uint64_t left; /* bytes of the file not read yet */
	bool machine_seen;
	GHashTable *devices; /* struct device * already restored */
	bool *cpus;          /* per vCPU: restored */
};

static int bad(struct reader *r, GError **error, const char *what)
{
	return fail(error, LODGE_ERROR_STATE, "saved state %s: %s", r->path, what);
}

static int get(struct reader *r, void *p, uint64_t n, GError **error)
{
	if (n > r->left || (n && fread(p, n, 1, r->f) != 1))
		return bad(r, error, "it is cut short");
	r->left -= n;
	return 0;
}

/* One section, whole and with its checksum right. */
struct section {
	struct state_header h;
	char id[STATE_ID_MAX + 1];
	uint8_t *payload; /* owned */
};

static int get_section(struct reader *r, struct section *s, GError **error)
{
	uint32_t crc, want;

	if (get(r, &s->h, sizeof(s->h), error) < 0)
		return -1;
	if (s->h.id_len > STATE_ID_MAX || s->h.payload > STATE_OBJECT_MAX || s->h.payload > r->left)
		return bad(r, error, "it is damaged");
	if (get(r, s->id, s->h.id_len, error) < 0)
		return -1;
	s->id[s->h.id_len] = '\0';
	s->payload = g_try_malloc(s->h.payload + 1);
	if (!s->payload)
		return fail(error, LODGE_ERROR_HOST, "saved state %s: out of memory", r->path);
	if (get(r, s->payload, s->h.payload, error) < 0 || get(r, &want, sizeof(want), error) < 0)
		return -1;
	crc = crc32_z(0, (const void *)&s->h, sizeof(s->h));
	crc = crc32_z(crc, (const void *)s->id, s->h.id_len);
	if (s->h.payload)
		crc = crc32_z(crc, s->payload, s->h.payload);
	if (crc != want || strlen(s->id) != s->h.id_len)
		return bad(r, error, "it is damaged (checksum)");
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines in an order of their own: what was plugged while the machine ran came last there, and
 * has its place among the others here. */
static char **device_lines(const char *text)
{
	char **lines = g_strsplit(text, "\n", -1);

	qsort(lines, g_strv_length(lines), sizeof(*lines), by_text);
	return lines;
}

/* Names the first device that differs. */
static int compare_devices(struct reader *r, const char *saved, const char *here, GError **error)
{
	g_auto(GStrv) a = device_lines(saved), b = device_lines(here);
	unsigned i = 0;

	while (a[i] && b[i] && strcmp(a[i], b[i]) == 0)
		i++;
	if (!a[i] && !b[i])
		return 0;
	/* Of a device that only one of them has, the other's line is about another one. */
	if (a[i] && b[i] && strcmp(a[i], b[i]) > 0)
		return fail(error, LODGE_ERROR_STATE,
			"saved state %s is of another machine: it does not have the device '%s'",
			r->path, b[i]);
	return fail(error, LODGE_ERROR_STATE,
		"saved state %s is of another machine: it has the device '%s', this one '%s'",
		r->path, a[i] && *a[i] ? a[i] : "none", b[i] && *b[i] ? b[i] : "none");
}

static int restore_machine(struct reader *r, const struct section *s, GError **error)
{
	struct machine *m = r->machine;
	struct state_machine saved = { 0 };
	g_autofree char *here = state_devices(m);
	g_autoptr(GError) why = NULL;
	uint64_t memory = 0;
	int rc = 0;

	for (guint i = 0; i < m->rams->len; i++)
		memory += ((struct ram *)g_ptr_array_index(m->rams, i))->size;
	if (state_get(s->payload, s->h.payload, state_machine_fields, s->h.version, &saved, &why) <
		0)
		rc = bad(r, error, why->message);
	else if (!saved.lodge || !saved.cpu_model || !saved.devices || saved.clock_ns > INT64_MAX)
		rc = bad(r, error, "it is damaged");
	else if (saved.memory != memory)
		rc = fail(error, LODGE_ERROR_STATE,
			"saved state %s is of a machine with %" PRIu64
			" MiB of memory, this one has "
			"%" PRIu64,
			r->path, saved.memory >> 20, memory >> 20);
	else if (saved.cpus != m->vcpu_count)
		rc = fail(error, LODGE_ERROR_STATE,
			"saved state %s is of a machine with %u CPUs, this one has %u", r->path,
			saved.cpus, m->vcpu_count);
	else if (compare_devices(r, saved.devices, here, error) < 0)
		rc = -1;
	else
		clock_set(m->clock, (int64_t)saved.clock_ns);
	r->machine_seen = true;
	g_free(saved.lodge);
	g_free(saved.cpu_model);
	g_free(saved.devices);
	return rc;
}

static int restore_device(struct reader *r, const struct section *s, GError **error)
{
	struct device *d = device_find(r->machine, s->id);
	const uint8_t *end = memchr(s->payload, 0, s->h.payload);
	g_autoptr(GError) why = NULL;
	size_t name;
	int rc;

	if (!d || !end || strcmp(d->cls->name, (const char *)s->payload) != 0)
		return bad(r, error, "a device in it is not in this machine");
	if (s->h.version > d->cls->version)
		return fail(error, LODGE_ERROR_STATE,
			"saved state %s: device %s was saved by a newer Lodge (version %u, known "
			"is %u)",
			r->path, s->id, s->h.version, d->cls->version);
	if (!g_hash_table_add(r->devices, d))
		return bad(r, error, "a device is in it twice");
	name = end - s->payload + 1;
	device_lock(d);
	rc = state_get(
		s->payload + name, s->h.payload - name, d->cls->state, s->h.version, d, &why);
	device_unlock(d);
	return rc < 0 ? fail(error, LODGE_ERROR_STATE, "saved state %s: device %s: %s", r->path,
				s->id, why->message)
		      : 0;
}

static int restore_ram(struct reader *r, const struct section *s, GError **error)
{
	struct ram *ram = NULL;
	uint64_t offset, n = s->h.payload - sizeof(offset);

	for (guint i = 0; i < r->machine->rams->len && !ram; i++) {
		struct ram *k = g_ptr_array_index(r->machine->rams, i);

		ram = strcmp(k->id, s->id) == 0 ? k : NULL;
	}
	if (!ram || s->h.payload < sizeof(offset) || n > STATE_CHUNK)
		return bad(r, error, "it is damaged");
	memcpy(&offset, s->payload, sizeof(offset));
	offset = GUINT64_FROM_LE(offset);
	if (offset % STATE_PAGE || n % STATE_PAGE || offset > ram->size || n > ram->size - offset)
		return bad(r, error, "it has memory where there is none");
	memcpy(ram->host + offset, s->payload + sizeof(offset), n);
	ram_touch(ram, offset, n);
	return 0;
}

static int restore_cpu(struct reader *r, const struct section *s, GError **error)
{
	struct machine *m = r->machine;
	struct state_vcpu state = { 0 };
	g_autoptr(GError) why = NULL;
	uint64_t index;
	uint32_t len;
	struct vcpu *c;

	if (!g_ascii_string_to_unsigned(s->id, 10, 0, m->vcpu_count - 1, &index, NULL) ||
		r->cpus[index] || s->h.payload < sizeof(len))
		return bad(r, error, "it is damaged");
	memcpy(&len, s->payload, sizeof(len));
	len = GUINT32_FROM_LE(len);
	if (len > s->h.payload - sizeof(len))
		return bad(r, error, "it is damaged");
	c = m->vcpus[index];
	if (state_get(s->payload + sizeof(len), len, state_vcpu_fields, s->h.version, &state,
		    &why) < 0 ||
		state_get(s->payload + sizeof(len) + len, s->h.payload - sizeof(len) - len,
			x86_cpu_state, s->h.version, c->arch, &why) < 0)
		return fail(error, LODGE_ERROR_STATE, "saved state %s: CPU %" PRIu64 ": %s",
			r->path, index, why->message);
	r->cpus[index] = true;
	atomic_store(&c->sipi_vector, state.sipi_vector);
	/* Whatever was pending, the engine looks again. */
	atomic_store(&c->events,
		VCPU_EV_INTR |
			(state.events & (VCPU_EV_NMI | VCPU_EV_INIT | VCPU_EV_SIPI | VCPU_EV_SMI)));
	return 0;
}

static int restore_section(struct reader *r, const struct section *s, GError **error)
{
	if (!r->machine_seen && s->h.type != STATE_MACHINE)
		return bad(r, error, "it is damaged");
	switch (s->h.type) {
	case STATE_MACHINE: return restore_machine(r, s, error);
	case STATE_DEVICE: return restore_device(r, s, error);
	case STATE_CPU: return restore_cpu(r, s, error);
	case STATE_RAM: return restore_ram(r, s, error);
	default: return bad(r, error, "it has a section unknown here");
	}
}

/* Memory becomes all zero: only other pages are in the file. */
static int clear_ram(struct reader *r, GError **error)
{
	for (guint i = 0; i < r->machine->rams->len; i++) {
		struct ram *ram = g_ptr_array_index(r->machine->rams, i);

		if (fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, ram->size) <
			0)
			return fail_errno(error, LODGE_ERROR_HOST, errno, "guest memory");
		ram_touch(ram, 0, ram->size);
	}
	return 0;
}

/* Whoever keeps the file may write what it wants to remember behind the end, after these words. */
static bool is_note(struct reader *r)
{
	char magic[8];

	return r->left >= sizeof(magic) && fread(magic, sizeof(magic), 1, r->f) == 1 &&
	       memcmp(magic, STATE_NOTE_MAGIC, sizeof(magic)) == 0;
}

static int restore_all(struct reader *r, GError **error)
{
	struct state_file_header h;

	if (get(r, &h, sizeof(h), error) < 0)
		return -1;
	if (memcmp(h.magic, STATE_MAGIC, sizeof(h.magic)) != 0)
		return bad(r, error, "it is no saved state of Lodge");
	if (GUINT32_FROM_LE(h.version) != STATE_VERSION)
		return fail(error, LODGE_ERROR_STATE, "saved state %s has version %u, known is %d",
			r->path, GUINT32_FROM_LE(h.version), STATE_VERSION);
	if (clear_ram(r, error) < 0)
		return -1;
	for (;;) {
		struct section s = { 0 };
		int rc = get_section(r, &s, error);

		if (!rc && s.h.type == STATE_END) {
			g_free(s.payload);
			break;
		}
		if (!rc)
			rc = restore_section(r, &s, error);
		g_free(s.payload);
		if (rc < 0)
			return -1;
	}
	if (r->left && !is_note(r))
		return bad(r, error, "there is something behind its end");
	if (!r->machine_seen || g_hash_table_size(r->devices) != r->machine->devices->len)
		return bad(r, error, "a device is missing in it");
	for (unsigned i = 0; i < r->machine->vcpu_count; i++) {
		if (!r->cpus[i])
			return bad(r, error, "a CPU is missing in it");
	}
	return 0;
}

/* All is in place: devices check it and take it up, CPUs get their registers. */
static int take_up(struct reader *r, GError **error)
{
	struct machine *m = r->machine;

	for (guint i = 0; i < m->devices->len; i++) {
		struct device *d = g_ptr_array_index(m->devices, i);
		g_autoptr(GError) why = NULL;
		int rc = 0;

		device_lock(d);
		if (d->cls->loaded)
			rc = d->cls->loaded(d, &why);
		device_unlock(d);
		if (rc < 0)
			return fail(error, LODGE_ERROR_STATE, "saved state %s: device %s: %s",
				r->path, d->id, why->message);
	}
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		if (m->accel->vcpu_push(m->vcpus[i], error) < 0)
			return -1;
	}
	return 0;
}

int vm_restore(struct vm *vm, const char *path, GError **error)
{
	struct machine *m = vm->machine;
	struct reader r = { .machine = m, .path = path };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;

	if (fd < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "saved state %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return fail(error, LODGE_ERROR_FILE, "saved state %s is not a file", path);
	}
	machine_pause(m);
	r.left = st.st_size;
	r.f = fdopen(fd, "r");
	r.devices = g_hash_table_new(NULL, NULL);
	r.cpus = g_new0(bool, m->vcpu_count);
	rc = restore_all(&r, error);
	if (!rc)
		rc = take_up(&r, error);
	if (!rc)
		m->state = MACHINE_PAUSED;
	fclose(r.f);
	g_hash_table_unref(r.devices);
	g_free(r.cpus);
	return rc;
}
