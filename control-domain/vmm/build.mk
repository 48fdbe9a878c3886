# SPDX-License-Identifier: MIT
# The device model. Linked statically, with glibc: it runs in an initramfs and inside an empty mount
# namespace, where no shared library can be found, and Debian's json-c comes as an archive built for
# glibc.

.PHONY: devmodel

DEVMODEL_DIR := control-domain/vmm
DEVMODEL_CC ?= gcc
DEVMODEL_CFLAGS := -std=gnu11 -g -O2 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -D_GNU_SOURCE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 \
	-fstack-protector-strong -fPIE -pthread -I.
DEVMODEL_LDFLAGS := -static-pie -Wl,-z,relro,-z,now -pthread
DEVMODEL_LIBS := -ljson-c
DEVMODEL_SOURCES := $(sort $(wildcard $(DEVMODEL_DIR)/*.c))
DEVMODEL_OBJECTS := $(DEVMODEL_SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/$(DEVMODEL_DIR)/dsdt.o

CD_FILES += /usr/bin/vmm=$(BUILD)/$(DEVMODEL_DIR)/vmm

devmodel: $(BUILD)/$(DEVMODEL_DIR)/vmm ## the device model, one static program

$(BUILD)/$(DEVMODEL_DIR)/vmm: $(DEVMODEL_OBJECTS)
	$(DEVMODEL_CC) $(DEVMODEL_LDFLAGS) -o $@ $^ $(DEVMODEL_LIBS)

$(BUILD)/$(DEVMODEL_DIR)/%.o: $(DEVMODEL_DIR)/%.c $(DEVMODEL_DIR)/build.mk
	@mkdir -p $(@D)
	$(DEVMODEL_CC) $(DEVMODEL_CFLAGS) -MMD -MP -c -o $@ $<

# libseccomp writes the filter of system calls.
DEVMODEL_FILTER := $(DEVMODEL_DIR)/filter/main.c $(DEVMODEL_DIR)/filter/rules.c

$(BUILD)/$(DEVMODEL_DIR)/filter/run: $(DEVMODEL_FILTER) $(DEVMODEL_DIR)/filter/rules.h $(DEVMODEL_DIR)/build.mk
	@mkdir -p $(@D)
	gcc -std=gnu11 -O1 -Wall -Wextra -Werror -D_GNU_SOURCE -o $@ $(DEVMODEL_FILTER) -lseccomp

$(BUILD)/$(DEVMODEL_DIR)/filter/filter_program.h: $(BUILD)/$(DEVMODEL_DIR)/filter/run
	$< >$@

$(BUILD)/$(DEVMODEL_DIR)/sandbox_filter.o: DEVMODEL_CFLAGS += -I$(BUILD)/$(DEVMODEL_DIR)/filter
$(BUILD)/$(DEVMODEL_DIR)/sandbox_filter.o: $(BUILD)/$(DEVMODEL_DIR)/filter/filter_program.h

# iasl writes the table as a C array.
$(BUILD)/$(DEVMODEL_DIR)/dsdt.c: $(DEVMODEL_DIR)/dsdt.asl
	@mkdir -p $(@D)
	iasl -ve -tc -p $(basename $@) $< >$(basename $@).log || { cat $(basename $@).log >&2; exit 1; }
	mv $(basename $@).hex $@

$(BUILD)/$(DEVMODEL_DIR)/dsdt.o: $(BUILD)/$(DEVMODEL_DIR)/dsdt.c
	$(DEVMODEL_CC) $(DEVMODEL_CFLAGS) -c -o $@ $<

-include $(DEVMODEL_OBJECTS:.o=.d)
