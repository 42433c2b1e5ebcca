#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Processors of the host: vCPUs that move between them, processors that go
# away and come back under running guests, sleep. Wants a host with two.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

kernel="-kernel $guests/cloud/vmlinuz -initrd $guests/cloud/initrd"
cpu1=/sys/devices/system/cpu/cpu1/online

# pin NAME MASK: all threads of a QEMU.
pin() {
	for thread in "/proc/$(pid_of "$1")"/task/*; do
		taskset -p "$2" "${thread##*/}" >/dev/null 2>&1
	done
}

# shellcheck disable=SC2086
spinning() {
	qemu vm pc 256 $kernel -append "$(linux spin)"
	wait_line vm 'GUEST-BEAT 1' 150
}

beats() {
	grep -c GUEST-BEAT $work/vm.serial
}

# still_running: two more beats.
still_running() {
	wait_line vm "GUEST-BEAT $(($(beats) + 2))" 60
}

# From processor to processor ten times a second, from SeaBIOS on.
# shellcheck disable=SC2086
test_vcpu_moves() {
	serve_blob
	make_disk $work/vm.disk
	qemu vm q35 512 $kernel -append "$(linux work,disk,net)" \
		-drive file=$work/vm.disk,format=raw,if=virtio,cache=unsafe \
		-netdev user,id=net -device virtio-net-pci,netdev=net,romfile=
	moves=0
	while alive vm && [ $moves -lt 2000 ]; do
		pin vm $((1 + moves % 2))
		moves=$((moves + 1))
		sleep 0.1
	done
	finish vm 60
	check_disk vm $work/vm.disk
	check_net vm
	note "moved $moves times"
}

# Without interrupt controllers in the kernel, QEMU 7.2 itself spins when the
# second vCPU halts, under the kernel's own KVM as well.
# shellcheck disable=SC2086
test_two_vcpus() {
	MACHINE_OPTIONS=kernel_irqchip=on
	qemu vm q35 256 -smp 2 $kernel -append "$(linux work,cpus)"
	finish vm 240
	[ "$(said vm cpus)" = 2 ] || die "the guest has $(said vm cpus)"
}

test_hotplug() {
	spinning
	for _ in 1 2 3; do
		pin vm 2
		still_running
		echo 0 >$cpu1 || die 'cannot take processor 1 away'
		still_running
		echo 1 >$cpu1 || die 'processor 1 does not come back'
		still_running
	done
	kill "$(pid_of vm)"
	wait_end vm 30
	# A new one, on the processor that came back.
	# shellcheck disable=SC2086
	qemu new microvm 256 $kernel -append "$(linux work)"
	pin new 2
	finish new 150
}

# Up to what the kernel's own test mode covers: every processor but one goes
# away, devices and the system core are suspended.
test_suspend() {
	[ -e /sys/power/pm_test ] || skip 'this kernel has no pm_test'
	spinning
	echo core >/sys/power/pm_test
	for state in mem disk; do
		grep -q $state /sys/power/state || continue
		for _ in 1 2; do
			echo $state >/sys/power/state 2>$work/power.log ||
				die "$state: $(cat $work/power.log)" \
					"$(dmesg | tail -n 1)"
			still_running
		done
		slept=$state
	done
	[ -n "$slept" ] || skip "no sleep state: $(cat /sys/power/state)"
	note "slept: $slept"
}

# What a guest's clock says of it.
test_clock() {
	/tests/guest/kvmclock '*sleep*' >$work/clock.log
	status=$?
	why=$(grep -e '^not ok' -e '^skip' $work/clock.log)
	[ $status -eq 0 ] || die "${why:-status $status}"
	[ -z "$why" ] || skip "$why"
}

test_unload() {
	unload 2>$work/rmmod.log || die "$(cat $work/rmmod.log)"
}

for test in ${TESTS:-vcpu_moves two_vcpus hotplug suspend unload}; do
	run_test "$test"
done
total
