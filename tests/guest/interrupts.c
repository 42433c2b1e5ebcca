// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts and NMIs from user space without in-kernel interrupt
 * controllers: KVM_INTERRUPT and the window protocol, what blocks them, and
 * events whose delivery itself causes exits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest.h"

#define VEC	0x45

static int interrupt(struct vcpu *v, u32 vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	return ioctl(v->fd, KVM_INTERRUPT, &irq);
}

static int nmi(struct vcpu *v)
{
	return ioctl(v->fd, KVM_NMI, 0);
}

/* Returns from KVM_RUN at once, having looked at the vCPU's state. */
static void poke(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
	v->run->immediate_exit = 0;
}

/* Delivery */

static void g_deliver(void)
{
	sti();
	guest_sync(1);
	G_EQ(trap.count[VEC], 1);
	G_EQ(trap.vector, VEC);
	G_CHECK(trap.rflags & FLAG_IF);
	guest_sync(2);
	G_EQ(trap.count[VEC], 1);
}

TEST(delivered_when_enabled)
{
	struct vcpu *v = guest_start(g_deliver);

	vcpu_until(v, STOP_SYNC);
	poke(v);
	EQ(v->run->if_flag, 1);
	EQ(v->run->ready_for_interrupt_injection, 1);
	EQ(interrupt(v, VEC), 0);
	vcpu_until(v, STOP_SYNC);
	vcpu_done(v);
	vm_free(v->vm);
}

static void g_any(void)
{
	sti();
	guest_sync(1);
	guest_sync(2);
}

TEST(every_vector)
{
	struct vcpu *v = guest_start(g_any);
	u32 i;

	for (i = 32; i < 256; i++) {
		vcpu_long(v, g_any);
		vcpu_until(v, STOP_SYNC);
		poke(v);
		EQ(interrupt(v, i), 0);
		vcpu_until(v, STOP_SYNC);
		EQ(v->value, 2);
		EQ(G(v->vm, trap).count[i], 1);
		EQ(G(v->vm, trap).vector, i);
	}
	vm_free(v->vm);
}

TEST(bad_vectors)
{
	struct vcpu *v = guest_start(g_deliver);

	FAILS(interrupt(v, 256), EINVAL);
	FAILS(interrupt(v, ~0u), EINVAL);
	vm_free(v->vm);
}

/* One is accepted at a time; once delivered, the next. */
TEST(second_before_delivery)
{
	struct vcpu *v = guest_start(g_deliver);

	vcpu_until(v, STOP_SYNC);
	poke(v);
	EQ(interrupt(v, VEC), 0);
	if (kvm_in_tree())
		skip("in-tree replaces the first; the API document says EEXIST");
	FAILS(interrupt(v, VEC + 1), EEXIST);
	vcpu_until(v, STOP_SYNC);
	poke(v);
	EQ(interrupt(v, VEC + 1), 0);
	vcpu_done(v);
	EQ(G(v->vm, trap).count[VEC], 1);
	EQ(G(v->vm, trap).count[VEC + 1], 1);
	vm_free(v->vm);
}

/* The window: user space asks, and is told when interrupts can be taken. */
static volatile u64 opened_at;
extern const u8 window_point[], window_point2[];

static void g_window(void)
{
	cli();
	guest_sync(1);
	asm volatile("nop\n\tnop\n\tsti\n\tnop\n"
		     "window_point: nop\n\tnop");
	guest_sync(2);
	G_EQ(trap.count[VEC], 1);
	G_EQ(trap.rip, (u64)window_point);
}

TEST(window)
{
	struct vcpu *v = guest_start(g_window);

	vcpu_until(v, STOP_SYNC);
	poke(v);
	EQ(v->run->if_flag, 0);
	EQ(v->run->ready_for_interrupt_injection, 0);
	v->run->request_interrupt_window = 1;
	vcpu_until(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	EQ(v->run->if_flag, 1);
	EQ(v->run->ready_for_interrupt_injection, 1);
	/* STI blocks for one instruction: the window is after the NOP. */
	EQ(get_rip(v), (unsigned long)window_point);
	EQ(interrupt(v, VEC), 0);
	v->run->request_interrupt_window = 0;
	vcpu_until(v, STOP_SYNC);
	vcpu_done(v);
	vm_free(v->vm);
}

/* The window is reported at once when it is open already. */
static void g_open(void)
{
	u32 i;

	sti();
	guest_sync(1);
	for (i = 0; i < 100; i++)
		asm volatile("nop");
	guest_sync(2);
}

TEST(window_already_open)
{
	struct vcpu *v = guest_start(g_open);
	u64 rip;

	vcpu_until(v, STOP_SYNC);
	poke(v);
	rip = get_rip(v);
	v->run->request_interrupt_window = 1;
	vcpu_until(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	EQ(get_rip(v), rip);
	v->run->request_interrupt_window = 0;
	vcpu_until(v, STOP_SYNC);
	vm_free(v->vm);
}

/* Not asked for, no exit. */
static void g_toggle(void)
{
	u32 i;

	for (i = 0; i < 1000; i++) {
		sti();
		asm volatile("nop");
		cli();
	}
}

TEST(no_window_exit_unasked)
{
	struct vcpu *v = guest_start(g_toggle);

	vcpu_done(v);
	vm_free(v->vm);
}

/* STI followed by CLI leaves no instruction boundary with interrupts on. */
static void g_sti_cli(void)
{
	u32 i;

	cli();
	guest_sync(1);
	for (i = 0; i < 1000; i++)
		asm volatile("sti\n\tcli");
	guest_sync(2);
}

TEST(no_window_between_sti_and_cli)
{
	struct vcpu *v = guest_start(g_sti_cli);

	vcpu_until(v, STOP_SYNC);
	v->run->request_interrupt_window = 1;
	vcpu_until(v, STOP_SYNC);
	vm_free(v->vm);
}

/* MOV SS blocks too: POPF opens after it only when SS is loaded before. */
static void g_mov_ss(void)
{
	u64 ss = SEL_DATA;

	cli();
	guest_sync(1);
	/* POPF that sets IF directly before the window; MOV SS closes it. */
	asm volatile("pushfq; orq $0x200, (%%rsp)\n\t"
		     "movw %w0, %%ss\n\t"
		     "popfq\n\t"
		     "window_point2: cli" : : "r"(ss) : "memory");
	guest_sync(2);
}

/*
 * The block of MOV SS ends with the POPF, so the window is after it; an
 * implementation that loses the block across nothing would also stop there.
 * What this shows is that MOV SS does not delay the window by more than one.
 */
TEST(window_after_mov_ss)
{
	struct vcpu *v = guest_start(g_mov_ss);

	vcpu_until(v, STOP_SYNC);
	v->run->request_interrupt_window = 1;
	vcpu_until(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	EQ(get_rip(v), (unsigned long)window_point2);
	vm_free(v->vm);
}

/* With the shadow set by user space, one instruction runs before delivery. */
static void g_shadow(void)
{
	sti();
	guest_sync(1);
	asm volatile("nop\n\tnop\n\tnop\n\tnop");
	guest_sync(2);
}

TEST(shadow_set_by_user_space)
{
	struct vcpu *v = guest_start(g_shadow);
	struct kvm_vcpu_events events;
	u64 rip;

	need_cap(KVM_CAP_VCPU_EVENTS);
	vcpu_until(v, STOP_SYNC);
	poke(v);
	rip = get_rip(v);
	WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events));
	events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	events.flags |= KVM_VCPUEVENT_VALID_SHADOW;
	WORKS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events));
	WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events));
	EQ(events.interrupt.shadow, KVM_X86_SHADOW_INT_STI);
	v->run->request_interrupt_window = 1;
	vcpu_until(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	EQ(get_rip(v), rip + 1);
	vm_free(v->vm);
}

/* HLT: user space injects and the guest goes on after it. */
static void g_idle(void)
{
	u32 i;

	for (i = 0; i < 50; i++) {
		asm volatile("sti; hlt; cli");
		G_EQ(trap.count[VEC], i + 1);
		G_EQ(*(u8 *)(trap.rip - 1), 0xf4);
	}
}

TEST(wake_from_hlt)
{
	struct vcpu *v = guest_start(g_idle);
	u32 i;

	for (i = 0; i < 50; i++) {
		vcpu_until(v, KVM_EXIT_HLT);
		EQ(v->run->if_flag, 1);
		EQ(v->run->ready_for_interrupt_injection, 1);
		EQ(interrupt(v, VEC), 0);
	}
	vcpu_done(v);
	vm_free(v->vm);
}

/* A guest that runs for long is interrupted in the middle of it. */
static void g_busy(void)
{
	sti();
	while (!*(volatile u32 *)&trap.count[VEC])
		;
	guest_sync(3);
}

TEST(interrupts_a_busy_guest)
{
	struct vcpu *v = guest_start(g_busy);

	v->run->request_interrupt_window = 1;
	vcpu_until(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	EQ(interrupt(v, VEC), 0);
	v->run->request_interrupt_window = 0;
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 3);
	vm_free(v->vm);
}

/* Nested interrupts: the handler enables interrupts and gets the next one. */
static volatile u32 depth, deepest;

static void g_nesting_handler(struct trap_frame *f)
{
	(void)f;
	if (++depth > deepest)
		deepest = depth;
	if (depth < 4) {
		sti();
		guest_sync(depth);
		cli();
	}
	depth--;
}

static void g_nesting(void)
{
	u32 i;

	for (i = 0x60; i < 0x64; i++)
		trap.handler[i] = g_nesting_handler;
	sti();
	guest_sync(0);
	G_EQ(deepest, 4);
	G_EQ(depth, 0);
}

TEST(nested)
{
	struct vcpu *v = guest_start(g_nesting);
	u32 i;

	for (i = 0; i < 4; i++) {
		vcpu_until(v, STOP_SYNC);
		EQ(v->value, i);
		poke(v);
		EQ(v->run->ready_for_interrupt_injection, 1);
		EQ(interrupt(v, 0x60 + i), 0);
	}
	vcpu_done(v);
	vm_free(v->vm);
}

/* NMI */

static volatile u32 nmi_depth, nmi_nested;

static void g_nmi_handler(struct trap_frame *f)
{
	(void)f;
	if (nmi_depth++)
		nmi_nested++;
	guest_sync(0x100 + trap.count[VEC_NMI]);
	nmi_depth--;
}

static void g_nmi(void)
{
	trap.handler[VEC_NMI] = g_nmi_handler;
	cli();				/* does not hold an NMI off */
	guest_sync(1);
	guest_sync(2);
	G_EQ(trap.count[VEC_NMI], 2);
	G_EQ(nmi_nested, 0);
}

TEST(nmi_blocks_nmi_until_iret)
{
	struct vcpu *v = guest_start(g_nmi);
	struct kvm_vcpu_events events;

	vcpu_until(v, STOP_SYNC);
	EQ(nmi(v), 0);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 0x101);
	if (has_cap(KVM_CAP_VCPU_EVENTS)) {
		WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events));
		EQ(events.nmi.masked, 1);
	}
	EQ(nmi(v), 0);			/* waits for the IRET */
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 0x102);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 2);
	if (has_cap(KVM_CAP_VCPU_EVENTS)) {
		WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events));
		EQ(events.nmi.masked, 0);
	}
	vcpu_done(v);
	vm_free(v->vm);
}

/* The processor keeps one NMI pending, so more of them collapse. */
TEST(nmis_collapse)
{
	struct vcpu *v = guest_start(g_nmi);
	u32 i;

	vcpu_until(v, STOP_SYNC);
	EQ(nmi(v), 0);
	vcpu_until(v, STOP_SYNC);
	for (i = 0; i < 5; i++)
		EQ(nmi(v), 0);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 0x102);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 2);
	vcpu_done(v);
	vm_free(v->vm);
}

static void g_nmi_idle(void)
{
	cli();
	hlt();
	G_EQ(trap.count[VEC_NMI], 1);
	G_EQ(*(u8 *)(trap.rip - 1), 0xf4);
}

TEST(nmi_wakes_from_hlt)
{
	struct vcpu *v = guest_start(g_nmi_idle);

	vcpu_until(v, KVM_EXIT_HLT);
	EQ(nmi(v), 0);
	vcpu_done(v);
	vm_free(v->vm);
}

/* NMI goes before a maskable interrupt that is waiting as well. */
static void g_both(void)
{
	sti();
	guest_sync(1);
	G_EQ(trap.count[VEC], 1);
	G_EQ(trap.count[VEC_NMI], 1);
}

TEST(nmi_and_interrupt)
{
	struct vcpu *v = guest_start(g_both);

	vcpu_until(v, STOP_SYNC);
	poke(v);
	EQ(interrupt(v, VEC), 0);
	EQ(nmi(v), 0);
	vcpu_done(v);
	vm_free(v->vm);
}

/*
 * Delivery that itself exits. The host takes the guest's pages away between
 * all steps (a change of protection makes the kernel drop its mappings), so
 * that the processor meets EPT violations while it reads the IDT, GDT and TSS
 * and pushes the frame. The event must not get lost, nor come twice.
 */
static void evict(struct vm *vm)
{
	WORKS(mprotect(vm->ram, RAM_SIZE, PROT_NONE));
	WORKS(mprotect(vm->ram, RAM_SIZE, PROT_READ | PROT_WRITE));
}

static void g_evicted(void)
{
	u32 i;

	sti();
	for (i = 1; i <= 40; i++) {
		guest_sync(i);
		G_EQ(trap.count[VEC], i);
	}
}

TEST(interrupt_with_nothing_mapped)
{
	struct vcpu *v = guest_start(g_evicted);
	u32 i;

	for (i = 1; i <= 40; i++) {
		vcpu_until(v, STOP_SYNC);
		poke(v);
		EQ(interrupt(v, VEC), 0);
		evict(v->vm);
	}
	vcpu_done(v);
	vm_free(v->vm);
}

static void g_evicted_nmi(void)
{
	u32 i;

	for (i = 1; i <= 40; i++) {
		guest_sync(i);
		G_EQ(trap.count[VEC_NMI], i);
	}
}

TEST(nmi_with_nothing_mapped)
{
	struct vcpu *v = guest_start(g_evicted_nmi);
	u32 i;

	for (i = 1; i <= 40; i++) {
		vcpu_until(v, STOP_SYNC);
		EQ(nmi(v), 0);
		evict(v->vm);
	}
	/* NMIs are unblocked again, each by its IRET. */
	vcpu_done(v);
	vm_free(v->vm);
}

/*
 * Exceptions and software interrupts with the stack in a page that nothing
 * has touched: RIP, error code and count must be those of undisturbed ones.
 */
#define FRESH	G_HIGH			/* stacks, one page each */

static u64 g_on_stack(u64 stack, void (*fn)(void))
{
	u64 old;

	asm volatile("movq %%rsp, %%r12; movq %1, %%rsp; call *%2\n\t"
		     "movq %%r12, %%rsp; movq %%r12, %0"
		     : "=r"(old) : "r"(stack), "r"(fn)
		     : "r12", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9",
		       "r10", "r11", "memory");
	return old;
}

static void g_do_ud(void)
{
	G_EQ(TRY("ud2", NO_OUTS, "m"(trap)), VEC_UD);
}

static void g_do_pf(void)
{
	G_EQ(TRY("movb (%%rax), %%al", NO_OUTS, "a"(0x30000000)), VEC_PF);
	G_EQ(trap.error, 0);
	G_EQ(trap.cr2, 0x30000000);
}

static void g_do_gp(void)
{
	G_EQ(TRY("int $0xfe", NO_OUTS, "m"(trap)), VEC_GP);
	G_EQ(trap.error, 0xfe * 8 + 2);
}

static void g_do_int(void)
{
	u64 next;

	asm volatile("int $0x41; 1: leaq 1b(%%rip), %0" : "=r"(next));
	G_EQ(trap.vector, 0x41);
	G_EQ(trap.rip, next);
}

static void g_do_bp(void)
{
	G_EQ(TRY("int3", NO_OUTS, "m"(trap)), VEC_BP);
	G_EQ(*(u8 *)(trap.rip - 1), 0xcc);
}

static void (*const g_events[])(void) = {
	g_do_ud, g_do_pf, g_do_gp, g_do_int, g_do_bp,
};

/* The frame goes to another page than the code's own stack use: 8 bytes. */
static void g_fresh_stacks(void)
{
	u64 stack = FRESH;
	u32 i, round;

	for (round = 0; round < 10; round++) {
		for (i = 0; i < ARRAY_SIZE(g_events); i++) {
			stack += 0x2000;
			g_on_stack(stack, g_events[i]);
		}
	}
	G_EQ(trap.count[VEC_UD], 10);
	G_EQ(trap.count[VEC_PF], 10);
	G_EQ(trap.count[VEC_GP], 10);
	G_EQ(trap.count[0x41], 10);
	G_EQ(trap.count[VEC_BP], 10);
}

TEST(exceptions_on_fresh_stacks)
{
	struct vcpu *v = guest_start(g_fresh_stacks);

	map_page(v->vm, 0x30000000, 0, 0);
	RAM(v->vm, G_IDT64 + 0xfe * 16, u64) = 0;	/* no gate: #GP */
	vcpu_done(v);
	vm_free(v->vm);
}

/* The same from CPL 3, where the whole frame goes to a fresh RSP0 page. */
static volatile u64 g_user_count;

static void g_user_events(void)
{
	asm volatile("ud2");
}

static void g_skip_ud(struct trap_frame *f)
{
	g_user_count++;
	f->rip += 2;
}

static void g_fresh_rsp0(void)
{
	u64 stack = FRESH;
	u32 i;

	trap.handler[VEC_UD] = g_skip_ud;
	for (i = 1; i <= 20; i++) {
		stack += 0x1000;
		*(u64 *)(G_TSS64 + 4) = stack;
		guest_user(g_user_events);
		G_EQ(g_user_count, i);
		/* IST too: an NMI on a fresh stack, after the sync. */
		*(u64 *)(G_TSS64 + 0x24) = stack + 0x100000;
		guest_sync(i);
		G_EQ(trap.count[VEC_NMI], i);
	}
}

TEST(fresh_rsp0_and_ist)
{
	struct vcpu *v = guest_start(g_fresh_rsp0);
	u32 i;

	for (i = 1; i <= 20; i++) {
		vcpu_until(v, STOP_SYNC);
		EQ(nmi(v), 0);
	}
	vcpu_done(v);
	vm_free(v->vm);
}

/* A stack in MMIO: delivery cannot be emulated, and must say so. */
static void g_mmio_stack(void)
{
	asm volatile("movq %0, %%rsp; int $0x41" : : "r"(G_MMIO + 0x800ull));
}

TEST(delivery_to_mmio)
{
	struct vcpu *v = guest_start(g_mmio_stack);

	vcpu_until(v, KVM_EXIT_INTERNAL_ERROR);
	CHECK(v->run->internal.suberror == KVM_INTERNAL_ERROR_DELIVERY_EV ||
	      v->run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION);
	vm_free(v->vm);
}

/* Real mode interrupts go through the IVT. */
CODE(code_real_irq, 16, "sti; movb $1, %al; outb %al, $0xe1; nop; hlt");

TEST(real_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct trap32 t;

	code_load(vm, G_CODE, code_real_irq, code_real_irq_end);
	vcpu_real(v, G_CODE);
	vcpu_until(v, STOP_SYNC);
	poke(v);
	EQ(interrupt(v, 0x21), 0);
	vcpu_until(v, STOP_TRAP);
	trap_get(v, &t);
	EQ(t.vector, 0x21);
	EQ(t.ip, 5);
	EQ(t.cs, G_CODE >> 4);
	vm_free(vm);
}

/* An event waiting for delivery is part of the state that migrates. */
TEST(pending_interrupt_moves_to_another_vcpu)
{
	struct vcpu *a = guest_start(g_deliver), *b = vcpu_new(a->vm, 1);
	struct kvm_vcpu_events events;
	struct kvm_sregs s;
	struct kvm_regs r;

	need_cap(KVM_CAP_VCPU_EVENTS);
	vcpu_until(a, STOP_SYNC);
	poke(a);
	EQ(interrupt(a, VEC), 0);
	WORKS(ioctl(a->fd, KVM_GET_VCPU_EVENTS, &events));
	EQ(events.interrupt.injected, 1);
	EQ(events.interrupt.nr, VEC);
	EQ(events.interrupt.soft, 0);
	get_sregs(a, &s);
	EQ(s.interrupt_bitmap[VEC / 64], BIT(VEC % 64));
	get_regs(a, &r);
	/* KVM_SET_SREGS alone carries it over, too. */
	set_sregs(b, &s);
	set_regs(b, &r);
	vcpu_until(b, STOP_SYNC);
	EQ(b->value, 2);
	vcpu_done(b);
	vm_free(a->vm);
}
