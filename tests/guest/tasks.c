// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware task switches, which always cause VM exits and which the module
 * carries out: by JMP, CALL and IRET, by a task gate for an interrupt and for
 * an exception. SDM, "Task Management". Linux's 32-bit double fault handler
 * is such a task. Switches whose checks fail are among these.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define TASK_B		0x1800u		/* the other task's TSS */
#define SEL_B		0x60
#define SEL_GATE	0x68
#define STACK_B		0x8e000u
#define PAGES_B		0x7000u		/* page directory of the other task */
#define FLAG_NT		BIT(14)

enum {			/* offsets in a 32-bit TSS, "Task-State Segment" */
	TSS_LINK = 0, TSS_ESP0 = 4, TSS_SS0 = 8, TSS_CR3 = 28, TSS_EIP = 32,
	TSS_EFLAGS = 36, TSS_EAX = 40, TSS_ECX = 44, TSS_EDX = 48,
	TSS_EBX = 52, TSS_ESP = 56, TSS_EBP = 60, TSS_ESI = 64, TSS_EDI = 68,
	TSS_ES = 72, TSS_CS = 76, TSS_SS = 80, TSS_DS = 84, TSS_FS = 88,
	TSS_GS = 92, TSS_LDT = 96, TSS_TRAP = 100, TSS_IOMAP = 102,
	TSS_SIZE = 104,
};

/* The code of B: reports EAX, which the switch loaded, then what it finds. */
CODE(code_b, 32,
	"b_again: outl %eax, $0xe1\n"
	"pushfl; popl %eax; outl %eax, $0xe1\n"
	"str %ax; outl %eax, $0xe1\n"
	"movl %ebx, %eax; outl %eax, $0xe1\n"
	"iretl\n"			/* back to A, if NT is set */
	"movl $0x5151, %eax; outl %eax, $0xe1\n"
	"jmp b_again\n");

#define AT_B	0x24000u

static struct vcpu *two_tasks(const u8 *start, const u8 *end)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u64 *gdt = &RAM(vm, G_GDT, u64);
	struct kvm_sregs s;

	code_load(vm, G_CODE, start, end);
	code_load(vm, AT_B, code_b, code_b_end);
	gdt[SEL_B / 8] = 0x0000890000000000ull | (TSS_SIZE - 1) |
			 (u64)TASK_B << 16;
	gdt[SEL_GATE / 8] = 0x0000850000000000ull | (u64)SEL_B << 16;
	/* A busy TSS for A, as LTR leaves it. */
	gdt[SEL_TSS32 / 8] |= BIT(41);
	memset(vm->ram + TASK_B, 0, TSS_SIZE);
	RAM(vm, TASK_B + TSS_EIP, u32) = AT_B;
	RAM(vm, TASK_B + TSS_EFLAGS, u32) = FLAG_FIXED | FLAG_CF;
	RAM(vm, TASK_B + TSS_EAX, u32) = 0xb0b0;
	RAM(vm, TASK_B + TSS_EBX, u32) = 0xb3b3;
	RAM(vm, TASK_B + TSS_ESP, u32) = STACK_B;
	RAM(vm, TASK_B + TSS_CS, u32) = SEL_CODE32;
	RAM(vm, TASK_B + TSS_SS, u32) = SEL_DATA;
	RAM(vm, TASK_B + TSS_DS, u32) = SEL_DATA;
	RAM(vm, TASK_B + TSS_ES, u32) = SEL_DATA;
	RAM(vm, TASK_B + TSS_FS, u32) = SEL_UDATA;
	RAM(vm, TASK_B + TSS_IOMAP, u16) = TSS_SIZE;
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	get_sregs(v, &s);
	s.gdt.limit = SEL_GATE + 7;
	set_sregs(v, &s);
	return v;
}

static bool is_busy(struct vm *vm, u32 selector)
{
	return RAM(vm, G_GDT + selector, u64) & BIT(41);
}

/* B reports EAX and EFLAGS of its TSS, its own TR, and EBX. */
static void b_reports(struct vcpu *v, bool nested)
{
	EQ(next_value(v), 0xb0b0);
	EQ(next_value(v) & (FLAG_CF | FLAG_NT), FLAG_CF |
	   (nested ? FLAG_NT : 0));
	EQ(next_value(v) & 0xffff, SEL_B);
	EQ(next_value(v), 0xb3b3);
}

/* JMP: the old task is no longer busy, there is no way back by IRET. */
CODE(code_jmp, 32,
	"movl $0xa0a0, %eax; movl $0xa5a5, %esi; movl $0x77777, %ebp\n"
	"ljmpl $0x60, $0x12345\n"
	"outl %eax, $0xe1; hlt\n");

TEST(jmp_to_a_tss)
{
	struct vcpu *v = two_tasks(code_jmp, code_jmp_end);
	struct kvm_sregs s;
	struct vm *vm = v->vm;

	b_reports(v, false);
	get_sregs(v, &s);
	EQ(s.tr.selector, SEL_B);
	EQ(s.tr.base, TASK_B);
	EQ(s.tr.type, 11);
	EQ(s.fs.selector, SEL_UDATA);
	EQ(s.gs.unusable, 1);			/* a null selector */
	CHECK(s.cr0 & CR0_TS);			/* set by every switch */
	CHECK(is_busy(vm, SEL_B));
	CHECK(!is_busy(vm, SEL_TSS32));
	/* A was saved, at the instruction after its JMP. */
	EQ(RAM(vm, G_TSS32 + TSS_EAX, u32), 0xa0a0);
	EQ(RAM(vm, G_TSS32 + TSS_ESI, u32), 0xa5a5);
	EQ(RAM(vm, G_TSS32 + TSS_EBP, u32), 0x77777);
	EQ(RAM(vm, G_TSS32 + TSS_EIP, u32), G_CODE + 22);
	EQ(RAM(vm, G_TSS32 + TSS_CS, u16), SEL_CODE32);
	EQ(RAM(vm, TASK_B + TSS_LINK, u16), 0);
	vm_free(vm);
}

/* CALL nests: both busy, linked, NT set; IRET comes back. */
CODE(code_call, 32,
	"movl $0xa0a0, %eax\n"
	"lcall $0x60, $0\n"
	"outl %eax, $0xe1\n"
	"pushfl; popl %eax; outl %eax, $0xe1\n"
	"movl $0xa1a1, %eax; lcall $0x60, $0\n"
	"outl %eax, $0xe1; hlt\n");

static void call_and_return(const u8 *start, const u8 *end)
{
	struct vcpu *v = two_tasks(start, end);
	struct vm *vm = v->vm;

	b_reports(v, true);
	CHECK(is_busy(vm, SEL_B));
	CHECK(is_busy(vm, SEL_TSS32));
	EQ(RAM(vm, TASK_B + TSS_LINK, u16), SEL_TSS32);
	EQ(next_value(v), 0xa0a0);		/* A's own EAX */
	CHECK(!is_busy(vm, SEL_B));
	EQ(next_value(v) & (FLAG_NT | FLAG_CF), 0);
	/* B goes on after its IRET the next time. */
	EQ(next_value(v), 0x5151);
	EQ(next_value(v), 0x5151);		/* from b_again, EAX */
	vm_free(vm);
}

TEST(call_of_a_tss_and_iret)
{
	call_and_return(code_call, code_call_end);
}

/* The same by way of a task gate in the GDT. */
CODE(code_call_gate, 32,
	"movl $0xa0a0, %eax\n"
	"lcall $0x68, $0\n"
	"outl %eax, $0xe1\n"
	"pushfl; popl %eax; outl %eax, $0xe1\n"
	"movl $0xa1a1, %eax; lcall $0x68, $0\n"
	"outl %eax, $0xe1; hlt\n");

TEST(call_of_a_task_gate)
{
	call_and_return(code_call_gate, code_call_gate_end);
}

static void set_task_gate(struct vm *vm, u32 vector)
{
	RAM(vm, G_IDT32 + vector * 8, u64) = 0x0000850000000000ull |
					     (u64)SEL_B << 16;
}

/* Software interrupt through a task gate: the return is after the INT. */
CODE(code_int, 32, "movl $0xa0a0, %eax; int $0x41; outl %eax, $0xe1; hlt");

TEST(software_interrupt)
{
	struct vcpu *v = two_tasks(code_int, code_int_end);

	set_task_gate(v->vm, 0x41);
	b_reports(v, true);
	EQ(RAM(v->vm, G_TSS32 + TSS_EIP, u32), G_CODE + 7);
	EQ(next_value(v), 0xa0a0);
	vcpu_until(v, KVM_EXIT_HLT);
	vm_free(v->vm);
}

/* External interrupt: the return is to the instruction not yet executed. */
CODE(code_irq, 32,
	"movl $0xa0a0, %eax; sti; nop; outb %al, $0xe1; nop\n"
	"outl %eax, $0xe1; hlt");

TEST(external_interrupt)
{
	struct vcpu *v = two_tasks(code_irq, code_irq_end);
	struct kvm_interrupt irq = { .irq = 0x45 };

	set_task_gate(v->vm, 0x45);
	EQ(next_value(v), 0xa0);
	v->run->immediate_exit = 1;
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
	v->run->immediate_exit = 0;
	WORKS(ioctl(v->fd, KVM_INTERRUPT, &irq));
	b_reports(v, true);
	EQ(RAM(v->vm, G_TSS32 + TSS_EIP, u32), G_CODE + 9);
	CHECK(RAM(v->vm, G_TSS32 + TSS_EFLAGS, u32) & FLAG_IF);
	EQ(next_value(v), 0xa0a0);
	vm_free(v->vm);
}

/* NMI: blocked until the IRET that switches back. */
TEST(nmi)
{
	struct vcpu *v = two_tasks(code_irq, code_irq_end);

	set_task_gate(v->vm, VEC_NMI);
	EQ(next_value(v), 0xa0);
	WORKS(ioctl(v->fd, KVM_NMI, 0));
	b_reports(v, true);
	EQ(next_value(v), 0xa0a0);
	vcpu_until(v, KVM_EXIT_HLT);
	vm_free(v->vm);
}

/* An exception with an error code, which goes to the new task's stack. */
CODE(code_gp, 32,
	"movl $0xa0a0, %eax; movl $0x1230, %edx; movw %dx, %es\n"
	"outl %eax, $0xe1; hlt");

TEST(exception_with_error_code)
{
	struct vcpu *v = two_tasks(code_gp, code_gp_end);
	struct kvm_regs r;

	set_task_gate(v->vm, VEC_GP);
	EQ(next_value(v), 0xb0b0);
	get_regs(v, &r);
	EQ(r.rsp, STACK_B - 4);
	EQ(RAM(v->vm, STACK_B - 4, u32), 0x1230);
	/* A fault: saved at the faulting instruction. */
	EQ(RAM(v->vm, G_TSS32 + TSS_EIP, u32), G_CODE + 10);
	vm_free(v->vm);
}

/* Double fault through a task gate, as 32-bit Linux has it. */
CODE(code_df, 32, "movl $0xa0a0, %eax; movl $0x99990, %esp; int3; hlt");

TEST(double_fault)
{
	struct vcpu *v = two_tasks(code_df, code_df_end);
	struct kvm_sregs s;

	set_task_gate(v->vm, VEC_DF);
	/* #BP's gate: not present; #NP's: not present either. */
	RAM(v->vm, G_IDT32 + VEC_BP * 8, u64) &= ~BIT(47);
	RAM(v->vm, G_IDT32 + VEC_NP * 8, u64) &= ~BIT(47);
	EQ(next_value(v), 0xb0b0);
	get_sregs(v, &s);
	EQ(s.tr.selector, SEL_B);
	EQ(RAM(v->vm, STACK_B - 4, u32), 0);	/* the error code */
	vm_free(v->vm);
}

/* The other task has page tables of its own: CR3 comes from its TSS. */
TEST(cr3_is_loaded)
{
	struct vcpu *v = two_tasks(code_jmp, code_jmp_end);
	struct vm *vm = v->vm;
	struct kvm_sregs s;
	u32 i;

	/* In B, 0xc0000000 is an alias of 0; the rest is as in A. */
	for (i = 0; i < 1024; i++)
		RAM(vm, PAGES_B + i * 4, u32) = RAM(vm, G_PD32 + i * 4, u32);
	RAM(vm, PAGES_B + 0x300 * 4, u32) = PT_P | PT_W | PT_PS;
	RAM(vm, TASK_B + TSS_CR3, u32) = PAGES_B;
	RAM(vm, TASK_B + TSS_EIP, u32) = 0xc0000000 + AT_B;
	get_sregs(v, &s);
	s.cr3 = G_PD32;
	s.cr4 |= CR4_PSE;
	s.cr0 |= CR0_PG;
	set_sregs(v, &s);
	b_reports(v, false);
	get_sregs(v, &s);
	EQ(s.cr3, PAGES_B);
	vm_free(vm);
}

/* A 16-bit TSS: no CR3, no FS and GS, registers of 16 bits. */
#define AT_B16	0xe000u

CODE(code_b16, 16,
	"outw %ax, $0xe1; movw %di, %ax; outw %ax, $0xe1\n"
	"pushfw; popw %ax; outw %ax, $0xe1; iretw");

TEST(sixteen_bit_tss)
{
	struct vcpu *v = two_tasks(code_call, code_call_end);
	struct vm *vm = v->vm;
	const u16 tss[] = {			/* from IP on */
		AT_B16, FLAG_FIXED | FLAG_CF, 0xb0b0, 1, 2, 3, 0xd000, 5, 6,
		0x7d7d, SEL_DATA, SEL_CODE16, SEL_DATA16, SEL_DATA, 0,
	};
	struct kvm_sregs s;

	code_load(vm, AT_B16, code_b16, code_b16_end);
	RAM(vm, G_GDT + SEL_B, u64) = 0x0000810000000000ull | 43 |
				      (u64)TASK_B << 16;
	memset(vm->ram + TASK_B, 0, TSS_SIZE);
	memcpy(vm->ram + TASK_B + 14, tss, sizeof(tss));
	EQ(next_value(v), 0xb0b0);
	get_sregs(v, &s);
	EQ(s.tr.type, 3);
	EQ(s.cs.selector, SEL_CODE16);
	if (!kvm_in_tree())		/* which leaves it alone */
		EQ(s.fs.selector, 0);
	EQ(next_value(v), 0x7d7d);
	EQ(next_value(v) & (FLAG_CF | FLAG_NT), FLAG_CF | FLAG_NT);
	/* IRET goes back to the 32-bit task. The kernel's own fails to enter. */
	if (!kvm_in_tree()) {
		EQ(next_value(v), 0xa0a0);
		EQ(RAM(vm, TASK_B + 14, u16),
		   AT_B16 + (code_b16_end - code_b16));
	}
	vm_free(vm);
}

/* EFLAGS.VM in the TSS: the new task runs in virtual-8086 mode. */
CODE(code_b_v86, 16, "outw %ax, $0xe1; int $0x21");

TEST(v86_task)
{
	struct vcpu *v = two_tasks(code_jmp, code_jmp_end);
	struct vm *vm = v->vm;
	struct kvm_sregs s;
	struct trap32 t;

	code_load(vm, AT_B, code_b_v86, code_b_v86_end);
	RAM(vm, G_GDT + SEL_B, u64) += 0x20;	/* I/O bitmap: all allowed */
	RAM(vm, TASK_B + TSS_EFLAGS, u32) = FLAG_FIXED | BIT(17) | 3 << 12;
	RAM(vm, TASK_B + TSS_EIP, u32) = 0;
	RAM(vm, TASK_B + TSS_CS, u32) = AT_B >> 4;
	RAM(vm, TASK_B + TSS_SS, u32) = 0x8000;
	RAM(vm, TASK_B + TSS_ESP, u32) = 0xe000;
	RAM(vm, TASK_B + TSS_FS, u32) = 0x1234;
	RAM(vm, TASK_B + TSS_ESP0, u32) = STACK_B;
	RAM(vm, TASK_B + TSS_SS0, u32) = SEL_DATA;
	EQ(next_value(v), 0xb0b0);
	get_sregs(v, &s);
	EQ(s.cs.base, AT_B);
	EQ(s.fs.base, 0x12340);
	EQ(s.ss.dpl, 3);
	/* The gate's DPL is 0. */
	t = expect_trap(v, VEC_GP);
	EQ(t.error, 0x21 * 8 + 2);
	EQ(t.ip, 2);
	vm_free(vm);
}

/* The debug trap flag of the TSS: #DB before the task's first instruction. */
TEST(debug_trap)
{
	struct vcpu *v = two_tasks(code_jmp, code_jmp_end);
	struct trap32 t;

	RAM(v->vm, TASK_B + TSS_TRAP, u16) = 1;
	if (kvm_in_tree())
		skip("in-tree has no TSS trap flag");
	t = expect_trap(v, VEC_DB);
	EQ(t.ip, AT_B);
	vm_free(v->vm);
}

/* What the processor refuses, with the vector and error code of the SDM. */

struct refusal {
	const char *name;
	void (*spoil)(struct vm *vm);
	u32 vector, error;
	bool in_new_task;		/* in-tree loses the exception */
};

static void spoil_busy(struct vm *vm)
{
	RAM(vm, G_GDT + SEL_B, u64) |= BIT(41);
}

static void spoil_absent(struct vm *vm)
{
	RAM(vm, G_GDT + SEL_B, u64) &= ~BIT(47);
}

static void spoil_short(struct vm *vm)
{
	RAM(vm, G_GDT + SEL_B, u64) -= 1;	/* limit 0x66 */
}

/* These are found in the new task, whose TR is loaded. */
static void spoil_cs(struct vm *vm)
{
	RAM(vm, TASK_B + TSS_CS, u32) = SEL_DATA;
}

/* At CPL 3, so that the handler has another stack. */
static void spoil_ss(struct vm *vm)
{
	RAM(vm, TASK_B + TSS_CS, u32) = SEL_UCODE32;
	RAM(vm, TASK_B + TSS_SS, u32) = SEL_CODE32;
	RAM(vm, TASK_B + TSS_ESP0, u32) = STACK_B;
	RAM(vm, TASK_B + TSS_SS0, u32) = SEL_DATA;
}

static void spoil_ldt(struct vm *vm)
{
	RAM(vm, TASK_B + TSS_LDT, u32) = SEL_DATA;
}

static const struct refusal refusals[] = {
	{ "busy TSS", spoil_busy, VEC_GP, SEL_B },
	{ "absent TSS", spoil_absent, VEC_NP, SEL_B },
	{ "short TSS", spoil_short, VEC_TS, SEL_B },
	{ "CS is data", spoil_cs, VEC_TS, SEL_DATA, true },
	{ "SS is code", spoil_ss, VEC_TS, SEL_CODE32, true },
	{ "LDT is data", spoil_ldt, VEC_TS, SEL_DATA, true },
};

TEST(refused)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *r = &refusals[i];
		struct vcpu *v = two_tasks(code_jmp, code_jmp_end);
		struct trap32 t = { 0 };
		int stop;

		r->spoil(v->vm);
		stop = vcpu_go(v);
		if (r->in_new_task && stop != STOP_TRAP && kvm_in_tree()) {
			row_skip(r->name, "in-tree loses the exception");
			vm_free(v->vm);
			continue;
		}
		if (stop == STOP_TRAP)
			trap_get(v, &t);
		row(stop == STOP_TRAP && t.vector == r->vector &&
		    (t.error & ~1u) == r->error,
		    "%s: %s, vector %u, error 0x%x", r->name,
		    stop < STOP_DONE ? exit_text(v) : exit_name(stop),
		    t.vector, t.error);
		vm_free(v->vm);
	}
}

/* Without a stack there is no way to tell: #TS, #SS, #DF, and no more. */
TEST(no_stack_in_the_new_task)
{
	struct vcpu *v = two_tasks(code_jmp, code_jmp_end);

	RAM(v->vm, TASK_B + TSS_SS, u32) = SEL_CODE32;
	if (kvm_in_tree())
		skip("in-tree loses the exception");
	vcpu_until(v, KVM_EXIT_SHUTDOWN);
	vm_free(v->vm);
}
