# SPDX-License-Identifier: GPL-2.0-only
#
# Rules for programs on the mini-monitor library. The including makefile sets
# OUT (where results go) and LIB (this folder), depends on $(LIB_DEPS) and
# uses $(LINK64), or the ...32 variants for 32-bit programs.
#
# Programs are static and not PIE: their image is copied into guests, which
# run the same code at the same addresses. Interrupts in a guest use the
# current stack, hence no red zone.

TEST_CC		?= gcc
LIB_SRC		:= harness.c vm.c modes.c guest.c irqchip.c leaks.c \
		   guest_stubs.S
LIB_H		:= $(wildcard $(LIB)/*.h) $(LIB)/../../include/ints.h
LIB_CFLAGS	:= -O2 -g -std=gnu11 -Wall -Wextra \
		   -Wno-missing-field-initializers -I$(LIB) -I$(LIB)/../.. \
		   -fno-pie -fno-stack-protector -fno-common \
		   -fcf-protection=none -fno-strict-aliasing \
		   -fno-toplevel-reorder -fno-tree-vectorize -fno-ipa-icf \
		   -fno-asynchronous-unwind-tables -mno-red-zone
LIB_LDFLAGS	:= -static -no-pie -pthread -Wl,--build-id=none \
		   -Wl,-z,noexecstack -Wl,--gc-sections

LIB_DEPS	:= $(OUT)/lib64.a
LIB_DEPS32	:= $(OUT)/lib32.a
LINK64		= $(TEST_CC) $(LIB_CFLAGS) -o $@ $< $(OUT)/lib64.a \
		  $(LIB_LDFLAGS)
LINK32		= $(TEST_CC) -m32 $(LIB_CFLAGS) -o $@ $< $(OUT)/lib32.a \
		  $(LIB_LDFLAGS)

$(OUT) $(OUT)/obj64 $(OUT)/obj32:
	mkdir -p $@

# Code that runs in guests' exception handlers keeps off vector registers.
$(foreach f,guest irqchip,$(OUT)/obj64/$(f).o $(OUT)/obj32/$(f).o): \
	LIB_CFLAGS += -mgeneral-regs-only

$(OUT)/obj64/%.o: $(LIB)/%.c $(LIB_H) | $(OUT)/obj64
	$(TEST_CC) $(LIB_CFLAGS) -c -o $@ $<
$(OUT)/obj64/%.o: $(LIB)/%.S $(LIB_H) | $(OUT)/obj64
	$(TEST_CC) $(LIB_CFLAGS) -c -o $@ $<
$(OUT)/obj32/%.o: $(LIB)/%.c $(LIB_H) | $(OUT)/obj32
	$(TEST_CC) -m32 $(LIB_CFLAGS) -c -o $@ $<
$(OUT)/obj32/%.o: $(LIB)/%.S $(LIB_H) | $(OUT)/obj32
	$(TEST_CC) -m32 $(LIB_CFLAGS) -c -o $@ $<

$(OUT)/lib64.a: $(addprefix $(OUT)/obj64/,$(addsuffix .o,$(basename $(LIB_SRC))))
	rm -f $@ && ar rcs $@ $^
$(OUT)/lib32.a: $(addprefix $(OUT)/obj32/,$(addsuffix .o,$(basename $(LIB_SRC))))
	rm -f $@ && ar rcs $@ $^
