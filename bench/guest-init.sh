#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# /init of the guest whose boot is measured: user space is reached. With
# `-- work` on the kernel's command line, what it does then is measured too.

[ "$1" != work ] || /root/guest-work >/dev/console
exec /bin/busybox poweroff -f
