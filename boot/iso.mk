# SPDX-License-Identifier: MIT
# The boot medium for people. Test runs make their own ones, with other command lines and a key
# (tests/machine), by the same boot/mkiso.

HYPERVISOR ?= $(BUILD)/hornero.elf
CD_KERNEL ?= $(BUILD)/control-domain/vmlinuz
CD_INITRAMFS ?= $(BUILD)/control-domain/initramfs-full

.PHONY: iso
iso: $(BUILD)/hornero.iso ## the boot image: a hybrid ISO for CD, USB stick or disk, BIOS and UEFI
all: iso

$(BUILD)/hornero.iso: $(HYPERVISOR) $(CD_KERNEL) $(CD_INITRAMFS) boot/mkiso boot/settings.grub boot/control-domain.cmdline
	boot/mkiso --output $@ --hypervisor $(HYPERVISOR) --kernel $(CD_KERNEL) --initramfs $(CD_INITRAMFS)
