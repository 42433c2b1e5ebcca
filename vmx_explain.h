/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx_explain.h - why a VM entry failed.
 */
#ifndef KVM_VMX_EXPLAIN_H
#define KVM_VMX_EXPLAIN_H

#include "vmx_checks.h"

struct dentry;
struct kvm_vcpu;

/* The last entry of a vCPU that failed. */
struct vmx_entry_failure {
	u64 count;			/* of all so far; 0: there was none */
	u32 error;			/* VM-instruction error, or 0 */
	u32 exit_reason;		/* or 0 */
	u64 qualification;		/* with an exit reason */
	u32 nr_broken;			/* may be more than there is room for */
	struct vmx_broken broken[4];	/* the first, in the SDM's order */
};

/*
 * An entry has failed: with a VM-instruction error, or an exit reason that
 * says so; 0 where the instruction faulted. The vCPU is loaded, and its VMCS
 * as it was. Finds out which rules are broken, remembers and reports them.
 */
void vmx_explain_failure(struct kvm_vcpu *vcpu, u32 reason);

/* What is remembered; any context that may take a spinlock. */
void vmx_last_failure(struct kvm_vcpu *vcpu, struct vmx_entry_failure *out);

/*
 * All of it as lines of text; `to_all`: without values of the host. Returns
 * the length, without the final NUL.
 */
#define VMX_FAILURE_TEXT_SIZE	1536
int vmx_failure_text(const struct vmx_entry_failure *failure, bool to_all,
		     char *text, int size);

/* vcpu<id>/entry_failure, a text for people. */
void vmx_explain_debugfs(struct kvm_vcpu *vcpu, struct dentry *dir);

#endif
