// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction emulator where the processor cannot be asked: faults,
 * restarts through user space, interrupted string instructions, privilege,
 * segments, far transfers and events.  What an instruction computes is
 * checked by emulate_fuzz.
 */
#include <string.h>

#include "harness.h"
#include "x86_emulate.h"

/* ---- A machine ------------------------------------------------------- */

#define CODE		0x1000u
#define DATA		0x2000u
#define STACK		0x8000u
#define INNER_STACK	0x7000u
#define GDT		0x10000u
#define IDT		0x11000u
#define TSS		0x12000u
#define TSS_B		0x13000u
#define MMIO		0x40000u	/* a page answered by user space */
#define HOLE		0x50000u	/* a page that is not there */
#define MEMORY		0x60000u
#define PF_WRITE	2u

static struct machine {
	struct x86_emulate_ctxt c;
	u8 mem[MEMORY];
	struct x86_segment seg[8];
	u64 dt_base[2];
	u16 dt_limit[2];
	u64 cr[9], efer, dr[8];
	bool plain, answered, lose_race;
	unsigned int mmio_reads, mmio_writes, reads, writes, pio_items;
	unsigned int needed, pio_calls;
	u8 vec[32][64];
	u64 sysenter_cs, sysenter_esp, sysenter_eip, star, lstar, fmask, aux;
	u32 cpuid_bits;			/* of each register of each leaf */
	u8 x87_image[108];		/* as the caller has it */
	u8 x87_opcode, x87_modrm;
	struct { u64 type, pcid, lin; } invpcid;
} m;

static bool overlaps(u64 lin, unsigned int bytes, u64 page)
{
	return lin < page + 0x1000 && lin + bytes > page;
}

static int reach(struct x86_emulate_ctxt *c, u64 lin, unsigned int bytes,
		 bool write)
{
	u64 cr2 = lin < HOLE ? HOLE : lin;

	if (lin + bytes > MEMORY)
		return x86_emul_pf(c, lin, write ? PF_WRITE : 0);
	if (overlaps(lin, bytes, HOLE))
		return x86_emul_pf(c, cr2, write ? PF_WRITE : 0);
	return X86EMUL_OK;
}

/* The first attempt needs user space, the next one has the answer. */
static int ask_user(struct x86_emulate_ctxt *c)
{
	if (m.answered) {
		c->stop = true;
		return X86EMUL_OK;
	}
	m.needed++;
	return X86EMUL_IO_NEEDED;
}

static int t_read(struct x86_emulate_ctxt *c, u64 lin, void *buf,
		  unsigned int bytes, unsigned int access)
{
	int rc = reach(c, lin, bytes, access & X86_ACC_WRITE);

	if (rc)
		return rc;
	m.reads++;
	if (overlaps(lin, bytes, MMIO)) {
		m.mmio_reads++;
		rc = ask_user(c);
		if (rc)
			return rc;
	}
	memcpy(buf, m.mem + lin, bytes);
	return X86EMUL_OK;
}

static int t_write(struct x86_emulate_ctxt *c, u64 lin, const void *buf,
		   unsigned int bytes, unsigned int access)
{
	int rc = reach(c, lin, bytes, true);

	(void)access;
	if (rc)
		return rc;
	m.writes++;
	if (overlaps(lin, bytes, MMIO)) {
		m.mmio_writes++;
		c->stop = true;
	}
	memcpy(m.mem + lin, buf, bytes);
	return X86EMUL_OK;
}

static int t_fetch(struct x86_emulate_ctxt *c, u64 lin, void *buf,
		   unsigned int bytes)
{
	int rc = reach(c, lin, bytes, false);

	if (!rc)
		memcpy(buf, m.mem + lin, bytes);
	return rc;
}

static int t_cmpxchg(struct x86_emulate_ctxt *c, u64 lin, void *old,
		     const void *new, unsigned int bytes)
{
	int rc = reach(c, lin, bytes, true);

	if (rc)
		return rc;
	if (m.lose_race)
		m.mem[lin] ^= 0xff;
	if (memcmp(m.mem + lin, old, bytes))
		memcpy(old, m.mem + lin, bytes);
	else
		memcpy(m.mem + lin, new, bytes);
	return X86EMUL_OK;
}

static int t_probe(struct x86_emulate_ctxt *c, u64 lin, unsigned int bytes,
		   unsigned int access)
{
	(void)access;
	return reach(c, lin, bytes, true);
}

static bool t_plain(struct x86_emulate_ctxt *c, u64 lin, unsigned int bytes,
		    unsigned int access)
{
	(void)c;
	(void)access;
	return m.plain && lin + bytes <= MEMORY &&
	       !overlaps(lin, bytes, MMIO) && !overlaps(lin, bytes, HOLE);
}

static u64 t_base(struct x86_emulate_ctxt *c, enum x86_seg seg)
{
	(void)c;
	return m.seg[seg].base;
}

static void t_get_segment(struct x86_emulate_ctxt *c, enum x86_seg seg,
			  struct x86_segment *s)
{
	(void)c;
	*s = m.seg[seg];
}

static int t_set_segment(struct x86_emulate_ctxt *c, enum x86_seg seg,
			 const struct x86_segment *s)
{
	(void)c;
	m.seg[seg] = *s;
	return X86EMUL_OK;
}

static void t_get_dt(struct x86_emulate_ctxt *c, enum x86_dt dt, u64 *base,
		     u16 *limit)
{
	(void)c;
	*base = m.dt_base[dt];
	*limit = m.dt_limit[dt];
}

static int t_set_dt(struct x86_emulate_ctxt *c, enum x86_dt dt, u64 base,
		    u16 limit)
{
	(void)c;
	m.dt_base[dt] = base;
	m.dt_limit[dt] = limit;
	return X86EMUL_OK;
}

static u64 t_get_cr(struct x86_emulate_ctxt *c, unsigned int cr)
{
	(void)c;
	return m.cr[cr];
}

static int t_set_cr(struct x86_emulate_ctxt *c, unsigned int cr, u64 val)
{
	(void)c;
	m.cr[cr] = val;
	return X86EMUL_OK;
}

static u64 t_get_dr(struct x86_emulate_ctxt *c, unsigned int dr)
{
	(void)c;
	return m.dr[dr];
}

static int t_set_dr(struct x86_emulate_ctxt *c, unsigned int dr, u64 val)
{
	(void)c;
	m.dr[dr] = val;
	return X86EMUL_OK;
}

static u64 t_get_xcr(struct x86_emulate_ctxt *c, u32 xcr)
{
	(void)c;
	(void)xcr;
	return 0xe7;
}

static u64 t_get_efer(struct x86_emulate_ctxt *c)
{
	(void)c;
	return m.efer;
}

static int t_pio_in(struct x86_emulate_ctxt *c, u16 port, unsigned int size,
		    void *buf, unsigned int count)
{
	int rc = ask_user(c);

	m.pio_calls++;
	m.pio_items = count;
	if (!rc)
		memset(buf, port & 0xff, size * count);
	return rc;
}

static int t_pio_out(struct x86_emulate_ctxt *c, u16 port, unsigned int size,
		     const void *buf, unsigned int count)
{
	(void)port;
	(void)size;
	(void)buf;
	m.pio_calls++;
	m.pio_items = count;
	c->stop = true;
	return X86EMUL_OK;
}

static void t_get_vec(struct x86_emulate_ctxt *c, unsigned int index,
		      void *buf, unsigned int bytes)
{
	(void)c;
	memcpy(buf, m.vec[index], bytes);
}

static void t_set_vec(struct x86_emulate_ctxt *c, unsigned int index,
		      const void *buf, unsigned int bytes, bool zero_upper)
{
	(void)c;
	memcpy(m.vec[index], buf, bytes);
	if (zero_upper)
		memset(m.vec[index] + bytes, 0, 64 - bytes);
}

static u64 *msr_of(u32 msr)
{
	switch (msr) {
	case 0x174: return &m.sysenter_cs;
	case 0x175: return &m.sysenter_esp;
	case 0x176: return &m.sysenter_eip;
	case 0xc0000081: return &m.star;
	case 0xc0000082: return &m.lstar;
	case 0xc0000084: return &m.fmask;
	case 0xc0000103: return &m.aux;
	default: return NULL;
	}
}

static int t_get_msr(struct x86_emulate_ctxt *c, u32 msr, u64 *val)
{
	if (!msr_of(msr))
		return x86_emul_fault(c, X86_EXC_GP, true, 0);
	*val = *msr_of(msr);
	return X86EMUL_OK;
}

static int t_cpuid(struct x86_emulate_ctxt *c, u32 regs[4])
{
	(void)c;
	regs[0] = regs[1] = regs[2] = regs[3] = m.cpuid_bits;
	return X86EMUL_OK;
}

static int t_x87(struct x86_emulate_ctxt *c, u8 opcode, u8 modrm, void *data,
		 u8 *flags)
{
	bool load = (modrm >> 3 & 7) == 4;
	unsigned int bytes = opcode == 0xdd ? 108 : 28;

	(void)c;
	(void)flags;
	m.x87_opcode = opcode;
	m.x87_modrm = modrm;
	if (data)
		memcpy(load ? m.x87_image : data, load ? data : m.x87_image,
		       bytes);
	return X86EMUL_OK;
}

static bool t_random(struct x86_emulate_ctxt *c, bool seed, u64 *val)
{
	(void)c;
	*val = 0x1122334455667788;
	return !seed;
}

static int t_invpcid(struct x86_emulate_ctxt *c, unsigned int type, u16 pcid,
		     u64 lin)
{
	(void)c;
	m.invpcid.type = type;
	m.invpcid.pcid = pcid;
	m.invpcid.lin = lin;
	return X86EMUL_OK;
}

static int t_hlt(struct x86_emulate_ctxt *c)
{
	(void)c;
	return X86EMUL_OK;
}

static const struct x86_emulate_ops test_ops = {
	.read = t_read, .write = t_write, .fetch = t_fetch,
	.cmpxchg = t_cmpxchg, .probe_write = t_probe, .plain = t_plain,
	.segment_base = t_base, .get_segment = t_get_segment,
	.set_segment = t_set_segment, .get_dt = t_get_dt, .set_dt = t_set_dt,
	.get_cr = t_get_cr, .set_cr = t_set_cr, .get_dr = t_get_dr,
	.set_dr = t_set_dr, .get_xcr = t_get_xcr, .get_efer = t_get_efer,
	.pio_in = t_pio_in, .pio_out = t_pio_out,
	.get_vec = t_get_vec, .set_vec = t_set_vec, .hlt = t_hlt,
	.get_msr = t_get_msr, .cpuid = t_cpuid, .x87 = t_x87,
	.random = t_random, .invpcid = t_invpcid,
};

/* ---- Setting the machine up ------------------------------------------ */

enum {
	SEL_CODE0 = 0x08, SEL_DATA0 = 0x10, SEL_CODE3 = 0x1b,
	SEL_DATA3 = 0x23, SEL_CODE64 = 0x28, SEL_ABSENT = 0x30,
	SEL_RO = 0x38, SEL_GATE = 0x43, SEL_TSS = 0x48, SEL_CODE16 = 0x50,
	SEL_CONFORM = 0x58, SEL_LDT = 0x60, SEL_TSS_B = 0x68,
	SEL_TASK = 0x70, GDT_END = 0x78,
};

static void put64(u64 at, u64 val)
{
	memcpy(m.mem + at, &val, 8);
}

static u64 get(u64 at, unsigned int bytes)
{
	u64 v = 0;

	memcpy(&v, m.mem + at, bytes);
	return v;
}

static void put_gdt(void)
{
	put64(GDT + SEL_CODE0, 0x00cf9b000000ffff);
	put64(GDT + SEL_DATA0, 0x00cf93000000ffff);
	put64(GDT + (SEL_CODE3 & ~3), 0x00cffb000000ffff);
	put64(GDT + (SEL_DATA3 & ~3), 0x00cff3000000ffff);
	put64(GDT + SEL_CODE64, 0x00af9b000000ffff);
	put64(GDT + SEL_ABSENT, 0x00cf13000000ffff);
	put64(GDT + SEL_RO, 0x00cf91000000ffff);
	/* call gate, DPL 3, to CODE0:5000, one parameter */
	put64(GDT + (SEL_GATE & ~3), 0x0000ec0100085000);
	put64(GDT + SEL_TSS, 0x00008b0120000067);
	put64(GDT + SEL_TSS_B, 0x0000890130000067);
	put64(GDT + SEL_TASK, 0x0000e50000680000);
	put64(GDT + SEL_CODE16, 0x00009b000000ffff);
	put64(GDT + SEL_CONFORM, 0x00cf9f000000ffff);
	put64(GDT + SEL_LDT, 0x0000820100000000);
	m.dt_base[X86_DT_GDT] = GDT;
	m.dt_limit[X86_DT_GDT] = GDT_END - 1;
	m.dt_base[X86_DT_IDT] = IDT;
	m.dt_limit[X86_DT_IDT] = 0xfff;
	m.seg[X86_SEG_TR] = (struct x86_segment){ TSS, 0x67, 0x8b, SEL_TSS };
	m.seg[X86_SEG_LDTR].attr = X86_SEG_ATTR_UNUSABLE;
	put64(TSS + 4, (u64)SEL_DATA0 << 32 | INNER_STACK);
	put64(TSS + 102, 0xffff);		/* no I/O permission map */
}

/* Flat segments in protected mode, base 0 and 64K in real mode. */
static void set_mode(enum x86_emul_mode mode, u8 cpl)
{
	static const u16 code_attr[] = {
		0x9b, 0xfb, 0x9b, 0xc09b, 0xa09b,
	};
	unsigned int n;

	memset(&m, 0, sizeof(m));
	m.c.ops = &test_ops;
	m.c.mode = mode;
	m.c.cpl = mode == X86_MODE_VM86 ? 3 : cpl;
	m.c.rflags = 2;
	if (mode == X86_MODE_VM86)
		m.c.rflags |= 1u << 17;
	m.c.rip = CODE;
	m.c.regs[X86_RSP] = STACK;
	for (n = 0; n < 6; n++) {
		m.seg[n].limit = mode < X86_MODE_PROT16 ? 0xffff : 0xffffffff;
		m.seg[n].attr = (mode >= X86_MODE_PROT32 ? 0xc093 : 0x93) |
				m.c.cpl << 5;
		m.seg[n].selector = mode < X86_MODE_PROT16 ? 0 :
				    cpl ? SEL_DATA3 : SEL_DATA0;
	}
	m.seg[X86_SEG_CS].attr = code_attr[mode] | m.c.cpl << 5;
	if (mode >= X86_MODE_PROT16)
		m.seg[X86_SEG_CS].selector = cpl ? SEL_CODE3 : SEL_CODE0;
	m.cr[0] = mode == X86_MODE_REAL ? 0x10 : 0x80000011;
	m.cr[4] = 1 << 9 | 1 << 18;
	m.efer = mode == X86_MODE_PROT64 ? 0x500 : 0;
	put_gdt();
}

/* Fetches and runs the instruction as if the guest had come to it. */
static int run(const char *bytes, unsigned int n)
{
	int rc;

	memcpy(m.mem + m.seg[X86_SEG_CS].base + m.c.rip, bytes, n);
	m.c.insn.fetched = 0;
	rc = x86_decode_insn(&m.c);
	return rc ? rc : x86_emulate_insn(&m.c);
}

#define RUN(str) run(str, sizeof(str) - 1)

/* ---- Faults and legality --------------------------------------------- */

struct bytes_row {
	enum x86_emul_mode mode;
	u8 cpl;
	const char *bytes;
	unsigned int n;
	int rc;
	int vector;
};

#define B(str)	str, sizeof(str) - 1
#define P16	X86_MODE_PROT16
#define P32	X86_MODE_PROT32
#define P64	X86_MODE_PROT64
#define REAL	X86_MODE_REAL
#define V86	X86_MODE_VM86
#define OK	X86EMUL_OK, 0
#define FAULT(v) X86EMUL_FAULT, X86_EXC_##v
#define UNKNOWN	X86EMUL_UNHANDLEABLE, 0

static void check_row(const struct bytes_row *r, unsigned int i)
{
	int rc = run(r->bytes, r->n);

	row(rc == r->rc && (rc != X86EMUL_FAULT ||
			    m.c.exception.vector == r->vector),
	    "row %u: result %d vector %u, expected %d vector %d", i, rc,
	    rc == X86EMUL_FAULT ? m.c.exception.vector : 0, r->rc, r->vector);
}

TEST(legality)
{
	static const struct bytes_row rows[] = {
		/* LOCK: only on a writable memory destination */
		{ P64, 0, B("\xf0\x01\x03"), OK },
		{ P64, 0, B("\xf0\x01\xc3"), FAULT(UD) },
		{ P64, 0, B("\xf0\x03\x03"), FAULT(UD) },
		{ P64, 0, B("\xf0\x39\x03"), FAULT(UD) },
		{ P64, 0, B("\xf0\x89\x03"), FAULT(UD) },
		{ P64, 0, B("\xf0\x87\x03"), OK },
		{ P64, 0, B("\xf0\x90"), FAULT(UD) },
		{ P64, 0, B("\xf0\x0f\xba\x23\x01"), FAULT(UD) },
		{ P64, 0, B("\xf0\x0f\xba\x2b\x01"), OK },
		/* length */
		{ P64, 0, B("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66"
			    "\x66\x66\x90"), OK },
		{ P64, 0, B("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66"
			    "\x66\x66\x66\x90"), FAULT(GP) },
		/* legality by mode */
		{ P64, 0, B("\x06"), FAULT(UD) },
		{ P64, 0, B("\x27"), FAULT(UD) },
		{ P64, 0, B("\x82\xc0\x01"), FAULT(UD) },
		{ P32, 0, B("\x82\xc0\x01"), OK },
		{ P64, 0, B("\xd4\x0a"), FAULT(UD) },
		{ P32, 0, B("\xd4\x00"), FAULT(DE) },
		{ REAL, 0, B("\x0f\x00\xc0"), FAULT(UD) },
		{ P32, 0, B("\x0f\x00\xc0"), OK },
		{ REAL, 0, B("\x63\xc0"), FAULT(UD) },
		{ P64, 0, B("\x0f\x0b"), FAULT(UD) },
		{ P64, 0, B("\x8d\xc0"), FAULT(UD) },
		{ P64, 0, B("\x8c\xf0"), FAULT(UD) },
		{ P64, 0, B("\x8e\xc8"), FAULT(UD) },
		{ P64, 0, B("\x0f\x20\xc8"), FAULT(UD) },
		{ P32, 0, B("\xc4\xc0"), UNKNOWN },
		{ P64, 0, B("\x66\xc5\xf8\x10\x03"), FAULT(UD) },
		{ P64, 0, B("\xc5\xf8\x10\x03"), OK },
		{ REAL, 0, B("\xc5\xf8\x10\x07"), FAULT(UD) },
		{ P64, 0, B("\xc5\xf0\x10\x03"), FAULT(UD) },
		{ P64, 0, B("\x0f\x37"), UNKNOWN },
		{ P64, 0, B("\x0f\x58\x03"), UNKNOWN },
		{ P64, 0, B("\xd9\x0b"), FAULT(UD) },
		{ P64, 0, B("\xd9\xe2"), FAULT(UD) },
		/* privilege */
		{ P32, 3, B("\xf4"), FAULT(GP) },
		{ P32, 0, B("\xf4"), OK },
		{ P32, 3, B("\xfa"), FAULT(GP) },
		{ V86, 3, B("\xfa"), FAULT(GP) },
		{ V86, 3, B("\x9c"), FAULT(GP) },
		{ V86, 3, B("\xcd\x10"), FAULT(GP) },
		{ V86, 3, B("\xcf"), FAULT(GP) },
		{ P32, 3, B("\x0f\x20\xc0"), FAULT(GP) },
		{ P32, 3, B("\x0f\x06"), FAULT(GP) },
		{ P32, 3, B("\xec"), FAULT(GP) },
		{ P32, 3, B("\x6c"), FAULT(GP) },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		set_mode(rows[i].mode, rows[i].cpl);
		m.c.regs[X86_RBX] = DATA;
		m.answered = true;
		check_row(&rows[i], i);
	}
}

/* Each accesses [rbx]; with rbx in the hole nothing may change. */
TEST(fault_changes_nothing)
{
	static const struct { const char *bytes; unsigned int n; } rows[] = {
		{ B("\x01\x03") }, { B("\x03\x03") }, { B("\xf0\x11\x03") },
		{ B("\x87\x03") }, { B("\x0f\xc1\x03") },
		{ B("\x0f\xb1\x0b") }, { B("\x0f\xc7\x0b") },
		{ B("\xff\x33") }, { B("\x8f\x03") }, { B("\xff\x13") },
		{ B("\xff\x23") }, { B("\xf7\x23") }, { B("\xf7\x33") },
		{ B("\xd3\x03") }, { B("\x0f\xa5\x03") },
		{ B("\x0f\xab\x0b") }, { B("\x0f\xbc\x03") },
		{ B("\x0f\x38\xf0\x03") }, { B("\x0f\x38\xf1\x03") },
		{ B("\xc7\x03\x01\x02\x03\x04") }, { B("\x88\x23") },
		{ B("\x0f\x10\x03") }, { B("\x0f\x11\x03") },
		{ B("\xc4\xe2\x63\xf6\x03") }, { B("\x0f\x90\x03") },
		{ B("\xff\x1b") }, { B("\xff\x2b") }, { B("\x0f\xb2\x03") },
	};
	struct x86_emulate_ctxt before;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int rc;

		set_mode(P32, 0);
		m.c.regs[X86_RBX] = HOLE + 8;
		m.c.regs[X86_RCX] = 5;
		m.c.rflags = 0x8d7;
		before = m.c;
		rc = run(rows[i].bytes, rows[i].n);
		row(rc == X86EMUL_FAULT &&
		    m.c.exception.vector == X86_EXC_PF &&
		    (m.c.exception.cr2 & ~0xfffull) == HOLE &&
		    !memcmp(before.regs, m.c.regs, sizeof(before.regs)) &&
		    m.c.rip == before.rip && m.c.rflags == before.rflags &&
		    !m.writes && !m.c.regs_dirty,
		    "row %u: result %d vector %u writes %u", i, rc,
		    m.c.exception.vector, m.writes);
	}
}

/* ---- User space in the middle of an instruction ---------------------- */

TEST(read_needs_user_space)
{
	set_mode(P64, 0);
	m.c.regs[X86_RBX] = MMIO;
	put64(MMIO, 0x1122334455667788);
	EQ(RUN("\x48\x8b\x03"), X86EMUL_IO_NEEDED);
	EQ(m.c.rip, CODE);
	EQ(m.c.regs[X86_RAX], 0);
	m.answered = true;
	EQ(x86_emulate_insn(&m.c), X86EMUL_OK);
	EQ(m.c.regs[X86_RAX], 0x1122334455667788);
	EQ(m.c.rip, CODE + 3);
	EQ(m.c.regs_dirty, 1 << X86_RAX);
	EQ(m.mmio_reads, 2);
}

TEST(update_needs_user_space)
{
	set_mode(P64, 0);
	m.c.regs[X86_RBX] = MMIO;
	m.c.regs[X86_RAX] = 3;
	put64(MMIO, 5);
	EQ(RUN("\x48\x01\x03"), X86EMUL_IO_NEEDED);
	EQ(m.mmio_writes, 0);
	EQ(m.c.rflags, 2);
	m.answered = true;
	EQ(x86_emulate_insn(&m.c), X86EMUL_OK);
	EQ(get(MMIO, 8), 8);
	EQ(m.mmio_writes, 1);
}

TEST(port_input_needs_user_space)
{
	set_mode(P32, 0);
	m.c.regs[X86_RAX] = 0xffffffff;
	EQ(RUN("\xe4\x61"), X86EMUL_IO_NEEDED);
	EQ(m.c.rip, CODE);
	m.answered = true;
	EQ(x86_emulate_insn(&m.c), X86EMUL_OK);
	EQ(m.c.regs[X86_RAX], 0xffffff61);
}

TEST(wide_moves_are_one_write)
{
	unsigned int i;

	set_mode(P64, 0);
	m.c.regs[X86_RBX] = MMIO;
	for (i = 0; i < 64; i++)
		m.vec[1][i] = i;
	EQ(RUN("\xc5\xfc\x11\x0b"), X86EMUL_OK);
	EQ(m.mmio_writes, 1);
	CHECK(!memcmp(m.mem + MMIO, m.vec[1], 32));
	EQ(RUN("\x62\xf1\x7c\x48\x11\x4b\x01"), X86EMUL_OK);
	EQ(m.mmio_writes, 2);
	CHECK(!memcmp(m.mem + MMIO + 64, m.vec[1], 64));
}

TEST(vector_state_must_be_enabled)
{
	set_mode(P64, 0);
	m.c.regs[X86_RBX] = DATA;
	m.cr[0] |= 8;
	EQ(RUN("\x0f\x10\x03"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_NM);
	m.cr[4] = 0;
	EQ(RUN("\x0f\x10\x03"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_UD);
	EQ(RUN("\xc5\xf8\x10\x03"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_UD);
	m.cr[0] = 0x80000011;
	m.cr[4] = 1 << 9;
	m.c.regs[X86_RBX] = DATA + 4;
	EQ(RUN("\x0f\x28\x03"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
}

TEST(lost_race_changes_nothing)
{
	set_mode(P64, 0);
	m.c.regs[X86_RBX] = DATA;
	m.c.regs[X86_RAX] = 1;
	m.lose_race = true;
	EQ(RUN("\xf0\x48\x0f\xc1\x03"), X86EMUL_RESTART);
	EQ(m.c.regs[X86_RAX], 1);
	EQ(m.c.rip, CODE);
	m.lose_race = false;
	EQ(x86_emulate_insn(&m.c), X86EMUL_OK);
	EQ(m.c.regs[X86_RAX], 0xff);
	EQ(get(DATA, 8), 0x100);
}

/* ---- String instructions --------------------------------------------- */

static void set_string(u64 si, u64 di, u64 cx)
{
	m.c.regs[X86_RSI] = si;
	m.c.regs[X86_RDI] = di;
	m.c.regs[X86_RCX] = cx;
}

TEST(movs_to_mmio_goes_item_by_item)
{
	set_mode(P64, 0);
	m.plain = true;
	set_string(DATA, MMIO, 3);
	put64(DATA, 0x0102030405060708);
	EQ(RUN("\xf3\xa4"), X86EMUL_RESTART);
	EQ(m.c.regs[X86_RCX], 2);
	EQ(m.c.rip, CODE);
	CHECK(m.c.rflags & 1u << 16);
	EQ(x86_emulate_insn(&m.c), X86EMUL_RESTART);
	EQ(x86_emulate_insn(&m.c), X86EMUL_OK);
	EQ(m.c.regs[X86_RCX], 0);
	EQ(m.mmio_writes, 3);
	EQ(get(MMIO, 4), 0x060708);
	CHECK(!(m.c.rflags & 1u << 16));
}

TEST(movs_from_mmio)
{
	set_mode(P64, 0);
	set_string(MMIO, DATA, 2);
	put64(MMIO, 0x1122);
	EQ(RUN("\xf3\xa4"), X86EMUL_IO_NEEDED);
	EQ(m.c.regs[X86_RCX], 2);
	m.answered = true;
	EQ(x86_emulate_insn(&m.c), X86EMUL_RESTART);
	EQ(m.c.regs[X86_RCX], 1);
	m.answered = false;
	EQ(x86_emulate_insn(&m.c), X86EMUL_IO_NEEDED);
	EQ(m.c.regs[X86_RCX], 1);
	m.answered = true;
	EQ(x86_emulate_insn(&m.c), X86EMUL_OK);
	EQ(get(DATA, 2), 0x1122);
}

TEST(movs_faults_with_progress)
{
	unsigned int plain;

	for (plain = 0; plain < 2; plain++) {
		set_mode(P64, 0);
		m.plain = plain;
		set_string(DATA, HOLE - 24, 10);
		EQ(RUN("\xf3\x48\xa5"), X86EMUL_FAULT);
		EQ(m.c.exception.vector, X86_EXC_PF);
		EQ(m.c.exception.cr2, HOLE);
		EQ(m.c.regs[X86_RCX], 7);
		EQ(m.c.regs[X86_RSI], DATA + 24);
		EQ(m.c.regs[X86_RDI], HOLE);
		EQ(m.c.rip, CODE);
	}
}

/* Moving up by one byte fills memory with the first one. */
TEST(movs_overlapping)
{
	set_mode(P64, 0);
	m.plain = true;
	set_string(DATA, DATA + 1, 600);
	m.mem[DATA] = 0x5a;
	EQ(RUN("\xf3\xa4"), X86EMUL_OK);
	EQ(m.mem[DATA + 600], 0x5a);
	EQ(m.mem[DATA + 601], 0);
}

TEST(movs_batches_plain_memory)
{
	set_mode(P64, 0);
	m.plain = true;
	set_string(DATA, DATA + 0x800, 64);
	EQ(RUN("\xf3\x48\xa5"), X86EMUL_OK);
	CHECK(m.writes <= 2);
}

TEST(string_budget_and_trap_flag)
{
	set_mode(P64, 0);
	set_string(DATA, DATA + 0x1000, 100000);
	EQ(RUN("\xf3\xac"), X86EMUL_RESTART);
	CHECK(m.c.regs[X86_RCX] > 90000 && m.c.regs[X86_RCX] < 100000);
	CHECK(!m.c.trap);
	set_mode(P64, 0);
	m.plain = true;
	set_string(DATA, DATA + 0x800, 3);
	m.c.rflags |= 0x100;
	EQ(RUN("\xf3\xa4"), X86EMUL_RESTART);
	EQ(m.c.regs[X86_RCX], 2);
	CHECK(m.c.trap);
}

TEST(string_ends_on_zf)
{
	set_mode(P64, 0);
	set_string(DATA, DATA + 0x100, 8);
	m.mem[DATA + 0x102] = 1;
	EQ(RUN("\xf3\xa6"), X86EMUL_OK);
	EQ(m.c.regs[X86_RCX], 5);
	CHECK(!(m.c.rflags & 0x40));
	set_mode(P64, 0);
	set_string(0, DATA, 8);
	m.mem[DATA + 2] = 7;
	m.c.regs[X86_RAX] = 7;
	EQ(RUN("\xf2\xae"), X86EMUL_OK);
	EQ(m.c.regs[X86_RCX], 5);
	CHECK(m.c.rflags & 0x40);
}

TEST(string_count_zero)
{
	set_mode(P64, 0);
	set_string(HOLE, HOLE, 0);
	EQ(RUN("\xf3\xa4"), X86EMUL_OK);
	EQ(m.c.rip, CODE + 2);
	EQ(m.reads + m.writes, 0);
}

TEST(ins_asks_once_for_a_batch)
{
	set_mode(P64, 0);
	m.plain = true;
	m.c.regs[X86_RDX] = 0x1f0;
	set_string(0, DATA, 100);
	EQ(RUN("\xf3\x66\x6d"), X86EMUL_IO_NEEDED);
	EQ(m.pio_items, 100);
	EQ(m.c.regs[X86_RCX], 100);
	m.plain = false;	/* the answer keeps its size whatever happens */
	m.answered = true;
	EQ(x86_emulate_insn(&m.c), X86EMUL_OK);
	EQ(m.pio_items, 100);
	EQ(m.c.regs[X86_RCX], 0);
	EQ(m.c.regs[X86_RDI], DATA + 200);
	EQ(m.mem[DATA + 199], 0xf0);
}

TEST(ins_faults_before_the_device_is_read)
{
	set_mode(P64, 0);
	set_string(0, HOLE, 4);
	EQ(RUN("\xf3\x6c"), X86EMUL_FAULT);
	EQ(m.pio_calls, 0);
	EQ(m.c.regs[X86_RCX], 4);
}

TEST(outs_batches)
{
	set_mode(P64, 0);
	m.plain = true;
	set_string(DATA, 0, 300);
	EQ(RUN("\xf3\x6e"), X86EMUL_RESTART);
	EQ(m.pio_items, 256);
	EQ(m.c.regs[X86_RCX], 44);
	EQ(x86_emulate_insn(&m.c), X86EMUL_OK);
	EQ(m.pio_items, 44);
}

/* ---- Addressing and limits ------------------------------------------- */

TEST(addressing16)
{
	static const struct { char bytes[4]; u64 ea; } rows[] = {
		{ "\x8b\x00", 0x1000 + 0x10 }, { "\x8b\x01", 0x1000 + 0x20 },
		{ "\x8b\x02", 0x3000 + 0x10 }, { "\x8b\x03", 0x3000 + 0x20 },
		{ "\x8b\x04", 0x10 }, { "\x8b\x05", 0x20 },
		{ "\x8b\x06\x34\x12", 0x1234 }, { "\x8b\x07", 0x1000 },
		{ "\x8b\x46\xf0", 0x2ff0 }, { "\x8b\x87\x00\xf8", 0x800 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		set_mode(REAL, 0);
		m.c.rip = 0x6000;
		m.c.regs[X86_RBX] = 0x1000;
		m.c.regs[X86_RBP] = 0x3000;
		m.c.regs[X86_RSI] = 0x10;
		m.c.regs[X86_RDI] = 0x20;
		m.mem[rows[i].ea] = 0xa5;
		row(run(rows[i].bytes, 4) == X86EMUL_OK &&
		    m.c.regs[X86_RAX] == 0xa5,
		    "row %u: read %llx", i, m.c.regs[X86_RAX]);
	}
}

TEST(segment_limits)
{
	set_mode(REAL, 0);
	m.c.regs[X86_RBX] = 0xffff;
	EQ(RUN("\x8b\x07"), X86EMUL_FAULT);		/* word at FFFF */
	EQ(m.c.exception.vector, X86_EXC_GP);
	EQ(RUN("\x8a\x07"), X86EMUL_OK);
	m.c.rip = CODE;
	EQ(RUN("\x36\x8b\x07"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_SS);
	/* "Big real mode": 32-bit offsets as far as the limit goes */
	m.c.regs[X86_RBX] = 0x20000;
	EQ(RUN("\x67\x8b\x03"), X86EMUL_FAULT);
	m.seg[X86_SEG_DS].limit = 0xffffffff;
	EQ(RUN("\x67\x8b\x03"), X86EMUL_OK);
	/* Expand-down: what lies above the limit is good. */
	set_mode(P32, 0);
	m.seg[X86_SEG_DS].attr = 0xc097;
	m.seg[X86_SEG_DS].limit = 0xfff;
	m.c.regs[X86_RBX] = 0xffe;
	EQ(RUN("\x8b\x03"), X86EMUL_FAULT);
	m.c.regs[X86_RBX] = DATA;
	EQ(RUN("\x8b\x03"), X86EMUL_OK);
}

TEST(segment_types)
{
	set_mode(P32, 0);
	m.c.regs[X86_RBX] = DATA;
	EQ(RUN("\x2e\x8b\x03"), X86EMUL_OK);
	EQ(RUN("\x2e\x89\x03"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	m.seg[X86_SEG_ES].attr = X86_SEG_ATTR_UNUSABLE;
	EQ(RUN("\x26\x8b\x03"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	set_mode(P64, 0);
	m.c.regs[X86_RBX] = 0x800000000000;
	EQ(RUN("\x8b\x03"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	m.c.regs[X86_RSP] = 0x800000000000;
	EQ(RUN("\x58"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_SS);
}

/* Instruction bytes beyond the limit or the page are not asked for. */
TEST(fetch_stops_where_it_must)
{
	set_mode(P64, 0);
	m.c.rip = HOLE - 2;
	EQ(RUN("\x89\xc3"), X86EMUL_OK);
	m.c.rip = HOLE - 1;
	EQ(RUN("\x89"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_PF);
	EQ(m.c.exception.cr2, HOLE);
	set_mode(P32, 0);
	m.seg[X86_SEG_CS].limit = CODE;
	EQ(RUN("\x90"), X86EMUL_OK);
	m.c.rip = CODE;
	EQ(RUN("\x89\xc3"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
}

/* ---- Segments and far transfers -------------------------------------- */

TEST(segment_loads)
{
	static const struct {
		u8 modrm;	/* C0: ES, D0: SS; from AX */
		u16 sel;
		u8 cpl;
		int vector;	/* -1: none */
		u32 error;
	} rows[] = {
		{ 0xc0, SEL_DATA0, 0, -1, 0 }, { 0xc0, 0, 0, -1, 0 },
		{ 0xc0, SEL_RO, 0, -1, 0 }, { 0xc0, SEL_CODE0, 0, -1, 0 },
		{ 0xc0, SEL_DATA0, 3, X86_EXC_GP, SEL_DATA0 },
		{ 0xc0, SEL_DATA0 | 3, 0, X86_EXC_GP, SEL_DATA0 },
		{ 0xc0, SEL_ABSENT, 0, X86_EXC_NP, SEL_ABSENT },
		{ 0xc0, SEL_TSS, 0, X86_EXC_GP, SEL_TSS },
		{ 0xc0, GDT_END, 0, X86_EXC_GP, GDT_END },
		{ 0xc0, SEL_DATA0 | 4, 0, X86_EXC_GP, SEL_DATA0 | 4 },
		{ 0xd0, SEL_DATA0, 0, -1, 0 }, { 0xd0, 0, 0, X86_EXC_GP, 0 },
		{ 0xd0, SEL_RO, 0, X86_EXC_GP, SEL_RO },
		{ 0xd0, SEL_DATA3, 0, X86_EXC_GP, SEL_DATA3 & ~3 },
		{ 0xd0, SEL_DATA3, 3, -1, 0 },
		{ 0xd0, SEL_ABSENT, 0, X86_EXC_SS, SEL_ABSENT },
		{ 0xd0, SEL_CODE0, 0, X86_EXC_GP, SEL_CODE0 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		char insn[2] = { (char)0x8e, (char)rows[i].modrm };
		int rc, vector;

		set_mode(P32, rows[i].cpl);
		m.c.regs[X86_RAX] = rows[i].sel;
		rc = run(insn, 2);
		vector = rc ? m.c.exception.vector : -1;
		row(vector == rows[i].vector &&
		    (!rc || m.c.exception.error == rows[i].error),
		    "row %u: vector %d error %x", i, vector,
		    m.c.exception.error);
	}
}

TEST(accessed_bit_and_shadow)
{
	set_mode(P32, 0);
	m.mem[GDT + SEL_DATA0 + 5] &= ~1;
	m.c.regs[X86_RAX] = SEL_DATA0;
	EQ(RUN("\x8e\xd0"), X86EMUL_OK);
	EQ(m.mem[GDT + SEL_DATA0 + 5], 0x93);
	EQ(m.seg[X86_SEG_SS].attr, 0xc093);
	EQ(m.c.shadow, X86_SHADOW_MOV_SS);
	EQ(RUN("\xfb"), X86EMUL_OK);
	EQ(m.c.shadow, X86_SHADOW_STI);
	EQ(RUN("\xfb"), X86EMUL_OK);	/* IF was set: no shadow */
	EQ(m.c.shadow, 0);
}

TEST(real_mode_far)
{
	set_mode(REAL, 0);
	EQ(RUN("\x9a\x00\x02\x00\x10"), X86EMUL_OK);	/* call 1000:0200 */
	EQ(m.c.rip, 0x200);
	EQ(m.seg[X86_SEG_CS].base, 0x10000);
	EQ(m.c.regs[X86_RSP], STACK - 4);
	EQ(get(STACK - 4, 4), CODE + 5);
	EQ(RUN("\xca\x02\x00"), X86EMUL_OK);
	EQ(m.c.rip, CODE + 5);
	EQ(m.seg[X86_SEG_CS].base, 0);
	EQ(m.c.regs[X86_RSP], STACK + 2);
}

TEST(real_mode_interrupt)
{
	set_mode(REAL, 0);
	m.dt_base[X86_DT_IDT] = 0;
	m.dt_limit[X86_DT_IDT] = 0x3ff;
	put64(0x10 * 4, 0x10000300);		/* 1000:0300 */
	m.c.rflags = 0x302;
	EQ(RUN("\xcd\x10"), X86EMUL_OK);
	EQ(m.c.rip, 0x300);
	EQ(m.seg[X86_SEG_CS].selector, 0x1000);
	EQ(m.c.rflags, 2);
	EQ(get(STACK - 6, 6), 0x030200000000 + CODE + 2);
	EQ(RUN("\xcf"), X86EMUL_OK);
	EQ(m.c.rip, CODE + 2);
	EQ(m.c.rflags, 0x302);
	EQ(m.c.regs[X86_RSP], STACK);
	m.dt_limit[X86_DT_IDT] = 0x3f;
	EQ(RUN("\xcd\x10"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
}

/* Into protected mode, and on into 64-bit code. */
TEST(mode_transitions)
{
	set_mode(REAL, 0);
	m.c.regs[X86_RAX] = 0x11;
	EQ(RUN("\x0f\x22\xc0"), X86EMUL_OK);
	CHECK(m.c.mode_changed);
	EQ(m.cr[0], 0x11);
	m.c.mode = P16;
	EQ(RUN("\x66\xea\x00\x20\x00\x00\x08\x00"), X86EMUL_OK);
	EQ(m.c.rip, 0x2000);
	EQ(m.seg[X86_SEG_CS].attr, 0xc09b);
	EQ(m.seg[X86_SEG_CS].limit, 0xffffffff);
	CHECK(m.c.mode_changed);
	m.c.mode = P32;
	m.efer = 0x500;
	EQ(RUN("\xea\x00\x30\x00\x00\x28\x00"), X86EMUL_OK);
	EQ(m.seg[X86_SEG_CS].attr, 0xa09b);
	m.c.mode = P32;
	EQ(RUN("\xea\x00\x30\x00\x00\x30\x00"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
}

TEST(call_gate_and_back)
{
	set_mode(P32, 3);
	put64(STACK, 0x12345678);		/* the gate's parameter */
	EQ(RUN("\x9a\x00\x00\x00\x00\x43\x00"), X86EMUL_OK);
	EQ(m.c.rip, 0x5000);
	EQ(m.c.cpl, 0);
	EQ(m.seg[X86_SEG_CS].selector, SEL_CODE0);
	EQ(m.seg[X86_SEG_SS].selector, SEL_DATA0);
	EQ(m.c.regs[X86_RSP], INNER_STACK - 20);
	EQ(get(INNER_STACK - 4, 4), SEL_DATA3);
	EQ(get(INNER_STACK - 8, 4), STACK);
	EQ(get(INNER_STACK - 12, 4), 0x12345678);
	EQ(get(INNER_STACK - 16, 4), SEL_CODE3);
	EQ(get(INNER_STACK - 20, 4), CODE + 7);
	m.seg[X86_SEG_ES] = (struct x86_segment){ 0, 0, 0xc093, SEL_DATA0 };
	EQ(RUN("\xca\x04\x00"), X86EMUL_OK);
	EQ(m.c.rip, CODE + 7);
	EQ(m.c.cpl, 3);
	EQ(m.c.regs[X86_RSP], STACK + 4);
	EQ(m.seg[X86_SEG_SS].selector, SEL_DATA3);
	EQ(m.seg[X86_SEG_ES].selector, 0);
	CHECK(m.seg[X86_SEG_ES].attr & X86_SEG_ATTR_UNUSABLE);
}

/* A stack that cannot take the whole frame is not written to at all. */
TEST(gate_to_a_bad_stack)
{
	struct x86_segment ss;

	set_mode(P32, 3);
	put64(TSS + 4, (u64)SEL_DATA0 << 32 | (HOLE + 0x1008));
	ss = m.seg[X86_SEG_SS];
	EQ(RUN("\x9a\x00\x00\x00\x00\x43\x00"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_PF);
	EQ(m.c.cpl, 3);
	EQ(m.c.regs[X86_RSP], STACK);
	EQ(m.writes, 0);
	CHECK(!memcmp(&ss, &m.seg[X86_SEG_SS], sizeof(ss)));
	put64(TSS + 4, (u64)SEL_DATA3 << 32 | INNER_STACK);
	EQ(RUN("\x9a\x00\x00\x00\x00\x43\x00"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_TS);
	EQ(m.c.exception.error, SEL_DATA3 & ~3);
}

/* ---- Task switches --------------------------------------------------- */

enum {			/* offsets in a 32-bit TSS */
	T_LINK = 0, T_CR3 = 28, T_EIP = 32, T_FLAGS = 36, T_EAX = 40,
	T_ESP = 56, T_EDI = 68, T_ES = 72, T_CS = 76, T_SS = 80, T_DS = 84,
	T_LDT = 96, T_TRAP = 100,
};

static void put32(u64 at, u32 val)
{
	memcpy(m.mem + at, &val, 4);
}

/* Task B at rest, and A, at CPL 0, about to leave. */
static void two_tasks(void)
{
	set_mode(P32, 0);
	m.dr[7] = 0x7ff;
	m.c.regs[X86_RAX] = 0xaaaa0000;
	m.c.regs[X86_RDI] = 0xdddd0000;
	m.c.rflags = 2 | 1u << 8 | 1u << 9;		/* TF, IF */
	put32(TSS_B + T_CR3, 0x5000);
	put32(TSS_B + T_EIP, 0x4321);
	put32(TSS_B + T_FLAGS, 3);
	put32(TSS_B + T_EAX, 0xbbbb);
	put32(TSS_B + T_ESP, INNER_STACK);
	put32(TSS_B + T_CS, SEL_CODE0);
	put32(TSS_B + T_SS, SEL_DATA0);
	put32(TSS_B + T_DS, SEL_DATA3);
}

static bool busy(u16 sel)
{
	return m.mem[GDT + (sel & ~7) + 5] & 2;
}

static void in_task_b(void)
{
	EQ(m.c.rip, 0x4321);
	EQ(m.c.regs[X86_RAX], 0xbbbb);
	EQ(m.c.regs[X86_RSP], INNER_STACK);
	EQ(m.seg[X86_SEG_TR].selector, SEL_TSS_B);
	EQ(m.seg[X86_SEG_TR].attr & 15, 11);
	EQ(m.seg[X86_SEG_DS].selector, SEL_DATA3);
	CHECK(m.seg[X86_SEG_ES].attr & X86_SEG_ATTR_UNUSABLE);
	EQ(m.cr[3], 0x5000);
	CHECK(m.cr[0] & 8);
	EQ(m.dr[7], 0x7ff & ~0x155);
	CHECK(m.c.task_switched);
	CHECK(!m.c.trap);
	CHECK(busy(SEL_TSS_B));
	/* And A is saved, behind its instruction. */
	EQ(get(TSS + T_EAX, 4), 0xaaaa0000);
	EQ(get(TSS + T_EDI, 4), 0xdddd0000);
	EQ(get(TSS + T_EIP, 4), CODE + 7);
	EQ(get(TSS + T_FLAGS, 4), 0x302);
	EQ(get(TSS + T_CS, 2), SEL_CODE0);
	EQ(get(TSS + T_SS, 2), SEL_DATA0);
}

TEST(task_by_jmp)
{
	two_tasks();
	EQ(RUN("\xea\x00\x00\x00\x00\x68\x00"), X86EMUL_OK);
	in_task_b();
	EQ(m.c.rflags, 3);
	EQ(get(TSS_B + T_LINK, 2), 0);
	CHECK(!busy(SEL_TSS));
}

TEST(task_by_call_of_a_gate_and_iret)
{
	two_tasks();
	EQ(RUN("\x9a\x00\x00\x00\x00\x70\x00"), X86EMUL_OK);
	in_task_b();
	EQ(m.c.rflags, 3 | 1u << 14);			/* NT */
	EQ(get(TSS_B + T_LINK, 2), SEL_TSS);
	CHECK(busy(SEL_TSS));
	EQ(RUN("\xcf"), X86EMUL_OK);
	EQ(m.c.rip, CODE + 7);
	EQ(m.c.regs[X86_RAX], 0xaaaa0000);
	EQ(m.seg[X86_SEG_TR].selector, SEL_TSS);
	EQ(m.c.rflags, 0x302);
	EQ(get(TSS_B + T_FLAGS, 4), 3);			/* NT is not saved */
	CHECK(busy(SEL_TSS));
	CHECK(!busy(SEL_TSS_B));
}

TEST(task_by_exception)
{
	two_tasks();
	put64(IDT + 13 * 8, 0x0000850000680000);
	put32(TSS_B + T_TRAP, 1);
	EQ(x86_emulate_event(&m.c, X86_EXC_GP, X86_EVENT_EXCEPTION, true, 0x77),
	   X86EMUL_OK);
	EQ(m.c.regs[X86_RSP], INNER_STACK - 4);
	EQ(get(INNER_STACK - 4, 4), 0x77);
	EQ(get(TSS + T_EIP, 4), CODE);
	CHECK(m.c.task_trap);
}

/* A 16-bit TSS to a 32-bit one, and back. */
TEST(task_of_16_bits)
{
	const u16 b[] = {
		0x4321, 3, 0xbbbb, 1, 2, 3, 0x7000, 5, 6, 7,
		SEL_DATA0, SEL_CODE16, SEL_DATA0, SEL_DATA0, 0,
	};

	two_tasks();
	put64(GDT + SEL_TSS_B, 0x000081013000002b);
	memset(m.mem + TSS_B, 0, 0x68);
	memcpy(m.mem + TSS_B + 14, b, sizeof(b));
	EQ(RUN("\x9a\x00\x00\x00\x00\x68\x00"), X86EMUL_OK);
	EQ(m.c.rip, 0x4321);
	EQ(m.c.regs[X86_RAX], 0xbbbb);
	EQ(m.c.regs[X86_RDI], 7);
	EQ(m.cr[3], 0);
	EQ(m.seg[X86_SEG_CS].selector, SEL_CODE16);
	EQ(m.seg[X86_SEG_FS].selector, 0);
	EQ(m.seg[X86_SEG_TR].attr & 15, 3);
	m.c.mode = P16;
	m.c.regs[X86_RDI] = 0x9999;
	EQ(RUN("\xcf"), X86EMUL_OK);
	EQ(m.c.rip, CODE + 7);
	EQ(m.c.regs[X86_RDI], 0xdddd0000);
	EQ(get(TSS_B + 32, 2), 0x9999);
	EQ(get(TSS_B + 14, 2), 0x4322);
}

/* To virtual-8086 mode, by EFLAGS of the TSS. */
TEST(task_of_vm86)
{
	two_tasks();
	put32(TSS_B + T_FLAGS, 2 | 1u << 17);
	put32(TSS_B + T_CS, 0x1234);
	EQ(RUN("\xea\x00\x00\x00\x00\x68\x00"), X86EMUL_OK);
	EQ(m.c.cpl, 3);
	EQ(m.seg[X86_SEG_CS].base, 0x12340);
	EQ(m.seg[X86_SEG_CS].attr, 0xf3);
	EQ(m.seg[X86_SEG_SS].base, SEL_DATA0 << 4);
}

/* What is found before the switch changes nothing, ... */
struct task_row {
	u32 at, val;		/* what is spoilt, 32 bits of memory */
	u8 vector;
	u16 error;
};

TEST(task_refused)
{
	static const struct task_row rows[] = {
		{ GDT + SEL_TSS_B + 4, 0x8b01, X86_EXC_GP, SEL_TSS_B },
		{ GDT + SEL_TSS_B + 4, 0x8201, X86_EXC_GP, SEL_TSS_B },
		{ GDT + SEL_TSS_B + 4, 0x0901, X86_EXC_NP, SEL_TSS_B },
		{ GDT + SEL_TSS_B, 0x30000066, X86_EXC_TS, SEL_TSS_B },
		{ GDT + SEL_TSS_B, (HOLE & 0xffff) << 16 | 0x67, X86_EXC_PF,
		  0 },
	};
	static u8 before[MEMORY];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct task_row *r = &rows[i];
		int rc;

		two_tasks();
		if (r->vector == X86_EXC_PF)
			put32(GDT + SEL_TSS_B + 4, 0x8900 | HOLE >> 16);
		put32(r->at, r->val);
		memcpy(m.mem + CODE, "\xea\x00\x00\x00\x00\x68\x00", 7);
		memcpy(before, m.mem, MEMORY);
		rc = RUN("\xea\x00\x00\x00\x00\x68\x00");
		row(rc == X86EMUL_FAULT && m.c.exception.vector == r->vector &&
		    m.c.exception.error == r->error && m.c.rip == CODE &&
		    m.seg[X86_SEG_TR].selector == SEL_TSS &&
		    !memcmp(before, m.mem, MEMORY),
		    "row %u: result %d vector %u error 0x%x", i, rc,
		    m.c.exception.vector, m.c.exception.error);
	}
}

/* ... what is found behind it is the new task's. */
TEST(task_with_bad_segments)
{
	static const struct task_row rows[] = {
		{ TSS_B + T_LDT, SEL_DATA0, X86_EXC_TS, SEL_DATA0 },
		{ TSS_B + T_LDT, SEL_LDT | 4, X86_EXC_TS, SEL_LDT | 4 },
		{ TSS_B + T_CS, 0, X86_EXC_TS, 0 },
		{ TSS_B + T_CS, SEL_DATA0, X86_EXC_TS, SEL_DATA0 },
		{ TSS_B + T_CS, SEL_CODE0 | 3, X86_EXC_TS, SEL_CODE0 },
		{ TSS_B + T_SS, 0, X86_EXC_TS, 0 },
		{ TSS_B + T_SS, SEL_RO, X86_EXC_TS, SEL_RO },
		{ TSS_B + T_SS, SEL_ABSENT, X86_EXC_SS, SEL_ABSENT },
		{ TSS_B + T_SS, SEL_DATA3, X86_EXC_TS, SEL_DATA3 & ~3 },
		{ TSS_B + T_DS, SEL_ABSENT, X86_EXC_NP, SEL_ABSENT },
		{ TSS_B + T_ES, SEL_TSS, X86_EXC_TS, SEL_TSS },
		{ TSS_B + T_ES, 0x1000, X86_EXC_TS, 0x1000 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct task_row *r = &rows[i];
		int rc;

		two_tasks();
		put32(r->at, r->val);
		rc = RUN("\xea\x00\x00\x00\x00\x68\x00");
		row(rc == X86EMUL_FAULT && m.c.exception.vector == r->vector &&
		    m.c.exception.error == r->error && m.c.rip == 0x4321 &&
		    m.seg[X86_SEG_TR].selector == SEL_TSS_B,
		    "row %u: result %d vector %u error 0x%x rip 0x%llx", i, rc,
		    m.c.exception.vector, m.c.exception.error, m.c.rip);
	}
}

/* ---- Events ---------------------------------------------------------- */

TEST(interrupt_to_inner_level)
{
	set_mode(P32, 3);
	put64(IDT + 0x80 * 8, 0x0000ee0000084000);	/* CODE0:4000, DPL 3 */
	put64(IDT + 0x20 * 8, 0x00008e0000084000);	/* DPL 0 */
	m.c.rflags = 0x202;
	EQ(RUN("\xcd\x20"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	EQ(m.c.exception.error, 0x20 * 8 + 2);
	EQ(RUN("\xcd\x80"), X86EMUL_OK);
	EQ(m.c.rip, 0x4000);
	EQ(m.c.cpl, 0);
	EQ(m.c.rflags, 2);
	EQ(m.c.regs[X86_RSP], INNER_STACK - 20);
	EQ(get(INNER_STACK - 12, 4), 0x202);
	EQ(RUN("\xcf"), X86EMUL_OK);
	EQ(m.c.cpl, 3);
	EQ(m.c.rip, CODE + 2);
	EQ(m.c.rflags, 0x202);
	EQ(m.c.regs[X86_RSP], STACK);
}

TEST(exception_with_error_code)
{
	set_mode(P32, 0);
	put64(IDT + 14 * 8, 0x00008f0000084000);	/* trap gate */
	m.c.rflags = 0x10202;
	EQ(x86_emulate_event(&m.c, 14, X86_EVENT_EXCEPTION, true, 6),
	   X86EMUL_OK);
	EQ(m.c.regs[X86_RSP], STACK - 16);
	EQ(get(STACK - 16, 4), 6);
	EQ(get(STACK - 12, 4), CODE);
	EQ(get(STACK - 4, 4), 0x10202);
	EQ(m.c.rflags, 0x202);
	/* Faults of the delivery itself carry EXT. */
	m.mem[IDT + 14 * 8 + 5] = 0x0f;
	EQ(x86_emulate_event(&m.c, 14, X86_EVENT_EXCEPTION, true, 6),
	   X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_NP);
	EQ(m.c.exception.error, 14 * 8 + 2 + 1);
	/* Those of an instruction that comes after do not. */
	m.c.regs[X86_RAX] = SEL_TSS;
	EQ(RUN("\x8e\xc0"), X86EMUL_FAULT);
	EQ(m.c.exception.error, SEL_TSS);
}

TEST(interrupt_in_64_bit_mode)
{
	set_mode(P64, 0);
	m.c.regs[X86_RSP] = STACK - 5;
	put64(IDT + 0x21 * 16, 0x00008e0100284000);	/* IST 1 */
	put64(TSS + 36, INNER_STACK);
	EQ(x86_emulate_event(&m.c, 0x21, X86_EVENT_EXTERNAL, false, 0),
	   X86EMUL_OK);
	EQ(m.c.regs[X86_RSP], INNER_STACK - 40);
	EQ(get(INNER_STACK - 16, 8), STACK - 5);
	m.mem[INNER_STACK - 32] = SEL_CODE64;
	EQ(RUN("\x48\xcf"), X86EMUL_OK);
	EQ(m.c.rip, CODE);
	EQ(m.c.regs[X86_RSP], STACK - 5);
	/* Without IST the stack is aligned to 16 first. */
	m.mem[IDT + 0x21 * 16 + 4] = 0;
	EQ(x86_emulate_event(&m.c, 0x21, X86_EVENT_EXTERNAL, false, 0),
	   X86EMUL_OK);
	EQ(m.c.regs[X86_RSP], STACK - 16 - 40);
}

TEST(virtual_8086_round_trip)
{
	set_mode(V86, 3);
	m.seg[X86_SEG_ES].selector = 0x1111;
	m.seg[X86_SEG_CS].selector = 0;
	put64(IDT + 0x30 * 8, 0x00008e0000084000);
	EQ(x86_emulate_event(&m.c, 0x30, X86_EVENT_EXTERNAL, false, 0),
	   X86EMUL_OK);
	EQ(m.c.cpl, 0);
	EQ(m.c.regs[X86_RSP], INNER_STACK - 36);
	EQ(get(INNER_STACK - 16, 4), 0x1111);
	CHECK(m.seg[X86_SEG_ES].attr & X86_SEG_ATTR_UNUSABLE);
	CHECK(!(m.c.rflags & 1u << 17));
	m.c.mode = P32;
	EQ(RUN("\xcf"), X86EMUL_OK);
	EQ(m.c.mode, X86_MODE_VM86);
	EQ(m.c.cpl, 3);
	EQ(m.seg[X86_SEG_ES].base, 0x11110);
	EQ(m.c.rip, CODE);
	EQ(m.c.regs[X86_RSP], STACK);
	CHECK(m.c.rflags & 1u << 17);
}

/* ---- System instructions --------------------------------------------- */

TEST(descriptor_table_registers)
{
	set_mode(P16, 0);
	m.c.regs[X86_RBX] = DATA;
	memcpy(m.mem + DATA, "\x77\x00\x44\x33\x22\x11", 6);
	EQ(RUN("\x0f\x01\x17"), X86EMUL_OK);
	EQ(m.dt_base[X86_DT_GDT], 0x223344);
	EQ(m.dt_limit[X86_DT_GDT], 0x77);
	EQ(RUN("\x66\x0f\x01\x1f"), X86EMUL_OK);
	EQ(m.dt_base[X86_DT_IDT], 0x11223344);
	EQ(RUN("\x0f\x01\x0f"), X86EMUL_OK);
	EQ(get(DATA, 6), 0x112233440077);
}

TEST(task_register_and_ldt)
{
	set_mode(P32, 0);
	m.c.regs[X86_RAX] = SEL_TSS_B;
	EQ(RUN("\x0f\x00\xd8"), X86EMUL_OK);
	EQ(m.seg[X86_SEG_TR].base, TSS_B);
	EQ(m.mem[GDT + SEL_TSS_B + 5], 0x8b);
	EQ(RUN("\x0f\x00\xd8"), X86EMUL_FAULT);		/* busy now */
	EQ(m.c.exception.vector, X86_EXC_GP);
	EQ(m.c.exception.error, SEL_TSS_B);
	m.c.regs[X86_RAX] = SEL_LDT;
	EQ(RUN("\x0f\x00\xd0"), X86EMUL_OK);
	EQ(m.seg[X86_SEG_LDTR].base, 0x10000);
}

TEST(inspection)
{
	static const struct { u16 sel; u8 cpl; u64 lar, lsl; bool r, w; } t[] = {
		{ SEL_DATA0, 0, 0xcf9300, 0xffffffff, true, true },
		{ SEL_CODE0, 0, 0xcf9b00, 0xffffffff, true, false },
		{ SEL_RO, 0, 0xcf9100, 0xffffffff, true, false },
		{ SEL_DATA0, 3, 0, 0, false, false },
		{ SEL_CONFORM, 3, 0xcf9f00, 0xffffffff, true, false },
		{ SEL_TSS, 0, 0x8b00, 0x67, false, false },
		{ SEL_GATE, 3, 0xec00, 0, false, false },
		{ 0, 0, 0, 0, false, false },
		{ GDT_END, 0, 0, 0, false, false },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		u64 lar, lsl;
		bool r, w;

		set_mode(P32, t[i].cpl);
		m.c.regs[X86_RBX] = t[i].sel;
		RUN("\x0f\x02\xc3");
		lar = m.c.regs[X86_RAX];
		RUN("\x0f\x03\xcb");
		lsl = m.c.regs[X86_RCX];
		RUN("\x0f\x00\xe3");
		r = m.c.rflags & 0x40;
		RUN("\x0f\x00\xeb");
		w = m.c.rflags & 0x40;
		row((lar & 0xff00) == (t[i].lar & 0xff00) && lsl == t[i].lsl &&
		    r == t[i].r && w == t[i].w,
		    "row %u: lar %llx lsl %llx verr %d verw %d", i, lar, lsl,
		    r, w);
	}
}

TEST(debug_registers)
{
	set_mode(P32, 0);
	m.dr[6] = 0xffff0ff0;
	EQ(RUN("\x0f\x21\xe0"), X86EMUL_OK);	/* DR4 is DR6 */
	EQ(m.c.regs[X86_RAX], 0xffff0ff0);
	m.cr[4] |= 8;
	EQ(RUN("\x0f\x21\xe0"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_UD);
	m.dr[7] = 1 << 13;
	EQ(RUN("\x0f\x21\xc0"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_DB);
}

TEST(io_permission_map)
{
	set_mode(P32, 3);
	m.answered = true;
	m.seg[X86_SEG_TR].limit = 0x67 + 0x41;
	put64(TSS + 102, 0x68);
	m.mem[TSS + 0x68 + 0x60 / 8] = 2;
	EQ(RUN("\xe4\x60"), X86EMUL_OK);
	EQ(RUN("\xe5\x60"), X86EMUL_FAULT);	/* four ports, one of them shut */
	EQ(m.c.exception.vector, X86_EXC_GP);
	EQ(RUN("\xe4\x61"), X86EMUL_FAULT);
	m.c.rflags |= 3 << 12;
	EQ(RUN("\xe4\x61"), X86EMUL_OK);
}

TEST(flags_by_privilege)
{
	set_mode(P32, 3);
	put64(STACK, 0x3202 | 1 << 18);
	EQ(RUN("\x9d"), X86EMUL_OK);
	EQ(m.c.rflags, 2 | 1 << 18);	/* neither IOPL nor IF */
	set_mode(P32, 0);
	put64(STACK, 0x33202);
	EQ(RUN("\x9d"), X86EMUL_OK);
	EQ(m.c.rflags, 0x3202);		/* no VM or RF */
}

TEST(invpcid)
{
	set_mode(P64, 0);
	m.c.regs[X86_RBX] = DATA;
	m.c.regs[X86_RCX] = 1;
	put64(DATA, 5);
	put64(DATA + 8, 1ull << 50);
	EQ(RUN("\x66\x0f\x38\x82\x0b"), X86EMUL_FAULT);	/* PCIDE is 0 */
	EQ(m.c.exception.vector, X86_EXC_GP);
	m.cr[4] |= 1 << 17;
	EQ(RUN("\x66\x0f\x38\x82\x0b"), X86EMUL_OK);
	EQ(m.invpcid.type, 1);
	EQ(m.invpcid.pcid, 5);
	m.c.regs[X86_RCX] = 0;
	EQ(RUN("\x66\x0f\x38\x82\x0b"), X86EMUL_FAULT);
	m.c.regs[X86_RCX] = 1ull << 32 | 2;
	EQ(RUN("\x66\x0f\x38\x82\x0b"), X86EMUL_FAULT);
	m.c.regs[X86_RCX] = 2;
	put64(DATA, 1 << 12);
	EQ(RUN("\x66\x0f\x38\x82\x0b"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	put64(DATA, 0);
	m.c.cpl = 3;
	EQ(RUN("\x66\x0f\x38\x82\x0b"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	m.c.cpl = 0;
	EQ(RUN("\x66\x0f\x38\x82\xcb"), X86EMUL_FAULT);	/* no memory */
	EQ(m.c.exception.vector, X86_EXC_UD);
}

/* ---- Fast system calls ----------------------------------------------- */

static void check_flat(u16 cs, u16 ss, u32 dpl, bool to64)
{
	EQ(m.seg[X86_SEG_CS].selector, cs | dpl);
	EQ(m.seg[X86_SEG_CS].attr, (to64 ? 0xa09b : 0xc09b) | dpl << 5);
	EQ(m.seg[X86_SEG_CS].base, 0);
	EQ(m.seg[X86_SEG_CS].limit, 0xffffffff);
	EQ(m.seg[X86_SEG_SS].selector, ss | dpl);
	EQ(m.seg[X86_SEG_SS].attr, 0xc093 | dpl << 5);
	CHECK(m.c.mode_changed);
}

TEST(sysenter)
{
	set_mode(P32, 3);
	EQ(RUN("\x0f\x34"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	m.sysenter_cs = 0x10b;
	m.sysenter_esp = 0x1234567800000042;
	m.sysenter_eip = 0x1234567800005000;
	m.c.rflags |= 1 << 9;
	EQ(RUN("\x0f\x34"), X86EMUL_OK);
	check_flat(0x108, 0x110, 0, false);
	EQ(m.c.rip, 0x5000);
	EQ(m.c.regs[X86_RSP], 0x42);
	EQ(m.c.rflags, 2);
	set_mode(P64, 3);
	m.sysenter_cs = 0x10b;
	m.sysenter_esp = 0x1234567800000042;
	m.sysenter_eip = 0x1234567800005000;
	EQ(RUN("\x0f\x34"), X86EMUL_OK);
	check_flat(0x108, 0x110, 0, true);
	EQ(m.c.rip, m.sysenter_eip);
	EQ(m.c.regs[X86_RSP], m.sysenter_esp);
	set_mode(V86, 3);
	m.sysenter_cs = 8;
	m.sysenter_eip = 0x5000;
	EQ(RUN("\x0f\x34"), X86EMUL_OK);
	EQ(m.c.rflags, 2);
	set_mode(REAL, 0);
	m.sysenter_cs = 8;
	EQ(RUN("\x0f\x34"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
}

TEST(sysexit)
{
	set_mode(P32, 0);
	m.c.regs[X86_RCX] = 0x42;
	m.c.regs[X86_RDX] = 0x5000;
	EQ(RUN("\x0f\x35"), X86EMUL_FAULT);
	m.sysenter_cs = 0x108;
	EQ(RUN("\x0f\x35"), X86EMUL_OK);
	check_flat(0x118, 0x120, 3, false);
	EQ(m.c.rip, 0x5000);
	EQ(m.c.regs[X86_RSP], 0x42);
	EQ(RUN("\x0f\x35"), X86EMUL_OK);
	m.c.cpl = 3;
	EQ(RUN("\x0f\x35"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	set_mode(P64, 0);
	m.sysenter_cs = 0x108;
	m.c.regs[X86_RCX] = 0x42;
	m.c.regs[X86_RDX] = 0x700000005000;
	EQ(RUN("\x48\x0f\x35"), X86EMUL_OK);
	check_flat(0x128, 0x130, 3, true);
	EQ(m.c.rip, 0x700000005000);
	m.c.rip = CODE;
	m.c.regs[X86_RDX] = 1ull << 47;
	EQ(RUN("\x48\x0f\x35"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	EQ(RUN("\x0f\x35"), X86EMUL_OK);
	check_flat(0x118, 0x120, 3, false);
	EQ(m.c.rip, 0);
}

TEST(syscall)
{
	set_mode(P64, 3);
	m.star = 0x0023001000000000;
	m.lstar = 0xffffffff80000000;
	m.fmask = 1 << 10 | 1;
	m.c.rflags = 0x403;
	EQ(RUN("\x0f\x05"), X86EMUL_FAULT);		/* EFER.SCE is 0 */
	EQ(m.c.exception.vector, X86_EXC_UD);
	m.efer |= 1;
	EQ(RUN("\x0f\x05"), X86EMUL_OK);
	check_flat(0x10, 0x18, 0, true);
	EQ(m.c.rip, m.lstar);
	EQ(m.c.rflags, 2);
	EQ(m.c.regs[X86_RCX], CODE + 2);
	EQ(m.c.regs[X86_R11], 0x403);
	set_mode(P32, 3);
	m.efer = 0x501;
	EQ(RUN("\x0f\x05"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_UD);
}

TEST(sysret)
{
	set_mode(P64, 0);
	m.efer |= 1;
	m.star = 0x0023001000000000;
	m.c.regs[X86_RCX] = 0x700000005000;
	m.c.regs[X86_R11] = ~0ull;
	EQ(RUN("\x48\x0f\x07"), X86EMUL_OK);
	check_flat(0x30, 0x28, 3, true);
	EQ(m.c.rip, 0x700000005000);
	EQ(m.c.rflags, 0x3c7fd7);
	m.c.rip = CODE;
	m.c.rflags = 2;
	m.c.regs[X86_RCX] = 1ull << 47;
	EQ(RUN("\x48\x0f\x07"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	m.c.regs[X86_RCX] = 0xffffffff00005000;
	EQ(RUN("\x0f\x07"), X86EMUL_OK);
	check_flat(0x20, 0x28, 3, false);
	EQ(m.c.rip, 0x5000);
	m.c.rip = CODE;
	m.c.cpl = 3;
	m.c.rflags = 2;
	EQ(RUN("\x0f\x07"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
}

/* ---- What CPUID may lack --------------------------------------------- */

TEST(by_cpuid)
{
	static const struct {
		bool user;
		const char *bytes;
		unsigned int n;
	} t[] = {
		{ false, B("\x0f\x01\xcb") }, { false, B("\x0f\x01\xca") },
		{ false, B("\x0f\x01\xc8") }, { false, B("\x0f\x01\xc9") },
		{ true, B("\xf3\x0f\xc7\xf8") }, { true, B("\x0f\xc7\xf0") },
		{ true, B("\x0f\xc7\xf8") },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		set_mode(P64, 0);
		EQ(run(t[i].bytes, t[i].n), X86EMUL_FAULT);
		EQ(m.c.exception.vector, X86_EXC_UD);
		m.cpuid_bits = ~0u;
		EQ(run(t[i].bytes, t[i].n), X86EMUL_OK);
		m.c.rip = CODE;
		m.c.cpl = 3;
		EQ(run(t[i].bytes, t[i].n),
		   t[i].user ? X86EMUL_OK : X86EMUL_FAULT);
	}
	set_mode(P64, 0);
	m.cpuid_bits = ~0u;
	m.aux = 77;
	EQ(RUN("\x0f\x01\xcb"), X86EMUL_OK);
	EQ(m.c.rflags, 2 | 1 << 18);
	EQ(RUN("\xf3\x0f\xc7\xf9"), X86EMUL_OK);
	EQ(m.c.regs[X86_RCX], 77);
	EQ(RUN("\x48\x0f\xc7\xf1"), X86EMUL_OK);	/* RDRAND */
	EQ(m.c.regs[X86_RCX], 0x1122334455667788);
	EQ(m.c.rflags, 3 | 1 << 18);
	EQ(RUN("\x48\x0f\xc7\xf9"), X86EMUL_OK);	/* RDSEED: nothing */
	EQ(m.c.regs[X86_RCX], 0);
	EQ(m.c.rflags, 2 | 1 << 18);
}

TEST(movdir64b)
{
	unsigned int i;

	set_mode(P64, 0);
	for (i = 0; i < 64; i++)
		m.mem[DATA + 3 + i] = i;
	m.c.regs[X86_RBX] = DATA + 3;
	m.c.regs[X86_RCX] = DATA + 0x140;
	EQ(RUN("\x66\x0f\x38\xf8\x0b"), X86EMUL_OK);
	EQ(memcmp(m.mem + DATA + 0x140, m.mem + DATA + 3, 64), 0);
	m.c.regs[X86_RCX] += 8;
	EQ(RUN("\x66\x0f\x38\xf8\x0b"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_GP);
	m.c.regs[X86_RCX] = MMIO;
	m.writes = 0;
	EQ(RUN("\x66\x0f\x38\xf8\x0b"), X86EMUL_OK);
	EQ(m.writes, 1);
	EQ(m.mmio_writes, 1);
}

/* ---- Images of the x87 state ----------------------------------------- */

/* "x87 FPU State Image": the forms of one state. */
static const u32 state_image[] = {
	0xffff037f, 0xffff3800, 0xffff1234, 0x00045678, 0x06543210,
	0x000789ab, 0xffff4321,
};
/* Pointers are linear; a selector does not come back. */
static const u32 linear_image[] = {
	0xffff037f, 0xffff3800, 0xffff1234, 0xffff7778, 0x00007654,
	0xffffbbbb, 0x0000b000,
};
static const u32 linear_state[] = {
	0xffff037f, 0xffff3800, 0xffff1234, 0x00077778, 0x06540000,
	0x000bbbbb, 0,
};
static const u16 image16[] = {
	0x037f, 0x3800, 0x1234, 0x5678, 0x3210, 0x89ab, 0x4321,
};
static const u32 state16[] = {
	0x037f, 0x3800, 0x1234, 0x5678, 0x3210, 0x89ab, 0x4321,
};
static const u16 linear_image16[] = {
	0x037f, 0x3800, 0x1234, 0x7778, 0x7654, 0xbbbb, 0xb000,
};
static const u32 linear_state16[] = {
	0x037f, 0x3800, 0x1234, 0x77778, 0x06540000, 0xbbbbb, 0,
};

static void x87_image(enum x86_emul_mode mode, bool opsize, const void *image,
		      unsigned int bytes, const u32 *again)
{
	char insn[3] = "\x66\xd9\x37";
	char *start = insn + !opsize;
	unsigned int n = 2 + opsize, i, registers;

	set_mode(mode, 0);
	m.c.regs[X86_RBX] = m.c.regs[X86_RDI] = DATA;
	for (registers = 0; registers < 2; registers++) {
		for (i = 28; i < 108; i++)
			m.x87_image[i] = i;
		memcpy(m.x87_image, state_image, 28);
		memset(m.mem + DATA, 0xcc, 128);
		insn[1] = registers ? 0xdd : 0xd9;
		insn[2] = 0x37;
		EQ(run(start, n), X86EMUL_OK);
		EQ(memcmp(m.mem + DATA, image, bytes), 0);
		for (i = 0; registers && i < 80; i++)
			EQ(m.mem[DATA + bytes + i], 28 + i);
		EQ(m.mem[DATA + bytes + 80 * registers], 0xcc);
		memset(m.x87_image, 0, 108);
		insn[2] = 0x27;
		EQ(run(start, n), X86EMUL_OK);
		EQ(memcmp(m.x87_image, again, 28), 0);
		for (i = 28; registers && i < 108; i++)
			EQ(m.x87_image[i], i);
	}
}

TEST(x87_images)
{
	x87_image(P32, false, state_image, 28, state_image);
	x87_image(P64, false, state_image, 28, state_image);
	x87_image(P16, true, state_image, 28, state_image);
	x87_image(P32, true, image16, 14, state16);
	x87_image(P16, false, image16, 14, state16);
	x87_image(REAL, true, linear_image, 28, linear_state);
	x87_image(V86, true, linear_image, 28, linear_state);
	x87_image(REAL, false, linear_image16, 14, linear_state16);
	x87_image(V86, false, linear_image16, 14, linear_state16);
}

TEST(emms)
{
	set_mode(P32, 0);
	EQ(RUN("\x0f\x77"), X86EMUL_OK);
	EQ(m.x87_opcode, 0x0f);
	EQ(m.x87_modrm, 0x77);
	m.cr[0] |= 8;
	EQ(RUN("\x0f\x77"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_NM);
	m.cr[0] |= 4;
	EQ(RUN("\x0f\x77"), X86EMUL_FAULT);
	EQ(m.c.exception.vector, X86_EXC_UD);
}
