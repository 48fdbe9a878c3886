// SPDX-License-Identifier: MIT
// sources: $(wildcard control-domain/vmm/virt*.c) $(addprefix control-domain/vmm/,msix.c pci.c)
// flags: -Icontrol-domain/vmm -D_GNU_SOURCE -pthread
/*
 * Whole virtio devices under a hostile guest. The first byte picks the device, the rest is a
 * program of accesses: registers, configuration space, guest memory, doorbells. Interrupts,
 * ioeventfds and the event loop are replaced by fakes here; disk and card talk to a memory file and
 * a socket. Nothing may crash, hang, touch memory outside the guest's, or leave a lock behind.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "layout.h"
#include "say.h"
#include "virtio_block.h"
#include "virtio_console.h"
#include "virtio_entropy.h"
#include "virtio_net.h"

enum { MEMORY = 1 << 16, SOURCES_MAX = 8, DISK_BYTES = 1 << 16, STEPS_MAX = 400 };
enum { DESC = 0x1000, AVAIL = 0x2000, USED = 0x3000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* ---- fakes */

static struct loop_source *source[SOURCES_MAX];
static unsigned sources;
static unsigned next_gsi;

int loop_init(struct loop *loop, struct reason *why)
{
	(void)loop;
	(void)why;
	return 0;
}

int loop_add(struct loop *loop, struct loop_source *added, uint32_t events)
{
	(void)loop;
	(void)events;
	if (sources < SOURCES_MAX)
		source[sources++] = added;
	return 0;
}

void loop_remove(struct loop *loop, struct loop_source *removed)
{
	(void)loop;
	for (unsigned i = 0; i < sources; i++)
		if (source[i] == removed)
			source[i--] = source[--sources];
}

int irq_add(struct irq *irq, struct reason *why)
{
	(void)irq;
	(void)why;
	return (int)next_gsi++;
}

void irq_set_message(struct irq *irq, unsigned gsi, bool used, uint64_t address, uint32_t data)
{
	(void)irq;
	(void)used;
	(void)address;
	(void)data;
	if (gsi >= next_gsi)
		abort();
}

void irq_raise(struct irq *irq, unsigned gsi)
{
	(void)irq;
	if (gsi >= next_gsi)
		abort();
}

bool kvm_doorbell(const struct kvm *kvm, uint64_t gpa, unsigned bytes, int event_fd, bool on)
{
	(void)kvm;
	(void)bytes;
	(void)event_fd;
	(void)on;
	if (gpa < LAYOUT_PCI_BASE || gpa >= LAYOUT_PCI_BASE + LAYOUT_PCI_BYTES)
		abort();
	return true;
}

void say_warn(const char *format, ...)
{
	(void)format;
}

void say_limited(struct say_limit *limit, const char *format, ...)
{
	(void)limit;
	(void)format;
}

void console_print(struct console *console, enum console_port port, const uint8_t *data,
		   size_t bytes)
{
	uint8_t copy[256];

	(void)console;
	(void)port;
	for (size_t i = 0; i < bytes; i++)
		copy[i % sizeof(copy)] = data[i];
	if (bytes > sizeof(copy) && !copy[0])
		copy[1] = 0; /* reading is what matters: the sanitizer watches */
}

bool console_has_room(struct console *console)
{
	(void)console;
	return true;
}

void console_reset(struct console *console)
{
	(void)console;
}

static const struct console_port_ops *typing;
static void *typing_context;

void console_feed(struct console *console)
{
	(void)console;
	typing->input(typing_context, (const uint8_t *)"typed", 5);
}

void console_connect(struct console *console, enum console_port port,
		     const struct console_port_ops *ops, void *context)
{
	(void)console;
	(void)port;
	typing = ops;
	typing_context = context;
}

/* ---- the machine */

static struct {
	struct guest_memory memory;
	uint8_t *ram;
	struct irq irq;
	struct kvm kvm;
	struct pci_bus bus;
	struct pci_device bridge;
	struct loop loop;
	struct console console;
	struct virtio_block block;
	struct virtio_net net;
	struct virtio_console terminal;
	struct virtio_entropy entropy;
	struct virtio_device *device;
	int disk_fd;
	int tap[2];
} machine;

static const struct config_disk disk_config = {.path = "disk"};
static const struct config_disk read_only_config = {.path = "disk", .read_only = true};
static const struct config_net net_config = {.tap = "tap", .mac = {2}};

static void stuck(void *context, const char *what)
{
	(void)context;
	(void)what;
	abort(); /* a memory file is never full */
}

static void open_host_ends(void)
{
	machine.disk_fd = memfd_create("disk", 0);
	if (machine.disk_fd < 0 || ftruncate(machine.disk_fd, DISK_BYTES) ||
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, machine.tap))
		abort();
	machine.ram = malloc(MEMORY);
}

static void make_block(bool read_only)
{
	machine.block =
		(struct virtio_block){.config = read_only ? &read_only_config : &disk_config,
				      .fd = machine.disk_fd,
				      .sectors = DISK_BYTES >> 9};
	virtio_block_init(&machine.block, 0, stuck, NULL, &machine.memory, &machine.kvm,
			  &machine.irq, &machine.bus, NULL);
	machine.device = &machine.block.device;
}

static void make_device(unsigned choice)
{
	switch (choice) {
	case 0:
	case 1:
		make_block(choice);
		return;
	case 2:
		machine.net = (struct virtio_net){.config = &net_config, .tap.fd = machine.tap[0]};
		virtio_net_init(&machine.net, 0, &machine.memory, &machine.kvm, &machine.irq,
				&machine.bus, NULL);
		machine.device = &machine.net.device;
		return;
	case 3:
		machine.terminal = (struct virtio_console){0};
		virtio_console_init(&machine.terminal, &machine.console, &machine.memory,
				    &machine.kvm, &machine.irq, &machine.bus, NULL);
		machine.device = &machine.terminal.device;
		return;
	}
	machine.entropy = (struct virtio_entropy){0};
	virtio_entropy_init(&machine.entropy, &machine.loop, &machine.memory, &machine.kvm,
			    &machine.irq, &machine.bus, NULL);
	machine.device = &machine.entropy.device;
}

static void make_machine(unsigned choice)
{
	sources = next_gsi = 0;
	if (!machine.ram)
		open_host_ends();
	memset(machine.ram, 0, MEMORY);
	machine.memory = (struct guest_memory){
		.count = 1, .range = {{.bytes = MEMORY, .host = machine.ram}}, .bytes = MEMORY};
	pci_bus_init(&machine.bus);
	machine.bridge = (struct pci_device){0};
	pci_device_init(&machine.bridge, NULL, &(struct pci_id){.vendor = 1});
	pci_add(&machine.bus, &machine.bridge);
	make_device(choice);
}

static void unmake_machine(void)
{
	for (unsigned i = 0; i < machine.device->class->queues; i++)
		close(machine.device->queue[i].doorbell.fd);
	/* Whoever forgot to unlock is found here. */
	if (pthread_mutex_trylock(&machine.device->lock) ||
	    pthread_mutex_trylock(&machine.device->msix.lock) ||
	    pthread_mutex_trylock(&machine.bus.lock))
		abort();
}

/* ---- the guest */

static void bar_write(uint32_t offset, unsigned bytes, uint64_t value)
{
	machine.device->pci.ops->write(&machine.device->pci, offset, bytes, value);
}

/* What a driver does first, so that the fuzzer need not find it: negotiation, queues, go. */
static void set_up(uint64_t features)
{
	bar_write(0x14, 1, 0);
	bar_write(0x14, 1, 3);
	for (unsigned half = 0; half < 2; half++) {
		bar_write(0x08, 4, half);
		bar_write(0x0c, 4,
			  (uint32_t)((features & machine.device->offered) >> (32 * half)) | half);
	}
	bar_write(0x14, 1, 11);
	for (unsigned queue = 0; queue < machine.device->class->queues; queue++) {
		bar_write(0x16, 2, queue);
		bar_write(0x18, 2, 8);
		bar_write(0x1a, 2, queue);
		bar_write(0x20, 8, DESC + queue * 0x4000);
		bar_write(0x28, 8, AVAIL + queue * 0x4000);
		bar_write(0x30, 8, USED + queue * 0x4000);
		bar_write(0x1c, 2, 1);
	}
	bar_write(0x14, 1, 15);
}

static void run_loop(void)
{
	static const uint8_t packet[64];

	if (machine.device == &machine.net.device &&
	    send(machine.tap[1], packet, sizeof(packet), MSG_DONTWAIT) < 0)
		return; /* full: it has enough to read */
	for (unsigned i = 0; i < sources && i < SOURCES_MAX; i++)
		source[i]->ready(source[i], 0);
	while (machine.device == &machine.net.device &&
	       recv(machine.tap[1], machine.ram, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0)
		;
}

struct program {
	const uint8_t *at, *end;
};

static uint64_t take(struct program *program, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes && program->at < program->end; i++)
		value |= (uint64_t)*program->at++ << (8 * i);
	return value;
}

static void poke_memory(struct program *program)
{
	uint32_t offset = (uint32_t)take(program, 2);
	unsigned bytes = (unsigned)take(program, 1) & 31;

	while (bytes-- && offset < MEMORY)
		machine.ram[offset++] = (uint8_t)take(program, 1);
}

/* One descriptor and its place in the ring, well-formed but for what the program says. */
static void offer_buffer(struct program *program)
{
	uint8_t *base = machine.ram + (take(program, 1) & 1) * 0x4000;
	struct vring_desc *desc = (struct vring_desc *)(base + DESC);
	uint16_t *avail = (uint16_t *)(base + AVAIL);

	for (unsigned i = 0; i < 3; i++)
		desc[i] = (struct vring_desc){.addr = take(program, 2),
					      .len = (uint32_t)take(program, 2),
					      .flags = (uint16_t)take(program, 1),
					      .next = (uint16_t)(i + 1)};
	avail[2 + avail[1] % 8] = 0;
	avail[1]++;
}

static void step(struct program *program)
{
	const unsigned sizes[] = {1, 2, 4, 8};
	unsigned op = (unsigned)take(program, 1), bytes = sizes[op >> 6];
	uint32_t offset;
	uint64_t value;

	switch (op & 7) {
	case 0:
		offset = (uint32_t)take(program, 2) % 0x7ff8;
		value = take(program, bytes);
		bar_write(offset & -bytes, bytes, value);
		return;
	case 1:
		offset = (uint32_t)take(program, 2) % 0x7ff8;
		machine.device->pci.ops->read(&machine.device->pci, offset & -bytes, bytes);
		return;
	case 2:
		offset = (uint32_t)take(program, 1);
		pci_ecam_write(&machine.bus, 0x8000 + offset, bytes, take(program, bytes));
		return;
	case 3:
		pci_ecam_read(&machine.bus, 0x8000 + take(program, 1), bytes);
		return;
	case 4:
		poke_memory(program);
		return;
	case 5:
		offer_buffer(program);
		return;
	case 6:
		run_loop();
		return;
	case 7:
		set_up(take(program, bytes) | ~0ull << 29);
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct program program = {.at = data, .end = data + bytes};

	make_machine((unsigned)take(&program, 1) % 5);
	for (unsigned i = 0; i < STEPS_MAX && program.at < program.end; i++)
		step(&program);
	run_loop();
	unmake_machine();
	return 0;
}
