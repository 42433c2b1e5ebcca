/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx_vcpu.h - a vCPU as the VT-x backend sees it: shared by vmx.c, which
 * owns it, and the parts of the backend in files of their own (vmx_apic.c).
 *
 * Locking: as vmx.c says. All belongs to the vCPU's thread; what reads or
 * writes the VMCS wants the vCPU loaded.
 */
#ifndef KVM_VMX_VCPU_H
#define KVM_VMX_VCPU_H

#include "kvm.h"
#include "vmcs.h"
#include "vmx_caps.h"
#include "vmx_explain.h"

/* A VMCS region, and what we know of its contents without asking. */
struct loaded_vmcs {
	void *region;
	int cpu;			/* active on, or -1 */
	bool launched;
	struct list_head link;		/* in loaded_vmcss of that CPU */
	unsigned long host_cr3, host_cr4, host_rsp;
	unsigned long host_fs_base, host_gs_base;
	u16 host_fs_sel, host_gs_sel;
	u32 ctl[NR_VMX_WORDS];		/* control words as written */
};

/* What was already read from the VMCS for this exit. */
enum {
	EXIT_HAS_QUALIFICATION	= BIT(0),
	EXIT_HAS_INTR_INFO	= BIT(1),
};

/* MSRs that only user mode and SYSCALL look at: switched lazily. */
enum user_msr {
	UMSR_STAR, UMSR_LSTAR, UMSR_SYSCALL_MASK, UMSR_TSC_AUX,
	UMSR_EFER,		/* where entries and exits do not switch it */
	NR_UMSRS
};

#define NR_PERF_MSRS	4	/* perf asks for two at most */

/* vcpu_vmx.apic_entry: what to see to at each entry. */
enum {
	APIC_ENTRY_POSTED	= BIT(0),	/* take posted interrupts */
	APIC_ENTRY_TIMER	= BIT(1),	/* load the preemption timer */
	APIC_ENTRY_WAIT		= BIT(2),	/* not before timer_due */
};

struct vcpu_vmx {
	struct kvm_vcpu vcpu;		/* first: kvm.h allocates it so */
	struct loaded_vmcs vmcs;
	unsigned long *msr_bitmap;
	/* MSRs that perf has otherwise while a guest runs; see perf_switch(). */
	u32 nr_perf_msrs;
	struct vmx_msr_entry perf_guest[NR_PERF_MSRS];
	struct vmx_msr_entry perf_host[NR_PERF_MSRS];
	u32 ple_window;
	unsigned long ple_switches;	/* of the thread, at the last exit */
	u64 *pml;			/* the processor's dirty log, or NULL */
	bool pml_on;
	u16 vpid;			/* 0: none */

	/* The last exit. */
	u32 exit_reason;
	u32 exit_intr_info;
	unsigned long exit_qualification;
	u32 exit_cached;		/* EXIT_HAS_* */
	u32 idt_vectoring;
	u8 entry_error;			/* of vmx_enter() */

	bool spec_ctrl_passed;		/* the guest writes it by itself */
	u64 msr_exit_rip;		/* user space carries out the access */
	bool event_in_entry;		/* VM_ENTRY_INTR_INFO is valid */
	unsigned long rflags;
	bool single_step;		/* TF is the monitor's, not the guest's */
	u64 eptp;

	/* A local APIC in the kernel: vmx_apic.c. */
	u8 apic_entry;			/* APIC_ENTRY_* */
	int tpr_threshold;		/* as in the VMCS */
	bool apic_elsewhere;		/* not at the APIC-access page */
	struct vmx_posted *posted;	/* NULL without apicv_active */
	unsigned long eoi_exits[4];	/* as in the VMCS */
	u64 timer_deadline;		/* of the host's TSC */
	u64 timer_due;			/* ... that was the last to expire */
	u32 timer_advance;		/* by so much it exits before */

	/* Real mode without unrestricted guest. */
	u32 special;			/* SPECIAL_* */
	bool vm86;			/* the VMCS is set up to run it */
	u32 iopl;			/* of the guest, with vm86 */
	u32 sysenter_cs;		/* likewise */
	struct kvm_segment seg[VCPU_NR_SEGS];	/* but LDTR */

	/* Host state that is swapped between load and put. */
	bool guest_state_loaded;
	u16 host_fs_sel, host_gs_sel, host_ldt_sel, host_ds_sel, host_es_sel;
	u64 host_kernel_gs_base;
	u64 guest_kernel_gs_base;
	bool user_msrs_loaded;
	u64 user_msr[NR_UMSRS];
	u64 cstar;

	struct vmx_entry_failure entry_failure;	/* vmx_explain.c */
	struct vmx_view *view;		/* vmx_view.c: somebody waits for it */
};

static inline struct vcpu_vmx *to_vmx(struct kvm_vcpu *vcpu)
{
	return container_of(vcpu, struct vcpu_vmx, vcpu);
}

/* What is newer in the vCPU than in its VMCS, into the VMCS. Own CPU. */
void vmx_write_registers(struct kvm_vcpu *vcpu);

/* ---- control words ------------------------------------------------------ */

extern const u32 vmx_ctl_fields[NR_VMX_WORDS];

static __always_inline void ctl_write(struct vcpu_vmx *vmx,
				      enum vmx_control_word word, u32 value)
{
	if (vmx->vmcs.ctl[word] == value)
		return;
	vmx->vmcs.ctl[word] = value;
	vmcs_write32(vmx_ctl_fields[word], value);
}

static inline void ctl_set(struct vcpu_vmx *vmx, enum vmx_control ctl, bool on)
{
	u32 old = vmx->vmcs.ctl[VMX_CTL_WORD(ctl)], mask = VMX_CTL_MASK(ctl);

	ctl_write(vmx, VMX_CTL_WORD(ctl), on ? old | mask : old & ~mask);
}

/* ---- MSR bitmap --------------------------------------------------------- */

enum { MSR_READ = BIT(0), MSR_WRITE = BIT(1) };

/* Does the guest's access (MSR_READ, MSR_WRITE or both) to the MSR exit? */
void vmx_msr_intercept(struct vcpu_vmx *vmx, u32 msr, int access, bool on);

/* ---- the last exit ------------------------------------------------------ */

static inline unsigned long exit_qualification(struct vcpu_vmx *vmx)
{
	if (!(vmx->exit_cached & EXIT_HAS_QUALIFICATION)) {
		vmx->exit_qualification = vmcs_readl(EXIT_QUALIFICATION);
		vmx->exit_cached |= EXIT_HAS_QUALIFICATION;
	}
	return vmx->exit_qualification;
}

#endif
