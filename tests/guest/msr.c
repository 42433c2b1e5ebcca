// SPDX-License-Identifier: GPL-2.0-only
/*
 * Model-specific registers: which the guest may read and write, which values
 * fault, and KVM_GET_MSRS / KVM_SET_MSRS with their index list.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define MSR_TSC			0x10
#define MSR_APIC_BASE		0x1b
#define MSR_TSC_ADJUST		0x3b
#define MSR_BIOS_SIGN_ID	0x8b
#define MSR_MTRRCAP		0xfe
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_MCG_CAP		0x179
#define MSR_MISC_ENABLE		0x1a0
#define MSR_MTRR_PHYSBASE0	0x200
#define MSR_MTRR_PHYSMASK0	0x201
#define MSR_MTRR_FIX64K		0x250
#define MSR_MTRR_FIX16K_80000	0x258
#define MSR_MTRR_FIX4K_F8000	0x26f
#define MSR_PAT			0x277
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MSR_PERF_CAPABILITIES	0x345
#define MSR_MC0_CTL		0x400
#define MSR_MC_END		0x480
#define MSR_KVM_PV_EOI_EN	0x4b564d06
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_FMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103

#define NON_CANONICAL	0x8000000000000000ull
#define CANONICAL_HIGH	0xffff800000001000ull

enum write { ACCEPT, FAULT };

/* One write: does it fault, and if not, is it read back? */
struct msr_write {
	u32 index;
	u64 value;
	enum write want;
	bool reads_back;
};

#define GOOD(i, v)	{ i, v, ACCEPT, true }
#define SWALLOWED(i, v)	{ i, v, ACCEPT, false }
#define BAD(i, v)	{ i, v, FAULT, false }

static const struct msr_write writes[] = {
	GOOD(MSR_SYSENTER_CS, 0x10),
	GOOD(MSR_SYSENTER_ESP, CANONICAL_HIGH),
	BAD(MSR_SYSENTER_ESP, NON_CANONICAL),
	GOOD(MSR_SYSENTER_EIP, CANONICAL_HIGH),
	BAD(MSR_SYSENTER_EIP, NON_CANONICAL),
	GOOD(MSR_STAR, 0x1122334455667788ull),
	GOOD(MSR_LSTAR, CANONICAL_HIGH),
	BAD(MSR_LSTAR, NON_CANONICAL),
	GOOD(MSR_CSTAR, CANONICAL_HIGH),
	BAD(MSR_CSTAR, NON_CANONICAL),
	GOOD(MSR_FMASK, 0x47700),
	GOOD(MSR_FS_BASE, CANONICAL_HIGH),
	BAD(MSR_FS_BASE, NON_CANONICAL),
	GOOD(MSR_GS_BASE, 0x7ffffffff000ull),
	BAD(MSR_GS_BASE, NON_CANONICAL),
	GOOD(MSR_KERNEL_GS_BASE, CANONICAL_HIGH),
	BAD(MSR_KERNEL_GS_BASE, NON_CANONICAL),
	GOOD(MSR_PAT, 0x0007040600070406ull),
	GOOD(MSR_PAT, 0x0606060606060606ull),
	BAD(MSR_PAT, 0x0000000000000002ull),	/* reserved types */
	BAD(MSR_PAT, 0x0300000000000000ull),
	BAD(MSR_PAT, 0x0000000800000000ull),
	GOOD(MSR_PAT, 0x0007040600070406ull),
	GOOD(MSR_MTRR_DEF_TYPE, 0xc06),
	GOOD(MSR_MTRR_DEF_TYPE, 0),
	BAD(MSR_MTRR_DEF_TYPE, 0xc02),
	BAD(MSR_MTRR_DEF_TYPE, 0x1c06 & ~0xc00ull),
	GOOD(MSR_MTRR_FIX64K, 0x0606060606060606ull),
	BAD(MSR_MTRR_FIX64K, 0x0606060606060602ull),
	GOOD(MSR_MTRR_FIX16K_80000, 0x0505050504040404ull),
	GOOD(MSR_MTRR_FIX4K_F8000, 0x0101010100000000ull),
	GOOD(MSR_MTRR_PHYSBASE0, 0xe0000006ull),
	BAD(MSR_MTRR_PHYSBASE0, 0xe0000002ull),
	BAD(MSR_MTRR_PHYSBASE0, 0xe0000006ull | BIT(60)),
	GOOD(MSR_MTRR_PHYSMASK0, 0xf0000800ull),
	BAD(MSR_MTRR_PHYSMASK0, 0xf0000800ull | BIT(60)),
	BAD(MSR_MTRRCAP, 0x508),		/* read only */
	SWALLOWED(MSR_BIOS_SIGN_ID, 0),
	BAD(0x12345, 0),			/* no such MSR */
	BAD(0xffffffff, 0),
	BAD(0x40000fff, 0),
	BAD(0xc0011fff, 0),
};

static void g_writes(void)
{
	u64 value;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		const struct msr_write *w = &writes[i];
		u32 vector = try_wrmsr(w->index, w->value);
		bool same = false;

		if (w->reads_back && vector == VEC_NONE)
			same = try_rdmsr(w->index, &value) == VEC_NONE &&
			       value == w->value;
		guest_sync(vector | (u32)same << 8);
	}
}

TEST(guest_writes)
{
	struct vcpu *v = guest_start(g_writes);
	u32 i;

	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		const struct msr_write *w = &writes[i];
		u32 want = w->want == FAULT ? VEC_GP : VEC_NONE;

		vcpu_until(v, STOP_SYNC);
		row((v->value & 0xff) == want &&
		    (!w->reads_back || v->value >> 8 == 1),
		    "WRMSR 0x%x = 0x%llx: %s%s", w->index, w->value,
		    (v->value & 0xff) == VEC_NONE ? "accepted" : "faulted",
		    w->reads_back && !(v->value >> 8) ? ", not read back" : "");
	}
	vcpu_done(v);
	vm_free(v->vm);
}

/* KVM_SET_MSRS judges values as WRMSR does: refused ones count as not done. */
TEST(user_space_writes)
{
	struct vcpu *v = guest_start(guest_done);
	u32 i;

	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		const struct msr_write *w = &writes[i];
		u64 back;
		int r;

		/*
		 * MTRRcap is user space's to define, and in-tree makes
		 * SYSENTER addresses canonical for it.
		 */
		if (w->index == MSR_MTRRCAP ||
		    (w->want == FAULT && w->index <= MSR_SYSENTER_EIP &&
		     w->index >= MSR_SYSENTER_CS))
			continue;
		r = set_msr_try(v, w->index, w->value);
		row(r == (w->want == ACCEPT), "MSR 0x%x = 0x%llx: %d",
		    w->index, w->value, r);
		if (!w->reads_back || r != 1)
			continue;
		row(get_msr_try(v, w->index, &back) == 1 && back == w->value,
		    "MSR 0x%x: got 0x%llx back, expected 0x%llx",
		    w->index, back, w->value);
	}
	vm_free(v->vm);
}

static void g_faults_change_nothing(void)
{
	u64 value;

	wrmsr(MSR_LSTAR, 0x1000);
	G_EQ(try_wrmsr(MSR_LSTAR, NON_CANONICAL), VEC_GP);
	G_EQ(trap.error, 0);
	G_EQ(*(u16 *)trap.rip, 0x300f);		/* at the WRMSR */
	G_EQ(rdmsr(MSR_LSTAR), 0x1000);
	G_EQ(try_rdmsr(0x12345, &value), VEC_GP);
	G_EQ(*(u16 *)trap.rip, 0x320f);
	G_EQ(value, 0);				/* EDX:EAX untouched */
}

TEST(faults_change_nothing)
{
	guest_run(g_faults_change_nothing);
}

/* "Machine-Check MSRs": four for each bank, and none beyond the last. */
#define MANY_BITS	0xaaaaaaaaaaaaaaaaull

static bool g_keeps(u32 index, u64 value)
{
	u64 back;

	return try_wrmsr(index, value) == VEC_NONE &&
	       try_rdmsr(index, &back) == VEC_NONE && back == value;
}

static void g_bank(u32 ctl)
{
	G_CHECK(g_keeps(ctl, 0));
	G_CHECK(g_keeps(ctl, ~0ull));
	G_EQ(try_wrmsr(ctl, MANY_BITS), VEC_GP);
	G_EQ(rdmsr(ctl), ~0ull);
	G_CHECK(g_keeps(ctl + 1, 0));
	G_EQ(try_wrmsr(ctl + 1, 1), VEC_GP);
	G_CHECK(g_keeps(ctl + 2, MANY_BITS));
	G_CHECK(g_keeps(ctl + 3, ~0ull));
	G_CHECK(g_keeps(ctl + 3, 0));
}

static void g_machine_check_banks(void)
{
	u32 end = MSR_MC0_CTL + (rdmsr(MSR_MCG_CAP) & 0xff) * 4, index;
	u64 value;

	G_CHECK(end > MSR_MC0_CTL && end <= MSR_MC_END);
	for (index = MSR_MC0_CTL; index < end; index += 4)
		g_bank(index);
	for (; index < MSR_MC_END; index++) {
		G_EQ(try_rdmsr(index, &value), VEC_GP);
		G_EQ(try_wrmsr(index, 0), VEC_GP);
	}
}

TEST(machine_check_banks)
{
	guest_run(g_machine_check_banks);
}

/* Readable by any guest of this age. */
static const u32 readable[] = {
	MSR_TSC, MSR_APIC_BASE, MSR_BIOS_SIGN_ID, MSR_MTRRCAP, MSR_MCG_CAP,
	MSR_MISC_ENABLE, MSR_SYSENTER_CS, MSR_PAT, MSR_MTRR_DEF_TYPE,
	MSR_MTRR_FIX64K, MSR_EFER, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK,
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
};

static void g_reads(void)
{
	u64 value;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(readable); i++)
		guest_sync(try_rdmsr(readable[i], &value));
}

TEST(guest_reads)
{
	struct vcpu *v = guest_start(g_reads);
	u32 i;

	for (i = 0; i < ARRAY_SIZE(readable); i++) {
		vcpu_until(v, STOP_SYNC);
		row(v->value == VEC_NONE, "RDMSR 0x%x: vector %llu",
		    readable[i], v->value);
	}
	vcpu_done(v);
	vm_free(v->vm);
}

/* SDM: high half of the address in EDX, RDMSR clears the upper halves. */
static void g_halves(void)
{
	u64 a = ~0ull, d = ~0ull, c = 0xdeadbeef00000000ull | MSR_LSTAR;

	wrmsr(MSR_LSTAR, 0x7123456789abull);
	asm volatile("rdmsr" : "+a"(a), "+d"(d) : "c"(c));
	G_EQ(a, 0x456789ab);
	G_EQ(d, 0x7123);
	/* WRMSR ignores the upper halves of RAX, RDX and RCX. */
	a |= 0xffffffff00000000ull;
	d |= 0xffffffff00000000ull;
	asm volatile("wrmsr" : : "a"(a), "d"(d), "c"(c));
	G_EQ(rdmsr(MSR_LSTAR), 0x7123456789abull);
}

TEST(register_halves)
{
	guest_run(g_halves);
}

/* The same register by two ways. */
static void g_aliases(void)
{
	u64 value = 0x123450000ull, back;

	wrmsr(MSR_FS_BASE, value);
	*(volatile u64 *)(G_FREE + 0x40) = 0x5566;
	wrmsr(MSR_FS_BASE, G_FREE);
	asm volatile("movq %%fs:0x40, %0" : "=r"(back));
	G_EQ(back, 0x5566);
	wrmsr(MSR_GS_BASE, 0x1000);
	wrmsr(MSR_KERNEL_GS_BASE, G_FREE);
	asm volatile("swapgs; movq %%gs:0x40, %0" : "=r"(back));
	G_EQ(back, 0x5566);
	G_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x1000);
	G_EQ(rdmsr(MSR_GS_BASE), G_FREE);
	guest_sync(0);
	G_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x2000);
	G_EQ(rdmsr(MSR_GS_BASE), 0x3000);
}

TEST(fs_gs_bases)
{
	struct vcpu *v = guest_start(g_aliases);
	struct kvm_sregs s;

	vcpu_until(v, STOP_SYNC);
	get_sregs(v, &s);
	EQ(s.fs.base, G_FREE);
	EQ(s.gs.base, G_FREE);
	EQ(get_msr(v, MSR_GS_BASE), G_FREE);
	EQ(get_msr(v, MSR_KERNEL_GS_BASE), 0x1000);
	set_msr(v, MSR_KERNEL_GS_BASE, 0x2000);
	set_msr(v, MSR_GS_BASE, 0x3000);
	vcpu_done(v);
	vm_free(v->vm);
}

/* Values survive exits, other vCPUs and other threads of the host. */
static volatile u32 which;
static const u32 switched[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR,
	MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_FS_BASE, MSR_GS_BASE,
	MSR_KERNEL_GS_BASE, MSR_PAT,
};

static u64 switch_value(u32 i, u32 vcpu)
{
	if (switched[i] == MSR_PAT)
		return vcpu ? 0x0606060606060606ull : 0x0007040600070406ull;
	return 0x1000ull * (i + 1) + vcpu * 0x100000;
}

static void g_switch(void)
{
	u32 i, id = which++, round;

	for (i = 0; i < ARRAY_SIZE(switched); i++)
		wrmsr(switched[i], switch_value(i, id));
	for (round = 0; round < 3; round++) {
		guest_sync(round);
		for (i = 0; i < ARRAY_SIZE(switched); i++)
			G_EQ(rdmsr(switched[i]), switch_value(i, id));
	}
}

TEST(switched_between_vcpus)
{
	struct vm *vm = vm_new();
	struct vcpu *a = vcpu_new(vm, 0), *b = vcpu_new(vm, 1);
	u32 round, i;

	vcpu_long(a, g_switch);
	vcpu_long(b, g_switch);
	for (round = 0; round < 3; round++) {
		vcpu_until(a, STOP_SYNC);
		vcpu_until(b, STOP_SYNC);
		for (i = 0; i < ARRAY_SIZE(switched); i++)
			EQ(get_msr(a, switched[i]), switch_value(i, 0));
	}
	vcpu_done(a);
	vcpu_done(b);
	vm_free(vm);
}

/* The index list and what user space relies on it for. */
static struct kvm_msr_list *msr_list(void)
{
	struct kvm_msr_list probe = { .nmsrs = 0 }, *list;

	FAILS(ioctl(kvm_fd(), KVM_GET_MSR_INDEX_LIST, &probe), E2BIG);
	CHECK(probe.nmsrs > 0);
	list = calloc(1, sizeof(*list) + probe.nmsrs * 4);
	CHECK(list);
	list->nmsrs = probe.nmsrs;
	WORKS(ioctl(kvm_fd(), KVM_GET_MSR_INDEX_LIST, list));
	EQ(list->nmsrs, probe.nmsrs);
	return list;
}

static bool is_listed(const struct kvm_msr_list *list, u32 index)
{
	u32 i;

	for (i = 0; i < list->nmsrs; i++) {
		if (list->indices[i] == index)
			return true;
	}
	return false;
}

/*
 * QEMU saves what is listed, and ends if a read or write of it is refused:
 * whatever is listed is readable on a new vCPU and takes its own value back.
 */
TEST(listed_msrs_can_be_saved_and_restored)
{
	struct kvm_msr_list *list = msr_list();
	struct vcpu *v = guest_start(guest_done);
	u32 i;

	for (i = 0; i < list->nmsrs; i++) {
		u32 index = list->indices[i];
		u64 value;
		int r = get_msr_try(v, index, &value);

		row(r == 1, "KVM_GET_MSRS of MSR 0x%x: %d", index, r);
		if (r != 1)
			continue;
		r = set_msr_try(v, index, value);
		if (r != 1 && index == MSR_KVM_PV_EOI_EN && kvm_in_tree()) {
			row_skip("MSR_KVM_PV_EOI_EN",
				 "in-tree wants its in-kernel APIC");
			continue;
		}
		row(r == 1, "KVM_SET_MSRS of MSR 0x%x = 0x%llx: %d",
		    index, value, r);
	}
	vm_free(v->vm);
	free(list);
}

TEST(list_has_what_monitors_need)
{
	static const u32 needed[] = {
		MSR_TSC, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
		MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_KERNEL_GS_BASE,
		MSR_PAT, MSR_MISC_ENABLE, 0x3b,
	};
	struct kvm_msr_list *list = msr_list();
	u32 i, j;

	for (i = 0; i < ARRAY_SIZE(needed); i++)
		row(is_listed(list, needed[i]), "MSR 0x%x is not listed",
		    needed[i]);
	for (i = 0; i < list->nmsrs; i++) {
		for (j = 0; j < i; j++)
			CHECK(list->indices[i] != list->indices[j]);
	}
	free(list);
}

TEST(index_list_e2big_protocol)
{
	struct kvm_msr_list *list = msr_list();
	u32 n = list->nmsrs, sentinel = 0x5a5a5a5a;

	list->nmsrs = n - 1;
	list->indices[0] = sentinel;
	FAILS(ioctl(kvm_fd(), KVM_GET_MSR_INDEX_LIST, list), E2BIG);
	EQ(list->nmsrs, n);
	EQ(list->indices[0], sentinel);		/* nothing else written */
	free(list);
}

/* Feature MSRs are read through the system's file descriptor. */
TEST(feature_msrs)
{
	struct kvm_msr_list probe = { .nmsrs = 0 }, *list;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = { .head.nmsrs = 1 };
	u32 i;

	need_cap(KVM_CAP_GET_MSR_FEATURES);
	if (ioctl(kvm_fd(), KVM_GET_MSR_FEATURE_INDEX_LIST, &probe) == 0)
		skip("no feature MSRs");
	EQ(errno, E2BIG);
	list = calloc(1, sizeof(*list) + probe.nmsrs * 4);
	list->nmsrs = probe.nmsrs;
	WORKS(ioctl(kvm_fd(), KVM_GET_MSR_FEATURE_INDEX_LIST, list));
	for (i = 0; i < list->nmsrs; i++) {
		one.entry.index = list->indices[i];
		row(ioctl(kvm_fd(), KVM_GET_MSRS, &one) == 1,
		    "feature MSR 0x%x cannot be read", list->indices[i]);
	}
	/* Monitors ask for it, counters or not. */
	one.entry.index = MSR_PERF_CAPABILITIES;
	EQ(ioctl(kvm_fd(), KVM_GET_MSRS, &one), 1);
	one.entry.index = 0x12345;
	CHECK(ioctl(kvm_fd(), KVM_GET_MSRS, &one) != 1);
	free(list);
}

/* A batch stops at the first MSR that is refused; the count says where. */
TEST(batch_stops_at_the_first_failure)
{
	struct vcpu *v = guest_start(guest_done);
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[3];
	} batch = {
		.head.nmsrs = 3,
		.e = {
			{ .index = MSR_LSTAR, .data = 0x1000 },
			{ .index = MSR_CSTAR, .data = NON_CANONICAL },
			{ .index = MSR_FMASK, .data = 0x200 },
		},
	};

	set_msr(v, MSR_FMASK, 0x100);
	EQ(ioctl(v->fd, KVM_SET_MSRS, &batch), 1);
	EQ(get_msr(v, MSR_LSTAR), 0x1000);
	EQ(get_msr(v, MSR_FMASK), 0x100);
	batch.e[1].index = 0x12345;
	EQ(ioctl(v->fd, KVM_GET_MSRS, &batch), 1);
	batch.head.nmsrs = 0;
	EQ(ioctl(v->fd, KVM_GET_MSRS, &batch), 0);
	vm_free(v->vm);
}

/* QEMU writes these at every reset whether or not it shows kvmclock. */
TEST(kvmclock_msrs_can_be_cleared)
{
	struct vcpu *v = guest_start(guest_done);

	EQ(set_msr_try(v, 0x11, 0), 1);
	EQ(set_msr_try(v, 0x12, 0), 1);
	vm_free(v->vm);
}

/* TSC_AUX exists with RDTSCP; its upper half is reserved. */
static void g_tsc_aux(void)
{
	u32 aux;

	wrmsr(MSR_TSC_AUX, 0x12345678);
	asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
	G_EQ(aux, 0x12345678);
	G_EQ(try_wrmsr(MSR_TSC_AUX, BIT(32)), VEC_GP);
	G_EQ(rdmsr(MSR_TSC_AUX), 0x12345678);
	guest_sync(0);
	asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
	G_EQ(aux, 77);
}

TEST(tsc_aux)
{
	struct vcpu *v;

	if (!cpu_has(0x80000001, 3, 27))
		skip("the processor has no RDTSCP");
	v = guest_start(g_tsc_aux);
	vcpu_until(v, STOP_SYNC);
	EQ(get_msr(v, MSR_TSC_AUX), 0x12345678);
	set_msr(v, MSR_TSC_AUX, 77);
	vcpu_done(v);
	vm_free(v->vm);
}

static void g_no_rdtscp(void)
{
	u64 value;

	G_EQ(TRY("rdtscp", NO_OUTS, "m"(trap) : "rax", "rcx", "rdx"), VEC_UD);
	G_EQ(try_rdmsr(MSR_TSC_AUX, &value), VEC_GP);
}

TEST(rdtscp_follows_cpuid)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct vcpu *v = vcpu_bare(vm_new(), 0);

	cpuid_find(c, 0x80000001, 0)->edx &= ~BIT(27);
	if (cpuid_find(c, 7, 0))
		cpuid_find(c, 7, 0)->ecx &= ~BIT(22);	/* RDPID */
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	vcpu_long(v, g_no_rdtscp);
	vcpu_done(v);
	vm_free(v->vm);
	free(c);
}

/* Privilege: RDMSR and WRMSR at CPL 3. */
CODE(code_user_rdmsr, 32, "movl $0x10, %ecx; rdmsr");

TEST(user_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct kvm_sregs s;
	struct trap32 t;

	code_load(vm, G_CODE, code_user_rdmsr, code_user_rdmsr_end);
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	get_sregs(v, &s);
	s.cs.selector = SEL_UCODE32;
	s.ss.selector = SEL_UDATA;
	s.cs.dpl = s.ss.dpl = 3;
	set_sregs(v, &s);
	vcpu_until(v, STOP_TRAP);
	trap_get(v, &t);
	EQ(t.vector, VEC_GP);
	EQ(t.error, 0);
	EQ(t.ip, G_CODE + 5);
	vm_free(vm);
}
