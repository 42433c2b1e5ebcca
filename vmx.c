// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmx.c - the VT-x backend: building a VMCS, entering the guest, and what
 * becomes of each exit.
 *
 * In dataflow order: the VMCS and the CPU it is loaded on; guest state in and
 * out; events in; entry; exits. Above it stands struct kvm_backend (kvm.h),
 * implemented at the end; below, the instructions (vmcs.h), the negotiated
 * features (vmx_caps.c) and the entry stub (vmx_entry.S). Knows no ioctl.
 *
 * Locking: a VMCS belongs to the vCPU's thread while the vCPU is loaded, and
 * is current on its CPU then. The per-CPU lists of loaded VMCSs change with
 * interrupts disabled on that CPU.
 *
 * SDM volume 3: "Virtual-Machine Control Structures", "VM Entries", "VM
 * Exits", "VMX Support for Address Translation".
 */
#include <linux/bitmap.h>
#include <linux/nospec.h>
#include <linux/smp.h>
#include <linux/user-return-notifier.h>
#include <asm/cpu.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include <asm/mmu_context.h>
#include <asm/perf_event.h>
#include <asm/tlbflush.h>

#include "include/compat.h"
#include "kvm.h"
#include "trace.h"
#include "vmcs.h"
#include "vmcs_text.h"
#include "vmx_apic.h"
#include "vmx_caps.h"
#include "vmx_explain.h"
#include "vmx_mitigations.h"
#include "vmx_rmode.h"
#include "vmx_vcpu.h"
#include "vmx_view.h"

/* No reasons of the processor: what fast_exit() leaves behind, and no entry. */
enum {
	EXIT_HANDLED = NR_EXIT_REASONS,
	EXIT_SINGLE_STEP,
	EXIT_EMULATE,
};

/*
 * vcpu_vmx.special: what to look at before an entry. Never anything with
 * unrestricted guest.
 */
enum {
	SPECIAL_REAL	= BIT(0),	/* CR0.PE is 0; see "real mode" */
	SPECIAL_CHECK	= BIT(1),	/* can the state be entered? Look. */
	SPECIAL_EMULATE	= BIT(2),	/* it cannot */
	SPECIAL_EVENT	= BIT(3),	/* an event is to be delivered by us */
};

int vmx_enter(unsigned long *regs, unsigned long *host_rsp, bool resume);
void vmx_call_handler(unsigned long handler);
extern const char vmx_exit_point[];

/*
 * "PAUSE-Loop Exiting": an exit after so many TSC cycles of a loop in which
 * no two PAUSEs are further apart than the gap. A lock whose owner runs is
 * rarely held for as long as the window.
 */
static unsigned int ple_gap = 128;
module_param(ple_gap, uint, 0444);
MODULE_PARM_DESC(ple_gap, "TSC cycles between two PAUSEs of one loop");
static unsigned int ple_window = 4096;
#define PLE_WINDOW_MAX	(1u << 28)
module_param(ple_window, uint, 0444);
MODULE_PARM_DESC(ple_window, "TSC cycles that a guest may spin before an exit");

static DEFINE_PER_CPU(struct loaded_vmcs *, current_vmcs);
static DEFINE_PER_CPU(struct list_head, loaded_vmcss);

/* ---- failures of VMX instructions --------------------------------------- */

#define VMX_INSN_ERROR_STRING(number, string) [number] = string,
static const char * const insn_errors[] = {
	VMX_INSN_ERRORS(VMX_INSN_ERROR_STRING)
};

const char *vmx_insn_error_string(u32 error)
{
	return error < ARRAY_SIZE(insn_errors) && insn_errors[error] ?
		insn_errors[error] : "unknown error";
}

/* Only a bug of ours, or VMX turned off under us by a reboot, leads here. */
void vmx_insn_failed(const char *insn, u64 operand, bool faulted)
{
	const char *why = "fault";
	unsigned long error = 0;

	if (compat_rebooting())
		return;
	if (!faulted) {
		/* An error here must not come back here. */
		error = vmread_or_0(VM_INSTRUCTION_ERROR);
		why = vmx_insn_error_string(error);
	}
	pr_err_ratelimited("kvm: %s of %#llx failed: %s (%lu)\n", insn, operand,
			   why, error);
	WARN_ON_ONCE(1);
}

/* ---- a VMCS and the CPU it is active on --------------------------------- */

static void vmcs_forget(struct loaded_vmcs *vmcs)
{
	vmcs->cpu = -1;
	vmcs->launched = false;
}

/* On the CPU where it is active, interrupts disabled. */
static void vmcs_clear_here(void *arg)
{
	struct loaded_vmcs *vmcs = arg;

	if (vmcs->cpu != raw_smp_processor_id())
		return;		/* it moved on before the IPI arrived */
	vmclear(__pa(vmcs->region));
	if (this_cpu_read(current_vmcs) == vmcs)
		this_cpu_write(current_vmcs, NULL);
	list_del(&vmcs->link);
	vmcs_forget(vmcs);
}

static void vmcs_clear(struct loaded_vmcs *vmcs)
{
	int cpu = vmcs->cpu;

	if (cpu != -1)
		smp_call_function_single(cpu, vmcs_clear_here, vmcs, 1);
}

/* Everything that is active on this CPU; it is about to leave VMX operation. */
static void vmcs_clear_all_here(void)
{
	struct loaded_vmcs *vmcs, *next;

	list_for_each_entry_safe(vmcs, next, this_cpu_ptr(&loaded_vmcss), link)
		vmcs_clear_here(vmcs);
}

/* A crash: interrupts are off, other CPUs have stopped, take no lock. */
static void emergency_clear(void)
{
	struct loaded_vmcs *vmcs;

	list_for_each_entry(vmcs, this_cpu_ptr(&loaded_vmcss), link)
		vmclear(__pa(vmcs->region));
}

/* Fields of the host that are one per CPU: "Host Register State". */
static void write_host_cpu_fields(int cpu)
{
	vmcs_writel(HOST_TR_BASE, (unsigned long)&get_cpu_entry_area(cpu)->tss.x86_tss);
	vmcs_writel(HOST_GDTR_BASE, (unsigned long)get_current_gdt_ro());
	if (IS_ENABLED(CONFIG_IA32_EMULATION) || IS_ENABLED(CONFIG_X86_32))
		vmcs_writel(HOST_SYSENTER_ESP,
			    (unsigned long)(cpu_entry_stack(cpu) + 1));
}

static void vmcs_load(struct kvm_vcpu *vcpu, struct loaded_vmcs *vmcs, int cpu)
{
	bool moved = vmcs->cpu != cpu;
	unsigned long flags;

	if (moved) {
		vmcs_clear(vmcs);
		local_irq_save(flags);
		vmcs->cpu = cpu;
		list_add(&vmcs->link, this_cpu_ptr(&loaded_vmcss));
		local_irq_restore(flags);
	}
	if (this_cpu_read(current_vmcs) != vmcs) {
		this_cpu_write(current_vmcs, vmcs);
		vmptrld(__pa(vmcs->region));
		/* One guest must not train predictions for another. */
		indirect_branch_prediction_barrier();
	}
	if (moved) {
		write_host_cpu_fields(cpu);
		/* Another vCPU or VM may have used our tags here. */
		kvm_make_request(vcpu, KVM_REQ_TLB_FLUSH);
	}
}

/* ---- control words ------------------------------------------------------ */

const u32 vmx_ctl_fields[NR_VMX_WORDS] = {
	[VMX_WORD_PIN] = PIN_BASED_CTLS,
	[VMX_WORD_CPU] = PROC_BASED_CTLS,
	[VMX_WORD_CPU2] = PROC_BASED_CTLS2,
	[VMX_WORD_EXIT] = VM_EXIT_CTLS,
	[VMX_WORD_ENTRY] = VM_ENTRY_CTLS,
};

/* ---- MSR bitmap: "MSR-Bitmap Address" ----------------------------------- */

#define MSR_BITMAP_WRITE	(2048 * 8)	/* bit offset of the write half */
#define MSR_BITMAP_HIGH		(1024 * 8)	/* of C0000000H to C0001FFFH */

void vmx_msr_intercept(struct vcpu_vmx *vmx, u32 msr, int access, bool on)
{
	unsigned int bit = msr & 0x1fff;

	if (msr >= 0xc0000000)
		bit += MSR_BITMAP_HIGH;
	if (access & MSR_READ)
		assign_bit(bit, vmx->msr_bitmap, on);
	if (access & MSR_WRITE)
		assign_bit(bit + MSR_BITMAP_WRITE, vmx->msr_bitmap, on);
}

/* No exits for these accesses, unless the monitor denies them. */
static void msr_pass(struct vcpu_vmx *vmx, u32 msr, int access)
{
	struct kvm *kvm = vmx->vcpu.kvm;

	if (access & MSR_READ)
		vmx_msr_intercept(vmx, msr, MSR_READ,
			kvm_msr_filtered(kvm, msr, KVM_MSR_FILTER_READ));
	if (access & MSR_WRITE)
		vmx_msr_intercept(vmx, msr, MSR_WRITE,
			kvm_msr_filtered(kvm, msr, KVM_MSR_FILTER_WRITE));
}

/*
 * A guest that has found IA32_SPEC_CTRL will write it often, as on each system
 * call: from its first write on it does so without an exit.
 */
static void pass_spec_ctrl(struct vcpu_vmx *vmx)
{
	vmx->spec_ctrl_passed = true;
	msr_pass(vmx, MSR_IA32_SPEC_CTRL, MSR_READ | MSR_WRITE);
}

/* Those that the guest always accesses by itself. */
static const struct {
	u32 index;
	int access;
} passed_msrs[] = {
	{ MSR_IA32_TSC,			MSR_READ },
	{ MSR_FS_BASE,			MSR_READ | MSR_WRITE },
	{ MSR_GS_BASE,			MSR_READ | MSR_WRITE },
	{ MSR_KERNEL_GS_BASE,		MSR_READ | MSR_WRITE },
	{ MSR_IA32_SYSENTER_CS,		MSR_READ | MSR_WRITE },
	{ MSR_IA32_SYSENTER_ESP,	MSR_READ | MSR_WRITE },
	{ MSR_IA32_SYSENTER_EIP,	MSR_READ | MSR_WRITE },
};

static void vmx_msr_filter_changed(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	int i;

	for (i = 0; i < ARRAY_SIZE(passed_msrs); i++)
		msr_pass(vmx, passed_msrs[i].index, passed_msrs[i].access);
	if (vmx->spec_ctrl_passed)
		pass_spec_ctrl(vmx);
}

static void msr_bitmap_init(struct vcpu_vmx *vmx)
{
	memset(vmx->msr_bitmap, 0xff, PAGE_SIZE);
	vmx_msr_filter_changed(&vmx->vcpu);
}

/* ---- MSRs switched lazily, when the host returns to user mode ------------ */

static const u32 user_msrs[NR_UMSRS] = {
	[UMSR_STAR] = MSR_STAR,
	[UMSR_LSTAR] = MSR_LSTAR,
	[UMSR_SYSCALL_MASK] = MSR_SYSCALL_MASK,
	[UMSR_TSC_AUX] = MSR_TSC_AUX,
	[UMSR_EFER] = MSR_EFER,
};

struct user_msrs_cpu {
	struct user_return_notifier notifier;
	bool registered;
	u64 host[NR_UMSRS];
	u64 now[NR_UMSRS];
};
static DEFINE_PER_CPU(struct user_msrs_cpu, user_msrs_cpu);

static bool user_msr_exists(enum user_msr i)
{
	if (i == UMSR_EFER)
		return !vmx_has(VMX_CTL_ENTRY_CTL_LOAD_EFER);
	return i != UMSR_TSC_AUX || kvm_caps.rdtscp;
}

/* Does the guest look at it as it is now? */
static bool user_msr_wanted(const struct kvm_vcpu *vcpu, enum user_msr i)
{
	switch (i) {
	case UMSR_EFER:
		return true;
	case UMSR_TSC_AUX:
		return guest_cpu_has(vcpu, KVM_CPUF_RDTSCP | KVM_CPUF_RDPID);
	default:
		return vcpu->efer & EFER_SCE;
	}
}

static void user_msrs_cpu_init(void)
{
	struct user_msrs_cpu *c = this_cpu_ptr(&user_msrs_cpu);
	int i;

	for (i = 0; i < NR_UMSRS; i++) {
		if (!user_msr_exists(i))
			continue;
		rdmsrq(user_msrs[i], c->host[i]);
		c->now[i] = c->host[i];
	}
}

static void user_msrs_restore(struct user_msrs_cpu *c)
{
	int i;

	for (i = 0; i < NR_UMSRS; i++)
		if (c->now[i] != c->host[i]) {
			vmx_count(wrmsr);
			wrmsrq(user_msrs[i], c->host[i]);
			c->now[i] = c->host[i];
		}
}

/* Interrupts are disabled on the way to user mode. */
static void user_msrs_on_return(struct user_return_notifier *notifier)
{
	struct user_msrs_cpu *c =
		container_of(notifier, struct user_msrs_cpu, notifier);
	unsigned long flags;

	/* cpu_disable() may run in an IPI in between. */
	local_irq_save(flags);
	if (c->registered) {
		c->registered = false;
		user_return_notifier_unregister(notifier);
	}
	user_msrs_restore(c);
	local_irq_restore(flags);
}

static void user_msrs_load(struct vcpu_vmx *vmx)
{
	struct user_msrs_cpu *c = this_cpu_ptr(&user_msrs_cpu);
	int i;

	for (i = 0; i < NR_UMSRS; i++) {
		if (!user_msr_wanted(&vmx->vcpu, i))
			continue;
		if (c->now[i] == vmx->user_msr[i] || !user_msr_exists(i))
			continue;
		vmx_count(wrmsr);
		wrmsrq(user_msrs[i], vmx->user_msr[i]);
		c->now[i] = vmx->user_msr[i];
		if (!c->registered) {
			c->notifier.on_user_return = user_msrs_on_return;
			user_return_notifier_register(&c->notifier);
			c->registered = true;
		}
	}
	vmx->user_msrs_loaded = true;
}

/* ---- loading a vCPU on a CPU -------------------------------------------- */

static void vmx_vcpu_load(struct kvm_vcpu *vcpu, int cpu)
{
	vmcs_load(vcpu, &to_vmx(vcpu)->vmcs, cpu);
}

static __always_inline void host_field16(u16 *cache, unsigned int field,
					 u16 value)
{
	if (*cache != value) {
		*cache = value;
		vmcs_write16(field, value);
	}
}

static __always_inline void host_fieldl(unsigned long *cache,
					unsigned int field,
					unsigned long value)
{
	if (*cache != value) {
		*cache = value;
		vmcs_writel(field, value);
	}
}

/*
 * "Checks on Host Segment and Descriptor-Table Registers": a selector field
 * holds RPL 0 and the GDT only. Others are put back by hand after the exit.
 */
static u16 host_selector(u16 sel)
{
	return sel & 7 ? 0 : sel;
}

/*
 * FS and GS of user mode. Without the instructions that read their bases the
 * kernel saves only those that go with a null selector.
 */
static unsigned long save_user_fsgs(struct vcpu_vmx *vmx)
{
	unsigned long fs_base;

	current_save_fsgs();
	vmx->host_fs_sel = current->thread.fsindex;
	vmx->host_gs_sel = current->thread.gsindex;
	vmx->host_kernel_gs_base = current->thread.gsbase;
	fs_base = current->thread.fsbase;
	if (unlikely(!boot_cpu_has(X86_FEATURE_FSGSBASE) &&
		     (vmx->host_fs_sel | vmx->host_gs_sel))) {
		rdmsrq(MSR_FS_BASE, fs_base);
		rdmsrq(MSR_KERNEL_GS_BASE, vmx->host_kernel_gs_base);
	}
	return fs_base;
}

static void vmx_prepare_switch(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	struct loaded_vmcs *vmcs = &vmx->vmcs;
	unsigned long fs_base;

	if (!vmx->user_msrs_loaded)
		user_msrs_load(vmx);
	if (vmx->guest_state_loaded)
		return;
	vmx->guest_state_loaded = true;
	vcpu->stat.host_state_reload++;

	store_ldt(vmx->host_ldt_sel);
	savesegment(ds, vmx->host_ds_sel);
	savesegment(es, vmx->host_es_sel);
	fs_base = save_user_fsgs(vmx);
	vmx_count(wrmsr);
	wrmsrq(MSR_KERNEL_GS_BASE, vmx->guest_kernel_gs_base);

	host_field16(&vmcs->host_fs_sel, HOST_FS_SELECTOR,
		     host_selector(vmx->host_fs_sel));
	host_field16(&vmcs->host_gs_sel, HOST_GS_SELECTOR,
		     host_selector(vmx->host_gs_sel));
	host_fieldl(&vmcs->host_fs_base, HOST_FS_BASE, fs_base);
	host_fieldl(&vmcs->host_gs_base, HOST_GS_BASE,
		    cpu_kernelmode_gs_base(smp_processor_id()));
}

/* What an exit does not restore: "Loading Host Segment and Descriptor-Table
 * Registers".
 */
static void vmx_vcpu_put(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	vmx->user_msrs_loaded = false;
	if (!vmx->guest_state_loaded)
		return;
	vmx->guest_state_loaded = false;

	vmx_count(rdmsr);
	rdmsrq(MSR_KERNEL_GS_BASE, vmx->guest_kernel_gs_base);
	if (unlikely(vmx->host_ldt_sel))
		asm("lldt %0" : : "rm" (vmx->host_ldt_sel));
	if (unlikely(vmx->host_gs_sel & 7))
		load_gs_index(vmx->host_gs_sel);
	if (unlikely(vmx->host_fs_sel & 7)) {
		/* The base need not be that of the descriptor. */
		loadsegment(fs, vmx->host_fs_sel);
		wrmsrq(MSR_FS_BASE, vmx->vmcs.host_fs_base);
	}
	if (unlikely(vmx->host_ds_sel | vmx->host_es_sel)) {
		loadsegment(ds, vmx->host_ds_sel);
		loadsegment(es, vmx->host_es_sel);
	}
	/* The exit made the limits of the GDT and the TSS maximal. */
	invalidate_tss_limit();
	vmx_count(wrmsr);
	wrmsrq(MSR_KERNEL_GS_BASE, vmx->host_kernel_gs_base);
	load_fixmap_gdt(raw_smp_processor_id());
}

/* ---- guest registers ---------------------------------------------------- */

/* What an exit leaves in the VMCS rather than in vcpu->regs[]. */
#define REGS_IN_VMCS	(BIT(VCPU_RSP) | BIT(VCPU_RIP) | BIT(VCPU_RFLAGS) | \
			 BIT(VCPU_CR0) | BIT(VCPU_CR3) | BIT(VCPU_CR4) | \
			 BIT(VCPU_PDPTRS))

/* Flags of virtual-8086 mode that are not the guest's in real mode. */
#define VM86_FLAGS	((unsigned long)(X86_EFLAGS_VM | X86_EFLAGS_IOPL))

/*
 * Unpaged code runs on its own CR3 with unrestricted guest alone, as only
 * there CR0.PG is its own; and nothing does without EPT.
 */
static bool cr3_is_guests(const struct kvm_vcpu *vcpu)
{
	return kvm_caps.unrestricted_guest ||
	       (kvm_caps.ept && (vcpu->cr0 & X86_CR0_PG));
}

/* Without EPT the processor loads them from memory, and they are ours. */
static void cache_pdptrs(struct kvm_vcpu *vcpu)
{
	if (!kvm_caps.ept)
		return;
	vcpu->mmu.pdptrs[0] = vmcs_read64(GUEST_PDPTE0);
	vcpu->mmu.pdptrs[1] = vmcs_read64(GUEST_PDPTE1);
	vcpu->mmu.pdptrs[2] = vmcs_read64(GUEST_PDPTE2);
	vcpu->mmu.pdptrs[3] = vmcs_read64(GUEST_PDPTE3);
}

static __always_inline void cache_rflags(struct vcpu_vmx *vmx)
{
	unsigned long rflags = vmcs_readl(GUEST_RFLAGS);

	if (unlikely(vmx->single_step))
		rflags &= ~(unsigned long)X86_EFLAGS_TF;
	if (unlikely(vmx->vm86))
		rflags = (rflags & ~VM86_FLAGS) | vmx->iopl;
	vmx->rflags = rflags;
}

static void vmx_cache_reg(struct kvm_vcpu *vcpu, enum kvm_reg reg)
{
	switch ((int)reg) {
	case VCPU_RSP:
		vcpu->regs[VCPU_RSP] = vmcs_readl(GUEST_RSP);
		break;
	case VCPU_RIP:
		vcpu->regs[VCPU_RIP] = vmcs_readl(GUEST_RIP);
		break;
	case VCPU_RFLAGS:
		cache_rflags(to_vmx(vcpu));
		break;
	case VCPU_CR0:
		vcpu->cr0 &= ~vcpu->cr0_guest_owned;
		vcpu->cr0 |= vmcs_readl(GUEST_CR0) & vcpu->cr0_guest_owned;
		break;
	case VCPU_CR3:
		if (cr3_is_guests(vcpu))
			vcpu->cr3 = vmcs_readl(GUEST_CR3);
		break;
	case VCPU_CR4:
		vcpu->cr4 &= ~vcpu->cr4_guest_owned;
		vcpu->cr4 |= vmcs_readl(GUEST_CR4) & vcpu->cr4_guest_owned;
		break;
	case VCPU_PDPTRS:
		if (is_pae_paging(vcpu))
			cache_pdptrs(vcpu);
		break;
	}
	vcpu->regs_avail |= BIT(reg);
}

static void write_pdptrs(struct kvm_vcpu *vcpu)
{
	if (!kvm_caps.ept || !is_pae_paging(vcpu))
		return;
	vmcs_write64(GUEST_PDPTE0, vcpu->mmu.pdptrs[0]);
	vmcs_write64(GUEST_PDPTE1, vcpu->mmu.pdptrs[1]);
	vmcs_write64(GUEST_PDPTE2, vcpu->mmu.pdptrs[2]);
	vmcs_write64(GUEST_PDPTE3, vcpu->mmu.pdptrs[3]);
}

/* Registers that were changed since the exit; others are where they were. */
static __always_inline void write_dirty_regs(struct kvm_vcpu *vcpu)
{
	const u32 dirty = vcpu->regs_dirty;

	if (!(dirty & REGS_IN_VMCS))
		return;
	vcpu->regs_dirty = 0;
	if (dirty & BIT(VCPU_RIP))
		vmcs_writel(GUEST_RIP, vcpu->regs[VCPU_RIP]);
	if (likely(!(dirty & REGS_IN_VMCS & ~BIT(VCPU_RIP))))
		return;
	if (dirty & BIT(VCPU_RSP))
		vmcs_writel(GUEST_RSP, vcpu->regs[VCPU_RSP]);
	if ((dirty & BIT(VCPU_CR3)) && cr3_is_guests(vcpu))
		vmcs_writel(GUEST_CR3, vcpu->cr3);
	if (dirty & BIT(VCPU_PDPTRS))
		write_pdptrs(vcpu);
}

void vmx_write_registers(struct kvm_vcpu *vcpu)
{
	write_dirty_regs(vcpu);
}

static unsigned long vmx_get_rflags(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->regs_avail & BIT(VCPU_RFLAGS)))
		vmx_cache_reg(vcpu, VCPU_RFLAGS);
	return to_vmx(vcpu)->rflags;
}

static void satisfy_single_step_check(struct kvm_vcpu *vcpu);

static void vmx_set_rflags(struct kvm_vcpu *vcpu, unsigned long rflags)
{
	unsigned long changed = rflags ^ vmx_get_rflags(vcpu);
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	vmx->rflags = rflags;
	vcpu->regs_avail |= BIT(VCPU_RFLAGS);
	if (unlikely(vmx->single_step))
		rflags |= X86_EFLAGS_TF;
	if (unlikely(vmx->vm86)) {
		vmx->iopl = rflags & X86_EFLAGS_IOPL;
		rflags = (rflags & ~VM86_FLAGS) | X86_EFLAGS_VM;
	}
	vmcs_writel(GUEST_RFLAGS, rflags);
	if (unlikely(changed & X86_EFLAGS_TF))
		satisfy_single_step_check(vcpu);
}

/* ---- segments ----------------------------------------------------------- */

#define SEG_FIELDS(name)						\
	[VCPU_SEG_##name] = {						\
		.selector = GUEST_##name##_SELECTOR,			\
		.limit = GUEST_##name##_LIMIT,				\
		.ar = GUEST_##name##_AR,				\
		.base = GUEST_##name##_BASE,				\
	}
static const struct {
	u16 selector, limit, ar, base;
} seg_fields[VCPU_NR_SEGS] = {
	SEG_FIELDS(ES), SEG_FIELDS(CS), SEG_FIELDS(SS), SEG_FIELDS(DS),
	SEG_FIELDS(FS), SEG_FIELDS(GS), SEG_FIELDS(LDTR), SEG_FIELDS(TR),
};

static u32 segment_to_ar(const struct kvm_segment *var)
{
	if (var->unusable || !var->present)
		return SEG_AR_UNUSABLE;
	return (var->type & 15) | (var->s & 1) << 4 |
	       (var->dpl & 3) << SEG_AR_DPL_SHIFT | (var->present & 1) << 7 |
	       (var->avl & 1) << 12 | (var->l & 1) << 13 |
	       (var->db & 1) << 14 | (var->g & 1) << 15;
}

static void ar_to_segment(u32 ar, struct kvm_segment *var)
{
	var->unusable = !!(ar & SEG_AR_UNUSABLE);
	var->type = ar & SEG_AR_TYPE;
	var->s = !!(ar & SEG_AR_S);
	var->dpl = SEG_AR_DPL(ar);
	/* KVM_GET_SREGS: an unusable segment is one that is not present. */
	var->present = !var->unusable && (ar & SEG_AR_P);
	var->avl = !!(ar & SEG_AR_AVL);
	var->l = !!(ar & SEG_AR_L);
	var->db = !!(ar & SEG_AR_DB);
	var->g = !!(ar & SEG_AR_G);
}

static void read_segment(struct kvm_segment *var, enum kvm_seg seg)
{
	var->base = vmcs_readl(seg_fields[seg].base);
	var->limit = vmcs_read32(seg_fields[seg].limit);
	var->selector = vmcs_read16(seg_fields[seg].selector);
	var->padding = 0;
	ar_to_segment(vmcs_read32(seg_fields[seg].ar), var);
}

static void write_segment(const struct kvm_segment *var, enum kvm_seg seg)
{
	u32 ar = segment_to_ar(var);

	/*
	 * "Checks on Guest Segment Registers" want the accessed bit, which a
	 * monitor that makes up its segments may not have set. Whatever
	 * loaded the register from memory would have set it.
	 */
	if (seg <= VCPU_SEG_GS && !(ar & SEG_AR_UNUSABLE))
		ar |= SEG_AR_TYPE_ACCESSED;
	/* An unusable SS still tells the CPL. */
	if (seg == VCPU_SEG_SS && (ar & SEG_AR_UNUSABLE))
		ar |= (var->dpl & 3) << SEG_AR_DPL_SHIFT;
	vmcs_writel(seg_fields[seg].base, var->base);
	vmcs_write32(seg_fields[seg].limit, var->limit);
	vmcs_write16(seg_fields[seg].selector, var->selector);
	vmcs_write32(seg_fields[seg].ar, ar);
}

/* Are the guest's segment registers in vmx->seg? LDTR is always in the VMCS. */
static bool in_real_mode(const struct vcpu_vmx *vmx)
{
	return vmx->special & SPECIAL_REAL;
}

static void real_get_segment(struct vcpu_vmx *vmx, struct kvm_segment *var,
			     enum kvm_seg seg);
static void real_set_segment(struct vcpu_vmx *vmx,
			     const struct kvm_segment *var, enum kvm_seg seg);

/* State that decides whether the guest can be entered has changed. */
static void state_changed(struct vcpu_vmx *vmx)
{
	if (!kvm_caps.unrestricted_guest)
		vmx->special |= SPECIAL_CHECK;
}

static void vmx_get_segment(struct kvm_vcpu *vcpu, struct kvm_segment *var,
			    enum kvm_seg seg)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	if (unlikely(in_real_mode(vmx)) && seg != VCPU_SEG_LDTR)
		real_get_segment(vmx, var, seg);
	else
		read_segment(var, seg);
}

static void vmx_set_segment(struct kvm_vcpu *vcpu,
			    const struct kvm_segment *var, enum kvm_seg seg)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	if (unlikely(in_real_mode(vmx)) && seg != VCPU_SEG_LDTR)
		real_set_segment(vmx, var, seg);
	else
		write_segment(var, seg);
	state_changed(vmx);
}

static int vmx_get_cpl(struct kvm_vcpu *vcpu)
{
	if (unlikely(in_real_mode(to_vmx(vcpu))))
		return 0;
	return SEG_AR_DPL(vmcs_read32(GUEST_SS_AR));
}

static void vmx_get_cs_db_l(struct kvm_vcpu *vcpu, int *db, int *l)
{
	const struct vcpu_vmx *vmx = to_vmx(vcpu);
	u32 ar = unlikely(in_real_mode(vmx)) ?
		segment_to_ar(&vmx->seg[VCPU_SEG_CS]) :
		vmcs_read32(GUEST_CS_AR);

	*db = !!(ar & SEG_AR_DB);
	*l = !!(ar & SEG_AR_L);
}

static void vmx_get_gdt(struct kvm_vcpu *vcpu, struct kvm_dtable *dt)
{
	dt->base = vmcs_readl(GUEST_GDTR_BASE);
	dt->limit = vmcs_read32(GUEST_GDTR_LIMIT);
}

static void vmx_set_gdt(struct kvm_vcpu *vcpu, const struct kvm_dtable *dt)
{
	vmcs_writel(GUEST_GDTR_BASE, dt->base);
	vmcs_write32(GUEST_GDTR_LIMIT, dt->limit);
}

static void vmx_get_idt(struct kvm_vcpu *vcpu, struct kvm_dtable *dt)
{
	dt->base = vmcs_readl(GUEST_IDTR_BASE);
	dt->limit = vmcs_read32(GUEST_IDTR_LIMIT);
}

static void vmx_set_idt(struct kvm_vcpu *vcpu, const struct kvm_dtable *dt)
{
	vmcs_writel(GUEST_IDTR_BASE, dt->base);
	vmcs_write32(GUEST_IDTR_LIMIT, dt->limit);
}

/* ---- control registers -------------------------------------------------- */

/*
 * Bits that mean nothing to the driver: the guest changes them by itself. Not
 * what shadow paging depends on.
 */
#define CR0_GUEST_OWNED	(X86_CR0_TS | X86_CR0_WP)
#define CR0_SHADOW	X86_CR0_WP
#define CR4_SHADOW	X86_CR4_PGE
#define CR4_GUEST_OWNED	(X86_CR4_PVI | X86_CR4_DE | X86_CR4_PCE | \
			 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_PGE | \
			 X86_CR4_TSD | X86_CR4_FSGSBASE)

/* "Restrictions on VMX Operation": an unrestricted guest may clear these. */
#define CR0_UNRESTRICTED	(X86_CR0_PE | X86_CR0_PG)

/*
 * Without unrestricted guest: what touches IF must not be virtualized in our
 * virtual-8086 mode, and unpaged code runs with user pages, in a page directory
 * of 4M pages or in a shadow table, all of which are in PAE or 4-level format.
 */
static unsigned long restricted_cr4(struct kvm_vcpu *vcpu, unsigned long cr4)
{
	const bool paging = vcpu->cr0 & X86_CR0_PG;

	if (to_vmx(vcpu)->vm86)
		cr4 &= ~X86_CR4_VME;
	if (!paging)
		cr4 &= ~(X86_CR4_SMEP | X86_CR4_SMAP);
	/* All that is cached is of our own tables: CR3 has no PCID. */
	if (!kvm_caps.ept)
		return (cr4 & ~X86_CR4_PCIDE) | X86_CR4_PAE;
	return paging ? cr4 : (cr4 | X86_CR4_PSE) & ~X86_CR4_PAE;
}

/* What the guest has as CR4, in the form that the processor runs with. */
static void write_cr4(struct kvm_vcpu *vcpu)
{
	unsigned long hw = kvm_read_cr4(vcpu) | vmx_config.cr4_fixed0;

	/* Machine checks are the host's. */
	hw = (hw & ~X86_CR4_MCE) | (cr4_read_shadow() & X86_CR4_MCE);
	if (!kvm_caps.unrestricted_guest)
		hw = restricted_cr4(vcpu, hw);
	vmcs_writel(GUEST_CR4, hw);
}

static void enter_real_mode(struct vcpu_vmx *vmx);
static void leave_real_mode(struct vcpu_vmx *vmx);

/*
 * Without unrestricted guest CR0.PE and CR0.PG stay set. What the guest takes
 * for real mode runs at CPL 3, where it must not meet #AC.
 */
static unsigned long restricted_cr0(struct kvm_vcpu *vcpu, unsigned long cr0)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	/* As long as the old CR0 tells where CR3 is. */
	kvm_read_cr3(vcpu);
	if (!(cr0 & X86_CR0_PE) != in_real_mode(vmx)) {
		if (cr0 & X86_CR0_PE)
			leave_real_mode(vmx);
		else
			enter_real_mode(vmx);
	}
	if (!(cr0 & X86_CR0_PE))
		cr0 &= ~X86_CR0_AM;
	/* Shadow tables say what may be written, in their own way if !WP. */
	if (!kvm_caps.ept)
		cr0 |= X86_CR0_WP;
	return cr0 | vmx_config.cr0_fixed0;
}

/* CR0.PG may have changed: what the processor translates with. */
static void restricted_paging(struct kvm_vcpu *vcpu)
{
	const bool paging = vcpu->cr0 & X86_CR0_PG;
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	if (kvm_caps.ept) {
		ctl_set(vmx, VMX_CTL_CPU_CR3_LOAD_EXITING, !paging);
		ctl_set(vmx, VMX_CTL_CPU_CR3_STORE_EXITING, !paging);
		if (!paging)
			vmcs_writel(GUEST_CR3, vcpu->kvm->identity_map_addr);
	}
	vcpu->regs_avail |= BIT(VCPU_CR3);
	vcpu->regs_dirty |= BIT(VCPU_CR3);
	write_cr4(vcpu);
	state_changed(vmx);
}

static void vmx_set_cr0(struct kvm_vcpu *vcpu, unsigned long cr0)
{
	unsigned long hw = kvm_caps.unrestricted_guest ?
		cr0 | (vmx_config.cr0_fixed0 & ~CR0_UNRESTRICTED) :
		restricted_cr0(vcpu, cr0);

	vcpu->cr0 = cr0;
	vcpu->regs_avail |= BIT(VCPU_CR0);
	vmcs_writel(CR0_READ_SHADOW, cr0);
	vmcs_writel(GUEST_CR0, hw);
	if (!kvm_caps.unrestricted_guest)
		restricted_paging(vcpu);
}

static bool vmx_cr4_allowed(struct kvm_vcpu *vcpu, unsigned long cr4)
{
	return !(cr4 & (X86_CR4_VMXE | X86_CR4_SMXE |
			~vmx_config.cr4_fixed1));
}

static void vmx_set_cr4(struct kvm_vcpu *vcpu, unsigned long cr4)
{
	unsigned long owned = CR4_GUEST_OWNED & ~vcpu->cr4_reserved;

	if (!kvm_caps.ept)
		owned &= ~CR4_SHADOW;
	vcpu->cr4 = cr4;
	vcpu->regs_avail |= BIT(VCPU_CR4);
	if (vcpu->cr4_guest_owned != owned) {
		vcpu->cr4_guest_owned = owned;
		vmcs_writel(CR4_GUEST_HOST_MASK, ~owned);
	}
	vmcs_writel(CR4_READ_SHADOW, cr4);
	write_cr4(vcpu);
}

/*
 * A 16-bit TSS may stay in TR while long mode is turned on, but "Checks on
 * Guest Segment Registers" would have none of it.
 */
static void fix_tss_for_long_mode(void)
{
	u32 ar = vmcs_read32(GUEST_TR_AR);

	if ((ar & SEG_AR_TYPE) == SEG_AR_TYPE_BUSY_TSS16)
		vmcs_write32(GUEST_TR_AR,
			     (ar & ~SEG_AR_TYPE) | SEG_AR_TYPE_BUSY_TSS);
}

/*
 * "Checks on Guest Control Registers, Debug Registers, and MSRs": LME and LMA
 * agree where CR0.PG is set, as it is without unrestricted guest. Shadow
 * tables forbid execution whether or not the guest's can.
 */
static u64 hardware_efer(u64 efer)
{
	if (!kvm_caps.unrestricted_guest && !(efer & EFER_LMA))
		efer &= ~EFER_LME;
	return kvm_caps.ept ? efer : efer | (vmx_config.host_efer & EFER_NX);
}

static void vmx_set_efer(struct kvm_vcpu *vcpu, u64 efer)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	vcpu->efer = efer;
	vmx->user_msrs_loaded = false;
	if (vmx_has(VMX_CTL_ENTRY_CTL_LOAD_EFER))
		vmcs_write64(GUEST_EFER, hardware_efer(efer));
	else
		vmx->user_msr[UMSR_EFER] = (vmx_config.host_efer & ~EFER_SCE) |
					   (efer & EFER_SCE);
	ctl_set(vmx, VMX_CTL_ENTRY_CTL_GUEST_LONG_MODE, efer & EFER_LMA);
	if (efer & EFER_LMA)
		fix_tss_for_long_mode();
	state_changed(vmx);
}

static void vmx_set_dr7(struct kvm_vcpu *vcpu, unsigned long dr7)
{
	vmcs_writel(GUEST_DR7, dr7);
}

static void update_exception_bitmap(struct kvm_vcpu *vcpu)
{
	/*
	 * #DB: DR6 must be kept for the guest. #DB and #AC: a guest whose
	 * handler raises the same again would never let go of the processor.
	 */
	u32 bitmap = BIT(X86_TRAP_DB) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_MC);

	if (vcpu->guest_debug & KVM_GUESTDBG_USE_SW_BP)
		bitmap |= BIT(X86_TRAP_BP);
	if (!kvm_caps.ept)
		bitmap |= BIT(X86_TRAP_PF);
	if (kvm_wants_undefined(vcpu))
		bitmap |= BIT(X86_TRAP_UD);
	/* There the processor would go through a protected mode's IDT. */
	if (in_real_mode(to_vmx(vcpu)))
		bitmap = ~0u;
	vmcs_write32(EXCEPTION_BITMAP, bitmap);
}

static void vmx_sync_debug_regs(struct kvm_vcpu *vcpu)
{
	get_debugreg(vcpu->db[0], 0);
	get_debugreg(vcpu->db[1], 1);
	get_debugreg(vcpu->db[2], 2);
	get_debugreg(vcpu->db[3], 3);
	get_debugreg(vcpu->dr6, 6);
	memcpy(vcpu->eff_db, vcpu->db, sizeof(vcpu->eff_db));
	vcpu->dr7 = vmcs_readl(GUEST_DR7);
	vcpu->switch_db_regs &= ~KVM_DEBUGREG_WONT_EXIT;
	ctl_set(to_vmx(vcpu), VMX_CTL_CPU_MOV_DR_EXITING, true);
	kvm_update_dr7(vcpu);
}

static void vmx_update_debug(struct kvm_vcpu *vcpu)
{
	unsigned long rflags = vmx_get_rflags(vcpu);

	/* The guest may have been about to get the registers to itself. */
	if (vcpu->guest_debug) {
		vcpu->switch_db_regs &= ~KVM_DEBUGREG_WONT_EXIT;
		ctl_set(to_vmx(vcpu), VMX_CTL_CPU_MOV_DR_EXITING, true);
	}
	to_vmx(vcpu)->single_step = vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP;
	vmx_apic_mode(vcpu);
	vmx_set_rflags(vcpu, rflags);
	update_exception_bitmap(vcpu);
	kvm_update_dr7(vcpu);
}

/* ---- real mode ---------------------------------------------------------- */

/*
 * Without unrestricted guest, real mode runs as virtual-8086 mode (`vm86`)
 * where the segment registers allow it, and is emulated where they do not.
 * vmx->seg has what belongs to the guest: all of its segment registers while
 * it is emulated; with vm86, selectors and bases are the VMCS's, which the
 * guest changes, and the rest, which real mode does not change by a load of
 * the register, is here. RFLAGS and CR4 have bits there that the guest does
 * not see, TR is ours, and interrupts and exceptions are delivered by us: all
 * exceptions exit. IOPL is 0, so that all that shows flags or an interrupt
 * table (PUSHF, INT n, IRET, CLI and the like) ends in #GP and is emulated.
 */

static void real_get_segment(struct vcpu_vmx *vmx, struct kvm_segment *var,
			     enum kvm_seg seg)
{
	*var = vmx->seg[seg];
	if (vmx->vm86 && seg <= VCPU_SEG_GS) {
		var->selector = vmcs_read16(seg_fields[seg].selector);
		var->base = (u64)var->selector << 4;
	}
}

static void enter_vm86(struct vcpu_vmx *vmx)
{
	const struct kvm_segment tr = {
		.base = vmx->vcpu.kvm->tss_addr, .limit = RMODE_TSS_LIMIT,
		.type = SEG_AR_TYPE_BUSY_TSS, .present = 1,
	};
	unsigned long rflags = vmx_get_rflags(&vmx->vcpu);
	struct kvm_segment s;
	int i;

	for (i = VCPU_SEG_ES; i <= VCPU_SEG_GS; i++) {
		s = (struct kvm_segment) {
			.base = vmx->seg[i].base, .limit = 0xffff,
			.selector = vmx->seg[i].selector,
			.type = 3, .s = 1, .dpl = 3, .present = 1,
		};
		write_segment(&s, i);
	}
	write_segment(&tr, VCPU_SEG_TR);
	/* SYSENTER would lead out of it. */
	vmx->sysenter_cs = vmcs_read32(GUEST_SYSENTER_CS);
	vmcs_write32(GUEST_SYSENTER_CS, 0);
	vmx->vm86 = true;
	vmx_set_rflags(&vmx->vcpu, rflags);
	write_cr4(&vmx->vcpu);
}

static void leave_vm86(struct vcpu_vmx *vmx)
{
	unsigned long rflags = vmx_get_rflags(&vmx->vcpu);
	int i;

	for (i = VCPU_SEG_ES; i <= VCPU_SEG_GS; i++)
		real_get_segment(vmx, &vmx->seg[i], i);
	vmcs_write32(GUEST_SYSENTER_CS, vmx->sysenter_cs);
	vmx->vm86 = false;
	vmx_set_rflags(&vmx->vcpu, rflags);
	write_cr4(&vmx->vcpu);
}

static void real_set_segment(struct vcpu_vmx *vmx,
			     const struct kvm_segment *var, enum kvm_seg seg)
{
	struct kvm_segment *own = &vmx->seg[seg];

	if (vmx->vm86 && seg <= VCPU_SEG_GS &&
	    !vmx_segment_fits_vm86(var, seg))
		leave_vm86(vmx);
	*own = *var;
	/* As write_segment() would store it, and read_segment() read it. */
	own->unusable |= !own->present;
	own->present = !own->unusable;
	if (seg <= VCPU_SEG_GS && !own->unusable)
		own->type |= SEG_AR_TYPE_ACCESSED;
	if (vmx->vm86 && seg <= VCPU_SEG_GS) {
		vmcs_write16(seg_fields[seg].selector, own->selector);
		vmcs_writel(seg_fields[seg].base, own->base);
	}
}

static void enter_real_mode(struct vcpu_vmx *vmx)
{
	int i;

	for (i = 0; i < VCPU_NR_SEGS; i++)
		read_segment(&vmx->seg[i], i);
	vmx->special |= SPECIAL_REAL;
	update_exception_bitmap(&vmx->vcpu);
}

static void leave_real_mode(struct vcpu_vmx *vmx)
{
	int i;

	if (vmx->vm86)
		leave_vm86(vmx);
	vmx->special &= ~SPECIAL_REAL;
	for (i = 0; i < VCPU_NR_SEGS; i++)
		if (i != VCPU_SEG_LDTR)
			write_segment(&vmx->seg[i], i);
	update_exception_bitmap(&vmx->vcpu);
}

static bool segments_fit_vm86(const struct vcpu_vmx *vmx)
{
	int i;

	for (i = VCPU_SEG_ES; i <= VCPU_SEG_GS; i++)
		if (!vmx_segment_fits_vm86(&vmx->seg[i], i))
			return false;
	return true;
}

/* True: from now on it runs; false: it has to be emulated. */
static bool try_vm86(struct vcpu_vmx *vmx)
{
	bool fits = READ_ONCE(vmx->vcpu.kvm->tss_addr) &&
		    (vmx->vm86 || segments_fit_vm86(vmx));

	if (fits && !vmx->vm86)
		enter_vm86(vmx);
	else if (!fits && vmx->vm86)
		leave_vm86(vmx);
	return fits;
}

static bool protected_state_enterable(struct vcpu_vmx *vmx)
{
	struct kvm_segment seg[VCPU_NR_SEGS];
	int i;

	for (i = 0; i < VCPU_NR_SEGS; i++)
		read_segment(&seg[i], i);
	return vmx_segments_enterable(seg,
			vmx_get_rflags(&vmx->vcpu) & X86_EFLAGS_VM,
			is_long_mode(&vmx->vcpu));
}

static void check_state(struct vcpu_vmx *vmx)
{
	if (!(vmx->special & SPECIAL_CHECK))
		return;
	vmx->special &= ~(SPECIAL_CHECK | SPECIAL_EMULATE);
	if (!(in_real_mode(vmx) ? try_vm86(vmx) :
				  protected_state_enterable(vmx)))
		vmx->special |= SPECIAL_EMULATE;
}

/*
 * Is an event to be delivered by us? In real mode always: the processor knows
 * none. The event stays in vcpu->ev until handle_emulate().
 */
static bool event_is_emulated(struct vcpu_vmx *vmx)
{
	if (likely(!vmx->special))
		return false;
	check_state(vmx);
	if (!(vmx->special & (SPECIAL_REAL | SPECIAL_EMULATE)))
		return false;
	vmx->special |= SPECIAL_EVENT;
	return true;
}

/* Before an entry: false where there is to be none. */
static bool special_entry(struct vcpu_vmx *vmx)
{
	check_state(vmx);
	if (!(vmx->special & (SPECIAL_EMULATE | SPECIAL_EVENT)))
		return true;
	vmx->exit_reason = EXIT_EMULATE;
	vmx->exit_cached = 0;
	vmx->idt_vectoring = 0;
	vmx->entry_error = 0;
	return false;
}

/* ---- translations ------------------------------------------------------- */

static DECLARE_BITMAP(vpids, 1 << 16);
static DEFINE_SPINLOCK(vpids_lock);

/* 0, which stands for none, when there are no more: then entries flush. */
static u16 vpid_alloc(void)
{
	unsigned long vpid;

	if (!kvm_caps.vpid)
		return 0;
	spin_lock(&vpids_lock);
	vpid = find_next_zero_bit(vpids, 1 << 16, 1);
	if (vpid < 1 << 16)
		__set_bit(vpid, vpids);
	else
		vpid = 0;
	spin_unlock(&vpids_lock);
	return vpid;
}

static void vpid_free(u16 vpid)
{
	if (!vpid)
		return;
	spin_lock(&vpids_lock);
	__clear_bit(vpid, vpids);
	spin_unlock(&vpids_lock);
}

static void vmx_flush_tlb_guest(struct kvm_vcpu *vcpu)
{
	u16 vpid = to_vmx(vcpu)->vpid;

	if (!vpid)
		return;		/* every entry and exit does it */
	if (vmx_config.ept_vpid & VPIDCAP_INVVPID_SINGLE)
		invvpid(INVVPID_SINGLE, vpid, 0);
	else
		invvpid(INVVPID_ALL, 0, 0);
}

/* One address, which may be that of a large page. */
static void vmx_flush_tlb_gva(struct kvm_vcpu *vcpu, u64 gva)
{
	u16 vpid = to_vmx(vcpu)->vpid;

	if (!vpid)
		return;
	if (vmx_config.ept_vpid & VPIDCAP_INVVPID_ADDRESS)
		invvpid(INVVPID_ADDRESS, vpid, gva);
	else
		vmx_flush_tlb_guest(vcpu);
}

static void vmx_flush_tlb(struct kvm_vcpu *vcpu)
{
	/* Then our tables are those that the guest's addresses go through. */
	if (!kvm_caps.ept)
		vmx_flush_tlb_guest(vcpu);
	/* Drops guest-physical and combined mappings, of every VPID. */
	else if (vmx_config.ept_vpid & EPTCAP_INVEPT_SINGLE)
		invept(INVEPT_SINGLE, to_vmx(vcpu)->eptp);
	else
		invept(INVEPT_ALL, 0);
}

static void vmx_set_root(struct kvm_vcpu *vcpu, hpa_t root, int level)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u64 eptp = root | MEMTYPE_WB | (level - 1) << EPTP_LEVELS_SHIFT;

	if (kvm_caps.ept_ad)
		eptp |= EPTP_ACCESSED_DIRTY;
	vmx->eptp = eptp;
	if (kvm_caps.ept)
		vmcs_write64(EPT_POINTER, eptp);
	else
		vmcs_writel(GUEST_CR3, root);
	/* The page may have been another root before. */
	kvm_make_request(vcpu, KVM_REQ_TLB_FLUSH);
}

/* ---- "Page-Modification Logging" ---------------------------------------- */

static void vmx_set_dirty_logging(struct kvm_vcpu *vcpu, bool on)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	vmx->pml_on = on;
	ctl_set(vmx, VMX_CTL_CPU2_ENABLE_PML, on);
}

static void mark_gfn_dirty(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_memory_slot *slot = kvm_gfn_to_slot(kvm, gfn);

	if (slot)
		kvm_mark_page_dirty(slot, gfn);
}

/*
 * The log is filled downwards, and the index tells the entry to be used next;
 * it wraps when the log is full. Before the vCPU counts as being out of guest
 * mode, so that whoever waits for that may rely on the bitmaps.
 */
static void empty_pml(struct vcpu_vmx *vmx)
{
	struct kvm_vcpu *vcpu = &vmx->vcpu;
	u16 index = vmcs_read16(PML_INDEX);
	int i;

	if (index == PML_ENTRIES - 1)
		return;
	kvm_vcpu_srcu_lock(vcpu);
	for (i = index < PML_ENTRIES ? index + 1 : 0; i < PML_ENTRIES; i++)
		mark_gfn_dirty(vcpu->kvm, vmx->pml[i] >> PAGE_SHIFT);
	kvm_vcpu_srcu_unlock(vcpu);
	vmcs_write16(PML_INDEX, PML_ENTRIES - 1);
}

/* ---- MSRs of the VMCS and of the lazy list ------------------------------ */

static int user_msr_index(u32 msr)
{
	int i;

	for (i = 0; i < NR_UMSRS; i++)
		if (user_msrs[i] == msr && user_msr_exists(i))
			return i;
	return -1;
}

/* The guest's value is in the register while its state is loaded. */
static u64 read_kernel_gs_base(struct vcpu_vmx *vmx)
{
	preempt_disable();
	if (vmx->guest_state_loaded) {
		vmx_count(rdmsr);
		rdmsrq(MSR_KERNEL_GS_BASE, vmx->guest_kernel_gs_base);
	}
	preempt_enable();
	return vmx->guest_kernel_gs_base;
}

static void write_kernel_gs_base(struct vcpu_vmx *vmx, u64 data)
{
	preempt_disable();
	if (vmx->guest_state_loaded) {
		vmx_count(wrmsr);
		wrmsrq(MSR_KERNEL_GS_BASE, data);
	}
	preempt_enable();
	vmx->guest_kernel_gs_base = data;
}

static u64 segment_base(struct kvm_vcpu *vcpu, enum kvm_seg seg)
{
	struct kvm_segment s;

	vmx_get_segment(vcpu, &s, seg);
	return s.base;
}

static void set_segment_base(struct kvm_vcpu *vcpu, enum kvm_seg seg, u64 base)
{
	struct kvm_segment s;

	if (likely(!in_real_mode(to_vmx(vcpu)))) {
		vmcs_writel(seg_fields[seg].base, base);
		return;
	}
	vmx_get_segment(vcpu, &s, seg);
	s.base = base;
	vmx_set_segment(vcpu, &s, seg);
}

static int vmx_get_msr(struct kvm_vcpu *vcpu, u32 index, u64 *data)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	switch (index) {
	case MSR_FS_BASE:
		*data = segment_base(vcpu, VCPU_SEG_FS);
		return 0;
	case MSR_GS_BASE:
		*data = segment_base(vcpu, VCPU_SEG_GS);
		return 0;
	case MSR_KERNEL_GS_BASE:
		*data = read_kernel_gs_base(vmx);
		return 0;
	case MSR_IA32_SYSENTER_CS:
		*data = unlikely(vmx->vm86) ? vmx->sysenter_cs :
					      vmcs_read32(GUEST_SYSENTER_CS);
		return 0;
	case MSR_IA32_SYSENTER_ESP:
		*data = vmcs_readl(GUEST_SYSENTER_ESP);
		return 0;
	case MSR_IA32_SYSENTER_EIP:
		*data = vmcs_readl(GUEST_SYSENTER_EIP);
		return 0;
	case MSR_IA32_CR_PAT:
		*data = vmx_has(VMX_CTL_ENTRY_CTL_LOAD_PAT) ?
			vmcs_read64(GUEST_PAT) : vcpu->msr.pat;
		return 0;
	case MSR_IA32_DEBUGCTLMSR:
		*data = vmcs_read64(GUEST_DEBUGCTL);
		return 0;
	case MSR_CSTAR:
		/* Intel's processors know no SYSCALL in compatibility mode. */
		*data = vmx->cstar;
		return 0;
	default:
		if (user_msr_index(index) < 0)
			return 1;
		*data = vmx->user_msr[user_msr_index(index)];
		return 0;
	}
}

static int vmx_set_msr(struct kvm_vcpu *vcpu, u32 index, u64 data)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	switch (index) {
	case MSR_FS_BASE:
		set_segment_base(vcpu, VCPU_SEG_FS, data);
		return 0;
	case MSR_GS_BASE:
		set_segment_base(vcpu, VCPU_SEG_GS, data);
		return 0;
	case MSR_KERNEL_GS_BASE:
		write_kernel_gs_base(vmx, data);
		return 0;
	case MSR_IA32_SYSENTER_CS:
		if (unlikely(vmx->vm86))
			vmx->sysenter_cs = data;
		else
			vmcs_write32(GUEST_SYSENTER_CS, data);
		return 0;
	case MSR_IA32_SYSENTER_ESP:
		vmcs_writel(GUEST_SYSENTER_ESP, data);
		return 0;
	case MSR_IA32_SYSENTER_EIP:
		vmcs_writel(GUEST_SYSENTER_EIP, data);
		return 0;
	case MSR_IA32_CR_PAT:
		if (vmx_has(VMX_CTL_ENTRY_CTL_LOAD_PAT))
			vmcs_write64(GUEST_PAT, data);
		else
			vcpu->msr.pat = data;
		return 0;
	case MSR_IA32_DEBUGCTLMSR:
		vmcs_write64(GUEST_DEBUGCTL, data);
		return 0;
	case MSR_CSTAR:
		vmx->cstar = data;
		return 0;
	default:
		if (user_msr_index(index) < 0)
			return 1;
		vmx->user_msr[user_msr_index(index)] = data;
		vmx->user_msrs_loaded = false;
		return 0;
	}
}

static void vmx_set_tsc(struct kvm_vcpu *vcpu)
{
	if (trace_kvm_write_tsc_offset_enabled())
		trace_kvm_write_tsc_offset(vcpu->id, vmcs_read64(TSC_OFFSET),
					   vcpu->tsc_offset);
	vmcs_write64(TSC_OFFSET, vcpu->tsc_offset);
	if (kvm_caps.tsc_scaling)
		vmcs_write64(TSC_MULTIPLIER, vcpu->tsc_ratio ?:
			     kvm_caps.tsc_ratio_default);
}

/* Instructions that the guest's CPUID denies must raise #UD. */
static void vmx_cpuid_changed(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	if (kvm_caps.rdtscp)
		ctl_set(vmx, VMX_CTL_CPU2_ENABLE_RDTSCP,
			guest_cpu_has(vcpu, KVM_CPUF_RDTSCP) ||
			guest_cpu_has(vcpu, KVM_CPUF_RDPID));
	if (kvm_caps.invpcid)
		ctl_set(vmx, VMX_CTL_CPU2_ENABLE_INVPCID,
			guest_cpu_has(vcpu, KVM_CPUF_INVPCID));
	if (kvm_caps.xsaves)
		ctl_set(vmx, VMX_CTL_CPU2_ENABLE_XSAVES,
			guest_cpu_has(vcpu, KVM_CPUF_XSAVES));
	vmx->user_msrs_loaded = false;
	update_exception_bitmap(vcpu);
	/* Which bits of CR4 the guest may own depends on what exists. */
	vmx_set_cr4(vcpu, kvm_read_cr4(vcpu));
}

/* ---- events ------------------------------------------------------------- */

static u32 vmx_get_interrupt_shadow(struct kvm_vcpu *vcpu)
{
	u32 state = vmcs_read32(GUEST_INTERRUPTIBILITY), shadow = 0;

	if (state & INTERRUPTIBILITY_STI)
		shadow |= KVM_X86_SHADOW_INT_STI;
	if (state & INTERRUPTIBILITY_MOV_SS)
		shadow |= KVM_X86_SHADOW_INT_MOV_SS;
	return shadow;
}

/*
 * "Checks on Guest Non-Register State": behind STI or MOV SS a single-step
 * trap must be pending if TF is set, unless TF means branches, and must not be
 * if it is clear. An injected #DB discards it, being that trap.
 */
static void satisfy_single_step_check(struct kvm_vcpu *vcpu)
{
	bool step = (vmx_get_rflags(vcpu) & X86_EFLAGS_TF) &&
		    !(vmcs_read64(GUEST_DEBUGCTL) & DEBUGCTLMSR_BTF);

	if (vmx_get_interrupt_shadow(vcpu))
		vmcs_writel(GUEST_PENDING_DBG, step ? QUAL_DB_BS : 0);
}

static void vmx_set_interrupt_shadow(struct kvm_vcpu *vcpu, u32 shadow)
{
	u32 old = vmcs_read32(GUEST_INTERRUPTIBILITY);
	u32 new = old & ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);

	if (shadow & KVM_X86_SHADOW_INT_MOV_SS)
		new |= INTERRUPTIBILITY_MOV_SS;
	else if (shadow & KVM_X86_SHADOW_INT_STI)
		new |= INTERRUPTIBILITY_STI;
	if (new == old)
		return;
	vmcs_write32(GUEST_INTERRUPTIBILITY, new);
	satisfy_single_step_check(vcpu);
}

static bool vmx_interrupt_allowed(struct kvm_vcpu *vcpu)
{
	return (vmx_get_rflags(vcpu) & X86_EFLAGS_IF) &&
	       !(vmcs_read32(GUEST_INTERRUPTIBILITY) &
		 (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

static bool vmx_nmi_allowed(struct kvm_vcpu *vcpu)
{
	return !(vmcs_read32(GUEST_INTERRUPTIBILITY) &
		 (INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS |
		  INTERRUPTIBILITY_STI));
}

static bool vmx_get_nmi_masked(struct kvm_vcpu *vcpu)
{
	return vmcs_read32(GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI;
}

static void vmx_set_nmi_masked(struct kvm_vcpu *vcpu, bool masked)
{
	u32 state = vmcs_read32(GUEST_INTERRUPTIBILITY) & ~INTERRUPTIBILITY_NMI;

	vmcs_write32(GUEST_INTERRUPTIBILITY,
		     masked ? state | INTERRUPTIBILITY_NMI : state);
}

static void inject(struct vcpu_vmx *vmx, u32 info)
{
	if (event_is_emulated(vmx))
		return;
	vmx->event_in_entry = true;
	vmcs_write32(VM_ENTRY_INTR_INFO, info | INTR_VALID);
}

static void vmx_inject_exception(struct kvm_vcpu *vcpu)
{
	const struct kvm_queued_exception *ex = &vcpu->ev.exception;
	u32 info = ex->vector | INTR_TYPE_HARD_EXCEPTION;

	if (ex->vector == X86_TRAP_BP || ex->vector == X86_TRAP_OF) {
		vmcs_write32(VM_ENTRY_INSN_LEN, vcpu->ev.soft_insn_len ?: 1);
		info = ex->vector | INTR_TYPE_SOFT_EXCEPTION;
	}
	if (ex->has_error_code) {
		vmcs_write32(VM_ENTRY_ERROR_CODE, ex->error_code);
		info |= INTR_ERROR_CODE;
	}
	if (ex->vector == X86_TRAP_DB)
		satisfy_single_step_check(vcpu);
	inject(to_vmx(vcpu), info);
}

static void vmx_inject_interrupt(struct kvm_vcpu *vcpu)
{
	const struct kvm_queued_interrupt *irq = &vcpu->ev.interrupt;
	u32 info = irq->vector | INTR_TYPE_EXT_INTR;

	if (irq->soft) {
		vmcs_write32(VM_ENTRY_INSN_LEN, vcpu->ev.soft_insn_len);
		info = irq->vector | INTR_TYPE_SOFT_INTR;
	}
	inject(to_vmx(vcpu), info);
}

static void vmx_inject_nmi(struct kvm_vcpu *vcpu)
{
	inject(to_vmx(vcpu), X86_TRAP_NMI | INTR_TYPE_NMI);
}

static void vmx_enable_irq_window(struct kvm_vcpu *vcpu)
{
	ctl_set(to_vmx(vcpu), VMX_CTL_CPU_INTR_WINDOW_EXITING, true);
}

static void vmx_enable_nmi_window(struct kvm_vcpu *vcpu)
{
	/*
	 * Behind STI the processor may open the NMI window at once, when the
	 * injection is not possible yet: wait for the interrupt window.
	 */
	if (vmcs_read32(GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_STI)
		vmx_enable_irq_window(vcpu);
	else
		ctl_set(to_vmx(vcpu), VMX_CTL_CPU_NMI_WINDOW_EXITING, true);
}

/* The entry did not happen; ev.*.injected still says what is to go in. */
static void vmx_cancel_injection(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	vmx->special &= ~SPECIAL_EVENT;
	if (!vmx->event_in_entry)
		return;
	vmx->event_in_entry = false;
	vmcs_write32(VM_ENTRY_INTR_INFO, 0);
}

/* ---- entry -------------------------------------------------------------- */

/*
 * XCR0, XSS and PKRU are not in the VMCS. The bits of CR4 that matter here are
 * not the guest's own, so vcpu->cr4 has them without asking the VMCS.
 */
static __always_inline void guest_xstate_load(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->cr4 & X86_CR4_OSXSAVE))
		return;
	if (vcpu->xcr0 != kvm_caps.host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->xcr0);
	if (vcpu->msr.xss != kvm_caps.host_xss) {
		vmx_count(wrmsr);
		wrmsrq(MSR_IA32_XSS, vcpu->msr.xss);
	}
}

static __always_inline void host_xstate_load(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->cr4 & X86_CR4_OSXSAVE))
		return;
	if (vcpu->xcr0 != kvm_caps.host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, kvm_caps.host_xcr0);
	if (vcpu->msr.xss != kvm_caps.host_xss) {
		vmx_count(wrmsr);
		wrmsrq(MSR_IA32_XSS, kvm_caps.host_xss);
	}
}

/*
 * "Loading Host Control Registers, Debug Registers, MSRs": an exit clears
 * IA32_DEBUGCTL. The host uses it for last branches, bus locks and stepping
 * by branches, and changes it from interrupts.
 */
static __always_inline unsigned long host_debugctl(void)
{
	vmx_count(rdmsr);
	return get_debugctlmsr();
}

static __always_inline void host_debugctl_restore(unsigned long debugctl)
{
	if (likely(!debugctl))
		return;
	vmx_count(wrmsr);
	update_debugctlmsr(debugctl);
}

static bool guest_uses_pkru(struct kvm_vcpu *vcpu)
{
	return cpu_feature_enabled(X86_FEATURE_OSPKE) &&
	       ((vcpu->xcr0 & XFEATURE_MASK_PKRU) ||
		(vcpu->cr4 & X86_CR4_PKE));
}

/* Into the guest and back; only what noinstr code may do. */
static noinstr void enter_and_exit(struct vcpu_vmx *vmx, bool again)
{
	struct kvm_vcpu *vcpu = &vmx->vcpu;

	guest_state_enter_irqoff(again);
	if (vcpu->cr2 != native_read_cr2())
		native_write_cr2(vcpu->cr2);
	vmx_spec_ctrl_guest(vcpu);
	vmx->entry_error = vmx_enter(vcpu->regs, &vmx->vmcs.host_rsp,
				     vmx->vmcs.launched);
	vmx_spec_ctrl_host(vcpu, vmx->spec_ctrl_passed);
	vcpu->cr2 = native_read_cr2();
	guest_state_exit_irqoff();
}

/*
 * The host's counters go on in the guest unless their owner has excluded it.
 * Those with PEBS must not: their records would be written to the host's
 * address through the guest's tables ("Processor Event Based Sampling"). What
 * perf wants different is switched by the entry and the exit themselves, as a
 * counter may overflow at any time. Interrupts are off.
 */
static __always_inline void perf_switch(struct vcpu_vmx *vmx)
{
	const struct perf_guest_switch_msr *msrs;
	u32 n = 0;
	int i, nr = 0;

	msrs = perf_guest_get_msrs(&nr, NULL);
	for (i = 0; i < nr && n < NR_PERF_MSRS; i++) {
		if (msrs[i].host == msrs[i].guest)
			continue;
		vmx->perf_guest[n].index = msrs[i].msr;
		vmx->perf_guest[n].value = msrs[i].guest;
		vmx->perf_host[n].index = msrs[i].msr;
		vmx->perf_host[n++].value = msrs[i].host;
	}
	if (likely(n == vmx->nr_perf_msrs))
		return;
	vmx->nr_perf_msrs = n;
	vmcs_write32(VM_ENTRY_MSR_LOAD_COUNT, n);
	vmcs_write32(VM_EXIT_MSR_LOAD_COUNT, n);
}

/* Somebody looks at tracepoints of the inner loop. */
static DEFINE_STATIC_KEY_FALSE(vmx_traced);

int vmx_trace_begin(void)
{
	static_branch_inc(&vmx_traced);
	static_branch_inc(&vmx_entry_work);
	return 0;
}

void vmx_trace_end(void)
{
	static_branch_dec(&vmx_traced);
	static_branch_dec(&vmx_entry_work);
}

static noinline void entry_work(struct kvm_vcpu *vcpu, bool again)
{
	trace_kvm_entry(vcpu);
	vmx_mitigations_enter(again);
}

/*
 * The event that was to be injected has gone in, and the processor has cleared
 * the field's valid bit. IDT_VECTORING_INFO may still say that it came back.
 */
static __always_inline void note_entry(struct vcpu_vmx *vmx)
{
	struct kvm_events *ev = &vmx->vcpu.ev;

	vmx->vmcs.launched = true;
	if (vmx->event_in_entry) {
		vmx->event_in_entry = false;
		ev->exception.injected = false;
		ev->interrupt.injected = false;
		ev->nmi_injected = false;
	}
}

static void recover_events(struct vcpu_vmx *vmx);

/*
 * An exit reason with flags. An entry that fails late leaves the launch state
 * alone, and the event that was to be injected where it was.
 */
static noinline void unusual_exit(struct vcpu_vmx *vmx)
{
	vmx->vcpu.stat.exit[vmx->exit_reason % KVM_STAT_EXITS]++;
	trace_kvm_exit(&vmx->vcpu);
	if (vmx->exit_reason & EXIT_REASON_ENTRY_FAILED)
		return;
	note_entry(vmx);
	recover_events(vmx);
}

static __always_inline bool fast_exit(struct vcpu_vmx *vmx,
				      unsigned long reason, const bool traced);

static noinline bool traced_exit(struct vcpu_vmx *vmx)
{
	trace_kvm_exit(&vmx->vcpu);
	return fast_exit(vmx, vmx->exit_reason, true);
}

/* True: the exit is dealt with, and the guest may go on at once. */
static __always_inline bool after_exit(struct vcpu_vmx *vmx)
{
	unsigned long reason = vmread(VM_EXIT_REASON);

	vmx->exit_reason = reason;
	if (unlikely(reason >= KVM_STAT_EXITS)) {
		unusual_exit(vmx);
		return false;
	}
	vmx->vcpu.stat.exit[reason]++;
	note_entry(vmx);
	if (static_branch_unlikely(&vmx_traced))
		return traced_exit(vmx);
	return fast_exit(vmx, reason, false);
}

static void vmx_run(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	const unsigned long debugctl = host_debugctl();
	const bool pkru = guest_uses_pkru(vcpu);
	bool again = false;
	u32 host_pkru = 0;

	if (unlikely(vmx->special) && !special_entry(vmx))
		return;
	/*
	 * The same check, when TF is the monitor's: the trap that was due
	 * behind STI has been reported, and none is pending any more.
	 */
	if (unlikely(vmx->single_step))
		vmx_set_interrupt_shadow(vcpu, 0);
	host_fieldl(&vmx->vmcs.host_cr3, HOST_CR3, __get_current_cr3_fast());
	host_fieldl(&vmx->vmcs.host_cr4, HOST_CR4, cr4_read_shadow());
	perf_switch(vmx);
	guest_xstate_load(vcpu);
	if (pkru) {
		host_pkru = rdpkru();
		if (host_pkru != vcpu->pkru)
			wrpkru(vcpu->pkru);
	}
	do {
		if (vmx->apic_entry)
			vmx_apic_enter(vmx);
		write_dirty_regs(vcpu);
		if (static_branch_unlikely(&vmx_entry_work))
			entry_work(vcpu, again);
		enter_and_exit(vmx, again);
		again = true;
		vcpu->regs_avail = ~(u32)REGS_IN_VMCS;
		vmx->exit_cached = 0;
		vmx->idt_vectoring = 0;
	} while (likely(!vmx->entry_error) && after_exit(vmx));
	host_debugctl_restore(debugctl);
	compat_guest_has_run();
	if (unlikely(vmx->pml_on))
		empty_pml(vmx);
	if (pkru) {
		vcpu->pkru = rdpkru();
		if (host_pkru != vcpu->pkru)
			wrpkru(host_pkru);
	}
	host_xstate_load(vcpu);
}

/* ---- after an exit ------------------------------------------------------ */

static u32 exit_intr_info(struct vcpu_vmx *vmx)
{
	if (!(vmx->exit_cached & EXIT_HAS_INTR_INFO)) {
		vmx->exit_intr_info = vmcs_read32(VM_EXIT_INTR_INFO);
		vmx->exit_cached |= EXIT_HAS_INTR_INFO;
	}
	return vmx->exit_intr_info;
}

/* Exits that can happen in the middle of delivering an event. */
static void vmx_exit_info(struct kvm_vcpu *vcpu, struct kvm_exit_info *info)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	info->reason = vmx->exit_reason;
	info->qualification = exit_qualification(vmx);
	info->idt_vectoring = vmcs_read32(IDT_VECTORING_INFO);
	info->intr_info = exit_intr_info(vmx);
	info->error_code = info->intr_info & INTR_ERROR_CODE ?
		vmcs_read32(VM_EXIT_INTR_ERROR_CODE) : 0;
}

static bool can_interrupt_delivery(u32 reason)
{
	switch (reason) {
	case EXIT_REASON_EXCEPTION_NMI:
	case EXIT_REASON_TRIPLE_FAULT:
	case EXIT_REASON_TASK_SWITCH:
	case EXIT_REASON_APIC_ACCESS:
	case EXIT_REASON_EPT_VIOLATION:
	case EXIT_REASON_EPT_MISCONFIG:
	case EXIT_REASON_PML_FULL:
		return true;
	default:
		return false;
	}
}

/*
 * "Information About NMI Unblocking Due to IRET": the exit undid an IRET that
 * had already let NMIs in again.
 */
static void recover_nmi_blocking(struct vcpu_vmx *vmx)
{
	bool unblocked;

	if (vmx->exit_reason == EXIT_REASON_EXCEPTION_NMI)
		unblocked = (exit_intr_info(vmx) & INTR_NMI_UNBLOCKED) &&
			    (exit_intr_info(vmx) & INTR_VECTOR) != X86_TRAP_DF;
	else if (vmx->exit_reason == EXIT_REASON_EPT_VIOLATION)
		unblocked = exit_qualification(vmx) & QUAL_EPT_NMI_UNBLOCKED;
	else
		unblocked = vmx->exit_reason == EXIT_REASON_PML_FULL &&
			    (exit_qualification(vmx) & QUAL_NMI_UNBLOCKED);
	if (unlikely(unblocked))
		vmx_set_nmi_masked(&vmx->vcpu, true);
}

static void requeue_exception(struct kvm_vcpu *vcpu, u32 info)
{
	struct kvm_queued_exception *ex = &vcpu->ev.exception;

	*ex = (struct kvm_queued_exception) {
		.injected = true,
		.vector = info & INTR_VECTOR,
		.has_error_code = info & INTR_ERROR_CODE,
	};
	if (ex->has_error_code)
		ex->error_code = vmcs_read32(IDT_VECTORING_ERROR_CODE);
}

/*
 * INT n and its like push RF as 0, but a page fault on the way to the handler
 * leaves it set.
 */
static void requeue_software(struct vcpu_vmx *vmx)
{
	struct kvm_vcpu *vcpu = &vmx->vcpu;

	vcpu->ev.soft_insn_len = vmcs_read32(VM_EXIT_INSN_LEN);
	vmx_set_rflags(vcpu, vmx_get_rflags(vcpu) & ~X86_EFLAGS_RF);
}

/* "Information for VM Exits During Event Delivery": deliver it again. */
static void requeue_event(struct vcpu_vmx *vmx, u32 info)
{
	struct kvm_vcpu *vcpu = &vmx->vcpu;
	struct kvm_events *ev = &vcpu->ev;

	switch (info & INTR_TYPE) {
	case INTR_TYPE_NMI:
		ev->nmi_injected = true;
		/* Delivery had begun, so NMIs are blocked; not yet, now. */
		vmx_set_nmi_masked(vcpu, false);
		break;
	case INTR_TYPE_SOFT_EXCEPTION:
	case INTR_TYPE_PRIV_EXCEPTION:
		requeue_software(vmx);
		fallthrough;
	case INTR_TYPE_HARD_EXCEPTION:
		requeue_exception(vcpu, info);
		break;
	case INTR_TYPE_SOFT_INTR:
		requeue_software(vmx);
		fallthrough;
	case INTR_TYPE_EXT_INTR:
		ev->interrupt.injected = true;
		ev->interrupt.soft = (info & INTR_TYPE) == INTR_TYPE_SOFT_INTR;
		ev->interrupt.vector = info & INTR_VECTOR;
		break;
	}
}

/* What went in may have come back. */
static void recover_events(struct vcpu_vmx *vmx)
{
	if (!can_interrupt_delivery(vmx->exit_reason))
		return;
	vmx->idt_vectoring = vmcs_read32(IDT_VECTORING_INFO);
	if (likely(!(vmx->idt_vectoring & INTR_VALID)))
		recover_nmi_blocking(vmx);
	else if (unlikely(vmx->vm86))
		vmx->idt_vectoring = 0;	/* INT n, refused and to be emulated */
	else
		requeue_event(vmx, vmx->idt_vectoring);
}

/*
 * Step over an instruction that was emulated: what its retirement would have
 * done. True: a single-step trap is due after it.
 */
static __always_inline bool skip(struct vcpu_vmx *vmx)
{
	struct kvm_vcpu *vcpu = &vmx->vcpu;
	unsigned long rip, old, rflags;
	u32 state;

	if (!(vcpu->regs_avail & BIT(VCPU_RIP)))
		vcpu->regs[VCPU_RIP] = vmcs_readl(GUEST_RIP);
	if (!(vcpu->regs_avail & BIT(VCPU_RFLAGS)))
		cache_rflags(vmx);
	vcpu->regs_avail |= BIT(VCPU_RIP) | BIT(VCPU_RFLAGS);
	rflags = vmx->rflags;
	old = vcpu->regs[VCPU_RIP];
	rip = old + vmcs_read32(VM_EXIT_INSN_LEN);
	/* IP and EIP wrap where the code segment is not 64-bit. */
	if (unlikely((rip ^ old) >> 31) && !is_64bit_mode(vcpu))
		rip = (u32)rip;
	/* Rarely does it change again before the next entry. */
	vcpu->regs[VCPU_RIP] = rip;
	vmcs_writel(GUEST_RIP, rip);
	state = vmcs_read32(GUEST_INTERRUPTIBILITY);
	if (state & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS))
		vmcs_write32(GUEST_INTERRUPTIBILITY, state &
			     ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
	if (unlikely(rflags & X86_EFLAGS_RF))
		vmx_set_rflags(vcpu, rflags & ~X86_EFLAGS_RF);
	return unlikely(vmx->single_step) || (rflags & X86_EFLAGS_TF);
}

/* KVM_SET_GUEST_DEBUG: the monitor wanted to see this; always 0. */
static int debug_exit(struct kvm_vcpu *vcpu, u8 vector, unsigned long dr6)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_DEBUG;
	run->debug.arch.pc = vmcs_readl(GUEST_CS_BASE) + kvm_rip_read(vcpu);
	run->debug.arch.exception = vector;
	run->debug.arch.dr6 = dr6 | 0xffff0ff0;
	run->debug.arch.dr7 = vmcs_readl(GUEST_DR7);
	return 0;
}

/* After skip() said that TF was set. 1 resume, 0 to user space. */
static int single_step_trap(struct kvm_vcpu *vcpu)
{
	if (to_vmx(vcpu)->single_step)
		return debug_exit(vcpu, X86_TRAP_DB, DR_STEP);
	kvm_queue_db(vcpu, DR_STEP);
	return 1;
}

static int vmx_skip_instruction(struct kvm_vcpu *vcpu)
{
	if (unlikely(skip(to_vmx(vcpu))))
		return single_step_trap(vcpu);
	return 1;
}

/* ---- exits handled with interrupts off ---------------------------------- */

static u64 edx_eax(struct kvm_vcpu *vcpu)
{
	return (u32)vcpu->regs[VCPU_RAX] | vcpu->regs[VCPU_RDX] << 32;
}

/* Once more, and before: it has no side effects. */
static void trace_cpuid(struct kvm_vcpu *vcpu)
{
	const u32 leaf = vcpu->regs[VCPU_RAX], index = vcpu->regs[VCPU_RCX];
	u32 eax = leaf, ebx, ecx = index, edx;

	kvm_cpuid(vcpu, &eax, &ebx, &ecx, &edx);
	trace_kvm_cpuid(leaf, index, eax, ebx, ecx, edx);
}

static void set_edx_eax(struct kvm_vcpu *vcpu, u64 data)
{
	vcpu->regs[VCPU_RAX] = lower_32_bits(data);
	vcpu->regs[VCPU_RDX] = upper_32_bits(data);
}

/* 0, or why not: KVM_MSR_INVALID ... */
static __always_inline int do_rdmsr(struct kvm_vcpu *vcpu, const bool traced)
{
	u32 index = vcpu->regs[VCPU_RCX];
	u64 data = 0;
	int r = kvm_guest_get_msr(vcpu, index, &data);

	if (traced)
		trace_kvm_msr(false, index, data, r);
	if (likely(!r))
		set_edx_eax(vcpu, data);
	return r;
}

/*
 * The same. EFER and XSS are not for here: the one may change the root, the
 * other is switched by vmx_run().
 */
static __always_inline int do_wrmsr(struct kvm_vcpu *vcpu, const bool traced)
{
	u32 index = vcpu->regs[VCPU_RCX];
	int r = kvm_guest_set_msr(vcpu, index, edx_eax(vcpu));

	if (traced)
		trace_kvm_msr(true, index, edx_eax(vcpu), r);
	/* With ignore_msrs it may be a register that there is not. */
	if (unlikely(index == MSR_IA32_SPEC_CTRL) && kvm_caps.spec_ctrl && !r)
		pass_spec_ctrl(to_vmx(vcpu));
	return r;
}

static bool wrmsr_is_slow(struct kvm_vcpu *vcpu)
{
	u32 index = vcpu->regs[VCPU_RCX];

	return index == MSR_EFER || index == MSR_IA32_XSS ||
	       index == MSR_IA32_APICBASE;
}

/* Outside of 64-bit mode an operand is the lower half of its register. */
static unsigned long mov_operand(struct kvm_vcpu *vcpu, int gpr)
{
	unsigned long value = kvm_reg_read(vcpu, gpr);

	return !(value >> 32) || is_64bit_mode(vcpu) ? value : (u32)value;
}

/* A switch between tables that are all known. */
static bool do_mov_to_cr3(struct kvm_vcpu *vcpu, unsigned long cr3,
			  const bool traced)
{
	hpa_t root;

	/* It flushes all the same: the processor knows but one PCID. */
	if (unlikely(cr3 & X86_CR3_PCID_NOFLUSH) && (vcpu->cr4 & X86_CR4_PCIDE))
		cr3 &= ~X86_CR3_PCID_NOFLUSH;
	if ((cr3 & vcpu->reserved_gpa_bits) ||
	    !kvm_mmu_try_new_cr3(vcpu, cr3, &root))
		return false;
	if (traced)
		trace_kvm_cr(true, 3, cr3);
	vcpu->cr3 = cr3;
	vcpu->regs_avail |= BIT(VCPU_CR3);
	vmcs_writel(GUEST_CR3, root);
	vcpu->stat.tlb_flush++;
	vmx_flush_tlb_guest(vcpu);
	return true;
}

/* CR3, without EPT: a guest may use it twice for each system call. */
static __always_inline bool do_mov_cr3(struct vcpu_vmx *vmx, const bool traced)
{
	const unsigned long qual = exit_qualification(vmx);
	const int type = QUAL_CR_TYPE(qual);
	struct kvm_vcpu *vcpu = &vmx->vcpu;
	const int gpr = QUAL_CR_GPR(qual);

	if (kvm_caps.ept || QUAL_CR_NUMBER(qual) != 3 || !is_long_mode(vcpu))
		return false;
	if (type == CR_TYPE_MOV_TO)
		return do_mov_to_cr3(vcpu, mov_operand(vcpu, gpr), traced);
	if (type != CR_TYPE_MOV_FROM)
		return false;
	if (traced)
		trace_kvm_cr(false, 3, vcpu->cr3);
	kvm_reg_write(vcpu, gpr, vcpu->cr3);
	return true;
}

static bool do_invlpg(struct vcpu_vmx *vmx)
{
	struct kvm_vcpu *vcpu = &vmx->vcpu;
	const u64 gva = exit_qualification(vmx);

	if (kvm_caps.ept || !kvm_mmu_try_invlpg(vcpu, gva))
		return false;
	vmx_flush_tlb_gva(vcpu, gva);
	return true;
}

/*
 * A write whose address says it all needs no emulation. The SDM does not
 * promise the length of the instruction for exits of accesses to memory, but
 * processors give it; other hypervisors below us may not.
 */
static bool access_can_be_skipped(const struct vcpu_vmx *vmx)
{
	return !static_cpu_has(X86_FEATURE_HYPERVISOR) &&
	       !(vmx->idt_vectoring & INTR_VALID);
}

/* They signal an ioeventfd. What a debugger could see goes the longer way. */
static __always_inline bool do_write_to_ioeventfd(struct vcpu_vmx *vmx,
						  const bool traced)
{
	gpa_t gpa;

	if (!access_can_be_skipped(vmx))
		return false;
	gpa = vmcs_read64(GUEST_PHYSICAL_ADDRESS);
	if (!kvm_io_signal_any(&vmx->vcpu, gpa))
		return false;
	if (traced)
		trace_kvm_fast_mmio(gpa);
	return true;
}

static __always_inline bool do_out_to_ioeventfd(struct vcpu_vmx *vmx,
						const bool traced)
{
	const unsigned long qual = exit_qualification(vmx);
	struct kvm_vcpu *vcpu = &vmx->vcpu;

	if ((qual & (QUAL_IO_IN | QUAL_IO_STRING)) || vcpu->guest_debug ||
	    vcpu->switch_db_regs ||
	    !kvm_io_signal(vcpu, QUAL_IO_PORT(qual), QUAL_IO_SIZE(qual),
			   &vcpu->regs[VCPU_RAX]))
		return false;
	if (traced)
		trace_kvm_pio(true, QUAL_IO_PORT(qual), QUAL_IO_SIZE(qual), 1,
			      &vcpu->regs[VCPU_RAX]);
	vcpu->stat.io_exits++;
	return true;
}

static bool fast_gp(struct vcpu_vmx *vmx)
{
	kvm_queue_exception_e(&vmx->vcpu, X86_TRAP_GP, 0);
	vmx->exit_reason = EXIT_HANDLED;
	return false;
}

/* #GP without leaving the inner loop, unless the monitor wants to know. */
static bool fast_msr_refused(struct vcpu_vmx *vmx, int r)
{
	return !kvm_msr_exit_wanted(&vmx->vcpu, r) && fast_gp(vmx);
}

/*
 * Exits that need neither interrupts nor memory that is not at hand stay in
 * the inner loop: true when this one is dealt with and the guest may go on at
 * once. An interrupt that comes meanwhile is pending, and makes the next entry
 * exit at once.
 */
static __always_inline bool fast_exit(struct vcpu_vmx *vmx,
				      unsigned long reason, const bool traced)
{
	struct kvm_vcpu *vcpu = &vmx->vcpu;
	bool stepped = false;
	int r;

	switch (reason) {
	case EXIT_REASON_CPUID:
		if (traced)
			trace_cpuid(vcpu);
		kvm_execute_cpuid(vcpu);
		break;
	case EXIT_REASON_MSR_READ:
		r = do_rdmsr(vcpu, traced);
		if (r)
			return fast_msr_refused(vmx, r);
		break;
	case EXIT_REASON_MSR_WRITE:
		if (unlikely(wrmsr_is_slow(vcpu)))
			return false;
		r = do_wrmsr(vcpu, traced);
		if (r)
			return fast_msr_refused(vmx, r);
		break;
	case EXIT_REASON_VMCALL:
		if (traced)
			trace_kvm_hypercall(vcpu->regs);
		if (!kvm_hypercall_fast(vcpu))
			return false;
		break;
	case EXIT_REASON_CR_ACCESS:
		if (!do_mov_cr3(vmx, traced))
			return false;
		break;
	case EXIT_REASON_INVLPG:
		if (!do_invlpg(vmx))
			return false;
		break;
	case EXIT_REASON_IO_INSTRUCTION:
		if (likely(!vcpu->kvm->ioeventfds) ||
		    !do_out_to_ioeventfd(vmx, traced))
			return false;
		break;
	case EXIT_REASON_EPT_MISCONFIG:
		recover_events(vmx);
		if (likely(!vcpu->kvm->ioeventfds) ||
		    !do_write_to_ioeventfd(vmx, traced))
			return false;
		break;
	case EXIT_REASON_PREEMPTION_TIMER:
	case EXIT_REASON_EOI_INDUCED:
	case EXIT_REASON_APIC_WRITE:
	case EXIT_REASON_TPR_BELOW_THRESHOLD:
		recover_events(vmx);
		vmx_apic_exit(vmx);
		goto done;
	default:
		recover_events(vmx);
		return false;
	}
	stepped = skip(vmx);
done:
	/*
	 * Whoever was woken may want this CPU. A new value for an MSR of the
	 * lazy list is loaded outside.
	 */
	if (likely(!stepped && !kvm_request_pending(vcpu) &&
		   !xfer_to_guest_mode_work_pending() &&
		   vmx->user_msrs_loaded))
		return true;
	vmx->exit_reason = stepped ? EXIT_SINGLE_STEP : EXIT_HANDLED;
	return false;
}

static void handle_nmi_or_machine_check(u32 info)
{
	if ((info & INTR_TYPE) == INTR_TYPE_NMI)
		compat_handle_nmi();
	else if ((info & INTR_TYPE) == INTR_TYPE_HARD_EXCEPTION &&
		 (info & INTR_VECTOR) == X86_TRAP_MC)
		compat_handle_machine_check();
}

/* A host interrupt, NMI or machine check that the exit has consumed. */
static void vmx_handle_exit_irqoff(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	if (unlikely(vmx->entry_error))
		return;
	switch (vmx->exit_reason & EXIT_REASON_BASIC) {
	case EXIT_REASON_EXCEPTION_NMI:
		handle_nmi_or_machine_check(exit_intr_info(vmx));
		break;
	case EXIT_REASON_EXTERNAL_INTERRUPT:
		if (vmx->vmcs.ctl[VMX_WORD_EXIT] & EXIT_CTL_ACK_INTR)
			compat_handle_interrupt(exit_intr_info(vmx) &
						INTR_VECTOR);
		break;
	case EXIT_REASON_MCE_DURING_VMENTRY:
		compat_handle_machine_check();
		break;
	}
}

/* ---- exits: exceptions -------------------------------------------------- */

static int handle_page_fault(struct kvm_vcpu *vcpu);
static int handle_db(struct kvm_vcpu *vcpu)
{
	unsigned long dr6 = exit_qualification(to_vmx(vcpu));

	if (vcpu->guest_debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
		return debug_exit(vcpu, X86_TRAP_DB, dr6);
	/* INT1 is a trap: it ends after the instruction. */
	if ((exit_intr_info(to_vmx(vcpu)) & INTR_TYPE) == INTR_TYPE_PRIV_EXCEPTION)
		skip(to_vmx(vcpu));
	kvm_queue_db(vcpu, dr6);
	return 1;
}

/*
 * #AC also comes of the host's split lock detection, which knows of no guest.
 * True: it was that, and the host has taken note, and slowed the thread or
 * sent it a signal.
 */
static bool host_split_lock(struct kvm_vcpu *vcpu)
{
	bool alignment_checked = vmx_get_cpl(vcpu) == 3 &&
				 (kvm_read_cr0(vcpu) & X86_CR0_AM) &&
				 (vmx_get_rflags(vcpu) & X86_EFLAGS_AC);

	if (alignment_checked || !boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT))
		return false;
	handle_guest_split_lock(kvm_rip_read(vcpu));
	return true;
}

/*
 * At CPL 3 of virtual-8086 mode much ends in #GP that real mode allows, and
 * beyond 64K it is #SS or #GP although the guest's limits may be larger. What
 * the emulator does not know is no system instruction: its fault is genuine.
 */
static int emulate_real_fault(struct kvm_vcpu *vcpu, u8 vector)
{
	int r = kvm_emulate_instruction(vcpu, 0, EMULTYPE_TRY);

	if (r != KVM_EMULATE_UNKNOWN)
		return r;
	kvm_queue_exception(vcpu, vector);
	return 1;
}

static int handle_real_exception(struct kvm_vcpu *vcpu, u8 vector)
{
	switch (vector) {
	case X86_TRAP_MC:
		return 1;		/* vmx_handle_exit_irqoff() */
	case X86_TRAP_DB:
		return handle_db(vcpu);
	case X86_TRAP_BP:
		if (vcpu->guest_debug & KVM_GUESTDBG_USE_SW_BP)
			return debug_exit(vcpu, X86_TRAP_BP, 0);
		fallthrough;
	case X86_TRAP_UD:	/* of some instructions, at CPL 3 */
	case X86_TRAP_OF:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return emulate_real_fault(vcpu, vector);
	case X86_TRAP_AC:
		if (host_split_lock(vcpu))
			return 1;
		fallthrough;
	default:
		kvm_queue_exception(vcpu, vector);
		return 1;
	}
}

static int handle_exception_nmi(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u32 info = exit_intr_info(vmx);
	u8 vector = info & INTR_VECTOR;

	if ((info & INTR_TYPE) == INTR_TYPE_NMI)
		return 1;
	/* Is it for our tables, or for the guest's? */
	if (vector == X86_TRAP_PF && !kvm_caps.ept)
		return handle_page_fault(vcpu);
	if (unlikely(in_real_mode(vmx)))
		return handle_real_exception(vcpu, vector);
	switch (vector) {
	case X86_TRAP_MC:
		return 1;		/* vmx_handle_exit_irqoff() */
	case X86_TRAP_DB:
		return handle_db(vcpu);
	case X86_TRAP_BP:
		return debug_exit(vcpu, X86_TRAP_BP, 0);
	case X86_TRAP_UD:
		return kvm_emulate_undefined(vcpu);
	case X86_TRAP_AC:
		if (host_split_lock(vcpu))
			return 1;
		fallthrough;
	default:
		if (info & INTR_ERROR_CODE)
			kvm_queue_exception_e(vcpu, vector,
				vmcs_read32(VM_EXIT_INTR_ERROR_CODE));
		else
			kvm_queue_exception(vcpu, vector);
		return 1;
	}
}

/* ---- exits: events ------------------------------------------------------ */

static int handle_external_interrupt(struct kvm_vcpu *vcpu)
{
	/* It was taken when interrupts were enabled after the exit, or before. */
	vcpu->stat.irq_exits++;
	return 1;
}

static int handle_triple_fault(struct kvm_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return 0;
}

static int handle_ignored(struct kvm_vcpu *vcpu)
{
	return 1;
}

static int handle_interrupt_window(struct kvm_vcpu *vcpu)
{
	ctl_set(to_vmx(vcpu), VMX_CTL_CPU_INTR_WINDOW_EXITING, false);
	kvm_make_request(vcpu, KVM_REQ_EVENT);
	vcpu->stat.irq_window_exits++;
	return 1;
}

static int handle_nmi_window(struct kvm_vcpu *vcpu)
{
	ctl_set(to_vmx(vcpu), VMX_CTL_CPU_NMI_WINDOW_EXITING, false);
	vcpu->stat.nmi_window_exits++;
	return 1;
}

/* ---- exits: instructions ------------------------------------------------ */

static int inject_gp(struct kvm_vcpu *vcpu)
{
	kvm_queue_exception_e(vcpu, X86_TRAP_GP, 0);
	return 1;
}

/* `fault`: the instruction was refused. */
static int complete_or_gp(struct kvm_vcpu *vcpu, int fault)
{
	return fault ? inject_gp(vcpu) : vmx_skip_instruction(vcpu);
}

/* One that sleeps. */
static int handle_vmcall(struct kvm_vcpu *vcpu)
{
	kvm_hypercall(vcpu);
	return vmx_skip_instruction(vcpu);
}

static int handle_undefined(struct kvm_vcpu *vcpu)
{
	kvm_queue_exception(vcpu, X86_TRAP_UD);
	return 1;
}

static int handle_hlt(struct kvm_vcpu *vcpu)
{
	int r = vmx_skip_instruction(vcpu);

	return r > 0 ? kvm_emulate_halt(vcpu) : r;
}

static int handle_nop(struct kvm_vcpu *vcpu)
{
	return vmx_skip_instruction(vcpu);
}

/*
 * Exits become rarer and rarer until the thread has been off its CPU: then
 * others had their turn. That a yield was tried does not say so.
 */
static void set_ple_window(struct vcpu_vmx *vmx)
{
	unsigned long switches = current->nvcsw + current->nivcsw;
	u32 window = ple_window;

	if (switches == vmx->ple_switches)
		window = min(vmx->ple_window, PLE_WINDOW_MAX / 2) * 2;
	vmx->ple_switches = switches;
	if (window == vmx->ple_window)
		return;
	vmx->ple_window = window;
	vmcs_write32(PLE_WINDOW, window);
}

static int handle_pause(struct kvm_vcpu *vcpu)
{
	int r = vmx_skip_instruction(vcpu);

	if (r <= 0)
		return r;
	kvm_vcpu_on_spin(vcpu);
	set_ple_window(to_vmx(vcpu));
	return r;
}

static int handle_rdpmc(struct kvm_vcpu *vcpu)
{
	/* No counter exists. */
	return inject_gp(vcpu);
}

/* User space has carried it out, unless it has sent the vCPU elsewhere. */
static int finish_wrmsr(struct kvm_vcpu *vcpu)
{
	if (kvm_rip_read(vcpu) != to_vmx(vcpu)->msr_exit_rip)
		return 1;
	return complete_or_gp(vcpu, READ_ONCE(vcpu->run->msr.error));
}

static int finish_rdmsr(struct kvm_vcpu *vcpu)
{
	if (kvm_rip_read(vcpu) == to_vmx(vcpu)->msr_exit_rip &&
	    !READ_ONCE(vcpu->run->msr.error))
		set_edx_eax(vcpu, READ_ONCE(vcpu->run->msr.data));
	return finish_wrmsr(vcpu);
}

/* `r`: it was refused, and why. */
static int complete_msr(struct kvm_vcpu *vcpu, int r, bool write)
{
	if (!kvm_msr_exit_wanted(vcpu, r))
		return complete_or_gp(vcpu, r);
	kvm_msr_fill_exit(vcpu, r, write, vcpu->regs[VCPU_RCX],
			  write ? edx_eax(vcpu) : 0);
	to_vmx(vcpu)->msr_exit_rip = kvm_rip_read(vcpu);
	vcpu->complete_userspace_io = write ? finish_wrmsr : finish_rdmsr;
	return 0;
}

static int handle_rdmsr(struct kvm_vcpu *vcpu)
{
	return complete_msr(vcpu, do_rdmsr(vcpu, true), false);
}

static int handle_wrmsr(struct kvm_vcpu *vcpu)
{
	return complete_msr(vcpu, do_wrmsr(vcpu, true), true);
}

static int handle_xsetbv(struct kvm_vcpu *vcpu)
{
	return complete_or_gp(vcpu, vmx_get_cpl(vcpu) ||
			      kvm_set_xcr(vcpu, vcpu->regs[VCPU_RCX],
					  edx_eax(vcpu)));
}

/* MONITOR and MWAIT: by default they do nothing, and never fault. */
static int handle_mwait(struct kvm_vcpu *vcpu)
{
	if (!guest_cpu_has(vcpu, KVM_CPUF_MWAIT) &&
	    !kvm_has_quirk(vcpu->kvm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS))
		return handle_undefined(vcpu);
	return vmx_skip_instruction(vcpu);
}

static int handle_io(struct kvm_vcpu *vcpu)
{
	unsigned long qual = exit_qualification(to_vmx(vcpu));

	vcpu->stat.io_exits++;
	if (unlikely(qual & QUAL_IO_STRING))
		return kvm_emulate_instruction(vcpu, 0, 0);
	return kvm_fast_pio(vcpu, QUAL_IO_SIZE(qual), QUAL_IO_PORT(qual),
			    qual & QUAL_IO_IN);
}

/* ---- exits: control and debug registers --------------------------------- */

static int mov_to_cr8(struct kvm_vcpu *vcpu, unsigned long value)
{
	unsigned long old = kvm_get_cr8(vcpu);
	int r;

	if (kvm_set_cr8(vcpu, value))
		return inject_gp(vcpu);
	r = vmx_skip_instruction(vcpu);
	/* Lowering it may let an interrupt of the monitor's APIC in. */
	if (r <= 0 || old <= value || vcpu->apic)
		return r;
	vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
	return 0;
}

static int mov_to_cr(struct kvm_vcpu *vcpu, int cr, unsigned long value)
{
	trace_kvm_cr(true, cr, value);
	switch (cr) {
	case 0:
		return complete_or_gp(vcpu, kvm_set_cr0(vcpu, value));
	case 3:
		return complete_or_gp(vcpu, kvm_set_cr3(vcpu, value));
	case 4:
		return complete_or_gp(vcpu, kvm_set_cr4(vcpu, value));
	default:
		return mov_to_cr8(vcpu, value);
	}
}

/* LMSW can set PE, but not clear it, and reaches only PE, MP, EM and TS. */
static int lmsw(struct kvm_vcpu *vcpu, unsigned long msw)
{
	const unsigned long bits = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM |
				   X86_CR0_TS;
	unsigned long cr0 = kvm_read_cr0(vcpu);

	msw |= cr0 & X86_CR0_PE;
	return mov_to_cr(vcpu, 0, (cr0 & ~bits) | (msw & bits));
}

static int handle_cr_access(struct kvm_vcpu *vcpu)
{
	unsigned long qual = exit_qualification(to_vmx(vcpu));
	int gpr = QUAL_CR_GPR(qual), cr = QUAL_CR_NUMBER(qual);
	unsigned long value;

	switch (QUAL_CR_TYPE(qual)) {
	case CR_TYPE_MOV_TO:
		return mov_to_cr(vcpu, cr, mov_operand(vcpu, gpr));
	case CR_TYPE_MOV_FROM:
		value = cr == 8 ? kvm_get_cr8(vcpu) : kvm_read_cr3(vcpu);
		trace_kvm_cr(false, cr, value);
		kvm_reg_write(vcpu, gpr, value);
		return vmx_skip_instruction(vcpu);
	case CR_TYPE_CLTS:
		return mov_to_cr(vcpu, 0, kvm_read_cr0(vcpu) & ~X86_CR0_TS);
	default:
		return lmsw(vcpu, QUAL_CR_LMSW_SOURCE(qual));
	}
}

#define DR7_GD		BIT(13)

static int handle_dr_access(struct kvm_vcpu *vcpu)
{
	unsigned long qual = exit_qualification(to_vmx(vcpu));
	int dr = QUAL_DR_NUMBER(qual), gpr = QUAL_DR_GPR(qual);

	/* Until the next exit that leaves vmx_run(), they are the guest's. */
	if (!vcpu->guest_debug) {
		ctl_set(to_vmx(vcpu), VMX_CTL_CPU_MOV_DR_EXITING, false);
		vcpu->switch_db_regs |= KVM_DEBUGREG_WONT_EXIT;
		return 1;
	}
	if ((dr == 4 || dr == 5) && (kvm_read_cr4(vcpu) & X86_CR4_DE))
		return handle_undefined(vcpu);
	if (vmx_get_cpl(vcpu))
		return inject_gp(vcpu);
	/* "General Detect Enable", the debugger's or the guest's. */
	if (vcpu->guest_debug_dr7 & DR7_GD)
		return debug_exit(vcpu, X86_TRAP_DB, QUAL_DB_BD);
	if (vcpu->dr7 & DR7_GD) {
		kvm_queue_db(vcpu, QUAL_DB_BD);
		return 1;
	}
	if (qual & QUAL_DR_MOV_FROM) {
		kvm_reg_write(vcpu, gpr, kvm_get_dr(vcpu, dr));
		return vmx_skip_instruction(vcpu);
	}
	return complete_or_gp(vcpu, kvm_set_dr(vcpu, dr,
					       mov_operand(vcpu, gpr)));
}

/* ---- exits: memory ------------------------------------------------------ */

/* An event whose delivery needs emulation, as of MMIO, cannot be had. */
static int delivery_failed(struct vcpu_vmx *vmx)
{
	u64 data[] = {
		vmx->idt_vectoring,
		vmx->exit_reason,
		exit_qualification(vmx),
		kvm_caps.ept ? vmcs_read64(GUEST_PHYSICAL_ADDRESS) : 0,
		raw_smp_processor_id(),
	};

	return kvm_internal_error(&vmx->vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV,
				  ARRAY_SIZE(data), data);
}

static int emulate_access(struct kvm_vcpu *vcpu, gpa_t gpa, u32 emultype)
{
	/* A stack in a page table: it is delivered once that is none. */
	if (unlikely(to_vmx(vcpu)->idt_vectoring & INTR_VALID))
		return kvm_mmu_unprotect(vcpu) ? 1 :
						 delivery_failed(to_vmx(vcpu));
	return kvm_emulate_instruction(vcpu, gpa, emultype);
}

/* Without EPT. The exit qualification is the address, which is not in CR2. */
static int handle_page_fault(struct kvm_vcpu *vcpu)
{
	u32 error_code = vmcs_read32(VM_EXIT_INTR_ERROR_CODE);
	int r = kvm_mmu_page_fault(vcpu, exit_qualification(to_vmx(vcpu)),
				   error_code);

	return r == KVM_PF_EMULATE ? emulate_access(vcpu, 0, 0) : r;
}

static int handle_invlpg(struct kvm_vcpu *vcpu)
{
	vcpu->stat.invlpg++;
	kvm_mmu_invlpg(vcpu, exit_qualification(to_vmx(vcpu)));
	return vmx_skip_instruction(vcpu);
}

static int handle_ept_violation(struct kvm_vcpu *vcpu)
{
	unsigned long qual = exit_qualification(to_vmx(vcpu));
	gpa_t gpa = vmcs_read64(GUEST_PHYSICAL_ADDRESS);
	u32 error_code = 0;
	int r;

	if (qual & QUAL_EPT_WRITE)
		error_code |= PFERR_WRITE;
	if (qual & QUAL_EPT_FETCH)
		error_code |= PFERR_FETCH;
	r = kvm_mmu_page_fault(vcpu, gpa, error_code);
	if (r != KVM_PF_EMULATE)
		return r;
	/* On the way to the data, in the guest's tables, gpa is an entry's. */
	return emulate_access(vcpu, gpa, qual & QUAL_EPT_TRANSLATED ?
					 EMULTYPE_PF : 0);
}

static int handle_ept_misconfig(struct kvm_vcpu *vcpu)
{
	gpa_t gpa = vmcs_read64(GUEST_PHYSICAL_ADDRESS);
	int r;

	if (likely(kvm_mmu_is_mmio(vcpu, gpa)))
		return emulate_access(vcpu, gpa, EMULTYPE_PF | EMULTYPE_MMIO);
	/* Stale: a slot was added since. What the access is, is not told. */
	r = kvm_mmu_page_fault(vcpu, gpa, 0);
	return r == KVM_PF_EMULATE ? emulate_access(vcpu, gpa, EMULTYPE_PF) : r;
}

static int handle_apic_access(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	gpa_t gpa = vmx_apic_accessed(vmx);

	if (access_can_be_skipped(vmx) && vmx_apic_eoi_written(vmx)) {
		kvm_apic_eoi(vcpu);
		return vmx_skip_instruction(vcpu);
	}
	/* A fetch, or the guest's tables: those who know look for themselves. */
	if (gpa == INVALID_GPA)
		return emulate_access(vcpu, 0, 0);
	return emulate_access(vcpu, gpa, EMULTYPE_PF | EMULTYPE_MMIO);
}

/* ---- no exit: a state that cannot be entered ---------------------------- */

/* Is there something that the run loop must see to before the next step? */
static bool emulation_interrupted(struct kvm_vcpu *vcpu)
{
	const struct kvm_events *ev = &vcpu->ev;
	const struct vcpu_vmx *vmx = to_vmx(vcpu);

	if (ev->exception.pending || ev->exception.injected ||
	    kvm_request_pending(vcpu) || __xfer_to_guest_mode_work_pending())
		return true;
	if ((vmx->vmcs.ctl[VMX_WORD_CPU] & CPU_INTR_WINDOW_EXITING) &&
	    vmx_interrupt_allowed(vcpu))
		return handle_interrupt_window(vcpu);
	if ((vmx->vmcs.ctl[VMX_WORD_CPU] & CPU_NMI_WINDOW_EXITING) &&
	    vmx_nmi_allowed(vcpu))
		return handle_nmi_window(vcpu);
	return false;
}

/*
 * Instructions at a time. The run loop's other duties, time accounting and
 * RCU, wait for so many.
 */
#define EMULATE_BATCH	128

static int handle_emulate(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	int i, r = 1;

	if (vmx->special & SPECIAL_EVENT) {
		vmx->special &= ~SPECIAL_EVENT;
		return kvm_emulate_event(vcpu);
	}
	for (i = 0; i < EMULATE_BATCH && r > 0; i++) {
		check_state(vmx);
		if (!(vmx->special & SPECIAL_EMULATE) ||
		    emulation_interrupted(vcpu))
			return 1;
		r = kvm_emulate_instruction(vcpu, 0, EMULTYPE_BEGIN);
	}
	return r;
}

/* ---- the exit table ----------------------------------------------------- */

static int handle_single_step(struct kvm_vcpu *vcpu)
{
	return single_step_trap(vcpu);
}

/* INT n, INT3, INTO and INT1: the event comes from an instruction. */
static bool delivers_software_event(const struct vcpu_vmx *vmx)
{
	const u32 type = vmx->idt_vectoring & INTR_TYPE;

	return (vmx->idt_vectoring & INTR_VALID) &&
	       (type == INTR_TYPE_SOFT_INTR ||
		type == INTR_TYPE_SOFT_EXCEPTION ||
		type == INTR_TYPE_PRIV_EXCEPTION);
}

/*
 * "Treatment of Task Switches": the gate and the TSS descriptor have been
 * checked, and nothing has been done yet.
 */
static int handle_task_switch(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	unsigned long qual = exit_qualification(vmx);
	enum qual_task_source source = QUAL_TASK_SOURCE(qual);
	unsigned int len = 0;

	if (source != TASK_SOURCE_GATE || delivers_software_event(vmx))
		len = vmcs_read32(VM_EXIT_INSN_LEN);
	return kvm_emulate_task_switch(vcpu, QUAL_TASK_SELECTOR(qual),
				       (enum kvm_task_source)source, len);
}

/*
 * By basic exit reason. 1: resume the guest; 0: kvm_run is filled in, go to
 * user space; negative: errno. CPUID, most hypercalls and all MSRs but a few
 * never get here.
 */
static int (* const exit_handlers[])(struct kvm_vcpu *vcpu) = {
	[EXIT_REASON_EXCEPTION_NMI]		= handle_exception_nmi,
	[EXIT_REASON_EXTERNAL_INTERRUPT]	= handle_external_interrupt,
	[EXIT_REASON_TRIPLE_FAULT]		= handle_triple_fault,
	[EXIT_REASON_INIT_SIGNAL]		= handle_ignored,
	[EXIT_REASON_INTERRUPT_WINDOW]		= handle_interrupt_window,
	[EXIT_REASON_NMI_WINDOW]		= handle_nmi_window,
	[EXIT_REASON_TASK_SWITCH]		= handle_task_switch,
	[EXIT_REASON_GETSEC]			= handle_undefined,
	[EXIT_REASON_HLT]			= handle_hlt,
	[EXIT_REASON_INVD]			= handle_nop,
	[EXIT_REASON_INVLPG]			= handle_invlpg,
	[EXIT_REASON_RDPMC]			= handle_rdpmc,
	[EXIT_REASON_RSM]			= handle_undefined,
	[EXIT_REASON_VMCLEAR]			= handle_undefined,
	[EXIT_REASON_VMLAUNCH]			= handle_undefined,
	[EXIT_REASON_VMPTRLD]			= handle_undefined,
	[EXIT_REASON_VMPTRST]			= handle_undefined,
	[EXIT_REASON_VMREAD]			= handle_undefined,
	[EXIT_REASON_VMRESUME]			= handle_undefined,
	[EXIT_REASON_VMWRITE]			= handle_undefined,
	[EXIT_REASON_VMXOFF]			= handle_undefined,
	[EXIT_REASON_VMXON]			= handle_undefined,
	[EXIT_REASON_VMCALL]			= handle_vmcall,
	[EXIT_REASON_CR_ACCESS]			= handle_cr_access,
	[EXIT_REASON_DR_ACCESS]			= handle_dr_access,
	[EXIT_REASON_IO_INSTRUCTION]		= handle_io,
	[EXIT_REASON_MSR_READ]			= handle_rdmsr,
	[EXIT_REASON_MSR_WRITE]			= handle_wrmsr,
	[EXIT_REASON_MWAIT_INSTRUCTION]		= handle_mwait,
	[EXIT_REASON_MONITOR_INSTRUCTION]	= handle_mwait,
	[EXIT_REASON_APIC_ACCESS]		= handle_apic_access,
	[EXIT_REASON_EPT_VIOLATION]		= handle_ept_violation,
	[EXIT_REASON_EPT_MISCONFIG]		= handle_ept_misconfig,
	[EXIT_REASON_INVEPT]			= handle_undefined,
	[EXIT_REASON_INVVPID]			= handle_undefined,
	[EXIT_REASON_WBINVD]			= handle_nop,
	[EXIT_REASON_PAUSE_INSTRUCTION]		= handle_pause,
	[EXIT_REASON_XSETBV]			= handle_xsetbv,
	[EXIT_REASON_PML_FULL]			= handle_ignored,
	[EXIT_REASON_VMFUNC]			= handle_undefined,
	[EXIT_REASON_ENCLS]			= handle_undefined,
	[EXIT_REASON_SEAMCALL]			= handle_undefined,
	[EXIT_REASON_TDCALL]			= handle_undefined,
	[EXIT_REASON_MSR_READ_IMM]		= handle_undefined,
	[EXIT_REASON_MSR_WRITE_IMM]		= handle_undefined,
	[EXIT_HANDLED]				= handle_ignored,
	[EXIT_SINGLE_STEP]			= handle_single_step,
	[EXIT_EMULATE]				= handle_emulate,
};

static int fail_entry(struct kvm_vcpu *vcpu, u64 reason)
{
	struct kvm_run *run = vcpu->run;

	vmx_explain_failure(vcpu, reason);
	/* The event that was to go in goes in next time, if there is one. */
	vmx_cancel_injection(vcpu);
	run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	run->fail_entry.hardware_entry_failure_reason = reason;
	run->fail_entry.cpu = to_vmx(vcpu)->vmcs.cpu;
	return 0;
}

static int unknown_exit(struct kvm_vcpu *vcpu, u32 reason)
{
	u64 data[] = { reason, raw_smp_processor_id() };

	pr_err_ratelimited("kvm: unexpected exit reason %#x\n", reason);
	return kvm_internal_error(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON,
				  ARRAY_SIZE(data), data);
}

static int dispatch_exit(struct kvm_vcpu *vcpu, u32 reason)
{
	switch (reason) {
	case EXIT_REASON_EPT_VIOLATION:
		return handle_ept_violation(vcpu);
	case EXIT_REASON_IO_INSTRUCTION:
		return handle_io(vcpu);
	case EXIT_REASON_EPT_MISCONFIG:
		return handle_ept_misconfig(vcpu);
	}
	reason &= EXIT_REASON_BASIC;
	if (reason >= ARRAY_SIZE(exit_handlers) || !exit_handlers[reason])
		return unknown_exit(vcpu, to_vmx(vcpu)->exit_reason);
	reason = array_index_nospec(reason, ARRAY_SIZE(exit_handlers));
	return exit_handlers[reason](vcpu);
}

static int vmx_handle_exit(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u32 reason = vmx->exit_reason;
	int r;

	if (unlikely(vmx->entry_error))
		return fail_entry(vcpu, vmx->entry_error == 1 ?
				  vmcs_read32(VM_INSTRUCTION_ERROR) : 0);
	if (unlikely(reason & EXIT_REASON_ENTRY_FAILED))
		return fail_entry(vcpu, reason);

	if (reason == EXIT_HANDLED)
		return 1;
	/* Greater ones are not the processor's. */
	vcpu->stat.slow_exits += reason < NR_EXIT_REASONS;
	/* Frequent, and looking at no guest memory. */
	switch (reason) {
	case EXIT_REASON_EXTERNAL_INTERRUPT:
		return handle_external_interrupt(vcpu);
	case EXIT_REASON_INTERRUPT_WINDOW:
		return handle_interrupt_window(vcpu);
	}
	kvm_vcpu_srcu_lock(vcpu);
	r = dispatch_exit(vcpu, reason);
	kvm_vcpu_srcu_unlock(vcpu);
	return r;
}

/* ---- a new VMCS --------------------------------------------------------- */

/* "Host-State Area": what is the same for every CPU and every vCPU. */
static void vmcs_init_host(struct vcpu_vmx *vmx)
{
	struct loaded_vmcs *vmcs = &vmx->vmcs;
	struct desc_ptr idt;

	vmcs_writel(HOST_CR0, read_cr0() & ~X86_CR0_TS);
	vmcs->host_cr3 = ~0ul;
	vmcs->host_cr4 = ~0ul;
	vmcs->host_rsp = 0;
	vmcs_write16(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write16(HOST_DS_SELECTOR, 0);
	vmcs_write16(HOST_ES_SELECTOR, 0);
	vmcs_write16(HOST_SS_SELECTOR, __KERNEL_DS);
	vmcs_write16(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_write16(HOST_FS_SELECTOR, 0);
	vmcs_write16(HOST_GS_SELECTOR, 0);
	vmcs_writel(HOST_FS_BASE, 0);
	vmcs_writel(HOST_GS_BASE, 0);
	store_idt(&idt);
	vmcs_writel(HOST_IDTR_BASE, idt.address);
	vmcs_writel(HOST_RIP, (unsigned long)vmx_exit_point);
	vmcs_write32(HOST_SYSENTER_CS, vmx_config.host_sysenter_cs);
	vmcs_writel(HOST_SYSENTER_EIP, vmx_config.host_sysenter_eip);
	if (vmx_has(VMX_CTL_EXIT_CTL_LOAD_PAT))
		vmcs_write64(HOST_PAT, vmx_config.host_pat);
	if (vmx_has(VMX_CTL_EXIT_CTL_LOAD_EFER))
		vmcs_write64(HOST_EFER, vmx_config.host_efer);
}

static void vmcs_init_controls(struct vcpu_vmx *vmx)
{
	static const enum vmx_control_word words[] = {
		VMX_WORD_PIN, VMX_WORD_CPU, VMX_WORD_CPU2,
		VMX_WORD_EXIT, VMX_WORD_ENTRY,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		u32 value = vmx_config.ctl[words[i]];

		/* Where the word is not active, its field does not exist. */
		if (words[i] == VMX_WORD_CPU2 &&
		    !vmx_has(VMX_CTL_CPU_ACTIVATE_SECONDARY))
			continue;
		vmx->vmcs.ctl[words[i]] = ~value;
		if (words[i] == VMX_WORD_CPU2 && !vmx->vpid)
			value &= ~CPU2_ENABLE_VPID;
		ctl_write(vmx, words[i], value);
	}
	vmcs_write32(PF_ERROR_CODE_MASK, 0);
	vmcs_write32(PF_ERROR_CODE_MATCH, 0);
	vmcs_write32(CR3_TARGET_COUNT, 0);
	vmcs_write32(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write32(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write32(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write64(VM_ENTRY_MSR_LOAD_ADDR, __pa(vmx->perf_guest));
	vmcs_write64(VM_EXIT_MSR_LOAD_ADDR, __pa(vmx->perf_host));
	vmcs_write64(MSR_BITMAP, __pa(vmx->msr_bitmap));
	vmcs_write64(VMCS_LINK_POINTER, ~0ull);
	vmx_apic_init_vmcs(vmx);
	if (vmx->vpid)
		vmcs_write16(VPID, vmx->vpid);
	if (vmx_has(VMX_CTL_CPU2_ENABLE_XSAVES))
		vmcs_write64(XSS_EXITING_BITMAP, 0);
	if (vmx_has(VMX_CTL_CPU2_PAUSE_LOOP_EXITING)) {
		vmx->ple_window = ple_window;
		vmcs_write32(PLE_GAP, ple_gap);
		vmcs_write32(PLE_WINDOW, ple_window);
	}
	if (vmx->pml) {
		vmcs_write64(PML_ADDRESS, __pa(vmx->pml));
		vmcs_write16(PML_INDEX, PML_ENTRIES - 1);
	}
	if (vmx_has(VMX_CTL_CPU2_ENCLS_EXITING))
		vmcs_write64(ENCLS_EXITING_BITMAP, ~0ull);
	vmx->vcpu.cr0_guest_owned = CR0_GUEST_OWNED;
	if (!kvm_caps.ept)
		vmx->vcpu.cr0_guest_owned &= ~CR0_SHADOW;
	vmcs_writel(CR0_GUEST_HOST_MASK, ~vmx->vcpu.cr0_guest_owned);
	/* Its CR4 counterpart follows what CPUID says: vmx_set_cr4(). */
	vmx->vcpu.cr4_guest_owned = ~0ul;
}

/* "Processor State After Reset", segment registers. */
static void reset_segment(struct kvm_vcpu *vcpu, enum kvm_seg seg, u8 type,
			  u16 selector, u64 base)
{
	const struct kvm_segment var = {
		.base = base, .limit = 0xffff, .selector = selector,
		.type = type, .present = 1, .s = seg <= VCPU_SEG_GS,
	};

	vmx_set_segment(vcpu, &var, seg);
}

static void vmx_vcpu_reset(struct kvm_vcpu *vcpu, bool init)
{
	const struct kvm_dtable dt = { .limit = 0xffff };
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	int seg;

	for (seg = VCPU_SEG_ES; seg <= VCPU_SEG_GS; seg++)
		reset_segment(vcpu, seg, 3, 0, 0);
	reset_segment(vcpu, VCPU_SEG_CS, 11, 0xf000, 0xffff0000);
	reset_segment(vcpu, VCPU_SEG_LDTR, 2, 0, 0);
	reset_segment(vcpu, VCPU_SEG_TR, 11, 0, 0);
	vmx_set_gdt(vcpu, &dt);
	vmx_set_idt(vcpu, &dt);

	vmx_set_rflags(vcpu, X86_EFLAGS_FIXED);
	vmx_set_cr0(vcpu, X86_CR0_NW | X86_CR0_CD | X86_CR0_ET);
	vmx_set_cr4(vcpu, 0);
	vmx_set_efer(vcpu, 0);

	vmcs_write32(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
	vmcs_write32(GUEST_INTERRUPTIBILITY, 0);
	vmcs_writel(GUEST_PENDING_DBG, 0);
	vmcs_write64(GUEST_DEBUGCTL, 0);
	if (vmx_has(VMX_CTL_ENTRY_CTL_LOAD_PAT))
		vmcs_write64(GUEST_PAT, vcpu->msr.pat);
	vmcs_write32(VM_ENTRY_INTR_INFO, 0);
	vmx->event_in_entry = false;
	ctl_set(vmx, VMX_CTL_CPU_INTR_WINDOW_EXITING, false);
	ctl_set(vmx, VMX_CTL_CPU_NMI_WINDOW_EXITING, false);
	update_exception_bitmap(vcpu);
	vmx_apic_mode(vcpu);
	if (init)
		return;
	vmcs_write32(GUEST_SYSENTER_CS, 0);
	vmcs_writel(GUEST_SYSENTER_ESP, 0);
	vmcs_writel(GUEST_SYSENTER_EIP, 0);
}

static void vmx_free_pages(struct vcpu_vmx *vmx)
{
	vmx_apic_free(vmx);
	vmx_free_region(vmx->vmcs.region);
	free_page((unsigned long)vmx->msr_bitmap);
	free_page((unsigned long)vmx->pml);
}

static int vmx_alloc_pages(struct vcpu_vmx *vmx)
{
	vmx->vmcs.region = vmx_alloc_region(raw_smp_processor_id(),
					    GFP_KERNEL_ACCOUNT);
	vmx->msr_bitmap = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (kvm_caps.pml)
		vmx->pml = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (vmx->vmcs.region && vmx->msr_bitmap &&
	    (!kvm_caps.pml || vmx->pml) &&
	    (!kvm_irqchip_in_kernel(vmx->vcpu.kvm) || !vmx_apic_create(vmx)))
		return 0;
	vmx_free_pages(vmx);
	return -ENOMEM;
}

static int vmx_vcpu_create(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	int r;

	if (kvm_caps.ept && !kvm_caps.unrestricted_guest) {
		r = vmx_rmode_add_identity_map(vcpu->kvm);
		if (r)
			return r;
	}
	r = vmx_alloc_pages(vmx);
	if (r)
		return r;
	vmx->vpid = vpid_alloc();
	vmcs_forget(&vmx->vmcs);
	msr_bitmap_init(vmx);

	/* The region's contents are undefined until VMCLEAR. */
	preempt_disable();
	vmclear(__pa(vmx->vmcs.region));
	vmcs_load(vcpu, &vmx->vmcs, smp_processor_id());
	vmcs_init_controls(vmx);
	vmcs_init_host(vmx);
	preempt_enable();
	return 0;
}

static void vmx_vcpu_free(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	vmcs_clear(&vmx->vmcs);
	vpid_free(vmx->vpid);
	vmx_free_pages(vmx);
}

static int vmx_vm_init(struct kvm *kvm)
{
	return 0;
}

static void vmx_vm_destroy(struct kvm *kvm)
{
	vmx_apic_vm_free(kvm);
}

static int vmx_set_tss_addr(struct kvm *kvm, unsigned long addr)
{
	if (kvm_caps.unrestricted_guest || !addr)
		return 0;
	return vmx_rmode_add_tss(kvm, addr);
}

/* ---- hardware ----------------------------------------------------------- */

static int vmx_cpu_enable(void)
{
	int r;

	INIT_LIST_HEAD(this_cpu_ptr(&loaded_vmcss));
	this_cpu_write(current_vmcs, NULL);
	user_msrs_cpu_init();
	r = vmx_cpu_on();
	/* Leftovers of whoever was here before. */
	if (!r && (vmx_config.ept_vpid & EPTCAP_INVEPT_ALL))
		invept(INVEPT_ALL, 0);
	if (!r && kvm_caps.vpid && (vmx_config.ept_vpid & VPIDCAP_INVVPID_ALL))
		invvpid(INVVPID_ALL, 0, 0);
	return r;
}

static void vmx_cpu_disable(void)
{
	struct user_msrs_cpu *c = this_cpu_ptr(&user_msrs_cpu);

	vmcs_clear_all_here();
	vmx_cpu_off();
	if (c->registered)
		user_msrs_on_return(&c->notifier);
}

static int __init vmx_hardware_setup(void)
{
	int r, cpu;

	r = vmx_caps_setup();
	if (r)
		return r;
	for_each_possible_cpu(cpu)
		INIT_LIST_HEAD(per_cpu_ptr(&loaded_vmcss, cpu));
	r = vmx_regions_alloc();
	if (r)
		return r;
	r = vmx_mitigations_setup();
	if (r) {
		vmx_regions_free();
		return r;
	}
	compat_register_emergency(emergency_clear);
	return 0;
}

static void vmx_hardware_unsetup(void)
{
	vmcsinfo_exit();
	compat_unregister_emergency(emergency_clear);
	vmx_mitigations_unsetup();
	vmx_regions_free();
}

static void vmx_vcpu_debugfs(struct kvm_vcpu *vcpu, struct dentry *dir)
{
	vmx_explain_debugfs(vcpu, dir);
	vmx_view_debugfs(vcpu, dir);
}

const struct kvm_backend vmx_backend = {
	.name = "VT-x",
	.hardware_setup = vmx_hardware_setup,
	.hardware_unsetup = vmx_hardware_unsetup,
	.report = vmx_caps_report,
	.sysfs_groups = vmcsinfo_groups,
	.exit_names = vmx_exit_names,
	.nr_exit_names = NR_EXIT_REASONS,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vm_init = vmx_vm_init,
	.vm_destroy = vmx_vm_destroy,
	.set_tss_addr = vmx_set_tss_addr,
	.vcpu_size = sizeof(struct vcpu_vmx),
	.vcpu_create = vmx_vcpu_create,
	.vcpu_free = vmx_vcpu_free,
	.vcpu_debugfs = vmx_vcpu_debugfs,
	.handle_request = vmx_view_request,
	.get_vmcs = vmx_get_vmcs,
	.get_entry_failure = vmx_get_entry_failure,
	.vcpu_reset = vmx_vcpu_reset,
	.vcpu_load = vmx_vcpu_load,
	.vcpu_put = vmx_vcpu_put,
	.prepare_switch = vmx_prepare_switch,
	.run = vmx_run,
	.handle_exit_irqoff = vmx_handle_exit_irqoff,
	.handle_exit = vmx_handle_exit,
	.exit_info = vmx_exit_info,
	.cancel_injection = vmx_cancel_injection,
	.cache_reg = vmx_cache_reg,
	.get_rflags = vmx_get_rflags,
	.set_rflags = vmx_set_rflags,
	.get_segment = vmx_get_segment,
	.set_segment = vmx_set_segment,
	.get_cpl = vmx_get_cpl,
	.get_cs_db_l = vmx_get_cs_db_l,
	.get_gdt = vmx_get_gdt,
	.set_gdt = vmx_set_gdt,
	.get_idt = vmx_get_idt,
	.set_idt = vmx_set_idt,
	.set_cr0 = vmx_set_cr0,
	.set_cr4 = vmx_set_cr4,
	.cr4_allowed = vmx_cr4_allowed,
	.set_efer = vmx_set_efer,
	.set_dr7 = vmx_set_dr7,
	.update_debug = vmx_update_debug,
	.sync_debug_regs = vmx_sync_debug_regs,
	.set_root = vmx_set_root,
	.set_dirty_logging = vmx_set_dirty_logging,
	.get_msr = vmx_get_msr,
	.set_msr = vmx_set_msr,
	.set_tsc = vmx_set_tsc,
	.cpuid_changed = vmx_cpuid_changed,
	.get_interrupt_shadow = vmx_get_interrupt_shadow,
	.set_interrupt_shadow = vmx_set_interrupt_shadow,
	.interrupt_allowed = vmx_interrupt_allowed,
	.nmi_allowed = vmx_nmi_allowed,
	.get_nmi_masked = vmx_get_nmi_masked,
	.set_nmi_masked = vmx_set_nmi_masked,
	.inject_exception = vmx_inject_exception,
	.inject_interrupt = vmx_inject_interrupt,
	.inject_nmi = vmx_inject_nmi,
	.enable_irq_window = vmx_enable_irq_window,
	.enable_nmi_window = vmx_enable_nmi_window,
	.skip_instruction = vmx_skip_instruction,
	.flush_tlb = vmx_flush_tlb,
	.flush_tlb_guest = vmx_flush_tlb_guest,
	.flush_tlb_gva = vmx_flush_tlb_gva,
	.msr_filter_changed = vmx_msr_filter_changed,
	.apic_mode = vmx_apic_mode,
	.apic_tpr_threshold = vmx_apic_tpr_threshold,
	.apic_post = vmx_apic_post,
	.apic_take_posted = vmx_apic_take_posted,
	.apic_has_posted = vmx_apic_has_posted,
	.apic_reload = vmx_apic_reload,
	.apic_eoi_exits = vmx_apic_eoi_exits,
	.set_timer = vmx_set_timer,
	.cancel_timer = vmx_cancel_timer,
};
