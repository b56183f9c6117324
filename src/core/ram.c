/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ram.c: blocks of guest memory. */
#include "core/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/error.h"

enum { LONG_BITS = 8 * sizeof(unsigned long) };

static uint64_t host_memory(void)
{
	struct sysinfo si;

	if (sysinfo(&si) < 0)
		return UINT64_MAX;
	return ((uint64_t)si.totalram + si.totalswap) * si.mem_unit;
}

static int ram_map(struct ram *r, GError **error)
{
	unsigned flags = MFD_CLOEXEC | (r->hugepages ? MFD_HUGETLB : 0);
	struct stat st;

	r->fd = memfd_create(r->id, flags);
	if (r->fd < 0)
		return fail_errno(error, LODGE_ERROR_HOST, errno, "guest memory: memfd_create");
	/* The block size of a huge-page file is the huge page. */
	if (r->hugepages && fstat(r->fd, &st) == 0 && r->size % (uint64_t)st.st_blksize)
		return fail(error, LODGE_ERROR_USAGE,
			"guest memory of %" PRIu64 " MiB is no multiple of the huge page of %ld MiB",
			r->size >> 20, (long)st.st_blksize >> 20);
	if (ftruncate(r->fd, (off_t)r->size) < 0)
		return fail_errno(error, LODGE_ERROR_HOST, errno, "guest memory of %" PRIu64 " MiB",
			r->size >> 20);
	r->host = mmap(NULL, r->size, PROT_READ | PROT_WRITE,
		MAP_SHARED | (r->hugepages ? 0 : MAP_NORESERVE), r->fd, 0);
	if (r->host == MAP_FAILED) {
		r->host = NULL;
		if (r->hugepages)
			return fail(error, LODGE_ERROR_HOST,
				"guest memory: the host has not %" PRIu64 " MiB of free huge pages "
				"(raise vm.nr_hugepages, or leave out --hugepages)",
				r->size >> 20);
		return fail_errno(error, LODGE_ERROR_HOST, errno, "guest memory of %" PRIu64 " MiB",
			r->size >> 20);
	}
	return 0;
}

struct ram *ram_new(const char *id, uint64_t size, bool hugepages, GError **error)
{
	struct ram *r;

	if (!size || size % RAM_PAGE) {
		fail(error, LODGE_ERROR_USAGE, "memory size %" PRIu64 " is no multiple of 4 KiB",
			size);
		return NULL;
	}
	if (size > host_memory()) {
		fail(error, LODGE_ERROR_HOST,
			"guest memory of %" PRIu64 " MiB is more than the host has (%" PRIu64
			" MiB)",
			size >> 20, host_memory() >> 20);
		return NULL;
	}
	r = g_new0(struct ram, 1);
	r->id = g_strdup(id);
	r->size = size;
	r->hugepages = hugepages;
	r->fd = -1;
	if (ram_map(r, error) < 0) {
		ram_free(r);
		return NULL;
	}
	/* A core dump of the VMM is for us; the guest's memory is the guest's. */
	madvise(r->host, r->size, MADV_DONTDUMP);
	return r;
}

void ram_free(struct ram *r)
{
	if (!r)
		return;
	if (r->host)
		munmap(r->host, r->size);
	if (r->fd >= 0)
		close(r->fd);
	g_free(r->page_flags);
	g_free(r->page_notes);
	g_free(r->dirty_bits);
	g_free(r->vcpu_dirty_bits);
	g_free(r->id);
	g_free(r);
}

void ram_track_code(struct ram *r)
{
	if (r->page_flags)
		return;
	r->page_flags = g_malloc0(r->size / RAM_PAGE);
	r->page_notes = g_new0(uint16_t, r->size / RAM_PAGE);
}

void ram_touch(struct ram *r, uint64_t offset, uint64_t len)
{
	unsigned long *dirty = __atomic_load_n(&r->dirty, __ATOMIC_ACQUIRE);
	bool code = false;

	if (!len || (!dirty && !r->page_flags))
		return;
	for (uint64_t p = offset / RAM_PAGE; p <= (offset + len - 1) / RAM_PAGE; p++) {
		if (dirty)
			__atomic_fetch_or(
				&dirty[p / LONG_BITS], 1ul << p % LONG_BITS, __ATOMIC_RELAXED);
		if (r->page_flags)
			code |= __atomic_load_n(&r->page_flags[p], __ATOMIC_SEQ_CST) & RAM_CODE;
	}
	if (code && r->code_written)
		r->code_written(r->code_opaque, r, offset, len);
}

void ram_dirty_start(struct ram *r)
{
	size_t longs = (r->size / RAM_PAGE + LONG_BITS - 1) / LONG_BITS;

	if (!r->dirty_bits)
		r->dirty_bits = g_new0(unsigned long, longs);
	for (size_t i = 0; i < longs; i++)
		__atomic_store_n(&r->dirty_bits[i], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&r->dirty, r->dirty_bits, __ATOMIC_RELEASE);
}

void ram_dirty_stop(struct ram *r)
{
	/* The bits stay allocated: another thread may be in ram_touch. */
	__atomic_store_n(&r->dirty, NULL, __ATOMIC_RELEASE);
}
