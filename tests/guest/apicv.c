// SPDX-License-Identifier: GPL-2.0-only
/*
 * APICv keeps its promise: interrupts without exits. SDM, "APIC Virtualization
 * and Virtual Interrupts". Counted is what debugfs says of all VMs; the host's
 * own interrupts make exits, too, but few.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "irqchip.h"

#define VEC	0x61

static void need_apicv(void)
{
	char text[8];

	if (!file_read("/sys/module/kvm/parameters/enable_apicv", text,
		       sizeof(text)) &&
	    !file_read("/sys/module/kvm_intel/parameters/enable_apicv", text,
		       sizeof(text)))
		skip("nobody says whether APICv is in use");
	if (*text != 'Y')
		skip("APICv is not in use");
}

static u64 exits(void)
{
	char text[24];

	if (!file_read("/sys/kernel/debug/kvm/exits", text, sizeof(text)))
		skip("exits are not counted");
	return strtoull(text, NULL, 10);
}

static u64 g_self_ipis(u64 n, u64 unused)
{
	(void)unused;
	sti();
	while (n--)
		if (guest_x2apic)
			apic_write(APIC_SELF_IPI, VEC);
		else
			apic_icr(0, ICR_SELF | VEC);
	cli();
	return this_cpu()->count[VEC];
}

/* Sent, taken, task priority read and written, ended. */
BOTH_MODES(own_interrupts)
{
	enum { N = 2000 };
	struct vcpu *v;
	u64 before;

	need_apicv();
	v = remote_vm(x2, 1)->vcpus[0];
	EQ(remote(v, g_self_ipis, 10, 0), 10);
	before = exits();
	EQ(remote(v, g_self_ipis, N, 0), N + 10);
	CHECK(exits() - before < N / 4);
	vm_free(v->vm);
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	WORKS(sched_setaffinity(0, sizeof(set), &set));
}

static u64 g_count(u64 want, u64 unused)
{
	struct percpu *p = this_cpu();

	(void)unused;
	sti();
	while (p->count[VEC] < want)
		;
	cli();
	return 0;
}

/* "Posted-Interrupt Processing": to a vCPU that is in the guest. */
BOTH_MODES(to_a_running_one)
{
	enum { N = 1000 };
	struct vcpu *v;
	pthread_t thread;
	u64 before;
	u32 i;

	need_apicv();
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip("takes two processors");
	v = remote_vm(x2, 1)->vcpus[0];
	run_on(1);			/* the thread inherits it */
	thread = remote_start(v, g_count, N, 0);
	run_on(0);
	before = exits();
	for (i = 0; i < N; i++) {
		WORKS(signal_msi(v->vm, APIC_DEFAULT_BASE, VEC));
		while (PERCPU(v).count[VEC] == i)
			asm volatile("pause");
	}
	CHECK(exits() - before < N / 4);
	remote_wait(v, thread);
	EQ(PERCPU(v).count[VEC], N);
	vm_free(v->vm);
}
