/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rtc.h: real-time clock and CMOS memory. */
#ifndef DEVICE_TIMER_RTC_H
#define DEVICE_TIMER_RTC_H

#include <stdint.h>

struct device;
struct irq;

extern const struct device_class rtc_class;

/* One byte of CMOS memory that firmware reads (0x10..0x7f but the century, 0x32): set by the board
 * before the machine runs. */
void rtc_set_cmos(struct device *rtc, unsigned index, uint8_t val);
/* Its interrupt wire, for an HPET to take over. */
struct irq *rtc_irq(struct device *rtc);

#endif
