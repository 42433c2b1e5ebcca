#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Tools that know the kernel's KVM see the same of ours: perf kvm stat,
# trace-cmd and the kernel tree's own kvm_stat, unchanged, while a guest runs.
# The guest is stopped before and after a tool has looked at it, so that what
# the tool has counted can be compared with the counters of debugfs.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

MACHINE_OPTIONS=
debugfs=/sys/kernel/debug/kvm
kvm_stat="python3 -B /tests/tools/kvm_stat"

# A guest that prints a line every tenth of a second.
start() {
	# shellcheck disable=SC2086
	qemu vm pc 256 -kernel $guests/cloud/vmlinuz \
		-initrd $guests/cloud/initrd -append "$(linux beat)"
	wait_line vm '^GUEST-BEAT 2' 120
	folder=$(echo $debugfs/"$(pid_of vm)"-*)
	[ -d "$folder" ] || die "no folder of the VM in debugfs"
}

run_guest() {
	monitor vm cont
	sleep "$1"
	monitor vm stop
	sleep 0.5
}

# Exits by reason so far, as debugfs has them.
exits() {
	if [ "$KVM" = intree ]; then
		echo "all $(cat "$folder/exits")"
	else
		cat "$folder/exit_reasons"
	fi
}

# Lines `REASON COUNT` from the tool, or from debugfs, become the same form.
sorted() {
	awk '$2 > 0 { print $1, $2 }' | sort
}

# What has been added between two answers of exits().
since() {
	awk 'NR == FNR { before[$1] = $2; next } { print $1, $2 - before[$1] }' \
		"$1" "$2" | sorted
}

# record COMMAND...: under the tool, the guest goes on for two seconds.
# Before and after, nothing of it moves.
record() {
	monitor vm stop
	sleep 0.5
	exits >$work/before
	export work
	"$@" sh -c 'echo cont >$work/vm.mon.in; sleep 2;
		echo stop >$work/vm.mon.in; sleep 0.5' >$work/tool.log 2>&1 ||
		die "$1: status $?"
	exits >$work/after
	since $work/before $work/after >$work/counted
}

# same FILE SLACK: as many of each reason as debugfs has counted.
same() {
	awk -v slack="$2" 'NR == FNR { want[$1] = $2; next }
		{ got[$1] = $2 }
		END {
			for (r in want) {
				d = want[r] - got[r]
				if (d < -slack || d > slack)
					print r ": " got[r] + 0 " of " want[r]
			}
			for (r in got)
				if (!(r in want))
					print r ": not counted"
		}' $work/counted "$1" >$work/differ.log
	[ ! -s $work/differ.log ] || die "other numbers than debugfs"
}

has() {
	grep -qE -- "$2" "$1" || {
		head -n 40 "$1" >$work/answer.log
		die "no '$2' in what it says"
	}
}

# VM-EXIT Samples Samples% Time% ...; an exit is counted with the entry that
# ends it, which the last one before a stop is without.
test_perf() {
	start
	record perf kvm stat record -a -m 4096 -o $work/perf.data --
	perf kvm -i $work/perf.data stat report >$work/report 2>&1 ||
		die "report: status $?"
	has $work/report '^ *VM-EXIT +Samples +Samples%'
	for reason in IO_INSTRUCTION HLT EXTERNAL_INTERRUPT; do
		has $work/report "^ *$reason +[0-9]+ "
	done
	[ "$KVM" = intree ] && return
	awk '/VM-EXIT/ { on = 1 } on && $3 ~ /^[0-9.]+%$/ { print $1, $2 }' \
		$work/report | sorted >$work/perf
	same $work/perf 1
}

test_trace_cmd() {
	start
	record trace-cmd record -q -b 20000 -e kvm -o $work/trace.dat
	trace-cmd report -i $work/trace.dat >$work/report 2>&1
	trace-cmd report -R -i $work/trace.dat >$work/raw 2>&1
	has $work/report 'kvm_entry: .*rip'
	has $work/report 'kvm_exit: +(vcpu 0 )?reason IO_INSTRUCTION rip 0x'
	has $work/report 'kvm_pio: +pio_write at 0x3f8 size 1 count 1 val 0x'
	has $work/report 'kvm_(inj_virq|apic_accept_irq): '
	has $work/raw 'kvm_exit: .*exit_reason=.*guest_rip=.*isa=.*info1=.*info2='
	has $work/raw 'kvm_entry: .*vcpu_id='
	has $work/raw 'kvm_pio: .*rw=.*port=.*size=.*count=.*val='
	has $work/raw 'kvm_userspace_exit: .*reason=.*errno='
	[ "$KVM" = intree ] && return
	sed -n 's/.* kvm_exit: .*reason \([A-Z_0-9]*\).*/\1/p' $work/report |
		sort | uniq -c | awk '{ print $2, $1 }' | sorted >$work/trace
	same $work/trace 0
}

# The end of an interrupt by a bit in memory, where interrupts are ours.
test_pv_eoi() {
	[ "$(cat /sys/module/kvm*/parameters/enable_apicv | head -n 1)" = N ] ||
		skip 'the processor ends interrupts by itself'
	start
	record trace-cmd record -q -b 20000 -e kvm:kvm_pv_eoi -o $work/trace.dat
	trace-cmd report -i $work/trace.dat >$work/report 2>&1
	has $work/report 'kvm_pv_eoi: .*apicid 0x?0 vector [0-9]+'
}

# kvm_stat [OPTIONS] counts for a second: the guest runs all the while.
look() {
	monitor vm cont
	# shellcheck disable=SC2086
	$kvm_stat "$@" >$work/said 2>$work/stat.log || die "$*: status $?"
	monitor vm stop
}

# row NAME: its total, which must not be 0.
row() {
	[ "$(awk -v name="$1" '$1 == name { print $2 }' $work/said)" -gt 0 ] || {
		cp $work/said $work/said.log
		die "no row $1, or 0 of it"
	}
}

test_kvm_stat() {
	start
	look -1 -t
	for name in kvm_entry kvm_exit 'kvm_exit(IO_INSTRUCTION)' 'kvm_exit(HLT)' \
			kvm_pio kvm_userspace_exit 'kvm_userspace_exit(IO)'; do
		row "$name"
	done
	look -1 -d
	for name in exits io_exits halt_exits irq_exits; do
		row $name
	done
	look -1 -d -t -p "$(pid_of vm)"
	for name in exits kvm_exit 'kvm_exit(IO_INSTRUCTION)'; do
		row "$name"
	done
	look -1 -f help
	has $work/said '^ *kvm_userspace_exit$'
}

# Ours, from scripts/.
test_our_kvm_stat() {
	[ "$KVM" != intree ] || skip "the kernel's own counts by no reason"
	start
	monitor vm cont
	python3 -B /root/kvm_stat -1 >$work/said 2>$work/stat.log ||
		die "status $?"
	has $work/said '^ *exit:HLT +[0-9]+ '
	has $work/said '^ *exits +[0-9]+ '
	python3 -B /root/kvm_stat -c -n 2 -p "$(pid_of vm)" >$work/said \
		2>$work/stat.log || die "--csv: status $?"
	[ "$(wc -l <$work/said)" = 3 ] || {
		cp $work/said $work/said.log
		die 'not a line for each interval'
	}
}

for name in perf trace_cmd pv_eoi kvm_stat our_kvm_stat; do
	run_test $name
done
total
