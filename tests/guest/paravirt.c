// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest can use that knows that it is one: MSR_KVM_*, hypercalls,
 * steal time.
 */
#include <asm/kvm_para.h>
#include <errno.h>
#include <linux/kvm_para.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define AREA		0x100000
#define REMAPPED	0x200000	/* an address whose page changes */
#define PAGE_A		0x110000
#define PAGE_B		0x111000
#define SECOND		1000000000ull

static bool pv_has(int feature)
{
	return cpu_has(KVM_CPUID_FEATURES, 0, feature);
}

static s64 hypercall(u64 nr, u64 a0, u64 a1, u64 a2, u64 a3)
{
	s64 result;

	asm volatile("vmcall" : "=a"(result)
		     : "a"(nr), "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	return result;
}

/* ---- hypercalls --------------------------------------------------------- */

static volatile s64 g_result;

static void g_call_as_user(void)
{
	g_result = hypercall(KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0);
}

static void g_calls(void)
{
	G_EQ(hypercall(KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), 0);
	G_EQ(hypercall(0, 0, 0, 0, 0), -KVM_ENOSYS);
	G_EQ(hypercall(1000, 0, 0, 0, 0), -KVM_ENOSYS);
	G_EQ(hypercall(1ull << 32 | KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0),
	     -KVM_ENOSYS);
	G_EQ(hypercall(~0ull, 0, 0, 0, 0), -KVM_ENOSYS);
	guest_user(g_call_as_user);
	G_EQ(g_result, -KVM_EPERM);
}

TEST(hypercalls)
{
	guest_run(g_calls);
}

/*
 * AMD's instruction is replaced by this processor's. Where the guest may not
 * write to its code it is left, and works nevertheless.
 */
#define VMMCALL_RET	0xc3d9010fu

static s64 g_vmmcall(u64 at, u64 nr)
{
	s64 result;
	u32 vector;

	vector = TRY("call *%[at]", OUTS("=a"(result)), "a"(nr), "b"(0),
		     "c"(0), "d"(0), "S"(0), [at] "r"(at) : "memory");
	return vector == VEC_NONE ? result : -1;
}

static void g_vmmcall_read_only(void)
{
	write_cr0(read_cr0() | CR0_WP);
	G_EQ(g_vmmcall(REMAPPED, KVM_HC_VAPIC_POLL_IRQ), 0);
	G_EQ(g_vmmcall(REMAPPED, 1000), -KVM_ENOSYS);
	G_EQ(*(volatile u32 *)REMAPPED, VMMCALL_RET);
	/* All other undefined instructions are. */
	G_EQ(TRY("ud2", NO_OUTS, "i"(0)), VEC_UD);
	G_EQ(TRY(".byte 0x0f, 0x01, 0xda", NO_OUTS, "i"(0)), VEC_UD);
}

TEST(hypercall_of_amd_in_read_only_code)
{
	struct vcpu *v;

	if (kvm_in_tree())
		skip("in-tree raises #PF for its write");
	v = guest_start(g_vmmcall_read_only);
	RAM(v->vm, PAGE_A, u32) = VMMCALL_RET;
	map_page(v->vm, REMAPPED, PAGE_A, PT_P);
	vcpu_done(v);
	vm_free(v->vm);
}

/* The next instruction would be beyond the last canonical address. */
#define LAST_PAGE	0x7ffffffff000ull

static void g_last_hypercall(void)
{
	u64 at = LAST_PAGE + 0xffd, nr = 1000;

	G_EQ(TRY("jmp *%[at]", OUTS("+a"(nr)), [at] "r"(at) : "memory"),
	     VEC_GP);
	G_EQ(trap.rip, LAST_PAGE + 0x1000);
}

/* Three tables, one entry in each, the last. */
static void map_last_page(struct vm *vm, u64 pa)
{
	u64 table = PAGE_B, *entry = &RAM(vm, G_PML4 + 255 * 8, u64);
	int level;

	for (level = 0; level < 3; level++, table += 4096) {
		*entry = table | PT_P | PT_W;
		entry = &RAM(vm, table + 511 * 8, u64);
	}
	*entry = pa | PT_P | PT_W;
}

TEST(hypercall_before_the_hole)
{
	static const u8 third[] = { 0xc1, 0xd9 };
	struct vcpu *v;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(third); i++) {
		v = guest_start(g_last_hypercall);
		RAM(v->vm, PAGE_A + 0xffd, u16) = (u16)VMMCALL_RET;
		RAM(v->vm, PAGE_A + 0xfff, u8) = third[i];
		map_last_page(v->vm, PAGE_A);
		vcpu_done(v);
		vm_free(v->vm);
	}
}

/* Outside of 64-bit mode registers are 32 bits wide, the result's too. */
CODE(code_vmcall, 32,
     "mov $1, %eax; vmcall; test %eax, %eax; jnz 1f;"
     "mov $1000, %eax; vmcall; cmp $-1000, %eax; jne 1f;"
     "movb $1, %al; outb %al, $0xe0;"
     "1: out %eax, $0xe1");

TEST(hypercall_of_32_bits)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);

	code_load(vm, G_CODE, code_vmcall, code_vmcall_end);
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	vcpu_done(v);
	vm_free(vm);
}

static void g_pair(void)
{
	struct kvm_clock_pairing *p = (void *)AREA;
	u64 before = rdtsc();

	g_result = hypercall(KVM_HC_CLOCK_PAIRING, AREA,
			     KVM_CLOCK_PAIRING_WALLCLOCK, 0, 0);
	if (!g_result) {
		G_CHECK(p->tsc >= before && p->tsc <= rdtsc());
		G_EQ(p->flags, 0);
		G_EQ(hypercall(KVM_HC_CLOCK_PAIRING, 1ull << 40, 0, 0, 0),
		     -KVM_EFAULT);
	}
	G_EQ(hypercall(KVM_HC_CLOCK_PAIRING, AREA, 1, 0, 0), -KVM_EOPNOTSUPP);
}

TEST(clock_pairing)
{
	struct kvm_clock_pairing *p;
	struct timespec before, after;
	struct vcpu *v;

	v = guest_start(g_pair);
	clock_gettime(CLOCK_REALTIME, &before);
	vcpu_done(v);
	clock_gettime(CLOCK_REALTIME, &after);
	if (G(v->vm, g_result) == -KVM_EOPNOTSUPP)
		skip("the host's clock is not its TSC");
	EQ(G(v->vm, g_result), 0);
	p = &RAM(v->vm, AREA, struct kvm_clock_pairing);
	CHECK(p->nsec >= 0 && p->nsec < (s64)SECOND);
	CHECK(p->sec >= before.tv_sec && p->sec <= after.tv_sec);
	vm_free(v->vm);
}

static volatile u32 pairs;

static void g_pair_on_and_on(void)
{
	for (;;) {
		hypercall(KVM_HC_CLOCK_PAIRING, AREA,
			  KVM_CLOCK_PAIRING_WALLCLOCK, 0, 0);
		hypercall(KVM_HC_SCHED_YIELD, 0, 0, 0, 0);
		pairs++;
		guest_sync(0);
	}
}

static volatile bool pairing_over;

static void *run_pairs(void *arg)
{
	struct vcpu *v = arg;

	while (!pairing_over)
		vcpu_until(v, STOP_SYNC);
	return NULL;
}

/* Hypercalls that sleep, and slots that come and go: neither waits forever. */
TEST(hypercalls_while_slots_change)
{
	struct vcpu *v = guest_start(g_pair_on_and_on);
	void *mem = mem_alloc(4096);
	pthread_t thread;
	int i;

	EQ(pthread_create(&thread, NULL, run_pairs, v), 0);
	for (i = 0; i < 300 || !G(v->vm, pairs); i++) {
		vm_slot(v->vm, 1, G_MMIO, 4096, mem, 0);
		vm_slot(v->vm, 1, G_MMIO, 0, mem, 0);
		if (i % 10 == 0)
			usleep(1000);
	}
	pairing_over = true;
	pthread_join(thread, NULL);
	vm_slot(v->vm, 1, G_MMIO, 4096, mem, 0);
	vm_free(v->vm);
}

/* ---- what the monitor lets a guest have --------------------------------- */

static const u32 all_msrs[] = {
	MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK_NEW,
	MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_ASYNC_PF_EN, MSR_KVM_STEAL_TIME,
	MSR_KVM_PV_EOI_EN, MSR_KVM_POLL_CONTROL, MSR_KVM_ASYNC_PF_INT,
	MSR_KVM_ASYNC_PF_ACK,
};

static void g_nothing_there(void)
{
	u64 value;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(all_msrs); i++) {
		G_EQ(try_rdmsr(all_msrs[i], &value), VEC_GP);
		G_EQ(try_wrmsr(all_msrs[i], 0), VEC_GP);
	}
	G_EQ(hypercall(KVM_HC_KICK_CPU, 0, 0, 0, 0), -KVM_ENOSYS);
	G_EQ(hypercall(KVM_HC_SEND_IPI, 0, 0, 0, 0), -KVM_ENOSYS);
	G_EQ(hypercall(KVM_HC_SCHED_YIELD, 0, 0, 0, 0), -KVM_ENOSYS);
}

static void enforce(struct vcpu *v)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
		.args[0] = 1,
	};

	WORKS(ioctl(v->fd, KVM_ENABLE_CAP, &cap));
}

static void set_features(struct vcpu *v, u32 features)
{
	struct kvm_cpuid2 *c = cpuid_copy();

	cpuid_find(c, KVM_CPUID_FEATURES, 0)->eax = features;
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
}

TEST(enforced)
{
	struct vcpu *v;

	need_cap(KVM_CAP_ENFORCE_PV_FEATURE_CPUID);
	v = guest_start(g_nothing_there);
	enforce(v);
	set_features(v, 0);
	/* The monitor is not concerned. */
	EQ(set_msr_try(v, MSR_KVM_SYSTEM_TIME_NEW, 0), !kvm_in_tree());
	vcpu_done(v);
	vm_free(v->vm);
}

static void g_clock_only(void)
{
	u64 value;

	G_EQ(try_rdmsr(MSR_KVM_SYSTEM_TIME_NEW, &value), VEC_NONE);
	G_EQ(try_rdmsr(MSR_KVM_SYSTEM_TIME, &value), VEC_GP);
	G_EQ(try_rdmsr(MSR_KVM_STEAL_TIME, &value), VEC_GP);
}

TEST(enforced_but_for_one)
{
	struct vcpu *v;

	need_cap(KVM_CAP_ENFORCE_PV_FEATURE_CPUID);
	v = guest_start(g_clock_only);
	enforce(v);
	set_features(v, BIT(KVM_FEATURE_CLOCKSOURCE2));
	vcpu_done(v);
	vm_free(v->vm);
}

/* Behind another hypervisor's leaves. */
TEST(leaves_elsewhere)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct kvm_cpuid_entry2 *e;
	struct vcpu *v;

	need_cap(KVM_CAP_ENFORCE_PV_FEATURE_CPUID);
	v = guest_start(g_clock_only);
	enforce(v);
	e = cpuid_find(c, KVM_CPUID_SIGNATURE, 0);
	e->function |= 0x100;
	e->eax = KVM_CPUID_FEATURES | 0x100;
	e = cpuid_find(c, KVM_CPUID_FEATURES, 0);
	e->function |= 0x100;
	e->eax = BIT(KVM_FEATURE_CLOCKSOURCE2);
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	vcpu_done(v);
	vm_free(v->vm);
}

/* Whatever CPUID offers, the monitor can set, with or without an APIC. */
static const struct {
	u32 msr;
	int feature;
	u64 good, bad;
} msr_rows[] = {
	{ MSR_KVM_SYSTEM_TIME_NEW, KVM_FEATURE_CLOCKSOURCE2, AREA | 1, 0 },
	{ MSR_KVM_WALL_CLOCK_NEW, KVM_FEATURE_CLOCKSOURCE2, AREA, 0 },
	{ MSR_KVM_STEAL_TIME, KVM_FEATURE_STEAL_TIME, AREA | 1, AREA | 3 },
	{ MSR_KVM_PV_EOI_EN, KVM_FEATURE_PV_EOI, AREA | 1, AREA | 3 },
	{ MSR_KVM_POLL_CONTROL, KVM_FEATURE_POLL_CONTROL, 1, 2 },
	{ MSR_KVM_ASYNC_PF_EN, KVM_FEATURE_ASYNC_PF, AREA | 9, AREA | 0x19 },
	{ MSR_KVM_ASYNC_PF_INT, KVM_FEATURE_ASYNC_PF_INT, 0xec, 0x100 },
};

static bool is_listed(u32 msr)
{
	struct { struct kvm_msr_list head; u32 indices[1000]; } list;
	u32 i;

	list.head.nmsrs = ARRAY_SIZE(list.indices);
	WORKS(ioctl(kvm_fd(), KVM_GET_MSR_INDEX_LIST, &list));
	for (i = 0; i < list.head.nmsrs; i++)
		if (list.indices[i] == msr)
			return true;
	return false;
}

TEST(offered_msrs_can_be_set)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u64 value;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(msr_rows); i++) {
		const u32 msr = msr_rows[i].msr;

		if (!pv_has(msr_rows[i].feature) ||
		    (kvm_in_tree() && msr == MSR_KVM_ASYNC_PF_INT) ||
		    (kvm_in_tree() && msr == MSR_KVM_ASYNC_PF_EN))
			continue;
		row(is_listed(msr), "%#x is listed", msr);
		row(set_msr_try(v, msr, msr_rows[i].good) == 1 &&
		    get_msr_try(v, msr, &value) == 1 &&
		    value == msr_rows[i].good, "%#x keeps a value", msr);
		if (msr_rows[i].bad)
			row(set_msr_try(v, msr, msr_rows[i].bad) == 0 &&
			    get_msr_try(v, msr, &value) == 1 &&
			    value == msr_rows[i].good,
			    "%#x refuses a value", msr);
		row(set_msr_try(v, msr, 0) == 1, "%#x takes 0", msr);
	}
	vm_free(vm);
}

/* Nothing but the guest is hurt by what it writes there. */
static void g_wild_addresses(void)
{
	static const u64 wild[] = {
		0, 0xfff, 0x1000, 0xfffff000, 1ull << 46, ~0ull << 12,
		G_PML4, RAM_SIZE - 64, RAM_SIZE,
	};
	u32 i, m;

	for (i = 0; i < ARRAY_SIZE(wild); i++)
		for (m = 0; m < ARRAY_SIZE(all_msrs); m++)
			(void)try_wrmsr(all_msrs[m], wild[i] | 1);
	outb(PORT_DONE, 0);
}

TEST(wild_addresses)
{
	struct vcpu *v = guest_start(g_wild_addresses);

	/* It may have overwritten what it runs on: any end will do. */
	vcpu_go(v);
	vm_free(v->vm);
}

/* ---- steal time --------------------------------------------------------- */

static volatile u64 g_area = AREA, g_stop, g_rounds;

static void g_spin(void)
{
	wrmsr(MSR_KVM_STEAL_TIME, g_area | 1);
	while (!g_stop)
		g_rounds++;
}

static void *run_spinner(void *v)
{
	pin_to_cpu(0);
	vcpu_done(v);
	return NULL;
}

static u64 now_ns(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static struct vcpu *spinner_start(pthread_t *thread)
{
	struct vcpu *v;

	if (!pv_has(KVM_FEATURE_STEAL_TIME))
		skip("no steal time");
	v = guest_start(g_spin);
	pin_to_cpu(0);
	EQ(pthread_create(thread, NULL, run_spinner, v), 0);
	while (!*(volatile u64 *)&G(v->vm, g_rounds))
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	return v;
}

static void spinner_stop(struct vcpu *v, pthread_t thread)
{
	G(v->vm, g_stop) = 1;
	pthread_join(thread, NULL);
}

/* Two threads on one CPU: what the one has, the guest has lost. */
TEST_TIMED(steal_time, 60)
{
	volatile struct kvm_steal_time *st;
	u64 start, before, used, stolen;
	pthread_t thread;
	struct vcpu *v = spinner_start(&thread);

	st = &RAM(v->vm, AREA, struct kvm_steal_time);
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	before = st->steal;
	start = now_ns(CLOCK_THREAD_CPUTIME_ID);
	while (now_ns(CLOCK_THREAD_CPUTIME_ID) - start < SECOND / 5)
		;
	/* Let it run again, and be told. */
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	used = now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
	stolen = st->steal - before;
	CHECK(stolen >= used / 2 && stolen <= used * 2);
	spinner_stop(v, thread);
	EQ(st->version & 1, 0);
	CHECK(st->version);
	EQ(st->flags, 0);
	vm_free(v->vm);
}

static void wait_for_preempted(volatile struct kvm_steal_time *st, u8 value)
{
	u64 start = now_ns(CLOCK_MONOTONIC);

	while (st->preempted != value)
		if (now_ns(CLOCK_MONOTONIC) - start > 5 * SECOND)
			fail("preempted is %d, not %d", st->preempted, value);
}

TEST_TIMED(preempted, 60)
{
	volatile struct kvm_steal_time *st;
	pthread_t thread;
	struct vcpu *v = spinner_start(&thread);
	int i;

	st = &RAM(v->vm, AREA, struct kvm_steal_time);
	for (i = 0; i < 3; i++) {
		/* This thread has the CPU, so the other has not. */
		wait_for_preempted(st, KVM_VCPU_PREEMPTED);
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
	spinner_stop(v, thread);
	EQ(st->preempted, 0);
	vm_free(v->vm);
}

static volatile u64 g_seen;

/* Uses one translation over and over, without a flush of its own. */
static void g_use_translation(void)
{
	wrmsr(MSR_KVM_STEAL_TIME, AREA | 1);
	while ((g_seen = read64(REMAPPED)) != 'B')
		g_rounds++;
}

static volatile u64 g_pte;

/* Another vCPU: it has the first one's CPU, so that one is preempted. */
static void g_remap(void)
{
	struct kvm_steal_time *st = (void *)AREA;
	u8 expected;

	do {
		while (*(volatile u8 *)&st->preempted != KVM_VCPU_PREEMPTED)
			;
		write64(g_pte, (read64(g_pte) & ~0xfffffffff000ull) | PAGE_B);
		expected = KVM_VCPU_PREEMPTED;
	} while (!__atomic_compare_exchange_n(&st->preempted, &expected,
			KVM_VCPU_PREEMPTED | KVM_VCPU_FLUSH_TLB, false,
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	outb(PORT_DONE, 0);
}

TEST_TIMED(flush_while_preempted, 60)
{
	volatile struct kvm_steal_time *st;
	pthread_t thread;
	struct vcpu *v, *other;

	if (!pv_has(KVM_FEATURE_PV_TLB_FLUSH))
		skip("no paravirtual TLB flush");
	v = guest_start(g_use_translation);
	RAM(v->vm, PAGE_A, u64) = 'A';
	RAM(v->vm, PAGE_B, u64) = 'B';
	map_page(v->vm, REMAPPED, PAGE_A, PT_P | PT_W | PT_A | PT_D);
	G(v->vm, g_pte) = (u8 *)guest_pte(v->vm, REMAPPED) - v->vm->ram;
	other = vcpu_new(v->vm, 1);
	vcpu_long(other, g_remap);
	pin_to_cpu(0);
	EQ(pthread_create(&thread, NULL, run_spinner, v), 0);
	st = &RAM(v->vm, AREA, struct kvm_steal_time);
	wait_for_preempted(st, KVM_VCPU_PREEMPTED);
	vcpu_done(other);
	pthread_join(thread, NULL);
	EQ(G(v->vm, g_seen), 'B');
	EQ(st->preempted, 0);
	vm_free(v->vm);
}

/* Memory that goes away while the vCPU is told there that it is preempted. */
TEST_TIMED(steal_time_slot_goes, 60)
{
	pthread_t thread;
	struct vcpu *v;
	void *extra;
	int i;

	if (!pv_has(KVM_FEATURE_STEAL_TIME))
		skip("no steal time");
	v = guest_start(g_spin);
	extra = mem_alloc(4096);
	vm_slot(v->vm, 1, RAM_SIZE, 4096, extra, 0);
	G(v->vm, g_area) = RAM_SIZE;
	pin_to_cpu(0);
	EQ(pthread_create(&thread, NULL, run_spinner, v), 0);
	for (i = 0; i < 200; i++) {
		vm_slot(v->vm, 1, RAM_SIZE, 0, extra, 0);
		vm_slot(v->vm, 1, RAM_SIZE, 4096, extra, 0);
		if (i % 8 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 1 }, NULL);
	}
	spinner_stop(v, thread);
	vm_free(v->vm);
}
