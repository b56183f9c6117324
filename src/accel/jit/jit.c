/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit.c: the translator as an accelerator: its part per machine and per vCPU made, reset and freed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "accel/jit/cpu_loop.h"
#include "accel/jit/host/host.h"
#include "accel/jit/stats.h"
#include "accel/jit/vm.h"
#include "base/error.h"
#include "core/machine.h"
#include "core/vcpu.h"

enum { HOT_SIZE = 128 };

static const char *jit_unusable(void)
{
#ifdef __x86_64__
	return NULL;
#else
	return "the translator runs on x86-64 hosts only";
#endif
}

static void jit_close(struct machine *m)
{
	struct jit_vm *vm = m->accel_vm;

	if (!vm)
		return;
	phys_fini(vm);
	if (vm->isa_config)
		vm->isa->config_free(vm->isa_config);
	blocks_fini(&vm->blocks);
	arena_fini(&vm->arena);
	exclusive_fini(vm);
	g_free(vm->lower);
	g_array_free(vm->async, TRUE);
	g_mutex_clear(&vm->async_lock);
	g_mutex_clear(&vm->lock);
	if (vm->perf_map)
		fclose(vm->perf_map);
	g_free(vm);
	m->accel_vm = NULL;
}

static int jit_open(struct machine *m, GError **error)
{
	struct jit_vm *vm = g_new0(struct jit_vm, 1);

	vm->machine = m;
	vm->isa = &isa_x86;
	m->accel_vm = vm;
	g_mutex_init(&vm->lock);
	g_mutex_init(&vm->async_lock);
	vm->async = g_array_new(FALSE, FALSE, sizeof(struct code_write));
	exclusive_init(vm);
	jit_options_parse(&vm->opt, getenv("LODGE_JIT"));
	vm->lower = lower_new();
	phys_init(vm);
	cpu_loop_signals();
	return 0;
}

static void jit_code_cache(struct machine *m, uint64_t bytes)
{
	struct jit_vm *vm = m->accel_vm;

	if (!vm->opt.cache_given)
		vm->opt.cache_size = (size_t)CLAMP(bytes, JIT_CACHE_MIN, JIT_CACHE_MAX) &
				     ~(size_t)((1 << 20) - 1);
}

/* What all vCPUs share and the size of the cache must be known for. */
static int prepare(struct jit_vm *vm, GError **error)
{
	if (vm->arena.size)
		return 0;
	if (arena_init(&vm->arena, vm->opt.cache_size, error) < 0 ||
		blocks_init(&vm->blocks, &vm->arena, error) < 0)
		return -1;
	if (thunks_init(vm) < 0)
		return fail(error, LODGE_ERROR_INTERNAL, "translator: no room for its own code");
	if (vm->isa->config_new)
		vm->isa_config = vm->isa->config_new(vm->machine, error);
	return vm->isa->config_new && !vm->isa_config ? -1 : 0;
}

/* Bytes of a vCPU's struct jit_hot, architectural state and jump cache. */
static size_t hot_size(const struct jit_vm *vm)
{
	return HOT_SIZE + jc_end(vm->isa->arch_size);
}

static void jit_vcpu_fini(struct vcpu *c)
{
	struct jit_vcpu *v = c->engine;

	if (!v)
		return;
	for (unsigned i = 0; i < v->vm->vcpus; i++) {
		if (v->vm->vcpu[i] != v)
			continue;
		v->vm->vcpu[i] = v->vm->vcpu[--v->vm->vcpus];
		break;
	}
	if (v->isa_private)
		v->isa->vcpu_fini(v);
	softmmu_vcpu_fini(v);
	cpu_loop_fini(v);
	g_free(v->loop);
	munmap(v->hot_block, hot_size(v->vm));
	g_free(v);
	c->engine = NULL;
	c->arch = NULL;
}

static int jit_vcpu_init(struct vcpu *c, GError **error)
{
	struct jit_vm *vm = c->machine->accel_vm;
	struct jit_vcpu *v;
	size_t size = hot_size(vm);

	if (prepare(vm, error) < 0)
		return -1;
	v = g_new0(struct jit_vcpu, 1);
	v->vcpu = c;
	v->vm = vm;
	v->isa = vm->isa;
	/* the jump cache is touched here and there only: pages come as they are used */
	v->hot_block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (v->hot_block == MAP_FAILED) {
		g_free(v);
		return fail_errno(error, LODGE_ERROR_HOST, errno, "translator: memory for a vCPU");
	}
	v->hot = (void *)v->hot_block;
	v->arch = v->hot_block + HOT_SIZE;
	v->hot->vcpu = v;
	v->loop = g_new0(struct jit_loop, 1);
	cpu_loop_init(v);
	c->engine = v;
	c->arch = v->arch;
	softmmu_vcpu_init(v);
	vm->vcpu[vm->vcpus++] = v;
	return v->isa->vcpu_init(v, error);
}

static void jit_vcpu_reset(struct vcpu *c)
{
	struct jit_vcpu *v = c->engine;

	v->hot->vec_live = v->hot->fpu_live = 0;
	v->loop->steps = 0;
	v->isa->reset(v);
}

static enum vcpu_exit jit_vcpu_run(struct vcpu *c)
{
	return cpu_loop_run(c->engine);
}

static void jit_vcpu_kick(struct vcpu *c)
{
	jit_request_exit(((struct jit_vcpu *)c->engine)->hot);
}

static uint64_t jit_guest_tsc(struct vcpu *c)
{
	struct jit_vcpu *v = c->engine;

	return v->isa->tsc(v);
}

static uint64_t jit_tsc_khz(struct machine *m)
{
	struct jit_vm *vm = m->accel_vm;

	return vm->vcpus ? vm->isa->tsc_khz(vm->vcpu[0]) : 0;
}

static int jit_vcpu_pull(struct vcpu *c, GError **error)
{
	struct jit_vcpu *v = c->engine;

	v->isa->state_get(
		v); /* c->arch is the only copy, but for what translated code keeps aside */
	return 0;
}

static int jit_vcpu_push(struct vcpu *c, GError **error)
{
	struct jit_vcpu *v = c->engine;

	v->isa->state_put(v);
	return 0;
}

const struct accel accel_jit = {
	.name = "jit",
	.help = "our own translator",
	.unusable = jit_unusable,
	.open = jit_open,
	.close = jit_close,
	.vcpu_init = jit_vcpu_init,
	.vcpu_fini = jit_vcpu_fini,
	.vcpu_reset = jit_vcpu_reset,
	.vcpu_run = jit_vcpu_run,
	.vcpu_kick = jit_vcpu_kick,
	.vcpu_pull = jit_vcpu_pull,
	.vcpu_push = jit_vcpu_push,
	.guest_tsc = jit_guest_tsc,
	.tsc_khz = jit_tsc_khz,
	.dirty_log = jit_dirty_log,
	.dirty_sync = jit_dirty_sync,
	.code_cache = jit_code_cache,
	.stats = jit_stats,
};
