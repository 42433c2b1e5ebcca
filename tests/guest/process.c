// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs and the processes that hold them: threads, processors, fork, signals
 * that stop and kill, file descriptors closed in any order, and whether all
 * is freed at the end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "leaks.h"

/* A guest that computes in all kinds of registers, with exits in between. */

#define ROUNDS	300

static volatile u32 g_next;

static void g_compute(void)
{
	u64 r8 = 0, i, n = __atomic_fetch_add(&g_next, 1, __ATOMIC_RELAXED);
	double x = n, y;

	wrmsr(0xc0000082, 0x1000 * n);
	asm volatile("movq %0, %%xmm9" : : "r"(0x1111 * n));
	write_dr0(0x100 * n);
	for (i = 1; i <= ROUNDS; i++) {
		u32 out[4];

		r8 += i;
		x += 0.5;
		if (i % 3 == 0)
			outb(0x77, i);
		else if (i % 3 == 1)
			cpuid(0, 0, out);
		else
			write64(G_MMIO, i);
	}
	asm volatile("movq %%xmm9, %0" : "=r"(i));
	G_EQ(i, 0x1111 * n);
	G_EQ(rdmsr(0xc0000082), 0x1000 * n);
	G_EQ(read_dr0(), 0x100 * n);
	G_EQ(r8, ROUNDS * (ROUNDS + 1) / 2);
	y = n + ROUNDS * 0.5;
	G_CHECK(x == y);
}

static int exits_until_done(struct vcpu *v, void (*between)(int))
{
	int stop, n = 0;

	do {
		if (between)
			between(n++);
		stop = vcpu_go(v);
	} while (stop == KVM_EXIT_IO || stop == KVM_EXIT_MMIO);
	return stop;
}

/* Processors */

static void next_cpu(int n)
{
	pin_to_cpu(n % cpus_online());
}

TEST(moves_between_processors)
{
	struct vcpu *v;

	if (cpus_online() < 2)
		skip("waits for a host with two processors");
	v = guest_start(g_compute);
	EQ(exits_until_done(v, next_cpu), STOP_DONE);
	vm_free(v->vm);
}

/* Two vCPUs that change places: VMCSs, VPIDs and translations mix. */
TEST(two_vcpus_change_places)
{
	struct vcpu *a, *b;
	int stop[2] = { 0, 0 }, i;

	if (cpus_online() < 2)
		skip("waits for a host with two processors");
	a = guest_start(g_compute);
	b = vcpu_new(a->vm, 1);
	vcpu_long(b, g_compute);
	for (i = 0; stop[0] != STOP_DONE || stop[1] != STOP_DONE; i++) {
		struct vcpu *v = i % 2 ? b : a;

		next_cpu(i / 3);
		if (stop[i % 2] != STOP_DONE)
			stop[i % 2] = vcpu_go(v);
		CHECK(stop[i % 2] != KVM_EXIT_INTERNAL_ERROR);
	}
	vm_free(a->vm);
}

/* A guest that spins while its thread is sent from processor to processor. */
static volatile u32 g_stop;
static volatile u64 g_spins;

static void g_spin(void)
{
	u64 last = 0, now;

	while (!g_stop) {
		now = rdtsc();
		if (now < last)
			guest_fail(__FILE__, __LINE__, "TSC went back", now,
				   last);
		last = now;
		g_spins++;
	}
}

static void *run_thread(void *arg)
{
	return (void *)(long)exits_until_done(arg, NULL);
}

TEST(thread_moved_while_running)
{
	struct vcpu *v;
	pthread_t t;
	void *stop;
	int i;

	if (cpus_online() < 2)
		skip("waits for a host with two processors");
	v = guest_start(g_spin);
	EQ(pthread_create(&t, NULL, run_thread, v), 0);
	for (i = 0; i < 40; i++) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(i % 2, &set);
		pthread_setaffinity_np(t, sizeof(set), &set);
		usleep(3000);
	}
	G(v->vm, g_stop) = 1;
	pthread_join(t, &stop);
	EQ((long)stop, STOP_DONE);
	CHECK(G(v->vm, g_spins) > 0);
	vm_free(v->vm);
}

/* Many at once */
#define VMS	4
#define VCPUS	3

TEST(vms_and_threads)
{
	struct vm *vm[VMS];
	pthread_t t[VMS][VCPUS];
	void *stop;
	int i, j;

	for (i = 0; i < VMS; i++) {
		vm[i] = vm_new();
		for (j = 0; j < VCPUS; j++) {
			struct vcpu *v = vcpu_new(vm[i], j);

			vcpu_long(v, g_compute);
			EQ(pthread_create(&t[i][j], NULL, run_thread, v), 0);
		}
	}
	for (i = 0; i < VMS; i++) {
		for (j = 0; j < VCPUS; j++) {
			pthread_join(t[i][j], &stop);
			EQ((long)stop, STOP_DONE);
		}
		EQ(G(vm[i], g_next), VCPUS);
		vm_free(vm[i]);
	}
}

/* A vCPU goes from thread to thread, each of which then ends. */
static void *run_once(void *arg)
{
	return (void *)(long)vcpu_go(arg);
}

TEST(handed_from_thread_to_thread)
{
	struct vcpu *v = guest_start(g_compute);
	void *stop;
	pthread_t t;

	do {
		EQ(pthread_create(&t, NULL, run_once, v), 0);
		pthread_join(t, &stop);
		CHECK((long)stop == KVM_EXIT_IO || (long)stop == STOP_DONE ||
		      (long)stop == KVM_EXIT_MMIO);
	} while ((long)stop != STOP_DONE);
	vm_free(v->vm);
}

/* An ioctl on a vCPU that runs in another thread waits until it does not. */
static void on_signal(int sig)
{
	(void)sig;
}

static volatile int entered;

static void *run_until_signal(void *arg)
{
	struct vcpu *v = arg;

	entered = 1;
	return (void *)(long)(ioctl(v->fd, KVM_RUN, 0) == -1 &&
			      errno == EINTR);
}

static void *get_regs_thread(void *arg)
{
	struct kvm_regs r;

	get_regs(arg, &r);
	return (void *)r.rip;
}

TEST(ioctl_while_running_waits)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct vcpu *v = guest_start(g_spin);
	pthread_t runner, reader;
	void *interrupted, *rip;

	WORKS(sigaction(SIGUSR1, &sa, NULL));
	EQ(pthread_create(&runner, NULL, run_until_signal, v), 0);
	while (!entered || !*(volatile u64 *)&G(v->vm, g_spins))
		usleep(1000);
	EQ(pthread_create(&reader, NULL, get_regs_thread, v), 0);
	usleep(20000);
	EQ(pthread_tryjoin_np(reader, &rip), EBUSY);
	pthread_kill(runner, SIGUSR1);
	pthread_join(runner, &interrupted);
	CHECK(interrupted);
	pthread_join(reader, &rip);
	CHECK(rip);
	vm_free(v->vm);
}

/* Other processes */

static int child_status(pid_t pid)
{
	int status;

	WORKS(waitpid(pid, &status, 0));
	return status;
}

/* API document: ioctls from another address space fail with EIO. */
TEST(ioctls_of_a_forked_child)
{
	struct vcpu *v = guest_start(g_compute);
	struct kvm_regs r;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		bool ok = ioctl(v->fd, KVM_RUN, 0) == -1 && errno == EIO;

		ok &= ioctl(v->fd, KVM_GET_REGS, &r) == -1 && errno == EIO;
		ok &= ioctl(v->vm->fd, KVM_CREATE_VCPU, 5) == -1 &&
		      errno == EIO;
		ok &= vm_slot_try(v->vm, 5, G_MMIO, 0, NULL, 0) == -1 &&
		      errno == EIO;
		ok &= ioctl(v->vm->kvm, KVM_GET_API_VERSION, 0) == 12;
		_exit(ok ? 0 : 1);
	}
	EQ(child_status(pid), 0);
	EQ(exits_until_done(v, NULL), STOP_DONE);
	vm_free(v->vm);
}

/* The child's file descriptors keep the VM, but not its guest, alive. */
TEST(parent_of_a_vm_ends_first)
{
	int pipe_fd[2];
	char c;
	pid_t pid;

	WORKS(pipe(pipe_fd));
	pid = fork();
	if (pid == 0) {
		struct vcpu *v = guest_start(g_compute);

		if (fork() == 0) {
			usleep(50000);
			close(v->fd);
			close(v->vm->fd);
			_exit(write(pipe_fd[1], "x", 1) != 1);
		}
		vcpu_go(v);
		_exit(0);
	}
	EQ(child_status(pid), 0);
	EQ(read(pipe_fd[0], &c, 1), 1);
}

static void g_nothing(void)
{
}

TEST(killed_in_the_guest)
{
	int i;

	for (i = 0; i < 8; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			struct vcpu *v = guest_start(g_spin);
			struct vcpu *w = vcpu_new(v->vm, 1);
			pthread_t t;

			vcpu_long(w, g_spin);
			pthread_create(&t, NULL, run_thread, w);
			vcpu_go(v);
			_exit(1);
		}
		usleep(3000 + i * 5000);
		WORKS(kill(pid, SIGKILL));
		status = child_status(pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	guest_run(g_nothing);
}

/* Stopped and continued by job control. */
TEST(stopped_and_continued)
{
	pid_t pid = fork();
	int i, status;

	if (pid == 0) {
		struct vcpu *v = guest_start(g_compute);

		for (i = 0; i < 30; i++) {
			vcpu_long(v, g_compute);
			if (exits_until_done(v, NULL) != STOP_DONE)
				_exit(1);
		}
		_exit(0);
	}
	for (i = 0; i < 10; i++) {
		usleep(3000);
		kill(pid, SIGSTOP);
		usleep(1000);
		kill(pid, SIGCONT);
	}
	WORKS(waitpid(pid, &status, 0));
	EQ(status, 0);
}

/* File descriptors */

TEST(close_on_exec)
{
	struct vcpu *v = guest_start(g_compute);

	CHECK(fcntl(v->fd, F_GETFD) & FD_CLOEXEC);
	CHECK(fcntl(v->vm->fd, F_GETFD) & FD_CLOEXEC);
	vm_free(v->vm);
}

/* A vCPU keeps its VM; the run area's mapping keeps the vCPU. */
TEST(closed_in_every_order)
{
	static const char *const orders[] = { "vcm", "vmc", "cvm", "cmv",
					      "mvc", "mcv" };
	u32 i, j;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		struct vcpu *v = guest_start(g_compute);

		vcpu_go(v);
		for (j = 0; j < 3; j++) {
			if (orders[i][j] == 'v')
				close(v->vm->fd);
			else if (orders[i][j] == 'c')
				close(v->fd);
			else
				munmap(v->run, v->run_size);
			/* What is left works. */
			if (j == 0 && orders[i][0] == 'v')
				EQ(vcpu_go(v), KVM_EXIT_IO);
			if (j == 0 && orders[i][0] == 'c')
				v->run->immediate_exit = 1;
		}
		munmap(v->vm->ram, RAM_SIZE);
	}
}

TEST(second_file_descriptor)
{
	struct vcpu *v = guest_start(g_compute);
	int fd = WORKS(dup(v->fd));

	close(v->fd);
	v->fd = fd;
	EQ(exits_until_done(v, NULL), STOP_DONE);
	vm_free(v->vm);
}

/* Beyond its size the run area has no pages. */
TEST(mapping_beyond_the_run_area)
{
	struct vcpu *v = guest_start(g_compute);
	u8 *p = mmap(NULL, v->run_size + 8192, PROT_READ | PROT_WRITE,
		     MAP_SHARED, v->fd, 0);
	int status;
	pid_t pid;

	if (p == MAP_FAILED) {
		EQ(errno, EINVAL);
		return;
	}
	EQ(((struct kvm_run *)p)->exit_reason, v->run->exit_reason);
	pid = fork();
	if (pid == 0) {
		*(volatile u8 *)(p + v->run_size + 4096) = 1;
		_exit(0);
	}
	status = child_status(pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	vm_free(v->vm);
}

/* Two mappings show the same. */
TEST(mapped_twice)
{
	struct vcpu *v = guest_start(g_compute);
	struct kvm_run *second = mmap(NULL, v->run_size, PROT_READ, MAP_SHARED,
				      v->fd, 0);

	CHECK(second != MAP_FAILED);
	vcpu_go(v);
	EQ(second->exit_reason, v->run->exit_reason);
	EQ(memcmp(second, v->run, 256), 0);
	vm_free(v->vm);
}

/* No file descriptor to be had: nothing stays behind. */
TEST(no_file_descriptors_left)
{
	struct rlimit old, limit;
	struct vm *vm = vm_bare();
	int next = WORKS(dup(0));

	close(next);
	WORKS(getrlimit(RLIMIT_NOFILE, &old));
	limit = old;
	limit.rlim_cur = next;
	WORKS(setrlimit(RLIMIT_NOFILE, &limit));
	FAILS(ioctl(kvm_fd(), KVM_CREATE_VM, 0), EMFILE);
	FAILS(ioctl(vm->fd, KVM_CREATE_VCPU, 0), EMFILE);
	WORKS(setrlimit(RLIMIT_NOFILE, &old));
	/* The number is still free. */
	vcpu_bare(vm, 0);
	vm_free(vm);
}

/* Leaks */

static void one_of_everything(void)
{
	struct vcpu *v = guest_start(g_compute), *w = vcpu_new(v->vm, 1);
	void *mem = vm_add(v->vm, 1, G_MMIO + 0x100000, 1 << 20,
			   KVM_MEM_LOG_DIRTY_PAGES);

	vcpu_long(w, g_compute);
	exits_until_done(v, NULL);
	exits_until_done(w, NULL);
	vm_free(v->vm);
	munmap(mem, 1 << 20);
}

TEST(nothing_is_leaked)
{
	struct usage before;
	int i;

	for (i = 0; i < 10; i++)
		one_of_everything();
	usage_get(&before);
	for (i = 0; i < 40; i++)
		one_of_everything();
	/* A leak of 8 KiB a round would show. */
	usage_check(&before, 320);
}

static void killed_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		vcpu_go(guest_start(g_spin));
		_exit(1);
	}
	usleep(4000);
	kill(pid, SIGKILL);
	child_status(pid);
}

TEST(nothing_is_leaked_by_kills)
{
	struct usage before;
	int i;

	for (i = 0; i < 10; i++)
		killed_child();
	usage_get(&before);
	for (i = 0; i < 40; i++)
		killed_child();
	usage_check(&before, 320);
}

/* Create and destroy, as fast as possible, without running anything. */
TEST(vms_made_and_dropped)
{
	struct usage before;
	int i;

	for (i = 0; i < 120; i++) {
		struct vm *vm = vm_bare();

		if (i % 2)
			vcpu_bare(vm, i % 7);
		vm_free(vm);
		if (i == 20)
			usage_get(&before);
	}
	usage_check(&before, 320);
}
