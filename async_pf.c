// SPDX-License-Identifier: GPL-2.0-only
/*
 * async_pf.c - asynchronous page faults: a guest that touches memory which the
 * host must first bring in runs something else meanwhile.
 *
 * The guest is given a #PF with a token in place of an address, and a worker
 * makes the host bring the page in. When it is there, the guest finds the
 * token in its memory and gets an interrupt. The next one waits until it has
 * acknowledged that. Nothing is mapped on its behalf: it touches the memory
 * again, and if that has gone once more, it all happens anew.
 *
 * What a worker needs outlives the vCPU: a page that never comes (userfaultfd)
 * keeps a worker, the process's memory and the module, but not the VM.
 *
 * Kernel documentation: virt/kvm/x86/msr.rst, "MSR_KVM_ASYNC_PF_EN".
 * Locking: queue->lock for its lists and its vCPU, inside all else; all other
 * state of a vCPU is its thread's.
 */
#include <linux/kvm_para.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "include/compat.h"
#include "kvm.h"

/* So many pages can be on their way for one vCPU, the forgotten ones too. */
#define MAX_FETCHES	64

struct kvm_apf_queue {
	refcount_t users;		/* the vCPU, and each fetch under way */
	spinlock_t lock;
	struct kvm_vcpu *vcpu;		/* NULL: it is no more */
	struct list_head under_way;
	struct list_head done;
	int count;			/* in both lists */
};

struct fetch {
	struct work_struct work;
	struct list_head list;
	struct kvm_apf_queue *queue;
	struct mm_struct *mm;
	hva_t hva;
	bool write;
	u32 token;
	bool forgotten;			/* the guest does not wait for it */
};

static struct workqueue_struct *workers;

int __init kvm_apf_module_init(void)
{
	workers = alloc_workqueue("kvm-async-pf", WQ_UNBOUND, 0);
	return workers ? 0 : -ENOMEM;
}

void kvm_apf_module_exit(void)
{
	if (workers)
		destroy_workqueue(workers);
}

/* ---- the queue ---------------------------------------------------------- */

static struct kvm_apf_queue *queue_create(struct kvm_vcpu *vcpu)
{
	struct kvm_apf_queue *queue = kzalloc(sizeof(*queue),
					      GFP_KERNEL_ACCOUNT);

	if (!queue)
		return NULL;
	refcount_set(&queue->users, 1);
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->under_way);
	INIT_LIST_HEAD(&queue->done);
	queue->vcpu = vcpu;
	return queue;
}

static void queue_put(struct kvm_apf_queue *queue)
{
	if (refcount_dec_and_test(&queue->users))
		kfree(queue);
}

/* What is on its way will arrive, but nobody is told. queue->lock. */
static void queue_forget(struct kvm_apf_queue *queue)
{
	struct fetch *fetch, *next;

	list_for_each_entry(fetch, &queue->under_way, list)
		fetch->forgotten = true;
	list_for_each_entry_safe(fetch, next, &queue->done, list) {
		list_del(&fetch->list);
		queue->count--;
		kfree(fetch);
	}
}

void kvm_apf_forget(struct kvm_vcpu *vcpu)
{
	struct kvm_apf_queue *queue = vcpu->pv.apf_queue;

	vcpu->pv.apf_told = false;
	vcpu->pv.apf_wake_all = false;
	if (!queue)
		return;
	spin_lock(&queue->lock);
	queue_forget(queue);
	spin_unlock(&queue->lock);
}

void kvm_apf_destroy(struct kvm_vcpu *vcpu)
{
	struct kvm_apf_queue *queue = vcpu->pv.apf_queue;

	if (!queue)
		return;
	spin_lock(&queue->lock);
	queue_forget(queue);
	queue->vcpu = NULL;
	spin_unlock(&queue->lock);
	queue_put(queue);
}

/* ---- a page that is brought in ------------------------------------------ */

static void fetch_done(struct fetch *fetch)
{
	struct kvm_apf_queue *queue = fetch->queue;

	spin_lock(&queue->lock);
	list_del(&fetch->list);
	if (queue->vcpu && !fetch->forgotten) {
		list_add_tail(&fetch->list, &queue->done);
		kvm_make_request(queue->vcpu, KVM_REQ_APF_READY);
		kvm_vcpu_kick(queue->vcpu);
	} else {
		queue->count--;
		kfree(fetch);
	}
	spin_unlock(&queue->lock);
	queue_put(queue);
}

/* An error, too, is what the guest's next access will find out about. */
static void fetch_work(struct work_struct *work)
{
	struct fetch *fetch = container_of(work, struct fetch, work);
	struct mm_struct *mm = fetch->mm;

	if (mmget_not_zero(mm)) {
		kvm_fault_in(mm, fetch->hva, fetch->write);
		mmput(mm);
	}
	mmdrop(mm);
	fetch_done(fetch);
	/* kvm_apf_module_exit() waits for the end of this function. */
	module_put(THIS_MODULE);
}

/* 20 bits of a number, 12 of the vCPU; 0 is none, and all ones are all. */
static u32 new_token(struct kvm_vcpu *vcpu)
{
	u32 token;

	do {
		token = ++vcpu->pv.apf_number << 12 | vcpu->id;
	} while (!(token >> 12) || !~token);
	return token;
}

static bool queue_has(const struct kvm_apf_queue *queue, hva_t hva)
{
	const struct fetch *fetch;

	list_for_each_entry(fetch, &queue->under_way, list)
		if (fetch->hva == hva)
			return true;
	return false;
}

/* False: too many, or the page is on its way and the guest waits for it. */
static bool queue_add(struct kvm_apf_queue *queue, struct fetch *fetch)
{
	bool added = false;

	spin_lock(&queue->lock);
	if (queue->count < MAX_FETCHES && !queue_has(queue, fetch->hva)) {
		list_add(&fetch->list, &queue->under_way);
		queue->count++;
		added = true;
	}
	spin_unlock(&queue->lock);
	return added;
}

static struct fetch *fetch_create(struct kvm_vcpu *vcpu, hva_t hva, bool write)
{
	struct fetch *fetch;

	if (!vcpu->pv.apf_queue)
		vcpu->pv.apf_queue = queue_create(vcpu);
	if (!vcpu->pv.apf_queue)
		return NULL;
	fetch = kzalloc(sizeof(*fetch), GFP_KERNEL_ACCOUNT);
	if (!fetch)
		return NULL;
	INIT_WORK(&fetch->work, fetch_work);
	fetch->queue = vcpu->pv.apf_queue;
	fetch->mm = vcpu->kvm->mm;
	fetch->hva = hva & PAGE_MASK;
	fetch->write = write;
	fetch->token = new_token(vcpu);
	if (queue_add(fetch->queue, fetch))
		return fetch;
	kfree(fetch);
	return NULL;
}

static void fetch_cancel(struct fetch *fetch)
{
	spin_lock(&fetch->queue->lock);
	list_del(&fetch->list);
	fetch->queue->count--;
	spin_unlock(&fetch->queue->lock);
	kfree(fetch);
}

static void fetch_start(struct fetch *fetch)
{
	refcount_inc(&fetch->queue->users);
	mmgrab(fetch->mm);
	__module_get(THIS_MODULE);
	queue_work(workers, &fetch->work);
}

/* ---- page not present --------------------------------------------------- */

/* A structure of 64 bytes, aligned. */
static gpa_t flags_gpa(const struct kvm_vcpu *vcpu)
{
	return (vcpu->msr.async_pf_en & GENMASK_ULL(63, 6)) +
	       offsetof(struct kvm_vcpu_pv_apf_data, flags);
}

static gpa_t token_gpa(const struct kvm_vcpu *vcpu)
{
	return (vcpu->msr.async_pf_en & GENMASK_ULL(63, 6)) +
	       offsetof(struct kvm_vcpu_pv_apf_data, token);
}

/*
 * Can the guest take a #PF now that is none, and run something else? With
 * interrupts off it could not: it would wait for this page all the same.
 */
static bool guest_can_wait(struct kvm_vcpu *vcpu)
{
	u64 msr = vcpu->msr.async_pf_en;
	u32 flags;

	if (!vcpu->apic || !kvm_interrupt_possible(vcpu))
		return false;
	if (!(msr & KVM_ASYNC_PF_SEND_ALWAYS) && !backend->get_cpl(vcpu))
		return false;
	/* It is still busy with the last one. */
	return !kvm_read_guest(vcpu, flags_gpa(vcpu), &flags, sizeof(flags)) &&
	       !flags;
}

bool kvm_apf_begin(struct kvm_vcpu *vcpu, hva_t hva, bool write)
{
	u32 flags = KVM_PV_REASON_PAGE_NOT_PRESENT;
	struct fetch *fetch;

	if (!guest_can_wait(vcpu))
		return false;
	fetch = fetch_create(vcpu, hva, write);
	if (!fetch)
		return false;
	if (kvm_write_guest(vcpu, flags_gpa(vcpu), &flags, sizeof(flags))) {
		fetch_cancel(fetch);
		return false;
	}
	kvm_queue_page_fault(vcpu, fetch->token, 0);
	vcpu->stat.async_pf++;
	fetch_start(fetch);
	return true;
}

/* ---- page ready --------------------------------------------------------- */

#define TOKEN_ALL	(~0u)

/* The token of a page that has come; false: none has. */
static bool next_token(struct kvm_vcpu *vcpu, u32 *token)
{
	struct kvm_apf_queue *queue = vcpu->pv.apf_queue;
	struct fetch *fetch = NULL;

	if (vcpu->pv.apf_wake_all) {
		vcpu->pv.apf_wake_all = false;
		*token = TOKEN_ALL;
		return true;
	}
	if (!queue)
		return false;
	spin_lock(&queue->lock);
	fetch = list_first_entry_or_null(&queue->done, struct fetch, list);
	if (fetch) {
		list_del(&fetch->list);
		queue->count--;
	}
	spin_unlock(&queue->lock);
	if (!fetch)
		return false;
	*token = fetch->token;
	kfree(fetch);
	return true;
}

/* KVM_REQ_APF_READY. kvm->srcu held. */
void kvm_apf_tell_ready(struct kvm_vcpu *vcpu)
{
	const struct kvm_apic_msg msg = {
		.vector = vcpu->msr.async_pf_int,
		.mode = KVM_DELIVER_FIXED,
		.shorthand = KVM_SHORTHAND_SELF,
	};
	gpa_t gpa = token_gpa(vcpu);
	u32 token;

	if (!vcpu->pv.apf_on || vcpu->pv.apf_told || !vcpu->apic)
		return;
	if (kvm_read_guest(vcpu, gpa, &token, sizeof(token)) || token)
		return;
	if (!next_token(vcpu, &token) ||
	    kvm_write_guest(vcpu, gpa, &token, sizeof(token)))
		return;
	vcpu->pv.apf_told = true;
	kvm_apic_deliver(vcpu->kvm, vcpu, &msg);
}

/* ---- the MSRs ----------------------------------------------------------- */

/* Without an interrupt for what is ready, nothing is delivered at all. */
#define APF_ON	(KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_DELIVERY_AS_INT)

/*
 * A monitor that restores a guest does not know which pages it was waiting
 * for: it is told that all of them have come.
 */
void kvm_apf_changed(struct kvm_vcpu *vcpu, bool host)
{
	vcpu->pv.apf_on = (vcpu->msr.async_pf_en & APF_ON) == APF_ON;
	if (!vcpu->pv.apf_on) {
		kvm_apf_forget(vcpu);
		return;
	}
	if (host)
		vcpu->pv.apf_wake_all = true;
	kvm_make_request(vcpu, KVM_REQ_APF_READY);
}

void kvm_apf_acknowledge(struct kvm_vcpu *vcpu)
{
	vcpu->pv.apf_told = false;
	kvm_make_request(vcpu, KVM_REQ_APF_READY);
}
