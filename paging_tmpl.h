/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * paging_tmpl.h - the walker of a guest's page tables, the only one there is.
 * Included once for each format, with PT_FORMAT set to
 *
 *	PT_32	two levels of 32-bit entries ("32-Bit Paging")
 *	PT_PAE	the PDPTE registers and two levels ("PAE Paging")
 *	PT_64	four or five levels ("4-Level Paging and 5-Level Paging")
 *
 * after these have been defined:
 *
 *	WALK_CTX
 *		a type; walks hand a pointer to it to the two that follow
 *	int walk_read_entry(WALK_CTX *ctx, u64 gpa, void *entry, size)
 *		read an entry at once; not 0: no memory there
 *	int walk_cmpxchg_entry(WALK_CTX *ctx, u64 gpa, void *old,
 *			       const void *new, size)
 *		atomic; 0 done, 1 it differed, negative: memory that may not
 *		be written. Marks the page dirty.
 *
 * and gives, with prefix pt32_, ptpae_ or pt64_, init() and walk().
 *
 * Accessed and dirty bits are set once the whole path has been found to
 * allow the access: an access that faults leaves the tables as they were. A
 * table that changes between reading an entry and setting its bits is walked
 * again from the top.
 *
 * The caller has checked that the linear address is canonical, or cut it to
 * 32 bits. PAT is taken as always there: its bit is never reserved.
 */
#ifndef PT_32
#define PT_32	2
#define PT_PAE	3
#define PT_64	4
/* How often a walk starts again before it reports WALK_BUSY. */
#define WALK_MAX_TRIES	64
#endif

#if PT_FORMAT == PT_32
#define PT(name)	pt32_##name
#define PT_ENTRY	u32
#define PT_INDEX_BITS	10
#define PT_ADDR_MASK	GENMASK_ULL(31, 12)
#elif PT_FORMAT == PT_PAE
#define PT(name)	ptpae_##name
#define PT_ENTRY	u64
#define PT_INDEX_BITS	9
#define PT_ADDR_MASK	GENMASK_ULL(51, 12)
#elif PT_FORMAT == PT_64
#define PT(name)	pt64_##name
#define PT_ENTRY	u64
#define PT_INDEX_BITS	9
#define PT_ADDR_MASK	GENMASK_ULL(51, 12)
#else
#error "PT_FORMAT must be PT_32, PT_PAE or PT_64"
#endif

#define PT_SHIFT(level)	(12 + PT_INDEX_BITS * ((level) - 1))

/* ---- reserved bits ------------------------------------------------------ */

#if PT_FORMAT == PT_32
/*
 * Only the 4M form has any: what PSE-36 leaves between the upper address
 * bits, which begin at bit 13, and the lower ones.
 */
static void PT(init)(struct guest_paging *p)
{
	int width = p->maxphyaddr < 40 ? p->maxphyaddr : 40;

	p->rsvd[0][0] = p->rsvd[0][1] = p->rsvd[1][0] = p->rsvd[1][1] = 0;
	if (!p->pse)
		return;
	if (!p->pse36 || width < 32)
		width = 32;
	p->rsvd[1][1] = GENMASK_ULL(21, width - 19);
}
#else
/* Address bits that no page of a level, but a large one, has. */
static inline u64 PT(rsvd_large)(int level)
{
	return GENMASK_ULL(PT_SHIFT(level) - 1, 13);
}

static void PT(init)(struct guest_paging *p)
{
	u64 rsvd = GENMASK_ULL(51, 0) & ~(BIT_ULL(p->maxphyaddr) - 1);
	int level;

	/* PAE paging reserves what 4-level paging ignores. */
	if (PT_FORMAT == PT_PAE)
		rsvd |= GENMASK_ULL(62, 52);
	if (!p->nxe)
		rsvd |= PTE_NX;
	for (level = 1; level <= PAGING_MAX_LEVELS; level++) {
		p->rsvd[level - 1][0] = rsvd;
		p->rsvd[level - 1][1] = rsvd | PTE_PAGE_SIZE;
	}
	/* At level 1, the bit that is PS elsewhere is PAT. */
	p->rsvd[0][1] = rsvd;
	p->rsvd[1][1] = rsvd | PT(rsvd_large)(2);
	if (PT_FORMAT == PT_64 && p->gbpages)
		p->rsvd[2][1] = rsvd | PT(rsvd_large)(3);
}
#endif

/* ---- one entry ---------------------------------------------------------- */

static inline bool PT(is_leaf)(const struct guest_paging *p, PT_ENTRY pte,
			       int level)
{
	if (level == 1)
		return true;
	return (pte & PTE_PAGE_SIZE) && (PT_FORMAT != PT_32 || p->pse);
}

/* The rights that entries give together: what they all have, what any has. */
static inline u32 PT(rights)(PT_ENTRY all, PT_ENTRY any)
{
	u32 pta = all & (PTA_WRITE | PTA_USER);

	/* Without EFER.NXE the bit is reserved: it is clear here. */
	if (PT_FORMAT == PT_32 || !(any & PTE_NX))
		pta |= PTA_EXEC;
	return pta;
}

static inline u64 PT(leaf_gpa)(PT_ENTRY pte, int level, u64 lin)
{
	u64 offset = BIT_ULL(PT_SHIFT(level)) - 1;
	u64 base = pte & PT_ADDR_MASK & ~offset;

	if (PT_FORMAT == PT_32 && level == 2)
		base |= (u64)(pte >> 13 & 0xff) << 32;
	return base | (lin & offset);
}

/* ---- faults ------------------------------------------------------------- */

/* `cause`: of PFERR_PRESENT, _RSVD and _PK. */
static int PT(fault)(const struct guest_paging *p, struct guest_walk *walk,
		     u32 access, u32 cause)
{
	walk->error = cause | (access & (PFERR_WRITE | PFERR_USER));
	/* Told apart from a data read only where fetches have rules. */
	if ((access & PFERR_FETCH) &&
	    (p->smep || (PT_FORMAT != PT_32 && p->nxe)))
		walk->error |= PFERR_FETCH;
	return WALK_FAULT;
}

static int PT(check)(const struct guest_paging *p, struct guest_walk *walk,
		     u32 access)
{
	u32 cause = 0;

	if (!walk_rights_allow(p, walk->access, access))
		cause = PFERR_PRESENT;
	if (PT_FORMAT == PT_64 && p->pke && (walk->access & PTA_USER) &&
	    !(access & PFERR_FETCH) &&
	    walk_pkey_denies(p, walk->pte[walk->level - 1], access))
		cause = PFERR_PRESENT | PFERR_PK;
	return cause ? PT(fault)(p, walk, access, cause) : WALK_OK;
}

/* ---- accessed and dirty bits -------------------------------------------- */

/* WALK_BUSY: an entry is no longer what the walk has seen. */
static int PT(mark_entry)(WALK_CTX *ctx, struct guest_walk *walk, int level,
			  PT_ENTRY set)
{
	PT_ENTRY old = walk->pte[level - 1], new = old | set;
	int r;

	if (old == new)
		return WALK_OK;
	r = walk_cmpxchg_entry(ctx, walk->pte_gpa[level - 1], &old, &new,
			       sizeof(new));
	if (r) {
		walk->level = level;
		return r < 0 ? WALK_READONLY : WALK_BUSY;
	}
	walk->pte[level - 1] = new;
	return WALK_OK;
}

static int PT(mark)(WALK_CTX *ctx, struct guest_walk *walk, u32 access)
{
	int level = walk->root_level, leaf = walk->level, r;

	if (PT_FORMAT == PT_PAE)
		level = 2;	/* a PDPTE has no such bits */
	for (; level > leaf; level--) {
		r = PT(mark_entry)(ctx, walk, level, PTE_ACCESSED);
		if (r)
			return r;
	}
	return PT(mark_entry)(ctx, walk, leaf, access & PFERR_WRITE ?
			      PTE_ACCESSED | PTE_DIRTY : PTE_ACCESSED);
}

static inline bool PT(marked)(PT_ENTRY all, PT_ENTRY leaf, u32 access)
{
	return (all & PTE_ACCESSED) &&
	       ((leaf & PTE_DIRTY) || !(access & PFERR_WRITE));
}

/* ---- the walk ----------------------------------------------------------- */

/* The table of the first level that is in memory, or a fault. */
static inline int PT(root)(const struct guest_paging *p,
			   struct guest_walk *walk, u64 lin, u32 access,
			   u64 *table)
{
	walk->root_level = p->levels;
	walk->level = p->levels;
	*table = p->cr3 & PT_ADDR_MASK;
	if (PT_FORMAT == PT_PAE) {
		u64 pdpte = p->pdpte[lin >> 30 & 3];

		/* Its reserved bits were checked when it was loaded. */
		walk->pte[2] = pdpte;
		if (!(pdpte & PTE_PRESENT))
			return PT(fault)(p, walk, access, 0);
		*table = pdpte & PT_ADDR_MASK;
		walk->level = 2;
	}
	return WALK_OK;
}

static int PT(walk_once)(WALK_CTX *ctx, const struct guest_paging *p, u64 lin,
			 u32 access, struct guest_walk *walk)
{
	PT_ENTRY pte, all = ~(PT_ENTRY)0, any = 0;
	int level, shift, r;
	u64 table, gpa;

	r = PT(root)(p, walk, lin, access, &table);
	if (r)
		return r;
	level = walk->level;
	for (shift = PT_SHIFT(level); ; shift -= PT_INDEX_BITS) {
		walk->level = level;
		gpa = table | (lin >> shift & (BIT(PT_INDEX_BITS) - 1)) *
			      sizeof(pte);
		walk->pte_gpa[level - 1] = gpa;
		if (walk_read_entry(ctx, gpa, &pte, sizeof(pte)))
			return WALK_NO_MEMORY;
		walk->pte[level - 1] = pte;
		if (!(pte & PTE_PRESENT))
			return PT(fault)(p, walk, access, 0);
		if (pte & p->rsvd[level - 1][!!(pte & PTE_PAGE_SIZE)])
			return PT(fault)(p, walk, access,
					 PFERR_PRESENT | PFERR_RSVD);
		all &= pte;
		any |= pte;
		if (PT(is_leaf)(p, pte, level))
			break;
		table = pte & PT_ADDR_MASK;
		level--;
	}
	walk->access = PT(rights)(all, any);
	walk->page_shift = shift;
	walk->gpa = PT(leaf_gpa)(pte, level, lin);
	r = PT(check)(p, walk, access);
	if (r || PT(marked)(all, pte, access) || (access & WALK_PEEK))
		return r;
	return PT(mark)(ctx, walk, access);
}

/*
 * Translate `lin` for an access described by PFERR_WRITE, _USER, _FETCH and
 * WALK_*. Returns an enum walk_result.
 */
static int PT(walk)(WALK_CTX *ctx, const struct guest_paging *p, u64 lin,
		    u32 access, struct guest_walk *walk)
{
	int tries, r;

	for (tries = 0; tries < WALK_MAX_TRIES; tries++) {
		r = PT(walk_once)(ctx, p, lin, access, walk);
		if (r != WALK_BUSY)
			return r;
	}
	return WALK_BUSY;
}

#undef PT
#undef PT_ENTRY
#undef PT_INDEX_BITS
#undef PT_ADDR_MASK
#undef PT_SHIFT
#undef PT_FORMAT
