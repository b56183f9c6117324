/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lift_bmi.c: BMI1, BMI2, ADX, CRC32, MOVBE, INVPCID: what of the maps 0F38 and 0F3A works on
 * general registers. Spec: SDM vol. 2.
 */
#include "accel/jit/x86/lift_ops.h"

struct ir_op *x86_native(struct x86_lift *l, struct native n, unsigned size, uint16_t d, uint16_t c)
{
	uint16_t a = IR_NONE;
	struct ir_op *o;

	if (size != 8)
		n.cls |= NATIVE_G32;
	if (l->in.is_mem) {
		o = x86_mem_op(l, IR_NATIVE, size, x86_mem(l, size, false));
		o->flags |= IRO_LOAD;
	} else {
		n.cls |= NATIVE_RM_G;
		a = x86_reg(l, l->in.rm, size);
		o = x86_op(l, IR_NATIVE, 0, IR_NONE, a, IR_NONE);
	}
	o->d = d;
	o->c = c;
	o->imm = native_pack(n);
	return o;
}

static unsigned vex_size(const struct x86_lift *l)
{
	return l->x64 && (l->in.rex & X86_REX_W) ? 8 : 4;
}

static struct native vex_native(const struct x86_lift *l, uint8_t cls)
{
	return (struct native){
		.opcode = l->in.opcode,
		.map = l->in.map,
		.pp = l->in.pp,
		.form = NATIVE_VEX | (vex_size(l) == 8 ? NATIVE_W : 0),
		.cls = cls,
	};
}

/* ANDN: the first source is vvvv */
static void lift_andn(struct x86_lift *l)
{
	x86_native(l, vex_native(l, NATIVE_REG_G | NATIVE_REG_W | NATIVE_V_G), vex_size(l),
		l->in.reg, l->in.vvvv)
		->fout = IRFL_ALL;
}

/* BLSR, BLSMSK, BLSI: the destination is vvvv */
static bool lift_bls(struct x86_lift *l)
{
	struct native n = vex_native(l, NATIVE_V_G | NATIVE_V_W);
	unsigned digit = l->in.reg & 7;

	if (l->in.pp || digit < 1 || digit > 3)
		return false;
	n.reg_rm = (uint8_t)digit;
	x86_native(l, n, vex_size(l), IR_NONE, l->in.vvvv)->fout = IRFL_ALL;
	return true;
}

/* reg = rm op vvvv: BZHI, BEXTR (with flags), PEXT, PDEP, SARX, SHLX, SHRX */
static void lift_vvvv_source(struct x86_lift *l, uint8_t fout)
{
	x86_native(l, vex_native(l, NATIVE_REG_G | NATIVE_REG_W | NATIVE_V_G), vex_size(l),
		l->in.reg, l->in.vvvv)
		->fout = fout;
}

static void lift_mulx(struct x86_lift *l)
{
	unsigned size = vex_size(l);
	uint16_t src = x86_rm(l, size), lo = ir_temp(l->b), hi = ir_temp(l->b);

	x86_op(l, IR_MUL, size, lo, RDX, src);
	x86_op(l, IR_UMULH, size, hi, RDX, src);
	x86_set_reg(l, l->in.vvvv, size, lo);
	x86_set_reg(l, l->in.reg, size, hi);
}

static bool lift_rorx(struct x86_lift *l)
{
	struct native n = vex_native(l, NATIVE_REG_G | NATIVE_REG_W);

	if (l->in.pp != 3 || l->in.vvvv_used)
		return false;
	n.form |= NATIVE_IMM8;
	n.imm8 = (uint8_t)l->in.imm;
	x86_native(l, n, vex_size(l), l->in.reg, IR_NONE);
	return true;
}

static bool lift_vex(struct x86_lift *l)
{
	bool bmi1 = x86_lift_has(l, FEAT_7_0_EBX, 3), bmi2 = x86_lift_has(l, FEAT_7_0_EBX, 8);
	unsigned pp = l->in.pp;

	if (l->in.vex_l)
		return false;
	if (l->in.map == X86_MAP_0F3A)
		return bmi2 && lift_rorx(l);
	switch (l->in.opcode) {
	case 0xf2:
		if (!bmi1 || pp)
			return false;
		lift_andn(l);
		return true;
	case 0xf3: return bmi1 && lift_bls(l);
	case 0xf5:
		if (!bmi2 || pp == 1)
			return false;
		lift_vvvv_source(l, pp ? 0 : IRFL_ALL);
		return true;
	case 0xf6:
		if (!bmi2 || pp != 3)
			return false;
		lift_mulx(l);
		return true;
	case 0xf7:
		if (!(pp ? bmi2 : bmi1))
			return false;
		lift_vvvv_source(l, pp ? 0 : IRFL_ALL);
		return true;
	default: return false;
	}
}

static bool lift_movbe(struct x86_lift *l)
{
	unsigned size = l->in.osize;
	bool store = l->in.opcode & 1;
	uint16_t t, swapped;

	if (!l->in.is_mem || l->in.rep || !x86_lift_has(l, FEAT_1_ECX, 22))
		return false;
	t = store ? l->in.reg : x86_load(l, size, x86_mem(l, size, false));
	swapped = ir_temp(l->b);
	x86_op(l, IR_BSWAP, size == 8 ? 8 : 4, swapped, t, IR_NONE);
	if (size == 2) {
		t = swapped;
		swapped = ir_temp(l->b);
		x86_op_imm(l, IR_SHR, IR_32, swapped, t, 16);
	}
	if (store)
		x86_store(l, size, x86_mem(l, size, true), swapped);
	else
		x86_set_reg(l, l->in.reg, size, swapped);
	return true;
}

/* F2 0F38 F0, F1: the accumulator is 32 bits wide but zero-extends to 64 with REX.W */
static bool lift_crc32(struct x86_lift *l)
{
	unsigned size = l->in.opcode & 1 ? l->in.osize : 1;
	struct native n = { .opcode = l->in.opcode,
		.map = 2,
		.pp = size == 2 ? 5 : 3,
		.form = size == 8 ? NATIVE_W : 0,
		.cls = NATIVE_REG_G | NATIVE_REG_R | NATIVE_REG_W };

	if (!x86_lift_has(l, FEAT_1_ECX, 20))
		return false;
	x86_native(l, n, size, l->in.reg, IR_NONE);
	return true;
}

/* ADCX (66), ADOX (F3) */
static bool lift_adx(struct x86_lift *l)
{
	unsigned size = l->in.osize == 8 ? 8 : 4;
	uint8_t flag = l->in.rep ? IRFL_OF : IRFL_CF;
	struct native n = { .opcode = 0xf6,
		.map = 2,
		.pp = l->in.rep ? 2 : 1,
		.form = size == 8 ? NATIVE_W : 0,
		.cls = NATIVE_REG_G | NATIVE_REG_R | NATIVE_REG_W };
	struct ir_op *o;

	if (l->in.rep == X86_REP_F2 || !l->in.pp || !x86_lift_has(l, FEAT_7_0_EBX, 19))
		return false;
	o = x86_native(l, n, size, l->in.reg, IR_NONE);
	o->fin = o->fout = flag;
	return true;
}

static bool lift_invpcid(struct x86_lift *l)
{
	if (!l->in.is_mem || l->in.pp != 1 || !x86_lift_has(l, FEAT_7_0_EBX, 10))
		return false;
	X86_CALL(l, x86_h_invpcid, x86_linear(l, 16, false), l->in.reg, IR_NONE);
	x86_exit_next(l);
	return true;
}

bool x86_lift_bmi(struct x86_lift *l)
{
	if (l->in.vex)
		return lift_vex(l);
	switch (l->in.opcode) {
	case 0x82: return lift_invpcid(l);
	case 0xf6: return lift_adx(l);
	default: return l->in.rep == X86_REP_F2 ? lift_crc32(l) : lift_movbe(l);
	}
}
