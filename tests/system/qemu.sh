#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The patched QEMU (qemu/) shows a VMCS in its monitor. Runs inside the emulated
# machine, under our module and under the kernel's own, which shows none.

# As QEMU comes: without controllers in the kernel, a second vCPU that halts
# would leave the monitor no time.
MACHINE_OPTIONS=
QEMU="/tests/qemu-system-x86_64 -L /usr/share/qemu -L /usr/share/seabios"
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

# A guest that does not end: firmware that looks for something to boot.
start() {
	qemu vm pc 64 -smp "${1:-1}" -boot menu=on,splash-time=60000
	cat $work/vm.mon.out >$work/vm.said &
	echo $! >>$work/vm.holders
	answer 1 >/dev/null
}

# What the monitor has said from byte N on, once it waits for a command.
answer() {
	end=$(($(seconds) + 30))
	until [ "$(tail -c +"$1" $work/vm.said | tail -c 7)" = '(qemu) ' ]; do
		alive vm || die "QEMU ended: $(cat $work/vm.log)"
		[ "$(seconds)" -lt $end ] || die 'the monitor does not answer'
		sleep 0.2
	done
	tail -c +"$1" $work/vm.said | tr -d '\r'
}

ask() {
	said=$(stat -c %s $work/vm.said)
	monitor vm "$@"
	answer $((said + 1))
}

ours() {
	[ "$KVM" != intree ] || skip "the kernel's own KVM shows no VMCS"
}

has() {
	grep -qE -- "$2" "$1" || {
		cp "$1" $work/answer.log
		die "no '$2' in the answer"
	}
}

test_info_vmcs() {
	ours
	start
	ask info vmcs >$work/a
	has $work/a '^VMCS of vCPU 0 at 0x[0-9a-f]*000, revision 0x2b, launched'
	for group in Control 'VM-exit information' Guest Host; do
		has $work/a "^$group\$"
	done
	has $work/a '0x681e GUEST_RIP +[0-9a-f]{16}'
	has $work/a 'PIN_BASED_CTLS +[0-9a-f]{8}  External-interrupt exiting, '
	has $work/a 'GUEST_CS_AR +[0-9a-f]{8}  (code|data), '
	has $work/a 'HOST_RIP +ffffffff'
	[ "$(ask help info | grep -c 'info vmcs')" = 1 ] || die 'not in the help'
}

test_options() {
	ours
	start 2
	ask info vmcs >$work/some
	ask info vmcs -a >$work/all
	ask info vmcs -v >$work/words
	ask info vmcs -a 1 >$work/other
	ask info vmcs 7 >$work/none
	[ "$(wc -l <$work/all)" -gt "$(wc -l <$work/some)" ] ||
		die '-a shows no more'
	has $work/all 'CR3_TARGET_COUNT +0+ '
	has $work/words '^ +Guest RIP$'
	has $work/other '^VMCS of vCPU 1 at'
	has $work/none 'There is no vCPU with this index'
}

test_changes_are_marked() {
	ours
	start
	ask stop >/dev/null
	ask info vmcs >$work/first
	ask info vmcs >$work/second
	! grep -q '^\*' $work/second || die 'marked although nothing changed'
	ask cont >/dev/null
	sleep 1
	ask info vmcs >$work/third
	has $work/third '^\* 0x'
}

test_info_registers() {
	ours
	start
	ask info registers >$work/a
	has $work/a '^VMCS=[0-9a-f]{13}000$'
	[ "$(grep -o '^VMCS=.*' $work/a | cut -c6- | sed 's/^0*//')" = \
		"$(ask info vmcs | sed -n 's/^VMCS of.* at 0x\(.*\), rev.*/\1/p')" ] ||
		die 'it is another one than info vmcs says'
}

test_qmp() {
	mkfifo $work/q.in $work/q.out
	sleep 100000 <>$work/q.in >/dev/null &
	echo $! >$work/q.holders
	sleep 100000 <>$work/q.out >/dev/null &
	echo $! >>$work/q.holders
	qemu vm pc 64 -chardev pipe,id=q,path=$work/q \
		-mon chardev=q,mode=control -boot menu=on,splash-time=60000
	for command in qmp_capabilities x-query-vmcs; do
		echo "{ \"execute\": \"$command\" }" >$work/q.in
	done
	timeout 4 cat $work/q.out >$work/answer
	if [ "$KVM" = intree ]; then
		has $work/answer "This host's KVM does not show a VMCS"
		return
	fi
	has $work/answer '"name": "GUEST_RIP"'
	has $work/answer '"revision": 43'
	has $work/answer '"launched": true'
	has $work/answer '"encoding": 26654'
}

# Nothing but the answer differs where there is no VMCS to show.
test_elsewhere() {
	[ "$KVM" = intree ] || skip 'this is for the kernel'"'"'s own KVM'
	start
	ask info vmcs >$work/a
	has $work/a "This host's KVM does not show a VMCS"
	ask info registers >$work/b
	has $work/b '^EFER='
	! grep -q '^VMCS' $work/b || die 'a VMCS in info registers'
	ask info status >$work/c
	has $work/c running
}

# By a module that breaks a rule behind the driver's back: nothing that a
# monitor can ask for does.
test_failed_entry() {
	trace=/sys/kernel/tracing
	start
	dmesg -c >/dev/null
	echo 1 >$trace/events/kvm/enable
	insmod /tests/holder/spoil.ko field=0x6820 value=0 ||
		die 'cannot break a rule'
	sleep 1
	rmmod spoil
	echo 0 >$trace/events/kvm/enable
	has $work/vm.log 'entry failed, hardware error 0x80000021'
	broken='Guest RFLAGS is 0x0 .*"Checks on Guest RIP, RFLAGS, and SSP"'
	if [ "$KVM" != intree ]; then
		has $work/vm.log "$broken"
		dmesg >$work/dmesg
		has $work/dmesg "broken: .*$broken"
		cat /sys/kernel/debug/kvm/*/vcpu0/entry_failure >$work/debugfs
		has $work/debugfs '^failed entries: 1$'
		has $work/debugfs "$broken"
		grep kvm_entry_check_failed $trace/trace >$work/traced
		has $work/traced 'vcpu 0 "Checks on Guest RIP, RFLAGS, and SSP"'
	fi
	ask info status >$work/status
	has $work/status 'paused \(internal-error\)'
}

for name in info_vmcs options changes_are_marked info_registers qmp \
		failed_entry elsewhere; do
	run_test $name
done
total
