// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real mode: events through the vector table, the ways in and out with
 * segment registers that belong to the other mode, and what user space sees.
 * On a processor without unrestricted guest each of these is made up of
 * virtual-8086 mode and emulation; nobody must be able to tell.
 *
 * SDM: "8086 Emulation", "Mode Switching".
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "guest.h"

#define DR6_BS	BIT(14)

static struct vcpu *real_start(const u8 *start, const u8 *end)
{
	struct vcpu *v = vcpu_new(vm_new(), 0);

	code_load(v->vm, G_CODE, start, end);
	vcpu_real(v, G_CODE);
	return v;
}

/* ---- exceptions ---------------------------------------------------------- */

CODE(code_de, 16, "xorw %cx, %cx; divw %cx");
CODE(code_bp, 16, "int3");
CODE(code_of, 16, "movb $0x7f, %al; incb %al; into");
CODE(code_br, 16, "movw $9, %ax; boundw %ax, %ds:0x8000");
CODE(code_ud, 16, "ud2");
CODE(code_lldt, 16, ".byte 0x0f, 0x00, 0xd0");
CODE(code_nm, 16, "movl $0x3a, %eax; movl %eax, %cr0; fnop");
CODE(code_gp, 16, "movw %ax, %ds:0xffff");
CODE(code_ss, 16, "movw $0xffff, %bp; movw %ax, (%bp)");
CODE(code_int, 16, "int $0x77");
CODE(code_lim, 16, "movl $0x10000, %ebx; movb (%ebx), %al");
CODE(code_tf, 16, "pushw $0x102; popfw; nop; nop");
CODE(code_idt, 16, "lidtw %cs:(1f - code_idt); int $0x20\n"
		   "1: .word 0x7f; .long 0");

static const struct {
	const char *name;
	const u8 *code, *end;
	u32 vector, ip;
	const char *in_tree;		/* what it does where it emulates */
} exceptions[] = {
	{ "DIV by 0", code_de, code_de_end, VEC_DE, 2 },
	{ "INT3", code_bp, code_bp_end, VEC_BP, 1 },
	{ "INTO", code_of, code_of_end, VEC_OF, 5, "returns to INTO" },
	{ "BOUND", code_br, code_br_end, VEC_BR, 3 },
	{ "UD2", code_ud, code_ud_end, VEC_UD, 0 },
	{ "LLDT", code_lldt, code_lldt_end, VEC_UD, 0 },
	{ "FNOP with CR0.TS", code_nm, code_nm_end, VEC_NM, 9 },
	{ "over the limit of DS", code_gp, code_gp_end, VEC_GP, 0 },
	{ "over the limit of SS", code_ss, code_ss_end, VEC_SS, 3 },
	{ "address of 32 bits", code_lim, code_lim_end, VEC_GP, 6 },
	{ "INT n", code_int, code_int_end, 0x77, 2 },
	{ "single step", code_tf, code_tf_end, VEC_DB, 5 },
	{ "vector beyond the table", code_idt, code_idt_end, VEC_GP, 6,
	  "knows no limit" },
};

TEST(exceptions)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(exceptions); i++) {
		struct trap32 t = { 0 };
		struct kvm_regs r;
		struct vcpu *v;
		int stop;

		if (exceptions[i].in_tree && real_mode_in_tree()) {
			row_skip(exceptions[i].name, exceptions[i].in_tree);
			continue;
		}
		v = real_start(exceptions[i].code, exceptions[i].end);
		stop = vcpu_go(v);
		if (stop == STOP_TRAP)
			trap_get(v, &t);
		get_regs(v, &r);
		/* Vector and return address, and nothing else. */
		row(stop == STOP_TRAP && t.vector == exceptions[i].vector &&
		    t.ip == exceptions[i].ip && t.cs == G_CODE >> 4 &&
		    (u16)r.rsp == 0xfff0 - 8,
		    "%s: %s, vector %u, ip 0x%x, sp 0x%llx", exceptions[i].name,
		    stop < STOP_DONE ? exit_text(v) : exit_name(stop),
		    t.vector, t.ip, r.rsp);
		vm_free(v->vm);
	}
}

/* ---- interrupts ---------------------------------------------------------- */

/*
 * Handlers for INT 60H, IRQ 45H and NMI, and code that waits for them. From
 * its second entry on, at 4, it moves the vector table elsewhere.
 */
CODE(code_events, 16,
	"xorw %si, %si; jmp 2f\n"
	"lidtw %cs:(3f - code_events); movw $0x7000, %si\n"
	"2: movw $(h60 - code_events), %ds:0x180(%si)\n"
	"movw %cs, %ds:0x182(%si)\n"
	"movw $(h45 - code_events), %ds:0x114(%si)\n"
	"movw %cs, %ds:0x116(%si)\n"
	"movw $(h2 - code_events), %ds:0x8(%si)\n"
	"movw %cs, %ds:0xa(%si)\n"
	"movl $0x11112222, %eax; int $0x60; outl %eax, $0xe1\n"
	"sti; nop; outb %al, $0xe1\n"
	"pushfw; popw %ax; outw %ax, $0xe1\n"
	"outb %al, $0xe1; nop; hlt\n"
	"movb $0x77, %al; outb %al, $0xe1; hlt\n"
	"h60: pushfw; popw %ax; outw %ax, $0xe1\n"
	"movw $0x3333, %ax; iretw\n"
	"h45: pushw %ax; movb $0x45, %al; outb %al, $0xe1\n"
	"popw %ax; iretw\n"
	"h2: pushw %ax; movb $0x2, %al; outb %al, $0xe1\n"
	"movb $0x3, %al; outb %al, $0xe1; popw %ax; iretw\n"
	"3: .word 0x3ff; .long 0x7000\n");

/* The vCPU stands behind an OUT; KVM_RUN completes that, and stops. */
static void settle(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
	v->run->immediate_exit = 0;
}

static void events(u64 entry)
{
	struct vcpu *v = real_start(code_events, code_events_end);
	struct kvm_interrupt irq = { .irq = 0x45 };

	set_rip(v, entry);
	/* INT: IF is clear in the handler; EAX is as it left it. */
	EQ(next_value(v) & FLAG_IF, 0);
	EQ(next_value(v), 0x11113333);
	next_value(v);
	settle(v);
	WORKS(ioctl(v->fd, KVM_INTERRUPT, &irq));
	EQ(next_value(v), 0x45);
	EQ(next_value(v) & FLAG_IF, FLAG_IF);	/* IRET brought it back */
	next_value(v);
	settle(v);
	/* NMI: a second one waits for the IRET of the first. */
	WORKS(ioctl(v->fd, KVM_NMI, 0));
	EQ(next_value(v), 2);
	if (real_mode_in_tree())
		skip("in-tree does not hold the second NMI back");
	WORKS(ioctl(v->fd, KVM_NMI, 0));
	EQ(next_value(v), 3);
	EQ(next_value(v), 2);
	EQ(next_value(v), 3);
	vcpu_until(v, KVM_EXIT_HLT);
	/* Out of HLT by an interrupt. */
	WORKS(ioctl(v->fd, KVM_INTERRUPT, &irq));
	EQ(next_value(v), 0x45);
	EQ(next_value(v), 0x77);
	vcpu_until(v, KVM_EXIT_HLT);
	vm_free(v->vm);
}

TEST(events_by_the_table_at_0)
{
	events(0);
}

TEST(events_by_a_table_elsewhere)
{
	events(4);
}

/* ---- in and out of protected mode ----------------------------------------- */

/*
 * PE is set with all segments of real mode: they keep their bases, and MOV
 * reads the old selectors, among them some with an RPL.
 */
CODE(code_stale, 16,
	"lgdtl %cs:(stale_gdtr - code_stale)\n"
	"movw $0x1237, %ax; movw %ax, %ds; movw $0x8003, %ax; movw %ax, %ss\n"
	"movl %cr0, %eax; orb $1, %al; movl %eax, %cr0\n"
	"movl %ds:0x10, %eax; outl %eax, $0xe1\n"
	"movw %ds, %ax; outw %ax, $0xe1; movw %ss, %ax; outw %ax, $0xe1\n"
	"pushw $0x4242; popw %ax; outw %ax, $0xe1\n"
	"movw $0x33, %ax; movw %ax, %es; smsww %ax; outw %ax, $0xe1\n"
	"movl %cr0, %eax; andb $0xfe, %al; movl %eax, %cr0\n"
	"movl %ds:0x10, %eax; outl %eax, $0xe1\n"
	"movw %es, %ax; outw %ax, $0xe1\n"
	"movl $0x800014, %ebx; movl %es:(%ebx), %eax; outl %eax, $0xe1\n"
	"pushw %es; popw %es; movw %es:0x10, %ax; outw %ax, $0xe1\n"
	"ljmpw $0x2000, $(1f - code_stale); 1: xorw %ax, %ax\n"
	"movw %ax, %es; movw %ax, %ss; movb $0x99, %al; outb %al, $0xe1; hlt\n"
	"stale_gdtr: .word 0x5f; .long 0x1000\n");

TEST(segments_of_the_other_mode)
{
	struct vcpu *v = real_start(code_stale, code_stale_end);
	struct kvm_sregs s;
	struct vm *vm = v->vm;

	RAM(vm, 0x12380, u32) = 0x5150;
	RAM(vm, 0x800014, u32) = 0x6160;
	RAM(vm, 0x340, u32) = 0x7170;		/* 0x33:0x10 */
	EQ(next_value(v), 0x5150);
	get_sregs(v, &s);
	EQ(s.cr0 & CR0_PE, CR0_PE);
	EQ(s.cs.selector, G_CODE >> 4);
	EQ(s.cs.base, G_CODE);
	EQ(s.ds.base, 0x12370);
	EQ(s.ss.base, 0x80030);
	EQ(next_value(v), 0x1237);
	EQ(next_value(v), 0x8003);
	EQ(next_value(v), 0x4242);
	EQ(next_value(v) & 1, 1);
	EQ(next_value(v), 0x5150);
	/* Back: ES has the base and the limit of its descriptor, until ... */
	EQ(next_value(v), 0x33);
	get_sregs(v, &s);
	EQ(s.cr0 & CR0_PE, 0);
	EQ(s.es.selector, 0x33);
	EQ(s.es.base, 0);
	EQ(s.es.limit, 0xffffffff);
	EQ(next_value(v), 0x6160);
	EQ(next_value(v), 0x7170);		/* ... it is loaded */
	EQ(next_value(v), 0x99);
	get_sregs(v, &s);
	EQ(s.es.base, 0);
	EQ(s.es.selector, 0);
	EQ(s.es.limit, 0xffffffff);		/* which no load changes */
	vcpu_until(v, KVM_EXIT_HLT);
	vm_free(vm);
}

/* A stack of 32 bits, from protected mode: real mode uses all of ESP. */
CODE(code_big_stack, 16,
	"lgdtl %cs:(big_gdtr - code_big_stack)\n"
	"movl %cr0, %eax; orb $1, %al; movl %eax, %cr0\n"
	"movw $0x10, %bx; movw %bx, %ss; movl $0x91000, %esp\n"
	"andb $0xfe, %al; movl %eax, %cr0\n"
	"pushl $0x1a2b3c4d; pushw %ss; movl %esp, %eax; outl %eax, $0xe1\n"
	"hlt\n"
	"big_gdtr: .word 0x5f; .long 0x1000\n");

TEST(stack_of_32_bits_in_real_mode)
{
	struct vcpu *v = real_start(code_big_stack, code_big_stack_end);

	EQ(next_value(v), 0x91000 - 6);
	EQ(RAM(v->vm, 0x90ffc, u32), 0x1a2b3c4d);
	EQ(RAM(v->vm, 0x90ffa, u16), 0x10);
	/* HLT in a state that hardware may not be able to enter. */
	vcpu_until(v, KVM_EXIT_HLT);
	vm_free(v->vm);
}

/* ---- what user space sees, and does --------------------------------------- */

CODE(code_look, 16,
	"movw $0x1234, %ax; movw %ax, %fs; outb %al, $0xe1\n"
	"movw %fs, %ax; outw %ax, $0xe1; sidtw %ds:0x8000\n"
	"movl %cr0, %eax; outl %eax, $0xe1; smsww %ax; outw %ax, $0xe1\n"
	"outb %al, $0xe1\n"
	"movw %gs:0x20, %ax; outw %ax, $0xe1; hlt\n");

TEST(state_in_real_mode)
{
	struct vcpu *v = real_start(code_look, code_look_end);
	struct kvm_sregs s, first;
	struct kvm_regs r;

	get_sregs(v, &first);
	next_value(v);
	get_sregs(v, &s);
	get_regs(v, &r);
	EQ(r.rflags & BIT(17), 0);		/* VM */
	EQ(r.rflags & 3 << 12, 0);		/* IOPL */
	EQ(s.cr0, first.cr0);
	EQ(s.cr4, first.cr4);
	EQ(s.cr3, first.cr3);
	EQ(s.efer, first.efer);
	EQ(s.fs.selector, 0x1234);
	EQ(s.fs.base, 0x12340);
	EQ(s.fs.limit, 0xffff);
	EQ(s.fs.dpl, 0);
	EQ(s.cs.dpl, 0);
	EQ(s.ss.dpl, 0);
	EQ(s.tr.selector, first.tr.selector);
	EQ(s.tr.base, first.tr.base);
	EQ(s.tr.limit, first.tr.limit);
	EQ(s.idt.limit, 0x3ff);
	/* A monitor's own value is the guest's. */
	s.fs.selector = 0x4321;
	s.fs.base = 0x43210;
	set_sregs(v, &s);
	EQ(next_value(v), 0x4321);
	EQ(next_value(v) & CR0_PE, 0);
	EQ(RAM(v->vm, 0x8000, u16), 0x3ff);	/* SIDT */
	EQ(next_value(v) & CR0_PE, 0);		/* SMSW */
	/* A base that no selector makes. */
	next_value(v);
	get_sregs(v, &s);
	s.gs.base = 0x812345;
	set_sregs(v, &s);
	RAM(v->vm, 0x812365, u16) = 0x8181;
	EQ(next_value(v), 0x8181);
	vm_free(v->vm);
}

/* KVM_GUESTDBG_SINGLESTEP over loads, a jump, an INT and its IRET. */
CODE(code_step, 16,
	"movw $(1f - code_step), %ds:0x184; movw %cs, %ds:0x186\n"
	"int $0x61; ljmpw $0x2001, $(2f - code_step - 16); 1: iretw\n"
	"2: nop; hlt\n");

TEST(single_step_by_a_debugger)
{
	struct vcpu *v = real_start(code_step, code_step_end);
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
	};
	/*
	 * INT clears TF, and the trap is that of what follows its IRET; but
	 * where INT is emulated, the debugger steps into the handler.
	 */
	static const u8 over[] = { 6, 10, 18, 19 };
	static const u8 into[] = { 6, 10, 17, 12, 18, 19 };
	bool native = kvm_uses("unrestricted_guest");
	const u8 *at = native ? over : into;
	u32 i, nr = native ? sizeof(over) : sizeof(into);

	if (real_mode_in_tree())
		skip("in-tree steps over what follows IRET, too");
	WORKS(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug));
	for (i = 0; i < nr; i++) {
		EQ(vcpu_run(v), KVM_EXIT_DEBUG);
		EQ(v->run->debug.arch.pc, G_CODE + at[i]);
		EQ(v->run->debug.arch.exception, VEC_DB);
		CHECK(v->run->debug.arch.dr6 & DR6_BS);
	}
	vm_free(v->vm);
}

/* Breakpoints for code, for a write and for a read. */
CODE(code_breaks, 16,
	"movw $0x1234, %ax; movw %ax, %ds:0x8000; movw %ds:0x8004, %bx\n"
	"nop; hlt");

static const struct {
	const char *name;
	u64 address, control;		/* of DR7, for the first */
	u32 ip;
} breaks[] = {
	{ "code", G_CODE + 10, 0, 10 },
	{ "write", 0x8000, 5, 6 },
	{ "write by another name", 0x8001, 5, 6 },
	{ "read", 0x8004, 7, 10 },
};

/* A base for GS that no selector makes: there it may have to be emulated. */
static void break_at(u32 i, u32 nr, u64 gs_base)
{
	struct vcpu *v = real_start(code_breaks, code_breaks_end);
	struct kvm_debugregs d = {
		.dr6 = 0xffff0ff0,
		.dr7 = 0x400 | BIT(nr * 2) |
		       breaks[i].control << (16 + nr * 4),
	};
	struct kvm_sregs s;
	struct trap32 t = { 0 };
	int stop;

	d.db[nr] = breaks[i].address;
	get_sregs(v, &s);
	s.gs.base = gs_base;
	set_sregs(v, &s);
	WORKS(ioctl(v->fd, KVM_SET_DEBUGREGS, &d));
	stop = vcpu_go(v);
	if (stop == STOP_TRAP)
		trap_get(v, &t);
	WORKS(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	row(stop == STOP_TRAP && t.vector == VEC_DB && t.ip == breaks[i].ip &&
	    (d.dr6 & 0xf) == BIT(nr), "%s, GS at 0x%llx: %s, ip 0x%x, DR6 0x%llx",
	    breaks[i].name, gs_base, exit_name(stop), t.ip, d.dr6);
	vm_free(v->vm);
}

TEST(breakpoints)
{
	u32 i;

	if (real_mode_in_tree())
		skip("the kernel's own emulates without breakpoints");
	for (i = 0; i < ARRAY_SIZE(breaks); i++) {
		break_at(i, i, 0);
		break_at(i, 3 - i, 0x12345);
	}
}

/* A long loop in a state that may have to be emulated obeys signals. */
CODE(code_loop, 16,
	"lidtw %cs:(1f - code_loop); 2: incl %ecx; jmp 2b\n"
	"1: .word 0x3ff; .long 0x7000\n");

static void on_alarm(int sig)
{
	(void)sig;
}

TEST(loop_with_another_vector_table)
{
	struct itimerval in_a_moment = { .it_value.tv_usec = 50000 };
	struct sigaction sa = { .sa_handler = on_alarm };
	struct vcpu *v = real_start(code_loop, code_loop_end);
	struct kvm_regs r;

	WORKS(sigaction(SIGALRM, &sa, NULL));
	WORKS(setitimer(ITIMER_REAL, &in_a_moment, NULL));
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
	get_regs(v, &r);
	CHECK(r.rcx > 100);
	vm_free(v->vm);
}
