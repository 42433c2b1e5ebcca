/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that we build for, 6.1 to 7.x.
 *
 * Nothing else in the driver asks which kernel it is built for, and nothing
 * here asks for a version: distributions carry changes back, so each HAVE_X
 * is the answer of the target's own headers and export list to a question in
 * scripts/conftest.c.
 *
 * Where the newest kernel's name and meaning can be had on an older kernel,
 * that name is used; everything else is called compat_*. To be included before
 * kvm.h, in C and in assembly.
 */
#ifndef KVM_COMPAT_H
#define KVM_COMPAT_H

#include "generated/conftest.h"

#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>

#ifdef __ASSEMBLER__

/*
 * CPU_BUFFERS_CLEAR: overwrite the processor's internal buffers before guest
 * code runs, if the host wants that for every entry. Leaves CF alone. Later
 * kernels also say here what earlier ones say by compat_clear_buffers_mmio().
 */
#ifdef X86_FEATURE_CLEAR_CPU_BUF_VM_MMIO
#define CPU_BUFFERS_CLEAR						\
	ALTERNATIVE_2 "",						\
		__CLEAR_CPU_BUFFERS, X86_FEATURE_CLEAR_CPU_BUF_VM,	\
		__CLEAR_CPU_BUFFERS, X86_FEATURE_CLEAR_CPU_BUF_VM_MMIO
#elif defined(CLEAR_CPU_BUFFERS)
#define CPU_BUFFERS_CLEAR	CLEAR_CPU_BUFFERS
#endif

#else /* !__ASSEMBLER__ */

#include <linux/context_tracking.h>
#include <linux/cpuhotplug.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/hrtimer.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/shrinker.h>
#include <linux/syscore_ops.h>
#include <linux/vtime.h>
#ifdef HAVE_LINUX_ENTRY_VIRT_H
#include <linux/entry-virt.h>
#else
#include <linux/entry-kvm.h>
#endif
#include <asm/desc.h>
#include <asm/entry-common.h>
#include <asm/fpu/api.h>
#include <asm/idtentry.h>
#include <asm/irq_vectors.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/reboot.h>
#include <asm/spec-ctrl.h>
#include <asm/tlbflush.h>
#include <asm/trapnr.h>
#ifdef HAVE_ASM_CPUID_API_H
#include <asm/cpuid/api.h>
#endif
#ifdef HAVE_ASM_FRED_H
#include <asm/fred.h>
#endif
#ifdef HAVE_ASM_VIRT_H
#include <asm/virt.h>
#endif

/* ---- names that came later ---------------------------------------------- */

#ifndef INVALID_GPA
#define INVALID_GPA		(~(gpa_t)0)
#endif

#ifndef HAVE_RDMSRQ
#define rdmsrq			rdmsrl
#define wrmsrq			wrmsrl
#define rdmsrq_safe		rdmsrl_safe
#define wrmsrq_safe		wrmsrl_safe
#define native_rdmsrq		__rdmsr
#define native_wrmsrq		native_wrmsrl
#endif

#ifndef HAVE_HRTIMER_SETUP
static inline void
hrtimer_setup(struct hrtimer *timer,
	      enum hrtimer_restart (*function)(struct hrtimer *),
	      clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}
#endif

#ifndef HAVE_FD_FILE
#define fd_file(f)		((f).file)
#endif

/* ---- signatures that changed -------------------------------------------- */

/* What the young callbacks of struct mmu_notifier_ops return. */
#ifdef HAVE_MMU_NOTIFIER_YOUNG_BOOL
typedef bool compat_young_t;
#else
typedef int compat_young_t;
#endif

static inline void compat_eventfd_signal(struct eventfd_ctx *ctx)
{
#ifdef HAVE_EVENTFD_SIGNAL_ONE_ARG
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* Fields that user space may change under us can have a warning in the name. */
static inline bool compat_immediate_exit(const struct kvm_run *run)
{
#ifdef HAVE_KVM_RUN_UNSAFE_NAMES
	return READ_ONCE(run->immediate_exit__unsafe);
#else
	return READ_ONCE(run->immediate_exit);
#endif
}

/* Count nr pages from `table` on as page tables of a secondary MMU. */
static inline void compat_account_page_tables(void *table, int nr)
{
	mod_lruvec_page_state(virt_to_page(table), NR_SECONDARY_PAGETABLE,
			      nr * (int)PAGE_SIZE);
}

/*
 * A shrinker for all VMs: NULL where memory is short. The callbacks get the
 * shrinker and the request, as in struct shrinker.
 */
typedef unsigned long compat_shrink_fn(struct shrinker *shrinker,
				       struct shrink_control *sc);

static inline struct shrinker *
compat_shrinker_register(const char *name, compat_shrink_fn *count,
			 compat_shrink_fn *scan)
{
	struct shrinker *s;

#ifdef HAVE_SHRINKER_ALLOC
	s = shrinker_alloc(0, "%s", name);
#else
	s = kzalloc(sizeof(*s), GFP_KERNEL);
#endif
	if (!s)
		return NULL;
	s->count_objects = count;
	s->scan_objects = scan;
	s->seeks = DEFAULT_SEEKS;
#ifdef HAVE_SHRINKER_ALLOC
	shrinker_register(s);
#else
	if (register_shrinker(s, "%s", name)) {
		kfree(s);
		return NULL;
	}
#endif
	return s;
}

static inline void compat_shrinker_free(struct shrinker *s)
{
#ifdef HAVE_SHRINKER_ALLOC
	shrinker_free(s);
#else
	unregister_shrinker(s);
	kfree(s);
#endif
}

/*
 * Callbacks for the last CPU at suspend and resume. Both take
 * (COMPAT_SYSCORE_PARAM) and nothing else.
 */
#ifdef HAVE_REGISTER_SYSCORE
#define COMPAT_SYSCORE_PARAM	void *unused
#define COMPAT_DEFINE_SYSCORE(name, suspend_fn, resume_fn)		\
	static const struct syscore_ops name##_ops = {			\
		.suspend = suspend_fn,					\
		.resume = resume_fn,					\
	};								\
	static struct syscore name = { .ops = &name##_ops }
#define compat_register_syscore		register_syscore
#define compat_unregister_syscore	unregister_syscore
#else
#define COMPAT_SYSCORE_PARAM	void
#define COMPAT_DEFINE_SYSCORE(name, suspend_fn, resume_fn)		\
	static struct syscore_ops name = {				\
		.suspend = suspend_fn,					\
		.resume = resume_fn,					\
	}
#define compat_register_syscore		register_syscore_ops
#define compat_unregister_syscore	unregister_syscore_ops
#endif

/* Where in a CPU's coming and going a hypervisor has its place. */
#ifdef HAVE_CPUHP_AP_KVM_ONLINE
#define COMPAT_CPUHP_KVM	CPUHP_AP_KVM_ONLINE
#else
#define COMPAT_CPUHP_KVM	CPUHP_AP_KVM_STARTING
#endif

/* ---- accounting and tracking of guest time ------------------------------ */

/*
 * In this order, interrupts off: guest_timing_enter_irqoff(), which makes the
 * time that follows the guest's; guest_state_enter_irqoff(), after which RCU
 * need not wait for this CPU; VM entry; guest_state_exit_irqoff(); interrupts
 * enabled for a moment, so that the tick finds the guest; and
 * guest_timing_exit_irqoff(). The kernel has the same names for its KVM, in a
 * header that we cannot include. Between the two guest_state_*() calls only
 * noinstr code may run.
 */
static __always_inline void guest_timing_enter_irqoff(void)
{
	instrumentation_begin();
	vtime_account_guest_enter();
	instrumentation_end();
}

static __always_inline void guest_timing_exit_irqoff(void)
{
	instrumentation_begin();
	vtime_account_guest_exit();
	instrumentation_end();
}

/*
 * Without context tracking, entry is at least a quiescent state of RCU.
 * `again`: it has been told since interrupts were disabled.
 */
static __always_inline void guest_context_enter_irqoff(bool again)
{
	if (context_tracking_guest_enter() || again)
		return;
	instrumentation_begin();
#ifdef HAVE_RCU_VIRT_NOTE_CPU
	rcu_virt_note_context_switch(smp_processor_id());
#else
	rcu_virt_note_context_switch();
#endif
	instrumentation_end();
}

static __always_inline void guest_state_enter_irqoff(bool again)
{
	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();

	guest_context_enter_irqoff(again);
	lockdep_hardirqs_on(CALLER_ADDR0);
}

static __always_inline void guest_state_exit_irqoff(void)
{
	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();

	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();
}

/* ---- floating point ----------------------------------------------------- */

/* The guest's registers must be in the processor; interrupts are off. */
static __always_inline void compat_fpu_ensure_loaded(void)
{
	fpregs_assert_state_consistent();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

/* ---- who owns VMX operation --------------------------------------------- */

/* Set from our reboot notifier on: VMX may be off under us. kvm_main.c. */
extern bool kvm_rebooting;

#ifdef HAVE_X86_VIRT_REF

/* The core kernel does VMXON and VMXOFF, and counts users on each CPU. */
static inline bool compat_core_owns_vmx(void)
{
	return true;
}

/* Enter VMX operation on this CPU; 0, -EBUSY or -EOPNOTSUPP. */
static inline int compat_vmx_get(void)
{
	return x86_virt_get_ref(X86_FEATURE_VMX);
}

static inline void compat_vmx_put(void)
{
	x86_virt_put_ref(X86_FEATURE_VMX);
}

/* May a VMX instruction fault through no fault of ours? */
static __always_inline bool compat_rebooting(void)
{
	return READ_ONCE(kvm_rebooting) || READ_ONCE(virt_rebooting);
}

/*
 * `clear` makes every VMCS of the CPU it runs on inactive when the system
 * crashes or reboots in haste. VMX operation has ended when all is done.
 */
static inline void compat_register_emergency(cpu_emergency_virt_cb *clear)
{
	x86_virt_register_emergency_callback(clear);
}

static inline void compat_unregister_emergency(cpu_emergency_virt_cb *clear)
{
	x86_virt_unregister_emergency_callback(clear);
}

#elif defined(HAVE_CPU_EMERGENCY_VIRT)

static inline bool compat_core_owns_vmx(void)
{
	return false;
}

static inline int compat_vmx_get(void)
{
	return -EOPNOTSUPP;
}

static inline void compat_vmx_put(void)
{
}

static __always_inline bool compat_rebooting(void)
{
	return READ_ONCE(kvm_rebooting);
}

/*
 * The kernel leaves VMXOFF to us. It calls back on every CPU, with interrupts
 * off, whether or not that CPU is in VMX operation.
 */
static cpu_emergency_virt_cb *compat_emergency_clear __maybe_unused;

static void __maybe_unused compat_emergency(void)
{
	WRITE_ONCE(kvm_rebooting, true);
	if (!(__read_cr4() & X86_CR4_VMXE))
		return;
	compat_emergency_clear();
	asm goto("1: vmxoff\n\t"
		 _ASM_EXTABLE(1b, %l[fault])
		 : : : "cc", "memory" : fault);
fault:
	cr4_clear_bits(X86_CR4_VMXE);
}

static inline void compat_register_emergency(cpu_emergency_virt_cb *clear)
{
	compat_emergency_clear = clear;
	cpu_emergency_register_virt_callback(compat_emergency);
}

static inline void compat_unregister_emergency(cpu_emergency_virt_cb *clear)
{
	cpu_emergency_unregister_virt_callback(compat_emergency);
}

#else
#error "this kernel cannot end VMX operation when it crashes; update it"
#endif

/* Intel PT cannot trace VMX operation on older processors: 1 before VMXON. */
static inline void compat_intel_pt_handle_vmx(int on)
{
#ifdef HAVE_INTEL_PT_HANDLE_VMX
	intel_pt_handle_vmx(on);
#endif
}

/* ---- events that end the guest and are the host's ----------------------- */

/* vmx_entry.S: call an IDT handler with the frame that an interrupt makes. */
void vmx_call_handler(unsigned long handler);

/*
 * The exit has consumed an NMI: let the host handle it now, with NMIs still
 * blocked; its IRET or ERETS unblocks them. Interrupts are off.
 */
static __always_inline void compat_handle_nmi(void)
{
#ifdef HAVE_X86_ENTRY_FROM_KVM
	x86_entry_from_kvm(EVENT_TYPE_NMI, NMI_VECTOR);
#elif defined(HAVE_ASM_EXC_NMI_KVM_VMX)
#ifdef CONFIG_X86_FRED
	if (cpu_feature_enabled(X86_FEATURE_FRED)) {
		fred_entry_from_kvm(EVENT_TYPE_NMI, NMI_VECTOR);
		return;
	}
#endif
	vmx_call_handler((unsigned long)asm_exc_nmi_kvm_vmx);
#elif defined(HAVE_ASM_EXC_NMI_NOIST)
	vmx_call_handler((unsigned long)asm_exc_nmi_noist);
#else
#error "this kernel offers no way to pass on an NMI"
#endif
}

/*
 * The exit has acknowledged an interrupt: let the host handle it now, on the
 * way that it would have taken. Interrupts are off, and are when it is done.
 */
static __always_inline void compat_handle_interrupt(u8 vector)
{
#ifdef HAVE_X86_ENTRY_FROM_KVM
	x86_entry_from_kvm(EVENT_TYPE_EXTINT, vector);
#else
	struct desc_ptr idt;

#ifdef CONFIG_X86_FRED
	if (cpu_feature_enabled(X86_FEATURE_FRED)) {
		fred_entry_from_kvm(EVENT_TYPE_EXTINT, vector);
		return;
	}
#endif
	store_idt(&idt);
	vmx_call_handler(gate_offset((gate_desc *)idt.address + vector));
#endif
}

/*
 * The vector whose handler on the host does nothing: a processor that is in a
 * guest takes it as the notification of posted interrupts. compat_apic.h
 * sends it.
 */
#ifdef POSTED_INTR_VECTOR
#define COMPAT_POSTED_VECTOR	POSTED_INTR_VECTOR
#else
#define COMPAT_POSTED_VECTOR	0
#endif

static inline bool compat_has_posted_vector(void)
{
	return COMPAT_POSTED_VECTOR;
}

/*
 * A machine check in the guest: handled as one in user mode, which the kernel
 * can survive by killing the process. Where its handler is out of reach, the
 * exception is raised again in the kernel.
 */
static inline void compat_handle_machine_check(void)
{
#ifdef HAVE_DO_MACHINE_CHECK
	struct pt_regs regs = {
		.cs = __USER_CS,
		.flags = X86_EFLAGS_IF,
	};

	do_machine_check(&regs);
#else
	asm volatile("int %0" : : "i" (X86_TRAP_MC) : "memory");
#endif
}

/* ---- what the host does against speculation ----------------------------- */

/* IA32_SPEC_CTRL as the host wants it on this CPU now. */
static __always_inline u64 compat_host_spec_ctrl(void)
{
	return __this_cpu_read(x86_spec_ctrl_current);
}

/*
 * Must buffers be cleared before entry of a guest that can reach the MMIO of
 * devices? Later kernels say so by a feature, see CPU_BUFFERS_CLEAR.
 */
static __always_inline bool compat_clear_buffers_mmio(void)
{
#ifdef HAVE_MMIO_STALE_DATA_CLEAR
	return static_branch_unlikely(&mmio_stale_data_clear);
#else
	return false;
#endif
}

/* A guest has trained branch predictors that user space may meet. */
static __always_inline void compat_guest_has_run(void)
{
#ifdef HAVE_IBPB_EXIT_TO_USER
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}

/*
 * What sysfs tells of the flush of the L1 data cache at VM entry is set by the
 * hypervisor. The kernel declares this among its own VMX definitions.
 */
enum compat_l1d_flush {
	L1D_FLUSH_AUTO,
	L1D_FLUSH_NEVER,
	L1D_FLUSH_COND,
	L1D_FLUSH_ALWAYS,
	L1D_FLUSH_EPT_DISABLED,
	L1D_FLUSH_NOT_REQUIRED,
};
extern enum compat_l1d_flush l1tf_vmx_mitigation;

/* Likewise: does the hypervisor keep executable pages small? */
#ifndef HAVE_ITLB_MULTIHIT_DECLARED
extern bool itlb_multihit_kvm_mitigation;
#endif

/* ---- sysfs -------------------------------------------------------------- */

#ifdef HAVE_CONST_BIN_ATTRIBUTE
#define COMPAT_BIN_ATTR	const struct bin_attribute
#else
#define COMPAT_BIN_ATTR	struct bin_attribute
#endif

#endif /* !__ASSEMBLER__ */

#endif /* KVM_COMPAT_H */
