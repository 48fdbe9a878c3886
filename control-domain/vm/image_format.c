// SPDX-License-Identifier: MIT
/*
 * Headers of qcow2 (QEMU docs/interop/qcow2.txt) and of VMDK ("Virtual Disk Format 5.0", hosted
 * sparse extents), and the magic numbers of what people mistake for a disk image.
 */
#include "image_format.h"

#include <stdbool.h>
#include <string.h>

#define SECTOR_BYTES	   512
#define QCOW2_EXTERNAL	   (1u << 2) /* incompatible feature: data in another file */
#define VMDK_DESCRIPTOR_AT 28
#define LARGEST_BYTES	   (64ull << 40)

const char *const image_format_names[] = {[IMAGE_REFUSED] = "none",
					  [IMAGE_RAW] = "raw",
					  [IMAGE_QCOW2] = "qcow2",
					  [IMAGE_VMDK] = "vmdk"};

static uint64_t found_bytes;

uint64_t image_format_bytes(void)
{
	return found_bytes;
}

static uint64_t big(const unsigned char *at, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | *at++;
	return value;
}

static uint64_t little(const unsigned char *at, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

static enum image_format refuse(struct reason *why, const char *text)
{
	reason_set(why, "%s", text);
	return IMAGE_REFUSED;
}

static enum image_format check_size(enum image_format format, uint64_t bytes, struct reason *why)
{
	found_bytes = bytes;
	if (!bytes || bytes > LARGEST_BYTES || bytes % SECTOR_BYTES)
		return refuse(why, "its header gives a size that no disk has; is it damaged?");
	return format;
}

static enum image_format check_qcow2(const unsigned char *head, size_t bytes, struct reason *why)
{
	uint64_t version = bytes >= 72 ? big(head + 4, 4) : 0;

	if (version != 2 && version != 3)
		return refuse(why, "a qcow2 image of a version that is not 2 or 3, or cut off");
	if (big(head + 8, 8))
		return refuse(why,
			      "this qcow2 image has a backing file, which is refused: merge the "
			      "two first with 'qemu-img convert -O raw'");
	if (big(head + 32, 4))
		return refuse(why, "this qcow2 image is encrypted; decrypt it first with 'qemu-img "
				   "convert'");
	if (version == 3 && bytes >= 80 && (big(head + 72, 8) & QCOW2_EXTERNAL))
		return refuse(why,
			      "this qcow2 image keeps its data in another file, which is refused: "
			      "merge the two first with 'qemu-img convert -O raw'");
	return check_size(IMAGE_QCOW2, big(head + 24, 8), why);
}

static bool has_text(const unsigned char *head, size_t bytes, const char *text)
{
	return memmem(head, bytes, text, strlen(text)) != NULL;
}

static enum image_format check_vmdk(const unsigned char *head, size_t bytes, struct reason *why)
{
	uint64_t at = bytes >= SECTOR_BYTES ? little(head + VMDK_DESCRIPTOR_AT, 8) : 0;

	if (!at || at >= bytes / SECTOR_BYTES)
		return refuse(why,
			      "a VMDK image without a descriptor in its first 64 KiB; 'qemu-img "
			      "convert -O raw' elsewhere may read it");
	head += at * SECTOR_BYTES;
	bytes -= at * SECTOR_BYTES;
	if (has_text(head, bytes, "parentFileNameHint") ||
	    !has_text(head, bytes, "parentCID=ffffffff"))
		return refuse(why,
			      "this VMDK image has a parent file, which is refused: merge the two "
			      "first");
	return check_size(IMAGE_VMDK, little(head - at * SECTOR_BYTES + 12, 8) * SECTOR_BYTES, why);
}

static const struct {
	const char *magic;
	unsigned int at;
	const char *text;
} others[] = {
	{"CD001", 0x8001,
	 "this is an installer's CD image; booting from one needs firmware, which guests do not have "
	 "yet: take the distribution's cloud image"},
	{"# Disk DescriptorFile", 0,
	 "this VMDK only names other files, which is refused: take the single-file form"},
	{"conectix", 0, "VHD images are not read; convert with 'qemu-img convert -O raw'"},
	{"vhdxfile", 0, "VHDX images are not read; convert with 'qemu-img convert -O raw'"},
	{"\x1f\x8b", 0, "this is compressed with gzip; unpack it first"},
	{"\xfd"
	 "7zXZ",
	 0, "this is compressed with xz; unpack it first"},
	{"\x28\xb5\x2f\xfd", 0, "this is compressed with zstd; unpack it first"},
	{"PK\x03\x04", 0, "this is a zip archive; unpack it first"},
};

enum image_format image_format_of(const unsigned char *head, size_t bytes, struct reason *why)
{
	if (bytes < SECTOR_BYTES)
		return refuse(why, "a file of less than 512 bytes is no disk image");
	if (!memcmp(head, "QFI\xfb", 4))
		return check_qcow2(head, bytes, why);
	if (!memcmp(head, "KDMV", 4))
		return check_vmdk(head, bytes, why);
	for (unsigned int i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i].at + strlen(others[i].magic) <= bytes &&
		    !memcmp(head + others[i].at, others[i].magic, strlen(others[i].magic)))
			return refuse(why, others[i].text);
	return IMAGE_RAW;
}
