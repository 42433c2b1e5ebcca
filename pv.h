/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pv.h - what the driver does for guests that know of it: the state that a
 * vCPU keeps for it, and what pv.c offers. kvm.h includes this file.
 */
#ifndef KVM_PV_H
#define KVM_PV_H

#include <linux/kvm_types.h>
#include <linux/types.h>

struct kvm_vcpu;
struct kvm_memory_slot;

/* Guest memory, within one page, that host and guest share; own thread. */
struct kvm_pv_area {
	gpa_t gpa;
	struct kvm_memory_slot *slot;	/* NULL: nothing to write to */
	u64 slots_gen;			/* when that was so */
};

struct kvm_vcpu_pv {
	u32 features;			/* KVM_FEATURE_*, by the guest's CPUID */
	bool enforced;			/* it may use no others */

	/* Steal time. */
	struct kvm_pv_area steal;
	struct task_struct *runner;	/* whose delay was; only compared */
	u64 run_delay;			/* ns that it had waited for a CPU */
	bool between_insns;		/* nothing of the guest's is under way */
	bool told_preempted;		/* the guest was told so */
};

/* What the guest may use has changed. */
void kvm_pv_cpuid_changed(struct kvm_vcpu *vcpu, u32 features);
/* Reset and INIT: no memory of the guest is written any more. */
void kvm_pv_reset(struct kvm_vcpu *vcpu, bool init);

/* MSR_KVM_*: 0, or 1 for #GP. Interrupts may be off. */
int kvm_pv_get_msr(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host);
int kvm_pv_set_msr(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host);

/*
 * VMCALL: what RAX asks for is done, and RAX has the result. False: it must
 * sleep, and kvm_hypercall() must do it. Interrupts may be off.
 */
bool kvm_hypercall_fast(struct kvm_vcpu *vcpu);
void kvm_hypercall(struct kvm_vcpu *vcpu);	/* kvm->srcu held */

/* The vCPU is loaded; preemption is off. */
void kvm_pv_load(struct kvm_vcpu *vcpu);
/* Its thread is preempted; no interrupts, no page faults. */
void kvm_pv_preempted(struct kvm_vcpu *vcpu);
/* KVM_REQ_STEAL_TIME. kvm->srcu held. */
void kvm_pv_update_steal_time(struct kvm_vcpu *vcpu);

#endif
