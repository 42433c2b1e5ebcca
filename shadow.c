// SPDX-License-Identifier: GPL-2.0-only
/*
 * shadow.c - page tables for processors without EPT: what the processor walks
 * are tables of ours, made from the guest's one entry at a time, as its
 * accesses fault.
 *
 * A page of entries shadows one guest table (the whole of it, or the part
 * that a table of 512 entries has room for) as seen through a path that gives
 * certain rights, which are in its role. Where guest paging is off, or one
 * entry of the guest maps more than one of ours can, pages are direct: they
 * map frames one to one.
 *
 * What keeps the two in step: the frame of a shadowed table is mapped
 * read-only. A write to it is emulated, and drops the entries made from what
 * was written (kvm_mmu_guest_write()). A table of the last level may instead
 * go out of sync: the guest writes to it freely, as a processor may go on
 * using old entries from its TLB, until it flushes; then all that differ are
 * dropped (sync_all()). An entry also holds no more than the guest's accessed
 * and dirty bits allow: a page is writable once its dirty bit is set, so that
 * the first write is seen and sets it.
 *
 * All else is as for EPT: reverse maps, host pages, MMIO, reclaim (mmu.c).
 * With PAE paging or none the root is a page per vCPU of four entries, which
 * the processor loads at each VM entry.
 *
 * SDM: "Paging", "Caching Translation Information".
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "include/compat.h"
#include "mmu_tables.h"
#include "vmx.h"

/* Call with the next entry of the hash's chain at hand: sp may go away. */
#define for_each_shadow(kvm, sp, frame)					\
	hash_for_each_possible((kvm)->mmu.hash, (sp), hash_link, (frame)) \
		if ((sp)->gfn == (frame) && !(sp)->role.direct)

/* ---- the guest's entries ------------------------------------------------ */

/* A 32-bit table has twice the entries, of which a PDE maps twice as much. */
static __always_inline unsigned int gpte_index(const struct kvm_mmu_page *sp, unsigned int i)
{
	if (sp->role.guest_levels != 2)
		return i;
	if (sp->role.level == PT_LEVEL_4K)
		return sp->role.quadrant * PT_ENTRIES + i;
	return (sp->role.quadrant * PT_ENTRIES + i) / 2;
}

/* The first entry made from one of the guest's; the page may lack it. */
static int entry_of(const struct kvm_mmu_page *sp, unsigned int index)
{
	const int begin = sp->role.quadrant * PT_ENTRIES;

	if (sp->role.guest_levels != 2)
		return index;
	return (sp->role.level == PT_LEVEL_4K ? index : 2 * index) - begin;
}

static unsigned int gpte_size(const struct kvm_mmu_page *sp)
{
	return sp->role.guest_levels == 2 ? sizeof(u32) : sizeof(u64);
}

static __always_inline bool gpte_large(const struct kvm_mmu_page *sp, u64 gpte)
{
	return sp->role.level > PT_LEVEL_4K && (gpte & PTE_PAGE_SIZE) &&
	       (sp->role.guest_levels != 2 || sp->role.pse);
}

#define SOURCE_RIGHTS	(PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED | \
			 PTE_DIRTY | PTE_NX)
#define SOURCE_BITS	(SOURCE_RIGHTS | SPTE_ADDR)	/* of the last level */

/*
 * What of a guest's entry matters to ours: the bits that give rights, and the
 * frame that entry i maps or the table it refers to.
 */
static __always_inline u64 gpte_source(const struct kvm_mmu_page *sp,
				       unsigned int i, u64 gpte)
{
	u64 source = gpte & SOURCE_RIGHTS;

	if (!gpte_large(sp, gpte))
		return source | (gpte & SPTE_ADDR);
	source |= PTE_PAGE_SIZE;
	if (sp->role.guest_levels != 2)
		return source | (gpte & SPTE_ADDR &
				 GENMASK_ULL(63, PT_LEVEL_SHIFT(sp->role.level)));
	return source | (gpte & GENMASK_ULL(31, 22)) |
	       (gpte >> 13 & 0xff) << 32 | (u64)(i & 1) << 21;
}

static __always_inline void set_source(struct kvm_mmu_page *sp, unsigned int i,
				       u64 gpte)
{
	sp->source[i] = gpte_source(sp, i, gpte);
	sp->groups |= source_group(i);
}

/* Of an entry of the last level it is but a part of the bits. */
static __always_inline bool gpte_differs(const struct kvm_mmu_page *sp,
					 unsigned int i, u64 gpte)
{
	if (likely(sp->role.level == PT_LEVEL_4K))
		return (gpte ^ sp->source[i]) & SOURCE_BITS;
	return gpte_source(sp, i, gpte) != sp->source[i];
}

/* The rights of one entry. A 32-bit one has no bit to forbid execution. */
static u32 gpte_rights(u64 gpte)
{
	return (gpte & (PTA_WRITE | PTA_USER)) |
	       (gpte & PTE_NX ? 0 : PTA_EXEC);
}

/*
 * Read the guest's memory under mmu_lock, between user_access_begin() and
 * _end() and with page faults disabled. False: it is not at hand.
 */
static __always_inline bool read_gpte(const void __user *table,
				      unsigned int index, unsigned int size,
				      u64 *gpte)
{
	u32 gpte32;

	if (size == sizeof(u64)) {
		unsafe_get_user(*gpte, (const u64 __user *)table + index,
				fault);
		return true;
	}
	unsafe_get_user(gpte32, (const u32 __user *)table + index, fault);
	*gpte = gpte32;
	return true;
fault:
	return false;
}

static __always_inline bool read_begin(const void __user *table)
{
	if (!table)
		return false;
	pagefault_disable();
	if (user_access_begin(table, PAGE_SIZE))
		return true;
	pagefault_enable();
	return false;
}

static __always_inline void read_end(void)
{
	user_access_end();
	pagefault_enable();
}

/* NULL: the page is of a root that has no memory. */
static const void __user *table_hva(const struct kvm_mmu_page *sp)
{
	return sp->slot ? (const void __user *)slot_gfn_to_hva(sp->slot, sp->gfn) :
			  NULL;
}

/* One entry of the table that a page shadows. False: it is not at hand. */
static bool read_one_gpte(const struct kvm_mmu_page *sp, unsigned int index,
			  u64 *gpte)
{
	const void __user *table = table_hva(sp);
	bool found;

	if (!read_begin(table))
		return false;
	found = read_gpte(table, index, gpte_size(sp), gpte);
	read_end();
	return found;
}

/*
 * Does the entry at a page's level of the walk still say what it said then?
 * Only other vCPUs can have changed it since, and one that is being created
 * has been counted before it runs.
 */
static bool gpte_holds(const struct kvm_mmu_page *sp,
		       const struct guest_walk *walk)
{
	const int level = sp->role.level;
	u64 gpte;

	return read_one_gpte(sp, offset_in_page(walk->pte_gpa[level - 1]) /
				 gpte_size(sp), &gpte) &&
	       gpte == walk->pte[level - 1];
}

/* Has the guest changed what entry i was made from? */
static bool entry_changed(const struct kvm_mmu_page *sp, unsigned int i)
{
	u64 gpte;

	return !read_one_gpte(sp, gpte_index(sp, i), &gpte) ||
	       gpte_differs(sp, i, gpte);
}

/* ---- dropping entries --------------------------------------------------- */

/* No other vCPU can have cached anything. */
static bool alone(const struct kvm *kvm)
{
	return READ_ONCE(kvm->nr_vcpus) == 1;
}

/*
 * The guest has changed what an entry was made from, and flushes before it
 * relies on that. What becomes of a page that TLBs may still reach is noted:
 * whoever takes it away flushes. Tables are flushed at once: a guest may do
 * that by INVLPG of any address, which INVVPID does not do.
 */
static void drop_entry(struct kvm *kvm, struct kvm_mmu_page *sp, u64 *sptep)
{
	const u64 old = *sptep;

	mmu_drop_entry(kvm, sp, sptep);
	if (!spte_present(old))
		return;
	if (spte_leaf(old, sp->role.level))
		kvm->mmu.stale = true;
	else
		kvm_mmu_flush(kvm);
}

/* ---- write protection --------------------------------------------------- */

static bool spte_protect(struct kvm *kvm, u64 *sptep)
{
	if (!(READ_ONCE(*sptep) & spte_format.writable))
		return false;
	/* Atomic: the processor may be setting its own bits. */
	atomic64_andnot(spte_format.writable, (atomic64_t *)sptep);
	return true;
}

/* See that every write to a frame faults; no large page maps it. */
static void protect_frame(struct kvm *kvm, struct kvm_memory_slot *slot,
			  gfn_t gfn)
{
	struct kvm_rmap *rmap = mmu_slot_rmap(slot, gfn, PT_LEVEL_4K);
	bool flush = kvm->mmu.stale;

	flush |= mmu_rmap_drop_all(kvm, slot,
				   mmu_slot_rmap(slot, gfn, PT_LEVEL_2M));
	if (rmap)
		flush |= mmu_rmap_for_each(kvm, rmap, spte_protect);
	if (flush)
		kvm_mmu_flush(kvm);
}

/* Does some page shadow the frame that must learn of each write? */
static bool frame_protected(struct kvm *kvm, struct kvm_memory_slot *slot,
			    gfn_t gfn)
{
	struct kvm_mmu_page *sp;

	if (likely(!mmu_slot_region(slot, gfn)->nr_shadowed))
		return false;
	for_each_shadow(kvm, sp, gfn)
		if (!sp->unsync)
			return true;
	return false;
}

/* ---- out of sync, and back ---------------------------------------------- */

static void set_unsync(struct kvm *kvm, struct kvm_mmu_page *sp)
{
	sp->unsync = true;
	sp->dirty = true;
	sp->idle = 0;
	kvm->mmu.nr_unsync++;
	list_add(&sp->unsync_link, &kvm->mmu.unsync);
}

static void clear_unsync(struct kvm *kvm, struct kvm_mmu_page *sp)
{
	sp->unsync = false;
	kvm->mmu.nr_unsync--;
	list_del(&sp->unsync_link);
}

/*
 * Let the guest write to a frame, if it is known as a table of the last level
 * and as nothing else.
 */
static bool frame_unsync(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_mmu_page *sp;

	for_each_shadow(kvm, sp, gfn)
		if (sp->role.level != PT_LEVEL_4K)
			return false;
	for_each_shadow(kvm, sp, gfn)
		if (!sp->unsync)
			set_unsync(kvm, sp);
	return true;
}

static bool frame_is_unsync(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_mmu_page *sp;

	for_each_shadow(kvm, sp, gfn)
		if (sp->unsync)
			return true;
	return false;
}

/*
 * Most groups are as they were. Quickly, of a table of 64-bit entries of the
 * last level: does any of a group differ?
 */
static __always_inline bool group_differs(const void __user *table,
					  const struct kvm_mmu_page *sp,
					  unsigned int first)
{
	const u64 __user *gptes = (const u64 __user *)table + first;
	const u64 *source = sp->source + first;
	u64 gpte, differ = 0;
	unsigned int i;

#pragma GCC unroll 8
	for (i = 0; i < SOURCE_GROUP; i++) {
		unsafe_get_user(gpte, gptes + i, fault);
		differ |= gpte ^ source[i];
	}
	return differ & SOURCE_BITS;
fault:
	return true;
}

/* Where there is no entry, what one would be made from is remembered. */
static __always_inline void find_in_group(const void __user *table,
					  struct kvm_mmu_page *sp,
					  unsigned int first,
					  unsigned long *changed)
{
	const unsigned int size = gpte_size(sp);
	unsigned int i;
	u64 gpte = 0;

	for (i = first; i < first + SOURCE_GROUP; i++) {
		if (read_gpte(table, gpte_index(sp, i), size, &gpte) &&
		    !gpte_differs(sp, i, gpte))
			continue;
		if (sp->spt[i])
			changed[i / BITS_PER_LONG] |= BIT(i % BITS_PER_LONG);
		else
			sp->source[i] = gpte_source(sp, i, gpte);
	}
}

/* Find what was made from entries that the guest has changed since. */
static void find_changed(struct kvm_mmu_page *sp, unsigned long *changed)
{
	const bool quick = sp->role.level == PT_LEVEL_4K &&
			   sp->role.guest_levels != 2;
	const void __user *table = table_hva(sp);
	unsigned int first;
	u64 groups;

	if (!read_begin(table)) {
		bitmap_fill(changed, PT_ENTRIES);
		return;
	}
	for (groups = sp->groups; groups; groups &= groups - 1) {
		first = __ffs64(groups) * SOURCE_GROUP;
		if (!quick || group_differs(table, sp, first))
			find_in_group(table, sp, first, changed);
	}
	read_end();
}

static void drop_changed(struct kvm *kvm, struct kvm_mmu_page *sp)
{
	DECLARE_BITMAP(changed, PT_ENTRIES);
	unsigned int i;

	bitmap_zero(changed, PT_ENTRIES);
	find_changed(sp, changed);
	for_each_set_bit(i, changed, PT_ENTRIES)
		drop_entry(kvm, sp, &sp->spt[i]);
}

/* All that shadow the frame, as it is writable until the last is in sync. */
static void sync_frame(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_memory_slot *slot = NULL;
	struct kvm_mmu_page *sp;

	for_each_shadow(kvm, sp, gfn) {
		if (!sp->unsync)
			continue;
		clear_unsync(kvm, sp);
		slot = slot ? slot : sp->slot;
	}
	if (!slot)
		return;
	/* Before it is read, so that nothing changes behind our back. */
	protect_frame(kvm, slot, gfn);
	for_each_shadow(kvm, sp, gfn)
		drop_changed(kvm, sp);
}

static bool spte_dirty(struct kvm *kvm, u64 *sptep)
{
	return READ_ONCE(*sptep) & spte_format.dirty;
}

static bool spte_clear_dirty(struct kvm *kvm, u64 *sptep)
{
	return test_and_clear_bit(__ffs64(spte_format.dirty),
				  (unsigned long *)sptep);
}

/*
 * Has the guest written to the table of a page that is out of sync, since the
 * dirty bits of what maps it were cleared? Of several vCPUs, each would have
 * to flush when they are: then it is not known.
 */
static bool table_dirty(struct kvm *kvm, const struct kvm_mmu_page *sp)
{
	const struct kvm_rmap *rmap = mmu_slot_rmap(sp->slot, sp->gfn,
						    PT_LEVEL_4K);

	return !alone(kvm) || sp->dirty ||
	       (rmap && mmu_rmap_for_each(kvm, rmap, spte_dirty));
}

void mmu_shadow_note_dirty(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_mmu_page *sp;

	for_each_shadow(kvm, sp, gfn)
		sp->dirty = true;
}

/*
 * What is out of sync may stay so, as long as no entry is older than the last
 * flush of the guest. Drop what is; false: of more than max_dirty pages.
 */
static bool resync(struct kvm *kvm, unsigned int max_dirty)
{
	struct kvm_mmu_page *sp;

	list_for_each_entry(sp, &kvm->mmu.unsync, unsync_link) {
		if (!table_dirty(kvm, sp)) {
			sp->idle++;
			continue;
		}
		if (!max_dirty--)
			return false;
		sp->idle = 0;
		drop_changed(kvm, sp);
	}
	return true;
}

/* And from here on writes are told by the dirty bits. The caller flushes. */
static void mark_resynced(struct kvm *kvm)
{
	struct kvm_mmu_page *sp;
	struct kvm_rmap *rmap;

	list_for_each_entry(sp, &kvm->mmu.unsync, unsync_link) {
		if (sp->idle)
			continue;
		sp->dirty = false;
		rmap = mmu_slot_rmap(sp->slot, sp->gfn, PT_LEVEL_4K);
		if (rmap)
			mmu_rmap_for_each(kvm, rmap, spte_clear_dirty);
	}
}

/*
 * So many pages may be out of sync, each for so many flushes without a write
 * to it: looking at them costs, at each flush.
 */
#define MAX_UNSYNC	32
#define MAX_IDLE	16

static struct kvm_mmu_page *unsync_too_long(const struct kvm *kvm)
{
	struct kvm_mmu_page *sp;

	list_for_each_entry_reverse(sp, &kvm->mmu.unsync, unsync_link)
		if (sp->idle >= MAX_IDLE || kvm->mmu.nr_unsync > MAX_UNSYNC ||
		    !alone(kvm))
			return sp;
	return NULL;
}

/* Where the guest flushes. The caller flushes, too. */
static void sync_all(struct kvm *kvm)
{
	struct kvm_mmu_page *sp;

	while ((sp = unsync_too_long(kvm)))
		sync_frame(kvm, sp->gfn);
	resync(kvm, UINT_MAX);
	mark_resynced(kvm);
	if (alone(kvm))
		kvm->mmu.stale = false;
}

/* The same, in a hurry. False: call sync_all(). */
static bool sync_few(struct kvm *kvm)
{
	if (list_empty(&kvm->mmu.unsync))
		return true;
	if (!alone(kvm) || !resync(kvm, 4) || unsync_too_long(kvm))
		return false;
	mark_resynced(kvm);
	return true;
}

/* ---- pages that shadow a table ------------------------------------------ */

/*
 * Make sure that no write to the page's table goes unseen. False: there is no
 * memory, or no longer; of a root alone that is no reason to start over.
 */
static bool page_track(struct kvm *kvm, struct kvm_mmu_page *sp)
{
	struct kvm_memory_slot *slot;

	if (likely(sp->slot))
		return true;
	slot = kvm_gfn_to_slot(kvm, sp->gfn);
	if (!slot || slot->invalid)
		return false;
	sp->slot = slot;
	mmu_slot_region(slot, sp->gfn)->nr_shadowed++;
	WRITE_ONCE(kvm->mmu.nr_shadowed, kvm->mmu.nr_shadowed + 1);
	/* Pairs with kvm_mmu_guest_write(): it sees this, or we its data. */
	smp_mb();
	if (sp->role.level == PT_LEVEL_4K && frame_is_unsync(kvm, sp->gfn)) {
		set_unsync(kvm, sp);
		return true;
	}
	sync_frame(kvm, sp->gfn);
	protect_frame(kvm, slot, sp->gfn);
	return true;
}

/* The slot is still there: its tables are retired before it goes. */
void mmu_shadow_page_retire(struct kvm *kvm, struct kvm_mmu_page *sp)
{
	if (sp->unsync)
		clear_unsync(kvm, sp);
	if (!sp->slot)
		return;
	WRITE_ONCE(kvm->mmu.nr_shadowed, kvm->mmu.nr_shadowed - 1);
	mmu_slot_region(sp->slot, sp->gfn)->nr_shadowed--;
	sp->slot = NULL;
}

/*
 * The page for a frame. One that is newly reached must be in sync, and so must
 * all below it: no INVLPG since they were last reached has told which of their
 * entries are old.
 */
static struct kvm_mmu_page *shadow_get(struct kvm_vcpu *vcpu, gfn_t gfn,
				       union kvm_page_role role)
{
	struct kvm_mmu_page *sp = mmu_page_find(vcpu->kvm, gfn, role);

	if (!sp)
		return mmu_page_create(vcpu, gfn, role);
	if (sp->unsync)
		drop_changed(vcpu->kvm, sp);
	else if (role.level > PT_LEVEL_4K && !role.direct)
		resync(vcpu->kvm, UINT_MAX);
	return sp;
}

/* Drop what was made from bytes [offset, offset + bytes) of a table. */
static void drop_written(struct kvm *kvm, struct kvm_mmu_page *sp,
			 unsigned int offset, unsigned int bytes)
{
	const unsigned int first = offset / gpte_size(sp);
	const unsigned int last = (offset + bytes - 1) / gpte_size(sp);
	int i = max(entry_of(sp, first), 0);
	int end = min(entry_of(sp, last + 1), PT_ENTRIES);

	for (; i < end; i++)
		if (sp->spt[i])
			drop_entry(kvm, sp, &sp->spt[i]);
}

/* So many writes without a fault through the page: a table no longer. */
#define FLOOD_WRITES	3

static bool page_flooded(const struct kvm_mmu_page *sp)
{
	return sp->nr_writes >= FLOOD_WRITES && !sp->root_count;
}

/* Free the pages that shadow a frame: all, or those that are no tables. */
static bool zap_shadows(struct kvm *kvm, gfn_t gfn, bool flooded)
{
	struct kvm_mmu_page *sp;
	LIST_HEAD(zapped);
	bool any = false;

again:
	for_each_shadow(kvm, sp, gfn) {
		if (flooded && !page_flooded(sp))
			continue;
		/* Others of the chain may go with it. */
		mmu_page_zap(kvm, sp, &zapped);
		any = true;
		goto again;
	}
	mmu_zap_commit(kvm, &zapped);
	return any;
}

static void frame_written(struct kvm *kvm, gpa_t gpa, unsigned int bytes)
{
	const gfn_t gfn = gpa >> PAGE_SHIFT;
	struct kvm_mmu_page *sp;
	bool flooded = false;

	for_each_shadow(kvm, sp, gfn) {
		drop_written(kvm, sp, offset_in_page(gpa), bytes);
		sp->nr_writes++;
		flooded |= page_flooded(sp);
	}
	if (unlikely(flooded))
		zap_shadows(kvm, gfn, true);
}

void kvm_mmu_guest_write(struct kvm *kvm, gpa_t gpa, unsigned int bytes)
{
	struct kvm_memory_slot *slot;

	if (kvm_caps.ept)
		return;
	/* After the write that is told of; pairs with page_track(). */
	smp_mb();
	if (!READ_ONCE(kvm->mmu.nr_shadowed))
		return;
	slot = kvm_gfn_to_slot(kvm, gpa >> PAGE_SHIFT);
	if (!slot ||
	    !READ_ONCE(mmu_slot_region(slot, gpa >> PAGE_SHIFT)->nr_shadowed))
		return;
	spin_lock(&kvm->mmu_lock);
	frame_written(kvm, gpa, bytes);
	spin_unlock(&kvm->mmu_lock);
}

bool kvm_mmu_unprotect(struct kvm_vcpu *vcpu)
{
	const gfn_t gfn = vcpu->mmu.emulated_gfn;
	struct kvm *kvm = vcpu->kvm;
	bool any;

	if (kvm_caps.ept || gfn == NO_GFN)
		return false;
	vcpu->mmu.emulated_gfn = NO_GFN;
	spin_lock(&kvm->mmu_lock);
	any = zap_shadows(kvm, gfn, false);
	spin_unlock(&kvm->mmu_lock);
	return any;
}

/* ---- roots -------------------------------------------------------------- */

static union kvm_page_role guest_role(struct kvm_vcpu *vcpu)
{
	const bool wp = kvm_read_cr0(vcpu) & X86_CR0_WP;
	const unsigned long cr4 = kvm_read_cr4(vcpu);
	const int levels = kvm_guest_levels(vcpu);

	if (!levels)
		return (union kvm_page_role) { .direct = 1 };
	return (union kvm_page_role) {
		.guest_levels = levels,
		.access = PTA_ALL,
		.nx = !!(vcpu->efer & EFER_NX),
		.cr0_wp = wp,
		.smep_not_wp = !wp && (cr4 & X86_CR4_SMEP),
		.smap_not_wp = !wp && (cr4 & X86_CR4_SMAP),
		.pse = levels == 2 && (cr4 & X86_CR4_PSE),
	};
}

/* The page that entry i of a PAE root refers to, where there is one. */
static bool pae_child(struct kvm_vcpu *vcpu, int i, gfn_t *gfn,
		      union kvm_page_role *role)
{
	*role = vcpu->mmu.role;
	role->level = PT_LEVEL_2M;
	switch (role->guest_levels) {
	case 0:
		*gfn = (gfn_t)i << 18;
		return true;
	case 2:
		*gfn = (u32)kvm_read_cr3(vcpu) >> PAGE_SHIFT;
		role->quadrant = i;
		return true;
	default:
		*gfn = (vcpu->mmu.pdptrs[i] & SPTE_ADDR) >> PAGE_SHIFT;
		return vcpu->mmu.pdptrs[i] & PTE_PRESENT;
	}
}

/* What cannot be had now is tried again by the fault that needs it. */
static void load_pae_root(struct kvm_vcpu *vcpu)
{
	struct kvm_mmu_page *root = vcpu->mmu.pae_root, *sp;
	union kvm_page_role role;
	gfn_t gfn;
	int i;

	for (i = 0; i < 4; i++) {
		if (!pae_child(vcpu, i, &gfn, &role))
			continue;
		sp = shadow_get(vcpu, gfn, role);
		if (role.direct || page_track(vcpu->kvm, sp))
			mmu_page_link(vcpu, &root->spt[i], sp, PTE_PRESENT);
	}
	vcpu->mmu.root = root;
}

static void load_4_level_root(struct kvm_vcpu *vcpu)
{
	union kvm_page_role role = vcpu->mmu.role;
	struct kvm_mmu_page *root;

	role.level = PT_LEVEL_512G;
	root = shadow_get(vcpu, (kvm_read_cr3(vcpu) & SPTE_ADDR) >> PAGE_SHIFT,
			  role);
	page_track(vcpu->kvm, root);
	root->root_count++;
	vcpu->mmu.root = root;
}

/* Below 4G, as CR3 outside long mode has 32 bits. */
static struct kvm_mmu_page *pae_root_create(void)
{
	struct kvm_mmu_page *root = kzalloc(sizeof(*root), GFP_KERNEL_ACCOUNT);
	struct page *page;

	if (!root)
		return NULL;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_DMA32);
	if (!page) {
		kfree(root);
		return NULL;
	}
	root->spt = page_address(page);
	root->role.level = PT_LEVEL_1G;
	root->role.direct = 1;
	set_page_private(page, (unsigned long)root);
	return root;
}

int mmu_shadow_load(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;
	int idx, r;

	r = mmu_caches_fill(vcpu);
	if (r)
		return r;
	if (!vcpu->mmu.pae_root)
		vcpu->mmu.pae_root = pae_root_create();
	if (!vcpu->mmu.pae_root)
		return -ENOMEM;
	vcpu->mmu.role = guest_role(vcpu);
	kvm_guest_paging(vcpu, &vcpu->mmu.paging);
	idx = srcu_read_lock(&kvm->srcu);
	spin_lock(&kvm->mmu_lock);
	mmu_reclaim_pages(kvm);
	/* A root is loaded where the guest's processor would flush. */
	sync_all(kvm);
	if (is_long_mode(vcpu))
		load_4_level_root(vcpu);
	else
		load_pae_root(vcpu);
	spin_unlock(&kvm->mmu_lock);
	srcu_read_unlock(&kvm->srcu, idx);
	backend->set_root(vcpu, __pa(vcpu->mmu.root->spt),
			  vcpu->mmu.root->role.level);
	return 0;
}

static void root_put(struct kvm_vcpu *vcpu, struct kvm_mmu_page *root)
{
	int i;

	if (root != vcpu->mmu.pae_root) {
		mmu_root_put(vcpu->kvm, root);
		return;
	}
	for (i = 0; i < 4; i++)
		if (root->spt[i])
			mmu_page_unlink(&root->spt[i]);
}

void mmu_shadow_unload(struct kvm_vcpu *vcpu)
{
	spin_lock(&vcpu->kvm->mmu_lock);
	root_put(vcpu, vcpu->mmu.root);
	vcpu->mmu.root = NULL;
	spin_unlock(&vcpu->kvm->mmu_lock);
}

void mmu_shadow_vcpu_free(struct kvm_vcpu *vcpu)
{
	struct kvm_mmu_page *root = vcpu->mmu.pae_root;

	if (!root)
		return;
	set_page_private(virt_to_page(root->spt), 0);
	free_page((unsigned long)root->spt);
	kfree(root);
}

/* ---- faults ------------------------------------------------------------- */

/* The page that the entry of a level on the fault's path refers to. */
static gfn_t child_of(const struct kvm_vcpu *vcpu,
		      const struct mmu_fault *fault, int level, u32 rights,
		      union kvm_page_role *role)
{
	const gfn_t mask = KVM_PAGES_PER_LEVEL(level) - 1;

	*role = vcpu->mmu.role;
	role->level = level - 1;
	role->access = rights;
	if (!fault->walk || level <= fault->walk->level) {
		*role = (union kvm_page_role) {
			.level = level - 1,
			.direct = 1,
			.access = fault->walk ? fault->pta : 0,
		};
		return fault->gfn & ~mask;
	}
	if (role->guest_levels == 2)
		role->quadrant = level == PT_LEVEL_1G ? fault->gva >> 30 & 3 :
							fault->gva >> 21 & 1;
	/* Of a 2-level guest, level 3 is ours alone, above its root. */
	return walk_table_gfn(fault->walk, level - 1);
}

/* Make the entry refer to the page. False: start over. */
static bool link_child(struct kvm_vcpu *vcpu, struct kvm_mmu_page *sp,
		       u64 *sptep, gfn_t gfn, union kvm_page_role role)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_mmu_page *child;
	u64 spte = *sptep;

	if (likely(spte_present(spte) && !spte_leaf(spte, sp->role.level))) {
		child = spte_child(spte);
		if (likely(child->gfn == gfn && child->role.word == role.word))
			return true;
	}
	if (spte_present(spte))
		drop_entry(kvm, sp, sptep);
	child = shadow_get(vcpu, gfn, role);
	if (!role.direct && !page_track(kvm, child))
		return false;
	mmu_page_link(vcpu, sptep, child, sp == vcpu->mmu.pae_root ?
		      PTE_PRESENT : spte_format.table);
	return true;
}

/*
 * Does the entry refer to what link_child() would make it refer to? It does if
 * it was made from the same entry of the guest. Of a large page, what CR0.WP
 * leaves open is not in there.
 */
static bool already_linked(const struct kvm_mmu_page *sp, const u64 *sptep,
			   u64 gpte)
{
	unsigned int i = sptep - sp->spt;

	return sp->source && spte_present(*sptep) &&
	       !spte_leaf(*sptep, sp->role.level) &&
	       sp->source[i] == gpte_source(sp, i, gpte) &&
	       (sp->role.cr0_wp || !gpte_large(sp, gpte));
}

static struct kvm_mmu_page *walk_down(struct kvm_vcpu *vcpu,
				      const struct mmu_fault *fault,
				      struct kvm_mmu_page *sp, u64 *sptep)
{
	const int level = sp->role.level;
	union kvm_page_role role;
	u32 rights = PTA_ALL;
	u64 gpte = 0;
	gfn_t gfn;

	if (sp->source) {
		gpte = fault->walk->pte[level - 1];
		if (likely(already_linked(sp, sptep, gpte)))
			return spte_child(*sptep);
		rights = sp->role.access & gpte_rights(gpte);
	}
	gfn = child_of(vcpu, fault, level, rights, &role);
	if (!link_child(vcpu, sp, sptep, gfn, role))
		return NULL;
	if (sp->source)
		set_source(sp, sptep - sp->spt, gpte);
	return spte_child(*sptep);
}

/*
 * The entry of the fault's level on the way to its address, making tables as
 * needed. Each of the guest's entries is read again once its table is known
 * to be tracked: what happens to it from then on is seen. NULL: it changed,
 * start over.
 */
static u64 *shadow_walk(struct kvm_vcpu *vcpu, const struct mmu_fault *fault)
{
	const bool check = !alone(vcpu->kvm);
	struct kvm_mmu_page *sp = vcpu->mmu.root;
	u64 *sptep;

	if (!sp->role.direct && !page_track(vcpu->kvm, sp))
		return NULL;
	for (;;) {
		const int level = sp->role.level;

		sp->nr_writes = 0;
		sp->used = true;
		sptep = &sp->spt[gfn_index(fault->gva >> PAGE_SHIFT, level)];
		if (check && sp->source && !gpte_holds(sp, fault->walk))
			return NULL;
		if (level == fault->level)
			return sptep;
		sp = walk_down(vcpu, fault, sp, sptep);
		if (!sp)
			return NULL;
	}
}

static void set_leaf_source(const struct mmu_fault *fault,
			    struct kvm_mmu_page *sp, u64 *sptep)
{
	if (sp->source)
		set_source(sp, sptep - sp->spt,
			   fault->walk->pte[sp->role.level - 1]);
}

/* An entry may gain rights as it stands; that it loses some must be seen. */
static bool leaf_loses(u64 old, u64 new)
{
	const u64 gives = spte_format.writable | spte_format.user;

	return (old & ~new & gives) || (new & ~old & spte_format.nx);
}

static void set_leaf(struct kvm_vcpu *vcpu, const struct mmu_fault *fault,
		     u64 *sptep, u64 spte)
{
	struct kvm_mmu_page *sp = sptep_page(sptep);
	const u64 old = *sptep;

	if (!spte_present(old)) {
		set_leaf_source(fault, sp, sptep);
		mmu_add_leaf(vcpu, fault->slot, fault->gfn, sptep, spte);
		return;
	}
	if (spte_leaf(old, fault->level) && spte_pfn(old) == spte_pfn(spte) &&
	    spte_gfn(sp, sptep) == (fault->gfn &
				    ~(KVM_PAGES_PER_LEVEL(fault->level) - 1))) {
		set_leaf_source(fault, sp, sptep);
		WRITE_ONCE(*sptep, spte | (old & spte_format.dirty));
		if (leaf_loses(old, spte))
			kvm_mmu_flush(vcpu->kvm);
		return;
	}
	drop_entry(vcpu->kvm, sp, sptep);
	set_leaf_source(fault, sp, sptep);
	mmu_add_leaf(vcpu, fault->slot, fault->gfn, sptep, spte);
}

/*
 * The level of the entry, once the tables on its path are known: they may be
 * in the memory that it maps.
 */
static u64 *walk_to_leaf(struct kvm_vcpu *vcpu, struct mmu_fault *fault)
{
	u64 *sptep;

	fault->level = mmu_fault_level(fault);
	if (fault->level > PT_LEVEL_4K &&
	    mmu_slot_region(fault->slot, fault->gfn)->nr_shadowed)
		fault->level = PT_LEVEL_4K;
	sptep = shadow_walk(vcpu, fault);
	if (!sptep || fault->level == PT_LEVEL_4K ||
	    !mmu_slot_region(fault->slot, fault->gfn)->nr_shadowed)
		return sptep;
	fault->level = PT_LEVEL_4K;
	return shadow_walk(vcpu, fault);
}

/* ---- prefetch ----------------------------------------------------------- */

/*
 * A guest that touches a page often touches its neighbours next: entries of
 * so many, at an aligned index, are made at once, where all that they need is
 * at hand and the guest's accessed bits, if it has any, are set already.
 */
#define PREFETCH	8

static bool gpte_usable(const struct kvm_vcpu *vcpu, u64 gpte)
{
	const union kvm_page_role role = vcpu->mmu.role;
	u64 reserved = vcpu->reserved_gpa_bits & SPTE_ADDR;

	if (!role.nx)
		reserved |= PTE_NX;
	if (role.guest_levels == 3)
		reserved |= GENMASK_ULL(62, 52);
	return (gpte & PTE_PRESENT) && (gpte & PTE_ACCESSED) &&
	       !(gpte & reserved);
}

/* False: what it needs is not at hand. */
static bool prefetch_page(struct kvm_vcpu *vcpu, struct kvm_memory_slot *slot,
			  u64 *sptep, gfn_t gfn, u32 pta)
{
	struct mmu_fault fault = {
		.gfn = gfn,
		.prefetch = true,
		.slot = slot,
		.level = PT_LEVEL_4K,
	};

	if (!slot_has_gfn(slot, fault.gfn) || !vcpu->mmu_caches.rmaps.count ||
	    !mmu_slot_rmap(slot, fault.gfn, PT_LEVEL_4K) ||
	    !kvm_host_page_mapped(vcpu->kvm, slot_gfn_to_hva(slot, fault.gfn),
				  &fault.page))
		return false;
	if (frame_protected(vcpu->kvm, slot, gfn))
		pta &= ~(u32)PTA_WRITE;
	mmu_add_leaf(vcpu, slot, gfn, sptep,
		     mmu_make_spte(&fault, fault.page.pfn, pta));
	return true;
}

static void prefetch_gpte(struct kvm_vcpu *vcpu, struct kvm_memory_slot *slot,
			  struct kvm_mmu_page *sp, unsigned int i, u64 gpte)
{
	u32 pta = sp->role.access & gpte_rights(gpte);

	if (!(gpte & PTE_DIRTY))
		pta &= ~(u32)PTA_WRITE;
	if (prefetch_page(vcpu, slot, &sp->spt[i],
			  (gpte & SPTE_ADDR) >> PAGE_SHIFT, pta))
		set_source(sp, i, gpte);
}

static void prefetch_shadow(struct kvm_vcpu *vcpu, struct kvm_memory_slot *slot,
			    struct kvm_mmu_page *sp, unsigned int first)
{
	const void __user *table = table_hva(sp);
	u64 gpte[PREFETCH] = { }, *p = gpte;
	unsigned int i;

	if (!read_begin(table))
		return;
	for (i = 0; i < PREFETCH; i++)
		if (!sp->spt[first + i] &&
		    !read_gpte(table, gpte_index(sp, first + i),
			       gpte_size(sp), p + i))
			break;
	read_end();
	for (i = 0; i < PREFETCH; i++)
		if (gpte_usable(vcpu, gpte[i]))
			prefetch_gpte(vcpu, slot, sp, first + i, gpte[i]);
}

static void prefetch_direct(struct kvm_vcpu *vcpu, struct kvm_memory_slot *slot,
			    struct kvm_mmu_page *sp, unsigned int first,
			    u32 pta)
{
	unsigned int i;

	for (i = first; i < first + PREFETCH; i++)
		if (!sp->spt[i] &&
		    !prefetch_page(vcpu, slot, &sp->spt[i], sp->gfn + i, pta))
			return;
}

static void prefetch_around(struct kvm_vcpu *vcpu,
			    const struct mmu_fault *fault, u64 *sptep)
{
	struct kvm_mmu_page *sp = sptep_page(sptep);
	const unsigned int first = (sptep - sp->spt) & ~(PREFETCH - 1);

	/* What the host maps may be on its way out. */
	if (vcpu->kvm->mmu_invalidate_in_progress)
		return;
	if (fault->slot == vcpu->kvm->apic_slot)
		return;		/* it stands alone, and has no hva */
	if (sp->source)
		prefetch_shadow(vcpu, fault->slot, sp, first);
	else
		prefetch_direct(vcpu, fault->slot, sp, first, fault->pta);
}

/* ---- mapping a page ----------------------------------------------------- */

/* Is the frame one of the tables by which it was found? */
static bool on_own_path(const struct mmu_fault *fault)
{
	const struct guest_walk *walk = fault->walk;
	int level;

	if (!walk)
		return false;
	/* A PDPTE of PAE paging is in a register. */
	level = walk->root_level == 3 ? 2 : walk->root_level;
	for (; level >= walk->level; level--)
		if (walk_table_gfn(walk, level) == fault->gfn)
			return true;
	return false;
}

static int shadow_map(struct kvm_vcpu *vcpu, struct mmu_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	u32 pta = fault->pta;
	u64 *sptep;

	mmu_reclaim_pages(kvm);
	sptep = walk_to_leaf(vcpu, fault);
	if (!sptep)
		return 1;
	if ((pta & PTA_WRITE) &&
	    frame_protected(kvm, fault->slot, fault->gfn)) {
		if (!fault->write) {
			pta &= ~(u32)PTA_WRITE;
		} else if (!frame_unsync(kvm, fault->gfn)) {
			/* Else it would be protected again at once. */
			if (!on_own_path(fault))
				vcpu->mmu.emulated_gfn = fault->gfn;
			return KVM_PF_EMULATE;
		}
	}
	set_leaf(vcpu, fault, sptep,
		 mmu_make_spte(fault, fault->page.pfn &
			       ~(KVM_PAGES_PER_LEVEL(fault->level) - 1), pta));
	if (fault->level == PT_LEVEL_4K)
		prefetch_around(vcpu, fault, sptep);
	vcpu->stat.pf_fixed++;
	return 1;
}

/* ---- MMIO --------------------------------------------------------------- */

/* Make the next access to the address known as MMIO by its error code. */
static int shadow_mmio(struct kvm_vcpu *vcpu, struct mmu_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	u64 gen, *sptep;
	int r;

	r = mmu_caches_fill(vcpu);
	if (r)
		return r;
	if (!spte_format.mmio_mask)
		return KVM_PF_EMULATE;
	/* A slot published after this moves the generation on. */
	gen = READ_ONCE(kvm->mmu.mmio_gen);
	smp_rmb();
	if (kvm_gfn_to_slot(kvm, fault->gfn))
		return 1;
	fault->level = PT_LEVEL_4K;
	spin_lock(&kvm->mmu_lock);
	if (gen == kvm->mmu.mmio_gen && !vcpu->mmu.root->role.invalid) {
		mmu_reclaim_pages(kvm);
		sptep = shadow_walk(vcpu, fault);
		if (sptep) {
			drop_entry(kvm, sptep_page(sptep), sptep);
			set_leaf_source(fault, sptep_page(sptep), sptep);
			WRITE_ONCE(*sptep, mmu_mmio_spte(kvm));
		}
	}
	spin_unlock(&kvm->mmu_lock);
	return KVM_PF_EMULATE;
}

/* The entry for an address, of the lowest level that there is. */
static u64 *shadow_find(struct kvm_vcpu *vcpu, u64 gva)
{
	struct kvm_mmu_page *sp = vcpu->mmu.root;
	int level = sp->role.level;
	u64 *sptep;

	for (;; level--) {
		sptep = &sp->spt[gfn_index(gva >> PAGE_SHIFT, level)];
		if (!spte_present(*sptep) || spte_leaf(*sptep, level))
			return sptep;
		sp = spte_child(*sptep);
	}
}

static bool is_mmio(struct kvm_vcpu *vcpu, u64 gva)
{
	struct kvm *kvm = vcpu->kvm;
	bool mmio;

	spin_lock(&kvm->mmu_lock);
	mmio = *shadow_find(vcpu, gva) == mmu_mmio_spte(kvm);
	spin_unlock(&kvm->mmu_lock);
	return mmio;
}

/* ---- page faults -------------------------------------------------------- */

static u32 walk_access(struct kvm_vcpu *vcpu, u32 error_code)
{
	u32 access = error_code & (PFERR_WRITE | PFERR_USER | PFERR_FETCH);

	/* An access by the processor itself at CPL 3 is not explicit. */
	if (!(access & PFERR_USER) && (vcpu->cr4 & X86_CR4_SMAP) &&
	    backend->get_cpl(vcpu) < 3 && (backend->get_rflags(vcpu) & X86_EFLAGS_AC))
		access |= WALK_AC;
	return access;
}

/*
 * The rights that our entry may give. Until a page is dirty, the next write
 * must be seen. What CR0.WP = 0 lets the supervisor do is not for the user,
 * for whom the entry changes back, nor may it be executed as a supervisor's
 * page where SMEP forbids that.
 */
static u32 leaf_rights(struct kvm_vcpu *vcpu, const struct guest_walk *walk,
		       u32 access)
{
	u32 pta = walk->access;

	if (!(walk->pte[walk->level - 1] & PTE_DIRTY))
		pta &= ~(u32)PTA_WRITE;
	if (!(access & PFERR_WRITE) || (walk->access & PTA_WRITE))
		return pta;
	if ((pta & PTA_USER) && vcpu->mmu.role.smep_not_wp)
		pta &= ~(u32)PTA_EXEC;
	return (pta | PTA_WRITE) & ~(u32)PTA_USER;
}

/*
 * A write that CR0.WP = 0 allows, to a page on which SMAP needs RFLAGS.AC: no
 * entry allows the one and needs the other.
 */
static bool needs_ac(const struct kvm_vcpu *vcpu,
		     const struct guest_walk *walk, u32 access)
{
	return vcpu->mmu.role.smap_not_wp && (access & PFERR_WRITE) &&
	       (walk->access & (PTA_WRITE | PTA_USER)) == PTA_USER;
}

static int guest_fault(struct kvm_vcpu *vcpu, u64 gva, u32 access,
		       const struct guest_walk *walk, int r)
{
	struct x86_exception fault;

	kvm_walk_fault(gva, access, walk, r, &fault);
	vcpu->stat.pf_guest++;
	kvm_inject_x86_exception(vcpu, &fault);
	return 1;
}

static int fault_at_frame(struct kvm_vcpu *vcpu, struct mmu_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	int r;

	fault->slot = kvm_vcpu_gfn_to_slot(vcpu, fault->gfn);
	if (!fault->slot)
		fault->slot = mmu_apic_slot(kvm, fault->gfn);
	if (!fault->slot)
		return shadow_mmio(vcpu, fault);
	r = mmu_fault_resolve(vcpu, fault);
	if (r != MMU_FAULT_FOUND)
		return r;
	spin_lock(&kvm->mmu_lock);
	r = 1;
	if (likely(!mmu_fault_stale(kvm, fault) &&
		   !vcpu->mmu.root->role.invalid))
		r = shadow_map(vcpu, fault);
	spin_unlock(&kvm->mmu_lock);
	return r;
}

/* The largest page that an entry of the guest's leaf leaves room for. */
static int leaf_level(const struct guest_walk *walk)
{
	return walk->page_shift >= PT_LEVEL_SHIFT(PT_LEVEL_2M) ?
		spte_format.max_level : PT_LEVEL_4K;
}

int mmu_shadow_page_fault(struct kvm_vcpu *vcpu, u64 gva, u32 error_code)
{
	struct mmu_fault fault = {
		.write = error_code & PFERR_WRITE,
		.exec = error_code & PFERR_FETCH,
		.pta = PTA_ALL,
		.max_level = spte_format.max_level,
		.gva = gva,
	};
	struct guest_walk walk;
	u32 access;
	int r;

	vcpu->mmu.emulated_gfn = NO_GFN;
	if ((error_code & PFERR_RSVD) && is_mmio(vcpu, gva))
		return KVM_PF_EMULATE;
	if (!vcpu->mmu.role.guest_levels) {
		fault.gfn = gva >> PAGE_SHIFT;
		return fault_at_frame(vcpu, &fault);
	}
	access = walk_access(vcpu, error_code);
	r = kvm_guest_walk(vcpu, &vcpu->mmu.paging, gva, access, &walk);
	if (r == WALK_BUSY)
		return 1;
	/* Bits that cannot be set: the emulator does without. */
	if (r == WALK_READONLY)
		return KVM_PF_EMULATE;
	if (r != WALK_OK)
		return guest_fault(vcpu, gva, access, &walk, r);
	if (unlikely(needs_ac(vcpu, &walk, access)))
		return KVM_PF_EMULATE;
	fault.gfn = walk.gpa >> PAGE_SHIFT;
	fault.walk = &walk;
	fault.pta = leaf_rights(vcpu, &walk, access);
	fault.max_level = leaf_level(&walk);
	return fault_at_frame(vcpu, &fault);
}

/* ---- INVLPG ------------------------------------------------------------- */

static void invalidate(struct kvm_vcpu *vcpu, u64 gva)
{
	u64 *sptep = shadow_find(vcpu, gva);
	struct kvm_mmu_page *sp = sptep_page(sptep);
	struct kvm *kvm = vcpu->kvm;

	if (!sp->unsync || !*sptep || !entry_changed(sp, sptep - sp->spt))
		return;
	if (alone(kvm))
		mmu_drop_entry(kvm, sp, sptep);	/* and the caller flushes */
	else
		drop_entry(kvm, sp, sptep);
}

void mmu_shadow_invlpg(struct kvm_vcpu *vcpu, u64 gva)
{
	struct kvm *kvm = vcpu->kvm;

	if (vcpu->mmu.root) {
		spin_lock(&kvm->mmu_lock);
		invalidate(vcpu, gva);
		spin_unlock(&kvm->mmu_lock);
	}
	preempt_disable();
	backend->flush_tlb_gva(vcpu, gva);
	preempt_enable();
}

/* ---- with interrupts disabled ------------------------------------------- */

/*
 * What the inner loop of the vCPU can do without leaving it. Whoever holds
 * mmu_lock may be waiting for this CPU to take an interrupt: it is only tried
 * for. False: nothing was done.
 */

static bool switch_root(struct kvm_vcpu *vcpu, unsigned long cr3)
{
	const gfn_t gfn = (cr3 & SPTE_ADDR) >> PAGE_SHIFT;
	struct kvm_mmu_page *old = vcpu->mmu.root, *root = old;
	struct kvm *kvm = vcpu->kvm;

	if (old->role.invalid)
		return false;
	if (gfn != old->gfn)
		root = mmu_page_find(kvm, gfn, old->role);
	if (!root || !root->slot || !sync_few(kvm))
		return false;
	old->root_count--;
	root->root_count++;
	vcpu->mmu.root = root;
	vcpu->mmu.paging.cr3 = cr3;
	if (alone(kvm))
		kvm->mmu.stale = false;
	return true;
}

bool kvm_mmu_try_new_cr3(struct kvm_vcpu *vcpu, unsigned long cr3, hpa_t *root)
{
	bool done;

	if (!vcpu->mmu.root || !spin_trylock(&vcpu->kvm->mmu_lock))
		return false;
	done = switch_root(vcpu, cr3);
	*root = __pa(vcpu->mmu.root->spt);
	spin_unlock(&vcpu->kvm->mmu_lock);
	return done;
}

bool kvm_mmu_try_invlpg(struct kvm_vcpu *vcpu, u64 gva)
{
	if (!vcpu->mmu.root || !spin_trylock(&vcpu->kvm->mmu_lock))
		return false;
	invalidate(vcpu, gva);
	spin_unlock(&vcpu->kvm->mmu_lock);
	return true;
}
