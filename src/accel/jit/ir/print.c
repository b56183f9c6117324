/* SPDX-License-Identifier: GPL-2.0-or-later */
/* print.c: a block as text, one op a line, for traces and tests. */
#include <glib.h>

#include "accel/jit/ir/ir.h"
#include "accel/jit/ir/native.h"

static void put_operand(GString *s, uint16_t x, int64_t imm)
{
	static const char *const gpr[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

	if (x == IR_IMM)
		g_string_append_printf(s, " $0x%" G_GINT64_MODIFIER "x", (uint64_t)imm);
	else if (x < 16)
		g_string_append_printf(s, " %s", gpr[x]);
	else if (x < IR_TEMP0)
		g_string_append_printf(s, " g%u", x);
	else if (x != IR_NONE)
		g_string_append_printf(s, " t%u", x - IR_TEMP0);
}

static void put_flags(GString *s, const char *what, uint8_t mask)
{
	if (!mask)
		return;
	g_string_append_printf(s, " %s", what);
	for (unsigned i = 0; i < 6; i++)
		if (mask & 1 << i)
			g_string_append_c(s, "cpazso"[i]);
}

static void put_address(GString *s, const struct ir_op *o)
{
	g_string_append(s, " [");
	put_operand(s, o->a, 0);
	if (o->b != IR_NONE) {
		g_string_append(s, " +");
		put_operand(s, o->b, 0);
		g_string_append_printf(s, "*%d", 1 << (o->mem & IRM_SCALE));
	}
	if (o->disp)
		g_string_append_printf(s, " %+d", o->disp);
	if (o->mem & IRM_SEG)
		g_string_append_printf(s, " seg%d", ((o->mem & IRM_SEG) >> IRM_SEG_SHIFT) - 1);
	g_string_append_printf(s, "%s%s%s ]", o->mem & IRM_A32 ? " a32" : "", o->mem & IRM_A16 ? " a16" : "",
		o->mem & IRM_L32 ? " l32" : "");
}

static void put_native(GString *s, const struct ir_op *o)
{
	struct native n = native_unpack(o->imm);

	g_string_append_printf(s, " map%u.pp%u.%02x form=%02x regrm=%02x v=%u imm8=%02x cls=%02x", n.map, n.pp,
		n.opcode, n.form, n.reg_rm, n.vvvv, n.imm8, n.cls);
}

static void put_op(GString *s, const struct ir_op *o)
{
	const struct ir_info *info = &ir_info[o->code];
	bool addr = (info->props & IRP_MEM && (o->code != IR_NATIVE || o->type)) || info->props & IRP_ADDR;

	g_string_append_printf(s, "%-8s%3u", info->name, o->type * 8);
	if (o->sub)
		g_string_append_printf(s, " .%u", o->sub);
	put_operand(s, o->d, 0);
	if (addr) {
		put_address(s, o);
	} else {
		put_operand(s, o->a, o->imm);
		put_operand(s, o->b, o->imm);
	}
	put_operand(s, o->c, o->imm);
	if (o->code == IR_NATIVE)
		put_native(s, o);
	else if (o->a != IR_IMM && o->b != IR_IMM && o->c != IR_IMM && o->imm)
		g_string_append_printf(s, " #0x%" G_GINT64_MODIFIER "x", (uint64_t)o->imm);
	if (o->code == IR_SETCC || o->code == IR_CMOV || o->code == IR_EXIT_CC)
		g_string_append_printf(s, " cc%x", o->cond);
	put_flags(s, "in:", o->fin);
	put_flags(s, "out:", o->fout);
	put_flags(s, "live:", o->flive);
	if (o->flags & IRO_LOCK)
		g_string_append(s, " lock");
	g_string_append_c(s, '\n');
}

char *ir_print(const struct ir *b)
{
	GString *s = g_string_new(NULL);

	g_string_append_printf(s, "block +0x%03x mode 0x%x, %u insns, %u bytes, %u ops\n", b->page_offset, b->mode,
		b->insns, b->bytes, b->n);
	for (unsigned i = 0; i < b->n; i++)
		put_op(s, &b->op[i]);
	return g_string_free(s, FALSE);
}
