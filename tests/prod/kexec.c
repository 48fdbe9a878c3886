// SPDX-License-Identifier: GPL-2.0-only
/*
 * kexec KERNEL INITRAMFS: starts the kernel at once, as kexec-tools does with its options -s and
 * -f, with this kernel's command line. A program of our own because Debian's package brings Xen's
 * libraries along.
 */
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	char line[2048] = "";
	FILE *file = fopen("/proc/cmdline", "r");
	int kernel, initramfs;

	if (argc != 3 || !file || !fgets(line, sizeof(line), file))
		return fail("usage: kexec KERNEL INITRAMFS");
	line[strcspn(line, "\n")] = 0;
	kernel = open(argv[1], O_RDONLY);
	initramfs = open(argv[2], O_RDONLY);
	if (kernel < 0 || initramfs < 0)
		return fail("open");
	if (syscall(SYS_kexec_file_load, kernel, initramfs, strlen(line) + 1, line, 0UL))
		return fail("kexec_file_load");
	sync();
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, 0);
	return fail("reboot");
}
