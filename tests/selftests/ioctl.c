// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linked into the kernel's selftests in place of ioctl() (ld's --wrap): their
 * library calls KVM_CREATE_IRQCHIP for every VM, though most tests use no
 * interrupt controller. Where the module reports no KVM_CAP_IRQCHIP, or with
 * SELFTEST_NO_IRQCHIP in the environment, that call succeeds and does
 * nothing. A test that needs the interrupt controller fails later; the
 * expectations say which do.
 */
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, ...);

static int is_irqchip_hidden(void)
{
	return getenv("SELFTEST_NO_IRQCHIP") != NULL;
}

static int has_irqchip(int vm)
{
	return !is_irqchip_hidden() &&
		__real_ioctl(vm, KVM_CHECK_EXTENSION,
			     (void *)KVM_CAP_IRQCHIP) > 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *argument;

	va_start(ap, request);
	argument = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_CREATE_IRQCHIP && !has_irqchip(fd))
		return 0;
	if (request == KVM_CHECK_EXTENSION && is_irqchip_hidden() &&
	    argument == (void *)KVM_CAP_IRQCHIP)
		return 0;
	return __real_ioctl(fd, request, argument);
}
