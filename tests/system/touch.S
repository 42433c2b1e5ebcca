/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that touches one word of each of its pages, says "GUEST-TOUCHED"
 * on COM1 and halts; started by QEMU's -kernel as a multiboot image. It
 * brings a VM's page tables to their full size in a moment.
 */
#define MAGIC		0x1badb002
#define MEMORY_INFO	2

#define COM1		0x3f8
#define UPPER_KB	8		/* offset of mem_upper in its table */
#define FIRST		0x200000	/* behind this program */

	.section .multiboot, "a"
	.long	MAGIC, MEMORY_INFO, -(MAGIC + MEMORY_INFO)

	.text
	.globl	_start
_start:
	movl	UPPER_KB(%ebx), %ecx
	shll	$10, %ecx
	addl	$0x100000, %ecx
	movl	$FIRST, %edi
1:	movl	%edi, (%edi)
	addl	$4096, %edi
	cmpl	%ecx, %edi
	jb	1b
	movl	$text, %esi
	movl	$COM1, %edx
2:	lodsb
	testb	%al, %al
	jz	3f
	outb	%al, %dx
	jmp	2b
3:	cli
	hlt
	jmp	3b

text:	.asciz	"GUEST-TOUCHED\n"
