// SPDX-License-Identifier: GPL-2.0-only
/* The driver's two devices: /dev/hornero (device.c, abi/ioctl.h) and /dev/kvm (kvm_device.c). */
#pragma once

/* Registers and removes the device. Returns 0 or an errno, negated. */
int device_init(void);
void device_exit(void);

int kvm_device_init(void);
void kvm_device_exit(void);
