#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Loading and unloading our module, at /root/kvm.ko: refusals with the right
# error and one line in the kernel's log, and nothing left when it goes.
#
#	loading.sh absent|disabled	on a machine without usable VT-x
#	loading.sh			on one with, the kernel's own kvm and
#					kvm_intel loaded, holder.ko at hand

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

ours=/root/kvm.ko
holder=/tests/holder/holder.ko
# That of kmod, by its path: the shell's own tries twice.
insmod=/usr/sbin/insmod

# What the module has said since the mark, without what the kernel says of
# every module from outside.
mark() {
	dmesg -c >/dev/null
}

lines() {
	dmesg | grep 'kvm: ' | grep -vE 'taint|verification'
}

# refused ERROR LINE: insmod must fail with ERROR and log LINE, once.
refused() {
	mark
	! $insmod $ours 2>$work/insmod.log || die 'it has been loaded'
	grep -q "$1" $work/insmod.log ||
		die "expected \"$1\": $(cat $work/insmod.log)"
	[ -z "$2" ] || lines | grep -q "$2" || die "no line \"$2\": $(lines)"
	[ "$(lines | wc -l)" -le 1 ] || die "more than one line: $(lines)"
	[ -z "$(lines)" ] || note "$(lines | sed 's/^\[[^]]*\] //')"
}

loaded() {
	mark
	$insmod $ours 2>$work/insmod.log || die "$(cat $work/insmod.log) $(lines)"
	[ -c /dev/kvm ] || die 'no /dev/kvm'
}

gone() {
	rmmod kvm 2>$work/rmmod.log || die "$(cat $work/rmmod.log)"
	[ ! -e /dev/kvm ] || die '/dev/kvm is still there'
	[ ! -e /sys/kernel/debug/kvm ] || die 'debugfs is still there'
}

# vmx_is ON|OFF: on all processors.
vmx_is() {
	$insmod $holder check=1 2>$work/holder.log
	case $1:$(cat $work/holder.log) in
	on:*busy*|off:*unavailable*) ;;
	*) die "VMX is not $1: $(cat $work/holder.log)" ;;
	esac
}

test_absent() {
	refused 'Operation not supported' 'no VT-x'
}

test_disabled() {
	refused 'Operation not supported' 'disabled by firmware'
}

test_kernels_own_loaded() {
	refused 'File exists'
	rmmod kvm_intel kvm || die 'cannot unload the kernel'"'"'s own'
}

test_vmx_in_use() {
	$insmod $holder vmxe=1 || die 'no holder'
	refused 'busy' 'in use by another hypervisor'
	rmmod holder
	dmesg | grep -q "holder: CR4.VMXE on $(nproc) processors" ||
		die "VMX was turned off: $(dmesg | grep holder:)"
}

test_device_in_use() {
	$insmod $holder device=1 || die 'no holder'
	refused 'busy' 'belongs to another'
	rmmod holder
	vmx_is off
}

test_load() {
	loaded
	[ "$(lines | wc -l)" = 1 ] || die "not one line: $(lines)"
	note "$(lines | sed 's/^\[[^]]*\] //')"
	vmx_is on
	refused 'File exists'
	gone
	vmx_is off
}

test_unload_refused() {
	loaded
	( exec 9</dev/kvm; sleep 1000 ) &
	sleep 1
	! rmmod kvm 2>$work/rmmod.log || die 'unloaded while /dev/kvm is open'
	kill $!
	qemu vm pc 128 -kernel $guests/touch
	wait_line vm GUEST-TOUCHED 60
	! rmmod kvm 2>$work/rmmod.log || die 'unloaded while a VM exists'
	kill_qemus
	sleep 0.5
	gone
}

test_load_again_and_again() {
	for _ in 1 2 3 4 5 6 7 8; do
		loaded
		gone
	done
	vmx_is off
}

# A processor that is away while the module comes or goes.
test_load_with_processor_away() {
	online=/sys/devices/system/cpu/cpu1/online
	[ -e $online ] || skip 'one processor'
	echo 0 >$online
	loaded
	echo 1 >$online
	vmx_is on
	echo 0 >$online
	gone
	echo 1 >$online
	vmx_is off
}

# The kernel's own finds everything as it was before us.
test_hand_back() {
	loaded
	gone
	for module in kvm kvm_intel; do
		$insmod /testbed/modules/$module.ko 2>$work/insmod.log ||
			die "$(cat $work/insmod.log)"
	done
	rmmod kvm_intel kvm
}

case $1 in
'')	tests='kernels_own_loaded vmx_in_use device_in_use load
		unload_refused load_again_and_again
		load_with_processor_away hand_back' ;;
*)	tests=$1 ;;
esac
for test in $tests; do
	run_test "$test"
	rmmod holder 2>/dev/null
done
total
