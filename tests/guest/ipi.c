// SPDX-License-Identifier: GPL-2.0-only
/*
 * What local APICs send each other and what MSIs reach: destinations in every
 * mode, for each a table of who must get it and who must not; delivery modes;
 * INIT and start-up. The vCPUs run one after the other, under remote control:
 * where an interrupt went can be seen in their IRRs.
 */
#include <errno.h>
#include <string.h>

#include "irqchip.h"

#define N	4			/* vCPUs, with IDs 0 to 3 */
#define ALL	((1u << N) - 1)

/* Which vCPUs have a vector pending; they then take it. */
static u32 got(struct vm *vm, u32 vector)
{
	u32 set = 0;
	int i;

	for (i = 0; i < vm->nr_vcpus; i++) {
		struct vcpu *v = vm->vcpus[i];
		u32 before = PERCPU(v).count[vector];

		if (!lapic_bit(v, APIC_IRR, vector))
			continue;
		remote_window(v);
		EQ(PERCPU(v).count[vector], before + 1);
		set |= 1u << i;
	}
	return set;
}

/* Another one each time, so that nothing old is mistaken for it. */
static u32 next_vector(void)
{
	static u32 vector = 0x1f;

	vector = vector == 0xfe ? 0x20 : vector + 1;
	return vector;
}

static void expect(struct vm *vm, int from, u32 dest, u32 mode, u32 want)
{
	u32 vector = next_vector(), set;

	remote_icr(vm->vcpus[from], dest, ICR_ASSERT | mode | vector);
	set = got(vm, vector);
	row(set == want, "from %d to %x, mode %x: got by %x, expected %x",
	    from, dest, mode, set, want);
}

BOTH_MODES(physical)
{
	struct vm *vm = remote_vm(x2, N);
	u32 broadcast = x2 ? ANY_ID : 0xff, dest;
	int from;

	for (from = 0; from < N; from++) {
		for (dest = 0; dest < 16; dest++)
			expect(vm, from, dest, 0,
			       dest < N ? 1u << dest : 0);
		expect(vm, from, broadcast, 0, ALL);
		expect(vm, from, 0x7f, 0, 0);
	}
	vm_free(vm);
}

/* FFH alone is no broadcast for an x2APIC. */
TEST(eight_bit_broadcast_x2apic)
{
	struct vm *vm = remote_vm(true, N);
	u32 dest;

	for (dest = 0xff; dest < ANY_ID >> 1; dest = dest << 1 | 1)
		expect(vm, 0, dest, 0, 0);
	vm_free(vm);
}

BOTH_MODES(shorthands)
{
	struct vm *vm = remote_vm(x2, N);
	int from;

	for (from = 0; from < N; from++) {
		expect(vm, from, 0, ICR_SELF, 1u << from);
		expect(vm, from, 0, ICR_ALL, ALL);
		expect(vm, from, 0, ICR_OTHERS, ALL & ~(1u << from));
		/* Whatever the destination says. */
		expect(vm, from, 2, ICR_SELF, 1u << from);
		expect(vm, from, 2, ICR_OTHERS | ICR_LOGICAL,
		       ALL & ~(1u << from));
	}
	vm_free(vm);
}

TEST(self_ipi_register)
{
	struct vm *vm = remote_vm(true, 2);
	u32 vector;

	for (vector = 16; vector < 256; vector++) {
		if (vector < 32)
			continue;
		EQ(remote_wrmsr(vm->vcpus[1], X2APIC_MSR(APIC_SELF_IPI),
				vector), VEC_NONE);
		EQ(got(vm, vector), 2);
	}
	EQ(remote_wrmsr(vm->vcpus[1], X2APIC_MSR(APIC_SELF_IPI), BIT(32)),
	   VEC_GP);
	if (!kvm_in_tree())
		EQ(remote_wrmsr(vm->vcpus[1], X2APIC_MSR(APIC_SELF_IPI), 0x140),
		   VEC_GP);
	vm_free(vm);
}

/* Logical destinations. SDM, "Logical Destination Mode". */

static void set_logical(struct vm *vm, u32 dfr, const u8 ldr[N])
{
	int i;

	for (i = 0; i < N; i++) {
		remote_apic_write(vm->vcpus[i], APIC_DFR, dfr);
		remote_apic_write(vm->vcpus[i], APIC_LDR, (u32)ldr[i] << 24);
	}
}

/* All ones is every APIC, whatever its LDR. */
static u32 flat_match(const u8 ldr[N], u32 dest)
{
	u32 set = 0;
	int i;

	if (dest == 0xff)
		return ALL;
	for (i = 0; i < N; i++) {
		if (ldr[i] & dest)
			set |= 1u << i;
	}
	return set;
}

static void flat(const u8 ldr[N])
{
	struct vm *vm = remote_vm(false, N);
	u32 dest;

	set_logical(vm, 0xffffffff, ldr);
	for (dest = 0; dest < 256; dest++)
		expect(vm, dest % N, dest, ICR_LOGICAL, flat_match(ldr, dest));
	vm_free(vm);
}

TEST(logical_flat)
{
	flat((const u8[N]){ 1, 2, 4, 8 });
}

/* Several with the same bit, with several bits, with none. */
static void need_overlapping(void)
{
	if (kvm_in_tree())
		skip("in-tree of 6.1 knows one vCPU for each bit");
}

TEST(logical_flat_overlapping)
{
	need_overlapping();
	flat((const u8[N]){ 0x11, 0x10, 0x81, 0 });
}

static u32 cluster_match(const u8 ldr[N], u32 dest)
{
	u32 set = 0;
	int i;

	if (dest == 0xff)
		return ALL;
	for (i = 0; i < N; i++) {
		if (ldr[i] >> 4 == dest >> 4 && (ldr[i] & dest & 15))
			set |= 1u << i;
	}
	return set;
}

static void cluster(const u8 ldr[N])
{
	struct vm *vm = remote_vm(false, N);
	u32 dest;

	set_logical(vm, 0x0fffffff, ldr);
	for (dest = 0; dest < 256; dest++) {
		/* Cluster 15 with some of its bits is nowhere described. */
		if (dest >> 4 == 15 && dest != 0xff)
			continue;
		expect(vm, dest % N, dest, ICR_LOGICAL,
		       cluster_match(ldr, dest));
	}
	vm_free(vm);
}

TEST(logical_cluster)
{
	cluster((const u8[N]){ 0x01, 0x02, 0x11, 0x14 });
}

TEST(logical_cluster_overlapping)
{
	need_overlapping();
	cluster((const u8[N]){ 0x23, 0x22, 0x00, 0xe1 });
}

/* Changed on the way: the next interrupt finds the new place. */
TEST(logical_changes)
{
	struct vm *vm = remote_vm(false, N);

	set_logical(vm, 0xffffffff, (const u8[N]){ 1, 2, 4, 8 });
	expect(vm, 0, 4, ICR_LOGICAL, 4);
	remote_apic_write(vm->vcpus[2], APIC_LDR, 0x40u << 24);
	expect(vm, 0, 4, ICR_LOGICAL, 0);
	expect(vm, 0, 0x40, ICR_LOGICAL, 4);
	set_logical(vm, 0x0fffffff, (const u8[N]){ 0x11, 0x12, 0x21, 0x22 });
	expect(vm, 0, 0x13, ICR_LOGICAL, 3);
	expect(vm, 0, 0x22, ICR_LOGICAL, 8);
	vm_free(vm);
}

/* x2APIC: cluster in bits 31:16, one bit of 15:0 each. */
TEST(logical_x2apic)
{
	static const int ids[] = { 0, 1, 15, 16, 17 };
	struct vm *vm = remote_vm(true, 0);
	u32 dest, cluster, i, want;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		remote_vcpu(vm, ids[i]);
		remote_wrmsr(vm->vcpus[i], MSR_APIC_BASE, APIC_DEFAULT_BASE |
			     APIC_BASE_ENABLED | APIC_BASE_X2APIC |
			     (i ? 0 : APIC_BASE_BSP));
		G(vm, guest_x2apic) = true;
		remote_apic_write(vm->vcpus[i], APIC_SVR,
				  SVR_ENABLED | VEC_SPURIOUS);
	}
	for (cluster = 0; cluster < 3; cluster++) {
		for (dest = 0; dest <= 16; dest++) {
			u32 bits = dest == 16 ? 0xffff : 1u << dest;

			for (want = 0, i = 0; i < ARRAY_SIZE(ids); i++) {
				if (ids[i] >> 4 == (int)cluster &&
				    bits >> (ids[i] & 15) & 1)
					want |= 1u << i;
			}
			expect(vm, 1, cluster << 16 | bits, ICR_LOGICAL, want);
		}
	}
	expect(vm, 1, 0x00018002, ICR_LOGICAL, 1u << 4);
	expect(vm, 1, ANY_ID, ICR_LOGICAL, 31);
	vm_free(vm);
}

/* Some in one mode and some in the other, by their IDs. */
TEST(mixed_modes)
{
	struct vm *vm = remote_vm(false, N);
	u32 i;

	need_x2apic();
	for (i = 2; i < N; i++)
		EQ(remote_wrmsr(vm->vcpus[i], MSR_APIC_BASE, APIC_DEFAULT_BASE |
				APIC_BASE_ENABLED | APIC_BASE_X2APIC),
		   VEC_NONE);
	for (i = 0; i < N; i++) {
		u32 vector = next_vector(), set = 0, at;

		remote_icr(vm->vcpus[0], i, ICR_ASSERT | vector);
		for (at = 0; at < N; at++)
			set |= lapic_bit(vm->vcpus[at], APIC_IRR, vector) << at;
		row(set == 1u << i, "to %u: got by %x", i, set);
	}
	vm_free(vm);
}

/* Lowest priority: one of them, and each in turn or by priority. */

static void one_of(struct vm *vm, u32 dest, u32 mode, u32 candidates)
{
	u32 vector = next_vector(), set;

	remote_icr(vm->vcpus[0], dest, ICR_ASSERT | mode | ICR_LOWEST | vector);
	set = got(vm, vector);
	row(__builtin_popcount(set) == 1 && !(set & ~candidates),
	    "to %x: got by %x, one of %x", dest, set, candidates);
}

TEST(lowest_priority_flat)
{
	const u8 ldr[N] = { 1, 2, 4, 8 };
	struct vm *vm = remote_vm(false, N);
	u32 dest;

	set_logical(vm, 0xffffffff, ldr);
	for (dest = 1; dest < 16; dest++)
		one_of(vm, dest, ICR_LOGICAL, dest);
	one_of(vm, 0xff, ICR_LOGICAL, ALL);
	vm_free(vm);
}

TEST(lowest_priority_cluster)
{
	const u8 ldr[N] = { 0x11, 0x12, 0x21, 0x22 };
	struct vm *vm = remote_vm(false, N);

	set_logical(vm, 0x0fffffff, ldr);
	one_of(vm, 0x13, ICR_LOGICAL, 3);
	one_of(vm, 0x12, ICR_LOGICAL, 2);
	/* In-tree may choose one of the two that are not there. */
	if (!kvm_in_tree())
		one_of(vm, 0x2f, ICR_LOGICAL, 12);
	vm_free(vm);
}

TEST(lowest_priority_x2apic)
{
	struct vm *vm = remote_vm(true, N);
	u32 dest;

	for (dest = 1; dest < 16; dest++)
		one_of(vm, dest, ICR_LOGICAL, dest);
	vm_free(vm);
}

TEST(lowest_priority_physical)
{
	struct vm *vm = remote_vm(false, N);
	u32 i;

	for (i = 0; i < N; i++)
		one_of(vm, i, 0, 1u << i);
	vm_free(vm);
}

/* One that is disabled takes no part. */
TEST(lowest_priority_passes_over_disabled)
{
	struct vm *vm = remote_vm(false, N);
	int i, round;

	set_logical(vm, 0xffffffff, (const u8[N]){ 1, 2, 4, 8 });
	for (i = 1; i < N; i++)
		remote_apic_write(vm->vcpus[i], APIC_SVR, VEC_SPURIOUS);
	for (round = 0; round < 8; round++)
		one_of(vm, 0xff, ICR_LOGICAL, 1);
	vm_free(vm);
}

/* SDM, "Local APIC State After It Has Been Software Disabled". */
BOTH_MODES(to_a_disabled_one)
{
	struct vm *vm = remote_vm(x2, N);

	remote_apic_write(vm->vcpus[2], APIC_SVR, VEC_SPURIOUS);
	expect(vm, 0, 2, 0, 0);
	expect(vm, 0, 0, ICR_ALL, ALL & ~4u);
	remote_icr(vm->vcpus[0], 2, ICR_ASSERT | ICR_NMI);
	remote_window(vm->vcpus[2]);
	EQ(PERCPU(vm->vcpus[2]).count[VEC_NMI], 1);
	vm_free(vm);
}

/* NMIs */

BOTH_MODES(nmi)
{
	struct vm *vm = remote_vm(x2, N);
	static const struct { u32 dest, mode, want; } sent[] = {
		{ 1, 0, 2 }, { 3, 0, 8 }, { 0, ICR_OTHERS, 14 }, { 9, 0, 0 },
	};
	u32 i;
	int k;

	for (i = 0; i < ARRAY_SIZE(sent); i++) {
		remote_icr(vm->vcpus[0], sent[i].dest, ICR_ASSERT | ICR_NMI |
			   sent[i].mode | 0x33);
		for (k = 0; k < N; k++) {
			struct vcpu *v = vm->vcpus[k];
			bool want = sent[i].want >> k & 1;

			log_clear(v);
			remote_window(v);
			row(PERCPU(v).count[VEC_NMI] == want &&
			    PERCPU(v).taken == want,
			    "NMI %u at vCPU %d", i, k);
		}
	}
	vm_free(vm);
}

/* What was written can be read; nothing is under way for long. */
TEST(icr_reads_back_xapic)
{
	struct vcpu *v = remote_vm(false, 1)->vcpus[0];

	remote_apic_write(v, APIC_ICR2, 0x21000000);
	remote_apic_write(v, APIC_ICR, ICR_ASSERT | 0x45);
	EQ(remote_apic_read(v, APIC_ICR2), 0x21000000);
	EQ(remote_apic_read(v, APIC_ICR), ICR_ASSERT | 0x45);
	vm_free(v->vm);
}

TEST(icr_reads_back_x2apic)
{
	struct vcpu *v = remote_vm(true, 1)->vcpus[0];
	struct kvm_lapic_state s;
	u64 value;

	EQ(remote_wrmsr(v, X2APIC_MSR(APIC_ICR), 0x12345678ull << 32 |
			ICR_ASSERT | 0x45), VEC_NONE);
	EQ(remote_rdmsr(v, X2APIC_MSR(APIC_ICR), &value), VEC_NONE);
	EQ(value, 0x12345678ull << 32 | ICR_ASSERT | 0x45);
	/* User space sees the halves at their xAPIC places, too. */
	get_lapic(v, &s);
	EQ(LAPIC_REG(&s, APIC_ICR), ICR_ASSERT | 0x45);
	EQ(LAPIC_REG(&s, APIC_ICR2), 0x12345678);
	set_lapic(v, &s);
	EQ(remote_rdmsr(v, X2APIC_MSR(APIC_ICR), &value), VEC_NONE);
	EQ(value, 0x12345678ull << 32 | ICR_ASSERT | 0x45);
	vm_free(v->vm);
}

/* INIT and start-up. SDM, "MP Initialization Protocol Algorithm". */

/* Says who it is, by CS, and halts with interrupts off. */
CODE(ap_code, 16,
	"movw %cs, %ax; outw %ax, $0xe1\n"
	"1: hlt; jmp 1b");

/* In-tree finds a new vCPU only once some APIC's state has changed. */
static struct vcpu *waiting_vcpu(struct vm *vm, int id)
{
	struct vcpu *v = vcpu_apic(vm, id);
	struct kvm_lapic_state s;

	if (kvm_in_tree()) {
		get_lapic(v, &s);
		set_lapic(v, &s);
	}

	EQ(get_mp_state(v), KVM_MP_STATE_UNINITIALIZED);
	return v;
}

static void init_sipi(struct vcpu *from, u32 dest, u32 mode, u32 page)
{
	remote_icr(from, dest, mode | ICR_INIT | ICR_LEVEL | ICR_ASSERT);
	remote_icr(from, dest, mode | ICR_INIT | ICR_LEVEL);
	remote_icr(from, dest, mode | ICR_SIPI | ICR_ASSERT | page);
}

static void check_started(struct vcpu *v, u32 page)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	vcpu_until(v, STOP_SYNC);
	EQ(v->value, page << 8);
	get_sregs(v, &s);
	EQ(s.cs.base, page << 12);
	EQ(s.cs.selector, page << 8);
	EQ(s.cr0 & (CR0_PE | CR0_PG), 0);
	EQ(s.efer, 0);
	get_regs(v, &r);
	EQ(r.rdx & 0xf00, cpuid_find(supported_cpuid(), 1, 0)->eax & 0xf00);
	EQ(get_mp_state(v), KVM_MP_STATE_RUNNABLE);
}

BOTH_MODES(start_up)
{
	struct vm *vm = remote_vm(x2, 1);
	struct vcpu *ap = waiting_vcpu(vm, 1), *other = waiting_vcpu(vm, 2);
	u32 page;

	for (page = 0x20; page < 0x40; page += 9) {
		code_load(vm, page << 12, ap_code, ap_code_end);
		init_sipi(vm->vcpus[0], 1, 0, page);
		check_started(ap, page);
	}
	EQ(get_mp_state(other), KVM_MP_STATE_UNINITIALIZED);
	vm_free(vm);
}

BOTH_MODES(start_up_of_all_others)
{
	struct vm *vm = remote_vm(x2, 1);
	int i;

	code_load(vm, 0x20000, ap_code, ap_code_end);
	for (i = 1; i < N; i++)
		waiting_vcpu(vm, i);
	init_sipi(vm->vcpus[0], 0, ICR_OTHERS, 0x20);
	for (i = 1; i < N; i++)
		check_started(vm->vcpus[i], 0x20);
	vm_free(vm);
}

/* A second start-up IPI comes too late, as most firmware sends it. */
TEST(second_start_up_ignored)
{
	struct vm *vm = remote_vm(false, 1);
	struct vcpu *ap = waiting_vcpu(vm, 1);

	code_load(vm, 0x20000, ap_code, ap_code_end);
	code_load(vm, 0x30000, ap_code, ap_code_end);
	init_sipi(vm->vcpus[0], 1, 0, 0x20);
	check_started(ap, 0x20);
	remote_icr(vm->vcpus[0], 1, ICR_SIPI | ICR_ASSERT | 0x30);
	EQ(get_mp_state(ap), KVM_MP_STATE_RUNNABLE);
	EQ(get_rip(ap) < 16, 1);
	vm_free(vm);
}

/* Without INIT before it, a start-up IPI does nothing. */
TEST(start_up_without_init)
{
	struct vm *vm = remote_vm(false, 2);

	remote_icr(vm->vcpus[0], 1, ICR_SIPI | ICR_ASSERT | 0x20);
	EQ(get_mp_state(vm->vcpus[1]), KVM_MP_STATE_RUNNABLE);
	EQ(remote_apic_read(vm->vcpus[1], APIC_SVR),
	   SVR_ENABLED | VEC_SPURIOUS);
	vm_free(vm);
}

/* INIT stops a running one: registers as after reset, APIC ID and base kept. */
BOTH_MODES(init_of_a_running_one)
{
	struct vm *vm = remote_vm(x2, 2);
	struct vcpu *ap = vm->vcpus[1];
	struct kvm_sregs s;

	remote_apic_write(ap, APIC_LVT_LINT1, 0x41);
	remote_apic_write(ap, APIC_TPR, 0x40);
	remote_icr(vm->vcpus[0], 1, ICR_INIT | ICR_LEVEL | ICR_ASSERT);
	EQ(get_mp_state(ap), KVM_MP_STATE_INIT_RECEIVED);
	EQ(lapic_reg(ap, APIC_LVT_LINT1), LVT_MASKED);
	EQ(lapic_reg(ap, APIC_TPR), 0);
	EQ(lapic_reg(ap, APIC_SVR), 0xff);
	get_sregs(ap, &s);
	EQ(s.apic_base, APIC_DEFAULT_BASE | APIC_BASE_ENABLED |
	   (x2 ? APIC_BASE_X2APIC : 0));
	EQ(s.cr0 & ~(CR0_CD | CR0_NW), CR0_ET);
	code_load(vm, 0x20000, ap_code, ap_code_end);
	remote_icr(vm->vcpus[0], 1, ICR_SIPI | ICR_ASSERT | 0x20);
	check_started(ap, 0x20);
	vm_free(vm);
}

/* The bootstrap processor begins at the reset vector again, without SIPI. */
TEST(init_of_the_first)
{
	struct vm *vm = remote_vm(false, 2);
	struct kvm_sregs s;

	remote_icr(vm->vcpus[1], 0, ICR_INIT | ICR_LEVEL | ICR_ASSERT);
	EQ(get_mp_state(vm->vcpus[0]), KVM_MP_STATE_RUNNABLE);
	get_sregs(vm->vcpus[0], &s);
	EQ(s.cs.base, 0xffff0000);
	EQ(get_rip(vm->vcpus[0]), 0xfff0);
	EQ(s.apic_base & APIC_BASE_BSP, APIC_BASE_BSP);
	vm_free(vm);
}

/* INIT level de-assert is for bus arbitration only. */
TEST(init_deassert)
{
	struct vm *vm = remote_vm(false, 2);

	remote_icr(vm->vcpus[0], 1, ICR_INIT | ICR_LEVEL);
	EQ(get_mp_state(vm->vcpus[1]), KVM_MP_STATE_RUNNABLE);
	EQ(remote_window(vm->vcpus[1]), 0);
	vm_free(vm);
}

/* Interrupts to one that waits for start-up: INIT resets what waited. */
TEST(interrupt_before_start_up)
{
	struct vm *vm = remote_vm(false, 1);
	struct vcpu *ap = waiting_vcpu(vm, 1);

	expect(vm, 0, 1, 0, 0);
	code_load(vm, 0x20000, ap_code, ap_code_end);
	init_sipi(vm->vcpus[0], 1, 0, 0x20);
	check_started(ap, 0x20);
	vm_free(vm);
}

/* KVM_SET_BOOT_CPU_ID is for before the first vCPU. */
TEST(boot_cpu)
{
	struct vm *vm;

	need_cap(KVM_CAP_SET_BOOT_CPU_ID);
	vm = vm_irqchip();
	WORKS(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 2));
	EQ(get_mp_state(vcpu_apic(vm, 0)), KVM_MP_STATE_UNINITIALIZED);
	EQ(get_mp_state(vcpu_apic(vm, 2)), KVM_MP_STATE_RUNNABLE);
	FAILS(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 0), EBUSY);
	vm_free(vm);
}

/* MSIs. SDM, "Message Address Register Format", "Message Data ...". */

#define MSI(dest)	(APIC_DEFAULT_BASE | (dest) << 12)
#define MSI_LOGICAL	4u		/* with redirection hint */
#define MSI_HINT	8u

static void expect_msi(struct vm *vm, u32 address, u32 data, u32 want)
{
	u32 vector = next_vector(), set;
	int r = signal_msi(vm, address, data | vector);

	set = got(vm, vector);
	row(set == want && r == (want ? __builtin_popcount(want) : r),
	    "MSI %x/%x: %d, got by %x, expected %x", address, data, r, set,
	    want);
}

BOTH_MODES(msi_physical)
{
	struct vm *vm = remote_vm(x2, N);
	u32 dest;

	need_cap(KVM_CAP_SIGNAL_MSI);
	for (dest = 0; dest < 16; dest++)
		expect_msi(vm, MSI(dest), 0, dest < N ? 1u << dest : 0);
	expect_msi(vm, MSI(0xffu), 0, ALL);
	vm_free(vm);
}

TEST(msi_logical)
{
	const u8 ldr[N] = { 1, 2, 4, 8 };
	struct vm *vm = remote_vm(false, N);
	u32 dest;

	need_cap(KVM_CAP_SIGNAL_MSI);
	set_logical(vm, 0xffffffff, ldr);
	for (dest = 0; dest < 256; dest++)
		expect_msi(vm, MSI(dest) | MSI_LOGICAL, 0,
			   flat_match(ldr, dest));
	vm_free(vm);
}

TEST(msi_lowest_priority)
{
	const u8 ldr[N] = { 1, 2, 4, 8 };
	struct vm *vm = remote_vm(false, N);
	u32 dest, vector, set;

	need_cap(KVM_CAP_SIGNAL_MSI);
	set_logical(vm, 0xffffffff, ldr);
	for (dest = 1; dest < 16; dest++) {
		vector = next_vector();
		EQ(signal_msi(vm, MSI(dest) | MSI_LOGICAL | MSI_HINT,
			      ICR_LOWEST | vector), 1);
		set = got(vm, vector);
		row(__builtin_popcount(set) == 1 && !(set & ~dest),
		    "to %x: got by %x", dest, set);
	}
	vm_free(vm);
}

/* NMI and INIT by message; a vCPU in INIT gets its start-up by none. */
TEST(msi_nmi)
{
	struct vm *vm = remote_vm(false, 2);
	struct vcpu *v = vm->vcpus[1];

	need_cap(KVM_CAP_SIGNAL_MSI);
	WORKS(signal_msi(vm, MSI(1), ICR_NMI));
	remote_window(v);
	EQ(PERCPU(v).count[VEC_NMI], 1);
	EQ(PERCPU(v).taken, 1);
	vm_free(vm);
}

/* With KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK, ID 255 is one vCPU's. */
TEST(msi_to_255_x2apic)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X2APIC_API,
		.args[0] = KVM_X2APIC_API_USE_32BIT_IDS |
			   KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
	};
	struct kvm_msi msi = { .data = 0x55 };
	struct vm *vm;

	need_cap(KVM_CAP_X2APIC_API);
	vm = remote_vm(true, 2);
	WORKS(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	expect_msi(vm, MSI(0xffu), 0, 0);
	/* Bits 31:8 of the ID are in those of address_hi; 7:0 must be 0. */
	msi.address_lo = MSI(1);
	msi.address_hi = 1;
	FAILS(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi), EINVAL);
	msi.address_hi = 0x100;
	ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
	EQ(got(vm, 0x55), 0);
	msi.address_lo = MSI(0xffu);
	msi.address_hi = 0xffffff00;
	EQ(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi), 2);
	EQ(got(vm, 0x55), 3);
	vm_free(vm);
}
