/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stats.h - the one table of counters. Each line is a field of the VM's or
 * the vCPU's structure, a file in debugfs and, later, an entry of the binary
 * statistics. Only the owner of a vCPU writes its counters; VM counters are
 * written under mmu_lock. Readers may see values that are a moment old.
 */
#ifndef KVM_STATS_H
#define KVM_STATS_H

#include <linux/types.h>

/* X(name, what it counts) */
#define KVM_VCPU_STATS(X)						\
	X(exits, "VM exits")						\
	X(fast_exits, "VM exits handled with interrupts off")		\
	X(pf_taken, "page faults on the driver's tables")		\
	X(pf_fixed, "page faults that mapped a page")			\
	X(pf_guest, "page faults passed on to the guest")		\
	X(tlb_flush, "flushes of a vCPU's translations")		\
	X(io_exits, "port I/O exits")					\
	X(mmio_exits, "MMIO accesses completed by user space")		\
	X(signal_exits, "returns to user space for a signal")		\
	X(irq_window_exits, "interrupt-window exits")			\
	X(nmi_window_exits, "NMI-window exits")				\
	X(halt_exits, "HLT intercepted")				\
	X(halt_attempted_poll, "halts that began with polling")	\
	X(halt_successful_poll, "halts that ended while polling")	\
	X(halt_poll_success_ns, "time polled with success")		\
	X(halt_poll_fail_ns, "time polled in vain")			\
	X(halt_wakeup, "wake-ups of sleeping vCPUs")			\
	X(halt_wait_ns, "time that halted vCPUs slept")			\
	X(pause_exits, "PAUSE in a loop intercepted")			\
	X(request_irq_exits, "returns to user space to inject")		\
	X(irq_exits, "exits by host interrupts")			\
	X(host_state_reload, "loads of guest state on a host CPU")	\
	X(insn_emulation, "instructions emulated")			\
	X(insn_emulation_fail, "instructions the emulator does not know") \
	X(hypercalls, "hypercalls")					\
	X(irq_injections, "interrupts injected")			\
	X(nmi_injections, "NMIs injected")				\
	X(exceptions, "exceptions injected")				\
	X(cpuid_exits, "CPUID")						\
	X(msr_exits, "RDMSR and WRMSR intercepted")			\
	X(cr_exits, "control-register accesses intercepted")		\
	X(ept_violations, "EPT violations")				\
	X(ept_misconfigs, "EPT misconfigurations (MMIO)")

#define KVM_VM_STATS(X)							\
	X(mmu_pages, "shadow pages in use")				\
	X(mmu_zapped, "shadow pages freed")				\
	X(pages_4k, "4K mappings")					\
	X(pages_2m, "2M mappings")					\
	X(pages_1g, "1G mappings")					\
	X(remote_tlb_flush, "TLB flushes of all vCPUs")			\
	X(mmu_unmapped, "entries dropped by mmu notifiers")

#define KVM_STAT_FIELD(name, what)	u64 name;
struct kvm_vcpu_stats { KVM_VCPU_STATS(KVM_STAT_FIELD) };
struct kvm_vm_stats { KVM_VM_STATS(KVM_STAT_FIELD) };
#undef KVM_STAT_FIELD

struct kvm;
struct kvm_vcpu;

int kvm_stats_init(void);		/* debugfs kvm/ with totals */
void kvm_stats_exit(void);
/* kvm/<pid>-<fd>/; failure is harmless, as debugfs always is. */
void kvm_stats_vm_create(struct kvm *kvm, int fd);
void kvm_stats_vm_destroy(struct kvm *kvm);
/* kvm/<pid>-<fd>/vcpu<id>/; goes with the VM's. */
void kvm_stats_vcpu_create(struct kvm_vcpu *vcpu);

#endif
