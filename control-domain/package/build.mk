# SPDX-License-Identifier: MIT
# The Debian packages.

.PHONY: deb

deb: $(BUILD)/hornero.elf $(CD)/hornero/hornero $(CD)/vm/vm $(BUILD)/control-domain/vmm/vmm \
		$(DEMO)/initramfs $(CLOUD)/vmlinuz ## Debian packages: hornero, hornero-dkms, hornero-tools
	rm -rf $(BUILD)/deb
	control-domain/package/mkdeb --version $(VERSION) --build $(BUILD) --demo-kernel $(CLOUD)/vmlinuz \
		--output $(BUILD)/deb
