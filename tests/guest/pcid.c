// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process-context identifiers: which translations a guest may still meet, and
 * which it must not, whoever keeps them: the processor, or shadow page tables.
 *
 * Several address spaces, a PCID each, change under the guest's hands. The
 * model is that of the SDM's "Caching Translation Information": a translation
 * may be remembered for a PCID from any moment at which that PCID was current,
 * until the guest flushes it. What is remembered may be used or not; nothing
 * else may be.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define PAGE		4096ull
#define NOFLUSH		BIT(63)
#define ADDRESS		0x000ffffffffff000ull

#define need_pcid() do {						\
	if (!cpu_has(1, 2, 17))						\
		skip("the processor has no PCID");			\
} while (0)
#define HAS_INVPCID()	cpu_has(7, 1, 10)

static u32 g_try_invpcid(u64 type, u64 pcid, u64 va)
{
	struct { u64 pcid, va; } descriptor = { pcid, va };

	return TRY("invpcid %[d], %[t]", NO_OUTS, [d] "m"(descriptor),
		   [t] "r"(type) : "memory");
}

/* ---- the registers ------------------------------------------------------ */

static void g_registers(void)
{
	const u64 cr3 = read_cr3(), cr4 = read_cr4();

	G_EQ(try_write_cr3(cr3 | NOFLUSH), VEC_GP);
	write_cr3(cr3 | PT_PCD);
	G_EQ(try_write_cr4(cr4 | CR4_PCIDE), VEC_GP);
	G_EQ(read_cr4(), cr4);
	write_cr3(cr3);
	G_EQ(try_write_cr4(cr4 | CR4_PCIDE), VEC_NONE);
	G_EQ(read_cr4(), cr4 | CR4_PCIDE);
	write_cr3(cr3 | 0x123 | NOFLUSH);
	G_EQ(read_cr3(), cr3 | 0x123);
	write_cr3(cr3 | 0xfff);
	G_EQ(read_cr3(), cr3 | 0xfff);
	G_EQ(try_write_cr3(cr3 | BIT(62)), VEC_GP);
	G_EQ(try_write_cr3(cr3 | BIT(62) | NOFLUSH), VEC_GP);
	G_EQ(read_cr3(), cr3 | 0xfff);
	/* It may go at any time, but not come back before the PCID is 0. */
	write_cr4(cr4);
	G_EQ(read_cr3(), cr3 | 0xfff);
	G_EQ(try_write_cr4(cr4 | CR4_PCIDE), VEC_GP);
	write_cr3(cr3);
	write_cr4(cr4 | CR4_PCIDE);
	write_cr3(cr3 | 7 | NOFLUSH);
}

TEST(registers)
{
	struct kvm_sregs s;
	struct vcpu *v;

	need_pcid();
	v = guest_start(g_registers);
	vcpu_done(v);
	get_sregs(v, &s);
	EQ(s.cr3, G_PML4 | 7);
	EQ(s.cr4 & CR4_PCIDE, CR4_PCIDE);
	set_sregs(v, &s);
	get_sregs(v, &s);
	EQ(s.cr3, G_PML4 | 7);
	vm_free(v->vm);
}

CODE(set_pcide, 32,
     "movl %cr4, %eax; btsl $17, %eax; movl %eax, %cr4\n"
     "movl %cr4, %eax; outl %eax, $0xe1\n"
     "movl %cr0, %eax; btrl $31, %eax; movl %eax, %cr0\n"
     "outb %al, $0xe0\n");

/* Outside long mode it cannot be set; long mode cannot be left with it. */
TEST(other_modes)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);

	need_pcid();
	code_load(vm, G_CODE, set_pcide, set_pcide_end);
	vcpu_prot32(v, G_CODE, PAGING_PAE);
	expect_trap(v, VEC_GP);
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	expect_trap(v, VEC_GP);
	vm_free(vm);
}

static volatile u64 left_at;

static void g_note_gp(struct trap_frame *f)
{
	left_at = f->rip;
	guest_done();
}

TEST(long_mode_stays)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);

	need_pcid();
	code_load(vm, G_CODE, set_pcide, set_pcide_end);
	vcpu_compat(v, G_CODE);
	G(vm, trap).vector = VEC_NONE;
	G(vm, trap).handler[VEC_GP] = g_note_gp;
	EQ(next_value(v) & CR4_PCIDE, CR4_PCIDE);
	vcpu_done(v);
	CHECK(G(vm, left_at) > G_CODE);
	vm_free(vm);
}

/* ---- INVPCID ------------------------------------------------------------ */

static void g_invpcid_undefined(void)
{
	G_EQ(g_try_invpcid(2, 0, 0), VEC_UD);
}

static void g_invpcid_user(void)
{
	G_EQ(g_try_invpcid(3, 0, 0), VEC_GP);
}

static void g_invpcid_checks(void)
{
	const u64 odd = BIT(47);
	u64 type;

	for (type = 0; type < 4; type++) {
		G_EQ(g_try_invpcid(type, 0, G_FREE), VEC_NONE);
		G_EQ(g_try_invpcid(type, 5, G_FREE),
		     type < 2 ? VEC_GP : VEC_NONE);
		G_EQ(g_try_invpcid(type, 0, odd), type ? VEC_NONE : VEC_GP);
	}
	write_cr4(read_cr4() | CR4_PCIDE);
	for (type = 0; type < 4; type++) {
		G_EQ(g_try_invpcid(type, 5, G_FREE), VEC_NONE);
		G_EQ(g_try_invpcid(type, BIT(12), G_FREE), VEC_GP);
		G_EQ(g_try_invpcid(type, BIT(63), G_FREE), VEC_GP);
	}
	G_EQ(g_try_invpcid(4, 0, 0), VEC_GP);
	G_EQ(g_try_invpcid(BIT(31), 0, 0), VEC_GP);
	G_EQ(TRY("invpcid (%%rax), %%rcx", NO_OUTS, "a"(odd), "c"(2ull)),
	     VEC_GP);
	*(volatile u64 *)(G_PD + 8 * (0x40000000 >> 21)) = 0;
	write_cr3(read_cr3());
	G_EQ(TRY("invpcid (%%rax), %%rcx", NO_OUTS, "a"(0x40000000ull),
		 "c"(2ull)), VEC_PF);
	G_EQ(trap.cr2, 0x40000000);
	guest_user(g_invpcid_user);
}

TEST(invpcid_checks)
{
	need_pcid();
	guest_run(HAS_INVPCID() ? g_invpcid_checks : g_invpcid_undefined);
}

TEST(invpcid_hidden)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_bare(vm, 0);
	struct kvm_cpuid2 *c = cpuid_copy();

	cpuid_find(c, 7, 0)->ebx &= ~BIT(10);
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	vcpu_long(v, g_invpcid_undefined);
	vcpu_done(v);
	free(c);
	vm_free(vm);
}

/* ---- address spaces that change ----------------------------------------- */

#define NR_SPACES	4		/* space i has PCID i + 1 */
#define NR_OWN		4		/* pages by tables of their own ... */
#define NR_SHARED	4		/* ... by a table that all refer to ... */
#define NR_GLOBAL	4		/* ... and the same for global pages */
#define FIRST_SHARED	NR_OWN
#define FIRST_GLOBAL	(NR_OWN + NR_SHARED)
#define NR_PAGES	(FIRST_GLOBAL + NR_GLOBAL)
#define NR_DATA		8
#define REGION		BIT(39)		/* entry 1 of each root */
#define TABLES		G_HIGH
#define SHARED_TABLE	(TABLES + 0x40000)
#define GLOBAL_TABLE	(TABLES + 0x41000)
#define DATA		(TABLES + 0x80000)

enum { ROOT, PDPT, PD, PT };		/* four pages for each space */

static u64 table(u32 space, u32 which)
{
	return TABLES + (4 * space + which) * PAGE;
}

static volatile bool has_invpcid;
static u64 random_state, seen;
static u32 now;				/* the space that CR3 names */
/* By space, or 0 for all, and page: data that may be remembered, as bits. */
static u8 may[NR_SPACES][NR_PAGES];

static u32 pick(u32 below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 20) % below;
}

static bool is_global(u32 page)
{
	return page >= FIRST_GLOBAL;
}

static u64 page_va(u32 page)
{
	if (is_global(page))
		return REGION + 2 * (2ull << 20) + (page - FIRST_GLOBAL) * PAGE;
	if (page >= FIRST_SHARED)
		return REGION + (2ull << 20) + (page - FIRST_SHARED) * PAGE;
	return REGION + page * PAGE;
}

static volatile u64 *page_pte(u32 space, u32 page)
{
	u64 pt = is_global(page) ? GLOBAL_TABLE :
		 page >= FIRST_SHARED ? SHARED_TABLE : table(space, PT);

	return (volatile u64 *)pt + (page_va(page) >> 12 & 511);
}

static u8 *remembered(u32 space, u32 page)
{
	return &may[is_global(page) ? 0 : space][page];
}

/* What the entry gives at this moment, as a bit; 0: not present. */
static u8 gives(u32 space, u32 page)
{
	u64 pte = *page_pte(space, page);

	return pte & PT_P ? BIT(((pte & ADDRESS) - DATA) / PAGE) : 0;
}

/* The processor may look at any page of the current space, at any time. */
static void g_remember(void)
{
	u32 page;

	for (page = 0; page < NR_PAGES; page++)
		*remembered(now, page) |= gives(now, page);
}

static void g_forget(u32 space, bool global)
{
	u32 page;

	for (page = 0; page < NR_PAGES; page++)
		if (global || !is_global(page))
			*remembered(space, page) = 0;
}

static void g_forget_all(bool global)
{
	u32 space;

	for (space = 0; space < NR_SPACES; space++)
		g_forget(space, global);
}

static void g_change(void)
{
	u32 space = pick(NR_SPACES), page = pick(NR_PAGES);
	u64 pte = (DATA + pick(NR_DATA) * PAGE) | PT_P | PT_W;

	if (is_global(page))
		pte |= PT_G;
	*page_pte(space, page) = pick(4) ? pte : 0;
}

static void g_switch(void)
{
	bool flush = pick(3) == 0;

	now = pick(NR_SPACES);
	write_cr3(table(now, ROOT) | (now + 1) | (flush ? 0 : NOFLUSH));
	G_EQ(read_cr3(), table(now, ROOT) | (now + 1));
	if (flush)
		g_forget(now, false);
}

static void g_invlpg(void)
{
	u32 page = pick(NR_PAGES);

	invlpg(page_va(page));
	*remembered(now, page) = 0;
}

static void g_flush_all(void)
{
	write_cr4(read_cr4() ^ CR4_PGE);
	write_cr4(read_cr4() ^ CR4_PGE);
}

static void g_toggle_pge(void)
{
	g_flush_all();
	g_forget_all(true);
}

/* Without it, more is flushed than the model forgets. */
static void g_invpcid(void)
{
	u32 type = pick(4), space = pick(NR_SPACES), page = pick(NR_PAGES);

	if (!has_invpcid)
		g_flush_all();
	else
		G_EQ(g_try_invpcid(type, space + 1, page_va(page)), VEC_NONE);
	if (type >= 2)
		g_forget_all(type == 2);
	else if (type == 1)
		g_forget(space, false);
	else if (!is_global(page))
		*remembered(space, page) = 0;
}

static void g_look(void)
{
	u32 page = pick(NR_PAGES), vector;
	u8 allowed = *remembered(now, page), present = gives(now, page);
	u64 value = NR_DATA;

	vector = TRY("movq (%[va]), %[value]", OUTS([value] "+r"(value)),
		     [va] "r"(page_va(page)) : "memory");
	if (vector != VEC_NONE) {
		G_EQ(vector, VEC_PF);
		G_EQ(present, 0);
	} else {
		G_EQ(allowed >> value & 1, 1);
	}
	/* Where there is no choice all who translate agree. */
	if (!(allowed & (allowed - 1)) && (present || !allowed))
		seen = seen * 31 + value;
}

#define OPERATIONS	20000

static void g_spaces(void)
{
	u32 i, op;

	write_cr4(read_cr4() | CR4_PGE | CR4_PCIDE);
	write_cr3(table(now, ROOT) | (now + 1));
	random_state = 88172645463325252ull;
	for (i = 0; i < OPERATIONS; i++) {
		op = pick(32);
		if (op < 10)
			g_change();
		else if (op < 14)
			g_switch();
		else if (op < 16)
			g_invlpg();
		else if (op < 17)
			g_invpcid();
		else if (op < 18 && !pick(8))
			g_toggle_pge();
		g_remember();
		g_look();
	}
}

static void build_space(struct vm *vm, u32 space)
{
	const u64 bits = PT_P | PT_W;

	RAM(vm, table(space, ROOT), u64) = RAM(vm, G_PML4, u64);
	RAM(vm, table(space, ROOT) + 8, u64) = table(space, PDPT) | bits;
	RAM(vm, table(space, PDPT), u64) = table(space, PD) | bits;
	RAM(vm, table(space, PD), u64) = table(space, PT) | bits;
	RAM(vm, table(space, PD) + 8, u64) = SHARED_TABLE | bits;
	RAM(vm, table(space, PD) + 16, u64) = GLOBAL_TABLE | bits;
}

TEST(spaces)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u32 i;

	need_pcid();
	for (i = 0; i < NR_SPACES; i++)
		build_space(vm, i);
	for (i = 0; i < NR_DATA; i++)
		RAM(vm, DATA + i * PAGE, u64) = i;
	G(vm, has_invpcid) = HAS_INVPCID();
	vcpu_long(v, g_spaces);
	vcpu_done(v);
	note("sum %016llx", G(vm, seen));
	vm_free(vm);
}
