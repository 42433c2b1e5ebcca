# SPDX-License-Identifier: GPL-2.0-only
#
# `make help` says what there is. kbuild's own file is Kbuild.

KBUILD	:= scripts/kbuild
KERNELS	:= 6.1 6.12
export KDIR KVER KVM_COUNT_OPS

# make's own default for CC is no choice of the user's.
ifneq ($(origin CC),default)
export CC
endif

all: kvm.ko

help:
	@echo 'Build (options: KVER=6.1|6.12|7|RELEASE or KDIR=FOLDER, CC=, W=1, V=1)'
	@echo '  make              ./kvm.ko, for the running kernel if its headers are'
	@echo '                    there, else for that of the test machine'
	@echo '  make FILE.o       one object'
	@echo '  make check        build without a warning by gcc, clang and sparse'
	@echo '                    for all kernels: $(KERNELS)'
	@echo '  make install      into the kernel, as root; make uninstall'
	@echo 'Run, on an emulated machine with VT-x'
	@echo '  make run          boot a Linux guest'
	@echo '  make shell        a root shell with kvm.ko loaded'
	@echo '  make test         what CI runs; KVM=intree for the kernel'"'"'s own KVM'
	@echo '  make test-full    that, and what takes longer'
	@echo '  make bench        exits counted in instructions, side by side'
	@echo '  make qemu         QEMU whose monitor shows a VMCS'
	@echo 'Documentation'
	@echo '  make fields       the table of VMCS fields as a page'

# kbuild knows best what is out of date.
kvm.ko: FORCE
	@+$(KBUILD) modules
	@cmp -s "$$($(KBUILD) --where)/kvm.ko" $@ || { \
		cp "$$($(KBUILD) --where)/kvm.ko" $@.new && mv $@.new $@; }

# Where the module for this KVER= lies after it is built: for scripts.
ko: kvm.ko
	@echo "$$($(KBUILD) --where)/kvm.ko"

%.o %.i %.s: FORCE
	@+$(KBUILD) $@

check:
	@+scripts/check $(KERNELS)

test:
	@+tests/run

test-full:
	@+tests/run --full

bench:
	@+bench/run

qemu:
	@+qemu/build

fields:
	@mkdir -p build/Documentation
	@scripts/vmcs-fields >build/Documentation/vmcs-fields.rst
	@echo build/Documentation/vmcs-fields.rst

run:
	@+scripts/run

shell:
	@+scripts/shell

RELEASE	= $(shell $(KBUILD) --release)
MODULES	= $(INSTALL_MOD_PATH)/lib/modules/$(RELEASE)
CONF	= $(INSTALL_MOD_PATH)/etc/modprobe.d/kvm-vtx.conf

# depmod prefers updates/ to the kernel's own kvm.ko. The kernel's kvm_intel
# needs that one, and must not be loaded with ours.
install: kvm.ko
	install -D -m 644 kvm.ko "$(MODULES)/updates/kvm.ko"
	install -d "$(dir $(CONF))"
	echo 'blacklist kvm_intel' >"$(CONF)"
	depmod $(if $(INSTALL_MOD_PATH),-b "$(INSTALL_MOD_PATH)") $(RELEASE)

uninstall:
	rm -f "$(MODULES)/updates/kvm.ko" "$(CONF)"
	depmod $(if $(INSTALL_MOD_PATH),-b "$(INSTALL_MOD_PATH)") $(RELEASE)

# What was downloaded stays; distclean takes that away too.
clean:
	rm -rf build/kvm build/check build/tests kvm.ko

distclean: clean
	rm -rf build

FORCE:
Makefile Kbuild: ;

.PHONY: all help ko check test test-full bench qemu fields run shell install uninstall \
	clean distclean FORCE
