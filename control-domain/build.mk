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
CD_FILES := /usr/bin/dropbear=/usr/sbin/dropbear /usr/bin/dropbearkey=/usr/bin/dropbearkey \
	/usr/lib/sftp-server=/usr/lib/openssh/sftp-server
CD_MODULES := $(CD)/hornero.ko

include $(sort $(wildcard control-domain/*/build.mk))

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

$(CD)/initramfs: $(KERNEL)/vmlinuz control-domain/image/mkinitramfs \
		control-domain/image/modules.test $(shell find control-domain/image/root -type f) \
		$(foreach f,$(CD_FILES),$(lastword $(subst =, ,$(f)))) $(CD_MODULES)
	@mkdir -p $(@D)
	control-domain/image/mkinitramfs --kernel $(KERNEL) --modules control-domain/image/modules.test \
		--root control-domain/image/root $(addprefix --add ,$(CD_FILES)) \
		$(addprefix --extra-module ,$(CD_MODULES)) --output $@
