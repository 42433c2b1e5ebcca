// SPDX-License-Identifier: GPL-2.0-only
/*
 * image.c - the images of cases.h. Builds in the kernel and in user space.
 *
 * The valid image is a 64-bit guest whose only code is HLT, wherever it looks,
 * with every exception intercepted and an empty IDT: whatever is changed about
 * it, if it is entered at all it comes back at once.
 */
#ifdef __KERNEL__
#include <linux/kernel.h>
#include <linux/string.h>
#else
#include <stddef.h>
#include <string.h>
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif
#include <asm/processor-flags.h>

#include "cases.h"

/* ---- memory ------------------------------------------------------------- */

#define PTE_P		0x001
#define PTE_READ_ONLY	0x025		/* present, user, accessed */

static void fill_table(struct arena *a, enum arena_page table,
		       enum arena_page to)
{
	u64 *entries = (u64 *)a->page[table];
	int i;

	for (i = 0; i < 512; i++)
		entries[i] = a->phys[to] | PTE_READ_ONLY;
}

void arena_init(struct arena *a, u32 revision)
{
	u64 *pdptes = (u64 *)a->page[PAGE_PAE_PDPT];
	int i;

	for (i = 0; i < NR_ARENA_PAGES; i++)
		memset(a->page[i], 0, ARENA_PAGE_SIZE);
	memset(a->page[PAGE_CODE], 0xf4, ARENA_PAGE_SIZE);
	fill_table(a, PAGE_PT, PAGE_CODE);
	fill_table(a, PAGE_PD, PAGE_PT);
	fill_table(a, PAGE_PDPT, PAGE_PD);
	fill_table(a, PAGE_PML4, PAGE_PDPT);
	for (i = 0; i < 4; i++)
		pdptes[i] = a->phys[PAGE_PD] | PTE_P;
	*(u32 *)a->page[PAGE_LINK] = revision;
	*(u32 *)a->page[PAGE_SELF] = revision;
}

static bool arena_read(const struct vmx_image *image, u64 phys, void *to,
		       u32 size)
{
	const struct test_image *t = (const struct test_image *)image;
	const u64 offset = phys % ARENA_PAGE_SIZE;
	int i;

	for (i = 0; i < NR_ARENA_PAGES; i++)
		if (phys - offset == t->arena->phys[i] &&
		    offset + size <= ARENA_PAGE_SIZE) {
			memcpy(to, t->arena->page[i] + offset, size);
			return true;
		}
	return false;
}

/* ---- fields ------------------------------------------------------------- */

#define FIELD_KEY(enc) \
	(VMCS_ENC_WIDTH(enc) << 8 | VMCS_ENC_GROUP(enc) << 6 | \
	 (VMCS_ENC_INDEX(enc) & 63))

static const u8 field_index[1024] = {
#define FIELD_INDEX(enc, name, width, group, control, format, title) \
	[FIELD_KEY(enc)] = VMCS_INDEX_##name,
	VMCS_FIELDS(FIELD_INDEX)
};

u64 *image_field(struct test_image *t, u32 field)
{
	return &t->value[field_index[FIELD_KEY(field)]];
}

static u64 image_read(const struct vmx_image *image, u32 field)
{
	return *image_field((struct test_image *)image, field);
}

static bool may_be_on(const struct test_image *t, u32 ctl)
{
	return t->caps.ctl[VMX_CTL_WORD(ctl)].one & VMX_CTL_MASK(ctl);
}

bool image_has_field(const struct test_image *t, u32 index)
{
	const u32 ctl = vmcs_field_table[index].control;

	return ctl == VMX_CTL_ALWAYS || may_be_on(t, ctl);
}

/* ---- the valid image ---------------------------------------------------- */

static const u32 control_fields[NR_VMX_WORDS] = {
	[VMX_WORD_PIN] = PIN_BASED_CTLS,
	[VMX_WORD_CPU] = PROC_BASED_CTLS,
	[VMX_WORD_CPU2] = PROC_BASED_CTLS2,
	[VMX_WORD_CPU3] = PROC_BASED_CTLS3,
	[VMX_WORD_EXIT] = VM_EXIT_CTLS,
	[VMX_WORD_EXIT2] = VM_EXIT_CTLS2,
	[VMX_WORD_ENTRY] = VM_ENTRY_CTLS,
};

/* On where there is such a control: the entry can go no other way then. */
static const u32 wanted_controls[] = {
	VMX_CTL_PIN_EXT_INTR_EXITING, VMX_CTL_PIN_NMI_EXITING,
	VMX_CTL_PIN_VIRTUAL_NMIS, VMX_CTL_PIN_PREEMPTION_TIMER,
	VMX_CTL_CPU_HLT_EXITING, VMX_CTL_EXIT_CTL_HOST_LONG_MODE,
	VMX_CTL_EXIT_CTL_LOAD_PAT, VMX_CTL_EXIT_CTL_LOAD_EFER,
	VMX_CTL_EXIT_CTL_LOAD_CET, VMX_CTL_EXIT_CTL_LOAD_PKRS,
	VMX_CTL_EXIT_CTL_LOAD_PERF_GLOBAL, VMX_CTL_EXIT_CTL_CLEAR_BNDCFGS,
	VMX_CTL_EXIT_CTL_CLEAR_RTIT, VMX_CTL_EXIT_CTL_CLEAR_LBR,
	VMX_CTL_EXIT_CTL_CLEAR_UINV,
	VMX_CTL_ENTRY_CTL_GUEST_LONG_MODE, VMX_CTL_ENTRY_CTL_LOAD_DEBUG,
	VMX_CTL_ENTRY_CTL_LOAD_PAT, VMX_CTL_ENTRY_CTL_LOAD_EFER,
};

static void control(struct test_image *t, u32 ctl, bool on)
{
	u64 *word = image_field(t, control_fields[VMX_CTL_WORD(ctl)]);

	*word &= ~VMX_CTL_MASK(ctl);
	if (on)
		*word |= VMX_CTL_MASK(ctl);
}

static void put(struct test_image *t, u32 field, u64 value)
{
	*image_field(t, field) = value;
}

static void init_controls(struct test_image *t)
{
	u32 i;

	for (i = 0; i < NR_VMX_WORDS; i++)
		put(t, control_fields[i], t->caps.ctl[i].zero);
	for (i = 0; i < ARRAY_SIZE(wanted_controls); i++)
		if (may_be_on(t, wanted_controls[i]))
			control(t, wanted_controls[i], true);
	put(t, EXCEPTION_BITMAP, ~0u);
	put(t, VPID, 1);
	put(t, TSC_MULTIPLIER, 1ull << 48);
	put(t, ENCLS_EXITING_BITMAP, ~0ull);
	put(t, CR0_READ_SHADOW, X86_CR0_PE | X86_CR0_PG);
}

/* Every address leads somewhere harmless, used or not. */
static void init_addresses(struct test_image *t)
{
	const u64 memtype = t->caps.ept_vpid & EPTCAP_WALK_WB ? MEMTYPE_WB :
								MEMTYPE_UC;
	const u64 *phys = t->arena->phys;
	u32 i;

	for (i = 0; i < NR_VMCS_FIELDS; i++)
		if (vmcs_field_table[i].format == VMCS_FMT_PHYS &&
		    vmcs_field_table[i].group == VMCS_GROUP_CONTROL)
			t->value[i] = phys[PAGE_SCRATCH];
	put(t, EPT_POINTER, phys[PAGE_EPT] | memtype | 3 << EPTP_LEVELS_SHIFT);
	put(t, VIRTUAL_APIC_ADDR, phys[PAGE_VAPIC]);
	put(t, VM_ENTRY_MSR_LOAD_ADDR, phys[PAGE_MSRS]);
	put(t, VMCS_LINK_POINTER, ~0ull);
	put(t, GUEST_CR3, phys[PAGE_PML4]);
}

#define EFER_LME	(1ull << 8)
#define EFER_LMA	(1ull << 10)
#define PAT_RESET	0x0007040600070406ull

static void segment(struct test_image *t, int s, u32 ar, u32 limit)
{
	put(t, GUEST_ES_AR + 2 * s, ar);
	put(t, GUEST_ES_LIMIT + 2 * s, limit);
}

enum { ES, CS, SS, DS, FS, GS, LDTR, TR };

static void init_guest(struct test_image *t)
{
	int s;

	for (s = ES; s <= GS; s++)
		segment(t, s, 0xc093, ~0u);
	segment(t, CS, 0xa09b, ~0u);
	segment(t, LDTR, 0x0082, 0xff);
	segment(t, TR, 0x008b, 0x67);
	put(t, GUEST_CR0, (t->caps.cr0_fixed0 | X86_CR0_PE | X86_CR0_PG |
			   X86_CR0_ET | X86_CR0_WP) & t->caps.cr0_fixed1);
	put(t, GUEST_CR4, t->caps.cr4_fixed0 | X86_CR4_PAE);
	put(t, GUEST_EFER, EFER_LME | EFER_LMA);
	put(t, GUEST_PAT, PAT_RESET);
	put(t, GUEST_DR7, 0x400);
	put(t, GUEST_RFLAGS, X86_EFLAGS_FIXED);
	put(t, GUEST_RIP, 0x1000);
	put(t, GUEST_RSP, 0x1ff0);
}

/* Where there is no processor to ask: that of some 64-bit kernel. */
static void init_host(struct test_image *t)
{
	put(t, HOST_CR0, *image_field(t, GUEST_CR0));
	put(t, HOST_CR4, *image_field(t, GUEST_CR4));
	put(t, HOST_CR3, 0x1000);
	put(t, HOST_CS_SELECTOR, 0x10);
	put(t, HOST_SS_SELECTOR, 0x18);
	put(t, HOST_TR_SELECTOR, 0x40);
	put(t, HOST_RIP, 0xffffffff81000000ull);
	put(t, HOST_EFER, EFER_LME | EFER_LMA);
	put(t, HOST_PAT, PAT_RESET);
}

void image_init(struct test_image *t, const struct arena *arena,
		const struct vmx_caps *caps, bool fixed)
{
	memset(t, 0, sizeof(*t));
	t->arena = arena;
	t->caps = *caps;
	t->fixed = fixed;
	t->image = (struct vmx_image) {
		.read = image_read,
		.read_memory = arena_read,
		.caps = &t->caps,
		.self = arena->phys[PAGE_SELF],
		.long_mode = true,
	};
	init_controls(t);
	init_addresses(t);
	init_guest(t);
	if (!fixed)
		init_host(t);
}

/* ---- changes ------------------------------------------------------------ */

static bool turn_on(struct test_image *t, u32 ctl)
{
	if (!may_be_on(t, ctl))
		return false;
	control(t, ctl, true);
	switch (VMX_CTL_WORD(ctl)) {
	case VMX_WORD_CPU2:
		return turn_on(t, VMX_CTL_CPU_ACTIVATE_SECONDARY);
	case VMX_WORD_CPU3:
		return turn_on(t, VMX_CTL_CPU_ACTIVATE_TERTIARY);
	case VMX_WORD_EXIT2:
		return turn_on(t, VMX_CTL_EXIT_CTL_ACTIVATE_SECONDARY);
	}
	return true;
}

static bool turn_off(struct test_image *t, u32 ctl)
{
	if (t->caps.ctl[VMX_CTL_WORD(ctl)].zero & VMX_CTL_MASK(ctl))
		return false;
	control(t, ctl, false);
	return true;
}

static void leave_long_mode(struct test_image *t)
{
	control(t, VMX_CTL_ENTRY_CTL_GUEST_LONG_MODE, false);
	put(t, GUEST_EFER, 0);
	segment(t, CS, 0xc09b, ~0u);
}

static void enter_vm86(struct test_image *t)
{
	int s;

	for (s = ES; s <= GS; s++) {
		put(t, GUEST_ES_SELECTOR + 2 * s, 0x100);
		put(t, GUEST_ES_BASE + 2 * s, 0x1000);
		segment(t, s, 0xf3, 0xffff);
	}
	*image_field(t, GUEST_RFLAGS) |= X86_EFLAGS_VM;
}

static bool enter_mode(struct test_image *t, enum guest_mode mode)
{
	leave_long_mode(t);
	switch (mode) {
	case MODE_PAE:
		put(t, GUEST_CR3, t->arena->phys[PAGE_PAE_PDPT]);
		return true;
	case MODE_VM86:
		enter_vm86(t);
		break;
	case MODE_REAL:
		*image_field(t, GUEST_CR0) &= ~(X86_CR0_PG | X86_CR0_PE);
		segment(t, CS, 0x9b, 0xffff);
		return turn_on(t, VMX_CTL_CPU2_ENABLE_EPT) &&
		       turn_on(t, VMX_CTL_CPU2_UNRESTRICTED_GUEST);
	case MODE_PROT32:
		break;
	}
	*image_field(t, GUEST_CR4) &= ~X86_CR4_PAE;
	return true;
}

static u64 named_controls(u32 word)
{
	static const u16 ids[] = {
#define ID(word, name, bit, title) VMX_CTL_##name,
		VMX_CONTROLS(ID)
#undef ID
	};
	u64 mask = 0;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(ids); i++)
		if (VMX_CTL_WORD(ids[i]) == word)
			mask |= VMX_CTL_MASK(ids[i]);
	return mask;
}

/* Bits without a name mean nothing, so that this breaks no other rule. */
static bool toggle_reserved(struct test_image *t, u32 word, u64 bits)
{
	const u64 width = word == VMX_WORD_CPU3 || word == VMX_WORD_EXIT2 ?
			  ~0ull : 0xffffffff;

	bits &= width & ~named_controls(word);
	if (!bits)
		return false;
	*image_field(t, control_fields[word]) ^= bits & -bits;
	return true;
}

static bool change_caps(struct test_image *t, const struct op *op)
{
	u64 *member = (u64 *)((u8 *)&t->caps + op->what);
	const u64 wanted = op->kind == OP_HAVE ? op->value : 0;

	if ((*member & op->value) == wanted)
		return true;
	if (t->fixed)
		return false;
	*member = (*member & ~op->value) | wanted;
	return true;
}

static bool legacy_host(struct test_image *t)
{
	if (t->fixed)
		return false;
	t->image.long_mode = false;
	control(t, VMX_CTL_EXIT_CTL_HOST_LONG_MODE, false);
	put(t, HOST_EFER, 0);
	put(t, HOST_RIP, 0x1000);
	return enter_mode(t, MODE_PROT32);
}

static bool has_field(const struct test_image *t, u32 field)
{
	return image_has_field(t, field_index[FIELD_KEY(field)]);
}

static bool apply(struct test_image *t, const struct op *op)
{
	u64 *field = image_field(t, op->what);

	switch (op->kind) {
	case OP_PUT:
		*field = op->value;
		return has_field(t, op->what);
	case OP_OR:
		*field |= op->value;
		return has_field(t, op->what);
	case OP_AND_NOT:
		*field &= ~op->value;
		return has_field(t, op->what);
	case OP_PAGE:
		*field = t->arena->phys[op->value];
		return has_field(t, op->what);
	case OP_ON:
		return turn_on(t, op->what);
	case OP_OFF:
		return turn_off(t, op->what);
	case OP_MODE:
		return enter_mode(t, op->what);
	case OP_POKE:
		memcpy(t->arena->page[op->what >> 16] + (op->what & 0xffff),
		       &op->value, sizeof(op->value));
		return true;
	case OP_SET_RESERVED:
		return toggle_reserved(t, op->what, ~t->caps.ctl[op->what].one);
	case OP_CLEAR_RESERVED:
		return toggle_reserved(t, op->what, t->caps.ctl[op->what].zero);
	case OP_HAVE:
	case OP_LACK:
		return change_caps(t, op);
	case OP_SMM:
		t->image.smm = true;
		return !t->fixed;
	case OP_LEGACY_HOST:
		return legacy_host(t);
	}
	return false;
}

bool image_apply(struct test_image *t, const struct op *ops)
{
	int i;

	for (i = 0; i < CASE_OPS && ops[i].kind != OP_END; i++)
		if (!apply(t, &ops[i]))
			return false;
	return true;
}
