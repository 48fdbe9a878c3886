// SPDX-License-Identifier: MIT
/*
 * Starting a VM: check, prepare, start its device model in a session of its own, wait until it
 * answers on its control socket or has said why not. The process belongs to nobody afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hypervisor_log.h"
#include "machines.h"
#include "scope.h"

enum { ARGUMENTS_MAX = 64, START_MS = 30000, SECOND_MS = 1000, LOG_MAX_BYTES = 1 << 20 };

struct launch {
	const char *name;
	const struct definition *definition;
	struct boot_choice boot;
	char folder[FILE_NAME_BYTES], control[FILE_NAME_BYTES], log[FILE_NAME_BYTES];
	char status[FILE_NAME_BYTES], process[FILE_NAME_BYTES];
	char memory[32], cpus[8], tap[16], net[64], label[96];
	char disk[DISKS_MAX + 1][PATH_BYTES + 16], seed[FILE_NAME_BYTES];
	const char *argv[ARGUMENTS_MAX];
	int argc;
};

static void add_argument(struct launch *launch, const char *option, const char *value)
{
	launch->argv[launch->argc++] = option;
	launch->argv[launch->argc++] = value;
}

static void add_devices(struct launch *launch)
{
	const struct definition *definition = launch->definition;
	char mac[18];

	for (unsigned int i = 0; i < definition->disks; i++) {
		snprintf(launch->disk[i], sizeof(launch->disk[i]), "path=%s%s",
			 definition->disk[i].path, definition->disk[i].read_only ? ",ro" : "");
		add_argument(launch, "--disk", launch->disk[i]);
	}
	if (*launch->seed) {
		snprintf(launch->disk[DISKS_MAX], sizeof(launch->disk[0]), "path=%s,ro",
			 launch->seed);
		add_argument(launch, "--disk", launch->disk[DISKS_MAX]);
	}
	if (!*launch->tap)
		return;
	snprintf(launch->net, sizeof(launch->net), "tap=%s,mac=%s", launch->tap,
		 machine_mac(launch->name, definition, mac));
	add_argument(launch, "--net", launch->net);
}

static void make_arguments(struct launch *launch)
{
	const struct definition *definition = launch->definition;
	const char *program = getenv("HORNERO_VMM");
	char mac[18];

	launch->argv[launch->argc++] = program ? program : "/usr/bin/vmm";
	units_print_size(definition->memory_bytes, launch->memory, sizeof(launch->memory));
	snprintf(launch->cpus, sizeof(launch->cpus), "%u", (unsigned int)definition->cpus);
	snprintf(launch->label, sizeof(launch->label), "%s %s", definition->net,
		 machine_mac(launch->name, definition, mac));
	add_argument(launch, "--name", launch->name);
	add_argument(launch, "--memory", launch->memory);
	add_argument(launch, "--cpus", launch->cpus);
	add_argument(launch, "--kernel", launch->boot.kernel);
	if (*launch->boot.initrd)
		add_argument(launch, "--initrd", launch->boot.initrd);
	add_argument(launch, "--cmdline", launch->boot.cmdline);
	add_devices(launch);
	add_argument(launch, "--control", launch->control);
	add_argument(launch, "--status", launch->status);
	add_argument(launch, "--log", launch->log);
	add_argument(launch, "--label", launch->label);
	launch->argv[launch->argc] = NULL;
}

/* The log goes on across starts; the device model's keeper drops the older half of two later on. */
static int open_log(const struct launch *launch, struct reason *why)
{
	char older[FILE_NAME_BYTES + 8];
	struct stat status;
	int fd;

	snprintf(older, sizeof(older), "%s.1", launch->log);
	if (!stat(launch->log, &status) && status.st_size > LOG_MAX_BYTES)
		rename(launch->log, older);
	fd = open(launch->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return reason_set(why, "%s: %s", launch->log, strerror(errno));
	log_append(launch->name, "starting");
	return fd;
}

/* When this Linux runs out of memory, programs go first and VMs last. Only root may say so. */
static void spare_from_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "-900", 4) < 0)
		errno = 0;
	if (fd >= 0)
		close(fd);
}

static pid_t spawn(const struct launch *launch, int log_fd)
{
	const char *argv[SCOPE_ARGUMENTS_MAX + ARGUMENTS_MAX];
	pid_t child = fork();
	struct scope scope;
	struct reason why;
	int null, used = 0;

	if (child)
		return child;
	null = open("/dev/null", O_RDONLY);
	setsid();
	if (chdir("/") || dup2(null, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
	    dup2(log_fd, STDERR_FILENO) < 0)
		_exit(127);
	/* Before the program runs, so that all its threads and its helper are inside. */
	if (scope_runs())
		used = scope_arguments(&scope, launch->name, launch->definition, argv);
	else if (cgroup_apply(launch->name, launch->definition, getpid(), &why))
		log_append(launch->name, why.text);
	memcpy(argv + used, launch->argv, sizeof(launch->argv));
	spare_from_oom();
	execvp(argv[0], (char *const *)argv);
	char text[512];

	snprintf(text, sizeof(text), "error: device model %s: %s", argv[0], strerror(errno));
	log_append(launch->name, text);
	_exit(127);
}

static bool runs(const char *name)
{
	struct reason ignored;

	return !control_tell(name, "status", &ignored);
}

static void show_progress(const char *name, long long since)
{
	int seconds = (int)((now_ms() - since) / 1000);

	if (seconds && !say_json && isatty(STDERR_FILENO))
		fprintf(stderr, "\rwaiting for '%s' to start: %d of %d s \033[K", name, seconds,
			START_MS / 1000);
}

/* Until it answers or has ended; `watch` tells when the folder gets the socket. */
static int wait_until_up(const struct launch *launch, pid_t child, int watch, struct reason *why)
{
	struct pollfd events[] = {{.fd = (int)syscall(SYS_pidfd_open, child, 0), .events = POLLIN},
				  {.fd = watch, .events = POLLIN}};
	long long since = now_ms(), deadline = since + START_MS;
	char said[256], drained[1024];
	enum vm_end end;
	bool up = false, bound = false;

	while (!up && now_ms() < deadline) {
		/* A socket exists a moment before somebody listens. */
		if (poll(events, 2, bound ? 5 : SECOND_MS) < 0)
			break;
		show_progress(launch->name, since);
		if (events[0].revents)
			break;
		if (events[1].revents && read(watch, drained, sizeof(drained)) < 0)
			break;
		bound = bound || !access(launch->control, F_OK);
		up = bound && runs(launch->name);
	}
	bool ended = events[0].revents;

	close(events[0].fd);
	if (now_ms() - since >= SECOND_MS && !say_json && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (up)
		return 0;
	if (!ended)
		return reason_set(why,
				  "'%s' does not answer after %d s; 'vm logs %s' may say why, "
				  "'vm kill %s' ends it",
				  launch->name, START_MS / 1000, launch->name, launch->name);
	if (!log_last_end(launch->name, said, sizeof(said), &end))
		strcpy(said, "its device model ended without a word");
	return reason_set(why, "'%s' did not start: %s", launch->name, said);
}

static int launch_it(struct launch *launch, struct reason *why)
{
	int watch, log_fd, failed;
	pid_t child;

	runtime_path(launch->control, launch->name, "control");
	runtime_path(launch->log, launch->name, "log");
	runtime_path(launch->status, launch->name, "status");
	runtime_process_path(launch->process, launch->name);
	place(launch->folder, "/run/hornero/vms/%s", launch->name);
	if (machine_boot_choice(launch->definition, &launch->boot, why) ||
	    make_folder(launch->folder, why) ||
	    store_write_started(launch->name, launch->definition, why) ||
	    (launch->boot.takes_keys && guest_files_add(launch->name, &launch->boot, why)) ||
	    guest_seed(launch->name, launch->definition, launch->seed, why) ||
	    net_prepare(launch->name, launch->definition, launch->tap, why))
		return -1;
	make_arguments(launch);
	unlink(launch->control);
	log_fd = open_log(launch, why);
	if (log_fd < 0)
		return -1;
	watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch < 0 || inotify_add_watch(watch, launch->folder, IN_CREATE) < 0)
		return reason_set(why, "%s: %s", launch->folder, strerror(errno));
	child = spawn(launch, log_fd);
	close(log_fd);
	failed = child < 0 ? reason_set(why, "fork: %s", strerror(errno))
			   : runtime_record(launch->process, child, why);
	if (!failed)
		failed = wait_until_up(launch, child, watch, why);
	if (!failed)
		hypervisor_note(launch->name, child);
	close(watch);
	return failed;
}

int machine_start(const char *name)
{
	struct launch launch = {.name = name};
	struct definition definition;
	struct reason why;
	int code;

	if (store_lock(&why))
		return fail(EXIT_FAILED, "%s", why.text);
	code = store_load(name, &definition);
	if (!code && runtime_pid(name))
		code = fail(EXIT_STATE, "'%s' is running already; 'vm console %s' attaches to it",
			    name, name);
	if (!code && machine_admit(name, &definition, &why))
		code = fail(EXIT_FAILED, "%s", why.text);
	launch.definition = &definition;
	if (!code && launch_it(&launch, &why))
		code = fail(EXIT_FAILED, "%s", why.text);
	store_unlock();
	return code;
}
