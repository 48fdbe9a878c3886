// SPDX-License-Identifier: MIT
/*
 * The pure half of the network: which subnet, which addresses, which rules.
 *
 * The rules are two tables of our own, replaced as a whole: nobody else's are touched. `hornero`
 * keeps the control domain to itself (guests reach its DHCP and DNS only), translates addresses and
 * publishes ports; `hornero_taps` drops what a guest sends under a MAC or IP address that is not
 * its own, before anything else sees it.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define SUBNETS 256

bool net_choose_subnet(const char *routes, char subnet[16])
{
	for (unsigned int n = 0; n < SUBNETS; n++) {
		uint32_t ours = 10u << 24 | 86u << 16 | n << 8;
		bool taken = false;

		for (const char *line = strchr(routes, '\n'); line && !taken;
		     line = strchr(line + 1, '\n')) {
			unsigned int to, mask;

			/* in network byte order, as this machine reads it: reversed */
			if (sscanf(line + 1, "%*s %x %*x %*x %*d %*d %*d %x", &to, &mask) != 2 ||
			    !mask)
				continue;
			uint32_t both = ntohl(mask) & 0xffffff00;

			taken = ((ntohl(to) ^ ours) & both) == 0;
		}
		if (!taken) {
			snprintf(subnet, 16, "10.86.%u", n);
			return true;
		}
	}
	return false;
}

void net_read_hosts(const char *text, struct net_hosts *hosts)
{
	hosts->count = 0;
	while (text && *text && hosts->count < NET_HOSTS_MAX) {
		struct net_host *host = &hosts->host[hosts->count];

		if (sscanf(text, "%17[^,\n],%15[^,\n],%63[^,\n]", host->mac, host->address,
			   host->name) == 3)
			hosts->count++;
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
}

static bool is_free(const struct net_hosts *hosts, const char *address)
{
	for (unsigned int i = 0; i < hosts->count; i++)
		if (!strcmp(hosts->host[i].address, address))
			return false;
	return true;
}

struct net_host *net_find_host(struct net_hosts *hosts, const char *name, const char *mac)
{
	struct net_host *host;
	unsigned int last = 2; /* .1 is the bridge's */
	char address[16];

	for (unsigned int i = 0; i < hosts->count; i++)
		if (!strcmp(hosts->host[i].name, name)) {
			snprintf(hosts->host[i].mac, sizeof(host->mac), "%s", mac);
			return &hosts->host[i];
		}
	if (hosts->count == NET_HOSTS_MAX)
		return NULL;
	host = &hosts->host[hosts->count];
	do
		snprintf(address, sizeof(address), "%.11s.%u", hosts->subnet, last);
	while (!is_free(hosts, address) && last++ < 254);
	strcpy(host->address, address);
	snprintf(host->mac, sizeof(host->mac), "%s", mac);
	snprintf(host->name, sizeof(host->name), "%s", name);
	hosts->count++;
	return host;
}

char *net_write_hosts(const struct net_hosts *hosts)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (unsigned int i = 0; i < hosts->count; i++)
		fprintf(out, "%s,%s,%s\n", hosts->host[i].mac, hosts->host[i].address,
			hosts->host[i].name);
	return fclose(out) ? NULL : text;
}

static void write_published(FILE *out, const struct net_guest *guest)
{
	for (unsigned int i = 0; i < guest->definition->published; i++) {
		const struct publish *publish = &guest->definition->publish[i];

		fprintf(out,
			"\t\tiifname != \"" NAT_BRIDGE "\" fib daddr type local %s dport %u dnat "
			"ip to %s:%u\n",
			publish->udp ? "udp" : "tcp", publish->host_port, guest->host->address,
			publish->guest_port);
	}
}

static void write_tap(FILE *out, const struct net_guest *guest)
{
	fprintf(out,
		"\tchain %s {\n"
		"\t\ttype filter hook ingress device \"%s\" priority 0; policy drop;\n"
		"\t\tether saddr != %s drop\n"
		"\t\tip saddr %s accept\n"
		"\t\tip saddr 0.0.0.0 udp sport 68 udp dport 67 accept\n"
		"\t\tarp saddr ether %s arp saddr ip { %s, 0.0.0.0 } accept\n"
		"\t}\n",
		guest->tap, guest->tap, guest->host->mac, guest->host->address, guest->host->mac,
		guest->host->address);
}

char *net_write_rules(const char *subnet, const struct net_guest *guests, unsigned int count)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fputs("table inet hornero {}\ndelete table inet hornero\n"
	      "table netdev hornero_taps {}\ndelete table netdev hornero_taps\n"
	      "table inet hornero {\n"
	      "\tchain input {\n"
	      "\t\ttype filter hook input priority 0; policy accept;\n"
	      "\t\tiifname != \"" NAT_BRIDGE "\" accept\n"
	      "\t\tct state established,related accept\n"
	      "\t\tudp dport { 53, 67 } accept\n"
	      "\t\ttcp dport 53 accept\n"
	      "\t\tdrop\n"
	      "\t}\n"
	      "\tchain forward {\n"
	      "\t\ttype filter hook forward priority 0; policy accept;\n"
	      "\t\toifname != \"" NAT_BRIDGE "\" accept\n"
	      "\t\tiifname \"" NAT_BRIDGE "\" accept\n"
	      "\t\tct state established,related accept\n"
	      "\t\tct status dnat accept\n"
	      "\t\tdrop\n"
	      "\t}\n"
	      "\tchain postrouting {\n"
	      "\t\ttype nat hook postrouting priority 100; policy accept;\n",
	      out);
	fprintf(out, "\t\tip saddr %s.0/24 oifname != \"" NAT_BRIDGE "\" masquerade\n", subnet);
	fputs("\t}\n\tchain prerouting {\n"
	      "\t\ttype nat hook prerouting priority -100; policy accept;\n",
	      out);
	for (unsigned int i = 0; i < count; i++)
		write_published(out, &guests[i]);
	fputs("\t}\n}\ntable netdev hornero_taps {\n", out);
	for (unsigned int i = 0; i < count; i++)
		write_tap(out, &guests[i]);
	fputs("}\n", out);
	return fclose(out) ? NULL : text;
}

char *net_write_mac_rules(const struct net_guest *guests, unsigned int count)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fputs("table netdev hornero_macs {}\ndelete table netdev hornero_macs\n"
	      "table netdev hornero_macs {\n",
	      out);
	for (unsigned int i = 0; i < count; i++)
		fprintf(out,
			"\tchain %s {\n"
			"\t\ttype filter hook ingress device \"%s\" priority 0; policy accept;\n"
			"\t\tether saddr != %s drop\n"
			"\t}\n",
			guests[i].tap, guests[i].tap, guests[i].host->mac);
	fputs("}\n", out);
	return fclose(out) ? NULL : text;
}

const char *net_tap_name(const char *name, char tap[16])
{
	uint8_t hash[6];

	if (strlen(name) <= 12 && !strchr(name, '.')) {
		snprintf(tap, 16, "vm-%.12s", name);
		return tap;
	}
	units_derive_mac(name, 0, hash);
	snprintf(tap, 16, "vm_%02x%02x%02x%02x%02x", hash[1], hash[2], hash[3], hash[4], hash[5]);
	return tap;
}

/* Of all addresses: what listens on nat0 alone is nothing that the outside meets. */
bool net_is_listening(const char *line, unsigned int port, bool udp)
{
	const unsigned int listening = udp ? 7 : 10;
	char local[33];
	unsigned int own, state;

	return sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x", local, &own, &state) == 3 &&
	       own == port && state == listening && !local[strspn(local, "0")];
}
