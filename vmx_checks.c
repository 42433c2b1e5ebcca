// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmx_checks.c - the SDM's checks on a VM entry: a predicate for each rule of
 * the table in vmx_checks.h.
 *
 * A predicate returns RULE_HOLDS, or the field that breaks its rule. It looks
 * at nothing but the image, and takes for granted no rule before it. Where a
 * control word is not activated, its controls are 0, as for the processor.
 *
 * Knows neither where the image came from nor what is done about a broken
 * rule; no state, no locking; builds in user space.
 *
 * SDM volume 3, "VM Entries": "Checks on VMX Controls and Host-State Area",
 * "Checks on the Guest State Area", "Loading MSRs". Not looked at: FRED state,
 * the dual-monitor treatment's own checks, and MSR values that only WRMSR
 * itself could judge.
 */
#include <asm/processor-flags.h>

#include "vmcs_fields.h"
#include "vmx_checks.h"

#define RULE_HOLDS	(-1)

/* Not in the uapi headers of every kernel. */
#define CR4_CET		(1ull << 23)
#define CR3_LAM		(3ull << 61)
#define EFER_LONG_ENABLE	(1ull << 8)
#define EFER_LONG_ACTIVE	(1ull << 10)
#define DEBUGCTL_BRANCH_STEP	(1ull << 1)

struct check {
	const struct vmx_image *image;
	const struct vmx_caps *caps;
	u64 ctl[NR_VMX_WORDS];		/* as the processor takes them */
};

/* ---- asking ------------------------------------------------------------- */

static u64 get(const struct check *c, u32 field)
{
	return c->image->read(c->image, field);
}

static bool on(const struct check *c, enum vmx_control ctl)
{
	return c->ctl[VMX_CTL_WORD(ctl)] & VMX_CTL_MASK(ctl);
}
#define ON(name)	on(c, VMX_CTL_##name)

static int broken_if(bool broken, u32 field)
{
	return broken ? (int)field : RULE_HOLDS;
}

static bool canonical(const struct check *c, u64 address)
{
	const int shift = 64 - c->caps->linear_bits;

	return (u64)((long long)(address << shift) >> shift) == address;
}

/* The first of `nr` fields that is not canonical. */
static int all_canonical(const struct check *c, const u32 *fields, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		if (!canonical(c, get(c, fields[i])))
			return fields[i];
	return RULE_HOLDS;
}
#define CANONICAL(c, ...) ({						\
	static const u32 __fields[] = { __VA_ARGS__ };			\
	all_canonical(c, __fields, sizeof(__fields) / sizeof(u32));	\
})

/* "Basic VMX Information": some structures are limited to 4G. */
static bool within_width(const struct check *c, u64 phys)
{
	return !(phys >> c->caps->phys_bits) &&
	       !((c->caps->basic & VMXCAP_BASIC_32BIT_ADDR) && phys >> 32);
}

/* A structure at the address in `field`, whose low bits have to be 0. */
static int structure(const struct check *c, u32 field, u64 low_bits)
{
	const u64 phys = get(c, field);

	return broken_if((phys & low_bits) || !within_width(c, phys), field);
}

static int page(const struct check *c, u32 field)
{
	return structure(c, field, 0xfff);
}

/* "VM-Exit Controls for MSRs": 16 bytes for each MSR. */
static int msr_list(const struct check *c, u32 count_field, u32 field)
{
	const u64 bytes = get(c, count_field) * sizeof(struct vmx_msr_entry);
	const u64 phys = get(c, field);

	if (!bytes)
		return RULE_HOLDS;
	return broken_if((phys & 15) || !within_width(c, phys) ||
			 !within_width(c, phys + bytes - 1), field);
}

static bool read_memory(const struct check *c, u64 phys, void *to, u32 size)
{
	const struct vmx_image *image = c->image;

	return image->read_memory && image->read_memory(image, phys, to, size);
}

/* ---- "VM-Execution Control Fields" -------------------------------------- */

static int reserved_controls(const struct check *c, enum vmx_control_word word,
			     u32 field)
{
	const u64 value = get(c, field);

	return broken_if((value & ~c->caps->ctl[word].one) ||
			 (c->caps->ctl[word].zero & ~value), field);
}

static int pin_ctls(const struct check *c)
{
	return reserved_controls(c, VMX_WORD_PIN, PIN_BASED_CTLS);
}

static int cpu_ctls(const struct check *c)
{
	return reserved_controls(c, VMX_WORD_CPU, PROC_BASED_CTLS);
}

static int cpu2_ctls(const struct check *c)
{
	if (!ON(CPU_ACTIVATE_SECONDARY))
		return RULE_HOLDS;
	return reserved_controls(c, VMX_WORD_CPU2, PROC_BASED_CTLS2);
}

static int cpu3_ctls(const struct check *c)
{
	if (!ON(CPU_ACTIVATE_TERTIARY))
		return RULE_HOLDS;
	return reserved_controls(c, VMX_WORD_CPU3, PROC_BASED_CTLS3);
}

static int cr3_targets(const struct check *c)
{
	return broken_if(get(c, CR3_TARGET_COUNT) >
			 VMXCAP_MISC_CR3_TARGETS(c->caps->misc),
			 CR3_TARGET_COUNT);
}

static int io_bitmaps(const struct check *c)
{
	int field;

	if (!ON(CPU_USE_IO_BITMAPS))
		return RULE_HOLDS;
	field = page(c, IO_BITMAP_A);
	return field == RULE_HOLDS ? page(c, IO_BITMAP_B) : field;
}

static int msr_bitmap(const struct check *c)
{
	return ON(CPU_USE_MSR_BITMAPS) ? page(c, MSR_BITMAP) : RULE_HOLDS;
}

static int virtual_apic_page(const struct check *c)
{
	return ON(CPU_TPR_SHADOW) ? page(c, VIRTUAL_APIC_ADDR) : RULE_HOLDS;
}

static int tpr_threshold(const struct check *c)
{
	return broken_if(ON(CPU_TPR_SHADOW) &&
			 !ON(CPU2_VIRTUAL_INTR_DELIVERY) &&
			 get(c, TPR_THRESHOLD) >> 4, TPR_THRESHOLD);
}

#define VTPR_OFFSET	0x80

static int tpr_below_threshold(const struct check *c)
{
	u32 vtpr;

	if (!ON(CPU_TPR_SHADOW) || ON(CPU2_VIRTUAL_INTR_DELIVERY) ||
	    ON(CPU2_VIRTUALIZE_APIC) ||
	    !read_memory(c, get(c, VIRTUAL_APIC_ADDR) + VTPR_OFFSET, &vtpr,
			 sizeof(vtpr)))
		return RULE_HOLDS;
	return broken_if((get(c, TPR_THRESHOLD) & 15) > ((vtpr >> 4) & 15),
			 TPR_THRESHOLD);
}

static int virtual_nmis(const struct check *c)
{
	return broken_if(ON(PIN_VIRTUAL_NMIS) && !ON(PIN_NMI_EXITING),
			 PIN_BASED_CTLS);
}

static int nmi_window(const struct check *c)
{
	return broken_if(ON(CPU_NMI_WINDOW_EXITING) && !ON(PIN_VIRTUAL_NMIS),
			 PROC_BASED_CTLS);
}

static int apic_access_page(const struct check *c)
{
	return ON(CPU2_VIRTUALIZE_APIC) ? page(c, APIC_ACCESS_ADDR) :
					  RULE_HOLDS;
}

static int tpr_shadow(const struct check *c)
{
	if (ON(CPU_TPR_SHADOW))
		return RULE_HOLDS;
	if (ON(CPU3_IPI_VIRTUALIZATION))
		return PROC_BASED_CTLS3;
	return broken_if(ON(CPU2_VIRTUALIZE_X2APIC) ||
			 ON(CPU2_APIC_REGISTER_VIRT) ||
			 ON(CPU2_VIRTUAL_INTR_DELIVERY), PROC_BASED_CTLS2);
}

static int x2apic_mode(const struct check *c)
{
	return broken_if(ON(CPU2_VIRTUALIZE_X2APIC) && ON(CPU2_VIRTUALIZE_APIC),
			 PROC_BASED_CTLS2);
}

static int virtual_interrupts(const struct check *c)
{
	return broken_if(ON(CPU2_VIRTUAL_INTR_DELIVERY) &&
			 !ON(PIN_EXT_INTR_EXITING), PIN_BASED_CTLS);
}

static int posted_delivery(const struct check *c)
{
	return broken_if(ON(PIN_POSTED_INTR) &&
			 !ON(CPU2_VIRTUAL_INTR_DELIVERY), PIN_BASED_CTLS);
}

static int posted_acknowledge(const struct check *c)
{
	return broken_if(ON(PIN_POSTED_INTR) && !ON(EXIT_CTL_ACK_INTR),
			 VM_EXIT_CTLS);
}

static int posted_vector(const struct check *c)
{
	return broken_if(ON(PIN_POSTED_INTR) && get(c, POSTED_INTR_NV) >> 8,
			 POSTED_INTR_NV);
}

static int posted_descriptor(const struct check *c)
{
	if (!ON(PIN_POSTED_INTR))
		return RULE_HOLDS;
	return structure(c, POSTED_INTR_DESC_ADDR, 63);
}

static int vpid(const struct check *c)
{
	return broken_if(ON(CPU2_ENABLE_VPID) && !get(c, VPID), VPID);
}

static int eptp_memtype(const struct check *c)
{
	u64 cap = 0;

	if (!ON(CPU2_ENABLE_EPT))
		return RULE_HOLDS;
	switch (get(c, EPT_POINTER) & EPTP_MEMTYPE) {
	case MEMTYPE_UC:
		cap = EPTCAP_WALK_UC;
		break;
	case MEMTYPE_WB:
		cap = EPTCAP_WALK_WB;
		break;
	}
	return broken_if(!(c->caps->ept_vpid & cap), EPT_POINTER);
}

static int eptp_levels(const struct check *c)
{
	u64 cap = 0;

	if (!ON(CPU2_ENABLE_EPT))
		return RULE_HOLDS;
	switch ((get(c, EPT_POINTER) & EPTP_LEVELS) >> EPTP_LEVELS_SHIFT) {
	case 3:
		cap = EPTCAP_4_LEVELS;
		break;
	case 4:
		cap = EPTCAP_5_LEVELS;
		break;
	}
	return broken_if(!(c->caps->ept_vpid & cap), EPT_POINTER);
}

/* Bits of the EPTP that are reserved unless the processor has the feature. */
static int eptp_feature(const struct check *c, u64 bits, u64 cap)
{
	return broken_if(ON(CPU2_ENABLE_EPT) && !(c->caps->ept_vpid & cap) &&
			 (get(c, EPT_POINTER) & bits), EPT_POINTER);
}

static int eptp_accessed_dirty(const struct check *c)
{
	return eptp_feature(c, EPTP_ACCESSED_DIRTY, EPTCAP_ACCESSED_DIRTY);
}

static int eptp_shadow_stack(const struct check *c)
{
	return eptp_feature(c, EPTP_SHADOW_STACK, EPTCAP_SHADOW_STACK);
}

static int eptp_reserved(const struct check *c)
{
	const u64 eptp = get(c, EPT_POINTER);

	return broken_if(ON(CPU2_ENABLE_EPT) &&
			 ((eptp & 0xf00) || eptp >> c->caps->phys_bits),
			 EPT_POINTER);
}

static int needs_ept(const struct check *c, enum vmx_control ctl)
{
	return broken_if(on(c, ctl) && !ON(CPU2_ENABLE_EPT), PROC_BASED_CTLS2);
}

static int pml_needs_ept(const struct check *c)
{
	return needs_ept(c, VMX_CTL_CPU2_ENABLE_PML);
}

static int pml_address(const struct check *c)
{
	return ON(CPU2_ENABLE_PML) ? page(c, PML_ADDRESS) : RULE_HOLDS;
}

static int unrestricted_needs_ept(const struct check *c)
{
	return needs_ept(c, VMX_CTL_CPU2_UNRESTRICTED_GUEST);
}

static int mode_based_needs_ept(const struct check *c)
{
	return needs_ept(c, VMX_CTL_CPU2_MODE_BASED_EXEC);
}

static int sub_page_needs_ept(const struct check *c)
{
	return needs_ept(c, VMX_CTL_CPU2_SUB_PAGE_WRITE);
}

static int sub_page_table(const struct check *c)
{
	return ON(CPU2_SUB_PAGE_WRITE) ? page(c, SPP_TABLE_POINTER) :
					 RULE_HOLDS;
}

static int vm_functions(const struct check *c)
{
	return broken_if(ON(CPU2_ENABLE_VMFUNC) &&
			 (get(c, VM_FUNCTION_CTLS) & ~c->caps->vmfunc),
			 VM_FUNCTION_CTLS);
}

static bool eptp_switching(const struct check *c)
{
	return ON(CPU2_ENABLE_VMFUNC) &&
	       (get(c, VM_FUNCTION_CTLS) & VMFUNC_EPTP_SWITCHING);
}

static int eptp_switching_needs_ept(const struct check *c)
{
	return broken_if(eptp_switching(c) && !ON(CPU2_ENABLE_EPT),
			 VM_FUNCTION_CTLS);
}

static int eptp_list(const struct check *c)
{
	return eptp_switching(c) ? page(c, EPTP_LIST_ADDR) : RULE_HOLDS;
}

static int shadowing_bitmaps(const struct check *c)
{
	int field;

	if (!ON(CPU2_VMCS_SHADOWING))
		return RULE_HOLDS;
	field = page(c, VMREAD_BITMAP);
	return field == RULE_HOLDS ? page(c, VMWRITE_BITMAP) : field;
}

static int ve_information(const struct check *c)
{
	return ON(CPU2_EPT_VIOLATION_VE) ? page(c, VE_INFO_ADDR) : RULE_HOLDS;
}

static int pt_guest_physical(const struct check *c)
{
	return broken_if(ON(CPU2_PT_USE_GPA) &&
			 !(ON(CPU2_ENABLE_EPT) && ON(ENTRY_CTL_LOAD_RTIT) &&
			   ON(EXIT_CTL_CLEAR_RTIT)), PROC_BASED_CTLS2);
}

static int tsc_multiplier(const struct check *c)
{
	return broken_if(ON(CPU2_TSC_SCALING) && !get(c, TSC_MULTIPLIER),
			 TSC_MULTIPLIER);
}

static int hlat_pointer(const struct check *c)
{
	return ON(CPU3_ENABLE_HLAT) ? structure(c, HLAT_POINTER, 0xfe7) :
				      RULE_HOLDS;
}

static int pid_pointers(const struct check *c)
{
	const u64 last = get(c, LAST_PID_POINTER_INDEX) * 8;

	if (!ON(CPU3_IPI_VIRTUALIZATION))
		return RULE_HOLDS;
	if (!within_width(c, get(c, PID_POINTER_TABLE_ADDR) + last))
		return PID_POINTER_TABLE_ADDR;
	return structure(c, PID_POINTER_TABLE_ADDR, 7);
}

static int pasid_directories(const struct check *c)
{
	int field;

	if (!ON(CPU2_PASID_TRANSLATION))
		return RULE_HOLDS;
	field = page(c, LOW_PASID_DIRECTORY_ADDR);
	return field == RULE_HOLDS ? page(c, HIGH_PASID_DIRECTORY_ADDR) : field;
}

/* ---- "VM-Exit Control Fields" ------------------------------------------- */

static int exit_ctls(const struct check *c)
{
	return reserved_controls(c, VMX_WORD_EXIT, VM_EXIT_CTLS);
}

static int exit2_ctls(const struct check *c)
{
	if (!ON(EXIT_CTL_ACTIVATE_SECONDARY))
		return RULE_HOLDS;
	return reserved_controls(c, VMX_WORD_EXIT2, VM_EXIT_CTLS2);
}

static int save_timer(const struct check *c)
{
	return broken_if(ON(EXIT_CTL_SAVE_PREEMPTION_TIMER) &&
			 !ON(PIN_PREEMPTION_TIMER), VM_EXIT_CTLS);
}

static int exit_store_list(const struct check *c)
{
	return msr_list(c, VM_EXIT_MSR_STORE_COUNT, VM_EXIT_MSR_STORE_ADDR);
}

static int exit_load_list(const struct check *c)
{
	return msr_list(c, VM_EXIT_MSR_LOAD_COUNT, VM_EXIT_MSR_LOAD_ADDR);
}

/* ---- "VM-Entry Control Fields" ------------------------------------------ */

static int entry_ctls(const struct check *c)
{
	return reserved_controls(c, VMX_WORD_ENTRY, VM_ENTRY_CTLS);
}

/* What is injected; without INTR_VALID nothing is. */
static u32 event(const struct check *c)
{
	return get(c, VM_ENTRY_INTR_INFO);
}

static bool injects(const struct check *c, u32 type)
{
	return (event(c) & (INTR_VALID | INTR_TYPE)) == (INTR_VALID | type);
}

static int event_type(const struct check *c)
{
	const bool has_other = c->caps->ctl[VMX_WORD_CPU].one &
			       CPU_MONITOR_TRAP_FLAG;

	return broken_if(injects(c, 1u << 8) ||
			 (injects(c, INTR_TYPE_OTHER) && !has_other),
			 VM_ENTRY_INTR_INFO);
}

static int event_vector(const struct check *c)
{
	const u32 vector = event(c) & INTR_VECTOR;
	bool broken = false;

	if (injects(c, INTR_TYPE_NMI))
		broken = vector != 2;
	else if (injects(c, INTR_TYPE_HARD_EXCEPTION))
		broken = vector > 31;
	else if (injects(c, INTR_TYPE_OTHER))
		broken = vector;
	return broken_if(broken, VM_ENTRY_INTR_INFO);
}

/* #DF, #TS, #NP, #SS, #GP, #PF, #AC. #CP is up to IA32_VMX_BASIC[56]. */
#define VECTORS_WITH_ERROR_CODE	\
	(1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | \
	 1u << 17)

static bool vector_has_error_code(u32 vector)
{
	return vector < 32 && (VECTORS_WITH_ERROR_CODE >> vector) & 1;
}

/* An unrestricted guest alone can have CR0.PE clear. */
static bool real_mode(const struct check *c)
{
	return ON(CPU2_UNRESTRICTED_GUEST) &&
	       !(get(c, GUEST_CR0) & X86_CR0_PE);
}

static int event_error_code_due(const struct check *c)
{
	return broken_if(injects(c, INTR_TYPE_HARD_EXCEPTION) &&
			 !real_mode(c) &&
			 !(c->caps->basic & VMXCAP_BASIC_ANY_ERROR_CODE) &&
			 vector_has_error_code(event(c) & INTR_VECTOR) &&
			 !(event(c) & INTR_ERROR_CODE), VM_ENTRY_INTR_INFO);
}

static bool error_code_allowed(const struct check *c)
{
	return injects(c, INTR_TYPE_HARD_EXCEPTION) && !real_mode(c) &&
	       ((c->caps->basic & VMXCAP_BASIC_ANY_ERROR_CODE) ||
		vector_has_error_code(event(c) & INTR_VECTOR));
}

static int event_error_code_undue(const struct check *c)
{
	const u32 delivers = INTR_VALID | INTR_ERROR_CODE;

	return broken_if((event(c) & delivers) == delivers &&
			 !error_code_allowed(c), VM_ENTRY_INTR_INFO);
}

static int event_reserved(const struct check *c)
{
	u32 reserved = INTR_ENTRY_RESERVED;

	if (c->caps->basic & VMXCAP_BASIC_NESTED_EXCEPTION)
		reserved &= ~INTR_NESTED_EXCEPTION;
	return broken_if((event(c) & INTR_VALID) && (event(c) & reserved),
			 VM_ENTRY_INTR_INFO);
}

static int event_error_code(const struct check *c)
{
	const u32 delivers = INTR_VALID | INTR_ERROR_CODE;

	return broken_if((event(c) & delivers) == delivers &&
			 get(c, VM_ENTRY_ERROR_CODE) >> 16,
			 VM_ENTRY_ERROR_CODE);
}

static int event_length(const struct check *c)
{
	const u32 length = get(c, VM_ENTRY_INSN_LEN);

	if (!injects(c, INTR_TYPE_SOFT_INTR) &&
	    !injects(c, INTR_TYPE_SOFT_EXCEPTION) &&
	    !injects(c, INTR_TYPE_PRIV_EXCEPTION))
		return RULE_HOLDS;
	return broken_if(length > 15 ||
			 (!length &&
			  !(c->caps->misc & VMXCAP_MISC_ZERO_INSN_LEN)),
			 VM_ENTRY_INSN_LEN);
}

static int entry_load_list(const struct check *c)
{
	return msr_list(c, VM_ENTRY_MSR_LOAD_COUNT, VM_ENTRY_MSR_LOAD_ADDR);
}

static int entry_to_smm(const struct check *c)
{
	return broken_if(!c->image->smm && (ON(ENTRY_CTL_ENTRY_TO_SMM) ||
					    ON(ENTRY_CTL_NO_DUAL_MONITOR)),
			 VM_ENTRY_CTLS);
}

static int smm_or_dual_monitor(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_ENTRY_TO_SMM) &&
			 ON(ENTRY_CTL_NO_DUAL_MONITOR), VM_ENTRY_CTLS);
}

/* ---- "Checks on Host Control Registers, MSRs, and SSP" ------------------ */

static int host_cr0(const struct check *c)
{
	const u64 cr0 = get(c, HOST_CR0);

	return broken_if((c->caps->cr0_fixed0 & ~cr0) ||
			 (cr0 & ~c->caps->cr0_fixed1), HOST_CR0);
}

static int cr4_fixed(const struct check *c, u32 field)
{
	const u64 cr4 = get(c, field);

	return broken_if((c->caps->cr4_fixed0 & ~cr4) ||
			 (cr4 & ~c->caps->cr4_fixed1), field);
}

static int host_cr4(const struct check *c)
{
	return cr4_fixed(c, HOST_CR4);
}

static int host_cet(const struct check *c)
{
	return broken_if((get(c, HOST_CR4) & CR4_CET) &&
			 !(get(c, HOST_CR0) & X86_CR0_WP), HOST_CR4);
}

/* Bit 63 of a MOV to CR3 is no bit of the register. */
static int cr3_width(const struct check *c, u32 field)
{
	u64 high = get(c, field) >> c->caps->phys_bits;

	if (c->caps->features & VMX_HAS_LAM)
		high &= ~(CR3_LAM >> c->caps->phys_bits);
	return broken_if(high, field);
}

static int host_cr3(const struct check *c)
{
	return cr3_width(c, HOST_CR3);
}

static int host_sysenter(const struct check *c)
{
	return CANONICAL(c, HOST_SYSENTER_ESP, HOST_SYSENTER_EIP);
}

static int host_perf_global(const struct check *c)
{
	return broken_if(ON(EXIT_CTL_LOAD_PERF_GLOBAL) &&
			 (get(c, HOST_PERF_GLOBAL_CTRL) &
			  ~c->caps->perf_global_ctrl), HOST_PERF_GLOBAL_CTRL);
}

/* Memory types 2 and 3 are reserved, and so is what is above 7. */
static bool pat_valid(u64 pat)
{
	int i;

	for (i = 0; i < 8; i++, pat >>= 8)
		if ((pat & 0xff) > MEMTYPE_UC_MINUS || (pat & 0xfe) == 2)
			return false;
	return true;
}

static int host_pat(const struct check *c)
{
	return broken_if(ON(EXIT_CTL_LOAD_PAT) && !pat_valid(get(c, HOST_PAT)),
			 HOST_PAT);
}

static int host_efer(const struct check *c)
{
	return broken_if(ON(EXIT_CTL_LOAD_EFER) &&
			 (get(c, HOST_EFER) & ~c->caps->efer), HOST_EFER);
}

static int host_efer_mode(const struct check *c)
{
	const u64 both = EFER_LONG_ENABLE | EFER_LONG_ACTIVE;

	if (!ON(EXIT_CTL_LOAD_EFER))
		return RULE_HOLDS;
	return broken_if((get(c, HOST_EFER) & both) !=
			 (ON(EXIT_CTL_HOST_LONG_MODE) ? both : 0), HOST_EFER);
}

#define S_CET_RESERVED	0x3c0ull
#define S_CET_SUPPRESS	(1ull << 10)
#define S_CET_TRACKER	(1ull << 11)

static int s_cet_bits(const struct check *c, u32 field)
{
	const u64 busy = S_CET_SUPPRESS | S_CET_TRACKER;
	const u64 s_cet = get(c, field);

	return broken_if((s_cet & S_CET_RESERVED) || (s_cet & busy) == busy,
			 field);
}

static int host_s_cet(const struct check *c)
{
	return ON(EXIT_CTL_LOAD_CET) ? s_cet_bits(c, HOST_S_CET) : RULE_HOLDS;
}

static int host_ssp(const struct check *c)
{
	return broken_if(ON(EXIT_CTL_LOAD_CET) && (get(c, HOST_SSP) & 3),
			 HOST_SSP);
}

static int host_cet_canonical(const struct check *c)
{
	if (!ON(EXIT_CTL_LOAD_CET))
		return RULE_HOLDS;
	return CANONICAL(c, HOST_S_CET, HOST_INTR_SSP_TABLE);
}

static int host_pkrs(const struct check *c)
{
	return broken_if(ON(EXIT_CTL_LOAD_PKRS) && get(c, HOST_PKRS) >> 32,
			 HOST_PKRS);
}

/* ---- "Checks on Host Segment and Descriptor-Table Registers" ------------ */

static int host_selectors(const struct check *c)
{
	u32 field;

	for (field = HOST_ES_SELECTOR; field <= HOST_TR_SELECTOR; field += 2)
		if (get(c, field) & 7)
			return field;
	return RULE_HOLDS;
}

static int host_cs(const struct check *c)
{
	return broken_if(!get(c, HOST_CS_SELECTOR), HOST_CS_SELECTOR);
}

static int host_tr(const struct check *c)
{
	return broken_if(!get(c, HOST_TR_SELECTOR), HOST_TR_SELECTOR);
}

static int host_ss(const struct check *c)
{
	return broken_if(!ON(EXIT_CTL_HOST_LONG_MODE) &&
			 !get(c, HOST_SS_SELECTOR), HOST_SS_SELECTOR);
}

static int host_bases(const struct check *c)
{
	return CANONICAL(c, HOST_FS_BASE, HOST_GS_BASE, HOST_TR_BASE,
			 HOST_GDTR_BASE, HOST_IDTR_BASE);
}

/* ---- "Checks Related to Address-Space Size" ----------------------------- */

static int host_size(const struct check *c)
{
	return broken_if(ON(EXIT_CTL_HOST_LONG_MODE) != c->image->long_mode,
			 VM_EXIT_CTLS);
}

static int guest_size(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_GUEST_LONG_MODE) &&
			 !ON(EXIT_CTL_HOST_LONG_MODE), VM_ENTRY_CTLS);
}

static int host_pcide(const struct check *c)
{
	return broken_if(!ON(EXIT_CTL_HOST_LONG_MODE) &&
			 (get(c, HOST_CR4) & X86_CR4_PCIDE), HOST_CR4);
}

static int host_pae(const struct check *c)
{
	return broken_if(ON(EXIT_CTL_HOST_LONG_MODE) &&
			 !(get(c, HOST_CR4) & X86_CR4_PAE), HOST_CR4);
}

/* An address that the host can use after the exit. */
static int host_address(const struct check *c, u32 field)
{
	const u64 address = get(c, field);

	return broken_if(ON(EXIT_CTL_HOST_LONG_MODE) ? !canonical(c, address) :
						       address >> 32, field);
}

static int host_rip(const struct check *c)
{
	return host_address(c, HOST_RIP);
}

static int host_ssp_size(const struct check *c)
{
	return ON(EXIT_CTL_LOAD_CET) ? host_address(c, HOST_SSP) : RULE_HOLDS;
}

/* ---- "Checks on Guest Control Registers, Debug Registers, and MSRs" ----- */

static int guest_cr0(const struct check *c)
{
	u64 free = X86_CR0_NW | X86_CR0_CD;
	const u64 cr0 = get(c, GUEST_CR0);

	if (ON(CPU2_UNRESTRICTED_GUEST))
		free |= X86_CR0_PE | X86_CR0_PG;
	return broken_if((c->caps->cr0_fixed0 & ~cr0 & ~free) ||
			 (cr0 & ~c->caps->cr0_fixed1 & ~free), GUEST_CR0);
}

static int guest_paging(const struct check *c)
{
	return broken_if((get(c, GUEST_CR0) & (X86_CR0_PG | X86_CR0_PE)) ==
			 X86_CR0_PG, GUEST_CR0);
}

static int guest_cr4(const struct check *c)
{
	return cr4_fixed(c, GUEST_CR4);
}

static int guest_cet(const struct check *c)
{
	return broken_if((get(c, GUEST_CR4) & CR4_CET) &&
			 !(get(c, GUEST_CR0) & X86_CR0_WP), GUEST_CR4);
}

static int guest_debugctl(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_LOAD_DEBUG) &&
			 (get(c, GUEST_DEBUGCTL) & ~c->caps->debugctl),
			 GUEST_DEBUGCTL);
}

static int guest_long_mode_paging(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_GUEST_LONG_MODE) &&
			 !(get(c, GUEST_CR0) & X86_CR0_PG), GUEST_CR0);
}

static int guest_long_mode_pae(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_GUEST_LONG_MODE) &&
			 !(get(c, GUEST_CR4) & X86_CR4_PAE), GUEST_CR4);
}

static int guest_pcide(const struct check *c)
{
	return broken_if(!ON(ENTRY_CTL_GUEST_LONG_MODE) &&
			 (get(c, GUEST_CR4) & X86_CR4_PCIDE), GUEST_CR4);
}

static int guest_cr3(const struct check *c)
{
	return cr3_width(c, GUEST_CR3);
}

static int guest_dr7(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_LOAD_DEBUG) && get(c, GUEST_DR7) >> 32,
			 GUEST_DR7);
}

static int guest_sysenter(const struct check *c)
{
	return CANONICAL(c, GUEST_SYSENTER_ESP, GUEST_SYSENTER_EIP);
}

static int guest_cet_canonical(const struct check *c)
{
	if (!ON(ENTRY_CTL_LOAD_CET))
		return RULE_HOLDS;
	return CANONICAL(c, GUEST_S_CET, GUEST_INTR_SSP_TABLE);
}

static int guest_perf_global(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_LOAD_PERF_GLOBAL) &&
			 (get(c, GUEST_PERF_GLOBAL_CTRL) &
			  ~c->caps->perf_global_ctrl), GUEST_PERF_GLOBAL_CTRL);
}

static int guest_pat(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_LOAD_PAT) &&
			 !pat_valid(get(c, GUEST_PAT)), GUEST_PAT);
}

static int guest_efer(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_LOAD_EFER) &&
			 (get(c, GUEST_EFER) & ~c->caps->efer), GUEST_EFER);
}

static int guest_efer_lma(const struct check *c)
{
	const bool lma = get(c, GUEST_EFER) & EFER_LONG_ACTIVE;

	return broken_if(ON(ENTRY_CTL_LOAD_EFER) &&
			 lma != ON(ENTRY_CTL_GUEST_LONG_MODE), GUEST_EFER);
}

static int guest_efer_lme(const struct check *c)
{
	const u64 efer = get(c, GUEST_EFER);

	return broken_if(ON(ENTRY_CTL_LOAD_EFER) &&
			 (get(c, GUEST_CR0) & X86_CR0_PG) &&
			 !(efer & EFER_LONG_ENABLE) !=
			 !(efer & EFER_LONG_ACTIVE), GUEST_EFER);
}

static int guest_bndcfgs(const struct check *c)
{
	const u64 bndcfgs = get(c, GUEST_BNDCFGS);

	return broken_if(ON(ENTRY_CTL_LOAD_BNDCFGS) &&
			 ((bndcfgs & 0xffc) || !canonical(c, bndcfgs)),
			 GUEST_BNDCFGS);
}

static int guest_rtit_ctl(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_LOAD_RTIT) &&
			 (get(c, GUEST_RTIT_CTL) & ~c->caps->rtit_ctl),
			 GUEST_RTIT_CTL);
}

static int guest_lbr_ctl(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_LOAD_LBR) &&
			 (get(c, GUEST_LBR_CTL) & ~c->caps->lbr_ctl),
			 GUEST_LBR_CTL);
}

static int guest_s_cet(const struct check *c)
{
	return ON(ENTRY_CTL_LOAD_CET) ? s_cet_bits(c, GUEST_S_CET) :
					RULE_HOLDS;
}

static int guest_pkrs(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_LOAD_PKRS) && get(c, GUEST_PKRS) >> 32,
			 GUEST_PKRS);
}

static int guest_uinv(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_LOAD_UINV) && get(c, GUEST_UINV) >> 8,
			 GUEST_UINV);
}

/* ---- "Checks on Guest Segment Registers" -------------------------------- */

/* The order of the encodings. */
enum segment { ES, CS, SS, DS, FS, GS, LDTR, TR };

static u32 selector_field(enum segment s)
{
	return GUEST_ES_SELECTOR + 2 * s;
}

static u32 base_field(enum segment s)
{
	return GUEST_ES_BASE + 2 * s;
}

static u32 limit_field(enum segment s)
{
	return GUEST_ES_LIMIT + 2 * s;
}

static u32 rights_field(enum segment s)
{
	return GUEST_ES_AR + 2 * s;
}

static u32 selector(const struct check *c, enum segment s)
{
	return get(c, selector_field(s));
}

static u64 base(const struct check *c, enum segment s)
{
	return get(c, base_field(s));
}

static u32 rights(const struct check *c, enum segment s)
{
	return get(c, rights_field(s));
}

static u32 type(const struct check *c, enum segment s)
{
	return rights(c, s) & SEG_AR_TYPE;
}

static u32 rpl(const struct check *c, enum segment s)
{
	return selector(c, s) & 3;
}

static u32 dpl(const struct check *c, enum segment s)
{
	return SEG_AR_DPL(rights(c, s));
}

/* CS is looked at even where it is marked unusable. */
static bool usable(const struct check *c, enum segment s)
{
	return s == CS || !(rights(c, s) & SEG_AR_UNUSABLE);
}

static bool vm86(const struct check *c)
{
	return get(c, GUEST_RFLAGS) & X86_EFLAGS_VM;
}

#define SELECTOR_TI	4

static int tr_selector(const struct check *c)
{
	return broken_if(selector(c, TR) & SELECTOR_TI, GUEST_TR_SELECTOR);
}

static int ldtr_selector(const struct check *c)
{
	return broken_if(usable(c, LDTR) && (selector(c, LDTR) & SELECTOR_TI),
			 GUEST_LDTR_SELECTOR);
}

static int ss_rpl(const struct check *c)
{
	return broken_if(!vm86(c) && !ON(CPU2_UNRESTRICTED_GUEST) &&
			 rpl(c, SS) != rpl(c, CS), GUEST_SS_SELECTOR);
}

static int vm86_base(const struct check *c)
{
	int s;

	for (s = ES; vm86(c) && s <= GS; s++)
		if (base(c, s) != (u64)selector(c, s) << 4)
			return base_field(s);
	return RULE_HOLDS;
}

static int tr_base(const struct check *c)
{
	return CANONICAL(c, GUEST_TR_BASE, GUEST_FS_BASE, GUEST_GS_BASE);
}

static int ldtr_base(const struct check *c)
{
	return broken_if(usable(c, LDTR) && !canonical(c, base(c, LDTR)),
			 GUEST_LDTR_BASE);
}

static int cs_base(const struct check *c)
{
	return broken_if(base(c, CS) >> 32, GUEST_CS_BASE);
}

static int data_base(const struct check *c)
{
	static const u8 segments[] = { SS, DS, ES };
	int i;

	for (i = 0; i < 3; i++)
		if (usable(c, segments[i]) && base(c, segments[i]) >> 32)
			return base_field(segments[i]);
	return RULE_HOLDS;
}

static int vm86_limit(const struct check *c)
{
	int s;

	for (s = ES; vm86(c) && s <= GS; s++)
		if (get(c, limit_field(s)) != 0xffff)
			return limit_field(s);
	return RULE_HOLDS;
}

static int vm86_rights(const struct check *c)
{
	int s;

	for (s = ES; vm86(c) && s <= GS; s++)
		if (rights(c, s) != 0xf3)
			return rights_field(s);
	return RULE_HOLDS;
}

static int cs_type(const struct check *c)
{
	const u32 code = SEG_AR_TYPE_CODE | SEG_AR_TYPE_ACCESSED;

	return broken_if(!vm86(c) && (type(c, CS) & code) != code &&
			 !(type(c, CS) == 3 && ON(CPU2_UNRESTRICTED_GUEST)),
			 GUEST_CS_AR);
}

static int ss_type(const struct check *c)
{
	return broken_if(!vm86(c) && usable(c, SS) && type(c, SS) != 3 &&
			 type(c, SS) != 7, GUEST_SS_AR);
}

/* The first of DS, ES, FS and GS that is usable with such a type. */
static int data_type(const struct check *c, u32 mask, u32 bad)
{
	int s;

	for (s = ES; !vm86(c) && s <= GS; s++)
		if (s != CS && s != SS && usable(c, s) &&
		    (type(c, s) & mask) == bad)
			return rights_field(s);
	return RULE_HOLDS;
}

static int data_accessed(const struct check *c)
{
	return data_type(c, SEG_AR_TYPE_ACCESSED, 0);
}

static int data_readable(const struct check *c)
{
	return data_type(c, SEG_AR_TYPE_CODE | SEG_AR_TYPE_READABLE,
			 SEG_AR_TYPE_CODE);
}

/* The first segment of code, stack or data whose rights are not so. */
static int segment_rights(const struct check *c, u32 mask, u32 good)
{
	int s;

	for (s = ES; !vm86(c) && s <= GS; s++)
		if (usable(c, s) && (rights(c, s) & mask) != good)
			return rights_field(s);
	return RULE_HOLDS;
}

static int segment_s(const struct check *c)
{
	return segment_rights(c, SEG_AR_S, SEG_AR_S);
}

static int cs_dpl(const struct check *c)
{
	const u32 cs = dpl(c, CS), ss = dpl(c, SS);
	bool broken = false;

	if (vm86(c))
		return RULE_HOLDS;
	switch (type(c, CS)) {
	case 3:
		broken = cs != 0;
		break;
	case 9:
	case 11:
		broken = cs != ss;
		break;
	case 13:
	case 15:
		broken = cs > ss;
		break;
	}
	return broken_if(broken, GUEST_CS_AR);
}

static int ss_dpl(const struct check *c)
{
	return broken_if(!vm86(c) && !ON(CPU2_UNRESTRICTED_GUEST) &&
			 dpl(c, SS) != rpl(c, SS), GUEST_SS_AR);
}

static int ss_dpl_real(const struct check *c)
{
	return broken_if(!vm86(c) && dpl(c, SS) &&
			 (type(c, CS) == 3 ||
			  !(get(c, GUEST_CR0) & X86_CR0_PE)), GUEST_SS_AR);
}

#define TYPE_CONFORMING	12	/* and above: the DPL does not matter */

static int data_dpl(const struct check *c)
{
	int s;

	if (vm86(c) || ON(CPU2_UNRESTRICTED_GUEST))
		return RULE_HOLDS;
	for (s = ES; s <= GS; s++)
		if (s != CS && s != SS && usable(c, s) &&
		    type(c, s) < TYPE_CONFORMING && dpl(c, s) < rpl(c, s))
			return rights_field(s);
	return RULE_HOLDS;
}

static int segment_present(const struct check *c)
{
	return segment_rights(c, SEG_AR_P, SEG_AR_P);
}

static int segment_reserved(const struct check *c)
{
	return segment_rights(c, SEG_AR_RESERVED, 0);
}

static int cs_db(const struct check *c)
{
	const u32 both = SEG_AR_L | SEG_AR_DB;

	return broken_if(!vm86(c) && ON(ENTRY_CTL_GUEST_LONG_MODE) &&
			 (rights(c, CS) & both) == both, GUEST_CS_AR);
}

/* Limits are in bytes; G says what a descriptor would have to say. */
static bool granularity_wrong(const struct check *c, enum segment s)
{
	const u32 limit = get(c, limit_field(s));
	const bool g = rights(c, s) & SEG_AR_G;

	return g ? (limit & 0xfff) != 0xfff : limit >> 20;
}

static int segment_granularity(const struct check *c)
{
	int s;

	for (s = ES; !vm86(c) && s <= GS; s++)
		if (usable(c, s) && granularity_wrong(c, s))
			return rights_field(s);
	return RULE_HOLDS;
}

static int tr_type(const struct check *c)
{
	return broken_if(type(c, TR) != SEG_AR_TYPE_BUSY_TSS &&
			 (type(c, TR) != SEG_AR_TYPE_BUSY_TSS16 ||
			  ON(ENTRY_CTL_GUEST_LONG_MODE)), GUEST_TR_AR);
}

static int tr_s(const struct check *c)
{
	return broken_if(rights(c, TR) & SEG_AR_S, GUEST_TR_AR);
}

static int tr_present(const struct check *c)
{
	return broken_if(!(rights(c, TR) & SEG_AR_P), GUEST_TR_AR);
}

static int tr_reserved(const struct check *c)
{
	return broken_if(rights(c, TR) & SEG_AR_RESERVED, GUEST_TR_AR);
}

static int tr_granularity(const struct check *c)
{
	return broken_if(granularity_wrong(c, TR), GUEST_TR_AR);
}

static int tr_usable(const struct check *c)
{
	return broken_if(!usable(c, TR), GUEST_TR_AR);
}

static int ldtr_rights(const struct check *c, u32 mask, u32 good)
{
	return broken_if(usable(c, LDTR) && (rights(c, LDTR) & mask) != good,
			 GUEST_LDTR_AR);
}

static int ldtr_type(const struct check *c)
{
	return ldtr_rights(c, SEG_AR_TYPE, SEG_AR_TYPE_LDT);
}

static int ldtr_s(const struct check *c)
{
	return ldtr_rights(c, SEG_AR_S, 0);
}

static int ldtr_present(const struct check *c)
{
	return ldtr_rights(c, SEG_AR_P, SEG_AR_P);
}

static int ldtr_reserved(const struct check *c)
{
	return ldtr_rights(c, SEG_AR_RESERVED, 0);
}

static int ldtr_granularity(const struct check *c)
{
	return broken_if(usable(c, LDTR) && granularity_wrong(c, LDTR),
			 GUEST_LDTR_AR);
}

/* ---- "Checks on Guest Descriptor-Table Registers" ----------------------- */

static int table_bases(const struct check *c)
{
	return CANONICAL(c, GUEST_GDTR_BASE, GUEST_IDTR_BASE);
}

static int table_limits(const struct check *c)
{
	if (get(c, GUEST_GDTR_LIMIT) >> 16)
		return GUEST_GDTR_LIMIT;
	return broken_if(get(c, GUEST_IDTR_LIMIT) >> 16, GUEST_IDTR_LIMIT);
}

/* ---- "Checks on Guest RIP, RFLAGS, and SSP" ----------------------------- */

static bool mode_64bit(const struct check *c)
{
	return ON(ENTRY_CTL_GUEST_LONG_MODE) && (rights(c, CS) & SEG_AR_L);
}

static int rip_high(const struct check *c)
{
	return broken_if(!mode_64bit(c) && get(c, GUEST_RIP) >> 32, GUEST_RIP);
}

/* What is beyond the width is all 0 or all 1; it need not be canonical. */
static int rip_canonical(const struct check *c)
{
	const u64 high = get(c, GUEST_RIP) >> c->caps->linear_bits;

	return broken_if(mode_64bit(c) && high &&
			 high != ~0ull >> c->caps->linear_bits, GUEST_RIP);
}

#define RFLAGS_RESERVED	(~0ull << 22 | 1ull << 15 | 1ull << 5 | 1ull << 3)

static int rflags_reserved(const struct check *c)
{
	const u64 rflags = get(c, GUEST_RFLAGS);

	return broken_if((rflags & RFLAGS_RESERVED) ||
			 !(rflags & X86_EFLAGS_FIXED), GUEST_RFLAGS);
}

static int rflags_vm(const struct check *c)
{
	return broken_if(vm86(c) && (ON(ENTRY_CTL_GUEST_LONG_MODE) ||
				     !(get(c, GUEST_CR0) & X86_CR0_PE)),
			 GUEST_RFLAGS);
}

static int rflags_if(const struct check *c)
{
	return broken_if(injects(c, INTR_TYPE_EXT_INTR) &&
			 !(get(c, GUEST_RFLAGS) & X86_EFLAGS_IF), GUEST_RFLAGS);
}

static int guest_ssp(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_LOAD_CET) && (get(c, GUEST_SSP) & 3),
			 GUEST_SSP);
}

static int guest_ssp_canonical(const struct check *c)
{
	const u64 ssp = get(c, GUEST_SSP);

	return broken_if(ON(ENTRY_CTL_LOAD_CET) &&
			 (mode_64bit(c) ? !canonical(c, ssp) : ssp >> 32),
			 GUEST_SSP);
}

/* ---- "Checks on Guest Non-Register State" ------------------------------- */

static int activity(const struct check *c)
{
	const u64 state = get(c, GUEST_ACTIVITY_STATE);
	bool has;

	switch (state) {
	case ACTIVITY_ACTIVE:
		has = true;
		break;
	case ACTIVITY_HLT:
		has = c->caps->misc & VMXCAP_MISC_ACTIVITY_HLT;
		break;
	case ACTIVITY_SHUTDOWN:
		has = c->caps->misc & VMXCAP_MISC_ACTIVITY_SHUTDOWN;
		break;
	case ACTIVITY_WAIT_SIPI:
		has = c->caps->misc & VMXCAP_MISC_ACTIVITY_SIPI;
		break;
	default:
		has = false;
	}
	return broken_if(!has, GUEST_ACTIVITY_STATE);
}

static bool halted(const struct check *c)
{
	return get(c, GUEST_ACTIVITY_STATE) == ACTIVITY_HLT;
}

static bool blocks(const struct check *c, u32 what)
{
	return get(c, GUEST_INTERRUPTIBILITY) & what;
}
#define STI_OR_MOV_SS	(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)

static int activity_hlt(const struct check *c)
{
	return broken_if(halted(c) && dpl(c, SS), GUEST_ACTIVITY_STATE);
}

static int activity_blocking(const struct check *c)
{
	return broken_if(get(c, GUEST_ACTIVITY_STATE) != ACTIVITY_ACTIVE &&
			 blocks(c, STI_OR_MOV_SS), GUEST_ACTIVITY_STATE);
}

static bool injects_exception(const struct check *c, u32 vector)
{
	return injects(c, INTR_TYPE_HARD_EXCEPTION) &&
	       (event(c) & INTR_VECTOR) == vector;
}

#define VECTOR_DB	1
#define VECTOR_MC	18

/* Does the event reach a processor in its activity state? */
static bool event_reaches(const struct check *c)
{
	switch (get(c, GUEST_ACTIVITY_STATE)) {
	case ACTIVITY_HLT:
		return injects(c, INTR_TYPE_EXT_INTR) ||
		       injects(c, INTR_TYPE_NMI) ||
		       injects_exception(c, VECTOR_DB) ||
		       injects_exception(c, VECTOR_MC) ||
		       (injects(c, INTR_TYPE_OTHER) &&
			!(event(c) & INTR_VECTOR));
	case ACTIVITY_SHUTDOWN:
		return injects(c, INTR_TYPE_NMI) ||
		       injects_exception(c, VECTOR_MC);
	case ACTIVITY_WAIT_SIPI:
		return false;
	default:
		return true;
	}
}

static int activity_event(const struct check *c)
{
	return broken_if((event(c) & INTR_VALID) && !event_reaches(c),
			 GUEST_ACTIVITY_STATE);
}

static int activity_smm(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_ENTRY_TO_SMM) &&
			 get(c, GUEST_ACTIVITY_STATE) == ACTIVITY_WAIT_SIPI,
			 GUEST_ACTIVITY_STATE);
}

static int interruptibility_reserved(const struct check *c)
{
	return broken_if(blocks(c, INTERRUPTIBILITY_RESERVED),
			 GUEST_INTERRUPTIBILITY);
}

static int sti_or_mov_ss(const struct check *c)
{
	return broken_if(blocks(c, INTERRUPTIBILITY_STI) &&
			 blocks(c, INTERRUPTIBILITY_MOV_SS),
			 GUEST_INTERRUPTIBILITY);
}

static int sti_blocking(const struct check *c)
{
	return broken_if(blocks(c, INTERRUPTIBILITY_STI) &&
			 !(get(c, GUEST_RFLAGS) & X86_EFLAGS_IF),
			 GUEST_INTERRUPTIBILITY);
}

static int interrupt_blocked(const struct check *c)
{
	return broken_if(injects(c, INTR_TYPE_EXT_INTR) &&
			 blocks(c, STI_OR_MOV_SS), GUEST_INTERRUPTIBILITY);
}

static int nmi_mov_ss(const struct check *c)
{
	return broken_if(injects(c, INTR_TYPE_NMI) &&
			 blocks(c, INTERRUPTIBILITY_MOV_SS),
			 GUEST_INTERRUPTIBILITY);
}

static int nmi_sti(const struct check *c)
{
	return broken_if(injects(c, INTR_TYPE_NMI) &&
			 blocks(c, INTERRUPTIBILITY_STI),
			 GUEST_INTERRUPTIBILITY);
}

static int smi_blocking(const struct check *c)
{
	return broken_if(!c->image->smm && blocks(c, INTERRUPTIBILITY_SMI),
			 GUEST_INTERRUPTIBILITY);
}

static int smi_blocking_entry(const struct check *c)
{
	return broken_if(ON(ENTRY_CTL_ENTRY_TO_SMM) &&
			 !blocks(c, INTERRUPTIBILITY_SMI),
			 GUEST_INTERRUPTIBILITY);
}

static int nmi_blocking(const struct check *c)
{
	return broken_if(ON(PIN_VIRTUAL_NMIS) && injects(c, INTR_TYPE_NMI) &&
			 blocks(c, INTERRUPTIBILITY_NMI),
			 GUEST_INTERRUPTIBILITY);
}

static int enclave_interruption(const struct check *c)
{
	return broken_if(blocks(c, INTERRUPTIBILITY_ENCLAVE) &&
			 (!(c->caps->features & VMX_HAS_SGX) ||
			  blocks(c, INTERRUPTIBILITY_MOV_SS)),
			 GUEST_INTERRUPTIBILITY);
}

static int pending_debug_reserved(const struct check *c)
{
	u64 defined = QUAL_DB_B0_B3 | PENDING_DBG_ENABLED | QUAL_DB_BS |
		      QUAL_DB_RTM;

	if (c->caps->features & VMX_HAS_BUS_LOCK_DB)
		defined |= QUAL_DB_BUS_LOCK;
	return broken_if(get(c, GUEST_PENDING_DBG) & ~defined,
			 GUEST_PENDING_DBG);
}

/* In these states the trap of a step that was taken must still be pending. */
static bool step_looked_at(const struct check *c)
{
	return halted(c) || blocks(c, STI_OR_MOV_SS);
}

static bool stepping(const struct check *c)
{
	return (get(c, GUEST_RFLAGS) & X86_EFLAGS_TF) &&
	       !(get(c, GUEST_DEBUGCTL) & DEBUGCTL_BRANCH_STEP);
}

static int pending_step_due(const struct check *c)
{
	return broken_if(step_looked_at(c) && stepping(c) &&
			 !(get(c, GUEST_PENDING_DBG) & QUAL_DB_BS),
			 GUEST_PENDING_DBG);
}

static int pending_step_undue(const struct check *c)
{
	return broken_if(step_looked_at(c) && !stepping(c) &&
			 (get(c, GUEST_PENDING_DBG) & QUAL_DB_BS),
			 GUEST_PENDING_DBG);
}

static int pending_rtm(const struct check *c)
{
	const u64 pending = get(c, GUEST_PENDING_DBG);

	return broken_if((pending & QUAL_DB_RTM) &&
			 (pending != (QUAL_DB_RTM | PENDING_DBG_ENABLED) ||
			  !(c->caps->features & VMX_HAS_RTM) ||
			  blocks(c, INTERRUPTIBILITY_MOV_SS)),
			 GUEST_PENDING_DBG);
}

static bool linked(const struct check *c)
{
	return get(c, VMCS_LINK_POINTER) != ~0ull;
}

static int link_pointer(const struct check *c)
{
	return linked(c) ? page(c, VMCS_LINK_POINTER) : RULE_HOLDS;
}

/* The first word of the VMCS that is linked. */
static bool read_link(const struct check *c, u32 *word)
{
	return linked(c) && link_pointer(c) == RULE_HOLDS &&
	       read_memory(c, get(c, VMCS_LINK_POINTER), word, sizeof(*word));
}

static int link_revision(const struct check *c)
{
	u32 word;

	return broken_if(read_link(c, &word) &&
			 (word & VMXCAP_BASIC_REVISION) !=
			 (c->caps->basic & VMXCAP_BASIC_REVISION),
			 VMCS_LINK_POINTER);
}

static int link_shadow(const struct check *c)
{
	u32 word;

	return broken_if(read_link(c, &word) &&
			 !(word & VMCS_SHADOW_INDICATOR) ==
			 ON(CPU2_VMCS_SHADOWING), VMCS_LINK_POINTER);
}

static int link_current(const struct check *c)
{
	return broken_if((!c->image->smm || ON(ENTRY_CTL_ENTRY_TO_SMM)) &&
			 get(c, VMCS_LINK_POINTER) == c->image->self,
			 VMCS_LINK_POINTER);
}

/* ---- "Checks on Guest Page-Directory-Pointer-Table Entries" ------------- */

#define PDPTE_PRESENT	1ull
#define PDPTE_RESERVED	0x1e6ull

static bool pdpte_valid(const struct check *c, u64 pdpte)
{
	return !(pdpte & PDPTE_PRESENT) ||
	       !((pdpte & PDPTE_RESERVED) || pdpte >> c->caps->phys_bits);
}

static bool pae_paging(const struct check *c)
{
	return (get(c, GUEST_CR0) & X86_CR0_PG) &&
	       (get(c, GUEST_CR4) & X86_CR4_PAE) &&
	       !ON(ENTRY_CTL_GUEST_LONG_MODE);
}

/* Entered from IA-32e mode, they are always new, and so always checked. */
static int pdptes_in_memory(const struct check *c)
{
	const u64 table = get(c, GUEST_CR3) & 0xffffffe0;
	u64 pdptes[4];
	int i;

	if (!read_memory(c, table, pdptes, sizeof(pdptes)))
		return RULE_HOLDS;
	for (i = 0; i < 4; i++)
		if (!pdpte_valid(c, pdptes[i]))
			return GUEST_CR3;
	return RULE_HOLDS;
}

static int pdptes(const struct check *c)
{
	u32 field;

	if (!pae_paging(c))
		return RULE_HOLDS;
	if (!ON(CPU2_ENABLE_EPT))
		return pdptes_in_memory(c);
	for (field = GUEST_PDPTE0; field <= GUEST_PDPTE3; field += 2)
		if (!pdpte_valid(c, get(c, field)))
			return field;
	return RULE_HOLDS;
}

/* ---- "Loading MSRs" ----------------------------------------------------- */

/* MSRs by number: the kernel's names for them are not there in user space. */
enum {
	SMM_MONITOR_CTL	= 0x9b,
	SYSENTER_ESP	= 0x175,
	SYSENTER_EIP	= 0x176,
	PAT		= 0x277,
	X2APIC_FIRST	= 0x800,
	X2APIC_LAST	= 0x8ff,
	EFER		= 0xc0000080,
	LSTAR		= 0xc0000082,
	FS_BASE		= 0xc0000100,
	GS_BASE		= 0xc0000101,
	KERNEL_GS_BASE	= 0xc0000102,
};

typedef bool (*msr_predicate)(const struct check *c,
			      const struct vmx_msr_entry *entry);

/* No list is longer: "VM-Entry Controls for MSRs", the recommended maximum. */
static int each_msr(const struct check *c, msr_predicate bad)
{
	const u64 list = get(c, VM_ENTRY_MSR_LOAD_ADDR);
	const u64 count = get(c, VM_ENTRY_MSR_LOAD_COUNT);
	struct vmx_msr_entry entry;
	u32 i;

	for (i = 0; i < count && i < VMXCAP_MISC_MSR_LIST_MAX(c->caps->misc);
	     i++) {
		if (!read_memory(c, list + i * sizeof(entry), &entry,
				 sizeof(entry)))
			break;
		if (bad(c, &entry))
			return VM_ENTRY_MSR_LOAD_ADDR;
	}
	return RULE_HOLDS;
}

static bool is_base(const struct check *c, const struct vmx_msr_entry *entry)
{
	return entry->index == FS_BASE || entry->index == GS_BASE;
}

static bool is_x2apic(const struct check *c, const struct vmx_msr_entry *entry)
{
	return entry->index >= X2APIC_FIRST && entry->index <= X2APIC_LAST;
}

static bool is_smm_only(const struct check *c,
			const struct vmx_msr_entry *entry)
{
	return !c->image->smm && entry->index == SMM_MONITOR_CTL;
}

static bool is_reserved(const struct check *c,
			const struct vmx_msr_entry *entry)
{
	return entry->reserved;
}

/*
 * IA32_EFER: LME cannot change once paging is on, and LMA is not written; the
 * guest's CR0 and EFER are loaded by then.
 */
static bool efer_faults(const struct check *c, u64 value)
{
	const bool long_mode = ON(ENTRY_CTL_GUEST_LONG_MODE);
	const bool lme = value & EFER_LONG_ENABLE;

	return (value & ~c->caps->efer) ||
	       ((get(c, GUEST_CR0) & X86_CR0_PG) && lme != long_mode);
}

static bool faults(const struct check *c, const struct vmx_msr_entry *entry)
{
	switch (entry->index) {
	case SYSENTER_ESP:
	case SYSENTER_EIP:
	case LSTAR:
	case KERNEL_GS_BASE:
		return !canonical(c, entry->value);
	case PAT:
		return !pat_valid(entry->value);
	case EFER:
		return efer_faults(c, entry->value);
	default:
		return false;
	}
}

static int msr_base(const struct check *c)
{
	return each_msr(c, is_base);
}

static int msr_x2apic(const struct check *c)
{
	return each_msr(c, is_x2apic);
}

static int msr_smm(const struct check *c)
{
	return each_msr(c, is_smm_only);
}

static int msr_reserved(const struct check *c)
{
	return each_msr(c, is_reserved);
}

static int msr_value(const struct check *c)
{
	return each_msr(c, faults);
}

/* ---- the table ---------------------------------------------------------- */

static const struct {
	const char *title;
	enum vmx_stage stage;
} sections[] = {
#define SECTION_ROW(name, stage_, title_) \
	[VMX_SECTION_##name] = { .title = title_, .stage = VMX_STAGE_##stage_ },
	VMX_CHECK_SECTIONS(SECTION_ROW)
};

static const struct {
	int (*holds)(const struct check *c);
	enum vmx_check_section section;
	const char *name;
	const char *sentence;
} rules[] = {
#define RULE_ROW(name_, section_, sentence_)				\
	[VMX_RULE_##name_] = {						\
		.holds = name_,						\
		.section = VMX_SECTION_##section_,			\
		.name = #name_,						\
		.sentence = sentence_,					\
	},
	VMX_RULES(RULE_ROW)
};

const char *vmx_rule_name(enum vmx_rule rule)
{
	return rules[rule].name;
}

const char *vmx_rule_section(enum vmx_rule rule)
{
	return sections[rules[rule].section].title;
}

const char *vmx_rule_sentence(enum vmx_rule rule)
{
	return rules[rule].sentence;
}

enum vmx_stage vmx_rule_stage(enum vmx_rule rule)
{
	return sections[rules[rule].section].stage;
}

bool vmx_rule_optional(enum vmx_rule rule)
{
	return rule == VMX_RULE_nmi_sti;
}

/* A word that is not activated counts as 0. */
static void read_controls(struct check *c)
{
	c->ctl[VMX_WORD_PIN] = get(c, PIN_BASED_CTLS);
	c->ctl[VMX_WORD_CPU] = get(c, PROC_BASED_CTLS);
	c->ctl[VMX_WORD_EXIT] = get(c, VM_EXIT_CTLS);
	c->ctl[VMX_WORD_ENTRY] = get(c, VM_ENTRY_CTLS);
	if (ON(CPU_ACTIVATE_SECONDARY))
		c->ctl[VMX_WORD_CPU2] = get(c, PROC_BASED_CTLS2);
	if (ON(CPU_ACTIVATE_TERTIARY))
		c->ctl[VMX_WORD_CPU3] = get(c, PROC_BASED_CTLS3);
	if (ON(EXIT_CTL_ACTIVATE_SECONDARY))
		c->ctl[VMX_WORD_EXIT2] = get(c, VM_EXIT_CTLS2);
}

u32 vmx_stage_of_failure(u32 error, u32 exit_reason)
{
	switch (error ?: exit_reason & EXIT_REASON_BASIC) {
	case VMXERR_ENTRY_BAD_CONTROL:
		return VMX_STAGE_CONTROL;
	case VMXERR_ENTRY_BAD_HOST_STATE:
		return VMX_STAGE_HOST;
	case EXIT_REASON_INVALID_STATE:
		return VMX_STAGE_GUEST;
	case EXIT_REASON_MSR_LOAD_FAIL:
		return VMX_STAGE_MSR;
	default:
		return 0;
	}
}

u32 vmx_check(const struct vmx_image *image, u32 stages,
	      struct vmx_broken *broken, u32 max)
{
	struct check check = { .image = image, .caps = image->caps };
	u32 rule, found = 0;
	int field;

	read_controls(&check);
	for (rule = 0; rule < NR_VMX_RULES; rule++) {
		if (!(vmx_rule_stage(rule) & stages))
			continue;
		field = rules[rule].holds(&check);
		if (field == RULE_HOLDS)
			continue;
		if (found < max)
			broken[found] = (struct vmx_broken) {
				.rule = rule,
				.field = field,
				.value = get(&check, field),
			};
		found++;
	}
	return found;
}
