/* SPDX-License-Identifier: GPL-2.0-or-later */
/* null.c: vCPUs that sleep until they are told to leave. */
#include "accel/null/null.h"

#include <glib.h>

#include "core/engine.h"
#include "core/vcpu.h"
#include "cpu/x86/state.h"

static int null_open(struct machine *m, GError **error)
{
	return 0;
}

static void null_close(struct machine *m)
{
}

static int null_vcpu_init(struct vcpu *c, GError **error)
{
	c->arch = g_new0(struct x86_cpu, 1);
	return 0;
}

static void null_vcpu_fini(struct vcpu *c)
{
	g_clear_pointer(&c->arch, g_free);
}

static void null_vcpu_reset(struct vcpu *c)
{
	struct x86_cpu *cpu = c->arch;

	*cpu = (struct x86_cpu){ .apic_id = c->index, .activity = X86_HALTED };
}

static enum vcpu_exit null_vcpu_run(struct vcpu *c)
{
	while (!(vcpu_events(c) & VCPU_EV_EXIT)) {
		vcpu_events_clear(c, ~VCPU_EV_EXIT);
		vcpu_wait(c);
	}
	return VCPU_KICKED;
}

static void null_vcpu_kick(struct vcpu *c)
{
	/* A vCPU that is not asleep looks at its events before it sleeps. */
}

static int null_sync(struct vcpu *c, GError **error)
{
	return 0; /* c->arch is the only copy */
}

const struct accel accel_null = {
	.name = "null",
	.help = "executes nothing",
	.for_tests = true,
	.open = null_open,
	.close = null_close,
	.vcpu_init = null_vcpu_init,
	.vcpu_fini = null_vcpu_fini,
	.vcpu_reset = null_vcpu_reset,
	.vcpu_run = null_vcpu_run,
	.vcpu_kick = null_vcpu_kick,
	.vcpu_pull = null_sync,
	.vcpu_push = null_sync,
};
