// SPDX-License-Identifier: GPL-2.0-only
/*
 * halt.c - vCPUs that do not run: in HLT, or waiting for INIT and a start-up
 * IPI. With a local APIC of ours they wait here, else the monitor is told.
 *
 * A vCPU that is likely to be woken soon looks for its wake-up for a while
 * before it gives the CPU away. How long is learnt: the time grows when a
 * sleep was short enough that polling would have spared it, and shrinks when
 * polling was in vain.
 *
 * No wake-up is lost: who sends one makes it visible, and a request, and then
 * wakes; the vCPU's thread first says that it waits, and then looks.
 *
 * Locking: vcpu->mutex, vCPU loaded, no SRCU.
 *
 * SDM: "HLT", "MP Initialization Protocol".
 */
#include <linux/ktime.h>
#include <linux/kvm_para.h>
#include <linux/module.h>
#include <linux/rcuwait.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>

#include "include/compat.h"
#include "kvm.h"
#include "trace.h"

static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "Longest time a halted vCPU polls; 0: it sleeps");

static unsigned int halt_poll_ns_grow = 2;
module_param(halt_poll_ns_grow, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_grow, "Factor by which the time grows; 0: not");

static unsigned int halt_poll_ns_grow_start = 10000;
module_param(halt_poll_ns_grow_start, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_grow_start, "What it grows to from 0");

static unsigned int halt_poll_ns_shrink;
module_param(halt_poll_ns_shrink, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_shrink, "Divisor by which it shrinks; 0: to 0");

/* ---- why a vCPU would stop waiting -------------------------------------- */

/* Requests that cannot wait for the next entry. */
#define URGENT_REQUESTS	(BIT(KVM_REQ_VM_DEAD) | BIT(KVM_REQ_TRIPLE_FAULT) | \
			 BIT(KVM_REQ_TSC_UPDATE) | BIT(KVM_REQ_APIC_MAP) | \
			 BIT(KVM_REQ_IOAPIC_EOI) | BIT(KVM_REQ_BACKEND) | \
			 BIT(KVM_REQ_APF_READY))

/* What the guest lets through is asked last: it takes reads of the VMCS. */
static bool halt_ends(struct kvm_vcpu *vcpu)
{
	return vcpu->ev.exception.pending ||
	       READ_ONCE(vcpu->pv.unhalted) ||
	       (atomic_read(&vcpu->ev.nmi_pending) &&
		backend->nmi_allowed(vcpu)) ||
	       (kvm_interrupt_pending(vcpu) &&
		backend->interrupt_allowed(vcpu));
}

static bool wait_ends(struct kvm_vcpu *vcpu)
{
	return (READ_ONCE(vcpu->requests) & URGENT_REQUESTS) ||
	       kvm_apic_has_events(vcpu) ||
	       (vcpu->mp_state == KVM_MP_STATE_HALTED && halt_ends(vcpu));
}

/* ---- polling ------------------------------------------------------------ */

/* KVM_CAP_HALT_POLL, or else the module's parameter. */
static u64 longest_poll(const struct kvm_vcpu *vcpu)
{
	s64 of_vm = READ_ONCE(vcpu->kvm->halt_poll_ns);

	return of_vm >= 0 ? of_vm : READ_ONCE(halt_poll_ns);
}

static void grow(struct kvm_vcpu *vcpu)
{
	u64 ns = vcpu->halt_poll_ns * READ_ONCE(halt_poll_ns_grow);

	if (!READ_ONCE(halt_poll_ns_grow))
		return;
	ns = max_t(u64, ns, READ_ONCE(halt_poll_ns_grow_start));
	vcpu->halt_poll_ns = min(ns, longest_poll(vcpu));
}

static void shrink(struct kvm_vcpu *vcpu)
{
	unsigned int divisor = READ_ONCE(halt_poll_ns_shrink);

	vcpu->halt_poll_ns = divisor ? vcpu->halt_poll_ns / divisor : 0;
	if (vcpu->halt_poll_ns < READ_ONCE(halt_poll_ns_grow_start))
		vcpu->halt_poll_ns = 0;
}

static void learn(struct kvm_vcpu *vcpu, u64 waited)
{
	u64 longest = longest_poll(vcpu);
	u32 old = vcpu->halt_poll_ns;

	if (waited <= old)
		return;
	if (waited > longest)
		shrink(vcpu);
	else if (old < longest)
		grow(vcpu);
	if (vcpu->halt_poll_ns != old)
		trace_kvm_halt_poll_ns(waited <= longest, vcpu->id,
				       vcpu->halt_poll_ns, old);
}

/* True: there is no need to sleep. */
static bool poll(struct kvm_vcpu *vcpu, u64 start)
{
	u64 end = start + min(vcpu->halt_poll_ns, longest_poll(vcpu));
	u64 now = start;

	/* A guest that polls by itself says so. */
	if (now >= end || !(vcpu->msr.poll_control & KVM_MSR_ENABLED))
		return false;
	vcpu->stat.halt_attempted_poll++;
	do {
		if (wait_ends(vcpu)) {
			vcpu->stat.halt_successful_poll++;
			vcpu->stat.halt_poll_success_ns += now - start;
			kvm_stat_hist(vcpu->stat.halt_poll_success_hist,
				      now - start);
			return true;
		}
		cpu_relax();
		now = ktime_get_ns();
	} while (now < end && !need_resched() && single_task_running() &&
		 !signal_pending(current));
	vcpu->stat.halt_poll_fail_ns += now - start;
	kvm_stat_hist(vcpu->stat.halt_poll_fail_hist, now - start);
	return false;
}

/* ---- waiting ------------------------------------------------------------ */

static void sleep_until_woken(struct kvm_vcpu *vcpu)
{
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (wait_ends(vcpu) || signal_pending(current))
			break;
		schedule();
		vcpu->stat.halt_wakeup++;
	}
	finish_rcuwait(&vcpu->wait);
}

static void wait(struct kvm_vcpu *vcpu)
{
	const bool halted = vcpu->mp_state == KVM_MP_STATE_HALTED;
	bool slept = false;
	u64 start;

	if (wait_ends(vcpu))
		return;
	kvm_apic_timer_sleep(vcpu);
	start = ktime_get_ns();
	if (!halted || !poll(vcpu, start)) {
		u64 from = ktime_get_ns(), ns;

		sleep_until_woken(vcpu);
		slept = true;
		ns = ktime_get_ns() - from;
		vcpu->stat.halt_wait_ns += ns;
		kvm_stat_hist(vcpu->stat.halt_wait_hist, ns);
	}
	if (halted)
		learn(vcpu, ktime_get_ns() - start);
	if (trace_kvm_vcpu_wakeup_enabled())
		trace_kvm_vcpu_wakeup(ktime_get_ns() - start, slept,
				      wait_ends(vcpu));
}

static void run_again(struct kvm_vcpu *vcpu)
{
	kvm_pv_take_kick(vcpu);
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
}

void kvm_vcpu_wait(struct kvm_vcpu *vcpu)
{
	wait(vcpu);
	if (kvm_apic_has_events(vcpu))
		kvm_apic_accept_events(vcpu);
	else if (vcpu->mp_state == KVM_MP_STATE_HALTED && halt_ends(vcpu))
		run_again(vcpu);
}

int kvm_emulate_halt(struct kvm_vcpu *vcpu)
{
	vcpu->stat.halt_exits++;
	if (unlikely(vcpu->pv.eoi_offered))
		kvm_apic_settle_eoi(vcpu);
	if (unlikely(halt_ends(vcpu))) {
		run_again(vcpu);
		return 1;
	}
	if (vcpu->apic) {
		vcpu->mp_state = KVM_MP_STATE_HALTED;
		return 1;
	}
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	return 0;
}
