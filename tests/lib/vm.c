// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mini monitor: VMs, memory, registers and the run loop. vm.h describes
 * it; start states are in modes.c.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

/* System */

int kvm_fd(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fail("cannot open /dev/kvm: %s", strerror(errno));
	return fd;
}

/* The kernel's own KVM is two modules, of which kvm_intel holds kvm. */
bool kvm_in_tree(void)
{
	return access("/sys/module/kvm/holders/kvm_intel", F_OK) == 0;
}

bool kvm_uses(const char *param)
{
	char path[96], value = 0;
	int fd;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s",
		 kvm_in_tree() ? "kvm_intel" : "kvm", param);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, &value, 1) != 1)
		value = 'N';
	if (fd >= 0)
		close(fd);
	return value == 'Y';
}

unsigned int cpus_online(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

void pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	WORKS(sched_setaffinity(0, sizeof(set), &set));
}

int vm_cap(struct vm *vm, int cap)
{
	return ioctl(vm->fd, KVM_CHECK_EXTENSION, cap);
}

/* VMs and memory */

struct vm *vm_bare(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	CHECK(vm);
	vm->kvm = kvm_fd();
	vm->fd = WORKS(ioctl(vm->kvm, KVM_CREATE_VM, 0));
	WORKS(ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000ul));
	return vm;
}

struct vm *vm_new(void)
{
	struct vm *vm = vm_bare();

	vm->ram = vm_add(vm, 0, 0, RAM_SIZE, 0);
	vm_image(vm, vm->ram, RAM_SIZE);
	guest_tables(vm);
	return vm;
}

void vm_free(struct vm *vm)
{
	while (vm->nr_vcpus)
		vcpu_free(vm->vcpus[vm->nr_vcpus - 1]);
	close(vm->fd);
	if (vm->ram)
		munmap(vm->ram, RAM_SIZE);
	free(vm);
}

void *mem_alloc(size_t size)
{
	const size_t align = 2u << 20;
	u8 *p = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	u8 *start;

	if (p == MAP_FAILED)
		fail("mmap of %zu bytes: %s", size, strerror(errno));
	start = (u8 *)(((unsigned long)p + align - 1) & ~(align - 1));
	if (start > p)
		munmap(p, start - p);
	munmap(start + size, p + align - start);
	madvise(start, size, MADV_NOHUGEPAGE);
	return start;
}

int vm_slot_try(struct vm *vm, u32 slot, u64 gpa, u64 size, const void *hva,
		u32 flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (unsigned long)hva,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

void vm_slot(struct vm *vm, u32 slot, u64 gpa, u64 size, const void *hva,
	     u32 flags)
{
	if (vm_slot_try(vm, slot, gpa, size, hva, flags))
		fail("memory slot %u at 0x%llx, 0x%llx bytes, flags %x: %s",
		     slot, gpa, size, flags, strerror(errno));
}

void *vm_add(struct vm *vm, u32 slot, u64 gpa, u64 size, u32 flags)
{
	void *mem = mem_alloc(size);

	vm_slot(vm, slot, gpa, size, mem, flags);
	return mem;
}

/* Copies the loaded segments of this very program to RAM at 0. */
void vm_image(struct vm *vm, u8 *ram, size_t size)
{
	const ElfW(Phdr) *ph = (void *)getauxval(AT_PHDR);
	unsigned long n = getauxval(AT_PHNUM);

	for (; n--; ph++) {
		if (ph->p_type != PT_LOAD)
			continue;
		if (ph->p_vaddr + ph->p_memsz > size)
			fail("the program does not fit in guest RAM");
		memcpy(ram + ph->p_vaddr, (void *)ph->p_vaddr, ph->p_memsz);
	}
	vm->next_pt = G_PT_POOL;
}

u64 code_load(struct vm *vm, u64 gpa, const void *start, const void *end)
{
	memcpy(vm->ram + gpa, start, (const u8 *)end - (const u8 *)start);
	return gpa;
}

/* vCPUs and CPUID */

struct vcpu *vcpu_bare(struct vm *vm, int id)
{
	struct vcpu *v = calloc(1, sizeof(*v));
	long size = WORKS(ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));

	CHECK(v && vm->nr_vcpus < MAX_VCPUS);
	v->vm = vm;
	v->id = id;
	v->fd = WORKS(ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id));
	v->run_size = size;
	v->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		fail("mmap of kvm_run: %s", strerror(errno));
	vm->vcpus[vm->nr_vcpus++] = v;
	return v;
}

struct vcpu *vcpu_new(struct vm *vm, int id)
{
	struct vcpu *v = vcpu_bare(vm, id);

	WORKS(ioctl(v->fd, KVM_SET_CPUID2, supported_cpuid()));
	return v;
}

void vcpu_free(struct vcpu *v)
{
	struct vm *vm = v->vm;
	int i;

	for (i = 0; vm->vcpus[i] != v; i++)
		;
	vm->vcpus[i] = vm->vcpus[--vm->nr_vcpus];
	munmap(v->run, v->run_size);
	close(v->fd);
	free(v);
}

#define MAX_CPUID	256

struct kvm_cpuid2 *cpuid_copy(void)
{
	size_t size = sizeof(struct kvm_cpuid2) +
		      MAX_CPUID * sizeof(struct kvm_cpuid_entry2);
	struct kvm_cpuid2 *c = malloc(size);

	CHECK(c);
	return memcpy(c, supported_cpuid(), size);
}

struct kvm_cpuid2 *supported_cpuid(void)
{
	static struct kvm_cpuid2 *c;

	if (c)
		return c;
	c = calloc(1, sizeof(*c) + MAX_CPUID * sizeof(c->entries[0]));
	CHECK(c);
	c->nent = MAX_CPUID;
	WORKS(ioctl(kvm_fd(), KVM_GET_SUPPORTED_CPUID, c));
	return c;
}

/* Returns NULL when the leaf is not there; sub counts for indexed leaves. */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, u32 leaf, u32 sub)
{
	u32 i;

	for (i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function != leaf)
			continue;
		if (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) ||
		    e->index == sub)
			return e;
	}
	return NULL;
}

bool cpu_has(u32 leaf, int reg, int bit)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), leaf, 0);

	return e && ((&e->eax)[reg] >> bit & 1);
}

/* Registers */

void get_regs(struct vcpu *v, struct kvm_regs *r)
{
	WORKS(ioctl(v->fd, KVM_GET_REGS, r));
}

void set_regs(struct vcpu *v, const struct kvm_regs *r)
{
	WORKS(ioctl(v->fd, KVM_SET_REGS, r));
}

void get_sregs(struct vcpu *v, struct kvm_sregs *s)
{
	WORKS(ioctl(v->fd, KVM_GET_SREGS, s));
}

void set_sregs(struct vcpu *v, const struct kvm_sregs *s)
{
	WORKS(ioctl(v->fd, KVM_SET_SREGS, s));
}

u64 get_rip(struct vcpu *v)
{
	struct kvm_regs r;

	get_regs(v, &r);
	return r.rip;
}

void set_rip(struct vcpu *v, u64 rip)
{
	struct kvm_regs r;

	get_regs(v, &r);
	r.rip = rip;
	set_regs(v, &r);
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

/* Both return how many MSRs were handled: 1 or 0, or -1 with errno. */
int get_msr_try(struct vcpu *v, u32 index, u64 *value)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = index };
	int r = ioctl(v->fd, KVM_GET_MSRS, &m);

	*value = m.entry.data;
	return r;
}

int set_msr_try(struct vcpu *v, u32 index, u64 value)
{
	struct one_msr m = {
		.head.nmsrs = 1,
		.entry = { .index = index, .data = value },
	};

	return ioctl(v->fd, KVM_SET_MSRS, &m);
}

u64 get_msr(struct vcpu *v, u32 index)
{
	u64 value;

	if (get_msr_try(v, index, &value) != 1)
		fail("KVM_GET_MSRS refused MSR 0x%x", index);
	return value;
}

void set_msr(struct vcpu *v, u32 index, u64 value)
{
	if (set_msr_try(v, index, value) != 1)
		fail("KVM_SET_MSRS refused MSR 0x%x = 0x%llx", index, value);
}

/* Guest page tables */

static u64 *table_entry(struct vm *vm, u64 table, unsigned int index)
{
	return &RAM(vm, (table & ~0xfffull & ~PT_NX) + index * 8, u64);
}

/* The 4 KiB entry of an address below 4 GiB; a 2 MiB page is split. */
u64 *guest_pte(struct vm *vm, u64 va)
{
	u64 *pde = table_entry(vm, G_PD + (va >> 30) * 4096, va >> 21 & 511);
	unsigned int i;

	if (*pde & PT_PS) {
		u64 table = vm->next_pt, page = *pde & ~PT_PS;

		if (table >= G_PT_POOL_END)
			fail("no room for another page table");
		vm->next_pt += 4096;
		for (i = 0; i < 512; i++)
			*table_entry(vm, table, i) = page + i * 4096;
		*pde = table | PT_P | PT_W | PT_U;
	}
	return table_entry(vm, *pde, va >> 12 & 511);
}

void map_page(struct vm *vm, u64 va, u64 pa, u64 bits)
{
	*guest_pte(vm, va) = pa | bits;
}

/* Running */

static const char *const exit_names[] = {
	[KVM_EXIT_UNKNOWN] = "UNKNOWN",
	[KVM_EXIT_EXCEPTION] = "EXCEPTION",
	[KVM_EXIT_IO] = "IO",
	[KVM_EXIT_HYPERCALL] = "HYPERCALL",
	[KVM_EXIT_DEBUG] = "DEBUG",
	[KVM_EXIT_HLT] = "HLT",
	[KVM_EXIT_MMIO] = "MMIO",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
	[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
	[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
	[KVM_EXIT_INTR] = "INTR",
	[KVM_EXIT_SET_TPR] = "SET_TPR",
	[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
};

const char *exit_name(int reason)
{
	if (reason == STOP_DONE)
		return "guest done";
	if (reason == STOP_SYNC)
		return "guest sync";
	if (reason == STOP_TRAP)
		return "guest trap";
	if (reason >= 0 && reason < (int)ARRAY_SIZE(exit_names) &&
	    exit_names[reason])
		return exit_names[reason];
	return "?";
}

/* One line on where the vCPU stands, for failure messages. */
const char *exit_text(struct vcpu *v)
{
	static char text[256];
	struct kvm_run *run = v->run;
	int n = snprintf(text, sizeof(text), "exit %d %s at rip 0x%llx",
			 run->exit_reason, exit_name(run->exit_reason),
			 get_rip(v));
	size_t left = sizeof(text) - n;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		snprintf(text + n, left, ", port 0x%x %s size %u count %u",
			 run->io.port, run->io.direction ? "out" : "in",
			 run->io.size, run->io.count);
		break;
	case KVM_EXIT_MMIO:
		snprintf(text + n, left, ", 0x%llx %s len %u",
			 run->mmio.phys_addr,
			 run->mmio.is_write ? "write" : "read",
			 run->mmio.len);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(text + n, left, ", reason 0x%llx",
			 run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(text + n, left, ", suberror %u, data %llx %llx %llx",
			 run->internal.suberror, run->internal.data[0],
			 run->internal.data[1], run->internal.data[2]);
		break;
	}
	return text;
}

int vcpu_run(struct vcpu *v)
{
	int r;

	do {
		r = ioctl(v->fd, KVM_RUN, 0);
	} while (r < 0 && (errno == EINTR || errno == EAGAIN));
	if (r < 0)
		fail("KVM_RUN: %s", strerror(errno));
	return v->run->exit_reason;
}

static u32 io_value(struct vcpu *v)
{
	u32 value = 0;

	memcpy(&value, io_data(v), v->run->io.size);
	return value;
}

int vcpu_go(struct vcpu *v)
{
	int reason = vcpu_run(v);
	struct kvm_run *run = v->run;

	if (reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT)
		return reason;
	switch (run->io.port) {
	case PORT_DONE:
		return STOP_DONE;
	case PORT_SYNC:
		v->value = io_value(v);
		return STOP_SYNC;
	case PORT_TRAP:
		return STOP_TRAP;
	case PORT_FAIL:
		guest_failed(v->vm);
	}
	return reason;
}

void vcpu_until_at(struct vcpu *v, int want, const char *file, int line)
{
	int got = vcpu_go(v);
	struct trap32 t;

	if (got == want)
		return;
	if (got == STOP_TRAP) {
		trap_get(v, &t);
		fail_at(file, line, "expected %s, got exception %u, error %x, "
			"at %x:%x", exit_name(want), t.vector, t.error,
			t.cs, t.ip);
	}
	fail_at(file, line, "expected %s, got %s", exit_name(want),
		got < STOP_DONE ? exit_text(v) : exit_name(got));
}

struct vcpu *guest_start(void (*entry)(void))
{
	struct vcpu *v = vcpu_new(vm_new(), 0);

	vcpu_long(v, entry);
	return v;
}

void guest_run(void (*entry)(void))
{
	struct vcpu *v = guest_start(entry);

	vcpu_done(v);
	vm_free(v->vm);
}
