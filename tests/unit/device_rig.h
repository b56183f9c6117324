/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_rig.h: a machine for device tests: vCPUs that run C functions instead of guest code, an
 * interrupt entrance that records, and time that moves when the test says so.
 */
#ifndef TESTS_DEVICE_RIG_H
#define TESTS_DEVICE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include "core/clock.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"
#include "core/vcpu.h"

enum { RIG_GSIS = 24 };

/* What arrived at the recording interrupt entrance. */
struct rig_irqs {
	int level[RIG_GSIS];
	unsigned rises[RIG_GSIS];
	unsigned msis;
	uint64_t msi_addr;
	uint32_t msi_data;
};

struct machine *rig_new(unsigned vcpus, struct rig_irqs *irqs); /* irqs NULL: none are recorded */
void rig_free(struct machine *m);

/* Adds a device of a class; `config` is "name=value,name=value" or NULL. */
struct device *rig_add(struct machine *m, const struct device_class *cls, const char *id,
	const char *config);

/* Virtual time goes on by ns; the timers due on the way have run when it returns. */
void rig_advance(struct machine *m, int64_t ns);

/* Runs fn on the vCPU's own thread and waits for it. */
void rig_on_vcpu(struct machine *m, unsigned vcpu, void (*fn)(struct vcpu *c, void *opaque),
	void *opaque);

static inline uint8_t rig_in(struct machine *m, uint16_t port)
{
	return space_read(m->ports, port, 1);
}

static inline void rig_out(struct machine *m, uint16_t port, uint8_t val)
{
	space_write(m->ports, port, val, 1);
}

#endif
