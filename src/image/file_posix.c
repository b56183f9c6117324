/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file_posix.c: image containers that are regular files or block devices. */
#include "image/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"

static int open_error(const char *path, bool readonly, int err, GError **error)
{
	switch (err) {
	case ENOENT:
		return fail(error, LODGE_ERROR_FILE,
			"%s: no such disk image; create one with 'truncate -s 20G %s'", path, path);
	case EACCES:
	case EPERM:
		return fail(error, LODGE_ERROR_FILE,
			"%s: no permission to %s it; check the owner and mode of the file and of "
			"every folder above it%s",
			path, readonly ? "read" : "write",
			readonly ? "" : ", or open it with readonly=on");
	case EROFS:
		return fail(error, LODGE_ERROR_FILE,
			"%s: is on a read-only file system; open it with readonly=on", path);
	case ETXTBSY:
		return fail(
			error, LODGE_ERROR_FILE, "%s: is in use as a program or swap file", path);
	case EEXIST:
		return fail(error, LODGE_ERROR_FILE,
			"%s: is already there; remove it first, or say that it may be "
			"overwritten",
			path);
	default: return fail_errno(error, LODGE_ERROR_FILE, err, "%s: cannot open it", path);
	}
}

static int check_kind(struct file *f, GError **error)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "%s", f->path);
	if (S_ISDIR(st.st_mode))
		return fail(
			error, LODGE_ERROR_FILE, "%s: is a directory, not a disk image", f->path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return fail(error, LODGE_ERROR_FILE, "%s: is neither a file nor a block device",
			f->path);
	f->block = S_ISBLK(st.st_mode);
	/* It did its work; on block devices it would turn waiting into EAGAIN. */
	fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) & ~O_NONBLOCK);
	return 0;
}

/* The alignment O_DIRECT wants here, by trying; 0 if none works. */
static uint32_t probe_align(int fd)
{
	static const uint32_t tries[] = { 512, 1024, 2048, 4096 };
	const uint32_t max = 4096;
	uint32_t found = 0;
	uint8_t *buf;

	if (posix_memalign((void **)&buf, 2 * max, 2 * max))
		return 0;
	for (unsigned i = 0; i < sizeof(tries) / sizeof(*tries) && !found; i++) {
		/* buf + try is aligned to exactly `try`. A file shorter than that is read whole. */
		if (pread(fd, buf + tries[i] % max, tries[i], 0) >= 0)
			found = tries[i];
	}
	free(buf);
	return found;
}

static int open_direct(struct file *f, GError **error)
{
	g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", f->fd);
	int mode = f->readonly ? O_RDONLY : O_RDWR;

	f->direct_fd = open(self, mode | O_DIRECT | O_CLOEXEC);
	if (f->direct_fd < 0)
		return errno == EINVAL ? fail(error, LODGE_ERROR_FILE,
						 "%s: its file system has no direct I/O; leave out "
						 "direct=on",
						 f->path)
				       : fail_errno(error, LODGE_ERROR_FILE, errno,
						 "%s: cannot open it for direct I/O", f->path);
	f->align = probe_align(f->direct_fd);
	if (!f->align)
		return fail(error, LODGE_ERROR_FILE,
			"%s: direct I/O fails with every alignment; leave out direct=on", f->path);
	return 0;
}

static uint32_t block_granularity(int fd)
{
	g_autofree char *path = NULL, *text = NULL;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return 0;
	path = g_strdup_printf("/sys/dev/block/%u:%u/queue/discard_granularity", major(st.st_rdev),
		minor(st.st_rdev));
	if (!g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	return MIN(g_ascii_strtoull(text, NULL, 10), 1u << 30);
}

/* A hole behind the end of the file changes nothing and tells whether holes can be made. */
static uint32_t file_granularity(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  (st.st_size + 65536) & ~65535ll, 65536) < 0)
		return 0;
	return st.st_blksize > 0 ? st.st_blksize : 4096;
}

static const struct file_ops posix_ops;

static int open_mode(const struct file_options *o)
{
	return (o->readonly ? O_RDONLY : O_RDWR) |
	       (o->create ? O_CREAT | (o->overwrite ? 0 : O_EXCL) : 0);
}

/* A file that was there is emptied only now that nobody else has it open. */
static int start_empty(struct file *f, GError **error)
{
	if (f->block)
		return 0;
	if (ftruncate(f->fd, 0) < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "%s: cannot empty it", f->path);
	return 0;
}

struct file *file_posix_open(const struct file_options *o, GError **error)
{
	struct file *f = file_new(&posix_ops, o->path, o->readonly);

	/* O_NONBLOCK: a FIFO must be refused, not waited for; regular files ignore it. */
	f->fd = open(o->path, open_mode(o) | O_CLOEXEC | O_NONBLOCK, 0644);
	if (f->fd < 0 && errno == EISDIR)
		f->fd = open(o->path, O_RDONLY | O_CLOEXEC); /* for check_kind to name it */
	if (f->fd < 0) {
		open_error(o->path, o->readonly, errno, error);
		goto failed;
	}
	if (check_kind(f, error) < 0 ||
		(!o->no_lock && file_lock(f->fd, f->path, !o->readonly, error) < 0) ||
		(o->create && start_empty(f, error) < 0) ||
		(o->direct && open_direct(f, error) < 0))
		goto failed;
	if (!f->readonly)
		f->discard_granularity =
			f->block ? block_granularity(f->fd) : file_granularity(f->fd);
	return f;
failed:
	file_close(f);
	return NULL;
}

static void posix_close(struct file *f)
{
	if (f->direct_fd >= 0)
		close(f->direct_fd);
	if (f->fd >= 0)
		close(f->fd);
}

static int64_t posix_length(struct file *f)
{
	struct stat st;
	uint64_t n;

	if (f->block)
		return ioctl(f->fd, BLKGETSIZE64, &n) < 0 ? -errno : (int64_t)MIN(n, INT64_MAX);
	return fstat(f->fd, &st) < 0 ? -errno : st.st_size;
}

static int best_fd(const struct file *f, uint64_t at, const void *buf, size_t n)
{
	return f->direct_fd >= 0 && !((at | (uintptr_t)buf | n) & (f->align - 1)) ? f->direct_fd
										  : f->fd;
}

static ssize_t posix_read(struct file *f, uint64_t at, void *buf, size_t n)
{
	int fd = best_fd(f, at, buf, n);
	size_t done = 0;

	while (done < n) {
		ssize_t r = pread(fd, (char *)buf + done, n - done, at + done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += r;
		fd = f->fd; /* what is left may be odd */
	}
	return done;
}

static int posix_write(struct file *f, uint64_t at, const void *buf, size_t n)
{
	int fd = best_fd(f, at, buf, n);
	size_t done = 0;

	while (done < n) {
		ssize_t r = pwrite(fd, (const char *)buf + done, n - done, at + done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -EIO;
		done += r;
		fd = f->fd;
	}
	return 0;
}

static int posix_sync(struct file *f)
{
	return fdatasync(f->fd) < 0 ? -errno : 0;
}

static bool unknown_here(int err)
{
	return err == EOPNOTSUPP || err == EINVAL || err == ENOSYS || err == ENODEV;
}

/* Tries one fallocate() mode and remembers in *no that there is no use in it. */
static int try_fallocate(struct file *f, int mode, uint64_t at, uint64_t n, _Atomic bool *no)
{
	if (*no)
		return -EOPNOTSUPP;
	if (fallocate(f->fd, mode, at, n) == 0)
		return 0;
	if (!unknown_here(errno))
		return -errno;
	*no = true;
	return -EOPNOTSUPP;
}

static int posix_zero(struct file *f, uint64_t at, uint64_t n, bool unmap)
{
	int64_t end = posix_length(f);
	uint64_t inside;
	int r = -EOPNOTSUPP;

	if (end < 0)
		return end;
	/* A hole behind the end is made by growing. */
	inside = at >= (uint64_t)end ? 0 : MIN(n, end - at);
	if (inside && unmap)
		r = try_fallocate(
			f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, inside, &f->no_punch);
	if (inside && r == -EOPNOTSUPP)
		r = try_fallocate(f, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, at, inside,
			&f->no_zero_range);
	if (inside && r < 0)
		return r;
	/* Not with ftruncate(): another thread may have grown the file further meanwhile. */
	if (inside < n && !f->block)
		return posix_write(f, at + n - 1, "", 1);
	return 0;
}

static int posix_discard(struct file *f, uint64_t at, uint64_t n)
{
	int r = try_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, n, &f->no_punch);

	return r == -EOPNOTSUPP ? 0 : r;
}

static int posix_truncate(struct file *f, uint64_t size)
{
	if (f->block) /* it has the size it has */
		return size <= (uint64_t)MAX(posix_length(f), 0) ? 0 : -ENOSPC;
	return ftruncate(f->fd, size) < 0 ? -errno : 0;
}

static int posix_allocate(struct file *f, uint64_t size)
{
	if (f->block)
		return 0;
	return fallocate(f->fd, 0, 0, size) < 0 ? -errno : 0;
}

static int posix_seek(struct file *f, uint64_t at, bool data, uint64_t *ret_at)
{
	off_t r;

	if (f->block) {
		int64_t end = posix_length(f);

		if (end < 0 || at >= (uint64_t)end)
			return end < 0 ? end : -ENXIO;
		*ret_at = data ? at : (uint64_t)end;
		return 0;
	}
	r = lseek(f->fd, at, data ? SEEK_DATA : SEEK_HOLE);
	if (r < 0)
		return -errno;
	*ret_at = r;
	return 0;
}

static const struct file_ops posix_ops = {
	.read = posix_read,
	.write = posix_write,
	.sync = posix_sync,
	.zero = posix_zero,
	.discard = posix_discard,
	.truncate = posix_truncate,
	.allocate = posix_allocate,
	.length = posix_length,
	.seek = posix_seek,
	.close = posix_close,
};
