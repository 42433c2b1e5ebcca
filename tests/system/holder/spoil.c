// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes one VM entry fail: writes `value` into a `field` of the VMCS that is
 * about to be entered next, whosever it is. Where the tracepoint kvm_entry
 * stands nothing more is checked. Stays until it is unloaded.
 */
#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/tracepoint.h>

static ulong field, value;
module_param(field, ulong, 0);
module_param(value, ulong, 0);

static struct tracepoint *kvm_entry;
static atomic_t done;

static void spoil(void *data, void *vcpu)
{
	if (!atomic_xchg(&done, 1))
		asm volatile("vmwrite %0, %1"
			     : : "r" (value), "r" (field) : "cc");
}

static int look_at_module(struct notifier_block *nb, unsigned long action,
			  void *data)
{
	const struct tp_module *tp = data;
	struct module *mod = tp->mod;
	unsigned int i;

	if (action != MODULE_STATE_COMING)
		return NOTIFY_DONE;
	for (i = 0; i < mod->num_tracepoints; i++) {
		struct tracepoint *t =
			tracepoint_ptr_deref(&mod->tracepoints_ptrs[i]);

		if (!strcmp(t->name, "kvm_entry"))
			kvm_entry = t;
	}
	return NOTIFY_DONE;
}

static struct notifier_block modules = { .notifier_call = look_at_module };

static int __init spoil_init(void)
{
	int r = register_tracepoint_module_notifier(&modules);

	if (r)
		return r;
	unregister_tracepoint_module_notifier(&modules);
	return kvm_entry ? tracepoint_probe_register(kvm_entry, spoil, NULL) :
			   -ENOENT;
}

static void __exit spoil_exit(void)
{
	tracepoint_probe_unregister(kvm_entry, spoil, NULL);
	tracepoint_synchronize_unregister();
}

module_init(spoil_init);
module_exit(spoil_exit);
MODULE_DESCRIPTION("Makes a VM entry fail, for tests");
MODULE_LICENSE("GPL");
