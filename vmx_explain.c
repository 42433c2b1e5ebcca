// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmx_explain.c - why an entry failed: the rules of vmx_checks.c on the VMCS
 * that the processor has refused, and where they are reported: in the log,
 * in debugfs, and in a record that the vCPU keeps.
 *
 * Nothing here runs before an entry has failed. The record is written by the
 * vCPU's thread and may be read by others, under failures_lock.
 *
 * SDM: "VM-Entry Failures During or After Loading Guest State", "VM
 * Instruction Error Numbers".
 */
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/ratelimit.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "include/compat.h"
#include "trace.h"
#include "vmcs_text.h"
#include "vmx_explain.h"
#include "vmx_vcpu.h"

static DEFINE_SPINLOCK(failures_lock);

static const char *field_title(u32 encoding)
{
	const struct vmcs_field_desc *field = vmcs_field_find(encoding);

	return field ? field->title : "unknown field";
}

/* ---- the current VMCS as an image --------------------------------------- */

static u64 current_read(const struct vmx_image *image, u32 field)
{
	return vmread_or_0(field);
}

/* What our VMCSs point to is memory of the kernel. */
static bool current_read_memory(const struct vmx_image *image, u64 phys,
				void *to, u32 size)
{
	return pfn_valid(PHYS_PFN(phys)) &&
	       !copy_from_kernel_nofault(to, __va(phys), size);
}

static u32 stages_of(const struct vmx_entry_failure *failure)
{
	return vmx_stage_of_failure(failure->error, failure->exit_reason);
}

/*
 * "Checks on VMX Controls and Host-State Area": processors may make these
 * checks in any order, and differ in what they count to which.
 */
static u32 or_its_neighbour(u32 stages)
{
	const u32 before_guest = VMX_STAGE_CONTROL | VMX_STAGE_HOST;

	return stages & before_guest ? before_guest : stages;
}

static void find_broken(struct kvm_vcpu *vcpu,
			struct vmx_entry_failure *failure)
{
	const struct vmx_image image = {
		.read = current_read,
		.read_memory = current_read_memory,
		.caps = &vmx_host_caps,
		.self = __pa(to_vmx(vcpu)->vmcs.region),
		.long_mode = true,
	};
	const u32 stages = stages_of(failure);

	failure->nr_broken = vmx_check(&image, stages, failure->broken,
				       ARRAY_SIZE(failure->broken));
	if (!failure->nr_broken)
		failure->nr_broken = vmx_check(&image,
					       or_its_neighbour(stages),
					       failure->broken,
					       ARRAY_SIZE(failure->broken));
}

/* ---- in words ----------------------------------------------------------- */

#define LINE_SIZE	320

static void say_what(const struct vmx_entry_failure *failure, char *line)
{
	const u32 stages = stages_of(failure);

	if (failure->exit_reason)
		scnprintf(line, LINE_SIZE,
			  "exit reason %#x (%s), qualification %#llx",
			  failure->exit_reason,
			  stages == VMX_STAGE_GUEST ? "invalid guest state" :
			  stages == VMX_STAGE_MSR ? "loading of an MSR" :
						    "machine check",
			  failure->qualification);
	else if (failure->error)
		scnprintf(line, LINE_SIZE, "VM-instruction error %u (%s)",
			  failure->error,
			  vmx_insn_error_string(failure->error));
	else
		scnprintf(line, LINE_SIZE, "the instruction faulted");
}

static u32 nr_named(const struct vmx_entry_failure *failure)
{
	return min_t(u32, failure->nr_broken, ARRAY_SIZE(failure->broken));
}

/* `to_all`: without values of the host, which not everybody may see. */
static void say_rule(const struct vmx_broken *broken, bool to_all, char *line)
{
	char value[24] = "not shown";

	if (!to_all || VMCS_ENC_GROUP(broken->field) == VMCS_GROUP_GUEST)
		scnprintf(value, sizeof(value), "%#llx", broken->value);
	scnprintf(line, LINE_SIZE, "%s: %s; %s is %s [\"%s\"]",
		  vmx_rule_name(broken->rule), vmx_rule_sentence(broken->rule),
		  field_title(broken->field), value,
		  vmx_rule_section(broken->rule));
}

static const char *say_nothing(const struct vmx_entry_failure *failure)
{
	return stages_of(failure) ? "no rule that is known here is broken" :
				    "not a matter of the VMCS's contents";
}

static void log_failure(struct kvm_vcpu *vcpu,
			const struct vmx_entry_failure *failure)
{
	static DEFINE_RATELIMIT_STATE(limit, 5 * HZ, 3);
	char line[LINE_SIZE];
	u32 i;

	if (!__ratelimit(&limit))
		return;
	say_what(failure, line);
	pr_err("kvm: vCPU %d of process %d: VM entry failed: %s\n", vcpu->id,
	       task_pid_nr(current), line);
	for (i = 0; i < nr_named(failure); i++) {
		say_rule(&failure->broken[i], false, line);
		pr_err("kvm: broken: %s\n", line);
	}
	if (!i)
		pr_err("kvm: %s\n", say_nothing(failure));
}

/* ---- reports ------------------------------------------------------------ */

void vmx_last_failure(struct kvm_vcpu *vcpu, struct vmx_entry_failure *out)
{
	spin_lock(&failures_lock);
	*out = to_vmx(vcpu)->entry_failure;
	spin_unlock(&failures_lock);
}

static void trace_failure(struct kvm_vcpu *vcpu,
			  const struct vmx_entry_failure *failure)
{
	u32 i, rule;

	for (i = 0; i < nr_named(failure); i++) {
		rule = failure->broken[i].rule;
		trace_kvm_entry_check_failed(vcpu->id, vmx_rule_section(rule),
					     vmx_rule_sentence(rule));
	}
}

/* The one place where a failure is made known, for whoever listens. */
static void report(struct kvm_vcpu *vcpu,
		   const struct vmx_entry_failure *failure)
{
	spin_lock(&failures_lock);
	to_vmx(vcpu)->entry_failure = *failure;
	spin_unlock(&failures_lock);
	log_failure(vcpu, failure);
	trace_failure(vcpu, failure);
}

void vmx_explain_failure(struct kvm_vcpu *vcpu, u32 reason)
{
	/* No one else writes it. */
	struct vmx_entry_failure failure = {
		.count = to_vmx(vcpu)->entry_failure.count + 1,
	};

	if (reason & EXIT_REASON_ENTRY_FAILED) {
		failure.exit_reason = reason;
		failure.qualification = exit_qualification(to_vmx(vcpu));
	} else {
		failure.error = reason;
	}
	find_broken(vcpu, &failure);
	report(vcpu, &failure);
}

int vmx_failure_text(const struct vmx_entry_failure *failure, bool to_all,
		     char *text, int size)
{
	char line[LINE_SIZE];
	int n;
	u32 i;

	n = scnprintf(text, size, "failed entries: %llu\n", failure->count);
	if (!failure->count)
		return n;
	say_what(failure, line);
	n += scnprintf(text + n, size - n, "the last: %s\nbroken rules: %u\n",
		       line, failure->nr_broken);
	for (i = 0; i < nr_named(failure); i++) {
		say_rule(&failure->broken[i], to_all, line);
		n += scnprintf(text + n, size - n, "%s\n", line);
	}
	if (!i)
		n += scnprintf(text + n, size - n, "%s\n",
			       say_nothing(failure));
	return n;
}

static int entry_failure_show(struct seq_file *seq, void *unused)
{
	char *text = kmalloc(VMX_FAILURE_TEXT_SIZE, GFP_KERNEL);
	struct vmx_entry_failure failure;

	if (!text)
		return -ENOMEM;
	vmx_last_failure(seq->private, &failure);
	vmx_failure_text(&failure, false, text, VMX_FAILURE_TEXT_SIZE);
	seq_puts(seq, text);
	kfree(text);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(entry_failure);

void vmx_explain_debugfs(struct kvm_vcpu *vcpu, struct dentry *dir)
{
	debugfs_create_file("entry_failure", 0400, dir, vcpu,
			    &entry_failure_fops);
}
