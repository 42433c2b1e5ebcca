// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's registers, as xAPIC and as x2APIC: what can be read and
 * written, priorities and EOI, errors, the base MSR, and state in and out.
 * Timers are in apic_timer.c, what APICs send each other in ipi.c.
 */
#include <errno.h>
#include <string.h>

#include "irqchip.h"

/* A VM with one vCPU, and its APIC on. */
static struct vcpu *one(bool x2)
{
	return remote_vm(x2, 1)->vcpus[0];
}

static void self_ipi(struct vcpu *v, u32 vector)
{
	remote_icr(v, 0, ICR_SELF | ICR_ASSERT | vector);
}

/* After power-up. SDM, "Local APIC State After Power-Up or Reset". */

static void check_reset_registers(struct kvm_lapic_state *s)
{
	static const struct { u32 reg, want; } regs[] = {
		{ APIC_TPR, 0 }, { APIC_PPR, 0 }, { APIC_LDR, 0 },
		{ APIC_DFR, 0xffffffff }, { APIC_SVR, 0xff }, { APIC_ESR, 0 },
		{ APIC_LVT_TIMER, LVT_MASKED }, { APIC_LVT_THERMAL, LVT_MASKED },
		{ APIC_LVT_PERF, LVT_MASKED }, { APIC_LVT_LINT1, LVT_MASKED },
		{ APIC_LVT_ERROR, LVT_MASKED }, { APIC_TMICT, 0 },
		{ APIC_TMCCT, 0 }, { APIC_TDCR, 0 },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(regs); i++)
		row(LAPIC_REG(s, regs[i].reg) == regs[i].want,
		    "register %x: got %x, expected %x", regs[i].reg,
		    LAPIC_REG(s, regs[i].reg), regs[i].want);
	for (i = 0; i < 8; i++)
		row(!LAPIC_REG(s, APIC_ISR + i * 16) &&
		    !LAPIC_REG(s, APIC_TMR + i * 16) &&
		    !LAPIC_REG(s, APIC_IRR + i * 16),
		    "interrupts around vector %u", i * 32);
}

TEST(after_reset)
{
	struct vm *vm = vm_irqchip();
	struct kvm_lapic_state s;
	struct kvm_sregs sregs;
	struct vcpu *v;
	u32 id;

	for (id = 0; id <= 3; id += 3) {
		v = vcpu_apic(vm, id);
		get_lapic(v, &s);
		check_reset_registers(&s);
		EQ(LAPIC_REG(&s, APIC_ID), id << 24);
		EQ(LAPIC_REG(&s, APIC_VERSION) & 0xf0, 0x10);
		CHECK((LAPIC_REG(&s, APIC_VERSION) >> 16 & 0xff) >= 4);
		get_sregs(v, &sregs);
		EQ(sregs.apic_base, APIC_DEFAULT_BASE | APIC_BASE_ENABLED |
		   (id ? 0 : APIC_BASE_BSP));
		EQ(get_mp_state(v), id ? KVM_MP_STATE_UNINITIALIZED :
		   KVM_MP_STATE_RUNNABLE);
	}
	vm_free(vm);
}

/* The firmware's view: ExtINT through LINT0 of the first, as on a board. */
TEST(virtual_wire_of_the_first)
{
	struct vm *vm = vm_irqchip();

	EQ(lapic_reg(vcpu_apic(vm, 0), APIC_LVT_LINT0), ICR_EXTINT);
	vm_free(vm);
}

/* Registers that hold what is written, and which bits of them. */

static const struct holds {
	const char *name;
	u32 reg, bits, always;
} holds[] = {
	{ "TPR", APIC_TPR, 0xff, 0 },
	{ "SVR", APIC_SVR, 0x1ff, 0 },
	{ "timer", APIC_LVT_TIMER, 0x700ff & ~LVT_DEADLINE, 0 },
	{ "thermal", APIC_LVT_THERMAL, 0x107ff, 0 },
	{ "perf", APIC_LVT_PERF, 0x107ff, 0 },
	{ "LINT0", APIC_LVT_LINT0, 0x1a7ff, 0 },
	{ "LINT1", APIC_LVT_LINT1, 0x1a7ff, 0 },
	{ "error", APIC_LVT_ERROR, 0x100ff, 0 },
	{ "TMICT", APIC_TMICT, 0xffffffff, 0 },
	{ "TDCR", APIC_TDCR, 0xb, 0 },
	{ "LDR", APIC_LDR, 0xff000000, 0 },
	{ "DFR", APIC_DFR, 0xf0000000, 0x0fffffff },
};

/* What there is in x2APIC mode too, or can be written there. */
static bool xapic_only(u32 reg)
{
	return reg == APIC_LDR || reg == APIC_DFR;
}

static void holds_value(struct vcpu *v, const struct holds *h, u32 value)
{
	u32 got;

	remote_apic_write(v, h->reg, value);
	got = remote_apic_read(v, h->reg);
	row(got == ((value & h->bits) | h->always),
	    "%s: wrote %x, read %x", h->name, value, got);
}

/* Masked entries and a stopped timer, so that nothing happens meanwhile. */
BOTH_MODES(registers_hold_values)
{
	struct vcpu *v = one(x2);
	u32 i, bit;

	for (i = 0; i < ARRAY_SIZE(holds); i++) {
		const struct holds *h = &holds[i];
		u32 keep = h->reg == APIC_SVR ? SVR_ENABLED :
			   h->bits & LVT_MASKED &&
			   h->reg != APIC_TMICT ? LVT_MASKED : 0;

		if (x2 && xapic_only(h->reg))
			continue;
		for (bit = 0; bit < 32; bit++) {
			if (h->bits >> bit & 1)
				holds_value(v, h, keep | 1u << bit);
		}
		holds_value(v, h, h->bits);
		holds_value(v, h, keep);
		if (h->reg == APIC_SVR)
			remote_apic_write(v, APIC_SVR,
					  SVR_ENABLED | VEC_SPURIOUS);
		else if (keep)
			remote_apic_write(v, h->reg, LVT_MASKED);
	}
	vm_free(v->vm);
}

/* Reserved bits: ignored in xAPIC mode, #GP in x2APIC mode. */

static void reserved_bit(struct vcpu *v, const struct holds *h, u32 bit)
{
	u32 keep = h->reg == APIC_SVR ? SVR_ENABLED | VEC_SPURIOUS :
		   h->bits & LVT_MASKED ? LVT_MASKED : 0;
	u64 value = keep | BIT(bit);
	u32 vector, got;

	if (guest_x2apic) {
		vector = remote_wrmsr(v, X2APIC_MSR(h->reg), value);
		row(vector == VEC_GP, "%s bit %u: vector %u", h->name, bit,
		    vector);
		return;
	}
	remote_apic_write(v, h->reg, value);
	got = remote_apic_read(v, h->reg);
	row(got == (keep | h->always), "%s bit %u: read %x", h->name, bit, got);
}

/*
 * Not asked for: what is read-only in these registers (delivery status,
 * remote IRR) and what some processors have (SVR bits 9 and 12).
 */
static u32 maybe_there(u32 reg)
{
	switch (reg) {
	case APIC_SVR:
		return 0x1200;
	case APIC_LVT_LINT0:
	case APIC_LVT_LINT1:
		return 0x5000;
	case APIC_LVT_TIMER:
		return 0x41000;
	case APIC_LVT_THERMAL:
	case APIC_LVT_PERF:
	case APIC_LVT_ERROR:
		return 0x1000;
	}
	return 0;
}

BOTH_MODES(reserved_bits)
{
	struct vcpu *v = one(x2);
	u32 i, bit;

	if (x2 && kvm_in_tree())
		skip("in-tree ignores reserved bits; the SDM says #GP");
	guest_x2apic = x2;
	for (i = 0; i < ARRAY_SIZE(holds); i++) {
		const struct holds *h = &holds[i];

		if (h->reg == APIC_TMICT || (x2 && xapic_only(h->reg)))
			continue;
		for (bit = 0; bit < 32; bit++) {
			if (!((h->bits | maybe_there(h->reg)) >> bit & 1))
				reserved_bit(v, h, bit);
		}
	}
	vm_free(v->vm);
}

/* Bits 63:32 are reserved in all of them but the ICR. */
TEST(upper_half_reserved_x2apic)
{
	struct vcpu *v = one(true);
	u32 i, vector;

	for (i = 0; i < ARRAY_SIZE(holds); i++) {
		if (xapic_only(holds[i].reg))
			continue;
		vector = remote_wrmsr(v, X2APIC_MSR(holds[i].reg),
				      BIT(32) | LVT_MASKED);
		row(vector == VEC_GP, "%s: vector %u", holds[i].name, vector);
	}
	vm_free(v->vm);
}

/* SDM, "Register Address Space" of the x2APIC. */
static const struct x2apic_access {
	u32 msr;
	bool reads, writes;		/* without #GP, writing 0 */
	bool in_tree_differs;
} x2apic_accesses[] = {
	{ 0x800, false, false }, { 0x801, false, false },
	{ 0x802, true, false }, { 0x803, true, false },
	{ 0x804, false, false }, { 0x807, false, false },
	{ 0x808, true, true },
	{ 0x809, false, false, true },		/* APR */
	{ 0x80a, true, false }, { 0x80b, false, true },
	{ 0x80c, false, false, true },		/* RRD */
	{ 0x80d, true, false },
	{ 0x80e, false, false }, { 0x810, true, false }, { 0x817, true, false },
	{ 0x818, true, false }, { 0x820, true, false }, { 0x827, true, false },
	{ 0x828, true, true }, { 0x829, false, false }, { 0x82e, false, false },
	{ 0x831, false, false }, { 0x838, true, true }, { 0x839, true, false },
	{ 0x83a, false, false }, { 0x83d, false, false }, { 0x83e, true, true },
	{ 0x840, false, false }, { 0x8fe, false, false }, { 0x8ff, false, false },
};

TEST(access_x2apic)
{
	struct vcpu *v = one(true);
	u32 i, vector;
	u64 value;

	for (i = 0; i < ARRAY_SIZE(x2apic_accesses); i++) {
		const struct x2apic_access *a = &x2apic_accesses[i];

		if (a->in_tree_differs && kvm_in_tree())
			continue;
		vector = remote_rdmsr(v, a->msr, &value);
		row(vector == (a->reads ? VEC_NONE : VEC_GP),
		    "read of %x: vector %u", a->msr, vector);
		vector = remote_wrmsr(v, a->msr, 0);
		row(vector == (a->writes ? VEC_NONE : VEC_GP),
		    "write of %x: vector %u", a->msr, vector);
	}
	/* The self-IPI register can only be written. */
	EQ(remote_rdmsr(v, 0x83f, &value), VEC_GP);
	EQ(remote_wrmsr(v, 0x83f, 0x40), VEC_NONE);
	EQ(remote_wrmsr(v, 0x828, 1), VEC_GP);		/* ESR takes 0 only */
	if (!kvm_in_tree())
		EQ(remote_wrmsr(v, 0x80b, 1), VEC_GP);	/* and so does EOI */
	vm_free(v->vm);
}

/* Another mode's interface: #GP, and a page that is no longer there. */
TEST(interface_of_the_other_mode)
{
	struct vcpu *v = one(false);
	u64 value;
	u32 msr;

	for (msr = 0x802; msr < 0x840; msr++) {
		row(remote_rdmsr(v, msr, &value) == VEC_GP, "read of %x", msr);
		row(remote_wrmsr(v, msr, 0) == VEC_GP, "write of %x", msr);
	}
	vm_free(v->vm);
	v = one(true);
	remote_apic_write(v, APIC_TPR, 0x20);
	G(v->vm, guest_x2apic) = false;
	EQ(remote_apic_read(v, APIC_TPR), 0xffffffff);
	remote_apic_write(v, APIC_TPR, 0x30);
	G(v->vm, guest_x2apic) = true;
	EQ(remote_apic_read(v, APIC_TPR), 0x20);
	vm_free(v->vm);
}

/* Registers that cannot be written stay as they are. */
TEST(read_only_xapic)
{
	static const u32 regs[] = {
		APIC_VERSION, APIC_PPR, APIC_ISR, APIC_ISR + 0x70, APIC_TMR,
		APIC_TMR + 0x20, APIC_IRR, APIC_IRR + 0x70, APIC_TMCCT,
	};
	struct vcpu *v = one(false);
	u32 i, before, after;

	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		before = remote_apic_read(v, regs[i]);
		remote_apic_write(v, regs[i], ~before);
		after = remote_apic_read(v, regs[i]);
		row(after == before, "%x: %x became %x", regs[i], before,
		    after);
	}
	vm_free(v->vm);
}

/* Interrupts that wait, are in service, and come to an end. */

BOTH_MODES(highest_first)
{
	struct vcpu *v = one(x2);
	u32 i;

	self_ipi(v, 0x41);
	self_ipi(v, 0xe1);
	self_ipi(v, 0x42);
	self_ipi(v, 0x90);
	EQ(lapic_bit(v, APIC_IRR, 0x41), 1);
	EQ(remote_apic_read(v, APIC_IRR + 0x20), 6);
	EQ(remote_window(v), 4);
	EQ(PERCPU(v).log[0], 0xe1);
	EQ(PERCPU(v).log[1], 0x90);
	EQ(PERCPU(v).log[2], 0x42);
	EQ(PERCPU(v).log[3], 0x41);
	for (i = 0; i < 8; i++) {
		EQ(remote_apic_read(v, APIC_IRR + i * 16), 0);
		EQ(remote_apic_read(v, APIC_ISR + i * 16), 0);
	}
	vm_free(v->vm);
}

/* The same vector twice is one interrupt. */
BOTH_MODES(merged_in_irr)
{
	struct vcpu *v = one(x2);

	self_ipi(v, 0x41);
	self_ipi(v, 0x41);
	EQ(remote_window(v), 1);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/* But one may wait while its vector is in service. */
BOTH_MODES(same_vector_in_service)
{
	struct vcpu *v = one(x2);

	PERCPU(v).no_eoi = true;
	self_ipi(v, 0x41);
	EQ(remote_window(v), 1);
	self_ipi(v, 0x41);
	EQ(lapic_bit(v, APIC_ISR, 0x41), 1);
	EQ(lapic_bit(v, APIC_IRR, 0x41), 1);
	EQ(remote_window(v), 0);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).count[0x41], 2);
	vm_free(v->vm);
}

BOTH_MODES(every_vector)
{
	struct vcpu *v = one(x2);
	u32 i;

	for (i = 32; i < 256; i++) {
		self_ipi(v, i);
		row(remote_window(v) == 1 && PERCPU(v).count[i] == 1,
		    "vector %u", i);
	}
	vm_free(v->vm);
}

/* Classes: an interrupt in service holds back its own and lower ones. */
BOTH_MODES(in_service_holds_back)
{
	struct vcpu *v = one(x2);

	PERCPU(v).no_eoi = true;
	self_ipi(v, 0x51);
	EQ(remote_window(v), 1);
	EQ(remote_apic_read(v, APIC_PPR), 0x50);
	self_ipi(v, 0x4f);
	self_ipi(v, 0x5f);
	EQ(remote_window(v), 0);
	self_ipi(v, 0x60);
	EQ(remote_window(v), 1);
	EQ(remote_apic_read(v, APIC_PPR), 0x60);
	/* EOI ends the highest: 60H, then 51H, which lets 5FH through. */
	remote_apic_write(v, APIC_EOI, 0);
	EQ(lapic_bit(v, APIC_ISR, 0x60), 0);
	EQ(lapic_bit(v, APIC_ISR, 0x51), 1);
	EQ(remote_window(v), 0);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).log[2], 0x5f);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).log[3], 0x4f);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(remote_apic_read(v, APIC_PPR), 0);
	vm_free(v->vm);
}

/* Handlers that let higher ones in: in order of arrival, out in reverse. */
static volatile u32 deepest, depth;

static void g_nest(struct trap_frame *f)
{
	if (++depth > deepest)
		deepest = depth;
	if (f->vector < 0x80) {
		apic_icr(0, ICR_SELF | ICR_ASSERT | (f->vector + 0x10));
		asm volatile("sti; nop; nop; cli" : : : "memory");
		G_EQ(apic_read(APIC_PPR), f->vector & 0xf0);
	}
	depth--;
}

BOTH_MODES(nested_handlers)
{
	struct vcpu *v = one(x2);
	u32 i;

	PERCPU(v).hook = g_nest;
	self_ipi(v, 0x31);
	EQ(remote_window(v), 6);
	for (i = 0; i < 6; i++)
		EQ(PERCPU(v).log[i], 0x31 + i * 0x10);
	EQ(G(v->vm, deepest), 6);
	for (i = 0; i < 8; i++)
		EQ(remote_apic_read(v, APIC_ISR + i * 16), 0);
	vm_free(v->vm);
}

BOTH_MODES(eoi_of_nothing)
{
	struct vcpu *v = one(x2);

	self_ipi(v, 0x41);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(lapic_bit(v, APIC_IRR, 0x41), 1);
	EQ(remote_window(v), 1);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/* Task priority, through the register and through CR8. */

static u64 g_read_cr8(u64 a, u64 b)
{
	(void)a;
	(void)b;
	return read_cr8();
}

static u64 g_write_cr8(u64 value, u64 b)
{
	(void)b;
	return try_write_cr8(value);
}

BOTH_MODES(task_priority)
{
	struct vcpu *v = one(x2);
	u32 class;

	for (class = 3; class < 16; class++) {
		u32 vector = class << 4 | 5;

		log_clear(v);
		self_ipi(v, vector);
		remote_apic_write(v, APIC_TPR, class << 4);
		EQ(remote_apic_read(v, APIC_PPR), class << 4);
		row(remote_window(v) == 0, "class %u held back", class);
		remote_apic_write(v, APIC_TPR, (class - 1) << 4 | 0xf);
		EQ(remote_apic_read(v, APIC_PPR), (class - 1) << 4 | 0xf);
		row(remote_window(v) == 1, "class %u let through", class);
		EQ(PERCPU(v).log[0], vector);
	}
	vm_free(v->vm);
}

BOTH_MODES(cr8)
{
	struct vcpu *v = one(x2);
	u32 class;

	for (class = 0; class < 16; class++) {
		remote_apic_write(v, APIC_TPR, class << 4 | 7);
		row(remote(v, g_read_cr8, 0, 0) == class, "CR8 of class %u",
		    class);
		remote(v, g_write_cr8, class, 0);
		row(remote_apic_read(v, APIC_TPR) == class << 4,
		    "TPR of class %u", class);
	}
	EQ(remote(v, g_write_cr8, 16, 0), VEC_GP);
	self_ipi(v, 0x75);
	remote(v, g_write_cr8, 7, 0);
	EQ(remote_window(v), 0);
	remote(v, g_write_cr8, 6, 0);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

/* In the middle of code with interrupts on, a lower CR8 lets one in at once. */
static u64 g_lower_cr8(u64 a, u64 b)
{
	u32 before, after;

	(void)a;
	(void)b;
	write_cr8(15);
	apic_icr(0, ICR_SELF | ICR_ASSERT | 0x55);
	sti();
	asm volatile("nop; nop; nop");
	before = this_cpu()->taken;
	write_cr8(4);
	asm volatile("nop; nop; nop");
	after = this_cpu()->taken;
	cli();
	return before << 8 | after;
}

BOTH_MODES(lower_cr8_delivers)
{
	struct vcpu *v = one(x2);

	EQ(remote(v, g_lower_cr8, 0, 0), 1);
	vm_free(v->vm);
}

/* The same for TPR, with the task priority above what is in service. */
BOTH_MODES(processor_priority)
{
	struct vcpu *v = one(x2);

	PERCPU(v).no_eoi = true;
	self_ipi(v, 0x62);
	EQ(remote_window(v), 1);
	EQ(remote_apic_read(v, APIC_PPR), 0x60);
	remote_apic_write(v, APIC_TPR, 0x5f);
	EQ(remote_apic_read(v, APIC_PPR), 0x60);
	remote_apic_write(v, APIC_TPR, 0x73);
	EQ(remote_apic_read(v, APIC_PPR), 0x73);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(remote_apic_read(v, APIC_PPR), 0x73);
	remote_apic_write(v, APIC_TPR, 0);
	EQ(remote_apic_read(v, APIC_PPR), 0);
	vm_free(v->vm);
}

/* SDM, "Local APIC State After It Has Been Software Disabled". */

BOTH_MODES(software_disabled)
{
	struct vcpu *v = one(x2);

	remote_apic_write(v, APIC_LVT_LINT1, 0x41);
	remote_apic_write(v, APIC_LVT_TIMER, 0x42);
	remote_apic_write(v, APIC_SVR, VEC_SPURIOUS);
	EQ(remote_apic_read(v, APIC_LVT_LINT1), LVT_MASKED | 0x41);
	EQ(remote_apic_read(v, APIC_LVT_TIMER), LVT_MASKED | 0x42);
	remote_apic_write(v, APIC_LVT_LINT1, 0x43);	/* stays masked */
	EQ(remote_apic_read(v, APIC_LVT_LINT1), LVT_MASKED | 0x43);
	/* NMIs go through all the same. */
	remote_icr(v, 0, ICR_ASSERT | ICR_NMI);
	EQ(PERCPU(v).count[VEC_NMI], 1);
	remote_apic_write(v, APIC_SVR, SVR_ENABLED | VEC_SPURIOUS);
	EQ(remote_apic_read(v, APIC_LVT_LINT1), LVT_MASKED | 0x43);
	self_ipi(v, 0x41);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

/* Errors: vectors below 16, and registers that are not there. */

static u32 read_esr(struct vcpu *v)
{
	remote_apic_write(v, APIC_ESR, 0);
	return remote_apic_read(v, APIC_ESR);
}

enum {
	ESR_SEND_VECTOR		= 1 << 5,
	ESR_RECEIVE_VECTOR	= 1 << 6,
	ESR_REGISTER		= 1 << 7,
};

static void need_esr(void)
{
	if (kvm_in_tree())
		skip("in-tree never sets a bit of the ESR");
}

BOTH_MODES(illegal_vector_sent)
{
	struct vcpu *v = one(x2);
	u32 vector;

	need_esr();
	EQ(read_esr(v), 0);
	for (vector = 0; vector < 16; vector++) {
		self_ipi(v, vector);
		row(read_esr(v) & ESR_SEND_VECTOR, "vector %u", vector);
		row(read_esr(v) == 0, "vector %u, cleared", vector);
	}
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/* From outside, or of the local vector table. */
BOTH_MODES(illegal_vector_received)
{
	struct vcpu *v = one(x2);
	u32 vector;

	need_esr();
	for (vector = 0; vector < 16; vector++) {
		signal_msi(v->vm, APIC_DEFAULT_BASE, vector);
		row(read_esr(v) == ESR_RECEIVE_VECTOR, "message %u", vector);
		remote_apic_write(v, APIC_LVT_TIMER, vector);
		remote_apic_write(v, APIC_TMICT, 1);
		EQ(remote_window(v), 0);
		row(read_esr(v) == ESR_RECEIVE_VECTOR, "timer %u", vector);
	}
	vm_free(v->vm);
}

BOTH_MODES(error_interrupt)
{
	struct vcpu *v = one(x2);

	need_esr();
	remote_apic_write(v, APIC_LVT_ERROR, 0x47);
	self_ipi(v, 3);
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).log[0], 0x47);
	/* Masked, the bit alone. */
	EQ(read_esr(v) & ESR_SEND_VECTOR, ESR_SEND_VECTOR);
	remote_apic_write(v, APIC_LVT_ERROR, LVT_MASKED | 0x47);
	self_ipi(v, 3);
	EQ(remote_window(v), 0);
	EQ(read_esr(v) & ESR_SEND_VECTOR, ESR_SEND_VECTOR);
	vm_free(v->vm);
}

TEST(illegal_register_xapic)
{
	static const u32 regs[] = { 0x40, 0x70, 0x290, 0x3a0, 0x3d0, 0x3f0 };
	struct vcpu *v = one(false);
	u32 i;

	need_esr();
	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		remote_apic_read(v, regs[i]);
		row(read_esr(v) & ESR_REGISTER, "read of %x", regs[i]);
		remote_apic_write(v, regs[i], 0);
		row(read_esr(v) & ESR_REGISTER, "write of %x", regs[i]);
	}
	EQ(read_esr(v), 0);
	vm_free(v->vm);
}

/* IA32_APIC_BASE. SDM, "x2APIC State Transitions". */

static u32 wrmsr_base(struct vcpu *v, u64 bits)
{
	return remote_wrmsr(v, MSR_APIC_BASE, APIC_DEFAULT_BASE |
			    APIC_BASE_BSP | bits);
}

#define XAPIC	APIC_BASE_ENABLED
#define X2APIC	(APIC_BASE_ENABLED | APIC_BASE_X2APIC)

TEST(mode_transitions)
{
	struct vcpu *v = one(false);

	need_x2apic();
	EQ(wrmsr_base(v, APIC_BASE_X2APIC), VEC_GP);	/* an invalid state */
	EQ(wrmsr_base(v, X2APIC), VEC_NONE);
	EQ(wrmsr_base(v, X2APIC), VEC_NONE);
	EQ(wrmsr_base(v, XAPIC), VEC_GP);
	EQ(wrmsr_base(v, APIC_BASE_X2APIC), VEC_GP);
	EQ(wrmsr_base(v, 0), VEC_NONE);
	EQ(wrmsr_base(v, X2APIC), VEC_GP);
	EQ(wrmsr_base(v, APIC_BASE_X2APIC), VEC_GP);
	EQ(wrmsr_base(v, XAPIC), VEC_NONE);
	EQ(wrmsr_base(v, 0), VEC_NONE);
	EQ(wrmsr_base(v, XAPIC), VEC_NONE);
	EQ(wrmsr_base(v, X2APIC), VEC_NONE);
	vm_free(v->vm);
}

TEST(base_reserved_bits)
{
	struct vcpu *v = one(false);
	u32 bit, vector;

	for (bit = 0; bit < 64; bit++) {
		if (bit >= 8 && bit != 9 && bit < 52)
			continue;
		vector = wrmsr_base(v, XAPIC | BIT(bit));
		row(vector == VEC_GP, "bit %u: vector %u", bit, vector);
	}
	vm_free(v->vm);
}

static u64 g_cpuid_edx(u64 leaf, u64 unused)
{
	u32 out[4];

	(void)unused;
	cpuid(leaf, 0, out);
	return out[3];
}

/*
 * "... the ability of software to modify the APIC ID is processor model
 * specific": a model without x2APIC has it. Two may then be of one name.
 */
static struct vm *old_model_vm(int n)
{
	without_x2apic = true;
	return remote_vm(false, n);
}

static u32 xapic_id(struct vcpu *v)
{
	return remote_apic_read(v, APIC_ID) >> 24;
}

static void rename_apic(struct vcpu *v, u32 id)
{
	remote_apic_write(v, APIC_ID, id << 24);
	EQ(xapic_id(v), id);
}

/* A bit for each vCPU that has got what the first one sent. */
static u32 who_gets(struct vm *vm, u32 dest)
{
	u32 got = 0;
	int i;

	remote_icr(vm->vcpus[0], dest, ICR_ASSERT | 0x51);
	for (i = 0; i < vm->nr_vcpus; i++)
		got |= (u32)!!remote_window(vm->vcpus[i]) << i;
	return got;
}

TEST(id_written)
{
	struct vm *vm = old_model_vm(3);
	struct vcpu *v = vm->vcpus[1];
	struct kvm_lapic_state s;

	EQ(who_gets(vm, 1), 2);
	rename_apic(v, 0x40);
	EQ(who_gets(vm, 0x40), 2);
	EQ(who_gets(vm, 1), 0);
	EQ(who_gets(vm, 2), 4);
	get_lapic(v, &s);
	EQ(LAPIC_REG(&s, APIC_ID), 0x40u << 24);
	LAPIC_REG(&s, APIC_ID) = 0x41u << 24;
	set_lapic(v, &s);
	EQ(who_gets(vm, 0x41), 2);
	/* Off and on is a reset. */
	EQ(remote_wrmsr(v, MSR_APIC_BASE, APIC_DEFAULT_BASE), VEC_NONE);
	EQ(remote_wrmsr(v, MSR_APIC_BASE, APIC_DEFAULT_BASE | XAPIC),
	   VEC_NONE);
	EQ(xapic_id(v), 1);
	remote_apic_write(v, APIC_SVR, SVR_ENABLED | VEC_SPURIOUS);
	EQ(who_gets(vm, 1), 2);
	vm_free(vm);
}

TEST(id_shared)
{
	struct vm *vm = old_model_vm(3);
	u32 id;

	if (kvm_in_tree())
		skip("in-tree 6.1 knows one processor by an ID");
	for (id = 0; id < 255; id += 51) {
		rename_apic(vm->vcpus[0], id);
		rename_apic(vm->vcpus[1], id);
		row(who_gets(vm, id) == 3, "ID %u", id);
	}
	rename_apic(vm->vcpus[0], 0);
	EQ(who_gets(vm, 204), 2);
	rename_apic(vm->vcpus[1], 1);
	EQ(who_gets(vm, 1), 2);
	vm_free(vm);
}

/* INIT leaves the ID alone. */
TEST(id_after_init)
{
	struct vm *vm = old_model_vm(2);

	rename_apic(vm->vcpus[1], 7);
	remote_icr(vm->vcpus[0], 7, ICR_INIT | ICR_ASSERT);
	EQ(get_mp_state(vm->vcpus[1]), KVM_MP_STATE_INIT_RECEIVED);
	EQ(lapic_reg(vm->vcpus[1], APIC_ID), 7u << 24);
	vm_free(vm);
}

/* Off by the MSR: no CPUID bit, no page; on again: as after reset. */
TEST(globally_disabled)
{
	struct vcpu *v = one(false);
	struct kvm_lapic_state s;

	EQ(remote(v, g_cpuid_edx, 1, 0) >> 9 & 1, 1);
	remote_apic_write(v, APIC_TPR, 0x30);
	remote_apic_write(v, APIC_LVT_LINT1, 0x41);
	EQ(wrmsr_base(v, 0), VEC_NONE);
	EQ(remote(v, g_cpuid_edx, 1, 0) >> 9 & 1, 0);
	EQ(v->run->apic_base & APIC_BASE_ENABLED, 0);
	EQ(wrmsr_base(v, XAPIC), VEC_NONE);
	EQ(remote(v, g_cpuid_edx, 1, 0) >> 9 & 1, 1);
	get_lapic(v, &s);
	if (kvm_in_tree())
		skip("in-tree keeps the registers");
	check_reset_registers(&s);
	vm_free(v->vm);
}

static u64 g_read_tpr(u64 a, u64 b)
{
	(void)a;
	(void)b;
	return apic_read(APIC_TPR);
}

/* The page of a disabled APIC belongs to whatever is at that address. */
TEST(page_of_a_disabled_apic)
{
	struct vcpu *v = one(false);

	if (kvm_in_tree())
		skip("in-tree keeps its APIC-access page there");
	EQ(wrmsr_base(v, 0), VEC_NONE);
	remote_order(v, g_read_tpr, 0, 0);
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, APIC_DEFAULT_BASE + APIC_TPR);
	EQ(v->run->mmio.is_write, 0);
	memset(v->run->mmio.data, 0x5a, 8);
	vcpu_until(v, STOP_SYNC);
	EQ((u32)PERCPU(v).result, 0x5a5a5a5a);
	vm_free(v->vm);
}

TEST(moved_page)
{
	const u64 new_base = 0xfec80000;
	struct vcpu *v = one(false);

	remote_apic_write(v, APIC_TPR, 0x20);
	EQ(remote_wrmsr(v, MSR_APIC_BASE, new_base | APIC_BASE_BSP |
			APIC_BASE_ENABLED), VEC_NONE);
	G(v->vm, guest_apic_base) = new_base;
	EQ(remote_apic_read(v, APIC_TPR), 0x20);
	self_ipi(v, 0x41);
	EQ(remote_window(v), 1);
	remote_apic_write(v, APIC_TPR, 0x30);
	EQ(lapic_reg(v, APIC_TPR), 0x30);
	EQ(wrmsr_base(v, XAPIC), VEC_NONE);
	G(v->vm, guest_apic_base) = APIC_DEFAULT_BASE;
	EQ(remote_apic_read(v, APIC_TPR), 0x30);
	self_ipi(v, 0x42);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

/* SDM, "Initial Local APIC ID", "Logical Destination Mode in x2APIC Mode". */
TEST(ids_x2apic)
{
	static const int ids[] = { 0, 1, 15, 16, 23 };
	struct vm *vm = vm_irqchip();
	struct vcpu *v;
	u64 value;
	u32 i;

	need_x2apic();
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		u32 id = ids[i];

		v = remote_vcpu(vm, id);
		EQ(remote_wrmsr(v, MSR_APIC_BASE, APIC_DEFAULT_BASE | X2APIC |
				(id ? 0 : APIC_BASE_BSP)), VEC_NONE);
		EQ(remote_rdmsr(v, X2APIC_MSR(APIC_ID), &value), VEC_NONE);
		EQ(value, id);
		EQ(remote_rdmsr(v, X2APIC_MSR(APIC_LDR), &value), VEC_NONE);
		EQ(value, (id >> 4) << 16 | 1u << (id & 15));
	}
	vm_free(vm);
}

/* State in and out. The processor's priority follows from other registers. */

static void compare_registers(struct kvm_lapic_state *a,
			      struct kvm_lapic_state *b)
{
	u32 reg;

	for (reg = 0; reg < sizeof(a->regs); reg += 16)
		row(reg == APIC_PPR || LAPIC_REG(a, reg) == LAPIC_REG(b, reg),
		    "register %x: %x became %x", reg, LAPIC_REG(a, reg),
		    LAPIC_REG(b, reg));
}

/* A state with something in every register, and events under way. */
static void fill_state(struct vcpu *v)
{
	remote_apic_write(v, APIC_LVT_THERMAL, 0x51);
	remote_apic_write(v, APIC_LVT_PERF, ICR_NMI);
	remote_apic_write(v, APIC_LVT_LINT0, LVT_MASKED | 0xa152);
	remote_apic_write(v, APIC_LVT_LINT1, ICR_NMI);
	remote_apic_write(v, APIC_LVT_ERROR, 0x53);
	remote_apic_write(v, APIC_LVT_TIMER, LVT_MASKED | 0x54);
	remote_apic_write(v, APIC_TDCR, 9);
	PERCPU(v).no_eoi = true;
	self_ipi(v, 0x61);
	EQ(remote_window(v), 1);
	self_ipi(v, 0x62);
	self_ipi(v, 0xb3);
	remote_apic_write(v, APIC_TPR, 0xc5);
}

static void move_vcpu(struct vcpu *from, struct vcpu *to)
{
	struct kvm_lapic_state lapic;
	struct kvm_sregs s;
	struct kvm_regs r;

	get_lapic(from, &lapic);
	get_regs(from, &r);
	get_sregs(from, &s);
	memcpy(to->vm->ram, from->vm->ram, RAM_SIZE);
	set_sregs(to, &s);
	set_lapic(to, &lapic);
	set_regs(to, &r);
	set_mp_state(to, get_mp_state(from));
}

BOTH_MODES(state_moves)
{
	struct vcpu *a = one(x2), *b = vcpu_apic(vm_irqchip(), 0);
	struct kvm_lapic_state before, after;

	fill_state(a);
	get_lapic(a, &before);
	move_vcpu(a, b);
	get_lapic(b, &after);
	compare_registers(&before, &after);
	/* It goes on there: 61H in service, 62H and B3H waiting. */
	log_clear(b);
	EQ(remote_window(b), 0);
	remote_apic_write(b, APIC_TPR, 0);
	EQ(remote_window(b), 1);
	EQ(PERCPU(b).log[0], 0xb3);
	remote_apic_write(b, APIC_EOI, 0);
	EQ(remote_window(b), 0);
	remote_apic_write(b, APIC_EOI, 0);
	EQ(remote_window(b), 1);
	EQ(PERCPU(b).log[1], 0x62);
	vm_free(a->vm);
	vm_free(b->vm);
}

/* What is set comes back, for every vector in each of the three banks. */
TEST(pending_bits_round_trip)
{
	struct vcpu *v = one(false);
	struct kvm_lapic_state s, clean, got;
	u32 vector, bank;

	get_lapic(v, &clean);
	for (bank = APIC_ISR; bank <= APIC_IRR; bank += 0x80) {
		for (vector = 16; vector < 256; vector++) {
			s = clean;
			LAPIC_REG(&s, bank + vector / 32 * 16) |=
				1u << vector % 32;
			LAPIC_REG(&s, APIC_TPR) = 0xff;
			set_lapic(v, &s);
			get_lapic(v, &got);
			row(LAPIC_REG(&got, bank + vector / 32 * 16) ==
			    LAPIC_REG(&s, bank + vector / 32 * 16),
			    "%x, vector %u", bank, vector);
		}
	}
	set_lapic(v, &clean);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/* Set from outside, an interrupt is delivered as any other. */
TEST(pending_by_set_lapic)
{
	struct vcpu *v = one(false);
	struct kvm_lapic_state s;

	get_lapic(v, &s);
	LAPIC_REG(&s, APIC_IRR + 0x70) |= 1 << 6;		/* E6H */
	set_lapic(v, &s);
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).log[0], 0xe6);
	vm_free(v->vm);
}

/* TPR moves with CR8 of KVM_SET_SREGS and of struct kvm_run. */
TEST(tpr_and_user_space)
{
	struct vcpu *v = one(false);
	struct kvm_sregs s;

	remote_apic_write(v, APIC_TPR, 0x95);
	EQ(v->run->cr8, 9);
	get_sregs(v, &s);
	EQ(s.cr8, 9);
	s.cr8 = 4;
	set_sregs(v, &s);
	EQ(lapic_reg(v, APIC_TPR), 0x40);
	EQ(remote_apic_read(v, APIC_TPR), 0x40);
	vm_free(v->vm);
}

/* KVM_CAP_X2APIC_API: how GET and SET_LAPIC show an ID in x2APIC mode. */
static void id_format(bool wide)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X2APIC_API,
		.args[0] = wide ? KVM_X2APIC_API_USE_32BIT_IDS : 0,
	};
	const u32 id = 5;
	struct kvm_lapic_state s;
	struct vm *vm = vm_irqchip();
	struct vcpu *v;

	need_x2apic();
	need_cap(KVM_CAP_X2APIC_API);
	WORKS(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	v = remote_vcpu(vm, id);
	get_lapic(v, &s);
	EQ(LAPIC_REG(&s, APIC_ID), id << 24);
	EQ(remote_wrmsr(v, MSR_APIC_BASE, APIC_DEFAULT_BASE | X2APIC),
	   VEC_NONE);
	G(vm, guest_x2apic) = true;
	get_lapic(v, &s);
	EQ(LAPIC_REG(&s, APIC_ID), wide ? id : id << 24);
	set_lapic(v, &s);
	EQ(remote_apic_read(v, APIC_VERSION), LAPIC_REG(&s, APIC_VERSION));
	if (wide) {
		LAPIC_REG(&s, APIC_ID) = id << 24;
		FAILS(ioctl(v->fd, KVM_SET_LAPIC, &s), EINVAL);
	}
	vm_free(vm);
}

TEST(id_format_8_bits)
{
	id_format(false);
}

TEST(id_format_32_bits)
{
	id_format(true);
}

TEST(x2apic_api_bad_flags)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API };
	struct vm *vm = vm_irqchip();
	u32 bit;

	need_cap(KVM_CAP_X2APIC_API);
	EQ(vm_cap(vm, KVM_CAP_X2APIC_API), KVM_X2APIC_API_USE_32BIT_IDS |
	   KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	for (bit = 2; bit < 64; bit++) {
		cap.args[0] = BIT(bit);
		FAILS(ioctl(vm->fd, KVM_ENABLE_CAP, &cap), EINVAL);
	}
	cap.args[0] = 3;
	WORKS(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	vm_free(vm);
}

/* What user space can no longer do itself. */
TEST(not_without_irqchip)
{
	struct vm *without = vm_new(), *with = vm_irqchip();
	struct kvm_interrupt irq = { .irq = 0x40 };
	struct vcpu *a = vcpu_new(without, 0), *b = vcpu_new(with, 0);
	struct kvm_lapic_state s;

	FAILS(ioctl(a->fd, KVM_GET_LAPIC, &s), EINVAL);
	FAILS(ioctl(a->fd, KVM_SET_LAPIC, &s), EINVAL);
	FAILS(ioctl(b->fd, KVM_INTERRUPT, &irq), ENXIO);
	FAILS(ioctl(with->fd, KVM_CREATE_IRQCHIP, 0), EEXIST);
	FAILS(ioctl(without->fd, KVM_CREATE_IRQCHIP, 0), EINVAL);
	vm_free(without);
	vm_free(with);
}
