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
struct kvm_apf_queue;

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

	/* End of interrupt. */
	struct kvm_pv_area eoi;
	bool eoi_on;			/* there is one to offer it in */
	bool eoi_offered;		/* for the highest vector in service */
	u8 eoi_late;			/* EOIs by register meanwhile */

	bool unhalted;			/* HLT ends, or the next one will */

	/* Asynchronous page faults; async_pf.c. */
	bool apf_on;
	bool apf_told;			/* of a page, and no answer yet */
	bool apf_wake_all;		/* tell that all pages are there */
	u32 apf_number;			/* of the last token */
	struct kvm_apf_queue *apf_queue;	/* NULL: none was needed */
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

/*
 * The hypercall of the other vendor's processors, which is #UD, is at RIP:
 * replace it in the guest's memory, to be run again, or do it, where that is
 * read-only. kvm->srcu held.
 */
void kvm_fix_hypercall(struct kvm_vcpu *vcpu, gva_t insn);

/* The vCPU is loaded; preemption is off. */
void kvm_pv_load(struct kvm_vcpu *vcpu);
/* Its thread is preempted; no interrupts, no page faults. */
void kvm_pv_preempted(struct kvm_vcpu *vcpu);
/*
 * Instead of writing EOI, the guest may clear a bit in its memory: offer it.
 * kvm->srcu held.
 */
void kvm_pv_offer_eoi(struct kvm_vcpu *vcpu);
/* True: the guest has done so, and the offer is over. Interrupts may be off. */
bool kvm_pv_eoi_taken(struct kvm_vcpu *vcpu);
/* The offer is over in any case; the same answer. kvm->srcu held. */
bool kvm_pv_withdraw_eoi(struct kvm_vcpu *vcpu);
/* Another vCPU has asked for the end of HLT: true once. */
bool kvm_pv_take_kick(struct kvm_vcpu *vcpu);
/* KVM_REQ_STEAL_TIME. kvm->srcu held. */
void kvm_pv_update_steal_time(struct kvm_vcpu *vcpu);

/* ---- async_pf.c --------------------------------------------------------- */

int kvm_apf_module_init(void);
void kvm_apf_module_exit(void);		/* waits for what is under way */
/* The guest waits for no page any more. */
void kvm_apf_forget(struct kvm_vcpu *vcpu);
void kvm_apf_destroy(struct kvm_vcpu *vcpu);	/* of a vCPU that goes */
/* The MSRs changed; by the monitor? Interrupts may be off, both. */
void kvm_apf_changed(struct kvm_vcpu *vcpu, bool host);
void kvm_apf_acknowledge(struct kvm_vcpu *vcpu);
/*
 * Memory must be brought in. True: it will be, and the guest has a #PF to run
 * something else meanwhile. False: wait for it. kvm->srcu held.
 */
bool kvm_apf_begin(struct kvm_vcpu *vcpu, hva_t hva, bool write);
/* KVM_REQ_APF_READY. kvm->srcu held. */
void kvm_apf_tell_ready(struct kvm_vcpu *vcpu);

#endif
