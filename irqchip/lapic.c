// SPDX-License-Identifier: GPL-2.0-only
/*
 * lapic.c - a local APIC: its registers, as memory and as MSRs, its modes, its
 * state as the monitor sees it, and which interrupt the processor takes next.
 *
 * One table, apic_regs[], says of each register who may read and write it, in
 * which mode, which bits there are, and what a write does. A write of software
 * and a write that the processor has virtualised go through the same row.
 *
 * Not here: messages (apic_bus.c), the timer (apic_timer.c), injection
 * (vcpu.c). The virtual wire to the 8259 is LINT0 in ExtINT mode.
 *
 * Locking: as irqchip.h says, the registers are the vCPU's thread's, but for
 * IRR, TMR, `errors` and `events`. Reads and writes of MSRs 800H to 8FFH may
 * come with interrupts off: nothing sleeps on their way.
 *
 * SDM: "Advanced Programmable Interrupt Controller (APIC)", "Extended XAPIC
 * (x2APIC)", "Error Handling", "Processor State After Reset".
 */
#include <linux/gfp.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <asm/msr-index.h>

#include "lapic.h"
#include "trace.h"

#define APIC_VERSION_NUMBER	0x14
/* Timer, thermal sensor, performance counters, LINT0, LINT1, error. */
#define APIC_LVT_COUNT		6
#define for_each_lvt(lvt)						\
	for ((lvt) = APIC_LVTT; (lvt) <= APIC_LVTERR; (lvt) += APIC_REG_STRIDE)

#define PRIORITY_CLASS		0xf0u

static u32 *word_at(const struct kvm_lapic *apic, unsigned int base, int word)
{
	return kvm_apic_word(apic->regs, base, word);
}

/* ---- the highest of IRR and ISR ----------------------------------------- */

/* With irr_words for a guide. It says too much, never too little. */
static int highest_irr(struct kvm_lapic *apic)
{
	int word;
	u32 bits;

	while (READ_ONCE(apic->irr_words)) {
		word = __fls(READ_ONCE(apic->irr_words));
		bits = READ_ONCE(*word_at(apic, APIC_IRR, word));
		if (bits)
			return word * 32 + __fls(bits);
		clear_bit(word, &apic->irr_words);
		smp_mb__after_atomic();
		/* Who set a bit there before may have seen no need to say so. */
		if (READ_ONCE(*word_at(apic, APIC_IRR, word)))
			set_bit(word, &apic->irr_words);
	}
	return -1;
}

static int highest_isr(struct kvm_lapic *apic)
{
	int word;

	if (apic->vcpu->apicv_active)
		return kvm_apic_highest(apic->regs, APIC_ISR);
	if (!apic->isr_words)
		return -1;
	word = __fls(apic->isr_words);
	return word * 32 + __fls(*word_at(apic, APIC_ISR, word));
}

static void isr_set(struct kvm_lapic *apic, u8 vector)
{
	*word_at(apic, APIC_ISR, vector / 32) |= BIT(vector % 32);
	__set_bit(vector / 32, &apic->isr_words);
}

static void isr_clear(struct kvm_lapic *apic, u8 vector)
{
	u32 *word = word_at(apic, APIC_ISR, vector / 32);

	*word &= ~(u32)BIT(vector % 32);
	if (!*word)
		__clear_bit(vector / 32, &apic->isr_words);
}

/* The words were written as a whole, or by the processor. */
static void words_changed(struct kvm_lapic *apic)
{
	int word;

	apic->isr_words = 0;
	for (word = 0; word < APIC_NR_WORDS; word++)
		if (*word_at(apic, APIC_ISR, word))
			__set_bit(word, &apic->isr_words);
	smp_store_mb(apic->irr_words, GENMASK(APIC_NR_WORDS - 1, 0));
}

/* ---- priorities: "Interrupt, Task, and Processor Priority" --------------- */

static u32 update_ppr(struct kvm_lapic *apic)
{
	u32 tpr = apic_get(apic, APIC_TASKPRI), ppr = tpr;
	int isr = highest_isr(apic);

	if (isr >= 0 && (isr & PRIORITY_CLASS) > (tpr & PRIORITY_CLASS))
		ppr = isr & PRIORITY_CLASS;
	apic_set(apic, APIC_PROCPRI, ppr);
	return ppr;
}

/*
 * A vector that the TPR holds back: the guest must leave when it lowers that.
 * One that another in service holds back comes up again at EOI.
 */
static void update_tpr_threshold(struct kvm_lapic *apic, int vector)
{
	u32 tpr = apic_get(apic, APIC_TASKPRI);
	int threshold = 0;

	if (vector >= 0 && (vector & PRIORITY_CLASS) <= (tpr & PRIORITY_CLASS))
		threshold = vector >> 4;
	backend->apic_tpr_threshold(apic->vcpu, threshold);
}

int kvm_apic_pending_vector(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->apic;
	int vector;

	vector = vcpu->apicv_active ? backend->apic_take_posted(vcpu) :
				      highest_irr(apic);
	if (kvm_caps.tpr_shadow)
		update_tpr_threshold(apic, vector);
	if (vector < 0 || !apic->sw_enabled)
		return -1;
	return (vector & PRIORITY_CLASS) > (update_ppr(apic) & PRIORITY_CLASS) ?
		vector : -1;
}

void kvm_apic_accept(struct kvm_vcpu *vcpu, u8 vector)
{
	struct kvm_lapic *apic = vcpu->apic;

	clear_bit(vector % 32, vector_word(apic, APIC_IRR, vector));
	isr_set(apic, vector);
	update_ppr(apic);
}

bool kvm_apic_vector_busy(struct kvm_vcpu *vcpu, u8 vector)
{
	const struct kvm_lapic *apic = vcpu->apic;

	return apic_test_vector(apic, APIC_IRR, vector) ||
	       apic_test_vector(apic, APIC_ISR, vector) ||
	       (vcpu->apicv_active && backend->apic_has_posted(vcpu));
}

void kvm_apic_tpr_changed(struct kvm_vcpu *vcpu)
{
	update_ppr(vcpu->apic);
	if (READ_ONCE(vcpu->apic->irr_words))
		kvm_make_request(vcpu, KVM_REQ_EVENT);
}

void kvm_apic_set_tpr(struct kvm_vcpu *vcpu, unsigned long cr8)
{
	apic_set(vcpu->apic, APIC_TASKPRI, (cr8 & 0xf) << 4);
	kvm_apic_tpr_changed(vcpu);
}

unsigned long kvm_apic_get_cr8(struct kvm_vcpu *vcpu)
{
	return apic_get(vcpu->apic, APIC_TASKPRI) >> 4 & 0xf;
}

/* ---- end of interrupt: "Signaling Interrupt Servicing Completion" -------- */

static void tell_ioapic(struct kvm_lapic *apic, u8 vector)
{
	bool level = apic_test_vector(apic, APIC_TMR, vector);

	if (!level && !test_bit(vector, apic->eoi_vectors))
		return;
	/* "Suppress EOI Broadcast": software tells the I/O APIC itself. */
	if (level && (apic_get(apic, APIC_SPIV) & APIC_SPIV_DIRECTED_EOI))
		return;
	kvm_ioapic_eoi(apic->vcpu, vector, level);
}

static void end_of_interrupt(struct kvm_lapic *apic)
{
	struct kvm_vcpu *vcpu = apic->vcpu;
	int vector = highest_isr(apic);

	trace_kvm_eoi(vcpu->id, vector);
	if (vector < 0)
		return;
	isr_clear(apic, vector);
	if (vcpu->apicv_active)
		backend->apic_reload(vcpu);
	update_ppr(apic);
	tell_ioapic(apic, vector);
	if (READ_ONCE(apic->irr_words))
		kvm_make_request(vcpu, KVM_REQ_EVENT);
}

static void end_in_memory(struct kvm_lapic *apic)
{
	trace_kvm_pv_eoi(apic->vcpu->id, highest_isr(apic));
	end_of_interrupt(apic);
}

/*
 * With an offer to signal it in memory: if that was taken, it comes first. If
 * not, the offer must be withdrawn before, which may sleep.
 */
void kvm_apic_eoi(struct kvm_vcpu *vcpu)
{
	if (unlikely(vcpu->pv.eoi_offered)) {
		if (!kvm_pv_eoi_taken(vcpu)) {
			vcpu->pv.eoi_late++;
			kvm_make_request(vcpu, KVM_REQ_EVENT);
			return;
		}
		end_in_memory(vcpu->apic);
	}
	end_of_interrupt(vcpu->apic);
}

/* Only where nobody but this local APIC wants to know of the EOI. */
void kvm_apic_offer_eoi(struct kvm_vcpu *vcpu, u8 vector)
{
	struct kvm_lapic *apic = vcpu->apic;
	int idx;

	if (highest_irr(apic) >= 0 || test_bit(vector, apic->eoi_vectors) ||
	    apic_test_vector(apic, APIC_TMR, vector))
		return;
	idx = srcu_read_lock(&vcpu->kvm->srcu);
	kvm_pv_offer_eoi(vcpu);
	srcu_read_unlock(&vcpu->kvm->srcu, idx);
}

void kvm_apic_settle_eoi(struct kvm_vcpu *vcpu)
{
	int idx = srcu_read_lock(&vcpu->kvm->srcu), ends = vcpu->pv.eoi_late;
	bool in_memory = kvm_pv_withdraw_eoi(vcpu);

	srcu_read_unlock(&vcpu->kvm->srcu, idx);
	vcpu->pv.eoi_late = 0;
	if (in_memory)
		end_in_memory(vcpu->apic);
	while (ends--)
		end_of_interrupt(vcpu->apic);
}

void kvm_apic_eoi_trapped(struct kvm_vcpu *vcpu, u8 vector)
{
	tell_ioapic(vcpu->apic, vector);
}

void kvm_apic_scan_ioapic(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->apic;

	kvm_apic_settle_eoi(vcpu);
	bitmap_zero(apic->eoi_vectors, 256);
	kvm_ioapic_eoi_vectors(vcpu, apic->eoi_vectors);
	if (vcpu->apicv_active)
		backend->apic_eoi_exits(vcpu, apic->eoi_vectors);
}

/* ---- identity and modes ------------------------------------------------- */

/* "... the logical x2APIC ID ... is derived from the x2APIC ID". */
static u32 x2apic_ldr(u32 id)
{
	return id >> 4 << 16 | BIT(id & 0xf);
}

/* "... the ability of software to modify the APIC ID is model specific." */
static bool id_is_writable(const struct kvm_lapic *apic)
{
	return !apic->x2apic && !guest_cpu_has(apic->vcpu, KVM_CPUF_X2APIC);
}

static void load_id(struct kvm_lapic *apic)
{
	u32 id = apic->vcpu->id;

	apic_set(apic, APIC_ID, apic->x2apic ? id : id << 24);
	if (apic->x2apic)
		apic_set(apic, APIC_LDR, x2apic_ldr(id));
}

static void update_enabled(struct kvm_lapic *apic)
{
	bool enabled = apic->hw_enabled &&
		       (apic_get(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED);

	if (enabled == apic->sw_enabled)
		return;
	WRITE_ONCE(apic->sw_enabled, enabled);
	/* What IRR holds was held back. */
	kvm_make_request(apic->vcpu, KVM_REQ_EVENT);
}

static u32 version(const struct kvm_lapic *apic)
{
	u32 v = APIC_VERSION_NUMBER | (APIC_LVT_COUNT - 1) << 16;

	/* Needs an I/O APIC with an EOI register: the monitor's. */
	if (apic->vcpu->kvm->irqchip_mode == KVM_IRQCHIP_SPLIT)
		v |= APIC_LVR_DIRECTED_EOI;
	return v;
}

static void update_lint0(struct kvm_lapic *apic)
{
	u32 entry = apic_get(apic, APIC_LVT0);
	bool nmi = !(entry & APIC_LVT_MASKED) &&
		   GET_APIC_DELIVERY_MODE(entry) == KVM_DELIVER_NMI;

	if (nmi != apic->lint0_nmi)
		atomic_add(nmi ? 1 : -1, &apic->vcpu->kvm->nr_lint0_nmi);
	apic->lint0_nmi = nmi;
}

static void note_timer(struct kvm_lapic *apic)
{
	apic->lvtt = apic_get(apic, APIC_LVTT);
	apic->tdcr = apic_get(apic, APIC_TDCR);
}

/*
 * "Local APIC State After Power-Up, Reset, or INIT". LINT0 of the first vCPU
 * is part of the interface: for guests whose firmware leaves it alone.
 */
static void reset_registers(struct kvm_lapic *apic)
{
	unsigned int lvt;

	apic_timer_stop(apic);
	memset(apic->regs, 0, KVM_APIC_REG_SIZE);
	apic_set(apic, APIC_LVR, version(apic));
	apic_set(apic, APIC_DFR, APIC_DFR_FLAT);
	apic_set(apic, APIC_SPIV, APIC_VECTOR_MASK);
	for_each_lvt(lvt)
		apic_set(apic, lvt, APIC_LVT_MASKED);
	if (!apic->vcpu->id && kvm_has_quirk(apic->vcpu->kvm,
					     KVM_X86_QUIRK_LINT0_REENABLED))
		apic_set(apic, APIC_LVT0, APIC_MODE_EXTINT << 8);
	load_id(apic);
	note_timer(apic);
	words_changed(apic);
	WRITE_ONCE(apic->errors, 0);
	update_lint0(apic);
	update_enabled(apic);
}

static void state_replaced(struct kvm_lapic *apic)
{
	apic_map_changed(apic);
	kvm_make_request(apic->vcpu, KVM_REQ_EVENT);
	if (apic->vcpu->apicv_active)
		backend->apic_reload(apic->vcpu);
}

/* INIT: "... except the APIC ID and arbitration ID registers". */
void kvm_lapic_reset(struct kvm_vcpu *vcpu, bool init)
{
	struct kvm_lapic *apic = vcpu->apic;
	u32 id = apic_get(apic, APIC_ID);
	u64 base = vcpu->msr.apic_base;

	apic->hw_enabled = base & MSR_IA32_APICBASE_ENABLE;
	apic->x2apic = base & X2APIC_ENABLE;
	reset_registers(apic);
	if (init && id_is_writable(apic))
		apic_set(apic, APIC_ID, id);
	state_replaced(apic);
	if (!init)
		WRITE_ONCE(apic->events, 0);
	if (backend->apic_mode)
		backend->apic_mode(vcpu);
}

/*
 * "x2APIC States": into x2APIC mode the registers stay as they are, but for
 * the IDs; leaving it, or disabling, loses them all.
 */
void kvm_apic_base_changed(struct kvm_vcpu *vcpu, u64 old)
{
	struct kvm_lapic *apic = vcpu->apic;
	u64 base = vcpu->msr.apic_base, changed = base ^ old;

	if (!apic)
		return;
	WRITE_ONCE(apic->hw_enabled, base & MSR_IA32_APICBASE_ENABLE);
	WRITE_ONCE(apic->x2apic, base & X2APIC_ENABLE);
	if (changed & old & (MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE))
		reset_registers(apic);
	if (changed & (MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE)) {
		load_id(apic);
		update_enabled(apic);
		state_replaced(apic);
	}
	if (changed && backend->apic_mode)
		backend->apic_mode(vcpu);
}

/* ---- writes ------------------------------------------------------------- */

/* With the new value in place; `old` is what was there. */

static void write_id(struct kvm_lapic *apic, u32 offset, u32 old)
{
	if (!id_is_writable(apic))
		load_id(apic);
	else if (apic_get(apic, APIC_ID) != old)
		apic_map_changed(apic);
}

static void write_tpr(struct kvm_lapic *apic, u32 offset, u32 old)
{
	kvm_apic_tpr_changed(apic->vcpu);
}

static void write_eoi(struct kvm_lapic *apic, u32 offset, u32 old)
{
	kvm_apic_eoi(apic->vcpu);
}

static void write_logical(struct kvm_lapic *apic, u32 offset, u32 old)
{
	if (apic_get(apic, offset) != old)
		apic_map_changed(apic);
}

static void write_dfr(struct kvm_lapic *apic, u32 offset, u32 old)
{
	apic_set(apic, APIC_DFR, apic_get(apic, APIC_DFR) | 0x0fffffff);
	write_logical(apic, offset, old);
}

static void drop_directed_eoi(struct kvm_lapic *apic)
{
	if (!(version(apic) & APIC_LVR_DIRECTED_EOI))
		apic_set(apic, APIC_SPIV, apic_get(apic, APIC_SPIV) &
					  ~APIC_SPIV_DIRECTED_EOI);
}

/* "... while the local APIC is disabled, all LVT entries are masked". */
static void write_svr(struct kvm_lapic *apic, u32 offset, u32 old)
{
	unsigned int lvt;

	drop_directed_eoi(apic);
	if (!(apic_get(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		for_each_lvt(lvt)
			apic_set(apic, lvt,
				 apic_get(apic, lvt) | APIC_LVT_MASKED);
	update_lint0(apic);
	update_enabled(apic);
}

/* The register shows what had gathered up to the last write to it. */
static void write_esr(struct kvm_lapic *apic, u32 offset, u32 old)
{
	apic_set(apic, APIC_ESR, xchg(&apic->errors, 0));
}

static void write_icr(struct kvm_lapic *apic, u32 offset, u32 old)
{
	apic_send_ipi(apic, apic_get(apic, APIC_ICR),
		      GET_XAPIC_DEST_FIELD(apic_get(apic, APIC_ICR2)));
}

static void write_lvt(struct kvm_lapic *apic, u32 offset, u32 old)
{
	u32 value = apic_get(apic, offset);

	if (!(apic_get(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		value |= APIC_LVT_MASKED;
	if (offset == APIC_LVTT &&
	    !guest_cpu_has(apic->vcpu, KVM_CPUF_TSC_DEADLINE))
		value &= ~(u32)APIC_LVT_TIMER_TSCDEADLINE;
	apic_set(apic, offset, value);
	if (offset == APIC_LVTT) {
		apic_timer_lvt_changed(apic, old);
		note_timer(apic);
	}
	/* An 8259 that waits may be let through now. */
	if (offset == APIC_LVT0) {
		update_lint0(apic);
		kvm_make_request(apic->vcpu, KVM_REQ_EVENT);
	}
}

static void write_tmict(struct kvm_lapic *apic, u32 offset, u32 old)
{
	apic_timer_start(apic);
}

static void write_tdcr(struct kvm_lapic *apic, u32 offset, u32 old)
{
	if (apic_get(apic, APIC_TDCR) != old)
		apic_timer_divide_changed(apic, old);
	note_timer(apic);
}

static void write_self_ipi(struct kvm_lapic *apic, u32 offset, u32 old)
{
	apic_send_ipi(apic, apic_get(apic, APIC_SELF_IPI) | APIC_DEST_SELF, 0);
	apic_set(apic, APIC_SELF_IPI, 0);
}

/* ---- the table: "Local APIC Register Address Map" ------------------------ */

#define XR	BIT(0)	/* xAPIC mode: may be read */
#define XW	BIT(1)	/* ... written */
#define MR	BIT(2)	/* x2APIC mode: may be read */
#define MW	BIT(3)	/* ... written */
#define RO	(XR | MR)
#define RW	(XR | XW | MR | MW)

struct apic_reg {
	u8 access;
	u32 bits;	/* that can be written */
	u32 ignored;	/* that are read-only: no #GP in x2APIC mode either */
	void (*write)(struct kvm_lapic *apic, u32 offset, u32 old);
};

#define LVT_STATUS	(APIC_SEND_PENDING)
#define LVT_BITS	(APIC_VECTOR_MASK | APIC_LVT_MASKED)
#define LVT_MODE_BITS	(LVT_BITS | APIC_MODE_MASK)
#define LVT_PIN_BITS	(LVT_MODE_BITS | APIC_INPUT_POLARITY |		\
			 APIC_LVT_LEVEL_TRIGGER)
#define LVT_TIMER_BITS	(LVT_BITS | APIC_LVT_TIMER_PERIODIC |		\
			 APIC_LVT_TIMER_TSCDEADLINE)
#define SVR_BITS	(APIC_VECTOR_MASK | APIC_SPIV_APIC_ENABLED |	\
			 APIC_SPIV_FOCUS_DISABLED | APIC_SPIV_DIRECTED_EOI)
#define ICR_BITS	(APIC_VECTOR_MASK | APIC_MODE_MASK |		\
			 APIC_DEST_LOGICAL | APIC_INT_ASSERT |		\
			 APIC_INT_LEVELTRIG | APIC_DEST_ALLBUT)
#define TDCR_BITS	0xbu

#define ROW(offset)	[(offset) >> 4]
#define ROWS(first)	[(first) >> 4 ... ((first) >> 4) + APIC_NR_WORDS - 1]

static const struct apic_reg apic_regs[APIC_REG_ROWS] = {
	ROW(APIC_ID)		= { XR | XW | MR, 0xff000000, 0, write_id },
	ROW(APIC_LVR)		= { RO },
	ROW(APIC_TASKPRI)	= { RW, 0xff, 0, write_tpr },
	ROW(APIC_ARBPRI)	= { XR },
	ROW(APIC_PROCPRI)	= { RO },
	ROW(APIC_EOI)		= { XW | MW, 0, 0, write_eoi },
	ROW(APIC_LDR)		= { XR | XW | MR, 0xff000000, 0, write_logical },
	ROW(APIC_DFR)		= { XR | XW, 0xf0000000, 0, write_dfr },
	ROW(APIC_SPIV)		= { RW, SVR_BITS, 0, write_svr },
	ROWS(APIC_ISR)		= { RO },
	ROWS(APIC_TMR)		= { RO },
	ROWS(APIC_IRR)		= { RO },
	ROW(APIC_ESR)		= { RW, 0, 0, write_esr },
	/* xAPIC: reserved bits read as they were written, as in the page. */
	ROW(APIC_ICR)		= { RW, ~(u32)APIC_ICR_BUSY, 0, write_icr },
	ROW(APIC_ICR2)		= { XR | XW, 0xff000000 },
	ROW(APIC_LVTT)		= { RW, LVT_TIMER_BITS, LVT_STATUS, write_lvt },
	ROW(APIC_LVTTHMR)	= { RW, LVT_MODE_BITS, LVT_STATUS, write_lvt },
	ROW(APIC_LVTPC)		= { RW, LVT_MODE_BITS, LVT_STATUS, write_lvt },
	ROW(APIC_LVT0)		= { RW, LVT_PIN_BITS,
				    LVT_STATUS | APIC_LVT_REMOTE_IRR, write_lvt },
	ROW(APIC_LVT1)		= { RW, LVT_PIN_BITS,
				    LVT_STATUS | APIC_LVT_REMOTE_IRR, write_lvt },
	ROW(APIC_LVTERR)	= { RW, LVT_BITS, LVT_STATUS, write_lvt },
	ROW(APIC_TMICT)		= { RW, ~0u, 0, write_tmict },
	ROW(APIC_TMCCT)		= { RO },
	ROW(APIC_TDCR)		= { RW, TDCR_BITS, 0, write_tdcr },
	ROW(APIC_SELF_IPI)	= { MW, APIC_VECTOR_MASK, 0, write_self_ipi },
};

static const struct apic_reg *find_reg(unsigned int offset)
{
	return &apic_regs[array_index_nospec(offset >> 4, APIC_REG_ROWS)];
}

/* EOI and ESR have no bits, and a write is all that counts. */
static void replace_reg(struct kvm_lapic *apic, unsigned int offset, u32 value,
			u32 old)
{
	const struct apic_reg *reg = find_reg(offset);

	apic_set(apic, offset, value & reg->bits);
	if (reg->write)
		reg->write(apic, offset, old);
}

static void write_reg(struct kvm_lapic *apic, unsigned int offset, u32 value)
{
	replace_reg(apic, offset, value, apic_get(apic, offset));
}

static u32 read_reg(struct kvm_lapic *apic, unsigned int offset)
{
	if (unlikely(kvm_pv_eoi_taken(apic->vcpu)))
		end_in_memory(apic);
	switch (offset) {
	case APIC_TMCCT:
		return apic_timer_count(apic);
	case APIC_PROCPRI:
		return update_ppr(apic);
	default:
		return apic_get(apic, offset);
	}
}

/* ---- xAPIC: memory ------------------------------------------------------ */

/* In x2APIC mode the page belongs to nobody: part of the interface. */
static bool is_hole(const struct kvm_vcpu *vcpu)
{
	return vcpu->apic->x2apic;
}

static bool apic_page_has(const struct kvm_vcpu *vcpu, gpa_t gpa)
{
	const struct kvm_lapic *apic = vcpu->apic;

	return apic && apic->hw_enabled &&
	       (gpa & PAGE_MASK) == (vcpu->msr.apic_base & PAGE_MASK) &&
	       (!is_hole(vcpu) || kvm_has_quirk(vcpu->kvm,
						KVM_X86_QUIRK_LAPIC_MMIO_HOLE));
}

/* Registers are 32 bits wide at the beginning of 16 bytes. */
static bool xapic_may(struct kvm_lapic *apic, unsigned int offset, u8 access)
{
	const struct apic_reg *reg = find_reg(offset);

	if (offset >= APIC_REG_ROWS * 16 || !(reg->access & (XR | XW)))
		apic_error(apic, ESR_ILLEGAL_REGISTER);
	else
		return reg->access & access;
	return false;
}

int kvm_apic_mmio_read(struct kvm_vcpu *vcpu, gpa_t gpa, unsigned int len,
		       void *data)
{
	struct kvm_lapic *apic = vcpu->apic;
	unsigned int offset = gpa & ~PAGE_MASK;
	u32 value = 0;

	if (!apic_page_has(vcpu, gpa))
		return -EOPNOTSUPP;
	memset(data, is_hole(vcpu) ? 0xff : 0, len);
	if (is_hole(vcpu) || offset % 16 + len > sizeof(value))
		return 0;
	if (xapic_may(apic, offset, XR)) {
		value = read_reg(apic, offset & ~15u);
		trace_kvm_apic(false, offset & ~15u, value);
	}
	memcpy(data, (u8 *)&value + offset % 16, len);
	return 0;
}

/* All else than 32 aligned bits is undefined, and does nothing. */
int kvm_apic_mmio_write(struct kvm_vcpu *vcpu, gpa_t gpa, unsigned int len,
			const void *data)
{
	unsigned int offset = gpa & ~PAGE_MASK;
	u32 value;

	if (!apic_page_has(vcpu, gpa))
		return -EOPNOTSUPP;
	if (is_hole(vcpu) || len != sizeof(value) || offset % 16)
		return 0;
	memcpy(&value, data, sizeof(value));
	if (!xapic_may(vcpu->apic, offset, XW))
		return 0;
	trace_kvm_apic(true, offset, value);
	write_reg(vcpu->apic, offset, value);
	return 0;
}

/* ---- x2APIC: MSRs ------------------------------------------------------- */

#define X2APIC_MSR_BASE		APIC_BASE_MSR
#define X2APIC_MSR_ICR		(X2APIC_MSR_BASE + (APIC_ICR >> 4))

/* The 64 bits lie together, as virtualised reads want them. */
static u64 *x2apic_icr(struct kvm_lapic *apic)
{
	return apic->regs + APIC_ICR;
}

static int write_x2apic_icr(struct kvm_lapic *apic, u64 value)
{
	if (lower_32_bits(value) & ~(ICR_BITS | APIC_ICR_BUSY))
		return 1;
	value &= ~(u64)APIC_ICR_BUSY;
	*x2apic_icr(apic) = value;
	apic_send_ipi(apic, lower_32_bits(value), upper_32_bits(value));
	return 0;
}

static const struct apic_reg *x2apic_reg(struct kvm_vcpu *vcpu, u32 msr,
					 u8 access)
{
	unsigned int row = msr - X2APIC_MSR_BASE;

	if (!vcpu->apic || !vcpu->apic->x2apic || row >= APIC_REG_ROWS)
		return NULL;
	row = array_index_nospec(row, APIC_REG_ROWS);
	return apic_regs[row].access & access ? &apic_regs[row] : NULL;
}

int kvm_x2apic_read(struct kvm_vcpu *vcpu, u32 msr, u64 *data)
{
	struct kvm_lapic *apic = vcpu->apic;

	if (!x2apic_reg(vcpu, msr, MR))
		return 1;
	if (msr == X2APIC_MSR_ICR)
		*data = *x2apic_icr(apic);
	else
		*data = read_reg(apic, (msr - X2APIC_MSR_BASE) << 4);
	trace_kvm_apic(false, (msr - X2APIC_MSR_BASE) << 4, *data);
	return 0;
}

int kvm_x2apic_write(struct kvm_vcpu *vcpu, u32 msr, u64 data)
{
	const struct apic_reg *reg = x2apic_reg(vcpu, msr, MW);

	if (unlikely(!reg))
		return 1;
	trace_kvm_apic(true, (msr - X2APIC_MSR_BASE) << 4, data);
	if (msr == X2APIC_MSR_ICR)
		return write_x2apic_icr(vcpu->apic, data);
	if (unlikely(data & ~(u64)(reg->bits | reg->ignored)))
		return 1;
	write_reg(vcpu->apic, (msr - X2APIC_MSR_BASE) << 4, data);
	return 0;
}

/* ---- what the processor virtualises ------------------------------------- */

void *kvm_apic_regs(struct kvm_vcpu *vcpu)
{
	return vcpu->apic->regs;
}

/* The page has the new value already. Where nobody knows the old: another. */
static u32 overwritten(const struct kvm_lapic *apic, unsigned int offset)
{
	switch (offset) {
	case APIC_LVTT:
		return apic->lvtt;
	case APIC_TDCR:
		return apic->tdcr;
	default:
		return ~apic_get(apic, offset);
	}
}

void kvm_apic_write_trapped(struct kvm_vcpu *vcpu, unsigned int offset)
{
	struct kvm_lapic *apic = vcpu->apic;

	offset &= ~15u;
	if (offset >= APIC_REG_ROWS * 16)
		return;
	if (apic->x2apic && offset == APIC_ICR)
		write_x2apic_icr(apic, *x2apic_icr(apic));
	else
		replace_reg(apic, offset, apic_get(apic, offset),
			    overwritten(apic, offset));
}

/* ---- for the run loop --------------------------------------------------- */

bool kvm_apic_takes_extint(struct kvm_vcpu *vcpu)
{
	const struct kvm_lapic *apic = vcpu->apic;
	u32 entry = apic_get(apic, APIC_LVT0);

	/* Disabled, INTR is the processor's own pin. */
	if (!apic->hw_enabled || (apic->events & BIT(APIC_EVENT_EXTINT)))
		return true;
	return !(entry & APIC_LVT_MASKED) &&
	       GET_APIC_DELIVERY_MODE(entry) == KVM_DELIVER_EXTINT;
}

u8 kvm_apic_acknowledge_extint(struct kvm_vcpu *vcpu)
{
	clear_bit(APIC_EVENT_EXTINT, &vcpu->apic->events);
	return kvm_pic_acknowledge(vcpu->kvm);
}

bool kvm_apic_has_events(struct kvm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->apic->events) &
	       (BIT(APIC_EVENT_INIT) | BIT(APIC_EVENT_SIPI));
}

/* "MP Initialization Protocol": INIT, then start at a page below 1M. */
void kvm_apic_accept_events(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->apic;

	if (test_and_clear_bit(APIC_EVENT_INIT, &apic->events)) {
		kvm_vcpu_reset(vcpu, true);
		vcpu->mp_state = vcpu->msr.apic_base & MSR_IA32_APICBASE_BSP ?
				 KVM_MP_STATE_RUNNABLE :
				 KVM_MP_STATE_INIT_RECEIVED;
	}
	if (!test_and_clear_bit(APIC_EVENT_SIPI, &apic->events))
		return;
	smp_rmb();	/* pairs with that before it was set */
	if (vcpu->mp_state != KVM_MP_STATE_INIT_RECEIVED)
		return;
	kvm_vcpu_start_at(vcpu, READ_ONCE(apic->sipi_vector));
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
}

void kvm_apic_set_sipi(struct kvm_vcpu *vcpu, int vector)
{
	if (vector >= 0)
		vcpu->apic->sipi_vector = vector;
	else
		set_bit(APIC_EVENT_SIPI, &vcpu->apic->events);
}

/* ---- state -------------------------------------------------------------- */

/*
 * The monitor's format is that of the page, but that an x2APIC ID is in bits
 * 31 to 24 unless KVM_CAP_X2APIC_API asks for all 32, and that the upper half
 * of ICR is where xAPIC has it.
 */
static void *user_reg(struct kvm_lapic_state *s, unsigned int offset)
{
	return s->regs + offset;
}

int kvm_get_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s)
{
	struct kvm_lapic *apic = vcpu->apic;

	if (!apic)
		return -EINVAL;
	kvm_apic_settle_eoi(vcpu);
	if (kvm_apic_timer_pending(vcpu))
		kvm_apic_inject_timer(vcpu);
	if (vcpu->apicv_active)
		backend->apic_take_posted(vcpu);
	update_ppr(apic);
	apic_set(apic, APIC_TMCCT, apic_timer_count(apic));
	memcpy(s->regs, apic->regs, sizeof(s->regs));
	if (!apic->x2apic)
		return 0;
	if (!vcpu->kvm->x2apic_format)
		*(u32 *)user_reg(s, APIC_ID) <<= 24;
	*(u32 *)user_reg(s, APIC_ICR2) = upper_32_bits(*x2apic_icr(apic));
	*((u32 *)user_reg(s, APIC_ICR) + 1) = 0;
	return 0;
}

/* The ID of an x2APIC is who it is; an xAPIC's may have been written. */
static bool id_valid(const struct kvm_lapic *apic, struct kvm_lapic_state *s)
{
	u32 id = *(u32 *)user_reg(s, APIC_ID);

	if (!apic->x2apic)
		return true;
	if (!apic->vcpu->kvm->x2apic_format)
		return id >> 24 == (apic->vcpu->id & 0xff);
	return id == apic->vcpu->id;
}

/* No bit is set that a write could not have set. */
static void sanitise(struct kvm_lapic *apic)
{
	unsigned int row;

	for (row = 0; row < APIC_REG_ROWS; row++)
		if (apic_regs[row].bits)
			apic_set(apic, row << 4, apic_get(apic, row << 4) &
						 apic_regs[row].bits);
	apic_set(apic, APIC_DFR, apic_get(apic, APIC_DFR) | 0x0fffffff);
	apic_set(apic, APIC_LVR, version(apic));
	drop_directed_eoi(apic);
	if (!id_is_writable(apic))
		load_id(apic);
	note_timer(apic);
}

int kvm_set_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s)
{
	struct kvm_lapic *apic = vcpu->apic;
	u32 icr2 = *(u32 *)user_reg(s, APIC_ICR2);

	if (!apic || !id_valid(apic, s))
		return -EINVAL;
	kvm_apic_settle_eoi(vcpu);
	if (vcpu->apicv_active)
		backend->apic_take_posted(vcpu);
	memcpy(apic->regs, s->regs, sizeof(s->regs));
	sanitise(apic);
	if (apic->x2apic)
		*x2apic_icr(apic) = (apic_get(apic, APIC_ICR) & ICR_BITS) |
				    (u64)icr2 << 32;
	words_changed(apic);
	WRITE_ONCE(apic->errors, 0);
	update_lint0(apic);
	update_enabled(apic);
	apic_timer_resume(apic, apic_get(apic, APIC_TMCCT));
	state_replaced(apic);
	kvm_make_request(vcpu, KVM_REQ_SCAN_IOAPIC);
	kvm_apic_map_update(vcpu->kvm);
	return 0;
}

/* ---- life --------------------------------------------------------------- */

int kvm_lapic_create(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = kzalloc(sizeof(*apic), GFP_KERNEL_ACCOUNT);

	if (!apic)
		return -ENOMEM;
	apic->regs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!apic->regs) {
		kfree(apic);
		return -ENOMEM;
	}
	apic->vcpu = vcpu;
	apic_timer_init(apic);
	vcpu->apic = apic;
	return 0;
}

/* No one can send to it any more. */
void kvm_lapic_free(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->apic;

	if (!apic)
		return;
	hrtimer_cancel(&apic->timer.hrtimer);
	free_page((unsigned long)apic->regs);
	kfree(apic);
	vcpu->apic = NULL;
}
