/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ns16550.c: 16550A UART. Spec: TI/National PC16550D datasheet (SNLS378B); section numbers below.
 *
 * Sent bytes take no time: the transmitter is empty as soon as the back end took them. Received
 * bytes wait in the back end until the FIFO has room, so nothing is lost to an overrun.
 */
#include "device/char/ns16550.h"

#include "base/error.h"
#include "base/own.h"
#include "char/char.h"
#include "core/clock.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"
#include "device/irq/gsi.h"

enum { FIFO_SIZE = 16, UART_CLOCK = 1843200 };

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

enum { IER_RX = 1 << 0, IER_THRE = 1 << 1, IER_LINE = 1 << 2, IER_MODEM = 1 << 3 }; /* 8.7 */
enum { /* 8.6.3 */
	IIR_NONE = 0x01, IIR_MODEM = 0x00, IIR_THRE = 0x02, IIR_RX = 0x04, IIR_LINE = 0x06,
	IIR_TIMEOUT = 0x0c, IIR_FIFOS = 0xc0,
};
enum { FCR_ENABLE = 1 << 0, FCR_CLEAR_RX = 1 << 1, FCR_CLEAR_TX = 1 << 2 }; /* 8.6.2 */
enum { LCR_STOP = 1 << 2, LCR_PARITY = 1 << 3, LCR_DLAB = 1 << 7 }; /* 8.1 */
enum { /* 8.6.5 */
	MCR_DTR = 1 << 0, MCR_RTS = 1 << 1, MCR_OUT1 = 1 << 2, MCR_OUT2 = 1 << 3, MCR_LOOP = 1 << 4,
	MCR_KEPT = 0x1f,
};
enum { LSR_DR = 1 << 0, LSR_OE = 1 << 1, LSR_THRE = 1 << 5, LSR_TEMT = 1 << 6 }; /* 8.6.1 */
enum { /* 8.6.6 */
	MSR_DCTS = 1 << 0, MSR_DDSR = 1 << 1, MSR_TERI = 1 << 2, MSR_DDCD = 1 << 3,
	MSR_CTS = 1 << 4, MSR_DSR = 1 << 5, MSR_RI = 1 << 6, MSR_DCD = 1 << 7,
	MSR_DELTAS = 0x0f,
};

struct fifo {
	uint8_t data[FIFO_SIZE];
	uint8_t head, count;
};

struct ns16550 {
	struct device dev;
	uint32_t iobase; /* config */
	uint8_t irq_line;
	struct chardev *chr; /* borrowed; may be NULL */
	struct irq irq;
	struct region ports;
	struct timer timeout;
	struct fifo rx, tx;
	uint8_t ier, fcr, lcr, mcr, lsr, msr, scr;
	uint16_t divisor;
	bool thre_pending; /* 8.6.3: set when THR empties, cleared by reading IIR or writing THR */
	bool timed_out;	   /* character timeout */
	bool connected;	   /* the other end's modem lines are up */
};

static struct ns16550 *self(struct device *d)
{
	return container_of(d, struct ns16550, dev);
}

static void fifo_put(struct fifo *f, uint8_t byte)
{
	f->data[(f->head + f->count++) % FIFO_SIZE] = byte;
}

static uint8_t fifo_get(struct fifo *f)
{
	uint8_t byte = f->data[f->head];

	f->head = (f->head + 1) % FIFO_SIZE;
	f->count--;
	return byte;
}

static unsigned depth(const struct ns16550 *s)
{
	return s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

/* 8.6.2, bits 7..6 */
static unsigned trigger(const struct ns16550 *s)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return s->fcr & FCR_ENABLE ? level[s->fcr >> 6] : 1;
}

/* 8.6.3, table II: sources in order of priority. */
static uint8_t iir(const struct ns16550 *s)
{
	if (s->ier & IER_LINE && s->lsr & LSR_OE)
		return IIR_LINE;
	if (s->ier & IER_RX && s->rx.count >= trigger(s))
		return IIR_RX;
	if (s->ier & IER_RX && s->timed_out)
		return IIR_TIMEOUT;
	if (s->ier & IER_THRE && s->thre_pending)
		return IIR_THRE;
	if (s->ier & IER_MODEM && s->msr & MSR_DELTAS)
		return IIR_MODEM;
	return IIR_NONE;
}

/* On a PC, OUT2 lets the interrupt out of the card; the loop pulls it down (8.6.5). */
static void update_irq(struct ns16550 *s)
{
	irq_set(&s->irq, iir(s) != IIR_NONE && (s->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2);
}

/* 8.4: four character times without a read or an arrival, while bytes wait below the trigger. */
static void restart_timeout(struct ns16550 *s)
{
	unsigned bits = 1 + 5 + (s->lcr & 3) + !!(s->lcr & LCR_PARITY) + 1 + !!(s->lcr & LCR_STOP);
	uint64_t ns = 4ull * bits * 16 * (s->divisor ? s->divisor : 1) * NS_PER_SEC / UART_CLOCK;

	s->timed_out = false;
	if (!(s->fcr & FCR_ENABLE) || !s->rx.count || s->rx.count >= trigger(s)) {
		if (s->timeout.when >= 0)
			timer_cancel(&s->timeout);
		return;
	}
	timer_arm(&s->timeout, clock_ns(s->dev.machine->clock) + (int64_t)ns);
}

static void timeout_expired(void *opaque)
{
	struct ns16550 *s = opaque;

	s->timed_out = true;
	update_irq(s);
}

/* Hands waiting bytes to the back end; what it does not take waits for its writable call. */
static void flush_tx(struct ns16550 *s)
{
	while (s->tx.count) {
		unsigned run = MIN(s->tx.count, FIFO_SIZE - s->tx.head);
		size_t n = s->chr ? char_write(s->chr, s->tx.data + s->tx.head, run) : run;

		s->tx.head = (s->tx.head + n) % FIFO_SIZE;
		s->tx.count -= n;
		if (n < run)
			return;
	}
	s->lsr |= LSR_THRE | LSR_TEMT;
	s->thre_pending = true;
}

static void rx_byte(struct ns16550 *s, uint8_t byte)
{
	if (s->rx.count >= depth(s)) {
		s->lsr |= LSR_OE; /* 8.6.1: the FIFO keeps what it has */
		if (!(s->fcr & FCR_ENABLE))
			s->rx.data[s->rx.head] = byte;
		return;
	}
	fifo_put(&s->rx, byte);
	s->lsr |= LSR_DR;
	restart_timeout(s);
}

static void write_thr(struct ns16550 *s, uint8_t byte)
{
	s->thre_pending = false;
	if (s->mcr & MCR_LOOP) {
		rx_byte(s, byte);
		s->thre_pending = true;
		return;
	}
	if (s->tx.count >= depth(s)) /* written while THR was full: the byte there is overwritten */
		s->tx.data[(s->tx.head + s->tx.count - 1) % FIFO_SIZE] = byte;
	else
		fifo_put(&s->tx, byte);
	s->lsr &= ~(LSR_THRE | LSR_TEMT);
	flush_tx(s);
}

static uint8_t read_rbr(struct ns16550 *s)
{
	uint8_t byte;

	if (!s->rx.count)
		return 0;
	byte = fifo_get(&s->rx);
	if (!s->rx.count)
		s->lsr &= ~LSR_DR;
	restart_timeout(s);
	if (s->chr)
		char_accept_input(s->chr);
	return byte;
}

/* 8.6.6: the lines as they are; deltas collect until MSR is read. In the loop they are our own. */
static void set_modem(struct ns16550 *s)
{
	uint8_t old = s->msr, now = s->connected ? MSR_CTS | MSR_DSR | MSR_DCD : 0;

	if (s->mcr & MCR_LOOP)
		now = (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
			(s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
	s->msr = now | (old & MSR_DELTAS) | ((old ^ now) >> 4 & (MSR_DCTS | MSR_DDSR | MSR_DDCD)) |
		(old & ~now & MSR_RI ? MSR_TERI : 0);
}

/* 8.6.2: changing bit 0 clears both FIFOs. */
static void write_fcr(struct ns16550 *s, uint8_t val)
{
	bool flip = (s->fcr ^ val) & FCR_ENABLE;

	s->fcr = val & FCR_ENABLE ? val & ~(FCR_CLEAR_RX | FCR_CLEAR_TX) : 0;
	if (flip || val & FCR_CLEAR_RX) {
		s->rx = (struct fifo){ 0 };
		s->lsr &= ~(LSR_DR | LSR_OE);
	}
	if (flip || val & FCR_CLEAR_TX) {
		s->tx = (struct fifo){ 0 };
		s->lsr |= LSR_THRE | LSR_TEMT;
		s->thre_pending = true;
	}
	restart_timeout(s);
	if (s->chr)
		char_accept_input(s->chr);
}

static uint8_t read_iir(struct ns16550 *s)
{
	uint8_t v = iir(s);

	if (v == IIR_THRE)
		s->thre_pending = false;
	return v | (s->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static uint8_t read_register(struct ns16550 *s, unsigned reg)
{
	uint8_t v;

	switch (reg) {
	case REG_DATA: return s->lcr & LCR_DLAB ? s->divisor & 0xff : read_rbr(s);
	case REG_IER: return s->lcr & LCR_DLAB ? s->divisor >> 8 : s->ier;
	case REG_IIR_FCR: return read_iir(s);
	case REG_LCR: return s->lcr;
	case REG_MCR: return s->mcr;
	case REG_LSR:
		v = s->lsr;
		s->lsr &= ~LSR_OE;
		return v;
	case REG_MSR:
		v = s->msr;
		s->msr &= ~MSR_DELTAS;
		return v;
	default: return s->scr;
	}
}

static uint64_t ns16550_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct ns16550 *s = self(d);
	uint8_t v = read_register(s, off);

	update_irq(s);
	return v;
}

/* 8.7: enabling THRE while THR is empty interrupts at once. */
static void write_ier(struct ns16550 *s, uint8_t val)
{
	if (val & ~s->ier & IER_THRE && s->lsr & LSR_THRE)
		s->thre_pending = true;
	s->ier = val & 0x0f;
}

static void write_mcr(struct ns16550 *s, uint8_t val)
{
	bool left_loop = s->mcr & ~val & MCR_LOOP;

	s->mcr = val & MCR_KEPT;
	set_modem(s);
	if (left_loop && s->chr)
		char_accept_input(s->chr);
}

static void ns16550_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct ns16550 *s = self(d);
	bool dlab = s->lcr & LCR_DLAB;

	switch (off) {
	case REG_DATA:
		if (dlab)
			s->divisor = (s->divisor & 0xff00) | (val & 0xff);
		else
			write_thr(s, val);
		break;
	case REG_IER:
		if (dlab)
			s->divisor = (s->divisor & 0xff) | (val & 0xff) << 8;
		else
			write_ier(s, val);
		break;
	case REG_IIR_FCR: write_fcr(s, val); break;
	case REG_LCR: s->lcr = val; break;
	case REG_MCR: write_mcr(s, val); break;
	case REG_SCR: s->scr = val; break;
	}
	update_irq(s);
}

static const struct region_ops ns16550_ops = { ns16550_read, ns16550_write, .min = 1, .max = 1 };

/* The back end's calls, on the main loop. */
static size_t can_receive(void *opaque)
{
	struct ns16550 *s = opaque;
	size_t n;

	device_lock(&s->dev);
	n = s->mcr & MCR_LOOP || s->rx.count > depth(s) ? 0 : depth(s) - s->rx.count;
	device_unlock(&s->dev);
	return n;
}

static void receive(void *opaque, const uint8_t *p, size_t n)
{
	struct ns16550 *s = opaque;

	device_lock(&s->dev);
	for (size_t i = 0; i < n; i++)
		rx_byte(s, p[i]);
	update_irq(s);
	device_unlock(&s->dev);
}

static void writable(void *opaque)
{
	struct ns16550 *s = opaque;

	device_lock(&s->dev);
	if (s->tx.count)
		flush_tx(s);
	update_irq(s);
	device_unlock(&s->dev);
}

static void connected(void *opaque, bool yes)
{
	struct ns16550 *s = opaque;

	device_lock(&s->dev);
	s->connected = yes;
	set_modem(s);
	update_irq(s);
	device_unlock(&s->dev);
}

static const struct char_user user = { can_receive, receive, writable, connected };

void ns16550_set_char(struct device *uart, struct chardev *c)
{
	self(uart)->chr = c;
}

static int ns16550_init(struct device *d, GError **error)
{
	struct ns16550 *s = self(d);

	if (s->iobase > 0x10000 - 8 || s->iobase & 7)
		return fail(error, LODGE_ERROR_USAGE, "%s: iobase 0x%x is no place for it", d->id,
			s->iobase);
	s->connected = true;
	gsi_connect(&s->irq, d->machine, s->irq_line);
	timer_init(&s->timeout, d->machine->clock, d, timeout_expired, s);
	s->ports = (struct region){ .name = "ns16550", .device = d, .ops = &ns16550_ops,
		.size = 8 };
	region_place(d->machine->ports, &s->ports, s->iobase, 0);
	if (s->chr)
		char_attach(s->chr, &user, s);
	return 0;
}

static void ns16550_fini(struct device *d)
{
	struct ns16550 *s = self(d);

	if (s->ports.space) {
		region_unplace(&s->ports);
		if (s->chr)
			char_attach(s->chr, NULL, NULL);
	}
	if (s->timeout.clock)
		timer_cancel(&s->timeout);
}

/* Table I; the divisor and SCR are not touched by the reset pin, but defined here. */
static void ns16550_reset(struct device *d)
{
	struct ns16550 *s = self(d);

	s->ier = s->fcr = s->lcr = s->mcr = s->msr = s->scr = 0;
	s->lsr = LSR_THRE | LSR_TEMT;
	s->divisor = UART_CLOCK / 16 / 9600;
	s->rx = s->tx = (struct fifo){ 0 };
	s->thre_pending = false;
	set_modem(s);
	s->msr &= ~MSR_DELTAS;
	restart_timeout(s);
	update_irq(s);
	if (s->chr)
		char_accept_input(s->chr);
}

static int ns16550_loaded(struct device *d, GError **error)
{
	struct ns16550 *s = self(d);
	bool timed_out = s->timed_out;

	if (s->rx.head >= FIFO_SIZE || s->tx.head >= FIFO_SIZE || s->rx.count > depth(s) ||
		s->tx.count > depth(s))
		return fail(error, LODGE_ERROR_STATE, "%s: impossible FIFO", d->id);
	s->ier &= 0x0f;
	s->mcr &= MCR_KEPT;
	restart_timeout(s);
	s->timed_out = timed_out && s->rx.count;
	set_modem(s);
	if (s->tx.count)
		flush_tx(s);
	update_irq(s);
	if (s->chr)
		char_accept_input(s->chr);
	return 0;
}

static const struct field config[] = {
	CONFIG(struct ns16550, iobase, FIELD_U32, "0x3f8", "first of its 8 I/O ports"),
	CONFIG_AS(struct ns16550, irq_line, "irq", FIELD_U8, "4", "global system interrupt"),
	{ 0 },
};

static const struct field fifo_state[] = {
	FIELD_ARRAY(struct fifo, data, FIELD_BYTES, FIFO_SIZE),
	FIELD(struct fifo, head, FIELD_U8),
	FIELD(struct fifo, count, FIELD_U8),
	{ 0 },
};

static const struct field state[] = {
	FIELD_SUB(struct ns16550, rx, fifo_state, 1, struct fifo),
	FIELD_SUB(struct ns16550, tx, fifo_state, 1, struct fifo),
	FIELD(struct ns16550, ier, FIELD_U8),
	FIELD(struct ns16550, fcr, FIELD_U8),
	FIELD(struct ns16550, lcr, FIELD_U8),
	FIELD(struct ns16550, mcr, FIELD_U8),
	FIELD(struct ns16550, lsr, FIELD_U8),
	FIELD(struct ns16550, msr, FIELD_U8),
	FIELD(struct ns16550, scr, FIELD_U8),
	FIELD(struct ns16550, divisor, FIELD_U16),
	FIELD(struct ns16550, thre_pending, FIELD_BOOL),
	FIELD(struct ns16550, timed_out, FIELD_BOOL),
	{ 0 },
};

const struct device_class ns16550_class = {
	.name = "ns16550",
	.help = "16550A serial port",
	.size = sizeof(struct ns16550),
	.version = 1,
	.config = config,
	.state = state,
	.init = ns16550_init,
	.reset = ns16550_reset,
	.loaded = ns16550_loaded,
	.fini = ns16550_fini,
};
