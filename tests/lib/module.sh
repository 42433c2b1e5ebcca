# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# For scripts inside the emulated machine: the module under test, ours or
# ($KVM = intree) the kernel's own, away and back with other parameters.

unload() {
	if [ -d /sys/module/kvm_intel ] && [ "$KVM" = intree ]; then
		rmmod kvm_intel || return
	fi
	rmmod kvm
}

# reload PARAMETERS, with commas between them.
reload() {
	# shellcheck disable=SC2046
	set -- $(echo "$1" | tr , ' ')
	unload || return
	if [ "$KVM" = intree ]; then
		insmod /testbed/modules/kvm.ko &&
			insmod /testbed/modules/kvm_intel.ko enable_apicv=0 "$@"
	else
		insmod /testbed/modules/kvm.ko "$@"
	fi
}
