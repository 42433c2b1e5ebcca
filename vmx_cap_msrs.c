// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmx_cap_msrs.c - struct vmx_caps of the processor we run on: the VMX
 * capability MSRs and the little of CPUID that VM entries depend on. Anything
 * that is not there reads as 0.
 *
 * SDM: appendix "VMX Capability Reporting Facility".
 */
#include <linux/bits.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/msr.h>
#include <asm/processor.h>

#include "include/compat.h"
#include "vmx_cap_msrs.h"

static u64 __init read_or_0(u32 msr)
{
	u32 lo = 0, hi = 0;

	if (rdmsr_safe(msr, &lo, &hi))
		return 0;
	return (u64)hi << 32 | lo;
}

/*
 * The "true" MSR tells which default1 bits may be 0 after all. Two words have
 * 64 bits, and an MSR that gives the allowed 1-settings alone. A word that is
 * new has an MSR only where the control that activates it may be 1, and words
 * without one have no bit that may be 1.
 */
static void __init read_controls(struct vmx_caps *caps)
{
	static const struct { u32 msr, true_msr; } msrs[NR_VMX_WORDS]
		__initconst = {
		[VMX_WORD_PIN] = { MSR_IA32_VMX_PINBASED_CTLS,
				   MSR_IA32_VMX_TRUE_PINBASED_CTLS },
		[VMX_WORD_CPU] = { MSR_IA32_VMX_PROCBASED_CTLS,
				   MSR_IA32_VMX_TRUE_PROCBASED_CTLS },
		[VMX_WORD_CPU2] = { MSR_IA32_VMX_PROCBASED_CTLS2 },
		[VMX_WORD_EXIT] = { MSR_IA32_VMX_EXIT_CTLS,
				    MSR_IA32_VMX_TRUE_EXIT_CTLS },
		[VMX_WORD_ENTRY] = { MSR_IA32_VMX_ENTRY_CTLS,
				     MSR_IA32_VMX_TRUE_ENTRY_CTLS },
	};
	u64 value;
	int i;

	for (i = 0; i < NR_VMX_WORDS; i++) {
		u32 msr = msrs[i].msr;

		if ((caps->basic & VMXCAP_BASIC_TRUE_CTLS) && msrs[i].true_msr)
			msr = msrs[i].true_msr;
		value = msr ? read_or_0(msr) : 0;
		caps->ctl[i].zero = lower_32_bits(value);
		caps->ctl[i].one = upper_32_bits(value);
	}
	if (caps->ctl[VMX_WORD_CPU].one & CPU_ACTIVATE_TERTIARY)
		caps->ctl[VMX_WORD_CPU3].one =
			read_or_0(MSR_IA32_VMX_PROCBASED_CTLS3);
	if (caps->ctl[VMX_WORD_EXIT].one & EXIT_CTL_ACTIVATE_SECONDARY)
		caps->ctl[VMX_WORD_EXIT2].one =
			read_or_0(MSR_IA32_VMX_EXIT_CTLS2);
}

/* "Architectural Performance Monitoring": the counters there are. */
static u64 __init perf_counters(void)
{
	u32 eax, ebx, ecx, edx;
	u64 general;

	if (cpuid_eax(0) < 0xa)
		return 0;
	cpuid(0xa, &eax, &ebx, &ecx, &edx);
	general = BIT_ULL((eax >> 8) & 0x1f) - 1;
	return general | (BIT_ULL(edx & 0x1f) - 1) << 32;
}

/* CPUID leaf 7. */
#define CPUID_EBX_SGX		BIT(2)
#define CPUID_EBX_RTM		BIT(11)
#define CPUID_ECX_BUS_LOCK	BIT(24)
#define CPUID_EAX1_LAM		BIT(26)

static u64 __init features(void)
{
	u32 eax, ebx, ecx, edx, eax1 = 0;
	u64 has = 0;

	if (cpuid_eax(0) < 7)
		return 0;
	cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
	if (ebx & CPUID_EBX_SGX)
		has |= VMX_HAS_SGX;
	if (ebx & CPUID_EBX_RTM)
		has |= VMX_HAS_RTM;
	if (ecx & CPUID_ECX_BUS_LOCK)
		has |= VMX_HAS_BUS_LOCK_DB;
	if (eax)
		cpuid_count(7, 1, &eax1, &ebx, &ecx, &edx);
	if (eax1 & CPUID_EAX1_LAM)
		has |= VMX_HAS_LAM;
	return has;
}

/* "IA32_DEBUGCTL": bits of any processor, and those of features. */
#define DEBUGCTL_ANY		0x7fc3ull
#define DEBUGCTL_BUS_LOCK	BIT_ULL(2)
#define DEBUGCTL_RTM		BIT_ULL(15)

static u64 __init debugctl_bits(u64 has)
{
	return DEBUGCTL_ANY |
	       (has & VMX_HAS_BUS_LOCK_DB ? DEBUGCTL_BUS_LOCK : 0) |
	       (has & VMX_HAS_RTM ? DEBUGCTL_RTM : 0);
}

#define CPUID_EDX_NX		BIT(20)

static u64 __init efer_bits(void)
{
	u64 bits = EFER_SCE | EFER_LME | EFER_LMA;

	return cpuid_edx(0x80000001) & CPUID_EDX_NX ? bits | EFER_NX : bits;
}

void __init vmx_read_caps(struct vmx_caps *caps)
{
	const u32 widths = cpuid_eax(0x80000008);

	memset(caps, 0, sizeof(*caps));
	caps->basic = read_or_0(MSR_IA32_VMX_BASIC);
	caps->misc = read_or_0(MSR_IA32_VMX_MISC);
	read_controls(caps);
	if (caps->ctl[VMX_WORD_CPU2].one & (CPU2_ENABLE_EPT | CPU2_ENABLE_VPID))
		caps->ept_vpid = read_or_0(MSR_IA32_VMX_EPT_VPID_CAP);
	if (caps->ctl[VMX_WORD_CPU2].one & CPU2_ENABLE_VMFUNC)
		caps->vmfunc = read_or_0(MSR_IA32_VMX_VMFUNC);
	caps->cr0_fixed0 = read_or_0(MSR_IA32_VMX_CR0_FIXED0);
	caps->cr0_fixed1 = read_or_0(MSR_IA32_VMX_CR0_FIXED1);
	caps->cr4_fixed0 = read_or_0(MSR_IA32_VMX_CR4_FIXED0);
	caps->cr4_fixed1 = read_or_0(MSR_IA32_VMX_CR4_FIXED1);
	caps->features = features();
	caps->debugctl = debugctl_bits(caps->features);
	caps->efer = efer_bits();
	caps->perf_global_ctrl = perf_counters();
	/* Which bits these have takes more than CPUID tells in a word. */
	caps->rtit_ctl = ~0ull;
	caps->lbr_ctl = ~0ull;
	caps->phys_bits = widths & 0xff;
	caps->linear_bits = (widths >> 8) & 0xff;
}
