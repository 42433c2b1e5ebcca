// SPDX-License-Identifier: GPL-2.0-only
/*
 * cpuid.c - the processor model that a guest sees: what the driver can offer
 * (KVM_GET_SUPPORTED_CPUID), what the monitor chose (KVM_SET_CPUID2), and what
 * an executed CPUID returns.
 *
 * A feature is offered when it is in feature_rows[] (the driver can let a
 * guest have it), the host kernel has it in use, and nothing in feature_needs[]
 * that it depends on is missing. The table of supported leaves is made once,
 * at load, and is read-only afterwards.
 *
 * Bits that follow a control register, XCR0 or IA32_APIC_BASE are kept up to
 * date in the vCPU's entries by kvm_update_cpuid_runtime(), so that kvm_cpuid()
 * is a mere look-up.
 *
 * Does not know: MSRs (msr.c), how a feature is switched on (the backend).
 * Locking: vcpu->mutex for everything that takes a vCPU.
 *
 * SDM: "CPUID - CPU Identification", "Managing State Using the XSAVE Feature
 * Set".
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/mm.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/processor.h>

#include "include/compat.h"
#include "kvm.h"

enum cpuid_reg { EAX, EBX, ECX, EDX };

static u32 *entry_reg(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
	switch (reg) {
	case EAX:
		return &e->eax;
	case EBX:
		return &e->ebx;
	case ECX:
		return &e->ecx;
	default:
		return &e->edx;
	}
}

/* ---- what a guest may have ---------------------------------------------- */

/* The bit of a feature in its register, and the kernel's copy of that. */
#define F(name)		BIT(X86_FEATURE_##name & 31)
#define KERNEL(name)	(X86_FEATURE_##name / 32)
#define RAW		-1	/* the kernel has no copy, or an edited one */

/* Leaf 7, subleaf 0, EDX: bits that newer kernels may no longer name. */
#define AVX512_4VNNIW		BIT(2)
#define AVX512_4FMAPS		BIT(3)
/* Leaf 7, subleaf 1, EAX. */
#define SHA512			BIT(0)
#define SM3			BIT(1)
#define SM4			BIT(2)
#define AVX_VNNI		BIT(4)
#define AVX512_BF16		BIT(5)
#define CMPCCXADD		BIT(7)
#define FZRM			BIT(10)
#define FSRS			BIT(11)
#define FSRC			BIT(12)
#define AVX_IFMA		BIT(23)
/* Leaf 7, subleaf 1, EDX. */
#define AVX_VNNI_INT8		BIT(4)
#define AVX_NE_CONVERT		BIT(5)
#define AVX_VNNI_INT16		BIT(10)
#define PREFETCHITI		BIT(14)
/* Leaf 7, subleaf 2, EDX. */
#define PSFD			BIT(0)
#define IPRED_CTRL		BIT(1)
#define RRSBA_CTRL		BIT(2)
#define DDPD_U			BIT(3)
#define BHI_CTRL		BIT(4)
#define MCDT_NO			BIT(5)
/* Leaf 80000007H, EDX. */
#define INVARIANT_TSC		BIT(8)
/* Leaf 80000008H, EBX. */
#define WBNOINVD		BIT(9)

/*
 * What may be offered. Rows of one register add up. `host`: a guest may have
 * it if the host has; `always`: the driver provides it on any host.
 */
struct feature_row {
	u32 leaf, index;
	enum cpuid_reg reg;
	int word;		/* of boot_cpu_data.x86_capability[], or RAW */
	u32 host;
	u32 always;
};

#define KVMCLOCK	(BIT(KVM_FEATURE_CLOCKSOURCE) |		\
			 BIT(KVM_FEATURE_CLOCKSOURCE2) |	\
			 BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT))

/* The flushes that a preempted vCPU is spared: that it is, it tells there. */
#define STEAL_TIME	(BIT(KVM_FEATURE_STEAL_TIME) |			\
			 BIT(KVM_FEATURE_PV_TLB_FLUSH))

/* What can only work with the local APICs in the kernel. */
#define PV_WITH_APIC	(BIT(KVM_FEATURE_ASYNC_PF) |			\
			 BIT(KVM_FEATURE_ASYNC_PF_INT) |		\
			 BIT(KVM_FEATURE_PV_EOI) |			\
			 BIT(KVM_FEATURE_PV_UNHALT) |			\
			 BIT(KVM_FEATURE_PV_SEND_IPI) |			\
			 BIT(KVM_FEATURE_PV_SCHED_YIELD))

static const struct feature_row feature_rows[] = {
	{ 1, 0, ECX, KERNEL(XMM3),
	  F(XMM3) | F(PCLMULQDQ) | F(SSSE3) | F(FMA) | F(CX16) | F(PCID) |
	  F(XMM4_1) | F(XMM4_2) | F(MOVBE) | F(POPCNT) | F(AES) | F(XSAVE) |
	  F(AVX) | F(F16C) | F(RDRAND),
	  F(HYPERVISOR) | F(X2APIC) },
	{ 1, 0, EDX, KERNEL(FPU),
	  F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) |
	  F(MCE) | F(CX8) | F(APIC) | F(SEP) | F(MTRR) | F(PGE) | F(MCA) |
	  F(CMOV) | F(PAT) | F(PSE36) | F(CLFLUSH) | F(MMX) | F(FXSR) |
	  F(XMM) | F(XMM2) | F(SELFSNOOP) },
	{ 6, 0, EAX, RAW, 0, F(ARAT) },
	{ 7, 0, EBX, KERNEL(FSGSBASE),
	  F(FSGSBASE) | F(BMI1) | F(HLE) | F(AVX2) | F(FDP_EXCPTN_ONLY) |
	  F(SMEP) | F(BMI2) | F(ERMS) | F(INVPCID) | F(RTM) |
	  F(ZERO_FCS_FDS) | F(AVX512F) | F(AVX512DQ) | F(RDSEED) | F(ADX) |
	  F(SMAP) | F(AVX512IFMA) | F(CLFLUSHOPT) | F(CLWB) | F(AVX512PF) |
	  F(AVX512ER) | F(AVX512CD) | F(SHA_NI) | F(AVX512BW) | F(AVX512VL),
	  F(TSC_ADJUST) },
	{ 7, 0, ECX, KERNEL(PKU),
	  F(AVX512VBMI) | F(PKU) | F(AVX512_VBMI2) | F(GFNI) | F(VAES) |
	  F(VPCLMULQDQ) | F(AVX512_VNNI) | F(AVX512_BITALG) |
	  F(AVX512_VPOPCNTDQ) | F(RDPID) | F(CLDEMOTE) | F(MOVDIRI) |
	  F(MOVDIR64B),
	  F(UMIP) },
	/* A host that runs on four levels may have a guest that has five. */
	{ 7, 0, ECX, RAW, F(LA57) },
	{ 7, 0, EDX, KERNEL(SPEC_CTRL),
	  AVX512_4VNNIW | AVX512_4FMAPS | F(FSRM) | F(AVX512_VP2INTERSECT) |
	  F(MD_CLEAR) | F(SERIALIZE) | F(TSXLDTRK) | F(AVX512_FP16) |
	  F(SPEC_CTRL) | F(INTEL_STIBP) | F(FLUSH_L1D) | F(SPEC_CTRL_SSBD),
	  F(ARCH_CAPABILITIES) },
	{ 7, 1, EAX, RAW,
	  SHA512 | SM3 | SM4 | AVX_VNNI | AVX512_BF16 | CMPCCXADD | FZRM |
	  FSRS | FSRC | AVX_IFMA },
	{ 7, 1, EDX, RAW,
	  AVX_VNNI_INT8 | AVX_NE_CONVERT | AVX_VNNI_INT16 | PREFETCHITI },
	{ 7, 2, EDX, RAW,
	  PSFD | IPRED_CTRL | RRSBA_CTRL | DDPD_U | BHI_CTRL | MCDT_NO },
	{ 0xd, 1, EAX, KERNEL(XSAVEOPT),
	  F(XSAVEOPT) | F(XSAVEC) | F(XGETBV1) | F(XSAVES) },
	{ KVM_CPUID_FEATURES, 0, EAX, RAW, 0,
	  BIT(KVM_FEATURE_NOP_IO_DELAY) | KVMCLOCK | STEAL_TIME |
	  BIT(KVM_FEATURE_POLL_CONTROL) | PV_WITH_APIC },
	{ 0x80000001, 0, ECX, KERNEL(LAHF_LM),
	  F(LAHF_LM) | F(ABM) | F(3DNOWPREFETCH) },
	{ 0x80000001, 0, EDX, KERNEL(LM),
	  F(SYSCALL) | F(NX) | F(GBPAGES) | F(RDTSCP) | F(LM) },
	{ 0x80000007, 0, EDX, RAW, INVARIANT_TSC },
	{ 0x80000008, 0, EBX, RAW, WBNOINVD },
};

/* What a feature depends on: a capability of the backend, or state in XCR0. */
struct feature_need {
	u32 leaf, index;
	enum cpuid_reg reg;
	u32 bits;
	const bool *cap;
	u64 xcr0;
};

#define XCR0_AVX512	(XFEATURE_MASK_YMM | XFEATURE_MASK_AVX512)

static const struct feature_need feature_needs[] = {
	{ 1, 0, ECX, F(XSAVE), .xcr0 = XFEATURE_MASK_FPSSE },
	{ 1, 0, ECX, F(AVX) | F(FMA) | F(F16C), .xcr0 = XFEATURE_MASK_YMM },
	{ 7, 0, EBX, F(INVPCID), .cap = &kvm_caps.invpcid },
	{ 7, 0, EBX, F(AVX2), .xcr0 = XFEATURE_MASK_YMM },
	{ 7, 0, EBX, F(AVX512F) | F(AVX512DQ) | F(AVX512IFMA) | F(AVX512PF) |
		     F(AVX512ER) | F(AVX512CD) | F(AVX512BW) | F(AVX512VL),
	  .xcr0 = XCR0_AVX512 },
	{ 7, 0, ECX, F(VAES) | F(VPCLMULQDQ), .xcr0 = XFEATURE_MASK_YMM },
	{ 7, 0, ECX, F(AVX512VBMI) | F(AVX512_VBMI2) | F(AVX512_VNNI) |
		     F(AVX512_BITALG) | F(AVX512_VPOPCNTDQ),
	  .xcr0 = XCR0_AVX512 },
	{ 7, 0, ECX, F(PKU), .cap = &kvm_caps.ept,
	  .xcr0 = XFEATURE_MASK_PKRU },
	{ 7, 0, ECX, F(RDPID), .cap = &kvm_caps.rdpid },
	{ 7, 0, ECX, F(LA57), .cap = &kvm_caps.ept },
	{ 7, 0, ECX, F(UMIP), .cap = &kvm_caps.umip },
	{ 7, 0, EDX, AVX512_4VNNIW | AVX512_4FMAPS | F(AVX512_VP2INTERSECT) |
		     F(AVX512_FP16),
	  .xcr0 = XCR0_AVX512 },
	{ 7, 0, EDX, F(SPEC_CTRL) | F(INTEL_STIBP) | F(SPEC_CTRL_SSBD),
	  .cap = &kvm_caps.spec_ctrl },
	{ 7, 1, EAX, SHA512 | SM3 | SM4 | AVX_VNNI | AVX_IFMA,
	  .xcr0 = XFEATURE_MASK_YMM },
	{ 7, 1, EAX, AVX512_BF16, .xcr0 = XCR0_AVX512 },
	{ 7, 1, EDX, AVX_VNNI_INT8 | AVX_NE_CONVERT | AVX_VNNI_INT16,
	  .xcr0 = XFEATURE_MASK_YMM },
	{ 7, 2, EDX, PSFD | IPRED_CTRL | RRSBA_CTRL | DDPD_U | BHI_CTRL,
	  .cap = &kvm_caps.spec_ctrl },
	{ 0xd, 1, EAX, F(XSAVES), .cap = &kvm_caps.xsaves },
	{ KVM_CPUID_FEATURES, 0, EAX, KVMCLOCK, .cap = &kvm_caps.kvmclock },
	{ KVM_CPUID_FEATURES, 0, EAX, STEAL_TIME,
	  .cap = &kvm_caps.steal_time },
	{ 0x80000001, 0, EDX, F(RDTSCP), .cap = &kvm_caps.rdtscp },
};

static u32 host_reg(u32 leaf, u32 index, enum cpuid_reg reg)
{
	struct kvm_cpuid_entry2 e = { };

	cpuid_count(leaf, index, &e.eax, &e.ebx, &e.ecx, &e.edx);
	return *entry_reg(&e, reg);
}

static bool need_met(const struct feature_need *need)
{
	return (!need->cap || *need->cap) && !(need->xcr0 & ~kvm_caps.xcr0);
}

static u32 supported_bits(u32 leaf, u32 index, enum cpuid_reg reg)
{
	u32 bits = 0, host;
	int i;

	for (i = 0; i < ARRAY_SIZE(feature_rows); i++) {
		const struct feature_row *row = &feature_rows[i];

		if (row->leaf != leaf || row->index != index || row->reg != reg)
			continue;
		host = row->host ? host_reg(leaf, index, reg) : 0;
		if (row->word != RAW)
			host &= boot_cpu_data.x86_capability[row->word];
		bits |= (row->host & host) | row->always;
	}
	for (i = 0; i < ARRAY_SIZE(feature_needs); i++) {
		const struct feature_need *need = &feature_needs[i];

		if (need->leaf == leaf && need->index == index &&
		    need->reg == reg && !need_met(need))
			bits &= ~need->bits;
	}
	return bits;
}

/* ---- XSAVE areas -------------------------------------------------------- */

#define XSAVE_MIN_SIZE	(512 + 64)	/* legacy region and header */
#define XSTATE_MAX	63

/* Host CPUID answers slowly under another hypervisor: ask once. */
static struct {
	u32 size, offset;
	bool aligned;		/* in the compacted format */
} xstate[XSTATE_MAX];

static void xstate_setup(u64 components)
{
	u32 ebx, ecx, edx;
	int i;

	for (i = 2; i < XSTATE_MAX; i++) {
		if (!(components & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &xstate[i].size, &ebx, &ecx, &edx);
		xstate[i].offset = ebx;
		xstate[i].aligned = ecx & BIT(1);
	}
}

/* "Standard Format of XSAVE Area". */
static u32 xsave_size(u64 components)
{
	u32 size = XSAVE_MIN_SIZE;
	int i;

	for (i = 2; i < XSTATE_MAX; i++)
		if (components & BIT_ULL(i))
			size = max(size, xstate[i].offset + xstate[i].size);
	return size;
}

/* "Compacted Format of the Extended Region of an XSAVE Area". */
static u32 xsave_compacted_size(u64 components)
{
	u32 size = XSAVE_MIN_SIZE;
	int i;

	for (i = 2; i < XSTATE_MAX; i++) {
		if (!(components & BIT_ULL(i)))
			continue;
		if (xstate[i].aligned)
			size = ALIGN(size, 64);
		size += xstate[i].size;
	}
	return size;
}

/* ---- the table of supported leaves -------------------------------------- */

#define MAX_BASIC_LEAF		0xdu
#define MAX_EXTENDED_LEAF	0x80000008u
#define MAX_SUPPORTED		80

static struct kvm_cpuid_entry2 supported[MAX_SUPPORTED];
static u32 nr_supported;

/* A new entry: features from the table, all else zero. */
static struct kvm_cpuid_entry2 *add_features(u32 leaf, u32 index, u32 flags)
{
	struct kvm_cpuid_entry2 *e = &supported[nr_supported];

	if (!WARN_ON_ONCE(nr_supported == MAX_SUPPORTED - 1))
		nr_supported++;
	*e = (struct kvm_cpuid_entry2) {
		.function = leaf,
		.index = index,
		.flags = flags,
		.eax = supported_bits(leaf, index, EAX),
		.ebx = supported_bits(leaf, index, EBX),
		.ecx = supported_bits(leaf, index, ECX),
		.edx = supported_bits(leaf, index, EDX),
	};
	return e;
}

/* A new entry that repeats the host's. */
static struct kvm_cpuid_entry2 *add_host(u32 leaf, u32 index, u32 flags)
{
	struct kvm_cpuid_entry2 *e = add_features(leaf, index, flags);

	cpuid_count(leaf, index, &e->eax, &e->ebx, &e->ecx, &e->edx);
	return e;
}

static void add_version(void)
{
	struct kvm_cpuid_entry2 *e = add_features(1, 0, 0);

	e->eax = cpuid_eax(1);
	/* The CLFLUSH line; APIC ID and counts are the monitor's to set. */
	e->ebx = cpuid_ebx(1) & GENMASK(15, 8);
}

static void add_caches(void)
{
	u32 i, type;

	for (i = 0; i < 16; i++) {
		type = add_host(4, i, KVM_CPUID_FLAG_SIGNIFCANT_INDEX)->eax &
		       GENMASK(4, 0);
		if (!type)
			break;
	}
}

static void add_structured_features(void)
{
	const u32 flag = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	u32 host_max = cpuid_eax(7), i;
	struct kvm_cpuid_entry2 *first = add_features(7, 0, flag), *e;

	for (i = 1; i <= min(host_max, 2u); i++) {
		e = add_features(7, i, flag);
		if (e->eax | e->ebx | e->ecx | e->edx)
			first->eax = i;
	}
	/* Trailing subleaves that say nothing go again. */
	nr_supported -= i - 1 - first->eax;
}

/* The monitor knows the topology; here is only the room for it. */
static void add_topology(void)
{
	add_features(0xb, 0, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
}

static void add_xsave(void)
{
	const u32 flag = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	u64 components = kvm_caps.xcr0 | kvm_caps.xss;
	struct kvm_cpuid_entry2 *e;
	int i;

	xstate_setup(components);
	e = add_features(0xd, 0, flag);
	e->eax = lower_32_bits(kvm_caps.xcr0);
	e->ebx = xsave_size(XFEATURE_MASK_FP);
	e->ecx = xsave_size(kvm_caps.xcr0);
	e->edx = upper_32_bits(kvm_caps.xcr0);
	e = add_features(0xd, 1, flag);
	if (e->eax & (F(XSAVEC) | F(XSAVES)))
		e->ebx = xsave_compacted_size(components);
	if (e->eax & F(XSAVES)) {
		e->ecx = lower_32_bits(kvm_caps.xss);
		e->edx = upper_32_bits(kvm_caps.xss);
	}
	for (i = 2; i < XSTATE_MAX; i++)
		if (components & BIT_ULL(i))
			add_host(0xd, i, flag);
}

static void add_basic(void)
{
	struct kvm_cpuid_entry2 *e = add_host(0, 0, 0);
	u32 max = e->eax = min(e->eax, MAX_BASIC_LEAF);

	add_version();
	if (max >= 2)
		add_host(2, 0, 0);
	if (max >= 4)
		add_caches();
	if (max >= 6)
		add_features(6, 0, 0);
	if (max >= 7)
		add_structured_features();
	if (max >= 0xa)
		add_features(0xa, 0, 0);
	if (max >= 0xb)
		add_topology();
	if (max >= 0xd && kvm_caps.xcr0)
		add_xsave();
	else
		e->eax = min(max, 0xbu);
}

/* "KVMK" "VMKV" "M" */
static const u32 signature[] = { 0x4b4d564b, 0x564b4d56, 0x4d };

static void add_kvm(void)
{
	struct kvm_cpuid_entry2 *e = add_features(KVM_CPUID_SIGNATURE, 0, 0);

	e->eax = KVM_CPUID_FEATURES;
	e->ebx = signature[0];
	e->ecx = signature[1];
	e->edx = signature[2];
	add_features(KVM_CPUID_FEATURES, 0, 0);
}

/* Leaf 80000008H: as many physical bits as the tables can map. */
static void add_address_sizes(void)
{
	struct kvm_cpuid_entry2 *e = add_features(0x80000008, 0, 0);
	u32 phys = kvm_caps.host_maxphyaddr;
	u32 virt = (cpuid_eax(0x80000008) >> 8) & 0xff;

	if (kvm_caps.ept && kvm_caps.ept_levels < 5)
		phys = min(phys, 48u);
	e->eax = phys | virt << 8;
}

static void add_extended(void)
{
	struct kvm_cpuid_entry2 *e = add_features(0x80000000, 0, 0);
	u32 max = min(cpuid_eax(0x80000000), MAX_EXTENDED_LEAF), leaf;

	e->eax = max;
	add_features(0x80000001, 0, 0);
	for (leaf = 0x80000002; leaf <= min(max, 0x80000004u); leaf++)
		add_host(leaf, 0, 0);
	if (max >= 0x80000006)
		add_host(0x80000006, 0, 0);
	if (max >= 0x80000007)
		add_features(0x80000007, 0, 0);
	if (max >= 0x80000008)
		add_address_sizes();
}

int kvm_get_supported_cpuid(struct kvm_cpuid_entry2 *entries, u32 *nent)
{
	if (*nent < nr_supported)
		return -E2BIG;
	memcpy(entries, supported, nr_supported * sizeof(*entries));
	*nent = nr_supported;
	return 0;
}

/* What a guest may be given though the processor lacks it. */
static const struct kvm_cpuid_entry2 emulated[] = {
	{ .function = 0, .eax = 1 },
	{ .function = 1, .ecx = F(MOVBE) },
};

int kvm_get_emulated_cpuid(struct kvm_cpuid_entry2 *entries, u32 *nent)
{
	if (*nent < ARRAY_SIZE(emulated))
		return -E2BIG;
	memcpy(entries, emulated, sizeof(emulated));
	*nent = ARRAY_SIZE(emulated);
	return 0;
}

/* ---- look-up ------------------------------------------------------------ */

#define LEAF_RANGE_SIZE	(KVM_CPUID_MAP_SIZE / 4)

/* Ranges start at 0, 40000000H, 80000000H and C0000000H. */
static bool leaf_is_mapped(u32 leaf)
{
	return (leaf & GENMASK(29, 0)) < LEAF_RANGE_SIZE;
}

static unsigned int cpuid_map_slot(u32 leaf)
{
	return (leaf >> 30) * LEAF_RANGE_SIZE +
	       array_index_nospec(leaf & GENMASK(29, 0), LEAF_RANGE_SIZE);
}

static bool entry_matches(const struct kvm_cpuid_entry2 *e, u32 leaf, u32 index)
{
	return e->function == leaf &&
	       (e->index == index ||
		!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX));
}

/* NULL: the monitor gave no such entry. The first of several counts. */
static __always_inline struct kvm_cpuid_entry2 *
find_entry(struct kvm_vcpu *vcpu, u32 leaf, u32 index)
{
	unsigned int i = 0, end = vcpu->nr_cpuid;

	if (likely(leaf_is_mapped(leaf))) {
		unsigned int slot = cpuid_map_slot(leaf);

		i = vcpu->cpuid_map[slot].first;
		end = vcpu->cpuid_map[slot].last + 1;
	}
	for (; i < end; i++)
		if (entry_matches(&vcpu->cpuid[i], leaf, index))
			return &vcpu->cpuid[i];
	return NULL;
}

struct kvm_cpuid_entry2 *kvm_find_cpuid(struct kvm_vcpu *vcpu, u32 leaf,
					u32 index)
{
	return find_entry(vcpu, leaf, index);
}

static void build_map(struct kvm_vcpu *vcpu)
{
	unsigned int slot;
	int i;

	/* First behind last: no entry. */
	for (i = 0; i < KVM_CPUID_MAP_SIZE; i++) {
		vcpu->cpuid_map[i].first = 1;
		vcpu->cpuid_map[i].last = 0;
	}
	for (i = vcpu->nr_cpuid - 1; i >= 0; i--) {
		if (!leaf_is_mapped(vcpu->cpuid[i].function))
			continue;
		slot = cpuid_map_slot(vcpu->cpuid[i].function);
		if (vcpu->cpuid_map[slot].first > vcpu->cpuid_map[slot].last)
			vcpu->cpuid_map[slot].last = i;
		vcpu->cpuid_map[slot].first = i;
	}
}

/*
 * A leaf above the maximum of its range shows the highest basic leaf. Each
 * 100H leaves from 40000000H on are the range of one hypervisor interface.
 */
static struct kvm_cpuid_entry2 *find_out_of_range(struct kvm_vcpu *vcpu,
						  u32 leaf, u32 index)
{
	struct kvm_cpuid_entry2 *top;
	u32 base = leaf & GENMASK(31, 30);

	if (!guest_cpu_has(vcpu, KVM_CPUF_INTEL))
		return NULL;
	if (base == KVM_CPUID_SIGNATURE)
		base = leaf & ~0xffu;
	top = kvm_find_cpuid(vcpu, base, 0);
	if (top && leaf <= top->eax)
		return NULL;
	top = kvm_find_cpuid(vcpu, 0, 0);
	return top ? kvm_find_cpuid(vcpu, top->eax, index) : NULL;
}

/* Topology leaves show the level asked for and the x2APIC ID, valid or not. */
static bool is_topology_leaf(u32 leaf)
{
	return leaf == 0xb || leaf == 0x1f;
}

static noinline void cpuid_no_entry(struct kvm_vcpu *vcpu, u32 *eax, u32 *ebx,
				    u32 *ecx, u32 *edx)
{
	u32 leaf = *eax, index = *ecx;
	struct kvm_cpuid_entry2 *e = find_out_of_range(vcpu, leaf, index);

	if (e) {
		*eax = e->eax;
		*ebx = e->ebx;
		*ecx = e->ecx;
		*edx = e->edx;
		return;
	}
	*eax = *ebx = *ecx = *edx = 0;
	if (!is_topology_leaf(leaf))
		return;
	e = kvm_find_cpuid(vcpu, leaf, 0);
	if (e) {
		*ecx = index & 0xff;
		*edx = e->edx;
	}
}

void kvm_cpuid(struct kvm_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	const struct kvm_cpuid_entry2 *e = find_entry(vcpu, *eax, *ecx);

	if (unlikely(!e)) {
		cpuid_no_entry(vcpu, eax, ebx, ecx, edx);
		return;
	}
	*eax = e->eax;
	*ebx = e->ebx;
	*ecx = e->ecx;
	*edx = e->edx;
}

static noinline void execute_no_entry(struct kvm_vcpu *vcpu)
{
	u32 eax = vcpu->regs[VCPU_RAX], ecx = vcpu->regs[VCPU_RCX];
	u32 ebx, edx;

	cpuid_no_entry(vcpu, &eax, &ebx, &ecx, &edx);
	vcpu->regs[VCPU_RAX] = eax;
	vcpu->regs[VCPU_RBX] = ebx;
	vcpu->regs[VCPU_RCX] = ecx;
	vcpu->regs[VCPU_RDX] = edx;
}

void kvm_execute_cpuid(struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e =
		find_entry(vcpu, vcpu->regs[VCPU_RAX], vcpu->regs[VCPU_RCX]);

	if (unlikely(!e)) {
		execute_no_entry(vcpu);
		return;
	}
	vcpu->regs[VCPU_RAX] = e->eax;
	vcpu->regs[VCPU_RBX] = e->ebx;
	vcpu->regs[VCPU_RCX] = e->ecx;
	vcpu->regs[VCPU_RDX] = e->edx;
}

/* ---- bits that follow other registers ----------------------------------- */

static void assign_bits(u32 *reg, u32 bits, bool on)
{
	*reg = on ? *reg | bits : *reg & ~bits;
}

static void update_xsave_sizes(struct kvm_vcpu *vcpu)
{
	struct kvm_cpuid_entry2 *e = kvm_find_cpuid(vcpu, 0xd, 0);

	if (e)
		e->ebx = xsave_size(vcpu->xcr0);
	e = kvm_find_cpuid(vcpu, 0xd, 1);
	if (e && (e->eax & (F(XSAVEC) | F(XSAVES))))
		e->ebx = xsave_compacted_size(vcpu->xcr0 | vcpu->msr.xss);
}

/* A BIOS that switches MWAIT off hides it; by default that has no effect. */
static bool mwait_follows_msr(const struct kvm_vcpu *vcpu)
{
	return !kvm_has_quirk(vcpu->kvm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT);
}

static void update_mwait(struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	bool on = vcpu->msr.misc_enable & MSR_IA32_MISC_ENABLE_MWAIT;

	assign_bits(&e->ecx, F(MWAIT), on);
	assign_bits(&vcpu->cpuid_features, KVM_CPUF_MWAIT, on);
}

void kvm_update_cpuid_runtime(struct kvm_vcpu *vcpu)
{
	struct kvm_cpuid_entry2 *e = kvm_find_cpuid(vcpu, 1, 0);

	if (e) {
		assign_bits(&e->ecx, F(OSXSAVE),
			    guest_cpu_has(vcpu, KVM_CPUF_XSAVE) &&
			    kvm_read_cr4(vcpu) & X86_CR4_OSXSAVE);
		assign_bits(&e->edx, F(APIC),
			    guest_cpu_has(vcpu, KVM_CPUF_APIC) &&
			    vcpu->msr.apic_base & MSR_IA32_APICBASE_ENABLE);
		if (mwait_follows_msr(vcpu))
			update_mwait(vcpu, e);
	}
	e = kvm_find_cpuid(vcpu, 7, 0);
	if (e)
		assign_bits(&e->ecx, F(OSPKE),
			    guest_cpu_has(vcpu, KVM_CPUF_PKU) &&
			    kvm_read_cr4(vcpu) & X86_CR4_PKE);
	update_xsave_sizes(vcpu);
}

/* What kvm_update_cpuid_runtime() writes, besides sizes of XSAVE areas. */
static u32 runtime_bits(const struct kvm_vcpu *vcpu,
			const struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
	if (e->function == 1 && reg == ECX)
		return F(OSXSAVE) | (mwait_follows_msr(vcpu) ? F(MWAIT) : 0);
	if (e->function == 1)
		return reg == EDX ? F(APIC) : 0;
	if (e->function == 7 && !e->index)
		return reg == ECX ? F(OSPKE) : 0;
	if (e->function == 0xd && e->index < 2)
		return reg == EBX ? ~0u : 0;
	return 0;
}

/* ---- the monitor's choice ----------------------------------------------- */

/* Features that hot paths ask for, by where CPUID shows them. */
static const struct {
	u32 flag, leaf, index;
	enum cpuid_reg reg;
	u32 bit;
} flag_rows[] = {
	{ KVM_CPUF_MWAIT,	1, 0, ECX, F(MWAIT) },
	{ KVM_CPUF_PCID,	1, 0, ECX, F(PCID) },
	{ KVM_CPUF_MOVBE,	1, 0, ECX, F(MOVBE) },
	{ KVM_CPUF_XSAVE,	1, 0, ECX, F(XSAVE) },
	{ KVM_CPUF_X2APIC,	1, 0, ECX, F(X2APIC) },
	{ KVM_CPUF_TSC_DEADLINE, 1, 0, ECX, F(TSC_DEADLINE_TIMER) },
	{ KVM_CPUF_APIC,	1, 0, EDX, F(APIC) },
	{ KVM_CPUF_MTRR,	1, 0, EDX, F(MTRR) },
	{ KVM_CPUF_MCA,		1, 0, EDX, F(MCA) },
	{ KVM_CPUF_PSE36,	1, 0, EDX, F(PSE36) },
	{ KVM_CPUF_FSGSBASE,	7, 0, EBX, F(FSGSBASE) },
	{ KVM_CPUF_TSC_ADJUST,	7, 0, EBX, F(TSC_ADJUST) },
	{ KVM_CPUF_SMEP,	7, 0, EBX, F(SMEP) },
	{ KVM_CPUF_INVPCID,	7, 0, EBX, F(INVPCID) },
	{ KVM_CPUF_SMAP,	7, 0, EBX, F(SMAP) },
	{ KVM_CPUF_UMIP,	7, 0, ECX, F(UMIP) },
	{ KVM_CPUF_PKU,		7, 0, ECX, F(PKU) },
	{ KVM_CPUF_LA57,	7, 0, ECX, F(LA57) },
	{ KVM_CPUF_RDPID,	7, 0, ECX, F(RDPID) },
	{ KVM_CPUF_SPEC_CTRL,	7, 0, EDX, F(SPEC_CTRL) },
	{ KVM_CPUF_FLUSH_L1D,	7, 0, EDX, F(FLUSH_L1D) },
	{ KVM_CPUF_ARCH_CAPS,	7, 0, EDX, F(ARCH_CAPABILITIES) },
	{ KVM_CPUF_XSAVES,	0xd, 1, EAX, F(XSAVES) },
	{ KVM_CPUF_NX,		0x80000001, 0, EDX, F(NX) },
	{ KVM_CPUF_GBPAGES,	0x80000001, 0, EDX, F(GBPAGES) },
	{ KVM_CPUF_RDTSCP,	0x80000001, 0, EDX, F(RDTSCP) },
	{ KVM_CPUF_LM,		0x80000001, 0, EDX, F(LM) },
};

/* CR4 bits that not every processor has, by the feature that brings them. */
static const struct {
	unsigned long cr4;
	u32 flag;
} cr4_rows[] = {
	{ X86_CR4_UMIP,		KVM_CPUF_UMIP },
	{ X86_CR4_LA57,		KVM_CPUF_LA57 },
	{ X86_CR4_FSGSBASE,	KVM_CPUF_FSGSBASE },
	{ X86_CR4_PCIDE,	KVM_CPUF_PCID },
	{ X86_CR4_OSXSAVE,	KVM_CPUF_XSAVE },
	{ X86_CR4_SMEP,		KVM_CPUF_SMEP },
	{ X86_CR4_SMAP,		KVM_CPUF_SMAP },
	{ X86_CR4_PKE,		KVM_CPUF_PKU },
};

#define CR4_ALWAYS	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | \
			 X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE |	\
			 X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |	\
			 X86_CR4_OSXMMEXCPT)

static bool is_intel(struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid(vcpu, 0, 0);

	/* "Genu" "ineI" "ntel" */
	return e && e->ebx == 0x756e6547 && e->edx == 0x49656e69 &&
	       e->ecx == 0x6c65746e;
}

static u32 offered_flags;	/* of a processor that has all there is */

static u32 find_offered_flags(void)
{
	u32 flags = 0, i;
	int row;

	for (i = 0; i < nr_supported; i++)
		for (row = 0; row < ARRAY_SIZE(flag_rows); row++)
			if (supported[i].function == flag_rows[row].leaf &&
			    supported[i].index == flag_rows[row].index &&
			    *entry_reg(&supported[i], flag_rows[row].reg) &
					flag_rows[row].bit)
				flags |= flag_rows[row].flag;
	return flags;
}

/*
 * No processor has INVPCID without PCIDs, and a guest that sees it sets
 * CR4.PCIDE.
 */
static void drop_invpcid_without_pcid(struct kvm_cpuid_entry2 *entries,
				      u32 nent)
{
	struct kvm_cpuid_entry2 *e, *end = entries + nent;

	for (e = entries; e < end; e++)
		if (e->function == 1 && (e->ecx & F(PCID)))
			return;
	for (e = entries; e < end; e++)
		if (e->function == 7 && !e->index)
			e->ebx &= ~F(INVPCID);
}

int kvm_cpuid_setup(void)
{
	nr_supported = 0;
	add_basic();
	add_kvm();
	add_extended();
	drop_invpcid_without_pcid(supported, nr_supported);
	offered_flags = find_offered_flags();
	return 0;
}

/*
 * Those that make the driver use the host's processor: XCR0 is loaded, and
 * MSRs with linear addresses. The monitor's word is not enough. Nor is it
 * where page tables are shadowed, for what shadow tables do not have.
 */
#define HARDWARE_FLAGS	(KVM_CPUF_XSAVE | KVM_CPUF_LA57 | KVM_CPUF_PCID | \
			 KVM_CPUF_INVPCID | KVM_CPUF_PKU)

static u32 find_flags(struct kvm_vcpu *vcpu)
{
	u32 flags = is_intel(vcpu) ? KVM_CPUF_INTEL : 0;
	struct kvm_cpuid_entry2 *e;
	int i;

	for (i = 0; i < ARRAY_SIZE(flag_rows); i++) {
		e = kvm_find_cpuid(vcpu, flag_rows[i].leaf, flag_rows[i].index);
		if (e && *entry_reg(e, flag_rows[i].reg) & flag_rows[i].bit)
			flags |= flag_rows[i].flag;
	}
	return flags & (offered_flags | ~HARDWARE_FLAGS);
}

/* Before it has a model, a vCPU takes whatever some model could have. */
static unsigned long find_cr4_reserved(const struct kvm_vcpu *vcpu)
{
	u32 flags = vcpu->nr_cpuid ? vcpu->cpuid_features : offered_flags;
	unsigned long allowed = CR4_ALWAYS;
	int i;

	for (i = 0; i < ARRAY_SIZE(cr4_rows); i++)
		if (flags & cr4_rows[i].flag)
			allowed |= cr4_rows[i].cr4;
	return ~allowed;
}

#define DEFAULT_MAXPHYADDR	36	/* without leaf 80000008H */

static int find_maxphyaddr(struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid(vcpu, 0x80000008, 0);

	return e && (u8)e->eax ? (u8)e->eax : DEFAULT_MAXPHYADDR;
}

static void find_xsave_state(struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e;

	/* XCR0 is there, and holds this bit, even if the guest cannot see. */
	vcpu->guest_supported_xcr0 = XFEATURE_MASK_FP;
	vcpu->guest_supported_xss = 0;
	e = kvm_find_cpuid(vcpu, 0xd, 0);
	if (e)
		vcpu->guest_supported_xcr0 |= kvm_caps.xcr0 &
			(e->eax | (u64)e->edx << 32);
	e = kvm_find_cpuid(vcpu, 0xd, 1);
	if (e && guest_cpu_has(vcpu, KVM_CPUF_XSAVES))
		vcpu->guest_supported_xss = kvm_caps.xss &
			(e->ecx | (u64)e->edx << 32);
}

/*
 * Leaf 40000001H, or where a monitor has it that offers another hypervisor's
 * interface as well. NULL: the guest is not told of any.
 */
static struct kvm_cpuid_entry2 *find_pv_leaf(struct kvm_cpuid_entry2 *entries,
					     u32 nent)
{
	struct kvm_cpuid_entry2 *e, *end = entries + nent, *leaf;

	for (e = entries; e < end; e++) {
		if ((e->function & ~0xff00u) != KVM_CPUID_SIGNATURE ||
		    e->ebx != signature[0] || e->ecx != signature[1] ||
		    e->edx != signature[2])
			continue;
		for (leaf = entries; leaf < end; leaf++)
			if (leaf->function == (e->function | 1))
				return leaf;
	}
	return NULL;
}

static u32 find_pv_features(const struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = find_pv_leaf(vcpu->cpuid,
							vcpu->nr_cpuid);

	return e ? e->eax : 0;
}

/* The monitor need not know which of them need a local APIC of ours. */
static void drop_pv_of_apic(struct kvm_cpuid_entry2 *entries, u32 nent)
{
	struct kvm_cpuid_entry2 *e = find_pv_leaf(entries, nent);

	if (e)
		e->eax &= ~(u32)PV_WITH_APIC;
}

/* Everything that is worked out from the entries, ahead of time. */
static void model_changed(struct kvm_vcpu *vcpu)
{
	build_map(vcpu);
	vcpu->cpuid_features = find_flags(vcpu);
	vcpu->cr4_reserved = find_cr4_reserved(vcpu);
	vcpu->maxphyaddr = find_maxphyaddr(vcpu);
	vcpu->reserved_gpa_bits = ~0ull << vcpu->maxphyaddr;
	find_xsave_state(vcpu);
	kvm_pv_cpuid_changed(vcpu, find_pv_features(vcpu));
	kvm_update_cpuid_runtime(vcpu);
}

/* Widths of addresses that paging can handle; absent or 0 is no statement. */
static bool address_sizes_valid(const struct kvm_cpuid_entry2 *e)
{
	u8 phys = e->eax, virt = e->eax >> 8;

	return (!virt || virt == 48 || virt == 57) &&
	       (!phys || (phys >= 32 && phys <= 52));
}

static bool entries_valid(const struct kvm_cpuid_entry2 *entries, u32 nent)
{
	u32 i;

	for (i = 0; i < nent; i++)
		if (entries[i].function == 0x80000008 &&
		    !address_sizes_valid(&entries[i]))
			return false;
	return true;
}

static bool same_reg(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *a,
		     struct kvm_cpuid_entry2 *b, enum cpuid_reg reg)
{
	u32 ignore = runtime_bits(vcpu, a, reg);

	return (*entry_reg(a, reg) | ignore) == (*entry_reg(b, reg) | ignore);
}

static bool same_entry(const struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *a,
		       struct kvm_cpuid_entry2 *b)
{
	return a->function == b->function && a->index == b->index &&
	       a->flags == b->flags && same_reg(vcpu, a, b, EAX) &&
	       same_reg(vcpu, a, b, EBX) && same_reg(vcpu, a, b, ECX) &&
	       same_reg(vcpu, a, b, EDX);
}

/* Once the guest has looked, its processor does not change any more. */
static int check_unchanged(struct kvm_vcpu *vcpu,
			   struct kvm_cpuid_entry2 *entries, u32 nent)
{
	u32 i;

	if (nent != vcpu->nr_cpuid)
		return -EINVAL;
	for (i = 0; i < nent; i++)
		if (!same_entry(vcpu, &vcpu->cpuid[i], &entries[i]))
			return -EINVAL;
	return 0;
}

static struct kvm_cpuid_entry2 *
copy_entries(const struct kvm_cpuid_entry2 *entries, u32 nent)
{
	struct kvm_cpuid_entry2 *copy;
	u32 i;

	copy = kvcalloc(max(nent, 1u), sizeof(*copy), GFP_KERNEL_ACCOUNT);
	if (!copy)
		return NULL;
	for (i = 0; i < nent; i++) {
		copy[i] = entries[i];
		memset(copy[i].padding, 0, sizeof(copy[i].padding));
	}
	return copy;
}

int kvm_set_cpuid2(struct kvm_vcpu *vcpu,
		   const struct kvm_cpuid_entry2 *entries, u32 nent)
{
	struct kvm_cpuid_entry2 *copy;
	int r;

	if (nent > KVM_MAX_CPUID_ENTRIES)
		return -E2BIG;
	if (!entries_valid(entries, nent))
		return -EINVAL;
	copy = copy_entries(entries, nent);
	if (!copy)
		return -ENOMEM;
	if (!vcpu->apic)
		drop_pv_of_apic(copy, nent);
	drop_invpcid_without_pcid(copy, nent);
	if (rcu_access_pointer(vcpu->pid)) {
		r = check_unchanged(vcpu, copy, nent);
		kvfree(copy);
		return r;
	}
	kvfree(vcpu->cpuid);
	vcpu->cpuid = copy;
	vcpu->nr_cpuid = nent;
	model_changed(vcpu);
	backend->cpuid_changed(vcpu);
	kvm_mmu_reset(vcpu);
	return 0;
}
