/* SPDX-License-Identifier: GPL-2.0-or-later */
/* info.c: the properties of every IR operation, made from ops.def, and what a single op reads and writes. */
#include "accel/jit/ir/ir.h"
#include "accel/jit/ir/native.h"

/* The column alphabet of ops.def. */
enum { D = 1, A = IRU_A, B = IRU_B, C = IRU_C, D_ = IRU_D };

const struct ir_info ir_info[IR_OP_COUNT] = {
#define OP(name, text, defs, uses, props) [IR_##name] = { text, defs, uses, props },
#include "accel/jit/ir/ops.def"
#undef OP
};

uint8_t ir_cond_flags(unsigned cond)
{
	static const uint8_t by_pair[8] = {
		IRFL_OF, IRFL_CF, IRFL_ZF, IRFL_CF | IRFL_ZF, IRFL_SF, IRFL_PF,
		IRFL_SF | IRFL_OF, IRFL_ZF | IRFL_SF | IRFL_OF,
	};

	return by_pair[(cond >> 1) & 7];
}

uint8_t ir_flags_read(const struct ir_op *o)
{
	switch (o->code) {
	case IR_SETCC: case IR_CMOV:
		return o->fin | ir_cond_flags(o->cond);
	case IR_ADC: case IR_SBB: case IR_CMC: case IR_RCL: case IR_RCR:
		return o->fin | IRFL_CF;
	case IR_RMW:
		if (o->sub == IR_ADC || o->sub == IR_SBB || o->sub == IR_RCL || o->sub == IR_RCR)
			return o->fin | IRFL_CF;
		return o->fin;
	case IR_GETFL:
		return o->fin ? o->fin : IRFL_ALL;
	case IR_CALL:
		return IRFL_ALL;
	default:
		return ir_info[o->code].props & IRP_EXIT ? IRFL_ALL : o->fin;
	}
}

static bool shift_code(unsigned code)
{
	return code >= IR_SHL && code <= IR_SHRD;
}

uint8_t ir_flags_killed(const struct ir_op *o)
{
	unsigned code = o->code == IR_RMW ? o->sub : o->code;

	if (!(ir_info[o->code].props & IRP_FLAGS_OUT))
		return 0;
	if (shift_code(code)) {
		bool three = code == IR_SHLD || code == IR_SHRD;
		uint16_t count = o->code == IR_RMW || three ? o->c : o->b;

		if (count != IR_IMM || !(o->imm & (o->type == IR_64 ? 63 : 31)))
			return 0;
	}
	return o->fout;
}

/* Floating point, that is: where exceptions are unmasked, it raises #MF or #XM also without memory. */
static bool computes_floats(struct native n)
{
	unsigned op = n.opcode;

	switch (n.map) {
	case 0:
		return op >= 0xd8 && op <= 0xdf;
	case 1: /* MMX: waiting x87 exceptions */
		return op == 0x2a || (op >= 0x2c && op <= 0x2f) || op == 0x51 || (op >= 0x58 && op <= 0x5f) ||
			op == 0x7c || op == 0x7d || op == 0xc2 || op == 0xd0 || op == 0xe6 ||
			(n.pp == 0 && op >= 0x60);
	case 2: /* MMX, F16C, FMA */
		return (n.pp == 0 && op < 0x20) || op == 0x13 || (op >= 0x96 && op <= 0xbf);
	default:
		return (op >= 0x08 && op <= 0x0b) || op == 0x0f || op == 0x1d || op == 0x40 || op == 0x41;
	}
}

bool ir_can_fault(const struct ir_op *o)
{
	unsigned props = ir_info[o->code].props;

	if (o->code == IR_NATIVE)
		return o->type != 0 || computes_floats(native_unpack(o->imm));
	if (o->code == IR_CALL)
		return !(o->flags & IRO_NOFAULT);
	return props & IRP_FAULT;
}

uint32_t ir_globals_written(const struct ir_op *o)
{
	unsigned props = ir_info[o->code].props;
	uint32_t m = 0;

	if (ir_info[o->code].defs_d && o->d < IR_GLOBALS)
		m |= 1u << o->d;
	if (props & IRP_AX)
		m |= 1u << 0;
	if (props & IRP_AXDX)
		m |= 1u << 0 | 1u << 2;
	if (o->code == IR_NATIVE) {
		/* d is both kinds; a and c are when the fields say so: over-stating is harmless */
		if (o->a < IR_GLOBALS && !o->type)
			m |= 1u << o->a;
		if (o->c < IR_GLOBALS)
			m |= 1u << o->c;
	}
	if (props & IRP_CALL)
		m |= ~0u;
	return m;
}

bool ir_reads(const struct ir_op *o, uint16_t x)
{
	unsigned uses = ir_info[o->code].uses, props = ir_info[o->code].props;

	if ((uses & IRU_A && o->a == x) || (uses & IRU_B && o->b == x) || (uses & IRU_C && o->c == x) ||
		(uses & IRU_D && o->d == x))
		return true;
	if (o->d == x && (o->code == IR_NATIVE || (ir_info[o->code].defs_d && o->type < IR_32)))
		return true;
	if (x == 0 && props & (IRP_AX | IRP_AXDX))
		return true;
	if (props & IRP_AXDX && (x == 2 || (o->code == IR_CMPXCHGB && (x == 1 || x == 3))))
		return true;
	return props & IRP_CALL && x < IR_GLOBALS;
}
