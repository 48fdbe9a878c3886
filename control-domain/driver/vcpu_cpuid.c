// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID and MSRs. The guest's CPUID is answered by the hypervisor from the table given here; MSRs
 * are read and written one hypercall each, stopping at the first that is refused, as KVM does.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <asm/tsc.h>

#include "cpuid_policy.h"
#include "vcpu.h"

#define MAX_MSRS 256 /* in one KVM_GET_MSRS or KVM_SET_MSRS, KVM's own limit */

static void machine_cpuid(u32 leaf, u32 subleaf, struct cpuid_regs_out *out)
{
	cpuid_count(leaf, subleaf, &out->eax, &out->ebx, &out->ecx, &out->edx);
}

static long copy_table(struct kvm_cpuid2 __user *user, const struct kvm_cpuid_entry2 *entries,
		       u32 count)
{
	u32 room;

	if (get_user(room, &user->nent))
		return -EFAULT;
	if (room < count)
		return -E2BIG;
	if (copy_to_user(user->entries, entries, count * sizeof(*entries)) ||
	    put_user(count, &user->nent))
		return -EFAULT;
	return 0;
}

long cpuid_get_supported(struct kvm_cpuid2 __user *user)
{
	const struct cpuid_machine machine = {.cpuid = machine_cpuid, .tsc_khz = tsc_khz};
	struct kvm_cpuid_entry2 *entries;
	u32 count;
	long result;

	entries = kcalloc(HV_MAX_CPUID, sizeof(*entries), GFP_KERNEL);
	if (!entries)
		return -ENOMEM;
	count = cpuid_policy(&machine, entries, HV_MAX_CPUID);
	result = count <= HV_MAX_CPUID ? copy_table(user, entries, count) : -E2BIG;
	kfree(entries);
	return result;
}

u64 cpuid_cr4_bits(void)
{
	return cpuid_policy_cr4(&(struct cpuid_machine){.cpuid = machine_cpuid});
}

static int by_function_and_index(const void *a, const void *b)
{
	const struct hv_cpuid *x = a, *y = b;

	if (x->function != y->function)
		return x->function < y->function ? -1 : 1;
	return x->index == y->index ? 0 : x->index < y->index ? -1 : 1;
}

static long tell_hypervisor(struct vcpu *vcpu, const struct kvm_cpuid_entry2 *entries, u32 count)
{
	struct hv_cpuid *table = kcalloc(HV_MAX_CPUID, sizeof(*table), GFP_KERNEL);
	long result;
	u32 i;

	if (!table)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		table[i] = (struct hv_cpuid){
			.function = entries[i].function,
			.index = entries[i].index,
			.flags = entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = entries[i].eax,
			.ebx = entries[i].ebx,
			.ecx = entries[i].ecx,
			.edx = entries[i].edx,
		};
	sort(table, count, sizeof(*table), by_function_and_index, NULL);
	result = hv_call_in(HV_CALL_VCPU_CPUID, vcpu->vm->handle, vcpu->index, count, table,
			    count * sizeof(*table));
	kfree(table);
	return result < 0 ? hv_to_errno(result) : 0;
}

/* Looked up once: the page walker needs these for each instruction that it fetches. */
static void remember_paging(struct vcpu *vcpu)
{
	u32 i;

	vcpu->physical_bits = DEFAULT_PHYSICAL_BITS;
	vcpu->gigabyte_pages = false;
	for (i = 0; i < vcpu->cpuid_count; i++) {
		if (vcpu->cpuid[i].function == 0x80000001)
			vcpu->gigabyte_pages = vcpu->cpuid[i].edx >> 26 & 1;
		if (vcpu->cpuid[i].function == 0x80000008)
			vcpu->physical_bits = vcpu->cpuid[i].eax & 0xff;
	}
}

static int follow(struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 count)
{
	int err = vcpu_fetch(vcpu, HV_GROUP_FPU | HV_GROUP_SREGS);

	if (!err)
		cpuid_follow(entries, count, vcpu->page->xcr0, vcpu->page->sregs.cr4);
	return err;
}

/* A system never sees its processor change: once it ran, only the same table is taken. */
static int same_table(struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 count)
{
	int err = count == vcpu->cpuid_count ? 0 : -EINVAL;

	if (!err)
		err = follow(vcpu, entries, count);
	if (!err)
		err = follow(vcpu, vcpu->cpuid, count);
	if (!err && memcmp(entries, vcpu->cpuid, count * sizeof(*entries)))
		err = -EINVAL;
	return err;
}

long vcpu_set_cpuid(struct vcpu *vcpu, struct kvm_cpuid2 __user *user)
{
	struct kvm_cpuid_entry2 *entries;
	u32 count;
	long result;

	if (get_user(count, &user->nent))
		return -EFAULT;
	if (count > HV_MAX_CPUID)
		return -E2BIG;
	entries = vmemdup_user(user->entries, count * sizeof(*entries));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	if (vcpu->ran)
		result = same_table(vcpu, entries, count);
	else
		result = tell_hypervisor(vcpu, entries, count);
	if (result) {
		kvfree(entries);
		return result;
	}
	kvfree(vcpu->cpuid);
	vcpu->cpuid = entries;
	vcpu->cpuid_count = count;
	remember_paging(vcpu);
	return 0;
}

long vcpu_get_cpuid(struct vcpu *vcpu, struct kvm_cpuid2 __user *user)
{
	int err = follow(vcpu, vcpu->cpuid, vcpu->cpuid_count);

	return err ? err : copy_table(user, vcpu->cpuid, vcpu->cpuid_count);
}

static long get_msr(struct vcpu *vcpu, struct kvm_msr_entry *entry)
{
	return hv_call(HV_CALL_VCPU_MSR, vcpu->vm->handle, vcpu->index, entry->index, HV_MSR_READ,
		       0, &entry->data);
}

static long set_msr(struct vcpu *vcpu, struct kvm_msr_entry *entry)
{
	u64 *page = hv_page_get();
	long result;

	if (!page)
		return -HV_ERR_STATE;
	*page = entry->data;
	result = hv_call(HV_CALL_VCPU_MSR, vcpu->vm->handle, vcpu->index, entry->index,
			 HV_MSR_WRITE, 0, NULL);
	hv_page_put();
	return result;
}

/* How many of them went well; an MSR that is not there ends the list, any other trouble is an
 * error. */
static long each_msr(struct vcpu *vcpu, struct kvm_msr_entry *entries, u32 count,
		     long (*access)(struct vcpu *vcpu, struct kvm_msr_entry *entry))
{
	long result;
	u32 i;

	for (i = 0; i < count; i++) {
		result = access(vcpu, &entries[i]);
		if (result == -HV_ERR_NOENT || result == -HV_ERR_STATE)
			return hv_to_errno(result);
		if (result < 0)
			break;
	}
	return i;
}

static struct kvm_msr_entry *copy_msrs(struct kvm_msrs __user *user, u32 *count)
{
	if (get_user(*count, &user->nmsrs))
		return ERR_PTR(-EFAULT);
	if (*count > MAX_MSRS)
		return ERR_PTR(-E2BIG);
	return vmemdup_user(user->entries, *count * sizeof(struct kvm_msr_entry));
}

static long move_msrs(struct vcpu *vcpu, struct kvm_msrs __user *user, bool back,
		      long (*access)(struct vcpu *vcpu, struct kvm_msr_entry *entry))
{
	struct kvm_msr_entry *entries;
	u32 count;
	long done;

	entries = copy_msrs(user, &count);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	done = each_msr(vcpu, entries, count, access);
	if (back && done >= 0 && copy_to_user(user->entries, entries, count * sizeof(*entries)))
		done = -EFAULT;
	kvfree(entries);
	return done;
}

long vcpu_get_msrs(struct vcpu *vcpu, struct kvm_msrs __user *user)
{
	return move_msrs(vcpu, user, true, get_msr);
}

long vcpu_set_msrs(struct vcpu *vcpu, struct kvm_msrs __user *user)
{
	return move_msrs(vcpu, user, false, set_msr);
}

/* MSRs that are part of a guest's state: each can be read and the value written back. */
static const u32 state_msrs[] = {
	MSR_IA32_TSC,
	MSR_IA32_SYSENTER_CS,
	MSR_IA32_SYSENTER_ESP,
	MSR_IA32_SYSENTER_EIP,
	MSR_IA32_CR_PAT,
	MSR_IA32_TSC_DEADLINE,
	MSR_IA32_TSC_ADJUST,
	MSR_IA32_MISC_ENABLE,
	MSR_STAR,
	MSR_LSTAR,
	MSR_CSTAR,
	MSR_SYSCALL_MASK,
	MSR_KERNEL_GS_BASE,
	MSR_TSC_AUX,
};

/* What an MSR says about the processor before there is a vCPU, which answers the same. */
static const struct kvm_msr_entry feature_msrs[] = {
	{.index = MSR_IA32_UCODE_REV, .data = HV_GUEST_MICROCODE},
};

static long copy_list(struct kvm_msr_list __user *user, const u32 *list, u32 count)
{
	u32 room;

	if (get_user(room, &user->nmsrs) || put_user(count, &user->nmsrs))
		return -EFAULT;
	if (room < count)
		return -E2BIG;
	return copy_to_user(user->indices, list, count * sizeof(*list)) ? -EFAULT : 0;
}

long msr_get_index_list(struct kvm_msr_list __user *user)
{
	return copy_list(user, state_msrs, ARRAY_SIZE(state_msrs));
}

long msr_get_feature_list(struct kvm_msr_list __user *user)
{
	u32 list[ARRAY_SIZE(feature_msrs)], i;

	for (i = 0; i < ARRAY_SIZE(list); i++)
		list[i] = feature_msrs[i].index;
	return copy_list(user, list, ARRAY_SIZE(list));
}

static long get_feature(struct vcpu *vcpu, struct kvm_msr_entry *entry)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(feature_msrs); i++) {
		if (feature_msrs[i].index == entry->index) {
			entry->data = feature_msrs[i].data;
			return 0;
		}
	}
	return -HV_ERR_INVAL;
}

long msr_get_features(struct kvm_msrs __user *user)
{
	return move_msrs(NULL, user, true, get_feature);
}
