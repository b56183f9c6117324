/* SPDX-License-Identifier: GPL-2.0-or-later */
/* irq.h: one wire. A source holds it, a sink (PIC, IOAPIC, GIC, in-kernel irqchip) hears edges. */
#ifndef CORE_IRQ_H
#define CORE_IRQ_H

/* Embedded in the source; connected once by the board (irq_connect) before the machine runs. */
struct irq {
	void (*set)(void *sink, unsigned line, int level);
	void *sink; /* borrowed */
	unsigned line;
	int level; /* what the source drives now; part of no saved state: re-driven in loaded() */
};

static inline void irq_connect(struct irq *w, void (*set)(void *, unsigned, int), void *sink,
	unsigned line)
{
	w->set = set;
	w->sink = sink;
	w->line = line;
}

/* Drives the wire; repeats are dropped. The sink locks for itself: any thread. */
static inline void irq_set(struct irq *w, int level)
{
	level = !!level;
	if (w->level != level) {
		w->level = level;
		if (w->set)
			w->set(w->sink, w->line, level);
	}
}

static inline void irq_pulse(struct irq *w)
{
	irq_set(w, 1);
	irq_set(w, 0);
}

#endif
