// SPDX-License-Identifier: GPL-2.0-only
/*
 * Modes and habits of old software: segments with big limits in real mode,
 * virtual-8086 mode, the A20 wrap that is not there, MMIO through segments,
 * and what kvm_run tells of the APIC base.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

/* "Unreal" mode: limits loaded in protected mode stay in real mode. */
CODE(code_unreal, 16,
	"lgdtl %cs:(unreal_gdtr - code_unreal)\n"
	"movl %cr0, %eax; orb $1, %al; movl %eax, %cr0\n"
	"movw $0x10, %bx; movw %bx, %fs\n"
	"andb $0xfe, %al; movl %eax, %cr0\n"
	"movl $0x800010, %esi; movl %fs:(%esi), %eax; outl %eax, $0xe1\n"
	"movl $0x10000020, %esi; movl %fs:(%esi), %eax; outl %eax, $0xe1\n"
	"movl $0x1234, %fs:4(%esi)\n"
	"movl $0x800010, %esi; movl %ds:(%esi), %eax; outl %eax, $0xe1\n"
	"hlt\n"
	"unreal_gdtr: .word 0x5f; .long 0x1000\n");

TEST(big_limits_in_real_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u32 value = 0x99;

	code_load(vm, G_CODE, code_unreal, code_unreal_end);
	RAM(vm, 0x800010, u32) = 0x77;
	vcpu_real(v, G_CODE);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 0x77);
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, 0x10000020);
	memcpy(v->run->mmio.data, &value, 4);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 0x99);
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, 0x10000024);
	EQ(v->run->mmio.is_write, 1);
	/* DS kept its 64 KiB: #GP. */
	expect_trap(v, VEC_GP);
	vm_free(vm);
}

/* FFFF:0010 is 0x100000: there is no A20 gate in the processor. */
CODE(code_a20, 16,
	"movw $0xffff, %ax; movw %ax, %ds; movl %ds:0x10, %eax\n"
	"outl %eax, $0xe1; hlt\n");

TEST(first_megabyte_does_not_wrap)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);

	code_load(vm, G_CODE, code_a20, code_a20_end);
	RAM(vm, 0x100000, u32) = 0x1111;
	RAM(vm, 0, u32) = 0x2222;
	vcpu_real(v, G_CODE);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 0x1111);
	vm_free(vm);
}

/* MMIO through segments: base, limit and access rights count. */
CODE(code_segments, 32,
	"movl $0x11, %gs:0x10\n"
	"movl %gs:0x20, %eax; outl %eax, $0xe1\n"
	"movl $0x22, %gs:0xffd\n"		/* over the limit: #GP */
	"hlt\n");
CODE(code_read_only, 32, "movl %gs:0x20, %eax; movl $1, %gs:0x20");

static struct vcpu *gs_in_mmio(const u8 *start, const u8 *end, u32 type)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct kvm_sregs s;

	code_load(vm, G_CODE, start, end);
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	get_sregs(v, &s);
	s.gs.base = 0x10000000;
	s.gs.limit = 0xfff;
	s.gs.g = 0;
	s.gs.type = type;
	set_sregs(v, &s);
	return v;
}

TEST(mmio_through_a_segment)
{
	struct vcpu *v = gs_in_mmio(code_segments, code_segments_end, 3);

	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, 0x10000010);
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, 0x10000020);
	vcpu_until(v, STOP_SYNC);
	EQ(expect_trap(v, VEC_GP).error, 0);
	vm_free(v->vm);
}

TEST(mmio_through_a_read_only_segment)
{
	struct vcpu *v = gs_in_mmio(code_read_only, code_read_only_end, 1);

	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.is_write, 0);
	expect_trap(v, VEC_GP);
	vm_free(v->vm);
}

/* Virtual-8086 mode: IRET from CPL 0 with VM set; ports by the bitmap. */
#define V86_AT	0x30000u
#define FLAG_VM	BIT(17)

CODE(code_enter_v86, 32,
	"pushl $0; pushl $0; pushl $0x3000; pushl $0x3000\n" /* GS FS DS ES */
	"pushl $0x3800; pushl $0x100\n"			/* SS ESP */
	"pushl %ebx; pushl $0x3000; pushl $0; iretl\n");
CODE(code_v86, 16,
	"movw $0xb800, %ax; movw %ax, %es; movw $0x0741, %es:6\n"
	"incw %es:6; movw $0x123, %ds:0x80; movw %ds:0x80, %ax\n"
	"pushw %ax; popw %bx; outb %al, $0x80; movw %bx, %ax\n"
	"int $0x21\n");

static struct vcpu *in_v86(u32 iopl, u32 allowed_port)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct kvm_sregs s;
	struct kvm_regs r;

	vm_slot(vm, 0, 0, 0, vm->ram, 0);
	vm_slot(vm, 0, 0, 0xa0000, vm->ram, 0);
	code_load(vm, G_CODE, code_enter_v86, code_enter_v86_end);
	code_load(vm, V86_AT, code_v86, code_v86_end);
	RAM(vm, G_TSS32 + 0x66, u16) = 0x68;
	memset(vm->ram + G_TSS32 + 0x68, 0xff, 0x40);
	if (allowed_port)
		RAM(vm, G_TSS32 + 0x68 + allowed_port / 8, u8) = 0;
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	get_sregs(v, &s);
	s.tr.limit = 0x68 + 0x40 - 1;
	set_sregs(v, &s);
	get_regs(v, &r);
	r.rbx = FLAG_VM | FLAG_FIXED | iopl << 12;
	set_regs(v, &r);
	return v;
}

static void v86_screen(struct vcpu *v)
{
	u16 cell = 0;
	u32 i;

	for (i = 0; i < 3; i++) {
		vcpu_until(v, KVM_EXIT_MMIO);
		EQ(v->run->mmio.phys_addr, 0xb8006);
		EQ(v->run->mmio.len, 2);
		if (v->run->mmio.is_write)
			memcpy(&cell, v->run->mmio.data, 2);
		else
			memcpy(v->run->mmio.data, &cell, 2);
	}
	EQ(cell, 0x0742);
}

/* The frame of a fault in V86 mode, on the ring 0 stack. */
static void v86_trap(struct vcpu *v, u32 vector)
{
	struct kvm_sregs s;
	struct trap32 t;

	t = expect_trap(v, vector);
	EQ(t.error, 0);
	EQ(t.cs, 0x3000);
	get_sregs(v, &s);
	EQ(s.cs.selector, SEL_CODE32);		/* out of V86 mode */
}

TEST(v86_mode)
{
	struct vcpu *v = in_v86(0, 0x80);
	struct kvm_sregs s;

	v86_screen(v);
	vcpu_until(v, KVM_EXIT_IO);
	EQ(v->run->io.port, 0x80);
	EQ(*io_data(v), 0x23);
	get_sregs(v, &s);
	EQ(s.cs.selector, 0x3000);
	EQ(s.cs.base, V86_AT);
	EQ(s.cs.limit, 0xffff);
	v86_trap(v, VEC_GP);			/* INT n with IOPL 0 */
	vm_free(v->vm);
}

TEST(v86_port_forbidden)
{
	struct vcpu *v = in_v86(0, 0);

	v86_screen(v);
	v86_trap(v, VEC_GP);
	vm_free(v->vm);
}

/* With IOPL 3 INT n goes to protected mode directly; ports do not. */
TEST(v86_interrupt)
{
	struct vcpu *v = in_v86(3, 0x80);
	struct trap32 t;

	RAM(v->vm, G_IDT32 + 0x21 * 8 + 4, u16) |= 0x6000;	/* DPL 3 */
	v86_screen(v);
	vcpu_until(v, KVM_EXIT_IO);
	t = expect_trap(v, 0x21);
	EQ(t.cs, 0x3000);
	vm_free(v->vm);
}

/* kvm_run.apic_base: the guest's writes show, and user space may write it. */
static void g_apic_base(void)
{
	u64 base = rdmsr(0x1b);

	G_EQ(base & 0xfffff000, 0xfee00000);
	wrmsr(0x1b, 0xfed00000 | (base & 0xfff));
	G_EQ(rdmsr(0x1b), 0xfed00000 | (base & 0xfff));
	guest_sync(0);
	G_EQ(rdmsr(0x1b), 0xfec00000 | (base & 0xfff));
	G_EQ(try_wrmsr(0x1b, BIT(60)), VEC_GP);
}

TEST(apic_base)
{
	struct vcpu *v = guest_start(g_apic_base);
	struct kvm_sregs s;

	vcpu_until(v, STOP_SYNC);
	EQ(v->run->apic_base & 0xfffff000, 0xfed00000);
	get_sregs(v, &s);
	EQ(s.apic_base, v->run->apic_base);
	s.apic_base = 0xfec00000 | (s.apic_base & 0xfff);
	set_sregs(v, &s);
	vcpu_done(v);
	vm_free(v->vm);
}

/* A guest of two-level 4 KiB page tables, as old 32-bit kernels use. */
CODE(code_two_level, 32,
	"movl 0x400000, %eax; outl %eax, $0xe1\n"
	"movl $0x55, 0x401004\n"
	"movl $0x802000 + 7, 0xc004; invlpg 0x401000\n"
	"movl 0x401000, %eax; outl %eax, $0xe1\n"
	"movl 0x10000000, %eax; outl %eax, $0xe1; hlt\n");

TEST(two_level_page_tables)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u32 table = G_PT_POOL, value = 0xabc;

	code_load(vm, G_CODE, code_two_level, code_two_level_end);
	RAM(vm, G_PD32 + 4, u32) = table | PT_P | PT_W;
	RAM(vm, table, u32) = 0x800000 | PT_P | PT_W;
	RAM(vm, table + 4, u32) = 0x801000 | PT_P | PT_W;
	RAM(vm, 0x800000, u32) = 0x1000;
	RAM(vm, 0x802000, u32) = 0x2000;
	vcpu_prot32(v, G_CODE, PAGING_PSE);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 0x1000);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 0x2000);
	EQ(RAM(vm, 0x801004, u32), 0x55);
	EQ(RAM(vm, table, u32) & PT_A, PT_A);
	vcpu_until(v, KVM_EXIT_MMIO);
	memcpy(v->run->mmio.data, &value, 4);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 0xabc);
	vm_free(vm);
}
