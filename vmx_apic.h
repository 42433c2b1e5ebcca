/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx_apic.h - what VT-x does for local APICs in the kernel: vmx_apic.c, as
 * vmx.c and the operations of struct kvm_backend use it.
 */
#ifndef KVM_VMX_APIC_H
#define KVM_VMX_APIC_H

#include "vmx_vcpu.h"

/*
 * "Posted-Interrupt Processing". 64 bytes, of which we use what the processor
 * does: nothing but other vCPUs and the driver posts.
 */
struct vmx_posted {
	unsigned long requests[4];	/* PIR: a bit for each vector */
	unsigned long control;		/* bit 0 is ON */
	unsigned long unused[3];
};
static_assert(sizeof(struct vmx_posted) == 64);

#define POSTED_ON	0	/* something is posted, and has been told */

/* ---- life --------------------------------------------------------------- */

/* With local APICs in the kernel; not loaded, kvm->lock held. 0 or -ENOMEM. */
int vmx_apic_create(struct vcpu_vmx *vmx);
void vmx_apic_free(struct vcpu_vmx *vmx);
void vmx_apic_vm_free(struct kvm *kvm);		/* its tables are gone */
void vmx_apic_init_vmcs(struct vcpu_vmx *vmx);	/* the VMCS is current */

/* ---- operations of struct kvm_backend ----------------------------------- */

void vmx_apic_mode(struct kvm_vcpu *vcpu);
void vmx_apic_tpr_threshold(struct kvm_vcpu *vcpu, int threshold);
bool vmx_apic_post(struct kvm_vcpu *vcpu, u8 vector);
int vmx_apic_take_posted(struct kvm_vcpu *vcpu);
bool vmx_apic_has_posted(struct kvm_vcpu *vcpu);
void vmx_apic_reload(struct kvm_vcpu *vcpu);
void vmx_apic_eoi_exits(struct kvm_vcpu *vcpu, const unsigned long *bitmap);
bool vmx_set_timer(struct kvm_vcpu *vcpu, u64 now, u64 tsc);
void vmx_cancel_timer(struct kvm_vcpu *vcpu);

/* ---- entry and exits ---------------------------------------------------- */

/* If vmx->apic_entry is not 0; interrupts are off. */
void vmx_apic_enter(struct vcpu_vmx *vmx);

/*
 * Those that come after their instruction: nothing is to be skipped, and
 * interrupts may be off. See fast_exit() for the reasons.
 */
void vmx_apic_exit(struct vcpu_vmx *vmx);
/*
 * "APIC-Access VM Exits", by an instruction: the address, or INVALID_GPA where
 * it was no access to data.
 */
gpa_t vmx_apic_accessed(struct vcpu_vmx *vmx);
/* It was the write that signals the end of an interrupt, whatever its value. */
bool vmx_apic_eoi_written(struct vcpu_vmx *vmx);

#endif
