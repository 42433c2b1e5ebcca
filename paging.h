/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * paging.h - a guest's paging as the walker of paging_tmpl.h sees it: what
 * the control registers say, how an access is made, and what a walk found.
 * The same for every format of page tables, in the kernel and in user space.
 *
 * SDM: "Paging".
 */
#ifndef KVM_PAGING_H
#define KVM_PAGING_H

#ifdef __KERNEL__
#include <linux/bits.h>
#else
#ifndef BIT
#define BIT(n)			(1ul << (n))
#endif
#define BIT_ULL(n)		(1ull << (n))
#define GENMASK_ULL(h, l)	((~0ull << (l)) & (~0ull >> (63 - (h))))
#endif

#include "include/ints.h"

/* ---- accesses and faults ------------------------------------------------ */

/*
 * Bits of a page-fault error code ("Interrupt 14 - Page-Fault Exception").
 * PFERR_WRITE, _USER and _FETCH also describe the access to a walk; neither
 * of the last two: a supervisor-mode data access.
 */
#define PFERR_PRESENT	BIT(0)
#define PFERR_WRITE	BIT(1)
#define PFERR_USER	BIT(2)
#define PFERR_RSVD	BIT(3)
#define PFERR_FETCH	BIT(4)
#define PFERR_PK	BIT(5)

/* More about the access; never in an error code. */
#define WALK_AC		BIT(30)	/* explicit, and RFLAGS.AC is set: no SMAP */
#define WALK_PEEK	BIT(31)	/* leave accessed and dirty bits alone */

enum walk_result {
	WALK_OK,
	WALK_FAULT,	/* #PF with guest_walk.error */
	WALK_NO_MEMORY,	/* the entry at pte_gpa[level - 1] cannot be read */
	WALK_READONLY,	/* its accessed or dirty bit cannot be set; gpa holds */
	WALK_BUSY,	/* the tables never stopped changing: try again later */
};

/* ---- entries ------------------------------------------------------------ */

/* The same in all formats, where the format has them. */
#define PTE_PRESENT	BIT_ULL(0)
#define PTE_WRITE	BIT_ULL(1)
#define PTE_USER	BIT_ULL(2)
#define PTE_ACCESSED	BIT_ULL(5)
#define PTE_DIRTY	BIT_ULL(6)
#define PTE_PAGE_SIZE	BIT_ULL(7)	/* above level 1 */
#define PTE_GLOBAL	BIT_ULL(8)
#define PTE_NX		BIT_ULL(63)
#define PTE_PKEY(pte)	((pte) >> 59 & 15)

/* Access rights, of an entry or of all entries on a path. */
#define PTA_EXEC	BIT(0)
#define PTA_WRITE	BIT(1)
#define PTA_USER	BIT(2)
#define PTA_ALL		(PTA_EXEC | PTA_WRITE | PTA_USER)

#define PAGING_MAX_LEVELS	5

/* ---- a guest's paging, and a walk --------------------------------------- */

/*
 * The includer of paging_tmpl.h fills this in, then calls the init function
 * of the format, which computes `rsvd`; again when one of its inputs changes.
 */
struct guest_paging {
	u8 levels;		/* 2, 3 (PAE), 4 or 5 */
	u8 maxphyaddr;
	bool nxe;		/* EFER */
	bool pse;		/* CR4; matters to the 2-level format alone */
	bool pse36, gbpages;	/* CPUID */

	/* Not inputs of init. */
	bool wp;		/* CR0 */
	bool smep, smap, pke;	/* CR4 */
	u32 pkru;
	u64 cr3;
	u64 pdpte[4];		/* PAE: the registers that CR3's load filled */

	/* Reserved bits by level - 1, of an entry without and with PS. */
	u64 rsvd[PAGING_MAX_LEVELS][2];
};

/*
 * What a walk saw, whether or not it ended in a fault. Arrays are by
 * level - 1, valid from root_level to level.
 */
struct guest_walk {
	u8 root_level;
	u8 level;		/* of the last entry looked at: OK, the leaf */
	u8 page_shift;		/* OK: of the page size; 22 for 4M */
	u32 error;		/* FAULT: page-fault error code */
	u32 access;		/* OK: PTA_* allowed by all entries together */
	u64 gpa;		/* OK: the translation */
	u64 pte[PAGING_MAX_LEVELS];
	u64 pte_gpa[PAGING_MAX_LEVELS];	/* not of a PAE PDPTE */
};

/* The frame of the table at a level. */
static inline u64 walk_table_gfn(const struct guest_walk *walk, int level)
{
	return walk->pte_gpa[level - 1] >> 12;
}

/*
 * The check that MOV to CR3 makes of each PDPTE with PAE paging ("PDPTE
 * Registers"): false means #GP.
 */
static inline bool pae_pdpte_valid(u64 pdpte, u8 maxphyaddr)
{
	const u64 rsvd = GENMASK_ULL(2, 1) | GENMASK_ULL(8, 5);

	return !(pdpte & PTE_PRESENT) ||
	       !(pdpte & (rsvd | GENMASK_ULL(63, maxphyaddr)));
}

/*
 * "Protection Keys": does the key in a leaf entry forbid a data access to a
 * user-mode address?
 */
static inline bool walk_pkey_denies(const struct guest_paging *paging,
				    u64 pte, u32 access)
{
	u32 rights = paging->pkru >> 2 * PTE_PKEY(pte);

	if (rights & 1)
		return true;
	return (rights & 2) && (access & PFERR_WRITE) &&
	       ((access & PFERR_USER) || paging->wp);
}

/*
 * "Determination of Access Rights", protection keys aside: may the access be
 * made where the entries together allow `pta`?
 */
static inline bool walk_rights_allow(const struct guest_paging *paging,
				     u32 pta, u32 access)
{
	if (access & PFERR_USER) {
		if (!(pta & PTA_USER))
			return false;
	} else if (pta & PTA_USER) {
		if (access & PFERR_FETCH ? paging->smep :
		    paging->smap && !(access & WALK_AC))
			return false;
	}
	if (access & PFERR_FETCH)
		return pta & PTA_EXEC;
	return !(access & PFERR_WRITE) || (pta & PTA_WRITE) ||
	       (!paging->wp && !(access & PFERR_USER));
}

#endif
