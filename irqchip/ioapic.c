// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioapic.c - an I/O APIC with the registers and the manners of Intel's
 * 82093AA: 24 pins, each with an entry that says where a message goes when
 * the pin's line is asserted.
 *
 * An edge-triggered pin sends a message when its line goes from low to high,
 * and forgets about one that finds it masked. A level-triggered pin sends one
 * whenever its line is high and the last one was answered by an EOI ("Remote
 * IRR"). The polarity is noted and has no effect: whoever drives a line here
 * says whether it asserts it. A line is the OR of its sources.
 *
 * Knows nothing of GSIs (routing.c) nor of how a local APIC takes a message
 * (lapic.c). Locking: ioapic->lock, a spinlock with interrupts off, around
 * all of it; acknowledgements are told with no lock held.
 *
 * "82093AA I/O Advanced Programmable Interrupt Controller"; SDM: "Message
 * Data Register Format", "Signaling Interrupt Servicing Completion".
 */
#include <linux/bitmap.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "include/compat.h"
#include "kvm.h"
#include "irqchip/devices.h"
#include "trace.h"

#define NR_PINS		KVM_IOAPIC_NUM_PINS

#define DEFAULT_BASE	0xfec00000ull
#define WINDOW_SIZE	0x100

#define ALL_PINS	(BIT(NR_PINS) - 1)

/* In memory. */
#define IOREGSEL	0x00
#define IOWIN		0x10

/* Behind the window. */
#define REG_ID		0x00
#define REG_VERSION	0x01
#define REG_ARBITRATION	0x02
#define REG_REDIRECTION	0x10

#define ID_SHIFT	24
#define ID_MASK		(0xfu << ID_SHIFT)
#define VERSION		(0x11 | (NR_PINS - 1) << 16)

/* An entry of the redirection table. */
#define ENTRY_VECTOR	GENMASK_ULL(7, 0)
#define ENTRY_MODE	GENMASK_ULL(10, 8)
#define ENTRY_LOGICAL	BIT_ULL(11)
#define ENTRY_POLARITY	BIT_ULL(13)
#define ENTRY_REMOTE_IRR BIT_ULL(14)
#define ENTRY_LEVEL	BIT_ULL(15)
#define ENTRY_MASKED	BIT_ULL(16)
#define ENTRY_DEST	GENMASK_ULL(63, 56)
#define ENTRY_MODE_SHIFT 8
#define ENTRY_DEST_SHIFT 56
/* What decides which vCPUs must tell of which EOI. */
#define ENTRY_ROUTE	(ENTRY_VECTOR | ENTRY_MODE | ENTRY_LOGICAL | \
			 ENTRY_LEVEL | ENTRY_DEST)
#define ENTRY_WRITABLE	(ENTRY_ROUTE | ENTRY_POLARITY | ENTRY_MASKED)

/*
 * A guest that answers a level-triggered interrupt without silencing its
 * device gets it again at once, so many times in a row; then it is given time
 * to do something else, as the real bus would.
 */
#define STORM_LENGTH	10000
#define STORM_PAUSE	msecs_to_jiffies(10)

struct kvm_ioapic {
	spinlock_t lock;
	struct kvm *kvm;
	u64 base;
	u32 regsel;
	u32 id;
	u32 irr;			/* lines that are high */
	u64 entry[NR_PINS];
	u8 line[NR_PINS];		/* who asserts it: bits of sources */
	u16 storm[NR_PINS];		/* EOIs that found the line high */
	u16 held[NR_PINS];		/* see hold() */
	struct delayed_work retry;
};

/* ---- pins to messages --------------------------------------------------- */

/* Other modes than those two know no level, and get no EOI. */
static bool entry_is_level(u64 e)
{
	return (e & ENTRY_LEVEL) &&
	       (e & ENTRY_MODE) >> ENTRY_MODE_SHIFT <= KVM_DELIVER_LOWEST;
}

static struct kvm_apic_msg entry_message(u64 e)
{
	return (struct kvm_apic_msg) {
		.dest = e >> ENTRY_DEST_SHIFT,
		.vector = e & ENTRY_VECTOR,
		.mode = (e & ENTRY_MODE) >> ENTRY_MODE_SHIFT,
		.dest_logical = e & ENTRY_LOGICAL,
		.level = entry_is_level(e),
		.assert = true,
	};
}

/* The pin's line is high, and has a message to send unless one is out. */
static int send_message(struct kvm_ioapic *ioapic, unsigned int pin)
{
	u64 e = ioapic->entry[pin];
	struct kvm_apic_msg msg;
	int r;

	if (e & ENTRY_MASKED)
		return -1;
	if (entry_is_level(e) && ((e & ENTRY_REMOTE_IRR) || ioapic->held[pin]))
		return 0;
	msg = entry_message(e);
	r = kvm_apic_deliver(ioapic->kvm, NULL, &msg);
	trace_kvm_ioapic_set_irq(e, pin, !r);
	if (r >= 0 && entry_is_level(e))
		ioapic->entry[pin] |= ENTRY_REMOTE_IRR;
	return r;
}

static int line_is_high(struct kvm_ioapic *ioapic, unsigned int pin)
{
	bool was_high = ioapic->irr & BIT(pin);

	ioapic->irr |= BIT(pin);
	if (was_high && !entry_is_level(ioapic->entry[pin]))
		return 0;
	return send_message(ioapic, pin);
}

int kvm_ioapic_set_pin(struct kvm_ioapic *ioapic, int source, unsigned int pin,
		       bool on)
{
	unsigned long flags;
	int r = 1;

	spin_lock_irqsave(&ioapic->lock, flags);
	if (on)
		ioapic->line[pin] |= BIT(source);
	else
		ioapic->line[pin] &= ~BIT(source);
	if (on)
		r = line_is_high(ioapic, pin);
	else if (!ioapic->line[pin])
		ioapic->irr &= ~BIT(pin);
	spin_unlock_irqrestore(&ioapic->lock, flags);
	return r;
}

/* Level-triggered pins that could have sent a message, and did not. */
static void send_waiting(struct kvm_ioapic *ioapic, unsigned long pins)
{
	unsigned int pin;

	pins &= ioapic->irr;
	for_each_set_bit(pin, &pins, NR_PINS)
		if (entry_is_level(ioapic->entry[pin]))
			send_message(ioapic, pin);
}

static void retry(struct work_struct *work)
{
	struct kvm_ioapic *ioapic = container_of(to_delayed_work(work),
						 struct kvm_ioapic, retry);
	unsigned long flags;

	spin_lock_irqsave(&ioapic->lock, flags);
	send_waiting(ioapic, ALL_PINS);
	spin_unlock_irqrestore(&ioapic->lock, flags);
}

/* ---- end of interrupt --------------------------------------------------- */

static unsigned long pins_of_vector(const struct kvm_ioapic *ioapic, u8 vector)
{
	unsigned long pins = 0;
	unsigned int pin;

	for (pin = 0; pin < NR_PINS; pin++)
		if ((ioapic->entry[pin] & ENTRY_VECTOR) == vector)
			pins |= BIT(pin);
	return pins;
}

static void end_of_level(struct kvm_ioapic *ioapic, unsigned int pin)
{
	u64 e = ioapic->entry[pin];

	if (!entry_is_level(e) || !(e & ENTRY_REMOTE_IRR))
		return;
	ioapic->entry[pin] &= ~ENTRY_REMOTE_IRR;
	if (!(ioapic->irr & BIT(pin))) {
		ioapic->storm[pin] = 0;
	} else if (++ioapic->storm[pin] < STORM_LENGTH) {
		send_message(ioapic, pin);
	} else {
		ioapic->storm[pin] = 0;
		schedule_delayed_work(&ioapic->retry, STORM_PAUSE);
	}
}

static void ioapic_eoi(struct kvm_ioapic *ioapic, u8 vector, bool level)
{
	unsigned long flags, pins;
	unsigned int pin;

	spin_lock_irqsave(&ioapic->lock, flags);
	pins = pins_of_vector(ioapic, vector);
	spin_unlock_irqrestore(&ioapic->lock, flags);

	/* Who holds a line until it is acknowledged lets go of it first. */
	for_each_set_bit(pin, &pins, NR_PINS)
		kvm_notify_acked(ioapic->kvm, KVM_IRQCHIP_IOAPIC, pin);
	if (!level)
		return;
	spin_lock_irqsave(&ioapic->lock, flags);
	pins = pins_of_vector(ioapic, vector);
	for_each_set_bit(pin, &pins, NR_PINS)
		end_of_level(ioapic, pin);
	spin_unlock_irqrestore(&ioapic->lock, flags);
}

void kvm_ioapic_eoi(struct kvm_vcpu *vcpu, u8 vector, bool level)
{
	if (vcpu->kvm->irqchip_mode == KVM_IRQCHIP_KERNEL) {
		ioapic_eoi(vcpu->kvm->ioapic, vector, level);
	} else if (level) {
		vcpu->eoi_vector = vector;
		kvm_make_request(vcpu, KVM_REQ_IOAPIC_EOI);
	}
}

/*
 * An interrupt that is in service when its entry is given another destination
 * still ends in the vCPU that has it.
 */
static bool eoi_concerns(struct kvm_ioapic *ioapic, unsigned int pin,
			 struct kvm_vcpu *vcpu)
{
	struct kvm_apic_msg msg = entry_message(ioapic->entry[pin]);

	if (msg.mode > KVM_DELIVER_LOWEST)
		return false;
	if (!msg.level &&
	    !kvm_pin_wants_ack(ioapic->kvm, KVM_IRQCHIP_IOAPIC, pin))
		return false;
	return kvm_apic_is_dest(vcpu, &msg) ||
	       kvm_apic_vector_busy(vcpu, msg.vector);
}

/* The part of kvm_ioapic_eoi_vectors() with an I/O APIC; irq_srcu held. */
static void ioapic_eoi_vectors(struct kvm_ioapic *ioapic, struct kvm_vcpu *vcpu,
			       unsigned long *bitmap)
{
	unsigned long flags;
	unsigned int pin;

	spin_lock_irqsave(&ioapic->lock, flags);
	for (pin = 0; pin < NR_PINS; pin++)
		if (eoi_concerns(ioapic, pin, vcpu))
			__set_bit(ioapic->entry[pin] & ENTRY_VECTOR, bitmap);
	spin_unlock_irqrestore(&ioapic->lock, flags);
}

void kvm_ioapic_eoi_vectors(struct kvm_vcpu *vcpu, unsigned long *bitmap)
{
	struct kvm *kvm = vcpu->kvm;
	int idx;

	bitmap_zero(bitmap, 256);
	idx = srcu_read_lock(&kvm->irq_srcu);
	if (kvm->irqchip_mode == KVM_IRQCHIP_KERNEL)
		ioapic_eoi_vectors(kvm->ioapic, vcpu, bitmap);
	else
		kvm_split_eoi_vectors(vcpu, bitmap);
	srcu_read_unlock(&kvm->irq_srcu, idx);
}

/*
 * An entry that is new sends nothing whose EOI must be told before all vCPUs
 * know that. Between those two, which have ioapic->lock, the lock is free.
 */
static void hold(struct kvm_ioapic *ioapic, unsigned long pins)
{
	unsigned int pin;

	for_each_set_bit(pin, &pins, NR_PINS)
		ioapic->held[pin]++;
}

static void tell_and_release(struct kvm_ioapic *ioapic, unsigned long pins)
{
	unsigned long flags;
	unsigned int pin;

	kvm_request_ioapic_scan(ioapic->kvm);
	spin_lock_irqsave(&ioapic->lock, flags);
	for_each_set_bit(pin, &pins, NR_PINS)
		ioapic->held[pin]--;
	send_waiting(ioapic, pins);
	spin_unlock_irqrestore(&ioapic->lock, flags);
}

/* ---- registers ---------------------------------------------------------- */

bool kvm_ioapic_covers(const struct kvm_ioapic *ioapic, u64 addr,
		       unsigned int len, unsigned int *offset)
{
	u64 from_base = addr - READ_ONCE(ioapic->base);

	*offset = from_base;
	return from_base <= WINDOW_SIZE - len;
}

/* The half of an entry that the selected register is, or NULL. */
static u32 *selected_half(struct kvm_ioapic *ioapic, unsigned int *pin)
{
	unsigned int half = ioapic->regsel - REG_REDIRECTION;

	if (half >= 2 * NR_PINS)
		return NULL;
	half = array_index_nospec(half, 2 * NR_PINS);
	*pin = half / 2;
	return (u32 *)ioapic->entry + half;
}

static u32 read_window(struct kvm_ioapic *ioapic)
{
	unsigned int pin;
	u32 *half;

	switch (ioapic->regsel) {
	case REG_ID:
	case REG_ARBITRATION:
		return ioapic->id;
	case REG_VERSION:
		return VERSION;
	}
	half = selected_half(ioapic, &pin);
	return half ? *half : 0;
}

u32 kvm_ioapic_read(struct kvm_ioapic *ioapic, unsigned int offset)
{
	unsigned long flags;
	u32 val = 0;

	spin_lock_irqsave(&ioapic->lock, flags);
	if (offset == IOREGSEL)
		val = ioapic->regsel;
	else if (offset == IOWIN)
		val = read_window(ioapic);
	spin_unlock_irqrestore(&ioapic->lock, flags);
	return val;
}

/* What a write to an entry brings about once the lock is free again. */
struct entry_change {
	unsigned int pin;
	bool unmasked;
	bool route;
};

static void write_half(struct kvm_ioapic *ioapic, u32 *half, unsigned int pin,
		       u32 val, struct entry_change *change)
{
	u64 *e = &ioapic->entry[pin], old = *e;

	*half = val;
	*e = (*e & ENTRY_WRITABLE) | (old & ~ENTRY_WRITABLE);
	/* Guests go through edge and back to end an interrupt by force. */
	if (!(*e & ENTRY_LEVEL))
		*e &= ~ENTRY_REMOTE_IRR;
	change->pin = pin;
	change->unmasked = old & ~*e & ENTRY_MASKED;
	change->route = (old ^ *e) & ENTRY_ROUTE;
	if (change->route)
		hold(ioapic, BIT(pin));
	else
		send_waiting(ioapic, BIT(pin));
}

static void write_window(struct kvm_ioapic *ioapic, u32 val,
			 struct entry_change *change)
{
	unsigned int pin;
	u32 *half;

	if (ioapic->regsel == REG_ID) {
		ioapic->id = val & ID_MASK;
		return;
	}
	half = selected_half(ioapic, &pin);
	if (half)
		write_half(ioapic, half, pin, val, change);
}

void kvm_ioapic_write(struct kvm_ioapic *ioapic, unsigned int offset, u32 val)
{
	struct entry_change change = { };
	unsigned long flags;

	spin_lock_irqsave(&ioapic->lock, flags);
	if (offset == IOREGSEL)
		ioapic->regsel = val & 0xff;
	else if (offset == IOWIN)
		write_window(ioapic, val, &change);
	spin_unlock_irqrestore(&ioapic->lock, flags);

	if (change.route)
		tell_and_release(ioapic, BIT(change.pin));
	if (change.unmasked)
		kvm_notify_unmasked(ioapic->kvm, KVM_IRQCHIP_IOAPIC,
				    change.pin);
}

/* ---- life, state -------------------------------------------------------- */

/* An edge is over when its message is out: only high levels are state. */
void kvm_ioapic_get_state(struct kvm_ioapic *ioapic,
			  struct kvm_ioapic_state *state)
{
	unsigned long flags;
	unsigned int pin;

	*state = (struct kvm_ioapic_state) { };
	spin_lock_irqsave(&ioapic->lock, flags);
	state->base_address = ioapic->base;
	state->ioregsel = ioapic->regsel;
	state->id = ioapic->id >> ID_SHIFT;
	for (pin = 0; pin < NR_PINS; pin++) {
		state->redirtbl[pin].bits = ioapic->entry[pin];
		if (entry_is_level(ioapic->entry[pin]))
			state->irr |= ioapic->irr & BIT(pin);
	}
	spin_unlock_irqrestore(&ioapic->lock, flags);
}

static void load_state(struct kvm_ioapic *ioapic,
		       const struct kvm_ioapic_state *state)
{
	unsigned int pin;

	WRITE_ONCE(ioapic->base, state->base_address);
	ioapic->regsel = state->ioregsel & 0xff;
	ioapic->id = state->id << ID_SHIFT & ID_MASK;
	ioapic->irr = 0;
	for (pin = 0; pin < NR_PINS; pin++) {
		ioapic->entry[pin] = state->redirtbl[pin].bits &
				     (ENTRY_WRITABLE | ENTRY_REMOTE_IRR);
		ioapic->storm[pin] = 0;
	}
	hold(ioapic, ALL_PINS);
	for (pin = 0; pin < NR_PINS; pin++)
		if (state->irr & BIT(pin))
			line_is_high(ioapic, pin);
}

void kvm_ioapic_set_state(struct kvm_ioapic *ioapic,
			  const struct kvm_ioapic_state *state)
{
	unsigned long flags;

	spin_lock_irqsave(&ioapic->lock, flags);
	load_state(ioapic, state);
	spin_unlock_irqrestore(&ioapic->lock, flags);
	tell_and_release(ioapic, ALL_PINS);
}

struct kvm_ioapic *kvm_ioapic_create(struct kvm *kvm)
{
	struct kvm_ioapic *ioapic = kzalloc(sizeof(*ioapic),
					    GFP_KERNEL_ACCOUNT);
	unsigned int pin;

	if (!ioapic)
		return NULL;
	spin_lock_init(&ioapic->lock);
	INIT_DELAYED_WORK(&ioapic->retry, retry);
	ioapic->kvm = kvm;
	ioapic->base = DEFAULT_BASE;
	for (pin = 0; pin < NR_PINS; pin++)
		ioapic->entry[pin] = ENTRY_MASKED;
	return ioapic;
}

void kvm_ioapic_free(struct kvm_ioapic *ioapic)
{
	if (!ioapic)
		return;
	cancel_delayed_work_sync(&ioapic->retry);
	kfree(ioapic);
}
