/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx_rmode.h - what real mode and unpaged mode take on a processor that can
 * enter a guest only with CR0.PE and CR0.PG set. vmx.c decides when.
 */
#ifndef KVM_VMX_RMODE_H
#define KVM_VMX_RMODE_H

#include "kvm.h"

/*
 * "Task-State Segment (TSS)", "I/O Permission Bit Map": 104 bytes, a bit for
 * each port, and a byte of ones that ends them.
 */
#define RMODE_TSS_IOMAP		0x68
#define RMODE_TSS_LIMIT		(RMODE_TSS_IOMAP + 65536 / 8)

/*
 * Put the TSS, or the identity-mapping page directory, into guest memory, in
 * the context of kvm->mm. 0 also if it is there already; -EEXIST: something
 * else is there, or it is elsewhere.
 */
int vmx_rmode_add_tss(struct kvm *kvm, gpa_t addr);
int vmx_rmode_add_identity_map(struct kvm *kvm);

/*
 * Can a segment register of real mode be that of virtual-8086 mode, in which
 * the base follows from the selector and the limit is 64K? A larger limit
 * may be: what lies beyond 64K faults and is emulated.
 */
bool vmx_segment_fits_vm86(const struct kvm_segment *s, enum kvm_seg seg);

/*
 * "Checks on Guest Segment Registers", without unrestricted guest. `seg`: all
 * of them, in the order of enum kvm_seg.
 */
bool vmx_segments_enterable(const struct kvm_segment *seg, bool vm86,
			    bool ia32e);

#endif
