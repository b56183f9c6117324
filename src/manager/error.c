/* SPDX-License-Identifier: GPL-2.0-or-later */
/* error.c: refusals with codes. */
#include "manager/error.h"

G_DEFINE_QUARK(lodge - manager - error, manager_error)

int refuse(GError **error, enum manager_error code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (error)
		*error = g_error_new_valist(MANAGER_ERROR, (int)code, fmt, ap);
	va_end(ap);
	return -1;
}
