/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_rig.c: a machine for device tests. */
#include "device_rig.h"

#include "core/engine.h"
#include "cpu/x86/state.h"

/* One job at a time, handed to a vCPU's thread. */
struct rig_vcpu {
	struct x86_cpu cpu;
	GMutex lock;
	GCond cond;
	void (*fn)(struct vcpu *c, void *opaque);
	void *opaque;
};

static int rig_open(struct machine *m, GError **error)
{
	return 0;
}

static void rig_close(struct machine *m)
{
}

static int rig_vcpu_init(struct vcpu *c, GError **error)
{
	struct rig_vcpu *v = g_new0(struct rig_vcpu, 1);

	g_mutex_init(&v->lock);
	g_cond_init(&v->cond);
	c->engine = v;
	c->arch = &v->cpu;
	return 0;
}

static void rig_vcpu_fini(struct vcpu *c)
{
	g_free(c->engine);
}

static void rig_vcpu_reset(struct vcpu *c)
{
}

static enum vcpu_exit rig_vcpu_run(struct vcpu *c)
{
	struct rig_vcpu *v = c->engine;

	g_mutex_lock(&v->lock);
	while (!(vcpu_events(c) & VCPU_EV_EXIT)) {
		if (v->fn) {
			void (*fn)(struct vcpu *, void *) = v->fn;

			g_mutex_unlock(&v->lock);
			fn(c, v->opaque);
			g_mutex_lock(&v->lock);
			v->fn = NULL;
			g_cond_broadcast(&v->cond);
		} else {
			g_cond_wait(&v->cond, &v->lock);
		}
	}
	g_mutex_unlock(&v->lock);
	return VCPU_KICKED;
}

static void rig_vcpu_kick(struct vcpu *c)
{
	struct rig_vcpu *v = c->engine;

	if (vcpu_current() == c)
		return;
	g_mutex_lock(&v->lock);
	g_cond_broadcast(&v->cond);
	g_mutex_unlock(&v->lock);
}

static int rig_sync(struct vcpu *c, GError **error)
{
	return 0;
}

/* The TSC runs at 1 GHz of virtual time. */
static uint64_t rig_guest_tsc(struct vcpu *c)
{
	return clock_ns(c->machine->clock);
}

static uint64_t rig_tsc_khz(struct machine *m)
{
	return 1000000;
}

static const struct accel rig_accel = {
	.name = "rig", .help = "runs test functions", .for_tests = true, .open = rig_open,
	.close = rig_close, .vcpu_init = rig_vcpu_init, .vcpu_fini = rig_vcpu_fini,
	.vcpu_reset = rig_vcpu_reset, .vcpu_run = rig_vcpu_run, .vcpu_kick = rig_vcpu_kick,
	.vcpu_pull = rig_sync, .vcpu_push = rig_sync, .guest_tsc = rig_guest_tsc,
	.tsc_khz = rig_tsc_khz,
};

static void record_gsi(void *opaque, unsigned gsi, int level)
{
	struct rig_irqs *r = opaque;

	assert_true(gsi < RIG_GSIS);
	if (level && !r->level[gsi])
		r->rises[gsi]++;
	r->level[gsi] = level;
}

static void record_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct rig_irqs *r = opaque;

	r->msis++;
	r->msi_addr = addr;
	r->msi_data = data;
}

static const struct intc_ops recorder = {
	.name = "recorder", .gsi = record_gsi, .msi = record_msi,
};

struct machine *rig_new(unsigned vcpus, struct rig_irqs *irqs)
{
	struct machine *m = machine_new(&rig_accel, NULL);

	assert_non_null(m);
	assert_int_equal(machine_add_vcpus(m, vcpus, NULL), 0);
	if (irqs)
		m->intc = (struct intc){ .ops = &recorder, .opaque = irqs };
	clock_set(m->clock, NS_PER_SEC); /* not 0: that would hide what starts from 0 */
	return m;
}

void rig_free(struct machine *m)
{
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		vcpu_forbid(m->vcpus[i]);
		vcpu_wait_parked(m->vcpus[i]);
	}
	machine_free(m);
}

struct device *rig_add(struct machine *m, const struct device_class *cls, const char *id,
	const char *config)
{
	struct device *d = device_new(m, cls, id);
	g_auto(GStrv) words = g_strsplit(config ? config : "", ",", -1);

	for (char **w = words; *w; w++) {
		char *eq = strchr(*w, '=');

		assert_non_null(eq);
		*eq = 0;
		assert_int_equal(device_set(d, *w, eq + 1, NULL), 0);
	}
	assert_int_equal(device_add(d, NULL), 0);
	if (cls->reset)
		cls->reset(d);
	return d;
}

void rig_advance(struct machine *m, int64_t ns)
{
	clock_set(m->clock, clock_ns(m->clock) + ns);
	clock_run(m->clock);
	g_main_context_iteration(NULL, FALSE);
}

void rig_on_vcpu(struct machine *m, unsigned vcpu, void (*fn)(struct vcpu *, void *), void *opaque)
{
	struct vcpu *c = m->vcpus[vcpu];
	struct rig_vcpu *v = c->engine;

	vcpu_allow(c);
	g_mutex_lock(&v->lock);
	v->opaque = opaque;
	v->fn = fn;
	g_cond_broadcast(&v->cond);
	while (v->fn)
		g_cond_wait(&v->cond, &v->lock);
	g_mutex_unlock(&v->lock);
}
