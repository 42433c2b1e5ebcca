// SPDX-License-Identifier: GPL-2.0-only
/*
 * state.c - a vCPU's state as the monitor reads and writes it: the structures
 * of KVM_GET_REGS, KVM_GET_SREGS and their kin, translated to and from the
 * fields of struct kvm_vcpu and the backend's registers.
 *
 * Every setter checks its whole argument first and then changes everything,
 * so that a failed ioctl changes nothing. What is checked is what could not be
 * loaded into a processor, or not into this one; a state that loads but that
 * VM entry refuses is reported by KVM_RUN.
 *
 * Locking: vcpu->mutex; the vCPU is loaded and not running, so that its FPU
 * registers are in guest_fpu. SRCU is taken here where guest memory is read.
 *
 * SDM: "Checks on Guest Control Registers, Debug Registers, and MSRs",
 * "Checks on Guest Segment Registers", "Debug Registers".
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/debugreg.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "include/compat.h"
#include "kvm.h"

/* ---- general registers -------------------------------------------------- */

/* Bits of RFLAGS that are not always 0. */
#define RFLAGS_BITS	GENMASK(21, 0)
#define RFLAGS_ZERO	(BIT(3) | BIT(5) | BIT(15))

int kvm_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs)
{
	*regs = (struct kvm_regs) {
		.rax = kvm_reg_read(vcpu, VCPU_RAX),
		.rbx = kvm_reg_read(vcpu, VCPU_RBX),
		.rcx = kvm_reg_read(vcpu, VCPU_RCX),
		.rdx = kvm_reg_read(vcpu, VCPU_RDX),
		.rsi = kvm_reg_read(vcpu, VCPU_RSI),
		.rdi = kvm_reg_read(vcpu, VCPU_RDI),
		.rsp = kvm_reg_read(vcpu, VCPU_RSP),
		.rbp = kvm_reg_read(vcpu, VCPU_RBP),
		.r8 = kvm_reg_read(vcpu, VCPU_R8),
		.r9 = kvm_reg_read(vcpu, VCPU_R9),
		.r10 = kvm_reg_read(vcpu, VCPU_R10),
		.r11 = kvm_reg_read(vcpu, VCPU_R11),
		.r12 = kvm_reg_read(vcpu, VCPU_R12),
		.r13 = kvm_reg_read(vcpu, VCPU_R13),
		.r14 = kvm_reg_read(vcpu, VCPU_R14),
		.r15 = kvm_reg_read(vcpu, VCPU_R15),
		.rip = kvm_rip_read(vcpu),
		.rflags = backend->get_rflags(vcpu),
	};
	return 0;
}

int kvm_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	if (regs->rflags & (~RFLAGS_BITS | RFLAGS_ZERO))
		return -EINVAL;

	kvm_reg_write(vcpu, VCPU_RAX, regs->rax);
	kvm_reg_write(vcpu, VCPU_RBX, regs->rbx);
	kvm_reg_write(vcpu, VCPU_RCX, regs->rcx);
	kvm_reg_write(vcpu, VCPU_RDX, regs->rdx);
	kvm_reg_write(vcpu, VCPU_RSI, regs->rsi);
	kvm_reg_write(vcpu, VCPU_RDI, regs->rdi);
	kvm_reg_write(vcpu, VCPU_RSP, regs->rsp);
	kvm_reg_write(vcpu, VCPU_RBP, regs->rbp);
	kvm_reg_write(vcpu, VCPU_R8, regs->r8);
	kvm_reg_write(vcpu, VCPU_R9, regs->r9);
	kvm_reg_write(vcpu, VCPU_R10, regs->r10);
	kvm_reg_write(vcpu, VCPU_R11, regs->r11);
	kvm_reg_write(vcpu, VCPU_R12, regs->r12);
	kvm_reg_write(vcpu, VCPU_R13, regs->r13);
	kvm_reg_write(vcpu, VCPU_R14, regs->r14);
	kvm_reg_write(vcpu, VCPU_R15, regs->r15);
	kvm_rip_write(vcpu, regs->rip);
	backend->set_rflags(vcpu, regs->rflags | X86_EFLAGS_FIXED);
	/* An exception of the instruction that was there is no more. */
	vcpu->ev.exception.pending = false;
	return 0;
}

/* ---- system registers: reading ------------------------------------------ */

/* An interrupt that the monitor handed over and the guest has not taken. */
static int undelivered_irq(const struct kvm_vcpu *vcpu)
{
	const struct kvm_events *ev = &vcpu->ev;

	if (ev->interrupt.injected && !ev->interrupt.soft)
		return ev->interrupt.vector;
	return ev->user_irq;
}

/*
 * Take an interrupt back from the monitor. It goes the way of a new one, and
 * so waits for RFLAGS.IF, in whatever order the state is put back.
 */
static void set_undelivered_irq(struct kvm_vcpu *vcpu, int vector)
{
	if (!vcpu->ev.interrupt.soft)
		vcpu->ev.interrupt.injected = false;
	vcpu->ev.user_irq = vector;
	kvm_make_request(vcpu, KVM_REQ_EVENT);
}

int kvm_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs)
{
	int irq = undelivered_irq(vcpu);

	memset(sregs, 0, sizeof(*sregs));
	backend->get_segment(vcpu, &sregs->cs, VCPU_SEG_CS);
	backend->get_segment(vcpu, &sregs->ds, VCPU_SEG_DS);
	backend->get_segment(vcpu, &sregs->es, VCPU_SEG_ES);
	backend->get_segment(vcpu, &sregs->fs, VCPU_SEG_FS);
	backend->get_segment(vcpu, &sregs->gs, VCPU_SEG_GS);
	backend->get_segment(vcpu, &sregs->ss, VCPU_SEG_SS);
	backend->get_segment(vcpu, &sregs->tr, VCPU_SEG_TR);
	backend->get_segment(vcpu, &sregs->ldt, VCPU_SEG_LDTR);
	backend->get_gdt(vcpu, &sregs->gdt);
	backend->get_idt(vcpu, &sregs->idt);
	sregs->cr0 = kvm_read_cr0(vcpu);
	sregs->cr2 = vcpu->cr2;
	sregs->cr3 = kvm_read_cr3(vcpu);
	sregs->cr4 = kvm_read_cr4(vcpu);
	sregs->cr8 = kvm_get_cr8(vcpu);
	sregs->efer = vcpu->efer;
	sregs->apic_base = vcpu->msr.apic_base;
	if (irq >= 0)
		sregs->interrupt_bitmap[irq / 64] = BIT_ULL(irq % 64);
	return 0;
}

/* ---- system registers: checks ------------------------------------------- */

/* Nothing that would spill into a neighbour of the access-rights format. */
static bool segment_valid(const struct kvm_segment *seg)
{
	return seg->type < 16 && seg->dpl < 4 && seg->present < 2 &&
	       seg->s < 2 && seg->l < 2 && seg->db < 2 && seg->g < 2 &&
	       seg->avl < 2 && seg->unusable < 2;
}

static bool segments_valid(const struct kvm_vcpu *vcpu,
			   const struct kvm_sregs *sregs)
{
	return segment_valid(&sregs->cs) && segment_valid(&sregs->ds) &&
	       segment_valid(&sregs->es) && segment_valid(&sregs->fs) &&
	       segment_valid(&sregs->gs) && segment_valid(&sregs->ss) &&
	       segment_valid(&sregs->tr) && segment_valid(&sregs->ldt) &&
	       kvm_is_canonical(vcpu, sregs->fs.base) &&
	       kvm_is_canonical(vcpu, sregs->gs.base) &&
	       kvm_is_canonical(vcpu, sregs->tr.base) &&
	       kvm_is_canonical(vcpu, sregs->gdt.base) &&
	       kvm_is_canonical(vcpu, sregs->idt.base);
}

/*
 * CR0.PG, CR4.PAE, EFER.LME and LMA, CS.L: a mode that there is. CR4.PCIDE
 * outside long mode passes, as monitors may set it before the rest; should it
 * stay so, the VM entry says what is wrong.
 */
static bool mode_valid(const struct kvm_vcpu *vcpu,
		       const struct kvm_sregs *sregs)
{
	if ((sregs->cr0 & X86_CR0_PG) && (sregs->efer & EFER_LME))
		return (sregs->cr4 & X86_CR4_PAE) &&
		       (sregs->efer & EFER_LMA) &&
		       !(sregs->cr3 & vcpu->reserved_gpa_bits);
	return !(sregs->efer & EFER_LMA) && !sregs->cs.l;
}

static bool interrupt_bitmap_valid(const struct kvm_sregs *sregs)
{
	unsigned int i, bits = 0;

	for (i = 0; i < ARRAY_SIZE(sregs->interrupt_bitmap); i++)
		bits += hweight64(sregs->interrupt_bitmap[i]);
	return bits <= 1;
}

static bool sregs_valid(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	return kvm_cr0_valid(sregs->cr0) && kvm_cr4_valid(vcpu, sregs->cr4) &&
	       sregs->cr8 < 16 && kvm_efer_valid_host(sregs->efer) &&
	       kvm_apic_base_valid(vcpu, sregs->apic_base, true) &&
	       mode_valid(vcpu, sregs) && segments_valid(vcpu, sregs) &&
	       interrupt_bitmap_valid(sregs);
}

/* ---- system registers: writing ------------------------------------------ */

static void set_descriptor_tables(struct kvm_vcpu *vcpu,
				  const struct kvm_sregs *sregs)
{
	backend->set_gdt(vcpu, &sregs->gdt);
	backend->set_idt(vcpu, &sregs->idt);
}

/* After CR0 and EFER: what a segment register means depends on the mode. */
static void set_segments(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	backend->set_segment(vcpu, &sregs->cs, VCPU_SEG_CS);
	backend->set_segment(vcpu, &sregs->ds, VCPU_SEG_DS);
	backend->set_segment(vcpu, &sregs->es, VCPU_SEG_ES);
	backend->set_segment(vcpu, &sregs->fs, VCPU_SEG_FS);
	backend->set_segment(vcpu, &sregs->gs, VCPU_SEG_GS);
	backend->set_segment(vcpu, &sregs->ss, VCPU_SEG_SS);
	backend->set_segment(vcpu, &sregs->ldt, VCPU_SEG_LDTR);
	backend->set_segment(vcpu, &sregs->tr, VCPU_SEG_TR);
}

/*
 * EFER first, as the backend derives the entry mode from it, then CR0 and CR4,
 * which may be stored differently by mode. True: paging may have changed.
 */
static bool set_control_registers(struct kvm_vcpu *vcpu,
				  const struct kvm_sregs *sregs)
{
	unsigned long cr0 = (sregs->cr0 & CR0_DEFINED) | X86_CR0_ET;
	bool changed = cr0 != kvm_read_cr0(vcpu) ||
		       sregs->cr3 != kvm_read_cr3(vcpu) ||
		       sregs->cr4 != kvm_read_cr4(vcpu) ||
		       sregs->efer != vcpu->efer;

	vcpu->cr2 = sregs->cr2;
	vcpu->cr3 = sregs->cr3;
	vcpu->regs_avail |= BIT(VCPU_CR3);
	vcpu->regs_dirty |= BIT(VCPU_CR3);
	if (sregs->efer != vcpu->efer)
		backend->set_efer(vcpu, sregs->efer);
	backend->set_cr0(vcpu, cr0);
	backend->set_cr4(vcpu, sregs->cr4);
	return changed;
}

static void paging_changed(struct kvm_vcpu *vcpu, bool registers)
{
	int idx;

	/* Entries the guest made invalid fault when it next loads CR3. */
	if (is_pae_paging(vcpu)) {
		idx = srcu_read_lock(&vcpu->kvm->srcu);
		kvm_mmu_load_pdptrs(vcpu, vcpu->cr3);
		srcu_read_unlock(&vcpu->kvm->srcu, idx);
	}
	kvm_make_request(vcpu, KVM_REQ_TLB_FLUSH_GUEST);
	/* The tables may be the monitor's, written through its own mapping. */
	if (registers && !kvm_caps.ept)
		kvm_mmu_zap_all(vcpu->kvm);
	kvm_mmu_reset(vcpu);
}

int kvm_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	bool changed;
	int irq;

	if (!sregs_valid(vcpu, sregs))
		return -EINVAL;

	set_descriptor_tables(vcpu, sregs);
	changed = set_control_registers(vcpu, sregs);
	set_segments(vcpu, sregs);
	kvm_set_msr(vcpu, MSR_IA32_APICBASE, sregs->apic_base, true);
	/* After what may have disabled the local APIC, and so reset it. */
	kvm_set_cr8(vcpu, sregs->cr8);
	kvm_update_cpuid_runtime(vcpu);
	if (changed || is_pae_paging(vcpu))
		paging_changed(vcpu, changed);

	for (irq = 0; irq < KVM_NR_INTERRUPTS; irq++)
		if (sregs->interrupt_bitmap[irq / 64] & BIT_ULL(irq % 64))
			set_undelivered_irq(vcpu, irq);
	return 0;
}

/* ---- floating point and extended state ---------------------------------- */

#define XSAVE_LEGACY_SIZE	512

/* Everything in guest_fpu in the format of XSAVE. The caller frees it. */
static struct xregs_state *xsave_image(struct kvm_vcpu *vcpu)
{
	struct fpu_guest *fpu = &vcpu->guest_fpu;
	struct xregs_state *image = kvzalloc(fpu->uabi_size, GFP_KERNEL);

	if (image)
		fpu_copy_guest_fpstate_to_uabi(fpu, image, fpu->uabi_size,
					       kvm_caps.xcr0 |
					       XFEATURE_MASK_FPSSE,
					       vcpu->pkru);
	return image;
}

int kvm_get_fpu(struct kvm_vcpu *vcpu, struct kvm_fpu *fpu)
{
	struct xregs_state *image = xsave_image(vcpu);
	const struct fxregs_state *fx;

	if (!image)
		return -ENOMEM;
	fx = &image->i387;
	memset(fpu, 0, sizeof(*fpu));
	memcpy(fpu->fpr, fx->st_space, sizeof(fpu->fpr));
	fpu->fcw = fx->cwd;
	fpu->fsw = fx->swd;
	fpu->ftwx = fx->twd;
	fpu->last_opcode = fx->fop;
	fpu->last_ip = fx->rip;
	fpu->last_dp = fx->rdp;
	memcpy(fpu->xmm, fx->xmm_space, sizeof(fpu->xmm));
	fpu->mxcsr = fx->mxcsr;
	kvfree(image);
	return 0;
}

/* The kernel checks MXCSR, and leaves all as it was if that is invalid. */
static int load_xsave_image(struct kvm_vcpu *vcpu, const void *image)
{
	return fpu_copy_uabi_to_guest_fpstate(&vcpu->guest_fpu, image,
					      kvm_caps.xcr0 |
					      XFEATURE_MASK_FPSSE,
					      &vcpu->pkru);
}

int kvm_set_fpu(struct kvm_vcpu *vcpu, const struct kvm_fpu *fpu)
{
	struct xregs_state *image = xsave_image(vcpu);
	struct fxregs_state *fx;
	int r;

	if (!image)
		return -ENOMEM;
	fx = &image->i387;
	memcpy(fx->st_space, fpu->fpr, sizeof(fpu->fpr));
	fx->cwd = fpu->fcw;
	fx->swd = fpu->fsw;
	fx->twd = fpu->ftwx;
	fx->fop = fpu->last_opcode;
	fx->rip = fpu->last_ip;
	fx->rdp = fpu->last_dp;
	memcpy(fx->xmm_space, fpu->xmm, sizeof(fpu->xmm));
	fx->mxcsr = fpu->mxcsr;
	image->header.xfeatures |= XFEATURE_MASK_FPSSE;
	r = load_xsave_image(vcpu, image);
	kvfree(image);
	return r;
}

int kvm_get_xsave(struct kvm_vcpu *vcpu, struct kvm_xsave *xsave, size_t size)
{
	memset(xsave, 0, size);
	fpu_copy_guest_fpstate_to_uabi(&vcpu->guest_fpu, xsave, size,
				       vcpu->guest_supported_xcr0 |
				       XFEATURE_MASK_FPSSE, vcpu->pkru);
	return 0;
}

int kvm_set_xsave(struct kvm_vcpu *vcpu, const struct kvm_xsave *xsave)
{
	return load_xsave_image(vcpu, xsave);
}

int kvm_get_xcrs(struct kvm_vcpu *vcpu, struct kvm_xcrs *xcrs)
{
	memset(xcrs, 0, sizeof(*xcrs));
	if (!kvm_caps.xcr0)
		return 0;
	xcrs->nr_xcrs = 1;
	xcrs->xcrs[0].xcr = XCR_XFEATURE_ENABLED_MASK;
	xcrs->xcrs[0].value = vcpu->xcr0;
	return 0;
}

int kvm_set_xcrs(struct kvm_vcpu *vcpu, const struct kvm_xcrs *xcrs)
{
	u32 i;

	if (!kvm_caps.xcr0 || xcrs->flags || xcrs->nr_xcrs > KVM_MAX_XCRS)
		return -EINVAL;
	for (i = 0; i < xcrs->nr_xcrs; i++)
		if (xcrs->xcrs[i].xcr == XCR_XFEATURE_ENABLED_MASK)
			return kvm_set_xcr(vcpu, xcrs->xcrs[i].xcr,
					   xcrs->xcrs[i].value) ? -EINVAL : 0;
	return 0;
}

/* ---- events ------------------------------------------------------------- */

/* INT3 and INTO execute again: the interface has no instruction length. */
static bool exception_is_soft(u8 vector)
{
	return vector == X86_TRAP_BP || vector == X86_TRAP_OF;
}

int kvm_get_vcpu_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *out)
{
	const struct kvm_events *ev = &vcpu->ev;
	int irq = undelivered_irq(vcpu);

	/* The structure has no room for CR2 or DR6 still to be set. */
	kvm_deliver_exception_payload(vcpu);

	memset(out, 0, sizeof(*out));
	if (!exception_is_soft(ev->exception.vector))
		out->exception.injected = ev->exception.injected ||
					  ev->exception.pending;
	out->exception.nr = ev->exception.vector;
	out->exception.has_error_code = ev->exception.has_error_code;
	out->exception.error_code = ev->exception.error_code;

	if (irq >= 0) {
		out->interrupt.injected = 1;
		out->interrupt.nr = irq;
	}
	out->interrupt.shadow = backend->get_interrupt_shadow(vcpu);

	out->nmi.injected = ev->nmi_injected;
	out->nmi.pending = atomic_read(&ev->nmi_pending);
	out->nmi.masked = backend->get_nmi_masked(vcpu);
	out->flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
		     KVM_VCPUEVENT_VALID_SHADOW;
	return 0;
}

#define VCPUEVENT_FLAGS	(KVM_VCPUEVENT_VALID_NMI_PENDING |		\
			 KVM_VCPUEVENT_VALID_SIPI_VECTOR |		\
			 KVM_VCPUEVENT_VALID_SHADOW)
#define SHADOW_BITS	(KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI)

static bool vcpu_events_valid(const struct kvm_vcpu_events *in)
{
	if (in->flags & ~VCPUEVENT_FLAGS)
		return false;
	if (in->exception.injected &&
	    (in->exception.nr > 31 || in->exception.nr == X86_TRAP_NMI))
		return false;
	if ((in->flags & KVM_VCPUEVENT_VALID_SHADOW) &&
	    (in->interrupt.shadow & ~SHADOW_BITS))
		return false;
	return true;
}

static void set_exception_event(struct kvm_vcpu *vcpu,
				const struct kvm_vcpu_events *in)
{
	vcpu->ev.exception = (struct kvm_queued_exception) {
		.injected = in->exception.injected,
		.vector = in->exception.nr,
		.has_error_code = in->exception.has_error_code,
		.error_code = in->exception.error_code,
	};
}

#define INT_N_LENGTH	2

static void set_interrupt_event(struct kvm_vcpu *vcpu,
				const struct kvm_vcpu_events *in)
{
	vcpu->ev.user_irq = -1;
	vcpu->ev.interrupt = (struct kvm_queued_interrupt) { };
	if (!in->interrupt.injected)
		return;
	if (!in->interrupt.soft) {
		set_undelivered_irq(vcpu, in->interrupt.nr);
		return;
	}
	vcpu->ev.interrupt.injected = true;
	vcpu->ev.interrupt.soft = true;
	vcpu->ev.interrupt.vector = in->interrupt.nr;
	vcpu->ev.soft_insn_len = INT_N_LENGTH;
}

/* NMIs that may wait: one, and one more while none is in service. */
#define MAX_PENDING_NMIS	2

int kvm_set_vcpu_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *in)
{
	if (!vcpu_events_valid(in))
		return -EINVAL;

	set_exception_event(vcpu, in);
	set_interrupt_event(vcpu, in);
	if (in->flags & KVM_VCPUEVENT_VALID_SHADOW)
		backend->set_interrupt_shadow(vcpu, in->interrupt.shadow);
	vcpu->ev.nmi_injected = in->nmi.injected;
	if (in->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		atomic_set(&vcpu->ev.nmi_pending,
			   min_t(int, in->nmi.pending, MAX_PENDING_NMIS));
	backend->set_nmi_masked(vcpu, in->nmi.masked);
	if (vcpu->apic && (in->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR))
		kvm_apic_set_sipi(vcpu, (u8)in->sipi_vector);
	kvm_make_request(vcpu, KVM_REQ_EVENT);
	return 0;
}

/* KVM_INTERRUPT, the monitor's interrupt controller speaking. */
int kvm_vcpu_interrupt(struct kvm_vcpu *vcpu, const struct kvm_interrupt *irq)
{
	if (irq->irq >= KVM_NR_INTERRUPTS)
		return -EINVAL;
	if (vcpu->kvm->irqchip_mode == KVM_IRQCHIP_KERNEL)
		return -ENXIO;
	if (undelivered_irq(vcpu) >= 0)
		return -EEXIST;
	vcpu->ev.user_irq = irq->irq;
	kvm_make_request(vcpu, KVM_REQ_EVENT);
	return 0;
}

/* What has been sent counts as received. */
int kvm_get_mp_state(struct kvm_vcpu *vcpu, struct kvm_mp_state *mp)
{
	if (vcpu->apic && kvm_apic_has_events(vcpu))
		kvm_apic_accept_events(vcpu);
	/* There is no other way to tell that HLT ends by a kick. */
	if (vcpu->mp_state == KVM_MP_STATE_HALTED && kvm_pv_take_kick(vcpu))
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	mp->mp_state = vcpu->mp_state;
	return 0;
}

/* Other states than running belong to an interrupt controller in the kernel. */
static bool mp_state_valid(const struct kvm_vcpu *vcpu, u32 state)
{
	switch (state) {
	case KVM_MP_STATE_RUNNABLE:
		return true;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_SIPI_RECEIVED:
	case KVM_MP_STATE_HALTED:
		return vcpu->apic;
	default:
		return false;
	}
}

/* SIPI_RECEIVED is between the start-up IPI and its effect. */
int kvm_set_mp_state(struct kvm_vcpu *vcpu, const struct kvm_mp_state *mp)
{
	if (!mp_state_valid(vcpu, mp->mp_state))
		return -EINVAL;
	if (mp->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		vcpu->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		kvm_apic_set_sipi(vcpu, -1);
	} else {
		vcpu->mp_state = mp->mp_state;
	}
	kvm_make_request(vcpu, KVM_REQ_EVENT);
	return 0;
}

/* ---- nested virtualization ---------------------------------------------- */

/* There is none: the guest's processor is never in VMX operation. */
void kvm_get_nested_state(struct kvm_vcpu *vcpu, struct kvm_nested_state *state)
{
	memset(state, 0, sizeof(*state));
	state->format = KVM_STATE_NESTED_FORMAT_VMX;
	state->size = sizeof(*state);
	state->hdr.vmx.vmxon_pa = INVALID_GPA;
	state->hdr.vmx.vmcs12_pa = INVALID_GPA;
}

int kvm_set_nested_state(struct kvm_vcpu *vcpu,
			 const struct kvm_nested_state *state)
{
	const struct kvm_vmx_nested_state_hdr *vmx = &state->hdr.vmx;

	if (state->size < sizeof(*state) || state->flags ||
	    state->format != KVM_STATE_NESTED_FORMAT_VMX ||
	    vmx->vmxon_pa != INVALID_GPA || vmx->vmcs12_pa != INVALID_GPA ||
	    vmx->smm.flags || vmx->flags)
		return -EINVAL;
	return 0;
}

/* ---- debugging ---------------------------------------------------------- */

int kvm_get_debugregs(struct kvm_vcpu *vcpu, struct kvm_debugregs *dbg)
{
	int i;

	memset(dbg, 0, sizeof(*dbg));
	for (i = 0; i < ARRAY_SIZE(dbg->db); i++)
		dbg->db[i] = kvm_get_dr(vcpu, i);
	dbg->dr6 = kvm_get_dr(vcpu, 6);
	dbg->dr7 = kvm_get_dr(vcpu, 7);
	return 0;
}

int kvm_set_debugregs(struct kvm_vcpu *vcpu, const struct kvm_debugregs *dbg)
{
	int i;

	if (dbg->flags || upper_32_bits(dbg->dr6) || upper_32_bits(dbg->dr7))
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(dbg->db); i++)
		kvm_set_dr(vcpu, i, dbg->db[i]);
	kvm_set_dr(vcpu, 6, dbg->dr6);
	kvm_set_dr(vcpu, 7, dbg->dr7);
	return 0;
}

/* Whose breakpoints are in the debug registers: the debugger's or the guest's. */
static void set_effective_breakpoints(struct kvm_vcpu *vcpu,
				      const struct kvm_guest_debug *dbg)
{
	bool debugger = vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP;
	int i;

	for (i = 0; i < ARRAY_SIZE(vcpu->eff_db); i++)
		vcpu->eff_db[i] = debugger ? dbg->arch.debugreg[i] :
					     vcpu->db[i];
	vcpu->guest_debug_dr7 = debugger ? dbg->arch.debugreg[7] : 0;
	kvm_update_dr7(vcpu);
}

int kvm_set_guest_debug(struct kvm_vcpu *vcpu,
			const struct kvm_guest_debug *dbg)
{
	const u32 inject = KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP;
	const struct kvm_queued_exception *ex = &vcpu->ev.exception;

	if (dbg->control & ~KVM_GUESTDBG_KNOWN)
		return -EINVAL;
	if ((dbg->control & KVM_GUESTDBG_USE_HW_BP) &&
	    upper_32_bits(dbg->arch.debugreg[7]))
		return -EINVAL;
	if ((dbg->control & inject) && (ex->pending || ex->injected))
		return -EBUSY;

	vcpu->guest_debug = 0;
	if (dbg->control & KVM_GUESTDBG_ENABLE)
		vcpu->guest_debug = dbg->control & ~inject;
	set_effective_breakpoints(vcpu, dbg);
	backend->update_debug(vcpu);
	/* KVM_GUESTDBG_BLOCKIRQ may have held some back. */
	kvm_make_request(vcpu, KVM_REQ_EVENT);

	if (dbg->control & KVM_GUESTDBG_INJECT_DB)
		kvm_queue_exception(vcpu, X86_TRAP_DB);
	else if (dbg->control & KVM_GUESTDBG_INJECT_BP)
		kvm_queue_exception(vcpu, X86_TRAP_BP);
	return 0;
}

/* ---- registers in kvm_run: KVM_CAP_SYNC_REGS ----------------------------- */

bool kvm_synced_regs_valid(const struct kvm_run *run)
{
	return !((READ_ONCE(run->kvm_valid_regs) |
		  READ_ONCE(run->kvm_dirty_regs)) & ~KVM_SYNC_X86_VALID_FIELDS);
}

/*
 * Before the run, what the monitor says it has changed. It may write to kvm_run
 * at any time: each set is copied before it is looked at.
 */
int kvm_load_synced_regs(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	union {
		struct kvm_regs regs;
		struct kvm_sregs sregs;
		struct kvm_vcpu_events events;
	} copy;
	u64 dirty = READ_ONCE(run->kvm_dirty_regs);
	int r = 0;

	run->kvm_dirty_regs = 0;
	if (dirty & KVM_SYNC_X86_REGS) {
		copy.regs = run->s.regs.regs;
		r = kvm_set_regs(vcpu, &copy.regs);
	}
	if (!r && (dirty & KVM_SYNC_X86_SREGS)) {
		copy.sregs = run->s.regs.sregs;
		r = kvm_set_sregs(vcpu, &copy.sregs);
	}
	if (!r && (dirty & KVM_SYNC_X86_EVENTS)) {
		copy.events = run->s.regs.events;
		r = kvm_set_vcpu_events(vcpu, &copy.events);
	}
	return r;
}

/* After it, what the monitor wants to see. */
void kvm_store_synced_regs(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 wanted = READ_ONCE(run->kvm_valid_regs);

	if (wanted & KVM_SYNC_X86_REGS)
		kvm_get_regs(vcpu, &run->s.regs.regs);
	if (wanted & KVM_SYNC_X86_SREGS)
		kvm_get_sregs(vcpu, &run->s.regs.sregs);
	if (wanted & KVM_SYNC_X86_EVENTS)
		kvm_get_vcpu_events(vcpu, &run->s.regs.events);
}

/* The guest-physical address behind a linear one, as its kernel sees it. */
int kvm_translate(struct kvm_vcpu *vcpu, struct kvm_translation *tr)
{
	struct x86_exception fault;
	gpa_t gpa = 0;
	int idx;

	idx = srcu_read_lock(&vcpu->kvm->srcu);
	tr->valid = !kvm_gva_to_gpa(vcpu, tr->linear_address, 0, &gpa, &fault);
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	/* Without paging it is what was asked for, however wide. */
	if (gpa & vcpu->reserved_gpa_bits)
		tr->valid = 0;
	tr->physical_address = tr->valid ? gpa : ~0ull;
	tr->writeable = 1;
	tr->usermode = 0;
	return 0;
}
