/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * irqchip.h - the interrupt controllers that the driver models: what their
 * files offer each other, the run loop and the ioctl tables.
 *
 *	lapic.c		local APICs, one for each vCPU: registers, state
 *	apic_bus.c	messages between them, and to them
 *	apic_timer.c	their timers
 *	ioapic.c	82093AA-like I/O APIC
 *	pic.c		8259A pair
 *	pit.c		8254 and port 61H
 *	routing.c	from a GSI or an MSI to those
 *	eventfd.c	irqfd, ioeventfd
 *	iobus.c		which of them serves an access
 *
 * Locking, inside what kvm.h says (none of these is held when a vCPU's
 * mutex is taken):
 *
 *	kvm->irq_lock (mutex): changes of routes, irqfds, and of which
 *		controllers there are (that, under kvm->lock too).
 *	kvm->irq_srcu: readers of the routes; may be entered with
 *		interrupts off.
 *	ioapic->lock > nothing; pic->lock > nothing; pit->lock (mutex).
 *		Spinlocks, taken with interrupts off. A controller delivers
 *		to local APICs with its lock held.
 *	Local APIC: its registers belong to the vCPU's thread (vcpu->mutex)
 *		but for IRR and what is pending, which anyone may set,
 *		atomically. kvm->apic_map: RCU.
 */
#ifndef KVM_IRQCHIP_H
#define KVM_IRQCHIP_H

#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/types.h>

struct kvm;
struct kvm_vcpu;

/* Who models the interrupt controllers of a VM; settled before its vCPUs. */
enum kvm_irqchip_mode {
	KVM_IRQCHIP_USER,	/* the monitor: all of them */
	KVM_IRQCHIP_SPLIT,	/* local APICs here, the rest in the monitor */
	KVM_IRQCHIP_KERNEL,	/* all here */
};

/* ---- apic_bus.c: messages -------------------------------------------------- */

/* "Interrupt Command Register (ICR)" and "Message Data Register Format". */
enum kvm_delivery_mode {
	KVM_DELIVER_FIXED, KVM_DELIVER_LOWEST, KVM_DELIVER_SMI,
	KVM_DELIVER_RESERVED, KVM_DELIVER_NMI, KVM_DELIVER_INIT,
	KVM_DELIVER_STARTUP, KVM_DELIVER_EXTINT,
};

enum kvm_shorthand {
	KVM_SHORTHAND_NONE, KVM_SHORTHAND_SELF,
	KVM_SHORTHAND_ALL, KVM_SHORTHAND_OTHERS,
};

/* What an ICR, an MSI or a redirection-table entry says. */
struct kvm_apic_msg {
	u32 dest;		/* APIC ID or logical ID, by dest_logical */
	u8 vector;
	u8 mode;		/* enum kvm_delivery_mode */
	u8 shorthand;		/* enum kvm_shorthand; needs a source */
	bool dest_logical;
	bool level;		/* trigger mode: level, not edge */
	bool assert;		/* false: INIT level de-assert */
	bool lowest_hint;	/* MSI redirection hint */
};

/*
 * Deliver to every vCPU that the message names. `source`: the sender of an
 * IPI, or NULL. Any context but NMI. Returns the number of local APICs that
 * took it as something new; 0: it was pending in all; -1: there is none.
 */
int kvm_apic_deliver(struct kvm *kvm, struct kvm_vcpu *source,
		     const struct kvm_apic_msg *msg);
/*
 * Deliver to those whose physical IDs are `first` plus the number of a bit of
 * `ids`. Any context but NMI. Returns how many of them there are.
 */
int kvm_apic_deliver_ids(struct kvm *kvm, const struct kvm_apic_msg *msg,
			 u64 first, u64 ids);
/* The vCPU of a physical ID, or NULL. */
struct kvm_vcpu *kvm_apic_find(struct kvm *kvm, u32 id);
/* Would this vCPU be among those? (lowest priority: may be) */
bool kvm_apic_is_dest(struct kvm_vcpu *vcpu, const struct kvm_apic_msg *msg);
/* The vector is in this vCPU's IRR or ISR. */
bool kvm_apic_vector_busy(struct kvm_vcpu *vcpu, u8 vector);
/* KVM_REQ_APIC_MAP, and whenever a vCPU has come: if it is stale. May sleep. */
void kvm_apic_map_update(struct kvm *kvm);
void kvm_apic_map_destroy(struct kvm *kvm);

/* ---- lapic.c: life, state ----------------------------------------------- */

/* vcpu->apic is NULL with KVM_IRQCHIP_USER. */

int kvm_lapic_create(struct kvm_vcpu *vcpu);	/* -ENOMEM */
void kvm_lapic_free(struct kvm_vcpu *vcpu);
void kvm_lapic_reset(struct kvm_vcpu *vcpu, bool init);
/* KVM_GET_LAPIC, KVM_SET_LAPIC; -EINVAL without a local APIC. */
int kvm_get_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s);
int kvm_set_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s);
/* The page of registers, in the layout of "Local APIC Register Address Map". */
void *kvm_apic_regs(struct kvm_vcpu *vcpu);

/* Each register has a slot of 16 bytes; IRR, ISR and TMR have eight. */
#define APIC_REG_STRIDE	16
#define APIC_NR_WORDS	8

static inline u32 *kvm_apic_word(void *regs, unsigned int base,
				 unsigned int word)
{
	return regs + base + word * APIC_REG_STRIDE;
}

/* The highest vector that is set there, or -1. */
static inline int kvm_apic_highest(void *regs, unsigned int base)
{
	int word;

	for (word = APIC_NR_WORDS - 1; word >= 0; word--) {
		u32 bits = READ_ONCE(*kvm_apic_word(regs, base, word));

		if (bits)
			return word * 32 + __fls(bits);
	}
	return -1;
}

/* IA32_APIC_BASE was written, and the value is legal. */
void kvm_apic_base_changed(struct kvm_vcpu *vcpu, u64 old);
/* MSRs 800H to 8FFH as RDMSR and WRMSR find them; 1: #GP. Interrupts may be off. */
int kvm_x2apic_read(struct kvm_vcpu *vcpu, u32 msr, u64 *data);
int kvm_x2apic_write(struct kvm_vcpu *vcpu, u32 msr, u64 data);
/* Interrupts may be off. */
u64 kvm_apic_get_tsc_deadline(struct kvm_vcpu *vcpu);
void kvm_apic_set_tsc_deadline(struct kvm_vcpu *vcpu, u64 tsc);
/* TSC offset, ratio or frequency changed: a deadline moves. */
void kvm_apic_timer_restart(struct kvm_vcpu *vcpu);
void kvm_apic_set_tpr(struct kvm_vcpu *vcpu, unsigned long cr8);
unsigned long kvm_apic_get_cr8(struct kvm_vcpu *vcpu);

/* The page at IA32_APIC_BASE: 0, or -EOPNOTSUPP when it is not there. */
int kvm_apic_mmio_read(struct kvm_vcpu *vcpu, gpa_t gpa, unsigned int len,
		       void *data);
int kvm_apic_mmio_write(struct kvm_vcpu *vcpu, gpa_t gpa, unsigned int len,
			const void *data);

/* ---- lapic.c: for the run loop (vcpu.c) --------------------------------- */

/* Highest vector whose priority is above PPR, or -1. Own thread. */
int kvm_apic_pending_vector(struct kvm_vcpu *vcpu);
/* It is being injected: IRR to ISR. */
void kvm_apic_accept(struct kvm_vcpu *vcpu, u8 vector);
/* ... and may be ended without an exit: vcpu->pv.eoi_on. */
void kvm_apic_offer_eoi(struct kvm_vcpu *vcpu, u8 vector);
/* vcpu->pv.eoi_offered: before anyone asks what is in service. May sleep. */
void kvm_apic_settle_eoi(struct kvm_vcpu *vcpu);
/* LVT LINT0 lets the 8259's output through to this vCPU. */
bool kvm_apic_takes_extint(struct kvm_vcpu *vcpu);
/* The INTA cycle for that: the vector. */
u8 kvm_apic_acknowledge_extint(struct kvm_vcpu *vcpu);
/* The 8259's output as LINT0 in NMI mode: a watchdog by PIT. Any context. */
void kvm_apic_lint0_nmi(struct kvm *kvm);
/* INIT and SIPI that came: change mp_state, reset. Own thread. */
void kvm_apic_accept_events(struct kvm_vcpu *vcpu);
bool kvm_apic_has_events(struct kvm_vcpu *vcpu);
/* The timer has fired since: deliver LVT timer. Own thread. */
void kvm_apic_inject_timer(struct kvm_vcpu *vcpu);
bool kvm_apic_timer_pending(struct kvm_vcpu *vcpu);
/* The vCPU is about to sleep: the host's timer must watch for its own. */
void kvm_apic_timer_sleep(struct kvm_vcpu *vcpu);
/* KVM_REQ_SCAN_IOAPIC. May sleep. */
void kvm_apic_scan_ioapic(struct kvm_vcpu *vcpu);
/* The monitor sets the page of a start-up IPI; -1: that IPI has come. */
void kvm_apic_set_sipi(struct kvm_vcpu *vcpu, int vector);

/* ---- lapic.c: for the backend's APIC virtualisation --------------------- */

/* Trap-like APIC-write exit: the value is in the page already. */
void kvm_apic_write_trapped(struct kvm_vcpu *vcpu, unsigned int offset);
/* An EOI that the processor virtualised and reports. */
void kvm_apic_eoi_trapped(struct kvm_vcpu *vcpu, u8 vector);
/* EOI by exit or MSR write, the whole of it. */
void kvm_apic_eoi(struct kvm_vcpu *vcpu);
/* TPR in the page is new: PPR follows, interrupts may be allowed now. */
void kvm_apic_tpr_changed(struct kvm_vcpu *vcpu);
/* The backend's timer (VMX preemption timer) has reached its deadline. */
void kvm_apic_hw_timer_fired(struct kvm_vcpu *vcpu);

/* ---- ioapic.c, pic.c, pit.c --------------------------------------------- */

void kvm_irqchip_init(struct kvm *kvm);	/* of a VM without, so far */
/*
 * KVM_CREATE_IRQCHIP: 8259 pair and I/O APIC with default routes; kvm->lock.
 * -EEXIST: there are some; -EINVAL: there are vCPUs; -ENOMEM.
 */
int kvm_irqchip_create(struct kvm *kvm);
/* KVM_CAP_SPLIT_IRQCHIP with this many I/O APIC routes; kvm->lock. */
int kvm_irqchip_create_split(struct kvm *kvm, u32 nr_routes);
/* No vCPU runs any more; they are still there. */
void kvm_irqchip_destroy(struct kvm *kvm);

/*
 * EOI of a vector that kvm_ioapic_eoi_vectors() named; own thread. With
 * KVM_IRQCHIP_SPLIT it makes KVM_REQ_IOAPIC_EOI, which ends KVM_RUN.
 */
void kvm_ioapic_eoi(struct kvm_vcpu *vcpu, u8 vector, bool level);
/* Fill a bitmap of 256 with the vectors whose EOI must be told. */
void kvm_ioapic_eoi_vectors(struct kvm_vcpu *vcpu, unsigned long *bitmap);
/* The 8259s' INTR, and the INTA cycle: the vector. Any context but NMI. */
bool kvm_pic_output(struct kvm *kvm);
u8 kvm_pic_acknowledge(struct kvm *kvm);

/* -ENXIO: there is no PIT. */
int kvm_get_pit(struct kvm *kvm, struct kvm_pit_state2 *state);
int kvm_set_pit(struct kvm *kvm, const struct kvm_pit_state2 *state);
int kvm_pit_set_reinject(struct kvm *kvm, bool reinject);
int kvm_pit_create(struct kvm *kvm, u32 flags);

/* ---- routing.c ---------------------------------------------------------- */

#define KVM_MAX_IRQ_ROUTES	4096	/* GSIs are below it, too */

/* ioctls of these names, with their errors. */
int kvm_set_gsi_routing(struct kvm *kvm, struct kvm_irq_routing __user *user);
int kvm_signal_msi(struct kvm *kvm, const struct kvm_msi *msi);
int kvm_irq_line(struct kvm *kvm, struct kvm_irq_level *line);
int kvm_get_irqchip(struct kvm *kvm, struct kvm_irqchip *chip);
int kvm_set_irqchip(struct kvm *kvm, const struct kvm_irqchip *chip);

/* Sources of a level-triggered line, which are ORed. */
#define KVM_IRQ_SOURCE_USER	0
#define KVM_IRQ_SOURCE_RESAMPLE	1
#define KVM_IRQ_SOURCE_PIT	2

/*
 * Set a GSI to a level, along its routes. Any context but NMI. The return
 * value is that of kvm_apic_deliver(), the largest of the routes.
 */
int kvm_set_irq(struct kvm *kvm, int source, u32 gsi, bool level);
/* A line of an I/O APIC or 8259 was acknowledged by EOI: irqfd resampling. */
void kvm_notify_acked(struct kvm *kvm, unsigned int irqchip, unsigned int pin);
/* Routes changed, or the fields of a redirection entry that EOI concerns. */
void kvm_request_ioapic_scan(struct kvm *kvm);

/* ---- eventfd.c ---------------------------------------------------------- */

int kvm_irqfd_module_init(void);
void kvm_irqfd_module_exit(void);
/* KVM_IRQFD, KVM_IOEVENTFD. */
int kvm_irqfd(struct kvm *kvm, const struct kvm_irqfd *args);
int kvm_ioeventfd(struct kvm *kvm, const struct kvm_ioeventfd *args);

/* ---- iobus.c ------------------------------------------------------------ */

enum kvm_bus { KVM_BUS_MMIO, KVM_BUS_PIO };

/*
 * An access to what the driver itself models: this vCPU's local APIC, a device,
 * an ioeventfd, a coalesced zone. 0: done; -EOPNOTSUPP: it is the monitor's.
 * kvm->srcu held; may be called with interrupts on only.
 */
int kvm_io_read(struct kvm_vcpu *vcpu, enum kvm_bus bus, u64 addr,
		unsigned int len, void *data);
int kvm_io_write(struct kvm_vcpu *vcpu, enum kvm_bus bus, u64 addr,
		 unsigned int len, const void *data);
/*
 * True if an ioeventfd wanted it, and was signalled: a write to a port; one to
 * memory, of unknown length and value, for an ioeventfd of any length without
 * datamatch. Interrupts may be off. Only if kvm->ioeventfds. For the backend's
 * inner loop, which traces it.
 */
bool kvm_io_signal(struct kvm_vcpu *vcpu, u16 port, unsigned int len,
		   const void *data);
bool kvm_io_signal_any(struct kvm_vcpu *vcpu, gpa_t gpa);

/* Coalesced MMIO and PIO. Before kvm->srcu is used; after that. */
int kvm_coalesced_init(struct kvm *kvm);	/* -ENOMEM */
void kvm_coalesced_destroy(struct kvm *kvm);
/* ioctls: -EINVAL, -ENOSPC, -ENOMEM. */
int kvm_register_coalesced(struct kvm *kvm,
			   const struct kvm_coalesced_mmio_zone *zone);
int kvm_unregister_coalesced(struct kvm *kvm,
			     const struct kvm_coalesced_mmio_zone *zone);

#endif
