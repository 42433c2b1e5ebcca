// SPDX-License-Identifier: GPL-2.0-only
/*
 * How KVM_RUN ends: HLT, immediate exit, signals, shutdown, entry failure,
 * instructions that cannot be emulated.
 */
#include <errno.h>
#include <string.h>

#include "guest.h"

static void g_hlt(void)
{
	hlt();
	guest_sync(7);
	hlt();
}

TEST(hlt_and_sync)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);

	vcpu_long(v, g_hlt);
	vcpu_until(v, KVM_EXIT_HLT);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 7);
	vcpu_until(v, KVM_EXIT_HLT);
	vcpu_done(v);
	vm_free(vm);
}

static void g_ud(void)
{
	G_EQ(TRY("ud2", NO_OUTS, "m"(trap)), VEC_UD);
	G_EQ(trap.count[VEC_UD], 1);
}

TEST(trap_ud)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);

	vcpu_long(v, g_ud);
	vcpu_done(v);
	vm_free(vm);
}

CODE(code_ud16, 16, "nop; ud2");

TEST(trap_ud_real)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct trap32 t;

	code_load(vm, G_CODE, code_ud16, code_ud16_end);
	vcpu_real(v, G_CODE);
	vcpu_until(v, STOP_TRAP);
	trap_get(v, &t);
	EQ(t.vector, VEC_UD);
	EQ(t.ip, 1);
	EQ(t.cs, G_CODE >> 4);
	vm_free(vm);
}
CODE(code_ud32, 32, "nop; ud2");

TEST(trap_ud_prot)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct trap32 t;
	int i;

	code_load(vm, G_CODE, code_ud32, code_ud32_end);
	for (i = PAGING_OFF; i <= PAGING_PAE; i++) {
		vcpu_prot32(v, G_CODE, i);
		vcpu_until(v, STOP_TRAP);
		trap_get(v, &t);
		EQ(t.vector, VEC_UD);
		EQ(t.ip, G_CODE + 1);
		EQ(t.cs, SEL_CODE32);
	}
	vm_free(vm);
}
