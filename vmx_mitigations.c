// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmx_mitigations.c - the flush of the L1 data cache before VM entry, for
 * processors whose guests can read it ("L1 Terminal Fault"). The rest is
 * inline in vmx_mitigations.h.
 *
 * Kernel documentation: admin-guide/hw-vuln/l1tf.rst, whose sysfs file shows
 * what is decided here.
 */
#include <linux/gfp.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "include/compat.h"
#include "kvm.h"
#include "vmx_mitigations.h"

DEFINE_STATIC_KEY_FALSE(vmx_entry_work);
DEFINE_STATIC_KEY_FALSE(vmx_l1d_flush);
DEFINE_STATIC_KEY_FALSE(vmx_l1d_flush_always);

static char *vmentry_l1d_flush = "auto";
module_param(vmentry_l1d_flush, charp, 0444);
MODULE_PARM_DESC(vmentry_l1d_flush,
		 "flush the L1 data cache at VM entry: never, cond, always or auto, which follows the kernel's l1tf= (default)");

/*
 * Without microcode that has the command, the cache is filled with other
 * data: twice the size of the largest L1 that is affected.
 */
#define FLUSH_BUFFER_ORDER	4
static unsigned long flush_buffer;

static void fill_l1d(void)
{
	const size_t size = PAGE_SIZE << FLUSH_BUFFER_ORDER;
	const volatile u8 *buffer = (const volatile u8 *)flush_buffer;
	size_t i;

	/* First the TLB, so that no page walk disturbs what follows. */
	for (i = 0; i < size; i += PAGE_SIZE)
		(void)buffer[i];
	barrier_nospec();
	for (i = 0; i < size; i += L1_CACHE_BYTES)
		(void)buffer[i];
	barrier_nospec();
}

void vmx_flush_l1d(void)
{
	if (static_cpu_has(X86_FEATURE_FLUSH_L1D))
		native_wrmsrq(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	else
		fill_l1d();
}

static enum compat_l1d_flush __init kernel_choice(void)
{
	switch (l1tf_mitigation) {
	case L1TF_MITIGATION_OFF:
		return L1D_FLUSH_NEVER;
	case L1TF_MITIGATION_FULL:
	case L1TF_MITIGATION_FULL_FORCE:
		return L1D_FLUSH_ALWAYS;
	default:
		return L1D_FLUSH_COND;
	}
}

static bool __init affected(void)
{
	u64 caps = 0;

	if (!boot_cpu_has_bug(X86_BUG_L1TF) || !kvm_caps.ept)
		return false;
	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrq(MSR_IA32_ARCH_CAPABILITIES, caps);
	return !(caps & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH);
}

/* -EINVAL: the parameter is none of its words. */
static int __init decide(void)
{
	static const struct {
		const char *word;
		enum compat_l1d_flush flush;
	} words[] __initconst = {
		{ "never", L1D_FLUSH_NEVER },
		{ "cond", L1D_FLUSH_COND },
		{ "always", L1D_FLUSH_ALWAYS },
	};
	int i;

	if (!affected()) {
		l1tf_vmx_mitigation = L1D_FLUSH_NOT_REQUIRED;
		return 0;
	}
	if (!strcmp(vmentry_l1d_flush, "auto")) {
		l1tf_vmx_mitigation = kernel_choice();
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(vmentry_l1d_flush, words[i].word)) {
			l1tf_vmx_mitigation = words[i].flush;
			return 0;
		}
	pr_err("kvm: vmentry_l1d_flush=%s is none of never, cond, always, auto\n",
	       vmentry_l1d_flush);
	return -EINVAL;
}

int __init vmx_mitigations_setup(void)
{
	int r = decide();

	if (r)
		return r;
	if (compat_clear_buffers_mmio())
		static_branch_inc(&vmx_entry_work);
	if (l1tf_vmx_mitigation != L1D_FLUSH_COND &&
	    l1tf_vmx_mitigation != L1D_FLUSH_ALWAYS)
		return 0;
	if (!boot_cpu_has(X86_FEATURE_FLUSH_L1D)) {
		flush_buffer = __get_free_pages(GFP_KERNEL | __GFP_ZERO,
						FLUSH_BUFFER_ORDER);
		if (!flush_buffer)
			return -ENOMEM;
	}
	static_branch_inc(&vmx_entry_work);
	static_branch_enable(&vmx_l1d_flush);
	if (l1tf_vmx_mitigation == L1D_FLUSH_ALWAYS)
		static_branch_enable(&vmx_l1d_flush_always);
	return 0;
}

void vmx_mitigations_unsetup(void)
{
	l1tf_vmx_mitigation = L1D_FLUSH_AUTO;
	free_pages(flush_buffer, FLUSH_BUFFER_ORDER);
}
