// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID: the guest sees what KVM_SET_CPUID2 gave it, with the bits that
 * follow the vCPU's state (OSXSAVE, OSPKE, XSAVE sizes, APIC) kept right.
 */
#include <asm/kvm_para.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define HYPERVISOR_LEAF	0x40000000
#define BIT_OSXSAVE	27		/* leaf 1 ECX */
#define BIT_XSAVE	26
#define BIT_APIC	9		/* leaf 1 EDX */
#define BIT_OSPKE	4		/* leaf 7 ECX */
#define BIT_PKU		3

/* What the guest is to check: input, expected output, bits that count. */
struct cpuid_case {
	u32 leaf, sub;
	u32 want[4], mask[4];
};

#define MAX_CASES	256

static struct cpuid_case cases[MAX_CASES];
static volatile u32 nr_cases;
static volatile u32 failed_case;

static void g_check_cases(void)
{
	u32 i, r, out[4];

	for (i = 0; i < nr_cases; i++) {
		failed_case = i;
		cpuid(cases[i].leaf, cases[i].sub, out);
		for (r = 0; r < 4; r++)
			G_EQ(out[r] & cases[i].mask[r],
			     cases[i].want[r] & cases[i].mask[r]);
	}
}

static struct vcpu *start_with(void (*entry)(void), struct kvm_cpuid2 *c)
{
	struct vcpu *v = vcpu_bare(vm_new(), 0);

	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	vcpu_long(v, entry);
	return v;
}

/* Without local APICs in the kernel the guest is not told of these. */
#define PV_WITH_APIC	(BIT(KVM_FEATURE_ASYNC_PF) |			\
			 BIT(KVM_FEATURE_ASYNC_PF_INT) |		\
			 BIT(KVM_FEATURE_PV_EOI) |			\
			 BIT(KVM_FEATURE_PV_UNHALT) |			\
			 BIT(KVM_FEATURE_PV_SEND_IPI) |			\
			 BIT(KVM_FEATURE_PV_SCHED_YIELD))

static u32 eax_without_apic(struct kvm_cpuid2 *c,
			    const struct kvm_cpuid_entry2 *e)
{
	if (e->function != KVM_CPUID_FEATURES || kvm_in_tree() ||
	    memcmp(&cpuid_find(c, KVM_CPUID_SIGNATURE, 0)->ebx, "KVMKVMKVM",
		   9))
		return e->eax;
	return e->eax & ~PV_WITH_APIC;
}

static void add_case(struct kvm_cpuid2 *all, const struct kvm_cpuid_entry2 *e)
{
	struct cpuid_case *c = &cases[nr_cases++];

	*c = (struct cpuid_case){
		.leaf = e->function, .sub = e->index,
		.want = { eax_without_apic(all, e), e->ebx, e->ecx, e->edx },
		.mask = { ~0u, ~0u, ~0u, ~0u },
	};
	if (e->function == 1) {
		c->mask[2] &= ~(1u << BIT_OSXSAVE);
		c->mask[3] &= ~(1u << BIT_APIC);
	} else if (e->function == 7 && e->index == 0) {
		c->mask[2] &= ~(1u << BIT_OSPKE);
	} else if (e->function == 0xd && e->index <= 1) {
		c->mask[1] = 0;
	}
}

static void check_cases(struct kvm_cpuid2 *c)
{
	struct vcpu *v;
	u32 i;
	int stop;

	nr_cases = 0;
	for (i = 0; i < c->nent && i < MAX_CASES; i++)
		add_case(c, &c->entries[i]);
	v = start_with(g_check_cases, c);
	stop = vcpu_run(v);
	if (stop != KVM_EXIT_IO || v->run->io.port != PORT_DONE) {
		i = G(v->vm, failed_case);
		fail("leaf 0x%x.%u: got 0x%llx, expected 0x%llx",
		     cases[i].leaf, cases[i].sub,
		     G(v->vm, guest_failure).got, G(v->vm, guest_failure).want);
	}
	vm_free(v->vm);
}

TEST(supported_leaves_reach_the_guest)
{
	check_cases(supported_cpuid());
}

static void set_leaf(struct kvm_cpuid2 *c, u32 leaf, u32 a, u32 b, u32 cx,
		     u32 d)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(c, leaf, 0);

	if (!e) {
		e = &c->entries[c->nent++];
		memset(e, 0, sizeof(*e));
		e->function = leaf;
	}
	e->eax = a;
	e->ebx = b;
	e->ecx = cx;
	e->edx = d;
}

/* Model strings, a signature and topology are the monitor's to choose. */
TEST(made_up_leaves)
{
	struct kvm_cpuid2 *c = cpuid_copy();

	set_leaf(c, HYPERVISOR_LEAF, HYPERVISOR_LEAF + 5, 0x41424344,
		 0x45464748, 0x494a4b4c);
	set_leaf(c, HYPERVISOR_LEAF + 5, 1, 0xffffffff, 0x80000000, 5);
	set_leaf(c, 0x80000002, 0x74736554, 0x55504320, 0x6f4d2020, 0x6c656420);
	set_leaf(c, 2, 0x00feff01, 1, 2, 3);
	check_cases(c);
	free(c);
}

/* A small model: leaves 0 to 2 and the highest extended leaf. */
static struct kvm_cpuid2 *small_model(void)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	u32 i, n = 0;

	for (i = 0; i < c->nent; i++) {
		u32 leaf = c->entries[i].function;

		if (leaf <= 2 || leaf >= 0x80000000)
			c->entries[n++] = c->entries[i];
	}
	c->nent = n;
	cpuid_find(c, 0, 0)->eax = 2;
	set_leaf(c, 2, 0x11223301, 0x22334455, 0x33445566, 0x44556677);
	return c;
}

static void want_leaf2(u32 i, u32 leaf)
{
	cases[i] = (struct cpuid_case){
		.leaf = leaf,
		.want = { 0x11223301, 0x22334455, 0x33445566, 0x44556677 },
		.mask = { ~0u, ~0u, ~0u, ~0u },
	};
}

/* SDM, CPUID: above the highest basic leaf that leaf's data come back. */
TEST(above_the_highest_leaf)
{
	struct kvm_cpuid2 *c = small_model();
	struct vcpu *v;

	want_leaf2(0, 3);
	want_leaf2(1, 0x3fffffff);
	want_leaf2(2, cpuid_find(c, 0x80000000, 0)->eax + 1);
	nr_cases = 3;
	v = start_with(g_check_cases, c);
	vcpu_done(v);
	vm_free(v->vm);
	free(c);
}

/* SDM, CPUID leaf 7 and leaf 0BH: a subleaf that does not exist. */
TEST(subleaf_out_of_range)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct kvm_cpuid_entry2 *e;
	struct vcpu *v;
	u32 i, n = 0;

	for (i = 0; i < c->nent; i++) {
		if (c->entries[i].function != 0xb)
			c->entries[n++] = c->entries[i];
	}
	c->nent = n + 2;
	e = &c->entries[n];
	e[0] = (struct kvm_cpuid_entry2){
		.function = 0xb, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.index = 0, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 6,
	};
	e[1] = (struct kvm_cpuid_entry2){
		.function = 0xb, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.index = 1, .eax = 4, .ebx = 4, .ecx = 0x201, .edx = 6,
	};
	cases[0] = (struct cpuid_case){
		.leaf = 7, .sub = 50, .mask = { ~0u, ~0u, ~0u, ~0u },
	};
	cases[1] = (struct cpuid_case){
		.leaf = 0xb, .sub = 9, .want = { 0, 0, 9, 6 },
		.mask = { ~0u, ~0u, ~0u, ~0u },
	};
	nr_cases = 2;
	v = start_with(g_check_cases, c);
	vcpu_done(v);
	vm_free(v->vm);
	free(c);
}

static void g_osxsave(void)
{
	u32 out[4];

	cpuid(1, 0, out);
	G_EQ(out[2] >> BIT_OSXSAVE & 1, 0);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	cpuid(1, 0, out);
	G_EQ(out[2] >> BIT_OSXSAVE & 1, 1);
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	cpuid(1, 0, out);
	G_EQ(out[2] >> BIT_OSXSAVE & 1, 0);
}

TEST(osxsave_follows_cr4)
{
	if (!cpu_has(1, 2, BIT_XSAVE))
		skip("the processor has no XSAVE");
	guest_run(g_osxsave);
}

static void g_ospke(void)
{
	u32 out[4];

	cpuid(7, 0, out);
	G_EQ(out[2] >> BIT_OSPKE & 1, 0);
	write_cr4(read_cr4() | CR4_PKE);
	cpuid(7, 0, out);
	G_EQ(out[2] >> BIT_OSPKE & 1, 1);
	write_cr4(read_cr4() & ~CR4_PKE);
	cpuid(7, 0, out);
	G_EQ(out[2] >> BIT_OSPKE & 1, 0);
}

TEST(ospke_follows_cr4)
{
	if (!cpu_has(7, 2, BIT_PKU))
		skip("the processor has no protection keys");
	guest_run(g_ospke);
}

/* The same bits when user space changes CR4. */
static void g_report_leaf1(void)
{
	u32 out[4];

	for (;;) {
		cpuid(1, 0, out);
		guest_sync(out[2]);
	}
}

TEST(osxsave_follows_set_sregs)
{
	struct vcpu *v = guest_start(g_report_leaf1);
	struct kvm_sregs s;

	if (!cpu_has(1, 2, BIT_XSAVE))
		skip("the processor has no XSAVE");
	vcpu_until(v, STOP_SYNC);
	EQ(v->value >> BIT_OSXSAVE & 1, 0);
	get_sregs(v, &s);
	s.cr4 |= CR4_OSXSAVE;
	set_sregs(v, &s);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value >> BIT_OSXSAVE & 1, 1);
	vm_free(v->vm);
}

/*
 * Leaf 0DH subleaf 0 EBX: bytes the states enabled in XCR0 need. Each state
 * has its size in EAX and its offset in EBX of its own subleaf.
 */
static u32 g_xsave_size(u64 xcr0)
{
	u32 i, out[4], size = 512 + 64;

	for (i = 2; i < 63; i++) {
		if (!(xcr0 & BIT(i)))
			continue;
		cpuid(0xd, i, out);
		if (out[1] + out[0] > size)
			size = out[1] + out[0];
	}
	return size;
}

static u64 g_xcr0_values[] = { 1, 3, 7, 0x1b, 0x1f, 0xe7, 0xff, 0x207, 0x2ff };

static void g_xsave_sizes(void)
{
	u32 i, out[4];
	u64 all, value;

	write_cr4(read_cr4() | CR4_OSXSAVE);
	cpuid(0xd, 0, out);
	all = out[0] | (u64)out[3] << 32;
	G_EQ(out[2], g_xsave_size(all));
	for (i = 0; i < ARRAY_SIZE(g_xcr0_values); i++) {
		value = g_xcr0_values[i];
		if (value & ~all)
			continue;
		xsetbv(0, value);
		G_EQ(xgetbv(0), value);
		cpuid(0xd, 0, out);
		G_EQ(out[1], g_xsave_size(value));
	}
}

TEST(xsave_size_follows_xcr0)
{
	if (!cpu_has(1, 2, BIT_XSAVE))
		skip("the processor has no XSAVE");
	guest_run(g_xsave_sizes);
}

/*
 * Subleaf 1 EBX: the same in the compacted format, where states follow each
 * other, aligned to 64 bytes if ECX bit 1 of their subleaf says so.
 */
static u32 g_compact_size(u64 states)
{
	u32 i, out[4], size = 512 + 64;

	for (i = 2; i < 63; i++) {
		if (!(states & BIT(i)))
			continue;
		cpuid(0xd, i, out);
		if (out[2] & 2)
			size = (size + 63) & ~63u;
		size += out[0];
	}
	return size;
}

static void g_compact_sizes(void)
{
	u32 i, out[4];
	u64 all;

	write_cr4(read_cr4() | CR4_OSXSAVE);
	cpuid(0xd, 0, out);
	all = out[0];
	for (i = 0; i < ARRAY_SIZE(g_xcr0_values); i++) {
		if (g_xcr0_values[i] & ~all)
			continue;
		xsetbv(0, g_xcr0_values[i]);
		cpuid(0xd, 1, out);
		G_EQ(out[1], g_compact_size(g_xcr0_values[i]));
	}
}

TEST(compact_xsave_size_follows_xcr0)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 0xd, 1);

	if (!e || !(e->eax & (BIT(1) | BIT(3))))
		skip("the processor has no XSAVEC and XSAVES");
	guest_run(g_compact_sizes);
}

/* The upper halves of the four registers are cleared; no other changes. */
static void g_clobbers(void)
{
	u64 a = 0xffffffff00000000ull, b = ~0ull, c = 0xffffffff00000000ull;
	u64 d = ~0ull, si = 0x1111, di = 0x2222;

	asm volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d),
			       "+S"(si), "+D"(di));
	G_EQ((a | b | c | d) >> 32, 0);
	G_EQ(si, 0x1111);
	G_EQ(di, 0x2222);
}

TEST(clears_upper_halves)
{
	guest_run(g_clobbers);
}

/* CPUID cannot be forbidden and works in every mode. */
CODE(code_cpuid16, 16, "xorl %eax, %eax; cpuid; movl %ebx, %eax; "
		       "outl %eax, $0xe1");
CODE(code_cpuid32, 32, "xorl %eax, %eax; cpuid; movl %ebx, %eax; "
		       "outl %eax, $0xe1");

static void vendor_from(struct vcpu *v)
{
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, cpuid_find(supported_cpuid(), 0, 0)->ebx);
}

TEST(every_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	int paging;

	code_load(vm, G_CODE, code_cpuid16, code_cpuid16_end);
	vcpu_real(v, G_CODE);
	vendor_from(v);
	vcpu_prot16(v, G_CODE);
	vendor_from(v);
	code_load(vm, G_CODE, code_cpuid32, code_cpuid32_end);
	for (paging = PAGING_OFF; paging <= PAGING_PAE; paging++) {
		vcpu_prot32(v, G_CODE, paging);
		vendor_from(v);
	}
	vcpu_compat(v, G_CODE);
	vendor_from(v);
	vm_free(vm);
}

/* KVM_GET_CPUID2 gives back what was set, apart from dynamic bits. */
TEST(get_cpuid2)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_cpuid2 *set = supported_cpuid(), *got = cpuid_copy();
	u32 i;

	if (!has_cap(KVM_CAP_EXT_CPUID))
		skip("waits for KVM_CAP_EXT_CPUID");
	got->nent = set->nent - 1;
	FAILS(ioctl(v->fd, KVM_GET_CPUID2, got), E2BIG);
	got->nent = MAX_CASES;
	WORKS(ioctl(v->fd, KVM_GET_CPUID2, got));
	/* Before 6.8 the kernel's own leaves nent as it was on success. */
	if (!kvm_in_tree())
		EQ(got->nent, set->nent);
	for (i = 0; i < set->nent; i++) {
		EQ(got->entries[i].function, set->entries[i].function);
		EQ(got->entries[i].index, set->entries[i].index);
		EQ(got->entries[i].eax, eax_without_apic(set, &set->entries[i]));
	}
	vm_free(v->vm);
}

/* Monitors set the same model again on reset; that must keep working. */
TEST(same_model_after_run)
{
	struct vcpu *v = guest_start(g_report_leaf1);

	vcpu_until(v, STOP_SYNC);
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, supported_cpuid()));
	vcpu_until(v, STOP_SYNC);
	vm_free(v->vm);
}

/* Two vCPUs have a model each: here the APIC id. */
TEST(one_model_per_vcpu)
{
	struct vm *vm = vm_new();
	struct kvm_cpuid2 *c = cpuid_copy();
	struct vcpu *v[2];
	int i;

	for (i = 0; i < 2; i++) {
		struct kvm_cpuid_entry2 *e = cpuid_find(c, 1, 0);

		v[i] = vcpu_bare(vm, i);
		e->ebx = (e->ebx & 0xffffff) | (u32)(i + 0x10) << 24;
		e->ecx = i ? e->ecx | 1u << 31 : e->ecx & ~(1u << 31);
		WORKS(ioctl(v[i]->fd, KVM_SET_CPUID2, c));
		vcpu_long(v[i], g_report_leaf1);
	}
	vcpu_until(v[0], STOP_SYNC);
	vcpu_until(v[1], STOP_SYNC);
	EQ(v[0]->value >> 31, 0);
	EQ(v[1]->value >> 31, 1);
	free(c);
	vm_free(vm);
}

/* Features the backend cannot give must not be reported as supported. */
/* INVPCID goes with PCIDs: a monitor that leaves these out leaves out both. */
static void g_invpcid(void)
{
	G_EQ(TRY("invpcid (%%rsp), %%rax", NO_OUTS, "a"(2)), VEC_UD);
}

TEST(no_invpcid_without_pcid)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct vcpu *v;

	if (!cpu_has(7, 1, 10))
		skip("the processor has no INVPCID");
	if (kvm_in_tree())
		skip("in-tree lets guests have INVPCID alone");
	cpuid_find(c, 1, 0)->ecx &= ~BIT(17);
	v = start_with(g_invpcid, c);
	vcpu_done(v);
	WORKS(ioctl(v->fd, KVM_GET_CPUID2, c));
	EQ(cpuid_find(c, 7, 0)->ebx & BIT(10), 0);
	vm_free(v->vm);
	free(c);
}

TEST(supported_is_sane)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 0, 0);
	u32 host[4];

	cpuid(0, 0, host);
	CHECK(e && e->eax >= 1);
	EQ(e->ebx, host[1]);
	EQ(e->ecx, host[2]);
	EQ(e->edx, host[3]);
	e = cpuid_find(supported_cpuid(), 0x80000001, 0);
	CHECK(e);
	CHECK(e->edx & BIT(29));		/* long mode */
	CHECK(e->edx & BIT(20));		/* NX */
	e = cpuid_find(supported_cpuid(), 0x80000008, 0);
	CHECK(e && (e->eax & 0xff) >= 36 && (e->eax & 0xff) <= 52);
}
