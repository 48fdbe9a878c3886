# SPDX-License-Identifier: MIT
# The hypervisor: every .c and .S of boot/, arch/, vmm/ and drivers/, plus newlib's linked parts.
# Products: $(BUILD)/hornero.elf (what GRUB loads), $(BUILD)/hornero.debug (the same with symbols).
# Newlib is compiled file by file into $(CACHE): its own build would also want the float parts.

HV_CC ?= gcc
HV_MACHINE := -m64 -ffreestanding -mgeneral-regs-only -mno-sse -mno-mmx -mno-80387 -mcmodel=kernel \
	-mno-red-zone -fno-pic -fno-pie -fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
	-fcf-protection=none -ffunction-sections -fdata-sections -fno-strict-aliasing
HV_WARN := -Wall -Wextra -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror

# --- newlib ---
NEWLIB_TAR := $(lastword $(sort $(wildcard /usr/src/newlib/newlib-*.tar.xz)))
NEWLIB_FILES := stdio/vfprintf string/memcmp string/memchr string/strlen string/strcmp string/strncmp \
	string/strspn string/strcspn
NEWLIB_DIRS := include stdio string stdlib ctype locale
NEWLIB_CONFIG := PREFER_SIZE_OVER_SPEED _WANT_REENT_SMALL _REENT_SMALL _LITE_EXIT
NEWLIB_DEFS_vfprintf := -DNO_FLOATING_POINT -DSTRING_ONLY
# Guests train the branch predictors, so no indirect branch asks them (Intel, "Retpoline: A Branch Target
# Injection Mitigation").
HV_RETPOLINE := -mindirect-branch=thunk-inline -mindirect-branch-register -fno-jump-tables
NEWLIB_FLAGS := $(HV_RETPOLINE) -std=gnu11 -O2 -g -w -fno-builtin $(HV_MACHINE)
NEWLIB_KEY := $(shell echo '$(NEWLIB_TAR) $(NEWLIB_FILES) $(NEWLIB_CONFIG) $(NEWLIB_FLAGS)' | cksum | cut -d' ' -f1)
NEWLIB := $(CACHE)/newlib-$(NEWLIB_KEY)

$(NEWLIB)/libc.a:
	@test -n "$(NEWLIB_TAR)" || { echo "newlib's source is missing: run 'make deps' (package newlib-source)"; exit 1; }
	@set -e; t=$(NEWLIB).$$$$; rm -rf $$t; mkdir -p $$t/obj; echo "newlib: $(NEWLIB)"; \
	tar -xf $(NEWLIB_TAR) -C $$t --strip-components=3 --wildcards $(patsubst %,'*/newlib/libc/%',$(NEWLIB_DIRS)); \
	{ echo '#pragma once'; for d in $(NEWLIB_CONFIG); do echo "#define $$d 1"; done; } > $$t/include/newlib.h; \
	$(foreach f,$(NEWLIB_FILES),$(HV_CC) $(NEWLIB_FLAGS) $(NEWLIB_DEFS_$(notdir $f)) -isystem $$t/include \
		-I$$t/stdio -I$$t/string -c $$t/$f.c -o $$t/obj/$(notdir $f).o;) \
	ar rcs $$t/libc.a $$t/obj/*.o; mv -T $$t $(NEWLIB) 2>/dev/null || rm -rf $$t

# --- the hypervisor ---
# TEST=1 makes a build whose self-tests (tests/hypervisor) can crash the hypervisor on order.
TEST ?= 0

HV_SRC := $(sort $(wildcard boot/*.c boot/*.S vmm/*.c vmm/*.S drivers/*.c drivers/*.S) $(shell find arch -name '*.c' -o -name '*.S'))
HV_SRC += $(if $(filter 1,$(TEST)),tests/hypervisor/selftest.c)
HV_FONT := /usr/share/consolefonts/Uni2-Fixed16.psf.gz
# What runs only before the control domain does: the linker script knows it by the objects' names,
# keeps it apart, and arch/x86/paging.c takes it away when boot is over.
HV_BOOT_SRC := boot/entry.S boot/ap_trampoline.S boot/mb2.c \
	$(addprefix vmm/,cmdline.c linux_boot.c linux_image.c main.c memmap.c refuse.c sleep.c split.c) \
	$(addprefix drivers/,acpi.c consoles.c) \
	$(addprefix arch/x86/,gdt.c microcode.c microcode_load.c paging_boot.c smp.c tsc.c) \
	$(addprefix arch/x86/vmx/,caps.c control_boot.c control_cpuid_build.c control_ept_boot.c ept_identity.c start.c vmx_on.c)
HV_BOOT_OBJ := $(HV_BOOT_SRC:%=$(BUILD)/hv/%.boot.o)
HV_RESIDENT_OBJ := $(patsubst %,$(BUILD)/hv/%.o,$(filter-out $(HV_BOOT_SRC),$(HV_SRC))) $(BUILD)/hv/font.o
HV_OBJ := $(HV_BOOT_OBJ) $(HV_RESIDENT_OBJ)
HV_CPPFLAGS = -nostdinc -isystem $(shell $(HV_CC) -print-file-name=include) -isystem $(NEWLIB)/include -I. -Ivmm -Iarch -Idrivers -I$(BUILD)/hv
HV_CFLAGS := -std=gnu11 -O2 -g $(HV_MACHINE) $(HV_RETPOLINE) $(HV_WARN)
HV_LDFLAGS := -nostdlib -static -no-pie -Wl,-T,linker.ld,--gc-sections,--build-id=none,-z,max-page-size=4096,-z,noexecstack,--no-warn-rwx-segments

.PHONY: hypervisor
hypervisor: $(BUILD)/hornero.elf ## the hypervisor's image
all: hypervisor

HV_VERSION = $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.PHONY: FORCE
$(BUILD)/hv/version.h: FORCE
	@mkdir -p $(@D)
	@{ echo '#pragma once'; echo '#define HV_VERSION "$(HV_VERSION)"'; } > $@.new
	@cmp -s $@.new $@ || mv $@.new $@

define hv_compile
@mkdir -p $(@D)
@echo '  $(if $(filter %.S,$<),AS,CC) $<'
@$(HV_CC) $(HV_CPPFLAGS) $(if $(filter %.S,$<),-D__ASSEMBLY__ -g $(HV_MACHINE),$(HV_CFLAGS)) -MMD -MP -c $< -o $@
endef

$(BUILD)/hv/%.o: % $(NEWLIB)/libc.a vmm/build.mk | $(BUILD)/hv/version.h
	$(hv_compile)

$(BUILD)/hv/%.boot.o: % $(NEWLIB)/libc.a vmm/build.mk | $(BUILD)/hv/version.h
	$(hv_compile)

$(BUILD)/hv/font.o: drivers/font.py
	@mkdir -p $(@D)
	@test -f $(HV_FONT) || { echo "$(HV_FONT) is missing: run 'make deps' (package console-setup-linux)"; exit 1; }
	@python3 drivers/font.py $(HV_FONT) > $(BUILD)/hv/font.c
	@$(HV_CC) -c $(HV_CFLAGS) $(BUILD)/hv/font.c -o $@

# Two passes: the functions' addresses of the first become the symbol table of the second.
$(BUILD)/hv/pass1.elf: $(HV_OBJ) linker.ld
	@$(HV_CC) $(HV_LDFLAGS) $(HV_OBJ) $(NEWLIB)/libc.a -o $@

$(BUILD)/hv/symtab.S: $(BUILD)/hv/pass1.elf vmm/symtab.awk
	@nm -n $< | awk -f vmm/symtab.awk > $@

$(BUILD)/hornero.debug: $(BUILD)/hv/symtab.S
	@$(HV_CC) -c $< -o $(BUILD)/hv/symtab.o
	@$(HV_CC) $(HV_LDFLAGS) $(HV_OBJ) $(BUILD)/hv/symtab.o $(NEWLIB)/libc.a -o $@
	@cmp <(nm -n $(BUILD)/hv/pass1.elf | grep ' [tT] ') <(nm -n $@ | grep ' [tT] ')

$(BUILD)/hornero.elf: $(BUILD)/hornero.debug
	@echo '  LD $@'
	@strip --strip-all $< -o $@

-include $(HV_OBJ:.o=.d)
