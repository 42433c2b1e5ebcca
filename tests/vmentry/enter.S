/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * int vmentry_launch(void) - VMLAUNCH with the current VMCS, whose HOST_RSP is
 * set here and whose HOST_RIP is vmentry_exit. Interrupts are disabled.
 * Returns 0 after a VM exit, 1 where the instruction failed, 2 where it
 * faulted. The guest leaves nothing behind in the general registers.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/asm.h>
#include <asm/unwind_hints.h>

#define VMCS_HOST_RSP	0x6c14

	.text

SYM_FUNC_START(vmentry_launch)
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	$VMCS_HOST_RSP, %eax
	vmwrite	%rsp, %rax
.Llaunch:
	vmlaunch
	jbe	.Lfailed
SYM_INNER_LABEL(vmentry_exit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	xor	%eax, %eax
.Lout:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	RET
.Lfailed:
	mov	$1, %eax
	jmp	.Lout
.Lfaulted:
	mov	$2, %eax
	jmp	.Lout
	_ASM_EXTABLE(.Llaunch, .Lfaulted)
SYM_FUNC_END(vmentry_launch)
