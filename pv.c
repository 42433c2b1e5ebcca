// SPDX-License-Identifier: GPL-2.0-only
/*
 * pv.c - features that only guests use which know that they are guests:
 * MSR_KVM_*, hypercalls, steal time, end of interrupt. Page faults are in
 * async_pf.c.
 *
 * An MSR tells where in guest memory the two meet. Writing it may happen with
 * interrupts off, so it is noted only; what follows is done upon a request.
 * Memory that is not there, or that the guest uses for something else as
 * well, is the guest's own loss.
 *
 * The monitor decides by CPUID what a guest knows of, and with
 * KVM_CAP_ENFORCE_PV_FEATURE_CPUID what it may use. MSRs of features that need
 * an in-kernel APIC keep their values without one, and have no effect.
 *
 * Does not know: what kvmclock writes (clock.c), local APICs (irqchip/).
 * Kernel documentation: virt/kvm/x86/msr.rst, hypercalls.rst, cpuid.rst.
 * Locking: vcpu->mutex; the vCPU is loaded.
 */
#include <linux/kvm_para.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "include/compat.h"
#include "kvm.h"

static bool may_use(const struct kvm_vcpu *vcpu, unsigned int feature)
{
	return !vcpu->pv.enforced || vcpu->pv.features & BIT(feature);
}

void kvm_pv_cpuid_changed(struct kvm_vcpu *vcpu, u32 features)
{
	vcpu->pv.features = features;
}

/* ---- memory that is shared with the guest ------------------------------- */

static void area_set(struct kvm_pv_area *area, gpa_t gpa)
{
	area->gpa = gpa;
	area->slot = NULL;
	area->slots_gen = 0;		/* no generation is 0: look it up */
}

/* Where the monitor has it mapped; NULL: nowhere. kvm->srcu held. */
static void __user *area_user(const struct kvm_pv_area *area)
{
	if (!area->slot || slot_readonly(area->slot))
		return NULL;
	return (void __user *)slot_gfn_to_hva(area->slot,
					      area->gpa >> PAGE_SHIFT) +
	       offset_in_page(area->gpa);
}

static bool area_is_current(struct kvm_vcpu *vcpu,
			    const struct kvm_pv_area *area)
{
	return area->slots_gen == smp_load_acquire(&vcpu->kvm->slots_gen) + 1;
}

static void __user *area_find(struct kvm_vcpu *vcpu, struct kvm_pv_area *area)
{
	if (unlikely(!area_is_current(vcpu, area))) {
		/* Before the look-up: it may be out of date at once. */
		area->slots_gen = smp_load_acquire(&vcpu->kvm->slots_gen) + 1;
		area->slot = kvm_gfn_to_slot(vcpu->kvm,
					     area->gpa >> PAGE_SHIFT);
	}
	return area_user(area);
}

/* The guest's own tables may be there: they are shadowed. */
static void area_written(struct kvm_vcpu *vcpu, struct kvm_pv_area *area,
			 unsigned int bytes)
{
	kvm_mark_page_dirty(area->slot, area->gpa >> PAGE_SHIFT);
	kvm_mmu_guest_write(vcpu->kvm, area->gpa, bytes);
}

/* ---- steal time --------------------------------------------------------- */

/* How long the thread has waited for a CPU since this was asked last. */
static u64 time_stolen(struct kvm_vcpu *vcpu)
{
	u64 before = vcpu->pv.run_delay, delay = 0;

#ifdef CONFIG_SCHED_INFO
	delay = current->sched_info.run_delay;
#endif
	vcpu->pv.run_delay = delay;
	if (vcpu->pv.runner == current)
		return delay - before;
	vcpu->pv.runner = current;
	return 0;
}

static bool steal_time_is_on(const struct kvm_vcpu *vcpu)
{
	return vcpu->msr.steal_time & KVM_MSR_ENABLED;
}

void kvm_pv_load(struct kvm_vcpu *vcpu)
{
	if (!steal_time_is_on(vcpu))
		return;
#ifdef CONFIG_SCHED_INFO
	if (vcpu->pv.told_preempted ||
	    vcpu->pv.run_delay != current->sched_info.run_delay)
		kvm_make_request(vcpu, KVM_REQ_STEAL_TIME);
#endif
}

/*
 * A vCPU that the guest takes for preempted is not sent flushes of its TLB,
 * but finds them here. It must then not be in the middle of an instruction,
 * with a translation in its hands that ought to be gone.
 */
void kvm_pv_preempted(struct kvm_vcpu *vcpu)
{
	struct kvm_pv_area *area = &vcpu->pv.steal;
	struct kvm_steal_time __user *st;
	int idx;

	if (!steal_time_is_on(vcpu) || !vcpu->pv.between_insns ||
	    vcpu->pv.told_preempted)
		return;
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	st = area_is_current(vcpu, area) ? area_user(area) : NULL;
	pagefault_disable();
	if (st && !put_user(KVM_VCPU_PREEMPTED, &st->preempted)) {
		vcpu->pv.told_preempted = true;
		kvm_mark_page_dirty(area->slot, area->gpa >> PAGE_SHIFT);
	}
	pagefault_enable();
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
}

#define TAKE_BACK_TRIES	8

/* The vCPU runs again. Other vCPUs may have left word that it must flush. */
static void take_back_preempted(struct kvm_vcpu *vcpu)
{
	gpa_t gpa = vcpu->pv.steal.gpa +
		    offsetof(struct kvm_steal_time, preempted);
	u8 found = KVM_VCPU_PREEMPTED, none = 0;
	int tries = TAKE_BACK_TRIES, r;

	do {
		r = kvm_cmpxchg_guest(vcpu, gpa, &found, &none, sizeof(found));
	} while (r == 1 && --tries);
	vcpu->pv.told_preempted = false;
	if (r || (found & KVM_VCPU_FLUSH_TLB))
		kvm_mmu_flush_guest(vcpu);
}

static void add_steal_time(struct kvm_vcpu *vcpu, u64 ns)
{
	struct kvm_pv_area *area = &vcpu->pv.steal;
	struct kvm_steal_time __user *st = area_find(vcpu, area);
	u64 steal;
	u32 version;

	if (!st || get_user(version, &st->version) ||
	    get_user(steal, &st->steal) ||
	    put_user(version | 1, &st->version))
		return;
	smp_wmb();
	put_user(steal + ns, &st->steal);
	smp_wmb();
	put_user((version | 1) + 1, &st->version);
	area_written(vcpu, area, sizeof(*st));
}

void kvm_pv_update_steal_time(struct kvm_vcpu *vcpu)
{
	if (vcpu->pv.told_preempted)
		take_back_preempted(vcpu);
	if (steal_time_is_on(vcpu))
		add_steal_time(vcpu, time_stolen(vcpu));
}

static int set_steal_time(struct kvm_vcpu *vcpu, u64 data)
{
	if (data & KVM_STEAL_RESERVED_MASK)
		return 1;
	/* What was left at the old place is not looked for any more. */
	if (vcpu->pv.told_preempted)
		kvm_mmu_flush_guest(vcpu);
	vcpu->pv.told_preempted = false;
	vcpu->msr.steal_time = data;
	area_set(&vcpu->pv.steal, data & KVM_STEAL_VALID_BITS);
	vcpu->pv.runner = NULL;
	kvm_make_request(vcpu, KVM_REQ_STEAL_TIME);
	return 0;
}

/* ---- end of interrupt --------------------------------------------------- */

void kvm_pv_offer_eoi(struct kvm_vcpu *vcpu)
{
	u8 __user *bit = area_find(vcpu, &vcpu->pv.eoi);

	if (!bit || put_user(KVM_PV_EOI_ENABLED, bit))
		return;
	vcpu->pv.eoi_offered = true;
	area_written(vcpu, &vcpu->pv.eoi, sizeof(*bit));
}

bool kvm_pv_eoi_taken(struct kvm_vcpu *vcpu)
{
	struct kvm_pv_area *area = &vcpu->pv.eoi;
	u8 __user *bit;
	bool taken;
	u8 value;
	int idx;

	if (!vcpu->pv.eoi_offered)
		return false;
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	bit = area_is_current(vcpu, area) ? area_user(area) : NULL;
	pagefault_disable();
	taken = bit && !get_user(value, bit) && !(value & KVM_PV_EOI_MASK);
	pagefault_enable();
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	if (taken)
		vcpu->pv.eoi_offered = false;
	return taken;
}

bool kvm_pv_withdraw_eoi(struct kvm_vcpu *vcpu)
{
	u8 __user *bit = area_find(vcpu, &vcpu->pv.eoi);
	u8 value;

	if (!vcpu->pv.eoi_offered)
		return false;
	vcpu->pv.eoi_offered = false;
	if (!bit || get_user(value, bit))
		return false;
	if (!(value & KVM_PV_EOI_MASK))
		return true;
	put_user(KVM_PV_EOI_DISABLED, bit);
	area_written(vcpu, &vcpu->pv.eoi, sizeof(*bit));
	return false;
}

static int set_pv_eoi(struct kvm_vcpu *vcpu, u64 data)
{
	const u64 address = data & ~(u64)KVM_MSR_ENABLED;

	if (!IS_ALIGNED(address, sizeof(u32)))
		return 1;
	/* What was left at the old place is not looked for any more. */
	if (kvm_pv_eoi_taken(vcpu))
		kvm_apic_eoi(vcpu);
	vcpu->pv.eoi_offered = false;
	vcpu->msr.pv_eoi = data;
	area_set(&vcpu->pv.eoi, address);
	vcpu->pv.eoi_on = vcpu->apic && (data & KVM_MSR_ENABLED);
	return 0;
}

/* ---- MSRs --------------------------------------------------------------- */

/* The feature whose MSR it is, and where its value is kept. */
static u64 *find_msr(struct kvm_vcpu *vcpu, u32 index, unsigned int *feature)
{
	struct kvm_vcpu_arch_msrs *msr = &vcpu->msr;

	switch (index) {
	case MSR_KVM_WALL_CLOCK:
		*feature = KVM_FEATURE_CLOCKSOURCE;
		return &msr->wall_clock;
	case MSR_KVM_SYSTEM_TIME:
		*feature = KVM_FEATURE_CLOCKSOURCE;
		return &msr->system_time;
	case MSR_KVM_WALL_CLOCK_NEW:
		*feature = KVM_FEATURE_CLOCKSOURCE2;
		return &msr->wall_clock;
	case MSR_KVM_SYSTEM_TIME_NEW:
		*feature = KVM_FEATURE_CLOCKSOURCE2;
		return &msr->system_time;
	case MSR_KVM_STEAL_TIME:
		*feature = KVM_FEATURE_STEAL_TIME;
		return &msr->steal_time;
	case MSR_KVM_PV_EOI_EN:
		*feature = KVM_FEATURE_PV_EOI;
		return &msr->pv_eoi;
	case MSR_KVM_ASYNC_PF_EN:
		*feature = KVM_FEATURE_ASYNC_PF;
		return &msr->async_pf_en;
	case MSR_KVM_ASYNC_PF_INT:
		*feature = KVM_FEATURE_ASYNC_PF_INT;
		return &msr->async_pf_int;
	case MSR_KVM_ASYNC_PF_ACK:
		*feature = KVM_FEATURE_ASYNC_PF_INT;
		return &msr->async_pf_ack;
	default:
		*feature = KVM_FEATURE_POLL_CONTROL;
		return &msr->poll_control;
	}
}

int kvm_pv_get_msr(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	unsigned int feature;
	u64 *value = find_msr(vcpu, index, &feature);

	if (!host && !may_use(vcpu, feature))
		return 1;
	*data = *value;
	return 0;
}

/* A monitor puts back where it was written; that was once, by the guest. */
static int set_wall_clock(struct kvm_vcpu *vcpu, u64 data, bool host)
{
	vcpu->msr.wall_clock = data;
	if (!host)
		kvm_make_request(vcpu, KVM_REQ_WALL_CLOCK);
	return 0;
}

static int set_system_time(struct kvm_vcpu *vcpu, u64 data)
{
	vcpu->msr.system_time = data;
	kvm_make_request(vcpu, KVM_REQ_CLOCK_UPDATE);
	return 0;
}

static int set_poll_control(struct kvm_vcpu *vcpu, u64 data)
{
	if (data & ~(u64)KVM_MSR_ENABLED)
		return 1;
	vcpu->msr.poll_control = data;
	return 0;
}

#define APF_RESERVED	GENMASK_ULL(5, 4)

static int set_async_pf(struct kvm_vcpu *vcpu, u64 data, bool host)
{
	if ((data & APF_RESERVED) ||
	    ((data & KVM_ASYNC_PF_DELIVERY_AS_PF_VMEXIT) &&
	     !may_use(vcpu, KVM_FEATURE_ASYNC_PF_VMEXIT)) ||
	    ((data & KVM_ASYNC_PF_DELIVERY_AS_INT) &&
	     !may_use(vcpu, KVM_FEATURE_ASYNC_PF_INT)))
		return 1;
	vcpu->msr.async_pf_en = data;
	kvm_apf_changed(vcpu, host);
	return 0;
}

static int set_async_pf_int(struct kvm_vcpu *vcpu, u64 data)
{
	if (data & ~(u64)KVM_ASYNC_PF_VEC_MASK)
		return 1;
	vcpu->msr.async_pf_int = data;
	return 0;
}

/* It holds nothing. */
static int set_async_pf_ack(struct kvm_vcpu *vcpu, u64 data)
{
	if (data & KVM_MSR_ENABLED)
		kvm_apf_acknowledge(vcpu);
	return 0;
}

int kvm_pv_set_msr(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	unsigned int feature;

	find_msr(vcpu, index, &feature);
	if (!host && !may_use(vcpu, feature))
		return 1;
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		return set_wall_clock(vcpu, data, host);
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		return set_system_time(vcpu, data);
	case MSR_KVM_STEAL_TIME:
		return set_steal_time(vcpu, data);
	case MSR_KVM_PV_EOI_EN:
		return set_pv_eoi(vcpu, data);
	case MSR_KVM_ASYNC_PF_EN:
		return set_async_pf(vcpu, data, host);
	case MSR_KVM_ASYNC_PF_INT:
		return set_async_pf_int(vcpu, data);
	case MSR_KVM_ASYNC_PF_ACK:
		return set_async_pf_ack(vcpu, data);
	default:
		return set_poll_control(vcpu, data);
	}
}

void kvm_pv_reset(struct kvm_vcpu *vcpu, bool init)
{
	vcpu->msr.system_time = 0;
	set_steal_time(vcpu, 0);
	set_pv_eoi(vcpu, 0);
	vcpu->pv.eoi_late = 0;
	set_async_pf(vcpu, 0, false);
	vcpu->msr.async_pf_int = 0;
	vcpu->pv.unhalted = false;
	if (!init)
		vcpu->msr.poll_control = KVM_MSR_ENABLED;
}

/* ---- hypercalls --------------------------------------------------------- */

static long poll_irq(struct kvm_vcpu *vcpu, const u64 *arg)
{
	return 0;		/* the exit is all that is wanted */
}

static long clock_pairing(struct kvm_vcpu *vcpu, const u64 *arg)
{
	return kvm_clock_pairing(vcpu, arg[0], arg[1]);
}

/* RBX is for later use. */
static long kick(struct kvm_vcpu *vcpu, const u64 *arg)
{
	struct kvm_vcpu *target = kvm_apic_find(vcpu->kvm, arg[1]);

	if (target) {
		WRITE_ONCE(target->pv.unhalted, true);
		kvm_vcpu_kick(target);
	}
	return 0;
}

bool kvm_pv_take_kick(struct kvm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->pv.unhalted) && xchg(&vcpu->pv.unhalted, false);
}

#define ICR_MODE(icr)	((icr) >> 8 & 7)

/* To `first` and those after it by the bits of the first two arguments. */
static long send_ipi(struct kvm_vcpu *vcpu, const u64 *arg)
{
	const unsigned int width = is_64bit_mode(vcpu) ? 64 : 32;
	const u64 first = (u32)arg[2];
	const u32 icr = arg[3];
	const struct kvm_apic_msg msg = {
		.vector = icr,
		.mode = ICR_MODE(icr),
	};

	if (msg.mode != KVM_DELIVER_FIXED && msg.mode != KVM_DELIVER_NMI)
		return -KVM_EINVAL;
	return kvm_apic_deliver_ids(vcpu->kvm, &msg, first, arg[0]) +
	       kvm_apic_deliver_ids(vcpu->kvm, &msg, first + width, arg[1]);
}

static long sched_yield_to(struct kvm_vcpu *vcpu, const u64 *arg)
{
	struct kvm_vcpu *target = kvm_apic_find(vcpu->kvm, arg[0]);

	if (target && target != vcpu && READ_ONCE(target->cpu) < 0)
		kvm_vcpu_yield_to(target);
	return 0;
}

#define NO_FEATURE	31	/* of those, anyone may use */

static const struct hypercall {
	long (*fn)(struct kvm_vcpu *vcpu, const u64 *arg);
	u8 feature;
	bool sleeps;
} hypercalls[] = {
	[KVM_HC_VAPIC_POLL_IRQ] = { poll_irq, NO_FEATURE },
	[KVM_HC_KICK_CPU] = { kick, KVM_FEATURE_PV_UNHALT },
	[KVM_HC_CLOCK_PAIRING] = { clock_pairing, NO_FEATURE, .sleeps = true },
	[KVM_HC_SEND_IPI] = { send_ipi, KVM_FEATURE_PV_SEND_IPI },
	[KVM_HC_SCHED_YIELD] = {
		sched_yield_to, KVM_FEATURE_PV_SCHED_YIELD, .sleeps = true,
	},
};

/* NULL: there is none that this guest may use. */
static const struct hypercall *find_hypercall(struct kvm_vcpu *vcpu, u64 nr)
{
	const struct hypercall *call;

	if (nr >= ARRAY_SIZE(hypercalls))
		return NULL;
	call = &hypercalls[array_index_nospec(nr, ARRAY_SIZE(hypercalls))];
	if (!call->fn || (call->feature != NO_FEATURE &&
			  !may_use(vcpu, call->feature)))
		return NULL;
	return call;
}

static u64 argument(const struct kvm_vcpu *vcpu, enum kvm_reg reg, bool wide)
{
	return wide ? vcpu->regs[reg] : (u32)vcpu->regs[reg];
}

static long make_call(struct kvm_vcpu *vcpu, const struct hypercall *call,
		      bool wide)
{
	const u64 arg[] = {
		argument(vcpu, VCPU_RBX, wide),
		argument(vcpu, VCPU_RCX, wide),
		argument(vcpu, VCPU_RDX, wide),
		argument(vcpu, VCPU_RSI, wide),
	};

	return call->fn(vcpu, arg);
}

static bool hypercall(struct kvm_vcpu *vcpu, bool may_sleep)
{
	bool wide = is_64bit_mode(vcpu);
	const struct hypercall *call;
	long r;

	call = find_hypercall(vcpu, argument(vcpu, VCPU_RAX, wide));
	if (backend->get_cpl(vcpu))
		r = -KVM_EPERM;
	else if (!call)
		r = -KVM_ENOSYS;
	else if (call->sleeps && !may_sleep)
		return false;
	else
		r = make_call(vcpu, call, wide);
	kvm_reg_write(vcpu, VCPU_RAX, wide ? (u64)r : (u32)r);
	return true;
}

/* VMCALL and VMMCALL have three bytes, and differ in the last of them. */
#define HYPERCALL_BYTES		3
#define VMCALL_LAST_BYTE	0xc1

static bool write_code(struct kvm_vcpu *vcpu, gva_t gva, u8 byte)
{
	u32 access = PFERR_WRITE;
	struct x86_exception e;
	gpa_t gpa;

	if (backend->get_cpl(vcpu) == 3)
		access |= PFERR_USER;
	return !kvm_gva_to_gpa(vcpu, gva, access, &gpa, &e) &&
	       !kvm_write_guest(vcpu, gpa, &byte, sizeof(byte));
}

void kvm_fix_hypercall(struct kvm_vcpu *vcpu, gva_t insn)
{
	if (write_code(vcpu, insn + HYPERCALL_BYTES - 1, VMCALL_LAST_BYTE))
		return;
	kvm_hypercall(vcpu);
	kvm_rip_write(vcpu, kvm_rip_read(vcpu) + HYPERCALL_BYTES);
}

bool kvm_hypercall_fast(struct kvm_vcpu *vcpu)
{
	return hypercall(vcpu, false);
}

void kvm_hypercall(struct kvm_vcpu *vcpu)
{
	hypercall(vcpu, true);
}
