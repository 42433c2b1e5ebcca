#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# /init of the guest that scripts/run boots: a shell, or with "workload" on
# the kernel command line a look at everything the guest was given.

mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
while read -r name; do
	insmod "/modules/$name.ko"
done </modules/list
ip link set lo up

show() {
	printf '%-12s%s\n' "$1:" "$2"
}

# $1: field of /proc/cpuinfo or /proc/meminfo
field() {
	sed -n "s/^$1[ \t]*: *//p" /proc/cpuinfo /proc/meminfo | head -n 1
}

# A pattern written to the disk must come back from it, not from the cache.
disk() {
	[ -b /dev/vda ] || { echo none; return; }
	size=$(($(cat /sys/block/vda/size) / 2048))
	dd if=/dev/urandom of=/tmp/pattern bs=64k count=8 2>/dev/null
	dd if=/tmp/pattern of=/dev/vda bs=64k conv=fsync 2>/dev/null
	echo 3 >/proc/sys/vm/drop_caches
	dd if=/dev/vda bs=64k count=8 2>/dev/null | cmp - /tmp/pattern &&
		echo "virtio-blk, $size MiB, 512 KiB written and read back"
}

network() {
	[ -d /sys/class/net/eth0 ] || { echo none; return; }
	ip link set eth0 up
	udhcpc -i eth0 -n -q -s /bin/lease >/dev/null 2>&1
	address=$(ip -4 -o addr show eth0 | sed 's/.*inet \([0-9.]*\).*/\1/')
	ping -c 1 -W 5 10.0.2.2 >/dev/null &&
		echo "virtio-net, $(cat /sys/class/net/eth0/address)," \
			"$address, gateway answers"
}

lease_script() {
	cat >/bin/lease <<-'END'
		#!/bin/sh
		[ "$1" = bound ] || exit 0
		ip addr add "$ip/$mask" dev "$interface"
		ip route add default via "$router"
	END
	chmod +x /bin/lease
}

lease_script
if grep -qw workload /proc/cmdline; then
	show kernel "$(uname -srv)"
	show processor "$(field 'model name'), $(nproc) online"
	show hypervisor "$(grep -qw hypervisor /proc/cpuinfo && echo yes)"
	show memory "$(field MemTotal)"
	show disk "$(disk)"
	show network "$(network)"
	show uptime "$(cut -d ' ' -f 1 /proc/uptime) s"
	echo "workload done"
else
	echo
	echo "This is the guest: $(uname -sr). 'exit' powers it off."
	export PS1='guest:\w# ' HOME=/root PATH=/usr/bin:/usr/sbin:/bin:/sbin
	cd /root || cd /
	setsid -c sh </dev/ttyS0 >/dev/ttyS0 2>&1
fi
poweroff -f
