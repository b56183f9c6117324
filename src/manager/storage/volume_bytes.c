/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume_bytes.c: overwriting what a volume holds, in the passes that each algorithm prescribes.
 * Spec: scrub(1), whose names they are; P. Gutmann, Secure Deletion of Data, 1996, table 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#include "manager/error.h"
#include "manager/storage/pool_priv.h"

enum { RANDOM = 0x1000000, CHUNK = 3 << 18 }; /* CHUNK: a multiple of the patterns' three bytes */

/* Three bytes each, or RANDOM; -1 ends a list. */
static const int zero[] = { 0, -1 };
static const int nnsa[] = { RANDOM, RANDOM, 0, -1 };
static const int dod[] = { RANDOM, 0, 0xffffff, -1 };
static const int bsi[] = { 0xffffff, 0xfefefe, 0xfdfdfd, 0xfbfbfb, 0xf7f7f7, 0xefefef, 0xdfdfdf,
	0xbfbfbf, 0x7f7f7f, -1 };
static const int gutmann[] = { RANDOM, RANDOM, RANDOM, RANDOM, 0x555555, 0xaaaaaa, 0x924924,
	0x492492, 0x249249, 0x000000, 0x111111, 0x222222, 0x333333, 0x444444, 0x555555, 0x666666,
	0x777777, 0x888888, 0x999999, 0xaaaaaa, 0xbbbbbb, 0xcccccc, 0xdddddd, 0xeeeeee, 0xffffff,
	0x924924, 0x492492, 0x249249, 0x6db6db, 0xb6db6d, 0xdb6db6, RANDOM, RANDOM, RANDOM, RANDOM,
	-1 };
static const int schneier[] = { 0, 0xffffff, RANDOM, RANDOM, RANDOM, RANDOM, RANDOM, -1 };
#define SEVEN RANDOM, RANDOM, RANDOM, RANDOM, RANDOM, RANDOM, RANDOM
static const int pfitzner7[] = { SEVEN, -1 };
static const int pfitzner33[] = { SEVEN, SEVEN, SEVEN, SEVEN, RANDOM, RANDOM, RANDOM, RANDOM,
	RANDOM, -1 };
static const int once_random[] = { RANDOM, -1 };

/* As virStorageVolWipeAlgorithm numbers them; the last, trim, overwrites nothing. */
static const int *const algorithms[VOLUME_WIPE_ALGORITHMS] = { zero, nnsa, dod, bsi, gutmann,
	schneier, pfitzner7, pfitzner33, once_random, NULL };

static void fill(uint8_t *buf, int pattern)
{
	if (pattern == RANDOM) {
		for (size_t done = 0; done < CHUNK;) {
			ssize_t n = getrandom(buf + done, CHUNK - done, 0);

			done += n > 0 ? n : 0;
		}
		return;
	}
	for (size_t i = 0; i < CHUNK; i += 3) {
		buf[i] = pattern >> 16;
		buf[i + 1] = pattern >> 8;
		buf[i + 2] = pattern;
	}
}

struct pass {
	int fd, pattern;
	uint8_t *buf;
	uint64_t done, total;
	const struct volume_progress *progress;
};

/* [at, end): bytes that the host has room for; holes hold nothing. */
static int write_run(struct pass *p, off_t at, off_t end, GError **error)
{
	while (at < end) {
		ssize_t n;

		if (p->pattern == RANDOM)
			fill(p->buf, RANDOM);
		n = pwrite(p->fd, p->buf, MIN(end - at, CHUNK), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return refuse(error, MANAGER_ERR_SYSTEM, "cannot overwrite: %s",
				g_strerror(errno));
		at += n;
		p->done += n;
		if (p->progress && !p->progress->tick(p->progress->opaque, p->done, p->total))
			return refuse(error, MANAGER_ERR_OPERATION_ABORTED,
				"the wipe was cancelled: it is not complete");
	}
	return 0;
}

static int one_pass(struct pass *p, off_t size, GError **error)
{
	if (p->pattern != RANDOM)
		fill(p->buf, p->pattern);
	for (off_t at = 0; at < size;) {
		off_t data = lseek(p->fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0) /* no holes here: all of it */
			data = at;
		hole = lseek(p->fd, data, SEEK_HOLE);
		if (hole < 0)
			hole = size;
		if (write_run(p, data, hole, error))
			return -1;
		at = hole;
	}
	if (fdatasync(p->fd))
		return refuse(error, MANAGER_ERR_SYSTEM, "cannot overwrite: %s", g_strerror(errno));
	return 0;
}

static int trim(int fd, uint64_t size, GError **error)
{
	uint64_t range[2] = { 0, size };
	struct stat st;

	if (fstat(fd, &st) ||
		(S_ISBLK(st.st_mode) ? ioctl(fd, BLKDISCARD, range)
				     : fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					       size)))
		return refuse(error, MANAGER_ERR_SYSTEM, "cannot discard: %s", g_strerror(errno));
	return 0;
}

int volume_overwrite(
	int fd, unsigned algorithm, const struct volume_progress *progress, GError **error)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct pass p = { .fd = fd, .progress = progress };
	const int *list;
	int err = 0;

	if (size < 0)
		return refuse(error, MANAGER_ERR_SYSTEM, "cannot overwrite: %s", g_strerror(errno));
	if (algorithm >= VOLUME_WIPE_ALGORITHMS)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"there is no way to wipe of number %u", algorithm);
	list = algorithms[algorithm];
	if (!list)
		return size ? trim(fd, size, error) : 0;
	for (unsigned i = 0; list[i] >= 0; i++)
		p.total += size;
	p.buf = g_malloc(CHUNK);
	for (unsigned i = 0; list[i] >= 0 && !err; i++) {
		p.pattern = list[i];
		err = one_pass(&p, size, error);
	}
	g_free(p.buf);
	return err;
}
