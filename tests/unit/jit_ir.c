/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_ir.c: the IR's verifier and passes on blocks made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "accel/jit/ir/ir.h"

static struct ir block;

static struct ir *start(void)
{
	memset(&block, 0, sizeof(block));
	ir_emit(&block, IR_INSN, IR_64);
	return &block;
}

static struct ir_op *op(enum ir_code code, enum ir_type type, uint16_t d, uint16_t a, uint16_t b)
{
	struct ir_op *o = ir_emit(&block, code, type);

	o->d = d;
	o->a = a;
	o->b = b;
	return o;
}

static const char *finish(void)
{
	ir_emit(&block, IR_EXIT_PC, IR_64)->imm = 0x10;
	block.insns = 1;
	return ir_verify(&block, NULL);
}

static void assert_says(const char *why, const char *part)
{
	assert_non_null(why);
	assert_non_null(strstr(why, part));
}

static void test_verify(void **state)
{
	struct ir *b = start();
	uint16_t t = ir_temp(b);

	op(IR_LD, IR_64, t, 3, IR_NONE);
	op(IR_ADD, IR_64, 0, 0, t)->fout = IRFL_ALL;
	assert_null(finish());

	b = start();
	t = ir_temp(b);
	op(IR_ADD, IR_64, 0, 0, t);
	assert_says(finish(), "before it is written");

	b = start();
	op(IR_ADD, IR_64, 0, 0, 1);
	op(IR_LD, IR_64, 2, 3, IR_NONE);
	assert_says(finish(), "global was written");

	b = start();
	op(IR_MOV, IR_64, 0, 1, IR_NONE)->fout = IRFL_CF;
	assert_says(finish(), "cannot produce flags");

	b = start();
	op(IR_ADD, 3, 0, 0, 1);
	assert_says(finish(), "type");

	b = start();
	op(IR_ADD, IR_64, 0, 0, 1);
	assert_says(ir_verify(b, NULL), "no exit");

	b = start();
	ir_emit(b, IR_EXIT_LOOP, IR_64);
	op(IR_MOV, IR_64, 0, 1, IR_NONE);
	assert_says(finish(), "after an unconditional exit");
}

static unsigned count(enum ir_code code)
{
	unsigned n = 0;

	for (unsigned i = 0; i < block.n; i++)
		n += block.op[i].code == code;
	return n;
}

/* A compare that nobody looks at goes; one whose flags a later fault could show stays. */
static void test_liveness(void **state)
{
	struct ir *b = start();

	op(IR_CMP, IR_32, IR_NONE, 0, 1)->fout = IRFL_ALL;
	op(IR_ADD, IR_64, 2, 2, 3)->fout = IRFL_ALL;
	finish();
	ir_optimize(b, IR_OPT_ALL);
	assert_int_equal(count(IR_CMP), 0);
	assert_int_equal(b->op[1].flive, IRFL_ALL);

	b = start();
	op(IR_CMP, IR_32, IR_NONE, 0, 1)->fout = IRFL_ALL;
	op(IR_LD, IR_64, 5, 6, IR_NONE);
	op(IR_ADD, IR_64, 2, 2, 3)->fout = IRFL_ALL;
	finish();
	ir_optimize(b, IR_OPT_ALL);
	assert_int_equal(count(IR_CMP), 1);
	assert_int_equal(b->op[1].flive, IRFL_ALL);

	/* a shift by a register may leave the flags of the compare */
	b = start();
	op(IR_CMP, IR_32, IR_NONE, 0, 1)->fout = IRFL_ALL;
	op(IR_SHL, IR_64, 2, 2, 1)->fout = IRFL_ALL;
	finish();
	ir_optimize(b, IR_OPT_ALL);
	assert_int_equal(count(IR_CMP), 1);

	b = start();
	op(IR_CMP, IR_32, IR_NONE, 0, 1)->fout = IRFL_ALL;
	op(IR_SHL, IR_64, 2, 2, IR_IMM)->fout = IRFL_ALL;
	b->op[2].imm = 3;
	finish();
	ir_optimize(b, IR_OPT_ALL);
	assert_int_equal(count(IR_CMP), 0);
}

static void test_fold(void **state)
{
	struct ir *b = start();
	uint16_t t = ir_temp(b), u = ir_temp(b);

	/* exchange of two registers: the copy must not follow its source's new value */
	op(IR_MOV, IR_64, t, 0, IR_NONE);
	op(IR_MOV, IR_64, 0, 3, IR_NONE);
	op(IR_MOV, IR_64, 3, t, IR_NONE);
	op(IR_MOVI, IR_64, u, IR_NONE, IR_NONE)->imm = 40;
	op(IR_ADD, IR_64, 1, 1, u)->fout = IRFL_ALL;
	assert_null(finish());
	ir_optimize(b, IR_OPT_ALL);
	assert_null(ir_verify(b, NULL));
	assert_int_equal(count(IR_MOVI), 0);
	assert_int_equal(count(IR_MOV), 3);
	for (unsigned i = 0; i < b->n; i++) {
		if (b->op[i].code == IR_ADD) {
			assert_int_equal(b->op[i].b, IR_IMM);
			assert_int_equal(b->op[i].imm, 40);
		}
	}
}

static void test_cut(void **state)
{
	struct ir *b = start();

	op(IR_ADD, IR_64, 0, 0, 1);
	ir_emit(b, IR_INSN, IR_64)->imm = 3;
	op(IR_ADD, IR_64, 0, 0, 2);
	finish();
	b->insns = 2;
	b->bytes = 6;
	ir_cut(b, 2);
	assert_null(ir_verify(b, NULL));
	assert_int_equal(b->insns, 1);
	assert_int_equal(b->bytes, 3);
	assert_int_equal(b->op[b->n - 1].code, IR_EXIT_PC);
	assert_int_equal(b->op[b->n - 1].imm, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verify), cmocka_unit_test(test_liveness), cmocka_unit_test(test_fold),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
