// SPDX-License-Identifier: GPL-2.0-only
/*
 * mce.c - machine checks as a guest sees them: the banks of a vCPU, and the
 * errors that the monitor reports there.
 *
 * The host's own machine checks never get here. A monitor that the host tells
 * of bad memory behind its guest passes that on with KVM_X86_SET_MCE, as it
 * does with errors that someone makes up.
 *
 * Locking: vcpu->mutex; the vCPU is loaded.
 *
 * SDM: "Machine-Check Architecture".
 */
#include <linux/nospec.h>
#include <asm/mce.h>
#include <asm/msr.h>

#include "include/compat.h"
#include "kvm.h"

/* IA32_MCG_CAP: no more than that can be asked for, besides the number. */
#define MCG_CAP_OFFERED	(MCG_CTL_P | MCG_SER_P)
/* How many extended state registers: a number, without effect. */
#define MCG_EXT_COUNT	GENMASK_ULL(23, 16)

enum { CTL, STATUS, ADDR, MISC };	/* of a bank */

static unsigned int nr_banks(const struct kvm_vcpu *vcpu)
{
	return vcpu->msr.mcg_cap & MCG_BANKCNT_MASK;
}

static u64 *bank_msr(struct kvm_vcpu *vcpu, u32 index)
{
	u32 n = index - MSR_IA32_MC0_CTL, count = 4 * nr_banks(vcpu);

	if (n >= count)
		return NULL;
	n = array_index_nospec(n, ARRAY_SIZE(vcpu->msr.mce) * 4);
	return &vcpu->msr.mce[n / 4][n % 4];
}

int kvm_mce_get_bank(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	const u64 *msr = bank_msr(vcpu, index);

	if (!msr)
		return 1;
	*data = *msr;
	return 0;
}

/*
 * "Error-Reporting Register Banks": IA32_MCi_CTL is all ones or 0, but that
 * Linux leaves out the errors of bits 0 and 10 on some processors.
 * IA32_MCi_STATUS can only be cleared; IA32_MCi_ADDR and IA32_MCi_MISC keep
 * what is written.
 */
#define CTL_OPTIONAL	(BIT_ULL(0) | BIT_ULL(10))

static bool bank_value_valid(u32 index, u64 data, bool host)
{
	switch (index & 3) {
	case CTL:
		return !data || !~(data | CTL_OPTIONAL);
	case STATUS:
		return host || !data;
	default:
		return true;
	}
}

int kvm_mce_set_bank(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host)
{
	u64 *msr = bank_msr(vcpu, index);

	if (!msr || !bank_value_valid(index, data, host))
		return 1;
	*msr = data;
	return 0;
}

void kvm_mce_reset(struct kvm_vcpu *vcpu)
{
	vcpu->msr.mcg_cap = KVM_MCE_BANKS | MCG_CTL_P;
	vcpu->msr.mcg_ctl = ~0ull;
}

/* ---- what the monitor reports ------------------------------------------- */

u64 kvm_mce_cap_supported(void)
{
	return MCG_CAP_OFFERED;
}

int kvm_setup_mce(struct kvm_vcpu *vcpu, u64 cap)
{
	unsigned int banks = cap & MCG_BANKCNT_MASK, i;

	if (!banks || banks > KVM_MCE_BANKS ||
	    (cap & ~(MCG_CAP_OFFERED | MCG_BANKCNT_MASK | MCG_EXT_COUNT)))
		return -EINVAL;
	vcpu->msr.mcg_cap = cap;
	vcpu->msr.mcg_ctl = cap & MCG_CTL_P ? ~0ull : 0;
	for (i = 0; i < banks; i++)
		vcpu->msr.mce[i][CTL] = ~0ull;
	return 0;
}

/* "Machine-Check Error Overwrite": the later one, unless it matters less. */
static void record_error(u64 *bank, const struct kvm_x86_mce *mce)
{
	u64 old = bank[STATUS];

	if ((old & MCI_STATUS_VAL) && (old & MCI_STATUS_UC) &&
	    !(mce->status & MCI_STATUS_UC)) {
		bank[STATUS] |= MCI_STATUS_OVER;
		return;
	}
	bank[STATUS] = mce->status;
	if (old & MCI_STATUS_VAL)
		bank[STATUS] |= MCI_STATUS_OVER;
	bank[ADDR] = mce->addr;
	bank[MISC] = mce->misc;
}

/* "Interrupt 18 - Machine-Check Exception". */
static void signal_error(struct kvm_vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	vcpu->msr.mcg_status = mce->mcg_status;
	kvm_queue_exception(vcpu, X86_TRAP_MC);
}

int kvm_set_mce(struct kvm_vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	u64 *bank;

	if (mce->bank >= nr_banks(vcpu) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = vcpu->msr.mce[array_index_nospec(mce->bank, KVM_MCE_BANKS)];
	if (!(mce->status & MCI_STATUS_UC)) {
		record_error(bank, mce);
		return 0;
	}
	/* The guest does not want to know. */
	if (((vcpu->msr.mcg_cap & MCG_CTL_P) && ~vcpu->msr.mcg_ctl) ||
	    ~bank[CTL])
		return 0;
	if ((vcpu->msr.mcg_status & MCG_STATUS_MCIP) ||
	    !(kvm_read_cr4(vcpu) & X86_CR4_MCE)) {
		kvm_make_request(vcpu, KVM_REQ_TRIPLE_FAULT);
		return 0;
	}
	record_error(bank, mce);
	signal_error(vcpu, mce);
	return 0;
}
