// SPDX-License-Identifier: GPL-2.0-only
/*
 * What exits and ioctls cost, in instructions: the emulated time-stamp counter
 * moves once for each. Prints for each row
 *
 *	cost NAME N FIGURE		per operation, of N measured
 *	ops NAME VMREADS VMWRITES RDMSRS WRMSRS
 *
 * the latter where the module counts them (KVM_COUNT_OPS), and only then.
 *
 * ROWS='PATTERN...' in the environment: only rows of these names.
 *
 * A row is measured in batches. The guest loops: it stops in the host, which
 * prepares the batch, then it does a batch of operations and takes the time.
 * Rows that cost the host something are timed there. The figure is the median
 * of the batches, without those that a timer tick of the host fell into.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "irqchip.h"

#define WARM_UP		2		/* batches that do not count */
#define PAGE		0x1000ul
#define HUGE		0x200000ul
#define STRING		64		/* bytes moved by one string instruction */
#define G_AREA		0x40000000ul	/* a slot of the row's own */
#define AREA_SLOT	5
#define G_ONE_PAGE	0x50000000ul	/* mapped by an entry of its own */
#define G_PML4_2	(G_FREE + 2 * PAGE)
#define PORT		0x77
#define VECTOR		0x40
#define APIC_VECTOR	0x41		/* ... whose handler signals its end */
#define SOON		10000000	/* cycles: 50 ms */

struct bench {
	const struct row *row;
	struct vm *vm;
	struct vcpu *v;
	u8 *area;
	size_t area_size;
	struct kvm_coalesced_mmio_ring *ring;
	int fd, vcpu_fd;
	u32 user_exits;			/* of this batch */
};

struct row {
	const char *name;
	u32 n, batches;			/* operations in a batch, batches */
	u32 user_exits;			/* that one operation needs */
	bool any_exits;			/* user_exits is not known */
	void (*guest)(u32 n);		/* a batch, in the guest */
	void (*begin)(void);		/* once, in the guest: it has an APIC */
	void (*setup)(struct bench *b);
	void (*before)(struct bench *b);
	void (*op)(struct bench *b);	/* timed in the host */
	void (*after)(struct bench *b);
};

/* What the host and the guest's loop tell each other, in the guest's copy. */
static struct {
	void (*begin)(void);
	void (*op)(u32 n);
	u32 n;
	u64 cost;
	u8 *next;			/* page to touch */
	volatile u64 *pte;		/* of G_ONE_PAGE */
	volatile u64 *table;		/* the entry that refers to its table */
} job;

/* ---- in the guest ------------------------------------------------------- */

static void guest_loop(void)
{
	u64 begin;

	if (job.begin)
		job.begin();
	for (;;) {
		guest_sync(0);
		begin = rdtsc();
		((volatile __typeof__(job) *)&job)->op(job.n);
		job.cost = rdtsc() - begin;
	}
}

#define OP(name, ...)							\
static void name(u32 n)							\
{									\
	do {								\
		__VA_ARGS__;						\
	} while (--n);							\
}

OP(op_nothing, asm volatile(""))
OP(op_cpuid, u32 out[4]; cpuid(0, 0, out))
OP(op_vmcall, u64 rax = 1000; asm volatile("vmcall" : "+a"(rax)))
OP(op_rdmsr, rdmsr(0x1a0))		/* IA32_MISC_ENABLE */
OP(op_wrmsr, wrmsr(0x1d9, 0))		/* IA32_DEBUGCTL */
OP(op_out, outb(PORT, 0))
OP(op_in, inb(PORT))
OP(op_mmio_read, *(volatile u32 *)(u64)G_MMIO)
OP(op_mmio_write, *(volatile u32 *)(u64)G_MMIO = 1)
OP(op_hlt, asm volatile("sti; hlt; cli"))
OP(op_mov_dr, read_dr7())
OP(op_invlpg, invlpg(G_HIGH))
OP(op_mov_cr0, write_cr0(read_cr0() ^ CR0_WP))
OP(op_mov_cr3, write_cr3(G_PML4))
OP(op_cr3_switch, write_cr3(n & 1 ? G_PML4 : G_PML4_2); \
   *(volatile u8 *)G_ONE_PAGE)
OP(op_pte_change, *job.pte ^= PAGE; invlpg(G_ONE_PAGE); \
   *(volatile u8 *)G_ONE_PAGE)
OP(op_table_write, *job.table ^= BIT(9); *(volatile u8 *)G_ONE_PAGE)
OP(op_touch, *(volatile u8 *)job.next = 1; job.next += PAGE)
OP(op_touch_huge, *(volatile u8 *)job.next = 1; job.next += HUGE)
OP(op_outs, const void *from = (void *)G_HIGH; u64 count = STRING;
   asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(PORT) : "memory"))
OP(op_ins, void *to = (void *)G_HIGH; u64 count = STRING;
   asm volatile("rep insb" : "+D"(to), "+c"(count) : "d"(PORT) : "memory"))

OP(op_ipi_send, wrmsr(X2APIC_MSR(APIC_ICR), ICR_SELF | APIC_VECTOR))
OP(op_self_ipi, wrmsr(X2APIC_MSR(APIC_ICR), ICR_SELF | APIC_VECTOR);
   asm volatile("sti; nop; cli" : : : "memory"))
OP(op_self_ipi_xapic, *(volatile u32 *)(u64)(APIC_DEFAULT_BASE + APIC_ICR) =
   ICR_SELF | APIC_VECTOR; asm volatile("sti; nop; cli" : : : "memory"))
OP(op_deadline, wrmsr(MSR_TSC_DEADLINE, 1);
   asm volatile("sti; nop; cli" : : : "memory"))
OP(op_deadline_set, wrmsr(MSR_TSC_DEADLINE, rdtsc() + SOON))
OP(op_cr8, asm volatile("mov %0, %%cr8" : : "r"(n & 1ul)))

static void begin_xapic(void)
{
	apic_start(false);
}

static void begin_x2apic(void)
{
	apic_start(true);
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | APIC_VECTOR);
}

/* Handlers: what the hardware asks for, and no more. */
extern const u8 bench_interrupt[], bench_eoi_xapic[], bench_eoi_x2apic[];
asm(".pushsection .text\n"
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
    "	xor %eax, %eax\n"
    "	xor %edx, %edx\n"
    "	mov $0x80b, %ecx\n"
    "	wrmsr\n"
    "	pop %rdx\n"
    "	pop %rcx\n"
    "	pop %rax\n"
    "	iretq\n"
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

/* Runs the guest up to where it waits for the next batch. */
static void run_guest(struct bench *b)
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

static void run_batch(struct bench *b)
{
	u32 want = b->row->n * b->row->user_exits;

	run_guest(b);
	if (b->user_exits != want && !b->row->any_exits)
		fail("%s: %u exits to user space, not %u", b->row->name,
		     b->user_exits, want);
}

static void install(struct bench *b, u32 vector, const u8 *handler)
{
	u64 at = (unsigned long)handler;

	RAM(b->vm, G_IDT64 + vector * 16, u64) =
		(at & 0xffff) | SEL_CODE64 << 16 | 0x8eull << 40 |
		(at >> 16 & 0xffff) << 48;
	RAM(b->vm, G_IDT64 + vector * 16 + 8, u64) = at >> 32;
}

static void bench_vm(struct bench *b)
{
	const struct row *row = b->row;

	b->vm = row->begin ? vm_irqchip() : vm_new();
	b->v = row->begin ? vcpu_apic(b->vm, 0) : vcpu_new(b->vm, 0);
	memset(b->vm->ram + G_HIGH, 0, PAGE);
	install(b, VECTOR, bench_interrupt);
	install(b, APIC_VECTOR, row->begin == begin_xapic ? bench_eoi_xapic :
							    bench_eoi_x2apic);
	vcpu_long(b->v, guest_loop);
	G(b->vm, job).begin = row->begin;
	G(b->vm, job).op = b->row->guest ? b->row->guest : op_nothing;
	G(b->vm, job).n = b->row->n;
	G(b->vm, job).next = (u8 *)G_AREA;
	run_guest(b);
}

/* A page, and a second address space that has it too. */
static void one_page(struct bench *b)
{
	struct vm *vm = b->vm;

	map_page(vm, G_ONE_PAGE, G_FREE, PT_P | PT_W | PT_U | PT_A | PT_D);
	G(vm, job).pte = (u64 *)((u8 *)guest_pte(vm, G_ONE_PAGE) - vm->ram);
	G(vm, job).table = (u64 *)(G_PD + (G_ONE_PAGE >> 30) * PAGE) +
			   (G_ONE_PAGE >> 21 & 511);
	RAM(vm, G_PML4_2, u64) = RAM(vm, G_PML4, u64);
}

static void rewind_guest(struct bench *b)
{
	G(b->vm, job).next = (u8 *)G_AREA;
}

/* Memory of the row's own: 4K pages not there yet, there, or 2M pages. */
static void new_area(struct bench *b, size_t size)
{
	b->area_size = size;
	b->area = mem_alloc(size);
}

static void area_4k(struct bench *b)
{
	new_area(b, 4 * HUGE);
	vm_slot(b->vm, AREA_SLOT, G_AREA, b->area_size, b->area, 0);
}

static void area_4k_there(struct bench *b)
{
	area_4k(b);
	memset(b->area, 1, b->area_size);
}

static void huge_pages(u32 n)
{
	char text[12];
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);
	int length = snprintf(text, sizeof(text), "%u", n);

	if (fd < 0 || write(fd, text, length) != length)
		fail("no huge pages: %s", strerror(errno));
	close(fd);
}

static void area_2m(struct bench *b)
{
	u32 n = b->row->n * (b->row->batches + WARM_UP);

	huge_pages(n);
	b->area_size = n * HUGE;
	b->area = mmap(NULL, b->area_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE,
		       -1, 0);
	if (b->area == MAP_FAILED)
		fail("no %u huge pages", n);
	vm_slot(b->vm, AREA_SLOT, G_AREA, b->area_size, b->area, 0);
}

static void area_logged(struct bench *b)
{
	new_area(b, HUGE);
	memset(b->area, 1, b->area_size);
	vm_slot(b->vm, AREA_SLOT, G_AREA, b->area_size, b->area,
		KVM_MEM_LOG_DIRTY_PAGES);
}

static void area_none(struct bench *b)
{
	new_area(b, 4 * HUGE);
}

static void slot_add(struct bench *b)
{
	vm_slot(b->vm, AREA_SLOT, G_AREA, b->area_size, b->area, 0);
}

static void slot_delete(struct bench *b)
{
	vm_slot(b->vm, AREA_SLOT, G_AREA, 0, b->area, 0);
}

/* With what the guest has touched mapped. */
static void slot_add_touch(struct bench *b)
{
	slot_add(b);
	rewind_guest(b);
	run_batch(b);
}

static void get_dirty_log(struct bench *b)
{
	static u64 bits[HUGE / PAGE / 64];
	struct kvm_dirty_log log = {
		.slot = AREA_SLOT, .dirty_bitmap = bits,
	};
	u32 i, dirty = 0;

	WORKS(ioctl(b->vm->fd, KVM_GET_DIRTY_LOG, &log));
	for (i = 0; i < ARRAY_SIZE(bits); i++)
		dirty += __builtin_popcountll(bits[i]);
	if (dirty != b->row->n)
		fail("%u dirty pages", dirty);
}

static void dirty_pages(struct bench *b)
{
	rewind_guest(b);
	run_batch(b);
}

/* Of which the log is fetched, so that the next batch writes them anew. */
static void dirty_pages_start(struct bench *b)
{
	area_logged(b);
	dirty_pages(b);
}

static void clean_pages(struct bench *b)
{
	get_dirty_log(b);
	rewind_guest(b);
}

static void dirty_round(struct bench *b)
{
	dirty_pages(b);
	get_dirty_log(b);
}

static void coalesced(struct bench *b)
{
	struct kvm_coalesced_mmio_zone zone = { G_MMIO, PAGE };

	WORKS(ioctl(b->vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone));
	b->ring = (void *)b->v->run +
		  PAGE * vm_cap(b->vm, KVM_CAP_COALESCED_MMIO);
}

static void ioeventfd(struct bench *b, u64 addr, u32 len, u32 flags)
{
	struct kvm_ioeventfd event = {
		.addr = addr,
		.len = len,
		.flags = flags,
		.fd = WORKS(eventfd(0, EFD_CLOEXEC)),
	};

	WORKS(ioctl(b->vm->fd, KVM_IOEVENTFD, &event));
	close(event.fd);
}

static void ioeventfd_pio(struct bench *b)
{
	ioeventfd(b, PORT, 1, KVM_IOEVENTFD_FLAG_PIO);
}

/* Of any length, as monitors have them. */
static void ioeventfd_mmio(struct bench *b)
{
	ioeventfd(b, G_MMIO, 0, 0);
}

static void ioeventfd_mmio_len(struct bench *b)
{
	ioeventfd(b, G_MMIO, 4, 0);
}

static void drain(struct bench *b)
{
	b->ring->first = b->ring->last;
}

static void vm_create(struct bench *b)
{
	b->fd = WORKS(ioctl(kvm_fd(), KVM_CREATE_VM, 0));
}

static void vm_destroy(struct bench *b)
{
	close(b->fd);
}

static void vcpu_create(struct bench *b)
{
	b->vcpu_fd = WORKS(ioctl(b->fd, KVM_CREATE_VCPU, 0));
}

static void vcpu_destroy(struct bench *b)
{
	close(b->vcpu_fd);
	vm_destroy(b);
}

/* A VM from nothing to the guest's first instructions, and its end. */
static void vm_life(struct bench *b)
{
	struct bench own = { .row = b->row };

	bench_vm(&own);
	vm_free(own.vm);
}

static void run_ioctl(struct bench *b)
{
	b->v->run->immediate_exit = 1;
	FAILS(ioctl(b->v->fd, KVM_RUN, 0), EINTR);
	b->v->run->immediate_exit = 0;
}

/* ---- measuring ---------------------------------------------------------- */

static const struct row rows[] = {
	{ "nothing", 64, 9, .guest = op_nothing },
	{ "cpuid", 64, 9, .guest = op_cpuid },
	{ "vmcall", 64, 9, .guest = op_vmcall },
	{ "rdmsr", 64, 9, .guest = op_rdmsr },
	{ "wrmsr", 64, 9, .guest = op_wrmsr },
	{ "mov-dr", 1, 33, .guest = op_mov_dr },
	{ "mov-cr0", 64, 9, .guest = op_mov_cr0 },
	{ "mov-cr3", 64, 9, .guest = op_mov_cr3 },
	{ "cr3-switch", 64, 9, .guest = op_cr3_switch, .setup = one_page },
	{ "invlpg", 64, 9, .guest = op_invlpg },
	{ "pte-change", 64, 9, .guest = op_pte_change, .setup = one_page },
	{ "table-write", 64, 9, .guest = op_table_write, .setup = one_page },
	{ "run", 1, 33, .op = run_ioctl },
	{ "out", 64, 9, 1, .guest = op_out },
	{ "in", 64, 9, 1, .guest = op_in },
	{ "outs", 8, 9, .any_exits = true, .guest = op_outs },
	{ "ins", 8, 9, .any_exits = true, .guest = op_ins },
	{ "mmio-read", 32, 9, 1, .guest = op_mmio_read },
	{ "mmio-write", 32, 9, 1, .guest = op_mmio_write },
	{ "mmio-coalesced", 64, 9, .guest = op_mmio_write, .setup = coalesced,
	  .before = drain },
	{ "ioeventfd-pio", 64, 9, .guest = op_out, .setup = ioeventfd_pio },
	{ "ioeventfd-mmio", 64, 9, .guest = op_mmio_write,
	  .setup = ioeventfd_mmio },
	{ "ioeventfd-len", 64, 9, .guest = op_mmio_write,
	  .setup = ioeventfd_mmio_len },
	{ "hlt", 32, 9, 1, .guest = op_hlt },
	{ "cr8", 64, 9, .guest = op_cr8, .begin = begin_x2apic },
	{ "ipi-send", 64, 9, .guest = op_ipi_send, .begin = begin_x2apic },
	{ "self-ipi", 64, 9, .guest = op_self_ipi, .begin = begin_x2apic },
	{ "self-ipi-xapic", 64, 9, .guest = op_self_ipi_xapic,
	  .begin = begin_xapic },
	{ "deadline", 64, 9, .guest = op_deadline, .begin = begin_x2apic },
	{ "deadline-set", 64, 9, .guest = op_deadline_set,
	  .begin = begin_x2apic },
	{ "ept-4k", 64, 17, .guest = op_touch, .setup = area_4k_there },
	{ "ept-4k-absent", 64, 17, .guest = op_touch, .setup = area_4k },
	{ "ept-2m", 2, 15, .guest = op_touch_huge, .setup = area_2m },
	{ "dirty-write", 64, 9, .guest = op_touch, .setup = dirty_pages_start,
	  .before = clean_pages },
	{ "dirty-log", 64, 9, .guest = op_touch, .setup = area_logged,
	  .before = dirty_pages, .op = get_dirty_log },
	{ "dirty-round", 64, 9, .guest = op_touch, .setup = area_logged,
	  .op = dirty_round },
	{ "slot-add", 1, 17, .setup = area_none, .op = slot_add,
	  .after = slot_delete },
	{ "slot-delete", 1, 17, .setup = area_none, .before = slot_add,
	  .op = slot_delete },
	{ "slot-delete-used", 64, 9, .guest = op_touch, .setup = area_none,
	  .before = slot_add_touch, .op = slot_delete },
	{ "vm-create", 1, 17, .op = vm_create, .after = vm_destroy },
	{ "vm-destroy", 1, 17, .before = vm_create, .op = vm_destroy },
	{ "vcpu-create", 1, 17, .before = vm_create, .op = vcpu_create,
	  .after = vcpu_destroy },
	{ "vm-life", 1, 9, .op = vm_life },
};

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
	begin = rdtsc();
	if (b->row->op)
		b->row->op(b);
	else
		run_batch(b);
	*cost = b->row->op ? rdtsc() - begin : G(b->vm, job).cost;
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
		if (row == rows)
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
	if (row->setup)
		row->setup(&b);
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
	vm_free(b.vm);
	if (b.area)
		munmap(b.area, b.area_size);
}

static bool wanted(const char *name)
{
	const char *patterns = getenv("ROWS");
	char list[512], *p, *end;

	if (!patterns || !*patterns)
		return true;
	snprintf(list, sizeof(list), "%s", patterns);
	for (p = strtok_r(list, " ", &end); p; p = strtok_r(NULL, " ", &end))
		if (!fnmatch(p, name, 0))
			return true;
	return false;
}

TEST_TIMED(exits, 300)
{
	u32 i;

	ops_fd = open("/sys/kernel/debug/kvm/vmx_ops", O_RDONLY);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (wanted(rows[i].name) || (!i && ops_fd >= 0))
			measure_row(&rows[i]);
}
