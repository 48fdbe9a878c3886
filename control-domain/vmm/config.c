// SPDX-License-Identifier: MIT
/*
 * Options by getopt_long, values by small parsers that name the option, the value and the remedy.
 */
#include "config.h"

#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define MIB		   (1ull << 20)
#define MEMORY_MIN	   (16 * MIB)
#define MEMORY_MAX	   (1024ull << 30)
#define MEMORY_GRANULARITY (2 * MIB)
#define NAME_MAX_BYTES	   63
#define LABEL_MAX_BYTES	   200
#define SYSTEM_UID_END	   1000

const char config_help[] =
	"Usage: vmm --name NAME --kernel FILE [options]      one virtual machine, until it ends\n"
	"\n"
	"  --name NAME            name in messages; letters, digits, '-', '_', '.'\n"
	"  --memory SIZE          memory, with unit: 512M (default), 2G\n"
	"  --cpus N               virtual CPUs, 1 (default) to 16\n"
	"  --kernel FILE          Linux bzImage, or ELF with a PVH entry\n"
	"  --initrd FILE          initramfs\n"
	"  --cmdline TEXT         kernel command line (default: console=hvc0)\n"
	"  --disk path=FILE[,ro]  raw image or block device as a virtio disk; up to 8\n"
	"  --net tap=NAME[,mac=XX:XX:XX:XX:XX:XX]\n"
	"                         tap interface as a virtio network card; up to 8\n"
	"  --console stdio|socket this terminal (Ctrl-] ends the VM), or only the control\n"
	"                         socket (default)\n"
	"  --control PATH         control socket to create; README.md has its protocol\n"
	"  --status FILE          file that always tells the state; status.h has its form\n"
	"  --log FILE             standard error goes there; FILE.1 is older, each has 1 MiB\n"
	"  --label TEXT           put into the status file, for whoever reads it\n"
	"  --no-reboot            a reset ends the VM\n"
	"  --user UID             user to run as when started by root (default: one of its own)\n"
	"  --sandbox on|off       on (default): namespaces, own user, seccomp\n"
	"  --check                check everything, print what would run, start nothing\n"
	"\n"
	"Exit status: 0 powered off, 1 refused (bad option or missing thing), 2 the host\n"
	"failed, 3 the guest crashed, 4 killed on request.\n";

enum option_id {
	OPTION_NAME = 1,
	OPTION_MEMORY,
	OPTION_CPUS,
	OPTION_KERNEL,
	OPTION_INITRD,
	OPTION_CMDLINE,
	OPTION_DISK,
	OPTION_NET,
	OPTION_CONSOLE,
	OPTION_CONTROL,
	OPTION_STATUS,
	OPTION_LABEL,
	OPTION_LOG,
	OPTION_NO_REBOOT,
	OPTION_USER,
	OPTION_SANDBOX,
	OPTION_CHECK,
	OPTION_HELP,
};

static const struct option options[] = {
	{"name", required_argument, NULL, OPTION_NAME},
	{"memory", required_argument, NULL, OPTION_MEMORY},
	{"cpus", required_argument, NULL, OPTION_CPUS},
	{"kernel", required_argument, NULL, OPTION_KERNEL},
	{"initrd", required_argument, NULL, OPTION_INITRD},
	{"cmdline", required_argument, NULL, OPTION_CMDLINE},
	{"disk", required_argument, NULL, OPTION_DISK},
	{"net", required_argument, NULL, OPTION_NET},
	{"console", required_argument, NULL, OPTION_CONSOLE},
	{"control", required_argument, NULL, OPTION_CONTROL},
	{"status", required_argument, NULL, OPTION_STATUS},
	{"label", required_argument, NULL, OPTION_LABEL},
	{"log", required_argument, NULL, OPTION_LOG},
	{"no-reboot", no_argument, NULL, OPTION_NO_REBOOT},
	{"user", required_argument, NULL, OPTION_USER},
	{"sandbox", required_argument, NULL, OPTION_SANDBOX},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"help", no_argument, NULL, OPTION_HELP},
	{NULL, 0, NULL, 0},
};

int config_parse_size(const char *text, uint64_t *bytes, struct reason *why)
{
	static const char units[] = "KMGT";
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (!isdigit((unsigned char)*text) || value > UINT64_MAX >> 40)
		return reason_set(why, "size %s: write a number and a unit, such as 512M or 2G",
				  text);
	if (!*end)
		return reason_set(why, "size %s: is that %sM or %sG? write the unit", text, text,
				  text);
	const char *unit = strchr(units, toupper((unsigned char)*end));

	if (!unit || end[1])
		return reason_set(why, "size %s: unit %s is not K, M, G or T", text, end);
	*bytes = value << (10 * (unit - units + 1));
	return 0;
}

int config_parse_mac(const char *text, uint8_t mac[6], struct reason *why)
{
	unsigned part[6];
	int used = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &part[0], &part[1], &part[2], &part[3],
		   &part[4], &part[5], &used) != 6 ||
	    text[used])
		return reason_set(why, "mac=%s: write six pairs of hex digits, 52:54:00:12:34:56",
				  text);
	if (part[0] & 1)
		return reason_set(why, "mac=%s is a multicast address; make its first byte even",
				  text);
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)part[i];
	return 0;
}

/* A stable address from the VM's name and the card's number: locally administered, unicast. */
static void derive_mac(const char *name, unsigned index, uint8_t mac[6])
{
	uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3ull;
	hash = (hash ^ index) * 0x100000001b3ull;
	mac[0] = 0x02;
	for (unsigned i = 1; i < 6; i++)
		mac[i] = (uint8_t)(hash >> (8 * i));
}

static int parse_number(const char *what, const char *text, unsigned long low, unsigned long high,
			unsigned *value, struct reason *why)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || number < low || number > high)
		return reason_set(why, "%s %s: write a number from %lu to %lu", what, text, low,
				  high);
	*value = (unsigned)number;
	return 0;
}

static int parse_name(const char *text, struct reason *why)
{
	size_t good = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789-_.");

	if (!*text || text[good] || good > NAME_MAX_BYTES || *text == '-' || *text == '.')
		return reason_set(why,
				  "--name %s: use 1 to %d letters, digits, '-', '_' and '.', "
				  "starting with a letter or digit",
				  text, NAME_MAX_BYTES);
	return 0;
}

static int parse_label(const char *text, struct reason *why)
{
	if (strlen(text) > LABEL_MAX_BYTES || strpbrk(text, "\r\n"))
		return reason_set(why, "--label: write one line of at most %d characters",
				  LABEL_MAX_BYTES);
	return 0;
}

static int parse_memory(struct config *config, const char *text, struct reason *why)
{
	struct reason inner;

	if (config_parse_size(text, &config->memory_bytes, &inner))
		return reason_set(why, "--memory: %s", inner.text);
	if (config->memory_bytes < MEMORY_MIN || config->memory_bytes > MEMORY_MAX ||
	    config->memory_bytes % MEMORY_GRANULARITY)
		return reason_set(why, "--memory %s: write a multiple of 2M from 16M to 1T", text);
	return 0;
}

/* Takes "key" or "key=" off `text` up to the next comma; `value` gets what follows. */
static bool next_setting(const char **text, const char *key, char *value, size_t bytes, bool *fits)
{
	size_t key_bytes = strlen(key), length = strcspn(*text, ",");

	if (strncmp(*text, key, key_bytes) || key_bytes > length)
		return false;
	if (key[key_bytes - 1] != '=' && key_bytes != length)
		return false;
	*fits = length - key_bytes < bytes;
	if (*fits) {
		memcpy(value, *text + key_bytes, length - key_bytes);
		value[length - key_bytes] = 0;
	}
	*text += length + ((*text)[length] == ',');
	return true;
}

static int parse_disk(struct config *config, const char *text, struct reason *why)
{
	const char *rest = text;
	char none[1];
	bool fits = true;

	if (config->disks == CONFIG_DISKS_MAX)
		return reason_set(why, "--disk %s: %d disks at most", text, CONFIG_DISKS_MAX);
	struct config_disk *disk = &config->disk[config->disks++];

	while (*rest && fits) {
		if (next_setting(&rest, "path=", disk->path, sizeof(disk->path), &fits))
			continue;
		if (!next_setting(&rest, "ro", none, sizeof(none), &fits))
			return reason_set(why, "--disk %s: write path=FILE or path=FILE,ro", text);
		disk->read_only = true;
	}
	if (!fits)
		return reason_set(why, "--disk %s: path longer than %zu characters", text,
				  sizeof(disk->path) - 1);
	if (!*disk->path)
		return reason_set(why, "--disk %s: path=FILE is missing", text);
	return 0;
}

static int parse_net(struct config *config, const char *text, struct reason *why)
{
	const char *rest = text;
	char mac[32] = "";
	struct reason inner;
	bool fits = true;

	if (config->nets == CONFIG_NETS_MAX)
		return reason_set(why, "--net %s: %d network cards at most", text, CONFIG_NETS_MAX);
	struct config_net *net = &config->net[config->nets++];

	while (*rest && fits) {
		if (!next_setting(&rest, "tap=", net->tap, sizeof(net->tap), &fits) &&
		    !next_setting(&rest, "mac=", mac, sizeof(mac), &fits))
			return reason_set(why, "--net %s: write tap=NAME or tap=NAME,mac=ADDRESS",
					  text);
	}
	if (!fits || !*net->tap)
		return reason_set(why, "--net %s: tap=NAME (1 to %zu characters) is missing", text,
				  sizeof(net->tap) - 1);
	if (*mac && config_parse_mac(mac, net->mac, &inner))
		return reason_set(why, "--net %s: %s", text, inner.text);
	return 0;
}

static int parse_choice(const char *option, const char *text, const char *no, const char *yes,
			bool *value, struct reason *why)
{
	*value = !strcmp(text, yes);
	if (!*value && strcmp(text, no))
		return reason_set(why, "%s %s: write %s or %s", option, text, no, yes);
	return 0;
}

static int parse_option(struct config *config, enum option_id id, const char *text,
			struct reason *why)
{
	bool stdio;

	switch (id) {
	case OPTION_NAME:
		config->name = text;
		return parse_name(text, why);
	case OPTION_MEMORY:
		return parse_memory(config, text, why);
	case OPTION_CPUS:
		return parse_number("--cpus", text, 1, CONFIG_CPUS_MAX, &config->cpus, why);
	case OPTION_KERNEL:
		config->kernel = text;
		return 0;
	case OPTION_INITRD:
		config->initrd = text;
		return 0;
	case OPTION_CMDLINE:
		config->cmdline = text;
		return 0;
	case OPTION_DISK:
		return parse_disk(config, text, why);
	case OPTION_NET:
		return parse_net(config, text, why);
	case OPTION_CONSOLE:
		if (parse_choice("--console", text, "socket", "stdio", &stdio, why))
			return -1;
		config->console = stdio ? CONSOLE_ON_STDIO : CONSOLE_ON_SOCKET;
		return 0;
	case OPTION_CONTROL:
		config->control = text;
		return 0;
	case OPTION_STATUS:
		config->status = text;
		return 0;
	case OPTION_LABEL:
		config->label = text;
		return parse_label(text, why);
	case OPTION_LOG:
		config->log = text;
		return 0;
	case OPTION_NO_REBOOT:
		config->reset_ends = true;
		return 0;
	case OPTION_USER:
		return parse_number("--user", text, SYSTEM_UID_END, UINT32_MAX - 1, &config->uid,
				    why);
	case OPTION_SANDBOX:
		return parse_choice("--sandbox", text, "off", "on", &config->sandbox, why);
	case OPTION_CHECK:
		config->check = true;
		return 0;
	case OPTION_HELP:
		config->help = true;
		return 0;
	}
	return reason_set(why, "unknown option; see vmm --help");
}

static int check_whole(struct config *config, struct reason *why)
{
	static const uint8_t none[6];

	if (!config->name)
		return reason_set(why, "--name is missing; see vmm --help");
	if (!config->kernel)
		return reason_set(why, "--kernel is missing: a bzImage such as /boot/vmlinuz-...");
	if (!config->control && config->console == CONSOLE_ON_SOCKET && !config->check)
		return reason_set(why, "nobody could reach the VM: add --control PATH or --console "
				       "stdio");
	for (unsigned i = 0; i < config->nets; i++)
		if (!memcmp(config->net[i].mac, none, sizeof(none)))
			derive_mac(config->name, i, config->net[i].mac);
	for (unsigned i = 0; i < config->disks; i++)
		for (unsigned j = 0; j < i; j++)
			if (!strcmp(config->disk[i].path, config->disk[j].path) &&
			    !(config->disk[i].read_only && config->disk[j].read_only))
				return reason_set(why, "--disk path=%s is given twice",
						  config->disk[i].path);
	return 0;
}

int config_parse(struct config *config, int argc, char **argv, struct reason *why)
{
	int id;

	*config = (struct config){.memory_bytes = 512 * MIB,
				  .cpus = 1,
				  .cmdline = "console=hvc0",
				  .label = "",
				  .sandbox = true};
	opterr = 0;
	optind = 0; /* 0 makes glibc start afresh */
	while ((id = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (id == ':')
			return reason_set(why, "%s wants a value; see vmm --help",
					  argv[optind - 1]);
		if (id == '?')
			return reason_set(why, "%s is not an option; see vmm --help",
					  argv[optind - 1]);
		if (parse_option(config, (enum option_id)id, optarg, why))
			return -1;
	}
	if (config->help)
		return 0;
	if (optind < argc)
		return reason_set(why, "%s: options start with --; see vmm --help", argv[optind]);
	return check_whole(config, why);
}
