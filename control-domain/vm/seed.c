// SPDX-License-Identifier: MIT
/*
 * The disk that cloud-init reads ("NoCloud"): an ISO 9660 image with the label cidata and two
 * files, meta-data (name, SSH keys) and user-data (the owner's). Linux shows the names of such
 * files in lower case and without version, so no extension is needed: one folder, two files, each
 * in one piece. ECMA-119 says what every field is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machines.h"

enum {
	SECTOR_BYTES = 2048,
	VOLUME_SECTOR = 16,
	END_SECTOR,
	PATHS_SECTOR,	  /* path table, little endian */
	PATHS_BIG_SECTOR, /* the same, big endian */
	FOLDER_SECTOR,
	FILES_SECTOR,
	USER_DATA_MAX = 1 << 20,
};

static void put_little(uint8_t *at, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void put_big(uint8_t *at, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

/* Most numbers are there twice. */
static void put_both(uint8_t *at, uint32_t value, int bytes)
{
	put_little(at, value, bytes);
	put_big(at + bytes, value, bytes);
}

/* Returns the record's length. */
static size_t put_record(uint8_t *at, const char *name, size_t name_bytes, uint32_t sector,
			 uint32_t bytes, bool folder)
{
	static const uint8_t date[7] = {120, 1, 1};
	size_t length = (33 + name_bytes + 1) & ~(size_t)1;

	at[0] = (uint8_t)length;
	put_both(at + 2, sector, 4);
	put_both(at + 10, bytes, 4);
	memcpy(at + 18, date, sizeof(date));
	at[25] = folder ? 2 : 0;
	put_both(at + 28, 1, 2);
	at[32] = (uint8_t)name_bytes;
	memcpy(at + 33, name, name_bytes);
	return length;
}

static void put_volume(uint8_t *at, uint32_t sectors)
{
	static const unsigned int dates[] = {813, 830, 847, 864};

	memcpy(at, "\1CD001\1", 7);
	memset(at + 8, ' ', 64);
	memcpy(at + 40, "cidata", 6);
	put_both(at + 80, sectors, 4);
	put_both(at + 120, 1, 2);
	put_both(at + 124, 1, 2);
	put_both(at + 128, SECTOR_BYTES, 2);
	put_both(at + 132, 10, 4);
	put_little(at + 140, PATHS_SECTOR, 4);
	put_big(at + 148, PATHS_BIG_SECTOR, 4);
	put_record(at + 156, "", 1, FOLDER_SECTOR, SECTOR_BYTES, true);
	memset(at + 190, ' ', 813 - 190);
	for (unsigned int i = 0; i < 4; i++)
		memset(at + dates[i], '0', 16);
	at[881] = 1;
}

static uint32_t sectors_of(const char *text)
{
	return (uint32_t)((strlen(text) + SECTOR_BYTES - 1) / SECTOR_BYTES);
}

uint8_t *seed_image(const char *meta, const char *user, size_t *bytes)
{
	uint32_t user_sector = FILES_SECTOR + sectors_of(meta);
	uint32_t sectors = user_sector + sectors_of(user);
	uint8_t *image = calloc(sectors, SECTOR_BYTES);
	uint8_t *folder = image + FOLDER_SECTOR * SECTOR_BYTES;

	if (!image)
		return NULL;
	put_volume(image + VOLUME_SECTOR * SECTOR_BYTES, sectors);
	memcpy(image + END_SECTOR * SECTOR_BYTES, "\377CD001\1", 7);
	for (int table = PATHS_SECTOR; table <= PATHS_BIG_SECTOR; table++) {
		uint8_t *at = image + table * SECTOR_BYTES;

		at[0] = 1;
		(table == PATHS_SECTOR ? put_little : put_big)(at + 2, FOLDER_SECTOR, 4);
		(table == PATHS_SECTOR ? put_little : put_big)(at + 6, 1, 2);
	}
	folder += put_record(folder, "\0", 1, FOLDER_SECTOR, SECTOR_BYTES, true);
	folder += put_record(folder, "\1", 1, FOLDER_SECTOR, SECTOR_BYTES, true);
	folder +=
		put_record(folder, "META-DATA.;1", 12, FILES_SECTOR, (uint32_t)strlen(meta), false);
	put_record(folder, "USER-DATA.;1", 12, user_sector, (uint32_t)strlen(user), false);
	memcpy(image + FILES_SECTOR * SECTOR_BYTES, meta, strlen(meta));
	memcpy(image + (size_t)user_sector * SECTOR_BYTES, user, strlen(user));
	*bytes = (size_t)sectors * SECTOR_BYTES;
	return image;
}

/* A quoted string of YAML, which is one of JSON. */
static void write_quoted(FILE *out, const char *text, int length)
{
	fputc('"', out);
	for (int i = 0; i < length; i++) {
		if (text[i] == '"' || text[i] == '\\')
			fputc('\\', out);
		if ((unsigned char)text[i] >= ' ')
			fputc(text[i], out);
	}
	fputc('"', out);
}

/* The instance is the MAC address: a clone is another one, a renamed VM the same. */
char *seed_meta(const char *name, const char *mac, const char *keys)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "instance-id: \"hornero-%s\"\nlocal-hostname: \"%s\"\npublic-keys:\n", mac,
		name);
	for (const char *line = keys; *line;) {
		int length = (int)strcspn(line, "\r\n");

		if (length && *line != '#') {
			fputs("  - ", out);
			write_quoted(out, line, length);
			fputc('\n', out);
		}
		line += length + strspn(line + length, "\r\n");
	}
	return fclose(out) ? NULL : text;
}

static int check_user_data(const char *file, const char *text, struct reason *why)
{
	static const char *const heads[] = {"#cloud-config",   "#!",
					    "#include",	       "## template:",
					    "#cloud-boothook", "#part-handler",
					    "Content-Type:",   "MIME-Version:"};

	if (!text)
		return reason_set(why, "cloud_init %s: %s", file,
				  errno == EFBIG    ? "it has more than 1 MiB"
				  : errno == EINVAL ? "it is no file"
						    : strerror(errno));
	for (unsigned int i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (!strncmp(text, heads[i], strlen(heads[i])))
			return 0;
	return reason_set(why,
			  "cloud_init %s: cloud-init would ignore it: its first line must be "
			  "'#cloud-config', '#!/bin/sh' or the like",
			  file);
}

int guest_check_cloud_init(const struct definition *definition, struct reason *why)
{
	const char *file = definition->cloud_init;
	char *text;
	int failed;

	if (!*file || !strcmp(file, "none"))
		return 0;
	text = read_text(file, USER_DATA_MAX);
	failed = check_user_data(file, text, why);
	free(text);
	return failed;
}

static int write_image(const char *path, const char *meta, const char *user, struct reason *why)
{
	size_t bytes = 0;
	uint8_t *image = meta && user ? seed_image(meta, user, &bytes) : NULL;
	FILE *out;
	int failed, fd;

	if (!image)
		return reason_set(why, "out of memory");
	unlink(path); /* user data may hold secrets, so nobody else reads them */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	failed = !out || fwrite(image, 1, bytes, out) != bytes;
	if (out && fclose(out))
		failed = true;
	if (failed)
		reason_set(why, "%s: %s", path, strerror(errno));
	free(image);
	return failed ? -1 : 0;
}

int guest_seed(const char *name, const struct definition *definition, char path[FILE_NAME_BYTES],
	       struct reason *why)
{
	bool usual = !*definition->cloud_init;
	char mac[18], *meta, *user, *keys;
	int failed;

	*path = '\0';
	if (!strcmp(definition->cloud_init, "none") ||
	    (usual && (*definition->kernel || *definition->image)))
		return 0;
	if (guest_check_cloud_init(definition, why))
		return -1;
	keys = guest_keys();
	meta = keys ? seed_meta(name, machine_mac(name, definition, mac), keys) : NULL;
	user = usual ? strdup("#cloud-config\n") : read_text(definition->cloud_init, USER_DATA_MAX);
	failed = write_image(runtime_path(path, name, "seed.iso"), meta, user, why);
	free(user);
	free(meta);
	free(keys);
	return failed;
}
