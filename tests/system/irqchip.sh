#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# QEMU as it starts by itself, with interrupt controllers in the kernel, and
# with the I/O APIC alone left outside; guests with several processors.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

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

test_unload() {
	unload 2>$work/rmmod.log || die "$(cat $work/rmmod.log)"
}

# Nothing said of it, as most people do.
MACHINE_OPTIONS=
for test in ${TESTS:-pc pc_4 pc_8 q35 q35_2 q35_4 q35_8 microvm microvm_2 \
	microvm_4 split split_2 split_pc_4 686_2 686_pae_2 unload}; do
	run_test "$test"
done
total
