// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables of the standard guest (GDT, IDTs, identity page tables) and the
 * states a vCPU can start in: real mode, 16-bit and 32-bit protected mode
 * with and without paging, compatibility mode, 64-bit mode.
 *
 * Exceptions in 16-bit and 32-bit code go to stubs that push the vector and
 * write to PORT_TRAP; trap_get() then reads the frame from the guest's stack.
 * 64-bit code has real handlers: guest.c.
 */
#include <string.h>

#include "guest.h"
#include "vm.h"

#define STUB_SIZE	5
#define TSS_LIMIT	0x67

/* Builds one descriptor. SDM, "Segment Descriptors". */
static u64 descriptor(u32 base, u32 limit, u32 type_attr)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 |
	       (u64)(type_attr & 0xff) << 40 | (u64)(limit >> 16 & 15) << 48 |
	       (u64)(type_attr >> 8 & 15) << 52 | (u64)(base >> 24) << 56;
}

enum {		/* type, S, DPL, P in bits 7:0; AVL, L, D, G in bits 11:8 */
	DESC_CODE64	= 0xa9b,
	DESC_CODE32	= 0xc9b,
	DESC_CODE16	= 0x09b,
	DESC_DATA	= 0xc93,
	DESC_DATA16	= 0x093,
	DESC_UDATA	= 0xcf3,
	DESC_UCODE64	= 0xafb,
	DESC_UCODE32	= 0xcfb,
	DESC_TSS	= 0x089,
};

static void build_gdt(struct vm *vm)
{
	u64 *gdt = &RAM(vm, G_GDT, u64);

	gdt[SEL_CODE64 >> 3] = descriptor(0, 0xfffff, DESC_CODE64);
	gdt[SEL_DATA >> 3] = descriptor(0, 0xfffff, DESC_DATA);
	gdt[SEL_CODE32 >> 3] = descriptor(0, 0xfffff, DESC_CODE32);
	gdt[SEL_CODE16 >> 3] = descriptor(0, 0xffff, DESC_CODE16);
	gdt[SEL_DATA16 >> 3] = descriptor(0, 0xffff, DESC_DATA16);
	gdt[SEL_UDATA >> 3] = descriptor(0, 0xfffff, DESC_UDATA);
	gdt[SEL_UCODE64 >> 3] = descriptor(0, 0xfffff, DESC_UCODE64);
	gdt[SEL_TSS64 >> 3] = descriptor(G_TSS64, TSS_LIMIT, DESC_TSS);
	gdt[SEL_UCODE32 >> 3] = descriptor(0, 0xfffff, DESC_UCODE32);
	gdt[SEL_TSS32 >> 3] = descriptor(G_TSS32, TSS_LIMIT, DESC_TSS);
}

static void build_page_tables(struct vm *vm)
{
	u32 i;

	RAM(vm, G_PML4, u64) = G_PDPT | PT_P | PT_W | PT_U;
	for (i = 0; i < 4; i++) {
		u64 pd = G_PD + i * 4096;

		RAM(vm, G_PDPT + i * 8, u64) = pd | PT_P | PT_W | PT_U;
		RAM(vm, G_PDPT_PAE + i * 8, u64) = pd | PT_P;
	}
	for (i = 0; i < 2048; i++)
		RAM(vm, G_PD + i * 8, u64) = (u64)i << 21 |
					     PT_P | PT_W | PT_U | PT_PS;
	for (i = 0; i < 1024; i++)
		RAM(vm, G_PD32 + i * 4, u32) = i << 22 |
					       PT_P | PT_W | PT_U | PT_PS;
}

/* push imm8; out %al,$port; hlt: the same bytes in 16-bit and 32-bit code. */
static void build_stubs(struct vm *vm)
{
	u32 i, at;

	for (i = 0; i < 256; i++) {
		const u8 stub[STUB_SIZE] = { 0x6a, i, 0xe6, PORT_TRAP, 0xf4 };

		at = G_STUBS + i * STUB_SIZE;
		memcpy(vm->ram + at, stub, STUB_SIZE);
		RAM(vm, G_IVT + i * 4, u32) = at;
		RAM(vm, G_IDT32 + i * 8, u64) =
			(at & 0xffff) | SEL_CODE32 << 16 |
			0x8e00ull << 32 | (u64)(at >> 16) << 48;
	}
}

static void build_tss(struct vm *vm)
{
	u32 stack = G_STACK + 0x4000;

	/* The I/O permission bitmap begins beyond the limit: there is none. */
	RAM(vm, G_TSS32 + 0x66, u16) = TSS_LIMIT + 1;
	RAM(vm, G_TSS64 + 0x66, u16) = TSS_LIMIT + 1;
	RAM(vm, G_TSS32 + 4, u32) = stack;		/* ESP0 */
	RAM(vm, G_TSS32 + 8, u32) = SEL_DATA;		/* SS0 */
	RAM(vm, G_TSS64 + 4, u64) = stack;		/* RSP0 */
	RAM(vm, G_TSS64 + 0x24, u64) = stack + 0x4000;	/* IST1 */
}

void guest_tables(struct vm *vm)
{
	build_gdt(vm);
	build_page_tables(vm);
	build_stubs(vm);
	build_tss(vm);
	guest_idt64(vm);
}

/* Segments. type_attr as in the descriptors above. */
static struct kvm_segment segment(u16 selector, u64 base, u32 limit, u32 attr)
{
	return (struct kvm_segment){
		.base = base, .limit = limit, .selector = selector,
		.type = attr & 15, .s = attr >> 4 & 1, .dpl = attr >> 5 & 3,
		.present = attr >> 7 & 1, .avl = attr >> 8 & 1,
		.l = attr >> 9 & 1, .db = attr >> 10 & 1, .g = attr >> 11 & 1,
	};
}

static void set_data(struct kvm_sregs *s, struct kvm_segment seg)
{
	s->ds = s->es = s->fs = s->gs = s->ss = seg;
}

static void start(struct vcpu *v, const struct kvm_sregs *s, u64 rip, u64 rsp)
{
	struct kvm_regs r = { .rip = rip, .rsp = rsp, .rflags = FLAG_FIXED };

	set_sregs(v, s);
	set_regs(v, &r);
}

static u64 stack_of(struct vcpu *v)
{
	return G_STACK - v->id * 0x4000;
}

void vcpu_real(struct vcpu *v, u64 linear)
{
	struct kvm_sregs s;

	get_sregs(v, &s);
	s.cs = segment(linear >> 4, linear & ~15ull, 0xffff, DESC_CODE16);
	set_data(&s, segment(0, 0, 0xffff, DESC_DATA16));
	s.ss = segment(0x8000, 0x80000, 0xffff, DESC_DATA16);
	s.idt.base = G_IVT;
	s.idt.limit = 0x3ff;
	s.cr0 = CR0_ET | CR0_NE;
	s.cr4 = s.cr3 = s.efer = 0;
	start(v, &s, linear & 15, 0xfff0 - v->id * 0x1000);
}

/* Flat 32-bit protected mode, the base of all that follow. */
static void protected_sregs(struct vcpu *v, struct kvm_sregs *s)
{
	get_sregs(v, s);
	s->cs = segment(SEL_CODE32, 0, 0xffffffff, DESC_CODE32);
	set_data(s, segment(SEL_DATA, 0, 0xffffffff, DESC_DATA));
	s->tr = segment(SEL_TSS32, G_TSS32, TSS_LIMIT, DESC_TSS | 2);
	s->gdt.base = G_GDT;
	s->gdt.limit = SEL_TSS32 + 7;
	s->idt.base = G_IDT32;
	s->idt.limit = 256 * 8 - 1;
	s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_MP;
	s->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
	s->cr3 = s->efer = 0;
}

/* The code segment's base is linear: far transfers need other tables. */
void vcpu_prot16(struct vcpu *v, u64 linear)
{
	struct kvm_sregs s;

	protected_sregs(v, &s);
	s.cs = segment(SEL_CODE16, linear, 0xffff, DESC_CODE16);
	set_data(&s, segment(SEL_DATA16, 0, 0xffff, DESC_DATA16));
	start(v, &s, 0, 0xfff0);
}

void vcpu_prot32(struct vcpu *v, u64 eip, enum paging32 paging)
{
	struct kvm_sregs s;

	protected_sregs(v, &s);
	if (paging == PAGING_PSE) {
		s.cr3 = G_PD32;
		s.cr4 |= CR4_PSE;
	} else if (paging == PAGING_PAE) {
		s.cr3 = G_PDPT_PAE;
		s.cr4 |= CR4_PAE;
	}
	if (paging != PAGING_OFF)
		s.cr0 |= CR0_PG | CR0_WP;
	start(v, &s, eip, stack_of(v));
}

static void long_sregs(struct vcpu *v, struct kvm_sregs *s)
{
	protected_sregs(v, s);
	s->tr = segment(SEL_TSS64, G_TSS64, TSS_LIMIT, DESC_TSS | 2);
	s->idt.base = G_IDT64;
	s->idt.limit = 256 * 16 - 1;
	s->cr3 = G_PML4;
	s->cr4 |= CR4_PAE;
	s->cr0 |= CR0_PG | CR0_WP;
	s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
}

void vcpu_compat(struct vcpu *v, u64 eip)
{
	struct kvm_sregs s;

	long_sregs(v, &s);
	start(v, &s, eip, stack_of(v));
}

/* The entry's return address is guest_done(): returning ends the guest. */
void vcpu_long(struct vcpu *v, void (*entry)(void))
{
	struct kvm_sregs s;
	u64 rsp = stack_of(v) - 8;

	long_sregs(v, &s);
	s.cs = segment(SEL_CODE64, 0, 0xffffffff, DESC_CODE64);
	RAM(v->vm, rsp, u64) = (unsigned long)guest_done;
	start(v, &s, (unsigned long)entry, rsp);
}

/*
 * The stub pushed the vector below the processor's frame. Only in protected
 * mode do some exceptions push an error code (SDM, "Error Code").
 */
static bool has_error_code(u32 vector)
{
	return vector == VEC_DF || vector == VEC_AC ||
	       (vector >= VEC_TS && vector <= VEC_PF);
}

void trap_get(struct vcpu *v, struct trap32 *t)
{
	struct kvm_regs r;
	struct kvm_sregs s;
	u32 frame[4], at = 0, i;
	bool wide;

	get_regs(v, &r);
	get_sregs(v, &s);
	wide = s.cs.db;
	for (i = 0; i < 4; i++) {
		u64 sp = r.rsp + i * (wide ? 4 : 2);
		u64 gpa = s.ss.base + (s.ss.db ? (u32)sp : (u16)sp);

		frame[i] = wide ? RAM(v->vm, gpa, u32) : RAM(v->vm, gpa, u16);
	}
	t->vector = frame[at++] & 0xff;
	t->has_error = (s.cr0 & CR0_PE) && has_error_code(t->vector);
	t->error = t->has_error ? frame[at++] : 0;
	t->ip = frame[at++];
	t->cs = frame[at] & 0xffff;
}
