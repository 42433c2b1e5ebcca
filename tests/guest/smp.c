// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several vCPUs that run at the same time, with interrupt controllers in the
 * kernel: start-up as an operating system does it, interrupts between them
 * that must neither get lost nor come twice, NMIs, HLT and what ends it,
 * KVM_SET_MP_STATE, and memory slots that change under them.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "irqchip.h"

#define N	4
#define REQUEST	0x40
#define REPLY	0x41

/* The same for all vCPUs of a VM, at the same time. */
static void all_at_once(struct vm *vm, remote_fn fn, u64 a)
{
	pthread_t threads[MAX_VCPUS];
	int i;

	for (i = 0; i < vm->nr_vcpus; i++)
		threads[i] = remote_start(vm->vcpus[i], fn, a, i);
	for (i = 0; i < vm->nr_vcpus; i++)
		remote_wait(vm->vcpus[i], threads[i]);
}

/* ---- start-up ------------------------------------------------------------ */

/* From real mode to 64-bit mode in one go, and to start_ap() with the ID. */
CODE(trampoline, 16,
	"cli\n"
	"movw %cs, %ax; movw %ax, %ds\n"
	"data32 lgdt trampoline_gdt - trampoline\n"
	"movl $0x620, %eax; movl %eax, %cr4\n"		/* PAE, OSFXSR */
	"movl $0x4000, %eax; movl %eax, %cr3\n"		/* G_PML4 */
	"movl $0xc0000080, %ecx; rdmsr; orl $0x901, %eax; wrmsr\n"
	"movl $0x80010033, %eax; movl %eax, %cr0\n"
	"ljmpl $8, $start_64\n"
	"trampoline_gdt: .word 0x5f; .long 0x1000\n");	/* G_GDT */

asm(".pushsection .text\n"
    "start_64: movl $0x10, %eax\n"
    "movl %eax, %ds; movl %eax, %es; movl %eax, %ss\n"
    "movl $1, %eax; cpuid; shrl $24, %ebx\n"
    "movl %ebx, %edi; shll $14, %ebx\n"
    "movl $0x90000, %esp; subl %ebx, %esp\n"		/* G_STACK */
    "call start_ap\n"
    ".popsection");

static volatile u32 started;

void start_ap(u64 id);
void __attribute__((used)) start_ap(u64 id)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) idt = {
		256 * 16 - 1, G_IDT64,
	};

	asm volatile("lidt %0" : : "m"(idt));
	percpu[id].self = &percpu[id];
	percpu[id].id = id;
	wrmsr(0xc0000101, (unsigned long)&percpu[id]);	/* IA32_GS_BASE */
	apic_write(APIC_SVR, SVR_ENABLED | VEC_SPURIOUS);
	__atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
	remote_server();
}

/* In the boot processor: INIT, a pause, start-up twice, to all others. */
static u64 g_start_others(u64 others, u64 pause)
{
	u64 begin;

	apic_icr(0, ICR_OTHERS | ICR_INIT | ICR_LEVEL | ICR_ASSERT);
	for (begin = rdtsc(); rdtsc() - begin < pause;)
		asm volatile("pause");
	apic_icr(0, ICR_OTHERS | ICR_SIPI | ICR_ASSERT | G_CODE >> 12);
	for (begin = rdtsc(); rdtsc() - begin < pause;)
		asm volatile("pause");
	apic_icr(0, ICR_OTHERS | ICR_SIPI | ICR_ASSERT | G_CODE >> 12);
	G_WAIT(started == others);
	return 0;
}

static void *run_to_server(void *arg)
{
	struct vcpu *v = arg;

	vcpu_until(v, STOP_SYNC);
	EQ(v->value, v->id);
	return NULL;
}

static void start_all(int n)
{
	struct vm *vm = remote_vm(false, 1);
	pthread_t threads[MAX_VCPUS];
	int i;

	code_load(vm, G_CODE, trampoline, trampoline_end);
	for (i = 1; i < n; i++) {
		vcpu_apic(vm, i);
		EQ(pthread_create(&threads[i], NULL, run_to_server,
				  vm->vcpus[i]), 0);
	}
	remote(vm->vcpus[0], g_start_others, n - 1, 200000);
	for (i = 1; i < n; i++)
		pthread_join(threads[i], NULL);
	for (i = 1; i < n; i++) {
		remote_icr(vm->vcpus[0], i, ICR_ASSERT | REQUEST);
		EQ(remote_window(vm->vcpus[i]), 1);
	}
	vm_free(vm);
}

TEST(start_2)
{
	start_all(2);
}

TEST(start_8)
{
	start_all(8);
}

/* ---- interrupts between them --------------------------------------------- */

static u32 requests[N];			/* who asks, one bit each */
static volatile u32 replies[N][N];	/* so many to [i] from [k] */

static void answer(struct trap_frame *f)
{
	struct percpu *p = this_cpu();
	u32 from, i;

	if (f->vector != REQUEST)
		return;
	from = __atomic_exchange_n(&requests[p->id], 0, __ATOMIC_SEQ_CST);
	for (i = 0; i < N; i++) {
		if (from >> i & 1) {
			replies[i][p->id]++;
			apic_icr(i, ICR_ASSERT | REPLY);
		}
	}
}

static void ask(u32 from, u32 to)
{
	__atomic_fetch_or(&requests[to], 1u << from, __ATOMIC_SEQ_CST);
	apic_icr(to, ICR_ASSERT | REQUEST);
}

static volatile u32 through;		/* vCPUs that have asked all */

/* Asks everybody, again and again; each reply must come. Waits halted. */
static u64 g_storm(u64 rounds, u64 me)
{
	u32 round, to;

	for (round = 1; round <= rounds; round++) {
		for (to = 0; to < N; to++) {
			if (to == me)
				continue;
			ask(me, to);
			while (replies[me][to] != round)
				asm volatile("sti; hlt; cli" : : : "memory");
		}
	}
	__atomic_fetch_add(&through, 1, __ATOMIC_SEQ_CST);
	/* The others still want answers. */
	apic_icr(0, ICR_OTHERS | ICR_ASSERT | REPLY);
	while (through != N)
		asm volatile("sti; hlt; cli" : : : "memory");
	return 0;
}

/* The same with interrupts on all the time, and no HLT. */
static u64 g_busy_storm(u64 rounds, u64 me)
{
	u32 round, to;

	sti();
	for (round = 1; round <= rounds; round++) {
		for (to = 0; to < N; to++) {
			if (to == me)
				continue;
			ask(me, to);
			G_WAIT(replies[me][to] == round);
		}
	}
	__atomic_fetch_add(&through, 1, __ATOMIC_SEQ_CST);
	G_WAIT(through == N);
	cli();
	return 0;
}

static void storm(bool x2, remote_fn fn, u32 rounds)
{
	struct vm *vm = remote_vm(x2, N);
	int i, k;

	for (i = 0; i < N; i++)
		PERCPU(vm->vcpus[i]).hook = answer;
	all_at_once(vm, fn, rounds);
	for (i = 0; i < N; i++) {
		for (k = 0; k < N; k++)
			EQ(G(vm, replies)[i][k], i == k ? 0 : rounds);
	}
	vm_free(vm);
}

BOTH_MODES(storm_halted)
{
	storm(x2, g_storm, test_scale(150));
}

BOTH_MODES(storm_busy)
{
	storm(x2, g_busy_storm, test_scale(20));
}

/* One to all others, who halt; the next when all of them have it. */
static volatile u32 seen[N];

static void count_request(struct trap_frame *f)
{
	if (f->vector != REQUEST)
		return;
	seen[this_cpu()->id]++;
	apic_icr(0, ICR_ASSERT | REPLY);
}

static bool all_seen(u32 round)
{
	u32 i;

	for (i = 1; i < N; i++) {
		if (seen[i] != round)
			return false;
	}
	return true;
}

static u64 g_broadcast(u64 rounds, u64 me)
{
	u32 round;

	if (me) {
		while (seen[me] != rounds)
			asm volatile("sti; hlt; cli" : : : "memory");
		return 0;
	}
	for (round = 1; round <= rounds; round++) {
		apic_icr(0, ICR_OTHERS | ICR_ASSERT | REQUEST);
		while (!all_seen(round))
			asm volatile("sti; hlt; cli" : : : "memory");
	}
	return 0;
}

BOTH_MODES(broadcasts)
{
	struct vm *vm = remote_vm(x2, N);
	int i;

	for (i = 0; i < N; i++)
		PERCPU(vm->vcpus[i]).hook = count_request;
	all_at_once(vm, g_broadcast, test_scale(200));
	vm_free(vm);
}

/* From the host, to a vCPU that never leaves by itself. */
static u64 g_count_busily(u64 want, u64 unused)
{
	struct percpu *p = this_cpu();

	(void)unused;
	sti();
	while (p->taken < want)
		asm volatile("pause");
	cli();
	return 0;
}

TEST(messages_to_a_busy_one)
{
	enum { ROUNDS = 200 };
	struct vm *vm = remote_vm(false, 1);
	struct vcpu *v = vm->vcpus[0];
	pthread_t thread = remote_start(v, g_count_busily, ROUNDS, 0);
	u32 i;

	for (i = 0; i < ROUNDS; i++) {
		WORKS(signal_msi(vm, APIC_DEFAULT_BASE, REQUEST));
		while (PERCPU(v).taken == i)
			usleep(100);
	}
	remote_wait(v, thread);
	EQ(PERCPU(v).count[REQUEST], ROUNDS);
	vm_free(vm);
}

static u64 g_count_halted(u64 want, u64 unused)
{
	struct percpu *p = this_cpu();

	(void)unused;
	while (p->taken < want)
		asm volatile("sti; hlt; cli" : : : "memory");
	return 0;
}

TEST(messages_to_a_halted_one)
{
	enum { ROUNDS = 200 };
	struct vm *vm = remote_vm(false, 1);
	struct vcpu *v = vm->vcpus[0];
	pthread_t thread = remote_start(v, g_count_halted, ROUNDS, 0);
	u32 i;

	for (i = 0; i < ROUNDS; i++) {
		if (i % 3 == 0)
			usleep(rnd() % 300);
		WORKS(signal_msi(vm, APIC_DEFAULT_BASE, REQUEST));
		while (PERCPU(v).taken == i)
			usleep(50);
	}
	remote_wait(v, thread);
	vm_free(vm);
}

/* Many vCPUs, beyond 16: more than one cluster. */
TEST(everybody_x2apic)
{
	struct vm *vm = remote_vm(true, MAX_CPU_ID);
	int i;

	remote_icr(vm->vcpus[20], ANY_ID, ICR_ASSERT | REQUEST);
	for (i = 0; i < MAX_CPU_ID; i++)
		row(remote_window(vm->vcpus[i]) == 1, "vCPU %d", i);
	remote_icr(vm->vcpus[3], 0x1ffff, ICR_LOGICAL | ICR_ASSERT | REQUEST);
	for (i = 0; i < MAX_CPU_ID; i++)
		row(remote_window(vm->vcpus[i]) == (i >= 16),
		    "cluster 1, vCPU %d", i);
	vm_free(vm);
}

/* ---- NMIs ---------------------------------------------------------------- */

static volatile u32 in_nmi, nmi_depth, nmi_nested, let_go;

static void stay_in_nmi(struct trap_frame *f)
{
	if (f->vector != VEC_NMI)
		return;
	if (nmi_depth++)
		nmi_nested++;
	in_nmi++;
	if (in_nmi == 1)
		G_WAIT(let_go);
	nmi_depth--;
}

static u64 g_wait_for_nmis(u64 n, u64 unused)
{
	struct percpu *p = this_cpu();

	(void)unused;
	G_WAIT(p->count[VEC_NMI] >= n);
	return 0;
}

static u64 g_nmis(u64 n, u64 dest)
{
	G_WAIT(in_nmi == 1);
	while (n--)
		apic_icr(dest, ICR_ASSERT | ICR_NMI);
	let_go = 1;
	return 0;
}

/* While one is being handled, all others are one more. */
BOTH_MODES(nmi_while_blocked)
{
	struct vm *vm = remote_vm(x2, 2);
	pthread_t thread;

	PERCPU(vm->vcpus[1]).hook = stay_in_nmi;
	thread = remote_start(vm->vcpus[1], g_wait_for_nmis, 2, 0);
	remote_icr(vm->vcpus[0], 1, ICR_ASSERT | ICR_NMI);
	remote(vm->vcpus[0], g_nmis, 5, 1);
	remote_wait(vm->vcpus[1], thread);
	remote_window(vm->vcpus[1]);
	EQ(PERCPU(vm->vcpus[1]).count[VEC_NMI], 2);
	EQ(G(vm, nmi_nested), 0);
	vm_free(vm);
}

static u64 g_dead_halt(u64 a, u64 b)
{
	(void)a;
	(void)b;
	cli();
	hlt();
	return this_cpu()->count[VEC_NMI];
}

BOTH_MODES(nmi_wakes)
{
	struct vm *vm = remote_vm(x2, 2);
	pthread_t thread = remote_start(vm->vcpus[1], g_dead_halt, 0, 0);

	usleep(20000);
	/* A maskable one does not: interrupts are off. */
	remote_icr(vm->vcpus[0], 1, ICR_ASSERT | REQUEST);
	usleep(20000);
	EQ(PERCPU(vm->vcpus[1]).taken, 0);
	remote_icr(vm->vcpus[0], 1, ICR_ASSERT | ICR_NMI);
	EQ(remote_wait(vm->vcpus[1], thread), 1);
	EQ(remote_window(vm->vcpus[1]), 1);
	vm_free(vm);
}

/* ---- HLT and MP_STATE ---------------------------------------------------- */

static void on_signal(int signum)
{
	(void)signum;
}

/* KVM_RUN that a signal must end; returns errno. */
static void *run_once(void *arg)
{
	struct vcpu *v = arg;
	long r = ioctl(v->fd, KVM_RUN, 0);

	return (void *)(r ? (long)errno : -1l);
}

static long run_and_signal(struct vcpu *v)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t thread;
	void *result;

	WORKS(sigaction(SIGUSR1, &sa, NULL));
	EQ(pthread_create(&thread, NULL, run_once, v), 0);
	usleep(30000);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, &result);
	return (long)result;
}

/* A halted vCPU has a state that migrates. */
TEST(halted_state)
{
	struct vm *vm = remote_vm(false, 1);
	struct vcpu *v = vm->vcpus[0];

	remote_order(v, g_count_halted, 1, 0);
	EQ(run_and_signal(v), EINTR);
	EQ(v->run->exit_reason, KVM_EXIT_INTR);
	EQ(get_mp_state(v), KVM_MP_STATE_HALTED);
	EQ(run_and_signal(v), EINTR);
	EQ(get_mp_state(v), KVM_MP_STATE_HALTED);
	WORKS(signal_msi(vm, APIC_DEFAULT_BASE, REQUEST));
	vcpu_until(v, STOP_SYNC);
	EQ(PERCPU(v).taken, 1);
	EQ(get_mp_state(v), KVM_MP_STATE_RUNNABLE);
	vm_free(vm);
}

/* NMI from user space wakes, too. */
TEST(nmi_from_user_space)
{
	struct vm *vm = remote_vm(false, 1);
	struct vcpu *v = vm->vcpus[0];

	remote_order(v, g_dead_halt, 0, 0);
	EQ(run_and_signal(v), EINTR);
	EQ(get_mp_state(v), KVM_MP_STATE_HALTED);
	WORKS(ioctl(v->fd, KVM_NMI, 0));
	vcpu_until(v, STOP_SYNC);
	EQ(PERCPU(v).result, 1);
	vm_free(vm);
}

/* Set from outside, it halts where it stands. */
TEST(halted_by_user_space)
{
	struct vm *vm = remote_vm(false, 1);
	struct vcpu *v = vm->vcpus[0];

	remote_order(v, g_count_busily, 1, 0);
	set_mp_state(v, KVM_MP_STATE_HALTED);
	EQ(run_and_signal(v), EINTR);
	EQ(get_mp_state(v), KVM_MP_STATE_HALTED);
	EQ(PERCPU(v).taken, 0);
	set_mp_state(v, KVM_MP_STATE_RUNNABLE);
	WORKS(signal_msi(vm, APIC_DEFAULT_BASE, REQUEST));
	vcpu_until(v, STOP_SYNC);
	vm_free(vm);
}

TEST(waiting_states_do_not_run)
{
	static const u32 states[] = {
		KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED,
	};
	struct vm *vm = remote_vm(false, 2);
	struct vcpu *v = vm->vcpus[1];
	u64 rip;
	u32 i;

	/* The OUT that it stopped at is finished by the next KVM_RUN. */
	v->run->immediate_exit = 1;
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
	v->run->immediate_exit = 0;
	rip = get_rip(v);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		set_mp_state(v, states[i]);
		EQ(get_mp_state(v), states[i]);
		EQ(run_and_signal(v), EINTR);
		EQ(get_mp_state(v), states[i]);
		EQ(get_rip(v), rip);
		/* An interrupt does not wake it. */
		remote_icr(vm->vcpus[0], 1, ICR_ASSERT | REQUEST);
		EQ(run_and_signal(v), EINTR);
		EQ(get_rip(v), rip);
	}
	set_mp_state(v, KVM_MP_STATE_RUNNABLE);
	vm_free(vm);
}

TEST(init_received_takes_start_up)
{
	struct vm *vm = remote_vm(false, 2);
	struct vcpu *v = vm->vcpus[1];
	struct kvm_sregs s;

	set_mp_state(v, KVM_MP_STATE_INIT_RECEIVED);
	remote_icr(vm->vcpus[0], 1, ICR_SIPI | ICR_ASSERT | 0x55);
	EQ(get_mp_state(v), KVM_MP_STATE_RUNNABLE);
	get_sregs(v, &s);
	EQ(s.cs.base, 0x55000);
	vm_free(vm);
}

TEST(bad_mp_states)
{
	struct vm *vm = remote_vm(false, 1), *bare = vm_new();
	struct vcpu *v = vm->vcpus[0], *w = vcpu_new(bare, 0);
	struct kvm_mp_state s;
	u32 state;

	for (state = KVM_MP_STATE_SIPI_RECEIVED + 1; state < 12; state++) {
		s.mp_state = state;
		if (state == KVM_MP_STATE_AP_RESET_HOLD)
			continue;
		row(ioctl(v->fd, KVM_SET_MP_STATE, &s) == -1 ||
		    kvm_in_tree(), "state %u", state);
	}
	s.mp_state = ~0u;
	if (!kvm_in_tree())
		FAILS(ioctl(v->fd, KVM_SET_MP_STATE, &s), EINVAL);
	/* Without controllers in the kernel there is only one. */
	s.mp_state = KVM_MP_STATE_INIT_RECEIVED;
	FAILS(ioctl(w->fd, KVM_SET_MP_STATE, &s), EINVAL);
	vm_free(bare);
	vm_free(vm);
}

/* A process with halted vCPUs can be killed. */
TEST(killed_while_halted)
{
	int status, i;
	pid_t pid;

	need_cap(KVM_CAP_IRQCHIP);
	for (i = 0; i < 5; i++) {
		pid = fork();
		if (!pid) {
			all_at_once(remote_vm(false, N), g_count_halted, 1);
			_exit(0);
		}
		usleep(60000);
		kill(pid, SIGKILL);
		WORKS(waitpid(pid, &status, 0));
		CHECK(WIFSIGNALED(status));
	}
}

/* ---- memory slots that change under them --------------------------------- */

#define AREA	((u64)G_MMIO)

static volatile u32 stop_now;

static u64 g_write_area(u64 a, u64 me)
{
	volatile u64 *at = (u64 *)(AREA + me * 8);

	(void)a;
	while (!stop_now)
		++*at;
	return 0;
}

/* While there is no slot, the writes are exits. */
static void *run_until_sync(void *arg)
{
	struct vcpu *v = arg;
	int stop;

	while ((stop = vcpu_go(v)) == KVM_EXIT_MMIO)
		;
	EQ(stop, STOP_SYNC);
	return NULL;
}

/* Once a slot is gone, nobody writes to its memory any more. */
TEST(slot_away_under_writers)
{
	struct vm *vm = remote_vm(false, N);
	u64 *pages[2], before[N], moved = 0;
	pthread_t threads[N];
	u32 i, round;

	pages[0] = mem_alloc(4096);
	pages[1] = mem_alloc(4096);
	for (i = 0; i < N; i++) {
		remote_order(vm->vcpus[i], g_write_area, 0, i);
		EQ(pthread_create(&threads[i], NULL, run_until_sync,
				  vm->vcpus[i]), 0);
	}
	for (round = 0; round < 60; round++) {
		u64 *page = pages[round % 2];

		vm_slot(vm, 1, AREA, 4096, page, 0);
		usleep(4000);
		vm_slot(vm, 1, AREA, 0, page, 0);
		memcpy(before, page, sizeof(before));
		usleep(1000);
		for (i = 0; i < N; i++) {
			EQ(page[i], before[i]);
			moved += page[i];
		}
	}
	G(vm, stop_now) = 1;
	for (i = 0; i < N; i++)
		pthread_join(threads[i], NULL);
	CHECK(moved);
	vm_free(vm);
}

/* Moved in one step: from then on it is at the new place only. */
TEST(slot_moved_under_writers)
{
	struct vm *vm = remote_vm(false, N);
	u64 *page = mem_alloc(4096), before[N];
	pthread_t threads[N];
	u32 i, round;

	vm_slot(vm, 1, AREA, 4096, page, 0);
	for (i = 0; i < N; i++) {
		remote_order(vm->vcpus[i], g_write_area, 0, i);
		EQ(pthread_create(&threads[i], NULL, run_until_sync,
				  vm->vcpus[i]), 0);
	}
	for (round = 0; round < 40; round++) {
		usleep(3000);
		vm_slot(vm, 1, AREA + 0x100000, 4096, page, 0);
		memcpy(before, page, sizeof(before));
		usleep(1000);
		for (i = 0; i < N; i++)
			EQ(page[i], before[i]);
		vm_slot(vm, 1, AREA, 4096, page, 0);
	}
	G(vm, stop_now) = 1;
	for (i = 0; i < N; i++)
		pthread_join(threads[i], NULL);
	vm_free(vm);
}

/* ---- timers of several --------------------------------------------------- */

#define TIMER	0x51

static u64 g_timer_ticks(u64 want, u64 me)
{
	struct percpu *p = this_cpu();
	u64 begin;

	apic_write(APIC_TDCR, TDCR_BY_1);
	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | TIMER);
	begin = rdtsc();
	apic_write(APIC_TMICT, 4000000 + me * 500000);
	while (p->count[TIMER] < want)
		asm volatile("sti; hlt; cli" : : : "memory");
	apic_write(APIC_TMICT, 0);
	return rdtsc() - begin;
}

BOTH_MODES(timers_of_all)
{
	struct vm *vm = remote_vm(x2, N);
	u64 khz = WORKS(ioctl(vm->vcpus[0]->fd, KVM_GET_TSC_KHZ, 0));
	int i;

	all_at_once(vm, g_timer_ticks, 25);
	for (i = 0; i < N; i++) {
		u64 us = PERCPU(vm->vcpus[i]).result * 1000 / khz;
		u64 want = 25 * (4000 + i * 500);

		row(us >= want * 99 / 100 && us <= want + 3000,
		    "vCPU %d: %llu us, not %llu", i, us, want);
	}
	vm_free(vm);
}
