/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.h: what the environment variable LODGE_JIT switches. */
#ifndef ACCEL_JIT_OPTIONS_H
#define ACCEL_JIT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct jit_options {
	bool fold, liveness; /* IR passes */
	bool chain;          /* blocks are linked */
	bool indirect;       /* jump cache */
	bool follow;         /* blocks go on behind jumps and calls within the page */
	bool share;          /* accesses near each other share a check */
	bool recover;        /* flags are recomputed rather than saved before ops that can fault */
	bool interp;         /* blocks are interpreted, not run */
	bool perf, trace, exec, lockstep, verify;
	size_t cache_size; /* bytes of host code */
	bool cache_given;  /* here, which counts more than --jit-cache */
};
#define JIT_CACHE_MIN (4u << 20)
#define JIT_CACHE_MAX (1u << 30) /* offsets in it are signed 32-bit displacements */

/* A comma list; unknown words are told on stderr. text may be NULL. */
void jit_options_parse(struct jit_options *o, const char *text);

#endif
