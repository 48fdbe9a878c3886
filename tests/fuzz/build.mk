# SPDX-License-Identifier: MIT
# Fuzzers: every tests/fuzz/fuzz_THING.c is a program with libFuzzer, built as host tests are (a
# "// sources:" comment) but by clang. tests/fuzz/corpus/THING holds inputs that reach all its code.

.PHONY: fuzzers

FUZZ_CC ?= clang
FUZZ_CFLAGS := -std=gnu11 -g -O1 -Wall -Wextra -Werror -Wno-missing-field-initializers \
	-fno-omit-frame-pointer \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Ivmm -Iarch -Idrivers
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

define fuzzer
$(BUILD)/fuzz/$(1): $(2) $(3) $(wildcard control-domain/driver/*.h vmm/*.h vmm/abi/*.h) \
		$(wildcard tests/fuzz/*.h arch/x86/*.h arch/x86/vmx/*.h) \
		tests/fuzz/build.mk
	@mkdir -p $$(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) $(4) -o $$@ $(2) $(3)
endef
$(foreach f,$(FUZZERS),$(eval $(call fuzzer,$(f),tests/fuzz/fuzz_$(f).c,$(call \
	host_comment,tests/fuzz/fuzz_$(f).c,sources),$(call host_comment,tests/fuzz/fuzz_$(f).c,flags))))

fuzzers: $(FUZZERS:%=$(BUILD)/fuzz/%) ## the fuzzers, to run by hand: build/fuzz/THING [FOLDER]

host-tests: fuzzers
