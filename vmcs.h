/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmcs.h - the instructions of VMX, and typed access to the current VMCS.
 *
 * A field's width is checked against the accessor where the field is a
 * compile-time constant. An instruction that fails is reported once, in
 * vmx_insn_failed(): no call site checks.
 *
 * SDM: "VMX Instruction Reference".
 */
#ifndef KVM_VMCS_H
#define KVM_VMCS_H

#include <linux/build_bug.h>
#include <linux/types.h>
#include <asm/asm.h>

#include "vmcs_fields.h"
#include "vmx.h"

/* Failure of `insn` on `operand`, a field or an address. Faulted, or VMfail. */
void vmx_insn_failed(const char *insn, u64 operand, bool faulted);
const char *vmx_insn_error_string(u32 error);

/*
 * A build with KVM_COUNT_OPS counts what real processors charge most for, so
 * that the benchmark can print it; the counters are in debugfs.
 */
#ifdef KVM_COUNT_OPS
struct vmx_op_counts {
	u64 vmread, vmwrite, rdmsr, wrmsr;
};
DECLARE_PER_CPU(struct vmx_op_counts, vmx_op_counts);
#define vmx_count(op)	this_cpu_inc(vmx_op_counts.op)
#else
#define vmx_count(op)	do { } while (0)
#endif

#define VMX_INSN(name, insn, constraint, operand, report)		\
static __always_inline int name					\
{									\
	asm goto("1: " insn "\n\t"					\
		 "jna %l[failed]\n\t"					\
		 _ASM_EXTABLE(1b, %l[faulted])				\
		 : : constraint (operand) : "cc", "memory"		\
		 : failed, faulted);					\
	return 0;							\
failed:									\
	vmx_insn_failed(insn, report, false);				\
	return -EIO;							\
faulted:								\
	vmx_insn_failed(insn, report, true);				\
	return -EIO;							\
}

/* `region`: physical address. 0, or -EIO where the instruction failed. */
VMX_INSN(vmxon(u64 region), "vmxon %0", "m", region, region)
VMX_INSN(vmclear(u64 region), "vmclear %0", "m", region, region)
VMX_INSN(vmptrld(u64 region), "vmptrld %0", "m", region, region)

static __always_inline int vmxoff(void)
{
	asm goto("1: vmxoff\n\t"
		 _ASM_EXTABLE(1b, %l[faulted])
		 : : : "cc", "memory" : faulted);
	return 0;
faulted:
	return -EIO;
}

struct inv_descriptor {
	u64 first;		/* EPTP, or VPID */
	u64 second;		/* 0, or linear address */
};

static __always_inline void invept(enum invept_type type, u64 eptp)
{
	struct inv_descriptor desc = { eptp, 0 };

	asm goto("1: invept %0, %1\n\t"
		 "jna %l[failed]\n\t"
		 _ASM_EXTABLE(1b, %l[faulted])
		 : : "m" (desc), "r" ((u64)type) : "cc", "memory"
		 : failed, faulted);
	return;
failed:
	vmx_insn_failed("invept", eptp, false);
	return;
faulted:
	vmx_insn_failed("invept", eptp, true);
}

static __always_inline void invvpid(enum invvpid_type type, u16 vpid, u64 addr)
{
	struct inv_descriptor desc = { vpid, addr };

	asm goto("1: invvpid %0, %1\n\t"
		 "jna %l[failed]\n\t"
		 _ASM_EXTABLE(1b, %l[faulted])
		 : : "m" (desc), "r" ((u64)type) : "cc", "memory"
		 : failed, faulted);
	return;
failed:
	vmx_insn_failed("invvpid", vpid, false);
	return;
faulted:
	vmx_insn_failed("invvpid", vpid, true);
}

/* ---- fields ------------------------------------------------------------- */

static __always_inline unsigned long vmread(unsigned long field)
{
	unsigned long value;

	vmx_count(vmread);
	asm goto("1: vmread %[field], %[value]\n\t"
		 "jna %l[failed]\n\t"
		 _ASM_EXTABLE(1b, %l[faulted])
		 : [value] "=r" (value) : [field] "r" (field) : "cc"
		 : failed, faulted);
	return value;
failed:
	vmx_insn_failed("vmread", field, false);
	return 0;
faulted:
	vmx_insn_failed("vmread", field, true);
	return 0;
}

/* True: the processor has no such field, or none is current. Not reported. */
static inline bool vmread_fails(unsigned long field, u64 *value)
{
	asm goto("1: vmread %[field], %[value]\n\t"
		 "jna %l[failed]\n\t"
		 _ASM_EXTABLE(1b, %l[failed])
		 : [value] "=r" (*value) : [field] "r" (field) : "cc"
		 : failed);
	return false;
failed:
	return true;
}

/* Of a field that there may not be, and where a failure is no news. */
static inline unsigned long vmread_or_0(unsigned long field)
{
	u64 value;

	return vmread_fails(field, &value) ? 0 : value;
}

static __always_inline void vmwrite(unsigned long field, unsigned long value)
{
	vmx_count(vmwrite);
	asm goto("1: vmwrite %[value], %[field]\n\t"
		 "jna %l[failed]\n\t"
		 _ASM_EXTABLE(1b, %l[faulted])
		 : : [field] "r" (field), [value] "rm" (value) : "cc"
		 : failed, faulted);
	return;
failed:
	vmx_insn_failed("vmwrite", field, false);
	return;
faulted:
	vmx_insn_failed("vmwrite", field, true);
}

#define VMCS_ACCESSORS(suffix, type, field_width)			\
static __always_inline type vmcs_read##suffix(unsigned int field)	\
{									\
	BUILD_BUG_ON_MSG(__builtin_constant_p(field) &&			\
			 VMCS_ENC_WIDTH(field) != (field_width),	\
			 "VMCS field of another width");		\
	return vmread(field);						\
}									\
static __always_inline void vmcs_write##suffix(unsigned int field,	\
					       type value)		\
{									\
	BUILD_BUG_ON_MSG(__builtin_constant_p(field) &&			\
			 VMCS_ENC_WIDTH(field) != (field_width),	\
			 "VMCS field of another width");		\
	vmwrite(field, value);						\
}

VMCS_ACCESSORS(16, u16, VMCS_WIDTH_16)
VMCS_ACCESSORS(32, u32, VMCS_WIDTH_32)
VMCS_ACCESSORS(64, u64, VMCS_WIDTH_64)
VMCS_ACCESSORS(l, unsigned long, VMCS_WIDTH_NAT)

#endif
