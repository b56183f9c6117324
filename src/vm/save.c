/* SPDX-License-Identifier: GPL-2.0-or-later */
/* save.c: a whole machine into a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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

const struct field state_machine_fields[] = {
	FIELD(struct state_machine, lodge, FIELD_STRING),
	FIELD(struct state_machine, memory, FIELD_U64),
	FIELD(struct state_machine, cpus, FIELD_U32),
	FIELD(struct state_machine, cpu_model, FIELD_STRING),
	FIELD(struct state_machine, devices, FIELD_STRING),
	FIELD(struct state_machine, clock_ns, FIELD_U64),
	FIELD(struct state_machine, wall_ns, FIELD_U64),
	{ 0 },
};

const struct field state_vcpu_fields[] = {
	FIELD(struct state_vcpu, events, FIELD_U32),
	FIELD(struct state_vcpu, sipi_vector, FIELD_U8),
	{ 0 },
};

char *state_devices(struct machine *m)
{
	GString *s = g_string_new(NULL);

	for (guint i = 0; i < m->devices->len; i++) {
		struct device *d = g_ptr_array_index(m->devices, i);

		g_string_append_printf(s, "%s %s", d->id, d->cls->name);
		for (const struct field *f = d->cls->config; f && f->name; f++) {
			g_autofree char *v = field_format(f, d);

			g_string_append_printf(s, " %s=%s", f->name, v ? v : "");
		}
		g_string_append_c(s, '\n');
	}
	return g_string_free(s, FALSE);
}

struct writer {
	FILE *f;
	const char *path;
};

static int put(struct writer *w, const void *p, size_t n, GError **error)
{
	if (n && fwrite(p, n, 1, w->f) != 1)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "%s", w->path);
	return 0;
}

static int section2(struct writer *w, unsigned type, unsigned version, const char *id,
	const void *a, size_t a_len, const void *b, size_t b_len, GError **error)
{
	struct state_header h = {
		.type = type, .version = version, .id_len = strlen(id), .payload = a_len + b_len
	};
	uint32_t crc = crc32_z(0, (const void *)&h, sizeof(h));

	crc = crc32_z(crc, (const void *)id, h.id_len);
	if (a_len)
		crc = crc32_z(crc, a, a_len);
	if (b_len)
		crc = crc32_z(crc, b, b_len);
	if (put(w, &h, sizeof(h), error) < 0 || put(w, id, h.id_len, error) < 0 ||
		put(w, a, a_len, error) < 0 || put(w, b, b_len, error) < 0)
		return -1;
	return put(w, &crc, sizeof(crc), error);
}

static int section(struct writer *w, unsigned type, unsigned version, const char *id,
	const GByteArray *payload, GError **error)
{
	return section2(w, type, version, id, payload->data, payload->len, NULL, 0, error);
}

static int save_machine(struct writer *w, struct machine *m, GError **error)
{
	g_autofree char *devices = state_devices(m);
	g_autoptr(GByteArray) b = g_byte_array_new();
	struct state_machine s = {
		.lodge = LODGE_VERSION,
		.cpus = m->vcpu_count,
		.cpu_model = (char *)m->cpu_model,
		.devices = devices,
		.clock_ns = clock_ns(m->clock),
		.wall_ns = g_get_real_time() * 1000,
	};

	for (guint i = 0; i < m->rams->len; i++)
		s.memory += ((struct ram *)g_ptr_array_index(m->rams, i))->size;
	state_put(b, state_machine_fields, &s);
	return section(w, STATE_MACHINE, 1, "", b, error);
}

static int save_devices(struct writer *w, struct machine *m, GError **error)
{
	for (guint i = 0; i < m->devices->len; i++) {
		struct device *d = g_ptr_array_index(m->devices, i);
		g_autoptr(GByteArray) b = g_byte_array_new();

		g_byte_array_append(b, (const uint8_t *)d->cls->name, strlen(d->cls->name) + 1);
		device_lock(d);
		state_put(b, d->cls->state, d);
		device_unlock(d);
		if (section(w, STATE_DEVICE, d->cls->version, d->id, b, error) < 0)
			return -1;
	}
	return 0;
}

static int save_cpus(struct writer *w, struct machine *m, GError **error)
{
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		struct vcpu *c = m->vcpus[i];
		g_autoptr(GByteArray) b = g_byte_array_new();
		g_autofree char *id = g_strdup_printf("%u", i);
		struct state_vcpu s = {
			.events = vcpu_events(c) &
				  (VCPU_EV_NMI | VCPU_EV_INIT | VCPU_EV_SIPI | VCPU_EV_SMI),
			.sipi_vector = atomic_load(&c->sipi_vector),
		};
		guint mark;
		uint32_t len;

		if (m->accel->vcpu_pull(c, error) < 0)
			return -1;
		g_byte_array_set_size(b, sizeof(len));
		state_put(b, state_vcpu_fields, &s);
		mark = b->len - sizeof(len);
		len = GUINT32_TO_LE(mark);
		memcpy(b->data, &len, sizeof(len));
		state_put(b, x86_cpu_state, c->arch);
		if (section(w, STATE_CPU, 1, id, b, error) < 0)
			return -1;
	}
	return 0;
}

static bool is_zero(const uint8_t *p)
{
	const uint64_t *w = (const uint64_t *)p;
	uint64_t any = 0;

	for (unsigned i = 0; i < STATE_PAGE / sizeof(*w) && !any; i += 8)
		any = w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] |
		      w[i + 7];
	return !any;
}

/* The pages of [from, to) that are not all zero, in runs. */
static int save_run(
	struct writer *w, const struct ram *r, uint64_t from, uint64_t to, GError **error)
{
	while (from < to) {
		uint64_t end, le;

		if (is_zero(r->host + from)) {
			from += STATE_PAGE;
			continue;
		}
		for (end = from + STATE_PAGE;
			end < to && end - from < STATE_CHUNK && !is_zero(r->host + end);)
			end += STATE_PAGE;
		le = GUINT64_TO_LE(from);
		if (section2(w, STATE_RAM, 1, r->id, &le, sizeof(le), r->host + from, end - from,
			    error) < 0)
			return -1;
		from = end;
	}
	return 0;
}

/* Memory the guest never touched has no pages: the memfd tells where there are some. */
static int save_ram(struct writer *w, const struct ram *r, GError **error)
{
	off_t data = 0, hole;

	while ((data = lseek(r->fd, data, SEEK_DATA)) >= 0) {
		hole = lseek(r->fd, data, SEEK_HOLE);
		if (hole < 0)
			return fail_errno(error, LODGE_ERROR_INTERNAL, errno, "guest memory");
		if (save_run(w, r, data, MIN((uint64_t)hole, r->size), error) < 0)
			return -1;
		data = hole;
	}
	return errno == ENXIO ? 0 : fail_errno(error, LODGE_ERROR_INTERNAL, errno, "guest memory");
}

static int save_all(struct writer *w, struct machine *m, GError **error)
{
	struct state_file_header h = { .magic = STATE_MAGIC, .version = STATE_VERSION };
	g_autoptr(GByteArray) nothing = g_byte_array_new();

	if (put(w, &h, sizeof(h), error) < 0 || save_machine(w, m, error) < 0 ||
		save_devices(w, m, error) < 0)
		return -1;
	for (guint i = 0; i < m->rams->len; i++) {
		if (save_ram(w, g_ptr_array_index(m->rams, i), error) < 0)
			return -1;
	}
	if (save_cpus(w, m, error) < 0 || section(w, STATE_END, 1, "", nothing, error) < 0)
		return -1;
	if (fflush(w->f) || fsync(fileno(w->f)) < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "%s", w->path);
	return 0;
}

/* The new name is durable once the directory is. */
static void sync_directory(const char *path)
{
	g_autofree char *dir = g_path_get_dirname(path);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

static int save_file(struct machine *m, const char *path, GError **error)
{
	g_autofree char *temp = g_strdup_printf("%s.XXXXXX", path);
	struct writer w = { .path = path };
	int fd = g_mkstemp_full(temp, O_RDWR | O_CLOEXEC, 0600), rc;

	if (fd < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "%s", path);
	w.f = fdopen(fd, "w");
	rc = save_all(&w, m, error);
	if (fclose(w.f) && !rc)
		rc = fail_errno(error, LODGE_ERROR_FILE, errno, "%s", path);
	if (!rc && rename(temp, path) < 0)
		rc = fail_errno(error, LODGE_ERROR_FILE, errno, "%s", path);
	if (rc)
		unlink(temp);
	else
		sync_directory(path);
	return rc;
}

int vm_save(struct vm *vm, const char *path, GError **error)
{
	struct machine *m = vm->machine;
	bool running = m->state == MACHINE_RUNNING;
	int rc;

	if (m->state == MACHINE_SHUTDOWN || m->state == MACHINE_CRASHED)
		return fail(error, LODGE_ERROR_GUEST,
			"the machine has ended: there is nothing to save");
	machine_pause(m);
	rc = save_file(m, path, error);
	if (running)
		machine_start(m);
	return rc;
}
