/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx_entry.S - into the guest and back out, and the host's NMI handler.
 *
 * Between the VM exit and the return to C there is no C code, no indirect
 * branch and no return: the return stack may still hold what the guest put
 * there.
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>

#include "include/compat.h"

#define VMCS_HOST_RSP	0x6c14

/* Offsets in kvm_vcpu.regs[], the order of enum kvm_reg. */
#define R_RAX	0*8
#define R_RCX	1*8
#define R_RDX	2*8
#define R_RBX	3*8
#define R_RBP	5*8
#define R_RSI	6*8
#define R_RDI	7*8
#define R_R8	8*8
#define R_R9	9*8
#define R_R10	10*8
#define R_R11	11*8
#define R_R12	12*8
#define R_R13	13*8
#define R_R14	14*8
#define R_R15	15*8

	.section .noinstr.text, "ax"

/*
 * int vmx_enter(unsigned long *regs, unsigned long *host_rsp, bool resume)
 *
 * Load the guest's general registers from regs (RSP and RIP are in the VMCS),
 * enter with VMLAUNCH or VMRESUME, and store them there after the exit.
 * *host_rsp caches the VMCS's HOST_RSP, which is written when it differs.
 *
 * Returns 0 after a VM exit, 1 where the instruction failed (VMfail), 2 where
 * it faulted. Interrupts are disabled throughout.
 */
SYM_FUNC_START(vmx_enter)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi

	cmp	%rsp, (%rsi)
	je	.Lrsp_known
	mov	%rsp, (%rsi)
	mov	$VMCS_HOST_RSP, %eax
	vmwrite	%rsp, %rax
.Lrsp_known:
	/* CF: not yet launched. Neither MOV nor VERW touches it. */
	cmp	$1, %dl
	mov	R_RAX(%rdi), %rax
	mov	R_RCX(%rdi), %rcx
	mov	R_RDX(%rdi), %rdx
	mov	R_RBX(%rdi), %rbx
	mov	R_RBP(%rdi), %rbp
	mov	R_RSI(%rdi), %rsi
	mov	R_R8(%rdi), %r8
	mov	R_R9(%rdi), %r9
	mov	R_R10(%rdi), %r10
	mov	R_R11(%rdi), %r11
	mov	R_R12(%rdi), %r12
	mov	R_R13(%rdi), %r13
	mov	R_R14(%rdi), %r14
	mov	R_R15(%rdi), %r15
	mov	R_RDI(%rdi), %rdi
#ifdef CPU_BUFFERS_CLEAR
	CPU_BUFFERS_CLEAR
#endif
	jc	.Llaunch
.Lresume:
	vmresume
	jbe	.Lvmfail
	int3
.Llaunch:
	vmlaunch
	jbe	.Lvmfail

/* HOST_RIP: the processor is back, with HOST_RSP and the guest's registers. */
SYM_INNER_LABEL(vmx_exit_point, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, R_RAX(%rdi)
	mov	%rcx, R_RCX(%rdi)
	mov	%rdx, R_RDX(%rdi)
	mov	%rbx, R_RBX(%rdi)
	mov	%rbp, R_RBP(%rdi)
	mov	%rsi, R_RSI(%rdi)
	mov	%r8, R_R8(%rdi)
	mov	%r9, R_R9(%rdi)
	mov	%r10, R_R10(%rdi)
	mov	%r11, R_R11(%rdi)
	mov	%r12, R_R12(%rdi)
	mov	%r13, R_R13(%rdi)
	mov	%r14, R_R14(%rdi)
	mov	%r15, R_R15(%rdi)
	pop	R_RDI(%rdi)
	xor	%ebx, %ebx

	/*
	 * The guest chose these values; none may steer the host's speculation.
	 * Those that are popped below need no clearing. RBX is the result.
	 */
.Lout:
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d

	/* "Post-barrier Return Stack Buffer", "Retbleed": before any RET. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE
#ifdef X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT
	CLEAR_BRANCH_HISTORY_VMEXIT
#else
	CLEAR_BRANCH_HISTORY
#endif
	mov	%ebx, %eax
	pop	%rdi
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lvmfail:
	mov	$1, %ebx
	jmp	.Lout
.Lfault:
	mov	$2, %ebx
	jmp	.Lout

	_ASM_EXTABLE(.Lresume, .Lfault)
	_ASM_EXTABLE(.Llaunch, .Lfault)
SYM_FUNC_END(vmx_enter)

/*
 * void vmx_call_handler(unsigned long handler)
 *
 * Call an interrupt handler's entry point as the processor would: it returns
 * by IRET, so give it the frame that IRET wants ("64-Bit Mode Stack Frame").
 */
SYM_FUNC_START(vmx_call_handler)
	push	%rbp
	mov	%rsp, %rbp
	and	$-16, %rsp
	push	$__KERNEL_DS
	push	%rbp
	pushf
	push	$__KERNEL_CS
	CALL_NOSPEC rdi
	mov	%rbp, %rsp
	pop	%rbp
	RET
SYM_FUNC_END(vmx_call_handler)
