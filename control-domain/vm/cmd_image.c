// SPDX-License-Identifier: MIT
/*
 * image: what new VMs can be made of. `import` brings a raw, qcow2 or VMDK disk in. Formats other
 * than raw are converted by qemu-img, which reads a stranger's file and therefore runs as nobody,
 * without network and with limits; a file that names another file (a backing file) is refused
 * before.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "image_format.h"
#include "machines.h"

enum { NOBODY = 65534, HEAD_BYTES = 64 * 1024, CONVERT_S = 7200, SECTOR_BYTES = 512 };

static int list_images(void)
{
	char **names = store_image_names();
	struct json_object *rows = json_object_new_array();
	struct image image;
	struct reason why;

	if (!*names)
		say("There is no image; 'vm image import FILE' adds one.");
	else
		say("%-16s %-6s  %s", "NAME", "BOOTS", "DESCRIPTION");
	for (char **name = names; *name; name++) {
		bool good = !store_image(*name, &image, &why);
		struct json_object *row = json_object_new_object();
		const char *text = !good		? why.text
				   : *image.description ? image.description
							: "a disk";

		json_object_object_add(row, "name", json_object_new_string(*name));
		json_object_object_add(row, "description", json_object_new_string(text));
		json_object_object_add(row, "has_kernel",
				       json_object_new_boolean(good && *image.kernel));
		json_object_object_add(row, "has_disk",
				       json_object_new_boolean(good && *image.disk));
		json_object_array_add(rows, row);
		say("%-16s %-6s  %s", *name, !good ? "-" : *image.kernel ? "kernel" : "disk", text);
	}
	if (say_json)
		print_json(rows);
	else
		json_object_put(rows);
	store_free_names(names);
	return EXIT_OK;
}

static int check_sum(const char *file, const char *wanted, struct reason *why)
{
	const char *const program[] = {"sha256sum", file, NULL};
	char said[FILE_NAME_BYTES];

	if (strlen(wanted) != 64 || strspn(wanted, "0123456789abcdefABCDEF") != 64)
		return reason_set(why, "--sha256: '%s' is not 64 hex digits", wanted);
	if (run_and_read(program, said, sizeof(said), why))
		return -1;
	if (strncasecmp(said, wanted, 64))
		return reason_set(why,
				  "%s is not what it should be: its SHA-256 is %.64s; fetch it "
				  "again",
				  file, said);
	return 0;
}

/* A raw image has no header to know it by, but disks have whole sectors. */
static enum image_format check_raw(const char *file, int fd, struct reason *why)
{
	struct stat status;

	if (fstat(fd, &status) || status.st_size % SECTOR_BYTES == 0)
		return IMAGE_RAW;
	reason_set(
		why,
		"%s: its %lld bytes are no whole number of sectors of %d: it is no disk image, or was "
		"cut off",
		file, (long long)status.st_size, SECTOR_BYTES);
	return IMAGE_REFUSED;
}

static enum image_format read_format(const char *file, struct reason *why)
{
	static unsigned char head[HEAD_BYTES];
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t bytes = fd < 0 ? -1 : read(fd, head, sizeof(head));
	enum image_format format = IMAGE_REFUSED;

	if (bytes < 0)
		reason_set(why, "%s: %s", file, strerror(errno));
	else
		format = image_format_of(head, (size_t)bytes, why);
	if (format == IMAGE_RAW)
		format = check_raw(file, fd, why);
	if (fd >= 0)
		close(fd);
	return format;
}

static void limit(int resource, rlim_t value)
{
	const struct rlimit limits = {value, value};

	if (setrlimit(resource, &limits))
		_exit(126);
}

/* The two files are standard input and output, so it needs no folder of ours. */
static void convert_locked_in(enum image_format format, int in, int out, int errors)
{
	const char *const argv[] = {
		"qemu-img", "convert",	 "-f",	      image_format_names[format],
		"-O",	    "raw",	 "-n",	      "-S",
		"4k",	    "/dev/fd/0", "/dev/fd/1", NULL};

	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(errors, 2) < 0)
		_exit(126);
	if (!geteuid() && (unshare(CLONE_NEWNET | CLONE_NEWIPC) || setgroups(0, NULL) ||
			   fchown(1, NOBODY, NOBODY) || setresgid(NOBODY, NOBODY, NOBODY) ||
			   setresuid(NOBODY, NOBODY, NOBODY)))
		_exit(126);
	limit(RLIMIT_CPU, CONVERT_S);
	limit(RLIMIT_NPROC, 64);
	limit(RLIMIT_CORE, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		_exit(126);
	execvp(argv[0], (char *const *)argv);
	dprintf(2, "%s", errno == ENOENT ? "qemu-img is not installed here" : strerror(errno));
	_exit(127);
}

static int run_conversion(enum image_format format, int in, int out, struct reason *why)
{
	char said[256] = "";
	int ends[2], status = -1;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return reason_set(why, "%s", strerror(errno));
	child = fork();
	if (!child)
		convert_locked_in(format, in, out, ends[1]);
	close(ends[1]);
	ssize_t bytes =
		child > 0 ? read_with_progress(ends[0], said, sizeof(said) - 1, "converting") : 0;

	said[bytes > 0 ? bytes : 0] = '\0';
	close(ends[0]);
	if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	    !WEXITSTATUS(status))
		return 0;
	said[strcspn(said, "\n")] = '\0';
	return reason_set(
		why,
		"converting from %s failed: %s; 'qemu-img convert -O raw' elsewhere makes a "
		"raw image, which needs no conversion",
		image_format_names[format], *said ? said : "without a word");
}

static int convert_file(enum image_format format, uint64_t bytes, const char *file, const char *to,
			struct reason *why)
{
	int in = open(file, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int failed = in < 0 || out < 0 || ftruncate(out, (off_t)bytes)
			     ? reason_set(why, "%s: %s", in < 0 ? file : to, strerror(errno))
			     : run_conversion(format, in, out, why);

	if (!failed && !geteuid() && fchown(out, 0, 0))
		failed = reason_set(why, "%s: %s", to, strerror(errno));
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	if (failed)
		unlink(to);
	return failed;
}

/* What nobody may not read is first copied into a file that nobody may. */
static int convert(enum image_format format, uint64_t bytes, const char *file, const char *to,
		   struct reason *why)
{
	char part[FILE_NAME_BYTES + 8];
	struct stat status;
	int failed;

	if (geteuid() || (!stat(file, &status) && status.st_mode & S_IROTH))
		return convert_file(format, bytes, file, to, why);
	snprintf(part, sizeof(part), "%s.part", to);
	if (copy_sparse(file, part, why))
		return -1;
	failed = chmod(part, 0644) ? reason_set(why, "%s: %s", part, strerror(errno))
				   : convert_file(format, bytes, part, to, why);
	unlink(part);
	return failed;
}

/* The file's name without folder and ending, as far as it makes a name. */
static void name_from(const char *file, char name[NAME_MAX_BYTES + 1])
{
	const char *base = strrchr(file, '/');

	snprintf(name, NAME_MAX_BYTES + 1, "%s", base ? base + 1 : file);
	char *dot = strrchr(name, '.');

	if (dot && dot > name)
		*dot = '\0';
}

static int import(struct cli_call *call, const char *file)
{
	char name[NAME_MAX_BYTES + 1], folder[FILE_NAME_BYTES], path[FILE_NAME_BYTES];
	const char *sum = cli_value(call, "sha256");
	enum image_format format;
	struct image existing;
	struct reason why;

	name_from(file, name);
	if (cli_value(call, "name"))
		snprintf(name, sizeof(name), "%s", cli_value(call, "name"));
	if (units_check_name("image", name, &why))
		return fail(EXIT_USAGE, "%s; --name gives another one", why.text);
	if (!store_image(name, &existing, &why))
		return fail(EXIT_STATE, "there is an image '%s' already; --name gives another one",
			    name);
	format = read_format(file, &why);
	if (format == IMAGE_REFUSED || (sum && check_sum(file, sum, &why)))
		return fail(EXIT_FAILED, "%s", why.text);
	if (make_folder(place(folder, "/var/lib/hornero/images"), &why))
		return fail(EXIT_FAILED, "%s", why.text);
	place(path, "/var/lib/hornero/images/%s.raw", name);
	if (format == IMAGE_RAW ? copy_sparse(file, path, &why)
				: convert(format, image_format_bytes(), file, path, &why))
		return fail(EXIT_FAILED, "%s", why.text);
	if (!say_json)
		say("Image '%s' is there, %.1f MiB.%s", name,
		    (double)file_bytes(path) / (double)MIB,
		    store_is_volatile()
			    ? " It is lost at reboot: no volume 'hornero-data' is mounted."
			    : "");
	return say_json ? list_images() : EXIT_OK;
}

static int delete_image(struct cli_call *call, const char *name)
{
	char path[FILE_NAME_BYTES];
	struct image image;
	struct reason why;

	if (store_image(name, &image, &why))
		return fail(EXIT_NOT_FOUND, "%s", why.text);
	place(path, "/var/lib/hornero/images/%s.raw", name);
	if (access(path, F_OK))
		return fail(EXIT_FAILED, "image '%s' came with the control domain and stays", name);
	if (!cli_has(call, "yes") && !ask("Delete image '%s'?", name))
		return fail(EXIT_USAGE, "image '%s' is kept; --yes deletes it without a question",
			    name);
	if (unlink(path))
		return fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	if (say_json)
		return list_images();
	say("image '%s' is deleted", name);
	return EXIT_OK;
}

int image_main(struct cli_call *call)
{
	const char *verb = call->args ? call->arg[0] : "list";

	if (!strcmp(verb, "list") && call->args <= 1)
		return list_images();
	if (!strcmp(verb, "import") && call->args == 2)
		return import(call, call->arg[1]);
	if (!strcmp(verb, "delete") && call->args == 2)
		return delete_image(call, call->arg[1]);
	return fail(EXIT_USAGE,
		    "image: write 'vm image', 'vm image import FILE' or 'vm image delete "
		    "NAME'");
}
