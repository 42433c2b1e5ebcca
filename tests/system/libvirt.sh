#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# libvirt, Debian's packages: its daemon finds out what the host can do, and
# has QEMU run domains that virsh defines, starts, suspends, saves and looks
# into. A domain's guest is that of irqchip.sh.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

state=/run/libvirt-test		# what outlives a test: the daemon's files

# No systemd, D-Bus or udev here, and one user: root.
configure() {
	mkdir -p $state /var/lib/libvirt /var/log/libvirt
	ln -s /run /var/run
	echo 'libvirt-qemu:x:64055:104::/:/bin/false' >>/etc/passwd
	echo 'libvirt-qemu:x:64055:' >>/etc/group
	cat >/etc/libvirt/libvirtd.conf <<'END'
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
host_uuid = "5a4a3c1e-0b5e-4b0c-9d51-3f6d4a1b2c01"
log_level = 3
log_outputs = "3:file:/run/libvirt-test/libvirtd.log"
END
	cat >/etc/libvirt/qemu.conf <<'END'
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
namespaces = []
END
	# Of the other drivers the domains here need none.
	for driver in /usr/lib/x86_64-linux-gnu/libvirt/connection-driver/*; do
		case $driver in
		*_qemu.so) ;;
		*) rm "$driver" ;;
		esac
	done
}

# A failed test is to show what the daemon said, too.
explain() {
	cp $state/libvirtd.log /var/log/libvirt/qemu/*.log $work/ 2>/dev/null
	die "$@"
}

wait_daemon() {
	end=$(($(seconds) + 60))
	until virsh -q uri >$state/uri 2>&1; do
		kill -0 "$(cat $state/pid)" 2>/dev/null ||
			explain "libvirtd ended"
		[ "$(seconds)" -lt $end ] || explain "$(cat $state/uri)"
		sleep 0.5
	done
}

start_daemon() {
	configure
	export LIBVIRT_DEFAULT_URI=qemu:///system LC_ALL=C
	libvirtd >$state/out 2>&1 </dev/null &
	echo $! >$state/pid
}

# virsh, whose failure is the test's.
v() {
	virsh -q "$@" >$work/virsh.log 2>&1 ||
		explain "virsh $1: $(tail -n 1 $work/virsh.log)"
	cat $work/virsh.log
}

test_host_validate() {
	virt-host-validate qemu >$work/validate.log 2>&1
	sed 's/^/# /' $work/validate.log
	! grep FAIL $work/validate.log ||
		die "$(grep FAIL $work/validate.log | head -n 1)"
	for check in 'hardware virtualization' 'if device /dev/kvm exists' \
		'if device /dev/kvm is accessible'; do
		grep -q "$check.*PASS" $work/validate.log ||
			die "$(grep "$check" $work/validate.log)"
	done
}

test_daemon() {
	wait_daemon
	grep -q 'qemu:///system' $state/uri || die "$(cat $state/uri)"
}

test_capabilities() {
	v capabilities >$work/capabilities
	grep -q "<domain type='kvm'" $work/capabilities ||
		explain 'no KVM among the capabilities'
	v domcapabilities --virttype kvm >$work/domcapabilities
	grep -q '<domain>kvm</domain>' $work/domcapabilities ||
		die 'domcapabilities are of another type'
	for mode in host-passthrough host-model; do
		grep -q "<mode name='$mode' supported='yes'" \
			$work/domcapabilities || die "no $mode"
	done
}

# domain NAME VCPUS CPU MACHINE JOBS: define one.
domain() {
	make_disk "$work/$1.disk"
	cat >"$work/$1.xml" <<END
<domain type='kvm'>
  <name>$1</name>
  <memory unit='MiB'>256</memory>
  <vcpu>$2</vcpu>
  <os>
    <type arch='x86_64' machine='$4'>hvm</type>
    <kernel>$guests/cloud/vmlinuz</kernel>
    <initrd>$guests/cloud/initrd</initrd>
    <cmdline>$(linux "$5")</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='$3'/>
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='unsafe'/>
      <source file='$work/$1.disk'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    <serial type='file'>
      <source path='$work/$1.serial' append='on'/>
      <target port='0'/>
    </serial>
  </devices>
</domain>
END
	v define "$work/$1.xml"
}

is() {
	[ "$(v domstate "$1")" = "$2" ] || explain "$1 is $(v domstate "$1")"
}

# serial NAME PATTERN SECONDS: until the serial line has shown it.
serial() {
	end=$(($(seconds) + $3))
	until grep -qE "$2" "$work/$1.serial" 2>/dev/null; do
		[ "$(seconds)" -lt $end ] || explain "$1: no '$2' within $3 s"
		sleep 0.3
	done
}

# until_off NAME SECONDS
until_off() {
	end=$(($(seconds) + $2))
	until [ "$(v domstate "$1")" = 'shut off' ]; do
		[ "$(seconds)" -lt $end ] || explain "$1: $(v domstate "$1")"
		sleep 0.5
	done
}

last_beat() {
	sed -n 's/^GUEST-BEAT //p' "$work/$1.serial" | tail -n 1 | tr -d '\r'
}

beats_on() {
	serial "$1" "^GUEST-BEAT $(($(last_beat "$1") + 10))" 100
}

# It says what its hardware is, and goes off by itself.
works() {
	domain vm "$2" "$1" "$3" work,cpus,disk
	v start vm
	serial vm '^GUEST-DONE' 200
	! grep '^GUEST-BAD' $work/vm.serial >$work/bad ||
		die "$(head -n 1 $work/bad)"
	[ "$(said vm cpus)" = "$2" ] || die "the guest has $(said vm cpus)"
	check_disk vm $work/vm.disk
	until_off vm 30
	v undefine vm
	[ -z "$(v list --all --name)" ] || die "still there: $(v list --all)"
}

test_works() { works host-passthrough 1 pc; }
test_works_2() { works host-model 2 q35; }

# stands_still NAME: no heart beats for two seconds.
stands_still() {
	sleep 1
	before=$(last_beat "$1")
	sleep 2
	[ "$(last_beat "$1")" = "$before" ] || die "$1 goes on"
}

# lives VCPUS: all that happens to a domain.
lives() {
	domain vm "$1" host-passthrough pc beat
	v start vm
	serial vm '^GUEST-BEAT 3' 200
	is vm running
	look_into "$1"
	v suspend vm
	is vm paused
	stands_still vm
	v resume vm
	is vm running
	beats_on vm
	v save vm $work/state
	is vm 'shut off'
	stands_still vm
	v restore $work/state
	is vm running
	beats_on vm
	v destroy vm
	is vm 'shut off'
	v undefine vm
}

look_into() {
	v dommemstat vm | grep -q '^rss [1-9]' || die 'no rss in dommemstat'
	v domstats vm >$work/domstats
	grep -q "vcpu.current=$1" $work/domstats || die 'vCPUs in domstats'
	for n in $(seq 0 $(($1 - 1))); do
		grep -q "vcpu.$n.state=1" $work/domstats ||
			die "vCPU $n in domstats"
	done
	[ "$(v vcpuinfo vm | grep -c '^State: *running')" = "$1" ] ||
		die 'vcpuinfo'
	v qemu-monitor-command vm --hmp info kvm |
		grep -q 'kvm support: enabled' || die 'info kvm'
	v qemu-monitor-command vm '{"execute": "query-kvm"}' |
		grep -q '"enabled":true' || die 'query-kvm'
}

test_lives() { lives 1; }
test_lives_2() { lives 2; }

# Its QEMU is killed: libvirt sees that, and the module lets go of all of it.
test_killed() {
	domain vm 2 host-passthrough pc beat
	v start vm
	serial vm '^GUEST-BEAT 3' 200
	kill -9 "$(pidof qemu-system-x86_64)"
	until_off vm 30
	v undefine vm
}

test_unload() {
	kill "$(cat $state/pid)"
	end=$(($(seconds) + 30))
	while kill -0 "$(cat $state/pid)" 2>/dev/null; do
		[ "$(seconds)" -lt $end ] || explain 'libvirtd does not end'
		sleep 0.5
	done
	[ "$(refcount)" = 0 ] || [ "$KVM" = intree ] || die "in use: $(refcount)"
	unload 2>$work/rmmod.log || die "$(cat $work/rmmod.log)"
}

start_daemon
for test in ${TESTS:-host_validate daemon capabilities works works_2 lives \
	lives_2 killed unload}; do
	run_test "$test"
done
kill "$(cat $state/pid)" 2>/dev/null
total
