/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lock.c: image locks that agree with QEMU's byte ranges. Spec: QEMU documentation, "Disk image
 * file locking"; fcntl(2), open file description locks.
 */
#include "image/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

enum { LOCK_USED = 100, LOCK_UNSHARED = 200 };
enum { PERM_READ = 0, PERM_WRITE = 1, PERM_COUNT = 4 };

static int ofd_lock(int fd, int cmd, short type, off_t byte)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	if (fcntl(fd, cmd, &l) < 0)
		return -errno;
	return cmd == F_OFD_GETLK && l.l_type != F_UNLCK ? -EAGAIN : 0;
}

/* Takes the bytes for `used` and `unshared` (bit masks), then checks the opposite ones. */
static int lock_bytes(int fd, unsigned used, unsigned unshared)
{
	int r = 0;

	for (int p = 0; p < PERM_COUNT && !r; p++) {
		if (used & 1u << p)
			r = ofd_lock(fd, F_OFD_SETLK, F_RDLCK, LOCK_USED + p);
		if (!r && unshared & 1u << p)
			r = ofd_lock(fd, F_OFD_SETLK, F_RDLCK, LOCK_UNSHARED + p);
	}
	/* A write lock would conflict with any foreign read lock; only asked for, never taken. */
	for (int p = 0; p < PERM_COUNT && !r; p++) {
		if (used & 1u << p)
			r = ofd_lock(fd, F_OFD_GETLK, F_WRLCK, LOCK_UNSHARED + p);
		if (!r && unshared & 1u << p)
			r = ofd_lock(fd, F_OFD_GETLK, F_WRLCK, LOCK_USED + p);
	}
	return r;
}

static bool holds_lock(int pid, const char *fd, const struct stat *want)
{
	g_autofree char *link = g_strdup_printf("/proc/%d/fd/%s", pid, fd);
	g_autofree char *info = g_strdup_printf("/proc/%d/fdinfo/%s", pid, fd);
	g_autofree char *text = NULL;
	struct stat st;

	return stat(link, &st) == 0 && st.st_dev == want->st_dev && st.st_ino == want->st_ino &&
	       g_file_get_contents(info, &text, NULL, NULL) && strstr(text, "OFDLCK");
}

static bool process_holds(int pid, const struct stat *want)
{
	g_autofree char *dir = g_strdup_printf("/proc/%d/fd", pid);
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d)))
		found = e->d_name[0] != '.' && holds_lock(pid, e->d_name, want);
	if (d)
		closedir(d);
	return found;
}

/* Who holds it, as " (process 123, qemu-system-x86)"; "" if that cannot be seen. OFD locks carry no
 * pid, so the holder is the process with a locked descriptor on the same inode. */
static char *lock_holder(int fd)
{
	char *who = NULL;
	struct dirent *e;
	struct stat st;
	DIR *d;

	if (fstat(fd, &st) < 0 || !(d = opendir("/proc")))
		return g_strdup("");
	while (!who && (e = readdir(d))) {
		int pid = atoi(e->d_name);

		/* Our own descriptor holds locks too while this runs. */
		if (pid <= 0 || pid == getpid() || !process_holds(pid, &st))
			continue;
		g_autofree char *path = g_strdup_printf("/proc/%d/comm", pid);
		g_autofree char *comm = NULL;

		g_file_get_contents(path, &comm, NULL, NULL);
		who = g_strdup_printf(" (process %d, %s)", pid, comm ? g_strchomp(comm) : "?");
	}
	closedir(d);
	return who ? who : g_strdup("");
}

int file_lock(int fd, const char *path, bool write, GError **error)
{
	unsigned used = 1u << PERM_READ | (write ? 1u << PERM_WRITE : 0);
	/* Nobody else may write: neither a writer nor a reader can work on changing bytes. */
	int r = lock_bytes(fd, used, 1u << PERM_WRITE);

	if (!r)
		return 0;
	if (r == -EINVAL || r == -ENOLCK || r == -EOPNOTSUPP || r == -ENOSYS) {
		log_warn(
			"%s: its file system has no locks, nothing keeps a second user away", path);
		return 0;
	}
	if (r != -EAGAIN && r != -EACCES)
		return fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot lock it", path);
	g_autofree char *who = lock_holder(fd);

	return fail(error, LODGE_ERROR_FILE,
		"%s: is in use by another program%s%s; stop that first, or give each machine a "
		"copy of the disk",
		path, who, write ? "" : " that writes to it");
}
