// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest page-table walker against a model.
 *
 * Memory is sparse and random: an entry comes into being when the walker
 * first reads it. The model then walks what the walker has seen. It is
 * written the other way round from the walker: from tables of single bits, as
 * the figures of the SDM's chapter "Paging" show them, without shared code.
 * Compared: the result, the error code, the translation, the page size, the
 * rights, and every entry's accessed and dirty bit afterwards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "paging.h"

/* ---- memory ------------------------------------------------------------- */

#define MAX_ENTRIES	512

struct entry {
	u64 gpa, value;
};

struct memory {
	struct entry entry[MAX_ENTRIES];
	int count;
	int size;		/* bytes of an entry */
	int max_level;
	u64 no_memory, readonly;	/* residues of gpa >> 12, or ~0 */
	int races;		/* how many updates still lose */
	bool always_lose;
	/* Before the last attempt of the walker: what the model walks. */
	struct entry start[MAX_ENTRIES];
	int start_count;
};

static bool chance(int percent)
{
	return rnd() % 100 < (unsigned int)percent;
}

static bool page_is(u64 residue, u64 gpa)
{
	return residue != ~0ull && (gpa >> 12) % 7 == residue;
}

/*
 * Mostly entries that let a walk go on, with single bits flipped often enough
 * that each kind of fault is common.
 */
static u64 random_entry(void)
{
	u64 v = rnd() & 0x0000000ffffff000ull;	/* fits 36 bits */

	v |= chance(95) ? PTE_PRESENT : 0;
	v |= chance(85) ? PTE_WRITE : 0;
	v |= chance(70) ? PTE_USER : 0;
	v |= chance(60) ? PTE_ACCESSED : 0;
	v |= chance(50) ? PTE_DIRTY : 0;
	v |= chance(15) ? PTE_NX : 0;
	if (chance(20)) {
		v |= PTE_PAGE_SIZE;
		if (chance(70))
			v &= ~0x3fffe000ull;
		else if (chance(90))
			v &= ~0x1fe000ull;
	}
	v |= rnd() & 0xe18;			/* PWT, PCD, ignored */
	if (chance(50))
		v |= (rnd() & 15) << 59;	/* key */
	if (chance(10))
		v ^= 1ull << rnd() % 64;
	return v;
}

static struct entry *find(struct entry *e, int count, u64 gpa)
{
	for (int i = 0; i < count; i++)
		if (e[i].gpa == gpa)
			return &e[i];
	return NULL;
}

static struct entry *entry_at(struct memory *m, u64 gpa)
{
	struct entry *e = find(m->entry, m->count, gpa);

	if (e)
		return e;
	CHECK(m->count < MAX_ENTRIES);
	e = &m->entry[m->count++];
	e->gpa = gpa;
	e->value = random_entry();
	/* It was like this all along. */
	if (m->size == 4)
		e->value = (u32)e->value;
	m->start[m->start_count++] = *e;
	return e;
}

#define WALK_CTX struct memory

static int walk_read_entry(struct memory *m, u64 gpa, void *entry, size_t size)
{
	if (page_is(m->no_memory, gpa))
		return -1;
	EQ(size, m->size);
	EQ(gpa % size, 0);
	memcpy(entry, &entry_at(m, gpa)->value, size);
	return 0;
}

/* Another processor gets in first, with a change that may matter or not. */
static bool lose_race(struct memory *m, struct entry *e)
{
	static const u64 bits[] = {
		PTE_PRESENT, PTE_WRITE, PTE_USER, PTE_DIRTY, BIT(9), BIT(13),
	};

	if (!m->always_lose && (!m->races || chance(50)))
		return false;
	m->races--;
	e->value ^= m->always_lose ? BIT(9) : bits[rnd() % ARRAY_SIZE(bits)];
	memcpy(m->start, m->entry, sizeof(m->start));
	m->start_count = m->count;
	return true;
}

static int walk_cmpxchg_entry(struct memory *m, u64 gpa, void *old,
			      const void *new, size_t size)
{
	struct entry *e = find(m->entry, m->count, gpa);

	CHECK(e);
	EQ(memcmp(&e->value, old, size), 0);
	if (page_is(m->readonly, gpa))
		return -1;
	if (lose_race(m, e)) {
		memcpy(old, &e->value, size);
		return 1;
	}
	memcpy(&e->value, new, size);
	return 0;
}

#define PT_FORMAT PT_32
#include "paging_tmpl.h"
#define PT_FORMAT PT_PAE
#include "paging_tmpl.h"
#define PT_FORMAT PT_64
#include "paging_tmpl.h"

static void init(struct guest_paging *p)
{
	switch (p->levels) {
	case 2:
		return pt32_init(p);
	case 3:
		return ptpae_init(p);
	default:
		return pt64_init(p);
	}
}

static int walk(struct memory *m, const struct guest_paging *p, u64 lin,
		u32 access, struct guest_walk *w)
{
	switch (p->levels) {
	case 2:
		return pt32_walk(m, p, lin, access, w);
	case 3:
		return ptpae_walk(m, p, lin, access, w);
	default:
		return pt64_walk(m, p, lin, access, w);
	}
}

/* ---- the model ---------------------------------------------------------- */

/* Which linear-address bits index the table of a level, by format. */
static const struct { int low, width; } index_bits[6][6] = {
	[2] = { [1] = { 12, 10 }, [2] = { 22, 10 } },
	[3] = { [1] = { 12, 9 }, [2] = { 21, 9 }, [3] = { 30, 2 } },
	[4] = { [1] = { 12, 9 }, [2] = { 21, 9 }, [3] = { 30, 9 },
		[4] = { 39, 9 } },
	[5] = { [1] = { 12, 9 }, [2] = { 21, 9 }, [3] = { 30, 9 },
		[4] = { 39, 9 }, [5] = { 48, 9 } },
};

static bool bit(u64 v, int n)
{
	return v >> n & 1;
}

static u64 field(u64 v, int low, int width)
{
	u64 r = 0;

	for (int i = 0; i < width; i++)
		if (bit(v, low + i))
			r += 1ull << i;
	return r;
}

/* Is this entry one that maps a page? */
static bool model_maps_page(const struct guest_paging *p, int level, u64 v)
{
	if (level == 1)
		return true;
	if (!bit(v, 7))
		return false;
	if (p->levels == 2)
		return p->pse;
	return level == 2 || (level == 3 && p->levels > 3 && p->gbpages);
}

/* Must bit n of a present entry be zero? The tables "Format of a ...". */
static bool model_reserved(const struct guest_paging *p, int level, u64 v,
			   int n)
{
	bool page = model_maps_page(p, level, v);

	if (p->levels == 2) {
		int m = p->maxphyaddr < 40 ? p->maxphyaddr : 40;

		if (level == 1 || !page)
			return false;
		if (!p->pse36)
			return n >= 13 && n <= 21;
		return n >= m - 19 && n <= 21;
	}
	if (n == 63)
		return !p->nxe;
	if (n >= 52)
		return p->levels == 3;
	if (n >= p->maxphyaddr)
		return true;
	if (n == 7 && level > 1)
		return !page;
	if (level == 2 && page)
		return n >= 13 && n <= 20;
	if (level == 3 && page)
		return n >= 13 && n <= 29;
	return false;
}

static bool model_any_reserved(const struct guest_paging *p, int level, u64 v)
{
	for (int n = 0; n < p->levels * 32 && n < 64; n++)
		if (bit(v, n) && model_reserved(p, level, v, n))
			return true;
	return false;
}

struct answer {
	int result;
	u32 error;
	u64 gpa;
	int shift;
	int level;
	bool user, write, exec;
};

/* A row for each rule that can forbid an access to a present page. */
static bool model_forbidden(const struct guest_paging *p, u32 access,
			    const struct answer *a, int key, bool *pk)
{
	bool u = access & PFERR_USER, w = access & PFERR_WRITE;
	bool x = access & PFERR_FETCH, ac = access & WALK_AC;
	bool ad = bit(p->pkru, 2 * key), wd = bit(p->pkru, 2 * key + 1);
	bool keyed = p->levels >= 4 && p->pke && a->user && !x;
	const bool rule[] = {
		u && !a->user,
		u && w && !a->write,
		!u && w && !a->write && p->wp,
		x && !a->exec,
		!u && x && a->user && p->smep,
		!u && !x && a->user && p->smap && !ac,
		keyed && ad,
		keyed && wd && w && u,
		keyed && wd && w && !u && p->wp,
	};
	bool any = false;

	*pk = rule[6] || rule[7] || rule[8];
	for (size_t i = 0; i < ARRAY_SIZE(rule); i++)
		any |= rule[i];
	return any;
}

static u32 model_error(const struct guest_paging *p, u32 access, bool present,
		       bool reserved, bool pk)
{
	bool id = (access & PFERR_FETCH) &&
		  (p->smep || (p->levels != 2 && p->nxe));

	return present * 1 + !!(access & PFERR_WRITE) * 2 +
	       !!(access & PFERR_USER) * 4 + reserved * 8 + id * 16 + pk * 32;
}

static u64 model_base(const struct guest_paging *p, int level, u64 v)
{
	if (p->levels > 2)
		return field(v, 12, 40) << 12;
	if (level == 2)
		return field(v, 22, 10) << 22 | field(v, 13, 8) << 32;
	return field(v, 12, 20) << 12;
}

/*
 * Walks m->start and leaves there what should be in memory afterwards.
 * Entries that the walker never read do not exist: the walk has gone astray.
 */
static struct answer model_walk(struct memory *m, const struct guest_paging *p,
				u64 lin, u32 access)
{
	struct answer a = { .user = true, .write = true, .exec = true };
	u64 at = p->cr3 & (p->levels == 2 ? 0xfffff000ull : 0xffffffffff000ull);
	struct entry *path[6] = { 0 };
	int level = p->levels;
	u64 v, where;
	bool pk;

	if (level == 3) {
		v = p->pdpte[field(lin, 30, 2)];
		a.level = 3;
		if (!bit(v, 0)) {
			a.result = WALK_FAULT;
			a.error = model_error(p, access, false, false, false);
			return a;
		}
		at = field(v, 12, 40) << 12;
		level = 2;
	}
	for (;; level--) {
		where = at + m->size * field(lin, index_bits[p->levels][level].low,
					     index_bits[p->levels][level].width);
		a.level = level;
		if (page_is(m->no_memory, where)) {
			a.result = WALK_NO_MEMORY;
			return a;
		}
		path[level] = find(m->start, m->start_count, where);
		if (!path[level])
			fail("the walker read no entry at %#llx", where);
		v = path[level]->value;
		if (!bit(v, 0) || model_any_reserved(p, level, v)) {
			a.result = WALK_FAULT;
			a.error = model_error(p, access, bit(v, 0), bit(v, 0),
					      false);
			return a;
		}
		a.write &= bit(v, 1);
		a.user &= bit(v, 2);
		a.exec &= p->levels == 2 || !bit(v, 63);
		if (model_maps_page(p, level, v))
			break;
		at = model_base(p, 1, v);
	}
	a.shift = index_bits[p->levels][level].low;
	a.gpa = (model_base(p, level, v) >> a.shift << a.shift) +
		field(lin, 0, a.shift);
	if (model_forbidden(p, access, &a, field(v, 59, 4), &pk)) {
		a.result = WALK_FAULT;
		a.error = model_error(p, access, true, false, pk);
		return a;
	}
	if (access & WALK_PEEK)
		return a;
	for (int i = p->levels == 3 ? 2 : p->levels; i >= level; i--) {
		u64 want = path[i]->value | 0x20;

		if (i == level && (access & PFERR_WRITE))
			want |= 0x40;
		if (want == path[i]->value)
			continue;
		if (page_is(m->readonly, path[i]->gpa)) {
			a.result = WALK_READONLY;
			a.level = i;
			return a;
		}
		path[i]->value = want;
	}
	return a;
}

/* ---- comparison --------------------------------------------------------- */

static void random_paging(struct guest_paging *p, int levels)
{
	static const u8 widths[] = { 32, 36, 39, 40, 46, 52 };

	/* What init() does not set must not matter. */
	memset(p, 0xa5, sizeof(*p));
	p->levels = levels;
	p->maxphyaddr = chance(90) ? 36 : widths[rnd() % ARRAY_SIZE(widths)];
	p->nxe = chance(90);
	p->pse = chance(80);
	p->pse36 = chance(70);
	p->gbpages = chance(70);
	p->wp = chance(60);
	p->smep = chance(40);
	p->smap = chance(40);
	p->pke = chance(50);
	p->pkru = chance(50) ? rnd() : rnd() & rnd() & rnd();
	p->cr3 = rnd() & 0xffffff000ull & ((1ull << p->maxphyaddr) - 1);
	p->cr3 |= rnd() & 0xfff;
	for (int i = 0; i < 4; i++)
		p->pdpte[i] = (rnd() & 0xfffff000) | chance(90);
	init(p);
}

static u32 random_access(void)
{
	static const u32 access[] = {
		0, PFERR_WRITE, PFERR_FETCH, PFERR_USER,
		PFERR_USER | PFERR_WRITE, PFERR_USER | PFERR_FETCH,
	};
	u32 a = access[rnd() % ARRAY_SIZE(access)];

	if (!(a & (PFERR_USER | PFERR_FETCH)) && chance(40))
		a |= WALK_AC;
	return chance(20) ? a | WALK_PEEK : a;
}

static void describe(char *buf, size_t size, const struct guest_paging *p,
		     u64 lin, u32 access)
{
	snprintf(buf, size, "seed %llu, levels %d, width %d, "
		 "nxe %d pse %d/%d 1g %d wp %d smep %d smap %d pke %d, "
		 "lin %#llx access %#x", test_seed(), p->levels, p->maxphyaddr,
		 p->nxe, p->pse, p->pse36, p->gbpages, p->wp, p->smep, p->smap,
		 p->pke, lin, access);
}

#define SAME(what, got, want) do {					\
	if ((u64)(got) != (u64)(want)) {				\
		describe(text, sizeof(text), p, lin, access);		\
		fail("%s: %#llx, model %#llx (%s)", what, (u64)(got),	\
		     (u64)(want), text);				\
	}								\
} while (0)

static unsigned long seen[5], seen_error[64];

static void compare(struct memory *m, const struct guest_paging *p, u64 lin,
		    u32 access)
{
	struct guest_walk w;
	struct answer a;
	char text[320];
	int r;

	m->count = m->start_count = 0;
	r = walk(m, p, lin, access, &w);
	a = model_walk(m, p, lin, access);
	SAME("result", r, a.result);
	SAME("level", w.level, a.level);
	seen[r]++;
	if (r == WALK_FAULT) {
		SAME("error code", w.error, a.error);
		seen_error[w.error & 63]++;
	}
	if (r == WALK_OK) {
		SAME("gpa", w.gpa, a.gpa);
		SAME("page shift", w.page_shift, a.shift);
		SAME("rights", w.access, a.exec * PTA_EXEC +
		     a.write * PTA_WRITE + a.user * PTA_USER);
		SAME("root", w.root_level, p->levels);
	}
	SAME("entries", m->count, m->start_count);
	for (int i = 0; i < m->count; i++)
		SAME("entry", m->entry[i].value,
		     find(m->start, m->start_count, m->entry[i].gpa)->value);
	for (int l = p->levels == 3 ? 2 : p->levels; l > w.level; l--)
		SAME("entry reported", w.pte[l - 1],
		     find(m->entry, m->count, w.pte_gpa[l - 1])->value);
}

static void random_cases(int levels)
{
	unsigned long cases = test_scale(500000), n = cases;
	struct memory *m = calloc(1, sizeof(*m));
	struct guest_paging p;
	int kinds = 0;

	while (n--) {
		u64 lin = rnd();

		random_paging(&p, levels);
		m->size = levels == 2 ? 4 : 8;
		m->no_memory = chance(4) ? rnd() % 7 : ~0ull;
		m->readonly = chance(8) ? rnd() % 7 : ~0ull;
		m->races = chance(30) ? rnd() % 4 : 0;
		if (levels < 4)
			lin = (u32)lin;
		compare(m, &p, lin, random_access());
	}
	free(m);
	for (int i = 0; i < 64; i++)
		kinds += seen_error[i] > 0;
	for (int i = WALK_OK; i <= WALK_READONLY; i++)
		row(seen[i], "result %d never came up", i);
	note("%lu cases: %lu translated, %lu faults of %d kinds", cases,
	     seen[WALK_OK], seen[WALK_FAULT], kinds);
}

TEST_TIMED(two_levels, 300)
{
	random_cases(2);
}

TEST_TIMED(pae, 300)
{
	random_cases(3);
}

TEST_TIMED(four_levels, 300)
{
	random_cases(4);
}

TEST_TIMED(five_levels, 300)
{
	random_cases(5);
}

/* ---- single rules ------------------------------------------------------- */

/* Tables that change without end do not keep the walker for ever. */
TEST(busy)
{
	struct memory *m = calloc(1, sizeof(*m));
	struct guest_paging p = { .levels = 4, .maxphyaddr = 52, .nxe = true };
	struct guest_walk w;
	u64 gpa[4] = { 0x3000, 0x4000, 0x5000, 0x6000 };

	init(&p);
	p.cr3 = gpa[0];
	m->size = 8;
	m->no_memory = m->readonly = ~0ull;
	m->always_lose = true;
	for (int i = 0; i < 4; i++)
		m->entry[i] = (struct entry) {
			gpa[i], (i < 3 ? gpa[i + 1] : 0x7000) | PTE_PRESENT,
		};
	m->count = 4;
	EQ(walk(m, &p, 0, 0, &w), WALK_BUSY);
	EQ(w.level, 4);
	free(m);
}

TEST(pdpte_valid)
{
	CHECK(pae_pdpte_valid(0, 36));
	CHECK(pae_pdpte_valid(~1ull, 36));	/* not present: anything */
	CHECK(pae_pdpte_valid(0xffffff019ull | 0xe00, 36));
	for (int n = 1; n < 64; n++) {
		bool want = n == 3 || n == 4 || (n >= 9 && n < 40);

		row(pae_pdpte_valid(1 | 1ull << n, 40) == want, "bit %d", n);
	}
}
