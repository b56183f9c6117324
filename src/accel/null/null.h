/* SPDX-License-Identifier: GPL-2.0-or-later */
/* null.h: an engine that executes nothing: device tests drive the buses themselves. */
#ifndef ACCEL_NULL_NULL_H
#define ACCEL_NULL_NULL_H

struct accel;
extern const struct accel accel_null;

#endif
