/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the SDM defines for VMX: control bits, exit reasons, error numbers, and
 * the layout of fields, capability MSRs, EPT entries and in-memory structures.
 *
 * Facts only: no code, no types of ours, no kernel header, so that the unit
 * tests and the tools in user space compile it too. Field encodings are in
 * vmcs_fields.h. The kernel's <asm/vmx.h> is not used beside this file, and no
 * name here is one of <asm/vmx.h>, <asm/vmxfeatures.h> or <asm/msr-index.h>
 * (EXIT_REASON_*, whose names uapi <asm/vmx.h> shares, excepted).
 *
 * Tables (VMX_CONTROLS, VMX_EXIT_REASONS, VMX_INSN_ERRORS) are X-macros: the
 * enumerators, the names in messages and the negotiation come from one row.
 */
#ifndef KVM_VMX_H
#define KVM_VMX_H

/*
 * -- VMX controls --------------------------------------------------------
 * SDM, "VM-Execution Control Fields", "VM-Exit Control Fields", "VM-Entry
 * Control Fields". X(word, name, bit, title): word is one of the seven control
 * words, name becomes the mask of the bit.
 */
#define VMX_CONTROLS(X)									\
	/* Pin-based VM-execution controls */					\
	X(PIN,   PIN_EXT_INTR_EXITING,		0,  "External-interrupt exiting")	\
	X(PIN,   PIN_NMI_EXITING,		3,  "NMI exiting")			\
	X(PIN,   PIN_VIRTUAL_NMIS,		5,  "Virtual NMIs")			\
	X(PIN,   PIN_PREEMPTION_TIMER,		6,  "Activate VMX-preemption timer")	\
	X(PIN,   PIN_POSTED_INTR,		7,  "Process posted interrupts")	\
	/* Primary processor-based VM-execution controls */			\
	X(CPU,   CPU_INTR_WINDOW_EXITING,	2,  "Interrupt-window exiting")		\
	X(CPU,   CPU_USE_TSC_OFFSETTING,	3,  "Use TSC offsetting")		\
	X(CPU,   CPU_HLT_EXITING,		7,  "HLT exiting")			\
	X(CPU,   CPU_INVLPG_EXITING,		9,  "INVLPG exiting")			\
	X(CPU,   CPU_MWAIT_EXITING,		10, "MWAIT exiting")			\
	X(CPU,   CPU_RDPMC_EXITING,		11, "RDPMC exiting")			\
	X(CPU,   CPU_RDTSC_EXITING,		12, "RDTSC exiting")			\
	X(CPU,   CPU_CR3_LOAD_EXITING,		15, "CR3-load exiting")			\
	X(CPU,   CPU_CR3_STORE_EXITING,		16, "CR3-store exiting")		\
	X(CPU,   CPU_ACTIVATE_TERTIARY,		17, "Activate tertiary controls")	\
	X(CPU,   CPU_CR8_LOAD_EXITING,		19, "CR8-load exiting")			\
	X(CPU,   CPU_CR8_STORE_EXITING,		20, "CR8-store exiting")		\
	X(CPU,   CPU_TPR_SHADOW,		21, "Use TPR shadow")			\
	X(CPU,   CPU_NMI_WINDOW_EXITING,	22, "NMI-window exiting")		\
	X(CPU,   CPU_MOV_DR_EXITING,		23, "MOV-DR exiting")			\
	X(CPU,   CPU_UNCOND_IO_EXITING,		24, "Unconditional I/O exiting")	\
	X(CPU,   CPU_USE_IO_BITMAPS,		25, "Use I/O bitmaps")			\
	X(CPU,   CPU_MONITOR_TRAP_FLAG,		27, "Monitor trap flag")		\
	X(CPU,   CPU_USE_MSR_BITMAPS,		28, "Use MSR bitmaps")			\
	X(CPU,   CPU_MONITOR_EXITING,		29, "MONITOR exiting")			\
	X(CPU,   CPU_PAUSE_EXITING,		30, "PAUSE exiting")			\
	X(CPU,   CPU_ACTIVATE_SECONDARY,	31, "Activate secondary controls")	\
	/* Secondary processor-based VM-execution controls */			\
	X(CPU2,  CPU2_VIRTUALIZE_APIC,		0,  "Virtualize APIC accesses")		\
	X(CPU2,  CPU2_ENABLE_EPT,		1,  "Enable EPT")			\
	X(CPU2,  CPU2_DESC_TABLE_EXITING,	2,  "Descriptor-table exiting")		\
	X(CPU2,  CPU2_ENABLE_RDTSCP,		3,  "Enable RDTSCP")			\
	X(CPU2,  CPU2_VIRTUALIZE_X2APIC,	4,  "Virtualize x2APIC mode")		\
	X(CPU2,  CPU2_ENABLE_VPID,		5,  "Enable VPID")			\
	X(CPU2,  CPU2_WBINVD_EXITING,		6,  "WBINVD exiting")			\
	X(CPU2,  CPU2_UNRESTRICTED_GUEST,	7,  "Unrestricted guest")		\
	X(CPU2,  CPU2_APIC_REGISTER_VIRT,	8,  "APIC-register virtualization")	\
	X(CPU2,  CPU2_VIRTUAL_INTR_DELIVERY,	9,  "Virtual-interrupt delivery")	\
	X(CPU2,  CPU2_PAUSE_LOOP_EXITING,	10, "PAUSE-loop exiting")		\
	X(CPU2,  CPU2_RDRAND_EXITING,		11, "RDRAND exiting")			\
	X(CPU2,  CPU2_ENABLE_INVPCID,		12, "Enable INVPCID")			\
	X(CPU2,  CPU2_ENABLE_VMFUNC,		13, "Enable VM functions")		\
	X(CPU2,  CPU2_VMCS_SHADOWING,		14, "VMCS shadowing")			\
	X(CPU2,  CPU2_ENCLS_EXITING,		15, "Enable ENCLS exiting")		\
	X(CPU2,  CPU2_RDSEED_EXITING,		16, "RDSEED exiting")			\
	X(CPU2,  CPU2_ENABLE_PML,		17, "Enable PML")			\
	X(CPU2,  CPU2_EPT_VIOLATION_VE,		18, "EPT-violation #VE")		\
	X(CPU2,  CPU2_CONCEAL_FROM_PT,		19, "Conceal VMX from PT")		\
	X(CPU2,  CPU2_ENABLE_XSAVES,		20, "Enable XSAVES/XRSTORS")		\
	X(CPU2,  CPU2_PASID_TRANSLATION,	21, "PASID translation")		\
	X(CPU2,  CPU2_MODE_BASED_EXEC,		22, "Mode-based execute control for EPT") \
	X(CPU2,  CPU2_SUB_PAGE_WRITE,		23, "Sub-page write permissions for EPT") \
	X(CPU2,  CPU2_PT_USE_GPA,		24, "Intel PT uses guest physical addresses") \
	X(CPU2,  CPU2_TSC_SCALING,		25, "Use TSC scaling")			\
	X(CPU2,  CPU2_ENABLE_USER_WAIT,		26, "Enable user wait and pause")	\
	X(CPU2,  CPU2_ENABLE_PCONFIG,		27, "Enable PCONFIG")			\
	X(CPU2,  CPU2_ENCLV_EXITING,		28, "Enable ENCLV exiting")		\
	X(CPU2,  CPU2_BUS_LOCK_DETECTION,	30, "VMM bus-lock detection")		\
	X(CPU2,  CPU2_INSN_TIMEOUT,		31, "Instruction timeout")		\
	/* Tertiary processor-based VM-execution controls */			\
	X(CPU3,  CPU3_LOADIWKEY_EXITING,	0,  "LOADIWKEY exiting")		\
	X(CPU3,  CPU3_ENABLE_HLAT,		1,  "Enable HLAT")			\
	X(CPU3,  CPU3_EPT_PAGING_WRITE,		2,  "EPT paging-write control")		\
	X(CPU3,  CPU3_GUEST_PAGING_VERIFY,	3,  "Guest-paging verification")	\
	X(CPU3,  CPU3_IPI_VIRTUALIZATION,	4,  "IPI virtualization")		\
	X(CPU3,  CPU3_SEAM_GPA_WIDTH,		5,  "SEAM guest-physical address width") \
	X(CPU3,  CPU3_ENABLE_MSR_LIST,		6,  "Enable MSR-list instructions")	\
	X(CPU3,  CPU3_VIRTUALIZE_SPEC_CTRL,	7,  "Virtualize IA32_SPEC_CTRL")	\
	/* Primary VM-exit controls */						\
	X(EXIT,  EXIT_CTL_SAVE_DEBUG,		2,  "Save debug controls")		\
	X(EXIT,  EXIT_CTL_HOST_LONG_MODE,	9,  "Host address-space size")		\
	X(EXIT,  EXIT_CTL_LOAD_PERF_GLOBAL,	12, "Load IA32_PERF_GLOBAL_CTRL")	\
	X(EXIT,  EXIT_CTL_ACK_INTR,		15, "Acknowledge interrupt on exit")	\
	X(EXIT,  EXIT_CTL_SAVE_PAT,		18, "Save IA32_PAT")			\
	X(EXIT,  EXIT_CTL_LOAD_PAT,		19, "Load IA32_PAT")			\
	X(EXIT,  EXIT_CTL_SAVE_EFER,		20, "Save IA32_EFER")			\
	X(EXIT,  EXIT_CTL_LOAD_EFER,		21, "Load IA32_EFER")			\
	X(EXIT,  EXIT_CTL_SAVE_PREEMPTION_TIMER, 22, "Save VMX-preemption timer value") \
	X(EXIT,  EXIT_CTL_CLEAR_BNDCFGS,	23, "Clear IA32_BNDCFGS")		\
	X(EXIT,  EXIT_CTL_CONCEAL_FROM_PT,	24, "Conceal VMX from PT")		\
	X(EXIT,  EXIT_CTL_CLEAR_RTIT,		25, "Clear IA32_RTIT_CTL")		\
	X(EXIT,  EXIT_CTL_CLEAR_LBR,		26, "Clear IA32_LBR_CTL")		\
	X(EXIT,  EXIT_CTL_CLEAR_UINV,		27, "Clear UINV")			\
	X(EXIT,  EXIT_CTL_LOAD_CET,		28, "Load CET state")			\
	X(EXIT,  EXIT_CTL_LOAD_PKRS,		29, "Load PKRS")			\
	X(EXIT,  EXIT_CTL_SAVE_PERF_GLOBAL,	30, "Save IA32_PERF_GLOBAL_CTRL")	\
	X(EXIT,  EXIT_CTL_ACTIVATE_SECONDARY,	31, "Activate secondary controls")	\
	/* Secondary VM-exit controls */					\
	X(EXIT2, EXIT2_CTL_SAVE_FRED,		0,  "Save IA32_FRED MSRs")		\
	X(EXIT2, EXIT2_CTL_LOAD_FRED,		1,  "Load IA32_FRED MSRs")		\
	X(EXIT2, EXIT2_CTL_BUSY_SHADOW_STACK,	3,  "Prematurely busy shadow stack")	\
	/* VM-entry controls */							\
	X(ENTRY, ENTRY_CTL_LOAD_DEBUG,		2,  "Load debug controls")		\
	X(ENTRY, ENTRY_CTL_GUEST_LONG_MODE,	9,  "IA-32e mode guest")		\
	X(ENTRY, ENTRY_CTL_ENTRY_TO_SMM,	10, "Entry to SMM")			\
	X(ENTRY, ENTRY_CTL_NO_DUAL_MONITOR,	11, "Deactivate dual-monitor treatment") \
	X(ENTRY, ENTRY_CTL_LOAD_PERF_GLOBAL,	13, "Load IA32_PERF_GLOBAL_CTRL")	\
	X(ENTRY, ENTRY_CTL_LOAD_PAT,		14, "Load IA32_PAT")			\
	X(ENTRY, ENTRY_CTL_LOAD_EFER,		15, "Load IA32_EFER")			\
	X(ENTRY, ENTRY_CTL_LOAD_BNDCFGS,	16, "Load IA32_BNDCFGS")		\
	X(ENTRY, ENTRY_CTL_CONCEAL_FROM_PT,	17, "Conceal VMX from PT")		\
	X(ENTRY, ENTRY_CTL_LOAD_RTIT,		18, "Load IA32_RTIT_CTL")		\
	X(ENTRY, ENTRY_CTL_LOAD_UINV,		19, "Load UINV")			\
	X(ENTRY, ENTRY_CTL_LOAD_CET,		20, "Load CET state")			\
	X(ENTRY, ENTRY_CTL_LOAD_LBR,		21, "Load guest IA32_LBR_CTL")		\
	X(ENTRY, ENTRY_CTL_LOAD_PKRS,		22, "Load PKRS")			\
	X(ENTRY, ENTRY_CTL_LOAD_FRED,		23, "Load IA32_FRED MSRs")

enum vmx_control_word {
	VMX_WORD_PIN,
	VMX_WORD_CPU,
	VMX_WORD_CPU2,
	VMX_WORD_CPU3,
	VMX_WORD_EXIT,
	VMX_WORD_EXIT2,
	VMX_WORD_ENTRY,
	NR_VMX_WORDS
};

/* The masks: PIN_NMI_EXITING, CPU2_ENABLE_EPT, ... */
enum {
#define VMX_CONTROL_MASK(word, name, bit, title) name = 1ull << (bit),
	VMX_CONTROLS(VMX_CONTROL_MASK)
#undef VMX_CONTROL_MASK
};

/*
 * A control as one small number, word and bit in one: VMX_CTL_CPU2_ENABLE_EPT.
 * The table of VMCS fields says by it what brings a field into being.
 */
enum vmx_control {
#define VMX_CONTROL_ID(word, name, bit, title) \
	VMX_CTL_##name = VMX_WORD_##word * 64 + (bit),
	VMX_CONTROLS(VMX_CONTROL_ID)
#undef VMX_CONTROL_ID
	VMX_CTL_ALWAYS = NR_VMX_WORDS * 64
};

#define VMX_CTL_WORD(ctl)	((ctl) / 64)
#define VMX_CTL_MASK(ctl)	(1ull << ((ctl) % 64))

/* Bits that the first processors had fixed to 1: "Algorithms for Determining
 * VMX Capabilities", the default1 class of each word.
 */
#define PIN_DEFAULT1		0x00000016u
#define CPU_DEFAULT1		0x0401e172u
#define EXIT_CTL_DEFAULT1	0x00036dffu
#define ENTRY_CTL_DEFAULT1	0x000011ffu

/*
 * -- Basic exit reasons --------------------------------------------------
 * SDM, appendix "VMX Basic Exit Reasons". X(number, name, string).
 */
#define VMX_EXIT_REASONS(X)					\
	X(0,  EXCEPTION_NMI,		"EXCEPTION_NMI")	\
	X(1,  EXTERNAL_INTERRUPT,	"EXTERNAL_INTERRUPT")	\
	X(2,  TRIPLE_FAULT,		"TRIPLE_FAULT")		\
	X(3,  INIT_SIGNAL,		"INIT_SIGNAL")		\
	X(4,  SIPI_SIGNAL,		"SIPI_SIGNAL")		\
	X(5,  IO_SMI,			"IO_SMI")		\
	X(6,  OTHER_SMI,		"OTHER_SMI")		\
	X(7,  INTERRUPT_WINDOW,		"INTERRUPT_WINDOW")	\
	X(8,  NMI_WINDOW,		"NMI_WINDOW")		\
	X(9,  TASK_SWITCH,		"TASK_SWITCH")		\
	X(10, CPUID,			"CPUID")		\
	X(11, GETSEC,			"GETSEC")		\
	X(12, HLT,			"HLT")			\
	X(13, INVD,			"INVD")			\
	X(14, INVLPG,			"INVLPG")		\
	X(15, RDPMC,			"RDPMC")		\
	X(16, RDTSC,			"RDTSC")		\
	X(17, RSM,			"RSM")			\
	X(18, VMCALL,			"VMCALL")		\
	X(19, VMCLEAR,			"VMCLEAR")		\
	X(20, VMLAUNCH,			"VMLAUNCH")		\
	X(21, VMPTRLD,			"VMPTRLD")		\
	X(22, VMPTRST,			"VMPTRST")		\
	X(23, VMREAD,			"VMREAD")		\
	X(24, VMRESUME,			"VMRESUME")		\
	X(25, VMWRITE,			"VMWRITE")		\
	X(26, VMXOFF,			"VMXOFF")		\
	X(27, VMXON,			"VMXON")		\
	X(28, CR_ACCESS,		"CR_ACCESS")		\
	X(29, DR_ACCESS,		"DR_ACCESS")		\
	X(30, IO_INSTRUCTION,		"IO_INSTRUCTION")	\
	X(31, MSR_READ,			"MSR_READ")		\
	X(32, MSR_WRITE,		"MSR_WRITE")		\
	X(33, INVALID_STATE,		"INVALID_STATE")	\
	X(34, MSR_LOAD_FAIL,		"MSR_LOAD_FAIL")	\
	X(36, MWAIT_INSTRUCTION,	"MWAIT_INSTRUCTION")	\
	X(37, MONITOR_TRAP_FLAG,	"MONITOR_TRAP_FLAG")	\
	X(39, MONITOR_INSTRUCTION,	"MONITOR_INSTRUCTION")	\
	X(40, PAUSE_INSTRUCTION,	"PAUSE_INSTRUCTION")	\
	X(41, MCE_DURING_VMENTRY,	"MCE_DURING_VMENTRY")	\
	X(43, TPR_BELOW_THRESHOLD,	"TPR_BELOW_THRESHOLD")	\
	X(44, APIC_ACCESS,		"APIC_ACCESS")		\
	X(45, EOI_INDUCED,		"EOI_INDUCED")		\
	X(46, GDTR_IDTR,		"GDTR_IDTR")		\
	X(47, LDTR_TR,			"LDTR_TR")		\
	X(48, EPT_VIOLATION,		"EPT_VIOLATION")	\
	X(49, EPT_MISCONFIG,		"EPT_MISCONFIG")	\
	X(50, INVEPT,			"INVEPT")		\
	X(51, RDTSCP,			"RDTSCP")		\
	X(52, PREEMPTION_TIMER,		"PREEMPTION_TIMER")	\
	X(53, INVVPID,			"INVVPID")		\
	X(54, WBINVD,			"WBINVD")		\
	X(55, XSETBV,			"XSETBV")		\
	X(56, APIC_WRITE,		"APIC_WRITE")		\
	X(57, RDRAND,			"RDRAND")		\
	X(58, INVPCID,			"INVPCID")		\
	X(59, VMFUNC,			"VMFUNC")		\
	X(60, ENCLS,			"ENCLS")		\
	X(61, RDSEED,			"RDSEED")		\
	X(62, PML_FULL,			"PML_FULL")		\
	X(63, XSAVES,			"XSAVES")		\
	X(64, XRSTORS,			"XRSTORS")		\
	X(65, PCONFIG,			"PCONFIG")		\
	X(66, SPP_EVENT,		"SPP_EVENT")		\
	X(67, UMWAIT,			"UMWAIT")		\
	X(68, TPAUSE,			"TPAUSE")		\
	X(69, LOADIWKEY,		"LOADIWKEY")		\
	X(70, ENCLV,			"ENCLV")		\
	X(72, ENQCMD_PASID,		"ENQCMD_PASID")		\
	X(73, ENQCMDS_PASID,		"ENQCMDS_PASID")	\
	X(74, BUS_LOCK,			"BUS_LOCK")		\
	X(75, NOTIFY,			"NOTIFY")		\
	X(76, SEAMCALL,			"SEAMCALL")		\
	X(77, TDCALL,			"TDCALL")		\
	X(78, RDMSRLIST,		"RDMSRLIST")		\
	X(79, WRMSRLIST,		"WRMSRLIST")		\
	X(80, URDMSR,			"URDMSR")		\
	X(81, UWRMSR,			"UWRMSR")		\
	X(84, MSR_READ_IMM,		"MSR_READ_IMM")		\
	X(85, MSR_WRITE_IMM,		"MSR_WRITE_IMM")

enum vmx_exit_reason {
#define VMX_EXIT_REASON_ENUM(number, name, string) EXIT_REASON_##name = number,
	VMX_EXIT_REASONS(VMX_EXIT_REASON_ENUM)
#undef VMX_EXIT_REASON_ENUM
	NR_EXIT_REASONS		/* one past the highest */
};

/* VM_EXIT_REASON beside the basic reason: "Basic VM-Exit Information". */
#define EXIT_REASON_BASIC		0x0000ffffu
#define EXIT_REASON_BUSY_SHADOW_STACK	(1u << 25)
#define EXIT_REASON_WITH_BUS_LOCK	(1u << 26)
#define EXIT_REASON_IN_ENCLAVE		(1u << 27)
#define EXIT_REASON_PENDING_MTF		(1u << 28)
#define EXIT_REASON_FROM_ROOT		(1u << 29)
#define EXIT_REASON_ENTRY_FAILED	(1u << 31)

/*
 * -- VM-instruction errors -----------------------------------------------
 * SDM, "VM Instruction Error Numbers". X(number, string); the string is short
 * for a log line, the SDM says more.
 */
#define VMX_INSN_ERRORS(X)							\
	X(1,  "VMCALL in VMX root operation")					\
	X(2,  "VMCLEAR with invalid physical address")				\
	X(3,  "VMCLEAR with VMXON pointer")					\
	X(4,  "VMLAUNCH with non-clear VMCS")					\
	X(5,  "VMRESUME with non-launched VMCS")				\
	X(6,  "VMRESUME after VMXOFF")						\
	X(7,  "VM entry with invalid control field(s)")				\
	X(8,  "VM entry with invalid host-state field(s)")			\
	X(9,  "VMPTRLD with invalid physical address")				\
	X(10, "VMPTRLD with VMXON pointer")					\
	X(11, "VMPTRLD with incorrect VMCS revision identifier")		\
	X(12, "VMREAD/VMWRITE of unsupported VMCS component")			\
	X(13, "VMWRITE to read-only VMCS component")				\
	X(15, "VMXON in VMX root operation")					\
	X(16, "VM entry with invalid executive-VMCS pointer")			\
	X(17, "VM entry with non-launched executive VMCS")			\
	X(18, "VM entry with executive-VMCS pointer not VMXON pointer")		\
	X(19, "VMCALL with non-clear VMCS")					\
	X(20, "VMCALL with invalid VM-exit control fields")			\
	X(22, "VMCALL with incorrect MSEG revision identifier")			\
	X(23, "VMXOFF under dual-monitor treatment")				\
	X(24, "VMCALL with invalid SMM-monitor features")			\
	X(25, "VM entry with invalid controls in executive VMCS")		\
	X(26, "VM entry with events blocked by MOV SS")				\
	X(28, "invalid operand to INVEPT/INVVPID")

/* The numbers that code, ours or nested VMX, has to name. */
enum vmx_insn_error {
	VMXERR_VMCALL_IN_ROOT			= 1,
	VMXERR_VMCLEAR_BAD_ADDRESS		= 2,
	VMXERR_VMCLEAR_VMXON_POINTER		= 3,
	VMXERR_VMLAUNCH_NOT_CLEAR		= 4,
	VMXERR_VMRESUME_NOT_LAUNCHED		= 5,
	VMXERR_VMRESUME_AFTER_VMXOFF		= 6,
	VMXERR_ENTRY_BAD_CONTROL		= 7,
	VMXERR_ENTRY_BAD_HOST_STATE		= 8,
	VMXERR_VMPTRLD_BAD_ADDRESS		= 9,
	VMXERR_VMPTRLD_VMXON_POINTER		= 10,
	VMXERR_VMPTRLD_BAD_REVISION		= 11,
	VMXERR_UNSUPPORTED_COMPONENT		= 12,
	VMXERR_READ_ONLY_COMPONENT		= 13,
	VMXERR_VMXON_IN_ROOT			= 15,
	VMXERR_ENTRY_BAD_EXECUTIVE_VMCS		= 16,
	VMXERR_ENTRY_MOV_SS_BLOCKING		= 26,
	VMXERR_INVEPT_INVVPID_OPERAND		= 28,
};

/*
 * -- Capability MSRs -----------------------------------------------------
 * SDM, appendix "VMX Capability Reporting Facility". Numbers are those of
 * <asm/msr-index.h>, save what older ones lack.
 */
#ifndef MSR_IA32_VMX_PROCBASED_CTLS3
#define MSR_IA32_VMX_PROCBASED_CTLS3	0x00000492
#endif
#ifndef MSR_IA32_VMX_EXIT_CTLS2
#define MSR_IA32_VMX_EXIT_CTLS2		0x00000493
#endif

/* IA32_VMX_BASIC */
#define VMXCAP_BASIC_REVISION		0x7fffffffull
#define VMXCAP_BASIC_SIZE(basic)	(((basic) >> 32) & 0x1fff)
#define VMXCAP_BASIC_32BIT_ADDR		(1ull << 48)
#define VMXCAP_BASIC_DUAL_MONITOR	(1ull << 49)
#define VMXCAP_BASIC_MEMTYPE(basic)	(((basic) >> 50) & 0xf)
#define VMXCAP_BASIC_INS_OUTS_INFO	(1ull << 54)
#define VMXCAP_BASIC_TRUE_CTLS		(1ull << 55)
#define VMXCAP_BASIC_ANY_ERROR_CODE	(1ull << 56)
#define VMXCAP_BASIC_NESTED_EXCEPTION	(1ull << 58)

/* IA32_VMX_MISC */
#define VMXCAP_MISC_TIMER_SHIFT(misc)	((misc) & 0x1f)
#define VMXCAP_MISC_SAVES_LMA		(1ull << 5)
#define VMXCAP_MISC_ACTIVITY_HLT	(1ull << 6)
#define VMXCAP_MISC_ACTIVITY_SHUTDOWN	(1ull << 7)
#define VMXCAP_MISC_ACTIVITY_SIPI	(1ull << 8)
#define VMXCAP_MISC_INTEL_PT		(1ull << 14)
#define VMXCAP_MISC_RDMSR_SMBASE	(1ull << 15)
#define VMXCAP_MISC_CR3_TARGETS(misc)	(((misc) >> 16) & 0x1ff)
#define VMXCAP_MISC_MSR_LIST_MAX(misc)	(512 * ((((misc) >> 25) & 7) + 1))
#define VMXCAP_MISC_SMM_VMXOFF		(1ull << 28)
#define VMXCAP_MISC_VMWRITE_ANY		(1ull << 29)
#define VMXCAP_MISC_ZERO_INSN_LEN	(1ull << 30)

/* IA32_VMX_EPT_VPID_CAP */
#define EPTCAP_EXECUTE_ONLY		(1ull << 0)
#define EPTCAP_4_LEVELS			(1ull << 6)
#define EPTCAP_5_LEVELS			(1ull << 7)
#define EPTCAP_WALK_UC			(1ull << 8)
#define EPTCAP_WALK_WB			(1ull << 14)
#define EPTCAP_2M_PAGES			(1ull << 16)
#define EPTCAP_1G_PAGES			(1ull << 17)
#define EPTCAP_INVEPT			(1ull << 20)
#define EPTCAP_ACCESSED_DIRTY		(1ull << 21)
#define EPTCAP_ADVANCED_EXIT_INFO	(1ull << 22)
#define EPTCAP_SHADOW_STACK		(1ull << 23)
#define EPTCAP_INVEPT_SINGLE		(1ull << 25)
#define EPTCAP_INVEPT_ALL		(1ull << 26)
#define VPIDCAP_INVVPID			(1ull << 32)
#define VPIDCAP_INVVPID_ADDRESS		(1ull << 40)
#define VPIDCAP_INVVPID_SINGLE		(1ull << 41)
#define VPIDCAP_INVVPID_ALL		(1ull << 42)
#define VPIDCAP_INVVPID_KEEP_GLOBAL	(1ull << 43)

/* VM_FUNCTION_CTLS and IA32_VMX_VMFUNC; also the number of the function. */
#define VMFUNC_EPTP_SWITCHING		(1ull << 0)

/*
 * -- Event information ---------------------------------------------------
 * SDM, "VM-Entry Controls for Event Injection", "Information for VM Exits Due
 * to Vectored Events". One layout for VM_ENTRY_INTR_INFO, VM_EXIT_INTR_INFO
 * and IDT_VECTORING_INFO.
 */
#define INTR_VECTOR			0x000000ffu
#define INTR_TYPE			0x00000700u
#define INTR_TYPE_EXT_INTR		(0u << 8)
#define INTR_TYPE_NMI			(2u << 8)
#define INTR_TYPE_HARD_EXCEPTION	(3u << 8)
#define INTR_TYPE_SOFT_INTR		(4u << 8)	/* INT n */
#define INTR_TYPE_PRIV_EXCEPTION	(5u << 8)	/* INT1 */
#define INTR_TYPE_SOFT_EXCEPTION	(6u << 8)	/* INT3, INTO */
#define INTR_TYPE_OTHER			(7u << 8)	/* pending MTF */
#define INTR_ERROR_CODE			(1u << 11)	/* valid, or deliver */
#define INTR_NMI_UNBLOCKED		(1u << 12)	/* by IRET; exit only */
#define INTR_NESTED_EXCEPTION		(1u << 13)
#define INTR_VALID			(1u << 31)
#define INTR_ENTRY_RESERVED		0x7ffff000u

/*
 * -- Exit qualifications -------------------------------------------------
 * SDM, "Basic VM-Exit Information", the tables of exit qualifications.
 */

/* Debug exceptions; the same bits in GUEST_PENDING_DBG and DR6. */
#define QUAL_DB_B0_B3			0x0000000full
#define QUAL_DB_BUS_LOCK		(1ull << 11)
#define QUAL_DB_BD			(1ull << 13)
#define QUAL_DB_BS			(1ull << 14)
#define QUAL_DB_RTM			(1ull << 16)
#define PENDING_DBG_ENABLED		(1ull << 12)	/* GUEST_PENDING_DBG */

/* Task switch */
#define QUAL_TASK_SELECTOR(q)		((q) & 0xffff)
#define QUAL_TASK_SOURCE(q)		(((q) >> 30) & 3)
enum qual_task_source {
	TASK_SOURCE_CALL	= 0,
	TASK_SOURCE_IRET	= 1,
	TASK_SOURCE_JMP		= 2,
	TASK_SOURCE_GATE	= 3,
};

/* Control-register access */
#define QUAL_CR_NUMBER(q)		((q) & 0xf)
#define QUAL_CR_TYPE(q)			(((q) >> 4) & 3)
#define QUAL_CR_LMSW_MEMORY		(1ull << 6)
#define QUAL_CR_GPR(q)			(((q) >> 8) & 0xf)
#define QUAL_CR_LMSW_SOURCE(q)		(((q) >> 16) & 0xffff)
enum qual_cr_type {
	CR_TYPE_MOV_TO		= 0,
	CR_TYPE_MOV_FROM	= 1,
	CR_TYPE_CLTS		= 2,
	CR_TYPE_LMSW		= 3,
};

/* MOV DR */
#define QUAL_DR_NUMBER(q)		((q) & 7)
#define QUAL_DR_MOV_FROM		(1ull << 4)
#define QUAL_DR_GPR(q)			(((q) >> 8) & 0xf)

/* I/O instruction */
#define QUAL_IO_SIZE(q)			(((q) & 7) + 1)
#define QUAL_IO_IN			(1ull << 3)
#define QUAL_IO_STRING			(1ull << 4)
#define QUAL_IO_REP			(1ull << 5)
#define QUAL_IO_IMMEDIATE		(1ull << 6)
#define QUAL_IO_PORT(q)			(((q) >> 16) & 0xffff)

/* APIC access */
#define QUAL_APIC_OFFSET(q)		((q) & 0xfff)
#define QUAL_APIC_TYPE(q)		(((q) >> 12) & 0xf)
#define QUAL_APIC_ASYNC			(1ull << 16)
enum qual_apic_type {
	APIC_TYPE_READ		= 0,	/* linear, data read */
	APIC_TYPE_WRITE		= 1,	/* linear, data write */
	APIC_TYPE_FETCH		= 2,	/* linear, instruction fetch */
	APIC_TYPE_EVENT		= 3,	/* linear, event delivery */
	APIC_TYPE_GPA_EVENT	= 10,	/* guest-physical, event delivery */
	APIC_TYPE_GPA_INSN	= 15,	/* guest-physical, an instruction */
};

/* EPT violation */
#define QUAL_EPT_READ			(1ull << 0)
#define QUAL_EPT_WRITE			(1ull << 1)
#define QUAL_EPT_FETCH			(1ull << 2)
#define QUAL_EPT_ENTRY_R		(1ull << 3)
#define QUAL_EPT_ENTRY_W		(1ull << 4)
#define QUAL_EPT_ENTRY_X		(1ull << 5)
#define QUAL_EPT_ENTRY_UX		(1ull << 6)	/* mode-based execute */
#define QUAL_EPT_LINEAR_VALID		(1ull << 7)
#define QUAL_EPT_TRANSLATED		(1ull << 8)	/* not a table walk */
#define QUAL_EPT_LINEAR_USER		(1ull << 9)	/* advanced info: */
#define QUAL_EPT_LINEAR_WRITABLE	(1ull << 10)
#define QUAL_EPT_LINEAR_NX		(1ull << 11)
#define QUAL_EPT_NMI_UNBLOCKED		(1ull << 12)	/* by IRET */
#define QUAL_EPT_SHADOW_STACK		(1ull << 13)
#define QUAL_EPT_ENTRY_SSS		(1ull << 14)
#define QUAL_EPT_PAGING_VERIFY		(1ull << 15)
#define QUAL_EPT_ASYNC			(1ull << 16)

/* PML full, SPP event */
#define QUAL_NMI_UNBLOCKED		(1ull << 12)

/* EXIT_REASON_INVALID_STATE: "VM-Entry Failures During or After Loading Guest
 * State". MSR_LOAD_FAIL gives the number of the MSR entry, counted from 1.
 */
enum qual_invalid_state {
	INVALID_STATE_OTHER	= 0,
	INVALID_STATE_PDPTE	= 2,
	INVALID_STATE_NMI_STI	= 3,
	INVALID_STATE_LINK_PTR	= 4,
};

/*
 * VM_EXIT_INSN_INFO: "Information for VM Exits Due to Instruction Execution".
 * Which parts an instruction has differs; these positions do not.
 */
#define INSN_INFO_SCALE(i)		((i) & 3)
#define INSN_INFO_REG1(i)		(((i) >> 3) & 0xf)
#define INSN_INFO_ADDR_SIZE(i)		(((i) >> 7) & 7)	/* 16 << n */
#define INSN_INFO_IS_REG		(1u << 10)
#define INSN_INFO_OPERAND_SIZE(i)	(((i) >> 11) & 3)
#define INSN_INFO_SEGMENT(i)		(((i) >> 15) & 7)
#define INSN_INFO_INDEX(i)		(((i) >> 18) & 0xf)
#define INSN_INFO_NO_INDEX		(1u << 22)
#define INSN_INFO_BASE(i)		(((i) >> 23) & 0xf)
#define INSN_INFO_NO_BASE		(1u << 27)
#define INSN_INFO_REG2(i)		(((i) >> 28) & 0xf)

/*
 * -- Guest non-register state --------------------------------------------
 * SDM, "Guest Non-Register State".
 */
enum vmx_activity {
	ACTIVITY_ACTIVE		= 0,
	ACTIVITY_HLT		= 1,
	ACTIVITY_SHUTDOWN	= 2,
	ACTIVITY_WAIT_SIPI	= 3,
};

#define INTERRUPTIBILITY_STI		(1u << 0)
#define INTERRUPTIBILITY_MOV_SS		(1u << 1)
#define INTERRUPTIBILITY_SMI		(1u << 2)
#define INTERRUPTIBILITY_NMI		(1u << 3)
#define INTERRUPTIBILITY_ENCLAVE	(1u << 4)
#define INTERRUPTIBILITY_RESERVED	0xffffffe0u

/* Segment access rights: "Guest Register State", format of access rights. */
#define SEG_AR_TYPE			0x0000000fu
#define SEG_AR_TYPE_ACCESSED		(1u << 0)	/* code and data */
#define SEG_AR_TYPE_WRITABLE		(1u << 1)	/* data */
#define SEG_AR_TYPE_READABLE		(1u << 1)	/* code */
#define SEG_AR_TYPE_EXPAND_DOWN		(1u << 2)	/* data */
#define SEG_AR_TYPE_CONFORMING		(1u << 2)	/* code */
#define SEG_AR_TYPE_CODE		(1u << 3)
#define SEG_AR_TYPE_LDT			2u		/* system */
#define SEG_AR_TYPE_BUSY_TSS16		3u		/* system */
#define SEG_AR_TYPE_BUSY_TSS		11u		/* system */
#define SEG_AR_S			(1u << 4)	/* code or data */
#define SEG_AR_DPL_SHIFT		5
#define SEG_AR_DPL(ar)			(((ar) >> SEG_AR_DPL_SHIFT) & 3)
#define SEG_AR_P			(1u << 7)
#define SEG_AR_AVL			(1u << 12)
#define SEG_AR_L			(1u << 13)
#define SEG_AR_DB			(1u << 14)
#define SEG_AR_G			(1u << 15)
#define SEG_AR_UNUSABLE			(1u << 16)
#define SEG_AR_RESERVED			0xfffe0f00u

/*
 * -- EPT -----------------------------------------------------------------
 * SDM, "The Extended Page Table Mechanism (EPT)".
 */
#define EPTE_READ			(1ull << 0)
#define EPTE_WRITE			(1ull << 1)
#define EPTE_EXEC			(1ull << 2)	/* or supervisor only */
#define EPTE_RWX			(EPTE_READ | EPTE_WRITE | EPTE_EXEC)
#define EPTE_MEMTYPE_SHIFT		3		/* leaf: PAT encoding */
#define EPTE_MEMTYPE			(7ull << EPTE_MEMTYPE_SHIFT)
#define EPTE_IGNORE_PAT			(1ull << 6)
#define EPTE_LARGE			(1ull << 7)
#define EPTE_ACCESSED			(1ull << 8)
#define EPTE_DIRTY			(1ull << 9)
#define EPTE_USER_EXEC			(1ull << 10)	/* mode-based execute */
#define EPTE_ADDRESS			0x000ffffffffff000ull
#define EPTE_PAGING_VERIFY		(1ull << 57)
#define EPTE_PAGING_WRITE		(1ull << 58)
#define EPTE_SHADOW_STACK		(1ull << 60)
#define EPTE_SUB_PAGE_WRITE		(1ull << 61)
#define EPTE_SUPPRESS_VE		(1ull << 63)

/* EPT_POINTER */
#define EPTP_MEMTYPE			0x7ull
#define EPTP_LEVELS_SHIFT		3		/* levels minus one */
#define EPTP_LEVELS			(7ull << EPTP_LEVELS_SHIFT)
#define EPTP_ACCESSED_DIRTY		(1ull << 6)
#define EPTP_SHADOW_STACK		(1ull << 7)
#define EPTP_ADDRESS			0x000ffffffffff000ull

/* Memory types: IA32_MTRR*, IA32_PAT, EPT and IA32_VMX_BASIC agree on them. */
enum x86_memtype {
	MEMTYPE_UC		= 0,
	MEMTYPE_WC		= 1,
	MEMTYPE_WT		= 4,
	MEMTYPE_WP		= 5,
	MEMTYPE_WB		= 6,
	MEMTYPE_UC_MINUS	= 7,	/* IA32_PAT only */
};

/* INVEPT, INVVPID: types of invalidation. */
enum invept_type {
	INVEPT_SINGLE		= 1,
	INVEPT_ALL		= 2,
};

enum invvpid_type {
	INVVPID_ADDRESS		= 0,
	INVVPID_SINGLE		= 1,
	INVVPID_ALL		= 2,
	INVVPID_KEEP_GLOBAL	= 3,
};

/*
 * -- Structures in memory ------------------------------------------------
 */

/* "Format of the VMCS Region", first word */
#define VMCS_SHADOW_INDICATOR		(1u << 31)

/* "Page-Modification Logging": entries of the log, filled from the last. */
#define PML_ENTRIES			512

/* "VM-Exit Controls for MSRs": one entry, 16-byte aligned list of them. */
struct vmx_msr_entry {
	unsigned int		index;
	unsigned int		reserved;
	unsigned long long	value;
} __attribute__((aligned(16)));

/* "VMX Aborts": the indicator, second word of the VMCS region. */
enum vmx_abort {
	VMX_ABORT_SAVE_GUEST_MSR	= 1,
	VMX_ABORT_HOST_PDPTE		= 2,
	VMX_ABORT_VMCS_CORRUPT		= 3,
	VMX_ABORT_LOAD_HOST_MSR		= 4,
	VMX_ABORT_MACHINE_CHECK		= 5,
	VMX_ABORT_HOST_NOT_LONG_MODE	= 6,
};

#endif /* KVM_VMX_H */
