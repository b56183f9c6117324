/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic_send.c: interrupt messages and who accepts them: ICR, MSI, self-IPI.
 * Spec: Intel SDM vol. 3, 11.6 (IPIs), 11.8.5 (acceptance), 11.11 (MSI), 11.12.9 and 11.12.10
 * (x2APIC).
 *
 * Runs on any thread and takes no lock: what it reads of a target are atomics that the target's own
 * thread writes; a guest that changes them under a message in flight gets either outcome, as on
 * the real bus.
 */
#include "base/log.h"
#include "core/machine.h"
#include "device/irq/lapic_impl.h"

struct message {
	uint32_t dest;
	bool wide; /* dest has 32 bits, x2APIC's form */
	bool logical, level;
	enum lapic_mode mode;
	uint8_t vector;
};

/* SDM 11.8.4: 0-15 are reserved and refused; TMR before IRR, so that EOI sees the right one. */
static void accept_fixed(struct lapic *l, uint8_t vector, bool level)
{
	uint32_t bit = 1u << (vector & 31);
	unsigned i = vector >> 5;

	if (!(l->svr & SVR_ENABLE) || !lapic_on(l))
		return;
	if (vector < 16) {
		lapic_error(l, ESR_RECV_ILLEGAL);
		return;
	}
	/* Avoid the locked operation where nothing changes: nearly always. */
	if (level != !!(atomic_load_explicit(&l->tmr[i], memory_order_relaxed) & bit)) {
		if (level)
			atomic_fetch_or(&l->tmr[i], bit);
		else
			atomic_fetch_and(&l->tmr[i], ~bit);
	}
	/* Whoever set the bit first posts the event, and it stays set until taken. */
	if (!(atomic_fetch_or(&l->irr[i], bit) & bit))
		vcpu_post(l->vcpu, VCPU_EV_INTR);
}

void lapic_accept(struct lapic *l, enum lapic_mode mode, uint8_t vector, bool level)
{
	switch (mode) {
	case MODE_FIXED:
	case MODE_LOWEST:
		accept_fixed(l, vector, level);
		break;
	case MODE_NMI:
		vcpu_post(l->vcpu, VCPU_EV_NMI);
		break;
	case MODE_SMI:
		vcpu_post(l->vcpu, VCPU_EV_SMI);
		break;
	case MODE_INIT:
		/* A start-up IPI from before the INIT is void. */
		vcpu_events_clear(l->vcpu, VCPU_EV_SIPI);
		vcpu_post(l->vcpu, VCPU_EV_INIT);
		break;
	case MODE_SIPI:
		l->vcpu->sipi_vector = vector;
		vcpu_post(l->vcpu, VCPU_EV_SIPI);
		break;
	case MODE_EXTINT: /* only the LINT0 pin can run the INTA cycle here */
	case MODE_RESERVED:
		break;
	}
}

/* SDM 11.6.2.2 and 11.12.10.1 */
static bool logical_match(const struct lapic *l, const struct message *msg)
{
	uint32_t ldr, dest = msg->dest;

	if (lapic_x2(l)) {
		ldr = l->cpu >> 4 << 16 | 1u << (l->cpu & 15);
		return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
	}
	if (dest > 0xff)
		return false;
	ldr = l->ldr >> 24;
	if (l->dfr >> 28 == 0xf)
		return dest & ldr;
	return dest >> 4 == ldr >> 4 && (dest & ldr & 0xf);
}

static bool match(const struct lapic *l, const struct message *msg)
{
	if (!lapic_on(l))
		return false;
	if (msg->dest == (msg->wide ? 0xffffffffu : 0xffu))
		return true;
	return msg->logical ? logical_match(l, msg) : msg->dest == l->cpu;
}

/* SDM 11.6.2.4: the lowest task priority wins; ties are broken by the vector, which spreads several
 * sources but keeps each on one CPU. */
static void send_lowest(struct machine *m, const struct message *msg)
{
	unsigned n = m->vcpu_count, start = msg->vector % n;
	struct lapic *best = NULL;

	for (unsigned i = 0; i < n; i++) {
		struct lapic *l = lapic_of(m->vcpus[(start + i) % n]);

		if (l && (l->svr & SVR_ENABLE) && match(l, msg) && (!best || l->tpr < best->tpr))
			best = l;
	}
	if (best)
		lapic_accept(best, MODE_FIXED, msg->vector, msg->level);
}

static void send(struct machine *m, const struct message *msg)
{
	bool one = !msg->logical && msg->dest < m->vcpu_count; /* fewer than 255: no broadcast */
	struct lapic *l;

	if (one) { /* the common case: ids are indices */
		l = lapic_of(m->vcpus[msg->dest]);
		if (l && lapic_on(l))
			lapic_accept(l, msg->mode, msg->vector, msg->level);
		return;
	}
	if (msg->mode == MODE_LOWEST && m->vcpu_count) {
		send_lowest(m, msg);
		return;
	}
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		l = lapic_of(m->vcpus[i]);
		if (l && match(l, msg))
			lapic_accept(l, msg->mode, msg->vector, msg->level);
	}
}

/* SDM 11.6.1, figure 11-12 and 11-28 */
void lapic_send_icr(struct lapic *l, uint64_t icr)
{
	struct machine *m = l->dev.machine;
	struct message msg = {
		.dest = lapic_x2(l) ? icr >> 32 : icr >> 56,
		.wide = lapic_x2(l),
		.logical = icr & 1 << 11,
		.mode = icr >> 8 & 7,
		.vector = icr & 0xff,
		/* The trigger bit means something for the INIT de-assert message alone. */
		.level = false,
	};
	unsigned shorthand = icr >> 18 & 3;
	bool assert_level = icr & 1 << 14, trigger = icr & 1 << 15;

	if (msg.mode == MODE_INIT && trigger && !assert_level)
		return; /* INIT de-assert: sets arbitration ids, which we have none of */
	if ((msg.mode == MODE_FIXED || msg.mode == MODE_LOWEST) && msg.vector < 16) {
		lapic_error(l, ESR_SEND_ILLEGAL);
		return;
	}
	switch (shorthand) {
	case 0:
		send(m, &msg);
		break;
	case 1: /* self: fixed only */
		if (msg.mode == MODE_FIXED)
			lapic_accept(l, MODE_FIXED, msg.vector, false);
		break;
	default:
		for (unsigned i = 0; i < m->vcpu_count; i++) {
			struct lapic *t = lapic_of(m->vcpus[i]);

			if (t && lapic_on(t) && (shorthand == 2 || t != l))
				lapic_accept(t, msg.mode, msg.vector, false);
		}
	}
}

/* SDM 11.11.1 and 11.11.2 */
void lapic_msi(struct machine *m, uint64_t addr, uint32_t data)
{
	struct message msg = {
		.dest = addr >> 12 & 0xff,
		.logical = addr & 1 << 2,
		.mode = data >> 8 & 7,
		.vector = data & 0xff,
		.level = data & 1 << 15,
	};

	if (addr >> 20 != BASE_ADDRESS >> 20)
		return;
	if (msg.level && !(data & 1 << 14))
		return; /* de-assert of a level: nothing to do on a message bus */
	/* The redirection hint makes logical fixed delivery go to one CPU only. */
	if (addr & 1 << 3 && msg.logical && msg.mode == MODE_FIXED)
		msg.mode = MODE_LOWEST;
	if (msg.mode == MODE_SIPI)
		return; /* no MSI encoding */
	send(m, &msg);
}
