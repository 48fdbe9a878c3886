# SPDX-License-Identifier: MIT
# The control domain: Debian's stock kernel and our initramfs for it. Subfolders (driver, device
# model) have a build.mk each and may add to
#   CD_FILES    files for the initramfs, PATH=SOURCE
#   CD_GUEST_FILES  files for the guests that come with it, likewise
#   CD_MODULES  kernel modules of our own
# They build modules against $(KHEADERS), which exists once $(KERNEL)/vmlinuz does.

.PHONY: control-domain kernel-update

LINUX := $(CACHE)/linux
KERNEL := $(LINUX)/current
KHEADERS := $(KERNEL)/headers
CD := $(BUILD)/control-domain
OPENNTPD := $(CACHE)/openntpd
CD_FILES := /usr/bin/dropbear=/usr/sbin/dropbear /usr/bin/dropbearkey=/usr/bin/dropbearkey \
	/usr/lib/sftp-server=/usr/lib/openssh/sftp-server /usr/bin/ntpd=$(OPENNTPD)/usr/sbin/ntpd \
	/usr/bin/sfdisk=/usr/sbin/sfdisk /usr/bin/partx=/usr/bin/partx \
	/usr/bin/resize2fs=/usr/sbin/resize2fs /usr/bin/flock=/usr/bin/flock \
	/usr/bin/blkid=/usr/sbin/blkid
CD_MODULES := $(CD)/hornero.ko

# The people's shell, what it completes, and the manual pages as text, which the script `man` shows.
CD_FILES += /usr/bin/bash=/usr/bin/bash $(foreach c,vm hornero,\
	/usr/share/completion/$(c)=control-domain/$(c)/completion.bash /usr/share/man/$(c)=$(CD)/man/$(c))

$(CD)/man/%: control-domain/%
	@mkdir -p $(@D)
	groff -mdoc -Tascii -P-cbou $</$*.8 >$@

include $(sort $(wildcard control-domain/*/build.mk))

# initramfs: small, for tests; its modules bear no signatures. initramfs-vm: with the guests that come along.
# initramfs-full: with every network card and disk controller as well, for people.
control-domain: $(CD)/vmlinuz $(CD)/initramfs $(CD)/initramfs-vm ## the control domain's kernel and initramfs
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

sources = $(foreach f,$(1),$(lastword $(subst =, ,$(f))))
MKINITRAMFS := control-domain/image/mkinitramfs
MKINITRAMFS_SYSTEM := $(MKINITRAMFS) --kernel $(KERNEL) --root control-domain/image/root \
	$(addprefix --add ,$(CD_FILES)) $(addprefix --extra-module ,$(CD_MODULES)) \
	--modules control-domain/image/modules.test
INITRAMFS_PARTS := $(KERNEL)/vmlinuz $(MKINITRAMFS) control-domain/build.mk $(wildcard control-domain/image/modules.*) \
	$(shell find control-domain/image/root -type f) $(call sources,$(CD_FILES)) $(CD_MODULES)

$(CD)/initramfs: $(INITRAMFS_PARTS)
	@mkdir -p $(@D)
	@echo "  IMAGE $@"
	@$(MKINITRAMFS_SYSTEM) --unsigned --output $@

$(CD)/guests.cpio: $(MKINITRAMFS) $(call sources,$(CD_GUEST_FILES))
	@mkdir -p $(@D)
	@echo "  IMAGE $@"
	@$(MKINITRAMFS) $(addprefix --add ,$(CD_GUEST_FILES)) --output $@

# what converts disk images, and the libraries that it alone needs
$(CD)/tools.cpio: $(MKINITRAMFS)
	@mkdir -p $(@D)
	@echo "  IMAGE $@"
	@$(MKINITRAMFS) --add /usr/bin/qemu-img=/usr/bin/qemu-img --output $@.plain
	@zstd -q -9 -f --rm $@.plain -o $@

# archives behind one another, each at a multiple of 4 bytes
joined = for part in $(1); do cat $$part; size=$$(stat -c %s $$part); head -c $$((-size & 3)) /dev/zero; done

$(CD)/initramfs-vm: $(CD)/initramfs $(CD)/tools.cpio $(CD)/guests.cpio
	@echo "  IMAGE $@"
	@{ $(call joined,$^); } >$@

$(CD)/initramfs-drivers: $(INITRAMFS_PARTS)
	@mkdir -p $(@D)
	@echo "  IMAGE $@"
	@$(MKINITRAMFS_SYSTEM) --modules control-domain/image/modules.full --output $@

$(CD)/initramfs-full: $(CD)/initramfs-drivers $(CD)/tools.cpio $(CD)/guests.cpio
	@echo "  IMAGE $@"
	@{ $(call joined,$^); } >$@
