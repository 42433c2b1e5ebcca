// SPDX-License-Identifier: GPL-2.0-only
/*
 * pic.c - the two 8259A interrupt controllers of a PC, the slave at the
 * master's IR2, with the edge/level control registers of later chip sets.
 *
 * A chip's registers are kept as the monitor gets and sets them, in struct
 * kvm_pic_state: last_irr has the levels of the lines; irr a bit for each
 * request, which an edge sets and the INTA cycle clears, and which follows
 * the line where ELCR says level. A line is the OR of its sources.
 *
 * ICW1's choice of triggering (LTIM) and of the vector's format for an 8085
 * have no effect, as in those chip sets. Locking: pic->lock, a spinlock with
 * interrupts off; pic_unlock() tells the rest of the world what has changed.
 *
 * "8259A Programmable Interrupt Controller"; for ELCR: "82371AB PCI-to-ISA /
 * IDE Xcelerator (PIIX4)".
 */
#include <linux/bitops.h>
#include <linux/slab.h>

#include "include/compat.h"
#include "kvm.h"
#include "irqchip/devices.h"
#include "trace.h"

#define PINS		8	/* of a chip */
#define CASCADE		2	/* the master's pin for the slave */
#define SPURIOUS	7

#define PORT_MASTER	0x20
#define PORT_SLAVE	0xa0
#define PORT_ELCR	0x4d0

#define ICW1_IC4	BIT(0)
#define ICW1_SNGL	BIT(1)
#define ICW1		BIT(4)
#define ICW4_AEOI	BIT(1)
#define ICW4_SFNM	BIT(4)

#define OCW2_LEVEL	GENMASK(2, 0)
#define OCW2_EOI	BIT(5)
#define OCW2_SL		BIT(6)
#define OCW2_R		BIT(7)

#define OCW3		BIT(3)
#define OCW3_RIS	BIT(0)
#define OCW3_RR		BIT(1)
#define OCW3_P		BIT(2)
#define OCW3_SMM	BIT(5)
#define OCW3_ESMM	BIT(6)

/* init_state: what the next write to the odd port is. */
enum { READY, WANTS_ICW2, WANTS_ICW3, WANTS_ICW4 };

struct kvm_pic {
	spinlock_t lock;
	struct kvm *kvm;
	struct kvm_pic_state chip[2];
	bool single[2];			/* ICW1 said SNGL: there is no ICW3 */
	u8 line[2 * PINS];		/* who asserts it: bits of sources */
	bool output;			/* the master's INT; read by anyone */
	bool rose;			/* ... has gone high: not told yet */
	u16 acked;			/* pins: likewise */
};

/* ---- priorities --------------------------------------------------------- */

/* 0 for the highest among `pins`, by the chip's order; PINS: there is none. */
static int highest(const struct kvm_pic_state *c, u8 pins)
{
	return pins ? __ffs(ror8(pins, c->priority_add)) : PINS;
}

static int pin_at(const struct kvm_pic_state *c, int priority)
{
	return (priority + c->priority_add) % PINS;
}

/* The pin for which the chip asserts INT, or -1. */
static int requesting(const struct kvm_pic *pic, int n)
{
	const struct kvm_pic_state *c = &pic->chip[n];
	u8 in_service = c->isr;
	int first;

	if (c->special_mask)
		in_service &= ~c->imr;
	/* The slave sorts out its own. */
	if (c->special_fully_nested_mode && !n)
		in_service &= ~BIT(CASCADE);
	first = highest(c, c->irr & ~c->imr);
	return first < highest(c, in_service) ? pin_at(c, first) : -1;
}

/* ---- lines -------------------------------------------------------------- */

static void set_line(struct kvm_pic_state *c, unsigned int pin, bool high)
{
	u8 bit = BIT(pin);

	if (high) {
		if ((c->elcr | ~c->last_irr) & bit)
			c->irr |= bit;
		c->last_irr |= bit;
	} else {
		c->irr &= ~(c->elcr & bit);
		c->last_irr &= ~bit;
	}
}

/*
 * A request that is withdrawn before its INTA cycle is none, as with the real
 * chips. Other pins keep it: many a source makes but a pulse.
 */
static void set_cascade(struct kvm_pic *pic, bool high)
{
	set_line(&pic->chip[0], CASCADE, high);
	if (!high)
		pic->chip[0].irr &= ~BIT(CASCADE);
}

static void update_output(struct kvm_pic *pic)
{
	bool output = requesting(pic, 0) >= 0;

	pic->rose |= output && !pic->output;
	WRITE_ONCE(pic->output, output);
}

static void update(struct kvm_pic *pic)
{
	set_cascade(pic, requesting(pic, 1) >= 0);
	update_output(pic);
}

static unsigned long pic_lock(struct kvm_pic *pic)
	__acquires(&pic->lock)
{
	unsigned long flags;

	spin_lock_irqsave(&pic->lock, flags);
	return flags;
}

/* INT has gone high. It is wired to every local APIC's LINT0. */
static void tell_vcpus(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	int i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (!vcpu->apic || !kvm_apic_takes_extint(vcpu))
			continue;
		kvm_make_request(vcpu, KVM_REQ_EVENT);
		kvm_vcpu_kick(vcpu);
	}
	kvm_apic_lint0_nmi(kvm);
}

static void pic_unlock(struct kvm_pic *pic, unsigned long flags)
	__releases(&pic->lock)
{
	unsigned long acked = pic->acked;
	bool rose = pic->rose;
	unsigned int pin;

	pic->acked = 0;
	pic->rose = false;
	spin_unlock_irqrestore(&pic->lock, flags);
	if (rose)
		tell_vcpus(pic->kvm);
	for_each_set_bit(pin, &acked, 2 * PINS)
		kvm_notify_acked(pic->kvm, pin / PINS, pin % PINS);
}

int kvm_pic_set_pin(struct kvm_pic *pic, int source, unsigned int chip,
		    unsigned int pin, bool on)
{
	struct kvm_pic_state *c = &pic->chip[chip];
	u8 *line = &pic->line[chip * PINS + pin];
	unsigned long flags = pic_lock(pic);
	bool pending = c->irr & BIT(pin);
	int r;

	if (on)
		*line |= BIT(source);
	else
		*line &= ~BIT(source);
	set_line(c, pin, *line);
	update(pic);
	if (c->imr & BIT(pin))
		r = -1;
	else
		r = !on || !pending;
	trace_kvm_pic_set_irq(chip, pin, c->elcr, c->imr, !r);
	pic_unlock(pic, flags);
	return r;
}

/* ---- INTA and EOI ------------------------------------------------------- */

static void end_of_interrupt(struct kvm_pic *pic, int n, unsigned int pin)
{
	pic->chip[n].isr &= ~BIT(pin);
	pic->acked |= BIT(n * PINS + pin);
}

/* The INTA cycle, or what a poll does in its place. */
static void acknowledge(struct kvm_pic *pic, int n, unsigned int pin)
{
	struct kvm_pic_state *c = &pic->chip[n];

	c->isr |= BIT(pin);
	c->irr &= ~BIT(pin) | c->elcr;
	if (c->auto_eoi) {
		end_of_interrupt(pic, n, pin);
		if (c->rotate_on_auto_eoi)
			c->priority_add = (pin + 1) % PINS;
	}
	/* The slave's INT goes low, if only for a moment. */
	if (n)
		set_cascade(pic, false);
}

static u8 vector_of(const struct kvm_pic *pic, int n, int pin)
{
	return pic->chip[n].irq_base + (pin < 0 ? SPURIOUS : pin);
}

/* A request that is gone by now makes a spurious interrupt. */
static u8 acknowledge_all(struct kvm_pic *pic)
{
	int pin = requesting(pic, 0);

	if (pin < 0)
		return vector_of(pic, 0, pin);
	acknowledge(pic, 0, pin);
	if (pin != CASCADE)
		return vector_of(pic, 0, pin);
	pin = requesting(pic, 1);
	if (pin >= 0)
		acknowledge(pic, 1, pin);
	return vector_of(pic, 1, pin);
}

bool kvm_pic_output(struct kvm *kvm)
{
	return kvm->irqchip_mode == KVM_IRQCHIP_KERNEL &&
	       READ_ONCE(kvm->pic->output);
}

u8 kvm_pic_acknowledge(struct kvm *kvm)
{
	struct kvm_pic *pic = kvm->pic;
	unsigned long flags = pic_lock(pic);
	u8 vector = acknowledge_all(pic);

	update(pic);
	pic_unlock(pic, flags);
	return vector;
}

/* ---- registers ---------------------------------------------------------- */

/* Whoever waits for the end of an interrupt that is forgotten here is told. */
static void initialize(struct kvm_pic *pic, int n, u8 icw1)
{
	struct kvm_pic_state *c = &pic->chip[n];

	pic->acked |= (c->isr | c->irr) << n * PINS;
	c->irr = c->last_irr & c->elcr;
	c->imr = 0;
	c->isr = 0;
	c->priority_add = 0;
	c->read_reg_select = 0;
	c->poll = 0;
	c->special_mask = 0;
	c->auto_eoi = 0;
	c->rotate_on_auto_eoi = 0;
	c->special_fully_nested_mode = 0;
	c->init4 = icw1 & ICW1_IC4;
	c->init_state = WANTS_ICW2;
	pic->single[n] = icw1 & ICW1_SNGL;
}

static void write_ocw2(struct kvm_pic *pic, int n, u8 val)
{
	struct kvm_pic_state *c = &pic->chip[n];
	unsigned int pin = val & OCW2_LEVEL;
	u8 ending = c->isr;

	if (!(val & OCW2_EOI)) {
		if (!(val & OCW2_SL))
			c->rotate_on_auto_eoi = !!(val & OCW2_R);
		else if (val & OCW2_R)
			c->priority_add = (pin + 1) % PINS;
		return;
	}
	if (!(val & OCW2_SL)) {
		/* "An IS bit that is masked ... will not be cleared". */
		if (c->special_mask)
			ending &= ~c->imr;
		if (!ending)
			return;
		pin = pin_at(c, highest(c, ending));
	}
	if (c->isr & BIT(pin))
		end_of_interrupt(pic, n, pin);
	if (val & OCW2_R)
		c->priority_add = (pin + 1) % PINS;
}

static void write_ocw3(struct kvm_pic_state *c, u8 val)
{
	if (val & OCW3_P)
		c->poll = 1;
	if (val & OCW3_RR)
		c->read_reg_select = val & OCW3_RIS;
	if (val & OCW3_ESMM)
		c->special_mask = !!(val & OCW3_SMM);
}

static void write_even(struct kvm_pic *pic, int n, u8 val)
{
	if (val & ICW1)
		initialize(pic, n, val);
	else if (val & OCW3)
		write_ocw3(&pic->chip[n], val);
	else
		write_ocw2(pic, n, val);
}

static void write_odd(struct kvm_pic *pic, int n, u8 val)
{
	struct kvm_pic_state *c = &pic->chip[n];
	u8 after_icw3 = c->init4 ? WANTS_ICW4 : READY;

	switch (c->init_state) {
	case READY:
		c->imr = val;
		break;
	case WANTS_ICW2:
		c->irq_base = val & ~OCW2_LEVEL;
		c->init_state = pic->single[n] ? after_icw3 : WANTS_ICW3;
		break;
	case WANTS_ICW3:
		/* How the two are wired is known. */
		c->init_state = after_icw3;
		break;
	case WANTS_ICW4:
		c->special_fully_nested_mode = !!(val & ICW4_SFNM);
		c->auto_eoi = !!(val & ICW4_AEOI);
		c->init_state = READY;
		break;
	}
}

/* Requests at pins that are level-triggered follow their lines. */
static void write_elcr(struct kvm_pic_state *c, u8 val)
{
	c->elcr = val & c->elcr_mask;
	c->irr = (c->irr & ~c->elcr) | (c->last_irr & c->elcr);
}

void kvm_pic_write(struct kvm_pic *pic, u16 port, u8 val)
{
	int n = (port & ~1) == PORT_SLAVE;
	unsigned long flags = pic_lock(pic);

	if ((port & ~1) == PORT_ELCR)
		write_elcr(&pic->chip[port & 1], val);
	else if (port & 1)
		write_odd(pic, n, val);
	else
		write_even(pic, n, val);
	update(pic);
	pic_unlock(pic, flags);
}

static u8 poll(struct kvm_pic *pic, int n)
{
	int pin = requesting(pic, n);

	pic->chip[n].poll = 0;
	if (pin < 0)
		return 0;
	acknowledge(pic, n, pin);
	return 0x80 | pin;
}

static u8 read_register(struct kvm_pic *pic, u16 port)
{
	int n = (port & ~1) == PORT_SLAVE;
	const struct kvm_pic_state *c = &pic->chip[n];

	if ((port & ~1) == PORT_ELCR)
		return pic->chip[port & 1].elcr;
	if (c->poll)
		return poll(pic, n);
	if (port & 1)
		return c->imr;
	return c->read_reg_select ? c->isr : c->irr;
}

u8 kvm_pic_read(struct kvm_pic *pic, u16 port)
{
	unsigned long flags = pic_lock(pic);
	u8 val = read_register(pic, port);

	update(pic);
	pic_unlock(pic, flags);
	return val;
}

/* ---- life, state -------------------------------------------------------- */

/* The timer, the keyboard, the cascade, the RTC and the FPU are on edges. */
static const u8 elcr_masks[2] = { 0xf8, 0xde };

void kvm_pic_get_state(struct kvm_pic *pic, unsigned int chip,
		       struct kvm_pic_state *state)
{
	unsigned long flags = pic_lock(pic);

	*state = pic->chip[chip];
	pic_unlock(pic, flags);
}

void kvm_pic_set_state(struct kvm_pic *pic, unsigned int chip,
		       const struct kvm_pic_state *state)
{
	unsigned long flags = pic_lock(pic);
	struct kvm_pic_state *c = &pic->chip[chip];

	*c = *state;
	c->priority_add %= PINS;
	c->init_state &= 3;
	c->elcr_mask &= elcr_masks[chip];
	c->elcr &= elcr_masks[chip];
	/* A master's IR2 is as the slave will have it, which comes next. */
	if (chip)
		update(pic);
	else
		update_output(pic);
	pic_unlock(pic, flags);
}

struct kvm_pic *kvm_pic_create(struct kvm *kvm)
{
	struct kvm_pic *pic = kzalloc(sizeof(*pic), GFP_KERNEL_ACCOUNT);

	if (!pic)
		return NULL;
	spin_lock_init(&pic->lock);
	pic->kvm = kvm;
	pic->chip[0].elcr_mask = elcr_masks[0];
	pic->chip[1].elcr_mask = elcr_masks[1];
	return pic;
}

void kvm_pic_free(struct kvm_pic *pic)
{
	kfree(pic);
}
