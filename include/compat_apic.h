/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of compat.h that needs <asm/apic.h>, which on newer kernels has
 * names that irqchip/lapic.h has as well.
 */
#ifndef KVM_COMPAT_APIC_H
#define KVM_COMPAT_APIC_H

#include <asm/apic.h>

#include "compat.h"

/* Any context; the CPU stays online. */
static inline void compat_send_posted_notification(int cpu)
{
#ifdef HAVE_APIC_SEND_IPI_MASK
	__apic_send_IPI_mask(cpumask_of(cpu), COMPAT_POSTED_VECTOR);
#else
	apic->send_IPI(cpu, COMPAT_POSTED_VECTOR);
#endif
}

#endif
