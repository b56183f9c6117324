/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stats.c: what the translator counts: --jit-stats, QMP's query-jit. */
#include "accel/jit/stats.h"

#include "accel/jit/vm.h"
#include "accel/jit/x86/decode.h"
#include "core/machine.h"

struct output {
	stats_put *put;
	void *opaque;
};

/* Host instructions of the blocks there are. Ours is an x86-64 decoder, and so is the host's code.
 */
static uint64_t host_instructions(const struct block *k)
{
	const uint8_t *p = k->code;
	uint64_t n = 0;

	for (uint32_t at = 0; at < k->size; n++) {
		struct x86_insn in;

		if (x86_decode(&in, p + at, k->size - at, 2) != X86_DECODED || !in.len)
			break;
		at += in.len;
	}
	return n;
}

static void put_code(struct jit_vm *vm, const struct output *out)
{
	struct blocks *b = &vm->blocks;
	const uint64_t khz = vm->vcpus ? vm->isa->tsc_khz(vm->vcpu[0]) : 0;
	uint64_t blocks = 0, guest = 0, host = 0, host_bytes = 0;

	g_mutex_lock(&vm->lock);
	for (unsigned i = 0; i < b->region_count; i++) {
		for (unsigned n = 0; n < blocks_in_region(b, i); n++) {
			const struct block *k = blocks_of_region(b, i, n);

			if (k->dead)
				continue;
			blocks++;
			guest += k->insns;
			host += host_instructions(k);
			host_bytes += k->size;
		}
	}
	out->put(out->opaque, "cache-bytes", vm->arena.size);
	out->put(out->opaque, "blocks", blocks);
	out->put(out->opaque, "guest-instructions", guest);
	out->put(out->opaque, "host-instructions", host);
	out->put(out->opaque, "host-bytes", host_bytes);
	out->put(out->opaque, "blocks-translated", b->count.made);
	out->put(out->opaque, "instructions-translated", b->count.insns);
	out->put(out->opaque, "guest-bytes-translated", b->count.guest_bytes);
	out->put(out->opaque, "host-bytes-translated", b->count.host_bytes);
	out->put(out->opaque, "translation-ns",
		khz ? (uint64_t)((double)b->count.cycles * 1e6 / (double)khz) : 0);
	out->put(out->opaque, "blocks-dropped", b->count.dropped);
	out->put(out->opaque, "links", b->count.linked);
	out->put(out->opaque, "regions-evicted", b->count.evicted);
	out->put(out->opaque, "eviction-ns", b->count.stop_ns);
	out->put(out->opaque, "eviction-longest-ns", b->count.stop_max_ns);
	g_mutex_unlock(&vm->lock);
}

void jit_stats(struct machine *m, stats_put *put, void *opaque)
{
	struct jit_vm *vm = m->accel_vm;
	static const char *const exit_name[LEAVE_COUNT] = { "exits-loop", "exits-link",
		"exits-poll", "exits-indirect", "exits-indirect-poll", "exits-fault", "exits-entry",
		"exits-signal" };
	static const struct {
		const char *name;
		size_t offset;
	} tlb[] = {
#define COUNT(name, field) { name, offsetof(struct jit_mmu, count.field) }
		COUNT("tlb-misses", l1_miss),
		COUNT("tlb-second-level-hits", l2_hit),
		COUNT("page-walks", walks),
		COUNT("mmio-accesses", mmio),
		COUNT("tlb-page-flushes", flush_page),
		COUNT("tlb-full-flushes", flush_all),
		COUNT("address-space-switches", switches),
#undef COUNT
	};
	const struct output out = { put, opaque };

	put_code(vm, &out);
	for (unsigned i = 0; i < LEAVE_COUNT; i++) {
		uint64_t sum = 0;

		for (unsigned n = 0; n < vm->vcpus; n++)
			sum += __atomic_load_n(&vm->vcpu[n]->loop->left[i], __ATOMIC_RELAXED);
		put(opaque, exit_name[i], sum);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(tlb); i++) {
		uint64_t sum = 0;

		for (unsigned n = 0; n < vm->vcpus; n++)
			sum += __atomic_load_n(
				(uint64_t *)(void *)((char *)vm->vcpu[n]->mmu + tlb[i].offset),
				__ATOMIC_RELAXED);
		put(opaque, tlb[i].name, sum);
	}
}
