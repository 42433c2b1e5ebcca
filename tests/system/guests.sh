#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Linux guests, firmware and memtest86+ under Debian's QEMU; one or several
# at a time; killed, stopped and continued. Ends by looking for what was left
# behind, and unloads the module.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

kernel="-kernel $guests/cloud/vmlinuz -initrd $guests/cloud/initrd"

# Card and disk for the machines with PCI.
pci_devices="-netdev user,id=net -device virtio-net-pci,netdev=net,romfile="

with_disk() {
	make_disk "$work/$1.disk"
	echo "-drive file=$work/$1.disk,format=raw,if=virtio,cache=unsafe"
}

# shellcheck disable=SC2086
test_microvm() {
	serve_blob
	make_disk $work/vm.disk
	qemu vm microvm 512 $kernel -append "$(linux work,disk,net)" \
		-drive file=$work/vm.disk,format=raw,if=none,id=disk \
		-device virtio-blk-device,drive=disk \
		-netdev user,id=net -device virtio-net-device,netdev=net
	finish vm 120
	check_disk vm $work/vm.disk
	check_net vm
}

# machine_devices MACHINE MEMORY: everything a guest does, by -kernel.
# shellcheck disable=SC2046,SC2086
machine_devices() {
	serve_blob
	qemu vm "$1" "$2" $kernel -append "$(linux work,disk,net)" \
		$(with_disk vm) $pci_devices
	finish vm 150
	check_disk vm $work/vm.disk
	check_net vm
}

test_pc() { machine_devices pc 512; }
test_q35() { machine_devices q35 512; }

# kernel_boots KERNEL MACHINE: to user space, and through its page tables.
# What 32-bit kernels look for in vain, a clock and ISA cards, takes seconds.
kernel_boots() {
	qemu vm "$2" 192 -kernel "$guests/$1/vmlinuz" \
		-initrd "$guests/$1/initrd" \
		-append "$(linux paging) noisapnp"
	finish vm 200
	check_paging vm
}

# Page tables of four levels, two, and three.
test_amd64() { kernel_boots cloud microvm,rtc=on; }
test_686() { kernel_boots 686 microvm,rtc=on; }
test_686_pae() { kernel_boots 686-pae microvm,rtc=on; }
test_amd64_pc() { kernel_boots cloud pc; }
test_686_pc() { kernel_boots 686 pc; }
test_686_pae_pc() { kernel_boots 686-pae pc; }

# The least that this kernel boots with on any machine: its image wants
# 67.5 MiB before it runs (16 MiB plus init_size of its header).
# shellcheck disable=SC2086
test_smallest_memory() {
	qemu vm pc 80 $kernel -append "$(linux work)"
	finish vm 120
}

# More than the emulated machine has.
# shellcheck disable=SC2086
test_4_gib() {
	qemu vm q35 4096 $kernel -append "$(linux work)"
	finish vm 150
	size=$(said vm boot | sed 's/.*memory=\([0-9]*\).*/\1/')
	[ "$size" -gt 3900000 ] || die "the guest sees $size kB"
}

# SeaBIOS, isolinux, kernel and initramfs all from a CD.
# shellcheck disable=SC2086
test_seabios_cd() {
	qemu vm pc 512 -cdrom $guests/boot.iso -boot d -vga std
	finish vm 240
}

# The same image as a disk on the other machine: SeaBIOS's virtio driver.
# shellcheck disable=SC2086
test_seabios_disk() {
	qemu vm q35 512 -drive \
		file=$guests/boot.iso,format=raw,if=virtio,readonly=on
	finish vm 240
}

# SeaBIOS, GRUB in front of a partition, and Linux by its 32-bit entry.
# shellcheck disable=SC2086
test_grub_disk() {
	qemu vm pc 192 -drive \
		file=$guests/grub.disk,format=raw,if=virtio,readonly=on
	finish vm 240
	grep -q 'Linux behind GRUB' $work/vm.serial || die 'no menu'
	check_paging vm
}

# SeaBIOS, iPXE from the card's ROM, DHCP, HTTP, and Linux by its real-mode one.
test_ipxe() {
	serve_blob
	boot=http://10.0.2.2:8080/guests/boot.ipxe
	qemu vm pc 192 -netdev "user,id=net,bootfile=$boot" \
		-device virtio-net-pci,netdev=net -boot n
	finish vm 240
	check_paging vm
}

# shellcheck disable=SC2086
test_vga_text() {
	qemu vm pc 256 -vga std $kernel -append "$(linux vga)"
	wait_line vm '^GUEST-OK vga' 120
	wait_screen vm /out/vga 'row 8 GUEST-VGA the quick brown fox' 20
	[ "$(grep -c '^row [1-8] GUEST-VGA the quick brown fox 0123456789$' \
		/out/vga.txt)" = 8 ] || die 'rows are missing on the screen'
	grep -q '^red green blue' /out/vga.txt || die 'no coloured row'
}

# 64 MiB here: it does not need more.
test_memtest() {
	qemu vm pc 64 -vga std -kernel $guests/memtest.bin
	wait_screen vm /out/memtest 'Memtest86\+' 60
	wait_screen vm /out/memtest 'Test #[1-9]' 300
	! grep -qE 'Errors: *[1-9]' /out/memtest.txt ||
		die "$(grep Errors /out/memtest.txt)"
	note "$(grep -m1 'Test #' /out/memtest.txt)"
}

test_ovmf_shell() {
	cp $guests/OVMF_VARS.fd $work/vars.fd
	qemu vm q35 256 \
		-drive if=pflash,format=raw,readonly=on,file=$guests/OVMF_CODE.fd \
		-drive if=pflash,format=raw,file=$work/vars.fd
	wait_line vm 'UEFI Interactive Shell' 180
	wait_line vm 'Shell>' 60
}

# several COUNT: this many at the same time, and all come to their end.
# shellcheck disable=SC2086
several() {
	for i in $(seq "$1"); do
		qemu "vm$i" microvm 160 $kernel -append "$(linux work)"
	done
	for i in $(seq "$1"); do
		finish "vm$i" 300
	done
}

test_two_vms() { several 2; }
test_four_vms() { several 4; }

# shellcheck disable=SC2086
test_stop_and_continue() {
	qemu vm pc 256 $kernel -append "$(linux spin)"
	wait_line vm 'GUEST-BEAT 2' 120
	for _ in 1 2 3; do
		kill -STOP "$(pid_of vm)"
		sleep 2
		before=$(grep -c GUEST-BEAT $work/vm.serial)
		sleep 2
		[ "$(grep -c GUEST-BEAT $work/vm.serial)" = "$before" ] ||
			die 'the guest runs while its process is stopped'
		kill -CONT "$(pid_of vm)"
		wait_line vm "GUEST-BEAT $((before + 2))" 60
	done
	kill "$(pid_of vm)"
	wait_end vm 20
}

# kill_after SECONDS: SIGKILL, at whatever the guest is doing then.
kill_after() {
	sleep "$1"
	alive vm || die "QEMU ended: $(tail -n 1 $work/vm.log)"
	kill -9 "$(pid_of vm)"
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(refcount)" = "$idle_refcount" ] && break
		sleep 0.2
	done
	[ "$(refcount)" = "$idle_refcount" ] ||
		die "module reference count $(refcount), not $idle_refcount"
	kill_qemus
	rm -f $work/vm.*
}

# shellcheck disable=SC2046,SC2086
test_killed() {
	for after in 0.5 1 2 4 6; do
		qemu vm pc 512 $kernel -append "$(linux spin)" \
			$(with_disk vm) $pci_devices
		kill_after $after
	done
}

meminfo() {
	awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo
}

settle() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
}

# The guest touches all its memory, here in 4K pages. A VM of this size has
# half a MiB of page tables and as much of other records: if three of them
# left only that behind, it would be 3 MiB.
test_nothing_left() {
	huge=/sys/kernel/mm/transparent_hugepage/enabled
	old=$(sed 's/.*\[\(.*\)\].*/\1/' $huge)
	echo never >$huge
	for round in 1 2 3 4 5; do
		if [ $round = 3 ]; then
			settle
			free=$(meminfo MemFree) slab=$(meminfo SUnreclaim)
		fi
		qemu vm pc 256 -kernel $guests/touch
		wait_line vm GUEST-TOUCHED 60
		kill_after 0
	done
	settle
	free=$((free - $(meminfo MemFree)))
	slab=$(($(meminfo SUnreclaim) - slab))
	echo "$old" >$huge
	note "three killed VMs: free memory fell by $free kB," \
		"unreclaimable slab grew by $slab kB"
	[ $free -lt 800 ] || die "free memory fell by $free kB"
	[ $slab -lt 200 ] || die "unreclaimable slab grew by $slab kB"
}

test_unload() {
	[ "$(refcount)" = "$idle_refcount" ] ||
		die "module reference count $(refcount), not $idle_refcount"
	unload 2>$work/rmmod.log || die "rmmod: $(cat $work/rmmod.log)"
	[ ! -e /dev/kvm ] || die '/dev/kvm is still there'
	if [ -n "$(ls /sys/kernel/debug/kvm 2>/dev/null)" ]; then
		die 'debugfs entries are still there'
	fi
}

echo 1 >/proc/sys/vm/overcommit_memory
idle_refcount=$(refcount)
# $MODES: lists of module parameters, with commas, to run the tests under.
for mode in ${MODES:-as_loaded}; do
	if [ $mode != as_loaded ]; then
		reload $mode || exit
		variant=$mode/
	fi
	for test in ${TESTS:-microvm pc q35 686 686_pae smallest_memory vga_text \
		memtest ovmf_shell seabios_cd seabios_disk grub_disk ipxe \
		4_gib two_vms four_vms stop_and_continue killed nothing_left \
		unload}; do
		run_test "$test"
	done
done
total
