// SPDX-License-Identifier: GPL-2.0-only
/*
 * The I/O APIC (82093AA data sheet): registers, edge and level, remote IRR and
 * EOI, masks, destinations and delivery modes, state in and out; and what
 * goes where by KVM_SET_GSI_ROUTING.
 */
#include <errno.h>
#include <string.h>

#include "irqchip.h"

#define IOAPIC		0xfec00000ull
#define PINS		24
#define PIN		5
#define VEC		0x61

enum {			/* redirection table, low half */
	RTE_STATUS	= 1 << 12,
	RTE_LOW		= 1 << 13,
	RTE_REMOTE_IRR	= 1 << 14,
	RTE_LEVEL	= 1 << 15,
	RTE_MASKED	= 1 << 16,
};

static u32 ioapic_read(struct vcpu *v, u32 index)
{
	remote_write(v, IOAPIC, index);
	return remote_read(v, IOAPIC + 0x10);
}

static void ioapic_write(struct vcpu *v, u32 index, u32 value)
{
	remote_write(v, IOAPIC, index);
	remote_write(v, IOAPIC + 0x10, value);
}

static u32 rte(struct vcpu *v, u32 pin)
{
	return ioapic_read(v, 0x10 + pin * 2);
}

static void set_rte(struct vcpu *v, u32 pin, u32 dest, u32 low)
{
	ioapic_write(v, 0x11 + pin * 2, dest << 24);
	ioapic_write(v, 0x10 + pin * 2, low);
}

/* As firmware leaves it: every input of the 8259s is masked. */
static struct vm *some(int n)
{
	struct vm *vm = remote_vm(false, n);

	remote_out(vm->vcpus[0], 0x21, 0xff);
	remote_out(vm->vcpus[0], 0xa1, 0xff);
	return vm;
}

static struct vcpu *one(void)
{
	return some(1)->vcpus[0];
}

/* Registers */

TEST(after_reset)
{
	struct vcpu *v = one();
	u32 i, version = ioapic_read(v, 1);

	EQ(ioapic_read(v, 0) & 0x0f000000, 0);
	CHECK((version & 0xff) == 0x11 || (version & 0xff) == 0x20);
	EQ(version >> 16 & 0xff, PINS - 1);
	for (i = 0; i < PINS; i++) {
		row(rte(v, i) == RTE_MASKED, "pin %u: %x", i, rte(v, i));
		row(ioapic_read(v, 0x11 + i * 2) == 0, "pin %u, high half", i);
	}
	vm_free(v->vm);
}

TEST(id)
{
	struct vcpu *v = one();

	ioapic_write(v, 0, 0x0a000000);
	EQ(ioapic_read(v, 0), 0x0a000000);
	vm_free(v->vm);
}

TEST(select_reads_back)
{
	struct vcpu *v = one();

	remote_write(v, IOAPIC, 0x2f);
	EQ(remote_read(v, IOAPIC) & 0xff, 0x2f);
	vm_free(v->vm);
}

/* Delivery status and remote IRR are read-only. */
TEST(entries_hold_values)
{
	const u32 bits = 0xafff;
	struct vcpu *v = one();
	u32 i, bit;

	for (i = 0; i < PINS; i++) {
		set_rte(v, i, 0x5a + i, RTE_MASKED | 0xefff);
		row(ioapic_read(v, 0x11 + i * 2) == (0x5a + i) << 24,
		    "pin %u, high half", i);
		row(rte(v, i) == (RTE_MASKED | bits), "pin %u: %x", i,
		    rte(v, i));
	}
	for (bit = 0; bit < 16; bit++) {
		set_rte(v, 3, 0, RTE_MASKED | 1u << bit);
		row(rte(v, 3) == (RTE_MASKED | (1u << bit & bits)),
		    "bit %u: %x", bit, rte(v, 3));
	}
	vm_free(v->vm);
}

/* Edge */

TEST(edge)
{
	struct vcpu *v = one();

	set_rte(v, PIN, 0, VEC);
	irq_line(v->vm, PIN, 1);
	EQ(lapic_bit(v, APIC_IRR, VEC), 1);
	EQ(lapic_bit(v, APIC_TMR, VEC), 0);
	EQ(rte(v, PIN) & (RTE_REMOTE_IRR | RTE_STATUS), 0);
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).log[0], VEC);
	irq_line(v->vm, PIN, 1);		/* no edge */
	EQ(remote_window(v), 0);
	irq_line(v->vm, PIN, 0);
	EQ(remote_window(v), 0);
	irq_line(v->vm, PIN, 1);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

/* Data sheet, "Interrupt Mask": edges at a masked pin are not held. */
TEST(masked_edge_is_lost)
{
	struct vcpu *v = one();

	set_rte(v, PIN, 0, RTE_MASKED | VEC);
	irq_line(v->vm, PIN, 1);
	irq_line(v->vm, PIN, 0);
	EQ(remote_window(v), 0);
	set_rte(v, PIN, 0, VEC);
	EQ(remote_window(v), 0);
	irq_line(v->vm, PIN, 1);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

TEST(every_pin)
{
	struct vcpu *v = one();
	u32 i;

	for (i = 0; i < PINS; i++) {
		set_rte(v, i, 0, 0x40 + i);
		irq_line(v->vm, i, 1);
		irq_line(v->vm, i, 0);
		row(remote_window(v) == 1 && PERCPU(v).count[0x40 + i] == 1,
		    "pin %u", i);
	}
	vm_free(v->vm);
}

/* Level */

TEST(level)
{
	struct vcpu *v = one();

	PERCPU(v).no_eoi = true;
	set_rte(v, PIN, 0, RTE_LEVEL | VEC);
	irq_line(v->vm, PIN, 1);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
	EQ(remote_window(v), 1);
	EQ(lapic_bit(v, APIC_TMR, VEC), 1);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
	/* Still up at EOI: again. */
	remote_apic_write(v, APIC_EOI, 0);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
	EQ(remote_window(v), 1);
	irq_line(v->vm, PIN, 0);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, 0);
	EQ(remote_window(v), 0);
	irq_line(v->vm, PIN, 1);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

/* Sent once until EOI, however often the line moves. */
TEST(level_moves_in_service)
{
	struct vcpu *v = one();
	u32 i;

	PERCPU(v).no_eoi = true;
	set_rte(v, PIN, 0, RTE_LEVEL | VEC);
	irq_line(v->vm, PIN, 1);
	EQ(remote_window(v), 1);
	for (i = 0; i < 4; i++) {
		irq_line(v->vm, PIN, 0);
		irq_line(v->vm, PIN, 1);
		EQ(lapic_bit(v, APIC_IRR, VEC), 0);
	}
	remote_apic_write(v, APIC_EOI, 0);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

TEST(level_masked)
{
	struct vcpu *v = one();

	set_rte(v, PIN, 0, RTE_LEVEL | RTE_MASKED | VEC);
	irq_line(v->vm, PIN, 1);
	EQ(remote_window(v), 0);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, 0);
	set_rte(v, PIN, 0, RTE_LEVEL | VEC);	/* the line is still up */
	PERCPU(v).no_eoi = true;
	EQ(remote_window(v), 1);
	/* Masked in service, EOI does not send it again. */
	set_rte(v, PIN, 0, RTE_LEVEL | RTE_MASKED | VEC);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(remote_window(v), 0);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, 0);
	irq_line(v->vm, PIN, 0);
	set_rte(v, PIN, 0, RTE_LEVEL | VEC);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/* How Linux gets rid of a remote IRR without EOI: to edge and back. */
TEST(remote_irr_cleared_by_edge)
{
	struct vcpu *v = one();

	PERCPU(v).no_eoi = true;
	set_rte(v, PIN, 0, RTE_LEVEL | VEC);
	irq_line(v->vm, PIN, 1);
	EQ(remote_window(v), 1);
	irq_line(v->vm, PIN, 0);
	set_rte(v, PIN, 0, RTE_MASKED | VEC);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, 0);
	set_rte(v, PIN, 0, RTE_LEVEL | RTE_MASKED | VEC);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, 0);
	vm_free(v->vm);
}

/* EOI of a vector that two pins share reaches both. */
TEST(two_pins_one_vector)
{
	struct vcpu *v = one();

	PERCPU(v).no_eoi = true;
	set_rte(v, PIN, 0, RTE_LEVEL | VEC);
	set_rte(v, PIN + 1, 0, RTE_LEVEL | VEC);
	irq_line(v->vm, PIN, 1);
	irq_line(v->vm, PIN + 1, 1);
	EQ(remote_window(v), 1);
	irq_line(v->vm, PIN, 0);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, 0);
	EQ(rte(v, PIN + 1) & RTE_REMOTE_IRR, RTE_REMOTE_IRR);
	EQ(remote_window(v), 1);
	irq_line(v->vm, PIN + 1, 0);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(rte(v, PIN + 1) & RTE_REMOTE_IRR, 0);
	vm_free(v->vm);
}

/* An edge with the same vector does not stand in the way of a level's EOI. */
TEST(edge_after_level_same_vector)
{
	struct vcpu *v = one();

	set_rte(v, PIN, 0, RTE_LEVEL | VEC);
	irq_line(v->vm, PIN, 1);
	EQ(lapic_bit(v, APIC_TMR, VEC), 1);
	irq_line(v->vm, PIN, 0);
	EQ(remote_window(v), 1);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, 0);
	remote_icr(v, 0, ICR_SELF | ICR_ASSERT | VEC);
	/* "Self-IPI Virtualization" leaves the TMR alone. */
	if (!kvm_uses("enable_apicv"))
		EQ(lapic_bit(v, APIC_TMR, VEC), 0);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

/* Destinations and delivery modes */

TEST(destinations)
{
	static const struct { u32 dest, mode, want; } sent[] = {
		{ 0, 0, 1 }, { 1, 0, 2 }, { 2, 0, 4 }, { 7, 0, 0 },
		{ 0xff, 0, 7 }, { 1, ICR_LOGICAL, 1 }, { 6, ICR_LOGICAL, 6 },
		{ 0xff, ICR_LOGICAL, 7 }, { 0x40, ICR_LOGICAL, 0 },
	};
	struct vm *vm = some(3);
	u32 i, k, set, vector;

	for (k = 0; k < 3; k++)
		remote_apic_write(vm->vcpus[k], APIC_LDR, 1u << (24 + k));
	for (i = 0; i < ARRAY_SIZE(sent); i++) {
		vector = 0x70 + i;
		set_rte(vm->vcpus[0], PIN, sent[i].dest,
			sent[i].mode | vector);
		irq_line(vm, PIN, 1);
		irq_line(vm, PIN, 0);
		for (set = 0, k = 0; k < 3; k++)
			set |= remote_window(vm->vcpus[k]) << k;
		row(set == sent[i].want, "to %x, mode %x: got by %x",
		    sent[i].dest, sent[i].mode, set);
	}
	vm_free(vm);
}

TEST(lowest_priority)
{
	struct vm *vm = some(3);
	u32 i, k, taken;

	for (k = 0; k < 3; k++)
		remote_apic_write(vm->vcpus[k], APIC_LDR, 1u << (24 + k));
	for (i = 0; i < 12; i++) {
		set_rte(vm->vcpus[0], PIN, 6,
			ICR_LOGICAL | ICR_LOWEST | (0x70 + i));
		irq_line(vm, PIN, 1);
		irq_line(vm, PIN, 0);
		EQ(remote_window(vm->vcpus[0]), 0);
		taken = remote_window(vm->vcpus[1]) +
			remote_window(vm->vcpus[2]);
		row(taken == 1, "vector %x: %u", 0x70 + i, taken);
	}
	vm_free(vm);
}

TEST(nmi_pin)
{
	struct vm *vm = some(2);

	set_rte(vm->vcpus[0], PIN, 1, ICR_NMI);
	irq_line(vm, PIN, 1);
	remote_window(vm->vcpus[1]);
	EQ(PERCPU(vm->vcpus[1]).count[VEC_NMI], 1);
	EQ(PERCPU(vm->vcpus[1]).taken, 1);
	EQ(remote_window(vm->vcpus[0]), 0);
	vm_free(vm);
}

/* What the sender is told. */
TEST(line_status)
{
	struct vcpu *v = one();

	need_cap(KVM_CAP_IRQ_INJECT_STATUS);
	CHECK(irq_line_status(v->vm, PIN, 1) <= 0);	/* masked */
	irq_line(v->vm, PIN, 0);
	set_rte(v, PIN, 0, VEC);
	EQ(irq_line_status(v->vm, PIN, 1), 1);
	EQ(irq_line_status(v->vm, PIN, 1), 0);		/* no edge */
	irq_line(v->vm, PIN, 0);
	EQ(remote_window(v), 1);
	EQ(irq_line_status(v->vm, PIN, 1), 1);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

TEST(bad_lines)
{
	struct kvm_irq_level l = { .irq = 5000, .level = 1 };
	struct vcpu *v = one();
	int r = ioctl(v->vm->fd, KVM_IRQ_LINE, &l);

	CHECK(r == 0 || errno == EINVAL);
	l.irq = ~0u;
	r = ioctl(v->vm->fd, KVM_IRQ_LINE, &l);
	CHECK(r == 0 || errno == EINVAL);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/* State */

TEST(state_moves)
{
	struct vcpu *a = one(), *b = one();
	struct kvm_irqchip chip, got;
	u32 i;

	for (i = 0; i < PINS; i++)
		set_rte(a, i, i, (i % 2 ? RTE_LEVEL : 0) | RTE_MASKED |
			(0x30 + i));
	ioapic_write(a, 0, 0x03000000);
	set_rte(a, PIN, 0, RTE_LEVEL | VEC);
	irq_line(a->vm, PIN, 1);
	get_chip(a->vm, KVM_IRQCHIP_IOAPIC, &chip);
	EQ(chip.chip.ioapic.base_address, IOAPIC);
	EQ(chip.chip.ioapic.id, 3);
	EQ(chip.chip.ioapic.irr >> PIN & 1, 1);
	EQ(chip.chip.ioapic.redirtbl[PIN].fields.remote_irr, 1);
	EQ(chip.chip.ioapic.redirtbl[7].bits,
	   7ull << 56 | RTE_LEVEL | RTE_MASKED | 0x37);
	set_chip(b->vm, &chip);
	get_chip(b->vm, KVM_IRQCHIP_IOAPIC, &got);
	for (i = 0; i < PINS; i++)
		row(got.chip.ioapic.redirtbl[i].bits ==
		    chip.chip.ioapic.redirtbl[i].bits, "pin %u: %llx, %llx", i,
		    (u64)got.chip.ioapic.redirtbl[i].bits,
		    (u64)chip.chip.ioapic.redirtbl[i].bits);
	EQ(got.chip.ioapic.irr, chip.chip.ioapic.irr);
	EQ(got.chip.ioapic.id, 3);
	EQ(got.chip.ioapic.ioregsel, chip.chip.ioapic.ioregsel);
	vm_free(a->vm);
	vm_free(b->vm);
}

/* Waiting at an open pin when the state is set: sent then. */
TEST(pending_in_state)
{
	struct kvm_irqchip chip;
	struct vcpu *v = one();

	set_rte(v, PIN, 0, VEC);
	get_chip(v->vm, KVM_IRQCHIP_IOAPIC, &chip);
	chip.chip.ioapic.irr |= 1 << PIN;
	set_chip(v->vm, &chip);
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).log[0], VEC);
	vm_free(v->vm);
}

TEST(bad_chips)
{
	struct vm *with = vm_irqchip(), *without = vm_new();
	struct kvm_irqchip chip;
	u32 id;

	for (id = 3; id < 300; id++) {
		memset(&chip, 0, sizeof(chip));
		chip.chip_id = id;
		FAILS(ioctl(with->fd, KVM_GET_IRQCHIP, &chip), EINVAL);
		FAILS(ioctl(with->fd, KVM_SET_IRQCHIP, &chip), EINVAL);
	}
	for (id = 0; id < 3; id++) {
		chip.chip_id = id;
		FAILS(ioctl(without->fd, KVM_GET_IRQCHIP, &chip), ENXIO);
		FAILS(ioctl(without->fd, KVM_SET_IRQCHIP, &chip), ENXIO);
	}
	vm_free(with);
	vm_free(without);
}

/* Routing */

TEST(routes_replaced)
{
	struct routes r = { 0 };
	struct vcpu *v = one();

	set_rte(v, 7, 0, VEC);
	route_chip(&r, 3, KVM_IRQCHIP_IOAPIC, 7);
	WORKS(routes_set(v->vm, &r));
	irq_line(v->vm, 3, 1);
	EQ(remote_window(v), 1);
	irq_line(v->vm, 3, 0);
	/* None at all, then those of before. */
	r.head.nr = 0;
	WORKS(routes_set(v->vm, &r));
	irq_line(v->vm, 3, 1);
	irq_line(v->vm, 3, 0);
	EQ(remote_window(v), 0);
	route_default(&r);
	WORKS(routes_set(v->vm, &r));
	irq_line(v->vm, 7, 1);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

TEST(msi_routes)
{
	struct vm *vm = some(2);
	struct routes r = { 0 };
	u32 gsi;

	route_default(&r);
	for (gsi = 24; gsi < 34; gsi++)
		route_msi(&r, gsi, APIC_DEFAULT_BASE | (gsi & 1) << 12,
			  0x40 + gsi);
	WORKS(routes_set(vm, &r));
	for (gsi = 24; gsi < 34; gsi++) {
		irq_line(vm, gsi, 1);
		EQ(remote_window(vm->vcpus[gsi & 1]), 1);
		EQ(remote_window(vm->vcpus[~gsi & 1]), 0);
		EQ(PERCPU(vm->vcpus[gsi & 1]).count[0x40 + gsi], 1);
		irq_line(vm, gsi, 0);
		EQ(remote_window(vm->vcpus[gsi & 1]), 0);
	}
	vm_free(vm);
}

/* One GSI to two pins. */
TEST(one_to_many)
{
	struct routes r = { 0 };
	struct vcpu *v = one();

	set_rte(v, 7, 0, VEC);
	route_chip(&r, 3, KVM_IRQCHIP_IOAPIC, 7);
	route_chip(&r, 3, KVM_IRQCHIP_PIC_MASTER, 3);
	WORKS(routes_set(v->vm, &r));
	remote_apic_write(v, APIC_LVT_LINT0, LVT_MASKED);
	irq_line(v->vm, 3, 1);
	EQ(remote_window(v), 1);
	remote_out(v, 0x20, 0x0a);		/* OCW3: read the IRR */
	EQ(remote_in(v, 0x20) >> 3 & 1, 1);
	vm_free(v->vm);
}

static void bad_route(struct vm *vm, struct routes *r, const char *what)
{
	int result = routes_set(vm, r);

	row(result == -1 && errno == EINVAL, "%s: %d, errno %d", what, result,
	    errno);
	r->head.nr = 0;
}

/* A refused table changes nothing. */
TEST(bad_routes)
{
	struct routes r = { 0 };
	struct vcpu *v = one();
	u32 i;

	set_rte(v, 7, 0, VEC);
	route_chip(&r, 3, KVM_IRQCHIP_IOAPIC, 7);
	WORKS(routes_set(v->vm, &r));

	r.head.nr = 0;
	route_chip(&r, 3, 3, 0);
	bad_route(v->vm, &r, "chip 3");
	route_chip(&r, 3, KVM_IRQCHIP_IOAPIC, 24);
	bad_route(v->vm, &r, "I/O APIC pin 24");
	route_chip(&r, 3, KVM_IRQCHIP_PIC_MASTER, 8);
	bad_route(v->vm, &r, "8259 pin 8");
	route_chip(&r, 3, KVM_IRQCHIP_IOAPIC, 3);
	r.entries[0].type = 0;
	bad_route(v->vm, &r, "type 0");
	route_chip(&r, 3, KVM_IRQCHIP_IOAPIC, 3);
	r.entries[0].type = 77;
	bad_route(v->vm, &r, "type 77");
	route_chip(&r, 5000, KVM_IRQCHIP_IOAPIC, 3);
	bad_route(v->vm, &r, "GSI 5000");
	route_chip(&r, 3, KVM_IRQCHIP_IOAPIC, 3);
	r.entries[0].flags = 0x10;
	bad_route(v->vm, &r, "flags");
	for (i = 0; i < 5; i++)
		route_msi(&r, 3, APIC_DEFAULT_BASE, 0x40 + i);
	bad_route(v->vm, &r, "five entries of one GSI");
	route_msi(&r, 3, APIC_DEFAULT_BASE, 0x40);
	route_msi(&r, 3, APIC_DEFAULT_BASE, 0x41);
	bad_route(v->vm, &r, "two MSIs of one GSI");

	r.head.nr = 100000;
	FAILS(ioctl(v->vm->fd, KVM_SET_GSI_ROUTING, &r), EINVAL);
	r.head.nr = 0;
	r.head.flags = 1;
	FAILS(ioctl(v->vm->fd, KVM_SET_GSI_ROUTING, &r), EINVAL);
	irq_line(v->vm, 3, 1);
	EQ(remote_window(v), 1);
	vm_free(v->vm);
}

/* With the chip's entry moved elsewhere, EOI still finds its pin. */
TEST(routes_change_in_service)
{
	struct routes r = { 0 };
	struct vcpu *v = one();

	PERCPU(v).no_eoi = true;
	set_rte(v, PIN, 0, RTE_LEVEL | VEC);
	irq_line(v->vm, PIN, 1);
	EQ(remote_window(v), 1);
	route_chip(&r, 30, KVM_IRQCHIP_IOAPIC, PIN);
	WORKS(routes_set(v->vm, &r));
	irq_line(v->vm, 30, 0);
	remote_apic_write(v, APIC_EOI, 0);
	EQ(rte(v, PIN) & RTE_REMOTE_IRR, 0);
	EQ(remote_window(v), 0);
	vm_free(v->vm);
}

/*
 * Split: the I/O APIC is in user space. Its routes say which vectors are
 * level-triggered; their EOI ends in KVM_EXIT_IOAPIC_EOI.
 */
#define MSI_LEVEL	BIT(15)

static struct vcpu *split_vcpu(struct routes *r)
{
	struct vm *vm = vm_split(PINS);
	struct vcpu *v = remote_vcpu(vm, 0);

	r->head.nr = 0;
	route_msi(r, 4, APIC_DEFAULT_BASE, 0x44);
	route_msi(r, 5, APIC_DEFAULT_BASE, MSI_LEVEL | ICR_ASSERT | 0x45);
	WORKS(routes_set(vm, r));
	remote_apic_write(v, APIC_SVR, SVR_ENABLED | VEC_SPURIOUS);
	PERCPU(v).no_eoi = true;
	return v;
}

static u64 g_eoi(u64 a, u64 b)
{
	(void)a;
	(void)b;
	apic_eoi();
	return 0;
}

TEST(split_eoi)
{
	struct routes r;
	struct vcpu *v = split_vcpu(&r);

	irq_line(v->vm, 5, 1);
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).log[0], 0x45);
	remote_order(v, g_eoi, 0, 0);
	vcpu_until(v, KVM_EXIT_IOAPIC_EOI);
	EQ(v->run->eoi.vector, 0x45);
	vcpu_until(v, STOP_SYNC);
	/* Edges end without it. */
	irq_line(v->vm, 4, 1);
	EQ(remote_window(v), 1);
	remote(v, g_eoi, 0, 0);
	vm_free(v->vm);
}

/* SDM, "EOI-broadcast suppression", offered where the I/O APIC is not ours. */
TEST(split_eoi_suppressed)
{
	struct routes r;
	struct vcpu *v = split_vcpu(&r);

	if (kvm_in_tree())
		skip("in-tree of 6.1 leaves for user space all the same");
	need_x2apic();
	EQ(remote_apic_read(v, APIC_VERSION) >> 24 & 1, 1);
	remote_apic_write(v, APIC_SVR, SVR_ENABLED | 1 << 12 | VEC_SPURIOUS);
	EQ(remote_apic_read(v, APIC_SVR) >> 12 & 1, 1);
	irq_line(v->vm, 5, 1);
	EQ(remote_window(v), 1);
	remote(v, g_eoi, 0, 0);
	EQ(lapic_bit(v, APIC_ISR, 0x45), 0);
	vm_free(v->vm);
}

TEST(split_what_is_not_there)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct routes r = { 0 };
	struct vm *vm = vm_split(PINS);

	FAILS(ioctl(vm->fd, KVM_GET_IRQCHIP, &chip), ENXIO);
	FAILS(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), EEXIST);
	route_chip(&r, 3, KVM_IRQCHIP_IOAPIC, 3);
	FAILS(routes_set(vm, &r), EINVAL);
	vm_free(vm);
}

TEST(split_bad)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP };
	struct vm *vm;

	need_cap(KVM_CAP_SPLIT_IRQCHIP);
	vm = vm_new();
	cap.args[0] = 5000;
	FAILS(ioctl(vm->fd, KVM_ENABLE_CAP, &cap), EINVAL);
	vcpu_new(vm, 0);
	cap.args[0] = PINS;
	FAILS(ioctl(vm->fd, KVM_ENABLE_CAP, &cap), EEXIST);
	vm_free(vm);
}

/* The 8259's interrupts come from user space then, if LINT0 takes them. */
TEST(split_external_interrupt)
{
	struct kvm_interrupt irq = { .irq = 0x33 };
	struct routes r;
	struct vcpu *v = split_vcpu(&r);

	remote_apic_write(v, APIC_LVT_LINT0, ICR_EXTINT);
	WORKS(ioctl(v->fd, KVM_INTERRUPT, &irq));
	EQ(remote_window(v), 1);
	EQ(PERCPU(v).log[0], 0x33);
	EQ(lapic_bit(v, APIC_ISR, 0x33), 0);
	vm_free(v->vm);
}
