# SPDX-License-Identifier: MIT
# What is given to people: a CD image, and a disk image for sticks that keeps its settings and data.
# VERSION also goes into the Debian packages: 0.DATE.COMMIT until there is a tag.

VERSION ?= $(shell git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null | sed s/^v// | grep . || \
	TZ=UTC0 git log -1 --date=format-local:%Y%m%d%H%M --format=0.%cd.%h 2>/dev/null || echo 0.unknown)
RELEASE := $(BUILD)/release
RELEASE_FILES = $(RELEASE)/hornero-$(VERSION).iso $(RELEASE)/hornero-$(VERSION).img.xz

.PHONY: disk release usb

disk: $(BUILD)/hornero.img ## the disk image for a stick: BIOS and UEFI, settings, data that survive

STICK_INITRAMFS := $(BUILD)/control-domain/initramfs-drivers
STICK_ROOT := $(BUILD)/control-domain/debian.squashfs

$(BUILD)/hornero.img: $(HYPERVISOR) $(CD_KERNEL) $(STICK_INITRAMFS) $(STICK_ROOT) boot/mkdisk boot/biosboot boot/disk.grub \
		boot/settings.grub boot/settings.conf boot/authorized_keys boot/control-domain.cmdline
	boot/mkdisk --output $@ --hypervisor $(HYPERVISOR) --kernel $(CD_KERNEL) --initramfs $(STICK_INITRAMFS) --root $(STICK_ROOT)

release: $(BUILD)/hornero.iso $(BUILD)/hornero.img ## images with SHA256SUMS; KEY=ID signs them by gpg
	rm -rf $(RELEASE)
	mkdir -p $(RELEASE)
	cp $(BUILD)/hornero.iso $(RELEASE)/hornero-$(VERSION).iso
	xz -c -T0 -2 $(BUILD)/hornero.img >$(RELEASE)/hornero-$(VERSION).img.xz
	cd $(RELEASE) && sha256sum $(notdir $(RELEASE_FILES)) >SHA256SUMS
	$(if $(KEY),gpg --batch --yes --local-user '$(KEY)' --armor --detach-sign --output $(RELEASE)/SHA256SUMS.asc $(RELEASE)/SHA256SUMS)
	@ls -sh $(RELEASE)

# before anything is built for it
ifeq ($(filter usb,$(MAKECMDGOALS))$(DEVICE),usb)
$(error usb: say which disk: make usb DEVICE=/dev/sdX SSH_KEY=~/.ssh/id_ed25519.pub)
endif

usb: $(BUILD)/hornero.img ## write a stick: make usb DEVICE=/dev/sdX SSH_KEY=FILE [SETTINGS=FILE] [INTERNAL=sdX]
	$(if $(filter 0,$(shell id -u)),,sudo) boot/mkusb --image $(BUILD)/hornero.img --device $(DEVICE) $(if $(SSH_KEY),--key $(SSH_KEY)) \
		$(if $(SETTINGS),--settings $(SETTINGS)) $(if $(INTERNAL),--internal $(INTERNAL))
