// SPDX-License-Identifier: MIT
/*
 * VMs with a name, and VMs that outlive their process (HORNERO_SET_NAME and what follows it).
 *
 * Each process that is to die is a child: it makes a VM and ends, or is killed. Whoever opens the
 * VM then has to find it as it was. Where there is no Hornero, nothing is checked.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/ioctl.h"

#define COUNT 0x400000u /* where guest_writer counts */
#define KILLS 20

static struct hv_vm_name name_of(uint8_t number, uint32_t flags)
{
	struct hv_vm_name name = {.uuid = {0x48, 0x6f, [15] = number}, .flags = flags};

	memcpy(name.name, "check-keep-", 11);
	name.name[11] = (char)('a' + number);
	return name;
}

static int set_name(int vm, uint8_t number, uint32_t flags)
{
	struct hv_vm_name name = name_of(number, flags);

	return ioctl(vm, HORNERO_SET_NAME, &name) ? errno : 0;
}

static int open_vm(int kvm, uint8_t number)
{
	struct hv_vm_name name = name_of(number, 0);

	return ioctl(kvm, HORNERO_OPEN_VM, name.uuid);
}

/* 0, or the errno. */
static int destroy_vm(int kvm, uint8_t number)
{
	struct hv_vm_name name = name_of(number, 0);

	return ioctl(kvm, HORNERO_DESTROY_VM, name.uuid) ? errno : 0;
}

/* What /dev/hornero says about it, -1: not there. */
static int state_of(uint8_t number)
{
	struct hv_vm_name name = name_of(number, 0);
	struct hornero_vm_info info = {0};
	int fd = must(open(HORNERO_DEVICE, O_RDWR | O_CLOEXEC), HORNERO_DEVICE), state = -1;

	for (; state < 0 && !ioctl(fd, HORNERO_VM_INFO, &info); info.slot++)
		if (info.info.handle && !memcmp(info.info.uuid, name.uuid, sizeof(name.uuid)))
			state = (int)info.state;
	close(fd);
	return state;
}

/* In a child: a VM that is kept runs until @ms have passed, then the process is killed. */
static void leave_behind(uint8_t number, const uint8_t *entry, unsigned int ms)
{
	struct client c;
	int status;
	pid_t child = fork();

	if (!child) {
		const struct itimerval timer = {.it_value = {0, (int)ms * 1000 + 1}};

		client_create(&c, 1, entry);
		must(-set_name(c.vm, number, HV_VM_KEEP), "the child's HORNERO_SET_NAME");
		signal(SIGALRM, SIG_DFL);
		setitimer(ITIMER_REAL, &timer, NULL);
		while (client_run(&c, 0) == KVM_EXIT_IO)
			;
		_exit(0);
	}
	waitpid(child, &status, 0);
	report(WIFSIGNALED(status), "the VM's process is killed", "status %x", status);
}

/* All of @vm, just opened, into @c; the memory is mapped, and its region set unless @adrift. */
static struct hornero_region adopt_opened(struct client *c, int vm, bool adrift)
{
	struct hornero_region region = {.slot = 0};
	int fd, bytes;

	memset(c, 0, sizeof(*c));
	c->kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	c->vm = vm;
	fd = must(ioctl(c->vm, HORNERO_OPEN_REGION, &region), "HORNERO_OPEN_REGION");
	c->memory = mmap(NULL, region.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(c->memory == MAP_FAILED ? -1 : 0, "mmap of the region's file");
	close(fd);
	c->vcpu[0] = must(ioctl(c->vm, HORNERO_OPEN_VCPU, 0), "HORNERO_OPEN_VCPU");
	bytes = must(ioctl(c->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	c->run[0] = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->vcpu[0], 0);
	must(c->run[0] == MAP_FAILED ? -1 : 0, "mmap of the run page");
	if (!adrift)
		client_region(c, 0, 0, MEMORY_BYTES, c->memory, 0);
	return region;
}

static struct hornero_region adopt(struct client *c, uint8_t number, bool adrift)
{
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = must(open_vm(kvm, number), "HORNERO_OPEN_VM");

	close(kvm);
	return adopt_opened(c, vm, adrift);
}

static void check_names(void)
{
	struct client a, b;
	struct hv_vm_name name, odd = name_of(1, 0);

	client_create(&a, 1, guest_idle);
	client_create(&b, 1, guest_idle);
	must(ioctl(a.vm, HORNERO_GET_NAME, &name), "HORNERO_GET_NAME");
	report(strstr(name.name, "kvm-check-") == name.name && name.uuid[6] >> 4 == 4,
	       "a VM is named after its process, with a UUID of its own", "'%s'", name.name);
	report(!set_name(a.vm, 1, 0), "VM gets a name", "errno %d", errno);
	must(ioctl(a.vm, HORNERO_GET_NAME, &name), "HORNERO_GET_NAME");
	report(!memcmp(&name, &odd, sizeof(name)), "and has it", "'%s'", name.name);
	report(set_name(b.vm, 1, 0) == EEXIST, "no other VM gets it", "errno %d", errno);
	odd.uuid[14] = 1;
	report(ioctl(b.vm, HORNERO_SET_NAME, &odd) && errno == EEXIST, "nor the name alone",
	       "errno %d", errno);
	odd = name_of(1, 0);
	odd.name[0] = 'C';
	report(ioctl(b.vm, HORNERO_SET_NAME, &odd) && errno == EEXIST, "nor the UUID alone",
	       "errno %d", errno);
	odd = name_of(2, 0);
	odd.name[3] = '\n';
	report(ioctl(b.vm, HORNERO_SET_NAME, &odd) && errno == EINVAL, "a name is one line",
	       "errno %d", errno);
	memset(odd.name, 'x', sizeof(odd.name));
	report(ioctl(b.vm, HORNERO_SET_NAME, &odd) && errno == EINVAL, "a name has an end",
	       "errno %d", errno);
	odd = name_of(2, 2);
	report(ioctl(b.vm, HORNERO_SET_NAME, &odd) && errno == EINVAL, "unknown flags", "errno %d",
	       errno);
	odd = name_of(2, 0);
	memset(odd.uuid, 0, sizeof(odd.uuid));
	report(ioctl(b.vm, HORNERO_SET_NAME, &odd) && errno == EINVAL, "nil is no UUID", "errno %d",
	       errno);
	client_destroy(&a);
	report(!set_name(b.vm, 1, 0), "a name is free when its VM is gone", "errno %d", errno);
	client_destroy(&b);
	report(state_of(1) == -1, "a VM that is not kept is gone", "state %d", state_of(1));
}

/* What cannot be kept, on both sides of being asked. */
static void check_not_kept(void)
{
	const uint64_t page = 4096;
	uint8_t *own = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {.slot = 1,
						     .guest_phys_addr = 0x1000000,
						     .memory_size = page,
						     .userspace_addr = (uintptr_t)own};
	struct client c;
	int vm;

	client_create_chips(&c, 1, guest_idle);
	report(set_name(c.vm, 3, HV_VM_KEEP) == EINVAL, "chips of the kernel are not kept",
	       "errno %d", errno);
	client_destroy(&c);
	client_create(&c, 1, guest_idle);
	client_region(&c, 1, region.guest_phys_addr, page, own, 0);
	report(set_name(c.vm, 3, HV_VM_KEEP) == EINVAL, "memory of the process is not kept",
	       "errno %d", errno);
	client_region(&c, 1, 0, 0, NULL, 0);
	report(!set_name(c.vm, 3, HV_VM_KEEP), "without it the VM is", "errno %d", errno);
	report(ioctl(c.vm, KVM_SET_USER_MEMORY_REGION, &region) && errno == EINVAL,
	       "and gets none later", "errno %d", errno);
	vm = must(ioctl(c.kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	must(-set_name(vm, 4, HV_VM_KEEP), "HORNERO_SET_NAME");
	report(ioctl(vm, KVM_CREATE_IRQCHIP) && errno == EINVAL, "nor chips", "errno %d", errno);
	must(-set_name(vm, 4, 0), "HORNERO_SET_NAME");
	close(vm);
	report(state_of(4) == -1, "a VM that is no longer to be kept is not", "%d", state_of(4));
	must(-set_name(c.vm, 3, 0), "HORNERO_SET_NAME");
	client_destroy(&c);
	munmap(own, page);
}

/* A guest that counts in memory: it goes on counting, from where it was. */
static void check_goes_on(void)
{
	struct hornero_region region;
	volatile uint32_t *count;
	struct kvm_regs regs;
	struct client c;
	uint32_t before;
	int reason;

	leave_behind(5, guest_writer, 50);
	report(state_of(5) == HORNERO_VM_KEPT, "the VM is kept", "state %d", state_of(5));
	region = adopt(&c, 5, true);
	report(!region.gpa && region.bytes == MEMORY_BYTES && !region.offset &&
		       region.file_bytes == MEMORY_BYTES && !region.flags,
	       "the region is described", "%llx %llx", (unsigned long long)region.gpa,
	       (unsigned long long)region.bytes);
	report(state_of(5) == HORNERO_VM_OPEN, "and open again", "state %d", state_of(5));
	report(open_vm(c.kvm, 5) == -1 && errno == EBUSY, "but not twice", "errno %d", errno);
	report(destroy_vm(c.kvm, 5) == EBUSY, "nor destroyed while it is open", "errno %d", errno);
	report(ioctl(c.vm, HORNERO_OPEN_VCPU, 0) < 0 && errno == EBUSY, "a vCPU is not open twice",
	       "errno %d", errno);
	report(ioctl(c.vm, HORNERO_OPEN_VCPU, 7) < 0 && errno == ENOENT,
	       "nor one that is not there", "errno %d", errno);
	count = (volatile uint32_t *)(c.memory + COUNT);
	before = *count;
	regs = get_regs(&c);
	report(before && regs.rip >= CODE && regs.rip < CODE + 0x1000,
	       "memory and registers are kept", "count %u, rip %llx", before, regs.rip);
	reason = client_run_for(&c, 0, 20);
	report(reason == -1 && errno == EINVAL && *count == before,
	       "it does not run before its region is set", "%d, errno %d", reason, errno);
	client_region(&c, 0, 0, MEMORY_BYTES, c.memory, 0);
	do {
		reason = client_run_for(&c, 0, 20);
	} while (reason == -1 && errno == EINTR && *count == before);
	report(*count - before < 0x80000000, "then it goes on", "%d, count %u, was %u", reason,
	       *count, before);
	c.memory[0x4000] = 1;
	expect_io(&c, client_run(&c, 0), false, 1, 0, "and hears of us");
	must(-set_name(c.vm, 5, 0), "HORNERO_SET_NAME");
	client_destroy(&c);
	report(state_of(5) == -1, "it ends when it is no longer to be kept", "%d", state_of(5));
}

static void answer_none(struct client *c)
{
	struct kvm_userspace_memory_region wrong = {.memory_size = MEMORY_BYTES,
						    .userspace_addr = (uintptr_t)c->memory + 4096};

	report(ioctl(c->vm, KVM_SET_USER_MEMORY_REGION, &wrong) && errno == EINVAL,
	       "a region is not set elsewhere in its file", "errno %d", errno);
	wrong.userspace_addr = (uintptr_t)c->memory;
	wrong.memory_size -= 4096;
	report(ioctl(c->vm, KVM_SET_USER_MEMORY_REGION, &wrong) && errno == EINVAL,
	       "nor with another size", "errno %d", errno);
}

/* A read of a port that the dead process was asked for: the next one answers. */
static void check_pending_exit(void)
{
	struct client c;
	pid_t child = fork();
	int status;

	if (!child) {
		client_create(&c, 1, guest_ports);
		must(-set_name(c.vm, 6, HV_VM_KEEP), "HORNERO_SET_NAME");
		for (int i = 0; i < 4; i++)
			client_run(&c, 0);
		kill(getpid(), SIGKILL);
	}
	waitpid(child, &status, 0);
	adopt(&c, 6, true);
	answer_none(&c);
	client_region(&c, 0, 0, MEMORY_BYTES, c.memory, 0);
	expect_io(&c, (int)c.run[0]->exit_reason, true, 1, 0, "the exit is still there");
	answer_io(&c, 0xaa);
	expect_io(&c, client_run(&c, 0), true, 2, 0, "and is answered");
	struct kvm_regs regs = get_regs(&c);
	report((regs.rsi & 0xff) == 0xaa, "with our value", "rsi %llx", regs.rsi);
	client_destroy(&c);
	report(state_of(6) == HORNERO_VM_KEPT, "it stays kept", "state %d", state_of(6));
	c.kvm = must(open("/dev/kvm", O_RDWR), "/dev/kvm");
	report(open_vm(c.kvm, 66) == -1 && errno == ENOENT, "a wrong UUID leads nowhere",
	       "errno %d", errno);
	report(destroy_vm(c.kvm, 66) == ENOENT, "nor is it destroyed", "errno %d", errno);
	report(!destroy_vm(c.kvm, 6), "a kept VM is destroyed by its UUID", "errno %d", errno);
	report(destroy_vm(c.kvm, 6) == ENOENT && state_of(6) == -1, "once", "errno %d", errno);
	close(c.kvm);
}

/* Another user, with a descriptor of /dev/kvm. */
static void check_stranger(void)
{
	int kvm = must(open("/dev/kvm", O_RDWR), "/dev/kvm"), status;
	struct client c;
	pid_t child;

	leave_behind(7, guest_spin, 5);
	child = fork();
	if (!child) {
		must(setreuid(65534, 65534), "setreuid");
		_exit(open_vm(kvm, 7) == -1 && errno == EACCES && destroy_vm(kvm, 7) == EACCES);
	}
	waitpid(child, &status, 0);
	report(WIFEXITED(status) && WEXITSTATUS(status) == 1, "another user's VM is left alone",
	       "status %x", status);
	adopt(&c, 7, false);
	child = fork();
	if (!child) /* a descriptor that was inherited is of no use, as with any VM */
		_exit(ioctl(c.vm, HORNERO_OPEN_VCPU, 0) < 0 && errno == EIO);
	waitpid(child, &status, 0);
	report(WEXITSTATUS(status) == 1, "a process has it alone", "status %x", status);
	client_destroy(&c);
	report(!destroy_vm(kvm, 7), "its owner destroys it", "errno %d", errno);
	close(kvm);
}

/* Takes the VM as soon as nobody has it, and dies after @us microseconds, whatever it does then. */
static void seize(int kvm, uint8_t number, useconds_t us)
{
	struct client c;
	int vm;

	signal(SIGALRM, SIG_DFL);
	ualarm(us, 0);
	do
		vm = open_vm(kvm, number);
	while (vm < 0 && errno == EBUSY);
	if (vm < 0)
		_exit(1);
	adopt_opened(&c, vm, false);
	client_run(&c, 0);
	_exit(2);
}

static void check_killed_keepers(void)
{
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm"), i, status, dead;
	pid_t child[2];

	leave_behind(8, guest_writer, 5);
	for (i = 0; i < KILLS; i++) {
		for (unsigned int n = 0; n < 2; n++) {
			child[n] = fork();
			if (!child[n])
				seize(kvm, 8, 1000 + 700 * (unsigned int)i + 2500 * n);
		}
		dead = 0;
		for (int n = 0; n < 2; n++) {
			waitpid(child[n], &status, 0);
			dead += WIFSIGNALED(status);
		}
		if (dead != 2 || state_of(8) != HORNERO_VM_KEPT)
			break;
	}
	report(i == KILLS, "kept while those who have it are killed",
	       "round %d: status %x, state %d", i, status, state_of(8));
	report(!destroy_vm(kvm, 8), "and destroyed in the end", "errno %d", errno);
	close(kvm);
}

void check_leave(void)
{
	leave_behind(9, guest_spin, 5);
	report(state_of(9) == HORNERO_VM_KEPT, "a VM is left behind", "state %d", state_of(9));
}

void check_keep(void)
{
	int kvm = must(open("/dev/kvm", O_RDWR), "/dev/kvm");
	int offered = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_HORNERO);

	close(kvm);
	if (offered <= 0 || getenv("NO_POOL")) {
		report(true, "no VMs are kept here", "%s", "");
		return;
	}
	check_names();
	check_not_kept();
	check_goes_on();
	check_pending_exit();
	check_stranger();
	check_killed_keepers();
}
