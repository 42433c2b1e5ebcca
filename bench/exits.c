// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rows of the benchmark: exits of one vCPU without an interrupt controller in
 * the kernel, ioctls, and the life of VMs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rows.h"

#define HUGE		0x200000ul
#define STRING		64		/* bytes moved by one string instruction */
#define AREA_SLOT	5
#define G_ONE_PAGE	0x50000000ul	/* mapped by an entry of its own */
#define G_PML4_2	(G_FREE + 2 * PAGE)

/* ---- in the guest ------------------------------------------------------- */

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
OP(op_mmio_stos, void *to = (void *)(u64)G_MMIO; u64 count = STRING;
   asm volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(1) : "memory"))
OP(op_ins, void *to = (void *)G_HIGH; u64 count = STRING;
   asm volatile("rep insb" : "+D"(to), "+c"(count) : "d"(PORT) : "memory"))

/* ---- in the host -------------------------------------------------------- */

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
	bench_vm_free(&own);
}

static void run_ioctl(struct bench *b)
{
	b->v->run->immediate_exit = 1;
	FAILS(ioctl(b->v->fd, KVM_RUN, 0), EINTR);
	b->v->run->immediate_exit = 0;
}

/* ---- rows --------------------------------------------------------------- */

const struct row exit_rows[] = {
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
	{ "mmio-stos", 4, 9, STRING, .guest = op_mmio_stos },
	{ "mmio-coalesced", 64, 9, .guest = op_mmio_write, .setup = coalesced,
	  .before = drain },
	{ "ioeventfd-pio", 64, 9, .guest = op_out, .setup = ioeventfd_pio },
	{ "ioeventfd-mmio", 64, 9, .guest = op_mmio_write,
	  .setup = ioeventfd_mmio },
	{ "ioeventfd-len", 64, 9, .guest = op_mmio_write,
	  .setup = ioeventfd_mmio_len },
	{ "hlt", 32, 9, 1, .guest = op_hlt },
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
	{ }
};
