/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A mini virtual machine monitor: just enough of one that a test (or the
 * benchmark) can run a few instructions in a guest and look at everything.
 *
 * vm_new() makes a VM with 16 MiB of RAM at guest-physical 0, and copies the
 * running program's own image to guest-physical addresses equal to its virtual
 * addresses (programs are static, not PIE, and linked at 4 MiB). With the
 * identity page tables of vcpu_long() any C function of the program can run in
 * the guest, string constants and all; guest.h is for such code. A guest works
 * on its own copy of the globals: the host reaches those with G(vm, variable).
 *
 * Everything here ends the test on failure, except what returns an int from
 * an ioctl; use those with WORKS() and FAILS().
 */
#ifndef TESTS_VM_H
#define TESTS_VM_H

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "harness.h"

/* Layout of the standard RAM; pages not named here are free for tests. */
#define RAM_SIZE	(16u << 20)
#define G_IVT		0x0000		/* real-mode vectors */
#define G_STUBS		0x0500		/* real/protected mode trap stubs */
#define G_GDT		0x1000
#define G_TSS64		0x1400
#define G_TSS32		0x1600
#define G_IDT64		0x2000
#define G_IDT32		0x3000
#define G_PML4		0x4000
#define G_PDPT		0x5000
#define G_PD		0x6000		/* four pages: identity map of 4 GiB */
#define G_PD32		0xa000		/* 4 MiB pages, identity map of 4 GiB */
#define G_PDPT_PAE	0xb000
#define G_PT_POOL	0xc000		/* page tables made by map_page() */
#define G_PT_POOL_END	0x20000
#define G_CODE		0x20000		/* code_load() without an address */
#define G_STACK		0x90000		/* tops, 16 KiB down per vCPU id */
#define G_FREE		0x100000	/* up to the image at 4 MiB */
#define G_HIGH		0x800000	/* free up to the end of the RAM */
#define G_MMIO		0x10000000u	/* in no slot, mapped by page tables */

enum {			/* selectors in the standard GDT */
	SEL_CODE64	= 0x08,
	SEL_DATA	= 0x10,
	SEL_CODE32	= 0x18,
	SEL_CODE16	= 0x20,
	SEL_DATA16	= 0x28,
	SEL_UDATA	= 0x33,
	SEL_UCODE64	= 0x3b,
	SEL_TSS64	= 0x40,
	SEL_UCODE32	= 0x53,
	SEL_TSS32	= 0x58,
};

/* Ports by which a guest talks to vcpu_go(). */
enum {
	PORT_DONE	= 0xe0,		/* the guest is through */
	PORT_SYNC	= 0xe1,		/* value for the test; goes on after */
	PORT_FAIL	= 0xe2,		/* a check in the guest failed */
	PORT_TRAP	= 0xe3,		/* exception in 16-bit or 32-bit code */
};

/* What vcpu_go() returns beside a KVM_EXIT_* number. */
enum {
	STOP_DONE	= 1000,
	STOP_SYNC,
	STOP_TRAP,
};

#define CR0_PE	BIT(0)
#define CR0_MP	BIT(1)
#define CR0_EM	BIT(2)
#define CR0_TS	BIT(3)
#define CR0_ET	BIT(4)
#define CR0_NE	BIT(5)
#define CR0_WP	BIT(16)
#define CR0_AM	BIT(18)
#define CR0_NW	BIT(29)
#define CR0_CD	BIT(30)
#define CR0_PG	BIT(31)

#define CR4_VME		BIT(0)
#define CR4_PVI		BIT(1)
#define CR4_TSD		BIT(2)
#define CR4_DE		BIT(3)
#define CR4_PSE		BIT(4)
#define CR4_PAE		BIT(5)
#define CR4_MCE		BIT(6)
#define CR4_PGE		BIT(7)
#define CR4_PCE		BIT(8)
#define CR4_OSFXSR	BIT(9)
#define CR4_OSXMMEXCPT	BIT(10)
#define CR4_UMIP	BIT(11)
#define CR4_LA57	BIT(12)
#define CR4_VMXE	BIT(13)
#define CR4_SMXE	BIT(14)
#define CR4_FSGSBASE	BIT(16)
#define CR4_PCIDE	BIT(17)
#define CR4_OSXSAVE	BIT(18)
#define CR4_SMEP	BIT(20)
#define CR4_SMAP	BIT(21)
#define CR4_PKE		BIT(22)

#define EFER_SCE	BIT(0)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define EFER_NXE	BIT(11)

#define FLAG_CF		BIT(0)
#define FLAG_FIXED	BIT(1)
#define FLAG_TF		BIT(8)
#define FLAG_IF		BIT(9)
#define FLAG_DF		BIT(10)
#define FLAG_RF		BIT(16)
#define FLAG_AC		BIT(18)

#define PT_P		BIT(0)
#define PT_W		BIT(1)
#define PT_U		BIT(2)
#define PT_PWT		BIT(3)
#define PT_PCD		BIT(4)
#define PT_A		BIT(5)
#define PT_D		BIT(6)
#define PT_PS		BIT(7)
#define PT_G		BIT(8)
#define PT_NX		BIT(63)

enum {			/* exception vectors */
	VEC_DE = 0, VEC_DB = 1, VEC_NMI = 2, VEC_BP = 3, VEC_OF = 4,
	VEC_BR = 5, VEC_UD = 6, VEC_NM = 7, VEC_DF = 8, VEC_TS = 10,
	VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_MF = 16,
	VEC_AC = 17, VEC_XM = 19,
	VEC_USER = 0x80,		/* how CPL 3 comes back */
	VEC_NONE = 255,
};

#define MAX_VCPUS	24

struct vcpu {
	struct vm *vm;
	int fd, id;
	struct kvm_run *run;
	size_t run_size;
	u64 value;			/* of the last STOP_SYNC */
};

struct vm {
	int kvm, fd;
	u8 *ram;			/* NULL after vm_bare() */
	u32 next_pt;			/* next free page of G_PT_POOL */
	struct vcpu *vcpus[MAX_VCPUS];
	int nr_vcpus;
};

/* System. kvm_fd() stays open for the life of the process. */
int kvm_fd(void);
bool kvm_in_tree(void);		/* the kernel's own module, not ours */
bool kvm_uses(const char *param);	/* a switch of the module: is it on? */
/* What the kernel's own lacks where it emulates real mode. */
static inline bool real_mode_in_tree(void)
{
	return kvm_in_tree() && !kvm_uses("unrestricted_guest");
}
int vm_cap(struct vm *vm, int cap);
#define has_cap(cap)	(ioctl(kvm_fd(), KVM_CHECK_EXTENSION, cap) > 0)
#define need_cap(cap) do {						\
	if (!has_cap(cap))						\
		skip("waits for " #cap);				\
} while (0)
unsigned int cpus_online(void);
void pin_to_cpu(int cpu);

/* A VM. */
struct vm *vm_bare(void);
struct vm *vm_new(void);
void vm_free(struct vm *vm);
void *mem_alloc(size_t size);		/* zeroed 4 KiB pages, 2 MiB aligned */
int vm_slot_try(struct vm *vm, u32 slot, u64 gpa, u64 size, const void *hva,
		u32 flags);
void vm_slot(struct vm *vm, u32 slot, u64 gpa, u64 size, const void *hva,
	     u32 flags);
void *vm_add(struct vm *vm, u32 slot, u64 gpa, u64 size, u32 flags);
void vm_image(struct vm *vm, u8 *ram, size_t size);
u64 code_load(struct vm *vm, u64 gpa, const void *start, const void *end);

/* The guest's copy of one of the program's variables. */
#define G(vm, var) \
	(*(__typeof__(var) *)((vm)->ram + (unsigned long)&(var)))
/* Guest RAM at an address, as a type. */
#define RAM(vm, gpa, type)	(*(type *)((vm)->ram + (gpa)))

/* A 16-bit or 32-bit piece of code written inline; see code_load(). */
#define CODE(name, bits, body)						\
	asm(".pushsection .rodata\n" #name ":\n.code" #bits "\n" body	\
	    "\n.globl " #name "_end\n" #name "_end:\n"			\
	    CODE_BACK "\n.popsection");					\
	extern const u8 name[], name##_end[]
#ifdef __x86_64__
#define CODE_BACK ".code64"
#else
#define CODE_BACK ".code32"
#endif

/* A vCPU: bare, or with the CPUID leaves the system supports. */
struct vcpu *vcpu_bare(struct vm *vm, int id);
struct vcpu *vcpu_new(struct vm *vm, int id);
void vcpu_free(struct vcpu *v);
struct kvm_cpuid2 *supported_cpuid(void);	/* cached; do not change */
struct kvm_cpuid2 *cpuid_copy(void);		/* for the caller to change */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, u32 leaf, u32 sub);
bool cpu_has(u32 leaf, int reg, int bit);	/* reg: 0 eax .. 3 edx */

/* Start states; all leave interrupts off and put the stack at G_STACK. */
void vcpu_real(struct vcpu *v, u64 linear);
void vcpu_prot16(struct vcpu *v, u64 linear);
enum paging32 { PAGING_OFF, PAGING_PSE, PAGING_PAE };
void vcpu_prot32(struct vcpu *v, u64 eip, enum paging32 paging);
void vcpu_compat(struct vcpu *v, u64 eip);
void vcpu_long(struct vcpu *v, void (*entry)(void));

/* Registers. */
void get_regs(struct vcpu *v, struct kvm_regs *r);
void set_regs(struct vcpu *v, const struct kvm_regs *r);
void get_sregs(struct vcpu *v, struct kvm_sregs *s);
void set_sregs(struct vcpu *v, const struct kvm_sregs *s);
u64 get_rip(struct vcpu *v);
void set_rip(struct vcpu *v, u64 rip);
int get_msr_try(struct vcpu *v, u32 index, u64 *value);
int set_msr_try(struct vcpu *v, u32 index, u64 value);
u64 get_msr(struct vcpu *v, u32 index);
void set_msr(struct vcpu *v, u32 index, u64 value);

/* The guest's 64-bit page tables: map one 4 KiB page, splitting as needed. */
u64 *guest_pte(struct vm *vm, u64 va);
void map_page(struct vm *vm, u64 va, u64 pa, u64 bits);

/*
 * Running. vcpu_run() is one KVM_RUN and returns the exit reason.
 * vcpu_go() goes on until the guest does something a test wants to see, and
 * fails the test on a failed check in the guest. vcpu_until() also insists
 * on what that is.
 */
int vcpu_run(struct vcpu *v);
int vcpu_go(struct vcpu *v);
void vcpu_until_at(struct vcpu *v, int want, const char *file, int line);
#define vcpu_until(v, want)	vcpu_until_at(v, want, __FILE__, __LINE__)
/* ... STOP_SYNC, and evaluates to the value. */
#define next_value(v) ({						\
	struct vcpu *__v = (v);						\
									\
	vcpu_until(__v, STOP_SYNC);					\
	(u32)__v->value;						\
})
#define vcpu_done(v)		vcpu_until(v, STOP_DONE)
/* In one step: a standard VM with one vCPU that starts at entry ... */
struct vcpu *guest_start(void (*entry)(void));
/* ... and one that runs to its end, with nothing to do for the host. */
void guest_run(void (*entry)(void));
const char *exit_name(int reason);
const char *exit_text(struct vcpu *v);
static inline u8 *io_data(struct vcpu *v)
{
	return (u8 *)v->run + v->run->io.data_offset;
}

/* Exception seen by code that runs on the trap stubs (not vcpu_long()). */
struct trap32 {
	u32 vector, error, ip, cs;
	bool has_error;
};
void trap_get(struct vcpu *v, struct trap32 *t);
/* The guest must come to this exception; evaluates to it. */
#define expect_trap(v, want) ({						\
	struct vcpu *__v = (v);						\
	struct trap32 __t;						\
									\
	vcpu_until(__v, STOP_TRAP);					\
	trap_get(__v, &__t);						\
	EQ(__t.vector, want);						\
	__t;								\
})

#endif
