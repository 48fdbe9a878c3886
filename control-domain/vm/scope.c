// SPDX-License-Identifier: MIT
/*
 * Where systemd runs, a VM is a scope of its slice hornero-guests, and systemd keeps the limits of
 * its cgroup. systemd-run makes the scope around itself and then becomes the device model: the
 * process stays the one that was started. Its id is part of the unit's name, as systemd may still
 * hold the unit of the start before. At shutdown hornero-vms.service ends VMs in good order first.
 * Without systemd: cgroup.c.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scope.h"

#define SLICE "hornero-guests.slice"

bool scope_runs(void)
{
	char path[FILE_NAME_BYTES];

	return !access(place(path, "/run/systemd/system"), F_OK);
}

/* An empty value takes a limit back. */
static void limits(struct scope *scope, const struct definition *definition)
{
	strcpy(scope->weight, "CPUWeight=");
	strcpy(scope->quota, "CPUQuota=");
	if (definition->cpu_weight)
		snprintf(scope->weight, sizeof(scope->weight), "CPUWeight=%llu",
			 (unsigned long long)definition->cpu_weight);
	if (definition->cpu_max)
		snprintf(scope->quota, sizeof(scope->quota), "CPUQuota=%llu%%",
			 (unsigned long long)definition->cpu_max);
	snprintf(scope->cpus, sizeof(scope->cpus), "AllowedCPUs=%s", definition->cpus_pin);
}

int scope_arguments(struct scope *scope, const char *name, const struct definition *definition,
		    const char **argv)
{
	int argc = 0;

	snprintf(scope->unit, sizeof(scope->unit), "--unit=hornero-vm-%s-%d.scope", name,
		 (int)getpid());
	snprintf(scope->description, sizeof(scope->description), "--description=Virtual machine %s",
		 name);
	limits(scope, definition);
	const char *const fixed[] = {
		"systemd-run",	    "--scope",	      "--quiet",
		"--collect",	    "--slice=" SLICE, scope->unit,
		scope->description, "--property",     "Before=hornero-vms.service"};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		argv[argc++] = fixed[i];
	const char *const set[] = {scope->weight, scope->quota, scope->cpus};

	for (size_t i = 0; i < 3; i++) {
		if (set[i][strlen(set[i]) - 1] == '=')
			continue;
		argv[argc++] = "--property";
		argv[argc++] = set[i];
	}
	argv[argc++] = "--";
	return argc;
}

/* The unit of a process: the last part of its cgroup's path. */
static int unit_of(pid_t pid, char *unit, size_t size, struct reason *why)
{
	char path[FILE_NAME_BYTES], line[512];
	bool ours = false;
	FILE *file;

	file = fopen(place(path, "/proc/%d/cgroup", (int)pid), "re");
	while (file && !ours && fgets(line, sizeof(line), file)) {
		const char *last = strrchr(line, '/');

		ours = !strncmp(line, "0::", 3) && last && !strncmp(last, "/hornero-vm-", 12);
		if (ours)
			snprintf(unit, size, "%.*s", (int)strcspn(last + 1, "\n"), last + 1);
	}
	if (file)
		fclose(file);
	return ours ? 0 : reason_set(why, "process %d is in no unit of " SLICE, (int)pid);
}

int scope_apply(const char *name, const struct definition *definition, struct reason *why)
{
	struct scope scope;
	pid_t pid = runtime_pid(name);

	if (!pid)
		return 0;
	limits(&scope, definition);
	if (unit_of(pid, scope.unit, sizeof(scope.unit), why))
		return -1;
	const char *const argv[] = {"systemctl",  "set-property", "--runtime", scope.unit,
				    scope.weight, scope.quota,	  scope.cpus,  NULL};

	return run_program(argv, why);
}
