/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8259.h: the PC's pair of 8259A interrupt controllers. */
#ifndef DEVICE_IRQ_I8259_H
#define DEVICE_IRQ_I8259_H

struct device;
struct irq;

extern const struct device_class i8259_class;

/* Sink of an irq wire: input `line`, 0..15 (2 is the cascade and ignored). Any thread. */
void i8259_set(void *i8259, unsigned line, int level);
/* The INTA cycle: takes the interrupt and returns its vector, a spurious one if it went away. Any
 * thread. */
int i8259_ack(void *i8259);
/* The INTR output, to be connected to LINT0 of the boot CPU. */
struct irq *i8259_intr(struct device *i8259);

#endif
