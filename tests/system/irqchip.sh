#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# QEMU as it starts by itself, with interrupt controllers in the kernel, and
# with the I/O APIC alone left outside; guests with several processors; the
# host's own network device, and VMs that move to another QEMU.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

cloud="-kernel $guests/cloud/vmlinuz -initrd $guests/cloud/initrd"

# boots KERNEL MACHINE VCPUS: all of them work, with a disk and a network.
# shellcheck disable=SC2046,SC2086
boots() {
	kernel="-kernel $guests/$1/vmlinuz -initrd $guests/$1/initrd"
	serve_blob
	make_disk $work/vm.disk
	drive="-drive file=$work/vm.disk,format=raw,cache=unsafe"
	card="-netdev user,id=net"
	case $2 in
	microvm*)
		devices="$drive,if=none,id=disk
			-device virtio-blk-device,drive=disk
			$card -device virtio-net-device,netdev=net" ;;
	*)	devices="$drive,if=virtio
			$card -device virtio-net-pci,netdev=net,romfile=" ;;
	esac
	qemu vm "$2" 384 -smp "$3" $kernel \
		-append "$(linux work,cpus,disk,net)" $devices
	finish vm 300
	[ "$(said vm cpus)" = "$3" ] || die "the guest has $(said vm cpus)"
	check_disk vm $work/vm.disk
	check_net vm
}

test_pc() { boots cloud pc 1; }
test_pc_4() { boots cloud pc 4; }
test_pc_8() { boots cloud pc 8; }
test_q35() { boots cloud q35 1; }
test_q35_2() { boots cloud q35 2; }
test_q35_4() { boots cloud q35 4; }
test_q35_8() { boots cloud q35 8; }
test_microvm() { boots cloud microvm 1; }
test_microvm_2() { boots cloud microvm 2; }
test_microvm_4() { boots cloud microvm 4; }
test_split() { boots cloud q35,kernel_irqchip=split 1; }
test_split_2() { boots cloud q35,kernel_irqchip=split 2; }
test_split_pc_4() { boots cloud pc,kernel_irqchip=split 4; }
# These kernels lack the drivers of the other one for disks and networks.
test_686_2() { only_works 686 pc 2; }
test_686_pae_2() { only_works 686-pae pc 2; }

# shellcheck disable=SC2086
only_works() {
	qemu vm "$2" 256 -smp "$3" -kernel "$guests/$1/vmlinuz" \
		-initrd "$guests/$1/initrd" -append "$(linux work,cpus)"
	finish vm 300
	[ "$(said vm cpus)" = "$3" ] || die "the guest has $(said vm cpus)"
}

# The host's kernel serves the network card: irqfd and ioeventfd.
test_vhost_2() {
	[ -e /dev/vhost-net ] || skip "the host has no vhost-net"
	serve_blob
	# shellcheck disable=SC2086
	qemu vm pc 384 -smp 2 $cloud -append "$(linux tap)" \
		-netdev tap,id=net,ifname=tap0,script=no,downscript=no,vhost=on \
		-device virtio-net-pci,netdev=net,romfile=
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ -e /sys/class/net/tap0 ] && break
		sleep 0.3
	done
	busybox ip addr add 192.168.77.1/24 dev tap0 &&
		busybox ip link set tap0 up ||
		die "no tap0: $(tail -n 1 $work/vm.log)"
	busybox httpd -p 192.168.77.1:8080 -h /srv
	finish vm 100
	[ "$(said vm tap)" = "$(sum </srv/blob)" ] ||
		die "the guest got '$(said vm tap)'"
}

# Until QEMU has written all of it.
wait_state() {
	size=-1
	for _ in $(seq 60); do
		sleep 2
		last=$size
		size=$(stat -c %s "$1" 2>/dev/null || echo 0)
		[ "$size" -gt 1000000 ] && [ "$size" = "$last" ] && return
	done
	die "QEMU does not save its state"
}

# moves VCPUS: a VM goes on in another QEMU; its timers are all in the state.
# shellcheck disable=SC2086
moves() {
	qemu old pc 128 -smp "$1" $cloud -append "$(linux beat)"
	wait_line old '^GUEST-BEAT 3' 200
	monitor old "migrate exec:cat>$work/state"
	wait_state $work/state
	kill -9 "$(pid_of old)"
	beat=$(sed -n 's/^GUEST-BEAT //p' $work/old.serial | tail -n 1 |
		tr -d '\r')
	qemu new pc 128 -smp "$1" $cloud -append "$(linux beat)" \
		-incoming "exec:cat $work/state"
	wait_line new "^GUEST-BEAT $((beat + 30))" 100
}

test_move() { moves 1; }
test_move_2() { moves 2; }

test_unload() {
	unload 2>$work/rmmod.log || die "$(cat $work/rmmod.log)"
}

# Nothing said of it, as most people do.
MACHINE_OPTIONS=
for test in ${TESTS:-pc pc_4 pc_8 q35 q35_2 q35_4 q35_8 microvm microvm_2 \
	microvm_4 split split_2 split_pc_4 686_2 686_pae_2 vhost_2 move \
	move_2 unload}; do
	run_test "$test"
done
total
