/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stats.h - the one table of counters. Each row is a field of the VM's or the
 * vCPU's structure, a file in debugfs and an entry of the binary statistics.
 * Only the owner of a vCPU writes its counters; VM counters are written under
 * mmu_lock. Readers may see values that are a moment old.
 */
#ifndef KVM_STATS_H
#define KVM_STATS_H

#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/types.h>

/* Buckets of a histogram; bucket n counts values below 2^n. */
#define KVM_STAT_BUCKETS	32
/* Basic exit reasons that are counted one by one. */
#define KVM_STAT_EXITS		128

/*
 * X(name, kind, what it counts). The kinds: COUNT, events since creation;
 * LEVEL, how many there are now; FLAG, a level of 0 or 1; NS, nanoseconds
 * since creation; HIST, a histogram of nanoseconds.
 */
#define KVM_VCPU_STATS(X)						\
	X(exits, COUNT, "VM exits: the sum of those by reason")		\
	X(slow_exits, COUNT, "VM exits that were not handled at once")	\
	X(pf_taken, COUNT, "page faults on the driver's tables")	\
	X(pf_fixed, COUNT, "page faults that mapped a page")		\
	X(pf_guest, COUNT, "page faults passed on to the guest")	\
	X(tlb_flush, COUNT, "flushes of a vCPU's translations")		\
	X(invlpg, COUNT, "INVLPG intercepted")				\
	X(io_exits, COUNT, "port I/O exits")				\
	X(mmio_exits, COUNT, "MMIO accesses completed by user space")	\
	X(signal_exits, COUNT, "returns to user space for a signal")	\
	X(irq_window_exits, COUNT, "interrupt-window exits")		\
	X(nmi_window_exits, COUNT, "NMI-window exits")			\
	X(halt_exits, COUNT, "HLT intercepted")				\
	X(halt_attempted_poll, COUNT, "halts that began with polling")	\
	X(halt_successful_poll, COUNT, "halts that ended while polling") \
	X(halt_poll_success_ns, NS, "time polled with success")		\
	X(halt_poll_fail_ns, NS, "time polled in vain")			\
	X(halt_wakeup, COUNT, "wake-ups of sleeping vCPUs")		\
	X(halt_wait_ns, NS, "time that halted vCPUs slept")		\
	X(halt_poll_success_hist, HIST, "polls with success by length")	\
	X(halt_poll_fail_hist, HIST, "polls in vain by length")		\
	X(halt_wait_hist, HIST, "sleeps by length")			\
	X(request_irq_exits, COUNT, "returns to user space to inject")	\
	X(irq_exits, COUNT, "exits by host interrupts")			\
	X(host_state_reload, COUNT, "loads of guest state on a host CPU") \
	X(insn_emulation, COUNT, "instructions emulated")		\
	X(insn_emulation_fail, COUNT, "instructions the emulator does not know") \
	X(async_pf, COUNT, "page faults that a guest need not wait for") \
	X(irq_injections, COUNT, "interrupts injected")			\
	X(nmi_injections, COUNT, "NMIs injected")			\
	X(exceptions, COUNT, "exceptions injected")

#define KVM_VM_STATS(X)							\
	X(mmu_pages, LEVEL, "shadow pages in use")			\
	X(mmu_zapped, COUNT, "shadow pages freed")			\
	X(pages_4k, LEVEL, "4K mappings")				\
	X(pages_2m, LEVEL, "2M mappings")				\
	X(pages_1g, LEVEL, "1G mappings")				\
	X(remote_tlb_flush, COUNT, "TLB flushes of all vCPUs")		\
	X(mmu_unmapped, COUNT, "entries dropped by mmu notifiers")

#define KVM_STAT_FIELD_COUNT(name)	u64 name;
#define KVM_STAT_FIELD_LEVEL(name)	u64 name;
#define KVM_STAT_FIELD_FLAG(name)	u64 name;
#define KVM_STAT_FIELD_NS(name)		u64 name;
#define KVM_STAT_FIELD_HIST(name)	u64 name[KVM_STAT_BUCKETS];
#define KVM_STAT_FIELD(name, kind, what)	KVM_STAT_FIELD_##kind(name)
struct kvm_vcpu_stats {
	KVM_VCPU_STATS(KVM_STAT_FIELD)
	u64 exit[KVM_STAT_EXITS];	/* by reason; backend->exit_names */
};
struct kvm_vm_stats {
	KVM_VM_STATS(KVM_STAT_FIELD)
};
#undef KVM_STAT_FIELD

struct kvm;
struct kvm_vcpu;

/* For HIST. */
static inline void kvm_stat_hist(u64 *hist, u64 ns)
{
	hist[min_t(int, fls64(ns), KVM_STAT_BUCKETS - 1)]++;
}

int kvm_stats_init(void);		/* debugfs kvm/ with totals; -ENOMEM */
void kvm_stats_exit(void);
/* kvm/<pid>-<fd>/; failure is harmless, as debugfs always is. */
void kvm_stats_vm_create(struct kvm *kvm, int fd);
void kvm_stats_vm_destroy(struct kvm *kvm);
/* kvm/<pid>-<fd>/vcpu<id>/; goes with the VM's. */
void kvm_stats_vcpu_create(struct kvm_vcpu *vcpu);
/* KVM_GET_STATS_FD: a file descriptor, or -errno. */
int kvm_stats_vm_fd(struct kvm *kvm);
int kvm_stats_vcpu_fd(struct kvm_vcpu *vcpu);

#endif
