// SPDX-License-Identifier: GPL-2.0-only
// sources: control-domain/driver/convert.c
/* Register layouts there and back; each field must arrive where it belongs. */
#include "../../control-domain/driver/convert.h"
#include "test.h"

static uint8_t pattern_byte(size_t i)
{
	return (uint8_t)(i * 167 + 13);
}

static void fill_pattern(void *to, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)to)[i] = pattern_byte(i);
}

TEST(regs_go_by_name)
{
	struct kvm_regs regs, back;
	struct hv_gprs gprs;

	fill_pattern(&regs, sizeof(regs));
	convert_regs_from_kvm(&regs, &gprs);
	CHECK_EQ(gprs.rax, regs.rax);
	CHECK_EQ(gprs.rcx, regs.rcx);
	CHECK_EQ(gprs.rbx, regs.rbx);
	CHECK_EQ(gprs.rsp, regs.rsp);
	CHECK_EQ(gprs.r15, regs.r15);
	back = regs;
	memset(&back, 0, offsetof(struct kvm_regs, rip));
	convert_regs_to_kvm(&gprs, &back);
	CHECK_MEMEQ(&back, &regs, sizeof(regs));
}

TEST(segment_rights_are_those_of_vmx)
{
	struct kvm_sregs kvm = {0};
	struct hv_sregs sregs;

	/* 64-bit code, present: type 11, S, P, L, G */
	kvm.cs = (struct kvm_segment){.base = 1,
				      .limit = 2,
				      .selector = 8,
				      .type = 11,
				      .present = 1,
				      .s = 1,
				      .l = 1,
				      .g = 1};
	kvm.ss = (struct kvm_segment){.type = 3, .present = 1, .s = 1, .dpl = 3, .db = 1, .avl = 1};
	kvm.ds.unusable = 1;
	convert_sregs_from_kvm(&kvm, &sregs);
	CHECK_EQ(sregs.cs.access, 0xa09b);
	CHECK_EQ(sregs.cs.base, 1);
	CHECK_EQ(sregs.cs.limit, 2);
	CHECK_EQ(sregs.cs.selector, 8);
	CHECK_EQ(sregs.ss.access, 0x50f3);
	CHECK_EQ(sregs.ds.access, 0x10000);
	CHECK_EQ(sregs.es.access, 0x10000); /* not present */
}

TEST(sregs_round_trip)
{
	struct hv_sregs sregs, back;
	struct hv_segment *segments[] = {&sregs.cs, &sregs.ds, &sregs.es, &sregs.fs,
					 &sregs.gs, &sregs.ss, &sregs.tr, &sregs.ldt};
	struct kvm_sregs kvm;

	fill_pattern(&sregs, sizeof(sregs));
	for (size_t i = 0; i < 8; i++) {
		segments[i]->access = (segments[i]->access & 0xf0ff) | 0x80;
		memset(segments[i]->pad, 0, sizeof(segments[i]->pad));
	}
	sregs.gdt.pad = sregs.idt.pad = 0;
	sregs.gdt.limit &= 0xffff;
	sregs.idt.limit &= 0xffff;
	memset(sregs.pdpte, 0, sizeof(sregs.pdpte));
	convert_sregs_to_kvm(&sregs, &kvm);
	CHECK_EQ(kvm.cr3, sregs.cr3);
	CHECK_EQ(kvm.tr.selector, sregs.tr.selector);
	convert_sregs_from_kvm(&kvm, &back);
	CHECK_MEMEQ(&back, &sregs, sizeof(sregs));
}

TEST(interrupt_bitmap)
{
	struct hv_events events = {.inject = 0x80000000 | 0x80000 | 0xc1};
	uint64_t bitmap[4], none[4] = {0};

	events.inject = 0x80000000 | 0xc1;
	convert_interrupt_to_kvm(&events, bitmap);
	CHECK_EQ(bitmap[3], 1ull << 1);
	CHECK_EQ(bitmap[0] | bitmap[1] | bitmap[2], 0);
	events.inject = 0;
	convert_interrupt_from_kvm(bitmap, &events);
	CHECK_EQ(events.inject, 0x800000c1);
	convert_interrupt_from_kvm(none, &events);
	CHECK_EQ(events.inject, 0x800000c1);
	events.inject = 0x80000b0d; /* an exception is no interrupt */
	convert_interrupt_to_kvm(&events, bitmap);
	CHECK_MEMEQ(bitmap, none, sizeof(none));
}

/* Every kind of pending event comes back as it was. */
TEST(events_round_trip)
{
	static const struct hv_events cases[] = {
		{.inject = 0x80000b0d, .inject_error = 0x18},
		{.inject = 0x80000306},
		{.inject = 0x80000603, .inject_length = 1},
		{.inject = 0x80000202, .nmi_pending = 1, .interruptibility = 8},
		{.inject = 0x80000020, .interruptibility = 1},
		{.inject = 0x80000480, .inject_length = 2, .interruptibility = 2},
		{.interruptibility = 8},
	};
	struct kvm_vcpu_events kvm;
	struct hv_events back;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		convert_events_to_kvm(&cases[i], &kvm);
		fill_pattern(&back, sizeof(back));
		back.interruptibility = 0xb;
		CHECK(convert_events_from_kvm(&kvm, &back));
		CHECK_EQ(back.inject, cases[i].inject);
		CHECK_EQ(back.inject_error, cases[i].inject_error);
		CHECK_EQ(back.inject_length, cases[i].inject_length);
		CHECK_EQ(back.nmi_pending, cases[i].nmi_pending);
		CHECK_EQ(back.interruptibility, cases[i].interruptibility);
	}
}

TEST(events_keep_what_flags_do_not_name)
{
	struct hv_events events = {.nmi_pending = 1, .interruptibility = 3, .sipi_vector = 7};
	struct kvm_vcpu_events kvm = {0};

	CHECK(convert_events_from_kvm(&kvm, &events));
	CHECK_EQ(events.nmi_pending, 1);
	CHECK_EQ(events.interruptibility, 3);
	CHECK_EQ(events.sipi_vector, 7);
	kvm.flags = KVM_VCPUEVENT_VALID_SMM;
	CHECK(!convert_events_from_kvm(&kvm, &events));
	kvm.flags = 0;
	kvm.exception.injected = 1;
	kvm.exception.nr = 32;
	CHECK(!convert_events_from_kvm(&kvm, &events));
}

TEST(activity)
{
	uint32_t back;

	for (uint32_t activity = 0; activity <= HV_ACTIVITY_SIPI_RECEIVED; activity++) {
		CHECK(convert_activity_from_kvm(convert_activity_to_kvm(activity), &back));
		CHECK_EQ(back, activity);
	}
	CHECK(!convert_activity_from_kvm(KVM_MP_STATE_STOPPED, &back));
}

/* KVM's structure is FXSAVE's area in another order (SDM 1 "Layout of the XSAVE Area"). */
TEST(fpu)
{
	uint8_t xsave[4096], back[4096];
	struct kvm_fpu fpu;

	fill_pattern(xsave, sizeof(xsave));
	convert_fpu_to_kvm(xsave, &fpu);
	CHECK_EQ(fpu.fcw, pattern_byte(0) | pattern_byte(1) << 8);
	CHECK_EQ(fpu.ftwx, pattern_byte(4));
	CHECK_EQ(fpu.mxcsr & 0xff, pattern_byte(24));
	CHECK_EQ(fpu.fpr[7][0], pattern_byte(32 + 7 * 16));
	CHECK_EQ(fpu.xmm[15][15], pattern_byte(160 + 255));
	memcpy(back, xsave, sizeof(back));
	memset(back, 0, 5);
	memset(back + 24, 0, 4);
	memset(back + 160, 0, 256);
	back[512] = 0x80;
	convert_fpu_from_kvm(&fpu, back);
	CHECK_EQ(back[512], 0x83);
	back[512] = xsave[512];
	CHECK_MEMEQ(back, xsave, sizeof(back));
}

TEST(impossible_control_registers)
{
	struct kvm_sregs sregs = {.cr0 = 0x60000010};

	CHECK(convert_sregs_valid(&sregs, 0x7ff));
	sregs.cr4 = 1 << 13;
	CHECK(!convert_sregs_valid(&sregs, 0x7ff)); /* VMXE */
	sregs.cr4 = 1 << 5;
	sregs.efer = 1 << 8 | 1 << 10;
	CHECK(!convert_sregs_valid(&sregs, 0x7ff)); /* active without paging */
	sregs.cr0 |= 0x80000001;
	CHECK(convert_sregs_valid(&sregs, 0x7ff));
	sregs.cs.l = 1;
	CHECK(convert_sregs_valid(&sregs, 0x7ff));
	sregs.cr4 = 0;
	CHECK(!convert_sregs_valid(&sregs, 0x7ff)); /* without PAE */
	sregs.cr4 = 1 << 5;
	sregs.efer = 1 << 8;
	CHECK(!convert_sregs_valid(&sregs, 0x7ff)); /* LME and paging, but not active */
	sregs.efer = 0;
	CHECK(!convert_sregs_valid(&sregs, 0x7ff)); /* a 64-bit segment in legacy mode */
	sregs.cs.l = 0;
	CHECK(convert_sregs_valid(&sregs, 0x7ff));
	sregs.efer = 1 << 12;
	CHECK(!convert_sregs_valid(&sregs, 0x7ff)); /* SVME */
}
