// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that the processor answers with #UD although the guest's has
 * them: SYSCALL outside of 64-bit mode, for guests that take themselves for
 * AMD's; and those that a guest wants to have emulated, by a prefix that is
 * undefined as well.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define MSR_EFER	0xc0000080
#define MSR_STAR	0xc0000081
#define MSR_CSTAR	0xc0000083
#define MSR_FMASK	0xc0000084

/* ---- SYSCALL ------------------------------------------------------------ */

static struct vcpu *vcpu_of_vendor(const char *vendor)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0, 0);
	struct vcpu *v = vcpu_bare(vm_new(), 0);

	memcpy(&e->ebx, vendor, 4);
	memcpy(&e->edx, vendor + 4, 4);
	memcpy(&e->ecx, vendor + 8, 4);
	WORKS(ioctl(v->fd, KVM_SET_CPUID2, c));
	free(c);
	return v;
}

extern const u8 compat_next[], compat_target[];
static u64 kernel_rsp, user_stack[64];
static u64 seen_rcx, seen_r11, seen_flags;
static u32 seen_cs, seen_ss;

/* From compatibility mode at CPL 3, with `user_flags`, and back. */
static void __attribute__((noinline, noclone))
g_syscall_from_compat(u64 user_flags)
{
	asm volatile(
		"movq %%rsp, %[rsp]\n\t"
		"pushq %[udata]; pushq %[stack]; pushq %[flags]\n\t"
		"pushq %[ucode]; pushq $1f; iretq\n"
		".code32\n"
		"1:	syscall\n"
		"compat_next: ud2\n"
		".code64\n"
		"compat_target:\n\t"
		"movq %%rsp, %%rax; movq %[rsp], %%rsp\n\t"
		"pushfq; popq %[seen_flags]\n\t"
		"movq %%rcx, %[seen_rcx]; movq %%r11, %[seen_r11]\n\t"
		"movl %%cs, %%eax; movl %%eax, %[seen_cs]\n\t"
		"movl %%ss, %%eax; movl %%eax, %[seen_ss]\n\t"
		: [rsp] "+m"(kernel_rsp), [seen_flags] "=m"(seen_flags),
		  [seen_rcx] "=m"(seen_rcx), [seen_r11] "=m"(seen_r11),
		  [seen_cs] "=m"(seen_cs), [seen_ss] "=m"(seen_ss)
		: [udata] "i"(SEL_UDATA), [ucode] "i"(SEL_UCODE32),
		  [stack] "r"((u64)(user_stack + 64)), [flags] "r"(user_flags)
		: "rax", "rcx", "r11", "memory", "cc");
}

static void g_compat(void)
{
	u64 user_flags = FLAG_FIXED | FLAG_CF | FLAG_DF | FLAG_AC;

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	wrmsr(MSR_STAR, (u64)SEL_CODE64 << 32);
	wrmsr(MSR_CSTAR, (unsigned long)compat_target);
	wrmsr(MSR_FMASK, FLAG_DF | FLAG_TF);
	g_syscall_from_compat(user_flags);
	G_EQ(seen_rcx, (unsigned long)compat_next);
	G_EQ(seen_r11, user_flags);
	G_EQ(seen_flags, user_flags & ~FLAG_DF);
	G_EQ(seen_cs, SEL_CODE64);
	G_EQ(seen_ss, SEL_DATA);
	/* The mask clears TF: there is no trap. */
	g_syscall_from_compat(user_flags | FLAG_TF);
	G_EQ(seen_r11 & FLAG_TF, FLAG_TF);
	G_EQ(trap.count[VEC_DB], 0);
	asm volatile("cld; pushfq; andq $~0x40000, (%%rsp); popfq" : : : "cc");
}

TEST(syscall_of_amd_in_compatibility_mode)
{
	struct vcpu *v = vcpu_of_vendor("AuthenticAMD");

	vcpu_long(v, g_compat);
	vcpu_done(v);
	vm_free(v->vm);
}

/* The instruction behind it; then what STAR names, 16 bytes into the code. */
CODE(code_syscall, 32,
	"std; syscall; hlt\n"
	".balign 16\n"
	"movl %ecx, %eax; outl %eax, $0xe1\n"
	"pushfl; popl %eax; outl %eax, $0xe1\n"
	"movl %cs, %eax; outl %eax, $0xe1\n"
	"movl %ss, %eax; outl %eax, $0xe1\n"
	"hlt\n");

static struct vcpu *at_syscall(const char *vendor, u64 efer)
{
	struct vcpu *v = vcpu_of_vendor(vendor);

	code_load(v->vm, G_CODE, code_syscall, code_syscall_end);
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	set_msr(v, MSR_EFER, efer);
	set_msr(v, MSR_STAR, (u64)SEL_CODE32 << 32 | (G_CODE + 16));
	set_msr(v, MSR_FMASK, FLAG_DF);		/* of long mode alone */
	return v;
}

TEST(syscall_of_amd_in_protected_mode)
{
	struct vcpu *v = at_syscall("AuthenticAMD", EFER_SCE);

	EQ(next_value(v), G_CODE + 3);
	EQ(next_value(v), FLAG_FIXED | FLAG_DF);
	EQ(next_value(v), SEL_CODE32);
	EQ(next_value(v), SEL_CODE32 + 8);
	vm_free(v->vm);
}

TEST(syscall_that_is_none)
{
	struct vcpu *v = at_syscall("AuthenticAMD", 0);

	EQ(expect_trap(v, VEC_UD).ip, G_CODE + 1);
	vm_free(v->vm);
	v = at_syscall("GenuineIntel", EFER_SCE);
	EQ(expect_trap(v, VEC_UD).ip, G_CODE + 1);
	vm_free(v->vm);
}

/* ---- the prefix --------------------------------------------------------- */

#define EMULATE ".byte 0x0f, 0x0b, 0x6b, 0x76, 0x6d\n\t"
#define PREFIX_LEN 5

/* A switch of the part of the module that is not the processor's. */
static void need_prefix(bool wanted)
{
	char value = 0;
	FILE *f = fopen("/sys/module/kvm/parameters/force_emulation_prefix",
			"r");

	if (f) {
		value = getc(f);
		fclose(f);
	}
	if ((value == 'Y' || value == '1') != wanted)
		skip(wanted ? "force_emulation_prefix is off" :
			      "force_emulation_prefix is on");
}

static void g_undefined_prefix(void)
{
	G_EQ(TRY(EMULATE "nop", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(*(u16 *)trap.rip, 0x0b0f);
}

TEST(prefix_is_undefined)
{
	need_prefix(false);
	guest_run(g_undefined_prefix);
}

static void g_moves(void)
{
	u64 a, b = 0x1234567890abcdefull, cr0 = read_cr0();

	asm volatile(EMULATE "movabsq $0x9080706050403020, %0" : "=r"(a));
	G_EQ(a, 0x9080706050403020ull);
	a = b;
	asm volatile(EMULATE "smsww %w0" : "+r"(a));
	G_EQ(a, (b & ~0xffffull) | (u16)cr0);
	asm volatile(EMULATE "smswl %k0" : "=r"(a));
	G_EQ(a, (u32)cr0);
	asm volatile(EMULATE "pushq %1\n\t" EMULATE "popq %0"
		     : "=r"(a) : "r"(b) : "memory");
	G_EQ(a, b);
	asm volatile(EMULATE "movq %1, %%dr3\n\t" EMULATE "movq %%dr3, %0"
		     : "=r"(a) : "r"(b & 0xffffffff));
	G_EQ(a, b & 0xffffffff);
	asm volatile(EMULATE "bswapq %0\n\t" EMULATE "rolq $8, %0"
		     : "+r"(a) : : "cc");
	G_EQ(a, 0xcdab9000000000efull);
	asm volatile(EMULATE "nop" : : : "memory");
}

TEST(prefix_and_moves)
{
	need_prefix(true);
	guest_run(g_moves);
}

/* Faults are those of the instruction itself, behind the prefix. */
static void g_faults(void)
{
	u64 at_lea = 0, at_load = 0;
	u32 vector;

	vector = TRY("leaq 1f(%%rip), %[at]\n\t" EMULATE
		     "1: .byte 0x8d, 0xc0",	/* LEA of a register */
		     OUTS([at] "+r"(at_lea)), "m"(trap) : "rax");
	G_EQ(vector, VEC_UD);
	G_EQ(trap.rip, at_lea);
	vector = TRY("leaq 1f(%%rip), %[at]\n\t" EMULATE
		     "1: movq (%%rax), %%rax",
		     OUTS([at] "+r"(at_load)), "a"(1ull << 46));
	G_EQ(vector, VEC_PF);
	G_EQ(trap.rip, at_load);
	G_EQ(trap.cr2, 1ull << 46);
	G_EQ(TRY(EMULATE "movb %%al, (%%rdx)", NO_OUTS, "d"(1ull << 63)),
	     VEC_GP);
}

TEST(prefix_and_faults)
{
	need_prefix(true);
	guest_run(g_faults);
}

static volatile u32 user_vector, user_error;

static void g_load_kernel_segment(void)
{
	user_vector = TRY(EMULATE "movw %%ax, %%fs", NO_OUTS,
			  "a"(SEL_DATA));
	user_error = trap.error;
}

static void g_user(void)
{
	guest_user(g_load_kernel_segment);
	G_EQ(user_vector, VEC_GP);
	G_EQ(user_error, SEL_DATA);
}

TEST(prefix_in_user_mode)
{
	need_prefix(true);
	guest_run(g_user);
}

/* An x87 exception that waits is delivered by the next MMX instruction. */
static void g_pending_x87(void)
{
	static const u16 unmasked;
	u64 data;

	write_cr0((read_cr0() & ~(CR0_EM | CR0_TS)) | CR0_NE);
	asm volatile("fninit; fldcw %0; fldz; fldz; fdivp" : : "m"(unmasked));
	G_EQ(TRY(EMULATE "movq %%mm0, %0", OUTS("=m"(data)), "m"(trap)),
	     VEC_MF);
	asm volatile("fnclex; emms");
}

TEST(prefix_and_x87)
{
	need_prefix(true);
	guest_run(g_pending_x87);
}

/* Registers of 32 bytes, from memory, among themselves and back. */
static u8 vec_in[32] __attribute__((aligned(32)));
static u8 vec_out[32] __attribute__((aligned(32)));

static void g_vectors(void)
{
	u32 i;

	write_cr4(read_cr4() | CR4_OSXSAVE | CR4_OSFXSR);
	xsetbv(0, 7);
	for (i = 0; i < sizeof(vec_in); i++)
		vec_in[i] = i * 7;
	asm volatile(EMULATE "vmovdqa %1, %%ymm3\n\t"
		     EMULATE "vmovdqa %%ymm3, %%ymm12\n\t"
		     EMULATE "vmovntdq %%ymm12, %0"
		     : "=m"(vec_out) : "m"(vec_in) : "memory");
	for (i = 0; i < sizeof(vec_in); i++)
		G_EQ(vec_out[i], i * 7);
	asm volatile(EMULATE "vmovntdqa %1, %%ymm9\n\tvmovdqa %%ymm9, %0"
		     : "=m"(vec_out) : "m"(vec_in) : "memory");
	for (i = 0; i < sizeof(vec_in); i++)
		G_EQ(vec_out[i], i * 7);
}

TEST(prefix_and_vectors)
{
	need_prefix(true);
	if (!cpu_has(7, 1, 5))
		skip("the processor has no AVX2");
	guest_run(g_vectors);
}
