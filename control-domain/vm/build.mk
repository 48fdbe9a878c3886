# SPDX-License-Identifier: MIT
# The `vm` command, linked statically and without gaps: starting is most of what `vm list` costs, which is typed
# often, and a page fault is 5,000 instructions.
# Names have at most 63 bytes and paths 255, all checked when read: the warning about truncation cannot know.

VM_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wno-format-truncation -Wno-missing-field-initializers -ffunction-sections \
	-D_GNU_SOURCE -I. -Ivmm
VM_SOURCES := $(sort $(wildcard control-domain/vm/*.c))
VM_OBJECTS := $(VM_SOURCES:%.c=$(BUILD)/%.o)

.PHONY: vm
vm: $(CD)/vm/vm ## the vm command

$(CD)/vm/%.o: control-domain/vm/%.c control-domain/vm/build.mk
	@mkdir -p $(@D)
	$(CC) $(VM_CFLAGS) -MMD -MP -c -o $@ $<

$(CD)/vm/vm: $(VM_OBJECTS) control-domain/vm/start.ld
	$(CC) -static -Wl,--gc-sections,-z,noseparate-code,-T,control-domain/vm/start.ld -o $@ $(VM_OBJECTS) -ljson-c

-include $(VM_OBJECTS:.o=.d)

CD_FILES += /usr/bin/vm=$(CD)/vm/vm /usr/bin/dbclient=/usr/bin/dbclient \
	/usr/bin/dnsmasq=/usr/sbin/dnsmasq /usr/bin/nft=/usr/sbin/nft
