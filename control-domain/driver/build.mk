# SPDX-License-Identifier: GPL-2.0-only
# The driver: $(BUILD)/control-domain/hornero.ko, built by kbuild against Debian's kernel headers.
# kbuild writes beside its sources, so it gets a folder of links in $(BUILD).

.PHONY: driver

KHEADERS ?= $(lastword $(sort $(wildcard /usr/src/linux-headers-*-amd64)))
DRIVER_SOURCES := $(wildcard control-domain/driver/*.[ch]) control-domain/driver/Kbuild
DRIVER_WORK := $(BUILD)/control-domain/driver

driver: $(BUILD)/control-domain/hornero.ko ## the control domain's kernel module

$(BUILD)/control-domain/hornero.ko: $(DRIVER_SOURCES) $(wildcard vmm/abi/*.h) \
		control-domain/driver/build.mk
	@test -n "$(KHEADERS)" || { echo "driver: no kernel headers in /usr/src: run 'make deps'," \
		"or set KHEADERS" >&2; exit 1; }
	@mkdir -p $(DRIVER_WORK)
	find $(DRIVER_WORK) -maxdepth 1 -type l -delete
	ln -sf $(abspath $(DRIVER_SOURCES)) $(DRIVER_WORK)/
	$(MAKE) -C $(KHEADERS) M=$(abspath $(DRIVER_WORK)) HORNERO_TOP=$(CURDIR) modules
	cp $(DRIVER_WORK)/hornero.ko $@
