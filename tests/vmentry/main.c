// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmentry.ko - the rules of vmx_checks.h against the processor: enters the
 * images of cases.c, and random ones, and compares what becomes of it with
 * what vmx_check() says. Does all of that while it is loaded, prints a line
 * for each rule to the kernel's log, and is not there afterwards (-EAGAIN).
 *
 * VMX operation is kvm.ko's, which must be loaded and have no VM: then no VMCS
 * is current, and this module may have one of its own with interrupts off.
 *
 * Parameters: rounds (of random images), seed.
 */
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/io.h>
#include <asm/msr.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>

#include "cases.h"
#include "vmx_cap_msrs.h"

static uint rounds = 1000;
module_param(rounds, uint, 0);
static ulong seed = 1;
module_param(seed, ulong, 0);

int vmentry_launch(void);
extern const char vmentry_exit[];

static struct vmx_caps caps;
static struct arena arena;
static struct test_image *image;

/* ---- the instructions --------------------------------------------------- */

static bool vmx_vmclear(u64 region)
{
	bool failed;

	asm volatile("vmclear %1" : "=@ccbe" (failed) : "m" (region) :
		     "memory");
	return !failed;
}

static bool vmx_vmptrld(u64 region)
{
	bool failed;

	asm volatile("vmptrld %1" : "=@ccbe" (failed) : "m" (region) :
		     "memory");
	return !failed;
}

static void vmx_vmwrite(u64 field, u64 value)
{
	asm volatile("vmwrite %1, %0" : : "r" (field), "r" (value) : "cc");
}

static u64 vmx_vmread(u64 field)
{
	u64 value = 0;

	asm volatile("vmread %1, %0" : "+r" (value) : "r" (field) : "cc");
	return value;
}

/* ---- the host ----------------------------------------------------------- */

static u64 rdmsr64(u32 msr)
{
	u32 lo, hi;

	rdmsr(msr, lo, hi);
	return (u64)hi << 32 | lo;
}

static void put(u32 field, u64 value)
{
	*image_field(image, field) = value;
}

/* What the processor is to come back to: itself as it is. */
static void host_fields(void)
{
	struct cpu_entry_area *cpu = get_cpu_entry_area(raw_smp_processor_id());
	struct desc_ptr gdt, idt;

	native_store_gdt(&gdt);
	store_idt(&idt);
	put(HOST_CR0, read_cr0());
	put(HOST_CR3, __read_cr3());
	put(HOST_CR4, __read_cr4());
	put(HOST_CS_SELECTOR, __KERNEL_CS);
	put(HOST_SS_SELECTOR, __KERNEL_DS);
	put(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	put(HOST_FS_BASE, rdmsr64(MSR_FS_BASE));
	put(HOST_GS_BASE, rdmsr64(MSR_GS_BASE));
	put(HOST_TR_BASE, (u64)&cpu->tss.x86_tss);
	put(HOST_GDTR_BASE, gdt.address);
	put(HOST_IDTR_BASE, idt.address);
	put(HOST_SYSENTER_CS, rdmsr64(MSR_IA32_SYSENTER_CS));
	put(HOST_SYSENTER_ESP, rdmsr64(MSR_IA32_SYSENTER_ESP));
	put(HOST_SYSENTER_EIP, rdmsr64(MSR_IA32_SYSENTER_EIP));
	put(HOST_PAT, rdmsr64(MSR_IA32_CR_PAT));
	put(HOST_EFER, rdmsr64(MSR_EFER));
	put(HOST_RIP, (u64)vmentry_exit);
}

/* What an exit does not put back: limits, LDTR, data segments, DR7. */
struct host {
	struct desc_ptr gdt, idt;
	u16 ldt, ds, es;
	unsigned long dr7;
};

static void host_save(struct host *host)
{
	native_store_gdt(&host->gdt);
	store_idt(&host->idt);
	store_ldt(host->ldt);
	savesegment(ds, host->ds);
	savesegment(es, host->es);
	get_debugreg(host->dr7, 7);
}

static void host_restore(const struct host *host)
{
	native_load_gdt(&host->gdt);
	native_load_idt(&host->idt);
	asm volatile("lldt %0" : : "r" (host->ldt));
	loadsegment(ds, host->ds);
	loadsegment(es, host->es);
	set_debugreg(host->dr7, 7);
	invalidate_tss_limit();
}

/* ---- one entry ---------------------------------------------------------- */

struct outcome {
	u32 stage;		/* enum vmx_stage; 0: accepted */
	u32 error, reason;
	u64 qualification;
};

static void read_outcome(int launched, struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	if (launched) {
		o->error = launched == 1 ? vmx_vmread(VM_INSTRUCTION_ERROR) :
					   ~0u;
	} else {
		o->reason = vmx_vmread(VM_EXIT_REASON);
		o->qualification = vmx_vmread(EXIT_QUALIFICATION);
	}
	if (o->error || (o->reason & EXIT_REASON_ENTRY_FAILED))
		o->stage = vmx_stage_of_failure(o->error, o->reason) ?: ~0u;
}

static void write_image(void)
{
	u32 i;

	for (i = 0; i < NR_VMCS_FIELDS; i++)
		if (vmcs_field_table[i].group != VMCS_GROUP_INFO &&
		    image_has_field(image, i))
			vmx_vmwrite(vmcs_field_table[i].encoding,
				    image->value[i]);
}

/*
 * An exit that acknowledges an interrupt would take it from the host: keep
 * them all away then.
 */
#define CR8_NOTHING	15ul

static void enter(struct outcome *o)
{
	const bool acknowledges = *image_field(image, VM_EXIT_CTLS) &
				  EXIT_CTL_ACK_INTR;
	const u64 region = arena.phys[PAGE_SELF];
	unsigned long flags, cr8;
	struct host host;
	int launched = 3;

	local_irq_save(flags);
	host_save(&host);
	asm volatile("mov %%cr8, %0" : "=r" (cr8));
	if (acknowledges)
		asm volatile("mov %0, %%cr8" : : "r" (CR8_NOTHING));
	if (vmx_vmclear(region) && vmx_vmptrld(region)) {
		write_image();
		launched = vmentry_launch();
		read_outcome(launched, o);
		vmx_vmclear(region);
	}
	if (!launched)
		host_restore(&host);
	asm volatile("mov %0, %%cr8" : : "r" (cr8));
	local_irq_restore(flags);
}

/* Entered, it would wait for what never comes. */
static bool would_not_return(void)
{
	const u64 state = *image_field(image, GUEST_ACTIVITY_STATE);

	return state >= ACTIVITY_SHUTDOWN ||
	       (state == ACTIVITY_HLT &&
		!(*image_field(image, PIN_BASED_CTLS) & PIN_PREEMPTION_TIMER));
}

/*
 * Bochs accepts an event of type 7 on a processor that knows none, and then
 * gives up.
 */
static bool ends_the_emulator(void)
{
	const u64 event = *image_field(image, VM_ENTRY_INTR_INFO);
	const u64 other = INTR_VALID | INTR_TYPE_OTHER;

	return (event & (INTR_VALID | INTR_TYPE)) == other &&
	       !(caps.ctl[VMX_WORD_CPU].one & CPU_MONITOR_TRAP_FLAG);
}

static void new_image(void)
{
	arena_init(&arena, caps.basic & VMXCAP_BASIC_REVISION);
	image_init(image, &arena, &caps, true);
	host_fields();
}

/* ---- where the emulated processor departs from the SDM ------------------ */

static u64 get(u32 field)
{
	return *image_field(image, field);
}

static bool always(const struct vmx_broken *broken)
{
	return true;
}

static bool ss_in_64bit_mode(const struct vmx_broken *broken)
{
	return (broken->field == GUEST_SS_AR ||
		broken->field == GUEST_SS_BASE) &&
	       !(get(GUEST_SS_SELECTOR) & 3) &&
	       (get(VM_ENTRY_CTLS) & ENTRY_CTL_GUEST_LONG_MODE) &&
	       (get(GUEST_CS_AR) & SEG_AR_L);
}

static bool without_dual_monitor(const struct vmx_broken *broken)
{
	return !(broken->value & ENTRY_CTL_NO_DUAL_MONITOR);
}

static bool outside_long_mode(const struct vmx_broken *broken)
{
	return !(get(VM_ENTRY_CTLS) & ENTRY_CTL_GUEST_LONG_MODE);
}

static bool in_hlt(const struct vmx_broken *broken)
{
	return get(GUEST_ACTIVITY_STATE) == ACTIVITY_HLT;
}

static bool above_4g(const struct vmx_broken *broken)
{
	return !(u32)(broken->value & ~(QUAL_DB_B0_B3 | PENDING_DBG_ENABLED |
					QUAL_DB_BS | QUAL_DB_RTM));
}

/* Bochs 3.0 does not refuse these; Documentation/vmentry-checks.rst. */
static const struct {
	enum vmx_rule rule;
	bool (*when)(const struct vmx_broken *broken);
} departures[] = {
	{ VMX_RULE_entry_to_smm,		without_dual_monitor },
	{ VMX_RULE_host_perf_global,		always },
	{ VMX_RULE_guest_debugctl,		always },
	{ VMX_RULE_guest_long_mode_paging,	always },
	{ VMX_RULE_guest_perf_global,		always },
	{ VMX_RULE_data_base,			ss_in_64bit_mode },
	{ VMX_RULE_ss_type,			ss_in_64bit_mode },
	{ VMX_RULE_segment_s,			ss_in_64bit_mode },
	{ VMX_RULE_segment_present,		ss_in_64bit_mode },
	{ VMX_RULE_segment_reserved,		ss_in_64bit_mode },
	{ VMX_RULE_segment_granularity,		ss_in_64bit_mode },
	{ VMX_RULE_rip_canonical,		always },
	{ VMX_RULE_rflags_vm,			outside_long_mode },
	{ VMX_RULE_activity_event,		in_hlt },
	{ VMX_RULE_nmi_blocking,		always },
	{ VMX_RULE_pending_debug_reserved,	above_4g },
	{ VMX_RULE_pending_step_due,		always },
	{ VMX_RULE_pending_step_undue,		always },
	{ VMX_RULE_msr_smm,			always },
};

static bool departs(const struct vmx_broken *broken)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(departures); i++)
		if (departures[i].rule == broken->rule)
			return departures[i].when(broken);
	return false;
}

/* The other way round: what the SDM allows and Bochs does not. */
static bool needlessly_refused(const struct outcome *o)
{
	return o->stage == VMX_STAGE_CONTROL &&
	       (get(PIN_BASED_CTLS) & PIN_POSTED_INTR) &&
	       (get(POSTED_INTR_DESC_ADDR) & 0xfff);
}

/* ---- a case for each rule ----------------------------------------------- */

static u32 passed, failed, skipped;

#define SAY(rule, fmt, ...) \
	pr_info("vmentry: # %s: " fmt "\n", vmx_rule_name(rule), ##__VA_ARGS__)

static bool valid_side(const struct vmentry_case *vc)
{
	struct vmx_broken broken;
	struct outcome o;

	if (vmx_check(&image->image, VMX_STAGE_ALL, &broken, 1)) {
		SAY(vc->rule, "the valid image breaks %s",
		    vmx_rule_name(broken.rule));
		return false;
	}
	if (would_not_return())
		return true;
	enter(&o);
	if (!o.stage || needlessly_refused(&o))
		return true;
	SAY(vc->rule, "the valid image is refused: error %u, reason %#x, qualification %#llx",
	    o.error, o.reason, o.qualification);
	return false;
}

/* "Checks Related to Address-Space Size" may count as controls. */
static bool right_stage(enum vmx_rule rule, u32 stage)
{
	const u32 early = VMX_STAGE_CONTROL | VMX_STAGE_HOST;

	return stage == vmx_rule_stage(rule) ||
	       ((stage & early) && (vmx_rule_stage(rule) & early));
}

static bool broken_side(const struct vmentry_case *vc, bool *departed)
{
	struct vmx_broken broken = { };
	struct outcome o;
	u32 n;

	n = vmx_check(&image->image, 2 * vmx_rule_stage(vc->rule) - 1, &broken,
		      1);
	if (n != 1 || broken.rule != vc->rule) {
		SAY(vc->rule, "%u rules broken, the first %s", n,
		    vmx_rule_name(broken.rule));
		return false;
	}
	*departed = departs(&broken);
	if (*departed && would_not_return())
		return true;
	enter(&o);
	if (vmx_rule_optional(vc->rule))
		return true;
	if (right_stage(vc->rule, o.stage) != *departed)
		return true;
	if (*departed)
		SAY(vc->rule, "is refused now: no departure any more");
	else
		SAY(vc->rule, "field %#x = %#llx: error %u, reason %#x",
		    broken.field, broken.value, o.error, o.reason);
	return false;
}

struct tally {
	u32 tried, failed, departed;
};

static void try_case(const struct vmentry_case *vc, struct tally *tally)
{
	bool departed = false;

	new_image();
	if (!image_apply(image, vc->setup))
		return;
	if (!valid_side(vc)) {
		tally->failed++;
		return;
	}
	if (!image_apply(image, vc->breaks) || ends_the_emulator())
		return;
	if (!broken_side(vc, &departed))
		tally->failed++;
	tally->tried++;
	tally->departed += departed;
}

static void try_rule(enum vmx_rule rule)
{
	const char *name = vmx_rule_name(rule);
	struct tally tally = { };
	u32 i;

	for (i = 0; i < nr_vmentry_cases; i++)
		if (vmentry_cases[i].rule == rule)
			try_case(&vmentry_cases[i], &tally);
	if (tally.failed) {
		failed++;
		pr_info("vmentry: not ok %s: %u of its cases\n", name,
			tally.failed);
	} else if (tally.tried) {
		passed++;
		pr_info("vmentry: ok %s (%u refused, %u known not to be)\n",
			name, tally.tried - tally.departed, tally.departed);
	} else {
		skipped++;
		pr_info("vmentry: skip %s: the processor has not what it takes\n",
			name);
	}
}

/* ---- random images ------------------------------------------------------ */

static u64 rnd(void)
{
	static u64 state;

	if (!state)
		state = seed * 0x9e3779b97f4a7c15ull | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Not what would have the processor write, or the host come back, anywhere. */
static bool may_mutate(u32 index)
{
	switch (vmcs_field_table[index].encoding) {
	case VM_EXIT_MSR_STORE_COUNT:
	case VM_EXIT_MSR_STORE_ADDR:
	case VM_EXIT_MSR_LOAD_COUNT:
	case VM_EXIT_MSR_LOAD_ADDR:
	case VM_ENTRY_MSR_LOAD_COUNT:
	case PREEMPTION_TIMER_VALUE:
		return false;
	}
	return (vmcs_field_table[index].group == VMCS_GROUP_CONTROL ||
		vmcs_field_table[index].group == VMCS_GROUP_GUEST) &&
	       image_has_field(image, index);
}

static u64 random_address(void)
{
	static const u64 flaws[] = { 0, 0, 0, 1, 8, 64, 0x800, 1ull << 51 };

	return arena.phys[rnd() % NR_ARENA_PAGES] |
	       flaws[rnd() % ARRAY_SIZE(flaws)];
}

static u64 random_value(u64 old)
{
	static const u64 popular[] = {
		0, 1, 2, 3, 8, 0xff, 0xffff, 0x10000, ~0u, ~0ull,
		1ull << 31, 1ull << 32, 1ull << 47, ~0ull << 47, 1ull << 63,
	};

	switch (rnd() % 4) {
	case 0:
		return popular[rnd() % ARRAY_SIZE(popular)];
	case 1:
		return old ^ 1ull << rnd() % 64;
	case 2:
		return rnd() >> rnd() % 64;
	default:
		return old ^ 1ull << rnd() % 32;
	}
}

static u64 width_mask(u32 index)
{
	switch (vmcs_field_table[index].width) {
	case VMCS_WIDTH_16:
		return 0xffff;
	case VMCS_WIDTH_32:
		return 0xffffffff;
	}
	return ~0ull;
}

static void mutate(void)
{
	u32 index;
	u64 *value;

	do {
		index = rnd() % NR_VMCS_FIELDS;
	} while (!may_mutate(index));
	value = &image->value[index];
	switch (vmcs_field_table[index].encoding) {
	case EPT_POINTER:
		*value ^= 1ull << rnd() % 12;
		return;
	case GUEST_CR3:
		*value = random_address();
		return;
	}
	if (vmcs_field_table[index].format == VMCS_FMT_PHYS)
		*value = random_address();
	else if (vmcs_field_table[index].format == VMCS_FMT_CTL)
		*value ^= 1ull << rnd() % 32;
	else
		*value = random_value(*value) & width_mask(index);
}

static void force(u32 field, u32 word, u64 controls)
{
	*image_field(image, field) |= controls & caps.ctl[word].one;
}

/* Whatever is accepted comes back at once, and leaves the host's MSRs. */
static void make_safe(void)
{
	force(PIN_BASED_CTLS, VMX_WORD_PIN, PIN_EXT_INTR_EXITING |
	      PIN_NMI_EXITING | PIN_PREEMPTION_TIMER);
	force(PROC_BASED_CTLS, VMX_WORD_CPU, CPU_HLT_EXITING);
	force(VM_EXIT_CTLS, VMX_WORD_EXIT, EXIT_CTL_LOAD_PAT |
	      EXIT_CTL_LOAD_EFER);
	put(EXCEPTION_BITMAP, ~0u);
	put(PF_ERROR_CODE_MASK, 0);
	put(PF_ERROR_CODE_MATCH, 0);
	put(GUEST_IDTR_LIMIT, get(GUEST_IDTR_LIMIT) & ~0xffffull);
}

static void random_image(void)
{
	u32 n = 1 + rnd() % 3;

	do {
		new_image();
	} while (!image_apply(image,
			vmentry_cases[rnd() % nr_vmentry_cases].setup));
	while (n--)
		mutate();
	make_safe();
}

static bool all_depart(const struct vmx_broken *broken, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (!departs(&broken[i]) && !vmx_rule_optional(broken[i].rule))
			return false;
	return true;
}

/* The processor's judgement and ours, of one random image. */
static bool agree(u32 *accepted)
{
	static struct vmx_broken broken[NR_VMX_RULES];
	struct outcome o;
	u32 n;

	n = vmx_check(&image->image, VMX_STAGE_ALL, broken, NR_VMX_RULES);
	if (ends_the_emulator() ||
	    (would_not_return() && all_depart(broken, n)))
		return true;
	enter(&o);
	*accepted += !o.stage;
	if (!n && o.stage && !needlessly_refused(&o)) {
		pr_info("vmentry: # no rule is broken: error %u, reason %#x, qualification %#llx\n",
			o.error, o.reason, o.qualification);
		return false;
	}
	if (!o.stage && !all_depart(broken, n)) {
		SAY(broken[0].rule, "accepted with field %#x = %#llx",
		    broken[0].field, broken[0].value);
		return false;
	}
	return true;
}

static void try_random(void)
{
	u32 i, accepted = 0, disagreed = 0;

	for (i = 0; i < rounds && disagreed < 20; i++) {
		random_image();
		disagreed += !agree(&accepted);
		cond_resched();
	}
	if (disagreed)
		failed++;
	else
		passed++;
	pr_info("vmentry: %sok random_images (%u accepted, %u refused)%s\n",
		disagreed ? "not " : "", accepted, i - accepted,
		disagreed ? ": the rules and the processor disagree" : "");
}

static int __init vmentry_alloc(void)
{
	int i;

	image = kzalloc(sizeof(*image), GFP_KERNEL);
	if (!image)
		return -ENOMEM;
	for (i = 0; i < NR_ARENA_PAGES; i++) {
		/* CR3 of a 32-bit guest has 32 bits. */
		arena.page[i] = (u8 *)__get_free_page(GFP_KERNEL | GFP_DMA32);
		if (!arena.page[i])
			return -ENOMEM;
		arena.phys[i] = virt_to_phys(arena.page[i]);
	}
	return 0;
}

static void vmentry_free(void)
{
	int i;

	for (i = 0; i < NR_ARENA_PAGES; i++)
		free_page((unsigned long)arena.page[i]);
	kfree(image);
}

static int __init vmentry_init(void)
{
	int rule, r;

	if (!(__read_cr4() & X86_CR4_VMXE))
		return -EOPNOTSUPP;
	vmx_read_caps(&caps);
	r = vmentry_alloc();
	if (!r) {
		migrate_disable();
		for (rule = 0; rule < NR_VMX_RULES; rule++)
			try_rule(rule);
		try_random();
		migrate_enable();
		pr_info("vmentry: %u passed, %u failed, %u skipped\n", passed,
			failed, skipped);
	}
	vmentry_free();
	return r ?: -EAGAIN;
}

module_init(vmentry_init);
MODULE_DESCRIPTION("The checks on a VM entry, for tests");
MODULE_LICENSE("GPL");
