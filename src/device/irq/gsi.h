/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gsi.h: connects a device's wire to a global system interrupt of its machine. */
#ifndef DEVICE_IRQ_GSI_H
#define DEVICE_IRQ_GSI_H

#include "core/intc.h"
#include "core/irq.h"

static inline void gsi_sink(void *machine, unsigned gsi, int level)
{
	machine_gsi(machine, gsi, level);
}

static inline void gsi_connect(struct irq *w, struct machine *m, unsigned gsi)
{
	irq_connect(w, gsi_sink, m, gsi);
}

#endif
