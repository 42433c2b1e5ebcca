/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mmu.h - guest page tables and the tables that map or shadow them: the types
 * that other files embed, and what mmu.c offers. kvm.h includes this file and
 * gives the locking rules.
 */
#ifndef KVM_MMU_H
#define KVM_MMU_H

#include <linux/hashtable.h>
#include <linux/kvm_types.h>
#include <linux/list.h>

#include "paging.h"

struct x86_exception;

#define NO_GFN		(~0ull)

/*
 * Levels of a page table: 1 maps 4K pages, 2 maps 2M (or 4M), 3 maps 1G,
 * 4 and 5 map tables only.
 */
enum {
	PT_LEVEL_4K = 1,
	PT_LEVEL_2M,
	PT_LEVEL_1G,
	PT_LEVEL_512G,
	PT_LEVEL_256T,
};
#define KVM_NR_PAGE_LEVELS	3	/* levels with leaf entries */
#define PT_ENTRIES		512
#define PT_LEVEL_SHIFT(level)	(PAGE_SHIFT + 9 * ((level) - 1))
#define KVM_PAGES_PER_LEVEL(level)	(1ul << (9 * ((level) - 1)))

/*
 * The head of the entries that map one guest frame: 0 none, the address of
 * the only entry, or, with bit 0 set, of a struct kvm_rmap_desc.
 */
struct kvm_rmap {
	unsigned long val;
};

/*
 * Reverse maps of the 2M of guest-physical memory that a table of level 1
 * maps: of the 2M entries themselves and, once one exists, of 4K entries.
 */
struct kvm_rmap_region {
	struct kvm_rmap large;
	struct kvm_rmap *small;		/* PT_ENTRIES of them, or NULL */
	unsigned int nr_shadowed;	/* shadow pages of tables in it */
};

/* Per memory slot: reverse maps, from the aligned frame at or below base_gfn. */
struct kvm_slot_mmu {
	struct kvm_rmap_region *region;	/* by 2M */
	struct kvm_rmap *giant;		/* by 1G */
};

/* What makes two shadow pages for the same guest frame different. */
union kvm_page_role {
	u32 word;
	struct {
		u32 level:4;
		u32 direct:1;		/* maps guest-physical addresses one to one */
		u32 ept:1;		/* entries in EPT format */
		u32 guest_levels:3;	/* of the guest's format: 0, 2, 3, 4, 5 */
		u32 access:3;		/* of the path so far: PTA_* */
		u32 quadrant:2;		/* which part of a wider guest table */
		u32 nx:1;
		u32 cr0_wp:1;
		u32 smep_not_wp:1;
		u32 smap_not_wp:1;
		u32 pse:1;		/* CR4, where the format depends on it */
		u32 invalid:1;		/* being freed; not to be found */
	};
};

struct kvm_vm_mmu {
	DECLARE_HASHTABLE(hash, 10);
	struct list_head pages;		/* struct kvm_mmu_page, newest first */
	unsigned long nr_pages;
	unsigned long user_max_pages;	/* KVM_SET_NR_MMU_PAGES; 0: by the slots */
	u64 mmio_gen;			/* MMIO entries of older ones are stale */
	struct kvm_memory_slot *last_slot;	/* that an entry was dropped of */
	/*
	 * Entries were dropped that TLBs may still have. The guest is to flush
	 * before it relies on that; for the driver it is not enough.
	 */
	bool stale;

	/* Shadow paging. */
	unsigned long nr_shadowed;	/* pages that shadow guest tables */
	struct list_head unsync;	/* ... that the guest may write to */
	unsigned int nr_unsync;
};

/* Objects allocated before mmu_lock is taken, used under it. */
#define KVM_MMU_CACHE_SIZE	16
struct kvm_mmu_cache {
	int count;
	void *objects[KVM_MMU_CACHE_SIZE];
};

struct kvm_mmu_caches {
	struct kvm_mmu_cache pages;	/* zeroed page frames */
	struct kvm_mmu_cache headers;	/* struct kvm_mmu_page */
	struct kvm_mmu_cache rmaps;	/* struct kvm_rmap_desc */
};

struct kvm_mmu_page;

/* A vCPU's view: the root in use and how its guest's tables are walked. */
struct kvm_mmu {
	struct kvm_mmu_page *root;	/* NULL: load before entry */
	u64 pdptrs[4];			/* PAE; loaded at MOV to CR3 */
	/* Shadow paging: what the role of every page of this guest has. */
	union kvm_page_role role;
	struct guest_paging paging;	/* the registers when root was loaded */
	struct kvm_mmu_page *pae_root;	/* four entries of PAE paging */
	/* A table that is written by emulation, and could be left alone. */
	gfn_t emulated_gfn;
	/* MMIO was seen at this frame, at this kvm->mmu.mmio_gen. */
	gfn_t mmio_gfn;
	u64 mmio_gen;
};

/*
 * A translation with the guest's entries that it came from: whether they still
 * say the same is quicker to find out than where they lie. Zeroed, it is empty.
 */
struct kvm_walk_cache {
	int levels;
	u32 access;
	u64 page;			/* linear address */
	gpa_t gpa;			/* of the page */
	hva_t hva;			/* where the monitor has it */
	unsigned long cr3, cr4;
	u64 efer, reserved_gpa_bits;
	u64 slots_gen;
	const u64 __user *pte[PAGING_MAX_LEVELS];	/* by level - 1 */
	u64 value[PAGING_MAX_LEVELS];
};

/* Walk results. Access bits asked for are PFERR_WRITE, _USER and _FETCH. */
int kvm_mmu_module_init(void);
void kvm_mmu_module_exit(void);
void kvm_mmu_vm_init(struct kvm *kvm);
void kvm_mmu_vm_destroy(struct kvm *kvm);	/* no vCPU is left */
void kvm_mmu_vcpu_free(struct kvm_vcpu *vcpu);

/* CR0, CR3, CR4, EFER or CPUID changed in a way that paging can see. */
void kvm_mmu_reset(struct kvm_vcpu *vcpu);
/* MOV to CR3 with a new value; `flush`: not with the no-flush bit. */
void kvm_mmu_new_cr3(struct kvm_vcpu *vcpu, bool flush);
/* INVLPG, with shadow paging: it exits, or is emulated. kvm->srcu held. */
void kvm_mmu_invlpg(struct kvm_vcpu *vcpu, u64 gva);
/* No translation stays that the guest's own tables no longer give. */
void kvm_mmu_flush_guest(struct kvm_vcpu *vcpu);
/*
 * MOV to CR3 and INVLPG, without EPT and in long mode, with interrupts
 * disabled. The caller gives the processor the root, and flushes. False: not
 * now.
 */
bool kvm_mmu_try_new_cr3(struct kvm_vcpu *vcpu, unsigned long cr3, hpa_t *root);
bool kvm_mmu_try_invlpg(struct kvm_vcpu *vcpu, u64 gva);
/* Make sure a root is loaded in the backend. 0 or -errno. */
int kvm_mmu_load(struct kvm_vcpu *vcpu);
/* KVM_REQ_MMU_RELOAD: let go of a root that has become invalid. */
void kvm_mmu_unload(struct kvm_vcpu *vcpu);
/*
 * Read the PDPTEs of PAE paging; kvm->srcu held. 0, or 1 for #GP: a reserved
 * bit is set or there is no memory.
 */
int kvm_mmu_load_pdptrs(struct kvm_vcpu *vcpu, unsigned long cr3);

/*
 * A fault on a table that the driver built: EPT violation (gpa) or, with
 * shadow paging, #PF (gva). `error_code`: PFERR_*. 1 fixed or injected,
 * resume; 0 to user space; -errno; KVM_PF_EMULATE: emulate the instruction.
 */
#define KVM_PF_EMULATE	2
int kvm_mmu_page_fault(struct kvm_vcpu *vcpu, u64 addr, u32 error_code);

/*
 * The monitor or the emulator has written to guest memory: tables there may
 * be shadowed.
 */
void kvm_mmu_guest_write(struct kvm *kvm, gpa_t gpa, unsigned int bytes);
/*
 * KVM_PF_EMULATE was returned, and the emulator does not know the instruction,
 * or there is none. True: the processor can do it now.
 */
bool kvm_mmu_unprotect(struct kvm_vcpu *vcpu);

/* EPT misconfiguration: true if gpa is where MMIO was seen before. */
bool kvm_mmu_is_mmio(struct kvm_vcpu *vcpu, gpa_t gpa);

/*
 * Translate as the guest's paging does, with the rights of `access`. 0 and
 * *gpa, or 1 and *fault (a #PF with its error code). kvm->srcu held.
 */
int kvm_gva_to_gpa(struct kvm_vcpu *vcpu, u64 gva, u32 access, gpa_t *gpa,
		   struct x86_exception *fault);
/* The same for a fetch, of which the last is remembered in *cache. */
int kvm_fetch_gva_to_gpa(struct kvm_vcpu *vcpu, struct kvm_walk_cache *cache,
			 u64 gva, u32 access, gpa_t *gpa,
			 struct x86_exception *fault);

/*
 * No vCPU goes on with a translation that the tables no longer give. mmu_lock
 * held: nobody may see a range as unmapped before TLBs agree.
 */
void kvm_mmu_flush(struct kvm *kvm);

/* Memory slots: 0 or -ENOMEM. The slot is not yet published. */
int kvm_mmu_slot_create(struct kvm *kvm, struct kvm_memory_slot *slot);
void kvm_mmu_slot_free(struct kvm_memory_slot *slot);
/* Drop every mapping of the slot and flush; slots_lock held, mmu_lock not. */
void kvm_mmu_slot_zap(struct kvm *kvm, struct kvm_memory_slot *slot);
/* A slot was published: MMIO entries of before may cover it. */
void kvm_mmu_zap_mmio(struct kvm *kvm);
/*
 * The page that the processor takes for the local APICs' is to be mapped at
 * KVM_APIC_GFN, if there is no memory. kvm->lock held. 0 or -ENOMEM.
 */
int kvm_mmu_apic_page_create(struct kvm *kvm, struct page *page);
/* One more reason why it must not be mapped, or one less. May sleep. */
void kvm_mmu_apic_page_inhibit(struct kvm *kvm, bool inhibit);
/* Dirty logging begins: the next write to each frame of the slot is noted. */
void kvm_mmu_slot_make_clean(struct kvm *kvm, struct kvm_memory_slot *slot);
/*
 * Make clean again the frames of bits set in `mask`, from page `offset` of
 * the slot on. mmu_lock held; the caller flushes. True: something changed.
 */
bool kvm_mmu_clean_pages(struct kvm *kvm, struct kvm_memory_slot *slot,
			 unsigned long offset, unsigned long mask);
/* Dirty logging ended: let large pages form again. */
void kvm_mmu_slot_collapse(struct kvm *kvm, struct kvm_memory_slot *slot);

/* mmu notifiers, for the part of a slot in [start, end); mmu_lock held. */
bool kvm_mmu_unmap_range(struct kvm *kvm, struct kvm_memory_slot *slot,
			 gfn_t start, gfn_t end);
bool kvm_mmu_age_range(struct kvm *kvm, struct kvm_memory_slot *slot,
		       gfn_t start, gfn_t end, bool clear);
/* The monitor's mm goes away: drop everything. */
void kvm_mmu_zap_all(struct kvm *kvm);

int kvm_mmu_set_nr_pages(struct kvm *kvm, unsigned long nr);
unsigned long kvm_mmu_get_nr_pages(struct kvm *kvm);

#endif
