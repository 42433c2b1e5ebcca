// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmx_view.c - a vCPU's VMCS for those who look at it: as text in debugfs, as
 * numbers for the monitor (include/kvm_vmcs.h), and the monitor's way to learn
 * why an entry failed.
 *
 * A VMCS can be read on the CPU where it is active, so the thread that runs the
 * vCPU reads it, in one go. For debugfs that is whoever reads the file, while
 * the vCPU does not run; one that runs is asked by a request, and goes on
 * after one exit and some two hundred VMREADs.
 *
 * Locking: view_lock protects vcpu_vmx.view. A vCPU is loaded with its mutex
 * held.
 *
 * SDM: "Virtual Machine Control Structures", "Field Encoding in VMCS".
 */
#include <linux/capability.h>
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "include/compat.h"
#include "include/kvm_vmcs.h"
#include "vmcs_text.h"
#include "vmx_vcpu.h"
#include "vmx_view.h"

static DEFINE_SPINLOCK(view_lock);

/* All of a VMCS at one moment. */
struct vmx_view {
	struct completion done;
	u64 pointer;
	bool launched;
	unsigned int nr;		/* fields that the processor has */
	struct {
		u16 index;		/* in vmcs_field_table[] */
		u64 value;
	} field[NR_VMCS_FIELDS];
};

/* The vCPU is loaded. */
static void take_view(struct kvm_vcpu *vcpu, struct vmx_view *view)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u64 value;
	int i;

	preempt_disable();
	vmx_write_registers(vcpu);
	view->pointer = __pa(vmx->vmcs.region);
	view->launched = vmx->vmcs.launched;
	for (i = 0; i < NR_VMCS_FIELDS; i++) {
		if (vmread_fails(vmcs_field_table[i].encoding, &value))
			continue;
		view->field[view->nr].index = i;
		view->field[view->nr++].value = value;
	}
	preempt_enable();
}

/* ---- a vCPU that may be running ----------------------------------------- */

void vmx_view_request(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	spin_lock(&view_lock);
	if (vmx->view) {
		take_view(vcpu, vmx->view);
		complete(&vmx->view->done);
		vmx->view = NULL;
	}
	spin_unlock(&view_lock);
}

static bool view_idle_vcpu(struct kvm_vcpu *vcpu, struct vmx_view *view)
{
	if (!mutex_trylock(&vcpu->mutex))
		return false;
	vcpu_load(vcpu);
	vmx_view_request(vcpu);
	vcpu_put(vcpu);
	mutex_unlock(&vcpu->mutex);
	return true;
}

/* -EBUSY: somebody else is looking; -EINTR. */
static int view_post(struct vcpu_vmx *vmx, struct vmx_view *view)
{
	int r = 0;

	spin_lock(&view_lock);
	if (vmx->view)
		r = -EBUSY;
	else
		vmx->view = view;
	spin_unlock(&view_lock);
	return r;
}

/* True: it had not been served. */
static bool view_withdraw(struct vcpu_vmx *vmx, struct vmx_view *view)
{
	bool mine;

	spin_lock(&view_lock);
	mine = vmx->view == view;
	if (mine)
		vmx->view = NULL;
	spin_unlock(&view_lock);
	return mine;
}

/* The vCPU may enter or leave KVM_RUN at any time: try both ways in turn. */
static int view_any_vcpu(struct kvm_vcpu *vcpu, struct vmx_view *view)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	long left;
	int r;

	init_completion(&view->done);
	r = view_post(vmx, view);
	if (r)
		return r;
	do {
		kvm_make_request(vcpu, KVM_REQ_BACKEND);
		kvm_vcpu_kick(vcpu);
		if (view_idle_vcpu(vcpu, view))
			break;
		left = wait_for_completion_interruptible_timeout(&view->done,
								 HZ / 10);
	} while (!left);
	return view_withdraw(vmx, view) ? -EINTR : 0;
}

/* ---- text --------------------------------------------------------------- */

static void show_group(struct seq_file *seq, const struct vmx_view *view,
		       unsigned int group, char *text)
{
	unsigned int i;

	seq_printf(seq, "\n%s\n", vmcs_group_name(group));
	for (i = 0; i < view->nr; i++) {
		const struct vmcs_field_desc *f =
			&vmcs_field_table[view->field[i].index];
		u64 value = view->field[i].value;

		if (f->group != group)
			continue;
		vmcs_field_text(f, value, text, VMCS_TEXT_SIZE);
		seq_printf(seq, "  %#06x %-28s %*s%0*llx%s%s\n", f->encoding,
			   f->name, 16 - vmcs_field_digits(f), "",
			   vmcs_field_digits(f), value, text[0] ? "  " : "",
			   text);
	}
}

static int show_view(struct seq_file *seq, const struct vmx_view *view)
{
	char *text = kmalloc(VMCS_TEXT_SIZE, GFP_KERNEL);
	unsigned int group;

	if (!text)
		return -ENOMEM;
	seq_printf(seq, "VMCS at %#llx, revision %#x, %s\n", view->pointer,
		   vmx_config.revision, view->launched ? "launched" : "clear");
	for (group = 0; vmcs_group_name(group); group++)
		show_group(seq, view, group, text);
	kfree(text);
	return 0;
}

static int vmcs_show(struct seq_file *seq, void *unused)
{
	struct kvm_vcpu *vcpu = seq->private;
	struct vmx_view *view = kvzalloc(sizeof(*view), GFP_KERNEL);
	int r;

	if (!view)
		return -ENOMEM;
	r = view_any_vcpu(vcpu, view) ?: show_view(seq, view);
	kvfree(view);
	return r;
}
DEFINE_SHOW_ATTRIBUTE(vmcs);

void vmx_view_debugfs(struct kvm_vcpu *vcpu, struct dentry *dir)
{
	debugfs_create_file("vmcs", 0400, dir, vcpu, &vmcs_fops);
}

/* ---- for the monitor ---------------------------------------------------- */

/* Both structures: their first member is the size that the caller gives. */
static int copy_request(void *request, size_t size, void __user *user,
			u32 *user_size)
{
	if (get_user(*user_size, (u32 __user *)user))
		return -EFAULT;
	if (*user_size < size)
		return -EINVAL;
	/* What is behind the end is looked at, byte by byte. */
	if (*user_size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(request, size, user, *user_size);
}

static bool about_the_host(const struct vmcs_field_desc *field)
{
	return field->group == VMCS_GROUP_HOST ||
	       (field->group == VMCS_GROUP_CONTROL &&
		field->format == VMCS_FMT_PHYS);
}

/* `all`: to someone who may know everything. */
static int put_fields(const struct vmx_view *view, bool all,
		      struct kvm_vmcs_field __user *user)
{
	unsigned int i;

	for (i = 0; i < view->nr; i++) {
		const struct vmcs_field_desc *f =
			&vmcs_field_table[view->field[i].index];
		struct kvm_vmcs_field out = { .encoding = f->encoding };

		if (!all && about_the_host(f))
			out.flags = KVM_VMCS_FIELD_WITHHELD;
		else
			out.value = view->field[i].value;
		if (copy_to_user(&user[i], &out, sizeof(out)))
			return -EFAULT;
	}
	return 0;
}

static int put_view(const struct vmx_view *view, struct kvm_vmcs *request,
		    struct kvm_vmcs __user *user)
{
	const bool all = capable(CAP_SYS_ADMIN);
	u32 room = request->nr_fields;
	int r;

	request->nr_fields = view->nr;
	request->pointer = all ? view->pointer : 0;
	request->revision = vmx_config.revision;
	request->launched = view->launched;
	r = room < view->nr ? -E2BIG :
		put_fields(view, all, u64_to_user_ptr(request->fields));
	if ((!r || r == -E2BIG) &&
	    copy_to_user(user, request, sizeof(*request)))
		r = -EFAULT;
	return r;
}

int vmx_get_vmcs(struct kvm_vcpu *vcpu, void __user *user)
{
	struct kvm_vmcs request;
	struct vmx_view *view;
	u32 user_size;
	int r;

	r = copy_request(&request, sizeof(request), user, &user_size);
	if (r)
		return r;
	if (request.which != KVM_VMCS_CURRENT || request.flags)
		return -EINVAL;
	view = kvzalloc(sizeof(*view), GFP_KERNEL_ACCOUNT);
	if (!view)
		return -ENOMEM;
	take_view(vcpu, view);
	r = put_view(view, &request, user);
	kvfree(view);
	return r;
}

int vmx_get_entry_failure(struct kvm_vcpu *vcpu, void __user *user)
{
	struct kvm_entry_failure request;
	struct vmx_entry_failure failure;
	u32 user_size, room;
	char *text;
	int r;

	r = copy_request(&request, sizeof(request), user, &user_size);
	if (r)
		return r;
	text = kzalloc(VMX_FAILURE_TEXT_SIZE, GFP_KERNEL_ACCOUNT);
	if (!text)
		return -ENOMEM;
	vmx_last_failure(vcpu, &failure);
	room = request.text_size;
	request.text_size = vmx_failure_text(&failure, !capable(CAP_SYS_ADMIN),
					     text, VMX_FAILURE_TEXT_SIZE) + 1;
	request.count = failure.count;
	request.error = failure.error;
	request.exit_reason = failure.exit_reason;
	request.qualification = failure.qualification;
	request.nr_broken = failure.nr_broken;
	if (room < request.text_size)
		r = -E2BIG;
	else if (copy_to_user(u64_to_user_ptr(request.text), text,
			      request.text_size))
		r = -EFAULT;
	kfree(text);
	if (r != -EFAULT && copy_to_user(user, &request, sizeof(request)))
		r = -EFAULT;
	return r;
}
