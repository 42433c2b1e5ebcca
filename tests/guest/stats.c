// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_STATS_FD: the binary statistics of a VM and of a vCPU, their
 * format, and that they count.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define NAME_SIZE	48

/* The file of a VM or vCPU, its descriptors read. */
struct stats {
	int fd;
	struct kvm_stats_header head;
	char *descs;			/* num_desc of desc_size bytes */
	size_t desc_size;
};

static void read_at(int fd, u64 pos, void *to, size_t size)
{
	EQ(pread(fd, to, size, pos), size);
}

static struct kvm_stats_desc *desc_at(const struct stats *s, u32 i)
{
	return (void *)(s->descs + i * s->desc_size);
}

static struct stats stats_open(int owner)
{
	struct stats s = { .fd = WORKS(ioctl(owner, KVM_GET_STATS_FD, NULL)) };
	size_t size;

	read_at(s.fd, 0, &s.head, sizeof(s.head));
	s.desc_size = sizeof(struct kvm_stats_desc) + s.head.name_size;
	size = s.head.num_desc * s.desc_size;
	s.descs = malloc(size);
	read_at(s.fd, s.head.desc_offset, s.descs, size);
	return s;
}

static void stats_close(struct stats *s)
{
	free(s->descs);
	close(s->fd);
}

/* The first value of a counter. */
static u64 stats_value(const struct stats *s, const char *name)
{
	u64 value;
	u32 i;

	for (i = 0; i < s->head.num_desc; i++) {
		struct kvm_stats_desc *d = desc_at(s, i);

		if (strcmp(d->name, name))
			continue;
		read_at(s->fd, s->head.data_offset + d->offset, &value,
			sizeof(value));
		return value;
	}
	fail("there is no counter %s", name);
}

/* KVM API, "4.133 KVM_GET_STATS_FD". */
static void check_desc(const struct stats *s, u32 i, u64 end)
{
	struct kvm_stats_desc *d = desc_at(s, i);
	u32 type = d->flags & KVM_STATS_TYPE_MASK;
	u32 unit = d->flags & KVM_STATS_UNIT_MASK;
	size_t length = strnlen(d->name, s->head.name_size);
	u32 j;

	row(length && length < s->head.name_size, "%u: its name", i);
	row(type <= KVM_STATS_TYPE_MAX && unit <= KVM_STATS_UNIT_MAX &&
	    (d->flags & KVM_STATS_BASE_MASK) <= KVM_STATS_BASE_MAX,
	    "%s: flags %#x", d->name, d->flags);
	row(unit == KVM_STATS_UNIT_SECONDS ? d->exponent <= 0 :
	    d->exponent >= 0, "%s: exponent %d", d->name, d->exponent);
	row(type == KVM_STATS_TYPE_LINEAR_HIST ||
	    type == KVM_STATS_TYPE_LOG_HIST ? d->size > 1 : d->size == 1,
	    "%s: %u values", d->name, d->size);
	row(s->head.data_offset + d->offset + d->size * sizeof(u64) <= end,
	    "%s: its data is behind the end", d->name);
	for (j = 0; j < i; j++)
		row(strcmp(d->name, desc_at(s, j)->name),
		    "%s: twice", d->name);
}

static void check_format(int owner, const char *id)
{
	struct stats s = stats_open(owner);
	char name[NAME_SIZE] = "";
	static char all[1 << 16];
	ssize_t end;
	u32 i;

	EQ(s.head.flags, 0);
	EQ(s.head.name_size, NAME_SIZE);
	CHECK(s.head.num_desc > 0 && s.head.num_desc < 1000);
	CHECK(s.head.id_offset >= sizeof(s.head));
	CHECK(s.head.desc_offset >= s.head.id_offset + NAME_SIZE);
	CHECK(s.head.data_offset >= s.head.desc_offset +
				    s.head.num_desc * s.desc_size);
	read_at(s.fd, s.head.id_offset, name, sizeof(name));
	CHECK(!strncmp(name, id, strlen(id)));
	end = pread(s.fd, all, sizeof(all), 0);
	CHECK(end > s.head.data_offset && end < (ssize_t)sizeof(all));
	for (i = 0; i < s.head.num_desc; i++)
		check_desc(&s, i, end);
	stats_close(&s);
}

TEST(format)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	char id[NAME_SIZE];

	need_cap(KVM_CAP_BINARY_STATS_FD);
	snprintf(id, sizeof(id), "kvm-%d", getpid());
	check_format(vm->fd, id);
	snprintf(id, sizeof(id), "kvm-%d/vcpu-0", getpid());
	check_format(v->fd, id);
	vm_free(vm);
}

TEST(counts)
{
	struct vcpu *v = guest_start(guest_cpuids);
	u64 exits, ios;
	struct stats s;

	need_cap(KVM_CAP_BINARY_STATS_FD);
	s = stats_open(v->fd);
	vcpu_until(v, STOP_SYNC);
	exits = stats_value(&s, "exits");
	ios = stats_value(&s, "io_exits");
	vcpu_until(v, STOP_SYNC);
	exits = stats_value(&s, "exits") - exits;
	/* Some for the host's own interrupts. */
	CHECK(exits > GUEST_CPUIDS && exits < GUEST_CPUIDS + 100);
	EQ(stats_value(&s, "io_exits"), ios + 1);
	stats_close(&s);
	vm_free(v->vm);
}

/* Each reason is counted alone, and `exits` is all of them together. */
TEST(counts_by_reason)
{
	struct vcpu *v = guest_start(guest_cpuids);
	u64 sum = 0, value;
	struct stats s;
	u32 i;

	need_cap(KVM_CAP_BINARY_STATS_FD);
	if (kvm_in_tree())
		skip("the kernel's own counts no exits by reason");
	vcpu_until(v, STOP_SYNC);
	s = stats_open(v->fd);
	EQ(stats_value(&s, "exit_CPUID"), GUEST_CPUIDS);
	EQ(stats_value(&s, "exit_IO_INSTRUCTION"), 1);
	for (i = 0; i < s.head.num_desc; i++) {
		struct kvm_stats_desc *d = desc_at(&s, i);

		if (strncmp(d->name, "exit_", 5))
			continue;
		read_at(s.fd, s.head.data_offset + d->offset, &value, 8);
		sum += value;
	}
	EQ(stats_value(&s, "exits"), sum);
	stats_close(&s);
	vm_free(v->vm);
}

/* Any part of the file, in pieces of any size, is what the whole is. */
TEST(pieces)
{
	struct vm *vm = vm_new();
	static char all[1 << 16], piece[64];
	char *volatile nowhere = (char *)1;
	ssize_t end, n, want;
	int fd, i;

	need_cap(KVM_CAP_BINARY_STATS_FD);
	fd = WORKS(ioctl(vm->fd, KVM_GET_STATS_FD, NULL));
	end = pread(fd, all, sizeof(all), 0);
	for (i = 0; i < 2000; i++) {
		u64 pos = rnd() % (end + 10), size = rnd() % sizeof(piece);
		u64 left;

		n = pread(fd, piece, size, pos);
		left = pos >= (u64)end ? 0 : end - pos;
		want = left < size ? left : size;
		row(n == want && (n <= 0 || !memcmp(piece, all + pos, n)),
		    "%llu bytes at %llu: %zd", size, pos, n);
	}
	EQ(pread(fd, piece, sizeof(piece), 1ull << 40), 0);
	EQ(read(fd, piece, 8), 8);
	EQ(read(fd, piece + 8, 8), 8);
	EQ(memcmp(piece, all, 16), 0);
	FAILS(pread(fd, nowhere, 8, 0), EFAULT);
	FAILS(write(fd, piece, 8), EBADF);
	close(fd);
	vm_free(vm);
}

/* The file outlives the descriptors of the VM and the vCPU. */
TEST(outlives)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 0);
	struct stats of_vm, of_vcpu;

	need_cap(KVM_CAP_BINARY_STATS_FD);
	of_vm = stats_open(vm->fd);
	of_vcpu = stats_open(v->fd);
	vm_free(vm);
	stats_value(&of_vm, "remote_tlb_flush");
	stats_value(&of_vcpu, "exits");
	stats_close(&of_vcpu);
	stats_value(&of_vm, "remote_tlb_flush");
	stats_close(&of_vm);
}
