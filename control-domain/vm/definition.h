// SPDX-License-Identifier: MIT
/*
 * What a virtual machine is, as its owner wrote it: /etc/hornero/vms/NAME.conf.
 *
 * Lines of `key = value`; a line that starts with '#' is a comment; `version = 1` must be there;
 * `disk` and `publish` may be repeated. One table in definition.c has all keys: it drives reading,
 * `vm set`, the options of `vm create` and the output of `vm show`. Editing works on the text, so
 * comments and order survive. Pure: whether files exist is checked by admission.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "units.h"

enum { DISKS_MAX = 8, PUBLISH_MAX = 16, PATH_BYTES = 256, CPUS_MAX = 16 };

struct disk {
	char path[PATH_BYTES];
	bool read_only;
};

struct publish {
	uint16_t host_port, guest_port;
	bool udp;
};

struct definition {
	uint64_t memory_bytes;
	uint64_t cpus;
	char image[NAME_MAX_BYTES + 1]; /* "" if kernel or disk say what to boot */
	char kernel[PATH_BYTES], initrd[PATH_BYTES];
	bool boot_disk;		     /* said, not only the default for a disk alone */
	char cloud_init[PATH_BYTES]; /* user data; "" the usual seed, "none" no seed */
	char cmdline[2048];	     /* "" takes the image's, or console=hvc0 */
	struct disk disk[DISKS_MAX];
	unsigned int disks;
	char net[NAME_MAX_BYTES + 1]; /* none, nat or a network's name */
	char mac[18];		      /* "" is derived from the name */
	struct publish publish[PUBLISH_MAX];
	unsigned int published;
	uint64_t autostart;  /* order, 0: not started at boot */
	uint64_t cpu_weight; /* cgroup v2 cpu.weight, 0: not set */
	uint64_t cpu_max;    /* per cent of one CPU, 0: no cap */
	char cpus_pin[64];   /* "" runs anywhere */
};

struct definition_key {
	const char *name;  /* in the file */
	const char *value; /* placeholder in help */
	const char *help;
	bool repeats;
	int (*set)(struct definition *definition, const char *value, struct reason *why);
	/* Value @index as text, or NULL when there are no more (or it has its default). */
	const char *(*get)(const struct definition *definition, unsigned int index, char *buffer,
			   size_t size);
};

extern const struct definition_key definition_keys[];
extern const unsigned int definition_key_count;

enum { DEFINITION_VALUE_BYTES = 2304 };

/* Said wherever somebody asks for it. */
#define CANNOT_BOOT                                                                                \
	"firmware guests and installers' ISO images cannot boot yet; take the distribution's "     \
	"cloud image, or a kernel by --kernel"

/** The entry of @name in the table, or NULL. */
const struct definition_key *definition_find_key(const char *name);

/** 512M, 1 CPU, no disk, net = nat. */
void definition_defaults(struct definition *definition);

/** Set one key. On failure @why is "key 'value': remedy". A repeated key appends. */
int definition_set(struct definition *definition, const char *key, const char *value,
		   struct reason *why);

/** Read @text; @file is for messages ("FILE:LINE: ..."). The first mistake ends it. */
int definition_parse(const char *file, const char *text, struct definition *definition,
		     struct reason *why);

/** Keys that contradict each other or are missing. */
int definition_check(const struct definition *definition, struct reason *why);

/**
 * @text with the lines of @key replaced by @count values (0 takes the key out); everything else
 * stays as it was. The caller frees it. NULL: out of memory.
 */
char *definition_edit(const char *text, const char *key, const char *const *values,
		      unsigned int count);

/** The text of a new file. The caller frees it. NULL: out of memory. */
char *definition_write(const struct definition *definition, const char *comment);
