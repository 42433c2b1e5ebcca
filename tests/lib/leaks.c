// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads /proc/meminfo, /proc/zoneinfo and the module's reference count; see
 * leaks.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leaks.h"

static long meminfo(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	long kb = 0;

	if (at)
		sscanf(at + strlen(key), ": %ld", &kb);
	return kb;
}

/*
 * Empties caches, so that what is left is in use, and has the kernel fold the
 * per-processor parts of its counters.
 */
static void drop_caches(void)
{
	file_write("/proc/sys/vm/drop_caches", "3");
	usleep(50000);
	file_write("/proc/sys/vm/stat_refresh", "1");
}

/* Free pages that wait in per-processor lists; MemFree leaves them out. */
static long per_cpu_free_kb(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	char line[256];
	long pages = 0, n;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	}
	if (f)
		fclose(f);
	return pages * 4;
}

void usage_get(struct usage *u)
{
	char text[8192];

	drop_caches();
	file_read("/sys/module/kvm/refcnt", text, sizeof(text));
	if (sscanf(text, "%ld", &u->module_refs) != 1)
		u->module_refs = -1;
	file_read("/proc/meminfo", text, sizeof(text));
	u->slab_kb = meminfo(text, "\nSlab");
	u->page_tables_kb = meminfo(text, "\nPageTables") +
			    meminfo(text, "\nSecPageTables");
	u->used_kb = meminfo(text, "MemTotal") - meminfo(text, "\nMemFree") -
		     meminfo(text, "\nCached") - meminfo(text, "\nBuffers") -
		     per_cpu_free_kb();
}

/*
 * VMs are freed after RCU grace periods and from work queues: an amount still
 * held is given two seconds to go.
 */
void usage_check(const struct usage *before, long tolerated_kb)
{
	struct usage now;
	int i;

	for (i = 0; i < 20; i++) {
		usage_get(&now);
		if (now.slab_kb - before->slab_kb <= tolerated_kb &&
		    now.used_kb - before->used_kb <= tolerated_kb &&
		    now.module_refs == before->module_refs)
			return;
	}
	fail("slab %ld -> %ld KiB, used %ld -> %ld KiB, page tables "
	     "%ld -> %ld KiB, module references %ld -> %ld",
	     before->slab_kb, now.slab_kb, before->used_kb, now.used_kb,
	     before->page_tables_kb, now.page_tables_kb,
	     before->module_refs, now.module_refs);
}

void fuzz_round(void (*fuzz)(unsigned long calls), u64 salt,
		unsigned long calls)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		while (salt--)
			rnd();
		fuzz(calls);
		_exit(0);
	}
	WORKS(waitpid(pid, &status, 0));
	CHECK(WIFEXITED(status));
	EQ(WEXITSTATUS(status), 0);
}
