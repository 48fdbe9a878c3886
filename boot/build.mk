# SPDX-License-Identifier: MIT
# What of boot/ has rules of its own: the hypervisor's part is built by vmm/build.mk, the ISO by iso.mk.

include boot/efi/build.mk
