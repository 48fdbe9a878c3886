// SPDX-License-Identifier: MIT
/*
 * The list of VMs that `hornero vms` and `hornero stats` show.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "vmm/abi/ioctl.h"

struct json_object;

#define VMS_MAX 256 /* more than the hypervisor has slots */

/** The VMs that there are, at most @room; how many. */
size_t vms_read(int fd, struct hornero_vm_info *vm, size_t room);

void vms_print_text(FILE *out, const struct hornero_vm_info *vm, size_t count);
struct json_object *vms_json(const struct hornero_vm_info *vm, size_t count);
