// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any state of the interrupt controllers, set while vCPUs run: LAPIC, I/O
 * APIC, 8259 and 8254 state that is half sense and half noise, routing tables
 * of any content, lines and messages at random. Nothing is asked of a single
 * call; the kernel must stay well (the test bed looks at its log), every call
 * must come back, and a new VM must work at the end.
 *
 * --seed=N repeats the choices of a run; --scale=PERCENT of 60,000 calls.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "leaks.h"
#include "vm.h"

#define CALLS	60000
#define ROUNDS	5			/* VMs, one after the other */
#define N	3			/* vCPUs of each */

static struct vm *vm;
static struct vcpu *vcpus[N];
static volatile bool over;

/* Flat real mode: halts, talks to controllers, lets interrupts in. */
CODE(fuzz_guest, 16,
	"1: sti; nop; cli\n"
	"movb $0x20, %al; outb %al, $0x20; outb %al, $0xa0\n"
	"inb $0x21, %al; inb $0x40, %al; inb $0x61, %al\n"
	"movl $0x1b, %ecx; rdmsr; movl $0x80b, %ecx; xorl %eax, %eax\n"
	"movl $0xfee000b0, %ebx; movl %eax, (%ebx)\n"
	"movl $0xfec00000, %ebx; movl $0x12, (%ebx); movl 16(%ebx), %eax\n"
	"decw 0x7000; jnz 1b\n"
	"sti; hlt; jmp 1b\n");

static u64 number(void)
{
	static const u64 edges[] = {
		0, 1, 0xf, 0x10, 0xff, 0x100, 0x700, 0x8000, 0x10000, 0x20000,
		0x40000, 0x1ff, 0x7fffffff, 0x80000000, 0xffffffff, ~0ull,
		0xfee00000, 0xfec00000,
	};

	return rnd() % 2 ? edges[rnd() % ARRAY_SIZE(edges)] : rnd();
}

/* Changes some of it, 4 bytes at a time. */
static void disturb(void *p, size_t n)
{
	u32 i, changes = rnd() % 8, value;
	u8 *b = p;

	for (i = 0; i < changes; i++) {
		value = number();
		memcpy(b + rnd() % (n / 4) * 4, &value, 4);
	}
	if (rnd() % 20 == 0) {
		for (i = 0; i < n; i++)
			b[i] = rnd();
	}
}

static void set_any_lapic(void)
{
	struct vcpu *v = vcpus[rnd() % N];
	struct kvm_lapic_state s;

	if (ioctl(v->fd, KVM_GET_LAPIC, &s))
		return;
	disturb(&s, sizeof(s));
	ioctl(v->fd, KVM_SET_LAPIC, &s);
}

static void set_any_chip(void)
{
	struct kvm_irqchip chip = { .chip_id = rnd() % 4 };

	if (ioctl(vm->fd, KVM_GET_IRQCHIP, &chip))
		return;
	disturb(&chip.chip, sizeof(chip.chip));
	ioctl(vm->fd, KVM_SET_IRQCHIP, &chip);
}

static void set_any_pit(void)
{
	struct kvm_reinject_control control = { .pit_reinject = rnd() % 2 };
	struct kvm_pit_state2 s;

	if (ioctl(vm->fd, KVM_GET_PIT2, &s))
		return;
	disturb(&s, sizeof(s));
	ioctl(vm->fd, KVM_SET_PIT2, &s);
	ioctl(vm->fd, KVM_REINJECT_CONTROL, &control);
}

#define ROUTES	64

static void set_any_routes(void)
{
	static struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[ROUTES];
	} r;
	u32 i;

	r.head.nr = rnd() % 30 ? rnd() % ROUTES : number();
	r.head.flags = rnd() % 30 ? 0 : number();
	for (i = 0; i < ROUTES; i++) {
		struct kvm_irq_routing_entry *e = &r.entries[i];

		memset(e, 0, sizeof(*e));
		e->gsi = rnd() % 30 ? rnd() % 64 : number();
		e->type = rnd() % 30 ? 1 + rnd() % 2 : number();
		if (e->type == KVM_IRQ_ROUTING_IRQCHIP) {
			e->u.irqchip.irqchip = rnd() % 3;
			e->u.irqchip.pin = rnd() % 8;
		} else {
			e->u.msi.address_lo = 0xfee00000 | (rnd() & 0xff00c);
			e->u.msi.data = number();
		}
		if (rnd() % 100 == 0)
			disturb(e, sizeof(*e));
	}
	if (r.head.nr > ROUTES && rnd() % 2)
		r.head.nr = ROUTES;
	ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r);
}

static void any_line(void)
{
	struct kvm_irq_level l = {
		.irq = rnd() % 30 ? rnd() % 64 : number(), .level = rnd() % 2,
	};

	ioctl(vm->fd, rnd() % 2 ? KVM_IRQ_LINE : KVM_IRQ_LINE_STATUS, &l);
}

static void any_message(void)
{
	struct kvm_msi msi = {
		.address_lo = 0xfee00000 | (rnd() & 0xff00c),
		.address_hi = rnd() % 10 ? 0 : number(),
		.data = rnd() % 3 ? rnd() % 256 : number(),
		.flags = rnd() % 20 ? 0 : number(),
	};

	ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

static void any_irqfd(void)
{
	struct kvm_irqfd irqfd = {
		.fd = eventfd(1, EFD_NONBLOCK), .gsi = rnd() % 64,
		.flags = rnd() % 20 ? rnd() % 3 : number(),
	};

	irqfd.resamplefd = irqfd.fd;
	ioctl(vm->fd, KVM_IRQFD, &irqfd);
	close(irqfd.fd);
}

static void any_apic_base(void)
{
	static const u64 bases[] = {
		0xfee00000, 0xfee00800, 0xfee00900, 0xfee00c00, 0xfee00d00,
		0xfec00800, 0x00000800,
	};
	struct vcpu *v = vcpus[rnd() % N];
	struct kvm_mp_state mp = { .mp_state = rnd() % 6 };
	struct kvm_sregs s;

	if (ioctl(v->fd, KVM_GET_SREGS, &s))
		return;
	s.apic_base = rnd() % 10 ? bases[rnd() % ARRAY_SIZE(bases)] : number();
	s.cr8 = rnd() % 16;
	ioctl(v->fd, KVM_SET_SREGS, &s);
	if (rnd() % 4 == 0)
		ioctl(v->fd, KVM_SET_MP_STATE, &mp);
}

static void any_x2apic_msr(void)
{
	u64 value;
	u32 msr = rnd() % 4 ? 0x800 + rnd() % 0x40 : 0x6e0;

	set_msr_try(vcpus[rnd() % N], msr, number());
	get_msr_try(vcpus[rnd() % N], msr, &value);
}

static const struct { void (*fn)(void); u32 weight; } ops[] = {
	{ set_any_lapic, 20 }, { set_any_chip, 20 }, { set_any_pit, 10 },
	{ set_any_routes, 5 }, { any_line, 40 }, { any_message, 30 },
	{ any_irqfd, 5 }, { any_apic_base, 5 }, { any_x2apic_msr, 5 },
};

static void one_call(void)
{
	u32 i, total = 0, choice;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		total += ops[i].weight;
	choice = rnd() % total;
	for (i = 0; choice >= ops[i].weight; i++)
		choice -= ops[i].weight;
	ops[i].fn();
}

/* Each vCPU has a thread, which signals get out of the guest again. */


static pthread_t runners[N];

static void on_signal(int sig)
{
	(void)sig;
}

static void *run(void *arg)
{
	struct vcpu *v = arg;

	while (!over) {
		if (ioctl(v->fd, KVM_RUN, 0) && errno != EINTR)
			usleep(500);
		/* So that the others' ioctls come in between. */
		usleep(200);
	}
	return NULL;
}

static void *waker(void *unused)
{
	u32 i;

	while (!over) {
		usleep(500);
		for (i = 0; i < N; i++)
			pthread_kill(runners[i], SIGUSR1);
	}
	return unused;
}

static void make_vm(void)
{
	struct kvm_pit_config pit = { 0 };
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct kvm_regs r = { .rip = 0x1000, .rsp = 0x800, .rflags = 2 };
	struct kvm_sregs s;
	u8 *mem;
	u32 i;

	vm = vm_bare();
	mem = vm_add(vm, 0, 0, 0x10000, 0);
	memcpy(mem + 0x1000, fuzz_guest, fuzz_guest_end - fuzz_guest);
	WORKS(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
	WORKS(ioctl(vm->fd, KVM_CREATE_PIT2, &pit));
	for (i = 0; i < N; i++) {
		vcpus[i] = vcpu_new(vm, i);
		get_sregs(vcpus[i], &s);
		s.cs.base = s.cs.selector = 0;
		s.ds.limit = 0xffffffff;
		s.ds.g = 1;
		set_sregs(vcpus[i], &s);
		set_regs(vcpus[i], &r);
		WORKS(ioctl(vcpus[i]->fd, KVM_SET_MP_STATE, &mp));
	}
}

static void fuzz(unsigned long calls)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t wake;
	u32 i;

	WORKS(sigaction(SIGUSR1, &sa, NULL));
	make_vm();
	for (i = 0; i < N; i++)
		EQ(pthread_create(&runners[i], NULL, run, vcpus[i]), 0);
	EQ(pthread_create(&wake, NULL, waker, NULL), 0);
	while (calls--)
		one_call();
	over = true;
	pthread_join(wake, NULL);
	/* The runners may sit in a guest yet; they end with the process. */
}

TEST_TIMED(any_state, 500)
{
	unsigned long calls = test_scale(CALLS) / ROUNDS;
	struct usage before;
	u32 i;

	need_cap(KVM_CAP_IRQCHIP);
	if (kvm_in_tree() && !getenv("FUZZ_INTREE"))
		skip("the kernel's own KVM warns in its log on some states");
	note("--seed=%llu, %u times %lu calls", test_seed(), ROUNDS, calls);
	fuzz_round(fuzz, 1000, calls / 5);		/* fills the kernel's caches */
	usage_get(&before);
	for (i = 0; i < ROUNDS; i++)
		fuzz_round(fuzz, i * 7, calls);
	usage_check(&before, 1024);
	make_vm();
	vm_free(vm);
}
