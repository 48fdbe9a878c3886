// SPDX-License-Identifier: MIT
/*
 * Opening /dev/kvm and asking it for what we need. The capabilities are a table, so that `--check`
 * and a refused start name every one that is missing at once.
 */
#include "kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "irq.h"
#include "layout.h"
#include "vmm/abi/ioctl.h"

enum { KVM_API = 12 };

static const struct {
	int capability;
	const char *name;
} required[] = {
	{KVM_CAP_USER_MEMORY, "USER_MEMORY"},	    {KVM_CAP_EXT_CPUID, "EXT_CPUID"},
	{KVM_CAP_SPLIT_IRQCHIP, "SPLIT_IRQCHIP"},   {KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING"},
	{KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI"},	    {KVM_CAP_MP_STATE, "MP_STATE"},
	{KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT"}, {KVM_CAP_GET_TSC_KHZ, "GET_TSC_KHZ"},
};

int kvm_extension(const struct kvm *kvm, int capability)
{
	int value = ioctl(kvm->fd, KVM_CHECK_EXTENSION, capability);

	return value < 0 ? 0 : value;
}

static int check_capabilities(const struct kvm *kvm, struct reason *why)
{
	char missing[256] = "";
	size_t used = 0;

	for (unsigned i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		if (!kvm_extension(kvm, required[i].capability) && used < sizeof(missing))
			used += (size_t)snprintf(missing + used, sizeof(missing) - used,
						 " KVM_CAP_%s", required[i].name);
	if (used)
		return reason_set(
			why,
			"/dev/kvm lacks%s; use a newer kernel, or Hornero's driver with its "
			"hypervisor",
			missing);
	return 0;
}

int kvm_open(struct kvm *kvm, struct reason *why)
{
	kvm->fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm->fd < 0) {
		if (errno == ENOENT)
			return reason_set(why,
					  "/dev/kvm does not exist; load hornero.ko on Hornero, "
					  "kvm_intel or kvm_amd elsewhere");
		return reason_set(why, "/dev/kvm: %s; it must be readable and writable for you",
				  strerror(errno));
	}
	int api = ioctl(kvm->fd, KVM_GET_API_VERSION, 0);

	if (api != KVM_API)
		return reason_set(why, "/dev/kvm has API version %d, this program speaks %d", api,
				  KVM_API);
	if (check_capabilities(kvm, why))
		return -1;
	kvm->irqfd = kvm_extension(kvm, KVM_CAP_IRQFD);
	kvm->ioeventfd = kvm_extension(kvm, KVM_CAP_IOEVENTFD);
	kvm->ioeventfd_any_length = kvm_extension(kvm, KVM_CAP_IOEVENTFD_ANY_LENGTH);

	kvm->run_bytes = ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	kvm->vm_fd = ioctl(kvm->fd, KVM_CREATE_VM, 0);
	if (kvm->vm_fd < 0)
		return reason_set(why, "/dev/kvm: KVM_CREATE_VM: %s", strerror(errno));
	if (kvm_extension(kvm, KVM_CAP_SET_TSS_ADDR) &&
	    ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, LAYOUT_TSS_BASE))
		return reason_set(why, "/dev/kvm: KVM_SET_TSS_ADDR: %s", strerror(errno));

	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {GSI_PINS}};

	if (ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &split))
		return reason_set(why, "/dev/kvm: split irqchip with %d pins: %s", GSI_PINS,
				  strerror(errno));
	return 0;
}

/* A second machine of the same name keeps the one that the driver made up. */
void kvm_name(const struct kvm *kvm, const char *text)
{
	struct hv_vm_name name;

	if (!kvm_extension(kvm, KVM_CAP_HORNERO) || ioctl(kvm->vm_fd, HORNERO_GET_NAME, &name))
		return;
	snprintf(name.name, sizeof(name.name), "%s", text);
	ioctl(kvm->vm_fd, HORNERO_SET_NAME, &name);
}

int kvm_add_memory(struct kvm *kvm, const struct guest_memory *memory, struct reason *why)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct guest_range *range = &memory->range[i];
		struct kvm_userspace_memory_region region = {
			.slot = i,
			.guest_phys_addr = range->gpa,
			.memory_size = range->bytes,
			.userspace_addr = (uintptr_t)range->host,
		};

		if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region))
			return reason_set(why, "memory: /dev/kvm refuses %llu MiB at 0x%llx: %s",
					  (unsigned long long)range->bytes >> 20,
					  (unsigned long long)range->gpa, strerror(errno));
	}
	return 0;
}

bool kvm_doorbell(const struct kvm *kvm, uint64_t gpa, unsigned bytes, int event_fd, bool on)
{
	struct kvm_ioeventfd doorbell = {
		.addr = gpa,
		.len = kvm->ioeventfd_any_length ? 0 : bytes,
		.fd = event_fd,
		.flags = on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN,
	};

	return kvm->ioeventfd && !ioctl(kvm->vm_fd, KVM_IOEVENTFD, &doorbell);
}
