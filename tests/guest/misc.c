// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that concern caches, translations, power and virtualization
 * itself: what a guest may run, and what is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define PAGE	0x30000000ull

/* Translations: what the guest changed and flushed takes effect. */

static volatile u64 *g_pte(void)
{
	u64 pde = *(u64 *)(G_PD + (PAGE >> 21) * 8);

	return (volatile u64 *)(pde & ~0xfffull);
}

static void g_flush_by_invlpg(u64 va)
{
	invlpg(va);
}

static void g_flush_by_cr3(u64 va)
{
	(void)va;
	write_cr3(read_cr3());
}

/* Toggling PGE flushes everything, global entries too. */
static void g_flush_by_pge(u64 va)
{
	(void)va;
	write_cr4(read_cr4() ^ CR4_PGE);
	write_cr4(read_cr4() ^ CR4_PGE);
}

static void g_invpcid(u64 type, u64 pcid, u64 va)
{
	struct { u64 pcid, va; } descriptor = { pcid, va };

	asm volatile("invpcid %0, %1" : : "m"(descriptor), "r"(type)
		     : "memory");
}

static void g_flush_by_invpcid_address(u64 va)
{
	g_invpcid(0, 0, va);
}

static void g_flush_by_invpcid_context(u64 va)
{
	(void)va;
	g_invpcid(1, 0, 0);
}

static void g_flush_by_invpcid_nonglobal(u64 va)
{
	(void)va;
	g_invpcid(3, 0, 0);
}

static void g_flush_by_invpcid_all(u64 va)
{
	(void)va;
	g_invpcid(2, 0, 0);
}

/* How a translation is flushed, and whether that also does global ones. */
struct flush {
	const char *name;
	void (*flush)(u64 va);
	bool global, invpcid;
};

static const struct flush flushes[] = {
	{ "INVLPG", g_flush_by_invlpg },
	{ "MOV to CR3", g_flush_by_cr3 },
	{ "CR4.PGE toggled", g_flush_by_pge },
	{ "INVLPG, global", g_flush_by_invlpg, true },
	{ "CR4.PGE toggled, global", g_flush_by_pge, true },
	{ "INVPCID of an address", g_flush_by_invpcid_address, false, true },
	{ "INVPCID of a context", g_flush_by_invpcid_context, false, true },
	{ "INVPCID of all, global", g_flush_by_invpcid_all, true, true },
	{ "INVPCID of all non-global", g_flush_by_invpcid_nonglobal, false,
	  true },
};

static volatile u32 flush_case;

static bool g_remapped(const struct flush *f)
{
	volatile u64 *pte = g_pte();
	u64 i, global = f->global ? PT_G : 0;

	for (i = 0; i < 20; i++) {
		u64 page = G_FREE + (i % 4) * 4096;

		*pte = page | PT_P | PT_W | global;
		f->flush(PAGE);
		write64(PAGE + 0x20, i);
		if (read64(page + 0x20) != i || read64(PAGE + 0x20) != i)
			return false;
	}
	*pte = 0;
	f->flush(PAGE);
	return TRY("movb (%%rax), %%al", NO_OUTS, "a"(PAGE)) == VEC_PF;
}

static void g_flush_case(void)
{
	const struct flush *f = &flushes[flush_case];

	if (f->global)
		write_cr4(read_cr4() | CR4_PGE);
	guest_sync(g_remapped(f));
}

TEST(translations_are_flushed)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(flushes); i++) {
		struct vcpu *v;

		if (flushes[i].invpcid && !cpu_has(7, 1, 10))
			continue;
		flush_case = i;
		v = guest_start(g_flush_case);
		map_page(v->vm, PAGE, 0, 0);
		vcpu_until(v, STOP_SYNC);
		row(v->value, "%s leaves the old translation",
		    flushes[i].name);
		vm_free(v->vm);
	}
}

static void g_bad_invpcid(void)
{
	G_EQ(TRY("invpcid (%%rsp), %%rax", NO_OUTS, "a"(4)), VEC_GP);
	G_EQ(trap.error, 0);
}

TEST(invpcid_of_no_type)
{
	if (!cpu_has(7, 1, 10))
		skip("the processor has no INVPCID");
	guest_run(g_bad_invpcid);
}

/* Two address spaces, each with its own view, also by PCID. */
static void g_two_spaces(u64 a, u64 b)
{
	u32 i;

	for (i = 0; i < 50; i++) {
		write_cr3(a);
		G_EQ(read64(PAGE), 0xaaaa);
		write_cr3(b);
		G_EQ(read64(PAGE), 0xbbbb);
	}
}

/*
 * The translation of the space that is not in use changes: a load of CR3
 * flushes it, and one that keeps translations leaves that to INVLPG.
 */
static void g_changed_elsewhere(u64 a, u64 b, volatile u64 *pte_of_a)
{
	const u64 other = *pte_of_a ^ 0x2000;

	write64(other & ~0xfffull, 0xcccc);
	write_cr3(a);
	G_EQ(read64(PAGE), 0xaaaa);
	write_cr3(b);
	*pte_of_a ^= 0x2000;
	G_EQ(read64(PAGE), 0xbbbb);
	write_cr3(a);
	G_EQ(read64(PAGE), 0xcccc);
	write_cr3(b);
	*pte_of_a ^= 0x2000;
	write_cr3(a | BIT(63));
	invlpg(PAGE);
	G_EQ(read64(PAGE), 0xaaaa);
	G_EQ(read_cr3(), a);
}

static volatile u32 has_pcid;

/* A second tree that differs in PAGE: at G_HIGH. */
static void g_spaces(void)
{
	u64 *pml4 = (u64 *)(u64)G_HIGH, *pdpt = pml4 + 512, *pd = pdpt + 512;
	u64 *pt = pd + 512, i;

	for (i = 0; i < 512; i++) {
		pml4[i] = ((u64 *)G_PML4)[i];
		pdpt[i] = ((u64 *)G_PDPT)[i];
		pd[i] = ((u64 *)G_PD)[i];
		pt[i] = g_pte()[i];
	}
	pml4[0] = (u64)pdpt | PT_P | PT_W;
	pdpt[0] = (u64)pd | PT_P | PT_W;
	pd[PAGE >> 21] = (u64)pt | PT_P | PT_W;
	*g_pte() = G_FREE | PT_P | PT_W;
	pt[0] = (G_FREE + 4096) | PT_P | PT_W;
	write64(G_FREE, 0xaaaa);
	write64(G_FREE + 4096, 0xbbbb);
	g_two_spaces(G_PML4, (u64)pml4);
	write_cr3(G_PML4);
	if (!has_pcid)
		return;
	write_cr4(read_cr4() | CR4_PCIDE);
	write_cr3((u64)pml4 | 2);
	write_cr3(G_PML4 | 1);
	g_two_spaces(G_PML4 | 1 | BIT(63), (u64)pml4 | 2 | BIT(63));
	g_two_spaces(G_PML4 | 1, (u64)pml4 | 2);
	g_changed_elsewhere(G_PML4 | 1, (u64)pml4 | 2, g_pte());
}

TEST(address_spaces)
{
	struct vcpu *v;

	has_pcid = cpu_has(1, 2, 17);
	v = guest_start(g_spaces);
	map_page(v->vm, PAGE, 0, 0);
	vcpu_done(v);
	vm_free(v->vm);
}

/* Accessed and dirty bits in the guest's own tables. */
static void g_accessed_dirty(void)
{
	volatile u64 *pte = g_pte();

	*pte = G_FREE | PT_P | PT_W;
	invlpg(PAGE);
	read64(PAGE);
	G_EQ(*pte & (PT_A | PT_D), PT_A);
	write64(PAGE, 1);
	G_EQ(*pte & (PT_A | PT_D), PT_A | PT_D);
	/* The emulator sets them as the processor does. */
	*pte = G_MMIO | PT_P | PT_W;
	invlpg(PAGE);
	read64(PAGE);
	G_EQ(*pte & PT_A, PT_A);
	write64(PAGE, 1);
	G_EQ(*pte & (PT_A | PT_D), PT_A | PT_D);
}

TEST(accessed_and_dirty_bits)
{
	struct vcpu *v = guest_start(g_accessed_dirty);
	int stop;

	map_page(v->vm, PAGE, 0, 0);
	do {
		stop = vcpu_go(v);
	} while (stop == KVM_EXIT_MMIO);
	EQ(stop, STOP_DONE);
	vm_free(v->vm);
}

/* Caches: allowed, and without effect on memory's contents. */
static void g_caches(void)
{
	u64 cr0 = read_cr0();

	write64(G_FREE, 0x5555);
	asm volatile("wbinvd" : : : "memory");
	G_EQ(read64(G_FREE), 0x5555);
	asm volatile("clflush (%0)" : : "r"(G_FREE) : "memory");
	G_EQ(read64(G_FREE), 0x5555);
	write_cr0(cr0 | CR0_CD);
	write64(G_FREE, 0x6666);
	G_EQ(read64(G_FREE), 0x6666);
	write_cr0(cr0);
	G_EQ(read64(G_FREE), 0x6666);
	/* INVD may drop nothing of a guest's memory that it wrote before. */
	G_EQ(TRY("invd", NO_OUTS, "m"(trap)), VEC_NONE);
	G_EQ(read64(G_FREE), 0x6666);
	asm volatile("mfence; lfence; sfence; pause");
}

TEST(caches)
{
	guest_run(g_caches);
}

/* Memory types: MTRRs and PAT in use change nothing but speed. */
static void g_memory_types(void)
{
	wrmsr(0x277, 0x0007040600070400ull);	/* PAT entry 0: UC */
	wrmsr(0x200, G_HIGH | 0);		/* MTRR: UC at G_HIGH */
	wrmsr(0x201, 0xfffff00000ull | 0x800);
	wrmsr(0x2ff, 0xc06);
	write64(G_HIGH + 8, 0x1234);
	G_EQ(read64(G_HIGH + 8), 0x1234);
	*g_pte() = G_HIGH | PT_P | PT_W | PT_PCD | PT_PWT;
	invlpg(PAGE);
	G_EQ(read64(PAGE + 8), 0x1234);
	write64(PAGE + 16, 0x5678);
	G_EQ(read64(G_HIGH + 16), 0x5678);
	wrmsr(0x2ff, 0);
	wrmsr(0x277, 0x0007040600070406ull);
}

TEST(memory_types)
{
	struct vcpu *v = guest_start(g_memory_types);

	map_page(v->vm, PAGE, 0, 0);
	vcpu_done(v);
	vm_free(v->vm);
}

/* RDPMC: #GP for a counter that does not exist, at CPL 0 too. */
static volatile u32 user_vector;

static void g_user_rdpmc(void)
{
	user_vector = TRY("rdpmc", NO_OUTS, "c"(0) : "rax", "rdx");
}

static void g_rdpmc(void)
{
	G_EQ(TRY("rdpmc", NO_OUTS, "c"(0x12345) : "rax", "rdx"), VEC_GP);
	G_EQ(trap.error, 0);
	guest_user(g_user_rdpmc);		/* CR4.PCE is clear */
	G_EQ(user_vector, VEC_GP);
}

TEST(rdpmc)
{
	guest_run(g_rdpmc);
}

/* VMX, SVM and SMX instructions in a guest without them. */
static void g_virtualization(void)
{
	G_EQ(TRY("vmxoff", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("vmlaunch", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("vmresume", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("vmxon (%%rsp)", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("vmptrld (%%rsp)", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("vmptrst (%%rsp)", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("vmclear (%%rsp)", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("vmread %%rax, %%rcx", NO_OUTS, "m"(trap) : "rcx"), VEC_UD);
	G_EQ(TRY("vmwrite %%rax, %%rcx", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("invept (%%rsp), %%rax", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("invvpid (%%rsp), %%rax", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("vmfunc", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("getsec", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(TRY("vmrun", NO_OUTS, "m"(trap)), VEC_UD);
}

TEST(virtualization_instructions)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct vcpu *v = vcpu_bare(vm_new(), 0);

	cpuid_find(c, 1, 0)->ecx &= ~(BIT(5) | BIT(6));
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	vcpu_long(v, g_virtualization);
	vcpu_done(v);
	vm_free(v->vm);
}

/* Instructions that CPUID takes away are #UD where VT-x can see to it. */
static void g_without_features(void)
{
	G_EQ(TRY("invpcid (%%rsp), %%rax", NO_OUTS, "a"(2)), VEC_UD);
	G_EQ(TRY("xsetbv", NO_OUTS, "a"(1), "d"(0), "c"(0)), VEC_UD);
}

TEST(features_taken_away)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct vcpu *v = vcpu_bare(vm_new(), 0);

	cpuid_find(c, 1, 0)->ecx &= ~(BIT(26) | BIT(28) | BIT(12));
	if (cpuid_find(c, 7, 0))
		cpuid_find(c, 7, 0)->ebx = 0;
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	vcpu_long(v, g_without_features);
	vcpu_done(v);
	vm_free(v->vm);
}

/* Random numbers come from the processor, or #UD; no exit reaches us. */
static volatile u32 has_rdrand;

static void g_rdrand(void)
{
	u64 a = 0, b = 0;

	G_EQ(TRY("rdrand %%rax", OUTS("+a"(a)), "m"(trap)),
	     has_rdrand ? VEC_NONE : VEC_UD);
	G_EQ(TRY("rdrand %%rax", OUTS("+a"(b)), "m"(trap)),
	     has_rdrand ? VEC_NONE : VEC_UD);
	if (has_rdrand)
		G_CHECK(a != b);
}

TEST(rdrand)
{
	has_rdrand = cpu_has(1, 2, 30);
	guest_run(g_rdrand);
}

/* Descriptor table registers, with UMIP at CPL 3. */
static void g_user_sidt(void)
{
	u8 where[16];

	user_vector = TRY("sidt %[w]", NO_OUTS, [w] "m"(where) : "memory");
}

static void g_umip(void)
{
	guest_user(g_user_sidt);
	G_EQ(user_vector, VEC_NONE);
	write_cr4(read_cr4() | CR4_UMIP);
	guest_user(g_user_sidt);
	G_EQ(user_vector, VEC_GP);
	g_user_sidt();
	G_EQ(user_vector, VEC_NONE);
}

TEST(umip)
{
	if (!cpu_has(7, 2, 2))
		skip("the processor has no UMIP");
	guest_run(g_umip);
}

/* Self-modifying code, within a page that was executed before. */
static void g_modify(void)
{
	/* movl $imm32, %eax; ret */
	static const u8 code[] = { 0xb8, 0, 0, 0, 0, 0xc3 };
	u32 (*f)(void) = (void *)(G_HIGH + 0x100ull);
	u32 i;

	memcpy((void *)(u64)f, code, sizeof(code));
	for (i = 0; i < 100; i++) {
		*(volatile u32 *)((u64)f + 1) = i * 3;
		G_EQ(f(), i * 3);
	}
}

TEST(self_modifying_code)
{
	guest_run(g_modify);
}
