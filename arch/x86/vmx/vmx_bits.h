// SPDX-License-Identifier: MIT
/*
 * Constants of VMX: MSRs, control bits, exit reasons, instruction errors. Nothing else.
 * Sources: SDM 3D "VMX Capability Reporting Facility" (appendix A), "VMX Basic Exit Reasons"
 * (appendix C); SDM 3C "VM-Execution Control Fields", "VM-Exit Control Fields", "VM-Entry Control
 * Fields".
 */
#pragma once

#include <types.h>

#define MSR_IA32_FEATURE_CONTROL 0x3a
#define FEATURE_CONTROL_LOCKED	 BIT64(0)
#define FEATURE_CONTROL_VMX	 BIT64(2) /* VMX outside SMX */

#define MSR_IA32_VMX_BASIC 0x480
/* The processor-based, exit and entry controls follow, with the true ones too. */
#define MSR_IA32_VMX_PINBASED	   0x481
#define MSR_IA32_VMX_MISC	   0x485
#define MSR_IA32_VMX_CR0_FIXED0	   0x486
#define MSR_IA32_VMX_CR0_FIXED1	   0x487
#define MSR_IA32_VMX_CR4_FIXED0	   0x488
#define MSR_IA32_VMX_CR4_FIXED1	   0x489
#define MSR_IA32_VMX_PROCBASED2	   0x48b
#define MSR_IA32_VMX_EPT_VPID	   0x48c
#define MSR_IA32_VMX_TRUE_PINBASED 0x48d
#define MSR_IA32_VMX_LAST	   0x493

#define VMX_BASIC_TRUE_CONTROLS BIT64(55)

#define MISC_PREEMPTION_RATE(m)	    ((unsigned int)field_get((m), 4, 0))
#define MISC_ACTIVITY_HLT	    BIT64(6)
#define MISC_ACTIVITY_WAIT_FOR_SIPI BIT64(8)

#define EPT_CAP_4_LEVELS	BIT64(6)
#define EPT_CAP_WB		BIT64(14)
#define EPT_CAP_2M		BIT64(16)
#define EPT_CAP_1G		BIT64(17)
#define EPT_CAP_INVEPT		BIT64(20)
#define EPT_CAP_AD		BIT64(21)
#define EPT_CAP_INVEPT_SINGLE	BIT64(25)
#define EPT_CAP_INVEPT_ALL	BIT64(26)
#define VPID_CAP_INVVPID	BIT64(32)
#define VPID_CAP_INVVPID_SINGLE BIT64(41)
#define VPID_CAP_INVVPID_ALL	BIT64(42)

#define PIN_EXTERNAL_INTERRUPT_EXITING (1u << 0)
#define PIN_NMI_EXITING		       (1u << 3)
#define PIN_VIRTUAL_NMIS	       (1u << 5)
#define PIN_PREEMPTION_TIMER	       (1u << 6)

#define CPU_INTERRUPT_WINDOW  (1u << 2)
#define CPU_TSC_OFFSETTING    (1u << 3)
#define CPU_HLT_EXITING	      (1u << 7)
#define CPU_MWAIT_EXITING     (1u << 10)
#define CPU_RDPMC_EXITING     (1u << 11)
#define CPU_CR8_LOAD_EXITING  (1u << 19)
#define CPU_CR8_STORE_EXITING (1u << 20)
#define CPU_TPR_SHADOW	      (1u << 21)
#define CPU_NMI_WINDOW	      (1u << 22)
#define CPU_MOV_DR_EXITING    (1u << 23)
#define CPU_IO_EXITING	      (1u << 24)
#define CPU_IO_BITMAPS	      (1u << 25)
#define CPU_MONITOR_TRAP      (1u << 27)
#define CPU_MSR_BITMAPS	      (1u << 28)
#define CPU_MONITOR_EXITING   (1u << 29)
#define CPU_SECONDARY	      (1u << 31)

#define CPU2_APIC_ACCESSES	(1u << 0)
#define CPU2_EPT		(1u << 1)
#define CPU2_RDTSCP		(1u << 3)
#define CPU2_X2APIC_MODE	(1u << 4)
#define CPU2_VPID		(1u << 5)
#define CPU2_WBINVD_EXITING	(1u << 6)
#define CPU2_UNRESTRICTED_GUEST (1u << 7)
#define CPU2_APIC_REGISTERS	(1u << 8)
#define CPU2_VIRTUAL_INTERRUPTS (1u << 9)
#define CPU2_PAUSE_LOOP_EXITING (1u << 10)
#define CPU2_INVPCID		(1u << 12)
#define CPU2_XSAVES		(1u << 20)
#define CPU2_TSC_SCALING	(1u << 25)
#define CPU2_USER_WAIT		(1u << 26)

#define EXIT_SAVE_DEBUG		   (1u << 2)
#define EXIT_HOST_64		   (1u << 9)
#define EXIT_LOAD_PERF_GLOBAL_CTRL (1u << 12)
#define EXIT_SAVE_PAT		   (1u << 18)
#define EXIT_LOAD_PAT		   (1u << 19)
#define EXIT_SAVE_EFER		   (1u << 20)
#define EXIT_LOAD_EFER		   (1u << 21)
#define EXIT_SAVE_PREEMPTION_TIMER (1u << 22)
#define EXIT_SAVE_PERF_GLOBAL_CTRL (1u << 30)

#define ENTRY_LOAD_DEBUG	    (1u << 2)
#define ENTRY_IA32E_GUEST	    (1u << 9)
#define ENTRY_LOAD_PERF_GLOBAL_CTRL (1u << 13)
#define ENTRY_LOAD_PAT		    (1u << 14)
#define ENTRY_LOAD_EFER		    (1u << 15)

/* Those that our controls can make happen. X(number, NAME) */
#define VMX_EXIT_LIST(X)                                                                           \
	X(0, EXCEPTION_NMI)                                                                        \
	X(1, EXTERNAL_INTERRUPT)                                                                   \
	X(2, TRIPLE_FAULT)                                                                         \
	X(3, INIT)                                                                                 \
	X(4, SIPI)                                                                                 \
	X(7, INTERRUPT_WINDOW)                                                                     \
	X(8, NMI_WINDOW)                                                                           \
	X(9, TASK_SWITCH)                                                                          \
	X(10, CPUID)                                                                               \
	X(11, GETSEC)                                                                              \
	X(12, HLT)                                                                                 \
	X(13, INVD)                                                                                \
	X(15, RDPMC)                                                                               \
	X(18, VMCALL)                                                                              \
	X(19, VMCLEAR)                                                                             \
	X(20, VMLAUNCH)                                                                            \
	X(21, VMPTRLD)                                                                             \
	X(22, VMPTRST)                                                                             \
	X(23, VMREAD)                                                                              \
	X(24, VMRESUME)                                                                            \
	X(25, VMWRITE)                                                                             \
	X(26, VMXOFF)                                                                              \
	X(27, VMXON)                                                                               \
	X(28, CR_ACCESS)                                                                           \
	X(29, MOV_DR)                                                                              \
	X(30, IO)                                                                                  \
	X(31, RDMSR)                                                                               \
	X(32, WRMSR)                                                                               \
	X(33, INVALID_GUEST_STATE)                                                                 \
	X(34, MSR_LOADING)                                                                         \
	X(36, MWAIT)                                                                               \
	X(37, MONITOR_TRAP)                                                                        \
	X(39, MONITOR)                                                                             \
	X(40, PAUSE)                                                                               \
	X(41, MACHINE_CHECK_ON_ENTRY)                                                              \
	X(43, TPR_BELOW_THRESHOLD)                                                                 \
	X(44, APIC_ACCESS)                                                                         \
	X(45, VIRTUALIZED_EOI)                                                                     \
	X(48, EPT_VIOLATION)                                                                       \
	X(50, INVEPT)                                                                              \
	X(52, PREEMPTION_TIMER)                                                                    \
	X(53, INVVPID)                                                                             \
	X(54, WBINVD)                                                                              \
	X(55, XSETBV)                                                                              \
	X(56, APIC_WRITE)                                                                          \
	X(59, VMFUNC)                                                                              \
	X(60, ENCLS)                                                                               \
	X(65, PCONFIG)                                                                             \
	X(76, SEAMCALL)                                                                            \
	X(77, TDCALL)

enum vmx_exit {
#define X(number, name) VMX_EXIT_##name = number,
	VMX_EXIT_LIST(X)
#undef X
};

/* Interruption information (VM entry, VM exit, IDT vectoring). */
#define INTR_VALID	 (1u << 31)
#define INTR_ERROR_CODE	 (1u << 11)
#define RFLAGS_TF	 BIT64(8)
#define DEBUGCTL_BTF	 BIT64(1)
#define PENDING_DEBUG_BS BIT64(14)

#define INTR_TYPE_EXTERNAL  (0u << 8)
#define INTR_TYPE_NMI	    (2u << 8)
#define INTR_TYPE_HARDWARE  (3u << 8) /* hardware exception */
#define INTR_TYPE_SOFT_INT  (4u << 8)
#define INTR_TYPE_PRIV_SOFT (5u << 8)
#define INTR_TYPE_SOFT_EXC  (6u << 8)
#define INTR_TYPE(info)	    ((info) & (7u << 8))
#define INTR_VECTOR(info)   ((uint8_t)(info))

#define INTERRUPTIBILITY_STI	(1u << 0)
#define INTERRUPTIBILITY_MOV_SS (1u << 1)
#define INTERRUPTIBILITY_NMI	(1u << 3)

#define ACTIVITY_ACTIVE	       0u
#define ACTIVITY_WAIT_FOR_SIPI 3u

#define ACCESS_CONFORMING (1u << 2) /* of code */
#define ACCESS_DPL	  (3u << 5)
#define ACCESS_CODE_64	  (1u << 13)
#define ACCESS_CODE_32	  (1u << 14)

enum exception_vector {
	VECTOR_DB = 1,
	VECTOR_NMI = 2,
	VECTOR_UD = 6,
	VECTOR_GP = 13,
	VECTOR_AC = 17,
	VECTOR_MC = 18
};
