// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmcs_text.c - what the values of VMCS fields mean, in words, by the format
 * that vmcs_fields.h gives each field and the tables of vmx.h.
 *
 * Needs nothing of the kernel but snprintf() and compiles in user space, for
 * the unit tests and for QEMU.
 *
 * SDM: "Virtual Machine Control Structures", "Guest Register State".
 */
#ifdef __KERNEL__
#include <linux/kernel.h>
#include <linux/string.h>
#else
#include <stdio.h>
#include <string.h>
#endif

#include "vmcs_text.h"

const struct vmcs_field_desc vmcs_field_table[NR_VMCS_FIELDS] = {
	VMCS_FIELDS(VMCS_FIELD_DESC)
};

static const struct {
	unsigned int control;
	const char *title;
} controls[] = {
#define CONTROL_TITLE(word, name, bit, title) { VMX_CTL_##name, title },
	VMX_CONTROLS(CONTROL_TITLE)
#undef CONTROL_TITLE
};
#define NR_CONTROLS	(sizeof(controls) / sizeof(controls[0]))

const char * const vmx_exit_names[NR_EXIT_REASONS] = {
#define EXIT_NAME(number, name, string) [number] = string,
	VMX_EXIT_REASONS(EXIT_NAME)
#undef EXIT_NAME
};

struct text {
	char *at;
	size_t left;
	const char *separator;
};

static void add(struct text *t, const char *word)
{
	int n = snprintf(t->at, t->left, "%s%s", t->separator, word);

	/* What does not fit is cut. */
	if (n < 0 || (size_t)n >= t->left)
		n = t->left - 1;
	t->at += n;
	t->left -= n;
	t->separator = ", ";
}

static void add_number(struct text *t, const char *name,
		       unsigned long long value, int base)
{
	char word[64];

	snprintf(word, sizeof(word), base == 16 ? "%s %#llx" : "%s %llu", name,
		 value);
	add(t, word);
}

/* ---- formats ------------------------------------------------------------ */

static int control_word(unsigned int encoding)
{
	switch (encoding) {
	case PIN_BASED_CTLS:
		return VMX_WORD_PIN;
	case PROC_BASED_CTLS:
		return VMX_WORD_CPU;
	case PROC_BASED_CTLS2:
		return VMX_WORD_CPU2;
	case PROC_BASED_CTLS3:
		return VMX_WORD_CPU3;
	case VM_EXIT_CTLS:
		return VMX_WORD_EXIT;
	case VM_EXIT_CTLS2:
		return VMX_WORD_EXIT2;
	case VM_ENTRY_CTLS:
		return VMX_WORD_ENTRY;
	default:
		return -1;
	}
}

static void add_controls(struct text *t, int word, unsigned long long value)
{
	size_t i;

	for (i = 0; i < NR_CONTROLS; i++)
		if ((int)VMX_CTL_WORD(controls[i].control) == word &&
		    (value & VMX_CTL_MASK(controls[i].control)))
			add(t, controls[i].title);
}

/* "Segment Types": system, then data and code. */
static void add_segment_type(struct text *t, unsigned int ar)
{
	if (!(ar & SEG_AR_S)) {
		switch (ar & SEG_AR_TYPE) {
		case SEG_AR_TYPE_LDT:
			add(t, "LDT");
			break;
		case SEG_AR_TYPE_BUSY_TSS16:
			add(t, "busy 16-bit TSS");
			break;
		case SEG_AR_TYPE_BUSY_TSS:
			add(t, "busy TSS");
			break;
		default:
			add_number(t, "system type", ar & SEG_AR_TYPE, 10);
		}
		return;
	}
	if (ar & SEG_AR_TYPE_CODE) {
		add(t, ar & SEG_AR_TYPE_READABLE ? "code, readable" : "code");
		if (ar & SEG_AR_TYPE_CONFORMING)
			add(t, "conforming");
	} else {
		add(t, ar & SEG_AR_TYPE_WRITABLE ? "data, writable" : "data");
		if (ar & SEG_AR_TYPE_EXPAND_DOWN)
			add(t, "expand-down");
	}
	if (ar & SEG_AR_TYPE_ACCESSED)
		add(t, "accessed");
}

static void add_access_rights(struct text *t, unsigned int ar)
{
	if (ar & SEG_AR_UNUSABLE) {
		add(t, "unusable");
		return;
	}
	add_segment_type(t, ar);
	add_number(t, "DPL", SEG_AR_DPL(ar), 10);
	add(t, ar & SEG_AR_P ? "present" : "not present");
	if (ar & SEG_AR_L)
		add(t, "64-bit");
	else if (ar & SEG_AR_S)
		add(t, ar & SEG_AR_DB ? "32-bit" : "16-bit");
	if (ar & SEG_AR_G)
		add(t, "granularity 4K");
	if (ar & SEG_AR_AVL)
		add(t, "AVL");
}

static const char *event_type(unsigned int info)
{
	switch (info & INTR_TYPE) {
	case INTR_TYPE_EXT_INTR:
		return "external interrupt";
	case INTR_TYPE_NMI:
		return "NMI";
	case INTR_TYPE_HARD_EXCEPTION:
		return "hardware exception";
	case INTR_TYPE_SOFT_INTR:
		return "software interrupt";
	case INTR_TYPE_PRIV_EXCEPTION:
		return "privileged software exception";
	case INTR_TYPE_SOFT_EXCEPTION:
		return "software exception";
	case INTR_TYPE_OTHER:
		return "other event";
	default:
		return "reserved type";
	}
}

static void add_event(struct text *t, unsigned int info)
{
	if (!(info & INTR_VALID)) {
		add(t, "not valid");
		return;
	}
	add_number(t, event_type(info), info & INTR_VECTOR, 10);
	if (info & INTR_ERROR_CODE)
		add(t, "error code");
	if (info & INTR_NMI_UNBLOCKED)
		add(t, "NMIs unblocked by IRET");
}

static void add_reason(struct text *t, unsigned int reason)
{
	unsigned int basic = reason & EXIT_REASON_BASIC;

	if (basic < NR_EXIT_REASONS && vmx_exit_names[basic])
		add(t, vmx_exit_names[basic]);
	else
		add(t, "unknown");
	if (reason & EXIT_REASON_ENTRY_FAILED)
		add(t, "VM entry failed");
	if (reason & EXIT_REASON_FROM_ROOT)
		add(t, "from root operation");
	if (reason & EXIT_REASON_PENDING_MTF)
		add(t, "pending MTF");
	if (reason & EXIT_REASON_IN_ENCLAVE)
		add(t, "in an enclave");
	if (reason & EXIT_REASON_WITH_BUS_LOCK)
		add(t, "bus lock");
}

/* Fields that are numbers, but of which the SDM defines each bit or value. */
static void add_known(struct text *t, unsigned int encoding,
		      unsigned long long value)
{
	static const char * const activities[] = {
		[ACTIVITY_ACTIVE] = "active",
		[ACTIVITY_HLT] = "HLT",
		[ACTIVITY_SHUTDOWN] = "shutdown",
		[ACTIVITY_WAIT_SIPI] = "wait for SIPI",
	};

	switch (encoding) {
	case GUEST_ACTIVITY_STATE:
		add(t, value < 4 ? activities[value] : "reserved");
		break;
	case GUEST_INTERRUPTIBILITY:
		if (value & INTERRUPTIBILITY_STI)
			add(t, "blocking by STI");
		if (value & INTERRUPTIBILITY_MOV_SS)
			add(t, "blocking by MOV SS");
		if (value & INTERRUPTIBILITY_SMI)
			add(t, "blocking by SMI");
		if (value & INTERRUPTIBILITY_NMI)
			add(t, "blocking by NMI");
		if (value & INTERRUPTIBILITY_ENCLAVE)
			add(t, "enclave interruption");
		break;
	case EPT_POINTER:
		add_number(t, "levels", ((value & EPTP_LEVELS) >>
					 EPTP_LEVELS_SHIFT) + 1, 10);
		if (value & EPTP_ACCESSED_DIRTY)
			add(t, "accessed and dirty flags");
		break;
	case GUEST_INTR_STATUS:
		add_number(t, "RVI", value & 0xff, 10);
		add_number(t, "SVI", value >> 8 & 0xff, 10);
		break;
	}
}

/* ---- for others --------------------------------------------------------- */

const struct vmcs_field_desc *vmcs_field_find(unsigned int encoding)
{
	int low = 0, high = NR_VMCS_FIELDS, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (vmcs_field_table[middle].encoding == encoding)
			return &vmcs_field_table[middle];
		if (vmcs_field_table[middle].encoding < encoding)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const char *vmcs_group_name(unsigned int group)
{
	switch (group) {
	case VMCS_GROUP_CONTROL:
		return "Control";
	case VMCS_GROUP_INFO:
		return "VM-exit information";
	case VMCS_GROUP_GUEST:
		return "Guest";
	case VMCS_GROUP_HOST:
		return "Host";
	default:
		return NULL;
	}
}

int vmcs_field_digits(const struct vmcs_field_desc *field)
{
	switch (field->width) {
	case VMCS_WIDTH_16:
		return 4;
	case VMCS_WIDTH_32:
		return 8;
	default:
		return 16;
	}
}

void vmcs_field_text(const struct vmcs_field_desc *field,
		     unsigned long long value, char *text, size_t size)
{
	struct text t = { text, size, "" };

	text[0] = '\0';
	switch (field->format) {
	case VMCS_FMT_CTL:
		add_controls(&t, control_word(field->encoding), value);
		break;
	case VMCS_FMT_AR:
		add_access_rights(&t, value);
		break;
	case VMCS_FMT_INTR:
		add_event(&t, value);
		break;
	case VMCS_FMT_REASON:
		add_reason(&t, value);
		break;
	case VMCS_FMT_DEC:
		add_number(&t, "decimal", value, 10);
		break;
	default:
		break;
	}
	add_known(&t, field->encoding, value);
}
