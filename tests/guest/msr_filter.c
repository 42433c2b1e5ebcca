// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs about which the monitor has a say: KVM_X86_SET_MSR_FILTER, and the exits
 * of KVM_CAP_X86_USER_SPACE_MSR.
 */
#include <errno.h>
#include <string.h>

#include "guest.h"

#define MSR_NONE	0x474f4f00	/* nobody has it */
#define MSR_FS_BASE	0xc0000100
#define MSR_X2APIC_TPR	0x808
#define MSR_MTRRCAP	0xfe		/* read-only */
#define MSR_PAT		0x277		/* 2 is no memory type */

#define EXIT_INVAL	KVM_MSR_EXIT_REASON_INVAL
#define EXIT_UNKNOWN	KVM_MSR_EXIT_REASON_UNKNOWN
#define EXIT_FILTER	KVM_MSR_EXIT_REASON_FILTER

#define F_READ		KVM_MSR_FILTER_READ
#define F_WRITE		KVM_MSR_FILTER_WRITE

static int exits_try(struct vm *vm, u64 reasons)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { reasons },
	};

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static int filter_try(struct vm *vm, u32 flags, u32 access, u32 base, u32 count,
		      const void *bitmap)
{
	struct kvm_msr_filter f = { .flags = flags };

	f.ranges[3].flags = access;
	f.ranges[3].base = base;
	f.ranges[3].nmsrs = count;
	f.ranges[3].bitmap = (void *)bitmap;
	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f);
}

/* One MSR, for which that access is denied. */
static void deny(struct vm *vm, u32 access, u32 msr)
{
	const u64 none = 0;

	WORKS(filter_try(vm, KVM_MSR_FILTER_DEFAULT_ALLOW, access, msr, 1,
			 &none));
}

static volatile u32 g_msr;
static volatile u64 g_value;

static void g_access(void)
{
	u64 value;

	for (;;) {
		value = 0;
		guest_sync(0x1000 | try_rdmsr(g_msr, &value));
		g_value = value;
		guest_sync(0x2000 | try_wrmsr(g_msr, 0x100000002ull));
	}
}

static struct vcpu *prepare(u32 msr)
{
	struct vcpu *v = guest_start(g_access);

	need_cap(KVM_CAP_X86_USER_SPACE_MSR);
	need_cap(KVM_CAP_X86_MSR_FILTER);
	G(v->vm, g_msr) = msr;
	return v;
}

static void ends(struct vcpu *v, u32 which, u32 vector)
{
	EQ(next_value(v), which | vector);
}

/* The exit comes; it is answered with this error and value. */
static void exits(struct vcpu *v, u32 exit, u32 reason, u8 error, u64 value)
{
	vcpu_until(v, exit);
	EQ(v->run->msr.reason, reason);
	EQ(v->run->msr.index, G(v->vm, g_msr));
	EQ(v->run->msr.error, 0);
	if (exit == KVM_EXIT_X86_WRMSR)
		EQ(v->run->msr.data, 0x100000002ull);
	v->run->msr.error = error;
	v->run->msr.data = value;
}

static void both_exit(struct vcpu *v, u32 reason)
{
	exits(v, KVM_EXIT_X86_RDMSR, reason, 0, 0x123456789ull);
	ends(v, 0x1000, VEC_NONE);
	exits(v, KVM_EXIT_X86_WRMSR, reason, 0, 0);
	EQ(G(v->vm, g_value), 0x123456789ull);
	ends(v, 0x2000, VEC_NONE);
	exits(v, KVM_EXIT_X86_RDMSR, reason, 1, 7);
	ends(v, 0x1000, VEC_GP);
	exits(v, KVM_EXIT_X86_WRMSR, reason, 1, 0);
	EQ(G(v->vm, g_value), 0);
	ends(v, 0x2000, VEC_GP);
}

static void both_fault(struct vcpu *v)
{
	ends(v, 0x1000, VEC_GP);
	ends(v, 0x2000, VEC_GP);
}

static void both_work(struct vcpu *v)
{
	ends(v, 0x1000, VEC_NONE);
	ends(v, 0x2000, VEC_NONE);
}

TEST(unknown_msr)
{
	struct vcpu *v = prepare(MSR_NONE);

	both_fault(v);
	WORKS(exits_try(v->vm, EXIT_INVAL | EXIT_FILTER));
	both_fault(v);
	WORKS(exits_try(v->vm, EXIT_UNKNOWN));
	both_exit(v, EXIT_UNKNOWN);
	WORKS(exits_try(v->vm, 0));
	both_fault(v);
	vm_free(v->vm);
}

TEST(invalid_access)
{
	struct vcpu *v = prepare(MSR_PAT);

	WORKS(exits_try(v->vm, EXIT_INVAL));
	ends(v, 0x1000, VEC_NONE);
	exits(v, KVM_EXIT_X86_WRMSR, EXIT_INVAL, 0, 0);
	ends(v, 0x2000, VEC_NONE);
	vm_free(v->vm);
}

TEST(filtered)
{
	struct vcpu *v = prepare(MSR_MTRRCAP);

	deny(v->vm, F_READ | F_WRITE, MSR_MTRRCAP);
	both_fault(v);
	WORKS(exits_try(v->vm, EXIT_FILTER));
	both_exit(v, EXIT_FILTER);
	/* What the monitor itself does is not filtered. */
	get_msr(v, MSR_MTRRCAP);
	vm_free(v->vm);
}

/* An MSR that the guest otherwise accesses without an exit. */
TEST(filtered_while_it_runs)
{
	struct vcpu *v = prepare(MSR_FS_BASE);

	both_work(v);
	WORKS(exits_try(v->vm, EXIT_FILTER));
	deny(v->vm, F_READ | F_WRITE, MSR_FS_BASE);
	both_exit(v, EXIT_FILTER);
	EQ(get_msr(v, MSR_FS_BASE), 0x100000002ull);
	deny(v->vm, F_READ, MSR_FS_BASE);
	exits(v, KVM_EXIT_X86_RDMSR, EXIT_FILTER, 0, 0);
	both_work(v);
	WORKS(filter_try(v->vm, 0, 0, 0, 0, NULL));
	both_work(v);
	vm_free(v->vm);
}

/* Only what is named is allowed. */
TEST(default_deny)
{
	struct vcpu *v = prepare(MSR_FS_BASE);
	u8 bitmap[8] = { 0 };

	WORKS(exits_try(v->vm, EXIT_FILTER));
	WORKS(filter_try(v->vm, KVM_MSR_FILTER_DEFAULT_DENY, F_READ | F_WRITE,
			 MSR_FS_BASE - 9, 16, bitmap));
	both_exit(v, EXIT_FILTER);
	bitmap[1] = BIT(1);
	WORKS(filter_try(v->vm, KVM_MSR_FILTER_DEFAULT_DENY, F_READ | F_WRITE,
			 MSR_FS_BASE - 9, 16, bitmap));
	both_work(v);
	G(v->vm, g_msr) = MSR_FS_BASE + 7;
	both_exit(v, EXIT_FILTER);
	vm_free(v->vm);
}

/* The answer is for an instruction that is no more. */
TEST(sent_elsewhere)
{
	struct vcpu *v = prepare(MSR_NONE);
	struct kvm_regs r;

	if (kvm_in_tree())
		skip("in-tree skips whatever instruction is there by then");
	WORKS(exits_try(v->vm, EXIT_UNKNOWN));
	vcpu_until(v, KVM_EXIT_X86_RDMSR);
	v->run->msr.error = 1;
	get_regs(v, &r);
	r.rip = (unsigned long)guest_done;
	set_regs(v, &r);
	vcpu_done(v);
	vm_free(v->vm);
}

TEST(bad_input)
{
	struct vm *vm = vm_bare();
	const u64 none = 0;

	need_cap(KVM_CAP_X86_MSR_FILTER);
	FAILS(exits_try(vm, BIT(3)), EINVAL);
	FAILS(exits_try(vm, BIT(32)), EINVAL);
	FAILS(filter_try(vm, BIT(1), F_READ, 0, 1, &none), EINVAL);
	FAILS(filter_try(vm, 0, 0, 0, 1, &none), EINVAL);
	FAILS(filter_try(vm, 0, BIT(2), 0, 1, &none), EINVAL);
	FAILS(filter_try(vm, 0, F_READ, 0, 0x600 * 8 + 1, &none), EINVAL);
	FAILS(filter_try(vm, 0, F_READ, 0, ~0u, &none), EINVAL);
	FAILS(filter_try(vm, 0, F_READ, 0, 1, NULL), EFAULT);
	FAILS(filter_try(vm, KVM_MSR_FILTER_DEFAULT_DENY, 0, 0, 0, NULL),
	      EINVAL);
	FAILS(ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, NULL), EFAULT);
	vm_free(vm);
}
