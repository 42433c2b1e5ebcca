// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest that knows that it is one can use with local APICs in the
 * kernel: kicks, IPIs and yields by hypercall, end of interrupt in memory,
 * asynchronous page faults.
 */
#include <asm/kvm_para.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_para.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "irqchip.h"

#define N		4
#define AREA		0x100000
#define SLOW		RAM_SIZE	/* memory that must be brought in */
#define MOST_PAGES	64		/* of one vCPU on their way */
#define SLOW_PAGES	80
#define VEC_READY	0xec
#define SECOND		1000000000ull

static void need_feature(int feature, const char *name)
{
	if (!cpu_has(KVM_CPUID_FEATURES, 0, feature))
		skip("no %s", name);
}
#define NEED(feature)	need_feature(KVM_FEATURE_##feature, #feature)

static s64 hypercall(u64 nr, u64 a0, u64 a1, u64 a2, u64 a3)
{
	s64 result;

	asm volatile("vmcall" : "=a"(result)
		     : "a"(nr), "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	return result;
}

static void sleep_ms(unsigned int ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000l };

	nanosleep(&t, NULL);
}

/* ---- kicks -------------------------------------------------------------- */

static u64 g_halt(u64 a, u64 b)
{
	(void)a;
	(void)b;
	hlt();			/* with interrupts off, for ever */
	return 1;
}

static u64 g_kick(u64 id, u64 b)
{
	(void)b;
	return hypercall(KVM_HC_KICK_CPU, 0, id, 0, 0);
}

TEST_TIMED(kick, 60)
{
	struct vm *vm;
	pthread_t t;
	int i;

	NEED(PV_UNHALT);
	vm = remote_vm(false, 2);
	for (i = 0; i < 20; i++) {
		t = remote_start(vm->vcpus[1], g_halt, 0, 0);
		if (i & 1)
			sleep_ms(2);
		EQ(remote(vm->vcpus[0], g_kick, 1, 0), 0);
		EQ(remote_wait(vm->vcpus[1], t), 1);
	}
	/* One that comes first is kept, and only one. */
	EQ(remote(vm->vcpus[0], g_kick, 1, 0), 0);
	EQ(remote(vm->vcpus[0], g_kick, 1, 0), 0);
	EQ(remote(vm->vcpus[1], g_halt, 0, 0), 1);
	t = remote_start(vm->vcpus[1], g_halt, 0, 0);
	sleep_ms(20);
	CHECK(PERCPU(vm->vcpus[1]).result == 1);
	EQ(remote(vm->vcpus[0], g_kick, 1, 0), 0);
	EQ(remote_wait(vm->vcpus[1], t), 1);
	/* There is none with that ID. */
	EQ(remote(vm->vcpus[0], g_kick, 77, 0), 0);
	EQ(remote(vm->vcpus[0], g_kick, ~0ull, 0), 0);
	vm_free(vm);
}

static u64 g_yield(u64 id, u64 b)
{
	(void)b;
	return hypercall(KVM_HC_SCHED_YIELD, id, 0, 0, 0);
}

TEST(sched_yield)
{
	struct vm *vm;

	NEED(PV_SCHED_YIELD);
	vm = remote_vm(false, 2);
	EQ(remote(vm->vcpus[0], g_yield, 0, 0), 0);
	EQ(remote(vm->vcpus[0], g_yield, 1, 0), 0);
	EQ(remote(vm->vcpus[0], g_yield, 77, 0), 0);
	EQ(remote(vm->vcpus[0], g_yield, ~0ull, 0), 0);
	vm_free(vm);
}

/* ---- IPIs --------------------------------------------------------------- */

static volatile u64 g_arg[4];

static u64 g_send(u64 a, u64 b)
{
	(void)a;
	(void)b;
	return hypercall(KVM_HC_SEND_IPI, g_arg[0], g_arg[1], g_arg[2],
			 g_arg[3]);
}

static s64 send(struct vm *vm, u64 low, u64 high, u64 first, u64 icr)
{
	const u64 arg[] = { low, high, first, icr };

	memcpy((void *)G(vm, g_arg), arg, sizeof(arg));
	return remote(vm->vcpus[0], g_send, 0, 0);
}

static void expect(struct vm *vm, u64 low, u64 high, u64 first, u32 want)
{
	static u32 vector = 0x30;
	s64 count = send(vm, low, high, first, ++vector);
	u32 set = 0;
	int i;

	for (i = 0; i < vm->nr_vcpus; i++) {
		if (!lapic_bit(vm->vcpus[i], APIC_IRR, vector))
			continue;
		set |= 1u << i;
		remote_window(vm->vcpus[i]);
		EQ(PERCPU(vm->vcpus[i]).count[vector], 1);
	}
	row(set == want, "%llx:%llx from %llx: got by %x, expected %x", high,
	    low, first, set, want);
	row(count == __builtin_popcount(want), "count %lld for %x", count,
	    want);
}

BOTH_MODES(send_ipi)
{
	struct vm *vm;

	NEED(PV_SEND_IPI);
	vm = remote_vm(x2, N);
	expect(vm, 0, 0, 0, 0);
	expect(vm, 1, 0, 0, 1);
	expect(vm, 0xe, 0, 0, 0xe);
	expect(vm, ~0ull, ~0ull, 0, 0xf);
	expect(vm, ~0ull, 0, 2, 0xc);
	expect(vm, 2, 0, 2, 8);
	expect(vm, ~0ull, ~0ull, 4, 0);
	/* The second half goes on where the first ends. */
	expect(vm, 0, 7, (u32)-64, 0);
	expect(vm, 0, ~0ull, 0, 0);
	expect(vm, ~0ull, ~0ull, 0xfffffff0, 0);
	EQ(send(vm, 6, 0, 0, ICR_NMI), 2);
	remote_window(vm->vcpus[1]);
	EQ(PERCPU(vm->vcpus[1]).count[VEC_NMI], 1);
	remote_window(vm->vcpus[3]);
	EQ(PERCPU(vm->vcpus[3]).count[VEC_NMI], 0);
	if (!kvm_in_tree())
		EQ(send(vm, 2, 0, 0, ICR_INIT), -KVM_EINVAL);
	vm_free(vm);
}

/* To nobody is no error whatever it is; to somebody it is as any other. */
TEST(send_ipi_illegal_vector)
{
	struct vm *vm;

	NEED(PV_SEND_IPI);
	vm = remote_vm(true, 2);
	EQ(send(vm, 0xffffffff, 0, 0xffffffff, 0), 0);
	if (kvm_in_tree())
		skip("in-tree never sets a bit of the ESR");
	EQ(send(vm, 2, 0, 0, 3), 1);
	EQ(remote_window(vm->vcpus[1]), 0);
	remote_apic_write(vm->vcpus[1], APIC_ESR, 0);
	EQ(remote_apic_read(vm->vcpus[1], APIC_ESR), 0x40);
	vm_free(vm);
}

/* ---- end of interrupt --------------------------------------------------- */

enum eoi_way { TAKE_OFFER, IGNORE_OFFER };

static volatile u64 g_way, g_offers;

static void eoi_hook(struct trap_frame *f)
{
	volatile u32 *word = (u32 *)AREA;
	bool offered = *word & 1;

	(void)f;
	g_offers += offered;
	if (offered && g_way == TAKE_OFFER)
		*word = 0;
	else
		apic_eoi();
}

static u64 g_eoi_on(u64 way, u64 unused)
{
	(void)unused;
	this_cpu()->no_eoi = true;
	this_cpu()->hook = eoi_hook;
	g_way = way;
	wrmsr(MSR_KVM_PV_EOI_EN, AREA | KVM_MSR_ENABLED);
	return 0;
}

/* Two at once: the second may only come when the first is over. */
static void end_some(struct vm *vm, enum eoi_way way)
{
	struct vcpu *v = vm->vcpus[0];
	int i;

	remote(v, g_eoi_on, way, 0);
	G(vm, g_offers) = 0;
	for (i = 0; i < 8; i++) {
		remote_icr(vm->vcpus[1], 0, ICR_ASSERT | (0x40 + i));
		EQ(remote_window(v), 1);
		if (i & 1)
			EQ(lapic_bit(v, APIC_ISR, 0x40 + i), 0);
	}
	for (i = 0; i < 8; i++) {
		remote_icr(vm->vcpus[1], 0, ICR_ASSERT | (0x50 + i));
		remote_icr(vm->vcpus[1], 0, ICR_ASSERT | (0x60 + i));
		while (remote_window(v))
			;
		EQ(PERCPU(v).count[0x50 + i], way + 1);
		EQ(PERCPU(v).count[0x60 + i], way + 1);
	}
	for (i = 0; i < 256; i++)
		EQ(lapic_bit(v, APIC_ISR, i), 0);
	EQ(RAM(vm, AREA, u32), 0);
}

BOTH_MODES(pv_eoi)
{
	struct vm *vm;

	NEED(PV_EOI);
	vm = remote_vm(x2, 2);
	end_some(vm, TAKE_OFFER);
	if (!kvm_uses("enable_apicv"))
		CHECK(G(vm, g_offers));
	end_some(vm, IGNORE_OFFER);
	vm_free(vm);
}

/* ---- asynchronous page faults ------------------------------------------- */

static volatile struct kvm_vcpu_pv_apf_data *const shared = (void *)AREA;
static volatile u64 g_token, g_value;

/* One access. The value is the vector that it raised. */
static u64 touch(u64 address, u64 unused)
{
	u64 value = 0;
	u32 vector;

	(void)unused;
	sti();
	vector = TRY("mov (%[a]), %[v]", OUTS([v] "+r"(value)),
		     [a] "r"(address) : "memory");
	cli();
	g_value = value;
	return vector;
}

static u64 g_apf_on(u64 flags, u64 unused)
{
	(void)unused;
	wrmsr(MSR_KVM_ASYNC_PF_INT, VEC_READY);
	wrmsr(MSR_KVM_ASYNC_PF_EN, AREA | flags);
	return 0;
}

#define ON	(KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_SEND_ALWAYS | \
		 KVM_ASYNC_PF_DELIVERY_AS_INT)

/* A fault that tells of a token; wait until the same token comes back. */
static u64 g_fault_and_wait(u64 address, u64 unused)
{
	u32 before = this_cpu()->count[VEC_READY];

	(void)unused;
	G_EQ(touch(address, 0), VEC_PF);
	G_EQ(shared->flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
	G_EQ(trap.error, 0);
	g_token = trap.cr2;
	shared->flags = 0;
	sti();
	G_WAIT(this_cpu()->count[VEC_READY] != before);
	cli();
	G_EQ(shared->token, (u32)g_token);
	shared->token = 0;
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	G_EQ(touch(address, 0), VEC_NONE);
	return g_value;
}

struct slow {
	struct vm *vm;
	int uffd;
	u8 *memory;
	pthread_t thread;
	bool wait;		/* until the guest has its token */
};

static void bring_in(struct slow *s, u64 address)
{
	static u8 page[4096] __attribute__((aligned(4096)));
	struct uffdio_copy copy = {
		.dst = address & ~4095ull,
		.src = (unsigned long)page,
		.len = sizeof(page),
	};

	*(u64 *)page = 0x5100 + (copy.dst - (unsigned long)s->memory) / 4096;
	ioctl(s->uffd, UFFDIO_COPY, &copy);
}

static void *server(void *arg)
{
	struct slow *s = arg;
	struct uffd_msg msg;
	int ms;

	while (read(s->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		for (ms = 0; s->wait && !G(s->vm, g_token) && ms < 5000; ms++)
			sleep_ms(1);
		row(!s->wait || G(s->vm, g_token), "the guest runs on");
		bring_in(s, msg.arg.pagefault.address);
	}
	return NULL;
}

static void slow_memory(struct slow *s, struct vm *vm, bool serve)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	*s = (struct slow){ .vm = vm, .wait = true };
	s->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (s->uffd < 0)
		skip("no userfaultfd: %s", strerror(errno));
	WORKS(ioctl(s->uffd, UFFDIO_API, &api));
	s->memory = mem_alloc(SLOW_PAGES * 4096);
	reg.range.start = (unsigned long)s->memory;
	reg.range.len = SLOW_PAGES * 4096;
	WORKS(ioctl(s->uffd, UFFDIO_REGISTER, &reg));
	vm_slot(vm, 1, SLOW, SLOW_PAGES * 4096, s->memory, 0);
	if (serve)
		EQ(pthread_create(&s->thread, NULL, server, s), 0);
}

static struct vm *apf_vm(int n)
{
	NEED(ASYNC_PF);
	NEED(ASYNC_PF_INT);
	return remote_vm(true, n);
}

TEST_TIMED(async_pf, 60)
{
	struct vm *vm = apf_vm(1);
	struct vcpu *v = vm->vcpus[0];
	struct slow s;
	int i;

	slow_memory(&s, vm, true);
	remote(v, g_apf_on, ON, 0);
	for (i = 0; i < 8; i++) {
		G(vm, g_token) = 0;
		EQ(remote(v, g_fault_and_wait, SLOW + i * 4096, 0), 0x5100 + i);
	}
	/* Disabled, it waits. */
	s.wait = false;
	remote(v, g_apf_on, 0, 0);
	EQ(remote(v, touch, SLOW + i * 4096, 0), VEC_NONE);
	EQ(G(vm, g_value), 0x5100 + i);
	vm_free(vm);
}

/* Where the guest cannot run anything else, it waits. */
static u64 g_touch_plainly(u64 address, u64 unused)
{
	(void)unused;
	return *(volatile u64 *)address;
}

static u64 g_touch_while_busy(u64 address, u64 unused)
{
	(void)unused;
	shared->flags = KVM_PV_REASON_PAGE_NOT_PRESENT;
	return touch(address, 0);
}

TEST_TIMED(async_pf_not_now, 60)
{
	struct vm *vm = apf_vm(1);
	struct vcpu *v = vm->vcpus[0];
	struct slow s;

	slow_memory(&s, vm, true);
	s.wait = false;
	remote(v, g_apf_on, ON, 0);
	/* With interrupts off. */
	EQ(remote(v, g_touch_plainly, SLOW, 0), 0x5100);
	/* In the kernel, where the guest does not want it. */
	remote(v, g_apf_on, ON & ~KVM_ASYNC_PF_SEND_ALWAYS, 0);
	EQ(remote(v, touch, SLOW + 0x1000, 0), VEC_NONE);
	/* Without an interrupt for what is ready. */
	remote(v, g_apf_on, ON & ~KVM_ASYNC_PF_DELIVERY_AS_INT, 0);
	EQ(remote(v, touch, SLOW + 0x2000, 0), VEC_NONE);
	/* Before it has looked at the last. */
	remote(v, g_apf_on, ON, 0);
	EQ(remote(v, g_touch_while_busy, SLOW + 0x3000, 0), VEC_NONE);
	vm_free(vm);
}

/* Pages that never come: nobody waits for them, whoever goes first. */
static u64 g_fault_and_go_on(u64 address, u64 unused)
{
	u64 vector = touch(address, 0);

	(void)unused;
	shared->flags = 0;
	return vector;
}

TEST_TIMED(async_pf_never_comes, 60)
{
	struct vm *vm = apf_vm(2);
	struct slow s;
	int i;

	if (kvm_in_tree())
		skip("in-tree waits for them when they are forgotten");
	slow_memory(&s, vm, false);
	remote(vm->vcpus[0], g_apf_on, ON, 0);
	for (i = 0; i < 4; i++)
		EQ(remote(vm->vcpus[0], g_fault_and_go_on, SLOW + i * 4096, 0),
		   VEC_PF);
	remote(vm->vcpus[0], g_apf_on, 0, 0);
	remote(vm->vcpus[1], g_apf_on, ON, 0);
	EQ(remote(vm->vcpus[1], g_fault_and_go_on, SLOW + i * 4096, 0), VEC_PF);
	/* One comes, for a vCPU that does not want to hear of it. */
	bring_in(&s, (unsigned long)s.memory);
	vm_free(vm);
	close(s.uffd);
}

/*
 * A guest that forgets pages and asks for others, again and again, does not get
 * more of them on their way than 64: then it waits like any other.
 */
TEST_TIMED(async_pf_forgotten_ones_count, 60)
{
	struct vm *vm = apf_vm(1);
	struct vcpu *v = vm->vcpus[0];
	struct slow s;
	pthread_t thread;
	int i;

	if (kvm_in_tree())
		skip("in-tree waits for them when they are forgotten");
	slow_memory(&s, vm, false);
	for (i = 0; i < MOST_PAGES; i++) {
		remote(v, g_apf_on, 0, 0);
		remote(v, g_apf_on, ON, 0);
		EQ(remote(v, g_fault_and_go_on, SLOW + i * 4096, 0), VEC_PF);
	}
	thread = remote_start(v, g_fault_and_go_on, SLOW + i * 4096, 0);
	sleep_ms(20);
	bring_in(&s, (unsigned long)s.memory + i * 4096);
	EQ(remote_wait(v, thread), VEC_NONE);
	EQ(G(vm, g_value), 0x5100 + i);
	/* Places are free when some have come. */
	bring_in(&s, (unsigned long)s.memory);
	sleep_ms(50);
	EQ(remote(v, g_fault_and_go_on, SLOW + (i + 1) * 4096, 0), VEC_PF);
	vm_free(vm);
	close(s.uffd);
}

/* A guest that is restored is told that all its pages have come. */
static u64 g_all_came(u64 a, u64 b)
{
	(void)a;
	(void)b;
	sti();
	G_WAIT(this_cpu()->count[VEC_READY]);
	cli();
	G_EQ(shared->token, ~0u);
	return 0;
}

TEST(async_pf_restored)
{
	struct vm *vm = apf_vm(1);
	struct vcpu *v = vm->vcpus[0];

	set_msr(v, MSR_KVM_ASYNC_PF_EN, AREA | ON);
	set_msr(v, MSR_KVM_ASYNC_PF_INT, VEC_READY);
	remote(v, g_all_came, 0, 0);
	vm_free(vm);
}
