// SPDX-License-Identifier: MIT
/*
 * Output chains go into the console's ring straight from guest memory, input waits in the console
 * until the driver offers buffers. Both run in the main loop.
 */
#include "virtio_console.h"

#include <linux/virtio_console.h>
#include <string.h>

enum { QUEUE_INPUT, QUEUE_OUTPUT };

enum { PCI_CLASS_COMMUNICATION_OTHER = 0x078000 };

static struct virtio_console *of_device(struct virtio_device *device)
{
	return (struct virtio_console *)device; /* first member */
}

static void read_config(struct virtio_device *device, unsigned offset, void *to, unsigned bytes)
{
	const struct virtio_console *virtio = of_device(device);
	const struct virtio_console_config config = {.cols = virtio->columns, .rows = virtio->rows};

	memcpy(to, (const uint8_t *)&config + offset, bytes);
}

static void write_config(struct virtio_device *device, unsigned offset, const void *from,
			 unsigned bytes)
{
	/* Emergency write: the lowest byte is a character, usable without any queue. */
	if (bytes && offset == offsetof(struct virtio_console_config, emerg_wr))
		console_print(of_device(device)->console, CONSOLE_SERIAL, from, 1);
}

/* A guest that prints without end gets its turns, like everything else in the main loop. */
enum { TURN_CHAINS = 64 };

/*
 * Linux reads the window size at a configuration interrupt only, and an early one finds it without
 * a port (a BUG there). The first output says that the port is complete.
 */
static void tell_size_once(struct virtio_console *virtio)
{
	if (virtio->size_told)
		return;
	virtio->size_told = true;
	virtio_interrupt_config(&virtio->device);
}

static void print_output(struct virtio_console *virtio)
{
	struct virtqueue *ring = &virtio->device.queue[QUEUE_OUTPUT].ring;
	struct virtqueue_chain chain;
	unsigned turn = TURN_CHAINS;

	tell_size_once(virtio);
	do {
		virtqueue_doorbell_off(ring);
		while (turn && console_has_room(virtio->console) &&
		       virtqueue_pop(ring, &chain) == VIRTQUEUE_CHAIN) {
			for (unsigned i = 0; i < chain.out_count; i++)
				console_print(virtio->console, CONSOLE_VIRTIO,
					      chain.iov[i].iov_base, chain.iov[i].iov_len);
			virtqueue_push(ring, &chain, 0);
			turn--;
		}
		/* Without room the doorbell stays off; console's resume rings it. */
	} while (turn && console_has_room(virtio->console) && virtqueue_doorbell_on(ring));
	if (!turn)
		virtio_kick(&virtio->device, QUEUE_OUTPUT);
	if (ring->broken)
		virtio_need_reset(&virtio->device, QUEUE_OUTPUT);
	virtio_interrupt_queue(&virtio->device, QUEUE_OUTPUT);
}

static void doorbell(struct virtio_device *device, unsigned index)
{
	struct virtio_console *virtio = of_device(device);

	if (index == QUEUE_OUTPUT) {
		print_output(virtio);
		return;
	}
	/* New input buffers. The console calls back into take_input(), which locks. */
	pthread_mutex_unlock(&device->lock);
	console_feed(virtio->console);
	pthread_mutex_lock(&device->lock);
}

static size_t take_input_locked(struct virtio_console *virtio, const uint8_t *data, size_t bytes)
{
	struct virtqueue *ring = &virtio->device.queue[QUEUE_INPUT].ring;
	struct virtqueue_chain chain;
	unsigned turn = TURN_CHAINS;
	size_t done = 0;

	if (!virtio_is_running(&virtio->device) || !ring->enabled)
		return 0;
	do {
		while (turn && done < bytes && virtqueue_pop(ring, &chain) == VIRTQUEUE_CHAIN) {
			size_t now = virtqueue_write(&chain, 0, data + done, bytes - done);

			virtqueue_push(ring, &chain, (uint32_t)now);
			done += now;
			turn--;
		}
	} while (turn && done < bytes && virtqueue_doorbell_on(ring));
	if (!turn)
		virtio_kick(&virtio->device, QUEUE_INPUT);
	if (ring->broken)
		virtio_need_reset(&virtio->device, QUEUE_INPUT);
	virtio_interrupt_queue(&virtio->device, QUEUE_INPUT);
	return done;
}

static size_t take_input(void *context, const uint8_t *data, size_t bytes)
{
	struct virtio_console *virtio = context;

	pthread_mutex_lock(&virtio->device.lock);
	size_t done = take_input_locked(virtio, data, bytes);

	pthread_mutex_unlock(&virtio->device.lock);
	return done;
}

static void resume(void *context)
{
	virtio_kick(&((struct virtio_console *)context)->device, QUEUE_OUTPUT);
}

static void resize(void *context, uint16_t columns, uint16_t rows)
{
	struct virtio_console *virtio = context;

	pthread_mutex_lock(&virtio->device.lock);
	virtio->columns = columns;
	virtio->rows = rows;
	if (virtio->size_told)
		virtio_interrupt_config(&virtio->device);
	pthread_mutex_unlock(&virtio->device.lock);
}

static const struct console_port_ops port_ops = {
	.input = take_input,
	.resume = resume,
	.resize = resize,
};

static void reset(struct virtio_device *device)
{
	of_device(device)->size_told = false;
	console_reset(of_device(device)->console);
}

static const struct virtio_class console_class = {
	.kind = "console",
	.id = VIRTIO_ID_CONSOLE,
	.pci_class = PCI_CLASS_COMMUNICATION_OTHER,
	.queues = 2,
	.queue_size = 64,
	.features = VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE) |
		    VIRTIO_FEATURE(VIRTIO_CONSOLE_F_EMERG_WRITE),
	.config_bytes = sizeof(struct virtio_console_config),
	.read_config = read_config,
	.write_config = write_config,
	.reset = reset,
	.doorbell = doorbell,
};

int virtio_console_init(struct virtio_console *virtio, struct console *console,
			const struct guest_memory *memory, const struct kvm *kvm, struct irq *irq,
			struct pci_bus *bus, struct reason *why)
{
	virtio->console = console;
	virtio->columns = 80;
	virtio->rows = 24;
	if (virtio_init(&virtio->device, &console_class, "console", 0, memory, kvm, irq, bus,
			console->loop, why))
		return -1;
	console_connect(console, CONSOLE_VIRTIO, &port_ops, virtio);
	return 0;
}
