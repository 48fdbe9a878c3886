// SPDX-License-Identifier: MIT
/*
 * What the parts of hornero.efi share: who we are, and what was loaded.
 *
 * Every function that can fail prints what was missing, what was found, and for which file; the
 * caller only passes the failure on.
 */
#pragma once

#include <efi.h>
#include <efilib.h>
#include <stdbool.h>
#include <boot/efi/conf.h>

#define BELOW_4G 0xffffffffULL

struct app {
	EFI_HANDLE handle;
	EFI_LOADED_IMAGE *image;
	EFI_FILE_HANDLE root; /* the volume we came from; NULL: none */
	CHAR16 *folder;	      /* our own, with the last backslash */
	bool one_file;	      /* everything is a section of our own image */
	bool secure_boot;     /* the firmware starts nothing without a known signature */
};

/* A file in memory of its own, page-aligned below 4 GiB. */
struct piece {
	EFI_PHYSICAL_ADDRESS at;
	UINTN bytes;
};

/** Find out where we were started from. */
void files_open(struct app *app, EFI_HANDLE handle);

/** Read the configuration: the section .conf, else hornero.conf in our folder. */
bool files_read_conf(const struct app *app, struct conf *conf);

/** Load file or section @name, which the configuration calls its @what. */
bool files_load(const struct app *app, const char *what, const char *name, struct piece *out);

/** Load what @entry names and start it. Returns only if that fails. */
void start_entry(const struct app *app, const struct conf_entry *entry);
