/* SPDX-License-Identifier: GPL-2.0-or-later */
/* error.h: the GError domain of everything a person can cause. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <glib.h>

/* One code per exit status a script can act on; the message carries the rest. */
enum lodge_error {
	LODGE_ERROR_USAGE = 2,	 /* bad option or property: the message suggests the nearest */
	LODGE_ERROR_FILE = 3,	 /* a file is missing, truncated, locked or not permitted */
	LODGE_ERROR_HOST = 4,	 /* the host lacks something: /dev/kvm, memory, a port */
	LODGE_ERROR_STATE = 5,	 /* a saved state that does not fit or is damaged */
	LODGE_ERROR_GUEST = 6,	 /* the guest did something that ends the machine */
	LODGE_ERROR_INTERNAL = 70,
};

#define LODGE_ERROR (lodge_error_quark())
GQuark lodge_error_quark(void);

/* Sets *error in LODGE_ERROR and returns -1, so that callers can `return fail(...)`. */
int fail(GError **error, enum lodge_error code, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* As fail(), with ": strerror(err)" appended. */
int fail_errno(GError **error, enum lodge_error code, int err, const char *fmt, ...)
	G_GNUC_PRINTF(4, 5);

#endif
