// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once, at random, with an account at the end: events that must
 * be delivered exactly once each, memory that must hold what was written,
 * counters that several vCPUs share. --seed=N repeats the choices of a run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define MADV_COLLAPSE_	25		/* newer than the C library */

/* A small generator for guests: each caller keeps its own state. */
static inline u32 g_rnd(u64 *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

/* Events */

#define UNMAPPED	0x30000000ull
#define FIRST_VEC	0x60
#define VECTORS		4

static volatile u64 g_seed;
static volatile u32 g_steps, g_uds, g_pfs, g_ints;

static void g_skip2(struct trap_frame *f)
{
	f->rip += 2;			/* UD2; MOVB (%RAX), %AL */
}

static void g_step(u32 what, u64 *state)
{
	u64 rsi = G_FREE, rcx = 5;
	u32 out[4];

	switch (what) {
	case 0:
		outb(0x77, 1);
		break;
	case 1:
		inb(0x77);
		break;
	case 2:
		write64(G_MMIO + 16, 1);
		break;
	case 3:
		read64(G_MMIO + 24);
		break;
	case 4:
		cpuid(0, 0, out);
		break;
	case 5:
		asm volatile("ud2");
		g_uds++;
		break;
	case 6:
		asm volatile("int $0x41");
		g_ints++;
		break;
	case 7:
		asm volatile("sti; hlt");
		break;
	case 8:
		*(volatile u8 *)(G_HIGH + g_rnd(state) % 0x700000ull) = 1;
		break;
	case 9:
		asm volatile("movb (%%rax), %%al" : : "a"(UNMAPPED));
		g_pfs++;
		break;
	case 10:
		asm volatile("rep; outsb" : "+S"(rsi), "+c"(rcx)
			     : "d"(0x78) : "memory");
		break;
	case 11:
		rdmsr(0x1b);
		break;
	case 12:
		cli();
		break;
	case 13:
		asm volatile("movw %w0, %%ss; nop" : : "r"(SEL_DATA));
		break;
	case 14:
		asm volatile("lock; incq (%0)" : : "r"(G_MMIO + 32ull)
			     : "memory");
		break;
	default:
		sti();
	}
}

static void g_events(void)
{
	u64 state = g_seed;
	u32 i;

	trap.handler[VEC_UD] = g_skip2;
	trap.handler[VEC_PF] = g_skip2;
	for (i = 0; i < g_steps; i++)
		g_step(g_rnd(&state) % 18, &state);
	/* What is still to come can come now. */
	for (i = 0; i < 10; i++) {
		asm volatile("sti; nop; nop");
		outb(0x77, 2);
	}
}

struct account {
	u32 irqs[VECTORS], nmis, windows;
};

static void inject_irq(struct vcpu *v, struct account *a)
{
	u32 n = rnd() % VECTORS;
	struct kvm_interrupt irq = { .irq = FIRST_VEC + n };

	WORKS(ioctl(v->fd, KVM_INTERRUPT, &irq));
	a->irqs[n]++;
	v->run->request_interrupt_window = 0;
}

/* One NMI is kept pending at most, so another is sent only after it. */
static void maybe_nmi(struct vcpu *v, struct account *a)
{
	struct kvm_vcpu_events e;

	WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	if (e.nmi.pending || e.nmi.injected)
		return;
	WORKS(ioctl(v->fd, KVM_NMI, 0));
	a->nmis++;
}

static void poke(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	ioctl(v->fd, KVM_RUN, 0);
	v->run->immediate_exit = 0;
}

/* All state out and in again changes nothing, events under way included. */
static void round_trip(struct vcpu *v)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct kvm_vcpu_events e;
	struct kvm_debugregs d;
	struct kvm_xsave x;

	poke(v);
	get_regs(v, &r);
	get_sregs(v, &s);
	WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	WORKS(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	WORKS(ioctl(v->fd, KVM_GET_XSAVE, &x));
	set_sregs(v, &s);
	set_regs(v, &r);
	WORKS(ioctl(v->fd, KVM_SET_XSAVE, &x));
	WORKS(ioctl(v->fd, KVM_SET_DEBUGREGS, &d));
	WORKS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
}

static void evict(struct vm *vm)
{
	WORKS(mprotect(vm->ram, RAM_SIZE, PROT_NONE));
	WORKS(mprotect(vm->ram, RAM_SIZE, PROT_READ | PROT_WRITE));
}

static void between_exits(struct vcpu *v, int stop, struct account *a)
{
	u32 choice = rnd() % 24;

	if (choice < 2)
		evict(v->vm);
	else if (choice < 4)
		poke(v);
	else if (choice < 6)
		round_trip(v);
	else if (choice < 7 && cpus_online() > 1)
		pin_to_cpu(rnd() % 2);
	if (rnd() % 8 == 0)
		maybe_nmi(v, a);
	if (stop == KVM_EXIT_HLT || stop == KVM_EXIT_IRQ_WINDOW_OPEN) {
		a->windows += stop == KVM_EXIT_IRQ_WINDOW_OPEN;
		inject_irq(v, a);
	} else if (rnd() % 6 == 0) {
		v->run->request_interrupt_window = 1;
	}
}

TEST_TIMED(every_event_once, 200)
{
	struct account a = { 0 };
	struct vcpu *v;
	int stop;
	u32 i;

	need_cap(KVM_CAP_VCPU_EVENTS);
	note("--seed=%llu", test_seed());
	g_seed = rnd();
	g_steps = test_scale(4000);
	v = guest_start(g_events);
	map_page(v->vm, UNMAPPED, 0, 0);
	while ((stop = vcpu_go(v)) != STOP_DONE) {
		CHECK(stop == KVM_EXIT_IO || stop == KVM_EXIT_MMIO ||
		      stop == KVM_EXIT_HLT || stop == KVM_EXIT_IRQ_WINDOW_OPEN);
		between_exits(v, stop, &a);
	}
	for (i = 0; i < VECTORS; i++)
		EQ(G(v->vm, trap).count[FIRST_VEC + i], a.irqs[i]);
	EQ(G(v->vm, trap).count[VEC_NMI], a.nmis);
	EQ(G(v->vm, trap).count[VEC_UD], G(v->vm, g_uds));
	EQ(G(v->vm, trap).count[VEC_PF], G(v->vm, g_pfs));
	EQ(G(v->vm, trap).count[0x41], G(v->vm, g_ints));
	CHECK(a.nmis > 10 && a.windows > 10);
	vm_free(v->vm);
}

/* Memory: two vCPUs check and change pages while the host does its worst. */

#define AREA		G_MMIO
#define AREA_PAGES	1024u
#define AREA_SIZE	(AREA_PAGES * 4096ull)

static volatile u32 g_ids, g_halt;
static u64 g_expected[AREA_PAGES];
static volatile u64 g_rounds[2];

static void g_memory(void)
{
	u32 id = __atomic_fetch_add(&g_ids, 1, __ATOMIC_RELAXED), page;
	u64 state = g_seed + id, at;

	while (!g_halt) {
		page = g_rnd(&state) % (AREA_PAGES / 2) * 2 + id;
		at = AREA + page * 4096ull + page * 8 % 4096;
		G_EQ(read64(at), g_expected[page]);
		if (g_rnd(&state) % 2) {
			g_expected[page] = state;
			write64(at, state);
		}
		g_rounds[id]++;
	}
}

/* User memory that is away for the moment is EFAULT: try again. */
static void *run_patiently(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		int r = ioctl(v->fd, KVM_RUN, 0);

		if (r == 0)
			return (void *)(long)(v->run->exit_reason ==
					      KVM_EXIT_IO ?
					      v->run->io.port : -1);
		if (errno != EFAULT && errno != EINTR && errno != EAGAIN)
			return (void *)-2l;
		usleep(100);
	}
}

static void fork_and_end(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static u64 bitmap[AREA_PAGES / 64];

/* Copies what is dirty; the guests go on meanwhile. */
static void harvest(struct vm *vm, const u8 *mem, u8 *copy)
{
	struct kvm_dirty_log log = { .slot = 1 };
	u32 i;

	log.dirty_bitmap = bitmap;
	WORKS(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log));
	for (i = 0; i < AREA_PAGES; i++) {
		if (bitmap[i / 64] & BIT(i % 64))
			memcpy(copy + i * 4096, mem + i * 4096, 4096);
	}
}

static void compact(void)
{
	if (!file_write("/proc/sys/vm/compact_memory", "1"))
		note("no compaction");
}

static void host_does_its_worst(struct vm *vm, u8 *mem, u8 *copy)
{
	u8 *at = mem + rnd() % AREA_PAGES * 4096;
	u64 n = (1 + rnd() % 64) * 4096, left = mem + AREA_SIZE - at;

	if (n > left)
		n = left;
	switch (rnd() % 8) {
	case 0:
		mprotect(at, n, PROT_READ);
		break;
	case 1:
		mprotect(at, n, PROT_NONE);
		break;
	case 2:
		fork_and_end();
		break;
	case 3:
		madvise(mem, AREA_SIZE, MADV_HUGEPAGE);
		madvise(mem, AREA_SIZE, MADV_COLLAPSE_);
		break;
	case 4:
		madvise(at, n, MADV_NOHUGEPAGE);
		madvise(at, n, MADV_PAGEOUT);
		break;
	case 5:
		compact();
		break;
	case 6:
		/* Any other protection would spoil the copy. */
		mprotect(mem, AREA_SIZE, PROT_READ | PROT_WRITE);
		harvest(vm, mem, copy);
		break;
	default:
		usleep(1000);
	}
	mprotect(mem, AREA_SIZE, PROT_READ | PROT_WRITE);
}

TEST_TIMED(memory_holds_what_was_written, 200)
{
	u8 *mem = mem_alloc(AREA_SIZE), *copy = mem_alloc(AREA_SIZE);
	unsigned long i, n = test_scale(150);
	pthread_t t[2];
	struct vcpu *v;
	struct vm *vm;
	void *stop;

	note("--seed=%llu", test_seed());
	g_seed = rnd();
	vm = vm_new();
	vm_slot(vm, 1, AREA, AREA_SIZE, mem, KVM_MEM_LOG_DIRTY_PAGES);
	for (i = 0; i < 2; i++) {
		v = vcpu_new(vm, i);
		vcpu_long(v, g_memory);
		EQ(pthread_create(&t[i], NULL, run_patiently, v), 0);
	}
	for (i = 0; i < n; i++)
		host_does_its_worst(vm, mem, copy);
	G(vm, g_halt) = 1;
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], &stop);
		if ((long)stop == PORT_FAIL)
			guest_failed(vm);
		EQ((long)stop, PORT_DONE);
		CHECK(G(vm, g_rounds)[i] > 100);
	}
	harvest(vm, mem, copy);
	EQ(memcmp(mem, copy, AREA_SIZE), 0);
	for (i = 0; i < AREA_PAGES; i++)
		EQ(*(u64 *)(mem + i * 4096 + i * 8 % 4096),
		   G(vm, g_expected)[i]);
	vm_free(vm);
}

/* Locked operations of several vCPUs add up. */
#define ADDERS	4
#define ADDS	30000

static volatile u64 g_shared[3];

static void g_adder(void)
{
	u32 i;

	for (i = 0; i < ADDS; i++) {
		asm volatile("lock; incq %0" : "+m"(g_shared[0]));
		__atomic_fetch_add(&g_shared[1], 3, __ATOMIC_SEQ_CST);
		while (__atomic_exchange_n(&g_shared[2], 1, __ATOMIC_ACQUIRE))
			asm volatile("pause");
		g_rounds[0]++;
		__atomic_store_n(&g_shared[2], 0, __ATOMIC_RELEASE);
	}
}

TEST(locked_counters)
{
	struct vm *vm = vm_new();
	pthread_t t[ADDERS];
	void *stop;
	u32 i;

	for (i = 0; i < ADDERS; i++) {
		struct vcpu *v = vcpu_new(vm, i);

		vcpu_long(v, g_adder);
		EQ(pthread_create(&t[i], NULL, run_patiently, v), 0);
	}
	for (i = 0; i < ADDERS; i++) {
		pthread_join(t[i], &stop);
		EQ((long)stop, PORT_DONE);
	}
	EQ(G(vm, g_shared)[0], ADDERS * ADDS);
	EQ(G(vm, g_shared)[1], ADDERS * ADDS * 3);
	EQ(G(vm, g_rounds)[0], ADDERS * ADDS);
	vm_free(vm);
}

/* A processor leaves the host and comes back while guests run. */
static bool set_online(const char *value)
{
	return file_write("/sys/devices/system/cpu/cpu1/online", value);
}

TEST_TIMED(processor_goes_and_comes, 200)
{
	struct vm *vm;
	pthread_t t[3];
	void *stop;
	u32 i;

	if (cpus_online() < 2)
		skip("waits for a host with two processors");
	vm = vm_new();
	vm_add(vm, 1, AREA, AREA_SIZE, 0);
	for (i = 0; i < 3; i++) {
		struct vcpu *v = vcpu_new(vm, i);

		vcpu_long(v, i == 2 ? g_adder : g_memory);
		EQ(pthread_create(&t[i], NULL, run_patiently, v), 0);
	}
	for (i = 0; i < 4; i++) {
		usleep(20000);
		if (!set_online("0"))
			skip("the host's second processor cannot go offline");
		usleep(20000);
		CHECK(set_online("1"));
	}
	G(vm, g_halt) = 1;
	for (i = 0; i < 3; i++) {
		pthread_join(t[i], &stop);
		EQ((long)stop, PORT_DONE);
	}
	EQ(G(vm, g_shared)[0], ADDS);
	vm_free(vm);
}
