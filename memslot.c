// SPDX-License-Identifier: GPL-2.0-only
/*
 * memslot.c - guest-physical memory: the slots that say which user memory
 * backs it, access to it, dirty logs, what the host maps there, and the mmu
 * notifiers that follow the host's mappings.
 *
 * Knows nothing of page-table formats of the guest or of EPT: mmu.c is told
 * what to forget, and asks what is mapped.
 *
 * A slot is in three indexes: by guest frame (kvm->slots, read under SRCU),
 * by number (slots_by_id, slots_lock) and by host address (slots_hva,
 * mmu_lock). It enters the one by frame last and leaves it first. Adding
 * waits for nobody. A slot that goes is marked invalid, so that no vCPU maps
 * it any more, loses its mappings, leaves the indexes, and is freed when the
 * vCPUs that may have found it have left their read sections.
 *
 * No page is ever pinned. What kvm_host_page() tells is true until the next
 * invalidation by a notifier; mmu.c checks mmu_invalidate_seq for that. A
 * page is reported writable only if the host's entry is writable and dirty:
 * the host then knows that the page has changed, and tells us, by a notifier,
 * before it ever takes the page for clean again.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/rculist.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "include/compat.h"
#include "kvm.h"

/* ---- looking up a slot -------------------------------------------------- */

struct kvm_memory_slot *kvm_gfn_to_slot(struct kvm *kvm, gfn_t gfn)
{
	return mtree_load(&kvm->slots, gfn);
}

static __always_inline bool slot_cache_hit(const struct kvm_slot_cache *cache,
					   u64 gen, gfn_t gfn)
{
	return cache->slot && cache->gen == gen &&
	       slot_has_gfn(cache->slot, gfn);
}

struct kvm_memory_slot *kvm_vcpu_gfn_to_slot(struct kvm_vcpu *vcpu, gfn_t gfn)
{
	struct kvm_slot_cache *cache = vcpu->slot_cache;
	struct kvm_memory_slot *slot;
	/*
	 * Read before the lookup: a slot found although it is on its way out
	 * is then remembered with a generation that is about to end.
	 */
	u64 gen = smp_load_acquire(&vcpu->kvm->slots_gen);

	if (likely(slot_cache_hit(cache, gen, gfn)))
		return cache->slot;
	/* Page tables and what they map are often in different slots. */
	if (slot_cache_hit(cache + 1, gen, gfn))
		return cache[1].slot;
	slot = kvm_gfn_to_slot(vcpu->kvm, gfn);
	if (slot) {
		cache[1] = cache[0];
		cache[0] = (struct kvm_slot_cache) { slot, gen };
	}
	return slot;
}

void kvm_mark_page_dirty(struct kvm_memory_slot *slot, gfn_t gfn)
{
	unsigned long *dirty = READ_ONCE(slot->dirty);
	unsigned long page = gfn - slot->base_gfn;

	/* Most writes find the bit set: no need to own the cache line. */
	if (dirty && !test_bit(page, dirty))
		set_bit(page, dirty);
}

/* ---- access through the monitor's mapping ------------------------------- */

static void __user *gfn_to_user(struct kvm_memory_slot *slot, gfn_t gfn,
				unsigned int offset)
{
	return (void __user *)(slot_gfn_to_hva(slot, gfn) + offset);
}

/* Most reads are of a page-table entry: at once, and without more ado. */
static int read_user(void *data, const void __user *from, unsigned int len)
{
	if (len == sizeof(u64))
		return get_user(*(u64 *)data, (const u64 __user *)from);
	if (len == sizeof(u32))
		return get_user(*(u32 *)data, (const u32 __user *)from);
	return copy_from_user(data, from, len) ? -EFAULT : 0;
}

int kvm_read_slot(struct kvm_memory_slot *slot, gpa_t gpa, void *data,
		  unsigned int len)
{
	return read_user(data, gfn_to_user(slot, gpa >> PAGE_SHIFT,
					   offset_in_page(gpa)), len);
}

int kvm_write_slot(struct kvm *kvm, struct kvm_memory_slot *slot, gpa_t gpa,
		   const void *data, unsigned int len)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;

	if (copy_to_user(gfn_to_user(slot, gfn, offset_in_page(gpa)), data,
			 len))
		return -EFAULT;
	kvm_mark_page_dirty(slot, gfn);
	kvm_mmu_guest_write(kvm, gpa, len);
	return 0;
}

int kvm_read_guest_page(struct kvm_vcpu *vcpu, gfn_t gfn, void *data,
			unsigned int offset, unsigned int len)
{
	struct kvm_memory_slot *slot = kvm_vcpu_gfn_to_slot(vcpu, gfn);

	if (!slot)
		return -EFAULT;
	return read_user(data, gfn_to_user(slot, gfn, offset), len);
}

static int write_guest_page(struct kvm_vcpu *vcpu, gpa_t gpa, const void *data,
			    unsigned int len)
{
	struct kvm_memory_slot *slot;

	slot = kvm_vcpu_gfn_to_slot(vcpu, gpa >> PAGE_SHIFT);
	if (!slot || slot_readonly(slot))
		return -EFAULT;
	return kvm_write_slot(vcpu->kvm, slot, gpa, data, len);
}

int kvm_read_guest(struct kvm_vcpu *vcpu, gpa_t gpa, void *data, size_t len)
{
	while (len) {
		unsigned int offset = offset_in_page(gpa);
		unsigned int n = min_t(size_t, len, PAGE_SIZE - offset);
		int r = kvm_read_guest_page(vcpu, gpa >> PAGE_SHIFT, data,
					    offset, n);

		if (r)
			return r;
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

int kvm_write_guest(struct kvm_vcpu *vcpu, gpa_t gpa, const void *data,
		    size_t len)
{
	while (len) {
		unsigned int offset = offset_in_page(gpa);
		unsigned int n = min_t(size_t, len, PAGE_SIZE - offset);
		int r = write_guest_page(vcpu, gpa, data, n);

		if (r)
			return r;
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

/* CMPXCHG16B, which the user-access helpers do not offer, on a kernel page. */
static bool cmpxchg16(void *ptr, u64 *old, const u64 *new)
{
	bool done;

	asm volatile("lock cmpxchg16b %1"
		     : "=@ccz" (done), "+m" (*(u64 (*)[2])ptr),
		       "+a" (old[0]), "+d" (old[1])
		     : "b" (new[0]), "c" (new[1])
		     : "memory");
	return done;
}

static int user_cmpxchg16(void __user *ptr, void *old, const void *new)
{
	unsigned long addr = (unsigned long)ptr;
	struct page *page;
	void *kaddr;
	bool done;

	if (get_user_pages_fast(addr, 1, FOLL_WRITE, &page) != 1)
		return -EFAULT;
	kaddr = kmap_local_page(page);
	done = cmpxchg16(kaddr + offset_in_page(addr), old, new);
	kunmap_local(kaddr);
	if (done)
		set_page_dirty_lock(page);
	put_page(page);
	return !done;
}

#define USER_CMPXCHG(type, ptr, old, new)				\
	__try_cmpxchg_user((type __user *)(ptr), (type *)(old),		\
			   *(const type *)(new), done_##type)

static int user_cmpxchg(void __user *ptr, void *old, const void *new,
			unsigned int bytes)
{
	switch (bytes) {
	case 1:
		return USER_CMPXCHG(u8, ptr, old, new);
	case 2:
		return USER_CMPXCHG(u16, ptr, old, new);
	case 4:
		return USER_CMPXCHG(u32, ptr, old, new);
	case 8:
		return USER_CMPXCHG(u64, ptr, old, new);
	case 16:
		return user_cmpxchg16(ptr, old, new);
	default:
		return -EFAULT;
	}
}

int kvm_cmpxchg_guest(struct kvm_vcpu *vcpu, gpa_t gpa, void *old,
		      const void *new, unsigned int bytes)
{
	struct kvm_memory_slot *slot;

	slot = kvm_vcpu_gfn_to_slot(vcpu, gpa >> PAGE_SHIFT);
	if (!slot || slot_readonly(slot))
		return -EFAULT;
	return kvm_cmpxchg_slot(slot, gpa, old, new, bytes);
}

int kvm_cmpxchg_slot(struct kvm_memory_slot *slot, gpa_t gpa, void *old,
		     const void *new, unsigned int bytes)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	int r;

	if (!IS_ALIGNED(gpa, bytes))
		return -EFAULT;
	r = user_cmpxchg(gfn_to_user(slot, gfn, offset_in_page(gpa)), old, new,
			 bytes);
	if (!r)
		kvm_mark_page_dirty(slot, gfn);
	return r;
}

/* ---- what the host maps ------------------------------------------------- */

#define HOST_LEAF	(_PAGE_PRESENT | _PAGE_USER)

/*
 * Memory that the host maps write-back is ordinary memory, unless a special
 * mapping reaches where the kernel knows no page.
 */
static bool host_leaf_is_ram(u64 flags, kvm_pfn_t pfn)
{
	if (flags & (_PAGE_PCD | _PAGE_PWT))
		return false;
	return likely(!(flags & _PAGE_SPECIAL)) || pfn_valid(pfn);
}

/* False where user space could not read: whoever faults sorts that out. */
static bool host_leaf(struct kvm_host_page *page, u64 flags, kvm_pfn_t pfn,
		      int level)
{
	const u64 writable = _PAGE_RW | _PAGE_DIRTY;

	if ((flags & HOST_LEAF) != HOST_LEAF)
		return false;
	page->pfn = pfn;
	page->level = level;
	page->writable = (flags & writable) == writable;
	page->is_ram = host_leaf_is_ram(flags, pfn);
	return true;
}

/*
 * Look up hva as the processor would. Interrupts are disabled, which keeps
 * page tables from being freed meanwhile, as for the kernel's own lockless
 * walkers; each entry is read once.
 */
static bool host_walk(struct mm_struct *mm, hva_t hva,
		      struct kvm_host_page *page)
{
	pgd_t *pgdp = pgd_offset(mm, hva), pgd = READ_ONCE(*pgdp);
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;
	pte_t pte;

	if (pgd_none(pgd))
		return false;
	p4dp = p4d_offset_lockless(pgdp, pgd, hva);
	p4d = READ_ONCE(*p4dp);
	if (!(p4d_flags(p4d) & _PAGE_PRESENT))
		return false;

	pudp = pud_offset_lockless(p4dp, p4d, hva);
	pud = READ_ONCE(*pudp);
	if (!(pud_flags(pud) & _PAGE_PRESENT))
		return false;
	if (pud_flags(pud) & _PAGE_PSE)
		return host_leaf(page, pud_flags(pud), pud_pfn(pud) +
				 ((hva & ~PUD_MASK) >> PAGE_SHIFT),
				 PG_LEVEL_1G);

	pmdp = pmd_offset_lockless(pudp, pud, hva);
	pmd = READ_ONCE(*pmdp);
	if (!(pmd_flags(pmd) & _PAGE_PRESENT))
		return false;
	if (pmd_flags(pmd) & _PAGE_PSE)
		return host_leaf(page, pmd_flags(pmd), pmd_pfn(pmd) +
				 ((hva & ~PMD_MASK) >> PAGE_SHIFT),
				 PG_LEVEL_2M);

	pte = READ_ONCE(*pte_offset_kernel(&pmd, hva));
	return host_leaf(page, pte_flags(pte), pte_pfn(pte), PG_LEVEL_4K);
}

static bool host_lookup(struct kvm *kvm, hva_t hva, bool write,
			struct kvm_host_page *page)
{
	bool found;

	local_irq_disable();
	found = host_walk(kvm->mm, hva, page);
	local_irq_enable();
	return found && (page->writable || !write);
}

bool kvm_host_page_mapped(struct kvm *kvm, hva_t hva,
			  struct kvm_host_page *page)
{
	return host_lookup(kvm, hva, false, page);
}

/* What comes of asking the host for a page, which is not kept: 1, 0, -errno. */
static long host_page_probe(hva_t hva, bool write, unsigned int flags)
{
	struct page *page;
	long n;

	if (write)
		flags |= FOLL_WRITE;
	n = get_user_pages_unlocked(hva, 1, &page, flags);
	if (n == 1)
		put_page(page);
	return n;
}

/* Is memory missing because the hardware found it broken? */
static bool host_page_poisoned(hva_t hva, bool write)
{
	return host_page_probe(hva, write, FOLL_HWPOISON) == -EHWPOISON;
}

/* As a user access would, so that the host's entry ends up fit for one. */
int kvm_fault_in(struct mm_struct *mm, hva_t hva, bool write)
{
	unsigned int flags = write ? FAULT_FLAG_WRITE : 0;
	bool unlocked = false;
	int r;

	r = mmap_read_lock_killable(mm);
	if (r)
		return r;
	r = fixup_user_fault(mm, hva, flags, &unlocked);
	mmap_read_unlock(mm);
	return r;
}

static int host_fault_in(struct kvm *kvm, hva_t hva, bool write)
{
	int r = kvm_fault_in(kvm->mm, hva, write);

	if (r == -EFAULT && host_page_poisoned(hva, write))
		return -EHWPOISON;
	return r;
}

int kvm_host_page(struct kvm *kvm, hva_t hva, bool write,
		  struct kvm_host_page *page)
{
	int r;

	if (likely(host_lookup(kvm, hva, write, page)))
		return 0;
	r = host_fault_in(kvm, hva, write);
	if (r)
		return r;
	return host_lookup(kvm, hva, write, page) ? 0 : -EAGAIN;
}

/* True: the page is on its way. */
static bool host_fault_takes_long(hva_t hva, bool write)
{
	long n = host_page_probe(hva, write, FOLL_NOWAIT);

	return !n || n == -EAGAIN;
}

int kvm_host_page_nowait(struct kvm *kvm, hva_t hva, bool write,
			 struct kvm_host_page *page)
{
	if (likely(host_lookup(kvm, hva, write, page)))
		return 0;
	if (host_fault_takes_long(hva, write))
		return -EINPROGRESS;
	return kvm_host_page(kvm, hva, write, page);
}

/* ---- dirty log ---------------------------------------------------------- */

static int slot_alloc_dirty(struct kvm_memory_slot *slot)
{
	slot->dirty = kvzalloc(2 * slot_dirty_bytes(slot), GFP_KERNEL_ACCOUNT);
	return slot->dirty ? 0 : -ENOMEM;
}

/*
 * vCPUs look at nr_logging_slots, and empty the processor's log, as they do
 * whenever they leave guest mode: from here on the bitmaps show all that the
 * guest has written until now.
 */
static void update_hardware_logs(struct kvm *kvm)
{
	if (kvm_caps.pml)
		kvm_make_all_requests(kvm, KVM_REQ_DIRTY_LOG);
}

/*
 * A slot begins or ends to log. Where the processor keeps a log of its own,
 * vCPUs have it on from before the first entry of the slot is made clean.
 */
static void count_logging_slot(struct kvm *kvm, int change)
{
	int old = kvm->nr_logging_slots;

	WRITE_ONCE(kvm->nr_logging_slots, old + change);
	if (!old != !kvm->nr_logging_slots)
		update_hardware_logs(kvm);
}

/* Let others have mmu_lock in a long loop; nothing stale may stay behind. */
static void mmu_lock_breathe(struct kvm *kvm, bool *flush)
{
	if (!need_resched() && !spin_needbreak(&kvm->mmu_lock))
		return;
	if (*flush)
		kvm_mmu_flush(kvm);
	*flush = false;
	cond_resched_lock(&kvm->mmu_lock);
}

/* Move the bits from the first half of slot->dirty to the second. */
static void collect_dirty(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	unsigned long i, words = slot_dirty_bytes(slot) / sizeof(long);
	unsigned long *dirty = slot->dirty, *copy = dirty + words;
	bool flush = false;

	spin_lock(&kvm->mmu_lock);
	for (i = 0; i < words; i++) {
		copy[i] = 0;
		mmu_lock_breathe(kvm, &flush);
		if (!READ_ONCE(dirty[i]))
			continue;
		copy[i] = xchg(&dirty[i], 0);
		flush |= kvm_mmu_clean_pages(kvm, slot, i * BITS_PER_LONG,
					     copy[i]);
	}
	if (flush)
		kvm_mmu_flush(kvm);
	spin_unlock(&kvm->mmu_lock);
}

/* The bits did not reach user space: they count for the next call. */
static void restore_dirty(struct kvm_memory_slot *slot)
{
	unsigned long i, words = slot_dirty_bytes(slot) / sizeof(long);

	for (i = 0; i < words; i++) {
		if (slot->dirty[words + i])
			atomic_long_or(slot->dirty[words + i],
				       (atomic_long_t *)&slot->dirty[i]);
		cond_resched();
	}
}

static int get_dirty_log(struct kvm *kvm, const struct kvm_dirty_log *log)
{
	struct kvm_memory_slot *slot = xa_load(&kvm->slots_by_id, log->slot);
	size_t bytes;

	if (!slot || !slot->dirty)
		return -ENOENT;
	update_hardware_logs(kvm);
	collect_dirty(kvm, slot);
	bytes = slot_dirty_bytes(slot);
	if (!copy_to_user(log->dirty_bitmap, (void *)slot->dirty + bytes,
			  bytes))
		return 0;
	restore_dirty(slot);
	return -EFAULT;
}

int kvm_get_dirty_log(struct kvm *kvm, const struct kvm_dirty_log *log)
{
	int r;

	if (log->slot >= KVM_MAX_MEMSLOTS)
		return -EINVAL;
	mutex_lock(&kvm->slots_lock);
	r = get_dirty_log(kvm, log);
	mutex_unlock(&kvm->slots_lock);
	return r;
}

/* ---- changing slots ----------------------------------------------------- */

static void slots_hva_insert(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	slot->hva_node.start = slot->hva;
	slot->hva_node.last = slot->hva + (slot->npages << PAGE_SHIFT) - 1;
	spin_lock(&kvm->mmu_lock);
	interval_tree_insert(&slot->hva_node, &kvm->slots_hva);
	spin_unlock(&kvm->mmu_lock);
}

static void slots_hva_remove(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	spin_lock(&kvm->mmu_lock);
	interval_tree_remove(&slot->hva_node, &kvm->slots_hva);
	spin_unlock(&kvm->mmu_lock);
}

/* From the change of the tree on, answers from before are out of date. */
static void slots_gen_advance(struct kvm *kvm)
{
	/* Whoever sees the new generation sees the new tree. */
	smp_store_release(&kvm->slots_gen, kvm->slots_gen + 1);
}

static int slots_publish(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	int r = mtree_insert_range(&kvm->slots, slot->base_gfn,
				   slot->base_gfn + slot->npages - 1, slot,
				   GFP_KERNEL_ACCOUNT);

	if (r)
		return r;
	slots_gen_advance(kvm);
	kvm_mmu_zap_mmio(kvm);
	return 0;
}

static int slots_unpublish(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	/* It may need memory, and does not tell whether it had it. */
	mtree_erase(&kvm->slots, slot->base_gfn);
	if (unlikely(mtree_load(&kvm->slots, slot->base_gfn)))
		return -ENOMEM;
	slots_gen_advance(kvm);
	return 0;
}

static void slot_set_invalid(struct kvm *kvm, struct kvm_memory_slot *slot,
			     bool invalid)
{
	spin_lock(&kvm->mmu_lock);
	slot->invalid = invalid;
	spin_unlock(&kvm->mmu_lock);
}

/*
 * From here on no vCPU maps anything of the slot, nothing is mapped, and
 * nobody finds it any more. 0 or -ENOMEM: all is as before.
 */
static int slot_retire(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	int r;

	slot_set_invalid(kvm, slot, true);
	kvm_mmu_slot_zap(kvm, slot);
	r = slots_unpublish(kvm, slot);
	if (r)
		slot_set_invalid(kvm, slot, false);
	return r;
}

static void slot_free(struct kvm_memory_slot *slot)
{
	kvm_mmu_slot_free(slot);
	kvfree(slot->dirty);
	kfree(slot);
}

static struct kvm_memory_slot *
slot_alloc(struct kvm *kvm, const struct kvm_userspace_memory_region *mem)
{
	struct kvm_memory_slot *slot = kzalloc(sizeof(*slot),
					       GFP_KERNEL_ACCOUNT);

	if (!slot)
		return NULL;
	slot->base_gfn = mem->guest_phys_addr >> PAGE_SHIFT;
	slot->npages = mem->memory_size >> PAGE_SHIFT;
	slot->hva = mem->userspace_addr;
	slot->flags = mem->flags;
	slot->id = mem->slot;
	if (!kvm_mmu_slot_create(kvm, slot))
		return slot;
	kfree(slot);
	return NULL;
}

/* Does a slot other than `self` reach into the range? */
static bool slots_overlap(struct kvm *kvm, gfn_t gfn, unsigned long npages,
			  const struct kvm_memory_slot *self)
{
	unsigned long index = gfn;
	struct kvm_memory_slot *slot;

	mt_for_each(&kvm->slots, slot, index, gfn + npages - 1)
		if (slot != self)
			return true;
	return false;
}

static int create_slot(struct kvm *kvm,
		       const struct kvm_userspace_memory_region *mem)
{
	struct kvm_memory_slot *slot = slot_alloc(kvm, mem);
	int r = -ENOMEM;

	if (!slot)
		return r;
	if ((slot->flags & KVM_MEM_LOG_DIRTY_PAGES) && slot_alloc_dirty(slot))
		goto free;
	r = xa_err(xa_store(&kvm->slots_by_id, slot->id, slot,
			    GFP_KERNEL_ACCOUNT));
	if (r)
		goto free;
	if (slot->dirty)
		count_logging_slot(kvm, 1);
	slots_hva_insert(kvm, slot);
	r = slots_publish(kvm, slot);
	if (r)
		goto remove;
	kvm->nr_slot_pages += slot->npages;
	return 0;

remove:
	slots_hva_remove(kvm, slot);
	if (slot->dirty)
		count_logging_slot(kvm, -1);
	xa_erase(&kvm->slots_by_id, slot->id);
free:
	slot_free(slot);
	return r;
}

static int delete_slot(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	int r = slot_retire(kvm, slot);

	if (r)
		return r;
	slots_hva_remove(kvm, slot);
	if (slot->dirty)
		count_logging_slot(kvm, -1);
	xa_erase(&kvm->slots_by_id, slot->id);
	kvm->nr_slot_pages -= slot->npages;
	synchronize_srcu_expedited(&kvm->srcu);
	slot_free(slot);
	return 0;
}

/*
 * The old range is given up first, as the new one may overlap it. If there
 * is no memory for the new one the old one comes back.
 */
static int move_slot(struct kvm *kvm, struct kvm_memory_slot *old,
		     const struct kvm_userspace_memory_region *mem)
{
	struct kvm_memory_slot *new = slot_alloc(kvm, mem);
	int r, logging;

	if (!new)
		return -ENOMEM;
	if ((new->flags & KVM_MEM_LOG_DIRTY_PAGES) && slot_alloc_dirty(new)) {
		slot_free(new);
		return -ENOMEM;
	}
	logging = !!new->dirty - !!old->dirty;
	r = slot_retire(kvm, old);
	if (r) {
		slot_free(new);
		return r;
	}
	synchronize_srcu_expedited(&kvm->srcu);
	if (new->dirty && old->dirty)
		memcpy(new->dirty, old->dirty, slot_dirty_bytes(old));

	count_logging_slot(kvm, logging);
	slots_hva_insert(kvm, new);
	r = slots_publish(kvm, new);
	if (!r) {
		xa_store(&kvm->slots_by_id, new->id, new, GFP_KERNEL_ACCOUNT);
		slots_hva_remove(kvm, old);
		slot_free(old);
		return 0;
	}
	slots_hva_remove(kvm, new);
	count_logging_slot(kvm, -logging);
	slot_free(new);
	old->invalid = false;
	if (slots_publish(kvm, old))
		kvm_vm_kill(kvm);
	return r;
}

static int start_dirty_log(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	if (slot_alloc_dirty(slot))
		return -ENOMEM;
	/* Under mmu_lock, so that whoever maps a page has seen it or not. */
	spin_lock(&kvm->mmu_lock);
	WRITE_ONCE(slot->flags, slot->flags | KVM_MEM_LOG_DIRTY_PAGES);
	spin_unlock(&kvm->mmu_lock);
	count_logging_slot(kvm, 1);
	kvm_mmu_slot_make_clean(kvm, slot);
	return 0;
}

static int stop_dirty_log(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	unsigned long *dirty = slot->dirty;

	spin_lock(&kvm->mmu_lock);
	WRITE_ONCE(slot->flags, slot->flags & ~KVM_MEM_LOG_DIRTY_PAGES);
	WRITE_ONCE(slot->dirty, NULL);
	spin_unlock(&kvm->mmu_lock);
	count_logging_slot(kvm, -1);
	kvm_mmu_slot_collapse(kvm, slot);
	synchronize_srcu_expedited(&kvm->srcu);
	kvfree(dirty);
	return 0;
}

/* Nothing but the position and the dirty log of a slot can change. */
static int change_slot(struct kvm *kvm, struct kvm_memory_slot *slot,
		       const struct kvm_userspace_memory_region *mem)
{
	u32 flipped = slot->flags ^ mem->flags;

	if (mem->memory_size >> PAGE_SHIFT != slot->npages ||
	    mem->userspace_addr != slot->hva || (flipped & KVM_MEM_READONLY))
		return -EINVAL;
	if (mem->guest_phys_addr >> PAGE_SHIFT != slot->base_gfn) {
		if (slots_overlap(kvm, mem->guest_phys_addr >> PAGE_SHIFT,
				  slot->npages, slot))
			return -EEXIST;
		return move_slot(kvm, slot, mem);
	}
	if (!flipped)
		return 0;
	return mem->flags & KVM_MEM_LOG_DIRTY_PAGES ?
		start_dirty_log(kvm, slot) : stop_dirty_log(kvm, slot);
}

static int set_memory_region(struct kvm *kvm,
			     const struct kvm_userspace_memory_region *mem)
{
	struct kvm_memory_slot *slot = xa_load(&kvm->slots_by_id, mem->slot);
	unsigned long npages = mem->memory_size >> PAGE_SHIFT;

	if (!npages)
		return slot ? delete_slot(kvm, slot) : -EINVAL;
	if (slot)
		return change_slot(kvm, slot, mem);
	if (kvm->nr_slot_pages + npages < npages)
		return -EINVAL;
	if (slots_overlap(kvm, mem->guest_phys_addr >> PAGE_SHIFT, npages,
			  NULL))
		return -EEXIST;
	return create_slot(kvm, mem);
}

/* Frames beyond it can be named by no guest. */
static gfn_t max_gfn(void)
{
	int bits = kvm_caps.host_maxphyaddr;

	if (kvm_caps.ept)
		bits = min(bits, PT_LEVEL_SHIFT(kvm_caps.ept_levels + 1));
	return (1ull << (bits - PAGE_SHIFT)) - 1;
}

static bool memory_region_valid(const struct kvm_userspace_memory_region *mem)
{
	u64 gpa = mem->guest_phys_addr, size = mem->memory_size;

	if (mem->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return false;
	/* The upper half of the number is an address space; there is one. */
	if (mem->slot >= KVM_MAX_MEMSLOTS)
		return false;
	if (!PAGE_ALIGNED(gpa | size | mem->userspace_addr))
		return false;
	if (gpa + size < gpa || size >> PAGE_SHIFT > KVM_MAX_SLOT_PAGES)
		return false;
	if (size && (gpa + size - 1) >> PAGE_SHIFT > max_gfn())
		return false;
	return access_ok((void __user *)(unsigned long)mem->userspace_addr,
			 size);
}

int kvm_set_memory_region(struct kvm *kvm,
			  const struct kvm_userspace_memory_region *mem)
{
	int r;

	if (!memory_region_valid(mem))
		return -EINVAL;
	mutex_lock(&kvm->slots_lock);
	r = set_memory_region(kvm, mem);
	mutex_unlock(&kvm->slots_lock);
	return r;
}

/* ---- memory of the driver's own ----------------------------------------- */

static int create_private_slot(struct kvm *kvm, u32 id, gpa_t gpa,
			       const void *image, unsigned long size)
{
	struct kvm_userspace_memory_region mem = {
		.slot = id, .guest_phys_addr = gpa, .memory_size = size,
	};
	unsigned long hva = vm_mmap(NULL, 0, size, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, 0);
	int r = -EFAULT;

	if (IS_ERR_VALUE(hva))
		return hva;
	mem.userspace_addr = hva;
	if (!copy_to_user((void __user *)hva, image, size))
		r = set_memory_region(kvm, &mem);
	if (r)
		vm_munmap(hva, size);
	return r;
}

int kvm_add_private_region(struct kvm *kvm, u32 id, gpa_t gpa,
			   const void *image, unsigned long size)
{
	struct kvm_memory_slot *slot;
	int r = -EINVAL;

	if (!PAGE_ALIGNED(gpa) || (gpa + size - 1) >> PAGE_SHIFT > max_gfn())
		return r;
	mutex_lock(&kvm->slots_lock);
	slot = xa_load(&kvm->slots_by_id, id);
	if (slot)
		r = slot->base_gfn == gpa >> PAGE_SHIFT ? 0 : -EEXIST;
	else
		r = create_private_slot(kvm, id, gpa, image, size);
	mutex_unlock(&kvm->slots_lock);
	return r;
}

/* What was mapped for them goes with them, unless the monitor goes as well. */
static void unmap_private_slots(struct kvm *kvm)
{
	struct kvm_memory_slot *slot;
	unsigned long id;

	if (kvm->mm != current->mm)
		return;
	xa_for_each_start(&kvm->slots_by_id, id, slot, KVM_MAX_MEMSLOTS)
		vm_munmap(slot->hva, slot->npages << PAGE_SHIFT);
}

/* ---- mmu notifiers ------------------------------------------------------ */

static struct kvm *notifier_kvm(struct mmu_notifier *mn)
{
	return container_of(mn, struct kvm, mmu_notifier);
}

typedef bool (*hva_fn)(struct kvm *kvm, struct kvm_memory_slot *slot,
		       gfn_t start, gfn_t end);

/* Call fn for the part of each slot that [start, end) backs. */
static bool for_each_hva_range(struct kvm *kvm, hva_t start, hva_t end,
			       hva_fn fn)
{
	struct interval_tree_node *node;
	bool ret = false;

	for (node = interval_tree_iter_first(&kvm->slots_hva, start, end - 1);
	     node; node = interval_tree_iter_next(node, start, end - 1)) {
		struct kvm_memory_slot *slot =
			container_of(node, struct kvm_memory_slot, hva_node);
		hva_t from = max(start, node->start);
		hva_t last = min(end - 1, node->last);

		ret |= fn(kvm, slot,
			  slot->base_gfn + ((from - slot->hva) >> PAGE_SHIFT),
			  slot->base_gfn + ((last - slot->hva) >> PAGE_SHIFT) +
			  1);
	}
	return ret;
}

/* At most so much is dropped before others may have mmu_lock. */
#define UNMAP_STEP	(128ul << 20)

static void unmap_hva_range(struct kvm *kvm, hva_t start, hva_t end,
			    bool may_sleep)
{
	struct interval_tree_node *node;
	bool flush = false;

	while (start < end) {
		hva_t next = end;

		/* The range may be most of an empty address space. */
		node = interval_tree_iter_first(&kvm->slots_hva, start,
						end - 1);
		if (!node)
			break;
		start = max(start, node->start);
		if (end - start > UNMAP_STEP)
			next = start + UNMAP_STEP;
		flush |= for_each_hva_range(kvm, start, next,
					    kvm_mmu_unmap_range);
		start = next;
		if (may_sleep && start < end)
			mmu_lock_breathe(kvm, &flush);
	}
	if (flush)
		kvm_mmu_flush(kvm);
}

static void invalidation_begins(struct kvm *kvm, hva_t start, hva_t end)
{
	if (!kvm->mmu_invalidate_in_progress++) {
		kvm->mmu_invalidate_start = start;
		kvm->mmu_invalidate_end = end;
		return;
	}
	/* Several at a time are rare: one range that covers all will do. */
	kvm->mmu_invalidate_start = min(kvm->mmu_invalidate_start, start);
	kvm->mmu_invalidate_end = max(kvm->mmu_invalidate_end, end);
}

static int notifier_range_start(struct mmu_notifier *mn,
				const struct mmu_notifier_range *range)
{
	struct kvm *kvm = notifier_kvm(mn);

	spin_lock(&kvm->mmu_lock);
	invalidation_begins(kvm, range->start, range->end);
	unmap_hva_range(kvm, range->start, range->end,
			mmu_notifier_range_blockable(range));
	spin_unlock(&kvm->mmu_lock);
	return 0;
}

static void notifier_range_end(struct mmu_notifier *mn,
			       const struct mmu_notifier_range *range)
{
	struct kvm *kvm = notifier_kvm(mn);

	/* Under the lock, so the order of the two does not matter. */
	spin_lock(&kvm->mmu_lock);
	kvm->mmu_invalidate_seq++;
	WARN_ON_ONCE(--kvm->mmu_invalidate_in_progress < 0);
	spin_unlock(&kvm->mmu_lock);
}

static bool age_clear(struct kvm *kvm, struct kvm_memory_slot *slot,
		      gfn_t start, gfn_t end)
{
	return kvm_mmu_age_range(kvm, slot, start, end, true);
}

static bool age_test(struct kvm *kvm, struct kvm_memory_slot *slot,
		     gfn_t start, gfn_t end)
{
	return kvm_mmu_age_range(kvm, slot, start, end, false);
}

static bool age_hva_range(struct mmu_notifier *mn, hva_t start, hva_t end,
			  hva_fn fn, bool flush)
{
	struct kvm *kvm = notifier_kvm(mn);
	bool young;

	spin_lock(&kvm->mmu_lock);
	young = for_each_hva_range(kvm, start, end, fn);
	if (young && flush)
		kvm_mmu_flush(kvm);
	spin_unlock(&kvm->mmu_lock);
	return young;
}

static compat_young_t notifier_clear_flush_young(struct mmu_notifier *mn,
						 struct mm_struct *mm,
						 unsigned long start,
						 unsigned long end)
{
	return age_hva_range(mn, start, end, age_clear, true);
}

static compat_young_t notifier_clear_young(struct mmu_notifier *mn,
					   struct mm_struct *mm,
					   unsigned long start,
					   unsigned long end)
{
	return age_hva_range(mn, start, end, age_clear, false);
}

static compat_young_t notifier_test_young(struct mmu_notifier *mn,
					  struct mm_struct *mm,
					  unsigned long address)
{
	return age_hva_range(mn, address, address + PAGE_SIZE, age_test,
			     false);
}

/*
 * The monitor's address space goes away, and with it all its threads: no
 * vCPU runs, or ever will. The VM itself may live on in another process that
 * holds its file descriptor, or be on its way out right now.
 */
static void notifier_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct kvm *kvm = notifier_kvm(mn);

	if (!refcount_inc_not_zero(&kvm->users))
		return;
	kvm_mmu_zap_all(kvm);
	kvm_put(kvm);
}

/* No notifier can be running any more. */
static void notifier_free(struct mmu_notifier *mn)
{
	kfree(notifier_kvm(mn));
}

static const struct mmu_notifier_ops notifier_ops = {
	.release = notifier_release,
	.clear_flush_young = notifier_clear_flush_young,
	.clear_young = notifier_clear_young,
	.test_young = notifier_test_young,
	.invalidate_range_start = notifier_range_start,
	.invalidate_range_end = notifier_range_end,
	.free_notifier = notifier_free,
};

/* ---- VM life ------------------------------------------------------------ */

int kvm_memory_init(struct kvm *kvm)
{
	int r;

	mutex_init(&kvm->slots_lock);
	spin_lock_init(&kvm->mmu_lock);
	/*
	 * The kind of tree that the kernel has for its own memory areas: in
	 * the other kind, 6.1 frees what is not a node when a tree of many
	 * slots is destroyed (mt_free_walk() takes metadata in a node's last
	 * slot for a child).
	 */
	mt_init_flags(&kvm->slots, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	xa_init(&kvm->slots_by_id);
	kvm->slots_hva = RB_ROOT_CACHED;

	r = init_srcu_struct(&kvm->srcu);
	if (r)
		return r;
	/* Holds a reference to the mm structure until notifier_free(). */
	kvm->mmu_notifier.ops = &notifier_ops;
	r = mmu_notifier_register(&kvm->mmu_notifier, current->mm);
	if (r)
		goto cleanup_srcu;
	kvm->mm = current->mm;
	return 0;

cleanup_srcu:
	cleanup_srcu_struct(&kvm->srcu);
	return r;
}

void kvm_memory_detach(struct kvm *kvm)
{
	spin_lock(&kvm->mmu_lock);
	kvm->slots_hva = RB_ROOT_CACHED;
	spin_unlock(&kvm->mmu_lock);
}

void kvm_memory_destroy(struct kvm *kvm)
{
	struct kvm_memory_slot *slot;
	unsigned long id;

	unmap_private_slots(kvm);
	xa_for_each(&kvm->slots_by_id, id, slot)
		slot_free(slot);
	xa_destroy(&kvm->slots_by_id);
	mtree_destroy(&kvm->slots);
	cleanup_srcu_struct(&kvm->srcu);
	mmu_notifier_put(&kvm->mmu_notifier);
}

void kvm_memory_exit(void)
{
	mmu_notifier_synchronize();
}
