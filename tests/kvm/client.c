// SPDX-License-Identifier: MIT
/* The client's plumbing: descriptors, memory, descriptor tables, registers. See check.h. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "abi/ioctl.h"

#define VECTORS 0x44u

int must(int result, const char *what)
{
	if (result >= 0)
		return result;
	printf("FAIL %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t address_of(const uint8_t *label)
{
	return CODE + (uint32_t)(label - guest_start);
}

/* Memory from Hornero's pool where there is one, else of this process. */
static uint8_t *allocate_memory(struct client *client)
{
	uint64_t bytes = MEMORY_BYTES;
	void *memory;
	int fd;

	if (ioctl(client->kvm, KVM_CHECK_EXTENSION, KVM_CAP_HORNERO) > 0 && !getenv("NO_POOL")) {
		fd = must(ioctl(client->vm, HORNERO_CREATE_POOL_FILE, &bytes), "pool file");
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	} else {
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
	}
	must(memory == MAP_FAILED ? -1 : 0, "mmap of guest memory");
	return memory;
}

static void set_gate(struct client *client, unsigned int vector, uint32_t handler)
{
	const uint32_t gate[2] = {8u << 16 | (handler & 0xffff), (handler & 0xffff0000) | 0x8e00};

	memcpy(client->memory + IDT + 8 * vector, gate, sizeof(gate));
}

static void fill_memory(struct client *client)
{
	const uint64_t gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
	unsigned int vector;

	memcpy(client->memory + CODE, guest_start, guest_end - guest_start);
	memcpy(client->memory + 0x8000, guest_another, guest_handlers - guest_another);
	memcpy(client->memory + GDT, gdt, sizeof(gdt));
	for (vector = 0x40; vector < VECTORS; vector++)
		set_gate(client, vector, address_of(guest_handlers) + 32 * (vector - 0x40));
	set_gate(client, 2, address_of(guest_nmi));
}

static void set_registers(struct client *client, const uint8_t *entry)
{
	const struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
	struct kvm_segment data = code;
	struct kvm_regs regs = {.rip = address_of(entry), .rsp = STACK, .rflags = 2};
	struct kvm_sregs sregs;

	data.selector = 16;
	data.type = 3;
	must(ioctl(client->vcpu[0], KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt = (struct kvm_dtable){.base = GDT, .limit = 23};
	sregs.idt = (struct kvm_dtable){.base = IDT, .limit = 8 * VECTORS - 1};
	sregs.cr0 |= 1;
	must(ioctl(client->vcpu[0], KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	must(ioctl(client->vcpu[0], KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void set_cpuid(struct client *client, unsigned int vcpu)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[128];
	} table = {.head.nent = 128};
	uint32_t i;

	must(ioctl(client->kvm, KVM_GET_SUPPORTED_CPUID, &table), "KVM_GET_SUPPORTED_CPUID");
	for (i = 0; i < table.head.nent; i++) {
		if (table.entry[i].function != 1)
			continue;
		table.entry[i].ebx = (table.entry[i].ebx & 0xffffff) | vcpu << 24;
		table.entry[i].ecx |= 1u << 24; /* TSC deadline: kvm.ko wants to be told */
	}
	must(ioctl(client->vcpu[vcpu], KVM_SET_CPUID2, &table), "KVM_SET_CPUID2");
}

void client_region(struct client *client, uint32_t slot, uint64_t gpa, uint64_t bytes, void *host,
		   uint32_t flags)
{
	struct kvm_userspace_memory_region region = {.slot = slot,
						     .guest_phys_addr = gpa,
						     .memory_size = bytes,
						     .userspace_addr = (uintptr_t)host,
						     .flags = flags};

	must(ioctl(client->vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void create(struct client *client, unsigned int vcpus, const uint8_t *entry, bool chips)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	unsigned int i;
	int bytes;

	memset(client, 0, sizeof(*client));
	client->kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	client->vm = must(ioctl(client->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	must(ioctl(client->vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	if (chips) {
		must(ioctl(client->vm, KVM_CREATE_IRQCHIP), "KVM_CREATE_IRQCHIP");
		must(ioctl(client->vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
	} else {
		must(ioctl(client->vm, KVM_ENABLE_CAP, &split), "split irqchip");
	}
	client->memory = allocate_memory(client);
	fill_memory(client);
	client_region(client, 0, 0, MEMORY_BYTES, client->memory, 0);
	bytes = must(ioctl(client->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	for (i = 0; i < vcpus; i++) {
		client->vcpu[i] = must(ioctl(client->vm, KVM_CREATE_VCPU, i), "KVM_CREATE_VCPU");
		client->run[i] =
			mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, client->vcpu[i], 0);
		must(client->run[i] == MAP_FAILED ? -1 : 0, "mmap of the run page");
		set_cpuid(client, i);
	}
	set_registers(client, entry);
}

void client_create(struct client *client, unsigned int vcpus, const uint8_t *entry)
{
	create(client, vcpus, entry, false);
}

void client_create_chips(struct client *client, unsigned int vcpus, const uint8_t *entry)
{
	create(client, vcpus, entry, true);
}

void client_destroy(struct client *client)
{
	int bytes = ioctl(client->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	unsigned int i;

	for (i = 0; i < MAX_VCPUS; i++) {
		if (!client->run[i])
			continue;
		munmap(client->run[i], bytes);
		close(client->vcpu[i]);
	}
	close(client->vm);
	close(client->kvm);
	munmap(client->memory, MEMORY_BYTES);
}

int client_run(struct client *client, unsigned int vcpu)
{
	return ioctl(client->vcpu[vcpu], KVM_RUN, 0) < 0 ? -1 : (int)client->run[vcpu]->exit_reason;
}

int client_run_for(struct client *client, unsigned int vcpu, unsigned int ms)
{
	/* Repeats, so that a signal just before KVM_RUN is not the last one. */
	const struct timeval after = {ms / 1000, ms % 1000 * 1000}, again = {0, 20000};
	const struct itimerval timer = {.it_value = after, .it_interval = again};
	const struct itimerval none = {0};
	int reason;

	setitimer(ITIMER_REAL, &timer, NULL);
	reason = client_run(client, vcpu);
	setitimer(ITIMER_REAL, &none, NULL);
	return reason;
}

uint32_t client_counter(const struct client *client, unsigned int vector)
{
	return *(volatile uint32_t *)(client->memory + COUNTERS + 4 * vector);
}

void client_msi(struct client *client, uint8_t vector)
{
	struct kvm_msi msi = {.address_lo = 0xfee00000, .data = vector};

	must(ioctl(client->vm, KVM_SIGNAL_MSI, &msi), "KVM_SIGNAL_MSI");
}
