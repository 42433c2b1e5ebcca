// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random sequences of ioctls on many VMs and vCPUs, with guests of random
 * bytes running in other threads. Nothing is asked of a single call; the
 * kernel must stay well (the test bed looks at its log), nothing may be
 * leaked, and a new VM must work at the end.
 *
 * Arguments are half sense, half noise: state is read, a few bytes of it are
 * changed, and it is written back; or a call is one of known requests with an
 * argument of random bytes; or its number is random too. --seed=N repeats the
 * choices of a run (threads make its timing another); --scale=PERCENT of
 * 200,000 calls are made, fewer as a 32-bit program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "leaks.h"
#include "vm.h"

#define CALLS		(sizeof(long) == 8 ? 200000 : 40000)
#define ROUNDS		10		/* each in a process of its own */
#define MAX_FDS		12
#define POOL		(8u << 20)	/* memory for all slots */
#define ARG_SIZE	65536
#define RUNNERS		2

static u8 *pool;			/* slots refer to parts of it */
static int vm_fds[MAX_FDS], vcpu_fds[MAX_FDS];
static struct kvm_run *runs[MAX_FDS];
static long run_size;
static u8 *arg;				/* of ioctls; a hole follows */
static volatile bool over;
static unsigned long tried, worked;

/* The main thread's ioctls are counted, to see that not all are refused. */
static int try(int fd, unsigned long request, void *p)
{
	int r = ioctl(fd, request, p);

	tried++;
	worked += r >= 0;
	return r;
}

static u64 pick(const u64 *from, u32 n)
{
	return from[rnd() % n];
}

/* Numbers that are more often interesting than not. */
static u64 number(void)
{
	static const u64 edges[] = {
		0, 1, 2, 3, 4, 7, 8, 63, 64, 255, 256, 0xfff, 0x1000, 0x10000,
		0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		1ull << 32, 1ull << 47, 1ull << 63, ~0ull, 0xfee00000,
		0xfffbd000, 0xfffffffffffff000,
	};

	switch (rnd() % 4) {
	case 0:
		return pick(edges, ARRAY_SIZE(edges));
	case 1:
		return rnd() % 16;
	case 2:
		return 1ull << (rnd() % 64);
	default:
		return rnd() >> (rnd() % 64);
	}
}

static void noise(void *p, size_t n)
{
	u8 *b = p;
	size_t i;

	for (i = 0; i < n; i += 8) {
		u64 x = number();

		memcpy(b + i, &x, n - i < 8 ? n - i : 8);
	}
}

/* Changes a few bytes of something sensible. */
static void disturb(void *p, size_t n)
{
	u8 *b = p;
	u32 i, changes = rnd() % 4;

	for (i = 0; i < changes; i++) {
		size_t at = rnd() % n;
		u64 x = number();

		if (rnd() % 2)
			memcpy(b + (at & ~7ull), &x,
			       n - (at & ~7ull) < 8 ? n - (at & ~7ull) : 8);
		else
			b[at] = x;
	}
}

static u32 any(void)
{
	return rnd() % MAX_FDS;
}

/* An address that is none, or at least not this program's own. */
static unsigned long bad_address(void)
{
	return rnd() % 2 ? number() | 1ul << (sizeof(long) * 8 - 1)
			 : number() & 0xffff;
}

/* Pointers: nearly always to the buffer. */
static void *pointer(void)
{
	switch (rnd() % 40) {
	case 0:
		return NULL;
	case 1:
		return (void *)bad_address();
	case 2:
		return arg + ARG_SIZE - rnd() % 64;
	default:
		return arg;
	}
}

/* Making and dropping */

/* Of each kind, and none. */
static void controllers(int vm)
{
	struct kvm_enable_cap split = {
		.cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 },
	};
	struct kvm_enable_cap x2apic = {
		.cap = KVM_CAP_X2APIC_API, .args = { rnd() % 4 },
	};
	struct kvm_pit_config pit = { .flags = rnd() % 2 };

	switch (rnd() % 4) {
	case 0:
		return;
	case 1:
		try(vm, KVM_ENABLE_CAP, &split);
		break;
	default:
		try(vm, KVM_CREATE_IRQCHIP, NULL);
		try(vm, KVM_CREATE_PIT2, &pit);
	}
	if (rnd() % 4 == 0)
		try(vm, KVM_ENABLE_CAP, &x2apic);
}

static void make_vm(void)
{
	u32 i = any();

	if (vm_fds[i] >= 0)
		close(vm_fds[i]);
	vm_fds[i] = try(kvm_fd(), KVM_CREATE_VM,
			(void *)(long)(rnd() % 50 ? 0 : number()));
	controllers(vm_fds[i]);
}

static void make_vcpu(void)
{
	u32 i = any();
	int fd = try(vm_fds[any()], KVM_CREATE_VCPU,
		     (void *)(long)(rnd() % 20 ? rnd() % 5 : number()));

	if (fd < 0)
		return;
	if (runs[i])
		munmap(runs[i], run_size);
	if (vcpu_fds[i] >= 0)
		close(vcpu_fds[i]);
	vcpu_fds[i] = fd;
	runs[i] = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       0);
	if (runs[i] == MAP_FAILED)
		runs[i] = NULL;
}

static void drop_vm(void)
{
	u32 i = any();

	close(vm_fds[i]);
	vm_fds[i] = -1;
}

/* Memory: sizes stay such that the dirty bitmaps fit in a small host. */
static void set_region(void)
{
	struct kvm_userspace_memory_region r = {
		.slot = rnd() % 30 ? rnd() % 6 : number(),
		.flags = rnd() % 30 ? rnd() % 4 : number(),
		.guest_phys_addr = (rnd() % 512) << 12,
		.memory_size = rnd() % 5 ? (rnd() % 64) << 12 : 0,
		.userspace_addr = (unsigned long)pool +
				  (rnd() % (POOL / 2) & ~0xfffull),
	};

	if (rnd() % 20 == 0)
		r.guest_phys_addr = number();
	if (rnd() % 20 == 0)
		r.memory_size = number() & 0xfffffffffull;
	if (rnd() % 20 == 0)
		r.userspace_addr = bad_address();
	if (rnd() % 4 == 0)
		r.guest_phys_addr = 0;
	try(vm_fds[any()], KVM_SET_USER_MEMORY_REGION, &r);
}

static void get_dirty_log(void)
{
	struct kvm_dirty_log log = { .slot = rnd() % 8 };

	log.dirty_bitmap = rnd() % 20 ? arg : pointer();
	try(vm_fds[any()], KVM_GET_DIRTY_LOG, &log);
}

static void change_pool(void)
{
	u8 *at = pool + (rnd() % (POOL / 2) & ~0xfffull);
	size_t n = (1 + rnd() % 32) << 12;

	switch (rnd() % 5) {
	case 0:
		madvise(at, n, MADV_DONTNEED);
		break;
	case 1:
		mprotect(at, n, rnd() % 2 ? PROT_READ : PROT_NONE);
		break;
	case 2:
		mprotect(pool, POOL, PROT_READ | PROT_WRITE);
		break;
	case 3:
		madvise(at, n, rnd() % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		break;
	default:
		mprotect(pool, POOL, PROT_READ | PROT_WRITE);
		noise(at, 256);
	}
}

/* Guest code in real mode that does a bit of everything. */
CODE(fuzz_guest, 16,
	"1: inw $0x10, %ax; outl %eax, $0x20; incl 0x200\n"
	"inb $0x40, %al; outb %al, $0x43; inb $0x61, %al; inl $0xa0, %eax\n"
	"xorl %eax, %eax; cpuid; movl $0x1b, %ecx; rdmsr\n"
	"movw $0x40, %si; movw %si, %di; movw $3, %cx; movw $0x99, %dx\n"
	"rep insb; rep outsb; movl %eax, %cr2; movl %cr0, %eax\n"
	"movw $0xb800, %bx; movw %bx, %es; incw %es:4; sti; hlt; cli\n"
	"jmp 1b\n");

static void write_guest(void)
{
	u8 *at = pool + (rnd() % (POOL / 2) & ~0xfffull);

	mprotect(pool, POOL, PROT_READ | PROT_WRITE);
	memcpy(at + (rnd() % 8) * 256, fuzz_guest,
	       fuzz_guest_end - fuzz_guest);
	if (rnd() % 3 == 0)
		disturb(at, 2048);
}

/* State: read, disturb, write back. */

struct state_pair {
	unsigned long get, set;
};

static const struct state_pair states[] = {
	{ KVM_GET_REGS, KVM_SET_REGS },
	{ KVM_GET_SREGS, KVM_SET_SREGS },
	{ KVM_GET_FPU, KVM_SET_FPU },
	{ KVM_GET_XSAVE, KVM_SET_XSAVE },
	{ KVM_GET_XCRS, KVM_SET_XCRS },
	{ KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS },
	{ KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS },
	{ KVM_GET_MP_STATE, KVM_SET_MP_STATE },
	{ KVM_GET_LAPIC, KVM_SET_LAPIC },
};

static void disturb_state(void)
{
	const struct state_pair *s = &states[rnd() % ARRAY_SIZE(states)];
	int fd = vcpu_fds[any()];

	if (try(fd, s->get, arg))
		return;
	disturb(arg, _IOC_SIZE(s->get));
	try(fd, s->set, arg);
}

/* Interrupt controllers, and all that raises interrupts. */

#define EVENTS		8

static int event_fds[EVENTS];

static void disturb_chip(void)
{
	struct kvm_irqchip *chip = (void *)arg;
	int fd = vm_fds[any()];

	if (rnd() % 3 == 0) {
		if (try(fd, KVM_GET_PIT2, arg))
			return;
		disturb(arg, sizeof(struct kvm_pit_state2));
		try(fd, rnd() % 4 ? KVM_SET_PIT2 : KVM_SET_PIT, arg);
		return;
	}
	chip->chip_id = rnd() % 3;
	if (try(fd, KVM_GET_IRQCHIP, chip))
		return;
	disturb(&chip->chip, rnd() % 2 ? sizeof(chip->chip.ioapic) : 16);
	try(fd, KVM_SET_IRQCHIP, chip);
}

static void lines(void)
{
	struct kvm_irq_level line = {
		.irq = rnd() % 20 ? rnd() % 40 : number(), .level = rnd() % 2,
	};
	struct kvm_msi msi = {
		.address_lo = 0xfee00000 | (rnd() & 0xff00c),
		.address_hi = rnd() % 8 ? 0 : number(),
		.data = rnd() % 8 ? rnd() & 0xcfff : number(),
	};
	struct kvm_reinject_control control = { .pit_reinject = rnd() % 2 };

	switch (rnd() % 8) {
	case 0:
		try(vm_fds[any()], KVM_REINJECT_CONTROL, &control);
		break;
	case 1:
	case 2:
		try(vm_fds[any()], KVM_SIGNAL_MSI, &msi);
		break;
	default:
		try(vm_fds[any()],
		    rnd() % 2 ? KVM_IRQ_LINE : KVM_IRQ_LINE_STATUS, &line);
	}
}

static void routes(void)
{
	struct kvm_irq_routing *r = (void *)arg;
	u32 i;

	memset(r, 0, sizeof(*r) + 64 * sizeof(r->entries[0]));
	r->nr = rnd() % 30 ? rnd() % 64 : number();
	for (i = 0; i < 64; i++) {
		struct kvm_irq_routing_entry *e = &r->entries[i];

		e->gsi = rnd() % 100 ? i : number();
		e->type = rnd() % 100 ? 1 + rnd() % 2 : number();
		if (e->type == KVM_IRQ_ROUTING_IRQCHIP) {
			e->u.irqchip.irqchip = rnd() % 100 ? 2 : rnd() % 4;
			e->u.irqchip.pin = rnd() % 24;
		} else {
			e->u.msi.address_lo = 0xfee00000 | (rnd() & 0xff00c);
			e->u.msi.data = rnd() & 0xc7ff;
		}
	}
	try(vm_fds[any()], KVM_SET_GSI_ROUTING, r);
}

static void event_files(void)
{
	struct kvm_irqfd irqfd = {
		.fd = event_fds[rnd() % EVENTS], .gsi = rnd() % 26,
		.flags = rnd() % 20 ? rnd() % 4 : number(),
		.resamplefd = event_fds[rnd() % EVENTS],
	};
	struct kvm_ioeventfd ioeventfd = {
		.fd = irqfd.fd, .len = rnd() % 9, .datamatch = rnd() % 2,
		.addr = rnd() % 20 ? 0x10 + rnd() % 0x20 : number(),
		.flags = rnd() % 20 ? rnd() % 8 : number(),
	};
	u64 one = 1;
	int i = rnd() % EVENTS;

	switch (rnd() % 8) {
	case 0:
		close(event_fds[i]);
		event_fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		break;
	case 1:
	case 2:
		try(vm_fds[any()], KVM_IOEVENTFD, &ioeventfd);
		break;
	case 3:
	case 4:
		try(vm_fds[any()], KVM_IRQFD, &irqfd);
		break;
	default:
		if (write(event_fds[i], &one, sizeof(one)) < 0)
			break;
	}
}

/* Makes a vCPU that is likely to run: flat real mode in a low page. */
static void sane_state(void)
{
	struct kvm_regs r = { .rip = (rnd() % 8) * 256, .rflags = 2 };
	struct kvm_sregs s;
	int fd = vcpu_fds[any()];

	if (try(fd, KVM_GET_SREGS, &s))
		return;
	s.cs.base = s.ds.base = s.es.base = s.ss.base = (rnd() % 16) << 12;
	s.cs.selector = s.cs.base >> 4;
	s.cr0 = CR0_ET | CR0_NE;
	s.cr4 = s.efer = 0;
	if (rnd() % 8 == 0)
		disturb(&s, sizeof(s));
	r.rsp = 0x800;
	try(fd, KVM_SET_SREGS, &s);
	try(fd, KVM_SET_REGS, &r);
}

static void msrs(void)
{
	static const u64 known[] = {
		0x10, 0x1b, 0x3a, 0x3b, 0x8b, 0xfe, 0x174, 0x175, 0x176, 0x179,
		0x1a0, 0x1d9, 0x200, 0x201, 0x250, 0x277, 0x2ff, 0x480, 0x6e0,
		0x800, 0xda0, 0x11, 0x12, 0x4b564d00, 0x4b564d06, 0xc0000080,
		0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100,
		0xc0000101, 0xc0000102, 0xc0000103,
	};
	struct kvm_msrs *m = (void *)arg;
	u32 i;

	memset(m, 0, sizeof(*m) + 16 * sizeof(m->entries[0]));
	m->nmsrs = rnd() % 30 ? rnd() % 16 : number();
	for (i = 0; i < 16; i++) {
		m->entries[i].index = rnd() % 5 ? pick(known, ARRAY_SIZE(known))
						: number();
		m->entries[i].data = number();
	}
	try(vcpu_fds[any()], rnd() % 2 ? KVM_GET_MSRS : KVM_SET_MSRS, m);
}

static void set_cpuid(void)
{
	struct kvm_cpuid2 *c = (void *)arg;
	u32 n;

	c->nent = 200;
	if (try(kvm_fd(), KVM_GET_SUPPORTED_CPUID, c))
		return;
	n = c->nent;
	if (rnd() % 4 == 0)
		disturb(c->entries, n * sizeof(c->entries[0]));
	c->nent = rnd() % 20 ? n : number();
	try(vcpu_fds[any()], KVM_SET_CPUID2, c);
}

static void run(void)
{
	u32 i = any();

	if (runs[i])
		runs[i]->immediate_exit = rnd() % 4 != 0;
	try(vcpu_fds[i], KVM_RUN, NULL);
}

/* User space may write anything to the run area, at any time. */
static void scribble(void)
{
	u32 i = any();

	if (!runs[i])
		return;
	disturb(runs[i], 2352);			/* struct kvm_run */
	if (rnd() % 4 == 0)
		disturb(runs[i], run_size);
}

static void events(void)
{
	struct kvm_interrupt irq = { .irq = rnd() % 10 ? rnd() % 256
							: number() };

	if (rnd() % 3)
		try(vcpu_fds[any()], KVM_INTERRUPT, &irq);
	else
		try(vcpu_fds[any()], KVM_NMI, NULL);
}

/* Requests without sense of their own here: noise in the argument. */

static const unsigned long vm_requests[] = {
	KVM_CHECK_EXTENSION, KVM_SET_TSS_ADDR, KVM_SET_IDENTITY_MAP_ADDR,
	KVM_REGISTER_COALESCED_MMIO, KVM_UNREGISTER_COALESCED_MMIO,
	KVM_ENABLE_CAP, KVM_GET_DIRTY_LOG, KVM_CREATE_IRQCHIP, KVM_IRQ_LINE,
	KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, KVM_CREATE_PIT2, KVM_GET_PIT2,
	KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_IRQFD, KVM_IOEVENTFD,
	KVM_SET_NR_MMU_PAGES, KVM_GET_CLOCK, KVM_SET_CLOCK,
	KVM_X86_SET_MSR_FILTER, KVM_CLEAR_DIRTY_LOG, KVM_SET_BOOT_CPU_ID,
	KVM_SET_TSC_KHZ, KVM_SET_PMU_EVENT_FILTER, KVM_CREATE_DEVICE,
};

static const unsigned long vcpu_requests[] = {
	KVM_SET_REGS, KVM_SET_SREGS, KVM_SET_FPU, KVM_SET_XSAVE, KVM_SET_XCRS,
	KVM_SET_VCPU_EVENTS, KVM_SET_DEBUGREGS, KVM_SET_MP_STATE,
	KVM_SET_CPUID2, KVM_GET_CPUID2, KVM_TRANSLATE, KVM_SET_SIGNAL_MASK,
	KVM_ENABLE_CAP, KVM_SET_GUEST_DEBUG, KVM_TPR_ACCESS_REPORTING,
	KVM_SET_VAPIC_ADDR, KVM_SET_TSC_KHZ, KVM_GET_TSC_KHZ,
	KVM_KVMCLOCK_CTRL, KVM_SMI, KVM_GET_NESTED_STATE, KVM_SET_NESTED_STATE,
	KVM_GET_LAPIC, KVM_SET_LAPIC, KVM_X86_SETUP_MCE, KVM_X86_SET_MCE,
	KVM_GET_XSAVE2, KVM_GET_SREGS2, KVM_SET_SREGS2, KVM_GET_STATS_FD,
	KVM_HAS_DEVICE_ATTR, KVM_GET_SUPPORTED_HV_CPUID,
};

static const unsigned long system_requests[] = {
	KVM_GET_API_VERSION, KVM_CHECK_EXTENSION, KVM_GET_VCPU_MMAP_SIZE,
	KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST, KVM_GET_MSRS,
	KVM_GET_SUPPORTED_CPUID, KVM_GET_EMULATED_CPUID,
	KVM_X86_GET_MCE_CAP_SUPPORTED,
};

/* Some of these give new file descriptors; they are not kept. */
static void call(int fd, unsigned long request, void *p)
{
	int r = try(fd, request, p);

	if (r > 2 && (request == KVM_GET_STATS_FD))
		close(r);
	if (r == 0 && request == KVM_CREATE_DEVICE && p == arg)
		close(((struct kvm_create_device *)arg)->fd);
	/* No vCPU may shut out the signal that gets us out of KVM_RUN. */
	if (request == KVM_SET_SIGNAL_MASK)
		try(fd, request, NULL);
}

static void known_request(void)
{
	noise(arg, 128 + rnd() % 1024);
	switch (rnd() % 5) {
	case 0:
		call(kvm_fd(), system_requests[rnd() %
		     ARRAY_SIZE(system_requests)], pointer());
		break;
	case 1:
	case 2:
		call(vm_fds[any()], vm_requests[rnd() %
		     ARRAY_SIZE(vm_requests)], pointer());
		break;
	default:
		call(vcpu_fds[any()], vcpu_requests[rnd() %
		     ARRAY_SIZE(vcpu_requests)], pointer());
	}
}

/*
 * Left out: what would make file descriptors that nobody closes, and what
 * could shut out our signal.
 */
static bool left_out(unsigned long request)
{
	u8 nr = _IOC_NR(request);

	return nr == _IOC_NR(KVM_CREATE_VM) || nr == _IOC_NR(KVM_CREATE_VCPU) ||
	       nr == _IOC_NR(KVM_GET_STATS_FD) ||
	       nr == _IOC_NR(KVM_CREATE_DEVICE) ||
	       nr == _IOC_NR(KVM_SET_SIGNAL_MASK);
}

static void random_request(void)
{
	static const unsigned int dirs[] = {
		_IOC_NONE, _IOC_READ, _IOC_WRITE, _IOC_READ | _IOC_WRITE,
	};
	unsigned long request = _IOC(dirs[rnd() % 4], 0xae, rnd() % 256,
				     rnd() % 2 ? rnd() % 256 : 8);
	u32 who = rnd() % 3;

	if (left_out(request) || request == KVM_RUN)
		return;
	noise(arg, 256);
	try(who == 0 ? kvm_fd() : who == 1 ? vm_fds[any()] : vcpu_fds[any()],
	      request, pointer());
}

/* The choices, and how often each is taken. */
static const struct { void (*fn)(void); u32 weight; } ops[] = {
	{ make_vm, 3 }, { drop_vm, 1 }, { make_vcpu, 12 }, { set_region, 60 },
	{ get_dirty_log, 40 }, { change_pool, 40 }, { write_guest, 30 },
	{ disturb_state, 200 }, { sane_state, 100 }, { msrs, 80 },
	{ set_cpuid, 20 }, { run, 60 }, { scribble, 40 }, { events, 60 },
	{ known_request, 200 }, { random_request, 100 }, { disturb_chip, 60 },
	{ lines, 80 }, { routes, 20 }, { event_files, 60 },
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

/* Threads: two run whatever vCPUs there are, one interrupts them all. */

static pthread_t main_thread, runners[RUNNERS];

/* Most of the time is for the calls: a guest may spin until it is stopped. */
static void *runner(void *unused)
{
	unsigned int seed = (unsigned long)&unused;

	while (!over) {
		ioctl(vcpu_fds[rand_r(&seed) % MAX_FDS], KVM_RUN, 0);
		usleep(6000);
	}
	return unused;
}

static void *waker(void *unused)
{
	int i;

	while (!over) {
		usleep(400);
		for (i = 0; i < RUNNERS; i++)
			pthread_kill(runners[i], SIGUSR1);
		pthread_kill(main_thread, SIGUSR1);
	}
	return unused;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void prepare(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int i;

	WORKS(sigaction(SIGUSR1, &sa, NULL));
	pool = mem_alloc(POOL);
	arg = mmap(NULL, ARG_SIZE + 4096, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(arg != MAP_FAILED);
	mprotect(arg + ARG_SIZE, 4096, PROT_NONE);
	run_size = WORKS(ioctl(kvm_fd(), KVM_GET_VCPU_MMAP_SIZE, 0));
	for (i = 0; i < MAX_FDS; i++)
		vm_fds[i] = vcpu_fds[i] = -1;
	for (i = 0; i < EVENTS; i++)
		event_fds[i] = WORKS(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	for (i = 0; i < 4; i++)
		make_vm();
	for (i = 0; i < 20; i++)
		make_vcpu();
}

static void fuzz(unsigned long calls)
{
	pthread_t wake;
	int i;

	prepare();
	main_thread = pthread_self();
	for (i = 0; i < RUNNERS; i++)
		EQ(pthread_create(&runners[i], NULL, runner, NULL), 0);
	EQ(pthread_create(&wake, NULL, waker, NULL), 0);
	while (tried < calls)
		one_call();
	over = true;
	note("%lu of %lu calls worked", worked, tried);
	pthread_join(wake, NULL);
	/* The runners may sit in a guest yet; they end with the process. */
}

CODE(hello, 16, "movw $0x1234, %ax; outw %ax, $0x10; hlt");

static void new_vm_works(void)
{
	struct vm *vm = vm_bare();
	u8 *mem = vm_add(vm, 0, 0, 0x10000, 0);
	struct vcpu *v = vcpu_new(vm, 0);
	struct kvm_regs r = { .rip = 0x1000, .rflags = FLAG_FIXED };
	struct kvm_sregs s;

	memcpy(mem + 0x1000, hello, hello_end - hello);
	get_sregs(v, &s);
	s.cs.base = s.cs.selector = 0;
	set_sregs(v, &s);
	set_regs(v, &r);
	EQ(vcpu_run(v), KVM_EXIT_IO);
	EQ(*(u16 *)io_data(v), 0x1234);
	EQ(vcpu_run(v), KVM_EXIT_HLT);
	vm_free(vm);
	munmap(mem, 0x10000);
}

TEST_TIMED(random_calls, 500)
{
	unsigned long calls = test_scale(CALLS) / ROUNDS;
	struct usage before;
	u32 i;

	if (kvm_in_tree() && !getenv("FUZZ_INTREE"))
		skip("the kernel's own KVM warns in its log on some sequences");
	note("--seed=%llu, %u times %lu calls", test_seed(), ROUNDS, calls);
	/* Two rounds fill the kernel's caches. */
	fuzz_round(fuzz, 1000, calls / 10);
	fuzz_round(fuzz, 2000, calls / 10);
	new_vm_works();
	usage_get(&before);
	for (i = 0; i < ROUNDS; i++)
		fuzz_round(fuzz, i * 7, calls);
	new_vm_works();
	usage_check(&before, 1024);
}
