/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_raw.c: raw images through the engine. Oracles: qemu-io reads what we wrote and writes what we
 * read; qemu-img and qemu-io hold the locks we must respect, and must respect ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/image.h"

struct job {
	struct image_request r;
	struct iovec iov[3];
	int err, *left;
};

static char *dir;

static void job_done(struct image_request *r, int err)
{
	struct job *j = r->opaque;

	j->err = err;
	--*j->left;
}

static char *make_file(const char *name, int64_t size)
{
	char *path = g_build_filename(dir, name, NULL);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
	return path;
}

static struct image *open_ok(const struct image_options *o)
{
	GError *e = NULL;
	struct image *im = image_open(o, &e);

	if (!im)
		fail_msg("%s", e->message);
	if (image_queue_attach(im, 0, NULL, &e) < 0)
		fail_msg("%s", e->message);
	return im;
}

static void refused(const struct image_options *o, const char *want)
{
	GError *e = NULL;

	assert_null(image_open(o, &e));
	assert_non_null(e);
	if (!strstr(e->message, want))
		fail_msg("'%s' lacks '%s'", e->message, want);
	g_error_free(e);
}

static int one(struct image *im, enum image_op op, uint64_t off, void *buf, size_t n, int flags)
{
	int left = 1;
	struct job j = { .left = &left };

	/* Odd pieces, so that vectors are cut and joined. */
	size_t a = buf && n > 1024 ? 512 : n, b = buf && n > 4096 ? 1536 : 0;

	j.iov[0] = (struct iovec){ buf, a };
	if (buf) {
		j.iov[1] = (struct iovec){ (char *)buf + a, b };
		j.iov[2] = (struct iovec){ (char *)buf + a + b, n - a - b };
	}
	j.r = (struct image_request){ .op = op, .offset = off, .length = n, .iov = j.iov,
				      .iovcnt = buf ? 3 : 0,
				      .fua = flags & 1, .may_unmap = flags & 2, .done = job_done,
				      .opaque = &j };
	image_submit(im, 0, &j.r);
	image_kick(im, 0);
	while (left)
		g_main_context_iteration(NULL, TRUE);
	return j.err;
}

static int sh(const char *fmt, ...)
{
	g_autofree char *cmd = NULL, *out = NULL, *err = NULL;
	const char *argv[] = { "sh", "-c", NULL, NULL };
	va_list ap;
	int status;

	va_start(ap, fmt);
	cmd = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	argv[2] = cmd;
	assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out,
				 &err, &status, NULL));
	/* qemu-io exits 0 on a failed verification; it says so in words. */
	if (strstr(out, "verification failed") || strstr(out, "failed:"))
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void round_trip(const struct image_options *base)
{
	g_autofree char *path = make_file("rt.img", 64 << 20);
	struct image_options o = *base;
	g_autofree uint8_t *buf = aligned_alloc(4096, 2 << 20);
	struct image *im;

	o.path = path;
	o.format = "raw";
	im = open_ok(&o);
	assert_int_equal(image_size(im), 64 << 20);
	memset(buf, 0x5a, 2 << 20);
	assert_int_equal(one(im, IMAGE_WRITE, 1 << 20, buf, 2 << 20, 0), 0);
	memset(buf, 0xa5, 4096);
	assert_int_equal(one(im, IMAGE_WRITE, (2 << 20) + 512, buf, 4096, 1), 0);
	assert_int_equal(one(im, IMAGE_ZERO, (1 << 20) + 1536, NULL, 70144, 2), 0);
	assert_int_equal(one(im, IMAGE_ZERO, (1 << 20) + 131072, NULL, 3072, 0), 0);
	assert_int_equal(one(im, IMAGE_DISCARD, (2 << 20) + 65536, NULL, 65536, 0), 0);
	assert_int_equal(one(im, IMAGE_FLUSH, 0, NULL, 0, 0), 0);
	memset(buf, 1, 8192);
	assert_int_equal(one(im, IMAGE_READ, 2 << 20, buf, 8192, 0), 0);
	assert_int_equal(buf[511], 0x5a);
	assert_int_equal(buf[512], 0xa5);
	assert_int_equal(buf[4607], 0xa5);
	assert_int_equal(buf[4608], 0x5a);
	image_close(im);
	assert_int_equal(sh("qemu-io -f raw -r -c 'read -P 0 0 1M' -c 'read -P 0x5a 1M 1536' "
			    "-c 'read -P 0 1050112 70144' -c 'read -P 0x5a 1120256 59392' "
			    "-c 'read -P 0 1179648 3072' -c 'read -P 0x5a 2M 512' "
			    "-c 'read -P 0xa5 2097664 4096' -c 'read -P 0x5a 2101760 60928' "
			    "-c 'read -P 0 2162688 64K' -c 'read -P 0x5a 2228224 896K' "
			    "-c 'read -P 0 3M 61M' %s", path), 0);
	/* Can that check fail at all? */
	assert_int_equal(sh("qemu-io -f raw -r -c 'read -P 7 0 1M' %s", path), 1);
	assert_int_equal(sh("qemu-io -f raw -c 'write -P 0x33 5M 1M' %s", path), 0);
	im = open_ok(&o);
	assert_int_equal(one(im, IMAGE_READ, 5 << 20, buf, 1 << 20, 0), 0);
	for (unsigned i = 0; i < 1 << 20; i++)
		assert_int_equal(buf[i], 0x33);
	image_close(im);
}

static void test_round_trip(void **s)
{
	round_trip(&(struct image_options){ 0 });
}

static void test_threads(void **s)
{
	round_trip(&(struct image_options){ .threads = true });
}

static void test_direct(void **s)
{
	round_trip(&(struct image_options){ .direct = true });
	round_trip(&(struct image_options){ .direct = true, .threads = true });
}

/* More requests than slots, all submitted before one kick; random, checked against a model. */
static void test_many(void **s)
{
	enum { N = 2000, SIZE = 8 << 20 };
	g_autofree char *path = make_file("many.img", SIZE);
	g_autofree uint8_t *model = g_malloc0(SIZE), *data = g_malloc(N * 4096), *back = g_malloc(SIZE);
	struct image *im = open_ok(&(struct image_options){ .path = path, .format = "raw" });
	struct job *jobs = g_new0(struct job, N);
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	int left = N;

	for (unsigned i = 0; i < N; i++) {
		uint64_t at = (uint64_t)i * 4096;
		size_t n = 512 * g_rand_int_range(rand, 1, 9);

		memset(data + at, g_rand_int_range(rand, 1, 256), n);
		memcpy(model + at, data + at, n);
		jobs[i].iov[0] = (struct iovec){ data + at, n };
		jobs[i].left = &left;
		jobs[i].r = (struct image_request){ .op = IMAGE_WRITE, .offset = at, .length = n,
						    .iov = jobs[i].iov, .iovcnt = 1,
						    .done = job_done, .opaque = &jobs[i] };
		image_submit(im, 0, &jobs[i].r);
	}
	image_kick(im, 0);
	image_drain(im, 0);
	assert_int_equal(left, 0);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(jobs[i].err, 0);
	assert_int_equal(one(im, IMAGE_READ, 0, back, SIZE, 0), 0);
	assert_memory_equal(back, model, SIZE);
	image_close(im);
	g_free(jobs);
}

struct chain {
	struct job j;
	struct image *im;
	unsigned left, depth, deepest;
};

static void chain_done(struct image_request *r, int err)
{
	struct chain *c = r->opaque;

	assert_int_equal(err, 0);
	c->depth++;
	c->deepest = MAX(c->deepest, c->depth);
	if (c->left && --c->left) {
		r->offset = (r->offset + 4096) % (1 << 20);
		image_submit(c->im, 0, r);
	}
	c->depth--;
}

/* A done() that submits: a million in a row neither nest nor get stuck, cached or not. */
static void test_chain(void **s)
{
	g_autofree char *path = make_file("chain.img", 1 << 20);
	g_autofree uint8_t *buf = aligned_alloc(4096, 4096);

	for (unsigned direct = 0; direct < 2; direct++) {
		struct chain c = { .left = direct ? 500 : 1000000 };

		c.im = open_ok(&(struct image_options){ .path = path, .format = "raw", .direct = direct });
		c.j.iov[0] = (struct iovec){ buf, 4096 };
		c.j.r = (struct image_request){ .op = IMAGE_READ, .length = 4096, .iov = c.j.iov,
						.iovcnt = 1, .done = chain_done, .opaque = &c };
		image_submit(c.im, 0, &c.j.r);
		image_kick(c.im, 0);
		while (c.left)
			g_main_context_iteration(NULL, TRUE);
		image_drain(c.im, 0);
		assert_int_equal(c.deepest, 1);
		image_close(c.im);
	}
}

static gpointer drain_elsewhere(gpointer im)
{
	image_drain(im, 0);
	return NULL;
}

/* A thread that does not own the loop waits until the loop has called done(). */
static void test_drain_thread(void **s)
{
	g_autofree char *path = make_file("drain.img", 1 << 20);
	struct image *im = open_ok(&(struct image_options){ .path = path, .format = "raw" });
	g_autofree uint8_t *buf = g_malloc0(65536);
	int left = 1;
	struct job j = { .left = &left, .iov = { { buf, 65536 } } };
	GThread *t;

	j.r = (struct image_request){ .op = IMAGE_WRITE, .length = 65536, .iov = j.iov, .iovcnt = 1,
				      .done = job_done, .opaque = &j };
	assert_true(g_main_context_acquire(NULL));
	image_submit(im, 0, &j.r);
	image_kick(im, 0);
	t = g_thread_new("drain", drain_elsewhere, im);
	g_usleep(20000);
	assert_int_equal(left, 1); /* only the owner's loop completes */
	while (left)
		g_main_context_iteration(NULL, TRUE);
	g_thread_join(t);
	g_main_context_release(NULL);
	image_close(im);
}

static void odd_size(bool direct)
{
	g_autofree char *path = make_file("odd.img", 100001);
	struct image *im = open_ok(&(struct image_options){ .path = path, .format = "raw",
							    .direct = direct });
	g_autofree uint8_t *buf = aligned_alloc(4096, 8192);
	struct stat st;

	assert_int_equal(image_size(im), 100352);
	memset(buf, 0xee, 4096);
	assert_int_equal(one(im, IMAGE_READ, 100352 - 4096, buf, 4096, 0), 0);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(buf[i], 0);
	memset(buf, 0x77, 1024);
	assert_int_equal(one(im, IMAGE_WRITE, 100352 - 1024, buf, 1024, 0), 0);
	assert_int_equal(one(im, IMAGE_READ, 100352, buf, 512, 0), EINVAL);
	assert_int_equal(one(im, IMAGE_READ, 100352 - 512, buf, 1024, 0), EINVAL);
	assert_int_equal(one(im, IMAGE_READ, 100, buf, 512, 0), EINVAL);
	image_close(im);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 100352);
	assert_int_equal(sh("qemu-io -f raw -r -c 'read -P 0x77 99328 1024' %s", path), 0);
}

static void test_odd_size(void **s)
{
	odd_size(false);
	odd_size(true);
}

static void test_discard_frees(void **s)
{
	g_autofree char *path = make_file("holes.img", 8 << 20);
	struct image *im = open_ok(&(struct image_options){ .path = path, .format = "raw" });
	g_autofree uint8_t *buf = g_malloc(4 << 20);
	struct stat full, holed;

	memset(buf, 1, 4 << 20);
	assert_int_equal(one(im, IMAGE_WRITE, 0, buf, 4 << 20, 1), 0);
	assert_int_equal(stat(path, &full), 0);
	assert_int_not_equal(image_discard_granularity(im), 0);
	assert_int_equal(one(im, IMAGE_DISCARD, 0, NULL, 4 << 20, 0), 0);
	assert_int_equal(stat(path, &holed), 0);
	assert_true(holed.st_blocks < full.st_blocks / 2);
	assert_int_equal(holed.st_size, 8 << 20);
	image_close(im);
}

static void test_readonly(void **s)
{
	g_autofree char *path = make_file("ro.img", 1 << 20);
	struct image *im = open_ok(&(struct image_options){ .path = path, .format = "raw",
							    .readonly = true });
	uint8_t buf[512] = { 0 };
	GError *e = NULL;

	assert_int_equal(one(im, IMAGE_WRITE, 0, buf, 512, 0), EROFS);
	assert_int_equal(one(im, IMAGE_DISCARD, 0, NULL, 512, 0), EROFS);
	assert_int_equal(one(im, IMAGE_READ, 0, buf, 512, 0), 0);
	assert_int_equal(one(im, IMAGE_FLUSH, 0, NULL, 0, 0), 0);
	assert_int_equal(image_pwrite(im, 0, buf, 1, &e), -1);
	g_clear_error(&e);
	image_close(im);
}

static void test_refusals(void **s)
{
	g_autofree char *empty = make_file("empty.img", 0);
	g_autofree char *some = make_file("some.img", 4096);
	g_autofree char *qed = g_build_filename(dir, "a.qed", NULL);
	g_autofree char *none = g_build_filename(dir, "nothing-here", NULL);
	g_autofree char *fifo = g_build_filename(dir, "fifo", NULL);

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(sh("qemu-img create -f qed %s 1M", qed), 0);
	refused(&(struct image_options){ .path = none }, "no such disk image");
	refused(&(struct image_options){ .path = dir }, "is a directory");
	refused(&(struct image_options){ .path = empty }, "is empty");
	refused(&(struct image_options){ .path = fifo }, "neither a file nor");
	refused(&(struct image_options){ .path = qed }, "can only be read");
	refused(&(struct image_options){ .path = some, .format = "rwa" }, "'rwa'");
	refused(&(struct image_options){ .path = some, .no_lock = true }, "without a lock");
	refused(&(struct image_options){ .path = "/dev/null" }, "neither a file nor");
	/* As another user, since root may read everything. */
	pid_t pid = fork();

	if (pid == 0) {
		GError *e = NULL;

		if (setuid(65534) < 0 || chmod(some, 0600) == 0)
			_exit(2);
		_exit(!image_open(&(struct image_options){ .path = some }, &e) &&
		      (strstr(e->message, "no permission") != NULL) ? 0 : 1);
	}
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (getuid() == 0)
		assert_int_equal(status, 0);
}

static void test_disguise(void **s)
{
	g_autofree char *path = make_file("guest.img", 1 << 20);
	struct image *im = open_ok(&(struct image_options){ .path = path });
	uint8_t buf[1024] = "QFI\xfb\0\0\0\3";

	assert_int_equal(one(im, IMAGE_WRITE, 0, buf, 1024, 0), EPERM);
	assert_int_equal(one(im, IMAGE_WRITE, 512, buf, 512, 0), 0);
	memset(buf, 0x42, sizeof(buf));
	assert_int_equal(one(im, IMAGE_WRITE, 0, buf, 1024, 0), 0);
	image_close(im);
	assert_int_equal(sh("qemu-io -f raw -r -c 'read -P 0x42 0 1024' %s", path), 0);
	im = open_ok(&(struct image_options){ .path = path, .format = "raw" });
	memcpy(buf, "QFI\xfb\0\0\0\3", 8);
	assert_int_equal(one(im, IMAGE_WRITE, 0, buf, 1024, 0), 0);
	image_close(im);
}

static GPid hold(const char *path, const char *how)
{
	g_autofree char *cmd = g_strdup_printf("exec qemu-io -f raw %s -c 'sleep 30000' %s", how, path);
	const char *argv[] = { "sh", "-c", cmd, NULL };
	GPid pid;

	assert_true(g_spawn_async(NULL, (char **)argv, NULL,
				  G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
					  G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, &pid, NULL));
	/* Until its locks show. */
	for (int i = 0; i < 500; i++) {
		if (sh("grep -q OFDLCK /proc/%d/fdinfo/*", pid) == 0)
			break;
		g_usleep(10000);
	}
	return pid;
}

static void let_go(GPid pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_locks(void **s)
{
	g_autofree char *path = make_file("lock.img", 1 << 20);
	struct image_options rw = { .path = path, .format = "raw" };
	struct image_options ro = { .path = path, .format = "raw", .readonly = true };
	struct image_options peek = { .path = path, .format = "raw", .readonly = true,
				      .no_lock = true };
	struct image *im, *second;
	GPid pid;

	pid = hold(path, "");
	g_autofree char *who = g_strdup_printf("(process %d, qemu-io)", pid);

	refused(&rw, who);
	refused(&ro, who);
	im = open_ok(&peek);
	image_close(im);
	let_go(pid);
	pid = hold(path, "-r");
	im = open_ok(&ro); /* several readers */
	image_close(im);
	let_go(pid);

	im = open_ok(&rw);
	assert_int_not_equal(sh("qemu-io -f raw -c 'write 0 512' %s", path), 0);
	refused(&rw, "is in use");
	refused(&ro, "is in use");
	image_close(im);
	assert_int_equal(sh("qemu-io -f raw -c 'write 0 512' %s", path), 0);
	im = open_ok(&ro);
	second = open_ok(&ro);
	assert_int_not_equal(sh("qemu-io -f raw -c 'write 0 512' %s", path), 0);
	assert_int_equal(sh("qemu-io -r -f raw -c 'read 0 512' %s", path), 0);
	refused(&rw, "is in use");
	image_close(im);
	image_close(second);
}

static GPid hold_with_qemu(const char *path, const char *readonly, bool *ret_ended)
{
	g_autofree char *cmd = g_strdup_printf("exec qemu-system-x86_64 -S -display none -nodefaults "
					       "-drive file=%s,format=raw,if=virtio,readonly=%s 2>/dev/null",
					       path, readonly);
	const char *argv[] = { "sh", "-c", cmd, NULL };
	GPid pid;

	assert_true(g_spawn_async(NULL, (char **)argv, NULL,
				  G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
				  NULL));
	*ret_ended = false;
	for (int i = 0; i < 500 && !*ret_ended; i++) {
		/* The last lock it takes: nobody else may write. */
		if (sh("grep -q 'READ.* 201 201' /proc/%d/fdinfo/*", pid) == 0)
			break;
		*ret_ended = waitpid(pid, NULL, WNOHANG) == pid;
		g_usleep(10000);
	}
	return pid;
}

/* The same against a whole virtual machine. */
static void test_locks_qemu_system(void **s)
{
	g_autofree char *path = make_file("lock2.img", 1 << 20);
	g_autofree char *qemu = g_find_program_in_path("qemu-system-x86_64");
	struct image_options rw = { .path = path, .format = "raw" };
	struct image_options ro = { .path = path, .format = "raw", .readonly = true };
	struct image *im;
	bool ended;
	GPid pid;

	if (!qemu) {
		print_message("needs qemu-system-x86_64\n");
		skip();
	}
	pid = hold_with_qemu(path, "off", &ended);
	assert_false(ended);
	refused(&rw, "qemu-system");
	refused(&ro, "qemu-system");
	let_go(pid);
	pid = hold_with_qemu(path, "on", &ended);
	assert_false(ended);
	refused(&rw, "qemu-system");
	im = open_ok(&ro);
	image_close(im);
	let_go(pid);

	im = open_ok(&rw);
	hold_with_qemu(path, "off", &ended);
	assert_true(ended);
	hold_with_qemu(path, "on", &ended);
	assert_true(ended);
	image_close(im);
	im = open_ok(&ro);
	hold_with_qemu(path, "off", &ended);
	assert_true(ended);
	pid = hold_with_qemu(path, "on", &ended);
	assert_false(ended);
	let_go(pid);
	image_close(im);
}

/* A full file system: the guest gets ENOSPC, nothing else happens; punching is all tmpfs has. */
static void test_full_disk(void **s)
{
	g_autofree char *mnt = g_build_filename(dir, "small", NULL);
	g_autofree char *path = g_build_filename(mnt, "d.img", NULL);
	g_autofree uint8_t *buf = g_malloc(1 << 20);
	struct image *im;
	int fd, full = 0;

	g_mkdir(mnt, 0700);
	if (mount("lodge-test", mnt, "tmpfs", 0, "size=4m") < 0) {
		print_message("needs root to mount a tmpfs\n");
		skip();
	}
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	close(fd);
	im = open_ok(&(struct image_options){ .path = path, .format = "raw" });
	memset(buf, 0x11, 1 << 20);
	for (unsigned i = 0; i < 16; i++) {
		int err = one(im, IMAGE_WRITE, (uint64_t)i << 20, buf, 1 << 20, 0);

		assert_true(err == 0 || err == ENOSPC);
		full += err == ENOSPC;
	}
	assert_in_range(full, 12, 16);
	assert_int_equal(one(im, IMAGE_DISCARD, 0, NULL, 2 << 20, 0), 0);
	assert_int_equal(one(im, IMAGE_WRITE, 8 << 20, buf, 1 << 20, 0), 0);
	assert_int_equal(one(im, IMAGE_ZERO, 8 << 20, NULL, 1 << 20, 0), 0);
	assert_int_equal(one(im, IMAGE_READ, 8 << 20, buf, 1 << 20, 0), 0);
	for (unsigned i = 0; i < 1 << 20; i++)
		assert_int_equal(buf[i], 0);
	image_close(im);
	assert_int_equal(umount(mnt), 0);
}

static void test_block_device(void **s)
{
	g_autofree char *path = make_file("loop.img", 4 << 20);
	g_autofree char *out = NULL, *cmd = g_strdup_printf("losetup --show -f %s", path);
	g_autofree uint8_t *buf = aligned_alloc(4096, 65536);
	struct image *im;
	int status;

	if (getuid() != 0 || !g_spawn_command_line_sync(cmd, &out, NULL, &status, NULL) || status) {
		print_message("no loop device to be had\n");
		skip();
	}
	g_strchomp(out);
	im = open_ok(&(struct image_options){ .path = out, .format = "raw", .direct = true });
	assert_int_equal(image_size(im), 4 << 20);
	memset(buf, 0x21, 65536);
	assert_int_equal(one(im, IMAGE_WRITE, 1 << 20, buf, 65536, 1), 0);
	assert_int_equal(one(im, IMAGE_ZERO, (1 << 20) + 4096, NULL, 8192, 2), 0);
	assert_int_equal(one(im, IMAGE_FLUSH, 0, NULL, 0, 0), 0);
	image_close(im);
	assert_int_equal(sh("losetup -d %s", out), 0);
	assert_int_equal(sh("qemu-io -f raw -r -c 'read -P 0x21 1M 4096' -c 'read -P 0 1052672 8192' "
			    "-c 'read -P 0x21 1060864 53248' %s", path), 0);
}

static void test_sync_access(void **s)
{
	g_autofree char *path = make_file("sync.img", 1000);
	struct image *im = open_ok(&(struct image_options){ .path = path, .format = "raw" });
	char buf[30] = { 1 };
	GError *e = NULL;

	assert_int_equal(image_pwrite(im, 3, "hello", 5, &e), 0);
	assert_int_equal(image_pread(im, 1, buf, 10, &e), 0);
	assert_memory_equal(buf, "\0\0hello\0\0\0", 10);
	memset(buf, 9, sizeof(buf));
	assert_int_equal(image_pread(im, 990, buf, 30, &e), 0); /* across the end of the file */
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(image_pread(im, 1020, buf, 10, &e), -1);
	g_clear_error(&e);
	image_close(im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_drain_thread),
		cmocka_unit_test(test_odd_size),
		cmocka_unit_test(test_discard_frees),
		cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_disguise),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_locks_qemu_system),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_block_device),
		cmocka_unit_test(test_sync_access),
	};
	int failed;

	dir = g_dir_make_tmp("lodge-image-XXXXXX", NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	sh("rm -rf %s", dir);
	g_free(dir);
	return failed;
}
