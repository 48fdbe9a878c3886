// SPDX-License-Identifier: MIT
/*
 * start, stop, kill, restart, reset, pause, resume, wait: what changes a VM's state. Those that
 * take several names go on after a failure and end with the first exit code that is not 0.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machines.h"

enum { STOP_S = 60, KILL_MS = 5000 };

static int for_each(struct cli_call *call, int (*one)(struct cli_call *call, const char *name))
{
	int first = EXIT_OK;

	for (int i = 0; i < call->args; i++) {
		int code = one(call, call->arg[i]);

		first = first ? first : code;
	}
	return first;
}

/* Loads nothing: a broken definition must not keep one from ending its VM. */
static int require_running(const char *name)
{
	struct definition definition;

	if (runtime_pid(name))
		return EXIT_OK;
	int code = store_load(name, &definition);

	return code ? code
		    : fail(EXIT_STATE, "'%s' is not running; 'vm start %s' starts it", name, name);
}

static int start_one(struct cli_call *call, const char *name)
{
	int code = machine_start(name);

	(void)call;
	if (code)
		return code;
	return machine_done(name, "'%s' runs; 'vm console %s' attaches to it", name, name);
}

int start_main(struct cli_call *call)
{
	return for_each(call, start_one);
}

static int kill_it(const char *name)
{
	struct reason ignored;
	pid_t pid = runtime_pid(name);

	if (pid && (control_tell(name, "kill", &ignored) || machine_wait(name, KILL_MS))) {
		/* The device model is stuck. What it was doing is lost either way. */
		kill(pid, SIGKILL);
		if (machine_wait(name, KILL_MS))
			return fail(EXIT_TIMEOUT,
				    "'%s': process %d does not end even by SIGKILL; see 'dmesg'",
				    name, (int)pid);
		log_append(name, "ended: killed, for it did not answer");
	}
	return EXIT_OK;
}

static int kill_one(struct cli_call *call, const char *name)
{
	int code = require_running(name);

	(void)call;
	if (!code)
		code = kill_it(name);
	return code ? code : machine_done(name, "'%s' is killed", name);
}

int kill_main(struct cli_call *call)
{
	return for_each(call, kill_one);
}

static void show_progress(const char *name, int seconds, int most)
{
	if (say_json)
		return;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\rwaiting for '%s' to power off: %d of %d s ", name, seconds,
			most);
	else if (seconds % 10 == 0)
		fprintf(stderr, "waiting for '%s' to power off: %d of %d s\n", name, seconds, most);
}

static int press_button(const char *name)
{
	struct reason why;

	if (!control_tell(name, "powerbutton", &why))
		return EXIT_OK;
	if (!machine_wait(name, 1000)) /* it was ending anyway */
		return EXIT_OK;
	return fail(EXIT_STATE, "%s; 'vm kill %s' ends it as it is", why.text, name);
}

/* Until @seconds after the button was pressed, at @pressed_ms. The VM runs on if it does not obey.
 */
static int await_off(const char *name, int seconds, long long pressed_ms)
{
	const long long until = pressed_ms + seconds * 1000ll;
	bool told = false;
	long long left;

	while ((left = until - now_ms()) > 0 &&
	       machine_wait(name, left < 1000 ? (int)left : 1000)) {
		int passed = (int)((now_ms() - pressed_ms) / 1000);

		if (passed >= seconds)
			break;
		show_progress(name, passed, seconds);
		told = true;
	}
	if (told && isatty(STDERR_FILENO) && !say_json)
		fputs("\r\033[K", stderr);
	if (!runtime_pid(name))
		return EXIT_OK;
	return fail(
		EXIT_TIMEOUT,
		"'%s' has not powered off within %d s and runs on; 'vm stop --force %s' kills it",
		name, seconds, name);
}

static int stop_seconds(struct cli_call *call, int *seconds)
{
	const char *text = cli_value(call, "timeout");
	uint64_t value = STOP_S;
	struct reason why;

	if (text && units_parse_number(text, 1, 86400, &value, &why))
		return fail(EXIT_USAGE, "--timeout: %s", why.text);
	*seconds = (int)value;
	return EXIT_OK;
}

static int stop_one_quietly(struct cli_call *call, const char *name)
{
	int seconds, code = require_running(name);
	long long pressed_ms;

	if (!code)
		code = stop_seconds(call, &seconds);
	pressed_ms = now_ms();
	if (!code)
		code = cli_has(call, "force") ? kill_it(name) : press_button(name);
	return code ? code : await_off(name, seconds, pressed_ms);
}

static int stop_one(struct cli_call *call, const char *name)
{
	int code = stop_one_quietly(call, name);

	return code ? code
		    : machine_done(name, "'%s' is %s", name,
				   cli_has(call, "force") ? "killed" : "powered off");
}

/* All buttons first, then the waiting: the slowest guest counts, not the sum. */
static int stop_all(struct cli_call *call)
{
	char **names = store_names();
	int seconds, first = stop_seconds(call, &seconds);
	long long pressed_ms;
	char **name;

	for (name = names; *name && !first; name++) {
		if (!runtime_pid(*name)) {
			**name = '\0';
			continue;
		}
		if (cli_has(call, "force"))
			kill_it(*name);
		else
			press_button(*name);
	}
	pressed_ms = now_ms();
	while (name-- > names) {
		int code = **name ? await_off(*name, seconds, pressed_ms) : EXIT_OK;

		if (**name && !code)
			machine_done(*name, "'%s' is off", *name);
		first = first ? first : code;
	}
	store_free_names(names);
	return first;
}

int stop_main(struct cli_call *call)
{
	if (cli_has(call, "all"))
		return call->args ? fail(EXIT_USAGE, "stop: write either names or --all")
				  : stop_all(call);
	if (!call->args)
		return fail(EXIT_USAGE, "stop: write 'vm stop NAME' or 'vm stop --all'");
	return for_each(call, stop_one);
}

static int restart_one(struct cli_call *call, const char *name)
{
	int code = stop_one_quietly(call, name);

	if (!code)
		code = machine_start(name);
	return code ? code : machine_done(name, "'%s' runs again", name);
}

int restart_main(struct cli_call *call)
{
	return for_each(call, restart_one);
}

/* A command that the device model carries out at once. */
static int tell(const char *name, const char *command, const char *done)
{
	struct reason why;
	int code = require_running(name);

	if (!code && control_tell(name, command, &why))
		code = fail(EXIT_STATE, "%s", why.text);
	return code ? code : machine_done(name, "'%s' %s", name, done);
}

static int reset_one(struct cli_call *call, const char *name)
{
	(void)call;
	return tell(name, "reset", "starts anew, as if the reset button was pressed");
}

int reset_main(struct cli_call *call)
{
	return for_each(call, reset_one);
}

static int pause_one(struct cli_call *call, const char *name)
{
	(void)call;
	return tell(name, "pause", "is paused; 'vm resume' lets it go on");
}

int pause_main(struct cli_call *call)
{
	return for_each(call, pause_one);
}

static int resume_one(struct cli_call *call, const char *name)
{
	(void)call;
	return tell(name, "resume", "goes on");
}

int resume_main(struct cli_call *call)
{
	return for_each(call, resume_one);
}
