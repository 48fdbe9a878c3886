// SPDX-License-Identifier: MIT
/*
 * The smallest client of the KVM API that runs guest.c, on Hornero's driver and on Linux's KVM
 * alike: "bench-client GUEST". Its doorbells are ioeventfds that nobody reads, so that what they
 * cost is the way there and nothing behind it; other ports and memory it answers itself, at once. A
 * mark stands before KVM_CREATE_VM: what comes up to the guest's own first one is a VM's creation.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/ioctl.h"
#include "mark.h"

#define MEMORY_BYTES (8u << 20)
#define GDT	     0x1000
#define START_INFO   0x2000
#define CMDLINE	     0x3000
#define BELL_PORT    0x700
#define BELL	     0xd0000000u
#define BELL_4	     0xd0001000u
#define SLEEP_PORT   0x600
#define SERIAL	     0x3f8

static int must(int result, const char *what)
{
	if (result >= 0)
		return result;
	printf("bench-client: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint8_t *allocate(int kvm, int vm)
{
	uint64_t bytes = MEMORY_BYTES;
	void *memory;

	if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_HORNERO) > 0) {
		int fd = must(ioctl(vm, HORNERO_CREATE_POOL_FILE, &bytes), "pool file");

		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	} else {
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
	}
	must(memory == MAP_FAILED ? -1 : 0, "mmap");
	return memory;
}

/* The ELF file at its addresses; returns its entry. */
static uint32_t load(uint8_t *memory, const uint8_t *file)
{
	const Elf64_Ehdr *head = (const Elf64_Ehdr *)file;
	const Elf64_Phdr *part = (const Elf64_Phdr *)(file + head->e_phoff);

	for (int i = 0; i < head->e_phnum; i++)
		if (part[i].p_type == PT_LOAD)
			memcpy(memory + part[i].p_paddr, file + part[i].p_offset, part[i].p_filesz);
	return (uint32_t)head->e_entry;
}

static void set_registers(int vcpu, uint32_t entry)
{
	const struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
	struct kvm_segment data = code;
	struct kvm_regs regs = {.rip = entry, .rbx = START_INFO, .rflags = 2};
	struct kvm_sregs sregs;

	data.selector = 16;
	data.type = 3;
	must(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt = (struct kvm_dtable){.base = GDT, .limit = 23};
	sregs.cr0 |= 1;
	must(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void bind(int vm, uint64_t address, uint32_t bytes, uint32_t flags)
{
	struct kvm_ioeventfd bell = {.addr = address,
				     .len = bytes,
				     .fd = must(eventfd(0, 0), "eventfd"),
				     .flags = flags};

	must(ioctl(vm, KVM_IOEVENTFD, &bell), "KVM_IOEVENTFD");
}

static int create(const uint8_t *file, struct kvm_run **run)
{
	static const uint64_t gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
	struct kvm_userspace_memory_region region = {.memory_size = MEMORY_BYTES};
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[128];
	} cpuid = {.head.nent = 128};
	uint32_t cmdline = CMDLINE, entry;
	uint8_t *memory;
	int vm, vcpu;

	mark(MARK_ANEW);
	vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	must(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	must(ioctl(vm, KVM_ENABLE_CAP, &split), "split irqchip");
	memory = allocate(kvm, vm);
	entry = load(memory, file);
	memcpy(memory + GDT, gdt, sizeof(gdt));
	memcpy(memory + START_INFO + 24, &cmdline, sizeof(cmdline));
	memcpy(memory + CMDLINE, "b", 2);
	region.userspace_addr = (uintptr_t)memory;
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	bind(vm, BELL_PORT, 1, KVM_IOEVENTFD_FLAG_PIO);
	bind(vm, BELL, 0, 0);
	bind(vm, BELL_4, 4, 0);
	vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	must(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid), "KVM_GET_SUPPORTED_CPUID");
	must(ioctl(vcpu, KVM_SET_CPUID2, &cpuid), "KVM_SET_CPUID2");
	*run = mmap(NULL, must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE"),
		    PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	must(*run == MAP_FAILED ? -1 : 0, "mmap of the run page");
	set_registers(vcpu, entry);
	return vcpu;
}

/* What a device would answer: nothing but ones. Returns false at power off. */
static int answer(struct kvm_run *run)
{
	if (run->exit_reason == KVM_EXIT_MMIO) {
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		return 1;
	}
	if (run->exit_reason != KVM_EXIT_IO) {
		printf("bench-client: exit %u\n", run->exit_reason);
		exit(1);
	}
	if (run->io.direction == KVM_EXIT_IO_IN)
		memset((char *)run + run->io.data_offset, 0xff, run->io.size * run->io.count);
	else if (run->io.port == SERIAL)
		putchar(*((char *)run + run->io.data_offset));
	return run->io.port != SLEEP_PORT;
}

int main(int argc, char **argv)
{
	static uint8_t file[1 << 20];
	struct kvm_run *run;
	int fd, vcpu;

	if (argc != 2)
		return 2;
	fd = must(open(argv[1], O_RDONLY), argv[1]);
	must((int)read(fd, file, sizeof(file)), argv[1]);
	vcpu = create(file, &run);
	do
		must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	while (answer(run));
	return 0;
}
