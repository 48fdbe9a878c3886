# SPDX-License-Identifier: MIT
# The control domain: Debian's stock kernel and our initramfs for it. Subfolders (driver, device
# model) have a build.mk each and may add to
#   CD_FILES    files for the initramfs, PATH=SOURCE
#   CD_MODULES  kernel modules of our own
# They build modules against $(KHEADERS), which exists once $(KERNEL)/vmlinuz does.

.PHONY: control-domain kernel-update

LINUX := $(CACHE)/linux
KERNEL := $(LINUX)/current
KHEADERS := $(KERNEL)/headers
CD := $(BUILD)/control-domain
OPENNTPD := $(CACHE)/openntpd
CD_FILES := /usr/bin/dropbear=/usr/sbin/dropbear /usr/bin/dropbearkey=/usr/bin/dropbearkey \
	/usr/lib/sftp-server=/usr/lib/openssh/sftp-server /usr/bin/ntpd=$(OPENNTPD)/usr/sbin/ntpd
CD_MODULES := $(CD)/hornero.ko

include $(sort $(wildcard control-domain/*/build.mk))

# initramfs: small, for tests and rescue. initramfs-full: every network card and disk controller.
control-domain: $(CD)/vmlinuz $(CD)/initramfs ## the control domain's kernel and initramfs
all: control-domain

$(KERNEL)/vmlinuz:
	control-domain/image/fetch-kernel $(LINUX)

$(CD)/hornero.ko: | $(KERNEL)/vmlinuz

kernel-update: ## fetch Debian's newest kernel for the control domain
	control-domain/image/fetch-kernel $(LINUX) --update

$(CD)/vmlinuz: $(KERNEL)/vmlinuz
	@mkdir -p $(@D)
	cp $< $@

$(OPENNTPD)/usr/sbin/ntpd:
	control-domain/image/fetch $(OPENNTPD) openntpd

MKINITRAMFS := control-domain/image/mkinitramfs --kernel $(KERNEL) --root control-domain/image/root \
	$(addprefix --add ,$(CD_FILES)) $(addprefix --extra-module ,$(CD_MODULES))
INITRAMFS_PARTS := $(KERNEL)/vmlinuz control-domain/image/mkinitramfs control-domain/image/modules.test \
	$(shell find control-domain/image/root -type f) \
	$(foreach f,$(CD_FILES),$(lastword $(subst =, ,$(f)))) $(CD_MODULES)

$(CD)/initramfs: $(INITRAMFS_PARTS)
	@mkdir -p $(@D)
	$(MKINITRAMFS) --modules control-domain/image/modules.test --output $@

$(CD)/initramfs-full: $(INITRAMFS_PARTS) control-domain/image/modules.full
	@mkdir -p $(@D)
	$(MKINITRAMFS) --modules control-domain/image/modules.test --modules control-domain/image/modules.full \
		--output $@
