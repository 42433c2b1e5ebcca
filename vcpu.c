// SPDX-License-Identifier: GPL-2.0-only
/*
 * vcpu.c - one vCPU's life: the run loop, the event queue and injection,
 * control and debug registers as instructions see them.
 *
 * The path of an exit is kvm_vcpu_run() > run_loop() > vcpu_enter_guest() >
 * backend->run() and back; everything else in this file hangs off it. Knows
 * no VMCS field. Locking: vcpu->mutex is held and the vCPU is loaded
 * throughout, but for the functions that create and destroy it.
 *
 * SDM: "Interrupt and Exception Handling", "Control Registers", "Debug
 * Registers".
 */
#include <linux/sched/signal.h>
#include <asm/debugreg.h>
#include <asm/fpu/api.h>

#include "include/compat.h"
#include "kvm.h"
#include "trace.h"

/* "Debug Status Register (DR6)"; bit 16 reads 1 outside of RTM debugging. */
#define DR6_ONES	0xffff0ff0ul
#define DR6_WRITABLE	(DR_TRAP_BITS | BIT(13) | DR_STEP | DR_SWITCH)
/* "Debug Control Register (DR7)". */
#define DR7_ONES	BIT(10)
#define DR7_WRITABLE	0xffff2bfful
#define DR7_ENABLES	0xfful
#define DR7_GD		BIT(13)

/* ---- events: what waits for the guest ----------------------------------- */

static bool exception_has_error_code(u8 vector)
{
	const u32 vectors = BIT(X86_TRAP_DF) | BIT(X86_TRAP_TS) |
		BIT(X86_TRAP_NP) | BIT(X86_TRAP_SS) | BIT(X86_TRAP_GP) |
		BIT(X86_TRAP_PF) | BIT(X86_TRAP_AC);

	return vector < 32 && vectors & BIT(vector);
}

static bool exception_is_contributory(u8 vector)
{
	const u32 vectors = BIT(X86_TRAP_DE) | BIT(X86_TRAP_TS) |
		BIT(X86_TRAP_NP) | BIT(X86_TRAP_SS) | BIT(X86_TRAP_GP);

	return vector < 32 && vectors & BIT(vector);
}

/* "Conditions for Generating a Double Fault". */
static bool makes_double_fault(u8 first, u8 second)
{
	if (first == X86_TRAP_PF)
		return second == X86_TRAP_PF ||
		       exception_is_contributory(second);
	return exception_is_contributory(first) &&
	       exception_is_contributory(second);
}

/* A double fault and what would make one of a page fault. */
static bool makes_triple_fault(u8 first, u8 second)
{
	return first == X86_TRAP_DF && (second == X86_TRAP_DF ||
		makes_double_fault(X86_TRAP_PF, second));
}

static void queue_exception(struct kvm_vcpu *vcpu,
			    struct kvm_queued_exception new)
{
	struct kvm_queued_exception *ex = &vcpu->ev.exception;

	if (ex->pending || ex->injected) {
		if (makes_triple_fault(ex->vector, new.vector)) {
			*ex = (struct kvm_queued_exception) { };
			kvm_make_request(vcpu, KVM_REQ_TRIPLE_FAULT);
			return;
		}
		if (makes_double_fault(ex->vector, new.vector))
			new = (struct kvm_queued_exception) {
				.vector = X86_TRAP_DF,
				.has_error_code = true,
			};
		/* Else one after the other: the first will happen again. */
	}
	*ex = new;
	ex->pending = true;
	/* An INT3 or INTO that is raised here is one byte long. */
	vcpu->ev.soft_insn_len = 0;
	/* Real mode pushes no error code. */
	if (!(kvm_read_cr0(vcpu) & X86_CR0_PE))
		ex->has_error_code = false;
}

void kvm_queue_exception(struct kvm_vcpu *vcpu, u8 vector)
{
	queue_exception(vcpu, (struct kvm_queued_exception) {
		.vector = vector,
		.has_error_code = exception_has_error_code(vector),
	});
}

void kvm_queue_exception_e(struct kvm_vcpu *vcpu, u8 vector, u32 error_code)
{
	queue_exception(vcpu, (struct kvm_queued_exception) {
		.vector = vector,
		.has_error_code = true,
		.error_code = error_code,
	});
}

void kvm_queue_page_fault(struct kvm_vcpu *vcpu, unsigned long cr2,
			  u32 error_code)
{
	vcpu->stat.pf_guest++;
	queue_exception(vcpu, (struct kvm_queued_exception) {
		.vector = X86_TRAP_PF,
		.has_error_code = true,
		.error_code = error_code,
		.has_payload = true,
		.payload = cr2,
	});
}

/* `dr6_bits`: of B0 to B3, BD, BS, BT, those that tell the reason. */
void kvm_queue_db(struct kvm_vcpu *vcpu, unsigned long dr6_bits)
{
	const struct kvm_queued_exception *ex = &vcpu->ev.exception;

	/* Several reasons at one boundary are one exception. */
	if (ex->pending && ex->vector == X86_TRAP_DB && ex->has_payload)
		dr6_bits |= ex->payload;
	queue_exception(vcpu, (struct kvm_queued_exception) {
		.vector = X86_TRAP_DB,
		.has_payload = true,
		.payload = dr6_bits,
	});
}

void kvm_inject_x86_exception(struct kvm_vcpu *vcpu,
			      const struct x86_exception *e)
{
	if (e->vector == X86_TRAP_PF)
		kvm_queue_page_fault(vcpu, e->cr2, e->error_code);
	else if (e->has_error_code)
		kvm_queue_exception_e(vcpu, e->vector, e->error_code);
	else
		kvm_queue_exception(vcpu, e->vector);
}

void kvm_inject_nmi(struct kvm_vcpu *vcpu)
{
	/* One in service, one latched ("Handling Multiple NMIs"). */
	atomic_add_unless(&vcpu->ev.nmi_pending, 1, 2);
	kvm_make_request(vcpu, KVM_REQ_EVENT);
	kvm_vcpu_kick(vcpu);
}

/* ---- events: into the guest --------------------------------------------- */

/* The side effects that delivering an exception has on CR2 and DR6, DR7. */
void kvm_deliver_exception_payload(struct kvm_vcpu *vcpu)
{
	struct kvm_queued_exception *ex = &vcpu->ev.exception;

	if (!ex->has_payload)
		return;
	if (ex->vector == X86_TRAP_PF) {
		vcpu->cr2 = ex->payload;
	} else if (ex->vector == X86_TRAP_DB) {
		/* B0 to B3 show this exception alone; BS, BD, BT stick. */
		vcpu->dr6 &= ~DR_TRAP_BITS;
		vcpu->dr6 |= ex->payload;
		if (vcpu->dr7 & DR7_GD) {
			vcpu->dr7 &= ~DR7_GD;
			kvm_update_dr7(vcpu);
		}
	}
	ex->has_payload = false;
	ex->payload = 0;
}

/* "Saving the processor state: RF": faults re-execute their instruction. */
static bool exception_sets_rf(u8 vector)
{
	return vector != X86_TRAP_DB && vector != X86_TRAP_BP &&
	       vector != X86_TRAP_OF && vector != X86_TRAP_DF &&
	       vector != X86_TRAP_MC;
}

static void trace_inj_exception(struct kvm_vcpu *vcpu, bool reinjected)
{
	const struct kvm_queued_exception *ex = &vcpu->ev.exception;

	trace_kvm_inj_exception(ex->vector, ex->has_error_code, ex->error_code,
				reinjected);
}

static void inject_pending_exception(struct kvm_vcpu *vcpu)
{
	struct kvm_queued_exception *ex = &vcpu->ev.exception;

	if (exception_sets_rf(ex->vector))
		backend->set_rflags(vcpu, backend->get_rflags(vcpu) |
					  X86_EFLAGS_RF);
	kvm_deliver_exception_payload(vcpu);
	ex->pending = false;
	ex->injected = true;
	vcpu->stat.exceptions++;
	trace_inj_exception(vcpu, false);
	backend->inject_exception(vcpu);
}

bool kvm_interrupt_possible(struct kvm_vcpu *vcpu)
{
	const struct kvm_events *ev = &vcpu->ev;

	return !ev->exception.pending && !ev->exception.injected &&
	       !ev->interrupt.injected && !ev->nmi_injected &&
	       backend->interrupt_allowed(vcpu);
}

/* An interrupt controller of the monitor's may hand over interrupts. */
static bool takes_user_interrupts(struct kvm_vcpu *vcpu)
{
	return !vcpu->apic ||
	       (vcpu->kvm->irqchip_mode == KVM_IRQCHIP_SPLIT &&
		kvm_apic_takes_extint(vcpu));
}

/* KVM_INTERRUPT would reach the guest at the next entry. */
static bool user_interrupt_possible(struct kvm_vcpu *vcpu)
{
	return takes_user_interrupts(vcpu) && vcpu->ev.user_irq < 0 &&
	       kvm_interrupt_possible(vcpu);
}

static void reinject_interrupt(struct kvm_vcpu *vcpu)
{
	const struct kvm_queued_interrupt *irq = &vcpu->ev.interrupt;

	trace_kvm_inj_virq(irq->vector, irq->soft, true);
	backend->inject_interrupt(vcpu);
}

/* What the hardware had begun to deliver when it exited. True: one went in. */
static bool reinject_event(struct kvm_vcpu *vcpu)
{
	struct kvm_events *ev = &vcpu->ev;

	if (ev->exception.injected) {
		trace_inj_exception(vcpu, true);
		backend->inject_exception(vcpu);
		return true;
	}
	/* A new exception goes first; the interrupted event follows it. */
	if (ev->exception.pending)
		return false;
	if (ev->nmi_injected)
		backend->inject_nmi(vcpu);
	else if (ev->interrupt.injected)
		reinject_interrupt(vcpu);
	return ev->nmi_injected || ev->interrupt.injected;
}

/* The debugger wants to see nothing but what the guest itself does. */
static bool interrupts_blocked(const struct kvm_vcpu *vcpu)
{
	return vcpu->guest_debug & KVM_GUESTDBG_BLOCKIRQ;
}

/* An exception or an NMI. */
static bool inject_new_event(struct kvm_vcpu *vcpu)
{
	struct kvm_events *ev = &vcpu->ev;

	if (ev->exception.pending) {
		inject_pending_exception(vcpu);
		return true;
	}
	if (atomic_read(&ev->nmi_pending) && !interrupts_blocked(vcpu) &&
	    backend->nmi_allowed(vcpu)) {
		atomic_dec(&ev->nmi_pending);
		ev->nmi_injected = true;
		vcpu->stat.nmi_injections++;
		backend->inject_nmi(vcpu);
		return true;
	}
	return false;
}

/* Where an interrupt comes from, and in which order they go. */
enum interrupt_source {
	INTERRUPT_NONE,
	INTERRUPT_USER,		/* KVM_INTERRUPT */
	INTERRUPT_PIC,		/* the 8259 by LINT0 */
	INTERRUPT_APIC,
};

static enum interrupt_source next_interrupt(struct kvm_vcpu *vcpu, int *vector)
{
	*vector = vcpu->ev.user_irq;
	if (*vector >= 0)
		return INTERRUPT_USER;
	if (!vcpu->apic)
		return INTERRUPT_NONE;
	if (kvm_pic_output(vcpu->kvm) && kvm_apic_takes_extint(vcpu))
		return INTERRUPT_PIC;
	/* Else the processor delivers by itself. */
	if (!vcpu->apicv_active)
		*vector = kvm_apic_pending_vector(vcpu);
	return *vector >= 0 ? INTERRUPT_APIC : INTERRUPT_NONE;
}

static void accept_interrupt(struct kvm_vcpu *vcpu, u8 vector)
{
	kvm_apic_accept(vcpu, vector);
	if (vcpu->pv.eoi_on)
		kvm_apic_offer_eoi(vcpu, vector);
}

static void inject_interrupt(struct kvm_vcpu *vcpu,
			     enum interrupt_source source, int vector)
{
	struct kvm_events *ev = &vcpu->ev;

	if (source == INTERRUPT_APIC)
		accept_interrupt(vcpu, vector);
	else if (source == INTERRUPT_PIC)
		vector = kvm_apic_acknowledge_extint(vcpu);
	else
		ev->user_irq = -1;
	ev->interrupt = (struct kvm_queued_interrupt) {
		.injected = true,
		.vector = vector,
	};
	vcpu->stat.irq_injections++;
	trace_kvm_inj_virq(vector, false, false);
	backend->inject_interrupt(vcpu);
}

/*
 * `injected`: the hardware's injection field is taken. One that cannot go in
 * is waited for by an interrupt window, which makes KVM_REQ_EVENT again.
 */
static void inject_interrupts(struct kvm_vcpu *vcpu, bool injected)
{
	enum interrupt_source source;
	int vector;

	source = next_interrupt(vcpu, &vector);
	if (source == INTERRUPT_NONE)
		return;
	if (!injected && backend->interrupt_allowed(vcpu)) {
		inject_interrupt(vcpu, source, vector);
		/* What its IRR has left is of no higher priority. */
		if (source == INTERRUPT_APIC ||
		    next_interrupt(vcpu, &vector) == INTERRUPT_NONE)
			return;
	}
	backend->enable_irq_window(vcpu);
}

bool kvm_interrupt_pending(struct kvm_vcpu *vcpu)
{
	int vector;

	if (vcpu->apic && unlikely(kvm_apic_timer_pending(vcpu)))
		kvm_apic_inject_timer(vcpu);
	if (vcpu->apicv_active && kvm_apic_pending_vector(vcpu) >= 0)
		return true;
	return next_interrupt(vcpu, &vector) != INTERRUPT_NONE;
}

/*
 * Put one event into the hardware's injection field, and ask to be told when
 * the next one can follow.
 */
static void inject_events(struct kvm_vcpu *vcpu)
{
	struct kvm_events *ev = &vcpu->ev;
	bool injected;

	/* While one is in service, the processor latches one more, no two. */
	if (unlikely(atomic_read(&ev->nmi_pending) > 1) &&
	    (ev->nmi_injected || backend->get_nmi_masked(vcpu)))
		atomic_set(&ev->nmi_pending, 1);
	injected = reinject_event(vcpu) || inject_new_event(vcpu);
	if (unlikely(interrupts_blocked(vcpu)))
		return;
	if (unlikely(atomic_read(&ev->nmi_pending)))
		backend->enable_nmi_window(vcpu);
	if (ev->look) {
		ev->look = false;
		inject_interrupts(vcpu, injected);
	}
	if (unlikely(vcpu->run->request_interrupt_window) &&
	    takes_user_interrupts(vcpu))
		backend->enable_irq_window(vcpu);
}

/* ---- the run loop ------------------------------------------------------- */

/* What guests that know of us have in their memory. */
static void handle_pv_requests(struct kvm_vcpu *vcpu)
{
	kvm_vcpu_srcu_lock(vcpu);
	if (kvm_check_request(vcpu, KVM_REQ_CLOCK_UPDATE))
		kvm_clock_update(vcpu);
	if (kvm_check_request(vcpu, KVM_REQ_WALL_CLOCK))
		kvm_clock_write_wall(vcpu);
	if (kvm_check_request(vcpu, KVM_REQ_STEAL_TIME))
		kvm_pv_update_steal_time(vcpu);
	if (kvm_check_request(vcpu, KVM_REQ_APF_READY))
		kvm_apf_tell_ready(vcpu);
	kvm_vcpu_srcu_unlock(vcpu);
}

/*
 * May end in another mp_state. Whatever comes after this has begun makes
 * KVM_REQ_EVENT once more, and calls off the entry.
 */
static void handle_apic_requests(struct kvm_vcpu *vcpu)
{
	if (unlikely(kvm_apic_timer_pending(vcpu)))
		kvm_apic_inject_timer(vcpu);
	if (unlikely(kvm_apic_has_events(vcpu)))
		kvm_apic_accept_events(vcpu);
	if (kvm_check_request(vcpu, KVM_REQ_APIC_MAP))
		kvm_apic_map_update(vcpu->kvm);
	if (kvm_check_request(vcpu, KVM_REQ_SCAN_IOAPIC))
		kvm_apic_scan_ioapic(vcpu);
}

static void look_for_interrupts(struct kvm_vcpu *vcpu)
{
	if (unlikely(vcpu->pv.eoi_offered)) {
		kvm_apic_settle_eoi(vcpu);
		/* That one has ended makes the same request. */
		kvm_check_request(vcpu, KVM_REQ_EVENT);
	}
	vcpu->ev.look = true;
}

static int handle_requests(struct kvm_vcpu *vcpu)
{
	if (kvm_check_request(vcpu, KVM_REQ_EVENT))
		look_for_interrupts(vcpu);
	if (vcpu->apic)
		handle_apic_requests(vcpu);
	if (likely(!kvm_request_pending(vcpu)))
		return 1;
	if (kvm_check_request(vcpu, KVM_REQ_VM_DEAD))
		return -EIO;
	if (kvm_check_request(vcpu, KVM_REQ_MMU_RELOAD))
		kvm_mmu_unload(vcpu);
	if (kvm_check_request(vcpu, KVM_REQ_TSC_UPDATE)) {
		backend->set_tsc(vcpu);
		kvm_apic_timer_restart(vcpu);
		kvm_make_request(vcpu, KVM_REQ_CLOCK_UPDATE);
	}
	handle_pv_requests(vcpu);
	if (kvm_check_request(vcpu, KVM_REQ_BACKEND))
		backend->handle_request(vcpu);
	if (kvm_check_request(vcpu, KVM_REQ_MSR_FILTER))
		backend->msr_filter_changed(vcpu);
	if (kvm_check_request(vcpu, KVM_REQ_DIRTY_LOG))
		backend->set_dirty_logging(vcpu, vcpu->kvm->nr_logging_slots);
	if (kvm_check_request(vcpu, KVM_REQ_IOAPIC_EOI)) {
		vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		vcpu->run->eoi.vector = vcpu->eoi_vector;
		return 0;
	}
	if (kvm_check_request(vcpu, KVM_REQ_TRIPLE_FAULT)) {
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 0;
	}
	return 1;
}

/* Flushes need the CPU that the guest is about to run on. */
static void handle_flush_requests(struct kvm_vcpu *vcpu)
{
	if (kvm_check_request(vcpu, KVM_REQ_TLB_FLUSH)) {
		/* All includes the guest's own. */
		kvm_check_request(vcpu, KVM_REQ_TLB_FLUSH_GUEST);
		vcpu->stat.tlb_flush++;
		backend->flush_tlb(vcpu);
	} else if (kvm_check_request(vcpu, KVM_REQ_TLB_FLUSH_GUEST)) {
		vcpu->stat.tlb_flush++;
		backend->flush_tlb_guest(vcpu);
	}
}

/*
 * The last look before entry, interrupts disabled. From IN_GUEST_MODE on,
 * kvm_vcpu_kick() sends an interrupt, which makes the processor exit.
 */
static bool entry_called_off(struct kvm_vcpu *vcpu)
{
	vcpu->mode = IN_GUEST_MODE;
	smp_mb();	/* pairs with that after setting a request */
	handle_flush_requests(vcpu);
	if (likely(!kvm_request_pending(vcpu) &&
		   !xfer_to_guest_mode_work_pending()))
		return false;
	vcpu->mode = OUTSIDE_GUEST_MODE;
	return true;
}

/* Debug registers: the processor does not switch DR0 to DR3 and DR6 for us. */
static void guest_debug_load(struct kvm_vcpu *vcpu)
{
	set_debugreg(0, 7);
	set_debugreg(vcpu->eff_db[0], 0);
	set_debugreg(vcpu->eff_db[1], 1);
	set_debugreg(vcpu->eff_db[2], 2);
	set_debugreg(vcpu->eff_db[3], 3);
	if (vcpu->switch_db_regs & KVM_DEBUGREG_WONT_EXIT)
		set_debugreg(vcpu->dr6, 6);
}

/* The exit has cleared DR7: nothing is armed. */
static void guest_debug_put(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->switch_db_regs & KVM_DEBUGREG_WONT_EXIT))
		return;
	backend->sync_debug_regs(vcpu);
	set_debugreg(DR6_ONES, 6);
}

static int vcpu_enter_guest(struct kvm_vcpu *vcpu)
{
	int r;

	r = kvm_mmu_load(vcpu);
	if (unlikely(r))
		return r;
	inject_events(vcpu);

	preempt_disable();
	backend->prepare_switch(vcpu);
	local_irq_disable();
	if (unlikely(entry_called_off(vcpu))) {
		local_irq_enable();
		preempt_enable();
		backend->cancel_injection(vcpu);
		return 1;
	}
	compat_fpu_ensure_loaded();
	if (unlikely(vcpu->switch_db_regs))
		guest_debug_load(vcpu);
	guest_timing_enter_irqoff();

	backend->run(vcpu);

	if (unlikely(vcpu->switch_db_regs))
		guest_debug_put(vcpu);
	if (unlikely(hw_breakpoint_active()))
		hw_breakpoint_restore();
	vcpu->mode = OUTSIDE_GUEST_MODE;
	smp_wmb();	/* before handlers clear requests */
	backend->handle_exit_irqoff(vcpu);
	/*
	 * The interrupt that caused the exit, if one did, is taken here. The
	 * tick must still find the guest running to account the time to it.
	 */
	local_irq_enable();
	nop();
	local_irq_disable();
	guest_timing_exit_irqoff();
	local_irq_enable();
	preempt_enable();
	return backend->handle_exit(vcpu);
}

static int signal_exit(struct kvm_vcpu *vcpu, int error)
{
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	vcpu->stat.signal_exits++;
	return error;
}

static int run_loop(struct kvm_vcpu *vcpu)
{
	int r;

	for (;;) {
		if (unlikely(kvm_request_pending(vcpu))) {
			r = handle_requests(vcpu);
			if (r <= 0)
				return r;
		}
		if (likely(vcpu->mp_state == KVM_MP_STATE_RUNNABLE)) {
			r = vcpu_enter_guest(vcpu);
			if (r <= 0)
				return r;
		} else {
			kvm_vcpu_wait(vcpu);
		}
		if (unlikely(vcpu->run->request_interrupt_window) &&
		    user_interrupt_possible(vcpu)) {
			vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
			vcpu->stat.request_irq_exits++;
			return 0;
		}
		if (unlikely(__xfer_to_guest_mode_work_pending())) {
			vcpu->pv.between_insns = true;
			r = kvm_handle_user_work();
			vcpu->pv.between_insns = false;
			if (r)
				return signal_exit(vcpu, r);
		}
	}
}

/* What user space asked for when the last run ended. 1: nothing is left. */
static int complete_io(struct kvm_vcpu *vcpu)
{
	int (*complete)(struct kvm_vcpu *vcpu) = vcpu->complete_userspace_io;
	int r;

	if (!complete)
		return 1;
	vcpu->complete_userspace_io = NULL;
	kvm_vcpu_srcu_lock(vcpu);
	r = complete(vcpu);
	kvm_vcpu_srcu_unlock(vcpu);
	return r;
}

static int run_prepared(struct kvm_vcpu *vcpu)
{
	int r = complete_io(vcpu);

	if (r <= 0)
		return r;
	/* The exit that was completed stays what kvm_run tells about. */
	if (compat_immediate_exit(vcpu->run))
		return -EINTR;
	vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
	return run_loop(vcpu);
}

/* The fields of kvm_run that tell the monitor about interrupts. */
static void update_kvm_run(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = !!(backend->get_rflags(vcpu) & X86_EFLAGS_IF);
	run->cr8 = kvm_get_cr8(vcpu);
	run->apic_base = vcpu->msr.apic_base;
	run->flags = 0;
	/* With all controllers in the kernel there is nothing to wait for. */
	run->ready_for_interrupt_injection =
		vcpu->kvm->irqchip_mode == KVM_IRQCHIP_KERNEL ||
		user_interrupt_possible(vcpu);
}

int kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	int r;

	if (!kvm_synced_regs_valid(run))
		return -EINVAL;
	run->flags = 0;
	if (unlikely(run->kvm_dirty_regs)) {
		r = kvm_load_synced_regs(vcpu);
		if (r)
			return r;
	}

	fpu_swap_kvm_fpstate(&vcpu->guest_fpu, true);
	trace_kvm_fpu(1);
	vcpu->fpu_loaded = true;
	if (!vcpu->apic && kvm_set_cr8(vcpu, run->cr8))
		r = -EINVAL;
	else
		r = run_prepared(vcpu);
	fpu_swap_kvm_fpstate(&vcpu->guest_fpu, false);
	trace_kvm_fpu(0);
	vcpu->fpu_loaded = false;

	update_kvm_run(vcpu);
	if (unlikely(run->kvm_valid_regs))
		kvm_store_synced_regs(vcpu);
	return r;
}

bool kvm_vcpu_yield_to(struct kvm_vcpu *vcpu)
{
	struct task_struct *task;
	bool yielded;

	rcu_read_lock();
	task = get_pid_task(rcu_dereference(vcpu->pid), PIDTYPE_PID);
	rcu_read_unlock();
	if (!task)
		return false;
	yielded = task_is_running(task) && yield_to(task, true) > 0;
	put_task_struct(task);
	return yielded;
}

/* The one that had it last comes last. True: one has the CPU. */
static bool yield_to_some(struct kvm_vcpu *me, bool to_spinning)
{
	struct kvm *kvm = me->kvm;
	int n = READ_ONCE(kvm->nr_vcpus), last = READ_ONCE(kvm->last_boosted);
	struct kvm_vcpu *vcpu;
	int i;

	for (i = 1; i <= n; i++) {
		vcpu = xa_load(&kvm->vcpus, (last + i) % n);
		/* Preempted, or woken and not yet on a CPU, or it sleeps. */
		if (!vcpu || vcpu == me || READ_ONCE(vcpu->cpu) >= 0 ||
		    READ_ONCE(vcpu->spinning) != to_spinning ||
		    !kvm_vcpu_yield_to(vcpu))
			continue;
		WRITE_ONCE(kvm->last_boosted, (last + i) % n);
		return true;
	}
	return false;
}

/*
 * One that gave its own CPU away may still have nothing to do but wait, unless
 * all others have.
 */
void kvm_vcpu_on_spin(struct kvm_vcpu *me)
{
	WRITE_ONCE(me->spinning, true);
	if (!yield_to_some(me, false))
		yield_to_some(me, true);
	WRITE_ONCE(me->spinning, false);
}

int kvm_internal_error(struct kvm_vcpu *vcpu, u32 suberror, int ndata,
		       const u64 *data)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	run->internal.ndata = ndata;
	memcpy(run->internal.data, data, ndata * sizeof(*data));
	return 0;
}

/* ---- control registers -------------------------------------------------- */

/* CR0.PG and CR4.PAE are never the guest's own. */
bool is_paging(struct kvm_vcpu *vcpu)
{
	return vcpu->cr0 & X86_CR0_PG;
}

bool is_pae_paging(struct kvm_vcpu *vcpu)
{
	return is_paging(vcpu) && !is_long_mode(vcpu) &&
	       (vcpu->cr4 & X86_CR4_PAE);
}

bool is_64bit_mode(struct kvm_vcpu *vcpu)
{
	int db, l;

	if (!is_long_mode(vcpu))
		return false;
	backend->get_cs_db_l(vcpu, &db, &l);
	return l;
}

bool kvm_cr0_valid(unsigned long cr0)
{
	if (cr0 >> 32)
		return false;
	if ((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD))
		return false;
	return !(cr0 & X86_CR0_PG) || (cr0 & X86_CR0_PE);
}

/* "Mode Switching": may CR0 change so, as far as paging is concerned? */
static bool paging_switch_valid(struct kvm_vcpu *vcpu, unsigned long old,
				unsigned long cr0)
{
	unsigned long cr4 = kvm_read_cr4(vcpu);

	if (!((old ^ cr0) & X86_CR0_PG)) {
		/* "PDPTE Registers": CD and NW reload them, too. */
		return !is_pae_paging(vcpu) ||
		       !((old ^ cr0) & (X86_CR0_CD | X86_CR0_NW)) ||
		       !kvm_mmu_load_pdptrs(vcpu, kvm_read_cr3(vcpu));
	}
	if (!(cr0 & X86_CR0_PG))
		return !is_64bit_mode(vcpu) && !(cr4 & X86_CR4_PCIDE);
	if (vcpu->efer & EFER_LME) {
		int db, l;

		backend->get_cs_db_l(vcpu, &db, &l);
		return (cr4 & X86_CR4_PAE) && !l;
	}
	return !(cr4 & X86_CR4_PAE) ||
	       !kvm_mmu_load_pdptrs(vcpu, kvm_read_cr3(vcpu));
}

static void update_lma(struct kvm_vcpu *vcpu, unsigned long cr0)
{
	u64 efer = vcpu->efer & ~(u64)EFER_LMA;

	if ((efer & EFER_LME) && (cr0 & X86_CR0_PG))
		efer |= EFER_LMA;
	if (efer != vcpu->efer)
		backend->set_efer(vcpu, efer);
}

#define CR0_PAGING_BITS	(X86_CR0_PG | X86_CR0_WP)

int kvm_set_cr0(struct kvm_vcpu *vcpu, unsigned long cr0)
{
	unsigned long old = kvm_read_cr0(vcpu);

	if (!kvm_cr0_valid(cr0))
		return 1;
	cr0 = (cr0 & CR0_DEFINED) | X86_CR0_ET;
	if (!paging_switch_valid(vcpu, old, cr0))
		return 1;
	update_lma(vcpu, cr0);
	backend->set_cr0(vcpu, cr0);
	if ((old ^ cr0) & X86_CR0_PG)
		kvm_make_request(vcpu, KVM_REQ_TLB_FLUSH_GUEST);
	if ((old ^ cr0) & CR0_PAGING_BITS)
		kvm_mmu_reset(vcpu);
	return 0;
}

int kvm_set_cr3(struct kvm_vcpu *vcpu, unsigned long cr3)
{
	bool flush = true;

	if (kvm_read_cr4(vcpu) & X86_CR4_PCIDE) {
		flush = !(cr3 & X86_CR3_PCID_NOFLUSH);
		cr3 &= ~X86_CR3_PCID_NOFLUSH;
	}
	if (is_long_mode(vcpu)) {
		if (cr3 & vcpu->reserved_gpa_bits)
			return 1;
	} else if (is_pae_paging(vcpu) && kvm_mmu_load_pdptrs(vcpu, cr3)) {
		return 1;
	}
	kvm_mmu_new_cr3(vcpu, flush);
	vcpu->cr3 = cr3;
	vcpu->regs_avail |= BIT(VCPU_CR3);
	vcpu->regs_dirty |= BIT(VCPU_CR3);
	return 0;
}

bool kvm_cr4_valid(struct kvm_vcpu *vcpu, unsigned long cr4)
{
	return !(cr4 & vcpu->cr4_reserved) && backend->cr4_allowed(vcpu, cr4);
}

#define CR4_PDPTR_BITS	(X86_CR4_PGE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_SMEP)
#define CR4_PAGING_BITS	(CR4_PDPTR_BITS | X86_CR4_SMAP | X86_CR4_PKE | \
			 X86_CR4_LA57 | X86_CR4_PCIDE)

static bool cr4_switch_valid(struct kvm_vcpu *vcpu, unsigned long old,
			     unsigned long cr4)
{
	if (is_long_mode(vcpu)) {
		if (!(cr4 & X86_CR4_PAE) || ((old ^ cr4) & X86_CR4_LA57))
			return false;
	} else if (is_paging(vcpu) && (cr4 & X86_CR4_PAE) &&
		   ((old ^ cr4) & CR4_PDPTR_BITS) &&
		   kvm_mmu_load_pdptrs(vcpu, kvm_read_cr3(vcpu))) {
		return false;
	}
	if ((cr4 & ~old) & X86_CR4_PCIDE)
		return is_long_mode(vcpu) &&
		       !(kvm_read_cr3(vcpu) & X86_CR3_PCID_MASK);
	return true;
}

int kvm_set_cr4(struct kvm_vcpu *vcpu, unsigned long cr4)
{
	unsigned long old = kvm_read_cr4(vcpu);

	if (!kvm_cr4_valid(vcpu, cr4) || !cr4_switch_valid(vcpu, old, cr4))
		return 1;
	backend->set_cr4(vcpu, cr4);
	if ((old ^ cr4) & CR4_PAGING_BITS) {
		kvm_make_request(vcpu, KVM_REQ_TLB_FLUSH_GUEST);
		kvm_mmu_reset(vcpu);
	}
	if ((old ^ cr4) & (X86_CR4_OSXSAVE | X86_CR4_PKE))
		kvm_update_cpuid_runtime(vcpu);
	return 0;
}

int kvm_set_cr8(struct kvm_vcpu *vcpu, unsigned long cr8)
{
	if (cr8 & ~0xful)
		return 1;
	if (vcpu->apic)
		kvm_apic_set_tpr(vcpu, cr8);
	else
		vcpu->cr8 = cr8;
	return 0;
}

unsigned long kvm_get_cr8(struct kvm_vcpu *vcpu)
{
	return vcpu->apic ? kvm_apic_get_cr8(vcpu) : vcpu->cr8;
}

/* "Extended Control Registers (Including XCR0)". */
static bool xcr0_valid(const struct kvm_vcpu *vcpu, u64 xcr0)
{
	const u64 avx512 = XFEATURE_MASK_AVX512;
	const u64 bnd = XFEATURE_MASK_BNDREGS | XFEATURE_MASK_BNDCSR;

	if (!(xcr0 & XFEATURE_MASK_FP) || (xcr0 & ~vcpu->guest_supported_xcr0))
		return false;
	if ((xcr0 & XFEATURE_MASK_YMM) && !(xcr0 & XFEATURE_MASK_SSE))
		return false;
	if ((xcr0 & bnd) && (xcr0 & bnd) != bnd)
		return false;
	return !(xcr0 & avx512) || ((xcr0 & avx512) == avx512 &&
				    (xcr0 & XFEATURE_MASK_YMM));
}

int kvm_set_xcr(struct kvm_vcpu *vcpu, u32 index, u64 xcr)
{
	if (index || !xcr0_valid(vcpu, xcr))
		return 1;
	vcpu->xcr0 = xcr;
	kvm_update_cpuid_runtime(vcpu);
	return 0;
}

/* ---- debug registers ---------------------------------------------------- */

void kvm_update_dr7(struct kvm_vcpu *vcpu)
{
	unsigned long dr7 = vcpu->dr7;

	if (vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP)
		dr7 = vcpu->guest_debug_dr7;
	vcpu->switch_db_regs &= ~KVM_DEBUGREG_BP_ENABLED;
	if (dr7 & DR7_ENABLES)
		vcpu->switch_db_regs |= KVM_DEBUGREG_BP_ENABLED;
	backend->set_dr7(vcpu, dr7);
}

int kvm_set_dr(struct kvm_vcpu *vcpu, int dr, unsigned long val)
{
	switch (dr) {
	case 0 ... 3:
		vcpu->db[dr] = val;
		if (!(vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP))
			vcpu->eff_db[dr] = val;
		return 0;
	case 4:
	case 6:
		if (val >> 32)
			return 1;
		vcpu->dr6 = (val & DR6_WRITABLE) | DR6_ONES;
		return 0;
	default:
		if (val >> 32)
			return 1;
		vcpu->dr7 = (val & DR7_WRITABLE) | DR7_ONES;
		kvm_update_dr7(vcpu);
		return 0;
	}
}

unsigned long kvm_get_dr(struct kvm_vcpu *vcpu, int dr)
{
	switch (dr) {
	case 0 ... 3:
		return vcpu->db[dr];
	case 4:
	case 6:
		return vcpu->dr6;
	default:
		return vcpu->dr7;
	}
}

/* ---- creation and reset ------------------------------------------------- */

void kvm_vcpu_reset(struct kvm_vcpu *vcpu, bool init)
{
	memset(&vcpu->ev, 0, sizeof(vcpu->ev));
	vcpu->ev.user_irq = -1;
	memset(vcpu->regs, 0, sizeof(vcpu->regs));
	vcpu->regs_avail = ~0u;
	vcpu->regs_dirty = ~0u;
	/* "Processor State After Reset": family, model and stepping in EDX. */
	vcpu->regs[VCPU_RDX] = 0x600;
	vcpu->regs[VCPU_RIP] = 0xfff0;
	vcpu->cr2 = 0;
	vcpu->cr3 = 0;
	vcpu->cr8 = 0;
	memset(vcpu->db, 0, sizeof(vcpu->db));
	memset(vcpu->eff_db, 0, sizeof(vcpu->eff_db));
	vcpu->dr6 = DR6_ONES;
	vcpu->dr7 = DR7_ONES;
	if (!init)
		vcpu->xcr0 = XFEATURE_MASK_FP;
	kvm_msr_reset(vcpu, init);
	kvm_pv_reset(vcpu, init);
	backend->vcpu_reset(vcpu, init);
	if (vcpu->apic)
		kvm_lapic_reset(vcpu, init);
	kvm_update_dr7(vcpu);
	kvm_update_cpuid_runtime(vcpu);
	kvm_mmu_reset(vcpu);
	kvm_make_request(vcpu, KVM_REQ_TLB_FLUSH_GUEST);
}

void kvm_vcpu_start_at(struct kvm_vcpu *vcpu, u8 page)
{
	struct kvm_segment cs;

	backend->get_segment(vcpu, &cs, VCPU_SEG_CS);
	cs.selector = page << 8;
	cs.base = page << 12;
	backend->set_segment(vcpu, &cs, VCPU_SEG_CS);
	kvm_rip_write(vcpu, 0);
}

/* Those that the first starts wait for it, where messages can reach them. */
static int create_lapic(struct kvm_vcpu *vcpu)
{
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	if (!kvm_irqchip_in_kernel(vcpu->kvm))
		return 0;
	if (vcpu->id != vcpu->kvm->boot_cpu_id)
		vcpu->mp_state = KVM_MP_STATE_UNINITIALIZED;
	return kvm_lapic_create(vcpu);
}

int kvm_vcpu_init(struct kvm_vcpu *vcpu)
{
	int r;

	vcpu->cpu = -1;
	if (!fpu_alloc_guest_fpstate(&vcpu->guest_fpu))
		return -ENOMEM;
	r = kvm_emulator_create(vcpu);
	if (r)
		goto free_fpu;
	r = create_lapic(vcpu);
	if (r)
		goto free_emulator;
	r = backend->vcpu_create(vcpu);
	if (r)
		goto free_lapic;
	vcpu_load(vcpu);
	r = kvm_set_cpuid2(vcpu, NULL, 0);
	if (r)
		goto put;
	kvm_set_tsc_khz(vcpu, vcpu->kvm->tsc_khz);
	kvm_write_guest_tsc(vcpu, 0, true);
	kvm_vcpu_reset(vcpu, false);
	vcpu_put(vcpu);
	/* Slots may log already. */
	if (kvm_caps.pml)
		kvm_make_request(vcpu, KVM_REQ_DIRTY_LOG);
	return 0;

put:
	vcpu_put(vcpu);
	backend->vcpu_free(vcpu);
free_lapic:
	kvm_lapic_free(vcpu);
free_emulator:
	kvm_emulator_free(vcpu);
free_fpu:
	fpu_free_guest_fpstate(&vcpu->guest_fpu);
	return r;
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	kvm_apf_destroy(vcpu);
	kvm_mmu_vcpu_free(vcpu);
	backend->vcpu_free(vcpu);
	kvm_lapic_free(vcpu);
	kvm_emulator_free(vcpu);
	kvfree(vcpu->cpuid);
	fpu_free_guest_fpstate(&vcpu->guest_fpu);
}
