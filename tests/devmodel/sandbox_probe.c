// SPDX-License-Identifier: MIT
/*
 * The device model gone bad: linked with the real one, it takes the place of its main loop
 * (machine_run), and tries what it must not get. The VM's name says what:
 *
 *	--name <attempt>	that one, with everything in place: the filter must end the VM
 *	--name unfiltered	all of them, one after another, with the filter left out: now
 *				namespaces, user, privileges and limits must stop each
 *
 * A line "probe NAME: RESULT" for each attempt that came back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../control-domain/vmm/machine.h"
#include "../../control-domain/vmm/sandbox.h"

void __wrap_machine_run(struct machine *machine);
int __wrap_sandbox_close(struct reason *why);
int __real_sandbox_close(struct reason *why);

static pid_t outsider; /* the keeper, by the number that it has outside */

static long open_host_file(void)
{
	return open("/etc/shadow", O_RDONLY);
}

static long open_proc(void)
{
	return open("/proc/self/status", O_RDONLY);
}

static long open_kvm(void)
{
	return open("/dev/kvm", O_RDWR);
}

static long open_parent(void)
{
	return open("../../../../etc/passwd", O_RDONLY);
}

static long create_file(void)
{
	return open("/left-behind", O_WRONLY | O_CREAT, 0600);
}

static long connect_to(const char *path, size_t bytes)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(address.sun_path, path, bytes);
	return connect(fd, (struct sockaddr *)&address, (socklen_t)(sizeof(sa_family_t) + bytes));
}

static long connect_neighbour(void)
{
	return connect_to("/run/hornero/vms/demo/control", 30);
}

static long connect_abstract(void)
{
	return connect_to("\0hornero-outside", 16);
}

static long connect_tcp(void)
{
	static const uint8_t ssh[16] = {AF_INET, 0, 0, 22, 127, 0, 0, 1};

	return connect(socket(AF_INET, SOCK_STREAM, 0), (const struct sockaddr *)ssh, sizeof(ssh));
}

static long signal_outsider(void)
{
	return kill(outsider, SIGKILL);
}

static long signal_thread(void)
{
	return syscall(SYS_tgkill, outsider, outsider, SIGKILL);
}

static long trace_outsider(void)
{
	return ptrace(PTRACE_ATTACH, outsider, NULL, NULL);
}

static long read_outsider(void)
{
	char byte;
	struct iovec mine = {&byte, 1}, theirs = {(void *)0x400000, 1};

	return process_vm_readv(outsider, &mine, 1, &theirs, 1, 0);
}

static long become_root(void)
{
	return setuid(0);
}

static long mount_something(void)
{
	return mount("proc", "/", "proc", 0, NULL);
}

static long new_user_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static long leave_root(void)
{
	return chroot(".");
}

static long make_device(void)
{
	return mknod("/disk", S_IFBLK | 0600, 0x800);
}

static long run_program(void)
{
	return execl("/bin/sh", "sh", NULL);
}

static long raise_limit(void)
{
	const struct rlimit more = {1 << 20, 1 << 20};

	return setrlimit(RLIMIT_NOFILE, &more);
}

static long load_bpf(void)
{
	union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY};

	return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
}

static long set_clock(void)
{
	static const struct timespec epoch = {0};

	return clock_settime(CLOCK_REALTIME, &epoch);
}

static long reboot_host(void)
{
	return syscall(SYS_reboot, 0xfee1dead, 672274793, 0x1234567, NULL);
}

static long writable_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	return at == MAP_FAILED ? -1 : 0;
}

static long foreign_ioctl(void)
{
	return ioctl(0, TIOCSTI, "x");
}

static const struct attempt {
	const char *name;
	long (*try)(void);
	bool filter_only; /* nothing but the filter forbids it */
} attempts[] = {
	{"open-host-file", open_host_file, false},
	{"open-proc", open_proc, false},
	{"open-kvm", open_kvm, false},
	{"open-parent", open_parent, false},
	{"create-file", create_file, false},
	{"connect-neighbour", connect_neighbour, false},
	{"connect-abstract", connect_abstract, false},
	{"connect-tcp", connect_tcp, false},
	{"signal", signal_outsider, false},
	{"ptrace", trace_outsider, false},
	{"read-memory", read_outsider, false},
	{"become-root", become_root, false},
	{"mount", mount_something, false},
	{"user-namespace", new_user_namespace, false},
	{"chroot", leave_root, false},
	{"mknod", make_device, false},
	{"exec", run_program, false},
	{"raise-limit", raise_limit, false},
	{"bpf", load_bpf, false},
	{"set-clock", set_clock, false},
	{"reboot", reboot_host, false},
	{"writable-code", writable_code, true},
	{"foreign-ioctl", foreign_ioctl, true},
	/* the filter lets threads be signalled; there are none but our own */
	{"signal-thread", signal_thread, false},
};

static void attempt(const struct attempt *one)
{
	char line[128];
	long result = (errno = 0, one->try());
	int bytes = snprintf(line, sizeof(line), "probe %s: %s\n", one->name,
			     result < 0 ? strerrorname_np(errno) : "IT WORKED");

	if (write(STDERR_FILENO, line, (size_t)bytes) != bytes)
		_exit(99);
}

static bool is_unfiltered;

/* `vmm-probe listen`, outside: what connect-abstract must not reach. */
static void listen_outside(void)
{
	static const struct sockaddr_un address = {AF_UNIX, "\0hornero-outside"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (bind(fd, (const struct sockaddr *)&address, sizeof(sa_family_t) + 16) || listen(fd, 4))
		_exit(1);
	pause();
}

int __wrap_sandbox_close(struct reason *why)
{
	return is_unfiltered ? 0 : __real_sandbox_close(why);
}

/* Before main(): the name is among the arguments. */
__attribute__((constructor)) static void read_name(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "listen"))
		listen_outside();
	for (int i = 1; i < argc; i++)
		is_unfiltered = is_unfiltered || !strcmp(argv[i], "unfiltered");
}

void __wrap_machine_run(struct machine *machine)
{
	outsider = machine->pid;
	for (unsigned int i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		if (is_unfiltered ? !attempts[i].filter_only
				  : !strcmp(attempts[i].name, machine->config->name))
			attempt(&attempts[i]);
	machine->end = MACHINE_KILLED;
}
