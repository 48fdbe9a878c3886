// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk has one loop for all formats, which differ in a row of a table: how many levels, how
 * wide the index and the entry, where a large page may stand. On the way down it collects the
 * entries and their rights; the access is judged once, at the end, from what they have in common;
 * only then are accessed and dirty bits written, each with a compare-and-exchange, and if the guest
 * changed an entry meanwhile, all starts again.
 */
#include "gwalk.h"

#define BIT64(n)       (1ull << (n))
#define MASK64(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))

enum {
	LEVELS_MAX = 5,
	ATTEMPTS = 8,
	PKRU_AD = 1, /* of each key's two bits: no access, no writes */
	PKRU_WD = 2,
};

#define CR0_WP	      BIT64(16)
#define CR0_PG	      BIT64(31)
#define CR4_PSE	      BIT64(4)
#define CR4_PAE	      BIT64(5)
#define CR4_LA57      BIT64(12)
#define CR4_SMEP      BIT64(20)
#define CR4_SMAP      BIT64(21)
#define CR4_PKE	      BIT64(22)
#define IA32_EFER_LMA BIT64(10)
#define IA32_EFER_NXE BIT64(11)
#define ENTRY_P	      BIT64(0)
#define ENTRY_RW      BIT64(1)
#define ENTRY_US      BIT64(2)
#define ENTRY_A	      BIT64(5)
#define ENTRY_D	      BIT64(6)
#define ENTRY_PS      BIT64(7)
#define ENTRY_NX      BIT64(63)
#define ENTRY_ADDR    MASK64(51, 12)

enum page_fault_error {
	ERROR_P = 1 << 0,
	ERROR_W = 1 << 1,
	ERROR_U = 1 << 2,
	ERROR_RSVD = 1 << 3,
	ERROR_I = 1 << 4,
	ERROR_PK = 1 << 5,
};

enum format_name { FORMAT_32, FORMAT_PAE, FORMAT_4_LEVEL, FORMAT_5_LEVEL };

/* Level 1 holds the entries of 4 KiB pages. */
static const struct format {
	uint8_t levels, index_bits, entry_bytes;
	uint64_t reserved; /* in every entry, besides what the width of addresses leaves over */
} formats[] = {
	[FORMAT_32] = {2, 10, 4, 0},
	[FORMAT_PAE] = {2, 9, 8, MASK64(62, 52)},
	[FORMAT_4_LEVEL] = {4, 9, 8, 0},
	[FORMAT_5_LEVEL] = {5, 9, 8, 0},
};

/* What a walk found. */
struct walk {
	enum format_name format;
	unsigned int levels; /* entries read; the last one is the leaf */
	uint64_t all, any;   /* bits of all entries, of at least one */
	uint64_t entry[LEVELS_MAX];
	uint64_t entry_gpa[LEVELS_MAX];
	uint64_t gpa;
};

static enum format_name format_of(const struct gwalk_cpu *cpu)
{
	if (cpu->efer & IA32_EFER_LMA)
		return cpu->cr4 & CR4_LA57 ? FORMAT_5_LEVEL : FORMAT_4_LEVEL;
	return cpu->cr4 & CR4_PAE ? FORMAT_PAE : FORMAT_32;
}

static bool is_user(const struct gwalk_cpu *cpu, unsigned int access)
{
	return cpu->cpl == 3 && !(access & GWALK_IMPLICIT);
}

static enum gwalk_result page_fault(const struct gwalk_cpu *cpu, uint64_t linear,
				    unsigned int access, uint32_t error, struct guest_fault *fault)
{
	bool tells_fetches =
		cpu->cr4 & CR4_SMEP || (cpu->cr4 & CR4_PAE && cpu->efer & IA32_EFER_NXE);

	if (access & GWALK_WRITE)
		error |= ERROR_W;
	if (is_user(cpu, access))
		error |= ERROR_U;
	if (access & GWALK_FETCH && tells_fetches)
		error |= ERROR_I;
	*fault = (struct guest_fault){
		.vector = VECTOR_PF, .has_error = true, .error = error, .cr2 = linear};
	return GWALK_FAULT;
}

static bool is_large(const struct gwalk_cpu *cpu, enum format_name format, unsigned int level,
		     uint64_t entry)
{
	if (!(entry & ENTRY_PS))
		return false;
	if (format == FORMAT_32)
		return level == 2 && cpu->cr4 & CR4_PSE;
	return level == 2 || (level == 3 && cpu->gigabyte_pages);
}

/* The guest's CPUID is the device model's to choose: no nonsense may come of nonsense. */
static unsigned int physical_bits(const struct gwalk_cpu *cpu, unsigned int most)
{
	if (cpu->physical_bits < 32)
		return 32;
	return cpu->physical_bits < most ? cpu->physical_bits : most;
}

/* The bits that must be 0 in every present entry. */
static uint64_t reserved_always(const struct gwalk_cpu *cpu, enum format_name format)
{
	uint64_t reserved = formats[format].reserved;

	if (format == FORMAT_32)
		return 0;
	reserved |= MASK64(51, physical_bits(cpu, 52)); /* none with 52 */
	return cpu->efer & IA32_EFER_NXE ? reserved : reserved | ENTRY_NX;
}

/* Besides those, the ones of a level. */
static uint64_t reserved_in(const struct gwalk_cpu *cpu, enum format_name format,
			    unsigned int level, bool large)
{
	if (!large)
		return level > 2 ? ENTRY_PS : 0;
	/* A 4 MiB page keeps bits 32 and up of its address from bit 13 on, 40 at most. */
	if (format == FORMAT_32)
		return MASK64(21, physical_bits(cpu, 40) - 19);
	return MASK64(12 + 9 * (level - 1) - 1, 13);
}

static uint64_t leaf_address(enum format_name format, uint64_t entry, unsigned int shift,
			     uint64_t linear)
{
	uint64_t base = entry & ENTRY_ADDR & (~0ull << shift);

	if (format == FORMAT_32 && shift > 12)
		base |= (entry & MASK64(20, 13)) << (32 - 13);
	return base | (linear & ~(~0ull << shift));
}

/* Reads entries down to the leaf. Faults of this part: not present, reserved bits. */
static enum gwalk_result descend(const struct gwalk_cpu *cpu, const struct gwalk_ops *ops,
				 void *context, uint64_t linear, unsigned int access,
				 struct walk *w, struct guest_fault *fault)
{
	const struct format *f = &formats[w->format];
	uint64_t reserved = reserved_always(cpu, w->format);
	uint64_t table = cpu->cr3 & ENTRY_ADDR, entry, gpa;
	unsigned int level, shift = 12 + f->index_bits * (f->levels - 1);
	bool large;

	if (w->format == FORMAT_PAE) {
		table = cpu->pdpte[linear >> 30 & 3];
		if (!(table & ENTRY_P))
			return page_fault(cpu, linear, access, 0, fault);
		table &= ENTRY_ADDR;
	}
	w->levels = 0;
	w->all = ~0ull;
	w->any = 0;
	for (level = f->levels;; level--, shift -= f->index_bits) {
		gpa = table + (linear >> shift & (BIT64(f->index_bits) - 1)) * f->entry_bytes;
		entry = 0;
		if (!ops->read(context, gpa, &entry, f->entry_bytes))
			return GWALK_NO_TABLE;
		if (!(entry & ENTRY_P))
			return page_fault(cpu, linear, access, 0, fault);
		large = level > 1 && is_large(cpu, w->format, level, entry);
		if (entry & (reserved | reserved_in(cpu, w->format, level, large)))
			return page_fault(cpu, linear, access, ERROR_P | ERROR_RSVD, fault);
		w->all &= entry;
		w->any |= entry;
		w->entry[w->levels] = entry;
		w->entry_gpa[w->levels++] = gpa;
		if (large || level == 1)
			break;
		table = entry & ENTRY_ADDR;
	}
	w->gpa = leaf_address(w->format, entry, shift, linear);
	return GWALK_OK;
}

/* Protection keys judge data accesses to user pages alone. */
static bool key_forbids(const struct gwalk_cpu *cpu, const struct gwalk_ops *ops, void *context,
			const struct walk *w, unsigned int access)
{
	unsigned int key = w->entry[w->levels - 1] >> 59 & 15, rights;

	if (!(cpu->cr4 & CR4_PKE) || w->format < FORMAT_4_LEVEL || access & GWALK_FETCH)
		return false;
	rights = ops->pkru(context) >> (2 * key) & 3;
	if (rights & PKRU_AD)
		return true;
	return rights & PKRU_WD && access & GWALK_WRITE &&
	       (is_user(cpu, access) || cpu->cr0 & CR0_WP);
}

/* The error code of a violation of rights, or 0. */
static uint32_t judge(const struct gwalk_cpu *cpu, const struct gwalk_ops *ops, void *context,
		      const struct walk *w, unsigned int access)
{
	bool user = is_user(cpu, access), ok = true;
	bool user_page = w->all & ENTRY_US, writable = w->all & ENTRY_RW;
	bool executable = w->format == FORMAT_32 || !(w->any & ENTRY_NX);

	if (user && !user_page)
		ok = false;
	if (access & GWALK_FETCH) {
		if (!executable || (!user && user_page && cpu->cr4 & CR4_SMEP))
			ok = false;
	} else if (!user && user_page && cpu->cr4 & CR4_SMAP &&
		   (!cpu->ac || access & GWALK_IMPLICIT)) {
		ok = false;
	}
	if (access & GWALK_WRITE && !writable && (user || cpu->cr0 & CR0_WP))
		ok = false;
	if (user_page && key_forbids(cpu, ops, context, w, access))
		return ERROR_P | ERROR_PK;
	return ok ? 0 : ERROR_P;
}

static enum gwalk_result mark_used(const struct gwalk_ops *ops, void *context, const struct walk *w,
				   bool dirty)
{
	if (w->all & ENTRY_A && (!dirty || w->entry[w->levels - 1] & ENTRY_D))
		return GWALK_OK;
	for (unsigned int i = 0; i < w->levels; i++) {
		uint64_t marked = w->entry[i] | ENTRY_A;

		if (dirty && i == w->levels - 1)
			marked |= ENTRY_D;
		if (marked == w->entry[i])
			continue;
		switch (ops->update(context, w->entry_gpa[i], w->entry[i], marked,
				    formats[w->format].entry_bytes)) {
		case GWALK_UPDATED:
			break;
		case GWALK_DIFFERENT:
			return GWALK_RACING;
		case GWALK_READ_ONLY:
			return GWALK_NO_TABLE;
		}
	}
	return GWALK_OK;
}

enum gwalk_result gwalk(const struct gwalk_cpu *cpu, const struct gwalk_ops *ops, void *context,
			uint64_t linear, unsigned int access, uint64_t *gpa,
			struct guest_fault *fault)
{
	enum gwalk_result result = GWALK_RACING;

	if (!(cpu->cr0 & CR0_PG)) {
		*gpa = (uint32_t)linear;
		return GWALK_OK;
	}
	for (int i = 0; i < ATTEMPTS && result == GWALK_RACING; i++) {
		struct walk w;
		uint32_t error;

		w.format = format_of(cpu);
		result = descend(cpu, ops, context, linear, access, &w, fault);
		if (result)
			return result;
		error = judge(cpu, ops, context, &w, access);
		if (error)
			return page_fault(cpu, linear, access, error, fault);
		result = mark_used(ops, context, &w, access & GWALK_WRITE);
		*gpa = w.gpa;
	}
	return result;
}
