// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stands in the way of a hypervisor, as another one would:
 *
 *	vmxe=1		sets CR4.VMXE on every processor until it is unloaded,
 *			and then tells in the log on how many it still is
 *	device=1	holds /dev/kvm
 *	check=1		does not stay: -EBUSY if a processor has CR4.VMXE set,
 *			-EAGAIN if none has
 */
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/smp.h>
#include <asm/tlbflush.h>

static bool vmxe, device, check;
module_param(vmxe, bool, 0);
module_param(device, bool, 0);
module_param(check, bool, 0);

static atomic_t found;

static const struct file_operations holder_ops = {
	.owner = THIS_MODULE,
};

static struct miscdevice holder_device = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.fops = &holder_ops,
};

static void set_vmxe(void *unused)
{
	cr4_set_bits(X86_CR4_VMXE);
}

static void look_for_vmxe(void *unused)
{
	if (__read_cr4() & X86_CR4_VMXE)
		atomic_inc(&found);
}

static void clear_vmxe(void *unused)
{
	look_for_vmxe(unused);
	cr4_clear_bits(X86_CR4_VMXE);
}

static int __init holder_init(void)
{
	if (check) {
		on_each_cpu(look_for_vmxe, NULL, 1);
		return atomic_read(&found) ? -EBUSY : -EAGAIN;
	}
	if (vmxe)
		on_each_cpu(set_vmxe, NULL, 1);
	return device ? misc_register(&holder_device) : 0;
}

static void __exit holder_exit(void)
{
	if (device)
		misc_deregister(&holder_device);
	if (!vmxe)
		return;
	on_each_cpu(clear_vmxe, NULL, 1);
	pr_info("holder: CR4.VMXE on %d processors\n", atomic_read(&found));
}

module_init(holder_init);
module_exit(holder_exit);
MODULE_DESCRIPTION("In the way of a hypervisor, for tests");
MODULE_LICENSE("GPL");
