/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor_qmp.c: the QMP server. Oracle: qemu-system-x86_64 gets the same conversation, and each
 * member of its replies must be in ours, with the same type; hostile input from many sides.
 */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/machine.h"
#include "monitor/monitor.h"
#include "vm/vm.h"

static char *dir;

/* ---- our side ---- */

static struct vm *make_vm(const char *line)
{
	g_auto(GStrv) argv = NULL;
	struct vm_spec s;
	struct vm *vm = NULL;
	GError *e = NULL;
	int argc;

	assert_true(g_shell_parse_argv(line, &argc, &argv, NULL));
	vm_spec_init(&s);
	if (vm_spec_parse(&s, argc, argv, &e) == 0)
		vm = vm_new(&s, &e);
	vm_spec_fini(&s);
	if (!vm)
		fail_msg("%s", e->message);
	return vm;
}

static struct vm *small_vm(void)
{
	return make_vm("--accel null --memory 16M --cpus 2");
}

static struct monitor *make_monitor(struct vm *vm, const char *path)
{
	GError *e = NULL;
	struct monitor *m = monitor_new(vm, path, &e);

	if (!m)
		fail_msg("%s", e->message);
	return m;
}

static int dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_strlcpy(a.sun_path, path, sizeof(a.sun_path));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* ---- a client ---- */

struct peer {
	int fd;
	GString *in;
	json_t *events; /* array: those seen while waiting for replies */
};

static void turn(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

/* One line, our own loop running meanwhile; NULL at the end of the stream or after 3 s. */
static json_t *next(struct peer *p)
{
	int64_t end = g_get_monotonic_time() + 3000000;
	char buf[65536], *nl;

	while (!(nl = strchr(p->in->str, '\n'))) {
		ssize_t n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n > 0)
			g_string_append_len(p->in, buf, n);
		else if (n == 0 || errno != EAGAIN || g_get_monotonic_time() > end)
			return NULL;
		else
			turn(), g_usleep(200);
	}
	json_t *v = json_loadb(p->in->str, nl - p->in->str, 0, NULL);

	g_string_erase(p->in, 0, nl + 1 - p->in->str);
	assert_non_null(v);
	return v;
}

static json_t *reply(struct peer *p)
{
	for (;;) {
		json_t *v = next(p);

		if (!v || !json_object_get(v, "event"))
			return v;
		if (json_array_size(p->events) < 100)
			json_array_append_new(p->events, v);
		else
			json_decref(v);
	}
}

static void say(struct peer *p, const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(send(p->fd, text, n, MSG_NOSIGNAL), n);
}

static void peer_open(struct peer *p, const char *path)
{
	*p = (struct peer){ .in = g_string_new(NULL), .events = json_array() };
	for (int i = 0; i < 200 && (p->fd = dial(path)) < 0; i++)
		g_usleep(20000);
	assert_true(p->fd >= 0);
}

static void peer_close(struct peer *p)
{
	close(p->fd);
	g_string_free(p->in, TRUE);
	json_decref(p->events);
}

static bool saw_event(const struct peer *p, const char *name)
{
	for (size_t i = 0; i < json_array_size(p->events); i++) {
		if (!strcmp(json_string_value(json_object_get(json_array_get(p->events, i), "event")),
			    name))
			return true;
	}
	return false;
}

static void expect(struct peer *p, const char *command, const char *want)
{
	say(p, command);
	json_t *r = reply(p);
	g_autofree char *text = r ? json_dumps(r, JSON_SORT_KEYS) : g_strdup("(nothing)");

	if (!strstr(text, want))
		fail_msg("%s -> %s, not %s", command, text, want);
	json_decref(r);
}

/* ---- shapes against QEMU ---- */

/* Members QEMU has and we do not, on purpose. */
static bool may_lack(const char *path)
{
	static const char *const ok[] = {
		".QMP.capabilities[]",	/* "oob" */
		".return.plugged-memory", /* absent where memory cannot be plugged */
		".return[].alias", ".return[].default-cpu-type", ".return[].default-ram-id",
		".return[].devices[].regions[]", /* their host bridge may have some */
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(ok); i++) {
		if (g_str_has_suffix(path, ok[i]))
			return true;
	}
	return false;
}

static bool is_number(const json_t *v)
{
	return json_is_integer(v) || json_is_real(v);
}

static void same_shape(const json_t *theirs, const json_t *ours, const char *path)
{
	const char *name;
	json_t *v;

	if (json_typeof(theirs) != json_typeof(ours) && !(json_is_boolean(theirs) && json_is_boolean(ours)) &&
	    !(is_number(theirs) && is_number(ours)))
		fail_msg("%s has another type than QEMU's", path);
	json_object_foreach((json_t *)theirs, name, v) {
		g_autofree char *below = g_strdup_printf("%s.%s", path, name);
		const json_t *o = json_object_get(ours, name);

		if (!o && !may_lack(below))
			fail_msg("%s is missing", below);
		if (o)
			same_shape(v, o, below);
	}
	if (json_array_size(theirs)) {
		g_autofree char *below = g_strdup_printf("%s[]", path);

		if (json_array_size(ours))
			same_shape(json_array_get(theirs, 0), json_array_get(ours, 0), below);
		else if (!may_lack(below))
			fail_msg("%s has no element", path);
	}
}

static const char *const conversation[] = {
	"{\"execute\":\"query-status\"}",
	"{\"execute\":\"qmp_capabilities\",\"id\":{\"a\":[1,null]}}",
	"{\"execute\":\"qmp_capabilities\"}",
	"{\"execute\":\"query-status\",\"id\":5}",
	"{\"execute\":\"nope\"}",
	"{\"execute\":\"stop\",\"arguments\":{\"x\":1}}",
	"{\"execute\":5}",
	"{\"foo\":1}",
	"{}",
	"[1]",
	"nonsense",
	"{\"execute\":\"stop\",\"extra\":1}",
	"{\"execute\":\"quit\",\"arguments\":[]}",
	"{\"execute\":\"query-version\"}",
	"{\"execute\":\"query-name\"}",
	"{\"execute\":\"query-kvm\"}",
	"{\"execute\":\"query-cpus-fast\"}",
	"{\"execute\":\"query-block\"}",
	"{\"execute\":\"query-pci\"}",
	"{\"execute\":\"query-machines\"}",
	"{\"execute\":\"query-chardev\"}",
	"{\"execute\":\"query-memory-size-summary\"}",
	"{\"execute\":\"query-commands\"}",
	"{\"execute\":\"balloon\",\"arguments\":{\"value\":\"x\"}}",
	"{\"execute\":\"balloon\",\"arguments\":{}}",
	"{\"execute\":\"balloon\",\"arguments\":{\"value\":0}}",
	"{\"execute\":\"balloon\",\"arguments\":{\"value\":104857600}}",
	"{\"execute\":\"query-balloon\"}",
	"{\"execute\":\"cont\"}",
	"{\"execute\":\"query-status\"}",
	"{\"execute\":\"system_reset\"}",
	"{\"execute\":\"query-status\"}",
	"{\"execute\":\"stop\"}",
	"{\"execute\":\"stop\"}",
	"{\"execute\":\"query-status\"}",
	"{\"execute\":\"system_powerdown\"}",
	"{\"execute\":\"query-status\",\"id\":\"last\"}",
	"{\"execute\":\"cont\"}", /* so that it is a running machine that ends */
	"{\"execute\":\"quit\",\"id\":\"bye\"}",
};

/* The replies in order; events by name behind them. */
static json_t *converse(const char *path, json_t **ret_events)
{
	json_t *replies = json_array(), *v;
	struct peer p;

	peer_open(&p, path);
	json_array_append_new(replies, next(&p));
	for (unsigned i = 0; i < G_N_ELEMENTS(conversation); i++) {
		g_autofree char *line = g_strdup_printf("%s\n", conversation[i]);

		say(&p, line);
		v = reply(&p);
		if (!v)
			fail_msg("%s: no answer", conversation[i]);
		json_array_append_new(replies, v);
	}
	while ((v = next(&p)))
		json_array_append_new(p.events, v);
	*ret_events = json_incref(p.events);
	peer_close(&p);
	return replies;
}

static const json_t *find_event(const json_t *events, const char *name)
{
	for (size_t i = 0; i < json_array_size(events); i++) {
		const json_t *e = json_array_get(events, i);

		if (!strcmp(json_string_value(json_object_get(e, "event")), name))
			return e;
	}
	return NULL;
}

static void compare(const json_t *theirs, const json_t *ours)
{
	assert_int_equal(json_array_size(theirs), json_array_size(ours));
	for (size_t i = 0; i < json_array_size(theirs); i++) {
		const json_t *t = json_array_get(theirs, i), *o = json_array_get(ours, i);
		const char *what = i ? conversation[i - 1] : "greeting";
		const json_t *te = json_object_get(t, "error"), *oe = json_object_get(o, "error");

		same_shape(t, o, what);
		assert_true(json_equal(json_object_get(t, "id"), json_object_get(o, "id")) ||
			    !json_object_get(t, "id"));
		if (te)
			assert_string_equal(json_string_value(json_object_get(te, "class")),
					    json_string_value(json_object_get(oe, "class")));
		if (strstr(what, "query-status"))
			assert_true(te || json_equal(json_object_get(t, "return"),
						     json_object_get(o, "return")));
	}
}

static const char *const events[] = { "RESUME", "STOP", "RESET", "POWERDOWN", "SHUTDOWN" };

/* Of those we know, in the order they came. */
static char *event_names(const json_t *list)
{
	GString *names = g_string_new(NULL);

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_object_get(json_array_get(list, i), "event"));

		for (unsigned k = 0; k < G_N_ELEMENTS(events); k++) {
			if (!strcmp(name, events[k]))
				g_string_append_printf(names, " %s", name);
		}
	}
	return g_string_free(names, FALSE);
}

static void test_like_qemu(void **s)
{
	g_autofree char *theirs_at = g_build_filename(dir, "qemu", NULL);
	g_autofree char *ours_at = g_build_filename(dir, "lodge", NULL);
	g_autofree char *disk = g_build_filename(dir, "d.img", NULL);
	g_autofree char *qemu = g_find_program_in_path("qemu-system-x86_64");
	json_t *te, *oe, *theirs, *ours;
	pid_t pid;

	if (!qemu) {
		print_message("needs qemu-system-x86_64\n");
		skip();
	}
	FILE *f = fopen(disk, "w");

	assert_int_equal(ftruncate(fileno(f), 1 << 20), 0);
	fclose(f);
	pid = fork();
	if (pid == 0) {
		g_autofree char *drive = g_strdup_printf("file=%s,format=raw,if=virtio,id=disk0", disk);
		g_autofree char *qmp = g_strdup_printf("unix:%s,server=on,wait=off", theirs_at);

		execl(qemu, qemu, "-S", "-M", "q35", "-name", "vm", "-display", "none", "-nodefaults", "-m",
		      "256", "-smp", "2", "-serial", "pty", "-drive", drive, "-device",
		      "virtio-balloon-pci", "-qmp", qmp, NULL);
		_exit(127);
	}
	theirs = converse(theirs_at, &te);
	waitpid(pid, NULL, 0);

	g_autofree char *line = g_strdup_printf("--accel null --name vm --memory 256M --cpus 2 "
						"--serial pty --disk path=%s,format=raw --balloon", disk);
	pid = fork();
	if (pid == 0) {
		struct vm *vm = make_vm(line);
		struct monitor *m = make_monitor(vm, ours_at);

		while (vm->machine->state != MACHINE_SHUTDOWN)
			g_main_context_iteration(NULL, TRUE);
		monitor_free(m);
		vm_free(vm);
		_exit(0);
	}
	ours = converse(ours_at, &oe);
	waitpid(pid, NULL, 0);

	compare(theirs, ours);
	for (unsigned i = 0; i < G_N_ELEMENTS(events); i++) {
		const json_t *t = find_event(te, events[i]), *o = find_event(oe, events[i]);

		if (!t || !o)
			fail_msg("%s: %s has not told it", events[i], t ? "lodge" : "qemu");
		same_shape(t, o, events[i]);
		assert_true(json_equal(json_object_get(t, "data"), json_object_get(o, "data")) ||
			    !json_object_get(t, "data"));
	}
	/* The same ones in the same order. */
	g_autofree char *tn = event_names(te), *on = event_names(oe);

	assert_string_equal(tn, on);
	json_decref(theirs);
	json_decref(ours);
	json_decref(te);
	json_decref(oe);
}

/* ---- hostile input ---- */

static void test_broken_json(void **s)
{
	static const char *const broken[] = {
		"}", "]", "{]\n", "{\"execute\": \"query-status\", \"execute\": \"stop\"}", "{\"a\": \"no end\n",
		"{\"execute\": \"x\" \xff", "\"text\"", "truefalse ", "{'execute':'query-status'}",
		"{\"execute\":\"query-st\\ud800atus\"}", "{\"execute\":\"\\u0000\"}", "{\"a\":\"\xc3\x28\"}",
	};
	g_autofree char *path = g_build_filename(dir, "broken", NULL);
	struct vm *vm = small_vm();
	struct monitor *m = make_monitor(vm, path);
	struct peer p;

	peer_open(&p, path);
	json_decref(next(&p));
	expect(&p, "{\"execute\":\"qmp_capabilities\"}", "\"return\": {}");
	for (unsigned i = 0; i < G_N_ELEMENTS(broken); i++) {
		expect(&p, broken[i], "\"class\": \"GenericError\"");
		expect(&p, "{\"execute\":\"query-status\",\"id\":7}", "\"id\": 7");
	}
	/* Nothing but the end tells where a value ends: pieces of one byte. */
	for (const char *c = "{\"execute\":\"query-name\"}"; *c; c++) {
		assert_int_equal(send(p.fd, c, 1, 0), 1);
		turn();
	}
	json_decref(reply(&p));
	/* Two in one piece. */
	say(&p, "{\"execute\":\"query-name\",\"id\":1}{\"execute\":\"query-name\",\"id\":2}");
	for (int i = 1; i <= 2; i++) {
		json_t *r = reply(&p);

		assert_int_equal(json_integer_value(json_object_get(r, "id")), i);
		json_decref(r);
	}
	peer_close(&p);
	turn();
	monitor_free(m);
	assert_int_equal(access(path, F_OK), -1);
	vm_free(vm);
}

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

/* Bytes; 0 under AddressSanitizer, which holds on to freed memory. */
static size_t resident(void)
{
#ifdef __SANITIZE_ADDRESS__
	return 0;
#endif
	g_autofree char *text = NULL;

	assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
	return strtoull(strchr(text, ' '), NULL, 10) * 4096;
}

/* 100 MB in a string, and 100 MB of brackets: an error each, and no memory. */
static void test_huge(void **s)
{
	enum { CHUNK = 1 << 16, CHUNKS = 1600 };
	static const char *const heads[] = { "{\"execute\":\"", "{\"a\":" };
	static const char fill[] = { 'x', '[' };
	g_autofree char *path = g_build_filename(dir, "huge", NULL), *block = g_malloc(CHUNK);
	struct vm *vm = small_vm();
	struct monitor *m = make_monitor(vm, path);
	size_t before;
	struct peer p;

	peer_open(&p, path);
	json_decref(next(&p));
	expect(&p, "{\"execute\":\"qmp_capabilities\"}", "\"return\": {}");
	before = resident();
	for (unsigned k = 0; k < 2; k++) {
		say(&p, heads[k]);
		memset(block, fill[k], CHUNK);
		for (unsigned i = 0; i < CHUNKS; i++) {
			for (size_t done = 0; done < CHUNK;) {
				ssize_t n = send(p.fd, block + done, CHUNK - done, MSG_DONTWAIT);

				done += n > 0 ? n : 0;
				turn();
			}
		}
		if (k == 0) {
			expect(&p, "\"}", "longer than 1 MiB");
		} else {
			memset(block, ']', CHUNK);
			for (unsigned i = 0; i < CHUNKS; i++) {
				for (size_t done = 0; done < CHUNK;) {
					ssize_t n = send(p.fd, block + done, CHUNK - done, MSG_DONTWAIT);

					done += n > 0 ? n : 0;
					turn();
				}
			}
			expect(&p, "}", "deeper than 64");
		}
	}
	assert_true(resident() < before + (16 << 20));
	expect(&p, "{\"execute\":\"query-status\",\"id\":7}", "\"id\": 7");
	peer_close(&p);
	turn();
	monitor_free(m);
	vm_free(vm);
}

/* A client that asks and never reads is not served for ever, and does not disturb the others. */
static void test_slow_client(void **s)
{
	g_autofree char *path = g_build_filename(dir, "slow", NULL);
	struct vm *vm = small_vm();
	struct monitor *m = make_monitor(vm, path);
	const char *ask = "{\"execute\":\"query-commands\"}";
	struct peer slow, quick, more[20];
	size_t before = resident(), taken = 0;

	peer_open(&slow, path);
	peer_open(&quick, path);
	json_decref(next(&slow));
	json_decref(next(&quick));
	expect(&slow, "{\"execute\":\"qmp_capabilities\"}", "\"return\": {}");
	expect(&quick, "{\"execute\":\"qmp_capabilities\"}", "\"return\": {}");
	for (int i = 0; i < 100000; i++) {
		taken += send(slow.fd, ask, strlen(ask), MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
		turn();
	}
	assert_true(taken < 50000);
	/* Events come to it whether it reads or not, until that is too much. */
	for (int i = 0; i < 30000; i++) {
		machine_start(vm->machine);
		machine_pause(vm->machine);
		if (i % 50 == 0)
			expect(&quick, "{\"execute\":\"query-status\"}", "\"paused\"");
	}
	assert_true(saw_event(&quick, "STOP") && saw_event(&quick, "RESUME"));
	assert_true(resident() < before + (64 << 20));
	for (json_t *v; (v = next(&slow));) /* cut off: its end comes */
		json_decref(v);
	assert_int_equal(recv(slow.fd, &(char){ 0 }, 1, MSG_DONTWAIT), 0);
	peer_close(&slow);
	/* Too many clients: refused, not queued for ever. */
	for (unsigned i = 0; i < G_N_ELEMENTS(more); i++)
		peer_open(&more[i], path), turn();
	assert_null(next(&more[19]));
	for (unsigned i = 0; i < G_N_ELEMENTS(more); i++)
		peer_close(&more[i]);
	expect(&quick, "{\"execute\":\"query-status\"}", "\"paused\"");
	peer_close(&quick);
	turn();
	monitor_free(m);
	vm_free(vm);
}

static void test_balloon_event(void **s)
{
	g_autofree char *path = g_build_filename(dir, "balloon", NULL);
	struct vm *vm = small_vm();
	struct monitor *m = make_monitor(vm, path);
	struct peer p;

	peer_open(&p, path);
	json_decref(next(&p));
	expect(&p, "{\"execute\":\"qmp_capabilities\"}", "\"return\": {}");
	expect(&p, "{\"execute\":\"query-balloon\"}", "\"class\": \"DeviceNotActive\"");
	expect(&p, "{\"execute\":\"query-blcok\"}", "did you mean 'query-block'");
	peer_close(&p);
	turn();
	monitor_free(m);
	vm_free(vm);
}

static void test_save_restore(void **s)
{
	g_autofree char *path = g_build_filename(dir, "sr", NULL);
	g_autofree char *file = g_build_filename(dir, "state", NULL);
	g_autofree char *save = g_strdup_printf("{\"execute\":\"save\",\"arguments\":{\"file\":\"%s\"}}", file);
	g_autofree char *restore =
		g_strdup_printf("{\"execute\":\"restore\",\"arguments\":{\"file\":\"%s\"}}", file);
	struct vm *vm = small_vm();
	struct monitor *m = make_monitor(vm, path);
	struct peer p;

	peer_open(&p, path);
	json_decref(next(&p));
	expect(&p, "{\"execute\":\"qmp_capabilities\"}", "\"return\": {}");
	expect(&p, "{\"execute\":\"save\",\"arguments\":{\"file\":\"/nonexistent/x\"}}", "GenericError");
	expect(&p, save, "\"return\": {}");
	expect(&p, restore, "\"return\": {}");
	expect(&p, "{\"execute\":\"query-status\"}", "\"paused\"");
	assert_int_equal(truncate(file, 100), 0);
	expect(&p, restore, "GenericError");
	expect(&p, "{\"execute\":\"query-status\"}", "\"internal-error\"");
	assert_true(saw_event(&p, "SHUTDOWN"));
	peer_close(&p);
	turn();
	monitor_free(m);
	vm_free(vm);
}

/* docs/qmp.md is the table's text. LODGE_UPDATE=1 writes it anew. */
static void test_manual(void **s)
{
	const char *root = g_getenv("LODGE_SOURCE");
	g_autofree char *text = monitor_manual(), *have = NULL;
	g_autofree char *path = g_build_filename(root ? root : ".", "docs", "qmp.md", NULL);

	if (g_getenv("LODGE_UPDATE"))
		assert_true(g_file_set_contents(path, text, -1, NULL));
	assert_true(g_file_get_contents(path, &have, NULL, NULL));
	assert_string_equal(have, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_like_qemu),
		cmocka_unit_test(test_broken_json),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_slow_client),
		cmocka_unit_test(test_balloon_event),
		cmocka_unit_test(test_save_restore),
		cmocka_unit_test(test_manual),
	};
	int failed;

	dir = g_dir_make_tmp("lodge-qmp-XXXXXX", NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	g_autofree char *rm = g_strdup_printf("rm -rf %s", dir);

	g_spawn_command_line_sync(rm, NULL, NULL, NULL, NULL);
	g_free(dir);
	return failed;
}
