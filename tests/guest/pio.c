// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port I/O: IN and OUT of every size, string I/O with every prefix, count and
 * direction, page crossings, faults on the way, and privilege.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define PORT	0x510

/*
 * The device on the other side: what comes out is kept in order, what goes in
 * is the sequence 1, 2, 3, ... of bytes.
 */
struct device {
	u8 out[32768];
	u32 nout, nin, exits;
	u32 size;			/* that every access must have */
};
static struct device dev;

static void serve(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	u32 bytes = run->io.size * run->io.count, i;
	u8 *data = io_data(v);

	EQ(run->io.port, PORT);
	EQ(run->io.size, dev.size);
	CHECK(run->io.count >= 1);
	/* The data lie within the mapping of kvm_run. */
	CHECK(run->io.data_offset + bytes <= v->run_size);
	dev.exits++;
	if (run->io.direction == KVM_EXIT_IO_OUT) {
		CHECK(dev.nout + bytes <= sizeof(dev.out));
		memcpy(dev.out + dev.nout, data, bytes);
		dev.nout += bytes;
		return;
	}
	EQ(run->io.direction, KVM_EXIT_IO_IN);
	for (i = 0; i < bytes; i++)
		data[i] = ++dev.nin;
}

/* Serves the device until something else happens, and returns that. */
static int serve_until_other(struct vcpu *v)
{
	int stop;

	for (;;) {
		stop = vcpu_go(v);
		if (stop != KVM_EXIT_IO || v->run->io.port != PORT)
			return stop;
		serve(v);
	}
}

static void reset_device(u32 size)
{
	memset(&dev, 0, sizeof(dev));
	dev.size = size;
}

/* Simple accesses */

static void g_out(void)
{
	asm volatile("outb %%al, $0x42" : : "a"(0x11223344));
	asm volatile("outw %%ax, $0x42" : : "a"(0x11223344));
	asm volatile("outl %%eax, $0x42" : : "a"(0x11223344));
	outb(0xfffc, 0x99);
	outw(0xfffd, 0x8877);
	outl(0xfffc, 0x66554433);
}

static void expect_out(struct vcpu *v, u16 port, u32 size, u32 value)
{
	u32 got = 0;

	vcpu_until(v, KVM_EXIT_IO);
	EQ(v->run->io.direction, KVM_EXIT_IO_OUT);
	EQ(v->run->io.port, port);
	EQ(v->run->io.size, size);
	EQ(v->run->io.count, 1);
	memcpy(&got, io_data(v), size);
	EQ(got, value);
}

TEST(out)
{
	struct vcpu *v = guest_start(g_out);

	expect_out(v, 0x42, 1, 0x44);
	expect_out(v, 0x42, 2, 0x3344);
	expect_out(v, 0x42, 4, 0x11223344);
	expect_out(v, 0xfffc, 1, 0x99);
	expect_out(v, 0xfffd, 2, 0x8877);
	expect_out(v, 0xfffc, 4, 0x66554433);
	vcpu_done(v);
	vm_free(v->vm);
}

/* A narrow IN leaves the rest of RAX; a 32-bit one clears the upper half. */
static void g_in(void)
{
	u64 rax = 0x1122334455667788ull;

	asm volatile("inb $0x42, %%al" : "+a"(rax));
	G_EQ(rax, 0x11223344556677a1ull);
	asm volatile("inw $0x42, %%ax" : "+a"(rax));
	G_EQ(rax, 0x112233445566b2a1ull);
	asm volatile("inl $0x42, %%eax" : "+a"(rax));
	G_EQ(rax, 0xd4c3b2a1ull);
	G_EQ(inb(0xffff), 0xa1);
	G_EQ(inw(0x1234), 0xb2a1);
	G_EQ(inl(0x1234), 0xd4c3b2a1);
}

static void answer_in(struct vcpu *v, u16 port, u32 size)
{
	static const u8 answer[] = { 0xa1, 0xb2, 0xc3, 0xd4 };

	vcpu_until(v, KVM_EXIT_IO);
	EQ(v->run->io.direction, KVM_EXIT_IO_IN);
	EQ(v->run->io.port, port);
	EQ(v->run->io.size, size);
	EQ(v->run->io.count, 1);
	memcpy(io_data(v), answer, size);
}

TEST(in)
{
	struct vcpu *v = guest_start(g_in);

	answer_in(v, 0x42, 1);
	answer_in(v, 0x42, 2);
	answer_in(v, 0x42, 4);
	answer_in(v, 0xffff, 1);
	answer_in(v, 0x1234, 2);
	answer_in(v, 0x1234, 4);
	vcpu_done(v);
	vm_free(v->vm);
}

/* Once done, an I/O instruction is not done again, nor is one left out. */
static void g_many(void)
{
	u32 i;

	for (i = 0; i < 500; i++)
		outl(PORT, i);
}

TEST(each_once)
{
	struct vcpu *v = guest_start(g_many);
	u32 i;

	reset_device(4);
	EQ(serve_until_other(v), STOP_DONE);
	EQ(dev.exits, 500);
	for (i = 0; i < 500; i++)
		EQ(((u32 *)dev.out)[i], i);
	vm_free(v->vm);
}

/* String I/O: one instruction described by these. */

enum prefix { SINGLE, REP, REPNE };

struct string_io {
	u32 size, count;
	u32 offset;			/* of the first element in its page */
	enum prefix prefix;
	bool in, down;
};
static struct string_io sio;
static volatile u64 sio_start, sio_si, sio_cx;

#define DO(insn) asm volatile(insn : "+S"(p), "+D"(q), "+c"(count)	\
			      : "d"(PORT) : "memory")
#define DO_PREFIXED(insn) do {						\
	if (sio.prefix == SINGLE)					\
		DO(insn);						\
	else if (sio.prefix == REP)					\
		DO("rep; " insn);					\
	else								\
		DO("repne; " insn);					\
} while (0)

static void g_string(void)
{
	u64 p = sio_start, q = p, count = sio.count;

	if (sio.down)
		asm volatile("std");
	if (sio.in && sio.size == 1)
		DO_PREFIXED("insb");
	else if (sio.in && sio.size == 2)
		DO_PREFIXED("insw");
	else if (sio.in)
		DO_PREFIXED("insl");
	else if (sio.size == 1)
		DO_PREFIXED("outsb");
	else if (sio.size == 2)
		DO_PREFIXED("outsw");
	else
		DO_PREFIXED("outsl");
	asm volatile("cld");
	sio_si = sio.in ? q : p;
	sio_cx = count;
	G_EQ(sio.in ? p : q, sio_start);	/* the other one is untouched */
}

/*
 * The buffer is 16 pages of G_FREE, mapped in reverse order, so that data
 * that runs over a page's end into the wrong frame shows.
 */
#define BUF_PAGES	16
#define BUF_MIDDLE	(G_FREE + BUF_PAGES / 2 * 4096)

static void map_reversed(struct vm *vm)
{
	u32 i;

	for (i = 0; i < BUF_PAGES; i++)
		map_page(vm, G_FREE + i * 4096,
			 G_FREE + (BUF_PAGES - 1 - i) * 4096, PT_P | PT_W);
}

static u8 *byte_at(struct vm *vm, u64 va)
{
	u64 page = BUF_PAGES - 1 - (va - G_FREE) / 4096;

	return vm->ram + G_FREE + page * 4096 + va % 4096;
}

static u8 pattern(u64 va)
{
	return va * 7 + (va >> 8);
}

static void fill(struct vm *vm)
{
	u64 va;

	for (va = G_FREE; va < G_FREE + BUF_PAGES * 4096; va++)
		*byte_at(vm, va) = pattern(va);
}

/* The address of byte b of the i-th element. */
static u64 element(u32 i, u32 b)
{
	u64 start = sio_start + (sio.down ? -1ll : 1) * i * sio.size;

	return start + b;
}

static bool data_right(struct vm *vm, u32 n)
{
	u32 i, b;
	u8 k = 0;

	if (sio.in ? dev.nin != n * sio.size : dev.nout != n * sio.size)
		return false;
	for (i = 0; i < n; i++) {
		for (b = 0; b < sio.size; b++) {
			u64 va = element(i, b);

			if (sio.in ? *byte_at(vm, va) != ++k :
			    dev.out[i * sio.size + b] != pattern(va))
				return false;
		}
	}
	return true;
}

/* Around what INS wrote, nothing changed. */
static bool rest_untouched(struct vm *vm, u32 n)
{
	u64 low = element(0, 0), high = low + n * sio.size, va;

	if (sio.down) {
		high = low + sio.size;
		low = high - n * sio.size;
	}
	for (va = G_FREE; va < G_FREE + BUF_PAGES * 4096; va++) {
		if (sio.in && va >= low && va < high)
			continue;
		if (*byte_at(vm, va) != pattern(va))
			return false;
	}
	return true;
}

static void one_string(struct vm *vm, struct vcpu *v)
{
	u32 n = sio.prefix == SINGLE ? 1 : sio.count;
	u64 end;
	bool ok;

	sio_start = BUF_MIDDLE + sio.offset;
	G(vm, sio) = sio;
	G(vm, sio_start) = sio_start;
	fill(vm);
	reset_device(sio.size);
	vcpu_long(v, g_string);
	EQ(serve_until_other(v), STOP_DONE);
	end = sio_start + (sio.down ? -1ll : 1) * n * sio.size;
	ok = G(vm, sio_si) == end &&
	     G(vm, sio_cx) == (sio.prefix == SINGLE ? sio.count : 0) &&
	     data_right(vm, n) && rest_untouched(vm, n);
	row(ok, "%s size %u count %u offset 0x%x prefix %d %s: rsi/rdi 0x%llx "
	    "(0x%llx), rcx 0x%llx, %u bytes out, %u in",
	    sio.in ? "ins" : "outs", sio.size, sio.count, sio.offset,
	    sio.prefix, sio.down ? "down" : "up", G(vm, sio_si), end,
	    G(vm, sio_cx), dev.nout, dev.nin);
}

static void every_count(struct vm *vm, struct vcpu *v)
{
	static const u32 counts[] = { 0, 1, 2, 5, 1023, 1024, 1025, 3000 };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		sio.count = counts[i];
		one_string(vm, v);
	}
}

/* Offsets: the page's start, in it, and across its end by one byte. */
static void every_offset(struct vm *vm, struct vcpu *v)
{
	static const u32 offsets[] = { 0, 0x123, 0xfff };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		sio.offset = offsets[i];
		every_count(vm, v);
	}
}

static void every_string(bool in, bool down)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);

	map_reversed(vm);
	memset(&sio, 0, sizeof(sio));
	sio.in = in;
	sio.down = down;
	for (sio.size = 1; sio.size <= 4; sio.size *= 2) {
		sio.prefix = REP;
		every_offset(vm, v);
		sio.prefix = SINGLE;
		sio.count = 77;
		one_string(vm, v);
		sio.prefix = REPNE;
		sio.count = 3;
		one_string(vm, v);
	}
	vm_free(vm);
}

TEST(outs_up)
{
	every_string(false, false);
}

TEST(outs_down)
{
	every_string(false, true);
}

TEST(ins_up)
{
	every_string(true, false);
}

TEST(ins_down)
{
	every_string(true, true);
}

/* An OUTS that meets an absent page: done so far is done, the rest waits. */
static void g_outs_fault(void)
{
	u64 p = BUF_MIDDLE - 6, count = 10;
	u32 vector;

	vector = TRY("rep; outsl", OUTS("+S"(p), "+c"(count)),
		     "d"(PORT) : "memory");
	G_EQ(vector, VEC_PF);
	G_EQ(trap.error, 0);
	G_EQ(trap.cr2, BUF_MIDDLE);
	G_EQ(p, BUF_MIDDLE - 2);
	G_EQ(count, 9);
	guest_sync(0);				/* the page is mapped now */
	invlpg(BUF_MIDDLE);
	asm volatile("rep; outsl" : "+S"(p), "+c"(count)
		     : "d"(PORT) : "memory");
	G_EQ(count, 0);
}

TEST(outs_into_absent_page)
{
	struct vcpu *v = guest_start(g_outs_fault);
	u32 i;

	map_reversed(v->vm);
	fill(v->vm);
	*guest_pte(v->vm, BUF_MIDDLE) &= ~PT_P;
	reset_device(4);
	EQ(serve_until_other(v), STOP_SYNC);
	EQ(dev.nout, 4);
	*guest_pte(v->vm, BUF_MIDDLE) |= PT_P;
	EQ(serve_until_other(v), STOP_DONE);
	EQ(dev.nout, 40);
	for (i = 0; i < 40; i++)
		EQ(dev.out[i], pattern(BUF_MIDDLE - 6 + i));
	vm_free(v->vm);
}

/*
 * INS to a read-only page. SDM, INS: the port may have been read without the
 * memory being written, so the device's side is not looked at; in-tree does
 * elements in groups and drops a whole group. But memory and registers agree.
 */
static void g_ins_fault(void)
{
	u64 q = BUF_MIDDLE - 8, count = 10, done, i;
	u32 vector;

	vector = TRY("rep; insl", OUTS("+D"(q), "+c"(count)),
		     "d"(PORT) : "memory");
	G_EQ(vector, VEC_PF);
	G_EQ(trap.error, 3);			/* write, page present */
	G_EQ(trap.cr2, BUF_MIDDLE);
	done = (q - (BUF_MIDDLE - 8)) / 4;
	G_CHECK(done <= 2);
	G_EQ(count, 10 - done);
	for (i = 0; i < done * 4; i++)
		G_EQ(*(u8 *)(BUF_MIDDLE - 8 + i), i + 1);
}

TEST(ins_into_read_only_page)
{
	struct vcpu *v = guest_start(g_ins_fault);

	map_reversed(v->vm);
	fill(v->vm);
	*guest_pte(v->vm, BUF_MIDDLE) &= ~PT_W;
	reset_device(4);
	EQ(serve_until_other(v), STOP_DONE);
	EQ(*byte_at(v->vm, BUF_MIDDLE), pattern(BUF_MIDDLE));
	vm_free(v->vm);
}

/* Segment override and address size: FS base counts, ESI is 32 bits. */
static void g_outs_segment(void)
{
	u64 p = 0x40, count = 4;

	wrmsr(0xc0000100, BUF_MIDDLE);
	asm volatile("rep; outsb %%fs:(%%rsi), %%dx" : "+S"(p), "+c"(count)
		     : "d"(PORT) : "memory");
	G_EQ(p, 0x44);
	p = BUF_MIDDLE | 0xabcd00000000ull;
	count = 4 | 0x700000000ull;
	asm volatile("rep; outsb (%%esi), %%dx" : "+S"(p), "+c"(count)
		     : "d"(PORT) : "memory");
	G_EQ(p, BUF_MIDDLE + 4);		/* the upper half is cleared */
	G_EQ(count, 0);
}

TEST(outs_segment_and_address_size)
{
	struct vcpu *v = guest_start(g_outs_segment);
	u32 i;

	map_reversed(v->vm);
	fill(v->vm);
	reset_device(1);
	EQ(serve_until_other(v), STOP_DONE);
	EQ(dev.nout, 8);
	for (i = 0; i < 4; i++) {
		EQ(dev.out[i], pattern(BUF_MIDDLE + 0x40 + i));
		EQ(dev.out[i + 4], pattern(BUF_MIDDLE + i));
	}
	vm_free(v->vm);
}

/* 16-bit addresses wrap within their segment, in both directions. */
CODE(code_wrap_out, 16,
	"movw $0x510, %dx; movw $0x3000, %ax; movw %ax, %ds\n"
	"movw $0xfffc, %si; movl $0xabc00008, %ecx; rep outsb\n"
	"movw $4, %ax; cmpw %ax, %si; jne 1f\n"
	"cmpl $0xabc00000, %ecx; jne 1f\n"
	"std; movw $2, %si; movw $4, %cx; rep outsw\n"
	"movw $0xfffa, %ax; cmpw %ax, %si; jne 1f\n"
	"outb %al, $0xe0\n"
	"1: hlt\n");
CODE(code_wrap_in, 16,
	"movw $0x510, %dx; movw $0x3000, %ax; movw %ax, %es\n"
	"movw $0xfffc, %di; movl $0xabc00008, %ecx; rep insb\n"
	"cmpw $4, %di; jne 1f\n"
	"cmpl $0xabc00000, %ecx; jne 1f\n"
	"outb %al, $0xe0\n"
	"1: hlt\n");

static int serve_any_size(struct vcpu *v)
{
	int stop;

	for (;;) {
		stop = vcpu_go(v);
		if (stop != KVM_EXIT_IO || v->run->io.port != PORT)
			return stop;
		dev.size = v->run->io.size;
		serve(v);
	}
}

TEST(outs_wraps_in_real_mode)
{
	static const u16 want_down[] = { 2, 0, 0xfffe, 0xfffc };
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u32 i;

	code_load(vm, G_CODE, code_wrap_out, code_wrap_out_end);
	for (i = 0; i < 0x10000; i++)
		vm->ram[0x30000 + i] = pattern(i);
	vcpu_real(v, G_CODE);
	reset_device(1);
	EQ(serve_any_size(v), STOP_DONE);
	EQ(dev.nout, 16);
	for (i = 0; i < 8; i++)
		EQ(dev.out[i], pattern((u16)(0xfffc + i)));
	for (i = 0; i < 4; i++)
		EQ(dev.out[8 + 2 * i], pattern(want_down[i]));
	vm_free(vm);
}

TEST(ins_wraps_in_real_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	u32 i;

	code_load(vm, G_CODE, code_wrap_in, code_wrap_in_end);
	vcpu_real(v, G_CODE);
	reset_device(1);
	EQ(serve_any_size(v), STOP_DONE);
	for (i = 0; i < 8; i++)
		EQ(vm->ram[0x30000 + (u16)(0xfffc + i)], i + 1);
	EQ(vm->ram[0x40000], 0);		/* not past the segment */
	vm_free(vm);
}

/* A segment limit on the way is #GP, with the elements before it done. */
CODE(code_limit, 32,
	"movl $0x510, %edx; movl $0xff8, %esi; movl $4, %ecx; rep outsl\n");

TEST(outs_beyond_segment_limit)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct kvm_sregs s;
	struct kvm_regs r;
	struct trap32 t;

	code_load(vm, G_CODE, code_limit, code_limit_end);
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	get_sregs(v, &s);
	s.ds.base = G_FREE;
	s.ds.limit = 0xfff;
	s.ds.g = 0;
	set_sregs(v, &s);
	reset_device(4);
	EQ(serve_until_other(v), STOP_TRAP);
	trap_get(v, &t);
	EQ(t.vector, VEC_GP);
	EQ(t.error, 0);
	get_regs(v, &r);
	EQ(r.rsi, 0x1000);
	EQ(r.rcx, 2);
	EQ(dev.nout, 8);
	vm_free(vm);
}

/* String I/O between a port and MMIO: both are seen, element by element. */
static void g_outs_mmio(void)
{
	u64 p = G_MMIO, count = 4;

	asm volatile("rep; outsw" : "+S"(p), "+c"(count)
		     : "d"(PORT) : "memory");
	G_EQ(p, G_MMIO + 8);
	G_EQ(count, 0);
}

TEST(outs_from_mmio)
{
	struct vcpu *v = guest_start(g_outs_mmio);
	u32 reads = 0;
	int stop;

	reset_device(2);
	while ((stop = serve_until_other(v)) == KVM_EXIT_MMIO) {
		EQ(v->run->mmio.is_write, 0);
		EQ(v->run->mmio.len, 2);
		EQ(v->run->mmio.phys_addr, G_MMIO + reads * 2);
		v->run->mmio.data[0] = 0x10 + reads;
		v->run->mmio.data[1] = 0x20 + reads;
		reads++;
	}
	EQ(stop, STOP_DONE);
	EQ(reads, 4);
	EQ(dev.nout, 8);
	EQ(dev.out[0], 0x10);
	EQ(dev.out[7], 0x23);
	vm_free(v->vm);
}

static void g_ins_mmio(void)
{
	u64 q = G_MMIO, count = 4;

	asm volatile("rep; insw" : "+D"(q), "+c"(count)
		     : "d"(PORT) : "memory");
	G_EQ(q, G_MMIO + 8);
	G_EQ(count, 0);
}

/* In-tree gathers elements up to eight bytes into one write. */
TEST(ins_to_mmio)
{
	struct vcpu *v = guest_start(g_ins_mmio);
	struct kvm_run *run = v->run;
	u32 bytes = 0, i;
	int stop;

	reset_device(2);
	while ((stop = serve_until_other(v)) == KVM_EXIT_MMIO) {
		EQ(run->mmio.is_write, 1);
		CHECK(run->mmio.len == 2 || kvm_in_tree());
		EQ(run->mmio.phys_addr, G_MMIO + bytes);
		for (i = 0; i < run->mmio.len; i++)
			EQ(run->mmio.data[i], ++bytes);
	}
	EQ(stop, STOP_DONE);
	EQ(bytes, 8);
	vm_free(v->vm);
}

/* Privilege: IOPL and the permission bitmap of the TSS. SDM, "I/O Permission
 * Bit Map": below IOPL all ports are allowed, above it the bitmap decides. */
CODE(code_user_io, 32,
	"movl $0x80, %edx; inb %dx, %al; movl $0x88, %edx; inb %dx, %al");

static struct vcpu *user_io(u32 iopl)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct kvm_sregs s;
	struct kvm_regs r;

	code_load(vm, G_CODE, code_user_io, code_user_io_end);
	vcpu_prot32(v, G_CODE, PAGING_OFF);
	/* The bitmap follows the TSS: port 0x80 allowed, 0x88 not. */
	RAM(vm, G_TSS32 + 0x66, u16) = 0x68;
	memset(vm->ram + G_TSS32 + 0x68, 0xff, 0x20);
	RAM(vm, G_TSS32 + 0x68 + 0x10, u8) = 0xfe;
	get_sregs(v, &s);
	s.tr.limit = 0x68 + 0x20 - 1;
	s.cs.selector = SEL_UCODE32;
	s.ss.selector = SEL_UDATA;
	s.cs.dpl = s.ss.dpl = 3;
	set_sregs(v, &s);
	get_regs(v, &r);
	r.rflags |= iopl << 12;
	set_regs(v, &r);
	return v;
}

TEST(permission_bitmap)
{
	struct vcpu *v = user_io(0);

	vcpu_until(v, KVM_EXIT_IO);
	EQ(v->run->io.port, 0x80);
	EQ(expect_trap(v, VEC_GP).error, 0);
	vm_free(v->vm);
}

TEST(iopl)
{
	struct vcpu *v = user_io(3);

	vcpu_until(v, KVM_EXIT_IO);
	EQ(v->run->io.port, 0x80);
	vcpu_until(v, KVM_EXIT_IO);
	EQ(v->run->io.port, 0x88);
	vm_free(v->vm);
}
