// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmcsinfo.c - where this processor keeps each field in a VMCS region. The SDM
 * leaves that to the implementation ("Format of the VMCS Region"), so ask the
 * processor: fill the region of a VMCS that nobody runs with bytes of which no
 * two neighbours occur twice, load it, and VMREAD every encoding that can be
 * written down. What VMREAD refuses does not exist; what it returns says where
 * it was found. No list of fields is needed, nor any control.
 *
 * A field whose value is not found was transformed on the way, as the access
 * rights are. Its place shows when the region is filled with ones from the
 * start up to some byte, and with zeroes behind: the value changes for the
 * first time when that byte is the field's first, and for the last time when
 * it is the last.
 *
 * Both look at what VMREAD makes of memory. The other way round confirms it:
 * VMWRITE, VMCLEAR, and look for the bytes that have changed.
 *
 * A processor may keep a VMCS to itself from VMPTRLD to VMCLEAR, so memory is
 * touched only outside of these. A guest that was about to run on this CPU
 * never notices: with interrupts disabled the scratch VMCS is made current for
 * at most READS_AT_ONCE encodings, and then that of the guest again.
 *
 * Discovery is done once, when the file in sysfs is first read. Locking:
 * vmcsinfo_lock.
 */
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <asm/processor.h>

#include "include/compat.h"
#include "include/vmcsinfo.h"
#include "vmcs.h"
#include "vmx_caps.h"

#define NR_ENCODINGS	0x10000u
#define READS_AT_ONCE	256u
/* Several times what the SDM defines, for processors that know aliases. */
#define MAX_FIELDS	4096
/* "Format of the VMCS Region": revision identifier, VMX-abort indicator. */
#define DATA_OFFSET	8u

static DEFINE_MUTEX(vmcsinfo_lock);
static void *note;		/* once it is known; header and fields */
static size_t note_size;

struct discovery {
	u8 *region;			/* of the scratch VMCS; a page */
	u8 *image;			/* what it shall hold when loaded */
	u8 *before;			/* what it held, to compare with */
	unsigned int size;		/* bytes of a region */
	unsigned int nr;
	struct vmcsinfo_field *fields;	/* MAX_FIELDS */
	u64 *values;			/* ... and what was read of each */
};

/* ---- the scratch VMCS --------------------------------------------------- */

/* The pointer to the current VMCS, all ones: none. -EIO: VMX is off here. */
static int vmptrst(u64 *pointer)
{
	asm goto("1: vmptrst %0\n\t"
		 _ASM_EXTABLE(1b, %l[faulted])
		 : "=m" (*pointer) : : "cc" : faulted);
	return 0;
faulted:
	return -EIO;
}

/*
 * A copy of d->image becomes the current VMCS of this CPU. Interrupts are
 * disabled until scratch_put(), which must get *current.
 */
static int scratch_get(struct discovery *d, u64 *current_vmcs)
{
	int r = vmptrst(current_vmcs);

	if (r)
		return r;
	r = vmclear(__pa(d->region));
	if (r)
		return r;
	memcpy(d->region + DATA_OFFSET, d->image + DATA_OFFSET,
	       d->size - DATA_OFFSET);
	return vmptrld(__pa(d->region));
}

/* Afterwards d->region is what the processor has made of it. */
static void scratch_put(struct discovery *d, u64 current_vmcs)
{
	vmclear(__pa(d->region));
	if (current_vmcs != ~0ull)
		vmptrld(current_vmcs);
}

static bool vmwrite_fails(unsigned long encoding, u64 value)
{
	asm goto("vmwrite %[value], %[encoding]\n\t"
		 "jz %l[failed]\n\t"
		 : : [encoding] "r" (encoding), [value] "r" (value) : "cc"
		 : failed);
	return false;
failed:
	return true;
}

/* ---- which fields there are --------------------------------------------- */

/* Bytes of which no pair occurs twice, so that two of them tell where. */
static int fill_with_pattern(struct discovery *d)
{
	unsigned long *used = bitmap_zalloc(1 << 16, GFP_KERNEL);
	unsigned int i, last = 0, next = 0;

	if (!used)
		return -ENOMEM;
	for (i = DATA_OFFSET; i < d->size; i++) {
		/* Not beside 0, which a field that holds nothing reads as. */
		do {
			next = next % 255 + 1;
		} while (__test_and_set_bit(last << 8 | next, used));
		d->image[i] = next;
		last = next;
		next = (next * 7 + i) % 255;
	}
	bitmap_free(used);
	return 0;
}

/* 1: *value is that of a field; 0: there is no such field. */
static int try_encoding(u32 encoding, u64 *value)
{
	u64 error;

	if (!vmread_fails(encoding, value))
		return 1;
	if (vmread_fails(VM_INSTRUCTION_ERROR, &error) ||
	    error != VMXERR_UNSUPPORTED_COMPONENT)
		return -EIO;
	return 0;
}

static int note_field(struct discovery *d, u32 encoding, u64 value)
{
	if (d->nr == MAX_FIELDS)
		return -E2BIG;
	d->values[d->nr] = value;
	d->fields[d->nr++].encoding = encoding;
	return 0;
}

/*
 * With the scratch VMCS current. Its VM-instruction error is read before a
 * VMREAD that fails has overwritten it.
 */
static int try_encodings(struct discovery *d, u32 first)
{
	u64 error, value;
	u32 encoding;
	int r;

	if (vmread_fails(VM_INSTRUCTION_ERROR, &error))
		return -EIO;
	for (encoding = first; encoding < first + READS_AT_ONCE; encoding++) {
		r = try_encoding(encoding, &value);
		if (r > 0)
			r = note_field(d, encoding,
				       encoding == VM_INSTRUCTION_ERROR ?
						error : value);
		if (r)
			return r;
	}
	return 0;
}

static int find_fields(struct discovery *d)
{
	unsigned long flags;
	u64 current_vmcs;
	u32 first;
	int r;

	r = fill_with_pattern(d);
	for (first = 0; !r && first < NR_ENCODINGS; first += READS_AT_ONCE) {
		local_irq_save(flags);
		r = scratch_get(d, &current_vmcs);
		if (!r) {
			r = try_encodings(d, first);
			scratch_put(d, current_vmcs);
		}
		local_irq_restore(flags);
		cond_resched();
	}
	return r;
}

/* ---- where they are ----------------------------------------------------- */

/* Bytes that VMREAD returns of a field. */
static unsigned int value_size(u32 encoding)
{
	switch (VMCS_ENC_WIDTH(encoding)) {
	case VMCS_WIDTH_16:
		return 2;
	case VMCS_WIDTH_32:
		return 4;
	case VMCS_WIDTH_64:
		return encoding & VMCS_ENC_HIGH ? 4 : 8;
	default:
		return sizeof(long);
	}
}

/* Where in the pattern the value is, if it is there as it was read. */
static void find_in_pattern(const struct discovery *d,
			    struct vmcsinfo_field *field, u64 value)
{
	unsigned int size = value_size(field->encoding), i;

	for (i = DATA_OFFSET; i + size <= d->size; i++) {
		if (memcmp(d->image + i, &value, size))
			continue;
		field->offset = i;
		field->size = size;
		return;
	}
}

/* What a field reads as when the region holds ones up to `end`. */
static int read_with_ones(struct discovery *d, u32 encoding, unsigned int end,
			  u64 *value)
{
	unsigned long flags;
	u64 current_vmcs;
	int r;

	memset(d->image + DATA_OFFSET, 0, d->size - DATA_OFFSET);
	memset(d->image + DATA_OFFSET, 0xff, end - DATA_OFFSET);
	local_irq_save(flags);
	r = scratch_get(d, &current_vmcs);
	if (!r) {
		if (vmread_fails(encoding, value))
			r = -EIO;
		scratch_put(d, current_vmcs);
	}
	local_irq_restore(flags);
	return r;
}

/* The least `end` at which the value is `sought`, or with `!is` is not. */
static int find_change(struct discovery *d, u32 encoding, u64 sought, bool is,
		       unsigned int *end)
{
	unsigned int low = DATA_OFFSET, high = d->size, middle;
	u64 value;
	int r;

	while (high - low > 1) {
		middle = (low + high) / 2;
		r = read_with_ones(d, encoding, middle, &value);
		if (r)
			return r;
		if ((value == sought) == is)
			high = middle;
		else
			low = middle;
	}
	*end = high;
	return 0;
}

static int find_by_change(struct discovery *d, struct vmcsinfo_field *field)
{
	unsigned int first, last;
	u64 zeroes, ones;
	int r;

	r = read_with_ones(d, field->encoding, DATA_OFFSET, &zeroes);
	if (!r)
		r = read_with_ones(d, field->encoding, d->size, &ones);
	if (r)
		return r;
	if (zeroes == ones) {
		field->flags |= VMCSINFO_NOT_IN_MEMORY;
		return 0;
	}
	r = find_change(d, field->encoding, zeroes, false, &first);
	if (!r)
		r = find_change(d, field->encoding, ones, true, &last);
	if (r)
		return r;
	field->flags |= VMCSINFO_TRANSFORMED;
	field->offset = first - 1;
	field->size = last - field->offset;
	return 0;
}

static int locate_fields(struct discovery *d)
{
	unsigned int i;
	int r = 0;

	/* All that the pattern tells, before the image is another. */
	for (i = 0; i < d->nr; i++)
		find_in_pattern(d, &d->fields[i], d->values[i]);
	for (i = 0; !r && i < d->nr; i++) {
		if (!d->fields[i].size)
			r = find_by_change(d, &d->fields[i]);
		cond_resched();
	}
	return r;
}

/* ---- the other way round ------------------------------------------------ */

/* Load zeroes, VMWRITE if that is wanted, and leave d->region as it became. */
static int write_and_clear(struct discovery *d, u32 encoding, bool write,
			   bool *refused)
{
	unsigned long flags;
	u64 current_vmcs;
	int r;

	local_irq_save(flags);
	r = scratch_get(d, &current_vmcs);
	if (!r) {
		if (write)
			*refused = vmwrite_fails(encoding, ~0ull);
		scratch_put(d, current_vmcs);
	}
	local_irq_restore(flags);
	return r;
}

/* The bytes that are not as they were are some of the field's, and no others. */
static bool change_is_in_field(const struct discovery *d,
			       const struct vmcsinfo_field *field)
{
	bool changed = false;
	unsigned int i;

	for (i = 0; i < d->size; i++) {
		if (d->region[i] == d->before[i])
			continue;
		if (i - field->offset >= field->size)
			return false;
		changed = true;
	}
	return changed;
}

static int confirm_fields(struct discovery *d)
{
	struct vmcsinfo_field *field;
	bool refused = false;
	int r;

	memset(d->image + DATA_OFFSET, 0, d->size - DATA_OFFSET);
	r = write_and_clear(d, 0, false, &refused);
	if (r)
		return r;
	memcpy(d->before, d->region, d->size);
	for (field = d->fields; field < d->fields + d->nr; field++) {
		r = write_and_clear(d, field->encoding, true, &refused);
		if (r)
			return r;
		if (refused)
			field->flags |= VMCSINFO_READ_ONLY;
		else if (change_is_in_field(d, field))
			field->flags |= VMCSINFO_CONFIRMED;
		cond_resched();
	}
	return 0;
}

/* ---- the note ----------------------------------------------------------- */

static int make_note(const struct discovery *d)
{
	const struct vmcsinfo_header head = {
		.magic = VMCSINFO_MAGIC,
		.version = VMCSINFO_VERSION,
		.header_size = sizeof(head),
		.entry_size = sizeof(*d->fields),
		.nr_fields = d->nr,
		.revision = vmx_config.revision,
		.region_size = d->size,
		.cpuid_signature = cpuid_eax(1),
		.microcode = boot_cpu_data.microcode,
	};
	size_t size = d->nr * sizeof(*d->fields);
	void *new = kvmalloc(sizeof(head) + size, GFP_KERNEL);

	if (!new)
		return -ENOMEM;
	memcpy(new, &head, sizeof(head));
	memcpy(new + sizeof(head), d->fields, size);
	note_size = sizeof(head) + size;
	note = new;
	return 0;
}

static void discovery_free(struct discovery *d)
{
	vmx_free_region(d->region);
	kfree(d->image);
	kfree(d->before);
	kvfree(d->fields);
	kvfree(d->values);
}

static int discovery_alloc(struct discovery *d)
{
	d->size = vmx_config.region_size;
	d->region = vmx_alloc_region(numa_node_id(), GFP_KERNEL);
	d->image = kzalloc(d->size, GFP_KERNEL);
	d->before = kzalloc(d->size, GFP_KERNEL);
	d->fields = kvcalloc(MAX_FIELDS, sizeof(*d->fields), GFP_KERNEL);
	d->values = kvcalloc(MAX_FIELDS, sizeof(*d->values), GFP_KERNEL);
	return d->region && d->image && d->before && d->fields && d->values ?
		0 : -ENOMEM;
}

static int discover(void)
{
	struct discovery d = { };
	int r;

	r = discovery_alloc(&d);
	if (!r)
		r = find_fields(&d);
	if (!r)
		r = locate_fields(&d);
	if (!r)
		r = confirm_fields(&d);
	if (!r)
		r = make_note(&d);
	discovery_free(&d);
	return r;
}

static ssize_t vmcsinfo_read(struct file *file, struct kobject *kobj,
			     COMPAT_BIN_ATTR *attr, char *buf, loff_t offset,
			     size_t count)
{
	ssize_t r = 0;

	mutex_lock(&vmcsinfo_lock);
	if (!note)
		r = discover();
	mutex_unlock(&vmcsinfo_lock);
	return r ?: memory_read_from_buffer(buf, count, &offset, note,
					    note_size);
}

static COMPAT_BIN_ATTR vmcsinfo_attr = {
	.attr = { .name = "vmcsinfo", .mode = 0400 },
	.read = vmcsinfo_read,
};

static COMPAT_BIN_ATTR *vmcsinfo_attrs[] = { &vmcsinfo_attr, NULL };

static const struct attribute_group vmcsinfo_group = {
	.bin_attrs = vmcsinfo_attrs,
};

const struct attribute_group *vmcsinfo_groups[] = { &vmcsinfo_group, NULL };

void vmcsinfo_exit(void)
{
	kvfree(note);
}
