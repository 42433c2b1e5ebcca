// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_DIRTY_LOG: a set bit for every page the guest wrote since the last
 * call, whoever carried out the write, and for no other page but those of the
 * monitor's that the guest came to read.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define LOGGED	G_MMIO
#define MAX_PAGES 4096
#define HUGE	(2u << 20)

static u64 bitmap[MAX_PAGES / 64], want[MAX_PAGES / 64];

static int get_log(struct vcpu *v, u32 slot)
{
	struct kvm_dirty_log log = { .slot = slot };

	log.dirty_bitmap = bitmap;
	return ioctl(v->vm->fd, KVM_GET_DIRTY_LOG, &log);
}

static void set_want(u32 page)
{
	want[page / 64] |= BIT(page % 64);
}

static void check_log(struct vcpu *v, u32 pages)
{
	u32 i;

	memset(bitmap, 0xff, sizeof(bitmap));
	WORKS(get_log(v, 1));
	for (i = 0; i < (pages + 63) / 64; i++) {
		if (bitmap[i] != want[i])
			fail("pages %u...: bits 0x%llx, expected 0x%llx",
			     i * 64, bitmap[i], want[i]);
	}
	EQ(bitmap[i], ~0ull);			/* nothing beyond */
	memset(want, 0, sizeof(want));
}

/* The guest touches the pages of a list, in some way, when told to. */

static volatile u32 list_len, list_how;
static u32 list[MAX_PAGES];

enum how {
	STORE_BYTE, RMW, LOCKED, READ_ONLY, PORT_INPUT, FROM_MMIO, PUSH,
	CROSSING, HOWS,
};

#define TOP_MMIO	(LOGGED + 0x1000000ull)

static void g_touch(u64 at)
{
	u64 count = 1, rsi = TOP_MMIO, rsp;

	if (list_how == STORE_BYTE)
		*(volatile u8 *)(at + 0xfff) = 1;
	else if (list_how == RMW)
		*(volatile u32 *)at += 1;
	else if (list_how == LOCKED)
		asm volatile("lock; incq (%0)" : : "r"(at) : "memory");
	else if (list_how == READ_ONLY)
		*(volatile u8 *)at;
	else if (list_how == PORT_INPUT)
		asm volatile("rep; insb" : "+D"(at), "+c"(count)
			     : "d"(0x77) : "memory");
	else if (list_how == FROM_MMIO)
		asm volatile("rep; movsl" : "+D"(at), "+c"(count), "+S"(rsi)
			     : : "memory");
	else if (list_how == PUSH)
		asm volatile("movq %%rsp, %0; movq %1, %%rsp; pushq $1\n"
			     "movq %0, %%rsp"
			     : "=&r"(rsp) : "r"(at + 64) : "memory");
	else
		*(volatile u64 *)(at + 4096 - 4) = 1;
}

static void g_lister(void)
{
	u32 i;

	for (;;) {
		guest_sync(0);
		for (i = 0; i < list_len; i++)
			g_touch(LOGGED + list[i] * 4096ull);
	}
}

static void serve_until_sync(struct vcpu *v)
{
	int stop;

	do {
		stop = vcpu_go(v);
	} while (stop == KVM_EXIT_IO || stop == KVM_EXIT_MMIO);
	EQ(stop, STOP_SYNC);
}

static struct vcpu *lister(u32 pages, u32 flags, void *mem)
{
	struct vcpu *v = guest_start(g_lister);

	vm_slot(v->vm, 1, LOGGED, pages * 4096, mem ? mem :
		mem_alloc(pages * 4096), flags);
	vcpu_until(v, STOP_SYNC);
	return v;
}

/* Some random pages, touched in one way. */
static void touch_random(struct vcpu *v, u32 pages, u32 n, u32 how)
{
	u32 i, page;

	for (i = 0; i < n; i++) {
		page = rnd() % (how == CROSSING ? pages - 1 : pages);
		G(v->vm, list)[i] = page;
		if (how == READ_ONLY)
			continue;
		set_want(page);
		if (how == CROSSING)
			set_want(page + 1);
	}
	G(v->vm, list_len) = n;
	G(v->vm, list_how) = how;
	serve_until_sync(v);
}

TEST(exact_for_every_kind_of_write)
{
	u32 how, round;
	struct vcpu *v = lister(1000, KVM_MEM_LOG_DIRTY_PAGES, NULL);

	check_log(v, 1000);
	for (how = 0; how < HOWS; how++) {
		for (round = 0; round < 3; round++) {
			touch_random(v, 1000, 50, how);
			check_log(v, 1000);
			check_log(v, 1000);	/* clear after the read */
		}
	}
	vm_free(v->vm);
}

TEST(bits_gather_between_reads)
{
	struct vcpu *v = lister(1000, KVM_MEM_LOG_DIRTY_PAGES, NULL);
	u32 i;

	for (i = 0; i < 10; i++)
		touch_random(v, 1000, 20, i % HOWS);
	check_log(v, 1000);
	vm_free(v->vm);
}

/* Sizes that do not fill the last word of the bitmap. */
TEST(odd_sizes)
{
	static const u32 sizes[] = { 1, 2, 63, 64, 65, 127, 513 };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vcpu *v = lister(sizes[i], KVM_MEM_LOG_DIRTY_PAGES,
					NULL);

		G(v->vm, list)[0] = 0;
		G(v->vm, list)[1] = sizes[i] - 1;
		set_want(0);
		set_want(sizes[i] - 1);
		G(v->vm, list_len) = 2;
		serve_until_sync(v);
		check_log(v, sizes[i]);
		vm_free(v->vm);
	}
}

/* Huge pages behind the slot: still one bit for one small page. */
TEST(huge_pages)
{
	u8 *mem = mem_alloc(4 * HUGE);
	struct vcpu *v;
	u32 i;

	madvise(mem, 4 * HUGE, MADV_HUGEPAGE);
	memset(mem, 1, 4 * HUGE);
	v = lister(2048, 0, mem);
	for (i = 0; i < 3; i++) {
		/* Mapped large while the log is off ... */
		touch_random(v, 2048, 100, STORE_BYTE);
		memset(want, 0, sizeof(want));
		vm_slot(v->vm, 1, LOGGED, 4 * HUGE, mem,
			KVM_MEM_LOG_DIRTY_PAGES);
		check_log(v, 2048);
		/* ... and in small pages while it is on. */
		touch_random(v, 2048, 100, STORE_BYTE);
		check_log(v, 2048);
		touch_random(v, 2048, 100, RMW);
		check_log(v, 2048);
		vm_slot(v->vm, 1, LOGGED, 4 * HUGE, mem, 0);
	}
	vm_free(v->vm);
}

/* The log can be turned on and off while the guest's pages are mapped. */
TEST(on_and_off)
{
	void *mem = mem_alloc(500 * 4096);
	struct vcpu *v = lister(500, 0, mem);
	u32 i;

	FAILS(get_log(v, 1), ENOENT);
	for (i = 0; i < 5; i++) {
		touch_random(v, 500, 50, STORE_BYTE);
		memset(want, 0, sizeof(want));
		vm_slot(v->vm, 1, LOGGED, 500 * 4096, mem,
			KVM_MEM_LOG_DIRTY_PAGES);
		check_log(v, 500);
		touch_random(v, 500, 50, STORE_BYTE);
		check_log(v, 500);
		vm_slot(v->vm, 1, LOGGED, 500 * 4096, mem, 0);
		FAILS(get_log(v, 1), ENOENT);
	}
	vm_free(v->vm);
}

/* Discarding user memory is not a write by the guest. */
TEST(discard_is_not_a_write)
{
	u8 *mem = mem_alloc(500 * 4096);
	struct vcpu *v = lister(500, KVM_MEM_LOG_DIRTY_PAGES, mem);

	touch_random(v, 500, 50, STORE_BYTE);
	check_log(v, 500);
	WORKS(madvise(mem, 500 * 4096, MADV_DONTNEED));
	touch_random(v, 500, 200, READ_ONLY);
	check_log(v, 500);
	touch_random(v, 500, 50, STORE_BYTE);
	check_log(v, 500);
	vm_free(v->vm);
}

/*
 * What the monitor has put there, the guest's program among it, is in the log
 * once the guest has read it, and no more than once.
 */
TEST(read_of_what_the_monitor_wrote)
{
	u8 *mem = mem_alloc(100 * 4096);
	struct vcpu *v;

	memset(mem, 1, 100 * 4096);
	v = lister(100, KVM_MEM_LOG_DIRTY_PAGES, mem);
	/* The large page by which the guest goes there is dirty from then on. */
	touch_random(v, 1, 1, STORE_BYTE);
	check_log(v, 100);
	G(v->vm, list)[0] = 50;	/* not one mapped ahead */
	G(v->vm, list_len) = 1;
	G(v->vm, list_how) = READ_ONLY;
	serve_until_sync(v);
	set_want(50);
	check_log(v, 100);
	serve_until_sync(v);
	check_log(v, 100);
	touch_random(v, 100, 20, STORE_BYTE);
	check_log(v, 100);
	vm_free(v->vm);
}

/* A moved slot takes its log along, or starts a new one: no bit is lost. */
TEST(moved_slot)
{
	u8 *mem = mem_alloc(500 * 4096);
	struct vcpu *v = lister(500, KVM_MEM_LOG_DIRTY_PAGES, mem);

	touch_random(v, 500, 50, STORE_BYTE);
	check_log(v, 500);
	vm_slot(v->vm, 1, LOGGED + 0x2000000, 500 * 4096, mem,
		KVM_MEM_LOG_DIRTY_PAGES);
	vm_slot(v->vm, 1, LOGGED, 500 * 4096, mem, KVM_MEM_LOG_DIRTY_PAGES);
	WORKS(get_log(v, 1));
	touch_random(v, 500, 50, STORE_BYTE);
	check_log(v, 500);
	vm_free(v->vm);
}

/* Moving and turning the log on or off in one call. */
TEST(moved_slot_begins_to_log)
{
	u8 *mem = mem_alloc(500 * 4096);
	struct vcpu *v = lister(500, 0, mem);
	u32 i;

	for (i = 0; i < 3; i++) {
		touch_random(v, 500, 50, STORE_BYTE);
		memset(want, 0, sizeof(want));
		vm_slot(v->vm, 1, LOGGED + 0x2000000, 500 * 4096, mem, 0);
		vm_slot(v->vm, 1, LOGGED, 500 * 4096, mem,
			KVM_MEM_LOG_DIRTY_PAGES);
		touch_random(v, 500, 50, STORE_BYTE);
		check_log(v, 500);
		touch_random(v, 500, 50, STORE_BYTE);
		check_log(v, 500);
	}
	vm_free(v->vm);
}

TEST(bad_requests)
{
	struct vcpu *v = lister(100, KVM_MEM_LOG_DIRTY_PAGES, NULL);
	struct kvm_dirty_log log = { .slot = 1 };

	FAILS(get_log(v, 0), ENOENT);		/* no log there */
	FAILS(get_log(v, 7), ENOENT);		/* no slot */
	FAILS(get_log(v, 0xffff), EINVAL);	/* no such number */
	FAILS(get_log(v, 0x50001), EINVAL);	/* no such address space */
	touch_random(v, 100, 20, STORE_BYTE);
	log.dirty_bitmap = (void *)8;
	FAILS(ioctl(v->vm->fd, KVM_GET_DIRTY_LOG, &log), EFAULT);
	vm_free(v->vm);
}

/*
 * Migration in small: the host copies what the log says while the guest goes
 * on writing; once the guest stands still and the last log is served, the
 * copy equals the memory.
 */
#define RACE_PAGES 1024

static volatile u32 halt_race;

static void g_race(void)
{
	u64 i, x = 12345;

	for (i = 1; !halt_race; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		write64(LOGGED + (x >> 33) % RACE_PAGES * 4096 +
			(x >> 50) % 500 * 8, i);
	}
}

static void *run_race(void *arg)
{
	return (void *)(long)vcpu_go(arg);
}

static u32 copy_dirty(struct vcpu *v, const u8 *mem, u8 *copy)
{
	u32 i, n = 0;

	WORKS(get_log(v, 1));
	for (i = 0; i < RACE_PAGES; i++) {
		if (!(bitmap[i / 64] & BIT(i % 64)))
			continue;
		memcpy(copy + i * 4096, mem + i * 4096, 4096);
		n++;
	}
	return n;
}

TEST(copy_while_running)
{
	u8 *mem = mem_alloc(RACE_PAGES * 4096);
	u8 *copy = mem_alloc(RACE_PAGES * 4096);
	struct vcpu *v = guest_start(g_race);
	u32 i, total = 0;
	pthread_t t;
	void *stop;

	vm_slot(v->vm, 1, LOGGED, RACE_PAGES * 4096, mem,
		KVM_MEM_LOG_DIRTY_PAGES);
	EQ(pthread_create(&t, NULL, run_race, v), 0);
	for (i = 0; i < 30; i++) {
		usleep(3000);
		total += copy_dirty(v, mem, copy);
	}
	G(v->vm, halt_race) = 1;
	pthread_join(t, &stop);
	EQ((long)stop, STOP_DONE);
	total += copy_dirty(v, mem, copy);
	CHECK(total > 0);
	EQ(memcmp(mem, copy, RACE_PAGES * 4096), 0);
	EQ(copy_dirty(v, mem, copy), 0);
	vm_free(v->vm);
}

/* Two vCPUs write, each its own half; both are in the one log. */
static volatile u32 halves;

static void g_half(void)
{
	u32 i, first = halves++ * 250;

	for (i = 0; i < 250; i += 5)
		write64(LOGGED + (first + i) * 4096ull, i);
}

TEST(two_vcpus)
{
	struct vcpu *a = guest_start(g_half), *b = vcpu_new(a->vm, 1);
	u32 i;

	vcpu_long(b, g_half);
	vm_add(a->vm, 1, LOGGED, 500 * 4096, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_done(a);
	vcpu_done(b);
	for (i = 0; i < 500; i += 5)
		set_want(i);
	check_log(a, 500);
	vm_free(a->vm);
}
