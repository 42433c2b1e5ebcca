// SPDX-License-Identifier: GPL-2.0-only
/*
 * What monitors that no distribution packages ask of /dev/kvm, call by call:
 * kvmtool, as it starts a guest in real mode with two processors, and what
 * cloud-hypervisor and crosvm do otherwise.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "irqchip.h"

static void need_caps(const u32 *caps, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		row(has_cap(caps[i]), "capability %u", caps[i]);
}

/* ---- kvmtool ------------------------------------------------------------- */

#define BOOT_SELECTOR	0x1000
#define BOOT_IP		0x200
#define BOOT_SP		0x8000
#define KICK_PORT	0x6200		/* virtio-pci: QueueNotify */
#define DEVICE_IRQ	5

/* Where its guest counts: ticks, answers, processors that came up. */
#define TICKS		0x4f0
#define ANSWERS		0x4f1
#define STARTED		0x4f2

/*
 * Ticks of the 8254 by way of the 8259; a device on IRQ 5, kicked by a word
 * of 1; processor 1, started through the APIC, whose code is at 2000:0.
 */
CODE(kvmtool_guest, 16,
	"cli; xorw %ax, %ax; movw %ax, %ds\n"
	"movw $tick - kvmtool_guest + 0x200, 8 * 4; movw %cs, 8 * 4 + 2\n"
	"movw $answer - kvmtool_guest + 0x200, 13 * 4; movw %cs, 13 * 4 + 2\n"
	"movb $0x11, %al; outb %al, $0x20\n"	/* ICW1 to 4: vectors from 8 */
	"movb $8, %al; outb %al, $0x21\n"
	"movb $4, %al; outb %al, $0x21\n"
	"movb $1, %al; outb %al, $0x21\n"
	"movb $0xde, %al; outb %al, $0x21\n"	/* IRQ 0 and 5 */
	"movb $0x34, %al; outb %al, $0x43\n"	/* 1 kHz */
	"movb $0xa9, %al; outb %al, $0x40\n"
	"movb $0x04, %al; outb %al, $0x40\n"
	"sti\n"
	"1: hlt; cmpb $5, 0x4f0; jb 1b\n"
	"movw $1, %ax; movw $0x6200, %dx; outw %ax, %dx\n"
	"2: hlt; cmpb $1, 0x4f1; jb 2b\n"
	"movl $0x1b, %ecx; rdmsr; orw $0xc00, %ax; wrmsr\n"	/* x2APIC */
	"movl $0x830, %ecx; movl $1, %edx\n"
	"movl $0x4500, %eax; wrmsr\n"		/* INIT */
	"movl $0x4620, %eax; wrmsr\n"		/* start at 2000:0 */
	"3: hlt; cmpb $1, 0x4f2; jb 3b\n"
	"cli; outb %al, $0xe0\n"
	"tick: pushw %ax; incb 0x4f0; jmp eoi\n"
	"answer: pushw %ax; incb 0x4f1\n"
	"eoi: movb $0x20, %al; outb %al, $0x20; popw %ax; iretw\n");

CODE(kvmtool_processor_1, 16,
	"xorw %ax, %ax; movw %ax, %ds; incb 0x4f2; outb %al, $0xe0\n");

static const u32 kvmtool_caps[] = {
	KVM_CAP_COALESCED_MMIO, KVM_CAP_SET_TSS_ADDR, KVM_CAP_PIT2,
	KVM_CAP_USER_MEMORY, KVM_CAP_IRQ_ROUTING, KVM_CAP_IRQCHIP, KVM_CAP_HLT,
	KVM_CAP_IRQ_INJECT_STATUS, KVM_CAP_EXT_CPUID,
};

/* All pins but the cascade; the timer is at the I/O APIC's pin 2. */
static void kvmtool_routes(struct vm *vm)
{
	struct routes r = { 0 };
	u32 i;

	for (i = 0; i < 16; i++)
		if (i != 2)
			route_chip(&r, i, i < 8 ? KVM_IRQCHIP_PIC_MASTER :
				   KVM_IRQCHIP_PIC_SLAVE, i % 8);
	for (i = 0; i < 24; i++)
		if (i != 2)
			route_chip(&r, i, KVM_IRQCHIP_IOAPIC, i ? i : 2);
	WORKS(routes_set(vm, &r));
}

/* The timer comes before what it interrupts, as it does there. */
static struct vm *kvmtool_vm(void)
{
	struct kvm_pit_config pit = { 0 };
	struct vm *vm = vm_bare();

	WORKS(ioctl(vm->fd, KVM_CREATE_PIT2, &pit));
	vm->ram = mem_alloc(RAM_SIZE);
	WORKS(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
	vm_slot(vm, 0, 0, RAM_SIZE, vm->ram, 0);
	kvmtool_routes(vm);
	code_load(vm, BOOT_SELECTOR * 16 + BOOT_IP, kvmtool_guest,
		  kvmtool_guest_end);
	code_load(vm, 0x20000, kvmtool_processor_1, kvmtool_processor_1_end);
	return vm;
}

static void kvmtool_lint(struct vcpu *v)
{
	struct kvm_lapic_state s;

	get_lapic(v, &s);
	LAPIC_REG(&s, APIC_LVT_LINT0) = ICR_EXTINT;
	LAPIC_REG(&s, APIC_LVT_LINT1) = ICR_NMI;
	set_lapic(v, &s);
}

/* Room for a hundred entries, and no processor has another APIC ID. */
static void kvmtool_cpuid(struct vcpu *v)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) +
				      100 * sizeof(c->entries[0]));

	CHECK(c);
	c->nent = 100;
	WORKS(ioctl(kvm_fd(), KVM_GET_SUPPORTED_CPUID, c));
	cpuid_find(c, 1, 0)->ecx |= BIT(31);
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	free(c);
}

static void kvmtool_registers(struct vcpu *v)
{
	struct kvm_regs r = {
		.rflags = FLAG_FIXED, .rip = BOOT_IP,
		.rsp = BOOT_SP, .rbp = BOOT_SP,
	};
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };
	struct kvm_sregs s;
	struct kvm_segment *all[] = { &s.cs, &s.ss, &s.ds, &s.es, &s.fs, &s.gs };
	u32 i;

	get_sregs(v, &s);
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		all[i]->selector = BOOT_SELECTOR;
		all[i]->base = BOOT_SELECTOR * 16;
	}
	set_sregs(v, &s);
	set_regs(v, &r);
	WORKS(ioctl(v->fd, KVM_SET_FPU, &fpu));
}

static void kvmtool_msrs(struct vcpu *v)
{
	static const u32 zero[] = {
		0x174, 0x175, 0x176, 0xc0000081, 0xc0000083, 0xc0000102,
		0xc0000084, 0xc0000082, 0x10,
	};
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[ARRAY_SIZE(zero) + 1];
	} m = {
		.head.nmsrs = ARRAY_SIZE(m.entry),
		/* IA32_MISC_ENABLE: fast strings */
		.entry[ARRAY_SIZE(zero)] = { .index = 0x1a0, .data = 1 },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(zero); i++)
		m.entry[i].index = zero[i];
	EQ(ioctl(v->fd, KVM_SET_MSRS, &m), m.head.nmsrs);
}

/* A thread for each processor sets it up, and runs it till it is through. */
static void *kvmtool_thread(void *vcpu)
{
	struct vcpu *v = vcpu;

	kvmtool_cpuid(v);
	kvmtool_registers(v);
	kvmtool_msrs(v);
	vcpu_done(v);
	return NULL;
}

static int kvmtool_device(struct vm *vm)
{
	struct kvm_ioeventfd kick = {
		.addr = KICK_PORT, .len = 2, .datamatch = 1,
		.fd = WORKS(eventfd(0, 0)),
		.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	WORKS(ioctl(vm->fd, KVM_IOEVENTFD, &kick));
	return kick.fd;
}

static void kvmtool_answer(struct vm *vm, int kick)
{
	struct pollfd p = { .fd = kick, .events = POLLIN };

	EQ(poll(&p, 1, 20000), 1);
	irq_line(vm, DEVICE_IRQ, 1);
	irq_line(vm, DEVICE_IRQ, 0);
}

TEST(kvmtool)
{
	pthread_t threads[2];
	struct vm *vm;
	int kick, i;

	need_x2apic();			/* of our guest, not of kvmtool */
	need_caps(kvmtool_caps, ARRAY_SIZE(kvmtool_caps));
	vm = kvmtool_vm();
	kick = kvmtool_device(vm);
	for (i = 0; i < 2; i++)
		kvmtool_lint(vcpu_bare(vm, i));
	for (i = 0; i < 2; i++)
		EQ(pthread_create(&threads[i], NULL, kvmtool_thread,
				  vm->vcpus[i]), 0);
	kvmtool_answer(vm, kick);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK(RAM(vm, TICKS, u8) >= 5);
	EQ(RAM(vm, ANSWERS, u8), 1);
	EQ(RAM(vm, STARTED, u8), 1);
	vm_free(vm);
}

/* A timer that nobody hears yet, with interrupts that are its own business. */
TEST(timer_before_controllers)
{
	struct kvm_pit_config config = { 0 };
	struct kvm_pit_state2 s = {
		.channels[0] = { .count = 1000, .mode = 2, .gate = 1 },
	};
	struct vm *vm = vm_bare();

	WORKS(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
	FAILS(ioctl(vm->fd, KVM_CREATE_PIT2, &config), EEXIST);
	WORKS(ioctl(vm->fd, KVM_SET_PIT2, &s));
	poll(NULL, 0, 20);
	vm_free(vm);
}

/* ---- cloud-hypervisor ---------------------------------------------------- */

static const u32 cloud_hypervisor_caps[] = {
	KVM_CAP_ADJUST_CLOCK, KVM_CAP_EXT_CPUID, KVM_CAP_GET_TSC_KHZ,
	KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_IOEVENTFD, KVM_CAP_IRQCHIP,
	KVM_CAP_IRQFD, KVM_CAP_IRQ_ROUTING, KVM_CAP_MP_STATE,
	KVM_CAP_SET_IDENTITY_MAP_ADDR, KVM_CAP_SET_TSS_ADDR,
	KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_TSC_DEADLINE_TIMER, KVM_CAP_USER_MEMORY,
	KVM_CAP_USER_NMI, KVM_CAP_VCPU_EVENTS, KVM_CAP_XSAVE,
};

static void on_message(struct trap_frame *f)
{
	(void)f;
	apic_eoi();
	guest_sync(f->vector);
}

static void g_wait_for_message(void)
{
	apic_start(false);
	guest_sync(0);
	for (;;)
		asm volatile("sti; hlt" : : : "memory");
}

/* An interrupt of its own I/O APIC or of a device: an MSI by an irqfd. */
static void send(struct vm *vm, u32 gsi, u32 vector)
{
	struct kvm_irqfd irqfd = { .fd = eventfd(1, 0), .gsi = gsi };
	struct routes r = { 0 };

	route_msi(&r, gsi, 0xfee00000, vector);
	WORKS(routes_set(vm, &r));
	WORKS(ioctl(vm->fd, KVM_IRQFD, &irqfd));
}

TEST(cloud_hypervisor)
{
	struct kvm_enable_cap x2apic = {
		.cap = KVM_CAP_X2APIC_API, .args[0] = 3,
	};
	u64 identity_map = 0xfeffc000;
	struct vcpu *v;
	struct vm *vm;

	need_caps(cloud_hypervisor_caps, ARRAY_SIZE(cloud_hypervisor_caps));
	vm = vm_split(24);
	WORKS(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map));
	WORKS(ioctl(vm->fd, KVM_ENABLE_CAP, &x2apic));
	v = vcpu_apic(vm, 0);
	CHECK(WORKS(ioctl(v->fd, KVM_GET_TSC_KHZ, 0)) > 0);
	G(vm, trap).handler[0x51] = on_message;
	vcpu_long(v, g_wait_for_message);
	vcpu_until(v, STOP_SYNC);
	send(vm, 24, 0x51);
	EQ(next_value(v), 0x51);
	/* Its state: neither chip nor timer, but the clock and each vCPU. */
	FAILS(ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0), EINVAL);
	vm_free(vm);
}

/* ---- crosvm -------------------------------------------------------------- */

static const u32 crosvm_caps[] = {
	KVM_CAP_USER_MEMORY, KVM_CAP_IRQCHIP, KVM_CAP_SPLIT_IRQCHIP,
	KVM_CAP_PIT2, KVM_CAP_SET_TSS_ADDR, KVM_CAP_SET_IDENTITY_MAP_ADDR,
	KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_READONLY_MEM, KVM_CAP_TSC_DEADLINE_TIMER,
};

/* Its question for the pins of the I/O APIC is one that no kernel knows. */
#define CAP_IOAPIC_NUM_PINS	8191

TEST(crosvm)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) +
				      256 * sizeof(c->entries[0]));
	struct vm *vm = vm_bare();
	u64 identity_map = 0xfeffc000;

	CHECK(c);
	need_caps(crosvm_caps, ARRAY_SIZE(crosvm_caps));
	WORKS(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map));
	EQ(WORKS(ioctl(vm->fd, KVM_CHECK_EXTENSION, CAP_IOAPIC_NUM_PINS)), 0);
	c->nent = 256;
	WORKS(ioctl(kvm_fd(), KVM_GET_EMULATED_CPUID, c));
	vm_free(vm);
	free(c);
}
