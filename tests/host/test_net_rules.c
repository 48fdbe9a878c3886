// SPDX-License-Identifier: MIT
// sources: control-domain/vm/net_rules.c control-domain/vm/units.c
// flags: -D_GNU_SOURCE
/*
 * The VMs' network: a subnet that is nobody's, addresses that stay, rules for exactly the guests
 * that run.
 */
#include "../../control-domain/vm/net.h"
#include "test.h"

#define HEADER "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"

static char subnet[16];

TEST(first_subnet_that_is_free)
{
	CHECK(net_choose_subnet(HEADER, subnet));
	CHECK_STREQ(subnet, "10.86.0");
	/* a default route covers everything and is no reason */
	CHECK(net_choose_subnet(
		HEADER "eth0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", subnet));
	CHECK_STREQ(subnet, "10.86.0");
	CHECK(net_choose_subnet(HEADER
				"eth0\t0000560A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
				"eth1\t8001560A\t00000000\t0001\t0\t0\t0\t80FFFFFF\t0\t0\t0\n",
				subnet));
	CHECK_STREQ(subnet, "10.86.2"); /* 10.86.0.0/24 and 10.86.1.128/25 are taken */
	CHECK(!net_choose_subnet(
		HEADER "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n", subnet));
}

TEST(addresses_stay_and_are_reused)
{
	static struct net_hosts hosts = {.subnet = "10.86.7"}, again;
	struct net_host *web = net_find_host(&hosts, "web", "02:00:00:00:00:01");

	CHECK_STREQ(web->address, "10.86.7.2");
	CHECK_STREQ(net_find_host(&hosts, "db", "02:00:00:00:00:02")->address, "10.86.7.3");
	CHECK_EQ(net_find_host(&hosts, "web", "02:00:00:00:00:09"), web);
	CHECK_STREQ(web->mac, "02:00:00:00:00:09");

	char *text = net_write_hosts(&hosts);

	CHECK_STREQ(text, "02:00:00:00:00:09,10.86.7.2,web\n02:00:00:00:00:02,10.86.7.3,db\n");
	net_read_hosts(text, &again);
	CHECK_EQ(again.count, 2);
	CHECK_STREQ(again.host[1].name, "db");
	free(text);
	hosts.host[0] = hosts.host[1]; /* web is gone: its address is free */
	hosts.count = 1;
	CHECK_STREQ(net_find_host(&hosts, "new", "02:00:00:00:00:03")->address, "10.86.7.2");
}

TEST(mac_rules_name_each_guest)
{
	static const struct net_host host = {.mac = "02:00:00:00:00:07"};
	const struct net_guest guest = {.host = &host, .tap = "vm-web"};
	char *text = net_write_mac_rules(&guest, 1), *none = net_write_mac_rules(NULL, 0);

	CHECK(strstr(text, "device \"vm-web\""));
	CHECK(strstr(text, "ether saddr != 02:00:00:00:00:07 drop"));
	CHECK(!strstr(text, "ip saddr"));
	CHECK(strstr(none, "delete table netdev hornero_macs"));
	free(text);
	free(none);
}

TEST(the_last_address_and_no_further)
{
	static struct net_hosts hosts = {.subnet = "10.86.0"};
	char name[16], mac[18] = "02:00:00:00:00:00";
	struct net_host *host = NULL;

	for (int i = 0; i < NET_HOSTS_MAX; i++) {
		snprintf(name, sizeof(name), "vm%d", i);
		host = net_find_host(&hosts, name, mac);
		CHECK(host);
	}
	CHECK_STREQ(host->address, "10.86.0.254");
	CHECK(!net_find_host(&hosts, "more", mac));
	CHECK(net_find_host(&hosts, "vm7", mac));
}

TEST(rubbish_in_the_hosts_file_is_left_out)
{
	static struct net_hosts hosts;

	net_read_hosts("\n,,\nx\n02:00:00:00:00:01,10.86.0.2,web\n02:00,", &hosts);
	CHECK_EQ(hosts.count, 1);
	net_read_hosts(NULL, &hosts);
	CHECK_EQ(hosts.count, 0);
}

TEST(rules)
{
	static struct definition definition;
	struct net_host host = {"02:00:00:00:00:01", "10.86.0.2", "web"};
	struct net_guest guest = {.host = &host, .tap = "vm-web", .definition = &definition};

	definition.publish[0] = (struct publish){.host_port = 2222, .guest_port = 22};
	definition.publish[1] = (struct publish){.host_port = 53, .guest_port = 54, .udp = true};
	definition.published = 2;

	char *text = net_write_rules("10.86.0", &guest, 1);

	CHECK(strstr(text, "tcp dport 2222 dnat ip to 10.86.0.2:22\n"));
	CHECK(strstr(text, "udp dport 53 dnat ip to 10.86.0.2:54\n"));
	CHECK(strstr(text, "device \"vm-web\" priority 0; policy drop;"));
	CHECK(strstr(text, "ether saddr != 02:00:00:00:00:01 drop"));
	CHECK(strstr(text, "ip saddr 10.86.0.0/24 oifname != \"nat0\" masquerade"));
	free(text);
	text = net_write_rules("10.86.0", NULL, 0);
	CHECK(!strstr(text, "dnat ip to") && !strstr(text, "ingress"));
	free(text);
}

TEST(tap_names_fit_and_differ)
{
	char a[16], b[16];

	CHECK_STREQ(net_tap_name("web", a), "vm-web");
	net_tap_name("a-rather-long-name-1", a);
	net_tap_name("a-rather-long-name-2", b);
	CHECK(strcmp(a, b) && strlen(a) < 16 && !strncmp(a, "vm_", 3));
	net_tap_name("a.b", a); /* a dot would mean another thing in /proc/sys */
	CHECK(!strchr(a, '.'));
}

TEST(a_server_of_all_addresses_is_known)
{
	const char *all =
		"   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000";
	const char *all_ipv6 = "   1: 00000000000000000000000000000000:0016 "
			       "00000000000000000000000000000000:0000 0A 00000000:00000000";
	const char *of_nat0 = "   2: 0100560A:0035 00000000:0000 0A 00000000:00000000";
	const char *connection = "   3: 0F02000A:0016 0202000A:C350 01 00000000:00000000";
	const char *udp = "  77: 00000000:0043 00000000:0000 07 00000000:00000000";

	CHECK(net_is_listening(all, 22, false));
	CHECK(!net_is_listening(all, 22, true));
	CHECK(!net_is_listening(all, 2222, false));
	CHECK(net_is_listening(all_ipv6, 22, false));
	CHECK(!net_is_listening(of_nat0, 53, false));
	CHECK(!net_is_listening(connection, 22, false));
	CHECK(net_is_listening(udp, 67, true));
	CHECK(!net_is_listening("  sl  local_address rem_address   st tx_queue", 0, false));
	CHECK(!net_is_listening("", 22, false));
}
