// SPDX-License-Identifier: MIT
/*
 * What commands do with a VM as a whole: check it, start it, show it, make it.
 */
#pragma once

#include "cli.h"
#include "definition.h"
#include "runtime.h"
#include "store.h"

/* What `list` shows of a VM. */
struct machine_row {
	const char *name, *state;
	bool up, is_broken;
	uint64_t memory_bytes, cpus; /* of the running VM, or as defined; 0 if unknown */
	uint64_t uptime_s;
	char address[64];
	char why[512]; /* of the pause or the end, or what is wrong with the definition */
};

/** One file if it runs. Never fails: what cannot be read counts as stopped. */
void machine_read_row(const char *name, struct machine_row *row);

/** The same as JSON, in every command's answer; tests/vm/test_schema.py fixes its keys. */
struct json_object *machine_json(const char *name);

/** With --json the row of @name; otherwise the sentence. Returns EXIT_OK. */
int machine_done(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** The IP address that the NAT network gave to the VM, or "". */
const char *machine_address(const char *name, const struct definition *definition, char *buffer,
			    size_t size);

/** The MAC address in effect, as text. */
const char *machine_mac(const char *name, const struct definition *definition, char text[18]);

/** What is to be booted, after images and defaults. */
struct boot_choice {
	char kernel[FILE_NAME_BYTES], initrd[FILE_NAME_BYTES];
	char cmdline[2400];
	bool takes_keys; /* an image of ours: guest_files_add() */
};

/** Find out what @definition boots, and check that it is there. 0, or -1 with @why. */
int machine_boot_choice(const struct definition *definition, struct boot_choice *choice,
			struct reason *why);

/** Give the guest its name and SSH keys: a changed copy of its initramfs. 0, or -1 with @why. */
int guest_files_add(const char *name, struct boot_choice *choice, struct reason *why);

/**
 * Make the disk that cloud-init reads, if the VM is to have one: @path is its name or "". 0, or -1
 * with @why.
 */
int guest_seed(const char *name, const struct definition *definition, char path[FILE_NAME_BYTES],
	       struct reason *why);

/** Whether cloud-init would read the file named by cloud_init. 0, or -1 with @why. */
int guest_check_cloud_init(const struct definition *definition, struct reason *why);

/** The image of such a disk, to be freed; NULL without memory. Pure. */
uint8_t *seed_image(const char *meta, const char *user, size_t *bytes);

/** The text of meta-data, to be freed. @keys: authorized_keys, a key a line. Pure. */
char *seed_meta(const char *name, const char *mac, const char *keys);

/** Keys that go into a guest: the owner's and ours. To be freed; NULL without memory. */
char *guest_keys(void);

/** The private key that `vm ssh` uses, in dropbear's form. */
const char *guest_key_path(char buffer[FILE_NAME_BYTES]);

/**
 * All that can be checked before anything is touched: files, disks that another VM writes, memory.
 * 0, or -1 with @why.
 */
int machine_admit(const char *name, const struct definition *definition, struct reason *why);

/** Disk files that are no raw images, or an ISO image to boot from. 0, or -1 with @why. */
int machine_check_formats(const struct definition *definition, struct reason *why);

/**
 * Disks, MAC address and ports against the control domain and all other VMs (or those that run);
 * what `create` and `set` check. 0, or -1 with @why.
 */
int machine_check_overlaps(const char *name, const struct definition *definition, bool running_only,
			   struct reason *why);

/** Free memory for guests, in bytes: the hypervisor's pool, or this Linux's free memory. */
uint64_t machine_free_memory(bool *is_pool);

/** Start a defined, stopped VM and wait until it runs. An exit code, message printed. */
int machine_start(const char *name);

/** Wait until its process has ended. 0; -1 after @timeout_ms (negative: never). */
int machine_wait(const char *name, int timeout_ms);

/** How it ended, as an exit code for `run` and `wait`. */
int machine_end_code(const char *name);

/** Remove definition, state and, with @disks, the folder of disks. 0, or -1 with @why. */
int machine_delete(const char *name, bool disks, struct reason *why);

/** Delete VMs of `run --rm` that have ended. */
void machine_reap(void);

/** Define a VM from the options of `create` and `run`. An exit code. */
int machine_create(struct cli_call *call, const char *name, const char *image);

/** Make @value of option @key usable as a key's value: paths absolute, sizes to new disks. */
int machine_option(const char *name, const struct definition_key *key, const char *value,
		   struct definition *definition, bool make_disk, struct reason *why);

/** Create the disks of @definition that machine_option() announced. 0, or -1 with @why. */
int machine_make_disks(const char *name, struct reason *why);

/** Start what is to be started at boot, in order; or list it. An exit code. */
int machine_autostart(void);
int machine_autostart_list(void);

/** Attach this terminal to the console. An exit code; *@ended tells whether the VM has ended. */
int console_attach(const char *name, bool *ended);

/** Network: make what @definition needs; @tap gets the interface's name, or "". */
int net_prepare(const char *name, const struct definition *definition, char tap[16],
		struct reason *why);

/** Whether there is such a network; what `create` and `set` check. 0, or -1 with @why. */
int net_known(const char *network, struct reason *why);

/** Remove the tap interface of a VM that is being deleted. */
void net_remove(const char *name);

/**
 * CPU weight, cap and pinning: make the VM's cgroup, set its limits, and put @pid into it if that
 * is not 0. 0, or -1 with @why if limits are set that cannot be kept.
 */
int cgroup_apply(const char *name, const struct definition *definition, pid_t pid,
		 struct reason *why);
void cgroup_remove(const char *name);

/* Commands. */
int create_main(struct cli_call *call);
int run_main(struct cli_call *call);
int start_main(struct cli_call *call);
int stop_main(struct cli_call *call);
int kill_main(struct cli_call *call);
int restart_main(struct cli_call *call);
int reset_main(struct cli_call *call);
int pause_main(struct cli_call *call);
int resume_main(struct cli_call *call);
int list_main(struct cli_call *call);
int show_main(struct cli_call *call);
int set_main(struct cli_call *call);
int edit_main(struct cli_call *call);
int rename_main(struct cli_call *call);
int clone_main(struct cli_call *call);
int export_main(struct cli_call *call);
int import_main(struct cli_call *call);
int delete_main(struct cli_call *call);
int console_main(struct cli_call *call);
int ssh_main(struct cli_call *call);
int logs_main(struct cli_call *call);
int top_main(struct cli_call *call);
int autostart_main(struct cli_call *call);
int wait_main(struct cli_call *call);
int disk_main(struct cli_call *call);
int image_main(struct cli_call *call);
int net_main(struct cli_call *call);
