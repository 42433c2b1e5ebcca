/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exception and interrupt entry of 64-bit guest code: 256 stubs of 16 bytes,
 * each of which makes the frame uniform (vector and error code) and goes on
 * to the C handler guest_trap() with a pointer to struct trap_frame. And the
 * way to CPL 3 and back.
 */
	.section .note.GNU-stack, "", @progbits

#ifdef __x86_64__
	.text
	.balign	16
	.globl	trap_stubs64
trap_stubs64:
	.set	vector, 0
	.rept	256
	.balign	16
	/* #DF, #TS, #NP, #SS, #GP, #PF, #AC push an error code themselves. */
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap_common64
	.set	vector, vector + 1
	.endr

trap_common64:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, %rdi
	cld
	call	guest_trap
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq

/*
 * guest_user(function): calls it at CPL 3, on the same stack below what is in
 * use; it returns to an INT 0x80, whose handler goes on at user_back.
 */
	.globl	guest_user, user_back
guest_user:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, user_rsp
	leaq	-0x200(%rsp), %rax
	andq	$~15, %rax
	subq	$8, %rax
	movq	$user_return, (%rax)
	pushq	$0x33			/* SEL_UDATA */
	pushq	%rax
	pushq	$2			/* RFLAGS */
	pushq	$0x3b			/* SEL_UCODE64 */
	pushq	%rdi
	iretq
user_return:
	int	$0x80
user_back:
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
#endif
