// SPDX-License-Identifier: GPL-2.0-only
/*
 * cases.c - for every rule, a valid image to which it applies and the change
 * that breaks it and no other that is looked at before or with it. The rules
 * are in the order of vmx_checks.h.
 */
#ifdef __KERNEL__
#include <linux/kernel.h>
#include <linux/stddef.h>
#else
#include <stddef.h>
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif
#include <asm/processor-flags.h>

#include "cases.h"

#define CASE(name, setup, breaks)	\
	{ VMX_RULE_##name, OPS setup, OPS breaks },
#define OPS(...)	{ __VA_ARGS__ }
#define DO(...)		(__VA_ARGS__)
#define NOTHING		({ OP_END, 0, 0 })

#define PUT(field, value)	{ OP_PUT, field, value }
#define OR(field, value)	{ OP_OR, field, value }
#define AND_NOT(field, value)	{ OP_AND_NOT, field, value }
#define PAGE_AT(field, page)	{ OP_PAGE, field, page }
#define ON(ctl)			{ OP_ON, VMX_CTL_##ctl, 0 }
#define OFF(ctl)		{ OP_OFF, VMX_CTL_##ctl, 0 }
#define MODE(mode)		{ OP_MODE, MODE_##mode, 0 }
#define POKE(page, offset, value) { OP_POKE, (page) << 16 | (offset), value }
#define HAVE(member, bits)	\
	{ OP_HAVE, offsetof(struct vmx_caps, member), bits }
#define LACK(member, bits)	\
	{ OP_LACK, offsetof(struct vmx_caps, member), bits }
#define SMM			{ OP_SMM, 0, 0 }
#define LEGACY_HOST		{ OP_LEGACY_HOST, 0, 0 }

#define BEYOND		(1ull << 51)	/* wider than any physical address */
#define NOT_CANONICAL	(1ull << 62)
#define HIGH		(1ull << 40)

/* An address of a page: not aligned, too high. */
#define PAGE_CASES(rule, setup, field)			\
	CASE(rule, setup, DO(OR(field, 8)))		\
	CASE(rule, setup, DO(OR(field, BEYOND)))

/* An MSR that only user mode looks at, with what insmod has there. */
#define KERNEL_GS_BASE	0xc0000102
#define ONE_MSR(which)	PUT(which##_COUNT, 1),			\
			PAGE_AT(which##_ADDR, PAGE_MSRS),	\
			POKE(PAGE_MSRS, 0, KERNEL_GS_BASE)
#define LIST_CASES(rule, which)						\
	CASE(rule, DO(ONE_MSR(which)), DO(OR(which##_ADDR, 8)))		\
	CASE(rule, DO(ONE_MSR(which)), DO(OR(which##_ADDR, BEYOND)))

#define SET_RESERVED(word)	{ OP_SET_RESERVED, VMX_WORD_##word, 0 }
#define CLEAR_RESERVED(word)	{ OP_CLEAR_RESERVED, VMX_WORD_##word, 0 }

#define INJECT(event)	PUT(VM_ENTRY_INTR_INFO, INTR_VALID | (event))
#define EXCEPTION(vector) INJECT(INTR_TYPE_HARD_EXCEPTION | (vector))
#define NMI		INJECT(INTR_TYPE_NMI | 2)
#define INTERRUPT	INJECT(INTR_TYPE_EXT_INTR | 0x20)
#define INTERRUPTS_ON	OR(GUEST_RFLAGS, X86_EFLAGS_IF)
#define STEPPING	OR(GUEST_RFLAGS, X86_EFLAGS_TF)
#define BLOCKING(what)	PUT(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_##what)
#define HALTED		HAVE(misc, VMXCAP_MISC_ACTIVITY_HLT), \
			PUT(GUEST_ACTIVITY_STATE, ACTIVITY_HLT)
#define SHUT_DOWN	HAVE(misc, VMXCAP_MISC_ACTIVITY_SHUTDOWN), \
			PUT(GUEST_ACTIVITY_STATE, ACTIVITY_SHUTDOWN)
#define UNRESTRICTED	ON(CPU2_ENABLE_EPT), ON(CPU2_UNRESTRICTED_GUEST)
#define EFER_LONG	((1ull << 8) | (1ull << 10))
#define CR4_CET		(1ull << 23)
#define UNUSABLE(s)	OR(GUEST_##s##_AR, SEG_AR_UNUSABLE)

/* The one entry of the VM-entry MSR-load area. */
#define LOAD_MSR(index, value)	PUT(VM_ENTRY_MSR_LOAD_COUNT, 1),	\
				POKE(PAGE_MSRS, 0, index),		\
				POKE(PAGE_MSRS, 8, value)
#define SYSENTER_CS	0x174

#define EACH_OF_6(X)	X(ES) X(CS) X(SS) X(DS) X(FS) X(GS)
#define EACH_OF_4(X)	X(ES) X(DS) X(FS) X(GS)

const struct vmentry_case vmentry_cases[] = {
	/* "VM-Execution Control Fields" */
	CASE(pin_ctls, NOTHING, DO(SET_RESERVED(PIN)))
	CASE(pin_ctls, NOTHING, DO(CLEAR_RESERVED(PIN)))
	CASE(cpu_ctls, NOTHING, DO(SET_RESERVED(CPU)))
	CASE(cpu_ctls, NOTHING, DO(CLEAR_RESERVED(CPU)))
	CASE(cpu2_ctls, DO(ON(CPU_ACTIVATE_SECONDARY)), DO(SET_RESERVED(CPU2)))
	CASE(cpu3_ctls, DO(ON(CPU_ACTIVATE_TERTIARY)), DO(SET_RESERVED(CPU3)))
	CASE(cr3_targets, NOTHING, DO(PUT(CR3_TARGET_COUNT, 257)))
	PAGE_CASES(io_bitmaps, (ON(CPU_USE_IO_BITMAPS)), IO_BITMAP_A)
	PAGE_CASES(io_bitmaps, (ON(CPU_USE_IO_BITMAPS)), IO_BITMAP_B)
	PAGE_CASES(msr_bitmap, (ON(CPU_USE_MSR_BITMAPS)), MSR_BITMAP)
	PAGE_CASES(virtual_apic_page, (ON(CPU_TPR_SHADOW)), VIRTUAL_APIC_ADDR)
	CASE(tpr_threshold, DO(ON(CPU_TPR_SHADOW)),
	     DO(PUT(TPR_THRESHOLD, 0x10)))
	CASE(tpr_below_threshold,
	     DO(ON(CPU_TPR_SHADOW), PUT(TPR_THRESHOLD, 4),
		POKE(PAGE_VAPIC, 0x80, 0x40)), DO(PUT(TPR_THRESHOLD, 5)))
	CASE(virtual_nmis, DO(ON(PIN_VIRTUAL_NMIS)), DO(OFF(PIN_NMI_EXITING)))
	CASE(nmi_window, DO(ON(CPU_NMI_WINDOW_EXITING)),
	     DO(OFF(PIN_VIRTUAL_NMIS)))
	PAGE_CASES(apic_access_page, (ON(CPU2_VIRTUALIZE_APIC)), APIC_ACCESS_ADDR)
	CASE(tpr_shadow, DO(ON(CPU_TPR_SHADOW), ON(CPU2_VIRTUALIZE_X2APIC)),
	     DO(OFF(CPU_TPR_SHADOW)))
	CASE(tpr_shadow, DO(ON(CPU_TPR_SHADOW), ON(CPU2_APIC_REGISTER_VIRT)),
	     DO(OFF(CPU_TPR_SHADOW)))
	CASE(tpr_shadow, DO(ON(CPU_TPR_SHADOW), ON(CPU2_VIRTUAL_INTR_DELIVERY)),
	     DO(OFF(CPU_TPR_SHADOW)))
	CASE(tpr_shadow, DO(ON(CPU_TPR_SHADOW), ON(CPU3_IPI_VIRTUALIZATION)),
	     DO(OFF(CPU_TPR_SHADOW)))
	CASE(x2apic_mode, DO(ON(CPU_TPR_SHADOW), ON(CPU2_VIRTUALIZE_X2APIC)),
	     DO(ON(CPU2_VIRTUALIZE_APIC)))
	CASE(virtual_interrupts,
	     DO(ON(CPU_TPR_SHADOW), ON(CPU2_VIRTUAL_INTR_DELIVERY)),
	     DO(OFF(PIN_EXT_INTR_EXITING)))
#define POSTED	ON(CPU_TPR_SHADOW), ON(CPU2_VIRTUAL_INTR_DELIVERY), \
		ON(PIN_POSTED_INTR), ON(EXIT_CTL_ACK_INTR)
	CASE(posted_delivery, DO(POSTED), DO(OFF(CPU2_VIRTUAL_INTR_DELIVERY)))
	CASE(posted_acknowledge, DO(POSTED), DO(OFF(EXIT_CTL_ACK_INTR)))
	CASE(posted_vector, DO(POSTED), DO(PUT(POSTED_INTR_NV, 0x100)))
	CASE(posted_descriptor, DO(POSTED), DO(OR(POSTED_INTR_DESC_ADDR, 32)))
	CASE(posted_descriptor, DO(POSTED),
	     DO(OR(POSTED_INTR_DESC_ADDR, BEYOND)))
	CASE(posted_descriptor, DO(POSTED, OR(POSTED_INTR_DESC_ADDR, 64)),
	     DO(OR(POSTED_INTR_DESC_ADDR, 8)))
	CASE(vpid, DO(ON(CPU2_ENABLE_VPID)), DO(PUT(VPID, 0)))
	CASE(eptp_memtype, DO(ON(CPU2_ENABLE_EPT)),
	     DO(AND_NOT(EPT_POINTER, 7), OR(EPT_POINTER, MEMTYPE_WC)))
	CASE(eptp_memtype, DO(ON(CPU2_ENABLE_EPT)), DO(OR(EPT_POINTER, 7)))
	CASE(eptp_levels, DO(ON(CPU2_ENABLE_EPT)),
	     DO(AND_NOT(EPT_POINTER, EPTP_LEVELS)))
	CASE(eptp_levels, DO(ON(CPU2_ENABLE_EPT)),
	     DO(OR(EPT_POINTER, EPTP_LEVELS)))
	CASE(eptp_accessed_dirty,
	     DO(ON(CPU2_ENABLE_EPT), LACK(ept_vpid, EPTCAP_ACCESSED_DIRTY)),
	     DO(OR(EPT_POINTER, EPTP_ACCESSED_DIRTY)))
	CASE(eptp_shadow_stack,
	     DO(ON(CPU2_ENABLE_EPT), LACK(ept_vpid, EPTCAP_SHADOW_STACK)),
	     DO(OR(EPT_POINTER, EPTP_SHADOW_STACK)))
	CASE(eptp_reserved, DO(ON(CPU2_ENABLE_EPT)), DO(OR(EPT_POINTER, 0x400)))
	CASE(eptp_reserved, DO(ON(CPU2_ENABLE_EPT)), DO(OR(EPT_POINTER, BEYOND)))
	CASE(pml_needs_ept, DO(ON(CPU2_ENABLE_EPT), ON(CPU2_ENABLE_PML)),
	     DO(OFF(CPU2_ENABLE_EPT)))
	PAGE_CASES(pml_address, (ON(CPU2_ENABLE_EPT), ON(CPU2_ENABLE_PML)),
		   PML_ADDRESS)
	CASE(unrestricted_needs_ept, DO(UNRESTRICTED), DO(OFF(CPU2_ENABLE_EPT)))
	CASE(mode_based_needs_ept,
	     DO(ON(CPU2_ENABLE_EPT), ON(CPU2_MODE_BASED_EXEC)),
	     DO(OFF(CPU2_ENABLE_EPT)))
#define SUB_PAGE	ON(CPU2_ENABLE_EPT), ON(CPU2_SUB_PAGE_WRITE)
	CASE(sub_page_needs_ept, DO(SUB_PAGE), DO(OFF(CPU2_ENABLE_EPT)))
	PAGE_CASES(sub_page_table, (SUB_PAGE), SPP_TABLE_POINTER)
	CASE(vm_functions, DO(ON(CPU2_ENABLE_VMFUNC)),
	     DO(OR(VM_FUNCTION_CTLS, HIGH)))
#define SWITCHING	ON(CPU2_ENABLE_EPT), ON(CPU2_ENABLE_VMFUNC), \
			HAVE(vmfunc, VMFUNC_EPTP_SWITCHING), \
			PUT(VM_FUNCTION_CTLS, VMFUNC_EPTP_SWITCHING)
	CASE(eptp_switching_needs_ept, DO(SWITCHING), DO(OFF(CPU2_ENABLE_EPT)))
	PAGE_CASES(eptp_list, (SWITCHING), EPTP_LIST_ADDR)
	PAGE_CASES(shadowing_bitmaps, (ON(CPU2_VMCS_SHADOWING)), VMREAD_BITMAP)
	PAGE_CASES(shadowing_bitmaps, (ON(CPU2_VMCS_SHADOWING)), VMWRITE_BITMAP)
	PAGE_CASES(ve_information, (ON(CPU2_EPT_VIOLATION_VE)), VE_INFO_ADDR)
#define PT_GPA	ON(CPU2_ENABLE_EPT), ON(CPU2_PT_USE_GPA), \
		ON(ENTRY_CTL_LOAD_RTIT), ON(EXIT_CTL_CLEAR_RTIT)
	CASE(pt_guest_physical, DO(PT_GPA), DO(OFF(CPU2_ENABLE_EPT)))
	CASE(pt_guest_physical, DO(PT_GPA), DO(OFF(ENTRY_CTL_LOAD_RTIT)))
	CASE(pt_guest_physical, DO(PT_GPA), DO(OFF(EXIT_CTL_CLEAR_RTIT)))
	CASE(tsc_multiplier, DO(ON(CPU2_TSC_SCALING)),
	     DO(PUT(TSC_MULTIPLIER, 0)))
	CASE(hlat_pointer, DO(ON(CPU3_ENABLE_HLAT)), DO(OR(HLAT_POINTER, 4)))
	CASE(hlat_pointer, DO(ON(CPU3_ENABLE_HLAT), OR(HLAT_POINTER, 0x18)),
	     DO(OR(HLAT_POINTER, BEYOND)))
#define IPI	ON(CPU_TPR_SHADOW), ON(CPU3_IPI_VIRTUALIZATION)
	CASE(pid_pointers, DO(IPI), DO(OR(PID_POINTER_TABLE_ADDR, 4)))
	CASE(pid_pointers, DO(IPI), DO(OR(PID_POINTER_TABLE_ADDR, BEYOND)))
	PAGE_CASES(pasid_directories, (ON(CPU2_PASID_TRANSLATION)),
		   LOW_PASID_DIRECTORY_ADDR)
	PAGE_CASES(pasid_directories, (ON(CPU2_PASID_TRANSLATION)),
		   HIGH_PASID_DIRECTORY_ADDR)

	/* "VM-Exit Control Fields" */
	CASE(exit_ctls,
	     DO(LACK(ctl[VMX_WORD_EXIT].one, EXIT_CTL_SAVE_PERF_GLOBAL)),
	     DO(OR(VM_EXIT_CTLS, EXIT_CTL_SAVE_PERF_GLOBAL)))
	CASE(exit_ctls, NOTHING, DO(CLEAR_RESERVED(EXIT)))
	CASE(exit2_ctls, DO(ON(EXIT_CTL_ACTIVATE_SECONDARY)),
	     DO(SET_RESERVED(EXIT2)))
	CASE(save_timer, DO(ON(PIN_PREEMPTION_TIMER),
			    ON(EXIT_CTL_SAVE_PREEMPTION_TIMER)),
	     DO(OFF(PIN_PREEMPTION_TIMER)))
	LIST_CASES(exit_store_list, VM_EXIT_MSR_STORE)
	LIST_CASES(exit_load_list, VM_EXIT_MSR_LOAD)

	/* "VM-Entry Control Fields" */
	CASE(entry_ctls, NOTHING, DO(SET_RESERVED(ENTRY)))
	CASE(entry_ctls, NOTHING, DO(CLEAR_RESERVED(ENTRY)))
	CASE(event_type, DO(EXCEPTION(6)), DO(INJECT(1u << 8 | 6)))
	CASE(event_type,
	     DO(LACK(ctl[VMX_WORD_CPU].one, CPU_MONITOR_TRAP_FLAG)),
	     DO(INJECT(INTR_TYPE_OTHER)))
	CASE(event_vector, DO(NMI), DO(INJECT(INTR_TYPE_NMI | 3)))
	CASE(event_vector, DO(EXCEPTION(31)), DO(EXCEPTION(32)))
	CASE(event_vector,
	     DO(HAVE(ctl[VMX_WORD_CPU].one, CPU_MONITOR_TRAP_FLAG),
		INJECT(INTR_TYPE_OTHER)), DO(INJECT(INTR_TYPE_OTHER | 1)))
#define OLD_CODES	LACK(basic, VMXCAP_BASIC_ANY_ERROR_CODE)
	CASE(event_error_code_due, DO(OLD_CODES, EXCEPTION(INTR_ERROR_CODE | 13)),
	     DO(EXCEPTION(13)))
	CASE(event_error_code_due, DO(OLD_CODES, EXCEPTION(INTR_ERROR_CODE | 17)),
	     DO(EXCEPTION(17)))
	CASE(event_error_code_due, DO(OLD_CODES, UNRESTRICTED,
				      EXCEPTION(INTR_ERROR_CODE | 8)),
	     DO(EXCEPTION(8)))
	CASE(event_error_code_undue, DO(OLD_CODES, EXCEPTION(6)),
	     DO(EXCEPTION(INTR_ERROR_CODE | 6)))
	CASE(event_error_code_undue, DO(NMI),
	     DO(INJECT(INTR_TYPE_NMI | INTR_ERROR_CODE | 2)))
	CASE(event_error_code_undue, DO(MODE(REAL), EXCEPTION(13)),
	     DO(EXCEPTION(INTR_ERROR_CODE | 13)))
	CASE(event_reserved, DO(EXCEPTION(6)), DO(EXCEPTION(1u << 12 | 6)))
	CASE(event_reserved, DO(EXCEPTION(6)), DO(EXCEPTION(1u << 30 | 6)))
	CASE(event_error_code, DO(EXCEPTION(INTR_ERROR_CODE | 13),
				  PUT(VM_ENTRY_ERROR_CODE, 0x7fff)),
	     DO(PUT(VM_ENTRY_ERROR_CODE, 0x10000)))
	CASE(event_length, DO(INJECT(INTR_TYPE_SOFT_INTR | 0x80),
			      PUT(VM_ENTRY_INSN_LEN, 15)),
	     DO(PUT(VM_ENTRY_INSN_LEN, 16)))
	CASE(event_length, DO(LACK(misc, VMXCAP_MISC_ZERO_INSN_LEN),
			      INJECT(INTR_TYPE_SOFT_EXCEPTION | 3),
			      PUT(VM_ENTRY_INSN_LEN, 1)),
	     DO(PUT(VM_ENTRY_INSN_LEN, 0)))
	CASE(event_length, DO(INJECT(INTR_TYPE_PRIV_EXCEPTION | 1),
			      PUT(VM_ENTRY_INSN_LEN, 1)),
	     DO(PUT(VM_ENTRY_INSN_LEN, 16)))
	CASE(entry_load_list, DO(LOAD_MSR(SYSENTER_CS, 0)),
	     DO(OR(VM_ENTRY_MSR_LOAD_ADDR, 8)))
	CASE(entry_load_list, DO(LOAD_MSR(SYSENTER_CS, 0)),
	     DO(OR(VM_ENTRY_MSR_LOAD_ADDR, BEYOND)))
	CASE(entry_to_smm, NOTHING, DO(ON(ENTRY_CTL_ENTRY_TO_SMM)))
	CASE(entry_to_smm, NOTHING, DO(ON(ENTRY_CTL_NO_DUAL_MONITOR)))
	CASE(smm_or_dual_monitor,
	     DO(SMM, ON(ENTRY_CTL_ENTRY_TO_SMM), BLOCKING(SMI)),
	     DO(ON(ENTRY_CTL_NO_DUAL_MONITOR)))

	/* "Checks on Host Control Registers, MSRs, and SSP" */
	CASE(host_cr0, NOTHING, DO(AND_NOT(HOST_CR0, X86_CR0_NE)))
	CASE(host_cr0, NOTHING, DO(OR(HOST_CR0, HIGH)))
	CASE(host_cr4, NOTHING, DO(AND_NOT(HOST_CR4, X86_CR4_VMXE)))
	CASE(host_cr4, NOTHING, DO(OR(HOST_CR4, HIGH)))
	CASE(host_cet, DO(HAVE(cr4_fixed1, CR4_CET), OR(HOST_CR4, CR4_CET)),
	     DO(AND_NOT(HOST_CR0, X86_CR0_WP)))
	CASE(host_cr3, NOTHING, DO(OR(HOST_CR3, BEYOND)))
	CASE(host_cr3, NOTHING, DO(OR(HOST_CR3, 1ull << 63)))
	CASE(host_sysenter, NOTHING, DO(PUT(HOST_SYSENTER_ESP, NOT_CANONICAL)))
	CASE(host_sysenter, NOTHING, DO(PUT(HOST_SYSENTER_EIP, NOT_CANONICAL)))
	CASE(host_perf_global, DO(ON(EXIT_CTL_LOAD_PERF_GLOBAL)),
	     DO(OR(HOST_PERF_GLOBAL_CTRL, 1ull << 63)))
	CASE(host_pat, DO(ON(EXIT_CTL_LOAD_PAT)), DO(OR(HOST_PAT, 8)))
	CASE(host_pat, DO(ON(EXIT_CTL_LOAD_PAT)),
	     DO(AND_NOT(HOST_PAT, 7ull << 56), OR(HOST_PAT, 2ull << 56)))
	CASE(host_efer, DO(ON(EXIT_CTL_LOAD_EFER)), DO(OR(HOST_EFER, 2)))
	CASE(host_efer, DO(ON(EXIT_CTL_LOAD_EFER)), DO(OR(HOST_EFER, HIGH)))
	CASE(host_efer_mode, DO(ON(EXIT_CTL_LOAD_EFER)),
	     DO(AND_NOT(HOST_EFER, 1 << 10)))
	CASE(host_efer_mode, DO(ON(EXIT_CTL_LOAD_EFER)),
	     DO(AND_NOT(HOST_EFER, 1 << 8)))
	CASE(host_s_cet, DO(ON(EXIT_CTL_LOAD_CET)), DO(OR(HOST_S_CET, 0x40)))
	CASE(host_s_cet, DO(ON(EXIT_CTL_LOAD_CET)), DO(OR(HOST_S_CET, 0xc00)))
	CASE(host_ssp, DO(ON(EXIT_CTL_LOAD_CET)), DO(OR(HOST_SSP, 2)))
	CASE(host_cet_canonical, DO(ON(EXIT_CTL_LOAD_CET)),
	     DO(OR(HOST_S_CET, NOT_CANONICAL)))
	CASE(host_cet_canonical, DO(ON(EXIT_CTL_LOAD_CET)),
	     DO(OR(HOST_INTR_SSP_TABLE, NOT_CANONICAL)))
	CASE(host_pkrs, DO(ON(EXIT_CTL_LOAD_PKRS)), DO(OR(HOST_PKRS, HIGH)))

	/* "Checks on Host Segment and Descriptor-Table Registers" */
#define HOST_SELECTOR_CASES(s)						\
	CASE(host_selectors, NOTHING, DO(OR(HOST_##s##_SELECTOR, 1)))	\
	CASE(host_selectors, NOTHING, DO(OR(HOST_##s##_SELECTOR, 4)))
	EACH_OF_6(HOST_SELECTOR_CASES)
	HOST_SELECTOR_CASES(TR)
	CASE(host_cs, NOTHING, DO(PUT(HOST_CS_SELECTOR, 0)))
	CASE(host_tr, NOTHING, DO(PUT(HOST_TR_SELECTOR, 0)))
	CASE(host_ss, DO(LEGACY_HOST), DO(PUT(HOST_SS_SELECTOR, 0)))
#define HOST_BASE_CASE(s)	\
	CASE(host_bases, NOTHING, DO(PUT(HOST_##s##_BASE, NOT_CANONICAL)))
	HOST_BASE_CASE(FS) HOST_BASE_CASE(GS) HOST_BASE_CASE(TR)
	HOST_BASE_CASE(GDTR) HOST_BASE_CASE(IDTR)

	/* "Checks Related to Address-Space Size" */
	CASE(host_size, DO(MODE(PROT32)),
	     DO(OFF(EXIT_CTL_HOST_LONG_MODE), AND_NOT(HOST_EFER, EFER_LONG),
		AND_NOT(HOST_CR4, X86_CR4_PCIDE), PUT(HOST_RIP, 0x1000),
		PUT(HOST_SS_SELECTOR, 0x18)))
	CASE(guest_size, DO(LEGACY_HOST),
	     DO(ON(ENTRY_CTL_GUEST_LONG_MODE), OR(GUEST_CR4, X86_CR4_PAE),
		OR(GUEST_EFER, EFER_LONG)))
	CASE(host_pcide, DO(LEGACY_HOST), DO(OR(HOST_CR4, X86_CR4_PCIDE)))
	CASE(host_pae, NOTHING, DO(AND_NOT(HOST_CR4, X86_CR4_PAE)))
	CASE(host_rip, NOTHING, DO(PUT(HOST_RIP, NOT_CANONICAL)))
	CASE(host_rip, DO(LEGACY_HOST), DO(OR(HOST_RIP, HIGH)))
	CASE(host_ssp_size, DO(ON(EXIT_CTL_LOAD_CET)),
	     DO(OR(HOST_SSP, NOT_CANONICAL)))
	CASE(host_ssp_size, DO(LEGACY_HOST, ON(EXIT_CTL_LOAD_CET)),
	     DO(OR(HOST_SSP, HIGH)))

	/* "Checks on Guest Control Registers, Debug Registers, and MSRs" */
	CASE(guest_cr0, NOTHING, DO(AND_NOT(GUEST_CR0, X86_CR0_NE)))
	CASE(guest_cr0, NOTHING, DO(OR(GUEST_CR0, HIGH)))
	CASE(guest_cr0, DO(MODE(PROT32),
			   OR(GUEST_CR0, X86_CR0_CD | X86_CR0_NW)),
	     DO(AND_NOT(GUEST_CR0, X86_CR0_PG)))
	CASE(guest_paging, DO(MODE(REAL)), DO(OR(GUEST_CR0, X86_CR0_PG)))
	CASE(guest_cr4, NOTHING, DO(AND_NOT(GUEST_CR4, X86_CR4_VMXE)))
	CASE(guest_cr4, NOTHING, DO(OR(GUEST_CR4, HIGH)))
	CASE(guest_cet, DO(HAVE(cr4_fixed1, CR4_CET), OR(GUEST_CR4, CR4_CET)),
	     DO(AND_NOT(GUEST_CR0, X86_CR0_WP)))
	CASE(guest_debugctl, DO(ON(ENTRY_CTL_LOAD_DEBUG)),
	     DO(OR(GUEST_DEBUGCTL, HIGH)))
	CASE(guest_debugctl, DO(ON(ENTRY_CTL_LOAD_DEBUG)),
	     DO(OR(GUEST_DEBUGCTL, 8)))
	CASE(guest_long_mode_paging, DO(UNRESTRICTED),
	     DO(AND_NOT(GUEST_CR0, X86_CR0_PG)))
	CASE(guest_long_mode_pae, NOTHING, DO(AND_NOT(GUEST_CR4, X86_CR4_PAE)))
	CASE(guest_pcide, DO(MODE(PROT32), HAVE(cr4_fixed1, X86_CR4_PCIDE)),
	     DO(OR(GUEST_CR4, X86_CR4_PCIDE)))
	CASE(guest_cr3, NOTHING, DO(OR(GUEST_CR3, BEYOND)))
	CASE(guest_cr3, NOTHING, DO(OR(GUEST_CR3, 1ull << 63)))
	CASE(guest_dr7, DO(ON(ENTRY_CTL_LOAD_DEBUG)), DO(OR(GUEST_DR7, HIGH)))
	CASE(guest_sysenter, NOTHING, DO(PUT(GUEST_SYSENTER_ESP, NOT_CANONICAL)))
	CASE(guest_sysenter, NOTHING, DO(PUT(GUEST_SYSENTER_EIP, NOT_CANONICAL)))
	CASE(guest_cet_canonical, DO(ON(ENTRY_CTL_LOAD_CET)),
	     DO(OR(GUEST_S_CET, NOT_CANONICAL)))
	CASE(guest_cet_canonical, DO(ON(ENTRY_CTL_LOAD_CET)),
	     DO(OR(GUEST_INTR_SSP_TABLE, NOT_CANONICAL)))
	CASE(guest_perf_global, DO(ON(ENTRY_CTL_LOAD_PERF_GLOBAL)),
	     DO(OR(GUEST_PERF_GLOBAL_CTRL, 1ull << 63)))
	CASE(guest_pat, DO(ON(ENTRY_CTL_LOAD_PAT)), DO(OR(GUEST_PAT, 0x80)))
	CASE(guest_pat, DO(ON(ENTRY_CTL_LOAD_PAT)),
	     DO(AND_NOT(GUEST_PAT, 7ull << 56), OR(GUEST_PAT, 3ull << 56)))
	CASE(guest_efer, DO(ON(ENTRY_CTL_LOAD_EFER)), DO(OR(GUEST_EFER, 0x200)))
	CASE(guest_efer, DO(ON(ENTRY_CTL_LOAD_EFER)), DO(OR(GUEST_EFER, HIGH)))
	CASE(guest_efer_lma, DO(ON(ENTRY_CTL_LOAD_EFER)),
	     DO(PUT(GUEST_EFER, 0)))
	CASE(guest_efer_lma, DO(MODE(PROT32), ON(ENTRY_CTL_LOAD_EFER)),
	     DO(PUT(GUEST_EFER, EFER_LONG)))
	CASE(guest_efer_lme, DO(ON(ENTRY_CTL_LOAD_EFER)),
	     DO(AND_NOT(GUEST_EFER, 1 << 8)))
	CASE(guest_efer_lme, DO(MODE(PROT32), ON(ENTRY_CTL_LOAD_EFER)),
	     DO(PUT(GUEST_EFER, 1 << 8)))
	CASE(guest_bndcfgs, DO(ON(ENTRY_CTL_LOAD_BNDCFGS)),
	     DO(OR(GUEST_BNDCFGS, 0x10)))
	CASE(guest_bndcfgs, DO(ON(ENTRY_CTL_LOAD_BNDCFGS)),
	     DO(OR(GUEST_BNDCFGS, NOT_CANONICAL)))
	CASE(guest_rtit_ctl, DO(ON(ENTRY_CTL_LOAD_RTIT), LACK(rtit_ctl, 1ull << 63)),
	     DO(OR(GUEST_RTIT_CTL, 1ull << 63)))
	CASE(guest_lbr_ctl, DO(ON(ENTRY_CTL_LOAD_LBR), LACK(lbr_ctl, 1ull << 63)),
	     DO(OR(GUEST_LBR_CTL, 1ull << 63)))
	CASE(guest_s_cet, DO(ON(ENTRY_CTL_LOAD_CET)), DO(OR(GUEST_S_CET, 0x40)))
	CASE(guest_s_cet, DO(ON(ENTRY_CTL_LOAD_CET)), DO(OR(GUEST_S_CET, 0xc00)))
	CASE(guest_pkrs, DO(ON(ENTRY_CTL_LOAD_PKRS)), DO(OR(GUEST_PKRS, HIGH)))
	CASE(guest_uinv, DO(ON(ENTRY_CTL_LOAD_UINV)), DO(OR(GUEST_UINV, 0x100)))

	/* "Checks on Guest Segment Registers" */
	CASE(tr_selector, DO(PUT(GUEST_TR_SELECTOR, 8)),
	     DO(OR(GUEST_TR_SELECTOR, 4)))
	CASE(ldtr_selector, NOTHING, DO(OR(GUEST_LDTR_SELECTOR, 4)))
	CASE(ss_rpl, DO(OR(GUEST_CS_SELECTOR, 0x10), OR(GUEST_SS_SELECTOR, 0x18)),
	     DO(OR(GUEST_CS_SELECTOR, 3)))
#define VM86_CASES(s)							\
	CASE(vm86_base, DO(MODE(VM86)), DO(OR(GUEST_##s##_BASE, 0x10)))	\
	CASE(vm86_limit, DO(MODE(VM86)), DO(OR(GUEST_##s##_LIMIT, 0x10000))) \
	CASE(vm86_rights, DO(MODE(VM86)), DO(OR(GUEST_##s##_AR, SEG_AR_AVL))) \
	CASE(vm86_rights, DO(MODE(VM86)), DO(UNUSABLE(s)))
	EACH_OF_6(VM86_CASES)
	CASE(tr_base, NOTHING, DO(PUT(GUEST_TR_BASE, NOT_CANONICAL)))
	CASE(tr_base, NOTHING, DO(PUT(GUEST_FS_BASE, NOT_CANONICAL)))
	CASE(tr_base, DO(UNUSABLE(GS)), DO(PUT(GUEST_GS_BASE, NOT_CANONICAL)))
	CASE(ldtr_base, NOTHING, DO(PUT(GUEST_LDTR_BASE, NOT_CANONICAL)))
	CASE(cs_base, NOTHING, DO(OR(GUEST_CS_BASE, 1ull << 32)))
	CASE(data_base, NOTHING, DO(OR(GUEST_SS_BASE, 1ull << 32)))
	CASE(data_base, DO(MODE(PROT32)), DO(OR(GUEST_SS_BASE, 1ull << 32)))
	CASE(data_base, NOTHING, DO(OR(GUEST_DS_BASE, 1ull << 63)))
	CASE(data_base, NOTHING, DO(OR(GUEST_ES_BASE, 1ull << 32)))
	CASE(cs_type, NOTHING, DO(AND_NOT(GUEST_CS_AR, 1)))
	CASE(cs_type, NOTHING, DO(AND_NOT(GUEST_CS_AR, 8)))
	CASE(cs_type, DO(MODE(REAL), AND_NOT(GUEST_CS_AR, 8)),
	     DO(OR(GUEST_CS_AR, 4)))
	CASE(ss_type, NOTHING, DO(OR(GUEST_SS_AR, 8)))
	CASE(ss_type, NOTHING, DO(AND_NOT(GUEST_SS_AR, 2)))
	CASE(ss_type, DO(OR(GUEST_SS_AR, 4)), DO(AND_NOT(GUEST_SS_AR, 1)))
	CASE(ss_type, DO(MODE(PROT32)), DO(OR(GUEST_SS_AR, 8)))
	CASE(ss_type, DO(MODE(PROT32)), DO(AND_NOT(GUEST_SS_AR, 2)))
	CASE(ss_type, DO(MODE(PROT32)), DO(AND_NOT(GUEST_SS_AR, 1)))
#define DATA_CASES(s)							\
	CASE(data_accessed, NOTHING, DO(AND_NOT(GUEST_##s##_AR, 1)))	\
	CASE(data_readable, DO(OR(GUEST_##s##_AR, 8)),			\
	     DO(AND_NOT(GUEST_##s##_AR, 2)))				\
	CASE(data_dpl, DO(OR(GUEST_##s##_SELECTOR, 0x23),		\
			  OR(GUEST_##s##_AR, 3 << SEG_AR_DPL_SHIFT)),	\
	     DO(AND_NOT(GUEST_##s##_AR, 2 << SEG_AR_DPL_SHIFT)))	\
	CASE(data_dpl, DO(OR(GUEST_##s##_SELECTOR, 0x23),		\
			  OR(GUEST_##s##_AR, 12)),			\
	     DO(AND_NOT(GUEST_##s##_AR, 4)))
	EACH_OF_4(DATA_CASES)
#define SEGMENT_CASES_IN(s, setup)					\
	CASE(segment_s, setup, DO(AND_NOT(GUEST_##s##_AR, SEG_AR_S)))	\
	CASE(segment_present, setup, DO(AND_NOT(GUEST_##s##_AR, SEG_AR_P))) \
	CASE(segment_reserved, setup, DO(OR(GUEST_##s##_AR, 0x100)))	\
	CASE(segment_reserved, setup, DO(OR(GUEST_##s##_AR, 0x800)))	\
	CASE(segment_reserved, setup, DO(OR(GUEST_##s##_AR, 1u << 17)))	\
	CASE(segment_reserved, setup, DO(OR(GUEST_##s##_AR, 1u << 31)))	\
	CASE(segment_granularity, setup,				\
	     DO(AND_NOT(GUEST_##s##_AR, SEG_AR_G)))			\
	CASE(segment_granularity, setup,				\
	     DO(AND_NOT(GUEST_##s##_LIMIT, 0x800)))
#define SEGMENT_CASES(s)	SEGMENT_CASES_IN(s, NOTHING)
	EACH_OF_6(SEGMENT_CASES)
	SEGMENT_CASES_IN(SS, DO(MODE(PROT32)))
	CASE(cs_dpl, NOTHING, DO(OR(GUEST_CS_AR, 1 << SEG_AR_DPL_SHIFT)))
	CASE(cs_dpl, DO(OR(GUEST_CS_AR, 4)),
	     DO(OR(GUEST_CS_AR, 1 << SEG_AR_DPL_SHIFT)))
	CASE(cs_dpl, DO(MODE(REAL), AND_NOT(GUEST_CS_AR, 8)),
	     DO(OR(GUEST_CS_AR, 1 << SEG_AR_DPL_SHIFT)))
	CASE(ss_dpl, DO(OR(GUEST_CS_AR, 4)),
	     DO(OR(GUEST_SS_AR, 3 << SEG_AR_DPL_SHIFT)))
	CASE(ss_dpl_real, DO(MODE(REAL), OR(GUEST_CS_AR, 4)),
	     DO(OR(GUEST_SS_AR, 3 << SEG_AR_DPL_SHIFT)))
	CASE(cs_db, NOTHING, DO(OR(GUEST_CS_AR, SEG_AR_DB)))
	CASE(tr_type, NOTHING, DO(AND_NOT(GUEST_TR_AR, 2)))
	CASE(tr_type, NOTHING, DO(AND_NOT(GUEST_TR_AR, 8)))
	CASE(tr_type, DO(MODE(PROT32), AND_NOT(GUEST_TR_AR, 8)),
	     DO(AND_NOT(GUEST_TR_AR, 2)))
	CASE(tr_s, NOTHING, DO(OR(GUEST_TR_AR, SEG_AR_S)))
	CASE(tr_present, NOTHING, DO(AND_NOT(GUEST_TR_AR, SEG_AR_P)))
	CASE(tr_reserved, NOTHING, DO(OR(GUEST_TR_AR, 0x100)))
	CASE(tr_reserved, NOTHING, DO(OR(GUEST_TR_AR, 1u << 17)))
	CASE(tr_granularity, NOTHING, DO(OR(GUEST_TR_AR, SEG_AR_G)))
	CASE(tr_granularity, NOTHING, DO(OR(GUEST_TR_LIMIT, 1 << 20)))
	CASE(tr_usable, NOTHING, DO(UNUSABLE(TR)))
	CASE(ldtr_type, NOTHING, DO(OR(GUEST_LDTR_AR, 1)))
	CASE(ldtr_s, NOTHING, DO(OR(GUEST_LDTR_AR, SEG_AR_S)))
	CASE(ldtr_present, NOTHING, DO(AND_NOT(GUEST_LDTR_AR, SEG_AR_P)))
	CASE(ldtr_reserved, NOTHING, DO(OR(GUEST_LDTR_AR, 0x100)))
	CASE(ldtr_reserved, NOTHING, DO(OR(GUEST_LDTR_AR, 1u << 17)))
	CASE(ldtr_granularity, NOTHING, DO(OR(GUEST_LDTR_AR, SEG_AR_G)))
	CASE(ldtr_granularity, NOTHING, DO(OR(GUEST_LDTR_LIMIT, 1 << 20)))

	/* "Checks on Guest Descriptor-Table Registers" */
	CASE(table_bases, NOTHING, DO(PUT(GUEST_GDTR_BASE, NOT_CANONICAL)))
	CASE(table_bases, NOTHING, DO(PUT(GUEST_IDTR_BASE, NOT_CANONICAL)))
	CASE(table_limits, NOTHING, DO(PUT(GUEST_GDTR_LIMIT, 0x10000)))
	CASE(table_limits, NOTHING, DO(PUT(GUEST_IDTR_LIMIT, 0x10000)))

	/* "Checks on Guest RIP, RFLAGS, and SSP" */
	CASE(rip_high, DO(AND_NOT(GUEST_CS_AR, SEG_AR_L)),
	     DO(OR(GUEST_RIP, 1ull << 32)))
	CASE(rip_high, DO(MODE(PROT32)), DO(OR(GUEST_RIP, 1ull << 63)))
	CASE(rip_canonical, DO(OR(GUEST_RIP, HIGH)), DO(OR(GUEST_RIP, 1ull << 62)))
	CASE(rflags_reserved, NOTHING, DO(AND_NOT(GUEST_RFLAGS, 2)))
	CASE(rflags_reserved, NOTHING, DO(OR(GUEST_RFLAGS, 8)))
	CASE(rflags_reserved, NOTHING, DO(OR(GUEST_RFLAGS, 0x20)))
	CASE(rflags_reserved, NOTHING, DO(OR(GUEST_RFLAGS, 0x8000)))
	CASE(rflags_reserved, NOTHING, DO(OR(GUEST_RFLAGS, 1 << 22)))
	CASE(rflags_reserved, NOTHING, DO(OR(GUEST_RFLAGS, HIGH)))
	CASE(rflags_vm, DO(MODE(VM86)),
	     DO(ON(ENTRY_CTL_GUEST_LONG_MODE), OR(GUEST_CR4, X86_CR4_PAE),
		OR(GUEST_EFER, EFER_LONG)))
	CASE(rflags_vm, DO(MODE(VM86), UNRESTRICTED),
	     DO(AND_NOT(GUEST_CR0, X86_CR0_PG | X86_CR0_PE)))
	CASE(rflags_if, DO(INTERRUPTS_ON, INTERRUPT),
	     DO(AND_NOT(GUEST_RFLAGS, X86_EFLAGS_IF)))
	CASE(guest_ssp, DO(ON(ENTRY_CTL_LOAD_CET)), DO(OR(GUEST_SSP, 1)))
	CASE(guest_ssp_canonical, DO(ON(ENTRY_CTL_LOAD_CET)),
	     DO(OR(GUEST_SSP, NOT_CANONICAL)))
	CASE(guest_ssp_canonical, DO(MODE(PROT32), ON(ENTRY_CTL_LOAD_CET)),
	     DO(OR(GUEST_SSP, HIGH)))

	/* "Checks on Guest Non-Register State" */
	CASE(activity, NOTHING, DO(PUT(GUEST_ACTIVITY_STATE, 4)))
	CASE(activity, DO(LACK(misc, VMXCAP_MISC_ACTIVITY_SHUTDOWN)),
	     DO(PUT(GUEST_ACTIVITY_STATE, ACTIVITY_SHUTDOWN)))
	CASE(activity, DO(LACK(misc, VMXCAP_MISC_ACTIVITY_SIPI)),
	     DO(PUT(GUEST_ACTIVITY_STATE, ACTIVITY_WAIT_SIPI)))
	CASE(activity_hlt, DO(HALTED), DO(OR(GUEST_SS_AR, 3 << SEG_AR_DPL_SHIFT),
					  OR(GUEST_CS_AR, 3 << SEG_AR_DPL_SHIFT),
					  OR(GUEST_SS_SELECTOR, 3),
					  OR(GUEST_CS_SELECTOR, 3)))
	CASE(activity_blocking, DO(HALTED), DO(BLOCKING(MOV_SS)))
	CASE(activity_blocking, DO(HALTED, INTERRUPTS_ON), DO(BLOCKING(STI)))
	CASE(activity_event, DO(HALTED, EXCEPTION(18)), DO(EXCEPTION(6)))
	CASE(activity_event, DO(HALTED, EXCEPTION(1)),
	     DO(INJECT(INTR_TYPE_SOFT_INTR | 0x80), PUT(VM_ENTRY_INSN_LEN, 2)))
	CASE(activity_event, DO(SHUT_DOWN, NMI), DO(EXCEPTION(1)))
	CASE(activity_event, DO(SHUT_DOWN, INTERRUPTS_ON, EXCEPTION(18)),
	     DO(INTERRUPT))
	CASE(activity_event, DO(HAVE(misc, VMXCAP_MISC_ACTIVITY_SIPI),
				PUT(GUEST_ACTIVITY_STATE, ACTIVITY_WAIT_SIPI)),
	     DO(NMI))
	CASE(activity_smm, DO(SMM, ON(ENTRY_CTL_ENTRY_TO_SMM), BLOCKING(SMI),
			      HAVE(misc, VMXCAP_MISC_ACTIVITY_SIPI)),
	     DO(PUT(GUEST_ACTIVITY_STATE, ACTIVITY_WAIT_SIPI)))
	CASE(interruptibility_reserved, NOTHING,
	     DO(PUT(GUEST_INTERRUPTIBILITY, 0x20)))
	CASE(interruptibility_reserved, NOTHING,
	     DO(PUT(GUEST_INTERRUPTIBILITY, 1u << 31)))
	CASE(sti_or_mov_ss, DO(INTERRUPTS_ON, BLOCKING(STI)),
	     DO(PUT(GUEST_INTERRUPTIBILITY, 3)))
	CASE(sti_blocking, DO(INTERRUPTS_ON, BLOCKING(STI)),
	     DO(AND_NOT(GUEST_RFLAGS, X86_EFLAGS_IF)))
	CASE(interrupt_blocked, DO(INTERRUPTS_ON, INTERRUPT), DO(BLOCKING(STI)))
	CASE(interrupt_blocked, DO(INTERRUPTS_ON, INTERRUPT),
	     DO(BLOCKING(MOV_SS)))
	CASE(nmi_mov_ss, DO(NMI), DO(BLOCKING(MOV_SS)))
	CASE(nmi_sti, DO(INTERRUPTS_ON, NMI), DO(BLOCKING(STI)))
	CASE(smi_blocking, NOTHING, DO(BLOCKING(SMI)))
	CASE(smi_blocking_entry,
	     DO(SMM, ON(ENTRY_CTL_ENTRY_TO_SMM), BLOCKING(SMI)),
	     DO(PUT(GUEST_INTERRUPTIBILITY, 0)))
	CASE(nmi_blocking, DO(ON(PIN_VIRTUAL_NMIS), NMI), DO(BLOCKING(NMI)))
	CASE(enclave_interruption, DO(LACK(features, VMX_HAS_SGX)),
	     DO(BLOCKING(ENCLAVE)))
	CASE(enclave_interruption,
	     DO(HAVE(features, VMX_HAS_SGX), BLOCKING(ENCLAVE)),
	     DO(OR(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS)))
	CASE(pending_debug_reserved, NOTHING, DO(PUT(GUEST_PENDING_DBG, 0x10)))
	CASE(pending_debug_reserved, NOTHING, DO(PUT(GUEST_PENDING_DBG, 0x2000)))
	CASE(pending_debug_reserved, NOTHING, DO(PUT(GUEST_PENDING_DBG, HIGH)))
	CASE(pending_debug_reserved, DO(LACK(features, VMX_HAS_BUS_LOCK_DB)),
	     DO(PUT(GUEST_PENDING_DBG, 0x800)))
	CASE(pending_step_due, DO(INTERRUPTS_ON, STEPPING, BLOCKING(STI),
				  PUT(GUEST_PENDING_DBG, QUAL_DB_BS)),
	     DO(PUT(GUEST_PENDING_DBG, 0)))
	CASE(pending_step_due, DO(STEPPING, BLOCKING(MOV_SS),
				  PUT(GUEST_PENDING_DBG, QUAL_DB_BS)),
	     DO(PUT(GUEST_PENDING_DBG, 0)))
	CASE(pending_step_due, DO(STEPPING, HALTED,
				  PUT(GUEST_PENDING_DBG, QUAL_DB_BS)),
	     DO(PUT(GUEST_PENDING_DBG, 0)))
	CASE(pending_step_undue, DO(BLOCKING(MOV_SS)),
	     DO(PUT(GUEST_PENDING_DBG, QUAL_DB_BS)))
	CASE(pending_step_undue, DO(INTERRUPTS_ON, STEPPING, BLOCKING(STI),
				    PUT(GUEST_DEBUGCTL, 2)),
	     DO(PUT(GUEST_PENDING_DBG, QUAL_DB_BS)))
	CASE(pending_step_undue, DO(HALTED),
	     DO(PUT(GUEST_PENDING_DBG, QUAL_DB_BS)))
#define RTM	(QUAL_DB_RTM | PENDING_DBG_ENABLED)
	CASE(pending_rtm, DO(LACK(features, VMX_HAS_RTM)),
	     DO(PUT(GUEST_PENDING_DBG, RTM)))
	CASE(pending_rtm, DO(HAVE(features, VMX_HAS_RTM),
			     PUT(GUEST_PENDING_DBG, RTM)),
	     DO(AND_NOT(GUEST_PENDING_DBG, PENDING_DBG_ENABLED)))
	CASE(pending_rtm, DO(HAVE(features, VMX_HAS_RTM),
			     PUT(GUEST_PENDING_DBG, RTM)),
	     DO(OR(GUEST_PENDING_DBG, 1)))
	CASE(pending_rtm, DO(HAVE(features, VMX_HAS_RTM),
			     PUT(GUEST_PENDING_DBG, RTM)),
	     DO(BLOCKING(MOV_SS)))
#define LINKED	PAGE_AT(VMCS_LINK_POINTER, PAGE_LINK)
#define SHADOW	(1ull << 31)
	CASE(link_pointer, DO(LINKED), DO(OR(VMCS_LINK_POINTER, 8)))
	CASE(link_pointer, DO(LINKED), DO(OR(VMCS_LINK_POINTER, BEYOND)))
	CASE(link_revision, DO(LINKED), DO(POKE(PAGE_LINK, 0, 0x7ffffffe)))
	CASE(link_shadow, NOTHING,
	     DO(LINKED, ON(CPU2_VMCS_SHADOWING)))
	CASE(link_current, DO(LINKED),
	     DO(PAGE_AT(VMCS_LINK_POINTER, PAGE_SELF)))

	/* "Checks on Guest Page-Directory-Pointer-Table Entries" */
	CASE(pdptes, DO(MODE(PAE)), DO(POKE(PAGE_PAE_PDPT, 8, 3)))
	CASE(pdptes, DO(MODE(PAE), POKE(PAGE_PAE_PDPT, 24, 6)),
	     DO(POKE(PAGE_PAE_PDPT, 24, BEYOND | 1)))
	CASE(pdptes, DO(MODE(PAE), ON(CPU2_ENABLE_EPT), PUT(GUEST_PDPTE1, 2)),
	     DO(PUT(GUEST_PDPTE1, 3)))
	CASE(pdptes, DO(MODE(PAE), ON(CPU2_ENABLE_EPT), PUT(GUEST_PDPTE3, 1)),
	     DO(PUT(GUEST_PDPTE3, BEYOND | 1)))

	/* "Loading MSRs" */
	CASE(msr_base, DO(LOAD_MSR(SYSENTER_CS, 0)),
	     DO(POKE(PAGE_MSRS, 0, 0xc0000100)))
	CASE(msr_base, DO(LOAD_MSR(SYSENTER_CS, 0)),
	     DO(POKE(PAGE_MSRS, 0, 0xc0000101)))
	CASE(msr_x2apic, DO(LOAD_MSR(SYSENTER_CS, 0)),
	     DO(POKE(PAGE_MSRS, 0, 0x808)))
	CASE(msr_smm, DO(LOAD_MSR(SYSENTER_CS, 0)), DO(POKE(PAGE_MSRS, 0, 0x9b)))
	CASE(msr_reserved, DO(LOAD_MSR(SYSENTER_CS, 0)),
	     DO(POKE(PAGE_MSRS, 0, 1ull << 32 | SYSENTER_CS)))
	CASE(msr_value, DO(LOAD_MSR(0x175, 0)),
	     DO(POKE(PAGE_MSRS, 8, NOT_CANONICAL)))
	CASE(msr_value, DO(ON(EXIT_CTL_LOAD_PAT), LOAD_MSR(0x277, 0x0007040600070406)),
	     DO(POKE(PAGE_MSRS, 8, 0x0007040600070402)))
	CASE(msr_value, DO(ON(EXIT_CTL_LOAD_EFER), LOAD_MSR(0xc0000080, EFER_LONG)),
	     DO(POKE(PAGE_MSRS, 8, EFER_LONG | 2)))
	CASE(msr_value, DO(ON(EXIT_CTL_LOAD_EFER), LOAD_MSR(0xc0000080, EFER_LONG)),
	     DO(POKE(PAGE_MSRS, 8, 0)))
};

const u32 nr_vmentry_cases = ARRAY_SIZE(vmentry_cases);
