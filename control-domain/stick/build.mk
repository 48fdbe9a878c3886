# SPDX-License-Identifier: MIT
# The stick's control domain: a squashfs with Debian. Its base is cached; `make release`, `make usb` and
# `make test-full` make it.

DEBIAN := $(CD)/debian.squashfs
DEBIAN_PACKAGE := control-domain/package

.PHONY: debian stick-update
debian: $(DEBIAN) ## the stick's control domain, a squashfs with Debian

stick-update: ## make the stick's Debian anew, with Debian's updates
	CACHE=$(CACHE) control-domain/stick/mkbase --fresh
	rm -f $(DEBIAN)

$(DEBIAN): $(CD)/hornero.ko $(CD)/hornero/link $(CD)/hornero/hornero $(CD)/vm/vm $(CD)/vmm/vmm $(DEMO)/initramfs \
		$(CLOUD)/vmlinuz $(BUILD)/hornero.elf $(wildcard $(DEBIAN_PACKAGE)/* $(DEBIAN_PACKAGE)/*/*) \
		$(shell find control-domain/stick control-domain/image/root/usr/lib/hornero -type f)
	rm -rf $(CD)/debian-package
	$(DEBIAN_PACKAGE)/mkdeb --version $(VERSION) --build $(BUILD) --demo-kernel $(CLOUD)/vmlinuz --level 0 \
		--output $(CD)/debian-package
	control-domain/stick/mkroot --output $@ --base "$$(CACHE=$(CACHE) control-domain/stick/mkbase)" --kernel $(KERNEL) \
		--module $(CD)/hornero.ko --link $(CD)/hornero/link --tools $(CD)/debian-package/hornero-tools_*.deb
