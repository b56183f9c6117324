/* SPDX-License-Identifier: GPL-2.0-or-later */
/* error.c: one way to fail. */
#include "base/error.h"

G_DEFINE_QUARK(lodge-error, lodge_error)

int fail(GError **error, enum lodge_error code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (error && !*error)
		*error = g_error_new_valist(LODGE_ERROR, (int)code, fmt, ap);
	va_end(ap);
	return -1;
}

int fail_errno(GError **error, enum lodge_error code, int err, const char *fmt, ...)
{
	va_list ap;
	g_autofree char *text = NULL;

	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	return fail(error, code, "%s: %s", text, g_strerror(err));
}
