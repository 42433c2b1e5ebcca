// SPDX-License-Identifier: GPL-2.0-only
/*
 * State ioctls of a vCPU: general registers, events, MP state, translation,
 * synced registers in kvm_run. What is set comes back, and reaches the guest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

/* General registers */

static void fill_regs(struct kvm_regs *r, u64 salt)
{
	u64 *p = (u64 *)r;
	u32 i;

	for (i = 0; i < 16; i++)
		p[i] = 0x0123456789abcdefull * (i + 1) + salt;
}

TEST(regs_round_trip)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_regs set, got;

	get_regs(v, &set);
	fill_regs(&set, 5);
	set.rip = 0x123456789000ull;
	set.rflags = FLAG_FIXED | FLAG_CF | FLAG_IF | FLAG_DF;
	set_regs(v, &set);
	get_regs(v, &got);
	EQ(memcmp(&set, &got, sizeof(set)), 0);
	vm_free(v->vm);
}

/* Bit 1 of RFLAGS is one in whatever the guest and user space see. */
TEST(rflags_fixed_bit)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_regs r;

	get_regs(v, &r);
	r.rflags = 0;
	set_regs(v, &r);
	vcpu_done(v);
	get_regs(v, &r);
	CHECK(r.rflags & FLAG_FIXED);
	vm_free(v->vm);
}

/* Each register reaches the guest and comes out of it. */
asm(".pushsection .text\n"
    "swap_regs:\n"
    "	xchg %rax, %rbx; xchg %rcx, %rdx; xchg %rsi, %rdi; xchg %rbp, %r8\n"
    "	xchg %r9, %r10; xchg %r11, %r12; xchg %r13, %r14\n"
    "	xchg %rsp, %r15; outb %al, $0xe0\n"
    ".popsection");
void swap_regs(void);

TEST(regs_reach_the_guest)
{
	struct vcpu *v = guest_start(swap_regs);
	struct kvm_regs set, got;

	get_regs(v, &set);
	fill_regs(&set, 9);
	set.rip = (unsigned long)swap_regs;
	set_regs(v, &set);
	vcpu_done(v);
	get_regs(v, &got);
	EQ(got.rax, set.rbx);
	EQ(got.rbx, set.rax);
	EQ(got.rcx, set.rdx);
	EQ(got.rdx, set.rcx);
	EQ(got.rsi, set.rdi);
	EQ(got.rdi, set.rsi);
	EQ(got.rbp, set.r8);
	EQ(got.r8, set.rbp);
	EQ(got.r9, set.r10);
	EQ(got.r10, set.r9);
	EQ(got.r11, set.r12);
	EQ(got.r12, set.r11);
	EQ(got.r13, set.r14);
	EQ(got.r14, set.r13);
	EQ(got.rsp, set.r15);
	EQ(got.r15, set.rsp);
	vm_free(v->vm);
}

/* Segments as the guest's own loads leave them. */
static void g_load_segments(void)
{
	asm volatile("movw %w0, %%ds; movw %w0, %%es" : : "r"(SEL_DATA16));
	asm volatile("movw %w0, %%fs" : : "r"(0));
	asm volatile("lldt %w0" : : "r"(0));
	guest_sync(0);
}

TEST(segments_in_sregs)
{
	struct vcpu *v = guest_start(g_load_segments);
	struct kvm_sregs s;

	vcpu_until(v, STOP_SYNC);
	get_sregs(v, &s);
	EQ(s.ds.selector, SEL_DATA16);
	EQ(s.ds.limit, 0xffff);
	EQ(s.ds.db, 0);
	EQ(s.ds.g, 0);
	EQ(s.ds.s, 1);
	EQ(s.ds.present, 1);
	EQ(s.ds.type, 3);
	EQ(s.ds.unusable, 0);
	EQ(s.fs.unusable, 1);
	EQ(s.ldt.unusable, 1);
	EQ(s.cs.l, 1);
	EQ(s.cs.selector, SEL_CODE64);
	EQ(s.tr.selector, SEL_TSS64);
	EQ(s.tr.type, 11);			/* busy */
	EQ(s.gdt.base, G_GDT);
	EQ(s.idt.base, G_IDT64);
	vm_free(v->vm);
}

/* Events */

#define EVENTS_INIT(v, e) do {						\
	need_cap(KVM_CAP_VCPU_EVENTS);					\
	WORKS(ioctl((v)->fd, KVM_GET_VCPU_EVENTS, e));			\
} while (0)

TEST(no_events_at_first)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_vcpu_events e;

	EVENTS_INIT(v, &e);
	EQ(e.exception.injected, 0);
	EQ(e.interrupt.injected, 0);
	EQ(e.interrupt.shadow, 0);
	EQ(e.nmi.injected, 0);
	EQ(e.nmi.pending, 0);
	EQ(e.nmi.masked, 0);
	WORKS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	vcpu_done(v);
	vm_free(v->vm);
}

/* Guests that only wait for what user space puts into them. */
static void g_expect_ud(void)
{
	TRY("nop", NO_OUTS, "m"(trap));
	G_EQ(trap.count[VEC_UD], 0);
	trap.resume = (u64)guest_done;
	guest_sync(0);
	guest_fail(__FILE__, __LINE__, "no exception came", 0, 1);
}

TEST(inject_exception)
{
	struct vcpu *v = guest_start(g_expect_ud);
	struct kvm_vcpu_events e;

	EVENTS_INIT(v, &e);
	vcpu_until(v, STOP_SYNC);
	WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.exception.injected = 1;
	e.exception.nr = VEC_UD;
	e.exception.has_error_code = 0;
	WORKS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	vcpu_done(v);
	EQ(G(v->vm, trap).count[VEC_UD], 1);
	vm_free(v->vm);
}

TEST(inject_exception_with_error_code)
{
	struct vcpu *v = guest_start(g_expect_ud);
	struct kvm_vcpu_events e;

	EVENTS_INIT(v, &e);
	vcpu_until(v, STOP_SYNC);
	WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.exception.injected = 1;
	e.exception.nr = VEC_GP;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x1230;
	WORKS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	vcpu_done(v);
	EQ(G(v->vm, trap).count[VEC_GP], 1);
	EQ(G(v->vm, trap).error, 0x1230);
	vm_free(v->vm);
}

static void g_two_stops(void)
{
	guest_sync(0);
	guest_sync(1);
}

TEST(inject_nmi_by_events)
{
	struct vcpu *v = guest_start(g_two_stops);
	struct kvm_vcpu_events e;

	EVENTS_INIT(v, &e);
	vcpu_until(v, STOP_SYNC);
	WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	e.nmi.pending = 1;
	WORKS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	vcpu_until(v, STOP_SYNC);
	EQ(G(v->vm, trap).count[VEC_NMI], 1);
	vm_free(v->vm);
}

/* NMIs masked by user space stay pending until the guest's next IRET. */
static void g_iret(void)
{
	guest_sync(0);
	G_EQ(trap.count[VEC_NMI], 0);
	asm volatile("movq %%rsp, %%rax; pushq $0x10; pushq %%rax; pushfq\n"
		     "pushq $8; leaq 1f(%%rip), %%rax; pushq %%rax; iretq; 1:"
		     : : : "rax", "memory");
	asm volatile("nop");
	G_EQ(trap.count[VEC_NMI], 1);
}

TEST(nmi_masked_by_events)
{
	struct vcpu *v = guest_start(g_iret);
	struct kvm_vcpu_events e;

	EVENTS_INIT(v, &e);
	vcpu_until(v, STOP_SYNC);
	WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.nmi.masked = 1;
	WORKS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	EQ(ioctl(v->fd, KVM_NMI, 0), 0);
	vcpu_done(v);
	vm_free(v->vm);
}

TEST(bad_events)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_vcpu_events good, bad, after;

	EVENTS_INIT(v, &good);
	bad = good;
	bad.flags |= BIT(31);
	FAILS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
	bad = good;
	bad.exception.injected = 1;
	bad.exception.nr = 32;
	FAILS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
	bad.exception.nr = VEC_NMI;
	FAILS(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
	WORKS(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &after));
	EQ(after.exception.injected, 0);
	vcpu_done(v);
	vm_free(v->vm);
}

/* MP state: without in-kernel APICs only RUNNABLE. */
TEST(mp_state)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_mp_state s = { .mp_state = 99 };

	need_cap(KVM_CAP_MP_STATE);
	WORKS(ioctl(v->fd, KVM_GET_MP_STATE, &s));
	EQ(s.mp_state, KVM_MP_STATE_RUNNABLE);
	WORKS(ioctl(v->fd, KVM_SET_MP_STATE, &s));
	s.mp_state = KVM_MP_STATE_HALTED;
	FAILS(ioctl(v->fd, KVM_SET_MP_STATE, &s), EINVAL);
	s.mp_state = KVM_MP_STATE_INIT_RECEIVED;
	FAILS(ioctl(v->fd, KVM_SET_MP_STATE, &s), EINVAL);
	s.mp_state = 1234;
	FAILS(ioctl(v->fd, KVM_SET_MP_STATE, &s), EINVAL);
	WORKS(ioctl(v->fd, KVM_GET_MP_STATE, &s));
	EQ(s.mp_state, KVM_MP_STATE_RUNNABLE);
	vcpu_done(v);
	vm_free(v->vm);
}

/* A processor that is not in VMX operation, as every one is at first. */
TEST(nested_state_of_a_new_vcpu)
{
	struct {
		struct kvm_nested_state s;
		u8 data[8192];
	} *n = calloc(1, sizeof(*n));
	struct vcpu *v = guest_start(guest_done);

	n->s.size = sizeof(n->s) - 1;
	FAILS(ioctl(v->fd, KVM_GET_NESTED_STATE, n), E2BIG);
	EQ(n->s.size, sizeof(n->s));
	n->s.size = sizeof(*n);
	WORKS(ioctl(v->fd, KVM_GET_NESTED_STATE, n));
	EQ(n->s.size, sizeof(n->s));
	EQ(n->s.format, KVM_STATE_NESTED_FORMAT_VMX);
	EQ(n->s.flags, 0);
	EQ(n->s.hdr.vmx.vmxon_pa, ~0ull);
	EQ(n->s.hdr.vmx.vmcs12_pa, ~0ull);
	WORKS(ioctl(v->fd, KVM_SET_NESTED_STATE, n));
	n->s.hdr.vmx.vmcs12_pa = 0x1000;
	FAILS(ioctl(v->fd, KVM_SET_NESTED_STATE, n), EINVAL);
	n->s.hdr.vmx.vmcs12_pa = ~0ull;
	n->s.format = KVM_STATE_NESTED_FORMAT_SVM;
	FAILS(ioctl(v->fd, KVM_SET_NESTED_STATE, n), EINVAL);
	vm_free(v->vm);
	free(n);
}

/* KVM_TRANSLATE walks the guest's page tables in its present mode. */
static struct kvm_translation translate(struct vcpu *v, u64 va)
{
	struct kvm_translation t = { .linear_address = va };

	WORKS(ioctl(v->fd, KVM_TRANSLATE, &t));
	return t;
}

TEST(translate_long_mode)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_translation t;

	map_page(v->vm, 0x30000000, G_FREE + 0x5000, PT_P | PT_W);
	map_page(v->vm, 0x30001000, 0, 0);
	t = translate(v, 0x30000123);
	EQ(t.valid, 1);
	EQ(t.physical_address, G_FREE + 0x5123);
	EQ(translate(v, 0x30001000).valid, 0);
	EQ(translate(v, 0x123456).physical_address, 0x123456);
	EQ(translate(v, 0x7f0000000000ull).valid, 0);
	vm_free(v->vm);
}

TEST(translate_other_modes)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);

	vcpu_real(v, G_CODE);
	EQ(translate(v, 0x12345).physical_address, 0x12345);
	EQ(translate(v, 0x12345).valid, 1);
	EQ(translate(v, ~0ull).valid, 0);
	vcpu_prot32(v, G_CODE, PAGING_PSE);
	RAM(vm, G_PD32 + 0x30 * 4, u32) = 0x800000 | PT_P | PT_PS;
	RAM(vm, G_PD32 + 0x31 * 4, u32) = 0;
	EQ(translate(v, 0x0c001234).physical_address, 0x801234);
	EQ(translate(v, 0x0c401234).valid, 0);
	vcpu_prot32(v, G_CODE, PAGING_PAE);
	RAM(vm, G_PD + 0x60 * 8, u64) = 0xa00000 | PT_P | PT_PS;
	EQ(translate(v, 0x0c001234).physical_address, 0xa01234);
	vm_free(vm);
}

/* Registers in kvm_run, where that is offered. */
static void g_sync_regs(void)
{
	u64 rbx;

	asm volatile("movq $0x1234, %%rbx; outb %%al, $0xe1; movq %%rbx, %0"
		     : "=r"(rbx) : : "rbx");
	G_EQ(rbx, 0xbabe);
}

TEST(sync_regs)
{
	int cap = ioctl(kvm_fd(), KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
	struct vcpu *v;

	if (cap <= 0 || !(cap & KVM_SYNC_X86_REGS))
		skip("waits for KVM_CAP_SYNC_REGS");
	v = guest_start(g_sync_regs);
	v->run->kvm_valid_regs = cap;
	vcpu_until(v, STOP_SYNC);
	EQ(v->run->s.regs.regs.rbx, 0x1234);
	if (cap & KVM_SYNC_X86_SREGS)
		EQ(v->run->s.regs.sregs.cr3, G_PML4);
	v->run->s.regs.regs.rbx = 0xbabe;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	vcpu_done(v);
	v->run->kvm_valid_regs = 1u << 30;
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINVAL);
	v->run->kvm_valid_regs = 0;
	v->run->kvm_dirty_regs = 1u << 30;
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINVAL);
	vm_free(v->vm);
}

/*
 * A vCPU's whole state moves to a vCPU of another VM in the middle of work:
 * what a migration does.
 */
static volatile u64 g_total;

static void g_work(void)
{
	u64 i;

	for (i = 1; i <= 20; i++) {
		g_total += i * i;
		guest_sync(i);
	}
	G_EQ(g_total, 2870);
}

static void move_state(struct vcpu *from, struct vcpu *to)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct kvm_xsave x;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events e;
	struct kvm_debugregs d;

	get_sregs(from, &s);
	get_regs(from, &r);
	WORKS(ioctl(from->fd, KVM_GET_XCRS, &xcrs));
	WORKS(ioctl(from->fd, KVM_GET_XSAVE, &x));
	WORKS(ioctl(from->fd, KVM_GET_VCPU_EVENTS, &e));
	WORKS(ioctl(from->fd, KVM_GET_DEBUGREGS, &d));
	set_sregs(to, &s);
	set_regs(to, &r);
	WORKS(ioctl(to->fd, KVM_SET_XCRS, &xcrs));
	WORKS(ioctl(to->fd, KVM_SET_XSAVE, &x));
	WORKS(ioctl(to->fd, KVM_SET_VCPU_EVENTS, &e));
	WORKS(ioctl(to->fd, KVM_SET_DEBUGREGS, &d));
}

TEST(move_to_another_vm)
{
	struct vcpu *v = guest_start(g_work);
	u32 i;

	need_cap(KVM_CAP_XSAVE);
	need_cap(KVM_CAP_XCRS);
	need_cap(KVM_CAP_VCPU_EVENTS);
	need_cap(KVM_CAP_DEBUGREGS);
	for (i = 1; i <= 20; i++) {
		struct vm *vm = vm_new();
		struct vcpu *next = vcpu_new(vm, 0);

		vcpu_until(v, STOP_SYNC);
		EQ(v->value, i);
		/* The OUT is complete once KVM_RUN was entered again. */
		v->run->immediate_exit = 1;
		FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
		memcpy(vm->ram, v->vm->ram, RAM_SIZE);
		move_state(v, next);
		vm_free(v->vm);
		v = next;
	}
	vcpu_done(v);
	vm_free(v->vm);
}
