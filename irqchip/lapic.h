/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lapic.h - inside a local APIC: what lapic.c (registers), apic_bus.c
 * (messages) and apic_timer.c share, and no one else needs.
 *
 * The page of registers has the layout that software sees, which is also that
 * of the virtual-APIC page; where the processor virtualises accesses it reads
 * and writes the page by itself. Offsets have the names of <asm/apicdef.h>.
 */
#ifndef KVM_LAPIC_H
#define KVM_LAPIC_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/bitops.h>
#include <linux/hrtimer.h>
#include <linux/types.h>
#include <asm/apicdef.h>

#include "../kvm.h"

/* "Local APIC Timer". All but `fired` belongs to the vCPU's thread. */
struct kvm_apic_timer {
	struct hrtimer hrtimer;
	u64 period;		/* a whole count in ns; 0: not counting */
	u64 expires;		/* when the count is 0 next; ktime_get_ns() */
	u64 tsc_deadline;	/* IA32_TSC_DEADLINE; 0: disarmed */
	bool in_backend;	/* the backend watches, not the hrtimer */
	bool fired;		/* atomic: LVT timer is still to be delivered */
};

struct kvm_lapic {
	struct kvm_vcpu *vcpu;
	void *regs;

	/* Changed by the vCPU's thread, looked at by senders. */
	bool x2apic;
	bool hw_enabled;	/* IA32_APIC_BASE */
	bool sw_enabled;	/* SVR, and hw_enabled */

	/* Bit n: word n of IRR may have a bit set. Atomic. */
	unsigned long irr_words;
	/* The same of ISR, unless apicv_active. Own thread. */
	unsigned long isr_words;

	unsigned long errors;	/* ESR as the next write to it loads it; atomic */
	unsigned long events;	/* APIC_EVENT_*, atomic */
	u8 sipi_vector;		/* valid before APIC_EVENT_SIPI is set */
	bool lint0_nmi;		/* counted in kvm->nr_lint0_nmi */
	/* What the timer goes by; an APIC-write exit has lost the old value. */
	u32 lvtt, tdcr;

	/* Vectors whose EOI an I/O APIC waits for. Own thread. */
	DECLARE_BITMAP(eoi_vectors, 256);

	struct kvm_apic_timer timer;
};

/* What others send that the thread must see to: bits of `events`. */
#define APIC_EVENT_INIT		0
#define APIC_EVENT_SIPI		1
#define APIC_EVENT_EXTINT	2	/* an I/O APIC says: ask the 8259 */

/* Vectors below are the processor's own: "Valid Interrupt Vectors". */
#define FIRST_LEGAL_VECTOR	16

/* Slots that may hold a register. */
#define APIC_REG_ROWS	(KVM_APIC_REG_SIZE / APIC_REG_STRIDE)

/* Bits of ESR, by number: "Error Status Register (ESR)". */
#define ESR_SEND_ILLEGAL_VECTOR		5
#define ESR_RECEIVE_ILLEGAL_VECTOR	6
#define ESR_ILLEGAL_REGISTER		7

static inline u32 apic_get(const struct kvm_lapic *apic, unsigned int offset)
{
	return READ_ONCE(*(u32 *)(apic->regs + offset));
}

static inline void apic_set(struct kvm_lapic *apic, unsigned int offset,
			    u32 value)
{
	WRITE_ONCE(*(u32 *)(apic->regs + offset), value);
}

/* For atomic operations on bit vector % 32. */
static inline unsigned long *vector_word(const struct kvm_lapic *apic,
					 unsigned int base, u8 vector)
{
	return (unsigned long *)kvm_apic_word(apic->regs, base, vector / 32);
}

static inline bool apic_test_vector(const struct kvm_lapic *apic,
				    unsigned int base, u8 vector)
{
	return test_bit(vector % 32, vector_word(apic, base, vector));
}

/* apic_bus.c */

/* A fixed interrupt arrives; any context but NMI. As kvm_apic_deliver(). */
int apic_accept_fixed(struct kvm_lapic *apic, u8 vector, bool level);
/* An event of the local vector table at `lvt`. Any context but NMI. */
void apic_deliver_local(struct kvm_lapic *apic, unsigned int lvt);
/* Note an error, and tell of it by LVT error. Any context but NMI. */
void apic_error(struct kvm_lapic *apic, unsigned int bit);
/* ICR was written: send. */
void apic_send_ipi(struct kvm_lapic *apic, u32 icr, u32 dest);
/* A mode, or a logical ID, is new: bring the map up to date before entry. */
void apic_map_changed(struct kvm_lapic *apic);

/* apic_timer.c */

void apic_timer_init(struct kvm_lapic *apic);
void apic_timer_stop(struct kvm_lapic *apic);	/* and disarm */
/* Initial count was written. */
void apic_timer_start(struct kvm_lapic *apic);
/* KVM_SET_LAPIC: go on from a current count. */
void apic_timer_resume(struct kvm_lapic *apic, u32 count);
u32 apic_timer_count(struct kvm_lapic *apic);
/* LVT timer, or the divide configuration, was `old`. */
void apic_timer_lvt_changed(struct kvm_lapic *apic, u32 old);
void apic_timer_divide_changed(struct kvm_lapic *apic, u32 old);

#endif
