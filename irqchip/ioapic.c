// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioapic.c - an I/O APIC as the 82093AA's data sheet has it.
 */
#include <linux/bitmap.h>

#include "include/compat.h"
#include "kvm.h"

int kvm_irqchip_create(struct kvm *kvm)
{
	return -EINVAL;
}

int kvm_irqchip_create_split(struct kvm *kvm, u32 nr_routes)
{
	return -EINVAL;
}

void kvm_irqchip_destroy(struct kvm *kvm)
{
}

void kvm_ioapic_eoi(struct kvm_vcpu *vcpu, u8 vector, bool level)
{
}

void kvm_ioapic_eoi_vectors(struct kvm_vcpu *vcpu, unsigned long *bitmap)
{
	bitmap_zero(bitmap, 256);
}
