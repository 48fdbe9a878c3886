// SPDX-License-Identifier: MIT
/*
 * From facts about a machine to findings with a remedy each. The order is that in which one would
 * ask: processor, VT-x, its parts, the other processors, memory, firmware, and what leaks.
 *
 * Sources: SDM 3C "Discovering Support for VMX", "Enabling and Entering VMX Operation"; the erratum
 * is in Intel's specification updates of the Nehalem and Westmere processors (AAK139, AAU65 and
 * others).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <split.h>
#include <x86/vmx/vmx_bits.h>

#include "check.h"

#define COMFORTABLE_BYTES (2 * GIB)
#define FIRMWARE_SWITCH                                                                            \
	"Switch on \"Intel Virtualization Technology\" (VT-x, VMX) in the firmware setup, then "   \
	"switch the power off and on."

struct list {
	struct check_finding *out;
	unsigned int count;
};

static void add(struct list *list, const char *what, enum check_need need, bool good,
		const char *remedy, const char *format, ...) __attribute__((format(printf, 6, 7)));

static void add(struct list *list, const char *what, enum check_need need, bool good,
		const char *remedy, const char *format, ...)
{
	struct check_finding *f = &list->out[list->count++];
	va_list args;

	*f = (struct check_finding){
		.what = what, .need = need, .good = good, .remedy = good ? NULL : remedy};
	va_start(args, format);
	vsnprintf(f->found, sizeof(f->found), format, args);
	va_end(args);
}

/* "all", "none" or "CPU 1, 3": the processors for which has() is (not) true. */
static bool name_cpus(const struct check_facts *f, bool (*has)(const struct vmx_caps *, int),
		      int argument, char *text, size_t size)
{
	unsigned int lacking = 0;
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < f->cpus; i++) {
		if (has(&f->caps[i], argument))
			continue;
		lacking++;
		if (used + 12 < size)
			used += (size_t)snprintf(text + used, size - used, "%s%u",
						 used ? ", " : "missing on CPU ", f->numbers[i]);
	}
	if (!lacking)
		snprintf(text, size, "yes");
	else if (lacking == f->cpus)
		snprintf(text, size, "no");
	return !lacking;
}

static bool has_vmx(const struct vmx_caps *caps, int unused)
{
	(void)unused;
	return caps->vmx;
}

static bool not_locked_off(const struct vmx_caps *caps, int unused)
{
	(void)unused;
	return !(caps->feature_control & FEATURE_CONTROL_LOCKED) ||
	       (caps->feature_control & FEATURE_CONTROL_VMX);
}

static bool has_option(const struct vmx_caps *caps, int option)
{
	return vmx_caps_has(caps, (enum vmx_option)option);
}

static bool judge_processor(const struct check_facts *f, struct list *list)
{
	bool intel = !strcmp(f->vendor, "GenuineIntel");

	add(list, "Intel processor", CHECK_NEEDED, intel,
	    "Hornero needs VT-x, which only Intel's processors have; AMD's SVM is not supported yet.",
	    "%s (%s)", f->model, f->vendor);
	if (*f->outer)
		add(list, "real machine", CHECK_OPTIONAL, false,
		    intel ? "For tests that is fine; the hypervisor around this system must give "
			    "it VT-x (with KVM: kvm_intel's parameter nested=1, processor model "
			    "\"host\")."
			  : "Ask on the machine itself, too.",
		    "no, this system is a guest (of '%s')", f->outer);
	return intel;
}

static bool judge_vmx(const struct check_facts *f, struct list *list)
{
	char text[160];
	bool good = name_cpus(f, has_vmx, 0, text, sizeof(text));

	add(list, "VT-x", CHECK_NEEDED, good, FIRMWARE_SWITCH, "%s", text);
	if (!good)
		return false;
	good = name_cpus(f, not_locked_off, 0, text, sizeof(text));
	add(list, "VT-x not locked off by the firmware", CHECK_NEEDED, good, FIRMWARE_SWITCH,
	    "%s%s", text,
	    good && !(f->caps[0].feature_control & FEATURE_CONTROL_LOCKED)
		    ? " (left open; Hornero switches it on)"
		    : "");
	return true;
}

static void judge_options(const struct check_facts *f, struct list *list)
{
	char text[160];

	for (int i = 0; i < VMX_OPTIONS; i++) {
		bool needed = vmx_options[i].required;
		bool good = name_cpus(f, has_option, i, text, sizeof(text));

		add(list, vmx_options[i].title, needed ? CHECK_NEEDED : CHECK_OPTIONAL, good,
		    needed ? "None: this processor is too old, or the hypervisor around it hides it."
			   : "None needed: Hornero takes another way, which costs some speed.",
		    "%s", text);
	}
}

static void judge_differences(const struct check_facts *f, struct list *list)
{
	struct vmx_caps common;
	unsigned int differ = 0;

	if (f->offline)
		add(list, "all processors looked at", CHECK_OPTIONAL, false,
		    "Switch them on (echo 1 >/sys/devices/system/cpu/cpuN/online) and ask again.",
		    "no, %u are offline", f->offline);
	if (f->cpus < 2)
		return;
	common = f->caps[0];
	for (unsigned int i = 1; i < f->cpus; i++)
		differ += vmx_caps_intersect(&common, &f->caps[i]) != 0;
	if (differ)
		add(list, "processors alike", CHECK_OPTIONAL, false,
		    "None needed: Hornero uses what all of them have.",
		    "%u of %u differ from the first", differ, f->cpus);
	else
		add(list, "processors alike", CHECK_OPTIONAL, true, NULL, "yes, all %u", f->cpus);
}

/* Processors whose preemption timer runs at a wrong rate, by CPUID signature. */
static bool has_timer_erratum(uint32_t signature)
{
	static const uint32_t known[] = {0x106a0, 0x106a1, 0x106a4, 0x106a5, 0x106e5,
					 0x20652, 0x20655, 0x206e6, 0x306a8};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i] == signature)
			return true;
	return false;
}

static void judge_rest_of_processor(const struct check_facts *f, struct list *list)
{
	add(list, "steady clock", CHECK_OPTIONAL, f->invariant_tsc,
	    "None: time in guests may drift when the processor saves power.", "%s",
	    f->invariant_tsc ? "yes, invariant TSC" : "no invariant TSC");
	add(list, "known errata", CHECK_OPTIONAL, !has_timer_erratum(f->signature),
	    "None: a guest that spins is stopped by Linux's clock instead.", "%s (signature %#x)",
	    has_timer_erratum(f->signature) ? "the VMX preemption timer counts wrong" : "none",
	    f->signature);
}

static void judge_machine(const struct check_facts *f, struct list *list)
{
	add(list, "ACPI tables", CHECK_OPTIONAL, f->acpi,
	    "Without them Hornero starts one processor only.", "%s", f->acpi ? "yes" : "no");
	add(list, "memory", CHECK_NEEDED, f->memory_bytes >= 2 * CONTROL_MIN_BYTES,
	    "Half of it goes to the control domain, which needs 192 MiB: add memory.", "%llu MiB",
	    (unsigned long long)(f->memory_bytes / MIB));
	if (f->memory_bytes >= 2 * CONTROL_MIN_BYTES)
		add(list, "memory for guests", CHECK_OPTIONAL, f->memory_bytes >= COMFORTABLE_BYTES,
		    "It works, with room for small guests only.", "%llu MiB",
		    (unsigned long long)((f->memory_bytes -
					  split_default_control(f->memory_bytes)) /
					 MIB));
	add(list, "IOMMU (VT-d)", CHECK_INFO, true, NULL, "%s",
	    f->iommu ? "yes; not used yet" : "none found; not used yet anyway");
	add(list, "firmware", CHECK_INFO, true, NULL, "%s", f->efi ? "UEFI" : "BIOS");
	add(list, "Secure Boot off", CHECK_OPTIONAL, !f->efi || !f->secure_boot,
	    "Switch \"Secure Boot\" off in the firmware setup, or start the one-file image signed "
	    "with a key of yours (make sign): Debian's signed GRUB cannot start a hypervisor.",
	    "%s",
	    !f->efi	     ? "yes, BIOS has none"
	    : f->secure_boot ? "no, it is on"
			     : "yes");
}

static void judge_leaks(const struct check_facts *f, struct list *list)
{
	add(list, "speculation", CHECK_OPTIONAL, !*f->vulnerable,
	    "Install the newest microcode (package intel-microcode) and firmware.", "%s%s",
	    *f->vulnerable ? "this Linux calls itself vulnerable to: "
			   : "no open leak known to this Linux",
	    f->vulnerable);
	add(list, "SMT (hyper-threading)", CHECK_INFO, true, NULL, "%s",
	    f->smt ? "on; guests on two threads of a core may observe each other"
		   : "off or absent");
}

unsigned int check_judge(const struct check_facts *facts, struct check_finding *out)
{
	struct list list = {.out = out};

	if (judge_processor(facts, &list) && judge_vmx(facts, &list)) {
		judge_options(facts, &list);
		judge_differences(facts, &list);
	}
	judge_rest_of_processor(facts, &list);
	judge_machine(facts, &list);
	judge_leaks(facts, &list);
	return list.count;
}

enum check_verdict check_sum_up(const struct check_finding *findings, unsigned int n)
{
	enum check_verdict verdict = CHECK_USABLE;

	for (unsigned int i = 0; i < n; i++) {
		if (findings[i].good)
			continue;
		if (findings[i].need == CHECK_NEEDED)
			return CHECK_UNUSABLE;
		verdict = CHECK_LIMITS;
	}
	return verdict;
}
