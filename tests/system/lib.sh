# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# For the system tests, which run as root inside the emulated machine: QEMU
# processes under control, questions to their serial lines, monitors and
# screens, and a harness that speaks like tests/lib/harness.h (`ok NAME`,
# `not ok NAME: why`, `skip NAME: reason`, a total).
#
# A test is a function test_NAME, run in a subshell: `die WHY` fails it,
# `skip WHY` ends it. QEMUs still there when it ends are killed.

here=$(dirname "$0")
# shellcheck source=tests/lib/module.sh
. "$here/module.sh"
guests=/tests/guests
share=/usr/share
work=/tmp/system
mkdir -p $work /out

# Debian's QEMU as a user would start it, but for these.
CPU=${CPU:-host}
MACHINE_OPTIONS=${MACHINE_OPTIONS-kernel_irqchip=off}

# The harness.

passed=0 failed=0 skipped=0
variant=	# what is put before a test's name: under what it runs

die() {
	echo "$*" >$work/why
	exit 1
}

skip() {
	echo "$*" >$work/why
	exit 77
}

note() {
	echo "# $*"
}

seconds() {
	cut -d. -f1 /proc/uptime
}

# What a failed test leaves to look at.
show_serials() {
	for serial in $work/*.serial $work/*.log; do
		[ -s "$serial" ] || continue
		echo "# $(basename "$serial"):"
		tail -n 15 "$serial" | tr -d '\r' | sed 's/^/#  /'
	done
	dmesg | tail -n 5 | sed 's/^/# dmesg: /'
}

run_test() {
	[ -z "$ONLY" ] || case $1 in $ONLY) ;; *) return ;; esac
	rm -rf $work
	mkdir -p $work
	start=$(seconds)
	( trap kill_qemus EXIT; "test_$1" )
	status=$?
	took="$(($(seconds) - start)) s"
	case $status in
	0)	echo "ok system/$variant$1 ($took)"
		passed=$((passed + 1)) ;;
	77)	echo "skip system/$variant$1: $(cat $work/why)"
		skipped=$((skipped + 1)) ;;
	*)	echo "not ok system/$variant$1: $(cat $work/why 2>/dev/null ||
			echo "status $status") ($took)"
		show_serials
		failed=$((failed + 1)) ;;
	esac
}

total() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed -eq 0 ]
}

# QEMU.

# qemu NAME MACHINE MEMORY ARGUMENTS...: start one in the background.
qemu() {
	name=$1 machine=$2 memory=$3
	shift 3
	mkfifo $work/$name.mon.in $work/$name.mon.out
	# Both ends open, so that nobody waits for the other.
	sleep 100000 <>$work/$name.mon.in >/dev/null &
	holder=$!
	sleep 100000 <>$work/$name.mon.out >/dev/null &
	echo "$holder $!" >$work/$name.holders
	machine=$machine${MACHINE_OPTIONS:+,$MACHINE_OPTIONS}
	# shellcheck disable=SC2086
	${QEMU:-qemu-system-x86_64} -machine "$machine" -accel kvm \
		-cpu "$CPU" -m "$memory" -nodefaults -display none \
		-no-reboot -serial "file:$work/$name.serial" \
		-monitor "pipe:$work/$name.mon" "$@" \
		>$work/$name.log 2>&1 </dev/null &
	echo $! >$work/$name.pid
}

pid_of() {
	cat "$work/$1.pid"
}

alive() {
	[ -d "/proc/$(pid_of "$1")" ] &&
		! grep -q "^State:.[ZX]" "/proc/$(pid_of "$1")/status" 2>/dev/null
}

kill_qemus() {
	for pid in $work/*.pid; do
		[ -e "$pid" ] && kill -9 "$(cat "$pid")" 2>/dev/null
	done
	for holders in $work/*.holders; do
		# shellcheck disable=SC2046
		[ -e "$holders" ] && kill $(cat "$holders") 2>/dev/null
	done
	wait
}

# The command line of a Linux guest that does JOBS. The rate of the time-stamp
# counter is given as the emulated machine's own kernel got it: a guest without
# kvmclock measures it with the PIT, which takes a quicker processor than this.
linux() {
	echo "console=ttyS0 quiet panic=-1 cryptomgr.notests" \
		"tsc=reliable $(grep -o 'tsc_early_khz=[0-9]*' /proc/cmdline)" "do=$1"
}

# wait_line NAME PATTERN SECONDS: until the serial line has shown it.
wait_line() {
	end=$(($(seconds) + $3))
	until grep -qE "$2" "$work/$1.serial" 2>/dev/null; do
		[ "$(seconds)" -lt $end ] ||
			die "$1: no '$2' within $3 s"
		alive "$1" || {
			grep -qE "$2" "$work/$1.serial" && return
			die "$1: QEMU ended before '$2': $(tail -n 1 $work/$1.log)"
		}
		sleep 0.3
	done
}

# wait_end NAME SECONDS: QEMU must end by itself with status 0.
wait_end() {
	end=$(($(seconds) + $2))
	while alive "$1"; do
		[ "$(seconds)" -lt $end ] || die "$1: still running after $2 s"
		sleep 0.3
	done
	wait "$(pid_of "$1")" || die "$1: QEMU ended with status $?:" \
		"$(tail -n 1 $work/$1.log)"
	grep -v 'warning: .*\(APIC\|irqchip\)' $work/$1.log | sed "s/^/# $1: /"
}

# finish NAME SECONDS: the guest must do its jobs well and power off.
finish() {
	wait_line "$1" '^GUEST-DONE' "$2"
	wait_end "$1" 20
	! grep -q '^GUEST-BAD' $work/$1.serial ||
		die "$1: $(grep '^GUEST-BAD' $work/$1.serial | head -n 1)"
	note "$1: $(sed -n 's/^GUEST-OK boot //p' $work/$1.serial | tr -d '\r')"
}

# said NAME WORD: what the guest printed after GUEST-OK WORD.
said() {
	sed -n "s/^GUEST-OK $2 //p" "$work/$1.serial" | tr -d '\r'
}

# check_paging NAME: the checksum is the one that this machine gets by itself.
check_paging() {
	[ -e /tmp/paging ] || "$guests/cloud/paging_load" >/tmp/paging
	[ "$(said "$1" paging)" = "$(cat /tmp/paging)" ] ||
		die "$1: checksum '$(said "$1" paging)', not $(cat /tmp/paging)"
}

monitor() {
	name=$1
	shift
	echo "$*" >$work/$name.mon.in
}

# screen NAME FILE: the text on its VGA screen; the picture stays as FILE.ppm.
screen() {
	rm -f "$2.ppm"
	monitor "$1" "screendump $2.ppm"
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		sleep 0.2
		"$here/vgatext" "$2.ppm" $share/seabios/vgabios-stdvga.bin \
			2>/dev/null && return
	done
	"$here/vgatext" "$2.ppm" $share/seabios/vgabios-stdvga.bin 2>&1
}

# wait_screen NAME FILE PATTERN SECONDS
wait_screen() {
	end=$(($(seconds) + $4))
	until screen "$1" "$2" >"$2.txt" && grep -qE "$3" "$2.txt"; do
		[ "$(seconds)" -lt $end ] || {
			cp "$2.txt" $work/screen.log
			die "$1: no '$3' on the screen within $4 s"
		}
		alive "$1" || die "$1: QEMU ended: $(tail -n 1 $work/$1.log)"
		sleep 1
	done
}

# Disks, network.

sum() {
	md5sum | cut -d' ' -f1
}

# A 4 MiB disk, its first half random.
make_disk() {
	dd if=/dev/urandom of="$1" bs=64k count=32 2>/dev/null
	truncate -s 4M "$1"
}

# Serve to the guests http://10.0.2.2:8080/blob, and $guests/ (once is enough).
serve_blob() {
	[ -e /srv/blob ] && return
	mkdir -p /srv
	dd if=/dev/urandom of=/srv/blob bs=64k count=8 2>/dev/null
	ln -s "$guests" /srv/guests
	busybox httpd -p 127.0.0.1:8080 -h /srv
}

# check_disk NAME FILE: both wrote and read the same.
check_disk() {
	[ "$(said "$1" disk)" = "$(dd if="$2" bs=64k count=16 2>/dev/null |
		sum)" ] || die "$1: the guest read another disk"
	[ "$(dd if="$2" bs=64k skip=16 count=16 2>/dev/null | sum)" = \
		"$(seq 100000 299999 | head -c 1048576 | sum)" ] ||
		die "$1: what the guest wrote is not on the disk"
}

check_net() {
	[ "$(said "$1" net)" = "10.0.2.15/24 $(sum </srv/blob)" ] ||
		die "$1: network: '$(said "$1" net)'"
}

# The module: see module.sh too.

refcount() {
	cat /sys/module/kvm/refcnt
}
