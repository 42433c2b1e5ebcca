/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The x86 instruction emulator: its context, its results, and the operations
 * through which it reaches everything that is not a general register.
 *
 * It knows nothing of the kernel or of KVM; the same file builds in user
 * space for its tests.  It allocates nothing, does not recurse, and uses no
 * floating point or vector register.
 *
 * Use, once per instruction:
 *	fill ops, vcpu, mode, cpl, regs[], rip, rflags;
 *	optionally prefill insn.bytes / insn.fetched;
 *	x86_decode_insn(), then x86_emulate_insn().
 * After X86EMUL_IO_NEEDED call x86_emulate_insn() again with the same
 * context; decode is not repeated.  Documentation/emulator.rst has the
 * contract in full.
 *
 * Locking: none; a context belongs to one vCPU at a time.
 */
#ifndef X86_EMULATE_H
#define X86_EMULATE_H

#include "include/ints.h"

struct x86_emulate_ctxt;
struct x86_opcode;

/*
 * What the two entry points, and the fallible operations, return.
 *
 * OK		done; regs, rip and rflags hold the new state.
 * FAULT	the event in ctxt->exception is to be delivered.  regs, rip and
 *		rflags hold the state to deliver it in: unchanged, but for the
 *		finished iterations of a repeated string instruction, and after
 *		a task switch, whose last checks are made in the new task.
 * IO_NEEDED	an operation needs user space before it can answer.  State as
 *		for FAULT.  Call again; the operation then answers.
 * UNHANDLEABLE	the instruction is not in the tables; nothing has changed.
 * RESTART	run the instruction again, by x86_emulate_insn() or by entering
 *		the guest: a repeated string instruction has finished some
 *		iterations, or a locked update lost a race.  regs and rflags
 *		are valid, rip still points to the instruction.
 */
enum x86_emul_result {
	X86EMUL_OK,
	X86EMUL_FAULT,
	X86EMUL_IO_NEEDED,
	X86EMUL_UNHANDLEABLE,
	X86EMUL_RESTART,
};

/* The processor's mode as far as decoding goes; PROT16 and PROT32 follow
 * CS.D and include compatibility mode. */
enum x86_emul_mode {
	X86_MODE_REAL,
	X86_MODE_VM86,
	X86_MODE_PROT16,
	X86_MODE_PROT32,
	X86_MODE_PROT64,
};

enum x86_gpr {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
	X86_NR_GPRS,
};

/* In the order of instruction encodings; LDTR and TR follow. */
enum x86_seg {
	X86_SEG_ES, X86_SEG_CS, X86_SEG_SS, X86_SEG_DS, X86_SEG_FS, X86_SEG_GS,
	X86_SEG_LDTR, X86_SEG_TR,
	X86_SEG_NONE,
};

enum x86_dt { X86_DT_GDT, X86_DT_IDT };

/*
 * The cached part of a segment register.  @attr is in the format of a VMCS
 * access-rights field ("Guest Register State"): type, S, DPL, P, AVL, L, D/B,
 * G, and bit 16 for an unusable segment.  @limit is in bytes, expanded.
 */
struct x86_segment {
	u64 base;
	u32 limit;
	u32 attr;
	u16 selector;
};

#define X86_SEG_ATTR_TYPE	0x0000fu
#define X86_SEG_ATTR_ACCESSED	0x00001u
#define X86_SEG_ATTR_RW		0x00002u	/* readable code, writable data */
#define X86_SEG_ATTR_EXPDOWN	0x00004u	/* data: expands down */
#define X86_SEG_ATTR_CONFORM	0x00004u	/* code: conforming */
#define X86_SEG_ATTR_CODE	0x00008u
#define X86_SEG_ATTR_S		0x00010u
#define X86_SEG_ATTR_DPL	0x00060u
#define X86_SEG_ATTR_DPL_SHIFT	5
#define X86_SEG_ATTR_P		0x00080u
#define X86_SEG_ATTR_AVL	0x01000u
#define X86_SEG_ATTR_L		0x02000u
#define X86_SEG_ATTR_DB		0x04000u
#define X86_SEG_ATTR_G		0x08000u
#define X86_SEG_ATTR_UNUSABLE	0x10000u

/* How an access is made: the @access argument of read, write and probe. */
#define X86_ACC_WRITE	0x1u	/* read: a write to the same place follows */
#define X86_ACC_SYSTEM	0x2u	/* implicit supervisor access: GDT, IDT, TSS */
#define X86_ACC_LOCK	0x4u	/* read: a cmpxchg of the same place follows */

/*
 * Operations.  Those that return int return an x86_emul_result, never
 * RESTART; before FAULT they call x86_emul_fault() or x86_emul_pf().
 * Those marked (opt) may be NULL.  Addresses are linear; an access may
 * straddle a page, and outside 64-bit mode wraps at 4 GiB.
 *
 * An operation that has posted something for user space (an MMIO write, a
 * port output), or has answered with data that came from there, sets
 * ctxt->stop: a repeated string instruction then ends after the iteration
 * in hand.  Answers from user space stay good, for the same addresses and
 * in the same order, until x86_emulate_insn() returns something other than
 * IO_NEEDED.
 */
struct x86_emulate_ops {
	/* Memory.  A write is one call however large it is. */
	int (*read)(struct x86_emulate_ctxt *ctxt, u64 lin, void *buf,
		    unsigned int bytes, unsigned int access);
	int (*write)(struct x86_emulate_ctxt *ctxt, u64 lin, const void *buf,
		     unsigned int bytes, unsigned int access);
	/* Instruction bytes; never crosses a 4 KiB boundary. */
	int (*fetch)(struct x86_emulate_ctxt *ctxt, u64 lin, void *buf,
		     unsigned int bytes);
	/*
	 * If the memory equals *@old store @new, atomically; else leave it and
	 * copy its value to *@old.  OK both times.  1, 2, 4, 8 or 16 bytes.
	 */
	int (*cmpxchg)(struct x86_emulate_ctxt *ctxt, u64 lin, void *old,
		       const void *new, unsigned int bytes);
	/* Would a write of this range fault?  OK or FAULT, no side effect. */
	int (*probe_write)(struct x86_emulate_ctxt *ctxt, u64 lin,
			   unsigned int bytes, unsigned int access);
	/* (opt) The range, within one page, is plain memory and accessible. */
	bool (*plain)(struct x86_emulate_ctxt *ctxt, u64 lin,
		      unsigned int bytes, unsigned int access);

	/* Segments.  In 64-bit mode memory operands use segment_base alone. */
	u64 (*segment_base)(struct x86_emulate_ctxt *ctxt, enum x86_seg seg);
	void (*get_segment)(struct x86_emulate_ctxt *ctxt, enum x86_seg seg,
			    struct x86_segment *s);
	int (*set_segment)(struct x86_emulate_ctxt *ctxt, enum x86_seg seg,
			   const struct x86_segment *s);
	void (*get_dt)(struct x86_emulate_ctxt *ctxt, enum x86_dt dt,
		       u64 *base, u16 *limit);
	int (*set_dt)(struct x86_emulate_ctxt *ctxt, enum x86_dt dt,
		      u64 base, u16 limit);

	/*
	 * Control state.  The set operations check the value and raise #GP
	 * themselves.  CR8 is the task priority.
	 */
	u64 (*get_cr)(struct x86_emulate_ctxt *ctxt, unsigned int cr);
	int (*set_cr)(struct x86_emulate_ctxt *ctxt, unsigned int cr, u64 val);
	u64 (*get_dr)(struct x86_emulate_ctxt *ctxt, unsigned int dr);
	int (*set_dr)(struct x86_emulate_ctxt *ctxt, unsigned int dr, u64 val);
	int (*get_msr)(struct x86_emulate_ctxt *ctxt, u32 msr, u64 *val);
	int (*set_msr)(struct x86_emulate_ctxt *ctxt, u32 msr, u64 val);
	u64 (*get_xcr)(struct x86_emulate_ctxt *ctxt, u32 xcr);
	int (*set_xcr)(struct x86_emulate_ctxt *ctxt, u32 xcr, u64 val);
	u64 (*get_efer)(struct x86_emulate_ctxt *ctxt);
	/* @regs: eax, ebx, ecx, edx, in and out */
	int (*cpuid)(struct x86_emulate_ctxt *ctxt, u32 regs[4]);
	int (*rdtsc)(struct x86_emulate_ctxt *ctxt, u64 *tsc);
	int (*rdpmc)(struct x86_emulate_ctxt *ctxt, u32 index, u64 *val);

	/* Ports: @count items of @size bytes; all or none. */
	int (*pio_in)(struct x86_emulate_ctxt *ctxt, u16 port,
		      unsigned int size, void *buf, unsigned int count);
	int (*pio_out)(struct x86_emulate_ctxt *ctxt, u16 port,
		       unsigned int size, const void *buf, unsigned int count);

	/*
	 * Vector registers, 16, 32 or 64 bytes from the low end.  set_vec
	 * clears the rest of the register when @zero_upper (VEX, EVEX) and
	 * keeps it otherwise.  set_mmx also marks the x87 stack as the
	 * processor does for an MMX instruction.
	 */
	void (*get_vec)(struct x86_emulate_ctxt *ctxt, unsigned int index,
			void *buf, unsigned int bytes);
	void (*set_vec)(struct x86_emulate_ctxt *ctxt, unsigned int index,
			const void *buf, unsigned int bytes, bool zero_upper);
	void (*get_mmx)(struct x86_emulate_ctxt *ctxt, unsigned int index,
			u64 *val);
	void (*set_mmx)(struct x86_emulate_ctxt *ctxt, unsigned int index,
			u64 val);
	/* (opt) The low 64 bits of opmask register k @index. */
	u64 (*get_opmask)(struct x86_emulate_ctxt *ctxt, unsigned int index);

	/*
	 * (opt) An x87 instruction, of opcode D8 to DF.  Its memory operand is
	 * in @data, or is to be put there; FNSTSW AX counts as one.  Images of
	 * the state have the 32-bit protected-mode form, whatever the mode.
	 * @flags are those of EFLAGS that it may read and write.  EMMS comes as
	 * its two bytes of opcode.
	 */
	int (*x87)(struct x86_emulate_ctxt *ctxt, u8 opcode, u8 modrm,
		   void *data, u8 *flags);

	/*
	 * (opt) The image of FXSAVE, of which FXRSTOR has read @bytes; @wide:
	 * with REX.W.  MXCSR; #GP is for these to raise.
	 */
	int (*fxsave)(struct x86_emulate_ctxt *ctxt, void *image, bool wide);
	int (*fxrstor)(struct x86_emulate_ctxt *ctxt, const void *image,
		       unsigned int bytes, bool wide);
	u32 (*get_mxcsr)(struct x86_emulate_ctxt *ctxt);
	int (*set_mxcsr)(struct x86_emulate_ctxt *ctxt, u32 val);
	/* (opt) RDRAND or RDSEED; false: there was nothing. */
	bool (*random)(struct x86_emulate_ctxt *ctxt, bool seed, u64 *val);

	/* Called when the instruction can no longer fault. */
	int (*hlt)(struct x86_emulate_ctxt *ctxt);
	int (*invlpg)(struct x86_emulate_ctxt *ctxt, u64 lin);
	/* @type 0 to 3; @lin, of type 0, is canonical. */
	int (*invpcid)(struct x86_emulate_ctxt *ctxt, unsigned int type,
		       u16 pcid, u64 lin);
	int (*wbinvd)(struct x86_emulate_ctxt *ctxt);
	/* (opt) VMCALL and VMMCALL: reads and writes ctxt->regs. */
	int (*hypercall)(struct x86_emulate_ctxt *ctxt);
	/* (opt) IRET has been executed: NMIs are no longer blocked. */
	void (*unblock_nmi)(struct x86_emulate_ctxt *ctxt);
};

/* An event to deliver to the guest. */
struct x86_emul_exception {
	u8 vector;
	bool has_error;
	u32 error;
	u64 cr2;		/* #PF: the linear address */
};

enum x86_operand_type {
	X86_OP_NONE, X86_OP_REG, X86_OP_MEM, X86_OP_IMM, X86_OP_SEG,
	X86_OP_CR, X86_OP_DR, X86_OP_VEC, X86_OP_MMX,
};

struct x86_operand {
	u8 type;		/* enum x86_operand_type */
	u8 bytes;
	u8 reg;			/* register number in its file */
	bool high8;		/* AH, CH, DH or BH */
	u64 lin;		/* memory: linear address, once computed */
	union {
		u64 val;
		s64 sval;
		u64 vec[8];
		u8 data[64];
	};
};

/* An instruction as decoded. */
struct x86_insn {
	/* Bytes fetched so far; the caller may prefill them. */
	u8 bytes[16];
	u8 fetched;

	u8 len;			/* length, once decoded */
	u8 map;			/* 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A */
	u8 opcode;
	u8 modrm;
	bool has_modrm;
	u8 rex;			/* 0, or 0x40..0x4f; also from VEX and EVEX */
	u8 rex2;		/* EVEX: R' and V' as bits 4 of reg and vvvv */
	bool vex;		/* VEX or EVEX encoding */
	bool evex;
	bool bad_prefix;	/* legacy prefix or REX before VEX */
	u8 vvvv;		/* VEX register operand */
	u8 vl;			/* VEX.L or EVEX.LL */
	u8 evex_p3;		/* EVEX byte with z, b, aaa */
	u8 pp;			/* mandatory prefix: 0, 1: 66, 2: F3, 3: F2 */
	bool lock;
	u8 rep;			/* 0, 0xf2 or 0xf3 */
	bool opsize_override;
	bool adsize_override;
	u8 seg;			/* segment of the memory operand */
	bool seg_override;
	u8 op_bytes;		/* operand size: 2, 4 or 8 */
	u8 ad_bytes;		/* address size: 2, 4 or 8 */
	bool has_mem;		/* ModRM or moffs names memory */
	u8 base, index;		/* registers, or 0xff */
	u8 scale;
	bool rip_relative;
	bool disp8;
	s64 disp;
};

/*
 * The last instruction, as it was when decoded: loops that poll or feed a
 * device come back with the same one.
 */
struct x86_last_insn {
	bool valid;
	u8 mode;
	u64 mask[2];		/* of those of the 16 bytes that it has */
	struct x86_insn insn;
	const struct x86_opcode *op;
	struct {
		u8 type, bytes, reg;
		bool high8;
		u64 val;
	} operand[3];
};

/* ctxt->shadow: events blocked until after the next instruction. */
#define X86_SHADOW_STI		0x1u
#define X86_SHADOW_MOV_SS	0x2u

struct x86_emulate_ctxt {
	/* Set by the caller. */
	const struct x86_emulate_ops *ops;
	void *vcpu;
	enum x86_emul_mode mode;
	u8 cpl;
	u64 regs[X86_NR_GPRS];
	u64 rip;
	u64 rflags;

	/* Set by operations. */
	bool stop;

	/* Results.  x86_decode_insn() clears them. */
	struct x86_emul_exception exception;
	u32 regs_dirty;		/* bit n: regs[n] changed */
	u8 shadow;		/* X86_SHADOW_*; 0 ends an earlier shadow */
	bool trap;		/* RFLAGS.TF was set: #DB is due (OK, RESTART) */
	bool halted;		/* HLT has been executed */
	bool mode_changed;	/* mode and cpl may differ: CR0, CS, IRET, ... */
	bool task_switched;	/* also with FAULT: the new task's fault */
	bool task_trap;		/* the new task's T flag: #DB with DR6.BT is due */

	/* Private to the emulator. */
	struct x86_insn insn;
	const struct x86_opcode *op;
	u32 batch;		/* items of a string port access, fixed at first try */
	u8 ext;			/* EXT bit of error codes while delivering */
	u64 next_rip;
	u64 flags;		/* rflags being computed */
	u64 old[2];		/* locked update: memory as it was read */
	struct x86_operand dst, src, src2;
	struct x86_last_insn last;
};

int x86_decode_insn(struct x86_emulate_ctxt *ctxt);
int x86_emulate_insn(struct x86_emulate_ctxt *ctxt);

/* How an event comes about, for x86_emulate_event(). */
enum x86_event_kind {
	X86_EVENT_EXTERNAL,	/* interrupt or NMI */
	X86_EVENT_EXCEPTION,	/* hardware exception */
	X86_EVENT_SOFTWARE,	/* INT n, INT3, INTO: gate DPL is checked */
};

/*
 * Delivers an event through the guest's IDT or interrupt vector table, for
 * states the hardware cannot be entered in.  The caller fills the context as
 * for an instruction; rip is the address to return to.
 */
int x86_emulate_event(struct x86_emulate_ctxt *ctxt, u8 vector,
		      enum x86_event_kind kind, bool has_error, u32 error);

/* Why a task switch happens; GATE: an event found a task gate in the IDT. */
enum x86_task_reason {
	X86_TASK_CALL, X86_TASK_IRET, X86_TASK_JMP, X86_TASK_GATE,
};

struct x86_task_switch {
	u16 selector;		/* of the new task's TSS */
	enum x86_task_reason reason;
	bool external;		/* by no instruction: bit EXT of error codes */
	u8 insn_len;		/* of the instruction, which is then done */
	bool has_error;		/* the event pushes an error code */
	u32 error;
};

/*
 * A task switch that the processor leaves to us half-way: the gate, if there
 * is one, has been read and checked.  The caller fills the context as for an
 * instruction.
 */
int x86_emulate_task_switch(struct x86_emulate_ctxt *ctxt,
			    const struct x86_task_switch *sw);

/* Exception vectors. */
#define X86_EXC_DE	0
#define X86_EXC_DB	1
#define X86_EXC_BP	3
#define X86_EXC_OF	4
#define X86_EXC_BR	5
#define X86_EXC_UD	6
#define X86_EXC_NM	7
#define X86_EXC_DF	8
#define X86_EXC_TS	10
#define X86_EXC_NP	11
#define X86_EXC_SS	12
#define X86_EXC_GP	13
#define X86_EXC_PF	14
#define X86_EXC_MF	16
#define X86_EXC_AC	17

/* Records a fault; for operations and for the emulator itself. */
static inline int x86_emul_fault(struct x86_emulate_ctxt *ctxt, u8 vector,
				 bool has_error, u32 error)
{
	ctxt->exception.vector = vector;
	ctxt->exception.has_error = has_error;
	ctxt->exception.error = error;
	return X86EMUL_FAULT;
}

static inline int x86_emul_pf(struct x86_emulate_ctxt *ctxt, u64 cr2, u32 error)
{
	ctxt->exception.cr2 = cr2;
	return x86_emul_fault(ctxt, X86_EXC_PF, true, error);
}

#endif /* X86_EMULATE_H */
