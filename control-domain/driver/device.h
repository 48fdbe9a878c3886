// SPDX-License-Identifier: GPL-2.0-only
/* /dev/hornero, see abi/ioctl.h. */
#pragma once

/* Registers and removes the device. Returns 0 or an errno, negated. */
int device_init(void);
void device_exit(void);
