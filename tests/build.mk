# SPDX-License-Identifier: MIT
# The bench: the emulator, the host tests, the test runs. See tests/README.md.

.PHONY: deps bochs format host-tests test-host test test-full coverage run

deps: ## install the Debian packages that are missing (.packages)
	@tests/deps

BOCHS := $(shell CACHE=$(CACHE) tests/bochs/build --print)

bochs: $(BOCHS) ## build the VT-x emulator (once; about 4 minutes)

$(BOCHS):
	CACHE=$(CACHE) tests/bochs/build

# ---- host tests: every tests/host/test_*.c is a program, built from itself, the harness and the
# sources that it names, each compiled anew so that coverage is kept apart per program

HOST_CC ?= gcc
HOST_CFLAGS := -std=gnu11 -g -O1 -Wall -Wextra -Werror -fno-omit-frame-pointer --coverage \
	-fsanitize=address,undefined -fno-sanitize-recover=all -I. -Ivmm -Iarch -Idrivers -Itests/host
HOST_TESTS := $(sort $(wildcard tests/host/test_*.c))
HOST_PROGRAMS := $(HOST_TESTS:tests/host/%.c=$(BUILD)/host/%/run)

# The hypervisor's own files on the machine of tests/fuzz/machine.c, for a host test and a fuzzer.
FAKE_MACHINE := tests/fuzz/machine.c arch/x86/mtrr.c arch/x86/speculation.c \
	$(addprefix vmm/,hypercall.c vcpu_calls.c doorbell.c vm.c pool.c owner.c debt.c tlb.c) $(wildcard vmm/vlapic*.c) \
	$(addprefix arch/x86/vmx/,virt_vm.c control_ept.c ept.c ept_identity.c cr.c vcpu_msr.c vmcs.c vmx.c) \
	$(wildcard arch/x86/vmx/guest_*.c)
FAKE_MACHINE_FLAGS := -include tests/fuzz/machine.h -Wno-unused-function -Wno-unused-parameter -Wno-attributes \
	-Wl,--wrap=vmx_flush_ept,--wrap=vmx_flush_vpid

# $(1): name of the program, $(2): its sources, $(3): more flags
define host_program
$(BUILD)/host/$(1)/run: $(patsubst %.c,$(BUILD)/host/$(1)/%.o,$(2))
	$(HOST_CC) $(HOST_CFLAGS) $(3) -o $$@ $$^
$(BUILD)/host/$(1)/%.o: %.c tests/host/$(1).c tests/build.mk
	@mkdir -p $$(@D)
	$(HOST_CC) $(HOST_CFLAGS) $(3) -MMD -MP -c -o $$@ $$<
endef
host_comment = $(shell sed -n '1,5s,^// $(2):,,p' $(1))
$(foreach t,$(HOST_TESTS),$(eval $(call host_program,$(t:tests/host/%.c=%),\
	$(t) tests/host/harness.c $(call host_comment,$(t),sources),$(call host_comment,$(t),flags))))
-include $(foreach p,$(HOST_PROGRAMS),$(shell find $(dir $(p)) -name '*.d' 2>/dev/null))

host-tests: $(HOST_PROGRAMS)

include tests/fuzz/build.mk
include tests/devmodel/build.mk

test-host: host-tests ## the host unit tests alone, under sanitizers (seconds)
	BUILD=$(BUILD) /usr/bin/python3 -m pytest -q tests/test_host.py

format: ## let clang-format format every source
	git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

# ---- what tests let loose in the control domain: two kernel modules and programs

PROD := $(BUILD)/tests/prod.ko $(BUILD)/tests/storm.ko $(BUILD)/tests/user $(BUILD)/tests/kexec $(BUILD)/tests/other-abi.ko

PROD_SRC := tests/prod/prod.c tests/prod/storm.c tests/prod/Kbuild

$(BUILD)/tests/prod.ko $(BUILD)/tests/storm.ko &: $(PROD_SRC) $(wildcard vmm/abi/*.h) control-domain/driver/hv.h | $(CD)/vmlinuz
	@mkdir -p $(BUILD)/tests/prod
	ln -sf $(abspath $(PROD_SRC)) $(BUILD)/tests/prod/
	$(MAKE) -C $(KHEADERS) M=$(abspath $(BUILD)/tests/prod) HORNERO_TOP=$(CURDIR) modules
	cp $(BUILD)/tests/prod/prod.ko $(BUILD)/tests/prod/storm.ko $(BUILD)/tests/

# The driver, for a hypervisor of another version.
$(BUILD)/tests/other-abi.ko: $(DRIVER_SOURCES) $(wildcard vmm/abi/*.h) | $(CD)/vmlinuz
	@mkdir -p $(@:.ko=)/vmm/abi
	cp vmm/abi/*.h $(@:.ko=)/vmm/abi/
	sed -i 's/^\(#define HV_ABI_M[A-Z]* *\)[0-9]*$$/\1999/' $(@:.ko=)/vmm/abi/hypercall.h
	ln -sf $(abspath $(DRIVER_SOURCES)) $(@:.ko=)/
	$(MAKE) -C $(KHEADERS) M=$(abspath $(@:.ko=)) HORNERO_TOP=$(abspath $(@:.ko=)) modules
	strip --strip-debug -o $@ $(@:.ko=)/hornero.ko

$(BUILD)/tests/user: tests/prod/user.S
	@mkdir -p $(@D)
	gcc -nostdlib -static -o $@ $<

$(BUILD)/tests/kexec: tests/prod/kexec.c
	@mkdir -p $(@D)
	gcc -O2 -Wall -Wextra -Werror -static -o $@ $<

# ---- the control domain's kernel, decompressed

$(BUILD)/tests/vmlinuz: $(CD)/vmlinuz tests/bench/unpack tests/bench/unpacked.S
	@mkdir -p $(@D)
	gcc -c -o $@.o tests/bench/unpacked.S
	objcopy -O binary -j .text $@.o $@.stub
	tests/bench/unpack $< $@.stub $@

# ---- a hypervisor whose self-tests can crash it on order

$(BUILD)/test/hornero.elf: $(BUILD)/hornero.elf
	$(MAKE) --no-print-directory BUILD=$(BUILD)/test TEST=1 $@

# ---- everything

BUILD_FOR_TESTS = all host-tests bochs $(PROD) $(BUILD)/test/hornero.elf $(BUILD)/tests/vmlinuz
BUILD_ALL = $(MAKE) --no-print-directory -j$(shell nproc)

test: deps ## build everything and pass all tests but the long ones
	$(BUILD_ALL) $(BUILD_FOR_TESTS)
	BUILD=$(BUILD) tests/suite

test-full: deps ## the long tests as well
	$(BUILD_ALL) $(BUILD_FOR_TESTS) debian
	BUILD=$(BUILD) tests/suite --full

coverage: test-host ## what the host tests execute, line by line, to build/coverage.txt
	gcovr --root . --object-directory $(BUILD)/host --exclude tests/ --output $(BUILD)/coverage.txt \
		$(BUILD)/host
	tail -n 3 $(BUILD)/coverage.txt

EMULATOR ?= auto
FIRMWARE ?= bios

run: deps ## boot in the best emulator present, log in; EMULATOR=qemu|bochs FIRMWARE=uefi choose
	@tests/machine can --name run --emulator $(EMULATOR)
	$(BUILD_ALL) all $(if $(filter qemu,$(EMULATOR)),,bochs)
	BUILD=$(BUILD) EMULATOR=$(EMULATOR) FIRMWARE=$(FIRMWARE) tests/try

include tests/kvm/build.mk
-include tests/bench/build.mk
include tests/guests/build.mk
