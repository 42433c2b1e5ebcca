// SPDX-License-Identifier: GPL-2.0-only
/*
 * Differential fuzzer of the instruction emulator: the same bytes, on the
 * same registers, flags and memory, by the emulator and by the processor this
 * runs on; then registers, defined flags, memory and exception must agree.
 *
 * Instructions are made from the emulator's own opcode tables, so a new row
 * is fuzzed without a word here.  They run natively in 64-bit code, in 32-bit
 * code (a far jump to the kernel's compatibility segment) and in 16-bit code
 * (segments of modify_ldt).  A trampoline swaps the register sets; there is
 * no system call in a case that does not fault, and a signal in one that
 * does.
 *
 * Linked at a low, fixed address: 16- and 32-bit code must reach the exits.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "x86_emulate.c"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- Layout ---------------------------------------------------------- */

#define CODE_BASE	0x10000000ull	/* one page; the next is not mapped */
#define CODE_IP		0x800		/* where instructions usually start */
#define ARENA_BASE	0x20000000ull	/* two pages RW, one R, one nothing */
#define PAGE		4096ull
#define ARENA_RW	(2 * PAGE)
#define ARENA_R		(3 * PAGE)
#define SEG16_BASE	(ARENA_BASE + ARENA_RW - 0x10000)
#define GS_BASE		(ARENA_BASE + 0x100)
#define GS_LIMIT	0x17ff

#define SEL_CODE64	0x33
#define SEL_CODE32	0x23
#define SEL_DATA	0x2b
#define SEL_LDT(n)	((n) << 3 | 7)

enum { LDT_CODE16, LDT_DATA16, LDT_ES16, LDT_GS };

#define CMP_FLAGS	(FL_ARITH | FL_DF | FL_NT | FL_AC | FL_ID)
#define NR_VEC		32

static u8 *const code = (u8 *)CODE_BASE;
static u8 *const arena = (u8 *)ARENA_BASE;
static u8 shadow[ARENA_R];		/* the emulator's memory */

/* ---- The native side: trampoline and signals ------------------------- */

/* The offsets are known to the assembly below. */
struct native {
	u64 regs[16];		/*   0 */
	u64 rflags;		/* 128 */
	u64 target;		/* 136: 64-bit code */
	u32 far_offset;		/* 144: other code */
	u16 far_sel;
	u16 pad;
	u64 host_rsp;		/* 152 */
	u64 ss;			/* 160 */
	u64 use_vec;		/* 168: 1 AVX, 2 AVX-512 */
	u64 use_mmx;		/* 176 */
	u64 use_fx;		/* 184: x87 and MXCSR */
	u64 pad2[8];
	u8 vec[NR_VEC][64];	/* 256 */
	u64 mmx[8];		/* 2304 */
	u8 fx[512];		/* 2368, of FXSAVE64 */
};

struct native native __attribute__((aligned(64), used));
_Static_assert(offsetof(struct native, fx) == 2368, "for the assembly");
const u32 default_mxcsr __attribute__((used)) = 0x1f80;

extern void native_run64(void);
extern void native_run32(void);
extern void native_exit(void);
extern void native_exit_fault(void);

#define EACH16(op) \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) \
	op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define EACH_HIGH(op) \
	op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23) \
	op(24) op(25) op(26) op(27) op(28) op(29) op(30) op(31)
#define XMM_NAME(n) "xmm" #n,
#define EACH8(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)
#define LD_YMM(n) "vmovups native+256+64*" #n ",%ymm" #n "\n"
#define ST_YMM(n) "vmovups %ymm" #n ",native+256+64*" #n "\n"
#define LD_ZMM(n) "vmovups native+256+64*" #n ",%zmm" #n "\n"
#define ST_ZMM(n) "vmovups %zmm" #n ",native+256+64*" #n "\n"
#define LD_MM(n) "movq native+2304+8*" #n ",%mm" #n "\n"
#define ST_MM(n) "movq %mm" #n ",native+2304+8*" #n "\n"
#define EACH_GPR(op) \
	op(0, rax) op(8, rcx) op(16, rdx) op(24, rbx) op(40, rbp) \
	op(48, rsi) op(56, rdi) op(64, r8) op(72, r9) op(80, r10) \
	op(88, r11) op(96, r12) op(104, r13) op(112, r14) op(120, r15)
#define LD_GPR(off, r) "movq native+" #off ",%" #r "\n"
#define ST_GPR(off, r) "movq %" #r ",native+" #off "\n"

__asm__(
"	.text\n"
"native_enter:\n"		/* all but rsp, from behind a return address */
"	popq native+208\n"	/* in pad2 */
"	pushq %rbx; pushq %rbp; pushq %r12; pushq %r13\n"
"	pushq %r14; pushq %r15\n"
"	movq %rsp, native+152\n"
"	cmpq $1, native+168\n"
"	jb 3f\n"
"	ja 2f\n"
	EACH16(LD_YMM)
"	jmp 3f\n"
"2:\n"	EACH16(LD_ZMM) EACH_HIGH(LD_ZMM)
"3:	cmpq $0, native+176\n"
"	je 4f\n"
	EACH8(LD_MM)
"4:	cmpq $0, native+184\n"
"	je 5f\n"
"	fxrstor64 native+2368\n"
"5:	movl native+160, %eax\n"
"	movl %eax, %ss\n"
"	movq $native+128, %rsp\n"
"	popfq\n"
	EACH_GPR(LD_GPR)
"	movq native+32, %rsp\n"
"	jmp *native+208\n"
"	.globl native_run64\n"
"native_run64:\n"
"	call native_enter\n"
"	jmp *native+136\n"
"	.globl native_run32\n"
"native_run32:\n"
"	call native_enter\n"
"	ljmpl *native+144\n"
"	.globl native_exit\n"
"native_exit:\n"
	EACH_GPR(ST_GPR)
"	movq %rsp, native+32\n"
"	movq $native+136, %rsp\n"
"	pushfq\n"
"	.globl native_exit_fault\n"
"native_exit_fault:\n"
"	movq native+152, %rsp\n"
"	pushq $0x202\n"
"	popfq\n"
"	movl $0x2b, %eax\n"
"	movl %eax, %ss\n"
"	cmpq $1, native+168\n"
"	jb 3f\n"
"	ja 2f\n"
	EACH16(ST_YMM)
"	vzeroupper\n"
"	jmp 3f\n"
"2:\n"	EACH16(ST_ZMM) EACH_HIGH(ST_ZMM)
"	vzeroupper\n"
"3:	cmpq $0, native+176\n"
"	je 4f\n"
	EACH8(ST_MM)
"	emms\n"
"4:	cmpq $0, native+184\n"
"	je 5f\n"
"	fxsave64 native+2368\n"
"	fninit\n"
"	ldmxcsr default_mxcsr\n"
"5:	popq %r15; popq %r14; popq %r13; popq %r12\n"
"	popq %rbp; popq %rbx\n"
"	ret\n");

struct outcome {
	bool fault;
	u8 vector;
	u32 error;
	u64 cr2, rip;
};

static volatile struct outcome trapped;
static volatile bool in_native;
static volatile u64 current_case;

/* A trap in this program itself: a case has damaged it. */
static void escaped(const greg_t *g)
{
	printf("Bail out! trap %lld at %llx in case %llu, address %llx\n",
	       (long long)g[REG_TRAPNO], (unsigned long long)g[REG_RIP],
	       (unsigned long long)current_case,
	       (unsigned long long)g[REG_CR2]);
	fflush(stdout);
	_exit(3);
}

/* Takes the state at the trap out of the frame and leaves by the exit. */
static void on_signal(int sig, siginfo_t *info, void *arg)
{
	static const int order[16] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI,
		REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13,
		REG_R14, REG_R15,
	};
	ucontext_t *uc = arg;
	greg_t *g = uc->uc_mcontext.gregs;
	unsigned int n;

	(void)sig;
	(void)info;
	__asm__ volatile("pushq $0x202; popfq" : : : "cc", "memory");
	if (!in_native)
		escaped(g);
	in_native = false;
	for (n = 0; n < 16; n++)
		native.regs[n] = g[order[n]];
	native.rflags = g[REG_EFL];
	trapped.fault = true;
	trapped.vector = g[REG_TRAPNO];
	trapped.error = g[REG_ERR];
	trapped.cr2 = g[REG_CR2];
	trapped.rip = g[REG_RIP];
	g[REG_RIP] = (greg_t)native_exit_fault;
	g[REG_EFL] = 0x202;
	/* cs, gs, fs, ss in 16 bits each */
	g[REG_CSGSFS] = (g[REG_CSGSFS] & 0x0000ffffffff0000ll) | SEL_CODE64 |
			(greg_t)SEL_DATA << 48;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void install_signals(void)
{
	static const int sigs[] = {
		SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP,
	};
	/* Not where small random values of RSP would point into it. */
	stack_t ss = { .ss_size = 256 * 1024 };
	struct sigaction sa = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
	unsigned int n;

	ss.ss_sp = mmap(NULL, ss.ss_size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ss.ss_sp == MAP_FAILED)
		die("mmap");
	sa.sa_sigaction = on_signal;
	if (sigaltstack(&ss, NULL))
		die("sigaltstack");
	for (n = 0; n < ARRAY_SIZE(sigs); n++)
		if (sigaction(sigs[n], &sa, NULL))
			die("sigaction");
}

static void map_fixed(u64 at, u64 bytes, int prot)
{
	void *p = mmap((void *)at, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)at)
		die("mmap");
}

static bool set_ldt(unsigned int n, u64 base, u32 limit, bool is_code)
{
	struct user_desc d = {
		.entry_number = n, .base_addr = base, .limit = limit,
		.contents = is_code ? 2 : 0, .useable = 1,
	};

	return !syscall(SYS_modify_ldt, 0x11, &d, sizeof(d));
}

/* ---- The emulator's side --------------------------------------------- */

static bool plain_on;
static u64 pf_address;
static u8 evec[NR_VEC][64];
static u64 emmx[8];
static u64 xcr0;

static int page_fault(struct x86_emulate_ctxt *ctxt, u64 lin, u32 error)
{
	pf_address = lin;
	return x86_emul_pf(ctxt, lin, error);
}

/* The first address of the range that @write or read may not touch. */
static int fake_access(struct x86_emulate_ctxt *ctxt, u64 lin,
		       unsigned int bytes, bool write)
{
	u64 ok = write ? ARENA_RW : ARENA_R, off = lin - ARENA_BASE;
	u64 bad;

	if (off < ok && off + bytes <= ok)
		return X86EMUL_OK;
	bad = off < ok ? ARENA_BASE + ok : lin;
	/* A range that begins before the arena and ends in it. */
	return page_fault(ctxt, bad, 4 | (write ? 2 : 0) |
			  (bad - ARENA_BASE < ARENA_R ? 1 : 0));
}

static int fz_read(struct x86_emulate_ctxt *ctxt, u64 lin, void *buf,
		   unsigned int bytes, unsigned int access)
{
	int rc;

	if (access & X86_ACC_SYSTEM)
		return X86EMUL_UNHANDLEABLE;
	rc = fake_access(ctxt, lin, bytes, access & X86_ACC_WRITE);
	if (!rc)
		memcpy(buf, shadow + (lin - ARENA_BASE), bytes);
	return rc;
}

/* The last image of the x87 state that was written: where its pointers are. */
static u64 pointers_at;
static unsigned int pointers_bytes;

static void note_image(u64 offset, unsigned int bytes)
{
	bool wide = bytes == 28 || bytes == 108;

	if (!wide && bytes != 14 && bytes != 94)
		return;
	pointers_at = offset + (wide ? 12 : 6);
	pointers_bytes = wide ? 16 : 8;
}

static int fz_write(struct x86_emulate_ctxt *ctxt, u64 lin, const void *buf,
		    unsigned int bytes, unsigned int access)
{
	int rc = fake_access(ctxt, lin, bytes, true);

	(void)access;
	if (rc)
		return rc;
	memcpy(shadow + (lin - ARENA_BASE), buf, bytes);
	note_image(lin - ARENA_BASE, bytes);
	return X86EMUL_OK;
}

static int fz_fetch(struct x86_emulate_ctxt *ctxt, u64 lin, void *buf,
		    unsigned int bytes)
{
	u64 off = lin - CODE_BASE;

	if (off < PAGE && off + bytes <= PAGE) {
		memcpy(buf, code + off, bytes);
		return X86EMUL_OK;
	}
	return page_fault(ctxt, lin, 0x14);
}

static int fz_cmpxchg(struct x86_emulate_ctxt *ctxt, u64 lin, void *old,
		      const void *new, unsigned int bytes)
{
	int rc = fake_access(ctxt, lin, bytes, true);
	u8 *p = shadow + (lin - ARENA_BASE);

	if (rc)
		return rc;
	if (memcmp(p, old, bytes))
		memcpy(old, p, bytes);
	else
		memcpy(p, new, bytes);
	return X86EMUL_OK;
}

static int fz_probe(struct x86_emulate_ctxt *ctxt, u64 lin,
		    unsigned int bytes, unsigned int access)
{
	(void)access;
	return fake_access(ctxt, lin, bytes, true);
}

static bool fz_plain(struct x86_emulate_ctxt *ctxt, u64 lin,
		     unsigned int bytes, unsigned int access)
{
	u64 ok = access & X86_ACC_WRITE ? ARENA_RW : ARENA_R;
	u64 off = lin - ARENA_BASE;

	/* What an x87 instruction does not store is kept of memory alone. */
	return (plain_on || ctxt->op->exec == op_x87) && off < ok &&
	       off + bytes <= ok;
}

static u64 fz_segment_base(struct x86_emulate_ctxt *ctxt, enum x86_seg seg)
{
	(void)ctxt;
	return seg == X86_SEG_GS ? GS_BASE : 0;
}

static const struct x86_segment flat_data = {
	0, 0xffffffff, 0xc0f3, SEL_DATA,
};

static void fz_get_segment(struct x86_emulate_ctxt *ctxt, enum x86_seg seg,
			   struct x86_segment *s)
{
	bool code16 = ctxt->mode == X86_MODE_PROT16;

	*s = flat_data;
	if (ctxt->mode == X86_MODE_PROT64 && seg != X86_SEG_CS &&
	    seg != X86_SEG_SS)
		s->selector = 0;
	switch (seg) {
	case X86_SEG_CS:
		s->selector = ctxt->mode == X86_MODE_PROT64 ? SEL_CODE64 :
			      code16 ? SEL_LDT(LDT_CODE16) : SEL_CODE32;
		s->attr = 0xc0fb;
		if (code16)
			*s = (struct x86_segment){
				CODE_BASE, 0xffff, 0xfb,
				SEL_LDT(LDT_CODE16) };
		break;
	case X86_SEG_SS: case X86_SEG_DS:
		if (code16)
			*s = (struct x86_segment){
				SEG16_BASE, 0xffff, 0xf3,
				SEL_LDT(LDT_DATA16) };
		break;
	case X86_SEG_ES:
		if (code16)
			*s = (struct x86_segment){
				ARENA_BASE, ARENA_RW - 1, 0xf3,
				SEL_LDT(LDT_ES16) };
		break;
	case X86_SEG_GS:
		if (ctxt->mode != X86_MODE_PROT64)
			*s = (struct x86_segment){
				GS_BASE, GS_LIMIT, 0xf3, SEL_LDT(LDT_GS) };
		break;
	case X86_SEG_TR:
		/* Linux keeps the I/O map of other tasks out of the limit. */
		*s = (struct x86_segment){ 0, 0x67, 0x8b, 0x40 };
		break;
	case X86_SEG_FS:
		s->selector = 0;
		s->attr = X86_SEG_ATTR_UNUSABLE;
		break;
	default:
		break;
	}
}

static u64 fz_get_cr(struct x86_emulate_ctxt *ctxt, unsigned int cr)
{
	(void)ctxt;
	if (cr == 0)
		return CR0_PE | CR0_AM | CR0_MP;
	return CR4_DE | CR4_OSFXSR | CR4_OSXSAVE | CR4_UMIP | CR4_FSGSBASE;
}

static u64 fz_get_xcr(struct x86_emulate_ctxt *ctxt, u32 xcr)
{
	(void)ctxt;
	(void)xcr;
	return xcr0;
}

static u64 fz_get_efer(struct x86_emulate_ctxt *ctxt)
{
	(void)ctxt;
	return EFER_LMA | EFER_LME | EFER_SCE;
}

static void fz_get_vec(struct x86_emulate_ctxt *ctxt, unsigned int index,
		       void *buf, unsigned int bytes)
{
	(void)ctxt;
	memcpy(buf, evec[index], bytes);
}

static void fz_set_vec(struct x86_emulate_ctxt *ctxt, unsigned int index,
		       const void *buf, unsigned int bytes, bool zero_upper)
{
	(void)ctxt;
	memcpy(evec[index], buf, bytes);
	if (zero_upper)
		memset(evec[index] + bytes, 0, 64 - bytes);
}

static void fz_get_mmx(struct x86_emulate_ctxt *ctxt, unsigned int index,
		       u64 *val)
{
	(void)ctxt;
	*val = emmx[index];
}

static void fz_set_mmx(struct x86_emulate_ctxt *ctxt, unsigned int index,
		       u64 val)
{
	(void)ctxt;
	emmx[index] = val;
}

/* ---- x87 ------------------------------------------------------------- */

static u8 efx[512] __attribute__((aligned(16)));
static u8 *x87_code;		/* what fz_x87() runs */

struct fx_head {
	u16 cw, sw;
	u8 tags, zero;
	u16 opcode;
	u64 ip, dp;
	u32 mxcsr, mxcsr_mask;
};

static struct fx_head *fx_head(u8 *fx)
{
	return (struct fx_head *)fx;
}

/* Do not wait for exceptions: FNSTENV, FNSAVE, FNSTCW, FNSTSW, FNINIT, ... */
static bool x87_waits(u8 opcode, u8 modrm)
{
	u8 reg = modrm >> 3 & 7;

	if (modrm >= 0xc0)
		return !(opcode == 0xdb && modrm >= 0xe0 && modrm <= 0xe4) &&
		       !(opcode == 0xdf && modrm == 0xe0);
	return !((opcode == 0xd9 && reg >= 6) || (opcode == 0xdd && reg >= 6));
}

/* The instruction itself, on the emulator's registers; AH has the flags. */
static int fz_x87(struct x86_emulate_ctxt *ctxt, u8 opcode, u8 modrm,
		  void *data, u8 *flags)
{
	u8 bytes[] = { 0x9e, opcode, modrm, 0x9f, 0xc3 };
	u16 ax = *flags << 8;

	if (opcode == 0x0f)
		;				/* EMMS */
	else if (opcode == 0xdf && modrm == 0xe0)
		memcpy(bytes + 1, "\xdd\x3f", 2);	/* FNSTSW (%rdi) */
	else if (modrm < 0xc0)
		bytes[2] = (modrm & 0x38) | 7;
	if (x87_waits(opcode, modrm) && (fx_head(efx)->sw & 0x80))
		return x86_emul_fault(ctxt, X86_EXC_MF, false, 0);
	memcpy(x87_code, bytes, sizeof(bytes));
	__asm__ volatile("fxrstor64 efx\n"
			 "call *%[code]\n"
			 "fxsave64 efx\n"
			 "fninit\n"
			 "ldmxcsr default_mxcsr"
			 : "+a"(ax) : [code] "b"(x87_code), "D"(data)
			 : "memory", "cc", EACH16(XMM_NAME) "st");
	*flags = ax >> 8;
	return X86EMUL_OK;
}

static u32 fz_get_mxcsr(struct x86_emulate_ctxt *ctxt)
{
	(void)ctxt;
	return fx_head(efx)->mxcsr;
}

static int fz_set_mxcsr(struct x86_emulate_ctxt *ctxt, u32 val)
{
	if (val & ~fx_head(efx)->mxcsr_mask)
		return gp(ctxt, 0);
	fx_head(efx)->mxcsr = val;
	return X86EMUL_OK;
}

static const struct x86_emulate_ops fuzz_ops = {
	.read = fz_read, .write = fz_write, .fetch = fz_fetch,
	.cmpxchg = fz_cmpxchg, .probe_write = fz_probe, .plain = fz_plain,
	.segment_base = fz_segment_base, .get_segment = fz_get_segment,
	.get_cr = fz_get_cr, .get_xcr = fz_get_xcr, .get_efer = fz_get_efer,
	.get_vec = fz_get_vec, .set_vec = fz_set_vec,
	.get_mmx = fz_get_mmx, .set_mmx = fz_set_mmx, .x87 = fz_x87,
	.get_mxcsr = fz_get_mxcsr, .set_mxcsr = fz_set_mxcsr,
};

/* ---- Random numbers -------------------------------------------------- */

static u64 rng_state;

static u64 rnd(void)
{
	u64 z = rng_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static u32 below(u32 n)
{
	return (rnd() >> 32) * n >> 32;
}

static bool chance(u32 percent)
{
	return below(100) < percent;
}

/* Values near the edges of every operand size, and any others. */
static u64 rnd_value(void)
{
	static const u8 edges[] = { 7, 8, 15, 16, 31, 32, 63 };
	u64 v;

	switch (below(8)) {
	case 0:
		return below(4);
	case 1:
		return -(u64)below(4);
	case 2:
		v = 1ull << edges[below(ARRAY_SIZE(edges))];
		return v + below(3) - 1;
	case 3:
		return 1ull << below(64);
	case 4:
		return rnd() >> below(64);
	default:
		return rnd();
	}
}

/* ---- What there is to generate --------------------------------------- */

/* A row of the tables, with the bytes that lead to it. */
struct leaf {
	const struct x86_opcode *op;
	u8 map, opcode, enc;	/* enc: 0 legacy, 1 VEX, 2 EVEX */
	s8 pp, reg, mod, rm, w, mode64;
	bool has_modrm;
	u64 cases, mismatches;
};

static struct leaf leaves[4096];
static unsigned int nr_leaves, nr_skipped_rows, nr_absent_rows;

/* Undefined flags, by handler ("EFLAGS Cross-Reference"). */
static const struct {
	exec_fn exec;
	u64 undefined;
} undefined_flags[] = {
	{ op_and, FL_AF }, { op_or, FL_AF }, { op_xor, FL_AF },
	{ op_test, FL_AF },
	{ op_mul, FL_SZP | FL_AF }, { op_imul1, FL_SZP | FL_AF },
	{ op_imul2, FL_SZP | FL_AF }, { op_imul3, FL_SZP | FL_AF },
	{ op_div, FL_ARITH }, { op_idiv, FL_ARITH },
	{ op_bt, FL_OF | FL_SF | FL_AF | FL_PF },
	{ op_bts, FL_OF | FL_SF | FL_AF | FL_PF },
	{ op_btr, FL_OF | FL_SF | FL_AF | FL_PF },
	{ op_btc, FL_OF | FL_SF | FL_AF | FL_PF },
	{ op_bsf, FL_CF | FL_OF | FL_SF | FL_AF | FL_PF },
	{ op_bsr, FL_CF | FL_OF | FL_SF | FL_AF | FL_PF },
	{ op_tzcnt, FL_OF | FL_SF | FL_AF | FL_PF },
	{ op_lzcnt, FL_OF | FL_SF | FL_AF | FL_PF },
	{ op_andn, FL_AF | FL_PF }, { op_blsr, FL_AF | FL_PF },
	{ op_blsi, FL_AF | FL_PF }, { op_blsmsk, FL_AF | FL_PF },
	{ op_bzhi, FL_AF | FL_PF }, { op_bextr, FL_AF | FL_SF | FL_PF },
	{ op_aam, FL_OF | FL_AF | FL_CF }, { op_aad, FL_OF | FL_AF | FL_CF },
	{ op_aaa, FL_OF | FL_SZP }, { op_aas, FL_OF | FL_SZP },
	{ op_daa, FL_OF }, { op_das, FL_OF },
};

/* Not to be run natively: they leave the sandbox or depend on the kernel. */
static const exec_fn not_native[] = {
	op_int, op_int1, op_int3, op_into, op_iret, op_jmp_far, op_call_far, op_ret_far,
	op_pop_seg, op_mov_to_seg, op_load_far, op_lar, op_lsl, op_verr,
	op_verw, op_store_system, op_store_dt, op_smsw, op_cpuid, op_rdtsc,
	op_rdtscp, op_rdpmc, op_xgetbv, op_hypercall, op_fsgsbase,
	op_fxsave, op_syscall, op_sysret, op_sysenter,
	op_sysexit, op_set_ac, op_monitor_mwait, op_rdpid, op_random,
	op_invpcid,
};

static bool is_native(const struct leaf *l)
{
	unsigned int n;

	for (n = 0; n < ARRAY_SIZE(not_native); n++)
		if (l->op->exec == not_native[n])
			return false;
	return true;
}

enum feature {
	F_NONE, F_SSE3, F_SSE41, F_SSE42, F_MOVBE, F_POPCNT, F_LZCNT, F_BMI1,
	F_BMI2, F_ADX, F_MOVDIRI, F_MOVDIR64B, F_AVX, F_AVX2, F_AVX512,
	NR_FEATURES,
};

static const char *const feature_name[NR_FEATURES] = {
	"", "sse3", "sse4.1", "sse4.2", "movbe", "popcnt", "lzcnt", "bmi1",
	"bmi2", "adx", "movdiri", "movdir64b", "avx", "avx2", "avx512bw+vl",
};

static bool have[NR_FEATURES], genuine_intel;

static void detect_features(void)
{
	u32 a, b, c, d, lo = 0, hi = 0;

	have[F_NONE] = true;
	__cpuid(0, a, b, c, d);
	genuine_intel = b == signature_INTEL_ebx;
	__cpuid(1, a, b, c, d);
	have[F_SSE3] = c & 1;
	have[F_SSE41] = c >> 19 & 1;
	have[F_SSE42] = c >> 20 & 1;
	have[F_MOVBE] = c >> 22 & 1;
	have[F_POPCNT] = c >> 23 & 1;
	if (c >> 27 & 1)
		__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	xcr0 = lo;
	have[F_AVX] = (c >> 28 & 1) && (xcr0 & XCR0_AVX) == XCR0_AVX;
	__cpuid_count(7, 0, a, b, c, d);
	have[F_BMI1] = b >> 3 & 1;
	have[F_BMI2] = b >> 8 & 1;
	have[F_ADX] = b >> 19 & 1;
	have[F_MOVDIRI] = c >> 27 & 1;
	have[F_MOVDIR64B] = c >> 28 & 1;
	have[F_AVX2] = have[F_AVX] && (b >> 5 & 1);
	have[F_AVX512] = have[F_AVX2] && (b >> 16 & b >> 30 & b >> 31 & 1) &&
			 (xcr0 & XCR0_AVX512) == XCR0_AVX512;
	__cpuid(0x80000001, a, b, c, d);
	have[F_LZCNT] = c >> 5 & 1;
}

static const struct { exec_fn exec; enum feature f; } exec_feature[] = {
	{ op_movbe, F_MOVBE }, { op_crc32, F_SSE42 }, { op_popcnt, F_POPCNT },
	{ op_lzcnt, F_LZCNT }, { op_tzcnt, F_BMI1 }, { op_andn, F_BMI1 },
	{ op_blsr, F_BMI1 }, { op_blsi, F_BMI1 }, { op_blsmsk, F_BMI1 },
	{ op_bextr, F_BMI1 }, { op_bzhi, F_BMI2 }, { op_pext, F_BMI2 },
	{ op_pdep, F_BMI2 }, { op_mulx, F_BMI2 }, { op_rorx, F_BMI2 },
	{ op_sarx, F_BMI2 }, { op_shlx, F_BMI2 }, { op_shrx, F_BMI2 },
	{ op_adcx, F_ADX }, { op_adox, F_ADX },
	{ op_movdiri, F_MOVDIRI }, { op_movdir64b, F_MOVDIR64B },
	{ op_movddup, F_SSE3 }, { op_movsldup, F_SSE3 },
	{ op_movshdup, F_SSE3 }, { op_pextrb, F_SSE41 },
	{ op_pextrd, F_SSE41 }, { op_pextrw, F_SSE41 },
	{ op_pinsrb, F_SSE41 }, { op_pinsrd, F_SSE41 },
};

static enum feature leaf_feature(const struct leaf *l)
{
	unsigned int n;

	if (l->enc == 2)
		return F_AVX512;
	if (l->op->flags & R_AVX)
		return l->map == 2 || l->map == 3 ? F_AVX2 : F_AVX;
	for (n = 0; n < ARRAY_SIZE(exec_feature); n++)
		if (l->op->exec == exec_feature[n].exec)
			return exec_feature[n].f;
	return l->op->flags & R_SSE && l->map == 2 ? F_SSE41 : F_NONE;
}

static void add_leaf(const struct leaf *l)
{
	if (!is_native(l)) {
		nr_skipped_rows++;
	} else if (!have[leaf_feature(l)]) {
		nr_absent_rows++;
		printf("# no %s: map %u opcode %02x left out\n",
		       feature_name[leaf_feature(l)], l->map, l->opcode);
	} else {
		leaves[nr_leaves++] = *l;
	}
}

static void walk_row(const struct x86_opcode *op, struct leaf l);

static void walk_sub(const struct x86_opcode *op, struct leaf l)
{
	static const u8 width[] = {
		[T_GROUP] = 8, [T_PREFIX] = 4, [T_MOD] = 2, [T_RM] = 8,
		[T_MODE] = 2, [T_W] = 2,
	};
	s8 *slot = op->type == T_GROUP ? &l.reg :
		   op->type == T_PREFIX ? &l.pp :
		   op->type == T_MOD ? &l.mod :
		   op->type == T_RM ? &l.rm :
		   op->type == T_MODE ? &l.mode64 : &l.w;
	int n;

	for (n = 0; n < width[op->type]; n++) {
		*slot = n;
		walk_row(&op->sub[n], l);
	}
}

static void walk_row(const struct x86_opcode *op, struct leaf l)
{
	if (op->type == T_NONE)
		return;
	l.has_modrm = l.has_modrm || needs_modrm(op);
	l.op = op;
	if (op->type == T_INSN)
		add_leaf(&l);
	else
		walk_sub(op, l);
}

static void walk_map(const struct x86_opcode *map, u8 nr, u8 enc)
{
	struct leaf l = {
		.map = nr, .enc = enc, .pp = -1, .reg = -1, .mod = -1,
		.rm = -1, .w = -1, .mode64 = -1,
	};
	unsigned int n;

	for (n = 0; map && n < 256; n++) {
		l.opcode = n;
		walk_row(&map[n], l);
	}
}

static void find_leaves(void)
{
	unsigned int n;

	for (n = 0; n < 4; n++) {
		walk_map(legacy_maps[n], n, 0);
		walk_map(vex_maps[n], n, 1);
		walk_map(evex_maps[n], n, 2);
	}
}

/* ---- Generating one case --------------------------------------------- */

struct testcase {
	struct leaf *leaf;
	enum x86_emul_mode mode;
	u8 bytes[24];
	unsigned int len, disp_at, disp_len;
	u64 ip;			/* offset in the code page */
	u64 regs[16], rflags;
};

static void emit(struct testcase *t, u64 v, unsigned int bytes)
{
	memcpy(t->bytes + t->len, &v, bytes);
	t->len += bytes;
}

static void gen_prefixes(struct testcase *t)
{
	static const u8 seg[] = { 0x26, 0x2e, 0x36, 0x3e, 0x65 };
	const struct leaf *l = t->leaf;
	s8 pp = l->pp;
	bool near = l->op->flags & R_F64;

	if (chance(10))
		emit(t, seg[below(ARRAY_SIZE(seg))], 1);
	if (chance(12))
		emit(t, 0x67, 1);
	/* Processors differ on 66 before a near branch in 64-bit mode. */
	if (pp == 1 || (chance(pp < 0 ? 20 : 5) &&
			!(near && t->mode == X86_MODE_PROT64)))
		emit(t, 0x66, 1);
	if (pp == 2 || pp == 3)
		emit(t, pp == 2 ? 0xf3 : 0xf2, 1);
	else if (pp < 0 && chance(l->op->flags & R_STR ? 60 : 4))
		emit(t, chance(50) ? 0xf3 : 0xf2, 1);
	if (chance(l->op->flags & (R_LOCK | R_ATOMIC) ? 25 : 1))
		emit(t, 0xf0, 1);
}

static void gen_legacy(struct testcase *t)
{
	static const u8 escapes[] = { 0, 0, 0x38, 0x3a };
	const struct leaf *l = t->leaf;

	gen_prefixes(t);
	if (t->mode == X86_MODE_PROT64 && (l->w == 1 || chance(60)))
		emit(t, 0x40 | (l->w < 0 ? below(16) : below(8) | l->w << 3),
		     1);
	if (l->map)
		emit(t, 0x0f, 1);
	if (l->map > 1)
		emit(t, escapes[l->map], 1);
	emit(t, l->opcode, 1);
}

static void gen_vex(struct testcase *t)
{
	const struct leaf *l = t->leaf;
	u8 pp = l->pp < 0 ? below(4) : (u8)l->pp;
	u8 vvvv = vvvv_used(l->op) ? below(16) : chance(2) ? below(16) : 0;
	u8 vl = l->op->flags & R_L0 ? chance(2) : below(2);
	u8 w = l->op->flags & R_W0 ? chance(2) : below(2);
	u8 rxb = t->mode == X86_MODE_PROT64 ? below(8) : 7;

	/* Outside 64-bit mode vendors differ on VPEXTRQ and VPINSRQ. */
	if (t->mode != X86_MODE_PROT64 &&
	    (l->op->exec == op_pextrd || l->op->exec == op_pinsrd))
		w = 0;
	if (t->mode != X86_MODE_PROT64)
		vvvv &= 7;
	if (chance(10))
		emit(t, 0x67, 1);
	if (chance(5))
		emit(t, 0x65, 1);
	if (chance(1))
		emit(t, 0x66, 1);
	vvvv = ~vvvv & 0xf;
	if (l->map == 1 && !w && (rxb & 3) == 3 && chance(70)) {
		emit(t, 0xc5, 1);
		emit(t, (rxb >> 2) << 7 | vvvv << 3 | vl << 2 | pp, 1);
	} else {
		emit(t, 0xc4, 1);
		emit(t, rxb << 5 | l->map, 1);
		emit(t, w << 7 | vvvv << 3 | vl << 2 | pp, 1);
	}
	emit(t, l->opcode, 1);
}

static void gen_evex(struct testcase *t)
{
	const struct leaf *l = t->leaf;
	u8 pp = l->pp < 0 ? below(4) : (u8)l->pp;
	u8 rxb = t->mode == X86_MODE_PROT64 ? below(16) : 15;
	u8 w = l->op->flags & R_W0 ? chance(2) : l->op->flags & R_W1 ?
		!chance(2) : below(2);

	if (chance(10))
		emit(t, 0x67, 1);
	emit(t, 0x62, 1);
	emit(t, rxb << 4 | l->map, 1);
	emit(t, w << 7 | 0x7c | pp, 1);
	emit(t, (l->op->flags & R_L0 ? chance(2) : below(3)) << 5 | 8, 1);
	emit(t, l->opcode, 1);
}

static u64 rnd_disp(void)
{
	return chance(50) ? below(256) - 128 : rnd();
}

static void gen_modrm(struct testcase *t, unsigned int ad)
{
	const struct leaf *l = t->leaf;
	u8 mod = below(4), reg, rm, sib;

	if (l->mod >= 0)
		mod = l->mod ? 3 : below(3);
	reg = l->reg >= 0 ? (u8)l->reg : below(8);
	rm = l->rm >= 0 ? (u8)l->rm : below(8);
	emit(t, mod << 6 | reg << 3 | rm, 1);
	if (mod == 3)
		return;
	t->disp_len = mod == 1 ? 1 : mod == 2 ? (ad == 2 ? 2 : 4) : 0;
	if (ad == 2) {
		if (mod == 0 && rm == 6)
			t->disp_len = 2;
	} else if (rm == 4) {
		sib = rnd();
		emit(t, sib, 1);
		if (mod == 0 && (sib & 7) == 5)
			t->disp_len = 4;
	} else if (mod == 0 && rm == 5) {
		t->disp_len = 4;
	}
	t->disp_at = t->len;
	emit(t, rnd_disp(), t->disp_len);
}

/* Address size as the decoder will see it. */
static unsigned int case_ad_bytes(const struct testcase *t)
{
	unsigned int n;
	bool over = false;

	for (n = 0; n < t->len && (t->bytes[n] == 0x67 ||
	     (t->bytes[n] & 0xe7) == 0x26 || t->bytes[n] == 0x65); n++)
		over = over || t->bytes[n] == 0x67;
	if (t->mode == X86_MODE_PROT64)
		return over ? 4 : 8;
	return (t->mode == X86_MODE_PROT32) != over ? 4 : 2;
}

static void gen_bytes(struct testcase *t)
{
	t->len = t->disp_len = t->disp_at = 0;
	if (t->leaf->enc == 0)
		gen_legacy(t);
	else if (t->leaf->enc == 1)
		gen_vex(t);
	else
		gen_evex(t);
	if (t->leaf->has_modrm)
		gen_modrm(t, case_ad_bytes(t));
	/* Whatever immediate there is; what follows it is overwritten. */
	emit(t, chance(30) ? rnd_value() : rnd(), 8);
}

static bool uses_fx(const struct x86_opcode *op)
{
	return op->exec == op_x87 || op->exec == op_emms ||
	       op->exec == op_mxcsr;
}

/* Any registers; a status that goes with the control word. */
static void gen_fx(void)
{
	struct fx_head *h = fx_head(efx);
	unsigned int n;

	h->cw = 0x40 | (chance(80) ? 0x3f : rnd() & 0x3f) | (rnd() & 0xf00);
	h->sw = rnd() & 0x7f7f;
	if (h->sw & ~h->cw & 0x3f)
		h->sw |= 0x8080;
	h->tags = rnd();
	h->opcode = h->ip = h->dp = 0;
	h->mxcsr = 0x1f80 | (rnd() & 0x603f);
	for (n = 0; n < 8; n++) {
		u64 v = rnd_value();
		u16 e = chance(80) ? 0x3fff + below(64) : rnd();

		memcpy(efx + 32 + 16 * n, &(u64){ v | (u64)chance(90) << 63 }, 8);
		memcpy(efx + 40 + 16 * n, &e, 2);
	}
	memcpy(native.fx, efx, sizeof(efx));
}

static void gen_state(struct testcase *t)
{
	unsigned int n;

	for (n = 0; n < 16; n++) {
		t->regs[n] = rnd_value();
		if (t->mode != X86_MODE_PROT64)
			t->regs[n] = (u32)t->regs[n];
	}
	t->rflags = FL_FIXED | FL_IF | (rnd() & FL_ARITH);
	if (chance(30))
		t->rflags |= FL_DF;
	/* #AC for wide vector operands is left to the implementation. */
	if (chance(3) && !(t->leaf->op->flags & (R_SSE | R_AVX)) &&
	    !uses_fx(t->leaf->op))
		t->rflags |= FL_AC;
}

/* A place in the arena, most of them good, some at its edges. */
static u64 pick_target(void)
{
	switch (below(32)) {
	case 0:
		return ARENA_BASE + ARENA_RW - below(72);
	case 1:
		return ARENA_BASE + ARENA_R - below(72);
	case 2:
		return ARENA_BASE + below(64);
	case 3:
		return ARENA_BASE + PAGE - below(72);
	case 4:
		return ARENA_BASE - below(72);
	default:
		return ARENA_BASE + 64 * (2 + below(2 * PAGE / 64 - 4)) +
			(chance(60) ? 8 * below(8) : below(64));
	}
}

static u64 seg_base_of(const struct testcase *t, unsigned int seg)
{
	struct x86_emulate_ctxt c = { .mode = t->mode };
	struct x86_segment s;

	if (t->mode == X86_MODE_PROT64)
		return fz_segment_base(&c, seg);
	fz_get_segment(&c, seg, &s);
	return s.base;
}

static void fresh_memory(u64 around)
{
	u64 at = around - ARENA_BASE, n;

	at = at >= 64 && at < ARENA_RW ? (at - 64) & ~7ull : 0;
	for (n = 0; n < 24 && at + 8 * n + 8 <= ARENA_RW; n++) {
		u64 v = rnd_value();

		memcpy(shadow + at + 8 * n, &v, 8);
		memcpy(arena + at + 8 * n, &v, 8);
	}
}

static void set_reg(struct testcase *t, unsigned int reg, unsigned int bytes,
		    u64 v)
{
	u64 m = size_mask(bytes);

	t->regs[reg] = (t->regs[reg] & ~m) | (v & m);
	if (t->mode != X86_MODE_PROT64)
		t->regs[reg] = (u32)t->regs[reg];
}

/* Makes the decoded memory operand point at @target. */
static void aim(struct testcase *t, const struct x86_emulate_ctxt *c,
		u64 target)
{
	const struct x86_insn *i = &c->insn;
	u64 ea = target - seg_base_of(t, i->seg), have_ea;
	struct x86_emulate_ctxt e = *c;

	memcpy(e.regs, t->regs, sizeof(e.regs));
	e.next_rip = CODE_BASE + t->ip + i->len;
	if (t->mode == X86_MODE_PROT16)
		e.next_rip = t->ip + i->len;
	have_ea = effective_address(&e);
	if (i->base != NO_REG)
		set_reg(t, i->base, i->ad_bytes, t->regs[i->base] + ea -
			have_ea);
	else if (t->disp_len >= 2)
		memcpy(t->bytes + t->disp_at, &(u64){ i->disp + ea - have_ea },
		       t->disp_len);
}

/* Points the implicit address registers of stack and string rows. */
static void aim_implicit(struct testcase *t, const struct x86_emulate_ctxt *c)
{
	unsigned int ad = c->insn.ad_bytes;
	unsigned int sb = t->mode == X86_MODE_PROT16 ? 2 : 8;
	u64 at = pick_target();

	set_reg(t, X86_RSP, sb, at - seg_base_of(t, X86_SEG_SS));
	fresh_memory(at);
	if (c->op->exec == op_leave || c->op->exec == op_enter)
		set_reg(t, X86_RBP, sb, pick_target() -
			seg_base_of(t, X86_SEG_SS));
	if (c->op->flags & R_STR) {
		set_reg(t, X86_RSI, ad, pick_target() -
			seg_base_of(t, c->insn.seg));
		set_reg(t, X86_RDI, ad, pick_target() -
			seg_base_of(t, X86_SEG_ES));
		if (chance(10))	/* close together: overlap */
			set_reg(t, X86_RDI, ad, t->regs[X86_RSI] + below(32) -
				16);
		set_reg(t, X86_RCX, ad, chance(80) ? below(20) : below(900));
		if (chance(60)) {
			memset(shadow + 64, 0x41, 256);
			memset(arena + 64, 0x41, 256);
		}
	}
	if (c->op->exec == op_xlat)
		set_reg(t, X86_RBX, ad, pick_target() -
			seg_base_of(t, c->insn.seg));
}

/* Places where a small bit offset or divisor makes a case worth having. */
static void aim_values(struct testcase *t, const struct x86_emulate_ctxt *c)
{
	if (c->op->flags & R_BITOFF && c->src.type == X86_OP_REG &&
	    c->insn.has_mem && chance(90))
		t->regs[c->src.reg] = (s64)below(4096) - 2048;
	if (t->mode != X86_MODE_PROT64)
		t->regs[c->src.reg & 15] = (u32)t->regs[c->src.reg & 15];
	if ((c->op->exec == op_div || c->op->exec == op_idiv) && chance(70))
		t->regs[X86_RDX] = chance(50) ? 0 : below(1000);
	if (c->op->exec == op_cmpxchg_pair && chance(50)) {
		t->regs[X86_RAX] = 0x4141414141414141;
		t->regs[X86_RDX] = 0x4141414141414141;
	}
}

static void put_code(const struct testcase *t)
{
	u64 room = PAGE - t->ip;

	memcpy(code + t->ip, t->bytes, t->len < room ? t->len : room);
}

/* Offset within CS. */
static u64 start_rip(const struct testcase *t)
{
	return t->mode == X86_MODE_PROT16 ? t->ip : CODE_BASE + t->ip;
}

static void start_context(const struct testcase *t,
			  struct x86_emulate_ctxt *c)
{
	memset(c, 0, sizeof(*c));
	c->ops = &fuzz_ops;
	c->mode = t->mode;
	c->cpl = 3;
	memcpy(c->regs, t->regs, sizeof(c->regs));
	c->rip = start_rip(t);
	c->rflags = t->rflags;
}

/* Opcodes 40..4F are prefixes in 64-bit code. */
static bool leaf_fits(const struct leaf *l, bool mode64)
{
	if (!l->enc && !l->map && (l->opcode & 0xf0) == 0x40 && mode64)
		return false;
	return l->mode64 < 0 || l->mode64 == mode64 || chance(5);
}

static void gen_case(struct testcase *t)
{
	struct x86_emulate_ctxt c;
	u64 target = pick_target();

	do {
		t->leaf = &leaves[below(nr_leaves)];
	} while (!leaf_fits(t->leaf, t->mode == X86_MODE_PROT64));
	gen_bytes(t);
	gen_state(t);
	if (uses_fx(t->leaf->op))
		gen_fx();
	t->ip = CODE_IP;
	if (chance(1))
		t->ip = PAGE - 1 - below(16);
	put_code(t);
	start_context(t, &c);
	if (x86_decode_insn(&c))
		return;
	t->len = c.insn.len;
	aim_implicit(t, &c);
	aim_values(t, &c);
	if (c.insn.has_mem && chance(97)) {
		aim(t, &c, target);
		fresh_memory(target);
		put_code(t);
	}
}

/* ---- Running and comparing ------------------------------------------- */

static u64 nr_unhandled, nr_set_aside, nr_faults;

/* 64-bit code: jmp exit; else a far jump, with a 32-bit offset. */
static unsigned int put_exit(const struct testcase *t, unsigned int len)
{
	u8 stub[8];
	u32 at = (u64)native_exit;
	u16 sel = SEL_CODE64;
	unsigned int n = 0;

	if (t->mode == X86_MODE_PROT64) {
		at -= CODE_BASE + t->ip + len + 5;
		stub[n++] = 0xe9;
	} else {
		if (t->mode == X86_MODE_PROT16)
			stub[n++] = 0x66;
		stub[n++] = 0xea;
		memcpy(stub + n + 4, &sel, 2);
	}
	memcpy(stub + n, &at, 4);
	n += t->mode == X86_MODE_PROT64 ? 4 : 6;
	if (t->ip + len + n <= PAGE)
		memcpy(code + t->ip + len, stub, n);
	return n;
}

/* The same bytes again: nothing that the first time left may matter. */
static int decode_again(struct x86_emulate_ctxt *c)
{
	size_t head = offsetof(struct x86_insn, fetched);

	memset((u8 *)&c->insn + head, 0xa5, sizeof(c->insn) - head);
	memset(&c->dst, 0xa5, sizeof(c->dst));
	memset(&c->src, 0xa5, sizeof(c->src));
	memset(&c->src2, 0xa5, sizeof(c->src2));
	c->op = NULL;
	c->insn.fetched = 0;
	return x86_decode_insn(c);
}

/* Ends with the outcome in *@o and the final registers in @c. */
static int run_emulator(const struct testcase *t, struct x86_emulate_ctxt *c,
			struct outcome *o)
{
	int rc, rounds = 0;

	start_context(t, c);
	plain_on = rng_state & 0x10000;
	pf_address = 0;
	pointers_bytes = 0;
	rc = x86_decode_insn(c);
	if (!rc && (rng_state & 0x20000))
		rc = decode_again(c);
	if (!rc) {
		do {
			rc = x86_emulate_insn(c);
		} while (rc == X86EMUL_RESTART && ++rounds < 100);
	}
	memset(o, 0, sizeof(*o));
	o->rip = c->rip;
	if (rc == X86EMUL_FAULT) {
		o->fault = true;
		o->vector = c->exception.vector;
		o->error = c->exception.has_error ? c->exception.error : 0;
		o->cr2 = o->vector == X86_EXC_PF ? c->exception.cr2 : 0;
	}
	return rc;
}

static struct { u64 from, to; } mapped[512];
static unsigned int nr_mapped;

/* Anything of this process that a stray access could hit. */
static void read_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];

	while (f && fgets(line, sizeof(line), f) &&
	       nr_mapped < ARRAY_SIZE(mapped)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		if (from >= ARENA_BASE && from < ARENA_BASE + ARENA_R)
			continue;
		mapped[nr_mapped].from = from - 64;
		mapped[nr_mapped++].to = to;
	}
	if (f)
		fclose(f);
}

static bool touches_process(u64 lin)
{
	unsigned int n;

	for (n = 0; n < nr_mapped; n++)
		if (lin >= mapped[n].from && lin < mapped[n].to)
			return true;
	return false;
}

/* What the SDM does not define, or this processor does not follow. */
static bool vendor_specific(const struct testcase *t,
			    const struct x86_emulate_ctxt *c)
{
	if (!c->op)
		return false;
	/* FS is the C library's. */
	if (c->insn.seg == X86_SEG_FS)
		return true;
	/* 66 before a near branch in 64-bit mode */
	if (t->mode == X86_MODE_PROT64 && c->insn.opsize_override &&
	    (c->op->flags & R_F64))
		return true;
	/* MOVSXD with a 16-bit operand: how much is read */
	if (c->op->exec == op_movsx && c->insn.opcode == 0x63 &&
	    c->insn.op_bytes == 2)
		return true;
	/* what is above a selector on the stack */
	if (c->op->exec == op_push_seg && c->insn.op_bytes == 4 &&
	    !genuine_intel)
		return true;
	/* cache line flushes do not read here */
	if (c->op->exec == op_nop && c->insn.opcode == 0xae && c->insn.has_mem)
		return true;
	/* register forms that the SDM's map of x87 opcodes leaves blank */
	if (c->op->exec == op_x87 && !c->insn.has_mem &&
	    !(x87_registers[c->insn.opcode & 7] >> (c->insn.modrm & 0x3f) & 1))
		return true;
	/* REP and REPNE before LOOPcc */
	if (c->op->exec == op_loop && c->insn.rep)
		return true;
	/* permission for a port that a count of 0 leaves alone */
	return (c->op->flags & R_IO) && c->insn.rep &&
	       !(t->regs[X86_RCX] & size_mask(c->insn.ad_bytes));
}

/* Cases whose native run would not stay in the sandbox. */
static bool set_aside(const struct testcase *t,
		      const struct x86_emulate_ctxt *c, int rc)
{
	u64 rip = t->mode == X86_MODE_PROT16 ? CODE_BASE + c->rip : c->rip;

	if (rc == X86EMUL_FAULT && c->exception.vector == X86_EXC_PF &&
	    !(c->exception.error & 0x10) && touches_process(pf_address))
		return true;
	if (rc == X86EMUL_OK && (c->rflags & FL_TF))
		return true;
	if (vendor_specific(t, c))
		return true;
	if (rc != X86EMUL_OK || c->rip == start_rip(t) + c->insn.len)
		return false;
	/* A jump: to the trap bytes or to nowhere, not into what runs. */
	if (rip - (CODE_BASE + t->ip) < 48)
		return true;
	return rip - CODE_BASE >= PAGE && touches_process(rip);
}

static void run_native(const struct testcase *t,
		       const struct x86_emulate_ctxt *c, struct outcome *o)
{
	/* A stray prefix may have led to another row. */
	u32 flags = c->op ? c->op->flags : t->leaf->op->flags;

	memcpy(native.regs, t->regs, sizeof(t->regs));
	native.rflags = t->rflags;
	native.use_vec = !(flags & (R_SSE | R_AVX)) ? 0 :
			 have[F_AVX512] ? 2 : have[F_AVX] ? 1 : 0;
	native.use_mmx = !!(flags & R_MMX);
	native.use_fx = c->op && uses_fx(c->op);
	if (native.use_fx)
		native.use_vec = native.use_mmx = 0;
	native.ss = t->mode == X86_MODE_PROT16 ? SEL_LDT(LDT_DATA16) :
						 SEL_DATA;
	native.target = CODE_BASE + t->ip;
	native.far_offset = start_rip(t);
	native.far_sel = t->mode == X86_MODE_PROT16 ? SEL_LDT(LDT_CODE16) :
						      SEL_CODE32;
	trapped.fault = false;
	trapped.rip = start_rip(t) + c->insn.len;
	trapped.cr2 = trapped.error = trapped.vector = 0;
	in_native = true;
	if (t->mode == X86_MODE_PROT64)
		native_run64();
	else
		native_run32();
	in_native = false;
	*o = *(struct outcome *)&trapped;
	if (o->vector != X86_EXC_PF)
		o->cr2 = 0;
	/* A trap byte where a jump went: the jump is what ran. */
	if (o->fault && o->vector == X86_EXC_BP) {
		o->fault = false;
		o->rip--;
		o->error = o->vector = 0;
	}
	/* A jump out of the page: a fetch fault at its target. */
	if (o->fault && o->vector == X86_EXC_PF && (o->error & 0x10) &&
	    o->rip != start_rip(t)) {
		o->fault = false;
		o->error = o->vector = 0;
		o->cr2 = 0;
	}
}

static u64 undefined_mask(const struct testcase *t,
			  const struct x86_emulate_ctxt *c)
{
	exec_fn e = c->op->exec;
	bool shift = e == op_shl || e == op_shr || e == op_sar;
	bool rotate = e == op_rol || e == op_ror || e == op_rcl || e == op_rcr;
	bool dbl = e == op_shld || e == op_shrd;
	unsigned int bits = 8 * c->dst.bytes, count, n;
	u64 m = 0;

	for (n = 0; n < ARRAY_SIZE(undefined_flags); n++)
		if (undefined_flags[n].exec == e)
			return undefined_flags[n].undefined;
	if (!shift && !rotate && !dbl)
		return 0;
	count = dbl ? c->src2.val : c->src.val;
	if ((dbl ? c->src2.type : c->src.type) == X86_OP_REG)
		count = t->regs[X86_RCX];
	count &= bits == 64 ? 63 : 31;
	if (!count)
		return 0;
	if (!rotate)
		m |= FL_AF;
	if (count != 1)
		m |= FL_OF;
	if (!rotate && count >= bits)
		m |= FL_CF;
	if (dbl && count > bits)
		m |= FL_ARITH;
	return m;
}

/* A 16-bit double shift by more than 16 has no defined result. */
static bool result_undefined(const struct testcase *t,
			     const struct x86_emulate_ctxt *c)
{
	if (c->op->exec == op_bswap && c->dst.bytes == 2)
		return true;
	if ((c->op->exec != op_shld && c->op->exec != op_shrd) ||
	    c->dst.bytes != 2)
		return false;
	return (c->src2.type == X86_OP_REG ? t->regs[X86_RCX] & 31 :
		c->src2.val & 31) > 16;
}

static unsigned int max_reports = 20, reports;

static void report(const struct testcase *t, const char *what, u64 nr,
		   const struct x86_emulate_ctxt *c, const struct outcome *e,
		   const struct outcome *n)
{
	static const char *const modes[] = { "real", "vm86", "16", "32", "64" };
	unsigned int k;

	t->leaf->mismatches++;
	if (reports++ >= max_reports)
		return;
	printf("not ok case %llu: %s differs, %s-bit code, map %u opcode %02x:",
	       (unsigned long long)nr, what, modes[t->mode], t->leaf->map,
	       t->leaf->opcode);
	for (k = 0; k < t->len && k < 15; k++)
		printf(" %02x", t->bytes[k]);
	printf("\n  emulator: %s vector %u error %x cr2 %llx rip %llx flags %llx\n",
	       e->fault ? "fault" : "done", e->vector, e->error,
	       (unsigned long long)e->cr2, (unsigned long long)e->rip,
	       (unsigned long long)c->rflags);
	printf("  native:   %s vector %u error %x cr2 %llx rip %llx flags %llx\n",
	       n->fault ? "fault" : "done", n->vector, n->error,
	       (unsigned long long)n->cr2, (unsigned long long)n->rip,
	       (unsigned long long)native.rflags);
	printf("  flags before %llx\n", (unsigned long long)t->rflags);
	for (k = 0; k < 16; k++)
		printf("  r%-2u %016llx  emulator %016llx  native %016llx%s\n",
		       k, (unsigned long long)t->regs[k],
		       (unsigned long long)c->regs[k],
		       (unsigned long long)native.regs[k],
		       c->regs[k] == native.regs[k] ? "" : "  <--");
	for (k = 0; k < ARENA_RW; k++)
		if (shadow[k] != arena[k]) {
			printf("  memory at %llx: emulator %02x native %02x\n",
			       ARENA_BASE + k, shadow[k], arena[k]);
			break;
		}
}

static bool same_outcome(const struct outcome *e, const struct outcome *n)
{
	/* Linux says of every kernel address that a page is present there. */
	u32 hidden = e->vector == X86_EXC_PF && e->cr2 >= 0x7ffffffff000 ? 1 : 0;

	return e->fault == n->fault && e->vector == n->vector &&
	       !((e->error ^ n->error) & ~hidden) && e->rip == n->rip &&
	       e->cr2 == n->cr2;
}

static bool same_regs(const struct testcase *t,
		      const struct x86_emulate_ctxt *c)
{
	u64 m = t->mode == X86_MODE_PROT64 ? ~0ull : 0xffffffff;
	unsigned int n, nr = t->mode == X86_MODE_PROT64 ? 16 : 8;

	for (n = 0; n < nr; n++)
		if ((c->regs[n] ^ native.regs[n]) & m)
			return false;
	return true;
}

/* The processor writes the slots of a frame until one faults. */
static bool leaves_partial_frame(const struct x86_emulate_ctxt *c)
{
	return c->op && (c->op->exec == op_enter || c->op->exec == op_pusha);
}

/* Makes both sides equal again. */
static void resync(void)
{
	memcpy(arena, shadow, ARENA_RW);
	memcpy(native.vec, evec, sizeof(evec));
	memcpy(native.mmx, emmx, sizeof(emmx));
}

/* Two faults are due, and the SDM does not say which comes first. */
static bool fault_order_open(const struct x86_emulate_ctxt *c,
			     const struct outcome *e, const struct outcome *n)
{
	if (!e->fault || !n->fault || e->rip != n->rip)
		return false;
	/* #UD, or the fetch of what would follow the opcode */
	if ((e->error & 0x10 && n->vector == X86_EXC_UD) ||
	    (n->error & 0x10 && e->vector == X86_EXC_UD))
		return true;
	if (!c->op)
		return false;
	/* #MF of an earlier instruction; images go to memory in pieces */
	if (c->op->exec == op_x87)
		return true;
	if (c->op->exec == op_call || c->op->exec == op_call_rel ||
	    c->op->exec == op_enter || c->op->exec == op_popa ||
	    c->op->exec == op_bound ||
	    c->op->exec == op_mov_from_dr || c->op->exec == op_mov_to_dr ||
	    c->op->exec == op_mov_from_cr || c->op->exec == op_mov_to_cr)
		return true;
	return (c->op->flags & R_ALIGN) && e->vector == X86_EXC_SS &&
	       n->vector == X86_EXC_GP;
}

/* All but pointers, which not all processors keep, and vectors. */
static bool same_fx(void)
{
	const struct fx_head *a = fx_head(efx), *b = fx_head(native.fx);
	unsigned int n;

	for (n = 0; n < 8; n++)
		if (memcmp(efx + 32 + 16 * n, native.fx + 32 + 16 * n, 10))
			return false;
	return a->cw == b->cw && a->sw == b->sw && a->tags == b->tags &&
	       a->mxcsr == b->mxcsr;
}

static const char *compare(const struct testcase *t,
			   const struct x86_emulate_ctxt *c,
			   const struct outcome *e, const struct outcome *n)
{
	u64 mask = CMP_FLAGS;

	if (fault_order_open(c, e, n)) {
		resync();
		return NULL;
	}
	if (!same_outcome(e, n))
		return "outcome";
	if (!e->fault && result_undefined(t, c)) {
		resync();
		return NULL;
	}
	if (!e->fault)
		mask &= ~undefined_mask(t, c);
	else if (c->op && (c->op->flags & R_CMPS))
		/* The SDM restores them; other vendors' processors do not. */
		mask &= ~(u64)FL_ARITH;
	if (!same_regs(t, c))
		return "register";
	if ((c->rflags ^ native.rflags) & mask)
		return "flags";
	memset(shadow + pointers_at, 0, pointers_bytes);
	memset(arena + pointers_at, 0, pointers_bytes);
	if (memcmp(shadow, arena, ARENA_RW)) {
		if (!e->fault || !leaves_partial_frame(c))
			return "memory";
		resync();
	}
	if (native.use_vec && memcmp(evec, native.vec, native.use_vec == 2 ?
				     sizeof(evec) : 0))
		return "vector register";
	if (native.use_mmx && memcmp(emmx, native.mmx, sizeof(emmx)))
		return "mmx register";
	if (native.use_fx && !same_fx())
		return "x87 state";
	return NULL;
}

static bool run_case(u64 nr, enum x86_emul_mode mode)
{
	struct testcase t = { .mode = mode };
	struct x86_emulate_ctxt c;
	struct outcome e, n;
	unsigned int k, exit_len;
	const char *what;
	int rc;

	gen_case(&t);
	k = PAGE - t.ip < 64 ? PAGE - t.ip : 64;
	if (t.len < k)
		memset(code + t.ip + t.len, 0xcc, k - t.len);
	exit_len = put_exit(&t, t.len);
	current_case = nr;
	rc = run_emulator(&t, &c, &e);
	what = NULL;
	if (rc == X86EMUL_UNHANDLEABLE) {
		nr_unhandled++;
	} else if (set_aside(&t, &c, rc)) {
		nr_set_aside++;
		memcpy(shadow, arena, ARENA_RW);
		memcpy(evec, native.vec, sizeof(evec));
		memcpy(emmx, native.mmx, sizeof(emmx));
	} else {
		t.leaf->cases++;
		run_native(&t, &c, &n);
		nr_faults += e.fault;
		what = compare(&t, &c, &e, &n);
		if (what) {
			report(&t, what, nr, &c, &e, &n);
			resync();
		}
	}
	k = t.len + exit_len + 1;
	memset(code + t.ip, 0xcc, t.ip + k > PAGE ? PAGE - t.ip : k);
	return !what;
}

/* ---- Main ------------------------------------------------------------ */

static bool have_ldt;

static void set_segments(enum x86_emul_mode mode)
{
	u32 ds = mode == X86_MODE_PROT16 ? SEL_LDT(LDT_DATA16) : SEL_DATA;
	u32 es = mode == X86_MODE_PROT16 ? SEL_LDT(LDT_ES16) : SEL_DATA;
	u32 gs = mode == X86_MODE_PROT64 ? 0 : SEL_LDT(LDT_GS);

	if (mode == X86_MODE_PROT64)
		ds = es = 0;
	__asm__ volatile("movl %0, %%ds; movl %1, %%es; movl %2, %%gs"
			 : : "r"(ds), "r"(es), "r"(gs));
	if (mode == X86_MODE_PROT64)
		syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE);
}

static void set_up(void)
{
	unsigned int n;

	detect_features();
	map_fixed(CODE_BASE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	map_fixed(ARENA_BASE, ARENA_R, PROT_READ | PROT_WRITE);
	memset(code, 0xcc, PAGE);
	for (n = 0; n < ARENA_R / 8; n++)
		((u64 *)arena)[n] = rnd();
	memcpy(shadow, arena, ARENA_R);
	for (n = 0; n < sizeof(evec); n++)
		((u8 *)evec)[n] = rnd();
	for (n = 0; n < 8; n++)
		emmx[n] = rnd();
	if (!have[F_AVX512])
		memset(evec[16], 0, sizeof(evec) / 2);
	resync();
	mprotect(arena + ARENA_RW, ARENA_R - ARENA_RW, PROT_READ);
	install_signals();
	x87_code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (x87_code == MAP_FAILED)
		die("mmap");
	__asm__ volatile("fxsave64 efx" : : : "memory");
	have_ldt = set_ldt(LDT_CODE16, CODE_BASE, 0xffff, true) &&
		   set_ldt(LDT_DATA16, SEG16_BASE, 0xffff, false) &&
		   set_ldt(LDT_ES16, ARENA_BASE, ARENA_RW - 1, false) &&
		   set_ldt(LDT_GS, GS_BASE, GS_LIMIT, false);
	read_maps();
	find_leaves();
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Modes change rarely: loading segments takes a system call. */
static enum x86_emul_mode mode_of(u64 nr)
{
	switch (nr >> 10 & 3) {
	case 2:
		return have_ldt ? X86_MODE_PROT32 : X86_MODE_PROT64;
	case 3:
		return have_ldt ? X86_MODE_PROT16 : X86_MODE_PROT64;
	default:
		return X86_MODE_PROT64;
	}
}

static void summary(u64 cases, u64 failed, double seconds, u64 seed)
{
	unsigned int n, untouched = 0;

	for (n = 0; n < nr_leaves; n++) {
		untouched += !leaves[n].cases;
		if (leaves[n].mismatches)
			printf("# map %u enc %u opcode %02x pp %d reg %d: %llu mismatches in %llu cases\n",
			       leaves[n].map, leaves[n].enc, leaves[n].opcode,
			       leaves[n].pp, leaves[n].reg,
			       (unsigned long long)leaves[n].mismatches,
			       (unsigned long long)leaves[n].cases);
	}
	printf("# rows: %u fuzzed, %u never reached, %u not run natively, %u not on this processor\n",
	       nr_leaves, untouched, nr_skipped_rows, nr_absent_rows);
	printf("# cases: %llu, of which %llu faults, %llu set aside, %llu unhandled; %.0f a second\n",
	       (unsigned long long)cases, (unsigned long long)nr_faults,
	       (unsigned long long)nr_set_aside,
	       (unsigned long long)nr_unhandled, cases / seconds);
	if (!have_ldt)
		printf("# modify_ldt is not available: 64-bit code only\n");
	printf("%s emulate_fuzz seed %llu\n", failed ? "not ok" : "ok",
	       (unsigned long long)seed);
	printf("%d passed, %d failed, %d skipped\n", !failed, !!failed,
	       !have_ldt);
}

static void usage(const char *self)
{
	printf("Usage: %s [--cases N] [--seed N] [--reports N]\n"
	       "Fuzz the instruction emulator against this processor.\n"
	       "  --cases N    how many instructions (default 5000000)\n"
	       "  --seed N     start of the random numbers (default 20261121;\n"
	       "               0: the time)\n"
	       "  --reports N  print at most N mismatches (default 20)\n",
	       self);
}

int main(int argc, char **argv)
{
	u64 cases = 5000000, seed = 20261121, nr, failed = 0;
	enum x86_emul_mode mode, last = X86_MODE_REAL;
	double start;
	int k;

	for (k = 1; k + 1 < argc; k += 2) {
		u64 v = strtoull(argv[k + 1], NULL, 0);

		if (!strcmp(argv[k], "--cases"))
			cases = v;
		else if (!strcmp(argv[k], "--seed"))
			seed = v;
		else if (!strcmp(argv[k], "--reports"))
			max_reports = v;
		else
			break;
	}
	if (k < argc) {
		usage(argv[0]);
		return 2;
	}
	if (!seed)
		seed = time(NULL);
	rng_state = seed;
	printf("# seed %llu\n", (unsigned long long)seed);
	set_up();
	start = now();
	for (nr = 0; nr < cases; nr++) {
		mode = mode_of(nr);
		if (mode != last)
			set_segments(mode);
		last = mode;
		failed += !run_case(nr, mode);
	}
	set_segments(X86_MODE_PROT64);
	summary(cases, failed, now() - start, seed);
	return failed != 0;
}
