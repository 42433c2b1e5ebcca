// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules of vmx_checks.h on the images of tests/vmentry, for a processor
 * that has everything. Every rule from both sides: an image to which it
 * applies is found valid, and with one change breaks that rule and no other.
 */
#include <string.h>

#include "harness.h"
#include "../vmentry/cases.h"

#define REVISION	0x11

static u8 memory[NR_ARENA_PAGES][ARENA_PAGE_SIZE]
	__attribute__((aligned(ARENA_PAGE_SIZE)));

static const struct vmx_caps everything = {
	.ctl = {
		[VMX_WORD_PIN] = { PIN_DEFAULT1, 0xff },
		[VMX_WORD_CPU] = { 0x04006172, 0xfffffffe },
		[VMX_WORD_CPU2] = { 0, 0xdfffffff },
		[VMX_WORD_CPU3] = { 0, 0xff },
		[VMX_WORD_EXIT] = { 0x00036dfb, 0xfffbffff },
		[VMX_WORD_EXIT2] = { 0, 0xb },
		[VMX_WORD_ENTRY] = { 0x000011fb, 0x00ffffff },
	},
	.basic = REVISION | 1ull << 44 | VMXCAP_BASIC_TRUE_CTLS,
	.misc = 4ull << 16 | VMXCAP_MISC_ACTIVITY_HLT |
		VMXCAP_MISC_ACTIVITY_SHUTDOWN | VMXCAP_MISC_ACTIVITY_SIPI,
	.ept_vpid = EPTCAP_4_LEVELS | EPTCAP_5_LEVELS | EPTCAP_WALK_UC |
		    EPTCAP_WALK_WB | EPTCAP_ACCESSED_DIRTY |
		    EPTCAP_SHADOW_STACK,
	.vmfunc = VMFUNC_EPTP_SWITCHING,
	.cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff,
	.cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x01ffffff,
	.debugctl = 0xffc3, .efer = 0xd01, .perf_global_ctrl = 0x7000000ff,
	.rtit_ctl = 0xffff, .lbr_ctl = 0x7f000f,
	.features = VMX_HAS_RTM | VMX_HAS_SGX | VMX_HAS_BUS_LOCK_DB,
	.phys_bits = 46, .linear_bits = 48,
};

static struct arena arena;

static void init(struct test_image *t)
{
	for (int i = 0; i < NR_ARENA_PAGES; i++) {
		arena.page[i] = memory[i];
		arena.phys[i] = 0x100000 + i * ARENA_PAGE_SIZE;
	}
	arena_init(&arena, REVISION);
	image_init(t, &arena, &everything, false);
}

static u32 first_broken(const struct test_image *t, struct vmx_broken *broken)
{
	memset(broken, 0, sizeof(*broken));
	return vmx_check(&t->image, VMX_STAGE_ALL, broken, 1);
}

TEST(valid_image)
{
	struct vmx_broken broken;
	struct test_image t;

	init(&t);
	if (first_broken(&t, &broken))
		fail("breaks %s", vmx_rule_name(broken.rule));
}

static void try_case(u32 i)
{
	const struct vmentry_case *vc = &vmentry_cases[i];
	const char *name = vmx_rule_name(vc->rule);
	struct vmx_broken broken;
	struct test_image t;
	u32 n;

	init(&t);
	if (!image_apply(&t, vc->setup)) {
		row(false, "%s (%u): cannot be set up", name, i);
		return;
	}
	n = first_broken(&t, &broken);
	row(!n, "%s (%u): valid image breaks %s", name, i,
	    vmx_rule_name(broken.rule));
	if (!image_apply(&t, vc->breaks)) {
		row(false, "%s (%u): cannot be broken", name, i);
		return;
	}
	/* A processor does not get to the stages behind it. */
	n = vmx_check(&t.image, 2 * vmx_rule_stage(vc->rule) - 1, &broken, 1);
	row(n == 1 && broken.rule == vc->rule, "%s (%u): %u broken, first %s",
	    name, i, n, vmx_rule_name(broken.rule));
	row(broken.value == *image_field(&t, broken.field),
	    "%s (%u): names another field's value", name, i);
}

TEST(every_rule_from_both_sides)
{
	for (u32 i = 0; i < nr_vmentry_cases; i++)
		try_case(i);
}

TEST(every_rule_has_a_case)
{
	bool tried[NR_VMX_RULES] = { false };

	for (u32 i = 0; i < nr_vmentry_cases; i++)
		tried[vmentry_cases[i].rule] = true;
	for (u32 i = 0; i < NR_VMX_RULES; i++)
		row(tried[i], "%s", vmx_rule_name(i));
}

TEST(names_and_sentences_differ)
{
	for (u32 i = 0; i < NR_VMX_RULES; i++)
		for (u32 j = 0; j < i; j++)
			if (!strcmp(vmx_rule_name(i), vmx_rule_name(j)) ||
			    !strcmp(vmx_rule_sentence(i), vmx_rule_sentence(j)))
				fail("%s and %s", vmx_rule_name(i),
				     vmx_rule_name(j));
}

/* The table is in the SDM's order: stages and sections never go back. */
TEST(order)
{
	for (u32 i = 1; i < NR_VMX_RULES; i++)
		row(vmx_rule_stage(i) >= vmx_rule_stage(i - 1),
		    "%s comes after %s", vmx_rule_name(i),
		    vmx_rule_name(i - 1));
}

/* More rules are broken than there is room to say so. */
TEST(counts_past_the_end)
{
	struct vmx_broken broken[2];
	struct test_image t;

	init(&t);
	*image_field(&t, HOST_CS_SELECTOR) = 0;
	*image_field(&t, HOST_TR_SELECTOR) = 0;
	*image_field(&t, GUEST_RFLAGS) = 0;
	EQ(vmx_check(&t.image, VMX_STAGE_ALL, broken, 2), 3);
	EQ(broken[0].rule, VMX_RULE_host_cs);
	EQ(broken[1].rule, VMX_RULE_host_tr);
	EQ(broken[1].field, HOST_TR_SELECTOR);
	EQ(vmx_check(&t.image, VMX_STAGE_ALL, NULL, 0), 3);
	EQ(vmx_check(&t.image, VMX_STAGE_GUEST, broken, 2), 1);
	EQ(broken[0].rule, VMX_RULE_rflags_reserved);
}

/* Without a way to memory, what lies there is taken to be right. */
TEST(no_memory)
{
	struct vmx_broken broken;
	struct test_image t;

	init(&t);
	CHECK(image_apply(&t, (const struct op[CASE_OPS]){
		{ OP_MODE, MODE_PAE, 0 },
		{ OP_POKE, PAGE_PAE_PDPT << 16, 3 },
	}));
	EQ(first_broken(&t, &broken), 1);
	t.image.read_memory = NULL;
	EQ(first_broken(&t, &broken), 0);
}

/* Whatever the fields hold, looking at them has an end and a result. */
TEST(random_images)
{
	struct vmx_broken broken;
	struct test_image t;

	for (u64 n = test_scale(20000); n; n--) {
		init(&t);
		for (int i = 0; i < NR_VMCS_FIELDS; i++)
			if (rnd() & 1)
				t.value[i] = rnd() >> (rnd() & 63);
		CHECK(first_broken(&t, &broken) <= NR_VMX_RULES);
		CHECK(vmx_rule_sentence(broken.rule));
	}
}
