/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * i8042.c: keyboard controller with an AUX port and nothing plugged into either.
 * Spec: IBM PS/2 Hardware Interface Technical Reference, Keyboard and Auxiliary Device Controller.
 *
 * It answers every controller command at once. A byte sent to an empty port comes back as a timeout
 * (status bit 6 and 0xfe), so that a driver does not wait for an answer.
 */
#include "device/misc/i8042.h"

#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"
#include "device/irq/gsi.h"

enum { PORT_DATA = 0x60, PORT_COMMAND = 0x64, IRQ_KEYBOARD = 1, IRQ_AUX = 12, QUEUE = 16 };
enum { STATUS_OBF = 1 << 0, STATUS_SYS = 1 << 2, STATUS_CMD = 1 << 3, STATUS_UNLOCKED = 1 << 4,
	STATUS_AUX = 1 << 5, STATUS_TIMEOUT = 1 << 6 };
enum { CTR_KBD_INT = 1 << 0, CTR_AUX_INT = 1 << 1, CTR_SYS = 1 << 2, CTR_KBD_OFF = 1 << 4,
	CTR_AUX_OFF = 1 << 5 };
enum { OUT_RESET_N = 1 << 0, OUT_A20 = 1 << 1, OUT_KBD_OBF = 1 << 4, OUT_AUX_OBF = 1 << 5 };
enum { CMD_READ_CTR = 0x20, CMD_WRITE_CTR = 0x60, CMD_AUX_OFF = 0xa7, CMD_AUX_ON = 0xa8,
	CMD_AUX_TEST = 0xa9, CMD_SELF_TEST = 0xaa, CMD_KBD_TEST = 0xab, CMD_KBD_OFF = 0xad,
	CMD_KBD_ON = 0xae, CMD_READ_INPUT = 0xc0, CMD_READ_OUTPUT = 0xd0, CMD_WRITE_OUTPUT = 0xd1,
	CMD_KBD_LOOP = 0xd2, CMD_AUX_LOOP = 0xd3, CMD_WRITE_AUX = 0xd4, CMD_PULSE = 0xf0 };
enum { SELF_TEST_OK = 0x55, INPUT_UNLOCKED = 0x80, RESEND = 0xfe };

struct answer {
	uint8_t data, flags; /* flags: STATUS_AUX, STATUS_TIMEOUT */
};

struct i8042 {
	struct device dev;
	struct irq kbd_irq, aux_irq;
	struct region data, command;
	struct answer queue[QUEUE];
	uint8_t head, count;
	uint8_t last; /* what the data port shows when nothing new is there */
	uint8_t ctr, ram[31], output;
	uint8_t pending; /* command that waits for its byte; 0: none */
	bool sys, last_was_command;
};

static struct i8042 *self(struct device *d)
{
	return container_of(d, struct i8042, dev);
}

static void update(struct i8042 *s)
{
	bool aux = s->count && s->queue[s->head].flags & STATUS_AUX;

	s->output &= ~(OUT_KBD_OBF | OUT_AUX_OBF);
	if (s->count)
		s->output |= aux ? OUT_AUX_OBF : OUT_KBD_OBF;
	irq_set(&s->kbd_irq, s->count && !aux && s->ctr & CTR_KBD_INT);
	irq_set(&s->aux_irq, s->count && aux && s->ctr & CTR_AUX_INT);
}

static void answer(struct i8042 *s, uint8_t data, uint8_t flags)
{
	if (s->count < QUEUE)
		s->queue[(s->head + s->count++) % QUEUE] = (struct answer){ data, flags };
}

static void set_output(struct i8042 *s, uint8_t val)
{
	const uint8_t ours = OUT_KBD_OBF | OUT_AUX_OBF;

	s->output = (val & ~ours) | (s->output & ours);
	if (!(val & OUT_RESET_N))
		machine_request(s->dev.machine, MACHINE_REQ_RESET, "guest-reset");
}

static void set_ctr(struct i8042 *s, uint8_t val)
{
	s->ctr = val;
	s->sys = val & CTR_SYS;
}

static void command(struct i8042 *s, uint8_t cmd)
{
	s->pending = 0;
	switch (cmd) {
	case CMD_READ_CTR: answer(s, s->ctr, 0); break;
	case CMD_READ_CTR + 1 ... CMD_READ_CTR + 31: answer(s, s->ram[(cmd & 31) - 1], 0); break;
	case CMD_WRITE_CTR ... CMD_WRITE_CTR + 31:
	case CMD_WRITE_OUTPUT:
	case CMD_KBD_LOOP:
	case CMD_AUX_LOOP:
	case CMD_WRITE_AUX: s->pending = cmd; break;
	case CMD_AUX_OFF: s->ctr |= CTR_AUX_OFF; break;
	case CMD_AUX_ON: s->ctr &= ~CTR_AUX_OFF; break;
	case CMD_AUX_TEST:
	case CMD_KBD_TEST: answer(s, 0, 0); break;
	case CMD_SELF_TEST:
		s->sys = true;
		answer(s, SELF_TEST_OK, 0);
		break;
	case CMD_KBD_OFF: s->ctr |= CTR_KBD_OFF; break;
	case CMD_KBD_ON: s->ctr &= ~CTR_KBD_OFF; break;
	case CMD_READ_INPUT: answer(s, INPUT_UNLOCKED, 0); break;
	case CMD_READ_OUTPUT: answer(s, s->output, 0); break;
	case CMD_PULSE ... 0xff: /* bits that are 0 pulse low: bit 0 is the CPU's reset */
		if (!(cmd & OUT_RESET_N))
			machine_request(s->dev.machine, MACHINE_REQ_RESET, "guest-reset");
		break;
	}
}

static void parameter(struct i8042 *s, uint8_t val)
{
	uint8_t cmd = s->pending;

	s->pending = 0;
	switch (cmd) {
	case CMD_WRITE_CTR: set_ctr(s, val); break;
	case CMD_WRITE_CTR + 1 ... CMD_WRITE_CTR + 31: s->ram[(cmd & 31) - 1] = val; break;
	case CMD_WRITE_OUTPUT: set_output(s, val); break;
	case CMD_KBD_LOOP: answer(s, val, 0); break;
	case CMD_AUX_LOOP: answer(s, val, STATUS_AUX); break;
	case CMD_WRITE_AUX: answer(s, RESEND, STATUS_AUX | STATUS_TIMEOUT); break;
	default: /* to the keyboard, which is not there; the write also enables its port */
		s->ctr &= ~CTR_KBD_OFF;
		answer(s, RESEND, STATUS_TIMEOUT);
	}
}

static uint64_t data_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct i8042 *s = self(d);

	if (s->count) {
		s->last = s->queue[s->head].data;
		s->head = (s->head + 1) % QUEUE;
		s->count--;
		/* Each byte makes its own edge. */
		irq_set(&s->kbd_irq, 0);
		irq_set(&s->aux_irq, 0);
		update(s);
	}
	return s->last;
}

static void data_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct i8042 *s = self(d);

	s->last_was_command = false;
	parameter(s, val);
	update(s);
}

static uint64_t command_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	const struct i8042 *s = self(d);

	return (s->count ? STATUS_OBF | s->queue[s->head].flags : 0) | (s->sys ? STATUS_SYS : 0) |
		(s->last_was_command ? STATUS_CMD : 0) | STATUS_UNLOCKED;
}

static void command_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct i8042 *s = self(d);

	s->last_was_command = true;
	command(s, val);
	update(s);
}

static const struct region_ops data_ops = { data_read, data_write, .min = 1, .max = 1 };
static const struct region_ops command_ops = { command_read, command_write, .min = 1, .max = 1 };

static int i8042_init(struct device *d, GError **error)
{
	struct i8042 *s = self(d);

	gsi_connect(&s->kbd_irq, d->machine, IRQ_KEYBOARD);
	gsi_connect(&s->aux_irq, d->machine, IRQ_AUX);
	s->data = (struct region){ .name = "i8042-data", .device = d, .ops = &data_ops, .size = 1 };
	s->command = (struct region){ .name = "i8042-command", .device = d, .ops = &command_ops,
		.size = 1 };
	region_place(d->machine->ports, &s->data, PORT_DATA, 0);
	region_place(d->machine->ports, &s->command, PORT_COMMAND, 0);
	return 0;
}

static void i8042_fini(struct device *d)
{
	struct i8042 *s = self(d);

	region_unplace(&s->data);
	region_unplace(&s->command);
}

static void i8042_reset(struct device *d)
{
	struct i8042 *s = self(d);

	memset(s->queue, 0, sizeof(s->queue));
	memset(s->ram, 0, sizeof(s->ram));
	s->head = s->count = s->last = s->pending = 0;
	s->ctr = CTR_KBD_OFF | CTR_AUX_OFF;
	s->output = OUT_RESET_N | OUT_A20;
	s->sys = s->last_was_command = false;
	update(s);
}

static int i8042_loaded(struct device *d, GError **error)
{
	struct i8042 *s = self(d);

	if (s->head >= QUEUE || s->count > QUEUE)
		return fail(error, LODGE_ERROR_STATE, "%s: impossible queue", d->id);
	for (unsigned i = 0; i < QUEUE; i++)
		s->queue[i].flags &= STATUS_AUX | STATUS_TIMEOUT;
	update(s);
	return 0;
}

static const struct field answer_state[] = {
	FIELD(struct answer, data, FIELD_U8),
	FIELD(struct answer, flags, FIELD_U8),
	{ 0 },
};

static const struct field state[] = {
	FIELD_SUB(struct i8042, queue, answer_state, QUEUE, struct answer),
	FIELD(struct i8042, head, FIELD_U8),
	FIELD(struct i8042, count, FIELD_U8),
	FIELD(struct i8042, last, FIELD_U8),
	FIELD(struct i8042, ctr, FIELD_U8),
	FIELD_ARRAY(struct i8042, ram, FIELD_BYTES, 31),
	FIELD(struct i8042, output, FIELD_U8),
	FIELD(struct i8042, pending, FIELD_U8),
	FIELD(struct i8042, sys, FIELD_BOOL),
	FIELD(struct i8042, last_was_command, FIELD_BOOL),
	{ 0 },
};

const struct device_class i8042_class = {
	.name = "i8042",
	.help = "keyboard controller, nothing plugged in",
	.size = sizeof(struct i8042),
	.version = 1,
	.state = state,
	.init = i8042_init,
	.reset = i8042_reset,
	.loaded = i8042_loaded,
	.fini = i8042_fini,
};
