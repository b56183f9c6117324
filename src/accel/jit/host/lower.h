/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lower.h: what the parts of the back end share: the state of one translation, IR → host code.
 *
 * Operations are emitted one after the other, in one pass. Temporaries are given the three scratch
 * registers as they come and go to frame slots when those are needed (every address check needs
 * all). Code for rare cases (cold stubs) is noted and emitted behind the block.
 */
#ifndef ACCEL_JIT_HOST_LOWER_H
#define ACCEL_JIT_HOST_LOWER_H

#include "accel/jit/blocks.h"
#include "accel/jit/host/asm.h"
#include "accel/jit/host/host.h"
#include "accel/jit/host/regs.h"
#include "accel/jit/ir/ir.h"
#include "accel/jit/vm.h"

enum { SCRATCH_FIRST = H_R13, SCRATCH_COUNT = 3, NO_SLOT = 0xff };
enum { COLD_MAX = 512, SITES_MAX = 1024, EXITS_BLOCK_MAX = 192 };

struct temp {
	uint8_t reg;   /* scratch register, or HOST_NONE */
	uint8_t slot;  /* frame slot with the same value, or NO_SLOT */
	bool constant; /* not in either: its value is known */
	int64_t value;
	int last; /* op that reads it last */
};

/* Where the guest's arithmetic flags are. A flag may be in several places. */
struct flags_state {
	uint8_t host;               /* IRFL_*: valid in host EFLAGS */
	uint8_t mem;                /* valid in hot.arith */
	struct flags_recipe recipe; /* kind FLAGS_MEMORY: none; else gives all flags */
};

/* A memory access: what its body, emitted once hot and perhaps once cold, needs to know. */
struct access {
	const struct ir_op *op;
	struct loc at;   /* the host address */
	struct loc data; /* operand c */
	unsigned reg;    /* where the result or the general operand goes */
	unsigned vreg; /* NATIVE: register of a general VEX.vvvv, loaded from vdata if it is r15 */
	struct loc vdata;
	struct flags_state flags; /* before the access */
	uint8_t need;             /* flags needed after it */
};

/* Accesses at constant distances from each other (lower_share.c). Offsets are from the first one's
 * address. */
enum { SHARE_SLOTS = 4, SHARE_MAX = 255 };
struct share {
	int first, last; /* ops */
	unsigned count;
	bool store;   /* rights that were checked */
	uint8_t slot; /* hot.share[slot] = host address of lo, once r13 is needed otherwise */
	int32_t lo, hi;
};
struct share_value {
	uint32_t root; /* unknown value number `root`, plus off */
	int64_t off;
};

enum cold_kind { COLD_LOAD, COLD_STORE, COLD_ALIGN, COLD_ENTER, COLD_EXIT, COLD_ENTRY, COLD_SHARE };
struct cold {
	enum cold_kind kind;
	uint8_t *from;     /* displacement of the jump that leads here */
	uint8_t *back;     /* where to go on: loads and RAM stores: the body */
	uint8_t *after;    /* behind the body */
	uint32_t desc;     /* SLOW_DESC; COLD_ENTER: level */
	const void *thunk; /* COLD_ENTER */
	uint16_t guest;
	struct flags_state flags;
	struct access access;
	unsigned exit;       /* COLD_EXIT, COLD_SHARE */
	struct share *share; /* COLD_SHARE */
	bool backward;
};

struct lower {
	struct jit_vm *vm;
	struct ir *b;
	struct block *k;
	struct as_buf a;
	uint8_t *start;
	bool linear; /* guest pc is the linear address */

	unsigned i; /* the op being emitted */
	const struct ir_op *o;
	uint16_t guest; /* page offset of its guest instruction */
	struct temp temp[IR_MAX_TEMPS];
	uint16_t owner[SCRATCH_COUNT]; /* temporary in each scratch register, or IR_NONE */
	uint8_t locked;                /* scratch registers this op uses, a bit each */
	uint64_t slots;                /* frame slots in use */
	uint8_t need[IR_MAX_OPS];      /* flags that may be looked at after each op */
	struct flags_state f;
	unsigned recipe_stamp; /* counts producers */
	uint8_t vec, fpu;      /* levels known to be live (bits as hot.vec_live) */
	bool failed;           /* out of slots, exits, … : cut the block in half */

	struct share share[SHARE_MAX];
	unsigned shares;
	uint8_t share_of[IR_MAX_OPS];                      /* 1 + index in share; 0: none */
	int32_t share_off[IR_MAX_OPS];                     /* from the first one's address */
	struct share_value known[IR_TEMP0 + IR_MAX_TEMPS]; /* while planning: operands' values */
	struct share *in_r13;                              /* r13 holds its host address */
	bool r13_only;                                     /* … and its slot does not yet */

	struct block_site site[SITES_MAX];
	unsigned sites;
	struct cold cold[COLD_MAX];
	unsigned colds;
	struct block_exit exit[EXITS_BLOCK_MAX];
	unsigned exits;
};

/* --- operands (lower_regs.c) --- */
static inline bool is_temp(uint16_t x)
{
	return x >= IR_TEMP0 && x < IR_IMM;
}
struct temp *temp_of(struct lower *l, uint16_t x);
/* Where the value of x is, no code emitted; o->imm for IR_IMM. */
struct loc value(struct lower *l, uint16_t x);
/* As value, but an immediate that an instruction of `size` cannot take is put in a scratch
 * register. */
struct loc source(struct lower *l, uint16_t x, unsigned size);
/* In a register, loaded if need be. */
unsigned in_reg(struct lower *l, uint16_t x);
/* A free scratch register, locked until the op ends. */
unsigned scratch(struct lower *l);
void lock_reg(struct lower *l, unsigned reg);
/* Register to compute result d in: its own if it has one, else a scratch register. */
unsigned target(struct lower *l, uint16_t d);
/* d = reg, which target() gave or any other that may be clobbered; width rules of `size`. */
void finish(struct lower *l, uint16_t d, unsigned reg, unsigned size);
/* A scratch register holding a copy of x which may be changed. Reuses x's own if x dies here. */
unsigned copy_of(struct lower *l, uint16_t x);
/* All temporaries still needed after this op, or by it as data, go to slots; all scratch registers
 * are free afterwards, though their contents stand until they are written. */
void spill_all(struct lower *l);
void spill_temp(struct lower *l, uint16_t x);
/* No temporary is in a scratch register any more (those needed are in slots); all are locked. */
void drop_scratch(struct lower *l);
void end_op(struct lower *l);

/* --- flags (lower_flags.c) --- */
uint32_t flags_bits(uint8_t mask); /* IRFL_* → RFLAGS positions */
/* The host's flags are about to be destroyed but for `keeps`; op i defines `kills` anew. What is
 * still needed is saved or known to be recomputable. */
void flags_clobber(struct lower *l, uint8_t kills, uint8_t keeps);
/* After it: the host's flags hold `host` now. */
void flags_produced(struct lower *l, uint8_t kills, uint8_t keeps);
/* All of `need` into hot.arith. */
void flags_save(struct lower *l, uint8_t need);
/* All of `want` into host flags. */
void flags_load(struct lower *l, uint8_t want);
/* Makes the host's flags decide guest condition cond; returns the host condition to use. */
unsigned flags_cond(struct lower *l, unsigned cond);
/* An op that can fault comes: every flag in memory or recomputable. */
void flags_fault_point(struct lower *l);
void flags_recipe(struct lower *l, enum flags_kind kind, unsigned type, uint16_t a, uint16_t b);
/* The op is about to write these globals: flags that depend on their old values are saved if
 * needed. access: the op checks an address first (which destroys host flags) and may fault before
 * it writes; then true says that the recipe ends after the op. */
bool flags_before_write(struct lower *l, uint32_t globals, bool access);

/* --- shared checks (lower_share.c) --- */
void share_plan(struct lower *l);
/* The share that this op is in, or NULL. */
struct share *share_get(struct lower *l);
static inline bool share_follows(struct lower *l)
{
	struct share *s = share_get(l);

	return s && s->first != (int)l->i;
}
/* r13 is about to be written. */
void share_clobber(struct lower *l);
/* The checked address for a follower; r13 is locked. */
struct loc share_at(struct lower *l);
bool share_lower(struct lower *l); /* simple loads and stores of followers; false: not one */
void cold_share(struct lower *l, struct cold *c);

/* --- parts --- */
bool lower_alu(struct lower *l);    /* lower_alu.c; false: not its op */
bool lower_shift(struct lower *l);  /* lower_shift.c */
bool lower_memory(struct lower *l); /* lower_mem.c */
bool lower_exit(struct lower *l);   /* lower_exit.c */
void lower_native(struct lower *l); /* lower_native.c: without memory operand */
void native_body(struct lower *l, struct access *x);
void lower_call(struct lower *l); /* lower_exit.c */
void lower_enter(struct lower *l);
/* reg = the address of o's memory operand. keep_flags: host flags stay (else they may change). */
void emit_address(struct lower *l, const struct ir_op *o, unsigned reg, bool keep_flags);
void cold_access(struct lower *l, struct cold *c); /* lower_mem.c */
void cold_exit(struct lower *l, struct cold *c);   /* lower_exit.c */
/* An exit to imm from the page start (lower_exit.c); its code from the saving of flags on. */
struct block_exit *exit_new(struct lower *l, int64_t imm);
void exit_tail(struct lower *l, struct block_exit *e, bool backward);
void load_body(struct lower *l, struct access *x); /* lower_mem.c */
void store_body(struct lower *l, struct access *x);
void evict(struct lower *l, unsigned n); /* lower_regs.c: scratch register n becomes free */
void entry_check(struct lower *l);       /* lower_exit.c: second page of a straddling block */
struct cold *cold_new(struct lower *l, enum cold_kind kind);
void site_add(struct lower *l, bool host_flags);
uint8_t *rw_of(struct lower *l, const void *rx);

#endif
