// SPDX-License-Identifier: MIT
/*
 * hornero.efi: the way in on UEFI without GRUB.
 *
 * It reads hornero.conf beside it (or the section .conf of its own image), shows a menu of the
 * entries, loads what the chosen one names, and enters the hypervisor as a Multiboot2 loader does:
 * the core knows one format. It does not edit command lines and has no other commands; whoever
 * needs that takes GRUB.
 *
 * Read next: conf.h (what can be configured), files.c, start.c, jump.S.
 */
#include "app.h"

#define SECOND	     10000000ULL /* in the firmware's units of 100 ns */
#define WAIT_TO_READ 30		 /* seconds that a failure stays on the screen */
#define KEY_NONE     0
#define KEY_OTHER    1
#define KEY_ENTER    '\r'

/* The key pressed within @seconds, KEY_NONE if none, KEY_OTHER for one without a character. */
static CHAR16 wait_key(UINT64 seconds)
{
	EFI_INPUT_KEY key;

	if (!ST->ConIn || EFI_ERROR(WaitForSingleEvent(ST->ConIn->WaitForKey, seconds * SECOND)) ||
	    EFI_ERROR(ST->ConIn->ReadKeyStroke(ST->ConIn, &key)))
		return KEY_NONE;
	return key.UnicodeChar ? key.UnicodeChar : KEY_OTHER;
}

static unsigned int choose(const struct conf *conf)
{
	unsigned int left = conf->timeout, chosen = conf->chosen;
	bool counting = true;

	if (!left)
		return chosen;
	Print(L"\nHornero\n\n");
	for (unsigned int i = 0; i < conf->n_entries; i++)
		Print(L"  %d  %a%a\n", i + 1, conf->entries[i].title,
		      i == chosen ? "  (default)" : "");
	Print(L"\nPress a number, or Enter for the default.\n");
	while (!counting || left) {
		CHAR16 key;

		if (counting)
			Print(L"\rStarts in %d s  ", left);
		key = wait_key(counting ? 1 : CONF_MAX_TIMEOUT);
		if (key == KEY_ENTER)
			break;
		if (key > '0' && key <= '0' + conf->n_entries) {
			chosen = key - '0' - 1;
			break;
		}
		if (key != KEY_NONE)
			counting = false; /* somebody is there */
		else if (counting)
			left--;
	}
	Print(L"\n");
	return chosen;
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *table)
{
	struct app app;
	struct conf conf;

	InitializeLib(handle, table);
	BS->SetWatchdogTimer(0, 0, 0, NULL);
	files_open(&app, handle);
	if (files_read_conf(&app, &conf))
		start_entry(&app, &conf.entries[choose(&conf)]);
	Print(L"hornero.efi: nothing was started. A key goes back to the firmware.\n");
	wait_key(WAIT_TO_READ);
	return EFI_LOAD_ERROR;
}
