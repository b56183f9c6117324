/* SPDX-License-Identifier: GPL-2.0-or-later */
/* manager_store.c: what was put is there after a crash; names are unique; hostile XML is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/store.h"
#include "manager/xml.h"

static char *folder;

static int make_folder(void **state)
{
	folder = g_dir_make_tmp("lodge-store-XXXXXX", NULL);
	return folder ? 0 : -1;
}

static int drop_folder(void **state)
{
	const char *const names[] = { "a.db", "a.db-wal", "a.db-shm", "a.db.lock" };

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *p = g_build_filename(folder, names[i], NULL);

		g_unlink(p);
	}
	g_rmdir(folder);
	g_free(folder);
	return 0;
}

static struct store *open_it(void)
{
	g_autofree char *path = g_build_filename(folder, "a.db", NULL);
	g_autoptr(GError) error = NULL;
	struct store *s = store_open(path, &error);

	if (!s)
		fail_msg("%s", error->message);
	return s;
}

static void count(const struct store_record *r, void *opaque)
{
	(*(unsigned *)opaque)++;
	assert_string_equal(r->kind, "domain");
	assert_string_equal(r->definition, "<domain/>");
}

static unsigned count_of(struct store *s)
{
	unsigned n = 0;

	assert_int_equal(store_each(s, "domain", count, &n, NULL), 0);
	return n;
}

static struct store_record record(unsigned i, char name[16])
{
	struct store_record r = { .kind = "domain", .name = name, .definition = "<domain/>" };

	g_snprintf(name, 16, "d%u", i);
	r.uuid[0] = i >> 8;
	r.uuid[1] = i;
	return r;
}

/* A child tells of every put that returned, and is killed at a random moment. */
static void test_killed(void **state)
{
	unsigned told = 0;

	for (unsigned round = 0; round < 5; round++) {
		int pipes[2];
		unsigned n;
		pid_t pid;
		struct store *s;

		assert_int_equal(pipe(pipes), 0);
		pid = fork();
		if (pid == 0) {
			s = open_it();
			for (unsigned i = told;; i++) {
				char name[16];
				struct store_record r = record(i, name);

				if (store_put(s, &r, NULL) < 0 || write(pipes[1], &i, sizeof(i)) < 0)
					_exit(1);
			}
		}
		close(pipes[1]);
		for (unsigned i = 0; i < 7 + round * 5; i++) {
			assert_int_equal(read(pipes[0], &n, sizeof(n)), sizeof(n));
			told = n + 1;
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(pipes[0], &n, sizeof(n)) == sizeof(n))
			told = n + 1;
		close(pipes[0]);
		s = open_it();
		n = count_of(s);
		assert_in_range(n, told, told + 1); /* one may be on the disk and not told yet */
		told = n;
		store_close(s);
	}
}

static void test_names(void **state)
{
	struct store *s = open_it();
	char name[16];
	struct store_record r = record(60000, name), other = record(60001, name);

	assert_int_equal(store_put(s, &r, NULL), 0);
	assert_int_equal(store_put(s, &other, NULL), -1);
	other.parent[0] = 1;
	assert_int_equal(store_put(s, &other, NULL), 0);
	assert_int_equal(store_remove(s, "domain", r.uuid, NULL), 0);
	assert_int_equal(store_remove(s, "domain", other.uuid, NULL), 0);
	store_close(s);
}

static void test_rollback(void **state)
{
	struct store *s = open_it();
	unsigned before = count_of(s);
	char name[16];
	struct store_record r = record(50000, name);

	assert_int_equal(store_begin(s, NULL), 0);
	assert_int_equal(store_put(s, &r, NULL), 0);
	store_rollback(s);
	assert_int_equal(count_of(s), before);
	store_close(s);
}

static void test_one_daemon(void **state)
{
	g_autofree char *path = g_build_filename(folder, "a.db", NULL);
	g_autoptr(GError) error = NULL;
	struct store *s = open_it();

	assert_null(store_open(path, &error));
	assert_int_equal(error->code, MANAGER_ERR_RESOURCE_BUSY);
	store_close(s);
}

static void refused(const char *text)
{
	g_autoptr(GError) error = NULL;
	xmlDoc *doc = xml_parse(text, "domain", &error);

	assert_null(doc);
	assert_int_equal(error->code, MANAGER_ERR_XML);
}

static void test_hostile_xml(void **state)
{
	GString *deep = g_string_new(NULL);

	refused("");
	refused("<domain>");
	refused("<network/>");
	refused("<domain/><domain/>");
	refused("<!DOCTYPE domain [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><domain>&b;</domain>");
	refused("<!DOCTYPE domain SYSTEM \"file:///etc/passwd\"><domain/>");
	refused("<domain>&nosuch;</domain>");
	refused("<domain>\xff\xfe</domain>");
	for (unsigned i = 0; i < 100000; i++)
		g_string_append(deep, "<domain>");
	refused(deep->str);
	g_string_truncate(deep, 0);
	while (deep->len <= XML_TEXT_MAX)
		g_string_append(deep, "                                                          ");
	g_string_append(deep, "<domain/>");
	refused(deep->str);
	g_string_free(deep, TRUE);
}

static void test_xml(void **state)
{
	g_autoptr(xmlDoc) doc = xml_parse(
		"<domain a='1' b='no'><memory unit='MiB'>3</memory><m xmlns:x='u'><x:y>&lt;</x:y></m>"
		"<name> q&amp;d </name><memory unit='parsec'>1</memory></domain>", "domain", NULL);
	xmlNode *root = xmlDocGetRootElement(doc), *memory = xml_child(root, "memory");
	g_autofree char *name = xml_child_text(root, "name"), *text = NULL;
	uint64_t v = 0;
	bool b = true;

	assert_string_equal(name, "q&d");
	assert_int_equal(xml_text_bytes(memory, &v, NULL), 0);
	assert_int_equal(v, 3 << 20);
	assert_int_equal(xml_text_bytes(xml_next(memory, "memory"), &v, NULL), -1);
	assert_int_equal(xml_attr_bool(root, "b", &b, NULL), 0);
	assert_false(b);
	assert_int_equal(xml_attr_bool(root, "a", &b, NULL), -1);
	xml_set_attr(root, "b", "<\"&'");
	xml_set_text(xml_child(root, "name"), "a<b&c");
	text = xml_format(root);
	assert_non_null(strstr(text, "<name>a&lt;b&amp;c</name>"));
	assert_non_null(strstr(text, "<x:y>&lt;</x:y>"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_rollback),
		cmocka_unit_test(test_one_daemon),
		cmocka_unit_test(test_hostile_xml),
		cmocka_unit_test(test_xml),
	};

	return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
