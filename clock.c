// SPDX-License-Identifier: GPL-2.0-only
/*
 * clock.c - guest time: the TSC of each vCPU, and kvmclock, the time since the
 * VM's creation, in memory that the guest reads together with its TSC.
 *
 * kvmclock is one line through one moment: its value then, and the host's TSC
 * then. All vCPUs extrapolate from that moment, so that their clocks agree. It
 * takes a TSC that is constant and the same on all CPUs: without one, the
 * clock is not offered. A new moment is noted when the clock is set, and when
 * the host wakes up. From before the change until it has seen the new moment,
 * no vCPU runs its guest.
 *
 * Kernel documentation: virt/kvm/x86/msr.rst, "MSR_KVM_SYSTEM_TIME_NEW";
 * virt/kvm/devices/vcpu.rst, "KVM_VCPU_TSC_CTRL".
 * SDM: "Time-Stamp Counter", "TSC scaling".
 * Locking: kvm->clock_lock (mutex, inside kvm->srcu) around a change of the
 * moment; kvm->tsc_lock (no interrupts) for the moment and for what keeps the
 * TSCs of the vCPUs in step.
 */
#include <linux/ktime.h>
#include <linux/kvm_para.h>
#include <linux/math64.h>
#include <linux/uaccess.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>

#include "include/compat.h"
#include "kvm.h"

#define KVMCLOCK_ENABLED	BIT_ULL(0)

/* ---- from ticks to nanoseconds ------------------------------------------ */

/*
 * As the guest applies it: shift by 2^shift, multiply, and keep the upper half
 * of 64 bits.
 */
struct clock_factor {
	u32 mul;
	s8 shift;
};

static struct clock_factor host_factor;	/* from load on */

/* Bits behind the binary point of a frequency in kHz. */
#define KHZ_FRACTION	20

/*
 * `khz`, with that fraction, is below 2^52. As many bits of the factor as
 * there are, in 64, and the upper 32 of those.
 */
static struct clock_factor find_factor(u64 khz)
{
	int scale = fls64(khz) + 10, drop;
	u64 factor = mul_u64_u64_div_u64(NSEC_PER_MSEC << 32, 1ull << scale,
					 khz);

	drop = fls64(factor) - 32;
	return (struct clock_factor) {
		.mul = factor >> drop,
		.shift = drop + KHZ_FRACTION - scale,
	};
}

/* By the frequency that the counter has, not by that it was asked to have. */
static struct clock_factor vcpu_factor(const struct kvm_vcpu *vcpu)
{
	if (!vcpu->tsc_ratio)
		return host_factor;
	return find_factor(mul_u64_u64_shr((u64)tsc_khz << KHZ_FRACTION,
					   vcpu->tsc_ratio,
					   kvm_caps.tsc_ratio_frac_bits));
}

/* ---- the TSC of a vCPU -------------------------------------------------- */

u64 kvm_scale_tsc(const struct kvm_vcpu *vcpu, u64 tsc)
{
	if (!vcpu->tsc_ratio)
		return tsc;
	return mul_u64_u64_shr(tsc, vcpu->tsc_ratio,
			       kvm_caps.tsc_ratio_frac_bits);
}

u64 kvm_read_guest_tsc(struct kvm_vcpu *vcpu)
{
	return kvm_scale_tsc(vcpu, rdtsc()) + vcpu->tsc_offset;
}

/*
 * A monitor that sets several vCPUs to one value, one after the other, means
 * them to run in step: a value that is within a second of where an earlier
 * one has got to takes the same offset. So does 0, which is what a processor
 * begins with that is added to a running VM. The first value of its own is
 * no such attempt: a guest that was saved young goes on from there.
 */
static bool tsc_write_matches(struct kvm_vcpu *vcpu, u64 value, u64 now)
{
	const struct kvm *kvm = vcpu->kvm;
	u64 expected = kvm_scale_tsc(vcpu, now) + kvm->last_tsc_offset;

	if (kvm->last_tsc_khz != vcpu->tsc_khz)
		return false;
	if (!value)
		return true;
	return kvm->tsc_set && (u64)(value - expected + vcpu->tsc_khz * 1000) <
				2 * vcpu->tsc_khz * 1000;
}

/* The next vCPU that is set may be meant to be in step with this. tsc_lock. */
static void note_offset(struct kvm_vcpu *vcpu)
{
	vcpu->kvm->last_tsc_khz = vcpu->tsc_khz;
	vcpu->kvm->last_tsc_offset = vcpu->tsc_offset;
}

void kvm_write_guest_tsc(struct kvm_vcpu *vcpu, u64 value, bool host)
{
	struct kvm *kvm = vcpu->kvm;
	u64 now = rdtsc();
	unsigned long flags;

	raw_spin_lock_irqsave(&kvm->tsc_lock, flags);
	if (host && tsc_write_matches(vcpu, value, now)) {
		vcpu->tsc_offset = kvm->last_tsc_offset;
	} else {
		vcpu->tsc_offset = value - kvm_scale_tsc(vcpu, now);
		if (host)
			note_offset(vcpu);
	}
	kvm->tsc_set |= host && value;
	raw_spin_unlock_irqrestore(&kvm->tsc_lock, flags);
	kvm_make_request(vcpu, KVM_REQ_TSC_UPDATE);
}

static void set_tsc_offset(struct kvm_vcpu *vcpu, u64 offset)
{
	struct kvm *kvm = vcpu->kvm;
	unsigned long flags;

	raw_spin_lock_irqsave(&kvm->tsc_lock, flags);
	vcpu->tsc_offset = offset;
	note_offset(vcpu);
	kvm->tsc_set = true;
	raw_spin_unlock_irqrestore(&kvm->tsc_lock, flags);
	kvm_make_request(vcpu, KVM_REQ_TSC_UPDATE);
}

/* Without scaling, frequencies this close pass for the host's own. */
#define TSC_TOLERANCE_PPM	250

/* The ratio that makes `khz` of the host's frequency, 0 for none. */
static int find_ratio(u64 khz, u64 *ratio)
{
	u64 host = tsc_khz;

	if (khz > U32_MAX)
		return -EINVAL;
	*ratio = 0;
	if (abs((s64)(khz - host)) <=
	    div_u64(host * TSC_TOLERANCE_PPM, 1000000))
		return 0;
	if (!kvm_caps.tsc_scaling)
		return -EINVAL;
	*ratio = mul_u64_u32_div(1ull << kvm_caps.tsc_ratio_frac_bits, khz,
				 host);
	return *ratio && *ratio <= kvm_caps.tsc_ratio_max ? 0 : -EINVAL;
}

int kvm_set_tsc_khz(struct kvm_vcpu *vcpu, u64 khz)
{
	u64 ratio;
	int r = find_ratio(khz ?: tsc_khz, &ratio);

	if (r)
		return r;
	vcpu->tsc_khz = khz ?: tsc_khz;
	vcpu->tsc_ratio = ratio;
	kvm_make_request(vcpu, KVM_REQ_TSC_UPDATE);
	return 0;
}

int kvm_set_default_tsc_khz(struct kvm *kvm, u64 khz)
{
	u64 ratio;
	int r = find_ratio(khz ?: tsc_khz, &ratio);

	if (!r)
		WRITE_ONCE(kvm->tsc_khz, khz ?: tsc_khz);
	return r;
}

/* ---- attributes of a vCPU: KVM_VCPU_TSC_CTRL ---------------------------- */

static int check_attr(const struct kvm_device_attr *attr)
{
	if (attr->flags)
		return -EINVAL;
	return attr->group == KVM_VCPU_TSC_CTRL &&
	       attr->attr == KVM_VCPU_TSC_OFFSET ? 0 : -ENXIO;
}

int kvm_has_vcpu_attr(struct kvm_vcpu *vcpu,
		      const struct kvm_device_attr *attr)
{
	return check_attr(attr);
}

int kvm_get_vcpu_attr(struct kvm_vcpu *vcpu,
		      const struct kvm_device_attr *attr)
{
	u64 __user *user = (u64 __user *)(unsigned long)attr->addr;

	return check_attr(attr) ?: put_user(vcpu->tsc_offset, user);
}

int kvm_set_vcpu_attr(struct kvm_vcpu *vcpu,
		      const struct kvm_device_attr *attr)
{
	u64 __user *user = (u64 __user *)(unsigned long)attr->addr;
	u64 offset;
	int r = check_attr(attr) ?: get_user(offset, user);

	if (!r)
		set_tsc_offset(vcpu, offset);
	return r;
}

/* ---- the moment --------------------------------------------------------- */

void __init kvm_clock_setup(void)
{
	kvm_caps.kvmclock = boot_cpu_has(X86_FEATURE_CONSTANT_TSC) &&
			    !check_tsc_unstable();
	kvm_caps.steal_time = IS_ENABLED(CONFIG_SCHED_INFO);
	host_factor = find_factor((u64)tsc_khz << KHZ_FRACTION);
}

/* The host may find out later that its TSC is no good. */
static bool clock_is_exact(void)
{
	return kvm_caps.kvmclock && !check_tsc_unstable();
}

/* tsc_lock. */
static void clock_note(struct kvm *kvm, u64 tsc, u64 ns)
{
	kvm->clock_base_tsc = tsc;
	kvm->clock_base_ns = ns;
}

/* The guest's clock at a value of the host's TSC; tsc_lock. */
static u64 clock_at(const struct kvm *kvm, u64 tsc)
{
	/* Another CPU's counter may be a tick behind. */
	u64 ticks = max_t(s64, tsc - kvm->clock_base_tsc, 0);

	return kvm->clock_base_ns +
	       pvclock_scale_delta(ticks, host_factor.mul, host_factor.shift);
}

static u64 read_clock(struct kvm *kvm, u64 tsc)
{
	unsigned long flags;
	u64 now;

	raw_spin_lock_irqsave(&kvm->tsc_lock, flags);
	now = clock_at(kvm, tsc);
	raw_spin_unlock_irqrestore(&kvm->tsc_lock, flags);
	return now;
}

void kvm_clock_init(struct kvm *kvm)
{
	raw_spin_lock_init(&kvm->tsc_lock);
	mutex_init(&kvm->clock_lock);
	clock_note(kvm, rdtsc(), 0);
}

/* One instant, as the host's TSC and as its real time. */
struct clock_sample {
	u64 tsc, real;
};

#define SAMPLE_TRIES	3

/* The real time is of between two looks at the TSC: as close as they come. */
static void take_sample(struct clock_sample *sample)
{
	u64 before, after, real, best = U64_MAX;
	unsigned long flags;
	int i;

	local_irq_save(flags);
	for (i = 0; i < SAMPLE_TRIES; i++) {
		before = rdtsc_ordered();
		real = ktime_get_real_ns();
		after = rdtsc_ordered();
		if (after - before >= best)
			continue;
		best = after - before;
		sample->tsc = before + best / 2;
		sample->real = real;
	}
	local_irq_restore(flags);
}

/* KVM_GET_CLOCK can tell these, and KVM_SET_CLOCK takes them. */
#define CLOCK_FLAGS	(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME |	\
			 KVM_CLOCK_HOST_TSC)

u32 kvm_clock_flags(void)
{
	return clock_is_exact() ? CLOCK_FLAGS : 0;
}

void kvm_clock_get(struct kvm *kvm, struct kvm_clock_data *data)
{
	struct clock_sample sample;

	take_sample(&sample);
	*data = (struct kvm_clock_data) {
		.clock = read_clock(kvm, sample.tsc),
		.flags = kvm_clock_flags(),
	};
	if (!data->flags)
		return;
	data->realtime = sample.real;
	data->host_tsc = sample.tsc;
}

int kvm_clock_set(struct kvm *kvm, const struct kvm_clock_data *data)
{
	struct clock_sample sample;
	u64 ns = data->clock;
	unsigned long flags;

	if (data->flags & ~CLOCK_FLAGS)
		return -EINVAL;
	mutex_lock(&kvm->clock_lock);
	kvm_make_all_requests(kvm, KVM_REQ_CLOCK_UPDATE);
	take_sample(&sample);
	/* The time on the way from another host; it cannot be negative. */
	if ((data->flags & KVM_CLOCK_REALTIME) && sample.real > data->realtime)
		ns += sample.real - data->realtime;
	raw_spin_lock_irqsave(&kvm->tsc_lock, flags);
	clock_note(kvm, sample.tsc, ns);
	raw_spin_unlock_irqrestore(&kvm->tsc_lock, flags);
	mutex_unlock(&kvm->clock_lock);
	return 0;
}

/* ---- sleep of the host -------------------------------------------------- */

/* No other CPU and no task runs. The same instant, by two clocks. */
static u64 tsc_at_suspend, boot_ns_at_suspend;

void kvm_clock_suspend(void)
{
	struct kvm *kvm;

	tsc_at_suspend = rdtsc();
	boot_ns_at_suspend = ktime_get_boottime_ns();
	list_for_each_entry(kvm, &kvm_vm_list, list)
		clock_note(kvm, tsc_at_suspend, clock_at(kvm, tsc_at_suspend));
}

/* The host's TSC has gone back by `lost`; the guests' must not. */
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
}

/* kvmclock counts the time that the host has slept. */
static void resume_vm(struct kvm *kvm, u64 tsc, u64 slept_ns)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	clock_note(kvm, tsc, kvm->clock_base_ns + slept_ns);
	if (tsc < tsc_at_suspend)
		carry_tsc(kvm, tsc_at_suspend - tsc);
	kvm_for_each_vcpu(i, vcpu, kvm)
		kvm_make_request(vcpu, KVM_REQ_CLOCK_UPDATE);
}

void kvm_clock_resume(void)
{
	u64 slept_ns = ktime_get_boottime_ns() - boot_ns_at_suspend;
	u64 tsc = rdtsc();
	struct kvm *kvm;

	list_for_each_entry(kvm, &kvm_vm_list, list)
		resume_vm(kvm, tsc, slept_ns);
}

/* ---- what the guest reads ----------------------------------------------- */

static void clock_fill(struct kvm_vcpu *vcpu,
		       struct pvclock_vcpu_time_info *info)
{
	struct clock_factor factor = vcpu_factor(vcpu);
	struct kvm *kvm = vcpu->kvm;
	unsigned long flags;

	info->tsc_to_system_mul = factor.mul;
	info->tsc_shift = factor.shift;
	raw_spin_lock_irqsave(&kvm->tsc_lock, flags);
	info->tsc_timestamp = kvm_scale_tsc(vcpu, kvm->clock_base_tsc) +
			      vcpu->tsc_offset;
	info->system_time = kvm->clock_base_ns;
	raw_spin_unlock_irqrestore(&kvm->tsc_lock, flags);
	/* The guest clears the one flag when it has seen it. */
	info->flags &= PVCLOCK_GUEST_STOPPED;
	if (clock_is_exact())
		info->flags |= PVCLOCK_TSC_STABLE_BIT;
	if (vcpu->clock_stopped)
		info->flags |= PVCLOCK_GUEST_STOPPED;
	vcpu->clock_stopped = false;
}

/*
 * Write a structure that begins with a version: odd while the rest changes.
 * Memory that is not there is the guest's own fault, and only its loss.
 */
static void write_versioned(struct kvm_vcpu *vcpu, gpa_t gpa, u32 *info,
			    size_t size)
{
	*info |= 1;
	if (kvm_write_guest(vcpu, gpa, info, sizeof(*info)))
		return;
	smp_wmb();
	kvm_write_guest(vcpu, gpa, info, size);
	smp_wmb();
	*info += 1;
	kvm_write_guest(vcpu, gpa, info, sizeof(*info));
}

/* KVM_REQ_CLOCK_UPDATE. kvm->srcu held. */
void kvm_clock_update(struct kvm_vcpu *vcpu)
{
	struct pvclock_vcpu_time_info info;
	u64 msr = vcpu->msr.system_time;
	gpa_t gpa = msr & ~KVMCLOCK_ENABLED;

	if (!(msr & KVMCLOCK_ENABLED) ||
	    kvm_read_guest(vcpu, gpa, &info, sizeof(info)))
		return;
	mutex_lock(&vcpu->kvm->clock_lock);
	clock_fill(vcpu, &info);
	mutex_unlock(&vcpu->kvm->clock_lock);
	write_versioned(vcpu, gpa, &info.version, sizeof(info));
}

/* KVM_REQ_WALL_CLOCK: when was the guest's clock zero? kvm->srcu held. */
void kvm_clock_write_wall(struct kvm_vcpu *vcpu)
{
	gpa_t gpa = vcpu->msr.wall_clock;
	struct pvclock_wall_clock info;
	struct clock_sample sample;

	if (!gpa || kvm_read_guest(vcpu, gpa, &info, sizeof(info)))
		return;
	take_sample(&sample);
	info.sec = div_u64_rem(sample.real - read_clock(vcpu->kvm, sample.tsc),
			       NSEC_PER_SEC, &info.nsec);
	write_versioned(vcpu, gpa, &info.version, sizeof(info));
}

/* KVM_KVMCLOCK_CTRL: the monitor has paused the guest. */
int kvm_clock_note_pause(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->msr.system_time & KVMCLOCK_ENABLED))
		return -EINVAL;
	vcpu->clock_stopped = true;
	kvm_make_request(vcpu, KVM_REQ_CLOCK_UPDATE);
	return 0;
}

/* Tell the guest what the time was when its TSC had a value. */
long kvm_clock_pairing(struct kvm_vcpu *vcpu, gpa_t gpa, u64 type)
{
	struct kvm_clock_pairing pairing = { };
	struct clock_sample sample;
	u32 nsec;

	if (type != KVM_CLOCK_PAIRING_WALLCLOCK || !clock_is_exact())
		return -KVM_EOPNOTSUPP;
	take_sample(&sample);
	pairing.sec = div_u64_rem(sample.real, NSEC_PER_SEC, &nsec);
	pairing.nsec = nsec;
	pairing.tsc = kvm_scale_tsc(vcpu, sample.tsc) + vcpu->tsc_offset;
	if (kvm_write_guest(vcpu, gpa, &pairing, sizeof(pairing)))
		return -KVM_EFAULT;
	return 0;
}
