// SPDX-License-Identifier: GPL-2.0-only
/*
 * The time-stamp counter: RDTSC, RDTSCP, IA32_TSC, IA32_TSC_ADJUST, CR4.TSD.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define MSR_TSC		0x10
#define MSR_TSC_ADJUST	0x3b
#define BASE		(1ull << 44)
/* More ticks than any test lasts, on any host. */
#define SLACK		(1ull << 36)

static u64 rdtscp(void)
{
	u32 low, high;

	asm volatile("rdtscp" : "=a"(low), "=d"(high) : : "rcx", "memory");
	return (u64)high << 32 | low;
}

static void g_monotonic(void)
{
	u64 last = rdtsc(), now;
	u32 i;

	for (i = 0; i < 1000; i++) {
		now = i & 1 ? rdtsc() : rdmsr(MSR_TSC);
		G_CHECK(now >= last);	/* two processors may agree */
		last = now;
		if (i % 50 == 0)
			outb(0x77, 0);		/* an exit in between */
	}
}

TEST(never_goes_back)
{
	struct vcpu *v = guest_start(g_monotonic);
	int i;

	for (i = 0; i < 20; i++)
		vcpu_until(v, KVM_EXIT_IO);
	vcpu_done(v);
	vm_free(v->vm);
}

static volatile u64 g_now;

static void g_report(void)
{
	for (;;) {
		g_now = rdtsc();
		guest_sync(0);
	}
}

static u64 tsc_seen(struct vcpu *v)
{
	vcpu_until(v, STOP_SYNC);
	return G(v->vm, g_now);
}

#define BETWEEN(value, low, high) do {					\
	u64 __v = (value);						\
									\
	if (__v < (low) || __v > (high))				\
		fail("%s: 0x%llx is not in 0x%llx...0x%llx", #value,	\
		     __v, (u64)(low), (u64)(high));			\
} while (0)

TEST(set_by_user_space)
{
	struct vcpu *v = guest_start(g_report);
	u64 now;

	set_msr(v, MSR_TSC, BASE);
	now = tsc_seen(v);
	BETWEEN(now, BASE, BASE + SLACK);
	BETWEEN(get_msr(v, MSR_TSC), now, now + SLACK);
	set_msr(v, MSR_TSC, 3 * BASE);
	BETWEEN(tsc_seen(v), 3 * BASE, 3 * BASE + SLACK);
	vm_free(v->vm);
}

/* A new vCPU's counter starts near zero, as after a reset. */
/* However little that is after what it began with. */
TEST(first_value_counts)
{
	struct vcpu *v = guest_start(guest_done);
	u64 set, got;

	if (kvm_in_tree())
		skip("the kernel's own did so from 6.8 on");
	set = get_msr(v, MSR_TSC) + 100000000;
	set_msr(v, MSR_TSC, set);
	got = get_msr(v, MSR_TSC);
	CHECK(got >= set && got < set + SLACK);
	vm_free(v->vm);
}

TEST(starts_at_zero)
{
	struct vcpu *v = guest_start(g_report);

	BETWEEN(tsc_seen(v), 1, SLACK);
	vm_free(v->vm);
}

static void g_write(void)
{
	u64 before, adjust = rdmsr(MSR_TSC_ADJUST);

	before = rdtsc();
	wrmsr(MSR_TSC, before + BASE);
	G_CHECK(rdtsc() >= before + BASE);
	G_CHECK(rdtsc() < before + BASE + SLACK);
	/* Writing the counter adds the difference to IA32_TSC_ADJUST. */
	G_CHECK(rdmsr(MSR_TSC_ADJUST) - adjust <= BASE);
	G_CHECK(rdmsr(MSR_TSC_ADJUST) - adjust > BASE - SLACK);
}

TEST(written_by_guest)
{
	if (!cpu_has(7, 1, 1))
		skip("the processor has no IA32_TSC_ADJUST");
	guest_run(g_write);
}

static void g_adjust(void)
{
	u64 adjust = rdmsr(MSR_TSC_ADJUST), before = rdtsc();

	wrmsr(MSR_TSC_ADJUST, adjust + BASE);
	G_EQ(rdmsr(MSR_TSC_ADJUST), adjust + BASE);
	G_CHECK(rdtsc() >= before + BASE);
	G_CHECK(rdtsc() < before + BASE + SLACK);
	wrmsr(MSR_TSC_ADJUST, adjust);
	G_CHECK(rdtsc() >= before);
	G_CHECK(rdtsc() < before + SLACK);
}

TEST(tsc_adjust)
{
	if (!cpu_has(7, 1, 1))
		skip("the processor has no IA32_TSC_ADJUST");
	guest_run(g_adjust);
}

static void g_rdtscp(void)
{
	u64 a = rdtsc(), b = rdtscp(), c = rdtsc();

	G_CHECK(a <= b && b <= c);
}

TEST(rdtscp)
{
	if (!cpu_has(0x80000001, 3, 27))
		skip("the processor has no RDTSCP");
	guest_run(g_rdtscp);
}

/* CR4.TSD: RDTSC above CPL 0 is #GP(0); at CPL 0 it always works. */
CODE(code_rdtsc, 32, "rdtsc; movb $1, %al; outb %al, $0xe1");

static struct vcpu *user_rdtsc(u64 cr4, bool user)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct kvm_sregs s;
	struct kvm_regs r;

	code_load(vm, G_CODE, code_rdtsc, code_rdtsc_end);
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	get_sregs(v, &s);
	s.cr4 |= cr4;
	if (user) {
		s.cs.selector = SEL_UCODE32;
		s.ss.selector = SEL_UDATA;
		s.cs.dpl = s.ss.dpl = 3;
	}
	set_sregs(v, &s);
	get_regs(v, &r);
	r.rflags |= 3 << 12;			/* IOPL 3, for the OUT */
	set_regs(v, &r);
	return v;
}

TEST(tsd)
{
	struct vcpu *v = user_rdtsc(0, true);
	struct trap32 t;

	vcpu_until(v, STOP_SYNC);
	vm_free(v->vm);
	v = user_rdtsc(CR4_TSD, false);
	vcpu_until(v, STOP_SYNC);
	vm_free(v->vm);
	v = user_rdtsc(CR4_TSD, true);
	vcpu_until(v, STOP_TRAP);
	trap_get(v, &t);
	EQ(t.vector, VEC_GP);
	EQ(t.error, 0);
	vm_free(v->vm);
}

/* Two vCPUs far apart keep their distance. */
TEST(offsets_are_per_vcpu)
{
	struct vm *vm = vm_new();
	struct vcpu *a = vcpu_new(vm, 0), *b = vcpu_new(vm, 1);
	int i;

	vcpu_long(a, g_report);
	vcpu_long(b, g_report);
	set_msr(a, MSR_TSC, BASE);
	set_msr(b, MSR_TSC, 5 * BASE);
	for (i = 0; i < 4; i++) {
		BETWEEN(tsc_seen(a), BASE, BASE + SLACK);
		BETWEEN(tsc_seen(b), 5 * BASE, 5 * BASE + SLACK);
	}
	vm_free(vm);
}

/* Guest and host count the same ticks. */
TEST(counts_as_the_host_does)
{
	struct vcpu *v = guest_start(g_report);
	u64 guest, outer = rdtsc(), inner;

	guest = tsc_seen(v);
	inner = rdtsc();
	while (rdtsc() - inner < 20000000)
		;
	inner = rdtsc() - inner;
	guest = tsc_seen(v) - guest;
	outer = rdtsc() - outer;
	BETWEEN(guest, inner, outer);
	vm_free(v->vm);
}

/* Scaled: a guest that counts at another frequency than the host. */
TEST(another_frequency)
{
	struct vcpu *v;
	u64 guest, host;
	int khz;

	need_cap(KVM_CAP_TSC_CONTROL);
	need_cap(KVM_CAP_GET_TSC_KHZ);
	v = guest_start(g_report);
	khz = WORKS(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	WORKS(ioctl(v->fd, KVM_SET_TSC_KHZ, khz * 4));
	EQ(ioctl(v->fd, KVM_GET_TSC_KHZ, 0), khz * 4);
	guest = tsc_seen(v);
	host = rdtsc();
	while (rdtsc() - host < 20000000)
		;
	guest = tsc_seen(v) - guest;
	host = rdtsc() - host;
	BETWEEN(guest, 4 * 20000000ull, 4 * host + 4000000);
	vm_free(v->vm);
}
