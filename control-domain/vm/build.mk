# SPDX-License-Identifier: MIT
# The `vm` command, linked statically: it starts in half the instructions, and `vm list` is typed often.
# Names have at most 63 bytes and paths 255, all checked when read: the warning about truncation cannot know.

VM_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wno-format-truncation -Wno-missing-field-initializers -D_GNU_SOURCE -I. -Ivmm
VM_SOURCES := $(sort $(wildcard control-domain/vm/*.c))
VM_OBJECTS := $(VM_SOURCES:%.c=$(BUILD)/%.o)

.PHONY: vm
vm: $(CD)/vm/vm ## the vm command

$(CD)/vm/%.o: control-domain/vm/%.c control-domain/vm/build.mk
	@mkdir -p $(@D)
	$(CC) $(VM_CFLAGS) -MMD -MP -c -o $@ $<

$(CD)/vm/vm: $(VM_OBJECTS)
	$(CC) -static -o $@ $^ -ljson-c

-include $(VM_OBJECTS:.o=.d)

CD_FILES += /usr/bin/vm=$(CD)/vm/vm /usr/bin/dbclient=/usr/bin/dbclient \
	/usr/bin/dnsmasq=/usr/sbin/dnsmasq /usr/bin/nft=/usr/sbin/nft
