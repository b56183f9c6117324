/* SPDX-License-Identifier: GPL-2.0-or-later */
/* debug_exit.h: ports for test guests: end the process, say something. */
#ifndef DEVICE_MISC_DEBUG_EXIT_H
#define DEVICE_MISC_DEBUG_EXIT_H

struct chardev;
struct device;

extern const struct device_class debug_exit_class;
extern const struct device_class debug_console_class;

/* Before device_add; borrowed. */
void debug_console_set_char(struct device *console, struct chardev *c);

#endif
