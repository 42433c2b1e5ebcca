/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * devices.h - what the controllers, the routes and the I/O bus offer each
 * other, and nobody else. Unless noted: any context but NMI.
 */
#ifndef KVM_IRQCHIP_DEVICES_H
#define KVM_IRQCHIP_DEVICES_H

#include <linux/types.h>

struct kvm;
struct kvm_ioapic;
struct kvm_ioeventfds;
struct kvm_pic;
struct kvm_pit;

/* ---- ioapic.c ----------------------------------------------------------- */

/* Created and freed by routing.c, may sleep. NULL: no memory. */
struct kvm_ioapic *kvm_ioapic_create(struct kvm *kvm);
void kvm_ioapic_free(struct kvm_ioapic *ioapic);
/* One source's level at a pin. The result is as kvm_set_irq()'s. */
int kvm_ioapic_set_pin(struct kvm_ioapic *ioapic, int source, unsigned int pin,
		       bool on);
/* The memory of its registers has this address, and what is at `offset`. */
bool kvm_ioapic_covers(const struct kvm_ioapic *ioapic, u64 addr,
		       unsigned int len, unsigned int *offset);
u32 kvm_ioapic_read(struct kvm_ioapic *ioapic, unsigned int offset);
/* Interrupts on. */
void kvm_ioapic_write(struct kvm_ioapic *ioapic, unsigned int offset, u32 val);
void kvm_ioapic_get_state(struct kvm_ioapic *ioapic,
			  struct kvm_ioapic_state *state);
void kvm_ioapic_set_state(struct kvm_ioapic *ioapic,
			  const struct kvm_ioapic_state *state);

/* ---- pic.c -------------------------------------------------------------- */

struct kvm_pic *kvm_pic_create(struct kvm *kvm);
void kvm_pic_free(struct kvm_pic *pic);
/* `chip`: 0 the master, 1 the slave. */
int kvm_pic_set_pin(struct kvm_pic *pic, int source, unsigned int chip,
		    unsigned int pin, bool on);
u8 kvm_pic_read(struct kvm_pic *pic, u16 port);
void kvm_pic_write(struct kvm_pic *pic, u16 port, u8 val);
void kvm_pic_get_state(struct kvm_pic *pic, unsigned int chip,
		       struct kvm_pic_state *state);
void kvm_pic_set_state(struct kvm_pic *pic, unsigned int chip,
		       const struct kvm_pic_state *state);

/* ---- pit.c -------------------------------------------------------------- */

/* GSI 0, where the timer's output goes, was acknowledged. */
void kvm_pit_acked(struct kvm_pit *pit);
/* It was unmasked somewhere: whatever was awaited may never come. */
void kvm_pit_rearm(struct kvm_pit *pit);
/* It needs kvm_pit_acked(). */
bool kvm_pit_wants_ack(const struct kvm_pit *pit);
/* Is the port its own? Sleep: */
bool kvm_pit_has_port(const struct kvm_pit *pit, u16 port);
u8 kvm_pit_read(struct kvm_pit *pit, u16 port);
void kvm_pit_write(struct kvm_pit *pit, u16 port, u8 val);
void kvm_pit_free(struct kvm_pit *pit);

/* ---- routing.c ---------------------------------------------------------- */

/* irq_srcu is held by the caller of these two. -1: no GSI leads there. */
int kvm_pin_to_gsi(struct kvm *kvm, unsigned int irqchip, unsigned int pin);
/* Someone needs kvm_notify_acked() for it. */
bool kvm_pin_wants_ack(struct kvm *kvm, unsigned int irqchip, unsigned int pin);
/* KVM_IRQCHIP_SPLIT's part of kvm_ioapic_eoi_vectors(). irq_srcu held. */
void kvm_split_eoi_vectors(struct kvm_vcpu *vcpu, unsigned long *bitmap);
/* An interrupt was unmasked at this pin. */
void kvm_notify_unmasked(struct kvm *kvm, unsigned int irqchip,
			 unsigned int pin);

/* ---- eventfd.c ---------------------------------------------------------- */

/* All irqfds of a VM that is going away; may sleep. */
void kvm_irqfd_release(struct kvm *kvm);
/* irq_srcu held: lower the line, ask its sources whether they need it still. */
void kvm_irqfd_acked(struct kvm *kvm, u32 gsi);
bool kvm_irqfd_wants_ack(struct kvm *kvm, u32 gsi);

/*
 * Signal those that the write is for; false: there is none. srcu held. A write
 * of unknown length and value has `len` 0, and is for those of any length.
 */
bool kvm_ioeventfd_write(struct kvm *kvm, enum kvm_bus bus, u64 addr,
			 unsigned int len, const void *data);
void kvm_ioeventfd_release(struct kvm *kvm);

#endif
