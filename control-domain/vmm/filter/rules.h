// SPDX-License-Identifier: MIT
/* The filter of the device model's system calls, for the program that writes it down and its test.
 */
#pragma once

/* Writes the program, an array of struct sock_filter, to @fd. 0, or an errno negated. */
int sandbox_rules_export(int fd);
