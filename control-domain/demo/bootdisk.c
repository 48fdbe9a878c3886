// SPDX-License-Identifier: MIT
/*
 * bootdisk KERNEL INITRD CMDLINE: becomes the kernel of a guest's own disk. Runs inside the guest,
 * as the last step of `--boot disk`; usr/lib/demo/bootdisk has found the three in the disk's boot
 * entry. INITRD may be empty. Returns only if it fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fail(const char *what)
{
	fprintf(stderr, "bootdisk: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	unsigned long flags = 0;
	int kernel, initrd = -1;

	if (argc != 4) {
		fputs("Usage: bootdisk KERNEL INITRD CMDLINE\n", stderr);
		return 2;
	}
	kernel = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (kernel < 0)
		return fail(argv[1]);
	if (!*argv[2])
		flags |= KEXEC_FILE_NO_INITRAMFS;
	else if ((initrd = open(argv[2], O_RDONLY | O_CLOEXEC)) < 0)
		return fail(argv[2]);
	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[3]) + 1, argv[3], flags))
		return fail("loading the kernel");
	sync();
	reboot(LINUX_REBOOT_CMD_KEXEC);
	return fail("starting the kernel");
}
