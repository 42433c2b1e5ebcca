// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMIO: accesses to guest-physical addresses in no slot reach user space with
 * the right address, length, direction and data, once and in order, whatever
 * instruction makes them.
 *
 * The instructions of mmio_insns.h run twice on the same virtual address: once
 * mapped to RAM, where the processor executes them, and once to MMIO, where
 * the module emulates them and this program plays a memory. Registers, flags
 * and memory must come out the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

/* The device is a memory, with a log of its accesses. */
#define DEV_SIZE	8192
#define MAX_LOG		4096

struct access {
	u64 address;
	u32 len;
	bool write;
};

static u8 dev[DEV_SIZE];
static struct access log[MAX_LOG];
static u32 nlog;

static void dev_serve(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	u64 at = run->mmio.phys_addr - G_MMIO;

	CHECK(run->mmio.len >= 1 && run->mmio.len <= 8);
	if (at + run->mmio.len > DEV_SIZE)
		fail("outside the device: %s", exit_text(v));
	CHECK(nlog < MAX_LOG);
	log[nlog++] = (struct access){
		run->mmio.phys_addr, run->mmio.len, run->mmio.is_write,
	};
	if (run->mmio.is_write)
		memcpy(dev + at, run->mmio.data, run->mmio.len);
	else
		memcpy(run->mmio.data, dev + at, run->mmio.len);
}

static int dev_until_other(struct vcpu *v)
{
	int stop;

	while ((stop = vcpu_go(v)) == KVM_EXIT_MMIO)
		dev_serve(v);
	return stop;
}

static void dev_reset(void)
{
	u32 i;

	nlog = 0;
	for (i = 0; i < DEV_SIZE; i++)
		dev[i] = i * 5 + (i >> 8) + 1;
}

/* Plain loads and stores: one exit each, of the instruction's size. */

static void g_loads(void)
{
	volatile u8 *p = (u8 *)(u64)G_MMIO;

	guest_sync(p[1]);
	guest_sync(*(volatile u16 *)(p + 2));
	guest_sync(*(volatile u32 *)(p + 4));
	G_EQ(*(volatile u64 *)(p + 8), 0x4c47423d38332e29ull);
	guest_sync(*(volatile u16 *)(p + 0x21));
	guest_sync(*(volatile u32 *)(p + 0x33));
}

TEST(loads)
{
	static const struct access want[] = {
		{ G_MMIO + 1, 1 }, { G_MMIO + 2, 2 }, { G_MMIO + 4, 4 },
		{ G_MMIO + 8, 8 }, { G_MMIO + 0x21, 2 }, { G_MMIO + 0x33, 4 },
	};
	struct vcpu *v = guest_start(g_loads);
	u32 i, value;

	dev_reset();
	while (dev_until_other(v) == STOP_SYNC) {
		value = 0;
		memcpy(&value, dev + log[nlog - 1].address - G_MMIO,
		       log[nlog - 1].len);
		EQ(v->value, value);
	}
	EQ(nlog, ARRAY_SIZE(want));
	for (i = 0; i < nlog; i++) {
		EQ(log[i].address, want[i].address);
		EQ(log[i].len, want[i].len);
		EQ(log[i].write, false);
	}
	vm_free(v->vm);
}

static void g_stores(void)
{
	volatile u8 *p = (u8 *)(u64)G_MMIO;

	p[1] = 0x11;
	*(volatile u16 *)(p + 2) = 0x2233;
	*(volatile u32 *)(p + 4) = 0x44556677;
	*(volatile u64 *)(p + 8) = 0x8899aabbccddeeffull;
	*(volatile u32 *)(p + 0x21) = 0xdeadbeef;
}

TEST(stores)
{
	static const struct { struct access a; u64 value; } want[] = {
		{ { G_MMIO + 1, 1 }, 0x11 },
		{ { G_MMIO + 2, 2 }, 0x2233 },
		{ { G_MMIO + 4, 4 }, 0x44556677 },
		{ { G_MMIO + 8, 8 }, 0x8899aabbccddeeffull },
		{ { G_MMIO + 0x21, 4 }, 0xdeadbeef },
	};
	struct vcpu *v = guest_start(g_stores);
	u32 i;

	for (i = 0; i < ARRAY_SIZE(want); i++) {
		u64 got = 0;

		vcpu_until(v, KVM_EXIT_MMIO);
		EQ(v->run->mmio.is_write, 1);
		EQ(v->run->mmio.phys_addr, want[i].a.address);
		EQ(v->run->mmio.len, want[i].a.len);
		memcpy(&got, v->run->mmio.data, v->run->mmio.len);
		EQ(got, want[i].value);
	}
	vcpu_done(v);
	vm_free(v->vm);
}

/* A read-modify-write is one read and one write, nothing more. */
static void g_rmw(void)
{
	asm volatile("addl $0x1000, (%0)" : : "r"((u64)G_MMIO) : "memory");
}

TEST(read_modify_write_is_two_accesses)
{
	struct vcpu *v = guest_start(g_rmw);

	dev_reset();
	EQ(dev_until_other(v), STOP_DONE);
	EQ(nlog, 2);
	CHECK(!log[0].write && log[1].write);
	EQ(log[0].len, 4);
	EQ(log[1].len, 4);
	vm_free(v->vm);
}

/* Page crossings: pages of different kinds, adjacent in virtual memory. */

#define WINDOW_TEXT	"0x30000000"
#define WINDOW		0x30000000ull
#define EDGE		(WINDOW + 4096)

static void g_cross_write(void)
{
	*(volatile u64 *)(EDGE - 5) = 0x0807060504030201ull;
	*(volatile u32 *)(EDGE - 1) = 0xddccbbaa;
}

static void map_edge(struct vm *vm, u64 low, u64 high)
{
	map_page(vm, WINDOW, low, PT_P | PT_W);
	map_page(vm, EDGE, high, PT_P | PT_W);
}

static u8 *page_memory(struct vm *vm, u64 gpa)
{
	return gpa >= G_MMIO ? dev + (gpa - G_MMIO) : vm->ram + gpa;
}

static void cross_write(u64 low, u64 high)
{
	static const u8 want[] = {
		0x01, 0x02, 0x03, 0x04, 0xaa, 0xbb, 0xcc, 0xdd,
	};
	struct vcpu *v = guest_start(g_cross_write);
	u8 *low_end = page_memory(v->vm, low) + 4096;
	u8 *high_start = page_memory(v->vm, high);
	int i;

	map_edge(v->vm, low, high);
	dev_reset();
	EQ(dev_until_other(v), STOP_DONE);
	for (i = 0; i < 8; i++)
		EQ(i < 5 ? low_end[i - 5] : high_start[i - 5], want[i]);
	vm_free(v->vm);
}

static void g_cross_read(void)
{
	G_EQ(*(volatile u64 *)(EDGE - 3), 0xa5a4a3a2a1030201ull);
	G_EQ(*(volatile u32 *)(EDGE - 2), 0xa2a10302);
	G_EQ(*(volatile u16 *)(EDGE - 1), 0xa103);
}

static void cross_read(u64 low, u64 high)
{
	struct vcpu *v = guest_start(g_cross_read);
	u8 *low_end = page_memory(v->vm, low) + 4096;
	u8 *high_start = page_memory(v->vm, high);
	int i;

	map_edge(v->vm, low, high);
	dev_reset();
	for (i = 0; i < 3; i++)
		low_end[i - 3] = i + 1;
	for (i = 0; i < 5; i++)
		high_start[i] = 0xa1 + i;
	EQ(dev_until_other(v), STOP_DONE);
	vm_free(v->vm);
}

TEST(crossing_ram_to_mmio)
{
	cross_read(G_FREE, G_MMIO);
	cross_write(G_FREE, G_MMIO);
}

TEST(crossing_mmio_to_ram)
{
	cross_read(G_MMIO, G_FREE);
	cross_write(G_MMIO, G_FREE);
}

TEST(crossing_mmio_to_mmio)
{
	cross_read(G_MMIO + 4096, G_MMIO);
	cross_write(G_MMIO + 4096, G_MMIO);
}

/* A crossing into an absent page faults and writes nothing. */
static void g_cross_fault(void)
{
	u32 vector = TRY("movq %%rax, (%%rdi)", NO_OUTS,
			 "a"(-1ll), "D"(EDGE - 4) : "memory");

	G_EQ(vector, VEC_PF);
	G_EQ(trap.error, 2);
	G_EQ(trap.cr2, EDGE);
	vector = TRY("movq (%%rdi), %%rax", NO_OUTS,
		     "D"(EDGE - 4) : "rax", "memory");
	G_EQ(vector, VEC_PF);
	G_EQ(trap.error, 0);
	G_EQ(trap.cr2, EDGE);
}

TEST(crossing_mmio_to_absent_page)
{
	struct vcpu *v = guest_start(g_cross_fault);
	u32 i;

	map_edge(v->vm, G_MMIO, 0);
	*guest_pte(v->vm, EDGE) = 0;
	dev_reset();
	EQ(dev_until_other(v), STOP_DONE);
	for (i = 0; i < nlog; i++)
		CHECK(!log[i].write);
	vm_free(v->vm);
}

/* The differential table. */

#define CF	BIT(0)
#define PF	BIT(2)
#define AF	BIT(4)
#define ZF	BIT(6)
#define SF	BIT(7)
#define OF	BIT(11)
#define ALLF	(CF | PF | AF | ZF | SF | OF)

enum {
	NEED_MOVBE = 1, NEED_POPCNT, NEED_SSE41, NEED_SSE42, NEED_AVX,
	NEED_LZCNT, NEED_BMI1, NEED_BMI2, NEED_ADX,
};

static const struct { u32 leaf; int reg, bit; } needs[] = {
	[NEED_MOVBE] = { 1, 2, 22 }, [NEED_POPCNT] = { 1, 2, 23 },
	[NEED_SSE41] = { 1, 2, 19 }, [NEED_SSE42] = { 1, 2, 20 },
	[NEED_AVX] = { 1, 2, 28 }, [NEED_LZCNT] = { 0x80000001, 2, 5 },
	[NEED_BMI1] = { 7, 1, 3 }, [NEED_BMI2] = { 7, 1, 8 },
	[NEED_ADX] = { 7, 1, 19 },
};

#define DATA_LOW	"0x61a8f70d"	/* what is at WINDOW + AT */
#define DATA_HIGH	"0x0be3c295"
#define AT		0x100
#define STACK_AT	0x800
#define SCRATCH		(G_FREE + 0x10000)	/* RBP */
#define SCRATCH_SIZE	4096

#define INSN(name, text, undef, need)					\
	asm(".pushsection .text\ninsn_" #name ": " text			\
	    "\njmp exec_back\n.popsection");				\
	extern const u8 insn_##name[];
#include "mmio_insns.h"
#undef INSN

struct insn {
	const char *name;
	const u8 *code;
	u64 undefined;			/* flags not to compare */
	int need;
};

#define INSN(name, text, undef, need) { #name, insn_##name, undef, need },
static const struct insn insns[] = {
#include "mmio_insns.h"
};
#undef INSN

/* The order is that of exec_insn below. */
struct state {
	u64 rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
	u64 r8, r9, r10, r11, r12, r13, r14, r15;
	u64 rflags, pad;
	u8 ymm[4 * 32];
};

struct state exec_in, exec_out;
u64 exec_rsp, exec_code;
u32 exec_avx;

asm(".globl window\n.set window, " WINDOW_TEXT "\n"
    ".pushsection .text\n"
    "exec_insn:\n"
    "	pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14\n"
    "	pushq %r15; movq %rsp, exec_rsp\n"
    "	cmpl $0, exec_avx; je 1f\n"
    "	vmovdqu exec_in+144, %ymm0; vmovdqu exec_in+176, %ymm1\n"
    "	vmovdqu exec_in+208, %ymm2; vmovdqu exec_in+240, %ymm3; jmp 2f\n"
    "1:	movups exec_in+144, %xmm0; movups exec_in+176, %xmm1\n"
    "	movups exec_in+208, %xmm2; movups exec_in+240, %xmm3\n"
    "2:	pushq exec_in+128; popfq\n"
    "	movq exec_in+0, %rax; movq exec_in+8, %rbx; movq exec_in+16, %rcx\n"
    "	movq exec_in+24, %rdx; movq exec_in+32, %rsi; movq exec_in+40, %rdi\n"
    "	movq exec_in+48, %rbp; movq exec_in+56, %rsp; movq exec_in+64, %r8\n"
    "	movq exec_in+72, %r9; movq exec_in+80, %r10; movq exec_in+88, %r11\n"
    "	movq exec_in+96, %r12; movq exec_in+104, %r13\n"
    "	movq exec_in+112, %r14; movq exec_in+120, %r15\n"
    "	jmp *exec_code\n"
    "exec_back:\n"
    "	movq %rax, exec_out+0; movq %rbx, exec_out+8; movq %rcx, exec_out+16\n"
    "	movq %rdx, exec_out+24; movq %rsi, exec_out+32\n"
    "	movq %rdi, exec_out+40; movq %rbp, exec_out+48\n"
    "	movq %rsp, exec_out+56; movq %r8, exec_out+64; movq %r9, exec_out+72\n"
    "	movq %r10, exec_out+80; movq %r11, exec_out+88\n"
    "	movq %r12, exec_out+96; movq %r13, exec_out+104\n"
    "	movq %r14, exec_out+112; movq %r15, exec_out+120\n"
    "	movq exec_rsp, %rsp; pushfq; popq exec_out+128; cld\n"
    "	cmpl $0, exec_avx; je 1f\n"
    "	vmovdqu %ymm0, exec_out+144; vmovdqu %ymm1, exec_out+176\n"
    "	vmovdqu %ymm2, exec_out+208; vmovdqu %ymm3, exec_out+240; jmp 2f\n"
    "1:	movups %xmm0, exec_out+144; movups %xmm1, exec_out+176\n"
    "	movups %xmm2, exec_out+208; movups %xmm3, exec_out+240\n"
    "2:	popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
    "	ret\n"
    ".popsection");
void exec_insn(void);

static void g_exec(void)
{
	write_cr3(read_cr3());			/* WINDOW was mapped anew */
	if (exec_avx) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		xsetbv(0, 7);
	}
	exec_insn();
}

static void fill_input(struct state *s)
{
	u64 *r = &s->rax;
	u32 i;

	for (i = 0; i < 16; i++)
		r[i] = 0x9182736455463728ull * (i + 1) + i;
	s->rsi = s->rdi = s->rbx = WINDOW + AT;
	s->rbp = SCRATCH;
	s->rsp = WINDOW + STACK_AT;
	s->rcx = 7;
	s->rdx = 100;
	s->rflags = FLAG_FIXED | SF | PF;
	for (i = 0; i < sizeof(s->ymm); i++)
		s->ymm[i] = i * 3 + 0x51;
}

static void fill_memory(u8 *window, u8 *scratch)
{
	u32 low = strtoul(DATA_LOW, NULL, 16), i;
	u32 high = strtoul(DATA_HIGH, NULL, 16);

	for (i = 0; i < 4096; i++)
		window[i] = i * 13 + (i >> 8) * 3 + 7;
	memcpy(window + AT, &low, 4);
	memcpy(window + AT + 4, &high, 4);
	/* RDX + 100 bits and a rep cmps compare equal for a while. */
	memcpy(scratch, window + AT, SCRATCH_SIZE - AT);
	scratch[11] ^= 0xff;
	memset(scratch + SCRATCH_SIZE - AT, 0x3c, AT);
}

struct outcome {
	int stop;
	struct state s;
	u8 window[4096], scratch[SCRATCH_SIZE];
};

/*
 * One VM serves all instructions, until one gets it into trouble. Not without
 * EPT: what a monitor writes to tables that are shadowed is not seen, unless
 * it loads other control registers as well.
 */
static struct vcpu *exec_vcpu;

static void run_insn(const struct insn *insn, bool mmio, struct outcome *o)
{
	struct vcpu *v = exec_vcpu ? exec_vcpu : vcpu_new(vm_new(), 0);
	struct vm *vm = v->vm;
	u8 *window = mmio ? dev : vm->ram + G_FREE;

	vcpu_long(v, g_exec);
	map_page(vm, WINDOW, mmio ? G_MMIO : G_FREE, PT_P | PT_W);
	map_page(vm, EDGE, mmio ? G_MMIO + 4096 : G_FREE + 4096, PT_P | PT_W);
	dev_reset();
	fill_memory(window, vm->ram + SCRATCH);
	fill_input(&G(vm, exec_in));
	G(vm, exec_code) = (unsigned long)insn->code;
	G(vm, exec_avx) = cpu_has(1, 2, 28);
	o->stop = dev_until_other(v);
	o->s = G(vm, exec_out);
	memcpy(o->window, window, 4096);
	memcpy(o->scratch, vm->ram + SCRATCH, SCRATCH_SIZE);
	exec_vcpu = v;
	if (o->stop != STOP_DONE || !kvm_uses("ept")) {
		vm_free(vm);
		exec_vcpu = NULL;
	}
}

static int first_difference(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] != q[i])
			return i;
	}
	return -1;
}

static void compare(const struct insn *insn, struct outcome *ram,
		    struct outcome *mmio)
{
	int regs, window, scratch;
	u64 flags = (ram->s.rflags ^ mmio->s.rflags) & ~insn->undefined;

	ram->s.rflags = mmio->s.rflags = 0;
	regs = first_difference(&ram->s, &mmio->s, sizeof(ram->s));
	window = first_difference(ram->window, mmio->window, 4096);
	scratch = first_difference(ram->scratch, mmio->scratch, SCRATCH_SIZE);
	row(regs < 0 && window < 0 && scratch < 0 && !flags,
	    "%s: differs in %s: state at %d, flags 0x%llx, MMIO at %d, "
	    "RAM at %d", insn->name, regs >= 0 ? "registers" :
	    flags ? "flags" : "memory", regs, flags, window, scratch);
}

static void differential(const struct insn *insn)
{
	static struct outcome ram, mmio;

	if (insn->need && !cpu_has(needs[insn->need].leaf,
				   needs[insn->need].reg,
				   needs[insn->need].bit))
		return;
	run_insn(insn, false, &ram);
	if (ram.stop != STOP_DONE)
		fail("%s does not run in RAM: %s", insn->name,
		     exit_name(ram.stop));
	run_insn(insn, true, &mmio);
	if (mmio.stop == KVM_EXIT_INTERNAL_ERROR && kvm_in_tree())
		row_skip(insn->name, "not in the in-tree emulator");
	else if (kvm_in_tree() && (insn->code == insn_tzcnt ||
				   insn->code == insn_lzcnt))
		row_skip(insn->name, "in-tree takes it for BSF or BSR");
	else if (mmio.stop != STOP_DONE)
		row(false, "%s: %s", insn->name, exit_name(mmio.stop));
	else
		compare(insn, &ram, &mmio);
}

TEST_TIMED(every_instruction, 240)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(insns); i++)
		differential(&insns[i]);
}

/* The instruction itself over a page's end. */
static void g_split_insn(void)
{
	void (*f)(void) = (void *)(EDGE - 3);

	f();
}

TEST(instruction_crosses_a_page)
{
	/* movl $0x11223344, 0x10000010; ret */
	static const u8 code[] = {
		0xc7, 0x04, 0x25, 0x10, 0x00, 0x00, 0x10,
		0x44, 0x33, 0x22, 0x11, 0xc3,
	};
	struct vcpu *v = guest_start(g_split_insn);

	map_edge(v->vm, G_FREE, G_FREE + 8192);
	memcpy(v->vm->ram + G_FREE + 4096 - 3, code, 3);
	memcpy(v->vm->ram + G_FREE + 8192, code + 3, sizeof(code) - 3);
	vcpu_until(v, KVM_EXIT_MMIO);
	EQ(v->run->mmio.phys_addr, 0x10000010);
	EQ(*(u32 *)v->run->mmio.data, 0x11223344);
	vcpu_done(v);
	vm_free(v->vm);
}

/* Faults while an instruction is being emulated reach the guest. */
static void g_mmio_faults(void)
{
	u64 rcx = 20, rsi = WINDOW + 4096 - 8, rdi = G_FREE;
	u32 vector;

	/* The 9th byte of the source is in an absent page. */
	vector = TRY("rep; movsb", OUTS("+c"(rcx), "+S"(rsi), "+D"(rdi)),
		     "m"(trap) : "memory");
	G_EQ(vector, VEC_PF);
	G_EQ(trap.cr2, EDGE);
	G_EQ(rcx, 12);
	G_EQ(rsi, EDGE);
	G_EQ(rdi, G_FREE + 8);
	/* Division by what the device returns: 0. */
	vector = TRY("divl (%%rsi)", NO_OUTS, "S"(WINDOW + 0x40), "a"(1),
		     "d"(0) : "memory");
	G_EQ(vector, VEC_DE);
	/* A lock prefix where none is allowed. */
	vector = TRY(".byte 0xf0, 0x8b, 0x06", NO_OUTS,
		     "S"(WINDOW) : "rax", "memory");
	G_EQ(vector, VEC_UD);
	/* An unaligned operand of an instruction that wants alignment. */
	vector = TRY("movaps 4(%%rsi), %%xmm0", NO_OUTS,
		     "S"(WINDOW) : "memory");
	G_EQ(vector, VEC_GP);
	G_EQ(trap.error, 0);
}

TEST(faults_of_emulated_instructions)
{
	struct vcpu *v = guest_start(g_mmio_faults);

	map_edge(v->vm, G_MMIO, 0);
	*guest_pte(v->vm, EDGE) = 0;
	dev_reset();
	memset(dev + 0x40, 0, 4);
	EQ(dev_until_other(v), STOP_DONE);
	vm_free(v->vm);
}

/* A string instruction is one write after the other, but no one's prisoner. */
#define STRING_ITEMS	1000u
#define STRING_VECTOR	0x40

static void sync_from_handler(struct trap_frame *f)
{
	guest_sync(f->vector);
}

static void g_long_string(void)
{
	u64 to = G_MMIO, count = STRING_ITEMS;

	trap.handler[STRING_VECTOR] = sync_from_handler;
	sti();
	asm volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(0x1234)
		     : "memory");
	G_EQ(to, G_MMIO + 4 * STRING_ITEMS);
	guest_done();
}

static void check_item(const struct kvm_run *run, u32 item)
{
	EQ(run->mmio.phys_addr, G_MMIO + 4 * item);
	EQ(run->mmio.len, 4);
	EQ(run->mmio.is_write, 1);
	EQ(*(u32 *)run->mmio.data, 0x1234);
}

TEST(string_to_user_space)
{
	struct vcpu *v = guest_start(g_long_string);
	struct kvm_interrupt irq = { STRING_VECTOR };
	u32 item = 0, at = 0;
	int stop;

	while ((stop = vcpu_go(v)) != STOP_DONE) {
		if (stop == STOP_SYNC) {
			EQ(v->value, STRING_VECTOR);
			at = item;
			continue;
		}
		EQ(stop, KVM_EXIT_MMIO);
		check_item(v->run, item);
		if (++item == 10)
			WORKS(ioctl(v->fd, KVM_INTERRUPT, &irq));
	}
	EQ(item, STRING_ITEMS);
	/* The interrupt came in between. */
	CHECK(at >= 10 && at < STRING_ITEMS);
	vm_free(v->vm);
}

/* System registers loaded from the device, and stored there. */
extern const u8 through_mmio[];

static void g_segments_from_mmio(volatile u16 *m)
{
	volatile u64 *tss = (volatile u64 *)(G_GDT + SEL_TSS64);
	u64 ss;
	u16 sel;

	*m = 0;
	asm volatile("movw %1, %%ss; movq %%ss, %0" : "=r"(ss) : "m"(*m));
	G_EQ(ss, 0);
	*m = 3;			/* a null selector, but of CPL 3 */
	G_EQ(TRY("movw %0, %%ss", NO_OUTS, "m"(*m)), VEC_GP);
	*m = SEL_DATA;
	asm volatile("movw %0, %%ss" : : "m"(*m));
	*tss &= ~BIT(41);	/* not busy */
	*m = SEL_TSS64;
	asm volatile("ltr %0" : : "m"(*m) : "memory");
	asm volatile("str %0" : "=m"(*m));
	G_EQ(*m, SEL_TSS64);
	G_CHECK(*tss & BIT(41));
	G_EQ(TRY("ltr %0", NO_OUTS, "m"(*m)), VEC_GP);	/* busy */
	*m = 0;
	asm volatile("lldt %1; sldt %0" : "=r"(sel) : "m"(*m));
	G_EQ(sel, 0);
}

static void g_machine_status_from_mmio(volatile u64 *m)
{
	u64 cr0 = read_cr0();

	*m = 0x12345678abcdefull;
	asm volatile("smsw %0" : "+m"(*m));
	G_EQ(*m, 0x12345678ab0000ull | (u16)cr0);
	*m = (cr0 ^ CR0_TS) & ~(u64)CR0_PE;
	asm volatile("lmsw %0" : : "m"(*m));
	G_EQ(read_cr0(), cr0 ^ CR0_TS);
	write_cr0(cr0);
}

static void __attribute__((noinline, noclone))
g_far_jump_through_mmio(volatile u8 *m)
{
	u64 result = 0;

	*(volatile u64 *)m = (u64)through_mmio;
	*(volatile u16 *)(m + 8) = SEL_CODE64;
	asm volatile("rex.w ljmp *(%1)\n\t"
		     "movl $1, %k0\n"
		     "through_mmio:" : "+r"(result) : "r"(m));
	G_EQ(result, 0);
}

static void g_system_operands(void)
{
	g_segments_from_mmio((void *)(G_MMIO + 0x10));
	g_machine_status_from_mmio((void *)(G_MMIO + 0x20));
	g_far_jump_through_mmio((void *)(G_MMIO + 0x30));
	*(volatile u64 *)(G_MMIO + 0x40) = 0x1111111111111111ull;
	G_EQ(TRY("jmp *(%%rax)", NO_OUTS, "a"(G_MMIO + 0x40)), VEC_GP);
}

TEST(system_operands)
{
	struct vcpu *v = guest_start(g_system_operands);

	dev_reset();
	EQ(dev_until_other(v), STOP_DONE);
	vm_free(v->vm);
}

/* Real and protected mode, at the place PCs have their text screen. */
#define VGA_TEXT	0xb8000

CODE(code_text16, 16,
	"movw $0xb800, %ax; movw %ax, %es; xorw %di, %di\n"
	"movw $0x0741, %ax; stosw; movb $'B', %al; stosw\n"
	"movw $0x1e43, %es:160\n"
	"movw $80, %cx; movw $320, %di; movw $0x0720, %ax; rep stosw\n"
	"movb %es:0, %al; outb %al, $0xe1\n"
	"incb %es:0; pushw %es; popw %ds; movw $4, %si; movw $6, %cx\n"
	"movw $2, %di; rep movsb\n"
	"outb %al, $0xe0\n");
CODE(code_text32, 32,
	"movl $0xb8000, %edi\n"
	"movw $0x0741, %ax; stosw; movb $'B', %al; stosw\n"
	"movw $0x1e43, 0xb80a0\n"
	"movl $80, %ecx; movl $0xb8140, %edi; movl $0x0720, %eax; rep stosw\n"
	"movb 0xb8000, %al; outb %al, $0xe1\n"
	"incb 0xb8000; movl $0xb8004, %esi; movl $6, %ecx\n"
	"movl $0xb8002, %edi; rep movsb\n"
	"outb %al, $0xe0\n");

/* A VM with the hole that PCs have from 640 KiB to 1 MiB. */
static struct vm *vm_with_hole(void)
{
	struct vm *vm = vm_new();

	vm_slot(vm, 0, 0, 0, vm->ram, 0);
	vm_slot(vm, 0, 0, 0xa0000, vm->ram, 0);
	vm_slot(vm, 1, 0x100000, RAM_SIZE - 0x100000, vm->ram + 0x100000, 0);
	return vm;
}

static int screen_until_other(struct vcpu *v, u8 *screen)
{
	struct kvm_run *run = v->run;
	int stop;

	while ((stop = vcpu_go(v)) == KVM_EXIT_MMIO) {
		u64 at = run->mmio.phys_addr - VGA_TEXT;

		CHECK(at + run->mmio.len <= 4096);
		if (run->mmio.is_write)
			memcpy(screen + at, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, screen + at, run->mmio.len);
	}
	return stop;
}

static void check_screen(struct vcpu *v)
{
	u8 screen[4096] = { 0 };
	u32 i;

	EQ(screen_until_other(v, screen), STOP_SYNC);
	EQ(v->value, 'A');
	EQ(*(u32 *)screen, 0x07420741);
	EQ(*(u16 *)(screen + 160), 0x1e43);
	for (i = 0; i < 80; i++)
		EQ(*(u16 *)(screen + 320 + 2 * i), 0x0720);
	EQ(*(u16 *)(screen + 480), 0);
	EQ(screen_until_other(v, screen), STOP_DONE);
	EQ(*(u32 *)screen, 0x00000742);
}

TEST(text_screen_in_real_mode)
{
	struct vm *vm = vm_with_hole();
	struct vcpu *v = vcpu_new(vm, 0);

	code_load(vm, G_CODE, code_text16, code_text16_end);
	vcpu_real(v, G_CODE);
	check_screen(v);
	vm_free(vm);
}

TEST(text_screen_in_protected_mode)
{
	struct vm *vm = vm_with_hole();
	struct vcpu *v = vcpu_new(vm, 0);
	int paging;

	code_load(vm, G_CODE, code_text32, code_text32_end);
	for (paging = PAGING_OFF; paging <= PAGING_PAE; paging++) {
		vcpu_prot32(v, G_CODE, paging);
		check_screen(v);
	}
	vcpu_compat(v, G_CODE);
	check_screen(v);
	vm_free(vm);
}

/* Stack operations of 16-bit and 32-bit code that 64-bit code has not. */
CODE(code_stack32, 32,
	"movl $0xb8100, %esp; movl $1, %eax; movl $2, %ecx; movl $3, %edx\n"
	"movl $4, %ebx; movl $5, %ebp; movl $6, %esi; movl $7, %edi\n"
	"pushal; movl $0x99, 0xb80f8; popal\n"
	"pushl $0x1234; popl 0xb8200; pushw $0x55; popw %bp\n"
	"outl %eax, $0xe1; movl %ecx, %eax; outl %eax, $0xe1\n"
	"movl %ebp, %eax; outl %eax, $0xe1\n"
	"movl %esp, %eax; outl %eax, $0xe1; outb %al, $0xe0\n");

TEST(pusha_popa)
{
	struct vm *vm = vm_with_hole();
	static const u32 want[] = { 1, 0x99, 0x55, VGA_TEXT + 0x100 };
	struct vcpu *v = vcpu_new(vm, 0);
	u8 screen[4096] = { 0 };
	u32 i;

	if (kvm_in_tree())
		skip("in-tree loses all but the last MMIO write of PUSHA");
	code_load(vm, G_CODE, code_stack32, code_stack32_end);
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		EQ(screen_until_other(v, screen), STOP_SYNC);
		EQ(v->value, want[i]);
	}
	EQ(screen_until_other(v, screen), STOP_DONE);
	EQ(*(u32 *)(screen + 0xe0), 7);
	EQ(*(u32 *)(screen + 0xec), VGA_TEXT + 0x100);	/* ESP before */
	EQ(*(u32 *)(screen + 0x200), 0x1234);
	vm_free(vm);
}

/* MMIO from user mode, through the guest's own page tables. */
CODE(code_user_mmio, 32, "movl $0x5a, 0x10000020; movl 0x10000024, %eax\n"
			 "addl %eax, 0x10000028; int $0x80");

TEST(from_user_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct kvm_sregs s;
	struct trap32 t;

	code_load(vm, G_CODE, code_user_mmio, code_user_mmio_end);
	RAM(vm, G_IDT32 + 0x80 * 8 + 4, u16) |= 0x6000;	/* DPL 3 */
	vcpu_prot32(v, G_CODE, PAGING_PSE);
	get_sregs(v, &s);
	s.cs.selector = SEL_UCODE32;
	s.ss.selector = s.ds.selector = SEL_UDATA;
	s.cs.dpl = s.ss.dpl = s.ds.dpl = 3;
	set_sregs(v, &s);
	dev_reset();
	*(u32 *)(dev + 0x24) = 1000;
	*(u32 *)(dev + 0x28) = 24;
	EQ(dev_until_other(v), STOP_TRAP);
	trap_get(v, &t);
	EQ(t.vector, 0x80);
	EQ(*(u32 *)(dev + 0x20), 0x5a);
	EQ(*(u32 *)(dev + 0x28), 1024);
	vm_free(vm);
}

/* High guest-physical addresses, up to what CPUID promises. */
static void g_high(void)
{
	write64(WINDOW + 0x18, 0x1122334455667788ull);
	G_EQ(read64(WINDOW + 0x20), 0x99);
}

TEST(high_physical_addresses)
{
	u32 bits = cpuid_find(supported_cpuid(), 0x80000008, 0)->eax & 0xff;
	u32 bit;

	for (bit = 32; bit < bits; bit++) {
		struct vcpu *v = guest_start(g_high);

		map_page(v->vm, WINDOW, BIT(bit), PT_P | PT_W);
		vcpu_until(v, KVM_EXIT_MMIO);
		EQ(v->run->mmio.phys_addr, BIT(bit) + 0x18);
		EQ(*(u64 *)v->run->mmio.data, 0x1122334455667788ull);
		vcpu_until(v, KVM_EXIT_MMIO);
		EQ(v->run->mmio.phys_addr, BIT(bit) + 0x20);
		*(u64 *)v->run->mmio.data = 0x99;
		vcpu_done(v);
		vm_free(v->vm);
	}
}
