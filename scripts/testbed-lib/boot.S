/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The emulated machine's boot loader: a 64-bit vmlinux and its initramfs from
 * BIOS disks straight into memory.
 *
 * A distribution's bzImage would spend seconds of emulated time on unpacking
 * itself, and a general boot loader more on reading its file system. Both are
 * done outside instead: kernel.py lays out one "boot block" (this code, a load
 * table, the zero page, the command line, page tables) that the first sector
 * reads to BLOCK; the code then copies what the table says, asks the BIOS for
 * the memory map and enters the kernel by the 64-bit boot protocol.
 *
 * The layout constants are shared with kernel.py, which asserts them.
 */
	.set	BLOCK,		0x10000	/* where the boot block lives */
	.set	BLOCK_SECTORS,	72
	.set	TABLE,		0x0c00	/* offsets into the boot block */
	.set	ZERO_PAGE,	0x1000
	.set	PML4,		0x3000
	.set	BUFFER,		0x30000	/* bounce buffer for BIOS reads */
	.set	CHUNK,		64	/* sectors in one BIOS read */
	.set	E820_COUNT,	ZERO_PAGE + 0x1e8
	.set	E820_TABLE,	ZERO_PAGE + 0x2d0
	.set	E820_MAX,	128

	.code16
	.text
	.globl	_start

/* Sector 0: read the whole boot block, this sector included, and go there. */
_start:
	ljmp	$0, $(0x7c00 + 1f - _start)
1:	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$0x7c00, %sp
	sti
	movw	$(0x7c00 + boot_read - _start), %si
	movb	$0x42, %ah
	movb	$0x80, %dl
	int	$0x13
	jc	.
	ljmp	$(BLOCK >> 4), $(stage2 - _start)

boot_read:				/* INT 13h disk address packet */
	.byte	16, 0
	.word	BLOCK_SECTORS
	.word	0, BLOCK >> 4
	.quad	0

	.org	510
	.word	0xaa55

/* From here DS = the boot block. */
stage2:
	movw	%cs, %ax
	movw	%ax, %ds
	movw	$(hello - _start), %si
	call	say

	movb	$2, %al			/* A20 by the chip set's port */
	outb	%al, $0x92

	movw	$TABLE, %di
next_image:
	movl	8(%di), %eax		/* sectors left */
	testl	%eax, %eax
	jz	memory_map
	cmpl	$CHUNK, %eax
	jbe	1f
	movl	$CHUNK, %eax
1:	movw	%ax, packet_count - _start
	movl	4(%di), %ecx
	movl	%ecx, packet_lba - _start
	movw	$(packet - _start), %si
	movb	$0x42, %ah
	movb	(%di), %dl
	int	$0x13
	jc	failed
	call	copy_up
	movzwl	packet_count - _start, %eax
	addl	%eax, 4(%di)
	subl	%eax, 8(%di)
	shll	$9, %eax
	addl	%eax, 12(%di)
	cmpl	$0, 8(%di)
	jne	next_image
	addw	$16, %di
	jmp	next_image

failed:
	movw	$(sorry - _start), %si
	call	say
	cli
	hlt

/*
 * Copy the sectors just read to their place above 1M. Each copy is made with
 * 4G segments left over from a short visit to protected mode: the BIOS may
 * have loaded its own in between.
 */
copy_up:
	cli
	pushw	%ds
	pushw	%es
	pushl	%edi
	lgdt	gdt_pointer - _start
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	$0x10, %bx
	movw	%bx, %ds
	movw	%bx, %es
	andb	$0xfe, %al
	movl	%eax, %cr0
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movl	$BUFFER, %esi
	movl	%cs:12(%di), %edi
	movzwl	%cs:packet_count - _start, %ecx
	shll	$7, %ecx
	cld
	addr32 rep movsl
	popl	%edi
	popw	%es
	popw	%ds
	sti
	ret

memory_map:
	movl	12(%di), %eax		/* the last row: where to enter */
	movl	%eax, kernel_entry - _start
	movw	%ds, %ax
	movw	%ax, %es
	movw	$E820_TABLE, %di
	xorl	%ebx, %ebx
1:	movl	$0xe820, %eax
	movl	$20, %ecx
	movl	$0x534d4150, %edx	/* 'SMAP' */
	int	$0x15
	jc	enter_kernel
	incb	E820_COUNT
	addw	$20, %di
	cmpb	$E820_MAX, E820_COUNT
	je	enter_kernel
	testl	%ebx, %ebx
	jnz	1b

/* The 64-bit boot protocol: RSI = zero page, paging on, memory mapped 1:1. */
enter_kernel:
	movw	$(leaving - _start), %si
	call	say
	cli
	lgdt	gdt_pointer - _start
	movl	$(BLOCK + PML4), %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$0x20, %eax		/* PAE */
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx	/* EFER.LME */
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000001, %eax	/* PG, PE */
	andl	$0x9fffffff, %eax	/* caches on */
	movl	%eax, %cr0
	ljmpl	$0x18, $(BLOCK + in_long_mode - _start)

	.code64
in_long_mode:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%eax, %fs
	movl	%eax, %gs
	movl	$(BLOCK + ZERO_PAGE), %esi
	xorl	%ebp, %ebp
	xorl	%edi, %edi
	xorl	%ebx, %ebx
	movl	$(BLOCK + kernel_entry - _start), %eax
	movl	(%rax), %eax
	jmp	*%rax

	.code16
say:
	movw	$0xe9, %dx
1:	lodsb
	testb	%al, %al
	jz	2f
	outb	%al, %dx
	jmp	1b
2:	ret

	.balign	8
gdt:	.quad	0
	.quad	0
	.quad	0x00cf93000000ffff	/* 0x10: data, flat */
	.quad	0x00af9b000000ffff	/* 0x18: 64-bit code */
gdt_pointer:
	.word	. - gdt - 1
	.long	BLOCK + gdt - _start
kernel_entry:
	.long	0
packet:	.byte	16, 0
packet_count:
	.word	0
	.word	0, BUFFER >> 4
packet_lba:
	.quad	0
hello:	.asciz	"\ntestbed: boot\n"
leaving:
	.asciz	"testbed: kernel\n"
sorry:	.asciz	"testbed: disk error\n"

	.org	TABLE
