// SPDX-License-Identifier: GPL-2.0-only
/*
 * What Linux in a guest does with its page tables all day, and what that
 * costs, in instructions. Runs in the guest, after its boot; prints for each
 * row, on the console
 *
 *	cost NAME N FIGURE		per operation, of N measured
 *
 * A figure is the median of batches.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define PAGE		4096ul
#define MAX_BATCHES	64

static void __attribute__((noreturn)) die(const char *what)
{
	perror(what);
	exit(1);
}

static int ascending(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* Batches of n operations each; the first warms up. */
static void measure(const char *name, int batches, int n, void (*batch)(int n))
{
	static u64 cost[MAX_BATCHES];
	int i;

	batch(n);
	for (i = 0; i < batches; i++) {
		u64 begin = rdtsc();

		batch(n);
		cost[i] = rdtsc() - begin;
	}
	qsort(cost, batches, sizeof(*cost), ascending);
	printf("cost %s %d %.1f\n", name, batches * n,
	       (double)cost[batches / 2] / n);
	fflush(stdout);
}

static u8 *pages_new(size_t size)
{
	u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || madvise(p, size, MADV_NOHUGEPAGE))
		die("mmap");
	return p;
}

static void touch(u8 *p, size_t size)
{
	u8 *end = p + size;

	for (; p < end; p += PAGE)
		*(volatile u8 *)p = 1;
}

/* n first touches; the memory is given back, its tables stay. */
static u8 *area;

static void page_faults(int n)
{
	touch(area, n * PAGE);
	if (madvise(area, n * PAGE, MADV_DONTNEED))
		die("madvise");
}

static void map_64m(int n)
{
	const size_t size = 64ul << 20;
	u8 *p;

	while (n--) {
		p = pages_new(size);
		touch(p, size);
		munmap(p, size);
	}
}

static void fork_exec(int n)
{
	pid_t pid;
	int status;

	while (n--) {
		pid = fork();
		if (!pid) {
			execl(program_invocation_name, "exit", "exit", NULL);
			_exit(1);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			die("fork");
	}
}

/* Two processes, by turns. */
static int to[2], from[2];

static void pass(int in, int out)
{
	char c = 0;

	if (read(in, &c, 1) != 1 || write(out, &c, 1) != 1)
		exit(0);
}

static void switches(int n)
{
	char c = 0;

	for (n /= 2; n; n--)
		if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
			die("pipe");
}

static void start_partner(void)
{
	if (pipe(to) || pipe(from))
		die("pipe");
	if (fork())
		return;
	close(to[1]);
	for (;;)
		pass(to[0], from[1]);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "exit"))
		return 0;
	area = pages_new(512 * PAGE);
	measure("guest-fault", 15, 512, page_faults);
	measure("guest-fork", 15, 4, fork_exec);
	measure("guest-mmap", 3, 1, map_64m);
	start_partner();
	measure("guest-switch", 15, 200, switches);
	return 0;
}
