# SPDX-License-Identifier: MIT
# kvm-check, the client that tests /dev/kvm from outside, and the modules of Linux's own KVM, on which
# the client is tested itself (in QEMU's translator, which has AMD's virtualization).

KVM_CHECK_SOURCES := $(addprefix tests/kvm/,check.c check_chips.c check_cpu.c check_dirty.c check_events.c check_keep.c check_pool.c check_stats.c client.c) tests/kvm/guest.S
KVM_MODULES := virt/lib/irqbypass.ko arch/x86/kvm/kvm.ko arch/x86/kvm/kvm-amd.ko \
	drivers/crypto/ccp/ccp.ko

$(BUILD)/kvm/kvm-check: $(KVM_CHECK_SOURCES) tests/kvm/check.h $(wildcard vmm/abi/*.h) tests/kvm/build.mk
	@mkdir -p $(@D)
	$(HOST_CC) -std=gnu11 -O1 -g -Wall -Wextra -Werror -static -Ivmm -o $@ $(KVM_CHECK_SOURCES) -pthread

$(BUILD)/kvm/modules: $(KERNEL)/vmlinuz tests/kvm/build.mk
	@mkdir -p $(@D)
	rm -rf $@.new && mkdir $@.new
	cp $(addprefix $(KERNEL)/modules/kernel/,$(KVM_MODULES)) $@.new
	rm -rf $@ && mv $@.new $@

host-tests: $(BUILD)/kvm/kvm-check $(BUILD)/kvm/modules

# Linux's own selftests of KVM
SELFTESTS := $(BUILD)/kvm/selftests/.built

$(SELFTESTS): tests/kvm/build-selftests tests/kvm/selftests.txt
	tests/kvm/build-selftests $(CACHE) $(@D) tests/kvm/selftests.txt

host-tests: $(SELFTESTS)
