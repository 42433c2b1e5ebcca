// SPDX-License-Identifier: GPL-2.0-only
/*
 * What exits, ioctls and interrupts cost, in instructions: the emulated
 * time-stamp counter moves once for each. Prints for each row
 *
 *	cost NAME N FIGURE		per operation, of N measured
 *	ops NAME VMREADS VMWRITES RDMSRS WRMSRS
 *
 * the latter where the module counts them (KVM_COUNT_OPS), and only then.
 *
 * ROWS='PATTERN...' in the environment: only rows of these names.
 *
 * The figure is the median of a row's batches, so that those that a timer tick
 * of the host fell into do not count. rows.h tells how a batch runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rows.h"

#define PARTNER_CPU	1

struct job job;
volatile u64 taken, taken_at;
volatile bool partner_ready;

/* ---- in the guest ------------------------------------------------------- */

static void guest_loop(void)
{
	if (job.begin)
		job.begin();
	for (;;) {
		guest_sync(0);
		asm volatile("" : : : "memory");
		job.started = rdtsc();
		job.op(job.n);
		job.cost = rdtsc() - job.started;
	}
}

OP(op_nothing, asm volatile(""))

asm(".pushsection .text\n"
    ".globl bench_interrupt, bench_eoi_xapic, bench_eoi_x2apic, bench_taken\n"
    "bench_interrupt: iretq\n"
    "bench_eoi_xapic:\n"
    "	push %rax\n"
    "	mov $0xfee000b0, %eax\n"
    "	movl $0, (%rax)\n"
    "	pop %rax\n"
    "	iretq\n"
    "bench_eoi_x2apic:\n"
    "	push %rax\n"
    "	push %rcx\n"
    "	push %rdx\n"
    "1:	xor %eax, %eax\n"
    "	xor %edx, %edx\n"
    "	mov $0x80b, %ecx\n"
    "	wrmsr\n"
    "	pop %rdx\n"
    "	pop %rcx\n"
    "	pop %rax\n"
    "	iretq\n"
    "bench_taken:\n"
    "	push %rax\n"
    "	push %rcx\n"
    "	push %rdx\n"
    "	rdtsc\n"
    "	shl $32, %rdx\n"
    "	or %rdx, %rax\n"
    "	mov %rax, taken_at\n"
    "	incq taken\n"
    "	jmp 1b\n"
    ".popsection");

/* ---- in the host -------------------------------------------------------- */

static void answer(struct bench *b)
{
	struct kvm_run *run = b->v->run;
	struct kvm_interrupt irq = { VECTOR };

	b->user_exits++;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
	case KVM_EXIT_MMIO:
		break;
	case KVM_EXIT_HLT:
		ioctl(b->v->fd, KVM_INTERRUPT, &irq);
		break;
	default:
		fail("%s: %s", b->row->name, exit_text(b->v));
	}
}

void run_guest(struct bench *b)
{
	struct kvm_run *run = b->v->run;

	b->user_exits = 0;
	for (;;) {
		if (ioctl(b->v->fd, KVM_RUN, 0))
			fail("KVM_RUN: %s", strerror(errno));
		if (run->exit_reason == KVM_EXIT_IO &&
		    run->io.port == PORT_SYNC)
			return;
		answer(b);
	}
}

void run_batch(struct bench *b)
{
	u32 want = b->row->n * b->row->user_exits;

	run_guest(b);
	if (b->user_exits != want && !b->row->any_exits)
		fail("%s: %u exits to user space, not %u", b->row->name,
		     b->user_exits, want);
}

void install(struct bench *b, u32 vector, const u8 *handler)
{
	u64 at = (unsigned long)handler;

	RAM(b->vm, G_IDT64 + vector * 16, u64) =
		(at & 0xffff) | SEL_CODE64 << 16 | 0x8eull << 40 |
		(at >> 16 & 0xffff) << 48;
	RAM(b->vm, G_IDT64 + vector * 16 + 8, u64) = at >> 32;
}

void ioeventfd(struct bench *b, u64 addr, u32 len, u32 flags)
{
	struct kvm_ioeventfd event = {
		.addr = addr,
		.len = len,
		.flags = flags,
	};

	b->kick = WORKS(eventfd(0, EFD_CLOEXEC));
	event.fd = b->kick;
	WORKS(ioctl(b->vm->fd, KVM_IOEVENTFD, &event));
}

/* The second thread. A signal ends what it does in the kernel. */

static void stop_signal(int signal)
{
	(void)signal;
}

static void *run_partner(void *bench)
{
	struct bench *b = bench;

	while (!b->over)
		if (ioctl(b->partner->fd, KVM_RUN, 0) && errno != EINTR)
			fail("KVM_RUN: %s", strerror(errno));
	return NULL;
}

static void *second_thread(void *bench)
{
	struct bench *b = bench;

	if (cpus_online() > PARTNER_CPU)
		pin_to_cpu(PARTNER_CPU);
	return (b->row->thread ? b->row->thread : run_partner)(b);
}

static void start_thread(struct bench *b)
{
	struct sigaction action = { .sa_handler = stop_signal };

	sigaction(SIGUSR1, &action, NULL);
	EQ(pthread_create(&b->thread, NULL, second_thread, b), 0);
	while (b->partner && !G(b->vm, partner_ready))
		sched_yield();
}

static void stop_thread(struct bench *b)
{
	if (!b->thread)
		return;
	b->over = true;
	if (b->partner)
		b->partner->run->immediate_exit = 1;
	pthread_kill(b->thread, SIGUSR1);
	pthread_join(b->thread, NULL);
}

/* The time is the host's, so that threads and guests can be compared. */
static void time_of_host(struct vcpu *v)
{
	u64 offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (unsigned long)&offset,
	};

	WORKS(ioctl(v->fd, KVM_SET_DEVICE_ATTR, &attr));
}

static struct vcpu *apic_vcpu(struct vm *vm, int id)
{
	struct vcpu *v = vcpu_apic(vm, id);

	time_of_host(v);
	set_mp_state(v, KVM_MP_STATE_RUNNABLE);
	return v;
}

static void prepare_partner(struct bench *b)
{
	b->partner = apic_vcpu(b->vm, 1);
	vcpu_long(b->partner, b->row->partner);
}

void bench_vm(struct bench *b)
{
	const struct row *row = b->row;

	b->vm = row->begin ? vm_irqchip() : vm_new();
	b->v = row->begin ? apic_vcpu(b->vm, 0) : vcpu_new(b->vm, 0);
	memset(b->vm->ram + G_HIGH, 0, PAGE);
	install(b, VECTOR, bench_interrupt);
	if (row->handler)
		install(b, APIC_VECTOR, row->handler);
	vcpu_long(b->v, guest_loop);
	G(b->vm, job).begin = row->begin;
	G(b->vm, job).op = b->row->guest ? b->row->guest : op_nothing;
	G(b->vm, job).n = b->row->n;
	G(b->vm, job).next = (u8 *)G_AREA;
	if (row->partner)
		prepare_partner(b);
	run_guest(b);
	if (row->setup)
		row->setup(b);
	if (row->partner || row->thread)
		start_thread(b);
}

void bench_vm_free(struct bench *b)
{
	stop_thread(b);
	vm_free(b->vm);
	if (b->kick)
		close(b->kick);
	if (b->irq)
		close(b->irq);
	if (b->area)
		munmap(b->area, b->area_size);
}

/* ---- measuring ---------------------------------------------------------- */

#define MAX_BATCHES	33
enum { OPS = 4 };			/* kinds of instructions counted */
static int ops_fd = -1;

static void read_ops(u64 ops[OPS])
{
	char text[128];
	ssize_t n = pread(ops_fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		fail("cannot read the counters: %s", strerror(errno));
	text[n] = '\0';
	if (sscanf(text, "%llu %llu %llu %llu", ops, ops + 1, ops + 2,
		   ops + 3) != OPS)
		fail("the counters are '%s'", text);
}

static int ascending(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static u64 median(u64 *values, u32 n)
{
	qsort(values, n, sizeof(*values), ascending);
	return values[n / 2];
}

/* One batch: its cost, or how often each counted instruction was used. */
static void measure(struct bench *b, u64 *cost, u64 ops[OPS])
{
	u64 before[OPS], begin;
	int i;

	if (b->row->before)
		b->row->before(b);
	if (ops_fd >= 0)
		read_ops(before);
	b->cost = 0;
	begin = rdtsc();
	if (b->row->op)
		b->row->op(b);
	else
		run_batch(b);
	*cost = b->row->op ? rdtsc() - begin : G(b->vm, job).cost;
	if (b->cost)
		*cost = b->cost;
	if (ops_fd >= 0) {
		read_ops(ops);
		for (i = 0; i < OPS; i++)
			ops[i] -= before[i];
	}
	if (b->row->after)
		b->row->after(b);
}

/* Of rows with a guest batch, the stop of the guest after it is no part. */
static void print_ops(const struct row *row, u64 ops[OPS][MAX_BATCHES])
{
	static u64 stop[OPS];
	u64 value;
	int i;

	printf("ops %s", row->name);
	for (i = 0; i < OPS; i++) {
		value = median(ops[i], row->batches);
		if (row == exit_rows)
			stop[i] = value;
		if (!row->op)
			value = value > stop[i] ? value - stop[i] : 0;
		printf(" %.1f", (double)value / (row->op ? 1 : row->n));
	}
	printf("\n");
}

static void measure_row(const struct row *row)
{
	static u64 cost[MAX_BATCHES], ops[OPS][MAX_BATCHES];
	struct bench b = { .row = row };
	u32 i, j, per = row->op ? 1 : row->n;
	u64 used[OPS];

	bench_vm(&b);
	for (i = 0; i < WARM_UP; i++)
		measure(&b, cost, used);
	for (i = 0; i < row->batches; i++) {
		measure(&b, &cost[i], used);
		for (j = 0; j < OPS; j++)
			ops[j][i] = used[j];
	}
	if (ops_fd >= 0)
		print_ops(row, ops);
	else
		printf("cost %s %u %.1f\n", row->name, row->batches * per,
		       (double)median(cost, row->batches) / per);
	fflush(stdout);
	bench_vm_free(&b);
}

static bool wanted(const char *name)
{
	const char *patterns = getenv("ROWS");
	char list[2048], *p, *end;

	if (!patterns || !*patterns)
		return true;
	snprintf(list, sizeof(list), "%s", patterns);
	for (p = strtok_r(list, " ", &end); p; p = strtok_r(NULL, " ", &end))
		if (!fnmatch(p, name, 0))
			return true;
	return false;
}

static void measure_rows(const struct row *rows)
{
	const struct row *row;

	for (row = rows; row->name; row++)
		if (wanted(row->name) || (row == exit_rows && ops_fd >= 0))
			measure_row(row);
}

TEST_TIMED(rows, 300)
{
	ops_fd = open("/sys/kernel/debug/kvm/vmx_ops", O_RDONLY);
	pin_to_cpu(0);
	measure_rows(exit_rows);
	measure_rows(interrupt_rows);
}
