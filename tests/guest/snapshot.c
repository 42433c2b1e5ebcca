// SPDX-License-Identifier: GPL-2.0-only
/*
 * A monitor that sets VMs up, saves and restores them as Firecracker does: its
 * calls, with its arguments and in its order. A guest that computes, takes
 * timer and device interrupts and starts another processor is stopped over
 * and over, wherever it is; each time it goes on in a new VM, whose state must
 * be the old one's to the bit, time apart.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "irqchip.h"

#define VCPUS		2
#define TICK		0x40
#define DEVICE		0x41
#define DEVICE_GSI	5
#define NOTIFY		0xd0000050u	/* virtio over MMIO: QueueNotify */
#define IOAPIC		0xfec00000u
#define SERIAL		0x3f8
#define ROUNDS		12
#define TICK_TSC	100000
#define SLICE_US	1500

enum {
	MSR_TSC			= 0x10,
	MSR_SYSENTER_EIP	= 0x176,
	MSR_MISC_ENABLE		= 0x1a0,
	MSR_MTRR_DEF_TYPE	= 0x2ff,
	MSR_STAR		= 0xc0000081,
	MSR_LSTAR		= 0xc0000082,
	MSR_CSTAR		= 0xc0000083,
	MSR_SFMASK		= 0xc0000084,
	MSR_GS_BASE		= 0xc0000101,
	MSR_KERNEL_GS_BASE	= 0xc0000102,
	MSR_KVM_SYSTEM_TIME	= 0x4b564d01,
};

/* ---- the guest ----------------------------------------------------------- */

static volatile u32 ticks, answers;
static volatile u64 last_tsc;
static bool has_avx;
static u8 ymm_before[32], ymm_after[32];
static u8 area[65536];
static struct {			/* as pvclock has it */
	u32 version, pad;
	u64 tsc, time;
	u32 mul;
	u8 shift, flags, more[2];
} clock_page __attribute__((aligned(64)));
static bool told_of_the_stop;

#define CLOCK_GUEST_STOPPED	BIT(1)

/* Real mode, after the start-up IPI. */
CODE(processor_1, 16,
	"movb $0x5a, %cs:processor_1_ran - processor_1\n"
	"1: hlt; jmp 1b\n"
	"processor_1_ran: .byte 0\n");
#define PROCESSOR_1_RAN	(processor_1_end - processor_1 - 1)

static void on_tick(struct trap_frame *f)
{
	(void)f;
	ticks++;
	G_CHECK(rdtsc() > last_tsc);
	last_tsc = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, last_tsc + TICK_TSC);
	apic_eoi();
}

static void on_device(struct trap_frame *f)
{
	(void)f;
	answers++;
	apic_eoi();
}

static void load_ymm(const u8 *from)
{
	if (has_avx)
		asm volatile("vmovdqu (%0), %%ymm15" : : "r"(from) : "memory");
	else
		asm volatile("movdqu (%0), %%xmm15" : : "r"(from) : "memory");
}

static void store_ymm(u8 *to)
{
	if (has_avx)
		asm volatile("vmovdqu %%ymm15, (%0)" : : "r"(to) : "memory");
	else
		asm volatile("movdqu %%xmm15, (%0)" : : "r"(to) : "memory");
}

static void set_registers(void)
{
	u32 i;

	for (i = 0; i < sizeof(ymm_before); i++)
		ymm_before[i] = 3 * i + 1;
	load_ymm(ymm_before);
	write_dr0(0x123456);
	write_dr3(0x345678);
	write_dr7(0x400);
	write_cr8(1);
	wrmsr(MSR_STAR, 0x0023001000000000ull);
	wrmsr(MSR_LSTAR, 0xffffffff81000000ull);
	wrmsr(MSR_SYSENTER_EIP, 0xffffffff82000000ull);
	wrmsr(MSR_KERNEL_GS_BASE, 0xffff888000000000ull);
}

static void check_registers(void)
{
	u32 i;

	store_ymm(ymm_after);
	for (i = 0; i < (has_avx ? 32 : 16); i++)
		G_EQ(ymm_after[i], ymm_before[i]);
	G_EQ(read_dr0(), 0x123456);
	G_EQ(read_dr3(), 0x345678);
	G_EQ(read_dr7(), 0x400);
	G_EQ(read_cr8(), 1);
	G_EQ(rdmsr(MSR_STAR), 0x0023001000000000ull);
	G_EQ(rdmsr(MSR_LSTAR), 0xffffffff81000000ull);
	G_EQ(rdmsr(MSR_SYSENTER_EIP), 0xffffffff82000000ull);
	G_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0xffff888000000000ull);
}

static u64 compute(u64 sum, u32 round)
{
	u32 i;

	for (i = 0; i < sizeof(area); i++) {
		area[i] += sum >> 56 ^ round;
		sum = (sum ^ area[i]) * 0x100000001b3ull;
	}
	return sum;
}

static void ioapic_write(u32 reg, u32 value)
{
	*(volatile u32 *)(unsigned long)IOAPIC = reg;
	*(volatile u32 *)(unsigned long)(IOAPIC + 0x10) = value;
}

static void start_interrupts(void)
{
	outb(0x21, 0xff);				/* no 8259s */
	outb(0xa1, 0xff);
	apic_start(guest_x2apic);
	ioapic_write(0x11 + 2 * DEVICE_GSI, 0);		/* to the first one */
	ioapic_write(0x10 + 2 * DEVICE_GSI, DEVICE);
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | TICK);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + TICK_TSC);
}

static void start_processor_1(void)
{
	apic_icr(1, ICR_INIT | ICR_LEVEL | ICR_ASSERT);
	apic_icr(1, ICR_SIPI | ICR_ASSERT | G_CODE >> 12);
}

/* Ask the device, and wait for its interrupt. */
static void ask(u32 round)
{
	*(volatile u32 *)(unsigned long)NOTIFY = 0;
	for (;;) {
		asm volatile("cli" : : : "memory");
		if (answers > round)
			break;
		asm volatile("sti; hlt" : : : "memory");
	}
	asm volatile("sti" : : : "memory");
	G_EQ(answers, round + 1);
}

static void work(void)
{
	u64 sum = 0xcbf29ce484222325ull;
	u32 round;

	set_registers();
	wrmsr(MSR_KVM_SYSTEM_TIME, (unsigned long)&clock_page | 1);
	start_interrupts();
	asm volatile("sti" : : : "memory");
	for (round = 0; round < ROUNDS; round++) {
		sum = compute(sum, round);
		outb(SERIAL, sum);
		ask(round);
		check_registers();
		told_of_the_stop |= clock_page.flags & CLOCK_GUEST_STOPPED;
		if (round == ROUNDS / 2)
			start_processor_1();
	}
	guest_sync(sum >> 32 ^ sum);
}

/* What a kernel does first: the boot protocol leaves next to nothing. */
static void set_up(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed))
		gdt = { SEL_TSS64 + 15, G_GDT }, idt = { 4095, G_IDT64 };
	u64 cr4 = read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT;

	asm volatile("lgdt %0; lidt %1" : : "m"(gdt), "m"(idt));
	write_cr4(has_avx ? cr4 | CR4_OSXSAVE : cr4);
	if (has_avx)
		xsetbv(0, 7);
	write_cr0(read_cr0() & ~(CR0_CD | CR0_NW));
	asm volatile("ltr %w0" : : "r"(SEL_TSS64));
	work();
}

/* ---- set up, as it boots a guest ----------------------------------------- */

struct machine {
	struct vm *vm;
	int notify, irq;		/* event file descriptors */
};

static void check_caps(void)
{
	static const u32 caps[] = {
		KVM_CAP_IRQCHIP, KVM_CAP_IOEVENTFD, KVM_CAP_IRQFD,
		KVM_CAP_USER_MEMORY, KVM_CAP_SET_TSS_ADDR, KVM_CAP_PIT2,
		KVM_CAP_PIT_STATE2, KVM_CAP_ADJUST_CLOCK, KVM_CAP_DEBUGREGS,
		KVM_CAP_MP_STATE, KVM_CAP_VCPU_EVENTS, KVM_CAP_XCRS,
		KVM_CAP_XSAVE, KVM_CAP_EXT_CPUID,
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(caps); i++)
		if (!has_cap(caps[i]) && caps[i] != KVM_CAP_XCRS)
			fail("no capability %u", caps[i]);
	need_cap(KVM_CAP_XCRS);		/* a matter of the processor */
}

static struct machine new_machine(u8 *ram)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct machine m = { .vm = ram ? vm_bare() : vm_new() };
	int i;

	if (ram) {
		m.vm->ram = ram;
		vm_slot(m.vm, 0, 0, RAM_SIZE, ram, 0);
	}
	WORKS(ioctl(m.vm->fd, KVM_CREATE_IRQCHIP, 0));
	WORKS(ioctl(m.vm->fd, KVM_CREATE_PIT2, &pit));
	for (i = 0; i < VCPUS; i++)
		vcpu_bare(m.vm, i);
	return m;
}

static void attach_device(struct machine *m)
{
	struct kvm_ioeventfd notify = {
		.addr = NOTIFY, .len = 4,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
		.fd = m->notify = WORKS(eventfd(0, EFD_NONBLOCK)),
	};
	struct kvm_irqfd irq = {
		.fd = m->irq = WORKS(eventfd(0, EFD_NONBLOCK)),
		.gsi = DEVICE_GSI,
	};

	WORKS(ioctl(m->vm->fd, KVM_IOEVENTFD, &notify));
	WORKS(ioctl(m->vm->fd, KVM_IRQFD, &irq));
}

static void free_machine(struct machine *m)
{
	close(m->notify);
	close(m->irq);
	vm_free(m->vm);
}

static void set_cpuid(struct vcpu *v)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	u32 i;

	for (i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == 1) {
			e->ebx = (e->ebx & 0xffffff) | (u32)v->id << 24;
			e->ecx |= BIT(24) | BIT(31);
		} else if (e->function == 0xb) {
			e->edx = v->id;
		}
	}
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	free(c);
}

static void set_boot_msrs(struct vcpu *v)
{
	static const struct { u32 index; u64 value; } boot[] = {
		{ 0x174, 0 }, { 0x175, 0 }, { MSR_SYSENTER_EIP, 0 },
		{ MSR_STAR, 0 }, { MSR_CSTAR, 0 }, { MSR_KERNEL_GS_BASE, 0 },
		{ MSR_SFMASK, 0 }, { MSR_LSTAR, 0 }, { MSR_TSC, 0 },
		{ MSR_MISC_ENABLE, 1 },			/* fast strings */
		{ MSR_MTRR_DEF_TYPE, 1 << 11 | 6 },	/* write-back */
	};
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[ARRAY_SIZE(boot)];
	} m = { .head.nmsrs = ARRAY_SIZE(boot) };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(boot); i++) {
		m.entry[i].index = boot[i].index;
		m.entry[i].data = boot[i].value;
	}
	EQ(ioctl(v->fd, KVM_SET_MSRS, &m), ARRAY_SIZE(boot));
}

/* The limits are those of the descriptors, not yet multiplied by 4 KiB. */
static struct kvm_segment boot_segment(u32 selector, u32 type, u32 bits)
{
	return (struct kvm_segment) {
		.limit = 0xfffff, .selector = selector, .type = type,
		.present = 1, .g = 1, .s = type != 11 || bits,
		.l = bits == 64, .db = bits == 32,
	};
}

static void set_boot_registers(struct vcpu *v)
{
	struct kvm_regs r = {
		.rflags = FLAG_FIXED, .rip = (unsigned long)set_up,
		.rsp = G_STACK - 8, .rbp = G_STACK - 8, .rsi = 0x7000,
	};
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };
	struct kvm_sregs s;

	set_regs(v, &r);
	WORKS(ioctl(v->fd, KVM_SET_FPU, &fpu));
	get_sregs(v, &s);
	s.gdt.base = G_GDT;
	s.gdt.limit = 4 * 8 - 1;
	s.idt.base = G_IDT64;
	s.idt.limit = 7;
	s.cs = boot_segment(SEL_CODE64, 11, 64);
	s.ds = s.es = s.fs = s.gs = s.ss = boot_segment(SEL_DATA, 3, 32);
	s.tr = boot_segment(3 * 8, 11, 0);
	s.cr0 |= CR0_PE | CR0_PG;
	s.cr3 = G_PML4;
	s.cr4 |= CR4_PAE;
	s.efer |= EFER_LME | EFER_LMA;
	set_sregs(v, &s);
}

static void set_lint(struct vcpu *v)
{
	struct kvm_lapic_state s;

	get_lapic(v, &s);
	LAPIC_REG(&s, APIC_LVT_LINT0) &= ~0x700;
	LAPIC_REG(&s, APIC_LVT_LINT0) |= ICR_EXTINT;
	LAPIC_REG(&s, APIC_LVT_LINT1) &= ~0x700;
	LAPIC_REG(&s, APIC_LVT_LINT1) |= ICR_NMI;
	set_lapic(v, &s);
}

static struct machine boot(bool x2apic)
{
	struct machine m;
	int i;

	check_caps();
	if (x2apic)
		need_x2apic();
	m = new_machine(NULL);
	attach_device(&m);
	G(m.vm, has_avx) = cpu_has(1, 2, 28);
	G(m.vm, guest_x2apic) = x2apic;
	G(m.vm, trap).handler[TICK] = on_tick;
	G(m.vm, trap).handler[DEVICE] = on_device;
	code_load(m.vm, G_CODE, processor_1, processor_1_end);
	for (i = 0; i < VCPUS; i++) {
		set_cpuid(m.vm->vcpus[i]);
		set_boot_msrs(m.vm->vcpus[i]);
		set_boot_registers(m.vm->vcpus[i]);
		set_lint(m.vm->vcpus[i]);
	}
	return m;
}

/* ---- a snapshot ---------------------------------------------------------- */

#define MAX_ENTRIES	256

struct msr_list {
	struct kvm_msr_list head;
	u32 index[MAX_ENTRIES];
};

struct vcpu_state {
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	long tsc_khz;
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[MAX_ENTRIES];
	} cpuid;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[MAX_ENTRIES];
	} msrs;
	struct kvm_vcpu_events events;
};

struct state {
	struct vcpu_state vcpu[VCPUS];
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	struct kvm_irqchip chip[3];
};

/* No performance counters, VMX capabilities or Hyper-V. */
static bool is_saved(u32 msr)
{
	return (msr < 0xc1 || msr > 0xc8) && (msr < 0x186 || msr > 0x18d) &&
	       (msr < 0x309 || msr > 0x395) && (msr < 0x480 || msr > 0x4c8) &&
	       (msr < 0x40000000 || msr > 0x400001ff) && msr >> 16 != 0xc001 &&
	       msr != 0x17b && msr != 0x4d0;
}

static void name_msrs(struct vcpu_state *s)
{
	struct msr_list list = { .head.nmsrs = MAX_ENTRIES };
	u32 i, n = 0;

	WORKS(ioctl(kvm_fd(), KVM_GET_MSR_INDEX_LIST, &list));
	for (i = 0; i < list.head.nmsrs; i++)
		if (is_saved(list.index[i]))
			s->msrs.entry[n++].index = list.index[i];
	s->msrs.head.nmsrs = n;
}

static void save_msrs(struct vcpu *v, struct vcpu_state *s)
{
	u32 n;

	name_msrs(s);
	n = WORKS(ioctl(v->fd, KVM_GET_MSRS, &s->msrs));
	if (n < s->msrs.head.nmsrs)
		fail("MSR 0x%x cannot be read", s->msrs.entry[n].index);
}

static void save_vcpu(struct vcpu *v, struct vcpu_state *s)
{
	WORKS(ioctl(v->fd, KVM_GET_MP_STATE, &s->mp));
	get_regs(v, &s->regs);
	get_sregs(v, &s->sregs);
	WORKS(ioctl(v->fd, KVM_GET_XSAVE, &s->xsave));
	WORKS(ioctl(v->fd, KVM_GET_XCRS, &s->xcrs));
	WORKS(ioctl(v->fd, KVM_GET_DEBUGREGS, &s->debugregs));
	get_lapic(v, &s->lapic);
	s->tsc_khz = WORKS(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	s->cpuid.head.nent = MAX_ENTRIES;
	WORKS(ioctl(v->fd, KVM_GET_CPUID2, &s->cpuid));
	save_msrs(v, s);
	WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &s->events));
}

static void save(struct vm *vm, struct state *s)
{
	int i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < VCPUS; i++)
		save_vcpu(vm->vcpus[i], &s->vcpu[i]);
	WORKS(ioctl(vm->fd, KVM_GET_PIT2, &s->pit));
	WORKS(ioctl(vm->fd, KVM_GET_CLOCK, &s->clock));
	s->clock.flags &= ~KVM_CLOCK_TSC_STABLE;
	for (i = 0; i < 3; i++)
		get_chip(vm, i, &s->chip[i]);
}

/* The deadline only after the TSC, and never 0: an interrupt more is none. */
static void restore_msrs(struct vcpu *v, const struct vcpu_state *s)
{
	struct vcpu_state copy = *s;
	u64 tsc = 0, deadline = 0;
	u32 i, n = 0;

	for (i = 0; i < s->msrs.head.nmsrs; i++) {
		const struct kvm_msr_entry *e = &s->msrs.entry[i];

		if (e->index == MSR_TSC)
			tsc = e->data;
		if (e->index == MSR_TSC_DEADLINE)
			deadline = e->data;
		else
			copy.msrs.entry[n++] = *e;
	}
	copy.msrs.head.nmsrs = n;
	i = WORKS(ioctl(v->fd, KVM_SET_MSRS, &copy.msrs));
	if (i < n)
		fail("MSR 0x%x refuses 0x%llx", copy.msrs.entry[i].index,
		     (u64)copy.msrs.entry[i].data);
	set_msr(v, MSR_TSC_DEADLINE, deadline ?: tsc);
}

static void restore_vcpu(struct vcpu *v, struct vcpu_state *s)
{
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, &s->cpuid));
	WORKS(ioctl(v->fd, KVM_SET_MP_STATE, &s->mp));
	set_regs(v, &s->regs);
	set_sregs(v, &s->sregs);
	WORKS(ioctl(v->fd, KVM_SET_XSAVE, &s->xsave));
	WORKS(ioctl(v->fd, KVM_SET_XCRS, &s->xcrs));
	WORKS(ioctl(v->fd, KVM_SET_DEBUGREGS, &s->debugregs));
	set_lapic(v, &s->lapic);
	restore_msrs(v, s);
	WORKS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &s->events));
}

static void restore(struct vm *vm, struct state *s)
{
	int i;

	for (i = 0; i < VCPUS; i++) {
		EQ(ioctl(vm->vcpus[i]->fd, KVM_GET_TSC_KHZ, 0),
		   s->vcpu[i].tsc_khz);
		restore_vcpu(vm->vcpus[i], &s->vcpu[i]);
	}
	WORKS(ioctl(vm->fd, KVM_SET_PIT2, &s->pit));
	WORKS(ioctl(vm->fd, KVM_SET_CLOCK, &s->clock));
	for (i = 0; i < 3; i++)
		set_chip(vm, &s->chip[i]);
}

#define SAME(a, b, what)	EQ(memcmp(&(a)->what, &(b)->what, \
					  sizeof((a)->what)), 0)

static void same_msrs(const struct vcpu_state *a, const struct vcpu_state *b)
{
	u32 i;

	EQ(a->msrs.head.nmsrs, b->msrs.head.nmsrs);
	for (i = 0; i < a->msrs.head.nmsrs; i++) {
		u32 index = a->msrs.entry[i].index;
		u64 x = a->msrs.entry[i].data, y = b->msrs.entry[i].data;

		if (index == MSR_TSC ? y < x :
		    x != y && index != MSR_TSC_DEADLINE)
			fail("MSR 0x%x: 0x%llx became 0x%llx", index, x, y);
	}
}

/* The timer runs on: it may have fired. */
static void same_lapic(const struct vcpu_state *a, const struct vcpu_state *b)
{
	u32 reg;

	for (reg = 0; reg < 0x400; reg += 0x10) {
		u32 x = LAPIC_REG(&a->lapic, reg), y = LAPIC_REG(&b->lapic, reg);

		if (reg == APIC_IRR + TICK / 32 * 0x10)
			x |= y & 1u << TICK % 32;
		if (x != y && reg != APIC_TMCCT)
			fail("APIC register 0x%x: 0x%x became 0x%x", reg, x, y);
	}
}

static void same_state(const struct state *a, const struct state *b)
{
	int i;

	for (i = 0; i < VCPUS; i++) {
		const struct vcpu_state *x = &a->vcpu[i], *y = &b->vcpu[i];

		SAME(x, y, mp);
		SAME(x, y, regs);
		SAME(x, y, sregs);
		SAME(x, y, xsave);
		SAME(x, y, xcrs);
		SAME(x, y, debugregs);
		SAME(x, y, cpuid);
		SAME(x, y, events);
		same_msrs(x, y);
		same_lapic(x, y);
	}
	CHECK(b->clock.clock >= a->clock.clock);
	for (i = 0; i < 3; i++)
		SAME(a, b, chip[i]);
	for (i = 0; i < 3; i++)
		EQ(a->pit.channels[i].count, b->pit.channels[i].count);
	EQ(a->pit.flags, b->pit.flags);
}

/* The machine that goes on where this one was; the memory is the same. */
static struct machine next_machine(struct machine *old)
{
	static struct state before, after;
	struct machine new;
	int i;

	save(old->vm, &before);
	new = new_machine(old->vm->ram);
	new.vm->next_pt = old->vm->next_pt;
	restore(new.vm, &before);
	save(new.vm, &after);
	same_state(&before, &after);
	/* If the guest has no kvmclock yet, that is all right. */
	for (i = 0; i < VCPUS; i++)
		ioctl(new.vm->vcpus[i]->fd, KVM_KVMCLOCK_CTRL, 0);
	attach_device(&new);
	old->vm->ram = NULL;
	free_machine(old);
	return new;
}

/* ---- running ------------------------------------------------------------- */

static struct kvm_run *running;

static void time_is_up(int signal)
{
	(void)signal;
	running->immediate_exit = 1;
}

/* For a while: the port that it wrote to, or -1. */
static int run_slice(struct vcpu *v)
{
	struct itimerval slice = { .it_value.tv_usec = SLICE_US }, off = { 0 };
	int port = -1;

	running = v->run;
	v->run->immediate_exit = 0;
	setitimer(ITIMER_REAL, &slice, NULL);
	if (!ioctl(v->fd, KVM_RUN, 0)) {
		if (v->run->exit_reason != KVM_EXIT_IO)
			fail("%s", exit_text(v));
		port = v->run->io.port;
	} else if (errno != EINTR && errno != EAGAIN) {
		fail("KVM_RUN: %s", strerror(errno));
	}
	setitimer(ITIMER_REAL, &off, NULL);
	return port;
}

/* Its instruction is complete only after another entry. */
static void complete_out(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
}

/* The guest has kicked it: an answer. */
static void serve(struct machine *m)
{
	u64 n;

	if (read(m->notify, &n, sizeof(n)) != sizeof(n))
		return;
	EQ(n, 1);
	n = 1;
	EQ(write(m->irq, &n, sizeof(n)), sizeof(n));
}

struct course {
	u8 printed[ROUNDS + 4];		/* four more: the sum at the end */
	u32 moves, ticks;
};

/* False: the guest is through. */
static bool run_guest(struct vm *vm, u8 **printed)
{
	struct vcpu *v = vm->vcpus[0];
	int port = run_slice(v);

	switch (port) {
	case -1:
		return true;
	case SERIAL:
		*(*printed)++ = *io_data(v);
		complete_out(v);
		return true;
	case PORT_SYNC:
		memcpy(*printed, io_data(v), 4);
		return false;
	case PORT_FAIL:
		guest_failed(vm);
	}
	fail("port 0x%x", port);
}

static struct course run(bool x2apic, bool moving)
{
	struct machine m = boot(x2apic);
	struct course c = { 0 };
	u8 *printed = c.printed;

	/* Before 6.8 it takes a restored TSC below a second for that of 0. */
	if (kvm_in_tree())
		usleep(1200000);
	while (run_guest(m.vm, &printed)) {
		EQ(run_slice(m.vm->vcpus[1]), -1);
		serve(&m);
		if (moving)
			m = next_machine(&m);
		c.moves += moving;
	}
	EQ(printed - c.printed, ROUNDS);
	EQ(G(m.vm, answers), ROUNDS);
	EQ(RAM(m.vm, G_CODE + PROCESSOR_1_RAN, u8), 0x5a);
	EQ(get_mp_state(m.vm->vcpus[1]), KVM_MP_STATE_HALTED);
	EQ(G(m.vm, told_of_the_stop), moving);
	c.ticks = G(m.vm, ticks);
	free_machine(&m);
	return c;
}

BOTH_MODES(snapshots)
{
	struct course a, b;

	signal(SIGALRM, time_is_up);
	a = run(x2, false);
	b = run(x2, true);
	EQ(memcmp(a.printed, b.printed, sizeof(a.printed)), 0);
	note("%u ticks, and %u in %u VMs", a.ticks, b.ticks, b.moves + 1);
	CHECK(a.ticks > 5 && b.ticks > 5 && b.moves > ROUNDS);
}
