# SPDX-License-Identifier: MIT
# Bare-metal test guests: each .c with a guest_main() is a program of its own on the common frame.

GUESTS := long_mode apic hostile neighbour smp modes wake storm devices task
GUEST_ELFS := $(GUESTS:%=$(BUILD)/guests/%.elf)
GUEST_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-pie -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	-mcmodel=small

.PHONY: guests
guests: $(GUEST_ELFS) ## the bare-metal test guests
host-tests: guests

$(BUILD)/guests/%.elf: tests/guests/%.c tests/guests/guest.c tests/guests/start.S tests/guests/guest.h tests/guests/modes_asm.h \
		tests/guests/guest.ld tests/guests/build.mk
	@mkdir -p $(@D)
	gcc $(GUEST_CFLAGS) -nostdlib -static -no-pie -Wl,--build-id=none,-z,noexecstack,-z,max-page-size=4096,--no-warn-rwx-segments \
		-T tests/guests/guest.ld -o $@ tests/guests/start.S tests/guests/guest.c $<
