/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx_cap_msrs.h - what the processor we run on allows a VMCS to hold.
 */
#ifndef KVM_VMX_CAP_MSRS_H
#define KVM_VMX_CAP_MSRS_H

#include "vmx_checks.h"

void vmx_read_caps(struct vmx_caps *caps);	/* __init */

#endif
