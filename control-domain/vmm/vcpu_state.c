// SPDX-License-Identifier: MIT
/*
 * Register state: what a vCPU has after creation (kept for resets), and what a kernel wants at its
 * entry. A reset writes back what was read, so this file knows no register's reset value.
 *
 * The time-stamp counter is left running: it is the clock that all vCPUs share, and writing it one
 * vCPU after the other would take them out of step. The deadline timer is disarmed with the APIC.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "layout.h"
#include "say.h"
#include "vcpu.h"

enum { MSRS_MAX = 512 };

#define MSR_TSC	      0x10
#define MSR_APIC_BASE 0x1b /* part of the special registers */
#define MSR_MTRR_TYPE 0x2ff

#define MTRR_ENABLED_WRITE_BACK 0xc06

#define CR0_PE	 0x1ull
#define CR0_ET	 0x10ull
#define CR0_NE	 0x20ull
#define CR0_WP	 0x10000ull
#define CR0_PG	 0x80000000ull
#define CR4_PAE	 0x20ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull

#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define TYPE_CODE     0xb
#define TYPE_DATA     0x3
#define TYPE_TSS_BUSY 0xb
#define FLAGS_INITIAL 0x2

struct msr_table {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[MSRS_MAX];
};

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_vcpu_events events;
	struct msr_table msrs;
};

#define PIECE(field, name, cap)                                                                    \
	{                                                                                          \
		KVM_GET_##name, KVM_SET_##name, cap, offsetof(struct vcpu_state, field), #name     \
	}

/* In the order of writing: the APIC's format depends on the special registers. */
static const struct piece {
	unsigned long get, set;
	int capability; /* 0: always there */
	size_t offset;
	const char *name;
} pieces[] = {
	PIECE(mp, MP_STATE, KVM_CAP_MP_STATE),
	PIECE(events, VCPU_EVENTS, KVM_CAP_VCPU_EVENTS),
	PIECE(sregs, SREGS, 0),
	PIECE(regs, REGS, 0),
	PIECE(fpu, FPU, 0),
	PIECE(xcrs, XCRS, KVM_CAP_XCRS),
	PIECE(xsave, XSAVE, KVM_CAP_XSAVE),
	PIECE(debug, DEBUGREGS, KVM_CAP_DEBUGREGS),
	PIECE(lapic, LAPIC, 0),
};
enum { PIECES = sizeof(pieces) / sizeof(pieces[0]) };

static bool has_piece(const struct kvm *kvm, const struct piece *piece)
{
	return !piece->capability || kvm_extension(kvm, piece->capability);
}

static void drop_msr(struct msr_table *table, uint32_t at)
{
	memmove(&table->entry[at], &table->entry[at + 1],
		(table->head.nmsrs - at - 1) * sizeof(table->entry[0]));
	table->head.nmsrs--;
}

/* Reads all MSRs that the kernel names; ones that it names and then refuses are left out. */
static void save_msrs(const struct kvm *kvm, int vcpu_fd, struct msr_table *table)
{
	struct {
		struct kvm_msr_list head;
		uint32_t index[MSRS_MAX];
	} list = {.head.nmsrs = MSRS_MAX};

	table->head.nmsrs = 0;
	if (ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, &list))
		return;
	for (uint32_t i = 0; i < list.head.nmsrs; i++)
		if (list.index[i] != MSR_TSC && list.index[i] != MSR_APIC_BASE)
			table->entry[table->head.nmsrs++].index = list.index[i];
	while (table->head.nmsrs) {
		int done = ioctl(vcpu_fd, KVM_GET_MSRS, table);

		if (done < 0 || (uint32_t)done >= table->head.nmsrs)
			return;
		drop_msr(table, (uint32_t)done);
	}
}

/* Writes them back; one that was readable but is not writable is as it was. */
static void restore_msrs(int vcpu_fd, const struct msr_table *saved)
{
	struct msr_table table = *saved;

	while (table.head.nmsrs) {
		int done = ioctl(vcpu_fd, KVM_SET_MSRS, &table);

		if (done < 0 || (uint32_t)done >= table.head.nmsrs)
			return;
		drop_msr(&table, (uint32_t)done);
	}
}

struct vcpu_state *vcpu_state_save(const struct kvm *kvm, int vcpu_fd, struct reason *why)
{
	struct vcpu_state *state = calloc(1, sizeof(*state));

	if (!state) {
		reason_set(why, "out of memory");
		return NULL;
	}
	for (unsigned i = 0; i < PIECES; i++) {
		if (!has_piece(kvm, &pieces[i]))
			continue;
		if (ioctl(vcpu_fd, pieces[i].get, (uint8_t *)state + pieces[i].offset) < 0) {
			reason_set(why, "/dev/kvm: KVM_GET_%s: %s", pieces[i].name,
				   strerror(errno));
			free(state);
			return NULL;
		}
	}
	save_msrs(kvm, vcpu_fd, &state->msrs);
	return state;
}

int vcpu_state_restore(const struct kvm *kvm, int vcpu_fd, const struct vcpu_state *state,
		       struct reason *why)
{
	struct vcpu_state copy = *state;

	for (unsigned i = 0; i < PIECES; i++) {
		if (!has_piece(kvm, &pieces[i]))
			continue;
		if (ioctl(vcpu_fd, pieces[i].set, (uint8_t *)&copy + pieces[i].offset) < 0)
			return reason_set(why, "/dev/kvm: KVM_SET_%s: %s", pieces[i].name,
					  strerror(errno));
	}
	restore_msrs(vcpu_fd, &state->msrs);
	return 0;
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool is_long)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = !is_long,
		.l = is_long,
	};
}

/* As firmware leaves it: MTRRs on, memory write-back; Linux uses the PAT only then. Optional. */
static void enable_mtrrs(int vcpu_fd)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[1];
	} msrs = {.head.nmsrs = 1,
		  .entry = {{.index = MSR_MTRR_TYPE, .data = MTRR_ENABLED_WRITE_BACK}}};

	if (ioctl(vcpu_fd, KVM_SET_MSRS, &msrs) != 1)
		say_info("the hypervisor keeps MTRRs off; the guest maps device memory uncached");
}

int vcpu_state_enter(int vcpu_fd, const struct boot_start *start, struct reason *why)
{
	bool is_long = start->protocol == BOOT_LINUX64;
	struct kvm_segment data = flat_segment(SELECTOR_DATA, TYPE_DATA, false);
	struct kvm_regs regs = {.rip = start->entry, .rflags = FLAGS_INITIAL};
	struct kvm_sregs sregs;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return reason_set(why, "/dev/kvm: KVM_GET_SREGS: %s", strerror(errno));
	sregs.cs = flat_segment(SELECTOR_CODE, TYPE_CODE, is_long);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = (struct kvm_segment){.limit = 0x67, .type = TYPE_TSS_BUSY, .present = 1};
	sregs.gdt.base = LAYOUT_GDT;
	sregs.gdt.limit = 4 * 8 - 1;
	sregs.cr0 = CR0_PE | CR0_ET | CR0_NE;
	if (is_long) {
		sregs.cr0 |= CR0_PG | CR0_WP;
		sregs.cr3 = LAYOUT_PAGE_TABLES;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
		regs.rsi = start->argument;
	} else {
		regs.rbx = start->argument;
	}
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return reason_set(why, "/dev/kvm refuses the kernel's initial registers: %s",
				  strerror(errno));
	enable_mtrrs(vcpu_fd);
	return 0;
}

void vcpu_state_describe(int vcpu_fd, char *text, size_t bytes)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (ioctl(vcpu_fd, KVM_GET_REGS, &regs) || ioctl(vcpu_fd, KVM_GET_SREGS, &sregs)) {
		snprintf(text, bytes, "(registers unreadable: %s)", strerror(errno));
		return;
	}
	snprintf(text, bytes,
		 "RIP %llx, RSP %llx, RFLAGS %llx, CR0 %llx, CR2 %llx, CR3 %llx, CR4 %llx, EFER "
		 "%llx, CS %x, RAX %llx, RBX %llx, RCX %llx, RDX %llx, RSI %llx, RDI %llx",
		 regs.rip, regs.rsp, regs.rflags, sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4,
		 sregs.efer, sregs.cs.selector, regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi,
		 regs.rdi);
}
