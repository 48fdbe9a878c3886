// SPDX-License-Identifier: MIT
// sources: vmm/vlapic.c vmm/vlapic_irq.c vmm/vlapic_timer.c
/*
 * The virtual local APIC: registers and modes against tables copied from the SDM, messages against
 * vectors, priorities against a model that knows only sets, posting against threads. The timer has
 * its own file.
 */
#include "test.h"

#include <vlapic.h>

#include <pthread.h>
#include <sched.h>

static uint32_t page[8][1024] __aligned(4096);
static struct vlapic apic[8];

static struct vlapic *fresh(unsigned int i, uint32_t id)
{
	memset(page[i], 0, sizeof(page[i]));
	vlapic_init(&apic[i], page[i], id, i == 0, 4, 1);
	return &apic[i];
}

static struct vlapic *fresh_x2apic(unsigned int i, uint32_t id)
{
	struct vlapic *v = fresh(i, id);

	CHECK_EQ(vlapic_set_base(v, v->base | VLAPIC_BASE_X2APIC, false), 0);
	return v;
}

static struct vlapic_effect effect;

static void put(struct vlapic *v, uint32_t offset, uint64_t value)
{
	CHECK_EQ(vlapic_write(v, offset, value, 1000, &effect), 0);
}

static uint64_t get(struct vlapic *v, uint32_t offset)
{
	uint64_t value;

	CHECK_EQ(vlapic_read(v, offset, 1000, &value), 0);
	return value;
}

static uint32_t errors(struct vlapic *v)
{
	put(v, VLAPIC_ESR, 0);
	return (uint32_t)get(v, VLAPIC_ESR);
}

/* ---- registers */

/* SDM 3A table "Local APIC Register Address Map" and "Local APIC Register Address Space in x2APIC
 * Mode": r/w as memory, R/W as MSR. `kept` is what writing all ones leaves (xAPIC), `reserved` what
 * #GPs (x2APIC). */
static const struct {
	uint32_t offset;
	const char *access;
	uint32_t reset, kept;
} registers[] = {
	{0x020, "rwR", 5u << 24, 5u << 24}, /* writes are ignored */
	{0x030, "rR", 0x50014, 0x50014},
	{0x080, "rwRW", 0, 0xff},
	{0x0a0, "rR", 0, 0},
	{0x0b0, "wW", 0, 0},
	{0x0d0, "rwR", 0, 0xff000000},
	{0x0e0, "rw", 0xffffffff, 0xffffffff},
	{0x0f0, "rwRW", 0xff, 0x3ff},
	{0x280, "rwRW", 0, 0},
	{0x300, "rwRW", 0, 0xccfff & ~0x1000},
	{0x310, "rw", 0, 0xff000000},
	{0x320, "rwRW", 0x10000, 0x700ff},
	{0x330, "rwRW", 0x10000, 0x107ff},
	{0x340, "rwRW", 0x10000, 0x107ff},
	{0x350, "rwRW", 0x10000, 0x1a7ff},
	{0x360, "rwRW", 0x10000, 0x1a7ff},
	{0x370, "rwRW", 0x10000, 0x100ff},
	{0x380, "rwRW", 0, 0xffffffff},
	{0x390, "rR", 0, 0},
	{0x3e0, "rwRW", 0, 0xb},
	{0x3f0, "W", 0, 0},
};

static const char *access_of(uint32_t offset, size_t *row)
{
	*row = ARRAY_SIZE(registers);
	if (offset >= 0x100 && offset < 0x280 && offset % 16 == 0)
		return "rR";
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
		if (registers[i].offset == offset) {
			*row = i;
			return registers[i].access;
		}
	}
	return "";
}

TEST(xapic_register_map)
{
	for (uint32_t offset = 0; offset < 0x1000; offset += 4) {
		struct vlapic *v = fresh(0, 5);
		size_t row;
		const char *access = access_of(offset, &row);
		uint64_t is = get(v, offset);

		CHECK_EQ(errors(v), strchr(access, 'r') ? 0 : 0x80);
		CHECK_EQ(is, row < ARRAY_SIZE(registers) ? registers[row].reset : 0);
		if (offset == 0x280)
			continue;
		put(v, 0xf0, 0x1ff); /* else masks stick */
		put(v, offset, 0xffffffff);
		if (!strchr(access, 'w')) {
			CHECK_EQ(errors(v), 0x80);
			continue;
		}
		CHECK_EQ(errors(v), 0);
		if (offset == 0xb0)
			continue;
		CHECK_EQ(get(v, offset), registers[row].kept);
	}
}

TEST(x2apic_register_map)
{
	for (uint32_t offset = 0; offset < 0x1000; offset += 16) {
		struct vlapic *v = fresh_x2apic(0, 5);
		size_t row;
		const char *access = access_of(offset, &row);
		uint64_t value;

		CHECK_EQ(vlapic_read(v, offset, 0, &value),
			 strchr(access, 'R') ? 0 : -HV_ERR_INVAL);
		for (unsigned int bit = 0; bit < 64; bit++) {
			bool kept = row < ARRAY_SIZE(registers) && bit < 32 &&
				    registers[row].kept >> bit & 1;

			kept = kept || (offset == 0x300 && (bit == 12 || bit >= 32));
			kept = kept || (offset == 0x3f0 && bit < 8);
			put(v, 0xf0, 0x1ff);
			CHECK_EQ(vlapic_write(v, offset, BIT64(bit), 0, &effect),
				 strchr(access, 'W') && kept ? 0 : -HV_ERR_INVAL);
		}
		CHECK_EQ(vlapic_write(v, offset, 0, 0, &effect),
			 strchr(access, 'W') ? 0 : -HV_ERR_INVAL);
	}
}

TEST(x2apic_identity)
{
	struct vlapic *v = fresh_x2apic(0, 0x12345);

	CHECK_EQ(get(v, VLAPIC_ID), 0x12345);
	CHECK_EQ(get(v, VLAPIC_LDR), 0x1234u << 16 | 1u << 5);
	CHECK_EQ(get(v, VLAPIC_VERSION), 0x50014);
	vlapic_reset(v); /* INIT */
	CHECK(vlapic_x2apic(v));
	CHECK_EQ(get(v, VLAPIC_ID), 0x12345);
	CHECK_EQ(get(v, VLAPIC_LDR), 0x1234u << 16 | 1u << 5);
}

TEST(base_transitions)
{
	/* from, to: SDM 3A figure "Local x2APIC State Transitions with IA32_APIC_BASE, INIT, and
	 * Reset" */
	enum { DISABLED = 0, INVALID = 1, XAPIC = 2, X2APIC = 3 };
	static const bool guest_may[4][4] = {
		[DISABLED] = {[DISABLED] = true, [XAPIC] = true},
		[XAPIC] = {[DISABLED] = true, [XAPIC] = true, [X2APIC] = true},
		[X2APIC] = {[DISABLED] = true, [X2APIC] = true},
	};

	for (unsigned int from = 0; from < 4; from++)
		for (unsigned int to = 0; to < 4; to++)
			for (unsigned int host = 0; host < 2; host++) {
				struct vlapic *v = fresh(0, 3);
				bool ok = host ? to != INVALID : guest_may[from][to];

				if (from == INVALID)
					continue;
				CHECK_EQ(vlapic_set_base(v, VLAPIC_DEFAULT_BASE | from << 10, true),
					 0);
				CHECK_EQ(vlapic_set_base(v, VLAPIC_DEFAULT_BASE | to << 10, host),
					 ok ? 0 : -HV_ERR_INVAL);
				CHECK_EQ(v->base, VLAPIC_DEFAULT_BASE | (ok ? to : from) << 10);
			}
	struct vlapic *v = fresh(0, 3);

	CHECK_EQ(v->base, 0xfee00900);
	CHECK_EQ(fresh(1, 4)->base, 0xfee00800);
	for (unsigned int bit = 0; bit < 64; bit++)
		if (bit != 8 && bit != 10 && bit != 11)
			CHECK_EQ(vlapic_set_base(v, v->base ^ BIT64(bit), false), -HV_ERR_INVAL);
	put(v, VLAPIC_SVR, 0x1ff);
	CHECK_EQ(vlapic_set_base(v, VLAPIC_DEFAULT_BASE, false), 0);
	CHECK_EQ(vlapic_set_base(v, VLAPIC_DEFAULT_BASE | VLAPIC_BASE_ENABLE, false), 0);
	CHECK_EQ(get(v, VLAPIC_SVR), 0xff); /* disabling forgets */
}

TEST(software_disable_masks_every_lvt)
{
	struct vlapic *v = fresh(0, 1);

	put(v, VLAPIC_SVR, 0x1ff);
	for (uint32_t lvt = 0x320; lvt <= 0x370; lvt += 16) {
		put(v, lvt, 0x30);
		CHECK_EQ(get(v, lvt), 0x30);
	}
	put(v, VLAPIC_SVR, 0xff);
	for (uint32_t lvt = 0x320; lvt <= 0x370; lvt += 16) {
		CHECK_EQ(get(v, lvt), 0x10030);
		put(v, lvt, 0x30);
		CHECK_EQ(get(v, lvt), 0x10030);
	}
}

TEST(esr_latches_until_written)
{
	struct vlapic *v = fresh(0, 1);

	put(v, VLAPIC_SVR, 0x1ff);
	put(v, VLAPIC_LVT_ERROR, 0xfe);
	put(v, 0x40, 0); /* reserved */
	CHECK_EQ(get(v, VLAPIC_ESR), 0);
	vlapic_merge(v);
	CHECK_EQ(vlapic_next_interrupt(v), 0xfe);
	vlapic_ack(v, 0xfe);
	put(v, VLAPIC_EOI, 0);
	put(v, 0x40, 0); /* no second interrupt for an error that is latched */
	CHECK(!vlapic_has_interrupt(v));
	put(v, VLAPIC_ICR, 0x0f); /* vector 15 */
	CHECK(!effect.send);
	CHECK(vlapic_has_interrupt(v));
	CHECK_EQ(errors(v), 0xa0);
	CHECK_EQ(errors(v), 0);
	struct vlapic_message m = {.vector = 3, .mode = VLAPIC_FIXED, .assert = true};

	/* Its error interrupt may have to wake it; and whoever posts next is not told to. */
	CHECK_EQ(vlapic_deliver(v, &m), VLAPIC_NOTIFY);
	CHECK_EQ(vlapic_deliver(v, &m), VLAPIC_NOTHING);
	CHECK(vlapic_has_interrupt(v));
	CHECK_EQ(errors(v), 0x40);
	put(v, VLAPIC_LVT_ERROR, 0x100fe);
	CHECK_EQ(vlapic_deliver(v, &m), VLAPIC_NOTHING); /* masked */
	CHECK_EQ(errors(v), 0x40);
}

/* ---- messages */

static struct vlapic_message sent(struct vlapic *v, uint64_t icr)
{
	if (!vlapic_x2apic(v))
		put(v, VLAPIC_ICR_HIGH, icr >> 32);
	put(v, VLAPIC_ICR, vlapic_x2apic(v) ? icr : icr & 0xffffffff);
	CHECK(effect.send);
	return effect.message;
}

static void same(struct vlapic_message a, struct vlapic_message b)
{
	CHECK_EQ(a.dest, b.dest);
	CHECK_EQ(a.vector, b.vector);
	CHECK_EQ(a.mode, b.mode);
	CHECK_EQ(a.shorthand, b.shorthand);
	CHECK_EQ(a.logical, b.logical);
	CHECK_EQ(a.level, b.level);
	CHECK_EQ(a.assert, b.assert);
	CHECK_EQ(a.wide, b.wide);
}

TEST(icr_decoded)
{
	static const struct {
		bool x2apic;
		uint64_t icr;
		struct vlapic_message is;
	} row[] = {
		{0, 0x0300000000004030, {.dest = 3, .vector = 0x30, .assert = 1}},
		{1,
		 0x0000010300000830,
		 {.dest = 0x103, .vector = 0x30, .logical = 1, .assert = 1, .wide = 1}},
		{0, 0x00000000000c00fd, {.vector = 0xfd, .shorthand = VLAPIC_OTHERS, .assert = 1}},
		{0, 0x00000000000800fd, {.vector = 0xfd, .shorthand = VLAPIC_ALL, .assert = 1}},
		{0,
		 0x0100000000000140,
		 {.dest = 1, .vector = 0x40, .mode = VLAPIC_LOWEST, .assert = 1}},
		{0, 0x0100000000004400, {.dest = 1, .mode = VLAPIC_NMI, .assert = 1}},
		{0, 0x010000000000c500, {.dest = 1, .mode = VLAPIC_INIT, .assert = 1}},
		{0, 0x0100000000008500, {.dest = 1, .mode = VLAPIC_INIT}},
		{1,
		 0x000000010000469a,
		 {.dest = 1, .vector = 0x9a, .mode = VLAPIC_SIPI, .assert = 1, .wide = 1}},
		{0,
		 0x0000000000044400,
		 {.mode = VLAPIC_NMI, .shorthand = VLAPIC_SELF, .assert = 1}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++)
		same(sent(row[i].x2apic ? fresh_x2apic(0, 0) : fresh(0, 0), row[i].icr), row[i].is);
	struct vlapic *v = fresh_x2apic(0, 0);

	sent(v, 0x1122334400004030);
	CHECK_EQ(get(v, VLAPIC_ICR), 0x1122334400004030);
}

TEST(self_ipi_needs_no_help)
{
	struct vlapic *v = fresh(0, 9);

	put(v, VLAPIC_SVR, 0x1ff);
	put(v, VLAPIC_ICR, 0x44055);
	CHECK(!effect.send);
	CHECK(vlapic_has_interrupt(v));
	CHECK_EQ(vlapic_next_interrupt(v), 0x55);
	v = fresh_x2apic(0, 9);
	put(v, VLAPIC_SVR, 0x1ff);
	put(v, VLAPIC_SELF_IPI, 0x77);
	CHECK(!effect.send);
	CHECK(vlapic_has_interrupt(v));
	CHECK_EQ(vlapic_next_interrupt(v), 0x77);
	put(v, VLAPIC_SELF_IPI, 0x7);
	CHECK_EQ(errors(v), 0x20);
}

TEST(self_ipi_in_short_is_the_same)
{
	static const uint64_t other[] = {0x40005,  0x4c055, 0x40155,
					 0x40455,  0x80055, 0x100055,
					 0x200055, 0x00055, UINT64_C(0x100040055)};
	unsigned int done = 0;

	for (unsigned int round = 0; round < 2000; round++) {
		struct vlapic *v[2] = {fresh_x2apic(0, 9), fresh_x2apic(1, 9)};
		uint64_t icr = 0x40000 | (round & 1) << 14 | round * 7 % 256;
		bool enabled = round % 5, level = round % 11 == 0, moved = round % 13 == 0, taken;
		uint8_t irr = (uint8_t)(16 + round * 31 % 240),
			isr = (uint8_t)(16 + round * 17 % 240);
		uint16_t status, want;

		for (unsigned int i = 0; i < 2; i++) {
			put(v[i], VLAPIC_SVR, enabled ? 0x1ff : 0xff);
			vlapic_set_irr(v[i], isr, false);
			vlapic_merge(v[i]);
			vlapic_ack(v[i], isr);
			vlapic_set_irr(v[i], irr, false);
			if (level)
				vlapic_set_irr(v[i], (uint8_t)icr, true);
			vlapic_merge(v[i]);
			status = vlapic_interrupt_status(v[i]);
			v[i]->moved = moved;
		}
		put(v[1], VLAPIC_ICR, icr);
		vlapic_merge(v[1]);
		want = vlapic_interrupt_status(v[1]);
		taken = vlapic_self_ipi(v[0], icr, &status);
		CHECK_EQ(taken, enabled && !level && !moved && (uint8_t)icr >= 16);
		if (!taken)
			continue;
		done++;
		CHECK_EQ(status, want);
		CHECK(!memcmp(page[0], page[1], sizeof(page[0])));
		CHECK(!v[0]->moved);
	}
	CHECK(done > 500);
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		struct vlapic *v = fresh_x2apic(0, 9);
		uint16_t status = 0;

		put(v, VLAPIC_SVR, 0x1ff);
		v->moved = false;
		CHECK(!vlapic_self_ipi(v, other[i], &status));
		CHECK_EQ(status, 0);
	}
	struct vlapic *v = fresh(0, 9);
	uint16_t status = 0;

	put(v, VLAPIC_SVR, 0x1ff);
	v->moved = false;
	CHECK(!vlapic_self_ipi(v, 0x40055, &status)); /* no x2APIC */
}

TEST(msi_decoded)
{
	static const struct {
		uint64_t address;
		uint32_t data;
		struct vlapic_message is;
	} row[] = {
		{0xfee03000, 0x4041, {.dest = 3, .vector = 0x41, .assert = 1}},
		{0xfee0300c,
		 0x0141,
		 {.dest = 3, .vector = 0x41, .mode = VLAPIC_LOWEST, .logical = 1, .assert = 1}},
		{0xfeeff000, 0xc041, {.dest = 255, .vector = 0x41, .level = 1, .assert = 1}},
		{0x0000aa00fee01000, 0x0400, {.dest = 0xaa01, .mode = VLAPIC_NMI, .assert = 1}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct vlapic_message m;

		vlapic_decode_msi(row[i].address, row[i].data, &m);
		same(m, row[i].is);
	}
}

/* Eight APICs; which of them does each message reach? */
enum setup { FLAT, CLUSTER, X2 };

static void machine(enum setup setup, struct vlapic *all[8])
{
	for (unsigned int i = 0; i < 8; i++) {
		/* x2APIC ids 12..19: two clusters */
		all[i] = setup == X2 ? fresh_x2apic(i, 12 + i) : fresh(i, i);
		put(all[i], VLAPIC_SVR, 0x1ff);
		if (setup == FLAT)
			put(all[i], VLAPIC_LDR, 1u << (24 + i));
		if (setup == CLUSTER) {
			put(all[i], VLAPIC_DFR, 0);
			put(all[i], VLAPIC_LDR, (i / 4 << 4 | 1u << i % 4) << 24);
		}
	}
}

TEST(destinations)
{
	static const struct {
		enum setup setup;
		bool wide, logical;
		uint8_t shorthand;
		uint32_t dest;
		uint64_t reached;
	} row[] = {
		{FLAT, 0, 0, 0, 0, 0x01},
		{FLAT, 0, 0, 0, 7, 0x80},
		{FLAT, 0, 0, 0, 8, 0},
		{FLAT, 0, 0, 0, 0xff, 0xff},
		{FLAT, 0, 1, 0, 0x81, 0x81},
		{FLAT, 0, 1, 0, 0, 0},
		{FLAT, 0, 1, 0, 0xff, 0xff},
		{FLAT, 0, 1, 0, 0x101, 0},
		{FLAT, 0, 1, VLAPIC_SELF, 1, 0x04},
		{FLAT, 0, 0, VLAPIC_ALL, 1, 0xff},
		{FLAT, 0, 0, VLAPIC_OTHERS, 1, 0xfb},
		{CLUSTER, 0, 1, 0, 0x03, 0x03},
		{CLUSTER, 0, 1, 0, 0x1f, 0xf0},
		{CLUSTER, 0, 1, 0, 0x2f, 0},
		{CLUSTER, 0, 1, 0, 0xff, 0xff},
		{CLUSTER, 0, 0, 0, 5, 0x20},
		{CLUSTER, 0, 1, 0, 0x10, 0},
		{X2, 1, 0, 0, 13, 0x02},
		{X2, 1, 0, 0, 0xff, 0},
		{X2, 0, 0, 0, 0xff, 0xff},
		{X2, 1, 0, 0, 0xffffffff, 0xff},
		{X2, 1, 1, 0, 0x0000f000, 0x0f},
		{X2, 1, 1, 0, 0x0001000f, 0xf0},
		{X2, 1, 1, 0, 0x00010005, 0x50},
		{X2, 1, 1, 0, 0x00020001, 0},
		{X2, 1, 1, 0, 0xffffffff, 0xff},
		{X2, 1, 1, 0, 0x00010010, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct vlapic *all[8];
		struct vlapic_message m = {.dest = row[i].dest,
					   .vector = 0x30,
					   .logical = row[i].logical,
					   .shorthand = row[i].shorthand,
					   .wide = row[i].wide,
					   .assert = true};
		uint64_t reached;

		machine(row[i].setup, all);
		reached = vlapic_route(all, 8, all[2], &m);
		if (reached != row[i].reached)
			printf("row %zu\n", i);
		CHECK_EQ(reached, row[i].reached);
		for (unsigned int n = 0; n < 8; n++)
			CHECK_EQ(vlapic_match(all[n], all[2], &m), reached >> n & 1);
	}
	struct vlapic *all[8];
	struct vlapic_message m = {.dest = 0xff, .vector = 0x30, .assert = true};

	machine(FLAT, all);
	CHECK_EQ(vlapic_set_base(all[3], VLAPIC_DEFAULT_BASE, false), 0);
	all[4] = NULL;
	CHECK_EQ(vlapic_route(all, 7, NULL, &m), 0x67); /* neither the disabled nor the absent */
}

TEST(lowest_priority_goes_to_one)
{
	struct vlapic *all[8];
	struct vlapic_message m = {.dest = 0x3e,
				   .vector = 0x30,
				   .mode = VLAPIC_LOWEST,
				   .logical = true,
				   .assert = true};

	machine(FLAT, all);
	for (unsigned int i = 0; i < 8; i++)
		put(all[i], VLAPIC_TPR, 0x40 - i * 4); /* 6 and 7 are lower but not addressed */
	CHECK_EQ(vlapic_route(all, 8, NULL, &m), BIT64(5));
	put(all[5], VLAPIC_SVR, 0xff);
	CHECK_EQ(vlapic_route(all, 8, NULL, &m), BIT64(4));
	vlapic_ack(all[4], 0x81); /* in service: busier than its TPR says */
	CHECK_EQ(vlapic_route(all, 8, NULL, &m), BIT64(3));
	m.dest = 0;
	CHECK_EQ(vlapic_route(all, 8, NULL, &m), 0);
}

TEST(delivery)
{
	struct vlapic *v = fresh(0, 0);
	struct vlapic_message m = {.vector = 0x41, .assert = true};
	static const struct {
		uint8_t mode;
		bool assert;
		enum vlapic_delivery is;
	} row[] = {
		{VLAPIC_SMI, 1, VLAPIC_NOTHING},     {3, 1, VLAPIC_NOTHING},
		{VLAPIC_NMI, 1, VLAPIC_DELIVER_NMI}, {VLAPIC_INIT, 1, VLAPIC_DELIVER_INIT},
		{VLAPIC_INIT, 0, VLAPIC_NOTHING},    {VLAPIC_SIPI, 1, VLAPIC_DELIVER_SIPI},
		{VLAPIC_EXTINT, 1, VLAPIC_NOTHING},
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) { /* also when software-disabled */
		m.mode = row[i].mode;
		m.assert = row[i].assert;
		CHECK_EQ(vlapic_deliver(v, &m), row[i].is);
	}
	m.mode = VLAPIC_FIXED;
	CHECK_EQ(vlapic_deliver(v, &m), VLAPIC_NOTHING); /* software-disabled */
	CHECK(!vlapic_has_interrupt(v));
	put(v, VLAPIC_SVR, 0x1ff);
	CHECK_EQ(vlapic_deliver(v, &m), VLAPIC_NOTIFY);
	m.vector = 0x42;
	m.mode = VLAPIC_LOWEST;
	m.level = true;
	CHECK_EQ(vlapic_deliver(v, &m), VLAPIC_NOTHING); /* notified already */
	CHECK_EQ(v->posted.control, 1);
	CHECK_EQ(v->posted.pir[1], 6);
	vlapic_merge(v);
	CHECK_EQ(get(v, VLAPIC_IRR + 0x20), 6);
	CHECK_EQ(get(v, VLAPIC_TMR + 0x20), 4);
	CHECK_EQ(v->posted.control, 0);
	m.level = false;
	CHECK_EQ(vlapic_deliver(v, &m), VLAPIC_NOTIFY);
	CHECK_EQ(get(v, VLAPIC_TMR + 0x20), 0);
}

TEST(who_takes_the_wire)
{
	struct vlapic *v = fresh(0, 0);

	put(v, VLAPIC_SVR, 0x1ff);
	CHECK(!vlapic_accepts_extint(v));
	put(v, VLAPIC_LVT_LINT0, 0x700);
	CHECK(vlapic_accepts_extint(v));
	put(v, VLAPIC_LVT_LINT0, 0x10700);
	CHECK(!vlapic_accepts_extint(v));
	put(v, VLAPIC_LVT_LINT0, 0x8033);
	CHECK(!vlapic_accepts_extint(v));
	CHECK_EQ(vlapic_set_base(v, VLAPIC_DEFAULT_BASE, false), 0);
	CHECK(vlapic_accepts_extint(v)); /* a disabled APIC is a wire */
}

/* ---- priorities */

struct model {
	bool irr[256], isr[256];
	unsigned int tpr;
};

static int top(const bool *set)
{
	int vector = 255;

	while (vector >= 0 && !set[vector])
		vector--;
	return vector;
}

TEST(priorities_against_sets)
{
	static struct model m;
	struct vlapic *v = fresh(0, 0);

	srand(3);
	put(v, VLAPIC_SVR, 0x1ff);
	v->eoi_exit[2] = 0xf0f0f0f0f0f0f0f0;
	for (unsigned int step = 0; step < 40000; step++) {
		int vector = 16 + rand() % 240, isr = top(m.isr), next = top(m.irr);
		unsigned int ppr, class = isr < 0 ? 0 : (unsigned int)isr >> 4;

		switch (rand() % 4) {
		case 0:
			vlapic_set_irr(v, (uint8_t)vector, rand() % 2);
			m.irr[vector] = true;
			break;
		case 1:
			m.tpr = (unsigned int)rand() % 256 >> rand() % 8;
			put(v, VLAPIC_TPR, m.tpr);
			break;
		case 2:
			put(v, VLAPIC_EOI, 0);
			CHECK_EQ(effect.eoi, isr >= 0 && isr / 64 == 2 && (isr & 4));
			if (effect.eoi)
				CHECK_EQ(effect.eoi_vector, isr);
			if (isr >= 0)
				m.isr[isr] = false;
			break;
		default:
			vlapic_merge(v);
			ppr = m.tpr >> 4 >= class ? m.tpr : class << 4;
			CHECK_EQ(get(v, VLAPIC_PPR), ppr);
			CHECK_EQ(vlapic_interrupt_status(v),
				 (isr < 0 ? 0 : isr << 8) | (next < 0 ? 0 : next));
			CHECK_EQ(vlapic_tpr_threshold(v),
				 next >= 0 && next >> 4 > (int)class * (isr >= 0) - (isr < 0) &&
						 next >> 4 <= (int)(m.tpr >> 4)
					 ? next >> 4
					 : 0);
			if (next < 0 || next >> 4 <= (int)(ppr >> 4)) {
				CHECK_EQ(vlapic_next_interrupt(v), -1);
				CHECK(!vlapic_has_interrupt(v));
				break;
			}
			CHECK(vlapic_has_interrupt(v));
			CHECK_EQ(vlapic_next_interrupt(v), next);
			vlapic_ack(v, (uint8_t)next);
			m.irr[next] = false;
			m.isr[next] = true;
		}
	}
	vlapic_merge(v);
	for (uint32_t i = 0; i < 256; i++) {
		CHECK_EQ(get(v, VLAPIC_IRR + i / 32 * 16) >> i % 32 & 1, m.irr[i]);
		CHECK_EQ(get(v, VLAPIC_ISR + i / 32 * 16) >> i % 32 & 1, m.isr[i]);
	}
	/* globally disabled: nothing is delivered */
	CHECK_EQ(vlapic_set_base(v, VLAPIC_DEFAULT_BASE, false), 0);
	vlapic_set_irr(v, 0xff, false);
	CHECK(!vlapic_has_interrupt(v));
}

enum { POSTERS = 3, POSTS = 5000 };

static uint64_t notified, taken[POSTERS], gave_up;

static void *post(void *arg)
{
	uintptr_t me = (uintptr_t)arg;

	for (uint64_t i = 1; i <= POSTS; i++) {
		if (vlapic_set_irr(&apic[0], (uint8_t)(100 + me), false))
			__atomic_add_fetch(&notified, 1, __ATOMIC_SEQ_CST);
		/* a lost interrupt ends the test here; nobody waits for less than a second
		 * otherwise */
		for (uint64_t n = 0; __atomic_load_n(&taken[me], __ATOMIC_SEQ_CST) < i; n++) {
			if (n > 1000000 || __atomic_load_n(&gave_up, __ATOMIC_RELAXED)) {
				__atomic_store_n(&gave_up, 1, __ATOMIC_RELAXED);
				return NULL;
			}
			sched_yield();
		}
	}
	return NULL;
}

/* The owner looks only when notified, and takes exactly what was posted. */
TEST(no_posted_interrupt_is_lost)
{
	pthread_t thread[POSTERS];
	uint64_t looks = 0, sum = 0;

	fresh(0, 0);
	for (uintptr_t i = 0; i < POSTERS; i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, post, (void *)i), 0);
	while (sum < POSTERS * POSTS && !__atomic_load_n(&gave_up, __ATOMIC_RELAXED)) {
		uint64_t notifications = __atomic_load_n(&notified, __ATOMIC_SEQ_CST);

		if (notifications == looks) {
			sched_yield();
			continue;
		}
		looks = notifications;
		vlapic_merge(&apic[0]);
		for (int vector; (vector = vlapic_next_interrupt(&apic[0])) >= 0; sum++) {
			vlapic_ack(&apic[0], (uint8_t)vector);
			put(&apic[0], VLAPIC_EOI, 0);
			__atomic_add_fetch(&taken[vector - 100], 1, __ATOMIC_SEQ_CST);
		}
	}
	for (unsigned int i = 0; i < POSTERS; i++)
		pthread_join(thread[i], NULL);
	CHECK(!gave_up);
	CHECK_EQ(apic[0].posted.control | apic[0].posted.pir[1], 0);
}

enum { ROUNDS = 400 };

static uint64_t round_now, posters_done;

static void *post_all(void *arg)
{
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		while (__atomic_load_n(&round_now, __ATOMIC_SEQ_CST) < round)
			sched_yield();
		for (unsigned int vector = 16 + (unsigned int)(uintptr_t)arg; vector < 256;
		     vector += POSTERS)
			vlapic_set_irr(&apic[0], (uint8_t)vector, false);
		__atomic_add_fetch(&posters_done, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Every vector is posted once a round, while the owner merges as fast as it can. */
TEST(merging_takes_each_bit_once)
{
	pthread_t thread[POSTERS];
	uint64_t missing = 0;

	fresh(0, 0);
	for (uintptr_t i = 0; i < POSTERS; i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, post_all, (void *)i), 0);
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		__atomic_store_n(&round_now, round, __ATOMIC_SEQ_CST);
		for (bool last = false; !last;) {
			last = __atomic_load_n(&posters_done, __ATOMIC_SEQ_CST) == round * POSTERS;
			vlapic_merge(&apic[0]);
		}
		for (unsigned int vector = 16; vector < 256; vector++)
			missing +=
				!(page[0][(VLAPIC_IRR + vector / 32 * 16) / 4] >> vector % 32 & 1);
		memset(&page[0][VLAPIC_IRR / 4], 0, 0x80);
	}
	for (unsigned int i = 0; i < POSTERS; i++)
		pthread_join(thread[i], NULL);
	CHECK_EQ(missing, 0);
}

/* ---- trapped writes, saved state */

/* Random writes to two APICs, to one directly, to the other by way of the page: no difference may
 * show. */
TEST(a_trapped_write_is_a_write)
{
	static const uint32_t offsets[] = {0x20,  0x80,	 0xb0,	0xd0,  0xe0,  0xf0,
					   0x280, 0x300, 0x310, 0x320, 0x330, 0x340,
					   0x350, 0x360, 0x370, 0x380, 0x3e0};
	struct vlapic *a = fresh(0, 6), *b = fresh(1, 6);
	uint64_t now = 0;

	srand(11);
	b->base = a->base;
	put(a, 0xf0, 0x1ff);
	put(b, 0xf0, 0x1ff);
	for (unsigned int i = 0; i < 30000; i++) {
		uint32_t offset = offsets[(unsigned int)rand() % ARRAY_SIZE(offsets)];
		uint32_t value =
			(uint32_t)rand() << (rand() % 17) ^ (uint32_t)rand() >> rand() % 31;
		struct vlapic_effect ea, eb;

		now += (uint64_t)rand() % 100000;
		if (offset == 0xf0 && rand() % 4)
			value |= 0x100;
		CHECK_EQ(vlapic_write(a, offset, value, now, &ea), 0);
		b->regs[offset / 4] = value;
		vlapic_write_trapped(b, offset, now, &eb);
		CHECK_EQ(ea.eoi, eb.eoi);
		CHECK_EQ(ea.send, eb.send);
		CHECK_EQ(ea.eoi_vector, eb.eoi_vector);
		same(ea.message, eb.message);
		CHECK_MEMEQ(a->regs, b->regs, 4096);
		CHECK_EQ(a->deadline, b->deadline);
		CHECK_EQ(a->divide, b->divide);
		CHECK_MEMEQ(&a->posted, &b->posted, sizeof(a->posted));
		vlapic_timer(a, now);
		vlapic_timer(b, now);
	}
}

TEST(state_moves_to_another_apic)
{
	for (unsigned int x2apic = 0; x2apic < 2; x2apic++) {
		struct vlapic *a = x2apic ? fresh_x2apic(0, 0x103) : fresh(0, 3);
		struct vlapic *b = x2apic ? fresh_x2apic(1, 0x103) : fresh(1, 3);
		uint8_t first[VLAPIC_STATE_BYTES], second[VLAPIC_STATE_BYTES];

		put(a, VLAPIC_SVR, 0x1f3);
		put(a, VLAPIC_LVT_TIMER, 0x20040);
		put(a, VLAPIC_LVT_LINT1, 0x400);
		put(a, VLAPIC_TIMER_DIVIDE, 0xb);
		put(a, VLAPIC_TIMER_INITIAL, 1000);
		put(a, VLAPIC_ICR, x2apic ? 0x0000000100004031 : 0x4031);
		put(a, VLAPIC_TPR, 0x20);
		vlapic_ack(a, 0x51);
		vlapic_set_irr(a, 0x61, true);
		vlapic_get_state(a, first, true, 1000 + 4 * 400);
		CHECK_EQ(first[VLAPIC_TIMER_CURRENT] | first[VLAPIC_TIMER_CURRENT + 1] << 8, 600);
		vlapic_set_state(b, first, 500);
		CHECK_EQ(vlapic_deadline(b), 500 + 4 * 600);
		vlapic_get_state(b, second, true, 500);
		CHECK_MEMEQ(first, second, sizeof(first));
		CHECK(vlapic_has_interrupt(b));
		CHECK_EQ(vlapic_next_interrupt(b), 0x61);
		CHECK_EQ(get(b, VLAPIC_PPR), 0x50);
		vlapic_get_state(b, second, false, 500);
		uint32_t id, ldr;

		memcpy(&id, second + VLAPIC_ID, 4);
		memcpy(&ldr, second + VLAPIC_LDR, 4);
		CHECK_EQ(id, 3u << 24); /* KVM's old format has 8 bits */
		CHECK_EQ(ldr, x2apic ? 0x100008 : 0);
	}
}

TEST(state_from_a_hostile_source)
{
	struct vlapic *v = fresh(0, 3);
	uint8_t state[VLAPIC_STATE_BYTES];

	memset(state, 0xff, sizeof(state));
	vlapic_set_state(v, state, 0);
	CHECK_EQ(get(v, VLAPIC_ID), 3u << 24);
	CHECK_EQ(get(v, VLAPIC_VERSION), 0x50014);
	CHECK_EQ(get(v, VLAPIC_SVR), 0x3ff);
	CHECK_EQ(get(v, VLAPIC_LVT_ERROR), 0x100ff);
	CHECK_EQ(get(v, VLAPIC_TIMER_DIVIDE), 0xb);
	CHECK_EQ(get(v, VLAPIC_TPR), 0xff);
	CHECK_EQ(v->regs[0x2f0 / 4], 0); /* a seventh LVT entry that we do not have */
	CHECK_EQ(v->regs[VLAPIC_EOI / 4], 0);
}
