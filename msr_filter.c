// SPDX-License-Identifier: GPL-2.0-only
/*
 * msr_filter.c - accesses to MSRs about which the monitor has a say: those that
 * its filter denies the guest, and those that end KVM_RUN for it to carry out.
 *
 * A filter is a list of ranges, each with a bitmap of what is allowed. The
 * first range that has an MSR decides, the default if there is none. The
 * registers of a local APIC are not for filters, as the processor may access
 * them by itself.
 *
 * What the MSRs hold is msr.c's. The instructions, and the way back from user
 * space, are the backend's and emulate.c's.
 *
 * Locking: kvm->msr_filter changes under kvm->lock and is read, with interrupts
 * on or off, in a section of kvm->srcu.
 *
 * Kernel documentation: virt/kvm/api.rst, KVM_X86_SET_MSR_FILTER,
 * KVM_CAP_X86_USER_SPACE_MSR.
 */
#include <linux/bitmap.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/apicdef.h>

#include "include/compat.h"
#include "kvm.h"

#define BITMAP_MAX_BYTES	0x600
#define RANGE_FLAGS		(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)

struct msr_range {
	u32 flags;		/* KVM_MSR_FILTER_READ, _WRITE */
	u32 base;
	u32 nmsrs;
	unsigned long *allowed;
};

struct kvm_msr_filter_table {
	bool default_allow;
	unsigned int nr_ranges;
	struct msr_range range[KVM_MSR_FILTER_MAX_RANGES];
};

/* ---- may the guest? ----------------------------------------------------- */

static bool allowed_by(const struct kvm_msr_filter_table *table, u32 index,
		       u32 access)
{
	const struct msr_range *range = table->range;
	unsigned int i;
	u32 bit;

	for (i = 0; i < table->nr_ranges; i++, range++) {
		bit = index - range->base;
		if ((range->flags & access) && bit < range->nmsrs)
			return test_bit(array_index_nospec(bit, range->nmsrs),
					range->allowed);
	}
	return table->default_allow;
}

bool kvm_msr_filtered(struct kvm *kvm, u32 index, u32 access)
{
	const struct kvm_msr_filter_table *table;
	bool allowed;
	int idx;

	if (index >> 8 == APIC_BASE_MSR >> 8)
		return false;
	idx = srcu_read_lock(&kvm->srcu);
	table = srcu_dereference(kvm->msr_filter, &kvm->srcu);
	allowed = !table || allowed_by(table, index, access);
	srcu_read_unlock(&kvm->srcu, idx);
	return !allowed;
}

/* ---- the monitor carries it out ----------------------------------------- */

static u32 exit_reason(int result)
{
	switch (result) {
	case KVM_MSR_FILTERED:
		return KVM_MSR_EXIT_REASON_FILTER;
	case KVM_MSR_UNKNOWN:
		return KVM_MSR_EXIT_REASON_UNKNOWN;
	default:
		return KVM_MSR_EXIT_REASON_INVAL;
	}
}

bool kvm_msr_exit_wanted(const struct kvm_vcpu *vcpu, int result)
{
	return result && (READ_ONCE(vcpu->kvm->user_msr_reasons) &
			  exit_reason(result));
}

void kvm_msr_fill_exit(struct kvm_vcpu *vcpu, int result, bool write,
		       u32 index, u64 data)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	run->msr.error = 0;
	memset(run->msr.pad, 0, sizeof(run->msr.pad));
	run->msr.reason = exit_reason(result);
	run->msr.index = index;
	run->msr.data = data;
}

/* ---- KVM_X86_SET_MSR_FILTER --------------------------------------------- */

static void table_free(struct kvm_msr_filter_table *table)
{
	unsigned int i;

	if (!table)
		return;
	for (i = 0; i < table->nr_ranges; i++)
		kfree(table->range[i].allowed);
	kfree(table);
}

/* Ranges of no MSRs are empty places, whatever else they say. */
static int table_add(struct kvm_msr_filter_table *table,
		     const struct kvm_msr_filter_range *user)
{
	size_t bytes = BITS_TO_LONGS((u64)user->nmsrs) * sizeof(long);
	unsigned long *allowed;

	if (!user->nmsrs)
		return 0;
	if (!user->flags || (user->flags & ~RANGE_FLAGS) ||
	    bytes > BITMAP_MAX_BYTES)
		return -EINVAL;
	allowed = memdup_user((void __user *)user->bitmap, bytes);
	if (IS_ERR(allowed))
		return PTR_ERR(allowed);
	table->range[table->nr_ranges++] = (struct msr_range) {
		.flags = user->flags,
		.base = user->base,
		.nmsrs = user->nmsrs,
		.allowed = allowed,
	};
	return 0;
}

/* NULL: a filter without ranges is none. */
static struct kvm_msr_filter_table *
table_create(const struct kvm_msr_filter *user)
{
	struct kvm_msr_filter_table *table;
	unsigned int i;
	int r = 0;

	table = kzalloc(sizeof(*table), GFP_KERNEL_ACCOUNT);
	if (!table)
		return ERR_PTR(-ENOMEM);
	table->default_allow = !(user->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (i = 0; !r && i < ARRAY_SIZE(user->ranges); i++)
		r = table_add(table, &user->ranges[i]);
	if (!r && !table->nr_ranges && !table->default_allow)
		r = -EINVAL;
	if (!r && table->nr_ranges)
		return table;
	table_free(table);
	return ERR_PTR(r);
}

int kvm_set_msr_filter(struct kvm *kvm, const struct kvm_msr_filter *user)
{
	struct kvm_msr_filter_table *new, *old;

	if (user->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	new = table_create(user);
	if (IS_ERR(new))
		return PTR_ERR(new);
	mutex_lock(&kvm->lock);
	old = rcu_replace_pointer(kvm->msr_filter, new,
				  lockdep_is_held(&kvm->lock));
	mutex_unlock(&kvm->lock);
	kvm_make_all_requests(kvm, KVM_REQ_MSR_FILTER);
	synchronize_srcu_expedited(&kvm->srcu);
	table_free(old);
	return 0;
}

void kvm_msr_filter_free(struct kvm *kvm)
{
	table_free(rcu_dereference_protected(kvm->msr_filter, true));
}
