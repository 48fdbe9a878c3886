// SPDX-License-Identifier: MIT
/* Checks of KVM_GET_STATS_FD: a file that says itself where its values are. */
#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct kvm_stats_header head_of(int file)
{
	struct kvm_stats_header head = {0};

	if (pread(file, &head, sizeof(head), 0) != sizeof(head))
		memset(&head, 0, sizeof(head));
	return head;
}

/* Descriptors that are as the API wants them; in *named the value of one of them, if it is there.
 */
static uint32_t good_descriptors(int file, const char *name, uint64_t *named)
{
	struct kvm_stats_header head = head_of(file);
	size_t bytes = sizeof(struct kvm_stats_desc) + head.name_size;
	struct kvm_stats_desc *d = calloc(1, bytes + 1);
	uint64_t value;
	uint32_t good = 0;

	for (uint32_t i = 0; i < head.num_desc; i++) {
		if (pread(file, d, bytes, (off_t)(head.desc_offset + i * bytes)) != (ssize_t)bytes)
			break;
		for (uint32_t n = 0; n < d->size; n++)
			if (pread(file, &value, 8, head.data_offset + d->offset + 8 * n) == 8 &&
			    !n && !strcmp(d->name, name))
				*named = value;
		good += d->size && *d->name && strlen(d->name) < head.name_size &&
			pread(file, &value, 8, head.data_offset + d->offset + 8 * d->size - 8) ==
				8 &&
			!d->bucket_size ==
				((d->flags & KVM_STATS_TYPE_MASK) != KVM_STATS_TYPE_LINEAR_HIST);
	}
	free(d);
	return good;
}

static bool id_is_good(int file)
{
	struct kvm_stats_header head = head_of(file);
	char id[256] = "";

	return head.name_size <= sizeof(id) &&
	       pread(file, id, head.name_size, head.id_offset) == (ssize_t)head.name_size &&
	       !strncmp(id, "kvm", 3) && strlen(id) < head.name_size;
}

void check_stats(void)
{
	uint64_t none = UINT64_MAX, before = 0, after = 0, last = 0;
	int vm, vcpu, reason;
	struct client c;

	client_create(&c, 2, guest_ports);
	vm = must(ioctl(c.vm, KVM_GET_STATS_FD, NULL), "KVM_GET_STATS_FD of a VM");
	vcpu = must(ioctl(c.vcpu[0], KVM_GET_STATS_FD, NULL), "KVM_GET_STATS_FD of a vCPU");
	report(head_of(vm).num_desc && good_descriptors(vm, "", &none) == head_of(vm).num_desc,
	       "statistics of a VM", "%u descriptors", head_of(vm).num_desc);
	report(head_of(vcpu).num_desc &&
		       good_descriptors(vcpu, "exits", &before) == head_of(vcpu).num_desc,
	       "statistics of a vCPU", "%u descriptors", head_of(vcpu).num_desc);
	report(id_is_good(vm) && id_is_good(vcpu), "statistics say whose they are", "id");
	reason = client_run(&c, 0);
	good_descriptors(vcpu, "exits", &after);
	report(reason == KVM_EXIT_IO && after > before, "statistics count exits", "%llu, then %llu",
	       (unsigned long long)before, (unsigned long long)after);
	report(write(vcpu, &none, 8) < 0, "statistics cannot be written", "they were");
	client_destroy(&c);
	good_descriptors(vcpu, "exits", &last);
	report(last == after, "statistics outlive the VM", "%llu, then %llu",
	       (unsigned long long)after, (unsigned long long)last);
	close(vm);
	close(vcpu);
}
