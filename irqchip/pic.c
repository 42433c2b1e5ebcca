// SPDX-License-Identifier: GPL-2.0-only
/*
 * pic.c - the two 8259A interrupt controllers of a PC.
 */
#include "include/compat.h"
#include "kvm.h"

bool kvm_pic_output(struct kvm *kvm)
{
	return false;
}

u8 kvm_pic_acknowledge(struct kvm *kvm)
{
	return 0;
}
