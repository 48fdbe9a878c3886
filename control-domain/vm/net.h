// SPDX-License-Identifier: MIT
/*
 * Networks of VMs. `nat` is ours: the bridge nat0 with DHCP and names by dnsmasq, and rules by
 * nftables. Any other name is a bridge: one
 * that `vm net create` recorded and that is made when it is needed, or somebody else's.
 *
 * Each VM gets a tap interface. On nat it also has a fixed address, so that spoofed ones can be
 * dropped and ports be published. net_rules.c writes the rules, net_nat.c sets all up, cmd_net.c is
 * `vm net`.
 */
#pragma once

#include "machines.h"

#define NAT_BRIDGE "nat0"

/* An address on nat, given to a VM for as long as it is defined. */
struct net_host {
	char mac[18], address[16], name[NAME_MAX_BYTES + 1];
};

enum { NET_HOSTS_MAX = 253 };

struct net_hosts {
	char subnet[16]; /* first three numbers, "10.86.0" */
	struct net_host host[NET_HOSTS_MAX];
	unsigned int count;
};

/** What of a VM the rules need. */
struct net_guest {
	const struct net_host *host;
	char tap[16];
	const struct definition *definition;
};

/**
 * First 10.86.N of which nothing in @routes (the text of /proc/net/route) is a part. False if all
 * are taken. Pure.
 */
bool net_choose_subnet(const char *routes, char subnet[16]);

/** Read "mac,address,name" lines, as dnsmasq's hosts file has them. Pure. */
void net_read_hosts(const char *text, struct net_hosts *hosts);

/** The host of @name, made with the first free address if it is new; NULL if there is none. Pure.
 */
struct net_host *net_find_host(struct net_hosts *hosts, const char *name, const char *mac);

/** The text of the hosts file, to be freed. Pure. */
char *net_write_hosts(const struct net_hosts *hosts);

/** The nftables rules for the subnet and the guests that run, to be freed. Pure. */
char *net_write_rules(const char *subnet, const struct net_guest *guests, unsigned int count);

/**
 * Whether a line of /proc/net/tcp and its like, "SLOT: LOCAL:PORT REMOTE:PORT STATE ..." in
 * hexadecimal, is a server of all addresses on @port. Pure.
 */
bool net_is_listening(const char *line, unsigned int port, bool udp);

/** The tap interface of a VM: "vm-" and the name, or a hash where that is too long. Pure. */
const char *net_tap_name(const char *name, char tap[16]);

/** Whether the tap interface of a VM is part of @bridge. */
bool net_tap_is_on(const char *tap, const char *bridge);

/** Take up nat for a VM: bridge, address, DHCP server, rules. 0, or -1 with @why. */
int nat_prepare(const char *name, const struct definition *definition, const char *tap,
		struct reason *why);

/** Read what is known of nat; false if it is not up. */
bool nat_read(struct net_hosts *hosts);

/** The rules that keep VMs on other networks to their MAC address, to be freed. Pure. */
char *net_write_mac_rules(const struct net_guest *guests, unsigned int count);

/** Let a network take the place of a network card, for a minute unless confirmed. Exit codes. */
int uplink_create(const char *name, const char *card);
int uplink_confirm(void);

/** Take back what was not confirmed, if the process that should do it was killed. Says so. */
void uplink_settle(void);

/** Give the card of a network its address back. 0, or -1 with @why; 0 if it has no card. */
int uplink_remove(const char *name, struct reason *why);

/** The card of a network, "" if it has none. Returns @card. */
const char *uplink_card(const char *name, char card[16]);

/** Print the networks. EXIT_OK. */
int net_list(void);

/** Where a network made by `vm net create` is recorded. */
const char *net_record(char buffer[FILE_NAME_BYTES], const char *name);

/** Create a bridge without address or IPv6, up. 0, or -1 with @why. */
int bridge_create(const char *name, struct reason *why);

/** Create a tap interface and put it into a bridge. 0, or -1 with @why. */
int tap_create(const char *tap, const char *bridge, struct reason *why);

/** Remove an interface; nothing happens if there is none. */
void tap_remove(const char *tap);

/** Whether there is an interface of that name, and whether it is a bridge. */
bool net_exists(const char *name, bool *is_bridge);
