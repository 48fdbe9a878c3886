// SPDX-License-Identifier: MIT
/*
 * What a guest made by us is told at boot: its name and who may log in. Both travel in a second
 * cpio archive behind the image's initramfs, which Linux unpacks over the first; the image stays as
 * it is.
 *
 * The keys are those of the control domain's owner, and one of `vm` itself, for `vm ssh`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machines.h"

enum { KEYS_MAX_BYTES = 64 * 1024 };

/* One entry of the "newc" format: a header in hex digits, the name, the data, each padded to 4. */
static void put_entry(FILE *out, const char *name, unsigned int mode, const char *data)
{
	size_t bytes = strlen(data), name_bytes = strlen(name) + 1;

	fprintf(out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s%c", 0, mode, 0,
		0, 1, 0, (unsigned int)bytes, 0, 0, 0, 0, (unsigned int)name_bytes, 0, name, 0);
	for (size_t at = 110 + name_bytes; at % 4; at++)
		fputc(0, out);
	fwrite(data, 1, bytes, out);
	for (; bytes % 4; bytes++)
		fputc(0, out);
}

static void put_files(FILE *out, const char *name, const char *keys)
{
	put_entry(out, "etc", S_IFDIR | 0755, "");
	put_entry(out, "etc/hostname", S_IFREG | 0644, name);
	put_entry(out, "root", S_IFDIR | 0700, "");
	put_entry(out, "root/.ssh", S_IFDIR | 0700, "");
	put_entry(out, "root/.ssh/authorized_keys", S_IFREG | 0600, keys);
	put_entry(out, "TRAILER!!!", 0, "");
}

const char *guest_key_path(char buffer[FILE_NAME_BYTES])
{
	return place(buffer, "/var/lib/hornero/ssh/vm");
}

/* The public half of our own key, made at first use. */
static int own_key(char *text, size_t size, struct reason *why)
{
	char folder[FILE_NAME_BYTES], path[FILE_NAME_BYTES], said[2048];
	char *at;

	guest_key_path(path);
	const char *const make[] = {"dropbearkey", "-t", "ed25519", "-f", path, NULL};
	const char *const show[] = {"dropbearkey", "-y", "-f", path, NULL};

	if (make_folder(place(folder, "/var/lib/hornero/ssh"), why))
		return -1;
	if (access(path, F_OK) && run_program(make, why))
		return -1;
	if (run_and_read(show, said, sizeof(said), why))
		return -1;
	at = strstr(said, "ssh-ed25519 ");
	snprintf(text, size, "%.*s\n", at ? (int)strcspn(at, "\n") : 0, at ? at : "");
	return 0;
}

char *guest_keys(void)
{
	struct reason why;
	char path[FILE_NAME_BYTES], own[512] = "";
	char *owner = read_text(place(path, "/root/.ssh/authorized_keys"), KEYS_MAX_BYTES);
	char *keys = NULL;

	if (own_key(own, sizeof(own), &why))
		fprintf(stderr, "vm: note: 'vm ssh' will not work: %s\n", why.text);
	if (asprintf(&keys, "%s%s%s", own, owner ? owner : "", owner && *owner ? "\n" : "") < 0)
		keys = NULL;
	free(owner);
	return keys;
}

static int copy_file(FILE *out, const char *path)
{
	char chunk[65536];
	FILE *in = fopen(path, "re");
	size_t bytes, total = 0;

	if (!in)
		return -1;
	while ((bytes = fread(chunk, 1, sizeof(chunk), in))) {
		total += bytes;
		if (fwrite(chunk, 1, bytes, out) != bytes)
			break;
	}
	int failed = ferror(in) || ferror(out);

	for (; total % 4; total++)
		fputc(0, out);
	fclose(in);
	return failed ? -1 : 0;
}

int guest_files_add(const char *name, struct boot_choice *choice, struct reason *why)
{
	char path[FILE_NAME_BYTES], *keys;
	FILE *out;
	int failed;

	runtime_path(path, name, "initrd");
	out = fopen(path, "we");
	if (!out)
		return reason_set(why, "%s: %s", path, strerror(errno));
	keys = guest_keys();
	failed = !keys || (*choice->initrd && copy_file(out, choice->initrd));
	if (!failed)
		put_files(out, name, keys);
	free(keys);
	if (fclose(out) || failed) {
		int error = errno;

		unlink(path);
		return reason_set(why, "%s: %s", path, strerror(error));
	}
	strcpy(choice->initrd, path);
	return 0;
}
