// SPDX-License-Identifier: MIT
/*
 * net: the networks that VMs can be on.
 */
#include <dirent.h>
#include <errno.h>
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
	char card[16];

	json_object_object_add(row, "name", json_object_new_string(name));
	json_object_object_add(row, "bridge", json_object_new_string(bridge));
	json_object_object_add(row, "subnet", subnet ? json_object_new_string(subnet) : NULL);
	json_object_object_add(row, "uplink",
			       *uplink_card(name, card) ? json_object_new_string(card) : NULL);
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

static void add_recorded(struct json_object *rows)
{
	char path[FILE_NAME_BYTES];
	char **names = store_folder_names(place(path, "/var/lib/hornero/networks"), "");
	bool is_bridge;

	for (char **name = names; *name; name++)
		if (!net_exists(*name, &is_bridge))
			add_row(rows, *name, *name, NULL, false);
	store_free_names(names);
}

static void print_row(struct json_object *row)
{
	struct json_object *vms = json_object_object_get(row, "vms");
	struct json_object *subnet = json_object_object_get(row, "subnet");
	struct json_object *card = json_object_object_get(row, "uplink");

	printf("%-15s %-15s %-14s %-8s",
	       json_object_get_string(json_object_object_get(row, "name")),
	       json_object_get_string(json_object_object_get(row, "bridge")),
	       subnet ? json_object_get_string(subnet) : "-",
	       card ? json_object_get_string(card) : "-");
	for (size_t i = 0; i < json_object_array_length(vms); i++)
		printf("%s%s", i ? ", " : " ",
		       json_object_get_string(json_object_array_get_idx(vms, i)));
	putchar('\n');
}

int net_list(void)
{
	struct json_object *rows = json_object_new_array();

	add_nat(rows);
	add_bridges(rows);
	add_recorded(rows);
	if (say_json) {
		print_json(rows);
		return EXIT_OK;
	}
	printf("%-15s %-15s %-14s %-8s %s\n", "NAME", "BRIDGE", "SUBNET", "UPLINK", "VMS");
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		print_row(json_object_array_get_idx(rows, i));
	json_object_put(rows);
	return EXIT_OK;
}

static int check_name(const char *name)
{
	struct reason why;

	if (units_check_name("network", name, &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (strlen(name) > 15)
		return fail(EXIT_USAGE, "'%s': a network's name has at most 15 characters", name);
	if (!strcmp(name, "nat") || !strcmp(name, "none") || !strcmp(name, NAT_BRIDGE) ||
	    !strncmp(name, "vm-", 3))
		return fail(EXIT_USAGE, "'%s' means something else already; choose another name",
			    name);
	return EXIT_OK;
}

static int create(const char *name, const char *card)
{
	char path[FILE_NAME_BYTES];
	struct reason why;
	bool is_bridge;
	int code = check_name(name);

	if (code)
		return code;
	if (net_exists(name, &is_bridge) || !access(net_record(path, name), F_OK))
		return fail(EXIT_STATE,
			    "there is a network or card '%s' already; choose another name", name);
	if (card)
		return uplink_create(name, card);
	if (make_folder(place(path, "/var/lib/hornero/networks"), &why) ||
	    write_text(net_record(path, name), "version = 1\n", &why))
		return fail(EXIT_FAILED, "%s", why.text);
	if (say_json)
		return net_list();
	say("Network '%s' is there; 'vm create NAME --net %s' puts a VM on it. It connects VMs with "
	    "each other only, and they choose their addresses.",
	    name, name);
	return EXIT_OK;
}

static int delete_network(const char *name)
{
	char path[FILE_NAME_BYTES];
	struct json_object *users;
	struct reason why;
	size_t count;
	int code = check_name(name);

	if (code)
		return code;
	if (access(net_record(path, name), F_OK))
		return fail(EXIT_NOT_FOUND, "there is no network '%s' that 'vm net create' made",
			    name);
	users = users_of(name);
	count = json_object_array_length(users);
	if (count)
		code = fail(EXIT_STATE, "'%s' is on network '%s'; 'vm set %s --net nat' moves it",
			    json_object_get_string(json_object_array_get_idx(users, 0)), name,
			    json_object_get_string(json_object_array_get_idx(users, 0)));
	json_object_put(users);
	if (code)
		return code;
	if (uplink_remove(name, &why))
		return fail(EXIT_FAILED, "%s", why.text);
	if (unlink(path))
		return fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	if (!is_elsewhere())
		tap_remove(name);
	if (say_json)
		return net_list();
	say("network '%s' is deleted", name);
	return EXIT_OK;
}

int net_main(struct cli_call *call)
{
	const char *verb = call->args ? call->arg[0] : "list";

	if (strcmp(verb, "confirm"))
		uplink_settle();
	if (!strcmp(verb, "list") && call->args <= 1)
		return net_list();
	if (cli_has(call, "uplink") && strcmp(verb, "create"))
		return fail(EXIT_USAGE, "net: --uplink goes with 'vm net create NAME'");
	if (!strcmp(verb, "create") && call->args == 2)
		return create(call->arg[1], cli_value(call, "uplink"));
	if (!strcmp(verb, "confirm") && call->args == 1)
		return uplink_confirm();
	if (!strcmp(verb, "delete") && call->args == 2)
		return delete_network(call->arg[1]);
	return fail(EXIT_USAGE,
		    "net: write 'vm net', 'vm net create NAME', 'vm net confirm' or 'vm net delete "
		    "NAME'");
}
