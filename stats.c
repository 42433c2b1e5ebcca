// SPDX-License-Identifier: GPL-2.0-only
/*
 * stats.c - counters in debugfs and as binary statistics, from the tables in
 * stats.h.
 *
 *	kvm/<counter>			sum over all VMs
 *	kvm/<pid>-<fd>/<counter>	of one VM, or summed over its vCPUs
 *	kvm/<pid>-<fd>/exit_reasons	VM exits by reason, one a line
 *	kvm/<pid>-<fd>/vcpu<id>/stats	both, of one vCPU; beside it, the
 *					backend's own files
 *	kvm/vmx_ops			VMREADs, VMWRITEs, RDMSRs, WRMSRs so far,
 *					in a build with KVM_COUNT_OPS
 *
 * Writing 0 to a counter's file clears it, which is what kvm_stat does. A
 * file belongs to one VM or vCPU, which debugfs keeps from going away while
 * the file is in use: removal waits for readers. The sums over all VMs walk
 * the list of VMs under kvm_list_lock.
 *
 * KVM_GET_STATS_FD gives a file of four parts, as the KVM API defines it:
 * header, name of the owner, descriptors, and the counters in their order. An
 * open file holds the VM.
 */
#include <linux/anon_inodes.h>
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "include/compat.h"
#include "kvm.h"

#define CREATE_TRACE_POINTS
#include "trace.h"
#include "vmcs.h"

enum counter_kind { COUNT, LEVEL, FLAG, NS, HIST };

struct counter {
	const char *name;
	size_t offset;			/* in the structure of counters */
	enum counter_kind kind;
	bool of_vcpu;			/* struct kvm_vcpu_stats, not kvm_vm */
};

static const struct counter counters[] = {
#define VM_COUNTER(field, kind, what)					\
	{ #field, offsetof(struct kvm_vm_stats, field), kind, false },
#define VCPU_COUNTER(field, kind, what)					\
	{ #field, offsetof(struct kvm_vcpu_stats, field), kind, true },
	KVM_VM_STATS(VM_COUNTER)
	KVM_VCPU_STATS(VCPU_COUNTER)
	/* Each is an exit, and counted as that, but for one that is emulated. */
	{ "hypercalls", offsetof(struct kvm_vcpu_stats,
				 exit[EXIT_REASON_VMCALL]), COUNT, true },
};

#define for_each_counter(c)						\
	for ((c) = counters; (c) < counters + ARRAY_SIZE(counters); (c)++)

static struct dentry *root;

/* The one that nobody counts: an exit is counted by its reason. */
static u64 sum_exits(const struct kvm_vcpu_stats *stat)
{
	u64 sum = 0;
	int i;

	for (i = 0; i < KVM_STAT_EXITS; i++)
		sum += READ_ONCE(stat->exit[i]);
	return sum;
}

static u64 vcpu_counter(const struct kvm_vcpu *vcpu,
			const struct counter *counter)
{
	if (counter->offset == offsetof(struct kvm_vcpu_stats, exits))
		return sum_exits(&vcpu->stat);
	return READ_ONCE(*(u64 *)((void *)&vcpu->stat + counter->offset));
}

static void vcpu_counter_clear(struct kvm_vcpu *vcpu,
			       const struct counter *counter)
{
	int i;

	if (counter->offset == offsetof(struct kvm_vcpu_stats, exits)) {
		for (i = 0; i < KVM_STAT_EXITS; i++)
			WRITE_ONCE(vcpu->stat.exit[i], 0);
		return;
	}
	WRITE_ONCE(*(u64 *)((void *)&vcpu->stat + counter->offset), 0);
}

static u64 vm_counter(struct kvm *kvm, const struct counter *counter)
{
	struct kvm_vcpu *vcpu;
	u64 sum = 0;
	int i;

	if (!counter->of_vcpu)
		return READ_ONCE(*(u64 *)((void *)&kvm->stat +
					  counter->offset));
	kvm_for_each_vcpu(i, vcpu, kvm)
		sum += vcpu_counter(vcpu, counter);
	return sum;
}

static void vm_counter_clear(struct kvm *kvm, const struct counter *counter)
{
	struct kvm_vcpu *vcpu;
	int i;

	if (!counter->of_vcpu) {
		WRITE_ONCE(*(u64 *)((void *)&kvm->stat + counter->offset), 0);
		return;
	}
	kvm_for_each_vcpu(i, vcpu, kvm)
		vcpu_counter_clear(vcpu, counter);
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
	/* How many there are now is not for others to say. */
	if (value || counter->kind == LEVEL || counter->kind == FLAG)
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
	unsigned int i;

	for_each_counter(c)
		if (c->of_vcpu && c->kind != HIST)
			seq_printf(seq, "%s %llu\n", c->name,
				   vcpu_counter(vcpu, c));
	for (i = 0; i < backend->nr_exit_names; i++)
		if (vcpu->stat.exit[i])
			seq_printf(seq, "exit_%s %llu\n",
				   backend->exit_names[i] ?: "unknown",
				   READ_ONCE(vcpu->stat.exit[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vcpu_stats);

/* Reasons that there were, a line each. */
static int vm_exits_show(struct seq_file *seq, void *unused)
{
	struct kvm *kvm = seq->private;
	struct kvm_vcpu *vcpu;
	unsigned int reason;
	u64 sum;
	int i;

	for (reason = 0; reason < backend->nr_exit_names; reason++) {
		sum = 0;
		kvm_for_each_vcpu(i, vcpu, kvm)
			sum += READ_ONCE(vcpu->stat.exit[reason]);
		if (sum)
			seq_printf(seq, "%s %llu\n",
				   backend->exit_names[reason] ?: "unknown",
				   sum);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vm_exits);

static void create_counters(struct dentry *dir, struct kvm *kvm)
{
	const struct counter *c;

	if (IS_ERR_OR_NULL(dir))
		return;
	d_inode(dir)->i_private = kvm;
	for_each_counter(c)
		if (c->kind != HIST)
			debugfs_create_file(c->name, 0644, dir, (void *)c,
					    &counter_fops);
}

/* ---- binary statistics -------------------------------------------------- */

/* struct kvm_stats_desc, whose name has no size in some headers. */
struct stats_desc {
	u32 flags;
	s16 exponent;
	u16 size;
	u32 offset;
	u32 bucket_size;
	char name[KVM_STATS_NAME_SIZE];
};
static_assert(offsetof(struct stats_desc, name) ==
	      offsetof(struct kvm_stats_desc, name));

/* One kind of owner: what its files begin with, made at load. */
struct stats_format {
	struct kvm_stats_header header;
	struct stats_desc *desc;
	size_t *source;			/* where in the owner's structure */
	size_t desc_size, data_size;
};
static struct stats_format vm_format, vcpu_format;

/* An open file. */
struct stats_file {
	struct kvm *kvm;
	struct kvm_vcpu *vcpu;		/* NULL: of the VM */
	char id[KVM_STATS_NAME_SIZE];
};

static const u32 kind_flags[] = {
	[COUNT] = KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE,
	[LEVEL] = KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE,
	[FLAG] = KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BOOLEAN,
	[NS] = KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_SECONDS,
	[HIST] = KVM_STATS_TYPE_LOG_HIST | KVM_STATS_UNIT_SECONDS,
};

static void add_desc(struct stats_format *f, enum counter_kind kind,
		     size_t offset, const char *prefix, const char *name)
{
	u32 i = f->header.num_desc++;
	struct stats_desc *desc = &f->desc[i];

	f->source[i] = offset;
	desc->flags = kind_flags[kind] | KVM_STATS_BASE_POW10;
	desc->exponent = kind == NS || kind == HIST ? -9 : 0;
	desc->size = kind == HIST ? KVM_STAT_BUCKETS : 1;
	desc->offset = f->data_size;
	f->data_size += desc->size * sizeof(u64);
	snprintf(desc->name, sizeof(desc->name), "%s%s", prefix, name);
}

static void add_exit_descs(struct stats_format *f)
{
	unsigned int i;

	for (i = 0; i < backend->nr_exit_names; i++)
		if (backend->exit_names[i])
			add_desc(f, COUNT,
				 offsetof(struct kvm_vcpu_stats, exit[i]),
				 "exit_", backend->exit_names[i]);
}

static int format_init(struct stats_format *f, bool of_vcpu)
{
	const struct counter *c;
	u32 n = ARRAY_SIZE(counters) + KVM_STAT_EXITS;

	f->desc = kvcalloc(n, sizeof(*f->desc), GFP_KERNEL);
	f->source = kvcalloc(n, sizeof(*f->source), GFP_KERNEL);
	if (!f->desc || !f->source)
		return -ENOMEM;
	for_each_counter(c)
		if (c->of_vcpu == of_vcpu)
			add_desc(f, c->kind, c->offset, "", c->name);
	if (of_vcpu)
		add_exit_descs(f);
	f->header.name_size = KVM_STATS_NAME_SIZE;
	f->header.id_offset = sizeof(f->header);
	f->header.desc_offset = f->header.id_offset + KVM_STATS_NAME_SIZE;
	f->desc_size = f->header.num_desc * sizeof(*f->desc);
	f->header.data_offset = f->header.desc_offset + f->desc_size;
	return 0;
}

static void collect(const struct stats_file *s, const struct stats_format *f,
		    u64 *data)
{
	const void *owner = s->vcpu ? (void *)&s->vcpu->stat : &s->kvm->stat;
	const struct stats_desc *desc = f->desc;
	u32 i;

	for (i = 0; i < f->header.num_desc; i++)
		memcpy((void *)data + desc[i].offset, owner + f->source[i],
		       desc[i].size * sizeof(u64));
	BUILD_BUG_ON(offsetof(struct kvm_vcpu_stats, exits));
	if (s->vcpu)
		data[0] = sum_exits(&s->vcpu->stat);
}

/* The part of a read that falls into [start, start + size) of the file. */
static int read_part(char __user **buf, size_t *left, loff_t *pos,
		     loff_t start, const void *part, size_t size)
{
	size_t skip = *pos - start, n;

	if (*pos < start || skip >= size || !*left)
		return 0;
	n = min(size - skip, *left);
	if (copy_to_user(*buf, part + skip, n))
		return -EFAULT;
	*buf += n;
	*left -= n;
	*pos += n;
	return 0;
}

static ssize_t stats_read(struct file *file, char __user *buf, size_t len,
			  loff_t *pos)
{
	const struct stats_file *s = file->private_data;
	const struct stats_format *f = s->vcpu ? &vcpu_format : &vm_format;
	const struct kvm_stats_header *head = &f->header;
	u64 *data = kmalloc(f->data_size, GFP_KERNEL_ACCOUNT);
	size_t left = len;
	int r;

	if (!data)
		return -ENOMEM;
	collect(s, f, data);
	r = read_part(&buf, &left, pos, 0, head, sizeof(*head));
	if (!r)
		r = read_part(&buf, &left, pos, head->id_offset, s->id,
			      sizeof(s->id));
	if (!r)
		r = read_part(&buf, &left, pos, head->desc_offset, f->desc,
			      f->desc_size);
	if (!r)
		r = read_part(&buf, &left, pos, head->data_offset, data,
			      f->data_size);
	kfree(data);
	return r ?: len - left;
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct stats_file *s = file->private_data;

	kvm_put(s->kvm);
	kfree(s);
	return 0;
}

static const struct file_operations stats_fops = {
	.owner = THIS_MODULE,
	.read = stats_read,
	.release = stats_release,
	.llseek = noop_llseek,
};

static int stats_fd(const char *name, struct kvm *kvm, struct kvm_vcpu *vcpu)
{
	struct stats_file *s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	struct file *file;
	int fd;

	if (!s)
		return -ENOMEM;
	s->kvm = kvm;
	s->vcpu = vcpu;
	snprintf(s->id, sizeof(s->id), vcpu ? "kvm-%d/vcpu-%d" : "kvm-%d",
		 task_pid_nr(current), vcpu ? vcpu->id : 0);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto free;
	file = anon_inode_getfile(name, &stats_fops, s, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto free;
	}
	/* pread(), which is how the parts are meant to be read. */
	file->f_mode |= FMODE_PREAD;
	refcount_inc(&kvm->users);
	fd_install(fd, file);
	return fd;

free:
	kfree(s);
	return fd;
}

int kvm_stats_vm_fd(struct kvm *kvm)
{
	return stats_fd("kvm-vm-stats", kvm, NULL);
}

int kvm_stats_vcpu_fd(struct kvm_vcpu *vcpu)
{
	return stats_fd("kvm-vcpu-stats", vcpu->kvm, vcpu);
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
	debugfs_create_file("exit_reasons", 0444, kvm->debugfs, kvm,
			    &vm_exits_fops);
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

static void formats_free(void)
{
	kvfree(vm_format.desc);
	kvfree(vm_format.source);
	kvfree(vcpu_format.desc);
	kvfree(vcpu_format.source);
}

int kvm_stats_init(void)
{
	int r;

	r = format_init(&vm_format, false) ?: format_init(&vcpu_format, true);
	if (r) {
		formats_free();
		return r;
	}
	root = debugfs_create_dir("kvm", NULL);
	create_counters(root, NULL);
	create_vmx_ops();
	return 0;
}

void kvm_stats_exit(void)
{
	debugfs_remove(root);
	formats_free();
}
