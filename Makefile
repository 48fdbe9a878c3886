# SPDX-License-Identifier: MIT
# Hornero. `make run` boots the hypervisor in the best emulator present and gives you the control
# domain; `make test` builds everything and passes all tests. `make help` lists the rest.
# Each folder's build.mk holds its own rules; everything built goes to $(BUILD), everything that is
# slow to make or downloaded (Bochs, Debian packages, newlib) to $(CACHE), which outlives `clean`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

BUILD ?= build
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hornero

.DEFAULT_GOAL := all
.PHONY: all clean help

all: ## the boot image and everything on it

include $(wildcard vmm/build.mk boot/build.mk boot/iso.mk boot/release.mk control-domain/build.mk tests/build.mk)

clean: ## remove what was built (not the cache)
	rm -rf $(BUILD)

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20
