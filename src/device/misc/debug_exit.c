/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * debug_exit.c: a port whose write ends the process with a status, and a write-only console port.
 * No spec: both are a custom of test guests and firmware (ports 0xf4 and 0xe9).
 */
#include "device/misc/debug_exit.h"

#include "base/error.h"
#include "base/own.h"
#include "char/char.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"

enum { CONSOLE_SIGNATURE = 0xe9 }; /* what a read returns, so that a guest can probe for it */

struct debug_exit {
	struct device dev;
	uint32_t iobase; /* config */
	struct region ports;
};

static uint64_t exit_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	return 0;
}

/* Always odd, so that it cannot be taken for a success of the process itself. */
static void exit_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	d->machine->exit_status = (int)(val << 1 & 0xff) | 1;
	machine_request(d->machine, MACHINE_REQ_POWEROFF, "guest-shutdown");
}

static const struct region_ops exit_ops = { exit_read, exit_write, .min = 1, .max = 4 };

static int exit_init(struct device *d, GError **error)
{
	struct debug_exit *s = container_of(d, struct debug_exit, dev);

	if (s->iobase > 0x10000 - 4)
		return fail(error, LODGE_ERROR_USAGE, "%s: iobase 0x%x is no port", d->id,
			s->iobase);
	s->ports = (struct region){ .name = "debug-exit", .device = d, .ops = &exit_ops,
		.size = 4 };
	region_place(d->machine->ports, &s->ports, s->iobase, 0);
	return 0;
}

static void exit_fini(struct device *d)
{
	struct debug_exit *s = container_of(d, struct debug_exit, dev);

	region_unplace(&s->ports);
}

static const struct field exit_config[] = {
	CONFIG(struct debug_exit, iobase, FIELD_U32, "0xf4", "I/O port"),
	{ 0 },
};

static const struct field no_state[] = { { 0 } };

const struct device_class debug_exit_class = {
	.name = "debug-exit",
	.help = "a write of v ends the process with status (v << 1) | 1",
	.size = sizeof(struct debug_exit),
	.version = 1,
	.config = exit_config,
	.state = no_state,
	.init = exit_init,
	.fini = exit_fini,
};

struct debug_console {
	struct device dev;
	uint32_t iobase; /* config */
	struct chardev *chr; /* borrowed; may be NULL */
	struct region port;
};

static uint64_t console_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	return CONSOLE_SIGNATURE;
}

static void console_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct debug_console *s = container_of(d, struct debug_console, dev);
	uint8_t byte = val;

	if (s->chr)
		char_write(s->chr, &byte, 1); /* no flow control: what does not fit is lost */
}

static const struct region_ops console_ops = { console_read, console_write, .min = 1, .max = 1 };

void debug_console_set_char(struct device *console, struct chardev *c)
{
	container_of(console, struct debug_console, dev)->chr = c;
}

static int console_init(struct device *d, GError **error)
{
	struct debug_console *s = container_of(d, struct debug_console, dev);

	if (s->iobase > 0xffff)
		return fail(error, LODGE_ERROR_USAGE, "%s: iobase 0x%x is no port", d->id,
			s->iobase);
	s->port = (struct region){ .name = "debug-console", .device = d, .ops = &console_ops,
		.size = 1 };
	region_place(d->machine->ports, &s->port, s->iobase, 0);
	return 0;
}

static void console_fini(struct device *d)
{
	struct debug_console *s = container_of(d, struct debug_console, dev);

	region_unplace(&s->port);
}

static const struct field console_config[] = {
	CONFIG(struct debug_console, iobase, FIELD_U32, "0xe9", "I/O port"),
	{ 0 },
};

const struct device_class debug_console_class = {
	.name = "debug-console",
	.help = "bytes written to a port go to a character back end",
	.size = sizeof(struct debug_console),
	.version = 1,
	.config = console_config,
	.state = no_state,
	.init = console_init,
	.fini = console_fini,
};
