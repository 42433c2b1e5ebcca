/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmcs_text.h - what the values of VMCS fields mean, in words. Shared with
 * user space: the patched QEMU prints what the driver prints.
 */
#ifndef KVM_VMCS_TEXT_H
#define KVM_VMCS_TEXT_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stddef.h>
#endif

#include "vmcs_fields.h"
#include "vmx.h"

/* Room that vmcs_field_text() needs, its final NUL included. */
#define VMCS_TEXT_SIZE	1280

/* In ascending order of encodings. */
extern const struct vmcs_field_desc vmcs_field_table[NR_VMCS_FIELDS];
/* By basic exit reason; NULL: none is defined. */
extern const char * const vmx_exit_names[NR_EXIT_REASONS];

/* The row of an encoding, or NULL. */
const struct vmcs_field_desc *vmcs_field_find(unsigned int encoding);
/* "Control", "Guest" and so on; NULL: there is no such group. */
const char *vmcs_group_name(unsigned int group);
/* Hexadecimal digits that show the whole field. */
int vmcs_field_digits(const struct vmcs_field_desc *field);
/*
 * What `value` means, beyond the number: names of flags, of an exit reason, of
 * an event; empty where there is nothing to say. Always ends with NUL.
 */
void vmcs_field_text(const struct vmcs_field_desc *field,
		     unsigned long long value, char *text, size_t size);

#endif
