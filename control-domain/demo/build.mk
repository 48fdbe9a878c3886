# SPDX-License-Identifier: MIT
# The demo guest: Debian's cloud kernel, as it is, and a small initramfs with a shell, the network and
# an SSH server. It travels in the control domain as the image `demo`, and also starts the kernels of
# guests' own disks (root/usr/lib/demo/bootdisk).
# It lies in /usr/lib, not /var/lib: a volume mounted there must not hide it.

DEMO := $(BUILD)/control-domain/demo
CLOUD := $(CACHE)/linux-cloud
DEMO_ROOT := control-domain/demo/root
DEMO_IMAGE := /usr/lib/hornero/images/demo

CD_GUEST_FILES += $(DEMO_IMAGE)/image.conf=control-domain/demo/image.conf \
	$(DEMO_IMAGE)/kernel=$(CLOUD)/vmlinuz $(DEMO_IMAGE)/initramfs=$(DEMO)/initramfs

.PHONY: demo
demo: $(DEMO)/initramfs $(CLOUD)/vmlinuz ## the demo guest

$(CLOUD)/vmlinuz:
	control-domain/image/fetch $(CLOUD) $$(apt-cache depends linux-image-cloud-amd64 | \
		awk '$$1 == "Depends:" { print $$2; exit }')
	ln -sfn lib/modules/$$(ls $(CLOUD)/lib/modules) $(CLOUD)/modules
	busybox depmod -b $(CLOUD) $$(ls $(CLOUD)/lib/modules)
	ln -sfn boot/$$(cd $(CLOUD)/boot && ls vmlinuz-*) $@

$(DEMO)/kexec: control-domain/demo/bootdisk.c control-domain/demo/build.mk
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -Os -Wall -Wextra -Werror -D_GNU_SOURCE -o $@ $<

# Drivers that only a guest's own disk may need, packed: the demo guest alone should not unpack them.
FILE_SYSTEMS := lib/libcrc32c lib/raid6/raid6_pq lib/zstd/zstd_compress crypto/xor fs/btrfs/btrfs fs/xfs/xfs

$(DEMO)/filesystems.tar.gz: $(CLOUD)/vmlinuz control-domain/demo/build.mk
	@mkdir -p $(@D)
	tar -C $(CLOUD)/modules/kernel --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --transform 's|.*/||' \
		-c $(FILE_SYSTEMS:=.ko) | gzip -9n >$@

$(DEMO)/initramfs: $(DEMO)/kexec $(DEMO)/filesystems.tar.gz $(CLOUD)/vmlinuz control-domain/demo/modules control-domain/image/mkinitramfs \
		$(shell find $(DEMO_ROOT) -type f) control-domain/demo/build.mk
	@mkdir -p $(@D)
	control-domain/image/mkinitramfs --kernel $(CLOUD) --modules control-domain/demo/modules \
		--root $(DEMO_ROOT) --add /usr/bin/dropbear=/usr/sbin/dropbear \
		--add /usr/lib/demo/kexec=$(DEMO)/kexec \
		--add /usr/lib/demo/filesystems.tar.gz=$(DEMO)/filesystems.tar.gz --output $@
