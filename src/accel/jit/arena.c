/* SPDX-License-Identifier: GPL-2.0-or-later */
/* arena.c: the memory of host code. */
#include "accel/jit/arena.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/error.h"

/* Shared anonymous memory rather than a memfd: only there does perf look into its map of translated
 * code. */
enum { REGIONS_MIN = 16, REGIONS_MAX = 128, REGION_MIN = 1 << 18, REGION_USUAL = 1 << 21 };

int arena_init(struct arena *a, size_t size, GError **error)
{
	void *rw = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *rx = MAP_FAILED;

	*a = (struct arena){ .size = size };
	a->region = CLAMP(size / CLAMP(size / REGION_USUAL, REGIONS_MIN, REGIONS_MAX), REGION_MIN,
			    size) &
		    ~(size_t)4095;
	a->limit = a->region;
	if (rw != MAP_FAILED) {
		a->rw = rw;
		rx = mremap(rw, 0, size, MREMAP_MAYMOVE); /* the same pages a second time */
	}
	if (rx != MAP_FAILED)
		a->rx = rx;
	if (!a->rx || mprotect(rx, size, PROT_READ | PROT_EXEC) < 0) {
		int err = errno;

		arena_fini(a);
		return fail_errno(error, LODGE_ERROR_HOST, err,
			"translator: %zu MiB of code memory", size >> 20);
	}
	madvise(a->rw, size, MADV_DONTDUMP);
	return 0;
}

void arena_fini(struct arena *a)
{
	if (a->rw)
		munmap(a->rw, a->size);
	if (a->rx)
		munmap((void *)a->rx, a->size);
	*a = (struct arena){ 0 };
}

void arena_clear(struct arena *a)
{
	size_t keep = (a->fixed + 4095) & ~(size_t)4095;

	if (a->used > keep)
		(void)madvise(a->rw + keep, a->size - keep, MADV_REMOVE);
	arena_fill(a, 0);
}

void arena_fill(struct arena *a, unsigned i)
{
	a->used = i ? i * a->region : a->fixed;
	a->limit = (i + 1) * a->region;
}
