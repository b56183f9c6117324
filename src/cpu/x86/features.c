/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * features.c: CPU features by name, the host's own, and the named models.
 * Spec: SDM vol. 2A CPUID; AMD APM vol. 3 appendix E; x86-64 psABI, microarchitecture levels.
 */
#include <cpuid.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "base/own.h"
#include "cpu/x86/cpuid.h"

struct feature_name {
	const char *name; /* as in Linux' /proc/cpuinfo */
	uint8_t word, bit;
};

static const struct feature_name names[] = {
	{ "fpu", FEAT_1_EDX, 0 }, { "vme", FEAT_1_EDX, 1 }, { "de", FEAT_1_EDX, 2 },
	{ "pse", FEAT_1_EDX, 3 }, { "tsc", FEAT_1_EDX, 4 }, { "msr", FEAT_1_EDX, 5 },
	{ "pae", FEAT_1_EDX, 6 }, { "mce", FEAT_1_EDX, 7 }, { "cx8", FEAT_1_EDX, 8 },
	{ "apic", FEAT_1_EDX, 9 }, { "sep", FEAT_1_EDX, 11 }, { "mtrr", FEAT_1_EDX, 12 },
	{ "pge", FEAT_1_EDX, 13 }, { "mca", FEAT_1_EDX, 14 }, { "cmov", FEAT_1_EDX, 15 },
	{ "pat", FEAT_1_EDX, 16 }, { "pse36", FEAT_1_EDX, 17 }, { "clflush", FEAT_1_EDX, 19 },
	{ "mmx", FEAT_1_EDX, 23 }, { "fxsr", FEAT_1_EDX, 24 }, { "sse", FEAT_1_EDX, 25 },
	{ "sse2", FEAT_1_EDX, 26 }, { "ss", FEAT_1_EDX, 27 }, { "ht", FEAT_1_EDX, 28 },

	{ "pni", FEAT_1_ECX, 0 }, { "pclmulqdq", FEAT_1_ECX, 1 }, { "monitor", FEAT_1_ECX, 3 },
	{ "vmx", FEAT_1_ECX, 5 }, { "ssse3", FEAT_1_ECX, 9 }, { "fma", FEAT_1_ECX, 12 },
	{ "cx16", FEAT_1_ECX, 13 }, { "pdcm", FEAT_1_ECX, 15 }, { "pcid", FEAT_1_ECX, 17 },
	{ "sse4_1", FEAT_1_ECX, 19 }, { "sse4_2", FEAT_1_ECX, 20 }, { "x2apic", FEAT_1_ECX, 21 },
	{ "movbe", FEAT_1_ECX, 22 }, { "popcnt", FEAT_1_ECX, 23 },
	{ "tsc_deadline_timer", FEAT_1_ECX, 24 }, { "aes", FEAT_1_ECX, 25 },
	{ "xsave", FEAT_1_ECX, 26 }, { "avx", FEAT_1_ECX, 28 }, { "f16c", FEAT_1_ECX, 29 },
	{ "rdrand", FEAT_1_ECX, 30 }, { "hypervisor", FEAT_1_ECX, 31 },

	{ "fsgsbase", FEAT_7_0_EBX, 0 }, { "tsc_adjust", FEAT_7_0_EBX, 1 },
	{ "bmi1", FEAT_7_0_EBX, 3 }, { "hle", FEAT_7_0_EBX, 4 }, { "avx2", FEAT_7_0_EBX, 5 },
	{ "smep", FEAT_7_0_EBX, 7 }, { "bmi2", FEAT_7_0_EBX, 8 }, { "erms", FEAT_7_0_EBX, 9 },
	{ "invpcid", FEAT_7_0_EBX, 10 }, { "rtm", FEAT_7_0_EBX, 11 },
	{ "avx512f", FEAT_7_0_EBX, 16 }, { "avx512dq", FEAT_7_0_EBX, 17 },
	{ "rdseed", FEAT_7_0_EBX, 18 }, { "adx", FEAT_7_0_EBX, 19 }, { "smap", FEAT_7_0_EBX, 20 },
	{ "avx512ifma", FEAT_7_0_EBX, 21 }, { "clflushopt", FEAT_7_0_EBX, 23 },
	{ "clwb", FEAT_7_0_EBX, 24 }, { "avx512cd", FEAT_7_0_EBX, 28 },
	{ "sha_ni", FEAT_7_0_EBX, 29 }, { "avx512bw", FEAT_7_0_EBX, 30 },
	{ "avx512vl", FEAT_7_0_EBX, 31 },

	{ "avx512vbmi", FEAT_7_0_ECX, 1 }, { "umip", FEAT_7_0_ECX, 2 }, { "pku", FEAT_7_0_ECX, 3 },
	{ "waitpkg", FEAT_7_0_ECX, 5 }, { "avx512_vbmi2", FEAT_7_0_ECX, 6 },
	{ "gfni", FEAT_7_0_ECX, 8 }, { "vaes", FEAT_7_0_ECX, 9 },
	{ "vpclmulqdq", FEAT_7_0_ECX, 10 }, { "avx512_vnni", FEAT_7_0_ECX, 11 },
	{ "avx512_bitalg", FEAT_7_0_ECX, 12 }, { "avx512_vpopcntdq", FEAT_7_0_ECX, 14 },
	{ "la57", FEAT_7_0_ECX, 16 }, { "rdpid", FEAT_7_0_ECX, 22 },

	{ "fsrm", FEAT_7_0_EDX, 4 }, { "md_clear", FEAT_7_0_EDX, 10 },
	{ "serialize", FEAT_7_0_EDX, 14 }, { "spec_ctrl", FEAT_7_0_EDX, 26 },
	{ "intel_stibp", FEAT_7_0_EDX, 27 }, { "flush_l1d", FEAT_7_0_EDX, 28 },
	{ "arch_capabilities", FEAT_7_0_EDX, 29 }, { "ssbd_intel", FEAT_7_0_EDX, 31 },

	{ "avx_vnni", FEAT_7_1_EAX, 4 }, { "avx512_bf16", FEAT_7_1_EAX, 5 },
	{ "fzrm", FEAT_7_1_EAX, 10 }, { "fsrs", FEAT_7_1_EAX, 11 }, { "fsrc", FEAT_7_1_EAX, 12 },

	{ "syscall", FEAT_8000_0001_EDX, 11 }, { "nx", FEAT_8000_0001_EDX, 20 },
	{ "mmxext", FEAT_8000_0001_EDX, 22 }, { "fxsr_opt", FEAT_8000_0001_EDX, 25 },
	{ "pdpe1gb", FEAT_8000_0001_EDX, 26 }, { "rdtscp", FEAT_8000_0001_EDX, 27 },
	{ "lm", FEAT_8000_0001_EDX, 29 },

	{ "lahf_lm", FEAT_8000_0001_ECX, 0 }, { "cmp_legacy", FEAT_8000_0001_ECX, 1 },
	{ "svm", FEAT_8000_0001_ECX, 2 }, { "cr8_legacy", FEAT_8000_0001_ECX, 4 },
	{ "abm", FEAT_8000_0001_ECX, 5 }, { "sse4a", FEAT_8000_0001_ECX, 6 },
	{ "misalignsse", FEAT_8000_0001_ECX, 7 }, { "3dnowprefetch", FEAT_8000_0001_ECX, 8 },
	{ "topoext", FEAT_8000_0001_ECX, 22 },

	{ "nonstop_tsc", FEAT_8000_0007_EDX, 8 },

	{ "clzero", FEAT_8000_0008_EBX, 0 }, { "xsaveerptr", FEAT_8000_0008_EBX, 2 },
	{ "wbnoinvd", FEAT_8000_0008_EBX, 9 }, { "ibpb", FEAT_8000_0008_EBX, 12 },
	{ "ibrs", FEAT_8000_0008_EBX, 14 }, { "stibp", FEAT_8000_0008_EBX, 15 },
	{ "ssbd", FEAT_8000_0008_EBX, 24 }, { "virt_ssbd", FEAT_8000_0008_EBX, 25 },
	{ "btc_no", FEAT_8000_0008_EBX, 29 },

	{ "xsaveopt", FEAT_D_1_EAX, 0 }, { "xsavec", FEAT_D_1_EAX, 1 },
	{ "xgetbv1", FEAT_D_1_EAX, 2 }, { "xsaves", FEAT_D_1_EAX, 3 },

	{ "arat", FEAT_6_EAX, 2 },

	{ "kvmclock", FEAT_KVM_EAX, 0 }, { "kvm_nopiodelay", FEAT_KVM_EAX, 1 },
	{ "kvmclock2", FEAT_KVM_EAX, 3 }, { "kvm_asyncpf", FEAT_KVM_EAX, 4 },
	{ "kvm_steal_time", FEAT_KVM_EAX, 5 }, { "kvm_pv_eoi", FEAT_KVM_EAX, 6 },
	{ "kvm_pv_unhalt", FEAT_KVM_EAX, 7 }, { "kvm_pv_tlb_flush", FEAT_KVM_EAX, 9 },
	{ "kvm_pv_ipi", FEAT_KVM_EAX, 11 }, { "kvm_poll_control", FEAT_KVM_EAX, 12 },
	{ "kvm_pv_sched_yield", FEAT_KVM_EAX, 13 }, { "kvmclock_stable", FEAT_KVM_EAX, 24 },

	{ "lfence_rdtsc", FEAT_8000_0021_EAX, 2 }, { "null_sel_clr_base", FEAT_8000_0021_EAX, 6 },
	{ "autoibrs", FEAT_8000_0021_EAX, 8 }, { "srso_no", FEAT_8000_0021_EAX, 29 },
	{ "tsa_sq_no", FEAT_8000_0021_ECX, 1 }, { "tsa_l1_no", FEAT_8000_0021_ECX, 2 },
};

/* AMD repeats these bits of leaf 1 EDX in leaf 80000001 EDX (APM vol. 3, E.4.2). */
static const uint32_t AMD_REPEATED = 0x0183f3ff;

bool x86_feature_find(const char *name, enum x86_feature_word *w, unsigned *bit)
{
	for (size_t i = 0; i < array_len(names); i++) {
		if (strcmp(names[i].name, name) == 0) {
			*w = names[i].word;
			*bit = names[i].bit;
			return true;
		}
	}
	return false;
}

const char *x86_feature_name(enum x86_feature_word w, unsigned bit)
{
	for (size_t i = 0; i < array_len(names); i++)
		if (names[i].word == w && names[i].bit == bit)
			return names[i].name;
	return NULL;
}

/* SDM vol. 1, 14.3: AVX is there only if the OS saves its registers. */
static void drop_unsaved_vectors(struct x86_features *f)
{
	uint32_t xcr0 = 0, high;

	if (f->word[FEAT_1_ECX] & bit_OSXSAVE)
		__asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
	if ((xcr0 & 6) != 6) {
		f->word[FEAT_1_ECX] &= ~(bit_AVX | bit_FMA | bit_F16C | bit_XSAVE);
		f->word[FEAT_7_0_EBX] &= ~(uint32_t)bit_AVX2;
		f->word[FEAT_7_0_ECX] &= ~(uint32_t)(bit_VAES | bit_VPCLMULQDQ);
		f->word[FEAT_7_1_EAX] = 0;
	}
	if ((xcr0 & 0xe6) != 0xe6) {
		f->word[FEAT_7_0_EBX] &=
			~(1u << 16 | 1u << 17 | 1u << 21 | 1u << 28 | 1u << 30 | 1u << 31);
		f->word[FEAT_7_0_ECX] &= ~(1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14);
		f->word[FEAT_7_1_EAX] &= ~(1u << 5);
	}
}

/* Where each feature word stands; in the order of enum x86_feature_word. */
static const struct {
	uint32_t leaf, sub;
	unsigned reg; /* 0 eax … 3 edx */
} words[] = {
	[FEAT_1_EDX] = { 1, 0, 3 },
	[FEAT_1_ECX] = { 1, 0, 2 },
	[FEAT_7_0_EBX] = { 7, 0, 1 },
	[FEAT_7_0_ECX] = { 7, 0, 2 },
	[FEAT_7_0_EDX] = { 7, 0, 3 },
	[FEAT_7_1_EAX] = { 7, 1, 0 },
	[FEAT_8000_0001_EDX] = { 0x80000001, 0, 3 },
	[FEAT_8000_0001_ECX] = { 0x80000001, 0, 2 },
	[FEAT_8000_0007_EDX] = { 0x80000007, 0, 3 },
	[FEAT_8000_0008_EBX] = { 0x80000008, 0, 1 },
	[FEAT_D_1_EAX] = { 0xd, 1, 0 },
	[FEAT_6_EAX] = { 6, 0, 0 },
	[FEAT_KVM_EAX] = { 0x40000001, 0, 0 },
	[FEAT_8000_0021_EAX] = { 0x80000021, 0, 0 },
	[FEAT_8000_0021_ECX] = { 0x80000021, 0, 2 },
	[FEAT_7_1_EDX] = { 7, 1, 3 },
};
_Static_assert(sizeof(words) / sizeof(words[0]) == FEAT_WORDS, "each word has its place");

void x86_features_read(struct x86_features *out,
	void (*query)(void *opaque, uint32_t leaf, uint32_t sub, uint32_t regs[4]), void *opaque)
{
	uint32_t regs[4], max[2];

	memset(out, 0, sizeof(*out));
	query(opaque, 0, 0, regs);
	max[0] = regs[0];
	out->intel = regs[1] == 0x756e6547; /* "Genu" */
	query(opaque, 0x80000000, 0, regs);
	max[1] = regs[0];
	for (unsigned i = 0; i < FEAT_WORDS; i++) {
		const uint32_t leaf = words[i].leaf;

		if (leaf < 0x40000000 ? leaf > max[0] : leaf >= 0x80000000 && leaf > max[1])
			continue;
		if (leaf == 7 && words[i].sub) { /* subleaves of 7 are counted in its EAX */
			query(opaque, 7, 0, regs);
			if (words[i].sub > regs[0])
				continue;
		}
		query(opaque, leaf, words[i].sub, regs);
		out->word[i] = regs[words[i].reg];
	}
	out->word[FEAT_D_1_EAX] &= 0xf;
}

static void query_host(void *opaque, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	__cpuid_count(leaf, sub, r[0], r[1], r[2], r[3]);
}

void x86_features_host(struct x86_features *out)
{
	uint32_t *w = out->word;

	x86_features_read(out, query_host, NULL);
	w[FEAT_KVM_EAX] = 0; /* what a hypervisor below offers this host is not ours to pass on */
	drop_unsaved_vectors(out);
	w[FEAT_1_ECX] &= ~(uint32_t)bit_OSXSAVE; /* these two mirror CR4, not the CPU */
	w[FEAT_7_0_ECX] &= ~(uint32_t)bit_OSPKE;
}

/* What a level of the psABI names, beyond the one before. */
static const char *const level_1[] = { "fpu", "pse", "tsc", "msr", "pae", "cx8", "apic", "pge",
	"cmov", "pat", "clflush", "mmx", "fxsr", "sse", "sse2", "syscall", "nx", "lm", NULL };
static const char *const level_2[] = { "pni", "ssse3", "sse4_1", "sse4_2", "popcnt", "cx16",
	"lahf_lm", NULL };
static const char *const level_3[] = { "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe",
	"xsave", NULL };
/* What named models take where the engine has it: features for kernels, which no program's build
 * depends on, and the arithmetic every CPU since 2010 has. */
static const char *const extras[] = { "vme", "de", "mce", "sep", "mtrr", "mca", "pse36", "ht",
	"pcid", "x2apic", "tsc_deadline_timer", "hypervisor", "fsgsbase", "tsc_adjust", "smep",
	"erms", "invpcid", "smap", "umip", "fsrm", "spec_ctrl", "arch_capabilities", "pdpe1gb",
	"rdtscp", "cmp_legacy", "cr8_legacy", "3dnowprefetch", "topoext", "nonstop_tsc", "ibpb",
	"ibrs", "btc_no", "xsaveopt", "xsavec", "xgetbv1", "xsaves", "arat", "kvmclock",
	"kvm_nopiodelay", "kvmclock2", "kvm_poll_control", "kvmclock_stable", "kvm_pv_unhalt",
	"lfence_rdtsc", "null_sel_clr_base", "autoibrs", "srso_no", "tsa_sq_no", "tsa_l1_no",
	"clflushopt", "rdrand", "rdseed", "stibp", "ssbd", "virt_ssbd", "kvm_asyncpf",
	"kvm_steal_time", "kvm_pv_eoi", "kvm_pv_tlb_flush", "kvm_pv_ipi", "kvm_pv_sched_yield",
	"rdpid", NULL };

/* Takes features by name; those `can` lacks are appended to *missing, or left out if that is NULL.
 */
static void take(const char *const *list, const struct x86_features *can, struct x86_features *out,
	GString *missing)
{
	enum x86_feature_word w;
	unsigned bit;

	for (; *list; list++) {
		if (!x86_feature_find(*list, &w, &bit))
			continue;
		if (can->word[w] & 1u << bit)
			out->word[w] |= 1u << bit;
		else if (missing)
			g_string_append_printf(missing, " %s", *list);
	}
}

static int base_model(const char *name, const struct x86_features *can, struct x86_features *out,
	GString *missing, GError **error)
{
	int level;

	if (!strcmp(name, "host") || !strcmp(name, "max")) {
		*out = *can;
		return 0;
	}
	if (!strcmp(name, "x86-64-v2"))
		level = 2;
	else if (!strcmp(name, "x86-64-v3"))
		level = 3;
	else
		return fail(error, LODGE_ERROR_USAGE,
			"no CPU model '%s': try max, host, x86-64-v2 or x86-64-v3", name);
	*out = (struct x86_features){ .intel = can->intel };
	take(level_1, can, out, missing);
	take(level_2, can, out, missing);
	if (level >= 3)
		take(level_3, can, out, missing);
	take(extras, can, out, NULL);
	return 0;
}

static int no_feature(const char *name, GError **error)
{
	g_autofree char *hint = NULL;
	struct nearest near;

	nearest_init(&near, name);
	for (size_t i = 0; i < array_len(names); i++)
		nearest_offer(&near, names[i].name);
	hint = nearest_hint(&near);
	return fail(error, LODGE_ERROR_USAGE, "no CPU feature '%s'%s", name, hint);
}

/* One "+name" or "-name". */
static int apply_suffix(const char *s, const struct x86_features *can, struct x86_features *out,
	GString *missing, GError **error)
{
	enum x86_feature_word w;
	unsigned bit;

	if (*s != '+' && *s != '-')
		return fail(
			error, LODGE_ERROR_USAGE, "CPU feature '%s': write +%s or -%s", s, s, s);
	if (!x86_feature_find(s + 1, &w, &bit))
		return no_feature(s + 1, error);
	if (*s == '-')
		out->word[w] &= ~(1u << bit);
	else if (can->word[w] & 1u << bit)
		out->word[w] |= 1u << bit;
	else
		g_string_append_printf(missing, " %s", s + 1);
	return 0;
}

/* A feature without the one it stands on would only confuse guests. */
static void drop_orphans(struct x86_features *f)
{
	uint32_t *w = f->word;

	if (!(w[FEAT_1_ECX] & bit_XSAVE)) {
		w[FEAT_1_ECX] &= ~(uint32_t)bit_AVX;
		w[FEAT_D_1_EAX] = 0;
		w[FEAT_7_0_ECX] &= ~(1u << 3);
	}
	if (!(w[FEAT_1_ECX] & bit_AVX)) {
		w[FEAT_1_ECX] &= ~(bit_FMA | bit_F16C);
		w[FEAT_7_0_EBX] &= ~(
			1u << 5 | 1u << 16 | 1u << 17 | 1u << 21 | 1u << 28 | 1u << 30 | 1u << 31);
		w[FEAT_7_0_ECX] &=
			~(1u << 1 | 1u << 6 | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 14);
		w[FEAT_7_1_EAX] &= ~(1u << 4 | 1u << 5);
	}
	w[FEAT_8000_0001_EDX] &= ~AMD_REPEATED;
	if (!f->intel)
		w[FEAT_8000_0001_EDX] |= w[FEAT_1_EDX] & AMD_REPEATED;
}

int x86_model_features(const char *model, const struct x86_features *can, struct x86_features *out,
	GError **error)
{
	g_auto(GStrv) part = g_strsplit(model, ",", -1);
	g_autoptr(GString) missing = g_string_new(NULL);
	struct x86_features f;

	if (!part[0])
		return fail(error, LODGE_ERROR_USAGE, "empty CPU model");
	if (base_model(part[0], can, &f, missing, error) < 0)
		return -1;
	for (char **s = part + 1; *s; s++)
		if (apply_suffix(*s, can, &f, missing, error) < 0)
			return -1;
	if (missing->len)
		return fail(error, LODGE_ERROR_HOST,
			"CPU model '%s' needs what is not to be had here:%s", model, missing->str);
	drop_orphans(&f);
	*out = f;
	return 0;
}
