// SPDX-License-Identifier: GPL-2.0-only
/*
 * x87, SSE, AVX and AVX-512 state, XCR0 and PKRU: they survive exits, other
 * vCPUs and what the host does with its own registers, and user space can
 * read and write them.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define XCR0_X87	BIT(0)
#define XCR0_SSE	BIT(1)
#define XCR0_AVX	BIT(2)
#define XCR0_BNDREGS	BIT(3)
#define XCR0_BNDCSR	BIT(4)
#define XCR0_AVX512	(BIT(5) | BIT(6) | BIT(7))
#define XCR0_PKRU	BIT(9)

#define ZMM_REGS	32

/* What of the vector registers the processor under test has. */
enum level { SSE, AVX, AVX512 };

static u64 supported_xcr0(void)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 0xd, 0);

	return e ? e->eax | (u64)e->edx << 32 : 0;
}

static enum level level(void)
{
	u64 xcr0 = supported_xcr0();

	if ((xcr0 & XCR0_AVX512) == XCR0_AVX512)
		return AVX512;
	return xcr0 & XCR0_AVX ? AVX : SSE;
}

/*
 * Loading and storing all vector registers, in guest and host. The buffer is
 * that of the widest: 32 registers of 64 bytes.
 */
struct vectors {
	u8 reg[ZMM_REGS][64];
	u64 mask[8];
};

static void load_sse(const struct vectors *b)
{
#define L(n) asm volatile("movups %0, %%xmm" #n : : "m"(b->reg[n]))
	L(0); L(1); L(2); L(3); L(4); L(5); L(6); L(7);
	L(8); L(9); L(10); L(11); L(12); L(13); L(14); L(15);
#undef L
}

static void store_sse(struct vectors *b)
{
#define S(n) asm volatile("movups %%xmm" #n ", %0" : "=m"(b->reg[n]))
	S(0); S(1); S(2); S(3); S(4); S(5); S(6); S(7);
	S(8); S(9); S(10); S(11); S(12); S(13); S(14); S(15);
#undef S
}

static void load_avx(const struct vectors *b)
{
#define L(n) asm volatile("vmovups %0, %%ymm" #n : : "m"(b->reg[n]))
	L(0); L(1); L(2); L(3); L(4); L(5); L(6); L(7);
	L(8); L(9); L(10); L(11); L(12); L(13); L(14); L(15);
#undef L
}

static void store_avx(struct vectors *b)
{
#define S(n) asm volatile("vmovups %%ymm" #n ", %0" : "=m"(b->reg[n]))
	S(0); S(1); S(2); S(3); S(4); S(5); S(6); S(7);
	S(8); S(9); S(10); S(11); S(12); S(13); S(14); S(15);
#undef S
}

static void load_avx512(const struct vectors *b)
{
#define L(n) asm volatile("vmovups %0, %%zmm" #n : : "m"(b->reg[n]))
#define K(n) asm volatile("kmovw %0, %%k" #n : : "m"(b->mask[n]))
	L(0); L(1); L(2); L(3); L(4); L(5); L(6); L(7);
	L(8); L(9); L(10); L(11); L(12); L(13); L(14); L(15);
	L(16); L(17); L(18); L(19); L(20); L(21); L(22); L(23);
	L(24); L(25); L(26); L(27); L(28); L(29); L(30); L(31);
	K(0); K(1); K(2); K(3); K(4); K(5); K(6); K(7);
#undef L
#undef K
}

static void store_avx512(struct vectors *b)
{
#define S(n) asm volatile("vmovups %%zmm" #n ", %0" : "=m"(b->reg[n]))
#define K(n) asm volatile("kmovw %%k" #n ", %0" : "=m"(b->mask[n]))
	S(0); S(1); S(2); S(3); S(4); S(5); S(6); S(7);
	S(8); S(9); S(10); S(11); S(12); S(13); S(14); S(15);
	S(16); S(17); S(18); S(19); S(20); S(21); S(22); S(23);
	S(24); S(25); S(26); S(27); S(28); S(29); S(30); S(31);
	K(0); K(1); K(2); K(3); K(4); K(5); K(6); K(7);
#undef S
#undef K
}

static void load_vectors(enum level l, const struct vectors *b)
{
	if (l == AVX512)
		load_avx512(b);
	else if (l == AVX)
		load_avx(b);
	else
		load_sse(b);
}

static void store_vectors(enum level l, struct vectors *b)
{
	if (l == AVX512)
		store_avx512(b);
	else if (l == AVX)
		store_avx(b);
	else
		store_sse(b);
}

static u8 byte_of(u32 salt, u32 reg, u32 i)
{
	return salt * 37 + reg * 11 + i * 3 + 1;
}

static u32 width(enum level l)
{
	return l == AVX512 ? 64 : l == AVX ? 32 : 16;
}

static void fill_vectors(struct vectors *b, enum level l, u32 salt)
{
	u32 r, i, regs = l == AVX512 ? 32 : 16;

	for (r = 0; r < regs; r++) {
		for (i = 0; i < width(l); i++)
			b->reg[r][i] = byte_of(salt, r, i);
	}
	for (i = 0; i < 8; i++)
		b->mask[i] = (salt * 1000 + i) & 0xffff;
}

/* The register's number if one differs, -1 if none does. */
static int wrong_vector(const struct vectors *b, enum level l, u32 salt)
{
	u32 r, i, regs = l == AVX512 ? 32 : 16;

	for (r = 0; r < regs; r++) {
		for (i = 0; i < width(l); i++) {
			if (b->reg[r][i] != byte_of(salt, r, i))
				return r;
		}
	}
	for (i = 0; i < 8 && l == AVX512; i++) {
		if (b->mask[i] != ((salt * 1000 + i) & 0xffff))
			return 100 + i;
	}
	return -1;
}

/* Guest: keep values in all registers across exits of many kinds. */

static volatile u32 guest_level, guest_ids;
static struct vectors guest_in[2], guest_out[2];

static void g_enable(void)
{
	u32 out[4];

	cpuid(1, 0, out);
	if (!(out[2] & BIT(26)))	/* no XSAVE: there is no more than SSE */
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, guest_level == AVX512 ? 7 | XCR0_AVX512 :
	       guest_level == AVX ? 7 : 3);
}

static void g_exits(u32 i)
{
	u32 out[4];

	cpuid(0, 0, out);
	outb(0x77, i);
	inb(0x77);
	rdmsr(0xfe);
	write64(G_MMIO, i);
	read64(G_MMIO + 8);
	*(volatile u8 *)(G_HIGH + i * 4096ull) = i;
}

static void g_keep_vectors(void)
{
	u32 id = guest_ids++, i;
	u16 cw = 0x27f;
	u32 mxcsr = 0x1f80 | 0x6000;
	double one = 1.0 + id, back;

	g_enable();
	asm volatile("fninit; fldcw %0; fldl %1; ldmxcsr %2"
		     : : "m"(cw), "m"(one), "m"(mxcsr));
	for (i = 0; i < 20; i++) {
		fill_vectors(&guest_in[id], guest_level, i * 2 + id);
		load_vectors(guest_level, &guest_in[id]);
		g_exits(i);
		store_vectors(guest_level, &guest_out[id]);
		G_EQ(wrong_vector(&guest_out[id], guest_level, i * 2 + id), -1);
		asm volatile("fnstcw %0; stmxcsr %1; fstl %2"
			     : "=m"(cw), "=m"(mxcsr), "=m"(back));
		G_EQ(cw, 0x27f);
		G_EQ(mxcsr & 0x6000, 0x6000);
		G_CHECK(back == one);
	}
}

/* The host's registers are trampled on between any two exits. */
static void trample(enum level l, u32 salt)
{
	static __thread struct vectors junk;

	fill_vectors(&junk, l, salt + 100);
	load_vectors(l, &junk);
	asm volatile("fninit; fldpi; fldl2e; fldz");
}

static int run_and_trample(struct vcpu *v, u32 salt)
{
	int stop;

	do {
		trample(level(), salt++);
		stop = vcpu_go(v);
	} while (stop == KVM_EXIT_IO || stop == KVM_EXIT_MMIO);
	return stop;
}

TEST(survive_exits)
{
	struct vcpu *v;

	guest_level = level();
	v = guest_start(g_keep_vectors);
	EQ(run_and_trample(v, 1), STOP_DONE);
	vm_free(v->vm);
}

/* Two vCPUs in turn on one thread. */
TEST(survive_other_vcpus)
{
	struct vm *vm = vm_new();
	struct vcpu *v[2];
	int stop[2] = { 0, 0 }, i;

	guest_level = level();
	G(vm, guest_level) = guest_level;
	for (i = 0; i < 2; i++) {
		v[i] = vcpu_new(vm, i);
		vcpu_long(v[i], g_keep_vectors);
	}
	while (stop[0] != STOP_DONE || stop[1] != STOP_DONE) {
		for (i = 0; i < 2; i++) {
			if (stop[i] == STOP_DONE)
				continue;
			stop[i] = vcpu_go(v[i]);
			CHECK(stop[i] == STOP_DONE || stop[i] == KVM_EXIT_IO ||
			      stop[i] == KVM_EXIT_MMIO);
		}
	}
	vm_free(vm);
}

/* Two vCPUs at once on two threads. */
static void *thread_run(void *arg)
{
	struct vcpu *v = arg;

	return (void *)(long)run_and_trample(v, v->id * 50);
}

TEST(survive_threads)
{
	struct vm *vm = vm_new();
	struct vcpu *v;
	pthread_t t[2];
	void *stop;
	int i;

	guest_level = level();
	G(vm, guest_level) = guest_level;
	for (i = 0; i < 2; i++) {
		v = vcpu_new(vm, i);
		vcpu_long(v, g_keep_vectors);
		EQ(pthread_create(&t[i], NULL, thread_run, v), 0);
	}
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], &stop);
		EQ((long)stop, STOP_DONE);
	}
	vm_free(vm);
}

/* The host's own registers are as they were after KVM_RUN. */
static void g_spoil(void)
{
	g_enable();
	fill_vectors(&guest_in[0], guest_level, 3);
	load_vectors(guest_level, &guest_in[0]);
	asm volatile("fninit; fldz; fldz");
	outb(0x77, 0);
}

TEST(host_registers_survive)
{
	static struct vectors before, after;
	enum level l = level();
	struct vcpu *v;
	long r, fd;

	guest_level = l;
	v = guest_start(g_spoil);
	fd = v->fd;
	fill_vectors(&before, l, 77);
	load_vectors(l, &before);
	/* By hand: a library call may use vector registers itself. */
	asm volatile("syscall" : "=a"(r)
		     : "a"(16l), "D"(fd), "S"((long)KVM_RUN), "d"(0l)
		     : "rcx", "r11", "memory");
	store_vectors(l, &after);
	EQ(r, 0);
	EQ(wrong_vector(&after, l, 77), -1);
	vm_free(v->vm);
}

/* KVM_GET_FPU and KVM_SET_FPU. In-tree leaves MXCSR out of both. */

static volatile u32 fpu_has_mxcsr;

static void g_fpu(void)
{
	u16 cw = 0x37b;
	u32 mxcsr = 0x3f80, i;

	asm volatile("fninit; fldcw %0; fldpi; fldz; ldmxcsr %1"
		     : : "m"(cw), "m"(mxcsr));
	for (i = 0; i < 16; i++)
		memset(guest_in[0].reg[i], i + 1, 16);
	load_sse(&guest_in[0]);
	guest_sync(0);
	store_sse(&guest_out[0]);
	asm volatile("fnstcw %0; stmxcsr %1" : "=m"(cw), "=m"(mxcsr));
	G_EQ(cw, 0x27f);
	if (fpu_has_mxcsr)
		G_EQ(mxcsr, 0x5f80);
	for (i = 0; i < 16; i++) {
		G_EQ(guest_out[0].reg[i][0], 0x80 + i);
		G_EQ(guest_out[0].reg[i][15], 0x80 + i);
	}
}

TEST(get_and_set_fpu)
{
	/* Pi as the x87 loads it, SDM, "FLDPI". */
	static const u8 pi[10] = { 0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f,
				   0xc9, 0x00, 0x40 };
	struct vcpu *v;
	struct kvm_fpu f;
	u32 i;

	fpu_has_mxcsr = !kvm_in_tree();
	v = guest_start(g_fpu);
	vcpu_until(v, STOP_SYNC);
	WORKS(ioctl(v->fd, KVM_GET_FPU, &f));
	EQ(f.fcw, 0x37b);
	if (fpu_has_mxcsr)
		EQ(f.mxcsr, 0x3f80);
	EQ(f.fsw >> 11 & 7, 6);			/* TOP: two values pushed */
	CHECK(!memcmp(f.fpr[1], pi, 10));
	for (i = 0; i < 16; i++) {
		EQ(f.xmm[i][0], i + 1);
		EQ(f.xmm[i][15], i + 1);
		memset(f.xmm[i], 0x80 + i, 16);
	}
	f.fcw = 0x27f;
	f.mxcsr = 0x5f80;
	WORKS(ioctl(v->fd, KVM_SET_FPU, &f));
	vcpu_done(v);
	vm_free(v->vm);
}

TEST(reset_state)
{
	struct vcpu *v = vcpu_bare(vm_bare(), 0);
	struct kvm_fpu f;

	/* KVM starts a vCPU as FNINIT would; the SDM's reset FCW is 0x40. */
	WORKS(ioctl(v->fd, KVM_GET_FPU, &f));
	CHECK(f.fcw == 0x37f || f.fcw == 0x40);
	EQ(f.fsw, 0);
	if (!kvm_in_tree())
		EQ(f.mxcsr, 0x1f80);
	vm_free(v->vm);
}

/* KVM_GET_XSAVE and KVM_SET_XSAVE: the standard format, SDM "XSAVE Area". */
#define XSAVE_MXCSR	24
#define XSAVE_XMM	160
#define XSAVE_BV	512
#define XSAVE_XCOMP	520

static void g_xsave(void)
{
	g_enable();
	fill_vectors(&guest_in[0], guest_level, 9);
	load_vectors(guest_level, &guest_in[0]);
	guest_sync(0);
	store_vectors(guest_level, &guest_out[0]);
	G_EQ(wrong_vector(&guest_out[0], guest_level, 10), -1);
}

static u32 component_offset(u32 i)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 0xd, i);

	CHECK(e && e->ebx);
	return e->ebx;
}

/* Where byte i of vector register r lies in the area. */
static u8 *xsave_byte(struct kvm_xsave *x, u32 r, u32 i)
{
	u8 *area = (u8 *)x->region;

	if (r >= 16)
		return area + component_offset(7) + (r - 16) * 64 + i;
	if (i < 16)
		return area + XSAVE_XMM + r * 16 + i;
	if (i < 32)
		return area + component_offset(2) + r * 16 + i - 16;
	return area + component_offset(6) + r * 32 + i - 32;
}

TEST(get_and_set_xsave)
{
	struct vcpu *v;
	struct kvm_xsave x;
	u64 *bv = (u64 *)((u8 *)x.region + XSAVE_BV);
	u32 r, i, n;
	u64 *masks = NULL;

	need_cap(KVM_CAP_XSAVE);
	guest_level = level();
	n = guest_level == AVX512 ? 32 : 16;
	v = guest_start(g_xsave);
	vcpu_until(v, STOP_SYNC);
	WORKS(ioctl(v->fd, KVM_GET_XSAVE, &x));
	EQ(*bv & XCR0_SSE, XCR0_SSE);
	if (guest_level == AVX512)
		masks = (u64 *)((u8 *)x.region + component_offset(5));
	for (r = 0; r < n; r++) {
		for (i = 0; i < width(guest_level); i++) {
			u8 *b = xsave_byte(&x, r, i);

			if (*b != byte_of(9, r, i))
				fail("register %u byte %u: 0x%x, expected 0x%x",
				     r, i, *b, byte_of(9, r, i));
			*b = byte_of(10, r, i);
		}
	}
	for (i = 0; masks && i < 8; i++) {
		EQ(masks[i], (9 * 1000 + i) & 0xffff);
		masks[i] = (10 * 1000 + i) & 0xffff;
	}
	WORKS(ioctl(v->fd, KVM_SET_XSAVE, &x));
	vcpu_done(v);
	vm_free(v->vm);
}

TEST(bad_xsave)
{
	struct vcpu *v = guest_start(guest_done);
	struct kvm_xsave good, bad, after;
	u8 *area = (u8 *)bad.region;

	need_cap(KVM_CAP_XSAVE);
	WORKS(ioctl(v->fd, KVM_GET_XSAVE, &good));
	bad = good;
	*(u64 *)(area + XSAVE_BV) |= BIT(62);
	FAILS(ioctl(v->fd, KVM_SET_XSAVE, &bad), EINVAL);
	bad = good;
	*(u64 *)(area + XSAVE_BV) |= XCR0_SSE;
	*(u32 *)(area + XSAVE_MXCSR) = 0x80000000;
	FAILS(ioctl(v->fd, KVM_SET_XSAVE, &bad), EINVAL);
	WORKS(ioctl(v->fd, KVM_GET_XSAVE, &after));
	EQ(memcmp(&good, &after, sizeof(good)), 0);
	vm_free(v->vm);
}

/* A component whose XSTATE_BV bit is clear goes to its initial value. */
static void g_init_component(void)
{
	u32 i;

	g_enable();
	fill_vectors(&guest_in[0], guest_level, 9);
	load_vectors(guest_level, &guest_in[0]);
	guest_sync(0);
	store_vectors(guest_level, &guest_out[0]);
	for (i = 0; i < 16; i++)
		G_EQ(*(u64 *)guest_out[0].reg[i], 0);
}

TEST(set_xsave_initial_component)
{
	struct vcpu *v;
	struct kvm_xsave x;

	need_cap(KVM_CAP_XSAVE);
	guest_level = level();
	v = guest_start(g_init_component);
	vcpu_until(v, STOP_SYNC);
	WORKS(ioctl(v->fd, KVM_GET_XSAVE, &x));
	*(u64 *)((u8 *)x.region + XSAVE_BV) &= ~XCR0_SSE;
	WORKS(ioctl(v->fd, KVM_SET_XSAVE, &x));
	vcpu_done(v);
	vm_free(v->vm);
}

/* XSETBV: SDM, "Extended Control Registers" and "XSETBV". */
static volatile u64 g_supported;

static u32 g_try_xsetbv(u32 index, u64 value)
{
	return TRY("xsetbv", NO_OUTS, "c"(index), "a"((u32)value),
		   "d"((u32)(value >> 32)));
}

static volatile u32 g_user_vector;

static void g_user_xsetbv(void)
{
	g_user_vector = g_try_xsetbv(0, 3);
}

static void g_xsetbv(void)
{
	u64 all = g_supported;

	G_EQ(g_try_xsetbv(0, 3), VEC_UD);		/* no OSXSAVE yet */
	write_cr4(read_cr4() | CR4_OSXSAVE);
	G_EQ(xgetbv(0), XCR0_X87);			/* after reset */
	G_EQ(g_try_xsetbv(0, 3), VEC_NONE);
	G_EQ(g_try_xsetbv(0, XCR0_X87), VEC_NONE);
	G_EQ(g_try_xsetbv(0, all), VEC_NONE);
	G_EQ(xgetbv(0), all);
	G_EQ(g_try_xsetbv(0, 0), VEC_GP);
	G_EQ(trap.error, 0);
	G_EQ(g_try_xsetbv(0, XCR0_SSE), VEC_GP);	/* x87 is not optional */
	G_EQ(g_try_xsetbv(0, XCR0_X87 | XCR0_AVX), VEC_GP);
	G_EQ(g_try_xsetbv(0, 3 | BIT(63)), VEC_GP);
	G_EQ(g_try_xsetbv(0, 3 | BIT(40)), VEC_GP);
	G_EQ(g_try_xsetbv(0, 3 | XCR0_AVX512), VEC_GP);	/* without AVX */
	G_EQ(g_try_xsetbv(0, 7 | BIT(5)), VEC_GP);	/* not all three */
	G_EQ(g_try_xsetbv(0, 3 | XCR0_BNDREGS), VEC_GP);
	G_EQ(g_try_xsetbv(1, 3), VEC_GP);
	G_EQ(xgetbv(0), all);
	guest_user(g_user_xsetbv);
	G_EQ(g_user_vector, VEC_GP);
	G_EQ(xgetbv(0), all);
}

TEST(xsetbv)
{
	if (!cpu_has(1, 2, 26))
		skip("the processor has no XSAVE");
	g_supported = supported_xcr0();
	guest_run(g_xsetbv);
}

/* AVX instructions are #UD until XCR0 allows them. */
static void g_avx_ud(void)
{
	G_EQ(TRY("vxorps %%ymm0, %%ymm0, %%ymm0", NO_OUTS, "m"(trap)), VEC_UD);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	G_EQ(TRY("vxorps %%ymm0, %%ymm0, %%ymm0", NO_OUTS, "m"(trap)), VEC_UD);
	xsetbv(0, 7);
	G_EQ(TRY("vxorps %%ymm0, %%ymm0, %%ymm0", NO_OUTS, "m"(trap)),
	     VEC_NONE);
	xsetbv(0, 3);
	G_EQ(TRY("vxorps %%ymm0, %%ymm0, %%ymm0", NO_OUTS, "m"(trap)), VEC_UD);
}

TEST(avx_follows_xcr0)
{
	if (level() == SSE)
		skip("the processor has no AVX");
	guest_run(g_avx_ud);
}

/* KVM_GET_XCRS and KVM_SET_XCRS */
static void g_xcrs(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, 3);
	guest_sync(0);
	G_EQ(xgetbv(0), g_supported);
}

TEST(get_and_set_xcrs)
{
	struct kvm_xcrs x, bad;
	struct vcpu *v;

	need_cap(KVM_CAP_XCRS);
	g_supported = supported_xcr0();
	v = guest_start(g_xcrs);
	vcpu_until(v, STOP_SYNC);
	WORKS(ioctl(v->fd, KVM_GET_XCRS, &x));
	EQ(x.nr_xcrs, 1);
	EQ(x.xcrs[0].xcr, 0);
	EQ(x.xcrs[0].value, 3);
	bad = x;
	bad.flags = 1;
	FAILS(ioctl(v->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad = x;
	bad.nr_xcrs = KVM_MAX_XCRS + 1;
	FAILS(ioctl(v->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad = x;
	bad.xcrs[0].value = 0;
	FAILS(ioctl(v->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad.xcrs[0].value = 3 | BIT(50);
	FAILS(ioctl(v->fd, KVM_SET_XCRS, &bad), EINVAL);
	WORKS(ioctl(v->fd, KVM_GET_XCRS, &bad));
	EQ(bad.xcrs[0].value, 3);
	x.xcrs[0].value = g_supported;
	WORKS(ioctl(v->fd, KVM_SET_XCRS, &x));
	vcpu_done(v);
	vm_free(v->vm);
}

/* XSAVE and XRSTOR by the guest itself, in every flavour it has. */
static u8 g_area[2][8192] __attribute__((aligned(64)));

#define SAVE_RESTORE(save)						\
	do {								\
		memset(g_area[0], 0, sizeof(g_area[0]));		\
		fill_vectors(&guest_in[0], guest_level, ++salt);	\
		load_vectors(guest_level, &guest_in[0]);		\
		asm volatile(save " (%0)" : : "r"(g_area[0]),		\
			     "a"(-1), "d"(-1) : "memory");		\
		cpuid(0, 0, out);					\
		fill_vectors(&guest_in[0], guest_level, 99);		\
		load_vectors(guest_level, &guest_in[0]);		\
		if (*(u64 *)(g_area[0] + XSAVE_XCOMP) && supervisor)	\
			asm volatile("xrstors (%0)" : : "r"(g_area[0]),	\
				     "a"(-1), "d"(-1) : "memory");	\
		else							\
			asm volatile("xrstor (%0)" : : "r"(g_area[0]),	\
				     "a"(-1), "d"(-1) : "memory");	\
		store_vectors(guest_level, &guest_out[0]);		\
		G_EQ(wrong_vector(&guest_out[0], guest_level, salt), -1); \
	} while (0)

static void g_save_restore(void)
{
	u32 out[4], salt = 4, features;
	bool supervisor = false;

	g_enable();
	cpuid(0xd, 1, out);
	features = out[0];
	SAVE_RESTORE("xsave");
	if (features & BIT(0))
		SAVE_RESTORE("xsaveopt");
	if (features & BIT(1))
		SAVE_RESTORE("xsavec");
	if (features & BIT(3)) {
		wrmsr(0xda0, 0);
		supervisor = true;
		SAVE_RESTORE("xsaves");
		G_EQ(try_wrmsr(0xda0, BIT(60)), VEC_GP);
	}
}

TEST(guest_xsave)
{
	if (!cpu_has(1, 2, 26))
		skip("the processor has no XSAVE");
	guest_level = level();
	guest_run(g_save_restore);
}

/* Protection keys: PKRU is the guest's, across exits. */
static u32 g_rdpkru(void)
{
	u32 value;

	asm volatile("rdpkru" : "=a"(value) : "c"(0) : "rdx");
	return value;
}

static void g_wrpkru(u32 value)
{
	asm volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory");
}

static void g_pkru(void)
{
	u32 i;

	write_cr4(read_cr4() | CR4_PKE);
	for (i = 0; i < 10; i++) {
		g_wrpkru(0x55555550 + i * 4);
		g_exits(i);
		G_EQ(g_rdpkru(), 0x55555550 + i * 4);
	}
	/* Key 1 forbids reading a user page, also to the emulator. */
	g_wrpkru(4);
	invlpg(0x30000000);
	G_EQ(TRY("movb (%%rax), %%al", NO_OUTS, "a"(0x30000000)), VEC_PF);
	G_EQ(trap.error, BIT(5) | 1);
	G_EQ(TRY("movb (%%rax), %%al", NO_OUTS, "a"(0x30001000)), VEC_PF);
	G_EQ(trap.error, BIT(5) | 1);
	g_wrpkru(0);
	G_EQ(TRY("movb (%%rax), %%al", NO_OUTS, "a"(0x30000000)), VEC_NONE);
}

TEST(pkru)
{
	struct vcpu *v;

	if (!cpu_has(7, 2, 3))
		skip("the processor has no protection keys");
	v = guest_start(g_pkru);
	map_page(v->vm, 0x30000000, G_FREE, PT_P | PT_W | PT_U | BIT(59));
	map_page(v->vm, 0x30001000, G_MMIO, PT_P | PT_W | PT_U | BIT(59));
	EQ(run_and_trample(v, 0), STOP_DONE);
	vm_free(v->vm);
}
