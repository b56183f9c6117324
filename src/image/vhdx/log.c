/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.c: replays a VHDX log: what its last writer had not brought to its place. Spec:
 * [MS-VHDX] 2.3. A reader that may not write gets an error instead: the tables in the file are old.
 */
#include "image/vhdx/vhdx.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
	SECTOR = 4096,
	/* 2.3.1.1: entry header */
	E_SUM = 4,
	E_SIZE = 8,
	E_TAIL = 12,
	E_SEQUENCE = 16,
	E_COUNT = 24,
	E_GUID = 32,
	E_FLUSHED = 48,
	E_LAST = 56,
	E_HEADER = 64,
	/* 2.3.1.2, 2.3.1.3: descriptors */
	D_SIZE = 32,
	D_TRAILING = 4,
	D_LEADING = 8,
	D_AT = 16,
	D_SEQUENCE = 24,
};

struct log {
	struct file *file;
	const struct vhdx *s;
	uint8_t *bytes; /* owned: all of it, twice, so that entries do not wrap */
	uint32_t size;
};

static uint32_t entry_size(const struct log *l, uint32_t at)
{
	return load_le32(l->bytes + at + E_SIZE);
}

static uint64_t sequence(const struct log *l, uint32_t at)
{
	return load_le64(l->bytes + at + E_SEQUENCE);
}

static uint32_t data_sectors(const uint8_t *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < load_le32(e + E_COUNT); i++)
		n += !memcmp(e + E_HEADER + i * D_SIZE, "desc", 4);
	return n;
}

/* 2.3.1: signature, place, sum, and every descriptor and data sector of the same sequence number.
 */
static bool entry_good(const struct log *l, uint32_t at)
{
	static const uint8_t zero[4];
	const uint8_t *e = l->bytes + at, *data;
	uint32_t size = entry_size(l, at), count = load_le32(e + E_COUNT), crc, front;

	if (memcmp(e, "loge", 4) || !size || size % SECTOR || size > l->size || !sequence(l, at) ||
		load_le32(e + E_TAIL) % SECTOR || load_le32(e + E_TAIL) >= l->size ||
		memcmp(e + E_GUID, l->s->header + H_LOG_GUID, 16) ||
		count > (size - E_HEADER) / D_SIZE)
		return false;
	crc = crc32c(0, e, E_SUM);
	crc = crc32c(crc, zero, 4);
	if (crc32c(crc, e + 8, size - 8) != load_le32(e + E_SUM))
		return false;
	front = (E_HEADER + count * D_SIZE + SECTOR - 1) / SECTOR * SECTOR;
	if (front + (uint64_t)data_sectors(e) * SECTOR > size)
		return false;
	data = e + front;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *d = e + E_HEADER + i * D_SIZE;
		bool has_data = !memcmp(d, "desc", 4);

		if ((!has_data && memcmp(d, "zero", 4)) ||
			load_le64(d + D_SEQUENCE) != sequence(l, at) ||
			load_le64(d + D_AT) % SECTOR)
			return false;
		if (!has_data)
			continue;
		if (memcmp(data, "data", 4) || load_le32(data + 4) != sequence(l, at) >> 32 ||
			load_le32(data + SECTOR - 4) != (uint32_t)sequence(l, at))
			return false;
		data += SECTOR;
	}
	return true;
}

/* From `at` on, entries whose numbers follow each other; the last one's place, or -1 if there is
 * none. The sequence counts if the last entry's tail is in it. */
static int64_t sequence_from(const struct log *l, uint32_t at, uint32_t *ret_tail)
{
	uint32_t place = at, used = 0;
	int64_t last = -1;
	bool tail_seen = false;

	while (used < l->size && entry_good(l, place) &&
		(last < 0 || sequence(l, place) == sequence(l, (uint32_t)last) + 1)) {
		last = place;
		used += entry_size(l, place);
		place = (at + used) % l->size;
	}
	if (last < 0)
		return -1;
	*ret_tail = load_le32(l->bytes + last + E_TAIL);
	for (uint32_t p = at, n = 0; n < used && !tail_seen;
		n += entry_size(l, p), p = (at + n) % l->size)
		tail_seen = p == *ret_tail;
	return tail_seen ? last : -1;
}

static int replay_entry(const struct log *l, uint32_t at)
{
	const uint8_t *e = l->bytes + at, *data;
	uint32_t count = load_le32(e + E_COUNT);
	int r = 0;

	data = e + (E_HEADER + count * D_SIZE + SECTOR - 1) / SECTOR * SECTOR;
	for (uint32_t i = 0; i < count && !r; i++) {
		const uint8_t *d = e + E_HEADER + i * D_SIZE;
		uint64_t to = load_le64(d + D_AT);
		uint8_t sector[SECTOR];

		if (to > INT64_MAX / 2)
			return -EIO;
		if (memcmp(d, "desc", 4)) {
			uint64_t n = load_le64(d + D_LEADING);

			r = n > 1ull << 40 ? -EIO : file_zero(l->file, to, n, true);
			continue;
		}
		memcpy(sector, d + D_LEADING, 8);
		memcpy(sector + 8, data + 8, SECTOR - 12);
		memcpy(sector + SECTOR - 4, d + D_TRAILING, 4);
		r = file_write(l->file, to, sector, SECTOR);
		data += SECTOR;
	}
	return r;
}

static int replay(const struct log *l, uint32_t tail, uint32_t last)
{
	int64_t length = file_length(l->file);
	uint64_t size = load_le64(l->bytes + last + E_LAST);
	int r = 0;

	/* Never shorter: an entry may be older than what followed it. */
	if (length < 0 || size > INT64_MAX / 2)
		return length < 0 ? (int)length : -EIO;
	if (size > (uint64_t)length)
		r = file_truncate(l->file, size);
	for (uint32_t at = tail; !r; at = (at + entry_size(l, at)) % l->size) {
		r = replay_entry(l, at);
		if (at == last)
			break;
	}
	return r < 0 ? r : file_sync(l->file);
}

int vhdx_log_replay(struct file *f, struct vhdx *s, bool readonly, GError **error)
{
	static const uint8_t none[16];
	struct log l = { .file = f, .s = s, .size = s->log_size };
	uint64_t best = 0;
	uint32_t tail = 0, best_tail = 0;
	int64_t last = -1;
	int r;

	if (!memcmp(s->header + H_LOG_GUID, none, 16))
		return 0;
	if (readonly)
		return fail(error, LODGE_ERROR_FILE,
			"%s: was not closed by its last writer and has changes in "
			"its log; open it once for writing ('lodge image check -r all' does)",
			f->path);
	l.bytes = g_try_malloc(2 * (size_t)l.size);
	if (!l.bytes)
		return fail(error, LODGE_ERROR_HOST, "%s: no memory for its log", f->path);
	r = file_read_full(f, s->log_at, l.bytes, l.size);
	memcpy(l.bytes + l.size, l.bytes, l.size);
	for (uint32_t at = 0; !r && at < l.size; at += SECTOR) {
		int64_t end = memcmp(l.bytes + at, "loge", 4) ? -1 : sequence_from(&l, at, &tail);

		if (end >= 0 && sequence(&l, (uint32_t)end) > best) {
			best = sequence(&l, (uint32_t)end);
			last = end;
			best_tail = tail;
		}
	}
	if (!r && last >= 0)
		r = replay(&l, best_tail, (uint32_t)last);
	g_free(l.bytes);
	if (r < 0)
		return fail_errno(
			error, LODGE_ERROR_FILE, -r, "%s: cannot replay its log", f->path);
	memset(s->header + H_LOG_GUID, 0, 16);
	r = vhdx_header_write(f, s);
	return r < 0 ? fail_errno(
			       error, LODGE_ERROR_FILE, -r, "%s: cannot write its header", f->path)
		     : 1;
}
