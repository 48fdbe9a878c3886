# SPDX-License-Identifier: GPL-2.0-only
# The driver: $(CD)/hornero.ko, built by kbuild against the control domain's kernel ($(KHEADERS), see
# ../build.mk). kbuild writes beside its sources, so it gets a folder of links in $(BUILD). The file
# without debug information is what goes into the image; the one with it stays in $(DRIVER_WORK).

.PHONY: driver

DRIVER_SOURCES := $(wildcard control-domain/driver/*.[ch]) control-domain/driver/Kbuild
DRIVER_WORK := $(CD)/driver

driver: $(CD)/hornero.ko ## the control domain's kernel module

$(CD)/hornero.ko: $(DRIVER_SOURCES) $(wildcard vmm/abi/*.h) control-domain/driver/build.mk
	@mkdir -p $(DRIVER_WORK)
	@find $(DRIVER_WORK) -maxdepth 1 -type l -delete
	@ln -s $(abspath $(DRIVER_SOURCES)) $(DRIVER_WORK)/
	$(MAKE) --no-print-directory -C $(KHEADERS) M=$(abspath $(DRIVER_WORK)) HORNERO_TOP=$(CURDIR) modules
	strip --strip-debug -o $@ $(DRIVER_WORK)/hornero.ko
