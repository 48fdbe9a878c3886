// SPDX-License-Identifier: MIT
/*
 * VM-entry checks on guest state (see entry_check.h): SDM 3C "Checks on the Guest State Area", in
 * its order: control registers and MSRs, segments, descriptor tables, RIP and RFLAGS, non-register
 * state, PDPTEs.
 */
#include "entry_check_internal.h"

#define RFLAGS_TF	  BIT64(8)
#define RFLAGS_IF	  BIT64(9)
#define RFLAGS_VM	  BIT64(17)
#define RFLAGS_RESERVED	  (MASK64(63, 22) | BIT64(15) | BIT64(5) | BIT64(3))
#define DEBUGCTL_BTF	  BIT64(1)
#define DEBUGCTL_RESERVED (MASK64(63, 16) | MASK64(5, 3))
#define PENDING_BS	  BIT64(14)
#define PENDING_RESERVED  (MASK64(63, 17) | BIT64(15) | BIT64(13) | MASK64(11, 4))
#define SHADOWS		  (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)
#define ACCESS_V86	  0xf3u
#define ACCESS_S	  (1u << 4)
#define ACCESS_P	  (1u << 7)
#define ACCESS_DB	  (1u << 14)
#define ACCESS_G	  (1u << 15)
#define ACCESS_RESERVED	  0xfffe0f00u

enum seg { ES, CS, SS, DS, FS, GS, LDTR, TR };

/* The fields of one kind follow each other in the order of enum seg, two apart. */
#define SEG(kind, s) ((uint32_t)FIELD_GUEST_ES_##kind + 2u * (uint32_t)(s))
static_assert(FIELD_GUEST_TR_SELECTOR == FIELD_GUEST_ES_SELECTOR + 2 * TR, "order of segments");
static_assert(FIELD_GUEST_LDTR_ACCESS == FIELD_GUEST_ES_ACCESS + 2 * LDTR, "order of segments");
static_assert(FIELD_GUEST_SS_LIMIT == FIELD_GUEST_ES_LIMIT + 2 * SS, "order of segments");
static_assert(FIELD_GUEST_GS_BASE == FIELD_GUEST_ES_BASE + 2 * GS, "order of segments");

static uint32_t access_of(struct check *c, enum seg s)
{
	return (uint32_t)GET(SEG(ACCESS, s));
}

static bool usable(struct check *c, enum seg s)
{
	return !(access_of(c, s) & ACCESS_UNUSABLE);
}

static unsigned int type_of(struct check *c, enum seg s)
{
	return access_of(c, s) & 0xf;
}

static unsigned int dpl_of(struct check *c, enum seg s)
{
	return access_of(c, s) >> 5 & 3;
}

static unsigned int rpl_of(struct check *c, enum seg s)
{
	return (unsigned int)GET(SEG(SELECTOR, s)) & 3;
}

static bool unrestricted(struct check *c)
{
	return c->cpu2 & CPU2_UNRESTRICTED_GUEST;
}

static bool long_mode(struct check *c)
{
	return c->entry & ENTRY_IA32E_GUEST;
}

static bool check_registers(struct check *c)
{
	const struct vmx_caps *caps = c->env->caps;
	uint64_t cr0 = GET(FIELD_GUEST_CR0), cr4 = GET(FIELD_GUEST_CR4), efer;
	uint64_t free = unrestricted(c) ? CR0_PE | CR0_PG : 0;

	RULE(FIELD_GUEST_CR0, entry_fixed(cr0, caps->cr0_fixed0 & ~free, caps->cr0_fixed1),
	     "the bits that VMX fixes are as it wants them");
	RULE(FIELD_GUEST_CR0, !(cr0 & CR0_PG) || (cr0 & CR0_PE), "paging needs protected mode");
	RULE(FIELD_GUEST_CR4, entry_fixed(cr4, caps->cr4_fixed0, caps->cr4_fixed1),
	     "the bits that VMX fixes are as it wants them");
	RULE(FIELD_GUEST_CR4, !(cr4 & CR4_CET) || (cr0 & CR0_WP), "CET needs CR0.WP");
	if (c->entry & ENTRY_LOAD_DEBUG)
		RULE(FIELD_GUEST_DEBUGCTL, !(GET(FIELD_GUEST_DEBUGCTL) & DEBUGCTL_RESERVED),
		     "reserved bits are 0");
	RULE(FIELD_GUEST_CR0, !long_mode(c) || (cr0 & CR0_PG), "long mode needs paging");
	RULE(FIELD_GUEST_CR4, !long_mode(c) || (cr4 & CR4_PAE), "long mode needs PAE");
	RULE(FIELD_GUEST_CR4, long_mode(c) || !(cr4 & CR4_PCIDE), "PCIDs need long mode");
	RULE(FIELD_GUEST_CR3, entry_physical(c, GET(FIELD_GUEST_CR3)), "a physical address");
	if (c->entry & ENTRY_LOAD_DEBUG)
		RULE(FIELD_GUEST_DR7, !(GET(FIELD_GUEST_DR7) >> 32), "32 bits");
	RULE(FIELD_GUEST_SYSENTER_ESP, entry_canonical(c, GET(FIELD_GUEST_SYSENTER_ESP)),
	     "a canonical address");
	RULE(FIELD_GUEST_SYSENTER_EIP, entry_canonical(c, GET(FIELD_GUEST_SYSENTER_EIP)),
	     "a canonical address");
	if (c->entry & ENTRY_LOAD_PAT)
		RULE(FIELD_GUEST_PAT, entry_pat(GET(FIELD_GUEST_PAT)),
		     "each byte is a memory type");
	if (!(c->entry & ENTRY_LOAD_EFER))
		return true;
	efer = GET(FIELD_GUEST_EFER);
	RULE(FIELD_GUEST_EFER, !(efer & ~EFER_BITS), "reserved bits are 0");
	RULE(FIELD_GUEST_EFER, !(efer & EFER_LMA) == !long_mode(c),
	     "LMA says the same as the entry control");
	RULE(FIELD_GUEST_EFER, !(cr0 & CR0_PG) || !(efer & EFER_LMA) == !(efer & EFER_LME),
	     "with paging on, LMA equals LME");
	return true;
}

/** Virtual-8086 mode: six segments, each as real mode would have it. */
static bool check_v86(struct check *c)
{
	for (enum seg s = ES; s <= GS; s++) {
		RULE(SEG(BASE, s), GET(SEG(BASE, s)) == GET(SEG(SELECTOR, s)) << 4,
		     "in virtual-8086 mode, the selector times 16");
		RULE(SEG(LIMIT, s), GET(SEG(LIMIT, s)) == 0xffff, "in virtual-8086 mode, FFFFh");
		RULE(SEG(ACCESS, s), access_of(c, s) == ACCESS_V86, "in virtual-8086 mode, F3h");
	}
	return true;
}

/** Present, nothing reserved, granularity as the limit needs it: what all usable segments share. */
static bool check_descriptor(struct check *c, enum seg s)
{
	uint32_t access = access_of(c, s);
	uint64_t limit = GET(SEG(LIMIT, s));

	RULE(SEG(ACCESS, s), access & ACCESS_P, "a usable segment is present");
	RULE(SEG(ACCESS, s), !(access & ACCESS_RESERVED), "reserved bits are 0");
	RULE(SEG(ACCESS, s), (limit & 0xfff) == 0xfff || !(access & ACCESS_G),
	     "a limit that is not whole pages has byte granularity");
	RULE(SEG(ACCESS, s), !(limit >> 20) || (access & ACCESS_G),
	     "a limit of 1 MiB and more has page granularity");
	return true;
}

static bool check_code(struct check *c)
{
	unsigned int type = type_of(c, CS), dpl = dpl_of(c, CS), ss = dpl_of(c, SS);

	RULE(FIELD_GUEST_CS_BASE, !(GET(FIELD_GUEST_CS_BASE) >> 32), "32 bits");
	RULE(FIELD_GUEST_CS_ACCESS, (type & 9) == 9 || (type == 3 && unrestricted(c)),
	     "accessed code, or writable data in an unrestricted guest");
	RULE(FIELD_GUEST_CS_ACCESS, access_of(c, CS) & ACCESS_S, "a code or data segment");
	RULE(FIELD_GUEST_CS_ACCESS, type != 3 || dpl == 0, "as data, it has DPL 0");
	RULE(FIELD_GUEST_CS_ACCESS, (type != 9 && type != 11) || dpl == ss,
	     "non-conforming code has the DPL of SS");
	RULE(FIELD_GUEST_CS_ACCESS, type < 13 || dpl <= ss,
	     "conforming code has at most the DPL of SS");
	RULE(FIELD_GUEST_CS_ACCESS,
	     !long_mode(c) || !(access_of(c, CS) & ACCESS_CODE_64) ||
		     !(access_of(c, CS) & ACCESS_DB),
	     "64-bit code has D/B clear");
	return check_descriptor(c, CS);
}

static bool check_stack(struct check *c)
{
	if (!unrestricted(c)) {
		RULE(FIELD_GUEST_SS_SELECTOR, rpl_of(c, SS) == rpl_of(c, CS), "the RPL of CS");
		RULE(FIELD_GUEST_SS_ACCESS, dpl_of(c, SS) == rpl_of(c, SS),
		     "the DPL is the selector's RPL");
	}
	RULE(FIELD_GUEST_SS_ACCESS,
	     (type_of(c, CS) != 3 && (GET(FIELD_GUEST_CR0) & CR0_PE)) || dpl_of(c, SS) == 0,
	     "DPL 0 in real mode, and where CS is data");
	if (usable(c, SS))
		RULE(FIELD_GUEST_SS_ACCESS, type_of(c, SS) == 3 || type_of(c, SS) == 7,
		     "accessed, writable data");
	return true;
}

static bool check_data(struct check *c, enum seg s)
{
	unsigned int type = type_of(c, s);

	if (s >= FS)
		RULE(SEG(BASE, s), entry_canonical(c, GET(SEG(BASE, s))), "a canonical address");
	if (!usable(c, s))
		return true;
	if (s < FS)
		RULE(SEG(BASE, s), !(GET(SEG(BASE, s)) >> 32), "32 bits");
	RULE(SEG(ACCESS, s), access_of(c, s) & ACCESS_S, "a code or data segment");
	RULE(SEG(ACCESS, s), type & 1, "accessed");
	RULE(SEG(ACCESS, s), !(type & 8) || (type & 2), "code is readable");
	if (s != SS && !unrestricted(c) && type <= 11)
		RULE(SEG(ACCESS, s), dpl_of(c, s) >= rpl_of(c, s),
		     "the DPL is not below the selector's RPL");
	return check_descriptor(c, s);
}

static bool check_system(struct check *c)
{
	unsigned int tr = type_of(c, TR);

	RULE(FIELD_GUEST_TR_SELECTOR, !(GET(FIELD_GUEST_TR_SELECTOR) & 4), "in the GDT");
	RULE(FIELD_GUEST_TR_BASE, entry_canonical(c, GET(FIELD_GUEST_TR_BASE)),
	     "a canonical address");
	RULE(FIELD_GUEST_TR_ACCESS, usable(c, TR), "usable");
	RULE(FIELD_GUEST_TR_ACCESS, tr == 11 || (tr == 3 && !long_mode(c)),
	     "a busy TSS, not of 16 bits in long mode");
	RULE(FIELD_GUEST_TR_ACCESS, !(access_of(c, TR) & ACCESS_S), "a system segment");
	if (!check_descriptor(c, TR))
		return false;
	if (!usable(c, LDTR))
		return true;
	RULE(FIELD_GUEST_LDTR_SELECTOR, !(GET(FIELD_GUEST_LDTR_SELECTOR) & 4), "in the GDT");
	RULE(FIELD_GUEST_LDTR_BASE, entry_canonical(c, GET(FIELD_GUEST_LDTR_BASE)),
	     "a canonical address");
	RULE(FIELD_GUEST_LDTR_ACCESS, type_of(c, LDTR) == 2, "an LDT");
	RULE(FIELD_GUEST_LDTR_ACCESS, !(access_of(c, LDTR) & ACCESS_S), "a system segment");
	return check_descriptor(c, LDTR);
}

static bool check_segments(struct check *c)
{
	if (GET(FIELD_GUEST_RFLAGS) & RFLAGS_VM)
		return check_v86(c) && check_system(c);
	return check_code(c) && check_stack(c) && check_data(c, ES) && check_data(c, SS) &&
	       check_data(c, DS) && check_data(c, FS) && check_data(c, GS) && check_system(c);
}

static bool check_tables_and_rip(struct check *c)
{
	bool code_64 = long_mode(c) && (access_of(c, CS) & ACCESS_CODE_64);
	uint64_t rip = GET(FIELD_GUEST_RIP), rflags = GET(FIELD_GUEST_RFLAGS);

	RULE(FIELD_GUEST_GDTR_BASE, entry_canonical(c, GET(FIELD_GUEST_GDTR_BASE)),
	     "a canonical address");
	RULE(FIELD_GUEST_IDTR_BASE, entry_canonical(c, GET(FIELD_GUEST_IDTR_BASE)),
	     "a canonical address");
	RULE(FIELD_GUEST_GDTR_LIMIT, GET(FIELD_GUEST_GDTR_LIMIT) <= 0xffff, "16 bits");
	RULE(FIELD_GUEST_IDTR_LIMIT, GET(FIELD_GUEST_IDTR_LIMIT) <= 0xffff, "16 bits");
	RULE(FIELD_GUEST_RIP, code_64 || !(rip >> 32), "32 bits outside 64-bit mode");
	RULE(FIELD_GUEST_RIP, entry_canonical(c, rip), "a canonical address");
	RULE(FIELD_GUEST_RFLAGS, !(rflags & RFLAGS_RESERVED) && (rflags & 2),
	     "reserved bits are fixed");
	RULE(FIELD_GUEST_RFLAGS,
	     !(rflags & RFLAGS_VM) || (!long_mode(c) && (GET(FIELD_GUEST_CR0) & CR0_PE)),
	     "virtual-8086 mode exists in protected mode only");
	RULE(FIELD_GUEST_RFLAGS,
	     !c->event || INTR_TYPE(c->event) != INTR_TYPE_EXTERNAL || (rflags & RFLAGS_IF),
	     "an external interrupt is injected only with IF set");
	return true;
}

/** May the event be injected into a processor that is not active? */
static bool wakes(uint32_t event, uint64_t activity)
{
	uint32_t type = INTR_TYPE(event), vector = INTR_VECTOR(event);
	bool machine_check = type == INTR_TYPE_HARDWARE && vector == 18;

	switch (activity) {
	case ACTIVITY_ACTIVE:
		return true;
	case ACTIVITY_HLT:
		return type == INTR_TYPE_EXTERNAL || type == INTR_TYPE_NMI || machine_check ||
		       (type == INTR_TYPE_HARDWARE && vector == 1) || type == 7u << 8;
	case ACTIVITY_SHUTDOWN:
		return type == INTR_TYPE_NMI || machine_check;
	default:
		return false;
	}
}

static bool check_activity(struct check *c)
{
	uint64_t activity = GET(FIELD_GUEST_ACTIVITY), shadow = GET(FIELD_GUEST_INTERRUPTIBILITY);

	RULE(FIELD_GUEST_ACTIVITY,
	     activity == ACTIVITY_ACTIVE ||
		     (activity <= ACTIVITY_WAIT_FOR_SIPI &&
		      (c->env->caps->misc & MISC_ACTIVITY_HLT << (activity - ACTIVITY_HLT))),
	     "a state that the processor supports");
	RULE(FIELD_GUEST_ACTIVITY, activity != ACTIVITY_HLT || dpl_of(c, SS) == 0,
	     "HLT at CPL 0 only");
	RULE(FIELD_GUEST_ACTIVITY, activity == ACTIVITY_ACTIVE || !(shadow & SHADOWS),
	     "active while STI or MOV SS blocks interrupts");
	RULE(FIELD_GUEST_ACTIVITY, !c->event || wakes(c->event, activity),
	     "the injected event can be taken in this state");
	return true;
}

static bool check_interruptibility(struct check *c)
{
	uint64_t state = GET(FIELD_GUEST_INTERRUPTIBILITY), rflags = GET(FIELD_GUEST_RFLAGS);
	bool external = c->event && INTR_TYPE(c->event) == INTR_TYPE_EXTERNAL;
	bool nmi = c->event && INTR_TYPE(c->event) == INTR_TYPE_NMI;

	RULE(FIELD_GUEST_INTERRUPTIBILITY, !(state & ~(uint64_t)(SHADOWS | INTERRUPTIBILITY_NMI)),
	     "reserved bits, SMI and enclave are 0");
	RULE(FIELD_GUEST_INTERRUPTIBILITY, (state & SHADOWS) != SHADOWS,
	     "not blocking by STI and by MOV SS at once");
	RULE(FIELD_GUEST_INTERRUPTIBILITY, !(state & INTERRUPTIBILITY_STI) || (rflags & RFLAGS_IF),
	     "blocking by STI needs IF set");
	RULE(FIELD_GUEST_INTERRUPTIBILITY, !external || !(state & SHADOWS),
	     "an external interrupt is not injected while STI or MOV SS blocks it");
	/* Some processors also refuse an NMI under STI; nobody needs to inject one there. */
	RULE(FIELD_GUEST_INTERRUPTIBILITY, !nmi || !(state & SHADOWS),
	     "an NMI is not injected while STI or MOV SS blocks it");
	RULE(FIELD_GUEST_INTERRUPTIBILITY,
	     !nmi || !(c->pin & PIN_VIRTUAL_NMIS) || !(state & INTERRUPTIBILITY_NMI),
	     "an NMI is not injected while NMIs are blocked");
	return true;
}

static bool check_pending(struct check *c)
{
	uint64_t pending = GET(FIELD_GUEST_PENDING_DEBUG), link = GET(FIELD_GUEST_VMCS_LINK);
	bool step = (GET(FIELD_GUEST_RFLAGS) & RFLAGS_TF) &&
		    !(GET(FIELD_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
	bool held = (GET(FIELD_GUEST_INTERRUPTIBILITY) & SHADOWS) ||
		    GET(FIELD_GUEST_ACTIVITY) == ACTIVITY_HLT;

	RULE(FIELD_GUEST_PENDING_DEBUG, !(pending & PENDING_RESERVED), "reserved bits are 0");
	RULE(FIELD_GUEST_PENDING_DEBUG, !held || !(pending & PENDING_BS) == !step,
	     "while a shadow or HLT holds it, BS is set exactly if TF is set and BTF is not");
	RULE(FIELD_GUEST_VMCS_LINK, link == UINT64_MAX || entry_page(c, link),
	     "all ones, or a physical page");
	return true;
}

static bool check_pdptes(struct check *c)
{
	uint64_t reserved = MASK64(63, c->env->physical_bits) | MASK64(8, 5) | MASK64(2, 1);

	if (!(c->cpu2 & CPU2_EPT) || long_mode(c) || !(GET(FIELD_GUEST_CR0) & CR0_PG) ||
	    !(GET(FIELD_GUEST_CR4) & CR4_PAE))
		return true;
	for (uint32_t field = FIELD_GUEST_PDPTE0; field <= FIELD_GUEST_PDPTE3; field += 2)
		RULE(field, !(GET(field) & 1) || !(GET(field) & reserved),
		     "a present PAE directory pointer has no reserved bit set");
	return true;
}

bool entry_check_guest(struct check *c)
{
	return check_registers(c) && check_segments(c) && check_tables_and_rip(c) &&
	       check_activity(c) && check_interruptibility(c) && check_pending(c) &&
	       check_pdptes(c);
}
