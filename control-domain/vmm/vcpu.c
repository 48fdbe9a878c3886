// SPDX-License-Identifier: MIT
/*
 * The run loop. A kick is a signal with an empty handler plus `immediate_exit`, so that one sent
 * just before KVM_RUN is not lost; who kicks sets `stop` first, and the loop looks at it after
 * clearing `immediate_exit`.
 */
#include "vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "say.h"

#define KICK_SIGNAL SIGUSR1

const char *const vcpu_exit_names[VCPU_EXITS] = {
	[VCPU_EXIT_PORT] = "port",   [VCPU_EXIT_MMIO] = "mmio",
	[VCPU_EXIT_EOI] = "eoi",     [VCPU_EXIT_INTERRUPTED] = "interrupted",
	[VCPU_EXIT_OTHER] = "other",
};

static void count_exit(struct vcpu *vcpu, enum vcpu_exit exit)
{
	__atomic_store_n(&vcpu->exits[exit], vcpu->exits[exit] + 1, __ATOMIC_RELAXED);
}

static void handle_port(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			board_port_write(vcpu->all->board, run->io.port, data, run->io.size);
		else
			board_port_read(vcpu->all->board, run->io.port, data, run->io.size);
	}
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->mmio.is_write)
		board_mmio_write(vcpu->all->board, run->mmio.phys_addr, run->mmio.data,
				 run->mmio.len);
	else
		board_mmio_read(vcpu->all->board, run->mmio.phys_addr, run->mmio.data,
				run->mmio.len);
}

/* Keeps this vCPU (and soon the others) from running on, and reports. */
static void crash(struct vcpu *vcpu, const char *what)
{
	struct vcpus *all = vcpu->all;
	char where[512], text[640];

	pthread_mutex_lock(&all->lock);
	all->stop = true;
	pthread_mutex_unlock(&all->lock);
	vcpu_state_describe(vcpu->fd, where, sizeof(where));
	snprintf(text, sizeof(text), "vCPU %u: %s at %s", vcpu->number, what, where);
	all->crashed(all->context, text);
}

static void handle_other(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	char text[96];

	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		crash(vcpu, "triple fault");
		return;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(text, sizeof(text), "VM entry failed (hardware reason 0x%llx)",
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		crash(vcpu, text);
		return;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(text, sizeof(text), "the hypervisor could not go on (suberror %u)",
			 run->internal.suberror);
		crash(vcpu, text);
		return;
	default:
		snprintf(text, sizeof(text), "unexpected exit %u", run->exit_reason);
		crash(vcpu, text);
	}
}

static void handle_exit(struct vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		count_exit(vcpu, VCPU_EXIT_PORT);
		handle_port(vcpu);
		return;
	case KVM_EXIT_MMIO:
		count_exit(vcpu, VCPU_EXIT_MMIO);
		handle_mmio(vcpu);
		return;
	case KVM_EXIT_IOAPIC_EOI:
		count_exit(vcpu, VCPU_EXIT_EOI);
		ioapic_eoi(&vcpu->all->board->ioapic, vcpu->run->eoi.vector);
		return;
	case KVM_EXIT_INTR:
		count_exit(vcpu, VCPU_EXIT_INTERRUPTED);
		return;
	default:
		count_exit(vcpu, VCPU_EXIT_OTHER);
		handle_other(vcpu);
	}
}

static void park_while_stopped(struct vcpus *all)
{
	if (!__atomic_load_n(&all->stop, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&all->lock);
	all->parked++;
	pthread_cond_broadcast(&all->changed);
	while (all->stop)
		pthread_cond_wait(&all->changed, &all->lock);
	all->parked--;
	pthread_mutex_unlock(&all->lock);
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	char text[96];

	snprintf(text, sizeof(text), "vcpu%u", vcpu->number);
	prctl(PR_SET_NAME, text);
	for (;;) {
		park_while_stopped(vcpu->all);
		if (!ioctl(vcpu->fd, KVM_RUN, 0)) {
			handle_exit(vcpu);
		} else if (errno == EINTR || errno == EAGAIN) {
			count_exit(vcpu, VCPU_EXIT_INTERRUPTED);
			__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		} else {
			snprintf(text, sizeof(text), "KVM_RUN: %s", strerror(errno));
			crash(vcpu, text);
		}
	}
	return NULL;
}

void vcpus_stop(struct vcpus *vcpus)
{
	pthread_mutex_lock(&vcpus->lock);
	__atomic_store_n(&vcpus->stop, true, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < vcpus->count; i++) {
		__atomic_store_n(&vcpus->vcpu[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(vcpus->vcpu[i].thread, KICK_SIGNAL);
	}
	while (vcpus->parked < vcpus->count)
		pthread_cond_wait(&vcpus->changed, &vcpus->lock);
	pthread_mutex_unlock(&vcpus->lock);
}

void vcpus_run(struct vcpus *vcpus)
{
	pthread_mutex_lock(&vcpus->lock);
	vcpus->stop = false;
	vcpus->have_run = true;
	pthread_cond_broadcast(&vcpus->changed);
	pthread_mutex_unlock(&vcpus->lock);
}

static int set_cpuid(struct vcpus *vcpus, struct vcpu *vcpu, struct reason *why)
{
	struct cpuid_table table = {.head.nent = CPUID_ENTRIES_MAX};
	const struct cpuid_guest guest = {
		.cpus = vcpus->count,
		.tsc_khz = vcpus->tsc_khz,
		.deadline_timer = kvm_extension(vcpus->kvm, KVM_CAP_TSC_DEADLINE_TIMER),
	};

	if (ioctl(vcpus->kvm->fd, KVM_GET_SUPPORTED_CPUID, &table))
		return reason_set(why, "/dev/kvm: KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	vcpus->tells_frequency = cpuid_tells_frequency(&table);
	cpuid_adjust(&table, &guest, vcpu->number);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, &table))
		return reason_set(why, "/dev/kvm: KVM_SET_CPUID2 for vCPU %u: %s", vcpu->number,
				  strerror(errno));
	return 0;
}

static int create(struct vcpus *vcpus, unsigned number, struct reason *why)
{
	struct vcpu *vcpu = &vcpus->vcpu[number];

	vcpu->all = vcpus;
	vcpu->number = number;
	vcpu->fd = ioctl(vcpus->kvm->vm_fd, KVM_CREATE_VCPU, number);
	if (vcpu->fd < 0)
		return reason_set(why, "/dev/kvm: vCPU %u of %u cannot be created: %s", number,
				  vcpus->count, strerror(errno));
	vcpu->run = mmap(NULL, (size_t)vcpus->kvm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			 vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		return reason_set(why, "/dev/kvm: page of vCPU %u: %s", number, strerror(errno));
	if (!vcpus->tsc_khz) {
		int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

		if (khz <= 0)
			return reason_set(why, "/dev/kvm: KVM_GET_TSC_KHZ: %s", strerror(errno));
		vcpus->tsc_khz = (uint64_t)khz;
	}
	if (set_cpuid(vcpus, vcpu, why))
		return -1;
	vcpu->initial = vcpu_state_save(vcpus->kvm, vcpu->fd, why);
	return vcpu->initial ? 0 : -1;
}

static void ignore_signal(int number)
{
	(void)number; /* its only purpose is to end KVM_RUN */
}

int vcpus_init(struct vcpus *vcpus, const struct kvm *kvm, struct board *board, unsigned count,
	       void (*crashed)(void *context, const char *what), void *context, struct reason *why)
{
	struct sigaction action = {.sa_handler = ignore_signal};

	*vcpus = (struct vcpus){.kvm = kvm,
				.board = board,
				.crashed = crashed,
				.context = context,
				.stop = true,
				.count = count};
	pthread_mutex_init(&vcpus->lock, NULL);
	pthread_cond_init(&vcpus->changed, NULL);
	sigaction(KICK_SIGNAL, &action, NULL);
	for (unsigned i = 0; i < count; i++)
		if (create(vcpus, i, why))
			return -1;
	return 0;
}

int vcpus_start_threads(struct vcpus *vcpus, struct reason *why)
{
	for (unsigned i = 0; i < vcpus->count; i++) {
		struct vcpu *vcpu = &vcpus->vcpu[i];
		int error = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);

		if (error)
			return reason_set(why, "thread of vCPU %u: %s", i, strerror(error));
	}
	return 0;
}

int vcpus_set_start(struct vcpus *vcpus, const struct boot_start *start, struct reason *why)
{
	for (unsigned i = 0; i < vcpus->count && vcpus->have_run; i++)
		if (vcpu_state_restore(vcpus->kvm, vcpus->vcpu[i].fd, vcpus->vcpu[i].initial, why))
			return -1;
	return vcpu_state_enter(vcpus->vcpu[0].fd, start, why);
}
