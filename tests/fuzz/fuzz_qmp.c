/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_qmp.c: libFuzzer target: a QMP client's bytes, against a machine without a CPU that runs. Every
 * line that comes back must be JSON.
 */
#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/machine.h"
#include "monitor/monitor.h"
#include "vm/vm.h"
#include "wire/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";

/* Commands that write where their argument says are not for a fuzzer. */
static bool touches_files(const char *p, size_t n)
{
	enum qmp_status s;
	struct qmp_reader r;
	bool yes = false;

	qmp_reader_init(&r);
	do {
		json_t *message = NULL;
		char *why = NULL;

		s = qmp_read(&r, &p, &n, &message, &why);
		const char *name = json_string_value(json_object_get(message, "execute"));

		yes |= name && (!strcmp(name, "save") || !strcmp(name, "restore"));
		json_decref(message);
		g_free(why);
	} while (s != QMP_MORE);
	qmp_reader_fini(&r);
	return yes;
}

static struct vm *make_vm(void)
{
	static char *const argv[] = { "--accel", "null", "--memory", "8M", "--cpus", "2", "--balloon",
				      "--slots", "1", "--net", "none", "--serial", "null" };
	struct vm_spec s;
	struct vm *vm = NULL;

	vm_spec_init(&s);
	if (vm_spec_parse(&s, G_N_ELEMENTS(argv), argv, NULL) == 0)
		vm = vm_new(&s, NULL);
	vm_spec_fini(&s);
	if (!vm)
		__builtin_trap();
	return vm;
}

static void check(const GByteArray *out)
{
	const char *p = (const char *)out->data, *end = p + out->len;

	while (p < end) {
		const char *nl = memchr(p, '\n', end - p);
		json_t *v = nl ? json_loadb(p, nl - p, 0, NULL) : NULL;

		if (!v || !json_is_object(v))
			__builtin_trap();
		json_decref(v);
		p = nl + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vm *vm;
	static struct monitor *monitor;
	g_autoptr(GByteArray) out = g_byte_array_new();
	g_autoptr(GString) in = g_string_new(NULL);

	if (touches_files((const char *)data, size))
		return 0;
	if (vm && (vm->machine->state == MACHINE_SHUTDOWN || vm->machine->state == MACHINE_CRASHED)) {
		monitor_free(monitor);
		vm_free(vm);
		vm = NULL;
	}
	if (!vm) {
		vm = make_vm();
		monitor = monitor_new(vm, NULL, NULL);
	}
	/* Most of what is worth trying comes after the negotiation; the first byte decides. */
	if (size && data[0] & 1)
		g_string_append(in, hello);
	g_string_append_len(in, (const char *)data, size);
	monitor_feed(monitor, in->str, in->len, out);
	check(out);
	while (g_main_context_iteration(NULL, FALSE))
		;
	return 0;
}
