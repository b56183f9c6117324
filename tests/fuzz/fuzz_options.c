/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_options.c: libFuzzer target: a command line of words separated by newlines. What parses must
 * also survive being read back; nothing may be opened or built.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "core/device.h"
#include "vm/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	g_auto(GStrv) words = g_strsplit(text, "\n", 64);
	g_autoptr(GError) error = NULL;
	struct vm_spec s;

	vm_spec_init(&s);
	if (vm_spec_parse(&s, (int)g_strv_length(words), words, &error) == 0) {
		for (guint i = 0; i < s.parts->len; i++) {
			const struct part *p = g_ptr_array_index(s.parts, i);

			if (!p->id || (p->kind->first && !part_get(p, p->kind->first)))
				__builtin_trap();
			part_get_bool(p, "readonly", false, NULL);
		}
	} else if (!error || strchr(error->message, '\n')) {
		__builtin_trap(); /* one line for people, always */
	}
	vm_spec_fini(&s);
	return 0;
}
