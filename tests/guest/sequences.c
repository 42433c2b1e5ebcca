// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random sequences of instructions in the modes that a user-space program
 * cannot be in: each runs twice, from the same registers and memory. The
 * second time GS is one that the processor refuses to enter without
 * unrestricted guest, so that there the module has to emulate the whole
 * sequence. Everything must come out the same. The sum at the end does not
 * depend on who executes: run-in-modes compares it with that of other
 * processors.
 *
 * Flags that an instruction leaves undefined are made defined behind it. BX
 * always points to the data, SP to the stack, and GS is left alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define AT_CODE		0xe000u
#define AT_HANDLER	0xdf00u		/* of INT 60H */
#define AT_IDT64	0x18000u
#define DATA		0x8000u
#define DATA_SIZE	0x1000u
#define BX_VALUE	(DATA + 0x80)
#define MAX_INSNS	40
#define SEQUENCES	250

enum { REAL = 1, VM86 = 2, PROT16 = 4, PROT32 = 8, PROT64 = 16 };
#define BITS16	(REAL | VM86 | PROT16)
#define PROT	(PROT16 | PROT32 | PROT64)
#define SYSTEM	(REAL | PROT)
#define NOT64	(BITS16 | PROT32)
#define ANY	(NOT64 | PROT64)

struct code {
	u32 mode;
	u32 len, nr;
	u32 start[MAX_INSNS + 1];
	u8 bytes[MAX_INSNS * 96];
};

static u64 random_state;

static u32 pick(u32 below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 20) % below;
}

static u32 random32(void)
{
	return pick(1 << 16) << 16 | pick(1 << 16);
}

/* ---- bytes -------------------------------------------------------------- */

static void put(struct code *c, u32 n, u64 value)
{
	for (; n; n--, value >>= 8)
		c->bytes[c->len++] = value;
}

static void put_bytes(struct code *c, const char *bytes, u32 n)
{
	memcpy(c->bytes + c->len, bytes, n);
	c->len += n;
}
#define PUTS(c, s)	put_bytes(c, s, sizeof(s) - 1)

static bool is16(const struct code *c)
{
	return c->mode & BITS16;
}

/* What the code at a place is called in its segment. */
static u32 ip_of(const struct code *c, u32 at)
{
	return (c->mode & (REAL | VM86) ? 0 : AT_CODE) + at;
}

/* The selector of the code segment. */
static u32 cs_of(const struct code *c)
{
	switch (c->mode) {
	case PROT16: return SEL_CODE16;
	case PROT32: return SEL_CODE32;
	case PROT64: return SEL_CODE64;
	default: return AT_CODE >> 4;
	}
}

static void opsize(struct code *c, u32 size)
{
	if (size == (is16(c) ? 4 : 2))
		put(c, 1, 0x66);
}

/* Immediates and offsets of the code's own width. */
static u32 width(const struct code *c)
{
	return is16(c) ? 2 : 4;
}

static u32 safe_reg(void)
{
	static const u8 regs[] = { 0, 1, 2, 5, 6, 7 };	/* not BX, SP */

	return regs[pick(sizeof(regs))];
}

static u32 byte_reg(const struct code *c)
{
	static const u8 regs[] = { 0, 1, 2, 4, 5, 6 };	/* not BL, BH */

	return regs[pick(c->mode == PROT64 ? 3 : sizeof(regs))];
}

static u32 random_size(const struct code *c)
{
	static const u8 sizes[] = { 1, 2, 4, 8 };

	return sizes[pick(c->mode == PROT64 ? 4 : 3)];
}

static u32 wide_size(const struct code *c)
{
	return 2u << pick(c->mode == PROT64 ? 3 : 2);
}

static u32 data_offset(void)
{
	return DATA + pick(DATA_SIZE - 64);
}

/* A place in the data: by its offset, or from BX. */
static void memory(struct code *c, u32 reg, bool bits16)
{
	if (!pick(3)) {
		put(c, 1, 0x40 | reg << 3 | (bits16 ? 7 : 3));
		put(c, 1, pick(128));
	} else if (bits16) {
		put(c, 1, 0x06 | reg << 3);
		put(c, 2, data_offset());
	} else if (c->mode == PROT64) {
		put(c, 2, 0x2504 | reg << 3);
		put(c, 4, data_offset());
	} else {
		put(c, 1, 0x05 | reg << 3);
		put(c, 4, data_offset());
	}
}

enum { MEM = 1, REG = 2 };

/* An instruction with ModRM; `map2`: behind 0FH. */
static void modrm(struct code *c, u32 size, bool map2, u32 opcode, u32 reg,
		  u32 forms)
{
	bool in_memory = forms == (MEM | REG) ? pick(2) : forms == MEM;
	bool bits16 = is16(c);

	if (in_memory && !pick(6)) {
		put(c, 1, 0x67);
		bits16 = c->mode != PROT64 && !bits16;
	}
	if (in_memory && !pick(10))
		put(c, 1, pick(2) ? 0x36 : 0x3e);	/* SS, DS */
	opsize(c, size);
	if (size == 8)
		put(c, 1, 0x48);
	if (map2)
		put(c, 1, 0x0f);
	put(c, 1, opcode);
	if (in_memory)
		memory(c, reg, bits16);
	else
		put(c, 1, 0xc0 | reg << 3 |
			  (size == 1 ? byte_reg(c) : safe_reg()));
}

static void mov_imm(struct code *c, u32 reg, u32 value)
{
	put(c, 1, 0xb8 | reg);
	put(c, width(c), value);
}

#define CC_C	1u
#define CC_O	2u
#define CC_Z	4u
#define CC_S	8u

/* SETcc for one of the flags that are defined, and then CMP AL, AL. */
static void define_flags(struct code *c, u32 defined)
{
	static const u8 setcc[] = { 0x92, 0x90, 0x94, 0x98 };
	u32 i = pick(4);

	if (defined & 1u << i)
		modrm(c, 1, true, setcc[i], 0, MEM);
	PUTS(c, "\x38\xc0");
}

/* ---- instructions: data ------------------------------------------------- */

static void i_alu(struct code *c)
{
	u32 size = random_size(c), op = pick(8), to_reg = 2 * pick(2);
	u32 reg = size == 1 ? byte_reg(c) : safe_reg();

	modrm(c, size, false, op << 3 | to_reg | (size != 1), reg, MEM | REG);
	if (op == 1 || op == 4 || op == 6)	/* AF of OR, AND, XOR */
		define_flags(c, CC_C | CC_O | CC_Z | CC_S);
}

static void i_alu_imm(struct code *c)
{
	static const u8 ops[] = { 0, 2, 3, 5, 7 };
	u32 size = random_size(c), op = ops[pick(5)];

	if (size == 1 || pick(2)) {
		modrm(c, size, false, size == 1 ? 0x80 : 0x83, op, MEM | REG);
		put(c, 1, random32());
	} else {
		modrm(c, size, false, 0x81, op, MEM | REG);
		put(c, size > 4 ? 4 : size, random32());
	}
}

static void i_shift(struct code *c)
{
	static const u8 ops[] = { 0, 1, 2, 3, 4, 5, 7 };
	u32 size = random_size(c), op = ops[pick(7)], kind = pick(3);

	if (kind == 2) {
		put(c, 1, 0xb1);		/* MOV CL */
		put(c, 1, pick(8));
	}
	modrm(c, size, false, (kind == 0 ? 0xc0 : kind == 1 ? 0xd0 : 0xd2) |
	      (size != 1), op, MEM);
	if (kind == 0)
		put(c, 1, 1 + pick(7));
	define_flags(c, CC_C | (op > 3 ? CC_Z | CC_S : 0));
}

static void i_unary(struct code *c)
{
	u32 size = random_size(c);

	if (pick(2))
		modrm(c, size, false, 0xf6 | (size != 1), 2 + pick(2),
		      MEM | REG);
	else
		modrm(c, size, false, 0xfe | (size != 1), pick(2), MEM | REG);
}

static void i_mul(struct code *c)
{
	u32 size = random_size(c);

	modrm(c, size, false, 0xf6 | (size != 1), 4 + pick(2), MEM | REG);
	define_flags(c, CC_C | CC_O);
}

static void i_imul(struct code *c)
{
	u32 size = wide_size(c);

	switch (pick(3)) {
	case 0:
		modrm(c, size, true, 0xaf, safe_reg(), MEM | REG);
		break;
	case 1:
		modrm(c, size, false, 0x6b, safe_reg(), MEM | REG);
		put(c, 1, random32());
		break;
	default:
		modrm(c, size, false, 0x69, safe_reg(), MEM | REG);
		put(c, size > 4 ? 4 : size, random32());
	}
	define_flags(c, CC_C | CC_O);
}

/* Now and then the quotient does not fit. */
static void i_div(struct code *c)
{
	u32 size = random_size(c);

	if (pick(12))
		PUTS(c, "\x31\xd2\x98");	/* XOR DX, DX; CBW */
	if (pick(12))
		PUTS(c, "\xb4\x00");		/* MOV AH, 0 */
	put(c, 1, 0xb9);
	put(c, width(c), random32() | 0x8080);
	opsize(c, size);
	if (size == 8)
		put(c, 1, 0x48);
	put(c, 1, 0xf6 | (size != 1));
	put(c, 1, 0xf1 | pick(2) << 3);
	define_flags(c, 0);
}

static void i_bcd(struct code *c)
{
	static const u8 ops[] = { 0x27, 0x2f, 0x37, 0x3f, 0xd4, 0xd5 };
	u32 i = pick(6);

	put(c, 1, ops[i]);
	if (i >= 4)
		put(c, 1, pick(20) ? 10 : pick(256));
	define_flags(c, i < 4 ? CC_C : CC_Z | CC_S);
}

static void i_mov(struct code *c)
{
	u32 size = random_size(c);

	switch (pick(4)) {
	case 0:
		modrm(c, size, false, 0xc6 | (size != 1), 0, MEM | REG);
		put(c, size > 4 ? 4 : size, random32());
		break;
	case 1:
		modrm(c, size, false, 0x86 | (size != 1),
		      size == 1 ? byte_reg(c) : safe_reg(), MEM | REG);
		break;
	default:
		modrm(c, size, false, 0x88 | 2 * pick(2) | (size != 1),
		      size == 1 ? byte_reg(c) : safe_reg(), MEM | REG);
	}
}

static void i_extend(struct code *c)
{
	static const u8 ops[] = { 0xb6, 0xb7, 0xbe, 0xbf };

	switch (pick(3)) {
	case 0:
		modrm(c, wide_size(c), true, ops[pick(4)], safe_reg(), MEM);
		break;
	case 1:
		modrm(c, wide_size(c), false, 0x8d, safe_reg(), MEM);
		break;
	default:
		opsize(c, 2 << pick(2));
		put(c, 1, 0x98 + pick(2));	/* CBW, CWD and wider */
	}
}

static void i_conditional(struct code *c)
{
	if (pick(2))
		modrm(c, 1, true, 0x90 + pick(16), 0, MEM | REG);
	else
		modrm(c, wide_size(c), true, 0x40 + pick(16), safe_reg(),
		      MEM | REG);
}

static void i_bits(struct code *c)
{
	static const u8 by_reg[] = { 0xa3, 0xab, 0xb3, 0xbb };
	u32 size = wide_size(c);

	switch (pick(3)) {
	case 0:
		modrm(c, size, true, 0xba, 4 + pick(4), MEM | REG);
		put(c, 1, random32());
		define_flags(c, CC_C);
		break;
	case 1:
		modrm(c, size, true, by_reg[pick(4)], safe_reg(), REG);
		define_flags(c, CC_C);
		break;
	default:
		PUTS(c, "\x80\x0f\x10");	/* OR [BX], 10H */
		if (!is16(c))
			c->bytes[c->len - 2] = 0x0b;
		opsize(c, size);
		if (size == 8)
			put(c, 1, 0x48);
		put(c, 2, 0xbc0f + (pick(2) << 8));
		put(c, 1, (is16(c) ? 7 : 3) | safe_reg() << 3);
		define_flags(c, CC_Z);
	}
}

static void i_double_shift(struct code *c)
{
	modrm(c, wide_size(c), true, pick(2) ? 0xa4 : 0xac, safe_reg(),
	      MEM | REG);
	put(c, 1, 1 + pick(7));
	define_flags(c, CC_C | CC_Z | CC_S);
}

static void i_exchange(struct code *c)
{
	u32 size = random_size(c), reg = size == 1 ? byte_reg(c) : safe_reg();

	if (!pick(2))
		put(c, 1, 0xf0);		/* LOCK */
	switch (pick(3)) {
	case 0:
		modrm(c, size, true, 0xb0 | (size != 1), reg, MEM);
		break;
	case 1:
		modrm(c, size, true, 0xc0 | (size != 1), reg, MEM);
		break;
	default:
		modrm(c, 0, true, 0xc7, 1, MEM);	/* CMPXCHG8B */
		PUTS(c, "\xbb");			/* EBX it may not name */
		put(c, width(c), BX_VALUE);
	}
}

static void i_flags(struct code *c)
{
	static const u8 ops[] = { 0xf5, 0xf8, 0xf9, 0x9f, 0x9e, 0xd7, 0x90,
				  0xfc, 0xfd, 0xfa, 0xfb };

	put(c, 1, ops[pick(sizeof(ops))]);
}

/* ---- instructions: stack and control transfer --------------------------- */

static u32 push_size(const struct code *c)
{
	if (c->mode == PROT64)
		return pick(2) ? 2 : 8;
	return pick(2) ? 2 : 4;
}

static void i_push_pop(struct code *c)
{
	opsize(c, push_size(c));
	put(c, 1, 0x50 | safe_reg());
	opsize(c, push_size(c));
	put(c, 1, pick(3) ? 0x58 | safe_reg() : 0x50 | safe_reg());
}

static void i_pusha_popa(struct code *c)
{
	u32 size = 2 << pick(2);

	opsize(c, size);
	put(c, 1, 0x60);
	if (pick(2)) {
		opsize(c, size);
		put(c, 1, 0x61);
	}
}

/* Not TF and NT: they would end the sequence. */
static void i_pushf_popf(struct code *c)
{
	if (pick(2)) {
		put(c, 1, 0x68);
		put(c, width(c), random32() & 0x3ed7);
		put(c, 1, 0x9d);
	}
	opsize(c, push_size(c));
	put(c, 1, 0x9c);
}

static void i_enter_leave(struct code *c)
{
	if (c->mode == PROT64)
		put(c, 1, 0x48);
	PUTS(c, "\x89\xe5");		/* MOV BP, SP */
	opsize(c, c->mode == PROT64 ? 8 : 2 << pick(2));
	put(c, 1, 0xc8);
	put(c, 2, pick(64));
	put(c, 1, pick(4));
	if (pick(2))
		put(c, 1, 0xc9);
}

/* CALL over a piece that it comes to; RET leads behind it. */
static void i_call(struct code *c)
{
	put(c, 1, 0xe8);
	put(c, width(c), 2);
	PUTS(c, "\xeb\x03");
	PUTS(c, "\x89\xc2\xc3");	/* MOV DX, AX; RET */
}

static void put_target(struct code *c, u32 back)
{
	put(c, width(c), ip_of(c, c->len + width(c) + back));
}

static void i_far_jump(struct code *c)
{
	put(c, 1, 0xea);
	put_target(c, 2);
	put(c, 2, cs_of(c));
}

static void i_far_call(struct code *c)
{
	put(c, 1, 0x9a);
	put_target(c, 4);
	put(c, 2, cs_of(c));
	PUTS(c, "\xeb\x03");
	PUTS(c, "\x89\xc2\xcb");
}

/* To itself again by RETF, in real mode by another name for the place. */
static void i_far_return(struct code *c)
{
	u32 shift = c->mode & (REAL | VM86) ? pick(16) : 0;
	u32 at;

	put(c, 1, 0x68);
	put(c, width(c), cs_of(c) - shift);
	put(c, 1, 0x68);
	at = c->len;
	put(c, width(c), 0);
	if (c->mode == PROT64)
		put(c, 1, 0x48);
	put(c, 1, 0xcb);
	memcpy(c->bytes + at, &(u32){ ip_of(c, c->len) + shift * 16 },
	       width(c));
	if (shift)
		i_far_jump(c);
}

static void i_iret(struct code *c)
{
	u32 at;

	if (c->mode == PROT64)
		PUTS(c, "\x48\x89\xe0\x6a\x10\x50");	/* SS:RSP */
	put(c, 1, 0x9c);
	put(c, 1, 0x68);
	put(c, width(c), cs_of(c));
	put(c, 1, 0x68);
	at = c->len;
	put(c, width(c), 0);
	if (c->mode == PROT64)
		put(c, 1, 0x48);
	put(c, 1, 0xcf);
	memcpy(c->bytes + at, &(u32){ ip_of(c, c->len) }, width(c));
}

static void i_int(struct code *c)
{
	PUTS(c, "\xcd\x60");
}

static void i_exception(struct code *c)
{
	switch (pick(12)) {
	case 0:
		put(c, 1, 0xcc);
		break;
	case 1:
		PUTS(c, "\x0f\x0b");
		break;
	case 2:
		PUTS(c, "\xcd\x61");
		break;
	default:
		if (c->mode != PROT64)
			put(c, 1, 0xce);	/* INTO */
	}
}

/* Conditional jumps over one byte. */
static void i_jump(struct code *c)
{
	if (pick(3)) {
		put(c, 1, pick(3) ? 0x70 + pick(16) : 0xe0 + pick(4));
		put(c, 1, 2);
	} else {
		put(c, 2, 0x800f + (pick(16) << 8));
		put(c, width(c), 2);
	}
	PUTS(c, "\x89\xc6");			/* MOV SI, AX */
}

static void i_loop(struct code *c)
{
	mov_imm(c, 1, 1 + pick(5));
	PUTS(c, "\x01\xca");			/* ADD DX, CX */
	put(c, 1, 0xe2);
	put(c, 1, -4);
}

/* No overlap: Bochs copies byte by byte what overlaps by less than an item. */
static void i_string(struct code *c)
{
	static const u8 ops[] = { 0xa4, 0xa6, 0xaa, 0xac, 0xae };
	u32 op = ops[pick(5)], size = random_size(c);

	mov_imm(c, 6, DATA + 0x600 + pick(64));
	mov_imm(c, 7, DATA + 0xa00 + pick(64));
	mov_imm(c, 1, pick(30));
	put(c, 1, 0xfc + pick(2));		/* CLD, STD */
	if (pick(4))
		put(c, 1, 0xf2 + pick(2));
	opsize(c, size);
	if (size == 8)
		put(c, 1, 0x48);
	put(c, 1, op | (size != 1));
}

/* ---- instructions: segments, ports, system ------------------------------ */

static void i_segment(struct code *c)
{
	static const u16 protected[] = { SEL_DATA, SEL_DATA16, SEL_UDATA, 0,
					 SEL_CODE32, SEL_DATA, SEL_DATA16 };
	static const u16 real[] = { 0, 0x10, 0x800, 0x880 };
	u32 seg = pick(2) ? 0 : 4;		/* ES, FS */
	u32 value = c->mode & PROT ? protected[pick(7)] : real[pick(4)];

	if (!pick(30))
		value = 0x7ff8;			/* beyond the table */
	if (!pick(30))
		value = SEL_TSS32;		/* not a segment */
	if (!(c->mode & PROT) && value > 0x1000)
		value = 0;
	mov_imm(c, 0, value);
	put(c, 1, 0x8e);
	put(c, 1, 0xc0 | seg << 3);
	modrm(c, 2, false, 0x8c, pick(5), MEM);
	put(c, 1, seg ? 0x64 : 0x26);
	modrm(c, 4, false, 0x8b, safe_reg(), MEM);
}

static void i_segment_stack(struct code *c)
{
	if (pick(2))
		PUTS(c, "\x0f\xa0\x0f\xa1");	/* PUSH FS; POP FS */
	else if (c->mode == PROT64)
		PUTS(c, "\x8c\xd0\x8e\xd0");	/* MOV to SS */
	else
		PUTS(c, "\x16\x17");		/* PUSH SS; POP SS */
}

static void i_far_pointer(struct code *c)
{
	modrm(c, 2 << pick(2), true, 0xb4, safe_reg(), MEM);	/* LFS */
}

static void i_port(struct code *c)
{
	switch (pick(4)) {
	case 0:
		put(c, 1, 0xe4 + pick(2));	/* IN */
		put(c, 1, 0x40 + pick(16));
		break;
	case 1:
		put(c, 1, 0xe6 + pick(2));	/* OUT */
		put(c, 1, 0x40 + pick(16));
		break;
	case 2:
		opsize(c, 2);
		put(c, 1, 0xba);
		put(c, 2, 0x3c0 + pick(8));
		put(c, 1, 0xec + pick(4));
		break;
	default:
		mov_imm(c, 6, DATA + 0x300);
		mov_imm(c, 7, DATA + 0x500);
		mov_imm(c, 1, pick(9));
		mov_imm(c, 2, 0x3c0);
		put(c, 1, 0xfc);
		put(c, 1, 0xf3);
		put(c, 1, 0x6c + pick(4));
	}
}

static void i_control_register(struct code *c)
{
	switch (pick(5)) {
	case 0:
		PUTS(c, "\x0f\x20\xc0\x34\x0e");	/* MP, EM, TS */
		PUTS(c, "\x0f\x22\xc0\x0f\x06");	/* and CLTS */
		break;
	case 1:
		PUTS(c, "\x0f\x20\xe0\x34\x84");	/* TSD and PGE */
		PUTS(c, "\x0f\x22\xe0\x0f\x20\xe1");
		break;
	case 2:
		PUTS(c, "\x0f\x22\xd0\x0f\x20\xd2");	/* CR2 */
		break;
	case 3:
		PUTS(c, "\x0f\x01\xe0\x0c\x02\x0f\x01\xf0");	/* LMSW */
		break;
	default:
		PUTS(c, "\x0f\x20\xd9\x0f\x22\xd9");	/* CR3 */
	}
}

static void i_debug_register(struct code *c)
{
	u32 dr = pick(4);

	if (c->mode == PROT64)
		PUTS(c, "\x89\xc0");		/* only 32 bits are valid */
	put(c, 2, 0x230f);
	put(c, 1, 0xc0 | dr << 3);
	put(c, 2, 0x210f);
	put(c, 1, 0xc1 | dr << 3);
}

#define MSR_SYSENTER_ESP	0x175

static void i_msr(struct code *c)
{
	PUTS(c, "\x31\xd2");
	mov_imm(c, 1, MSR_SYSENTER_ESP);
	PUTS(c, "\x0f\x30\x31\xc0\x0f\x32");
}

static void i_inspect(struct code *c)
{
	switch (pick(5)) {
	case 0:
		PUTS(c, "\x31\xc0\x0f\xa2");	/* CPUID, which writes BX */
		put(c, 1, 0xbb);
		put(c, width(c), BX_VALUE);
		break;
	case 1:
		modrm(c, 0, true, 0x01, 0, MEM);	/* SGDT */
		break;
	case 2:
		modrm(c, 2, true, 0x01, 4, MEM | REG);	/* SMSW */
		break;
	case 3:
		modrm(c, 0, true, 0x01, 7, MEM);	/* INVLPG */
		break;
	default:
		PUTS(c, "\x0f\x09");			/* WBINVD */
	}
}

/* Integers, so that no rounding differs; the state begins anew. */
static void i_x87(struct code *c)
{
	static const u16 ops[] = { 0xc1d8, 0xc9d8, 0xe1d8, 0xe0d9, 0xe8d9,
				   0xc9d9, 0xf1db, 0xc1de, 0xe9db, 0xc1da };
	u32 i;

	PUTS(c, "\xdb\xe3\xd9\xe8");		/* FNINIT; FLD1 */
	modrm(c, 0, false, 0xdb, 0, MEM);		/* FILD m32 */
	for (i = pick(4); i; i--)
		put(c, 2, ops[pick(ARRAY_SIZE(ops))]);
	modrm(c, 0, false, pick(2) ? 0xdb : 0xdf, pick(2) ? 3 : 2, MEM);
	PUTS(c, "\xdf\xe0");				/* FNSTSW AX */
	modrm(c, 0, false, 0xd9, 7, MEM);		/* FNSTCW */
}

/* The operand at an offset that is known; `reg` as in ModRM. */
static void at_offset(struct code *c, u32 reg, u32 offset)
{
	if (is16(c)) {
		put(c, 1, 0x06 | reg << 3);
		put(c, 2, offset);
	} else if (c->mode == PROT64) {
		put(c, 2, 0x2504 | reg << 3);
		put(c, 4, offset);
	} else {
		put(c, 1, 0x05 | reg << 3);
		put(c, 4, offset);
	}
}

static void store_word(struct code *c, u32 size, u32 offset, u32 value)
{
	opsize(c, size);
	put(c, 1, 0xc7);
	at_offset(c, 0, offset);
	put(c, size, value);
}

/*
 * FLDENV or FRSTOR of what lies there, no exception unmasked, and FNSTENV or
 * FNSAVE to another place: what was loaded, in the form of the mode.
 */
static void i_x87_image(struct code *c)
{
	u32 from = data_offset(), to = data_offset();
	u32 opcode = 0xd9 + 4 * pick(2), size = 2 << pick(2);

	PUTS(c, "\xdb\xe3");			/* FNINIT */
	store_word(c, 2, from, 0x3f | pick(16) << 8);
	opsize(c, size);
	put(c, 1, opcode);
	at_offset(c, 4, from);
	if (!pick(4))
		PUTS(c, "\x0f\x77");		/* EMMS */
	opsize(c, size);
	put(c, 1, opcode);
	at_offset(c, 6, to);
}

#define FX_MXCSR	24
#define FX_XMM		160

static void i_fxsave(struct code *c)
{
	u32 first = data_offset() & ~15u, second = data_offset() & ~15u;

	PUTS(c, "\xdb\xe3\x0f\xae");
	at_offset(c, 0, first);
	store_word(c, 4, first + FX_MXCSR, 0x1f80 | pick(4) << 13);
	store_word(c, 4, first + FX_XMM + pick(32) * 4, random32());
	PUTS(c, "\x0f\xae");			/* FXRSTOR, FXSAVE */
	at_offset(c, 1, first);
	PUTS(c, "\x0f\xae");
	at_offset(c, 0, second);
	store_word(c, 4, first, 0x1f80 | pick(64));
	PUTS(c, "\x0f\xae");			/* LDMXCSR, STMXCSR */
	at_offset(c, 2, first);
	PUTS(c, "\x0f\xae");
	at_offset(c, 3, second);
}

static void write_msr(struct code *c, u32 index, u32 low, u32 high)
{
	mov_imm(c, 0, low);
	mov_imm(c, 2, high);
	mov_imm(c, 1, index);
	PUTS(c, "\x0f\x30");
}

#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_EIP	0x176
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_FMASK		0xc0000084

/* To the instruction behind it, on a stack that is then changed back. */
static void i_fast_call(struct code *c)
{
	bool syscall = c->mode == PROT64 && pick(2);
	u32 at;

	write_msr(c, syscall ? MSR_LSTAR : MSR_SYSENTER_EIP, 0, 0);
	at = c->len - 3 * (1 + width(c)) - 2 + 1;
	if (syscall) {
		write_msr(c, MSR_STAR, 0, cs_of(c));
		write_msr(c, MSR_FMASK, random32() | 0x700, 0);
		mov_imm(c, 1, MSR_EFER);
		PUTS(c, "\x0f\x32\x83\xc8\x01\x0f\x30\x0f\x05");
	} else {
		write_msr(c, MSR_SYSENTER_CS, cs_of(c), 0);
		write_msr(c, MSR_SYSENTER_ESP, 0x8f000, 0);
		PUTS(c, "\x0f\x34");
	}
	memcpy(c->bytes + at, &(u32){ ip_of(c, c->len) }, 4);
	mov_imm(c, 0, SEL_DATA);
	PUTS(c, "\x8e\xd0");
}

/* STAC, PUSHF and POP, CLAC. */
static void i_ac(struct code *c)
{
	if (!cpu_has(7, 1, 20))
		return;
	PUTS(c, "\x0f\x01\xcb\x9c\x58\x0f\x01\xca");
}

static void i_selectors(struct code *c)
{
	static const u16 values[] = { SEL_DATA, SEL_UDATA, SEL_CODE16,
				      SEL_TSS32, SEL_CODE64, 0, 0x7ff8 };

	mov_imm(c, 0, values[pick(7)]);
	switch (pick(6)) {
	case 0:
		PUTS(c, "\x0f\x02\xd0");	/* LAR */
		break;
	case 1:
		PUTS(c, "\x0f\x03\xd0");	/* LSL */
		break;
	case 2:
		PUTS(c, "\x0f\x00\xe0");	/* VERR */
		break;
	case 3:
		PUTS(c, "\x0f\x00\xe8");	/* VERW */
		break;
	case 4:
		modrm(c, 2, true, 0x00, pick(2), MEM);	/* SLDT, STR */
		break;
	default:
		if (c->mode != PROT64)
			modrm(c, 2, false, 0x63, 0, MEM | REG);	/* ARPL */
	}
}

static const struct {
	void (*emit)(struct code *c);
	u32 modes;
} kinds[] = {
	{ i_alu, ANY }, { i_alu_imm, ANY }, { i_shift, ANY },
	{ i_unary, ANY }, { i_mul, ANY }, { i_imul, ANY }, { i_div, ANY },
	{ i_bcd, NOT64 }, { i_mov, ANY }, { i_extend, ANY },
	{ i_conditional, ANY }, { i_bits, ANY }, { i_double_shift, ANY },
	{ i_exchange, ANY }, { i_flags, ANY }, { i_push_pop, ANY },
	{ i_pusha_popa, NOT64 }, { i_pushf_popf, ANY },
	{ i_enter_leave, ANY }, { i_call, ANY }, { i_far_jump, NOT64 },
	{ i_far_call, NOT64 }, { i_far_return, ANY }, { i_iret, ANY },
	{ i_int, SYSTEM }, { i_exception, ANY }, { i_jump, ANY },
	{ i_loop, ANY }, { i_string, ANY }, { i_segment, ANY },
	{ i_segment_stack, ANY }, { i_far_pointer, REAL | VM86 },
	{ i_port, SYSTEM }, { i_control_register, SYSTEM },
	{ i_debug_register, SYSTEM }, { i_msr, SYSTEM },
	{ i_inspect, SYSTEM }, { i_x87, ANY }, { i_x87_image, ANY },
	{ i_fxsave, ANY }, { i_fast_call, PROT32 | PROT64 }, { i_ac, SYSTEM },
	{ i_selectors, PROT },
};

static void generate(struct code *c, u32 mode)
{
	memset(c, 0, sizeof(*c));
	c->mode = mode;
	while (c->nr < MAX_INSNS) {
		u32 kind = pick(ARRAY_SIZE(kinds));

		if (!(kinds[kind].modes & mode))
			continue;
		c->start[c->nr++] = c->len;
		kinds[kind].emit(c);
	}
	c->start[c->nr] = c->len;
}

/* ---- running ------------------------------------------------------------ */

/* All that a sequence can write to. */
static const struct { u32 from, to; } areas[] = {
	{ DATA, DATA + 0x2000 }, { 0x10000, 0x12000 },
	{ 0x80000 + DATA, 0x80000 + DATA + 0x2000 }, { 0x8e000, 0x94000 },
};
#define AREAS_SIZE	0xc000

struct outcome {
	int stop;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	u64 ports;			/* a sum of what went through them */
	u8 memory[AREAS_SIZE];
};

struct machine {
	struct vcpu *v;
	u32 mode;
	struct kvm_sregs sregs[2];	/* natural, and refused by hardware */
	struct kvm_regs regs;
	u8 memory[AREAS_SIZE];
	struct outcome outcome[2];
};

static void copy_areas(struct vm *vm, u8 *memory, bool in)
{
	u32 i, size;

	for (i = 0; i < ARRAY_SIZE(areas); i++, memory += size) {
		size = areas[i].to - areas[i].from;
		if (in)
			memcpy(vm->ram + areas[i].from, memory, size);
		else
			memcpy(memory, vm->ram + areas[i].from, size);
	}
}

static u64 add_to(u64 sum, const void *data, size_t n)
{
	const u8 *p = data;

	for (; n; n--)
		sum = (sum ^ *p++) * 0x100000001b3ull;
	return sum;
}

static void serve_port(struct vcpu *v, u64 *sum)
{
	u32 i, n = v->run->io.size * v->run->io.count;
	u8 *data = io_data(v);

	if (v->run->io.direction == KVM_EXIT_IO_IN)
		for (i = 0; i < n; i++)
			data[i] = (*sum >> i % 8 * 8) + i;
	*sum = add_to(*sum, &v->run->io.port, 2);
	*sum = add_to(*sum, data, n);
}

/* Of a register that holds nothing, the rest says nothing. */
static void mask_segment(struct kvm_segment *s)
{
	if (s->unusable)
		*s = (struct kvm_segment) { .selector = s->selector };
}

/* What differs on purpose, and what only the host can see. */
static void mask_sregs(struct kvm_sregs *s)
{
	mask_segment(&s->ds);
	mask_segment(&s->es);
	mask_segment(&s->fs);
	mask_segment(&s->ss);
	memset(&s->gs, 0, sizeof(s->gs));
	memset(&s->idt, 0, sizeof(s->idt));
	memset(s->interrupt_bitmap, 0, sizeof(s->interrupt_bitmap));
	s->apic_base = 0;
}

static void run(struct machine *m, int how)
{
	struct outcome *o = &m->outcome[how];
	struct kvm_debugregs none = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };
	struct vcpu *v = m->v;

	memset(o, 0, sizeof(*o));
	WORKS(ioctl(v->fd, KVM_SET_FPU, &fpu));
	copy_areas(v->vm, m->memory, true);
	set_sregs(v, &m->sregs[how]);
	set_regs(v, &m->regs);
	WORKS(ioctl(v->fd, KVM_SET_DEBUGREGS, &none));
	do {
		o->stop = vcpu_go(v);
		if (o->stop == KVM_EXIT_IO)
			serve_port(v, &o->ports);
	} while (o->stop == KVM_EXIT_IO);
	get_regs(v, &o->regs);
	get_sregs(v, &o->sregs);
	o->regs.rflags &= ~(u64)FLAG_RF;
	mask_sregs(&o->sregs);
	copy_areas(v->vm, o->memory, false);
}

/* With a HLT behind the first `nr` instructions. */
static void load(struct machine *m, const struct code *c, u32 nr)
{
	memcpy(m->v->vm->ram + AT_CODE, c->bytes, c->start[nr]);
	m->v->vm->ram[AT_CODE + c->start[nr]] = 0xf4;
}

static const char *difference(const struct machine *m)
{
	const struct outcome *a = &m->outcome[0], *b = &m->outcome[1];

	if (a->stop != b->stop)
		return "end";
	if (memcmp(&a->regs, &b->regs, sizeof(a->regs)))
		return "registers";
	if (memcmp(&a->sregs, &b->sregs, sizeof(a->sregs)))
		return "system registers";
	if (a->ports != b->ports)
		return "ports";
	return memcmp(a->memory, b->memory, AREAS_SIZE) ? "memory" : NULL;
}

static const char *run_both(struct machine *m, const struct code *c, u32 nr)
{
	load(m, c, nr);
	run(m, 0);
	run(m, 1);
	return difference(m);
}

static void show_words(const char *what, const void *a, const void *b, u32 n)
{
	const u64 *x = a, *y = b;
	u32 i;

	for (i = 0; i < n / 8; i++)
		if (x[i] != y[i])
			note("%s +%u: 0x%llx and 0x%llx", what, i * 8, x[i],
			     y[i]);
}

static void show_difference(const struct machine *m)
{
	const struct outcome *a = &m->outcome[0], *b = &m->outcome[1];

	note("%s and %s", exit_name(a->stop), exit_name(b->stop));
	show_words("regs", &a->regs, &b->regs, sizeof(a->regs));
	show_words("sregs", &a->sregs, &b->sregs, sizeof(a->sregs));
	show_words("memory", a->memory, b->memory, AREAS_SIZE);
}

/* The shortest beginning that differs ends with the culprit. */
static void report(struct machine *m, const struct code *c, u32 sequence)
{
	const char *what = difference(m);
	char text[160] = "";
	u32 nr, i, n = 0;

	show_difference(m);
	for (nr = 1; nr < c->nr; nr++)
		if (run_both(m, c, nr))
			break;
	if (nr == c->nr && !run_both(m, c, nr))
		fail("sequence %u: %s; not the next time", sequence, what);
	for (i = c->start[nr - 1]; i < c->start[nr] && n < 150; i++)
		n += sprintf(text + n, " %02x", c->bytes[i]);
	if (nr < c->nr)
		show_difference(m);
	fail("sequence %u: %s; instruction %u,%s", sequence, what, nr - 1, text);
}

static void randomise(struct machine *m)
{
	u64 *regs = &m->regs.rax;
	u32 i;

	for (i = 0; i < 16; i++)
		regs[i] = m->mode == PROT64 ? (u64)random32() << 32 : 0;
	for (i = 0; i < 16; i++)
		regs[i] |= random32();
	m->regs.rbx = BX_VALUE;
	m->regs.rsp = m->mode & (REAL | VM86) ? 0xf000 :
		      m->mode == PROT16 ? DATA + 0x1f00 : 0x8f000;
	m->regs.rip = m->mode & (REAL | VM86) ? 0 : AT_CODE;
	m->regs.rflags = FLAG_FIXED | (random32() & 0xcd5);
	if (m->mode & VM86)
		m->regs.rflags |= BIT(17) | 3 << 12;
	for (i = 0; i < AREAS_SIZE; i += 4)
		memcpy(m->memory + i, &(u32){ random32() }, 4);
}

static void sequences(struct machine *m)
{
	static struct code c;
	u64 sum = 14695981039346656037ull;
	u32 i, at_end = 0;

	random_state = 88172645463325252ull + m->mode;
	m->sregs[0].cr4 |= CR4_OSFXSR;
	m->sregs[1].cr4 |= CR4_OSFXSR;
	for (i = 0; i < SEQUENCES; i++) {
		const struct outcome *o = m->outcome;

		generate(&c, m->mode);
		randomise(m);
		if (run_both(m, &c, c.nr))
			report(m, &c, i);
		at_end += o->stop == KVM_EXIT_HLT;
		sum = add_to(sum, &o->stop, sizeof(o->stop));
		sum = add_to(sum, &o->regs, sizeof(o->regs));
		sum = add_to(sum, &o->ports, sizeof(o->ports));
		sum = add_to(sum, o->memory, AREAS_SIZE);
	}
	note("sum %016llx, %u of %u sequences came to their end", sum, at_end,
	     SEQUENCES);
	vm_free(m->v->vm);
	free(m);
}

/* ---- the modes ---------------------------------------------------------- */

static struct machine *machine(u32 mode)
{
	struct machine *m = calloc(1, sizeof(*m));
	const bool wide = mode == PROT64;
	struct vm *vm = vm_new();
	u32 gate = wide ? SEL_CODE64 : SEL_CODE32, i, at;

	m->mode = mode;
	m->v = vcpu_new(vm, 0);
	/* INC DX; IRET, or IRETQ */
	memcpy(vm->ram + AT_HANDLER, wide ? "\xff\xc2\x48\xcf" : "\xff\xc2\xcf",
	       wide ? 4 : 3);
	RAM(vm, G_IVT + 0x60 * 4, u32) = AT_HANDLER;
	RAM(vm, G_IDT32 + 0x60 * 8, u64) =
		AT_HANDLER | gate << 16 | 0x8e00ull << 32;
	/* The stubs for 32-bit code are good for 64-bit code too. */
	for (i = 0; i < 256 && wide; i++) {
		at = AT_IDT64 + i * 16;
		RAM(vm, at, u64) = RAM(vm, G_IDT32 + i * 8, u64);
		RAM(vm, at + 2, u16) = SEL_CODE64;
	}
	return m;
}

/* A segment register that only an unrestricted guest can have. */
static void refuse(struct machine *m)
{
	get_sregs(m->v, &m->sregs[0]);
	m->sregs[1] = m->sregs[0];
	m->sregs[1].gs.selector |= 3;
}

/*
 * The kernel's own emulates only what guests do on their way in and out, and
 * INT n that faults on its way may leave RF in the frame.
 */
static void need_emulator(void)
{
	if (kvm_in_tree())
		skip("the kernel's own does not emulate so much");
}

TEST(real_mode)
{
	struct machine *m = machine(REAL);

	need_emulator();
	vcpu_real(m->v, AT_CODE);
	get_sregs(m->v, &m->sregs[0]);
	m->sregs[1] = m->sregs[0];
	m->sregs[1].gs.base = 0x12345;
	sequences(m);
}

TEST(protected_16_bit)
{
	struct machine *m = machine(PROT16);

	need_emulator();
	vcpu_prot16(m->v, 0);
	refuse(m);
	sequences(m);
}

TEST(protected_32_bit)
{
	struct machine *m = machine(PROT32);

	need_emulator();
	vcpu_prot32(m->v, AT_CODE, PAGING_PAE);
	refuse(m);
	sequences(m);
}

TEST(protected_64_bit)
{
	struct machine *m = machine(PROT64);

	need_emulator();
	vcpu_compat(m->v, AT_CODE);
	refuse(m);
	m->sregs[0].cs.selector = SEL_CODE64;
	m->sregs[0].cs.l = 1;
	m->sregs[0].cs.db = 0;
	m->sregs[0].idt.base = AT_IDT64;
	m->sregs[1].cs = m->sregs[0].cs;
	m->sregs[1].idt = m->sregs[0].idt;
	sequences(m);
}

static void vm86_segment(struct kvm_segment *s, u16 selector)
{
	*s = (struct kvm_segment) {
		.base = selector << 4, .limit = 0xffff, .selector = selector,
		.type = 3, .s = 1, .dpl = 3, .present = 1,
	};
}

/* Here no processor enters with such a base. */
TEST(virtual_8086)
{
	struct machine *m = machine(VM86);
	struct kvm_sregs *s = &m->sregs[0];

	need_emulator();
	vcpu_prot32(m->v, AT_CODE, PAGING_OFF);
	get_sregs(m->v, s);
	vm86_segment(&s->cs, AT_CODE >> 4);
	vm86_segment(&s->ss, 0x8000);
	vm86_segment(&s->ds, 0);
	s->es = s->fs = s->gs = s->ds;
	m->sregs[1] = *s;
	if (!kvm_uses("unrestricted_guest"))
		m->sregs[1].gs.base = 0x12345;
	sequences(m);
}
