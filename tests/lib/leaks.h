/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Leak check: what the kernel holds before and after. Slab counts and page
 * table pages move a little by themselves, so a caller compares after a few
 * rounds of the same work and names the growth it tolerates.
 */
#ifndef TESTS_LEAKS_H
#define TESTS_LEAKS_H

#include "harness.h"

struct usage {
	long slab_kb;			/* Slab: of /proc/meminfo */
	long page_tables_kb;		/* PageTables + SecPageTables */
	long used_kb;			/* neither free nor page cache */
	long module_refs;		/* users of kvm; -1: not a module */
};

/*
 * One round of a fuzzer, with random numbers that depend on `salt`, in a
 * process of its own: its end must take everything with it.
 */
void fuzz_round(void (*fuzz)(unsigned long calls), u64 salt,
		unsigned long calls);

void usage_get(struct usage *u);
/* Fails the test when memory grew by more, or the references changed. */
void usage_check(const struct usage *before, long tolerated_kb);

#endif
