/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa.c: the x86 guest as the translator sees it: vCPUs made and reset, events between
 * instructions, what is offered in CPUID. Spec: SDM vol. 3, 6.9 (priorities), 8.4 (INIT,
 * SIPI), 17.3.
 */
#include <string.h>
#include <x86intrin.h>

#include "accel/jit/x86/lift.h"
#include "accel/jit/x86/sys.h"
#include "core/clock.h"
#include "core/intc.h"
#include "core/machine.h"
#include "core/vcpu.h"

enum { PHYS_BITS = 46, FERR_GSI = 13 };

/* ---- features */

/* Guest instructions that run as the same host instructions. */
static const char *const from_host[] = { "cmov", "mmx", "fxsr", "sse", "sse2", "pni", "pclmulqdq",
	"ssse3", "fma", "cx16", "sse4_1", "sse4_2", "movbe", "popcnt", "aes", "avx", "f16c", "bmi1",
	"avx2", "bmi2", "adx", "sha_ni", "vaes", "vpclmulqdq", "gfni", "mmxext", "lahf_lm", "abm",
	"3dnowprefetch", "clflushopt" };

/*
 * What this engine does itself. About speculation: no measure a guest can take (retpolines, return
 * stuffing, page-table isolation) reaches the host's predictors through translated code, since its
 * returns and indirect jumps are the translator's; whether a guest's user mode can train the host
 * against the guest's kernel is the host's to mitigate. So the CPU says that the measures which
 * would cost a guest most are not needed or done in hardware (autoibrs, btc_no, srso_no, tsa_*),
 * and offers no switch for the rest (no ssbd: Linux then says "Vulnerable", as it is).
 */
static const char *const own[] = { "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8",
	"apic", "sep", "mtrr", "pge", "mca", "pat", "pse36", "clflush", "pcid", "x2apic",
	"tsc_deadline_timer", "xsave", "rdrand", "hypervisor", "fsgsbase", "tsc_adjust", "smep",
	"erms", "invpcid", "rdseed", "smap", "umip", "rdpid", "fsrm", "spec_ctrl",
	"arch_capabilities", "syscall", "nx", "pdpe1gb", "rdtscp", "lm", "cmp_legacy", "cr8_legacy",
	"clzero", "topoext", "nonstop_tsc", "ibpb", "ibrs", "btc_no", "xsaveopt", "xsavec",
	"xgetbv1", "xsaves", "arat", "kvmclock", "kvm_nopiodelay", "kvmclock2", "kvm_pv_unhalt",
	"kvm_poll_control", "kvm_pv_sched_yield", "kvmclock_stable", "lfence_rdtsc",
	"null_sel_clr_base", "autoibrs", "srso_no", "tsa_sq_no", "tsa_l1_no" };

void x86_jit_features(struct x86_features *out)
{
	struct x86_features host;
	enum x86_feature_word w;
	unsigned bit;

	x86_features_host(&host);
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < sizeof(from_host) / sizeof(from_host[0]); i++)
		if (x86_feature_find(from_host[i], &w, &bit))
			out->word[w] |= host.word[w] & 1u << bit;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (x86_feature_find(own[i], &w, &bit))
			out->word[w] |= 1u << bit;
	/* 64-bit hosts all have them, but an Intel host says so in one leaf only. */
	if (x86_feature_find("mmxext", &w, &bit))
		out->word[w] |= 1u << bit;
}

static int machine_features(struct machine *m, struct x86_features *f, GError **error)
{
	struct x86_features can;

	x86_jit_features(&can);
	return x86_model_features(m->cpu_model ? m->cpu_model : "max", &can, f, error);
}

static void *config_new(struct machine *m, GError **error)
{
	struct x86_lift_config *cfg = g_new0(struct x86_lift_config, 1);

	if (machine_features(m, &cfg->features, error) < 0) {
		g_free(cfg);
		return NULL;
	}
	cfg->amd = !cfg->features.intel;
	return cfg;
}

static void config_free(void *config)
{
	g_free(config);
}

/* ---- vCPUs */

static bool feature(const struct x86_features *f, const char *name)
{
	enum x86_feature_word w;
	unsigned bit;

	return x86_feature_find(name, &w, &bit) && f->word[w] >> bit & 1;
}

/* Control register bits by the feature that brings them (SDM vol. 3, 2.2.1 and 2.5). */
static void derive_masks(struct x86_private *p)
{
	static const struct {
		const char *name;
		uint32_t cr4;
	} bits[] = {
		{ "vme", X86_CR4_VME | X86_CR4_PVI },
		{ "tsc", X86_CR4_TSD },
		{ "de", X86_CR4_DE },
		{ "pse", X86_CR4_PSE },
		{ "pae", X86_CR4_PAE },
		{ "mce", X86_CR4_MCE },
		{ "pge", X86_CR4_PGE },
		{ "fxsr", X86_CR4_OSFXSR },
		{ "sse", X86_CR4_OSXMMEXCPT },
		{ "umip", X86_CR4_UMIP },
		{ "fsgsbase", X86_CR4_FSGSBASE },
		{ "pcid", X86_CR4_PCIDE },
		{ "xsave", X86_CR4_OSXSAVE },
		{ "smep", X86_CR4_SMEP },
		{ "smap", X86_CR4_SMAP },
	};

	p->cr4_mask = X86_CR4_PCE;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (feature(&p->features, bits[i].name))
			p->cr4_mask |= bits[i].cr4;
	if (feature(&p->features, "syscall"))
		p->efer_mask |= X86_EFER_SCE;
	if (feature(&p->features, "lm"))
		p->efer_mask |= X86_EFER_LME;
	if (feature(&p->features, "nx"))
		p->efer_mask |= X86_EFER_NXE;
	if (feature(&p->features, "autoibrs"))
		p->efer_mask |= 1 << 21;
	p->xcr0_mask = x86_features_xcr0(&p->features);
	p->pa_mask = (((uint64_t)1 << PHYS_BITS) - 1) & ~(uint64_t)0xfff;
}

/* One TSC for all vCPUs: the first one's. */
static void take_tsc(struct jit_vcpu *first, void *opaque)
{
	struct jit_vcpu *v = opaque;

	if (first == v || first->vcpu->index != 0 || !first->isa_private)
		return;
	x86_private(v)->tsc_khz = x86_private(first)->tsc_khz;
	v->hot->tsc_offset = first->hot->tsc_offset;
}

static int vcpu_init(struct jit_vcpu *v, GError **error)
{
	struct x86_private *p = g_new0(struct x86_private, 1);
	struct x86_cpu *c = v->arch;
	struct machine *m = v->vcpu->machine;

	v->isa_private = p;
	if (machine_features(m, &p->features, error) < 0)
		return -1;
	derive_masks(p);
	if (v->vcpu->index)
		jit_for_each_vcpu(v->vm, take_tsc, v);
	if (!p->tsc_khz) {
		p->tsc_khz = x86_host_tsc_khz();
		v->hot->tsc_offset = -__rdtsc();
	}
	c->tsc_offset = v->hot->tsc_offset;
	p->space = ~0u;
	c->apic_id = v->vcpu->index;
	x86_cpu_reset(c, v->vcpu->index == 0, false);
	return 0;
}

static void vcpu_fini(struct jit_vcpu *v)
{
	struct x86_private *p = v->isa_private;

	if (!p)
		return;
	g_free(p->leaves);
	g_free(p);
	v->isa_private = NULL;
}

/* After anything replaced the architectural state: what is derived from it. */
static void state_changed(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	struct x86_private *p = x86_private(v);

	p->pdpte_cr3 = (uint32_t)c->cr3 + 1;
	p->space = ~0u;
	p->intr_waiting = true; /* look */
	p->data_breakpoints = v->watching = x86_debug_data_armed(c);
	v->hot->arith = c->rflags & X86_FL_ARITH;
	v->hot->tsc_offset = c->tsc_offset;
	if (!p->leaves)
		p->leaves = x86_cpuid_build(&p->features, v->vcpu->machine->vcpu_count,
			v->vcpu->index, p->tsc_khz, PHYS_BITS, &p->leaf_count);
	x86_walk_forget(v);
	jit_tlb_flush_all(v);
	x86_mode_update(v);
}

static void reset(struct jit_vcpu *v)
{
	x86_cpu_reset(v->arch, v->vcpu->index == 0, false);
	state_changed(v);
}

static uint64_t linear_pc(const struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;

	return x86_code64(c) ? c->rip : (uint32_t)(c->seg[SEG_CS].base + c->rip);
}

static uint64_t guest_tsc(struct jit_vcpu *v)
{
	return x86_tsc(v);
}

static uint64_t tsc_khz(const struct jit_vcpu *v)
{
	return x86_private(v)->tsc_khz;
}

static bool pc_is_linear(uint32_t mode)
{
	return (mode & X86_MODE_BITS) == X86_MODE_64 || mode & X86_MODE_FLAT_CODE;
}

static void state_get(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	const struct vcpu_intc *i = &v->vcpu->intc;

	c->rflags = x86_rflags(v);
	c->tsc = x86_tsc(v);
	if (i->base_get)
		c->apic_base = i->base_get(i->opaque);
	if (i->tpr_get)
		c->cr8 = i->tpr_get(i->opaque);
}

/* The vCPUs' TSCs were read one after the other: those that were one stay one. */
static void same_tsc(struct jit_vcpu *first, void *opaque)
{
	struct jit_vcpu *v = opaque;
	const uint64_t ahead = x86_cpu_of(v)->tsc - x86_cpu_of(first)->tsc;
	const uint64_t second = x86_private(v)->tsc_khz * 1000;

	if (first->vcpu->index == 0 && first != v && (ahead < second || -ahead < second))
		x86_cpu_of(v)->tsc_offset = x86_cpu_of(first)->tsc_offset;
}

/* Of a state from outside: what the host itself would choke on, or what this CPU does not have. */
static void sanitize(struct jit_vcpu *v)
{
	const struct x86_private *p = x86_private(v);
	struct x86_cpu *c = v->arch;

	c->mxcsr &= 0xffff;
	c->cr4 &= p->cr4_mask;
	c->efer &= p->efer_mask | X86_EFER_LMA;
	c->xcr0 = (c->xcr0 & p->xcr0_mask) | 1;
	c->xss &= p->xss_mask;
	c->rflags |= 2;
	if (c->activity > X86_SHUTDOWN)
		c->activity = X86_RUNNING;
}

static void state_put(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;

	sanitize(v);
	c->tsc_offset = c->tsc - __rdtsc();
	if (v->vcpu->index)
		jit_for_each_vcpu(v->vm, same_tsc, v);
	state_changed(v);
	x86_kvmclock_write(v);
}

static bool dead(const struct jit_vcpu *v)
{
	return ((const struct x86_cpu *)v->arch)->activity == X86_SHUTDOWN;
}

/* ---- events between instructions (6.9) */

static void take_init(struct jit_vcpu *v)
{
	struct vcpu *n = v->vcpu;

	/* A SIPI that is posted by now came after the INIT (lapic_accept): Linux sends it at
	 * once. */
	vcpu_events_clear(n, VCPU_EV_INIT);
	jit_fpu_spill(v);
	jit_vec_spill(v);
	x86_cpu_reset(v->arch, n->index == 0, true);
	if (n->intc.init)
		n->intc.init(n->intc.opaque);
	state_changed(v);
}

static void take_sipi(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	const unsigned vector = atomic_load(&v->vcpu->sipi_vector);

	vcpu_events_clear(v->vcpu, VCPU_EV_SIPI);
	if (c->activity != X86_WAIT_SIPI)
		return;
	c->seg[SEG_CS].sel = (uint16_t)(vector << 8);
	c->seg[SEG_CS].base = vector << 12;
	c->rip = 0;
	c->activity = X86_RUNNING;
	x86_mode_update(v);
}

static bool interrupt_pending(struct jit_vcpu *v)
{
	struct vcpu *n = v->vcpu;
	struct x86_private *p = x86_private(v);

	if (vcpu_events(n) & VCPU_EV_INTR) {
		vcpu_events_clear(n, VCPU_EV_INTR);
		p->intr_waiting = true;
	}
	if (p->intr_waiting && !(n->intc.pending && n->intc.pending(n->intc.opaque)))
		p->intr_waiting = false;
	return p->intr_waiting;
}

static bool take(struct jit_vcpu *v, unsigned vector)
{
	struct x86_cpu *c = v->arch;

	c->activity = X86_RUNNING;
	return x86_enter_event(v, vector, X86_EVENT_INTR, false, 0, c->rip);
}

static bool take_interrupts(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	struct vcpu *n = v->vcpu;
	int vector;

	if (vcpu_events(n) & VCPU_EV_NMI) {
		vcpu_events_clear(n, VCPU_EV_NMI);
		c->nmi_pending = 1;
	}
	if (c->intr_injected) {
		c->intr_injected = 0;
		return take(v, c->intr_vector);
	}
	if (c->nmi_pending && !c->nmi_masked && !c->interrupt_shadow) {
		c->nmi_pending = 0;
		c->nmi_masked = 1;
		return take(v, X86_NMI);
	}
	if (!interrupt_pending(v) || !(c->rflags & X86_FL_IF) || c->interrupt_shadow)
		return true;
	vector = n->intc.ack(n->intc.opaque);
	if (vector < 0)
		return true;
	/* More may wait; the acknowledged one's priority hides them until its EOI, which posts
	 * again. */
	return take(v, (unsigned)vector);
}

static bool kicked(struct jit_vcpu *v)
{
	return __atomic_exchange_n(&x86_private(v)->kicked, false, __ATOMIC_ACQ_REL);
}

static bool x86_events(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	struct vcpu *n = v->vcpu;
	uint64_t dr6;

	if (vcpu_events(n) & VCPU_EV_SMI)
		vcpu_events_clear(n, VCPU_EV_SMI); /* there is no SMM */
	if (vcpu_events(n) & VCPU_EV_INIT)
		take_init(v);
	if (vcpu_events(n) & VCPU_EV_SIPI)
		take_sipi(v);
	if (c->activity == X86_WAIT_SIPI || c->activity == X86_SHUTDOWN)
		return false;
	if (c->exception_pending && !x86_deliver(v))
		return false;
	if (!take_interrupts(v))
		return false;
	if (vcpu_events(n) & VCPU_EV_WORK)
		vcpu_events_clear(n, VCPU_EV_WORK); /* posted with a kick */
	if (c->activity == X86_HALTED && kicked(v))
		c->activity = X86_RUNNING;
	if (c->activity != X86_RUNNING)
		return false;
	/* MOV SS also holds back the breakpoint of the instruction after it (6.8.3) */
	if (x86_debug_armed(c) && c->interrupt_shadow != 2 && x86_debug_insn_hit(v, &dr6)) {
		c->dr[6] |= dr6;
		x86_raise(v, X86_DB);
		return x86_deliver(v);
	}
	return true;
}

/* ---- exceptions */

/* Does the instruction use the stack without saying so? PUSH, POP, CALL, RET, ENTER, LEAVE, PUSHF,
 * POPF. */
static bool stack_opcode(const struct x86_insn *in)
{
	const uint8_t op = in->opcode, digit = in->modrm >> 3 & 7;

	if (in->map == X86_MAP_0F)
		return op == 0xa0 || op == 0xa1 || op == 0xa8 || op == 0xa9;
	if (in->map != X86_MAP_1BYTE)
		return false;
	return (op >= 0x50 && op <= 0x5f) || op == 0x68 || op == 0x6a || op == 0x8f || op == 0x9c ||
	       op == 0x9d || op == 0xc2 || op == 0xc3 || op == 0xc8 || op == 0xc9 || op == 0xe8 ||
	       (op == 0xff && (digit == 2 || digit == 6));
}

/* An address that is not canonical is #SS where the instruction reached it through SS (SDM vol. 1,
 * 3.3.7.1). Translated code does not know by then, so the instruction is looked at again. */
static bool through_stack(struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;
	const uint64_t sp = c->gpr[RSP];
	struct x86_insn in;
	uint8_t code[X86_INSN_MAX];
	size_t n = 4096 - (linear_pc(v) & 4095);

	if (n > sizeof(code))
		n = sizeof(code);
	if (!jit_load_bytes(v, linear_pc(v), code, n, JIT_MEM_CPL) ||
		x86_decode(&in, code, n, X86_MODE_64) != X86_DECODED)
		return false;
	if (stack_opcode(&in) && (!in.is_mem || !x86_is_canonical(sp) || !x86_is_canonical(sp - 8)))
		return true;
	return in.is_mem && in.mem_seg == SEG_SS;
}

static bool deliver(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	struct x86_private *p = x86_private(v);

	if (p->ferr) {
		p->ferr = false;
		c->activity = X86_HALTED;
		machine_gsi(v->vcpu->machine, FERR_GSI, 1);
		return true;
	}
	if (p->not_canonical) {
		p->not_canonical = false;
		if (c->exception_vector == X86_GP && x86_code64(c))
			x86_raise_error(v, through_stack(v) ? X86_SS : X86_GP, 0);
	}
	return x86_deliver(v);
}

/* ---- single step (17.3.1.4), interrupt shadows (6.8.3) */

static bool single(const struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;
	struct x86_private *p = x86_private(v);
	const bool want = c->rflags & X86_FL_TF || c->interrupt_shadow || x86_debug_armed(c) ||
		p->data_breakpoints || p->near_limit;

	if (want != !!(v->hot->mode & X86_MODE_STEP))
		x86_mode_update((struct jit_vcpu *)v);
	p->shadow_new = false;
	p->start_flags = c->rflags;
	return want;
}

static void after_step(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	struct x86_private *p = x86_private(v);
	uint64_t dr6 = p->dr6_step;

	p->dr6_step = 0;
	p->near_limit = false;
	if (!p->shadow_new)
		c->interrupt_shadow = 0;
	if (p->start_flags & X86_FL_RF)
		c->rflags &= ~(uint64_t)X86_FL_RF;
	if (p->start_flags & X86_FL_TF)
		dr6 |= 1 << 14; /* BS */
	p->start_flags = 0;
	/* MOV SS holds debug traps back until after the next instruction. */
	if (dr6 && c->interrupt_shadow == 2) {
		p->dr6_step = dr6 & 0xf;
	} else if (dr6) {
		c->dr[6] |= dr6;
		x86_raise(v, X86_DB);
		x86_deliver(v);
	}
	x86_mode_update(v);
}

static uint64_t code_room(const struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;

	return c->rip > c->seg[SEG_CS].limit ? 0 : c->seg[SEG_CS].limit - c->rip + 1;
}

static void code_fault(struct jit_vcpu *v)
{
	x86_raise_error(v, X86_GP, 0);
}

/* ---- faults found by the host */

static void arith_fault(struct jit_vcpu *v, bool integer, bool simd)
{
	const struct x86_cpu *c = v->arch;

	if (integer)
		x86_raise(v, X86_DE);
	else if (simd)
		x86_raise(v, c->cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD);
	else
		x86_fpu_raise(v);
}

static void align_fault(struct jit_vcpu *v)
{
	x86_raise_error(v, X86_GP, 0);
}

const struct isa isa_x86 = {
	.name = "x86",
	.insn_max = 15,
	.arch_size = sizeof(struct x86_cpu),
	.pc_offset = offsetof(struct x86_cpu, rip),
	.seg_base = {
		offsetof(struct x86_cpu, seg[SEG_ES].base), offsetof(struct x86_cpu, seg[SEG_CS].base),
		offsetof(struct x86_cpu, seg[SEG_SS].base), offsetof(struct x86_cpu, seg[SEG_DS].base),
		offsetof(struct x86_cpu, seg[SEG_FS].base), offsetof(struct x86_cpu, seg[SEG_GS].base),
	},
	.vec_offset = offsetof(struct x86_cpu, ymm),
	.mxcsr_offset = offsetof(struct x86_cpu, mxcsr),
	.config_new = config_new,
	.config_free = config_free,
	.vcpu_init = vcpu_init,
	.vcpu_fini = vcpu_fini,
	.reset = reset,
	.lift = x86_lift_block,
	.code_room = code_room,
	.code_fault = code_fault,
	.walk = x86_walk,
	.span = x86_span,
	.watch = x86_debug_watch,
	.pc = linear_pc,
	.pc_is_linear = pc_is_linear,
	.deliver = deliver,
	.events = x86_events,
	.dead = dead,
	.single = single,
	.after_step = after_step,
	.arith_fault = arith_fault,
	.align_fault = align_fault,
	.vec_enter = x86_h_vec_enter,
	.fpu_enter = x86_h_fpu_enter,
	.fpu_get = x86_fpu_get,
	.fpu_put = x86_fpu_put,
	.tsc = guest_tsc,
	.tsc_khz = tsc_khz,
	.state_get = state_get,
	.state_put = state_put,
};
