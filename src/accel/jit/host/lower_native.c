/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lower_native.c: host instructions put out as they are (native.h), with their general registers
 * mapped. */
#include "accel/jit/host/lower.h"

#include "accel/jit/ir/native.h"

static struct enc encoding(struct native n)
{
	return (struct enc){ .pp = n.pp,
		.map = n.map,
		.opcode = n.opcode,
		.w = n.form & NATIVE_W,
		.vex = n.form & NATIVE_VEX,
		.l = n.form & NATIVE_L,
		.vvvv = n.vvvv,
		/* crc32 of a byte register */
		.byte_rm = n.map == 2 && n.opcode == 0xf0 && n.cls & NATIVE_RM_G };
}

static void put(struct lower *l, struct native n, unsigned reg, struct loc rm, unsigned vvvv)
{
	struct enc e = encoding(n);

	e.vvvv = (uint8_t)vvvv;
	if (n.form & NATIVE_NOMODRM) {
		as_plain(&l->a, e);
	} else if (n.form & NATIVE_RAWRM) {
		as_plain(&l->a, e);
		as_8(&l->a, n.reg_rm);
	} else {
		as_modrm(&l->a, e, reg, rm);
	}
	if (n.form & NATIVE_IMM8)
		as_8(&l->a, n.imm8);
}

/* With memory operand: x->reg is the host register for a general modrm.reg, r14 (then loaded from
 * and stored to x->data's owner outside) or pinned; a general vvvv comes in r15 or is pinned. */
void native_body(struct lower *l, struct access *x)
{
	struct native n = native_unpack(x->op->imm);
	unsigned reg = n.reg_rm & 15, vvvv = n.vvvv;
	bool load_reg = n.cls & NATIVE_REG_G && n.cls & NATIVE_REG_R && x->reg == H_R14;

	if (n.cls & NATIVE_REG_G)
		reg = x->reg;
	if (load_reg)
		as_mov(&l->a, 8, H_R14, x->data);
	if (n.cls & NATIVE_V_G) {
		vvvv = x->vreg;
		if (vvvv == H_R15 && !(n.cls & NATIVE_V_W))
			as_mov(&l->a, 8, H_R15, x->vdata);
	}
	if (x->op->fin) { /* the address check has destroyed them; they are in memory */
		unsigned t = reg == H_R14 && load_reg ? H_R15 : H_R14;

		as_mov(&l->a, 4, t, LOC_HOT(arith));
		as_alu(&l->a, ALU_AND, 4, t, loc_imm((int32_t)flags_bits(IRFL_ALL)));
		as_push(&l->a, t);
		as_8(&l->a, 0x9d);
	}
	put(l, n, reg, x->at, vvvv);
}

/* A general register field: where it is, loaded when it is read. */
static unsigned field(struct lower *l, uint16_t x, bool read, bool write)
{
	unsigned r;

	if (!write)
		return in_reg(l, x);
	if (x < IR_GLOBALS && host_reg(x) != HOST_NONE)
		return host_reg(x);
	r = scratch(l);
	if (read)
		as_mov(&l->a, 8, r, value(l, x));
	return r;
}

void lower_native(struct lower *l)
{
	const struct ir_op *o = l->o;
	struct native n = native_unpack(o->imm);
	unsigned reg = n.reg_rm & 15, rm = n.reg_rm >> 4, vvvv = n.vvvv;

	/* in this order: a site may send flags to memory */
	if (!(n.cls & (NATIVE_REG_G | NATIVE_RM_G | NATIVE_V_G)) || !o->fout)
		site_add(l, true);
	if (o->fin)
		flags_load(l, o->fin);
	if (o->fout) /* adcx and adox leave the other flags alone */
		flags_clobber(l, o->fout, IRFL_ALL & ~o->fout);
	/* sources first: a written register may be one of them */
	if (n.cls & NATIVE_RM_G && !(n.cls & NATIVE_RM_W))
		rm = in_reg(l, o->a);
	if (n.cls & NATIVE_V_G && !(n.cls & NATIVE_V_W))
		vvvv = in_reg(l, o->c);
	if (n.cls & NATIVE_REG_G)
		reg = field(l, o->d, n.cls & NATIVE_REG_R, n.cls & NATIVE_REG_W);
	if (n.cls & NATIVE_RM_G && n.cls & NATIVE_RM_W)
		rm = field(l, o->a, o->a < IR_GLOBALS, true);
	if (n.cls & NATIVE_V_G && n.cls & NATIVE_V_W)
		vvvv = field(l, o->c, false, true);
	put(l, n, reg, loc_reg(rm), vvvv);
	if (o->fout)
		flags_produced(l, o->fout, IRFL_ALL & ~o->fout);
	/* mulx with equal destinations: modrm.reg wins, so vvvv is put first */
	if (n.cls & NATIVE_V_G && n.cls & NATIVE_V_W)
		finish(l, o->c, vvvv, 8);
	if (n.cls & NATIVE_RM_G && n.cls & NATIVE_RM_W)
		finish(l, o->a, rm, 8);
	if (n.cls & NATIVE_REG_G && n.cls & NATIVE_REG_W)
		finish(l, o->d, reg, 8);
}
