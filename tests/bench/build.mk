# SPDX-License-Identifier: MIT
# `make bench`: counts, side by side, of the bare machine, Linux's KVM and Hornero. See compare.

BENCH_PROGRAMS := $(BUILD)/bench/guest $(BUILD)/bench/control

$(BUILD)/bench/control: tests/bench/programs/control.c
	@mkdir -p $(@D)
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -o $@ $<

# 32-bit code in the 64-bit file format: what the device model's PVH loader takes.
$(BUILD)/bench/guest: tests/bench/programs/guest.c tests/bench/programs/start.S tests/bench/programs/guest.ld
	@mkdir -p $(@D)
	gcc -m32 -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-stack-protector -mgeneral-regs-only \
		-nostdlib -static -no-pie -Wl,-T,tests/bench/programs/guest.ld,--build-id=none,--no-warn-rwx-segments \
		-o $@.32 tests/bench/programs/start.S tests/bench/programs/guest.c
	objcopy -I elf32-i386 -O elf64-x86-64 $@.32 $@

.PHONY: bench
bench: hypervisor $(CD)/vmlinuz $(CD)/initramfs $(BENCH_PROGRAMS) $(DEVMODEL_TESTS)/probe bochs ## counts beside the bare machine and KVM
	tests/bench/compare $(KERNEL)
