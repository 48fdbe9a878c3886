// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The hypercall interface between the control domain's driver and the hypervisor.
 *
 * A call is VMCALL from CPL 0 of the control domain: RAX = number, RDI RSI RDX RCX R8 = arguments;
 * back come RAX = result (>= 0, or an hv_err negated) and RDX = a second value where the table says
 * so. All other registers are kept. Larger data goes through the calling CPU's *call page*: 4 KiB
 * of hypervisor memory that the control domain may read and write, found by HV_CALL_CPU_PAGE. The
 * caller keeps preemption off from filling that page to reading its answer.
 *
 * HV_CALL_LIST generates numbers, handlers, dispatch table, names in traces and the reference
 * table. Numbers are never reused. The version follows semantic versioning: the major
 * number changes when an old driver would misbehave; vmm/abi/CHANGELOG.md tells what changed.
 *
 * Detection: CPUID 40000000h gives HV_SIGNATURE_* in EBX, ECX, EDX although the hypervisor bit is
 * clear (Linux would otherwise leave its bare-machine paths), CPUID 40000001h gives EAX =
 * HV_ABI_VERSION.
 */
#pragma once

#define HV_ABI_MAJOR   0
#define HV_ABI_MINOR   14
#define HV_ABI_VERSION ((HV_ABI_MAJOR << 16) | HV_ABI_MINOR)

#define HV_CPUID_SIGNATURE 0x40000000u
#define HV_CPUID_VERSION   0x40000001u
#define HV_SIGNATURE_EBX   0x6e726f48u /* "Horn" */
#define HV_SIGNATURE_ECX   0x436f7265u /* "eroC" */
#define HV_SIGNATURE_EDX   0x6d446c74u /* "tlDm" */

/* X(number, NAME, name, "arguments -> result [; RDX]") */
#define HV_CALL_LIST(X)                                                                            \
	X(0, VERSION, version, "-> HV_ABI_VERSION")                                                \
	X(1, CPU_PAGE, cpu_page, "-> physical address of this CPU's call page")                    \
	X(2, INFO, info, "-> 0; page: struct hv_info")                                             \
	X(3, LOG_READ, log_read, "which, position -> bytes in page; RDX: next position")           \
	X(4, CPU_STATS, cpu_stats, "cpu -> 0; page: struct hv_cpu_stats")                          \
	X(5, SELFTEST, selftest, "enum hv_selftest -> does not return, or see there")              \
	X(6, PAY, pay, "-> 0: this CPU's owed invalidations are done")                             \
	X(7, OWING, owing,                                                                         \
	  "epoch -> CPUs that still owe; page: bitmap, bit = APIC id order index")                 \
	X(8, VM_CREATE, vm_create, "page: struct hv_vm_create -> VM handle")                       \
	X(9, VM_DESTROY, vm_destroy, "vm -> epoch")                                                \
	X(10, VM_FUND, vm_fund, "vm, frames -> 0: more metadata memory for this VM")               \
	X(11, VM_MAP, vm_map, "vm, gpa, hpa, bytes, HV_MAP_* -> 0; RDX on NOMEM: frames to fund")  \
	X(12, VM_UNMAP, vm_unmap, "vm, gpa, bytes -> epoch")                                       \
	X(13, POOL_ALLOC, pool_alloc, "vm, frames wanted -> frames given; page: their addresses")  \
	X(14, POOL_FREE, pool_free, "vm, address, frames -> epoch")                                \
	X(15, VCPU_CREATE, vcpu_create,                                                            \
	  "vm, index, apic id -> address of hv_vcpu_page; RDX as for VM_MAP")                      \
	X(16, VCPU_RUN, vcpu_run, "vm, index -> enum hv_exit")                                     \
	X(17, VCPU_GET, vcpu_get, "vm, index, HV_GROUP_* -> 0: groups copied to the vCPU page")    \
	X(18, VCPU_SET, vcpu_set, "vm, index, HV_GROUP_* -> 0: groups taken from the vCPU page")   \
	X(19, VCPU_CPUID, vcpu_cpuid, "vm, index, entries -> 0; page: struct hv_cpuid[]")          \
	X(20, VCPU_MSR, vcpu_msr,                                                                  \
	  "vm, index, msr, HV_MSR_*; page: value to write -> 0; RDX: value read")                  \
	X(21, VM_MSI, vm_msi, "vm, address, data -> vCPUs reached; RDX: bitmap to kick")           \
	X(22, VCPU_NMI, vcpu_nmi, "vm, index -> 0; RDX: bitmap to kick")                           \
	X(23, VM_EOI_EXITS, vm_eoi_exits,                                                          \
	  "vm -> 0; page: 256-bit bitmap of vectors whose EOI exits")                              \
	X(24, VCPU_BLOCK, vcpu_block, "vm, index -> 0, or AGAIN when an event is pending")         \
	X(25, VCPU_STATS, vcpu_stats, "vm, index -> 0; page: struct hv_vcpu_stats")                \
	X(26, VM_INFO, vm_info, "slot -> 0; page: struct hv_vm_info")                              \
	X(27, TSC_KHZ, tsc_khz,                                                                    \
	  "frequency measured by the control domain, kHz -> frequency in use")                     \
	X(28, VCPU_APIC, vcpu_apic,                                                                \
	  "vm, index, offset, HV_MSR_*; page: value -> 0; RDX: value, kick")                       \
	X(29, CPU_DEAD, cpu_dead, "cpu that Linux took offline -> 0: owes nothing until its INIT") \
	X(30, POOL_SCRUB, pool_scrub, "-> 1: zeroed 128 KiB of free memory; 0: all of it is zero") \
	X(31, VM_NAME, vm_name,                                                                    \
	  "vm; page: struct hv_vm_name -> 0; EXIST: another VM has that UUID or name")             \
	X(32, VM_DIRTY, vm_dirty,                                                                  \
	  "vm, gpa, bytes -> epoch; page: bitmap, bit = page written; RDX as for VM_MAP")

enum hv_call {
#define X(number, NAME, name, text) HV_CALL_##NAME = number,
	HV_CALL_LIST(X)
#undef X
};

#define HV_PAGE_BYTES 4096

/* HV_CALL_LOG_READ's first argument */
enum hv_log_which { HV_LOG_CURRENT = 0, HV_LOG_CRASH = 1 };

/* HV_CALL_SELFTEST; only in builds made with TEST=1, else NOCALL. */
enum hv_selftest {
	HV_SELFTEST_PANIC = 0,	    /* BUG_ON */
	HV_SELFTEST_PAGE_FAULT = 1, /* read of an unmapped hypervisor address */
	HV_SELFTEST_STACK = 2,	    /* run into the guard page: #DF on its own stack */
	HV_SELFTEST_WRITE_CODE = 3, /* write to hypervisor text: W^X */
	HV_SELFTEST_EXEC_DATA = 4,  /* jump into hypervisor data: W^X */
	HV_SELFTEST_EXEC_BOOT = 5,  /* jump to where the boot part was: not present */
	HV_SELFTEST_READ_BOOT = 6,  /* read its last word: not present */
	HV_SELFTEST_BOOT_LEFT = 7, /* -> its bytes that are not zero, and resident pointers to it */
	HV_SELFTEST_PANIC_BESIDE_GUEST = 8, /* BUG_ON, as soon as another CPU is in a guest */
	HV_SELFTEST_NMI_WITHOUT_GS = 9,	    /* -> 1: an NMI was taken while GS was not ours */
};

/* HV_CALL_VM_MAP flags. Without HV_MAP_LENT the range must be pool frames of this VM. */
#define HV_MAP_READ  1u
#define HV_MAP_WRITE 2u
#define HV_MAP_EXEC  4u
#define HV_MAP_LENT                                                                                \
	8u /* memory of the control domain, pinned by the driver for the mapping's life */
#define HV_MAP_DIRTY 16u /* 4 KiB leaves, for VM_DIRTY */

/*
 * HV_CALL_VM_DIRTY: which of at most HV_DIRTY_PAGES pages the guest has written since this was last
 * asked, or since they were mapped. Larger leaves become 4 KiB ones, and count as written wholly if
 * they were at all. Writes after the epoch is paid are seen by the next call; those before it may
 * be in neither answer. UNSUPPORTED: the processor keeps no dirty flags in EPT.
 */
#define HV_DIRTY_PAGES 8192

/*
 * HV_CALL_VCPU_APIC: an access to a vCPU's xAPIC page that needed decoding. It exits as INSN with
 * the APIC's address in `gpa`; the driver decodes, and reads or writes the register (4 bytes,
 * offset a multiple of 16 below 400h) while the vCPU does not run. Writes have their effect: an ICR
 * write sends the IPI and returns the bitmap to kick, an EOI in the EOI-exit bitmap makes the next
 * VCPU_RUN return HV_VCPU_EXIT_EOI.
 *
 * Calls that allocate (VM_CREATE, VM_FUND, POOL_ALLOC) answer AGAIN while memory is there but waits
 * for flushes or scrubbing; each such call scrubs some, so asking again after PAY gets there. They
 * are quick when POOL_SCRUB was called often enough before; it answers AGAIN while CPUs owe.
 */

/* A VM handle is slot | generation << 16; a stale one is NOENT. */
#define HV_MAX_VCPUS 64
