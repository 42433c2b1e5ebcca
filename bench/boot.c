// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a whole guest costs: runs QEMU until the guest powers itself off or
 * resets itself, and prints the instructions from QEMU's start to that moment,
 * and VM exits:
 *
 *	cost NAME 1 INSTRUCTIONS
 *	cost NAME-exits 1 EXITS
 *
 *	boot NAME QEMU ARGUMENT...
 *
 * QEMU is told to stop at the end rather than to exit, since the counters in
 * debugfs go with the VM; its monitor (QMP) on standard input and output says
 * when that is.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

static const char *const monitor[] = {
	"-qmp", "stdio", "-no-reboot", "-action", "shutdown=pause",
};

static void __attribute__((noreturn)) die(const char *what)
{
	perror(what);
	exit(1);
}

static void __attribute__((noreturn)) run_qemu(char **arguments, int n, int in,
					       int out)
{
	char **all = calloc(n + ARRAY_SIZE(monitor) + 1, sizeof(*all));

	if (!all)
		die("calloc");
	memcpy(all, arguments, n * sizeof(*all));
	memcpy(all + n, monitor, sizeof(monitor));
	dup2(in, 0);
	dup2(out, 1);
	execvp(all[0], all);
	die(all[0]);
}

static void wait_for(FILE *from, const char *event)
{
	char line[4096];

	while (fgets(line, sizeof(line), from))
		if (strstr(line, event))
			return;
	fprintf(stderr, "boot: QEMU ended without %s\n", event);
	exit(1);
}

static unsigned long exits(void)
{
	FILE *file = fopen("/sys/kernel/debug/kvm/exits", "r");
	unsigned long n;

	if (!file || fscanf(file, "%lu", &n) != 1)
		die("kvm/exits");
	fclose(file);
	return n;
}

int main(int argc, char **argv)
{
	static const char hello[] = "{\"execute\": \"qmp_capabilities\"}\n";
	int in[2], out[2];
	u64 begin, end;
	FILE *from;
	pid_t pid;

	if (argc < 3 || pipe2(in, 0) || pipe2(out, 0))
		die("boot");
	begin = rdtsc();
	pid = fork();
	if (!pid)
		run_qemu(argv + 2, argc - 2, in[0], out[1]);
	close(out[1]);
	from = fdopen(out[0], "r");
	if (pid < 0 || !from || write(in[1], hello, strlen(hello)) < 0)
		die("boot");
	wait_for(from, "\"SHUTDOWN\"");
	end = rdtsc();
	printf("cost %s 1 %llu\n", argv[1], end - begin);
	printf("cost %s-exits 1 %lu\n", argv[1], exits());
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
