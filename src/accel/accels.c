/* SPDX-License-Identifier: GPL-2.0-or-later */
/* accels.c: the one table of engines, and the choice among them. */
#include <string.h>

#include "accel/accel.h"
#include "accel/jit/cpu_loop.h"
#include "accel/kvm/kvm.h"
#include "accel/null/null.h"
#include "base/error.h"
#include "base/nearest.h"

const struct accel *const accels[] = { &accel_kvm, &accel_jit, &accel_null, NULL };

static const struct accel *accel_auto(char **ret_why, GError **error)
{
	g_autoptr(GString) others = g_string_new(NULL);

	for (const struct accel *const *a = accels; *a; a++) {
		const char *why;

		if ((*a)->for_tests)
			continue;
		why = (*a)->unusable ? (*a)->unusable() : NULL;
		if (!why) {
			if (ret_why)
				*ret_why = g_strdup_printf(
					"accelerator %s (%s)%s", (*a)->name, (*a)->help, others->str);
			return *a;
		}
		g_string_append_printf(others, "; not %s: %s", (*a)->name, why);
	}
	fail(error, LODGE_ERROR_HOST, "no accelerator is usable%s", others->str);
	return NULL;
}

const struct accel *accel_find(const char *name, char **ret_why, GError **error)
{
	g_autofree char *hint = NULL;
	struct nearest near;

	if (strcmp(name, "auto") == 0)
		return accel_auto(ret_why, error);
	nearest_init(&near, name);
	nearest_offer(&near, "auto");
	for (const struct accel *const *a = accels; *a; a++) {
		if (strcmp((*a)->name, name) == 0) {
			if (ret_why)
				*ret_why = g_strdup_printf("accelerator %s, as asked", name);
			return *a;
		}
		nearest_offer(&near, (*a)->name);
	}
	hint = nearest_hint(&near);
	fail(error, LODGE_ERROR_USAGE, "no accelerator '%s'%s", name, hint);
	return NULL;
}
