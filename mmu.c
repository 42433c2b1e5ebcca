// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmu.c - the tables that give a guest its memory.
 *
 * A shadow page is a page of hardware-format entries together with its role;
 * it is found through a hash of (guest frame, role). With EPT and no nesting
 * every shadow page is direct: it maps guest-physical addresses one to one,
 * and all vCPUs share one root. Every present leaf entry is on the reverse
 * map of the guest frame that it maps, so that an mmu notifier, a dirty-log
 * pass or the removal of a slot touches just what it must.
 *
 * No reference is held on host pages. An entry may exist only while the host
 * maps the page at the slot's address: whoever takes a page away calls the
 * mmu notifier first, which drops the entry under mmu_lock and flushes. A
 * fault looks up the host page without mmu_lock, so it notes
 * mmu_invalidate_seq before and checks it under the lock.
 *
 * Knows entries, not the VMCS: the root reaches the hardware through
 * backend->set_root(). Locking: mmu_lock for all that vCPUs share (kvm.h).
 *
 * SDM: "The Extended Page Table Mechanism (EPT)", "Paging".
 */
#include <linux/cpu.h>
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "include/compat.h"
#include "mmu_tables.h"
#include "trace.h"
#include "vmx.h"

/* ---- entries ------------------------------------------------------------ */

struct spte_format spte_format __ro_after_init;

/* ---- shadow pages ------------------------------------------------------- */

/* More entries than one for a frame: a chain of these. */
#define RMAP_DESC_ENTRIES	14
struct kvm_rmap_desc {
	u64 *sptes[RMAP_DESC_ENTRIES];
	int count;
	struct kvm_rmap_desc *next;
};

static struct kmem_cache *page_header_cache;
static struct kmem_cache *rmap_desc_cache;

/* ---- objects allocated ahead of the lock -------------------------------- */

static void *cache_alloc_page(void)
{
	return (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}

static void *cache_alloc_header(void)
{
	return kmem_cache_zalloc(page_header_cache, GFP_KERNEL_ACCOUNT);
}

static void *cache_alloc_desc(void)
{
	return kmem_cache_zalloc(rmap_desc_cache, GFP_KERNEL_ACCOUNT);
}

static int cache_fill(struct kvm_mmu_cache *cache, int want,
		      void *(*alloc)(void))
{
	while (cache->count < want) {
		void *object = alloc();

		if (!object)
			return -ENOMEM;
		cache->objects[cache->count++] = object;
	}
	return 0;
}

void *mmu_cache_take(struct kvm_mmu_cache *cache)
{
	if (WARN_ON_ONCE(!cache->count))
		return NULL;
	return cache->objects[--cache->count];
}

/*
 * What one fault needs: a table for each level below the root, a map of 2M,
 * the entries of two lists. One that shadows tables needs a second page for
 * each, entries on all of the lists, and to prefetch, some more.
 */
#define FAULT_NR_PAGES		(PT_LEVEL_256T + 1)
#define FAULT_NR_HEADERS	PT_LEVEL_256T
#define FAULT_NR_DESCS		2
#define SHADOW_NR_PAGES		9
#define SHADOW_NR_DESCS		KVM_MMU_CACHE_SIZE

static int caches_refill(struct kvm_mmu_caches *c, int pages, int descs)
{
	int r = cache_fill(&c->pages, pages, cache_alloc_page);

	if (!r)
		r = cache_fill(&c->headers, KVM_MMU_CACHE_SIZE / 2,
			       cache_alloc_header);
	if (!r)
		r = cache_fill(&c->rmaps, descs, cache_alloc_desc);
	return r;
}

int mmu_caches_fill(struct kvm_vcpu *vcpu)
{
	struct kvm_mmu_caches *c = &vcpu->mmu_caches;

	if (!kvm_caps.ept) {
		if (likely(c->pages.count >= SHADOW_NR_PAGES &&
			   c->headers.count >= FAULT_NR_HEADERS &&
			   c->rmaps.count >= SHADOW_NR_DESCS))
			return 0;
		return caches_refill(c, KVM_MMU_CACHE_SIZE, SHADOW_NR_DESCS);
	}
	if (likely(c->pages.count >= FAULT_NR_PAGES &&
		   c->headers.count >= FAULT_NR_HEADERS &&
		   c->rmaps.count >= FAULT_NR_DESCS))
		return 0;
	return caches_refill(c, KVM_MMU_CACHE_SIZE / 2, FAULT_NR_DESCS);
}

static void caches_free(struct kvm_vcpu *vcpu)
{
	struct kvm_mmu_caches *c = &vcpu->mmu_caches;

	while (c->pages.count)
		free_page((unsigned long)mmu_cache_take(&c->pages));
	while (c->headers.count)
		kmem_cache_free(page_header_cache, mmu_cache_take(&c->headers));
	while (c->rmaps.count)
		kmem_cache_free(rmap_desc_cache, mmu_cache_take(&c->rmaps));
}

/* ---- reverse maps ------------------------------------------------------- */

#define RMAP_MANY	1ul

static struct kvm_rmap_desc *rmap_desc(const struct kvm_rmap *rmap)
{
	return (void *)(rmap->val & ~RMAP_MANY);
}

static void rmap_add(struct kvm_vcpu *vcpu, struct kvm_rmap *rmap, u64 *sptep)
{
	struct kvm_rmap_desc *desc;

	if (likely(!rmap->val)) {
		rmap->val = (unsigned long)sptep;
		return;
	}
	if (!(rmap->val & RMAP_MANY)) {
		desc = mmu_cache_take(&vcpu->mmu_caches.rmaps);
		desc->sptes[0] = (u64 *)rmap->val;
		desc->count = 1;
		rmap->val = (unsigned long)desc | RMAP_MANY;
	}
	desc = rmap_desc(rmap);
	if (desc->count == RMAP_DESC_ENTRIES) {
		struct kvm_rmap_desc *more = mmu_cache_take(&vcpu->mmu_caches.rmaps);

		more->next = desc;
		rmap->val = (unsigned long)more | RMAP_MANY;
		desc = more;
	}
	desc->sptes[desc->count++] = sptep;
}

/* Only the first descriptor of a chain is ever partly filled. */
static void rmap_fill_hole(struct kvm_rmap *rmap, struct kvm_rmap_desc *hole,
			   int i)
{
	struct kvm_rmap_desc *first = rmap_desc(rmap);

	hole->sptes[i] = first->sptes[--first->count];
	if (first->count)
		return;
	rmap->val = first->next ? (unsigned long)first->next | RMAP_MANY : 0;
	kmem_cache_free(rmap_desc_cache, first);
}

static void rmap_remove(struct kvm_rmap *rmap, u64 *sptep)
{
	struct kvm_rmap_desc *desc;
	int i;

	if (likely(rmap->val == (unsigned long)sptep)) {
		rmap->val = 0;
		return;
	}
	if (WARN_ON_ONCE(!(rmap->val & RMAP_MANY)))
		return;
	for (desc = rmap_desc(rmap); desc; desc = desc->next)
		for (i = 0; i < desc->count; i++)
			if (desc->sptes[i] == sptep) {
				rmap_fill_hole(rmap, desc, i);
				return;
			}
	WARN_ON_ONCE(1);
}

/* Some entry on the list, or NULL: for loops that empty it. */
static u64 *rmap_first(const struct kvm_rmap *rmap)
{
	if (rmap->val & RMAP_MANY)
		return rmap_desc(rmap)->sptes[0];
	return (u64 *)rmap->val;
}

bool mmu_rmap_for_each(struct kvm *kvm, const struct kvm_rmap *rmap,
		       mmu_rmap_fn fn)
{
	struct kvm_rmap_desc *desc;
	bool ret = false;
	int i;

	if (!(rmap->val & RMAP_MANY))
		return rmap->val && fn(kvm, (u64 *)rmap->val);
	for (desc = rmap_desc(rmap); desc; desc = desc->next)
		for (i = 0; i < desc->count; i++)
			ret |= fn(kvm, desc->sptes[i]);
	return ret;
}

/* The index of gfn's map of a level within the slot. */
static unsigned long slot_index(const struct kvm_memory_slot *slot, gfn_t gfn,
				int level)
{
	int shift = 9 * (level - 1);

	return (gfn >> shift) - (slot->base_gfn >> shift);
}

struct kvm_rmap_region *mmu_slot_region(const struct kvm_memory_slot *slot,
					gfn_t gfn)
{
	return &slot->mmu.region[slot_index(slot, gfn, PT_LEVEL_2M)];
}

struct kvm_rmap *mmu_slot_rmap(const struct kvm_memory_slot *slot, gfn_t gfn,
			       int level)
{
	struct kvm_rmap_region *region;

	if (level == PT_LEVEL_1G)
		return &slot->mmu.giant[slot_index(slot, gfn, level)];
	region = mmu_slot_region(slot, gfn);
	if (level == PT_LEVEL_2M)
		return &region->large;
	return region->small ? &region->small[gfn & (PT_ENTRIES - 1)] : NULL;
}

static struct kvm_rmap *slot_rmap_create(struct kvm_vcpu *vcpu,
					 const struct kvm_memory_slot *slot,
					 gfn_t gfn, int level)
{
	struct kvm_rmap *rmap = mmu_slot_rmap(slot, gfn, level);
	struct kvm_rmap_region *region;

	if (likely(rmap))
		return rmap;
	region = mmu_slot_region(slot, gfn);
	BUILD_BUG_ON(PT_ENTRIES * sizeof(*rmap) != PAGE_SIZE);
	region->small = mmu_cache_take(&vcpu->mmu_caches.pages);
	return &region->small[gfn & (PT_ENTRIES - 1)];
}

/* ---- changing entries --------------------------------------------------- */

static void count_leaf(struct kvm *kvm, int level, int delta)
{
	if (level == PT_LEVEL_4K)
		kvm->stat.pages_4k += delta;
	else if (level == PT_LEVEL_2M)
		kvm->stat.pages_2m += delta;
	else
		kvm->stat.pages_1g += delta;
}

/*
 * Shadow paging goes by the dirty bits of what maps guest tables, which the
 * processor may be setting at this moment.
 */
static noinline void clear_noting_dirty(struct kvm *kvm, u64 *sptep, u64 bits)
{
	u64 old = atomic64_fetch_andnot(bits, (atomic64_t *)sptep);

	if (old & spte_format.dirty)
		mmu_shadow_note_dirty(kvm, spte_gfn(sptep_page(sptep), sptep));
}

/*
 * Take a present leaf entry away. The caller flushes. The host need not be
 * told what was written: its own entry is dirty wherever ours is writable
 * (memslot.c). The page itself is not looked at, as it may be gone: when a VM
 * is destroyed, no notifier comes between the page and its entry any more.
 */
static void drop_leaf(struct kvm *kvm, struct kvm_memory_slot *slot,
		      struct kvm_mmu_page *sp, u64 *sptep)
{
	if (unlikely(kvm->mmu.nr_unsync))
		clear_noting_dirty(kvm, sptep, U64_MAX);
	else
		WRITE_ONCE(*sptep, 0);
	sp->nr_present--;
	count_leaf(kvm, sp->role.level, -1);
	rmap_remove(mmu_slot_rmap(slot, spte_gfn(sp, sptep), sp->role.level), sptep);
}

/* For callers that do not know it. It does not go while it has entries. */
static struct kvm_memory_slot *leaf_slot(struct kvm *kvm,
					 struct kvm_mmu_page *sp, u64 *sptep)
{
	struct kvm_memory_slot *slot = kvm->mmu.last_slot;
	const gfn_t gfn = spte_gfn(sp, sptep);

	if (unlikely(gfn == KVM_APIC_GFN) && kvm->apic_slot &&
	    spte_pfn(*sptep) == kvm->apic_pfn)
		return kvm->apic_slot;
	if (likely(slot && slot_has_gfn(slot, gfn)))
		return slot;
	slot = kvm_gfn_to_slot(kvm, gfn);
	/* One that is invalid may be gone the next time. */
	if (!slot->invalid)
		kvm->mmu.last_slot = slot;
	return slot;
}

bool mmu_rmap_drop_all(struct kvm *kvm, struct kvm_memory_slot *slot,
		       struct kvm_rmap *rmap)
{
	bool any = false;
	u64 *sptep;

	while ((sptep = rmap_first(rmap))) {
		drop_leaf(kvm, slot, sptep_page(sptep), sptep);
		any = true;
	}
	return any;
}

/*
 * See that the next write is noted: by the processor's log, which is told at
 * the change of the dirty bit which 4K it was ("Page-Modification Logging"),
 * or by a fault.
 */
static __always_inline bool spte_make_clean(struct kvm *kvm, u64 *sptep)
{
	u64 old = READ_ONCE(*sptep), clear = spte_format.writable | spte_format.dirty;

	if (kvm_caps.pml && !(old & SPTE_LARGE))
		clear = spte_format.dirty;
	if (!(old & clear))
		return false;
	/* Atomic: the processor may be setting its own bits. */
	if (unlikely(kvm->mmu.nr_unsync))
		clear_noting_dirty(kvm, sptep, clear);
	else
		atomic64_andnot(clear, (atomic64_t *)sptep);
	return true;
}

void kvm_mmu_flush(struct kvm *kvm)
{
	lockdep_assert_held(&kvm->mmu_lock);
	kvm->mmu.stale = false;
	kvm->stat.remote_tlb_flush++;
	kvm_make_all_requests(kvm, KVM_REQ_TLB_FLUSH);
}

/* ---- life of a shadow page ---------------------------------------------- */

struct kvm_mmu_page *mmu_page_find(struct kvm *kvm, gfn_t gfn,
				   union kvm_page_role role)
{
	struct kvm_mmu_page *sp;

	hash_for_each_possible(kvm->mmu.hash, sp, hash_link, gfn)
		if (sp->gfn == gfn && sp->role.word == role.word)
			return sp;
	return NULL;
}

struct kvm_mmu_page *mmu_page_create(struct kvm_vcpu *vcpu, gfn_t gfn,
				     union kvm_page_role role)
{
	struct kvm_mmu_page *sp = mmu_cache_take(&vcpu->mmu_caches.headers);
	struct kvm *kvm = vcpu->kvm;

	sp->spt = mmu_cache_take(&vcpu->mmu_caches.pages);
	set_page_private(virt_to_page(sp->spt), (unsigned long)sp);
	compat_account_page_tables(sp->spt, 1);
	if (!role.direct)
		sp->source = mmu_cache_take(&vcpu->mmu_caches.pages);
	sp->gfn = gfn;
	sp->role = role;
	hash_add(kvm->mmu.hash, &sp->hash_link, gfn);
	list_add(&sp->link, &kvm->mmu.pages);
	kvm->mmu.nr_pages++;
	kvm->stat.mmu_pages++;
	return sp;
}

static struct kvm_mmu_page *page_get(struct kvm_vcpu *vcpu, gfn_t gfn,
				     union kvm_page_role role)
{
	struct kvm_mmu_page *sp = mmu_page_find(vcpu->kvm, gfn, role);

	return sp ? sp : mmu_page_create(vcpu, gfn, role);
}

static void page_free(struct kvm_mmu_page *sp)
{
	compat_account_page_tables(sp->spt, -1);
	set_page_private(virt_to_page(sp->spt), 0);
	free_page((unsigned long)sp->spt);
	free_page((unsigned long)sp->source);
	kmem_cache_free(page_header_cache, sp);
}

void mmu_page_link(struct kvm_vcpu *vcpu, u64 *sptep,
		   struct kvm_mmu_page *child, u64 spte)
{
	rmap_add(vcpu, &child->parents, sptep);
	sptep_page(sptep)->nr_present++;
	WRITE_ONCE(*sptep, __pa(child->spt) | spte);
}

void mmu_page_unlink(u64 *sptep)
{
	struct kvm_mmu_page *child = spte_child(*sptep);

	rmap_remove(&child->parents, sptep);
	sptep_page(sptep)->nr_present--;
	WRITE_ONCE(*sptep, 0);
}

/*
 * Detach a page from its parents and move it to the zap list. A root that
 * vCPUs still use becomes invalid and is freed when the last lets go of it.
 */
static void page_retire(struct kvm *kvm, struct kvm_mmu_page *sp,
			struct list_head *zapped)
{
	u64 *sptep;

	while ((sptep = rmap_first(&sp->parents)))
		mmu_page_unlink(sptep);
	if (!sp->role.direct)
		mmu_shadow_page_retire(kvm, sp);
	hash_del(&sp->hash_link);
	kvm->mmu.nr_pages--;
	kvm->stat.mmu_pages--;
	kvm->stat.mmu_zapped++;
	sp->role.invalid = 1;
	if (sp->root_count) {
		list_del_init(&sp->link);
		kvm_make_all_requests(kvm, KVM_REQ_MMU_RELOAD);
	} else {
		list_move(&sp->link, zapped);
	}
}

void mmu_drop_entry(struct kvm *kvm, struct kvm_mmu_page *sp, u64 *sptep)
{
	u64 spte = *sptep;

	if (!spte_present(spte)) {
		WRITE_ONCE(*sptep, 0);		/* MMIO, or nothing */
	} else if (spte_leaf(spte, sp->role.level)) {
		drop_leaf(kvm, leaf_slot(kvm, sp, sptep), sp, sptep);
	} else {
		mmu_page_unlink(sptep);
	}
}

/* Of a page that is about to be freed. The table that it referred to. */
static struct kvm_mmu_page *drop_for_good(struct kvm *kvm,
					  struct kvm_mmu_page *sp, u64 *sptep)
{
	const u64 spte = *sptep;

	if (!spte_present(spte))
		return NULL;
	mmu_drop_entry(kvm, sp, sptep);
	return spte_leaf(spte, sp->role.level) ? NULL : spte_child(spte);
}

/*
 * Free a page and the tables below that nothing else refers to. The tree is
 * at most five levels deep: walk it without recursion, children first in the
 * list order being of no importance as all are freed after one flush.
 */
void mmu_page_zap(struct kvm *kvm, struct kvm_mmu_page *top,
		  struct list_head *zapped)
{
	struct kvm_mmu_page *sp = top, *child;
	LIST_HEAD(doomed);
	int i;

	list_move(&sp->link, &doomed);
	while ((sp = list_first_entry_or_null(&doomed, struct kvm_mmu_page,
					      link))) {
		for (i = 0; sp->nr_present && i < PT_ENTRIES; i++) {
			if (sp->source && !(sp->groups & source_group(i))) {
				i |= SOURCE_GROUP - 1;
				continue;
			}
			child = drop_for_good(kvm, sp, &sp->spt[i]);
			if (child && !child->parents.val && !child->root_count)
				list_move_tail(&child->link, &doomed);
		}
		page_retire(kvm, sp, zapped);
	}
}

/* Flush, then free what mmu_page_zap() collected: the tables may be in use. */
void mmu_zap_commit(struct kvm *kvm, struct list_head *zapped)
{
	struct kvm_mmu_page *sp, *next;

	if (list_empty(zapped))
		return;
	kvm_mmu_flush(kvm);
	list_for_each_entry_safe(sp, next, zapped, link)
		page_free(sp);
	INIT_LIST_HEAD(zapped);
}

static unsigned long max_pages(const struct kvm *kvm)
{
	/* 2 % of guest memory; never so few that one fault cannot be served. */
	unsigned long pages = READ_ONCE(kvm->nr_slot_pages) / 50;

	if (kvm->mmu.user_max_pages)
		pages = kvm->mmu.user_max_pages;
	return max(pages, 64ul);
}

/*
 * Free the pages of a list that the caller has filled by list_move() from
 * kvm->mmu.pages. Freeing one may free others of the list, or be done by
 * somebody else while mmu_lock was let go of; both take them off the list.
 */
static void zap_list(struct kvm *kvm, struct list_head *pages, bool may_sleep)
{
	struct kvm_mmu_page *sp;
	LIST_HEAD(zapped);

	while ((sp = list_first_entry_or_null(pages, struct kvm_mmu_page,
					      link))) {
		mmu_page_zap(kvm, sp, &zapped);
		if (may_sleep && (need_resched() ||
				  spin_needbreak(&kvm->mmu_lock))) {
			mmu_zap_commit(kvm, &zapped);
			cond_resched_lock(&kvm->mmu_lock);
		}
	}
	mmu_zap_commit(kvm, &zapped);
}

/*
 * Free the oldest tables that are no roots. One that a fault has come by since
 * it was last looked at is as good as new: freeing it, where it is not of the
 * last level, frees all below. False: there was none.
 */
static bool zap_oldest(struct kvm *kvm, unsigned long nr)
{
	struct kvm_mmu_page *sp, *prev;
	LIST_HEAD(oldest);

	list_for_each_entry_safe_reverse(sp, prev, &kvm->mmu.pages, link) {
		if (sp->root_count ||
		    (sp->role.direct && sp->role.level > PT_LEVEL_2M))
			continue;
		if (sp->used) {
			sp->used = false;
			list_move(&sp->link, &kvm->mmu.pages);
			continue;
		}
		list_move(&sp->link, &oldest);
		if (!--nr)
			break;
	}
	if (list_empty(&oldest))
		return false;
	zap_list(kvm, &oldest, false);
	return true;
}

/* Tables freed at once: more than one fault needs, soon done with. */
#define RECLAIM_BATCH	16ul

/*
 * Make room for one fault. If the limit has fallen it takes more than one
 * call. False: none was freed.
 */
bool mmu_reclaim_pages(struct kvm *kvm)
{
	unsigned long limit = max_pages(kvm) - SHADOW_NR_PAGES;

	if (likely(kvm->mmu.nr_pages <= limit))
		return false;
	return zap_oldest(kvm, min(kvm->mmu.nr_pages - limit, RECLAIM_BATCH));
}

/* ---- shrinker ----------------------------------------------------------- */

/*
 * Tables can be made again, at the cost of faults: the host may have them
 * back when memory is short. A VM that has given some goes to the end of the
 * list.
 */
static struct shrinker *shrinker;

static unsigned long shrink_count(struct shrinker *s, struct shrink_control *sc)
{
	unsigned long pages = 0;
	struct kvm *kvm;

	if (!mutex_trylock(&kvm_list_lock))
		return 0;
	list_for_each_entry(kvm, &kvm_vm_list, list)
		pages += READ_ONCE(kvm->mmu.nr_pages);
	mutex_unlock(&kvm_list_lock);
	return pages;
}

static unsigned long shrink_vm(struct kvm *kvm, unsigned long nr)
{
	unsigned long before, freed;

	spin_lock(&kvm->mmu_lock);
	before = kvm->mmu.nr_pages;
	zap_oldest(kvm, min(nr, RECLAIM_BATCH));
	freed = before - kvm->mmu.nr_pages;
	spin_unlock(&kvm->mmu_lock);
	return freed;
}

static unsigned long shrink_scan(struct shrinker *s, struct shrink_control *sc)
{
	struct kvm *kvm, *next;
	unsigned long freed = 0;

	/* Whoever holds it may be waiting for memory. */
	if (!mutex_trylock(&kvm_list_lock))
		return SHRINK_STOP;
	list_for_each_entry_safe(kvm, next, &kvm_vm_list, list) {
		if (!READ_ONCE(kvm->mmu.nr_pages))
			continue;
		freed = shrink_vm(kvm, sc->nr_to_scan);
		list_move_tail(&kvm->list, &kvm_vm_list);
		break;
	}
	mutex_unlock(&kvm_list_lock);
	return freed;
}

/* ---- roots -------------------------------------------------------------- */

void mmu_root_put(struct kvm *kvm, struct kvm_mmu_page *root)
{
	if (--root->root_count || !root->role.invalid)
		return;
	page_free(root);
}

void kvm_mmu_unload(struct kvm_vcpu *vcpu)
{
	if (!vcpu->mmu.root)
		return;
	if (!kvm_caps.ept) {
		mmu_shadow_unload(vcpu);
		return;
	}
	spin_lock(&vcpu->kvm->mmu_lock);
	mmu_root_put(vcpu->kvm, vcpu->mmu.root);
	vcpu->mmu.root = NULL;
	spin_unlock(&vcpu->kvm->mmu_lock);
}

/* All of guest-physical memory: one root for every vCPU of the VM. */
static union kvm_page_role direct_role(const struct kvm_vcpu *vcpu, int level)
{
	return (union kvm_page_role) {
		.level = level,
		.direct = 1,
		.ept = kvm_caps.ept,
	};
}

static int direct_root_level(const struct kvm_vcpu *vcpu)
{
	return vcpu->maxphyaddr > 48 ? kvm_caps.ept_levels :
				       min(kvm_caps.ept_levels, PT_LEVEL_512G);
}

int kvm_mmu_load(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_mmu_page *root;
	int level, r;

	if (likely(vcpu->mmu.root))
		return 0;
	if (!kvm_caps.ept)
		return mmu_shadow_load(vcpu);
	r = mmu_caches_fill(vcpu);
	if (r)
		return r;
	level = direct_root_level(vcpu);
	spin_lock(&kvm->mmu_lock);
	mmu_reclaim_pages(kvm);
	root = page_get(vcpu, 0, direct_role(vcpu, level));
	root->root_count++;
	vcpu->mmu.root = root;
	spin_unlock(&kvm->mmu_lock);
	backend->set_root(vcpu, __pa(root->spt), level);
	return 0;
}

void kvm_mmu_vcpu_free(struct kvm_vcpu *vcpu)
{
	kvm_mmu_unload(vcpu);
	mmu_shadow_vcpu_free(vcpu);
	caches_free(vcpu);
}

/* ---- faults ------------------------------------------------------------- */

/*
 * An invalidation has touched, or is about to touch, what we looked up: all
 * of the host's page counts, as the entry may become as large.
 */
bool mmu_fault_stale(const struct kvm *kvm, const struct mmu_fault *fault)
{
	unsigned long size = BIT(PT_LEVEL_SHIFT(fault->page.level));
	hva_t first = fault->hva & -size;

	if (unlikely(kvm->mmu_invalidate_in_progress) &&
	    first + size > kvm->mmu_invalidate_start &&
	    first < kvm->mmu_invalidate_end)
		return true;
	return kvm->mmu_invalidate_seq != fault->seq || fault->slot->invalid;
}

/* May one entry of this level map gfn: inside the slot, aligned alike? */
static bool level_fits(const struct mmu_fault *fault, int level)
{
	const struct kvm_memory_slot *slot = fault->slot;
	gfn_t mask = KVM_PAGES_PER_LEVEL(level) - 1;
	gfn_t first = fault->gfn & ~mask;

	return first >= slot->base_gfn &&
	       first + mask < slot->base_gfn + slot->npages &&
	       !(((slot->hva >> PAGE_SHIFT) ^ slot->base_gfn) & mask);
}

/*
 * Processors with the "machine check error on page size change" erratum hang
 * when a guest executes from a page whose size changes under it: there, no
 * large page is executable (the host's itlb_multihit policy).
 */
static bool nx_large_pages __ro_after_init;

int mmu_fault_level(const struct mmu_fault *fault)
{
	int level = min(fault->page.level, fault->max_level);

	if (slot_logs_dirty(fault->slot) || (fault->exec && nx_large_pages))
		return PT_LEVEL_4K;
	while (level > PT_LEVEL_4K && !level_fits(fault, level))
		level--;
	return level;
}

/*
 * While writes are logged a page that the guest comes to read, and can write,
 * is taken for written: the write that often follows does not fault again, and
 * monitors rely on finding what they loaded and the guest ran in the log.
 */
static bool counts_as_written(const struct mmu_fault *fault)
{
	return !fault->prefetch && slot_logs_dirty(fault->slot);
}

u64 mmu_make_spte(const struct mmu_fault *fault, kvm_pfn_t pfn, u32 pta)
{
	u64 spte = spte_format.present | spte_format.accessed |
		   pfn << PAGE_SHIFT;

	if (fault->level > PT_LEVEL_4K) {
		spte |= SPTE_LARGE;
		if (nx_large_pages)
			pta &= ~(u32)PTA_EXEC;
	}
	if (pta & PTA_USER)
		spte |= spte_format.user;
	if (pta & PTA_EXEC)
		spte |= spte_format.exec;
	else
		spte |= spte_format.nx;
	spte |= fault->page.is_ram ? spte_format.memtype_ram : spte_format.memtype_io;
	if (!(pta & PTA_WRITE) || !fault->page.writable ||
	    slot_readonly(fault->slot))
		return spte;
	if (fault->write || counts_as_written(fault)) {
		spte |= spte_format.writable | spte_format.dirty;
		kvm_mark_page_dirty(fault->slot, fault->gfn);
	} else if (!slot_logs_dirty(fault->slot)) {
		spte |= spte_format.writable;
	}
	return spte;
}

void mmu_add_leaf(struct kvm_vcpu *vcpu, struct kvm_memory_slot *slot,
		  gfn_t gfn, u64 *sptep, u64 spte)
{
	struct kvm_mmu_page *sp = sptep_page(sptep);
	const int level = sp->role.level;

	rmap_add(vcpu, slot_rmap_create(vcpu, slot, gfn, level), sptep);
	sp->nr_present++;
	count_leaf(vcpu->kvm, level, 1);
	WRITE_ONCE(*sptep, spte);
}

/*
 * The entry of the fault's level on the way to gfn, making tables as needed.
 * A larger page in the way is split by forgetting it: what else it mapped
 * faults again.
 */
static u64 *fault_walk(struct kvm_vcpu *vcpu, struct mmu_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_mmu_page *sp = vcpu->mmu.root;
	u64 *sptep;
	int level;

	for (level = sp->role.level; ; level--) {
		gfn_t mask = KVM_PAGES_PER_LEVEL(level) - 1;
		u64 spte;

		sptep = &sp->spt[gfn_index(fault->gfn, level)];
		if (level == fault->level)
			return sptep;
		spte = *sptep;
		if (likely(spte_present(spte) && !spte_leaf(spte, level))) {
			sp = spte_child(spte);
			continue;
		}
		if (spte_present(spte)) {
			drop_leaf(kvm, leaf_slot(kvm, sp, sptep), sp, sptep);
			kvm_mmu_flush(kvm);
		}
		sp = page_get(vcpu, fault->gfn & ~mask,
			      direct_role(vcpu, level - 1));
		mmu_page_link(vcpu, sptep, sp, spte_format.table);
	}
}

/* A table where a large page shall go: true once it is out of the way. */
static bool clear_for_large(struct kvm *kvm, u64 *sptep)
{
	LIST_HEAD(zapped);

	if (spte_child(*sptep)->nr_present)
		return false;
	mmu_page_zap(kvm, spte_child(*sptep), &zapped);
	mmu_zap_commit(kvm, &zapped);
	return true;
}

static void fault_map(struct kvm_vcpu *vcpu, struct mmu_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_mmu_page *sp;
	u64 *sptep, old, spte;
	kvm_pfn_t pfn;

	mmu_reclaim_pages(kvm);
	fault->level = mmu_fault_level(fault);
	sptep = fault_walk(vcpu, fault);
	old = *sptep;
	if (fault->level > PT_LEVEL_4K && spte_present(old) &&
	    !spte_leaf(old, fault->level) && !clear_for_large(kvm, sptep)) {
		fault->level = PT_LEVEL_4K;
		sptep = fault_walk(vcpu, fault);
	}

	pfn = fault->page.pfn & ~(KVM_PAGES_PER_LEVEL(fault->level) - 1);
	spte = mmu_make_spte(fault, pfn, PTA_ALL);
	sp = sptep_page(sptep);
	old = *sptep;
	if (spte_present(old)) {
		/* Another vCPU was faster, or a permission grows. */
		if (spte_pfn(old) == pfn && !(spte & ~old & ~spte_format.dirty))
			return;
		drop_leaf(kvm, fault->slot, sp, sptep);
		kvm_mmu_flush(kvm);
	}
	mmu_add_leaf(vcpu, fault->slot, fault->gfn, sptep, spte);
}

static int mmio_fault(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	struct mmu_fault fault = { .gfn = gfn, .level = PT_LEVEL_4K };
	struct kvm *kvm = vcpu->kvm;
	u64 gen, *sptep;
	int r;

	if (gfn & (vcpu->reserved_gpa_bits >> PAGE_SHIFT))
		return KVM_PF_EMULATE;
	r = mmu_caches_fill(vcpu);
	if (r)
		return r;
	/* A slot published after this moves the generation on. */
	gen = READ_ONCE(kvm->mmu.mmio_gen);
	smp_rmb();
	if (mtree_load(&kvm->slots, gfn))
		return 1;
	spin_lock(&kvm->mmu_lock);
	if (gen == kvm->mmu.mmio_gen && !vcpu->mmu.root->role.invalid) {
		mmu_reclaim_pages(kvm);
		sptep = fault_walk(vcpu, &fault);
		if (!spte_present(*sptep))
			WRITE_ONCE(*sptep, mmu_mmio_spte(kvm));
	}
	spin_unlock(&kvm->mmu_lock);
	return KVM_PF_EMULATE;
}

/*
 * Can the tables map gfn? The processor may form wider addresses than the
 * guest's model has, and there may be a slot for them: vCPUs of other models
 * can have deeper tables.
 */
static bool gfn_in_reach(const struct kvm_vcpu *vcpu, gfn_t gfn)
{
	return !(gfn >> 9 * vcpu->mmu.root->role.level);
}

/* A host mapping that cannot be had: what becomes of KVM_RUN. */
static int host_page_error(struct kvm_vcpu *vcpu, const struct mmu_fault *fault,
			   int error)
{
	switch (error) {
	case -EAGAIN:
		return 1;
	case -EHWPOISON:
		send_sig_mceerr(BUS_MCEERR_AR, (void __user *)fault->hva,
				PAGE_SHIFT, current);
		return 1;
	default:
		return error;
	}
}

static int resolve_apic_page(const struct kvm *kvm, struct mmu_fault *fault)
{
	fault->hva = 0;
	fault->seq = READ_ONCE(kvm->mmu_invalidate_seq);
	fault->page = (struct kvm_host_page) {
		.pfn = kvm->apic_pfn,
		.level = PT_LEVEL_4K,
		.writable = true,
		.is_ram = true,
	};
	return MMU_FAULT_FOUND;
}

/* The guest may have something else to do until the page is there. */
static int host_page(struct kvm_vcpu *vcpu, struct mmu_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	int r;

	if (vcpu->pv.apf_on) {
		r = kvm_host_page_nowait(kvm, fault->hva, fault->write,
					 &fault->page);
		if (r != -EINPROGRESS)
			return r;
		if (kvm_apf_begin(vcpu, fault->hva, fault->write))
			return -EAGAIN;
	}
	return kvm_host_page(kvm, fault->hva, fault->write, &fault->page);
}

int mmu_fault_resolve(struct kvm_vcpu *vcpu, struct mmu_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	int r;

	if (unlikely(READ_ONCE(fault->slot->invalid)))
		return 1;
	if (fault->write && slot_readonly(fault->slot))
		return KVM_PF_EMULATE;
	r = mmu_caches_fill(vcpu);
	if (r)
		return r;
	if (unlikely(fault->slot == kvm->apic_slot))
		return resolve_apic_page(kvm, fault);

	fault->hva = slot_gfn_to_hva(fault->slot, fault->gfn);
	fault->seq = READ_ONCE(kvm->mmu_invalidate_seq);
	smp_rmb();
	r = host_page(vcpu, fault);
	if (r)
		return host_page_error(vcpu, fault, r);
	if (fault->write && !fault->page.writable)
		return KVM_PF_EMULATE;
	return MMU_FAULT_FOUND;
}

static int direct_page_fault(struct kvm_vcpu *vcpu, gpa_t gpa, u32 error_code)
{
	struct kvm *kvm = vcpu->kvm;
	struct mmu_fault fault = {
		.gfn = gpa >> PAGE_SHIFT,
		.write = error_code & PFERR_WRITE,
		.exec = error_code & PFERR_FETCH,
		.max_level = spte_format.max_level,
	};
	int r;

	if (unlikely(!gfn_in_reach(vcpu, fault.gfn)))
		return KVM_PF_EMULATE;
	fault.slot = kvm_vcpu_gfn_to_slot(vcpu, fault.gfn);
	if (!fault.slot)
		fault.slot = mmu_apic_slot(kvm, fault.gfn);
	if (!fault.slot)
		return mmio_fault(vcpu, fault.gfn);
	r = mmu_fault_resolve(vcpu, &fault);
	if (r != MMU_FAULT_FOUND)
		return r;

	spin_lock(&kvm->mmu_lock);
	if (likely(!mmu_fault_stale(kvm, &fault) &&
		   !vcpu->mmu.root->role.invalid))
		fault_map(vcpu, &fault);
	spin_unlock(&kvm->mmu_lock);
	vcpu->stat.pf_fixed++;
	return 1;
}

int kvm_mmu_page_fault(struct kvm_vcpu *vcpu, u64 addr, u32 error_code)
{
	vcpu->stat.pf_taken++;
	trace_kvm_page_fault(vcpu, addr, error_code);
	if (!kvm_caps.ept)
		return mmu_shadow_page_fault(vcpu, addr, error_code);
	return direct_page_fault(vcpu, addr, error_code);
}

bool kvm_mmu_is_mmio(struct kvm_vcpu *vcpu, gpa_t gpa)
{
	u64 gen = READ_ONCE(vcpu->kvm->mmu.mmio_gen);
	struct kvm_mmu_page *sp = vcpu->mmu.root;
	gfn_t gfn = gpa >> PAGE_SHIFT;
	bool mmio = false;
	int level;
	u64 spte;

	if (likely(vcpu->mmu.mmio_gfn == gfn && vcpu->mmu.mmio_gen == gen))
		return true;
	/*
	 * Tables of an invalid root may be freed under us, but not while
	 * mmu_lock is held; an uncontended lock costs little.
	 */
	spin_lock(&vcpu->kvm->mmu_lock);
	for (level = sp->role.level; level; level--) {
		spte = READ_ONCE(sp->spt[gfn_index(gfn, level)]);
		if (!spte_present(spte) || spte_leaf(spte, level)) {
			mmio = spte == mmu_mmio_spte(vcpu->kvm);
			break;
		}
		sp = spte_child(spte);
	}
	spin_unlock(&vcpu->kvm->mmu_lock);
	if (mmio) {
		vcpu->mmu.mmio_gfn = gfn;
		vcpu->mmu.mmio_gen = gen;
	}
	return mmio;
}

/* ---- the page of the local APICs ---------------------------------------- */

/*
 * Where the processor virtualises accesses to local APICs, a page must be
 * mapped at their address, which it recognises. The page is no memory of the
 * guest: everything else finds nothing there. It has a slot that is not among
 * the slots, so that its entries have a reverse map like all others. Memory at
 * that address goes first.
 */

int kvm_mmu_apic_page_create(struct kvm *kvm, struct page *page)
{
	struct kvm_memory_slot *slot;

	if (mtree_load(&kvm->slots, KVM_APIC_GFN))
		return 0;
	slot = kzalloc(sizeof(*slot), GFP_KERNEL_ACCOUNT);
	if (!slot)
		return -ENOMEM;
	slot->base_gfn = KVM_APIC_GFN;
	slot->npages = 1;
	if (kvm_mmu_slot_create(kvm, slot)) {
		kfree(slot);
		return -ENOMEM;
	}
	kvm->apic_pfn = page_to_pfn(page);
	smp_store_release(&kvm->apic_slot, slot);
	return 0;
}

static void apic_page_free(struct kvm *kvm)
{
	if (!kvm->apic_slot)
		return;
	kvm_mmu_slot_free(kvm->apic_slot);
	kfree(kvm->apic_slot);
}

void kvm_mmu_apic_page_inhibit(struct kvm *kvm, bool inhibit)
{
	struct kvm_memory_slot *slot = kvm->apic_slot;

	if (!slot)
		return;
	spin_lock(&kvm->mmu_lock);
	kvm->apic_inhibits += inhibit ? 1 : -1;
	WRITE_ONCE(slot->invalid, kvm->apic_inhibits);
	spin_unlock(&kvm->mmu_lock);
	if (inhibit)
		kvm_mmu_slot_zap(kvm, slot);
	else
		kvm_mmu_zap_mmio(kvm);
}

struct kvm_memory_slot *mmu_apic_slot(const struct kvm *kvm, gfn_t gfn)
{
	struct kvm_memory_slot *slot = smp_load_acquire(&kvm->apic_slot);

	return slot && gfn == KVM_APIC_GFN && !READ_ONCE(slot->invalid) ?
	       slot : NULL;
}

/* ---- guest paging state ------------------------------------------------- */

void kvm_mmu_reset(struct kvm_vcpu *vcpu)
{
	if (!vcpu->mmu.root)
		return;
	/* Which shadow of the guest's tables is right depends on all of it. */
	if (kvm_caps.ept &&
	    vcpu->mmu.root->role.level == direct_root_level(vcpu))
		return;
	kvm_mmu_unload(vcpu);
	kvm_make_request(vcpu, KVM_REQ_TLB_FLUSH);
}

void kvm_mmu_new_cr3(struct kvm_vcpu *vcpu, bool flush)
{
	if (!kvm_caps.ept)
		kvm_mmu_unload(vcpu);
	/* The processor walks the guest's tables: nothing of ours changes. */
	else if (flush)
		kvm_make_request(vcpu, KVM_REQ_TLB_FLUSH);
}

void kvm_mmu_invlpg(struct kvm_vcpu *vcpu, u64 gva)
{
	if (kvm_caps.ept)
		kvm_make_request(vcpu, KVM_REQ_TLB_FLUSH_GUEST);
	else
		mmu_shadow_invlpg(vcpu, gva);
}

void kvm_mmu_flush_guest(struct kvm_vcpu *vcpu)
{
	/* Loading the root brings all that shadows tables in sync. */
	if (!kvm_caps.ept)
		kvm_mmu_unload(vcpu);
	kvm_make_request(vcpu, KVM_REQ_TLB_FLUSH_GUEST);
}

/* ---- memory slots ------------------------------------------------------- */

int kvm_mmu_slot_create(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	gfn_t last = slot->base_gfn + slot->npages - 1;

	/* Once and for all: monitors do not put memory there. */
	if (unlikely(slot_has_gfn(slot, KVM_APIC_GFN)))
		kvm_mmu_apic_page_inhibit(kvm, true);
	slot->mmu.region = kvcalloc(slot_index(slot, last, PT_LEVEL_2M) + 1,
				    sizeof(*slot->mmu.region),
				    GFP_KERNEL_ACCOUNT);
	slot->mmu.giant = kvcalloc(slot_index(slot, last, PT_LEVEL_1G) + 1,
				   sizeof(*slot->mmu.giant),
				   GFP_KERNEL_ACCOUNT);
	if (slot->mmu.region && slot->mmu.giant)
		return 0;
	kvm_mmu_slot_free(slot);
	return -ENOMEM;
}

void kvm_mmu_slot_free(struct kvm_memory_slot *slot)
{
	gfn_t last = slot->base_gfn + slot->npages - 1;
	unsigned long i;

	if (slot->mmu.region)
		for (i = 0; i <= slot_index(slot, last, PT_LEVEL_2M); i++)
			free_page((unsigned long)slot->mmu.region[i].small);
	kvfree(slot->mmu.region);
	kvfree(slot->mmu.giant);
}

/*
 * Call one of the two for each reverse map of a level that maps part of
 * [start, end); `drop` empties the list, `fn` leaves it alone.
 */
static bool slot_for_each_rmap(struct kvm *kvm, struct kvm_memory_slot *slot,
			       gfn_t start, gfn_t end, int level, mmu_rmap_fn fn)
{
	gfn_t step = KVM_PAGES_PER_LEVEL(level), gfn;
	struct kvm_rmap *rmap;
	bool ret = false;

	for (gfn = start & ~(step - 1); gfn < end; gfn += step) {
		rmap = mmu_slot_rmap(slot, max(gfn, slot->base_gfn), level);
		if (!rmap) {
			/* Nothing in these 2M. */
			gfn = (gfn | (PT_ENTRIES - 1)) & ~(step - 1);
			continue;
		}
		if (!rmap->val)
			continue;
		ret |= fn ? mmu_rmap_for_each(kvm, rmap, fn) :
			    mmu_rmap_drop_all(kvm, slot, rmap);
	}
	return ret;
}

static bool slot_for_each_level(struct kvm *kvm, struct kvm_memory_slot *slot,
				gfn_t start, gfn_t end, mmu_rmap_fn fn)
{
	bool ret = false;
	int level;

	for (level = PT_LEVEL_4K; level <= KVM_NR_PAGE_LEVELS; level++)
		ret |= slot_for_each_rmap(kvm, slot, start, end, level, fn);
	return ret;
}

static gfn_t slot_end(const struct kvm_memory_slot *slot)
{
	return slot->base_gfn + slot->npages;
}

/* Does a page map nothing but frames of the slot, or shadow one of them? */
static bool page_in_slot(const struct kvm_mmu_page *sp,
			 const struct kvm_memory_slot *slot)
{
	gfn_t pages = PT_ENTRIES * KVM_PAGES_PER_LEVEL(sp->role.level);

	if (!sp->role.direct)
		return slot_has_gfn(slot, sp->gfn);
	return !sp->root_count && sp->gfn >= slot->base_gfn &&
	       sp->gfn + pages <= slot_end(slot);
}

/* Tables that served only this slot; what is left goes by reverse map. */
static void zap_slot_tables(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	struct kvm_mmu_page *sp, *next;
	LIST_HEAD(tables);

	list_for_each_entry_safe(sp, next, &kvm->mmu.pages, link)
		if (page_in_slot(sp, slot))
			list_move(&sp->link, &tables);
	zap_list(kvm, &tables, true);
}

/* So much of a slot is dealt with before others may have mmu_lock. */
#define SLOT_STEP	KVM_PAGES_PER_LEVEL(PT_LEVEL_1G)

/* fn, as of slot_for_each_rmap(), for the whole slot, and flush. May sleep. */
static void slot_for_all(struct kvm *kvm, struct kvm_memory_slot *slot,
			 mmu_rmap_fn fn)
{
	gfn_t gfn, end = slot_end(slot);

	for (gfn = slot->base_gfn; gfn < end; gfn += SLOT_STEP) {
		if (slot_for_each_level(kvm, slot, gfn,
					min(gfn + SLOT_STEP, end), fn) ||
		    kvm->mmu.stale)
			kvm_mmu_flush(kvm);
		cond_resched_lock(&kvm->mmu_lock);
	}
}

void kvm_mmu_slot_zap(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	spin_lock(&kvm->mmu_lock);
	kvm->mmu.last_slot = NULL;
	zap_slot_tables(kvm, slot);
	slot_for_all(kvm, slot, NULL);
	spin_unlock(&kvm->mmu_lock);
}

void kvm_mmu_zap_mmio(struct kvm *kvm)
{
	/* Once round, old entries would come to life again. */
	spin_lock(&kvm->mmu_lock);
	kvm->mmu.mmio_gen++;
	spin_unlock(&kvm->mmu_lock);
	if (!(kvm->mmu.mmio_gen & spte_format.mmio_gen_mask))
		kvm_mmu_zap_all(kvm);
}

void kvm_mmu_slot_make_clean(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	spin_lock(&kvm->mmu_lock);
	slot_for_all(kvm, slot, spte_make_clean);
	spin_unlock(&kvm->mmu_lock);
}

bool kvm_mmu_clean_pages(struct kvm *kvm, struct kvm_memory_slot *slot,
			 unsigned long offset, unsigned long mask)
{
	bool flush = mask && kvm->mmu.stale;
	struct kvm_rmap *rmap;

	lockdep_assert_held(&kvm->mmu_lock);
	for (; mask; mask &= mask - 1) {
		gfn_t gfn = slot->base_gfn + offset + __ffs(mask);

		/* While logging is on, only 4K entries are writable. */
		rmap = mmu_slot_rmap(slot, gfn, PT_LEVEL_4K);
		if (rmap)
			flush |= mmu_rmap_for_each(kvm, rmap, spte_make_clean);
	}
	return flush;
}

void kvm_mmu_slot_collapse(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	/* Only what is backed by large pages gains; the rest faults once. */
	spin_lock(&kvm->mmu_lock);
	zap_slot_tables(kvm, slot);
	spin_unlock(&kvm->mmu_lock);
}

/* ---- mmu notifiers ------------------------------------------------------ */

bool kvm_mmu_unmap_range(struct kvm *kvm, struct kvm_memory_slot *slot,
			 gfn_t start, gfn_t end)
{
	lockdep_assert_held(&kvm->mmu_lock);
	if (!slot_for_each_level(kvm, slot, start, end, NULL))
		return kvm->mmu.stale;
	kvm->stat.mmu_unmapped++;
	return true;
}

static bool spte_test_young(struct kvm *kvm, u64 *sptep)
{
	return !spte_format.accessed || (READ_ONCE(*sptep) & spte_format.accessed);
}

/* The translation may stay in a TLB: that the page seems idle is harmless. */
static bool spte_clear_young(struct kvm *kvm, u64 *sptep)
{
	return test_and_clear_bit(__ffs64(spte_format.accessed),
				  (unsigned long *)sptep);
}

bool kvm_mmu_age_range(struct kvm *kvm, struct kvm_memory_slot *slot,
		       gfn_t start, gfn_t end, bool clear)
{
	lockdep_assert_held(&kvm->mmu_lock);
	if (!clear)
		return slot_for_each_level(kvm, slot, start, end,
					   spte_test_young);
	if (spte_format.accessed)
		return slot_for_each_level(kvm, slot, start, end,
					   spte_clear_young);
	/* No accessed bits: only a new fault tells that a page is in use. */
	if (!kvm_mmu_unmap_range(kvm, slot, start, end))
		return false;
	kvm_mmu_flush(kvm);
	return true;
}

void kvm_mmu_zap_all(struct kvm *kvm)
{
	LIST_HEAD(pages);

	spin_lock(&kvm->mmu_lock);
	list_splice_init(&kvm->mmu.pages, &pages);
	zap_list(kvm, &pages, true);
	spin_unlock(&kvm->mmu_lock);
}

/* ---- VM and module ------------------------------------------------------ */

int kvm_mmu_set_nr_pages(struct kvm *kvm, unsigned long nr)
{
	if (nr < 64)
		return -EINVAL;
	spin_lock(&kvm->mmu_lock);
	kvm->mmu.user_max_pages = nr;
	while (mmu_reclaim_pages(kvm))
		cond_resched_lock(&kvm->mmu_lock);
	spin_unlock(&kvm->mmu_lock);
	return 0;
}

unsigned long kvm_mmu_get_nr_pages(struct kvm *kvm)
{
	return max_pages(kvm);
}

void kvm_mmu_vm_init(struct kvm *kvm)
{
	hash_init(kvm->mmu.hash);
	kvm->mmu.mmio_gen = 1;		/* vCPUs begin with 0: nothing seen */
	INIT_LIST_HEAD(&kvm->mmu.pages);
	INIT_LIST_HEAD(&kvm->mmu.unsync);
}

void kvm_mmu_vm_destroy(struct kvm *kvm)
{
	kvm_mmu_zap_all(kvm);
	WARN_ON_ONCE(kvm->mmu.nr_pages);
	apic_page_free(kvm);
}

static void __init use_ept_format(void)
{
	spte_format = (struct spte_format) {
		.present = EPTE_READ,
		.writable = EPTE_WRITE,
		.exec = EPTE_EXEC,
		.accessed = kvm_caps.ept_ad ? EPTE_ACCESSED : 0,
		.dirty = kvm_caps.ept_ad ? EPTE_DIRTY : 0,
		.memtype_ram = (u64)MEMTYPE_WB << EPTE_MEMTYPE_SHIFT |
			        EPTE_IGNORE_PAT,
		.memtype_io = (u64)MEMTYPE_UC << EPTE_MEMTYPE_SHIFT,
		.table = EPTE_RWX,
		/*
		 * Write permission without read is a misconfiguration, which
		 * costs less than a violation and is never cached.
		 */
		.mmio_mask = EPTE_RWX,
		.mmio_value = EPTE_WRITE | EPTE_EXEC,
		.mmio_gen_mask = GENMASK_ULL(31, 0),
		.mmio_gen_shift = 12,
		.max_level = kvm_caps.ept_1g ? PT_LEVEL_1G :
			     kvm_caps.ept_2m ? PT_LEVEL_2M : PT_LEVEL_4K,
	};
}

/*
 * The processor's PAT is the host's. Execution can be forbidden where the
 * host itself does.
 */
static void __init use_paging_format(void)
{
	const u64 address = GENMASK_ULL(51, 12);

	spte_format = (struct spte_format) {
		.present = PTE_PRESENT,
		.writable = PTE_WRITE,
		.nx = boot_cpu_has(X86_FEATURE_NX) ? PTE_NX : 0,
		.user = PTE_USER,
		.accessed = PTE_ACCESSED,
		.dirty = PTE_DIRTY,
		.memtype_io = _PAGE_PCD | _PAGE_PWT,
		.table = PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED,
		.mmio_value = PTE_PRESENT,
		.max_level = PT_LEVEL_2M,
	};
	/*
	 * A reserved address bit tells in the error code that it is one of
	 * these. All other address bits are set as well: speculation must not
	 * reach memory through it ("L1 Terminal Fault").
	 */
	if ((cpuid_eax(0x80000008) & 0xff) < 52) {
		spte_format.mmio_mask = PTE_PRESENT | address;
		spte_format.mmio_value = PTE_PRESENT | address;
		spte_format.mmio_gen_mask = GENMASK_ULL(10, 0);
		spte_format.mmio_gen_shift = 52;
	}
}

int __init kvm_mmu_module_init(void)
{
	if (kvm_caps.ept)
		use_ept_format();
	else
		use_paging_format();
	nx_large_pages = boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) &&
			 !cpu_mitigations_off();
	itlb_multihit_kvm_mitigation = nx_large_pages;	/* for sysfs */
	page_header_cache = KMEM_CACHE(kvm_mmu_page, SLAB_ACCOUNT);
	rmap_desc_cache = KMEM_CACHE(kvm_rmap_desc, SLAB_ACCOUNT);
	shrinker = compat_shrinker_register("kvm-mmu", shrink_count,
					    shrink_scan);
	if (page_header_cache && rmap_desc_cache && shrinker)
		return 0;
	kvm_mmu_module_exit();
	return -ENOMEM;
}

void kvm_mmu_module_exit(void)
{
	itlb_multihit_kvm_mitigation = false;
	if (shrinker)
		compat_shrinker_free(shrinker);
	kmem_cache_destroy(rmap_desc_cache);
	kmem_cache_destroy(page_header_cache);
}
