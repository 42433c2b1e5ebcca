// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest_walk.c - the guest's own page tables, as the guest's processor reads
 * them: translation for emulated accesses, for KVM_TRANSLATE and for shadow
 * paging, with accessed and dirty bits and page-fault error codes. The walk
 * itself is paging_tmpl.h, compiled here once for each format.
 *
 * Locking: kvm->srcu, for guest memory; never mmu_lock, as it may sleep.
 *
 * SDM: "Paging".
 */
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "mmu_tables.h"

#define WALK_CTX	struct kvm_vcpu

/* An entry is naturally aligned: one load, and no copy of unknown length. */
static int walk_read_entry(struct kvm_vcpu *vcpu, u64 gpa, void *entry,
			   unsigned int size)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	struct kvm_memory_slot *slot = kvm_vcpu_gfn_to_slot(vcpu, gfn);
	hva_t hva;

	if (!slot)
		return -EFAULT;
	hva = slot_gfn_to_hva(slot, gfn) + offset_in_page(gpa);
	if (size == sizeof(u64))
		return __get_user(*(u64 *)entry, (u64 __user *)hva);
	return __get_user(*(u32 *)entry, (u32 __user *)hva);
}

static int walk_cmpxchg_entry(struct kvm_vcpu *vcpu, u64 gpa, void *old,
			      const void *new, unsigned int size)
{
	return kvm_cmpxchg_guest(vcpu, gpa, old, new, size);
}

#define PT_FORMAT PT_32
#include "paging_tmpl.h"
#define PT_FORMAT PT_PAE
#include "paging_tmpl.h"
#define PT_FORMAT PT_64
#include "paging_tmpl.h"

int kvm_guest_levels(struct kvm_vcpu *vcpu)
{
	/* No bit that paging depends on is the guest's own in CR4. */
	const unsigned long cr4 = vcpu->cr4;

	if (!is_paging(vcpu))
		return 0;
	if (is_long_mode(vcpu))
		return cr4 & X86_CR4_LA57 ? 5 : 4;
	return cr4 & X86_CR4_PAE ? 3 : 2;
}

/* The inputs of a walk, from the registers of this moment. */
static void guest_paging_init(struct kvm_vcpu *vcpu, struct guest_paging *p)
{
	const unsigned long cr4 = vcpu->cr4;	/* as in kvm_guest_levels() */

	p->levels = kvm_guest_levels(vcpu);
	p->maxphyaddr = vcpu->maxphyaddr;
	p->nxe = vcpu->efer & EFER_NX;
	p->pse = cr4 & X86_CR4_PSE;
	p->pse36 = guest_cpu_has(vcpu, KVM_CPUF_PSE36);
	p->gbpages = guest_cpu_has(vcpu, KVM_CPUF_GBPAGES);
	p->wp = kvm_read_cr0(vcpu) & X86_CR0_WP;
	p->smep = cr4 & X86_CR4_SMEP;
	p->smap = cr4 & X86_CR4_SMAP;
	p->pke = cr4 & X86_CR4_PKE;
	p->pkru = vcpu->pkru;
	p->cr3 = kvm_read_cr3(vcpu);
	if (p->levels == 3) {
		if (!(vcpu->regs_avail & BIT(VCPU_PDPTRS)))
			backend->cache_reg(vcpu, VCPU_PDPTRS);
		memcpy(p->pdpte, vcpu->mmu.pdptrs, sizeof(p->pdpte));
	}
}

void kvm_guest_paging(struct kvm_vcpu *vcpu, struct guest_paging *p)
{
	guest_paging_init(vcpu, p);
	switch (p->levels) {
	case 2:
		pt32_init(p);
		break;
	case 3:
		ptpae_init(p);
		break;
	default:
		pt64_init(p);
	}
}

int kvm_guest_walk(struct kvm_vcpu *vcpu, const struct guest_paging *p,
		   u64 gva, u32 access, struct guest_walk *walk)
{
	switch (p->levels) {
	case 2:
		return pt32_walk(vcpu, p, (u32)gva, access, walk);
	case 3:
		return ptpae_walk(vcpu, p, (u32)gva, access, walk);
	default:
		return pt64_walk(vcpu, p, gva, access, walk);
	}
}

void kvm_walk_fault(u64 gva, u32 access, const struct guest_walk *walk, int r,
		    struct x86_exception *fault)
{
	/* Tables that are not in memory read as ones: a reserved bit. */
	*fault = (struct x86_exception) {
		.vector = X86_TRAP_PF,
		.has_error_code = true,
		.error_code = r == WALK_FAULT ? walk->error :
			PFERR_PRESENT | PFERR_RSVD |
			(access & (PFERR_WRITE | PFERR_USER)),
		.cr2 = gva,
	};
}

/* 0 with walk->gpa, or 1 and *fault. */
static int translate(struct kvm_vcpu *vcpu, u64 gva, u32 access,
		     struct guest_walk *walk, struct x86_exception *fault)
{
	struct guest_paging p;
	int r;

	kvm_guest_paging(vcpu, &p);
	/* The guest's other processors keep changing the tables: once more. */
	while ((r = kvm_guest_walk(vcpu, &p, gva, access, walk)) == WALK_BUSY &&
	       !fatal_signal_pending(current))
		cond_resched();
	/* As on any machine, tables in ROM keep the bits that they have. */
	if (r == WALK_OK || r == WALK_READONLY)
		return 0;
	kvm_walk_fault(gva, access, walk, r, fault);
	return 1;
}

int kvm_gva_to_gpa(struct kvm_vcpu *vcpu, u64 gva, u32 access, gpa_t *gpa,
		   struct x86_exception *fault)
{
	struct guest_walk walk;

	if (!is_paging(vcpu)) {
		*gpa = gva;
		return 0;
	}
	if (translate(vcpu, gva, access, &walk, fault))
		return 1;
	*gpa = walk.gpa;
	return 0;
}

/* Would a walk see now what it saw then? */
static bool walk_still_holds(struct kvm_vcpu *vcpu,
			     const struct kvm_walk_cache *c, u64 gva,
			     u32 access)
{
	int level;
	u64 pte;

	if (c->page != (gva & PAGE_MASK) || c->access != access ||
	    c->cr3 != kvm_read_cr3(vcpu) ||
	    c->cr4 != (vcpu->cr4 & ~vcpu->cr4_guest_owned) ||
	    c->efer != vcpu->efer ||
	    c->reserved_gpa_bits != vcpu->reserved_gpa_bits ||
	    c->slots_gen != READ_ONCE(vcpu->kvm->slots_gen))
		return false;
	for (level = c->levels; level; level--) {
		if (!c->pte[level - 1])
			break;		/* below a large page */
		if (__get_user(pte, c->pte[level - 1]) ||
		    pte != c->value[level - 1])
			return false;
	}
	return true;
}

static void walk_remember(struct kvm_vcpu *vcpu, struct kvm_walk_cache *c,
			  u64 gva, u32 access, const struct guest_walk *walk)
{
	struct kvm_memory_slot *slot =
		kvm_vcpu_gfn_to_slot(vcpu, walk->gpa >> PAGE_SHIFT);
	int level;

	/* WALK_READONLY: which entries there are below is no longer told. */
	if (!slot || walk->page_shift != PT_LEVEL_SHIFT(walk->level))
		return;
	*c = (struct kvm_walk_cache) {
		.slots_gen = smp_load_acquire(&vcpu->kvm->slots_gen),
		.access = access,
		.page = gva & PAGE_MASK,
		.gpa = walk->gpa & PAGE_MASK,
		.hva = slot_gfn_to_hva(slot, walk->gpa >> PAGE_SHIFT),
		.cr3 = kvm_read_cr3(vcpu),
		.cr4 = vcpu->cr4 & ~vcpu->cr4_guest_owned,
		.efer = vcpu->efer,
		.reserved_gpa_bits = vcpu->reserved_gpa_bits,
	};
	for (level = walk->root_level; level >= walk->level; level--) {
		gpa_t gpa = walk->pte_gpa[level - 1];

		slot = kvm_vcpu_gfn_to_slot(vcpu, gpa >> PAGE_SHIFT);
		if (!slot)
			return;
		c->pte[level - 1] = (const u64 __user *)
			(slot_gfn_to_hva(slot, gpa >> PAGE_SHIFT) +
			 offset_in_page(gpa));
		c->value[level - 1] = walk->pte[level - 1];
	}
	c->levels = walk->root_level;
}

static noinline int walk_anew(struct kvm_vcpu *vcpu,
			      struct kvm_walk_cache *cache, u64 gva,
			      u32 access, gpa_t *gpa,
			      struct x86_exception *fault)
{
	struct guest_walk walk;

	cache->levels = 0;
	if (!is_long_mode(vcpu))
		return kvm_gva_to_gpa(vcpu, gva, access, gpa, fault);
	if (translate(vcpu, gva, access, &walk, fault))
		return 1;
	walk_remember(vcpu, cache, gva, access, &walk);
	*gpa = walk.gpa;
	return 0;
}

int kvm_fetch_gva_to_gpa(struct kvm_vcpu *vcpu, struct kvm_walk_cache *cache,
			 u64 gva, u32 access, gpa_t *gpa,
			 struct x86_exception *fault)
{
	if (!cache->levels || !walk_still_holds(vcpu, cache, gva, access))
		return walk_anew(vcpu, cache, gva, access, gpa, fault);
	*gpa = cache->gpa | offset_in_page(gva);
	return 0;
}

int kvm_mmu_load_pdptrs(struct kvm_vcpu *vcpu, unsigned long cr3)
{
	const u32 table = cr3 & GENMASK(31, 5);
	u64 pdptrs[4];
	int i;

	if (kvm_read_guest_page(vcpu, table >> PAGE_SHIFT, pdptrs,
				offset_in_page(table), sizeof(pdptrs)))
		return 1;
	for (i = 0; i < ARRAY_SIZE(pdptrs); i++)
		if (!pae_pdpte_valid(pdptrs[i], vcpu->maxphyaddr))
			return 1;
	memcpy(vcpu->mmu.pdptrs, pdptrs, sizeof(pdptrs));
	vcpu->regs_avail |= BIT(VCPU_PDPTRS);
	vcpu->regs_dirty |= BIT(VCPU_PDPTRS);
	return 0;
}

