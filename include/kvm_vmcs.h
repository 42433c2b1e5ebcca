/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kvm_vmcs.h - for monitors: a vCPU's VMCS, and why its last entry failed.
 * Documentation/observing.rst tells how to use it.
 *
 * KVM_CHECK_EXTENSION(KVM_CAP_VMCS) returns the version of what is in here; 0:
 * there is nothing of it. Structures begin with their size as the caller knows
 * it, and may grow at the end: what the module does not know must be zero, or
 * it refuses with -E2BIG, as it does what is longer than a page. -EINVAL:
 * shorter than in version 1.
 */
#ifndef _KVM_VMCS_H
#define _KVM_VMCS_H

#include <linux/kvm.h>

#define KVM_CAP_VMCS		0x564d4353
#define KVM_VMCS_VERSION	1

struct kvm_vmcs_field {
	__u16 encoding;		/* as for VMREAD */
	__u16 flags;		/* KVM_VMCS_FIELD_* */
	__u32 reserved;
	__u64 value;
};

/*
 * Only for callers with CAP_SYS_ADMIN: the host's own state and physical
 * addresses of the host's memory. The value is 0.
 */
#define KVM_VMCS_FIELD_WITHHELD	(1 << 0)

/*
 * KVM_GET_VMCS, on a vCPU. The fields are in ascending order of encodings;
 * there are those that the processor has. -EINVAL: flags, or no such VMCS is
 * defined; -E2BIG: nr_fields, which tells what is needed, was too small.
 */
struct kvm_vmcs {
	__u32 size;		/* of this structure */
	__u32 which;		/* KVM_VMCS_CURRENT */
	__u32 nr_fields;	/* in: room at `fields`; out: that there are */
	__u32 flags;		/* 0 */
	__u64 fields;		/* in: struct kvm_vmcs_field * */
	__u64 pointer;		/* out: its physical address, or 0: withheld */
	__u32 revision;		/* out: VMCS revision identifier */
	__u32 launched;		/* out: launch state */
};

#define KVM_VMCS_CURRENT	0	/* with which this vCPU's guest runs */

/*
 * KVM_GET_ENTRY_FAILURE, on a vCPU: the last VM entry that failed, and the
 * rules of the SDM that it broke, in words, a line each. -E2BIG: text_size was
 * too small for the text and its NUL.
 */
struct kvm_entry_failure {
	__u32 size;		/* of this structure */
	__u32 text_size;	/* in: bytes at `text`; out: that are needed */
	__u64 text;		/* in: char * */
	__u64 count;		/* out: failed entries so far; 0: the rest is 0 */
	__u32 error;		/* out: VM-instruction error, or 0 */
	__u32 exit_reason;	/* out: exit reason, or 0 */
	__u64 qualification;	/* out: of that exit */
	__u32 nr_broken;	/* out: rules that were broken */
	__u32 reserved;
};

#define KVM_GET_VMCS		_IO(KVMIO, 0xf0)
#define KVM_GET_ENTRY_FAILURE	_IO(KVMIO, 0xf1)

#endif
