# SPDX-License-Identifier: MIT
# The `hornero` command and the small programs of the control domain's start-up.

HORNERO_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -D_GNU_SOURCE -I. -Ivmm -Iarch
HORNERO_SOURCES := $(addprefix control-domain/hornero/,main.c hypervisor.c info.c log.c crash.c stats.c vms.c \
	check.c check_facts.c check_judge.c report.c boot.c settings.c settings_parse.c \
	vmcs_explain.c entry_check.c entry_check_guest.c)
# what the hypervisor itself judges by
HORNERO_SHARED := arch/x86/vmx/caps.c vmm/split.c
HORNERO_OBJECTS := $(HORNERO_SOURCES:control-domain/hornero/%.c=$(CD)/hornero/%.o) \
	$(HORNERO_SHARED:%.c=$(CD)/hornero/shared/%.o)

$(CD)/hornero/%.o: control-domain/hornero/%.c control-domain/hornero/build.mk
	@mkdir -p $(@D)
	$(CC) $(HORNERO_CFLAGS) -MMD -MP -c -o $@ $<

$(CD)/hornero/shared/%.o: %.c control-domain/hornero/build.mk
	@mkdir -p $(@D)
	$(CC) $(HORNERO_CFLAGS) -MMD -MP -c -o $@ $<

# static: `hornero check` shall run on any Linux
$(CD)/hornero/hornero: $(HORNERO_OBJECTS)
	$(CC) -static -o $@ $^ -ljson-c -luuid

$(CD)/hornero/link: $(CD)/hornero/link.o
	$(CC) -o $@ $^

-include $(HORNERO_OBJECTS:.o=.d) $(CD)/hornero/link.d

CD_FILES += /usr/bin/hornero=$(CD)/hornero/hornero /usr/lib/hornero/link=$(CD)/hornero/link \
	/usr/lib/hornero/report=control-domain/hornero/report
