/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMCS images to try the rules of vmx_checks.c on: a valid one, and for every
 * rule changes to it that keep it valid while the rule applies, and then break
 * that rule and no other. The unit test asks vmx_check() alone; the module in
 * this folder also enters them.
 */
#ifndef TESTS_VMENTRY_CASES_H
#define TESTS_VMENTRY_CASES_H

#include "vmcs_text.h"
#include "vmx_checks.h"

/* Memory that an image points to. */
enum arena_page {
	PAGE_SCRATCH,		/* zero; where all unused addresses lead */
	PAGE_CODE,		/* all HLT; the guest sees nothing but this */
	PAGE_PT, PAGE_PD, PAGE_PDPT, PAGE_PML4,
	PAGE_PAE_PDPT,
	PAGE_EPT,		/* no translation */
	PAGE_VAPIC,
	PAGE_LINK,		/* a VMCS region for the link pointer */
	PAGE_MSRS,
	PAGE_SELF,		/* the VMCS itself */
	NR_ARENA_PAGES
};

#define ARENA_PAGE_SIZE	4096

struct arena {
	u8 *page[NR_ARENA_PAGES];
	u64 phys[NR_ARENA_PAGES];
};

struct test_image {
	struct vmx_image image;
	const struct arena *arena;
	u64 value[NR_VMCS_FIELDS];
	struct vmx_caps caps;		/* what image.caps points to */
	bool fixed;			/* caps and mode are a processor's */
};

enum op_kind {
	OP_END,
	OP_PUT,			/* field = value */
	OP_OR,			/* field |= value */
	OP_AND_NOT,		/* field &= ~value */
	OP_PAGE,		/* field = address of page */
	OP_ON, OP_OFF,		/* a control */
	OP_MODE,		/* of the guest */
	OP_POKE,		/* 64 bits; what = page << 16 | offset */
	OP_SET_RESERVED,	/* in a control word, what may not be set */
	OP_CLEAR_RESERVED,	/* ... and what must be */
	OP_HAVE, OP_LACK,	/* bits of a member of struct vmx_caps */
	OP_SMM,			/* entered from SMM */
	OP_LEGACY_HOST,		/* entered from outside IA-32e mode */
};

enum guest_mode {
	MODE_VM86,
	MODE_PROT32,		/* paging in two levels */
	MODE_PAE,
	MODE_REAL,		/* unrestricted, paging off */
};

struct op {
	u8 kind;
	u32 what;
	u64 value;
};

#define CASE_OPS	8

struct vmentry_case {
	enum vmx_rule rule;
	struct op setup[CASE_OPS];
	struct op breaks[CASE_OPS];
};

extern const struct vmentry_case vmentry_cases[];
extern const u32 nr_vmentry_cases;

/* Fill the pages; phys[] is known. */
void arena_init(struct arena *arena, u32 revision);

/* A valid image, but for host state if `fixed`: that is left to the caller. */
void image_init(struct test_image *t, const struct arena *arena,
		const struct vmx_caps *caps, bool fixed);

/* False where the processor has not what it takes; t is then half changed. */
bool image_apply(struct test_image *t, const struct op *ops);

u64 *image_field(struct test_image *t, u32 field);
bool image_has_field(const struct test_image *t, u32 index);

#endif
