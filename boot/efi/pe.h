// SPDX-License-Identifier: MIT
/*
 * Sections of a PE image that the firmware has loaded: where the one-file image keeps its files.
 * Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Find section @name (at most 8 characters) in the loaded image of @bytes bytes at @image; where it
 * lies in the image to @data and its size to @size. False: there is none that lies in the image.
 * Source: PE Format (Microsoft), "Section Table".
 */
bool pe_section(const void *image, size_t bytes, const char *name, const void **data, size_t *size);
