// SPDX-License-Identifier: MIT
/*
 * The command line: what machine is wanted. Pure; nothing is opened or checked against the host.
 *
 * Strings point into argv. The table of options in config.c is the reference; README.md explains.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "reason.h"

enum { CONFIG_CPUS_MAX = 16, CONFIG_DISKS_MAX = 9, CONFIG_NETS_MAX = 8 };

struct config_disk {
	char path[256];
	bool read_only;
};

struct config_net {
	char tap[16];
	uint8_t mac[6];
};

enum config_console { CONSOLE_ON_SOCKET, CONSOLE_ON_STDIO };

struct config {
	const char *name;
	uint64_t memory_bytes;
	unsigned cpus;
	const char *kernel, *initrd, *cmdline;
	struct config_disk disk[CONFIG_DISKS_MAX];
	unsigned disks;
	struct config_net net[CONFIG_NETS_MAX];
	unsigned nets;
	enum config_console console;
	const char *control; /* path of the control socket, or NULL */
	const char *status;  /* path of the status file, or NULL */
	const char *label;   /* put into it */
	const char *log;     /* path of the log, or NULL: standard error as it is */
	bool check;	     /* validate only */
	bool help;
	bool reset_ends; /* --no-reboot */
	bool sandbox;
	uint32_t uid; /* 0: choose one */
};

/* Fills in `config`; on failure `why` says which option and what to write instead. */
int config_parse(struct config *config, int argc, char **argv, struct reason *why);

/* Text of --help. */
extern const char config_help[];

/* A size with unit (K, M, G), such as "512M". */
int config_parse_size(const char *text, uint64_t *bytes, struct reason *why);

/* "52:54:00:12:34:56"; refuses multicast addresses. */
int config_parse_mac(const char *text, uint8_t mac[6], struct reason *why);
