// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmx_rmode.c - real mode and unpaged mode without unrestricted guest: what
 * has to lie in the guest's memory for them, and which segment registers the
 * processor accepts.
 *
 * Without unrestricted guest the processor enters a guest in protected mode
 * with paging on, and nowhere else. Real mode then runs as virtual-8086 mode
 * wherever its segment registers allow, with a TSS of ours that lets the
 * guest reach every port (which exits all the same). With EPT, unpaged code
 * runs with a page directory of ours that maps all of 4G to itself. The
 * monitor says where in its guest's memory the two may lie: KVM_SET_TSS_ADDR,
 * KVM_SET_IDENTITY_MAP_ADDR. What runs in neither way is emulated.
 *
 * Knows no VMCS. Locking: kvm->lock is held by those who add memory.
 *
 * SDM: "8086 Emulation", "Checks on Guest Segment Registers", "Unrestricted
 * Guests".
 */
#include <linux/mm.h>

#include "vmx.h"
#include "vmx_rmode.h"

/* ---- in the guest's memory ---------------------------------------------- */

#define RMODE_TSS_PAGES	3
#define TSS_IOMAP_BASE	0x66

int vmx_rmode_add_tss(struct kvm *kvm, gpa_t addr)
{
	const unsigned long size = RMODE_TSS_PAGES * PAGE_SIZE;
	u8 *tss = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	int r;

	if (!tss)
		return -ENOMEM;
	*(u16 *)(tss + TSS_IOMAP_BASE) = RMODE_TSS_IOMAP;
	tss[RMODE_TSS_LIMIT] = 0xff;
	r = kvm_add_private_region(kvm, KVM_RMODE_TSS_SLOT, addr, tss, size);
	kvfree(tss);
	return r;
}

/* Accessed and dirty already: walks need not write to it. */
#define IDENTITY_PDE	(PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED | \
			 PTE_DIRTY | PTE_PAGE_SIZE)

int vmx_rmode_add_identity_map(struct kvm *kvm)
{
	u32 *pde = (u32 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	int i, r;

	if (!pde)
		return -ENOMEM;
	for (i = 0; i < PAGE_SIZE / sizeof(*pde); i++)
		pde[i] = (u32)i << 22 | IDENTITY_PDE;
	r = kvm_add_private_region(kvm, KVM_RMODE_IDENTITY_SLOT,
				   kvm->identity_map_addr, pde, PAGE_SIZE);
	free_page((unsigned long)pde);
	return r;
}

/* ---- segment registers -------------------------------------------------- */

static bool expands_down(const struct kvm_segment *s)
{
	return (s->type & (SEG_AR_TYPE_CODE | SEG_AR_TYPE_EXPAND_DOWN)) ==
	       SEG_AR_TYPE_EXPAND_DOWN;
}

bool vmx_segment_fits_vm86(const struct kvm_segment *s, enum kvm_seg seg)
{
	if (s->unusable || !s->s || s->base != (u64)s->selector << 4 ||
	    s->limit < 0xffff || expands_down(s))
		return false;
	/* Code and stack are 16 bits wide there; of data this says nothing. */
	return !s->db || (seg != VCPU_SEG_CS && seg != VCPU_SEG_SS);
}

#define SELECTOR_RPL	3
#define SELECTOR_TI	BIT(2)

/* The granularity bit has to agree with the limit, which is in bytes. */
static bool limit_valid(const struct kvm_segment *s)
{
	if ((s->limit & 0xfff) != 0xfff && s->g)
		return false;
	return !(s->limit >> 20) || s->g;
}

static bool vm86_segments_valid(const struct kvm_segment *seg)
{
	int i;

	for (i = VCPU_SEG_ES; i <= VCPU_SEG_GS; i++) {
		const struct kvm_segment *s = &seg[i];

		if (s->base != (u64)s->selector << 4 || s->limit != 0xffff ||
		    s->unusable || s->type != 3 || !s->s || s->dpl != 3 ||
		    s->avl || s->l || s->db || s->g)
			return false;
	}
	return true;
}

static bool cs_valid(const struct kvm_segment *cs,
		     const struct kvm_segment *ss, bool ia32e)
{
	const u8 accessed_code = SEG_AR_TYPE_CODE | SEG_AR_TYPE_ACCESSED;

	if (cs->unusable || !cs->s || cs->base >> 32 ||
	    (cs->type & accessed_code) != accessed_code)
		return false;
	if (cs->type & SEG_AR_TYPE_CONFORMING ? cs->dpl > ss->dpl :
						cs->dpl != ss->dpl)
		return false;
	return limit_valid(cs) && !(ia32e && cs->l && cs->db);
}

static bool ss_valid(const struct kvm_segment *ss,
		     const struct kvm_segment *cs)
{
	const u8 rpl = ss->selector & SELECTOR_RPL;

	if (rpl != (cs->selector & SELECTOR_RPL) || rpl != ss->dpl)
		return false;
	if (ss->unusable)
		return true;
	return ss->s && (ss->type == 3 || ss->type == 7) &&
	       !(ss->base >> 32) && limit_valid(ss);
}

/* DS, ES, FS and GS; of these the bases of the last two may be 64-bit. */
static bool data_valid(const struct kvm_segment *s, bool wide_base)
{
	const u8 code = SEG_AR_TYPE_CODE;

	if (s->unusable)
		return true;
	if (!s->s || !(s->type & SEG_AR_TYPE_ACCESSED) ||
	    ((s->type & code) && !(s->type & SEG_AR_TYPE_READABLE)))
		return false;
	/* Conforming code may be read from anywhere. */
	if (s->type < (code | SEG_AR_TYPE_CONFORMING) &&
	    s->dpl < (s->selector & SELECTOR_RPL))
		return false;
	return (wide_base || !(s->base >> 32)) && limit_valid(s);
}

static bool tr_valid(const struct kvm_segment *tr, bool ia32e)
{
	return !tr->unusable && !tr->s && !(tr->selector & SELECTOR_TI) &&
	       (tr->type == SEG_AR_TYPE_BUSY_TSS ||
		(tr->type == SEG_AR_TYPE_BUSY_TSS16 && !ia32e)) &&
	       limit_valid(tr);
}

static bool ldtr_valid(const struct kvm_segment *ldtr)
{
	return ldtr->unusable ||
	       (!ldtr->s && ldtr->type == SEG_AR_TYPE_LDT &&
		!(ldtr->selector & SELECTOR_TI) && limit_valid(ldtr));
}

bool vmx_segments_enterable(const struct kvm_segment *seg, bool vm86,
			    bool ia32e)
{
	const struct kvm_segment *cs = &seg[VCPU_SEG_CS];
	const struct kvm_segment *ss = &seg[VCPU_SEG_SS];

	if (!tr_valid(&seg[VCPU_SEG_TR], ia32e) ||
	    !ldtr_valid(&seg[VCPU_SEG_LDTR]))
		return false;
	if (vm86)
		return vm86_segments_valid(seg);
	return cs_valid(cs, ss, ia32e) && ss_valid(ss, cs) &&
	       data_valid(&seg[VCPU_SEG_DS], false) &&
	       data_valid(&seg[VCPU_SEG_ES], false) &&
	       data_valid(&seg[VCPU_SEG_FS], true) &&
	       data_valid(&seg[VCPU_SEG_GS], true);
}
