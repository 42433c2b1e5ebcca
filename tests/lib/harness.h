/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test harness: a program is a list of TEST(name) functions. Each runs in
 * a forked child with a time limit, so that a test that hangs, crashes or
 * leaves file descriptors behind cannot disturb the next one; --no-fork runs
 * them all in one process.
 *
 * The first failing check ends its test. A table-driven test calls row() for
 * each row instead: rows are counted one by one and only failing rows print.
 *
 * Output: `ok NAME`, `not ok NAME: why`, `skip NAME: reason`, and at the end
 * `N passed, M failed, K skipped`; the exit status is 0 when nothing failed.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <stddef.h>

#include "include/ints.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define BIT(n)		(1ull << (n))
#define __printf(f, a)	__attribute__((format(printf, f, a)))

struct test {
	const char *name;
	void (*fn)(void);
	unsigned int seconds;		/* time limit; 0: the default */
};

#define TEST_TIMED(n, limit)						\
	static void test_##n(void);					\
	static const struct test __test_##n				\
	__attribute__((section("tests"), used, aligned(sizeof(long)))) = \
		{ #n, test_##n, limit };				\
	static void test_##n(void)
#define TEST(n)	TEST_TIMED(n, 0)

void __attribute__((noreturn)) __printf(3, 4)
	fail_at(const char *file, int line, const char *fmt, ...);
void __attribute__((noreturn)) __printf(1, 2) skip(const char *fmt, ...);
void __printf(2, 3) row(bool ok, const char *fmt, ...);
void __printf(1, 2) note(const char *fmt, ...);
void row_skip(const char *name, const char *reason);

/* The program's seed for random choices: --seed=N, else from the clock. */
u64 test_seed(void);
u64 rnd(void);
/* Scales how long random tests run: --scale=N per cent, 100 by default. */
unsigned long test_scale(unsigned long n);

/* A whole file of the host's, as text; false: errno says why not. */
bool file_read(const char *path, char *text, size_t size);
bool file_write(const char *path, const char *text);

#define fail(...)	fail_at(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(cond) do {						\
	if (!(cond))							\
		fail("%s", #cond);					\
} while (0)

#define EQ(got, want) do {						\
	u64 __got = (u64)(got), __want = (u64)(want);			\
									\
	if (__got != __want)						\
		fail("%s: got 0x%llx, expected 0x%llx", #got, __got, __want); \
} while (0)

/* The call must fail with exactly this errno. */
#define FAILS(call, err) do {						\
	long __r = (call);						\
									\
	if (__r != -1 || errno != (err))				\
		fail("%s: got %ld (errno %d, %s), expected %s", #call,	\
		     __r, __r == -1 ? errno : 0,			\
		     __r == -1 ? strerror(errno) : "none", #err);	\
} while (0)

#define WORKS(call) ({							\
	long __r = (call);						\
									\
	if (__r < 0)							\
		fail("%s: errno %d (%s)", #call, errno, strerror(errno)); \
	__r;								\
})

#endif
