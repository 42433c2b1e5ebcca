/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mmu_tables.h - what the files of the MMU share: shadow pages, the format of
 * entries, reverse maps and the first half of a fault. mmu.c owns them and
 * builds tables that map guest-physical memory, shadow.c those that shadow a
 * guest's own, guest_walk.c reads the guest's. All of it under mmu_lock
 * unless noted.
 */
#ifndef KVM_MMU_TABLES_H
#define KVM_MMU_TABLES_H

#include <linux/mm.h>

#include "kvm.h"

/* ---- entries ------------------------------------------------------------ */

/*
 * Bits of an entry in the hardware's format. All tables of the driver are in
 * one format: that of EPT where it is in use, else that of 4-level paging,
 * which is that of PAE paging as well.
 */
struct spte_format {
	u64 present;		/* in every present entry */
	u64 writable;
	u64 exec;		/* set to allow, or 0 */
	u64 nx;			/* set to forbid, or 0 */
	u64 user;
	u64 accessed, dirty;	/* 0: the processor keeps no such bits */
	u64 memtype_ram, memtype_io;
	u64 table;		/* of an entry that refers to a table */
	/*
	 * Of an entry that stands for "no memory here: MMIO". A value that the
	 * mask does not cover: there are none. The generation is in gen_mask.
	 */
	u64 mmio_mask, mmio_value;
	u64 mmio_gen_mask;
	int mmio_gen_shift;
	int max_level;		/* of a large page */
};
extern struct spte_format spte_format;

/* The same in both formats. */
#define SPTE_LARGE	BIT_ULL(7)
#define SPTE_ADDR	GENMASK_ULL(51, 12)

static inline bool spte_present(u64 spte)
{
	return (spte & spte_format.present) &&
	       (spte & spte_format.mmio_mask) != spte_format.mmio_value;
}

static inline bool spte_leaf(u64 spte, int level)
{
	return level == PT_LEVEL_4K || (spte & SPTE_LARGE);
}

static inline kvm_pfn_t spte_pfn(u64 spte)
{
	return (spte & SPTE_ADDR) >> PAGE_SHIFT;
}

static inline u64 mmu_mmio_spte(const struct kvm *kvm)
{
	return spte_format.mmio_value |
	       (kvm->mmu.mmio_gen & spte_format.mmio_gen_mask) <<
	       spte_format.mmio_gen_shift;
}

/* Entries for which a bit tells that some were ever made. */
#define SOURCE_GROUP	(PT_ENTRIES / 64)

/* ---- shadow pages ------------------------------------------------------- */

struct kvm_mmu_page {
	struct hlist_node hash_link;	/* kvm->mmu.hash, by gfn */
	struct list_head link;		/* kvm->mmu.pages, or a zap list */
	u64 *spt;			/* PT_ENTRIES entries */
	gfn_t gfn;			/* first frame mapped, or guest table */
	union kvm_page_role role;
	u16 nr_present;
	int root_count;			/* vCPUs that have it as root */
	struct kvm_rmap parents;	/* entries that refer to it */

	/*
	 * Only of a page that shadows a guest table: by entry, the guest's
	 * entry that it was made from, as gpte_source() gives it.
	 */
	u64 *source;
	u64 groups;			/* of SOURCE_GROUP entries: has some */
	struct kvm_memory_slot *slot;	/* it is counted there; or NULL */
	bool used;			/* a fault came by, lately */
	bool unsync;			/* the guest may write to its table */
	bool dirty;			/* it has, and no dirty bit tells */
	unsigned int idle;		/* flushes since it last did */
	u8 nr_writes;			/* emulated, since a fault came by */
	struct list_head unsync_link;	/* kvm->mmu.unsync */
};

static inline u64 source_group(unsigned int i)
{
	return BIT_ULL(i / SOURCE_GROUP);
}

static inline struct kvm_mmu_page *sptep_page(const u64 *sptep)
{
	return (void *)page_private(virt_to_page(sptep));
}

static inline struct kvm_mmu_page *spte_child(u64 spte)
{
	return (void *)page_private(pfn_to_page(spte_pfn(spte)));
}

static inline int gfn_index(gfn_t gfn, int level)
{
	return (gfn >> (9 * (level - 1))) & (PT_ENTRIES - 1);
}

/* The frame that a leaf entry maps. */
static inline gfn_t spte_gfn(const struct kvm_mmu_page *sp, const u64 *sptep)
{
	unsigned int i = sptep - sp->spt;

	if (sp->source)
		return (sp->source[i] & SPTE_ADDR) >> PAGE_SHIFT;
	return sp->gfn + i * KVM_PAGES_PER_LEVEL(sp->role.level);
}

/* ---- mmu.c -------------------------------------------------------------- */

/* Without mmu_lock: objects for one fault, or one root. 0 or -ENOMEM. */
int mmu_caches_fill(struct kvm_vcpu *vcpu);
void *mmu_cache_take(struct kvm_mmu_cache *cache);

typedef bool (*mmu_rmap_fn)(struct kvm *kvm, u64 *sptep);

/* Call fn, which must leave the list alone, for every entry. */
bool mmu_rmap_for_each(struct kvm *kvm, const struct kvm_rmap *rmap,
		       mmu_rmap_fn fn);
bool mmu_rmap_drop_all(struct kvm *kvm, struct kvm_memory_slot *slot,
		       struct kvm_rmap *rmap);
/* The reverse map of gfn at a level; NULL: none of its 2M has one yet. */
struct kvm_rmap *mmu_slot_rmap(const struct kvm_memory_slot *slot, gfn_t gfn,
			       int level);
struct kvm_rmap_region *mmu_slot_region(const struct kvm_memory_slot *slot,
					gfn_t gfn);

/* Make an entry not present. The caller flushes. */
void mmu_drop_entry(struct kvm *kvm, struct kvm_mmu_page *sp, u64 *sptep);
/* Make one that is not present map the page of a fault. */
void mmu_add_leaf(struct kvm_vcpu *vcpu, struct kvm_memory_slot *slot,
		  gfn_t gfn, u64 *sptep, u64 spte);
/* Make one that is not present refer to a table. */
void mmu_page_link(struct kvm_vcpu *vcpu, u64 *sptep,
		   struct kvm_mmu_page *child, u64 spte);
void mmu_page_unlink(u64 *sptep);

/* Find or make; what is new has no entries. */
struct kvm_mmu_page *mmu_page_find(struct kvm *kvm, gfn_t gfn,
				   union kvm_page_role role);
struct kvm_mmu_page *mmu_page_create(struct kvm_vcpu *vcpu, gfn_t gfn,
				     union kvm_page_role role);
/* Free a page and what nothing else refers to, in two steps. */
void mmu_page_zap(struct kvm *kvm, struct kvm_mmu_page *top,
		  struct list_head *zapped);
void mmu_zap_commit(struct kvm *kvm, struct list_head *zapped);
/* A vCPU lets go of its root. */
void mmu_root_put(struct kvm *kvm, struct kvm_mmu_page *root);
/* Make room for one fault by freeing old tables. */
bool mmu_reclaim_pages(struct kvm *kvm);

struct mmu_fault {
	gfn_t gfn;
	bool write, exec;
	bool prefetch;			/* nobody has asked for it yet */
	u32 pta;			/* rights that the guest's tables give */
	int max_level;			/* of the entry, likewise */

	/* mmu_fault_resolve() fills in what follows. */
	struct kvm_memory_slot *slot;
	hva_t hva;
	struct kvm_host_page page;
	unsigned long seq;		/* mmu_invalidate_seq before the lookup */
	int level;			/* of the entry to be made */

	/* With shadow paging. */
	u64 gva;
	const struct guest_walk *walk;	/* NULL: paging is off */
};

/*
 * Without mmu_lock: what the host has for fault->gfn, in fault->slot. 0, or
 * what kvm_mmu_page_fault() returns.
 */
#define MMU_FAULT_FOUND		0
int mmu_fault_resolve(struct kvm_vcpu *vcpu, struct mmu_fault *fault);
/* The slot of the local APICs' page, if gfn is theirs and it may be mapped. */
struct kvm_memory_slot *mmu_apic_slot(const struct kvm *kvm, gfn_t gfn);
/* What was found is no longer true, or may not be for long. */
bool mmu_fault_stale(const struct kvm *kvm, const struct mmu_fault *fault);
int mmu_fault_level(const struct mmu_fault *fault);
/* The entry for a page. Marks the page dirty where logging is on. */
u64 mmu_make_spte(const struct mmu_fault *fault, kvm_pfn_t pfn, u32 pta);

/* ---- guest_walk.c ------------------------------------------------------- */

/* Of the format that the guest's registers choose; 0: paging is off. */
int kvm_guest_levels(struct kvm_vcpu *vcpu);
/* The registers of this moment, as a walk needs them. */
void kvm_guest_paging(struct kvm_vcpu *vcpu, struct guest_paging *p);
/* enum walk_result. kvm->srcu held, mmu_lock not. */
int kvm_guest_walk(struct kvm_vcpu *vcpu, const struct guest_paging *p,
		   u64 gva, u32 access, struct guest_walk *walk);
/* What becomes of a walk that found neither a page nor a read-only table. */
void kvm_walk_fault(u64 gva, u32 access, const struct guest_walk *walk, int r,
		    struct x86_exception *fault);

/* ---- shadow.c: only without EPT ----------------------------------------- */

int mmu_shadow_load(struct kvm_vcpu *vcpu);
void mmu_shadow_unload(struct kvm_vcpu *vcpu);
void mmu_shadow_vcpu_free(struct kvm_vcpu *vcpu);
int mmu_shadow_page_fault(struct kvm_vcpu *vcpu, u64 gva, u32 error_code);
void mmu_shadow_invlpg(struct kvm_vcpu *vcpu, u64 gva);
/* A dirty bit is lost of an entry that maps the frame. */
void mmu_shadow_note_dirty(struct kvm *kvm, gfn_t gfn);
/* A page that shadows a guest table is on its way out. */
void mmu_shadow_page_retire(struct kvm *kvm, struct kvm_mmu_page *sp);

#endif
