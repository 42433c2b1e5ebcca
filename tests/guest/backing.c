// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory whose backing is out of the ordinary, or not there when it is
 * needed: swapped out, provided on demand by user space, watched for writes
 * by the kernel, a device's registers.
 *
 * The tests of swap make a device of /dev/zram0: load lzo-rle and zram.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

#define EXTRA		G_MMIO
#define PAGES		1024
#define SIZE		(PAGES * 4096)

/* The guest does as told at each sync: see run_order(). */
enum order { CHECK_ALL, WRITE_SOME, READ_ONE };
static volatile u32 order, round_nr, first, step;
static volatile u64 result;

/* What page i holds after the round in which it was last written. */
static u64 pattern(u32 page, u32 round)
{
	return (u64)round << 32 | page * 2654435761u;
}

static volatile u32 written_in[PAGES];

static void g_write_some(void)
{
	u32 i;

	for (i = first; i < PAGES; i += step) {
		write64(EXTRA + i * 4096 + (i & 255) * 8, pattern(i, round_nr));
		written_in[i] = round_nr;
	}
}

static void g_check_all(void)
{
	u32 i;

	for (i = 0; i < PAGES; i++)
		G_EQ(read64(EXTRA + i * 4096 + (i & 255) * 8),
		     pattern(i, written_in[i]));
}

static void g_main(void)
{
	for (;;) {
		guest_sync(0);
		if (order == CHECK_ALL)
			g_check_all();
		else if (order == WRITE_SOME)
			g_write_some();
		else
			result = read64(EXTRA + first);
	}
}

static struct vcpu *start(void *mem, u64 size)
{
	struct vcpu *v = guest_start(g_main);

	vm_slot(v->vm, 1, EXTRA, size, mem, 0);
	vcpu_until(v, STOP_SYNC);
	return v;
}

static void run_order(struct vcpu *v, u32 what, u32 from, u32 by, u32 round)
{
	G(v->vm, order) = what;
	G(v->vm, first) = from;
	G(v->vm, step) = by;
	G(v->vm, round_nr) = round;
	vcpu_until(v, STOP_SYNC);
}

/* ---- swap --------------------------------------------------------------- */

static void write_text(const char *path, const char *text)
{
	if (!file_write(path, text))
		skip("%s: %s", path, strerror(errno));
}

/* As mkswap would: version 1, the last page's number, the signature. */
static void make_swap(const char *path, u32 pages)
{
	u8 head[4096] = { 0 };
	u32 info[2] = { 1, pages - 1 };
	int fd = open(path, O_WRONLY);

	CHECK(fd >= 0);
	memcpy(head + 1024, info, sizeof(info));
	memcpy(head + 4086, "SWAPSPACE2", 10);
	EQ(write(fd, head, sizeof(head)), sizeof(head));
	close(fd);
}

#define SWAP_SIZE	(64u << 20)

/* Swap is the machine's: it stays for the next test. */
static void need_swap(void)
{
	char line[256];
	FILE *f = fopen("/proc/swaps", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (line[0] == '/') {
			fclose(f);
			return;
		}
	fclose(f);
	if (access("/sys/block/zram0/disksize", W_OK))
		skip("no zram device for swap");
	write_text("/sys/block/zram0/disksize", "64M");
	make_swap("/dev/zram0", SWAP_SIZE / 4096);
	WORKS(swapon("/dev/zram0", 0));
}

static u32 resident(void *mem)
{
	static u8 map[PAGES];
	u32 i, n = 0;

	WORKS(mincore(mem, SIZE, map));
	for (i = 0; i < PAGES; i++)
		n += map[i] & 1;
	return n;
}

/* What has been accessed since the last time stays, so a few times. */
static void page_out(void *mem)
{
	int i;

	for (i = 0; i < 4; i++)
		WORKS(madvise(mem, SIZE, MADV_PAGEOUT));
}

/*
 * Nothing that the guest wrote may be lost, whether it wrote to a page when
 * it came in, or had read it first, or not at all.
 */
static void swap_rounds(void *mem)
{
	struct vcpu *v = start(mem, SIZE);
	u32 round;

	run_order(v, WRITE_SOME, 0, 1, 1);
	for (round = 2; round < 10; round++) {
		page_out(mem);
		if (round == 2)
			CHECK(resident(mem) < PAGES / 2);
		if (round & 1)
			run_order(v, CHECK_ALL, 0, 0, round);
		run_order(v, WRITE_SOME, round % 3, 3, round);
		if (round % 4 == 0)
			page_out(mem);
		run_order(v, CHECK_ALL, 0, 0, round);
	}
	vm_free(v->vm);
}

TEST(swapped_out)
{
	void *mem = mem_alloc(SIZE);

	need_swap();
	swap_rounds(mem);
}

TEST(swapped_out_shared)
{
	void *mem;

	need_swap();
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	swap_rounds(mem);
}

/* ---- pages that user space provides when they are touched --------------- */

static u32 faults_served;

static void *serve_faults(void *arg)
{
	static u64 page[512] __attribute__((aligned(4096)));
	struct uffd_msg msg;
	int uffd = *(int *)arg;

	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_copy copy = {
			.dst = msg.arg.pagefault.address & ~4095ull,
			.src = (unsigned long)page,
			.len = 4096,
		};

		page[0] = 0x1234;
		faults_served++;
		ioctl(uffd, UFFDIO_COPY, &copy);
	}
	return NULL;
}

TEST(provided_on_demand)
{
	struct uffdio_api api = { .api = UFFD_API };
	void *mem = mem_alloc(SIZE);
	struct uffdio_register reg = {
		.range = { (unsigned long)mem, SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	pthread_t server;
	struct vcpu *v;
	int uffd, i;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0)
		skip("no userfaultfd: %s", strerror(errno));
	WORKS(ioctl(uffd, UFFDIO_API, &api));
	WORKS(ioctl(uffd, UFFDIO_REGISTER, &reg));
	EQ(pthread_create(&server, NULL, serve_faults, &uffd), 0);

	v = start(mem, SIZE);
	for (i = 0; i < 64; i++) {
		run_order(v, READ_ONE, i * 4096, 0, 0);
		EQ(G(v->vm, result), 0x1234);
	}
	EQ(faults_served, 64);
	/* Gone again: asked for again. */
	WORKS(madvise(mem, 4096, MADV_DONTNEED));
	run_order(v, READ_ONE, 0, 0, 0);
	EQ(faults_served, 65);
	vm_free(v->vm);
}

/* ---- writes that the kernel watches ------------------------------------- */

#define PAGEMAP_SOFT_DIRTY	BIT(55)

static bool soft_dirty(void *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	u64 entry;

	CHECK(fd >= 0);
	EQ(pread(fd, &entry, 8, (unsigned long)page / 4096 * 8), 8);
	close(fd);
	return entry & PAGEMAP_SOFT_DIRTY;
}

/* What a guest writes counts as written by the process. */
TEST(soft_dirty)
{
	u8 *mem = mem_alloc(SIZE);
	struct vcpu *v = start(mem, SIZE);
	u32 round, i;

	WORKS(madvise(mem, SIZE, MADV_NOHUGEPAGE));
	run_order(v, WRITE_SOME, 0, 1, 1);
	for (round = 2; round < 5; round++) {
		write_text("/proc/self/clear_refs", "4");
		run_order(v, CHECK_ALL, 0, 0, round);
		for (i = 0; i < PAGES; i += 77)
			CHECK(!soft_dirty(mem + i * 4096));
		run_order(v, WRITE_SOME, round, 5, round);
		for (i = 0; i < PAGES; i++)
			EQ(soft_dirty(mem + i * 4096),
			   i >= round && i % 5 == round % 5);
	}
	vm_free(v->vm);
}

/* ---- a device's registers ----------------------------------------------- */

#define HPET_BASE	0xfed00000u

TEST(device_registers)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC);
	struct vcpu *v;
	u32 *hpet;

	if (fd < 0)
		skip("no /dev/mem: %s", strerror(errno));
	hpet = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    HPET_BASE);
	if (hpet == MAP_FAILED)
		skip("no HPET to map: %s", strerror(errno));
	v = start(hpet, 4096);
	run_order(v, READ_ONE, 0, 0, 0);
	/* Capabilities and ID, which do not change. */
	EQ((u32)G(v->vm, result), *(volatile u32 *)hpet);
	CHECK((u32)G(v->vm, result));
	vm_free(v->vm);
}
