// SPDX-License-Identifier: MIT
/*
 * Small values as people write them: sizes with a unit, names, port pairs, CPU lists, times. Pure.
 *
 * Each parser refuses with a sentence that names the value and what to write instead; the caller
 * puts the key or option in front. The printers are the parsers' inverse, so that a definition that
 * is read and written again stays the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../vmm/reason.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

enum { NAME_MAX_BYTES = 63 };

/** "512M" to bytes. Without a unit it asks which one was meant. */
int units_parse_size(const char *text, uint64_t *bytes, struct reason *why);

/** Bytes as the shortest size that units_parse_size() reads back, "512M". */
const char *units_print_size(uint64_t bytes, char *buffer, size_t size);

/** Bytes for people, at most 6 characters: "0", "512B", "1.5M", "128G". */
const char *units_print_about(double bytes, char *buffer, size_t size);

/** A decimal number from @low to @high. */
int units_parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *value,
		       struct reason *why);

/** A name of a VM, image or network: letters, digits, '-', '_', '.', starting with a letter. */
int units_check_name(const char *what, const char *text, struct reason *why);

/** "52:54:00:12:34:56", unicast. */
int units_parse_mac(const char *text, uint8_t mac[6], struct reason *why);

/** A stable, locally administered unicast address, from the name and the card's number. */
void units_derive_mac(const char *name, unsigned int card, uint8_t mac[6]);

/** Seconds as "41s", "12m", "3h 5m", "2d 4h". */
const char *units_print_time(uint64_t seconds, char *buffer, size_t size);

/** A CPU list such as "1-3,5": only its form is checked. */
int units_check_cpu_list(const char *text, struct reason *why);

/** The entry of the NULL-terminated @list that is nearest to @word, or NULL if none is near. */
const char *units_nearest(const char *word, const char *const *list);
