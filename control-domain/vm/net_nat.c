// SPDX-License-Identifier: MIT
/*
 * The network `nat` in effect: bridge, DHCP server, rules. Everything is made when the first VM
 * needs it and checked again at each start, so nothing has to be set up at boot and a dead dnsmasq
 * comes back.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net.h"

enum { TEXT_MAX_BYTES = 256 * 1024, END_MS = 5000 };

static int write_setting(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, value, strlen(value)) > 0;

	if (fd >= 0)
		close(fd);
	return done ? 0 : -1;
}

static const char *nat_file(char buffer[FILE_NAME_BYTES], const char *name)
{
	return place(buffer, "/run/hornero/net/nat.%s", name);
}

bool nat_read(struct net_hosts *hosts)
{
	char path[FILE_NAME_BYTES];
	char *text = read_text(nat_file(path, "subnet"), 64);

	memset(hosts, 0, sizeof(*hosts));
	if (!text)
		return false;
	snprintf(hosts->subnet, sizeof(hosts->subnet), "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	text = read_text(nat_file(path, "hosts"), TEXT_MAX_BYTES);
	net_read_hosts(text, hosts);
	free(text);
	return true;
}

static char *read_routes(void)
{
	char *text = malloc(TEXT_MAX_BYTES);
	FILE *in = fopen("/proc/net/route", "re");
	size_t bytes = text && in ? fread(text, 1, TEXT_MAX_BYTES - 1, in) : 0;

	if (in)
		fclose(in);
	if (text)
		text[bytes] = '\0';
	return text;
}

static int choose_subnet(char subnet[16], struct reason *why)
{
	char path[FILE_NAME_BYTES];
	char *routes = read_routes();
	bool found = routes && net_choose_subnet(routes, subnet);

	free(routes);
	if (!found)
		return reason_set(why, "network nat: all of 10.86.0.0/16 is routed elsewhere");
	return write_text(nat_file(path, "subnet"), subnet, why);
}

static int make_bridge(const char *subnet, struct reason *why)
{
	char address[24];
	bool is_bridge;
	const char *const give[] = {"ip", "addr", "add", address, "dev", NAT_BRIDGE, NULL};

	if (net_exists(NAT_BRIDGE, &is_bridge))
		return 0;
	snprintf(address, sizeof(address), "%.11s.1/24", subnet);
	if (bridge_create(NAT_BRIDGE, why))
		return -1;
	if (run_program(give, why)) {
		tap_remove(NAT_BRIDGE);
		return -1;
	}
	if (write_setting("/proc/sys/net/ipv4/ip_forward", "1"))
		return reason_set(why, "network nat: forwarding of packets: %s", strerror(errno));
	return 0;
}

static pid_t dnsmasq_pid(void)
{
	char path[FILE_NAME_BYTES], program[64], name[32] = "";
	char *text = read_text(nat_file(path, "pid"), 32);
	pid_t pid = text ? atoi(text) : 0;

	free(text);
	snprintf(program, sizeof(program), "/proc/%d/comm", (int)pid);
	FILE *in = pid > 0 ? fopen(program, "re") : NULL;

	if (in && !fgets(name, sizeof(name), in))
		*name = '\0';
	if (in)
		fclose(in);
	/* one that has ended, and that init has not noticed yet, has no start */
	return !strncmp(name, "dnsmasq", 7) && runtime_start_ticks(pid) ? pid : 0;
}

/* Whether an address is leased to somebody who has it no more. */
static bool is_stale(const struct net_hosts *hosts, const char *lease)
{
	char mac[32], address[64];

	if (sscanf(lease, "%*s %31s %63s", mac, address) != 2)
		return false;
	for (unsigned int i = 0; i < hosts->count; i++)
		if (!strcmp(hosts->host[i].address, address))
			return strcasecmp(hosts->host[i].mac, mac) != 0;
	return false;
}

/*
 * The server gives no address away that another MAC address holds a lease of, and it reads its
 * leases at its start only. So when the VM that had an address was deleted and a new one has it,
 * the server is ended, and starts again without that lease.
 */
static int drop_stale_leases(const struct net_hosts *hosts, struct reason *why)
{
	char path[FILE_NAME_BYTES];
	char *text = read_text(nat_file(path, "leases"), TEXT_MAX_BYTES), *rest = text, *line;
	char *kept = text ? calloc(1, strlen(text) + 2) : NULL;
	bool stale = false;
	int failed = 0;

	while (kept && (line = strsep(&rest, "\n"))) {
		if (!*line)
			continue;
		if (is_stale(hosts, line))
			stale = true;
		else
			strcat(strcat(kept, line), "\n");
	}
	if (stale) {
		pid_t running = dnsmasq_pid();
		struct pollfd ended = {.events = POLLIN};

		ended.fd = running ? (int)syscall(SYS_pidfd_open, running, 0) : -1;
		if (running && !kill(running, SIGTERM))
			poll(&ended, 1, END_MS);
		if (ended.fd >= 0)
			close(ended.fd);
		failed = write_text(path, kept, why);
	}
	free(kept);
	free(text);
	return failed;
}

/* Starts the server, or has it read the hosts file anew. */
static int serve_dhcp(const char *subnet, struct reason *why)
{
	char range[64], hosts[FILE_NAME_BYTES], leases[FILE_NAME_BYTES], pid[FILE_NAME_BYTES];
	char path[FILE_NAME_BYTES];
	pid_t running = dnsmasq_pid();

	if (running)
		return kill(running, SIGHUP) ? reason_set(why, "dnsmasq (process %d): %s",
							  (int)running, strerror(errno))
					     : 0;
	snprintf(range, sizeof(range), "--dhcp-range=%.11s.0,static,255.255.255.0,1h", subnet);
	snprintf(hosts, sizeof(hosts), "--dhcp-hostsfile=%s", nat_file(path, "hosts"));
	snprintf(leases, sizeof(leases), "--dhcp-leasefile=%s", nat_file(path, "leases"));
	snprintf(pid, sizeof(pid), "--pid-file=%s", nat_file(path, "pid"));
	const char *const argv[] = {"dnsmasq",
				    "--conf-file=/dev/null",
				    "--interface=" NAT_BRIDGE,
				    "--except-interface=lo",
				    "--bind-interfaces",
				    "--no-hosts",
				    "--dhcp-authoritative",
				    "--domain=nat",
				    "--user=nobody",
				    "--group=nogroup",
				    range,
				    hosts,
				    leases,
				    pid,
				    NULL};

	return run_program(argv, why);
}

/* Guests that run, and the one that is about to. */
static unsigned int collect_guests(struct net_hosts *hosts, const char *starting,
				   struct net_guest *guests, struct definition *definitions)
{
	unsigned int count = 0;
	struct reason ignored;

	for (unsigned int i = 0; i < hosts->count; i++) {
		const char *name = hosts->host[i].name;

		if (strcmp(name, starting) && !runtime_pid(name))
			continue;
		net_tap_name(name, guests[count].tap);
		if (store_read_started(name, &definitions[count], &ignored) ||
		    !net_tap_is_on(guests[count].tap, NAT_BRIDGE))
			continue;
		guests[count].host = &hosts->host[i];
		guests[count].definition = &definitions[count];
		count++;
	}
	return count;
}

static int apply_rules(struct net_hosts *hosts, const char *starting, struct reason *why)
{
	struct net_guest *guests = calloc(NET_HOSTS_MAX, sizeof(*guests));
	struct definition *definitions = calloc(NET_HOSTS_MAX, sizeof(*definitions));
	char path[FILE_NAME_BYTES], *text = NULL;
	const char *const nft[] = {"nft", "-f", nat_file(path, "nft"), NULL};
	int failed;

	if (guests && definitions)
		text = net_write_rules(hosts->subnet, guests,
				       collect_guests(hosts, starting, guests, definitions));
	failed = text ? write_text(path, text, why) || run_program(nft, why)
		      : reason_set(why, "out of memory");
	free(text);
	free(definitions);
	free(guests);
	return failed ? -1 : 0;
}

/* Addresses of VMs that are gone can be given to others. */
static void forget_deleted(struct net_hosts *hosts)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < hosts->count; i++)
		if (store_exists(hosts->host[i].name))
			hosts->host[kept++] = hosts->host[i];
	hosts->count = kept;
}

static int write_hosts(struct net_hosts *hosts, const char *name, const char *mac,
		       struct reason *why)
{
	char path[FILE_NAME_BYTES], *text;
	int failed;

	forget_deleted(hosts);
	if (!net_find_host(hosts, name, mac))
		return reason_set(why,
				  "network nat: all %d addresses are in use; give a VM "
				  "--net none",
				  NET_HOSTS_MAX);
	text = net_write_hosts(hosts);
	failed = text ? write_text(nat_file(path, "hosts"), text, why)
		      : reason_set(why, "out of memory");
	free(text);
	return failed;
}

int nat_prepare(const char *name, const struct definition *definition, const char *tap,
		struct reason *why)
{
	char folder[FILE_NAME_BYTES], mac[18];
	static struct net_hosts hosts;
	struct reason inner;

	machine_mac(name, definition, mac);
	if (make_folder(place(folder, "/run/hornero/net"), why) ||
	    (!nat_read(&hosts) && choose_subnet(hosts.subnet, why)) ||
	    write_hosts(&hosts, name, mac, why))
		return -1;
	if (make_bridge(hosts.subnet, &inner) || tap_create(tap, NAT_BRIDGE, &inner) ||
	    apply_rules(&hosts, name, &inner) || drop_stale_leases(&hosts, &inner) ||
	    serve_dhcp(hosts.subnet, &inner))
		return reason_set(why, "network nat: %s; a VM with --net none goes without",
				  inner.text);
	return 0;
}
