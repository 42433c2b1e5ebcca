// SPDX-License-Identifier: GPL-2.0-only
/*
 * msr.c - which model-specific registers exist, for whom, and what they hold.
 *
 * One table, policies[], answers for every MSR: where its value lives, who may
 * write it and what is a legal value, whether KVM_GET_MSR_INDEX_LIST names it.
 * What the table lacks is offered to the backend and is then unknown: #GP, or
 * with the module parameter ignore_msrs a register that reads 0.
 *
 * An access is by the guest (RDMSR, WRMSR) or by the monitor, `host`, which
 * may set what a guest may only read, and which no guest CPUID bit hinders: a
 * monitor may restore MSRs before it sets CPUID.
 *
 * Locking: vcpu->mutex; the vCPU is loaded. The lists are made at load.
 *
 * SDM: "Model-Specific Registers (MSRs)", "Memory Type Range Registers
 * (MTRRs)", "Machine-Check MSRs", "Local APIC Status and Location",
 * "Time-Stamp Counter Adjustment", "Speculative Execution Side Channel
 * Mitigations".
 */
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/ratelimit.h>
#include <asm/apicdef.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/mtrr.h>

#include "include/compat.h"
#include "kvm.h"

static bool ignore_msrs;
module_param(ignore_msrs, bool, 0644);
MODULE_PARM_DESC(ignore_msrs, "Unknown MSRs read 0 and ignore writes");

static bool report_ignored_msrs = true;
module_param(report_ignored_msrs, bool, 0644);
MODULE_PARM_DESC(report_ignored_msrs, "Log accesses that ignore_msrs ignores");

/* ---- legal values ------------------------------------------------------- */

bool kvm_is_canonical(const struct kvm_vcpu *vcpu, u64 la)
{
	unsigned int shift = guest_cpu_has(vcpu, KVM_CPUF_LA57) ? 7 : 16;

	return (u64)((s64)(la << shift) >> shift) == la;
}

/* "Memory Types That Can Be Encoded in MTRRs"; PAT adds UC- (7). */
#define MTRR_TYPES	(BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(6))
#define PAT_TYPES	(MTRR_TYPES | BIT(7))

static bool memory_types_valid(u64 data, u32 types)
{
	int i;

	for (i = 0; i < 64; i += 8) {
		u8 type = data >> i;

		if (type > 7 || !(types & BIT(type)))
			return false;
	}
	return true;
}

bool kvm_pat_valid(u64 pat)
{
	return memory_types_valid(pat, PAT_TYPES);
}

static bool valid_pat(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return kvm_pat_valid(data);
}

static bool mtrr_type_valid(u8 type)
{
	return type < 8 && (MTRR_TYPES & BIT(type));
}

static bool valid_mtrr_fixed(struct kvm_vcpu *vcpu, u32 index, u64 data,
			     bool host)
{
	return memory_types_valid(data, MTRR_TYPES);
}

#define MTRR_DEF_TYPE_BITS	(GENMASK(7, 0) | BIT(10) | BIT(11))

static bool valid_mtrr_def_type(struct kvm_vcpu *vcpu, u32 index, u64 data,
				bool host)
{
	return !(data & ~MTRR_DEF_TYPE_BITS) && mtrr_type_valid(data);
}

#define MTRR_PHYSMASK_VALID	BIT(11)

/* Pairs of base (even index) and mask. */
static bool valid_mtrr_var(struct kvm_vcpu *vcpu, u32 index, u64 data,
			   bool host)
{
	if (data & vcpu->reserved_gpa_bits)
		return false;
	if (index & 1)
		return !(data & (MTRR_PHYSMASK_VALID - 1));
	return !(data & GENMASK(11, 8)) && mtrr_type_valid(data);
}

static bool valid_32_bits(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return !upper_32_bits(data);
}

static bool valid_feature_control(struct kvm_vcpu *vcpu, u32 index, u64 data,
				  bool host)
{
	if (!host && (vcpu->msr.feature_control & FEAT_CTL_LOCKED))
		return false;
	return !(data & ~(u64)FEAT_CTL_LOCKED);
}

#define MCG_STATUS_BITS	GENMASK(2, 0)

static bool valid_mcg_status(struct kvm_vcpu *vcpu, u32 index, u64 data,
			     bool host)
{
	return host || !(data & ~MCG_STATUS_BITS);
}

static bool valid_mcg_ctl(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return !data || !~data;
}

static bool valid_zero(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return !data;
}

/* ---- EFER --------------------------------------------------------------- */

static u64 efer_host_bits;	/* those that the processor has */

bool kvm_efer_valid(struct kvm_vcpu *vcpu, u64 efer)
{
	u64 allowed = EFER_SCE;

	if (guest_cpu_has(vcpu, KVM_CPUF_LM))
		allowed |= EFER_LME | EFER_LMA;
	if (guest_cpu_has(vcpu, KVM_CPUF_NX))
		allowed |= EFER_NX;
	return !(efer & ~allowed);
}

bool kvm_efer_valid_host(u64 efer)
{
	return !(efer & ~efer_host_bits);
}

static int set_efer(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	u64 old = vcpu->efer;

	if (!kvm_efer_valid_host(data))
		return 1;
	if (!host && !kvm_efer_valid(vcpu, data))
		return 1;
	if (!host && is_paging(vcpu) && ((old ^ data) & EFER_LME))
		return 1;
	/* LMA follows CR0.PG and LME; a written value has no effect. */
	data = (data & ~(u64)EFER_LMA) | (old & EFER_LMA);
	if (data == old)
		return 0;
	backend->set_efer(vcpu, data);
	if ((old ^ data) & EFER_NX)
		kvm_mmu_reset(vcpu);
	return 0;
}

static int get_efer(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = vcpu->efer;
	return 0;
}

/* ---- time --------------------------------------------------------------- */

static int get_tsc(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	*data = kvm_read_guest_tsc(vcpu);
	return 0;
}

/* A guest's write to the counter shows in IA32_TSC_ADJUST. */
static int set_tsc(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	u64 old = vcpu->tsc_offset;

	kvm_write_guest_tsc(vcpu, data, host);
	if (!host)
		vcpu->msr.tsc_adjust += vcpu->tsc_offset - old;
	return 0;
}

static int get_tsc_deadline(struct kvm_vcpu *vcpu, u32 index, u64 *data,
			    bool host)
{
	*data = kvm_apic_get_tsc_deadline(vcpu);
	return 0;
}

static int set_tsc_deadline(struct kvm_vcpu *vcpu, u32 index, u64 data,
			    bool host)
{
	kvm_apic_set_tsc_deadline(vcpu, data);
	return 0;
}

/* The monitor restores the register; it restores the counter by itself. */
static void tsc_adjust_changed(struct kvm_vcpu *vcpu, u64 old, bool host)
{
	if (host || vcpu->msr.tsc_adjust == old)
		return;
	vcpu->tsc_offset += vcpu->msr.tsc_adjust - old;
	kvm_make_request(vcpu, KVM_REQ_TSC_UPDATE);
}

/* ---- what CPUID follows ------------------------------------------------- */

#define APIC_BASE_MODE	(MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE)

/* "x2APIC States": which mode may follow which, by software. */
static bool apic_mode_may_follow(u64 old, u64 new)
{
	switch (new & APIC_BASE_MODE) {
	case 0:
		return true;
	case MSR_IA32_APICBASE_ENABLE:
		return !(old & X2APIC_ENABLE);
	case APIC_BASE_MODE:
		return old & MSR_IA32_APICBASE_ENABLE;
	default:
		return false;
	}
}

bool kvm_apic_base_valid(struct kvm_vcpu *vcpu, u64 base, bool host)
{
	u64 flags = MSR_IA32_APICBASE_BSP | MSR_IA32_APICBASE_ENABLE;

	if (vcpu->apic && (host || guest_cpu_has(vcpu, KVM_CPUF_X2APIC)))
		flags |= X2APIC_ENABLE;
	if ((base & vcpu->reserved_gpa_bits) ||
	    (base & GENMASK(11, 0) & ~flags))
		return false;
	if (host)
		return (base & APIC_BASE_MODE) != X2APIC_ENABLE;
	return apic_mode_may_follow(vcpu->msr.apic_base, base);
}

static bool valid_apic_base(struct kvm_vcpu *vcpu, u32 index, u64 data,
			    bool host)
{
	return kvm_apic_base_valid(vcpu, data, host);
}

static void apic_base_changed(struct kvm_vcpu *vcpu, u64 old, bool host)
{
	if ((old ^ vcpu->msr.apic_base) & MSR_IA32_APICBASE_ENABLE)
		kvm_update_cpuid_runtime(vcpu);
	if (vcpu->apic)
		kvm_apic_base_changed(vcpu, old);
}

static bool valid_xss(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	return !(data & ~(host ? kvm_caps.xss : vcpu->guest_supported_xss));
}

static void xss_changed(struct kvm_vcpu *vcpu, u64 old, bool host)
{
	if (vcpu->msr.xss == old)
		return;
	backend->set_msr(vcpu, MSR_IA32_XSS, vcpu->msr.xss);
	kvm_update_cpuid_runtime(vcpu);
}

static void tsc_aux_changed(struct kvm_vcpu *vcpu, u64 old, bool host)
{
	backend->set_msr(vcpu, MSR_TSC_AUX, vcpu->msr.tsc_aux);
}

static void pat_changed(struct kvm_vcpu *vcpu, u64 old, bool host)
{
	backend->set_msr(vcpu, MSR_IA32_CR_PAT, vcpu->msr.pat);
}

static int get_misc_enable(struct kvm_vcpu *vcpu, u32 index, u64 *data,
			   bool host)
{
	*data = vcpu->msr.misc_enable;
	return 0;
}

/* Bits that tell what there is not; the guest's writes leave them alone. */
#define MISC_ENABLE_READ_ONLY	(MSR_IA32_MISC_ENABLE_EMON |		\
				 MSR_IA32_MISC_ENABLE_BTS_UNAVAIL |	\
				 MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL)

static int set_misc_enable(struct kvm_vcpu *vcpu, u32 index, u64 data,
			   bool host)
{
	if (!host)
		data = (data & ~MISC_ENABLE_READ_ONLY) |
		       (vcpu->msr.misc_enable & MISC_ENABLE_READ_ONLY);
	vcpu->msr.misc_enable = data;
	kvm_update_cpuid_runtime(vcpu);
	return 0;
}

/* The guest's microcode is the host's already. */
static int set_ucode_write(struct kvm_vcpu *vcpu, u32 index, u64 data,
			   bool host)
{
	return 0;
}

static int get_write_only(struct kvm_vcpu *vcpu, u32 index, u64 *data,
			  bool host)
{
	return 1;
}

/* Frequency ratios, which are the monitor's to tell. No faults of CPUID. */
static int get_platform_info(struct kvm_vcpu *vcpu, u32 index, u64 *data,
			     bool host)
{
	if (!host && READ_ONCE(vcpu->kvm->no_platform_info))
		return 1;
	*data = vcpu->msr.platform_info;
	return 0;
}

static int set_platform_info(struct kvm_vcpu *vcpu, u32 index, u64 data,
			     bool host)
{
	if (data & MSR_PLATFORM_INFO_CPUID_FAULT)
		return 1;
	vcpu->msr.platform_info = data;
	return 0;
}

static int get_debugctl(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	return backend->get_msr(vcpu, index, data);
}

/*
 * Single-stepping on branches works. Recording of branches may be asked for,
 * and the register does not keep that: the records always read 0.
 */
static int set_debugctl(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (data & ~(u64)(DEBUGCTLMSR_BTF | DEBUGCTLMSR_LBR))
		return 1;
	return backend->set_msr(vcpu, index, data & DEBUGCTLMSR_BTF);
}

/* ---- speculation control ------------------------------------------------ */

static bool spec_ctrl_wanted(struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid(vcpu, 7, 0);

	return e && e->edx & (BIT(X86_FEATURE_SPEC_CTRL & 31) |
			      BIT(X86_FEATURE_INTEL_STIBP & 31) |
			      BIT(X86_FEATURE_SPEC_CTRL_SSBD & 31));
}

/* Bits of IA32_SPEC_CTRL by the CPUID bit, leaf 7, that brings them. */
static const struct {
	u32 subleaf, cpuid_edx;
	u64 spec_ctrl;
} spec_ctrl_rows[] = {
	/* STIBP is accepted, and ignored, wherever IBRS is. */
	{ 0, BIT(X86_FEATURE_SPEC_CTRL & 31), BIT(0) | BIT(1) },
	{ 0, BIT(X86_FEATURE_INTEL_STIBP & 31), BIT(1) },
	{ 0, BIT(X86_FEATURE_SPEC_CTRL_SSBD & 31), BIT(2) },
	{ 2, BIT(0), BIT(7) },			/* PSFD */
	{ 2, BIT(1), BIT(3) | BIT(4) },		/* IPRED_CTRL */
	{ 2, BIT(2), BIT(5) | BIT(6) },		/* RRSBA_CTRL */
	{ 2, BIT(3), BIT(8) },			/* DDPD_U */
	{ 2, BIT(4), BIT(10) },			/* BHI_CTRL */
};

/* Those that the processor has: writing another would fault in the host. */
static u64 spec_ctrl_host;

static void spec_ctrl_setup(void)
{
	u32 eax, ebx, ecx, edx;
	int i;

	spec_ctrl_host = 0;
	for (i = 0; i < ARRAY_SIZE(spec_ctrl_rows); i++) {
		cpuid_count(7, spec_ctrl_rows[i].subleaf, &eax, &ebx, &ecx,
			    &edx);
		if (edx & spec_ctrl_rows[i].cpuid_edx)
			spec_ctrl_host |= spec_ctrl_rows[i].spec_ctrl;
	}
}

static u64 spec_ctrl_bits(struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e;
	u64 bits = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(spec_ctrl_rows); i++) {
		e = kvm_find_cpuid(vcpu, 7, spec_ctrl_rows[i].subleaf);
		if (e && e->edx & spec_ctrl_rows[i].cpuid_edx)
			bits |= spec_ctrl_rows[i].spec_ctrl;
	}
	return bits & spec_ctrl_host;
}

/* The backend loads the value at entry, and stores it if the guest may write. */
static int get_spec_ctrl(struct kvm_vcpu *vcpu, u32 index, u64 *data,
			 bool host)
{
	if (!host && !spec_ctrl_wanted(vcpu))
		return 1;
	*data = vcpu->msr.spec_ctrl;
	return 0;
}

static int set_spec_ctrl(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if (!host && !spec_ctrl_wanted(vcpu))
		return 1;
	if (data & ~spec_ctrl_bits(vcpu))
		return 1;
	vcpu->msr.spec_ctrl = data;
	return 0;
}

/* Commands act at once on the processor that the guest is running on. */
static int set_pred_cmd(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if ((data & ~PRED_CMD_IBPB) || !boot_cpu_has(X86_FEATURE_IBPB))
		return 1;
	if (data)
		wrmsrq(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	return 0;
}

static int set_flush_cmd(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	if ((data & ~L1D_FLUSH) || !boot_cpu_has(X86_FEATURE_FLUSH_L1D))
		return 1;
	if (data)
		wrmsrq(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	return 0;
}

/* Immunities that hold for a guest as they hold for the host. */
#define ARCH_CAPS_OF_HOST						\
	(ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA |		\
	 ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO |	\
	 ARCH_CAP_TAA_NO | ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO |	\
	 ARCH_CAP_PSDP_NO | ARCH_CAP_FB_CLEAR | ARCH_CAP_RRSBA |	\
	 ARCH_CAP_BHI_NO | ARCH_CAP_PBRSB_NO | ARCH_CAP_GDS_NO |	\
	 ARCH_CAP_RFDS_NO | ARCH_CAP_RFDS_CLEAR)

/* Stated by hypervisors alone: not susceptible to Indirect Target Selection. */
#define ITS_NO	BIT_ULL(62)

/* The host kernel knows of immunities that processors do not state. */
static const struct {
	unsigned int bug;
	u64 immunity;
} immunities[] = {
	{ X86_BUG_CPU_MELTDOWN,		ARCH_CAP_RDCL_NO },
	{ X86_BUG_SPEC_STORE_BYPASS,	ARCH_CAP_SSB_NO },
	{ X86_BUG_MDS,			ARCH_CAP_MDS_NO },
	{ X86_BUG_GDS,			ARCH_CAP_GDS_NO },
	{ X86_BUG_RFDS,			ARCH_CAP_RFDS_NO },
#ifdef X86_BUG_ITS
	{ X86_BUG_ITS,			ITS_NO },
#endif
};

static u64 arch_capabilities;	/* what a guest may be told; from load on */

static void arch_capabilities_setup(void)
{
	int i;

	arch_capabilities = 0;
	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrq(MSR_IA32_ARCH_CAPABILITIES, arch_capabilities);
	arch_capabilities &= ARCH_CAPS_OF_HOST;
	if (!kvm_caps.spec_ctrl)
		arch_capabilities &= ~(u64)ARCH_CAP_IBRS_ALL;
	for (i = 0; i < ARRAY_SIZE(immunities); i++)
		if (!boot_cpu_has_bug(immunities[i].bug))
			arch_capabilities |= immunities[i].immunity;
}

static bool valid_arch_capabilities(struct kvm_vcpu *vcpu, u32 index,
				    u64 data, bool host)
{
	return !(data & ~(ARCH_CAPS_OF_HOST | ITS_NO));
}

/* ---- the table ---------------------------------------------------------- */

enum msr_kind {
	MSR_FIELD,	/* a u64 of struct kvm_vcpu, `valid` checks writes */
	MSR_CONST,	/* always reads `value` */
	MSR_BACKEND,	/* backend->get_msr() and set_msr() */
	MSR_CALL,	/* `get` and `set` */
};

#define M_LIST		BIT(0)	/* part of what a monitor saves and restores */
#define M_GUEST_RO	BIT(1)	/* the guest's writes raise #GP */
#define M_GUEST_NONE	BIT(2)	/* all the guest's accesses raise #GP */
#define M_DROP_WRITES	BIT(3)	/* ... succeed and do nothing */
#define M_DROP_GUEST	BIT(4)	/* ... if they are the guest's */
#define M_CANONICAL	BIT(5)	/* a linear address */

struct msr_policy {
	u32 index;
	u16 count;		/* of consecutive ones; 0 stands for 1 */
	u8 kind;
	u8 flags;
	u32 needs;		/* KVM_CPUF_*: any of these, for the guest */
	u32 field;		/* offset in struct kvm_vcpu */
	u64 value;
	const bool *cap;	/* if not true, nobody has the MSR */
	bool (*valid)(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host);
	int (*get)(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host);
	int (*set)(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host);
	/* A field was written, be it with the same value. */
	void (*changed)(struct kvm_vcpu *vcpu, u64 old, bool host);
};

#define FIELD(member)	.kind = MSR_FIELD,				\
			.field = offsetof(struct kvm_vcpu, msr.member)
#define CALL(name)	.kind = MSR_CALL, .get = get_##name, .set = set_##name
#define COMMAND(name)	.kind = MSR_CALL, .get = get_write_only,	\
			.set = set_##name
#define PV		.kind = MSR_CALL, .get = kvm_pv_get_msr,	\
			.set = kvm_pv_set_msr
#define CONST(val)	.kind = MSR_CONST, .value = (val)
#define BACKEND		.kind = MSR_BACKEND

/* IA32_MTRRCAP: eight variable ranges, fixed ranges, write combining. */
#define MTRR_CAP	(8 | BIT(8) | BIT(10))

static const struct msr_policy policies[] = {
	/* Time. */
	{ MSR_IA32_TSC, CALL(tsc), .flags = M_LIST },
	{ MSR_IA32_TSC_ADJUST, FIELD(tsc_adjust),
	  .changed = tsc_adjust_changed, .flags = M_LIST,
	  .needs = KVM_CPUF_TSC_ADJUST },
	{ MSR_IA32_TSC_DEADLINE, CALL(tsc_deadline), .flags = M_LIST,
	  .needs = KVM_CPUF_TSC_DEADLINE },
	{ MSR_TSC_AUX, FIELD(tsc_aux), .valid = valid_32_bits,
	  .changed = tsc_aux_changed, .flags = M_LIST, .cap = &kvm_caps.rdtscp,
	  .needs = KVM_CPUF_RDTSCP | KVM_CPUF_RDPID },

	/* System calls and segments. */
	{ MSR_EFER, CALL(efer) },
	{ MSR_STAR, BACKEND, .flags = M_LIST },
	{ MSR_LSTAR, BACKEND, .flags = M_LIST | M_CANONICAL },
	{ MSR_CSTAR, BACKEND, .flags = M_LIST | M_CANONICAL },
	{ MSR_SYSCALL_MASK, BACKEND, .valid = valid_32_bits, .flags = M_LIST },
	{ MSR_FS_BASE, BACKEND, .flags = M_CANONICAL },
	{ MSR_GS_BASE, BACKEND, .flags = M_CANONICAL },
	{ MSR_KERNEL_GS_BASE, BACKEND, .flags = M_LIST | M_CANONICAL },
	{ MSR_IA32_SYSENTER_CS, BACKEND, .flags = M_LIST },
	{ MSR_IA32_SYSENTER_ESP, BACKEND, .flags = M_LIST | M_CANONICAL },
	{ MSR_IA32_SYSENTER_EIP, BACKEND, .flags = M_LIST | M_CANONICAL },

	/* Memory types. */
	{ MSR_IA32_CR_PAT, FIELD(pat), .valid = valid_pat,
	  .changed = pat_changed, .flags = M_LIST },
	{ MSR_MTRRcap, CONST(MTRR_CAP), .needs = KVM_CPUF_MTRR },
	{ MSR_MTRRdefType, FIELD(mtrr_def_type), .valid = valid_mtrr_def_type,
	  .flags = M_LIST, .needs = KVM_CPUF_MTRR },
	{ MSR_MTRRfix64K_00000, 1, FIELD(mtrr_fixed[0]),
	  .valid = valid_mtrr_fixed, .flags = M_LIST, .needs = KVM_CPUF_MTRR },
	{ MSR_MTRRfix16K_80000, 2, FIELD(mtrr_fixed[1]),
	  .valid = valid_mtrr_fixed, .flags = M_LIST, .needs = KVM_CPUF_MTRR },
	{ MSR_MTRRfix4K_C0000, 8, FIELD(mtrr_fixed[3]),
	  .valid = valid_mtrr_fixed, .flags = M_LIST, .needs = KVM_CPUF_MTRR },
	{ MTRRphysBase_MSR(0), 16, FIELD(mtrr_var[0].base),
	  .valid = valid_mtrr_var, .flags = M_LIST, .needs = KVM_CPUF_MTRR },

	/* The processor and what it can. */
	{ MSR_IA32_APICBASE, FIELD(apic_base), .valid = valid_apic_base,
	  .changed = apic_base_changed, .needs = KVM_CPUF_APIC },
	{ MSR_IA32_MISC_ENABLE, CALL(misc_enable), .flags = M_LIST },
	{ MSR_IA32_XSS, FIELD(xss), .valid = valid_xss,
	  .changed = xss_changed, .flags = M_LIST, .cap = &kvm_caps.xsaves,
	  .needs = KVM_CPUF_XSAVES },
	{ MSR_IA32_FEAT_CTL, FIELD(feature_control),
	  .valid = valid_feature_control, .flags = M_LIST },
	{ MSR_IA32_UCODE_REV, FIELD(ucode_rev),
	  .flags = M_LIST | M_DROP_GUEST },
	{ MSR_IA32_UCODE_WRITE, COMMAND(ucode_write) },
	{ MSR_IA32_PLATFORM_ID, CONST(0) },
	{ MSR_PLATFORM_INFO, CALL(platform_info),
	  .flags = M_LIST | M_GUEST_RO },
	{ MSR_MISC_FEATURES_ENABLES, FIELD(misc_features),
	  .valid = valid_zero, .flags = M_LIST },
	/* There are no performance counters; monitors ask all the same. */
	{ MSR_IA32_PERF_CAPABILITIES, CONST(0), .flags = M_GUEST_NONE },

	{ MSR_IA32_DEBUGCTLMSR, CALL(debugctl), .flags = M_LIST },

	/* Speculation. */
	{ MSR_IA32_SPEC_CTRL, CALL(spec_ctrl), .flags = M_LIST,
	  .cap = &kvm_caps.spec_ctrl },
	{ MSR_IA32_PRED_CMD, COMMAND(pred_cmd), .needs = KVM_CPUF_SPEC_CTRL },
	{ MSR_IA32_FLUSH_CMD, COMMAND(flush_cmd),
	  .needs = KVM_CPUF_FLUSH_L1D },
	{ MSR_IA32_ARCH_CAPABILITIES, FIELD(arch_capabilities),
	  .valid = valid_arch_capabilities, .flags = M_LIST | M_GUEST_RO,
	  .needs = KVM_CPUF_ARCH_CAPS },

	/* Machine checks, and their banks (mce.c). */
	{ MSR_IA32_MCG_CAP, FIELD(mcg_cap), .flags = M_GUEST_RO,
	  .needs = KVM_CPUF_MCA },
	{ MSR_IA32_MCG_STATUS, FIELD(mcg_status), .valid = valid_mcg_status,
	  .flags = M_LIST, .needs = KVM_CPUF_MCA },
	{ MSR_IA32_MCG_CTL, FIELD(mcg_ctl), .valid = valid_mcg_ctl,
	  .flags = M_LIST, .needs = KVM_CPUF_MCA },
	{ MSR_IA32_MC0_CTL, 4 * KVM_MCE_BANKS, .kind = MSR_CALL,
	  .get = kvm_mce_get_bank, .set = kvm_mce_set_bank,
	  .needs = KVM_CPUF_MCA },

	/*
	 * Of guests that know that they are guests (pv.c). QEMU sets some
	 * whatever CPUID says.
	 */
	{ MSR_KVM_WALL_CLOCK, PV },
	{ MSR_KVM_SYSTEM_TIME, PV },
	{ MSR_KVM_WALL_CLOCK_NEW, PV, .flags = M_LIST },
	{ MSR_KVM_SYSTEM_TIME_NEW, PV, .flags = M_LIST },
	{ MSR_KVM_STEAL_TIME, PV, .flags = M_LIST,
	  .cap = &kvm_caps.steal_time },
	{ MSR_KVM_PV_EOI_EN, PV, .flags = M_LIST },
	{ MSR_KVM_POLL_CONTROL, PV, .flags = M_LIST },
	{ MSR_KVM_ASYNC_PF_EN, PV, .flags = M_LIST },
	{ MSR_KVM_ASYNC_PF_INT, PV, .flags = M_LIST },
	{ MSR_KVM_ASYNC_PF_ACK, PV, .flags = M_LIST },

	/*
	 * Absent features whose registers guests look at without asking, by
	 * family and model alone: bus and power-on set-up, debug and last
	 * branches, performance counters 0 and 1, running average power.
	 */
	{ MSR_IA32_EBL_CR_POWERON, CONST(0), .flags = M_DROP_GUEST },
	{ MSR_EBC_FREQUENCY_ID, CONST(0) },
	{ MSR_SMI_COUNT, CONST(0) },
	{ MSR_FSB_FREQ, CONST(0) },
	{ MSR_IA32_PERFCTR0, 2, CONST(0), .flags = M_DROP_WRITES },
	{ MSR_P6_EVNTSEL0, 2, CONST(0), .flags = M_DROP_WRITES },
	{ MSR_IA32_PERF_STATUS, CONST(0) },
	{ MSR_IA32_LASTBRANCHFROMIP, 4, CONST(0) },
	{ MSR_IA32_POWER_CTL, CONST(0), .flags = M_DROP_WRITES },
	{ MSR_RAPL_POWER_UNIT, CONST(0) },
	{ MSR_PKG_ENERGY_STATUS, CONST(0) },
	{ MSR_DRAM_ENERGY_STATUS, CONST(0) },
	{ MSR_PP0_ENERGY_STATUS, CONST(0) },
	{ MSR_PP1_ENERGY_STATUS, CONST(0) },
};

/* ---- look-up ------------------------------------------------------------ */

/*
 * A hash table with linear probing of the row that answers for an MSR, plus 1.
 * Sparse enough that the first probe nearly always decides.
 */
#define POLICY_SLOTS	2048

static u8 policy_slots[POLICY_SLOTS];
static_assert(ARRAY_SIZE(policies) < U8_MAX);

static unsigned int policy_hash(u32 index)
{
	return (index ^ index >> 20) % POLICY_SLOTS;
}

static unsigned int policy_count(const struct msr_policy *p)
{
	return max_t(unsigned int, p->count, 1);
}

static bool policy_covers(const struct msr_policy *p, u32 index)
{
	return index == p->index || index - p->index < p->count;
}

static const struct msr_policy *find_policy(u32 index)
{
	unsigned int slot = policy_hash(index);
	const struct msr_policy *p;

	while (policy_slots[slot]) {
		p = &policies[policy_slots[slot] - 1];
		if (likely(policy_covers(p, index)))
			return p;
		slot = (slot + 1) % POLICY_SLOTS;
	}
	return NULL;
}

static void policy_insert(unsigned int row, u32 index)
{
	unsigned int slot = policy_hash(index);

	while (policy_slots[slot])
		slot = (slot + 1) % POLICY_SLOTS;
	policy_slots[slot] = row + 1;
}

static u64 *policy_field(struct kvm_vcpu *vcpu, const struct msr_policy *p,
			 u32 index)
{
	u64 *first = (void *)vcpu + p->field;

	return first + array_index_nospec(index - p->index, policy_count(p));
}

/* ---- RDMSR and WRMSR ---------------------------------------------------- */

static bool guest_may_access(const struct kvm_vcpu *vcpu,
			     const struct msr_policy *p)
{
	return !(p->flags & M_GUEST_NONE) &&
	       (!p->needs || guest_cpu_has(vcpu, p->needs));
}

static bool is_x2apic_msr(u32 index)
{
	return index >> 8 == APIC_BASE_MSR >> 8;
}

/* Not in the table, or not on this host. */
static noinline int get_unknown_msr(struct kvm_vcpu *vcpu, u32 index, u64 *data)
{
	if (is_x2apic_msr(index))
		return kvm_x2apic_read(vcpu, index, data);
	if (!backend->get_msr(vcpu, index, data))
		return 0;
	if (!ignore_msrs)
		return KVM_MSR_UNKNOWN;
	if (report_ignored_msrs)
		pr_info_ratelimited("kvm: vcpu%d: RDMSR of %#x ignored\n",
				    vcpu->id, index);
	*data = 0;
	return 0;
}

static noinline int set_unknown_msr(struct kvm_vcpu *vcpu, u32 index, u64 data)
{
	if (is_x2apic_msr(index))
		return kvm_x2apic_write(vcpu, index, data);
	if (!backend->set_msr(vcpu, index, data))
		return 0;
	if (!ignore_msrs)
		return KVM_MSR_UNKNOWN;
	if (report_ignored_msrs)
		pr_info_ratelimited("kvm: vcpu%d: WRMSR of %#x (%#llx) ignored\n",
				    vcpu->id, index, data);
	return 0;
}

int kvm_get_msr(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	const struct msr_policy *p = find_policy(index);

	if (unlikely(!p || (p->cap && !*p->cap)))
		return get_unknown_msr(vcpu, index, data);
	if (!host && unlikely(!guest_may_access(vcpu, p)))
		return 1;
	switch (p->kind) {
	case MSR_FIELD:
		*data = *policy_field(vcpu, p, index);
		return 0;
	case MSR_CONST:
		*data = p->value;
		return 0;
	case MSR_BACKEND:
		return backend->get_msr(vcpu, index, data);
	default:
		return p->get(vcpu, index, data, host);
	}
}

static int set_field(struct kvm_vcpu *vcpu, const struct msr_policy *p,
		     u32 index, u64 data, bool host)
{
	u64 *field = policy_field(vcpu, p, index), old = *field;

	if (p->valid && !p->valid(vcpu, index, data, host))
		return 1;
	*field = data;
	if (p->changed)
		p->changed(vcpu, old, host);
	return 0;
}

int kvm_set_msr(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	const struct msr_policy *p = find_policy(index);

	if (unlikely(!p || (p->cap && !*p->cap)))
		return set_unknown_msr(vcpu, index, data);
	if (!host) {
		if (unlikely(!guest_may_access(vcpu, p) ||
			     (p->flags & M_GUEST_RO)))
			return 1;
		if (p->flags & M_DROP_GUEST)
			return 0;
	}
	if (p->flags & M_DROP_WRITES)
		return 0;
	switch (p->kind) {
	case MSR_FIELD:
		return set_field(vcpu, p, index, data, host);
	case MSR_CONST:
		/* The monitor may put back what it was given. */
		return !host || data != p->value;
	case MSR_BACKEND:
		if ((p->flags & M_CANONICAL) && !kvm_is_canonical(vcpu, data))
			return 1;
		if (p->valid && !p->valid(vcpu, index, data, host))
			return 1;
		return backend->set_msr(vcpu, index, data);
	default:
		return p->set(vcpu, index, data, host);
	}
}

/* ---- lists -------------------------------------------------------------- */

#define MAX_LISTED	128

static u32 listed[MAX_LISTED];
static u32 nr_listed;

const u32 *kvm_msr_list(u32 *count)
{
	*count = nr_listed;
	return listed;
}

/* MSRs that tell what a guest on this host can be given. */
static const u32 feature_msrs[] = {
	MSR_IA32_UCODE_REV,
	MSR_IA32_ARCH_CAPABILITIES,
	MSR_IA32_PERF_CAPABILITIES,
};

const u32 *kvm_msr_feature_list(u32 *count)
{
	*count = ARRAY_SIZE(feature_msrs);
	return feature_msrs;
}

int kvm_get_msr_feature(u32 index, u64 *data)
{
	switch (index) {
	case MSR_IA32_UCODE_REV:
		return rdmsrq_safe(MSR_IA32_UCODE_REV, data) ? 1 : 0;
	case MSR_IA32_ARCH_CAPABILITIES:
		*data = arch_capabilities;
		return 0;
	case MSR_IA32_PERF_CAPABILITIES:
		*data = 0;
		return 0;
	default:
		return 1;
	}
}

static void list_policy(const struct msr_policy *p)
{
	unsigned int i;

	if (!(p->flags & M_LIST) || (p->cap && !*p->cap))
		return;
	for (i = 0; i < policy_count(p); i++)
		if (!WARN_ON_ONCE(nr_listed == MAX_LISTED))
			listed[nr_listed++] = p->index + i;
}

void kvm_msr_setup(void)
{
	unsigned int row, i;

	efer_host_bits = EFER_SCE | EFER_LME | EFER_LMA;
	if (boot_cpu_has(X86_FEATURE_NX))
		efer_host_bits |= EFER_NX;
	arch_capabilities_setup();
	spec_ctrl_setup();
	for (row = 0; row < ARRAY_SIZE(policies); row++) {
		for (i = 0; i < policy_count(&policies[row]); i++)
			policy_insert(row, policies[row].index + i);
		list_policy(&policies[row]);
	}
}

/* ---- reset -------------------------------------------------------------- */

/* "Programming the PAT": WB, WT, UC-, UC, twice. */
#define PAT_RESET		0x0007040600070406ull
#define UCODE_REV_RESET		(1ull << 32)

/* "Processor State After Reset": INIT leaves nearly all MSRs as they are. */
void kvm_msr_reset(struct kvm_vcpu *vcpu, bool init)
{
	struct kvm_vcpu_arch_msrs *msr = &vcpu->msr;

	if (init)
		return;
	memset(msr, 0, sizeof(*msr));
	msr->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE;
	if (vcpu->id == vcpu->kvm->boot_cpu_id)
		msr->apic_base |= MSR_IA32_APICBASE_BSP;
	msr->misc_enable = MSR_IA32_MISC_ENABLE_FAST_STRING |
			   MSR_IA32_MISC_ENABLE_BTS_UNAVAIL |
			   MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL;
	msr->pat = PAT_RESET;
	msr->arch_capabilities = arch_capabilities;
	msr->ucode_rev = UCODE_REV_RESET;
	kvm_mce_reset(vcpu);
}
