/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * char_streams.c: consoles seen from their other end: sockets, a pty, and stdio in a child that has
 * a terminal of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "char/char.h"

/* A device that takes `room` bytes at most before it says no. */
struct device {
	GString *got;
	size_t room;
	int writable, connects, disconnects;
};

static size_t can_receive(void *opaque)
{
	return ((struct device *)opaque)->room;
}

static void receive(void *opaque, const uint8_t *p, size_t n)
{
	struct device *d = opaque;

	assert_true(n <= d->room);
	g_string_append_len(d->got, (const char *)p, n);
	d->room -= n;
}

static void writable(void *opaque)
{
	((struct device *)opaque)->writable++;
}

static void connected(void *opaque, bool yes)
{
	struct device *d = opaque;

	yes ? d->connects++ : d->disconnects++;
}

static const struct char_user user = { can_receive, receive, writable, connected };

static void device_init(struct device *d, size_t room)
{
	memset(d, 0, sizeof(*d));
	d->got = g_string_new(NULL);
	d->room = room;
}

static void turn(int ms)
{
	int64_t end = g_get_monotonic_time() + ms * 1000;

	while (g_get_monotonic_time() < end) {
		while (g_main_context_iteration(NULL, FALSE))
			;
		g_usleep(500);
	}
}

/* Runs the loop until n bytes came, or for two seconds. */
static char *collect(int fd, size_t n)
{
	GString *s = g_string_new(NULL);
	int64_t end = g_get_monotonic_time() + 2000000;
	char buf[65536];

	while (s->len < n && g_get_monotonic_time() < end) {
		while (g_main_context_iteration(NULL, FALSE))
			;
		ssize_t r = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (r < 0 && errno == ENOTSOCK)
			r = read(fd, buf, sizeof(buf));
		if (r > 0)
			g_string_append_len(s, buf, r);
		else
			g_usleep(500);
	}
	return g_string_free(s, FALSE);
}

static struct chardev *open_ok(const char *spec)
{
	GError *e = NULL;
	struct chardev *c = char_open(spec, &e);

	if (!c)
		fail_msg("%s: %s", spec, e->message);
	return c;
}

static void refused(const char *spec, const char *want)
{
	GError *e = NULL;

	assert_null(char_open(spec, &e));
	if (!strstr(e->message, want))
		fail_msg("'%s' lacks '%s'", e->message, want);
	g_error_free(e);
}

static int dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void test_memory(void **s)
{
	struct chardev *c = open_ok("memory");
	g_autofree char *big = g_malloc(1 << 20);
	struct device d;
	size_t n;

	device_init(&d, 3);
	char_attach(c, &user, &d);
	assert_int_equal(char_memory_feed(c, "abcdef", 6), 6);
	assert_string_equal(d.got->str, "abc");
	d.room = 10;
	char_accept_input(c);
	turn(5);
	assert_string_equal(d.got->str, "abcdef");

	for (unsigned i = 0; i < 1 << 20; i++)
		big[i] = i * 7;
	n = char_write(c, big, 1 << 20);
	assert_true(n > 0 && n < 1 << 20);
	assert_int_equal(char_write(c, big, 1), 0);
	assert_int_equal(d.writable, 0);
	g_autofree char *back = g_malloc(1 << 20);

	assert_int_equal(char_memory_read(c, back, 1 << 20), n);
	assert_memory_equal(back, big, n);
	assert_int_equal(d.writable, 1);
	char_close(c);
	g_string_free(d.got, TRUE);
}

static void test_socket_server(void **s)
{
	g_autofree char *path = g_strdup_printf("/tmp/lodge-char-%d", getpid());
	g_autofree char *spec = g_strdup_printf("unix:%s,server", path);
	struct chardev *c = open_ok(spec);
	g_autofree char *early = g_malloc(100000), *seen = NULL, *more = NULL, *again = NULL;
	struct device d;
	struct stat st;
	int fd;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	device_init(&d, 4);
	char_attach(c, &user, &d);
	for (unsigned i = 0; i < 100000; i++)
		early[i] = 'a' + i % 26;
	assert_int_equal(char_write(c, early, 100000), 100000); /* nobody there: swallowed */
	fd = dial(path);
	assert_true(fd >= 0);
	seen = collect(fd, 65536);
	assert_int_equal(strlen(seen), 65536);
	assert_memory_equal(seen, early + 100000 - 65536, 65536);
	assert_int_equal(d.connects, 1);
	assert_int_equal(char_write(c, "now", 3), 3);
	more = collect(fd, 3);
	assert_string_equal(more, "now");

	assert_int_equal(write(fd, "12345678", 8), 8);
	turn(20);
	assert_string_equal(d.got->str, "1234");
	d.room = 100;
	char_accept_input(c);
	turn(20);
	assert_string_equal(d.got->str, "12345678");
	close(fd);
	turn(20);
	assert_int_equal(d.disconnects, 2); /* one at char_attach(), before anybody came */
	fd = dial(path);
	again = collect(fd, 65536);
	assert_true(g_str_has_suffix(again, "now"));
	close(fd);
	turn(20);
	refused(spec, "in use");
	char_close(c);
	assert_int_equal(access(path, F_OK), -1);
	g_string_free(d.got, TRUE);
}

/* A socket file whose program was killed is replaced; any other file is left alone. */
static void test_stale_socket(void **s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	g_autofree char *spec = NULL;
	struct chardev *c;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	g_snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/lodge-stale-%d", getpid());
	spec = g_strdup_printf("unix:%s,server", a.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	c = open_ok(spec);
	char_close(c);
	assert_true(g_file_set_contents(a.sun_path, "precious", -1, NULL));
	refused(spec, "in use");
	assert_int_equal(access(a.sun_path, F_OK), 0);
	unlink(a.sun_path);
}

/* A client that reads nothing stops the flow, never the writer; going away lets it flow again. */
static void test_slow_client(void **s)
{
	g_autofree char *path = g_strdup_printf("/tmp/lodge-char-%d", getpid());
	g_autofree char *spec = g_strdup_printf("unix:%s,server", path);
	struct chardev *c = open_ok(spec);
	char block[4096] = { 0 };
	struct device d;
	size_t total = 0, n;
	int fd;

	device_init(&d, 4);
	char_attach(c, &user, &d);
	fd = dial(path);
	turn(20);
	for (int i = 0; i < 1000; i++) {
		n = char_write(c, block, sizeof(block));
		total += n;
		if (n < sizeof(block))
			turn(2);
	}
	assert_true(total < 2 << 20);
	assert_int_equal(char_write(c, block, sizeof(block)), 0);
	d.writable = 0;
	close(fd);
	turn(20);
	assert_int_equal(d.writable, 1);
	assert_int_equal(char_write(c, block, sizeof(block)), sizeof(block));
	char_close(c);
	g_string_free(d.got, TRUE);
}

static int tcp_listener(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(*port) };
	socklen_t n = sizeof(a);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 4), 0);
	getsockname(fd, (struct sockaddr *)&a, &n);
	*port = ntohs(a.sin_port);
	return fd;
}

static void test_client_reconnects(void **s)
{
	uint16_t port = 0;
	int l = tcp_listener(&port), peer;
	g_autofree char *spec = g_strdup_printf("tcp:127.0.0.1:%u", port);
	g_autofree char *server = g_strdup_printf("tcp:127.0.0.1:%u,server", port);
	struct chardev *c = open_ok(spec);
	g_autofree char *a = NULL, *b = NULL;

	refused(server, "in use");
	peer = accept(l, NULL, NULL);
	char_write(c, "one", 3);
	a = collect(peer, 3);
	assert_string_equal(a, "one");
	close(peer);
	close(l);
	turn(1300); /* at least one try fails */
	l = tcp_listener(&port);
	turn(1300);
	peer = accept(l, NULL, NULL);
	assert_true(peer >= 0);
	char_write(c, "two", 3);
	b = collect(peer, 6);
	assert_string_equal(b, "onetwo");
	char_close(c);
	close(peer);
	close(l);
	refused(spec, "cannot connect");
}

static void test_pty(void **s)
{
	struct chardev *c = open_ok("pty");
	const char *where = char_describe(c);
	g_autofree char *a = NULL, *b = NULL;
	struct termios t;
	struct device d;
	int fd;

	assert_true(g_str_has_prefix(where, "pty /dev/pts/"));
	device_init(&d, 100);
	char_attach(c, &user, &d);
	char_write(c, "early ", 6);
	turn(150);
	fd = open(where + 4, O_RDWR | O_NOCTTY | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(tcgetattr(fd, &t), 0);
	assert_int_equal(t.c_lflag & (ECHO | ICANON | ISIG), 0);
	turn(150);
	char_write(c, "late", 4);
	a = collect(fd, 10);
	assert_string_equal(a, "early late");
	assert_int_equal(write(fd, "in\r", 3), 3);
	turn(20);
	assert_string_equal(d.got->str, "in\r");
	close(fd);
	turn(20);
	assert_int_equal(d.disconnects, 2);
	fd = open(where + 4, O_RDWR | O_NOCTTY | O_NONBLOCK);
	b = collect(fd, 10);
	assert_string_equal(b, "early late");
	close(fd);
	char_close(c);
	g_string_free(d.got, TRUE);
}

static void test_file_and_null(void **s)
{
	g_autofree char *path = g_strdup_printf("/tmp/lodge-char-%d.log", getpid());
	g_autofree char *spec = g_strdup_printf("file:%s", path), *text = NULL;
	struct chardev *c = open_ok(spec);

	char_write(c, "hello\n", 6);
	char_close(c); /* flushes */
	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	assert_string_equal(text, "hello\n");
	unlink(path);
	c = open_ok("null");
	assert_int_equal(char_write(c, text, 6), 6);
	char_close(c);
}

static void test_bad_specs(void **s)
{
	refused("studio", "expected stdio");
	refused("file", "expected file:PATH");
	refused("file:/nonexistent/x", "cannot write");
	refused("unix:", "expected unix:PATH");
	refused("unix:/tmp/x,sever", "only ',server'");
	refused("tcp:localhost", "HOST:PORT");
	refused("tcp:127.0.0.1:70000,server", "1 to 65535");
	refused("null:x", "takes nothing");
	refused("unix:/nonexistent/s", "cannot connect");
}

/* ---- stdio ---- */

static GMainLoop *child_loop;

static void child_escape(void *opaque, char key)
{
	if (key == 'x')
		g_main_loop_quit(child_loop);
}

static size_t child_can_receive(void *opaque)
{
	return *(bool *)opaque ? 0 : 64;
}

static void child_receive(void *opaque, const uint8_t *p, size_t n)
{
	/* The test's handle on the child: 'D' makes the device deaf. */
	*(bool *)opaque |= memchr(p, 'D', n) != NULL;
	char_write(((void **)opaque)[1], p, n);
}

static void child_main(void)
{
	static const struct char_user u = { child_can_receive, child_receive, NULL, NULL };
	/* cmocka's own handlers are not what a program starts with. */
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	struct chardev *c = char_open("stdio", NULL);
	void *opaque[2] = { NULL, c };

	child_loop = g_main_loop_new(NULL, FALSE);
	char_set_escape(c, child_escape, NULL);
	char_attach(c, &u, opaque);
	char_write(c, "ready", 5);
	g_main_loop_run(child_loop);
	char_write(c, "bye", 3);
	char_close(c);
	exit(7);
}

static pid_t child_on_pty(int *master)
{
	pid_t pid = forkpty(master, NULL, NULL, NULL);

	if (pid == 0)
		child_main();
	fcntl(*master, F_SETFL, O_NONBLOCK);
	g_autofree char *hello = collect(*master, 5);

	assert_string_equal(hello, "ready");
	return pid;
}

static bool is_raw(int master)
{
	struct termios t;

	assert_int_equal(tcgetattr(master, &t), 0);
	return !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static bool becomes_raw(int master, bool want)
{
	for (int i = 0; i < 400 && is_raw(master) != want; i++)
		g_usleep(5000);
	return is_raw(master) == want;
}

static void test_stdio_terminal(void **s)
{
	g_autofree char *echo = NULL, *bye = NULL;
	int master, status;
	pid_t pid = child_on_pty(&master);

	assert_true(is_raw(master));
	assert_int_equal(write(master, "a\x03" "b\x01\x01" "c", 6), 6);
	echo = collect(master, 5);
	assert_string_equal(echo, "a\x03" "b\x01" "c"); /* Ctrl-c reaches the guest */
	assert_int_equal(write(master, "D", 1), 1);
	g_free(collect(master, 1));
	/* The guest is deaf and its queue is full; the escape still works. */
	for (int i = 0; i < 10; i++) {
		char junk[1000];

		memset(junk, 'j', sizeof(junk));
		assert_int_equal(write(master, junk, sizeof(junk)), sizeof(junk));
		g_usleep(5000);
	}
	assert_int_equal(write(master, "\x01x", 2), 2);
	bye = collect(master, 3);
	assert_string_equal(bye, "bye");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	close(master);
}

static void signal_restores(int sig)
{
	int master, status, slave;
	pid_t pid = child_on_pty(&master);

	/* Keeps the terminal alive after the child's end, to look at it. */
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(is_raw(master));
	kill(pid, sig);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == sig);
	assert_false(is_raw(master));
	close(slave);
	close(master);
}

static void test_stdio_signals(void **s)
{
	static const int sigs[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGSEGV };

	for (unsigned i = 0; i < G_N_ELEMENTS(sigs); i++)
		signal_restores(sigs[i]);
}

static void test_stdio_stop(void **s)
{
	int master, status;
	pid_t pid = child_on_pty(&master);
	g_autofree char *echo = NULL;

	kill(pid, SIGTSTP);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_false(is_raw(master));
	kill(pid, SIGCONT);
	assert_true(becomes_raw(master, true));
	assert_int_equal(write(master, "on", 2), 2);
	echo = collect(master, 2);
	assert_string_equal(echo, "on");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(master);
}

static void test_stdio_pipes(void **s)
{
	int in[2], out[2], status;
	g_autofree char *text = NULL;
	pid_t pid;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		child_main();
	}
	close(in[0]);
	close(out[1]);
	/* Ours stays as it was: the child set O_NONBLOCK on its own. */
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	assert_int_equal(write(in[1], "hi", 2), 2);
	text = collect(out[0], 7);
	assert_string_equal(text, "readyhi");
	assert_int_equal(fcntl(in[1], F_GETFL) & O_NONBLOCK, 0);
	close(in[1]); /* the end of input does not end the machine */
	g_usleep(100000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(out[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_socket_server),
		cmocka_unit_test(test_stale_socket),
		cmocka_unit_test(test_slow_client),
		cmocka_unit_test(test_client_reconnects),
		cmocka_unit_test(test_pty),
		cmocka_unit_test(test_file_and_null),
		cmocka_unit_test(test_bad_specs),
		cmocka_unit_test(test_stdio_terminal),
		cmocka_unit_test(test_stdio_signals),
		cmocka_unit_test(test_stdio_stop),
		cmocka_unit_test(test_stdio_pipes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
