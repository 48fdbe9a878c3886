// SPDX-License-Identifier: MIT
/*
 * Requests. Header and status byte are copied; data moves between guest memory and the page cache
 * by one preadv/pwritev, so a guest that changes its buffers meanwhile changes only its own data.
 *
 * While a request waits for room on the host disk the device lock is free (the wait releases it),
 * so a vCPU at the device's registers is not held up; if the driver resets the device meanwhile,
 * the request is forgotten.
 */
#include "virtio_block.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"

enum {
	SECTOR_SHIFT = 9,
	SECTOR_BYTES = 1 << SECTOR_SHIFT,
	QUEUE_SIZE = 128,
	DISCARD_SEGMENTS_MAX = 32,
	PCI_CLASS_STORAGE_OTHER = 0x018000,
};

#define DISCARD_SECTORS_MAX (1u << 22) /* 2 GiB in one piece */

static struct virtio_block *of_device(struct virtio_device *device)
{
	return (struct virtio_block *)device; /* first member */
}

static void read_config(struct virtio_device *device, unsigned offset, void *to, unsigned bytes)
{
	const struct virtio_block *block = of_device(device);
	const struct virtio_blk_config config = {
		.capacity = block->sectors,
		.seg_max = VIRTQUEUE_IOV_MAX - 2, /* less header and status */
		.blk_size = SECTOR_BYTES,
		.max_discard_sectors = DISCARD_SECTORS_MAX,
		.max_discard_seg = DISCARD_SEGMENTS_MAX,
		.discard_sector_alignment = 8,
		.max_write_zeroes_sectors = DISCARD_SECTORS_MAX,
		.max_write_zeroes_seg = DISCARD_SEGMENTS_MAX,
		.write_zeroes_may_unmap = 1,
	};

	memcpy(to, (const uint8_t *)&config + offset, bytes);
}

static bool in_range(const struct virtio_block *block, uint64_t sector, uint64_t bytes)
{
	return bytes % SECTOR_BYTES == 0 && sector <= block->sectors &&
	       bytes >> SECTOR_SHIFT <= block->sectors - sector;
}

/* preadv or pwritev until all is done; 0 or a negative errno. `iov` is consumed. */
static int transfer(int fd, bool write, struct iovec *iov, unsigned count, uint64_t offset)
{
	while (count) {
		ssize_t done = write ? pwritev(fd, iov, (int)count, (off_t)offset)
				     : preadv(fd, iov, (int)count, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -EIO; /* the file got shorter */
		offset += (uint64_t)done;
		while (count && (size_t)done >= iov->iov_len) {
			done -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (count) {
			iov->iov_base = (uint8_t *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return 0;
}

static int do_read(struct virtio_block *block, const struct virtqueue_chain *chain, uint64_t sector,
		   uint64_t bytes)
{
	struct iovec iov[VIRTQUEUE_IOV_MAX];
	unsigned count =
		virtqueue_slice(chain->iov + chain->out_count, chain->in_count, 0, bytes, iov);

	if (!in_range(block, sector, bytes))
		return -EINVAL;
	block->stats.reads++;
	block->stats.read_bytes += bytes;
	return transfer(block->fd, false, iov, count, sector << SECTOR_SHIFT);
}

static int do_write(struct virtio_block *block, const struct virtqueue_chain *chain,
		    uint64_t sector)
{
	const uint64_t head = sizeof(struct virtio_blk_outhdr);
	uint64_t bytes = chain->out_bytes - head;
	struct iovec iov[VIRTQUEUE_IOV_MAX];
	unsigned count = virtqueue_slice(chain->iov, chain->out_count, head, bytes, iov);

	if (block->config->read_only || !in_range(block, sector, bytes))
		return -EINVAL;
	block->stats.writes++;
	block->stats.written_bytes += bytes;
	int error = transfer(block->fd, true, iov, count, sector << SECTOR_SHIFT);

	/* A driver that cannot ask for a flush relies on every write being stable. */
	if (!error && !virtio_has(&block->device, VIRTIO_BLK_F_FLUSH) && fdatasync(block->fd))
		error = -errno;
	return error;
}

static int zero_range(const struct virtio_block *block, uint64_t offset, uint64_t bytes, bool unmap)
{
	int mode = unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

	if (fallocate(block->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes))
		return -errno;
	return 0;
}

/* Discard and write zeroes share their format: a list of ranges. */
static int do_ranges(struct virtio_block *block, const struct virtqueue_chain *chain, bool discard)
{
	const uint64_t head = sizeof(struct virtio_blk_outhdr);
	uint64_t bytes = chain->out_bytes - head;
	struct virtio_blk_discard_write_zeroes range;

	if (block->config->read_only || !bytes || bytes % sizeof(range) ||
	    bytes / sizeof(range) > DISCARD_SEGMENTS_MAX)
		return -EINVAL;
	block->stats.discards++;
	for (uint64_t at = 0; at < bytes; at += sizeof(range)) {
		virtqueue_read(chain, head + at, &range, sizeof(range));
		bool unmap = range.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
		uint64_t length = (uint64_t)range.num_sectors << SECTOR_SHIFT;

		if ((range.flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) || (discard && unmap))
			return -EOPNOTSUPP;
		if (!in_range(block, range.sector, length) ||
		    range.num_sectors > DISCARD_SECTORS_MAX)
			return -EINVAL;
		int error = length ? zero_range(block, range.sector << SECTOR_SHIFT, length,
						discard || unmap)
				   : 0;

		/* Discarding is advice: where the file system cannot, nothing is lost. */
		if (error && !(discard && error == -EOPNOTSUPP))
			return error;
	}
	return 0;
}

static int do_serial(const struct virtio_block *block, const struct virtqueue_chain *chain)
{
	_Static_assert(sizeof(block->device.name) >= VIRTIO_BLK_ID_BYTES, "serial number");
	virtqueue_write(chain, 0, block->device.name, VIRTIO_BLK_ID_BYTES);
	return 0;
}

/* 0 or a negative errno. All in parts but the last byte are for data. */
static int execute(struct virtio_block *block, const struct virtqueue_chain *chain,
		   const struct virtio_blk_outhdr *request)
{
	switch (request->type) {
	case VIRTIO_BLK_T_IN:
		return do_read(block, chain, request->sector, chain->in_bytes - 1);
	case VIRTIO_BLK_T_OUT:
		return do_write(block, chain, request->sector);
	case VIRTIO_BLK_T_FLUSH:
		block->stats.flushes++;
		return fdatasync(block->fd) ? -errno : 0;
	case VIRTIO_BLK_T_DISCARD:
		return do_ranges(block, chain, true);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return do_ranges(block, chain, false);
	case VIRTIO_BLK_T_GET_ID:
		return do_serial(block, chain);
	}
	return -EOPNOTSUPP;
}

static bool is_full(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/* Waits for resume (or a reset) with the device lock free. False: the device was reset. */
static bool wait_for_room(struct virtio_block *block, int error)
{
	unsigned resets = block->device.resets;
	char what[384];

	snprintf(what, sizeof(what), "%s %s: %s; make room on the host's disk, then resume the VM",
		 block->device.name, block->config->path, strerror(-error));
	block->waits = true;
	block->stuck(block->context, what);
	while (block->waits)
		pthread_cond_wait(&block->resumed, &block->device.lock);
	return block->device.resets == resets;
}

static void report_error(struct virtio_block *block, uint32_t type, int error)
{
	static struct say_limit limit;

	block->stats.errors++;
	if (error != -EINVAL && error != -EOPNOTSUPP)
		say_limited(&limit, "%s %s: request type %u: %s; the guest gets an I/O error",
			    block->device.name, block->config->path, type, strerror(-error));
}

/* False when the device was reset while the request waited. */
static bool serve(struct virtio_block *block, const struct virtqueue_chain *chain)
{
	struct virtio_blk_outhdr request;
	uint8_t status = VIRTIO_BLK_S_OK;
	int error;

	if (virtqueue_read(chain, 0, &request, sizeof(request)) != sizeof(request) ||
	    !chain->in_bytes) {
		virtio_need_reset(&block->device, 0);
		return true;
	}
	while (is_full(error = execute(block, chain, &request)))
		if (!wait_for_room(block, error))
			return false;
	if (error)
		report_error(block, request.type, error);
	if (error == -EOPNOTSUPP)
		status = VIRTIO_BLK_S_UNSUPP;
	else if (error)
		status = VIRTIO_BLK_S_IOERR;
	virtqueue_write(chain, chain->in_bytes - 1, &status, sizeof(status));

	bool has_data = !error && request.type == VIRTIO_BLK_T_IN;

	virtqueue_push(&block->device.queue[0].ring, chain,
		       has_data ? (uint32_t)chain->in_bytes : 1);
	return true;
}

static void doorbell(struct virtio_device *device, unsigned index)
{
	struct virtio_block *block = of_device(device);
	struct virtqueue *ring = &device->queue[index].ring;
	struct virtqueue_chain chain;

	do {
		virtqueue_doorbell_off(ring);
		while (virtio_is_running(device) &&
		       virtqueue_pop(ring, &chain) == VIRTQUEUE_CHAIN) {
			if (!serve(block, &chain))
				return;
			virtio_interrupt_queue(device, index);
		}
	} while (virtio_is_running(device) && virtqueue_doorbell_on(ring));
	if (ring->broken)
		virtio_need_reset(device, index);
}

static void reset(struct virtio_device *device)
{
	struct virtio_block *block = of_device(device);

	block->waits = false;
	pthread_cond_broadcast(&block->resumed);
}

static const struct virtio_class block_class = {
	.kind = "block",
	.id = VIRTIO_ID_BLOCK,
	.pci_class = PCI_CLASS_STORAGE_OTHER,
	.queues = 1,
	.queue_size = QUEUE_SIZE,
	.features = VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
		    VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH),
	.config_bytes = sizeof(struct virtio_blk_config),
	.read_config = read_config,
	.reset = reset,
	.doorbell = doorbell,
};

/* Two VMs must not write one disk: a writer locks alone, readers together. */
static int lock_image(const struct virtio_block *block, struct reason *why)
{
	const char *path = block->config->path;

	if (!flock(block->fd, (block->config->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return reason_set(why,
				  "disk %s is in use by another VM; stop that one, or open it "
				  "read-only (,ro) in both",
				  path);
	return reason_set(why, "disk %s cannot be locked: %s", path, strerror(errno));
}

int virtio_block_open(struct virtio_block *block, const struct config_disk *config,
		      struct reason *why)
{
	struct stat status;
	uint64_t bytes;

	block->config = config;
	block->fd = open(config->path, (config->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (block->fd < 0 || fstat(block->fd, &status))
		return reason_set(why, "disk %s: %s%s", config->path, strerror(errno),
				  errno == EACCES || errno == EROFS ? "; add ,ro to only read it"
								    : "");
	block->is_device = S_ISBLK(status.st_mode);
	bytes = (uint64_t)status.st_size;
	if (block->is_device && ioctl(block->fd, BLKGETSIZE64, &bytes))
		return reason_set(why, "disk %s: size: %s", config->path, strerror(errno));
	if (!block->is_device && !S_ISREG(status.st_mode))
		return reason_set(why, "disk %s is neither a file nor a block device",
				  config->path);
	if (bytes < SECTOR_BYTES)
		return reason_set(why, "disk %s has %llu bytes, less than one sector", config->path,
				  (unsigned long long)bytes);
	block->sectors = bytes >> SECTOR_SHIFT;
	return lock_image(block, why);
}

int virtio_block_init(struct virtio_block *block, unsigned index,
		      void (*stuck)(void *context, const char *what), void *context,
		      const struct guest_memory *memory, const struct kvm *kvm, struct irq *irq,
		      struct pci_bus *bus, struct reason *why)
{
	uint64_t features = block->config->read_only
				    ? VIRTIO_FEATURE(VIRTIO_BLK_F_RO)
				    : VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) |
					      VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	char name[32];

	block->stuck = stuck;
	block->context = context;
	pthread_cond_init(&block->resumed, NULL);
	snprintf(name, sizeof(name), "disk%u", index);
	if (loop_init(&block->loop, why))
		return -1;
	return virtio_init(&block->device, &block_class, name, features, memory, kvm, irq, bus,
			   &block->loop, why);
}

void virtio_block_resume(struct virtio_block *block)
{
	pthread_mutex_lock(&block->device.lock);
	block->waits = false;
	pthread_cond_broadcast(&block->resumed);
	pthread_mutex_unlock(&block->device.lock);
}
