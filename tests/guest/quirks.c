// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_CAP_DISABLE_QUIRKS2: departures from a processor that are the default,
 * and can be switched off one by one; and MSR_PLATFORM_INFO, which can be
 * taken from the guest.
 */
#include <asm/kvm_para.h>
#include <errno.h>
#include <linux/kvm_para.h>
#include <stdlib.h>
#include <string.h>

#include "irqchip.h"

#define MSR_MISC_ENABLE		0x1a0
#define MISC_ENABLE_MWAIT	BIT(18)
#define MSR_PLATFORM_INFO	0xce
#define PLATFORM_RATIOS		0xff00
#define CPUID_MWAIT		BIT(3)
#define LVT_EXTINT		(7 << 8)

static int enable_try(struct vm *vm, u32 cap, u64 arg)
{
	struct kvm_enable_cap e = { .cap = cap, .args = { arg } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &e);
}

static void disable_quirks(struct vm *vm, u64 quirks)
{
	need_cap(KVM_CAP_DISABLE_QUIRKS2);
	WORKS(enable_try(vm, KVM_CAP_DISABLE_QUIRKS2, quirks));
}

TEST(unknown_are_refused)
{
	struct vm *vm = vm_bare();
	u64 known = vm_cap(vm, KVM_CAP_DISABLE_QUIRKS2);

	disable_quirks(vm, known);
	FAILS(enable_try(vm, KVM_CAP_DISABLE_QUIRKS2, known | BIT(62)), EINVAL);
	disable_quirks(vm, 0);
	/* The first of the two has never looked. */
	WORKS(enable_try(vm, KVM_CAP_DISABLE_QUIRKS, BIT(62)));
	vm_free(vm);
}

/* ---- MONITOR and MWAIT -------------------------------------------------- */

static void g_monitor(void)
{
	for (;;) {
		guest_sync(TRY("monitor", NO_OUTS, "a"(G_FREE), "c"(0),
			       "d"(0)));
		guest_sync(TRY("mwait", NO_OUTS, "a"(0), "c"(0)));
	}
}

/* A guest that is not told of MWAIT. */
static struct vcpu *without_mwait(void)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct vcpu *v = vcpu_bare(vm_new(), 0);

	cpuid_find(c, 1, 0)->ecx &= ~CPUID_MWAIT;
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	vcpu_long(v, g_monitor);
	free(c);
	return v;
}

static void both_give(struct vcpu *v, u32 vector)
{
	EQ(next_value(v), vector);
	EQ(next_value(v), vector);
}

TEST(mwait_faults)
{
	struct vcpu *v = without_mwait();

	both_give(v, VEC_NONE);
	disable_quirks(v->vm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS);
	both_give(v, VEC_UD);
	disable_quirks(v->vm, 0);
	both_give(v, VEC_NONE);
	vm_free(v->vm);
}

static bool cpuid_has_mwait(struct vcpu *v)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	bool has;

	WORKS(ioctl(v->fd, KVM_GET_CPUID2, c));
	has = cpuid_find(c, 1, 0)->ecx & CPUID_MWAIT;
	free(c);
	return has;
}

TEST(mwait_follows_misc_enable)
{
	struct vcpu *v = without_mwait();
	u64 msr = get_msr(v, MSR_MISC_ENABLE);

	both_give(v, VEC_NONE);
	set_msr(v, MSR_MISC_ENABLE, msr | MISC_ENABLE_MWAIT);
	EQ(cpuid_has_mwait(v), false);
	disable_quirks(v->vm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS |
			      KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT);
	set_msr(v, MSR_MISC_ENABLE, msr & ~MISC_ENABLE_MWAIT);
	EQ(cpuid_has_mwait(v), false);
	both_give(v, VEC_UD);
	set_msr(v, MSR_MISC_ENABLE, msr | MISC_ENABLE_MWAIT);
	EQ(cpuid_has_mwait(v), true);
	both_give(v, VEC_NONE);
	vm_free(v->vm);
}

/* ---- VMMCALL ------------------------------------------------------------ */

extern u8 vmmcall_here[];

static u64 __attribute__((noinline)) g_vmmcall(void)
{
	u64 rax = KVM_HC_VAPIC_POLL_IRQ;

	asm volatile("vmmcall_here: .byte 0x0f, 0x01, 0xd9"
		     : "+a"(rax) : : "memory");
	return rax;
}

static volatile u32 vmmcall_faults;

static void g_skip(struct trap_frame *f)
{
	f->rip += 3;
	vmmcall_faults++;
}

static void g_hypercall(void)
{
	trap.handler[VEC_UD] = g_skip;
	G_EQ(g_vmmcall(), 0);
	G_EQ(vmmcall_here[2], 0xc1);
	G_EQ(g_vmmcall(), 0);
	G_EQ(vmmcall_faults, 0);
}

/* It becomes VMCALL, in the guest's memory. */
TEST(vmmcall_becomes_vmcall)
{
	need_cap(KVM_CAP_DISABLE_QUIRKS2);
	guest_run(g_hypercall);
}

static void g_hypercall_faults(void)
{
	trap.handler[VEC_UD] = g_skip;
	G_EQ(g_vmmcall(), KVM_HC_VAPIC_POLL_IRQ);
	G_EQ(vmmcall_here[2], 0xd9);
	G_EQ(vmmcall_faults, 1);
}

TEST(vmmcall_faults)
{
	struct vcpu *v = guest_start(g_hypercall_faults);

	disable_quirks(v->vm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN);
	vcpu_done(v);
	vm_free(v->vm);
}

static void g_hypercall_in_place(void)
{
	write_cr0(read_cr0() | CR0_WP);
	G_EQ(g_vmmcall(), 0);
	G_EQ(vmmcall_here[2], 0xd9);
}

/* In memory that the guest itself could not write to it stays what it is. */
TEST(vmmcall_in_read_only_memory)
{
	struct vcpu *v = guest_start(g_hypercall_in_place);
	u64 page = (u64)vmmcall_here & ~0xfffull;

	need_cap(KVM_CAP_DISABLE_QUIRKS2);
	if (kvm_in_tree())
		skip("in-tree raises #PF");
	map_page(v->vm, page, page, PT_P);
	map_page(v->vm, page + 4096, page + 4096, PT_P);
	vcpu_done(v);
	vm_free(v->vm);
}

/* Other invalid instructions are the guest's own. */
static void g_invalid(void)
{
	G_EQ(TRY("ud2", NO_OUTS, "a"(0)), VEC_UD);
	G_EQ(TRY(".byte 0x66, 0x0f, 0x01, 0xd9", NO_OUTS, "a"(0)), VEC_UD);
}

TEST(other_invalid_instructions)
{
	if (kvm_in_tree())
		skip("in-tree takes VMMCALL with prefixes for one, too");
	guest_run(g_invalid);
}

/* ---- OUT to port 7EH ---------------------------------------------------- */

extern const u8 out_here[];

static void g_out_7e(void)
{
	asm volatile("out_here: outb %%al, $0x7e" : : "a"(1));
	asm volatile("outb %%al, $0x7e" : : "a"(2));
}

static void out_7e(bool quirk)
{
	struct vcpu *v = guest_start(g_out_7e);

	if (!quirk)
		disable_quirks(v->vm, KVM_X86_QUIRK_OUT_7E_INC_RIP);
	vcpu_until(v, KVM_EXIT_IO);
	EQ(get_rip(v), (u64)out_here + (quirk ? 2 : 0));
	EQ(*io_data(v), 1);
	vcpu_until(v, KVM_EXIT_IO);
	EQ(*io_data(v), 2);
	vcpu_done(v);
	vm_free(v->vm);
}

TEST(out_7e_is_over)
{
	out_7e(true);
}

TEST(out_7e_is_under_way)
{
	out_7e(false);
}

/* ---- the local APIC ----------------------------------------------------- */

TEST(lint0_masked)
{
	struct vm *vm = vm_irqchip();
	struct vcpu *v;

	disable_quirks(vm, KVM_X86_QUIRK_LINT0_REENABLED);
	v = vcpu_apic(vm, 0);
	EQ(lapic_reg(v, APIC_LVT_LINT0), LVT_MASKED);
	vm_free(vm);

	vm = vm_irqchip();
	v = vcpu_apic(vm, 0);
	EQ(lapic_reg(v, APIC_LVT_LINT0), LVT_EXTINT);
	vm_free(vm);
}

static void g_read_hole(void)
{
	guest_sync(*(volatile u32 *)(u64)(APIC_DEFAULT_BASE + APIC_VERSION));
}

/* In x2APIC mode the page reads as ones, or is the monitor's. */
TEST(apic_page_of_an_x2apic)
{
	struct vm *vm = remote_vm(true, 1);
	struct vcpu *v = vm->vcpus[0];

	EQ(remote_read(v, APIC_DEFAULT_BASE + APIC_VERSION), ~0u);
	disable_quirks(vm, KVM_X86_QUIRK_LAPIC_MMIO_HOLE);
	vcpu_long(v, g_read_hole);
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, APIC_DEFAULT_BASE + APIC_VERSION);
	memcpy(v->run->mmio.data, "abcd", 4);
	EQ(next_value(v), 0x64636261);
	vm_free(vm);
}

/* ---- MSR_PLATFORM_INFO -------------------------------------------------- */

static void g_platform_info(void)
{
	u64 value = 0;

	for (;;) {
		guest_sync(try_rdmsr(MSR_PLATFORM_INFO, &value));
		guest_sync(value & PLATFORM_RATIOS);
		G_EQ(try_wrmsr(MSR_PLATFORM_INFO, value), VEC_GP);
	}
}

TEST(platform_info)
{
	struct vcpu *v = guest_start(g_platform_info);

	need_cap(KVM_CAP_MSR_PLATFORM_INFO);
	set_msr(v, MSR_PLATFORM_INFO, PLATFORM_RATIOS);
	EQ(next_value(v), VEC_NONE);
	EQ(next_value(v), PLATFORM_RATIOS);
	WORKS(enable_try(v->vm, KVM_CAP_MSR_PLATFORM_INFO, 0));
	EQ(next_value(v), VEC_GP);
	next_value(v);
	/* The monitor keeps it. */
	EQ(get_msr(v, MSR_PLATFORM_INFO) & PLATFORM_RATIOS, PLATFORM_RATIOS);
	WORKS(enable_try(v->vm, KVM_CAP_MSR_PLATFORM_INFO, 1));
	EQ(next_value(v), VEC_NONE);
	vm_free(v->vm);
}
