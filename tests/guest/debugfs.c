// SPDX-License-Identifier: GPL-2.0-only
/*
 * The counters' files in debugfs: what they say, who may write what, and
 * readers of all files while VMs run, come and go. What the file `vmcs` says
 * is in vmcs.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../include/kvm_vmcs.h"
#include "guest.h"

#define ROOT	"/sys/kernel/debug/kvm"

static int open_file(const char *name, int flags)
{
	char pattern[100];
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), ROOT "/%d-*/%s", getpid(), name);
	if (glob(pattern, 0, NULL, &found))
		fail("there is no %s", pattern);
	fd = open(found.gl_pathv[0], flags);
	globfree(&found);
	return fd;
}

static u64 counter(const char *name)
{
	char text[32] = "";
	int fd = WORKS(open_file(name, O_RDONLY));

	WORKS(read(fd, text, sizeof(text) - 1));
	close(fd);
	return strtoull(text, NULL, 10);
}

static void need_debugfs(void)
{
	if (access(ROOT, F_OK))
		skip("no debugfs");
}

static void need_ours(void)
{
	if (kvm_in_tree())
		skip("a file of ours");
}

TEST(counters)
{
	struct vcpu *v = guest_start(guest_cpuids);
	u64 exits, ios;

	need_debugfs();
	vcpu_until(v, STOP_SYNC);
	exits = counter("exits");
	ios = counter("io_exits");
	vcpu_until(v, STOP_SYNC);
	EQ(counter("io_exits"), ios + 1);
	CHECK(counter("exits") > exits + GUEST_CPUIDS);
	vm_free(v->vm);
}

/* The sum of exit_reasons is `exits`, in the VM's folder and the vCPU's. */
TEST(exit_reasons)
{
	struct vcpu *v = guest_start(guest_cpuids);
	static const char *const lists[] = { "exit_reasons", "vcpu0/stats" };
	char text[8192], name[64];
	u64 value, sum;
	unsigned int i;
	char *line;
	int fd;

	need_debugfs();
	need_ours();
	vcpu_until(v, STOP_SYNC);
	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		fd = WORKS(open_file(lists[i], O_RDONLY));
		memset(text, 0, sizeof(text));
		WORKS(read(fd, text, sizeof(text) - 1));
		close(fd);
		sum = 0;
		for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			if (sscanf(line, "%63s %llu", name, &value) == 2 &&
			    (!i || !strncmp(name, "exit_", 5)))
				sum += value;
		EQ(sum, counter("exits"));
	}
	vm_free(v->vm);
}

/* Writing 0 clears a counter, and nothing else may be written. */
TEST(writes)
{
	static const char *const bad[] = { "1", "x", "", "-1", "0x", "1e3" };
	struct vcpu *v = guest_start(guest_cpuids);
	char *volatile nowhere = (char *)1;
	unsigned int i;
	int fd;

	need_debugfs();
	need_ours();
	vcpu_until(v, STOP_SYNC);
	fd = WORKS(open_file("exits", O_RDWR));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		FAILS(write(fd, bad[i], strlen(bad[i]) ?: 1), EINVAL);
	FAILS(write(fd, nowhere, 2), EFAULT);
	CHECK(counter("exits") > GUEST_CPUIDS);
	EQ(write(fd, "0\n", 2), 2);
	EQ(counter("exits"), 0);
	close(fd);
	/* How many there are now cannot be cleared. */
	fd = WORKS(open_file("mmu_pages", O_RDWR));
	FAILS(write(fd, "0", 1), EINVAL);
	close(fd);
	fd = WORKS(open_file("vcpu0/vmcs", O_RDWR));
	CHECK(write(fd, "0", 1) < 0);
	close(fd);
	vm_free(v->vm);
}

/* What is root's is nobody else's, wherever debugfs is mounted and how. */
TEST(permissions)
{
	static const char *const files[] = {
		"exits", "exit_reasons", "vcpu0/stats", "vcpu0/vmcs",
		"vcpu0/entry_failure",
	};
	static const mode_t modes[] = { 0644, 0444, 0444, 0400, 0400 };
	struct vcpu *v = guest_start(guest_cpuids);
	int fd[ARRAY_SIZE(files)];
	struct stat st;
	unsigned int i;

	need_debugfs();
	need_ours();
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		fd[i] = WORKS(open_file(files[i], O_RDONLY));
		WORKS(fstat(fd[i], &st));
		EQ(st.st_mode & 07777, modes[i]);
		EQ(st.st_uid, 0);
	}
	WORKS(setuid(65534));
	FAILS(open("/sys/class/misc/kvm/vmcsinfo", O_RDONLY), EACCES);
	FAILS(open(ROOT "/exits", O_RDONLY), EACCES);
	for (i = 0; i < ARRAY_SIZE(files); i++)
		close(fd[i]);
	vm_free(v->vm);
}

/* A file that is still open when its VM is gone. */
TEST(outlived)
{
	static const char *const files[] = {
		"exits", "exit_reasons", "vcpu0/stats", "vcpu0/vmcs",
		"vcpu0/entry_failure",
	};
	struct vcpu *v = guest_start(guest_cpuids);
	int fd[ARRAY_SIZE(files)];
	char text[100];
	unsigned int i;

	need_debugfs();
	need_ours();
	for (i = 0; i < ARRAY_SIZE(files); i++)
		fd[i] = WORKS(open_file(files[i], O_RDONLY));
	vm_free(v->vm);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		FAILS(pread(fd[i], text, sizeof(text), 0), EIO);
		close(fd[i]);
	}
}

/* ---- everything at once ------------------------------------------------- */

static volatile bool over;

static void g_count(void)
{
	volatile u64 *counter = (u64 *)G_FREE;

	for (;;)
		++*counter;
}

static void stop_signal(int signum)
{
	(void)signum;
}

static void *run(void *arg)
{
	struct vcpu *v = arg;

	ioctl(v->fd, KVM_RUN, NULL);
	return NULL;
}

/* Any part of any file; whether there is something to read is no matter. */
static void read_somewhere(const char *path)
{
	static __thread char text[4096];
	int fd = open(path, O_RDONLY);
	int i;

	if (fd < 0)
		return;
	for (i = 0; i < 3; i++)
		if (pread(fd, text, rnd() % sizeof(text), rnd() % 20000) < 0)
			break;
	close(fd);
}

static void *read_files(void *pattern)
{
	glob_t found;
	size_t i;

	while (!over) {
		if (glob(pattern, 0, NULL, &found))
			continue;
		for (i = 0; i < found.gl_pathc && !over; i++)
			read_somewhere(found.gl_pathv[i]);
		globfree(&found);
	}
	return NULL;
}

static void one_life(void)
{
	struct vcpu *v = guest_start(g_count);
	pthread_t thread;
	int i;

	pthread_create(&thread, NULL, run, v);
	for (i = 0; i < 3; i++)
		usleep(rnd() % 20000);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	vm_free(v->vm);
}

TEST_TIMED(readers_while_vms_come_and_go, 120)
{
	static char *const patterns[] = {
		ROOT "/*", ROOT "/*-*/*", ROOT "/*-*/vcpu*/*",
		ROOT "/*-*/vcpu*/vmcs",
	};
	pthread_t readers[ARRAY_SIZE(patterns)];
	unsigned int i;

	need_debugfs();
	signal(SIGUSR1, stop_signal);
	for (i = 0; i < ARRAY_SIZE(readers); i++)
		pthread_create(&readers[i], NULL, read_files, patterns[i]);
	for (i = 0; i < test_scale(20); i++)
		one_life();
	over = true;
	for (i = 0; i < ARRAY_SIZE(readers); i++)
		pthread_join(readers[i], NULL);
}

/* Two of a vCPU at a time: one gets it, or each in its turn. */
static void *read_vmcs(void *failures)
{
	char text[64];
	int i, fd;

	for (i = 0; i < 50; i++) {
		fd = open_file("vcpu0/vmcs", O_RDONLY);
		if (read(fd, text, sizeof(text)) != sizeof(text) &&
		    errno != EBUSY)
			++*(int *)failures;
		close(fd);
	}
	return NULL;
}

TEST(two_look_at_one_vmcs)
{
	struct vcpu *v = guest_start(g_count);
	pthread_t thread, readers[2];
	int i, failures = 0;

	need_debugfs();
	need_ours();
	signal(SIGUSR1, stop_signal);
	pthread_create(&thread, NULL, run, v);
	for (i = 0; i < 2; i++)
		pthread_create(&readers[i], NULL, read_vmcs, &failures);
	for (i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	EQ(failures, 0);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	vm_free(v->vm);
}

/* ---- of KVM_GET_ENTRY_FAILURE ------------------------------------------- */

TEST(entry_failure_requests)
{
	struct vcpu *v = guest_start(guest_cpuids);
	char text[2000];
	struct kvm_entry_failure good = {
		.size = sizeof(good), .text_size = sizeof(text),
		.text = (unsigned long)text,
	}, bad;
	struct { struct kvm_entry_failure failure; u64 more[600]; }
		longer = { good };

	if (ioctl(kvm_fd(), KVM_CHECK_EXTENSION, KVM_CAP_VMCS) < 1)
		skip("KVM_CAP_VMCS is not there");
	bad = good;
	bad.size = sizeof(bad) - 1;
	FAILS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, &bad), EINVAL);
	bad = good;
	bad.text = 1;
	FAILS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, &bad), EFAULT);
	FAILS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, (void *)1), EFAULT);
	longer.failure.size = sizeof(good) + 8;
	WORKS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, &longer));
	longer.failure = good;
	longer.failure.size = sizeof(good) + 8;
	longer.more[0] = 1;
	FAILS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, &longer), E2BIG);
	longer.more[0] = 0;
	/* No structure is longer than a page. */
	longer.failure.size = sizeof(longer);
	FAILS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, &longer), E2BIG);
	/* Of the vCPU alone. */
	CHECK(ioctl(v->vm->fd, KVM_GET_ENTRY_FAILURE, &good) < 0);
	CHECK(ioctl(kvm_fd(), KVM_GET_ENTRY_FAILURE, &good) < 0);
	WORKS(ioctl(v->fd, KVM_GET_ENTRY_FAILURE, &good));
	EQ(good.count, 0);
	vm_free(v->vm);
}
