// SPDX-License-Identifier: GPL-2.0-only
/*
 * The testbed's man inside: carries output from the emulated machine to the
 * outside through Bochs's debug port.
 *
 * A byte written to port 0xe9 costs one instruction, where a serial line
 * costs thousands. The kernel's early console writes its messages, plain
 * ASCII, to the same port from any processor at any time. So everything sent
 * here has the top bit set, and the reader can part the two byte by byte:
 *
 *	0xc0 | channel		start of a frame (drops an unfinished one)
 *	0x80 | six bits		data, in the order and padding of base64
 *	0xff			end of the frame
 *
 * Usage:
 *	agent exec COMMAND...	run it: stdout is channel 1, stderr 2; its exit
 *				status goes out on channel 3
 *	agent console DEVICE ROWS COLUMNS COMMAND...
 *				the same on a pseudo-terminal: its output is
 *				channel 1, its input what DEVICE receives
 *	agent send CHANNEL	standard input goes out on CHANNEL
 *	agent off		end the emulator
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/io.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define DEBUG_PORT	0xe9
#define SHUTDOWN_PORT	0x8900
#define FRAME_MAX	6000	/* bytes; a multiple of three */

#define CHANNEL_OUT	1
#define CHANNEL_STATUS	3
#define CHANNEL_NOTE	5

#define FRAME_START	0xc0
#define FRAME_DATA	0x80
#define FRAME_END	0xff

static int lock_fd;

static void die(const char *what)
{
	perror(what);
	exit(126);
}

static void port_write(const unsigned char *bytes, size_t n)
{
	asm volatile("rep outsb" : "+S"(bytes), "+c"(n) : "d"(DEBUG_PORT) : "memory");
}

/* Send up to FRAME_MAX bytes as one frame; writers take turns. */
static void send_frame(int channel, const unsigned char *data, size_t n)
{
	static unsigned char frame[FRAME_MAX / 3 * 4 + 8];
	size_t len = 0;
	size_t i;

	frame[len++] = FRAME_START | channel;
	for (i = 0; i < n; i += 3) {
		unsigned int left = n - i;
		unsigned int b1 = left > 1 ? data[i + 1] : 0;
		unsigned int b2 = left > 2 ? data[i + 2] : 0;
		unsigned int bits = data[i] << 16 | b1 << 8 | b2;

		frame[len++] = FRAME_DATA | (bits >> 18 & 63);
		frame[len++] = FRAME_DATA | (bits >> 12 & 63);
		if (left > 1)
			frame[len++] = FRAME_DATA | (bits >> 6 & 63);
		if (left > 2)
			frame[len++] = FRAME_DATA | (bits & 63);
	}
	frame[len++] = FRAME_END;
	flock(lock_fd, LOCK_EX);
	port_write(frame, len);
	flock(lock_fd, LOCK_UN);
}

/* Returns what read() returned; 0 or less means the stream has ended. */
static ssize_t forward(int fd, int channel)
{
	unsigned char data[FRAME_MAX];
	ssize_t n;

	do {
		n = read(fd, data, sizeof(data));
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		send_frame(channel, data, n);
	return n;
}

static pid_t start(char **argv, int out[2], int err[2])
{
	sigset_t none;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	dup2(out[1], 1);
	dup2(err[1], 2);
	ioperm(DEBUG_PORT, 1, 0);
	execvp(argv[0], argv);
	fprintf(stderr, "testbed: %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/*
 * Forward both streams until the command has ended and what it wrote has been
 * sent. A daemon that it leaves behind may keep the pipes open for ever, so
 * the end of the command, not of the streams, is the end.
 */
static int pump(pid_t pid, int out, int err, int sigchld)
{
	struct pollfd fds[3] = {
		{ .fd = out, .events = POLLIN },
		{ .fd = err, .events = POLLIN },
		{ .fd = sigchld, .events = POLLIN },
	};
	int status = 0;
	int ended = 0;
	int ready;

	for (;;) {
		int i;

		ready = poll(fds, ended ? 2 : 3, ended ? 0 : -1);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ended && ready <= 0)
			return status;
		for (i = 0; i < 2; i++)
			if (fds[i].revents && forward(fds[i].fd, i + 1) <= 0)
				fds[i].fd = -1;
		if (!ended && waitpid(pid, &status, WNOHANG) == pid)
			ended = 1;
		else if (!ended && fds[2].revents) {
			struct signalfd_siginfo info;

			if (read(sigchld, &info, sizeof(info)) < 0)
				die("signalfd");
		}
	}
}

static void send_status(int status)
{
	char text[32];

	status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	snprintf(text, sizeof(text), "%d", status);
	send_frame(CHANNEL_STATUS, (unsigned char *)text, strlen(text));
}

static void run(char **argv)
{
	int out[2], err[2];
	sigset_t chld;
	int sigchld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	sigchld = signalfd(-1, &chld, SFD_CLOEXEC);
	if (sigchld < 0 || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		die("pipe");
	send_status(pump(start(argv, out, err), out[0], err[0], sigchld));
}

static int open_serial(const char *device)
{
	struct termios raw;
	int fd = open(device, O_RDONLY | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &raw))
		die(device);
	cfmakeraw(&raw);
	raw.c_cflag |= CLOCAL;
	cfsetspeed(&raw, B115200);
	tcsetattr(fd, TCSANOW, &raw);
	return fd;
}

/* Returns the process; *MASTER is our end of its terminal. */
static pid_t start_on_terminal(char **argv, struct winsize *size, int *master)
{
	pid_t pid = forkpty(master, NULL, NULL, size);

	if (pid < 0)
		die("forkpty");
	if (pid)
		return pid;
	ioperm(DEBUG_PORT, 1, 0);
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

/*
 * Only the serial line's receiver is used: Bochs's loses interrupts when both
 * directions are busy, and the debug port is faster.
 */
static void console(char **argv)
{
	struct winsize size = { .ws_row = atoi(argv[1]), .ws_col = atoi(argv[2]) };
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
	char input[256];
	int status;
	pid_t pid;
	ssize_t n;

	fds[0].fd = open_serial(argv[0]);
	send_frame(CHANNEL_NOTE, (const unsigned char *)"ready", 5);
	pid = start_on_terminal(argv + 3, &size, &fds[1].fd);
	while (poll(fds, 2, -1) > 0) {
		if (fds[1].revents && forward(fds[1].fd, CHANNEL_OUT) <= 0)
			break;
		if (!fds[0].revents)
			continue;
		n = read(fds[0].fd, input, sizeof(input));
		if (n > 0 && write(fds[1].fd, input, n) < 0)
			break;
	}
	waitpid(pid, &status, 0);
	send_status(status);
}

static void power_off(void)
{
	const char *word;

	if (iopl(3))
		die("iopl");
	for (word = "Shutdown"; *word; word++)
		outb(*word, SHUTDOWN_PORT);
}

int main(int argc, char **argv)
{
	lock_fd = open("/run/agent.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock_fd < 0)
		die("/run/agent.lock");
	if (ioperm(DEBUG_PORT, 1, 1))
		die("ioperm");
	if (argc > 2 && !strcmp(argv[1], "exec")) {
		run(argv + 2);
		return 0;
	}
	if (argc > 5 && !strcmp(argv[1], "console")) {
		console(argv + 2);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "send")) {
		while (forward(0, atoi(argv[2])) > 0)
			;
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "off"))
		power_off();
	return 125;
}
