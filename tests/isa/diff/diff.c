/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff.c: the differential tester. Same seed, same cases.
 *   diff [--minutes N | --cases N] [--seed S] [--insns N] [--kinds int,vec,fpu] [--keep-going]
 */
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/jit/ir/interp.h"
#include "cpu/x86/cpuid.h"
#include "diff.h"
#include "disasm.h"
#include "guest.h"

enum { MEMORY_LIFE = 256, MAX_REPORTS = 25, GUEST_HANG_MS = 20000 };

unsigned diff_decode_mode;
unsigned diff_bits = 64;
bool diff_segmented;

struct tester {
	struct diff_memory mem;
	struct x86_lift_config cfg;
	struct model *model;
	struct x86_lift_config host_cfg;
	struct model
		*host; /* knows all that the host has: for what it would run and we do not offer */
	struct rng rng;
	struct guest *guest; /* NULL: interpreter only */
	struct diff_result native, ours;
	const char *engine; /* whose result `ours` is */
	uint64_t limit;
	gint64 end;
	unsigned kinds, insns;
	bool list_missing;
	uint64_t cases, faults, uds, hangs, bad;
	GHashTable *reported;
};

/* Instructions that only the host has: they run there and are #UD here. */
static bool host_only(const struct x86_insn *in, enum x86_decoded status)
{
	if (status == X86_UNDEFINED)
		return true;
	/* SVM, whose privilege check the host makes before it looks whether SVM is on */
	if (in->map == X86_MAP_0F && in->opcode == 0x01 && !in->is_mem &&
		((in->modrm & 0xf8) == 0xd8 || in->modrm >= 0xfa)) /* and MONITORX, MWAITX, RDPRU */
		return true;
	/* AVX-512's mask registers */
	if (in->map == X86_MAP_0F && in->vex &&
		((in->opcode >= 0x41 && in->opcode <= 0x4b) ||
			(in->opcode >= 0x90 && in->opcode <= 0x93) || (in->opcode & 0xfe) == 0x98))
		return true;
	if (in->map == X86_MAP_0F3A && in->vex && in->opcode >= 0x30 && in->opcode <= 0x33)
		return true;
	/* SSE4A */
	return in->map == X86_MAP_0F && !in->vex &&
	       ((in->opcode & 0xfe) == 0x78 || (in->opcode == 0x2b && in->rep));
}

/* Encodings the manuals reserve and processors give meanings of their own. */
static bool reserved(const struct x86_insn *in, bool ac)
{
	/* VMASKMOV and VGATHER check segment limits, and wrap at 64 KiB, by element; here by
	 * address. Nobody has AVX and segments with limits. */
	if ((in->asize == 2 || diff_segmented) && in->map == X86_MAP_0F38 && in->vex &&
		((in->opcode & 0xfc) == 0x2c || (in->opcode & 0xfd) == 0x8c ||
			(in->opcode & 0xfc) == 0x90))
		return true;
	/* VPERMQ, VPERMPD with W0: undefined by the manual, AMD's processors do not look at W */
	if (in->map == X86_MAP_0F3A && in->vex && in->opcode < 2 && !(in->rex & X86_REX_W))
		return true;
	/* ENTER's inner pointers are not checked for alignment: nobody uses both */
	if (ac && in->map == X86_MAP_1BYTE && in->opcode == 0xc8)
		return true;
	/* AMD: VERR and VERW touch their operand before they object to LOCK */
	if (in->lock && in->map == X86_MAP_0F && in->opcode == 0x00)
		return true;
	/* AMD: REP takes the place of the E or NE in LOOPE, LOOPNE */
	return in->map == X86_MAP_1BYTE && (in->opcode == 0xe0 || in->opcode == 0xe1) && in->rep;
}

/* --- comparing --- */

/* RFLAGS bits that may differ, and whether general registers may. */
static uint64_t undefined(const struct diff_case *c, const struct diff_result *n, bool *ret_result)
{
	struct x86_insn in;

	*ret_result = false;
	if (c->insns > 1) /* the whole sequence, or did it leave early? */
		return ir_flag_bits(
			n->vector == VECTOR_NONE && !c->branches ? c->open : c->open_ever);
	if (x86_decode(&in, c->code, c->n, diff_decode_mode) != X86_DECODED)
		return 0;
	*ret_result = undefined_result(&in, &c->start);
	return undefined_flags(&in, &c->start);
}

/* Is one of the instructions, of the one-byte map, `opcode` under mask? */
static bool contains(const struct diff_case *c, uint8_t opcode, uint8_t mask)
{
	unsigned at = 0;

	for (unsigned i = 0; i < c->insns; at += c->len[i++]) {
		struct x86_insn in;

		if (x86_decode(&in, c->code + at, c->len[i], diff_decode_mode) == X86_DECODED &&
			in.map == X86_MAP_1BYTE && (in.opcode & mask) == opcode)
			return true;
	}
	return false;
}

/* CMPS and MOVS use two places, images many; which of two faults comes first differs even between
 * prefixes. */
static bool open_address(const struct diff_case *c)
{
	return contains(c, 0xa4, 0xfc);
}

/* Who faults differs between processors. SHA wants its memory operand aligned by the manual, AMD's do not
 * look; MASKMOVQ and MASKMOVDQU may fault for bytes that are not selected. */
static bool open_fault(const struct x86_insn *in)
{
	if (in->map == X86_MAP_0F)
		return in->opcode == 0xf7;
	return in->is_mem && !in->vex &&
	       ((in->map == X86_MAP_0F38 && in->opcode >= 0xc8 && in->opcode <= 0xcd) ||
		       (in->map == X86_MAP_0F3A && in->opcode == 0xcc));
}

static bool has_open_fault(const struct diff_case *c)
{
	unsigned at = 0;

	for (unsigned i = 0; i < c->insns; at += c->len[i++]) {
		struct x86_insn in;

		if (x86_decode(&in, c->code + at, c->len[i], diff_decode_mode) == X86_DECODED &&
			open_fault(&in))
			return true;
	}
	return false;
}

/* A store whose x87 exception is not masked stores nothing: the host does not look where to, we do. */
static bool unstored(
	const struct diff_case *c, const struct diff_result *n, const struct diff_result *m)
{
	return c->fpu && n->cpu.fpu.fsw & 0x80 && n->vector != m->vector && m->vector >= X86_SS &&
	       m->vector <= X86_PF;
}

static const char *compare_fault(
	const struct diff_case *c, const struct diff_result *n, const struct diff_result *m)
{
	/* the interpreter's memory does not know which accesses are to the stack */
	int nv = n->vector == X86_SS ? X86_GP : n->vector,
	    mv = m->vector == X86_SS ? X86_GP : m->vector;

	/* an undefined opcode whose operand bytes lie in the missing page: either is right */
	if (nv == X86_UD && mv == X86_PF && m->fault_address == CODE_BASE + CODE_SIZE)
		return NULL;
	/* a pending x87 exception before a fault of the operand: we look at the address first */
	if (c->fpu && nv == X86_MF && mv >= X86_GP && mv <= X86_PF)
		return NULL;
	/* beyond 4 GiB: a segment limit on the host; we take the segment for endless */
	if (nv == X86_GP && mv == X86_PF && diff_bits != 64 && !diff_segmented &&
		(uint32_t)(m->fault_address + 512) < 1024)
		return NULL;
	/* whether the offset in the segment must be canonical, too, differs between processors */
	if (nv != mv)
		return (open_address(c) || c->gs || c->image) && nv >= X86_GP && mv >= X86_GP ? NULL
										  : "exception";
	if (nv == X86_PF && n->fault_address != m->fault_address && !open_address(c) && !c->image)
		return "fault address";
	return NULL;
}

/* MXCSR_MASK, in what FXSAVE and XSAVE store, tells of MXCSR.MM. */
static bool memory_differs(const struct diff_case *c, const uint8_t *n, const uint8_t *m)
{
	if (!memcmp(n, m, DATA_SIZE))
		return false;
	for (unsigned i = 0; i < DATA_SIZE; i++)
		if (n[i] != m[i] && !(c->image && i % 16 == 14 && n[i] == 2 && !m[i]))
			return true;
	return false;
}

#define VSYSCALL_PAGE 0xffffffffff600ull

/* SIMD exceptions come out of the interpreter by what a masked run says: interp_native.c. */
static bool mxcsr_differs(const struct diff_result *n, const struct diff_result *m)
{
	uint32_t open = n->vector == X86_XM && !m->cpu.cr3 ? 0x3f : 0;

	return (n->cpu.mxcsr ^ m->cpu.mxcsr) & ~open;
}

static const char *compare(
	const struct diff_case *c, const struct diff_result *n, const struct diff_result *m)
{
	bool open_result;
	uint64_t open = undefined(c, n, &open_result);
	const char *what;

	/* A branch to a non-canonical address faults at the branch on the host, at its target here:
	 * known difference, see docs/jit.md. */
	if (n->vector == X86_GP && (int64_t)(m->cpu.rip << 16) >> 16 != (int64_t)m->cpu.rip)
		return NULL;
	/* The host's kernel answers a jump to its vsyscall page before it says that it faulted: Linux,
	 * arch/x86/entry/vsyscall. No guest of ours has that page. */
	if (n->vector == X86_PF && n->cpu.rip >> 12 == VSYSCALL_PAGE && n->cpu.rip == m->cpu.rip)
		return NULL;
	if (unstored(c, n, m) ||
		((n->vector != VECTOR_NONE || m->vector != VECTOR_NONE) && has_open_fault(c)))
		return NULL;
	what = compare_fault(c, n, m);
	if (what)
		return what;
	/* AMD's POPA has changed some registers when it faults */
	if (n->vector != VECTOR_NONE && diff_bits != 64 && contains(c, 0x61, 0xff))
		return NULL;
	if (n->vector != m->vector && (n->vector == X86_MF || n->vector == X86_UD))
		return NULL;
	if (open_result)
		return NULL;
	if (memcmp(n->cpu.gpr, m->cpu.gpr, sizeof(n->cpu.gpr)))
		return "general registers";
	if (n->cpu.rip != m->cpu.rip)
		return "rip";
	if ((n->cpu.rflags ^ m->cpu.rflags) & X86_FL_ARITH & ~open)
		return "flags";
	if ((n->cpu.rflags ^ m->cpu.rflags) & X86_FL_DF)
		return "direction flag";
	if (c->vec && memcmp(n->cpu.ymm, m->cpu.ymm, sizeof(n->cpu.ymm)))
		return "vector registers";
	if (c->vec && mxcsr_differs(n, m))
		return "mxcsr";
	if (c->fpu && (n->cpu.fpu.fcw != m->cpu.fpu.fcw || n->cpu.fpu.fsw != m->cpu.fpu.fsw ||
			      n->cpu.fpu.ftw != m->cpu.fpu.ftw))
		return "x87 control";
	for (unsigned i = 0; c->fpu && i < 8; i++)
		if (memcmp(n->cpu.fpu.st[i], m->cpu.fpu.st[i], 10))
			return "x87 registers";
	if (n->memory_changed != m->memory_changed ||
		(n->memory_changed && memory_differs(c, n->data, m->data)))
		return "memory";
	return NULL;
}

static const char *run_guest(struct tester *t, const struct diff_case *c)
{
	bool ok;

	native_watchdog(GUEST_HANG_MS);
	ok = guest_run(t->guest, c, &t->ours);
	native_watchdog(0);
	t->engine = "translator";
	if (!ok)
		return "end";
	if (t->native.vector == X86_PF && t->ours.vector == X86_PF && !open_address(c) &&
		!has_open_fault(c) &&
		(t->native.error ^ t->ours.error) & (t->native.fault_address >> 30 ? ~1u : ~0u))
		return "error code"; /* what else is present up there is the host's own affair */
	return compare(c, &t->native, &t->ours);
}

static const char *run_case(struct tester *t, const struct diff_case *c)
{
	const char *what = NULL;

	if (!native_run(&t->mem, c, &t->native)) {
		t->hangs++;
		return NULL;
	}
	if (t->native.cpu.mxcsr >> 16)
		return NULL; /* MXCSR.MM, which this host has and guests are not offered */
	/* unmasked over- and underflow is what the interpreter cannot know: interp_native.c */
	if ((c->start.mxcsr & MXCSR_OM_UM) == MXCSR_OM_UM) {
		t->engine = "interpreter";
		if (!model_run(t->model, c, c->insns > 1, &t->ours))
			return "lifting";
		what = compare(c, &t->native, &t->ours);
	}
	return what || !t->guest ? what : run_guest(t, c);
}

/* --- reporting --- */

static void print_code(const struct diff_case *c)
{
	unsigned at = 0;

	for (unsigned i = 0; i < c->insns; at += c->len[i++])
		disasm_print(c->code + at, c->len[i], diff_code_pc() + c->offset + at, diff_bits);
}

static void print_difference(
	const struct diff_case *c, const struct diff_result *n, const struct diff_result *m)
{
	static const char *const name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",
		"rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

	printf("  vector %d / %d, address %" PRIx64 " / %" PRIx64 ", rip %" PRIx64 " / %" PRIx64
	       ", flags %" PRIx64 ": %" PRIx64 " / %" PRIx64 "\n",
		n->vector, m->vector, n->fault_address, m->fault_address, n->cpu.rip, m->cpu.rip,
		c->start.rflags, n->cpu.rflags & X86_FL_ARITH, m->cpu.rflags & X86_FL_ARITH);
	for (unsigned i = 0; i < 16; i++)
		if (n->cpu.gpr[i] != m->cpu.gpr[i] || c->start.gpr[i])
			printf("  %-4s %16" PRIx64 ": %16" PRIx64 " / %16" PRIx64 "%s\n", name[i],
				c->start.gpr[i], n->cpu.gpr[i], m->cpu.gpr[i],
				n->cpu.gpr[i] != m->cpu.gpr[i] ? "  <--" : "");
	for (unsigned i = 0; c->vec && i < 16; i++)
		if (memcmp(n->cpu.ymm[i], m->cpu.ymm[i], 32))
			printf("  ymm%u %016" PRIx64 "%016" PRIx64 "%016" PRIx64 "%016" PRIx64
			       " / %016" PRIx64 "%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "\n",
				i, n->cpu.ymm[i][3], n->cpu.ymm[i][2], n->cpu.ymm[i][1],
				n->cpu.ymm[i][0], m->cpu.ymm[i][3], m->cpu.ymm[i][2],
				m->cpu.ymm[i][1], m->cpu.ymm[i][0]);
	if (c->vec)
		printf("  mxcsr %x: %x / %x\n", c->start.mxcsr, n->cpu.mxcsr, m->cpu.mxcsr);
	if (c->fpu)
		printf("  fcw %x fsw %x ftw %x: %x %x %x / %x %x %x\n", c->start.fpu.fcw,
			c->start.fpu.fsw, c->start.fpu.ftw, n->cpu.fpu.fcw, n->cpu.fpu.fsw,
			n->cpu.fpu.ftw, m->cpu.fpu.fcw, m->cpu.fpu.fsw, m->cpu.fpu.ftw);
	for (unsigned i = 0; (n->memory_changed || m->memory_changed) && i < DATA_SIZE; i++) {
		uint8_t a = n->memory_changed ? n->data[i] : 0,
			b = m->memory_changed ? m->data[i] : 0;

		if (n->memory_changed && m->memory_changed && a != b)
			printf("  [%x] %02x / %02x\n", DATA_BASE + i, a, b);
	}
}

/* Without an instruction, does it still fail? Then that one did not matter. */
static void drop_instructions(struct tester *t, struct diff_case *c)
{
	for (unsigned i = 0; c->insns > 1 && i + (c->loop ? LOOP_INSNS : 0) < c->insns;) {
		struct diff_case less = *c;
		unsigned at = 0;

		for (unsigned k = 0; k < i; k++)
			at += c->len[k];
		memmove(less.code + at, c->code + at + c->len[i], c->n - at - c->len[i]);
		memmove(less.len + i, c->len + i + 1, c->insns - i - 1);
		less.n -= c->len[i];
		less.insns--;
		if (less.loop)
			gen_close_loop(&less);
		if (gen_flags(t->model, &less) && run_case(t, &less))
			*c = less;
		else
			i++;
	}
}

static void simplify_registers(struct tester *t, struct diff_case *c)
{
	for (unsigned i = 0; i < 17; i++) {
		struct diff_case less = *c;

		if (i == R15 && c->loop)
			continue;
		if (i < 16)
			less.start.gpr[i] = 0;
		else
			less.start.rflags &= ~(uint64_t)(X86_FL_ARITH | X86_FL_DF);
		if (run_case(t, &less))
			*c = less;
	}
}

static void report(struct tester *t, struct diff_case *c, const char *first)
{
	const char *what;
	g_autofree char *key = NULL, *ir = NULL;
	struct x86_insn in;

	drop_instructions(t, c);
	simplify_registers(t, c);
	what = run_case(t, c);
	x86_decode(&in, c->code, c->len[0], diff_decode_mode);
	key = g_strdup_printf("%s.%u.%u.%x.%x.%s", t->engine, in.map, in.vex, in.opcode,
		in.has_modrm ? in.reg & 7 : 0, what ? what : "?");
	if (!g_hash_table_add(t->reported, g_steal_pointer(&key)) ||
		g_hash_table_size(t->reported) > MAX_REPORTS)
		return;
	printf("case %" PRIu64 ": %s %s (host / %s)\n", t->cases, what ? what : first,
		what ? "differ" : "differed once", t->engine);
	print_code(c);
	print_difference(c, &t->native, &t->ours);
	ir = model_ir(t->model, c, c->insns > 1);
	printf("%s\n", ir);
	fflush(stdout);
}

static bool skip_natively(struct tester *t, const struct diff_case *c)
{
	unsigned at = 0;

	for (unsigned i = 0; i < c->insns; at += c->len[i++]) {
		struct x86_insn in;
		struct model_uses uses;
		enum x86_decoded status =
			x86_decode(&in, c->code + at, c->len[i], diff_decode_mode);

		if (reserved(&in, c->start.rflags & X86_FL_AC))
			return true;
		if (model_classify(t->model, c->code + at, c->len[i], &uses) == MODEL_UD &&
			(host_only(&in, status) || model_classify(t->host, c->code + at, c->len[i],
							   &uses) != MODEL_UD))
			return true;
	}
	return false;
}

static void one(struct tester *t)
{
	struct diff_case c;
	const char *what;

	if (t->cases++ % MEMORY_LIFE == 0) {
		gen_memory(&t->rng, t->mem.golden, DATA_SIZE);
		memcpy(t->mem.data, t->mem.golden, DATA_SIZE);
		memcpy(t->mem.model, t->mem.golden, DATA_SIZE);
		if (t->guest)
			guest_new_memory(t->guest);
	}
	gen_case(&t->rng, t->model, &c, 1 + (unsigned)rng_below(&t->rng, t->insns), t->kinds);
	if (skip_natively(t, &c))
		return;
	what = run_case(t, &c);
	/* with a 16-bit stack an interrupt of the host leaves junk in the upper half of ESP: only
	 * once */
	if (what && diff_bits == 16)
		what = run_case(t, &c);
	if (what) {
		t->bad++;
		report(t, &c, what);
	}
	if (!what && (c.insns == 1 || (t->native.vector == VECTOR_NONE && !c.branches)))
		coverage_note(&c);
	t->faults += t->native.vector != VECTOR_NONE;
	t->uds += t->native.vector == X86_UD;
}

static unsigned parse_kinds(const char *s)
{
	return (strstr(s, "int") ? GEN_INT : 0) | (strstr(s, "vec") ? GEN_VEC : 0) |
	       (strstr(s, "fpu") ? GEN_FPU : 0);
}

static void stop_guest(void *opaque)
{
	guest_stop(((struct tester *)opaque)->guest);
}

static void run_all(void *opaque)
{
	struct tester *t = opaque;

	native_init_thread(&t->mem, t->guest ? stop_guest : NULL, t);
	t->end += g_get_monotonic_time();
	while (t->limit ? t->cases < t->limit : g_get_monotonic_time() < t->end)
		one(t);
	printf("%" PRIu64 " cases, %" PRIu64 " ended in a fault (%" PRIu64 " #UD), %" PRIu64
	       " hung, %" PRIu64 " differ\n",
		t->cases, t->faults, t->uds, t->hangs, t->bad);
	coverage_print(t->model, t->list_missing);
}

int main(int argc, char **argv)
{
	double minutes = 0.2;
	int64_t cases = 0, seed = 1;
	int insns = 1;
	gboolean jit = FALSE, segmented = FALSE, missing = FALSE;
	g_autofree char *kinds = NULL;
	const GOptionEntry options[] = { { "minutes", 'm', 0, G_OPTION_ARG_DOUBLE, &minutes,
						 "how long", "N" },
		{ "cases", 'c', 0, G_OPTION_ARG_INT64, &cases, "how many, instead", "N" },
		{ "seed", 's', 0, G_OPTION_ARG_INT64, &seed, "of the random numbers", "S" },
		{ "insns", 'n', 0, G_OPTION_ARG_INT, &insns,
			"at most so many instructions a case (1..8)", "N" },
		{ "kinds", 'k', 0, G_OPTION_ARG_STRING, &kinds, "of int,vec,fpu", "LIST" },
		{ "bits", 'b', 0, G_OPTION_ARG_INT, &diff_bits, "64-, 32- or 16-bit code",
			"64|32|16" },
		{ "segmented", 0, 0, G_OPTION_ARG_NONE, &segmented,
			"segments with base and limit (32 bits)", NULL },
		{ "jit", 'j', 0, G_OPTION_ARG_NONE, &jit,
			"through the translator too, not only the interpreter", NULL },
		{ "missing", 0, 0, G_OPTION_ARG_NONE, &missing,
			"list the encodings that were never run", NULL },
		{ NULL } };
	g_autoptr(GOptionContext) o = g_option_context_new("- host CPU against the translator");
	g_autoptr(GError) error = NULL;
	struct tester *t = g_new0(struct tester, 1);

	g_option_context_add_main_entries(o, options, NULL);
	if (!g_option_context_parse(o, &argc, &argv, &error)) {
		fprintf(stderr, "%s\n", error->message);
		return 2;
	}
	t->insns = (unsigned)CLAMP(insns, 1, MAX_INSNS);
	t->kinds = kinds ? parse_kinds(kinds) : GEN_INT;
	t->rng.s = (uint64_t)seed;
	t->list_missing = missing;
	t->limit = (uint64_t)cases;
	t->end = (gint64)(minutes * 60e6);
	t->reported = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	diff_segmented = diff_bits == 16 || (segmented && diff_bits == 32);
	if (!t->kinds || (diff_bits != 64 && diff_bits != 32 && diff_bits != 16) ||
		!native_init(&t->mem))
		return 2;
	if (jit && !(t->guest = guest_new(&t->mem, &error))) {
		fprintf(stderr, "%s\n", error->message);
		return 2;
	}
	x86_features_host(&t->host_cfg.features);
	t->host_cfg.amd = !t->host_cfg.features.intel;
	t->cfg = t->guest ? *guest_config(t->guest) : t->host_cfg;
	t->cfg.amd = t->host_cfg.amd;
	diff_decode_mode = (diff_bits == 64          ? X86_MODE_64
				   : diff_bits == 32 ? X86_MODE_32
						     : X86_MODE_16) |
			   (t->cfg.amd ? X86_DECODE_AMD : 0);
	t->model = model_new(&t->mem, &t->cfg);
	t->host = model_new(&t->mem, &t->host_cfg);
	native_block_watchdog();
	if (t->guest)
		guest_main(t->guest, run_all, t);
	else
		run_all(t);
	return t->bad != 0;
}
