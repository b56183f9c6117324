/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff.h: the differential tester of the x86 front end: random instructions run on the host CPU and
 * on our engines from the same state; everything is compared. See docs/jit.md.
 */
#ifndef TESTS_ISA_DIFF_H
#define TESTS_ISA_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/jit/x86/lift.h"

enum {
	LOOP_INSNS = 2,
	LOOP_BYTES = 9, /* dec r15d; jnz to the start */
	CODE_BASE = 0x20000000,
	CODE_SIZE = 4096, /* one page, then nothing */
	DATA_BASE = 0x10000000,
	DATA_SIZE = 8192, /* writable, then a read-only page, then nothing */
	READONLY_SIZE = 4096,
	SEGMENT_LIMIT = DATA_SIZE + READONLY_SIZE - 1, /* of the data segment, where segmented */
	CODE_SELECTOR = 7,
	DATA_SELECTOR = 15, /* LDT entries 0 and 1 */
	GS_OFFSET = 0x800,  /* GS base, from DATA_BASE */
	MAX_INSNS = 8,
	MAX_BYTES = MAX_INSNS * 15 + LOOP_BYTES,
	VECTOR_NONE = -1,
	MXCSR_OM_UM = 0xc00,
};

/* How this host decodes 64-bit code (X86_DECODE_*). Set once at start. */
extern unsigned diff_decode_mode;
/* What is tested: 64-, 32- or 16-bit (compatibility mode) code. */
extern unsigned diff_bits;
/* Segments with bases and limits, from the LDT: always for 16 bits. Code and data start at offset
 * 0. */
extern bool diff_segmented;

/* rip of linear address CODE_BASE; offset of linear address DATA_BASE. */
static inline uint64_t diff_code_pc(void)
{
	return diff_segmented ? 0 : CODE_BASE;
}
static inline uint64_t diff_data_base(void)
{
	return diff_segmented ? DATA_BASE : 0;
}

/* One test: code and the state it starts from. */
struct diff_case {
	uint8_t code[MAX_BYTES];
	unsigned n; /* bytes */
	unsigned insns;
	uint8_t len[MAX_INSNS + LOOP_INSNS];
	unsigned offset; /* of code in its page */
	struct x86_cpu start;
	uint8_t open; /* IRFL_*: flags that are undefined in the end, whatever the counts were */
	uint8_t open_ever; /* … after some instruction */
	bool loop;         /* runs R15 times, by two instructions at its end */
	bool branches, gs; /* has branches, GS overrides */
	bool vec, fpu;     /* looks at or changes vector, x87 registers */
	bool image;        /* … or their memory image */
};

/* How it ended. */
struct diff_result {
	struct x86_cpu cpu;     /* gpr, rip, rflags, ymm, mxcsr, fpu */
	int vector;             /* exception, VECTOR_NONE: ran into the INT3 behind it */
	uint64_t fault_address; /* of a page fault */
	unsigned error;         /* error code; the interpreter has none */
	bool memory_changed;
	uint8_t data[DATA_SIZE]; /* where memory_changed */
};

/* Guest memory, the same for all engines: what both start from. */
struct diff_memory {
	uint8_t *data;             /* DATA_BASE itself: what native code works on */
	uint16_t selector[6];      /* what the host's segment registers hold */
	uint8_t *code;             /* writable alias of CODE_BASE */
	uint8_t golden[DATA_SIZE]; /* the start */
	uint8_t model[DATA_SIZE];  /* what the interpreter works on; = golden between cases */
};

/* --- native.c: on the host CPU. false with a message: the sandbox cannot be built. --- */
bool native_init(struct diff_memory *m);
/* Once on the thread that calls native_run, after the other engines have installed their handlers.
 * stop (may be NULL) is called when another engine than the host takes too long. */
void native_init_thread(struct diff_memory *m, void (*stop)(void *opaque), void *opaque);
/* On the main thread, before others are made: its timer's signal is for the thread that asks for
 * it. */
void native_block_watchdog(void);
/* So many milliseconds from now; 0: not any more. */
void native_watchdog(unsigned ms);
/* False: it hung and was stopped. Leaves m->data = golden. */
bool native_run(struct diff_memory *m, const struct diff_case *c, struct diff_result *out);

/* --- model.c: decode, lift, interpret --- */
struct model;
struct model *model_new(struct diff_memory *m, const struct x86_lift_config *cfg);
void model_free(struct model *md);
enum model_class {
	MODEL_RUNS, /* comparable */
	MODEL_UD,   /* raises #UD: run natively only what is harmless there */
	MODEL_SKIP, /* calls a helper: needs a whole machine */
};
/* What would become of the single instruction at p. */
struct model_uses {
	bool vec, fpu, branches;
	bool image;           /* FXRSTOR and its kin: all vector and x87 registers */
	uint8_t reads, kills; /* flags: IRFL_* */
	bool r15;             /* changes it */
};
enum model_class model_classify(
	struct model *md, const uint8_t *p, unsigned n, struct model_uses *ret);
bool model_run(struct model *md, const struct diff_case *c, bool optimize, struct diff_result *out);
/* IR of the case's first block; g_free it. */
char *model_ir(struct model *md, const struct diff_case *c, bool optimize);

/* --- gen.c --- */
struct rng {
	uint64_t s;
};
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);
/* A new case of `insns` instructions; what to make is in `kinds`. */
enum { GEN_INT = 1, GEN_VEC = 2, GEN_FPU = 4 };
void gen_case(struct rng *r, struct model *md, struct diff_case *c, unsigned insns, unsigned kinds);
/* Points a loop's last instruction at its first, whatever lies between. */
void gen_close_loop(struct diff_case *c);
/* Fills c->open and c->open_ever. False: an instruction depends on what an earlier one left
 * undefined. */
bool gen_flags(struct model *md, struct diff_case *c);
void gen_memory(struct rng *r, uint8_t *p, size_t n);

/* --- coverage.c: of the encodings that are lifted, how many have run and agreed --- */
void coverage_note(const struct diff_case *c);
void coverage_print(struct model *md, bool list);

/* --- undefined.c: RFLAGS bits the manuals leave open after this instruction (given the state
 * before it) and whether its destination register is undefined altogether. --- */
uint64_t undefined_flags(const struct x86_insn *in, const struct x86_cpu *before);
bool undefined_result(const struct x86_insn *in, const struct x86_cpu *before);
/* Both for any shift count: IRFL_*. */
uint8_t undefined_static(const struct x86_insn *in, bool *ret_result);

#endif
