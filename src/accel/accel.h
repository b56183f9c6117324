/* SPDX-License-Identifier: GPL-2.0-or-later */
/* accel.h: how guest instructions get executed: KVM, our translator, or not at all. */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include <glib.h>

#include "core/engine.h"

/* accels.c: NULL ends it; order is `auto`'s preference. */
extern const struct accel *const accels[];
/* name "auto", "kvm" or "jit". On success *ret_why (may be NULL) is one line for people: which was
 * taken and why; owned by the caller. */
const struct accel *accel_find(const char *name, char **ret_why, GError **error);

#endif
