#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# First process of the emulated machine: mounts, modules, then the command,
# all of which rootfs.py has left in /testbed. The last word is the agent's,
# which ends the emulator.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LC_ALL=C.UTF-8 TERM=linux
agent=/testbed/agent

say() {
	echo "$1" | $agent send 5
}

# $1: what; the command's exit status is then the testbed's own failure.
fail() {
	echo "$1" | $agent send 6
	$agent off
	sleep 60
}

mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
hostname testbed
ip link set lo up
ulimit -l unlimited
ln -sf /proc/self/fd /dev/fd
cd /root

say modules
while read -r name parameters; do
	# shellcheck disable=SC2086
	insmod "/testbed/modules/$name.ko" $parameters 2>/run/insmod ||
		fail "cannot load module $name: $(cat /run/insmod)"
done </testbed/modules/list

. /testbed/environment
if [ "${rows-}" ]; then
	# Bochs loses interrupts of a serial port that has a FIFO.
	setserial /dev/ttyS0 uart 16450
	$agent console /dev/ttyS0 "$rows" "$columns" sh /testbed/command
else
	say ready
	sh /testbed/command
fi
sh /testbed/get | $agent send 4
say off
sync
$agent off
sleep 60
