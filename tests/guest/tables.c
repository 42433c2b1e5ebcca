// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest page tables in odd places, and many of them: physical addresses of 36
 * bits from 32-bit paging, a stack in a table, and tables for all of memory
 * when the monitor, or a host short of memory, allows few to shadow them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "guest.h"

#define PAGE		4096ul
#define MIB		(1ul << 20)

/* ---- PSE-36 ------------------------------------------------------------- */

#define HIGH_SLOT	0x300400000ull	/* 4M that no 32-bit address reaches */
#define LOW_PAGE	0x00400000u	/* the same without the upper bits */
#define WINDOW		0x40000000u
#define WINDOW_PDE	(G_PD32 + (WINDOW >> 22) * 4)
#define PDE_LOW		(LOW_PAGE | PT_P | PT_W | PT_PS)
#define PDE_HIGH	(PDE_LOW | (HIGH_SLOT >> 32) << 13)

#define STR(x)		STR1(x)
#define STR1(x)		#x
#define SET_WINDOW(pde)							\
	"movl $" STR(pde) ", " STR(0xa400) "\n"				\
	"invlpg 0x40000000\n"

_Static_assert(WINDOW_PDE == 0xa400 && PDE_LOW == 0x400083 &&
	       PDE_HIGH == 0x406083, "the numbers below");

CODE(pse36, 32,
     SET_WINDOW(0x406083)
     "movl 0x40001000, %eax\n"
     "outl %eax, $0xe1\n"
     "movl $0x89abcdef, 0x402ffff0\n"
     "movl 0xa400, %eax\n"		/* accessed and dirty */
     "outl %eax, $0xe1\n"
     SET_WINDOW(0x400083)
     "movl 0x40000000, %eax\n"
     "outl %eax, $0xe1\n"
     SET_WINDOW(0x406083)
     "movl 0x402ffff0, %eax\n"
     "outl %eax, $0xe1\n"
     "outb %al, $0xe0\n");

static void expect(struct vcpu *v, u32 value)
{
	vcpu_until(v, STOP_SYNC);
	EQ((u32)v->value, value);
}

TEST(pse36)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u32 *high;

	if (!cpu_has(1, 3, 17))
		skip("the processor has no PSE-36");
	high = vm_add(vm, 1, HIGH_SLOT, 4 * MIB, 0);
	high[0x1000 / 4] = 0x12345678;
	vcpu_prot32(v, code_load(vm, G_CODE, pse36, pse36_end), PAGING_PSE);
	expect(v, 0x12345678);
	expect(v, PDE_HIGH | PT_A | PT_D);
	expect(v, RAM(vm, LOW_PAGE, u32));
	expect(v, 0x89abcdef);
	EQ(high[0x2ffff0 / 4], 0x89abcdef);
	vcpu_done(v);
	vm_free(vm);
}

/* ---- a stack in a table ------------------------------------------------- */

#define AREA		0xc0000000ul	/* mapped by the last page of G_PD */
#define AREA_TABLE	(G_PD + 3 * PAGE)

static volatile u32 breakpoints;

static void g_breakpoint(struct trap_frame *f)
{
	(void)f;
	breakpoints++;
}

static void g_stack_in_table(void)
{
	volatile u64 *area = (u64 *)AREA;
	u32 i;

	trap.handler[VEC_BP] = g_breakpoint;
	for (i = 0; i < 20; i++) {
		G_EQ(area[0], i);
		/* The processor pushes a frame, the handler much more. */
		asm volatile("mov %%rsp, %%rbx\n"
			     "mov %0, %%rsp\n"
			     "int3\n"
			     "mov %%rbx, %%rsp"
			     : : "r"(AREA_TABLE + PAGE) : "rbx", "memory");
		G_EQ(breakpoints, i + 1);
		G_EQ(area[0], i);
		area[0] = i + 1;
	}
}

/* Its last entries, which map nothing of interest, are overwritten. */
TEST(stack_in_a_page_directory)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u64 *area = vm_add(vm, 1, AREA, 2 * MIB, 0);

	vcpu_long(v, g_stack_in_table);
	vcpu_done(v);
	EQ(area[0], 20);
	vm_free(vm);
}

/* ---- more tables than there may be -------------------------------------- */

#define BIG		0x40000000ul	/* mapped by 4K entries, in G_HIGH */

static volatile u64 nr_pages, seed;
static volatile bool done;

static u64 pattern(u64 page)
{
	return (page + seed) * 0x9e3779b97f4a7c15ull;
}

static void g_fill(void)
{
	u64 i;

	for (i = 0; i < nr_pages; i++)
		write64(BIG + i * PAGE + i % 512 * 8, pattern(i));
}

static void g_check(void)
{
	u64 i;

	for (i = 0; i < nr_pages; i++)
		G_EQ(read64(BIG + i * PAGE + i % 512 * 8), pattern(i));
}

static void g_fill_and_check(void)
{
	g_fill();
	g_check();
	seed = 1;
	g_fill();
	g_check();
}

/* Tables of the guest's own for the whole of an area. */
static u8 *big_area(struct vm *vm, u64 size)
{
	u8 *area = vm_add(vm, 1, BIG, size, 0);
	u64 i;

	for (i = 0; i < size / PAGE; i++)
		RAM(vm, G_HIGH + i * 8, u64) = (BIG + i * PAGE) |
					       PT_P | PT_W | PT_U;
	for (i = 0; i < size / (2 * MIB); i++)
		RAM(vm, G_PD + (BIG >> 21) * 8 + i * 8, u64) =
			(G_HIGH + i * PAGE) | PT_P | PT_W | PT_U;
	G(vm, nr_pages) = size / PAGE;
	return area;
}

/* 2 GiB where the host has as much. */
static u64 big_size(void)
{
	struct sysinfo info;

	WORKS(sysinfo(&info));
	return (u64)info.freeram * info.mem_unit > 2300 * MIB ? 2048 * MIB :
								64 * MIB;
}

/*
 * A hundredth of the default, which is 2 % of the guest's pages; or the least
 * that is accepted.
 */
TEST_TIMED(few_shadow_pages, 400)
{
	const u64 size = big_size(), few = size / PAGE / 50 / 100;
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u8 *area = big_area(vm, size);
	u64 i;

	WORKS(ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, few > 64 ? few : 64));
	vcpu_long(v, g_fill_and_check);
	vcpu_done(v);
	G(vm, seed) = 1;
	seed = 1;
	for (i = 0; i < size / PAGE; i++)
		EQ(*(u64 *)(area + i * PAGE + i % 512 * 8), pattern(i));
	munmap(area, size);
	vm_free(vm);
}

static void g_check_again(void)
{
	g_fill();
	while (!done)
		g_check();
}

static void *run_to_end(void *v)
{
	return (void *)(long)(vcpu_go(v) != STOP_DONE);
}

/* The host takes back what it can, shadow pages too, while the guest reads. */
TEST(host_short_of_memory)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY), i;
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u8 *area = big_area(vm, 16 * MIB);
	pthread_t thread;
	void *bad;

	WORKS(fd);
	vcpu_long(v, g_check_again);
	EQ(pthread_create(&thread, NULL, run_to_end, v), 0);
	for (i = 0; i < 20; i++) {
		WORKS(write(fd, "2", 1));
		if (i % 4 == 0)
			WORKS(madvise(area, 16 * MIB, MADV_PAGEOUT));
		usleep(5000);
	}
	G(vm, done) = true;
	pthread_join(thread, &bad);
	EQ((long)bad, 0);
	close(fd);
	munmap(area, 16 * MIB);
	vm_free(vm);
}
