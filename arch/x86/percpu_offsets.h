// SPDX-License-Identifier: MIT
/*
 * Offsets into struct cpu that assembly needs; percpu.h asserts that they are right.
 */
#pragma once

#define CPU_NMI_IN_ROOT 40
#define CPU_LAUNCHED	44
#define CPU_GPRS	48
