/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx_view.h - a vCPU's VMCS for those who look at it, for vmx.c.
 */
#ifndef KVM_VMX_VIEW_H
#define KVM_VMX_VIEW_H

#include <linux/compiler_types.h>

struct dentry;
struct kvm_vcpu;

void vmx_view_debugfs(struct kvm_vcpu *vcpu, struct dentry *dir);
/* KVM_REQ_BACKEND: somebody wants to see this vCPU's VMCS. vCPU loaded. */
void vmx_view_request(struct kvm_vcpu *vcpu);
/* KVM_GET_VMCS, KVM_GET_ENTRY_FAILURE; see include/kvm_vmcs.h. vCPU loaded. */
int vmx_get_vmcs(struct kvm_vcpu *vcpu, void __user *user);
int vmx_get_entry_failure(struct kvm_vcpu *vcpu, void __user *user);

#endif
