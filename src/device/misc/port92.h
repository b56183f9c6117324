/* SPDX-License-Identifier: GPL-2.0-or-later */
/* port92.h: system control port A. */
#ifndef DEVICE_MISC_PORT92_H
#define DEVICE_MISC_PORT92_H

extern const struct device_class port92_class;

#endif
