// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program for a guest that keeps its page tables busy: fork, exec, mmap,
 * munmap, mprotect, copy on write, faults that its own handler repairs. It
 * knows what every page must hold and prints a checksum of all that it saw,
 * the same as a 32-bit and as a 64-bit program, on any kernel and processor;
 * or what was wrong, with exit status 1.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	4096u
#define PAGES	192u
#define WORDS	(PAGE / sizeof(uint32_t))
#define ROUNDS	12u

static uint32_t sum = 2166136261u;
static volatile unsigned int faults;
static uint8_t *area;

static void add(uint32_t value)
{
	sum = (sum ^ value) * 16777619u;
}

static void wrong(const char *what, unsigned int round, unsigned int page)
{
	printf("%s in round %u, page %u\n", what, round, page);
	exit(1);
}

static uint32_t word(uint32_t seed, unsigned int page, unsigned int i)
{
	return (seed * 2654435761u ^ page * 40503u ^ i) * 2246822519u;
}

static void fill(uint32_t seed, unsigned int page)
{
	uint32_t *p = (uint32_t *)(area + page * PAGE);
	unsigned int i;

	for (i = 0; i < WORDS; i += 16)
		p[i] = word(seed, page, i);
}

static void check(uint32_t seed, unsigned int page, const char *what)
{
	const uint32_t *p = (const uint32_t *)(area + page * PAGE);
	unsigned int i;

	for (i = 0; i < WORDS; i += 16) {
		if (p[i] != word(seed, page, i))
			wrong(what, seed, page);
		add(p[i]);
	}
}

/* Gives the page back what it lacks; the access then goes on. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	uint8_t *page = (uint8_t *)((uintptr_t)info->si_addr & -(long)PAGE);

	(void)sig;
	(void)context;
	if (page < area || page >= area + PAGES * PAGE)
		_exit(2);
	faults++;
	if (mprotect(page, PAGE, PROT_READ | PROT_WRITE) &&
	    mmap(page, PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page)
		_exit(3);
}

static void map_all(unsigned int round)
{
	unsigned int page;

	area = mmap(area, PAGES * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		wrong("mmap", round, 0);
	for (page = 0; page < PAGES; page++)
		fill(round, page);
}

/* Writes to what may be read only, and reads of what may not, fault once. */
static void protect(unsigned int round)
{
	unsigned int page;

	faults = 0;
	for (page = 0; page < PAGES; page++)
		if (page % 3 != 2)
			mprotect(area + page * PAGE, PAGE,
				 page % 3 ? PROT_READ : PROT_NONE);
	for (page = 0; page < PAGES; page++)
		check(round, page, "changed by mprotect");
	for (page = 0; page < PAGES; page++)
		fill(round, page);
	if (faults != PAGES / 3 * 2)
		wrong("faults after mprotect", round, faults);
}

/* The child has its own copy, and ends as another program. */
static void child(unsigned int round)
{
	char number[16];
	unsigned int page;

	for (page = 0; page < PAGES; page += 2)
		fill(round + 1000, page);
	for (page = 0; page < PAGES; page++)
		check(page % 2 ? round : round + 1000, page, "child's copy");
	snprintf(number, sizeof(number), "%u", sum);
	execl("/proc/self/exe", "paging_load", number, (char *)NULL);
	_exit(4);
}

static void fork_and_exec(unsigned int round)
{
	unsigned int page;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		child(round);
	for (page = 0; page < PAGES; page += 3)
		fill(round, page);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) & 0x80)
		wrong("child", round, status);
	add(WEXITSTATUS(status));
	for (page = 0; page < PAGES; page++)
		check(round, page, "parent's memory");
}

/* What is unmapped faults, and comes back empty. */
static void unmap(unsigned int round)
{
	unsigned int page;

	faults = 0;
	for (page = 0; page < PAGES; page += 2)
		munmap(area + page * PAGE, PAGE);
	for (page = 0; page < PAGES; page++) {
		if (page % 2)
			check(round, page, "beside what was unmapped");
		else if (area[page * PAGE + 64])
			wrong("unmapped page is not empty", round, page);
	}
	if (faults != PAGES / 2)
		wrong("faults after munmap", round, faults);
	munmap(area, PAGES * PAGE);
}

int main(int argc, char **argv)
{
	struct sigaction sa = {
		.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO,
	};
	unsigned int round;

	if (argc > 1)
		return strtoul(argv[1], NULL, 10) & 0x7f;
	sigaction(SIGSEGV, &sa, NULL);
	for (round = 0; round < ROUNDS; round++) {
		map_all(round);
		protect(round);
		fork_and_exec(round);
		unmap(round);
	}
	printf("%08x\n", sum);
	return 0;
}
