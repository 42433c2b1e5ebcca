// SPDX-License-Identifier: GPL-2.0-only
/*
 * How KVM_RUN ends: HLT, immediate exit, signals, shutdown, entry failure,
 * instructions that cannot be emulated.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "guest.h"

static void g_hlt(void)
{
	hlt();
	guest_sync(7);
	hlt();
}

TEST(hlt)
{
	struct vcpu *v = guest_start(g_hlt);
	u64 rip;

	vcpu_until(v, KVM_EXIT_HLT);
	rip = get_rip(v);
	EQ(RAM(v->vm, rip - 1, u8), 0xf4);	/* after the HLT */
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 7);
	vcpu_until(v, KVM_EXIT_HLT);
	vcpu_done(v);
	vm_free(v->vm);
}

CODE(code_hlt16, 16, "hlt; movb $5, %al; outb %al, $0xe1; hlt");
CODE(code_hlt32, 32, "hlt; movb $5, %al; outb %al, $0xe1; hlt");

static void hlt_from(struct vcpu *v)
{
	vcpu_until(v, KVM_EXIT_HLT);
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, 5);
	vcpu_until(v, KVM_EXIT_HLT);
}

TEST(hlt_in_every_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	int paging;

	code_load(vm, G_CODE, code_hlt16, code_hlt16_end);
	vcpu_real(v, G_CODE);
	hlt_from(v);
	vcpu_prot16(v, G_CODE);
	hlt_from(v);
	code_load(vm, G_CODE, code_hlt32, code_hlt32_end);
	for (paging = PAGING_OFF; paging <= PAGING_PAE; paging++) {
		vcpu_prot32(v, G_CODE, paging);
		hlt_from(v);
	}
	vcpu_compat(v, G_CODE);
	hlt_from(v);
	vm_free(vm);
}

static void g_spin(void)
{
	for (;;)
		asm volatile("pause");
}

TEST(immediate_exit)
{
	struct vcpu *v;

	need_cap(KVM_CAP_IMMEDIATE_EXIT);
	v = guest_start(g_spin);
	v->run->immediate_exit = 1;
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
	EQ(get_rip(v), (unsigned long)g_spin);
	vm_free(v->vm);
}

static void g_in(void)
{
	G_EQ(inl(0x10), 0x12345678);
}

/*
 * "The corresponding operations are complete only after userspace has
 * re-entered the kernel with KVM_RUN": with immediate_exit, that is all.
 */
TEST(immediate_exit_completes_io)
{
	struct vcpu *v;
	struct kvm_regs r;
	u32 value = 0x12345678;

	need_cap(KVM_CAP_IMMEDIATE_EXIT);
	v = guest_start(g_in);
	vcpu_until(v, KVM_EXIT_IO);
	memcpy(io_data(v), &value, 4);
	v->run->immediate_exit = 1;
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
	get_regs(v, &r);
	EQ(r.rax, value);
	v->run->immediate_exit = 0;
	vcpu_done(v);
	vm_free(v->vm);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void catch_alarm(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	WORKS(sigaction(SIGALRM, &sa, NULL));
}

static void alarm_in_ms(int ms)
{
	struct itimerval t = { .it_value = { .tv_usec = ms * 1000 } };

	WORKS(setitimer(ITIMER_REAL, &t, NULL));
}

TEST(signal_interrupts_run)
{
	struct vcpu *v = guest_start(g_spin);
	int i;

	catch_alarm();
	for (i = 0; i < 3; i++) {
		alarm_in_ms(20);
		FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
		EQ(v->run->exit_reason, KVM_EXIT_INTR);
	}
	vm_free(v->vm);
}

static u64 set_mask(struct vcpu *v, u64 mask)
{
	struct {
		struct kvm_signal_mask head;
		u64 set;
	} __attribute__((packed)) arg = { .head.len = 8, .set = mask };

	return ioctl(v->fd, KVM_SET_SIGNAL_MASK, &arg);
}

/*
 * The mask holds while KVM_RUN runs, in place of the thread's own: a signal
 * that the thread blocks and the mask lets through ends KVM_RUN with EINTR,
 * stays pending, and its handler does not run.
 */
static volatile int handled;

static void count_signal(int sig)
{
	(void)sig;
	handled++;
}

TEST(signal_mask)
{
	struct sigaction sa = { .sa_handler = count_signal };
	struct vcpu *v = guest_start(g_spin);
	sigset_t set, pending;

	WORKS(sigaction(SIGALRM, &sa, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	WORKS(sigprocmask(SIG_BLOCK, &set, NULL));
	EQ(set_mask(v, 0), 0);
	alarm_in_ms(20);
	FAILS(ioctl(v->fd, KVM_RUN, 0), EINTR);
	EQ(v->run->exit_reason, KVM_EXIT_INTR);
	EQ(handled, 0);
	WORKS(sigpending(&pending));
	CHECK(sigismember(&pending, SIGALRM));
	WORKS(sigprocmask(SIG_UNBLOCK, &set, NULL));
	EQ(handled, 1);
	vm_free(v->vm);
}

static void g_count_loop(void)
{
	u64 i;

	for (i = 0; i < 20000000; i++)
		asm volatile("");
}

/* The other way round: the mask blocks what the thread would take. */
TEST(signal_mask_blocks)
{
	struct sigaction sa = { .sa_handler = count_signal };
	struct vcpu *v = guest_start(g_count_loop);

	WORKS(sigaction(SIGALRM, &sa, NULL));
	EQ(set_mask(v, BIT(SIGALRM - 1)), 0);
	alarm_in_ms(5);
	EQ(ioctl(v->fd, KVM_RUN, 0), 0);
	EQ(v->run->exit_reason, KVM_EXIT_IO);
	EQ(handled, 1);			/* delivered once KVM_RUN was over */
	vm_free(v->vm);
}

/* Long guest work with many interruptions gives the right answer. */
static volatile u64 g_sum;

static void g_adder(void)
{
	u64 i;

	for (i = 1; i <= 6000000; i++)
		g_sum += i;
}

TEST(many_signals_lose_nothing)
{
	struct itimerval t = { { 0, 2000 }, { 0, 2000 } };
	struct vcpu *v = guest_start(g_adder);

	catch_alarm();
	WORKS(setitimer(ITIMER_REAL, &t, NULL));
	vcpu_done(v);
	EQ(G(v->vm, g_sum), 6000000ull * 6000001 / 2);
	vm_free(v->vm);
}

/* Shutdown. SDM, "Double Fault Exception": a fault on the way to #DF. */

static void g_triple_fault(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) none = { 0, 0 };

	asm volatile("lidt %0; ud2" : : "m"(none));
}

TEST(triple_fault)
{
	struct vcpu *v = guest_start(g_triple_fault);

	vcpu_until(v, KVM_EXIT_SHUTDOWN);
	vm_free(v->vm);
}

CODE(code_real_triple, 16, "lidtl %cs:(1f - code_real_triple)\n"
			   "int3\n"
			   "1: .word 0; .long 0");

TEST(triple_fault_real_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);

	if (real_mode_in_tree())
		skip("in-tree emulates without the limit of the vector table");
	code_load(vm, G_CODE, code_real_triple, code_real_triple_end);
	vcpu_real(v, G_CODE);
	vcpu_until(v, KVM_EXIT_SHUTDOWN);
	vm_free(vm);
}

static void g_ok(void)
{
	guest_sync(1);
}

/* After a shutdown user space can reset the vCPU and go on. */
TEST(run_again_after_shutdown)
{
	struct vcpu *v = guest_start(g_triple_fault);

	vcpu_until(v, KVM_EXIT_SHUTDOWN);
	vcpu_long(v, g_ok);
	vcpu_until(v, STOP_SYNC);
	vcpu_done(v);
	vm_free(v->vm);
}

/*
 * Invalid guest state that KVM_SET_SREGS does not look at but VM entry does:
 * SDM, "Checks on Guest Segment Registers": SS.DPL must equal SS.RPL unless
 * unrestricted guest is on; a usable TR must be a busy TSS; CS must be code.
 */
#define INVALID_GUEST_STATE	0x80000021ull

/*
 * Our driver says in debugfs which rules of the SDM the last failed entry has
 * broken, and how many entries have failed; Documentation/vmentry-checks.rst.
 */
static void explained(struct vcpu *v, int entries, const char *rule)
{
	char path[96], text[2048], count[32];
	size_t n;
	FILE *f;

	if (kvm_in_tree())
		return;
	snprintf(path, sizeof(path),
		 "/sys/kernel/debug/kvm/%d-%d/vcpu%d/entry_failure", getpid(),
		 v->vm->fd, v->id);
	f = fopen(path, "r");
	if (!f)
		fail("no %s", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	fclose(f);
	snprintf(count, sizeof(count), "failed entries: %d\n", entries);
	if (strncmp(text, count, strlen(count)) ||
	    (rule && !strstr(text, rule)))
		fail("expected %d, %s: %s", entries, rule, text);
}

TEST(fail_entry)
{
	struct vcpu *v = guest_start(g_ok);
	struct kvm_sregs s;
	int i;

	/* What segments cannot be entered with is emulated there. */
	if (!kvm_uses("unrestricted_guest"))
		skip("the processor has no unrestricted guest");
	explained(v, 0, NULL);
	get_sregs(v, &s);
	s.cs.type = 3;			/* data, in 64-bit mode */
	s.cs.dpl = 3;
	set_sregs(v, &s);
	for (i = 0; i < 2; i++) {
		EQ(vcpu_run(v), KVM_EXIT_FAIL_ENTRY);
		EQ(v->run->fail_entry.hardware_entry_failure_reason,
		   INVALID_GUEST_STATE);
		CHECK(v->run->fail_entry.cpu < 64);
		explained(v, i + 1, "\ncs_dpl: ");
	}
	/* Put right, the vCPU runs. */
	vcpu_long(v, g_ok);
	vcpu_until(v, STOP_SYNC);
	vm_free(v->vm);
}

TEST(fail_entry_bad_ldt)
{
	struct vcpu *v = guest_start(g_ok);
	struct kvm_sregs s;

	get_sregs(v, &s);
	s.ldt = s.ds;			/* usable, but not an LDT */
	s.ldt.unusable = 0;
	set_sregs(v, &s);
	if (!kvm_uses("unrestricted_guest")) {
		vcpu_until(v, STOP_SYNC);	/* emulated throughout */
		vm_free(v->vm);
		return;
	}
	EQ(vcpu_run(v), KVM_EXIT_FAIL_ENTRY);
	EQ(v->run->fail_entry.hardware_entry_failure_reason,
	   INVALID_GUEST_STATE);
	explained(v, 1, "\nldtr_type: ");
	vm_free(v->vm);
}

/*
 * An instruction on MMIO that no emulator knows: FXSAVE there is legal but
 * has no single-access meaning. The suberror data carry the instruction.
 */
static void g_fxsave_mmio(void)
{
	asm volatile("fxsave (%0)" : : "r"((u64)G_MMIO) : "memory");
}

TEST(emulation_failure)
{
	struct vcpu *v = guest_start(g_fxsave_mmio);
	struct kvm_run *run = v->run;
	struct kvm_regs r;
	int reason = vcpu_go(v);

	if (reason == KVM_EXIT_MMIO)
		skip("this module emulates FXSAVE on MMIO");
	EQ(reason, KVM_EXIT_INTERNAL_ERROR);
	EQ(run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	CHECK(run->internal.ndata <= ARRAY_SIZE(run->internal.data));
	get_regs(v, &r);
	EQ(RAM(v->vm, r.rip, u16), 0xae0f);	/* still at the FXSAVE */
	if (run->internal.ndata >= 3 &&
	    (run->emulation_failure.flags &
	     KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		CHECK(run->emulation_failure.insn_size >= 3);
		CHECK(!memcmp(run->emulation_failure.insn_bytes,
			      v->vm->ram + r.rip, 3));
	} else if (!kvm_in_tree()) {
		fail("no instruction bytes in the suberror data");
	}
	vm_free(v->vm);
}

/* Fetching from MMIO cannot work; it ends in an exit, not in a loop. */
static void g_jump_mmio(void)
{
	asm volatile("jmp *%0" : : "r"((u64)G_MMIO));
}

TEST(execute_from_mmio)
{
	struct vcpu *v = guest_start(g_jump_mmio);
	int reason = vcpu_go(v);

	/*
	 * The API document does not say how this ends: an emulation error or
	 * an MMIO read of the code would both be sound.
	 */
	CHECK(reason == KVM_EXIT_INTERNAL_ERROR || reason == KVM_EXIT_MMIO);
	EQ(get_rip(v), G_MMIO);
	vm_free(v->vm);
}

static void g_vmcall(void)
{
	u64 rax = 0xffff;		/* no hypercall has this number */

	asm volatile("vmcall" : "+a"(rax) : : "memory");
	G_EQ(rax, -1000ll);		/* -KVM_ENOSYS */
}

TEST(unknown_hypercall)
{
	guest_run(g_vmcall);
}

/* No SMI comes by itself and RSM outside SMM is #UD. */
static void g_rsm(void)
{
	G_EQ(TRY("rsm", NO_OUTS, "m"(trap)), VEC_UD);
}

TEST(rsm_outside_smm)
{
	guest_run(g_rsm);
}

/* exit_reason of every exit is set anew. */
static void g_exits(void)
{
	outb(0x55, 1);
	hlt();
	write64(G_MMIO, 3);
	outb(0x55, 2);
}

TEST(exit_reason_is_fresh)
{
	struct vcpu *v = guest_start(g_exits);

	vcpu_until(v, KVM_EXIT_IO);
	v->run->exit_reason = 77;
	vcpu_until(v, KVM_EXIT_HLT);
	v->run->exit_reason = 77;
	vcpu_until(v, KVM_EXIT_MMIO);
	v->run->exit_reason = 77;
	vcpu_until(v, KVM_EXIT_IO);
	vcpu_done(v);
	vm_free(v->vm);
}
