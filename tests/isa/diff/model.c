/* SPDX-License-Identifier: GPL-2.0-or-later */
/* model.c: runs test code through decoder, lifter and IR interpreter, on memory of its own. */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "accel/jit/ir/interp.h"
#include "accel/jit/x86/sys.h"
#include "diff.h"
#include "model_mem.h"

enum { MAX_BLOCKS = 4096 };

struct model {
	struct diff_memory *mem;
	const struct x86_lift_config *cfg;
	struct ir ir;
	struct ir_env env;
	struct {
		_Alignas(128) uint8_t hot[128];
		struct x86_cpu cpu;
	} * state;
	struct jit_vcpu vcpu;
	struct x86_private private;
	struct diff_result *out;
};

static struct model *model_of(struct jit_vcpu *v)
{
	return (struct model *)((char *)v - offsetof(struct model, vcpu));
}

bool model_owns(const struct jit_vcpu *v)
{
	return !v->vm; /* it is in no machine */
}

static bool canonical(uint64_t va)
{
	return (int64_t)(va << 16) >> 16 == (int64_t)va;
}

static bool fault(struct model *md, uint64_t va, size_t n)
{
	md->out->vector = canonical(va) && canonical(va + n - 1) ? X86_PF : X86_GP;
	md->out->fault_address = va;
	return false;
}

/* The byte at va; NULL: not mapped so. */
static uint8_t *byte_at(struct model *md, uint64_t va, bool write)
{
	if (va - DATA_BASE < DATA_SIZE)
		return md->mem->model + (va - DATA_BASE);
	if (write)
		return NULL;
	if (va - DATA_BASE < DATA_SIZE + READONLY_SIZE)
		return (uint8_t *)(uintptr_t)va;
	return va - CODE_BASE < CODE_SIZE ? md->mem->code + (va - CODE_BASE) : NULL;
}

static bool check(struct model *md, uint64_t va, size_t n, bool write)
{
	if (!canonical(va) || !canonical(va + n - 1))
		return fault(md, va, n);
	for (size_t i = 0; i < n; i++)
		if (!byte_at(md, va + i, write))
			return fault(md, va + i, 1);
	return true;
}

bool model_load(struct jit_vcpu *v, uint64_t va, void *buf, size_t n)
{
	struct model *md = model_of(v);

	if (!check(md, va, n, false))
		return false;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)buf)[i] = *byte_at(md, va + i, false);
	return true;
}

bool model_probe(struct jit_vcpu *v, uint64_t va, size_t n, bool write)
{
	return check(model_of(v), va, n, write);
}

bool model_store(struct jit_vcpu *v, uint64_t va, const void *buf, size_t n)
{
	struct model *md = model_of(v);

	if (!check(md, va, n, true))
		return false;
	for (size_t i = 0; i < n; i++)
		*byte_at(md, va + i, true) = ((const uint8_t *)buf)[i];
	md->out->memory_changed = true;
	return true;
}

void *model_direct(struct jit_vcpu *v, uint64_t va, bool write)
{
	struct model *md = model_of(v);
	uint8_t *p = byte_at(md, va, write);

	md->out->memory_changed |= write && p;
	return p;
}

static bool env_load(struct jit_vcpu *v, uint64_t va, void *buf, unsigned n, unsigned mode)
{
	return model_load(v, va, buf, n);
}

static bool env_probe(struct jit_vcpu *v, uint64_t va, unsigned n, unsigned mode)
{
	return model_probe(v, va, n, true);
}

static bool env_store(struct jit_vcpu *v, uint64_t va, const void *buf, unsigned n, unsigned mode)
{
	return model_store(v, va, buf, n);
}

static bool env_cas(struct jit_vcpu *v, uint64_t va, void *old, const void *val, unsigned n,
	unsigned mode, bool *ret_done)
{
	uint8_t now[16];

	if (!env_probe(v, va, n, mode) || !env_load(v, va, now, n, mode))
		return false;
	*ret_done = !memcmp(now, old, n);
	memcpy(old, now, n);
	return !*ret_done || env_store(v, va, val, n, mode);
}

static bool env_enter(struct jit_vcpu *v, bool vec, unsigned sub)
{
	return true;
}

static void env_arith_fault(struct jit_vcpu *v, bool integer, bool simd)
{
	model_of(v)->out->vector = integer ? X86_DE : simd ? X86_XM : X86_MF;
}

static void env_align_fault(struct jit_vcpu *v)
{
	model_of(v)->out->vector = X86_GP;
}

struct model *model_new(struct diff_memory *m, const struct x86_lift_config *cfg)
{
	struct model *md = g_new0(struct model, 1);

	md->mem = m;
	md->cfg = cfg;
	md->state = aligned_alloc(128, (sizeof(*md->state) + 127) & ~(size_t)127);
	memset(md->state, 0, sizeof(*md->state));
	md->private.features = cfg->features;
	md->private.xcr0_mask = 7;
	md->vcpu.isa_private = &md->private;
	md->vcpu.arch = &md->state->cpu;
	md->vcpu.hot = (struct jit_hot *)md->state->hot;
	md->env = (struct ir_env){
		.state = (uint8_t *)&md->state->cpu,
		.native_page = ir_native_page_new(),
		.v = &md->vcpu,
		.load = env_load,
		.store = env_store,
		.probe = env_probe,
		.cas = env_cas,
		.enter = env_enter,
		.arith_fault = env_arith_fault,
		.align_fault = env_align_fault,
	};
	return md;
}

void model_free(struct model *md)
{
	ir_native_page_free(md->env.native_page);
	free(md->state);
	g_free(md);
}

static uint32_t block_mode(void)
{
	uint32_t common = X86_MODE_PE | X86_MODE_LMA | X86_MODE_FLAT_DATA | X86_MODE_FLAT_CODE;

	if (diff_segmented)
		return X86_MODE_PE | X86_MODE_LMA |
		       (diff_bits == 32 ? X86_MODE_32 | X86_MODE_SS32 : X86_MODE_16);
	return common | (diff_bits == 64 ? X86_MODE_64
					 : X86_MODE_32 | X86_MODE_SS32 | X86_MODE_FLAT_FS |
						   X86_MODE_FLAT_GS);
}

/* Helpers that work here as they are; the others need a whole machine, or what they show differs
 * between host and guest. */
/* FNSTENV and its kin, FXSAVE, XSAVE: they see or change all of the state. */
static bool is_image(int64_t fn)
{
	return fn == (int64_t)(uintptr_t)x86_h_fxsave || fn == (int64_t)(uintptr_t)x86_h_fxrstor ||
	       fn == (int64_t)(uintptr_t)x86_h_x87_env || fn == (int64_t)(uintptr_t)x86_h_xsave ||
	       fn == (int64_t)(uintptr_t)x86_h_xrstor;
}

static bool helper_works(int64_t fn, const struct x86_insn *in)
{
	if (fn == (int64_t)(uintptr_t)x86_h_string)
		return in->opcode >= 0xa4;
	return is_image(fn) ||
	       fn == (int64_t)(uintptr_t)x86_h_seg_check ||
	       fn == (int64_t)(uintptr_t)x86_h_code_check ||
	       fn == (int64_t)(uintptr_t)x86_h_branch_check ||
	       fn == (int64_t)(uintptr_t)x86_h_pushf || fn == (int64_t)(uintptr_t)x86_h_maskmov ||
	       fn == (int64_t)(uintptr_t)x86_h_ldmxcsr || fn == (int64_t)(uintptr_t)x86_h_stmxcsr ||
	       fn == (int64_t)(uintptr_t)x86_h_x87_ctl ||
	       fn == (int64_t)(uintptr_t)x86_h_daa_group || fn == (int64_t)(uintptr_t)x86_h_bound ||
	       fn == (int64_t)(uintptr_t)x86_h_arpl || fn == (int64_t)(uintptr_t)x86_h_arpl_mem ||
	       fn == (int64_t)(uintptr_t)x86_h_enter;
}

static void lift(
	struct model *md, const uint8_t *code, unsigned n, unsigned page_offset, unsigned mode)
{
	struct ir *b = &md->ir;

	b->n = b->temps = b->insns = b->bytes = 0;
	b->full = b->uses_vec = b->uses_fpu = false;
	b->mode = mode;
	b->page_offset = page_offset;
	b->isa_config = md->cfg;
	x86_lift_block(b, code, n, n);
}

enum model_class model_classify(
	struct model *md, const uint8_t *p, unsigned n, struct model_uses *ret)
{
	bool call = false;
	struct x86_insn in;

	if (x86_decode(&in, p, n, diff_decode_mode) != X86_DECODED)
		return MODEL_UD;
	lift(md, p, n, 0, block_mode() | X86_MODE_STEP);
	*ret = (struct model_uses){ 0 };
	for (unsigned i = 0; i < md->ir.n; i++) {
		const struct ir_op *o = &md->ir.op[i];

		if (o->code == IR_CALL && (o->imm == (int64_t)(uintptr_t)x86_h_raise ||
						  o->imm == (int64_t)(uintptr_t)x86_h_raise_error))
			return MODEL_UD;
		call |= in.seg >= SEG_FS && in.seg != X86_NO_SEG && diff_bits != 64;
		call |= (o->code == IR_CALL && !helper_works(o->imm, &in)) || o->code == IR_STS;
		/* FS is the tester's own thread-local storage */
		if ((o->mem & IRM_SEG) >> IRM_SEG_SHIFT == SEG_FS + 1)
			call = true;
		ret->vec |= o->code == IR_VEC_ENTER;
		ret->fpu |= o->code == IR_FPU_ENTER;
		ret->image |= o->code == IR_CALL && is_image(o->imm);
		ret->branches |= o->code == IR_EXIT_CC || o->code == IR_EXIT_IND;
		if ((o->code == IR_EXIT_CC || !(ir_info[o->code].props & IRP_EXIT)) &&
			(o->code != IR_CALL || o->imm == (int64_t)(uintptr_t)x86_h_pushf ||
				o->imm == (int64_t)(uintptr_t)x86_h_daa_group))
			ret->reads |=
				(o->code == IR_EXIT_CC ? o->fin : ir_flags_read(o)) & ~ret->kills;
		ret->kills |= ir_flags_killed(o);
		ret->r15 |= o->code != IR_CALL && ir_globals_written(o) >> R15 & 1;
	}
	return call || !md->ir.insns ? MODEL_SKIP : MODEL_RUNS;
}

/* As a 64-bit user program sees it. */
static void set_system_state(struct x86_cpu *cpu)
{
	enum {
		CODE = 0xb | SEG_ATTR_S | 3 << SEG_ATTR_DPL_SHIFT | SEG_ATTR_P | SEG_ATTR_G,
		DATA = 3 | SEG_ATTR_S | 3 << SEG_ATTR_DPL_SHIFT | SEG_ATTR_P | SEG_ATTR_DB |
		       SEG_ATTR_G
	};

	cpu->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_AM | X86_CR0_NE | X86_CR0_MP | X86_CR0_ET;
	cpu->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	cpu->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
	cpu->xcr0 = 7;
	for (unsigned i = 0; i < 6; i++)
		cpu->seg[i] = (struct x86_segment){ .base = !diff_segmented ? 0
							    : i == SEG_CS   ? CODE_BASE
									    : DATA_BASE,
			.limit = !diff_segmented ? UINT32_MAX
				 : i == SEG_CS   ? 0xffff
						 : SEGMENT_LIMIT,
			.attr = (uint16_t)((i == SEG_CS ? CODE | (diff_bits == 64 ? SEG_ATTR_L
										  : SEG_ATTR_DB)
							: DATA) &
					   (diff_bits == 16 ? ~SEG_ATTR_DB : ~0)) };
}

static bool inside(const struct diff_case *c, uint64_t pc)
{
	return pc - (diff_code_pc() + c->offset) < c->n;
}

bool model_run(struct model *md, const struct diff_case *c, bool optimize, struct diff_result *out)
{
	struct jit_hot *hot = (struct jit_hot *)md->state->hot;
	struct x86_cpu *cpu = &md->state->cpu;
	uint64_t pc = c->start.rip;
	uint32_t mode = block_mode() |
			(c->start.rflags & X86_FL_AC ? X86_MODE_AC | X86_MODE_USER : 0) |
			(c->start.rflags & X86_FL_TF ? X86_MODE_STEP : 0);
	const char *why = NULL;

	*cpu = c->start;
	set_system_state(cpu);
	md->out = out;
	out->vector = VECTOR_NONE;
	out->memory_changed = false;
	cpu->seg[SEG_GS].base = DATA_BASE + GS_OFFSET;
	for (unsigned i = 0; i < 6; i++)
		cpu->seg[i].sel = md->mem->selector[i];
	memset(hot, 0, sizeof(*hot));
	hot->arith = cpu->rflags;
	hot->df_step = cpu->rflags & X86_FL_DF ? -1 : 1;
	hot->pc_base = diff_code_pc();
	hot->mode = mode;
	memcpy(md->mem->code + c->offset, c->code, c->n);
	for (unsigned i = 0; inside(c, pc) && i < MAX_BLOCKS; i++) {
		unsigned at = (unsigned)(pc - diff_code_pc());
		enum ir_ran ran;

		lift(md, md->mem->code + at, c->offset + c->n - at, at, mode);
		if (!md->ir.insns) { /* reaches into the next page */
			out->vector = X86_PF;
			out->fault_address = CODE_BASE + CODE_SIZE;
			break;
		}
		if (optimize)
			ir_optimize(&md->ir, IR_OPT_ALL);
		why = ir_verify(&md->ir, NULL);
		if (why)
			break;
		ran = ir_interp(&md->env, &md->ir, &pc);
		if (ran == IR_RAN_FAULT && out->vector == VECTOR_NONE)
			out->vector = cpu->exception_vector; /* a helper raised it */
		if (ran != IR_RAN_PC)
			break;
		if (c->start.rflags & X86_FL_TF) {
			out->vector = X86_DB;
			break;
		}
	}
	memset(md->mem->code + c->offset, 0xcc, c->n);
	cpu->rip = pc;
	cpu->rflags = (cpu->rflags & ~(uint64_t)X86_FL_ARITH) | (hot->arith & X86_FL_ARITH);
	out->cpu = *cpu;
	if (out->memory_changed) {
		memcpy(out->data, md->mem->model, DATA_SIZE);
		memcpy(md->mem->model, md->mem->golden, DATA_SIZE);
		out->memory_changed = memcmp(out->data, md->mem->golden, DATA_SIZE) != 0;
	}
	if (out->vector == VECTOR_NONE && pc - diff_code_pc() >= CODE_SIZE) {
		/* nothing to execute there */
		out->vector = !canonical(pc) || (diff_segmented && pc > 0xffff) ? X86_GP : X86_PF;
		out->fault_address = pc - diff_code_pc() + CODE_BASE;
	}
	if (why)
		g_printerr("malformed IR: %s\n", why);
	return !why;
}

char *model_ir(struct model *md, const struct diff_case *c, bool optimize)
{
	lift(md, c->code, c->n, c->offset, block_mode());
	if (optimize)
		ir_optimize(&md->ir, IR_OPT_ALL);
	return ir_print(&md->ir);
}
