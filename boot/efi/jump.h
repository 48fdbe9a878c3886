// SPDX-License-Identifier: MIT
/*
 * From the firmware's 64-bit mode to a Multiboot2 entry point.
 */
#pragma once

#include <stdint.h>

/**
 * Go to @entry with the Multiboot2 block at @block, by way of the page at @page, which is mapped
 * one to one. Does not return.
 * Context: boot services have ended.
 */
__attribute__((noreturn)) void jump_to(uint64_t page, uint32_t entry, uint32_t block);
