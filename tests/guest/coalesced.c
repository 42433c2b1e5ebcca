// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coalesced MMIO and PIO: writes to registered zones go to the ring in the
 * mapping of kvm_run without an exit, in order, until the ring is full.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define ZONE		(G_MMIO + 0x1000u)
#define ZONE_SIZE	0x1000u
#define ZONE_PORT	0x400u

static struct kvm_coalesced_mmio_ring *ring_of(struct vcpu *v)
{
	int page = ioctl(kvm_fd(), KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	if (page <= 0)
		skip("waits for KVM_CAP_COALESCED_MMIO");
	CHECK((page + 1) * 4096u <= v->run_size);
	return (void *)((u8 *)v->run + page * 4096);
}

#define RING_MAX \
	((4096 - sizeof(struct kvm_coalesced_mmio_ring)) / \
	 sizeof(struct kvm_coalesced_mmio))

static int zone(struct vcpu *v, unsigned long what, u64 address, u32 size,
		u32 pio)
{
	struct kvm_coalesced_mmio_zone z = {
		.addr = address, .size = size, .pio = pio,
	};

	return ioctl(v->vm->fd, what, &z);
}

static int add_zone(struct vcpu *v, u64 address, u32 size, u32 pio)
{
	return zone(v, KVM_REGISTER_COALESCED_MMIO, address, size, pio);
}

static void expect_entry(struct kvm_coalesced_mmio_ring *ring, u64 address,
			 u32 len, u64 value)
{
	struct kvm_coalesced_mmio *e = &ring->coalesced_mmio[ring->first];
	u64 got = 0;

	CHECK(ring->first != ring->last);
	EQ(e->phys_addr, address);
	EQ(e->len, len);
	memcpy(&got, e->data, len);
	EQ(got, value);
	ring->first = (ring->first + 1) % RING_MAX;
}

static void g_writes(void)
{
	*(volatile u8 *)(u64)ZONE = 0x11;
	*(volatile u16 *)(u64)(ZONE + 2) = 0x2222;
	*(volatile u32 *)(u64)(ZONE + 0x10) = 0x33333333;
	write64(ZONE + 0xff8, 0x4444444444444444ull);
	write64(ZONE + ZONE_SIZE, 5);		/* beyond: exits */
}

TEST(writes_in_order)
{
	struct vcpu *v = guest_start(g_writes);
	struct kvm_coalesced_mmio_ring *ring = ring_of(v);

	WORKS(add_zone(v, ZONE, ZONE_SIZE, 0));
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, ZONE + ZONE_SIZE);
	expect_entry(ring, ZONE, 1, 0x11);
	expect_entry(ring, ZONE + 2, 2, 0x2222);
	expect_entry(ring, ZONE + 0x10, 4, 0x33333333);
	expect_entry(ring, ZONE + 0xff8, 8, 0x4444444444444444ull);
	EQ(ring->first, ring->last);
	vcpu_done(v);
	vm_free(v->vm);
}

/* Reads exit, and so do writes that are not wholly in the zone. */
static void g_not_coalesced(void)
{
	read64(ZONE + 0x100);
	write64(ZONE + 0x0fc, 1);
	write64(ZONE + 0x1fc, 2);
	write64(ZONE + 0x0f8, 3);
	write64(ZONE + 0x200, 4);
}

TEST(what_is_not_coalesced)
{
	static const u64 at[] = { 0x100, 0x0fc, 0x1fc, 0x0f8, 0x200 };
	struct vcpu *v = guest_start(g_not_coalesced);
	struct kvm_coalesced_mmio_ring *ring = ring_of(v);
	u32 i;

	WORKS(add_zone(v, ZONE + 0x100, 0x100, 0));
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		vcpu_until(v, KVM_EXIT_MMIO);
		EQ(v->run->mmio.phys_addr, ZONE + at[i]);
		EQ(v->run->mmio.len, 8);
		EQ(ring->first, ring->last);
	}
	vcpu_done(v);
	vm_free(v->vm);
}

/* A full ring makes the next write an exit; emptied, it goes on. */
static volatile u32 flood;

static void g_flood(void)
{
	u32 i;

	for (i = 0; i < flood; i++)
		*(volatile u32 *)(u64)(ZONE + 8) = i;
}

TEST(full_ring)
{
	struct kvm_coalesced_mmio_ring *ring;
	struct vcpu *v;
	u32 next = 0;
	int stop;

	flood = 1000;
	v = guest_start(g_flood);
	ring = ring_of(v);
	WORKS(add_zone(v, ZONE, ZONE_SIZE, 0));
	do {
		stop = vcpu_go(v);
		/* First what was coalesced, then the write that exited. */
		while (ring->first != ring->last)
			expect_entry(ring, ZONE + 8, 4, next++);
		if (stop == KVM_EXIT_MMIO)
			EQ(*(u32 *)v->run->mmio.data, next++);
	} while (stop == KVM_EXIT_MMIO);
	EQ(stop, STOP_DONE);
	EQ(next, 1000);
	vm_free(v->vm);
}

TEST(unregistered_zone_exits)
{
	struct kvm_coalesced_mmio_ring *ring;
	struct vcpu *v;

	flood = 2;
	v = guest_start(g_flood);
	ring = ring_of(v);
	WORKS(add_zone(v, ZONE, ZONE_SIZE, 0));
	WORKS(zone(v, KVM_UNREGISTER_COALESCED_MMIO, ZONE, ZONE_SIZE, 0));
	vcpu_until(v, KVM_EXIT_MMIO);
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(ring->first, ring->last);
	vcpu_done(v);
	vm_free(v->vm);
}

/* Several zones, and the emulator's string instructions. */
static void g_strings(void)
{
	u64 rdi = ZONE, rcx = 16, rax = 0xabcd;

	asm volatile("rep; stosw" : "+D"(rdi), "+c"(rcx) : "a"(rax) : "memory");
	*(volatile u8 *)(u64)(ZONE + 0x5000) = 9;
}

TEST(string_stores_and_two_zones)
{
	struct vcpu *v = guest_start(g_strings);
	struct kvm_coalesced_mmio_ring *ring = ring_of(v);
	u32 i;

	WORKS(add_zone(v, ZONE, 0x100, 0));
	WORKS(add_zone(v, ZONE + 0x5000, 1, 0));
	vcpu_done(v);
	for (i = 0; i < 16; i++)
		expect_entry(ring, ZONE + 2 * i, 2, 0xabcd);
	expect_entry(ring, ZONE + 0x5000, 1, 9);
	vm_free(v->vm);
}

/* The ring is shared by the VM's vCPUs. */
TEST(one_ring_per_vm)
{
	struct kvm_coalesced_mmio_ring *ring;
	struct vcpu *a, *b;

	flood = 3;
	a = guest_start(g_flood);
	b = vcpu_new(a->vm, 1);
	vcpu_long(b, g_flood);
	ring = ring_of(a);
	WORKS(add_zone(a, ZONE, ZONE_SIZE, 0));
	vcpu_done(b);
	expect_entry(ring, ZONE + 8, 4, 0);
	expect_entry(ring_of(b), ZONE + 8, 4, 1);
	expect_entry(ring, ZONE + 8, 4, 2);
	EQ(ring->first, ring->last);
	vm_free(a->vm);
}

/* Indices that user space spoils must not harm the kernel. */
TEST(spoiled_indices)
{
	static const u32 values[] = { RING_MAX, RING_MAX + 1, 0x7fffffff,
				      0xffffffff };
	struct kvm_coalesced_mmio_ring *ring;
	struct vcpu *v;
	u32 i;

	flood = 5;
	v = guest_start(g_flood);
	ring = ring_of(v);
	WORKS(add_zone(v, ZONE, ZONE_SIZE, 0));
	for (i = 0; i < ARRAY_SIZE(values); i++) {
		int stop;

		ring->first = i % 2 ? 0 : values[i];
		ring->last = values[i];
		vcpu_long(v, g_flood);
		do {
			stop = vcpu_go(v);
		} while (stop == KVM_EXIT_MMIO);
		EQ(stop, STOP_DONE);
	}
	vm_free(v->vm);
}

TEST(bad_zones)
{
	struct vcpu *v = guest_start(guest_done);
	u32 i;

	ring_of(v);
	FAILS(add_zone(v, ZONE, ZONE_SIZE, 2), EINVAL);
	for (i = 0; i < 20; i++)
		WORKS(add_zone(v, ZONE + i * 0x10000, 8, 0));
	for (i = 0; i < 20; i++)
		WORKS(zone(v, KVM_UNREGISTER_COALESCED_MMIO,
			   ZONE + i * 0x10000, 8, 0));
	/* What is not registered: in-tree says nothing about it. */
	zone(v, KVM_UNREGISTER_COALESCED_MMIO, ZONE, 8, 0);
	FAILS(ioctl(v->vm->fd, KVM_REGISTER_COALESCED_MMIO, (void *)8), EFAULT);
	vcpu_done(v);
	vm_free(v->vm);
}

/* Ports */
static void g_ports(void)
{
	outb(ZONE_PORT, 1);
	outw(ZONE_PORT + 2, 0x202);
	outl(ZONE_PORT + 4, 0x30303030);
	outb(ZONE_PORT + 8, 4);			/* beyond: exits */
	inb(ZONE_PORT);
}

TEST(pio)
{
	struct kvm_coalesced_mmio_ring *ring;
	struct vcpu *v;

	need_cap(KVM_CAP_COALESCED_PIO);
	v = guest_start(g_ports);
	ring = ring_of(v);
	WORKS(add_zone(v, ZONE_PORT, 8, 1));
	vcpu_until(v, KVM_EXIT_IO);
	EQ(v->run->io.port, ZONE_PORT + 8);
	EQ(ring->coalesced_mmio[ring->first].pio, 1);
	expect_entry(ring, ZONE_PORT, 1, 1);
	expect_entry(ring, ZONE_PORT + 2, 2, 0x202);
	expect_entry(ring, ZONE_PORT + 4, 4, 0x30303030);
	EQ(ring->first, ring->last);
	vcpu_until(v, KVM_EXIT_IO);
	EQ(v->run->io.direction, KVM_EXIT_IO_IN);
	vcpu_done(v);
	vm_free(v->vm);
}
