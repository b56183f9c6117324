/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * port92.c: system control port A: fast reset and the fast A20 gate.
 * Spec: Intel ICH9 datasheet (316972), 13.7.4.
 *
 * Address line 20 is always open: no kernel since the 80286 needs it masked. The bit reads back as
 * written, which is what software that enables A20 looks at.
 */
#include "device/misc/port92.h"

#include "base/own.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"

enum { PORT = 0x92, INIT_NOW = 1 << 0, ALT_A20_GATE = 1 << 1 };

struct port92 {
	struct device dev;
	struct region port;
	uint8_t value;
};

static struct port92 *self(struct device *d)
{
	return container_of(d, struct port92, dev);
}

static uint64_t port92_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	return self(d)->value;
}

static void port92_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct port92 *s = self(d);
	bool reset = val & ~s->value & INIT_NOW; /* on a change from 0 to 1 */

	s->value = val & (INIT_NOW | ALT_A20_GATE);
	if (reset)
		machine_request(d->machine, MACHINE_REQ_RESET, "guest-reset");
}

static const struct region_ops port92_ops = { port92_read, port92_write, .min = 1, .max = 1 };

static int port92_init(struct device *d, GError **error)
{
	struct port92 *s = self(d);

	s->port = (struct region){ .name = "port92", .device = d, .ops = &port92_ops, .size = 1 };
	region_place(d->machine->ports, &s->port, PORT, 0);
	return 0;
}

static void port92_fini(struct device *d)
{
	struct port92 *s = self(d);

	region_unplace(&s->port);
}

static void port92_reset(struct device *d)
{
	self(d)->value = ALT_A20_GATE;
}

static int port92_loaded(struct device *d, GError **error)
{
	self(d)->value &= INIT_NOW | ALT_A20_GATE;
	return 0;
}

static const struct field state[] = {
	FIELD(struct port92, value, FIELD_U8),
	{ 0 },
};

const struct device_class port92_class = {
	.name = "port92",
	.help = "system control port A: fast reset, A20",
	.size = sizeof(struct port92),
	.version = 1,
	.state = state,
	.init = port92_init,
	.reset = port92_reset,
	.loaded = port92_loaded,
	.fini = port92_fini,
};
