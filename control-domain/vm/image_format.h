// SPDX-License-Identifier: MIT
/*
 * What kind of disk image a file is, from its first bytes. Pure.
 *
 * Only what decides whether it may be converted is read: the format, the size, and whether it names
 * another file, which a stranger's image must not (it could name any file of ours).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../vmm/reason.h"

enum image_format { IMAGE_REFUSED, IMAGE_RAW, IMAGE_QCOW2, IMAGE_VMDK };

extern const char *const image_format_names[];

/** The format; IMAGE_REFUSED with @why for what cannot be taken. */
enum image_format image_format_of(const unsigned char *head, size_t bytes, struct reason *why);

/** The guest-visible size of the qcow2 or VMDK that image_format_of() saw last. */
uint64_t image_format_bytes(void);
