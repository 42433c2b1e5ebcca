// SPDX-License-Identifier: GPL-2.0-only
/*
 * apic_timer.c - the local APIC's timer: one-shot, periodic, TSC deadline.
 *
 * Nothing counts: what is kept is when the count will be 0, and the current
 * count is worked out from the time. The bus clock ticks once a nanosecond.
 * At the moment itself the backend's timer, or the host's, only says that it
 * has come; the vCPU's thread, which alone changes the timer, then looks at
 * the clock again, delivers the interrupt and goes on to the next period.
 * What a vCPU that does not run has missed is one interrupt, as in IRR.
 *
 * Locking: vcpu->mutex, own thread; interrupts may be off. The callback of
 * the host's timer sets `fired` and nothing else.
 *
 * SDM: "APIC Timer", "TSC-Deadline Mode".
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <asm/msr.h>

#include "../include/compat.h"
#include "lapic.h"

static unsigned int min_timer_period_us = 200;
module_param(min_timer_period_us, uint, 0644);
MODULE_PARM_DESC(min_timer_period_us,
		 "Shortest period of a guest's periodic APIC timer");

#define LVTT_MODE	(APIC_LVT_TIMER_PERIODIC | APIC_LVT_TIMER_TSCDEADLINE)

static u32 timer_mode(const struct kvm_lapic *apic)
{
	return apic_get(apic, APIC_LVTT) & LVTT_MODE;
}

/* "Divide Configuration Register": bits 0, 1 and 3; 2, 4, ... 128, then 1. */
static unsigned int divide_shift(u32 tdcr)
{
	return (((tdcr & 3) | (tdcr & 8) >> 1) + 1) & 7;
}

static u64 count_to_ns(const struct kvm_lapic *apic, u32 count)
{
	return (u64)count << divide_shift(apic_get(apic, APIC_TDCR));
}

/* ---- told when it is time ----------------------------------------------- */

static enum hrtimer_restart host_timer_fires(struct hrtimer *hrtimer)
{
	struct kvm_lapic *apic = container_of(hrtimer, struct kvm_lapic,
					      timer.hrtimer);

	WRITE_ONCE(apic->timer.fired, true);
	kvm_make_request(apic->vcpu, KVM_REQ_EVENT);
	kvm_vcpu_kick(apic->vcpu);
	return HRTIMER_NORESTART;
}

static void cancel(struct kvm_apic_timer *t, struct kvm_vcpu *vcpu)
{
	if (t->in_backend) {
		backend->cancel_timer(vcpu);
		t->in_backend = false;
	} else {
		hrtimer_cancel(&t->hrtimer);
	}
	WRITE_ONCE(t->fired, false);
}

static void fire_now(struct kvm_lapic *apic)
{
	cancel(&apic->timer, apic->vcpu);
	WRITE_ONCE(apic->timer.fired, true);
	kvm_make_request(apic->vcpu, KVM_REQ_EVENT);
}

static void expire(struct kvm_lapic *apic);

/* The guest has just set it, and is spared the way through the run loop. */
static void fire_passed_deadline(struct kvm_lapic *apic)
{
	if (READ_ONCE(apic->vcpu->mode) != IN_GUEST_MODE) {
		fire_now(apic);
		return;
	}
	cancel(&apic->timer, apic->vcpu);
	expire(apic);
}

static void arm_host_timer(struct kvm_apic_timer *t, u64 expires)
{
	hrtimer_start(&t->hrtimer, ns_to_ktime(expires),
		      HRTIMER_MODE_ABS_PINNED_HARD);
}

/* Only a vCPU that is to run goes on watching the backend's timer. */
static bool arm_backend(struct kvm_lapic *apic, u64 now, u64 tsc)
{
	struct kvm_apic_timer *t = &apic->timer;

	if (!kvm_caps.preemption_timer ||
	    apic->vcpu->mp_state != KVM_MP_STATE_RUNNABLE ||
	    !backend->set_timer(apic->vcpu, now, tsc))
		return false;
	if (!t->in_backend)
		hrtimer_cancel(&t->hrtimer);
	t->in_backend = true;
	return true;
}

static void leave_backend(struct kvm_lapic *apic)
{
	if (!apic->timer.in_backend)
		return;
	backend->cancel_timer(apic->vcpu);
	apic->timer.in_backend = false;
}

/* What is further away is looked at again then. */
#define MAX_WAIT_SECONDS	(365ull * 24 * 3600)

static void arm_deadline(struct kvm_lapic *apic)
{
	struct kvm_apic_timer *t = &apic->timer;
	struct kvm_vcpu *vcpu = apic->vcpu;
	u64 now = kvm_read_guest_tsc(vcpu), ticks = t->tsc_deadline - now;

	if (t->tsc_deadline <= now) {
		fire_passed_deadline(apic);
		return;
	}
	if (arm_backend(apic, now, t->tsc_deadline))
		return;
	leave_backend(apic);
	ticks = min(ticks, vcpu->tsc_khz * 1000 * MAX_WAIT_SECONDS);
	arm_host_timer(t, ktime_get_ns() +
		       mul_u64_u64_div_u64(ticks, NSEC_PER_MSEC,
					   vcpu->tsc_khz));
}

static void arm_count(struct kvm_lapic *apic, u64 now)
{
	struct kvm_apic_timer *t = &apic->timer;
	struct kvm_vcpu *vcpu = apic->vcpu;
	u64 ticks, tsc;

	if (t->expires <= now) {
		fire_now(apic);
		return;
	}
	ticks = mul_u64_u64_div_u64(t->expires - now, vcpu->tsc_khz,
				    NSEC_PER_MSEC);
	tsc = kvm_read_guest_tsc(vcpu);
	if (arm_backend(apic, tsc, tsc + ticks))
		return;
	leave_backend(apic);
	arm_host_timer(t, t->expires);
}

static void arm(struct kvm_lapic *apic)
{
	if (apic->timer.tsc_deadline)
		arm_deadline(apic);
	else if (apic->timer.period)
		arm_count(apic, ktime_get_ns());
}

/* ---- when it is time ---------------------------------------------------- */

static void next_period(struct kvm_lapic *apic)
{
	struct kvm_apic_timer *t = &apic->timer;
	u64 now = ktime_get_ns();

	t->expires += t->period;
	if (t->expires <= now)
		t->expires += (div64_u64(now - t->expires, t->period) + 1) *
			      t->period;
	arm_count(apic, now);
}

static void expire(struct kvm_lapic *apic)
{
	apic_deliver_local(apic, APIC_LVTT);
	apic->timer.tsc_deadline = 0;
	if (!apic->timer.period)
		return;
	if (timer_mode(apic) == APIC_LVT_TIMER_PERIODIC)
		next_period(apic);
	else
		apic->timer.period = 0;
}

/* The host's clock is not the guest's: it may be a little early. */
static bool is_time(const struct kvm_lapic *apic)
{
	const struct kvm_apic_timer *t = &apic->timer;

	if (t->tsc_deadline)
		return kvm_read_guest_tsc(apic->vcpu) >= t->tsc_deadline;
	return t->period && ktime_get_ns() >= t->expires;
}

void kvm_apic_inject_timer(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->apic;

	WRITE_ONCE(apic->timer.fired, false);
	if (is_time(apic))
		expire(apic);
	else
		arm(apic);
}

bool kvm_apic_timer_pending(struct kvm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->apic->timer.fired);
}

void kvm_apic_hw_timer_fired(struct kvm_vcpu *vcpu)
{
	vcpu->apic->timer.in_backend = false;
	expire(vcpu->apic);
}

void kvm_apic_timer_sleep(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->apic;

	if (!apic->timer.in_backend)
		return;
	leave_backend(apic);
	arm(apic);
}

void kvm_apic_timer_restart(struct kvm_vcpu *vcpu)
{
	if (vcpu->apic)
		arm(vcpu->apic);
}

/* ---- registers ---------------------------------------------------------- */

u64 kvm_apic_get_tsc_deadline(struct kvm_vcpu *vcpu)
{
	return vcpu->apic ? vcpu->apic->timer.tsc_deadline : 0;
}

/* "In other timer modes, ... writes to IA32_TSC_DEADLINE are ignored." */
void kvm_apic_set_tsc_deadline(struct kvm_vcpu *vcpu, u64 tsc)
{
	struct kvm_lapic *apic = vcpu->apic;

	if (!apic || timer_mode(apic) != APIC_LVT_TIMER_TSCDEADLINE)
		return;
	apic->timer.tsc_deadline = tsc;
	if (tsc)
		arm_deadline(apic);
	else
		cancel(&apic->timer, vcpu);
}

/* The vCPU's thread is to have time for its guest, too. */
static void limit_period(struct kvm_lapic *apic)
{
	struct kvm_apic_timer *t = &apic->timer;

	if (t->period && timer_mode(apic) == APIC_LVT_TIMER_PERIODIC)
		t->period = max(t->period, min_timer_period_us * 1000ull);
}

static void start_from(struct kvm_lapic *apic, u32 count)
{
	struct kvm_apic_timer *t = &apic->timer;
	u64 now = ktime_get_ns();

	t->period = count_to_ns(apic, apic_get(apic, APIC_TMICT));
	limit_period(apic);
	t->expires = now + count_to_ns(apic, count);
	arm_count(apic, now);
}

/* Writing 0 stops the timer; in TSC-deadline mode the register is ignored. */
void apic_timer_start(struct kvm_lapic *apic)
{
	u32 count = apic_get(apic, APIC_TMICT);

	if (timer_mode(apic) == APIC_LVT_TIMER_TSCDEADLINE)
		return;
	if (count)
		start_from(apic, count);
	else
		apic_timer_stop(apic);
}

void apic_timer_resume(struct kvm_lapic *apic, u32 count)
{
	u32 initial = apic_get(apic, APIC_TMICT);
	u32 mode = timer_mode(apic);

	if (mode == APIC_LVT_TIMER_TSCDEADLINE) {
		apic->timer.period = 0;
		if (apic->timer.tsc_deadline)
			arm(apic);
		else
			apic_timer_stop(apic);
		return;
	}
	apic_timer_stop(apic);
	if (initial && (count || mode == APIC_LVT_TIMER_PERIODIC))
		start_from(apic, min(count ?: initial, initial));
}

static u32 count_left(struct kvm_lapic *apic, u32 tdcr)
{
	const struct kvm_apic_timer *t = &apic->timer;
	u64 now = ktime_get_ns(), left, count;

	if (!t->period)
		return 0;
	if (now < t->expires)
		left = t->expires - now;
	else if (timer_mode(apic) == APIC_LVT_TIMER_PERIODIC)
		left = t->period - (now - t->expires) % t->period;
	else
		return 0;
	/* Rounded up: 0 is when the interrupt comes. */
	count = (left + BIT(divide_shift(tdcr)) - 1) >> divide_shift(tdcr);
	return min_t(u64, count, apic_get(apic, APIC_TMICT));
}

u32 apic_timer_count(struct kvm_lapic *apic)
{
	return count_left(apic, apic_get(apic, APIC_TDCR));
}

/* The count stands; it goes on at another speed. */
void apic_timer_divide_changed(struct kvm_lapic *apic, u32 old)
{
	u32 count = count_left(apic, old);

	if (count)
		start_from(apic, count);
}

/* One-shot and periodic differ only in what happens at 0. */
void apic_timer_lvt_changed(struct kvm_lapic *apic, u32 old)
{
	u32 changed = (old ^ apic_get(apic, APIC_LVTT)) & LVTT_MODE;

	if (!(changed & APIC_LVT_TIMER_TSCDEADLINE)) {
		limit_period(apic);
		return;
	}
	apic_timer_stop(apic);
	apic_set(apic, APIC_TMICT, 0);
}

void apic_timer_stop(struct kvm_lapic *apic)
{
	cancel(&apic->timer, apic->vcpu);
	apic->timer.period = 0;
	apic->timer.tsc_deadline = 0;
}

void apic_timer_init(struct kvm_lapic *apic)
{
	hrtimer_setup(&apic->timer.hrtimer, host_timer_fires, CLOCK_MONOTONIC,
		      HRTIMER_MODE_ABS_PINNED_HARD);
}
