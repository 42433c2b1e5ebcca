/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx_caps.h - what the processor's VT-x offers and what of it is in use,
 * and VMX operation on each CPU. vmx_caps.c fills it in at load.
 */
#ifndef KVM_VMX_CAPS_H
#define KVM_VMX_CAPS_H

#include <linux/types.h>

#include "vmx.h"
#include "vmx_checks.h"

/* What the processor allows, whether we use it or not. */
extern struct vmx_caps vmx_host_caps;

struct vmx_config {
	u32 revision;			/* VMCS revision identifier */
	u32 region_size;		/* bytes of a VMCS region, at most 4096 */
	u64 ept_vpid;			/* IA32_VMX_EPT_VPID_CAP */
	u64 ctl[NR_VMX_WORDS];		/* controls that every VMCS begins with */
	u64 cr0_fixed0;			/* bits that must be 1 */
	u64 cr4_fixed0, cr4_fixed1;	/* ... and those that may be */
	/* What else than kvm_caps.tpr_shadow and apicv there is of the APIC. */
	bool apic_access;		/* "virtualize APIC accesses" */
	bool x2apic;			/* "virtualize x2APIC mode" */
	/* Of the host, the same on all CPUs. */
	u64 host_sysenter_cs, host_sysenter_eip, host_pat, host_efer;
};
extern struct vmx_config vmx_config;

/* Does every VMCS begin with this control (VMX_CTL_*) set? */
static inline bool vmx_has(enum vmx_control ctl)
{
	return vmx_config.ctl[VMX_CTL_WORD(ctl)] & VMX_CTL_MASK(ctl);
}

/*
 * Read the capability MSRs and choose the controls. -EOPNOTSUPP: no VT-x, or
 * not enough of it, or firmware has disabled it; -EBUSY: another hypervisor
 * is in VMX operation. One line in the log says why.
 */
int vmx_caps_setup(void);
void vmx_caps_report(void);	/* the line that says what is in use */

/* One page each, per possible CPU, for VMXON. */
int vmx_regions_alloc(void);
void vmx_regions_free(void);

/* This CPU, preemption disabled. 0, -EBUSY or -EIO. */
int vmx_cpu_on(void);
void vmx_cpu_off(void);

/* A VMCS region with its revision identifier, or NULL. */
void *vmx_alloc_region(int cpu, gfp_t gfp);
void vmx_free_region(void *region);

/* ---- vmcsinfo.c --------------------------------------------------------- */

struct attribute_group;

/* The file `vmcsinfo` of /dev/kvm's device. */
extern const struct attribute_group *vmcsinfo_groups[];
void vmcsinfo_exit(void);	/* nobody has the file open any more */

#endif
