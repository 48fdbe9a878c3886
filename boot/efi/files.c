// SPDX-License-Identifier: MIT
/*
 * Files for hornero.efi: from the volume it was started from, or out of its own image.
 *
 * In the one-file image nothing outside is read: what the firmware's signature check has covered is
 * all that gets started. That check names the file only; the list of digests (sha256.h) that
 * mkonefile puts into the image names the section. Under Secure Boot no separate file is read at
 * all: nobody has checked it. Reads go in pieces, as some firmware fails on tens of megabytes at
 * once.
 */
#include "app.h"
#include "pe.h"
#include "sha256.h"

#define CONF_SECTION   ".conf"
#define SUMS_SECTION   ".sums"
#define CONF_MAX_BYTES 65536
#define READ_AT_ONCE   (1 << 20)
#define MOST_BYTES     (1ULL << 31)
#define MAX_PATH       512

static bool own_section(const struct app *app, const char *name, const void **data, size_t *bytes)
{
	return pe_section(app->image->ImageBase, app->image->ImageSize, name, data, bytes);
}

/* The firmware checks signatures: the variable SecureBoot is one byte, 1. */
static bool secure_boot(void)
{
	EFI_GUID global = EFI_GLOBAL_VARIABLE;
	UINTN bytes = 1;
	UINT8 on = 0;

	return !EFI_ERROR(RT->GetVariable(L"SecureBoot", &global, NULL, &bytes, &on)) && on == 1;
}

void files_open(struct app *app, EFI_HANDLE handle)
{
	const void *data;
	size_t bytes;
	UINTN cut = 0;

	app->handle = handle;
	BS->HandleProtocol(handle, &LoadedImageProtocol, (void **)&app->image);
	app->root = app->image->DeviceHandle ? LibOpenRoot(app->image->DeviceHandle) : NULL;
	app->folder =
		app->image->FilePath ? DevicePathToStr(app->image->FilePath) : StrDuplicate(L"\\");
	for (UINTN i = 0; app->folder[i]; i++)
		if (app->folder[i] == L'\\')
			cut = i + 1;
	app->folder[cut] = 0;
	app->one_file = own_section(app, CONF_SECTION, &data, &bytes);
	app->secure_boot = secure_boot();
}

static bool allocate(UINTN bytes, const char *what, struct piece *out)
{
	EFI_STATUS status;

	out->at = BELOW_4G;
	out->bytes = bytes;
	status = BS->AllocatePages(AllocateMaxAddress, EfiLoaderData, EFI_SIZE_TO_PAGES(bytes) + 1,
				   &out->at);
	if (!EFI_ERROR(status))
		return true;
	Print(L"hornero.efi: no memory for the %a: %ld KiB in one piece below 4 GiB are needed "
	      L"(%r)\n",
	      what, (UINT64)bytes / 1024, status);
	return false;
}

static bool read_whole(EFI_FILE_HANDLE file, const CHAR16 *path, const char *what,
		       struct piece *out)
{
	EFI_FILE_INFO *info = LibFileInfo(file);
	UINT64 size = info ? info->FileSize : 0;

	if (!info || (info->Attribute & EFI_FILE_DIRECTORY) || !size || size > MOST_BYTES) {
		Print(L"hornero.efi: %s (the %a) is no file that can be loaded: %ld bytes\n", path,
		      what, size);
		return false;
	}
	FreePool(info);
	if (!allocate(size, what, out))
		return false;
	for (UINT64 done = 0; done < size;) {
		UINTN n = size - done < READ_AT_ONCE ? size - done : READ_AT_ONCE;
		EFI_STATUS status = file->Read(file, &n, (void *)(UINTN)(out->at + done));

		if (EFI_ERROR(status) || !n) {
			Print(L"hornero.efi: %s (the %a) could not be read: byte %ld of %ld: %r\n",
			      path, what, done, size, EFI_ERROR(status) ? status : EFI_END_OF_FILE);
			return false;
		}
		done += n;
	}
	return true;
}

static bool load_file(const struct app *app, const char *what, const char *name, struct piece *out)
{
	bool absolute = name[0] == '\\' || name[0] == '/', ok;
	CHAR16 path[MAX_PATH];
	EFI_FILE_HANDLE file;
	EFI_STATUS status;
	UINTN n;

	if (!app->root) {
		Print(L"hornero.efi: it was not started from a file system, so there is no %a\n",
		      name);
		return false;
	}
	SPrint(path, sizeof(path), L"%s%a", absolute ? L"" : app->folder, name);
	for (n = 0; path[n]; n++)
		if (path[n] == L'/')
			path[n] = L'\\';
	if (app->secure_boot) {
		Print(L"hornero.efi: %s (the %a) is refused: Secure Boot is on, and no signature "
		      L"covers a separate file.\nhornero.efi: Start the one-file image that "
		      L"'make sign' makes.\n",
		      path, what);
		return false;
	}
	status = app->root->Open(app->root, &file, path, EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(status)) {
		Print(L"hornero.efi: %s (the %a) is missing: %r\n", path, what, status);
		return false;
	}
	ok = read_whole(file, path, what, out);
	file->Close(file);
	return ok;
}

static bool load_section(const struct app *app, const char *what, const char *name,
			 struct piece *out)
{
	const void *data, *sums;
	size_t bytes, sums_bytes;

	if (!own_section(app, name, &data, &bytes) || !bytes) {
		Print(L"hornero.efi: this image has no section %a (the %a)\n", name, what);
		return false;
	}
	if (!own_section(app, SUMS_SECTION, &sums, &sums_bytes) ||
	    !sha256_listed(sums, sums_bytes, name, data, bytes)) {
		Print(L"hornero.efi: the section %a (the %a) is refused: it was changed since the "
		      L"image was made (its SHA-256 is not the one in %a)\n",
		      name, what, SUMS_SECTION);
		return false;
	}
	if (!allocate(bytes, what, out))
		return false;
	CopyMem((void *)(UINTN)out->at, (void *)data, bytes);
	return true;
}

bool files_load(const struct app *app, const char *what, const char *name, struct piece *out)
{
	if (name[0] == '.')
		return load_section(app, what, name, out);
	if (app->one_file) {
		Print(L"hornero.efi: the %a is %a, but a one-file image takes only its own "
		      L"sections\n",
		      what, name);
		return false;
	}
	return load_file(app, what, name, out);
}

bool files_read_conf(const struct app *app, struct conf *conf)
{
	const char *name = app->one_file ? CONF_SECTION : "hornero.conf";
	struct conf_error error;
	struct piece text;
	char *at;

	if (!files_load(app, "configuration", name, &text))
		return false;
	if (text.bytes > CONF_MAX_BYTES) {
		Print(L"hornero.efi: the configuration has %ld bytes, at most %d are read\n",
		      (UINT64)text.bytes, CONF_MAX_BYTES);
		return false;
	}
	at = (char *)(UINTN)text.at;
	while (app->one_file && text.bytes && !at[text.bytes - 1])
		text.bytes--; /* what fills up a section */
	if (conf_parse(at, text.bytes, conf, &error))
		return true;
	Print(L"hornero.efi: %a:%d:%d: %a\n", name, error.line, error.column, error.what);
	return false;
}
