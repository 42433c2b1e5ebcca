// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory: slots added, moved, deleted and made read-only under a guest,
 * and everything Linux does to the user memory behind them: it goes, comes
 * back, is copied on write, merged, made of huge pages, of files.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define EXTRA	G_MMIO			/* where tests add slots */
#define EXTRA2	(G_MMIO + 0x1000000u)
#define HUGE	(2u << 20)

/* A guest at the host's command: it reads or writes what it is told to. */

enum command { READ64 = 1, WRITE64, CALL, FILL, SUM, STOP };

static volatile u32 order;
static volatile u64 order_address, order_value, order_count;

static void g_fill(void)
{
	u64 i;

	for (i = 0; i < order_count; i++)
		write64(order_address + i * 4096, order_value + i);
}

static void g_sum(void)
{
	u64 i;

	order_value = 0;
	for (i = 0; i < order_count; i++)
		order_value += read64(order_address + i * 4096);
}

static void g_obey(void)
{
	for (;;) {
		guest_sync(0);
		if (order == READ64)
			order_value = read64(order_address);
		else if (order == WRITE64)
			write64(order_address, order_value);
		else if (order == CALL)
			order_value = ((u64 (*)(void))order_address)();
		else if (order == FILL)
			g_fill();
		else if (order == SUM)
			g_sum();
		else if (order == STOP)
			return;
	}
}

static struct vcpu *obedient(void)
{
	struct vcpu *v = guest_start(g_obey);

	vcpu_until(v, STOP_SYNC);
	return v;
}

static void give(struct vcpu *v, u32 what, u64 address, u64 value)
{
	G(v->vm, order) = what;
	G(v->vm, order_address) = address;
	G(v->vm, order_value) = value;
}

static u64 guest_read(struct vcpu *v, u64 address)
{
	give(v, READ64, address, 0);
	vcpu_until(v, STOP_SYNC);
	return G(v->vm, order_value);
}

static void guest_write(struct vcpu *v, u64 address, u64 value)
{
	give(v, WRITE64, address, value);
	vcpu_until(v, STOP_SYNC);
}

static void guest_fill(struct vcpu *v, u64 address, u64 pages, u64 value)
{
	G(v->vm, order_count) = pages;
	give(v, FILL, address, value);
	vcpu_until(v, STOP_SYNC);
}

static u64 guest_sum(struct vcpu *v, u64 address, u64 pages)
{
	G(v->vm, order_count) = pages;
	give(v, SUM, address, 0);
	vcpu_until(v, STOP_SYNC);
	return G(v->vm, order_value);
}

/* An access that must exit as MMIO; a read is answered with value. */
static void mmio_read(struct vcpu *v, u64 address, u64 value)
{
	give(v, READ64, address, 0);
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, address);
	EQ(v->run->mmio.is_write, 0);
	memcpy(v->run->mmio.data, &value, 8);
	vcpu_until(v, STOP_SYNC);
	EQ(G(v->vm, order_value), value);
}

static void mmio_write(struct vcpu *v, u64 address, u64 value)
{
	u64 got;

	give(v, WRITE64, address, value);
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, address);
	EQ(v->run->mmio.is_write, 1);
	EQ(v->run->mmio.len, 8);
	memcpy(&got, v->run->mmio.data, 8);
	EQ(got, value);
	vcpu_until(v, STOP_SYNC);
}

/* Slots */

TEST(add_and_delete)
{
	struct vcpu *v = obedient();
	u64 *mem = mem_alloc(0x10000);
	int i;

	for (i = 0; i < 5; i++) {
		mmio_read(v, EXTRA + 8, 0x77);
		mmio_write(v, EXTRA + 8, 0x78);
		vm_slot(v->vm, 1, EXTRA, 0x10000, mem, 0);
		guest_write(v, EXTRA + 8, 0x1000 + i);
		EQ(mem[1], 0x1000 + i);
		mem[2] = 0x2000 + i;
		EQ(guest_read(v, EXTRA + 16), 0x2000 + i);
		/* Its neighbours are still nothing. */
		mmio_read(v, EXTRA + 0x10000, 1);
		vm_slot(v->vm, 1, EXTRA, 0, mem, 0);
	}
	vm_free(v->vm);
}

TEST(move)
{
	struct vcpu *v = obedient();
	u64 *mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);

	guest_write(v, EXTRA + 0x3000, 0xabc);
	vm_slot(v->vm, 1, EXTRA2, 0x10000, mem, 0);
	EQ(guest_read(v, EXTRA2 + 0x3000), 0xabc);
	mmio_read(v, EXTRA + 0x3000, 5);
	guest_write(v, EXTRA2 + 0x3000, 0xdef);
	EQ(mem[0x600], 0xdef);
	vm_slot(v->vm, 1, EXTRA, 0x10000, mem, 0);
	EQ(guest_read(v, EXTRA + 0x3000), 0xdef);
	mmio_write(v, EXTRA2 + 0x3000, 6);
	vm_free(v->vm);
}

/* Other memory at the same address: nothing of the old is seen. */
TEST(exchange)
{
	struct vcpu *v = obedient();
	u64 *a = vm_add(v->vm, 1, EXTRA, 0x10000, 0), *b = mem_alloc(0x10000);

	a[0] = 0xa;
	b[0] = 0xb;
	EQ(guest_read(v, EXTRA), 0xa);
	vm_slot(v->vm, 1, EXTRA, 0, a, 0);
	vm_slot(v->vm, 1, EXTRA, 0x10000, b, 0);
	EQ(guest_read(v, EXTRA), 0xb);
	guest_write(v, EXTRA, 0xbb);
	EQ(a[0], 0xa);
	EQ(b[0], 0xbb);
	vm_free(v->vm);
}

/* The same memory twice: both addresses show one content. */
TEST(alias)
{
	struct vcpu *v = obedient();
	u64 *mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);

	vm_slot(v->vm, 2, EXTRA2, 0x10000, mem, 0);
	guest_write(v, EXTRA + 0x100, 1);
	EQ(guest_read(v, EXTRA2 + 0x100), 1);
	guest_write(v, EXTRA2 + 0x100, 2);
	EQ(guest_read(v, EXTRA + 0x100), 2);
	vm_free(v->vm);
}

TEST(read_only)
{
	/* movl $0x1234, %eax; ret */
	static const u8 code[] = { 0xb8, 0x34, 0x12, 0, 0, 0xc3 };
	struct vcpu *v = obedient();
	u64 *mem;

	need_cap(KVM_CAP_READONLY_MEM);
	mem = vm_add(v->vm, 1, EXTRA, 0x10000, KVM_MEM_READONLY);
	mem[1] = 0x1111;
	EQ(guest_read(v, EXTRA + 8), 0x1111);
	mmio_write(v, EXTRA + 8, 0x2222);	/* to user space */
	EQ(mem[1], 0x1111);			/* not to memory */
	EQ(guest_read(v, EXTRA + 8), 0x1111);
	mem[1] = 0x3333;
	EQ(guest_read(v, EXTRA + 8), 0x3333);
	memcpy(mem + 16, code, sizeof(code));
	give(v, CALL, EXTRA + 128, 0);
	vcpu_until(v, STOP_SYNC);
	EQ(G(v->vm, order_value), 0x1234);
	vm_free(v->vm);
}

TEST(read_only_and_back)
{
	struct vcpu *v = obedient();
	u64 *mem;
	int i;

	need_cap(KVM_CAP_READONLY_MEM);
	mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);
	for (i = 0; i < 5; i++) {
		guest_write(v, EXTRA, i);
		EQ(mem[0], i);
		/* As QEMU does it: delete, then add with the flag. */
		vm_slot(v->vm, 1, EXTRA, 0, mem, 0);
		vm_slot(v->vm, 1, EXTRA, 0x10000, mem, KVM_MEM_READONLY);
		mmio_write(v, EXTRA, 100 + i);
		EQ(guest_read(v, EXTRA), i);
		vm_slot(v->vm, 1, EXTRA, 0, mem, 0);
		vm_slot(v->vm, 1, EXTRA, 0x10000, mem, 0);
	}
	vm_free(v->vm);
}

/* ROM in a file that cannot be written at all. */
TEST(read_only_file)
{
	struct vcpu *v = obedient();
	u64 *mem;
	int fd = open("/proc/self/exe", O_RDONLY);

	need_cap(KVM_CAP_READONLY_MEM);
	mem = mmap(NULL, 0x10000, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(mem != MAP_FAILED);
	vm_slot(v->vm, 1, EXTRA, 0x10000, mem, KVM_MEM_READONLY);
	EQ(guest_read(v, EXTRA), mem[0]);
	EQ(guest_read(v, EXTRA + 0x8000), mem[0x1000]);
	mmio_write(v, EXTRA, 1);
	EQ(guest_read(v, EXTRA), mem[0]);
	vm_free(v->vm);
}

TEST(many_slots)
{
	struct vcpu *v = obedient();
	int max = ioctl(kvm_fd(), KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	u32 n = max > 300 ? 300 : max - 1, i;
	u64 *mem = mem_alloc(n * 4096);

	CHECK(max >= 32);
	/* Every other page, in a stirred order. */
	for (i = 0; i < n; i++) {
		u32 k = i * 7 % n;

		mem[k * 512] = 0x1000 + k;
		vm_slot(v->vm, 1 + k, EXTRA + k * 8192, 4096, mem + k * 512, 0);
	}
	for (i = 0; i < n; i++)
		EQ(guest_read(v, EXTRA + i * 8192), 0x1000 + i);
	mmio_read(v, EXTRA + 4096, 3);
	for (i = 0; i < n; i += 2)
		vm_slot(v->vm, 1 + i, 0, 0, NULL, 0);
	for (i = 0; i < n; i++) {
		if (i % 2)
			EQ(guest_read(v, EXTRA + i * 8192), 0x1000 + i);
		else if (i < 20)
			mmio_read(v, EXTRA + i * 8192, 4);
	}
	vm_free(v->vm);
}

/* The highest slot number the capability allows. */
TEST(last_slot_number)
{
	struct vcpu *v = obedient();
	int max = ioctl(kvm_fd(), KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	u64 *mem = mem_alloc(4096);

	vm_slot(v->vm, max - 1, EXTRA, 4096, mem, 0);
	guest_write(v, EXTRA, 1);
	EQ(mem[0], 1);
	FAILS(vm_slot_try(v->vm, max, EXTRA2, 4096, mem, 0), EINVAL);
	vm_free(v->vm);
}

/* 64 GiB, most of it never touched. */
TEST(sparse_giant)
{
	const u64 size = 64ull << 30, base = 8ull << 30;
	struct vcpu *v = obedient();
	u64 *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), at;

	if (mem == MAP_FAILED)
		skip("no 64 GiB of address space");
	if ((cpuid_find(supported_cpuid(), 0x80000008, 0)->eax & 0xff) < 37)
		skip("the processor's addresses are too short");
	vm_slot(v->vm, 1, base, size, mem, 0);
	for (at = 0; at < size; at += 3ull << 30) {
		map_page(v->vm, 0x30000000, base + at, PT_P | PT_W);
		guest_write(v, 0x30000000, at + 1);
		EQ(mem[at / 8], at + 1);
		/* The guest's own translation is to be dropped each time. */
		vcpu_long(v, g_obey);
		G(v->vm, order) = STOP;
		vcpu_until(v, STOP_SYNC);
		vcpu_done(v);
		v = obedient();
		vm_slot(v->vm, 1, base, size, mem, 0);
	}
	vm_free(v->vm);
	munmap(mem, size);
}

/* A vCPU that writes all the time while its memory comes and goes. */
static volatile u32 halt_writer;

static void g_writer(void)
{
	u64 i;

	for (i = 1; !halt_writer; i++)
		write64(EXTRA + (i % 16) * 4096, i);
}

static void *run_writer(void *arg)
{
	struct vcpu *v = arg;
	long exits = 0;
	int stop;

	while ((stop = vcpu_go(v)) == KVM_EXIT_MMIO)
		exits++;
	return (void *)(stop == STOP_DONE ? exits : -1);
}

TEST(slots_change_under_a_running_guest)
{
	struct vcpu *v = guest_start(g_writer);
	u64 *mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);
	pthread_t t;
	void *exits;
	int i;

	EQ(pthread_create(&t, NULL, run_writer, v), 0);
	for (i = 0; i < 60; i++) {
		usleep(2000);
		vm_slot(v->vm, 1, EXTRA, 0, mem, 0);
		if (i % 3 == 1) {
			vm_slot(v->vm, 1, EXTRA2, 0x10000, mem, 0);
			vm_slot(v->vm, 1, EXTRA, 0x10000, mem, 0);
		} else {
			vm_slot(v->vm, 1, EXTRA, 0x10000, mem,
				i % 3 ? KVM_MEM_LOG_DIRTY_PAGES : 0);
		}
	}
	G(v->vm, halt_writer) = 1;
	pthread_join(t, &exits);
	CHECK((long)exits >= 0);
	for (i = 0; i < 16; i++)
		CHECK(mem[i * 512] % 16 == (u64)i);
	vm_free(v->vm);
}

/* What the host does to the memory behind a slot */

TEST(discarded)
{
	struct vcpu *v = obedient();
	u64 *mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);

	guest_fill(v, EXTRA, 16, 100);
	WORKS(madvise((u8 *)mem + 0x2000, 0x3000, MADV_DONTNEED));
	EQ(guest_read(v, EXTRA + 0x1000), 101);
	EQ(guest_read(v, EXTRA + 0x2000), 0);
	EQ(guest_read(v, EXTRA + 0x4000), 0);
	EQ(guest_read(v, EXTRA + 0x5000), 105);
	guest_write(v, EXTRA + 0x3000, 7);
	EQ(mem[0x600], 7);
	vm_free(v->vm);
}

/* KVM_RUN ends with EFAULT when user memory is not there, and can go on. */
static void expect_efault(struct vcpu *v)
{
	FAILS(ioctl(v->fd, KVM_RUN, 0), EFAULT);
}

TEST(write_protected_by_the_host)
{
	struct vcpu *v = obedient();
	u64 *mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);

	guest_write(v, EXTRA, 1);
	WORKS(mprotect(mem, 0x10000, PROT_READ));
	EQ(guest_read(v, EXTRA), 1);
	give(v, WRITE64, EXTRA, 2);
	expect_efault(v);
	expect_efault(v);
	EQ(mem[0], 1);
	WORKS(mprotect(mem, 0x10000, PROT_READ | PROT_WRITE));
	vcpu_until(v, STOP_SYNC);
	EQ(mem[0], 2);
	vm_free(v->vm);
}

TEST(made_inaccessible_by_the_host)
{
	struct vcpu *v = obedient();
	u64 *mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);

	guest_write(v, EXTRA, 1);
	WORKS(mprotect(mem, 0x10000, PROT_NONE));
	give(v, READ64, EXTRA, 0);
	expect_efault(v);
	WORKS(mprotect(mem, 0x10000, PROT_READ | PROT_WRITE));
	vcpu_until(v, STOP_SYNC);
	EQ(G(v->vm, order_value), 1);
	vm_free(v->vm);
}

TEST(unmapped_by_the_host)
{
	struct vcpu *v = obedient();
	u64 *mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);

	guest_fill(v, EXTRA, 16, 5);
	WORKS(munmap(mem, 0x10000));
	give(v, READ64, EXTRA, 0);
	expect_efault(v);
	CHECK(mmap(mem, 0x10000, PROT_READ | PROT_WRITE, MAP_FIXED |
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == mem);
	mem[0] = 0x99;
	vcpu_until(v, STOP_SYNC);
	EQ(G(v->vm, order_value), 0x99);
	vm_free(v->vm);
}

TEST(remapped_by_the_host)
{
	struct vcpu *v = obedient();
	u64 *mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);
	u64 *elsewhere = mem_alloc(0x10000);

	guest_fill(v, EXTRA, 16, 5);
	CHECK(mremap(mem, 0x10000, 0x10000, MREMAP_MAYMOVE | MREMAP_FIXED,
		     elsewhere) == elsewhere);
	CHECK(mmap(mem, 0x10000, PROT_READ | PROT_WRITE, MAP_FIXED |
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == mem);
	EQ(guest_read(v, EXTRA), 0);
	guest_write(v, EXTRA, 0x42);
	EQ(mem[0], 0x42);
	EQ(elsewhere[0], 5);
	vm_free(v->vm);
}

/* Copy on write: parent (and guest) and child each keep their own. */
TEST(fork_copies_on_write)
{
	struct vcpu *v = obedient();
	u64 *mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);
	int go[2], status;
	char c;
	pid_t pid;

	guest_fill(v, EXTRA, 16, 100);
	WORKS(pipe(go));
	pid = fork();
	if (pid == 0) {
		/* Waits until the guest wrote, then sees none of it. */
		_exit(read(go[0], &c, 1) != 1 || mem[0] != 100 ||
		      mem[512] != 101);
	}
	guest_write(v, EXTRA, 7);
	mem[512] = 8;
	EQ(mem[0], 7);
	EQ(guest_read(v, EXTRA), 7);
	EQ(guest_read(v, EXTRA + 4096), 8);
	EQ(guest_read(v, EXTRA + 8192), 102);
	WORKS(write(go[1], "x", 1));
	WORKS(waitpid(pid, &status, 0));
	EQ(status, 0);
	guest_write(v, EXTRA + 8192, 9);
	EQ(mem[1024], 9);
	vm_free(v->vm);
}

/* Pages the guest only read are the zero page until it writes. */
TEST(read_before_write)
{
	struct vcpu *v = obedient();
	u64 *mem = vm_add(v->vm, 1, EXTRA, 0x100000, 0);

	EQ(guest_sum(v, EXTRA, 256), 0);
	guest_fill(v, EXTRA, 256, 1);
	EQ(mem[0], 1);
	EQ(mem[255 * 512], 256);
	EQ(guest_sum(v, EXTRA, 256), 256 * 257 / 2);
	vm_free(v->vm);
}

/* Shared memory: another mapping, holes punched, two VMs on one file. */
static int make_memfd(size_t size, unsigned int flags)
{
	int fd = memfd_create("guest", flags);

	if (fd < 0 || ftruncate(fd, size))
		skip("memfd: %s", strerror(errno));
	return fd;
}

static u64 *map_fd(int fd, size_t size)
{
	u64 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

TEST(shared_file)
{
	int fd = make_memfd(0x10000, 0);
	u64 *a = map_fd(fd, 0x10000), *b = map_fd(fd, 0x10000);
	struct vcpu *v = obedient(), *w = obedient();

	vm_slot(v->vm, 1, EXTRA, 0x10000, a, 0);
	vm_slot(w->vm, 1, EXTRA2, 0x10000, b, 0);
	guest_fill(v, EXTRA, 16, 100);
	EQ(b[0], 100);
	EQ(guest_read(w, EXTRA2 + 0x1000), 101);
	guest_write(w, EXTRA2 + 0x1000, 55);
	EQ(guest_read(v, EXTRA + 0x1000), 55);
	WORKS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			0x1000, 0x2000));
	EQ(guest_read(v, EXTRA + 0x1000), 0);
	EQ(guest_read(w, EXTRA2 + 0x2000), 0);
	EQ(guest_read(v, EXTRA + 0x3000), 103);
	vm_free(v->vm);
	vm_free(w->vm);
	close(fd);
}

/* Beyond the end of a file that shrank there is nothing. */
TEST(file_truncated)
{
	int fd = make_memfd(0x10000, 0);
	u64 *a = map_fd(fd, 0x10000);
	struct vcpu *v = obedient();

	vm_slot(v->vm, 1, EXTRA, 0x10000, a, 0);
	guest_fill(v, EXTRA, 16, 100);
	WORKS(ftruncate(fd, 0x4000));
	EQ(guest_read(v, EXTRA + 0x3000), 103);
	give(v, READ64, EXTRA + 0x8000, 0);
	expect_efault(v);
	WORKS(ftruncate(fd, 0x10000));
	vcpu_until(v, STOP_SYNC);
	EQ(G(v->vm, order_value), 0);
	vm_free(v->vm);
	close(fd);
}

/* Huge pages */

static void huge_checks(u64 *mem, u64 size)
{
	struct vcpu *v = obedient();
	u64 pages = size / 4096, i;

	vm_slot(v->vm, 1, EXTRA, size, mem, 0);
	guest_fill(v, EXTRA, pages, 1000);
	for (i = 0; i < pages; i++)
		EQ(mem[i * 512], 1000 + i);
	EQ(guest_sum(v, EXTRA, pages), pages * 1000 + pages * (pages - 1) / 2);
	vm_slot(v->vm, 1, EXTRA, 0, mem, 0);
	/* Guest and host addresses that disagree within a huge page. */
	vm_slot(v->vm, 1, EXTRA + 0x3000, size, mem, 0);
	guest_fill(v, EXTRA + 0x3000, pages, 2000);
	for (i = 0; i < pages; i++)
		EQ(mem[i * 512], 2000 + i);
	mmio_read(v, EXTRA + 0x2000, 1);
	mmio_read(v, EXTRA + 0x3000 + size, 1);
	vm_free(v->vm);
}

TEST(transparent_huge_pages)
{
	u64 *mem = mem_alloc(4 * HUGE);
	struct vcpu *v;

	madvise(mem, 4 * HUGE, MADV_HUGEPAGE);
	huge_checks(mem, 4 * HUGE);
	/* A small page goes out of the middle of a huge one. */
	v = obedient();
	vm_slot(v->vm, 1, EXTRA, 4 * HUGE, mem, 0);
	guest_fill(v, EXTRA, 2048, 1);
	WORKS(madvise((u8 *)mem + 0x5000, 4096, MADV_DONTNEED));
	EQ(guest_read(v, EXTRA + 0x4000), 5);
	EQ(guest_read(v, EXTRA + 0x5000), 0);
	EQ(guest_read(v, EXTRA + 0x6000), 7);
	WORKS(mprotect((u8 *)mem + HUGE + 0x7000, 4096, PROT_READ));
	guest_write(v, EXTRA + HUGE + 0x6000, 9);
	give(v, WRITE64, EXTRA + HUGE + 0x7000, 9);
	expect_efault(v);
	WORKS(mprotect((u8 *)mem + HUGE + 0x7000, 4096,
		       PROT_READ | PROT_WRITE));
	vcpu_until(v, STOP_SYNC);
	EQ(mem[(HUGE + 0x7000) / 8], 9);
	vm_free(v->vm);
}

static bool reserve_huge_pages(const char *count)
{
	return file_write("/proc/sys/vm/nr_hugepages", count);
}

TEST(hugetlb)
{
	u64 *mem = MAP_FAILED;

	if (reserve_huge_pages("8"))
		mem = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			   MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (mem == MAP_FAILED)
		skip("the host gives no huge pages");
	huge_checks(mem, 4 * HUGE);
	munmap(mem, 4 * HUGE);
	reserve_huge_pages("0");
}

/* Slots that begin and end within huge pages of the host. */
TEST(slot_edges_within_huge_pages)
{
	u64 *mem = mem_alloc(4 * HUGE), *inner = mem + HUGE / 16;
	struct vcpu *v = obedient();
	u64 size = 2 * HUGE + 0x5000, pages = size / 4096;

	madvise(mem, 4 * HUGE, MADV_HUGEPAGE);
	memset(mem, 0xee, 4 * HUGE);
	vm_slot(v->vm, 1, EXTRA + HUGE / 2, size, inner, 0);
	guest_fill(v, EXTRA + HUGE / 2, pages, 1);
	EQ(inner[-1], 0xeeeeeeeeeeeeeeeeull);
	EQ(inner[size / 8], 0xeeeeeeeeeeeeeeeeull);
	EQ(inner[0], 1);
	EQ(inner[(pages - 1) * 512], pages);
	mmio_read(v, EXTRA + HUGE / 2 - 8, 1);
	mmio_read(v, EXTRA + HUGE / 2 + size, 1);
	vm_free(v->vm);
}

/* Pages merged by KSM are split again when the guest writes. */
static bool ksm_write(const char *file, const char *value)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", file);
	return file_write(path, value);
}

static long ksm_sharing(void)
{
	char text[24];

	file_read("/sys/kernel/mm/ksm/pages_sharing", text, sizeof(text));
	return strtol(text, NULL, 10);
}

TEST(ksm)
{
	struct vcpu *v = obedient();
	u64 *mem = vm_add(v->vm, 1, EXTRA, 64 * 4096, 0), i;

	if (madvise(mem, 64 * 4096, MADV_MERGEABLE) ||
	    !ksm_write("sleep_millisecs", "5") ||
	    !ksm_write("pages_to_scan", "1000") || !ksm_write("run", "1"))
		skip("the host has no KSM");
	for (i = 0; i < 64; i++)
		guest_write(v, EXTRA + i * 4096, 0x4b534d);
	for (i = 0; i < 200 && ksm_sharing() < 32; i++)
		usleep(10000);
	ksm_write("run", "0");
	if (ksm_sharing() < 32)
		skip("KSM merged nothing in 2 s");
	EQ(guest_sum(v, EXTRA, 64), 64 * 0x4b534dull);
	for (i = 0; i < 64; i += 2)
		guest_write(v, EXTRA + i * 4096, i);
	for (i = 0; i < 64; i++)
		EQ(mem[i * 512], i % 2 ? 0x4b534d : i);
	EQ(guest_sum(v, EXTRA, 64), 32 * 0x4b534dull + 31 * 32);
	ksm_write("run", "2");
	vm_free(v->vm);
}

/* The host moves pages about (compaction) while the guest counts in them. */
static void g_counters(void)
{
	u64 i, round;

	for (round = 0; !halt_writer; round++) {
		for (i = 0; i < 64; i++)
			write64(EXTRA + i * 4096,
				read64(EXTRA + i * 4096) + 1);
		order_value = round + 1;
	}
}

TEST(compaction)
{
	struct vcpu *v = guest_start(g_counters);
	u64 *mem = vm_add(v->vm, 1, EXTRA, 64 * 4096, 0), i;
	int fd = open("/proc/sys/vm/compact_memory", O_WRONLY);
	pthread_t t;
	void *exits;

	if (fd < 0)
		skip("the host has no compaction");
	EQ(pthread_create(&t, NULL, run_writer, v), 0);
	for (i = 0; i < 5; i++) {
		WORKS(write(fd, "1", 1));
		usleep(20000);
	}
	close(fd);
	G(v->vm, halt_writer) = 1;
	pthread_join(t, &exits);
	EQ((long)exits, 0);
	for (i = 0; i < 64; i++)
		EQ(mem[i * 512], G(v->vm, order_value));
	vm_free(v->vm);
}

/* Another thread pulls the memory away again and again. */
TEST(discarded_under_a_running_guest)
{
	struct vcpu *v = guest_start(g_writer);
	u8 *mem = vm_add(v->vm, 1, EXTRA, 0x10000, 0);
	pthread_t t;
	void *exits;
	u64 i;

	EQ(pthread_create(&t, NULL, run_writer, v), 0);
	for (i = 0; i < 200; i++) {
		WORKS(madvise(mem + (i % 16) * 4096, 4096, MADV_DONTNEED));
		usleep(200);
	}
	G(v->vm, halt_writer) = 1;
	pthread_join(t, &exits);
	EQ((long)exits, 0);
	for (i = 0; i < 16; i++) {
		u64 value = *(u64 *)(mem + i * 4096);

		CHECK(value == 0 || value % 16 == i);
	}
	vm_free(v->vm);
}
