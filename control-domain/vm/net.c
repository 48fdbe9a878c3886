// SPDX-License-Identifier: MIT
/*
 * A VM's network card: its tap interface, in the bridge of its network.
 */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

bool net_exists(const char *name, bool *is_bridge)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/net/%.63s/bridge", name);
	*is_bridge = !access(path, F_OK);
	*strrchr(path, '/') = '\0';
	return !access(path, F_OK);
}

const char *net_record(char buffer[FILE_NAME_BYTES], const char *name)
{
	return place(buffer, "/var/lib/hornero/networks/%s", name);
}

/* IPv6 of ours has no business on guests' cables. */
static void without_ipv6(const char *name)
{
	char setting[96];
	int fd;

	snprintf(setting, sizeof(setting), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(setting, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* this Linux has none */
	if (write(fd, "1", 1) != 1)
		fprintf(stderr, "vm: note: %s: %s\n", setting, strerror(errno));
	close(fd);
}

int bridge_create(const char *name, struct reason *why)
{
	const char *const add[] = {"ip", "link", "add", name, "type", "bridge", NULL};
	const char *const up[] = {"ip", "link", "set", name, "up", NULL};

	if (run_program(add, why))
		return -1;
	without_ipv6(name);
	return run_program(up, why);
}

static int persist(const char *tap, bool on, struct reason *why)
{
	const char *const load[] = {"modprobe", "tun", NULL};
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd, failed;

	if (access("/dev/net/tun", F_OK) && run_program(load, why))
		return -1;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return reason_set(why, "/dev/net/tun: %s", strerror(errno));
	strncpy(request.ifr_name, tap, IFNAMSIZ - 1);
	failed = ioctl(fd, TUNSETIFF, &request) || ioctl(fd, TUNSETPERSIST, on);
	if (failed)
		reason_set(why, "interface %s: %s", tap, strerror(errno));
	close(fd);
	return failed ? -1 : 0;
}

void tap_remove(const char *name)
{
	const char *const argv[] = {"ip", "link", "delete", name, NULL};
	struct reason ignored;
	bool is_bridge;

	if (net_exists(name, &is_bridge))
		run_program(argv, &ignored);
}

static int join(const char *tap, const char *bridge, struct reason *why)
{
	int line = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq port = {.ifr_ifindex = 0}, request = {.ifr_ifindex = 0};
	int failed;

	strncpy(port.ifr_name, tap, IFNAMSIZ - 1);
	strncpy(request.ifr_name, bridge, IFNAMSIZ - 1);
	failed = line < 0 || ioctl(line, SIOCGIFINDEX, &port);
	request.ifr_ifindex = port.ifr_ifindex;
	failed = failed || (ioctl(line, SIOCBRADDIF, &request) && errno != EBUSY);
	failed = failed || ioctl(line, SIOCGIFFLAGS, &port);
	port.ifr_flags |= IFF_UP;
	failed = failed || ioctl(line, SIOCSIFFLAGS, &port);
	if (failed)
		reason_set(why, "interface %s into bridge %s: %s", tap, bridge, strerror(errno));
	if (line >= 0)
		close(line);
	return failed ? -1 : 0;
}

bool net_tap_is_on(const char *tap, const char *bridge)
{
	char path[96], master[96];
	ssize_t bytes;

	snprintf(path, sizeof(path), "/sys/class/net/%s/master", tap);
	bytes = readlink(path, master, sizeof(master) - 1);
	if (bytes < 0)
		return false;
	master[bytes] = '\0';
	return !strcmp(strrchr(master, '/') ? strrchr(master, '/') + 1 : master, bridge);
}

int tap_create(const char *tap, const char *bridge, struct reason *why)
{
	bool is_bridge;

	if (!net_exists(tap, &is_bridge) && persist(tap, true, why))
		return -1;
	without_ipv6(tap);
	return join(tap, bridge, why);
}

void net_remove(const char *name)
{
	char tap[16];

	if (!is_elsewhere())
		tap_remove(net_tap_name(name, tap));
}

int net_known(const char *network, struct reason *why)
{
	char path[FILE_NAME_BYTES];
	bool is_bridge;

	if (!strcmp(network, NAT_BRIDGE))
		return reason_set(why, "%s is the bridge of the network 'nat'; write 'nat'",
				  network);
	if (!strcmp(network, "none") || !strcmp(network, "nat") ||
	    !access(net_record(path, network), F_OK))
		return 0;
	if (!net_exists(network, &is_bridge))
		return reason_set(
			why,
			"there is no network '%s'; 'vm net' lists them, 'vm net create %s' makes "
			"one among VMs",
			network, network);
	if (is_bridge)
		return 0;
	return reason_set(
		why,
		"%s is a network card, not a network; 'vm net create NAME --uplink %s' makes "
		"one of it",
		network, network);
}

/* A recorded network comes up when the first VM needs it. */
static int net_check(const char *network, struct reason *why)
{
	char card[16];
	bool is_bridge;

	if (net_known(network, why))
		return -1;
	if (net_exists(network, &is_bridge))
		return 0;
	if (*uplink_card(network, card))
		return reason_set(
			why,
			"network '%s' belongs to the card %s, which is not there; 'vm net "
			"delete %s' forgets it",
			network, card, network);
	return bridge_create(network, why);
}

/* VMs that run, and the one that is about to, on networks of other kinds than nat. */
static unsigned int collect_others(const char *starting, struct net_guest *guests,
				   struct net_host *hosts, struct definition *definition)
{
	char **names = store_names();
	unsigned int count = 0;
	struct reason ignored;
	bool is_bridge;

	for (char **name = names; *name && count < NET_HOSTS_MAX; name++) {
		struct net_guest *guest = &guests[count];

		net_tap_name(*name, guest->tap);
		if ((strcmp(*name, starting) && !runtime_pid(*name)) ||
		    !net_exists(guest->tap, &is_bridge) ||
		    store_read_started(*name, definition, &ignored) ||
		    !strcmp(definition->net, "nat"))
			continue;
		machine_mac(*name, definition, hosts[count].mac);
		guest->host = &hosts[count++];
	}
	store_free_names(names);
	return count;
}

/* On somebody else's network a VM has whatever address that gives, but one MAC address. */
static int keep_to_macs(const char *starting, struct reason *why)
{
	static struct net_guest guests[NET_HOSTS_MAX];
	static struct net_host hosts[NET_HOSTS_MAX];
	static struct definition definition;
	char path[FILE_NAME_BYTES];
	const char *const nft[] = {"nft", "-f", place(path, "/run/hornero/net/macs.nft"), NULL};
	char folder[FILE_NAME_BYTES];
	char *text =
		net_write_mac_rules(guests, collect_others(starting, guests, hosts, &definition));
	int failed = !text || make_folder(place(folder, "/run/hornero/net"), why) ||
		     write_text(path, text, why) || run_program(nft, why);

	free(text);
	return failed ? -1 : 0;
}

int net_prepare(const char *name, const struct definition *definition, char tap[16],
		struct reason *why)
{
	*tap = '\0';
	if (!strcmp(definition->net, "none") || is_elsewhere())
		return 0;
	net_tap_name(name, tap);
	if (!strcmp(definition->net, "nat"))
		return nat_prepare(name, definition, tap, why);
	/* Rules that bind it to an address on nat go with the interface. */
	if (net_tap_is_on(tap, NAT_BRIDGE))
		tap_remove(tap);
	if (net_check(definition->net, why) || tap_create(tap, definition->net, why))
		return -1;
	return keep_to_macs(name, why);
}
