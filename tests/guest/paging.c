// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables that change under the guest's own hands, in each format: random
 * entries, each access compared with a plain model of what the processor does
 * (the value or the fault and its error code, accessed and dirty bits).
 *
 * The guest runs 32-bit code, in compatibility mode where the tables are
 * those of 64-bit mode. The host names one operation at a time; all stores to
 * the tables are the guest's, through the identity map or through a page that
 * happens to map a table. What a store may have made stale is flushed before
 * the next access.
 */
#include <string.h>

#include "guest.h"
#include "harness.h"

#define REGION		0x80000000u	/* the addresses under test */
#define NR_PDES		4
#define NR_PTES		8		/* in use, of each table */
#define NR_TABLES	4
#define NR_DATA		8
#define G_TABLES	G_HIGH
#define G_DATA		(G_HIGH + 0x10000)
#define G_PDPTE		(G_PDPT + 16)	/* of the region, in 64-bit tables */
#define G_PDE		(G_PD + 2 * 4096)
#define G_PDE32		(G_PD32 + 512 * 4)
#define USER_VA		0x40000000u	/* a user page that maps from 0 on */
#define FETCH_AT	0x800		/* in each data page: code that reports */
#define RESERVED	BIT(51)

#define PF_P	BIT(0)
#define PF_W	BIT(1)
#define PF_U	BIT(2)
#define PF_RSVD	BIT(3)
#define PF_I	BIT(4)

CODE(op_load, 32, "movl (%ebx), %eax; outl %eax, $0xe1");
CODE(op_store, 32, "movl %eax, (%ebx); outl %eax, $0xe1");
CODE(op_store64, 32,
	"movl %edx, 4(%ebx); movl %eax, (%ebx); outl %eax, $0xe1");
CODE(op_fetch, 32, "jmp *%ebx");
CODE(op_invlpg, 32, "invlpg (%ebx); outl %eax, $0xe1");
CODE(op_cr3, 32, "movl %cr3, %eax; movl %eax, %cr3; outl %eax, $0xe1");

enum { OP_LOAD, OP_STORE, OP_STORE64, OP_FETCH, OP_INVLPG, OP_CR3, NR_OPS };

static const struct { const u8 *start, *end; } ops[NR_OPS] = {
	[OP_LOAD] = { op_load, op_load_end },
	[OP_STORE] = { op_store, op_store_end },
	[OP_STORE64] = { op_store64, op_store64_end },
	[OP_FETCH] = { op_fetch, op_fetch_end },
	[OP_INVLPG] = { op_invlpg, op_invlpg_end },
	[OP_CR3] = { op_cr3, op_cr3_end },
};
#define OP_AT(op)	(G_CODE + 64 * (op))

struct machine {
	struct vm *vm;
	struct vcpu *v;
	int bits;		/* 32, 36 (PAE) or 64 */
	bool wp, smep, smap, nx;
	u64 random;
	u64 sum;		/* of all that the guest saw */
	struct kvm_sregs sregs;	/* as they began */
};

static u32 pick(struct machine *m, u32 below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (m->random >> 20) % below;
}

/* ---- one operation ------------------------------------------------------ */

#define FAULTED	0x80000000u
static void g_report_fault(struct trap_frame *f)
{
	outl(PORT_SYNC, FAULTED | f->error);
}

/* PF_* of an access; the error code of the fault, or -1, and the value. */
static int run_op(struct machine *m, int op, u32 how, u32 address, u64 data,
		  bool ac, u32 *value)
{
	const u32 first = address + (op == OP_STORE64 ? 4 : 0);
	bool user = how & PF_U;
	struct kvm_regs r = {
		.rip = OP_AT(op) + (user ? USER_VA : 0),
		.rbx = address, .rax = (u32)data, .rdx = data >> 32,
		.rsp = G_STACK,
		.rflags = FLAG_FIXED | (user ? BIT(12) | BIT(13) : 0) |
			  (ac ? FLAG_AC : 0),
	};
	struct kvm_sregs s = m->sregs;
	struct trap32 t;
	int stop;

	if (user) {
		s.cs.selector = SEL_UCODE32;
		s.ss.selector = SEL_UDATA;
		s.ds.selector = s.es.selector = SEL_UDATA;
		s.cs.dpl = s.ss.dpl = s.ds.dpl = s.es.dpl = 3;
	}
	set_sregs(m->v, &s);
	set_regs(m->v, &r);
	stop = vcpu_go(m->v);
	if (stop == STOP_SYNC && m->bits == 64 && G(m->vm, trap).vector == VEC_PF) {
		G(m->vm, trap).vector = VEC_NONE;
		EQ(G(m->vm, trap).cr2, first);
		return m->v->value & 0xffff;
	}
	if (stop == STOP_TRAP) {
		trap_get(m->v, &t);
		get_sregs(m->v, &s);
		EQ(t.vector, VEC_PF);
		EQ(s.cr2, first);
		return t.error;
	}
	EQ(stop, STOP_SYNC);
	*value = m->v->value;
	return -1;
}

/* By the guest, as a supervisor, through the identity map. */
static void store_entry(struct machine *m, u32 gpa, u64 entry)
{
	u32 unused;

	EQ(run_op(m, m->bits == 32 ? OP_STORE : OP_STORE64, PF_W, gpa, entry,
		  false, &unused), -1);
}

static void simple_op(struct machine *m, int op, u32 address)
{
	u32 unused;

	EQ(run_op(m, op, 0, address, 0, false, &unused), -1);
}

/* ---- the model ---------------------------------------------------------- */

struct entry {
	u32 gpa;
	u64 value;
};

struct translation {
	struct entry entry[4];	/* from the top */
	int nr;
	bool large;
	int error;		/* or -1 */
	u32 gpa;
};

static u32 pde_shift(const struct machine *m)
{
	return m->bits == 32 ? 22 : 21;
}

static u64 read_entry(struct machine *m, u32 gpa)
{
	return m->bits == 32 ? RAM(m->vm, gpa, u32) : RAM(m->vm, gpa, u64);
}

static u32 entry_size(const struct machine *m)
{
	return m->bits == 32 ? 4 : 8;
}

static u64 reserved(const struct machine *m, u64 e, bool pde)
{
	u64 bits = m->bits == 32 ? 0 : RESERVED;

	if (m->bits != 32 && !m->nx)
		bits |= PT_NX;
	if (pde && (e & PT_PS))
		bits |= m->bits == 32 ? BIT(21) : 0xffull << 13;
	return e & bits;
}

static bool allowed(const struct machine *m, u32 how, bool ac, u64 all, u64 any)
{
	bool user = how & PF_U, write = how & PF_W, fetch = how & PF_I;

	if (user && !(all & PT_U))
		return false;
	if (!user && (all & PT_U) && fetch && m->smep)
		return false;
	if (!user && (all & PT_U) && !fetch && m->smap && !ac)
		return false;
	if (fetch && (any & PT_NX))
		return false;
	return !write || (all & PT_W) || (!user && !m->wp);
}

static void add_entry(struct machine *m, struct translation *t, u32 gpa)
{
	t->entry[t->nr].gpa = gpa;
	t->entry[t->nr++].value = read_entry(m, gpa);
}

static struct translation model(struct machine *m, u32 va, u32 how, bool ac)
{
	struct translation t = { .error = -1 };
	u32 index = (va - REGION) >> pde_shift(m);
	u64 all = ~0ull, any = 0, e;
	int i;

	if (m->bits == 64)
		add_entry(m, &t, G_PDPTE);
	add_entry(m, &t, (m->bits == 32 ? G_PDE32 : G_PDE) +
			 index * entry_size(m));
	e = t.entry[t.nr - 1].value;
	t.large = e & PT_PS;
	t.gpa = (u32)e & -(1u << pde_shift(m));
	t.gpa += va & ((1u << pde_shift(m)) - 1);
	if (!t.large && (e & PT_P)) {
		u32 mask = m->bits == 32 ? 1023 : 511;

		add_entry(m, &t, ((u32)e & ~0xfffu) +
				 (va >> 12 & mask) * entry_size(m));
		t.gpa = ((u32)t.entry[t.nr - 1].value & ~0xfffu) | (va & 0xfff);
	}
	how &= PF_W | PF_U | PF_I;
	for (i = 0; i < t.nr; i++) {
		e = t.entry[i].value;
		t.error = how & (m->nx || m->smep ? ~0u : ~(u32)PF_I);
		if (!(e & PT_P))
			return t;
		t.error |= PF_P;
		if (reserved(m, e, i == (m->bits == 64))) {
			t.error |= PF_RSVD;
			return t;
		}
		all &= e;
		any |= e;
	}
	if (allowed(m, how, ac, all, any))
		t.error = -1;
	return t;
}

/* ---- random tables ------------------------------------------------------ */

static u64 random_rights(struct machine *m)
{
	u64 e = 0;

	if (pick(m, 8))
		e |= PT_P;
	if (pick(m, 3))
		e |= PT_W;
	if (pick(m, 3))
		e |= PT_U;
	if (pick(m, 2))
		e |= PT_A;
	if (pick(m, 2))
		e |= PT_D;
	if (m->bits != 32 && m->nx && !pick(m, 4))
		e |= PT_NX;
	return e;
}

static u64 random_pte(struct machine *m)
{
	u64 e = random_rights(m);

	if (m->bits != 32 && !pick(m, 24))
		e |= RESERVED;
	if (!pick(m, 4))
		return e | (G_TABLES + pick(m, NR_TABLES) * 4096);
	return e | (G_DATA + pick(m, NR_DATA) * 4096);
}

static u64 random_pde(struct machine *m)
{
	if (!pick(m, 5))
		return random_rights(m) | PT_PS | G_HIGH;
	return (random_rights(m) & ~(u64)PT_D) |
	       (G_TABLES + pick(m, NR_TABLES) * 4096);
}

static bool in_tables(u32 gpa)
{
	return gpa - G_TABLES < NR_TABLES * 4096;
}

/* After a store to a table: every address whose translation it changes. */
static void flush(struct machine *m, u32 gpa)
{
	u32 i, page = (gpa & 0xfff) / entry_size(m);

	if (!in_tables(gpa) || pick(m, 2)) {
		simple_op(m, OP_CR3, 0);
		return;
	}
	for (i = 0; i < NR_PDES; i++)
		simple_op(m, OP_INVLPG,
			  REGION + (i << pde_shift(m)) + page * 4096);
}

static void change_tables(struct machine *m)
{
	u32 size = entry_size(m), gpa;
	u64 e;

	if (m->bits == 64 && !pick(m, 16)) {
		gpa = G_PDPTE;
		e = (random_rights(m) & ~(u64)PT_D) | G_PDE;
		if (pick(m, 4))
			e |= PT_P | PT_W | PT_U;
	} else if (!pick(m, 4)) {
		gpa = (m->bits == 32 ? G_PDE32 : G_PDE) + pick(m, NR_PDES) * size;
		e = random_pde(m);
	} else {
		gpa = G_TABLES + pick(m, NR_TABLES) * 4096 + pick(m, NR_PTES) * size;
		e = random_pte(m);
	}
	store_entry(m, gpa, e);
	flush(m, gpa);
}

/* ---- accesses ----------------------------------------------------------- */

static u64 ad_bits(const struct translation *t, int i, u32 how)
{
	return PT_A | (i == t->nr - 1 && (how & PF_W) ? PT_D : 0);
}

/*
 * What the entries look like after the access to t->gpa. A processor may set
 * accessed bits on the way to a fault.
 */
static void check_entries(struct machine *m, const struct translation *t,
			  u32 how, u32 va)
{
	int i;

	for (i = 0; i < t->nr; i++) {
		u64 now = read_entry(m, t->entry[i].gpa);
		u64 want = t->entry[i].value;

		if ((how & PF_W) && t->error < 0 &&
		    (t->gpa & ~7u) == (t->entry[i].gpa & ~7u))
			continue;	/* the access has written it */
		if (t->error < 0)
			want |= ad_bits(t, i, how);
		else
			now = (now & ~(u64)PT_A) | (want & PT_A);
		if (now != want)
			fail("0x%x, access 0x%x: entry %d was 0x%llx, is 0x%llx, "
			     "expected 0x%llx", va, how, i, t->entry[i].value,
			     now, want);
	}
}

static void random_access(struct machine *m)
{
	static const int op_of[] = { OP_LOAD, OP_STORE, OP_FETCH };
	static const u32 how_of[] = { 0, PF_W, PF_I };
	u32 kind = pick(m, 3), how = how_of[kind], va, value = 0;
	bool ac = pick(m, 2);
	struct translation t;
	int error, op = op_of[kind];
	u64 data = random_pte(m);

	if (pick(m, 2))
		how |= PF_U;
	va = REGION + (pick(m, NR_PDES) << pde_shift(m)) +
	     pick(m, NR_PTES) * 4096;
	t = model(m, va, how, ac);
	if (t.large)		/* where the tables and data are */
		va += pick(m, 2) ? G_DATA - G_TABLES : 0;
	va += op == OP_FETCH ? FETCH_AT : pick(m, NR_PTES) * 8;
	t = model(m, va, how, ac);
	if (op == OP_STORE && m->bits != 32)
		op = OP_STORE64;
	if (op == OP_FETCH && t.error < 0 &&
	    t.gpa - G_DATA >= NR_DATA * 4096)
		return;
	if (op == OP_LOAD)
		value = RAM(m->vm, t.gpa & 0xffffff, u32);
	error = run_op(m, op, how, va, data, ac, &value);
	m->sum = (m->sum + value + error) * 0x100000001b3ull;
	if (error != t.error)
		fail("0x%x, access 0x%x: error %d, expected %d (entries 0x%llx "
		     "0x%llx 0x%llx)", va, how, error, t.error,
		     t.entry[0].value, t.entry[1].value, t.entry[2].value);
	check_entries(m, &t, how, va);
	if (error < 0 && op == OP_LOAD && !in_tables(t.gpa))
		EQ(value, RAM(m->vm, t.gpa, u32));
	if (error < 0 && (how & PF_W)) {
		if (!in_tables(t.gpa))
			EQ(RAM(m->vm, t.gpa, u32), (u32)data);
		else
			flush(m, t.gpa);
	}
}

/* ---- set-up ------------------------------------------------------------- */

static void build(struct machine *m)
{
	u32 i;

	for (i = 0; i < NR_OPS; i++)
		code_load(m->vm, OP_AT(i), ops[i].start, ops[i].end);
	for (i = 0; i < NR_DATA; i++)
		memcpy(m->vm->ram + G_DATA + i * 4096 + FETCH_AT, "\xe7\xe1", 2);
	/* User pages only where the test wants them. */
	for (i = 0; i < 2048; i++)
		RAM(m->vm, G_PD + i * 8, u64) &= ~(u64)PT_U;
	for (i = 0; i < 1024; i++)
		RAM(m->vm, G_PD32 + i * 4, u32) &= ~PT_U;
	RAM(m->vm, G_PD + (USER_VA >> 21) * 8, u64) = PT_P | PT_W | PT_U | PT_PS;
	RAM(m->vm, G_PD32 + (USER_VA >> 22) * 4, u32) =
		PT_P | PT_W | PT_U | PT_PS;
	for (i = 0; i < NR_PDES; i++) {
		RAM(m->vm, G_PDE + i * 8, u64) = 0;
		RAM(m->vm, G_PDE32 + i * 4, u32) = 0;
	}
}

static void begin(struct machine *m)
{
	m->vm = vm_new();
	m->v = vcpu_new(m->vm, 0);
	build(m);
	if (m->bits == 64)
		vcpu_compat(m->v, G_CODE);
	else
		vcpu_prot32(m->v, G_CODE,
			    m->bits == 32 ? PAGING_PSE : PAGING_PAE);
	G(m->vm, trap).vector = VEC_NONE;
	G(m->vm, trap).handler[VEC_PF] = g_report_fault;
	get_sregs(m->v, &m->sregs);
	if (!m->wp)
		m->sregs.cr0 &= ~(u64)CR0_WP;
	m->sregs.cr4 |= (m->smep ? CR4_SMEP : 0) | (m->smap ? CR4_SMAP : 0);
	if (m->nx)
		m->sregs.efer |= EFER_NXE;
	else
		m->sregs.efer &= ~(u64)EFER_NXE;
}

/* ---- one step after the other -------------------------------------------- */

#define WINDOW32	0xffc00000u	/* where the tables map themselves */
#define WINDOW64	0xff800000u

static u32 entry_of(const struct machine *m, u32 va)
{
	return m->bits == 32 ? WINDOW32 + (va >> 12) * 4 :
			       WINDOW64 + (va >> 12) * 8;
}

/* The top of the address space becomes all entries of all tables, in order. */
static void map_window(struct machine *m)
{
	u32 i;

	if (m->bits == 32)
		RAM(m->vm, G_PD32 + 1023 * 4, u32) = G_PD32 | PT_P | PT_W;
	for (i = 0; i < 4 && m->bits != 32; i++)
		RAM(m->vm, G_PD + 3 * 4096 + (508 + i) * 8, u64) =
			(G_PD + i * 4096) | PT_P | PT_W;
}

/* A store to the entry of an entry maps it, by the guest's own hand. */
static void set_entry(struct machine *m, u32 at, u64 entry)
{
	u32 unused;

	EQ(run_op(m, m->bits == 32 ? OP_STORE : OP_STORE64, PF_W, at, entry,
		  false, &unused), -1);
	m->sum = m->sum * 31 + entry;
}

static void expect(struct machine *m, int op, u32 va, u64 data, u32 want)
{
	u32 value = 0;

	EQ(run_op(m, op, op == OP_STORE ? PF_W : 0, va, data, false, &value),
	   -1);
	EQ(value, want);
	m->sum = m->sum * 31 + value;
}

static void expect_fault(struct machine *m, int op, u32 va, int error)
{
	u32 unused;

	EQ(run_op(m, op, op == OP_STORE ? PF_W : 0, va, 0, false, &unused),
	   error);
}

static u32 data_page(u32 i)
{
	return G_DATA + i * 4096;
}

#define RW_ENTRY	(PT_P | PT_W)

static void recursive(struct machine *m)
{
	u32 pte = entry_of(m, REGION), pde = entry_of(m, pte), i;

	map_window(m);
	for (i = 0; i < NR_DATA; i++)
		RAM(m->vm, data_page(i), u32) = 0xda7a0000 + i;
	set_entry(m, pde, G_TABLES | RW_ENTRY);
	for (i = 0; i < NR_PTES; i++)
		set_entry(m, pte + i * entry_size(m),
			  data_page(i) | RW_ENTRY);
	for (i = 0; i < NR_PTES; i++)
		expect(m, OP_LOAD, REGION + i * 4096, 0, 0xda7a0000 + i);
	/* Another page: known to hold from INVLPG on. */
	set_entry(m, pte, data_page(3) | RW_ENTRY);
	simple_op(m, OP_INVLPG, REGION);
	expect(m, OP_LOAD, REGION, 0, 0xda7a0003);
	/* Two names for a page: what one writes the other reads. */
	expect(m, OP_STORE, REGION, 0x5151, 0x5151);
	expect(m, OP_LOAD, REGION + 3 * 4096, 0, 0x5151);
	/* The entry as the window shows it has been accessed and written. */
	expect(m, OP_LOAD, pte, 0,
	       data_page(3) | RW_ENTRY | PT_A | PT_D);
	/* The table goes away, and with it all in it. */
	set_entry(m, pde, 0);
	simple_op(m, OP_CR3, 0);
	expect_fault(m, OP_LOAD, REGION + 4096, 0);
	expect_fault(m, OP_LOAD, pte, 0);
}

/* What is not present is not remembered: nothing to flush when it comes. */
static void comes_without_flush(struct machine *m)
{
	u32 pte = G_TABLES + 5 * entry_size(m), va = REGION + 5 * 4096;

	store_entry(m, m->bits == 32 ? G_PDE32 : G_PDE, G_TABLES | RW_ENTRY);
	expect_fault(m, OP_LOAD, va, 0);
	store_entry(m, pte, data_page(5) | PT_P);
	RAM(m->vm, data_page(5), u32) = 0x5005;
	expect(m, OP_LOAD, va, 0, 0x5005);
	if (m->wp)
		expect_fault(m, OP_STORE, va, PF_P | PF_W);
	/* Writable now; a stale translation may fault, once. */
	store_entry(m, pte, data_page(5) | RW_ENTRY);
	simple_op(m, OP_INVLPG, va);
	expect(m, OP_STORE, va, 0x6006, 0x6006);
	store_entry(m, pte, 0);
	simple_op(m, OP_INVLPG, va);
	expect_fault(m, OP_LOAD, va, 0);
}

/* A large page becomes a table of which one entry differs, and back again. */
static void split(struct machine *m)
{
	u32 nr = m->bits == 32 ? 1024 : 512, size = entry_size(m), i;
	u32 pde = m->bits == 32 ? G_PDE32 : G_PDE;
	u32 far = (nr - 1) * 4096, changed = 7;

	RAM(m->vm, G_HIGH + changed * 4096, u32) = 0x1111;
	RAM(m->vm, G_HIGH + far, u32) = 0x2222;
	RAM(m->vm, data_page(1), u32) = 0x3333;
	store_entry(m, pde, G_HIGH | RW_ENTRY | PT_PS);
	expect(m, OP_LOAD, REGION + changed * 4096, 0, 0x1111);
	expect(m, OP_LOAD, REGION + far, 0, 0x2222);
	for (i = 0; i < nr; i++) {
		u64 e = (i == changed ? data_page(1) : G_HIGH + i * 4096) |
			RW_ENTRY;

		memcpy(m->vm->ram + G_FREE + i * size, &e, size);
	}
	store_entry(m, pde, G_FREE | RW_ENTRY);
	simple_op(m, OP_CR3, 0);
	expect(m, OP_LOAD, REGION + changed * 4096, 0, 0x3333);
	expect(m, OP_LOAD, REGION + far, 0, 0x2222);
	expect(m, OP_STORE, REGION + far, 0x4444, 0x4444);
	EQ(RAM(m->vm, G_FREE + (nr - 1) * size, u32) & (PT_A | PT_D),
	   PT_A | PT_D);
	EQ(RAM(m->vm, G_FREE, u32) & (PT_A | PT_D), 0);
	store_entry(m, pde, G_HIGH | RW_ENTRY | PT_PS);
	simple_op(m, OP_CR3, 0);
	expect(m, OP_LOAD, REGION + changed * 4096, 0, 0x1111);
	expect(m, OP_LOAD, REGION + far, 0, 0x4444);
}

#define ROUNDS	400

static u64 torment(int bits, u32 variant)
{
	struct machine m = {
		.bits = bits,
		.wp = variant & 1, .smep = variant & 2, .smap = variant & 4,
		.nx = variant & 8,
		.random = 88172645463325252ull + variant * 977 + bits,
	};
	u32 i, j;

	begin(&m);
	for (i = 0; i < ROUNDS; i++) {
		change_tables(&m);
		for (j = 0; j < 3; j++)
			random_access(&m);
	}
	vm_free(m.vm);
	return m.sum;
}

static void torment_all(int bits)
{
	bool smep = cpu_has(7, 1, 7), smap = cpu_has(7, 1, 20);
	u64 sum = 0;
	u32 variant;

	for (variant = 0; variant < 16; variant++) {
		if (((variant & 2) && !smep) || ((variant & 4) && !smap))
			continue;
		if (bits == 32 && (variant & 8))
			continue;
		sum = sum * 31 + torment(bits, variant);
	}
	note("sum %016llx", sum);
}

static void in_each_format(void (*steps)(struct machine *m))
{
	static const int formats[] = { 32, 36, 64 };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(formats); i++) {
		struct machine m = { .bits = formats[i], .wp = true };

		begin(&m);
		steps(&m);
		note("sum %016llx", m.sum);
		vm_free(m.vm);
	}
}

TEST(recursive_tables)
{
	in_each_format(recursive);
}

TEST(present_without_flush)
{
	in_each_format(comes_without_flush);
}

TEST(large_page_split)
{
	in_each_format(split);
}

TEST(random_32_bit)
{
	torment_all(32);
}

TEST(random_pae)
{
	torment_all(36);
}

TEST(random_64_bit)
{
	torment_all(64);
}
