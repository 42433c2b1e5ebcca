// SPDX-License-Identifier: GPL-2.0-only
/*
 * clock.c - kvmclock: the time since the VM's creation, in memory that the
 * guest reads together with its TSC.
 *
 * All vCPUs extrapolate from one moment that the VM has noted, as nanoseconds
 * of the host's boot time and as the host's TSC, so that their clocks agree.
 * That takes a TSC which is constant and the same on all CPUs: without one,
 * the clock is not offered.
 *
 * Kernel documentation: virt/kvm/x86/msr.rst, "MSR_KVM_SYSTEM_TIME_NEW".
 * Locking: kvm->tsc_lock for the moment and the offset.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>

#include "include/compat.h"
#include "kvm.h"

#define KVMCLOCK_ENABLED	BIT_ULL(0)

void __init kvm_clock_setup(void)
{
	kvm_caps.kvmclock = boot_cpu_has(X86_FEATURE_CONSTANT_TSC) &&
			    !check_tsc_unstable();
}

/* Note the moment. The caller holds tsc_lock, so interrupts are off. */
static void clock_note(struct kvm *kvm)
{
	kvm->clock_base_ns = ktime_get_boottime_ns();
	kvm->clock_base_tsc = rdtsc();
}

void kvm_clock_init(struct kvm *kvm)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&kvm->tsc_lock, flags);
	clock_note(kvm);
	kvm->clock_offset = -kvm->clock_base_ns;
	raw_spin_unlock_irqrestore(&kvm->tsc_lock, flags);
}

static void clock_update_all(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		kvm_make_request(vcpu, KVM_REQ_CLOCK_UPDATE);
		kvm_vcpu_kick(vcpu);
	}
}

static u64 tsc_at_suspend;

void kvm_clock_suspend(void)
{
	tsc_at_suspend = rdtsc();
}

/* The host's TSC has gone back by `lost`; the guests' must not. tsc_lock. */
static void carry_tsc(struct kvm *kvm, u64 lost)
{
	u64 scaled, noted = 0;
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		scaled = kvm_scale_tsc(vcpu, lost);
		vcpu->tsc_offset += scaled;
		kvm_make_request(vcpu, KVM_REQ_TSC_UPDATE);
		if (vcpu->tsc_khz == kvm->last_tsc_khz)
			noted = scaled;
	}
	kvm->last_tsc_offset += noted;
	kvm->last_tsc_host -= noted;
}

/*
 * The host has slept, and its TSC may have begun again: so must we. No task
 * runs, so the offsets of the vCPUs are nobody's.
 */
void kvm_clock_resume(struct kvm *kvm)
{
	unsigned long flags;
	u64 now = rdtsc();

	raw_spin_lock_irqsave(&kvm->tsc_lock, flags);
	clock_note(kvm);
	if (now < tsc_at_suspend)
		carry_tsc(kvm, tsc_at_suspend - now);
	raw_spin_unlock_irqrestore(&kvm->tsc_lock, flags);
	clock_update_all(kvm);
}

/* Nanoseconds of the guest's clock now; tsc_lock held. */
static u64 clock_now(const struct kvm *kvm)
{
	return kvm->clock_base_ns + kvm->clock_offset +
	       mul_u64_u64_div_u64(rdtsc() - kvm->clock_base_tsc,
				   NSEC_PER_MSEC, tsc_khz);
}

u64 kvm_clock_get(struct kvm *kvm)
{
	unsigned long flags;
	u64 now;

	raw_spin_lock_irqsave(&kvm->tsc_lock, flags);
	now = clock_now(kvm);
	raw_spin_unlock_irqrestore(&kvm->tsc_lock, flags);
	return now;
}

void kvm_clock_set(struct kvm *kvm, u64 ns)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&kvm->tsc_lock, flags);
	kvm->clock_offset += ns - clock_now(kvm);
	raw_spin_unlock_irqrestore(&kvm->tsc_lock, flags);
	clock_update_all(kvm);
}

/*
 * The factor from ticks to nanoseconds as the guest applies it: shift first,
 * then multiply and keep the upper half of 64 bits.
 */
static void ticks_to_ns(u64 khz, struct pvclock_vcpu_time_info *info)
{
	u64 factor = div64_u64((u64)NSEC_PER_SEC << 32, khz * 1000);
	int shift = fls64(factor) - 32;

	info->tsc_shift = shift;
	info->tsc_to_system_mul = shift > 0 ? factor >> shift :
					      factor << -shift;
}

static void clock_fill(struct kvm_vcpu *vcpu,
		       struct pvclock_vcpu_time_info *info)
{
	struct kvm *kvm = vcpu->kvm;
	unsigned long flags;

	ticks_to_ns(vcpu->tsc_khz, info);
	raw_spin_lock_irqsave(&kvm->tsc_lock, flags);
	info->tsc_timestamp = kvm_scale_tsc(vcpu, kvm->clock_base_tsc) +
			      vcpu->tsc_offset;
	info->system_time = kvm->clock_base_ns + kvm->clock_offset;
	raw_spin_unlock_irqrestore(&kvm->tsc_lock, flags);
	info->flags = PVCLOCK_TSC_STABLE_BIT;
}

/*
 * Write a structure that begins with a version: odd while the rest changes.
 * Memory that is not there is the guest's own fault, and only its loss.
 */
static void write_versioned(struct kvm_vcpu *vcpu, gpa_t gpa, u32 *info,
			    size_t size)
{
	u32 version;

	if (kvm_read_guest(vcpu, gpa, &version, sizeof(version)))
		return;
	version |= 1;
	if (kvm_write_guest(vcpu, gpa, &version, sizeof(version)))
		return;
	smp_wmb();
	*info = version;
	kvm_write_guest(vcpu, gpa, info, size);
	smp_wmb();
	version++;
	kvm_write_guest(vcpu, gpa, &version, sizeof(version));
}

/* KVM_REQ_CLOCK_UPDATE. kvm->srcu held. */
void kvm_clock_update(struct kvm_vcpu *vcpu)
{
	struct pvclock_vcpu_time_info info = { };
	u64 msr = vcpu->msr.system_time;

	if (!(msr & KVMCLOCK_ENABLED))
		return;
	clock_fill(vcpu, &info);
	write_versioned(vcpu, msr & ~KVMCLOCK_ENABLED, (u32 *)&info,
			sizeof(info));
}

/* KVM_REQ_WALL_CLOCK: when was the guest's clock zero? kvm->srcu held. */
void kvm_clock_write_wall(struct kvm_vcpu *vcpu)
{
	u64 ns = ktime_get_real_ns() - kvm_clock_get(vcpu->kvm);
	struct pvclock_wall_clock info = { };

	if (!vcpu->msr.wall_clock)
		return;
	info.sec = div_u64_rem(ns, NSEC_PER_SEC, &info.nsec);
	write_versioned(vcpu, vcpu->msr.wall_clock, (u32 *)&info, sizeof(info));
}
