// SPDX-License-Identifier: MIT
/*
 * Namespaces, user and limits, and the keeper: a process that waits outside, so that the end of
 * the VM is reported whatever ends it, and its control socket removed. Read next: sandbox_filter.c.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_file.h"
#include "machine.h"
#include "say.h"
#include "status.h"

/* Numbers that no distribution gives to people or services, one for each keeper's process id. */
#define OWN_UID_BASE 0x70000000u

static uid_t own_uid;

static volatile sig_atomic_t child_pid;

/* The device model's end of a pipe whose other end only the keeper has. */
static int keeper_lives = -1;

static void forward_signal(int number)
{
	kill(child_pid, number);
}

/* Waits for the VM's end; returns its exit status. @said: what it says for the log, or -1. */
static int keep(const struct config *config, pid_t child, int said)
{
	struct sigaction action = {.sa_handler = forward_signal};
	int status;

	child_pid = child;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	if (said >= 0)
		log_file_copy(config->log, said);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return MACHINE_HOST_FAILED;
	/* One that was refused may have been refused because another VM has the socket. */
	if (config->control && !(WIFEXITED(status) && WEXITSTATUS(status) == MACHINE_REFUSED))
		unlink(config->control);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	say_error("ended: the device model was killed by signal %d%s", WTERMSIG(status),
		  WTERMSIG(status) == SIGSYS ? " (a system call that its sandbox forbids)" : "");
	return WTERMSIG(status) == SIGKILL ? MACHINE_KILLED : MACHINE_HOST_FAILED;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return done ? 0 : -1;
}

/* Without root, namespaces need a user namespace; we stay who we are in it. */
static int unshare_user(struct reason *why)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(CLONE_NEWUSER))
		return reason_set(why,
				  "sandbox: no user namespaces for user %u: %s; start as root, or "
				  "with --sandbox off",
				  uid, strerror(errno));
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	if (write_file("/proc/self/setgroups", "deny") || write_file("/proc/self/uid_map", map))
		return reason_set(why, "sandbox: user map: %s", strerror(errno));
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	if (write_file("/proc/self/gid_map", map))
		return reason_set(why, "sandbox: group map: %s", strerror(errno));
	return 0;
}

int sandbox_fork(const struct config *config, int *keeper, struct reason *why)
{
	*keeper = getpid();
	/* The child cannot ask: outside of its PID namespace nobody has a number there. */
	own_uid = config->uid ? config->uid : OWN_UID_BASE + (uint32_t)*keeper;
	if (!config->sandbox)
		return 0;
	if (geteuid() && unshare_user(why))
		return -1;
	if (unshare(CLONE_NEWPID))
		return reason_set(why, "sandbox: PID namespace: %s; or use --sandbox off",
				  strerror(errno));
	int ends[2], said[2] = {-1, -1};
	pid_t child = -1;

	if (!pipe2(ends, O_CLOEXEC) && !(config->log && pipe2(said, O_CLOEXEC)))
		child = fork();
	if (child < 0)
		return reason_set(why, "sandbox: fork: %s", strerror(errno));
	if (child) {
		close(said[1]);
		_exit(keep(config, child, said[0]));
	}
	keeper_lives = ends[0];
	close(ends[1]);
	if (config->log && (dup2(said[1], STDOUT_FILENO) < 0 || dup2(said[1], STDERR_FILENO) < 0))
		return reason_set(why, "sandbox: log: %s", strerror(errno));
	close(said[0]);
	close(said[1]);
	status_leave();
	return 0;
}

/* From now on the keeper's death is ours; if it came before, nobody tells us. */
static int die_with_keeper(struct reason *why)
{
	struct pollfd pipe = {.fd = keeper_lives};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		return reason_set(why, "sandbox: prctl: %s", strerror(errno));
	if (poll(&pipe, 1, 0))
		return reason_set(why, "the process that kept this VM was killed");
	close(keeper_lives);
	return 0;
}

/* An empty, read-only root. Where the root is an initramfs, it can be left but not detached. */
static int enter_empty_root(struct reason *why)
{
	const char *anywhere = "/proc"; /* exists everywhere; only we see what is mounted here */
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", anywhere, "tmpfs", flags, "size=4k,mode=555") || chdir(anywhere))
		return reason_set(why, "sandbox: empty root: %s", strerror(errno));
	if (!syscall(SYS_pivot_root, ".", ".")) {
		if (umount2(".", MNT_DETACH))
			return reason_set(why, "sandbox: old root: %s", strerror(errno));
	} else if (chroot(".")) {
		return reason_set(why, "sandbox: chroot: %s", strerror(errno));
	}
	if (chdir("/") || mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | flags, NULL))
		return reason_set(why, "sandbox: read-only root: %s", strerror(errno));
	return 0;
}

static int become_nobody(struct reason *why)
{
	const uid_t uid = own_uid;

	if (geteuid())
		return 0; /* as whom we were started, inside the user namespace */
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		return reason_set(why, "sandbox: user %u: %s", uid, strerror(errno));
	return 0;
}

static int limit(int resource, const char *name, rlim_t value, struct reason *why)
{
	const struct rlimit limits = {.rlim_cur = value, .rlim_max = value};

	if (setrlimit(resource, &limits))
		return reason_set(why, "sandbox: limit of %s: %s", name, strerror(errno));
	return 0;
}

static int drop_capabilities(struct reason *why)
{
	struct {
		uint32_t version;
		int pid;
	} header = {.version = 0x20080522};
	const uint32_t none[6] = {0};

	if (syscall(SYS_capset, &header, none))
		return reason_set(why, "sandbox: capabilities: %s", strerror(errno));
	return 0;
}

/*
 * A namespace with nothing in it need not be each VM's own, and a network takes the kernel more
 * instructions to make than anything else at a VM's start: the first one leaves it in a file for
 * the others. What cannot be had or left there is made anew, as without root.
 */
#define SHARED_FOLDER "/run/hornero/sandbox"

static const struct shared {
	int flag;
	const char *file, *own;
} shared[] = {
	{CLONE_NEWNET, SHARED_FOLDER "/net", "/proc/self/ns/net"},
	{CLONE_NEWIPC, SHARED_FOLDER "/ipc", "/proc/self/ns/ipc"},
};

static bool join(const struct shared *space)
{
	int fd = open(space->file, O_RDONLY | O_CLOEXEC);
	bool joined = fd >= 0 && !setns(fd, space->flag);

	if (fd >= 0)
		close(fd);
	return joined;
}

/* Only who has made the file mounts on it: until then nobody can join. */
static void leave_to_others(const struct shared *space)
{
	int fd = open(space->file, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);

	if (fd < 0)
		return;
	close(fd);
	if (mount(space->own, space->file, NULL, MS_BIND, NULL))
		unlink(space->file);
}

static int enter_shared(void)
{
	bool is_root = !geteuid();

	for (unsigned i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
		if (is_root && join(&shared[i]))
			continue;
		if (unshare(shared[i].flag))
			return -1;
		if (is_root && (!mkdir("/run/hornero", 0755) || errno == EEXIST) &&
		    (!mkdir(SHARED_FOLDER, 0700) || errno == EEXIST))
			leave_to_others(&shared[i]);
	}
	return 0;
}

int sandbox_enter(const struct config *config, struct reason *why)
{
	/* Descriptors: what is open, and the clients of the control socket. */
	const rlim_t files = 512;

	if (!config->sandbox)
		return 0;
	if (enter_shared() || unshare(CLONE_NEWNS | CLONE_NEWUTS))
		return reason_set(why, "sandbox: namespaces: %s; or use --sandbox off",
				  strerror(errno));
	if (enter_empty_root(why) || become_nobody(why) || drop_capabilities(why) ||
	    limit(RLIMIT_NOFILE, "open files", files, why) ||
	    limit(RLIMIT_CORE, "core dumps", 0, why) || limit(RLIMIT_MSGQUEUE, "queues", 0, why))
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return reason_set(why, "sandbox: prctl: %s", strerror(errno));
	return die_with_keeper(why);
}
