// SPDX-License-Identifier: GPL-2.0-only
/*
 * stats.c - counters in debugfs, all from the tables in stats.h.
 *
 *	kvm/<counter>			sum over all VMs
 *	kvm/<pid>-<fd>/<counter>	of one VM, or summed over its vCPUs
 *	kvm/<pid>-<fd>/vcpu<id>/stats	all counters of one vCPU, one a line;
 *					beside it, the backend's own files
 *	kvm/vmx_ops			VMREADs, VMWRITEs, RDMSRs, WRMSRs so far,
 *					in a build with KVM_COUNT_OPS
 *
 * Writing 0 to a counter's file clears it, which is what kvm_stat does. A
 * file belongs to one VM or vCPU, which debugfs keeps from going away while
 * the file is in use: removal waits for readers. The sums over all VMs walk
 * the list of VMs under kvm_list_lock.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "include/compat.h"
#include "kvm.h"
#include "vmcs.h"

struct counter {
	const char *name;
	size_t offset;
	bool of_vcpu;			/* offset in struct kvm_vcpu, not kvm */
};

static const struct counter counters[] = {
#define VM_COUNTER(field, what)						\
	{ #field, offsetof(struct kvm, stat.field), false },
#define VCPU_COUNTER(field, what)					\
	{ #field, offsetof(struct kvm_vcpu, stat.field), true },
	KVM_VM_STATS(VM_COUNTER)
	KVM_VCPU_STATS(VCPU_COUNTER)
};

static struct dentry *root;

static u64 *counter_at(void *owner, const struct counter *counter)
{
	return owner + counter->offset;
}

static u64 vm_counter(struct kvm *kvm, const struct counter *counter)
{
	struct kvm_vcpu *vcpu;
	u64 sum = 0;
	int i;

	if (!counter->of_vcpu)
		return READ_ONCE(*counter_at(kvm, counter));
	kvm_for_each_vcpu(i, vcpu, kvm)
		sum += READ_ONCE(*counter_at(vcpu, counter));
	return sum;
}

static void vm_counter_clear(struct kvm *kvm, const struct counter *counter)
{
	struct kvm_vcpu *vcpu;
	int i;

	if (!counter->of_vcpu) {
		WRITE_ONCE(*counter_at(kvm, counter), 0);
		return;
	}
	kvm_for_each_vcpu(i, vcpu, kvm)
		WRITE_ONCE(*counter_at(vcpu, counter), 0);
}

static u64 total(const struct counter *counter)
{
	struct kvm *kvm;
	u64 sum = 0;

	mutex_lock(&kvm_list_lock);
	list_for_each_entry(kvm, &kvm_vm_list, list)
		sum += vm_counter(kvm, counter);
	mutex_unlock(&kvm_list_lock);
	return sum;
}

static void total_clear(const struct counter *counter)
{
	struct kvm *kvm;

	mutex_lock(&kvm_list_lock);
	list_for_each_entry(kvm, &kvm_vm_list, list)
		vm_counter_clear(kvm, counter);
	mutex_unlock(&kvm_list_lock);
}

/* ---- files -------------------------------------------------------------- */

/* The file is about a counter; its directory says of which VM, or of all. */
static struct kvm *file_vm(struct file *file)
{
	return d_inode(file->f_path.dentry->d_parent)->i_private;
}

static ssize_t counter_read(struct file *file, char __user *buf, size_t len,
			    loff_t *pos)
{
	const struct counter *counter = file_inode(file)->i_private;
	struct kvm *kvm = file_vm(file);
	char text[24];
	int n;

	n = scnprintf(text, sizeof(text), "%llu\n",
		      kvm ? vm_counter(kvm, counter) : total(counter));
	return simple_read_from_buffer(buf, len, pos, text, n);
}

static ssize_t counter_write(struct file *file, const char __user *buf,
			     size_t len, loff_t *pos)
{
	const struct counter *counter = file_inode(file)->i_private;
	struct kvm *kvm = file_vm(file);
	u64 value;
	int r;

	r = kstrtoull_from_user(buf, len, 0, &value);
	if (r)
		return r;
	if (value)
		return -EINVAL;
	if (kvm)
		vm_counter_clear(kvm, counter);
	else
		total_clear(counter);
	return len;
}

static const struct file_operations counter_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = counter_read,
	.write = counter_write,
	.llseek = default_llseek,
};

static int vcpu_stats_show(struct seq_file *seq, void *unused)
{
	struct kvm_vcpu *vcpu = seq->private;
	const struct counter *c;

	for (c = counters; c < counters + ARRAY_SIZE(counters); c++)
		if (c->of_vcpu)
			seq_printf(seq, "%s %llu\n", c->name,
				   READ_ONCE(*counter_at(vcpu, c)));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vcpu_stats);

static void create_counters(struct dentry *dir, struct kvm *kvm)
{
	const struct counter *c;

	if (IS_ERR_OR_NULL(dir))
		return;
	d_inode(dir)->i_private = kvm;
	for (c = counters; c < counters + ARRAY_SIZE(counters); c++)
		debugfs_create_file(c->name, 0644, dir, (void *)c,
				    &counter_fops);
}

/* ---- VMX instructions, in a build that counts them ---------------------- */

#ifdef KVM_COUNT_OPS
DEFINE_PER_CPU(struct vmx_op_counts, vmx_op_counts);

static int vmx_ops_show(struct seq_file *seq, void *unused)
{
	struct vmx_op_counts sum = { };
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmx_op_counts *c = per_cpu_ptr(&vmx_op_counts, cpu);

		sum.vmread += READ_ONCE(c->vmread);
		sum.vmwrite += READ_ONCE(c->vmwrite);
		sum.rdmsr += READ_ONCE(c->rdmsr);
		sum.wrmsr += READ_ONCE(c->wrmsr);
	}
	seq_printf(seq, "%llu %llu %llu %llu\n", sum.vmread, sum.vmwrite,
		   sum.rdmsr, sum.wrmsr);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vmx_ops);

static void create_vmx_ops(void)
{
	debugfs_create_file("vmx_ops", 0444, root, NULL, &vmx_ops_fops);
}
#else
static void create_vmx_ops(void)
{
}
#endif

/* ---- VMs and vCPUs ------------------------------------------------------ */

void kvm_stats_vm_create(struct kvm *kvm, int fd)
{
	struct dentry *other;
	char name[32];

	if (!debugfs_initialized())
		return;
	snprintf(name, sizeof(name), "%d-%d", task_pid_nr(current), fd);
	/* The VM that had this descriptor may live on: a vCPU's is open. */
	other = debugfs_lookup(name, root);
	if (other) {
		dput(other);
		return;
	}
	kvm->debugfs = debugfs_create_dir(name, root);
	create_counters(kvm->debugfs, kvm);
}

void kvm_stats_vm_destroy(struct kvm *kvm)
{
	debugfs_remove(kvm->debugfs);
}

void kvm_stats_vcpu_create(struct kvm_vcpu *vcpu)
{
	char name[16];

	if (IS_ERR_OR_NULL(vcpu->kvm->debugfs))
		return;
	snprintf(name, sizeof(name), "vcpu%d", vcpu->id);
	vcpu->debugfs = debugfs_create_dir(name, vcpu->kvm->debugfs);
	debugfs_create_file("stats", 0444, vcpu->debugfs, vcpu,
			    &vcpu_stats_fops);
	backend->vcpu_debugfs(vcpu, vcpu->debugfs);
}

int kvm_stats_init(void)
{
	root = debugfs_create_dir("kvm", NULL);
	create_counters(root, NULL);
	create_vmx_ops();
	return 0;
}

void kvm_stats_exit(void)
{
	debugfs_remove(root);
}
