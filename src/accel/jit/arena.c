/* SPDX-License-Identifier: GPL-2.0-or-later */
/* arena.c: the memory of host code. */
#include "accel/jit/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

int arena_init(struct arena *a, size_t size, GError **error)
{
	void *rw = MAP_FAILED, *rx = MAP_FAILED;

	*a = (struct arena){ .fd = memfd_create("jit-code", MFD_CLOEXEC), .size = size };
	if (a->fd < 0)
		return fail_errno(error, LODGE_ERROR_HOST, errno, "translator: memfd_create");
	if (ftruncate(a->fd, (off_t)size) == 0) {
		rw = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, a->fd, 0);
		rx = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, a->fd, 0);
	}
	if (rw != MAP_FAILED)
		a->rw = rw;
	if (rx != MAP_FAILED)
		a->rx = rx;
	if (!a->rw || !a->rx) {
		int err = errno;

		arena_fini(a);
		return fail_errno(error, LODGE_ERROR_HOST, err, "translator: %zu MiB of code memory", size >> 20);
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
	if (a->fd >= 0)
		close(a->fd);
	*a = (struct arena){ .fd = -1 };
}

void arena_clear(struct arena *a)
{
	size_t keep = (a->fixed + 4095) & ~(size_t)4095;

	if (a->used > keep)
		(void)fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)keep,
			(off_t)(a->size - keep));
	a->used = a->fixed;
}
