# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Shared by scripts/run and scripts/shell: the module, the guest, QEMU.

tree=$(cd "$here/.." && pwd)
guest=$tree/build/guests/run-${GUEST-6.1}

if [ "${KVM-}" = intree ]; then
	# The emulated processor's posted interrupts are not as the kernel
	# expects; QEMU fails on paravirtual features without an in-kernel APIC.
	module='kvm-intel enable_apicv=0'
	cpu=host,kvm=off
else
	module=${KMOD-}
	cpu=host
fi

# Our own, for the machine's kernel; ./kvm.ko may be for another.
build_module() {
	kver=$(echo "${KERNEL-6.1}" | sed 's/^linux-image-/linux-headers-/')
	env KDIR= "KVER=$kver" "$here/kbuild" modules >&2
	module=$(env KDIR= "KVER=$kver" "$here/kbuild" --where)/kvm.ko
}

prepare_guest() {
	[ "$module" ] || build_module
	"$here/guest-initramfs" --kernel "${GUEST-6.1}" \
		--module virtio_pci --module virtio_blk --module virtio_net \
		--module af_packet --init "$here/testbed-lib/guest-init.sh" \
		"$guest"
}

testbed_with_guest() {
	"$here/testbed" --kernel "${KERNEL-6.1}" --module "$module" \
		--package qemu-system-x86 --file "$guest:/root/guest" \
		--file "$here/testbed-lib/run-guest.sh:/usr/bin/run-guest" "$@"
}
