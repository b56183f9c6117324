/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lift_flow.c: jumps, calls, returns, loops, interrupts, and how blocks end.
 * Spec: SDM vol. 1, 6.3 to 6.5, 7.3.8; vol. 2; APM vol. 3, 1.2.4 (66 on near branches).
 */
#include "accel/jit/x86/lift_ops.h"

enum {
	COND_E = 4,
	/* A block may go on past this many conditional forward jumps. */
	MAX_SIDE_EXITS = 3,
};

/* --- ends --- */

void x86_exit_loop(struct x86_lift *l)
{
	x86_op(l, IR_EXIT_LOOP, IR_64, IR_NONE, IR_NONE, IR_NONE);
	l->done = true;
}

static void exit_indirect(struct x86_lift *l, uint16_t pc, unsigned hint)
{
	x86_op(l, IR_EXIT_IND, IR_64, IR_NONE, pc, IR_NONE)->sub = (uint8_t)hint;
	l->done = true;
}

/* A helper has set rip: on by the jump cache. If the mode is another one now, or something waits,
 * the helper has asked for an exit. */
void x86_exit_rip(struct x86_lift *l)
{
	exit_indirect(l, x86_load_state(l, X86_STATE(rip), 8), IR_IND_JUMP);
}

/* An indirect exit looks at hot.exit_request and finds the target under the mode that holds by
 * then. */
void x86_exit_next(struct x86_lift *l)
{
	exit_indirect(l, x86_pc(l, l->next), IR_IND_JUMP);
}

void x86_segment_loaded(struct x86_lift *l, unsigned seg)
{
	if (seg == SEG_SS)
		x86_store_state(l, X86_HOT(exit_request), 4, x86_const(l, 1));
	else if (l->x64)
		return;
	x86_exit_next(l);
}

void x86_lift_raise(struct x86_lift *l, unsigned vector)
{
	X86_CALL(l, x86_h_raise, x86_const(l, vector), IR_NONE, IR_NONE);
	x86_exit_loop(l);
}

void x86_lift_raise_error(struct x86_lift *l, unsigned vector, unsigned error)
{
	X86_CALL(l, x86_h_raise_error, x86_const(l, vector), x86_const(l, error), IR_NONE);
	x86_exit_loop(l);
}

/* --- near branches --- */

/* How wide the instruction pointer is that this branch leaves behind. */
static unsigned branch_size(const struct x86_lift *l)
{
	if (!l->x64)
		return l->in.osize;
	return l->cfg->amd && l->in.osize == 2 ? 2 : 8;
}

/* Can pc + off be used without cutting it to the branch's size? A 32-bit target in this very page
 * cannot wrap where the code segment is flat. */
static bool never_wraps(const struct x86_lift *l, int32_t off)
{
	unsigned size = branch_size(l);

	return size == 8 || (size == 4 && (l->mode & X86_MODE_FLAT_CODE) && off >= 0 && off < 4096);
}

static void exit_pc(struct x86_lift *l, int32_t off)
{
	x86_op(l, IR_EXIT_PC, IR_64, IR_NONE, IR_NONE, IR_NONE)->imm = off;
}

static struct ir_op *exit_if(
	struct x86_lift *l, enum ir_code code, unsigned type, uint16_t a, int32_t off)
{
	struct ir_op *o = x86_op(l, code, type, IR_NONE, a, IR_NONE);

	o->imm = off;
	return o;
}

/* pc (a temporary) cut to size bytes */
static uint16_t cut_pc(struct x86_lift *l, uint16_t pc, unsigned size)
{
	uint16_t t;

	if (size == 8)
		return pc;
	t = ir_temp(l->b);
	x86_op(l, size == 2 ? IR_ZX16 : IR_MOV, size == 2 ? IR_64 : IR_32, t, pc, IR_NONE);
	return t;
}

/* Could a target lie beyond the code segment's limit? In real and virtual-8086 mode 16 bits cannot.
 */
static bool has_limit(const struct x86_lift *l)
{
	if (l->x64 || l->mode & X86_MODE_FLAT_CODE)
		return false;
	return branch_size(l) == 4 || ((l->mode & X86_MODE_PE) && !(l->mode & X86_MODE_VM));
}

/* #GP(0) at this instruction, before it changes anything, unless pc may be gone to. */
static void check_target(struct x86_lift *l, uint16_t pc)
{
	if (has_limit(l))
		X86_CALL(l, x86_h_branch_check, pc, IR_NONE, IR_NONE);
}

static void check_offset(struct x86_lift *l, int32_t off)
{
	if (has_limit(l))
		check_target(l, cut_pc(l, x86_pc(l, off), branch_size(l)));
}

void x86_goto(struct x86_lift *l, int32_t off)
{
	unsigned size = branch_size(l);

	if (never_wraps(l, off)) {
		exit_pc(l, off);
	} else {
		/* straight to the target unless the instruction pointer wraps */
		uint16_t pc = x86_pc(l, off), over = ir_temp(l->b);

		x86_op_imm(l, IR_SHR, IR_64, over, pc, size * 8);
		exit_if(l, IR_EXIT_Z, IR_64, over, off);
		exit_indirect(l, cut_pc(l, pc, size), IR_IND_JUMP);
	}
	l->done = true;
}

/* Where a relative branch leads. The sum may leave 32 bits only in 32-bit code, where it wraps. */
static int32_t target(const struct x86_lift *l)
{
	return (int32_t)((uint32_t)l->next + (uint32_t)l->in.imm);
}

static void go_on_or_goto(struct x86_lift *l, int32_t to)
{
	if (branch_size(l) != 8 || !x86_follow(l, to))
		x86_goto(l, to);
}

bool x86_lift_jmp(struct x86_lift *l)
{
	check_offset(l, target(l));
	go_on_or_goto(l, target(l));
	return true;
}

static void jump_if(struct x86_lift *l, unsigned cond)
{
	int32_t to = target(l);
	bool wraps = !never_wraps(l, to);
	struct ir_op *o = exit_if(l, IR_EXIT_CC, IR_64, IR_NONE, wraps ? l->next : to);

	o->cond = (uint8_t)(cond ^ (wraps ? 1 : 0));
	o->fin = ir_cond_flags(o->cond);
	if (wraps) {
		check_offset(l, to);
		x86_goto(l, to);
	} else if (to <= l->off || ++l->side_exits > MAX_SIDE_EXITS) {
		/* below a loop lies its cold end: another block, if ever */
		exit_pc(l, l->next);
		l->done = true;
	}
}

bool x86_lift_jcc(struct x86_lift *l)
{
	jump_if(l, l->in.opcode & 15);
	return true;
}

/* LOOPNE, LOOPE, LOOP, JCXZ: the counter is as wide as addresses are */
bool x86_lift_loop(struct x86_lift *l)
{
	unsigned kind = l->in.opcode & 3, width = l->in.asize;
	struct x86_mem less = { .a = RCX, .b = IR_NONE, .disp = -1 };
	int32_t to = target(l);

	if (kind == 3) {
		exit_if(l, IR_EXIT_NZ, width, RCX, l->next);
		check_offset(l, to);
		x86_goto(l, to);
		return true;
	}
	x86_mem_op(l, IR_LEA, width, less)->d = RCX;
	exit_if(l, IR_EXIT_Z, width, RCX, l->next);
	if (kind < 2) {
		struct ir_op *o = exit_if(l, IR_EXIT_CC, IR_64, IR_NONE, l->next);

		o->cond = (uint8_t)(COND_E + (kind == 1)); /* LOOPE stops on NE */
		o->fin = IRFL_ZF;
	}
	check_offset(l, to); /* only a taken branch faults; the counter has been written by then */
	x86_goto(l, to);
	return true;
}

/* The return address is pushed before the target's limit is looked at. */
static void probe_push(struct x86_lift *l)
{
	const unsigned size = branch_size(l);

	if (has_limit(l))
		x86_mem_op(l, IR_PROBE_W, size, x86_stack_mem(l, -(int)size, size, true));
}

bool x86_lift_call(struct x86_lift *l)
{
	probe_push(l);
	check_offset(l, target(l));
	x86_push(l, branch_size(l), x86_pc(l, l->next));
	go_on_or_goto(l, target(l));
	return true;
}

/* RET (C3), RET n (C2) */
bool x86_lift_ret(struct x86_lift *l)
{
	unsigned size = branch_size(l);
	uint16_t pc = x86_load(l, size, x86_stack_mem(l, 0, size, false));

	check_target(l, pc);
	x86_stack_adjust(l, (int)size + (l->in.opcode == 0xc2 ? (int)l->in.imm : 0));
	exit_indirect(l, pc, IR_IND_RET);
	return true;
}

/* Near CALL and JMP through register or memory: the target is read before the push. */
static void branch_rm(struct x86_lift *l, bool call)
{
	unsigned size = branch_size(l);
	uint16_t pc = x86_rm(l, size);

	if (!l->in.is_mem)
		pc = size == 8 ? (call && l->in.rm == RSP ? x86_mov(l, pc) : pc)
			       : cut_pc(l, pc, size);
	if (call)
		probe_push(l);
	check_target(l, pc);
	if (call)
		x86_push(l, size, x86_pc(l, l->next));
	exit_indirect(l, pc, call ? IR_IND_CALL : IR_IND_JUMP);
}

/* --- far transfers: privilege, gates and tasks are a helper's --- */

static uint16_t opsize_next(struct x86_lift *l, unsigned size)
{
	return x86_const(l, size | (unsigned)l->in.len << 8);
}

static void far_transfer(struct x86_lift *l, bool call, uint16_t sel, uint16_t off)
{
	uint16_t desc = opsize_next(l, l->in.osize);

	if (call)
		X86_CALL(l, x86_h_far_call, sel, off, desc);
	else
		X86_CALL(l, x86_h_far_jmp, sel, off, desc);
	x86_exit_rip(l);
}

/* 9A, EA */
bool x86_lift_far_imm(struct x86_lift *l)
{
	if (l->x64)
		return false;
	far_transfer(l, l->in.opcode == 0x9a, x86_const(l, l->in.imm2), x86_const(l, l->in.imm));
	return true;
}

static void far_rm(struct x86_lift *l, bool call)
{
	unsigned size = l->cfg->amd && l->in.osize == 8 ? 4 : l->in.osize;
	struct x86_mem m = x86_mem(l, size + 2, false);
	uint16_t off = x86_load(l, size, m);

	m.disp = (int32_t)((uint32_t)m.disp + size);
	far_transfer(l, call, x86_load(l, 2, m), off);
}

bool x86_lift_far_ret(struct x86_lift *l)
{
	X86_CALL(l, x86_h_far_ret, x86_const(l, l->in.osize),
		x86_const(l, l->in.opcode == 0xca ? l->in.imm : 0), IR_NONE);
	x86_exit_rip(l);
	return true;
}

/* FF */
bool x86_lift_group5(struct x86_lift *l)
{
	switch (l->in.reg & 7) {
	case 0:
	case 1: return x86_lift_incdec_rm(l);
	case 2:
	case 4: branch_rm(l, (l->in.reg & 7) == 2); return true;
	case 3:
	case 5:
		if (!l->in.is_mem)
			return false;
		far_rm(l, (l->in.reg & 7) == 3);
		return true;
	case 6: return x86_lift_push_rm(l);
	default: return false;
	}
}

/* --- interrupts --- */

/* INT3 (CC), INT n (CD), INTO (CE), INT1 (F1) */
bool x86_lift_int(struct x86_lift *l)
{
	uint16_t len = x86_const(l, l->in.len);
	struct ir_op *o;

	switch (l->in.opcode) {
	case 0xcc: X86_CALL(l, x86_h_int3, x86_const(l, X86_BP), len, IR_NONE); break;
	case 0xcd: X86_CALL(l, x86_h_int, x86_const(l, l->in.imm & 0xff), len, IR_NONE); break;
	case 0xce:
		if (l->x64)
			return false;
		o = exit_if(l, IR_EXIT_CC, IR_64, IR_NONE, l->next);
		o->cond = 1;
		o->fin = IRFL_OF;
		X86_CALL(l, x86_h_int3, x86_const(l, X86_OF), len, IR_NONE);
		break;
	default: X86_CALL(l, x86_h_int1, len, IR_NONE, IR_NONE); break;
	}
	x86_exit_rip(l);
	return true;
}

bool x86_lift_iret(struct x86_lift *l)
{
	X86_CALL(l, x86_h_iret, x86_const(l, l->in.osize), IR_NONE, IR_NONE);
	x86_exit_rip(l);
	return true;
}

bool x86_lift_hlt(struct x86_lift *l)
{
	X86_CALL(l, x86_h_hlt, x86_const(l, l->in.len), IR_NONE, IR_NONE);
	x86_exit_loop(l);
	return true;
}
