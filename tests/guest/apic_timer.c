// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's timer: one-shot, periodic and TSC-deadline, by its
 * registers, in time and not too late, in busy and in halted guests, and
 * taken along with the rest of the state. KVM's APIC timer runs at 1 GHz.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "irqchip.h"

#define VEC	0x51
#define MS	1000000u		/* timer ticks, at divisor 1 */

static struct vcpu *one(bool x2)
{
	return remote_vm(x2, 1)->vcpus[0];
}

static u64 tsc_khz(struct vcpu *v)
{
	return WORKS(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
}

/* In guests: a timer, and how long until so many interrupts have come. */

static u64 begun;

static u64 g_begin(u64 lvt, u64 count)
{
	apic_write(APIC_LVT_TIMER, lvt);
	begun = rdtsc();
	apic_write(APIC_TMICT, count);
	return 0;
}

/* Returns the time since the beginning, however it ended. */
static u64 g_spin(u64 interrupts, u64 limit)
{
	struct percpu *p = this_cpu();

	sti();
	while (p->taken < interrupts && rdtsc() - begun < limit)
		asm volatile("pause");
	cli();
	return rdtsc() - begun;
}

/* Halts in between, so that somebody must wake it up. */
static u64 g_halt(u64 interrupts, u64 unused)
{
	struct percpu *p = this_cpu();

	(void)unused;
	while (p->taken < interrupts)
		asm volatile("sti; hlt; cli" : : : "memory");
	return rdtsc() - begun;
}

static void begin(struct vcpu *v, u32 lvt, u32 count)
{
	log_clear(v);
	remote(v, g_begin, lvt, count);
}

/* In microseconds of the guest's TSC. */
static u64 spin(struct vcpu *v, u32 interrupts, u64 limit_us)
{
	u64 khz = tsc_khz(v);

	return remote(v, g_spin, interrupts, limit_us * khz / 1000) * 1000 /
	       khz;
}

/* Never early; how late depends on the host, which has little else to do. */
#define IN_TIME(got_us, want_us) do {					\
	u64 __got = (got_us), __want = (want_us);			\
									\
	if (__got < __want * 99 / 100 || __got > __want + 2000)		\
		fail("after %llu us, expected %llu", __got, __want);	\
} while (0)

BOTH_MODES(one_shot)
{
	struct vcpu *v = one(x2);

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	begin(v, VEC, 3 * MS);
	IN_TIME(spin(v, 1, 100000), 3000);
	EQ(PERCPU(v).log[0], VEC);
	EQ(remote_apic_read(v, APIC_TMCCT), 0);
	EQ(remote_apic_read(v, APIC_TMICT), 3 * MS);
	spin(v, 2, 15000);
	EQ(PERCPU(v).taken, 1);
	vm_free(v->vm);
}

BOTH_MODES(divisors)
{
	static const struct { u32 tdcr, by; } divisors[] = {
		{ 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 },
		{ 10, 128 }, { 11, 1 },
	};
	struct vcpu *v = one(x2);
	u64 took;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(divisors); i++) {
		remote_apic_write(v, APIC_TDCR, divisors[i].tdcr);
		begin(v, VEC, 4 * MS / divisors[i].by);
		took = spin(v, 1, 50000);
		row(took >= 3960 && took < 6000, "divisor %u: %llu us",
		    divisors[i].by, took);
	}
	vm_free(v->vm);
}

BOTH_MODES(current_count)
{
	struct vcpu *v = one(x2);
	u32 first, second;
	u64 took;

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	begin(v, VEC, 4000 * MS);
	first = remote_apic_read(v, APIC_TMCCT);
	CHECK(first > 3900u * MS && first <= 4000u * MS);
	took = spin(v, 1, 20000);
	second = remote_apic_read(v, APIC_TMCCT);
	CHECK(4000u * MS - second >= took * 990);
	CHECK(4000u * MS - second <= took * 1000 + 5 * MS);
	EQ(PERCPU(v).taken, 0);
	vm_free(v->vm);
}

/* Masked it counts, but what it would have said is lost. */
BOTH_MODES(masked)
{
	struct vcpu *v = one(x2);

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	begin(v, LVT_MASKED | VEC, MS);
	CHECK(remote_apic_read(v, APIC_TMCCT));
	spin(v, 1, 10000);
	EQ(remote_apic_read(v, APIC_TMCCT), 0);
	EQ(lapic_bit(v, APIC_IRR, VEC), 0);
	remote_apic_write(v, APIC_LVT_TIMER, VEC);
	spin(v, 1, 20000);
	EQ(PERCPU(v).taken, 0);
	vm_free(v->vm);
}

BOTH_MODES(stopped_by_zero)
{
	struct vcpu *v = one(x2);

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	begin(v, LVT_PERIODIC | VEC, 5 * MS);
	remote_apic_write(v, APIC_TMICT, 0);
	EQ(remote_apic_read(v, APIC_TMCCT), 0);
	spin(v, 1, 20000);
	EQ(PERCPU(v).taken, 0);
	vm_free(v->vm);
}

BOTH_MODES(periodic)
{
	struct vcpu *v = one(x2);

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	begin(v, LVT_PERIODIC | VEC, 2 * MS);
	IN_TIME(spin(v, 25, 200000), 50000);
	CHECK(remote_apic_read(v, APIC_TMCCT) <= 2 * MS);
	/* Another initial count begins anew. */
	begin(v, LVT_PERIODIC | VEC, 5 * MS);
	IN_TIME(spin(v, 6, 200000), 30000);
	vm_free(v->vm);
}

/* Ticks of a guest that leaves for user space all the time. */
static u64 g_many_exits(u64 interrupts, u64 unused)
{
	struct percpu *p = this_cpu();

	(void)unused;
	sti();
	while (p->taken < interrupts)
		outb(0x77, 0);
	cli();
	return rdtsc() - begun;
}

static u64 remote_with_exits(struct vcpu *v, remote_fn fn, u64 a)
{
	int stop;

	remote_order(v, fn, a, 0);
	while ((stop = vcpu_go(v)) == KVM_EXIT_IO)
		;
	EQ(stop, STOP_SYNC);
	return PERCPU(v).result * 1000 / tsc_khz(v);
}

BOTH_MODES(no_tick_lost)
{
	struct vcpu *v = one(x2);

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	begin(v, LVT_PERIODIC | VEC, 2 * MS);
	IN_TIME(remote_with_exits(v, g_many_exits, 60), 120000);
	vm_free(v->vm);
}

BOTH_MODES(no_tick_lost_in_hlt)
{
	struct vcpu *v = one(x2);

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	begin(v, LVT_PERIODIC | VEC, 4 * MS);
	IN_TIME(remote(v, g_halt, 30, 0) * 1000 / tsc_khz(v), 120000);
	vm_free(v->vm);
}

/* While the vCPU is not run, time goes on; ticks then merge in the IRR. */
BOTH_MODES(periodic_while_stopped)
{
	struct vcpu *v = one(x2);
	u32 taken;

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	begin(v, LVT_PERIODIC | VEC, 5 * MS);
	usleep(52000);
	taken = remote_window(v);
	row(taken >= 1 && taken <= 2, "%u interrupts at once", taken);
	vm_free(v->vm);
}

BOTH_MODES(fires_while_stopped)
{
	struct vcpu *v = one(x2);

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	begin(v, VEC, 2 * MS);
	usleep(20000);
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).log[0], VEC);
	vm_free(v->vm);
}

/* The TSC deadline. SDM, "TSC-Deadline Mode". */

static u64 g_deadline(u64 lvt, u64 from_now)
{
	apic_write(APIC_LVT_TIMER, lvt);
	asm volatile("mfence");
	begun = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, begun + from_now);
	return 0;
}

static void deadline(struct vcpu *v, u32 lvt, u64 us)
{
	log_clear(v);
	remote(v, g_deadline, lvt, us * tsc_khz(v) / 1000);
}

static struct vcpu *one_deadline(bool x2)
{
	need_cap(KVM_CAP_TSC_DEADLINE_TIMER);
	return one(x2);
}

static u64 deadline_msr(struct vcpu *v)
{
	u64 value;

	EQ(remote_rdmsr(v, MSR_TSC_DEADLINE, &value), VEC_NONE);
	return value;
}

BOTH_MODES(deadline_in_time)
{
	struct vcpu *v = one_deadline(x2);
	u32 us;

	for (us = 10; us < 20000; us = us * 3 / 2) {
		deadline(v, LVT_DEADLINE | VEC, us);
		IN_TIME(spin(v, 1, 100000), us);
		EQ(PERCPU(v).log[0], VEC);
		EQ(deadline_msr(v), 0);
	}
	spin(v, 2, 200000);
	EQ(PERCPU(v).taken, 1);
	vm_free(v->vm);
}

BOTH_MODES(deadline_wakes_hlt)
{
	struct vcpu *v = one_deadline(x2);
	u32 us;

	for (us = 10; us < 20000; us *= 2) {
		deadline(v, LVT_DEADLINE | VEC, us);
		IN_TIME(remote(v, g_halt, 1, 0) * 1000 / tsc_khz(v), us);
	}
	vm_free(v->vm);
}

BOTH_MODES(deadline_passed)
{
	struct vcpu *v = one_deadline(x2);

	remote_apic_write(v, APIC_LVT_TIMER, LVT_DEADLINE | VEC);
	EQ(remote_wrmsr(v, MSR_TSC_DEADLINE, 1), VEC_NONE);
	EQ(remote_window(v), 1);
	EQ(deadline_msr(v), 0);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

BOTH_MODES(deadline_disarmed)
{
	struct vcpu *v = one_deadline(x2);

	deadline(v, LVT_DEADLINE | VEC, 5000);
	CHECK(deadline_msr(v));
	EQ(remote_wrmsr(v, MSR_TSC_DEADLINE, 0), VEC_NONE);
	spin(v, 1, 20000);
	EQ(PERCPU(v).taken, 0);
	/* A later one takes the place of the first. */
	deadline(v, LVT_DEADLINE | VEC, 2000);
	deadline(v, LVT_DEADLINE | VEC, 9000);
	IN_TIME(spin(v, 1, 100000), 9000);
	vm_free(v->vm);
}

BOTH_MODES(deadline_far_away)
{
	struct vcpu *v = one_deadline(x2);
	u64 far = ~0ull;

	for (; far > 1ull << 45; far >>= 1) {
		remote_apic_write(v, APIC_LVT_TIMER, LVT_DEADLINE | VEC);
		EQ(remote_wrmsr(v, MSR_TSC_DEADLINE, far), VEC_NONE);
		row(deadline_msr(v) == far && remote_window(v) == 0,
		    "deadline %llx", far);
	}
	vm_free(v->vm);
}

/* Each mode has its own register, and another mode disarms. */
BOTH_MODES(deadline_and_count)
{
	struct vcpu *v = one_deadline(x2);

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	remote_apic_write(v, APIC_LVT_TIMER, VEC);
	EQ(remote_wrmsr(v, MSR_TSC_DEADLINE, 1), VEC_NONE);
	EQ(deadline_msr(v), 0);
	EQ(remote_window(v), 0);
	remote_apic_write(v, APIC_LVT_TIMER, LVT_DEADLINE | VEC);
	remote_apic_write(v, APIC_TMICT, MS);
	EQ(remote_apic_read(v, APIC_TMCCT), 0);
	spin(v, 1, 10000);
	EQ(PERCPU(v).taken, 0);
	vm_free(v->vm);
}

BOTH_MODES(another_mode_disarms)
{
	struct vcpu *v = one_deadline(x2);

	remote_apic_write(v, APIC_TDCR, TDCR_BY_1);
	begin(v, VEC, 20 * MS);
	remote_apic_write(v, APIC_LVT_TIMER, LVT_DEADLINE | VEC);
	spin(v, 1, 40000);
	EQ(PERCPU(v).taken, 0);
	deadline(v, LVT_DEADLINE | VEC, 20000);
	remote_apic_write(v, APIC_LVT_TIMER, VEC);
	EQ(deadline_msr(v), 0);
	spin(v, 1, 40000);
	EQ(PERCPU(v).taken, 0);
	vm_free(v->vm);
}

BOTH_MODES(deadline_masked)
{
	struct vcpu *v = one_deadline(x2);

	deadline(v, LVT_DEADLINE | LVT_MASKED | VEC, 1000);
	spin(v, 1, 10000);
	remote_apic_write(v, APIC_LVT_TIMER, LVT_DEADLINE | VEC);
	EQ(remote_window(v), 0);
	EQ(lapic_bit(v, APIC_IRR, VEC), 0);
	vm_free(v->vm);
}

/* A handler that sets the next one, as a tickless kernel does. */
static u64 step;

static void g_rearm(struct trap_frame *f)
{
	(void)f;
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + step);
}

BOTH_MODES(deadline_after_deadline)
{
	struct vcpu *v = one_deadline(x2);
	u64 took;

	PERCPU(v).hook = g_rearm;
	G(v->vm, step) = tsc_khz(v) / 4;
	deadline(v, LVT_DEADLINE | VEC, 250);
	took = remote(v, g_halt, 100, 0) * 1000 / tsc_khz(v);
	CHECK(took >= 24900);
	note("100 deadlines, 250 us each, took %llu us", took);
	CHECK(took < 50000);
	vm_free(v->vm);
}

/* State: a running timer goes on elsewhere. */

/* Stacks and tables, and the program: all that is in use, and no more. */
static void copy_ram(struct vcpu *from, struct vcpu *to)
{
	const u32 image = 4u << 20;

	memcpy(to->vm->ram, from->vm->ram, G_FREE);
	memcpy(to->vm->ram + image, from->vm->ram + image, G_HIGH - image);
}

static void move_apic(struct vcpu *from, struct vcpu *to)
{
	struct kvm_lapic_state lapic;
	struct kvm_sregs s;
	struct kvm_regs r;
	u64 tsc, until;

	copy_ram(from, to);
	get_lapic(from, &lapic);
	get_regs(from, &r);
	get_sregs(from, &s);
	tsc = get_msr(from, 0x10);
	if (get_msr_try(from, MSR_TSC_DEADLINE, &until) != 1)
		until = 0;
	set_msr(to, 0x10, tsc);
	set_sregs(to, &s);
	set_lapic(to, &lapic);
	if (until)
		set_msr(to, MSR_TSC_DEADLINE, until);
	set_regs(to, &r);
}

BOTH_MODES(running_timer_moves)
{
	struct vcpu *a = one(x2), *b = vcpu_apic(vm_irqchip(), 0);

	copy_ram(a, b);			/* touches the pages */
	remote_apic_write(a, APIC_TDCR, TDCR_BY_1);
	begin(a, VEC, 80 * MS);
	spin(a, 1, 10000);
	move_apic(a, b);
	CHECK(remote_apic_read(b, APIC_TMCCT));
	CHECK(remote_apic_read(b, APIC_TMCCT) < 70 * MS);
	CHECK(spin(b, 1, 400000) < 200000);
	EQ(PERCPU(b).log[0], VEC);
	vm_free(a->vm);
	vm_free(b->vm);
}

BOTH_MODES(deadline_moves)
{
	struct vcpu *a = one_deadline(x2), *b = vcpu_apic(vm_irqchip(), 0);

	copy_ram(a, b);
	deadline(a, LVT_DEADLINE | VEC, 80000);
	spin(a, 1, 10000);
	move_apic(a, b);
	CHECK(deadline_msr(b));
	CHECK(spin(b, 1, 400000) < 200000);
	EQ(PERCPU(b).log[0], VEC);
	vm_free(a->vm);
	vm_free(b->vm);
}

/* KVM_SET_TSC and the deadline: what counts is the guest's own TSC. */
TEST(deadline_with_another_tsc)
{
	struct vcpu *v = one_deadline(false);

	set_msr(v, 0x10, 1ull << 40);
	deadline(v, LVT_DEADLINE | VEC, 3000);
	IN_TIME(spin(v, 1, 100000), 3000);
	vm_free(v->vm);
}
