/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi_pm.h: ACPI fixed hardware; the board's FADT and DSDT are made of these numbers. */
#ifndef DEVICE_MISC_ACPI_PM_H
#define DEVICE_MISC_ACPI_PM_H

struct device;

extern const struct device_class acpi_pm_class;

/* Offsets from config "iobase" (I/O ports). */
enum {
	ACPI_PM_DEFAULT_BASE = 0x600,
	ACPI_PM_EVENT = 0x00,	/* PM1a_EVT_BLK, 4 bytes */
	ACPI_PM_CONTROL = 0x04,	/* PM1a_CNT_BLK, 2 bytes */
	ACPI_PM_TIMER = 0x08,	/* PM_TMR_BLK, 4 bytes, 32-bit: TMR_VAL_EXT */
	ACPI_PM_GPE0 = 0x10,	/* GPE0_BLK, 4 bytes: 16 events */
	ACPI_PM_PORTS = 0x14,

	ACPI_PM_S5 = 5,	 /* SLP_TYP of \_S5 */
	ACPI_PM_SCI = 9, /* default of config "irq" */
};

/* A person pressed the power button. Any thread. */
void acpi_pm_press_power(struct device *pm);
/* General-purpose event 0..15 has happened. Any thread. */
void acpi_pm_raise_gpe(struct device *pm, unsigned event);

#endif
