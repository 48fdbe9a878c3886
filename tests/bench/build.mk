# SPDX-License-Identifier: MIT
# `make bench`: counts, side by side, of the bare machine, Linux's KVM and Hornero. See compare.

BENCH_PROGRAMS := $(addprefix $(BUILD)/bench/,guest control client init)
BENCH_MARK := tests/bench/programs/mark.h

$(BUILD)/bench/control $(BUILD)/bench/client: $(BUILD)/bench/%: tests/bench/programs/%.c $(BENCH_MARK)
	@mkdir -p $(@D)
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror -Ivmm -static -o $@ $<

$(BUILD)/bench/init: tests/bench/programs/init.S
	@mkdir -p $(@D)
	gcc -nostdlib -static -no-pie -Wl,--build-id=none -o $@ $<

# 32-bit code in the 64-bit file format: what the device model's PVH loader takes.
$(BUILD)/bench/guest: tests/bench/programs/guest.c tests/bench/programs/start.S tests/bench/programs/guest.ld $(BENCH_MARK)
	@mkdir -p $(@D)
	gcc -m32 -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-stack-protector -mgeneral-regs-only \
		-nostdlib -static -no-pie -Wl,-T,tests/bench/programs/guest.ld,--build-id=none,--no-warn-rwx-segments \
		-o $@.32 tests/bench/programs/start.S tests/bench/programs/guest.c
	objcopy -I elf32-i386 -O elf64-x86-64 $@.32 $@

host-tests: $(BUILD)/bench/control

.PHONY: bench
bench: hypervisor $(CD)/vmlinuz $(CD)/initramfs $(BENCH_PROGRAMS) $(DEVMODEL_TESTS)/probe $(CLOUD)/vmlinuz bochs ## counts beside the bare machine and KVM
	CACHE=$(CACHE) tests/bench/compare $(KERNEL) $(CLOUD)/vmlinuz
