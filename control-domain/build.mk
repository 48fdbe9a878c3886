# SPDX-License-Identifier: MIT
# The control domain: driver, commands, device model, image. One .mk per part.

include $(sort $(wildcard control-domain/*/build.mk))
