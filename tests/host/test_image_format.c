// SPDX-License-Identifier: MIT
// sources: control-domain/vm/image_format.c
// flags: -D_GNU_SOURCE
/*
 * Disk images from strangers: which are taken, and that none that names another file is.
 */
#include "../../control-domain/vm/image_format.h"
#include "test.h"

static unsigned char head[65536];
static struct reason why;

static void put(unsigned int at, uint64_t value, unsigned int bytes)
{
	while (bytes--)
		head[at++] = (unsigned char)(value >> (8 * bytes));
}

static void make_qcow2(unsigned int version)
{
	memset(head, 0, sizeof(head));
	memcpy(head, "QFI\xfb", 4);
	put(4, version, 4);
	put(24, 1 << 30, 8);
}

static void make_vmdk(const char *descriptor)
{
	memset(head, 0, sizeof(head));
	memcpy(head, "KDMV", 4);
	head[12 + 2] = 0x10; /* capacity: 100000h sectors */
	head[28] = 1;
	strcpy((char *)head + 512, descriptor);
}

static bool refuses(size_t bytes, const char *said)
{
	why.text[0] = '\0';
	return image_format_of(head, bytes, &why) == IMAGE_REFUSED && strstr(why.text, said);
}

TEST(qcow2)
{
	make_qcow2(3);
	CHECK_EQ(image_format_of(head, sizeof(head), &why), IMAGE_QCOW2);
	CHECK_EQ(image_format_bytes(), 1 << 30);
	CHECK(refuses(64, "less than 512"));
	make_qcow2(4);
	CHECK(refuses(sizeof(head), "version"));
	make_qcow2(2);
	put(24, 12345, 8);
	CHECK(refuses(sizeof(head), "size that no disk has"));
}

TEST(qcow2_that_names_another_file)
{
	make_qcow2(2);
	put(8, 0x1000, 8);
	CHECK(refuses(sizeof(head), "backing file"));
	make_qcow2(3);
	put(72, 4, 8);
	CHECK(refuses(sizeof(head), "in another file"));
	make_qcow2(3);
	put(32, 1, 4);
	CHECK(refuses(sizeof(head), "encrypted"));
}

TEST(vmdk)
{
	make_vmdk("# Disk DescriptorFile\nCID=1234\nparentCID=ffffffff\n");
	CHECK_EQ(image_format_of(head, sizeof(head), &why), IMAGE_VMDK);
	CHECK_EQ(image_format_bytes(), 0x100000ull * 512);
	make_vmdk("CID=1234\nparentCID=12345678\nparentFileNameHint=\"/etc/shadow\"\n");
	CHECK(refuses(sizeof(head), "parent file"));
	make_vmdk("CID=1234\nparentCID=ffffffff\nparentFileNameHint=\"/etc/shadow\"\n");
	CHECK(refuses(sizeof(head), "parent file"));
	head[28 + 7] = 0xff;
	CHECK(refuses(sizeof(head), "without a descriptor"));
	memset(head, 0, sizeof(head));
	strcpy((char *)head, "# Disk DescriptorFile\n");
	CHECK(refuses(sizeof(head), "other files"));
}

TEST(everything_else)
{
	memset(head, 0, sizeof(head));
	CHECK_EQ(image_format_of(head, sizeof(head), &why), IMAGE_RAW);
	memcpy(head + 0x8001, "CD001", 5);
	CHECK(refuses(sizeof(head), "installer"));
	CHECK_EQ(image_format_of(head, 4096, &why), IMAGE_RAW);
	memcpy(head, "\x1f\x8b", 2);
	CHECK(refuses(4096, "gzip"));
}
