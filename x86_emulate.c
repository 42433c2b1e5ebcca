// SPDX-License-Identifier: GPL-2.0-only
/*
 * The x86 instruction emulator.
 *
 * Owns the decoding and the meaning of instructions.  Does not own paging,
 * memory, devices, or any state but the general registers, RIP and RFLAGS:
 * those are behind struct x86_emulate_ops.
 *
 * One row of an opcode table says everything about an instruction but its
 * arithmetic: operand forms with sizes, legality by mode, prefixes allowed.
 * The passes are decode, operand fetch, execute, write-back, commit.  The
 * handlers of the execute pass work on copies; nothing is committed before
 * the last access that can fault, and memory is written last.
 *
 * Vector registers pass through as images; no vector instruction is used
 * here, so that the file builds with the kernel's -mno-sse.
 *
 * Locking: none; a context belongs to one vCPU at a time.
 *
 * Entry points: x86_decode_insn(), x86_emulate_insn(), x86_emulate_event(),
 * x86_emulate_task_switch().
 *
 * SDM: volume 1 chapter "Instruction Set Summary", volume 2 in whole, volume
 * 3 chapters "Protection", "Interrupt and Exception Handling", "Task
 * Management", "8086 Emulation".
 */
#ifdef __KERNEL__
#include <linux/string.h>
#include <linux/types.h>
#else
#include <stddef.h>
#include <string.h>
#endif
#include "x86_emulate.h"

/* ---- Definitions: flags, operand forms, rows ------------------------- */

#define FL_CF		(1u << 0)
#define FL_PF		(1u << 2)
#define FL_AF		(1u << 4)
#define FL_ZF		(1u << 6)
#define FL_SF		(1u << 7)
#define FL_TF		(1u << 8)
#define FL_IF		(1u << 9)
#define FL_DF		(1u << 10)
#define FL_OF		(1u << 11)
#define FL_IOPL		(3u << 12)
#define FL_IOPL_SHIFT	12
#define FL_NT		(1u << 14)
#define FL_RF		(1u << 16)
#define FL_VM		(1u << 17)
#define FL_AC		(1u << 18)
#define FL_VIF		(1u << 19)
#define FL_VIP		(1u << 20)
#define FL_ID		(1u << 21)
#define FL_FIXED	(1u << 1)
#define FL_SZP		(FL_SF | FL_ZF | FL_PF)
#define FL_ARITH	(FL_SZP | FL_OF | FL_AF | FL_CF)
/* All that an image of EFLAGS can set. */
#define FL_IMAGE	(FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | \
			 FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID)

#define CR0_PE		(1u << 0)
#define CR0_MP		(1u << 1)
#define CR0_EM		(1u << 2)
#define CR0_TS		(1u << 3)
#define CR0_AM		(1u << 18)
#define CR0_PG		(1u << 31)
#define CR4_VME		(1u << 0)
#define CR4_PVI		(1u << 1)
#define CR4_TSD		(1u << 2)
#define CR4_DE		(1u << 3)
#define CR4_PCE		(1u << 8)
#define CR4_OSFXSR	(1u << 9)
#define CR4_UMIP	(1u << 11)
#define CR4_LA57	(1u << 12)
#define CR4_FSGSBASE	(1u << 16)
#define CR4_PCIDE	(1u << 17)
#define CR4_OSXSAVE	(1u << 18)
#define DR7_GD		(1u << 13)
#define DR7_LOCAL	0x155u		/* L0 to L3, LE */
#define EFER_SCE	(1u << 0)
#define EFER_LME	(1u << 8)
#define EFER_LMA	(1u << 10)
#define XCR0_AVX	0x06u		/* SSE and AVX state */
#define XCR0_AVX512	0xe6u		/* and opmask, ZMM_Hi256, Hi16_ZMM */

#define NO_REG		0xff
#define MAX_INSN_LEN	15
#define PAGE_MASK_4K	0xfffu

/*
 * An operand form is a kind (low byte) and a size (high byte).  The names of
 * the combined forms are those of the SDM's opcode maps.  Kinds from
 * K_MODRM on imply a ModRM byte.
 */
enum {
	K_NONE, K_OPREG, K_ACC, K_DX, K_CL, K_ONE, K_IMM, K_SIMM, K_REL,
	K_MOFFS, K_SI, K_DI, K_GVVVV, K_VVVVV,
	K_MODRM,
	K_RM = K_MODRM, K_MEM, K_ADDR, K_GREG, K_RMREG, K_SREG, K_CREG,
	K_DREG, K_VREG, K_VRM, K_MMREG, K_MMRM,
};

enum {
	S_0, S_B, S_W, S_D, S_Q, S_O,	/* 1, 2, 4, 8, 16 bytes */
	S_V,			/* operand size */
	S_Z,			/* operand size, at most 4 */
	S_Y,			/* 8 with REX.W, else 4 */
	S_NAT,			/* 8 in 64-bit mode, else 4 */
	S_SX,			/* MOVSXD source: 2 or 4 */
	S_FAR,			/* far pointer: operand size and 2 */
	S_PAIR,			/* BOUND: two of operand size */
	S_DT,			/* GDTR or IDTR image: 6 or 10 */
	S_X,			/* vector length */
	S_DDUP,			/* MOVDDUP source: 8, or vector length */
};

#define FORM(k, s) ((k) | (s) << 8)
#define Eb	FORM(K_RM, S_B)
#define Ew	FORM(K_RM, S_W)
#define Ed	FORM(K_RM, S_D)
#define Ev	FORM(K_RM, S_V)
#define Ey	FORM(K_RM, S_Y)
#define Esx	FORM(K_RM, S_SX)
#define Gb	FORM(K_GREG, S_B)
#define Gw	FORM(K_GREG, S_W)
#define Gd	FORM(K_GREG, S_D)
#define Gv	FORM(K_GREG, S_V)
#define Gz	FORM(K_GREG, S_Z)
#define Gy	FORM(K_GREG, S_Y)
#define Gnat	FORM(K_GREG, S_NAT)
#define By	FORM(K_GVVVV, S_Y)
#define Ry	FORM(K_RMREG, S_Y)
#define Rd	FORM(K_RMREG, S_D)
#define Rv	FORM(K_RMREG, S_V)
#define Rnat	FORM(K_RMREG, S_NAT)
#define Cd	FORM(K_CREG, S_NAT)
#define Dd	FORM(K_DREG, S_NAT)
#define Sw	FORM(K_SREG, S_W)
#define Zb	FORM(K_OPREG, S_B)
#define Zv	FORM(K_OPREG, S_V)
#define AL	FORM(K_ACC, S_B)
#define AX	FORM(K_ACC, S_W)
#define rAX	FORM(K_ACC, S_V)
#define zAX	FORM(K_ACC, S_Z)
#define DX	FORM(K_DX, S_W)
#define rDX	FORM(K_DX, S_V)
#define CL	FORM(K_CL, S_B)
#define One	FORM(K_ONE, S_B)
#define Ib	FORM(K_IMM, S_B)
#define Iw	FORM(K_IMM, S_W)
#define Iv	FORM(K_IMM, S_V)
#define Iz	FORM(K_SIMM, S_Z)
#define Ibs	FORM(K_SIMM, S_B)
#define Ap	FORM(K_IMM, S_FAR)
#define Jb	FORM(K_REL, S_B)
#define Jz	FORM(K_REL, S_Z)
#define Ob	FORM(K_MOFFS, S_B)
#define Ov	FORM(K_MOFFS, S_V)
#define Xb	FORM(K_SI, S_B)
#define Xv	FORM(K_SI, S_V)
#define Xz	FORM(K_SI, S_Z)
#define Yb	FORM(K_DI, S_B)
#define Yv	FORM(K_DI, S_V)
#define Yz	FORM(K_DI, S_Z)
#define M	FORM(K_ADDR, S_0)
#define Mb	FORM(K_MEM, S_B)
#define Mw	FORM(K_MEM, S_W)
#define Md	FORM(K_MEM, S_D)
#define Mq	FORM(K_MEM, S_Q)
#define Mo	FORM(K_MEM, S_O)
#define My	FORM(K_MEM, S_Y)
#define Mv	FORM(K_MEM, S_V)
#define Mp	FORM(K_MEM, S_FAR)
#define Ma	FORM(K_MEM, S_PAIR)
#define Mdt	FORM(K_MEM, S_DT)
#define Mx	FORM(K_MEM, S_X)
#define Vx	FORM(K_VREG, S_X)
#define Vo	FORM(K_VREG, S_O)
#define Vq	FORM(K_VREG, S_Q)
#define Vd	FORM(K_VREG, S_D)
#define Wx	FORM(K_VRM, S_X)
#define Wddup	FORM(K_VRM, S_DDUP)
#define Wo	FORM(K_VRM, S_O)
#define Wq	FORM(K_VRM, S_Q)
#define Wd	FORM(K_VRM, S_D)
#define Ww	FORM(K_VRM, S_W)
#define Wb	FORM(K_VRM, S_B)
#define Hx	FORM(K_VVVVV, S_X)
#define Ho	FORM(K_VVVVV, S_O)
#define Pq	FORM(K_MMREG, S_Q)
#define Qq	FORM(K_MMRM, S_Q)

/* What a row's sub pointer is indexed by; T_INSN rows have a handler. */
enum {
	T_NONE,			/* not in the tables */
	T_INSN,
	T_GROUP,		/* ModRM.reg */
	T_PREFIX,		/* mandatory prefix: none, 66, F3, F2 */
	T_MOD,			/* [0]: memory, [1]: register */
	T_RM,			/* ModRM.rm */
	T_MODE,			/* [0]: other modes, [1]: 64-bit */
	T_W,			/* REX.W, VEX.W */
};

#define R_NORD		0x000001u	/* destination is not read */
#define R_NOWR		0x000002u	/* destination is not written */
#define R_WSRC		0x000004u	/* src is written too */
#define R_WSRC2		0x000008u	/* src2 is written too */
#define R_LOCK		0x000010u	/* LOCK allowed on a memory destination */
#define R_ATOMIC	0x000020u	/* locked without the prefix: XCHG */
#define R_STR		0x000040u	/* string instruction, REP applies */
#define R_CMPS		0x000080u	/* REPE and REPNE look at ZF */
#define R_D64		0x000100u	/* operand size 8 or 2 in 64-bit mode */
#define R_F64		0x000200u	/* operand size 8 in 64-bit mode */
#define R_NO64		0x000400u	/* #UD in 64-bit mode */
#define R_ONLY64	0x000800u	/* #UD outside 64-bit mode */
#define R_PROT		0x001000u	/* #UD in real and virtual-8086 mode */
#define R_PRIV		0x002000u	/* #GP(0) unless CPL is 0 */
#define R_BITOFF	0x004000u	/* src is an offset into a bit string */
#define R_ALIGN		0x008000u	/* #GP(0) unless memory is aligned */
#define R_MMX		0x010000u
#define R_SSE		0x020000u
#define R_AVX		0x040000u
#define R_EVEX		0x080000u
#define R_IO		0x800000u	/* port in DX: permission comes first */
#define R_L0		0x100000u	/* VEX.L must be 0 */
#define R_L1		0x200000u	/* VEX.L must not be 0 */
#define R_W0		0x400000u	/* VEX.W must be 0 in 64-bit mode */
#define R_MODRM		0x1000000u	/* ModRM though no form says so */
#define R_ESPUP		0x2000000u	/* address uses the stack pointer after POP */
#define R_UMIP		0x4000000u	/* #GP(0) if CR4.UMIP and CPL is not 0 */
#define R_VVVV		0x8000000u	/* handler reads vvvv itself */
#define R_W1		0x10000000u	/* EVEX.W must be 1 */
#define R_SELF		0x20000000u	/* handler stores the destination itself */
#define R_NOMEM		0x40000000u	/* memory is named but not accessed */

typedef int (*exec_fn)(struct x86_emulate_ctxt *ctxt);

struct x86_opcode {
	u16 dst, src, src2;
	u8 type;
	u32 flags;
	union {
		exec_fn exec;
		const struct x86_opcode *sub;
	};
};

/* ---- Context helpers ------------------------------------------------- */

static bool mode64(const struct x86_emulate_ctxt *ctxt)
{
	return ctxt->mode == X86_MODE_PROT64;
}

/* Protected mode proper: neither real nor virtual-8086. */
static bool protected(const struct x86_emulate_ctxt *ctxt)
{
	return ctxt->mode >= X86_MODE_PROT16;
}

static int ud(struct x86_emulate_ctxt *ctxt)
{
	return x86_emul_fault(ctxt, X86_EXC_UD, false, 0);
}

static int gp(struct x86_emulate_ctxt *ctxt, u32 error)
{
	return x86_emul_fault(ctxt, X86_EXC_GP, true, error);
}

static u64 size_mask(unsigned int bytes)
{
	return bytes >= 8 ? ~0ull : (1ull << 8 * bytes) - 1;
}

static u64 sign_bit(unsigned int bytes)
{
	return 1ull << (8 * bytes - 1);
}

static u64 sign_extend(u64 val, unsigned int bytes)
{
	u64 s = sign_bit(bytes);

	return ((val & size_mask(bytes)) ^ s) - s;
}

static u64 read_gpr(const struct x86_emulate_ctxt *ctxt, unsigned int reg,
		    unsigned int bytes, bool high8)
{
	if (high8)
		return ctxt->regs[reg] >> 8 & 0xff;
	return ctxt->regs[reg] & size_mask(bytes);
}

/* Writes of 4 bytes clear the upper half; shorter ones merge. */
static void write_gpr(struct x86_emulate_ctxt *ctxt, unsigned int reg,
		      unsigned int bytes, bool high8, u64 val)
{
	u64 *r = &ctxt->regs[reg];

	if (high8)
		*r = (*r & ~0xff00ull) | (val & 0xff) << 8;
	else if (bytes >= 4)
		*r = val & size_mask(bytes);
	else
		*r = (*r & ~size_mask(bytes)) | (val & size_mask(bytes));
	ctxt->regs_dirty |= 1u << reg;
}

static void set_gpr(struct x86_emulate_ctxt *ctxt, unsigned int reg,
		    unsigned int bytes, u64 val)
{
	write_gpr(ctxt, reg, bytes, false, val);
}

/* Adds to a register of which only @bytes count, as address registers do. */
static void add_gpr(struct x86_emulate_ctxt *ctxt, unsigned int reg,
		    unsigned int bytes, u64 val)
{
	set_gpr(ctxt, reg, bytes, ctxt->regs[reg] + val);
}

static void set_flag(struct x86_emulate_ctxt *ctxt, u64 flag, bool on)
{
	if (on)
		ctxt->flags |= flag;
	else
		ctxt->flags &= ~flag;
}

static unsigned int iopl(const struct x86_emulate_ctxt *ctxt)
{
	return (ctxt->rflags & FL_IOPL) >> FL_IOPL_SHIFT;
}

static bool long_mode(struct x86_emulate_ctxt *ctxt)
{
	return mode64(ctxt) || (ctxt->ops->get_efer(ctxt) & EFER_LMA);
}

/* Virtual interrupt flag and redirection map are left to the processor. */
static bool vme_active(struct x86_emulate_ctxt *ctxt)
{
	return ctxt->ops->get_cr(ctxt, 4) & CR4_VME;
}

/* ---- Addresses: segmentation and canonical checks -------------------- */

static bool canonical(struct x86_emulate_ctxt *ctxt, u64 lin)
{
	if (sign_extend(lin, 6) == lin)
		return true;
	if (!(ctxt->ops->get_cr(ctxt, 4) & CR4_LA57))
		return false;
	return (u64)((s64)(lin << 7) >> 7) == lin;
}

static int seg_fault(struct x86_emulate_ctxt *ctxt, unsigned int seg)
{
	return x86_emul_fault(ctxt, seg == X86_SEG_SS ? X86_EXC_SS : X86_EXC_GP,
			      true, 0);
}

/* "Limit Checking": is [ea, ea + bytes) inside the segment? */
static bool in_limit(const struct x86_segment *s, u64 ea, unsigned int bytes)
{
	u64 last = ea + bytes - 1, top;

	if ((s->attr & (X86_SEG_ATTR_CODE | X86_SEG_ATTR_EXPDOWN)) !=
	    X86_SEG_ATTR_EXPDOWN)
		return last <= s->limit;
	top = s->attr & X86_SEG_ATTR_DB ? 0xffffffff : 0xffff;
	return ea > s->limit && last <= top;
}

/* "Type Checking": may a segment of these attributes be read or written? */
static bool seg_permits(u32 attr, bool write)
{
	if (attr & X86_SEG_ATTR_UNUSABLE)
		return false;
	if (write)
		return (attr & (X86_SEG_ATTR_CODE | X86_SEG_ATTR_RW)) ==
			X86_SEG_ATTR_RW;
	return !(attr & X86_SEG_ATTR_CODE) || (attr & X86_SEG_ATTR_RW);
}

static int linear64(struct x86_emulate_ctxt *ctxt, unsigned int seg, u64 ea,
		    unsigned int bytes, u64 *lin)
{
	*lin = ea;
	if (seg == X86_SEG_FS || seg == X86_SEG_GS)
		*lin += ctxt->ops->segment_base(ctxt, seg);
	if (!canonical(ctxt, *lin) || !canonical(ctxt, *lin + bytes - 1))
		return seg_fault(ctxt, seg);
	return X86EMUL_OK;
}

/* Translates seg:ea for an access and makes the segment's checks. */
static int linear(struct x86_emulate_ctxt *ctxt, unsigned int seg, u64 ea,
		  unsigned int bytes, bool write, u64 *lin)
{
	struct x86_segment s;

	if (mode64(ctxt))
		return linear64(ctxt, seg, ea, bytes, lin);
	ctxt->ops->get_segment(ctxt, seg, &s);
	if (protected(ctxt) && !seg_permits(s.attr, write))
		return seg_fault(ctxt, seg);
	if (!in_limit(&s, ea, bytes))
		return seg_fault(ctxt, seg);
	*lin = (u32)(s.base + ea);
	return X86EMUL_OK;
}

/* "Alignment Check Exception (#AC)" */
static int check_alignment(struct x86_emulate_ctxt *ctxt, u64 lin,
			   unsigned int align)
{
	if (ctxt->cpl != 3 || !(ctxt->rflags & FL_AC) ||
	    !(lin & (align - 1)) ||
	    !(ctxt->ops->get_cr(ctxt, 0) & CR0_AM))
		return X86EMUL_OK;
	return x86_emul_fault(ctxt, X86_EXC_AC, true, 0);
}

/* Offset of the memory operand within its segment. */
static u64 effective_address(const struct x86_emulate_ctxt *ctxt)
{
	const struct x86_insn *i = &ctxt->insn;
	u64 ea = i->disp;

	if (i->rip_relative)
		ea += ctxt->next_rip;
	if (i->base != NO_REG)
		ea += ctxt->regs[i->base];
	if (i->index != NO_REG)
		ea += ctxt->regs[i->index] << i->scale;
	/* "POP": a base of ESP counts after the increment. */
	if ((ctxt->op->flags & R_ESPUP) && i->base == X86_RSP)
		ea += i->op_bytes;
	return ea & size_mask(i->ad_bytes);
}

/* ---- Fetching instruction bytes -------------------------------------- */

/* Bytes from linear address on, limited by the code segment; 0 for none. */
static unsigned int fetch_window(struct x86_emulate_ctxt *ctxt, u64 *lin,
				 unsigned int want)
{
	u64 ip = ctxt->rip + ctxt->insn.fetched;
	struct x86_segment cs;
	unsigned int room;

	if (mode64(ctxt)) {
		*lin = ip;
		if (!canonical(ctxt, ip))
			return 0;
	} else {
		ctxt->ops->get_segment(ctxt, X86_SEG_CS, &cs);
		ip = (u32)ip;
		if (ip > cs.limit)
			return 0;
		if (cs.limit - ip < want)
			want = cs.limit - ip + 1;
		*lin = (u32)(cs.base + ip);
	}
	room = PAGE_MASK_4K + 1 - (*lin & PAGE_MASK_4K);
	return want < room ? want : room;
}

/* Makes at least @upto bytes of the instruction available. */
static int fetch_upto(struct x86_emulate_ctxt *ctxt, unsigned int upto)
{
	struct x86_insn *i = &ctxt->insn;
	unsigned int n;
	u64 lin;
	int rc;

	if (upto > MAX_INSN_LEN)
		return gp(ctxt, 0);
	while (i->fetched < upto) {
		n = fetch_window(ctxt, &lin, MAX_INSN_LEN - i->fetched);
		if (!n)
			return gp(ctxt, 0);
		rc = ctxt->ops->fetch(ctxt, lin, i->bytes + i->fetched, n);
		if (rc)
			return rc;
		i->fetched += n;
	}
	return X86EMUL_OK;
}

/* Takes the next @bytes of the instruction as a little-endian number. */
static int take(struct x86_emulate_ctxt *ctxt, unsigned int bytes, u64 *val)
{
	struct x86_insn *i = &ctxt->insn;
	int rc = fetch_upto(ctxt, i->len + bytes);

	if (rc)
		return rc;
	*val = 0;
	memcpy(val, i->bytes + i->len, bytes);
	i->len += bytes;
	return X86EMUL_OK;
}

static int take_u8(struct x86_emulate_ctxt *ctxt, u8 *val)
{
	struct x86_insn *i = &ctxt->insn;
	int rc;

	if (i->len >= i->fetched) {
		rc = fetch_upto(ctxt, i->len + 1);
		if (rc)
			return rc;
	}
	*val = i->bytes[i->len++];
	return X86EMUL_OK;
}

/* ---- Decode: prefixes ------------------------------------------------ */

/* Notes a legacy prefix; false when the byte is none. */
static bool legacy_prefix(struct x86_emulate_ctxt *ctxt, u8 b)
{
	struct x86_insn *i = &ctxt->insn;

	switch (b) {
	case 0x26: case 0x2e: case 0x36: case 0x3e:
		if (!mode64(ctxt)) {
			i->seg = (b >> 3) & 3;
			i->seg_override = true;
		}
		return true;
	case 0x64: case 0x65:
		i->seg = X86_SEG_FS + (b & 1);
		i->seg_override = true;
		return true;
	case 0x66:
		i->opsize_override = true;
		return true;
	case 0x67:
		i->adsize_override = true;
		return true;
	case 0xf0:
		i->lock = true;
		return true;
	case 0xf2: case 0xf3:
		i->rep = b;
		return true;
	}
	return false;
}

/* Takes prefixes and leaves the first opcode byte in insn.opcode. */
static int decode_prefixes(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;
	u8 b;
	int rc;

	for (;;) {
		rc = take_u8(ctxt, &b);
		if (rc)
			return rc;
		if (legacy_prefix(ctxt, b))
			i->rex = 0;	/* REX counts only right before the opcode */
		else if (mode64(ctxt) && (b & 0xf0) == 0x40)
			i->rex = b;
		else
			break;
	}
	i->opcode = b;
	if (i->rep)
		i->pp = i->rep == 0xf3 ? 2 : 3;
	else if (i->opsize_override)
		i->pp = 1;
	return X86EMUL_OK;
}

/* "VEX Encoding and Opcode Interaction": prefixes that are #UD. */
static bool vex_prefix_conflict(const struct x86_insn *i)
{
	return i->lock || i->rep || i->opsize_override || i->rex;
}

/* R, X, B arrive inverted in bits 7..5 of a VEX or EVEX byte. */
static u8 vex_rxb(u8 b)
{
	b = ~b;
	return (b >> 7 & 1) << 2 | (b >> 6 & 1) << 1 | (b >> 5 & 1);
}

static int decode_vex2(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;
	u8 b;
	int rc = take_u8(ctxt, &b);

	if (rc)
		return rc;
	i->rex = 0x40 | (vex_rxb(b) & 4);
	i->map = 1;
	i->vvvv = ~(b >> 3) & 0xf;
	i->vl = b >> 2 & 1;
	i->pp = b & 3;
	return take_u8(ctxt, &i->opcode);
}

static int decode_vex3(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;
	u64 b;
	int rc = take(ctxt, 2, &b);

	if (rc)
		return rc;
	i->rex = 0x40 | vex_rxb(b) | (b >> 15 & 1) << 3;
	i->map = b & 0x1f;
	i->vvvv = ~(b >> 11) & 0xf;
	i->vl = b >> 10 & 1;
	i->pp = b >> 8 & 3;
	return take_u8(ctxt, &i->opcode);
}

static int decode_evex(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;
	u64 b;
	int rc = take(ctxt, 3, &b);

	if (rc)
		return rc;
	if ((b & 0x08) || !(b & 0x0400))
		return ud(ctxt);
	i->evex = true;
	i->rex = 0x40 | vex_rxb(b) | (b >> 15 & 1) << 3;
	i->map = b & 7;
	i->vvvv = (~(b >> 11) & 0xf) | (~(b >> 19) & 1) << 4;
	i->rex2 = ~(b >> 4) & 1;
	i->pp = b >> 8 & 3;
	i->evex_p3 = b >> 16;
	i->vl = b >> 21 & 3;
	return take_u8(ctxt, &i->opcode);
}

/*
 * C4, C5 and 62 are VEX and EVEX in 64-bit mode.  Elsewhere they are LES, LDS
 * and BOUND, unless the next byte has the form of a register operand, which
 * those do not allow.
 */
static int decode_vex(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;
	u8 op = i->opcode;
	int rc;

	if (op != 0xc4 && op != 0xc5 && op != 0x62)
		return X86EMUL_OK;
	if (!mode64(ctxt)) {
		rc = fetch_upto(ctxt, i->len + 1);
		if (rc)
			return rc;
		if (i->bytes[i->len] < 0xc0)
			return X86EMUL_OK;
	}
	if (!protected(ctxt))
		return ud(ctxt);
	i->bad_prefix = vex_prefix_conflict(i);
	i->vex = true;
	if (op == 0xc5)
		rc = decode_vex2(ctxt);
	else if (op == 0xc4)
		rc = decode_vex3(ctxt);
	else
		rc = decode_evex(ctxt);
	if (!mode64(ctxt)) {
		i->rex &= 0x48;
		i->vvvv &= 7;
		i->rex2 = 0;
	}
	return rc;
}

/* Follows the escapes 0F, 0F38 and 0F3A. */
static int decode_escapes(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;
	int rc;

	if (i->vex || i->opcode != 0x0f)
		return X86EMUL_OK;
	i->map = 1;
	rc = take_u8(ctxt, &i->opcode);
	if (rc || (i->opcode != 0x38 && i->opcode != 0x3a))
		return rc;
	i->map = i->opcode == 0x38 ? 2 : 3;
	return take_u8(ctxt, &i->opcode);
}

/* ---- Decode: ModRM and SIB ------------------------------------------- */

static int decode_disp(struct x86_emulate_ctxt *ctxt, unsigned int bytes)
{
	u64 v;
	int rc;

	if (!bytes)
		return X86EMUL_OK;
	rc = take(ctxt, bytes, &v);
	if (rc)
		return rc;
	ctxt->insn.disp = sign_extend(v, bytes);
	ctxt->insn.disp8 = bytes == 1;
	return X86EMUL_OK;
}

/* Table "16-Bit Addressing Forms with the ModR/M Byte" */
static int decode_mem16(struct x86_emulate_ctxt *ctxt)
{
	static const struct { u8 base, index; } forms[8] = {
		{ X86_RBX, X86_RSI }, { X86_RBX, X86_RDI },
		{ X86_RBP, X86_RSI }, { X86_RBP, X86_RDI },
		{ X86_RSI, NO_REG }, { X86_RDI, NO_REG },
		{ X86_RBP, NO_REG }, { X86_RBX, NO_REG },
	};
	struct x86_insn *i = &ctxt->insn;
	unsigned int mod = i->modrm >> 6, rm = i->modrm & 7;

	if (mod == 0 && rm == 6)
		return decode_disp(ctxt, 2);
	i->base = forms[rm].base;
	i->index = forms[rm].index;
	if (i->base == X86_RBP && !i->seg_override)
		i->seg = X86_SEG_SS;
	return decode_disp(ctxt, mod);
}

static int decode_sib(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;
	u8 sib;
	int rc = take_u8(ctxt, &sib);

	if (rc)
		return rc;
	i->scale = sib >> 6;
	i->index = (sib >> 3 & 7) | (i->rex & 2) << 2;
	if (i->index == X86_RSP)
		i->index = NO_REG;
	i->base = (sib & 7) | (i->rex & 1) << 3;
	return X86EMUL_OK;
}

/* Tables "32-Bit Addressing Forms ..."; also those of 64-bit mode */
static int decode_mem32(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;
	unsigned int mod = i->modrm >> 6, rm = i->modrm & 7;
	unsigned int disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	int rc;

	if (rm == 4) {
		rc = decode_sib(ctxt);
		if (rc)
			return rc;
	} else {
		i->base = rm | (i->rex & 1) << 3;
	}
	if (mod == 0 && (i->base & 7) == X86_RBP) {
		i->base = NO_REG;
		i->rip_relative = rm != 4 && mode64(ctxt);
		disp = 4;
	}
	if ((i->base == X86_RSP || i->base == X86_RBP) && !i->seg_override)
		i->seg = X86_SEG_SS;
	return decode_disp(ctxt, disp);
}

/* MOV to and from CR and DR names a register whatever the mod field says. */
static bool register_only(const struct x86_opcode *op)
{
	return op->type == T_INSN &&
	       ((op->dst & 0xff) == K_RMREG || (op->src & 0xff) == K_RMREG);
}

static int decode_modrm(struct x86_emulate_ctxt *ctxt,
			const struct x86_opcode *op)
{
	struct x86_insn *i = &ctxt->insn;
	int rc = take_u8(ctxt, &i->modrm);

	if (rc)
		return rc;
	i->has_modrm = true;
	if (i->modrm >= 0xc0 || register_only(op))
		return X86EMUL_OK;
	i->has_mem = true;
	return i->ad_bytes == 2 ? decode_mem16(ctxt) : decode_mem32(ctxt);
}

/* ---- Decode: rows and operands --------------------------------------- */

static const struct x86_opcode *opcode_row(const struct x86_insn *insn);

static unsigned int sub_index(const struct x86_emulate_ctxt *ctxt, u8 type)
{
	const struct x86_insn *i = &ctxt->insn;

	switch (type) {
	case T_GROUP:
		return i->modrm >> 3 & 7;
	case T_PREFIX:
		return i->pp;
	case T_MOD:
		return i->modrm >= 0xc0;
	case T_RM:
		return i->modrm & 7;
	case T_MODE:
		return mode64(ctxt);
	default:
		return i->rex >> 3 & 1;
	}
}

/* The rows below one that is indexed by the ModRM byte. */
static bool needs_modrm(const struct x86_opcode *op)
{
	if (op->type == T_GROUP || op->type == T_MOD || op->type == T_RM)
		return true;
	if (op->type != T_INSN)
		return false;
	return (op->dst & 0xff) >= K_MODRM || (op->src & 0xff) >= K_MODRM ||
	       (op->src2 & 0xff) >= K_MODRM || (op->flags & R_MODRM);
}

/* Finds the row, and takes ModRM on the way as soon as a row wants it. */
static int decode_row(struct x86_emulate_ctxt *ctxt)
{
	const struct x86_opcode *op = opcode_row(&ctxt->insn);
	int rc;

	for (;;) {
		if (!op || op->type == T_NONE)
			return X86EMUL_UNHANDLEABLE;
		if (!ctxt->insn.has_modrm && needs_modrm(op)) {
			rc = decode_modrm(ctxt, op);
			if (rc)
				return rc;
		}
		if (op->type == T_INSN)
			break;
		op = &op->sub[sub_index(ctxt, op->type)];
	}
	ctxt->op = op;
	return X86EMUL_OK;
}

static void decode_sizes(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;
	bool code32 = ctxt->mode == X86_MODE_PROT32;

	if (mode64(ctxt)) {
		i->op_bytes = i->opsize_override ? 2 : 4;
		if (i->rex & 8)
			i->op_bytes = 8;
		i->ad_bytes = i->adsize_override ? 4 : 8;
	} else {
		i->op_bytes = code32 != i->opsize_override ? 4 : 2;
		i->ad_bytes = code32 != i->adsize_override ? 4 : 2;
	}
}

/* Instructions whose operand size is not 4 by default in 64-bit mode. */
static void adjust_op_bytes(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;

	if (!mode64(ctxt))
		return;
	if (ctxt->op->flags & R_F64)
		i->op_bytes = 8;
	else if ((ctxt->op->flags & R_D64) && i->op_bytes == 4)
		i->op_bytes = 8;
}

static unsigned int form_bytes(const struct x86_emulate_ctxt *ctxt, u16 form)
{
	const struct x86_insn *i = &ctxt->insn;
	bool w = i->rex & 8 && mode64(ctxt);

	switch (form >> 8) {
	case S_B: return 1;
	case S_W: return 2;
	case S_D: return 4;
	case S_Q: return 8;
	case S_O: return 16;
	case S_V: return i->op_bytes;
	case S_Z: return i->op_bytes == 2 ? 2 : 4;
	case S_Y: return w ? 8 : 4;
	case S_NAT: return mode64(ctxt) ? 8 : 4;
	case S_SX: return i->op_bytes == 2 ? 2 : 4;
	case S_FAR: return i->op_bytes + 2;
	case S_PAIR: return 2 * i->op_bytes;
	case S_DT: return mode64(ctxt) ? 10 : 6;
	case S_X: return 16 << i->vl;
	case S_DDUP: return i->vl ? 16 << i->vl : 8;
	}
	return 0;
}

static void gpr_operand(const struct x86_emulate_ctxt *ctxt,
			struct x86_operand *o, unsigned int reg)
{
	o->type = X86_OP_REG;
	o->reg = reg;
	/* Without REX, byte registers 4..7 are AH, CH, DH and BH. */
	if (o->bytes == 1 && !ctxt->insn.rex && reg >= 4) {
		o->reg = reg - 4;
		o->high8 = true;
	}
}

/* The register or memory of ModRM.rm; @regtype names the register file. */
static int rm_operand(struct x86_emulate_ctxt *ctxt, struct x86_operand *o,
		      u8 regtype)
{
	struct x86_insn *i = &ctxt->insn;
	unsigned int rm = i->modrm & 7;

	if (i->has_mem) {
		o->type = X86_OP_MEM;
		return X86EMUL_OK;
	}
	if (regtype == X86_OP_REG) {
		gpr_operand(ctxt, o, rm | (i->rex & 1) << 3);
		return X86EMUL_OK;
	}
	if (regtype == X86_OP_VEC) {
		rm |= (i->rex & 1) << 3;
		if (i->evex && mode64(ctxt))
			rm |= (i->rex & 2) << 3;
	}
	o->type = regtype;
	o->reg = rm;
	return X86EMUL_OK;
}

static int imm_operand(struct x86_emulate_ctxt *ctxt, struct x86_operand *o,
		       u8 kind)
{
	int rc;

	o->type = X86_OP_IMM;
	if (o->bytes > 8) {
		/* A far pointer: offset, then selector. */
		rc = take(ctxt, o->bytes - 2, &o->vec[0]);
		return rc ? rc : take(ctxt, 2, &o->vec[1]);
	}
	rc = take(ctxt, o->bytes, &o->val);
	if (!rc && kind != K_IMM)
		o->val = sign_extend(o->val, o->bytes);
	return rc;
}

static bool cr_exists(const struct x86_emulate_ctxt *ctxt, unsigned int cr)
{
	return cr == 0 || cr == 2 || cr == 3 || cr == 4 ||
	       (cr == 8 && mode64(ctxt));
}

static void fixed_gpr(struct x86_operand *o, unsigned int reg)
{
	o->type = X86_OP_REG;
	o->reg = reg;
}

static int moffs_operand(struct x86_emulate_ctxt *ctxt, struct x86_operand *o)
{
	struct x86_insn *i = &ctxt->insn;
	u64 off;
	int rc = take(ctxt, i->ad_bytes, &off);

	i->disp = off;
	i->has_mem = true;
	o->type = X86_OP_MEM;
	return rc;
}

/* An operand that the ModRM byte has no part in. */
static int plain_operand(struct x86_emulate_ctxt *ctxt, struct x86_operand *o,
			 u8 kind)
{
	struct x86_insn *i = &ctxt->insn;

	switch (kind) {
	case K_OPREG:
		gpr_operand(ctxt, o, (i->opcode & 7) | (i->rex & 1) << 3);
		break;
	case K_ACC:
		fixed_gpr(o, X86_RAX);
		break;
	case K_DX:
		fixed_gpr(o, X86_RDX);
		break;
	case K_CL:
		fixed_gpr(o, X86_RCX);
		break;
	case K_ONE:
		o->type = X86_OP_IMM;
		o->val = 1;
		break;
	case K_IMM: case K_SIMM: case K_REL:
		return imm_operand(ctxt, o, kind);
	case K_MOFFS:
		return moffs_operand(ctxt, o);
	case K_SI: case K_DI:
		o->type = X86_OP_MEM;
		break;
	case K_GVVVV:
		gpr_operand(ctxt, o, i->vvvv & 0xf);
		break;
	case K_VVVVV:
		o->type = X86_OP_VEC;
		o->reg = i->vvvv;
		break;
	}
	return X86EMUL_OK;
}

/* CR, DR and segment registers: those that do not exist are #UD. */
static int system_operand(struct x86_emulate_ctxt *ctxt,
			  struct x86_operand *o, u8 kind, unsigned int reg)
{
	if (kind == K_SREG) {
		o->type = X86_OP_SEG;
		o->reg = reg & 7;
		return o->reg > X86_SEG_GS ? ud(ctxt) : X86EMUL_OK;
	}
	o->type = kind == K_CREG ? X86_OP_CR : X86_OP_DR;
	o->reg = reg;
	return kind == K_CREG && !cr_exists(ctxt, reg) ? ud(ctxt) : X86EMUL_OK;
}

static int modrm_operand(struct x86_emulate_ctxt *ctxt, struct x86_operand *o,
			 u8 kind)
{
	struct x86_insn *i = &ctxt->insn;
	unsigned int reg = (i->modrm >> 3 & 7) | (i->rex & 4) << 1;

	switch (kind) {
	case K_RM:
		return rm_operand(ctxt, o, X86_OP_REG);
	case K_GREG:
		gpr_operand(ctxt, o, reg);
		break;
	case K_MEM: case K_ADDR:
		if (!i->has_mem)
			return ud(ctxt);
		o->type = kind == K_MEM ? X86_OP_MEM : X86_OP_NONE;
		break;
	case K_RMREG:
		gpr_operand(ctxt, o, (i->modrm & 7) | (i->rex & 1) << 3);
		break;
	case K_SREG: case K_CREG: case K_DREG:
		return system_operand(ctxt, o, kind, reg);
	case K_VREG:
		o->type = X86_OP_VEC;
		o->reg = reg | i->rex2 << 4;
		break;
	case K_VRM:
		return rm_operand(ctxt, o, X86_OP_VEC);
	case K_MMREG:
		o->type = X86_OP_MMX;
		o->reg = reg & 7;
		break;
	case K_MMRM:
		return rm_operand(ctxt, o, X86_OP_MMX);
	}
	return X86EMUL_OK;
}

/* Fills type, bytes and register of one operand; takes its immediate. */
static int decode_operand(struct x86_emulate_ctxt *ctxt, struct x86_operand *o,
			  u16 form)
{
	u8 kind = form & 0xff;

	o->type = X86_OP_NONE;
	if (kind == K_NONE)
		return X86EMUL_OK;
	o->high8 = false;
	o->bytes = form_bytes(ctxt, form);
	return kind < K_MODRM ? plain_operand(ctxt, o, kind) :
				modrm_operand(ctxt, o, kind);
}

/* EVEX: "Compressed Displacement (disp8*N) Support in EVEX" */
static void scale_disp8(struct x86_emulate_ctxt *ctxt)
{
	struct x86_insn *i = &ctxt->insn;
	const struct x86_operand *o = &ctxt->src;

	if (!i->evex || !i->disp8)
		return;
	if (o->type != X86_OP_MEM)
		o = &ctxt->dst;
	i->disp *= o->bytes;
}

static int decode_operands(struct x86_emulate_ctxt *ctxt)
{
	const struct x86_opcode *op = ctxt->op;
	int rc;

	rc = decode_operand(ctxt, &ctxt->dst, op->dst);
	if (!rc)
		rc = decode_operand(ctxt, &ctxt->src, op->src);
	if (!rc)
		rc = decode_operand(ctxt, &ctxt->src2, op->src2);
	if (!rc)
		scale_disp8(ctxt);
	return rc;
}

/* ---- Decode: legality ------------------------------------------------ */

static bool vvvv_used(const struct x86_opcode *op)
{
	u8 kinds[] = { op->dst, op->src, op->src2 };
	unsigned int n;

	for (n = 0; n < sizeof(kinds); n++)
		if (kinds[n] == K_GVVVV || kinds[n] == K_VVVVV)
			return true;
	return op->flags & R_VVVV;
}

static bool vex_legal(const struct x86_emulate_ctxt *ctxt)
{
	const struct x86_insn *i = &ctxt->insn;
	u32 flags = ctxt->op->flags;

	if (i->bad_prefix)
		return false;
	if (i->vvvv && !vvvv_used(ctxt->op))
		return false;
	if ((flags & R_L0) && i->vl)
		return false;
	if ((flags & R_L1) && !i->vl)
		return false;
	if ((flags & R_W0) && (i->rex & 8))
		return false;
	if ((flags & R_W1) && !(i->rex & 8))
		return false;
	return true;
}

/* EVEX forms handled here have no mask, no zeroing and no broadcast. */
static bool evex_plain(const struct x86_insn *i)
{
	return !(i->evex_p3 & 0x97) && i->vl != 3;
}

static int check_legality(struct x86_emulate_ctxt *ctxt)
{
	const struct x86_insn *i = &ctxt->insn;
	u32 flags = ctxt->op->flags;

	if (i->lock && !((flags & R_LOCK) && ctxt->dst.type == X86_OP_MEM))
		return ud(ctxt);
	if (flags & (mode64(ctxt) ? R_NO64 : R_ONLY64))
		return ud(ctxt);
	if ((flags & R_PROT) && !protected(ctxt))
		return ud(ctxt);
	if (i->vex && !vex_legal(ctxt))
		return ud(ctxt);
	if (i->evex && !evex_plain(i))
		return X86EMUL_UNHANDLEABLE;
	return X86EMUL_OK;
}

/* ---- Decode: the same instruction again ------------------------------ */

static void remember_operand(struct x86_last_insn *last, int n,
			     const struct x86_operand *o)
{
	last->operand[n].type = o->type;
	last->operand[n].bytes = o->bytes;
	last->operand[n].reg = o->reg;
	last->operand[n].high8 = o->high8;
	last->operand[n].val = o->val;
}

static void recall_operand(const struct x86_last_insn *last, int n,
			   struct x86_operand *o)
{
	o->type = last->operand[n].type;
	o->bytes = last->operand[n].bytes;
	o->reg = last->operand[n].reg;
	o->high8 = last->operand[n].high8;
	o->val = last->operand[n].val;
}

static u64 low_bytes_mask(unsigned int bytes)
{
	return bytes ? size_mask(bytes < 8 ? bytes : 8) : 0;
}

static void remember(struct x86_emulate_ctxt *ctxt)
{
	struct x86_last_insn *last = &ctxt->last;
	unsigned int len = ctxt->insn.len;

	/* An immediate far pointer is more than is kept. */
	last->valid = ctxt->src.type != X86_OP_IMM || ctxt->src.bytes <= 8;
	last->mode = ctxt->mode;
	last->mask[0] = low_bytes_mask(len);
	last->mask[1] = low_bytes_mask(len > 8 ? len - 8 : 0);
	last->insn = ctxt->insn;
	last->op = ctxt->op;
	remember_operand(last, 0, &ctxt->dst);
	remember_operand(last, 1, &ctxt->src);
	remember_operand(last, 2, &ctxt->src2);
}

/* What was decoded depends on the bytes and the mode alone. */
static bool same_as_last(const struct x86_emulate_ctxt *ctxt)
{
	const struct x86_last_insn *last = &ctxt->last;
	u64 now[2], then[2];

	if (!last->valid || last->mode != ctxt->mode ||
	    ctxt->insn.fetched < last->insn.len)
		return false;
	memcpy(now, ctxt->insn.bytes, sizeof(now));
	memcpy(then, last->insn.bytes, sizeof(then));
	return !((now[0] ^ then[0]) & last->mask[0]) &&
	       !((now[1] ^ then[1]) & last->mask[1]);
}

static void recall(struct x86_emulate_ctxt *ctxt)
{
	const struct x86_last_insn *last = &ctxt->last;

	ctxt->insn = last->insn;
	ctxt->op = last->op;
	recall_operand(last, 0, &ctxt->dst);
	recall_operand(last, 1, &ctxt->src);
	recall_operand(last, 2, &ctxt->src2);
}

/* ---- Decode ---------------------------------------------------------- */

static void reset_insn(struct x86_insn *i)
{
	u8 fetched = i->fetched;

	memset((u8 *)i + offsetof(struct x86_insn, len), 0,
	       sizeof(*i) - offsetof(struct x86_insn, len));
	i->fetched = fetched;
	i->seg = X86_SEG_DS;
	i->base = i->index = NO_REG;
}

static void reset_results(struct x86_emulate_ctxt *ctxt)
{
	ctxt->regs_dirty = 0;
	ctxt->shadow = 0;
	ctxt->batch = 0;
	ctxt->ext = 0;
	ctxt->trap = ctxt->halted = ctxt->mode_changed = false;
	ctxt->task_switched = ctxt->task_trap = false;
	ctxt->exception.has_error = false;
	ctxt->exception.cr2 = 0;
}

static int decode(struct x86_emulate_ctxt *ctxt)
{
	int rc;

	rc = decode_prefixes(ctxt);
	if (!rc)
		rc = decode_vex(ctxt);
	if (!rc)
		rc = decode_escapes(ctxt);
	if (rc)
		return rc;
	decode_sizes(ctxt);
	rc = decode_row(ctxt);
	if (rc)
		return rc;
	adjust_op_bytes(ctxt);
	rc = decode_operands(ctxt);
	if (rc)
		return rc;
	return check_legality(ctxt);
}

/*
 * Decodes the instruction at rip.  Returns OK, FAULT (an illegal instruction,
 * or one that cannot be fetched), UNHANDLEABLE, or what ops->fetch returned.
 */
int x86_decode_insn(struct x86_emulate_ctxt *ctxt)
{
	int rc;

	reset_results(ctxt);
	rc = fetch_upto(ctxt, 1);
	if (rc)
		return rc;
	if (same_as_last(ctxt)) {
		recall(ctxt);
		return X86EMUL_OK;
	}
	reset_insn(&ctxt->insn);
	rc = decode(ctxt);
	ctxt->last.valid = false;
	if (!rc)
		remember(ctxt);
	return rc;
}

/* ---- Operand fetch and write-back ------------------------------------ */

/* Table "Alignment Requirements by Data Type" */
static unsigned int operand_align(const struct x86_operand *o, u16 form)
{
	switch (form >> 8) {
	case S_FAR:
		return o->bytes - 2;
	case S_PAIR:
		return o->bytes / 2;
	case S_DT:
		return 4;
	}
	return o->bytes > 8 ? 8 : o->bytes;
}

/* MOVSD and its like take DS:rSI (or the override) and ES:rDI. */
static void string_address(const struct x86_emulate_ctxt *ctxt, u8 kind,
			   unsigned int *seg, u64 *ea)
{
	if (kind == K_DI) {
		*seg = X86_SEG_ES;
		*ea = ctxt->regs[X86_RDI];
	} else {
		*seg = ctxt->insn.seg;
		*ea = ctxt->regs[X86_RSI];
	}
	*ea &= size_mask(ctxt->insn.ad_bytes);
}

/*
 * "BT": a register offset selects an item of operand size before or after
 * the one addressed.  Returns the displacement in bytes.
 */
static u64 bit_displacement(const struct x86_operand *offset)
{
	s64 bits = sign_extend(offset->val, offset->bytes);
	unsigned int shift = offset->bytes == 2 ? 4 : offset->bytes == 4 ? 5 : 6;

	return (bits >> shift) * offset->bytes;
}

static int operand_address(struct x86_emulate_ctxt *ctxt,
			   struct x86_operand *o, u16 form, bool write)
{
	unsigned int seg = ctxt->insn.seg;
	u8 kind = form & 0xff;
	int rc;
	u64 ea;

	if (kind == K_SI || kind == K_DI)
		string_address(ctxt, kind, &seg, &ea);
	else
		ea = effective_address(ctxt);
	if (ctxt->op->flags & R_BITOFF)
		ea = (ea + bit_displacement(&ctxt->src)) &
			size_mask(ctxt->insn.ad_bytes);
	rc = linear(ctxt, seg, ea, o->bytes, write, &o->lin);
	if (rc)
		return rc;
	if ((ctxt->op->flags & R_ALIGN) && (o->lin & (o->bytes - 1)))
		return gp(ctxt, 0);
	if (!(ctxt->rflags & FL_AC))
		return X86EMUL_OK;
	return check_alignment(ctxt, o->lin, operand_align(o, form));
}

static bool is_locked(const struct x86_emulate_ctxt *ctxt)
{
	return ctxt->insn.lock || (ctxt->op->flags & R_ATOMIC);
}

static int load_mem(struct x86_emulate_ctxt *ctxt, struct x86_operand *o,
		    u16 form, bool read, bool write)
{
	unsigned int access = write ? X86_ACC_WRITE : 0;
	int rc;

	if (ctxt->op->flags & R_NOMEM)
		return X86EMUL_OK;
	rc = operand_address(ctxt, o, form, write);
	if (rc || !read)
		return rc;
	if (write && is_locked(ctxt))
		access |= X86_ACC_LOCK;
	o->val = 0;
	rc = ctxt->ops->read(ctxt, o->lin, o->data, o->bytes, access);
	if (!rc && (access & X86_ACC_LOCK))
		memcpy(ctxt->old, o->data, sizeof(ctxt->old));
	return rc;
}

static int load_operand(struct x86_emulate_ctxt *ctxt, struct x86_operand *o,
			u16 form, bool read, bool write)
{
	struct x86_segment s;

	if (o->type == X86_OP_MEM)
		return load_mem(ctxt, o, form, read, write);
	switch (o->type) {
	case X86_OP_REG:
		o->val = read_gpr(ctxt, o->reg, o->bytes, o->high8);
		break;
	case X86_OP_SEG:
		if (!read)
			break;
		ctxt->ops->get_segment(ctxt, o->reg, &s);
		o->val = s.selector;
		break;
	case X86_OP_VEC:
		if (read)
			ctxt->ops->get_vec(ctxt, o->reg, o->data,
					   o->bytes < 16 ? 16 : o->bytes);
		break;
	case X86_OP_MMX:
		if (read)
			ctxt->ops->get_mmx(ctxt, o->reg, &o->val);
		break;
	}
	return X86EMUL_OK;
}

/* Sources first: a bit string's address depends on one. */
static int load_operands(struct x86_emulate_ctxt *ctxt)
{
	const struct x86_opcode *op = ctxt->op;
	u32 f = op->flags;
	int rc = X86EMUL_OK;

	if (ctxt->src2.type != X86_OP_NONE)
		rc = load_operand(ctxt, &ctxt->src2, op->src2, true,
				  f & R_WSRC2);
	if (!rc && ctxt->src.type != X86_OP_NONE)
		rc = load_operand(ctxt, &ctxt->src, op->src, true, f & R_WSRC);
	if (!rc && ctxt->dst.type != X86_OP_NONE)
		rc = load_operand(ctxt, &ctxt->dst, op->dst, !(f & R_NORD),
				  !(f & R_NOWR));
	return rc;
}

/* A lost race leaves everything as it was, to be run again. */
static int store_locked(struct x86_emulate_ctxt *ctxt, struct x86_operand *o)
{
	u64 seen[2] = { ctxt->old[0], ctxt->old[1] };
	/* In brackets, as the kernel may have a macro of that name. */
	int rc = (ctxt->ops->cmpxchg)(ctxt, o->lin, seen, o->data, o->bytes);

	if (!rc && memcmp(seen, ctxt->old, o->bytes))
		return X86EMUL_RESTART;
	return rc;
}

static int store_operand(struct x86_emulate_ctxt *ctxt, struct x86_operand *o)
{
	switch (o->type) {
	case X86_OP_MEM:
		if (is_locked(ctxt))
			return store_locked(ctxt, o);
		return ctxt->ops->write(ctxt, o->lin, o->data, o->bytes, 0);
	case X86_OP_REG:
		write_gpr(ctxt, o->reg, o->bytes, o->high8, o->val);
		break;
	case X86_OP_VEC:
		ctxt->ops->set_vec(ctxt, o->reg, o->data,
				   o->bytes < 16 ? 16 : o->bytes,
				   ctxt->insn.vex);
		break;
	case X86_OP_MMX:
		ctxt->ops->set_mmx(ctxt, o->reg, o->val);
		break;
	}
	return X86EMUL_OK;
}

static int writeback(struct x86_emulate_ctxt *ctxt)
{
	u32 f = ctxt->op->flags;
	int rc;

	/* Memory, which can fault, is never one of the further operands. */
	if (!(f & (R_NOWR | R_SELF))) {
		rc = store_operand(ctxt, &ctxt->dst);
		if (rc)
			return rc;
	}
	if (f & R_WSRC)
		store_operand(ctxt, &ctxt->src);
	if (f & R_WSRC2)
		store_operand(ctxt, &ctxt->src2);
	return X86EMUL_OK;
}

/* ---- Execute: arithmetic flags --------------------------------------- */

static bool parity_even(u64 v)
{
	v ^= v >> 4;
	return !(0x6996 >> (v & 0xf) & 1);
}

static void flags_szp(struct x86_emulate_ctxt *ctxt, u64 res,
		      unsigned int bytes)
{
	res &= size_mask(bytes);
	set_flag(ctxt, FL_SF, res & sign_bit(bytes));
	set_flag(ctxt, FL_ZF, !res);
	set_flag(ctxt, FL_PF, parity_even(res & 0xff));
}

static void flags_logic(struct x86_emulate_ctxt *ctxt, u64 res,
			unsigned int bytes)
{
	ctxt->flags &= ~(u64)FL_ARITH;
	flags_szp(ctxt, res, bytes);
}

/* @carries: the carry out of each bit position. */
static void flags_addsub(struct x86_emulate_ctxt *ctxt, u64 res, u64 carries,
			 u64 overflow, unsigned int bytes)
{
	flags_szp(ctxt, res, bytes);
	set_flag(ctxt, FL_CF, carries & sign_bit(bytes));
	set_flag(ctxt, FL_AF, carries & 8);
	set_flag(ctxt, FL_OF, overflow & sign_bit(bytes));
}

static u64 do_add(struct x86_emulate_ctxt *ctxt, u64 a, u64 b, u64 c,
		  unsigned int bytes)
{
	u64 r = a + b + c;

	flags_addsub(ctxt, r, (a & b) | ((a | b) & ~r), (a ^ r) & (b ^ r),
		     bytes);
	return r;
}

static u64 do_sub(struct x86_emulate_ctxt *ctxt, u64 a, u64 b, u64 c,
		  unsigned int bytes)
{
	u64 r = a - b - c;

	flags_addsub(ctxt, r, (~a & b) | ((~a | b) & r), (a ^ b) & (a ^ r),
		     bytes);
	return r;
}

/* ---- Execute: arithmetic and logic ----------------------------------- */

static int op_add(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = do_add(ctxt, ctxt->dst.val, ctxt->src.val, 0,
			       ctxt->dst.bytes);
	return X86EMUL_OK;
}

static int op_adc(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = do_add(ctxt, ctxt->dst.val, ctxt->src.val,
			       ctxt->flags & FL_CF, ctxt->dst.bytes);
	return X86EMUL_OK;
}

static int op_sub(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = do_sub(ctxt, ctxt->dst.val, ctxt->src.val, 0,
			       ctxt->dst.bytes);
	return X86EMUL_OK;
}

static int op_sbb(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = do_sub(ctxt, ctxt->dst.val, ctxt->src.val,
			       ctxt->flags & FL_CF, ctxt->dst.bytes);
	return X86EMUL_OK;
}

static int op_cmp(struct x86_emulate_ctxt *ctxt)
{
	do_sub(ctxt, ctxt->dst.val, ctxt->src.val, 0, ctxt->dst.bytes);
	return X86EMUL_OK;
}

static int op_or(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val |= ctxt->src.val;
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	return X86EMUL_OK;
}

static int op_and(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val &= ctxt->src.val;
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	return X86EMUL_OK;
}

static int op_xor(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val ^= ctxt->src.val;
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	return X86EMUL_OK;
}

static int op_test(struct x86_emulate_ctxt *ctxt)
{
	flags_logic(ctxt, ctxt->dst.val & ctxt->src.val, ctxt->dst.bytes);
	return X86EMUL_OK;
}

static int op_not(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ~ctxt->dst.val;
	return X86EMUL_OK;
}

static int op_neg(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = do_sub(ctxt, 0, ctxt->dst.val, 0, ctxt->dst.bytes);
	return X86EMUL_OK;
}

/* INC and DEC leave CF alone. */
static int op_inc(struct x86_emulate_ctxt *ctxt)
{
	u64 cf = ctxt->flags & FL_CF;

	ctxt->dst.val = do_add(ctxt, ctxt->dst.val, 1, 0, ctxt->dst.bytes);
	set_flag(ctxt, FL_CF, cf);
	return X86EMUL_OK;
}

static int op_dec(struct x86_emulate_ctxt *ctxt)
{
	u64 cf = ctxt->flags & FL_CF;

	ctxt->dst.val = do_sub(ctxt, ctxt->dst.val, 1, 0, ctxt->dst.bytes);
	set_flag(ctxt, FL_CF, cf);
	return X86EMUL_OK;
}

/* ADCX and ADOX: an addition with a carry flag of its own. */
static int add_with(struct x86_emulate_ctxt *ctxt, u64 flag)
{
	unsigned int bytes = ctxt->dst.bytes;
	u64 a = ctxt->dst.val, b = ctxt->src.val;
	u64 r = a + b + !!(ctxt->flags & flag);

	set_flag(ctxt, flag, ((a & b) | ((a | b) & ~r)) & sign_bit(bytes));
	ctxt->dst.val = r;
	return X86EMUL_OK;
}

static int op_adcx(struct x86_emulate_ctxt *ctxt)
{
	return add_with(ctxt, FL_CF);
}

static int op_adox(struct x86_emulate_ctxt *ctxt)
{
	return add_with(ctxt, FL_OF);
}

/* ---- Execute: multiplication and division ---------------------------- */

/* rDX:rAX, or AX for bytes, as the high and low half of a product. */
static void write_pair(struct x86_emulate_ctxt *ctxt, unsigned int bytes,
		       u64 lo, u64 hi)
{
	if (bytes == 1) {
		set_gpr(ctxt, X86_RAX, 2, (lo & 0xff) | (hi & 0xff) << 8);
		return;
	}
	set_gpr(ctxt, X86_RAX, bytes, lo);
	set_gpr(ctxt, X86_RDX, bytes, hi);
}

/* Full product of two @bytes-wide numbers, split into halves. */
static void mul_wide(u64 a, u64 b, unsigned int bytes, u64 *lo, u64 *hi)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	*lo = (u64)p & size_mask(bytes);
	*hi = (u64)(p >> 8 * bytes) & size_mask(bytes);
}

static void imul_wide(u64 a, u64 b, unsigned int bytes, u64 *lo, u64 *hi)
{
	__int128 p = (__int128)(s64)sign_extend(a, bytes) *
		     (s64)sign_extend(b, bytes);

	*lo = (u64)p & size_mask(bytes);
	*hi = (u64)((unsigned __int128)p >> 8 * bytes) & size_mask(bytes);
}

static void flags_mul(struct x86_emulate_ctxt *ctxt, bool overflow)
{
	set_flag(ctxt, FL_CF | FL_OF, overflow);
}

static int op_mul(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->dst.bytes;
	u64 lo, hi;

	mul_wide(ctxt->dst.val, read_gpr(ctxt, X86_RAX, bytes, false), bytes,
		 &lo, &hi);
	write_pair(ctxt, bytes, lo, hi);
	flags_mul(ctxt, hi);
	return X86EMUL_OK;
}

/* Does the high half hold nothing but the sign of the low one? */
static bool sign_only(u64 lo, u64 hi, unsigned int bytes)
{
	return hi == (lo & sign_bit(bytes) ? size_mask(bytes) : 0);
}

static int op_imul1(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->dst.bytes;
	u64 lo, hi;

	imul_wide(ctxt->dst.val, ctxt->regs[X86_RAX], bytes, &lo, &hi);
	write_pair(ctxt, bytes, lo, hi);
	flags_mul(ctxt, !sign_only(lo, hi, bytes));
	return X86EMUL_OK;
}

static int imul(struct x86_emulate_ctxt *ctxt, u64 a, u64 b)
{
	unsigned int bytes = ctxt->dst.bytes;
	u64 lo, hi;

	imul_wide(a, b, bytes, &lo, &hi);
	ctxt->dst.val = lo;
	flags_mul(ctxt, !sign_only(lo, hi, bytes));
	return X86EMUL_OK;
}

static int op_imul2(struct x86_emulate_ctxt *ctxt)
{
	return imul(ctxt, ctxt->dst.val, ctxt->src.val);
}

static int op_imul3(struct x86_emulate_ctxt *ctxt)
{
	return imul(ctxt, ctxt->src.val, ctxt->src2.val);
}

static int divide_error(struct x86_emulate_ctxt *ctxt)
{
	return x86_emul_fault(ctxt, X86_EXC_DE, false, 0);
}

/* @hi:@lo / @d, where hi < d, so that the quotient fits. */
static void div128(u64 hi, u64 lo, u64 d, u64 *quot, u64 *rem)
{
	__asm__("divq %4" : "=a"(*quot), "=d"(*rem)
		: "a"(lo), "d"(hi), "rm"(d) : "cc");
}

/* The dividend of DIV and IDIV, as one number of twice the size. */
static unsigned __int128 dividend(const struct x86_emulate_ctxt *ctxt,
				  unsigned int bytes)
{
	u64 a = ctxt->regs[X86_RAX], d = ctxt->regs[X86_RDX];

	if (bytes == 1)
		return a & 0xffff;
	return (unsigned __int128)(d & size_mask(bytes)) << 8 * bytes |
	       (a & size_mask(bytes));
}

static int op_div(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->dst.bytes;
	unsigned __int128 n = dividend(ctxt, bytes);
	u64 d = ctxt->dst.val, quot, rem;

	if ((u64)(n >> 64) >= d)
		return divide_error(ctxt);
	div128(n >> 64, n, d, &quot, &rem);
	if (quot > size_mask(bytes))
		return divide_error(ctxt);
	write_pair(ctxt, bytes, quot, rem);
	return X86EMUL_OK;
}

/* Divides magnitudes and then gives the results their signs. */
static int op_idiv(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->dst.bytes;
	unsigned __int128 n = dividend(ctxt, bytes);
	s64 d = sign_extend(ctxt->dst.val, bytes);
	bool nneg = n >> (16 * bytes - 1) & 1, qneg = nneg != (d < 0);
	u64 mag = d < 0 ? -(u64)d : (u64)d, quot, rem;

	if (nneg) {
		n = -n;
		if (bytes < 8)
			n &= ((unsigned __int128)1 << 16 * bytes) - 1;
	}
	if ((u64)(n >> 64) >= mag)
		return divide_error(ctxt);
	div128(n >> 64, n, mag, &quot, &rem);
	if (quot > sign_bit(bytes) - !qneg)
		return divide_error(ctxt);
	write_pair(ctxt, bytes, qneg ? -quot : quot, nneg ? -rem : rem);
	return X86EMUL_OK;
}

/* MULX: flags untouched; the high half wins if both names are one. */
static int op_mulx(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->dst.bytes;
	u64 lo, hi;

	mul_wide(ctxt->src.val, read_gpr(ctxt, X86_RDX, bytes, false), bytes,
		 &lo, &hi);
	set_gpr(ctxt, ctxt->insn.vvvv & 0xf, bytes, lo);
	ctxt->dst.val = hi;
	return X86EMUL_OK;
}

/* ---- Execute: shifts and rotates ------------------------------------- */

static unsigned int shift_count(const struct x86_emulate_ctxt *ctxt, u64 count)
{
	return count & (ctxt->dst.bytes == 8 ? 0x3f : 0x1f);
}

static void flags_rotate(struct x86_emulate_ctxt *ctxt, bool cf, bool of)
{
	set_flag(ctxt, FL_CF, cf);
	set_flag(ctxt, FL_OF, of);
}

static int op_rol(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->dst.bytes;
	unsigned int n = shift_count(ctxt, ctxt->src.val);
	u64 v = ctxt->dst.val;

	if (!n)
		return X86EMUL_OK;
	n &= bits - 1;
	if (n)
		v = v << n | v >> (bits - n);
	ctxt->dst.val = v;
	flags_rotate(ctxt, v & 1, (v ^ v >> (bits - 1)) & 1);
	return X86EMUL_OK;
}

static int op_ror(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->dst.bytes;
	unsigned int n = shift_count(ctxt, ctxt->src.val);
	u64 v = ctxt->dst.val;

	if (!n)
		return X86EMUL_OK;
	n &= bits - 1;
	if (n)
		v = v >> n | v << (bits - n);
	ctxt->dst.val = v;
	flags_rotate(ctxt, v >> (bits - 1) & 1,
		     (v >> (bits - 1) ^ v >> (bits - 2)) & 1);
	return X86EMUL_OK;
}

/* The operand and CF form a ring of one bit more than the operand. */
static u64 rotate_ring(u64 v, bool *cf, unsigned int bits, unsigned int left)
{
	unsigned __int128 ring = (unsigned __int128)*cf << bits | v;

	if (left)
		ring = ring << left | ring >> (bits + 1 - left);
	*cf = ring >> bits & 1;
	return ring;
}

static int op_rcl(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->dst.bytes;
	unsigned int n = shift_count(ctxt, ctxt->src.val);
	bool cf = ctxt->flags & FL_CF;
	u64 v;

	if (!n)
		return X86EMUL_OK;
	v = rotate_ring(ctxt->dst.val, &cf, bits, n % (bits + 1));
	ctxt->dst.val = v;
	flags_rotate(ctxt, cf, cf != (v >> (bits - 1) & 1));
	return X86EMUL_OK;
}

static int op_rcr(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->dst.bytes;
	unsigned int n = shift_count(ctxt, ctxt->src.val);
	bool cf = ctxt->flags & FL_CF;
	u64 v;

	if (!n)
		return X86EMUL_OK;
	n %= bits + 1;
	v = rotate_ring(ctxt->dst.val, &cf, bits, n ? bits + 1 - n : 0);
	ctxt->dst.val = v;
	flags_rotate(ctxt, cf, (v >> (bits - 1) ^ v >> (bits - 2)) & 1);
	return X86EMUL_OK;
}

static int op_shl(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->dst.bytes;
	unsigned int n = shift_count(ctxt, ctxt->src.val);
	unsigned __int128 wide = (unsigned __int128)ctxt->dst.val << n;
	bool cf = wide >> bits & 1;

	if (!n)
		return X86EMUL_OK;
	ctxt->dst.val = (u64)wide;
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	flags_rotate(ctxt, cf, cf != (ctxt->dst.val >> (bits - 1) & 1));
	return X86EMUL_OK;
}

static int op_shr(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->dst.bytes;
	unsigned int n = shift_count(ctxt, ctxt->src.val);
	u64 v = ctxt->dst.val;

	if (!n)
		return X86EMUL_OK;
	ctxt->dst.val = v >> n;
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	flags_rotate(ctxt, v >> (n - 1) & 1, v >> (bits - 1) & 1);
	return X86EMUL_OK;
}

static int op_sar(struct x86_emulate_ctxt *ctxt)
{
	unsigned int n = shift_count(ctxt, ctxt->src.val);
	s64 v = sign_extend(ctxt->dst.val, ctxt->dst.bytes);

	if (!n)
		return X86EMUL_OK;
	ctxt->dst.val = v >> n;
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	flags_rotate(ctxt, v >> (n - 1) & 1, false);
	return X86EMUL_OK;
}

/* SHLD and SHRD; 16-bit counts above 16 are undefined. */
static int op_shld(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->dst.bytes;
	unsigned int n = shift_count(ctxt, ctxt->src2.val);
	unsigned __int128 w = (unsigned __int128)ctxt->dst.val << bits |
			      ctxt->src.val;
	u64 v = ctxt->dst.val;
	bool cf;

	if (!n)
		return X86EMUL_OK;
	cf = w >> (2 * bits - n) & 1;
	v = w << n >> bits;
	flags_logic(ctxt, v, ctxt->dst.bytes);
	flags_rotate(ctxt, cf, (v ^ ctxt->dst.val) >> (bits - 1) & 1);
	ctxt->dst.val = v;
	return X86EMUL_OK;
}

static int op_shrd(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->dst.bytes;
	unsigned int n = shift_count(ctxt, ctxt->src2.val);
	unsigned __int128 w = (unsigned __int128)ctxt->src.val << bits |
			      ctxt->dst.val;
	u64 v;

	if (!n)
		return X86EMUL_OK;
	v = w >> n;
	flags_logic(ctxt, v, ctxt->dst.bytes);
	flags_rotate(ctxt, w >> (n - 1) & 1,
		     (v ^ ctxt->dst.val) >> (bits - 1) & 1);
	ctxt->dst.val = v;
	return X86EMUL_OK;
}

/* RORX, SARX, SHLX, SHRX: no flags. */
static int op_rorx(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->dst.bytes;
	unsigned int n = ctxt->src2.val & (bits - 1);
	u64 v = ctxt->src.val;

	ctxt->dst.val = n ? v >> n | v << (bits - n) : v;
	return X86EMUL_OK;
}

static int op_sarx(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = (s64)sign_extend(ctxt->src.val, ctxt->src.bytes) >>
			shift_count(ctxt, ctxt->src2.val);
	return X86EMUL_OK;
}

static int op_shlx(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->src.val << shift_count(ctxt, ctxt->src2.val);
	return X86EMUL_OK;
}

static int op_shrx(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->src.val >> shift_count(ctxt, ctxt->src2.val);
	return X86EMUL_OK;
}

/* ---- Execute: bits and bytes ----------------------------------------- */

static u64 bit_selected(struct x86_emulate_ctxt *ctxt)
{
	u64 bit = 1ull << (ctxt->src.val & (8 * ctxt->dst.bytes - 1));

	set_flag(ctxt, FL_CF, ctxt->dst.val & bit);
	return bit;
}

static int op_bt(struct x86_emulate_ctxt *ctxt)
{
	bit_selected(ctxt);
	return X86EMUL_OK;
}

static int op_bts(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val |= bit_selected(ctxt);
	return X86EMUL_OK;
}

static int op_btr(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val &= ~bit_selected(ctxt);
	return X86EMUL_OK;
}

static int op_btc(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val ^= bit_selected(ctxt);
	return X86EMUL_OK;
}

/* A zero source leaves the destination register wholly unchanged. */
static int op_bsf(struct x86_emulate_ctxt *ctxt)
{
	set_flag(ctxt, FL_ZF, !ctxt->src.val);
	if (ctxt->src.val)
		ctxt->dst.val = __builtin_ctzll(ctxt->src.val);
	else
		ctxt->dst.type = X86_OP_NONE;
	return X86EMUL_OK;
}

static int op_bsr(struct x86_emulate_ctxt *ctxt)
{
	set_flag(ctxt, FL_ZF, !ctxt->src.val);
	if (ctxt->src.val)
		ctxt->dst.val = 63 - __builtin_clzll(ctxt->src.val);
	else
		ctxt->dst.type = X86_OP_NONE;
	return X86EMUL_OK;
}

static int count_zeros(struct x86_emulate_ctxt *ctxt, unsigned int n)
{
	ctxt->dst.val = n;
	set_flag(ctxt, FL_CF, !ctxt->src.val);
	set_flag(ctxt, FL_ZF, !n);
	return X86EMUL_OK;
}

static int op_tzcnt(struct x86_emulate_ctxt *ctxt)
{
	return count_zeros(ctxt, ctxt->src.val ?
			   __builtin_ctzll(ctxt->src.val) :
			   8 * ctxt->src.bytes);
}

static int op_lzcnt(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bits = 8 * ctxt->src.bytes;

	return count_zeros(ctxt, ctxt->src.val ?
			   __builtin_clzll(ctxt->src.val) - (64 - bits) : bits);
}

static int op_popcnt(struct x86_emulate_ctxt *ctxt)
{
	u64 v = ctxt->src.val, n = 0;

	for (; v; v &= v - 1)
		n++;
	ctxt->dst.val = n;
	ctxt->flags &= ~(u64)FL_ARITH;
	set_flag(ctxt, FL_ZF, !n);
	return X86EMUL_OK;
}

static u64 swap_bytes(u64 v, unsigned int bytes)
{
	return __builtin_bswap64(v) >> (64 - 8 * bytes);
}

static int op_movbe(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = swap_bytes(ctxt->src.val, ctxt->src.bytes);
	return X86EMUL_OK;
}

static int op_bswap(struct x86_emulate_ctxt *ctxt)
{
	/* A 16-bit BSWAP is undefined; processors in fact clear the word. */
	ctxt->dst.val = ctxt->dst.bytes == 2 ? 0 :
			swap_bytes(ctxt->dst.val, ctxt->dst.bytes);
	return X86EMUL_OK;
}

/* CRC-32C, bit-reflected polynomial 11EDC6F41H */
static int op_crc32(struct x86_emulate_ctxt *ctxt)
{
	unsigned int n;
	u32 crc = ctxt->dst.val;

	for (n = 0; n < 8u * ctxt->src.bytes; n++) {
		u32 bit = (crc ^ (u32)(ctxt->src.val >> n)) & 1;

		crc = crc >> 1 ^ (bit ? 0x82f63b78 : 0);
	}
	ctxt->dst.val = crc;
	return X86EMUL_OK;
}

static int op_andn(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ~ctxt->src.val & ctxt->src2.val;
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	return X86EMUL_OK;
}

static u64 low_bits(unsigned int n)
{
	return n < 64 ? (1ull << n) - 1 : ~0ull;
}

static int op_bextr(struct x86_emulate_ctxt *ctxt)
{
	unsigned int start = ctxt->src2.val & 0xff;
	unsigned int len = ctxt->src2.val >> 8 & 0xff;

	ctxt->dst.val = start < 64 ?
			ctxt->src.val >> start & low_bits(len) : 0;
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	return X86EMUL_OK;
}

static int op_blsr(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->src.val & (ctxt->src.val - 1);
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	set_flag(ctxt, FL_CF, !ctxt->src.val);
	return X86EMUL_OK;
}

static int op_blsmsk(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->src.val ^ (ctxt->src.val - 1);
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	set_flag(ctxt, FL_CF, !ctxt->src.val);
	return X86EMUL_OK;
}

static int op_blsi(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->src.val & -ctxt->src.val;
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	set_flag(ctxt, FL_CF, ctxt->src.val);
	return X86EMUL_OK;
}

static int op_bzhi(struct x86_emulate_ctxt *ctxt)
{
	unsigned int n = ctxt->src2.val & 0xff;

	ctxt->dst.val = ctxt->src.val & low_bits(n);
	flags_logic(ctxt, ctxt->dst.val, ctxt->dst.bytes);
	set_flag(ctxt, FL_CF, n > 8u * ctxt->dst.bytes - 1);
	return X86EMUL_OK;
}

/* PDEP: src is the data, src2 the mask. */
static int op_pdep(struct x86_emulate_ctxt *ctxt)
{
	u64 data = ctxt->src.val, mask = ctxt->src2.val, r = 0;

	for (; mask; mask &= mask - 1, data >>= 1)
		if (data & 1)
			r |= mask & -mask;
	ctxt->dst.val = r;
	return X86EMUL_OK;
}

static int op_pext(struct x86_emulate_ctxt *ctxt)
{
	u64 data = ctxt->src.val, mask = ctxt->src2.val, r = 0;
	unsigned int n = 0;

	for (; mask; mask &= mask - 1, n++)
		if (data & mask & -mask)
			r |= 1ull << n;
	ctxt->dst.val = r;
	return X86EMUL_OK;
}

/* ---- Execute: data movement ------------------------------------------ */

static int op_nop(struct x86_emulate_ctxt *ctxt)
{
	(void)ctxt;
	return X86EMUL_OK;
}

static int op_ud(struct x86_emulate_ctxt *ctxt)
{
	return ud(ctxt);
}

static int op_mov(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->src.val;
	return X86EMUL_OK;
}

static int op_movsx(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = sign_extend(ctxt->src.val, ctxt->src.bytes);
	return X86EMUL_OK;
}

static int op_lea(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = effective_address(ctxt);
	return X86EMUL_OK;
}

static int op_xchg(struct x86_emulate_ctxt *ctxt)
{
	u64 t = ctxt->dst.val;

	ctxt->dst.val = ctxt->src.val;
	ctxt->src.val = t;
	return X86EMUL_OK;
}

/* XADD: when both operands are one register it receives the sum. */
static int op_xadd(struct x86_emulate_ctxt *ctxt)
{
	u64 old = ctxt->dst.val;

	op_add(ctxt);
	if (ctxt->dst.type == X86_OP_REG && ctxt->dst.reg == ctxt->src.reg &&
	    ctxt->dst.high8 == ctxt->src.high8)
		ctxt->src.type = X86_OP_NONE;
	ctxt->src.val = old;
	return X86EMUL_OK;
}

/*
 * dst, new value in src, accumulator in src2.  A failed comparison loads the
 * accumulator and writes the destination back, as the processor does.
 */
static int op_cmpxchg(struct x86_emulate_ctxt *ctxt)
{
	u64 old = ctxt->dst.val;

	do_sub(ctxt, ctxt->src2.val, old, 0, ctxt->dst.bytes);
	if (ctxt->flags & FL_ZF) {
		ctxt->dst.val = ctxt->src.val;
		ctxt->src2.type = X86_OP_NONE;
	} else {
		ctxt->src2.val = old;
		if (ctxt->dst.type == X86_OP_REG)
			ctxt->dst.type = X86_OP_NONE;
	}
	return X86EMUL_OK;
}

/* CMPXCHG8B and CMPXCHG16B.  Here the handler stores, then loads rDX:rAX. */
static int op_cmpxchg_pair(struct x86_emulate_ctxt *ctxt)
{
	unsigned int half = ctxt->dst.bytes / 2;
	u64 cmp[2] = { 0 }, new[2] = { 0 }, old[2] = { 0 };
	bool equal;
	int rc;

	memcpy(old, ctxt->dst.data, ctxt->dst.bytes);
	memcpy(cmp, &ctxt->regs[X86_RAX], half);
	memcpy((u8 *)cmp + half, &ctxt->regs[X86_RDX], half);
	memcpy(new, &ctxt->regs[X86_RBX], half);
	memcpy((u8 *)new + half, &ctxt->regs[X86_RCX], half);
	equal = !memcmp(cmp, old, sizeof(cmp));
	memcpy(ctxt->dst.data, equal ? new : old, ctxt->dst.bytes);
	rc = store_operand(ctxt, &ctxt->dst);
	if (rc)
		return rc;
	ctxt->dst.type = X86_OP_NONE;
	set_flag(ctxt, FL_ZF, equal);
	if (!equal) {
		set_gpr(ctxt, X86_RAX, half, half == 8 ? old[0] : (u32)old[0]);
		set_gpr(ctxt, X86_RDX, half,
			half == 8 ? old[1] : old[0] >> 32);
	}
	return X86EMUL_OK;
}

/* Tables "Conditional Move", "Jcc", "SETcc": the condition in 4 bits */
static bool condition(const struct x86_emulate_ctxt *ctxt)
{
	u64 f = ctxt->flags;
	bool sf_ne_of = !(f & FL_SF) != !(f & FL_OF), r;

	switch (ctxt->insn.opcode >> 1 & 7) {
	case 0: r = f & FL_OF; break;
	case 1: r = f & FL_CF; break;
	case 2: r = f & FL_ZF; break;
	case 3: r = f & (FL_CF | FL_ZF); break;
	case 4: r = f & FL_SF; break;
	case 5: r = f & FL_PF; break;
	case 6: r = sf_ne_of; break;
	default: r = (f & FL_ZF) || sf_ne_of; break;
	}
	return r != (ctxt->insn.opcode & 1);
}

/* 90 is XCHG with rAX only when REX.B makes it R8. */
static int op_xchg_nop(struct x86_emulate_ctxt *ctxt)
{
	if (ctxt->insn.rex & 1)
		return op_xchg(ctxt);
	ctxt->dst.type = ctxt->src.type = X86_OP_NONE;
	return X86EMUL_OK;
}

static int op_setcc(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = condition(ctxt);
	return X86EMUL_OK;
}

/* A 32-bit CMOVcc clears the upper half even when it does not move. */
static int op_cmovcc(struct x86_emulate_ctxt *ctxt)
{
	if (condition(ctxt))
		ctxt->dst.val = ctxt->src.val;
	return X86EMUL_OK;
}

static int op_xlat(struct x86_emulate_ctxt *ctxt)
{
	u64 ea = ctxt->regs[X86_RBX] + (ctxt->regs[X86_RAX] & 0xff), lin;
	int rc;

	ea &= size_mask(ctxt->insn.ad_bytes);
	rc = linear(ctxt, ctxt->insn.seg, ea, 1, false, &lin);
	if (rc)
		return rc;
	return ctxt->ops->read(ctxt, lin, ctxt->dst.data, 1, 0);
}

/* CBW, CWDE, CDQE */
static int op_cbw(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->dst.bytes;

	ctxt->dst.val = sign_extend(ctxt->regs[X86_RAX], bytes / 2);
	return X86EMUL_OK;
}

/* CWD, CDQ, CQO */
static int op_cwd(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->src.bytes;

	ctxt->dst.val = ctxt->src.val & sign_bit(bytes) ? ~0ull : 0;
	return X86EMUL_OK;
}

/* ---- Execute: flags and decimal arithmetic --------------------------- */

static int op_clc(struct x86_emulate_ctxt *ctxt)
{
	set_flag(ctxt, FL_CF, false);
	return X86EMUL_OK;
}

static int op_stc(struct x86_emulate_ctxt *ctxt)
{
	set_flag(ctxt, FL_CF, true);
	return X86EMUL_OK;
}

static int op_cmc(struct x86_emulate_ctxt *ctxt)
{
	ctxt->flags ^= FL_CF;
	return X86EMUL_OK;
}

static int op_cld(struct x86_emulate_ctxt *ctxt)
{
	set_flag(ctxt, FL_DF, false);
	return X86EMUL_OK;
}

static int op_std(struct x86_emulate_ctxt *ctxt)
{
	set_flag(ctxt, FL_DF, true);
	return X86EMUL_OK;
}

static int op_sahf(struct x86_emulate_ctxt *ctxt)
{
	u64 m = FL_SZP | FL_AF | FL_CF;

	ctxt->flags = (ctxt->flags & ~m) | (ctxt->regs[X86_RAX] >> 8 & m);
	return X86EMUL_OK;
}

static int op_lahf(struct x86_emulate_ctxt *ctxt)
{
	u64 m = FL_SZP | FL_AF | FL_CF;

	write_gpr(ctxt, X86_RAX, 1, true, (ctxt->flags & m) | FL_FIXED);
	return X86EMUL_OK;
}

static int op_salc(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->flags & FL_CF ? 0xff : 0;
	return X86EMUL_OK;
}

/* DAA and DAS differ in the sign of the adjustment. */
static int decimal_adjust(struct x86_emulate_ctxt *ctxt, bool sub)
{
	u8 al = ctxt->dst.val, adj = 0;
	bool cf = (ctxt->flags & FL_CF) || al > 0x99;
	bool af = (ctxt->flags & FL_AF) || (al & 0xf) > 9;
	bool wrap;

	if (af)
		adj = 6;
	/* The low adjustment alone can carry or borrow. */
	wrap = af && (sub ? al < 6 : al > 0xf9);
	if (cf)
		adj += 0x60;
	ctxt->dst.val = sub ? al - adj : al + adj;
	flags_logic(ctxt, ctxt->dst.val, 1);
	set_flag(ctxt, FL_CF, cf || wrap);
	set_flag(ctxt, FL_AF, af);
	return X86EMUL_OK;
}

static int op_daa(struct x86_emulate_ctxt *ctxt)
{
	return decimal_adjust(ctxt, false);
}

static int op_das(struct x86_emulate_ctxt *ctxt)
{
	return decimal_adjust(ctxt, true);
}

static int ascii_adjust(struct x86_emulate_ctxt *ctxt, u64 delta)
{
	bool adjust = (ctxt->flags & FL_AF) || (ctxt->dst.val & 0xf) > 9;

	if (adjust)
		ctxt->dst.val += delta;
	ctxt->dst.val &= 0xff0f;
	set_flag(ctxt, FL_AF | FL_CF, adjust);
	return X86EMUL_OK;
}

static int op_aaa(struct x86_emulate_ctxt *ctxt)
{
	return ascii_adjust(ctxt, 0x106);
}

static int op_aas(struct x86_emulate_ctxt *ctxt)
{
	return ascii_adjust(ctxt, -0x106ull);
}

static int op_aam(struct x86_emulate_ctxt *ctxt)
{
	u8 al = ctxt->dst.val, base = ctxt->src.val;

	if (!base)
		return divide_error(ctxt);
	ctxt->dst.val = (al / base) << 8 | al % base;
	flags_logic(ctxt, al % base, 1);
	return X86EMUL_OK;
}

static int op_aad(struct x86_emulate_ctxt *ctxt)
{
	u64 ax = ctxt->dst.val;

	ctxt->dst.val = (ax + (ax >> 8) * ctxt->src.val) & 0xff;
	flags_logic(ctxt, ctxt->dst.val, 1);
	return X86EMUL_OK;
}

/* "WAIT/FWAIT": pending x87 exceptions belong to the caller. */
static int op_fwait(struct x86_emulate_ctxt *ctxt)
{
	u64 cr0 = ctxt->ops->get_cr(ctxt, 0);

	if ((cr0 & CR0_MP) && (cr0 & CR0_TS))
		return x86_emul_fault(ctxt, X86_EXC_NM, false, 0);
	return X86EMUL_OK;
}

/* ---- Execute: x87 ---------------------------------------------------- */

/*
 * "x87 FPU Instructions": the registers are the caller's; here is what can be
 * encoded.  By opcode, D8 first, and ModRM.reg: the bytes of the operand in
 * memory; 0 where there is none; X87_ENV and X87_STATE for images, the
 * environment alone or with the registers behind it, whose form depends on
 * the mode.
 */
#define X87_ENV		0xfe
#define X87_STATE	0xff

static const u8 x87_bytes[8][8] = {
	{ 4, 4, 4, 4, 4, 4, 4, 4 },
	{ 4, 0, 4, 4, X87_ENV, 2, X87_ENV, 2 },
	{ 4, 4, 4, 4, 4, 4, 4, 4 },
	{ 4, 4, 4, 4, 0, 10, 0, 10 },
	{ 8, 8, 8, 8, 8, 8, 8, 8 },
	{ 8, 8, 8, 8, X87_STATE, 0, X87_STATE, 2 },
	{ 2, 2, 2, 2, 2, 2, 2, 2 },
	{ 2, 2, 2, 2, 10, 8, 10, 8 },
};

/* Bit n: ModRM.reg of n writes to memory. */
static const u8 x87_writes[8] = { 0, 0xcc, 0, 0x8e, 0, 0xce, 0, 0xce };

/* Bit n: there is an instruction with a ModRM byte of C0H + n. */
static const u64 x87_registers[8] = {
	~0ull, 0xffff7f330001ffffull,
	0x00000200ffffffffull, 0x00ffff1fffffffffull,
	0xffffffff0000ffffull, 0x0000ffffffff00ffull,
	0xffffffff0200ffffull, 0x00ffff0100000000ull,
};

static int x87_run(struct x86_emulate_ctxt *ctxt, u8 opcode, u8 modrm,
		   void *data)
{
	u8 flags = ctxt->flags;
	int rc;

	if (!ctxt->ops->x87)
		return X86EMUL_UNHANDLEABLE;
	rc = ctxt->ops->x87(ctxt, opcode, modrm, data, &flags);
	if (!rc)
		ctxt->flags = (ctxt->flags & ~0xffull) | flags;
	return rc;
}

/*
 * "x87 FPU State": the caller knows the 32-bit protected-mode form of an
 * image; here it becomes that of the mode, and back.
 */
enum {
	ENV_CONTROL, ENV_STATUS, ENV_TAGS, ENV_IP, ENV_CS_OPCODE, ENV_DP,
	ENV_DS, ENV_WORDS,
};
#define ENV_BYTES	(4 * ENV_WORDS)
#define ENV_BYTES_16	(2 * ENV_WORDS)
#define X87_REGS_BYTES	80
#define ENV_OPCODE	0x7ffu
#define ENV_RESERVED	0xffff0000u

static unsigned int env_bytes(const struct x86_emulate_ctxt *ctxt)
{
	return ctxt->insn.op_bytes == 2 ? ENV_BYTES_16 : ENV_BYTES;
}

static unsigned int x87_operand_bytes(const struct x86_emulate_ctxt *ctxt,
				      unsigned int bytes)
{
	if (bytes == X87_ENV)
		return env_bytes(ctxt);
	return bytes == X87_STATE ? env_bytes(ctxt) + X87_REGS_BYTES : bytes;
}

/* Real and virtual-8086 mode: linear pointers, of 20 bits in 16-bit images. */
static void env_to_real(u32 *e)
{
	u32 ip = e[ENV_IP] + ((e[ENV_CS_OPCODE] & 0xffff) << 4);
	u32 dp = e[ENV_DP] + ((e[ENV_DS] & 0xffff) << 4);
	u32 opcode = e[ENV_CS_OPCODE] >> 16 & ENV_OPCODE;

	e[ENV_IP] = ENV_RESERVED | ip;
	e[ENV_CS_OPCODE] = ip >> 16 << 12 | opcode;
	e[ENV_DP] = ENV_RESERVED | dp;
	e[ENV_DS] = dp >> 16 << 12;
}

static void env_from_real(u32 *e)
{
	e[ENV_IP] = (e[ENV_IP] & 0xffff) | e[ENV_CS_OPCODE] >> 12 << 16;
	e[ENV_CS_OPCODE] = (e[ENV_CS_OPCODE] & ENV_OPCODE) << 16;
	e[ENV_DP] = (e[ENV_DP] & 0xffff) | e[ENV_DS] >> 12 << 16;
	e[ENV_DS] = 0;
}

static void image_to_mode(const struct x86_emulate_ctxt *ctxt, u8 *image)
{
	u16 narrow[ENV_WORDS];
	u32 e[ENV_WORDS];
	unsigned int n;

	memcpy(e, image, ENV_BYTES);
	if (!protected(ctxt))
		env_to_real(e);
	memcpy(image, e, ENV_BYTES);
	if (env_bytes(ctxt) == ENV_BYTES)
		return;
	for (n = 0; n < ENV_WORDS; n++)
		narrow[n] = e[n];
	memcpy(image, narrow, ENV_BYTES_16);
	memmove(image + ENV_BYTES_16, image + ENV_BYTES, X87_REGS_BYTES);
}

static void image_from_mode(const struct x86_emulate_ctxt *ctxt, u8 *image)
{
	u16 narrow[ENV_WORDS];
	u32 e[ENV_WORDS];
	unsigned int n;

	memcpy(e, image, ENV_BYTES);
	if (env_bytes(ctxt) != ENV_BYTES) {
		memcpy(narrow, image, ENV_BYTES_16);
		memmove(image + ENV_BYTES, image + ENV_BYTES_16,
			X87_REGS_BYTES);
		for (n = 0; n < ENV_WORDS; n++)
			e[n] = narrow[n];
	}
	if (!protected(ctxt))
		env_from_real(e);
	memcpy(image, e, ENV_BYTES);
}

/*
 * An exception that is not masked may keep the result from being stored: what
 * is there now is then written back. Devices are not asked what they have.
 */
static int x87_before_store(struct x86_emulate_ctxt *ctxt, u64 lin, u8 *data,
			    unsigned int bytes)
{
	int rc = ctxt->ops->probe_write(ctxt, lin, bytes, 0);

	memset(data, 0, bytes);
	if (rc || (ctxt->ops->plain &&
		   !(ctxt->ops->plain(ctxt, lin, 1, X86_ACC_WRITE) &&
		     ctxt->ops->plain(ctxt, lin + bytes - 1, 1,
				      X86_ACC_WRITE))))
		return rc;
	return ctxt->ops->read(ctxt, lin, data, bytes, X86_ACC_WRITE);
}

static int x87_in_memory(struct x86_emulate_ctxt *ctxt)
{
	unsigned int op = ctxt->insn.opcode & 7, reg = ctxt->insn.modrm >> 3 & 7;
	bool image = x87_bytes[op][reg] >= X87_ENV;
	unsigned int bytes = x87_operand_bytes(ctxt, x87_bytes[op][reg]);
	bool write = x87_writes[op] >> reg & 1;
	u8 data[ENV_BYTES + X87_REGS_BYTES];
	u64 lin;
	int rc;

	rc = linear(ctxt, ctxt->insn.seg, effective_address(ctxt), bytes, write,
		    &lin);
	if (!rc && write)
		rc = x87_before_store(ctxt, lin, data, bytes);
	else if (!rc)
		rc = ctxt->ops->read(ctxt, lin, data, bytes, 0);
	if (!rc && image && !write)
		image_from_mode(ctxt, data);
	if (!rc)
		rc = x87_run(ctxt, ctxt->insn.opcode, ctxt->insn.modrm, data);
	if (!rc && image && write)
		image_to_mode(ctxt, data);
	if (!rc && write)
		rc = ctxt->ops->write(ctxt, lin, data, bytes, 0);
	return rc;
}

static int x87_in_registers(struct x86_emulate_ctxt *ctxt)
{
	const u64 compares = 0x00ffff0000000000ull;	/* FCOMI and the like */
	u8 op = ctxt->insn.opcode, modrm = ctxt->insn.modrm;
	u16 status;
	int rc = x87_run(ctxt, op, modrm, &status);

	if (!rc && op == 0xdf && modrm == 0xe0)
		set_gpr(ctxt, X86_RAX, 2, status);
	else if (!rc && (op & 3) == 3 && compares >> (modrm & 0x3f) & 1)
		set_flag(ctxt, FL_OF | FL_SF | FL_AF, false);
	return rc;
}

static int op_x87(struct x86_emulate_ctxt *ctxt)
{
	unsigned int op = ctxt->insn.opcode & 7, modrm = ctxt->insn.modrm;

	if (ctxt->insn.has_mem ? !x87_bytes[op][modrm >> 3 & 7] :
				 !(x87_registers[op] >> (modrm & 0x3f) & 1))
		return ud(ctxt);
	if (ctxt->ops->get_cr(ctxt, 0) & (CR0_EM | CR0_TS))
		return x86_emul_fault(ctxt, X86_EXC_NM, false, 0);
	return ctxt->insn.has_mem ? x87_in_memory(ctxt) :
				    x87_in_registers(ctxt);
}

/* All registers are empty: those of MMX are the x87's. */
static int op_emms(struct x86_emulate_ctxt *ctxt)
{
	return x87_run(ctxt, 0x0f, 0x77, NULL);
}

/* ---- Execute: FXSAVE and MXCSR --------------------------------------- */

#define FX_BYTES	512
#define FX_LEGACY	160	/* x87, MXCSR and its mask */

/* What is written of an image: the rest is the program's, or another mode's. */
static unsigned int fx_written(struct x86_emulate_ctxt *ctxt)
{
	if (!(ctxt->ops->get_cr(ctxt, 4) & CR4_OSFXSR))
		return FX_LEGACY;
	return FX_LEGACY + 16 * (mode64(ctxt) ? 16 : 8);
}

/* FXSAVE /0, FXRSTOR /1 */
static int op_fxsave(struct x86_emulate_ctxt *ctxt)
{
	bool restore = ctxt->insn.modrm >> 3 & 1, wide = ctxt->insn.rex & 8;
	unsigned int bytes = fx_written(ctxt);
	u8 image[FX_BYTES];
	u64 lin;
	int rc;

	if (!ctxt->ops->fxsave)
		return X86EMUL_UNHANDLEABLE;
	if (ctxt->ops->get_cr(ctxt, 0) & (CR0_EM | CR0_TS))
		return x86_emul_fault(ctxt, X86_EXC_NM, false, 0);
	rc = linear(ctxt, ctxt->insn.seg, effective_address(ctxt), FX_BYTES,
		    !restore, &lin);
	if (rc)
		return rc;
	if (lin & 15)
		return gp(ctxt, 0);
	if (!restore) {
		rc = ctxt->ops->probe_write(ctxt, lin, bytes, 0);
		if (!rc)
			rc = ctxt->ops->fxsave(ctxt, image, wide);
		return rc ? rc : ctxt->ops->write(ctxt, lin, image, bytes, 0);
	}
	rc = ctxt->ops->read(ctxt, lin, image, bytes, 0);
	return rc ? rc : ctxt->ops->fxrstor(ctxt, image, bytes, wide);
}

/* LDMXCSR /2, STMXCSR /3 */
static int op_mxcsr(struct x86_emulate_ctxt *ctxt)
{
	u32 value;

	if (!ctxt->ops->get_mxcsr)
		return X86EMUL_UNHANDLEABLE;
	if ((ctxt->insn.modrm >> 3 & 7) == 2)
		return ctxt->ops->set_mxcsr(ctxt, ctxt->src.val);
	value = ctxt->ops->get_mxcsr(ctxt);
	ctxt->dst.val = value;
	return X86EMUL_OK;
}

/* ---- Execute: the stack ---------------------------------------------- */

/* "Stack-Size Attribute": the part of rSP that is used and updated */
static unsigned int stack_bytes(struct x86_emulate_ctxt *ctxt)
{
	struct x86_segment ss;

	if (mode64(ctxt))
		return 8;
	ctxt->ops->get_segment(ctxt, X86_SEG_SS, &ss);
	return ss.attr & X86_SEG_ATTR_DB ? 4 : 2;
}

/* Reads the item that is @off bytes above the top of the stack. */
static int stack_read(struct x86_emulate_ctxt *ctxt, u64 off, u64 *val,
		      unsigned int bytes)
{
	u64 sp = (ctxt->regs[X86_RSP] + off) & size_mask(stack_bytes(ctxt));
	u64 lin;
	int rc;

	rc = linear(ctxt, X86_SEG_SS, sp, bytes, false, &lin);
	if (!rc)
		rc = check_alignment(ctxt, lin, bytes);
	*val = 0;
	return rc ? rc : ctxt->ops->read(ctxt, lin, val, bytes, 0);
}

static void move_sp(struct x86_emulate_ctxt *ctxt, u64 by)
{
	add_gpr(ctxt, X86_RSP, stack_bytes(ctxt), by);
}

/*
 * Pushes the low @write bytes of @val into a slot of @slot bytes.  A word
 * selector in a wider slot leaves the rest of the slot as it was.
 */
static int push_partial(struct x86_emulate_ctxt *ctxt, u64 val,
			unsigned int write, unsigned int slot)
{
	u64 sp = (ctxt->regs[X86_RSP] - slot) & size_mask(stack_bytes(ctxt));
	u64 lin;
	int rc;

	rc = linear(ctxt, X86_SEG_SS, sp, write, true, &lin);
	if (!rc)
		rc = check_alignment(ctxt, lin, slot);
	if (!rc)
		rc = ctxt->ops->write(ctxt, lin, &val, write, 0);
	if (!rc)
		move_sp(ctxt, -(u64)slot);
	return rc;
}

static int push(struct x86_emulate_ctxt *ctxt, u64 val)
{
	unsigned int bytes = ctxt->insn.op_bytes;

	return push_partial(ctxt, val, bytes, bytes);
}

static int op_push(struct x86_emulate_ctxt *ctxt)
{
	return push(ctxt, ctxt->dst.val);
}

/* The increment comes first: POP rSP ends with the value from the stack. */
static int op_pop(struct x86_emulate_ctxt *ctxt)
{
	struct x86_operand *d = &ctxt->dst;
	int rc = stack_read(ctxt, 0, &d->val, d->bytes);

	if (!rc && d->type == X86_OP_MEM) {
		rc = operand_address(ctxt, d, Ev, true);
		if (!rc)
			rc = store_operand(ctxt, d);
		d->type = X86_OP_NONE;
	}
	if (!rc)
		move_sp(ctxt, d->bytes);
	return rc;
}

static int op_leave(struct x86_emulate_ctxt *ctxt)
{
	unsigned int sb = stack_bytes(ctxt), bytes = ctxt->insn.op_bytes;
	u64 bp, off = ctxt->regs[X86_RBP] - ctxt->regs[X86_RSP];
	int rc = stack_read(ctxt, off, &bp, bytes);

	if (rc)
		return rc;
	set_gpr(ctxt, X86_RSP, sb, ctxt->regs[X86_RBP] + bytes);
	set_gpr(ctxt, X86_RBP, bytes, bp);
	return X86EMUL_OK;
}

/* A stack to build a frame on: the current one, or that of an inner level. */
struct stack {
	struct x86_segment ss;
	u64 sp;
	unsigned int sp_bytes;
	u8 cpl;
	bool fresh;		/* not current: faults name its selector */
	bool same_ss;		/* fresh, but SS is not reloaded */
};

static void current_stack(struct x86_emulate_ctxt *ctxt, struct stack *st)
{
	memset(st, 0, sizeof(*st));
	st->sp = ctxt->regs[X86_RSP];
	st->cpl = ctxt->cpl;
	if (mode64(ctxt)) {
		st->sp_bytes = 8;
		return;
	}
	ctxt->ops->get_segment(ctxt, X86_SEG_SS, &st->ss);
	st->sp_bytes = st->ss.attr & X86_SEG_ATTR_DB ? 4 : 2;
}

/*
 * Several pushes that succeed or fail together: each slot is probed before
 * the first one is written.
 */
struct frame {
	u64 val[40];
	unsigned int n;
};

static void frame_add(struct frame *f, u64 val)
{
	f->val[f->n++] = val;
}

static int stack_fault(struct x86_emulate_ctxt *ctxt, const struct stack *st)
{
	u32 sel = st->fresh ? st->ss.selector & 0xfffcu : 0;

	return x86_emul_fault(ctxt, X86_EXC_SS, true, sel | ctxt->ext);
}

static int frame_slot(struct x86_emulate_ctxt *ctxt, const struct stack *st,
		      unsigned int n, unsigned int bytes, u64 *lin)
{
	u64 sp = (st->sp - (n + 1) * bytes) & size_mask(st->sp_bytes);

	if (st->sp_bytes == 8) {
		*lin = sp;
		if (!canonical(ctxt, sp) || !canonical(ctxt, sp + bytes - 1))
			return stack_fault(ctxt, st);
		return X86EMUL_OK;
	}
	if ((protected(ctxt) && !seg_permits(st->ss.attr, true)) ||
	    !in_limit(&st->ss, sp, bytes))
		return stack_fault(ctxt, st);
	*lin = (u32)(st->ss.base + sp);
	return X86EMUL_OK;
}

static int frame_probe(struct x86_emulate_ctxt *ctxt, const struct stack *st,
		       const struct frame *f, unsigned int bytes)
{
	unsigned int n;
	u64 lin;
	int rc;

	for (n = 0; n < f->n; n++) {
		rc = frame_slot(ctxt, st, n, bytes, &lin);
		if (!rc)
			rc = check_alignment(ctxt, lin, bytes);
		if (!rc)
			rc = ctxt->ops->probe_write(ctxt, lin, bytes, 0);
		if (rc)
			return rc;
	}
	return X86EMUL_OK;
}

static int frame_write(struct x86_emulate_ctxt *ctxt, const struct stack *st,
		       const struct frame *f, unsigned int bytes)
{
	unsigned int n;
	u64 lin;
	int rc;

	for (n = 0; n < f->n; n++) {
		rc = frame_slot(ctxt, st, n, bytes, &lin);
		if (!rc)
			rc = ctxt->ops->write(ctxt, lin, &f->val[n], bytes, 0);
		if (rc)
			return rc;
	}
	return X86EMUL_OK;
}

/* Writes a frame with the rights of the level the stack belongs to. */
static int stack_push(struct x86_emulate_ctxt *ctxt, const struct stack *st,
		      const struct frame *f, unsigned int bytes)
{
	u8 cpl = ctxt->cpl;
	int rc;

	ctxt->cpl = st->cpl;
	rc = frame_probe(ctxt, st, f, bytes);
	if (!rc)
		rc = frame_write(ctxt, st, f, bytes);
	ctxt->cpl = cpl;
	return rc;
}

/* Pushes a frame on the current stack. */
static int frame_push(struct x86_emulate_ctxt *ctxt, const struct frame *f,
		      unsigned int bytes)
{
	struct stack st;
	int rc;

	current_stack(ctxt, &st);
	rc = stack_push(ctxt, &st, f, bytes);
	if (!rc)
		move_sp(ctxt, -(u64)(f->n * bytes));
	return rc;
}

static int op_pusha(struct x86_emulate_ctxt *ctxt)
{
	struct frame f = { .n = 0 };
	unsigned int reg;

	for (reg = X86_RAX; reg <= X86_RDI; reg++)
		frame_add(&f, ctxt->regs[reg]);
	return frame_push(ctxt, &f, ctxt->insn.op_bytes);
}

static int op_popa(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->insn.op_bytes, n;
	u64 val[8];
	int rc;

	for (n = 0; n < 8; n++) {
		rc = stack_read(ctxt, n * bytes, &val[n], bytes);
		if (rc)
			return rc;
	}
	move_sp(ctxt, 8 * bytes);
	for (n = 0; n < 8; n++)
		if (X86_RDI - n != X86_RSP)
			set_gpr(ctxt, X86_RDI - n, bytes, val[n]);
	return X86EMUL_OK;
}

/* The stack pointer moved by @by, with the bits that do not count kept. */
static u64 moved_sp(struct x86_emulate_ctxt *ctxt, u64 by)
{
	u64 sp = ctxt->regs[X86_RSP], m = size_mask(stack_bytes(ctxt));

	return (sp & ~m) | ((sp + by) & m);
}

/*
 * Enclosing frames are read after the pushes so far, which may lie over
 * them; those bytes of *@val, read at rSP + @off, come from the frame.
 */
static void frame_overlay(struct x86_emulate_ctxt *ctxt,
			  const struct frame *f, u64 off, u64 *val)
{
	unsigned int bytes = ctxt->insn.op_bytes, n;
	u64 below, m = size_mask(stack_bytes(ctxt)), slot;

	for (n = 0; n < bytes; n++) {
		below = -(off + n) & m;
		if (!below || below > f->n * bytes)
			continue;
		slot = (below - 1) / bytes;
		memcpy((u8 *)val + n,
		       (u8 *)&f->val[slot] + (slot + 1) * bytes - below, 1);
	}
}

/* ENTER's frame: rBP, the enclosing frames' pointers, the new frame's. */
static int enter_frame(struct x86_emulate_ctxt *ctxt, struct frame *f,
		       unsigned int level, u64 frame)
{
	unsigned int bytes = ctxt->insn.op_bytes, n;
	u64 bp, off = ctxt->regs[X86_RBP] - ctxt->regs[X86_RSP];
	int rc;

	frame_add(f, ctxt->regs[X86_RBP]);
	for (n = 1; n < level; n++) {
		off -= bytes;
		rc = stack_read(ctxt, off, &bp, bytes);
		if (rc)
			return rc;
		frame_overlay(ctxt, f, off, &bp);
		frame_add(f, bp);
	}
	if (level)
		frame_add(f, frame);
	return X86EMUL_OK;
}

/* "ENTER": src is the frame's size, src2 its nesting level. */
static int op_enter(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->insn.op_bytes;
	u64 frame = moved_sp(ctxt, -(u64)bytes), top, lin;
	struct frame f = { .n = 0 };
	struct stack st;
	int rc;

	current_stack(ctxt, &st);
	rc = enter_frame(ctxt, &f, ctxt->src2.val & 31, frame);
	if (!rc)
		rc = frame_probe(ctxt, &st, &f, bytes);
	if (rc)
		return rc;
	/* The new top of the stack has to be writable too. */
	top = moved_sp(ctxt, -(u64)(f.n * bytes + ctxt->src.val));
	top &= size_mask(stack_bytes(ctxt));
	rc = linear(ctxt, X86_SEG_SS, top, bytes, true, &lin);
	if (!rc)
		rc = check_alignment(ctxt, lin, bytes);
	if (!rc)
		rc = ctxt->ops->probe_write(ctxt, lin, bytes, 0);
	if (!rc)
		rc = frame_write(ctxt, &st, &f, bytes);
	if (rc)
		return rc;
	set_gpr(ctxt, X86_RBP, bytes, frame);
	move_sp(ctxt, -(u64)(f.n * bytes + ctxt->src.val));
	return X86EMUL_OK;
}

/* ---- Execute: near control transfer ---------------------------------- */

/* Is this offset within the code segment?  Sets the new rIP if so. */
static int near_target(struct x86_emulate_ctxt *ctxt, u64 target, u64 *rip)
{
	struct x86_segment cs;

	target &= size_mask(ctxt->insn.op_bytes);
	if (mode64(ctxt)) {
		if (!canonical(ctxt, target))
			return gp(ctxt, 0);
	} else {
		ctxt->ops->get_segment(ctxt, X86_SEG_CS, &cs);
		if (target > cs.limit)
			return gp(ctxt, 0);
	}
	*rip = target;
	return X86EMUL_OK;
}

static int jump(struct x86_emulate_ctxt *ctxt, u64 target)
{
	return near_target(ctxt, target, &ctxt->next_rip);
}

static int jump_rel(struct x86_emulate_ctxt *ctxt)
{
	return jump(ctxt, ctxt->next_rip + ctxt->dst.val);
}

static int op_jmp_rel(struct x86_emulate_ctxt *ctxt)
{
	return jump_rel(ctxt);
}

static int op_jcc(struct x86_emulate_ctxt *ctxt)
{
	return condition(ctxt) ? jump_rel(ctxt) : X86EMUL_OK;
}

static int op_jmp(struct x86_emulate_ctxt *ctxt)
{
	return jump(ctxt, ctxt->dst.val);
}

static int call(struct x86_emulate_ctxt *ctxt, u64 target)
{
	u64 rip;
	int rc = near_target(ctxt, target, &rip);

	if (!rc)
		rc = push(ctxt, ctxt->next_rip);
	if (!rc)
		ctxt->next_rip = rip;
	return rc;
}

static int op_call_rel(struct x86_emulate_ctxt *ctxt)
{
	return call(ctxt, ctxt->next_rip + ctxt->dst.val);
}

static int op_call(struct x86_emulate_ctxt *ctxt)
{
	return call(ctxt, ctxt->dst.val);
}

/* RET and RET imm16; without the immediate dst.val is 0. */
static int op_ret(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->insn.op_bytes;
	u64 target, release = ctxt->dst.type == X86_OP_IMM ? ctxt->dst.val : 0;
	int rc = stack_read(ctxt, 0, &target, bytes);

	if (!rc)
		rc = jump(ctxt, target);
	if (!rc)
		move_sp(ctxt, bytes + release);
	return rc;
}

/* The count of LOOP, JrCXZ and REP has the address size. */
static u64 read_count(const struct x86_emulate_ctxt *ctxt)
{
	return read_gpr(ctxt, X86_RCX, ctxt->insn.ad_bytes, false);
}

/* LOOPNE E0, LOOPE E1, LOOP E2 */
static int op_loop(struct x86_emulate_ctxt *ctxt)
{
	u64 count = (read_count(ctxt) - 1) & size_mask(ctxt->insn.ad_bytes);
	bool zf = ctxt->flags & FL_ZF, again = count;
	int rc = X86EMUL_OK;

	if (ctxt->insn.opcode != 0xe2)
		again = again && zf == (ctxt->insn.opcode & 1);
	if (again)
		rc = jump_rel(ctxt);
	if (!rc)
		set_gpr(ctxt, X86_RCX, ctxt->insn.ad_bytes, count);
	return rc;
}

static int op_jcxz(struct x86_emulate_ctxt *ctxt)
{
	return read_count(ctxt) ? X86EMUL_OK : jump_rel(ctxt);
}

/* ---- Execute: port input and output ---------------------------------- */

/* "I/O Permission Bit Map" */
static int check_io_bitmap(struct x86_emulate_ctxt *ctxt, u16 port,
			   unsigned int bytes)
{
	struct x86_segment tr;
	u16 base = 0, bits = 0;
	int rc;

	ctxt->ops->get_segment(ctxt, X86_SEG_TR, &tr);
	/* A 16-bit TSS has no map; types 9 and 11 are 32- and 64-bit ones. */
	if ((tr.attr & X86_SEG_ATTR_UNUSABLE) || !(tr.attr & 8) ||
	    tr.limit < 103)
		return gp(ctxt, 0);
	rc = ctxt->ops->read(ctxt, tr.base + 102, &base, 2, X86_ACC_SYSTEM);
	if (rc)
		return rc;
	if (base + port / 8u + 1 > tr.limit)
		return gp(ctxt, 0);
	rc = ctxt->ops->read(ctxt, tr.base + base + port / 8, &bits, 2,
			     X86_ACC_SYSTEM);
	if (rc)
		return rc;
	return bits >> (port & 7) & ((1u << bytes) - 1) ?
		gp(ctxt, 0) : X86EMUL_OK;
}

static int check_io(struct x86_emulate_ctxt *ctxt, u16 port,
		    unsigned int bytes)
{
	if (ctxt->mode == X86_MODE_REAL)
		return X86EMUL_OK;
	if (ctxt->mode != X86_MODE_VM86 && ctxt->cpl <= iopl(ctxt))
		return X86EMUL_OK;
	return check_io_bitmap(ctxt, port, bytes);
}

static int op_in(struct x86_emulate_ctxt *ctxt)
{
	int rc = check_io(ctxt, ctxt->src.val, ctxt->dst.bytes);

	if (rc)
		return rc;
	return ctxt->ops->pio_in(ctxt, ctxt->src.val, ctxt->dst.bytes,
				 ctxt->dst.data, 1);
}

static int op_out(struct x86_emulate_ctxt *ctxt)
{
	int rc = check_io(ctxt, ctxt->dst.val, ctxt->src.bytes);

	if (rc)
		return rc;
	return ctxt->ops->pio_out(ctxt, ctxt->dst.val, ctxt->src.bytes,
				  ctxt->src.data, 1);
}

/* ---- Execute: string instructions ------------------------------------ */

#define STRING_BUDGET	1024	/* iterations before the caller may look up */
#define BATCH_BYTES	256	/* moved at once; bounds the stack frame */

/* The sources and destinations of a string row are its operand forms. */
static bool uses_si(const struct x86_opcode *op)
{
	return (op->dst & 0xff) == K_SI || (op->src & 0xff) == K_SI;
}

static bool uses_di(const struct x86_opcode *op)
{
	return (op->dst & 0xff) == K_DI || (op->src & 0xff) == K_DI;
}

static unsigned int item_bytes(const struct x86_emulate_ctxt *ctxt)
{
	return ctxt->dst.type == X86_OP_MEM ? ctxt->dst.bytes :
					      ctxt->src.bytes;
}

/* Commits @n finished iterations. */
static void string_advance(struct x86_emulate_ctxt *ctxt, u64 n)
{
	unsigned int ad = ctxt->insn.ad_bytes;
	u64 step = n * item_bytes(ctxt);

	if (ctxt->rflags & FL_DF)
		step = -step;
	if (uses_si(ctxt->op))
		add_gpr(ctxt, X86_RSI, ad, step);
	if (uses_di(ctxt->op))
		add_gpr(ctxt, X86_RDI, ad, step);
	if (ctxt->insn.rep)
		add_gpr(ctxt, X86_RCX, ad, -n);
}

/* Bytes from @ea and @lin on before either the page or the offset wraps. */
static u64 run_length(const struct x86_emulate_ctxt *ctxt, u64 ea, u64 lin)
{
	u64 page = PAGE_MASK_4K + 1 - (lin & PAGE_MASK_4K);
	u64 wrap = size_mask(ctxt->insn.ad_bytes) - ea;

	return page <= wrap ? page : wrap + 1;
}

/* Shrinks *@bytes to what can be accessed at @kind's pointer as one piece. */
static bool batch_range(struct x86_emulate_ctxt *ctxt, u8 kind, bool write,
			unsigned int *bytes, u64 *lin)
{
	unsigned int seg, item = item_bytes(ctxt);
	u64 ea, run;

	string_address(ctxt, kind, &seg, &ea);
	if (linear(ctxt, seg, ea, item, write, lin))
		return false;
	run = run_length(ctxt, ea, *lin);
	if (run < *bytes)
		*bytes = run / item * item;
	return *bytes > item &&
	       !linear(ctxt, seg, ea, *bytes, write, lin) &&
	       ctxt->ops->plain(ctxt, *lin, *bytes,
				write ? X86_ACC_WRITE : 0);
}

static bool batch_allowed(const struct x86_emulate_ctxt *ctxt)
{
	return ctxt->ops->plain && ctxt->insn.rep &&
	       !(ctxt->rflags & (FL_DF | FL_TF | FL_AC));
}

static unsigned int batch_limit(const struct x86_emulate_ctxt *ctxt)
{
	unsigned int item = item_bytes(ctxt);
	u64 count = read_count(ctxt);

	return count < BATCH_BYTES / item ? count * item : BATCH_BYTES;
}

/*
 * MOVS and STOS on plain memory.  Returns OK with *@n the iterations done, 0
 * for none.  Two linear addresses may name the same page, so it is the
 * distance within a page that tells overlap.
 */
static int move_batch(struct x86_emulate_ctxt *ctxt, u64 *n)
{
	unsigned int bytes = batch_limit(ctxt), item = item_bytes(ctxt), k;
	u8 buf[BATCH_BYTES];
	u64 from, to, gap;
	int rc = X86EMUL_OK;

	*n = 0;
	if (!batch_range(ctxt, K_DI, true, &bytes, &to))
		return X86EMUL_OK;
	if (uses_si(ctxt->op)) {
		if (!batch_range(ctxt, K_SI, false, &bytes, &from))
			return X86EMUL_OK;
		gap = (to - from) & PAGE_MASK_4K;
		if (gap && gap < bytes)
			return X86EMUL_OK;
		rc = ctxt->ops->read(ctxt, from, buf, bytes, 0);
	} else {
		for (k = 0; k < bytes; k += item)
			memcpy(buf + k, &ctxt->regs[X86_RAX], item);
	}
	if (!rc)
		rc = ctxt->ops->write(ctxt, to, buf, bytes, 0);
	if (!rc)
		*n = bytes / item;
	return rc;
}

static int op_movs(struct x86_emulate_ctxt *ctxt)
{
	return op_mov(ctxt);
}

/* CMPS and SCAS subtract the item at rDI, which is read second. */
static int op_cmps(struct x86_emulate_ctxt *ctxt)
{
	do_sub(ctxt, ctxt->src.val, ctxt->dst.val, 0, ctxt->dst.bytes);
	return X86EMUL_OK;
}

/*
 * INS.  The destination is checked before the device is read.  The number of
 * items is fixed at the first attempt: the device's answer has that many.
 */
static int op_ins(struct x86_emulate_ctxt *ctxt)
{
	unsigned int item = ctxt->dst.bytes, bytes = item;
	u16 port = ctxt->regs[X86_RDX];
	u8 buf[BATCH_BYTES];
	u64 lin;
	int rc;

	if (!ctxt->batch) {
		if (batch_allowed(ctxt)) {
			bytes = batch_limit(ctxt);
			if (!batch_range(ctxt, K_DI, true, &bytes, &lin))
				bytes = item;
		}
		ctxt->batch = bytes / item;
	}
	bytes = ctxt->batch * item;
	rc = ctxt->ops->probe_write(ctxt, ctxt->dst.lin, bytes, 0);
	if (!rc)
		rc = ctxt->ops->pio_in(ctxt, port, item, buf, ctxt->batch);
	if (rc)
		return rc;
	/* Whoever answered may have changed rCX. */
	if (ctxt->insn.rep && bytes > batch_limit(ctxt))
		bytes = batch_limit(ctxt);
	ctxt->batch = bytes / item;
	return ctxt->ops->write(ctxt, ctxt->dst.lin, buf, bytes, 0);
}

static int op_outs(struct x86_emulate_ctxt *ctxt)
{
	unsigned int item = ctxt->src.bytes, bytes = item;
	u16 port = ctxt->regs[X86_RDX];
	u8 buf[BATCH_BYTES];
	u64 lin;
	int rc = X86EMUL_OK;

	memcpy(buf, ctxt->src.data, item);
	if (batch_allowed(ctxt)) {
		bytes = batch_limit(ctxt);
		if (batch_range(ctxt, K_SI, false, &bytes, &lin))
			rc = ctxt->ops->read(ctxt, lin, buf, bytes, 0);
		else
			bytes = item;
	}
	ctxt->batch = bytes / item;
	if (!rc)
		rc = ctxt->ops->pio_out(ctxt, port, item, buf, ctxt->batch);
	return rc;
}

/* One iteration, or one batch of them; *@n tells how many. */
static int string_step(struct x86_emulate_ctxt *ctxt, u64 *n)
{
	exec_fn exec = ctxt->op->exec;
	int rc;

	*n = 1;
	if ((exec == op_movs || (exec == op_mov && uses_di(ctxt->op))) &&
	    batch_allowed(ctxt)) {
		rc = move_batch(ctxt, n);
		if (rc || *n)
			return rc;
		*n = 1;
	}
	rc = load_operands(ctxt);
	if (!rc)
		rc = exec(ctxt);
	if (!rc)
		rc = writeback(ctxt);
	if (!rc && ctxt->batch) {
		*n = ctxt->batch;
		ctxt->batch = 0;
	}
	return rc;
}

/* REPE goes on while ZF is set, REPNE while it is clear. */
static bool string_done(const struct x86_emulate_ctxt *ctxt)
{
	bool zf = ctxt->flags & FL_ZF;

	if (!ctxt->insn.rep || !read_count(ctxt))
		return true;
	return (ctxt->op->flags & R_CMPS) && zf != (ctxt->insn.rep == 0xf3);
}

/*
 * Runs a string instruction.  Each iteration is committed as it finishes.
 * "REP/REPE/REPZ/REPNE/REPNZ": a fault leaves the flags as they were before
 * the instruction; RF is set for an interruption between iterations.
 */
static int emulate_string(struct x86_emulate_ctxt *ctxt)
{
	u64 flags = ctxt->flags, n, done = 0;
	int rc;

	if (ctxt->insn.rep && !read_count(ctxt))
		return X86EMUL_OK;
	if (ctxt->op->flags & R_IO) {
		rc = check_io(ctxt, ctxt->regs[X86_RDX], item_bytes(ctxt));
		if (rc)
			return rc;
	}
	for (;;) {
		rc = string_step(ctxt, &n);
		if (rc)
			break;
		string_advance(ctxt, n);
		done += n;
		if (string_done(ctxt))
			return X86EMUL_OK;
		if (ctxt->stop || done >= STRING_BUDGET ||
		    (ctxt->rflags & FL_TF)) {
			rc = X86EMUL_RESTART;
			break;
		}
	}
	if (rc == X86EMUL_FAULT)
		ctxt->flags = flags;
	else if (done)
		ctxt->rflags = ctxt->flags | FL_RF;
	ctxt->trap = rc == X86EMUL_RESTART && done && (ctxt->rflags & FL_TF);
	return rc;
}

/* ---- Descriptors ----------------------------------------------------- */

#define DESC_TSS16	1
#define DESC_LDT	2
#define DESC_GATE16	4
#define DESC_TASK_GATE	5
#define DESC_INT16	6
#define DESC_TRAP16	7
#define DESC_TSS	9
#define DESC_GATE	12
#define DESC_INT	14
#define DESC_TRAP	15
#define DESC_BUSY	2
#define SEL_RPL		3u
#define SEL_TI		4u

struct descriptor {
	u64 lo, hi;		/* hi: second half of a 16-byte descriptor */
	u64 lin;
	struct x86_segment seg;	/* as it would be loaded */
};

static unsigned int desc_dpl(const struct descriptor *d)
{
	return (d->seg.attr & X86_SEG_ATTR_DPL) >> X86_SEG_ATTR_DPL_SHIFT;
}

static unsigned int desc_type(const struct descriptor *d)
{
	return d->seg.attr & X86_SEG_ATTR_TYPE;
}

static bool desc_system(const struct descriptor *d)
{
	return !(d->seg.attr & X86_SEG_ATTR_S);
}

static bool desc_code(const struct descriptor *d)
{
	return !desc_system(d) && (d->seg.attr & X86_SEG_ATTR_CODE);
}

static bool desc_conforming(const struct descriptor *d)
{
	return desc_code(d) && (d->seg.attr & X86_SEG_ATTR_CONFORM);
}

static bool desc_present(const struct descriptor *d)
{
	return d->seg.attr & X86_SEG_ATTR_P;
}

static bool desc_writable(const struct descriptor *d)
{
	return !desc_system(d) && seg_permits(d->seg.attr, true);
}

/* An error code that names a selector, and EXT while delivering an event. */
static int sel_fault(struct x86_emulate_ctxt *ctxt, u8 vector, u16 sel)
{
	return x86_emul_fault(ctxt, vector, true, (sel & 0xfffcu) | ctxt->ext);
}

/* Figure "Segment Descriptor" */
static void desc_unpack(struct descriptor *d, u16 sel)
{
	u64 raw = d->lo;
	u32 limit = (raw & 0xffff) | (raw >> 32 & 0xf0000);

	d->seg.selector = sel;
	d->seg.attr = (raw >> 40 & 0xff) | (raw >> 40 & 0xf000);
	d->seg.base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000);
	d->seg.limit = d->seg.attr & X86_SEG_ATTR_G ? limit << 12 | 0xfff :
						      limit;
}

/* Base and limit of the table a selector points into; false for none. */
static bool desc_table(struct x86_emulate_ctxt *ctxt, u16 sel, u64 *base,
		       u32 *limit)
{
	struct x86_segment ldt;
	u16 gdt_limit;

	if (sel & SEL_TI) {
		ctxt->ops->get_segment(ctxt, X86_SEG_LDTR, &ldt);
		*base = ldt.base;
		*limit = ldt.limit;
		return !(ldt.attr & X86_SEG_ATTR_UNUSABLE);
	}
	ctxt->ops->get_dt(ctxt, X86_DT_GDT, base, &gdt_limit);
	*limit = gdt_limit;
	return true;
}

#define NO_DESCRIPTOR	(-1)

/*
 * Reads the descriptor of @sel.  OK, or what an operation returned, or
 * NO_DESCRIPTOR, which the callers turn into their own answer.
 */
static int find_descriptor(struct x86_emulate_ctxt *ctxt, u16 sel,
			   struct descriptor *d)
{
	u64 base;
	u32 limit, off = sel & ~7u;
	bool wide;
	int rc;

	if (!desc_table(ctxt, sel, &base, &limit) || off + 7 > limit)
		return NO_DESCRIPTOR;
	d->lin = base + off;
	d->hi = 0;
	rc = ctxt->ops->read(ctxt, d->lin, &d->lo, 8, X86_ACC_SYSTEM);
	if (rc)
		return rc;
	desc_unpack(d, sel);
	wide = desc_system(d) && long_mode(ctxt) &&
	       desc_type(d) != DESC_TASK_GATE;
	if (!wide)
		return X86EMUL_OK;
	/* "Segment Descriptor Tables in IA-32e Mode": 16 bytes */
	if (off + 15 > limit)
		return NO_DESCRIPTOR;
	rc = ctxt->ops->read(ctxt, d->lin + 8, &d->hi, 8, X86_ACC_SYSTEM);
	d->seg.base |= d->hi << 32;
	return rc;
}

static int read_descriptor(struct x86_emulate_ctxt *ctxt, u16 sel, u8 vector,
			   struct descriptor *d)
{
	int rc = find_descriptor(ctxt, sel, d);

	return rc == NO_DESCRIPTOR ? sel_fault(ctxt, vector, sel) : rc;
}

/* Sets type bits in a descriptor in memory: accessed, busy. */
static int mark_descriptor(struct x86_emulate_ctxt *ctxt,
			   struct descriptor *d, u8 bits)
{
	u8 access = d->lo >> 40;

	if ((access & bits) == bits)
		return X86EMUL_OK;
	access |= bits;
	d->seg.attr |= bits;
	d->lo |= (u64)bits << 40;
	return ctxt->ops->write(ctxt, d->lin + 5, &access, 1, X86_ACC_SYSTEM);
}

static bool null_selector(u16 sel)
{
	return !(sel & ~SEL_RPL);
}

/* ---- Execute: segment registers -------------------------------------- */

/* Real and virtual-8086 mode: the base follows from the selector. */
static int load_segment_real(struct x86_emulate_ctxt *ctxt, unsigned int seg,
			     u16 sel)
{
	struct x86_segment s;

	ctxt->ops->get_segment(ctxt, seg, &s);
	s.selector = sel;
	s.base = (u64)sel << 4;
	if (ctxt->mode == X86_MODE_VM86) {
		s.limit = 0xffff;
		s.attr = 0xf3;
	}
	return ctxt->ops->set_segment(ctxt, seg, &s);
}

static int load_null(struct x86_emulate_ctxt *ctxt, unsigned int seg, u16 sel)
{
	struct x86_segment s = {
		.selector = sel, .attr = X86_SEG_ATTR_UNUSABLE,
	};

	if (seg == X86_SEG_SS) {
		if (!mode64(ctxt) || ctxt->cpl == 3 || sel != ctxt->cpl)
			return gp(ctxt, 0);
		s.attr |= ctxt->cpl << X86_SEG_ATTR_DPL_SHIFT;
	}
	return ctxt->ops->set_segment(ctxt, seg, &s);
}

static bool ss_permitted(const struct descriptor *d, u16 sel, unsigned int cpl)
{
	return desc_writable(d) && (sel & SEL_RPL) == cpl && desc_dpl(d) == cpl;
}

static bool ds_permitted(const struct x86_emulate_ctxt *ctxt,
			 const struct descriptor *d, u16 sel)
{
	if (desc_system(d) || !seg_permits(d->seg.attr, false))
		return false;
	return desc_conforming(d) ||
	       (desc_dpl(d) >= (sel & SEL_RPL) && desc_dpl(d) >= ctxt->cpl);
}

/* "MOV": loading a segment register other than CS */
static int load_segment(struct x86_emulate_ctxt *ctxt, unsigned int seg,
			u16 sel)
{
	struct descriptor d;
	bool ss = seg == X86_SEG_SS;
	int rc;

	if (!protected(ctxt))
		return load_segment_real(ctxt, seg, sel);
	if (null_selector(sel))
		return load_null(ctxt, seg, sel);
	rc = read_descriptor(ctxt, sel, X86_EXC_GP, &d);
	if (rc)
		return rc;
	if (!(ss ? ss_permitted(&d, sel, ctxt->cpl) :
		   ds_permitted(ctxt, &d, sel)))
		return sel_fault(ctxt, X86_EXC_GP, sel);
	if (!desc_present(&d))
		return sel_fault(ctxt, ss ? X86_EXC_SS : X86_EXC_NP, sel);
	rc = mark_descriptor(ctxt, &d, X86_SEG_ATTR_ACCESSED);
	return rc ? rc : ctxt->ops->set_segment(ctxt, seg, &d.seg);
}

static void shadow_after_ss(struct x86_emulate_ctxt *ctxt, unsigned int seg)
{
	if (seg == X86_SEG_SS)
		ctxt->shadow = X86_SHADOW_MOV_SS;
}

static int op_mov_to_seg(struct x86_emulate_ctxt *ctxt)
{
	unsigned int seg = ctxt->dst.reg;
	int rc;

	if (seg == X86_SEG_CS)
		return ud(ctxt);
	rc = load_segment(ctxt, seg, ctxt->src.val);
	if (!rc)
		shadow_after_ss(ctxt, seg);
	return rc;
}

/* PUSH and POP of segment registers have the register in bits 5..3. */
static unsigned int opcode_seg(const struct x86_emulate_ctxt *ctxt)
{
	return ctxt->insn.opcode >> 3 & 7;
}

/* "PUSH": of 32 bits only the selector is written, of 64 bits all. */
static int op_push_seg(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->insn.op_bytes;
	struct x86_segment s;

	ctxt->ops->get_segment(ctxt, opcode_seg(ctxt), &s);
	return push_partial(ctxt, s.selector, bytes == 8 ? 8 : 2, bytes);
}

static int op_pop_seg(struct x86_emulate_ctxt *ctxt)
{
	u64 sel, sp = moved_sp(ctxt, ctxt->insn.op_bytes);
	int rc = stack_read(ctxt, 0, &sel, ctxt->insn.op_bytes);

	if (!rc)
		rc = load_segment(ctxt, opcode_seg(ctxt), sel);
	if (rc)
		return rc;
	set_gpr(ctxt, X86_RSP, 8, sp);
	shadow_after_ss(ctxt, opcode_seg(ctxt));
	return X86EMUL_OK;
}

/* A far pointer in memory or in the instruction: offset, then selector. */
static void far_pointer(const struct x86_operand *o, u16 *sel, u64 *off)
{
	unsigned int bytes = o->bytes - 2;

	if (o->type == X86_OP_IMM && o->bytes > 8) {
		*off = o->vec[0];
		*sel = o->vec[1];
		return;
	}
	*off = o->val & size_mask(bytes);
	*sel = 0;
	memcpy(sel, o->data + bytes, 2);
}

/* LES C4, LDS C5, LSS 0F B2, LFS 0F B4, LGS 0F B5 */
static int op_load_far(struct x86_emulate_ctxt *ctxt)
{
	unsigned int seg = ctxt->insn.opcode & 7;
	u64 off;
	u16 sel;
	int rc;

	if (!ctxt->insn.map)
		seg = ctxt->insn.opcode == 0xc4 ? X86_SEG_ES : X86_SEG_DS;
	far_pointer(&ctxt->src, &sel, &off);
	rc = load_segment(ctxt, seg, sel);
	ctxt->dst.val = off;
	return rc;
}

/* ---- Task switches --------------------------------------------------- */

/*
 * Figures "32-Bit Task-State Segment (TSS)" and "16-Bit TSS Format". General
 * and segment registers are in the order of their encodings; what a task
 * leaves behind when it is left lies between @ip and @ldt.
 */
struct tss_format {
	u8 bytes;		/* of a slot */
	u8 size;		/* of the fixed part */
	u8 ip, flags, regs, segs, nr_segs, ldt;
};

#define TSS32_SIZE	104
#define TSS32_CR3	28
#define TSS32_TRAP	100

static const struct tss_format tss16 = {
	.bytes = 2, .size = 44, .ip = 14, .flags = 16, .regs = 18,
	.segs = 34, .nr_segs = 4, .ldt = 42,
};
static const struct tss_format tss32 = {
	.bytes = 4, .size = TSS32_SIZE, .ip = 32, .flags = 36, .regs = 40,
	.segs = 72, .nr_segs = 6, .ldt = 96,
};

struct task {
	const struct tss_format *format;
	struct descriptor desc;
	u8 tss[TSS32_SIZE];
};

static const struct tss_format *tss_format(u32 attr)
{
	return attr & 8 ? &tss32 : &tss16;
}

static u32 task_get(const struct task *t, unsigned int off, unsigned int bytes)
{
	u32 val = 0;

	memcpy(&val, t->tss + off, bytes);
	return val;
}

static void task_put(struct task *t, unsigned int off, unsigned int bytes,
		     u32 val)
{
	memcpy(t->tss + off, &val, bytes);
}

/* By CALL, or by an event: the new task can return to the old one. */
static bool task_nests(const struct x86_task_switch *sw)
{
	return sw->reason == X86_TASK_CALL || sw->reason == X86_TASK_GATE;
}

/*
 * Table "Exception Conditions Checked During a Task Switch", the part about
 * the new TSS's descriptor. The privilege to use it was checked before.
 */
static int task_find(struct x86_emulate_ctxt *ctxt,
		     const struct x86_task_switch *sw, struct task *new)
{
	bool back = sw->reason == X86_TASK_IRET, busy;
	u8 vector = back ? X86_EXC_TS : X86_EXC_GP;
	u16 sel = sw->selector;
	u32 attr;
	int rc;

	if (null_selector(sel) || (sel & SEL_TI))
		return sel_fault(ctxt, vector, sel);
	rc = read_descriptor(ctxt, sel, vector, &new->desc);
	if (rc)
		return rc;
	attr = new->desc.seg.attr;
	busy = attr & DESC_BUSY;
	/* Of the four types, one bit tells the width and one "busy". */
	if ((attr & (X86_SEG_ATTR_S | X86_SEG_ATTR_TYPE) & ~(8u | DESC_BUSY)) !=
	    DESC_TSS16 || busy != back)
		return sel_fault(ctxt, vector, sel);
	if (!desc_present(&new->desc))
		return sel_fault(ctxt, X86_EXC_NP, sel);
	new->format = tss_format(attr);
	if (new->desc.seg.limit < new->format->size - 1u)
		return sel_fault(ctxt, X86_EXC_TS, sel);
	return X86EMUL_OK;
}

/* The old task, as far as it is in memory: it is about to be written. */
static int task_current(struct x86_emulate_ctxt *ctxt, struct task *old)
{
	struct x86_segment tr;
	unsigned int ip;
	int rc;

	ctxt->ops->get_segment(ctxt, X86_SEG_TR, &tr);
	rc = read_descriptor(ctxt, tr.selector, X86_EXC_TS, &old->desc);
	if (rc)
		return rc;
	/* TR remembers what its descriptor may no longer say. */
	old->desc.seg = tr;
	old->format = tss_format(tr.attr);
	if (tr.limit < old->format->size - 1u)
		return sel_fault(ctxt, X86_EXC_TS, tr.selector);
	ip = old->format->ip;
	return ctxt->ops->read(ctxt, tr.base + ip, old->tss + ip,
			       old->format->ldt - ip,
			       X86_ACC_SYSTEM | X86_ACC_WRITE);
}

static int task_read(struct x86_emulate_ctxt *ctxt, struct task *t)
{
	return ctxt->ops->read(ctxt, t->desc.seg.base, t->tss, t->format->size,
			       X86_ACC_SYSTEM);
}

/* Would a write to the type field of a descriptor fault? */
static int probe_busy(struct x86_emulate_ctxt *ctxt,
		      const struct descriptor *d)
{
	return ctxt->ops->probe_write(ctxt, d->lin + 5, 1, X86_ACC_SYSTEM);
}

static int set_busy(struct x86_emulate_ctxt *ctxt, const struct descriptor *d,
		    bool busy)
{
	u8 access = (d->lo >> 40 & ~DESC_BUSY) | (busy ? DESC_BUSY : 0);

	return ctxt->ops->write(ctxt, d->lin + 5, &access, 1, X86_ACC_SYSTEM);
}

/* All that can fault before the switch is committed. */
static int task_prepare(struct x86_emulate_ctxt *ctxt,
			const struct x86_task_switch *sw, struct task *old,
			struct task *new)
{
	int rc = task_find(ctxt, sw, new);

	if (!rc)
		rc = task_current(ctxt, old);
	if (!rc)
		rc = task_read(ctxt, new);
	if (!rc && task_nests(sw))
		rc = ctxt->ops->probe_write(ctxt, new->desc.seg.base, 2,
					    X86_ACC_SYSTEM);
	else if (!rc)
		rc = probe_busy(ctxt, &old->desc);
	if (!rc && sw->reason != X86_TASK_IRET)
		rc = probe_busy(ctxt, &new->desc);
	return rc;
}

static int task_save(struct x86_emulate_ctxt *ctxt,
		     const struct x86_task_switch *sw, struct task *t)
{
	const struct tss_format *f = t->format;
	u64 flags = ctxt->flags;
	struct x86_segment s;
	unsigned int n;

	if (sw->reason == X86_TASK_IRET)
		flags &= ~(u64)FL_NT;
	task_put(t, f->ip, f->bytes, ctxt->next_rip);
	task_put(t, f->flags, f->bytes, flags);
	for (n = 0; n < 8; n++)
		task_put(t, f->regs + n * f->bytes, f->bytes, ctxt->regs[n]);
	for (n = 0; n < f->nr_segs; n++) {
		ctxt->ops->get_segment(ctxt, n, &s);
		task_put(t, f->segs + n * f->bytes, 2, s.selector);
	}
	return ctxt->ops->write(ctxt, t->desc.seg.base + f->ip, t->tss + f->ip,
				f->ldt - f->ip, X86_ACC_SYSTEM);
}

/* What is left in memory of the old task, and of where the new one came from. */
static int task_leave(struct x86_emulate_ctxt *ctxt,
		      const struct x86_task_switch *sw, struct task *old,
		      struct task *new)
{
	int rc = task_save(ctxt, sw, old);

	if (!rc && task_nests(sw))
		rc = ctxt->ops->write(ctxt, new->desc.seg.base,
				      &old->desc.seg.selector, 2,
				      X86_ACC_SYSTEM);
	else if (!rc)
		rc = set_busy(ctxt, &old->desc, false);
	if (!rc && sw->reason != X86_TASK_IRET)
		rc = set_busy(ctxt, &new->desc, true);
	/* By IRET a task may return to itself. */
	return rc ? rc : task_read(ctxt, new);
}

/* Tables, TR and CR0; a CR3 that is refused leaves the old task running. */
static int task_control(struct x86_emulate_ctxt *ctxt, struct task *new)
{
	u64 dr7 = ctxt->ops->get_dr(ctxt, 7), cr0 = ctxt->ops->get_cr(ctxt, 0);
	int rc = X86EMUL_OK;

	if ((cr0 & CR0_PG) && new->format == &tss32)
		rc = ctxt->ops->set_cr(ctxt, 3, task_get(new, TSS32_CR3, 4));
	if (rc)
		return rc;
	new->desc.seg.attr |= DESC_BUSY;
	rc = ctxt->ops->set_segment(ctxt, X86_SEG_TR, &new->desc.seg);
	if (!rc)
		rc = ctxt->ops->set_cr(ctxt, 0, cr0 | CR0_TS);
	if (!rc && (dr7 & DR7_LOCAL))
		rc = ctxt->ops->set_dr(ctxt, 7, dr7 & ~(u64)DR7_LOCAL);
	return rc;
}

/* General registers; bits that a 16-bit TSS does not have become 0. */
static void task_registers(struct x86_emulate_ctxt *ctxt,
			   const struct x86_task_switch *sw,
			   const struct task *new)
{
	const struct tss_format *f = new->format;
	unsigned int n;

	for (n = 0; n < 8; n++)
		set_gpr(ctxt, n, 8,
			task_get(new, f->regs + n * f->bytes, f->bytes));
	ctxt->next_rip = task_get(new, f->ip, f->bytes);
	ctxt->flags = (task_get(new, f->flags, f->bytes) & FL_IMAGE) | FL_FIXED;
	if (task_nests(sw))
		ctxt->flags |= FL_NT;
}

/* A selector without a segment, as a register is left when a check fails. */
static int hold_selector(struct x86_emulate_ctxt *ctxt, unsigned int seg,
			 u16 sel)
{
	struct x86_segment s = {
		.selector = sel, .attr = X86_SEG_ATTR_UNUSABLE,
	};

	if (seg == X86_SEG_SS)
		s.attr |= ctxt->cpl << X86_SEG_ATTR_DPL_SHIFT;
	/* CS cannot be unusable; nothing will be fetched through it. */
	if (seg == X86_SEG_CS)
		s.attr = 0x409b | ctxt->cpl << X86_SEG_ATTR_DPL_SHIFT;
	return ctxt->ops->set_segment(ctxt, seg, &s);
}

static int task_ldt(struct x86_emulate_ctxt *ctxt, u16 sel)
{
	struct descriptor d;
	int rc;

	if (null_selector(sel))
		return X86EMUL_OK;
	if (sel & SEL_TI)
		return sel_fault(ctxt, X86_EXC_TS, sel);
	rc = read_descriptor(ctxt, sel, X86_EXC_TS, &d);
	if (rc)
		return rc;
	if ((d.seg.attr & (X86_SEG_ATTR_S | X86_SEG_ATTR_TYPE)) != DESC_LDT ||
	    !desc_present(&d))
		return sel_fault(ctxt, X86_EXC_TS, sel);
	return ctxt->ops->set_segment(ctxt, X86_SEG_LDTR, &d.seg);
}

/* Its RPL has become the CPL. */
static int task_cs(struct x86_emulate_ctxt *ctxt, u16 sel)
{
	struct descriptor d;
	int rc;

	if (null_selector(sel))
		return sel_fault(ctxt, X86_EXC_TS, sel);
	rc = read_descriptor(ctxt, sel, X86_EXC_TS, &d);
	if (rc)
		return rc;
	if (!desc_code(&d) ||
	    (desc_conforming(&d) ? desc_dpl(&d) > ctxt->cpl :
				   desc_dpl(&d) != ctxt->cpl))
		return sel_fault(ctxt, X86_EXC_TS, sel);
	if (!desc_present(&d))
		return sel_fault(ctxt, X86_EXC_NP, sel);
	rc = mark_descriptor(ctxt, &d, X86_SEG_ATTR_ACCESSED);
	return rc ? rc : ctxt->ops->set_segment(ctxt, X86_SEG_CS, &d.seg);
}

/* The checks of MOV, but what is wrong with a selector is an invalid TSS. */
static int task_segment(struct x86_emulate_ctxt *ctxt, unsigned int seg,
			u16 sel)
{
	int rc;

	if (ctxt->mode == X86_MODE_VM86)
		return load_segment_real(ctxt, seg, sel);
	if (seg == X86_SEG_LDTR)
		return task_ldt(ctxt, sel);
	if (seg == X86_SEG_CS)
		return task_cs(ctxt, sel);
	rc = load_segment(ctxt, seg, sel);
	if (rc == X86EMUL_FAULT && ctxt->exception.vector == X86_EXC_GP)
		return sel_fault(ctxt, X86_EXC_TS, sel);
	return rc;
}

/*
 * "Task Switching", the last step: what is wrong with a segment is found when
 * the new task is there already. The first fault counts; the registers after
 * it are loaded all the same.
 */
static int task_segments(struct x86_emulate_ctxt *ctxt, const struct task *new)
{
	static const u8 order[] = {
		X86_SEG_LDTR, X86_SEG_CS, X86_SEG_SS, X86_SEG_DS, X86_SEG_ES,
		X86_SEG_FS, X86_SEG_GS,
	};
	const struct tss_format *f = new->format;
	struct x86_emul_exception first;
	enum x86_emul_mode mode = ctxt->mode;
	int rc, result = X86EMUL_OK;
	unsigned int n;

	for (n = 0; n < sizeof(order); n++) {
		unsigned int seg = order[n];
		u16 sel = seg == X86_SEG_LDTR ? task_get(new, f->ldt, 2) :
			  seg >= f->nr_segs ? 0 :
			  task_get(new, f->segs + seg * f->bytes, 2);

		/* LDTR is no register of virtual-8086 mode. */
		ctxt->mode = seg == X86_SEG_LDTR ? X86_MODE_PROT32 : mode;
		rc = hold_selector(ctxt, seg, sel);
		if (!rc)
			rc = task_segment(ctxt, seg, sel);
		if (rc == X86EMUL_FAULT && !result)
			first = ctxt->exception;
		else if (rc && rc != X86EMUL_FAULT)
			return rc;
		result |= rc;
	}
	if (result)
		ctxt->exception = first;
	return result;
}

/* What remains to be done in the new task; a fault is the new task's. */
static int task_enter(struct x86_emulate_ctxt *ctxt,
		      const struct x86_task_switch *sw, const struct task *new)
{
	const struct tss_format *f = new->format;
	struct x86_segment cs;
	int rc;

	ctxt->cpl = task_get(new, f->segs + X86_SEG_CS * f->bytes, 2) & SEL_RPL;
	ctxt->mode = X86_MODE_PROT32;
	if (ctxt->flags & FL_VM) {
		ctxt->cpl = 3;
		ctxt->mode = X86_MODE_VM86;
	}
	rc = task_segments(ctxt, new);
	if (rc)
		return rc;
	ctxt->ops->get_segment(ctxt, X86_SEG_CS, &cs);
	if (ctxt->next_rip > cs.limit)
		return gp(ctxt, ctxt->ext);
	if (sw->has_error)
		rc = push_partial(ctxt, sw->error, f->bytes, f->bytes);
	ctxt->task_trap = f == &tss32 && (task_get(new, TSS32_TRAP, 2) & 1);
	return rc;
}

/*
 * "Task Switching". Before the first write a fault leaves everything as it
 * was; afterwards the registers are the new task's, whatever the result, so
 * they are committed here. next_rip and flags are what the old task is to go
 * on with.
 */
static int task_switch(struct x86_emulate_ctxt *ctxt,
		       const struct x86_task_switch *sw)
{
	struct task old, new;
	int rc = task_prepare(ctxt, sw, &old, &new);

	if (!rc)
		rc = task_leave(ctxt, sw, &old, &new);
	if (!rc)
		rc = task_control(ctxt, &new);
	if (rc)
		return rc;
	ctxt->task_switched = true;
	ctxt->mode_changed = true;
	task_registers(ctxt, sw, &new);
	rc = task_enter(ctxt, sw, &new);
	ctxt->rip = ctxt->next_rip;
	ctxt->rflags = ctxt->flags;
	return rc;
}

int x86_emulate_task_switch(struct x86_emulate_ctxt *ctxt,
			    const struct x86_task_switch *sw)
{
	reset_results(ctxt);
	reset_insn(&ctxt->insn);
	ctxt->ext = sw->external;
	ctxt->next_rip = (u32)(ctxt->rip + sw->insn_len);
	ctxt->flags = ctxt->rflags;
	return task_switch(ctxt, sw);
}

/* ---- Execute: far control transfer ----------------------------------- */

/* "Checking Caller Access Privileges" for a code segment reached directly */
static bool cs_permitted(const struct x86_emulate_ctxt *ctxt,
			 const struct descriptor *d, u16 sel)
{
	if (!desc_code(d))
		return false;
	if (desc_conforming(d))
		return desc_dpl(d) <= ctxt->cpl;
	return (sel & SEL_RPL) <= ctxt->cpl && desc_dpl(d) == ctxt->cpl;
}

/* Reserved in IA-32e mode: a code segment with both L and D. */
static bool cs_bad_width(struct x86_emulate_ctxt *ctxt,
			 const struct descriptor *d)
{
	u32 both = X86_SEG_ATTR_L | X86_SEG_ATTR_DB;

	return (d->seg.attr & both) == both && long_mode(ctxt);
}

/*
 * May execution start at @off of the code segment @d?  Marks it accessed: the
 * last thing about it that can fault.
 */
static int check_entry(struct x86_emulate_ctxt *ctxt, struct descriptor *d,
		       u64 off)
{
	bool wide = (d->seg.attr & X86_SEG_ATTR_L) && long_mode(ctxt);

	if (wide ? !canonical(ctxt, off) : off > d->seg.limit)
		return gp(ctxt, ctxt->ext);
	return mark_descriptor(ctxt, d, X86_SEG_ATTR_ACCESSED);
}

/* Loads CS, at privilege @cpl, and goes to @off in it. */
static int enter_code(struct x86_emulate_ctxt *ctxt, struct descriptor *d,
		      unsigned int cpl, u64 off)
{
	int rc;

	d->seg.selector = (d->seg.selector & ~SEL_RPL) | cpl;
	rc = ctxt->ops->set_segment(ctxt, X86_SEG_CS, &d->seg);
	if (rc)
		return rc;
	ctxt->next_rip = off;
	ctxt->cpl = cpl;
	ctxt->mode_changed = true;
	return X86EMUL_OK;
}

static int push_return(struct x86_emulate_ctxt *ctxt, unsigned int bytes)
{
	struct frame f = { .n = 0 };
	struct x86_segment cs;

	ctxt->ops->get_segment(ctxt, X86_SEG_CS, &cs);
	frame_add(&f, cs.selector);
	frame_add(&f, ctxt->next_rip);
	return frame_push(ctxt, &f, bytes);
}

static int far_real(struct x86_emulate_ctxt *ctxt, u16 sel, u64 off, bool call)
{
	struct x86_segment cs;
	int rc;

	ctxt->ops->get_segment(ctxt, X86_SEG_CS, &cs);
	if (off > cs.limit)
		return gp(ctxt, 0);
	if (call) {
		rc = push_return(ctxt, ctxt->insn.op_bytes);
		if (rc)
			return rc;
	}
	ctxt->next_rip = off;
	return load_segment_real(ctxt, X86_SEG_CS, sel);
}

static int far_code(struct x86_emulate_ctxt *ctxt, struct descriptor *d,
		    u16 sel, u64 off, bool call)
{
	int rc;

	if (!cs_permitted(ctxt, d, sel) || cs_bad_width(ctxt, d))
		return sel_fault(ctxt, X86_EXC_GP, sel);
	if (!desc_present(d))
		return sel_fault(ctxt, X86_EXC_NP, sel);
	rc = check_entry(ctxt, d, off);
	if (!rc && call)
		rc = push_return(ctxt, ctxt->insn.op_bytes);
	return rc ? rc : enter_code(ctxt, d, ctxt->cpl, off);
}

/* "Stack Switching": SS:rSP of the task for privilege level @cpl */
static int tss_stack(struct x86_emulate_ctxt *ctxt, unsigned int cpl,
		     unsigned int ist, u16 *ss, u64 *sp)
{
	unsigned int off, size;
	struct x86_segment tr;
	bool wide = long_mode(ctxt);
	u8 slot[8] = { 0 };
	int rc;

	ctxt->ops->get_segment(ctxt, X86_SEG_TR, &tr);
	if (wide) {
		off = ist ? 36 + 8 * (ist - 1) : 4 + 8 * cpl;
		size = 8;
	} else if (tr.attr & 8) {
		off = 4 + 8 * cpl;
		size = 6;
	} else {
		off = 2 + 4 * cpl;
		size = 4;
	}
	if (off + size - 1 > tr.limit)
		return sel_fault(ctxt, X86_EXC_TS, tr.selector);
	rc = ctxt->ops->read(ctxt, tr.base + off, slot, size, X86_ACC_SYSTEM);
	if (rc)
		return rc;
	*ss = cpl;
	*sp = 0;
	memcpy(sp, slot, wide ? 8 : size - 2);
	if (!wide)
		memcpy(ss, slot + size - 2, 2);
	return X86EMUL_OK;
}

/* The stack of an inner level, checked; nothing is loaded yet. */
static int inner_stack(struct x86_emulate_ctxt *ctxt, unsigned int cpl,
		       unsigned int ist, struct stack *st)
{
	struct descriptor d;
	u16 sel;
	int rc = tss_stack(ctxt, cpl, ist, &sel, &st->sp);

	if (rc)
		return rc;
	st->cpl = cpl;
	st->fresh = true;
	if (long_mode(ctxt)) {
		memset(&st->ss, 0, sizeof(st->ss));
		st->ss.selector = cpl;
		st->ss.attr = X86_SEG_ATTR_UNUSABLE |
			      cpl << X86_SEG_ATTR_DPL_SHIFT;
		st->sp_bytes = 8;
		return X86EMUL_OK;
	}
	if (null_selector(sel))
		return sel_fault(ctxt, X86_EXC_TS, sel);
	rc = read_descriptor(ctxt, sel, X86_EXC_TS, &d);
	if (rc)
		return rc;
	if (!ss_permitted(&d, sel, cpl))
		return sel_fault(ctxt, X86_EXC_TS, sel);
	if (!desc_present(&d))
		return sel_fault(ctxt, X86_EXC_SS, sel);
	rc = mark_descriptor(ctxt, &d, X86_SEG_ATTR_ACCESSED);
	st->ss = d.seg;
	st->sp_bytes = d.seg.attr & X86_SEG_ATTR_DB ? 4 : 2;
	return rc;
}

/* Makes @st the stack, after a frame of @bytes bytes has been written. */
static int switch_stack(struct x86_emulate_ctxt *ctxt, const struct stack *st,
			u64 bytes)
{
	u64 m = size_mask(st->sp_bytes), old = ctxt->regs[X86_RSP];

	if (st->fresh)
		old = st->sp;
	set_gpr(ctxt, X86_RSP, 8, (old & ~m) | ((st->sp - bytes) & m));
	if (!st->fresh || st->same_ss)
		return X86EMUL_OK;
	return ctxt->ops->set_segment(ctxt, X86_SEG_SS, &st->ss);
}

/* Bits 4..0 of a call gate: parameters to copy to the inner stack */
static int gate_parameters(struct x86_emulate_ctxt *ctxt, struct frame *f,
			   unsigned int count, unsigned int bytes)
{
	u64 val;
	int rc;

	while (count--) {
		rc = stack_read(ctxt, count * bytes, &val, bytes);
		if (rc)
			return rc;
		frame_add(f, val);
	}
	return X86EMUL_OK;
}

/* "Accessing a Code Segment Through a Call Gate", to an inner level */
static int gate_inner(struct x86_emulate_ctxt *ctxt, struct descriptor *cs,
		      u64 off, unsigned int bytes, unsigned int params)
{
	struct x86_segment ss, old_cs;
	struct frame f = { .n = 0 };
	struct stack st = { .cpl = 0 };
	unsigned int cpl = desc_dpl(cs);
	int rc = inner_stack(ctxt, cpl, 0, &st);

	if (rc)
		return rc;
	ctxt->ops->get_segment(ctxt, X86_SEG_SS, &ss);
	ctxt->ops->get_segment(ctxt, X86_SEG_CS, &old_cs);
	frame_add(&f, ss.selector);
	frame_add(&f, ctxt->regs[X86_RSP]);
	rc = gate_parameters(ctxt, &f, params, bytes);
	if (rc)
		return rc;
	frame_add(&f, old_cs.selector);
	frame_add(&f, ctxt->next_rip);
	rc = check_entry(ctxt, cs, off);
	if (!rc)
		rc = stack_push(ctxt, &st, &f, bytes);
	if (!rc)
		rc = switch_stack(ctxt, &st, f.n * bytes);
	return rc ? rc : enter_code(ctxt, cs, cpl, off);
}

/* A gate as destination: selector, offset, parameter count */
static u64 gate_offset(const struct descriptor *d, bool gate16)
{
	u64 off = (d->lo & 0xffff) | (gate16 ? 0 : d->lo >> 32 & 0xffff0000);

	return off | d->hi << 32;
}

static u16 gate_selector(const struct descriptor *d)
{
	return d->lo >> 16;
}

/* Loads and checks the code segment that a call gate names. */
static int gate_target(struct x86_emulate_ctxt *ctxt,
		       const struct descriptor *gate, bool call,
		       struct descriptor *cs)
{
	u16 sel = gate_selector(gate);
	bool wide = long_mode(ctxt), allowed;
	int rc;

	if (null_selector(sel))
		return gp(ctxt, 0);
	rc = read_descriptor(ctxt, sel, X86_EXC_GP, cs);
	if (rc)
		return rc;
	allowed = call || desc_conforming(cs) ? desc_dpl(cs) <= ctxt->cpl :
						desc_dpl(cs) == ctxt->cpl;
	if (!desc_code(cs) || !allowed || cs_bad_width(ctxt, cs) ||
	    (wide && !(cs->seg.attr & X86_SEG_ATTR_L)))
		return sel_fault(ctxt, X86_EXC_GP, sel);
	if (!desc_present(cs))
		return sel_fault(ctxt, X86_EXC_NP, sel);
	return X86EMUL_OK;
}

static int far_gate(struct x86_emulate_ctxt *ctxt, struct descriptor *gate,
		    bool call)
{
	bool gate16 = desc_type(gate) == DESC_GATE16;
	unsigned int bytes = gate16 ? 2 : long_mode(ctxt) ? 8 : 4;
	u64 off = gate_offset(gate, gate16);
	struct descriptor cs;
	int rc = gate_target(ctxt, gate, call, &cs);

	if (rc)
		return rc;
	if (call && !desc_conforming(&cs) && desc_dpl(&cs) < ctxt->cpl)
		return gate_inner(ctxt, &cs, off, bytes,
				  bytes == 8 ? 0 : gate->lo >> 32 & 31);
	rc = check_entry(ctxt, &cs, off);
	if (!rc && call)
		rc = push_return(ctxt, bytes);
	return rc ? rc : enter_code(ctxt, &cs, ctxt->cpl, off);
}

/* TSS or task gate as destination of a far transfer */
static int far_task(struct x86_emulate_ctxt *ctxt, struct descriptor *d,
		    u16 sel, bool call)
{
	struct x86_task_switch sw = {
		.selector = sel, .reason = call ? X86_TASK_CALL : X86_TASK_JMP,
	};

	if (desc_type(d) == DESC_TASK_GATE)
		sw.selector = gate_selector(d);
	return task_switch(ctxt, &sw);
}

static int far_system(struct x86_emulate_ctxt *ctxt, struct descriptor *d,
		      u16 sel, bool call)
{
	unsigned int type = desc_type(d);
	bool wide = long_mode(ctxt);
	bool gate = type == DESC_GATE || (type == DESC_GATE16 && !wide);
	bool task = !wide && (type == DESC_TASK_GATE || type == DESC_TSS ||
			      type == DESC_TSS16);

	if ((!gate && !task) || desc_dpl(d) < ctxt->cpl ||
	    desc_dpl(d) < (sel & SEL_RPL))
		return sel_fault(ctxt, X86_EXC_GP, sel);
	if (!desc_present(d))
		return sel_fault(ctxt, X86_EXC_NP, sel);
	return gate ? far_gate(ctxt, d, call) : far_task(ctxt, d, sel, call);
}

static int far_transfer(struct x86_emulate_ctxt *ctxt, bool call)
{
	struct descriptor d;
	u64 off;
	u16 sel;
	int rc;

	far_pointer(&ctxt->dst, &sel, &off);
	if (!protected(ctxt))
		return far_real(ctxt, sel, off, call);
	if (null_selector(sel))
		return gp(ctxt, 0);
	rc = read_descriptor(ctxt, sel, X86_EXC_GP, &d);
	if (rc)
		return rc;
	return desc_system(&d) ? far_system(ctxt, &d, sel, call) :
				 far_code(ctxt, &d, sel, off, call);
}

static int op_jmp_far(struct x86_emulate_ctxt *ctxt)
{
	return far_transfer(ctxt, false);
}

static int op_call_far(struct x86_emulate_ctxt *ctxt)
{
	return far_transfer(ctxt, true);
}

/* ---- Execute: far return and IRET ------------------------------------ */

/* Where a return goes, as popped from the stack. */
struct far_return {
	u64 rip, cs, flags, rsp, ss;
	u64 popped;		/* bytes taken off the stack */
	u64 release;		/* and given up at both levels: RET imm16 */
	bool has_ss;
};

static int pop_item(struct x86_emulate_ctxt *ctxt, struct far_return *r,
		    u64 *val)
{
	unsigned int bytes = ctxt->insn.op_bytes;
	int rc = stack_read(ctxt, r->popped, val, bytes);

	r->popped += bytes;
	return rc;
}

static int pop_items(struct x86_emulate_ctxt *ctxt, struct far_return *r,
		     u64 *a, u64 *b)
{
	int rc = pop_item(ctxt, r, a);

	return rc ? rc : pop_item(ctxt, r, b);
}

static int return_real(struct x86_emulate_ctxt *ctxt,
		       const struct far_return *r)
{
	struct x86_segment cs;
	int rc;

	ctxt->ops->get_segment(ctxt, X86_SEG_CS, &cs);
	if (r->rip > cs.limit)
		return gp(ctxt, 0);
	rc = load_segment_real(ctxt, X86_SEG_CS, r->cs);
	if (rc)
		return rc;
	ctxt->next_rip = r->rip;
	move_sp(ctxt, r->popped + r->release);
	return X86EMUL_OK;
}

/* "RET", "IRET": checks on the code segment returned to */
static int return_cs(struct x86_emulate_ctxt *ctxt,
		     const struct far_return *r, struct descriptor *cs)
{
	unsigned int rpl = r->cs & SEL_RPL;
	bool allowed;
	int rc;

	if (null_selector(r->cs))
		return gp(ctxt, 0);
	rc = read_descriptor(ctxt, r->cs, X86_EXC_GP, cs);
	if (rc)
		return rc;
	allowed = desc_conforming(cs) ? desc_dpl(cs) <= rpl :
					desc_dpl(cs) == rpl;
	if (!desc_code(cs) || rpl < ctxt->cpl || !allowed ||
	    cs_bad_width(ctxt, cs))
		return sel_fault(ctxt, X86_EXC_GP, r->cs);
	if (!desc_present(cs))
		return sel_fault(ctxt, X86_EXC_NP, r->cs);
	return check_entry(ctxt, cs, r->rip);
}

/* And on the stack segment; a null one serves 64-bit code below CPL 3. */
static int return_ss(struct x86_emulate_ctxt *ctxt,
		     const struct far_return *r, const struct descriptor *cs,
		     struct descriptor *ss)
{
	unsigned int rpl = r->cs & SEL_RPL;
	int rc;

	if (null_selector(r->ss)) {
		if (!long_mode(ctxt) || !(cs->seg.attr & X86_SEG_ATTR_L) ||
		    rpl == 3 || r->ss != rpl)
			return gp(ctxt, 0);
		memset(ss, 0, sizeof(*ss));
		ss->seg.selector = r->ss;
		ss->seg.attr = X86_SEG_ATTR_UNUSABLE |
			       rpl << X86_SEG_ATTR_DPL_SHIFT;
		return X86EMUL_OK;
	}
	rc = read_descriptor(ctxt, r->ss, X86_EXC_GP, ss);
	if (rc)
		return rc;
	if (!ss_permitted(ss, r->ss, rpl))
		return sel_fault(ctxt, X86_EXC_GP, r->ss);
	if (!desc_present(ss))
		return sel_fault(ctxt, X86_EXC_SS, r->ss);
	return mark_descriptor(ctxt, ss, X86_SEG_ATTR_ACCESSED);
}

/* After a return outward, segments of the inner level are made null. */
static int drop_inner_segments(struct x86_emulate_ctxt *ctxt)
{
	static const u8 segs[] = {
		X86_SEG_ES, X86_SEG_DS, X86_SEG_FS, X86_SEG_GS,
	};
	struct x86_segment s;
	unsigned int n, dpl;
	int rc;

	for (n = 0; n < sizeof(segs); n++) {
		ctxt->ops->get_segment(ctxt, segs[n], &s);
		dpl = (s.attr & X86_SEG_ATTR_DPL) >> X86_SEG_ATTR_DPL_SHIFT;
		if ((s.attr & X86_SEG_ATTR_UNUSABLE) || dpl >= ctxt->cpl ||
		    (s.attr & (X86_SEG_ATTR_CODE | X86_SEG_ATTR_CONFORM)) ==
		    (X86_SEG_ATTR_CODE | X86_SEG_ATTR_CONFORM))
			continue;
		s.selector = 0;
		s.attr = X86_SEG_ATTR_UNUSABLE;
		rc = ctxt->ops->set_segment(ctxt, segs[n], &s);
		if (rc)
			return rc;
	}
	return X86EMUL_OK;
}

static int return_outward(struct x86_emulate_ctxt *ctxt,
			  const struct far_return *r, struct descriptor *cs)
{
	struct descriptor ss;
	unsigned int sb;
	int rc = return_ss(ctxt, r, cs, &ss);

	if (rc)
		return rc;
	rc = enter_code(ctxt, cs, r->cs & SEL_RPL, r->rip);
	if (!rc)
		rc = ctxt->ops->set_segment(ctxt, X86_SEG_SS, &ss.seg);
	if (rc)
		return rc;
	sb = (cs->seg.attr & X86_SEG_ATTR_L) && long_mode(ctxt) ? 8 :
	     ss.seg.attr & X86_SEG_ATTR_DB ? 4 : 2;
	set_gpr(ctxt, X86_RSP, sb, r->rsp + r->release);
	return drop_inner_segments(ctxt);
}

/* The common end of far RET and IRET in protected mode. */
static int far_return(struct x86_emulate_ctxt *ctxt, struct far_return *r)
{
	struct descriptor cs;
	int rc = return_cs(ctxt, r, &cs);

	if (rc)
		return rc;
	if (!r->has_ss && (r->cs & SEL_RPL) > ctxt->cpl) {
		r->popped += r->release;
		rc = pop_items(ctxt, r, &r->rsp, &r->ss);
		if (rc)
			return rc;
		r->has_ss = true;
	}
	if (r->has_ss)
		return return_outward(ctxt, r, &cs);
	rc = enter_code(ctxt, &cs, ctxt->cpl, r->rip);
	if (!rc)
		move_sp(ctxt, r->popped + r->release);
	return rc;
}

static int op_ret_far(struct x86_emulate_ctxt *ctxt)
{
	struct far_return r = { .has_ss = false };
	int rc = pop_items(ctxt, &r, &r.rip, &r.cs);

	if (rc)
		return rc;
	r.cs &= 0xffff;
	if (ctxt->dst.type == X86_OP_IMM)
		r.release = ctxt->dst.val;
	return protected(ctxt) ? far_return(ctxt, &r) : return_real(ctxt, &r);
}

/* Flags that POPF and IRET at this privilege and operand size may change. */
static u64 writable_flags(const struct x86_emulate_ctxt *ctxt)
{
	u64 m = FL_ARITH | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID;
	bool real = ctxt->mode == X86_MODE_REAL;

	if (real || !ctxt->cpl)
		m |= FL_IOPL;
	if (real || ctxt->cpl <= iopl(ctxt))
		m |= FL_IF;
	return ctxt->insn.op_bytes == 2 ? m & 0xffff : m;
}

static void load_flags(struct x86_emulate_ctxt *ctxt, u64 val, u64 mask)
{
	ctxt->flags = (ctxt->flags & ~mask) | (val & mask) | FL_FIXED;
}

/* "IRET": to virtual-8086 mode, from CPL 0 with VM set in the image */
static int return_vm86(struct x86_emulate_ctxt *ctxt, struct far_return *r)
{
	static const u8 segs[] = {
		X86_SEG_ES, X86_SEG_DS, X86_SEG_FS, X86_SEG_GS,
	};
	u64 sel[4];
	unsigned int n;
	int rc = pop_items(ctxt, r, &r->rsp, &r->ss);

	for (n = 0; !rc && n < 4; n++)
		rc = pop_item(ctxt, r, &sel[n]);
	if (rc)
		return rc;
	if (r->rip > 0xffff)
		return gp(ctxt, 0);
	ctxt->mode = X86_MODE_VM86;
	rc = load_segment_real(ctxt, X86_SEG_CS, r->cs);
	if (!rc)
		rc = load_segment_real(ctxt, X86_SEG_SS, r->ss);
	for (n = 0; !rc && n < 4; n++)
		rc = load_segment_real(ctxt, segs[n], sel[n]);
	if (rc)
		return rc;
	ctxt->cpl = 3;
	ctxt->mode_changed = true;
	ctxt->flags = (r->flags & FL_IMAGE) | FL_FIXED;
	set_gpr(ctxt, X86_RSP, 4, r->rsp);
	ctxt->next_rip = r->rip;
	return X86EMUL_OK;
}

static int iret_protected(struct x86_emulate_ctxt *ctxt, struct far_return *r)
{
	u64 mask = writable_flags(ctxt);
	int rc;

	if (ctxt->insn.op_bytes != 2)
		mask |= FL_RF;
	if (!ctxt->cpl && ctxt->insn.op_bytes != 2)
		mask |= FL_VIF | FL_VIP;
	if (mode64(ctxt)) {
		rc = pop_items(ctxt, r, &r->rsp, &r->ss);
		if (rc)
			return rc;
		r->ss &= 0xffff;
		r->has_ss = true;
	}
	rc = far_return(ctxt, r);
	if (!rc)
		load_flags(ctxt, r->flags, mask);
	return rc;
}

static int iret_task(struct x86_emulate_ctxt *ctxt)
{
	struct x86_task_switch sw = { .reason = X86_TASK_IRET };
	struct x86_segment tr;
	int rc;

	if (long_mode(ctxt))
		return gp(ctxt, 0);
	ctxt->ops->get_segment(ctxt, X86_SEG_TR, &tr);
	rc = ctxt->ops->read(ctxt, tr.base, &sw.selector, 2, X86_ACC_SYSTEM);
	return rc ? rc : task_switch(ctxt, &sw);
}

static int iret(struct x86_emulate_ctxt *ctxt)
{
	struct far_return r = { .has_ss = false };
	int rc;

	if (ctxt->mode == X86_MODE_VM86 && iopl(ctxt) < 3)
		return vme_active(ctxt) ? X86EMUL_UNHANDLEABLE : gp(ctxt, 0);
	if (protected(ctxt) && (ctxt->rflags & FL_NT))
		return iret_task(ctxt);
	rc = pop_items(ctxt, &r, &r.rip, &r.cs);
	if (!rc)
		rc = pop_item(ctxt, &r, &r.flags);
	if (rc)
		return rc;
	r.cs &= 0xffff;
	if (protected(ctxt)) {
		if (!ctxt->cpl && (r.flags & FL_VM) &&
		    ctxt->insn.op_bytes == 4 && !long_mode(ctxt))
			return return_vm86(ctxt, &r);
		return iret_protected(ctxt, &r);
	}
	rc = return_real(ctxt, &r);
	if (!rc)
		load_flags(ctxt, r.flags, writable_flags(ctxt) |
			   (ctxt->insn.op_bytes == 4 ? FL_RF : 0));
	return rc;
}

static int op_iret(struct x86_emulate_ctxt *ctxt)
{
	int rc = iret(ctxt);

	if (!rc && ctxt->ops->unblock_nmi)
		ctxt->ops->unblock_nmi(ctxt);
	return rc;
}

/* ---- Events: interrupts and exceptions through the IDT --------------- */

struct event {
	u8 vector;
	bool software;
	bool has_error;
	u32 error;
};

/* "Interrupt and Exception Handling in Real-Address Mode" */
static int event_real(struct x86_emulate_ctxt *ctxt, const struct event *e)
{
	struct frame f = { .n = 0 };
	struct x86_segment cs;
	u64 base;
	u32 entry = 0;
	u16 limit;
	int rc;

	ctxt->ops->get_dt(ctxt, X86_DT_IDT, &base, &limit);
	if (4u * e->vector + 3 > limit)
		return gp(ctxt, 0);
	rc = ctxt->ops->read(ctxt, base + 4 * e->vector, &entry, 4,
			     X86_ACC_SYSTEM);
	if (rc)
		return rc;
	ctxt->ops->get_segment(ctxt, X86_SEG_CS, &cs);
	frame_add(&f, ctxt->flags);
	frame_add(&f, cs.selector);
	frame_add(&f, ctxt->next_rip);
	rc = frame_push(ctxt, &f, 2);
	if (!rc)
		rc = load_segment_real(ctxt, X86_SEG_CS, entry >> 16);
	if (rc)
		return rc;
	ctxt->next_rip = entry & 0xffff;
	ctxt->flags &= ~(u64)(FL_IF | FL_TF | FL_AC | FL_RF);
	return X86EMUL_OK;
}

/* An error code that names an IDT entry: bit 1 set */
static int idt_fault(struct x86_emulate_ctxt *ctxt, u8 vector,
		     const struct event *e)
{
	return x86_emul_fault(ctxt, vector, true,
			      e->vector * 8u + 2 + ctxt->ext);
}

/* Reads the gate and makes the checks that concern the gate alone. */
static int event_gate(struct x86_emulate_ctxt *ctxt, const struct event *e,
		      struct descriptor *gate)
{
	bool wide = long_mode(ctxt);
	unsigned int size = wide ? 16 : 8, type;
	u64 base;
	u16 limit;
	int rc;

	ctxt->ops->get_dt(ctxt, X86_DT_IDT, &base, &limit);
	if (e->vector * size + size - 1 > limit)
		return idt_fault(ctxt, X86_EXC_GP, e);
	gate->lin = base + e->vector * size;
	gate->hi = 0;
	rc = ctxt->ops->read(ctxt, gate->lin, &gate->lo, 8, X86_ACC_SYSTEM);
	if (!rc && wide)
		rc = ctxt->ops->read(ctxt, gate->lin + 8, &gate->hi, 8,
				     X86_ACC_SYSTEM);
	if (rc)
		return rc;
	desc_unpack(gate, 0);
	type = gate->seg.attr & (X86_SEG_ATTR_TYPE | X86_SEG_ATTR_S);
	if (type != DESC_INT && type != DESC_TRAP &&
	    (wide || (type != DESC_INT16 && type != DESC_TRAP16 &&
		      type != DESC_TASK_GATE)))
		return idt_fault(ctxt, X86_EXC_GP, e);
	if (e->software && desc_dpl(gate) < ctxt->cpl)
		return idt_fault(ctxt, X86_EXC_GP, e);
	if (!desc_present(gate))
		return idt_fault(ctxt, X86_EXC_NP, e);
	return X86EMUL_OK;
}

static int event_cs(struct x86_emulate_ctxt *ctxt,
		    const struct descriptor *gate, struct descriptor *cs)
{
	u16 sel = gate_selector(gate);
	bool wide = long_mode(ctxt);
	int rc;

	if (null_selector(sel))
		return gp(ctxt, ctxt->ext);
	rc = read_descriptor(ctxt, sel, X86_EXC_GP, cs);
	if (rc)
		return rc;
	if (!desc_code(cs) || desc_dpl(cs) > ctxt->cpl ||
	    cs_bad_width(ctxt, cs) ||
	    (wide && !(cs->seg.attr & X86_SEG_ATTR_L)))
		return sel_fault(ctxt, X86_EXC_GP, sel);
	if (!desc_present(cs))
		return sel_fault(ctxt, X86_EXC_NP, sel);
	/* From virtual-8086 mode an event goes to CPL 0 and nowhere else. */
	if (ctxt->mode == X86_MODE_VM86 &&
	    (desc_conforming(cs) || desc_dpl(cs)))
		return sel_fault(ctxt, X86_EXC_GP, sel);
	return X86EMUL_OK;
}

/* The stack an event is delivered on. */
static int event_stack(struct x86_emulate_ctxt *ctxt, unsigned int cpl,
		       unsigned int ist, struct stack *st)
{
	int rc = X86EMUL_OK;

	if (cpl < ctxt->cpl || ist) {
		rc = inner_stack(ctxt, cpl, ist, st);
		/* At the same level the stack segment stays. */
		st->same_ss = cpl == ctxt->cpl;
	} else {
		current_stack(ctxt, st);
		st->sp_bytes = long_mode(ctxt) ? 8 : st->sp_bytes;
	}
	/* "Interrupt Stack Frame" of 64-bit mode: aligned to 16 bytes */
	if (long_mode(ctxt))
		st->sp &= ~15ull;
	return rc;
}

static void event_frame(struct x86_emulate_ctxt *ctxt, const struct event *e,
			const struct stack *st, struct frame *f)
{
	static const u8 vm86_segs[] = {
		X86_SEG_GS, X86_SEG_FS, X86_SEG_DS, X86_SEG_ES,
	};
	struct x86_segment s;
	unsigned int n;

	for (n = 0; ctxt->mode == X86_MODE_VM86 && n < 4; n++) {
		ctxt->ops->get_segment(ctxt, vm86_segs[n], &s);
		frame_add(f, s.selector);
	}
	if (st->fresh || long_mode(ctxt)) {
		ctxt->ops->get_segment(ctxt, X86_SEG_SS, &s);
		frame_add(f, s.selector);
		frame_add(f, ctxt->regs[X86_RSP]);
	}
	ctxt->ops->get_segment(ctxt, X86_SEG_CS, &s);
	frame_add(f, ctxt->flags);
	frame_add(f, s.selector);
	frame_add(f, ctxt->next_rip);
	if (e->has_error)
		frame_add(f, e->error);
}

/* Leaving virtual-8086 mode, the data segments are made null. */
static int leave_vm86(struct x86_emulate_ctxt *ctxt)
{
	static const u8 segs[] = {
		X86_SEG_ES, X86_SEG_DS, X86_SEG_FS, X86_SEG_GS,
	};
	struct x86_segment s = { .attr = X86_SEG_ATTR_UNUSABLE };
	unsigned int n;
	int rc = X86EMUL_OK;

	for (n = 0; !rc && n < sizeof(segs); n++)
		rc = ctxt->ops->set_segment(ctxt, segs[n], &s);
	return rc;
}

static int event_through(struct x86_emulate_ctxt *ctxt, const struct event *e,
			 const struct descriptor *gate, struct descriptor *cs)
{
	unsigned int type = desc_type(gate), cpl, bytes, ist;
	bool gate16 = !(type & 8), vm86 = ctxt->mode == X86_MODE_VM86;
	u64 off = gate_offset(gate, gate16);
	struct stack st = { .cpl = ctxt->cpl };
	struct frame f = { .n = 0 };
	int rc;

	cpl = desc_conforming(cs) ? ctxt->cpl : desc_dpl(cs);
	bytes = long_mode(ctxt) ? 8 : gate16 ? 2 : 4;
	ist = long_mode(ctxt) ? gate->lo >> 32 & 7 : 0;
	rc = event_stack(ctxt, cpl, ist, &st);
	if (rc)
		return rc;
	event_frame(ctxt, e, &st, &f);
	rc = check_entry(ctxt, cs, off);
	if (!rc)
		rc = stack_push(ctxt, &st, &f, bytes);
	if (!rc)
		rc = switch_stack(ctxt, &st, f.n * bytes);
	if (!rc && vm86)
		rc = leave_vm86(ctxt);
	if (!rc)
		rc = enter_code(ctxt, cs, cpl, off);
	if (rc)
		return rc;
	ctxt->flags &= ~(u64)(FL_TF | FL_NT | FL_RF | FL_VM);
	if (!(type & 1))
		ctxt->flags &= ~(u64)FL_IF;
	return X86EMUL_OK;
}

static int event_task(struct x86_emulate_ctxt *ctxt, const struct event *e,
		      const struct descriptor *gate)
{
	struct x86_task_switch sw = {
		.selector = gate_selector(gate), .reason = X86_TASK_GATE,
		.has_error = e->has_error, .error = e->error,
	};

	return task_switch(ctxt, &sw);
}

/* "Interrupt 1, INT n": delivery in all modes; returns to next_rip. */
static int deliver(struct x86_emulate_ctxt *ctxt, const struct event *e)
{
	struct descriptor gate, cs;
	int rc;

	if (ctxt->mode == X86_MODE_REAL)
		return event_real(ctxt, e);
	rc = event_gate(ctxt, e, &gate);
	if (rc)
		return rc;
	if (desc_type(&gate) == DESC_TASK_GATE)
		return event_task(ctxt, e, &gate);
	rc = event_cs(ctxt, &gate, &cs);
	return rc ? rc : event_through(ctxt, e, &gate, &cs);
}

int x86_emulate_event(struct x86_emulate_ctxt *ctxt, u8 vector,
		      enum x86_event_kind kind, bool has_error, u32 error)
{
	struct event e = {
		.vector = vector, .software = kind == X86_EVENT_SOFTWARE,
		.has_error = has_error, .error = error,
	};
	int rc;

	reset_results(ctxt);
	reset_insn(&ctxt->insn);
	ctxt->ext = !e.software;
	ctxt->next_rip = ctxt->rip;
	ctxt->flags = ctxt->rflags;
	rc = deliver(ctxt, &e);
	if (rc)
		return rc;
	ctxt->rip = ctxt->next_rip;
	ctxt->rflags = ctxt->flags;
	return X86EMUL_OK;
}

static int software_interrupt(struct x86_emulate_ctxt *ctxt, u8 vector)
{
	struct event e = { .vector = vector, .software = true };

	return deliver(ctxt, &e);
}

/* In virtual-8086 mode INT n, unlike INT3 and INTO, obeys IOPL. */
static int op_int(struct x86_emulate_ctxt *ctxt)
{
	if (ctxt->mode == X86_MODE_VM86) {
		if (vme_active(ctxt))
			return X86EMUL_UNHANDLEABLE;
		if (iopl(ctxt) < 3)
			return gp(ctxt, 0);
	}
	return software_interrupt(ctxt, ctxt->dst.val);
}

static int op_int3(struct x86_emulate_ctxt *ctxt)
{
	return software_interrupt(ctxt, X86_EXC_BP);
}

/* INT1, a privileged software exception: the gate's DPL is not looked at. */
static int op_int1(struct x86_emulate_ctxt *ctxt)
{
	struct event e = { .vector = X86_EXC_DB };

	return deliver(ctxt, &e);
}

static int op_into(struct x86_emulate_ctxt *ctxt)
{
	if (!(ctxt->flags & FL_OF))
		return X86EMUL_OK;
	return software_interrupt(ctxt, X86_EXC_OF);
}

/* ---- Execute: system flags ------------------------------------------- */

static int op_pushf(struct x86_emulate_ctxt *ctxt)
{
	if (ctxt->mode == X86_MODE_VM86 && iopl(ctxt) < 3)
		return vme_active(ctxt) ? X86EMUL_UNHANDLEABLE : gp(ctxt, 0);
	return push(ctxt, ctxt->flags & ~(u64)(FL_VM | FL_RF));
}

static int op_popf(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->insn.op_bytes;
	u64 mask = writable_flags(ctxt), val;
	int rc;

	if (ctxt->mode == X86_MODE_VM86 && iopl(ctxt) < 3)
		return vme_active(ctxt) ? X86EMUL_UNHANDLEABLE : gp(ctxt, 0);
	rc = stack_read(ctxt, 0, &val, bytes);
	if (rc)
		return rc;
	move_sp(ctxt, bytes);
	/* A 32- or 64-bit image of supervisor code clears VIF and VIP. */
	if (!ctxt->cpl && bytes != 2) {
		mask |= FL_VIF | FL_VIP;
		val &= ~(u64)(FL_VIF | FL_VIP);
	}
	load_flags(ctxt, val, mask);
	return X86EMUL_OK;
}

/* OK, #GP(0), or UNHANDLEABLE where VIF would be changed in place of IF. */
static int check_if_access(struct x86_emulate_ctxt *ctxt)
{
	if (ctxt->mode == X86_MODE_REAL || ctxt->cpl <= iopl(ctxt))
		return X86EMUL_OK;
	if (ctxt->ops->get_cr(ctxt, 4) & (ctxt->mode == X86_MODE_VM86 ?
					  CR4_VME : CR4_PVI))
		return ctxt->cpl == 3 ? X86EMUL_UNHANDLEABLE : gp(ctxt, 0);
	return gp(ctxt, 0);
}

static int op_cli(struct x86_emulate_ctxt *ctxt)
{
	int rc = check_if_access(ctxt);

	if (!rc)
		set_flag(ctxt, FL_IF, false);
	return rc;
}

static int op_sti(struct x86_emulate_ctxt *ctxt)
{
	int rc = check_if_access(ctxt);

	if (rc)
		return rc;
	if (!(ctxt->flags & FL_IF))
		ctxt->shadow = X86_SHADOW_STI;
	set_flag(ctxt, FL_IF, true);
	return X86EMUL_OK;
}

/* ---- Execute: protection --------------------------------------------- */

/* "BOUND": the index against two signed bounds in memory */
static int op_bound(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->dst.bytes;
	s64 index = sign_extend(ctxt->dst.val, bytes);
	s64 low = sign_extend(ctxt->src.val, bytes);
	s64 high = sign_extend(ctxt->src.val >> 8 * bytes, bytes);

	if (index < low || index > high)
		return x86_emul_fault(ctxt, X86_EXC_BR, false, 0);
	return X86EMUL_OK;
}

/* "ARPL" writes its destination only to raise the RPL. */
static int op_arpl(struct x86_emulate_ctxt *ctxt)
{
	struct x86_operand *d = &ctxt->dst;
	u64 rpl = ctxt->src.val & SEL_RPL;
	bool raise = (d->val & SEL_RPL) < rpl;
	int rc = X86EMUL_OK;

	if (raise) {
		d->val = (d->val & ~(u64)SEL_RPL) | rpl;
		if (d->type == X86_OP_MEM)
			rc = operand_address(ctxt, d, Ew, true);
		if (!rc)
			rc = store_operand(ctxt, d);
	}
	set_flag(ctxt, FL_ZF, raise);
	return rc;
}

/*
 * Looks a selector up for LAR, LSL, VERR and VERW, which answer in ZF.
 * @found is false for a selector with no descriptor this level may see.
 */
static int inspect(struct x86_emulate_ctxt *ctxt, u16 sel,
		   struct descriptor *d, bool *found)
{
	int rc;

	*found = false;
	if (null_selector(sel))
		return X86EMUL_OK;
	rc = find_descriptor(ctxt, sel, d);
	if (rc == NO_DESCRIPTOR)
		return X86EMUL_OK;
	*found = !rc && (desc_conforming(d) ||
			 (desc_dpl(d) >= ctxt->cpl &&
			  desc_dpl(d) >= (sel & SEL_RPL)));
	return rc;
}

/* Bit n: system descriptor type n is valid. */
#define LAR_TYPES	0x1a3eu
#define LAR_TYPES_LONG	0x1a04u
#define LSL_TYPES	0x0a0eu
#define LSL_TYPES_LONG	0x0a04u

static int inspect_types(struct x86_emulate_ctxt *ctxt, u32 types,
			 u32 types_long, struct descriptor *d)
{
	bool found;
	int rc = inspect(ctxt, ctxt->src.val, d, &found);

	if (rc)
		return rc;
	if (found && desc_system(d))
		found = (long_mode(ctxt) ? types_long : types) >>
			desc_type(d) & 1;
	set_flag(ctxt, FL_ZF, found);
	if (!found)
		ctxt->dst.type = X86_OP_NONE;
	return X86EMUL_OK;
}

static int op_lar(struct x86_emulate_ctxt *ctxt)
{
	struct descriptor d = { .lo = 0 };
	int rc = inspect_types(ctxt, LAR_TYPES, LAR_TYPES_LONG, &d);

	ctxt->dst.val = d.lo >> 32 & 0xffff00;
	return rc;
}

static int op_lsl(struct x86_emulate_ctxt *ctxt)
{
	struct descriptor d = { .lo = 0 };
	int rc = inspect_types(ctxt, LSL_TYPES, LSL_TYPES_LONG, &d);

	ctxt->dst.val = d.seg.limit;
	return rc;
}

static int verify(struct x86_emulate_ctxt *ctxt, bool write)
{
	struct descriptor d;
	bool found;
	int rc = inspect(ctxt, ctxt->dst.val, &d, &found);

	if (!rc)
		set_flag(ctxt, FL_ZF, found && !desc_system(&d) &&
			 seg_permits(d.seg.attr, write));
	return rc;
}

static int op_verr(struct x86_emulate_ctxt *ctxt)
{
	return verify(ctxt, false);
}

static int op_verw(struct x86_emulate_ctxt *ctxt)
{
	return verify(ctxt, true);
}

/* SLDT 0F 00 /0, STR 0F 00 /1 */
static int op_store_system(struct x86_emulate_ctxt *ctxt)
{
	struct x86_segment s;

	ctxt->ops->get_segment(ctxt, ctxt->insn.modrm >> 3 & 7 ? X86_SEG_TR :
			       X86_SEG_LDTR, &s);
	ctxt->dst.val = s.selector;
	return X86EMUL_OK;
}

/* The descriptor of an LDT or TSS to load, in the GDT and present */
static int system_descriptor(struct x86_emulate_ctxt *ctxt, u16 sel,
			     u32 types, struct descriptor *d)
{
	int rc;

	if (sel & SEL_TI)
		return sel_fault(ctxt, X86_EXC_GP, sel);
	rc = read_descriptor(ctxt, sel, X86_EXC_GP, d);
	if (rc)
		return rc;
	if (!desc_system(d) || !(types >> desc_type(d) & 1))
		return sel_fault(ctxt, X86_EXC_GP, sel);
	if (!desc_present(d))
		return sel_fault(ctxt, X86_EXC_NP, sel);
	return X86EMUL_OK;
}

static int op_lldt(struct x86_emulate_ctxt *ctxt)
{
	struct descriptor d = { .seg.attr = X86_SEG_ATTR_UNUSABLE };
	u16 sel = ctxt->dst.val;
	int rc;

	d.seg.selector = sel;
	if (!null_selector(sel)) {
		rc = system_descriptor(ctxt, sel, 1u << DESC_LDT, &d);
		if (rc)
			return rc;
	}
	return ctxt->ops->set_segment(ctxt, X86_SEG_LDTR, &d.seg);
}

static int op_ltr(struct x86_emulate_ctxt *ctxt)
{
	struct descriptor d;
	u16 sel = ctxt->dst.val;
	u32 types = 1u << DESC_TSS;
	int rc;

	if (null_selector(sel))
		return gp(ctxt, 0);
	if (!long_mode(ctxt))
		types |= 1u << DESC_TSS16;
	rc = system_descriptor(ctxt, sel, types, &d);
	if (!rc)
		rc = mark_descriptor(ctxt, &d, DESC_BUSY);
	return rc ? rc : ctxt->ops->set_segment(ctxt, X86_SEG_TR, &d.seg);
}

/* ---- Execute: system registers --------------------------------------- */

static enum x86_dt opcode_dt(const struct x86_emulate_ctxt *ctxt)
{
	return ctxt->insn.modrm >> 3 & 1 ? X86_DT_IDT : X86_DT_GDT;
}

static int op_store_dt(struct x86_emulate_ctxt *ctxt)
{
	u16 limit;
	u64 base;

	ctxt->ops->get_dt(ctxt, opcode_dt(ctxt), &base, &limit);
	memcpy(ctxt->dst.data, &limit, 2);
	memcpy(ctxt->dst.data + 2, &base, 8);
	return X86EMUL_OK;
}

static int op_load_dt(struct x86_emulate_ctxt *ctxt)
{
	u64 base = 0;
	u16 limit;

	memcpy(&limit, ctxt->src.data, 2);
	memcpy(&base, ctxt->src.data + 2, ctxt->src.bytes - 2);
	if (mode64(ctxt)) {
		if (!canonical(ctxt, base))
			return gp(ctxt, 0);
	} else if (ctxt->insn.op_bytes == 2) {
		base &= 0xffffff;
	}
	return ctxt->ops->set_dt(ctxt, opcode_dt(ctxt), base, limit);
}

static int op_smsw(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->ops->get_cr(ctxt, 0);
	return X86EMUL_OK;
}

static int write_cr(struct x86_emulate_ctxt *ctxt, unsigned int cr, u64 val)
{
	ctxt->mode_changed = true;
	return ctxt->ops->set_cr(ctxt, cr, val);
}

/* LMSW changes PE, MP, EM and TS, but does not clear PE. */
static int op_lmsw(struct x86_emulate_ctxt *ctxt)
{
	u64 cr0 = ctxt->ops->get_cr(ctxt, 0);

	return write_cr(ctxt, 0, (cr0 & ~0xeull) | (ctxt->dst.val & 0xf));
}

static int op_clts(struct x86_emulate_ctxt *ctxt)
{
	u64 cr0 = ctxt->ops->get_cr(ctxt, 0);

	return ctxt->ops->set_cr(ctxt, 0, cr0 & ~(u64)CR0_TS);
}

static int op_mov_from_cr(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->ops->get_cr(ctxt, ctxt->src.reg);
	return X86EMUL_OK;
}

static int op_mov_to_cr(struct x86_emulate_ctxt *ctxt)
{
	return write_cr(ctxt, ctxt->dst.reg, ctxt->src.val);
}

/* "Debug Registers DR4 and DR5", and general detect */
static int check_dr(struct x86_emulate_ctxt *ctxt, unsigned int *dr)
{
	if (*dr > 7)
		return ud(ctxt);
	if (*dr == 4 || *dr == 5) {
		if (ctxt->ops->get_cr(ctxt, 4) & CR4_DE)
			return ud(ctxt);
		*dr += 2;
	}
	if (ctxt->cpl)
		return gp(ctxt, 0);
	if (ctxt->ops->get_dr(ctxt, 7) & DR7_GD)
		return x86_emul_fault(ctxt, X86_EXC_DB, false, 0);
	return X86EMUL_OK;
}

static int op_mov_from_dr(struct x86_emulate_ctxt *ctxt)
{
	unsigned int dr = ctxt->src.reg;
	int rc = check_dr(ctxt, &dr);

	if (!rc)
		ctxt->dst.val = ctxt->ops->get_dr(ctxt, dr);
	return rc;
}

static int op_mov_to_dr(struct x86_emulate_ctxt *ctxt)
{
	unsigned int dr = ctxt->dst.reg;
	int rc = check_dr(ctxt, &dr);

	return rc ? rc : ctxt->ops->set_dr(ctxt, dr, ctxt->src.val);
}

static int op_hlt(struct x86_emulate_ctxt *ctxt)
{
	ctxt->halted = true;
	return ctxt->ops->hlt(ctxt);
}

static int op_wbinvd(struct x86_emulate_ctxt *ctxt)
{
	return ctxt->ops->wbinvd(ctxt);
}

/* An address that is not canonical makes INVLPG do nothing. */
static int op_invlpg(struct x86_emulate_ctxt *ctxt)
{
	u64 ea = effective_address(ctxt), lin = ea;
	struct x86_segment s;

	if (mode64(ctxt)) {
		if (linear64(ctxt, ctxt->insn.seg, ea, 1, &lin))
			return X86EMUL_OK;
	} else {
		ctxt->ops->get_segment(ctxt, ctxt->insn.seg, &s);
		lin = (u32)(s.base + ea);
	}
	return ctxt->ops->invlpg(ctxt, lin);
}

enum { INVPCID_ADDRESS, INVPCID_SINGLE, INVPCID_ALL, INVPCID_NON_GLOBAL };

/* The descriptor is checked as a whole, of whatever type. */
static int op_invpcid(struct x86_emulate_ctxt *ctxt)
{
	u64 type = ctxt->dst.val, pcid = ctxt->src.vec[0];
	u64 lin = ctxt->src.vec[1];

	if (type > INVPCID_NON_GLOBAL || pcid >> 12)
		return gp(ctxt, 0);
	if (type <= INVPCID_SINGLE && pcid &&
	    !(ctxt->ops->get_cr(ctxt, 4) & CR4_PCIDE))
		return gp(ctxt, 0);
	if (type == INVPCID_ADDRESS && !canonical(ctxt, lin))
		return gp(ctxt, 0);
	return ctxt->ops->invpcid(ctxt, type, pcid, lin);
}

/* EDX:EAX and ECX, as the MSR and counter instructions use them */
static u64 edx_eax(const struct x86_emulate_ctxt *ctxt)
{
	return (u64)(u32)ctxt->regs[X86_RDX] << 32 | (u32)ctxt->regs[X86_RAX];
}

static int set_edx_eax(struct x86_emulate_ctxt *ctxt, int rc, u64 val)
{
	if (rc)
		return rc;
	set_gpr(ctxt, X86_RAX, 4, val);
	set_gpr(ctxt, X86_RDX, 4, val >> 32);
	return X86EMUL_OK;
}

static int op_rdmsr(struct x86_emulate_ctxt *ctxt)
{
	u64 val = 0;
	int rc = ctxt->ops->get_msr(ctxt, ctxt->regs[X86_RCX], &val);

	return set_edx_eax(ctxt, rc, val);
}

static int op_wrmsr(struct x86_emulate_ctxt *ctxt)
{
	ctxt->mode_changed = true;
	return ctxt->ops->set_msr(ctxt, ctxt->regs[X86_RCX], edx_eax(ctxt));
}

static int op_rdtsc(struct x86_emulate_ctxt *ctxt)
{
	u64 val = 0;
	int rc;

	if (ctxt->cpl && (ctxt->ops->get_cr(ctxt, 4) & CR4_TSD))
		return gp(ctxt, 0);
	rc = ctxt->ops->rdtsc(ctxt, &val);
	return set_edx_eax(ctxt, rc, val);
}

#define MSR_TSC_AUX	0xc0000103u

static int op_rdtscp(struct x86_emulate_ctxt *ctxt)
{
	u64 aux = 0;
	int rc = ctxt->ops->get_msr(ctxt, MSR_TSC_AUX, &aux);

	if (!rc)
		rc = op_rdtsc(ctxt);
	if (!rc)
		set_gpr(ctxt, X86_RCX, 4, aux);
	return rc;
}

static int op_rdpmc(struct x86_emulate_ctxt *ctxt)
{
	u64 val = 0;
	int rc;

	if (ctxt->cpl && !(ctxt->ops->get_cr(ctxt, 4) & CR4_PCE))
		return gp(ctxt, 0);
	rc = ctxt->ops->rdpmc(ctxt, ctxt->regs[X86_RCX], &val);
	return set_edx_eax(ctxt, rc, val);
}

static int op_cpuid(struct x86_emulate_ctxt *ctxt)
{
	static const u8 order[4] = { X86_RAX, X86_RBX, X86_RCX, X86_RDX };
	u32 r[4];
	unsigned int n;
	int rc;

	for (n = 0; n < 4; n++)
		r[n] = ctxt->regs[order[n]];
	rc = ctxt->ops->cpuid(ctxt, r);
	for (n = 0; !rc && n < 4; n++)
		set_gpr(ctxt, order[n], 4, r[n]);
	return rc;
}

/* These two take no mandatory prefix, not even an ignored one. */
static int check_xcr(struct x86_emulate_ctxt *ctxt)
{
	if (ctxt->insn.pp || !(ctxt->ops->get_cr(ctxt, 4) & CR4_OSXSAVE))
		return ud(ctxt);
	return X86EMUL_OK;
}

static int op_xgetbv(struct x86_emulate_ctxt *ctxt)
{
	int rc = check_xcr(ctxt);

	if (rc)
		return rc;
	if ((u32)ctxt->regs[X86_RCX])
		return gp(ctxt, 0);
	return set_edx_eax(ctxt, X86EMUL_OK, ctxt->ops->get_xcr(ctxt, 0));
}

static int op_xsetbv(struct x86_emulate_ctxt *ctxt)
{
	int rc = check_xcr(ctxt);

	if (rc)
		return rc;
	if (ctxt->cpl || (u32)ctxt->regs[X86_RCX])
		return gp(ctxt, 0);
	return ctxt->ops->set_xcr(ctxt, 0, edx_eax(ctxt));
}

static int op_hypercall(struct x86_emulate_ctxt *ctxt)
{
	if (!ctxt->ops->hypercall)
		return X86EMUL_UNHANDLEABLE;
	ctxt->regs_dirty = ~0u >> (32 - X86_NR_GPRS);
	return ctxt->ops->hypercall(ctxt);
}

#define MSR_GS_BASE		0xc0000101u
#define MSR_KERNEL_GS_BASE	0xc0000102u

static int op_swapgs(struct x86_emulate_ctxt *ctxt)
{
	u64 kernel = 0, base = ctxt->ops->segment_base(ctxt, X86_SEG_GS);
	int rc = ctxt->ops->get_msr(ctxt, MSR_KERNEL_GS_BASE, &kernel);

	if (!rc)
		rc = ctxt->ops->set_msr(ctxt, MSR_KERNEL_GS_BASE, base);
	if (!rc)
		rc = ctxt->ops->set_msr(ctxt, MSR_GS_BASE, kernel);
	return rc;
}

/* RDFSBASE /0, RDGSBASE /1, WRFSBASE /2, WRGSBASE /3 */
static int op_fsgsbase(struct x86_emulate_ctxt *ctxt)
{
	unsigned int n = ctxt->insn.modrm >> 3 & 7;
	unsigned int seg = X86_SEG_FS + (n & 1);
	struct x86_segment s;

	if (!(ctxt->ops->get_cr(ctxt, 4) & CR4_FSGSBASE))
		return ud(ctxt);
	if (n < 2) {
		ctxt->dst.val = ctxt->ops->segment_base(ctxt, seg);
		return X86EMUL_OK;
	}
	if (!canonical(ctxt, ctxt->dst.val))
		return gp(ctxt, 0);
	ctxt->ops->get_segment(ctxt, seg, &s);
	s.base = ctxt->dst.val;
	return ctxt->ops->set_segment(ctxt, seg, &s);
}

/* ---- Execute: fast system calls -------------------------------------- */

#define MSR_SYSENTER_CS		0x174u
#define MSR_SYSENTER_ESP	0x175u
#define MSR_SYSENTER_EIP	0x176u
#define MSR_STAR		0xc0000081u
#define MSR_LSTAR		0xc0000082u
#define MSR_FMASK		0xc0000084u

/* Code and stack of fixed form: flat, whatever the descriptors say. */
static int set_flat(struct x86_emulate_ctxt *ctxt, u16 cs, u16 ss, u32 dpl,
		    bool to64)
{
	struct x86_segment s = {
		.limit = 0xffffffff,
		.attr = 0xb | X86_SEG_ATTR_S | dpl << X86_SEG_ATTR_DPL_SHIFT |
			X86_SEG_ATTR_P | X86_SEG_ATTR_G |
			(to64 ? X86_SEG_ATTR_L : X86_SEG_ATTR_DB),
		.selector = cs | dpl,
	};
	int rc = ctxt->ops->set_segment(ctxt, X86_SEG_CS, &s);

	s.attr = 0x3 | X86_SEG_ATTR_S | dpl << X86_SEG_ATTR_DPL_SHIFT |
		 X86_SEG_ATTR_P | X86_SEG_ATTR_G | X86_SEG_ATTR_DB;
	s.selector = ss | dpl;
	ctxt->mode_changed = true;
	return rc ? rc : ctxt->ops->set_segment(ctxt, X86_SEG_SS, &s);
}

static int op_sysenter(struct x86_emulate_ctxt *ctxt)
{
	u64 cs = 0, rsp = 0, rip = 0, mask = long_mode(ctxt) ? ~0ull : ~0u;
	int rc;

	if (ctxt->mode == X86_MODE_REAL)
		return gp(ctxt, 0);
	rc = ctxt->ops->get_msr(ctxt, MSR_SYSENTER_CS, &cs);
	if (!rc)
		rc = ctxt->ops->get_msr(ctxt, MSR_SYSENTER_ESP, &rsp);
	if (!rc)
		rc = ctxt->ops->get_msr(ctxt, MSR_SYSENTER_EIP, &rip);
	if (rc)
		return rc;
	cs &= 0xfffc;
	if (!cs)
		return gp(ctxt, 0);
	set_flag(ctxt, FL_VM | FL_IF, false);
	set_gpr(ctxt, X86_RSP, 8, rsp & mask);
	ctxt->next_rip = rip & mask;
	return set_flat(ctxt, cs, cs + 8, 0, long_mode(ctxt));
}

static int op_sysexit(struct x86_emulate_ctxt *ctxt)
{
	bool to64 = ctxt->insn.op_bytes == 8;
	u64 rip = ctxt->regs[X86_RDX], rsp = ctxt->regs[X86_RCX], cs = 0;
	int rc;

	if (!protected(ctxt) || ctxt->cpl)
		return gp(ctxt, 0);
	rc = ctxt->ops->get_msr(ctxt, MSR_SYSENTER_CS, &cs);
	if (rc)
		return rc;
	cs &= 0xfffc;
	if (!cs || (to64 && (!canonical(ctxt, rip) || !canonical(ctxt, rsp))))
		return gp(ctxt, 0);
	cs += to64 ? 32 : 16;
	set_gpr(ctxt, X86_RSP, to64 ? 8 : 4, rsp);
	ctxt->next_rip = to64 ? rip : (u32)rip;
	return set_flat(ctxt, cs, cs + 8, 3, to64);
}

static bool syscall_on(struct x86_emulate_ctxt *ctxt)
{
	return mode64(ctxt) && (ctxt->ops->get_efer(ctxt) & EFER_SCE);
}

static int op_syscall(struct x86_emulate_ctxt *ctxt)
{
	u64 star = 0, target = 0, mask = 0;
	int rc;

	if (!syscall_on(ctxt))
		return ud(ctxt);
	rc = ctxt->ops->get_msr(ctxt, MSR_STAR, &star);
	if (!rc)
		rc = ctxt->ops->get_msr(ctxt, MSR_LSTAR, &target);
	if (!rc)
		rc = ctxt->ops->get_msr(ctxt, MSR_FMASK, &mask);
	if (rc)
		return rc;
	set_gpr(ctxt, X86_RCX, 8, ctxt->next_rip);
	set_gpr(ctxt, X86_R11, 8, ctxt->flags);
	ctxt->flags &= ~mask;
	ctxt->flags |= FL_FIXED;
	ctxt->next_rip = target;
	star = star >> 32 & 0xfffc;
	return set_flat(ctxt, star, star + 8, 0, true);
}

#define SYSRET_FLAGS	(FL_IMAGE & ~(FL_RF | FL_VM))

static int op_sysret(struct x86_emulate_ctxt *ctxt)
{
	bool to64 = ctxt->insn.op_bytes == 8;
	u64 star = 0, rip = ctxt->regs[X86_RCX];
	int rc;

	if (!syscall_on(ctxt))
		return ud(ctxt);
	if (ctxt->cpl || (to64 && !canonical(ctxt, rip)))
		return gp(ctxt, 0);
	rc = ctxt->ops->get_msr(ctxt, MSR_STAR, &star);
	if (rc)
		return rc;
	ctxt->flags = (ctxt->regs[X86_R11] & SYSRET_FLAGS) | FL_FIXED;
	ctxt->next_rip = to64 ? rip : (u32)rip;
	star = star >> 48 & 0xfffc;
	return set_flat(ctxt, star + (to64 ? 16 : 0), star + 8, 3, to64);
}

/* ---- Execute: what CPUID may lack ------------------------------------ */

enum { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

static bool guest_has(struct x86_emulate_ctxt *ctxt, u32 leaf,
		      unsigned int reg, unsigned int bit)
{
	u32 r[4] = { leaf, 0, 0, 0 };

	return !ctxt->ops->cpuid(ctxt, r) && (r[reg] >> bit & 1);
}

/* STAC and CLAC, 0F 01 CB and CA */
static int op_set_ac(struct x86_emulate_ctxt *ctxt)
{
	if (ctxt->insn.pp || ctxt->cpl || !guest_has(ctxt, 7, CPUID_EBX, 20))
		return ud(ctxt);
	set_flag(ctxt, FL_AC, ctxt->insn.modrm & 1);
	return X86EMUL_OK;
}

/* It may end at any time, and does so at once. */
static int op_monitor_mwait(struct x86_emulate_ctxt *ctxt)
{
	if (ctxt->insn.pp || ctxt->cpl || !guest_has(ctxt, 1, CPUID_ECX, 3))
		return ud(ctxt);
	return X86EMUL_OK;
}

static int op_rdpid(struct x86_emulate_ctxt *ctxt)
{
	if (!guest_has(ctxt, 7, CPUID_ECX, 22))
		return ud(ctxt);
	return ctxt->ops->get_msr(ctxt, MSR_TSC_AUX, &ctxt->dst.val);
}

/* RDRAND /6, RDSEED /7 */
static int op_random(struct x86_emulate_ctxt *ctxt)
{
	bool seed = ctxt->insn.modrm >> 3 & 1, found;
	u64 value = 0;

	if (!(seed ? guest_has(ctxt, 7, CPUID_EBX, 18) :
		     guest_has(ctxt, 1, CPUID_ECX, 30)))
		return ud(ctxt);
	if (!ctxt->ops->random)
		return X86EMUL_UNHANDLEABLE;
	found = ctxt->ops->random(ctxt, seed, &value);
	ctxt->dst.val = found ? value : 0;
	set_flag(ctxt, FL_ARITH, false);
	set_flag(ctxt, FL_CF, found);
	return X86EMUL_OK;
}

static int op_movdiri(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->src.val;
	return X86EMUL_OK;
}

/* 64 bytes to ES:reg, in one piece */
static int op_movdir64b(struct x86_emulate_ctxt *ctxt)
{
	unsigned int bytes = ctxt->insn.ad_bytes;
	u64 to = ctxt->regs[ctxt->dst.reg] & size_mask(bytes), from;
	u8 data[64];
	int rc;

	rc = linear(ctxt, ctxt->insn.seg, effective_address(ctxt), 64, false,
		    &from);
	if (!rc)
		rc = ctxt->ops->read(ctxt, from, data, 64, 0);
	if (!rc)
		rc = linear(ctxt, X86_SEG_ES, to, 64, true, &to);
	if (rc)
		return rc;
	if (to & 63)
		return gp(ctxt, 0);
	return ctxt->ops->write(ctxt, to, data, 64, 0);
}

/* ---- Execute: vector and MMX moves ----------------------------------- */

/* Conditions of "SSE Instructions: Exceptions" and its AVX counterpart */
static int check_vector(struct x86_emulate_ctxt *ctxt)
{
	u32 flags = ctxt->op->flags;
	u64 cr0, need;

	if (!(flags & (R_MMX | R_SSE | R_AVX)))
		return X86EMUL_OK;
	cr0 = ctxt->ops->get_cr(ctxt, 0);
	if (flags & R_AVX) {
		need = ctxt->insn.evex ? XCR0_AVX512 : XCR0_AVX;
		if (!(ctxt->ops->get_cr(ctxt, 4) & CR4_OSXSAVE) ||
		    (ctxt->ops->get_xcr(ctxt, 0) & need) != need)
			return ud(ctxt);
	} else if ((cr0 & CR0_EM) ||
		   ((flags & R_SSE) &&
		    !(ctxt->ops->get_cr(ctxt, 4) & CR4_OSFXSR))) {
		return ud(ctxt);
	}
	if (cr0 & CR0_TS)
		return x86_emul_fault(ctxt, X86_EXC_NM, false, 0);
	return X86EMUL_OK;
}

/* Replaces the low @n bytes of the destination and clears the others. */
static void vec_set(struct x86_emulate_ctxt *ctxt, const void *from,
		    unsigned int n)
{
	struct x86_operand *d = &ctxt->dst;
	unsigned int size = d->bytes < 16 ? 16 : d->bytes;

	if (n > size)
		n = size;
	memcpy(d->data, from, n);
	memset(d->data + n, 0, size - n);
}

/* Any move that copies as many bytes as both sides have. */
static int op_vmov(struct x86_emulate_ctxt *ctxt)
{
	unsigned int n = ctxt->src.bytes;

	vec_set(ctxt, ctxt->src.data, n < ctxt->dst.bytes ? n :
		ctxt->dst.bytes);
	return X86EMUL_OK;
}

/* The low bytes from the source, the others kept. */
static int op_vmerge(struct x86_emulate_ctxt *ctxt)
{
	memcpy(ctxt->dst.data, ctxt->src.data, ctxt->src.bytes);
	return X86EMUL_OK;
}

static int op_vmerge_high(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.vec[1] = ctxt->src.vec[0];
	return X86EMUL_OK;
}

static int op_movhlps(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.vec[0] = ctxt->src.vec[1];
	return X86EMUL_OK;
}

static int op_vstore_high(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.val = ctxt->src.vec[1];
	return X86EMUL_OK;
}

/* The VEX forms take what they keep from the vvvv register, src. */
static int op_vmerge3(struct x86_emulate_ctxt *ctxt)
{
	memcpy(ctxt->dst.data, ctxt->src.data, 16);
	memcpy(ctxt->dst.data, ctxt->src2.data, ctxt->src2.bytes);
	return X86EMUL_OK;
}

/* The register form of VMOVSS and VMOVSD in its store direction. */
static int op_vmerge3_store(struct x86_emulate_ctxt *ctxt)
{
	unsigned int n = ctxt->dst.bytes;

	memcpy(ctxt->dst.data, ctxt->src.data, 16);
	memcpy(ctxt->dst.data, ctxt->src2.data, n);
	return X86EMUL_OK;
}

static int op_vmerge_high3(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.vec[0] = ctxt->src.vec[0];
	ctxt->dst.vec[1] = ctxt->src2.vec[0];
	return X86EMUL_OK;
}

static int op_vmovhlps(struct x86_emulate_ctxt *ctxt)
{
	ctxt->dst.vec[0] = ctxt->src2.vec[1];
	ctxt->dst.vec[1] = ctxt->src.vec[1];
	return X86EMUL_OK;
}

/* Fills the destination with copies of the source. */
static int op_vbroadcast(struct x86_emulate_ctxt *ctxt)
{
	unsigned int n, step = ctxt->src.bytes;

	for (n = 0; n < ctxt->dst.bytes; n += step)
		memcpy(ctxt->dst.data + n, ctxt->src.data, step);
	return X86EMUL_OK;
}

static int op_movddup(struct x86_emulate_ctxt *ctxt)
{
	unsigned int n;

	for (n = 0; n < ctxt->dst.bytes / 8; n++)
		ctxt->dst.vec[n] = ctxt->src.vec[n & ~1u];
	return X86EMUL_OK;
}

static int op_movsldup(struct x86_emulate_ctxt *ctxt)
{
	unsigned int n;

	for (n = 0; n < ctxt->dst.bytes / 8; n++)
		ctxt->dst.vec[n] = (u32)ctxt->src.vec[n] * 0x100000001ull;
	return X86EMUL_OK;
}

static int op_movshdup(struct x86_emulate_ctxt *ctxt)
{
	unsigned int n;

	for (n = 0; n < ctxt->dst.bytes / 8; n++)
		ctxt->dst.vec[n] = (ctxt->src.vec[n] >> 32) * 0x100000001ull;
	return X86EMUL_OK;
}

/* PEXTR: element of src chosen by src2, to memory or a register. */
static int pextr(struct x86_emulate_ctxt *ctxt, unsigned int bytes)
{
	unsigned int n = ctxt->src2.val & (16 / bytes - 1);
	u64 v = 0;

	memcpy(&v, ctxt->src.data + n * bytes, bytes);
	ctxt->dst.val = v;
	/* In a register the element is extended with zeroes. */
	if (ctxt->dst.type == X86_OP_REG)
		ctxt->dst.bytes = 8;
	return X86EMUL_OK;
}

static int op_pextrb(struct x86_emulate_ctxt *ctxt)
{
	/* SPL and its like, not AH: a byte form only by its memory size. */
	if (ctxt->dst.high8) {
		ctxt->dst.high8 = false;
		ctxt->dst.reg += 4;
	}
	return pextr(ctxt, 1);
}

static int op_pextrw(struct x86_emulate_ctxt *ctxt)
{
	return pextr(ctxt, 2);
}

static int op_pextrd(struct x86_emulate_ctxt *ctxt)
{
	return pextr(ctxt, ctxt->dst.bytes);
}

/* VEX forms of the insertions start from a copy of the vvvv register. */
static void insert_base(struct x86_emulate_ctxt *ctxt)
{
	if (ctxt->insn.vex)
		ctxt->ops->get_vec(ctxt, ctxt->insn.vvvv, ctxt->dst.data,
				   ctxt->dst.bytes);
}

/* PINSR: src as the element of dst chosen by src2 */
static int pinsr(struct x86_emulate_ctxt *ctxt, unsigned int bytes)
{
	unsigned int n = ctxt->src2.val & (16 / bytes - 1);

	insert_base(ctxt);
	memcpy(ctxt->dst.data + n * bytes, ctxt->src.data, bytes);
	return X86EMUL_OK;
}

static int op_pinsrb(struct x86_emulate_ctxt *ctxt)
{
	return pinsr(ctxt, 1);
}

static int op_pinsrw(struct x86_emulate_ctxt *ctxt)
{
	return pinsr(ctxt, 2);
}

static int op_pinsrd(struct x86_emulate_ctxt *ctxt)
{
	return pinsr(ctxt, ctxt->src.bytes);
}

/* VINSERTF128, VINSERTI128 */
static int op_vinsert(struct x86_emulate_ctxt *ctxt)
{
	insert_base(ctxt);
	memcpy(ctxt->dst.data + 16 * (ctxt->src2.val & 1), ctxt->src.data, 16);
	return X86EMUL_OK;
}

/* VEXTRACTF128, VEXTRACTI128 */
static int op_vextract(struct x86_emulate_ctxt *ctxt)
{
	vec_set(ctxt, ctxt->src.data + 16 * (ctxt->src2.val & 1), 16);
	return X86EMUL_OK;
}

/* ---- The passes ------------------------------------------------------ */

static int check_privilege(struct x86_emulate_ctxt *ctxt)
{
	u32 flags = ctxt->op->flags;

	if ((flags & R_PRIV) && ctxt->cpl)
		return gp(ctxt, 0);
	if ((flags & R_UMIP) && ctxt->cpl &&
	    (ctxt->ops->get_cr(ctxt, 4) & CR4_UMIP))
		return gp(ctxt, 0);
	return X86EMUL_OK;
}

static int emulate_once(struct x86_emulate_ctxt *ctxt)
{
	int rc = load_operands(ctxt);

	if (!rc)
		rc = ctxt->op->exec(ctxt);
	if (!rc)
		rc = writeback(ctxt);
	return rc;
}

static void commit(struct x86_emulate_ctxt *ctxt)
{
	/* A task's TF does not trap the switch that leaves it. */
	ctxt->trap = (ctxt->rflags & FL_TF) && !ctxt->task_switched;
	ctxt->rip = ctxt->next_rip;
	ctxt->rflags = ctxt->flags;
}

/*
 * Executes the decoded instruction; see enum x86_emul_result for what is
 * returned and what then holds.
 */
int x86_emulate_insn(struct x86_emulate_ctxt *ctxt)
{
	int rc;

	ctxt->stop = false;
	ctxt->trap = false;
	ctxt->next_rip = ctxt->rip + ctxt->insn.len;
	if (!mode64(ctxt))
		ctxt->next_rip = (u32)ctxt->next_rip;
	ctxt->flags = ctxt->rflags & ~(u64)FL_RF;
	rc = check_privilege(ctxt);
	if (!rc)
		rc = check_vector(ctxt);
	if (rc)
		return rc;
	rc = ctxt->op->flags & R_STR ? emulate_string(ctxt) :
				       emulate_once(ctxt);
	if (!rc)
		commit(ctxt);
	return rc;
}

/* ---- Opcode tables --------------------------------------------------- */

#define N		{ .type = T_NONE }
#define I0(fn, fl)	I(fn, 0, 0, 0, fl)
#define I1(fn, d, fl)	I(fn, d, 0, 0, fl)
#define I2(fn, d, s, fl) I(fn, d, s, 0, fl)
#define I(fn, d, s, s2, fl) \
	{ .dst = d, .src = s, .src2 = s2, .type = T_INSN, .flags = fl, \
	  .exec = fn }
#define SUB(t, tbl)	{ .type = t, .sub = tbl }
#define UD		I0(op_ud, 0)
#define UDM		I0(op_ud, R_MODRM)

/* The six forms of an arithmetic instruction, from opcode n on. */
#define ALU(n, fn, fl, lk) \
	[n] = I2(fn, Eb, Gb, (fl) | (lk)), [(n) + 1] = I2(fn, Ev, Gv, (fl) | (lk)), \
	[(n) + 2] = I2(fn, Gb, Eb, fl), [(n) + 3] = I2(fn, Gv, Ev, fl), \
	[(n) + 4] = I2(fn, AL, Ib, fl), [(n) + 5] = I2(fn, rAX, Iz, fl)

#define ALU_GROUP(d, s) { \
	I2(op_add, d, s, R_LOCK), I2(op_or, d, s, R_LOCK), \
	I2(op_adc, d, s, R_LOCK), I2(op_sbb, d, s, R_LOCK), \
	I2(op_and, d, s, R_LOCK), I2(op_sub, d, s, R_LOCK), \
	I2(op_xor, d, s, R_LOCK), I2(op_cmp, d, s, R_NOWR) }

static const struct x86_opcode group1_EbIb[8] = ALU_GROUP(Eb, Ib);
static const struct x86_opcode group1_EvIz[8] = ALU_GROUP(Ev, Iz);
static const struct x86_opcode group1_EvIbs[8] = ALU_GROUP(Ev, Ibs);

static const struct x86_opcode alias82[2] = { SUB(T_GROUP, group1_EbIb), UD };

#define SHIFT_GROUP(d, s) { \
	I2(op_rol, d, s, 0), I2(op_ror, d, s, 0), \
	I2(op_rcl, d, s, 0), I2(op_rcr, d, s, 0), \
	I2(op_shl, d, s, 0), I2(op_shr, d, s, 0), \
	I2(op_shl, d, s, 0), I2(op_sar, d, s, 0) }

static const struct x86_opcode group2_EbIb[8] = SHIFT_GROUP(Eb, Ib);
static const struct x86_opcode group2_EvIb[8] = SHIFT_GROUP(Ev, Ib);
static const struct x86_opcode group2_Eb1[8] = SHIFT_GROUP(Eb, One);
static const struct x86_opcode group2_Ev1[8] = SHIFT_GROUP(Ev, One);
static const struct x86_opcode group2_EbCL[8] = SHIFT_GROUP(Eb, CL);
static const struct x86_opcode group2_EvCL[8] = SHIFT_GROUP(Ev, CL);

#define UNARY_GROUP(d, i) { \
	I2(op_test, d, i, R_NOWR), I2(op_test, d, i, R_NOWR), \
	I1(op_not, d, R_LOCK), I1(op_neg, d, R_LOCK), \
	I1(op_mul, d, R_NOWR), I1(op_imul1, d, R_NOWR), \
	I1(op_div, d, R_NOWR), I1(op_idiv, d, R_NOWR) }

static const struct x86_opcode group3_Eb[8] = UNARY_GROUP(Eb, Ib);
static const struct x86_opcode group3_Ev[8] = UNARY_GROUP(Ev, Iz);

static const struct x86_opcode group1a[8] = {
	I1(op_pop, Ev, R_NORD | R_D64 | R_ESPUP | R_NOMEM),
};

static const struct x86_opcode group4[8] = {
	I1(op_inc, Eb, R_LOCK), I1(op_dec, Eb, R_LOCK),
	UD, UD, UD, UD, UD, UD,
};

static const struct x86_opcode group5[8] = {
	I1(op_inc, Ev, R_LOCK), I1(op_dec, Ev, R_LOCK),
	I1(op_call, Ev, R_F64 | R_NOWR), I1(op_call_far, Mp, R_NOWR),
	I1(op_jmp, Ev, R_F64 | R_NOWR), I1(op_jmp_far, Mp, R_NOWR),
	I1(op_push, Ev, R_D64 | R_NOWR), UD,
};

static const struct x86_opcode group11_Eb[8] = {
	I2(op_mov, Eb, Ib, R_NORD),
};

static const struct x86_opcode group11_Ev[8] = {
	I2(op_mov, Ev, Iz, R_NORD),
};

static const struct x86_opcode opcode63[2] = {
	I2(op_arpl, Ew, Gw, R_PROT | R_NOWR), I2(op_movsx, Gv, Esx, R_NORD),
};

/* To memory a selector is a word; in a register it is extended. */
static const struct x86_opcode opcode8c[2] = {
	I2(op_mov, Ew, Sw, R_NORD), I2(op_mov, Ev, Sw, R_NORD),
};

/* Table "One-byte Opcode Map" */
static const struct x86_opcode map_one_byte[256] = {
	ALU(0x00, op_add, 0, R_LOCK), ALU(0x08, op_or, 0, R_LOCK),
	ALU(0x10, op_adc, 0, R_LOCK), ALU(0x18, op_sbb, 0, R_LOCK),
	ALU(0x20, op_and, 0, R_LOCK), ALU(0x28, op_sub, 0, R_LOCK),
	ALU(0x30, op_xor, 0, R_LOCK), ALU(0x38, op_cmp, R_NOWR, 0),
	[0x06] = I0(op_push_seg, R_NO64), [0x07] = I0(op_pop_seg, R_NO64),
	[0x0e] = I0(op_push_seg, R_NO64),
	[0x16] = I0(op_push_seg, R_NO64), [0x17] = I0(op_pop_seg, R_NO64),
	[0x1e] = I0(op_push_seg, R_NO64), [0x1f] = I0(op_pop_seg, R_NO64),
	[0x27] = I1(op_daa, AL, R_NO64), [0x2f] = I1(op_das, AL, R_NO64),
	[0x37] = I1(op_aaa, AX, R_NO64), [0x3f] = I1(op_aas, AX, R_NO64),
	[0x40 ... 0x47] = I1(op_inc, Zv, 0), [0x48 ... 0x4f] = I1(op_dec, Zv, 0),
	[0x50 ... 0x57] = I1(op_push, Zv, R_D64 | R_NOWR),
	[0x58 ... 0x5f] = I1(op_pop, Zv, R_D64 | R_NORD),
	[0x60] = I0(op_pusha, R_NO64), [0x61] = I0(op_popa, R_NO64),
	[0x62] = I2(op_bound, Gv, Ma, R_NO64 | R_NOWR),
	[0x63] = SUB(T_MODE, opcode63),
	[0x68] = I1(op_push, Iz, R_D64 | R_NOWR),
	[0x69] = I(op_imul3, Gv, Ev, Iz, R_NORD),
	[0x6a] = I1(op_push, Ibs, R_D64 | R_NOWR),
	[0x6b] = I(op_imul3, Gv, Ev, Ibs, R_NORD),
	[0x6c] = I1(op_ins, Yb, R_STR | R_IO | R_NORD | R_SELF),
	[0x6d] = I1(op_ins, Yz, R_STR | R_IO | R_NORD | R_SELF),
	[0x6e] = I2(op_outs, 0, Xb, R_STR | R_IO | R_NOWR),
	[0x6f] = I2(op_outs, 0, Xz, R_STR | R_IO | R_NOWR),
	[0x70 ... 0x7f] = I1(op_jcc, Jb, R_F64 | R_NOWR),
	[0x80] = SUB(T_GROUP, group1_EbIb), [0x81] = SUB(T_GROUP, group1_EvIz),
	[0x82] = SUB(T_MODE, alias82), [0x83] = SUB(T_GROUP, group1_EvIbs),
	[0x84] = I2(op_test, Eb, Gb, R_NOWR),
	[0x85] = I2(op_test, Ev, Gv, R_NOWR),
	[0x86] = I2(op_xchg, Eb, Gb, R_ATOMIC | R_LOCK | R_WSRC),
	[0x87] = I2(op_xchg, Ev, Gv, R_ATOMIC | R_LOCK | R_WSRC),
	[0x88] = I2(op_mov, Eb, Gb, R_NORD), [0x89] = I2(op_mov, Ev, Gv, R_NORD),
	[0x8a] = I2(op_mov, Gb, Eb, R_NORD), [0x8b] = I2(op_mov, Gv, Ev, R_NORD),
	[0x8c] = SUB(T_MOD, opcode8c),
	[0x8d] = I2(op_lea, Gv, M, R_NORD),
	[0x8e] = I2(op_mov_to_seg, Sw, Ew, R_NORD | R_NOWR),
	[0x8f] = SUB(T_GROUP, group1a),
	[0x91 ... 0x97] = I2(op_xchg, Zv, rAX, R_WSRC),
	[0x90] = I2(op_xchg_nop, Zv, rAX, R_WSRC),
	[0x98] = I1(op_cbw, rAX, R_NORD),
	[0x99] = I2(op_cwd, rDX, rAX, R_NORD),
	[0x9a] = I1(op_call_far, Ap, R_NO64 | R_NOWR), [0x9b] = I0(op_fwait, 0),
	[0x9c] = I0(op_pushf, R_D64), [0x9d] = I0(op_popf, R_D64),
	[0x9e] = I0(op_sahf, 0), [0x9f] = I0(op_lahf, 0),
	[0xa0] = I2(op_mov, AL, Ob, R_NORD), [0xa1] = I2(op_mov, rAX, Ov, R_NORD),
	[0xa2] = I2(op_mov, Ob, AL, R_NORD), [0xa3] = I2(op_mov, Ov, rAX, R_NORD),
	[0xa4] = I2(op_movs, Yb, Xb, R_STR | R_NORD),
	[0xa5] = I2(op_movs, Yv, Xv, R_STR | R_NORD),
	[0xa6] = I2(op_cmps, Yb, Xb, R_STR | R_CMPS | R_NOWR),
	[0xa7] = I2(op_cmps, Yv, Xv, R_STR | R_CMPS | R_NOWR),
	[0xa8] = I2(op_test, AL, Ib, R_NOWR),
	[0xa9] = I2(op_test, rAX, Iz, R_NOWR),
	[0xaa] = I2(op_mov, Yb, AL, R_STR | R_NORD),
	[0xab] = I2(op_mov, Yv, rAX, R_STR | R_NORD),
	[0xac] = I2(op_mov, AL, Xb, R_STR | R_NORD),
	[0xad] = I2(op_mov, rAX, Xv, R_STR | R_NORD),
	[0xae] = I2(op_cmps, Yb, AL, R_STR | R_CMPS | R_NOWR),
	[0xaf] = I2(op_cmps, Yv, rAX, R_STR | R_CMPS | R_NOWR),
	[0xb0 ... 0xb7] = I2(op_mov, Zb, Ib, R_NORD),
	[0xb8 ... 0xbf] = I2(op_mov, Zv, Iv, R_NORD),
	[0xc0] = SUB(T_GROUP, group2_EbIb), [0xc1] = SUB(T_GROUP, group2_EvIb),
	[0xc2] = I1(op_ret, Iw, R_F64 | R_NOWR), [0xc3] = I0(op_ret, R_F64),
	[0xc4] = I2(op_load_far, Gv, Mp, R_NO64 | R_NORD),
	[0xc5] = I2(op_load_far, Gv, Mp, R_NO64 | R_NORD),
	[0xc6] = SUB(T_GROUP, group11_Eb), [0xc7] = SUB(T_GROUP, group11_Ev),
	[0xc8] = I(op_enter, 0, Iw, Ib, R_D64), [0xc9] = I0(op_leave, R_D64),
	[0xca] = I1(op_ret_far, Iw, R_NOWR), [0xcb] = I0(op_ret_far, 0),
	[0xcc] = I0(op_int3, 0), [0xcd] = I1(op_int, Ib, R_NOWR),
	[0xce] = I0(op_into, R_NO64), [0xcf] = I0(op_iret, 0),
	[0xd0] = SUB(T_GROUP, group2_Eb1), [0xd1] = SUB(T_GROUP, group2_Ev1),
	[0xd2] = SUB(T_GROUP, group2_EbCL), [0xd3] = SUB(T_GROUP, group2_EvCL),
	[0xd4] = I2(op_aam, AX, Ib, R_NO64), [0xd5] = I2(op_aad, AX, Ib, R_NO64),
	[0xd6] = I1(op_salc, AL, R_NO64 | R_NORD),
	[0xd7] = I1(op_xlat, AL, R_NORD),
	[0xd8 ... 0xdf] = I0(op_x87, R_MODRM),
	[0xe0] = I1(op_loop, Jb, R_F64 | R_NOWR),
	[0xe1] = I1(op_loop, Jb, R_F64 | R_NOWR),
	[0xe2] = I1(op_loop, Jb, R_F64 | R_NOWR),
	[0xe3] = I1(op_jcxz, Jb, R_F64 | R_NOWR),
	[0xe4] = I2(op_in, AL, Ib, R_NORD), [0xe5] = I2(op_in, zAX, Ib, R_NORD),
	[0xe6] = I2(op_out, Ib, AL, R_NOWR), [0xe7] = I2(op_out, Ib, zAX, R_NOWR),
	[0xe8] = I1(op_call_rel, Jz, R_F64 | R_NOWR),
	[0xe9] = I1(op_jmp_rel, Jz, R_F64 | R_NOWR),
	[0xea] = I1(op_jmp_far, Ap, R_NO64 | R_NOWR),
	[0xeb] = I1(op_jmp_rel, Jb, R_F64 | R_NOWR),
	[0xec] = I2(op_in, AL, DX, R_NORD), [0xed] = I2(op_in, zAX, DX, R_NORD),
	[0xee] = I2(op_out, DX, AL, R_NOWR), [0xef] = I2(op_out, DX, zAX, R_NOWR),
	[0xf1] = I0(op_int1, 0), [0xf4] = I0(op_hlt, R_PRIV), [0xf5] = I0(op_cmc, 0),
	[0xf6] = SUB(T_GROUP, group3_Eb), [0xf7] = SUB(T_GROUP, group3_Ev),
	[0xf8] = I0(op_clc, 0), [0xf9] = I0(op_stc, 0),
	[0xfa] = I0(op_cli, 0), [0xfb] = I0(op_sti, 0),
	[0xfc] = I0(op_cld, 0), [0xfd] = I0(op_std, 0),
	[0xfe] = SUB(T_GROUP, group4), [0xff] = SUB(T_GROUP, group5),
};

static const struct x86_opcode group8[8] = {
	UD, UD, UD, UD,
	I2(op_bt, Ev, Ib, R_NOWR), I2(op_bts, Ev, Ib, R_LOCK),
	I2(op_btr, Ev, Ib, R_LOCK), I2(op_btc, Ev, Ib, R_LOCK),
};

static const struct x86_opcode group9_1_mem[2] = {
	I1(op_cmpxchg_pair, Mq, R_LOCK), I1(op_cmpxchg_pair, Mo, R_LOCK | R_ALIGN),
};

static const struct x86_opcode group9_1[2] = {
	SUB(T_W, group9_1_mem), UD,
};

#define RANDOM		I1(op_random, Rv, R_NORD)

static const struct x86_opcode rdrand[4] = { RANDOM, RANDOM };
static const struct x86_opcode rdseed[4] = {
	RANDOM, RANDOM, I1(op_rdpid, Rnat, R_NORD),
};

static const struct x86_opcode group9_6[2] = { N, SUB(T_PREFIX, rdrand) };
static const struct x86_opcode group9_7[2] = { N, SUB(T_PREFIX, rdseed) };

static const struct x86_opcode group9[8] = {
	UD, SUB(T_MOD, group9_1), N, N, N, N,
	SUB(T_MOD, group9_6), SUB(T_MOD, group9_7),
};

static const struct x86_opcode pfx_b8[4] = {
	N, N, I2(op_popcnt, Gv, Ev, R_NORD), N,
};

static const struct x86_opcode pfx_bc[4] = {
	I2(op_bsf, Gv, Ev, 0), I2(op_bsf, Gv, Ev, 0),
	I2(op_tzcnt, Gv, Ev, R_NORD), I2(op_bsf, Gv, Ev, 0),
};

static const struct x86_opcode pfx_bd[4] = {
	I2(op_bsr, Gv, Ev, 0), I2(op_bsr, Gv, Ev, 0),
	I2(op_lzcnt, Gv, Ev, R_NORD), I2(op_bsr, Gv, Ev, 0),
};

#define STORE_SYSTEM(d)	I1(op_store_system, d, R_PROT | R_UMIP | R_NORD)

static const struct x86_opcode group6_store[2] = {
	STORE_SYSTEM(Mw), STORE_SYSTEM(Ev),
};

static const struct x86_opcode group6[8] = {
	SUB(T_MOD, group6_store), SUB(T_MOD, group6_store),
	I1(op_lldt, Ew, R_PROT | R_PRIV | R_NOWR),
	I1(op_ltr, Ew, R_PROT | R_PRIV | R_NOWR),
	I1(op_verr, Ew, R_PROT | R_NOWR), I1(op_verw, Ew, R_PROT | R_NOWR),
};

static const struct x86_opcode group7_vm[8] = {
	N, I0(op_hypercall, R_MODRM),
};

static const struct x86_opcode group7_ac[8] = {
	I0(op_monitor_mwait, R_MODRM), I0(op_monitor_mwait, R_MODRM),
	I0(op_set_ac, R_MODRM), I0(op_set_ac, R_MODRM),
};

static const struct x86_opcode group7_xcr[8] = {
	I0(op_xgetbv, R_MODRM), I0(op_xsetbv, R_MODRM),
};

static const struct x86_opcode group7_svm[8] = {
	N, I0(op_hypercall, R_MODRM),
};

static const struct x86_opcode group7_misc[8] = {
	I0(op_swapgs, R_MODRM | R_ONLY64 | R_PRIV), I0(op_rdtscp, R_MODRM),
};

static const struct x86_opcode group7_mem[8] = {
	I1(op_store_dt, Mdt, R_NORD | R_UMIP), I1(op_store_dt, Mdt, R_NORD | R_UMIP),
	I2(op_load_dt, 0, Mdt, R_PRIV), I2(op_load_dt, 0, Mdt, R_PRIV),
	I1(op_smsw, Mw, R_NORD | R_UMIP), N,
	I1(op_lmsw, Ew, R_PRIV | R_NOWR), I1(op_invlpg, M, R_PRIV),
};

static const struct x86_opcode group7_reg[8] = {
	SUB(T_RM, group7_vm), SUB(T_RM, group7_ac),
	SUB(T_RM, group7_xcr), SUB(T_RM, group7_svm),
	I1(op_smsw, Ev, R_NORD | R_UMIP), N,
	I1(op_lmsw, Ew, R_PRIV | R_NOWR), SUB(T_RM, group7_misc),
};

static const struct x86_opcode group7[2] = {
	SUB(T_GROUP, group7_mem), SUB(T_GROUP, group7_reg),
};

static const struct x86_opcode prefetchw[2] = {
	I1(op_nop, Ev, R_NORD | R_NOWR | R_NOMEM), N,
};

/* CLFLUSH, CLFLUSHOPT and CLWB act on caches only: no device is to see a read. */
#define CACHE_LINE	I1(op_nop, Mb, R_NORD | R_NOWR)

static const struct x86_opcode clflush[4] = { CACHE_LINE, CACHE_LINE };
static const struct x86_opcode clwb[4] = { N, CACHE_LINE };

#define NO_PREFIX(row)	{ row, UD, UD, UD }

static const struct x86_opcode fxsave[4] = NO_PREFIX(I0(op_fxsave, R_MODRM));
static const struct x86_opcode ldmxcsr[4] =
	NO_PREFIX(I2(op_mxcsr, 0, Md, R_SSE));
static const struct x86_opcode stmxcsr[4] =
	NO_PREFIX(I1(op_mxcsr, Md, R_SSE | R_NORD));

static const struct x86_opcode group15_mem[8] = {
	SUB(T_PREFIX, fxsave), SUB(T_PREFIX, fxsave),
	SUB(T_PREFIX, ldmxcsr), SUB(T_PREFIX, stmxcsr),
	N, N,
	SUB(T_PREFIX, clwb), SUB(T_PREFIX, clflush),
};

static const struct x86_opcode group15_fence[8] = {
	N, N, N, N, N, I0(op_nop, R_MODRM), I0(op_nop, R_MODRM), I0(op_nop, R_MODRM),
};

static const struct x86_opcode group15_base[8] = {
	I1(op_fsgsbase, Ry, R_ONLY64 | R_NORD), I1(op_fsgsbase, Ry, R_ONLY64 | R_NORD),
	I1(op_fsgsbase, Ry, R_ONLY64 | R_NOWR), I1(op_fsgsbase, Ry, R_ONLY64 | R_NOWR),
};

static const struct x86_opcode group15_reg[4] = {
	SUB(T_GROUP, group15_fence), N, SUB(T_GROUP, group15_base), N,
};

static const struct x86_opcode group15[2] = {
	SUB(T_GROUP, group15_mem), SUB(T_PREFIX, group15_reg),
};

/* Vector moves, by mandatory prefix; mod selects memory or register. */
#define SSE_LOAD(d, s)	I2(op_vmov, d, s, R_SSE | R_NORD)
#define SSE_ALOAD(d, s)	I2(op_vmov, d, s, R_SSE | R_NORD | R_ALIGN)

static const struct x86_opcode movss_load[2] = {
	SSE_LOAD(Vo, Wd), I2(op_vmerge, Vo, Wd, R_SSE),
};

static const struct x86_opcode movsd_load[2] = {
	SSE_LOAD(Vo, Wq), I2(op_vmerge, Vo, Wq, R_SSE),
};

static const struct x86_opcode movss_store[2] = {
	SSE_LOAD(Wd, Vd), I2(op_vmerge, Wd, Vd, R_SSE),
};

static const struct x86_opcode movsd_store[2] = {
	SSE_LOAD(Wq, Vq), I2(op_vmerge, Wq, Vq, R_SSE),
};

static const struct x86_opcode pfx_10[4] = {
	SSE_LOAD(Vo, Wo), SSE_LOAD(Vo, Wo),
	SUB(T_MOD, movss_load), SUB(T_MOD, movsd_load),
};

static const struct x86_opcode pfx_11[4] = {
	SSE_LOAD(Wo, Vo), SSE_LOAD(Wo, Vo),
	SUB(T_MOD, movss_store), SUB(T_MOD, movsd_store),
};

static const struct x86_opcode movlps_load[2] = {
	I2(op_vmerge, Vo, Mq, R_SSE), I2(op_movhlps, Vo, Wo, R_SSE),
};

static const struct x86_opcode movhps_load[2] = {
	I2(op_vmerge_high, Vo, Mq, R_SSE), I2(op_vmerge_high, Vo, Wo, R_SSE),
};

static const struct x86_opcode pfx_12[4] = {
	SUB(T_MOD, movlps_load), I2(op_vmerge, Vo, Mq, R_SSE),
	I2(op_movsldup, Vo, Wo, R_SSE | R_NORD | R_ALIGN),
	I2(op_movddup, Vo, Wq, R_SSE | R_NORD),
};

static const struct x86_opcode pfx_13[4] = {
	I2(op_vmov, Mq, Vo, R_SSE | R_NORD), I2(op_vmov, Mq, Vo, R_SSE | R_NORD),
};

static const struct x86_opcode pfx_16[4] = {
	SUB(T_MOD, movhps_load), I2(op_vmerge_high, Vo, Mq, R_SSE),
	I2(op_movshdup, Vo, Wo, R_SSE | R_NORD | R_ALIGN), N,
};

static const struct x86_opcode pfx_17[4] = {
	I2(op_vstore_high, Mq, Vo, R_SSE | R_NORD),
	I2(op_vstore_high, Mq, Vo, R_SSE | R_NORD),
};

static const struct x86_opcode pfx_28[4] = {
	SSE_ALOAD(Vo, Wo), SSE_ALOAD(Vo, Wo),
};

static const struct x86_opcode pfx_29[4] = {
	SSE_ALOAD(Wo, Vo), SSE_ALOAD(Wo, Vo),
};

static const struct x86_opcode pfx_2b[4] = {
	SSE_ALOAD(Mo, Vo), SSE_ALOAD(Mo, Vo),
};

static const struct x86_opcode pfx_6e[4] = {
	I2(op_vmov, Pq, Ey, R_MMX | R_NORD), SSE_LOAD(Vo, Ey),
};

static const struct x86_opcode pfx_6f[4] = {
	I2(op_vmov, Pq, Qq, R_MMX | R_NORD), SSE_ALOAD(Vo, Wo),
	SSE_LOAD(Vo, Wo),
};

static const struct x86_opcode pfx_7e[4] = {
	I2(op_vmov, Ey, Pq, R_MMX | R_NORD), SSE_LOAD(Ey, Vo),
	SSE_LOAD(Vo, Wq),
};

static const struct x86_opcode pfx_7f[4] = {
	I2(op_vmov, Qq, Pq, R_MMX | R_NORD), SSE_ALOAD(Wo, Vo),
	SSE_LOAD(Wo, Vo),
};

static const struct x86_opcode pfx_c3[4] = {
	I2(op_mov, My, Gy, R_NORD),
};

/* From a register an element is the low part of 32 bits. */
#define PINSR(fn, e, fl) I(fn, Vo, e, Ib, fl)
#define PINSR_MOD(fn, m, fl) { PINSR(fn, m, fl), PINSR(fn, Ed, fl) }

static const struct x86_opcode pinsrb[2] = PINSR_MOD(op_pinsrb, Mb, R_SSE);
static const struct x86_opcode pinsrw[2] = PINSR_MOD(op_pinsrw, Mw, R_SSE);

static const struct x86_opcode pfx_c4[4] = { N, SUB(T_MOD, pinsrw) };

static const struct x86_opcode pfx_77[4] = { I0(op_emms, R_MMX) };

static const struct x86_opcode pfx_d6[4] = {
	N, SSE_LOAD(Wq, Vq),
};

static const struct x86_opcode pfx_e7[4] = {
	I2(op_vmov, Mq, Pq, R_MMX | R_NORD), SSE_ALOAD(Mo, Vo),
};

static const struct x86_opcode pfx_f0[4] = {
	N, N, N, SSE_LOAD(Vo, Mo),
};

/* Table "Two-byte Opcode Map", opcodes 0F xx */
static const struct x86_opcode map_0f[256] = {
	[0x00] = SUB(T_GROUP, group6), [0x01] = SUB(T_MOD, group7),
	[0x02] = I2(op_lar, Gv, Ew, R_PROT | R_NORD),
	[0x03] = I2(op_lsl, Gv, Ew, R_PROT | R_NORD),
	[0x05] = I0(op_syscall, 0), [0x07] = I0(op_sysret, 0),
	[0x06] = I0(op_clts, R_PRIV),
	[0x08] = I0(op_wbinvd, R_PRIV), [0x09] = I0(op_wbinvd, R_PRIV),
	[0x0b] = UD,
	[0x0d] = SUB(T_MOD, prefetchw),
	[0x10] = SUB(T_PREFIX, pfx_10), [0x11] = SUB(T_PREFIX, pfx_11),
	[0x12] = SUB(T_PREFIX, pfx_12), [0x13] = SUB(T_PREFIX, pfx_13),
	[0x16] = SUB(T_PREFIX, pfx_16), [0x17] = SUB(T_PREFIX, pfx_17),
	[0x18 ... 0x1f] = I1(op_nop, Ev, R_NORD | R_NOWR | R_NOMEM),
	[0x20] = I2(op_mov_from_cr, Rnat, Cd, R_PRIV | R_NORD),
	[0x21] = I2(op_mov_from_dr, Rnat, Dd, R_NORD),
	[0x22] = I2(op_mov_to_cr, Cd, Rnat, R_PRIV | R_NOWR),
	[0x23] = I2(op_mov_to_dr, Dd, Rnat, R_NOWR),
	[0x28] = SUB(T_PREFIX, pfx_28), [0x29] = SUB(T_PREFIX, pfx_29),
	[0x2b] = SUB(T_PREFIX, pfx_2b),
	[0x30] = I0(op_wrmsr, R_PRIV), [0x31] = I0(op_rdtsc, 0),
	[0x32] = I0(op_rdmsr, R_PRIV), [0x33] = I0(op_rdpmc, 0),
	[0x34] = I0(op_sysenter, 0), [0x35] = I0(op_sysexit, 0),
	[0x40 ... 0x4f] = I2(op_cmovcc, Gv, Ev, 0),
	[0x6e] = SUB(T_PREFIX, pfx_6e), [0x6f] = SUB(T_PREFIX, pfx_6f),
	[0x77] = SUB(T_PREFIX, pfx_77),
	[0x7e] = SUB(T_PREFIX, pfx_7e), [0x7f] = SUB(T_PREFIX, pfx_7f),
	[0x80 ... 0x8f] = I1(op_jcc, Jz, R_F64 | R_NOWR),
	[0x90 ... 0x9f] = I1(op_setcc, Eb, R_NORD),
	[0xa0] = I0(op_push_seg, R_D64), [0xa1] = I0(op_pop_seg, R_D64),
	[0xa2] = I0(op_cpuid, 0),
	[0xa3] = I2(op_bt, Ev, Gv, R_NOWR | R_BITOFF),
	[0xa4] = I(op_shld, Ev, Gv, Ib, 0), [0xa5] = I(op_shld, Ev, Gv, CL, 0),
	[0xa8] = I0(op_push_seg, R_D64), [0xa9] = I0(op_pop_seg, R_D64),
	[0xaa] = UD,			/* RSM, outside of SMM */
	[0xab] = I2(op_bts, Ev, Gv, R_LOCK | R_BITOFF),
	[0xac] = I(op_shrd, Ev, Gv, Ib, 0), [0xad] = I(op_shrd, Ev, Gv, CL, 0),
	[0xae] = SUB(T_MOD, group15), [0xaf] = I2(op_imul2, Gv, Ev, 0),
	[0xb0] = I(op_cmpxchg, Eb, Gb, AL, R_LOCK | R_WSRC2),
	[0xb1] = I(op_cmpxchg, Ev, Gv, rAX, R_LOCK | R_WSRC2),
	[0xb2] = I2(op_load_far, Gv, Mp, R_NORD),
	[0xb3] = I2(op_btr, Ev, Gv, R_LOCK | R_BITOFF),
	[0xb4] = I2(op_load_far, Gv, Mp, R_NORD),
	[0xb5] = I2(op_load_far, Gv, Mp, R_NORD),
	[0xb6] = I2(op_mov, Gv, Eb, R_NORD), [0xb7] = I2(op_mov, Gv, Ew, R_NORD),
	[0xb8] = SUB(T_PREFIX, pfx_b8),
	[0xb9] = UDM,
	[0xba] = SUB(T_GROUP, group8),
	[0xbb] = I2(op_btc, Ev, Gv, R_LOCK | R_BITOFF),
	[0xbc] = SUB(T_PREFIX, pfx_bc), [0xbd] = SUB(T_PREFIX, pfx_bd),
	[0xbe] = I2(op_movsx, Gv, Eb, R_NORD), [0xbf] = I2(op_movsx, Gv, Ew, R_NORD),
	[0xc0] = I2(op_xadd, Eb, Gb, R_LOCK | R_WSRC),
	[0xc1] = I2(op_xadd, Ev, Gv, R_LOCK | R_WSRC),
	[0xc3] = SUB(T_PREFIX, pfx_c3),
	[0xc4] = SUB(T_PREFIX, pfx_c4),
	[0xc7] = SUB(T_GROUP, group9),
	[0xc8 ... 0xcf] = I1(op_bswap, Zv, 0),
	[0xd6] = SUB(T_PREFIX, pfx_d6),
	[0xe7] = SUB(T_PREFIX, pfx_e7),
	[0xf0] = SUB(T_PREFIX, pfx_f0),
	[0xff] = UDM,
};

static const struct x86_opcode pfx_38_f0[4] = {
	I2(op_movbe, Gv, Mv, R_NORD), I2(op_movbe, Gv, Mv, R_NORD),
	N, I2(op_crc32, Gy, Eb, 0),
};

static const struct x86_opcode pfx_38_f1[4] = {
	I2(op_movbe, Mv, Gv, R_NORD), I2(op_movbe, Mv, Gv, R_NORD),
	N, I2(op_crc32, Gy, Ev, 0),
};

static const struct x86_opcode pfx_38_f6[4] = {
	N, I2(op_adcx, Gy, Ey, 0), I2(op_adox, Gy, Ey, 0), N,
};

static const struct x86_opcode pfx_38_2a[4] = {
	N, SSE_ALOAD(Vo, Mo),
};

static const struct x86_opcode movdir64b[2] = {
	I1(op_movdir64b, Gv, R_NORD | R_NOWR), UD,
};

static const struct x86_opcode pfx_38_f8[4] = { N, SUB(T_MOD, movdir64b) };
static const struct x86_opcode pfx_38_f9[4] = {
	I2(op_movdiri, My, Gy, R_NORD),
};

static const struct x86_opcode pfx_38_82[4] = {
	N, I2(op_invpcid, Gnat, Mo, R_PRIV | R_NOWR),
};

/* Table "Three-byte Opcode Map", opcodes 0F 38 xx */
static const struct x86_opcode map_0f38[256] = {
	[0x2a] = SUB(T_PREFIX, pfx_38_2a),
	[0x82] = SUB(T_PREFIX, pfx_38_82),
	[0xf0] = SUB(T_PREFIX, pfx_38_f0), [0xf1] = SUB(T_PREFIX, pfx_38_f1),
	[0xf6] = SUB(T_PREFIX, pfx_38_f6),
	[0xf8] = SUB(T_PREFIX, pfx_38_f8), [0xf9] = SUB(T_PREFIX, pfx_38_f9),
};

#define PEXTR(fn, d)	I(fn, d, Vo, Ib, R_SSE | R_NORD)

static const struct x86_opcode pfx_3a_14[4] = { N, PEXTR(op_pextrb, Eb) };
static const struct x86_opcode pfx_3a_15[4] = { N, PEXTR(op_pextrw, Ew) };
static const struct x86_opcode pfx_3a_16[4] = { N, PEXTR(op_pextrd, Ey) };
static const struct x86_opcode pfx_3a_17[4] = { N, PEXTR(op_pextrd, Ed) };

static const struct x86_opcode pfx_3a_20[4] = { N, SUB(T_MOD, pinsrb) };
static const struct x86_opcode pfx_3a_22[4] = { N, PINSR(op_pinsrd, Ey, R_SSE) };

/* Table "Three-byte Opcode Map", opcodes 0F 3A xx */
static const struct x86_opcode map_0f3a[256] = {
	[0x14] = SUB(T_PREFIX, pfx_3a_14), [0x15] = SUB(T_PREFIX, pfx_3a_15),
	[0x16] = SUB(T_PREFIX, pfx_3a_16), [0x17] = SUB(T_PREFIX, pfx_3a_17),
	[0x20] = SUB(T_PREFIX, pfx_3a_20), [0x22] = SUB(T_PREFIX, pfx_3a_22),
};

/* ---- Opcode tables: VEX ---------------------------------------------- */

#define VLOAD(d, s)	I2(op_vmov, d, s, R_AVX | R_NORD)
#define VALOAD(d, s)	I2(op_vmov, d, s, R_AVX | R_NORD | R_ALIGN)
#define VLOAD0(d, s)	I2(op_vmov, d, s, R_AVX | R_NORD | R_L0)
#define V3(fn, d, s, s2) I(fn, d, s, s2, R_AVX | R_NORD | R_L0)
#define V3S(fn, d, s, s2) I(fn, d, s, s2, R_AVX | R_NORD)

static const struct x86_opcode vmovss_load[2] = {
	VLOAD(Vo, Wd), V3S(op_vmerge3, Vo, Ho, Wd),
};

static const struct x86_opcode vmovsd_load[2] = {
	VLOAD(Vo, Wq), V3S(op_vmerge3, Vo, Ho, Wq),
};

static const struct x86_opcode vmovss_store[2] = {
	VLOAD(Wd, Vd), V3S(op_vmerge3_store, Wd, Ho, Vd),
};

static const struct x86_opcode vmovsd_store[2] = {
	VLOAD(Wq, Vq), V3S(op_vmerge3_store, Wq, Ho, Vq),
};

static const struct x86_opcode vex_10[4] = {
	VLOAD(Vx, Wx), VLOAD(Vx, Wx),
	SUB(T_MOD, vmovss_load), SUB(T_MOD, vmovsd_load),
};

static const struct x86_opcode vex_11[4] = {
	VLOAD(Wx, Vx), VLOAD(Wx, Vx),
	SUB(T_MOD, vmovss_store), SUB(T_MOD, vmovsd_store),
};

static const struct x86_opcode vmovlps_load[2] = {
	V3(op_vmerge3, Vo, Ho, Mq), V3(op_vmovhlps, Vo, Ho, Wo),
};

static const struct x86_opcode vmovhps_load[2] = {
	V3(op_vmerge_high3, Vo, Ho, Mq), V3(op_vmerge_high3, Vo, Ho, Wo),
};

static const struct x86_opcode vex_12[4] = {
	SUB(T_MOD, vmovlps_load), V3(op_vmerge3, Vo, Ho, Mq),
	I2(op_movsldup, Vx, Wx, R_AVX | R_NORD),
	I2(op_movddup, Vx, Wddup, R_AVX | R_NORD),
};

static const struct x86_opcode vex_13[4] = { VLOAD0(Mq, Vo), VLOAD0(Mq, Vo) };

static const struct x86_opcode vex_16[4] = {
	SUB(T_MOD, vmovhps_load), V3(op_vmerge_high3, Vo, Ho, Mq),
	I2(op_movshdup, Vx, Wx, R_AVX | R_NORD), N,
};

static const struct x86_opcode vex_17[4] = {
	I2(op_vstore_high, Mq, Vo, R_AVX | R_NORD | R_L0),
	I2(op_vstore_high, Mq, Vo, R_AVX | R_NORD | R_L0),
};

static const struct x86_opcode vex_28[4] = { VALOAD(Vx, Wx), VALOAD(Vx, Wx) };
static const struct x86_opcode vex_29[4] = { VALOAD(Wx, Vx), VALOAD(Wx, Vx) };
static const struct x86_opcode vex_2b[4] = { VALOAD(Mx, Vx), VALOAD(Mx, Vx) };
static const struct x86_opcode vex_6e[4] = { N, VLOAD0(Vo, Ey) };
static const struct x86_opcode vex_6f[4] = { N, VALOAD(Vx, Wx), VLOAD(Vx, Wx) };
static const struct x86_opcode vex_7e[4] = {
	N, VLOAD0(Ey, Vo), VLOAD0(Vo, Wq),
};
static const struct x86_opcode vex_7f[4] = { N, VALOAD(Wx, Vx), VLOAD(Wx, Vx) };
#define R_VPINSR	(R_AVX | R_NORD | R_L0 | R_VVVV)

static const struct x86_opcode vpinsrb[2] = PINSR_MOD(op_pinsrb, Mb, R_VPINSR);
static const struct x86_opcode vpinsrw[2] = PINSR_MOD(op_pinsrw, Mw, R_VPINSR);
static const struct x86_opcode vex_c4[4] = { N, SUB(T_MOD, vpinsrw) };
static const struct x86_opcode vex_d6[4] = { N, VLOAD0(Wq, Vq) };
static const struct x86_opcode vex_e7[4] = { N, VALOAD(Mx, Vx) };
static const struct x86_opcode vex_f0[4] = { N, N, N, VLOAD(Vx, Mx) };

static const struct x86_opcode map_vex_0f[256] = {
	[0x10] = SUB(T_PREFIX, vex_10), [0x11] = SUB(T_PREFIX, vex_11),
	[0x12] = SUB(T_PREFIX, vex_12), [0x13] = SUB(T_PREFIX, vex_13),
	[0x16] = SUB(T_PREFIX, vex_16), [0x17] = SUB(T_PREFIX, vex_17),
	[0x28] = SUB(T_PREFIX, vex_28), [0x29] = SUB(T_PREFIX, vex_29),
	[0x2b] = SUB(T_PREFIX, vex_2b),
	[0x6e] = SUB(T_PREFIX, vex_6e), [0x6f] = SUB(T_PREFIX, vex_6f),
	[0x7e] = SUB(T_PREFIX, vex_7e), [0x7f] = SUB(T_PREFIX, vex_7f),
	[0xc4] = SUB(T_PREFIX, vex_c4), [0xd6] = SUB(T_PREFIX, vex_d6),
	[0xe7] = SUB(T_PREFIX, vex_e7),
	[0xf0] = SUB(T_PREFIX, vex_f0),
};

#define VBROADCAST(d, s, fl) I2(op_vbroadcast, d, s, R_AVX | R_NORD | R_W0 | (fl))
#define BMI(fn, d, s, s2) I(fn, d, s, s2, R_L0 | R_PROT | R_NORD)

static const struct x86_opcode vex_38_18[4] = { N, VBROADCAST(Vx, Wd, 0) };
static const struct x86_opcode vex_38_19[4] = { N, VBROADCAST(Vx, Wq, R_L1) };
static const struct x86_opcode vex_38_1a[4] = { N, VBROADCAST(Vx, Mo, R_L1) };
static const struct x86_opcode vex_38_2a[4] = { N, VALOAD(Vx, Mx) };
static const struct x86_opcode vex_38_58[4] = { N, VBROADCAST(Vx, Wd, 0) };
static const struct x86_opcode vex_38_59[4] = { N, VBROADCAST(Vx, Wq, 0) };
static const struct x86_opcode vex_38_5a[4] = { N, VBROADCAST(Vx, Mo, R_L1) };
static const struct x86_opcode vex_38_78[4] = { N, VBROADCAST(Vx, Wb, 0) };
static const struct x86_opcode vex_38_79[4] = { N, VBROADCAST(Vx, Ww, 0) };

static const struct x86_opcode vex_38_f2[4] = { BMI(op_andn, Gy, By, Ey) };

static const struct x86_opcode vex_group17[8] = {
	UD, BMI(op_blsr, By, Ey, 0), BMI(op_blsmsk, By, Ey, 0),
	BMI(op_blsi, By, Ey, 0), UD, UD, UD, UD,
};

static const struct x86_opcode vex_38_f3[4] = { SUB(T_GROUP, vex_group17) };

static const struct x86_opcode vex_38_f5[4] = {
	BMI(op_bzhi, Gy, Ey, By), N,
	BMI(op_pext, Gy, By, Ey), BMI(op_pdep, Gy, By, Ey),
};

static const struct x86_opcode vex_38_f6[4] = {
	N, N, N, I2(op_mulx, Gy, Ey, R_L0 | R_PROT | R_NORD | R_VVVV),
};

static const struct x86_opcode vex_38_f7[4] = {
	BMI(op_bextr, Gy, Ey, By), BMI(op_shlx, Gy, Ey, By),
	BMI(op_sarx, Gy, Ey, By), BMI(op_shrx, Gy, Ey, By),
};

static const struct x86_opcode map_vex_0f38[256] = {
	[0x18] = SUB(T_PREFIX, vex_38_18), [0x19] = SUB(T_PREFIX, vex_38_19),
	[0x1a] = SUB(T_PREFIX, vex_38_1a), [0x2a] = SUB(T_PREFIX, vex_38_2a),
	[0x58] = SUB(T_PREFIX, vex_38_58), [0x59] = SUB(T_PREFIX, vex_38_59),
	[0x5a] = SUB(T_PREFIX, vex_38_5a),
	[0x78] = SUB(T_PREFIX, vex_38_78), [0x79] = SUB(T_PREFIX, vex_38_79),
	[0xf2] = SUB(T_PREFIX, vex_38_f2), [0xf3] = SUB(T_PREFIX, vex_38_f3),
	[0xf5] = SUB(T_PREFIX, vex_38_f5), [0xf6] = SUB(T_PREFIX, vex_38_f6),
	[0xf7] = SUB(T_PREFIX, vex_38_f7),
};

#define VPEXTR(fn, d)	I(fn, d, Vo, Ib, R_AVX | R_NORD | R_L0)
#define VEXTRACT	I(op_vextract, Wo, Vx, Ib, R_AVX | R_NORD | R_L1 | R_W0)

static const struct x86_opcode vex_3a_14[4] = { N, VPEXTR(op_pextrb, Eb) };
static const struct x86_opcode vex_3a_15[4] = { N, VPEXTR(op_pextrw, Ew) };
static const struct x86_opcode vex_3a_16[4] = { N, VPEXTR(op_pextrd, Ey) };
static const struct x86_opcode vex_3a_17[4] = { N, VPEXTR(op_pextrd, Ed) };
static const struct x86_opcode vex_3a_19[4] = { N, VEXTRACT };

#define VINSERT		I(op_vinsert, Vx, Wo, Ib, R_AVX | R_NORD | R_L1 | R_W0 | R_VVVV)

static const struct x86_opcode vex_3a_18[4] = { N, VINSERT };
static const struct x86_opcode vex_3a_20[4] = { N, SUB(T_MOD, vpinsrb) };
static const struct x86_opcode vex_3a_22[4] = { N, PINSR(op_pinsrd, Ey, R_VPINSR) };

static const struct x86_opcode vex_3a_f0[4] = {
	N, N, N, BMI(op_rorx, Gy, Ey, Ib),
};

static const struct x86_opcode map_vex_0f3a[256] = {
	[0x14] = SUB(T_PREFIX, vex_3a_14), [0x15] = SUB(T_PREFIX, vex_3a_15),
	[0x16] = SUB(T_PREFIX, vex_3a_16), [0x17] = SUB(T_PREFIX, vex_3a_17),
	[0x18] = SUB(T_PREFIX, vex_3a_18), [0x19] = SUB(T_PREFIX, vex_3a_19),
	[0x20] = SUB(T_PREFIX, vex_3a_20), [0x22] = SUB(T_PREFIX, vex_3a_22),
	[0x38] = SUB(T_PREFIX, vex_3a_18), [0x39] = SUB(T_PREFIX, vex_3a_19),
	[0xf0] = SUB(T_PREFIX, vex_3a_f0),
};

/* ---- Opcode tables: EVEX --------------------------------------------- */

#define EMOV0(d, s)	I2(op_vmov, d, s, R_AVX | R_NORD | R_W0)
#define EMOV1(d, s)	I2(op_vmov, d, s, R_AVX | R_NORD | R_W1)
#define EMOV(d, s)	I2(op_vmov, d, s, R_AVX | R_NORD)
#define EAMOV0(d, s)	I2(op_vmov, d, s, R_AVX | R_NORD | R_W0 | R_ALIGN)
#define EAMOV1(d, s)	I2(op_vmov, d, s, R_AVX | R_NORD | R_W1 | R_ALIGN)
#define EAMOV(d, s)	I2(op_vmov, d, s, R_AVX | R_NORD | R_ALIGN)

#define EMOVL(d, s, w)	I2(op_vmov, d, s, R_AVX | R_NORD | R_L0 | (w))

/* Scalars from and to memory; their register forms merge with vvvv. */
static const struct x86_opcode evex_ss_load[2] = { EMOV0(Vo, Wd), N };
static const struct x86_opcode evex_sd_load[2] = { EMOV1(Vo, Wq), N };
static const struct x86_opcode evex_ss_store[2] = { EMOV0(Wd, Vd), N };
static const struct x86_opcode evex_sd_store[2] = { EMOV1(Wq, Vq), N };

static const struct x86_opcode evex_10[4] = {
	EMOV0(Vx, Wx), EMOV1(Vx, Wx),
	SUB(T_MOD, evex_ss_load), SUB(T_MOD, evex_sd_load),
};
static const struct x86_opcode evex_11[4] = {
	EMOV0(Wx, Vx), EMOV1(Wx, Vx),
	SUB(T_MOD, evex_ss_store), SUB(T_MOD, evex_sd_store),
};
static const struct x86_opcode evex_6e[4] = { N, EMOVL(Vo, Ey, 0) };
static const struct x86_opcode evex_7e[4] = {
	N, EMOVL(Ey, Vo, 0), EMOVL(Vo, Wq, R_W1),
};
static const struct x86_opcode evex_d6[4] = { N, EMOVL(Wq, Vq, R_W1) };
static const struct x86_opcode evex_28[4] = { EAMOV0(Vx, Wx), EAMOV1(Vx, Wx) };
static const struct x86_opcode evex_29[4] = { EAMOV0(Wx, Vx), EAMOV1(Wx, Vx) };
static const struct x86_opcode evex_2b[4] = { EAMOV0(Mx, Vx), EAMOV1(Mx, Vx) };
static const struct x86_opcode evex_6f[4] = {
	N, EAMOV(Vx, Wx), EMOV(Vx, Wx), EMOV(Vx, Wx),
};
static const struct x86_opcode evex_7f[4] = {
	N, EAMOV(Wx, Vx), EMOV(Wx, Vx), EMOV(Wx, Vx),
};
static const struct x86_opcode evex_e7[4] = { N, EAMOV0(Mx, Vx) };

static const struct x86_opcode map_evex_0f[256] = {
	[0x10] = SUB(T_PREFIX, evex_10), [0x11] = SUB(T_PREFIX, evex_11),
	[0x28] = SUB(T_PREFIX, evex_28), [0x29] = SUB(T_PREFIX, evex_29),
	[0x2b] = SUB(T_PREFIX, evex_2b),
	[0x6e] = SUB(T_PREFIX, evex_6e), [0x6f] = SUB(T_PREFIX, evex_6f),
	[0x7e] = SUB(T_PREFIX, evex_7e), [0x7f] = SUB(T_PREFIX, evex_7f),
	[0xd6] = SUB(T_PREFIX, evex_d6), [0xe7] = SUB(T_PREFIX, evex_e7),
};

static const struct x86_opcode *const legacy_maps[4] = {
	map_one_byte, map_0f, map_0f38, map_0f3a,
};

static const struct x86_opcode *const vex_maps[4] = {
	NULL, map_vex_0f, map_vex_0f38, map_vex_0f3a,
};

static const struct x86_opcode *const evex_maps[4] = {
	NULL, map_evex_0f, NULL, NULL,
};

static const struct x86_opcode *opcode_row(const struct x86_insn *insn)
{
	const struct x86_opcode *map;

	if (insn->map > 3)
		return NULL;
	if (insn->evex)
		map = evex_maps[insn->map];
	else
		map = insn->vex ? vex_maps[insn->map] : legacy_maps[insn->map];
	return map ? &map[insn->opcode] : NULL;
}
