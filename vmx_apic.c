// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmx_apic.c - what VT-x does for local APICs in the kernel, so that the guest
 * need not exit: TPR shadow, APIC-access page, x2APIC registers, delivery of
 * virtual interrupts, posted interrupts; and the VMX-preemption timer, which
 * is the guest's APIC timer while it runs.
 *
 * The local APIC itself is irqchip/lapic.c, whose page of registers is the
 * virtual-APIC page; which control is in use when is said here. With
 * vcpu->apicv_active, that is from creation to the end, a vector on its way to
 * a vCPU stands in three places, one after the other: in the descriptor of
 * posted interrupts, where anyone puts it; in IRR of the page; in ISR. The
 * processor moves it from the first to the second when it is notified in the
 * guest, and to the third always. Outside of the guest, software does the
 * first step, at the latest before an entry.
 *
 * Locking: all belongs to the vCPU's thread but the descriptor, whose words
 * are atomic. It pairs with vcpu->mode: who posts sets a bit and ON, then
 * looks whether the vCPU is in the guest, and notifies it; who enters says so,
 * then looks at ON.
 *
 * SDM: "APIC Virtualization and Virtual Interrupts", "VMX-Preemption Timer".
 */
#include <linux/bitmap.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/smp.h>
#include <asm/apicdef.h>
#include <asm/msr.h>

#include "include/compat.h"
#include "include/compat_apic.h"
#include "kvm.h"
#include "vmx_apic.h"

static bool timer_advance = true;
module_param(timer_advance, bool, 0444);
MODULE_PARM_DESC(timer_advance,
		 "Exits for the guest's timer come before the time, as learnt");

#define ADVANCE_STEPS		8

/* ---- life --------------------------------------------------------------- */

/* kvm->backend is the APIC-access page, which holds nothing. */
static int create_access_page(struct kvm *kvm)
{
	struct page *page;
	int r;

	if (!vmx_config.apic_access || kvm->backend)
		return 0;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return -ENOMEM;
	r = kvm_mmu_apic_page_create(kvm, page);
	if (r)
		__free_page(page);
	else
		kvm->backend = page;
	return r;
}

void vmx_apic_vm_free(struct kvm *kvm)
{
	if (kvm->backend)
		__free_page(kvm->backend);
}

/*
 * The descriptor has a page to itself: 64 bytes would do, but there are
 * emulated processors, Debian 12's Bochs among them, that want a page.
 */
int vmx_apic_create(struct vcpu_vmx *vmx)
{
	int r = create_access_page(vmx->vcpu.kvm);

	if (r || !kvm_caps.apicv)
		return r;
	vmx->posted = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->posted)
		return -ENOMEM;
	vmx->vcpu.apicv_active = true;
	vmx->apic_entry = APIC_ENTRY_POSTED;
	return 0;
}

void vmx_apic_free(struct vcpu_vmx *vmx)
{
	free_page((unsigned long)vmx->posted);
}

static void init_delivery(struct vcpu_vmx *vmx)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(vmx->eoi_exits); i++)
		vmcs_write64(EOI_EXIT_BITMAP0 + 2 * i, 0);
	vmcs_write16(GUEST_INTR_STATUS, 0);
	vmcs_write64(POSTED_INTR_DESC_ADDR, __pa(vmx->posted));
	vmcs_write16(POSTED_INTR_NV, COMPAT_POSTED_VECTOR);
	ctl_set(vmx, VMX_CTL_EXIT_CTL_ACK_INTR, true);
}

/* Longer than any entry lasts. */
#define TIMER_IDLE	U32_MAX

void vmx_apic_init_vmcs(struct vcpu_vmx *vmx)
{
	struct kvm *kvm = vmx->vcpu.kvm;

	if (kvm_caps.preemption_timer)
		vmcs_write32(PREEMPTION_TIMER_VALUE, TIMER_IDLE);
	if (kvm->backend)
		vmcs_write64(APIC_ACCESS_ADDR,
			     page_to_phys((struct page *)kvm->backend));
	if (vmx->posted)
		init_delivery(vmx);
}

/* ---- modes -------------------------------------------------------------- */

#define APIC_BASE_MSR		0x800
#define X2APIC_MSR(offset)	(APIC_BASE_MSR + ((offset) >> 4))

/* Registers that the processor reads from the page as RDMSR would find them. */
static bool x2apic_readable(unsigned int offset)
{
	switch (offset) {
	case APIC_ID:
	case APIC_LVR:
	case APIC_TASKPRI:
	case APIC_PROCPRI:
	case APIC_LDR:
	case APIC_SPIV:
	case APIC_ISR ... APIC_ISR + 0x70:
	case APIC_TMR ... APIC_TMR + 0x70:
	case APIC_IRR ... APIC_IRR + 0x70:
	case APIC_ESR:
	case APIC_LVTT ... APIC_LVTERR:
	case APIC_TMICT:
	case APIC_TDCR:
		return true;
	default:
		return false;
	}
}

/* The processor delivers interrupts, unless a debugger wants none. */
static bool delivers(const struct kvm_vcpu *vcpu)
{
	return vcpu->apicv_active &&
	       !(vcpu->guest_debug & KVM_GUESTDBG_BLOCKIRQ);
}

/*
 * "MSR Accesses" of virtualised x2APIC mode: what is not intercepted is done
 * in the page, if the processor knows how, and in the host's APIC if not.
 */
static void update_msr_bitmap(struct vcpu_vmx *vmx, bool virtual)
{
	const bool all = virtual && delivers(&vmx->vcpu);
	unsigned int offset;

	for (offset = 0; offset < 0x1000; offset += 0x10)
		vmx_msr_intercept(vmx, X2APIC_MSR(offset), MSR_READ,
				  !all || !x2apic_readable(offset));
	vmx_msr_intercept(vmx, X2APIC_MSR(APIC_TASKPRI), MSR_READ | MSR_WRITE,
			  !virtual);
	vmx_msr_intercept(vmx, X2APIC_MSR(APIC_EOI), MSR_WRITE, !all);
	vmx_msr_intercept(vmx, X2APIC_MSR(APIC_SELF_IPI), MSR_WRITE, !all);
}

#define APIC_CONTROLS	(CPU2_VIRTUALIZE_APIC | CPU2_VIRTUALIZE_X2APIC | \
			 CPU2_APIC_REGISTER_VIRT | CPU2_VIRTUAL_INTR_DELIVERY)

/* Of the secondary controls, those that go with the APIC's mode. */
static u32 mode_controls(const struct kvm_vcpu *vcpu)
{
	const u64 base = vcpu->msr.apic_base;
	u32 controls = 0;

	if (!kvm_caps.tpr_shadow)
		return 0;
	if (delivers(vcpu))
		controls = CPU2_APIC_REGISTER_VIRT | CPU2_VIRTUAL_INTR_DELIVERY;
	if (!(base & MSR_IA32_APICBASE_ENABLE))
		return controls;
	if (base & X2APIC_ENABLE)
		return vmx_config.x2apic ? controls | CPU2_VIRTUALIZE_X2APIC :
					   controls;
	if (vcpu->kvm->apic_slot &&
	    (base & MSR_IA32_APICBASE_BASE) == APIC_DEFAULT_PHYS_BASE)
		controls |= CPU2_VIRTUALIZE_APIC;
	return controls;
}

/*
 * The vCPUs of a VM share their tables, so the APIC-access page is mapped only
 * where all of them have it as their APIC. "Guidelines for Use of the INVEPT
 * Instruction": translations may be cached as if it were another page.
 */
static void update_access_page(struct vcpu_vmx *vmx, bool here)
{
	if (!vmx->vcpu.kvm->apic_slot || vmx->apic_elsewhere != here)
		return;
	vmx->apic_elsewhere = !here;
	kvm_mmu_apic_page_inhibit(vmx->vcpu.kvm, !here);
	kvm_make_request(&vmx->vcpu, KVM_REQ_TLB_FLUSH);
}

void vmx_apic_mode(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u32 controls, old;

	if (!vcpu->apic)
		return;
	controls = mode_controls(vcpu);
	old = vmx->vmcs.ctl[VMX_WORD_CPU2] & APIC_CONTROLS;
	if (kvm_caps.tpr_shadow) {
		vmcs_write64(VIRTUAL_APIC_ADDR, __pa(kvm_apic_regs(vcpu)));
		vmcs_write32(TPR_THRESHOLD, 0);
		vmx->tpr_threshold = 0;
		ctl_set(vmx, VMX_CTL_CPU_TPR_SHADOW, true);
		ctl_set(vmx, VMX_CTL_CPU_CR8_LOAD_EXITING, false);
		ctl_set(vmx, VMX_CTL_CPU_CR8_STORE_EXITING, false);
	}
	if (old != controls) {
		ctl_write(vmx, VMX_WORD_CPU2, controls |
			  (vmx->vmcs.ctl[VMX_WORD_CPU2] & ~APIC_CONTROLS));
		update_msr_bitmap(vmx, controls & CPU2_VIRTUALIZE_X2APIC);
	}
	update_access_page(vmx, controls & CPU2_VIRTUALIZE_APIC);
	if (!vcpu->apicv_active)
		return;
	ctl_set(vmx, VMX_CTL_PIN_POSTED_INTR, delivers(vcpu));
	vmx_apic_reload(vcpu);
}

/*
 * "TPR Virtualization" without delivery of virtual interrupts. "VM-Execution
 * Control Fields": the threshold must not be above the TPR, so there is
 * nothing to wait for where it is that low already.
 */
void vmx_apic_tpr_threshold(struct kvm_vcpu *vcpu, int threshold)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u8 tpr;

	if (!kvm_caps.tpr_shadow || vcpu->apicv_active)
		return;
	tpr = *(u8 *)(kvm_apic_regs(vcpu) + APIC_TASKPRI);
	if (threshold < 0 || threshold > tpr >> 4)
		threshold = 0;
	if (vmx->tpr_threshold == threshold)
		return;
	vmx->tpr_threshold = threshold;
	vmcs_write32(TPR_THRESHOLD, threshold);
}

/* ---- delivery of virtual interrupts -------------------------------------- */

static u32 *irr_word(struct kvm_vcpu *vcpu, int word)
{
	return kvm_apic_word(kvm_apic_regs(vcpu), APIC_IRR, word);
}

/* For "Guest Interrupt Status": 0, which is no legal vector, for none. */
static u8 or_0(int vector)
{
	return max(vector, 0);
}

/* RVI, the highest in IRR, and SVI, in ISR. */
static void write_status(struct vcpu_vmx *vmx, u8 rvi, u8 svi)
{
	u16 status = svi << 8 | rvi;

	if (vmcs_read16(GUEST_INTR_STATUS) != status)
		vmcs_write16(GUEST_INTR_STATUS, status);
}

void vmx_apic_reload(struct kvm_vcpu *vcpu)
{
	void *regs = kvm_apic_regs(vcpu);

	write_status(to_vmx(vcpu), or_0(kvm_apic_highest(regs, APIC_IRR)),
		     or_0(kvm_apic_highest(regs, APIC_ISR)));
}

/* A cached copy of each quarter tells what the VMCS has. */
void vmx_apic_eoi_exits(struct kvm_vcpu *vcpu, const unsigned long *bitmap)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	int i;

	if (!vmx->posted)
		return;
	for (i = 0; i < ARRAY_SIZE(vmx->eoi_exits); i++) {
		if (vmx->eoi_exits[i] == bitmap[i])
			continue;
		vmx->eoi_exits[i] = bitmap[i];
		vmcs_write64(EOI_EXIT_BITMAP0 + 2 * i, bitmap[i]);
	}
}

/* ---- posted interrupts -------------------------------------------------- */

/*
 * A vCPU that is loaded on this CPU is not in the guest now: it is either the
 * caller itself, or interrupted. In both cases it will look again. One that
 * has left the guest since is notified for nothing: the host's handler of the
 * vector does nothing, and so does the next guest there.
 */
static void notify(struct kvm_vcpu *vcpu)
{
	int here = get_cpu(), cpu = READ_ONCE(vcpu->cpu);

	if (READ_ONCE(vcpu->mode) == IN_GUEST_MODE && cpu != here && cpu >= 0)
		compat_send_posted_notification(cpu);
	put_cpu();
}

/* An IPI to itself, in the inner loop: IRR is its own. */
static bool accept_own(struct vcpu_vmx *vmx, u8 vector)
{
	u32 *word = irr_word(&vmx->vcpu, vector / 32);
	u16 status;

	if (*word & BIT(vector % 32))
		return false;
	*word |= BIT(vector % 32);
	status = vmcs_read16(GUEST_INTR_STATUS);
	if (vector > (status & 0xff))
		vmcs_write16(GUEST_INTR_STATUS, (status & 0xff00) | vector);
	return true;
}

/* Interrupts are off in guest mode, so it cannot be anyone else here. */
static bool in_own_loop(const struct kvm_vcpu *vcpu)
{
	return irqs_disabled() && READ_ONCE(vcpu->mode) == IN_GUEST_MODE &&
	       READ_ONCE(vcpu->cpu) == raw_smp_processor_id();
}

bool vmx_apic_post(struct kvm_vcpu *vcpu, u8 vector)
{
	struct vmx_posted *posted = to_vmx(vcpu)->posted;

	if (in_own_loop(vcpu))
		return accept_own(to_vmx(vcpu), vector);
	if (test_and_set_bit(vector, posted->requests))
		return false;
	if (!test_and_set_bit(POSTED_ON, &posted->control))
		notify(vcpu);
	return true;
}

bool vmx_apic_has_posted(struct kvm_vcpu *vcpu)
{
	const struct vmx_posted *posted = to_vmx(vcpu)->posted;

	return posted && READ_ONCE(posted->control);
}

/* One word of requests into the two of IRR that it has the vectors of. */
static void take_word(struct kvm_vcpu *vcpu, int i)
{
	unsigned long *word = &to_vmx(vcpu)->posted->requests[i];
	unsigned long bits = READ_ONCE(*word) ? xchg(word, 0) : 0;

	if (lower_32_bits(bits))
		*irr_word(vcpu, 2 * i) |= lower_32_bits(bits);
	if (upper_32_bits(bits))
		*irr_word(vcpu, 2 * i + 1) |= upper_32_bits(bits);
}

int vmx_apic_take_posted(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	bool posted = vmx->posted && READ_ONCE(vmx->posted->control);
	int highest, i;

	if (posted) {
		clear_bit(POSTED_ON, &vmx->posted->control);
		smp_mb__after_atomic();
		for (i = 0; i < ARRAY_SIZE(vmx->posted->requests); i++)
			take_word(vcpu, i);
	}
	highest = kvm_apic_highest(kvm_apic_regs(vcpu), APIC_IRR);
	if (posted)
		write_status(vmx, or_0(highest),
			     vmcs_read16(GUEST_INTR_STATUS) >> 8);
	return highest;
}

/* ---- the VMX-preemption timer ------------------------------------------- */

static unsigned int timer_shift(void)
{
	return VMXCAP_MISC_TIMER_SHIFT(vmx_host_caps.misc);
}

/* Ticks of the host's TSC for so many of the guest's; U64_MAX: too many. */
static u64 host_ticks(const struct kvm_vcpu *vcpu, u64 ticks)
{
	if (!vcpu->tsc_ratio)
		return ticks;
	if (ticks >> 63)
		return U64_MAX;
	if (mul_u64_u64_shr(ticks, 1ull << kvm_caps.tsc_ratio_frac_bits, 64) >=
	    vcpu->tsc_ratio)
		return U64_MAX;
	return mul_u64_u64_div_u64(ticks, 1ull << kvm_caps.tsc_ratio_frac_bits,
				   vcpu->tsc_ratio) + 1;
}

/*
 * The count is loaded at each entry, so it is good for any time; but it has 32
 * bits. Once used, the control stays on, with a count that is never reached.
 */
bool vmx_set_timer(struct kvm_vcpu *vcpu, u64 now, u64 tsc)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u64 ticks;

	if (!kvm_caps.preemption_timer)
		return false;
	ticks = host_ticks(vcpu, tsc - now);
	if (ticks >> timer_shift() >= TIMER_IDLE - 1)
		return false;
	vmx->timer_deadline = vcpu->tsc_ratio ? rdtsc() + ticks :
						tsc - vcpu->tsc_offset;
	vmx->apic_entry |= APIC_ENTRY_TIMER;
	ctl_set(vmx, VMX_CTL_PIN_PREEMPTION_TIMER, true);
	return true;
}

void vmx_cancel_timer(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	if (!(vmx->apic_entry & APIC_ENTRY_TIMER))
		return;
	vmx->apic_entry &= ~APIC_ENTRY_TIMER;
	vmcs_write32(PREEMPTION_TIMER_VALUE, TIMER_IDLE);
}

/*
 * The timer ticks when a certain bit of the TSC changes. It fires at the first
 * tick that is not before the deadline, less what the way back takes.
 */
static void load_timer(struct vcpu_vmx *vmx)
{
	const unsigned int shift = timer_shift();
	const u64 mask = BIT_ULL(shift) - 1;
	u64 now = rdtsc(), deadline = vmx->timer_deadline - vmx->timer_advance;

	vmcs_write32(PREEMPTION_TIMER_VALUE, deadline <= now ? 0 :
		     ((deadline + mask) >> shift) - (now >> shift));
}

static void timer_expired(struct vcpu_vmx *vmx)
{
	if (!(vmx->apic_entry & APIC_ENTRY_TIMER))
		return;
	vmx_cancel_timer(&vmx->vcpu);
	vmx->timer_due = vmx->timer_deadline;
	vmx->apic_entry |= APIC_ENTRY_WAIT;
	kvm_apic_hw_timer_fired(&vmx->vcpu);
}

/* Five microseconds. */
static s64 advance_limit(void)
{
	return tsc_khz / 200;
}

/*
 * `early`: how long before the time the guest could have gone on. By steps, as
 * one time is not like the other; and what is far off was no way back, but
 * something else that the host had to do.
 */
static void learn_advance(struct vcpu_vmx *vmx, s64 early)
{
	s64 advance = vmx->timer_advance - early / ADVANCE_STEPS;

	if (timer_advance && abs(early) <= 2 * advance_limit())
		vmx->timer_advance = clamp_t(s64, advance, 0, advance_limit());
}

/*
 * The guest asked to be interrupted at a certain time, and so it is: no sooner,
 * and not later by the way from the exit to here. Interrupts are off, but not
 * for longer than the limit.
 */
static void wait_until_due(struct vcpu_vmx *vmx)
{
	s64 early = vmx->timer_due - rdtsc();

	vmx->apic_entry &= ~APIC_ENTRY_WAIT;
	learn_advance(vmx, early);
	if (early > advance_limit())
		return;
	while ((s64)(vmx->timer_due - rdtsc()) > 0)
		cpu_relax();
}

/* ---- entry -------------------------------------------------------------- */

void vmx_apic_enter(struct vcpu_vmx *vmx)
{
	if (vmx->posted && READ_ONCE(vmx->posted->control))
		vmx_apic_take_posted(&vmx->vcpu);
	if (vmx->apic_entry & APIC_ENTRY_WAIT)
		wait_until_due(vmx);
	if (vmx->apic_entry & APIC_ENTRY_TIMER)
		load_timer(vmx);
}

/* ---- exits -------------------------------------------------------------- */

/* "APIC-Write VM Exits": the register that the access falls into. */
static unsigned int written_register(struct vcpu_vmx *vmx)
{
	return QUAL_APIC_OFFSET(exit_qualification(vmx)) & ~0xfu;
}

void vmx_apic_exit(struct vcpu_vmx *vmx)
{
	struct kvm_vcpu *vcpu = &vmx->vcpu;

	switch (vmx->exit_reason) {
	case EXIT_REASON_PREEMPTION_TIMER:
		timer_expired(vmx);
		break;
	case EXIT_REASON_EOI_INDUCED:
		kvm_apic_eoi_trapped(vcpu, exit_qualification(vmx));
		break;
	case EXIT_REASON_APIC_WRITE:
		kvm_apic_write_trapped(vcpu, written_register(vmx));
		break;
	case EXIT_REASON_TPR_BELOW_THRESHOLD:
		kvm_apic_tpr_changed(vcpu);
		break;
	}
}

gpa_t vmx_apic_accessed(struct vcpu_vmx *vmx)
{
	unsigned long qual = exit_qualification(vmx);
	enum qual_apic_type type = QUAL_APIC_TYPE(qual);

	if (type != APIC_TYPE_READ && type != APIC_TYPE_WRITE)
		return INVALID_GPA;
	return APIC_DEFAULT_PHYS_BASE + QUAL_APIC_OFFSET(qual);
}

bool vmx_apic_eoi_written(struct vcpu_vmx *vmx)
{
	unsigned long qual = exit_qualification(vmx);

	return QUAL_APIC_TYPE(qual) == APIC_TYPE_WRITE &&
	       QUAL_APIC_OFFSET(qual) == APIC_EOI;
}
