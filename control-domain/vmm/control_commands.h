// SPDX-License-Identifier: MIT
/*
 * The commands of the control socket. Read next: README.md, the protocol.
 */
#pragma once

#include <json-c/json.h>

#include "machine.h"

/* What becomes of the connection after the answer. */
enum control_next { CONTROL_GO_ON, CONTROL_EVENTS, CONTROL_CONSOLE, CONTROL_DUMP };

/* Carries `request` out (NULL: it was not JSON) and fills in `reply`. */
enum control_next control_execute(struct machine *machine, struct json_object *request,
				  struct json_object *reply);

/* Adds "state" and "why", and "status" once it has ended. */
void control_add_state(struct json_object *object, const struct machine *machine);
