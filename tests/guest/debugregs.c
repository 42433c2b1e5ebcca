// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debug registers: the guest's own breakpoints, DR6 and DR7, and the state
 * user space reads and writes with KVM_GET_DEBUGREGS and KVM_SET_DEBUGREGS.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define DR6_FIXED	0xffff0ff0ull
#define DR7_FIXED	0x400ull
#define DR7_GD		BIT(13)
#define DR6_BD		BIT(13)
#define DR6_BS		BIT(14)
#define TARGET		(G_FREE + 0x100)

/* DR7 of breakpoint n: enabled, with kind and length. */
#define EXECUTE	0u
#define STORE	1u
#define PORT_IO	2u
#define ACCESS	3u
#define DR7(n, kind, len) \
	(BIT(2 * (n)) | (u64)(kind) << (16 + 4 * (n)) | \
	 (u64)(len) << (18 + 4 * (n)))
#define LEN1	0
#define LEN2	1
#define LEN8	2
#define LEN4	3

static volatile u64 hit_rip, hit_dr6;
static volatile u32 hits;

/* Faults (execution breakpoints) go on with RF set, traps simply go on. */
static void g_hit(struct trap_frame *f)
{
	hits++;
	hit_rip = f->rip;
	hit_dr6 = trap.dr6;
	write_dr6(DR6_FIXED);
	f->rflags |= FLAG_RF;
}

static void g_reset_hits(void)
{
	trap.handler[VEC_DB] = g_hit;
	hits = 0;
}

static void __attribute__((noinline)) g_victim(void)
{
	asm volatile("nop");
}

static void g_execute(void)
{
	u32 i;

	g_reset_hits();
	write_dr1((u64)g_victim);
	write_dr7(DR7_FIXED | DR7(1, EXECUTE, LEN1));
	for (i = 1; i <= 3; i++) {
		g_victim();
		G_EQ(hits, i);
		G_EQ(hit_rip, (u64)g_victim);
		G_EQ(hit_dr6 & 0xf, 2);
	}
	write_dr7(DR7_FIXED);
	g_victim();
	G_EQ(hits, 3);
}

TEST(execution_breakpoint)
{
	guest_run(g_execute);
}

static void g_data(void)
{
	g_reset_hits();
	write_dr0(TARGET);
	write_dr3(TARGET + 8);
	write_dr7(DR7_FIXED | DR7(0, STORE, LEN4) | DR7(3, ACCESS, LEN8));
	asm volatile("movl (%0), %%eax" : : "r"(TARGET) : "rax");
	G_EQ(hits, 0);				/* a read */
	asm volatile("movb $1, 2(%0)" : : "r"(TARGET) : "memory");
	G_EQ(hits, 1);
	G_EQ(hit_dr6 & 0xf, 1);
	asm volatile("movb 15(%0), %%al" : : "r"(TARGET) : "rax");
	G_EQ(hits, 2);
	G_EQ(hit_dr6 & 0xf, 8);
	asm volatile("movb $1, 4(%0); movb $1, 16(%0)"
		     : : "r"(TARGET) : "memory");
	G_EQ(hits, 2);
	write_dr7(DR7_FIXED);
}

TEST(data_breakpoints)
{
	guest_run(g_data);
}

/* The breakpoint's effect is not lost when the access itself exits. */
static void g_data_fresh(void)
{
	g_reset_hits();
	write_dr2(G_HIGH + 0x123000);
	write_dr7(DR7_FIXED | DR7(2, STORE, LEN1));
	asm volatile("movb $1, (%0)" : : "r"(G_HIGH + 0x123000ull) : "memory");
	G_EQ(hits, 1);
	G_EQ(hit_dr6 & 0xf, 4);
}

TEST(data_breakpoint_on_fresh_page)
{
	guest_run(g_data_fresh);
}

/* Values survive exits, and another vCPU that uses the registers. */
static volatile u32 ids;

static void g_keep(void)
{
	u64 id = ids++, i;

	for (i = 0; i < 5; i++) {
		write_dr0(0x1000 + id * 0x100 + i);
		write_dr1(0x2000 + id * 0x100 + i);
		write_dr2(0x3000 + id * 0x100 + i);
		write_dr3(0x4000 + id * 0x100 + i);
		write_dr6(DR6_FIXED | id << 1);
		write_dr7(DR7_FIXED | DR7(3, STORE, id));
		guest_sync(i);
		G_EQ(read_dr0(), 0x1000 + id * 0x100 + i);
		G_EQ(read_dr1(), 0x2000 + id * 0x100 + i);
		G_EQ(read_dr2(), 0x3000 + id * 0x100 + i);
		G_EQ(read_dr3(), 0x4000 + id * 0x100 + i);
		G_EQ(read_dr6(), DR6_FIXED | id << 1);
		G_EQ(read_dr7(), DR7_FIXED | DR7(3, STORE, id));
	}
	write_dr7(DR7_FIXED);
}

TEST(survive_exits_and_other_vcpus)
{
	struct vm *vm = vm_new();
	struct vcpu *a = vcpu_new(vm, 0), *b = vcpu_new(vm, 1);
	int i;

	vcpu_long(a, g_keep);
	vcpu_long(b, g_keep);
	for (i = 0; i < 5; i++) {
		vcpu_until(a, STOP_SYNC);
		vcpu_until(b, STOP_SYNC);
	}
	vcpu_done(a);
	vcpu_done(b);
	vm_free(vm);
}

/* Reserved bits read as they must, and the upper halves fault. */
static void g_fixed_bits(void)
{
	write_dr6(0);
	G_EQ(read_dr6() & ~BIT(11) & ~BIT(16), 0xfffe07f0 & ~BIT(11));
	write_dr6(0xffffffff);
	G_EQ(read_dr6() & 0xf, 0xf);
	G_EQ(read_dr6() & BIT(12), 0);
	write_dr6(DR6_FIXED);
	write_dr7(0);
	G_EQ(read_dr7(), DR7_FIXED);
	write_dr7(DR7_FIXED | BIT(8) | BIT(9));		/* LE, GE */
	G_EQ(read_dr7(), DR7_FIXED | BIT(8) | BIT(9));
	write_dr7(DR7_FIXED);
	G_EQ(TRY("movq %%rax, %%dr7", NO_OUTS, "a"(BIT(32))), VEC_GP);
	G_EQ(TRY("movq %%rax, %%dr6", NO_OUTS, "a"(BIT(63))), VEC_GP);
	G_EQ(read_dr7(), DR7_FIXED);
}

TEST(fixed_bits)
{
	guest_run(g_fixed_bits);
}

/* DR4 and DR5 are other names of DR6 and DR7, but not with CR4.DE. */
static void g_aliases(void)
{
	u64 dr4, dr5;

	write_dr7(DR7_FIXED | BIT(9));
	asm volatile(".byte 0x0f, 0x21, 0xe8" : "=a"(dr5));
	G_EQ(dr5, DR7_FIXED | BIT(9));
	asm volatile(".byte 0x0f, 0x21, 0xe0" : "=a"(dr4));
	G_EQ(dr4, read_dr6());
	write_cr4(read_cr4() | CR4_DE);
	G_EQ(TRY(".byte 0x0f, 0x21, 0xe8", NO_OUTS, "m"(trap) : "rax"), VEC_UD);
	G_EQ(TRY(".byte 0x0f, 0x23, 0xe0", NO_OUTS, "m"(trap)), VEC_UD);
}

TEST(dr4_and_dr5)
{
	guest_run(g_aliases);
}

/* General detect: the next access to a debug register is #DB. */
static void g_detect(void)
{
	g_reset_hits();
	write_dr7(DR7_FIXED | DR7_GD);
	read_dr0();				/* the handler runs with GD off */
	G_CHECK(hits >= 1);
	G_CHECK(hit_dr6 & DR6_BD);
	G_EQ(read_dr7() & DR7_GD, 0);
}

TEST(general_detect)
{
	guest_run(g_detect);
}

/* I/O breakpoints need CR4.DE; the exit to user space comes first. */
static void g_port(void)
{
	g_reset_hits();
	write_cr4(read_cr4() | CR4_DE);
	write_dr0(0x77);
	write_dr7(DR7_FIXED | DR7(0, PORT_IO, LEN1));
	outb(0x77, 1);
	G_EQ(hits, 1);
	G_EQ(hit_dr6 & 0xf, 1);
	outb(0x78, 1);
	G_EQ(hits, 1);
	write_dr7(DR7_FIXED);
}

TEST(io_breakpoint)
{
	struct vcpu *v = guest_start(g_port);
	int stop;

	if (kvm_in_tree())
		skip("in-tree has no I/O breakpoints on exiting ports");
	do {
		stop = vcpu_go(v);
	} while (stop == KVM_EXIT_IO);
	EQ(stop, STOP_DONE);
	vm_free(v->vm);
}

/* Privilege: MOV DR at CPL 3. */
static volatile u32 user_vector;

static void g_user_dr(void)
{
	user_vector = TRY("movq %%dr0, %%rax", NO_OUTS, "m"(trap) : "rax");
}

static void g_user(void)
{
	guest_user(g_user_dr);
	G_EQ(user_vector, VEC_GP);
}

TEST(user_mode)
{
	guest_run(g_user);
}

/*
 * INT1 traps: RIP is behind it and DR6 names no reason, not even single steps,
 * whose trap it takes the place of.
 */
#define MAX_INT1S	4
static u64 int1_rip[MAX_INT1S], int1_dr6[MAX_INT1S];
static volatile u32 int1s;

static void g_int1_hit(struct trap_frame *f)
{
	G_CHECK(int1s < MAX_INT1S);
	int1_rip[int1s] = f->rip;
	int1_dr6[int1s++] = trap.dr6;
	write_dr6(DR6_FIXED);
}

extern const u8 int1_first[], int1_second[], int1_and[], int1_push[];

static void g_int1(void)
{
	trap.handler[VEC_DB] = g_int1_hit;
	write_dr6(DR6_FIXED);
	asm volatile(".byte 0xf1; int1_first:" : : : "memory");
	G_EQ(int1s, 1);
	G_EQ(int1_rip[0], (u64)int1_first);
	G_EQ(int1_dr6[0], DR6_FIXED);
	int1s = 0;
	asm volatile("pushfq; popq %%rax; orq $0x100, %%rax; pushq %%rax\n\t"
		     "popfq\n\t"
		     ".byte 0xf1\n"
		     "int1_second: andq $~0x100, %%rax\n"
		     "int1_and: pushq %%rax\n"
		     "int1_push: popfq"
		     : : : "rax", "cc", "memory");
	G_EQ(int1s, 4);
	G_EQ(int1_rip[0], (u64)int1_second);
	G_EQ(int1_dr6[0], DR6_FIXED);
	G_EQ(int1_rip[1], (u64)int1_and);
	G_EQ(int1_dr6[1], DR6_FIXED | DR6_BS);
	G_EQ(int1_rip[2], (u64)int1_push);
}

TEST(int1)
{
	guest_run(g_int1);
}

/* User space's view */

static void g_set_and_check(void)
{
	write_dr0(0x1111);
	write_dr1(0x2222);
	write_dr2(0x3333);
	write_dr3(0x4444);
	write_dr6(DR6_FIXED | 5);
	write_dr7(DR7_FIXED | DR7(1, STORE, LEN2));
	guest_sync(0);
	G_EQ(read_dr0(), 0xffff800000001111ull);
	G_EQ(read_dr3(), 0x9999);
	G_EQ(read_dr6(), DR6_FIXED | 8);
	G_EQ(read_dr7(), DR7_FIXED | DR7(2, STORE, LEN4));
	write_dr7(DR7_FIXED);
}

TEST(get_and_set)
{
	struct vcpu *v = guest_start(g_set_and_check);
	struct kvm_debugregs d;

	need_cap(KVM_CAP_DEBUGREGS);
	vcpu_until(v, STOP_SYNC);
	WORKS(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	EQ(d.db[0], 0x1111);
	EQ(d.db[1], 0x2222);
	EQ(d.db[2], 0x3333);
	EQ(d.db[3], 0x4444);
	EQ(d.dr6, DR6_FIXED | 5);
	EQ(d.dr7, DR7_FIXED | DR7(1, STORE, LEN2));
	EQ(d.flags, 0);
	d.db[0] = 0xffff800000001111ull;
	d.db[3] = 0x9999;
	d.dr6 = DR6_FIXED | 8;
	d.dr7 = DR7_FIXED | DR7(2, STORE, LEN4);
	WORKS(ioctl(v->fd, KVM_SET_DEBUGREGS, &d));
	vcpu_done(v);
	vm_free(v->vm);
}

/* A breakpoint set by user space hits in the guest. */
static void g_wait_for_hit(void)
{
	g_reset_hits();
	guest_sync(0);
	g_victim();
	G_EQ(hits, 1);
	G_EQ(hit_rip, (u64)g_victim);
}

TEST(breakpoint_set_by_user_space)
{
	struct vcpu *v = guest_start(g_wait_for_hit);
	struct kvm_debugregs d = { 0 };

	need_cap(KVM_CAP_DEBUGREGS);
	vcpu_until(v, STOP_SYNC);
	d.db[0] = (unsigned long)g_victim;
	d.dr6 = DR6_FIXED;
	d.dr7 = DR7_FIXED | DR7(0, EXECUTE, LEN1);
	WORKS(ioctl(v->fd, KVM_SET_DEBUGREGS, &d));
	vcpu_done(v);
	vm_free(v->vm);
}

TEST(reset_values)
{
	struct vcpu *v = vcpu_bare(vm_bare(), 0);
	struct kvm_debugregs d;

	need_cap(KVM_CAP_DEBUGREGS);
	WORKS(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	EQ(d.db[0] | d.db[1] | d.db[2] | d.db[3], 0);
	EQ(d.dr6, DR6_FIXED);
	EQ(d.dr7, DR7_FIXED);
	vm_free(v->vm);
}

/* Refused, and nothing is changed. */
TEST(bad_values)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_debugregs good, bad, after;
	u32 i;

	need_cap(KVM_CAP_DEBUGREGS);
	WORKS(ioctl(v->fd, KVM_GET_DEBUGREGS, &good));
	for (i = 0; i < 3; i++) {
		bad = good;
		bad.db[0] = 0x5000;
		if (i == 0)
			bad.dr6 |= BIT(32);
		else if (i == 1)
			bad.dr7 |= BIT(40);
		else
			bad.flags = 1;
		FAILS(ioctl(v->fd, KVM_SET_DEBUGREGS, &bad), EINVAL);
		WORKS(ioctl(v->fd, KVM_GET_DEBUGREGS, &after));
		EQ(memcmp(&after, &good, sizeof(good)), 0);
	}
	vm_free(v->vm);
}
