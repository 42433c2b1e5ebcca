/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMs whose interrupt controllers are in the kernel, and vCPUs that do what
 * the host tells them, one function at a time.
 *
 * A vCPU made by remote_vcpu() runs a server in 64-bit mode, interrupts off.
 * remote() has it call a function of this program with two arguments, in the
 * guest, and gives its result: a test of several vCPUs can be written down as
 * a sequence in the host, without threads and without waiting. With
 * remote_start() and remote_wait() vCPUs run at the same time.
 *
 * Interrupts and NMIs go into the vCPU's own log. Unlike `trap` in guest.h,
 * nothing of this is shared between the vCPUs of a VM.
 */
#ifndef TESTS_IRQCHIP_H
#define TESTS_IRQCHIP_H

#include <pthread.h>

#include "guest.h"

/* SDM, "Local APIC Register Address Map" */
enum {
	APIC_ID		= 0x020,
	APIC_VERSION	= 0x030,
	APIC_TPR	= 0x080,
	APIC_PPR	= 0x0a0,
	APIC_EOI	= 0x0b0,
	APIC_LDR	= 0x0d0,
	APIC_DFR	= 0x0e0,
	APIC_SVR	= 0x0f0,
	APIC_ISR	= 0x100,
	APIC_TMR	= 0x180,
	APIC_IRR	= 0x200,
	APIC_ESR	= 0x280,
	APIC_ICR	= 0x300,
	APIC_ICR2	= 0x310,
	APIC_LVT_TIMER	= 0x320,
	APIC_LVT_THERMAL = 0x330,
	APIC_LVT_PERF	= 0x340,
	APIC_LVT_LINT0	= 0x350,
	APIC_LVT_LINT1	= 0x360,
	APIC_LVT_ERROR	= 0x370,
	APIC_TMICT	= 0x380,
	APIC_TMCCT	= 0x390,
	APIC_TDCR	= 0x3e0,
	APIC_SELF_IPI	= 0x3f0,
};

/* SDM, "Interrupt Command Register (ICR)", and the LVT where it agrees. */
enum {
	ICR_LOWEST	= 1 << 8,
	ICR_SMI		= 2 << 8,
	ICR_NMI		= 4 << 8,
	ICR_INIT	= 5 << 8,
	ICR_SIPI	= 6 << 8,
	ICR_EXTINT	= 7 << 8,
	ICR_LOGICAL	= 1 << 11,
	ICR_BUSY	= 1 << 12,
	ICR_ASSERT	= 1 << 14,
	ICR_LEVEL	= 1 << 15,
	ICR_SELF	= 1 << 18,
	ICR_ALL		= 2 << 18,
	ICR_OTHERS	= 3 << 18,
	LVT_MASKED	= 1 << 16,
	LVT_PERIODIC	= 1 << 17,
	LVT_DEADLINE	= 2 << 17,
	SVR_ENABLED	= 1 << 8,
	TDCR_BY_1	= 0xb,
};

#define APIC_DEFAULT_BASE	0xfee00000u
#define APIC_BASE_BSP		BIT(8)
#define APIC_BASE_X2APIC	BIT(10)
#define APIC_BASE_ENABLED	BIT(11)
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_APIC_BASE		0x1b
#define X2APIC_MSR(reg)		(0x800 + ((reg) >> 4))
#define VEC_SPURIOUS		0xff
#define ANY_ID			0xffffffffu	/* broadcast in x2APIC mode */

#define MAX_CPU_ID	24		/* APIC IDs from 0 up to here, less one */

struct percpu {				/* found through GS */
	struct percpu *self;
	u32 id;
	volatile u32 taken;		/* interrupts since log_clear() */
	volatile u8 log[256];		/* their vectors, NMIs too */
	volatile u32 count[256];
	bool no_eoi;			/* leave them in service */
	void (*hook)(struct trap_frame *f);	/* after the log, before EOI */
	u64 (*fn)(u64 a, u64 b);	/* what to do next */
	u64 a, b, result;
	u32 vector;			/* of a function that wants to say so */
	u8 tss[104] __attribute__((aligned(16)));
	u8 ist[4096] __attribute__((aligned(16)));
};
extern struct percpu percpu[MAX_CPU_ID];

/* A test of both modes of the APIC. */
#define BOTH_MODES(name)						\
	static void name(bool x2);					\
	TEST(name##_xapic)						\
	{								\
		name(false);						\
	}								\
	TEST(name##_x2apic)						\
	{								\
		name(true);						\
	}								\
	static void name(bool x2)

/* Host: VMs and vCPUs. */
struct vm *vm_irqchip(void);
struct vm *vm_split(u32 pins);
/* Set: vCPUs are of a model without x2APIC. */
extern bool without_x2apic;
struct vcpu *vcpu_apic(struct vm *vm, int id);
struct vcpu *remote_vcpu(struct vm *vm, int id);
void remote_prepare(struct vcpu *v, void (*entry)(void));
/* n vCPUs, IDs from 0, APICs enabled in that mode. */
struct vm *remote_vm(bool x2apic, int n);
#define PERCPU(v)	(G((v)->vm, percpu)[(v)->id])
void need_x2apic(void);

/*
 * Host: have a vCPU do something. remote_order() leaves the running to the
 * caller, who may see other exits.
 */
typedef u64 (*remote_fn)(u64 a, u64 b);
u64 remote(struct vcpu *v, remote_fn fn, u64 a, u64 b);
void remote_order(struct vcpu *v, remote_fn fn, u64 a, u64 b);
pthread_t remote_start(struct vcpu *v, remote_fn fn, u64 a, u64 b);
u64 remote_wait(struct vcpu *v, pthread_t thread);
u32 remote_rdmsr(struct vcpu *v, u32 index, u64 *value);
u32 remote_wrmsr(struct vcpu *v, u32 index, u64 value);
u32 remote_apic_read(struct vcpu *v, u32 reg);
void remote_apic_write(struct vcpu *v, u32 reg, u32 value);
void remote_icr(struct vcpu *v, u32 dest, u32 low);
u8 remote_in(struct vcpu *v, u16 port);
void remote_out(struct vcpu *v, u16 port, u8 value);
u32 remote_read(struct vcpu *v, u64 address);		/* 32 bits */
void remote_write(struct vcpu *v, u64 address, u32 value);
u32 remote_window(struct vcpu *v);	/* interrupts taken in it */
void log_clear(struct vcpu *v);

/* Host: state and lines of the controllers. */
void get_lapic(struct vcpu *v, struct kvm_lapic_state *s);
void set_lapic(struct vcpu *v, const struct kvm_lapic_state *s);
u32 lapic_reg(struct vcpu *v, u32 reg);
#define LAPIC_REG(state, reg)	(*(u32 *)&(state)->regs[reg])
bool lapic_bit(struct vcpu *v, u32 bank, u32 vector);
u32 get_mp_state(struct vcpu *v);
void set_mp_state(struct vcpu *v, u32 state);
void get_chip(struct vm *vm, u32 id, struct kvm_irqchip *chip);
void set_chip(struct vm *vm, struct kvm_irqchip *chip);
void irq_line(struct vm *vm, u32 gsi, u32 level);
int irq_line_status(struct vm *vm, u32 gsi, u32 level);
int signal_msi(struct vm *vm, u32 address, u32 data);

/* Host: a GSI routing table, entry by entry. */
#define MAX_ROUTES	64
struct routes {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry entries[MAX_ROUTES];
};
void route_chip(struct routes *r, u32 gsi, u32 chip, u32 pin);
void route_msi(struct routes *r, u32 gsi, u32 address, u32 data);
void route_default(struct routes *r);
int routes_set(struct vm *vm, struct routes *r);

/* Guest: this vCPU's APIC, in the mode it is in. */
extern bool guest_x2apic;
extern u64 guest_apic_base;
u32 apic_read(u32 reg);
void apic_write(u32 reg, u32 value);
void apic_icr(u32 dest, u32 low);
void apic_eoi(void);
void apic_start(bool x2apic);
void remote_server(void);	/* what they run; GS base set, IF clear */

/* Guest: until something is so; 10 s of the guest's time at most. */
#define WAIT_TSC	2000000000ull
#define G_WAIT(cond) do {						\
	u64 __begin = rdtsc();						\
									\
	while (!(cond)) {						\
		asm volatile("pause" : : : "memory");			\
		if (rdtsc() - __begin > WAIT_TSC)			\
			guest_fail(__FILE__, __LINE__, "in time: " #cond, \
				   0, 1);				\
	}								\
} while (0)

#ifdef __x86_64__
static inline struct percpu *this_cpu(void)
{
	struct percpu *p;

	asm volatile("movq %%gs:0, %0" : "=r"(p));
	return p;
}
#endif

#endif
