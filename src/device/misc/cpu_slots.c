/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpu_slots.c: which processors are plugged in, and the requests to plug and unplug them. All vCPUs
 * a machine may get exist from the start and wait for their SIPI; this is what firmware knows of
 * them. The registers are our own, only our DSDT uses them. Spec: ACPI 6.4, 8.4 (processors), 6.3
 * (_EJ0), 5.6.6 (notifications).
 */
#include "device/misc/cpu_slots.h"

#include "base/error.h"
#include "base/own.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"

struct cpu_slots {
	struct device dev;
	uint32_t iobase, cpus; /* config */
	struct region ports;
	uint32_t select;
	uint8_t slot[MACHINE_MAX_VCPUS]; /* CPU_SLOT_* */
	void (*notify)(void *opaque);
	void *notify_opaque;
	void (*ejected)(void *opaque, unsigned cpu);
	void *ejected_opaque;
};

static struct cpu_slots *self(struct device *d)
{
	return container_of(d, struct cpu_slots, dev);
}

void cpu_slots_set_notify(struct device *d, void (*notify)(void *opaque), void *opaque)
{
	self(d)->notify = notify;
	self(d)->notify_opaque = opaque;
}

void cpu_slots_listen(struct device *d, void (*ejected)(void *opaque, unsigned cpu), void *opaque)
{
	device_lock(d);
	self(d)->ejected = ejected;
	self(d)->ejected_opaque = opaque;
	device_unlock(d);
}

bool cpu_slots_present(struct device *d, unsigned cpu)
{
	return cpu < MACHINE_MAX_VCPUS && self(d)->slot[cpu] & CPU_SLOT_PRESENT;
}

unsigned cpu_slots_count(struct device *d)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d->machine->vcpu_count; i++)
		n += cpu_slots_present(d, i);
	return n;
}

static bool stays(const struct cpu_slots *s, unsigned cpu)
{
	return s->slot[cpu] & CPU_SLOT_PRESENT && !(s->slot[cpu] & CPU_SLOT_WANTED);
}

int cpu_slots_resize(struct device *d, unsigned count, GError **error)
{
	struct cpu_slots *s = self(d);
	unsigned max = d->machine->vcpu_count, have = 0;

	if (count < 1 || count > max)
		return fail(
			error, LODGE_ERROR_USAGE, "%u vCPUs: this machine has 1 to %u", count, max);
	device_lock(d);
	for (unsigned i = 0; i < max; i++)
		have += stays(s, i);
	for (unsigned i = 0; i < max && have < count; i++) {
		if (stays(s, i))
			continue;
		/* One the guest was about to give up is taken back. */
		s->slot[i] = CPU_SLOT_PRESENT |
			     (s->slot[i] & CPU_SLOT_PRESENT ? s->slot[i] & CPU_SLOT_ADDED
							    : CPU_SLOT_ADDED);
		have++;
	}
	for (unsigned i = max; i-- > 1 && have > count;) {
		if (!stays(s, i))
			continue;
		s->slot[i] |= CPU_SLOT_WANTED;
		have--;
	}
	device_unlock(d);
	if (s->notify)
		s->notify(s->notify_opaque);
	return 0;
}

static uint64_t ports_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct cpu_slots *s = self(d);

	if (off == CPU_SLOTS_SELECT)
		return s->select;
	return off == CPU_SLOTS_STATUS && s->select < d->machine->vcpu_count ? s->slot[s->select]
									     : 0;
}

static void ports_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct cpu_slots *s = self(d);

	if (off == CPU_SLOTS_SELECT) {
		s->select = (uint32_t)val;
	} else if (off == CPU_SLOTS_STATUS && s->select < d->machine->vcpu_count) {
		s->slot[s->select] &= ~(val & (CPU_SLOT_ADDED | CPU_SLOT_WANTED));
		if (val & CPU_SLOT_EJECT && s->select && s->slot[s->select] & CPU_SLOT_PRESENT) {
			s->slot[s->select] = 0;
			if (s->ejected)
				s->ejected(s->ejected_opaque, s->select);
		}
	}
}

static const struct region_ops ports_ops = { ports_read, ports_write, .min = 1, .max = 4 };

static int cpu_slots_init(struct device *d, GError **error)
{
	struct cpu_slots *s = self(d);

	if (s->iobase > 0x10000 - CPU_SLOTS_PORTS || s->iobase & 3)
		return fail(error, LODGE_ERROR_USAGE, "%s: iobase 0x%x is no place for it", d->id,
			s->iobase);
	if (s->cpus < 1 || s->cpus > MACHINE_MAX_VCPUS)
		return fail(
			error, LODGE_ERROR_USAGE, "%s: cpus is 1 to %d", d->id, MACHINE_MAX_VCPUS);
	for (unsigned i = 0; i < s->cpus; i++)
		s->slot[i] = CPU_SLOT_PRESENT;
	s->ports = (struct region){
		.name = "cpu-slots", .device = d, .ops = &ports_ops, .size = CPU_SLOTS_PORTS
	};
	region_place(d->machine->ports, &s->ports, s->iobase, 0);
	return 0;
}

static void cpu_slots_fini(struct device *d)
{
	region_unplace(&self(d)->ports);
}

/* The next kernel finds in its tables who is there; it needs no events of the last one. */
static void cpu_slots_reset(struct device *d)
{
	struct cpu_slots *s = self(d);

	s->select = 0;
	for (unsigned i = 0; i < MACHINE_MAX_VCPUS; i++)
		s->slot[i] &= s->slot[i] & CPU_SLOT_WANTED ? 0 : CPU_SLOT_PRESENT;
}

static int cpu_slots_loaded(struct device *d, GError **error)
{
	struct cpu_slots *s = self(d);

	for (unsigned i = 0; i < MACHINE_MAX_VCPUS; i++)
		s->slot[i] &= CPU_SLOT_PRESENT | CPU_SLOT_ADDED | CPU_SLOT_WANTED;
	if (!cpu_slots_present(d, 0))
		return fail(
			error, LODGE_ERROR_STATE, "%s: the saved machine has no first vCPU", d->id);
	return 0;
}

static const struct field config[] = {
	CONFIG(struct cpu_slots, iobase, FIELD_U32, "0x640", "first of its 8 I/O ports"),
	CONFIG(struct cpu_slots, cpus, FIELD_U32, "1", "processors that are there at the start"),
	{ 0 },
};

static const struct field state[] = {
	FIELD(struct cpu_slots, select, FIELD_U32),
	FIELD_ARRAY(struct cpu_slots, slot, FIELD_U8, MACHINE_MAX_VCPUS),
	{ 0 },
};

const struct device_class cpu_slots_class = {
	.name = "cpu-slots",
	.help = "processors that can be plugged and unplugged",
	.size = sizeof(struct cpu_slots),
	.version = 1,
	.config = config,
	.state = state,
	.init = cpu_slots_init,
	.reset = cpu_slots_reset,
	.loaded = cpu_slots_loaded,
	.fini = cpu_slots_fini,
};
