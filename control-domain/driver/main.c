// SPDX-License-Identifier: GPL-2.0-only
/*
 * hornero.ko: the control domain's side of the Hornero hypervisor.
 *
 * Loading finds the hypervisor and refuses, with a sentence, where there is none or one of another
 * version. After that there are two devices: /dev/hornero for what concerns the hypervisor, and
 * /dev/kvm, where virtual machines are made by the documented KVM ioctls.
 *
 * Reading order: hv.h (talking to the hypervisor), device.c (/dev/hornero), README.md (the rest).
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/module.h>

#include "device.h"
#include "hv.h"
#include "scrub.h"
#include "suspend.h"

static int __init hornero_init(void)
{
	int err = hv_init();

	if (err)
		return err;
	err = device_init();
	if (err)
		goto out_hv;
	err = kvm_device_init();
	if (err)
		goto out_device;
	err = scrub_init();
	if (err)
		goto out_kvm;
	err = suspend_init();
	if (err)
		goto out_scrub;
	return 0;

out_scrub:
	scrub_exit();
out_kvm:
	kvm_device_exit();
out_device:
	device_exit();
out_hv:
	hv_exit();
	return err;
}

static void __exit hornero_exit(void)
{
	suspend_exit();
	scrub_exit();
	kvm_device_exit();
	device_exit();
	hv_exit();
}

module_init(hornero_init);
module_exit(hornero_exit);

MODULE_DESCRIPTION("Control-domain driver of the Hornero hypervisor");
MODULE_AUTHOR("The Hornero authors");
MODULE_LICENSE("GPL v2");
