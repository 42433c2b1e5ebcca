// SPDX-License-Identifier: GPL-2.0-only
/*
 * eventfd.c - event file descriptors: irqfds, which raise an interrupt when
 * they are signalled, and ioeventfds, which a guest's write signals.
 *
 * An irqfd waits in its eventfd's wait queue, and injects from there, with
 * that queue's lock held and interrupts off. One that resamples keeps its
 * line high until the guest acknowledges; then its second eventfd asks the
 * owner, who signals again if the device still wants service. All those of a
 * GSI share a line.
 *
 * An irqfd ends by KVM_IRQFD, with its VM, or when its eventfd is closed.
 * Who takes it off kvm->irqfds, under irqfds_lock, ends it; the last of the
 * three cannot sleep and leaves that to a work queue.
 *
 * ioeventfds are found by address in a hash table that a VM gets with its
 * first. Changed under kvm->irq_lock, read in a section of kvm->srcu.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/hash.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "include/compat.h"
#include "kvm.h"
#include "irqchip/devices.h"

/* ---- irqfd: to the guest ------------------------------------------------ */

/* The irqfds of a GSI that resample. On kvm->resamplers. */
struct resampler {
	u32 gsi;
	struct list_head irqfds;
	struct list_head list;
};

struct irqfd {
	struct kvm *kvm;
	u32 gsi;
	struct eventfd_ctx *trigger;
	wait_queue_entry_t wait;
	poll_table poll;
	struct list_head list;		/* kvm->irqfds; irqfds_lock */
	struct work_struct end;

	/* With KVM_IRQFD_FLAG_RESAMPLE. */
	struct resampler *resampler;
	struct eventfd_ctx *ask;
	struct list_head resampler_list;
};

static struct workqueue_struct *irqfd_wq;

static void inject(struct irqfd *irqfd)
{
	struct kvm *kvm = irqfd->kvm;

	if (irqfd->ask) {
		kvm_set_irq(kvm, KVM_IRQ_SOURCE_RESAMPLE, irqfd->gsi, true);
		return;
	}
	kvm_set_irq(kvm, KVM_IRQ_SOURCE_USER, irqfd->gsi, true);
	kvm_set_irq(kvm, KVM_IRQ_SOURCE_USER, irqfd->gsi, false);
}

/* irqfds_lock held. True for the one who takes it off, and is to end it. */
static bool unlist(struct irqfd *irqfd)
{
	bool listed = !list_empty(&irqfd->list);

	list_del_init(&irqfd->list);
	return listed;
}

/* Whoever then misses it on the list finds it in the work queue. */
static void end_later(struct irqfd *irqfd)
{
	unsigned long flags;

	spin_lock_irqsave(&irqfd->kvm->irqfds_lock, flags);
	if (unlist(irqfd))
		queue_work(irqfd_wq, &irqfd->end);
	spin_unlock_irqrestore(&irqfd->kvm->irqfds_lock, flags);
}

/* The eventfd was signalled or is going away. Its queue's lock is held. */
static int irqfd_wake(wait_queue_entry_t *wait, unsigned int mode, int sync,
		      void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	u64 count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->trigger, &count);
		inject(irqfd);
	}
	if (events & EPOLLHUP)
		end_later(irqfd);
	return 0;
}

static struct resampler *find_resampler(struct kvm *kvm, u32 gsi)
{
	struct resampler *r;

	list_for_each_entry_srcu(r, &kvm->resamplers, list,
				 srcu_read_lock_held(&kvm->irq_srcu) ||
				 lockdep_is_held(&kvm->irq_lock))
		if (r->gsi == gsi)
			return r;
	return NULL;
}

bool kvm_irqfd_wants_ack(struct kvm *kvm, u32 gsi)
{
	return find_resampler(kvm, gsi);
}

void kvm_irqfd_acked(struct kvm *kvm, u32 gsi)
{
	struct resampler *r = find_resampler(kvm, gsi);
	struct irqfd *irqfd;

	if (!r)
		return;
	kvm_set_irq(kvm, KVM_IRQ_SOURCE_RESAMPLE, gsi, false);
	list_for_each_entry_srcu(irqfd, &r->irqfds, resampler_list,
				 srcu_read_lock_held(&kvm->irq_srcu))
		compat_eventfd_signal(irqfd->ask);
}

/* ---- irqfd: life -------------------------------------------------------- */

/* irq_lock held. */
static int resampler_join(struct irqfd *irqfd)
{
	struct kvm *kvm = irqfd->kvm;
	struct resampler *r = find_resampler(kvm, irqfd->gsi);

	if (!r) {
		r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
		if (!r)
			return -ENOMEM;
		r->gsi = irqfd->gsi;
		INIT_LIST_HEAD(&r->irqfds);
		list_add_rcu(&r->list, &kvm->resamplers);
	}
	list_add_rcu(&irqfd->resampler_list, &r->irqfds);
	irqfd->resampler = r;
	return 0;
}

static void resampler_leave(struct irqfd *irqfd)
{
	struct resampler *r = irqfd->resampler;
	struct kvm *kvm = irqfd->kvm;
	bool last;

	mutex_lock(&kvm->irq_lock);
	list_del_rcu(&irqfd->resampler_list);
	last = list_empty(&r->irqfds);
	if (last)
		list_del_rcu(&r->list);
	mutex_unlock(&kvm->irq_lock);
	synchronize_srcu_expedited(&kvm->irq_srcu);
	if (!last)
		return;
	/* Nobody else will lower the line. */
	kvm_set_irq(kvm, KVM_IRQ_SOURCE_RESAMPLE, irqfd->gsi, false);
	kvm_request_ioapic_scan(kvm);
	kfree(r);
}

static void irqfd_free(struct irqfd *irqfd)
{
	if (irqfd->ask)
		eventfd_ctx_put(irqfd->ask);
	if (irqfd->trigger)
		eventfd_ctx_put(irqfd->trigger);
	kfree(irqfd);
}

/* It is on no list any more. */
static void irqfd_end(struct irqfd *irqfd)
{
	u64 count;

	eventfd_ctx_remove_wait_queue(irqfd->trigger, &irqfd->wait, &count);
	if (irqfd->resampler)
		resampler_leave(irqfd);
	irqfd_free(irqfd);
}

static void irqfd_end_work(struct work_struct *work)
{
	irqfd_end(container_of(work, struct irqfd, end));
}

static void irqfd_queue(struct file *file, wait_queue_head_t *wqh,
			poll_table *poll)
{
	struct irqfd *irqfd = container_of(poll, struct irqfd, poll);

	add_wait_queue(wqh, &irqfd->wait);
}

/* False: its eventfd has one already. */
static bool enlist(struct irqfd *irqfd)
{
	struct kvm *kvm = irqfd->kvm;
	struct irqfd *other;
	bool fresh = true;

	spin_lock_irq(&kvm->irqfds_lock);
	list_for_each_entry(other, &kvm->irqfds, list)
		fresh &= other->trigger != irqfd->trigger;
	if (fresh)
		list_add_tail(&irqfd->list, &kvm->irqfds);
	spin_unlock_irq(&kvm->irqfds_lock);
	return fresh;
}

static struct irqfd *irqfd_alloc(struct kvm *kvm, const struct kvm_irqfd *args)
{
	struct irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);

	if (!irqfd)
		return NULL;
	irqfd->kvm = kvm;
	irqfd->gsi = args->gsi;
	INIT_LIST_HEAD(&irqfd->list);
	INIT_WORK(&irqfd->end, irqfd_end_work);
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wake);
	init_poll_funcptr(&irqfd->poll, irqfd_queue);
	return irqfd;
}

/*
 * irq_lock held, so that nobody ends it half begun. An eventfd that was
 * signalled before counts as signalled now.
 */
static int irqfd_begin(struct irqfd *irqfd, struct file *file)
{
	int r;

	if (irqfd->ask) {
		r = resampler_join(irqfd);
		if (r)
			return r;
	}
	if (!enlist(irqfd))
		return -EBUSY;
	if (vfs_poll(file, &irqfd->poll) & EPOLLIN)
		inject(irqfd);
	return 0;
}

/* `file` keeps the eventfd from going away until all is set up. */
static int irqfd_assign_file(struct irqfd *irqfd, struct file *file,
			     const struct kvm_irqfd *args)
{
	struct kvm *kvm = irqfd->kvm;
	int r;

	irqfd->trigger = eventfd_ctx_fileget(file);
	if (IS_ERR(irqfd->trigger)) {
		r = PTR_ERR(irqfd->trigger);
		irqfd->trigger = NULL;
		return r;
	}
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		irqfd->ask = eventfd_ctx_fdget(args->resamplefd);
		if (IS_ERR(irqfd->ask)) {
			r = PTR_ERR(irqfd->ask);
			irqfd->ask = NULL;
			return r;
		}
	}
	mutex_lock(&kvm->irq_lock);
	r = irqfd_begin(irqfd, file);
	mutex_unlock(&kvm->irq_lock);
	if (irqfd->resampler && r)
		resampler_leave(irqfd);
	else if (irqfd->resampler)
		kvm_request_ioapic_scan(kvm);
	return r;
}

static int irqfd_assign(struct kvm *kvm, const struct kvm_irqfd *args)
{
	struct irqfd *irqfd;
	struct file *file;
	int r = -EBADF;

	irqfd = irqfd_alloc(kvm, args);
	if (!irqfd)
		return -ENOMEM;
	file = fget(args->fd);
	if (file) {
		r = irqfd_assign_file(irqfd, file, args);
		if (r)
			irqfd_free(irqfd);
		fput(file);
	} else {
		irqfd_free(irqfd);
	}
	return r;
}

/* The next one of an eventfd and a GSI, or of all; it is the caller's. */
static struct irqfd *take_irqfd(struct kvm *kvm, struct eventfd_ctx *trigger,
				u32 gsi)
{
	struct irqfd *irqfd, *found = NULL;

	spin_lock_irq(&kvm->irqfds_lock);
	list_for_each_entry(irqfd, &kvm->irqfds, list)
		if (!trigger ||
		    (irqfd->trigger == trigger && irqfd->gsi == gsi)) {
			found = irqfd;
			break;
		}
	if (found)
		unlist(found);
	spin_unlock_irq(&kvm->irqfds_lock);
	return found;
}

static void end_irqfds(struct kvm *kvm, struct eventfd_ctx *trigger, u32 gsi)
{
	struct irqfd *irqfd;

	while ((irqfd = take_irqfd(kvm, trigger, gsi)))
		irqfd_end(irqfd);
	/* Those that went with their eventfds inject nothing any more, too. */
	flush_workqueue(irqfd_wq);
}

static int irqfd_deassign(struct kvm *kvm, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *trigger = eventfd_ctx_fdget(args->fd);

	if (IS_ERR(trigger))
		return PTR_ERR(trigger);
	/* Wait for one that is being assigned. */
	mutex_lock(&kvm->irq_lock);
	mutex_unlock(&kvm->irq_lock);
	end_irqfds(kvm, trigger, args->gsi);
	eventfd_ctx_put(trigger);
	return 0;
}

int kvm_irqfd(struct kvm *kvm, const struct kvm_irqfd *args)
{
	const u32 known = KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE;

	if ((args->flags & ~known) || !kvm_irqchip_in_kernel(kvm))
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfd_deassign(kvm, args);
	/* What a monitor's I/O APIC acknowledges, the monitor knows. */
	if ((args->flags & KVM_IRQFD_FLAG_RESAMPLE) &&
	    kvm->irqchip_mode != KVM_IRQCHIP_KERNEL)
		return -EINVAL;
	return irqfd_assign(kvm, args);
}

void kvm_irqfd_release(struct kvm *kvm)
{
	end_irqfds(kvm, NULL, 0);
}

int kvm_irqfd_module_init(void)
{
	irqfd_wq = alloc_workqueue("kvm-irqfd", 0, 0);
	return irqfd_wq ? 0 : -ENOMEM;
}

void kvm_irqfd_module_exit(void)
{
	if (irqfd_wq)
		destroy_workqueue(irqfd_wq);
}

/* ---- ioeventfd ---------------------------------------------------------- */

#define IOEVENTFD_HASH_BITS	8
/* Far beyond what a monitor needs; lists are not to become long. */
#define MAX_IOEVENTFDS		32768

struct ioeventfd {
	struct hlist_node node;
	enum kvm_bus bus;
	u64 addr;
	u32 len;			/* 0: any */
	bool any_value;
	u64 datamatch;
	struct eventfd_ctx *ctx;
};

struct kvm_ioeventfds {
	unsigned int nr;
	struct hlist_head bucket[1 << IOEVENTFD_HASH_BITS];
};

static struct hlist_head *bucket(struct kvm_ioeventfds *all, u64 addr)
{
	return &all->bucket[hash_64(addr, IOEVENTFD_HASH_BITS)];
}

static u64 value_of(unsigned int len, const void *data)
{
	switch (len) {
	case 1:
		return *(const u8 *)data;
	case 2:
		return *(const u16 *)data;
	case 4:
		return *(const u32 *)data;
	default:
		return *(const u64 *)data;
	}
}

static bool is_for(const struct ioeventfd *e, unsigned int len,
		   const void *data)
{
	if (!e->len)
		return true;
	if (e->len != len)
		return false;
	return e->any_value || e->datamatch == value_of(len, data);
}

bool kvm_ioeventfd_write(struct kvm *kvm, enum kvm_bus bus, u64 addr,
			 unsigned int len, const void *data)
{
	struct kvm_ioeventfds *all = smp_load_acquire(&kvm->ioeventfds);
	struct ioeventfd *e;

	if (!all)
		return false;
	hlist_for_each_entry_srcu(e, bucket(all, addr), node,
				  srcu_read_lock_held(&kvm->srcu))
		if (e->addr == addr && e->bus == bus && is_for(e, len, data)) {
			compat_eventfd_signal(e->ctx);
			return true;
		}
	return false;
}

/* A write could be for both. */
static bool collide(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (a->bus != b->bus || a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len && (a->any_value || b->any_value ||
				    a->datamatch == b->datamatch);
}

/* irq_lock held. */
static int ioeventfd_add(struct kvm *kvm, struct ioeventfd *new)
{
	struct kvm_ioeventfds *all = kvm->ioeventfds;
	struct ioeventfd *e;

	if (!all) {
		all = kzalloc(sizeof(*all), GFP_KERNEL_ACCOUNT);
		if (!all)
			return -ENOMEM;
		smp_store_release(&kvm->ioeventfds, all);
	}
	hlist_for_each_entry(e, bucket(all, new->addr), node)
		if (collide(e, new))
			return -EEXIST;
	if (all->nr == MAX_IOEVENTFDS)
		return -ENOSPC;
	all->nr++;
	hlist_add_head_rcu(&new->node, bucket(all, new->addr));
	return 0;
}

static bool same(const struct ioeventfd *a, const struct ioeventfd *b)
{
	return a->bus == b->bus && a->addr == b->addr && a->len == b->len &&
	       a->ctx == b->ctx && a->any_value == b->any_value &&
	       (a->any_value || a->datamatch == b->datamatch);
}

/* irq_lock held. Returns the one that is like `like`, off the list. */
static struct ioeventfd *ioeventfd_remove(struct kvm *kvm,
					  const struct ioeventfd *like)
{
	struct kvm_ioeventfds *all = kvm->ioeventfds;
	struct ioeventfd *e;

	if (!all)
		return NULL;
	hlist_for_each_entry(e, bucket(all, like->addr), node)
		if (same(e, like)) {
			hlist_del_rcu(&e->node);
			all->nr--;
			return e;
		}
	return NULL;
}

static void ioeventfd_free(struct ioeventfd *e)
{
	eventfd_ctx_put(e->ctx);
	kfree(e);
}

static int ioeventfd_assign(struct kvm *kvm, const struct ioeventfd *like)
{
	struct ioeventfd *new = kmemdup(like, sizeof(*like),
					GFP_KERNEL_ACCOUNT);
	int r;

	if (!new)
		return -ENOMEM;
	mutex_lock(&kvm->irq_lock);
	r = ioeventfd_add(kvm, new);
	mutex_unlock(&kvm->irq_lock);
	if (r)
		kfree(new);
	return r;
}

static int ioeventfd_deassign(struct kvm *kvm, const struct ioeventfd *like)
{
	struct ioeventfd *e;

	mutex_lock(&kvm->irq_lock);
	e = ioeventfd_remove(kvm, like);
	mutex_unlock(&kvm->irq_lock);
	if (!e)
		return -ENOENT;
	synchronize_srcu_expedited(&kvm->srcu);
	ioeventfd_free(e);
	return 0;
}

static bool ioeventfd_args_valid(const struct kvm_ioeventfd *args)
{
	const u32 known = KVM_IOEVENTFD_FLAG_DATAMATCH |
			  KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN;

	if (args->flags & ~known || args->addr + args->len < args->addr)
		return false;
	switch (args->len) {
	case 0:
		return !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
	case 1:
	case 2:
	case 4:
	case 8:
		return true;
	}
	return false;
}

int kvm_ioeventfd(struct kvm *kvm, const struct kvm_ioeventfd *args)
{
	struct ioeventfd like = {
		.bus = args->flags & KVM_IOEVENTFD_FLAG_PIO ? KVM_BUS_PIO :
							      KVM_BUS_MMIO,
		.addr = args->addr,
		.len = args->len,
		.any_value = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
		.datamatch = args->datamatch,
	};
	int r;

	if (!ioeventfd_args_valid(args))
		return -EINVAL;
	like.ctx = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(like.ctx))
		return PTR_ERR(like.ctx);
	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) {
		r = ioeventfd_deassign(kvm, &like);
	} else {
		r = ioeventfd_assign(kvm, &like);
		if (!r)
			return 0;	/* the eventfd is the new one's */
	}
	eventfd_ctx_put(like.ctx);
	return r;
}

void kvm_ioeventfd_release(struct kvm *kvm)
{
	struct hlist_node *next;
	struct ioeventfd *e;
	int i;

	if (!kvm->ioeventfds)
		return;
	for (i = 0; i < ARRAY_SIZE(kvm->ioeventfds->bucket); i++)
		hlist_for_each_entry_safe(e, next, &kvm->ioeventfds->bucket[i],
					  node)
			ioeventfd_free(e);
	kfree(kvm->ioeventfds);
}
