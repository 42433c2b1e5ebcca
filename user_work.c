// SPDX-License-Identifier: GPL-2.0-only
/*
 * user_work.c - what the kernel does on the way to user mode, done on the way
 * to the guest: rescheduling, task work, throttling, signals.
 *
 * Up to 6.12 the kernel's function takes a vCPU of the kernel's own KVM, and
 * writes two fields of it when there is a signal. This is the one file that
 * sees that type: it hands over one that nobody looks at.
 */
#include "generated/conftest.h"

#ifdef HAVE_XFER_TO_GUEST_MODE_VCPU
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>
#else
#include <linux/entry-virt.h>
#endif

int kvm_handle_user_work(void);

/* Interrupts enabled. 0, or -EINTR: a signal is pending. */
int kvm_handle_user_work(void)
{
#ifdef HAVE_XFER_TO_GUEST_MODE_VCPU
	static struct kvm_run run;
	static struct kvm_vcpu nobody = { .run = &run };

	return xfer_to_guest_mode_handle_work(&nobody);
#else
	return xfer_to_guest_mode_handle_work();
#endif
}
