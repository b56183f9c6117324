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
			    "%s: no such disk image; create one with 'truncate -s 20G %s'", path,
			    path);
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
		return fail(error, LODGE_ERROR_FILE, "%s: is in use as a program or swap file",
			    path);
	default:
		return fail_errno(error, LODGE_ERROR_FILE, err, "%s: cannot open it", path);
	}
}

static int check_kind(struct file *f, GError **error)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "%s", f->path);
	if (S_ISDIR(st.st_mode))
		return fail(error, LODGE_ERROR_FILE, "%s: is a directory, not a disk image",
			    f->path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return fail(error, LODGE_ERROR_FILE,
			    "%s: is neither a file nor a block device", f->path);
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
		return errno == EINVAL ?
			       fail(error, LODGE_ERROR_FILE,
				    "%s: its file system has no direct I/O; leave out direct=on",
				    f->path) :
			       fail_errno(error, LODGE_ERROR_FILE, errno,
					  "%s: cannot open it for direct I/O", f->path);
	f->align = probe_align(f->direct_fd);
	if (!f->align)
		return fail(error, LODGE_ERROR_FILE,
			    "%s: direct I/O fails with every alignment; leave out direct=on",
			    f->path);
	return 0;
}

static uint32_t block_granularity(int fd)
{
	g_autofree char *path = NULL, *text = NULL;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return 0;
	path = g_strdup_printf("/sys/dev/block/%u:%u/queue/discard_granularity",
			       major(st.st_rdev), minor(st.st_rdev));
	if (!g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	return MIN(g_ascii_strtoull(text, NULL, 10), 1u << 30);
}

/* A hole behind the end of the file changes nothing and tells whether holes can be made. */
static uint32_t file_granularity(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 ||
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (st.st_size + 65536) & ~65535ll, 65536) < 0)
		return 0;
	return st.st_blksize > 0 ? st.st_blksize : 4096;
}

struct file *file_open(const struct file_options *o, GError **error)
{
	struct file *f = g_new0(struct file, 1);

	f->path = g_strdup(o->path);
	f->fd = f->direct_fd = -1;
	f->align = 1;
	f->readonly = o->readonly;
	/* O_NONBLOCK: a FIFO must be refused, not waited for; regular files ignore it. */
	f->fd = open(o->path, (o->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0 && errno == EISDIR)
		f->fd = open(o->path, O_RDONLY | O_CLOEXEC); /* for check_kind to name it */
	if (f->fd < 0) {
		open_error(o->path, o->readonly, errno, error);
		goto failed;
	}
	if (check_kind(f, error) < 0 ||
	    (!o->no_lock && file_lock(f->fd, f->path, !o->readonly, error) < 0) ||
	    (o->direct && open_direct(f, error) < 0))
		goto failed;
	if (!f->readonly)
		f->discard_granularity = f->block ? block_granularity(f->fd) :
						    file_granularity(f->fd);
	return f;
failed:
	file_close(f);
	return NULL;
}

void file_close(struct file *f)
{
	if (!f)
		return;
	if (f->direct_fd >= 0)
		close(f->direct_fd);
	if (f->fd >= 0)
		close(f->fd);
	g_free(f->path);
	g_free(f);
}

int64_t file_length(const struct file *f)
{
	struct stat st;
	uint64_t n;

	if (f->block)
		return ioctl(f->fd, BLKGETSIZE64, &n) < 0 ? -errno : (int64_t)MIN(n, INT64_MAX);
	return fstat(f->fd, &st) < 0 ? -errno : st.st_size;
}

ssize_t file_read(const struct file *f, uint64_t at, void *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pread(f->fd, (char *)buf + done, n - done, at + done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += r;
	}
	return done;
}

int file_write(const struct file *f, uint64_t at, const void *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pwrite(f->fd, (const char *)buf + done, n - done, at + done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -EIO;
		done += r;
	}
	return 0;
}
