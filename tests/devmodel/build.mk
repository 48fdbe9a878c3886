# SPDX-License-Identifier: MIT
# A guest for the device model's tests, and a machine to run it in where this one has no usable KVM.

.PHONY: devmodel-images

DEVMODEL_TESTS := $(BUILD)/devmodel
DEVMODEL_MKINITRAMFS := control-domain/image/mkinitramfs

host-tests: devmodel-images

devmodel-images: $(DEVMODEL_TESTS)/guest.initrd $(DEVMODEL_TESTS)/host.initrd devmodel

$(DEVMODEL_TESTS)/%.initrd: tests/devmodel/%/init tests/devmodel/%.modules $(DEVMODEL_MKINITRAMFS) \
		tests/devmodel/build.mk $(KERNEL)/vmlinuz
	@mkdir -p $(@D)
	$(DEVMODEL_MKINITRAMFS) --kernel $(KERNEL) --root tests/devmodel/$* --modules tests/devmodel/$*.modules \
		$(addprefix --add ,$(DEVMODEL_ADD_$*)) --level 3 --output $@

# The bare-metal guests that also run on Linux's KVM: test_bare_guests.py
DEVMODEL_BARE := task modes neighbour smp wake

DEVMODEL_ADD_host := /guest/probe=$(DEVMODEL_TESTS)/probe /usr/bin/vmm=$(BUILD)/control-domain/vmm/vmm /guest/kernel=$(KERNEL)/vmlinuz \
	/guest/initrd=$(DEVMODEL_TESTS)/guest.initrd /usr/bin/socat=/usr/bin/socat \
	/usr/bin/setpriv=/usr/bin/setpriv $(foreach g,$(DEVMODEL_BARE),/guest/$(g).elf=$(BUILD)/guests/$(g).elf)

$(DEVMODEL_TESTS)/host.initrd: $(BUILD)/control-domain/vmm/vmm $(DEVMODEL_TESTS)/guest.initrd \
		$(DEVMODEL_TESTS)/probe $(DEVMODEL_BARE:%=$(BUILD)/guests/%.elf)

$(DEVMODEL_TESTS)/probe: tests/devmodel/probe.S
	@mkdir -p $(@D)
	$(CC) -nostdlib -static -no-pie -Wl,-Ttext-segment=0x200000 -Wl,--build-id=none -o $@ $<

# the device model with its main loop replaced by one that tries to break out
host-tests: $(DEVMODEL_TESTS)/vmm-probe

$(DEVMODEL_TESTS)/vmm-probe: tests/devmodel/sandbox_probe.c $(DEVMODEL_OBJECTS)
	@mkdir -p $(@D)
	$(DEVMODEL_CC) $(DEVMODEL_CFLAGS) -Wno-missing-prototypes $(DEVMODEL_LDFLAGS) \
		-Wl,--wrap=machine_run,--wrap=sandbox_close -o $@ $^ $(DEVMODEL_LIBS)
