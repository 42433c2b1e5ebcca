// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvm_main.c - the module, /dev/kvm and the file descriptors of VMs and
 * vCPUs: which ioctl exists, what it takes, which capabilities are reported,
 * who lives how long, and the processors that come and go.
 *
 * What an ioctl does is elsewhere; here it is a row of a table. The handler
 * of a row gets its argument copied, by the direction and the size that are
 * in the ioctl's own number; that of a vCPU is called with vcpu->mutex held
 * and the vCPU loaded.
 *
 * A VM lives as long as a file descriptor of it or of one of its vCPUs; a
 * vCPU lives as long as its VM. File descriptors hold the module.
 */
#define pr_fmt(fmt) "kvm: " fmt

#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcuwait.h>
#include <linux/reboot.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <trace/events/ipi.h>
#include <asm/cpu_device_id.h>
#include <asm/tsc.h>

#include "include/compat.h"
#include "include/kvm_vmcs.h"
#include "kvm.h"
#include "trace.h"

/* Entries of one KVM_GET_MSRS or KVM_SET_MSRS. */
#define MAX_MSR_BATCH		256
/* Where real-mode page tables would go: part of the interface. */
#define DEFAULT_IDENTITY_MAP	0xfffbc000ull

struct kvm_caps kvm_caps __ro_after_init;
const struct kvm_backend *backend __ro_after_init = &vmx_backend;
bool kvm_rebooting;

DEFINE_MUTEX(kvm_list_lock);
LIST_HEAD(kvm_vm_list);

static struct kmem_cache *vcpu_cache __ro_after_init;

/* ---- loading a vCPU, reaching one that runs ----------------------------- */

void vcpu_load(struct kvm_vcpu *vcpu)
{
	int cpu = get_cpu();

	preempt_notifier_register(&vcpu->preempt_notifier);
	backend->vcpu_load(vcpu, cpu);
	kvm_pv_load(vcpu);
	WRITE_ONCE(vcpu->cpu, cpu);
	put_cpu();
}

void vcpu_put(struct kvm_vcpu *vcpu)
{
	preempt_disable();
	backend->vcpu_put(vcpu);
	WRITE_ONCE(vcpu->cpu, -1);
	preempt_notifier_unregister(&vcpu->preempt_notifier);
	preempt_enable();
}

static struct kvm_vcpu *preempted_vcpu(struct preempt_notifier *pn)
{
	return container_of(pn, struct kvm_vcpu, preempt_notifier);
}

static void vcpu_sched_in(struct preempt_notifier *pn, int cpu)
{
	struct kvm_vcpu *vcpu = preempted_vcpu(pn);

	backend->vcpu_load(vcpu, cpu);
	kvm_pv_load(vcpu);
	WRITE_ONCE(vcpu->cpu, cpu);
}

static void vcpu_sched_out(struct preempt_notifier *pn,
			   struct task_struct *next)
{
	struct kvm_vcpu *vcpu = preempted_vcpu(pn);

	backend->vcpu_put(vcpu);
	WRITE_ONCE(vcpu->cpu, -1);
	if (task_is_running(current))
		kvm_pv_preempted(vcpu);
}

static struct preempt_ops vcpu_preempt_ops = {
	.sched_in = vcpu_sched_in,
	.sched_out = vcpu_sched_out,
};

/*
 * True if the vCPU was in guest mode, or leaving it, and so needs an
 * interrupt to be sure that it has left. On entry mode is set and then
 * requests are looked at; the caller has made its request before.
 */
static bool vcpu_leaves_guest_mode(struct kvm_vcpu *vcpu)
{
	smp_mb();	/* pairs with that before the last look at requests */
	return READ_ONCE(vcpu->mode) != OUTSIDE_GUEST_MODE &&
	       cmpxchg(&vcpu->mode, IN_GUEST_MODE, EXITING_GUEST_MODE) !=
			OUTSIDE_GUEST_MODE;
}

void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
	int cpu;

	rcuwait_wake_up(&vcpu->wait);
	preempt_disable();
	if (vcpu_leaves_guest_mode(vcpu)) {
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu >= 0 && cpu != smp_processor_id())
			smp_send_reschedule(cpu);
	}
	preempt_enable();
}

static DEFINE_PER_CPU(cpumask_var_t, kick_mask);

/* That the interrupt was taken is all that the sender waits for. */
static void acknowledge_kick(void *unused)
{
}

void kvm_make_all_requests(struct kvm *kvm, enum kvm_request req)
{
	struct cpumask *mask;
	struct kvm_vcpu *vcpu;
	bool any = false;
	int i, cpu;

	preempt_disable();
	mask = this_cpu_cpumask_var_ptr(kick_mask);
	cpumask_clear(mask);
	kvm_for_each_vcpu(i, vcpu, kvm) {
		kvm_make_request(vcpu, req);
		if (!vcpu_leaves_guest_mode(vcpu))
			continue;
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu < 0 || cpu == smp_processor_id())
			continue;
		cpumask_set_cpu(cpu, mask);
		any = true;
	}
	if (any)
		smp_call_function_many(mask, acknowledge_kick, NULL, true);
	preempt_enable();
}

void kvm_vm_kill(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	int i;

	WRITE_ONCE(kvm->dead, true);
	kvm_for_each_vcpu(i, vcpu, kvm) {
		kvm_make_request(vcpu, KVM_REQ_VM_DEAD);
		kvm_vcpu_kick(vcpu);
	}
}

static int alloc_kick_masks(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		if (!zalloc_cpumask_var_node(&per_cpu(kick_mask, cpu),
					     GFP_KERNEL, cpu_to_node(cpu)))
			return -ENOMEM;
	return 0;
}

static void free_kick_masks(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		free_cpumask_var(per_cpu(kick_mask, cpu));
}

/* ---- the life of a vCPU ------------------------------------------------- */

static int vcpu_alloc_pages(struct kvm_vcpu *vcpu)
{
	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vcpu->pio_data = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vcpu->run && vcpu->pio_data ? 0 : -ENOMEM;
}

static void vcpu_free(struct kvm_vcpu *vcpu)
{
	put_pid(rcu_dereference_protected(vcpu->pid, true));
	free_page((unsigned long)vcpu->pio_data);
	free_page((unsigned long)vcpu->run);
	kmem_cache_free(vcpu_cache, vcpu);
}

static struct kvm_vcpu *vcpu_create(struct kvm *kvm, int id)
{
	struct kvm_vcpu *vcpu;
	int r;

	vcpu = kmem_cache_zalloc(vcpu_cache, GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->kvm = kvm;
	vcpu->id = id;
	vcpu->cpu = -1;
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	preempt_notifier_init(&vcpu->preempt_notifier, &vcpu_preempt_ops);
	r = vcpu_alloc_pages(vcpu);
	if (!r)
		r = kvm_vcpu_init(vcpu);
	if (!r)
		return vcpu;
	vcpu_free(vcpu);
	return ERR_PTR(r);
}

static void vcpu_destroy(struct kvm_vcpu *vcpu)
{
	kvm_vcpu_destroy(vcpu);
	vcpu_free(vcpu);
}

static const struct file_operations vcpu_fops;

/* A file descriptor for the vCPU, not yet installed, and a use of the VM. */
static int vcpu_reserve_fd(struct kvm_vcpu *vcpu)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);
	struct file *file;
	char name[24];

	if (fd < 0)
		return fd;
	snprintf(name, sizeof(name), "kvm-vcpu:%d", vcpu->id);
	file = anon_inode_getfile(name, &vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	vcpu->file = file;
	refcount_inc(&vcpu->kvm->users);
	return fd;
}

/* From here on everyone may see it, and it stays until the VM goes. */
static int vcpu_publish(struct kvm *kvm, struct kvm_vcpu *vcpu)
{
	int fd, r;

	vcpu->index = kvm->nr_vcpus;
	r = xa_insert(&kvm->vcpus, vcpu->index, vcpu, GFP_KERNEL_ACCOUNT);
	if (r)
		return r;
	fd = vcpu_reserve_fd(vcpu);
	if (fd < 0) {
		xa_erase(&kvm->vcpus, vcpu->index);
		return fd;
	}
	/* The vCPU before the count that lets others find it. */
	smp_store_release(&kvm->nr_vcpus, vcpu->index + 1);
	kvm_apic_map_update(kvm);
	kvm_stats_vcpu_create(vcpu);
	fd_install(fd, vcpu->file);
	return fd;
}

static bool vcpu_id_taken(struct kvm *kvm, int id)
{
	struct kvm_vcpu *vcpu;
	int i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu->id == id)
			return true;
	return false;
}

static long create_vcpu_locked(struct kvm *kvm, unsigned long id)
{
	struct kvm_vcpu *vcpu;
	int fd;

	if (id >= kvm->max_vcpu_id || kvm->nr_vcpus >= kvm->max_vcpus)
		return -EINVAL;
	if (vcpu_id_taken(kvm, id))
		return -EEXIST;
	vcpu = vcpu_create(kvm, id);
	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	fd = vcpu_publish(kvm, vcpu);
	if (fd < 0)
		vcpu_destroy(vcpu);
	return fd;
}

/* ---- the life of a VM --------------------------------------------------- */

static struct kvm *vm_create(void)
{
	struct kvm *kvm = kzalloc(sizeof(*kvm), GFP_KERNEL_ACCOUNT);
	int r;

	if (!kvm)
		return ERR_PTR(-ENOMEM);
	refcount_set(&kvm->users, 1);
	mutex_init(&kvm->lock);
	mutex_init(&kvm->apic_map_lock);
	xa_init(&kvm->vcpus);
	kvm->max_vcpus = KVM_MAX_VCPUS_LIMIT;
	kvm->max_vcpu_id = KVM_MAX_VCPU_ID;
	kvm->halt_poll_ns = -1;
	kvm->identity_map_addr = DEFAULT_IDENTITY_MAP;
	kvm->tsc_khz = tsc_khz;
	kvm_irqchip_init(kvm);
	kvm_clock_init(kvm);
	kvm_mmu_vm_init(kvm);
	r = backend->vm_init(kvm);
	if (r)
		goto free;
	r = kvm_coalesced_init(kvm);
	if (r)
		goto destroy_backend;
	/* Last: from then on the host's memory management may call. */
	r = kvm_memory_init(kvm);
	if (r)
		goto destroy_coalesced;

	mutex_lock(&kvm_list_lock);
	list_add(&kvm->list, &kvm_vm_list);
	mutex_unlock(&kvm_list_lock);
	return kvm;

destroy_coalesced:
	kvm_coalesced_destroy(kvm);
destroy_backend:
	backend->vm_destroy(kvm);
free:
	kfree(kvm);
	return ERR_PTR(r);
}

static void vm_destroy(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	int i;

	mutex_lock(&kvm_list_lock);
	list_del(&kvm->list);
	mutex_unlock(&kvm_list_lock);
	kvm_stats_vm_destroy(kvm);

	/* Notifiers may still call, but find nothing to do. */
	kvm_memory_detach(kvm);
	/* What may still interrupt a vCPU goes before it. */
	kvm_msr_filter_free(kvm);
	kvm_irqchip_destroy(kvm);
	kvm_for_each_vcpu(i, vcpu, kvm)
		vcpu_destroy(vcpu);
	kvm_apic_map_destroy(kvm);
	xa_destroy(&kvm->vcpus);
	kvm_mmu_vm_destroy(kvm);
	backend->vm_destroy(kvm);
	kvm_coalesced_destroy(kvm);
	kvm_memory_destroy(kvm);
}

void kvm_put(struct kvm *kvm)
{
	if (refcount_dec_and_test(&kvm->users))
		vm_destroy(kvm);
}

static const struct file_operations vm_fops;

static long create_vm(void)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);
	struct file *file;
	struct kvm *kvm;

	if (fd < 0)
		return fd;
	kvm = vm_create();
	if (IS_ERR(kvm)) {
		put_unused_fd(fd);
		return PTR_ERR(kvm);
	}
	file = anon_inode_getfile("kvm-vm", &vm_fops, kvm, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		kvm_put(kvm);
		return PTR_ERR(file);
	}
	kvm_stats_vm_create(kvm, fd);
	fd_install(fd, file);
	return fd;
}

/* All that is left is to close it: it failed, or it is another process's. */
static bool vm_refuses(const struct kvm *kvm)
{
	return kvm->mm != current->mm || READ_ONCE(kvm->dead);
}

/* ---- ioctl tables and their arguments ----------------------------------- */

/*
 * What the handler of a row gets as `arg`: a kernel copy of the structure
 * that the number of the ioctl names, copied in and out by the direction in
 * that number; or, with IOCTL_RAW, the ioctl's argument itself. Some numbers
 * have the direction wrong, and will have for good: those are IOCTL_IN.
 */
#define IOCTL_RAW	BIT(0)
#define IOCTL_IN	BIT(1)

struct ioctl_row {
	unsigned int cmd;
	unsigned int flags;
	union {
		long (*system)(void *arg);
		long (*vm)(struct kvm *kvm, void *arg);
		long (*vcpu)(struct kvm_vcpu *vcpu, void *arg);
	};
};

static const struct ioctl_row *find_row(const struct ioctl_row *row, int rows,
					unsigned int cmd)
{
	for (; rows--; row++)
		if (row->cmd == cmd)
			return row;
	return NULL;
}

/* Room for the structures of all but a few ioctls. */
struct small_arg {
	u64 data[64];
};

static void __user *user_ptr(unsigned long arg)
{
	return (void __user *)arg;
}

/* For the handlers of raw rows. */
static void __user *raw_user_ptr(void *arg)
{
	return user_ptr((unsigned long)arg);
}

static bool copies_in(const struct ioctl_row *row)
{
	return (row->flags & IOCTL_IN) || (_IOC_DIR(row->cmd) & _IOC_WRITE);
}

static bool copies_out(const struct ioctl_row *row)
{
	return !(row->flags & IOCTL_IN) && (_IOC_DIR(row->cmd) & _IOC_READ);
}

static void *arg_get(const struct ioctl_row *row, unsigned long arg,
		     struct small_arg *small)
{
	size_t size = _IOC_SIZE(row->cmd);
	void *data = small;

	if (row->flags & IOCTL_RAW)
		return (void *)arg;
	if (size > sizeof(*small)) {
		data = kmalloc(size, GFP_KERNEL_ACCOUNT);
		if (!data)
			return ERR_PTR(-ENOMEM);
	}
	if (!copies_in(row)) {
		memset(data, 0, size);
	} else if (copy_from_user(data, user_ptr(arg), size)) {
		if (data != small)
			kfree(data);
		return ERR_PTR(-EFAULT);
	}
	return data;
}

/* Give back what arg_get() took; `r` is what the handler returned. */
static long arg_put(const struct ioctl_row *row, unsigned long arg,
		    struct small_arg *small, void *data, long r)
{
	if (row->flags & IOCTL_RAW)
		return r;
	if (r >= 0 && copies_out(row) &&
	    copy_to_user(user_ptr(arg), data, _IOC_SIZE(row->cmd)))
		r = -EFAULT;
	if (data != small)
		kfree(data);
	return r;
}

/* ---- capabilities ------------------------------------------------------- */

static int cap_nr_vcpus(void)
{
	return min_t(int, num_online_cpus(), KVM_MAX_VCPUS_LIMIT);
}

static int cap_adjust_clock(void)
{
	return kvm_clock_flags();
}

static int cap_tsc_control(void)
{
	return kvm_caps.tsc_scaling;
}

static int cap_xsave(void)
{
	return boot_cpu_has(X86_FEATURE_XSAVE);
}

#define X2APIC_API_FLAGS	(KVM_X2APIC_API_USE_32BIT_IDS | \
				 KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

/*
 * Departures from a real processor that are the interface's default. There is
 * nothing to be done for CD_NW_CLEARED, which is of AMD's processors.
 */
#define QUIRKS		(KVM_X86_QUIRK_LINT0_REENABLED |	\
			 KVM_X86_QUIRK_CD_NW_CLEARED |		\
			 KVM_X86_QUIRK_LAPIC_MMIO_HOLE |	\
			 KVM_X86_QUIRK_OUT_7E_INC_RIP |		\
			 KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT |	\
			 KVM_X86_QUIRK_FIX_HYPERCALL_INSN |	\
			 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)

/* Reported are those whose whole path works, and no others. */
static const struct {
	unsigned int cap;
	int value;
	int (*get)(void);	/* instead of value */
} caps[] = {
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_NR_VCPUS, .get = cap_nr_vcpus },
	{ KVM_CAP_NR_MEMSLOTS, KVM_MAX_MEMSLOTS },
	{ KVM_CAP_NOP_IO_DELAY, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_COALESCED_MMIO, KVM_COALESCED_PAGE },
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG2, KVM_GUESTDBG_KNOWN },
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_IRQFD, 1 },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_IOEVENTFD, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_IRQFD_RESAMPLE, 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ KVM_CAP_SPLIT_IRQCHIP, 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ KVM_CAP_X2APIC_API, X2APIC_API_FLAGS },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ KVM_CAP_MCE, KVM_MCE_BANKS },
	/* Monitors insist on it even without an in-kernel irqchip. */
	{ KVM_CAP_IRQ_ROUTING, KVM_MAX_IRQ_ROUTES },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_INTR_SHADOW, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_XCRS, .get = cap_xsave },
	{ KVM_CAP_TSC_CONTROL, .get = cap_tsc_control },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS },
	{ KVM_CAP_MAX_VCPUS, KVM_MAX_VCPUS_LIMIT },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_EXT_EMUL_CPUID, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_MAX_VCPU_ID, KVM_MAX_VCPU_ID },
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_COALESCED_PIO, 1 },
	{ KVM_CAP_HALT_POLL, 1 },
	{ KVM_CAP_DISABLE_QUIRKS, 1 },
	{ KVM_CAP_DISABLE_QUIRKS2, QUIRKS },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1 },
	{ KVM_CAP_X86_USER_SPACE_MSR, 1 },
	{ KVM_CAP_X86_MSR_FILTER, 1 },
	{ KVM_CAP_BINARY_STATS_FD, 1 },
	{ KVM_CAP_VMCS, KVM_VMCS_VERSION },
	{ KVM_CAP_ADJUST_CLOCK, .get = cap_adjust_clock },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ KVM_CAP_ENABLE_CAP, 1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 },
	{ KVM_CAP_VM_TSC_CONTROL, .get = cap_tsc_control },
};

static long check_extension(unsigned long cap)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(caps); i++)
		if (caps[i].cap == cap)
			return caps[i].get ? caps[i].get() : caps[i].value;
	return 0;
}

/* ---- lists of MSRs and CPUID entries ------------------------------------ */

/*
 * The count goes in and comes back; the rest only if there is room for all
 * of it: -E2BIG.
 */
static long copy_msr_list(struct kvm_msr_list __user *user, const u32 *list,
			  u32 count)
{
	u32 room;

	if (get_user(room, &user->nmsrs) || put_user(count, &user->nmsrs))
		return -EFAULT;
	if (room < count)
		return -E2BIG;
	if (copy_to_user(user->indices, list, count * sizeof(*list)))
		return -EFAULT;
	return 0;
}

typedef int (*msr_fn)(struct kvm_vcpu *vcpu, struct kvm_msr_entry *entry);

/* Up to the first entry that fails. Returns how many were done. */
static long msr_batch(struct kvm_vcpu *vcpu, struct kvm_msrs __user *user,
		      msr_fn fn, bool copy_back)
{
	struct kvm_msr_entry *entries;
	struct kvm_msrs head;
	size_t size;
	long n;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MAX_MSR_BATCH)
		return -E2BIG;
	size = head.nmsrs * sizeof(*entries);
	entries = memdup_user(user->entries, size);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (n = 0; n < head.nmsrs; n++)
		if (fn(vcpu, &entries[n]))
			break;
	if (copy_back && copy_to_user(user->entries, entries, size))
		n = -EFAULT;
	kfree(entries);
	return n;
}

static int get_one_msr(struct kvm_vcpu *vcpu, struct kvm_msr_entry *entry)
{
	return kvm_get_msr(vcpu, entry->index, &entry->data, true);
}

static int set_one_msr(struct kvm_vcpu *vcpu, struct kvm_msr_entry *entry)
{
	return kvm_set_msr(vcpu, entry->index, entry->data, true);
}

static int get_one_msr_feature(struct kvm_vcpu *unused,
			       struct kvm_msr_entry *entry)
{
	return kvm_get_msr_feature(entry->index, &entry->data);
}

/* The head is read whole, as the kernel's own KVM does: -EFAULT at its end. */
static int get_nent(const struct kvm_cpuid2 __user *user, u32 *nent)
{
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	*nent = head.nent;
	return 0;
}

static int put_cpuid(struct kvm_cpuid2 __user *user,
		     const struct kvm_cpuid_entry2 *entries, u32 nent)
{
	if (put_user(nent, &user->nent) ||
	    copy_to_user(user->entries, entries, nent * sizeof(*entries)))
		return -EFAULT;
	return 0;
}

static long host_cpuid(struct kvm_cpuid2 __user *user,
		       int (*fn)(struct kvm_cpuid_entry2 *entries, u32 *nent))
{
	struct kvm_cpuid_entry2 *entries;
	u32 nent;
	long r;

	if (get_nent(user, &nent))
		return -EFAULT;
	if (!nent)
		return -E2BIG;
	nent = min_t(u32, nent, KVM_MAX_CPUID_ENTRIES);
	entries = kvcalloc(nent, sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (!entries)
		return -ENOMEM;
	r = fn(entries, &nent);
	if (!r)
		r = put_cpuid(user, entries, nent);
	kvfree(entries);
	return r;
}

/* ---- ioctls of /dev/kvm ------------------------------------------------- */

static long sys_get_api_version(void *arg)
{
	return arg ? -EINVAL : KVM_API_VERSION;
}

static long sys_create_vm(void *arg)
{
	/* The types are those of other architectures and of encrypted VMs. */
	return arg ? -EINVAL : create_vm();
}

static long sys_check_extension(void *arg)
{
	return check_extension((unsigned long)arg);
}

static long sys_get_vcpu_mmap_size(void *arg)
{
	return arg ? -EINVAL : KVM_VCPU_MMAP_PAGES * PAGE_SIZE;
}

static long sys_get_supported_cpuid(void *arg)
{
	return host_cpuid(raw_user_ptr(arg), kvm_get_supported_cpuid);
}

static long sys_get_emulated_cpuid(void *arg)
{
	return host_cpuid(raw_user_ptr(arg), kvm_get_emulated_cpuid);
}

static long sys_get_msr_index_list(void *arg)
{
	u32 count;
	const u32 *list = kvm_msr_list(&count);

	return copy_msr_list(raw_user_ptr(arg), list, count);
}

static long sys_get_msr_feature_index_list(void *arg)
{
	u32 count;
	const u32 *list = kvm_msr_feature_list(&count);

	return copy_msr_list(raw_user_ptr(arg), list, count);
}

static long sys_get_msrs(void *arg)
{
	return msr_batch(NULL, raw_user_ptr(arg), get_one_msr_feature, true);
}

static long sys_get_mce_cap_supported(void *arg)
{
	u64 __user *cap = raw_user_ptr(arg);

	return put_user(kvm_mce_cap_supported(), cap);
}

#define SYS_ROW(cmd, fn)	{ cmd, IOCTL_RAW, { .system = fn } }

static const struct ioctl_row system_ioctls[] = {
	SYS_ROW(KVM_GET_API_VERSION, sys_get_api_version),
	SYS_ROW(KVM_CREATE_VM, sys_create_vm),
	SYS_ROW(KVM_CHECK_EXTENSION, sys_check_extension),
	SYS_ROW(KVM_GET_VCPU_MMAP_SIZE, sys_get_vcpu_mmap_size),
	SYS_ROW(KVM_GET_SUPPORTED_CPUID, sys_get_supported_cpuid),
	SYS_ROW(KVM_GET_EMULATED_CPUID, sys_get_emulated_cpuid),
	SYS_ROW(KVM_GET_MSR_INDEX_LIST, sys_get_msr_index_list),
	SYS_ROW(KVM_GET_MSR_FEATURE_INDEX_LIST, sys_get_msr_feature_index_list),
	SYS_ROW(KVM_GET_MSRS, sys_get_msrs),
	SYS_ROW(KVM_X86_GET_MCE_CAP_SUPPORTED, sys_get_mce_cap_supported),
};

static long system_ioctl(struct file *file, unsigned int cmd,
			 unsigned long arg)
{
	const struct ioctl_row *row = find_row(system_ioctls,
					       ARRAY_SIZE(system_ioctls), cmd);

	return row ? row->system((void *)arg) : -EINVAL;
}

/* ---- ioctls of a VM ----------------------------------------------------- */

static long vm_check_extension(struct kvm *kvm, void *arg)
{
	return check_extension((unsigned long)arg);
}

static long vm_create_vcpu(struct kvm *kvm, void *arg)
{
	long r;

	mutex_lock(&kvm->lock);
	r = create_vcpu_locked(kvm, (unsigned long)arg);
	mutex_unlock(&kvm->lock);
	return r;
}

static long vm_set_user_memory_region(struct kvm *kvm, void *arg)
{
	return kvm_set_memory_region(kvm, arg);
}

static long vm_get_dirty_log(struct kvm *kvm, void *arg)
{
	return kvm_get_dirty_log(kvm, arg);
}

/*
 * Three pages below 4G for a task state segment with which processors without
 * unrestricted guest run real mode.
 */
static long vm_set_tss_addr(struct kvm *kvm, void *arg)
{
	unsigned long addr = (unsigned long)arg;
	int r;

	if (addr > SZ_4G - 3 * PAGE_SIZE)
		return -EINVAL;
	mutex_lock(&kvm->lock);
	r = backend->set_tss_addr(kvm, addr);
	if (!r)
		kvm->tss_addr = addr;
	mutex_unlock(&kvm->lock);
	return r;
}

/* Any ID: if no vCPU gets it, none starts by itself. */
static long vm_set_boot_cpu_id(struct kvm *kvm, void *arg)
{
	long r = -EBUSY;

	mutex_lock(&kvm->lock);
	if (!kvm->nr_vcpus) {
		kvm->boot_cpu_id = (unsigned long)arg;
		r = 0;
	}
	mutex_unlock(&kvm->lock);
	return r;
}

static long vm_set_identity_map_addr(struct kvm *kvm, void *arg)
{
	u64 addr = *(u64 *)arg;
	long r = -EINVAL;

	mutex_lock(&kvm->lock);
	if (!kvm->nr_vcpus) {
		kvm->identity_map_addr = addr ?: DEFAULT_IDENTITY_MAP;
		r = 0;
	}
	mutex_unlock(&kvm->lock);
	return r;
}

static long vm_set_nr_mmu_pages(struct kvm *kvm, void *arg)
{
	long r;

	mutex_lock(&kvm->slots_lock);
	r = kvm_mmu_set_nr_pages(kvm, (unsigned long)arg);
	mutex_unlock(&kvm->slots_lock);
	return r;
}

static long vm_get_nr_mmu_pages(struct kvm *kvm, void *arg)
{
	return kvm_mmu_get_nr_pages(kvm);
}

static long vm_register_coalesced(struct kvm *kvm, void *arg)
{
	return kvm_register_coalesced(kvm, arg);
}

static long vm_unregister_coalesced(struct kvm *kvm, void *arg)
{
	return kvm_unregister_coalesced(kvm, arg);
}

static long vm_create_irqchip(struct kvm *kvm, void *arg)
{
	long r;

	mutex_lock(&kvm->lock);
	r = kvm_irqchip_create(kvm);
	mutex_unlock(&kvm->lock);
	return r;
}

static long vm_get_irqchip(struct kvm *kvm, void *arg)
{
	return kvm_get_irqchip(kvm, arg);
}

static long vm_set_irqchip(struct kvm *kvm, void *arg)
{
	return kvm_set_irqchip(kvm, arg);
}

static long vm_irq_line(struct kvm *kvm, void *arg)
{
	return kvm_irq_line(kvm, arg);
}

static long vm_set_gsi_routing(struct kvm *kvm, void *arg)
{
	return kvm_set_gsi_routing(kvm, raw_user_ptr(arg));
}

static long vm_signal_msi(struct kvm *kvm, void *arg)
{
	return kvm_signal_msi(kvm, arg);
}

static long vm_irqfd(struct kvm *kvm, void *arg)
{
	return kvm_irqfd(kvm, arg);
}

static long vm_ioeventfd(struct kvm *kvm, void *arg)
{
	return kvm_ioeventfd(kvm, arg);
}

static long vm_create_pit(struct kvm *kvm, void *arg)
{
	return kvm_pit_create(kvm, KVM_PIT_SPEAKER_DUMMY);
}

static long vm_create_pit2(struct kvm *kvm, void *arg)
{
	return kvm_pit_create(kvm, ((const struct kvm_pit_config *)arg)->flags);
}

static long vm_get_pit2(struct kvm *kvm, void *arg)
{
	return kvm_get_pit(kvm, arg);
}

static long vm_set_pit2(struct kvm *kvm, void *arg)
{
	return kvm_set_pit(kvm, arg);
}

/* These two are older, and know no flags: those stay what they are. */
static long vm_get_pit(struct kvm *kvm, void *arg)
{
	struct kvm_pit_state *old = arg;
	struct kvm_pit_state2 state;
	long r = kvm_get_pit(kvm, &state);

	if (!r)
		memcpy(old->channels, state.channels, sizeof(old->channels));
	return r;
}

static long vm_set_pit(struct kvm *kvm, void *arg)
{
	const struct kvm_pit_state *old = arg;
	struct kvm_pit_state2 state;
	long r = kvm_get_pit(kvm, &state);

	if (r)
		return r;
	memcpy(state.channels, old->channels, sizeof(old->channels));
	return kvm_set_pit(kvm, &state);
}

/* Its number has no size. */
static long vm_reinject_control(struct kvm *kvm, void *arg)
{
	struct kvm_reinject_control control;

	if (copy_from_user(&control, raw_user_ptr(arg), sizeof(control)))
		return -EFAULT;
	return kvm_pit_set_reinject(kvm, control.pit_reinject);
}

static long enable_split_irqchip(struct kvm *kvm, u64 routes)
{
	long r = -EINVAL;

	mutex_lock(&kvm->lock);
	if (routes <= KVM_MAX_IRQ_ROUTES)
		r = kvm_irqchip_create_split(kvm, routes);
	mutex_unlock(&kvm->lock);
	return r;
}

static long enable_x2apic_api(struct kvm *kvm, u64 flags)
{
	if (flags & ~X2APIC_API_FLAGS)
		return -EINVAL;
	mutex_lock(&kvm->lock);
	if (flags & KVM_X2APIC_API_USE_32BIT_IDS)
		kvm->x2apic_format = true;
	if (flags & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		kvm->x2apic_no_broadcast = true;
	mutex_unlock(&kvm->lock);
	return 0;
}

/* Once, and before there are vCPUs: the largest APIC ID there will be. */
static long enable_max_vcpu_id(struct kvm *kvm, u64 limit)
{
	long r = -EINVAL;

	mutex_lock(&kvm->lock);
	if (limit && limit <= KVM_MAX_VCPU_ID && !kvm->nr_vcpus &&
	    !kvm->max_vcpu_id_set) {
		kvm->max_vcpu_id = limit;
		kvm->max_vcpu_id_set = true;
		r = 0;
	}
	mutex_unlock(&kvm->lock);
	return r;
}

static long disable_quirks(struct kvm *kvm, u64 quirks)
{
	if (quirks & ~QUIRKS)
		return -EINVAL;
	WRITE_ONCE(kvm->disabled_quirks, quirks);
	return 0;
}

#define MSR_EXIT_REASONS	(KVM_MSR_EXIT_REASON_INVAL |		\
				 KVM_MSR_EXIT_REASON_UNKNOWN |		\
				 KVM_MSR_EXIT_REASON_FILTER)

static long enable_user_space_msr(struct kvm *kvm, u64 reasons)
{
	if (reasons & ~(u64)MSR_EXIT_REASONS)
		return -EINVAL;
	WRITE_ONCE(kvm->user_msr_reasons, reasons);
	return 0;
}

static long vm_enable_cap(struct kvm *kvm, void *arg)
{
	const struct kvm_enable_cap *cap = arg;

	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_MAX_VCPU_ID:
		return enable_max_vcpu_id(kvm, cap->args[0]);
	case KVM_CAP_SPLIT_IRQCHIP:
		return enable_split_irqchip(kvm, cap->args[0]);
	case KVM_CAP_X2APIC_API:
		return enable_x2apic_api(kvm, cap->args[0]);
	case KVM_CAP_HALT_POLL:
		if (cap->args[0] > U32_MAX)
			return -EINVAL;
		WRITE_ONCE(kvm->halt_poll_ns, cap->args[0]);
		return 0;
	case KVM_CAP_DISABLE_QUIRKS:
		/* Of before unknown ones were refused. */
		return disable_quirks(kvm, cap->args[0] & QUIRKS);
	case KVM_CAP_DISABLE_QUIRKS2:
		return disable_quirks(kvm, cap->args[0]);
	case KVM_CAP_MSR_PLATFORM_INFO:
		WRITE_ONCE(kvm->no_platform_info, !cap->args[0]);
		return 0;
	case KVM_CAP_X86_USER_SPACE_MSR:
		return enable_user_space_msr(kvm, cap->args[0]);
	default:
		return -EINVAL;
	}
}

static long vm_set_msr_filter(struct kvm *kvm, void *arg)
{
	return kvm_set_msr_filter(kvm, arg);
}

static long vm_get_clock(struct kvm *kvm, void *arg)
{
	kvm_clock_get(kvm, arg);
	return 0;
}

static long vm_set_clock(struct kvm *kvm, void *arg)
{
	return kvm_clock_set(kvm, arg);
}

static long vm_get_tsc_khz(struct kvm *kvm, void *arg)
{
	return READ_ONCE(kvm->tsc_khz);
}

static long vm_set_tsc_khz(struct kvm *kvm, void *arg)
{
	return kvm_set_default_tsc_khz(kvm, (u32)(unsigned long)arg);
}

#define VM_ROW(cmd, fn)		{ cmd, 0, { .vm = fn } }
#define VM_ROW_RAW(cmd, fn)	{ cmd, IOCTL_RAW, { .vm = fn } }
#define VM_ROW_IN(cmd, fn)	{ cmd, IOCTL_IN, { .vm = fn } }

static long vm_get_stats_fd(struct kvm *kvm, void *arg)
{
	return kvm_stats_vm_fd(kvm);
}

static const struct ioctl_row vm_ioctls[] = {
	VM_ROW_RAW(KVM_CHECK_EXTENSION, vm_check_extension),
	VM_ROW_RAW(KVM_CREATE_VCPU, vm_create_vcpu),
	VM_ROW(KVM_SET_USER_MEMORY_REGION, vm_set_user_memory_region),
	VM_ROW(KVM_GET_DIRTY_LOG, vm_get_dirty_log),
	VM_ROW_RAW(KVM_SET_TSS_ADDR, vm_set_tss_addr),
	VM_ROW_RAW(KVM_SET_BOOT_CPU_ID, vm_set_boot_cpu_id),
	VM_ROW(KVM_SET_IDENTITY_MAP_ADDR, vm_set_identity_map_addr),
	VM_ROW_RAW(KVM_SET_NR_MMU_PAGES, vm_set_nr_mmu_pages),
	VM_ROW_RAW(KVM_GET_NR_MMU_PAGES, vm_get_nr_mmu_pages),
	VM_ROW(KVM_REGISTER_COALESCED_MMIO, vm_register_coalesced),
	VM_ROW(KVM_UNREGISTER_COALESCED_MMIO, vm_unregister_coalesced),
	/* The number of KVM_IRQ_LINE says that nothing comes back. */
	VM_ROW(KVM_IRQ_LINE, vm_irq_line),
	VM_ROW(KVM_IRQ_LINE_STATUS, vm_irq_line),
	VM_ROW(KVM_SIGNAL_MSI, vm_signal_msi),
	VM_ROW_RAW(KVM_CREATE_IRQCHIP, vm_create_irqchip),
	VM_ROW(KVM_GET_IRQCHIP, vm_get_irqchip),
	VM_ROW_IN(KVM_SET_IRQCHIP, vm_set_irqchip),
	VM_ROW_RAW(KVM_SET_GSI_ROUTING, vm_set_gsi_routing),
	VM_ROW(KVM_IRQFD, vm_irqfd),
	VM_ROW(KVM_IOEVENTFD, vm_ioeventfd),
	VM_ROW_RAW(KVM_CREATE_PIT, vm_create_pit),
	VM_ROW(KVM_CREATE_PIT2, vm_create_pit2),
	VM_ROW(KVM_GET_PIT, vm_get_pit),
	VM_ROW_IN(KVM_SET_PIT, vm_set_pit),
	VM_ROW(KVM_GET_PIT2, vm_get_pit2),
	VM_ROW(KVM_SET_PIT2, vm_set_pit2),
	VM_ROW_RAW(KVM_REINJECT_CONTROL, vm_reinject_control),
	VM_ROW(KVM_ENABLE_CAP, vm_enable_cap),
	VM_ROW(KVM_X86_SET_MSR_FILTER, vm_set_msr_filter),
	VM_ROW(KVM_GET_CLOCK, vm_get_clock),
	VM_ROW(KVM_SET_CLOCK, vm_set_clock),
	VM_ROW_RAW(KVM_GET_STATS_FD, vm_get_stats_fd),
	VM_ROW_RAW(KVM_GET_TSC_KHZ, vm_get_tsc_khz),
	VM_ROW_RAW(KVM_SET_TSC_KHZ, vm_set_tsc_khz),
};

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct ioctl_row *row = find_row(vm_ioctls,
					       ARRAY_SIZE(vm_ioctls), cmd);
	struct kvm *kvm = file->private_data;
	struct small_arg small;
	void *data;

	if (vm_refuses(kvm))
		return -EIO;
	if (!row)
		return -ENOTTY;
	data = arg_get(row, arg, &small);
	if (!(row->flags & IOCTL_RAW) && IS_ERR(data))
		return PTR_ERR(data);
	return arg_put(row, arg, &small, data, row->vm(kvm, data));
}

/* ---- ioctls of a vCPU --------------------------------------------------- */

/* Handlers whose second parameter is the structure of their ioctl. */
#define VCPU_HANDLER(fn)						\
static long vcpu_##fn(struct kvm_vcpu *vcpu, void *arg)			\
{									\
	return kvm_##fn(vcpu, arg);					\
}

VCPU_HANDLER(get_regs)
VCPU_HANDLER(set_regs)
VCPU_HANDLER(get_sregs)
VCPU_HANDLER(set_sregs)
VCPU_HANDLER(get_fpu)
VCPU_HANDLER(set_fpu)
VCPU_HANDLER(set_xsave)
VCPU_HANDLER(get_xcrs)
VCPU_HANDLER(set_xcrs)
VCPU_HANDLER(get_vcpu_events)
VCPU_HANDLER(set_vcpu_events)
VCPU_HANDLER(get_lapic)
VCPU_HANDLER(set_lapic)
VCPU_HANDLER(get_debugregs)
VCPU_HANDLER(set_debugregs)
VCPU_HANDLER(set_mce)
VCPU_HANDLER(set_nested_state)
VCPU_HANDLER(get_mp_state)
VCPU_HANDLER(set_mp_state)
VCPU_HANDLER(vcpu_interrupt)
VCPU_HANDLER(translate)
VCPU_HANDLER(set_guest_debug)
VCPU_HANDLER(has_vcpu_attr)
VCPU_HANDLER(get_vcpu_attr)
VCPU_HANDLER(set_vcpu_attr)

static long vcpu_get_xsave(struct kvm_vcpu *vcpu, void *arg)
{
	return kvm_get_xsave(vcpu, arg, sizeof(struct kvm_xsave));
}

static long vcpu_get_vmcs(struct kvm_vcpu *vcpu, void *arg)
{
	return backend->get_vmcs(vcpu, raw_user_ptr(arg));
}

static long vcpu_get_entry_failure(struct kvm_vcpu *vcpu, void *arg)
{
	return backend->get_entry_failure(vcpu, raw_user_ptr(arg));
}

static long vcpu_get_stats_fd(struct kvm_vcpu *vcpu, void *arg)
{
	return kvm_stats_vcpu_fd(vcpu);
}

static long vcpu_nmi(struct kvm_vcpu *vcpu, void *arg)
{
	kvm_inject_nmi(vcpu);
	return 0;
}

/*
 * Where a patched guest keeps its TPR. Guests are patched when accesses to the
 * TPR are reported, and none are: all that a monitor says is that there is no
 * such place.
 */
static long vcpu_set_vapic_addr(struct kvm_vcpu *vcpu, void *arg)
{
	const struct kvm_vapic_addr *vapic = arg;

	return vcpu->apic && !vapic->vapic_addr ? 0 : -EINVAL;
}

static long vcpu_get_tsc_khz(struct kvm_vcpu *vcpu, void *arg)
{
	return vcpu->tsc_khz;
}

static long vcpu_set_tsc_khz(struct kvm_vcpu *vcpu, void *arg)
{
	return kvm_set_tsc_khz(vcpu, (u32)(unsigned long)arg);
}

static long vcpu_kvmclock_ctrl(struct kvm_vcpu *vcpu, void *arg)
{
	return kvm_clock_note_pause(vcpu);
}

static long vcpu_enable_cap(struct kvm_vcpu *vcpu, void *arg)
{
	const struct kvm_enable_cap *cap = arg;

	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_ENFORCE_PV_FEATURE_CPUID:
		vcpu->pv.enforced = cap->args[0];
		return 0;
	default:
		return -EINVAL;
	}
}

static long vcpu_get_msrs(struct kvm_vcpu *vcpu, void *arg)
{
	return msr_batch(vcpu, raw_user_ptr(arg), get_one_msr, true);
}

static long vcpu_set_msrs(struct kvm_vcpu *vcpu, void *arg)
{
	return msr_batch(vcpu, raw_user_ptr(arg), set_one_msr, false);
}

static long vcpu_set_cpuid2(struct kvm_vcpu *vcpu, void *arg)
{
	struct kvm_cpuid2 __user *user = raw_user_ptr(arg);
	struct kvm_cpuid_entry2 *entries;
	u32 nent;
	long r;

	if (get_nent(user, &nent))
		return -EFAULT;
	if (nent > KVM_MAX_CPUID_ENTRIES)
		return -E2BIG;
	entries = vmemdup_user(user->entries, nent * sizeof(*entries));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	r = kvm_set_cpuid2(vcpu, entries, nent);
	kvfree(entries);
	return r;
}

static void widen_cpuid(struct kvm_cpuid_entry2 *to,
			const struct kvm_cpuid_entry *from, u32 nent)
{
	for (; nent--; to++, from++)
		*to = (struct kvm_cpuid_entry2) {
			.function = from->function,
			.eax = from->eax,
			.ebx = from->ebx,
			.ecx = from->ecx,
			.edx = from->edx,
		};
}

/* Of before CPUID had subleaves. */
static long vcpu_set_cpuid(struct kvm_vcpu *vcpu, void *arg)
{
	struct kvm_cpuid __user *user = raw_user_ptr(arg);
	struct kvm_cpuid_entry2 *wide;
	struct kvm_cpuid_entry *entries;
	long r = -ENOMEM;
	u32 nent;

	if (get_user(nent, &user->nent))
		return -EFAULT;
	if (nent > KVM_MAX_CPUID_ENTRIES)
		return -E2BIG;
	entries = vmemdup_user(user->entries, nent * sizeof(*entries));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	wide = kvcalloc(nent, sizeof(*wide), GFP_KERNEL_ACCOUNT);
	if (wide) {
		widen_cpuid(wide, entries, nent);
		r = kvm_set_cpuid2(vcpu, wide, nent);
	}
	kvfree(wide);
	kvfree(entries);
	return r;
}

static long vcpu_get_cpuid2(struct kvm_vcpu *vcpu, void *arg)
{
	struct kvm_cpuid2 __user *user = raw_user_ptr(arg);
	u32 room;

	if (get_nent(user, &room))
		return -EFAULT;
	if (room < vcpu->nr_cpuid)
		return -E2BIG;
	return put_cpuid(user, vcpu->cpuid, vcpu->nr_cpuid);
}

static void set_sigset(struct kvm_vcpu *vcpu, const sigset_t *sigset)
{
	vcpu->sigset_active = sigset;
	if (!sigset)
		return;
	vcpu->sigset = *sigset;
	/* Those two can never be blocked. */
	sigdelset(&vcpu->sigset, SIGKILL);
	sigdelset(&vcpu->sigset, SIGSTOP);
}

static long vcpu_set_signal_mask(struct kvm_vcpu *vcpu, void *arg)
{
	struct kvm_signal_mask __user *user = raw_user_ptr(arg);
	sigset_t sigset;
	u32 len;

	if (!user) {
		set_sigset(vcpu, NULL);
		return 0;
	}
	if (get_user(len, &user->len))
		return -EFAULT;
	if (len != sizeof(sigset))
		return -EINVAL;
	if (copy_from_user(&sigset, user->sigset, sizeof(sigset)))
		return -EFAULT;
	set_sigset(vcpu, &sigset);
	return 0;
}

static long vcpu_setup_mce(struct kvm_vcpu *vcpu, void *arg)
{
	const u64 *cap = arg;

	return kvm_setup_mce(vcpu, *cap);
}

/* User space says how much room there is, and is told how much is needed. */
static long vcpu_get_nested_state(struct kvm_vcpu *vcpu, void *arg)
{
	struct kvm_nested_state __user *user = raw_user_ptr(arg);
	struct kvm_nested_state state;
	u32 room;

	if (get_user(room, &user->size))
		return -EFAULT;
	kvm_get_nested_state(vcpu, &state);
	if (room < state.size)
		return put_user(state.size, &user->size) ? -EFAULT : -E2BIG;
	return copy_to_user(user, &state, sizeof(state)) ? -EFAULT : 0;
}

#define VCPU_ROW(cmd, fn)	{ cmd, 0, { .vcpu = fn } }
#define VCPU_ROW_RAW(cmd, fn)	{ cmd, IOCTL_RAW, { .vcpu = fn } }

/* KVM_RUN is not here: it goes its own, shorter way. */
static const struct ioctl_row vcpu_ioctls[] = {
	VCPU_ROW(KVM_GET_REGS, vcpu_get_regs),
	VCPU_ROW(KVM_SET_REGS, vcpu_set_regs),
	VCPU_ROW(KVM_GET_SREGS, vcpu_get_sregs),
	VCPU_ROW(KVM_SET_SREGS, vcpu_set_sregs),
	VCPU_ROW(KVM_INTERRUPT, vcpu_vcpu_interrupt),
	VCPU_ROW_RAW(KVM_NMI, vcpu_nmi),
	VCPU_ROW(KVM_GET_VCPU_EVENTS, vcpu_get_vcpu_events),
	VCPU_ROW(KVM_SET_VCPU_EVENTS, vcpu_set_vcpu_events),
	VCPU_ROW(KVM_GET_LAPIC, vcpu_get_lapic),
	VCPU_ROW(KVM_SET_LAPIC, vcpu_set_lapic),
	VCPU_ROW(KVM_SET_VAPIC_ADDR, vcpu_set_vapic_addr),
	VCPU_ROW(KVM_GET_MP_STATE, vcpu_get_mp_state),
	VCPU_ROW(KVM_SET_MP_STATE, vcpu_set_mp_state),
	VCPU_ROW_RAW(KVM_GET_MSRS, vcpu_get_msrs),
	VCPU_ROW_RAW(KVM_SET_MSRS, vcpu_set_msrs),
	VCPU_ROW(KVM_GET_FPU, vcpu_get_fpu),
	VCPU_ROW(KVM_SET_FPU, vcpu_set_fpu),
	VCPU_ROW(KVM_GET_XSAVE, vcpu_get_xsave),
	VCPU_ROW(KVM_SET_XSAVE, vcpu_set_xsave),
	VCPU_ROW(KVM_GET_XCRS, vcpu_get_xcrs),
	VCPU_ROW(KVM_SET_XCRS, vcpu_set_xcrs),
	VCPU_ROW(KVM_GET_DEBUGREGS, vcpu_get_debugregs),
	VCPU_ROW(KVM_SET_DEBUGREGS, vcpu_set_debugregs),
	VCPU_ROW(KVM_SET_GUEST_DEBUG, vcpu_set_guest_debug),
	VCPU_ROW(KVM_X86_SETUP_MCE, vcpu_setup_mce),
	VCPU_ROW(KVM_X86_SET_MCE, vcpu_set_mce),
	VCPU_ROW_RAW(KVM_GET_NESTED_STATE, vcpu_get_nested_state),
	VCPU_ROW(KVM_SET_NESTED_STATE, vcpu_set_nested_state),
	VCPU_ROW(KVM_TRANSLATE, vcpu_translate),
	VCPU_ROW_RAW(KVM_GET_TSC_KHZ, vcpu_get_tsc_khz),
	VCPU_ROW_RAW(KVM_SET_TSC_KHZ, vcpu_set_tsc_khz),
	VCPU_ROW(KVM_ENABLE_CAP, vcpu_enable_cap),
	VCPU_ROW_RAW(KVM_KVMCLOCK_CTRL, vcpu_kvmclock_ctrl),
	VCPU_ROW(KVM_HAS_DEVICE_ATTR, vcpu_has_vcpu_attr),
	VCPU_ROW(KVM_GET_DEVICE_ATTR, vcpu_get_vcpu_attr),
	VCPU_ROW(KVM_SET_DEVICE_ATTR, vcpu_set_vcpu_attr),
	VCPU_ROW_RAW(KVM_SET_CPUID, vcpu_set_cpuid),
	VCPU_ROW_RAW(KVM_SET_CPUID2, vcpu_set_cpuid2),
	VCPU_ROW_RAW(KVM_GET_CPUID2, vcpu_get_cpuid2),
	VCPU_ROW_RAW(KVM_SET_SIGNAL_MASK, vcpu_set_signal_mask),
	VCPU_ROW_RAW(KVM_GET_STATS_FD, vcpu_get_stats_fd),
	VCPU_ROW_RAW(KVM_GET_VMCS, vcpu_get_vmcs),
	VCPU_ROW_RAW(KVM_GET_ENTRY_FAILURE, vcpu_get_entry_failure),
};

static long call_loaded(struct kvm_vcpu *vcpu, const struct ioctl_row *row,
			void *data)
{
	long r;

	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	vcpu_load(vcpu);
	r = row->vcpu(vcpu, data);
	vcpu_put(vcpu);
	mutex_unlock(&vcpu->mutex);
	return r;
}

static noinline long vcpu_state_ioctl(struct kvm_vcpu *vcpu, unsigned int cmd,
				      unsigned long arg)
{
	const struct ioctl_row *row = find_row(vcpu_ioctls,
					       ARRAY_SIZE(vcpu_ioctls), cmd);
	struct small_arg small;
	void *data;

	if (!row)
		return -EINVAL;
	data = arg_get(row, arg, &small);
	if (!(row->flags & IOCTL_RAW) && IS_ERR(data))
		return PTR_ERR(data);
	return arg_put(row, arg, &small, data, call_loaded(vcpu, row, data));
}

/* ---- KVM_RUN ------------------------------------------------------------ */

/* Whoever signals or boosts the vCPU's thread finds it here. */
static void note_thread(struct kvm_vcpu *vcpu)
{
	struct pid *old = rcu_dereference_protected(vcpu->pid, true);

	if (likely(old == task_pid(current)))
		return;
	rcu_assign_pointer(vcpu->pid, get_task_pid(current, PIDTYPE_PID));
	if (old)
		synchronize_rcu();
	put_pid(old);
}

/*
 * KVM_SET_SIGNAL_MASK: the vCPU's mask in place of the thread's. What the
 * thread itself blocks stays known as real_blocked, so that such a signal is
 * kept pending even if its action is to be ignored.
 */
static void sigset_enter(struct kvm_vcpu *vcpu)
{
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigset,
			    &current->real_blocked);
}

static void sigset_leave(struct kvm_vcpu *vcpu)
{
	if (!vcpu->sigset_active)
		return;
	sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
	sigemptyset(&current->real_blocked);
}

static long vcpu_run_ioctl(struct kvm_vcpu *vcpu, unsigned long arg)
{
	long r;

	if (arg)
		return -EINVAL;
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	note_thread(vcpu);
	vcpu_load(vcpu);
	sigset_enter(vcpu);
	r = kvm_vcpu_run(vcpu);
	trace_kvm_userspace_exit(vcpu->run->exit_reason, r);
	sigset_leave(vcpu);
	vcpu_put(vcpu);
	mutex_unlock(&vcpu->mutex);
	return r;
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct kvm_vcpu *vcpu = file->private_data;

	if (unlikely(vm_refuses(vcpu->kvm)))
		return -EIO;
	if (likely(cmd == KVM_RUN))
		return vcpu_run_ioctl(vcpu, arg);
	return vcpu_state_ioctl(vcpu, cmd, arg);
}

/* ---- 32-bit callers ----------------------------------------------------- */

/*
 * The structures of the interface have one layout for both, but for the two
 * that hold a pointer or a signal set.
 */
#ifdef CONFIG_COMPAT
struct compat_dirty_log {
	u32 slot;
	u32 padding;
	compat_uptr_t dirty_bitmap;
	u32 padding2;
};

static long compat_get_dirty_log(struct kvm *kvm, unsigned long arg)
{
	struct compat_dirty_log narrow;
	struct kvm_dirty_log log;

	if (copy_from_user(&narrow, compat_ptr(arg), sizeof(narrow)))
		return -EFAULT;
	log = (struct kvm_dirty_log) {
		.slot = narrow.slot,
		.dirty_bitmap = compat_ptr(narrow.dirty_bitmap),
	};
	return kvm_get_dirty_log(kvm, &log);
}

struct compat_msr_filter {
	u32 flags;
	struct {
		u32 flags;
		u32 nmsrs;
		u32 base;
		compat_uptr_t bitmap;
	} ranges[KVM_MSR_FILTER_MAX_RANGES];
};

#define COMPAT_SET_MSR_FILTER						\
	_IOC(_IOC_WRITE, KVMIO, _IOC_NR(KVM_X86_SET_MSR_FILTER),	\
	     sizeof(struct compat_msr_filter))

static long compat_set_msr_filter(struct kvm *kvm, unsigned long arg)
{
	struct compat_msr_filter *narrow;
	struct kvm_msr_filter filter = { };
	long r;
	int i;

	narrow = memdup_user(compat_ptr(arg), sizeof(*narrow));
	if (IS_ERR(narrow))
		return PTR_ERR(narrow);
	filter.flags = narrow->flags;
	for (i = 0; i < ARRAY_SIZE(filter.ranges); i++)
		filter.ranges[i] = (struct kvm_msr_filter_range) {
			.flags = narrow->ranges[i].flags,
			.nmsrs = narrow->ranges[i].nmsrs,
			.base = narrow->ranges[i].base,
			.bitmap = (u8 __force *)
				compat_ptr(narrow->ranges[i].bitmap),
		};
	r = kvm_set_msr_filter(kvm, &filter);
	kfree(narrow);
	return r;
}

static long vm_compat_ioctl(struct file *file, unsigned int cmd,
			    unsigned long arg)
{
	struct kvm *kvm = file->private_data;

	switch (cmd) {
	case KVM_GET_DIRTY_LOG:
		return vm_refuses(kvm) ? -EIO : compat_get_dirty_log(kvm, arg);
	case COMPAT_SET_MSR_FILTER:
		return vm_refuses(kvm) ? -EIO : compat_set_msr_filter(kvm, arg);
	default:
		return vm_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
	}
}

static long compat_set_signal_mask(struct kvm_vcpu *vcpu, unsigned long arg)
{
	struct kvm_signal_mask __user *user = compat_ptr(arg);
	sigset_t sigset;
	u32 len;

	if (user) {
		if (get_user(len, &user->len))
			return -EFAULT;
		if (len != sizeof(compat_sigset_t))
			return -EINVAL;
		if (get_compat_sigset(&sigset, (void __user *)user->sigset))
			return -EFAULT;
	}
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	set_sigset(vcpu, user ? &sigset : NULL);
	mutex_unlock(&vcpu->mutex);
	return 0;
}

static long vcpu_compat_ioctl(struct file *file, unsigned int cmd,
			      unsigned long arg)
{
	struct kvm_vcpu *vcpu = file->private_data;

	if (cmd != KVM_SET_SIGNAL_MASK)
		return vcpu_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
	return vm_refuses(vcpu->kvm) ? -EIO : compat_set_signal_mask(vcpu, arg);
}

static long system_compat_ioctl(struct file *file, unsigned int cmd,
				unsigned long arg)
{
	return system_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
}
#else
#define system_compat_ioctl	NULL
#define vm_compat_ioctl		NULL
#define vcpu_compat_ioctl	NULL
#endif

/* ---- files -------------------------------------------------------------- */

static vm_fault_t vcpu_fault(struct vm_fault *vmf)
{
	struct kvm_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	switch (vmf->pgoff) {
	case KVM_RUN_PAGE:
		page = virt_to_page(vcpu->run);
		break;
	case KVM_PIO_PAGE:
		page = virt_to_page(vcpu->pio_data);
		break;
	case KVM_COALESCED_PAGE:
		page = virt_to_page(vcpu->kvm->coalesced_ring);
		break;
	default:
		return VM_FAULT_SIGBUS;
	}
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = {
	.fault = vcpu_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct kvm_vcpu *vcpu = file->private_data;

	kvm_put(vcpu->kvm);
	return 0;
}

static int vm_release(struct inode *inode, struct file *file)
{
	kvm_put(file->private_data);
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = vcpu_compat_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = vm_compat_ioctl,
	.llseek = noop_llseek,
};

static const struct file_operations system_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = system_ioctl,
	.compat_ioctl = system_compat_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice kvm_device = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.fops = &system_fops,
};

/* ---- processors that come and go ---------------------------------------- */

static DEFINE_PER_CPU(bool, virt_enabled);
static atomic_t cpus_failed = ATOMIC_INIT(0);
static int cpuhp_state;

static void enable_this_cpu(void)
{
	if (__this_cpu_read(virt_enabled))
		return;
	if (backend->cpu_enable()) {
		atomic_inc(&cpus_failed);
		pr_err("CPU%d cannot run guests\n", smp_processor_id());
		return;
	}
	__this_cpu_write(virt_enabled, true);
}

static void disable_this_cpu(void *unused)
{
	if (!__this_cpu_read(virt_enabled))
		return;
	backend->cpu_disable();
	__this_cpu_write(virt_enabled, false);
}

/* On some kernels a processor that comes up at this point may not fail. */
static int cpu_comes(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	enable_this_cpu();
	local_irq_restore(flags);
	return 0;
}

static int cpu_goes(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	disable_this_cpu(NULL);
	local_irq_restore(flags);
	return 0;
}

static int enable_cpus(void)
{
	int r = cpuhp_setup_state(COMPAT_CPUHP_KVM, "kvm/cpu:online",
				  cpu_comes, cpu_goes);

	if (r < 0)
		return r;
	cpuhp_state = COMPAT_CPUHP_KVM;
	if (!atomic_read(&cpus_failed))
		return 0;
	cpuhp_remove_state(cpuhp_state);
	return -EBUSY;
}

static void disable_cpus(void)
{
	cpuhp_remove_state(cpuhp_state);
}

/* The last processor goes to sleep, and comes back, without hotplug. */
static int kvm_suspend(COMPAT_SYSCORE_PARAM)
{
	disable_this_cpu(NULL);
	kvm_clock_suspend();
	return 0;
}

static void kvm_resume(COMPAT_SYSCORE_PARAM)
{
	enable_this_cpu();
	kvm_clock_resume();
}

COMPAT_DEFINE_SYSCORE(kvm_syscore, kvm_suspend, kvm_resume);

/*
 * Firmware need not expect a processor in VMX operation, where INIT is
 * blocked. vCPUs that still run find their instructions failing.
 */
static int kvm_reboot(struct notifier_block *nb, unsigned long event,
		      void *unused)
{
	WRITE_ONCE(kvm_rebooting, true);
	on_each_cpu(disable_this_cpu, NULL, true);
	return NOTIFY_OK;
}

static struct notifier_block kvm_reboot_notifier = {
	.notifier_call = kvm_reboot,
	.priority = 0,
};

/* ---- module ------------------------------------------------------------- */

static int __init setup_model(void)
{
	int r;

	if (!tsc_khz) {
		pr_err("kvm: the kernel does not know the frequency of the TSC\n");
		return -EOPNOTSUPP;
	}
	kvm_clock_setup();
	r = kvm_cpuid_setup();
	if (r)
		return r;
	kvm_msr_setup();
	return kvm_mmu_module_init();
}

static int __init setup_memory(void)
{
	vcpu_cache = kmem_cache_create("kvm_vcpu", backend->vcpu_size, 0,
				       SLAB_HWCACHE_ALIGN | SLAB_ACCOUNT,
				       NULL);
	if (!vcpu_cache)
		return -ENOMEM;
	return alloc_kick_masks() ?: kvm_stats_init() ?:
	       kvm_irqfd_module_init();
}

static void release_memory(void)
{
	kvm_irqfd_module_exit();
	kvm_stats_exit();
	free_kick_masks();
	kmem_cache_destroy(vcpu_cache);
}

static int __init register_device(void)
{
	int r;

	kvm_device.groups = backend->sysfs_groups;
	r = misc_register(&kvm_device);
	if (r == -EBUSY)
		pr_err("/dev/kvm belongs to another module or to the kernel\n");
	else if (r)
		pr_err("cannot create /dev/kvm: error %d\n", r);
	else
		backend->report();
	return r;
}

static int __init kvm_module_init(void)
{
	int r;

	r = backend->hardware_setup();
	if (r)
		return r;
	r = setup_model();
	if (r)
		goto unsetup_hardware;
	r = setup_memory();
	if (r)
		goto free_memory;
	r = kvm_apf_module_init();
	if (r)
		goto free_memory;
	r = enable_cpus();
	if (r)
		goto exit_apf;
	register_reboot_notifier(&kvm_reboot_notifier);
	compat_register_syscore(&kvm_syscore);
	preempt_notifier_inc();
	r = register_device();
	if (!r)
		return 0;

	preempt_notifier_dec();
	compat_unregister_syscore(&kvm_syscore);
	unregister_reboot_notifier(&kvm_reboot_notifier);
	disable_cpus();
exit_apf:
	kvm_apf_module_exit();
free_memory:
	release_memory();
	kvm_mmu_module_exit();
unsetup_hardware:
	backend->hardware_unsetup();
	return r;
}
module_init(kvm_module_init);

static void __exit kvm_module_exit(void)
{
	misc_deregister(&kvm_device);
	kvm_memory_exit();
	preempt_notifier_dec();
	compat_unregister_syscore(&kvm_syscore);
	unregister_reboot_notifier(&kvm_reboot_notifier);
	disable_cpus();
	kvm_apf_module_exit();
	release_memory();
	kvm_mmu_module_exit();
	backend->hardware_unsetup();
}
module_exit(kvm_module_exit);

static const struct x86_cpu_id vmx_cpus[] = {
	X86_MATCH_FEATURE(X86_FEATURE_VMX, NULL),
	{ }
};
MODULE_DEVICE_TABLE(x86cpu, vmx_cpus);

MODULE_DESCRIPTION("Virtual machines on Intel VT-x");
MODULE_LICENSE("GPL");
MODULE_ALIAS_MISCDEV(KVM_MINOR);
MODULE_ALIAS("devname:kvm");
