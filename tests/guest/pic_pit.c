// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8259 pair and the 8254 of a PC, by their data sheets: initialisation,
 * priorities, the kinds of EOI, masks, level inputs, polling and the cascade;
 * the counters' modes, latches, read-back, the speaker port, and ticks.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "irqchip.h"

enum { MASTER = 0x20, SLAVE = 0xa0 };
#define BASE		0x30			/* master's vectors */
#define SLAVE_BASE	0x38

enum {					/* OCW2, OCW3 */
	EOI		= 0x20,
	EOI_SPECIFIC	= 0x60,
	EOI_ROTATE	= 0xa0,
	EOI_ROTATE_SPECIFIC = 0xe0,
	SET_PRIORITY	= 0xc0,
	ROTATE_AUTO	= 0x80,
	ROTATE_AUTO_OFF	= 0x00,
	READ_IRR	= 0x0a,
	READ_ISR	= 0x0b,
	POLL		= 0x0c,
	SPECIAL_MASK	= 0x68,
	SPECIAL_MASK_OFF = 0x48,
};

/* ICW4: 8086 mode; 2 = automatic EOI, 10H = special fully nested. */
static void init_8259(struct vcpu *v, u16 port, u8 icw4)
{
	remote_out(v, port, 0x11);
	remote_out(v, port + 1, port == MASTER ? BASE : SLAVE_BASE);
	remote_out(v, port + 1, port == MASTER ? 4 : 2);
	remote_out(v, port + 1, icw4);
	remote_out(v, port + 1, 0);
}

/* Both, every input open; EOI is up to the test. */
static struct vcpu *start_with(u8 master_icw4)
{
	struct vcpu *v = remote_vm(false, 1)->vcpus[0];

	PERCPU(v).no_eoi = true;
	init_8259(v, MASTER, master_icw4);
	init_8259(v, SLAVE, 1);
	return v;
}

static struct vcpu *start(void)
{
	return start_with(1);
}

static u8 ocw3(struct vcpu *v, u16 port, u8 command)
{
	remote_out(v, port, command);
	return remote_in(v, port);
}

static void pulse(struct vcpu *v, u32 irq)
{
	irq_line(v->vm, irq, 1);
	irq_line(v->vm, irq, 0);
}

/* Takes one; it must be this IRQ. */
#define TAKES(v, irq) do {						\
	u32 __n = PERCPU(v).taken;					\
									\
	EQ(remote_window(v), 1);					\
	EQ(PERCPU(v).log[__n], BASE + (irq));				\
} while (0)
#define TAKES_NONE(v)	EQ(remote_window(v), 0)

/* 8259 */

TEST(every_irq)
{
	struct vcpu *v = start();
	u32 i;

	for (i = 0; i < 16; i++) {
		if (i == 2)
			continue;
		irq_line(v->vm, i, 1);
		TAKES(v, i);
		TAKES_NONE(v);
		EQ(ocw3(v, i < 8 ? MASTER : SLAVE, READ_ISR), 1 << i % 8);
		if (i >= 8) {
			EQ(ocw3(v, MASTER, READ_ISR), 4);
			remote_out(v, SLAVE, EOI);
		}
		remote_out(v, MASTER, EOI);
		irq_line(v->vm, i, 0);
		EQ(ocw3(v, MASTER, READ_ISR), 0);
		EQ(ocw3(v, SLAVE, READ_ISR), 0);
		TAKES_NONE(v);
	}
	vm_free(v->vm);
}

TEST(masks)
{
	struct vcpu *v = start();

	remote_out(v, MASTER + 1, 0x28);
	EQ(remote_in(v, MASTER + 1), 0x28);
	remote_out(v, SLAVE + 1, 0xaa);
	EQ(remote_in(v, SLAVE + 1), 0xaa);
	irq_line(v->vm, 3, 1);
	irq_line(v->vm, 9, 1);
	TAKES_NONE(v);
	EQ(ocw3(v, MASTER, READ_IRR), 1 << 3);
	EQ(ocw3(v, SLAVE, READ_IRR), 1 << 1);
	remote_out(v, MASTER + 1, 0x20);
	TAKES(v, 3);
	remote_out(v, MASTER, EOI);
	remote_out(v, SLAVE + 1, 0);
	TAKES(v, 9);
	vm_free(v->vm);
}

/* IR0 is the highest; 8 to 15 stand in for IR2. */
TEST(priorities)
{
	static const u8 order[] = { 0, 1, 8, 15, 3, 7 };
	struct vcpu *v = start();
	int i;

	for (i = ARRAY_SIZE(order) - 1; i >= 0; i--)
		irq_line(v->vm, order[i], 1);
	for (i = 0; i < (int)ARRAY_SIZE(order); i++) {
		TAKES(v, order[i]);
		TAKES_NONE(v);
		if (order[i] >= 8)
			remote_out(v, SLAVE, EOI);
		remote_out(v, MASTER, EOI);
	}
	TAKES_NONE(v);
	vm_free(v->vm);
}

/* Fully nested: higher ones interrupt one that is in service. */
TEST(nested)
{
	struct vcpu *v = start();

	irq_line(v->vm, 5, 1);
	TAKES(v, 5);
	irq_line(v->vm, 6, 1);
	TAKES_NONE(v);
	irq_line(v->vm, 3, 1);
	TAKES(v, 3);
	irq_line(v->vm, 1, 1);
	TAKES(v, 1);
	EQ(ocw3(v, MASTER, READ_ISR), 0x2a);
	remote_out(v, MASTER, EOI);
	EQ(ocw3(v, MASTER, READ_ISR), 0x28);
	remote_out(v, MASTER, EOI_SPECIFIC | 5);
	EQ(ocw3(v, MASTER, READ_ISR), 0x08);
	TAKES_NONE(v);
	remote_out(v, MASTER, EOI);
	TAKES(v, 6);
	vm_free(v->vm);
}

/* In service, the same input can wait once more. */
TEST(edge_in_service)
{
	struct vcpu *v = start();

	pulse(v, 4);
	TAKES(v, 4);
	pulse(v, 4);
	EQ(ocw3(v, MASTER, READ_IRR) & 1 << 4, 1 << 4);
	TAKES_NONE(v);
	remote_out(v, MASTER, EOI);
	TAKES(v, 4);
	remote_out(v, MASTER, EOI);
	TAKES_NONE(v);
	vm_free(v->vm);
}

/* Edge: a line that stays up counts once. */
TEST(line_stays_up)
{
	struct vcpu *v = start();

	irq_line(v->vm, 4, 1);
	TAKES(v, 4);
	remote_out(v, MASTER, EOI);
	irq_line(v->vm, 4, 1);
	TAKES_NONE(v);
	irq_line(v->vm, 4, 0);
	irq_line(v->vm, 4, 1);
	TAKES(v, 4);
	vm_free(v->vm);
}

/* Which of the inputs can be level-triggered: not 0, 1, 2, 8 and 13. */
TEST(elcr)
{
	struct vcpu *v = start();

	EQ(remote_in(v, 0x4d0), 0);
	EQ(remote_in(v, 0x4d1), 0);
	remote_out(v, 0x4d0, 0xff);
	remote_out(v, 0x4d1, 0xff);
	EQ(remote_in(v, 0x4d0), 0xf8);
	EQ(remote_in(v, 0x4d1), 0xde);
	vm_free(v->vm);
}

/*
 * A request that is withdrawn before it was taken may still end as a spurious
 * interrupt: input 7 of the master or the slave, with nothing in service.
 */
static void none_or_spurious(struct vcpu *v)
{
	u32 n = PERCPU(v).taken;

	if (!remote_window(v))
		return;
	EQ(PERCPU(v).log[n] & 7, 7);
	EQ(ocw3(v, SLAVE, READ_ISR), 0);
	EQ(ocw3(v, MASTER, READ_ISR) & ~4, 0);
	remote_out(v, MASTER, EOI);
}

TEST(level)
{
	struct vcpu *v = start();
	u32 irq, i;

	remote_out(v, 0x4d0, 1 << 5);
	remote_out(v, 0x4d1, 1 << 3);
	for (irq = 5; irq < 12; irq += 6) {
		irq_line(v->vm, irq, 1);
		for (i = 0; i < 3; i++) {
			TAKES(v, irq);
			if (irq > 7)
				remote_out(v, SLAVE, EOI);
			remote_out(v, MASTER, EOI);
		}
		irq_line(v->vm, irq, 0);
		none_or_spurious(v);
		irq_line(v->vm, irq, 1);
		irq_line(v->vm, irq, 0);
		none_or_spurious(v);
	}
	vm_free(v->vm);
}

TEST(rotation)
{
	struct vcpu *v = start();

	/* After rotation IR3 is the lowest, IR4 the highest. */
	pulse(v, 3);
	TAKES(v, 3);
	remote_out(v, MASTER, EOI_ROTATE);
	pulse(v, 3);
	pulse(v, 0);
	pulse(v, 5);
	TAKES(v, 5);
	remote_out(v, MASTER, EOI);
	TAKES(v, 0);
	remote_out(v, MASTER, EOI);
	TAKES(v, 3);
	remote_out(v, MASTER, EOI_ROTATE_SPECIFIC | 3);
	/* IR6 made the lowest, IR7 is the highest. */
	remote_out(v, MASTER, SET_PRIORITY | 6);
	pulse(v, 0);
	pulse(v, 7);
	TAKES(v, 7);
	TAKES_NONE(v);
	remote_out(v, MASTER, EOI);
	TAKES(v, 0);
	vm_free(v->vm);
}

TEST(special_mask)
{
	struct vcpu *v = start();

	if (kvm_in_tree())
		skip("in-tree has no special mask mode");
	pulse(v, 3);
	TAKES(v, 3);
	pulse(v, 5);
	TAKES_NONE(v);
	/* The one in service is masked: then it holds nothing back. */
	remote_out(v, MASTER + 1, 1 << 3);
	remote_out(v, MASTER, SPECIAL_MASK);
	TAKES(v, 5);
	remote_out(v, MASTER, EOI_SPECIFIC | 5);
	remote_out(v, MASTER, SPECIAL_MASK_OFF);
	pulse(v, 5);
	TAKES_NONE(v);
	remote_out(v, MASTER, EOI_SPECIFIC | 3);
	TAKES(v, 5);
	vm_free(v->vm);
}

TEST(automatic_eoi)
{
	struct vcpu *v = start_with(3);

	pulse(v, 3);
	TAKES(v, 3);
	EQ(ocw3(v, MASTER, READ_ISR), 0);
	pulse(v, 5);
	TAKES(v, 5);
	pulse(v, 3);
	TAKES(v, 3);
	/* With rotation, the last one becomes the lowest. */
	remote_out(v, MASTER, ROTATE_AUTO);
	pulse(v, 3);
	TAKES(v, 3);
	pulse(v, 3);
	pulse(v, 4);
	EQ(remote_window(v), 2);
	EQ(PERCPU(v).log[4], BASE + 4);
	EQ(PERCPU(v).log[5], BASE + 3);
	remote_out(v, MASTER, ROTATE_AUTO_OFF);
	vm_free(v->vm);
}

TEST(poll)
{
	struct vcpu *v = start();

	if (kvm_in_tree())
		skip("in-tree never sets bit 7 of what a poll reads");
	EQ(ocw3(v, MASTER, POLL) & 0x80, 0);
	pulse(v, 6);
	pulse(v, 3);
	EQ(ocw3(v, MASTER, POLL), 0x83);
	EQ(ocw3(v, MASTER, READ_ISR), 1 << 3);
	TAKES_NONE(v);
	remote_out(v, MASTER, EOI);
	TAKES(v, 6);
	vm_free(v->vm);
}

/* Special fully nested: the slave's higher ones interrupt its lower ones. */
TEST(special_fully_nested)
{
	struct vcpu *v = start_with(0x11);

	pulse(v, 12);
	TAKES(v, 12);
	pulse(v, 9);
	TAKES(v, 9);
	EQ(ocw3(v, SLAVE, READ_ISR), 0x12);
	vm_free(v->vm);
	/* Otherwise they wait, since IR2 is in service. */
	v = start();
	pulse(v, 12);
	TAKES(v, 12);
	pulse(v, 9);
	TAKES_NONE(v);
	vm_free(v->vm);
}

/* ICW1 forgets masks, edges and priorities. */
TEST(initialised_again)
{
	struct vcpu *v = start();

	pulse(v, 4);
	remote_out(v, MASTER + 1, 0xff);
	remote_out(v, MASTER, SET_PRIORITY | 4);
	init_8259(v, MASTER, 1);
	TAKES_NONE(v);
	EQ(ocw3(v, MASTER, READ_IRR), 0);
	EQ(remote_in(v, MASTER + 1), 0);
	pulse(v, 5);
	pulse(v, 1);
	TAKES(v, 1);
	vm_free(v->vm);
}

TEST(other_vectors)
{
	struct vcpu *v = start();

	remote_out(v, MASTER, 0x11);
	remote_out(v, MASTER + 1, 0x77);	/* bits 2:0 do not count */
	remote_out(v, MASTER + 1, 4);
	remote_out(v, MASTER + 1, 1);
	pulse(v, 5);
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).log[0], 0x75);
	vm_free(v->vm);
}

/* LINT0 stands between the 8259 and the processor. */
TEST(through_lint0)
{
	struct vcpu *v = start();

	remote_apic_write(v, APIC_LVT_LINT0, LVT_MASKED | ICR_EXTINT);
	if (!kvm_in_tree())	/* which does not look when it is unmasked */
		pulse(v, 3);
	TAKES_NONE(v);
	remote_apic_write(v, APIC_LVT_LINT0, ICR_EXTINT);
	if (kvm_in_tree())
		pulse(v, 3);
	TAKES(v, 3);
	EQ(lapic_bit(v, APIC_ISR, BASE + 3), 0);
	remote_out(v, MASTER, EOI);
	/* TPR does not hold it back. */
	remote_apic_write(v, APIC_TPR, 0xff);
	pulse(v, 5);
	TAKES(v, 5);
	vm_free(v->vm);
}

/* The APIC's own interrupts come beside it. */
TEST(beside_the_apic)
{
	struct vcpu *v = start();

	pulse(v, 3);
	remote_icr(v, 0, ICR_SELF | ICR_ASSERT | 0x91);
	EQ(remote_window(v), 2);
	EQ(PERCPU(v).count[BASE + 3], 1);
	EQ(PERCPU(v).count[0x91], 1);
	vm_free(v->vm);
}

static u64 g_sti_hlt(u64 interrupts, u64 unused)
{
	struct percpu *p = this_cpu();

	(void)unused;
	while (p->taken < interrupts)
		asm volatile("sti; hlt; cli" : : : "memory");
	return 0;
}

TEST(wakes_from_hlt)
{
	struct vcpu *v = start();
	pthread_t thread = remote_start(v, g_sti_hlt, 1, 0);

	usleep(20000);
	irq_line(v->vm, 10, 1);
	remote_wait(v, thread);
	EQ(PERCPU(v).log[0], BASE + 10);
	vm_free(v->vm);
}

static void compare_8259(struct kvm_pic_state *a, struct kvm_pic_state *b)
{
	EQ(a->irr, b->irr);
	EQ(a->imr, b->imr);
	EQ(a->isr, b->isr);
	EQ(a->priority_add, b->priority_add);
	EQ(a->irq_base, b->irq_base);
	EQ(a->read_reg_select, b->read_reg_select);
	EQ(a->special_mask, b->special_mask);
	EQ(a->auto_eoi, b->auto_eoi);
	EQ(a->init4, b->init4);
	EQ(a->elcr, b->elcr);
}

/* A monitor may make the state up; it gets back what it has set. */
TEST(state_reads_back_8259)
{
	struct kvm_irqchip set = { .chip_id = 0 }, got = { .chip_id = 0 };
	struct vm *vm = vm_irqchip();

	set.chip.pic.irq_base = 10;
	set.chip.pic.imr = 0x55;
	WORKS(ioctl(vm->fd, KVM_SET_IRQCHIP, &set));
	WORKS(ioctl(vm->fd, KVM_GET_IRQCHIP, &got));
	EQ(memcmp(&set.chip.pic, &got.chip.pic, sizeof(set.chip.pic)), 0);
	vm_free(vm);
}

TEST(state_moves_8259)
{
	struct vcpu *a = start(), *b = remote_vm(false, 1)->vcpus[0];
	struct kvm_irqchip chip, got;
	u32 id;

	PERCPU(b).no_eoi = true;
	remote_out(a, 0x4d0, 1 << 5);
	remote_out(a, MASTER + 1, 0x80);
	pulse(a, 4);
	TAKES(a, 4);
	irq_line(a->vm, 5, 1);
	pulse(a, 3);
	pulse(a, 11);
	for (id = 0; id < 2; id++) {
		get_chip(a->vm, id, &chip);
		set_chip(b->vm, &chip);
	}
	for (id = 0; id < 2; id++) {
		get_chip(a->vm, id, &chip);
		get_chip(b->vm, id, &got);
		compare_8259(&chip.chip.pic, &got.chip.pic);
	}
	EQ(chip.chip.pic.irq_base, SLAVE_BASE);
	EQ(chip.chip.pic.irr, 1 << 3);
	TAKES(b, 11);
	remote_out(b, SLAVE, EOI);
	remote_out(b, MASTER, EOI);
	TAKES(b, 3);
	remote_out(b, MASTER, EOI);
	TAKES_NONE(b);				/* IRQ 4 is in service */
	remote_out(b, MASTER, EOI);
	TAKES(b, 5);
	vm_free(a->vm);
	vm_free(b->vm);
}

/* 8254 */

enum { COUNTER = 0x40, CONTROL = 0x43, SPEAKER = 0x61 };
#define PIT_HZ	1193182u
#define LSB_MSB	0x30

static struct vcpu *start_pit(u32 flags)
{
	struct kvm_pit_config config = { .flags = flags };
	struct vm *vm = vm_irqchip();
	struct vcpu *v;

	need_cap(KVM_CAP_PIT2);
	WORKS(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
	v = remote_vcpu(vm, 0);
	remote_apic_write(v, APIC_SVR, SVR_ENABLED | VEC_SPURIOUS);
	PERCPU(v).no_eoi = true;
	init_8259(v, MASTER, 3);
	init_8259(v, SLAVE, 1);
	return v;
}

static void program(struct vcpu *v, u32 counter, u32 mode, u32 value)
{
	remote_out(v, CONTROL, counter << 6 | LSB_MSB | mode << 1);
	remote_out(v, COUNTER + counter, value);
	remote_out(v, COUNTER + counter, value >> 8);
}

static u32 read_counter(struct vcpu *v, u32 counter)
{
	u32 low = remote_in(v, COUNTER + counter);

	return low | remote_in(v, COUNTER + counter) << 8;
}

static u32 latched(struct vcpu *v, u32 counter)
{
	remote_out(v, CONTROL, counter << 6);
	return read_counter(v, counter);
}

/* Microseconds that the guest's TSC has moved. */
static u64 g_tsc(u64 a, u64 b)
{
	(void)a;
	(void)b;
	return rdtsc();
}

static u64 micros(struct vcpu *v)
{
	return remote(v, g_tsc, 0, 0) * 1000 /
	       WORKS(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
}

static u64 pit_ticks(u64 us)
{
	return us * PIT_HZ / 1000000;
}

TEST(counts_down)
{
	struct vcpu *v = start_pit(0);
	u64 before, after, first, second, took;

	program(v, 0, 2, 0);			/* 65536: 54.9 ms */
	before = micros(v);
	first = latched(v, 0);
	usleep(20000);
	second = latched(v, 0);
	after = micros(v);
	took = first - second;
	CHECK(second < first);
	CHECK(took <= pit_ticks(after - before) + 2);
	CHECK(took >= pit_ticks(20000));
	vm_free(v->vm);
}

/* Latched, it stands still until it has been read. */
TEST(latch)
{
	struct vcpu *v = start_pit(0);
	u32 low, high, later;

	program(v, 0, 2, 0);
	remote_out(v, CONTROL, 0);
	low = remote_in(v, COUNTER);
	usleep(10000);
	remote_out(v, CONTROL, 0);		/* ignored: not yet read */
	high = remote_in(v, COUNTER);
	later = latched(v, 0);
	CHECK((low | high << 8) > later);
	CHECK((low | high << 8) - later >= pit_ticks(10000));
	vm_free(v->vm);
}

/* Read-back command: status of counters, and their counts. */
TEST(read_back)
{
	struct vcpu *v = start_pit(0);
	u32 status;

	program(v, 2, 3, 0x1234);
	remote_out(v, CONTROL, 0xe8);		/* status of counter 2 */
	status = remote_in(v, COUNTER + 2);
	EQ(status & 0x3f, LSB_MSB | 3 << 1);
	program(v, 0, 2, 50000);
	remote_out(v, CONTROL, 0xd2);		/* count of counter 0 */
	usleep(5000);
	CHECK(read_counter(v, 0) > latched(v, 0));
	remote_out(v, CONTROL, 0xc2);		/* both: status comes first */
	EQ(remote_in(v, COUNTER) & 0x3f, LSB_MSB | 2 << 1);
	CHECK(read_counter(v, 0) <= 50000);
	vm_free(v->vm);
}

/* One byte at a time. */
TEST(access_modes)
{
	struct vcpu *v = start_pit(0);
	struct kvm_pit_state2 s;

	remote_out(v, CONTROL, 0x14);		/* counter 0, low byte, mode 2 */
	remote_out(v, COUNTER, 0x80);
	WORKS(ioctl(v->vm->fd, KVM_GET_PIT2, &s));
	EQ(s.channels[0].count, 0x80);
	EQ(s.channels[0].rw_mode, 1);
	CHECK(remote_in(v, COUNTER) <= 0x80);
	remote_out(v, CONTROL, 0x24);		/* high byte */
	remote_out(v, COUNTER, 0x80);
	WORKS(ioctl(v->vm->fd, KVM_GET_PIT2, &s));
	EQ(s.channels[0].count, 0x8000);
	EQ(s.channels[0].rw_mode, 2);
	CHECK(remote_in(v, COUNTER) <= 0x80);
	vm_free(v->vm);
}

/* Counter 2's gate is bit 0 of port 61H, its output bit 5. */
TEST(speaker_port)
{
	struct vcpu *v = start_pit(KVM_PIT_SPEAKER_DUMMY);
	u32 i, bit4 = 0;

	remote_out(v, SPEAKER, 0);
	EQ(remote_in(v, SPEAKER) & 3, 0);
	remote_out(v, SPEAKER, 3);
	EQ(remote_in(v, SPEAKER) & 3, 3);
	program(v, 2, 0, 11932);		/* 10 ms */
	EQ(remote_in(v, SPEAKER) >> 5 & 1, 0);
	usleep(15000);
	EQ(remote_in(v, SPEAKER) >> 5 & 1, 1);
	for (i = 0; i < 200; i++)		/* the refresh clock */
		bit4 |= 1 << (remote_in(v, SPEAKER) >> 4 & 1);
	EQ(bit4, 3);
	vm_free(v->vm);
}

static u64 g_in_speaker(u64 a, u64 b)
{
	(void)a;
	(void)b;
	return inb(SPEAKER);
}

/* Without the flag, port 61H is user space's. */
TEST(no_speaker_port)
{
	struct vcpu *v = start_pit(0);

	remote_order(v, g_in_speaker, 0, 0);
	vcpu_until(v, KVM_EXIT_IO);
	EQ(v->run->io.port, SPEAKER);
	vm_free(v->vm);
}

/* Square wave: half of the time up. */
TEST(square_wave)
{
	struct vcpu *v = start_pit(KVM_PIT_SPEAKER_DUMMY);
	u32 up = 0, i;

	remote_out(v, SPEAKER, 1);
	program(v, 2, 3, 2386);			/* 2 ms */
	for (i = 0; i < 300; i++) {
		up += remote_in(v, SPEAKER) >> 5 & 1;
		usleep(130);
	}
	CHECK(up > 75 && up < 225);
	vm_free(v->vm);
}

/* In guests: halts until so many interrupts have come; how long, in TSC. */
static u64 g_ticks(u64 interrupts, u64 unused)
{
	struct percpu *p = this_cpu();
	u64 begin = rdtsc();

	(void)unused;
	while (p->taken < interrupts)
		asm volatile("sti; hlt; cli" : : : "memory");
	return rdtsc() - begin;
}

static u64 g_busy_ticks(u64 interrupts, u64 unused)
{
	struct percpu *p = this_cpu();
	u64 begin = rdtsc();

	(void)unused;
	sti();
	while (p->taken < interrupts)
		asm volatile("pause");
	cli();
	return rdtsc() - begin;
}

static void ticks(u32 mode, remote_fn fn)
{
	struct vcpu *v = start_pit(0);
	u64 us;

	program(v, 0, mode, PIT_HZ / 250);	/* 4 ms */
	us = remote(v, fn, 50, 0) * 1000 /
	     WORKS(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	note("50 ticks of 4 ms in %llu us", us);
	CHECK(us > 194000 && us < 206000);
	EQ(PERCPU(v).count[BASE], 50);
	vm_free(v->vm);
}

TEST(ticks_mode_2)
{
	ticks(2, g_ticks);
}

TEST(ticks_mode_3)
{
	ticks(3, g_busy_ticks);
}

/* Modes 0 and 4 fire once. */
TEST(one_shot)
{
	static const u32 modes[] = { 0, 4 };
	struct vcpu *v = start_pit(0);
	u32 i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		log_clear(v);
		program(v, 0, modes[i], PIT_HZ / 250);
		usleep(20000);
		row(remote_window(v) == 1, "mode %u", modes[i]);
		usleep(20000);
		row(remote_window(v) == 0, "mode %u, once", modes[i]);
	}
	vm_free(v->vm);
}

/* A count that is written while another one is counted, and when it counts. */

static u32 status_of(struct vcpu *v, u32 counter)
{
	remote_out(v, CONTROL, 0xe0 | 2 << counter);
	return remote_in(v, COUNTER + counter);
}

#define NULL_COUNT	0x40
#define OUT_HIGH	0x80
#define TICKS_OF_MS(n)	((n) * PIT_HZ / 1000)

static void write_count(struct vcpu *v, u32 counter, u32 value)
{
	remote_out(v, COUNTER + counter, value);
	remote_out(v, COUNTER + counter, value >> 8);
}

static void need_deferred_counts(void)
{
	if (kvm_in_tree())
		skip("in-tree loads every count at once");
}

/* "... the new count will be loaded at the end of the current cycle." */
TEST(new_count_waits_mode_2)
{
	struct vcpu *v = start_pit(0);

	need_deferred_counts();
	program(v, 0, 2, TICKS_OF_MS(20));
	EQ(status_of(v, 0) & NULL_COUNT, 0);
	write_count(v, 0, TICKS_OF_MS(50));
	EQ(status_of(v, 0) & NULL_COUNT, NULL_COUNT);
	CHECK(latched(v, 0) <= TICKS_OF_MS(20));
	usleep(22000);
	EQ(status_of(v, 0) & NULL_COUNT, 0);
	CHECK(latched(v, 0) > TICKS_OF_MS(20));
	/* The control word starts anew; what waited is forgotten. */
	write_count(v, 0, TICKS_OF_MS(10));
	program(v, 0, 2, TICKS_OF_MS(40));
	EQ(status_of(v, 0) & NULL_COUNT, 0);
	CHECK(latched(v, 0) > TICKS_OF_MS(20));
	vm_free(v->vm);
}

/* In mode 3 half a period is the end; each half counts down by twos. */
TEST(new_count_waits_mode_3)
{
	struct vcpu *v = start_pit(KVM_PIT_SPEAKER_DUMMY);

	need_deferred_counts();
	remote_out(v, SPEAKER, 1);
	program(v, 2, 3, TICKS_OF_MS(40));
	write_count(v, 2, TICKS_OF_MS(54));
	EQ(status_of(v, 2) & (NULL_COUNT | OUT_HIGH), NULL_COUNT | OUT_HIGH);
	usleep(21000);
	/* The low half, 27 ms of it. */
	EQ(status_of(v, 2) & (NULL_COUNT | OUT_HIGH), 0);
	CHECK(latched(v, 2) > TICKS_OF_MS(40));
	usleep(27000);
	EQ(status_of(v, 2) & OUT_HIGH, OUT_HIGH);
	vm_free(v->vm);
}

/* 11 ticks: the first ends a period of 50 ms, the others last 4 ms. */
static void ticks_across_new_count(u32 mode, u64 want_us)
{
	struct vcpu *v = start_pit(0);
	u64 us;

	need_deferred_counts();
	program(v, 0, mode, TICKS_OF_MS(50));
	write_count(v, 0, TICKS_OF_MS(4));
	us = remote(v, g_ticks, 11, 0) * 1000 /
	     WORKS(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	note("11 ticks in %llu us", us);
	CHECK(us > want_us - 3000 && us < want_us + 2000);
	vm_free(v->vm);
}

TEST(ticks_across_new_count_mode_2)
{
	ticks_across_new_count(2, 90000);
}

/* Half of the old period, and half of a new one. */
TEST(ticks_across_new_count_mode_3)
{
	ticks_across_new_count(3, 67000);
}

/* Modes 0 and 4 take it with the next clock. */
TEST(new_count_at_once)
{
	static const u32 modes[] = { 0, 4 };
	struct vcpu *v = start_pit(0);
	u32 i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		program(v, 0, modes[i], TICKS_OF_MS(10));
		write_count(v, 0, TICKS_OF_MS(50));
		row(latched(v, 0) > TICKS_OF_MS(20), "mode %u", modes[i]);
		row(!(status_of(v, 0) & NULL_COUNT), "mode %u: loaded",
		    modes[i]);
	}
	/* "Writing the first byte disables counting." */
	if (kvm_in_tree())
		skip("in-tree goes on counting");
	log_clear(v);
	program(v, 0, 0, TICKS_OF_MS(4));
	remote_out(v, COUNTER, 0);
	EQ(status_of(v, 0) & OUT_HIGH, 0);
	usleep(8000);
	EQ(remote_window(v), 0);
	EQ(status_of(v, 0) & OUT_HIGH, 0);
	remote_out(v, COUNTER, 0x10);		/* 3.4 ms */
	usleep(8000);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

/* Modes 1 and 5 begin when the gate rises, and again when it does again. */
TEST(gate_triggers)
{
	struct vcpu *v = start_pit(KVM_PIT_SPEAKER_DUMMY);

	need_deferred_counts();
	remote_out(v, SPEAKER, 0);
	program(v, 2, 1, TICKS_OF_MS(20));
	EQ(status_of(v, 2) & (NULL_COUNT | OUT_HIGH), NULL_COUNT | OUT_HIGH);
	usleep(21000);
	EQ(status_of(v, 2) & (NULL_COUNT | OUT_HIGH), NULL_COUNT | OUT_HIGH);
	remote_out(v, SPEAKER, 1);
	EQ(status_of(v, 2) & (NULL_COUNT | OUT_HIGH), 0);
	/* The one-shot that is out goes by the old count. */
	write_count(v, 2, TICKS_OF_MS(50));
	EQ(status_of(v, 2) & (NULL_COUNT | OUT_HIGH), NULL_COUNT);
	remote_out(v, SPEAKER, 0);		/* has no effect */
	usleep(21000);
	EQ(status_of(v, 2) & (NULL_COUNT | OUT_HIGH), NULL_COUNT | OUT_HIGH);
	remote_out(v, SPEAKER, 1);
	EQ(status_of(v, 2) & (NULL_COUNT | OUT_HIGH), 0);
	CHECK(latched(v, 2) > TICKS_OF_MS(20));
	/* The strobe of mode 5 is one clock long: high, before and after. */
	program(v, 2, 5, TICKS_OF_MS(4));
	EQ(status_of(v, 2) & OUT_HIGH, OUT_HIGH);
	remote_out(v, SPEAKER, 0);
	remote_out(v, SPEAKER, 1);
	EQ(status_of(v, 2) & (NULL_COUNT | OUT_HIGH), OUT_HIGH);
	CHECK(latched(v, 2) <= TICKS_OF_MS(4));
	vm_free(v->vm);
}

/* A low gate stops modes 0 and 4, and resets 2 and 3 with their output high. */
TEST(gate_stops)
{
	static const u32 modes[] = { 0, 2, 3, 4 };
	struct vcpu *v = start_pit(KVM_PIT_SPEAKER_DUMMY);
	u32 i, first;

	if (kvm_in_tree())
		skip("in-tree's counters do not stop");
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		remote_out(v, SPEAKER, 1);
		program(v, 2, modes[i], TICKS_OF_MS(30));
		usleep(5000);
		remote_out(v, SPEAKER, 0);
		first = latched(v, 2);
		usleep(5000);
		row(latched(v, 2) == first, "mode %u: stands still", modes[i]);
		row(!(status_of(v, 2) & OUT_HIGH) == !modes[i],
		    "mode %u: output", modes[i]);
		remote_out(v, SPEAKER, 1);
		if (modes[i] == 0 || modes[i] == 4)
			row(latched(v, 2) <= first, "mode %u: on", modes[i]);
		else
			row(latched(v, 2) > first, "mode %u: anew", modes[i]);
	}
	vm_free(v->vm);
}

static u32 from_bcd(u32 bcd)
{
	return (bcd >> 12) * 1000 + (bcd >> 8 & 15) * 100 +
	       (bcd >> 4 & 15) * 10 + (bcd & 15);
}

static bool is_bcd(u32 v)
{
	return (v & 15) < 10 && (v >> 4 & 15) < 10 && (v >> 8 & 15) < 10 &&
	       v >> 12 < 10;
}

/* Four decades; 0 stands for 10,000. */
TEST(decimal)
{
	struct vcpu *v = start_pit(0);
	u32 i, count, last = 10000;

	if (kvm_in_tree())
		skip("in-tree counts in binary");
	remote_out(v, CONTROL, LSB_MSB | 0 << 1 | 1);
	write_count(v, 0, 0);			/* 8.4 ms */
	EQ(status_of(v, 0) & 0x3f, LSB_MSB | 1);
	for (i = 0; i < 20; i++) {
		count = latched(v, 0);
		row(is_bcd(count), "%x is decimal", count);
		if (from_bcd(count) > last)
			break;
		last = from_bcd(count);
	}
	usleep(10000);
	EQ(status_of(v, 0) & OUT_HIGH, OUT_HIGH);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

/*
 * Ticks that the guest was not there for. With reinjection (the default) it
 * gets them afterwards, one for each acknowledgement; without, they are lost.
 */
static u32 ticks_after_sleep(bool reinject, u32 *due, u32 *due_late)
{
	struct kvm_reinject_control control = { .pit_reinject = reinject };
	struct vcpu *v = start_pit(0);
	u64 begin, woken, end;
	u32 taken = 0, i;

	need_cap(KVM_CAP_REINJECT_CONTROL);
	WORKS(ioctl(v->vm->fd, KVM_REINJECT_CONTROL, &control));
	program(v, 0, 2, PIT_HZ / 250);
	begin = micros(v);
	usleep(82000);
	woken = micros(v);
	for (i = 0; i < 100; i++) {
		taken += remote_window(v);
		usleep(100);
	}
	end = micros(v);
	*due = (end - begin) / 4000;
	*due_late = (end - woken) / 4000;
	vm_free(v->vm);
	return taken;
}

TEST(reinjected)
{
	u32 due, late, taken = ticks_after_sleep(true, &due, &late);

	note("%u ticks of %u", taken, due);
	CHECK(taken + 1 >= due && taken <= due + 1);
}

TEST(not_reinjected)
{
	u32 due, late, taken = ticks_after_sleep(false, &due, &late);

	note("%u ticks of %u, %u of them at the end", taken, due, late);
	CHECK(taken >= 1 && taken <= late + 3);
}

/* State */

TEST(state_moves_8254)
{
	struct vcpu *a = start_pit(KVM_PIT_SPEAKER_DUMMY);
	struct vcpu *b = start_pit(KVM_PIT_SPEAKER_DUMMY);
	struct kvm_pit_state2 s, got;
	u32 i;

	program(a, 0, 2, PIT_HZ / 250);
	program(a, 1, 2, 18);
	program(a, 2, 3, 1000);
	remote_out(a, SPEAKER, 1);
	WORKS(ioctl(a->vm->fd, KVM_GET_PIT2, &s));
	EQ(s.channels[0].mode, 2);
	EQ(s.channels[0].count, PIT_HZ / 250);
	EQ(s.channels[2].mode, 3);
	EQ(s.channels[2].gate, 1);
	WORKS(ioctl(b->vm->fd, KVM_SET_PIT2, &s));
	WORKS(ioctl(b->vm->fd, KVM_GET_PIT2, &got));
	for (i = 0; i < 3; i++) {
		EQ(got.channels[i].count, s.channels[i].count);
		EQ(got.channels[i].mode, s.channels[i].mode);
		EQ(got.channels[i].rw_mode, s.channels[i].rw_mode);
		EQ(got.channels[i].gate, s.channels[i].gate);
		EQ(got.channels[i].bcd, s.channels[i].bcd);
	}
	EQ(got.flags, s.flags);
	remote(b, g_ticks, 10, 0);		/* it ticks there */
	vm_free(a->vm);
	vm_free(b->vm);
}

/* The HPET takes IRQ 0 away. */
TEST(hpet_legacy)
{
	struct vcpu *v = start_pit(0);
	struct kvm_pit_state2 s;

	program(v, 0, 2, PIT_HZ / 250);
	WORKS(ioctl(v->vm->fd, KVM_GET_PIT2, &s));
	s.flags |= KVM_PIT_FLAGS_HPET_LEGACY;
	WORKS(ioctl(v->vm->fd, KVM_SET_PIT2, &s));
	usleep(5000);
	while (remote_window(v))
		;
	usleep(30000);
	TAKES_NONE(v);
	s.flags &= ~KVM_PIT_FLAGS_HPET_LEGACY;
	WORKS(ioctl(v->vm->fd, KVM_SET_PIT2, &s));
	remote(v, g_ticks, 3, 0);
	vm_free(v->vm);
}

TEST(bad_8254)
{
	struct kvm_reinject_control control = { 0 };
	struct kvm_pit_config config = { .flags = 2 };
	struct vm *vm = vm_irqchip();
	struct kvm_pit_state2 s;

	need_cap(KVM_CAP_PIT2);
	FAILS(ioctl(vm->fd, KVM_GET_PIT2, &s), ENXIO);
	memset(&s, 0, sizeof(s));
	FAILS(ioctl(vm->fd, KVM_SET_PIT2, &s), ENXIO);
	FAILS(ioctl(vm->fd, KVM_REINJECT_CONTROL, &control), ENXIO);
	if (!kvm_in_tree())
		FAILS(ioctl(vm->fd, KVM_CREATE_PIT2, &config), EINVAL);
	config.flags = 0;
	WORKS(ioctl(vm->fd, KVM_CREATE_PIT2, &config));
	FAILS(ioctl(vm->fd, KVM_CREATE_PIT2, &config), EEXIST);
	vm_free(vm);
}
