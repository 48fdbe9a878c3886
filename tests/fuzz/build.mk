# SPDX-License-Identifier: MIT
# Fuzzers: every tests/fuzz/fuzz_THING.c is a program with libFuzzer, built as host tests are (a
# "// sources:" comment) but by clang. tests/fuzz/corpus/THING holds inputs that reach all its code.

.PHONY: fuzzers

FUZZ_CC ?= clang
FUZZ_CFLAGS := -std=gnu11 -g -O1 -Wall -Wextra -Werror -Wno-missing-field-initializers \
	-fno-omit-frame-pointer \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Ivmm -Iarch -Idrivers
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

# The hypervisor's own files on a machine of machine.c.
FUZZ_MACHINE := tests/fuzz/machine.c arch/x86/mtrr.c \
	$(addprefix vmm/,hypercall.c vcpu_calls.c vm.c pool.c owner.c debt.c tlb.c) $(wildcard vmm/vlapic*.c) \
	$(addprefix arch/x86/vmx/,virt_vm.c control_ept.c ept.c ept_identity.c cr.c vmcs.c vmx.c) \
	$(wildcard arch/x86/vmx/guest_*.c)
FUZZ_MACHINE_FLAGS := -include tests/fuzz/machine.h -Wno-unused-function -Wno-unused-parameter \
	-Wl,--wrap=vmx_flush_ept,--wrap=vmx_flush_vpid

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
