/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx_mitigations.h - what keeps a guest from reading, or steering, the
 * host's speculative execution, as the host's administrator has set it.
 *
 * Three more measures live where their instruction must be: the return stack
 * is refilled and buffers are cleared in vmx_entry.S, branch predictors get a
 * barrier between guests in vmcs_load(), vmx.c.
 */
#ifndef KVM_VMX_MITIGATIONS_H
#define KVM_VMX_MITIGATIONS_H

#include <linux/jump_label.h>

#include "kvm.h"
#include "vmcs.h"

/* Module load; decides by the processor's bugs and the kernel's parameters. */
int vmx_mitigations_setup(void);
void vmx_mitigations_unsetup(void);

/*
 * Something is to be done before each entry: one of these measures, or it is
 * traced. One branch in the inner loop for all of it.
 */
DECLARE_STATIC_KEY_FALSE(vmx_entry_work);
DECLARE_STATIC_KEY_FALSE(vmx_l1d_flush);
DECLARE_STATIC_KEY_FALSE(vmx_l1d_flush_always);
void vmx_flush_l1d(void);

/*
 * Before each entry, interrupts off. `again`: only an exit that touched
 * little of the host's memory lies between the last entry and this one.
 */
static __always_inline void vmx_mitigations_enter(bool again)
{
	if (static_branch_unlikely(&vmx_l1d_flush) &&
	    (!again || static_branch_unlikely(&vmx_l1d_flush_always)))
		vmx_flush_l1d();
	else if (compat_clear_buffers_mmio())
		x86_clear_cpu_buffers();
}

/*
 * IA32_SPEC_CTRL around the entry; noinstr. `passed`: the guest writes it
 * without an exit, so that only the register has its value.
 */
static __always_inline void vmx_spec_ctrl_guest(const struct kvm_vcpu *vcpu)
{
	if (cpu_feature_enabled(X86_FEATURE_MSR_SPEC_CTRL) &&
	    vcpu->msr.spec_ctrl != compat_host_spec_ctrl()) {
		vmx_count(wrmsr);
		native_wrmsrq(MSR_IA32_SPEC_CTRL, vcpu->msr.spec_ctrl);
	}
}

static __always_inline void vmx_spec_ctrl_host(struct kvm_vcpu *vcpu,
					       bool passed)
{
	if (!cpu_feature_enabled(X86_FEATURE_MSR_SPEC_CTRL))
		return;
	if (passed) {
		vmx_count(rdmsr);
		vcpu->msr.spec_ctrl = __rdmsr(MSR_IA32_SPEC_CTRL);
	}
	/* With IBRS the write itself is the barrier, whatever the value. */
	if (cpu_feature_enabled(X86_FEATURE_KERNEL_IBRS) ||
	    vcpu->msr.spec_ctrl != compat_host_spec_ctrl()) {
		vmx_count(wrmsr);
		native_wrmsrq(MSR_IA32_SPEC_CTRL, compat_host_spec_ctrl());
	}
	barrier_nospec();
}

#endif
