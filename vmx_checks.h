/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmx_checks.h - the SDM's checks on a VM entry, as one table of rules.
 *
 * A rule is a predicate over a VMCS image: whatever can be asked for fields by
 * encoding and for the memory they point to. It may be the current VMCS, one
 * that a guest has built, or an array in a test. What a processor allows comes
 * with the image, as struct vmx_caps.
 *
 * Builds in user space too. No state, no locking.
 */
#ifndef KVM_VMX_CHECKS_H
#define KVM_VMX_CHECKS_H

#include "include/ints.h"
#include "vmx.h"

/*
 * When the processor looks, and so how an entry fails: VM-instruction error 7
 * or 8, exit reason 33 or 34.
 */
enum vmx_stage {
	VMX_STAGE_CONTROL	= 1 << 0,
	VMX_STAGE_HOST		= 1 << 1,
	VMX_STAGE_GUEST		= 1 << 2,
	VMX_STAGE_MSR		= 1 << 3,
	VMX_STAGE_ALL		= 15,
};

/* X(name, stage, SDM section title), in the order of chapter "VM Entries" */
#define VMX_CHECK_SECTIONS(X)							\
	X(EXEC,		CONTROL, "VM-Execution Control Fields")			\
	X(EXIT,		CONTROL, "VM-Exit Control Fields")			\
	X(ENTRY,	CONTROL, "VM-Entry Control Fields")			\
	X(HOST_REGS,	HOST, "Checks on Host Control Registers, MSRs, and SSP") \
	X(HOST_SEGS,	HOST, "Checks on Host Segment and Descriptor-Table Registers") \
	X(ADDRESS_SIZE,	HOST, "Checks Related to Address-Space Size")		\
	X(GUEST_REGS,	GUEST, "Checks on Guest Control Registers, Debug Registers, and MSRs") \
	X(GUEST_SEGS,	GUEST, "Checks on Guest Segment Registers")		\
	X(GUEST_TABLES,	GUEST, "Checks on Guest Descriptor-Table Registers")	\
	X(GUEST_RIP,	GUEST, "Checks on Guest RIP, RFLAGS, and SSP")		\
	X(GUEST_OTHER,	GUEST, "Checks on Guest Non-Register State")		\
	X(GUEST_PDPTES,	GUEST, "Checks on Guest Page-Directory-Pointer-Table Entries") \
	X(LOAD_MSRS,	MSR, "Loading MSRs")

enum vmx_check_section {
#define VMX_SECTION_ENUM(name, stage, title) VMX_SECTION_##name,
	VMX_CHECK_SECTIONS(VMX_SECTION_ENUM)
#undef VMX_SECTION_ENUM
};

/* X(name, section, what must hold). vmx_checks.c has a predicate for each. */
#define VMX_RULES(X)							\
	X(pin_ctls, EXEC,						\
	  "pin-based controls: reserved bits are as "			\
	  "IA32_VMX_(TRUE_)PINBASED_CTLS says")				\
	X(cpu_ctls, EXEC,						\
	  "primary processor-based controls: reserved bits are as "	\
	  "IA32_VMX_(TRUE_)PROCBASED_CTLS says")			\
	X(cpu2_ctls, EXEC,						\
	  "secondary processor-based controls: reserved bits are as "	\
	  "IA32_VMX_PROCBASED_CTLS2 says")				\
	X(cpu3_ctls, EXEC,						\
	  "tertiary processor-based controls: reserved bits are as "	\
	  "IA32_VMX_PROCBASED_CTLS3 says")				\
	X(cr3_targets, EXEC,						\
	  "the CR3-target count is at most what IA32_VMX_MISC says")	\
	X(io_bitmaps, EXEC,						\
	  "\"use I/O bitmaps\": both addresses are 4K-aligned and "	\
	  "within the physical-address width")				\
	X(msr_bitmap, EXEC,						\
	  "\"use MSR bitmaps\": the address is 4K-aligned and within "	\
	  "the physical-address width")					\
	X(virtual_apic_page, EXEC,					\
	  "\"use TPR shadow\": the virtual-APIC address is 4K-aligned "	\
	  "and within the physical-address width")			\
	X(tpr_threshold, EXEC,						\
	  "\"use TPR shadow\" without \"virtual-interrupt delivery\": "	\
	  "bits 31:4 of the TPR threshold are 0")			\
	X(tpr_below_threshold, EXEC,					\
	  "\"use TPR shadow\" without \"virtual-interrupt delivery\" "	\
	  "and \"virtualize APIC accesses\": the TPR threshold is not "	\
	  "above VTPR[7:4]")						\
	X(virtual_nmis, EXEC,						\
	  "\"virtual NMIs\" is set with \"NMI exiting\" only")		\
	X(nmi_window, EXEC,						\
	  "\"NMI-window exiting\" is set with \"virtual NMIs\" only")	\
	X(apic_access_page, EXEC,					\
	  "\"virtualize APIC accesses\": the address is 4K-aligned "	\
	  "and within the physical-address width")			\
	X(tpr_shadow, EXEC,						\
	  "\"virtualize x2APIC mode\", \"APIC-register "		\
	  "virtualization\", \"virtual-interrupt delivery\" and \"IPI "	\
	  "virtualization\" are set with \"use TPR shadow\" only")	\
	X(x2apic_mode, EXEC,						\
	  "\"virtualize x2APIC mode\" and \"virtualize APIC "		\
	  "accesses\" are not both set")				\
	X(virtual_interrupts, EXEC,					\
	  "\"virtual-interrupt delivery\" is set with "			\
	  "\"external-interrupt exiting\" only")			\
	X(posted_delivery, EXEC,					\
	  "\"process posted interrupts\" is set with "			\
	  "\"virtual-interrupt delivery\" only")			\
	X(posted_acknowledge, EXEC,					\
	  "\"process posted interrupts\" is set with \"acknowledge "	\
	  "interrupt on exit\" only")					\
	X(posted_vector, EXEC,						\
	  "\"process posted interrupts\": bits 15:8 of the "		\
	  "notification vector are 0")					\
	X(posted_descriptor, EXEC,					\
	  "\"process posted interrupts\": the descriptor is "		\
	  "64-byte-aligned and within the physical-address width")	\
	X(vpid, EXEC, "\"enable VPID\": the VPID is not 0")		\
	X(eptp_memtype, EXEC,						\
	  "\"enable EPT\": bits 2:0 of the EPTP are a memory type "	\
	  "that IA32_VMX_EPT_VPID_CAP has")				\
	X(eptp_levels, EXEC,						\
	  "\"enable EPT\": bits 5:3 of the EPTP are a walk length "	\
	  "that IA32_VMX_EPT_VPID_CAP has")				\
	X(eptp_accessed_dirty, EXEC,					\
	  "\"enable EPT\": bit 6 of the EPTP is set only where "	\
	  "IA32_VMX_EPT_VPID_CAP has accessed and dirty flags")		\
	X(eptp_shadow_stack, EXEC,					\
	  "\"enable EPT\": bit 7 of the EPTP is set only where "	\
	  "IA32_VMX_EPT_VPID_CAP has supervisor shadow stacks")		\
	X(eptp_reserved, EXEC,						\
	  "\"enable EPT\": bits 11:8 of the EPTP and those beyond the "	\
	  "physical-address width are 0")				\
	X(pml_needs_ept, EXEC,						\
	  "\"enable PML\" is set with \"enable EPT\" only")		\
	X(pml_address, EXEC,						\
	  "\"enable PML\": the address is 4K-aligned and within the "	\
	  "physical-address width")					\
	X(unrestricted_needs_ept, EXEC,					\
	  "\"unrestricted guest\" is set with \"enable EPT\" only")	\
	X(mode_based_needs_ept, EXEC,					\
	  "\"mode-based execute control for EPT\" is set with "		\
	  "\"enable EPT\" only")					\
	X(sub_page_needs_ept, EXEC,					\
	  "\"sub-page write permissions for EPT\" is set with "		\
	  "\"enable EPT\" only")					\
	X(sub_page_table, EXEC,						\
	  "\"sub-page write permissions for EPT\": the SPPTP is "	\
	  "4K-aligned and within the physical-address width")		\
	X(vm_functions, EXEC,						\
	  "\"enable VM functions\": only functions that "		\
	  "IA32_VMX_VMFUNC has are enabled")				\
	X(eptp_switching_needs_ept, EXEC,				\
	  "\"EPTP switching\" is enabled with \"enable EPT\" only")	\
	X(eptp_list, EXEC,						\
	  "\"EPTP switching\": the EPTP list is 4K-aligned and within "	\
	  "the physical-address width")					\
	X(shadowing_bitmaps, EXEC,					\
	  "\"VMCS shadowing\": both bitmaps are 4K-aligned and within "	\
	  "the physical-address width")					\
	X(ve_information, EXEC,						\
	  "\"EPT-violation #VE\": the information area is 4K-aligned "	\
	  "and within the physical-address width")			\
	X(pt_guest_physical, EXEC,					\
	  "\"Intel PT uses guest physical addresses\" is set with "	\
	  "\"enable EPT\", \"load IA32_RTIT_CTL\" and \"clear "		\
	  "IA32_RTIT_CTL\" only")					\
	X(tsc_multiplier, EXEC,						\
	  "\"use TSC scaling\": the TSC multiplier is not 0")		\
	X(hlat_pointer, EXEC,						\
	  "\"enable HLAT\": bits 2:0 and 11:5 of HLATP and those "	\
	  "beyond the physical-address width are 0")			\
	X(pid_pointers, EXEC,						\
	  "\"IPI virtualization\": the PID-pointer table is "		\
	  "8-byte-aligned and within the physical-address width")	\
	X(pasid_directories, EXEC,					\
	  "\"PASID translation\": both directories are 4K-aligned and "	\
	  "within the physical-address width")				\
									\
	X(exit_ctls, EXIT,						\
	  "primary VM-exit controls: reserved bits are as "		\
	  "IA32_VMX_(TRUE_)EXIT_CTLS says")				\
	X(exit2_ctls, EXIT,						\
	  "secondary VM-exit controls: reserved bits are as "		\
	  "IA32_VMX_EXIT_CTLS2 says")					\
	X(save_timer, EXIT,						\
	  "\"save VMX-preemption timer value\" is set with \"activate "	\
	  "VMX-preemption timer\" only")				\
	X(exit_store_list, EXIT,					\
	  "the VM-exit MSR-store area is 16-byte-aligned and within "	\
	  "the physical-address width")					\
	X(exit_load_list, EXIT,						\
	  "the VM-exit MSR-load area is 16-byte-aligned and within "	\
	  "the physical-address width")					\
									\
	X(entry_ctls, ENTRY,						\
	  "VM-entry controls: reserved bits are as "			\
	  "IA32_VMX_(TRUE_)ENTRY_CTLS says")				\
	X(event_type, ENTRY,						\
	  "injection: the type is not 1, and 7 only where the "		\
	  "processor has \"monitor trap flag\"")			\
	X(event_vector, ENTRY,						\
	  "injection: the vector is 2 for an NMI, at most 31 for a "	\
	  "hardware exception, 0 for another event")			\
	X(event_error_code_due, ENTRY,					\
	  "injection: a hardware exception that has an error code is "	\
	  "delivered with one in protected mode")			\
	X(event_error_code_undue, ENTRY,				\
	  "injection: no error code but with a hardware exception "	\
	  "that has one, in protected mode")				\
	X(event_reserved, ENTRY,					\
	  "injection: bits 30:12 of the interruption information are "	\
	  "0")								\
	X(event_error_code, ENTRY,					\
	  "injection with an error code: bits 31:16 of it are 0")	\
	X(event_length, ENTRY,						\
	  "injection of a software event: the instruction length is 1 "	\
	  "to 15, or 0 where IA32_VMX_MISC allows it")			\
	X(entry_load_list, ENTRY,					\
	  "the VM-entry MSR-load area is 16-byte-aligned and within "	\
	  "the physical-address width")					\
	X(entry_to_smm, ENTRY,						\
	  "\"entry to SMM\" and \"deactivate dual-monitor treatment\" "	\
	  "are 0 outside SMM")						\
	X(smm_or_dual_monitor, ENTRY,					\
	  "\"entry to SMM\" and \"deactivate dual-monitor treatment\" "	\
	  "are not both set")						\
									\
	X(host_cr0, HOST_REGS,						\
	  "host CR0 has the bits that IA32_VMX_CR0_FIXED0 and _FIXED1 "	\
	  "say")							\
	X(host_cr4, HOST_REGS,						\
	  "host CR4 has the bits that IA32_VMX_CR4_FIXED0 and _FIXED1 "	\
	  "say")							\
	X(host_cet, HOST_REGS, "host CR4.CET is set with CR0.WP only")	\
	X(host_cr3, HOST_REGS,						\
	  "host CR3 sets no bit beyond the physical-address width")	\
	X(host_sysenter, HOST_REGS,					\
	  "host IA32_SYSENTER_ESP and IA32_SYSENTER_EIP are canonical")	\
	X(host_perf_global, HOST_REGS,					\
	  "\"load IA32_PERF_GLOBAL_CTRL\": the host's sets no "		\
	  "reserved bit")						\
	X(host_pat, HOST_REGS,						\
	  "\"load IA32_PAT\": every byte of the host's is 0, 1, 4, 5, "	\
	  "6 or 7")							\
	X(host_efer, HOST_REGS,						\
	  "\"load IA32_EFER\": the host's sets no reserved bit")	\
	X(host_efer_mode, HOST_REGS,					\
	  "\"load IA32_EFER\": LMA and LME of the host's equal \"host "	\
	  "address-space size\"")					\
	X(host_s_cet, HOST_REGS,					\
	  "\"load CET state\": host IA32_S_CET sets no reserved bit, "	\
	  "nor SUPPRESS and TRACKER both")				\
	X(host_ssp, HOST_REGS,						\
	  "\"load CET state\": bits 1:0 of host SSP are 0")		\
	X(host_cet_canonical, HOST_REGS,				\
	  "\"load CET state\": host IA32_S_CET and "			\
	  "IA32_INTERRUPT_SSP_TABLE_ADDR are canonical")		\
	X(host_pkrs, HOST_REGS,						\
	  "\"load PKRS\": bits 63:32 of the host's are 0")		\
									\
	X(host_selectors, HOST_SEGS, "host selectors have RPL and TI 0") \
	X(host_cs, HOST_SEGS, "host CS is not the null selector")	\
	X(host_tr, HOST_SEGS, "host TR is not the null selector")	\
	X(host_ss, HOST_SEGS,						\
	  "host SS is not the null selector, unless \"host "		\
	  "address-space size\" is set")				\
	X(host_bases, HOST_SEGS,					\
	  "host bases of FS, GS, TR, GDTR and IDTR are canonical")	\
									\
	X(host_size, ADDRESS_SIZE,					\
	  "\"host address-space size\" is set where VM entry is "	\
	  "executed in IA-32e mode, clear elsewhere")			\
	X(guest_size, ADDRESS_SIZE,					\
	  "\"IA-32e mode guest\" is set with \"host address-space "	\
	  "size\" only")						\
	X(host_pcide, ADDRESS_SIZE,					\
	  "host CR4.PCIDE is set with \"host address-space size\" "	\
	  "only")							\
	X(host_pae, ADDRESS_SIZE,					\
	  "\"host address-space size\": host CR4.PAE is set")		\
	X(host_rip, ADDRESS_SIZE,					\
	  "host RIP is canonical, or below 4G without \"host "		\
	  "address-space size\"")					\
	X(host_ssp_size, ADDRESS_SIZE,					\
	  "\"load CET state\": host SSP is canonical, or below 4G "	\
	  "without \"host address-space size\"")			\
									\
	X(guest_cr0, GUEST_REGS,					\
	  "guest CR0 has the bits that IA32_VMX_CR0_FIXED0 and "	\
	  "_FIXED1 say (NW and CD aside, and PE and PG of an "		\
	  "unrestricted guest)")					\
	X(guest_paging, GUEST_REGS, "guest CR0.PG is set with CR0.PE only") \
	X(guest_cr4, GUEST_REGS,					\
	  "guest CR4 has the bits that IA32_VMX_CR4_FIXED0 and "	\
	  "_FIXED1 say")						\
	X(guest_cet, GUEST_REGS, "guest CR4.CET is set with CR0.WP only") \
	X(guest_debugctl, GUEST_REGS,					\
	  "\"load debug controls\": guest IA32_DEBUGCTL sets no "	\
	  "reserved bit")						\
	X(guest_long_mode_paging, GUEST_REGS,				\
	  "\"IA-32e mode guest\": guest CR0.PG is set")			\
	X(guest_long_mode_pae, GUEST_REGS,				\
	  "\"IA-32e mode guest\": guest CR4.PAE is set")		\
	X(guest_pcide, GUEST_REGS,					\
	  "guest CR4.PCIDE is set with \"IA-32e mode guest\" only")	\
	X(guest_cr3, GUEST_REGS,					\
	  "guest CR3 sets no bit beyond the physical-address width")	\
	X(guest_dr7, GUEST_REGS,					\
	  "\"load debug controls\": bits 63:32 of guest DR7 are 0")	\
	X(guest_sysenter, GUEST_REGS,					\
	  "guest IA32_SYSENTER_ESP and IA32_SYSENTER_EIP are "		\
	  "canonical")							\
	X(guest_cet_canonical, GUEST_REGS,				\
	  "\"load CET state\": guest IA32_S_CET and "			\
	  "IA32_INTERRUPT_SSP_TABLE_ADDR are canonical")		\
	X(guest_perf_global, GUEST_REGS,				\
	  "\"load IA32_PERF_GLOBAL_CTRL\": the guest's sets no "	\
	  "reserved bit")						\
	X(guest_pat, GUEST_REGS,					\
	  "\"load IA32_PAT\": every byte of the guest's is 0, 1, 4, "	\
	  "5, 6 or 7")							\
	X(guest_efer, GUEST_REGS,					\
	  "\"load IA32_EFER\": the guest's sets no reserved bit")	\
	X(guest_efer_lma, GUEST_REGS,					\
	  "\"load IA32_EFER\": LMA of the guest's equals \"IA-32e "	\
	  "mode guest\"")						\
	X(guest_efer_lme, GUEST_REGS,					\
	  "\"load IA32_EFER\": LME of the guest's equals LMA if "	\
	  "CR0.PG is set")						\
	X(guest_bndcfgs, GUEST_REGS,					\
	  "\"load IA32_BNDCFGS\": bits 11:2 are 0 and the address is "	\
	  "canonical")							\
	X(guest_rtit_ctl, GUEST_REGS,					\
	  "\"load IA32_RTIT_CTL\": no reserved bit is set")		\
	X(guest_lbr_ctl, GUEST_REGS,					\
	  "\"load guest IA32_LBR_CTL\": no reserved bit is set")	\
	X(guest_s_cet, GUEST_REGS,					\
	  "\"load CET state\": guest IA32_S_CET sets no reserved bit, "	\
	  "nor SUPPRESS and TRACKER both")				\
	X(guest_pkrs, GUEST_REGS,					\
	  "\"load PKRS\": bits 63:32 of the guest's are 0")		\
	X(guest_uinv, GUEST_REGS,					\
	  "\"load UINV\": bits 15:8 of guest UINV are 0")		\
									\
	X(tr_selector, GUEST_SEGS, "TR: the selector has TI 0")		\
	X(ldtr_selector, GUEST_SEGS, "usable LDTR: the selector has TI 0") \
	X(ss_rpl, GUEST_SEGS,						\
	  "SS and CS have one RPL, unless the guest is unrestricted "	\
	  "or virtual-8086")						\
	X(vm86_base, GUEST_SEGS,					\
	  "virtual-8086: bases of CS, SS, DS, ES, FS and GS are 16 "	\
	  "times the selectors")					\
	X(tr_base, GUEST_SEGS, "bases of TR, FS and GS are canonical")	\
	X(ldtr_base, GUEST_SEGS, "usable LDTR: the base is canonical")	\
	X(cs_base, GUEST_SEGS, "CS: bits 63:32 of the base are 0")	\
	X(data_base, GUEST_SEGS,					\
	  "usable SS, DS, ES: bits 63:32 of the base are 0")		\
	X(vm86_limit, GUEST_SEGS,					\
	  "virtual-8086: limits of CS, SS, DS, ES, FS and GS are "	\
	  "0FFFFH")							\
	X(vm86_rights, GUEST_SEGS,					\
	  "virtual-8086: access rights of CS, SS, DS, ES, FS and GS "	\
	  "are 0F3H")							\
	X(cs_type, GUEST_SEGS,						\
	  "CS: type 9, 11, 13 or 15 (accessed code), or 3 in an "	\
	  "unrestricted guest")						\
	X(ss_type, GUEST_SEGS,						\
	  "usable SS: type 3 or 7 (accessed, writable data)")		\
	X(data_accessed, GUEST_SEGS,					\
	  "usable DS, ES, FS, GS: bit 0 of the type (accessed) is set")	\
	X(data_readable, GUEST_SEGS,					\
	  "usable DS, ES, FS, GS: a code segment is readable (bit 1 "	\
	  "of the type)")						\
	X(segment_s, GUEST_SEGS,					\
	  "CS, and usable SS, DS, ES, FS, GS: S is set")		\
	X(cs_dpl, GUEST_SEGS,						\
	  "CS: DPL is 0 with type 3, SS.DPL with 9 or 11, at most "	\
	  "SS.DPL with 13 or 15")					\
	X(ss_dpl, GUEST_SEGS,						\
	  "SS: DPL equals RPL, unless the guest is unrestricted")	\
	X(ss_dpl_real, GUEST_SEGS,					\
	  "SS: DPL is 0 if CS is of type 3 or CR0.PE is 0")		\
	X(data_dpl, GUEST_SEGS,						\
	  "usable DS, ES, FS, GS of type 0 to 11: DPL is not below "	\
	  "RPL, unless the guest is unrestricted")			\
	X(segment_present, GUEST_SEGS,					\
	  "CS, and usable SS, DS, ES, FS, GS: P is set")		\
	X(segment_reserved, GUEST_SEGS,					\
	  "CS, and usable SS, DS, ES, FS, GS: bits 11:8 and 31:17 of "	\
	  "the access rights are 0")					\
	X(cs_db, GUEST_SEGS, "\"IA-32e mode guest\" with CS.L: CS.D/B is 0") \
	X(segment_granularity, GUEST_SEGS,				\
	  "CS, and usable SS, DS, ES, FS, GS: G is 0 if limit[11:0] "	\
	  "is not FFFH, 1 if limit[31:20] is not 0")			\
	X(tr_type, GUEST_SEGS,						\
	  "TR: type 11 (busy TSS), or 3 without \"IA-32e mode guest\"")	\
	X(tr_s, GUEST_SEGS, "TR: S is 0")				\
	X(tr_present, GUEST_SEGS, "TR: P is set")			\
	X(tr_reserved, GUEST_SEGS,					\
	  "TR: bits 11:8 and 31:17 of the access rights are 0")		\
	X(tr_granularity, GUEST_SEGS,					\
	  "TR: G is 0 if limit[11:0] is not FFFH, 1 if limit[31:20] "	\
	  "is not 0")							\
	X(tr_usable, GUEST_SEGS, "TR is usable")			\
	X(ldtr_type, GUEST_SEGS, "usable LDTR: type 2")			\
	X(ldtr_s, GUEST_SEGS, "usable LDTR: S is 0")			\
	X(ldtr_present, GUEST_SEGS, "usable LDTR: P is set")		\
	X(ldtr_reserved, GUEST_SEGS,					\
	  "usable LDTR: bits 11:8 and 31:17 of the access rights are "	\
	  "0")								\
	X(ldtr_granularity, GUEST_SEGS,					\
	  "usable LDTR: G is 0 if limit[11:0] is not FFFH, 1 if "	\
	  "limit[31:20] is not 0")					\
									\
	X(table_bases, GUEST_TABLES, "bases of GDTR and IDTR are canonical") \
	X(table_limits, GUEST_TABLES,					\
	  "bits 31:16 of the limits of GDTR and IDTR are 0")		\
									\
	X(rip_high, GUEST_RIP,						\
	  "bits 63:32 of RIP are 0 outside 64-bit mode")		\
	X(rip_canonical, GUEST_RIP,					\
	  "64-bit mode: RIP sets no bit beyond the linear-address "	\
	  "width but as a sign")					\
	X(rflags_reserved, GUEST_RIP,					\
	  "RFLAGS: bits 63:22, 15, 5 and 3 are 0, bit 1 is set")	\
	X(rflags_vm, GUEST_RIP,						\
	  "RFLAGS.VM is 0 with \"IA-32e mode guest\" or if CR0.PE is "	\
	  "0")								\
	X(rflags_if, GUEST_RIP,						\
	  "RFLAGS.IF is set if an external interrupt is injected")	\
	X(guest_ssp, GUEST_RIP,						\
	  "\"load CET state\": bits 1:0 of guest SSP are 0")		\
	X(guest_ssp_canonical, GUEST_RIP,				\
	  "\"load CET state\": guest SSP is canonical in 64-bit mode, "	\
	  "below 4G elsewhere")						\
									\
	X(activity, GUEST_OTHER,					\
	  "the activity state is one that IA32_VMX_MISC has")		\
	X(activity_hlt, GUEST_OTHER,					\
	  "the activity state is not HLT if SS.DPL is not 0")		\
	X(activity_blocking, GUEST_OTHER,				\
	  "the activity state is active if STI or MOV SS blocks "	\
	  "events")							\
	X(activity_event, GUEST_OTHER,					\
	  "what is injected is not blocked in the activity state")	\
	X(activity_smm, GUEST_OTHER,					\
	  "\"entry to SMM\": the activity state is not wait-for-SIPI")	\
	X(interruptibility_reserved, GUEST_OTHER,			\
	  "interruptibility: bits 31:5 are 0")				\
	X(sti_or_mov_ss, GUEST_OTHER,					\
	  "interruptibility: STI and MOV SS do not both block")		\
	X(sti_blocking, GUEST_OTHER,					\
	  "interruptibility: STI does not block if RFLAGS.IF is 0")	\
	X(interrupt_blocked, GUEST_OTHER,				\
	  "interruptibility: neither STI nor MOV SS blocks if an "	\
	  "external interrupt is injected")				\
	X(nmi_mov_ss, GUEST_OTHER,					\
	  "interruptibility: MOV SS does not block if an NMI is "	\
	  "injected")							\
	X(nmi_sti, GUEST_OTHER,						\
	  "interruptibility: STI does not block if an NMI is injected "	\
	  "(not asked for by all processors)")				\
	X(smi_blocking, GUEST_OTHER,					\
	  "interruptibility: SMIs are not blocked outside SMM")		\
	X(smi_blocking_entry, GUEST_OTHER,				\
	  "interruptibility: SMIs are blocked with \"entry to SMM\"")	\
	X(nmi_blocking, GUEST_OTHER,					\
	  "interruptibility: with \"virtual NMIs\" NMIs are not "	\
	  "blocked if one is injected")					\
	X(enclave_interruption, GUEST_OTHER,				\
	  "interruptibility: enclave interruption needs SGX and "	\
	  "excludes MOV SS")						\
	X(pending_debug_reserved, GUEST_OTHER,				\
	  "pending debug exceptions: reserved bits are 0")		\
	X(pending_step_due, GUEST_OTHER,				\
	  "pending debug exceptions: BS is set in HLT, or if STI or "	\
	  "MOV SS blocks, with RFLAGS.TF and without BTF")		\
	X(pending_step_undue, GUEST_OTHER,				\
	  "pending debug exceptions: BS is 0 in HLT, or if STI or MOV "	\
	  "SS blocks, without RFLAGS.TF or with BTF")			\
	X(pending_rtm, GUEST_OTHER,					\
	  "pending debug exceptions: RTM needs bit 12, no other, no "	\
	  "blocking by MOV SS, and the feature")			\
	X(link_pointer, GUEST_OTHER,					\
	  "the VMCS link pointer is -1, or 4K-aligned and within the "	\
	  "physical-address width")					\
	X(link_revision, GUEST_OTHER,					\
	  "the VMCS link pointer leads to a VMCS of the processor's "	\
	  "revision")							\
	X(link_shadow, GUEST_OTHER,					\
	  "the VMCS link pointer leads to a shadow VMCS if and only "	\
	  "if \"VMCS shadowing\" is set")				\
	X(link_current, GUEST_OTHER,					\
	  "the VMCS link pointer is not the current VMCS")		\
									\
	X(pdptes, GUEST_PDPTES,						\
	  "PAE paging: reserved bits of present PDPTEs are 0")		\
									\
	X(msr_base, LOAD_MSRS,						\
	  "VM-entry MSR-load area: neither IA32_FS_BASE nor "		\
	  "IA32_GS_BASE")						\
	X(msr_x2apic, LOAD_MSRS,					\
	  "VM-entry MSR-load area: no MSR of x2APIC mode (800H to "	\
	  "8FFH)")							\
	X(msr_smm, LOAD_MSRS,						\
	  "VM-entry MSR-load area: IA32_SMM_MONITOR_CTL in SMM only")	\
	X(msr_reserved, LOAD_MSRS,					\
	  "VM-entry MSR-load area: bits 63:32 of an entry are 0")	\
	X(msr_value, LOAD_MSRS,						\
	  "VM-entry MSR-load area: WRMSR would take the value "		\
	  "(addresses, IA32_PAT and IA32_EFER are looked at)")

enum vmx_rule {
#define VMX_RULE_ENUM(name, section, sentence) VMX_RULE_##name,
	VMX_RULES(VMX_RULE_ENUM)
#undef VMX_RULE_ENUM
	NR_VMX_RULES
};

/* What a processor allows: its capability MSRs, and what else matters here. */
struct vmx_caps {
	struct {
		u64 zero;		/* bits that must be 1 */
		u64 one;		/* bits that may be 1 */
	} ctl[NR_VMX_WORDS];
	u64 basic, misc, ept_vpid, vmfunc;
	u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	/* Bits that MSRs have. */
	u64 debugctl, efer, perf_global_ctrl, rtit_ctl, lbr_ctl;
	u64 features;			/* VMX_HAS_* */
	u32 phys_bits, linear_bits;
};

/* What of CPUID matters to the rules. */
#define VMX_HAS_RTM		(1ull << 0)
#define VMX_HAS_SGX		(1ull << 1)
#define VMX_HAS_LAM		(1ull << 2)
#define VMX_HAS_BUS_LOCK_DB	(1ull << 3)

struct vmx_image {
	/* 0 for a field that there is not. */
	u64 (*read)(const struct vmx_image *image, u32 field);
	/* False where it cannot be read: then what depends on it holds. */
	bool (*read_memory)(const struct vmx_image *image, u64 phys, void *to,
			    u32 size);
	const struct vmx_caps *caps;
	u64 self;			/* its own address */
	bool long_mode;			/* entered from IA-32e mode */
	bool smm;			/* ... from SMM */
};

/*
 * By VM-instruction error, or with none by exit reason: where an entry has
 * failed. 0: elsewhere, and not for the VMCS's contents.
 */
u32 vmx_stage_of_failure(u32 error, u32 exit_reason);

struct vmx_broken {
	enum vmx_rule rule;
	u32 field;			/* enum vmcs_field */
	u64 value;			/* of the field, or an MSR's number */
};

/*
 * Look at the rules of `stages` (enum vmx_stage) in the SDM's order; put the
 * first `max` that are broken into `broken`. Returns how many are broken.
 */
u32 vmx_check(const struct vmx_image *image, u32 stages,
	      struct vmx_broken *broken, u32 max);

const char *vmx_rule_name(enum vmx_rule rule);
const char *vmx_rule_section(enum vmx_rule rule);	/* SDM title */
const char *vmx_rule_sentence(enum vmx_rule rule);
enum vmx_stage vmx_rule_stage(enum vmx_rule rule);
/* One that not every processor enforces. */
bool vmx_rule_optional(enum vmx_rule rule);

#endif
