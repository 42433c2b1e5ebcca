// SPDX-License-Identifier: GPL-2.0-only
/*
 * iobus.c - which device of the driver's own serves an access.
 */
#include "include/compat.h"
#include "kvm.h"

int kvm_io_read(struct kvm_vcpu *vcpu, enum kvm_bus bus, u64 addr,
		unsigned int len, void *data)
{
	return -EOPNOTSUPP;
}

int kvm_io_write(struct kvm_vcpu *vcpu, enum kvm_bus bus, u64 addr,
		 unsigned int len, const void *data)
{
	return kvm_coalesce_write(vcpu, bus == KVM_BUS_PIO, addr, len, data) ?
		0 : -EOPNOTSUPP;
}

bool kvm_io_write_any(struct kvm_vcpu *vcpu, gpa_t gpa)
{
	return false;
}
