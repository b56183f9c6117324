/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpuid.h: named CPU models and the CPUID leaves made of them. One source for both engines.
 * Spec: SDM vol. 2A CPUID; x86-64 psABI microarchitecture levels; AMD APM vol. 3 appendix E.
 */
#ifndef CPU_X86_CPUID_H
#define CPU_X86_CPUID_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct x86_cpuid_leaf {
	uint32_t leaf, subleaf;
	bool has_subleaf;
	uint32_t eax, ebx, ecx, edx;
};

/* Feature words: which register of which leaf. */
enum x86_feature_word {
	FEAT_1_EDX, FEAT_1_ECX, FEAT_7_0_EBX, FEAT_7_0_ECX, FEAT_7_0_EDX, FEAT_7_1_EAX,
	FEAT_8000_0001_EDX, FEAT_8000_0001_ECX, FEAT_8000_0007_EDX, FEAT_8000_0008_EBX,
	FEAT_D_1_EAX, FEAT_6_EAX, FEAT_KVM_EAX, FEAT_8000_0021_EAX, FEAT_8000_0021_ECX,
	FEAT_7_1_EDX, FEAT_WORDS
};

struct x86_features {
	uint32_t word[FEAT_WORDS];
	bool intel; /* vendor GenuineIntel; else AuthenticAMD. KVM takes the host's
		       (x86_features_host), since vendors differ in what syscall and sysenter do
		       outside 64-bit mode. */
};

/* What the model asks for; `can` is what the engine and the host can do. Model "max" and "host"
 * take all of `can`; a named model fails with the list of missing features' names when it needs
 * more. Names: "host", "max", "x86-64-v2", "x86-64-v3", each with ",+feature" / ",-feature"
 * suffixes. */
int x86_model_features(const char *model, const struct x86_features *can, struct x86_features *out,
	GError **error);

/* All leaves of a CPU: topology (threads = total vCPUs in one package, one thread a core), xsave
 * layout for the xcr0 bits offered, KVM signature leaves. Free with g_free. */
struct x86_cpuid_leaf *x86_cpuid_build(const struct x86_features *f, unsigned vcpus,
	unsigned apic_id, uint64_t tsc_khz, unsigned phys_bits, unsigned *ret_count);

/* The bits of XCR0 such a CPU can set, and those of IA32_XSS. */
uint64_t x86_features_xcr0(const struct x86_features *f);
/* Where state component n (2..63) stands in the standard XSAVE area, and its size; false: no such
 * component here. The host's layout, as translated and hardware guests alike run the host's
 * instructions. */
bool x86_xsave_component(unsigned n, uint32_t *ret_offset, uint32_t *ret_size);

/* Look-up with the vendor's rule for leaves out of range: Intel answers with the highest basic
 * leaf, AMD with zeros. */
void x86_cpuid_get(const struct x86_cpuid_leaf *l, unsigned n, uint32_t leaf, uint32_t subleaf,
	uint32_t out[4]);

/* Frequency of the host's time-stamp counter. Takes up to 5 ms where the kernel does not tell. */
uint64_t x86_host_tsc_khz(void);
/* Reads all feature words through `query` (CPUID of whatever it asks). */
void x86_features_read(struct x86_features *out,
	void (*query)(void *opaque, uint32_t leaf, uint32_t sub, uint32_t regs[4]), void *opaque);
/* Raw features of the host this process runs on (CPUID executed here, OS XCR0 considered). */
void x86_features_host(struct x86_features *out);
/* "sse4_2" ↔ (word, bit); names as Linux' /proc/cpuinfo. false: no such name. */
bool x86_feature_find(const char *name, enum x86_feature_word *w, unsigned *bit);
const char *x86_feature_name(enum x86_feature_word w, unsigned bit); /* NULL: unnamed */

#endif
