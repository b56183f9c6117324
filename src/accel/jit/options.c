/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.c: LODGE_JIT, a comma list. `no` + name of an optimization switches it off, for
 * differential tests; the rest are debugging aids.
 */
#include "accel/jit/options.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"

static const struct {
	const char *name;
	size_t offset;
	bool value;
} words[] = {
	{ "nofold", offsetof(struct jit_options, fold), false },
	{ "noliveness", offsetof(struct jit_options, liveness), false },
	{ "nochain", offsetof(struct jit_options, chain), false },
	{ "noindirect", offsetof(struct jit_options, indirect), false },
	{ "nofollow", offsetof(struct jit_options, follow), false },
	{ "noshare", offsetof(struct jit_options, share), false },
	{ "norecover", offsetof(struct jit_options, recover), false },
	{ "perf", offsetof(struct jit_options, perf), true },   /* /tmp/perf-PID.map */
	{ "trace", offsetof(struct jit_options, trace), true }, /* every block's IR and host code */
	{ "exec", offsetof(struct jit_options, exec), true }, /* every block run, with registers */
	{ "interp", offsetof(struct jit_options, interp), true },     /* by the IR interpreter */
	{ "lockstep", offsetof(struct jit_options, lockstep), true }, /* against the interpreter */
	{ "verify", offsetof(struct jit_options, verify), true },     /* ir_verify on every block */
};

void jit_options_parse(struct jit_options *o, const char *text)
{
	g_auto(GStrv) list = g_strsplit(text ? text : "", ",", -1);

	*o = (struct jit_options){ .fold = true,
		.liveness = true,
		.chain = true,
		.indirect = true,
		.follow = true,
		.share = true,
		.recover = true,
		.cache_size = 256u << 20 };
	for (unsigned k = 0; list[k]; k++) {
		unsigned i;

		for (i = 0; i < array_len(words) && strcmp(words[i].name, list[k]); i++)
			;
		if (i < array_len(words))
			*(bool *)((char *)o + words[i].offset) = words[i].value;
		else if (g_str_has_prefix(list[k], "cache=")) {
			o->cache_size = (size_t)CLAMP(atoi(list[k] + 6), 4, 1024) << 20;
			o->cache_given = true;
		} else if (*list[k])
			log_warn("LODGE_JIT: unknown word '%s'", list[k]);
	}
	if (o->lockstep) /* dead flags are compared too */
		o->liveness = false;
	if (o->exec || o->lockstep) /* every block must pass through the loop */
		o->chain = o->indirect = false;
}
