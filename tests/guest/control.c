// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control registers, EFER and the changes of mode they bring: reads, writes,
 * #GP on what the SDM reserves, and what KVM_GET_SREGS and KVM_SET_SREGS
 * make of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define MSR_EFER	0xc0000080

static void g_cr0_bits(void)
{
	static const u64 toggles[] = {
		CR0_MP, CR0_EM, CR0_TS, CR0_NE, CR0_WP, CR0_AM, CR0_CD,
		CR0_CD | CR0_NW,
	};
	u64 cr0 = read_cr0();
	u32 i;

	G_EQ(cr0 & (CR0_PE | CR0_PG | CR0_ET), CR0_PE | CR0_PG | CR0_ET);
	for (i = 0; i < ARRAY_SIZE(toggles); i++) {
		write_cr0(cr0 | toggles[i]);
		G_EQ(read_cr0(), cr0 | toggles[i]);
		write_cr0(cr0 & ~toggles[i]);
		G_EQ(read_cr0(), cr0 & ~toggles[i]);
	}
	write_cr0(cr0);
	write_cr0(cr0 & ~CR0_ET);		/* hard-wired to 1 */
	G_EQ(read_cr0(), cr0);
	/* Reserved bits below 32 are ignored, above they fault. */
	write_cr0(cr0 | BIT(6) | BIT(28));
	G_EQ(read_cr0(), cr0);
}

TEST(cr0_bits)
{
	guest_run(g_cr0_bits);
}

static void g_cr0_gp(void)
{
	u64 cr0 = read_cr0();

	G_EQ(try_write_cr0(cr0 | BIT(32)), VEC_GP);
	G_EQ(trap.error, 0);
	G_EQ(try_write_cr0(cr0 | BIT(63)), VEC_GP);
	G_EQ(try_write_cr0(cr0 & ~CR0_PE), VEC_GP);	/* PG without PE */
	G_EQ(try_write_cr0(cr0 & ~CR0_PG), VEC_GP);	/* in 64-bit mode */
	G_EQ(try_write_cr0((cr0 & ~CR0_CD) | CR0_NW), VEC_GP);
	G_EQ(read_cr0(), cr0);
}

TEST(cr0_gp)
{
	guest_run(g_cr0_gp);
}

static void g_lmsw_clts(void)
{
	u64 cr0 = read_cr0();
	u16 msw;

	write_cr0(cr0 | CR0_TS);
	asm volatile("clts");
	G_EQ(read_cr0(), cr0);
	asm volatile("smsw %0" : "=r"(msw));
	G_EQ(msw, cr0 & 0xffff);
	asm volatile("lmsw %w0" : : "r"((u32)(cr0 | CR0_TS | CR0_EM)));
	G_EQ(read_cr0(), cr0 | CR0_TS | CR0_EM);
	/* LMSW changes only the low four bits and cannot clear PE. */
	asm volatile("lmsw %w0" : : "r"(0));
	G_EQ(read_cr0(), (cr0 & ~15ull) | CR0_PE);
	write_cr0(cr0);
}

TEST(lmsw_smsw_clts)
{
	guest_run(g_lmsw_clts);
}

/* Bits of CR4 and the CPUID bit each needs: leaf, register, bit. */
struct cr4_feature {
	u64 cr4;
	u32 leaf;
	int reg, bit;
};

static const struct cr4_feature cr4_features[] = {
	{ CR4_VME,	1, 3, 1 },
	{ CR4_PVI,	1, 3, 1 },
	{ CR4_TSD,	1, 3, 4 },
	{ CR4_DE,	1, 3, 2 },
	{ CR4_PSE,	1, 3, 3 },
	{ CR4_MCE,	1, 3, 7 },
	{ CR4_PGE,	1, 3, 13 },
	{ CR4_OSFXSR,	1, 3, 24 },
	{ CR4_UMIP,	7, 2, 2 },
	{ CR4_FSGSBASE,	7, 1, 0 },
	{ CR4_PCIDE,	1, 2, 17 },
	{ CR4_OSXSAVE,	1, 2, 26 },
	{ CR4_SMEP,	7, 1, 7 },
	{ CR4_SMAP,	7, 1, 20 },
	{ CR4_PKE,	7, 2, 3 },
};

static volatile u64 cr4_yes, cr4_no;

static void g_cr4_toggle(u64 bit)
{
	u64 cr4 = read_cr4();

	G_EQ(try_write_cr4(cr4 | bit), VEC_NONE);
	G_EQ(read_cr4(), cr4 | bit);
	G_EQ(try_write_cr4(cr4 & ~bit), VEC_NONE);
	G_EQ(read_cr4(), cr4 & ~bit);
	write_cr4(cr4);
}

/* A user page is never touched here, so SMEP and SMAP do not bite: U=0. */
static void g_cr4(void)
{
	u64 cr4 = read_cr4();
	u32 i;

	for (i = 0; i < 64; i++) {
		if (cr4_yes & BIT(i))
			g_cr4_toggle(BIT(i));
		if (!(cr4_no & BIT(i)))
			continue;
		G_EQ(try_write_cr4(cr4 | BIT(i)), VEC_GP);
		G_EQ(trap.error, 0);
		G_EQ(read_cr4(), cr4);
	}
}

/* The identity map without user access, so that SMEP and SMAP do not bite. */
static void supervisor_pages(struct vm *vm)
{
	u32 i;

	for (i = 0; i < 2048; i++)
		RAM(vm, G_PD + i * 8, u64) &= ~PT_U;
}

static void cr4_with(struct kvm_cpuid2 *c)
{
	struct vcpu *v;
	u32 i;

	/* Bits that no processor defines, and above. */
	cr4_no = BIT(15) | BIT(26) | BIT(30) | BIT(31) | BIT(32) | BIT(63);
	cr4_yes = 0;
	for (i = 0; i < ARRAY_SIZE(cr4_features); i++) {
		const struct cr4_feature *f = &cr4_features[i];
		struct kvm_cpuid_entry2 *e = cpuid_find(c, f->leaf, 0);

		if (e && ((&e->eax)[f->reg] >> f->bit & 1))
			cr4_yes |= f->cr4;
		else if (f->leaf == 7 || f->cr4 == CR4_OSXSAVE ||
			 f->cr4 == CR4_PCIDE)
			cr4_no |= f->cr4;
	}
	v = vcpu_bare(vm_new(), 0);
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	vcpu_long(v, g_cr4);
	supervisor_pages(v->vm);
	vcpu_done(v);
	vm_free(v->vm);
}

TEST(cr4_bits)
{
	cr4_with(supported_cpuid());
}

/* What the monitor takes out of CPUID, the guest cannot turn on. */
TEST(cr4_follows_cpuid)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct kvm_cpuid_entry2 *e;

	e = cpuid_find(c, 1, 0);
	e->ecx &= ~(BIT(26) | BIT(17) | BIT(28) | BIT(12) | BIT(5));
	e = cpuid_find(c, 7, 0);
	if (e) {
		e->ebx = 0;
		e->ecx = 0;
		e->edx = 0;
	}
	cr4_with(c);
	free(c);
}

static void g_cr4_gp(void)
{
	u64 cr4 = read_cr4(), cr3 = read_cr3();

	G_EQ(try_write_cr4(cr4 & ~CR4_PAE), VEC_GP);
	G_EQ(try_write_cr4(cr4 ^ CR4_LA57), VEC_GP);
	if (cr4_yes & CR4_PCIDE) {
		write_cr3(cr3 | PT_PCD);
		G_EQ(try_write_cr4(cr4 | CR4_PCIDE), VEC_GP);
		write_cr3(cr3);
		write_cr4(cr4 | CR4_PCIDE);
		write_cr3(cr3 | 0x123);
		G_EQ(read_cr3(), cr3 | 0x123);
		write_cr3(cr3 | 0x123 | BIT(63));	/* bit 63 is not kept */
		G_EQ(read_cr3(), cr3 | 0x123);
		write_cr3(cr3);
		write_cr4(cr4);
	}
	G_EQ(read_cr4(), cr4);
}

TEST(cr4_gp_and_pcid)
{
	cr4_yes = cpu_has(1, 2, 17) ? CR4_PCIDE : 0;
	guest_run(g_cr4_gp);
}

/* VMXE needs VMX in CPUID, which these guests are not given. */
static void g_vmxe(void)
{
	G_EQ(try_write_cr4(read_cr4() | CR4_VMXE), VEC_GP);
}

TEST(vmxe_without_vmx)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct vcpu *v = vcpu_bare(vm_new(), 0);

	cpuid_find(c, 1, 0)->ecx &= ~BIT(5);
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	vcpu_long(v, g_vmxe);
	vcpu_done(v);
	vm_free(v->vm);
	free(c);
}

static volatile u32 maxphyaddr;

static void g_cr3(void)
{
	u64 cr3 = read_cr3();
	u32 bit;

	G_EQ(cr3, G_PML4);
	write_cr3(cr3 | PT_PWT | PT_PCD);
	G_EQ(read_cr3(), cr3 | PT_PWT | PT_PCD);
	write_cr3(cr3);
	for (bit = maxphyaddr; bit < 63; bit++) {
		if (bit == 61 || bit == 62)
			continue;		/* LAM, where it exists */
		G_EQ(try_write_cr3(cr3 | BIT(bit)), VEC_GP);
		G_EQ(trap.error, 0);
	}
	G_EQ(try_write_cr3(cr3 | BIT(63)), VEC_GP);	/* PCIDE is off */
	G_EQ(read_cr3(), cr3);
}

TEST(cr3)
{
	maxphyaddr = cpuid_find(supported_cpuid(), 0x80000008, 0)->eax & 0xff;
	guest_run(g_cr3);
}

static void g_cr2(void)
{
	write_cr2(0x8123456789abcdefull);
	G_EQ(read_cr2(), 0x8123456789abcdefull);
	guest_sync(0);
	G_EQ(read_cr2(), 0xfedcba9876543210ull);
}

TEST(cr2)
{
	struct vcpu *v = guest_start(g_cr2);
	struct kvm_sregs s;

	vcpu_until(v, STOP_SYNC);
	get_sregs(v, &s);
	EQ(s.cr2, 0x8123456789abcdefull);
	s.cr2 = 0xfedcba9876543210ull;
	set_sregs(v, &s);
	vcpu_done(v);
	vm_free(v->vm);
}

/*
 * CR8 without an in-kernel APIC: kvm_run.cr8 both ways, and KVM_EXIT_SET_TPR
 * when the guest lowers it, so that user space can look for interrupts again.
 */
static void g_cr8(void)
{
	G_EQ(read_cr8(), 0);
	write_cr8(5);
	G_EQ(read_cr8(), 5);
	guest_sync(1);
	G_EQ(read_cr8(), 9);
	write_cr8(3);			/* KVM_EXIT_SET_TPR */
	G_EQ(read_cr8(), 3);
	guest_sync(2);
	G_EQ(try_write_cr8(16), VEC_GP);
	G_EQ(read_cr8(), 3);
}

static void g_cr8_high(void)
{
	G_EQ(try_write_cr8(BIT(8)), VEC_GP);
	G_EQ(try_write_cr8(BIT(63)), VEC_GP);
	G_EQ(read_cr8(), 0);
}

TEST(cr8_reserved_bits)
{
	if (kvm_in_tree())
		skip("in-tree looks at the low byte of CR8 only");
	guest_run(g_cr8_high);
}

TEST(cr8)
{
	struct vcpu *v = guest_start(g_cr8);
	struct kvm_sregs s;

	vcpu_until(v, STOP_SYNC);
	EQ(v->run->cr8, 5);
	get_sregs(v, &s);
	EQ(s.cr8, 5);
	v->run->cr8 = 9;
	vcpu_until(v, KVM_EXIT_SET_TPR);
	EQ(v->run->cr8, 3);
	vcpu_until(v, STOP_SYNC);
	vcpu_done(v);
	vm_free(v->vm);
}

static void g_cr_ud(void)
{
	G_EQ(TRY("mov %%cr1, %%rax", NO_OUTS, "m"(trap) : "rax"), VEC_UD);
	G_EQ(TRY("mov %%rax, %%cr5", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("mov %%cr15, %%rax", NO_OUTS, "m"(trap) : "rax"), VEC_UD);
}

TEST(undefined_control_registers)
{
	guest_run(g_cr_ud);
}

static void g_efer(void)
{
	u64 efer = rdmsr(MSR_EFER), value;

	G_EQ(efer, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
	wrmsr(MSR_EFER, efer & ~EFER_SCE);
	G_EQ(rdmsr(MSR_EFER), efer & ~EFER_SCE);
	wrmsr(MSR_EFER, efer & ~EFER_NXE);
	G_EQ(rdmsr(MSR_EFER), efer & ~EFER_NXE);
	wrmsr(MSR_EFER, efer);
	/* LME cannot change with paging on. */
	G_EQ(try_wrmsr(MSR_EFER, efer & ~EFER_LME), VEC_GP);
	G_EQ(trap.error, 0);
	for (value = BIT(1); value; value <<= 1) {
		/* 12 to 15 and 18 on: AMD's, maybe supported. */
		if (value & (efer | 0x3ff000))
			continue;
		G_EQ(try_wrmsr(MSR_EFER, efer | value), VEC_GP);
	}
	G_EQ(rdmsr(MSR_EFER), efer);
}

TEST(efer)
{
	guest_run(g_efer);
}

/* Without CPUID's NX there is no EFER.NXE. */
static void g_no_nx(void)
{
	u64 efer = rdmsr(MSR_EFER);

	G_EQ(efer & EFER_NXE, 0);
	G_EQ(try_wrmsr(MSR_EFER, efer | EFER_NXE), VEC_GP);
}

TEST(efer_follows_cpuid)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct vcpu *v = vcpu_new(vm_new(), 0);
	struct kvm_sregs s;

	cpuid_find(c, 0x80000001, 0)->edx &= ~BIT(20);
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	vcpu_long(v, g_no_nx);
	get_sregs(v, &s);
	s.efer &= ~EFER_NXE;
	set_sregs(v, &s);
	vcpu_done(v);
	vm_free(v->vm);
	free(c);
}

/* SYSCALL is #UD without EFER.SCE and works with it. */
static void g_syscall(void)
{
	u64 efer = rdmsr(MSR_EFER), target;

	wrmsr(MSR_EFER, efer & ~EFER_SCE);
	G_EQ(TRY("syscall", NO_OUTS, "m"(trap) : "rcx", "r11"), VEC_UD);
	wrmsr(MSR_EFER, efer);
	wrmsr(0xc0000081, (u64)SEL_CODE64 << 32);	/* STAR */
	wrmsr(0xc0000084, 0);				/* FMASK */
	asm volatile("lea 1f(%%rip), %0; mov %0, %%rax; mov %0, %%rdx\n"
		     "shr $32, %%rdx; mov $0xc0000082, %%ecx; wrmsr\n"
		     "syscall; ud2; 1:"
		     : "=&r"(target) : : "rax", "rcx", "rdx", "r11", "memory");
}

TEST(syscall)
{
	guest_run(g_syscall);
}

/* User-space view: what was set comes back, with the guest's values. */
TEST(sregs_round_trip)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_sregs set, got;

	get_sregs(v, &set);
	set.cr0 |= CR0_AM;
	set.cr2 = 0x1234;
	set.cr4 |= CR4_PGE | CR4_DE;
	set.cr8 = 7;
	set.fs.base = 0x7fff12345678ull;
	set.gs.base = 0xffff800012345678ull;
	set.gdt.limit = 0x7f;
	set.idt.base = 0x5000;
	set_sregs(v, &set);
	get_sregs(v, &got);
	EQ(memcmp(&set, &got, sizeof(set)), 0);
	vm_free(v->vm);
}

/*
 * KVM_SET_SREGS refuses what no processor can be in. The vCPU is unchanged
 * after each refusal.
 */
struct bad_sregs {
	const char *name;
	void (*spoil)(struct kvm_sregs *s);
	bool in_tree_takes;
};

static void spoil_cr4_reserved(struct kvm_sregs *s) { s->cr4 |= BIT(63); }
static void spoil_cr4_bit15(struct kvm_sregs *s) { s->cr4 |= BIT(15); }
static void spoil_no_pae(struct kvm_sregs *s) { s->cr4 &= ~CR4_PAE; }
static void spoil_no_lma(struct kvm_sregs *s) { s->efer &= ~EFER_LMA; }
static void spoil_lma_no_lme(struct kvm_sregs *s) { s->efer &= ~EFER_LME; }
static void spoil_efer(struct kvm_sregs *s) { s->efer |= BIT(40); }
static void spoil_cr3(struct kvm_sregs *s) { s->cr3 |= BIT(60); }
static void spoil_pg_no_pe(struct kvm_sregs *s) { s->cr0 &= ~CR0_PE; }
static void spoil_apic_base(struct kvm_sregs *s) { s->apic_base |= BIT(62); }

static const struct bad_sregs bad_sregs[] = {
	{ "CR4 bit 63", spoil_cr4_reserved },
	{ "CR4 bit 15", spoil_cr4_bit15 },
	{ "long mode without PAE", spoil_no_pae },
	{ "LME and PG without LMA", spoil_no_lma },
	{ "LMA without LME", spoil_lma_no_lme },
	{ "EFER bit 40", spoil_efer, true },
	{ "CR3 above MAXPHYADDR", spoil_cr3 },
	{ "PG without PE", spoil_pg_no_pe, true },
	{ "APIC base above MAXPHYADDR", spoil_apic_base },
};

TEST(bad_sregs)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_sregs good, bad, after;
	u32 i;

	get_sregs(v, &good);
	for (i = 0; i < ARRAY_SIZE(bad_sregs); i++) {
		int r;

		bad = good;
		bad_sregs[i].spoil(&bad);
		bad.cr2 = 0x999;
		r = ioctl(v->fd, KVM_SET_SREGS, &bad);
		if (r == 0 && kvm_in_tree() && bad_sregs[i].in_tree_takes) {
			row_skip(bad_sregs[i].name,
				 "in-tree takes it and fails at VM entry");
			set_sregs(v, &good);
			continue;
		}
		row(r == -1 && errno == EINVAL, "%s: %d, errno %d",
		    bad_sregs[i].name, r, errno);
		get_sregs(v, &after);
		row(!memcmp(&after, &good, sizeof(good)),
		    "%s changed something", bad_sregs[i].name);
		set_sregs(v, &good);
	}
	vcpu_done(v);
	vm_free(v->vm);
}

TEST(reset_state)
{
	struct vcpu *v = vcpu_bare(vm_bare(), 0);
	struct kvm_sregs s;
	struct kvm_regs r;

	get_sregs(v, &s);
	get_regs(v, &r);
	/* SDM, "IA-32 and Intel 64 Processor States Following Power-up". */
	EQ(s.cs.selector, 0xf000);
	EQ(s.cs.base, 0xffff0000);
	EQ(s.cs.limit, 0xffff);
	EQ(r.rip, 0xfff0);
	EQ(r.rflags, FLAG_FIXED);
	EQ(s.cr0, CR0_CD | CR0_NW | CR0_ET);
	EQ(s.cr4, 0);
	EQ(s.efer, 0);
	EQ(s.ds.limit, 0xffff);
	EQ(s.idt.limit, 0xffff);
	EQ(s.apic_base & 0xfffff800, 0xfee00800);
	vm_free(v->vm);
}

/*
 * Real mode -> 32-bit protected mode -> long mode (compatibility, then
 * 64-bit) -> compatibility -> protected without paging -> real mode, all in
 * one piece of guest code that reports at each station.
 */
#define AT(label) "(0x20000 + " #label " - code_modes)"

CODE(code_modes, 16,
	"modes_start:\n"
	"	movb $1, %al; outb %al, $0xe1\n"
	"	lgdtl %cs:(modes_gdtr - code_modes)\n"
	"	movl %cr0, %eax; orl $1, %eax; movl %eax, %cr0\n"
	"	ljmpl $0x18, $" AT(modes_32) "\n"
	".code32\n"
	"modes_32:\n"
	"	movl $0x10, %eax; movl %eax, %ds; movl %eax, %ss\n"
	"	movl %eax, %es; movl $0x90000, %esp\n"
	"	movb $2, %al; outb %al, $0xe1\n"
	"	movl %cr4, %eax; orl $0x20, %eax; movl %eax, %cr4\n"
	"	movl $0x4000, %eax; movl %eax, %cr3\n"
	"	movl $0xc0000080, %ecx; rdmsr; orl $0x100, %eax; wrmsr\n"
	"	movl %cr0, %eax; orl $0x80000000, %eax; movl %eax, %cr0\n"
	"	movb $3, %al; outb %al, $0xe1\n"
	"	ljmpl $0x08, $" AT(modes_64) "\n"
	".code64\n"
	"modes_64:\n"
	"	movabs $0x123456789abcdef0, %r15\n"
	"	movb $4, %al; outb %al, $0xe1\n"
	"	pushq $0x18; pushq $" AT(modes_compat) "; lretq\n"
	".code32\n"
	"modes_compat:\n"
	"	movb $5, %al; outb %al, $0xe1\n"
	"	movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0\n"
	"	movb $6, %al; outb %al, $0xe1\n"
	"	movl $0xc0000080, %ecx; rdmsr; andl $~0x100, %eax; wrmsr\n"
	"	ljmpl $0x20, $(modes_16 - code_modes)\n"
	".code16\n"
	"modes_16:\n"
	"	movw $0x28, %ax; movw %ax, %ds; movw %ax, %ss\n"
	"	movb $7, %al; outb %al, $0xe1\n"
	"	movl %cr0, %eax; andl $~1, %eax; movl %eax, %cr0\n"
	"	ljmp $0x2000, $(modes_real - code_modes)\n"
	"modes_real:\n"
	"	movb $8, %al; outb %al, $0xe1\n"
	"	hlt\n"
	"modes_gdtr: .word 0x5f; .long 0x1000\n");

struct station {
	u64 cr0_set, cr0_clear, efer;
	u8 l, db, pe_selector;
};

static const struct station stations[] = {
	{ 0, CR0_PE | CR0_PG, 0, 0, 0, 0 },
	{ CR0_PE, CR0_PG, 0, 0, 1, SEL_CODE32 },
	{ CR0_PE | CR0_PG, 0, EFER_LME | EFER_LMA, 0, 1, SEL_CODE32 },
	{ CR0_PE | CR0_PG, 0, EFER_LME | EFER_LMA, 1, 0, SEL_CODE64 },
	{ CR0_PE | CR0_PG, 0, EFER_LME | EFER_LMA, 0, 1, SEL_CODE32 },
	{ CR0_PE, CR0_PG, EFER_LME, 0, 1, SEL_CODE32 },
	{ CR0_PE, CR0_PG, 0, 0, 0, SEL_CODE16 },
	{ 0, CR0_PE | CR0_PG, 0, 0, 0, 0 },
};

static void check_station(struct vcpu *v, u32 n)
{
	const struct station *want = &stations[n];
	struct kvm_sregs s;

	EQ(v->value, n + 1);
	get_sregs(v, &s);
	EQ(s.cr0 & want->cr0_set, want->cr0_set);
	EQ(s.cr0 & want->cr0_clear, 0);
	EQ(s.efer, want->efer);
	EQ(s.cs.l, want->l);
	EQ(s.cs.db, want->db);
	EQ(s.cs.selector, want->pe_selector ? want->pe_selector : 0x2000);
	EQ(s.cr4 & CR4_PAE, n < 2 ? 0 : CR4_PAE);
}

/* The 16-bit selector of the walk has its base where the code is. */
static void code16_at(struct vm *vm, u32 base)
{
	u64 *d = &RAM(vm, G_GDT + SEL_CODE16, u64);

	*d |= (u64)(base & 0xffffff) << 16;
}

TEST(through_all_modes)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u32 round, i;

	code_load(vm, G_CODE, code_modes, code_modes_end);
	code16_at(vm, G_CODE);
	for (round = 0; round < 3; round++) {
		vcpu_real(v, G_CODE);
		for (i = 0; i < ARRAY_SIZE(stations); i++) {
			vcpu_until(v, STOP_SYNC);
			check_station(v, i);
		}
		vcpu_until(v, KVM_EXIT_HLT);
	}
	vm_free(vm);
}

/*
 * Each station is also reached by KVM_SET_SREGS: save all state there, load
 * it into a second vCPU, and let that one walk on to the end.
 */
TEST(moved_between_vcpus_at_every_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *a = vcpu_new(vm, 0), *b = vcpu_new(vm, 1);
	struct kvm_sregs s;
	struct kvm_regs r;
	u32 from, i;

	code_load(vm, G_CODE, code_modes, code_modes_end);
	code16_at(vm, G_CODE);
	for (from = 0; from < ARRAY_SIZE(stations); from++) {
		vcpu_real(a, G_CODE);
		for (i = 0; i <= from; i++)
			vcpu_until(a, STOP_SYNC);
		/* Complete the OUT before the state is taken. */
		a->run->immediate_exit = 1;
		FAILS(ioctl(a->fd, KVM_RUN, 0), EINTR);
		a->run->immediate_exit = 0;
		get_sregs(a, &s);
		get_regs(a, &r);
		set_sregs(b, &s);
		set_regs(b, &r);
		for (; i < ARRAY_SIZE(stations); i++) {
			vcpu_until(b, STOP_SYNC);
			check_station(b, i);
		}
		vcpu_until(b, KVM_EXIT_HLT);
	}
	vm_free(vm);
}

/* MOV to CR3 with PAE paging loads the PDPTEs and checks them. */
CODE(code_pae, 32,
	"movl $0xb000, %eax; movl %eax, %cr3\n"
	"movb $1, %al; outb %al, $0xe1\n"
	"movl $0xb800, %eax; movl %eax, %cr3\n"	/* faults */
	"hlt\n");

TEST(pae_reserved_pdpte)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct trap32 t;

	code_load(vm, G_CODE, code_pae, code_pae_end);
	memcpy(vm->ram + 0xb800, vm->ram + G_PDPT_PAE, 32);
	RAM(vm, 0xb810, u64) |= PT_W;		/* reserved in a PDPTE */
	vcpu_prot32(v, G_CODE, PAGING_PAE);
	vcpu_until(v, STOP_SYNC);
	vcpu_until(v, STOP_TRAP);
	trap_get(v, &t);
	EQ(t.vector, VEC_GP);
	EQ(t.error, 0);
	vm_free(vm);
}

/* KVM_SET_SREGS with PAE takes the PDPTEs from memory too. */
CODE(code_pae_read, 32, "movl 0x40000000, %eax; outl %eax, $0xe1");

TEST(pae_pdptes_after_set_sregs)
{
	struct vm *vm = vm_new();
	struct vcpu *v;
	u32 i;

	/* A new vCPU each time has nothing of the old tables cached. */
	code_load(vm, G_CODE, code_pae_read, code_pae_read_end);
	for (i = 0; i < 2; i++) {
		RAM(vm, G_PD + 4096 + 0, u64) = (u64)i * 0x800000 |
						PT_P | PT_W | PT_PS;
		RAM(vm, 0, u32) = 0x1111;
		RAM(vm, G_HIGH, u32) = 0x2222;
		v = vcpu_new(vm, i);
		vcpu_prot32(v, G_CODE, PAGING_PAE);
		vcpu_until(v, STOP_SYNC);
		EQ(v->value, i ? 0x2222 : 0x1111);
	}
	vm_free(vm);
}

/* Privilege: control register access at CPL 3 is #GP(0). */
CODE(code_user_cr, 32, "movl %cr0, %eax");

TEST(user_mode_cr_access)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct kvm_sregs s;
	struct trap32 t;

	code_load(vm, G_CODE, code_user_cr, code_user_cr_end);
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	get_sregs(v, &s);
	s.cs.selector = SEL_UCODE32;
	s.ss.selector = s.ds.selector = SEL_UDATA;
	s.cs.dpl = s.ss.dpl = s.ds.dpl = 3;
	set_sregs(v, &s);
	vcpu_until(v, STOP_TRAP);
	trap_get(v, &t);
	EQ(t.vector, VEC_GP);
	EQ(t.error, 0);
	EQ(t.ip, G_CODE);
	EQ(t.cs, SEL_UCODE32);
	vm_free(vm);
}
