// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables of vmcs_fields.h and vmx.h agree with themselves and with what
 * the SDM says about the structure of encodings and control words.
 */
#include <string.h>

#include "harness.h"
#include "vmcs_fields.h"
#include "vmx.h"

static const struct vmcs_field_desc fields[] = {
	VMCS_FIELDS(VMCS_FIELD_DESC)
};

/* The rows as written, before designated initialisers could merge two. */
static const unsigned int encodings[] = {
#define ENCODING(enc, name, width, group, control, format, title) enc,
	VMCS_FIELDS(ENCODING)
#undef ENCODING
};

static const char *const group_word[] = {
	[VMCS_GROUP_CONTROL]	= "control",
	[VMCS_GROUP_INFO]	= "information",
	[VMCS_GROUP_GUEST]	= "guest",
	[VMCS_GROUP_HOST]	= "host",
};

TEST(encoding_agrees_with_columns)
{
	EQ(ARRAY_SIZE(fields), NR_VMCS_FIELDS);
	EQ(ARRAY_SIZE(encodings), NR_VMCS_FIELDS);
	for (int i = 0; i < NR_VMCS_FIELDS; i++) {
		const struct vmcs_field_desc *f = &fields[i];
		unsigned int enc = encodings[i];

		row(f->encoding == enc &&
		    !(enc & (VMCS_ENC_RESERVED | VMCS_ENC_HIGH)) &&
		    f->width == VMCS_ENC_WIDTH(enc) &&
		    f->group == VMCS_ENC_GROUP(enc),
		    "%s: encoding %#x says width %u, %s", f->name, enc,
		    VMCS_ENC_WIDTH(enc), group_word[VMCS_ENC_GROUP(enc)]);
	}
}

/* Appendix order is numeric order, and that leaves no room for duplicates. */
TEST(order)
{
	for (int i = 1; i < NR_VMCS_FIELDS; i++)
		row(fields[i - 1].encoding < fields[i].encoding,
		    "%s does not come after %s", fields[i].name,
		    fields[i - 1].name);
}

/* Encodings that the SDM leaves out between the first and last of a group. */
static bool known_gap(unsigned int enc)
{
	switch (enc) {
	case 0x2046: case 0x2048: case 0x204e: case 0x2050:
	case 0x2402:
	case 0x482c:
		return true;
	}
	return false;
}

TEST(index_counts_up)
{
	for (int i = 0; i < NR_VMCS_FIELDS; i++) {
		unsigned int enc = fields[i].encoding;
		unsigned int prev = i ? fields[i - 1].encoding : 0;

		if (!i || (enc & ~0x3ff) != (prev & ~0x3ff)) {
			row(VMCS_ENC_INDEX(enc) == 0,
			    "%s: its group does not begin at index 0",
			    fields[i].name);
			continue;
		}
		for (prev += 2; known_gap(prev); prev += 2)
			;
		row(enc == prev, "%s: %#x, expected %#x", fields[i].name, enc,
		    prev);
	}
}

TEST(names_and_titles_differ)
{
	for (int i = 0; i < NR_VMCS_FIELDS; i++)
		for (int j = 0; j < i; j++)
			if (!strcmp(fields[i].name, fields[j].name) ||
			    !strcmp(fields[i].title, fields[j].title))
				fail("%s and %s", fields[i].name,
				     fields[j].name);
}

/* GUEST_ and HOST_ in a name say the group, and so does the title. */
TEST(names_fit_their_group)
{
	for (int i = 0; i < NR_VMCS_FIELDS; i++) {
		const struct vmcs_field_desc *f = &fields[i];
		bool guest = !strncmp(f->title, "Guest ", 6);
		bool host = !strncmp(f->title, "Host ", 5);

		row(guest == (!strncmp(f->name, "GUEST_", 6) &&
			      f->group == VMCS_GROUP_GUEST) &&
		    host == (f->group == VMCS_GROUP_HOST) &&
		    host == !strncmp(f->name, "HOST_", 5),
		    "%s: \"%s\"", f->name, f->title);
	}
}

static const unsigned int control_ids[] = {
#define ID(word, name, bit, title) VMX_CTL_##name,
	VMX_CONTROLS(ID)
#undef ID
};

static const unsigned long long control_masks[] = {
#define MASK(word, name, bit, title) name,
	VMX_CONTROLS(MASK)
#undef MASK
};

static const char *const control_names[] = {
#define NAME(word, name, bit, title) #name,
	VMX_CONTROLS(NAME)
#undef NAME
};

TEST(controls)
{
	static const unsigned int bits[NR_VMX_WORDS] = {
		[VMX_WORD_PIN] = 32, [VMX_WORD_CPU] = 32, [VMX_WORD_CPU2] = 32,
		[VMX_WORD_CPU3] = 64, [VMX_WORD_EXIT] = 32,
		[VMX_WORD_EXIT2] = 64, [VMX_WORD_ENTRY] = 32,
	};

	for (size_t i = 0; i < ARRAY_SIZE(control_ids); i++) {
		unsigned int id = control_ids[i];

		row((!i || control_ids[i - 1] < id) &&
		    id % 64 < bits[VMX_CTL_WORD(id)] &&
		    VMX_CTL_MASK(id) == control_masks[i],
		    "%s: out of order or out of its word", control_names[i]);
	}
}

/* A control with a name of its own is no default1 bit, save the few that the
 * first processors lacked the 0-setting of: IA32_VMX_TRUE_*_CTLS have it.
 */
TEST(default1)
{
	unsigned long long named[NR_VMX_WORDS] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(control_ids); i++)
		named[VMX_CTL_WORD(control_ids[i])] |= control_masks[i];
	EQ(named[VMX_WORD_PIN] & PIN_DEFAULT1, 0);
	EQ(named[VMX_WORD_CPU] & CPU_DEFAULT1,
		 CPU_CR3_LOAD_EXITING | CPU_CR3_STORE_EXITING);
	EQ(named[VMX_WORD_EXIT] & EXIT_CTL_DEFAULT1, EXIT_CTL_SAVE_DEBUG);
	EQ(named[VMX_WORD_ENTRY] & ENTRY_CTL_DEFAULT1,
		 ENTRY_CTL_LOAD_DEBUG);
}

TEST(exit_reasons)
{
	static const unsigned char reasons[] = {
#define REASON(number, name, string) number,
		VMX_EXIT_REASONS(REASON)
#undef REASON
	};

	for (size_t i = 1; i < ARRAY_SIZE(reasons); i++)
		row(reasons[i - 1] < reasons[i], "%u after %u", reasons[i],
		    reasons[i - 1]);
	EQ(NR_EXIT_REASONS, reasons[ARRAY_SIZE(reasons) - 1] + 1);
	EQ(EXIT_REASON_EPT_VIOLATION, 48);
}

TEST(msr_entry_layout)
{
	EQ(sizeof(struct vmx_msr_entry), 16);
	EQ(offsetof(struct vmx_msr_entry, value), 8);
}
