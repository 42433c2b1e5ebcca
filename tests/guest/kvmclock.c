// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmclock: what guests read, what KVM_GET_CLOCK and KVM_SET_CLOCK say about
 * it, and that it never goes back, whatever happens to TSCs.
 */
#include <asm/kvm_para.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "guest.h"

#define MSR_TSC		0x10
#define CLOCKS		0x100000	/* a structure for each vCPU */
#define WALL		0x101000
#define STABLE		BIT(0)
#define STOPPED		BIT(1)
#define SECOND		1000000000ull
#define MINUTE		(60 * SECOND)

struct vcpu_time {
	u32 version, pad0;
	u64 tsc, ns;
	u32 mul;
	int8_t shift;
	u8 flags, pad[2];
} __attribute__((packed, aligned(4)));

static struct vcpu_time *time_of(u64 id)
{
	return (struct vcpu_time *)(CLOCKS + 64 * id);
}

/* As the documentation has it. */
static u64 ns_at(const volatile struct vcpu_time *t, u64 tsc)
{
	u64 ticks = tsc - t->tsc;

	if (t->shift < 0)
		ticks >>= -t->shift;
	else
		ticks <<= t->shift;
	return t->ns + (u64)((unsigned __int128)ticks * t->mul >> 32);
}

static u64 read_time(const volatile struct vcpu_time *t)
{
	u32 version;
	u64 ns;

	do {
		version = t->version;
		asm volatile("lfence" : : : "memory");
		ns = ns_at(t, rdtsc());
		asm volatile("" : : : "memory");
	} while ((version & 1) || version != t->version);
	return ns;
}

static void switch_on(u64 id)
{
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (u64)time_of(id) | 1);
}

static volatile u64 g_ns;

static void g_report(void)
{
	switch_on(0);
	for (;;) {
		g_ns = read_time(time_of(0));
		guest_sync(0);
	}
}

static u64 clock_seen(struct vcpu *v)
{
	vcpu_until(v, STOP_SYNC);
	return G(v->vm, g_ns);
}

static u64 get_clock(struct vm *vm)
{
	struct kvm_clock_data data;

	WORKS(ioctl(vm->fd, KVM_GET_CLOCK, &data));
	return data.clock;
}

static void set_clock(struct vm *vm, u64 ns)
{
	struct kvm_clock_data data = { .clock = ns };

	WORKS(ioctl(vm->fd, KVM_SET_CLOCK, &data));
}

static u64 real_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

#define BETWEEN(value, low, high) do {					\
	u64 __v = (value), __l = (low), __h = (high);			\
									\
	if (__v < __l || __v > __h)					\
		fail("%s: %llu is not in %llu...%llu", #value, __v,	\
		     __l, __h);						\
} while (0)

static void need_clock(void)
{
	if (!cpu_has(KVM_CPUID_FEATURES, 0, KVM_FEATURE_CLOCKSOURCE2))
		skip("no kvmclock on this machine");
}

static struct vcpu *clock_start(void (*entry)(void))
{
	need_clock();
	return guest_start(entry);
}

static void same_as_get_clock(struct vcpu *v)
{
	u64 before = get_clock(v->vm), seen = clock_seen(v);

	BETWEEN(seen, before, get_clock(v->vm));
}

TEST(as_get_clock_says)
{
	struct vcpu *v = clock_start(g_report);
	int i;

	for (i = 0; i < 100; i++)
		same_as_get_clock(v);
	EQ(RAM(v->vm, CLOCKS, struct vcpu_time).flags, STABLE);
	vm_free(v->vm);
}

TEST(set_clock)
{
	static const u64 values[] = { 0, MINUTE, 1 << 20, 100 * MINUTE };
	struct vcpu *v = clock_start(g_report);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		set_clock(v->vm, values[i]);
		BETWEEN(clock_seen(v), values[i], values[i] + 10 * SECOND);
		same_as_get_clock(v);
	}
	vm_free(v->vm);
}

TEST(get_clock_tells_the_instant)
{
	struct kvm_clock_data data;
	struct vcpu *v = clock_start(g_report);
	struct vm *vm = v->vm;
	u64 tsc, real;

	clock_seen(v);
	if (!(vm_cap(vm, KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_HOST_TSC))
		skip("the host's clock is not its TSC");
	tsc = rdtsc();
	real = real_ns();
	memset(&data, 0xff, sizeof(data));
	WORKS(ioctl(vm->fd, KVM_GET_CLOCK, &data));
	EQ(data.flags, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME |
		       KVM_CLOCK_HOST_TSC);
	BETWEEN(data.realtime, real, real_ns());
	BETWEEN(data.host_tsc, tsc, rdtsc());
	/* They come back as they are. */
	data.flags &= ~KVM_CLOCK_REALTIME;
	WORKS(ioctl(vm->fd, KVM_SET_CLOCK, &data));
	BETWEEN(get_clock(vm), data.clock, data.clock + 10 * SECOND);
	vm_free(vm);
}

TEST(set_clock_adds_the_time_since)
{
	struct kvm_clock_data data = {
		.clock = MINUTE,
		.flags = KVM_CLOCK_REALTIME,
	};
	struct vm *vm = vm_new();

	if (!(vm_cap(vm, KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_REALTIME))
		skip("the host's clock is not its TSC");
	data.realtime = real_ns() - 3 * MINUTE;
	WORKS(ioctl(vm->fd, KVM_SET_CLOCK, &data));
	BETWEEN(get_clock(vm), 4 * MINUTE, 4 * MINUTE + 10 * SECOND);
	/* What is to come has not passed. */
	data.realtime = real_ns() + 3 * MINUTE;
	WORKS(ioctl(vm->fd, KVM_SET_CLOCK, &data));
	BETWEEN(get_clock(vm), MINUTE, MINUTE + 10 * SECOND);
	vm_free(vm);
}

TEST(set_clock_refuses)
{
	struct kvm_clock_data data = { .flags = 1 };
	struct vm *vm = vm_new();
	u64 before = get_clock(vm);

	FAILS(ioctl(vm->fd, KVM_SET_CLOCK, &data), EINVAL);
	data.flags = BIT(31);
	FAILS(ioctl(vm->fd, KVM_SET_CLOCK, &data), EINVAL);
	FAILS(ioctl(vm->fd, KVM_SET_CLOCK, NULL), EFAULT);
	BETWEEN(get_clock(vm), before, before + 10 * SECOND);
	vm_free(vm);
}

struct wall_time {
	u32 version, sec, nsec;
};

static void g_wall(void)
{
	wrmsr(MSR_KVM_WALL_CLOCK_NEW, WALL);
	g_report();
}

TEST(wall_clock)
{
	struct vcpu *v = clock_start(g_wall);
	u64 before = real_ns(), seen;
	struct wall_time *wall;

	seen = clock_seen(v);
	wall = &RAM(v->vm, WALL, struct wall_time);
	EQ(wall->version & 1, 0);
	CHECK(wall->version && wall->nsec < SECOND);
	BETWEEN(wall->sec * SECOND + wall->nsec + seen, before, real_ns());
	vm_free(v->vm);
}

/* ---- whatever happens to the TSC ---------------------------------------- */

static void g_write_tsc(void)
{
	u64 before, after;
	u32 i;

	switch_on(0);
	for (i = 0; i < 20; i++) {
		before = read_time(time_of(0));
		wrmsr(MSR_TSC, (u64)i * i << 40);
		after = read_time(time_of(0));
		G_CHECK(after >= before);
		G_CHECK(after < before + SECOND);
	}
}

TEST(guest_writes_its_tsc)
{
	struct vcpu *v;

	if (kvm_in_tree())
		skip("the kernel's own writes no new structure");
	v = clock_start(g_write_tsc);
	vcpu_done(v);
	vm_free(v->vm);
}

TEST(monitor_writes_the_tsc)
{
	struct vcpu *v = clock_start(g_report);
	int i;

	for (i = 0; i < 20; i++) {
		same_as_get_clock(v);
		set_msr(v, MSR_TSC, (u64)i * i << 40);
		same_as_get_clock(v);
	}
	vm_free(v->vm);
}

/* The error of a factor of 32 bits, over the seconds that a test takes. */
#define ROUNDING	50

TEST(another_frequency)
{
	struct vcpu *v;
	u64 before, seen;
	int khz, i;

	need_cap(KVM_CAP_TSC_CONTROL);
	if (kvm_in_tree())
		skip("the kernel's own writes no new structure");
	v = clock_start(g_report);
	khz = WORKS(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	for (i = 1; i < 8; i++) {
		WORKS(ioctl(v->fd, KVM_SET_TSC_KHZ, khz / 3 * i + i));
		before = get_clock(v->vm);
		seen = clock_seen(v);
		BETWEEN(seen, before - ROUNDING, get_clock(v->vm) + ROUNDING);
	}
	vm_free(v->vm);
}

/* It passes for the host's frequency, and must not run at its own. */
TEST(nearly_the_frequency)
{
	struct vcpu *v = clock_start(g_report);
	int khz = WORKS(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	struct vcpu_time before;

	clock_seen(v);
	before = RAM(v->vm, CLOCKS, struct vcpu_time);
	WORKS(ioctl(v->fd, KVM_SET_TSC_KHZ, khz + khz / 5000));
	same_as_get_clock(v);
	EQ(RAM(v->vm, CLOCKS, struct vcpu_time).mul, before.mul);
	vm_free(v->vm);
}

TEST(frequency_of_the_vm)
{
	struct vm *vm = vm_new();
	struct vcpu *v;
	int khz;

	need_cap(KVM_CAP_VM_TSC_CONTROL);
	v = vcpu_new(vm, 0);
	khz = WORKS(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	EQ(WORKS(ioctl(vm->fd, KVM_GET_TSC_KHZ, 0)), khz);
	WORKS(ioctl(vm->fd, KVM_SET_TSC_KHZ, khz * 2));
	EQ(ioctl(vm->fd, KVM_GET_TSC_KHZ, 0), khz * 2);
	EQ(ioctl(v->fd, KVM_GET_TSC_KHZ, 0), khz);
	v = vcpu_new(vm, 1);
	EQ(ioctl(v->fd, KVM_GET_TSC_KHZ, 0), khz * 2);
	vm_free(vm);
}

/* ---- the offset as an attribute ----------------------------------------- */

static volatile u64 g_tsc;

static void g_report_tsc(void)
{
	for (;;) {
		g_tsc = rdtsc();
		guest_sync(0);
	}
}

static int attr(struct vcpu *v, unsigned long cmd, u32 group, u64 which,
		void *data)
{
	struct kvm_device_attr a = {
		.group = group,
		.attr = which,
		.addr = (unsigned long)data,
	};

	return ioctl(v->fd, cmd, &a);
}

#define OFFSET(v, cmd, data) \
	attr(v, cmd, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, data)

TEST(tsc_offset)
{
	struct vcpu *v, *w;
	u64 offset, before;

	need_cap(KVM_CAP_VCPU_ATTRIBUTES);
	v = guest_start(g_report_tsc);
	WORKS(OFFSET(v, KVM_HAS_DEVICE_ATTR, NULL));
	WORKS(OFFSET(v, KVM_GET_DEVICE_ATTR, &offset));
	before = rdtsc();
	vcpu_until(v, STOP_SYNC);
	BETWEEN(G(v->vm, g_tsc), before + offset, rdtsc() + offset);

	offset += 1ull << 44;
	WORKS(OFFSET(v, KVM_SET_DEVICE_ATTR, &offset));
	before = rdtsc();
	vcpu_until(v, STOP_SYNC);
	BETWEEN(G(v->vm, g_tsc), before + offset, rdtsc() + offset);

	/* A new vCPU takes the same. */
	w = vcpu_new(v->vm, 1);
	before = 0;
	WORKS(OFFSET(w, KVM_GET_DEVICE_ATTR, &before));
	EQ(before, offset);
	vm_free(v->vm);
}

TEST(tsc_offset_refuses)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u64 offset, other = 12345;

	need_cap(KVM_CAP_VCPU_ATTRIBUTES);
	WORKS(OFFSET(v, KVM_GET_DEVICE_ATTR, &offset));
	FAILS(attr(v, KVM_HAS_DEVICE_ATTR, 99, 0, NULL), ENXIO);
	FAILS(attr(v, KVM_HAS_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, 1, NULL), ENXIO);
	FAILS(attr(v, KVM_SET_DEVICE_ATTR, 99, 0, &other), ENXIO);
	FAILS(attr(v, KVM_SET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, 1, &other),
	      ENXIO);
	FAILS(OFFSET(v, KVM_SET_DEVICE_ATTR, NULL), EFAULT);
	FAILS(OFFSET(v, KVM_GET_DEVICE_ATTR, NULL), EFAULT);
	WORKS(OFFSET(v, KVM_GET_DEVICE_ATTR, &other));
	EQ(other, offset);
	vm_free(vm);
}

/* ---- KVM_KVMCLOCK_CTRL -------------------------------------------------- */

TEST(stopped)
{
	volatile struct vcpu_time *t;
	struct vcpu *v;

	need_cap(KVM_CAP_KVMCLOCK_CTRL);
	v = clock_start(g_report);
	FAILS(ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0), EINVAL);
	clock_seen(v);
	t = &RAM(v->vm, CLOCKS, struct vcpu_time);
	EQ(t->flags, STABLE);
	WORKS(ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0));
	clock_seen(v);
	EQ(t->flags, STABLE | STOPPED);
	/* It stays until the guest has seen it, and does not come again. */
	set_clock(v->vm, MINUTE);
	clock_seen(v);
	EQ(t->flags, STABLE | STOPPED);
	t->flags &= ~STOPPED;
	set_clock(v->vm, MINUTE);
	clock_seen(v);
	EQ(t->flags, STABLE);
	vm_free(v->vm);
}

/* ---- never back --------------------------------------------------------- */

static volatile u64 g_reads, g_last, g_backward;

/* What any vCPU has seen, no later read of any vCPU may fall short of. */
static void read_on(u64 id)
{
	u64 seen, now, i, reads = g_reads;

	switch_on(id);
	for (i = 0; i < reads; i++) {
		seen = __atomic_load_n(&g_last, __ATOMIC_SEQ_CST);
		now = read_time(time_of(id));
		if (now < seen)
			__atomic_fetch_add(&g_backward, 1, __ATOMIC_SEQ_CST);
		while (now > seen &&
		       !__atomic_compare_exchange_n(&g_last, &seen, now, false,
						    __ATOMIC_SEQ_CST,
						    __ATOMIC_SEQ_CST))
			;
	}
	outb(PORT_DONE, 0);
}

static void g_read_0(void)
{
	read_on(0);
}

static void g_read_1(void)
{
	read_on(1);
}

static void *run_reader(void *v)
{
	vcpu_done(v);
	return NULL;
}

static void never_back(struct vm *vm, u64 reads, void (*meanwhile)(struct vm *))
{
	static void (*const entry[])(void) = { g_read_0, g_read_1 };
	pthread_t t[2];
	int i;

	G(vm, g_reads) = reads;
	for (i = 0; i < 2; i++) {
		vcpu_long(vm->vcpus[i], entry[i]);
		EQ(pthread_create(&t[i], NULL, run_reader, vm->vcpus[i]), 0);
	}
	if (meanwhile)
		meanwhile(vm);
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	EQ(G(vm, g_backward), 0);
}

static struct vm *two_vcpus(void)
{
	struct vm *vm;

	need_clock();
	vm = vm_new();
	vcpu_new(vm, 0);
	vcpu_new(vm, 1);
	return vm;
}

TEST_TIMED(two_vcpus, 200)
{
	struct vm *vm = two_vcpus();

	never_back(vm, test_scale(500000), NULL);
	vm_free(vm);
}

TEST_TIMED(two_vcpus_of_far_tscs, 100)
{
	struct vm *vm = two_vcpus();

	set_msr(vm->vcpus[0], MSR_TSC, 1ull << 40);
	set_msr(vm->vcpus[1], MSR_TSC, 1ull << 50);
	never_back(vm, test_scale(200000), NULL);
	vm_free(vm);
}

/* Every value that is set is ahead of what there is. */
static void set_forward(struct vm *vm)
{
	int i;

	for (i = 0; i < 200; i++)
		set_clock(vm, get_clock(vm) + SECOND);
}

TEST_TIMED(set_meanwhile, 100)
{
	struct vm *vm = two_vcpus();

	never_back(vm, test_scale(200000), set_forward);
	vm_free(vm);
}

/* ---- the host sleeps ---------------------------------------------------- */

/* As far as the kernel's own test mode goes: up to the system core. */
static void need_sleep(void)
{
	char states[64];

	if (!file_write("/sys/power/pm_test", "core") ||
	    !file_read("/sys/power/state", states, sizeof(states)) ||
	    !strstr(states, "mem"))
		skip("the host has no test mode for sleep");
}

static void sleep_and_wake(void)
{
	if (!file_write("/sys/power/state", "mem"))
		fail("the host does not sleep: %s", strerror(errno));
}

static u64 boot_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

/* The guest's time, and its time of day, have gone on. */
TEST_TIMED(after_sleep, 60)
{
	u64 before, seen, after, slept, real;
	struct wall_time *wall;
	struct vcpu *v;
	int i;

	need_sleep();
	v = clock_start(g_wall);
	for (i = 0; i < 2; i++) {
		before = boot_ns();
		seen = clock_seen(v);
		after = boot_ns();
		sleep_and_wake();
		slept = boot_ns() - after;
		BETWEEN(clock_seen(v) - seen, slept, boot_ns() - before);
		same_as_get_clock(v);
		wall = &RAM(v->vm, WALL, struct wall_time);
		real = real_ns();
		seen = clock_seen(v);
		BETWEEN(wall->sec * SECOND + wall->nsec + seen, real,
			real_ns());
	}
	vm_free(v->vm);
}

static void sleep_once(struct vm *vm)
{
	(void)vm;
	sleep_and_wake();
}

TEST_TIMED(sleep_meanwhile, 200)
{
	struct vm *vm = two_vcpus();

	need_sleep();
	never_back(vm, test_scale(200000), sleep_once);
	vm_free(vm);
}
