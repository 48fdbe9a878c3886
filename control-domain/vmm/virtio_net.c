// SPDX-License-Identifier: MIT
/*
 * Packets in both directions, each by one readv or writev between tap and guest memory. A turn is
 * bounded, so that neither direction starves the other. While the guest has no buffers the tap is
 * not read: the kernel's queue fills up and drops, as a card would.
 */
#include "virtio_net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "say.h"

enum { QUEUE_RECEIVE, QUEUE_SEND };

enum { TURN_PACKETS = 128, PCI_CLASS_ETHERNET = 0x020000 };

#define HEADER_BYTES sizeof(struct virtio_net_hdr_mrg_rxbuf)

static struct virtio_net *of_device(struct virtio_device *device)
{
	return (struct virtio_net *)device; /* first member */
}

static void read_config(struct virtio_device *device, unsigned offset, void *to, unsigned bytes)
{
	const struct virtio_net *net = of_device(device);
	struct virtio_net_config config = {.status = net->link_up ? VIRTIO_NET_S_LINK_UP : 0};

	memcpy(config.mac, net->config->mac, sizeof(config.mac));
	memcpy(to, (const uint8_t *)&config + offset, bytes);
}

static void watch_tap(struct virtio_net *net, bool on)
{
	if (net->tap_watched == on)
		return;
	net->tap_watched = on;
	if (on)
		loop_add(&net->loop, &net->tap, EPOLLIN);
	else
		loop_remove(&net->loop, &net->tap);
}

static void lose_link(struct virtio_net *net, int error)
{
	say_warn("%s: tap %s: %s; the guest's link is down", net->device.name, net->config->tap,
		 strerror(error));
	net->link_up = false;
	watch_tap(net, false);
	virtio_interrupt_config(&net->device);
}

/* One packet into the guest. False: nothing more to do for now. */
static bool receive_one(struct virtio_net *net, struct virtqueue *ring)
{
	struct virtqueue_chain chain;

	if (virtqueue_pop(ring, &chain) != VIRTQUEUE_CHAIN) {
		/* No buffers: leave packets in the tap until the driver rings. */
		watch_tap(net, false);
		return !ring->broken && virtqueue_doorbell_on(ring);
	}
	if (chain.in_bytes < HEADER_BYTES) {
		virtio_need_reset(&net->device, QUEUE_RECEIVE);
		return false;
	}
	ssize_t bytes = readv(net->tap.fd, chain.iov + chain.out_count, (int)chain.in_count);

	if (bytes < (ssize_t)HEADER_BYTES) {
		virtqueue_unpop(ring);
		if (bytes < 0 && errno != EAGAIN)
			lose_link(net, errno);
		else
			watch_tap(net, true);
		return false;
	}
	/* "One buffer" is part of the header in virtio 1.x. */
	const uint16_t buffers = 1;

	virtqueue_write(&chain, offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers), &buffers,
			sizeof(buffers));
	virtqueue_push(ring, &chain, (uint32_t)bytes);
	net->stats.received++;
	net->stats.received_bytes += (uint64_t)bytes - HEADER_BYTES;
	return true;
}

static void receive(struct virtio_net *net)
{
	struct virtqueue *ring = &net->device.queue[QUEUE_RECEIVE].ring;
	unsigned turn = TURN_PACKETS;

	virtqueue_doorbell_off(ring);
	while (turn && receive_one(net, ring))
		turn--;
	if (!turn)
		watch_tap(net, true); /* epoll brings us back, after others had their turn */
	if (ring->broken)
		virtio_need_reset(&net->device, QUEUE_RECEIVE);
	virtio_interrupt_queue(&net->device, QUEUE_RECEIVE);
}

static void send_one(struct virtio_net *net, const struct virtqueue_chain *chain)
{
	ssize_t bytes = writev(net->tap.fd, chain->iov, (int)chain->out_count);

	if (bytes < 0) {
		net->stats.dropped++;
		if (errno == EBADFD)
			lose_link(net, errno);
		return;
	}
	net->stats.sent++;
	net->stats.sent_bytes += (uint64_t)bytes - HEADER_BYTES;
}

static void send_all(struct virtio_net *net)
{
	struct virtqueue *ring = &net->device.queue[QUEUE_SEND].ring;
	struct virtqueue_chain chain;
	unsigned turn = TURN_PACKETS;

	do {
		virtqueue_doorbell_off(ring);
		while (turn && virtqueue_pop(ring, &chain) == VIRTQUEUE_CHAIN) {
			if (net->link_up)
				send_one(net, &chain);
			virtqueue_push(ring, &chain, 0);
			turn--;
		}
	} while (turn && virtqueue_doorbell_on(ring));
	if (!turn)
		virtio_kick(&net->device, QUEUE_SEND);
	if (ring->broken)
		virtio_need_reset(&net->device, QUEUE_SEND);
	virtio_interrupt_queue(&net->device, QUEUE_SEND);
}

static void doorbell(struct virtio_device *device, unsigned index)
{
	struct virtio_net *net = of_device(device);

	if (index == QUEUE_SEND)
		send_all(net);
	else if (net->link_up)
		watch_tap(net, true);
}

static void tap_ready(struct loop_source *source, uint32_t events)
{
	struct virtio_net *net =
		(struct virtio_net *)((char *)source - offsetof(struct virtio_net, tap));

	(void)events;
	pthread_mutex_lock(&net->device.lock);
	if (virtio_is_running(&net->device) && net->device.queue[QUEUE_RECEIVE].ring.enabled)
		receive(net);
	else
		watch_tap(net, false);
	pthread_mutex_unlock(&net->device.lock);
}

/* Tells the tap which offloads the driver understands. */
static void start(struct virtio_device *device)
{
	struct virtio_net *net = of_device(device);
	unsigned offloads = 0;

	if (virtio_has(device, VIRTIO_NET_F_GUEST_CSUM)) {
		offloads |= TUN_F_CSUM;
		if (virtio_has(device, VIRTIO_NET_F_GUEST_TSO4))
			offloads |= TUN_F_TSO4;
		if (virtio_has(device, VIRTIO_NET_F_GUEST_TSO6))
			offloads |= TUN_F_TSO6;
	}
	if (ioctl(net->tap.fd, TUNSETOFFLOAD, offloads))
		say_warn("%s: tap %s: offloads: %s", device->name, net->config->tap,
			 strerror(errno));
}

static void reset(struct virtio_device *device)
{
	struct virtio_net *net = of_device(device);

	net->link_up = true;
	watch_tap(net, false);
}

static const struct virtio_class net_class = {
	.kind = "net",
	.id = VIRTIO_ID_NET,
	.pci_class = PCI_CLASS_ETHERNET,
	.queues = 2,
	.queue_size = VIRTQUEUE_SIZE_MAX,
	.features =
		VIRTIO_FEATURE(VIRTIO_NET_F_MAC) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS) |
		VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) |
		VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) |
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6),
	.config_bytes = sizeof(struct virtio_net_config),
	.read_config = read_config,
	.start = start,
	.reset = reset,
	.doorbell = doorbell,
};

int virtio_net_open(struct virtio_net *net, const struct config_net *config, struct reason *why)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int header = HEADER_BYTES;

	net->config = config;
	net->tap.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (net->tap.fd < 0)
		return reason_set(why, "net tap=%s: /dev/net/tun: %s; load the module tun",
				  config->tap, strerror(errno));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", config->tap);
	if (ioctl(net->tap.fd, TUNSETIFF, &request))
		return reason_set(why, "net tap=%s: %s%s", config->tap, strerror(errno),
				  errno == EBUSY ? "; another VM uses it"
						 : "; make it with 'ip tuntap add mode tap'");
	if (ioctl(net->tap.fd, TUNSETVNETHDRSZ, &header))
		return reason_set(why, "net tap=%s: header size: %s", config->tap, strerror(errno));
	return 0;
}

int virtio_net_init(struct virtio_net *net, unsigned index, const struct guest_memory *memory,
		    const struct kvm *kvm, struct irq *irq, struct pci_bus *bus, struct reason *why)
{
	char name[32];

	net->tap.ready = tap_ready;
	net->link_up = true;
	snprintf(name, sizeof(name), "net%u", index);
	if (loop_init(&net->loop, why))
		return -1;
	return virtio_init(&net->device, &net_class, name, 0, memory, kvm, irq, bus, &net->loop,
			   why);
}
