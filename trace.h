/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.h - tracepoints, in group kvm, under the names and with the fields
 * that perf, trace-cmd and kvm_stat look for. The definitions are compiled
 * with stats.c.
 *
 * One that is off costs a no-op where it stands, so what a tracepoint shows is
 * worked out in here, from arguments that the caller has at hand.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvm

#if !defined(KVM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KVM_TRACE_H

#include <linux/kvm.h>
#include <linux/tracepoint.h>

#include "kvm.h"
#include "vmx.h"

/* perf tells VT-x from SVM by it. */
#define KVM_ISA_VMX	1

#define trace_exit_names						\
	VMX_EXIT_REASONS(TRACE_EXIT_NAME) { -1, NULL }
#define TRACE_EXIT_NAME(number, name, string)	{ number, string },

/* ---- the life of an exit ------------------------------------------------ */

/*
 * Those that the backend's inner loop fires. It has one branch for all of them
 * together, not one for each, so it is told when somebody begins to look at
 * one, and when he ends.
 */
int vmx_trace_begin(void);
void vmx_trace_end(void);

TRACE_EVENT_FN(kvm_entry,
	TP_PROTO(struct kvm_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned long, rip)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu->id;
		__entry->rip = kvm_rip_read(vcpu);
	),
	TP_printk("vcpu %u rip 0x%lx", __entry->vcpu_id, __entry->rip),
	vmx_trace_begin, vmx_trace_end
);

TRACE_EVENT_FN(kvm_exit,
	TP_PROTO(struct kvm_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(unsigned int, exit_reason)
		__field(unsigned long, guest_rip)
		__field(u32, isa)
		__field(u64, info1)
		__field(u64, info2)
		__field(u32, intr_info)
		__field(u32, error_code)
		__field(unsigned int, vcpu_id)
	),
	TP_fast_assign(
		struct kvm_exit_info info;

		backend->exit_info(vcpu, &info);
		__entry->exit_reason = info.reason;
		__entry->guest_rip = kvm_rip_read(vcpu);
		__entry->isa = KVM_ISA_VMX;
		__entry->info1 = info.qualification;
		__entry->info2 = info.idt_vectoring;
		__entry->intr_info = info.intr_info;
		__entry->error_code = info.error_code;
		__entry->vcpu_id = vcpu->id;
	),
	TP_printk("vcpu %u reason %s%s rip 0x%lx qualification 0x%llx "
		  "idt_vectoring 0x%llx intr_info 0x%x error_code 0x%x",
		  __entry->vcpu_id,
		  __print_symbolic(__entry->exit_reason & EXIT_REASON_BASIC,
				   trace_exit_names),
		  __entry->exit_reason & EXIT_REASON_ENTRY_FAILED ?
			" (entry failed)" : "",
		  __entry->guest_rip, __entry->info1, __entry->info2,
		  __entry->intr_info, __entry->error_code),
	vmx_trace_begin, vmx_trace_end
);

TRACE_EVENT(kvm_userspace_exit,
	TP_PROTO(u32 reason, int error),
	TP_ARGS(reason, error),
	TP_STRUCT__entry(
		__field(u32, reason)
		__field(int, errno)
	),
	TP_fast_assign(
		__entry->reason = reason;
		__entry->errno = error;
	),
	TP_printk("reason %u errno %d", __entry->reason, __entry->errno)
);

TRACE_EVENT(kvm_fpu,
	TP_PROTO(int load),
	TP_ARGS(load),
	TP_STRUCT__entry(
		__field(u32, load)
	),
	TP_fast_assign(
		__entry->load = load;
	),
	TP_printk("%s", __entry->load ? "load" : "unload")
);

/* ---- what the guest did ------------------------------------------------- */

TRACE_EVENT_FN(kvm_hypercall,
	TP_PROTO(const unsigned long *regs),
	TP_ARGS(regs),
	TP_STRUCT__entry(
		__field(unsigned long, nr)
		__field(unsigned long, a0)
		__field(unsigned long, a1)
		__field(unsigned long, a2)
		__field(unsigned long, a3)
	),
	TP_fast_assign(
		__entry->nr = regs[VCPU_RAX];
		__entry->a0 = regs[VCPU_RBX];
		__entry->a1 = regs[VCPU_RCX];
		__entry->a2 = regs[VCPU_RDX];
		__entry->a3 = regs[VCPU_RSI];
	),
	TP_printk("nr 0x%lx a0 0x%lx a1 0x%lx a2 0x%lx a3 0x%lx",
		  __entry->nr, __entry->a0, __entry->a1, __entry->a2,
		  __entry->a3),
	vmx_trace_begin, vmx_trace_end
);

/* Of `count` items the first. */
TRACE_EVENT_FN(kvm_pio,
	TP_PROTO(bool write, u16 port, unsigned int size, unsigned int count,
		 const void *data),
	TP_ARGS(write, port, size, count, data),
	TP_STRUCT__entry(
		__field(unsigned int, rw)
		__field(unsigned int, port)
		__field(unsigned int, size)
		__field(unsigned int, count)
		__field(unsigned int, val)
	),
	TP_fast_assign(
		__entry->rw = write;
		__entry->port = port;
		__entry->size = size;
		__entry->count = count;
		__entry->val = 0;
		memcpy(&__entry->val, data, min(size, 4u));
	),
	TP_printk("pio_%s at 0x%x size %u count %u val 0x%x%s",
		  __entry->rw ? "write" : "read", __entry->port, __entry->size,
		  __entry->count, __entry->val,
		  __entry->count > 1 ? "(...)" : ""),
	vmx_trace_begin, vmx_trace_end
);

/* The types are numbers in the interface of perf and trace-cmd. */
#define KVM_TRACE_MMIO_READ_UNSATISFIED	0
#define KVM_TRACE_MMIO_READ		1
#define KVM_TRACE_MMIO_WRITE		2

/* `data` is NULL for a read that has no answer yet. */
TRACE_EVENT(kvm_mmio,
	TP_PROTO(int type, unsigned int len, u64 gpa, const void *data),
	TP_ARGS(type, len, gpa, data),
	TP_STRUCT__entry(
		__field(u32, type)
		__field(u32, len)
		__field(u64, gpa)
		__field(u64, val)
	),
	TP_fast_assign(
		__entry->type = type;
		__entry->len = len;
		__entry->gpa = gpa;
		__entry->val = 0;
		if (data)
			memcpy(&__entry->val, data, min(len, 8u));
	),
	TP_printk("mmio %s len %u gpa 0x%llx val 0x%llx",
		  __print_symbolic(__entry->type,
			{ KVM_TRACE_MMIO_READ_UNSATISFIED, "unsatisfied-read" },
			{ KVM_TRACE_MMIO_READ, "read" },
			{ KVM_TRACE_MMIO_WRITE, "write" }),
		  __entry->len, __entry->gpa, __entry->val)
);

TRACE_EVENT_FN(kvm_fast_mmio,
	TP_PROTO(u64 gpa),
	TP_ARGS(gpa),
	TP_STRUCT__entry(
		__field(u64, gpa)
	),
	TP_fast_assign(
		__entry->gpa = gpa;
	),
	TP_printk("fast mmio at gpa 0x%llx", __entry->gpa),
	vmx_trace_begin, vmx_trace_end
);

TRACE_EVENT_FN(kvm_cpuid,
	TP_PROTO(u32 function, u32 index, u32 eax, u32 ebx, u32 ecx, u32 edx),
	TP_ARGS(function, index, eax, ebx, ecx, edx),
	TP_STRUCT__entry(
		__field(unsigned int, function)
		__field(unsigned int, index)
		__field(unsigned long, rax)
		__field(unsigned long, rbx)
		__field(unsigned long, rcx)
		__field(unsigned long, rdx)
	),
	TP_fast_assign(
		__entry->function = function;
		__entry->index = index;
		__entry->rax = eax;
		__entry->rbx = ebx;
		__entry->rcx = ecx;
		__entry->rdx = edx;
	),
	TP_printk("func %x idx %x rax %lx rbx %lx rcx %lx rdx %lx",
		  __entry->function, __entry->index, __entry->rax,
		  __entry->rbx, __entry->rcx, __entry->rdx),
	vmx_trace_begin, vmx_trace_end
);

TRACE_EVENT_FN(kvm_msr,
	TP_PROTO(bool write, u32 ecx, u64 data, bool exception),
	TP_ARGS(write, ecx, data, exception),
	TP_STRUCT__entry(
		__field(unsigned int, write)
		__field(u32, ecx)
		__field(u64, data)
		__field(u8, exception)
	),
	TP_fast_assign(
		__entry->write = write;
		__entry->ecx = ecx;
		__entry->data = data;
		__entry->exception = exception;
	),
	TP_printk("msr_%s %x = 0x%llx%s",
		  __entry->write ? "write" : "read", __entry->ecx,
		  __entry->data, __entry->exception ? " (#GP)" : ""),
	vmx_trace_begin, vmx_trace_end
);

TRACE_EVENT_FN(kvm_cr,
	TP_PROTO(bool write, unsigned int cr, unsigned long val),
	TP_ARGS(write, cr, val),
	TP_STRUCT__entry(
		__field(unsigned int, rw)
		__field(unsigned int, cr)
		__field(unsigned long, val)
	),
	TP_fast_assign(
		__entry->rw = write;
		__entry->cr = cr;
		__entry->val = val;
	),
	TP_printk("cr_%s %x = 0x%lx", __entry->rw ? "write" : "read",
		  __entry->cr, __entry->val),
	vmx_trace_begin, vmx_trace_end
);

TRACE_EVENT(kvm_page_fault,
	TP_PROTO(struct kvm_vcpu *vcpu, u64 fault_address, u64 error_code),
	TP_ARGS(vcpu, fault_address, error_code),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned long, guest_rip)
		__field(u64, fault_address)
		__field(u64, error_code)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu->id;
		__entry->guest_rip = kvm_rip_read(vcpu);
		__entry->fault_address = fault_address;
		__entry->error_code = error_code;
	),
	TP_printk("vcpu %u rip 0x%lx address 0x%016llx error_code 0x%llx",
		  __entry->vcpu_id, __entry->guest_rip,
		  __entry->fault_address, __entry->error_code)
);

/* `flags`: 0 in real mode, else 1 with 16, 2 with 32, 3 with 64 bits. */
TRACE_EVENT(kvm_emulate_insn,
	TP_PROTO(unsigned long rip, u64 csbase, const u8 *insn,
		 unsigned int len, unsigned int flags, bool failed),
	TP_ARGS(rip, csbase, insn, len, flags, failed),
	TP_STRUCT__entry(
		__field(u64, rip)
		__field(u32, csbase)
		__field(u8, len)
		__array(u8, insn, 15)
		__field(u8, flags)
		__field(u8, failed)
	),
	TP_fast_assign(
		__entry->rip = rip;
		__entry->csbase = csbase;
		__entry->len = min(len, 15u);
		memset(__entry->insn, 0, 15);
		memcpy(__entry->insn, insn, __entry->len);
		__entry->flags = flags;
		__entry->failed = failed;
	),
	TP_printk("%x:%llx:%s (%s)%s", __entry->csbase, __entry->rip,
		  __print_hex(__entry->insn, __entry->len),
		  __print_symbolic(__entry->flags, { 0, "real" },
				   { 1, "prot16" }, { 2, "prot32" },
				   { 3, "prot64" }),
		  __entry->failed ? " failed" : "")
);

/* ---- events into the guest ---------------------------------------------- */

TRACE_EVENT(kvm_inj_virq,
	TP_PROTO(unsigned int vector, bool soft, bool reinjected),
	TP_ARGS(vector, soft, reinjected),
	TP_STRUCT__entry(
		__field(unsigned int, vector)
		__field(bool, soft)
		__field(bool, reinjected)
	),
	TP_fast_assign(
		__entry->vector = vector;
		__entry->soft = soft;
		__entry->reinjected = reinjected;
	),
	TP_printk("%s 0x%x%s", __entry->soft ? "Soft/INTn" : "IRQ",
		  __entry->vector, __entry->reinjected ? " [reinjected]" : "")
);

TRACE_EVENT(kvm_inj_exception,
	TP_PROTO(unsigned int exception, bool has_error, u32 error_code,
		 bool reinjected),
	TP_ARGS(exception, has_error, error_code, reinjected),
	TP_STRUCT__entry(
		__field(u8, exception)
		__field(u8, has_error)
		__field(u32, error_code)
		__field(bool, reinjected)
	),
	TP_fast_assign(
		__entry->exception = exception;
		__entry->has_error = has_error;
		__entry->error_code = error_code;
		__entry->reinjected = reinjected;
	),
	TP_printk("vector %u error_code 0x%x%s", __entry->exception,
		  __entry->has_error ? __entry->error_code : 0,
		  __entry->reinjected ? " [reinjected]" : "")
);

/* ---- interrupt controllers ---------------------------------------------- */

TRACE_EVENT(kvm_set_irq,
	TP_PROTO(unsigned int gsi, int level, int irq_source_id),
	TP_ARGS(gsi, level, irq_source_id),
	TP_STRUCT__entry(
		__field(unsigned int, gsi)
		__field(int, level)
		__field(int, irq_source_id)
	),
	TP_fast_assign(
		__entry->gsi = gsi;
		__entry->level = level;
		__entry->irq_source_id = irq_source_id;
	),
	TP_printk("gsi %u level %d source %d", __entry->gsi, __entry->level,
		  __entry->irq_source_id)
);

/* `e`: the redirection-table entry. */
TRACE_EVENT(kvm_ioapic_set_irq,
	TP_PROTO(u64 e, int pin, bool coalesced),
	TP_ARGS(e, pin, coalesced),
	TP_STRUCT__entry(
		__field(u64, e)
		__field(int, pin)
		__field(bool, coalesced)
	),
	TP_fast_assign(
		__entry->e = e;
		__entry->pin = pin;
		__entry->coalesced = coalesced;
	),
	TP_printk("pin %d dst 0x%x vec %u%s%s", __entry->pin,
		  (u8)(__entry->e >> 56), (u8)__entry->e,
		  __entry->e & (1 << 15) ? " level" : " edge",
		  __entry->coalesced ? " (coalesced)" : "")
);

TRACE_EVENT(kvm_pic_set_irq,
	TP_PROTO(u8 chip, u8 pin, u8 elcr, u8 imr, bool coalesced),
	TP_ARGS(chip, pin, elcr, imr, coalesced),
	TP_STRUCT__entry(
		__field(u8, chip)
		__field(u8, pin)
		__field(u8, elcr)
		__field(u8, imr)
		__field(bool, coalesced)
	),
	TP_fast_assign(
		__entry->chip = chip;
		__entry->pin = pin;
		__entry->elcr = elcr;
		__entry->imr = imr;
		__entry->coalesced = coalesced;
	),
	TP_printk("chip %u pin %u%s%s%s", __entry->chip, __entry->pin,
		  __entry->elcr & BIT(__entry->pin) ? " level" : " edge",
		  __entry->imr & BIT(__entry->pin) ? " masked" : "",
		  __entry->coalesced ? " (coalesced)" : "")
);

TRACE_EVENT(kvm_msi_set_irq,
	TP_PROTO(u64 address, u64 data),
	TP_ARGS(address, data),
	TP_STRUCT__entry(
		__field(u64, address)
		__field(u64, data)
	),
	TP_fast_assign(
		__entry->address = address;
		__entry->data = data;
	),
	TP_printk("address 0x%llx data 0x%llx", __entry->address,
		  __entry->data)
);

TRACE_EVENT(kvm_ack_irq,
	TP_PROTO(unsigned int irqchip, unsigned int pin),
	TP_ARGS(irqchip, pin),
	TP_STRUCT__entry(
		__field(unsigned int, irqchip)
		__field(unsigned int, pin)
	),
	TP_fast_assign(
		__entry->irqchip = irqchip;
		__entry->pin = pin;
	),
	TP_printk("irqchip %s pin %u",
		  __print_symbolic(__entry->irqchip,
			{ KVM_IRQCHIP_PIC_MASTER, "PIC master" },
			{ KVM_IRQCHIP_PIC_SLAVE, "PIC slave" },
			{ KVM_IRQCHIP_IOAPIC, "IOAPIC" }),
		  __entry->pin)
);

TRACE_EVENT(kvm_apic,
	TP_PROTO(bool write, unsigned int reg, u64 val),
	TP_ARGS(write, reg, val),
	TP_STRUCT__entry(
		__field(unsigned int, rw)
		__field(unsigned int, reg)
		__field(u64, val)
	),
	TP_fast_assign(
		__entry->rw = write;
		__entry->reg = reg;
		__entry->val = val;
	),
	TP_printk("apic_%s 0x%x = 0x%llx", __entry->rw ? "write" : "read",
		  __entry->reg, __entry->val)
);

TRACE_EVENT(kvm_apic_ipi,
	TP_PROTO(u32 icr_low, u32 dest_id),
	TP_ARGS(icr_low, dest_id),
	TP_STRUCT__entry(
		__field(u32, icr_low)
		__field(u32, dest_id)
	),
	TP_fast_assign(
		__entry->icr_low = icr_low;
		__entry->dest_id = dest_id;
	),
	TP_printk("dst 0x%x vec %u mode %u%s%s", __entry->dest_id,
		  (u8)__entry->icr_low, __entry->icr_low >> 8 & 7,
		  __entry->icr_low & (1 << 11) ? " logical" : " physical",
		  __entry->icr_low & (3 << 18) ? " shorthand" : "")
);

TRACE_EVENT(kvm_apic_accept_irq,
	TP_PROTO(u32 apicid, u16 dm, u16 tm, u8 vec),
	TP_ARGS(apicid, dm, tm, vec),
	TP_STRUCT__entry(
		__field(u32, apicid)
		__field(u16, dm)
		__field(u16, tm)
		__field(u8, vec)
	),
	TP_fast_assign(
		__entry->apicid = apicid;
		__entry->dm = dm;
		__entry->tm = tm;
		__entry->vec = vec;
	),
	TP_printk("apicid 0x%x vec %u mode %u%s", __entry->apicid,
		  __entry->vec, __entry->dm, __entry->tm ? " level" : " edge")
);

DECLARE_EVENT_CLASS(kvm_end_of_interrupt,
	TP_PROTO(u32 apicid, int vector),
	TP_ARGS(apicid, vector),
	TP_STRUCT__entry(
		__field(u32, apicid)
		__field(int, vector)
	),
	TP_fast_assign(
		__entry->apicid = apicid;
		__entry->vector = vector;
	),
	TP_printk("apicid 0x%x vector %d", __entry->apicid, __entry->vector)
);
/* However it was signalled. */
DEFINE_EVENT(kvm_end_of_interrupt, kvm_eoi,
	TP_PROTO(u32 apicid, int vector), TP_ARGS(apicid, vector));
/* By a bit in memory. */
DEFINE_EVENT(kvm_end_of_interrupt, kvm_pv_eoi,
	TP_PROTO(u32 apicid, int vector), TP_ARGS(apicid, vector));

/* ---- halts and time ----------------------------------------------------- */

/* After HLT for `ns`; waited: slept, not only polled; valid: for an event. */
TRACE_EVENT(kvm_vcpu_wakeup,
	TP_PROTO(u64 ns, bool waited, bool valid),
	TP_ARGS(ns, waited, valid),
	TP_STRUCT__entry(
		__field(u64, ns)
		__field(bool, waited)
		__field(bool, valid)
	),
	TP_fast_assign(
		__entry->ns = ns;
		__entry->waited = waited;
		__entry->valid = valid;
	),
	TP_printk("%s time %llu ns%s", __entry->waited ? "wait" : "poll",
		  __entry->ns, __entry->valid ? "" : " (for nothing)")
);

TRACE_EVENT(kvm_halt_poll_ns,
	TP_PROTO(bool grow, unsigned int vcpu_id, unsigned int new,
		 unsigned int old),
	TP_ARGS(grow, vcpu_id, new, old),
	TP_STRUCT__entry(
		__field(bool, grow)
		__field(unsigned int, vcpu_id)
		__field(unsigned int, new)
		__field(unsigned int, old)
	),
	TP_fast_assign(
		__entry->grow = grow;
		__entry->vcpu_id = vcpu_id;
		__entry->new = new;
		__entry->old = old;
	),
	TP_printk("vcpu %u: halt_poll_ns %u (%s %u)", __entry->vcpu_id,
		  __entry->new, __entry->grow ? "grow" : "shrink",
		  __entry->old)
);

TRACE_EVENT(kvm_write_tsc_offset,
	TP_PROTO(unsigned int vcpu_id, u64 previous_tsc_offset,
		 u64 next_tsc_offset),
	TP_ARGS(vcpu_id, previous_tsc_offset, next_tsc_offset),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u64, previous_tsc_offset)
		__field(u64, next_tsc_offset)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->previous_tsc_offset = previous_tsc_offset;
		__entry->next_tsc_offset = next_tsc_offset;
	),
	TP_printk("vcpu %u prev %llu next %llu", __entry->vcpu_id,
		  __entry->previous_tsc_offset, __entry->next_tsc_offset)
);

/* ---- entries that fail; ours alone -------------------------------------- */

/* One for each rule of the SDM that was broken; see vmx_checks.c. */
TRACE_EVENT(kvm_entry_check_failed,
	TP_PROTO(unsigned int vcpu_id, const char *section, const char *rule),
	TP_ARGS(vcpu_id, section, rule),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__array(char, section, 64)
		__array(char, rule, 192)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		strscpy(__entry->section, section, sizeof(__entry->section));
		strscpy(__entry->rule, rule, sizeof(__entry->rule));
	),
	TP_printk("vcpu %u \"%s\": %s", __entry->vcpu_id,
		  __entry->section, __entry->rule)
);

#endif /* KVM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
