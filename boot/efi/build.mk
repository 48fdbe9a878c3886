# SPDX-License-Identifier: MIT
# hornero.efi (GNU-EFI), the one-file image, and its signature. What of libc the pure parts need is
# newlib's, compiled once more for a position-independent program.

EFI := $(BUILD)/efi
EFI_LIB := /usr/lib
EFI_SRC := $(wildcard boot/efi/*.c) boot/efi/jump.S
EFI_LIBC := memchr memcmp strcmp strlen
EFI_OBJ := $(EFI_SRC:boot/efi/%=$(EFI)/%.o) $(EFI_LIBC:%=$(EFI)/libc/%.o)
EFI_CFLAGS := -std=gnu11 -O2 -g -m64 -fpic -ffreestanding -fno-stack-protector -fno-strict-aliasing -fshort-wchar \
	-fno-asynchronous-unwind-tables -mno-red-zone -mgeneral-regs-only -fcf-protection=none -maccumulate-outgoing-args \
	-DGNU_EFI_USE_MS_ABI -Wall -Wextra -Werror -Wstrict-prototypes -Wvla \
	-I. -isystem /usr/include/efi -isystem /usr/include/efi/x86_64
EFI_SECTIONS := .text .sdata .data .dynamic .dynsym .rel .rela .rel.* .rela.* .reloc

.PHONY: efi one-file sign
efi: $(BUILD)/hornero.efi ## the UEFI application, which needs no GRUB
all: efi

$(EFI)/%.c.o: boot/efi/%.c boot/efi/build.mk
	@mkdir -p $(@D)
	@echo '  CC $<'
	@gcc $(EFI_CFLAGS) -MMD -MP -c $< -o $@

$(EFI)/%.S.o: boot/efi/%.S boot/efi/build.mk
	@mkdir -p $(@D)
	@echo '  AS $<'
	@gcc $(EFI_CFLAGS) -MMD -MP -c $< -o $@

$(EFI)/libc/%.o: $(NEWLIB)/libc.a boot/efi/build.mk
	@mkdir -p $(@D)
	@gcc $(EFI_CFLAGS) -w -fno-builtin -isystem $(NEWLIB)/include -I$(NEWLIB)/string -c $(NEWLIB)/string/$*.c -o $@

$(EFI)/hornero.so: $(EFI_OBJ)
	@ld -nostdlib -znocombreloc -shared -Bsymbolic --no-undefined -T $(EFI_LIB)/elf_x86_64_efi.lds \
		$(EFI_LIB)/crt0-efi-x86_64.o $^ -L$(EFI_LIB) -lefi -lgnuefi -o $@

$(BUILD)/hornero.efi: $(EFI)/hornero.so
	@echo '  LD $@'
	@objcopy $(EFI_SECTIONS:%=-j '%') --target efi-app-x86_64 --subsystem 10 $< $@

# ---- the one-file image and its signature: make sign KEY=... CERT=... (PEM)

ONE_FILE := $(BUILD)/hornero-one-file.efi
SIGNED := $(BUILD)/hornero-signed.efi
CONTROL_DOMAIN_KERNEL = $(BUILD)/control-domain/vmlinuz
CONTROL_DOMAIN_INITRAMFS = $(BUILD)/control-domain/initramfs-full

one-file: $(ONE_FILE) ## the UEFI application with all its files inside

$(ONE_FILE): $(BUILD)/hornero.efi $(BUILD)/hornero.elf $(CONTROL_DOMAIN_KERNEL) $(CONTROL_DOMAIN_INITRAMFS) \
		boot/mkonefile boot/control-domain.cmdline
	boot/mkonefile --output $@ --app $< --hypervisor $(BUILD)/hornero.elf --kernel $(CONTROL_DOMAIN_KERNEL) \
		--initramfs $(CONTROL_DOMAIN_INITRAMFS)

sign: $(ONE_FILE) ## sign the one-file image for Secure Boot: KEY=... CERT=...
	@test -r "$(KEY)" -a -r "$(CERT)" || { echo "usage: make sign KEY=private.pem CERT=certificate.pem"; exit 2; }
	@command -v sbsign >/dev/null || { echo "sbsign is missing: run 'make deps' (package sbsigntool)"; exit 1; }
	sbsign --key "$(KEY)" --cert "$(CERT)" --output $(SIGNED) $(ONE_FILE)
	sbverify --cert "$(CERT)" $(SIGNED)

-include $(EFI_OBJ:.o=.d)
