// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupt controllers in the kernel: irqchip.h says what is here. The first
 * half runs in the guest, so that the file is compiled without vector
 * registers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "irqchip.h"

struct percpu percpu[MAX_CPU_ID];
bool guest_x2apic;
u64 guest_apic_base = APIC_DEFAULT_BASE;
bool without_x2apic;

#ifdef __x86_64__

/* Guest */

u32 apic_read(u32 reg)
{
	if (guest_x2apic)
		return rdmsr(X2APIC_MSR(reg));
	return *(volatile u32 *)(guest_apic_base + reg);
}

void apic_write(u32 reg, u32 value)
{
	if (guest_x2apic)
		wrmsr(X2APIC_MSR(reg), value);
	else
		*(volatile u32 *)(guest_apic_base + reg) = value;
}

/* The destination is an ID or logical address, as wide as the mode has it. */
void apic_icr(u32 dest, u32 low)
{
	if (guest_x2apic) {
		wrmsr(X2APIC_MSR(APIC_ICR), (u64)dest << 32 | low);
		return;
	}
	apic_write(APIC_ICR2, dest << 24);
	apic_write(APIC_ICR, low);
	G_WAIT(!(apic_read(APIC_ICR) & ICR_BUSY));
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_start(bool x2apic)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
	guest_x2apic = x2apic;
	apic_write(APIC_SVR, SVR_ENABLED | VEC_SPURIOUS);
}

static void interrupt(struct trap_frame *f)
{
	struct percpu *p = this_cpu();

	p->log[p->taken % sizeof(p->log)] = f->vector;
	p->taken++;
	p->count[f->vector]++;
	if (p->hook)
		p->hook(f);
	if (f->vector != VEC_NMI && f->vector != VEC_SPURIOUS && !p->no_eoi)
		apic_eoi();
}

void remote_server(void)
{
	struct percpu *p = this_cpu();

	for (;;) {
		guest_sync(p->id);
		asm volatile("" : : : "memory");
		p->result = p->fn(p->a, p->b);
	}
}

static u64 g_rdmsr(u64 index, u64 unused)
{
	u64 value;

	(void)unused;
	this_cpu()->vector = try_rdmsr(index, &value);
	return value;
}

static u64 g_wrmsr(u64 index, u64 value)
{
	return try_wrmsr(index, value);
}

static u64 g_apic_read(u64 reg, u64 unused)
{
	(void)unused;
	return apic_read(reg);
}

static u64 g_apic_write(u64 reg, u64 value)
{
	apic_write(reg, value);
	return 0;
}

static u64 g_in(u64 port, u64 unused)
{
	(void)unused;
	return inb(port);
}

static u64 g_out(u64 port, u64 value)
{
	outb(port, value);
	return 0;
}

static u64 g_mmio_read(u64 address, u64 unused)
{
	(void)unused;
	return *(volatile u32 *)address;
}

static u64 g_mmio_write(u64 address, u64 value)
{
	*(volatile u32 *)address = value;
	return 0;
}

static u64 g_icr(u64 dest, u64 low)
{
	apic_icr(dest, low);
	return 0;
}

static u64 g_window(u64 a, u64 b)
{
	struct percpu *p = this_cpu();
	u32 before = p->taken;

	(void)a;
	(void)b;
	asm volatile("sti; nop; nop; cli" : : : "memory");
	return p->taken - before;
}

/* Host */

static void install_handlers(struct vm *vm)
{
	u32 i;

	G(vm, trap).handler[VEC_NMI] = interrupt;
	for (i = 32; i < 256; i++)
		G(vm, trap).handler[i] = interrupt;
}

struct vm *vm_irqchip(void)
{
	struct vm *vm;

	need_cap(KVM_CAP_IRQCHIP);
	vm = vm_new();
	WORKS(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
	install_handlers(vm);
	return vm;
}

struct vm *vm_split(u32 pins)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = pins,
	};
	struct vm *vm;

	need_cap(KVM_CAP_SPLIT_IRQCHIP);
	vm = vm_new();
	WORKS(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	install_handlers(vm);
	return vm;
}

/* As monitors set it: the APIC ID, and what KVM only has a capability for. */
static struct kvm_cpuid2 *apic_cpuid(int id)
{
	struct kvm_cpuid2 *c = cpuid_copy();
	u32 i;

	for (i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == 1) {
			e->ebx = (e->ebx & 0xffffff) | (u32)id << 24;
			if (has_cap(KVM_CAP_TSC_DEADLINE_TIMER))
				e->ecx |= BIT(24);
			if (without_x2apic)
				e->ecx &= ~(u32)BIT(21);
		} else if (e->function == 0xb) {
			e->edx = id;
		}
	}
	return c;
}

struct vcpu *vcpu_apic(struct vm *vm, int id)
{
	struct kvm_cpuid2 *cpuid = apic_cpuid(id);
	struct vcpu *v = vcpu_bare(vm, id);

	WORKS(ioctl(v->fd, KVM_SET_CPUID2, cpuid));
	free(cpuid);
	return v;
}

/* Its own data, TSS and stack for NMIs; ready to run at the entry. */
void remote_prepare(struct vcpu *v, void (*entry)(void))
{
	struct percpu *p = &percpu[v->id];
	struct kvm_sregs s;

	CHECK(v->id < MAX_CPU_ID);
	PERCPU(v).self = p;
	PERCPU(v).id = v->id;
	*(u16 *)(PERCPU(v).tss + 0x66) = sizeof(p->tss);
	*(u64 *)(PERCPU(v).tss + 0x24) = (unsigned long)(&p->ist + 1);
	vcpu_long(v, entry);
	get_sregs(v, &s);
	s.gs.base = (unsigned long)p;
	s.tr.base = (unsigned long)p->tss;
	set_sregs(v, &s);
	set_mp_state(v, KVM_MP_STATE_RUNNABLE);
}

static void until_idle(struct vcpu *v)
{
	vcpu_until(v, STOP_SYNC);
	EQ(v->value, v->id);
}

struct vcpu *remote_vcpu(struct vm *vm, int id)
{
	struct vcpu *v = vcpu_apic(vm, id);

	remote_prepare(v, remote_server);
	until_idle(v);
	return v;
}

void need_x2apic(void)
{
	if (!cpu_has(1, 2, 21))
		skip("waits for x2APIC in KVM_GET_SUPPORTED_CPUID");
}

static u64 g_start(u64 x2apic, u64 unused)
{
	(void)unused;
	apic_start(x2apic);
	return 0;
}

struct vm *remote_vm(bool x2apic, int n)
{
	struct vm *vm = vm_irqchip();
	int i;

	if (x2apic)
		need_x2apic();
	for (i = 0; i < n; i++)
		remote(remote_vcpu(vm, i), g_start, x2apic, 0);
	return vm;
}

void remote_order(struct vcpu *v, remote_fn fn, u64 a, u64 b)
{
	PERCPU(v).fn = fn;
	PERCPU(v).a = a;
	PERCPU(v).b = b;
}

u64 remote(struct vcpu *v, remote_fn fn, u64 a, u64 b)
{
	remote_order(v, fn, a, b);
	until_idle(v);
	return PERCPU(v).result;
}

static void *run_order(void *v)
{
	until_idle(v);
	return NULL;
}

pthread_t remote_start(struct vcpu *v, remote_fn fn, u64 a, u64 b)
{
	pthread_t thread;

	remote_order(v, fn, a, b);
	EQ(pthread_create(&thread, NULL, run_order, v), 0);
	return thread;
}

u64 remote_wait(struct vcpu *v, pthread_t thread)
{
	pthread_join(thread, NULL);
	return PERCPU(v).result;
}

/* Both give the vector of the exception, VEC_NONE if there was none. */
u32 remote_rdmsr(struct vcpu *v, u32 index, u64 *value)
{
	*value = remote(v, g_rdmsr, index, 0);
	return PERCPU(v).vector;
}

u32 remote_wrmsr(struct vcpu *v, u32 index, u64 value)
{
	return remote(v, g_wrmsr, index, value);
}

u32 remote_apic_read(struct vcpu *v, u32 reg)
{
	return remote(v, g_apic_read, reg, 0);
}

void remote_apic_write(struct vcpu *v, u32 reg, u32 value)
{
	remote(v, g_apic_write, reg, value);
}

u8 remote_in(struct vcpu *v, u16 port)
{
	return remote(v, g_in, port, 0);
}

void remote_out(struct vcpu *v, u16 port, u8 value)
{
	remote(v, g_out, port, value);
}

u32 remote_read(struct vcpu *v, u64 address)
{
	return remote(v, g_mmio_read, address, 0);
}

void remote_write(struct vcpu *v, u64 address, u32 value)
{
	remote(v, g_mmio_write, address, value);
}

void remote_icr(struct vcpu *v, u32 dest, u32 low)
{
	remote(v, g_icr, dest, low);
}

u32 remote_window(struct vcpu *v)
{
	return remote(v, g_window, 0, 0);
}

void log_clear(struct vcpu *v)
{
	PERCPU(v).taken = 0;
	memset((void *)PERCPU(v).log, 0, sizeof(percpu->log));
	memset((void *)PERCPU(v).count, 0, sizeof(percpu->count));
}

void get_lapic(struct vcpu *v, struct kvm_lapic_state *s)
{
	WORKS(ioctl(v->fd, KVM_GET_LAPIC, s));
}

void set_lapic(struct vcpu *v, const struct kvm_lapic_state *s)
{
	WORKS(ioctl(v->fd, KVM_SET_LAPIC, s));
}

u32 lapic_reg(struct vcpu *v, u32 reg)
{
	struct kvm_lapic_state s;

	get_lapic(v, &s);
	return LAPIC_REG(&s, reg);
}

/* One of the 256 bits of ISR, TMR or IRR. */
bool lapic_bit(struct vcpu *v, u32 bank, u32 vector)
{
	return lapic_reg(v, bank + vector / 32 * 16) >> vector % 32 & 1;
}

u32 get_mp_state(struct vcpu *v)
{
	struct kvm_mp_state s;

	WORKS(ioctl(v->fd, KVM_GET_MP_STATE, &s));
	return s.mp_state;
}

void set_mp_state(struct vcpu *v, u32 state)
{
	struct kvm_mp_state s = { state };

	WORKS(ioctl(v->fd, KVM_SET_MP_STATE, &s));
}

void get_chip(struct vm *vm, u32 id, struct kvm_irqchip *chip)
{
	memset(chip, 0, sizeof(*chip));
	chip->chip_id = id;
	WORKS(ioctl(vm->fd, KVM_GET_IRQCHIP, chip));
}

void set_chip(struct vm *vm, struct kvm_irqchip *chip)
{
	WORKS(ioctl(vm->fd, KVM_SET_IRQCHIP, chip));
}

void irq_line(struct vm *vm, u32 gsi, u32 level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	WORKS(ioctl(vm->fd, KVM_IRQ_LINE, &l));
}

/* Positive: delivered to so many; 0: merged with one before; < 0: masked. */
int irq_line_status(struct vm *vm, u32 gsi, u32 level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	WORKS(ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &l));
	return l.status;
}

int signal_msi(struct vm *vm, u32 address, u32 data)
{
	struct kvm_msi msi = { .address_lo = address, .data = data };

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

static struct kvm_irq_routing_entry *new_route(struct routes *r, u32 gsi,
					       u32 type)
{
	struct kvm_irq_routing_entry *e = &r->entries[r->head.nr];

	CHECK(r->head.nr++ < MAX_ROUTES);
	memset(e, 0, sizeof(*e));
	e->gsi = gsi;
	e->type = type;
	return e;
}

void route_chip(struct routes *r, u32 gsi, u32 chip, u32 pin)
{
	struct kvm_irq_routing_entry *e =
		new_route(r, gsi, KVM_IRQ_ROUTING_IRQCHIP);

	e->u.irqchip.irqchip = chip;
	e->u.irqchip.pin = pin;
}

void route_msi(struct routes *r, u32 gsi, u32 address, u32 data)
{
	struct kvm_irq_routing_entry *e =
		new_route(r, gsi, KVM_IRQ_ROUTING_MSI);

	e->u.msi.address_lo = address;
	e->u.msi.data = data;
}

/* What KVM_CREATE_IRQCHIP sets: ISA interrupts go to both controllers. */
void route_default(struct routes *r)
{
	u32 i;

	r->head.nr = 0;
	for (i = 0; i < 24; i++) {
		route_chip(r, i, KVM_IRQCHIP_IOAPIC, i);
		if (i < 16)
			route_chip(r, i, i < 8 ? KVM_IRQCHIP_PIC_MASTER :
				   KVM_IRQCHIP_PIC_SLAVE, i % 8);
	}
}

int routes_set(struct vm *vm, struct routes *r)
{
	r->head.flags = 0;
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, r);
}

#endif
