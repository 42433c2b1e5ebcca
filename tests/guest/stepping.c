// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_SET_GUEST_DEBUG: a monitor that steps through its guest, and stops it at
 * INT3 instructions and breakpoints of its own.
 */
#include <errno.h>
#include <string.h>

#include "irqchip.h"

#define DR6_BS	BIT(14)

static volatile u64 result;

/* Instructions one after the other, with an address for each. */
void g_steps(void);
extern const u8 step_0[], step_1[], step_2[], step_3[], step_4[], step_5[],
	step_6[], step_7[], step_8[];
asm(".pushsection .text\n"
    "g_steps:\n"
    "step_0:	xorl %eax, %eax\n"
    "step_1:	movl $7, %ebx\n"
    "step_2:	cpuid\n"		/* handled without leaving the kernel */
    "step_3:	pushq %rbx\n"
    "step_4:	popq %rcx\n"
    "step_5:	sti\n"
    "step_6:	cli\n"
    "step_7:	movl %ebx, result(%rip)\n"
    "step_8:	ret\n"
    ".popsection");

static const u8 * const steps[] = {
	step_0, step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8,
};

static int debug_try(struct vcpu *v, u32 control, u64 dr0, u64 dr7)
{
	struct kvm_guest_debug debug = { .control = control };

	debug.arch.debugreg[0] = dr0;
	debug.arch.debugreg[7] = dr7;
	return ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug);
}

static void debug_set(struct vcpu *v, u32 control, u64 dr0, u64 dr7)
{
	WORKS(debug_try(v, control ? control | KVM_GUESTDBG_ENABLE : 0, dr0,
			dr7));
}

/* The next exit must be a debug exit, before the instruction at pc. */
static void stops_at(struct vcpu *v, u32 exception, u64 pc)
{
	vcpu_until(v, KVM_EXIT_DEBUG);
	EQ(v->run->debug.arch.exception, exception);
	EQ(v->run->debug.arch.pc, pc);
	EQ(get_rip(v), pc);
}

static void g_step(void)
{
	guest_sync(0);
	g_steps();
	G_EQ(!result, 0);
}

TEST(single_step)
{
	struct vcpu *v = guest_start(g_step);
	struct kvm_regs regs;
	u32 i;

	need_cap(KVM_CAP_SET_GUEST_DEBUG);
	vcpu_until(v, STOP_SYNC);
	debug_set(v, KVM_GUESTDBG_SINGLESTEP, 0, 0);
	/* The call itself, and what the compiler puts before it. */
	for (i = 0; i < 50 && get_rip(v) != (u64)steps[0]; i++) {
		vcpu_until(v, KVM_EXIT_DEBUG);
		EQ(v->run->debug.arch.exception, VEC_DB);
	}
	EQ(get_rip(v), (u64)steps[0]);
	for (i = 1; i < ARRAY_SIZE(steps); i++) {
		stops_at(v, VEC_DB, (u64)steps[i]);
		EQ(v->run->debug.arch.dr6 & DR6_BS, DR6_BS);
		/* The trap flag is the monitor's business, not the guest's. */
		get_regs(v, &regs);
		EQ(regs.rflags & FLAG_TF, 0);
	}
	debug_set(v, 0, 0, 0);
	vcpu_done(v);
	vm_free(v->vm);
}

static volatile u32 traps;
extern const u8 at_int3[];

static void g_trapped(struct trap_frame *f)
{
	(void)f;
	traps++;
}

static void g_int3(void)
{
	trap.handler[VEC_BP] = g_trapped;
	guest_sync(0);
	asm volatile("at_int3: int3");
	G_EQ(traps, 0);
	guest_sync(0);
	asm volatile("int3");
	G_EQ(traps, 1);
}

/* INT3 ends up with the monitor as long as it wants them. */
TEST(software_breakpoint)
{
	struct vcpu *v = guest_start(g_int3);

	need_cap(KVM_CAP_SET_GUEST_DEBUG);
	vcpu_until(v, STOP_SYNC);
	debug_set(v, KVM_GUESTDBG_USE_SW_BP, 0, 0);
	stops_at(v, VEC_BP, (u64)at_int3);
	set_rip(v, (u64)at_int3 + 1);
	vcpu_until(v, STOP_SYNC);
	debug_set(v, 0, 0, 0);
	vcpu_done(v);
	vm_free(v->vm);
}

static void g_own_registers(void)
{
	write_dr0(0x1234);
	guest_sync(0);
	g_steps();
	G_EQ(read_dr0(), 0x1234);
	G_EQ(traps, 0);
}

/* Breakpoints of the monitor leave those of the guest alone. */
TEST(hardware_breakpoint)
{
	struct vcpu *v = guest_start(g_own_registers);
	u32 i;

	need_cap(KVM_CAP_SET_GUEST_DEBUG);
	vcpu_until(v, STOP_SYNC);
	for (i = 0; i < ARRAY_SIZE(steps); i += 4) {
		debug_set(v, KVM_GUESTDBG_USE_HW_BP, (u64)steps[i], 0x402);
		stops_at(v, VEC_DB, (u64)steps[i]);
		EQ(v->run->debug.arch.dr6 & 0xf, 1);
	}
	debug_set(v, 0, 0, 0);
	vcpu_done(v);
	vm_free(v->vm);
}

TEST(step_with_breakpoint)
{
	struct vcpu *v = guest_start(g_step);

	need_cap(KVM_CAP_SET_GUEST_DEBUG);
	vcpu_until(v, STOP_SYNC);
	/* Both at a time: the breakpoint comes first. */
	debug_set(v, KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP,
		  (u64)steps[0], 0x402);
	vcpu_until(v, KVM_EXIT_DEBUG);
	EQ(v->run->debug.arch.exception, VEC_DB);
	debug_set(v, 0, 0, 0);
	vcpu_done(v);
	vm_free(v->vm);
}

static void g_shadowed(void)
{
	trap.handler[VEC_DB] = g_trapped;
	guest_sync(0);
	/* The host has set TF here, and a shadow: one step and it is over. */
	asm volatile("nop; pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
	G_EQ(traps > 0, 1);
}

/* As a migration may find a guest: TF and a shadow of MOV SS, in any order. */
TEST(trap_flag_in_a_shadow)
{
	struct kvm_vcpu_events events;
	struct kvm_regs regs;
	struct vcpu *v;
	u32 i;

	need_cap(KVM_CAP_VCPU_EVENTS);
	if (kvm_in_tree())
		skip("the kernel's own ends in a failed VM entry");
	for (i = 0; i < 2; i++) {
		v = guest_start(g_shadowed);
		vcpu_until(v, STOP_SYNC);
		get_regs(v, &regs);
		regs.rflags |= FLAG_TF;
		WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events));
		events.flags = KVM_VCPUEVENT_VALID_SHADOW;
		events.interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS;
		if (i)
			set_regs(v, &regs);
		WORKS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events));
		if (!i)
			set_regs(v, &regs);
		vcpu_done(v);
		vm_free(v->vm);
	}
}

/* ---- general detect ------------------------------------------------------ */

#define DR6_BD	BIT(13)
#define DR7_GD	BIT(13)

extern const u8 at_mov_dr[];

static void g_mov_dr(void)
{
	u64 value;

	guest_sync(0);
	asm volatile("at_mov_dr: mov %%dr0, %0" : "=r"(value));
	G_EQ(value, 0);
}

/* The debugger is told of an access to its registers before it happens. */
TEST(general_detect)
{
	struct vcpu *v = guest_start(g_mov_dr);

	need_cap(KVM_CAP_SET_GUEST_DEBUG);
	vcpu_until(v, STOP_SYNC);
	debug_set(v, KVM_GUESTDBG_USE_HW_BP, 0, 0x400 | DR7_GD);
	stops_at(v, VEC_DB, (u64)at_mov_dr);
	EQ(v->run->debug.arch.dr6, 0xffff0ff0 | DR6_BD);
	debug_set(v, 0, 0, 0);
	vcpu_done(v);
	vm_free(v->vm);
}

/* ---- KVM_GUESTDBG_BLOCKIRQ ---------------------------------------------- */

#define VECTOR	0x55

static u64 g_self_ipi(u64 unused, u64 unused2)
{
	(void)unused;
	(void)unused2;
	apic_icr(0, ICR_SELF | ICR_ASSERT | VECTOR);
	guest_sync(0);
	asm volatile("sti; nop");
	g_steps();
	asm volatile("sti; nop; cli");
	guest_sync(0);
	return 0;
}

/* An interrupt is pending all the while, and the guest lets it in: not now. */
BOTH_MODES(no_interrupts_while_stepping)
{
	struct vm *vm = remote_vm(x2, 1);
	struct vcpu *v = vm->vcpus[0];
	int i;

	need_cap(KVM_CAP_SET_GUEST_DEBUG2);
	log_clear(v);
	remote_order(v, g_self_ipi, 0, 0);
	vcpu_until(v, STOP_SYNC);
	debug_set(v, KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ, 0, 0);
	WORKS(ioctl(v->fd, KVM_NMI));
	for (i = 0; i < 80 && get_rip(v) != (u64)step_7; i++)
		vcpu_until(v, KVM_EXIT_DEBUG);
	EQ(get_rip(v), (u64)step_7);
	EQ(PERCPU(v).taken, 0);
	debug_set(v, 0, 0, 0);
	vcpu_until(v, STOP_SYNC);
	EQ(PERCPU(v).count[VECTOR], 1);
	EQ(PERCPU(v).count[VEC_NMI], 1);
	vm_free(vm);
}
