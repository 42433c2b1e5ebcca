/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * vmcsinfo.h - where a processor keeps each field in a VMCS region: the note
 * that /sys/class/misc/kvm/vmcsinfo holds. Documentation/vmcsinfo.rst defines
 * it.
 */
#ifndef _KVM_VMCSINFO_H
#define _KVM_VMCSINFO_H

#include <linux/types.h>

#define VMCSINFO_MAGIC		"VMCSINFO"
#define VMCSINFO_VERSION	1

/* Little-endian, without padding. Fields follow at header_size. */
struct vmcsinfo_header {
	__u8	magic[8];
	__u16	version;
	__u16	header_size;	/* bytes; later versions may add to the end */
	__u16	entry_size;	/* bytes of one field; likewise */
	__u16	nr_fields;
	__u32	revision;	/* VMCS revision identifier */
	__u32	region_size;	/* bytes of a VMCS region */
	__u32	cpuid_signature;	/* CPUID leaf 1, EAX */
	__u32	microcode;	/* update signature, as the kernel prints it */
};

/* Ascending by encoding. */
struct vmcsinfo_field {
	__u16	encoding;
	__u16	offset;		/* bytes from the start of the region */
	__u8	size;		/* bytes that the field takes there */
	__u8	flags;
	__u16	reserved;	/* 0 */
};

#define VMCSINFO_READ_ONLY	(1 << 0)	/* VMWRITE refuses it */
#define VMCSINFO_TRANSFORMED	(1 << 1)	/* stored otherwise than read */
#define VMCSINFO_NOT_IN_MEMORY	(1 << 2)	/* offset and size are 0 */
#define VMCSINFO_CONFIRMED	(1 << 3)	/* VMWRITE changed these bytes only */

#endif
