// SPDX-License-Identifier: GPL-2.0-only
/*
 * Questions to the target kernel's headers, for scripts/conftest.
 *
 * A line `//? HAVE_X SYMBOL...` begins a probe: HAVE_X is defined if the
 * kernel exports all SYMBOLs and the statements up to the next such line
 * compile as the body of a function. Say what is tested, not in which version
 * it appeared. All probes are compiled in one go; the code before the first is
 * common to them and must compile on every kernel.
 */
#include <linux/anon_inodes.h>
#include <linux/context_tracking.h>
#include <linux/cpuhotplug.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/shrinker.h>
#include <linux/syscore_ops.h>
#include <linux/sysfs.h>
#include <linux/vmstat.h>
#include <asm/apic.h>
#include <asm/entry-common.h>
#include <asm/idtentry.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/perf_event.h>
#include <asm/reboot.h>
#include <asm/spec-ctrl.h>
#include <asm/trapnr.h>
#if __has_include(<linux/entry-virt.h>)
#include <linux/entry-virt.h>
#else
#include <linux/entry-kvm.h>
#endif
#if __has_include(<asm/virt.h>)
#include <asm/virt.h>
#endif
#if __has_include(<asm/fred.h>)
#include <asm/fred.h>
#endif

//? HAVE_EVERYTHING_PROBED
	/* Must be found: else the compiler or the common part is broken. */
	(void)PAGE_SIZE;

//? HAVE_NOTHING_PROBED
	/* Must not be found: else errors go unnoticed. */
	no_kernel_has_this_function();

//? HAVE_LINUX_ENTRY_VIRT_H
#if !__has_include(<linux/entry-virt.h>)
#error
#endif

//? HAVE_ASM_VIRT_H
#if !__has_include(<asm/virt.h>)
#error
#endif

//? HAVE_ASM_FRED_H
#if !__has_include(<asm/fred.h>)
#error
#endif

//? HAVE_ASM_CPUID_API_H
#if !__has_include(<asm/cpuid/api.h>)
#error
#endif

//? HAVE_RDMSRQ
	u64 value;

	rdmsrq(MSR_EFER, value);
	wrmsrq(MSR_EFER, value);

//? HAVE_HRTIMER_SETUP hrtimer_setup
	extern enum hrtimer_restart tick(struct hrtimer *timer);
	struct hrtimer timer;

	hrtimer_setup(&timer, tick, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);

//? HAVE_MMU_NOTIFIER_YOUNG_BOOL
	extern bool young(struct mmu_notifier *mn, struct mm_struct *mm,
			  unsigned long start, unsigned long end);
	struct mmu_notifier_ops ops = { .clear_young = young };

	(void)ops;

//? HAVE_FD_FILE
	struct fd f = fdget(0);

	(void)fd_file(f);

//? HAVE_EVENTFD_SIGNAL_ONE_ARG eventfd_signal_mask
	eventfd_signal((struct eventfd_ctx *)NULL);

//? HAVE_CONST_BIN_ATTRIBUTE
	extern ssize_t show(struct file *file, struct kobject *kobj,
			    const struct bin_attribute *attr, char *buf,
			    loff_t offset, size_t count);
	struct bin_attribute attr = { .read = show };
	const struct attribute_group group = {
		.bin_attrs = (const struct bin_attribute *const *)NULL,
	};

	(void)attr;
	(void)group;

//? HAVE_KVM_RUN_UNSAFE_NAMES
	(void)((struct kvm_run *)NULL)->immediate_exit__unsafe;

//? HAVE_SHRINKER_ALLOC shrinker_alloc shrinker_register shrinker_free
	shrinker_register(shrinker_alloc(0, "x"));

//? HAVE_REGISTER_SYSCORE register_syscore
	struct syscore s;

	register_syscore(&s);

//? HAVE_RCU_VIRT_NOTE_CPU
	rcu_virt_note_context_switch(0);

//? HAVE_XFER_TO_GUEST_MODE_VCPU
	(void)xfer_to_guest_mode_handle_work((struct kvm_vcpu *)NULL);

//? HAVE_CPUHP_AP_KVM_ONLINE
	(void)CPUHP_AP_KVM_ONLINE;

//? HAVE_LRUVEC_STAT_MOD_FOLIO
	mod_lruvec_page_state((struct page *)NULL, NR_SECONDARY_PAGETABLE, 1);

//? HAVE_X86_VIRT_REF x86_virt_get_ref x86_virt_put_ref virt_rebooting
	(void)x86_virt_get_ref(X86_FEATURE_VMX);
	(void)virt_rebooting;

//? HAVE_CPU_EMERGENCY_VIRT cpu_emergency_register_virt_callback
	cpu_emergency_register_virt_callback((cpu_emergency_virt_cb *)NULL);

//? HAVE_X86_ENTRY_FROM_KVM x86_entry_from_kvm
	x86_entry_from_kvm(EVENT_TYPE_NMI, NMI_VECTOR);

//? HAVE_ASM_EXC_NMI_KVM_VMX asm_exc_nmi_kvm_vmx
	asm_exc_nmi_kvm_vmx();

//? HAVE_ASM_EXC_NMI_NOIST asm_exc_nmi_noist
	asm_exc_nmi_noist();

//? HAVE_APIC_SEND_IPI_MASK __SCT__apic_call_send_IPI_mask
	__apic_send_IPI_mask(cpumask_of(0), 0);

//? HAVE_DO_MACHINE_CHECK do_machine_check
	do_machine_check((struct pt_regs *)NULL);

//? HAVE_INTEL_PT_HANDLE_VMX intel_pt_handle_vmx
	intel_pt_handle_vmx(1);

//? HAVE_ITLB_MULTIHIT_DECLARED
	(void)itlb_multihit_kvm_mitigation;

//? HAVE_MMIO_STALE_DATA_CLEAR mmio_stale_data_clear
	(void)static_branch_unlikely(&mmio_stale_data_clear);

//? HAVE_IBPB_EXIT_TO_USER x86_ibpb_exit_to_user
	this_cpu_write(x86_ibpb_exit_to_user, true);
