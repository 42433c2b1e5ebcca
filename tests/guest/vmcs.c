// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU's VMCS as monitors (include/kvm_vmcs.h) and root (debugfs) see it.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../include/kvm_vmcs.h"
#include "guest.h"

#define ROOM		400

/* SDM, "Field Encoding in VMCS". */
#define GUEST_CS_SELECTOR	0x0802
#define HOST_CS_SELECTOR	0x0c02
#define MSR_BITMAP		0x2004
#define GUEST_CR0		0x6800
#define GUEST_CR3		0x6802
#define GUEST_RSP		0x681c
#define GUEST_RIP		0x681e
#define HOST_RIP		0x6c16

static struct kvm_vmcs_field fields[ROOM];

static void need_vmcs(void)
{
	if (ioctl(kvm_fd(), KVM_CHECK_EXTENSION, KVM_CAP_VMCS) < 1)
		skip("KVM_CAP_VMCS is not there");
}

static struct kvm_vmcs get_vmcs(struct vcpu *v)
{
	struct kvm_vmcs request = {
		.size = sizeof(request),
		.nr_fields = ROOM,
		.fields = (unsigned long)fields,
	};

	WORKS(ioctl(v->fd, KVM_GET_VMCS, &request));
	return request;
}

static const struct kvm_vmcs_field *field(const struct kvm_vmcs *vmcs,
					  u16 encoding)
{
	u32 i;

	for (i = 0; i < vmcs->nr_fields; i++)
		if (fields[i].encoding == encoding)
			return &fields[i];
	fail("field %#x is missing", encoding);
}

static void g_report(void)
{
	for (;;)
		guest_sync(1);
}

TEST(agrees_with_registers)
{
	struct vcpu *v = guest_start(g_report);
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_vmcs vmcs;
	u32 i;

	need_vmcs();
	vcpu_until(v, STOP_SYNC);
	get_regs(v, &regs);
	get_sregs(v, &sregs);
	vmcs = get_vmcs(v);
	CHECK(vmcs.nr_fields > 100 && vmcs.nr_fields <= ROOM);
	for (i = 1; i < vmcs.nr_fields; i++)
		row(fields[i - 1].encoding < fields[i].encoding,
		    "%#x comes before %#x", fields[i - 1].encoding,
		    fields[i].encoding);
	EQ(vmcs.launched, 1);
	CHECK(vmcs.revision);
	CHECK(vmcs.pointer && !(vmcs.pointer & 0xfff));
	EQ(field(&vmcs, GUEST_RIP)->value, regs.rip);
	EQ(field(&vmcs, GUEST_RSP)->value, regs.rsp);
	EQ(field(&vmcs, GUEST_CS_SELECTOR)->value, sregs.cs.selector);
	CHECK(field(&vmcs, HOST_RIP)->value >> 63);
	vm_free(v->vm);
}

/* What was set last is there, although the vCPU has not run since. */
TEST(shows_what_was_set)
{
	struct vcpu *v = guest_start(g_report);
	struct kvm_vmcs vmcs;

	need_vmcs();
	vcpu_until(v, STOP_SYNC);
	set_rip(v, 0x123456);
	vmcs = get_vmcs(v);
	EQ(field(&vmcs, GUEST_RIP)->value, 0x123456);
	vm_free(v->vm);
}

/* Nobody but root sees addresses of the host. */
TEST(withheld)
{
	static const u16 hidden[] = {
		HOST_CS_SELECTOR, MSR_BITMAP, HOST_RIP,
	};
	struct vcpu *v = guest_start(g_report);
	struct kvm_vmcs vmcs;
	unsigned int i;

	need_vmcs();
	vcpu_until(v, STOP_SYNC);
	WORKS(setuid(65534));
	vmcs = get_vmcs(v);
	EQ(vmcs.pointer, 0);
	for (i = 0; i < vmcs.nr_fields; i++)
		row(!(fields[i].flags & KVM_VMCS_FIELD_WITHHELD) ||
		    !fields[i].value, "%#x", fields[i].encoding);
	for (i = 0; i < ARRAY_SIZE(hidden); i++)
		EQ(field(&vmcs, hidden[i])->flags, KVM_VMCS_FIELD_WITHHELD);
	for (i = 0; i < vmcs.nr_fields; i++)
		row((fields[i].encoding >> 10 & 3) != 3 ||
		    fields[i].flags & KVM_VMCS_FIELD_WITHHELD,
		    "%#x of the host", fields[i].encoding);
	EQ(field(&vmcs, GUEST_RIP)->flags, 0);
	CHECK(field(&vmcs, GUEST_RIP)->value);
	vm_free(v->vm);
}

TEST(bad_requests)
{
	struct vcpu *v = guest_start(g_report);
	struct kvm_vmcs good = {
		.size = sizeof(good), .nr_fields = ROOM,
		.fields = (unsigned long)fields,
	}, bad;
	struct { struct kvm_vmcs vmcs; u64 more; } longer = { good };
	u32 nr;

	need_vmcs();
	bad = good;
	bad.size = sizeof(bad) - 1;
	FAILS(ioctl(v->fd, KVM_GET_VMCS, &bad), EINVAL);
	bad = good;
	bad.which = 77;
	FAILS(ioctl(v->fd, KVM_GET_VMCS, &bad), EINVAL);
	bad = good;
	bad.flags = 1;
	FAILS(ioctl(v->fd, KVM_GET_VMCS, &bad), EINVAL);
	bad = good;
	bad.nr_fields = 0;
	FAILS(ioctl(v->fd, KVM_GET_VMCS, &bad), E2BIG);
	nr = bad.nr_fields;
	CHECK(nr > 100);
	bad.nr_fields = nr - 1;
	FAILS(ioctl(v->fd, KVM_GET_VMCS, &bad), E2BIG);
	bad.nr_fields = nr;
	WORKS(ioctl(v->fd, KVM_GET_VMCS, &bad));
	bad = good;
	bad.fields = 1;
	FAILS(ioctl(v->fd, KVM_GET_VMCS, &bad), EFAULT);
	FAILS(ioctl(v->fd, KVM_GET_VMCS, (void *)1), EFAULT);
	longer.vmcs.size = sizeof(longer);
	WORKS(ioctl(v->fd, KVM_GET_VMCS, &longer));
	longer.vmcs.size = sizeof(longer);
	longer.vmcs.nr_fields = ROOM;
	longer.more = 1;
	FAILS(ioctl(v->fd, KVM_GET_VMCS, &longer), E2BIG);
	vm_free(v->vm);
}

TEST(no_entry_failure)
{
	struct vcpu *v = guest_start(g_report);
	char text[2000] = "";
	struct kvm_entry_failure failure = {
		.size = sizeof(failure), .text = (unsigned long)text,
	};

	need_vmcs();
	FAILS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, &failure), E2BIG);
	CHECK(failure.text_size > 1 && failure.text_size < sizeof(text));
	WORKS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, &failure));
	EQ(failure.count, 0);
	EQ(failure.nr_broken, 0);
	EQ(strlen(text) + 1, failure.text_size);
	CHECK(strstr(text, "failed entries: 0"));
	failure.size = 4;
	FAILS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, &failure), EINVAL);
	vm_free(v->vm);
}

/*
 * A segment that the processor refuses, and that the monitor may set. Without
 * unrestricted guest such states are emulated.
 */
TEST(entry_failure_is_explained)
{
	struct vcpu *v = guest_start(g_report);
	char text[2000] = "";
	struct kvm_entry_failure failure = {
		.size = sizeof(failure), .text_size = sizeof(text),
		.text = (unsigned long)text,
	};
	struct kvm_sregs sregs;

	need_vmcs();
	if (!kvm_uses("unrestricted_guest"))
		skip("no entry is tried");
	get_sregs(v, &sregs);
	sregs.tr.type = 1;
	set_sregs(v, &sregs);
	EQ(vcpu_run(v), KVM_EXIT_FAIL_ENTRY);
	WORKS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, &failure));
	EQ(failure.count, 1);
	EQ(failure.exit_reason, 0x80000021);
	EQ(failure.error, 0);
	CHECK(failure.nr_broken);
	note("%s", text);
	CHECK(strstr(text, "TR"));
	vm_free(v->vm);
}

/* debugfs, of a vCPU that runs all the time. */

static void g_count(void)
{
	volatile u64 *counter = (u64 *)G_FREE;

	for (;;)
		++*counter;
}

static void g_halt(void)
{
	asm volatile("cli; hlt");
}

static void *run(void *arg)
{
	struct vcpu *v = arg;

	ioctl(v->fd, KVM_RUN, NULL);
	return NULL;
}

static void stop_signal(int signum)
{
	(void)signum;
}

static char *read_debugfs(const char *name)
{
	static char text[1 << 16];
	char pattern[100];
	glob_t found;
	size_t n = 0;
	ssize_t r;
	int fd;

	snprintf(pattern, sizeof(pattern),
		 "/sys/kernel/debug/kvm/%d-*/vcpu0/%s", getpid(), name);
	if (glob(pattern, 0, NULL, &found))
		skip("no debugfs");
	fd = WORKS(open(found.gl_pathv[0], O_RDONLY));
	while ((r = WORKS(read(fd, text + n, sizeof(text) - 1 - n))))
		n += r;
	close(fd);
	text[n] = '\0';
	globfree(&found);
	return text;
}

static void check_text(const char *text)
{
	CHECK(strstr(text, "VMCS at 0x"));
	CHECK(strstr(text, "GUEST_RIP"));
	CHECK(strstr(text, "HOST_RIP"));
	CHECK(strstr(text, "HLT exiting"));
	CHECK(strstr(text, "64-bit"));
	CHECK(strstr(text, "VM_EXIT_REASON"));
}

TEST(debugfs_while_running)
{
	struct vcpu *v = guest_start(g_count);
	pthread_t thread;
	u64 before;
	int i;

	need_vmcs();
	signal(SIGUSR1, stop_signal);
	pthread_create(&thread, NULL, run, v);
	for (i = 0; i < 20; i++) {
		before = RAM(v->vm, G_FREE, volatile u64);
		check_text(read_debugfs("vmcs"));
		while (RAM(v->vm, G_FREE, volatile u64) == before)
			usleep(1000);
	}
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	check_text(read_debugfs("vmcs"));
	vm_free(v->vm);
}

/* One that sleeps in the kernel answers as well, and sleeps on. */
TEST(debugfs_while_halted)
{
	struct vm *vm;
	struct vcpu *v;
	pthread_t thread;

	need_vmcs();
	need_cap(KVM_CAP_IRQCHIP);
	vm = vm_new();
	WORKS(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
	v = vcpu_new(vm, 0);
	vcpu_long(v, g_halt);
	signal(SIGUSR1, stop_signal);
	pthread_create(&thread, NULL, run, v);
	usleep(50000);
	check_text(read_debugfs("vmcs"));
	check_text(read_debugfs("vmcs"));
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	EQ(v->run->exit_reason, KVM_EXIT_INTR);
	vm_free(vm);
}
