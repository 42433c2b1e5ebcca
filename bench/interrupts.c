// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rows of the benchmark: the local APIC in the kernel, its timer, interrupts
 * from one vCPU to another, and event file descriptors.
 *
 * Rows that say how long something is on its way (an IPI, an irqfd, a timer
 * that fires) end with the RDTSC that the handler begins with. All threads and
 * guests have the same clock.
 */
#define _GNU_SOURCE
#include <asm/kvm_para.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "rows.h"

#define SOON		10000000	/* cycles: 50 ms */
#define MANY		0xffffffffu	/* ticks of the timer: four seconds */
#define US		200ull		/* cycles of a microsecond */
#define NESTED		14		/* interrupts, one of each class */
/* Longer than a halted vCPU polls, so that it sleeps. */
#define ASLEEP		(500 * US)
#define PARTNER_ID	1
#define GSI		24

/* ---- in the guest: one vCPU ---------------------------------------------- */

/* Lets in one that is pending already. */
#define TAKE		asm volatile("sti; nop; cli" : : : "memory")
#define SELF		(ICR_SELF | APIC_VECTOR)

static inline void xapic_write(u32 reg, u32 value)
{
	*(volatile u32 *)(u64)(APIC_DEFAULT_BASE + reg) = value;
}

static inline void x2apic_write(u32 reg, u32 value)
{
	wrmsr(X2APIC_MSR(reg), value);
}

OP(op_cr8, asm volatile("mov %0, %%cr8" : : "r"(n & 1ul)))
OP(op_ipi_send, x2apic_write(APIC_ICR, SELF))
OP(op_self_ipi, x2apic_write(APIC_ICR, SELF); TAKE)
OP(op_self_ipi_reg, x2apic_write(APIC_SELF_IPI, APIC_VECTOR); TAKE)
OP(op_self_ipi_xapic, xapic_write(APIC_ICR, SELF); TAKE)
OP(op_deadline, wrmsr(MSR_TSC_DEADLINE, 1); TAKE)
OP(op_deadline_set, wrmsr(MSR_TSC_DEADLINE, rdtsc() + SOON))
OP(op_timer_set, x2apic_write(APIC_TMICT, MANY))
OP(op_timer_set_xapic, xapic_write(APIC_TMICT, MANY))

/* Fills ISR with interrupts that nobody ends. */
static void nest(u32 n, void (*write)(u32 reg, u32 value))
{
	u32 class;

	for (class = 16 - n; class < 16; class++) {
		write(APIC_ICR, ICR_SELF | class << 4);
		TAKE;
	}
	job.started = rdtsc();
}

static void op_eoi(u32 n)
{
	nest(n, x2apic_write);
	do
		x2apic_write(APIC_EOI, 0);
	while (--n);
}

static void op_eoi_xapic(u32 n)
{
	nest(n, xapic_write);
	do
		xapic_write(APIC_EOI, 0);
	while (--n);
}

static void begin_xapic(void)
{
	apic_start(false);
	apic_write(APIC_TDCR, TDCR_BY_1);
	apic_write(APIC_LVT_TIMER, APIC_VECTOR);
}

static void begin_x2apic(void)
{
	apic_start(true);
	apic_write(APIC_TDCR, TDCR_BY_1);
	apic_write(APIC_LVT_TIMER, APIC_VECTOR);
}

static void begin_deadline(void)
{
	apic_start(true);
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | APIC_VECTOR);
}

/* ---- in the guest: how long it takes -------------------------------------- */

/* What the batch cost is the sum of what its operations say. */
static void cost_is(u64 sum)
{
	job.started = rdtsc() - sum;
}

static void spin(u64 cycles)
{
	u64 begin = rdtsc();

	while (rdtsc() - begin < cycles)
		asm volatile("");
}

static void op_deadline_fires(u32 n)
{
	u64 sum = 0, at, before;

	do {
		before = taken;
		at = rdtsc() + 100 * US;
		wrmsr(MSR_TSC_DEADLINE, at);
		sti();
		while (taken == before)
			asm volatile("");
		cli();
		sum += taken_at - at;
	} while (--n);
	cost_is(sum);
}

static void op_timer_fires(u32 n)
{
	u64 sum = 0, at, before;

	do {
		before = taken;
		at = rdtsc() + 100 * US;
		x2apic_write(APIC_TMICT, 100000);	/* ns */
		sti();
		while (taken == before)
			asm volatile("");
		cli();
		sum += taken_at - at;
	} while (--n);
	cost_is(sum);
}

static void halt_until(u32 n, u64 away)
{
	u64 sum = 0, at;

	do {
		at = rdtsc() + away;
		wrmsr(MSR_TSC_DEADLINE, at);
		asm volatile("sti; hlt; cli" : : : "memory");
		sum += taken_at - at;
	} while (--n);
	cost_is(sum);
}

static void op_hlt_timer(u32 n)
{
	halt_until(n, 1000 * US);
}

static void op_hlt_timer_soon(u32 n)
{
	halt_until(n, 50 * US);
}

/* An IPI to the other vCPU, until its handler begins. */
static void send_ipis(u32 n, u64 rest)
{
	u64 sum = 0, at, before;

	do {
		before = taken;
		spin(rest);
		at = rdtsc();
		wrmsr(X2APIC_MSR(APIC_ICR),
		      (u64)PARTNER_ID << 32 | APIC_VECTOR);
		while (taken == before)
			asm volatile("pause");
		sum += taken_at - at;
	} while (--n);
	cost_is(sum);
}

static void op_ipi_running(u32 n)
{
	send_ipis(n, 10 * US);
}

static void op_ipi_halted(u32 n)
{
	send_ipis(n, ASLEEP);
}

/* A write that an eventfd waits for, until its reader runs. */
static void op_kick(u32 n)
{
	u64 sum = 0, at, before;

	do {
		before = taken;
		spin(ASLEEP);
		at = rdtsc();
		outb(PORT, 0);
		while (taken == before)
			asm volatile("pause");
		sum += taken_at - at;
	} while (--n);
	cost_is(sum);
}

/* ... and halts, as drivers do, until the reader has answered. */
OP(op_kick_answer, outb(PORT, 0); asm volatile("sti; hlt; cli" : : : "memory"))

static void partner_begin(void)
{
	apic_start(true);
	partner_ready = true;
	sti();
}

static void partner_halts(void)
{
	partner_begin();
	for (;;)
		hlt();
}

static void partner_runs(void)
{
	partner_begin();
	for (;;)
		asm volatile("");
}

static void partner_pauses(void)
{
	partner_begin();
	for (;;)
		asm volatile("pause");
}

/* ---- in the guest: end of interrupt in memory ------------------------------ */

volatile u32 bench_pv_eoi;		/* KVM_PV_EOI_MASK: no need to write */
extern const u8 bench_eoi_memory[];
asm(".pushsection .text\n"
    "bench_eoi_memory:\n"
    "	btrl $0, bench_pv_eoi\n"
    "	jnc bench_eoi_x2apic\n"
    "	iretq\n"
    ".popsection");

static void begin_pv_eoi(void)
{
	begin_x2apic();
	wrmsr(MSR_KVM_PV_EOI_EN, (unsigned long)&bench_pv_eoi |
				 KVM_MSR_ENABLED);
}

/* ---- in the host -------------------------------------------------------- */

static void nested_handlers(struct bench *b)
{
	u32 class;

	for (class = 16 - NESTED; class < 16; class++)
		install(b, class << 4, bench_interrupt);
}

static void route_irqfd(struct bench *b, u32 apic_id)
{
	struct kvm_irqfd irqfd = { .gsi = GSI };
	static struct routes r;

	b->irq = WORKS(eventfd(0, EFD_CLOEXEC));
	irqfd.fd = b->irq;
	r.head.nr = 0;
	route_msi(&r, GSI, APIC_DEFAULT_BASE | apic_id << 12, APIC_VECTOR);
	WORKS(routes_set(b->vm, &r));
	WORKS(ioctl(b->vm->fd, KVM_IRQFD, &irqfd));
}

static void irqfd_to_partner(struct bench *b)
{
	route_irqfd(b, PARTNER_ID);
}

static void signal_eventfd(int fd)
{
	u64 one = 1;

	EQ(write(fd, &one, sizeof(one)), sizeof(one));
}

/* Until the vCPU of the other thread is at rest. */
static void rest(void)
{
	u64 begin = rdtsc();

	while (rdtsc() - begin < ASLEEP)
		sched_yield();
}

static void irqfd_taken(struct bench *b)
{
	u64 at, before;

	rest();
	before = G(b->vm, taken);
	at = rdtsc();
	signal_eventfd(b->irq);
	while (G(b->vm, taken) == before)
		sched_yield();
	b->cost = G(b->vm, taken_at) - at;
}

static void ioeventfd_irqfd(struct bench *b)
{
	ioeventfd(b, PORT, 1, KVM_IOEVENTFD_FLAG_PIO);
	route_irqfd(b, 0);
}

static bool kicked(struct bench *b)
{
	u64 value;

	return read(b->kick, &value, sizeof(value)) == sizeof(value);
}

static void *take_kicks(void *bench)
{
	struct bench *b = bench;

	while (!b->over)
		if (kicked(b)) {
			G(b->vm, taken_at) = rdtsc();
			G(b->vm, taken)++;
		}
	return NULL;
}

static void *answer_kicks(void *bench)
{
	struct bench *b = bench;

	while (!b->over)
		if (kicked(b))
			signal_eventfd(b->irq);
	return NULL;
}

/* ---- rows --------------------------------------------------------------- */

#define X2APIC		.begin = begin_x2apic, .handler = bench_eoi_x2apic
#define XAPIC		.begin = begin_xapic, .handler = bench_eoi_xapic
#define DEADLINE	.begin = begin_deadline, .handler = bench_eoi_x2apic
#define TAKEN		.begin = begin_deadline, .handler = bench_taken

const struct row interrupt_rows[] = {
	{ "cr8", 64, 9, .guest = op_cr8, X2APIC },
	{ "ipi-send", 64, 9, .guest = op_ipi_send, X2APIC },
	{ "self-ipi", 64, 9, .guest = op_self_ipi, X2APIC },
	{ "self-ipi-reg", 64, 9, .guest = op_self_ipi_reg, X2APIC },
	{ "self-ipi-xapic", 64, 9, .guest = op_self_ipi_xapic, XAPIC },
	{ "pv-eoi", 64, 9, .guest = op_self_ipi, .begin = begin_pv_eoi,
	  .handler = bench_eoi_memory },
	{ "eoi", NESTED, 33, .guest = op_eoi, X2APIC,
	  .setup = nested_handlers },
	{ "eoi-xapic", NESTED, 33, .guest = op_eoi_xapic, XAPIC,
	  .setup = nested_handlers },
	{ "timer-set", 64, 9, .guest = op_timer_set, X2APIC },
	{ "timer-set-xapic", 64, 9, .guest = op_timer_set_xapic, XAPIC },
	{ "deadline-set", 64, 9, .guest = op_deadline_set, DEADLINE },
	{ "deadline", 64, 9, .guest = op_deadline, DEADLINE },
	{ "deadline-fires", 8, 17, .guest = op_deadline_fires, TAKEN },
	{ "timer-fires", 8, 17, .guest = op_timer_fires,
	  .begin = begin_x2apic, .handler = bench_taken },
	{ "hlt-timer", 4, 17, .guest = op_hlt_timer, TAKEN },
	{ "hlt-timer-soon", 8, 17, .guest = op_hlt_timer_soon, TAKEN },
	{ "ipi-halted", 8, 17, .guest = op_ipi_halted, TAKEN,
	  .partner = partner_halts },
	{ "ipi-running", 8, 17, .guest = op_ipi_running, TAKEN,
	  .partner = partner_runs },
	{ "ipi-pausing", 8, 17, .guest = op_ipi_running, TAKEN,
	  .partner = partner_pauses },
	{ "irqfd-halted", 1, 33, .op = irqfd_taken, TAKEN,
	  .partner = partner_halts, .setup = irqfd_to_partner },
	{ "irqfd-running", 1, 33, .op = irqfd_taken, TAKEN,
	  .partner = partner_runs, .setup = irqfd_to_partner },
	{ "kick", 8, 17, .guest = op_kick, TAKEN, .thread = take_kicks,
	  .setup = ioeventfd_irqfd },
	{ "kick-answer", 8, 17, .guest = op_kick_answer, X2APIC,
	  .thread = answer_kicks, .setup = ioeventfd_irqfd },
	{ }
};
