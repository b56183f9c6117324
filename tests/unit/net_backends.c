/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * net_backends.c: user-mode NAT and tap. The guest is the host kernel's own TCP/IP stack in a network
 * namespace behind a tap, wired frame by frame to the back end under test.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/net.h"

enum { BULK = 8 << 20 };

/* ---- helpers ---- */

static struct netdev *open_ok(const char *spec)
{
	GError *e = NULL;
	struct netdev *n = net_open(spec, &e);

	if (!n)
		fail_msg("%s: %s", spec, e->message);
	return n;
}

static void refused(const char *spec, const char *want)
{
	GError *e = NULL;

	assert_null(net_open(spec, &e));
	if (!strstr(e->message, want))
		fail_msg("'%s' lacks '%s'", e->message, want);
	g_error_free(e);
}

static int sh(const char *fmt, ...)
{
	va_list ap;
	int status;

	va_start(ap, fmt);
	g_autofree char *cmd = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* A process that keeps a fresh network namespace; -1 without the right to make one. */
static pid_t namespace_new(void)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
		close(ready[0]);
		if (unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0)
			_exit(1);
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1) {
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	close(ready[0]);
	return pid;
}

static void namespace_free(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void namespace_enter(pid_t pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/ns/net", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(setns(fd, CLONE_NEWNET), 0);
	close(fd);
}

static struct netdev *tap_in(pid_t ns, const char *name, const char *address)
{
	g_autofree char *spec = g_strdup_printf("tap,name=%s", name);
	struct netdev *n;

	namespace_enter(ns);
	n = open_ok(spec);
	assert_int_equal(sh("ip addr add %s dev %s", address, name), 0);
	namespace_enter(getppid()); /* our parent never left the first one */
	return n;
}

/* ---- two back ends wired to each other ---- */

struct end {
	struct netdev *from, *to;
	unsigned frames, big, refuse_every, asked;
};

static bool pass(void *opaque, const uint8_t *frame, size_t n)
{
	struct end *e = opaque;
	uint8_t buf[NET_MTU_MAX + NET_HDR_MAX] = { 0 };
	size_t in = net_vnet_hdr(e->from) ? NET_HDR_MAX : 0, out = net_vnet_hdr(e->to) ? NET_HDR_MAX : 0;
	struct iovec iov = { buf, n - in + out };

	/* Now and then "no room", with net_flush_rx() following from another turn of the loop. */
	if (e->refuse_every && ++e->asked % e->refuse_every == 0) {
		g_idle_add_once((GSourceOnceFunc)net_flush_rx, e->from);
		return false;
	}
	e->frames++;
	e->big += n - in > 1514;
	if (in && out)
		memcpy(buf, frame, NET_HDR_MAX); /* checksum and segmentation requests */
	memcpy(buf + out, frame + in, n - in);
	net_send(e->to, &iov, 1);
	return true;
}

static const struct net_user passer = { pass, NULL };

static gboolean stop_loop(gpointer loop)
{
	g_main_loop_quit(loop);
	return G_SOURCE_CONTINUE;
}

static void shell_done(GPid pid, gint status, gpointer opaque)
{
	*(int *)opaque = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Runs a shell command while the loop carries frames; its exit status. */
static int run(const char *fmt, ...)
{
	const char *argv[] = { "sh", "-c", NULL, NULL };
	GMainLoop *loop = g_main_loop_new(NULL, FALSE);
	int status = -1;
	va_list ap;
	GPid pid;

	va_start(ap, fmt);
	g_autofree char *cmd = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	argv[2] = cmd;
	assert_true(g_spawn_async(NULL, (char **)argv, NULL,
				  G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
				  NULL));
	g_child_watch_add(pid, shell_done, &status);
	guint tick = g_timeout_add(20, stop_loop, loop);

	while (status < 0)
		g_main_loop_run(loop);
	g_source_remove(tick);
	g_main_loop_unref(loop);
	return status;
}

static uint16_t free_port(int type)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	getsockname(fd, (struct sockaddr *)&a, &n);
	close(fd);
	return ntohs(a.sin_port);
}

static void join(struct end *a, struct end *b, struct netdev *one, struct netdev *two)
{
	*a = (struct end){ .from = one, .to = two };
	*b = (struct end){ .from = two, .to = one };
	net_attach(one, &passer, a);
	net_attach(two, &passer, b);
}

static char *random_file(void)
{
	char *path = g_strdup_printf("/tmp/lodge-net-%d", getpid());

	assert_int_equal(sh("head -c %d /dev/urandom > %s", BULK, path), 0);
	return path;
}

/* ---- tests; each in a child that starts in the first namespace ---- */

static void user_and_kernel(void)
{
	uint16_t tcp = free_port(SOCK_STREAM), udp = free_port(SOCK_DGRAM), host = free_port(SOCK_STREAM);
	g_autofree char *spec = g_strdup_printf("user,forward=tcp:%u:80,forward=udp:127.0.0.1:%u:53",
						tcp, udp);
	g_autofree char *file = random_file();
	struct netdev *user = open_ok(spec), *tap;
	pid_t ns = namespace_new();
	struct end a, b;

	tap = tap_in(ns, "lodge0", "10.0.2.15/24");
	join(&a, &b, user, tap);
	b.refuse_every = a.refuse_every = 7;
	assert_false(net_vnet_hdr(user));
	assert_int_equal(net_offloads(user), 0);
	refused(spec, "is in use by another program");

	/* Into the guest, TCP: what a server there got is what was sent. */
	assert_int_equal(run("nsenter -t %d -n socat -u TCP-LISTEN:80 CREATE:%s.in & sleep 0.3; "
			     "socat -u OPEN:%s TCP:127.0.0.1:%u && wait && cmp %s %s.in", ns, file,
			     file, tcp, file, file), 0);
	/* Out of the guest, to a server on the host. */
	assert_int_equal(run("socat -u OPEN:%s TCP-LISTEN:%u,bind=127.0.0.1,reuseaddr & sleep 0.3; "
			     "nsenter -t %d -n socat -u TCP:10.0.2.2:%u CREATE:%s.out && wait && "
			     "cmp %s %s.out", file, host, ns, host, file, file, file), 0);
	/* UDP, there and back. */
	assert_int_equal(run("nsenter -t %d -n timeout 3 socat UDP-LISTEN:53 EXEC:cat & sleep 0.3; "
			     "test \"$(echo hello | timeout 2 socat -t1 - UDP:127.0.0.1:%u)\" = hello",
			     ns, udp), 0);
	assert_true(a.frames > 100 && b.frames > 100);
	net_close(user);
	net_close(tap);
	namespace_free(ns);
	/* The port is free again. */
	user = open_ok(spec);
	net_close(user);
	sh("rm -f %s %s.in %s.out", file, file, file);
}

static void user_restricted(void)
{
	uint16_t host = free_port(SOCK_STREAM);
	struct netdev *user = open_ok("user,restrict=on"), *tap;
	pid_t ns = namespace_new();
	struct end a, b;

	tap = tap_in(ns, "lodge0", "10.0.2.15/24");
	join(&a, &b, user, tap);
	assert_int_equal(run("echo secret | socat -u - TCP-LISTEN:%u,bind=127.0.0.1,reuseaddr & p=$!; "
			     "sleep 0.3; nsenter -t %d -n timeout 2 socat -u TCP:10.0.2.2:%u - | "
			     "grep -q secret; r=$?; kill $p 2>/dev/null; exit $r", host, ns, host), 1);
	net_close(user);
	net_close(tap);
	namespace_free(ns);
}

/* Two kernels, each behind a tap with every offload on: frames above the MTU must come across. */
static void tap_offloads(void)
{
	pid_t left = namespace_new(), right = namespace_new();
	g_autofree char *file = random_file();
	struct netdev *one = tap_in(left, "lodge0", "10.9.9.1/24");
	struct netdev *two = tap_in(right, "lodge0", "10.9.9.2/24");
	struct end a, b;

	assert_true(net_vnet_hdr(one));
	assert_int_equal(net_offloads(one) & (NET_CSUM | NET_TSO4 | NET_TSO6),
			 NET_CSUM | NET_TSO4 | NET_TSO6);
	join(&a, &b, one, two);
	for (unsigned on = 0; on < 2; on++) {
		net_set_offloads(one, on ? net_offloads(one) : 0);
		net_set_offloads(two, on ? net_offloads(two) : 0);
		a.big = 0;
		assert_int_equal(run("nsenter -t %d -n socat -u TCP-LISTEN:80,reuseaddr CREATE:%s.in & "
				     "sleep 0.3; nsenter -t %d -n socat -u OPEN:%s TCP:10.9.9.2:80 && "
				     "wait && cmp %s %s.in", right, file, left, file, file, file), 0);
		if (on)
			assert_true(a.big > 10);
		else
			assert_int_equal(a.big, 0);
	}
	net_close(one);
	net_close(two);
	namespace_free(left);
	namespace_free(right);
	sh("rm -f %s %s.in", file, file);
}

static void tap_errors(void)
{
	pid_t ns = namespace_new();
	struct netdev *one;

	namespace_enter(ns);
	one = open_ok("tap,name=lodge0");
	refused("tap,name=lodge0", "in use");
	refused("tap,name=lo", "not a tap");
	refused("tap,fd=0", "is no tap");
	refused("tap,fd=999", "not an open descriptor");
	refused("tap,name=a,fd=3", "not both");
	refused("tap,name=a-name-that-is-too-long", "longer than");
	assert_string_equal(net_describe(one), "tap lodge0");
	net_close(one);
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		assert_int_equal(setuid(65534), 0);
		refused("tap,name=lodge1", "no permission");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	namespace_free(ns);
}

/* In a child, since namespaces are entered; skipped where they cannot be made. */
static void in_child(void (*f)(void))
{
	int status;
	pid_t pid = fork(), ns;

	if (pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failure must end this process */
		ns = namespace_new();
		if (ns < 0)
			_exit(77);
		namespace_free(ns);
		f();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("needs root to make a network namespace\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void test_user(void **s)
{
	in_child(user_and_kernel);
}

static void test_restrict(void **s)
{
	in_child(user_restricted);
}

static void test_tap_offloads(void **s)
{
	in_child(tap_offloads);
}

static void test_tap_errors(void **s)
{
	in_child(tap_errors);
}

static void test_bad_specs(void **s)
{
	struct netdev *n;

	refused("", "expected user, tap or none");
	refused("usr", "expected user");
	refused("user,forwrad=tcp:1:2", "no option");
	refused("user,forward=tcp:1", "expected tcp:");
	refused("user,forward=tcp:0:22", "from 1 to 65535");
	refused("user,forward=icmp:1:22", "expected tcp:");
	refused("user,forward=tcp:1.2.3:2222:22", "IPv4");
	refused("user,forward=tcp:1.2.3.4:2222:22", "cannot forward");
	refused("user,restrict=maybe", "on or off");
	refused("none,x", "no option");
	n = open_ok("none");
	net_send(n, &(struct iovec){ "x", 1 }, 1);
	net_close(n);
}

/* Hostile frames: nothing but survival is asked for. */
static void test_junk_frames(void **s)
{
	struct netdev *n = open_ok("user");
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);
	uint8_t f[2048];

	for (unsigned i = 0; i < 20000; i++) {
		size_t len = g_rand_int_range(rand, 0, sizeof(f));

		for (size_t j = 0; j < len; j++)
			f[j] = g_rand_int(rand);
		/* Ethernet types and IP headers that lead somewhere. */
		if (len > 40) {
			memcpy(f, "\x52\x55\x0a\x00\x02\x02", 6);
			f[12] = i & 1 ? 0x08 : 0x86;
			f[13] = i & 1 ? (i & 2 ? 0x00 : 0x06) : 0xdd;
			f[14] = i & 1 ? 0x45 : 0x60;
		}
		net_send(n, &(struct iovec){ f, len }, 1);
		if (i % 64 == 0)
			while (g_main_context_iteration(NULL, FALSE))
				;
	}
	net_close(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_specs),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_restrict),
		cmocka_unit_test(test_tap_offloads),
		cmocka_unit_test(test_tap_errors),
		cmocka_unit_test(test_junk_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
