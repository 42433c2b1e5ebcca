/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of VMCS fields: the only list of them in this project.
 *
 * VMCS_FIELDS(X) calls X once for each field that the SDM's appendix "Field
 * Encoding in VMCS" defines, in the order of that appendix: by width (16, 64,
 * 32 bits, natural), within a width by group (control, exit information,
 * guest, host), within a group by index. That is also the numeric order of the
 * encodings. The columns:
 *
 *   encoding	of the whole field; +1 is the high half of a 64-bit field
 *   name	C name, an enumerator of enum vmcs_field
 *   width	16, 64, 32 or NAT
 *   group	CONTROL, INFO, GUEST or HOST; INFO fields are read-only unless
 *		IA32_VMX_MISC says that VMWRITE can reach all fields
 *   control	the VMX control (vmx.h) without whose 1-setting the processor
 *		does not have the field, or ALWAYS. Where either of an entry and
 *		an exit control is enough, the entry control stands here:
 *		processors have both or neither
 *   format	how a person wants to see it, VMCS_FMT_*
 *   title	what the SDM calls it
 *
 * A user of the table defines a macro with these seven parameters, passes it
 * to VMCS_FIELDS, and undefines it. No kernel header is needed: the unit tests
 * and vmcsinfo compile this file in user space.
 */
#ifndef KVM_VMCS_FIELDS_H
#define KVM_VMCS_FIELDS_H

#define VMCS_FIELDS(X)										\
	/* 16-bit control fields */								\
	X(0x0000, VPID,				16, CONTROL, CPU2_ENABLE_VPID,		DEC,	\
	  "Virtual-processor identifier")							\
	X(0x0002, POSTED_INTR_NV,		16, CONTROL, PIN_POSTED_INTR,		HEX,	\
	  "Posted-interrupt notification vector")						\
	X(0x0004, EPTP_INDEX,			16, CONTROL, CPU2_EPT_VIOLATION_VE,	DEC,	\
	  "EPTP index")										\
	X(0x0006, HLAT_PREFIX_SIZE,		16, CONTROL, CPU3_ENABLE_HLAT,		DEC,	\
	  "HLAT prefix size")									\
	X(0x0008, LAST_PID_POINTER_INDEX,	16, CONTROL, CPU3_IPI_VIRTUALIZATION,	DEC,	\
	  "Last PID-pointer index")								\
	/* 16-bit guest-state fields */								\
	X(0x0800, GUEST_ES_SELECTOR,		16, GUEST, ALWAYS,			HEX,	\
	  "Guest ES selector")									\
	X(0x0802, GUEST_CS_SELECTOR,		16, GUEST, ALWAYS,			HEX,	\
	  "Guest CS selector")									\
	X(0x0804, GUEST_SS_SELECTOR,		16, GUEST, ALWAYS,			HEX,	\
	  "Guest SS selector")									\
	X(0x0806, GUEST_DS_SELECTOR,		16, GUEST, ALWAYS,			HEX,	\
	  "Guest DS selector")									\
	X(0x0808, GUEST_FS_SELECTOR,		16, GUEST, ALWAYS,			HEX,	\
	  "Guest FS selector")									\
	X(0x080a, GUEST_GS_SELECTOR,		16, GUEST, ALWAYS,			HEX,	\
	  "Guest GS selector")									\
	X(0x080c, GUEST_LDTR_SELECTOR,		16, GUEST, ALWAYS,			HEX,	\
	  "Guest LDTR selector")								\
	X(0x080e, GUEST_TR_SELECTOR,		16, GUEST, ALWAYS,			HEX,	\
	  "Guest TR selector")									\
	X(0x0810, GUEST_INTR_STATUS,		16, GUEST, CPU2_VIRTUAL_INTR_DELIVERY,	HEX,	\
	  "Guest interrupt status")								\
	X(0x0812, PML_INDEX,			16, GUEST, CPU2_ENABLE_PML,		DEC,	\
	  "PML index")										\
	X(0x0814, GUEST_UINV,			16, GUEST, ENTRY_CTL_LOAD_UINV,		HEX,	\
	  "Guest UINV")										\
	/* 16-bit host-state fields */								\
	X(0x0c00, HOST_ES_SELECTOR,		16, HOST, ALWAYS,			HEX,	\
	  "Host ES selector")									\
	X(0x0c02, HOST_CS_SELECTOR,		16, HOST, ALWAYS,			HEX,	\
	  "Host CS selector")									\
	X(0x0c04, HOST_SS_SELECTOR,		16, HOST, ALWAYS,			HEX,	\
	  "Host SS selector")									\
	X(0x0c06, HOST_DS_SELECTOR,		16, HOST, ALWAYS,			HEX,	\
	  "Host DS selector")									\
	X(0x0c08, HOST_FS_SELECTOR,		16, HOST, ALWAYS,			HEX,	\
	  "Host FS selector")									\
	X(0x0c0a, HOST_GS_SELECTOR,		16, HOST, ALWAYS,			HEX,	\
	  "Host GS selector")									\
	X(0x0c0c, HOST_TR_SELECTOR,		16, HOST, ALWAYS,			HEX,	\
	  "Host TR selector")									\
	/* 64-bit control fields */								\
	X(0x2000, IO_BITMAP_A,			64, CONTROL, CPU_USE_IO_BITMAPS,	PHYS,	\
	  "Address of I/O bitmap A")								\
	X(0x2002, IO_BITMAP_B,			64, CONTROL, CPU_USE_IO_BITMAPS,	PHYS,	\
	  "Address of I/O bitmap B")								\
	X(0x2004, MSR_BITMAP,			64, CONTROL, CPU_USE_MSR_BITMAPS,	PHYS,	\
	  "Address of MSR bitmaps")								\
	X(0x2006, VM_EXIT_MSR_STORE_ADDR,	64, CONTROL, ALWAYS,			PHYS,	\
	  "VM-exit MSR-store address")								\
	X(0x2008, VM_EXIT_MSR_LOAD_ADDR,	64, CONTROL, ALWAYS,			PHYS,	\
	  "VM-exit MSR-load address")								\
	X(0x200a, VM_ENTRY_MSR_LOAD_ADDR,	64, CONTROL, ALWAYS,			PHYS,	\
	  "VM-entry MSR-load address")								\
	X(0x200c, EXECUTIVE_VMCS_POINTER,	64, CONTROL, ALWAYS,			PHYS,	\
	  "Executive-VMCS pointer")								\
	X(0x200e, PML_ADDRESS,			64, CONTROL, CPU2_ENABLE_PML,		PHYS,	\
	  "PML address")									\
	X(0x2010, TSC_OFFSET,			64, CONTROL, ALWAYS,			HEX,	\
	  "TSC offset")										\
	X(0x2012, VIRTUAL_APIC_ADDR,		64, CONTROL, CPU_TPR_SHADOW,		PHYS,	\
	  "Virtual-APIC address")								\
	X(0x2014, APIC_ACCESS_ADDR,		64, CONTROL, CPU2_VIRTUALIZE_APIC,	PHYS,	\
	  "APIC-access address")								\
	X(0x2016, POSTED_INTR_DESC_ADDR,	64, CONTROL, PIN_POSTED_INTR,		PHYS,	\
	  "Posted-interrupt descriptor address")						\
	X(0x2018, VM_FUNCTION_CTLS,		64, CONTROL, CPU2_ENABLE_VMFUNC,	HEX,	\
	  "VM-function controls")								\
	X(0x201a, EPT_POINTER,			64, CONTROL, CPU2_ENABLE_EPT,		PHYS,	\
	  "EPT pointer")									\
	X(0x201c, EOI_EXIT_BITMAP0,		64, CONTROL, CPU2_VIRTUAL_INTR_DELIVERY, HEX,	\
	  "EOI-exit bitmap 0")									\
	X(0x201e, EOI_EXIT_BITMAP1,		64, CONTROL, CPU2_VIRTUAL_INTR_DELIVERY, HEX,	\
	  "EOI-exit bitmap 1")									\
	X(0x2020, EOI_EXIT_BITMAP2,		64, CONTROL, CPU2_VIRTUAL_INTR_DELIVERY, HEX,	\
	  "EOI-exit bitmap 2")									\
	X(0x2022, EOI_EXIT_BITMAP3,		64, CONTROL, CPU2_VIRTUAL_INTR_DELIVERY, HEX,	\
	  "EOI-exit bitmap 3")									\
	X(0x2024, EPTP_LIST_ADDR,		64, CONTROL, CPU2_ENABLE_VMFUNC,	PHYS,	\
	  "EPTP-list address")									\
	X(0x2026, VMREAD_BITMAP,		64, CONTROL, CPU2_VMCS_SHADOWING,	PHYS,	\
	  "VMREAD-bitmap address")								\
	X(0x2028, VMWRITE_BITMAP,		64, CONTROL, CPU2_VMCS_SHADOWING,	PHYS,	\
	  "VMWRITE-bitmap address")								\
	X(0x202a, VE_INFO_ADDR,			64, CONTROL, CPU2_EPT_VIOLATION_VE,	PHYS,	\
	  "Virtualization-exception information address")					\
	X(0x202c, XSS_EXITING_BITMAP,		64, CONTROL, CPU2_ENABLE_XSAVES,	HEX,	\
	  "XSS-exiting bitmap")									\
	X(0x202e, ENCLS_EXITING_BITMAP,		64, CONTROL, CPU2_ENCLS_EXITING,	HEX,	\
	  "ENCLS-exiting bitmap")								\
	X(0x2030, SPP_TABLE_POINTER,		64, CONTROL, CPU2_SUB_PAGE_WRITE,	PHYS,	\
	  "Sub-page-permission-table pointer")							\
	X(0x2032, TSC_MULTIPLIER,		64, CONTROL, CPU2_TSC_SCALING,		HEX,	\
	  "TSC multiplier")									\
	X(0x2034, PROC_BASED_CTLS3,		64, CONTROL, CPU_ACTIVATE_TERTIARY,	CTL,	\
	  "Tertiary processor-based VM-execution controls")					\
	X(0x2036, ENCLV_EXITING_BITMAP,		64, CONTROL, CPU2_ENCLV_EXITING,	HEX,	\
	  "ENCLV-exiting bitmap")								\
	X(0x2038, LOW_PASID_DIRECTORY_ADDR,	64, CONTROL, CPU2_PASID_TRANSLATION,	PHYS,	\
	  "Low PASID directory address")							\
	X(0x203a, HIGH_PASID_DIRECTORY_ADDR,	64, CONTROL, CPU2_PASID_TRANSLATION,	PHYS,	\
	  "High PASID directory address")							\
	X(0x203c, SHARED_EPT_POINTER,		64, CONTROL, CPU3_SEAM_GPA_WIDTH,	PHYS,	\
	  "Shared EPT pointer")									\
	X(0x203e, PCONFIG_EXITING_BITMAP,	64, CONTROL, CPU2_ENABLE_PCONFIG,	HEX,	\
	  "PCONFIG-exiting bitmap")								\
	X(0x2040, HLAT_POINTER,			64, CONTROL, CPU3_ENABLE_HLAT,		PHYS,	\
	  "Hypervisor-managed linear-address translation pointer")				\
	X(0x2042, PID_POINTER_TABLE_ADDR,	64, CONTROL, CPU3_IPI_VIRTUALIZATION,	PHYS,	\
	  "PID-pointer table address")								\
	X(0x2044, VM_EXIT_CTLS2,		64, CONTROL, EXIT_CTL_ACTIVATE_SECONDARY, CTL,	\
	  "Secondary VM-exit controls")								\
	X(0x204a, SPEC_CTRL_MASK,		64, CONTROL, CPU3_VIRTUALIZE_SPEC_CTRL,	HEX,	\
	  "IA32_SPEC_CTRL mask")								\
	X(0x204c, SPEC_CTRL_SHADOW,		64, CONTROL, CPU3_VIRTUALIZE_SPEC_CTRL,	HEX,	\
	  "IA32_SPEC_CTRL shadow")								\
	X(0x2052, INJECTED_EVENT_DATA,		64, CONTROL, ENTRY_CTL_LOAD_FRED,	HEX,	\
	  "Injected-event data")								\
	/* 64-bit VM-exit information fields */							\
	X(0x2400, GUEST_PHYSICAL_ADDRESS,	64, INFO, CPU2_ENABLE_EPT,		PHYS,	\
	  "Guest-physical address")								\
	X(0x2404, ORIGINAL_EVENT_DATA,		64, INFO, ENTRY_CTL_LOAD_FRED,		HEX,	\
	  "Original-event data")								\
	/* 64-bit guest-state fields */								\
	X(0x2800, VMCS_LINK_POINTER,		64, GUEST, ALWAYS,			PHYS,	\
	  "VMCS link pointer")									\
	X(0x2802, GUEST_DEBUGCTL,		64, GUEST, ALWAYS,			HEX,	\
	  "Guest IA32_DEBUGCTL")								\
	X(0x2804, GUEST_PAT,			64, GUEST, ENTRY_CTL_LOAD_PAT,		HEX,	\
	  "Guest IA32_PAT")									\
	X(0x2806, GUEST_EFER,			64, GUEST, ENTRY_CTL_LOAD_EFER,		HEX,	\
	  "Guest IA32_EFER")									\
	X(0x2808, GUEST_PERF_GLOBAL_CTRL,	64, GUEST, ENTRY_CTL_LOAD_PERF_GLOBAL,	HEX,	\
	  "Guest IA32_PERF_GLOBAL_CTRL")							\
	X(0x280a, GUEST_PDPTE0,			64, GUEST, CPU2_ENABLE_EPT,		HEX,	\
	  "Guest PDPTE0")									\
	X(0x280c, GUEST_PDPTE1,			64, GUEST, CPU2_ENABLE_EPT,		HEX,	\
	  "Guest PDPTE1")									\
	X(0x280e, GUEST_PDPTE2,			64, GUEST, CPU2_ENABLE_EPT,		HEX,	\
	  "Guest PDPTE2")									\
	X(0x2810, GUEST_PDPTE3,			64, GUEST, CPU2_ENABLE_EPT,		HEX,	\
	  "Guest PDPTE3")									\
	X(0x2812, GUEST_BNDCFGS,		64, GUEST, ENTRY_CTL_LOAD_BNDCFGS,	HEX,	\
	  "Guest IA32_BNDCFGS")									\
	X(0x2814, GUEST_RTIT_CTL,		64, GUEST, ENTRY_CTL_LOAD_RTIT,		HEX,	\
	  "Guest IA32_RTIT_CTL")								\
	X(0x2816, GUEST_LBR_CTL,		64, GUEST, ENTRY_CTL_LOAD_LBR,		HEX,	\
	  "Guest IA32_LBR_CTL")									\
	X(0x2818, GUEST_PKRS,			64, GUEST, ENTRY_CTL_LOAD_PKRS,		HEX,	\
	  "Guest IA32_PKRS")									\
	X(0x281a, GUEST_FRED_CONFIG,		64, GUEST, ENTRY_CTL_LOAD_FRED,		HEX,	\
	  "Guest IA32_FRED_CONFIG")								\
	X(0x281c, GUEST_FRED_RSP1,		64, GUEST, ENTRY_CTL_LOAD_FRED,		HEX,	\
	  "Guest IA32_FRED_RSP1")								\
	X(0x281e, GUEST_FRED_RSP2,		64, GUEST, ENTRY_CTL_LOAD_FRED,		HEX,	\
	  "Guest IA32_FRED_RSP2")								\
	X(0x2820, GUEST_FRED_RSP3,		64, GUEST, ENTRY_CTL_LOAD_FRED,		HEX,	\
	  "Guest IA32_FRED_RSP3")								\
	X(0x2822, GUEST_FRED_STKLVLS,		64, GUEST, ENTRY_CTL_LOAD_FRED,		HEX,	\
	  "Guest IA32_FRED_STKLVLS")								\
	X(0x2824, GUEST_FRED_SSP1,		64, GUEST, ENTRY_CTL_LOAD_FRED,		HEX,	\
	  "Guest IA32_FRED_SSP1")								\
	X(0x2826, GUEST_FRED_SSP2,		64, GUEST, ENTRY_CTL_LOAD_FRED,		HEX,	\
	  "Guest IA32_FRED_SSP2")								\
	X(0x2828, GUEST_FRED_SSP3,		64, GUEST, ENTRY_CTL_LOAD_FRED,		HEX,	\
	  "Guest IA32_FRED_SSP3")								\
	/* 64-bit host-state fields */								\
	X(0x2c00, HOST_PAT,			64, HOST, EXIT_CTL_LOAD_PAT,		HEX,	\
	  "Host IA32_PAT")									\
	X(0x2c02, HOST_EFER,			64, HOST, EXIT_CTL_LOAD_EFER,		HEX,	\
	  "Host IA32_EFER")									\
	X(0x2c04, HOST_PERF_GLOBAL_CTRL,	64, HOST, EXIT_CTL_LOAD_PERF_GLOBAL,	HEX,	\
	  "Host IA32_PERF_GLOBAL_CTRL")								\
	X(0x2c06, HOST_PKRS,			64, HOST, EXIT_CTL_LOAD_PKRS,		HEX,	\
	  "Host IA32_PKRS")									\
	X(0x2c08, HOST_FRED_CONFIG,		64, HOST, EXIT2_CTL_LOAD_FRED,		HEX,	\
	  "Host IA32_FRED_CONFIG")								\
	X(0x2c0a, HOST_FRED_RSP1,		64, HOST, EXIT2_CTL_LOAD_FRED,		HEX,	\
	  "Host IA32_FRED_RSP1")								\
	X(0x2c0c, HOST_FRED_RSP2,		64, HOST, EXIT2_CTL_LOAD_FRED,		HEX,	\
	  "Host IA32_FRED_RSP2")								\
	X(0x2c0e, HOST_FRED_RSP3,		64, HOST, EXIT2_CTL_LOAD_FRED,		HEX,	\
	  "Host IA32_FRED_RSP3")								\
	X(0x2c10, HOST_FRED_STKLVLS,		64, HOST, EXIT2_CTL_LOAD_FRED,		HEX,	\
	  "Host IA32_FRED_STKLVLS")								\
	X(0x2c12, HOST_FRED_SSP1,		64, HOST, EXIT2_CTL_LOAD_FRED,		HEX,	\
	  "Host IA32_FRED_SSP1")								\
	X(0x2c14, HOST_FRED_SSP2,		64, HOST, EXIT2_CTL_LOAD_FRED,		HEX,	\
	  "Host IA32_FRED_SSP2")								\
	X(0x2c16, HOST_FRED_SSP3,		64, HOST, EXIT2_CTL_LOAD_FRED,		HEX,	\
	  "Host IA32_FRED_SSP3")								\
	/* 32-bit control fields */								\
	X(0x4000, PIN_BASED_CTLS,		32, CONTROL, ALWAYS,			CTL,	\
	  "Pin-based VM-execution controls")							\
	X(0x4002, PROC_BASED_CTLS,		32, CONTROL, ALWAYS,			CTL,	\
	  "Primary processor-based VM-execution controls")					\
	X(0x4004, EXCEPTION_BITMAP,		32, CONTROL, ALWAYS,			HEX,	\
	  "Exception bitmap")									\
	X(0x4006, PF_ERROR_CODE_MASK,		32, CONTROL, ALWAYS,			HEX,	\
	  "Page-fault error-code mask")								\
	X(0x4008, PF_ERROR_CODE_MATCH,		32, CONTROL, ALWAYS,			HEX,	\
	  "Page-fault error-code match")							\
	X(0x400a, CR3_TARGET_COUNT,		32, CONTROL, ALWAYS,			DEC,	\
	  "CR3-target count")									\
	X(0x400c, VM_EXIT_CTLS,			32, CONTROL, ALWAYS,			CTL,	\
	  "Primary VM-exit controls")								\
	X(0x400e, VM_EXIT_MSR_STORE_COUNT,	32, CONTROL, ALWAYS,			DEC,	\
	  "VM-exit MSR-store count")								\
	X(0x4010, VM_EXIT_MSR_LOAD_COUNT,	32, CONTROL, ALWAYS,			DEC,	\
	  "VM-exit MSR-load count")								\
	X(0x4012, VM_ENTRY_CTLS,		32, CONTROL, ALWAYS,			CTL,	\
	  "VM-entry controls")									\
	X(0x4014, VM_ENTRY_MSR_LOAD_COUNT,	32, CONTROL, ALWAYS,			DEC,	\
	  "VM-entry MSR-load count")								\
	X(0x4016, VM_ENTRY_INTR_INFO,		32, CONTROL, ALWAYS,			INTR,	\
	  "VM-entry interruption-information field")						\
	X(0x4018, VM_ENTRY_ERROR_CODE,		32, CONTROL, ALWAYS,			HEX,	\
	  "VM-entry exception error code")							\
	X(0x401a, VM_ENTRY_INSN_LEN,		32, CONTROL, ALWAYS,			DEC,	\
	  "VM-entry instruction length")							\
	X(0x401c, TPR_THRESHOLD,		32, CONTROL, CPU_TPR_SHADOW,		DEC,	\
	  "TPR threshold")									\
	X(0x401e, PROC_BASED_CTLS2,		32, CONTROL, CPU_ACTIVATE_SECONDARY,	CTL,	\
	  "Secondary processor-based VM-execution controls")					\
	X(0x4020, PLE_GAP,			32, CONTROL, CPU2_PAUSE_LOOP_EXITING,	DEC,	\
	  "PLE_Gap")										\
	X(0x4022, PLE_WINDOW,			32, CONTROL, CPU2_PAUSE_LOOP_EXITING,	DEC,	\
	  "PLE_Window")										\
	X(0x4024, INSN_TIMEOUT_CTL,		32, CONTROL, CPU2_INSN_TIMEOUT,		DEC,	\
	  "Instruction-timeout control")							\
	/* 32-bit VM-exit information fields */							\
	X(0x4400, VM_INSTRUCTION_ERROR,		32, INFO, ALWAYS,			DEC,	\
	  "VM-instruction error")								\
	X(0x4402, VM_EXIT_REASON,		32, INFO, ALWAYS,			REASON,	\
	  "Exit reason")									\
	X(0x4404, VM_EXIT_INTR_INFO,		32, INFO, ALWAYS,			INTR,	\
	  "VM-exit interruption information")							\
	X(0x4406, VM_EXIT_INTR_ERROR_CODE,	32, INFO, ALWAYS,			HEX,	\
	  "VM-exit interruption error code")							\
	X(0x4408, IDT_VECTORING_INFO,		32, INFO, ALWAYS,			INTR,	\
	  "IDT-vectoring information field")							\
	X(0x440a, IDT_VECTORING_ERROR_CODE,	32, INFO, ALWAYS,			HEX,	\
	  "IDT-vectoring error code")								\
	X(0x440c, VM_EXIT_INSN_LEN,		32, INFO, ALWAYS,			DEC,	\
	  "VM-exit instruction length")								\
	X(0x440e, VM_EXIT_INSN_INFO,		32, INFO, ALWAYS,			HEX,	\
	  "VM-exit instruction information")							\
	/* 32-bit guest-state fields */								\
	X(0x4800, GUEST_ES_LIMIT,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest ES limit")									\
	X(0x4802, GUEST_CS_LIMIT,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest CS limit")									\
	X(0x4804, GUEST_SS_LIMIT,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest SS limit")									\
	X(0x4806, GUEST_DS_LIMIT,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest DS limit")									\
	X(0x4808, GUEST_FS_LIMIT,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest FS limit")									\
	X(0x480a, GUEST_GS_LIMIT,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest GS limit")									\
	X(0x480c, GUEST_LDTR_LIMIT,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest LDTR limit")									\
	X(0x480e, GUEST_TR_LIMIT,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest TR limit")									\
	X(0x4810, GUEST_GDTR_LIMIT,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest GDTR limit")									\
	X(0x4812, GUEST_IDTR_LIMIT,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest IDTR limit")									\
	X(0x4814, GUEST_ES_AR,			32, GUEST, ALWAYS,			AR,	\
	  "Guest ES access rights")								\
	X(0x4816, GUEST_CS_AR,			32, GUEST, ALWAYS,			AR,	\
	  "Guest CS access rights")								\
	X(0x4818, GUEST_SS_AR,			32, GUEST, ALWAYS,			AR,	\
	  "Guest SS access rights")								\
	X(0x481a, GUEST_DS_AR,			32, GUEST, ALWAYS,			AR,	\
	  "Guest DS access rights")								\
	X(0x481c, GUEST_FS_AR,			32, GUEST, ALWAYS,			AR,	\
	  "Guest FS access rights")								\
	X(0x481e, GUEST_GS_AR,			32, GUEST, ALWAYS,			AR,	\
	  "Guest GS access rights")								\
	X(0x4820, GUEST_LDTR_AR,		32, GUEST, ALWAYS,			AR,	\
	  "Guest LDTR access rights")								\
	X(0x4822, GUEST_TR_AR,			32, GUEST, ALWAYS,			AR,	\
	  "Guest TR access rights")								\
	X(0x4824, GUEST_INTERRUPTIBILITY,	32, GUEST, ALWAYS,			HEX,	\
	  "Guest interruptibility state")							\
	X(0x4826, GUEST_ACTIVITY_STATE,		32, GUEST, ALWAYS,			DEC,	\
	  "Guest activity state")								\
	X(0x4828, GUEST_SMBASE,			32, GUEST, ALWAYS,			HEX,	\
	  "Guest SMBASE")									\
	X(0x482a, GUEST_SYSENTER_CS,		32, GUEST, ALWAYS,			HEX,	\
	  "Guest IA32_SYSENTER_CS")								\
	X(0x482e, PREEMPTION_TIMER_VALUE,	32, GUEST, PIN_PREEMPTION_TIMER,	DEC,	\
	  "VMX-preemption timer value")								\
	/* 32-bit host-state field */								\
	X(0x4c00, HOST_SYSENTER_CS,		32, HOST, ALWAYS,			HEX,	\
	  "Host IA32_SYSENTER_CS")								\
	/* Natural-width control fields */							\
	X(0x6000, CR0_GUEST_HOST_MASK,		NAT, CONTROL, ALWAYS,			HEX,	\
	  "CR0 guest/host mask")								\
	X(0x6002, CR4_GUEST_HOST_MASK,		NAT, CONTROL, ALWAYS,			HEX,	\
	  "CR4 guest/host mask")								\
	X(0x6004, CR0_READ_SHADOW,		NAT, CONTROL, ALWAYS,			HEX,	\
	  "CR0 read shadow")									\
	X(0x6006, CR4_READ_SHADOW,		NAT, CONTROL, ALWAYS,			HEX,	\
	  "CR4 read shadow")									\
	X(0x6008, CR3_TARGET_VALUE0,		NAT, CONTROL, ALWAYS,			HEX,	\
	  "CR3-target value 0")									\
	X(0x600a, CR3_TARGET_VALUE1,		NAT, CONTROL, ALWAYS,			HEX,	\
	  "CR3-target value 1")									\
	X(0x600c, CR3_TARGET_VALUE2,		NAT, CONTROL, ALWAYS,			HEX,	\
	  "CR3-target value 2")									\
	X(0x600e, CR3_TARGET_VALUE3,		NAT, CONTROL, ALWAYS,			HEX,	\
	  "CR3-target value 3")									\
	/* Natural-width VM-exit information fields */						\
	X(0x6400, EXIT_QUALIFICATION,		NAT, INFO, ALWAYS,			HEX,	\
	  "Exit qualification")									\
	X(0x6402, IO_RCX,			NAT, INFO, ALWAYS,			HEX,	\
	  "I/O RCX")										\
	X(0x6404, IO_RSI,			NAT, INFO, ALWAYS,			HEX,	\
	  "I/O RSI")										\
	X(0x6406, IO_RDI,			NAT, INFO, ALWAYS,			HEX,	\
	  "I/O RDI")										\
	X(0x6408, IO_RIP,			NAT, INFO, ALWAYS,			LIN,	\
	  "I/O RIP")										\
	X(0x640a, GUEST_LINEAR_ADDRESS,		NAT, INFO, ALWAYS,			LIN,	\
	  "Guest-linear address")								\
	/* Natural-width guest-state fields */							\
	X(0x6800, GUEST_CR0,			NAT, GUEST, ALWAYS,			HEX,	\
	  "Guest CR0")										\
	X(0x6802, GUEST_CR3,			NAT, GUEST, ALWAYS,			HEX,	\
	  "Guest CR3")										\
	X(0x6804, GUEST_CR4,			NAT, GUEST, ALWAYS,			HEX,	\
	  "Guest CR4")										\
	X(0x6806, GUEST_ES_BASE,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest ES base")									\
	X(0x6808, GUEST_CS_BASE,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest CS base")									\
	X(0x680a, GUEST_SS_BASE,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest SS base")									\
	X(0x680c, GUEST_DS_BASE,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest DS base")									\
	X(0x680e, GUEST_FS_BASE,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest FS base")									\
	X(0x6810, GUEST_GS_BASE,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest GS base")									\
	X(0x6812, GUEST_LDTR_BASE,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest LDTR base")									\
	X(0x6814, GUEST_TR_BASE,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest TR base")									\
	X(0x6816, GUEST_GDTR_BASE,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest GDTR base")									\
	X(0x6818, GUEST_IDTR_BASE,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest IDTR base")									\
	X(0x681a, GUEST_DR7,			NAT, GUEST, ALWAYS,			HEX,	\
	  "Guest DR7")										\
	X(0x681c, GUEST_RSP,			NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest RSP")										\
	X(0x681e, GUEST_RIP,			NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest RIP")										\
	X(0x6820, GUEST_RFLAGS,			NAT, GUEST, ALWAYS,			HEX,	\
	  "Guest RFLAGS")									\
	X(0x6822, GUEST_PENDING_DBG,		NAT, GUEST, ALWAYS,			HEX,	\
	  "Guest pending debug exceptions")							\
	X(0x6824, GUEST_SYSENTER_ESP,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest IA32_SYSENTER_ESP")								\
	X(0x6826, GUEST_SYSENTER_EIP,		NAT, GUEST, ALWAYS,			LIN,	\
	  "Guest IA32_SYSENTER_EIP")								\
	X(0x6828, GUEST_S_CET,			NAT, GUEST, ENTRY_CTL_LOAD_CET,		HEX,	\
	  "Guest IA32_S_CET")									\
	X(0x682a, GUEST_SSP,			NAT, GUEST, ENTRY_CTL_LOAD_CET,		LIN,	\
	  "Guest SSP")										\
	X(0x682c, GUEST_INTR_SSP_TABLE,		NAT, GUEST, ENTRY_CTL_LOAD_CET,		LIN,	\
	  "Guest IA32_INTERRUPT_SSP_TABLE_ADDR")						\
	/* Natural-width host-state fields */							\
	X(0x6c00, HOST_CR0,			NAT, HOST, ALWAYS,			HEX,	\
	  "Host CR0")										\
	X(0x6c02, HOST_CR3,			NAT, HOST, ALWAYS,			HEX,	\
	  "Host CR3")										\
	X(0x6c04, HOST_CR4,			NAT, HOST, ALWAYS,			HEX,	\
	  "Host CR4")										\
	X(0x6c06, HOST_FS_BASE,			NAT, HOST, ALWAYS,			LIN,	\
	  "Host FS base")									\
	X(0x6c08, HOST_GS_BASE,			NAT, HOST, ALWAYS,			LIN,	\
	  "Host GS base")									\
	X(0x6c0a, HOST_TR_BASE,			NAT, HOST, ALWAYS,			LIN,	\
	  "Host TR base")									\
	X(0x6c0c, HOST_GDTR_BASE,		NAT, HOST, ALWAYS,			LIN,	\
	  "Host GDTR base")									\
	X(0x6c0e, HOST_IDTR_BASE,		NAT, HOST, ALWAYS,			LIN,	\
	  "Host IDTR base")									\
	X(0x6c10, HOST_SYSENTER_ESP,		NAT, HOST, ALWAYS,			LIN,	\
	  "Host IA32_SYSENTER_ESP")								\
	X(0x6c12, HOST_SYSENTER_EIP,		NAT, HOST, ALWAYS,			LIN,	\
	  "Host IA32_SYSENTER_EIP")								\
	X(0x6c14, HOST_RSP,			NAT, HOST, ALWAYS,			LIN,	\
	  "Host RSP")										\
	X(0x6c16, HOST_RIP,			NAT, HOST, ALWAYS,			LIN,	\
	  "Host RIP")										\
	X(0x6c18, HOST_S_CET,			NAT, HOST, EXIT_CTL_LOAD_CET,		HEX,	\
	  "Host IA32_S_CET")									\
	X(0x6c1a, HOST_SSP,			NAT, HOST, EXIT_CTL_LOAD_CET,		LIN,	\
	  "Host SSP")										\
	X(0x6c1c, HOST_INTR_SSP_TABLE,		NAT, HOST, EXIT_CTL_LOAD_CET,		LIN,	\
	  "Host IA32_INTERRUPT_SSP_TABLE_ADDR")

/* Every field by the encoding that VMREAD and VMWRITE take. */
enum vmcs_field {
#define VMCS_FIELD_ENUM(enc, name, width, group, control, format, title) \
	name = enc,
	VMCS_FIELDS(VMCS_FIELD_ENUM)
#undef VMCS_FIELD_ENUM
};

/* Every field by its place in the table: a dense index for arrays and maps. */
enum vmcs_field_index {
#define VMCS_FIELD_INDEX(enc, name, width, group, control, format, title) \
	VMCS_INDEX_##name,
	VMCS_FIELDS(VMCS_FIELD_INDEX)
#undef VMCS_FIELD_INDEX
	NR_VMCS_FIELDS
};

/* How a person wants to see a field's value. */
enum vmcs_format {
	VMCS_FMT_HEX,
	VMCS_FMT_DEC,
	VMCS_FMT_PHYS,		/* physical address, maybe with low flag bits */
	VMCS_FMT_LIN,		/* linear address */
	VMCS_FMT_CTL,		/* word of VMX controls: print names of bits */
	VMCS_FMT_AR,		/* segment access rights */
	VMCS_FMT_INTR,		/* interruption information */
	VMCS_FMT_REASON,	/* exit reason */
};

/*
 * What an encoding says of its field: SDM, "Fields in the VMCS" and "Field
 * Encoding in VMCS". Bit 0 access type, 9:1 index, 11:10 group, 14:13 width.
 */
enum vmcs_width {
	VMCS_WIDTH_16,
	VMCS_WIDTH_64,
	VMCS_WIDTH_32,
	VMCS_WIDTH_NAT,
};

enum vmcs_group {
	VMCS_GROUP_CONTROL,
	VMCS_GROUP_INFO,
	VMCS_GROUP_GUEST,
	VMCS_GROUP_HOST,
};

#define VMCS_ENC_HIGH		0x0001u
#define VMCS_ENC_INDEX(enc)	(((enc) >> 1) & 0x1ff)
#define VMCS_ENC_GROUP(enc)	(((enc) >> 10) & 3)
#define VMCS_ENC_WIDTH(enc)	(((enc) >> 13) & 3)
#define VMCS_ENC_RESERVED	0xffff9000u

/* One row of the table as data, for the parts that walk all fields. */
struct vmcs_field_desc {
	unsigned short	encoding;
	unsigned char	width;		/* enum vmcs_width */
	unsigned char	group;		/* enum vmcs_group */
	unsigned char	format;		/* enum vmcs_format */
	unsigned short	control;	/* VMX_CTL_* of vmx.h */
	const char	*name;
	const char	*title;
};

/*
 * The initialiser of one such row:
 *	static const struct vmcs_field_desc fields[] = {
 *		VMCS_FIELDS(VMCS_FIELD_DESC)
 *	};
 */
#define VMCS_FIELD_DESC(enc, name_, width_, group_, control_, format_, title_) \
	[VMCS_INDEX_##name_] = {			\
		.encoding	= enc,			\
		.width		= VMCS_WIDTH_##width_,	\
		.group		= VMCS_GROUP_##group_,	\
		.format		= VMCS_FMT_##format_,	\
		.control	= VMX_CTL_##control_,	\
		.name		= #name_,		\
		.title		= title_,		\
	},

#endif /* KVM_VMCS_FIELDS_H */
