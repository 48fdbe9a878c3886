// SPDX-License-Identifier: MIT
/* A VM as a unit of systemd, where that runs. */
#pragma once

#include "machines.h"

/* At most these words are put in front of the device model's. */
enum { SCOPE_ARGUMENTS_MAX = 18 };

/* What the words point to. */
struct scope {
	char unit[160], description[128], weight[40], quota[40], cpus[96];
};

/** Whether systemd manages this system. */
bool scope_runs(void);

/**
 * Write the words that make a scope of this very process into @argv; @scope must live as long.
 * Returns how many. Context: the process that becomes the device model.
 */
int scope_arguments(struct scope *scope, const char *name, const struct definition *definition,
		    const char **argv);

/** Give a running VM the limits of @definition. 0, or -1 with @why. */
int scope_apply(const char *name, const struct definition *definition, struct reason *why);
