// SPDX-License-Identifier: MIT
/*
 * Definitions and images as files. A definition is changed only by replacing its file, under one
 * lock for all of them (/run/hornero/lock), so two `vm` commands never see half of a change.
 *
 * Read next: definition.h, runtime.h (what runs), admission.h (what is checked before).
 */
#pragma once

#include "definition.h"
#include "vm.h"

enum { DEFINITION_FILE_MAX = 64 * 1024 };

/** Take the lock until the process ends or store_unlock(). 0, or -1 with @why. */
int store_lock(struct reason *why);
void store_unlock(void);

/** Path of a definition. */
const char *store_path(char buffer[FILE_NAME_BYTES], const char *name);

/** Whether a VM of that name is defined. */
bool store_exists(const char *name);

/** Read and check a definition. An exit code; the message has been printed. */
int store_load(const char *name, struct definition *definition);

/** The same without printing: 0, or -1 with @why. */
int store_read(const char *name, struct definition *definition, struct reason *why);

/** The definition that a VM was started with, which `vm set` does not change. */
int store_read_started(const char *name, struct definition *definition, struct reason *why);

/** Keep it for store_read_started(), in the VM's folder below /run. */
int store_write_started(const char *name, const struct definition *definition, struct reason *why);

/** Names of all defined VMs, sorted, NULL-terminated; store_free_names() frees it. */
char **store_names(void);
void store_free_names(char **names);

/** Sorted names of the entries of a folder, without @suffix; those without it are left out. */
char **store_folder_names(const char *folder, const char *suffix);

/* New values of one key; none takes it out. */
struct change {
	const char *key;
	const char *const *values;
	unsigned int count;
};

/** Change keys of an existing definition at once, keeping comments. 0, or -1 with @why. */
int store_change(const char *name, const struct change *changes, unsigned int count,
		 struct reason *why);

struct image {
	char kernel[FILE_NAME_BYTES], initrd[FILE_NAME_BYTES]; /* "" if it has none */
	char disk[FILE_NAME_BYTES];			       /* to be copied for each VM, or "" */
	char cmdline[2048], description[128];
	uint64_t memory_bytes;	       /* least memory, 0 if unknown */
	uint64_t default_memory_bytes; /* what new VMs get, 0: 512M as others */
	bool takes_keys;	       /* SSH keys and host name by an archive after its initrd */
};

/** Find an image: a folder with image.conf, or NAME.raw. 0, or -1 with @why. */
int store_image(const char *name, struct image *image, struct reason *why);

/** Names of all images; store_free_names() frees it. */
char **store_image_names(void);

/** True if what is written below /var/lib/hornero is gone after a reboot. */
bool store_is_volatile(void);
