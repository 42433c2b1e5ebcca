// SPDX-License-Identifier: GPL-2.0-only
/*
 * routing.c - from a GSI or an MSI to the controllers.
 */
#include "include/compat.h"
#include "kvm.h"

int kvm_set_irq(struct kvm *kvm, int source, u32 gsi, bool level)
{
	return -1;
}

void kvm_notify_acked(struct kvm *kvm, unsigned int irqchip, unsigned int pin)
{
}

void kvm_request_ioapic_scan(struct kvm *kvm)
{
	kvm_make_all_requests(kvm, KVM_REQ_SCAN_IOAPIC);
}
