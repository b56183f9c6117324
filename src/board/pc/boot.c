/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot.c: what all kernel loaders share: files, detection, memory checks. */
#include "board/pc/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/nearest.h"
#include "core/dma.h"

enum { PAGE = 4096, LOW_MEGABYTE = 1 << 20 };

static const struct boot_loader *const loaders[] = { &boot_linux, &boot_elf, &boot_raw, NULL };

static int file_open(struct boot_file *f, const char *what, const char *path, GError **error)
{
	struct stat st;

	f->path = g_strdup(path);
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "%s %s", what, path);
	if (!S_ISREG(st.st_mode))
		return fail(error, LODGE_ERROR_FILE, "%s %s is not a file", what, path);
	if (!st.st_size)
		return fail(error, LODGE_ERROR_FILE, "%s %s is empty", what, path);
	f->size = st.st_size;
	return 0;
}

int boot_read(const struct boot_file *f, uint64_t off, void *buf, size_t n, GError **error)
{
	uint8_t *p = buf;

	while (n) {
		ssize_t got = pread(f->fd, p, n, off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_errno(error, LODGE_ERROR_FILE, errno, "%s", f->path);
		if (got == 0)
			return fail(error, LODGE_ERROR_FILE, "%s is truncated", f->path);
		p += got;
		off += got;
		n -= got;
	}
	return 0;
}

int boot_file_to_ram(struct boot *b, const struct boot_file *f, uint64_t off, uint64_t len,
	uint64_t addr, GError **error)
{
	while (len) {
		size_t n = len;
		void *p = dma_map(b->machine, addr, &n, true);

		if (!p)
			return fail(error, LODGE_ERROR_FILE, "%s: no memory at 0x%" PRIx64, f->path,
				addr);
		if (boot_read(f, off, p, n, error) < 0)
			return -1;
		dma_done(b->machine, addr, n);
		off += n;
		addr += n;
		len -= n;
	}
	return 0;
}

int boot_to_ram(struct boot *b, uint64_t addr, const void *p, size_t n, GError **error)
{
	if (!dma_write(b->machine, addr, p, n))
		return fail(error, LODGE_ERROR_HOST, "boot: no memory at 0x%" PRIx64, addr);
	return 0;
}

bool boot_range_ok(const struct boot *b, uint64_t addr, uint64_t size)
{
	if (addr < BOOT_DATA_END && (size > BOOT_DATA || addr + size > BOOT_DATA))
		return false;
	for (unsigned i = 0; i < b->map_count; i++) {
		const struct e820 *e = &b->map[i];

		if (e->type == E820_RAM && addr >= e->addr && addr - e->addr <= e->size &&
			size <= e->size - (addr - e->addr))
			return true;
	}
	return false;
}

int boot_place_initrd(struct boot *b, uint64_t from, uint64_t limit, GError **error)
{
	uint64_t top = MIN(b->low_top, limit), size = b->initrd.size;

	if (b->initrd.fd < 0)
		return 0;
	from = MAX(from, LOW_MEGABYTE);
	if (top <= from || size > top - from || ((top - size) & ~(uint64_t)(PAGE - 1)) < from)
		return fail(error, LODGE_ERROR_FILE,
			"initrd %s (%" PRIu64
			" MiB) does not fit into guest memory beside the kernel: "
			"%" PRIu64 " MiB are left",
			b->initrd.path, (size + 0xfffff) >> 20,
			top > from ? (top - from) >> 20 : 0);
	b->initrd_addr = (top - size) & ~(uint64_t)(PAGE - 1);
	return 0;
}

int boot_load_initrd(struct boot *b, GError **error)
{
	if (b->initrd.fd < 0)
		return 0;
	return boot_file_to_ram(b, &b->initrd, 0, b->initrd.size, b->initrd_addr, error);
}

int boot_load_cmdline(struct boot *b, GError **error)
{
	return boot_to_ram(b, BOOT_CMDLINE, b->append, strlen(b->append) + 1, error);
}

static int find_loader(struct boot *b, const char *format, GError **error)
{
	g_autofree char *hint = NULL;
	struct nearest near;
	uint8_t head[PAGE];
	size_t n = MIN(b->kernel.size, sizeof(head));

	if (!format) {
		if (boot_read(&b->kernel, 0, head, n, error) < 0)
			return -1;
		for (unsigned i = 0; loaders[i] && !b->loader; i++) {
			if (loaders[i]->probe && loaders[i]->probe(head, n))
				b->loader = loaders[i];
		}
		if (!b->loader)
			return fail(error, LODGE_ERROR_FILE,
				"kernel %s is neither a bzImage nor an ELF file (format=raw takes "
				"anything)",
				b->kernel.path);
		return 0;
	}
	nearest_init(&near, format);
	for (unsigned i = 0; loaders[i]; i++) {
		if (strcmp(loaders[i]->format, format) == 0)
			b->loader = loaders[i];
		nearest_offer(&near, loaders[i]->format);
	}
	hint = nearest_hint(&near);
	return b->loader ? 0
			 : fail(error, LODGE_ERROR_USAGE, "no kernel format '%s'%s", format, hint);
}

int boot_open(struct boot *b, const char *kernel, const char *initrd, const char *append,
	const char *format, GError **error)
{
	b->kernel.fd = b->initrd.fd = -1;
	b->append = g_strdup(append ? append : "");
	if (!kernel) {
		if (initrd || append)
			return fail(
				error, LODGE_ERROR_USAGE, "--initrd and --append need --kernel");
		return 0;
	}
	if (file_open(&b->kernel, "kernel", kernel, error) < 0)
		return -1;
	if (initrd && file_open(&b->initrd, "initrd", initrd, error) < 0)
		return -1;
	if (strlen(b->append) >= BOOT_CMDLINE_MAX)
		return fail(error, LODGE_ERROR_USAGE,
			"the kernel command line is longer than %d bytes", BOOT_CMDLINE_MAX - 1);
	if (find_loader(b, format, error) < 0)
		return -1;
	return b->loader->check(b, error);
}

static void file_close(struct boot_file *f)
{
	if (f->path && f->fd >= 0)
		close(f->fd);
	g_clear_pointer(&f->path, g_free);
	f->fd = -1;
}

void boot_close(struct boot *b)
{
	file_close(&b->kernel);
	file_close(&b->initrd);
	g_clear_pointer(&b->append, g_free);
}

int boot_load(struct boot *b, struct x86_cpu *cpu, GError **error)
{
	return b->loader ? b->loader->load(b, cpu, error) : 0;
}
