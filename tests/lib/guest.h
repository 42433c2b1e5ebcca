/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For code that runs in the guest, in 64-bit mode on the standard tables:
 * port writes that talk to the host, checks, and exceptions.
 *
 * Every exception is recorded in the global `trap`. Inside TRY() it is
 * expected: the guest goes on after the instruction and the macro's value is
 * the vector, VEC_NONE if none came. A handler in trap.handler[] takes
 * precedence. Vectors from 32 on, and NMI, are counted and ignored; any other
 * exception fails the test. One vCPU per VM may use these.
 */
#ifndef TESTS_GUEST_H
#define TESTS_GUEST_H

#include "vm.h"

struct trap_frame {		/* as built by guest_stubs.S */
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rdx, rcx, rbx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

struct trap_state {
	u32 vector;			/* of the last exception */
	u64 error, rip, rflags, cr2, dr6, cs;
	u64 resume;			/* where TRY() goes on */
	u32 count[256];
	void (*handler[256])(struct trap_frame *f);
};
extern struct trap_state trap;

struct guest_failure {
	const char *file, *what;
	int line;
	u64 got, want;
};
extern struct guest_failure guest_failure;

/* Host side, used by the library. */
void guest_tables(struct vm *vm);
void guest_idt64(struct vm *vm);
void __attribute__((noreturn)) guest_failed(struct vm *vm);

/* Guest side. */
void guest_done(void);
void guest_user(void (*fn)(void));	/* calls fn at CPL 3; IOPL is 0 */
void guest_fail(const char *file, int line, const char *what, u64 got,
		u64 want);

#define G_EQ(got, want) do {						\
	u64 __g = (u64)(got), __w = (u64)(want);			\
									\
	if (__g != __w)							\
		guest_fail(__FILE__, __LINE__, #got, __g, __w);		\
} while (0)
#define G_CHECK(cond) do {						\
	if (!(cond))							\
		guest_fail(__FILE__, __LINE__, #cond, 0, 1);		\
} while (0)

static inline void outb(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void outw(u16 port, u16 value)
{
	asm volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void outl(u16 port, u32 value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline u8 inb(u16 port)
{
	u8 value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline u16 inw(u16 port)
{
	u16 value;

	asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline u32 inl(u16 port)
{
	u32 value;

	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* Stops in the host with a value; the test goes on with vcpu_go(). */
static inline void guest_sync(u32 value)
{
	outl(PORT_SYNC, value);
}

#ifdef __x86_64__

/*
 * Runs the instructions `code`; evaluates to the vector of the exception
 * they raised, or VEC_NONE. Operands follow as in extended asm.
 */
#define TRY(code, outs, ...) ({						\
	trap.vector = VEC_NONE;						\
	asm volatile("movq $7771f, %[trap_resume]\n\t"			\
		     code "\n"						\
		     "7771: movq $0, %[trap_resume]"			\
		     : [trap_resume] "+m"(trap.resume) outs		\
		     : __VA_ARGS__);					\
	asm volatile("" : : : "memory");				\
	*(volatile u32 *)&trap.vector;					\
})
#define OUTS(...)	, __VA_ARGS__
#define NO_OUTS

#define READ_WRITE_CR(n)						\
static inline u64 read_cr##n(void)					\
{									\
	u64 value;							\
									\
	asm volatile("mov %%cr" #n ", %0" : "=r"(value) : : "memory");	\
	return value;							\
}									\
									\
static inline void write_cr##n(u64 value)				\
{									\
	asm volatile("mov %0, %%cr" #n : : "r"(value) : "memory");	\
}									\
									\
static inline u32 try_write_cr##n(u64 value)				\
{									\
	return TRY("mov %[v], %%cr" #n, NO_OUTS, [v] "r"(value) : "memory"); \
}
READ_WRITE_CR(0)
READ_WRITE_CR(2)
READ_WRITE_CR(3)
READ_WRITE_CR(4)
READ_WRITE_CR(8)

#define READ_WRITE_DR(n)						\
static inline u64 read_dr##n(void)					\
{									\
	u64 value;							\
									\
	asm volatile("mov %%dr" #n ", %0" : "=r"(value) : : "memory");	\
	return value;							\
}									\
									\
static inline void write_dr##n(u64 value)				\
{									\
	asm volatile("mov %0, %%dr" #n : : "r"(value) : "memory");	\
}
READ_WRITE_DR(0)
READ_WRITE_DR(1)
READ_WRITE_DR(2)
READ_WRITE_DR(3)
READ_WRITE_DR(6)
READ_WRITE_DR(7)

static inline u64 rdmsr(u32 index)
{
	u32 low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
	return (u64)high << 32 | low;
}

static inline void wrmsr(u32 index, u64 value)
{
	asm volatile("wrmsr" : : "c"(index), "a"((u32)value),
		     "d"((u32)(value >> 32)) : "memory");
}

static inline u32 try_wrmsr(u32 index, u64 value)
{
	return TRY("wrmsr", NO_OUTS, "c"(index), "a"((u32)value),
		   "d"((u32)(value >> 32)) : "memory");
}

static inline u32 try_rdmsr(u32 index, u64 *value)
{
	u32 low = 0, high = 0, vector;

	vector = TRY("rdmsr", OUTS("+a"(low), "+d"(high)),
		     "c"(index) : "memory");
	*value = (u64)high << 32 | low;
	return vector;
}

static inline void cpuid(u32 leaf, u32 sub, u32 out[4])
{
	asm volatile("cpuid"
		     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
		     : "a"(leaf), "c"(sub) : "memory");
}

/* An entry point: so many exits by CPUID, then a STOP_SYNC, without end. */
#define GUEST_CPUIDS	100
void guest_cpuids(void);

static inline u64 rdtsc(void)
{
	u32 low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (u64)high << 32 | low;
}

static inline void xsetbv(u32 index, u64 value)
{
	asm volatile("xsetbv" : : "c"(index), "a"((u32)value),
		     "d"((u32)(value >> 32)) : "memory");
}

static inline u64 xgetbv(u32 index)
{
	u32 low, high;

	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (u64)high << 32 | low;
}

static inline void invlpg(u64 va)
{
	asm volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline u64 flags(void)
{
	u64 value;

	asm volatile("pushfq; popq %0" : "=r"(value) : : "memory");
	return value;
}

static inline void cli(void)
{
	asm volatile("cli" : : : "memory");
}

static inline void sti(void)
{
	asm volatile("sti" : : : "memory");
}

static inline void hlt(void)
{
	asm volatile("hlt" : : : "memory");
}

static inline u64 read64(u64 address)
{
	return *(volatile u64 *)address;
}

static inline void write64(u64 address, u64 value)
{
	*(volatile u64 *)address = value;
}

#endif /* __x86_64__ */
#endif
