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
 * With REASONS in the environment the kernel counts VM exits by reason (a
 * histogram of the tracepoint kvm_exit, which makes them dearer), and instead
 * of costs there is for each
 *
 *	reason NAME REASON EXITS
 *
 * QEMU is told to stop at the end rather than to exit, since the counters in
 * debugfs go with the VM; its monitor (QMP) on standard input and output says
 * when that is.
 */
#define _GNU_SOURCE
#include <asm/vmx.h>
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

#define EVENT		"/sys/kernel/tracing/events/kvm/kvm_exit/"

static FILE *open_or_die(const char *name, const char *mode)
{
	FILE *file = fopen(name, mode);

	if (!file)
		die(name);
	return file;
}

static void count_reasons(bool on)
{
	FILE *file = open_or_die(EVENT "trigger", "w");

	fprintf(file, "%shist:keys=exit_reason", on ? "" : "!");
	if (fclose(file))
		die(EVENT "trigger");
}

static const char *reason_name(unsigned int reason)
{
	static const struct { unsigned int reason; const char *name; }
		names[] = { VMX_EXIT_REASONS };
	static char number[12];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].reason == reason)
			return names[i].name;
	snprintf(number, sizeof(number), "%u", reason);
	return number;
}

static void print_reasons(const char *name)
{
	FILE *file = open_or_die(EVENT "hist", "r");
	unsigned int reason;
	char line[256];
	u64 count;

	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "{ exit_reason: %u } hitcount: %llu", &reason,
			   &count) == 2)
			printf("reason %s %s %llu\n", name,
			       reason_name(reason), count);
	fclose(file);
}

static void print_costs(const char *name, u64 cost)
{
	printf("cost %s 1 %llu\n", name, cost);
	printf("cost %s-exits 1 %lu\n", name, exits());
}

int main(int argc, char **argv)
{
	static const char hello[] = "{\"execute\": \"qmp_capabilities\"}\n";
	const bool reasons = getenv("REASONS");
	int in[2], out[2];
	u64 begin, end;
	FILE *from;
	pid_t pid;

	if (argc < 3 || pipe2(in, 0) || pipe2(out, 0))
		die("boot");
	if (reasons)
		count_reasons(true);
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
	if (reasons) {
		print_reasons(argv[1]);
		count_reasons(false);
	} else {
		print_costs(argv[1], end - begin);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
