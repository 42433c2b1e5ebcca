// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine checks: the banks that the monitor sets up, and the errors that it
 * reports in them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define MSR_MCG_CAP	0x179
#define MSR_MCG_STATUS	0x17a
#define MSR_MC_CTL(n)	(0x400 + 4 * (n))
#define MSR_MC_STATUS(n) (MSR_MC_CTL(n) + 1)
#define MSR_MC_ADDR(n)	(MSR_MC_CTL(n) + 2)
#define MSR_MC_MISC(n)	(MSR_MC_CTL(n) + 3)

#define MCG_CTL_P	BIT(8)
#define MCG_SER_P	BIT(24)
#define MCG_EIPV	BIT(1)
#define MCG_MCIP	BIT(2)
#define MCI_VAL		BIT(63)
#define MCI_OVER	BIT(62)
#define MCI_UC		BIT(61)
#define MCI_EN		BIT(60)
#define MCI_ADDRV	BIT(58)

#define VEC_MC		18
#define BANKS		4

static u64 supported(void)
{
	u64 cap = 0;

	need_cap(KVM_CAP_MCE);
	WORKS(ioctl(kvm_fd(), KVM_X86_GET_MCE_CAP_SUPPORTED, &cap));
	return cap & ~0xffull;
}

static int setup(struct vcpu *v, u64 cap)
{
	return ioctl(v->fd, KVM_X86_SETUP_MCE, &cap);
}

static int report(struct vcpu *v, u32 bank, u64 status)
{
	struct kvm_x86_mce mce = {
		.status = status, .addr = 0x123000 + bank, .misc = 0x8c,
		.mcg_status = MCG_MCIP | MCG_EIPV, .bank = bank,
	};

	return ioctl(v->fd, KVM_X86_SET_MCE, &mce);
}

/* ---- setting up --------------------------------------------------------- */

static void g_banks(void)
{
	u64 value;
	u32 i;

	G_EQ(rdmsr(MSR_MCG_CAP), BANKS | MCG_CTL_P | MCG_SER_P);
	for (i = 0; i < BANKS; i++)
		G_EQ(rdmsr(MSR_MC_CTL(i)), ~0ull);
	G_EQ(try_rdmsr(MSR_MC_CTL(BANKS), &value), VEC_GP);
	G_EQ(try_wrmsr(MSR_MC_STATUS(BANKS), 0), VEC_GP);
	G_EQ(try_wrmsr(MSR_MCG_CAP, 0), VEC_GP);
}

TEST(set_up)
{
	u64 cap = supported();
	struct vcpu *v = guest_start(g_banks);
	u64 value;

	EQ(cap & (MCG_CTL_P | MCG_SER_P), MCG_CTL_P | MCG_SER_P);
	FAILS(setup(v, MCG_CTL_P), EINVAL);
	FAILS(setup(v, 33), EINVAL);
	FAILS(setup(v, 1 | (~cap & BIT(25))), EINVAL);
	FAILS(setup(v, 1 | BIT(40)), EINVAL);
	WORKS(setup(v, BANKS | MCG_CTL_P | MCG_SER_P));
	EQ(get_msr_try(v, MSR_MC_MISC(BANKS - 1), &value), 1);
	EQ(get_msr_try(v, MSR_MC_CTL(BANKS), &value), 0);
	vcpu_done(v);
	vm_free(v->vm);
}

/* ---- errors ------------------------------------------------------------- */

static struct vcpu *start(void (*entry)(void))
{
	u64 cap = supported();
	struct vcpu *v = guest_start(entry);

	WORKS(setup(v, BANKS | (cap & (MCG_CTL_P | MCG_SER_P))));
	return v;
}

TEST(refused)
{
	struct vcpu *v = start(guest_done);

	FAILS(report(v, BANKS, MCI_VAL), EINVAL);
	FAILS(report(v, ~0u, MCI_VAL), EINVAL);
	FAILS(report(v, 0, MCI_UC), EINVAL);
	EQ(get_msr(v, MSR_MC_STATUS(0)), 0);
	vm_free(v->vm);
}

static void g_reads_errors(void)
{
	guest_sync(0);
	G_EQ(rdmsr(MSR_MC_STATUS(2)), MCI_VAL | MCI_ADDRV | 0x9f);
	G_EQ(rdmsr(MSR_MC_ADDR(2)), 0x123002);
	G_EQ(rdmsr(MSR_MC_MISC(2)), 0x8c);
	G_EQ(rdmsr(MSR_MCG_STATUS), 0);
	guest_sync(0);
	G_EQ(rdmsr(MSR_MC_STATUS(2)), MCI_VAL | MCI_OVER | 0x90);
	wrmsr(MSR_MC_STATUS(2), 0);
	guest_sync(0);
	G_EQ(rdmsr(MSR_MC_STATUS(2)), MCI_VAL | 0x91);
	G_EQ(trap.count[VEC_MC], 0);
}

TEST(corrected_errors_are_recorded)
{
	struct vcpu *v = start(g_reads_errors);

	vcpu_until(v, STOP_SYNC);
	WORKS(report(v, 2, MCI_VAL | MCI_ADDRV | 0x9f));
	vcpu_until(v, STOP_SYNC);
	WORKS(report(v, 2, MCI_VAL | 0x90));
	vcpu_until(v, STOP_SYNC);
	WORKS(report(v, 2, MCI_VAL | 0x91));
	vcpu_done(v);
	vm_free(v->vm);
}

#define UNCORRECTED	(MCI_VAL | MCI_UC | MCI_EN | MCI_ADDRV | 0x134)

static void machine_check(struct trap_frame *f)
{
	G_EQ(rdmsr(MSR_MCG_STATUS), MCG_MCIP | MCG_EIPV);
	G_EQ(rdmsr(MSR_MC_STATUS(1)), UNCORRECTED);
	G_EQ(rdmsr(MSR_MC_ADDR(1)), 0x123001);
	wrmsr(MSR_MC_STATUS(1), 0);
	wrmsr(MSR_MCG_STATUS, 0);
	(void)f;
}

static void g_takes_errors(void)
{
	trap.handler[VEC_MC] = machine_check;
	write_cr4(read_cr4() | CR4_MCE);
	guest_sync(0);
	G_EQ(trap.count[VEC_MC], 1);
	guest_sync(0);
	G_EQ(trap.count[VEC_MC], 2);
	wrmsr(MSR_MC_CTL(1), 0);
	guest_sync(0);
	G_EQ(trap.count[VEC_MC], 2);
	wrmsr(MSR_MC_CTL(1), ~0ull);
	wrmsr(MSR_MCG_STATUS, MCG_MCIP);
	guest_sync(0);
}

TEST(uncorrected_errors_are_signalled)
{
	struct vcpu *v = start(g_takes_errors);
	u32 i;

	for (i = 0; i < 3; i++) {
		vcpu_until(v, STOP_SYNC);
		WORKS(report(v, 1, UNCORRECTED));
	}
	/* While the guest handles one there must not be another. */
	vcpu_until(v, STOP_SYNC);
	WORKS(report(v, 1, UNCORRECTED));
	vcpu_until(v, KVM_EXIT_SHUTDOWN);
	vm_free(v->vm);
}

static void g_unprepared(void)
{
	write_cr4(read_cr4() & ~CR4_MCE);
	guest_sync(0);
}

TEST(uncorrected_error_without_mce)
{
	struct vcpu *v = start(g_unprepared);

	vcpu_until(v, STOP_SYNC);
	WORKS(report(v, 1, UNCORRECTED));
	vcpu_until(v, KVM_EXIT_SHUTDOWN);
	vm_free(v->vm);
}
