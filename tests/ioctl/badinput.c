// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bad input to every ioctl of the basic interface: pointers, sizes, flags,
 * numbers out of range, wrong state. Each row names the errno it expects.
 * Around every table the VM's state is compared: a failed ioctl changes
 * nothing, and the guest still runs. Also built as a 32-bit program, for the
 * compat entry points.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

#define PAGE	4096u
#define RAM_BYTES	0x20000u

CODE(code_count, 16, "1: incw %ax; outw %ax, $0x10; jmp 1b");

static struct vm *vm;
static struct vcpu *vcpu;
static u8 *ram;

/* One VM with a page of real-mode code that counts on port 0x10. */
static void setup(void)
{
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = 0x1000, .rflags = FLAG_FIXED };

	vm = vm_bare();
	ram = vm_add(vm, 0, 0, RAM_BYTES, 0);
	memcpy(ram + 0x1000, code_count, code_count_end - code_count);
	vcpu = vcpu_new(vm, 0);
	get_sregs(vcpu, &s);
	s.cs.selector = 0;
	s.cs.base = 0;
	set_sregs(vcpu, &s);
	set_regs(vcpu, &r);
}

static void still_counts(void)
{
	u16 before, after;

	EQ(vcpu_run(vcpu), KVM_EXIT_IO);
	memcpy(&before, io_data(vcpu), 2);
	EQ(vcpu_run(vcpu), KVM_EXIT_IO);
	memcpy(&after, io_data(vcpu), 2);
	EQ((u16)(before + 1), after);
}

/* All of the vCPU's state that can be read. */
struct snapshot {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_debugregs debug;
	u64 lstar;
};

static void take(struct snapshot *s)
{
	memset(s, 0, sizeof(*s));
	get_regs(vcpu, &s->regs);
	get_sregs(vcpu, &s->sregs);
	WORKS(ioctl(vcpu->fd, KVM_GET_FPU, &s->fpu));
	if (has_cap(KVM_CAP_XSAVE))
		WORKS(ioctl(vcpu->fd, KVM_GET_XSAVE, &s->xsave));
	if (has_cap(KVM_CAP_XCRS))
		WORKS(ioctl(vcpu->fd, KVM_GET_XCRS, &s->xcrs));
	if (has_cap(KVM_CAP_VCPU_EVENTS))
		WORKS(ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &s->events));
	WORKS(ioctl(vcpu->fd, KVM_GET_MP_STATE, &s->mp));
	if (has_cap(KVM_CAP_DEBUGREGS))
		WORKS(ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &s->debug));
	s->lstar = get_msr(vcpu, 0xc0000082);
}

static struct snapshot before;

static void begin(void)
{
	setup();
	take(&before);
}

static void finish(void)
{
	struct snapshot after;

	take(&after);
	row(!memcmp(&before, &after, sizeof(before)),
	    "a failed ioctl changed the vCPU's state");
	still_counts();
	vm_free(vm);
}

static void check_row(const char *name, int r, int want)
{
	int e = r < 0 ? errno : 0;

	row(e == want, "%s: got errno %d (%s), expected %d (%s)", name, e,
	    strerror(e), want, strerror(want));
}

/* Every ioctl with a structure behind its argument. */

enum target { SYSTEM, VM, VCPU };

struct call {
	const char *name;
	enum target target;
	unsigned long request;
	int cap;			/* must be reported; 0: always */
};

#define CALL(target, request)		{ #request, target, request, 0 }
#define CALL_IF(target, request, cap)	{ #request, target, request, cap }

static const struct call calls[] = {
	CALL(SYSTEM, KVM_GET_MSR_INDEX_LIST),
	CALL_IF(SYSTEM, KVM_GET_MSR_FEATURE_INDEX_LIST,
		KVM_CAP_GET_MSR_FEATURES),
	CALL(SYSTEM, KVM_GET_SUPPORTED_CPUID),
	CALL_IF(SYSTEM, KVM_GET_MSRS, KVM_CAP_GET_MSR_FEATURES),
	CALL(VM, KVM_SET_USER_MEMORY_REGION),
	CALL(VM, KVM_GET_DIRTY_LOG),
	CALL_IF(VM, KVM_REGISTER_COALESCED_MMIO, KVM_CAP_COALESCED_MMIO),
	CALL_IF(VM, KVM_UNREGISTER_COALESCED_MMIO, KVM_CAP_COALESCED_MMIO),
	CALL(VCPU, KVM_GET_REGS),
	CALL(VCPU, KVM_SET_REGS),
	CALL(VCPU, KVM_GET_SREGS),
	CALL(VCPU, KVM_SET_SREGS),
	CALL(VCPU, KVM_GET_FPU),
	CALL(VCPU, KVM_SET_FPU),
	CALL(VCPU, KVM_GET_MSRS),
	CALL(VCPU, KVM_SET_MSRS),
	CALL(VCPU, KVM_SET_CPUID2),
	CALL(VCPU, KVM_GET_CPUID2),
	CALL(VCPU, KVM_TRANSLATE),
	CALL(VCPU, KVM_INTERRUPT),
	CALL(VCPU, KVM_GET_MP_STATE),
	CALL(VCPU, KVM_SET_MP_STATE),
	CALL_IF(VCPU, KVM_GET_VCPU_EVENTS, KVM_CAP_VCPU_EVENTS),
	CALL_IF(VCPU, KVM_SET_VCPU_EVENTS, KVM_CAP_VCPU_EVENTS),
	CALL_IF(VCPU, KVM_GET_DEBUGREGS, KVM_CAP_DEBUGREGS),
	CALL_IF(VCPU, KVM_SET_DEBUGREGS, KVM_CAP_DEBUGREGS),
	CALL_IF(VCPU, KVM_GET_XSAVE, KVM_CAP_XSAVE),
	CALL_IF(VCPU, KVM_SET_XSAVE, KVM_CAP_XSAVE),
	CALL_IF(VCPU, KVM_GET_XCRS, KVM_CAP_XCRS),
	CALL_IF(VCPU, KVM_SET_XCRS, KVM_CAP_XCRS),
};

static int fd_of(enum target t)
{
	return t == SYSTEM ? kvm_fd() : t == VM ? vm->fd : vcpu->fd;
}

static bool offered(const struct call *c)
{
	return !c->cap || ioctl(kvm_fd(), KVM_CHECK_EXTENSION, c->cap) > 0;
}

/* A page that ends where nothing is mapped. */
static u8 *page_before_hole(int prot)
{
	u8 *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	mprotect(p + PAGE, PAGE, PROT_NONE);	/* nothing else comes there */
	mprotect(p, PAGE, prot);
	return p;
}

static void each_call(const char *what, void *argument)
{
	char name[96];
	u32 i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		if (!offered(&calls[i]))
			continue;
		strcpy(name, calls[i].name);
		strcat(name, what);
		check_row(name, ioctl(fd_of(calls[i].target),
				      calls[i].request, argument), EFAULT);
	}
}

TEST(pointer_to_nothing)
{
	begin();
	each_call(" at 0", NULL);
	each_call(" at 8", (void *)8);
	/* A 32-bit program on a 64-bit kernel has its stack up there. */
	if (sizeof(long) == 8)
		each_call(" in the kernel", (void *)(ULONG_MAX - 0xffff));
	each_call(" at the top", (void *)ULONG_MAX);
	finish();
}

/* The last byte of the structure is missing; of a list, part of its count. */
static u32 cut(u32 size)
{
	return size <= sizeof(struct kvm_cpuid2) ? 3 : size - 1;
}

TEST(pointer_to_too_little)
{
	u8 *end = page_before_hole(PROT_READ | PROT_WRITE) + PAGE;
	u32 i;

	begin();
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		u32 size = _IOC_SIZE(calls[i].request);

		if (!offered(&calls[i]) || size > PAGE)
			continue;
		memset(end - PAGE, 0, PAGE);
		check_row(calls[i].name,
			  ioctl(fd_of(calls[i].target), calls[i].request,
				end - cut(size)), EFAULT);
	}
	finish();
}

/* Results cannot be written to a read-only page. */
TEST(pointer_to_read_only)
{
	u8 *page = page_before_hole(PROT_READ);
	u32 i;

	begin();
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		unsigned int dir = _IOC_DIR(calls[i].request);
		u32 size = _IOC_SIZE(calls[i].request);

		/* Counts of 0 leave nothing to write in some. */
		if (!offered(&calls[i]) || dir != _IOC_READ || size > PAGE)
			continue;
		check_row(calls[i].name,
			  ioctl(fd_of(calls[i].target), calls[i].request,
				page), EFAULT);
	}
	finish();
}

/*
 * Unknown requests: another size, number or type than any. POSIX says ENOTTY;
 * in-tree answers EINVAL on its system and vCPU file descriptors, and clients
 * take either.
 */
static void unknown(const char *name, int fd, unsigned long request)
{
	static u8 buffer[16384];
	int r = ioctl(fd, request, buffer), e = errno;

	row(r == -1 && (e == ENOTTY || e == EINVAL),
	    "%s as 0x%lx: got %d, errno %d", name, request, r, e);
}

static unsigned long with_size(unsigned long request, u32 size)
{
	return (request & ~((unsigned long)_IOC_SIZEMASK << _IOC_SIZESHIFT)) |
	       (unsigned long)size << _IOC_SIZESHIFT;
}

TEST(wrong_size)
{
	u32 i;

	begin();
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		u32 size = _IOC_SIZE(calls[i].request);
		int fd = fd_of(calls[i].target);

		if (!offered(&calls[i]))
			continue;
		unknown(calls[i].name, fd, with_size(calls[i].request, 0));
		unknown(calls[i].name, fd,
			with_size(calls[i].request, size - 1));
		unknown(calls[i].name, fd,
			with_size(calls[i].request, size + 1));
		unknown(calls[i].name, fd,
			with_size(calls[i].request, _IOC_SIZEMASK));
	}
	finish();
}

TEST(wrong_file_descriptor)
{
	u32 i, t;

	begin();
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		for (t = SYSTEM; t <= VCPU; t++) {
			/* KVM_GET_MSRS has a meaning on two of them. */
			if (t == calls[i].target ||
			    calls[i].request == KVM_GET_MSRS)
				continue;
			unknown(calls[i].name, fd_of(t), calls[i].request);
		}
		FAILS(ioctl(-1, calls[i].request, NULL), EBADF);
	}
	unknown("KVM_RUN on the VM", vm->fd, KVM_RUN);
	unknown("KVM_CREATE_VM on the VM", vm->fd, KVM_CREATE_VM);
	unknown("KVM_CREATE_VCPU on the system", kvm_fd(), KVM_CREATE_VCPU);
	finish();
}

TEST(unknown_requests)
{
	u32 t;

	begin();
	for (t = SYSTEM; t <= VCPU; t++) {
		unknown("type 0xad", fd_of(t), _IO(0xad, 0));
		unknown("type 0", fd_of(t), 0);
		unknown("number 0xff", fd_of(t), _IO(0xae, 0xff));
		unknown("number 0xfe", fd_of(t), _IOWR(0xae, 0xfe, u64));
		unknown("all ones", fd_of(t), 0xffffffff);
	}
	finish();
}

/* Requests without a structure */

TEST(plain_arguments)
{
	bool unrestricted = kvm_uses("unrestricted_guest");

	begin();
	check_row("KVM_GET_API_VERSION 1",
		  ioctl(kvm_fd(), KVM_GET_API_VERSION, 1), EINVAL);
	EQ(ioctl(kvm_fd(), KVM_GET_API_VERSION, 0), 12);
	check_row("KVM_GET_VCPU_MMAP_SIZE 1",
		  ioctl(kvm_fd(), KVM_GET_VCPU_MMAP_SIZE, 1), EINVAL);
	EQ(ioctl(kvm_fd(), KVM_GET_VCPU_MMAP_SIZE, 0) % PAGE, 0);
	check_row("KVM_CREATE_VM of no type",
		  ioctl(kvm_fd(), KVM_CREATE_VM, 0x1000), EINVAL);
	check_row("KVM_RUN 1", ioctl(vcpu->fd, KVM_RUN, 1), EINVAL);
	EQ(ioctl(kvm_fd(), KVM_CHECK_EXTENSION, 0x7fffffff), 0);
	EQ(ioctl(kvm_fd(), KVM_CHECK_EXTENSION, ULONG_MAX), 0);
	EQ(ioctl(vm->fd, KVM_CHECK_EXTENSION, 0x7fffffff), 0);
	check_row("KVM_SET_TSS_ADDR too high",
		  ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xffffffff), EINVAL);
	check_row("KVM_SET_TSS_ADDR with its end beyond 4 GiB",
		  ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xffffe000), EINVAL);
	check_row("KVM_SET_TSS_ADDR again",
		  ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000),
		  kvm_in_tree() && !unrestricted ? EEXIST : 0);
	/* Where the processor needs it, it is there already. */
	check_row("KVM_SET_TSS_ADDR elsewhere",
		  ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffb0000),
		  unrestricted ? 0 : EEXIST);
	finish();
}

TEST(create_vcpu)
{
	int max_id, fd;

	begin();
	max_id = ioctl(kvm_fd(), KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);
	check_row("an id twice", ioctl(vm->fd, KVM_CREATE_VCPU, 0), EEXIST);
	if (max_id > 0) {
		check_row("KVM_CAP_MAX_VCPU_ID",
			  ioctl(vm->fd, KVM_CREATE_VCPU, max_id), EINVAL);
		fd = ioctl(vm->fd, KVM_CREATE_VCPU, max_id - 1);
		check_row("the highest id", fd, 0);
		close(fd);
	}
	check_row("id 0x7fffffff",
		  ioctl(vm->fd, KVM_CREATE_VCPU, 0x7fffffff), EINVAL);
	check_row("id 0xffffffff",
		  ioctl(vm->fd, KVM_CREATE_VCPU, 0xffffffff), EINVAL);
	/* In-tree cuts the number to 32 bits, which makes it id 0. */
	row(ioctl(vm->fd, KVM_CREATE_VCPU, ULONG_MAX << 31 << 1) == -1,
	    "id 2^64 - 2^32 is accepted");
	finish();
}

/* A closed vCPU still counts: the VM keeps it, only its number is gone. */
TEST(as_many_vcpus_as_reported)
{
	int max, i;

	begin();
	max = ioctl(kvm_fd(), KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	CHECK(max >= 1);
	CHECK(ioctl(kvm_fd(), KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS) >= 1);
	for (i = 1; i < max; i++)
		close(WORKS(ioctl(vm->fd, KVM_CREATE_VCPU, i)));
	check_row("one more", ioctl(vm->fd, KVM_CREATE_VCPU, max), EINVAL);
	finish();
}

/* Memory slots: against slot 1 of 16 pages at 1 MiB, with its memory. */

#define AT	0x100000ull
#define SIZE	0x10000ull

struct region_row {
	const char *name;
	u32 slot, flags;
	u64 gpa, size;
	s64 hva;			/* relative to the memory */
	int want;
};

static const struct region_row regions[] = {
	{ "unknown flag 4", 2, 4, 0x200000, SIZE, 0, EINVAL },
	{ "unknown flag 2^31", 2, 1u << 31, 0x200000, SIZE, 0, EINVAL },
	{ "slot 32767", 0x7fff, 0, 0x200000, SIZE, 0, EINVAL },
	{ "slot 65535", 0xffff, 0, 0x200000, SIZE, 0, EINVAL },
	{ "address space 9", 0x90002, 0, 0x200000, SIZE, 0, EINVAL },
	{ "unaligned guest address", 2, 0, 0x200800, SIZE, 0, EINVAL },
	{ "unaligned size", 2, 0, 0x200000, SIZE + 1, 0, EINVAL },
	{ "unaligned user address", 2, 0, 0x200000, SIZE, 0x10, EINVAL },
	{ "guest addresses wrap", 2, 0, -SIZE, 2 * SIZE, 0, EINVAL },
	{ "size 2^63", 2, 0, 0x200000, 1ull << 63, 0, EINVAL },
	{ "more than 2^31 pages", 2, 0, 0x200000, 1ull << 43, 0, EINVAL },
	{ "overlaps all", 2, 0, AT, SIZE, 0, EEXIST },
	{ "overlaps the first page", 2, 0, AT - 0x1000, 0x2000, 0, EEXIST },
	{ "overlaps the last page", 2, 0, AT + SIZE - 0x1000, 0x2000, 0,
	  EEXIST },
	{ "within", 2, 0, AT + 0x1000, 0x1000, 0, EEXIST },
	{ "around", 2, 0, AT - 0x1000, SIZE + 0x2000, 0, EEXIST },
	{ "other size", 1, 0, AT, SIZE - 0x1000, 0, EINVAL },
	{ "other memory", 1, 0, AT, SIZE, 0x1000, EINVAL },
	{ "becomes read-only", 1, KVM_MEM_READONLY, AT, SIZE, 0, EINVAL },
	{ "delete a slot there is not", 3, 0, 0, 0, 0, EINVAL },
	{ "move onto slot 0", 1, 0, 0, SIZE, 0, EEXIST },
	{ "next to it", 2, 0, AT + SIZE, SIZE, 0, 0 },
	{ "move onto slot 2", 1, 0, AT + 0x1000, SIZE, 0, EEXIST },
	{ "move over itself", 1, 0, AT - 0x1000, SIZE, 0, 0 },
	{ "move back", 1, 0, AT, SIZE, 0, 0 },
	{ "nothing changes", 1, 0, AT, SIZE, 0, 0 },
	{ "delete slot 2", 2, 0, 0, 0, 0, 0 },
	{ "delete slot 2 again", 2, 0, 0, 0, 0, EINVAL },
};

TEST(memory_regions)
{
	u8 *mem = mem_alloc(2 * SIZE);
	u32 i;

	begin();
	vm_slot(vm, 1, AT, SIZE, mem, 0);
	for (i = 0; i < ARRAY_SIZE(regions); i++) {
		const struct region_row *r = &regions[i];

		if ((r->flags & KVM_MEM_READONLY) &&
		    !has_cap(KVM_CAP_READONLY_MEM))
			continue;
		check_row(r->name, vm_slot_try(vm, r->slot, r->gpa, r->size,
					       mem + r->hva, r->flags),
			  r->want);
	}
	check_row("user address in the kernel",
		  vm_slot_try(vm, 2, 0x200000, SIZE,
			      (void *)(ULONG_MAX - 0xfffff), 0),
		  sizeof(long) == 8 ? EINVAL : 0);
	finish();
}

/* A user address with bits above 32 from a 32-bit program is one as well. */
TEST(user_address_out_of_range)
{
	struct kvm_userspace_memory_region r = {
		.slot = 2, .guest_phys_addr = 0x200000, .memory_size = SIZE,
		.userspace_addr = 0xffff800000000000ull,
	};

	begin();
	check_row("kernel half", ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r),
		  EINVAL);
	r.userspace_addr = 0x8000000000000000ull;
	check_row("non-canonical",
		  ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r), EINVAL);
	r.userspace_addr = 0xfffffffffffff000ull;
	r.memory_size = 2 * PAGE;
	check_row("wraps", ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r),
		  EINVAL);
	finish();
}

TEST(identity_map_address)
{
	u64 address = 0xfffbc000;
	struct vm *fresh;

	need_cap(KVM_CAP_SET_IDENTITY_MAP_ADDR);
	begin();
	check_row("with a vCPU",
		  ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &address), EINVAL);
	fresh = vm_bare();
	check_row("at 8", ioctl(fresh->fd, KVM_SET_IDENTITY_MAP_ADDR,
				(void *)8), EFAULT);
	check_row("without", ioctl(fresh->fd, KVM_SET_IDENTITY_MAP_ADDR,
				   &address), 0);
	address = 0;
	check_row("the default",
		  ioctl(fresh->fd, KVM_SET_IDENTITY_MAP_ADDR, &address), 0);
	vm_free(fresh);
	finish();
}

/* CPUID lists */

TEST(cpuid_lists)
{
	struct kvm_cpuid2 *c, *got;
	struct kvm_cpuid_entry2 *e;
	u32 nent;

	begin();
	c = cpuid_copy();
	got = cpuid_copy();
	nent = c->nent;
	got->nent = 0;
	check_row("KVM_GET_SUPPORTED_CPUID of 0",
		  ioctl(kvm_fd(), KVM_GET_SUPPORTED_CPUID, got), E2BIG);
	got->nent = nent - 1;
	check_row("KVM_GET_SUPPORTED_CPUID of one too few",
		  ioctl(kvm_fd(), KVM_GET_SUPPORTED_CPUID, got), E2BIG);
	got->nent = nent;
	check_row("KVM_GET_SUPPORTED_CPUID of as many",
		  ioctl(kvm_fd(), KVM_GET_SUPPORTED_CPUID, got), 0);
	EQ(got->nent, nent);
	c->nent = 257;
	check_row("KVM_SET_CPUID2 of 257",
		  ioctl(vcpu->fd, KVM_SET_CPUID2, c), E2BIG);
	c->nent = 0x7fffffff;
	check_row("KVM_SET_CPUID2 of 2^31-1",
		  ioctl(vcpu->fd, KVM_SET_CPUID2, c), E2BIG);
	c->nent = nent;
	e = cpuid_find(c, 0x80000008, 0);
	if (e) {
		u32 eax = e->eax;

		e->eax = (eax & ~0xff00) | 52 << 8;
		check_row("KVM_SET_CPUID2 with 52 linear address bits",
			  ioctl(vcpu->fd, KVM_SET_CPUID2, c), EINVAL);
		e->eax = eax;
	}
	got->nent = 0;
	check_row("KVM_GET_CPUID2 of 0",
		  ioctl(vcpu->fd, KVM_GET_CPUID2, got), E2BIG);
	/* The model is still what was set at first. */
	got->nent = nent;
	WORKS(ioctl(vcpu->fd, KVM_GET_CPUID2, got));
	EQ(got->entries[0].ebx, c->entries[0].ebx);
	finish();
}

/* A list whose entries run out of memory. */
TEST(lists_cut_short)
{
	u8 *end = page_before_hole(PROT_READ | PROT_WRITE) + PAGE;
	struct kvm_cpuid2 *c;
	struct kvm_msrs *m;
	struct kvm_msr_list *l;

	begin();
	c = (void *)(end - sizeof(*c) - sizeof(c->entries[0]));
	c->nent = 2;
	check_row("KVM_SET_CPUID2", ioctl(vcpu->fd, KVM_SET_CPUID2, c), EFAULT);
	c->nent = 200;
	check_row("KVM_GET_SUPPORTED_CPUID",
		  ioctl(kvm_fd(), KVM_GET_SUPPORTED_CPUID, c), EFAULT);
	c->nent = 200;
	check_row("KVM_GET_CPUID2", ioctl(vcpu->fd, KVM_GET_CPUID2, c), EFAULT);
	m = (void *)(end - sizeof(*m) - sizeof(m->entries[0]));
	memset(m, 0, end - (u8 *)m);
	m->nmsrs = 2;
	m->entries[0].index = 0xc0000082;
	check_row("KVM_SET_MSRS", ioctl(vcpu->fd, KVM_SET_MSRS, m), EFAULT);
	check_row("KVM_GET_MSRS", ioctl(vcpu->fd, KVM_GET_MSRS, m), EFAULT);
	l = (void *)(end - sizeof(*l) - 4);
	l->nmsrs = 1000;
	check_row("KVM_GET_MSR_INDEX_LIST",
		  ioctl(kvm_fd(), KVM_GET_MSR_INDEX_LIST, l), EFAULT);
	finish();
}

TEST(msr_lists)
{
	struct kvm_msrs *m = calloc(1, sizeof(*m) + 300 *
				    sizeof(m->entries[0]));

	begin();
	m->nmsrs = 257;
	check_row("KVM_GET_MSRS of 257", ioctl(vcpu->fd, KVM_GET_MSRS, m),
		  E2BIG);
	check_row("KVM_SET_MSRS of 257", ioctl(vcpu->fd, KVM_SET_MSRS, m),
		  E2BIG);
	m->nmsrs = 0xffffffff;
	check_row("KVM_GET_MSRS of 2^32-1", ioctl(vcpu->fd, KVM_GET_MSRS, m),
		  E2BIG);
	m->nmsrs = 0;
	EQ(ioctl(vcpu->fd, KVM_GET_MSRS, m), 0);
	EQ(ioctl(vcpu->fd, KVM_SET_MSRS, m), 0);
	/* None known: a count of 0, not an error. */
	m->nmsrs = 3;
	m->entries[0].index = 0x12345;
	EQ(ioctl(vcpu->fd, KVM_GET_MSRS, m), 0);
	EQ(ioctl(vcpu->fd, KVM_SET_MSRS, m), 0);
	free(m);
	finish();
}

TEST(signal_mask)
{
	struct {
		struct kvm_signal_mask head;
		u8 set[16];
	} mask = { .head.len = 8 };
	static const u32 lengths[] = { 0, 1, 4, 7, 9, 16, 0xffffffff };
	u32 i;

	begin();
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		mask.head.len = lengths[i];
		check_row("length", ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask),
			  EINVAL);
	}
	mask.head.len = 8;
	check_row("8", ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask), 0);
	check_row("none", ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, NULL), 0);
	check_row("at 8", ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, (void *)8),
		  EFAULT);
	finish();
}

TEST(enable_cap)
{
	struct kvm_enable_cap cap = { .cap = 0x7fffffff };

	begin();
	check_row("unknown, VM", ioctl(vm->fd, KVM_ENABLE_CAP, &cap), EINVAL);
	check_row("unknown, vCPU", ioctl(vcpu->fd, KVM_ENABLE_CAP, &cap),
		  EINVAL);
	cap.cap = KVM_CAP_USER_MEMORY;
	check_row("not enable-able", ioctl(vm->fd, KVM_ENABLE_CAP, &cap),
		  EINVAL);
	cap.flags = 1;
	check_row("flags", ioctl(vm->fd, KVM_ENABLE_CAP, &cap), EINVAL);
	finish();
}

/* read(), write() and the like mean nothing on these files. */
TEST(other_system_calls)
{
	char c = 0;
	u32 t;

	begin();
	for (t = SYSTEM; t <= VCPU; t++) {
		FAILS(read(fd_of(t), &c, 1), EINVAL);
		FAILS(write(fd_of(t), &c, 1), EINVAL);
	}
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, vm->fd, 0) ==
	      MAP_FAILED);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, kvm_fd(), 0) ==
	      MAP_FAILED);
	finish();
}

/* What is for the in-kernel interrupt controllers fails without them. */
TEST(without_irqchip)
{
	struct kvm_irq_level level = { .irq = 1, .level = 1 };
	struct kvm_irqchip chip = { .chip_id = 0 };
	struct kvm_lapic_state *lapic = calloc(1, sizeof(*lapic));

	if (!has_cap(KVM_CAP_IRQCHIP))
		skip("waits for KVM_CAP_IRQCHIP");
	begin();
	check_row("KVM_IRQ_LINE", ioctl(vm->fd, KVM_IRQ_LINE, &level), ENXIO);
	check_row("KVM_GET_IRQCHIP", ioctl(vm->fd, KVM_GET_IRQCHIP, &chip),
		  ENXIO);
	check_row("KVM_SET_IRQCHIP", ioctl(vm->fd, KVM_SET_IRQCHIP, &chip),
		  ENXIO);
	check_row("KVM_GET_LAPIC", ioctl(vcpu->fd, KVM_GET_LAPIC, lapic),
		  EINVAL);
	check_row("KVM_SET_LAPIC", ioctl(vcpu->fd, KVM_SET_LAPIC, lapic),
		  EINVAL);
	/* And they cannot come once there is a vCPU. */
	check_row("KVM_CREATE_IRQCHIP", ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0),
		  EINVAL);
	free(lapic);
	finish();
}
