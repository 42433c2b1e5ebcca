// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmx_caps.c - what VT-x this processor has, the one table that says what of
 * it we need and want, and entering and leaving VMX operation on a CPU.
 *
 * Everything here runs at module load and when CPUs come and go; the results
 * are read-only afterwards.
 *
 * SDM: "VMX Capability Reporting Facility", "Enabling and Entering VMX
 * Operation", "Restrictions on VMX Operation".
 */
#include <linux/cpu.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <asm/cpu.h>
#include <asm/fpu/xcr.h>
#include <asm/tlbflush.h>

#include "include/compat.h"
#include "kvm.h"
#include "vmcs.h"
#include "vmx_cap_msrs.h"
#include "vmx_caps.h"

struct vmx_config vmx_config __ro_after_init;
struct vmx_caps vmx_host_caps __ro_after_init;

static bool ept = true;
module_param(ept, bool, 0444);
MODULE_PARM_DESC(ept, "extended page tables (default: on)");

static bool unrestricted_guest = true;
module_param(unrestricted_guest, bool, 0444);
MODULE_PARM_DESC(unrestricted_guest, "real and unpaged mode without emulation (default: on)");

static bool vpid = true;
module_param(vpid, bool, 0444);
MODULE_PARM_DESC(vpid, "tag translations with a VPID (default: on)");

static bool eptad = true;
module_param(eptad, bool, 0444);
MODULE_PARM_DESC(eptad, "EPT accessed and dirty bits (default: on)");

static bool pml = true;
module_param(pml, bool, 0444);
MODULE_PARM_DESC(pml, "page-modification logging, with eptad (default: on)");

static bool tpr_shadow = true;
module_param(tpr_shadow, bool, 0444);
MODULE_PARM_DESC(tpr_shadow, "the guest's task priority without exits (default: on)");

static bool flexpriority = true;
module_param(flexpriority, bool, 0444);
MODULE_PARM_DESC(flexpriority, "APIC-access page, with tpr_shadow (default: on)");

static bool enable_apicv = true;
module_param(enable_apicv, bool, 0444);
MODULE_PARM_DESC(enable_apicv, "APIC registers, interrupt delivery and posting without exits (default: on)");

static bool preemption_timer = true;
module_param(preemption_timer, bool, 0444);
MODULE_PARM_DESC(preemption_timer, "VMX-preemption timer for the guest's APIC timer (default: on)");

/* ---- negotiation -------------------------------------------------------- */

enum need {
	REQUIRED,	/* without it, we do not load */
	WANTED,		/* taken where the processor has it */
};

/*
 * The controls that every VMCS of ours begins with. What one vCPU turns on
 * and off in its life (windows, IA-32e mode) must be allowed both ways, which
 * every processor does; those are not listed.
 */
static const struct {
	enum vmx_control ctl;
	enum need need;
	const bool *param;
} wishes[] __initconst = {
	{ VMX_CTL_PIN_EXT_INTR_EXITING,		REQUIRED },
	{ VMX_CTL_PIN_NMI_EXITING,		REQUIRED },
	{ VMX_CTL_PIN_VIRTUAL_NMIS,		REQUIRED },
	{ VMX_CTL_PIN_PREEMPTION_TIMER,		WANTED, &preemption_timer },
	{ VMX_CTL_PIN_POSTED_INTR,		WANTED, &enable_apicv },

	{ VMX_CTL_CPU_USE_TSC_OFFSETTING,	REQUIRED },
	{ VMX_CTL_CPU_HLT_EXITING,		REQUIRED },
	{ VMX_CTL_CPU_MWAIT_EXITING,		REQUIRED },
	{ VMX_CTL_CPU_MONITOR_EXITING,		REQUIRED },
	{ VMX_CTL_CPU_RDPMC_EXITING,		REQUIRED },
	{ VMX_CTL_CPU_CR8_LOAD_EXITING,		REQUIRED },
	{ VMX_CTL_CPU_CR8_STORE_EXITING,	REQUIRED },
	{ VMX_CTL_CPU_MOV_DR_EXITING,		REQUIRED },
	{ VMX_CTL_CPU_UNCOND_IO_EXITING,	REQUIRED },
	{ VMX_CTL_CPU_USE_MSR_BITMAPS,		REQUIRED },
	{ VMX_CTL_CPU_TPR_SHADOW,		WANTED, &tpr_shadow },
	{ VMX_CTL_CPU_ACTIVATE_SECONDARY,	WANTED },

	{ VMX_CTL_CPU2_ENABLE_EPT,		WANTED, &ept },
	{ VMX_CTL_CPU2_UNRESTRICTED_GUEST,	WANTED, &unrestricted_guest },
	{ VMX_CTL_CPU2_ENABLE_VPID,		WANTED, &vpid },
	{ VMX_CTL_CPU2_ENABLE_RDTSCP,		WANTED },
	{ VMX_CTL_CPU2_ENABLE_INVPCID,		WANTED },
	{ VMX_CTL_CPU2_WBINVD_EXITING,		WANTED },
	{ VMX_CTL_CPU2_ENABLE_XSAVES,		WANTED },
	{ VMX_CTL_CPU2_TSC_SCALING,		WANTED },
	{ VMX_CTL_CPU2_ENABLE_PML,		WANTED, &pml },
	{ VMX_CTL_CPU2_PAUSE_LOOP_EXITING,	WANTED },
	{ VMX_CTL_CPU2_ENCLS_EXITING,		WANTED },
	{ VMX_CTL_CPU2_VIRTUALIZE_APIC,		WANTED, &flexpriority },
	{ VMX_CTL_CPU2_VIRTUALIZE_X2APIC,	WANTED, &tpr_shadow },
	{ VMX_CTL_CPU2_APIC_REGISTER_VIRT,	WANTED, &enable_apicv },
	{ VMX_CTL_CPU2_VIRTUAL_INTR_DELIVERY,	WANTED, &enable_apicv },
	{ VMX_CTL_CPU2_CONCEAL_FROM_PT,		WANTED },

	{ VMX_CTL_EXIT_CTL_SAVE_DEBUG,		REQUIRED },
	{ VMX_CTL_EXIT_CTL_HOST_LONG_MODE,	REQUIRED },
	{ VMX_CTL_EXIT_CTL_ACK_INTR,		WANTED, &enable_apicv },
	{ VMX_CTL_EXIT_CTL_LOAD_PAT,		WANTED },
	{ VMX_CTL_EXIT_CTL_SAVE_PAT,		WANTED },
	{ VMX_CTL_EXIT_CTL_LOAD_EFER,		WANTED },
	{ VMX_CTL_EXIT_CTL_CONCEAL_FROM_PT,	WANTED },

	{ VMX_CTL_ENTRY_CTL_LOAD_DEBUG,		REQUIRED },
	{ VMX_CTL_ENTRY_CTL_LOAD_PAT,		WANTED },
	{ VMX_CTL_ENTRY_CTL_LOAD_EFER,		WANTED },
	{ VMX_CTL_ENTRY_CTL_CONCEAL_FROM_PT,	WANTED },
};

#define VMX_CONTROL_TITLE(word, name, bit, title) [VMX_CTL_##name] = title,
static const char * const ctl_titles[] __initconst = {
	VMX_CONTROLS(VMX_CONTROL_TITLE)
};

static int __init negotiate_controls(void)
{
	int i;

	for (i = 0; i < NR_VMX_WORDS; i++)
		vmx_config.ctl[i] = vmx_host_caps.ctl[i].zero;
	for (i = 0; i < ARRAY_SIZE(wishes); i++) {
		enum vmx_control ctl = wishes[i].ctl;
		u64 mask = VMX_CTL_MASK(ctl);
		int word = VMX_CTL_WORD(ctl);

		if (wishes[i].param && !*wishes[i].param)
			continue;
		if (vmx_host_caps.ctl[word].one & mask) {
			vmx_config.ctl[word] |= mask;
		} else if (wishes[i].need == REQUIRED) {
			pr_err("kvm: this processor's VT-x lacks \"%s\"\n",
			       ctl_titles[ctl]);
			return -EOPNOTSUPP;
		}
	}
	return 0;
}

/* Give back what is of no use without something else. */
static void __init drop_control(enum vmx_control ctl)
{
	vmx_config.ctl[VMX_CTL_WORD(ctl)] &= ~VMX_CTL_MASK(ctl);
}

static bool __init ept_usable(u64 cap)
{
	return (cap & EPTCAP_4_LEVELS) && (cap & EPTCAP_WALK_WB) &&
	       (cap & EPTCAP_INVEPT) &&
	       (cap & (EPTCAP_INVEPT_SINGLE | EPTCAP_INVEPT_ALL));
}

static bool __init vpid_usable(u64 cap)
{
	return (cap & VPIDCAP_INVVPID) &&
	       (cap & (VPIDCAP_INVVPID_SINGLE | VPIDCAP_INVVPID_ALL));
}

/* PAT and EFER are the guest's own where all of it can be switched. */
static bool __init pat_and_efer_switched(void)
{
	return vmx_has(VMX_CTL_ENTRY_CTL_LOAD_PAT) &&
	       vmx_has(VMX_CTL_EXIT_CTL_LOAD_PAT) &&
	       vmx_has(VMX_CTL_EXIT_CTL_SAVE_PAT) &&
	       vmx_has(VMX_CTL_ENTRY_CTL_LOAD_EFER) &&
	       vmx_has(VMX_CTL_EXIT_CTL_LOAD_EFER);
}

/* The dependencies between controls, which one at a time does not show. */
static void __init settle_controls(void)
{
	u64 cap = 0;

	if (!vmx_has(VMX_CTL_CPU_ACTIVATE_SECONDARY))
		vmx_config.ctl[VMX_WORD_CPU2] = 0;
	if (vmx_has(VMX_CTL_CPU2_ENABLE_EPT) ||
	    vmx_has(VMX_CTL_CPU2_ENABLE_VPID))
		cap = vmx_host_caps.ept_vpid;
	vmx_config.ept_vpid = cap;
	if (!vpid_usable(cap))
		drop_control(VMX_CTL_CPU2_ENABLE_VPID);
	/* With EPT the guest's own page tables depend on both. */
	if (!ept_usable(cap) || !pat_and_efer_switched())
		drop_control(VMX_CTL_CPU2_ENABLE_EPT);
	if (vmx_has(VMX_CTL_CPU2_ENABLE_EPT))
		return;
	drop_control(VMX_CTL_CPU2_UNRESTRICTED_GUEST);
	drop_control(VMX_CTL_CPU2_ENABLE_PML);
	/* It would exit. Without it guests flush by MOV to CR3, later, at once. */
	drop_control(VMX_CTL_CPU2_ENABLE_INVPCID);
	/* Its page tables are shadowed: what changes or caches them exits. */
	vmx_config.ctl[VMX_WORD_CPU] |= CPU_CR3_LOAD_EXITING |
					CPU_CR3_STORE_EXITING |
					CPU_INVLPG_EXITING;
	/* The host's PAT, whatever the guest says: the tables are ours. */
	drop_control(VMX_CTL_ENTRY_CTL_LOAD_PAT);
	drop_control(VMX_CTL_EXIT_CTL_LOAD_PAT);
	drop_control(VMX_CTL_EXIT_CTL_SAVE_PAT);
	if (!vmx_has(VMX_CTL_ENTRY_CTL_LOAD_EFER) ||
	    !vmx_has(VMX_CTL_EXIT_CTL_LOAD_EFER)) {
		drop_control(VMX_CTL_ENTRY_CTL_LOAD_EFER);
		drop_control(VMX_CTL_EXIT_CTL_LOAD_EFER);
	}
}

/* Take what a vCPU turns on for itself; no VMCS begins with it. */
static bool __init reserve_control(enum vmx_control ctl)
{
	bool has = vmx_has(ctl);

	drop_control(ctl);
	return has;
}

/*
 * All of APIC virtualisation builds on the TPR shadow. Of what delivers
 * interrupts we take all or nothing; posting wants interrupts acknowledged by
 * the exit. Where real mode is not the processor's own, it must not deliver
 * interrupts by itself either.
 */
static void __init settle_apic(void)
{
	bool shadow = reserve_control(VMX_CTL_CPU_TPR_SHADOW);
	bool access = reserve_control(VMX_CTL_CPU2_VIRTUALIZE_APIC);
	bool x2apic = reserve_control(VMX_CTL_CPU2_VIRTUALIZE_X2APIC);
	bool registers = reserve_control(VMX_CTL_CPU2_APIC_REGISTER_VIRT);
	bool delivery = reserve_control(VMX_CTL_CPU2_VIRTUAL_INTR_DELIVERY);
	bool posting = reserve_control(VMX_CTL_PIN_POSTED_INTR);
	bool ack = reserve_control(VMX_CTL_EXIT_CTL_ACK_INTR);

	kvm_caps.tpr_shadow = shadow;
	vmx_config.apic_access = shadow && access;
	vmx_config.x2apic = shadow && x2apic;
	kvm_caps.apicv = vmx_config.x2apic && registers && delivery &&
			 posting && ack && compat_has_posted_vector() &&
			 vmx_has(VMX_CTL_CPU2_UNRESTRICTED_GUEST);
	kvm_caps.preemption_timer =
		reserve_control(VMX_CTL_PIN_PREEMPTION_TIMER);
	tpr_shadow = shadow;
	flexpriority = vmx_config.apic_access;
	enable_apicv = kvm_caps.apicv;
	preemption_timer = kvm_caps.preemption_timer;
}

/*
 * State that xcr0_valid() knows the rules of and that the FPU state of every
 * guest has room for: not AMX, whose room the kernel gives out on demand.
 */
#define GUEST_XCR0	(XFEATURE_MASK_FPSSE | XFEATURE_MASK_YMM |	\
			 XFEATURE_MASK_BNDREGS | XFEATURE_MASK_BNDCSR |	\
			 XFEATURE_MASK_AVX512 | XFEATURE_MASK_PKRU)

static void __init fill_caps(void)
{
	u64 cap = vmx_config.ept_vpid;

	kvm_caps.ept = vmx_has(VMX_CTL_CPU2_ENABLE_EPT);
	if (!kvm_caps.ept)
		cap = 0;
	kvm_caps.ept_ad = eptad && (cap & EPTCAP_ACCESSED_DIRTY);
	/* Each vCPU turns it on while there is something to log. */
	kvm_caps.pml = kvm_caps.ept_ad && vmx_has(VMX_CTL_CPU2_ENABLE_PML);
	vmx_config.ctl[VMX_WORD_CPU2] &= ~CPU2_ENABLE_PML;
	kvm_caps.ept_2m = cap & EPTCAP_2M_PAGES;
	kvm_caps.ept_1g = cap & EPTCAP_1G_PAGES;
	kvm_caps.ept_levels = cap & EPTCAP_5_LEVELS ? PT_LEVEL_256T :
						      PT_LEVEL_512G;
	kvm_caps.unrestricted_guest = vmx_has(VMX_CTL_CPU2_UNRESTRICTED_GUEST);
	kvm_caps.vpid = vmx_has(VMX_CTL_CPU2_ENABLE_VPID);
	/* Whoever reads the parameters wants to know what is in use. */
	ept = kvm_caps.ept;
	unrestricted_guest = kvm_caps.unrestricted_guest;
	vpid = kvm_caps.vpid;
	kvm_caps.rdtscp = vmx_has(VMX_CTL_CPU2_ENABLE_RDTSCP);
	kvm_caps.rdpid = kvm_caps.rdtscp;
	kvm_caps.invpcid = vmx_has(VMX_CTL_CPU2_ENABLE_INVPCID);
	kvm_caps.xsaves = vmx_has(VMX_CTL_CPU2_ENABLE_XSAVES) &&
			  boot_cpu_has(X86_FEATURE_XSAVES);
	kvm_caps.spec_ctrl = boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	kvm_caps.umip = boot_cpu_has(X86_FEATURE_UMIP);

	kvm_caps.tsc_scaling = vmx_has(VMX_CTL_CPU2_TSC_SCALING);
	kvm_caps.tsc_ratio_frac_bits = 48;	/* "TSC multiplier" */
	kvm_caps.tsc_ratio_default = 1ull << 48;
	kvm_caps.tsc_ratio_max = U64_MAX;
	kvm_caps.host_maxphyaddr = boot_cpu_data.x86_phys_bits;
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrq(MSR_IA32_XSS, kvm_caps.host_xss);
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		kvm_caps.host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	kvm_caps.xcr0 = kvm_caps.host_xcr0 & GUEST_XCR0;
}

static void describe_paging(char *buf, size_t size)
{
	const u64 cap = vmx_config.ept_vpid;

	if (!kvm_caps.ept)
		strscpy(buf, "shadow page tables", size);
	else
		snprintf(buf, size, "EPT (%d levels%s%s%s)",
			 kvm_caps.ept_levels,
			 kvm_caps.ept_2m ? ", 2M" : "",
			 kvm_caps.ept_1g ? ", 1G" : "",
			 kvm_caps.ept_ad ? ", A/D" :
			 cap & EPTCAP_ACCESSED_DIRTY ? ", A/D off" : "");
}

void vmx_caps_report(void)
{
	char paging[48];

	describe_paging(paging, sizeof(paging));
	pr_info("kvm: VT-x with %s%s%s%s%s%s%s%s%s; VMCS revision %#x\n",
		paging,
		kvm_caps.unrestricted_guest ? ", unrestricted guest" : "",
		kvm_caps.vpid ? ", VPID" : "", kvm_caps.pml ? ", PML" : "",
		kvm_caps.apicv ? ", APICv" :
		kvm_caps.tpr_shadow ? ", TPR shadow" : "",
		vmx_config.apic_access ? ", APIC-access page" : "",
		kvm_caps.preemption_timer ? ", preemption timer" : "",
		kvm_caps.tsc_scaling ? ", TSC scaling" : "",
		kvm_caps.xsaves ? ", XSAVES" : "",
		vmx_config.revision);
}

/* ---- is VT-x there, and free? ------------------------------------------- */

static int __init check_available(void)
{
	/* The kernel clears X86_FEATURE_VMX where firmware forbids VMXON. */
	if (!(cpuid_ecx(1) & BIT(5))) {
		pr_err("kvm: this processor has no VT-x\n");
		return -EOPNOTSUPP;
	}
	if (!boot_cpu_has(X86_FEATURE_VMX)) {
		pr_err("kvm: VT-x is disabled by firmware (IA32_FEATURE_CONTROL)\n");
		return -EOPNOTSUPP;
	}
	if (!compat_core_owns_vmx() && (__read_cr4() & X86_CR4_VMXE)) {
		pr_err("kvm: VT-x is in use by another hypervisor (CR4.VMXE is set)\n");
		return -EBUSY;
	}
	return 0;
}

int __init vmx_caps_setup(void)
{
	u64 basic;
	int r;

	r = check_available();
	if (r)
		return r;
	vmx_read_caps(&vmx_host_caps);
	basic = vmx_host_caps.basic;
	vmx_config.revision = basic & VMXCAP_BASIC_REVISION;
	vmx_config.region_size = VMXCAP_BASIC_SIZE(basic);
	if (vmx_config.region_size > PAGE_SIZE ||
	    VMXCAP_BASIC_MEMTYPE(basic) != MEMTYPE_WB) {
		pr_err("kvm: VMCS regions of %u bytes, memory type %llu are not supported\n",
		       vmx_config.region_size, VMXCAP_BASIC_MEMTYPE(basic));
		return -EOPNOTSUPP;
	}
	vmx_config.cr0_fixed0 = vmx_host_caps.cr0_fixed0;
	vmx_config.cr4_fixed0 = vmx_host_caps.cr4_fixed0;
	vmx_config.cr4_fixed1 = vmx_host_caps.cr4_fixed1;
	rdmsrq(MSR_IA32_SYSENTER_CS, vmx_config.host_sysenter_cs);
	rdmsrq(MSR_IA32_SYSENTER_EIP, vmx_config.host_sysenter_eip);
	rdmsrq(MSR_IA32_CR_PAT, vmx_config.host_pat);
	rdmsrq(MSR_EFER, vmx_config.host_efer);
	r = negotiate_controls();
	if (r)
		return r;
	settle_controls();
	settle_apic();
	fill_caps();
	return 0;
}

/* ---- VMX operation ------------------------------------------------------ */

void *vmx_alloc_region(int cpu, gfp_t gfp)
{
	struct page *page = alloc_pages_node(cpu_to_node(cpu),
					     gfp | __GFP_ZERO, 0);

	if (!page)
		return NULL;
	*(u32 *)page_address(page) = vmx_config.revision;
	return page_address(page);
}

void vmx_free_region(void *region)
{
	free_page((unsigned long)region);
}

static DEFINE_PER_CPU(void *, vmxon_region);

int __init vmx_regions_alloc(void)
{
	int cpu;

	if (compat_core_owns_vmx())
		return 0;
	for_each_possible_cpu(cpu) {
		void *region = vmx_alloc_region(cpu, GFP_KERNEL);

		if (!region) {
			vmx_regions_free();
			return -ENOMEM;
		}
		per_cpu(vmxon_region, cpu) = region;
	}
	return 0;
}

void vmx_regions_free(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		vmx_free_region(per_cpu(vmxon_region, cpu));
		per_cpu(vmxon_region, cpu) = NULL;
	}
}

/* Ours to turn on where the kernel does not do it for all its users. */
static int vmxon_here(void)
{
	int r;

	if (cr4_read_shadow() & X86_CR4_VMXE)
		return -EBUSY;
	compat_intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	r = vmxon(__pa(this_cpu_read(vmxon_region)));
	if (r) {
		cr4_clear_bits(X86_CR4_VMXE);
		compat_intel_pt_handle_vmx(0);
	}
	return r;
}

int vmx_cpu_on(void)
{
	return compat_core_owns_vmx() ? compat_vmx_get() : vmxon_here();
}

void vmx_cpu_off(void)
{
	if (compat_core_owns_vmx()) {
		compat_vmx_put();
		return;
	}
	if (vmxoff())
		return;
	cr4_clear_bits(X86_CR4_VMXE);
	compat_intel_pt_handle_vmx(0);
}
