/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvm.h - the central types: a VM, a vCPU, guest memory, and the operations
 * that a hardware backend offers to everything above it.
 *
 * Nothing here knows a VMCS field (vmx.c) or a page-table entry (mmu.c).
 *
 * Locking
 * -------
 * Order, outermost first:
 *
 *	kvm->lock > vcpu->mutex > kvm->slots_lock > kvm->srcu (read)
 *		> mmap_lock (taken by the core kernel) > kvm->mmu_lock
 *
 * - kvm_list_lock (mutex) protects the list of VMs.
 * - kvm->lock (mutex) protects the creation of vCPUs and VM-wide set-up.
 * - vcpu->mutex is held by every vCPU ioctl; the fields of struct kvm_vcpu
 *   belong to its holder unless a comment says otherwise.
 * - kvm->slots_lock (mutex) serialises changes to memory slots and dirty
 *   logs. synchronize_srcu() is called under it, so it is never taken inside
 *   an SRCU read section.
 * - kvm->srcu protects the lifetime of a memory slot: a slot looked up in a
 *   read section stays valid until the section ends.
 * - kvm->mmu_lock (spinlock) protects everything in mmu.c that vCPUs share
 *   (shadow pages, reverse maps, entries), the hva tree of the slots, and the
 *   invalidation counters. Nothing under it sleeps.
 * - kvm->requests of a vCPU (vcpu->requests) is atomic: set by anyone,
 *   cleared by the vCPU's own thread.
 */
#ifndef KVM_H
#define KVM_H

#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/hrtimer.h>
#include <linux/interval_tree.h>
#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/list.h>
#include <linux/maple_tree.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/xarray.h>
#include <asm/fpu/types.h>
#include <asm/trapnr.h>

#include "irqchip/irqchip.h"
#include "mmu.h"
#include "pv.h"
#include "stats.h"

#define KVM_MAX_VCPUS_LIMIT	1024
#define KVM_MAX_VCPU_ID		4096
#define KVM_MAX_MEMSLOTS	32764
/* Slots of the driver's own; see kvm_add_private_region(). */
#define KVM_RMODE_TSS_SLOT	KVM_MAX_MEMSLOTS
#define KVM_RMODE_IDENTITY_SLOT	(KVM_MAX_MEMSLOTS + 1)
#define KVM_MAX_CPUID_ENTRIES	256
#define KVM_CPUID_MAP_SIZE	128	/* the first 32 leaves of 4 ranges */
#define KVM_APIC_GFN		0xfee00	/* of local APICs, after reset */
#define KVM_MAX_SLOT_PAGES	((1ul << 31) - 1)

/* Offsets, in pages, of what a vCPU fd lets its owner map. */
#define KVM_RUN_PAGE		0
#define KVM_PIO_PAGE		1
#define KVM_COALESCED_PAGE	2
#define KVM_VCPU_MMAP_PAGES	3

/* ---- registers ---------------------------------------------------------- */

/* The encoding order of general registers in an instruction. */
enum kvm_reg {
	VCPU_RAX, VCPU_RCX, VCPU_RDX, VCPU_RBX,
	VCPU_RSP, VCPU_RBP, VCPU_RSI, VCPU_RDI,
	VCPU_R8, VCPU_R9, VCPU_R10, VCPU_R11,
	VCPU_R12, VCPU_R13, VCPU_R14, VCPU_R15,
	VCPU_RIP,
	VCPU_NR_REGS,

	/* Not in regs[]: cached by the backend, tracked by the same bitmaps. */
	VCPU_RFLAGS = VCPU_NR_REGS,
	VCPU_CR0,
	VCPU_CR3,
	VCPU_CR4,
	VCPU_PDPTRS,
};

/* The order of the sreg field of an instruction, then LDTR and TR. */
enum kvm_seg {
	VCPU_SEG_ES, VCPU_SEG_CS, VCPU_SEG_SS, VCPU_SEG_DS,
	VCPU_SEG_FS, VCPU_SEG_GS, VCPU_SEG_LDTR, VCPU_SEG_TR,
	VCPU_NR_SEGS,
};

/* ---- events ------------------------------------------------------------- */

/*
 * What waits to be delivered to the guest. An exception is `pending` when it
 * was raised and its side effects (CR2, DR6, RF) are still to come, and
 * `injected` once they are done and it is in, or on its way into, the
 * hardware's injection field.
 */
struct kvm_queued_exception {
	bool pending;
	bool injected;
	bool has_error_code;
	bool has_payload;
	u8 vector;
	u32 error_code;
	unsigned long payload;		/* CR2 for #PF, new DR6 bits for #DB */
};

struct kvm_queued_interrupt {
	bool injected;
	bool soft;			/* INT n: has an instruction length */
	u8 vector;
};

struct kvm_events {
	struct kvm_queued_exception exception;
	struct kvm_queued_interrupt interrupt;
	u8 soft_insn_len;		/* of an INT n, INT3 or INTO */
	bool nmi_injected;
	atomic_t nmi_pending;		/* NMIs not yet injected, at most 2 */
	int user_irq;			/* from KVM_INTERRUPT, or -1 */
	bool look;			/* for interrupts, before the next entry */
};

/* An exception that a walk or an emulated instruction wants to raise. */
struct x86_exception {
	u8 vector;
	bool has_error_code;
	u32 error_code;
	unsigned long cr2;		/* linear address, for #PF */
};

/* ---- guest memory ------------------------------------------------------- */

/*
 * One range of guest-physical memory backed by user memory. Immutable once
 * published, except `flags` and `dirty`, which change under slots_lock and
 * are read under SRCU or mmu_lock, and what mmu_lock protects.
 */
struct kvm_memory_slot {
	gfn_t base_gfn;
	unsigned long npages;
	hva_t hva;
	u32 flags;			/* KVM_MEM_* */
	u16 id;
	bool invalid;			/* being deleted or moved: retry */

	/*
	 * Dirty bitmap, a bit per page, and a second one of the same size
	 * behind it that KVM_GET_DIRTY_LOG copies from.
	 */
	unsigned long *dirty;

	struct kvm_slot_mmu mmu;	/* mmu.c; mmu_lock */
	struct interval_tree_node hva_node;	/* kvm->slots_hva; mmu_lock */
};

/* What a lookup has found, and kvm->slots_gen of before it. */
struct kvm_slot_cache {
	struct kvm_memory_slot *slot;
	u64 gen;
};

static inline unsigned long slot_dirty_bytes(const struct kvm_memory_slot *slot)
{
	return ALIGN(slot->npages, BITS_PER_LONG) / 8;
}

static inline hva_t slot_gfn_to_hva(const struct kvm_memory_slot *slot,
				    gfn_t gfn)
{
	return slot->hva + ((gfn - slot->base_gfn) << PAGE_SHIFT);
}

static inline bool slot_has_gfn(const struct kvm_memory_slot *slot, gfn_t gfn)
{
	return gfn - slot->base_gfn < slot->npages;
}

static inline bool slot_logs_dirty(const struct kvm_memory_slot *slot)
{
	return READ_ONCE(slot->flags) & KVM_MEM_LOG_DIRTY_PAGES;
}

static inline bool slot_readonly(const struct kvm_memory_slot *slot)
{
	return READ_ONCE(slot->flags) & KVM_MEM_READONLY;
}

/* ---- the VM ------------------------------------------------------------- */

struct kvm_coalesced_zone {
	struct list_head list;
	struct kvm_coalesced_mmio_zone zone;	/* zone.pio tells PIO from MMIO */
};

struct kvm {
	struct mm_struct *mm;		/* the creator's; ioctls need it */
	refcount_t users;		/* VM fd and every vCPU fd */
	struct list_head list;		/* vm_list; kvm_list_lock */
	struct mutex lock;
	bool dead;			/* refuses all but closing; see kvm_vm_kill() */

	/* Memory. */
	struct mutex slots_lock;
	struct srcu_struct srcu;
	struct maple_tree slots;	/* gfn range to slot; slots_lock, RCU */
	struct xarray slots_by_id;	/* slots_lock */
	struct rb_root_cached slots_hva;	/* mmu_lock */
	unsigned long nr_slot_pages;	/* slots_lock */
	int nr_logging_slots;		/* changes under slots_lock */
	u64 slots_gen;			/* advances when lookups change */

	spinlock_t mmu_lock;
	struct mmu_notifier mmu_notifier;
	unsigned long mmu_invalidate_seq;	/* mmu_lock */
	long mmu_invalidate_in_progress;	/* mmu_lock */
	hva_t mmu_invalidate_start;		/* mmu_lock */
	hva_t mmu_invalidate_end;		/* mmu_lock */
	struct kvm_vm_mmu mmu;			/* mmu.c; mmu_lock */
	/* kvm_mmu_apic_page_create(); set once, under lock. */
	struct kvm_memory_slot *apic_slot;
	kvm_pfn_t apic_pfn;
	int apic_inhibits;			/* mmu_lock */

	/* Coalesced MMIO; the list changes under slots_lock, read under SRCU. */
	struct list_head coalesced_zones;
	int nr_coalesced_zones;		/* slots_lock */
	spinlock_t ring_lock;
	struct kvm_coalesced_mmio_ring *coalesced_ring;	/* a page */

	/* vCPUs: only ever added, under lock; xa_load is safe for anyone. */
	struct xarray vcpus;		/* by index in order of creation */
	int nr_vcpus;			/* READ_ONCE; published after xa_store */
	int max_vcpus;
	int max_vcpu_id;		/* IDs are below it */
	u32 boot_cpu_id;		/* of the one that starts the others */
	int last_boosted;		/* index; racy, a hint */
	s64 halt_poll_ns;		/* KVM_CAP_HALT_POLL; -1: not set */
	bool max_vcpu_id_set;

	/* Interrupt controllers; see irqchip/irqchip.h. */
	enum kvm_irqchip_mode irqchip_mode;	/* set once, under lock */
	/* KVM_CAP_X2APIC_API; under lock, before vCPUs as far as it matters. */
	bool x2apic_format;		/* 32-bit IDs in LAPIC state and MSIs */
	bool x2apic_no_broadcast;	/* ID FFH is no broadcast to x2APICs */
	struct kvm_apic_map __rcu *apic_map;	/* apic_bus.c */
	struct mutex apic_map_lock;
	atomic_t apic_map_stale;
	atomic_t nr_lint0_nmi;		/* local APICs with LINT0 as NMI */
	struct mutex irq_lock;
	struct srcu_struct irq_srcu;	/* with controllers in the kernel only */
	struct kvm_irq_routes __rcu *irq_routes;	/* irq_srcu */
	struct kvm_ioapic *ioapic;	/* these: KVM_IRQCHIP_KERNEL only */
	struct kvm_pic *pic;
	struct kvm_pit *pit;		/* ... and when it was created */
	struct list_head irqfds;	/* irqfds_lock */
	struct list_head resamplers;	/* irq_lock; read under irq_srcu */
	spinlock_t irqfds_lock;		/* interrupts off */
	struct kvm_ioeventfds *ioeventfds;	/* irq_lock; read under srcu */

	/* KVM_X86_QUIRK_*, those that are off; kvm_has_quirk(). */
	u64 disabled_quirks;
	bool no_platform_info;		/* for the guest: #GP */
	u32 user_msr_reasons;		/* KVM_CAP_X86_USER_SPACE_MSR */
	struct kvm_msr_filter_table __rcu *msr_filter;	/* lock; srcu */

	/* Set-up by the monitor; under lock. */
	unsigned long tss_addr;		/* 0: not set */
	gpa_t identity_map_addr;

	/* Time. */
	u64 tsc_khz;			/* default of new vCPUs */
	raw_spinlock_t tsc_lock;	/* what follows: TSC synchronisation */
	u64 last_tsc_khz;		/* of the vCPU that a monitor set last */
	u64 last_tsc_offset;
	bool tsc_set;			/* ... to something but 0 */
	u64 clock_base_ns;		/* the moment: kvmclock */
	u64 clock_base_tsc;		/* ... and the host's TSC */
	struct mutex clock_lock;	/* around a change of those two */

	struct kvm_vm_stats stat;
	struct dentry *debugfs;
	void *backend;			/* the backend's own data */
};

/* ---- the vCPU ----------------------------------------------------------- */

enum kvm_vcpu_mode {
	OUTSIDE_GUEST_MODE,
	IN_GUEST_MODE,
	EXITING_GUEST_MODE,
};

/* Requests: something the vCPU's thread must do before its next entry. */
enum kvm_request {
	KVM_REQ_TLB_FLUSH,		/* drop all cached translations */
	KVM_REQ_TLB_FLUSH_GUEST,	/* ... those of the guest's own tables */
	KVM_REQ_MMU_RELOAD,		/* roots are stale: load them again */
	KVM_REQ_TRIPLE_FAULT,
	KVM_REQ_TSC_UPDATE,		/* TSC offset or ratio changed */
	KVM_REQ_CLOCK_UPDATE,		/* write kvmclock's structure */
	KVM_REQ_WALL_CLOCK,
	KVM_REQ_STEAL_TIME,
	KVM_REQ_APF_READY,		/* a page has come that the guest waits for */
	KVM_REQ_DIRTY_LOG,		/* kvm->nr_logging_slots changed */
	KVM_REQ_EVENT,			/* look for interrupts and APIC events */
	KVM_REQ_APIC_MAP,		/* kvm->apic_map is stale */
	KVM_REQ_SCAN_IOAPIC,		/* which EOIs must be told changed */
	KVM_REQ_IOAPIC_EOI,		/* tell the monitor of an EOI */
	KVM_REQ_BACKEND,		/* backend->handle_request() */
	KVM_REQ_MSR_FILTER,		/* kvm->msr_filter changed */
	KVM_REQ_VM_DEAD,
};

struct x86_emulate_ctxt;
struct kvm_emulator;

#define KVM_MCE_BANKS		10

/* Guest state that a VM exit does not change and no backend holds. */
struct kvm_vcpu_arch_msrs {
	u64 apic_base;
	u64 misc_enable;
	u64 tsc_adjust;
	u64 tsc_aux;
	u64 xss;
	u64 pat;
	u64 mcg_cap, mcg_status, mcg_ctl;
	u64 mce[KVM_MCE_BANKS][4];	/* CTL, STATUS, ADDR, MISC */
	u64 spec_ctrl;
	u64 arch_capabilities;
	u64 feature_control;
	u64 system_time, wall_clock;	/* kvmclock: where; clock.c */
	u64 steal_time, pv_eoi, poll_control;	/* pv.c */
	u64 async_pf_en, async_pf_int, async_pf_ack;	/* async_pf.c */
	u64 platform_info, misc_features;
	u64 ucode_rev;
	u64 mtrr_def_type;
	u64 mtrr_fixed[11];
	struct { u64 base, mask; } mtrr_var[8];
};

struct kvm_vcpu {
	struct kvm *kvm;
	struct preempt_notifier preempt_notifier;
	int cpu;			/* loaded on, or -1 */
	bool spinning;			/* in kvm_vcpu_on_spin(); for others */
	int id;				/* APIC ID given at creation */
	int index;			/* in kvm->vcpus */
	struct mutex mutex;
	struct kvm_run *run;
	void *pio_data;			/* KVM_PIO_PAGE of the mapping */
	struct file *file;

	enum kvm_vcpu_mode mode;	/* atomic; see kvm_vcpu_kick() */
	unsigned long requests;		/* bits of enum kvm_request; atomic */
	struct rcuwait wait;		/* a halted vCPU sleeps here */
	struct pid __rcu *pid;		/* of the thread that ran it last */
	sigset_t sigset;
	bool sigset_active;
	int srcu_idx;
	struct fpu_guest guest_fpu;
	bool fpu_loaded;		/* guest registers are current's FPU state */

	/* Registers; bits of enum kvm_reg. */
	u32 regs_avail;			/* value here is the guest's */
	u32 regs_dirty;			/* newer than the hardware's copy */
	unsigned long regs[VCPU_NR_REGS];
	unsigned long cr0;
	unsigned long cr0_guest_owned;
	unsigned long cr2;
	unsigned long cr3;
	unsigned long cr4;
	unsigned long cr4_guest_owned;
	unsigned long cr4_reserved;	/* bits that #GP, from CPUID */
	unsigned long cr8;
	u64 efer;
	u64 xcr0;
	u64 guest_supported_xcr0;
	u64 guest_supported_xss;
	u32 pkru;
	unsigned long db[4];
	unsigned long dr6;
	unsigned long dr7;
	unsigned long eff_db[4];	/* in effect: the guest's or KVM_SET_GUEST_DEBUG's */
	u32 guest_debug;		/* KVM_GUESTDBG_* */
	unsigned long guest_debug_dr7;
	u8 switch_db_regs;		/* KVM_DEBUGREG_* */
	struct kvm_vcpu_arch_msrs msr;

	int mp_state;			/* KVM_MP_STATE_* */
	u64 halt_poll_ns;		/* how long it polls before it sleeps */
	struct kvm_events ev;
	struct kvm_lapic *apic;		/* lapic.c; NULL: the monitor has it */
	u8 eoi_vector;			/* of KVM_REQ_IOAPIC_EOI */
	bool apicv_active;		/* the processor delivers; never changes */

	/* Time. */
	u64 tsc_khz;			/* the guest's frequency */
	u64 tsc_offset;
	u64 tsc_ratio;			/* backend's fixed-point; 0: none */
	bool clock_stopped;		/* tell the guest that it was paused */
	struct kvm_vcpu_pv pv;

	/* The processor model. */
	int nr_cpuid;
	struct kvm_cpuid_entry2 *cpuid;
	/* By cpuid_map_slot(): where the entries of a leaf lie in cpuid[]. */
	struct { u8 first, last; } cpuid_map[KVM_CPUID_MAP_SIZE];
	u64 reserved_gpa_bits;		/* above MAXPHYADDR */
	int maxphyaddr;
	u32 cpuid_features;		/* KVM_CPUF_*, cpuid.c, for hot paths */

	/* Guest memory. */
	struct kvm_mmu mmu;
	struct kvm_mmu_caches mmu_caches;
	struct kvm_slot_cache slot_cache[2];	/* the latter, of before */

	/* An instruction or an access that user space must complete. */
	int (*complete_userspace_io)(struct kvm_vcpu *vcpu);
	struct kvm_emulator *emul;	/* emulate.c */

	struct kvm_vcpu_stats stat;
	struct dentry *debugfs;
};

#define KVM_DEBUGREG_BP_ENABLED	BIT(0)	/* guest breakpoints armed in DR7 */
#define KVM_DEBUGREG_WONT_EXIT	BIT(1)	/* guest owns the registers */

/* Hot questions about the guest's CPUID, answered once in cpuid.c. */
#define KVM_CPUF_XSAVE		BIT(0)
#define KVM_CPUF_LM		BIT(1)
#define KVM_CPUF_NX		BIT(2)
#define KVM_CPUF_GBPAGES	BIT(3)
#define KVM_CPUF_RDTSCP		BIT(4)
#define KVM_CPUF_INVPCID	BIT(5)
#define KVM_CPUF_PCID		BIT(6)
#define KVM_CPUF_SMEP		BIT(7)
#define KVM_CPUF_SMAP		BIT(8)
#define KVM_CPUF_PKU		BIT(9)
#define KVM_CPUF_LA57		BIT(10)
#define KVM_CPUF_PSE36		BIT(11)
#define KVM_CPUF_XSAVES		BIT(12)
#define KVM_CPUF_MTRR		BIT(13)
#define KVM_CPUF_MWAIT		BIT(14)
#define KVM_CPUF_RDPID		BIT(15)
#define KVM_CPUF_FSGSBASE	BIT(16)
#define KVM_CPUF_X2APIC		BIT(17)
#define KVM_CPUF_TSC_DEADLINE	BIT(18)
#define KVM_CPUF_SPEC_CTRL	BIT(19)
#define KVM_CPUF_INTEL		BIT(20)
#define KVM_CPUF_TSC_ADJUST	BIT(21)
#define KVM_CPUF_UMIP		BIT(22)
#define KVM_CPUF_ARCH_CAPS	BIT(23)
#define KVM_CPUF_APIC		BIT(24)
#define KVM_CPUF_FLUSH_L1D	BIT(25)
#define KVM_CPUF_MCA		BIT(26)
#define KVM_CPUF_MOVBE		BIT(27)

static inline bool guest_cpu_has(const struct kvm_vcpu *vcpu, u32 feature)
{
	return vcpu->cpuid_features & feature;
}

/* ---- the backend -------------------------------------------------------- */

/* What the hardware can do, filled in by hardware_setup(), then read-only. */
struct kvm_caps {
	u64 xcr0;			/* state components a guest may enable */
	u64 xss;
	u64 host_xcr0, host_xss;	/* as the host runs with them */
	bool ept, ept_ad, unrestricted_guest, vpid;
	bool pml;			/* the processor logs dirty pages */
	bool ept_2m, ept_1g;
	int ept_levels;			/* deepest walk the processor offers */
	bool tsc_scaling;
	u64 tsc_ratio_default;		/* fixed-point 1.0 */
	u64 tsc_ratio_max;
	u8 tsc_ratio_frac_bits;
	bool xsaves, rdtscp, invpcid, rdpid, umip;
	bool spec_ctrl;			/* IA32_SPEC_CTRL is switched */
	bool apicv;			/* virtual-interrupt delivery, posting */
	bool tpr_shadow;
	bool preemption_timer;
	bool kvmclock, steal_time;
	int host_maxphyaddr;
};
extern struct kvm_caps kvm_caps;

struct kvm_exit_info;

/*
 * Everything the common code asks of a backend. Called with vcpu->mutex held
 * and the vCPU loaded (vcpu_load()) unless noted. Return values: 0 or a
 * negative errno, unless noted.
 */
struct kvm_backend {
	const char *name;

	/* Module load: find and negotiate features; fill in kvm_caps. */
	int (*hardware_setup)(void);
	void (*hardware_unsetup)(void);
	void (*report)(void);		/* one log line, once all is well */
	const struct attribute_group **sysfs_groups;	/* of /dev/kvm's device */
	/* Of vcpu_stats.exit[]; NULL: there is no such reason. */
	const char * const *exit_names;
	unsigned int nr_exit_names;	/* at most KVM_STAT_EXITS */
	/* On one CPU, preemption disabled (hotplug thread or IPI). */
	int (*cpu_enable)(void);
	void (*cpu_disable)(void);

	int (*vm_init)(struct kvm *kvm);	/* not loaded; kvm->lock not held */
	void (*vm_destroy)(struct kvm *kvm);
	/* KVM_SET_TSS_ADDR, checked; kvm->lock held. */
	int (*set_tss_addr)(struct kvm *kvm, unsigned long addr);

	/*
	 * Size of the backend's vCPU structure, whose first member is a
	 * struct kvm_vcpu; the common code allocates it zeroed.
	 */
	size_t vcpu_size;
	int (*vcpu_create)(struct kvm_vcpu *vcpu);	/* not loaded; kvm->lock */
	void (*vcpu_free)(struct kvm_vcpu *vcpu);	/* not loaded */
	/* Files of its own in the vCPU's folder; it goes before vcpu_free(). */
	void (*vcpu_debugfs)(struct kvm_vcpu *vcpu, struct dentry *dir);
	/* KVM_REQ_MSR_FILTER: no MSR that is filtered without an exit. */
	void (*msr_filter_changed)(struct kvm_vcpu *vcpu);
	/* KVM_REQ_BACKEND, which the backend itself has made. */
	void (*handle_request)(struct kvm_vcpu *vcpu);
	/* The ioctls of include/kvm_vmcs.h. */
	int (*get_vmcs)(struct kvm_vcpu *vcpu, void __user *user);
	int (*get_entry_failure)(struct kvm_vcpu *vcpu, void __user *user);
	/* Power-on reset, or INIT: hardware state after vcpu_reset(). */
	void (*vcpu_reset)(struct kvm_vcpu *vcpu, bool init);

	/* Preemption disabled; cpu is this one. */
	void (*vcpu_load)(struct kvm_vcpu *vcpu, int cpu);
	void (*vcpu_put)(struct kvm_vcpu *vcpu);

	/* Preemption disabled: host state that stays swapped until vcpu_put. */
	void (*prepare_switch)(struct kvm_vcpu *vcpu);
	/*
	 * Interrupts disabled. Enters the guest until something happens that
	 * must be handled with interrupts enabled; exits that need neither
	 * interrupts nor memory are dealt with inside.
	 */
	void (*run)(struct kvm_vcpu *vcpu);
	/* Interrupts still disabled after run(): NMI, machine check. */
	void (*handle_exit_irqoff)(struct kvm_vcpu *vcpu);
	/*
	 * The exit table: 1 resume the guest, 0 kvm_run is filled in, go to
	 * user space, negative errno. Takes kvm->srcu where it must.
	 */
	int (*handle_exit)(struct kvm_vcpu *vcpu);
	/* The last exit, for those who watch. */
	void (*exit_info)(struct kvm_vcpu *vcpu, struct kvm_exit_info *info);
	/* The entry is called off: take back the event that was to go in. */
	void (*cancel_injection)(struct kvm_vcpu *vcpu);

	/* Registers. cache_reg() fetches one that regs_avail lacks. */
	void (*cache_reg)(struct kvm_vcpu *vcpu, enum kvm_reg reg);
	unsigned long (*get_rflags)(struct kvm_vcpu *vcpu);
	void (*set_rflags)(struct kvm_vcpu *vcpu, unsigned long rflags);
	void (*get_segment)(struct kvm_vcpu *vcpu, struct kvm_segment *var,
			    enum kvm_seg seg);
	void (*set_segment)(struct kvm_vcpu *vcpu,
			    const struct kvm_segment *var, enum kvm_seg seg);
	int (*get_cpl)(struct kvm_vcpu *vcpu);
	void (*get_cs_db_l)(struct kvm_vcpu *vcpu, int *db, int *l);
	void (*get_gdt)(struct kvm_vcpu *vcpu, struct kvm_dtable *dt);
	void (*set_gdt)(struct kvm_vcpu *vcpu, const struct kvm_dtable *dt);
	void (*get_idt)(struct kvm_vcpu *vcpu, struct kvm_dtable *dt);
	void (*set_idt)(struct kvm_vcpu *vcpu, const struct kvm_dtable *dt);
	/* The values are legal for the guest; callers have checked. */
	void (*set_cr0)(struct kvm_vcpu *vcpu, unsigned long cr0);
	void (*set_cr4)(struct kvm_vcpu *vcpu, unsigned long cr4);
	bool (*cr4_allowed)(struct kvm_vcpu *vcpu, unsigned long cr4);
	void (*set_efer)(struct kvm_vcpu *vcpu, u64 efer);
	void (*set_dr7)(struct kvm_vcpu *vcpu, unsigned long dr7);
	/* Guest debug or eff_db changed. */
	void (*update_debug)(struct kvm_vcpu *vcpu);
	/* Interrupts off: take the registers back from the guest. */
	void (*sync_debug_regs)(struct kvm_vcpu *vcpu);
	void (*set_root)(struct kvm_vcpu *vcpu, hpa_t root, int level);
	/* Only with kvm_caps.pml: some slot logs dirty pages, or none does. */
	void (*set_dirty_logging)(struct kvm_vcpu *vcpu, bool on);

	/* MSRs that live in the VMCS or in backend tables; 1: not known. */
	int (*get_msr)(struct kvm_vcpu *vcpu, u32 index, u64 *data);
	int (*set_msr)(struct kvm_vcpu *vcpu, u32 index, u64 data);
	void (*set_tsc)(struct kvm_vcpu *vcpu);	/* offset, ratio changed */
	void (*cpuid_changed)(struct kvm_vcpu *vcpu);

	/* Events. */
	u32 (*get_interrupt_shadow)(struct kvm_vcpu *vcpu);	/* KVM_X86_SHADOW_INT_* */
	void (*set_interrupt_shadow)(struct kvm_vcpu *vcpu, u32 mask);
	bool (*interrupt_allowed)(struct kvm_vcpu *vcpu);
	bool (*nmi_allowed)(struct kvm_vcpu *vcpu);
	bool (*get_nmi_masked)(struct kvm_vcpu *vcpu);
	void (*set_nmi_masked)(struct kvm_vcpu *vcpu, bool masked);
	void (*inject_exception)(struct kvm_vcpu *vcpu);	/* ev.exception */
	void (*inject_interrupt)(struct kvm_vcpu *vcpu);	/* ev.interrupt */
	void (*inject_nmi)(struct kvm_vcpu *vcpu);
	void (*enable_irq_window)(struct kvm_vcpu *vcpu);
	void (*enable_nmi_window)(struct kvm_vcpu *vcpu);

	/* Advance RIP past the exiting instruction; clear the STI shadow. */
	int (*skip_instruction)(struct kvm_vcpu *vcpu);
	/* Drop this vCPU's cached translations; own CPU, preemption off. */
	void (*flush_tlb)(struct kvm_vcpu *vcpu);
	/* ... those that the guest's own MOV to CR and the like must drop. */
	void (*flush_tlb_guest)(struct kvm_vcpu *vcpu);
	/* ... that of one address, with shadow paging. */
	void (*flush_tlb_gva)(struct kvm_vcpu *vcpu, u64 gva);

	/*
	 * Local APIC, when vcpu->apic is there. Own thread, vCPU loaded, but for
	 * apic_post. kvm_apic_regs() is the virtual-APIC page. kvm_caps.apicv:
	 * the processor delivers virtual interrupts; vcpu->apicv_active: it does
	 * so for this vCPU, from creation to the end.
	 */
	/* Mode or base address changed: controls follow. */
	void (*apic_mode)(struct kvm_vcpu *vcpu);
	/*
	 * Without apicv_active: make the guest exit when its TPR falls below
	 * this class of priority, 0 to 15 (TPR shadow), or nothing.
	 */
	void (*apic_tpr_threshold)(struct kvm_vcpu *vcpu, int threshold);
	/*
	 * apicv_active: post a vector; any context but NMI. False: it was
	 * posted before. A vCPU in guest mode takes it without an exit, others
	 * at their next entry; the caller wakes one that sleeps.
	 */
	bool (*apic_post)(struct kvm_vcpu *vcpu, u8 vector);
	/* Posted vectors to IRR now. Returns the highest in IRR, or -1. */
	int (*apic_take_posted)(struct kvm_vcpu *vcpu);
	bool (*apic_has_posted)(struct kvm_vcpu *vcpu);	/* any thread */
	/* Software changed IRR or ISR of the page: RVI and SVI follow. */
	void (*apic_reload)(struct kvm_vcpu *vcpu);
	/* The vectors whose EOI must exit: 256 bits. */
	void (*apic_eoi_exits)(struct kvm_vcpu *vcpu,
			       const unsigned long *bitmap);
	/*
	 * kvm_caps.preemption_timer: have kvm_apic_hw_timer_fired() called when
	 * the guest's TSC, which is `now`, reaches `tsc`, which is not before
	 * that, or has passed it at an entry; once. False: too far, and what
	 * was set before stands. Interrupts may be off.
	 */
	bool (*set_timer)(struct kvm_vcpu *vcpu, u64 now, u64 tsc);
	void (*cancel_timer)(struct kvm_vcpu *vcpu);
};

/* What kvm_backend.exit_info() tells of the last exit. */
struct kvm_exit_info {
	u32 reason;
	u64 qualification;
	u32 idt_vectoring, intr_info, error_code;
};

extern const struct kvm_backend *backend;
extern const struct kvm_backend vmx_backend;

/* ---- kvm_main.c --------------------------------------------------------- */

extern struct list_head kvm_vm_list;	/* kvm_list_lock */
extern struct mutex kvm_list_lock;
/* VMX is off on all processors: faults of its instructions are expected. */
extern bool kvm_rebooting;

/* Give up a use of the VM; the last one destroys it. May sleep. */
void kvm_put(struct kvm *kvm);
void vcpu_load(struct kvm_vcpu *vcpu);
void vcpu_put(struct kvm_vcpu *vcpu);
/* Make a vCPU in guest mode exit, a sleeping one wake up. Any context. */
void kvm_vcpu_kick(struct kvm_vcpu *vcpu);
/*
 * Make `req` on every vCPU and return only after each that was in guest mode
 * has left it. May be called under mmu_lock; interrupts enabled.
 */
void kvm_make_all_requests(struct kvm *kvm, enum kvm_request req);
/* A bug in the driver or a host failure: the VM can only be closed. */
void kvm_vm_kill(struct kvm *kvm);

static inline void kvm_make_request(struct kvm_vcpu *vcpu, enum kvm_request req)
{
	/* What the request is about must be visible before the request. */
	smp_mb__before_atomic();
	set_bit(req, &vcpu->requests);
}

static inline bool kvm_check_request(struct kvm_vcpu *vcpu,
				     enum kvm_request req)
{
	if (!test_bit(req, &vcpu->requests))
		return false;
	clear_bit(req, &vcpu->requests);
	smp_mb__after_atomic();
	return true;
}

static inline bool kvm_request_pending(const struct kvm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->requests);
}

static inline bool kvm_has_quirk(const struct kvm *kvm, u64 quirk)
{
	return !(READ_ONCE(kvm->disabled_quirks) & quirk);
}

static inline bool kvm_irqchip_in_kernel(const struct kvm *kvm)
{
	/* Who sees the mode sees the controllers. */
	return smp_load_acquire(&kvm->irqchip_mode) != KVM_IRQCHIP_USER;
}

#define kvm_for_each_vcpu(i, vcpu, kvm)					\
	for ((i) = 0; (i) < READ_ONCE((kvm)->nr_vcpus) &&		\
	     ((vcpu) = xa_load(&(kvm)->vcpus, (i))); (i)++)

/* ---- memslot.c ---------------------------------------------------------- */

/* Around all that looks up a slot or touches guest memory. */
static inline void kvm_vcpu_srcu_lock(struct kvm_vcpu *vcpu)
{
	vcpu->srcu_idx = srcu_read_lock(&vcpu->kvm->srcu);
}

static inline void kvm_vcpu_srcu_unlock(struct kvm_vcpu *vcpu)
{
	srcu_read_unlock(&vcpu->kvm->srcu, vcpu->srcu_idx);
}

int kvm_memory_init(struct kvm *kvm);		/* srcu, trees, mmu notifier */
/* The VM is being destroyed: from now on notifiers find no slot. */
void kvm_memory_detach(struct kvm *kvm);
/* Frees *kvm itself too, once no notifier can be using it. */
void kvm_memory_destroy(struct kvm *kvm);
void kvm_memory_exit(void);			/* waits for those */
/*
 * KVM_SET_USER_MEMORY_REGION. Takes slots_lock. -EINVAL for anything
 * malformed, -EEXIST for an overlap, -ENOMEM.
 */
int kvm_set_memory_region(struct kvm *kvm,
			  const struct kvm_userspace_memory_region *mem);
/*
 * Memory that the guest needs and the monitor does not give it: mapped into
 * the monitor, which must be current, with `image` as its contents. 0 also if
 * it is there already; -EINVAL; -EEXIST: something else is at gpa, or the
 * region is elsewhere; -ENOMEM. Takes slots_lock.
 */
int kvm_add_private_region(struct kvm *kvm, u32 id, gpa_t gpa,
			   const void *image, unsigned long size);
/*
 * KVM_GET_DIRTY_LOG: all that was written before the call, and no frame
 * twice. Takes slots_lock. -ENOENT: the slot logs nothing.
 */
int kvm_get_dirty_log(struct kvm *kvm, const struct kvm_dirty_log *log);

/* Lookups; kvm->srcu held. NULL where there is no slot. */
struct kvm_memory_slot *kvm_gfn_to_slot(struct kvm *kvm, gfn_t gfn);
struct kvm_memory_slot *kvm_vcpu_gfn_to_slot(struct kvm_vcpu *vcpu, gfn_t gfn);
void kvm_mark_page_dirty(struct kvm_memory_slot *slot, gfn_t gfn);

/*
 * Access guest-physical memory through the monitor's mapping; kvm->srcu held,
 * in the context of kvm->mm; may sleep. kvm_read_guest_page() never crosses a
 * page. 0, or -EFAULT where there is no (writable) memory.
 */
int kvm_read_guest_page(struct kvm_vcpu *vcpu, gfn_t gfn, void *data,
			unsigned int offset, unsigned int len);
int kvm_read_guest(struct kvm_vcpu *vcpu, gpa_t gpa, void *data, size_t len);
int kvm_write_guest(struct kvm_vcpu *vcpu, gpa_t gpa, const void *data,
		    size_t len);

/*
 * The same for those who have looked at the slot, a writable one for writes:
 * another look-up might find it gone. Never across a page.
 */
int kvm_read_slot(struct kvm_memory_slot *slot, gpa_t gpa, void *data,
		  unsigned int len);
int kvm_write_slot(struct kvm *kvm, struct kvm_memory_slot *slot, gpa_t gpa,
		   const void *data, unsigned int len);
int kvm_cmpxchg_slot(struct kvm_memory_slot *slot, gpa_t gpa, void *old,
		     const void *new, unsigned int bytes);

/*
 * Atomic compare-and-exchange of 1 to 8 (or 16) naturally aligned bytes of
 * guest memory. 0 done; 1 the value differed, *old is updated; -EFAULT.
 */
int kvm_cmpxchg_guest(struct kvm_vcpu *vcpu, gpa_t gpa, void *old,
		      const void *new, unsigned int bytes);

/*
 * What the host maps at hva. On success *pfn and *map_level (PG_LEVEL_*: the
 * size of the host mapping), *writable (the host allows writes), *is_ram (an
 * ordinary page, not I/O memory) hold as long as mmu_invalidate_seq stands;
 * no reference is taken. Faults the page in when needed: may sleep.
 * -EFAULT: nothing is mapped; -EHWPOISON; -EINTR: a fatal signal;
 * -EAGAIN: look again.
 */
struct kvm_host_page {
	kvm_pfn_t pfn;
	int level;
	bool writable;
	bool is_ram;
};
int kvm_host_page(struct kvm *kvm, hva_t hva, bool write,
		  struct kvm_host_page *page);
/* ... -EINPROGRESS: the page is not there, and bringing it in takes long. */
int kvm_host_page_nowait(struct kvm *kvm, hva_t hva, bool write,
			 struct kvm_host_page *page);
/* Bring it in; of any process, whose mm_users is held. 0 or -errno. */
int kvm_fault_in(struct mm_struct *mm, hva_t hva, bool write);
/* The same for reading, without sleeping; false: it would have to. */
bool kvm_host_page_mapped(struct kvm *kvm, hva_t hva,
			  struct kvm_host_page *page);

/* ---- vcpu.c ------------------------------------------------------------- */

int kvm_vcpu_init(struct kvm_vcpu *vcpu);	/* common fields, then backend */
void kvm_vcpu_destroy(struct kvm_vcpu *vcpu);
void kvm_vcpu_reset(struct kvm_vcpu *vcpu, bool init);
/* KVM_RUN with the vCPU loaded: 0 or -EINTR, or another errno. */
int kvm_vcpu_run(struct kvm_vcpu *vcpu);

/* user_work.c. 0, or -EINTR: a signal is pending. */
int kvm_handle_user_work(void);

void kvm_queue_exception(struct kvm_vcpu *vcpu, u8 vector);
void kvm_queue_exception_e(struct kvm_vcpu *vcpu, u8 vector, u32 error_code);
void kvm_queue_page_fault(struct kvm_vcpu *vcpu, unsigned long cr2,
			  u32 error_code);
void kvm_queue_db(struct kvm_vcpu *vcpu, unsigned long dr6_bits);
void kvm_inject_x86_exception(struct kvm_vcpu *vcpu,
			      const struct x86_exception *e);
void kvm_inject_nmi(struct kvm_vcpu *vcpu);
/* CR2 or DR6 as the delivery of ev.exception would leave them; once. */
void kvm_deliver_exception_payload(struct kvm_vcpu *vcpu);

/*
 * MOV to CRn and XSETBV as the guest executes them: 0, or 1 for #GP(0), which
 * the caller raises. kvm_set_cr3 and friends also serve KVM_SET_SREGS.
 */
int kvm_set_cr0(struct kvm_vcpu *vcpu, unsigned long cr0);
int kvm_set_cr3(struct kvm_vcpu *vcpu, unsigned long cr3);
int kvm_set_cr4(struct kvm_vcpu *vcpu, unsigned long cr4);
int kvm_set_cr8(struct kvm_vcpu *vcpu, unsigned long cr8);
unsigned long kvm_get_cr8(struct kvm_vcpu *vcpu);
int kvm_set_xcr(struct kvm_vcpu *vcpu, u32 index, u64 xcr);
int kvm_set_dr(struct kvm_vcpu *vcpu, int dr, unsigned long val);
unsigned long kvm_get_dr(struct kvm_vcpu *vcpu, int dr);
bool kvm_cr0_valid(unsigned long cr0);
/* Bits of CR0 that exist; others are ignored when written. */
#define CR0_DEFINED	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | \
			 X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | \
			 X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
bool kvm_cr4_valid(struct kvm_vcpu *vcpu, unsigned long cr4);
void kvm_update_dr7(struct kvm_vcpu *vcpu);

/* An interrupt could be injected, were there one. */
bool kvm_interrupt_possible(struct kvm_vcpu *vcpu);
/* Let that vCPU's thread, which waits for a CPU, run instead of this. */
bool kvm_vcpu_yield_to(struct kvm_vcpu *vcpu);
/*
 * The guest spins, most likely for a lock: let a vCPU run that waits for a
 * CPU, if there is one. vCPU loaded, preemptible.
 */
void kvm_vcpu_on_spin(struct kvm_vcpu *vcpu);
/* There is one that the guest would take now, were it not for RFLAGS.IF. */
bool kvm_interrupt_pending(struct kvm_vcpu *vcpu);
/* SIPI: real mode, at this page. */
void kvm_vcpu_start_at(struct kvm_vcpu *vcpu, u8 page);

/* ---- halt.c: vCPUs that do not run -------------------------------------- */

/* HLT executed: 1 resume, 0 to user space. */
int kvm_emulate_halt(struct kvm_vcpu *vcpu);
/*
 * mp_state is not RUNNABLE: wait until it is, there is a signal, or a request
 * that is to be handled first.
 */
void kvm_vcpu_wait(struct kvm_vcpu *vcpu);
/* Fill kvm_run for KVM_EXIT_INTERNAL_ERROR; always 0. */
int kvm_internal_error(struct kvm_vcpu *vcpu, u32 suberror, int ndata,
		       const u64 *data);

/* ---- clock.c: guest time ------------------------------------------------ */

u64 kvm_read_guest_tsc(struct kvm_vcpu *vcpu);
u64 kvm_scale_tsc(const struct kvm_vcpu *vcpu, u64 tsc);
void kvm_write_guest_tsc(struct kvm_vcpu *vcpu, u64 value, bool host);
/* `khz` 0: the host's. -EINVAL: the processor cannot make that frequency. */
int kvm_set_tsc_khz(struct kvm_vcpu *vcpu, u64 khz);
/* ... of vCPUs that are yet to be created. */
int kvm_set_default_tsc_khz(struct kvm *kvm, u64 khz);
/* KVM_HAS_DEVICE_ATTR and its kin on a vCPU; -ENXIO: no such attribute. */
int kvm_has_vcpu_attr(struct kvm_vcpu *vcpu,
		      const struct kvm_device_attr *attr);
int kvm_get_vcpu_attr(struct kvm_vcpu *vcpu,
		      const struct kvm_device_attr *attr);
int kvm_set_vcpu_attr(struct kvm_vcpu *vcpu,
		      const struct kvm_device_attr *attr);

void kvm_clock_setup(void);		/* module load: is it offered? */
void kvm_clock_init(struct kvm *kvm);
void kvm_clock_suspend(void);		/* of the host; no task runs */
void kvm_clock_resume(void);
u32 kvm_clock_flags(void);		/* KVM_CLOCK_*: what can be told */
void kvm_clock_get(struct kvm *kvm, struct kvm_clock_data *data);
int kvm_clock_set(struct kvm *kvm, const struct kvm_clock_data *data);
int kvm_clock_note_pause(struct kvm_vcpu *vcpu);	/* KVM_KVMCLOCK_CTRL */
void kvm_clock_update(struct kvm_vcpu *vcpu);	/* kvm->srcu held, both */
void kvm_clock_write_wall(struct kvm_vcpu *vcpu);
/* KVM_HC_CLOCK_PAIRING. 0 or -KVM_E*. kvm->srcu held. */
long kvm_clock_pairing(struct kvm_vcpu *vcpu, gpa_t gpa, u64 type);

/* ---- register access ---------------------------------------------------- */

static inline unsigned long kvm_reg_read(struct kvm_vcpu *vcpu,
					 enum kvm_reg reg)
{
	if (unlikely(!(vcpu->regs_avail & BIT(reg))))
		backend->cache_reg(vcpu, reg);
	return vcpu->regs[reg];
}

static inline void kvm_reg_write(struct kvm_vcpu *vcpu, enum kvm_reg reg,
				 unsigned long val)
{
	vcpu->regs[reg] = val;
	vcpu->regs_avail |= BIT(reg);
	vcpu->regs_dirty |= BIT(reg);
}

static inline unsigned long kvm_rip_read(struct kvm_vcpu *vcpu)
{
	return kvm_reg_read(vcpu, VCPU_RIP);
}

static inline void kvm_rip_write(struct kvm_vcpu *vcpu, unsigned long rip)
{
	kvm_reg_write(vcpu, VCPU_RIP, rip);
}

/* CRn as the guest reads it; bits the guest owns are fetched when needed. */
static inline unsigned long kvm_read_cr0(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->regs_avail & BIT(VCPU_CR0)))
		backend->cache_reg(vcpu, VCPU_CR0);
	return vcpu->cr0;
}

static inline unsigned long kvm_read_cr3(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->regs_avail & BIT(VCPU_CR3)))
		backend->cache_reg(vcpu, VCPU_CR3);
	return vcpu->cr3;
}

static inline unsigned long kvm_read_cr4(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->regs_avail & BIT(VCPU_CR4)))
		backend->cache_reg(vcpu, VCPU_CR4);
	return vcpu->cr4;
}

bool is_paging(struct kvm_vcpu *vcpu);
bool is_pae_paging(struct kvm_vcpu *vcpu);
static inline bool is_long_mode(const struct kvm_vcpu *vcpu)
{
	return vcpu->efer & (1u << 10);		/* EFER.LMA */
}
bool is_64bit_mode(struct kvm_vcpu *vcpu);	/* LMA and CS.L */

/* ---- state.c: what the monitor reads and writes ------------------------- */

int kvm_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs);
int kvm_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs);
int kvm_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs);
int kvm_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs);
int kvm_get_fpu(struct kvm_vcpu *vcpu, struct kvm_fpu *fpu);
int kvm_set_fpu(struct kvm_vcpu *vcpu, const struct kvm_fpu *fpu);
int kvm_get_xsave(struct kvm_vcpu *vcpu, struct kvm_xsave *xsave, size_t size);
int kvm_set_xsave(struct kvm_vcpu *vcpu, const struct kvm_xsave *xsave);
int kvm_get_xcrs(struct kvm_vcpu *vcpu, struct kvm_xcrs *xcrs);
int kvm_set_xcrs(struct kvm_vcpu *vcpu, const struct kvm_xcrs *xcrs);
void kvm_get_nested_state(struct kvm_vcpu *vcpu,
			  struct kvm_nested_state *state);
int kvm_set_nested_state(struct kvm_vcpu *vcpu,
			 const struct kvm_nested_state *state);
int kvm_get_vcpu_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *ev);
int kvm_set_vcpu_events(struct kvm_vcpu *vcpu,
			const struct kvm_vcpu_events *ev);
int kvm_get_debugregs(struct kvm_vcpu *vcpu, struct kvm_debugregs *dbg);
int kvm_set_debugregs(struct kvm_vcpu *vcpu, const struct kvm_debugregs *dbg);
int kvm_get_mp_state(struct kvm_vcpu *vcpu, struct kvm_mp_state *mp);
int kvm_set_mp_state(struct kvm_vcpu *vcpu, const struct kvm_mp_state *mp);
int kvm_vcpu_interrupt(struct kvm_vcpu *vcpu, const struct kvm_interrupt *irq);
int kvm_translate(struct kvm_vcpu *vcpu, struct kvm_translation *tr);
int kvm_set_guest_debug(struct kvm_vcpu *vcpu,
			const struct kvm_guest_debug *dbg);
/* KVM_CAP_SYNC_REGS: are the sets known? Before and after a run; -EINVAL. */
bool kvm_synced_regs_valid(const struct kvm_run *run);
int kvm_load_synced_regs(struct kvm_vcpu *vcpu);
void kvm_store_synced_regs(struct kvm_vcpu *vcpu);
/* KVM_GUESTDBG_*: all that KVM_SET_GUEST_DEBUG takes. */
#define KVM_GUESTDBG_KNOWN						\
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |		\
	 KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP |		\
	 KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |		\
	 KVM_GUESTDBG_BLOCKIRQ)

/* ---- cpuid.c ------------------------------------------------------------ */

/* After hardware_setup: what KVM_GET_SUPPORTED_CPUID reports. */
int kvm_cpuid_setup(void);
/*
 * *nent holds the room in `entries` and receives the count. -E2BIG: too
 * little room, *nent is unchanged or tells what is needed, as documented.
 */
int kvm_get_supported_cpuid(struct kvm_cpuid_entry2 *entries, u32 *nent);
int kvm_get_emulated_cpuid(struct kvm_cpuid_entry2 *entries, u32 *nent);
/* Also makes a new vCPU's model, with no entries and not loaded. */
int kvm_set_cpuid2(struct kvm_vcpu *vcpu,
		   const struct kvm_cpuid_entry2 *entries, u32 nent);
struct kvm_cpuid_entry2 *kvm_find_cpuid(struct kvm_vcpu *vcpu, u32 leaf,
					u32 index);
/* CPUID as the guest executes it, out-of-range rules included. */
void kvm_cpuid(struct kvm_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
/* On the registers of the vCPU; RIP stays. */
void kvm_execute_cpuid(struct kvm_vcpu *vcpu);
/* CR4, XCR0, XSS or APIC base changed: refresh the leaves that show them. */
void kvm_update_cpuid_runtime(struct kvm_vcpu *vcpu);

/* ---- msr.c -------------------------------------------------------------- */

void kvm_msr_setup(void);		/* after hardware_setup */
void kvm_msr_reset(struct kvm_vcpu *vcpu, bool init);
/*
 * RDMSR and WRMSR. `host`: on behalf of the monitor, which may set what a
 * guest may not. 0, or 1 for #GP(0) (host: the batch stops here).
 */
enum {
	KVM_MSR_INVALID = 1,		/* not so, or not this value: #GP */
	KVM_MSR_UNKNOWN,		/* there is none: #GP */
	KVM_MSR_FILTERED,		/* not for the guest: #GP */
};
int kvm_get_msr(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host);
int kvm_set_msr(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host);
/* Lists for KVM_GET_MSR_INDEX_LIST and KVM_GET_MSR_FEATURE_INDEX_LIST. */
const u32 *kvm_msr_list(u32 *count);
const u32 *kvm_msr_feature_list(u32 *count);
int kvm_get_msr_feature(u32 index, u64 *data);
bool kvm_efer_valid(struct kvm_vcpu *vcpu, u64 efer);
bool kvm_efer_valid_host(u64 efer);	/* the host's processor has the bits */
bool kvm_pat_valid(u64 pat);
bool kvm_apic_base_valid(struct kvm_vcpu *vcpu, u64 base, bool host);
/* By the widest linear address of the guest's processor. */
bool kvm_is_canonical(const struct kvm_vcpu *vcpu, u64 la);

/* ---- msr_filter.c ------------------------------------------------------- */

/* Does the monitor deny the guest this? KVM_MSR_FILTER_READ or _WRITE. */
bool kvm_msr_filtered(struct kvm *kvm, u32 index, u32 access);
/* RDMSR and WRMSR, as kvm_get_msr() and kvm_set_msr() but for that. */
static inline int kvm_guest_get_msr(struct kvm_vcpu *vcpu, u32 index, u64 *data)
{
	if (unlikely(rcu_access_pointer(vcpu->kvm->msr_filter)) &&
	    kvm_msr_filtered(vcpu->kvm, index, KVM_MSR_FILTER_READ))
		return KVM_MSR_FILTERED;
	return kvm_get_msr(vcpu, index, data, false);
}

static inline int kvm_guest_set_msr(struct kvm_vcpu *vcpu, u32 index, u64 data)
{
	if (unlikely(rcu_access_pointer(vcpu->kvm->msr_filter)) &&
	    kvm_msr_filtered(vcpu->kvm, index, KVM_MSR_FILTER_WRITE))
		return KVM_MSR_FILTERED;
	return kvm_set_msr(vcpu, index, data, false);
}

/* `result` of those is not 0, and user space is to carry it out instead. */
bool kvm_msr_exit_wanted(const struct kvm_vcpu *vcpu, int result);
void kvm_msr_fill_exit(struct kvm_vcpu *vcpu, int result, bool write,
		       u32 index, u64 data);
/* The ioctl; -EINVAL, -EFAULT, -ENOMEM. */
int kvm_set_msr_filter(struct kvm *kvm, const struct kvm_msr_filter *user);
void kvm_msr_filter_free(struct kvm *kvm);

/* ---- mce.c: machine checks ---------------------------------------------- */

/* Handlers of rows in msr.c: 1 is #GP. */
int kvm_mce_get_bank(struct kvm_vcpu *vcpu, u32 index, u64 *data, bool host);
int kvm_mce_set_bank(struct kvm_vcpu *vcpu, u32 index, u64 data, bool host);
void kvm_mce_reset(struct kvm_vcpu *vcpu);
/* KVM_X86_GET_MCE_CAP_SUPPORTED, KVM_X86_SETUP_MCE, KVM_X86_SET_MCE. */
u64 kvm_mce_cap_supported(void);
int kvm_setup_mce(struct kvm_vcpu *vcpu, u64 cap);
int kvm_set_mce(struct kvm_vcpu *vcpu, const struct kvm_x86_mce *mce);

/* ---- emulate.c: instructions and I/O ------------------------------------ */

int kvm_emulator_create(struct kvm_vcpu *vcpu);
void kvm_emulator_free(struct kvm_vcpu *vcpu);

#define EMULTYPE_PF		BIT(0)	/* a data access at fault_gpa must be emulated */
#define EMULTYPE_MMIO		BIT(1)	/* ... and no slot is there */
#define EMULTYPE_TRY		BIT(2)	/* not known: KVM_EMULATE_UNKNOWN, no error */
#define EMULTYPE_BEGIN		BIT(3)	/* the processor has not looked at it */

#define KVM_EMULATE_UNKNOWN	2

/*
 * Decode and emulate the instruction at RIP. 1 resume, 0 to user space (MMIO,
 * PIO, or KVM_EXIT_INTERNAL_ERROR for what is not known), negative errno.
 * kvm->srcu held.
 */
int kvm_emulate_instruction(struct kvm_vcpu *vcpu, gpa_t fault_gpa,
			    u32 emultype);
/*
 * The processor does not know the instruction at RIP, but the guest's may:
 * likewise, or #UD. Only where kvm_wants_undefined(), which follows CPUID.
 */
int kvm_emulate_undefined(struct kvm_vcpu *vcpu);
bool kvm_wants_undefined(const struct kvm_vcpu *vcpu);
/*
 * Deliver the event of vcpu->ev that is `injected` in the hardware's place: 1,
 * 0 or -errno. kvm->srcu held.
 */
int kvm_emulate_event(struct kvm_vcpu *vcpu);
/* As the exit qualification has it. */
enum kvm_task_source {
	KVM_TASK_CALL, KVM_TASK_IRET, KVM_TASK_JMP, KVM_TASK_GATE,
};

/*
 * A task switch to the TSS of `selector`. `insn_len`: of the instruction that
 * makes it, 0 for an interrupt or an exception, which is in vcpu->ev. 1, 0 or
 * -errno. kvm->srcu held.
 */
int kvm_emulate_task_switch(struct kvm_vcpu *vcpu, u16 selector,
			    enum kvm_task_source source, unsigned int insn_len);
/* IN or OUT of one item that the exit decoded. 1, 0 or -errno. */
int kvm_fast_pio(struct kvm_vcpu *vcpu, unsigned int size, u16 port, bool in);

#endif
