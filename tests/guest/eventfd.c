// SPDX-License-Identifier: GPL-2.0-only
/*
 * Event file descriptors: irqfd, from a write to the guest's handler, with and
 * without resampling; ioeventfd, from a guest's write to a port or to memory
 * to a readable descriptor, or to user space where nothing matches.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "irqchip.h"

#define IOAPIC		0xfec00000ull
#define GSI		20
#define VEC		0x71
#define MSI_GSI		30
#define MSI_VEC		0x72
#define RTE_LEVEL	BIT(15)
#define RTE_REMOTE_IRR	BIT(14)

static int event(void)
{
	return WORKS(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

static void signal_event(int fd)
{
	u64 one = 1;

	EQ(write(fd, &one, sizeof(one)), sizeof(one));
}

/* How often it was signalled since the last time; 0 if not. */
static u64 count(int fd)
{
	u64 value;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static int irqfd(struct vm *vm, int fd, u32 gsi, u32 flags, int resample)
{
	struct kvm_irqfd irqfd = {
		.fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample,
	};

	return ioctl(vm->fd, KVM_IRQFD, &irqfd);
}

static struct vcpu *one(void)
{
	struct vcpu *v = remote_vm(false, 1)->vcpus[0];
	struct routes r = { 0 };

	need_cap(KVM_CAP_IRQFD);
	route_default(&r);
	route_msi(&r, MSI_GSI, APIC_DEFAULT_BASE, MSI_VEC);
	WORKS(routes_set(v->vm, &r));
	return v;
}

static void set_pin(struct vcpu *v, u32 low)
{
	remote_write(v, IOAPIC, 0x10 + GSI * 2);
	remote_write(v, IOAPIC + 0x10, low);
}

static u32 get_pin(struct vcpu *v)
{
	remote_write(v, IOAPIC, 0x10 + GSI * 2);
	return remote_read(v, IOAPIC + 0x10);
}

/* Some of it may be left to a worker of the kernel. */
static u32 soon(struct vcpu *v)
{
	u32 i, taken = 0;

	for (i = 0; i < 50 && !taken; i++) {
		taken = remote_window(v);
		if (!taken)
			usleep(1000);
	}
	return taken;
}

static u64 count_soon(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	poll(&p, 1, 200);
	return count(fd);
}

TEST(irqfd_msi)
{
	struct vcpu *v = one();
	int fd = event(), i;

	WORKS(irqfd(v->vm, fd, MSI_GSI, 0, 0));
	for (i = 0; i < 10; i++) {
		signal_event(fd);
		EQ(soon(v), 1);
		EQ(PERCPU(v).log[i], MSI_VEC);
		EQ(count(fd), 0);		/* it was taken */
	}
	WORKS(irqfd(v->vm, fd, MSI_GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
	signal_event(fd);
	EQ(count(fd), 1);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

TEST(irqfd_edge_pin)
{
	struct vcpu *v = one();
	int fd = event(), i;

	set_pin(v, VEC);
	WORKS(irqfd(v->vm, fd, GSI, 0, 0));
	for (i = 0; i < 10; i++) {
		signal_event(fd);
		EQ(soon(v), 1);
	}
	EQ(PERCPU(v).count[VEC], 10);
	vm_free(v->vm);
}

/* Signalled before it was assigned. */
TEST(irqfd_signalled_before)
{
	struct vcpu *v = one();
	int fd = event();

	signal_event(fd);
	WORKS(irqfd(v->vm, fd, MSI_GSI, 0, 0));
	EQ(soon(v), 1);
	vm_free(v->vm);
}

TEST(irqfd_follows_routes)
{
	struct vcpu *v = one();
	struct routes r = { 0 };
	int fd = event();

	WORKS(irqfd(v->vm, fd, MSI_GSI, 0, 0));
	route_msi(&r, MSI_GSI, APIC_DEFAULT_BASE, MSI_VEC + 1);
	WORKS(routes_set(v->vm, &r));
	signal_event(fd);
	EQ(soon(v), 1);
	EQ(PERCPU(v).log[0], MSI_VEC + 1);
	r.head.nr = 0;
	WORKS(routes_set(v->vm, &r));
	signal_event(fd);
	usleep(20000);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

TEST(irqfd_bad)
{
	struct vcpu *v = one();
	struct vm *none = vm_new();
	int fd = event(), other = event(), pipes[2], bit;

	WORKS(pipe(pipes));
	FAILS(irqfd(v->vm, -1, MSI_GSI, 0, 0), EBADF);
	FAILS(irqfd(v->vm, pipes[0], MSI_GSI, 0, 0), EINVAL);
	for (bit = 2; bit < 32; bit++)
		FAILS(irqfd(v->vm, fd, MSI_GSI, 1u << bit, 0), EINVAL);
	FAILS(irqfd(v->vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, -1), EBADF);
	FAILS(irqfd(v->vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, pipes[0]),
	      EINVAL);
	WORKS(irqfd(v->vm, fd, MSI_GSI, 0, 0));
	FAILS(irqfd(v->vm, fd, MSI_GSI, 0, 0), EBUSY);
	FAILS(irqfd(v->vm, fd, GSI, 0, 0), EBUSY);
	/* What is not assigned can be taken away all the same. */
	WORKS(irqfd(v->vm, other, MSI_GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
	WORKS(irqfd(v->vm, fd, MSI_GSI + 1, KVM_IRQFD_FLAG_DEASSIGN, 0));
	signal_event(fd);
	EQ(soon(v), 1);
	FAILS(irqfd(none, other, MSI_GSI, 0, 0), EINVAL);
	vm_free(none);
	vm_free(v->vm);
}

/* Two descriptors on one GSI, one descriptor closed by its owner. */
TEST(irqfd_shared_and_closed)
{
	struct vcpu *v = one();
	int a = event(), b = event();

	WORKS(irqfd(v->vm, a, MSI_GSI, 0, 0));
	WORKS(irqfd(v->vm, b, MSI_GSI, 0, 0));
	signal_event(a);
	EQ(soon(v), 1);
	close(a);
	signal_event(b);
	EQ(soon(v), 1);
	usleep(20000);
	a = event();
	WORKS(irqfd(v->vm, a, MSI_GSI, 0, 0));
	signal_event(a);
	EQ(soon(v), 1);
	vm_free(v->vm);
}

/* Outlives the VM: the descriptor's own users see nothing of its end. */
TEST(irqfd_after_the_vm)
{
	struct vcpu *v = one();
	int fd = event();

	WORKS(irqfd(v->vm, fd, MSI_GSI, 0, 0));
	vm_free(v->vm);
	signal_event(fd);
	usleep(5000);
	EQ(count(fd), 1);
}

/* Level, taken back at EOI; the device is told, and may raise it again. */
TEST(resample)
{
	struct vcpu *v = one();
	int fd = event(), again = event(), i;

	need_cap(KVM_CAP_IRQFD_RESAMPLE);
	PERCPU(v).no_eoi = true;
	set_pin(v, RTE_LEVEL | VEC);
	WORKS(irqfd(v->vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, again));
	for (i = 0; i < 5; i++) {
		signal_event(fd);
		EQ(soon(v), 1);
		EQ(get_pin(v) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
		EQ(count(again), 0);
		remote_apic_write(v, APIC_EOI, 0);
		EQ(count_soon(again), 1);
		EQ(get_pin(v) & RTE_REMOTE_IRR, 0);
		EQ(remote_window(v), 0);
	}
	WORKS(irqfd(v->vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN |
		    KVM_IRQFD_FLAG_RESAMPLE, again));
	signal_event(fd);
	usleep(10000);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/* Two devices on one pin: both are asked at EOI. */
TEST(resample_shared)
{
	struct vcpu *v = one();
	int fd[2], again[2], i;

	need_cap(KVM_CAP_IRQFD_RESAMPLE);
	PERCPU(v).no_eoi = true;
	set_pin(v, RTE_LEVEL | VEC);
	for (i = 0; i < 2; i++) {
		fd[i] = event();
		again[i] = event();
		WORKS(irqfd(v->vm, fd[i], GSI, KVM_IRQFD_FLAG_RESAMPLE,
			    again[i]));
	}
	signal_event(fd[0]);
	EQ(soon(v), 1);
	signal_event(fd[1]);
	usleep(5000);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(count_soon(again[0]), 1);
	EQ(count_soon(again[1]), 1);
	/* The second says again that it is not through. */
	signal_event(fd[1]);
	EQ(soon(v), 1);
	remote_apic_write(v, APIC_EOI, 0);
	count_soon(again[1]);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/* The line of KVM_IRQ_LINE and the irqfd's are different sources. */
TEST(resample_beside_a_line)
{
	struct vcpu *v = one();
	int fd = event(), again = event();

	need_cap(KVM_CAP_IRQFD_RESAMPLE);
	PERCPU(v).no_eoi = true;
	set_pin(v, RTE_LEVEL | VEC);
	WORKS(irqfd(v->vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, again));
	irq_line(v->vm, GSI, 1);
	signal_event(fd);
	EQ(soon(v), 1);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(count_soon(again), 1);
	EQ(remote_window(v), 1);		/* the line is still up */
	irq_line(v->vm, GSI, 0);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/* The 8259 resamples, too. */
TEST(resample_8259)
{
	struct vcpu *v = one();
	int fd = event(), again = event();

	need_cap(KVM_CAP_IRQFD_RESAMPLE);
	PERCPU(v).no_eoi = true;
	remote_out(v, 0x4d0, 1 << 5);		/* ELCR: IRQ 5 is level */
	remote_out(v, 0x20, 0x11);		/* ICW1 to ICW4 */
	remote_out(v, 0x21, 0x30);
	remote_out(v, 0x21, 4);
	remote_out(v, 0x21, 1);
	remote_out(v, 0x21, 0xdf);		/* only IRQ 5 */
	WORKS(irqfd(v->vm, fd, 5, KVM_IRQFD_FLAG_RESAMPLE, again));
	signal_event(fd);
	EQ(soon(v), 1);
	EQ(PERCPU(v).log[0], 0x35);
	remote_out(v, 0x20, 0x20);		/* EOI */
	EQ(count_soon(again), 1);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/* ioeventfd */

#define PORT	0x5f0
#define MMIO	((u64)G_MMIO + 0x100)

static int ioevent(struct vm *vm, int fd, u64 address, u32 len, u32 flags,
		   u64 match)
{
	struct kvm_ioeventfd e = {
		.fd = fd, .addr = address, .len = len, .flags = flags,
		.datamatch = match,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &e);
}

/* In the guest: one write of a size, and that is all. */
static u64 g_store(u64 address, u64 size_and_value)
{
	u64 value = size_and_value >> 8;

	switch (size_and_value & 0xff) {
	case 1:
		*(volatile u8 *)address = value;
		break;
	case 2:
		*(volatile u16 *)address = value;
		break;
	case 4:
		*(volatile u32 *)address = value;
		break;
	default:
		*(volatile u64 *)address = value;
	}
	return 0;
}

static u64 g_out(u64 port, u64 size_and_value)
{
	u64 value = size_and_value >> 8;

	switch (size_and_value & 0xff) {
	case 1:
		outb(port, value);
		break;
	case 2:
		outw(port, value);
		break;
	default:
		outl(port, value);
	}
	return 0;
}

/* Does a write of this size and value leave for user space? */
static bool leaves(struct vcpu *v, bool pio, u64 address, u32 size, u64 value)
{
	int stop, left = 0;

	remote_order(v, pio ? g_out : g_store, address, value << 8 | size);
	while ((stop = vcpu_go(v)) != STOP_SYNC) {
		EQ(stop, pio ? KVM_EXIT_IO : KVM_EXIT_MMIO);
		EQ(left++, 0);
		if (pio) {
			EQ(v->run->io.port, address);
			EQ(v->run->io.size, size);
		} else {
			EQ(v->run->mmio.phys_addr, address);
			EQ(v->run->mmio.len, size);
		}
	}
	return left;
}

static struct vcpu *io_vcpu(void)
{
	need_cap(KVM_CAP_IOEVENTFD);
	return remote_vm(false, 1)->vcpus[0];
}

static void any_value(bool pio)
{
	struct vcpu *v = io_vcpu();
	u64 address = pio ? PORT : MMIO;
	u32 flags = pio ? KVM_IOEVENTFD_FLAG_PIO : 0, len, size;
	int fd = event();

	for (len = 1; len <= (pio ? 4 : 8); len *= 2) {
		WORKS(ioevent(v->vm, fd, address, len, flags, 0));
		for (size = 1; size <= (pio ? 4 : 8); size *= 2) {
			bool left = leaves(v, pio, address, size, 0x1234);

			row(left == (size != len), "%u bytes for %u", size,
			    len);
			row(count(fd) == (size == len), "%u for %u, event",
			    size, len);
		}
		row(leaves(v, pio, address + len, len, 1), "beside, %u", len);
		WORKS(ioevent(v->vm, fd, address, len, flags |
			      KVM_IOEVENTFD_FLAG_DEASSIGN, 0));
		row(leaves(v, pio, address, len, 1), "taken away, %u", len);
		EQ(count(fd), 0);
	}
	vm_free(v->vm);
}

TEST(ioeventfd_pio)
{
	any_value(true);
}

TEST(ioeventfd_mmio)
{
	any_value(false);
}

/* Length 0: any size. */
static void any_length(bool pio)
{
	struct vcpu *v = io_vcpu();
	u64 address = pio ? PORT : MMIO;
	u32 flags = pio ? KVM_IOEVENTFD_FLAG_PIO : 0, size;
	int fd = event();

	need_cap(KVM_CAP_IOEVENTFD_ANY_LENGTH);
	WORKS(ioevent(v->vm, fd, address, 0, flags, 0));
	for (size = 1; size <= (pio ? 4 : 8); size *= 2) {
		row(!leaves(v, pio, address, size, 0x12), "%u bytes", size);
		row(count(fd) == 1, "%u bytes, event", size);
	}
	row(leaves(v, pio, address + 1, 1, 1), "beside");
	WORKS(ioevent(v->vm, fd, address, 0,
		      flags | KVM_IOEVENTFD_FLAG_DEASSIGN, 0));
	row(leaves(v, pio, address, 2, 1), "taken away");
	vm_free(v->vm);
}

TEST(ioeventfd_any_length_pio)
{
	any_length(true);
}

TEST(ioeventfd_any_length_mmio)
{
	any_length(false);
}

static void datamatch(bool pio, u32 len)
{
	u32 flags = (pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
		    KVM_IOEVENTFD_FLAG_DATAMATCH;
	u64 address = pio ? PORT : MMIO, i;
	struct vcpu *v = io_vcpu();
	int fds[4];

	for (i = 0; i < 4; i++) {
		fds[i] = event();
		WORKS(ioevent(v->vm, fds[i], address, len, flags, i * 3));
	}
	for (i = 0; i < 12; i++) {
		bool want = i % 3 == 0;

		row(leaves(v, pio, address, len, i) == !want, "%u bytes: %llu",
		    len, i);
		row(!want || count(fds[i / 3]) == 1, "%u bytes: %llu, event",
		    len, i);
	}
	WORKS(ioevent(v->vm, fds[1], address, len,
		      flags | KVM_IOEVENTFD_FLAG_DEASSIGN, 3));
	row(leaves(v, pio, address, len, 3), "taken away");
	row(!leaves(v, pio, address, len, 6), "the others stay");
	vm_free(v->vm);
}

TEST(ioeventfd_datamatch)
{
	u32 len;

	for (len = 1; len <= 8; len *= 2) {
		if (len <= 4)
			datamatch(true, len);
		datamatch(false, len);
	}
}

TEST(ioeventfd_bad)
{
	const u32 pio = KVM_IOEVENTFD_FLAG_PIO,
		  match = KVM_IOEVENTFD_FLAG_DATAMATCH,
		  away = KVM_IOEVENTFD_FLAG_DEASSIGN;
	struct vcpu *v = io_vcpu();
	int fd = event(), other = event(), pipes[2];
	u32 len, bit;

	WORKS(pipe(pipes));
	for (len = 3; len < 20; len++) {
		if (len != 4 && len != 8)
			FAILS(ioevent(v->vm, fd, MMIO, len, 0, 0), EINVAL);
	}
	for (bit = 5; bit < 32; bit++)
		FAILS(ioevent(v->vm, fd, MMIO, 4, 1u << bit, 0), EINVAL);
	FAILS(ioevent(v->vm, fd, ~0ull - 2, 4, 0, 0), EINVAL);
	FAILS(ioevent(v->vm, fd, MMIO, 0, match, 5), EINVAL);
	FAILS(ioevent(v->vm, -1, MMIO, 4, 0, 0), EBADF);
	FAILS(ioevent(v->vm, pipes[1], MMIO, 4, 0, 0), EINVAL);
	FAILS(ioevent(v->vm, fd, MMIO, 4, away, 0), ENOENT);
	WORKS(ioevent(v->vm, fd, MMIO, 4, 0, 0));
	FAILS(ioevent(v->vm, other, MMIO, 4, 0, 0), EEXIST);
	FAILS(ioevent(v->vm, other, MMIO, 4, match, 1), EEXIST);
	FAILS(ioevent(v->vm, other, MMIO, 4, away, 0), ENOENT);
	FAILS(ioevent(v->vm, fd, MMIO, 4, away | match, 0), ENOENT);
	FAILS(ioevent(v->vm, fd, MMIO, 4, away | pio, 0), ENOENT);
	WORKS(ioevent(v->vm, other, MMIO, 2, 0, 0));
	WORKS(ioevent(v->vm, other, PORT, 4, pio, 0));
	WORKS(ioevent(v->vm, fd, MMIO, 4, away, 0));
	vm_free(v->vm);
}

/* Without interrupt controllers too, and with a closed descriptor. */
TEST(ioeventfd_of_a_bare_vm)
{
	struct vm *vm;
	int fd;

	need_cap(KVM_CAP_IOEVENTFD);
	vm = vm_new();
	fd = event();
	WORKS(ioevent(vm, fd, MMIO, 4, 0, 0));
	close(fd);
	vm_free(vm);
}

/* Reads are no business of theirs. */
static u64 g_load(u64 address, u64 unused)
{
	(void)unused;
	return *(volatile u32 *)address;
}

TEST(ioeventfd_and_reads)
{
	struct vcpu *v = io_vcpu();
	int fd = event();

	WORKS(ioevent(v->vm, fd, MMIO, 4, 0, 0));
	remote_order(v, g_load, MMIO, 0);
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.is_write, 0);
	vcpu_until(v, STOP_SYNC);
	EQ(count(fd), 0);
	vm_free(v->vm);
}

/* Hundreds of them, and each finds its own. */
TEST(ioeventfd_many)
{
	enum { N = 200 };
	struct vcpu *v = io_vcpu();
	static int fds[N];
	u32 i;

	for (i = 0; i < N; i++) {
		fds[i] = event();
		WORKS(ioevent(v->vm, fds[i], G_MMIO + i * 4, 4, 0, 0));
	}
	for (i = 0; i < N; i++) {
		u32 k = i * 7 % N;

		EQ(leaves(v, false, G_MMIO + k * 4, 4, 9), 0);
		EQ(count(fds[k]), 1);
	}
	for (i = 0; i < N; i += 2)
		WORKS(ioevent(v->vm, fds[i], G_MMIO + i * 4, 4,
			      KVM_IOEVENTFD_FLAG_DEASSIGN, 0));
	for (i = 0; i < N; i++)
		EQ(leaves(v, false, G_MMIO + i * 4, 4, 9), i % 2 == 0);
	vm_free(v->vm);
}

/* Descriptors that come, fire and go at random, and VMs that die with them. */

#define FDS	4096

static int fds[FDS];

static void open_all(void)
{
	struct rlimit limit = { 2 * FDS, 2 * FDS };
	u32 i;

	WORKS(setrlimit(RLIMIT_NOFILE, &limit));
	for (i = 0; i < FDS; i++)
		fds[i] = event();
}

static void random_step(struct vm *vm)
{
	u32 i = rnd() % FDS;
	u64 one = 1;

	switch (rnd() % 8) {
	case 0:
		close(fds[i]);
		fds[i] = event();
		break;
	case 1:
		irqfd(vm, fds[i], MSI_GSI, KVM_IRQFD_FLAG_DEASSIGN, 0);
		break;
	case 2:
	case 3:
		irqfd(vm, fds[i], rnd() % 2 ? MSI_GSI : GSI, 0, 0);
		break;
	case 4:
		irqfd(vm, fds[i], GSI, KVM_IRQFD_FLAG_RESAMPLE,
		      fds[rnd() % FDS]);
		break;
	default:
		if (write(fds[i], &one, sizeof(one)) != sizeof(one))
			note("eventfd %u is full", i);
	}
}

static u64 g_take_all(u64 stop, u64 unused)
{
	(void)unused;
	sti();
	while (!*(volatile u32 *)stop)
		asm volatile("pause");
	cli();
	return 0;
}

static u32 stop_now;

TEST_TIMED(thousands_of_irqfds, 300)
{
	unsigned long n = test_scale(8000), i, round;
	pthread_t thread;
	struct vcpu *v;

	note("--seed=%llu", test_seed());
	open_all();
	for (round = 0; round < 4; round++) {
		v = one();
		set_pin(v, RTE_LEVEL | VEC);
		for (i = 0; i < FDS; i++)
			irqfd(v->vm, fds[i], MSI_GSI, 0, 0);
		thread = remote_start(v, g_take_all, (unsigned long)&stop_now,
				      0);
		for (i = 0; i < n / 4; i++)
			random_step(v->vm);
		G(v->vm, stop_now) = 1;
		remote_wait(v, thread);
		CHECK(PERCPU(v).count[MSI_VEC]);
		/* The VM goes while descriptors are being signalled. */
		for (i = 0; i < FDS; i += 3)
			signal_event(fds[i]);
		vm_free(v->vm);
	}
}
