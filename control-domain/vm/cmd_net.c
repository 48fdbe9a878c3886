// SPDX-License-Identifier: MIT
/*
 * net: the networks that VMs can be on.
 */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

static struct json_object *users_of(const char *network)
{
	struct json_object *users = json_object_new_array();
	char **names = store_names();
	struct definition definition;
	struct reason ignored;

	for (char **name = names; *name; name++)
		if (!store_read(*name, &definition, &ignored) && !strcmp(definition.net, network))
			json_object_array_add(users, json_object_new_string(*name));
	store_free_names(names);
	return users;
}

static void add_row(struct json_object *rows, const char *name, const char *bridge,
		    const char *subnet, bool up)
{
	struct json_object *row = json_object_new_object();

	json_object_object_add(row, "name", json_object_new_string(name));
	json_object_object_add(row, "bridge", json_object_new_string(bridge));
	json_object_object_add(row, "subnet", subnet ? json_object_new_string(subnet) : NULL);
	json_object_object_add(row, "up", json_object_new_boolean(up));
	json_object_object_add(row, "vms", users_of(name));
	json_object_array_add(rows, row);
}

static void add_nat(struct json_object *rows)
{
	static struct net_hosts hosts;
	char subnet[24];
	bool is_bridge, known = nat_read(&hosts);

	snprintf(subnet, sizeof(subnet), "%.11s.0/24", hosts.subnet);
	add_row(rows, "nat", NAT_BRIDGE, known ? subnet : NULL, net_exists(NAT_BRIDGE, &is_bridge));
}

static void add_bridges(struct json_object *rows)
{
	DIR *entries = opendir("/sys/class/net");
	struct dirent *entry;
	bool is_bridge;

	while (entries && (entry = readdir(entries)))
		if (*entry->d_name != '.' && strcmp(entry->d_name, NAT_BRIDGE) &&
		    net_exists(entry->d_name, &is_bridge) && is_bridge)
			add_row(rows, entry->d_name, entry->d_name, NULL, true);
	if (entries)
		closedir(entries);
}

static void print_row(struct json_object *row)
{
	struct json_object *vms = json_object_object_get(row, "vms");
	struct json_object *subnet = json_object_object_get(row, "subnet");

	printf("%-12s %-8s %-18s", json_object_get_string(json_object_object_get(row, "name")),
	       json_object_get_string(json_object_object_get(row, "bridge")),
	       subnet ? json_object_get_string(subnet) : "-");
	for (size_t i = 0; i < json_object_array_length(vms); i++)
		printf("%s%s", i ? ", " : " ",
		       json_object_get_string(json_object_array_get_idx(vms, i)));
	putchar('\n');
}

static int list_networks(void)
{
	struct json_object *rows = json_object_new_array();

	add_nat(rows);
	add_bridges(rows);
	if (say_json) {
		print_json(rows);
		return EXIT_OK;
	}
	printf("%-12s %-8s %-18s %s\n", "NAME", "BRIDGE", "SUBNET", "VMS");
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		print_row(json_object_array_get_idx(rows, i));
	json_object_put(rows);
	return EXIT_OK;
}

int net_main(struct cli_call *call)
{
	const char *verb = call->args ? call->arg[0] : "list";

	if (!strcmp(verb, "list") && call->args <= 1)
		return list_networks();
	return fail(EXIT_USAGE, "net: write 'vm net' to list the networks");
}
