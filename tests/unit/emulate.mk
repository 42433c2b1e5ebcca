# SPDX-License-Identifier: GPL-2.0-only
#
# The instruction emulator's tests. Both programs include x86_emulate.c, to
# see its tables. The fuzzer runs instructions of this processor at fixed low
# addresses, and so is built without PIE and without AddressSanitizer, which
# puts its own memory there.

FUZZ_CFLAGS	:= -O2 -g -std=gnu11 -Wall -Wextra -Wno-unused-parameter \
		   -I$(TOP) -no-pie -fno-pie -fno-stack-protector

$(OUT)/emulate_fuzz: emulate_fuzz.c $(TOP)/x86_emulate.c $(TOP)/x86_emulate.h \
		     | $(OUT)
	$(TEST_CC) $(FUZZ_CFLAGS) -o $@ $<

emulate_fuzz: $(OUT)/emulate_fuzz

emulate_test: $(OUT)/emulate_test

programs: $(OUT)/emulate_fuzz

# `make run` runs it too: 5 million cases from a fixed seed.
TESTS		+= emulate_fuzz

.PHONY: emulate_fuzz emulate_test

$(OUT)/emulate_test: $(TOP)/x86_emulate.c
