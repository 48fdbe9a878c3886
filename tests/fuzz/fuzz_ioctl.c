// SPDX-License-Identifier: MIT
// sources: $(addprefix control-domain/driver/,convert.c cpuid_policy.c errors.c ioapic.c pic.c)
// sources: $(addprefix control-domain/driver/,pit.c regions.c routing.c)
/*
 * What the driver's ioctls take from user space, as far as it is pure: the file's first byte picks
 * the ioctl, the rest is its arguments, or a sequence of calls. Structures are whatever they are.
 * Nothing may read or write outside of them or loop; a refusal changes nothing; what was accepted
 * is what the rules say, by a second, naive look.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../control-domain/driver/convert.h"
#include "../../control-domain/driver/cpuid_policy.h"
#include "../../control-domain/driver/errors.h"
#include "../../control-domain/driver/ioapic.h"
#include "../../control-domain/driver/pic.h"
#include "../../control-domain/driver/pit.h"
#include "../../control-domain/driver/regions.h"
#include "../../control-domain/driver/routing.h"

enum { STEPS_MAX = 300, CPUID_MAX = 128 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct input {
	const uint8_t *at, *end;
};

static void take(struct input *in, void *to, size_t bytes)
{
	size_t there = (size_t)(in->end - in->at), now = bytes < there ? bytes : there;

	memset(to, 0, bytes);
	memcpy(to, in->at, now);
	in->at += now;
}

#define TAKE(in, type)                                                                             \
	({                                                                                         \
		type taken;                                                                        \
		take(in, &taken, sizeof(taken));                                                   \
		taken;                                                                             \
	})

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* ---- KVM_SET_USER_MEMORY_REGION */

static uint64_t near(struct input *in)
{
	uint16_t value = TAKE(in, uint16_t);

	return value & 0x8000 ? TAKE(in, uint64_t) : (uint64_t)value << 12;
}

static void check_table(const struct region_table *table)
{
	for (uint32_t i = 0; i < REGION_SLOTS; i++) {
		const struct region_range *a = &table->slot[i];

		if (!a->bytes)
			continue;
		must(!((a->gpa | a->bytes | a->uaddr) & 4095) && a->gpa + a->bytes > a->gpa &&
		     a->gpa + a->bytes <= REGION_GPA_LIMIT && a->uaddr + a->bytes >= a->uaddr);
		must(region_find(table, a->gpa) == (int)i &&
		     region_find(table, a->gpa + a->bytes - 1) == (int)i);
		for (uint32_t k = 0; k < i; k++)
			must(!table->slot[k].bytes || table->slot[k].gpa >= a->gpa + a->bytes ||
			     a->gpa >= table->slot[k].gpa + table->slot[k].bytes);
	}
}

static void set_region(struct input *in)
{
	static struct region_table table;

	memset(&table, 0, sizeof(table));
	for (int n = 0; n < STEPS_MAX && in->at < in->end; n++) {
		uint32_t slot = TAKE(in, uint8_t) % (REGION_SLOTS + 8);
		struct region_range wanted = {
			.gpa = near(in), .bytes = near(in), .uaddr = near(in)};
		struct region_range old = slot < REGION_SLOTS ? table.slot[slot] : wanted;
		int plan;

		wanted.readonly = TAKE(in, uint8_t) & 1;
		wanted.logged = TAKE(in, uint8_t) & 1;
		plan = region_plan(&table, slot, &wanted);
		must(plan == REGION_NOTHING || plan == REGION_LOG || plan == -EINVAL ||
		     plan == -EEXIST || plan == REGION_CREATE || plan == REGION_DELETE ||
		     plan == REGION_MOVE);
		must((plan == REGION_DELETE || plan == REGION_MOVE || plan == REGION_LOG) <=
		     !!old.bytes);
		must((plan == REGION_LOG) <=
		     (old.logged != wanted.logged && old.gpa == wanted.gpa));
		if (plan == REGION_CREATE || plan == REGION_MOVE || plan == REGION_LOG)
			region_set(&table, slot, &wanted);
		else if (plan == REGION_DELETE)
			memset(&table.slot[slot], 0, sizeof(table.slot[slot]));
		check_table(&table);
	}
}

/* ---- KVM_SET_GSI_ROUTING */

static void set_routing(struct input *in)
{
	static struct kvm_irq_routing_entry entry[64];
	static struct route route[ROUTING_MAX];
	bool chips = TAKE(in, uint8_t) & 1;
	uint32_t count = TAKE(in, uint8_t) % 64, messages = 0, pins = TAKE(in, uint16_t);
	uint64_t vectors[4];

	for (uint32_t i = 0; i < count; i++) {
		uint8_t how = TAKE(in, uint8_t);

		if (how & 0x80) {
			take(in, &entry[i], sizeof(entry[i]));
			continue;
		}
		entry[i] = (struct kvm_irq_routing_entry){
			.gsi = TAKE(in, uint8_t), .type = how & 1 ? KVM_IRQ_ROUTING_MSI : 1};
		if (how & 1) {
			take(in, &entry[i].u.msi, 12);
		} else {
			entry[i].u.irqchip.irqchip = how >> 1 & 3;
			entry[i].u.irqchip.pin = TAKE(in, uint8_t) & 31;
		}
	}
	if (routing_fill(route, entry, count, chips))
		return;
	for (uint32_t i = 0; i < ROUTING_MAX; i++) {
		messages += route[i].valid;
		must(route[i].pic <= 16 && route[i].ioapic <= KVM_IOAPIC_NUM_PINS);
		must(!route[i].valid || (!route[i].pic && !route[i].ioapic));
		must(chips || (!route[i].pic && !route[i].ioapic));
	}
	must(messages <= count);
	routing_eoi_vectors(route, pins, vectors);
	for (uint32_t i = 0; i < ROUTING_MAX && i < pins; i++)
		if (route[i].valid && (route[i].data & 0x8700) == 0x8000)
			must(vectors[(route[i].data & 0xff) / 64] >> (route[i].data & 63) & 1);
}

/* ---- registers: what was accepted comes back as it was given */

static void set_registers(struct input *in)
{
	struct kvm_sregs sregs = TAKE(in, struct kvm_sregs), back = {0};
	uint64_t cr4 = TAKE(in, uint64_t);
	struct hv_sregs inside = {0};

	if (!convert_sregs_valid(&sregs, cr4))
		return;
	must(!(sregs.cr4 & ~cr4));
	must(!(sregs.efer & 0x400) || (sregs.cr0 >> 31 & 1 && sregs.cr4 & 0x20));
	convert_sregs_from_kvm(&sregs, &inside);
	convert_sregs_to_kvm(&inside, &back);
	must(back.cr0 == sregs.cr0 && back.cr3 == sregs.cr3 && back.cr4 == sregs.cr4 &&
	     back.efer == sregs.efer && back.cs.base == sregs.cs.base &&
	     back.tr.selector == sregs.tr.selector && back.gdt.limit == sregs.gdt.limit &&
	     back.ss.limit == sregs.ss.limit);
}

static void set_events(struct input *in)
{
	struct kvm_vcpu_events events = TAKE(in, struct kvm_vcpu_events), back = {0};
	struct hv_events inside = TAKE(in, struct hv_events), was = inside;
	uint64_t bitmap[4], again[4];
	uint32_t mp_state = TAKE(in, uint32_t), activity = 0;

	take(in, bitmap, sizeof(bitmap));
	if (!convert_events_from_kvm(&events, &inside))
		must(!memcmp(&inside, &was, sizeof(was)));
	convert_events_to_kvm(&inside, &back);
	convert_interrupt_from_kvm(bitmap, &inside);
	convert_interrupt_to_kvm(&inside, again);
	if (convert_activity_from_kvm(mp_state, &activity))
		must(activity <= HV_ACTIVITY_SIPI_RECEIVED &&
		     (convert_activity_to_kvm(activity) == mp_state ||
		      mp_state == KVM_MP_STATE_INIT_RECEIVED)); /* is one with UNINITIALIZED */
	convert_activity_to_kvm(TAKE(in, uint32_t));
}

static void set_fpu(struct input *in)
{
	struct kvm_fpu fpu = TAKE(in, struct kvm_fpu), back = {0};
	uint8_t *xsave = calloc(1, 576); /* legacy area and header: not a byte more */

	take(in, xsave, 576);
	convert_fpu_from_kvm(&fpu, xsave);
	convert_fpu_to_kvm(xsave, &back);
	must(back.mxcsr == fpu.mxcsr && !memcmp(back.xmm, fpu.xmm, sizeof(fpu.xmm)));
	free(xsave);
}

/* ---- KVM_SET_CPUID2, KVM_GET_SUPPORTED_CPUID */

static const uint8_t *noise;
static size_t noise_bytes;

static void noisy_cpuid(uint32_t leaf, uint32_t subleaf, struct cpuid_regs_out *out)
{
	uint32_t *word = &out->eax;

	for (unsigned int i = 0; i < 4; i++) {
		size_t at = (leaf * 31 + subleaf * 7 + i * 4) % (noise_bytes + 1);

		word[i] = at + 4 <= noise_bytes
				  ? *(const uint32_t *)(const void *)(noise + at / 4 * 4)
				  : 0;
	}
}

static void get_cpuid(struct input *in)
{
	static struct kvm_cpuid_entry2 *entry;
	struct cpuid_machine machine = {.cpuid = noisy_cpuid, .tsc_khz = TAKE(in, uint32_t)};
	uint32_t room = TAKE(in, uint8_t) % (CPUID_MAX + 1), count;
	static uint32_t copy[256];

	noise_bytes = (size_t)(in->end - in->at) & ~3ul;
	if (noise_bytes > sizeof(copy))
		noise_bytes = sizeof(copy);
	memcpy(copy, in->at, noise_bytes);
	noise = (const uint8_t *)copy;
	entry = malloc(room * sizeof(*entry) + 1); /* the sanitizer watches its end */
	count = cpuid_policy(&machine, entry, room);
	for (uint32_t i = 1; count <= room && i < count; i++)
		must(entry[i - 1].function < entry[i].function ||
		     (entry[i - 1].function == entry[i].function &&
		      entry[i - 1].index < entry[i].index));
	must(!(cpuid_policy_cr4(&machine) & (1u << 13 | 1u << 14))); /* VMXE, SMXE */
	free(entry);
}

static void set_cpuid(struct input *in)
{
	uint64_t xcr0 = TAKE(in, uint64_t), cr4 = TAKE(in, uint64_t);
	uint32_t count = (uint32_t)(in->end - in->at) / 28;
	struct kvm_cpuid_entry2 *entry;

	if (count > CPUID_MAX)
		count = CPUID_MAX;
	entry = calloc(count + 1, sizeof(*entry));
	for (uint32_t i = 0; i < count; i++)
		take(in, &entry[i], 28);
	cpuid_follow(entry, count, xcr0, cr4);
	for (uint32_t i = 0; i < count; i++)
		if (entry[i].function == 1 && !entry[i].index) {
			must((entry[i].ecx >> 27 & 1) == (cr4 >> 18 & 1));
			break;
		}
	free(entry);
}

/* ---- KVM_SET_IRQCHIP, KVM_SET_PIT2, and then a guest */

static void set_pics(struct input *in)
{
	static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};
	struct pics pics;

	take(in, &pics, sizeof(pics));
	pics_update(&pics);
	for (int n = 0; n < STEPS_MAX && in->at < in->end; n++) {
		uint8_t what = TAKE(in, uint8_t), line;

		if (what & 0x80) {
			pics_set(&pics, what & 15, what & 16);
		} else if (what & 0x40) {
			line = pics_acknowledge(&pics);
			must((uint8_t)(line - pics.chip[0].irq_base) < 8 ||
			     (uint8_t)(line - pics.chip[1].irq_base) < 8);
		} else if (what & 0x20) {
			pics_read(&pics, ports[what % 6]);
		} else {
			pics_write(&pics, ports[what % 6], TAKE(in, uint8_t));
		}
		pics_output(&pics);
	}
}

static void set_ioapic(struct input *in)
{
	struct kvm_ioapic_state ioapic = TAKE(in, struct kvm_ioapic_state);
	struct ioapic_message message;
	uint64_t vectors[4];
	int pin;
	bool send;

	for (int n = 0; n < STEPS_MAX && in->at < in->end; n++) {
		uint8_t what = TAKE(in, uint8_t);

		send = false;
		pin = what % IOAPIC_PINS;
		if (what & 0x80) {
			ioapic_set(&ioapic, (unsigned int)pin, what & 0x40, &send);
		} else if (what & 0x40) {
			pin = ioapic_write(&ioapic, what & 1 ? 0x10 : 0,
					   what & 2 ? TAKE(in, uint32_t) : TAKE(in, uint8_t));
			must(pin < (int)IOAPIC_PINS);
			send = pin >= 0 && ioapic_waits(&ioapic, (unsigned int)pin);
		} else if (what & 0x20) {
			must(!(ioapic_end(&ioapic, TAKE(in, uint8_t)) >> IOAPIC_PINS));
		} else {
			ioapic_read(&ioapic, what & 1 ? 0x10 : what);
		}
		ioapic_eoi_vectors(&ioapic, vectors);
		if (!send)
			continue;
		message = ioapic_send(&ioapic, (unsigned int)pin);
		must(message.address >> 20 == 0xfee);
		/* Whose remote IRR is set now must be told about its EOI. */
		if (message.data >> 15 & 1 && (message.data >> 8 & 7) < 2)
			must(vectors[(message.data & 0xff) / 64] >> (message.data & 63) & 1);
	}
}

static void set_pit(struct input *in)
{
	struct kvm_pit_state2 state = TAKE(in, struct kvm_pit_state2);
	uint64_t now = TAKE(in, uint32_t), interval;
	struct pit pit;
	bool repeats;

	pit_reset(&pit, now);
	pit_restore(&pit, &state, now);
	for (int n = 0; n < STEPS_MAX && in->at < in->end; n++) {
		uint8_t what = TAKE(in, uint8_t);

		now += (uint64_t)TAKE(in, uint16_t) << (what >> 3 & 31);
		switch (what & 7) {
		case 4:
			pit_read(&pit, TAKE(in, uint8_t) & 3, now);
			break;
		case 5:
			pit_speaker_write(&pit, TAKE(in, uint8_t), now);
			break;
		case 6:
			pit_speaker_read(&pit, now);
			break;
		default:
			pit_write(&pit, what & 3, TAKE(in, uint8_t), now);
		}
		interval = pit_interval_ns(&pit, &repeats);
		must(interval || !repeats); /* a period of nothing would never end */
		must(interval <= 60000000);
		for (unsigned int i = 0; i < PIT_CHANNELS; i++)
			must(pit.state.channels[i].count && pit.state.channels[i].count <= 0x10000);
	}
}

static void translate_error(struct input *in)
{
	long result = TAKE(in, long);
	int err = hv_to_errno(result);

	must(result >= 0 || (err < 0 && err > -4096));
	must(hv_error_text(result) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static void (*const calls[])(struct input *) = {
		set_region, set_routing, set_registers, set_events, set_fpu,	     get_cpuid,
		set_cpuid,  set_pics,	 set_ioapic,	set_pit,    translate_error,
	};
	struct input in = {.at = data, .end = data + bytes};

	calls[TAKE(&in, uint8_t) % (sizeof(calls) / sizeof(calls[0]))](&in);
	return 0;
}
