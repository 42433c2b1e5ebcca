#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the emulated machine: boots the guest in /root/guest in Debian's QEMU.
#
#	run-guest shell|workload [QEMU OPTIONS]
#
# MACHINE (pc) and CPU (host) choose what QEMU presents, MEMORY (256) MiB.

mode=$1
shift
disk=/tmp/disk.img
exits=/tmp/exits

# The counters go when the VM does: keep the last value seen.
watch_exits() {
	counter=/sys/kernel/debug/kvm/exits
	while [ -r $counter ]; do
		n=$(cat $counter)
		[ "${n:-0}" -gt 0 ] && echo "$n" >$exits
		sleep 0.2
	done
}

now() {
	cut -d ' ' -f 1 /proc/uptime
}

[ -e $disk ] || truncate -s 32M $disk
rm -f $exits
watch_exits &
watcher=$!
begin=$(now)
qemu-system-x86_64 -machine "${MACHINE:-pc}" -smp "${SMP:-1}" -accel kvm \
	-cpu "${CPU:-host}" -m "${MEMORY:-256}" -nodefaults -no-user-config \
	-display none -serial stdio -no-reboot \
	-kernel /root/guest/vmlinuz -initrd /root/guest/initrd \
	-append "console=ttyS0 loglevel=3 cryptomgr.notests $mode" \
	-drive file=$disk,format=raw,if=none,id=disk \
	-device virtio-blk-pci,drive=disk \
	-netdev user,id=net -device virtio-net-pci,netdev=net,romfile= \
	"$@" 2>/tmp/qemu.err | tee /tmp/guest.out
grep -v 'Userspace local APIC\|kernel-irqchip except' /tmp/qemu.err >&2
end=$(now)
kill $watcher

if [ "$mode" = workload ]; then
	echo
	awk "BEGIN { printf \"guest ran for:    %.1f s of the emulated\" \
		\" machine's time\n\", $end - $begin }"
	[ -e $exits ] && echo "exits to KVM:     $(cat $exits) (at the last look)"
	grep -q 'workload done' /tmp/guest.out
fi
