/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpuid.c: the CPUID leaves of a CPU with given features.
 * Spec: SDM vol. 2A CPUID; AMD APM vol. 3 appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst.
 *
 * The family is AMD's (Zen 4) unless the host's vendor must shine through: no AMD CPU has Meltdown,
 * so guests do without page-table isolation, which would double the price of every system call.
 */
#include "cpu/x86/cpuid.h"

#include <cpuid.h>
#include <string.h>

#include "base/own.h"

enum { LEAVES_MAX = 64 };
enum {
	SIGNATURE_AMD = 0x00a10f11,   /* family 25, model 17, stepping 1 */
	SIGNATURE_INTEL = 0x000606a6, /* family 6, model 106 */
};
enum {
	XCR0_X87 = 1 << 0,
	XCR0_SSE = 1 << 1,
	XCR0_AVX = 1 << 2,
	XCR0_AVX512 = 7 << 5,
	XCR0_PKRU = 1 << 9
};

struct build {
	struct x86_cpuid_leaf *leaf;
	unsigned n;
	const struct x86_features *f;
	unsigned vcpus, apic_id, phys_bits;
	uint64_t tsc_khz;
};

static void add(
	struct build *b, uint32_t leaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	b->leaf[b->n++] = (struct x86_cpuid_leaf){ leaf, 0, false, eax, ebx, ecx, edx };
}

static void add_sub(struct build *b, uint32_t leaf, uint32_t sub, uint32_t eax, uint32_t ebx,
	uint32_t ecx, uint32_t edx)
{
	b->leaf[b->n++] = (struct x86_cpuid_leaf){ leaf, sub, true, eax, ebx, ecx, edx };
}

/* Bits of an APIC id that number the cores of the package. */
static unsigned core_bits(unsigned vcpus)
{
	unsigned bits = 0;

	while (1u << bits < vcpus)
		bits++;
	return bits;
}

uint64_t x86_features_xcr0(const struct x86_features *f)
{
	uint64_t x = XCR0_X87 | XCR0_SSE;

	if (!(f->word[FEAT_1_ECX] & bit_XSAVE))
		return 0;
	if (f->word[FEAT_1_ECX] & bit_AVX)
		x |= XCR0_AVX;
	if (f->word[FEAT_7_0_EBX] & bit_AVX512F)
		x |= XCR0_AVX512;
	if (f->word[FEAT_7_0_ECX] & bit_PKU)
		x |= XCR0_PKRU;
	return x;
}

bool x86_xsave_component(unsigned n, uint32_t *ret_offset, uint32_t *ret_size)
{
	uint32_t size = 0, offset = 0, c, d;

	if (n < 2 || n > 62 || __get_cpuid_max(0, NULL) < 0xd)
		return false;
	__cpuid_count(0xd, n, size, offset, c, d);
	if (!size)
		return false;
	*ret_size = size;
	*ret_offset = offset;
	return true;
}

/* SDM vol. 1, 13.2. EBX of subleaves 0 and 1 depends on XCR0; an engine that runs CPUID itself
 * corrects it. */
static void add_xsave(struct build *b)
{
	const uint64_t xcr0 = x86_features_xcr0(b->f);
	uint32_t end = 576, compact = 576, offset, size, flags, eax, ebx;

	if (!xcr0)
		return;
	for (unsigned i = 2; i < 63; i++) {
		if (!(xcr0 >> i & 1) || !x86_xsave_component(i, &offset, &size))
			continue;
		end = MAX(end, offset + size);
		compact += size;
	}
	add_sub(b, 0xd, 0, (uint32_t)xcr0, end, end, (uint32_t)(xcr0 >> 32));
	add_sub(b, 0xd, 1, b->f->word[FEAT_D_1_EAX], b->f->word[FEAT_D_1_EAX] & 0xa ? compact : 0,
		0, 0);
	for (unsigned i = 2; i < 63; i++) {
		if (!(xcr0 >> i & 1) || !x86_xsave_component(i, &offset, &size))
			continue;
		__cpuid_count(0xd, i, eax, ebx, flags, offset);
		x86_xsave_component(i, &offset, &size);
		add_sub(b, 0xd, i, size, offset, flags & 2, 0);
	}
}

/* One cache: leaf 4 (SDM) and 8000001D (APM) have the same form. type 1 data, 2 code, 3 unified. */
static void add_cache(struct build *b, uint32_t leaf, uint32_t sub, unsigned level, unsigned type,
	unsigned sharing, unsigned ways, unsigned kib)
{
	const unsigned sets = kib * 1024 / 64 / ways;
	const uint32_t cores = leaf == 4 ? (1u << core_bits(b->vcpus)) - 1 : 0;

	add_sub(b, leaf, sub,
		type | level << 5 | 1 << 8 | (sharing - 1) << 14 | MIN(cores, 63u) << 26,
		(ways - 1) << 22 | 63, sets - 1, level == 2 ? 2 : 0);
}

static void add_caches(struct build *b, uint32_t leaf)
{
	add_cache(b, leaf, 0, 1, 1, 1, 8, 32);
	add_cache(b, leaf, 1, 1, 2, 1, 8, 32);
	add_cache(b, leaf, 2, 2, 3, 1, 8, 1024);
	add_cache(b, leaf, 3, 3, 3, 1u << core_bits(b->vcpus), 16, 32768);
	add_sub(b, leaf, 4, 0, 0, 0, 0);
}

static void add_basic(struct build *b)
{
	const uint32_t *w = b->f->word;
	const bool intel = b->f->intel;
	const unsigned bits = core_bits(b->vcpus);
	uint32_t edx = w[FEAT_1_EDX] & ~(uint32_t)(1u << 28);

	if (intel)
		add(b, 0, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69); /* GenuineIntel */
	else
		add(b, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65); /* AuthenticAMD */
	if (b->vcpus > 1)
		edx |= 1u << 28;
	add(b, 1, intel ? SIGNATURE_INTEL : SIGNATURE_AMD,
		(b->apic_id & 0xff) << 24 | MIN(1u << bits, 255u) << 16 | 8 << 8, w[FEAT_1_ECX],
		edx);
	if (intel) {
		add(b, 2, 0x00feff01, 0, 0, 0); /* see leaf 4 */
		add_caches(b, 4);
	}
	add(b, 6, w[FEAT_6_EAX], 0, 0, 0);
	add_sub(b, 7, 0, w[FEAT_7_1_EAX] | w[FEAT_7_1_EDX] ? 1 : 0, w[FEAT_7_0_EBX],
		w[FEAT_7_0_ECX], w[FEAT_7_0_EDX]);
	if (w[FEAT_7_1_EAX] | w[FEAT_7_1_EDX])
		add_sub(b, 7, 1, w[FEAT_7_1_EAX], 0, 0, w[FEAT_7_1_EDX]);
	/* One thread a core: the level below the core shifts nothing. */
	add_sub(b, 0xb, 0, 0, 1, 1 << 8, b->apic_id);
	add_sub(b, 0xb, 1, bits, b->vcpus, 1 | 2 << 8, b->apic_id);
	add_sub(b, 0xb, 2, 0, 0, 2, b->apic_id);
	add_xsave(b);
}

/* Linux finds KVM's paravirtual clock by this signature (KVM cpuid.rst). */
static void add_hypervisor(struct build *b)
{
	if (!(b->f->word[FEAT_1_ECX] & 1u << 31) || !b->f->word[FEAT_KVM_EAX])
		return;
	add(b, 0x40000000, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d); /* KVMKVMKVM */
	add(b, 0x40000001, b->f->word[FEAT_KVM_EAX], 0, 0, 0);
}

static void add_brand(struct build *b)
{
	static const char brand[48] = "Lodge virtual CPU";
	uint32_t r[12];

	memcpy(r, brand, sizeof(r));
	for (unsigned i = 0; i < 3; i++)
		add(b, 0x80000002 + i, r[4 * i], r[4 * i + 1], r[4 * i + 2], r[4 * i + 3]);
}

static void add_extended(struct build *b)
{
	const uint32_t *w = b->f->word;
	const bool intel = b->f->intel;
	const uint32_t linear = b->f->word[FEAT_7_0_ECX] & 1u << 16 ? 57 : 48;

	add(b, 0x80000000, intel ? 0x80000008 : 0x80000021, intel ? 0 : 0x68747541,
		intel ? 0 : 0x444d4163, intel ? 0 : 0x69746e65);
	add(b, 0x80000001, intel ? 0 : SIGNATURE_AMD, 0, w[FEAT_8000_0001_ECX],
		w[FEAT_8000_0001_EDX]);
	add_brand(b);
	if (!intel) {
		add(b, 0x80000005, 0xff48ff40, 0xff48ff40, 32 << 24 | 8 << 16 | 1 << 8 | 64,
			32 << 24 | 8 << 16 | 1 << 8 | 64);
		add(b, 0x80000006, 0x5c002200, 0x6c004200, 1024 << 16 | 6 << 12 | 1 << 8 | 64,
			64u << 18 | 8 << 12 | 1 << 8 | 64);
	} else {
		add(b, 0x80000006, 0, 0, 1024 << 16 | 6 << 12 | 64, 0);
	}
	add(b, 0x80000007, 0, 0, 0, w[FEAT_8000_0007_EDX]);
	add(b, 0x80000008, b->phys_bits | linear << 8, w[FEAT_8000_0008_EBX],
		intel ? 0 : (b->vcpus - 1) | core_bits(b->vcpus) << 12, 0);
	if (intel)
		return;
	if (w[FEAT_8000_0001_ECX] & 1u << 22) {
		add_caches(b, 0x8000001d);
		add(b, 0x8000001e, b->apic_id, b->apic_id, 0, 0);
	}
	add(b, 0x80000021, w[FEAT_8000_0021_EAX], 0, w[FEAT_8000_0021_ECX], 0);
}

struct x86_cpuid_leaf *x86_cpuid_build(const struct x86_features *f, unsigned vcpus,
	unsigned apic_id, uint64_t tsc_khz, unsigned phys_bits, unsigned *ret_count)
{
	struct build b = { .f = f,
		.vcpus = MAX(vcpus, 1u),
		.apic_id = apic_id,
		.phys_bits = phys_bits,
		.tsc_khz = tsc_khz };

	b.leaf = g_new0(struct x86_cpuid_leaf, LEAVES_MAX);
	add_basic(&b);
	if (f->intel && tsc_khz) /* TSC / crystal = khz / 1000 with a crystal of 1 MHz */
		add(&b, 0x15, 1000, (uint32_t)tsc_khz, 1000000, 0);
	if (f->intel && tsc_khz)
		b.leaf[0].eax = 0x15;
	add_hypervisor(&b);
	add_extended(&b);
	*ret_count = b.n;
	return b.leaf;
}

static const struct x86_cpuid_leaf *find(const struct x86_cpuid_leaf *l, unsigned n, uint32_t leaf,
	uint32_t subleaf)
{
	for (unsigned i = 0; i < n; i++)
		if (l[i].leaf == leaf && (!l[i].has_subleaf || l[i].subleaf == subleaf))
			return &l[i];
	return NULL;
}

void x86_cpuid_get(const struct x86_cpuid_leaf *l, unsigned n, uint32_t leaf, uint32_t subleaf,
	uint32_t out[4])
{
	const struct x86_cpuid_leaf *e = find(l, n, leaf, subleaf), *zero = find(l, n, 0, 0);
	const struct x86_cpuid_leaf *top = find(l, n, leaf & 0xffff0000, 0);

	if (!e && zero && zero->ebx == 0x756e6547 && leaf > (top ? top->eax : 0))
		e = find(l, n, zero->eax, subleaf);
	memset(out, 0, 4 * sizeof(*out));
	if (!e) {
		/* SDM, leaf 0BH: subleaves past the last still say theirs and the APIC id. */
		if (leaf == 0xb) {
			out[2] = subleaf & 0xff;
			e = find(l, n, 0xb, 0);
			out[3] = e ? e->edx : 0;
		}
		return;
	}
	out[0] = e->eax;
	out[1] = e->ebx;
	out[2] = e->ecx;
	out[3] = e->edx;
}
