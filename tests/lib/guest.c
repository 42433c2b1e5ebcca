// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest half of the library: exceptions in 64-bit code and how a guest
 * reports to the host. Runs in the guest unless a comment says otherwise, so
 * it is compiled without vector registers and calls nothing of libc there.
 */
#include <string.h>

#include "guest.h"

struct trap_state trap;
struct guest_failure guest_failure;

#ifdef __x86_64__

#define STUB_STRIDE	16

extern const u8 trap_stubs64[];		/* guest_stubs.S */

/* Host: all gates are interrupt gates; NMI and #DF run on IST 1. */
void guest_idt64(struct vm *vm)
{
	u32 i;

	for (i = 0; i < 256; i++) {
		u64 at = (unsigned long)trap_stubs64 + i * STUB_STRIDE;
		u64 ist = i == VEC_DF || i == VEC_NMI;
		u64 dpl3 = i == VEC_BP || i == VEC_USER ? 0x60 : 0;

		RAM(vm, G_IDT64 + i * 16, u64) =
			(at & 0xffff) | SEL_CODE64 << 16 | ist << 32 |
			(0x8e | dpl3) << 40 | (at >> 16 & 0xffff) << 48;
		RAM(vm, G_IDT64 + i * 16 + 8, u64) = at >> 32;
	}
}

static bool is_exception(u64 vector)
{
	return vector < 32 && vector != VEC_NMI;
}

u64 user_rsp;				/* guest_user()'s stack, in guest_stubs.S */
extern const u8 user_back[];

static void leave_user(struct trap_frame *f)
{
	f->rip = (unsigned long)user_back;
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
	f->rsp = user_rsp;
}

void guest_trap(struct trap_frame *f)
{
	trap.vector = f->vector;
	trap.error = f->error;
	trap.rip = f->rip;
	trap.rflags = f->rflags;
	trap.cs = f->cs;
	trap.count[f->vector]++;
	if (f->vector == VEC_PF)
		trap.cr2 = read_cr2();
	if (f->vector == VEC_DB)
		trap.dr6 = read_dr6();
	if (f->vector == VEC_USER && (f->cs & 3)) {
		leave_user(f);
	} else if (trap.handler[f->vector]) {
		trap.handler[f->vector](f);
	} else if (is_exception(f->vector) && trap.resume) {
		f->rip = trap.resume;
		trap.resume = 0;
	} else if (is_exception(f->vector)) {
		guest_fail("(guest)", 0, NULL, f->vector, f->rip);
	}
}

void guest_cpuids(void)
{
	u32 regs[4];
	int i;

	for (;;) {
		for (i = 0; i < GUEST_CPUIDS; i++)
			cpuid(0, 0, regs);
		outb(PORT_SYNC, 0);
	}
}

#else

void guest_idt64(struct vm *vm)
{
	(void)vm;
}

#endif

void guest_done(void)
{
	for (;;)
		outb(PORT_DONE, 0);
}

void guest_fail(const char *file, int line, const char *what, u64 got,
		u64 want)
{
	guest_failure.file = file;
	guest_failure.line = line;
	guest_failure.what = what;
	guest_failure.got = got;
	guest_failure.want = want;
	for (;;)
		outb(PORT_FAIL, 0);
}

/* Host: tells what a guest's guest_fail() said. */
void guest_failed(struct vm *vm)
{
	struct guest_failure *g = &G(vm, guest_failure);
	struct trap_state *t = &G(vm, trap);

	if (!g->what)
		fail("exception %llu in the guest at rip 0x%llx, error 0x%llx, "
		     "cr2 0x%llx", g->got, g->want, t->error, t->cr2);
	fail_at(g->file, g->line, "in the guest: %s: got 0x%llx, "
		"expected 0x%llx", g->what, g->got, g->want);
}
