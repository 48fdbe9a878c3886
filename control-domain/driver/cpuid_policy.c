// SPDX-License-Identifier: GPL-2.0-only
/*
 * The CPUID allow-list. Masks are written bit by bit with their SDM names, so that a reader can
 * check them against the manual and a diff shows which feature was added.
 */
#include "abi/vcpu.h"
#include "cpuid_policy.h"

#define B(n) (1u << (n))

#define LEAF1_ECX                                                                                  \
	(B(0) /* SSE3 */ | B(1) /* PCLMULQDQ */ | B(9) /* SSSE3 */ | B(12) /* FMA */ |             \
	 B(13) /* CMPXCHG16B */ | B(17) /* PCID */ | B(19) /* SSE4.1 */ | B(20) /* SSE4.2 */ |     \
	 B(22) /* MOVBE */ | B(23) /* POPCNT */ | B(25) /* AES */ | B(26) /* XSAVE */ |            \
	 B(28) /* AVX */ | B(29) /* F16C */ | B(30) /* RDRAND */)
#define LEAF1_ECX_ALWAYS (B(21) /* x2APIC */ | B(24) /* TSC deadline */ | B(31) /* hypervisor */)

#define LEAF1_EDX                                                                                  \
	(B(0) /* FPU */ | B(1) /* VME */ | B(2) /* DE */ | B(3) /* PSE */ | B(4) /* TSC */ |       \
	 B(5) /* MSR */ | B(6) /* PAE */ | B(7) /* MCE */ | B(8) /* CX8 */ | B(9) /* APIC */ |     \
	 B(11) /* SEP */ | B(12) /* MTRR */ | B(13) /* PGE */ | B(14) /* MCA */ |                  \
	 B(15) /* CMOV */ | B(16) /* PAT */ | B(17) /* PSE36 */ | B(19) /* CLFLUSH */ |            \
	 B(23) /* MMX */ | B(24) /* FXSR */ | B(25) /* SSE */ | B(26) /* SSE2 */ | B(27) /* SS */)

#define LEAF7_EBX                                                                                  \
	(B(0) /* FSGSBASE */ | B(1) /* TSC_ADJUST */ | B(3) /* BMI1 */ | B(5) /* AVX2 */ |         \
	 B(7) /* SMEP */ | B(8) /* BMI2 */ | B(9) /* ERMS */ | B(10) /* INVPCID */ |               \
	 B(16) /* AVX512F */ | B(17) /* AVX512DQ */ | B(18) /* RDSEED */ | B(19) /* ADX */ |       \
	 B(20) /* SMAP */ | B(21) /* AVX512_IFMA */ | B(23) /* CLFLUSHOPT */ | B(24) /* CLWB */ |  \
	 B(28) /* AVX512CD */ | B(29) /* SHA */ | B(30) /* AVX512BW */ | B(31) /* AVX512VL */)
#define LEAF7_ECX                                                                                  \
	(B(1) /* AVX512_VBMI */ | B(2) /* UMIP */ | B(3) /* PKU */ | B(6) /* AVX512_VBMI2 */ |     \
	 B(8) /* GFNI */ | B(9) /* VAES */ | B(10) /* VPCLMULQDQ */ | B(11) /* AVX512_VNNI */ |    \
	 B(12) /* AVX512_BITALG */ | B(14) /* AVX512_VPOPCNTDQ */ | B(22) /* RDPID */ |            \
	 B(27) /* MOVDIRI */ | B(28) /* MOVDIR64B */)
#define LEAF7_EDX                                                                                  \
	(B(2) /* AVX512_4VNNIW */ | B(3) /* AVX512_4FMAPS */ | B(4) /* FSRM */ |                   \
	 B(8) /* AVX512_VP2INTERSECT */ | B(10) /* MD_CLEAR */ | B(14) /* SERIALIZE */ |           \
	 B(26) /* IBRS and IBPB */ | B(27) /* STIBP */ | B(31) /* SSBD */)

#define LEAFD1_EAX (B(0) /* XSAVEOPT */ | B(1) /* XSAVEC */ | B(2) /* XGETBV(1) */)

#define EXT1_ECX (B(0) /* LAHF */ | B(5) /* LZCNT */ | B(8) /* PREFETCHW */)
#define EXT1_EDX                                                                                   \
	(B(11) /* SYSCALL */ | B(20) /* NX */ | B(26) /* 1 GiB pages */ | B(27) /* RDTSCP */ |     \
	 B(29) /* LM */)
#define EXT7_EDX B(8) /* invariant TSC */

/* The AMD vendor repeats leaf 1's bits in 80000001h EDX; not offered until there is SVM. */

#define MAX_BASIC    0x16u
#define MAX_EXTENDED 0x80000008u
#define CACHE_LEAVES 8
#define KVM_LEAF     0x40000000u
#define BUS_MHZ	     100u

struct table {
	const struct cpuid_machine *machine;
	struct kvm_cpuid_entry2 *entry;
	uint32_t room, count;
};

static void add(struct table *table, uint32_t function, uint32_t index, bool indexed,
		struct cpuid_regs_out out)
{
	if (table->count < table->room)
		table->entry[table->count] = (struct kvm_cpuid_entry2){
			.function = function,
			.index = index,
			.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = out.eax,
			.ebx = out.ebx,
			.ecx = out.ecx,
			.edx = out.edx,
		};
	table->count++;
}

static struct cpuid_regs_out ask(struct table *table, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs_out out;

	table->machine->cpuid(leaf, subleaf, &out);
	return out;
}

static void add_features(struct table *table)
{
	struct cpuid_regs_out out = ask(table, 1, 0);

	/* Brand index and CLFLUSH size; processor count and APIC id are the device model's. */
	out.ebx &= 0xffff;
	out.ecx = (out.ecx & LEAF1_ECX) | LEAF1_ECX_ALWAYS;
	out.edx &= LEAF1_EDX;
	add(table, 1, 0, false, out);
}

static void add_caches(struct table *table)
{
	struct cpuid_regs_out out;
	uint32_t index;

	for (index = 0; index < CACHE_LEAVES; index++) {
		out = ask(table, 4, index);
		if (!(out.eax & 0x1f))
			break;
		out.eax &= 0x3ff; /* without the counts of sharing threads and cores */
		add(table, 4, index, true, out);
	}
	add(table, 4, index, true, (struct cpuid_regs_out){0});
}

static void add_structured_features(struct table *table)
{
	struct cpuid_regs_out out = ask(table, 7, 0);

	out.eax = 0;
	out.ebx &= LEAF7_EBX;
	out.ecx &= LEAF7_ECX;
	out.edx &= LEAF7_EDX;
	add(table, 7, 0, true, out);
}

static uint64_t guest_xcr0(struct table *table)
{
	struct cpuid_regs_out out = ask(table, 0xd, 0);

	return ((uint64_t)out.edx << 32 | out.eax) & CPUID_XCR0_ALLOWED;
}

/* Sizes: of the legacy area, header and the components shown, in the standard format. */
static uint32_t xsave_bytes(struct table *table, uint64_t xcr0)
{
	struct cpuid_regs_out out;
	uint32_t bytes = 512 + 64;
	uint32_t i;

	for (i = 2; i < 63; i++) {
		if (!(xcr0 >> i & 1))
			continue;
		out = ask(table, 0xd, i);
		if (out.ebx + out.eax > bytes)
			bytes = out.ebx + out.eax;
	}
	return bytes;
}

static void add_xsave(struct table *table)
{
	uint64_t xcr0 = guest_xcr0(table);
	uint32_t bytes = xsave_bytes(table, xcr0);
	struct cpuid_regs_out out = ask(table, 0xd, 1);
	uint32_t i;

	add(table, 0xd, 0, true,
	    (struct cpuid_regs_out){(uint32_t)xcr0, bytes, bytes, (uint32_t)(xcr0 >> 32)});
	out.eax &= LEAFD1_EAX | (table->machine->xsaves ? B(3) : 0);
	out.ebx = out.eax & (B(1) | B(3)) ? bytes : 0; /* the hypervisor says what it is now */
	out.ecx = 0;
	out.edx = 0;
	add(table, 0xd, 1, true, out);
	for (i = 2; i < 63; i++)
		if (xcr0 >> i & 1)
			add(table, 0xd, i, true, ask(table, 0xd, i));
}

/*
 * TSC = crystal * EBX / EAX, and the crystal is also the clock of the guest's APIC timer, which the
 * hypervisor derives from the TSC: halved as often as it takes to fit 32 bits of Hz.
 */
static void add_time(struct table *table)
{
	uint32_t khz = table->machine->tsc_khz;
	uint32_t mhz = (khz + 500) / 1000, shift = hv_lapic_timer_shift(khz);

	add(table, 0x15, 0, false,
	    (struct cpuid_regs_out){1, 1u << shift, (uint32_t)((uint64_t)khz * 1000 >> shift), 0});
	add(table, 0x16, 0, false, (struct cpuid_regs_out){mhz, mhz, BUS_MHZ, 0});
}

/* KVM's signature without any of KVM's features: enough for Linux to keep the x2APIC. */
static void add_hypervisor(struct table *table)
{
	struct cpuid_regs_out out = {.eax = KVM_LEAF + 1};

	memcpy(&out.ebx, "KVMK", 4);
	memcpy(&out.ecx, "VMKV", 4);
	memcpy(&out.edx, "M\0\0\0", 4);
	add(table, KVM_LEAF, 0, false, out);
	add(table, KVM_LEAF + 1, 0, false, (struct cpuid_regs_out){0});
}

static void add_extended(struct table *table)
{
	struct cpuid_regs_out out = ask(table, 0x80000001, 0);
	uint32_t leaf;

	add(table, 0x80000000, 0, false, (struct cpuid_regs_out){.eax = MAX_EXTENDED});
	out.ebx = 0;
	out.ecx &= EXT1_ECX;
	out.edx &= EXT1_EDX;
	add(table, 0x80000001, 0, false, out);
	for (leaf = 0x80000002; leaf <= 0x80000006; leaf++)
		add(table, leaf, 0, false, ask(table, leaf, 0));
	out = ask(table, 0x80000007, 0);
	add(table, 0x80000007, 0, false, (struct cpuid_regs_out){.edx = out.edx & EXT7_EDX});
	out = ask(table, 0x80000008, 0);
	add(table, 0x80000008, 0, false, (struct cpuid_regs_out){.eax = out.eax & 0xffff});
}

uint32_t cpuid_policy(const struct cpuid_machine *machine, struct kvm_cpuid_entry2 *entry,
		      uint32_t room)
{
	struct table table = {.machine = machine, .entry = entry, .room = room};
	struct cpuid_regs_out out = ask(&table, 0, 0);

	out.eax = MAX_BASIC;
	add(&table, 0, 0, false, out);
	add_features(&table);
	add(&table, 2, 0, false, ask(&table, 2, 0));
	add_caches(&table);
	add(&table, 6, 0, false, (struct cpuid_regs_out){.eax = B(2) /* APIC timer always runs */});
	add_structured_features(&table);
	add(&table, 0xb, 0, true, (struct cpuid_regs_out){0});
	if (ask(&table, 1, 0).ecx & B(26))
		add_xsave(&table);
	add_time(&table);
	add_hypervisor(&table);
	add_extended(&table);
	return table.count;
}

/* SDM 3A "Control Registers": VME to OSXMMEXCPT are there with leaf 1's features. */
uint64_t cpuid_policy_cr4(const struct cpuid_machine *machine)
{
	static const struct {
		uint8_t bit;
		bool leaf7;
		bool ecx; /* else EBX */
		uint8_t feature;
	} rows[] = {
		{11, true, true, 2 /* UMIP */},	  {16, true, false, 0 /* FSGSBASE */},
		{17, false, true, 17 /* PCID */}, {18, false, true, 26 /* XSAVE */},
		{20, true, false, 7 /* SMEP */},  {21, true, false, 20 /* SMAP */},
		{22, true, true, 3 /* PKU */},
	};
	struct cpuid_regs_out one, seven;
	uint64_t bits = B(11) - 1;
	uint32_t value;
	size_t i;

	machine->cpuid(1, 0, &one);
	machine->cpuid(7, 0, &seven);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		value = rows[i].leaf7 ? (rows[i].ecx ? seven.ecx : seven.ebx) : one.ecx;
		if (value & B(rows[i].feature))
			bits |= B(rows[i].bit);
	}
	return bits;
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid_entry2 *entry, uint32_t count,
				     uint32_t function, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (entry[i].function == function && entry[i].index == index)
			return &entry[i];
	return NULL;
}

static uint32_t follow_bit(uint32_t value, uint32_t bit, bool on)
{
	return on ? value | bit : value & ~bit;
}

void cpuid_follow(struct kvm_cpuid_entry2 *entry, uint32_t count, uint64_t xcr0, uint64_t cr4)
{
	struct kvm_cpuid_entry2 *one = find(entry, count, 1, 0), *seven = find(entry, count, 7, 0);
	struct kvm_cpuid_entry2 *size = find(entry, count, 0xd, 0);
	struct kvm_cpuid_entry2 *compact = find(entry, count, 0xd, 1), *component;
	uint32_t end = 512 + 64, packed = end, i;

	for (i = 2; i < 63; i++) {
		component = xcr0 >> i & 1 ? find(entry, count, 0xd, i) : NULL;
		if (!component)
			continue;
		if (component->ebx + component->eax > end)
			end = component->ebx + component->eax;
		if (component->ecx & B(1)) /* at a multiple of 64 bytes */
			packed = (packed + 63) & ~63u;
		packed += component->eax;
	}
	if (one)
		one->ecx = follow_bit(one->ecx, B(27), cr4 & B(18));
	if (seven)
		seven->ecx = follow_bit(seven->ecx, B(4), cr4 & B(22));
	if (size)
		size->ebx = end;
	if (compact && compact->eax & (B(1) | B(3)))
		compact->ebx = packed;
}
