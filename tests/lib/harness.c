// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs the tests of a program and counts; harness.h says how to use it.
 * The counters live in memory shared with the forked children.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define DEFAULT_SECONDS	60

extern const struct test __start_tests[], __stop_tests[];

enum verdict { RUNNING, PASSED, FAILED, SKIPPED };

struct shared {
	enum verdict verdict;
	unsigned int rows_ok, rows_bad, rows_skipped;
	char why[768];
};

static struct shared *shared;
static const char *program, *current;
static bool no_fork;
static pid_t runner;
static jmp_buf test_end;
static u64 seed, rnd_state;
static unsigned long scale = 100;
static unsigned int passed, failed, skipped;

u64 test_seed(void)
{
	return seed;
}

/* SplitMix64: every seed, 0 included, starts a good sequence. */
u64 rnd(void)
{
	u64 z = rnd_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

unsigned long test_scale(unsigned long n)
{
	n = n * scale / 100;
	return n ? n : 1;
}

static void __attribute__((noreturn)) end_test(enum verdict verdict)
{
	shared->verdict = verdict;
	if (no_fork && getpid() == runner)
		longjmp(test_end, 1);
	_exit(0);
}

void fail_at(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	va_list ap;
	int n;

	n = snprintf(shared->why, sizeof(shared->why), "%s:%d: ",
		     base ? base + 1 : file, line);
	va_start(ap, fmt);
	vsnprintf(shared->why + n, sizeof(shared->why) - n, fmt, ap);
	va_end(ap);
	end_test(FAILED);
}

void skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(shared->why, sizeof(shared->why), fmt, ap);
	va_end(ap);
	end_test(SKIPPED);
}

void row(bool ok, const char *fmt, ...)
{
	va_list ap;

	if (ok) {
		__atomic_fetch_add(&shared->rows_ok, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_fetch_add(&shared->rows_bad, 1, __ATOMIC_RELAXED);
	printf("not ok %s/%s/", program, current);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

void row_skip(const char *name, const char *reason)
{
	__atomic_fetch_add(&shared->rows_skipped, 1, __ATOMIC_RELAXED);
	printf("skip %s/%s/%s: %s\n", program, current, name, reason);
	fflush(stdout);
}

bool file_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	text[n > 0 ? n : 0] = 0;
	if (fd >= 0)
		close(fd);
	return n >= 0;
}

bool file_write(const char *path, const char *text)
{
	ssize_t len = strlen(text);
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, len) == len;

	if (fd >= 0)
		close(fd);
	return ok;
}

void note(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

static void call_test(const struct test *t)
{
	t->fn();
	end_test(PASSED);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

/* Waits for the child; a child over its limit is killed and reported. */
static void wait_child(pid_t pid, unsigned int seconds)
{
	struct timespec tick = { 0, 2000000 };
	double end = now() + seconds;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now() >= end) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			shared->verdict = FAILED;
			snprintf(shared->why, sizeof(shared->why),
				 "still running after %u s", seconds);
			return;
		}
		nanosleep(&tick, NULL);
		if (tick.tv_nsec < 20000000)
			tick.tv_nsec += 1000000;
	}
	if (shared->verdict == RUNNING && WIFSIGNALED(status)) {
		shared->verdict = FAILED;
		snprintf(shared->why, sizeof(shared->why),
			 "ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	} else if (shared->verdict == RUNNING) {
		shared->verdict = FAILED;
		snprintf(shared->why, sizeof(shared->why),
			 "the test process ended early");
	}
}

static void run_forked(const struct test *t)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(2);
	}
	if (pid == 0)
		call_test(t);
	wait_child(pid, t->seconds ? t->seconds : DEFAULT_SECONDS);
}

static void report(const struct test *t, double seconds)
{
	unsigned int rows = shared->rows_ok + shared->rows_bad;

	failed += shared->rows_bad;
	passed += shared->rows_ok;
	skipped += shared->rows_skipped;
	switch (shared->verdict) {
	case PASSED:
		if (shared->rows_bad) {
			printf("not ok %s/%s: %u of %u rows failed\n", program,
			       t->name, shared->rows_bad, rows);
			break;
		}
		if (!rows)
			passed++;
		printf(rows ? "ok %s/%s (%u rows)" : "ok %s/%s",
		       program, t->name, rows);
		printf(seconds >= 1 ? " %.1f s\n" : "\n", seconds);
		break;
	case SKIPPED:
		skipped++;
		printf("skip %s/%s: %s\n", program, t->name, shared->why);
		break;
	default:
		failed++;
		printf("not ok %s/%s: %s\n", program, t->name, shared->why);
	}
	fflush(stdout);
}

static void run_test(const struct test *t)
{
	double start = now();

	memset(shared, 0, sizeof(*shared));
	current = t->name;
	rnd_state = seed;
	if (!no_fork)
		run_forked(t);
	else if (!setjmp(test_end))
		call_test(t);
	report(t, now() - start);
}

static bool wanted(const struct test *t, char **patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++) {
		if (fnmatch(*patterns, t->name, 0) == 0)
			return true;
	}
	return false;
}

static void usage(void)
{
	printf("usage: %s [--list] [--no-fork] [--seed=N] [--scale=PERCENT] "
	       "[TEST-NAME-PATTERN...]\n", program);
	exit(2);
}

static char **options(char **argv)
{
	for (; *argv && (*argv)[0] == '-'; argv++) {
		if (!strcmp(*argv, "--list")) {
			const struct test *t;

			for (t = __start_tests; t < __stop_tests; t++)
				puts(t->name);
			exit(0);
		} else if (!strcmp(*argv, "--no-fork")) {
			no_fork = true;
		} else if (!strncmp(*argv, "--seed=", 7)) {
			seed = strtoull(*argv + 7, NULL, 0);
		} else if (!strncmp(*argv, "--scale=", 8)) {
			scale = strtoul(*argv + 8, NULL, 0);
		} else {
			usage();
		}
	}
	return argv;
}

int main(int argc, char **argv)
{
	const struct test *t;
	struct timespec clock;

	(void)argc;
	program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	clock_gettime(CLOCK_REALTIME, &clock);
	seed = (u64)clock.tv_sec * 1000000007ull + (u64)clock.tv_nsec;
	argv = options(argv + 1);
	runner = getpid();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		perror("mmap");
		return 2;
	}
	for (t = __start_tests; t < __stop_tests; t++) {
		if (wanted(t, argv))
			run_test(t);
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
