/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ns16550.h: 16550A UART. */
#ifndef DEVICE_CHAR_NS16550_H
#define DEVICE_CHAR_NS16550_H

struct chardev;
struct device;

extern const struct device_class ns16550_class;

/* Before device_add. The back end is borrowed; NULL: nobody listens, nobody types. */
void ns16550_set_char(struct device *uart, struct chardev *c);

#endif
