// SPDX-License-Identifier: GPL-2.0-only
/*
 * iobus.c - which device of the driver's own serves an access: a controller,
 * an ioeventfd, a coalesced zone. What none of them wants is the monitor's.
 *
 * Which addresses a device has is said here; what it does there, in its own
 * file. Ports are one byte wide: a wider access is as many of one byte each,
 * as on the ISA bus. The I/O APIC has 32-bit registers and takes the lower
 * part of what is written.
 *
 * Coalesced zones change under kvm->slots_lock and are read, as all that an
 * access needs, in a section of kvm->srcu; ring_lock is for writers of the ring.
 */
#include <linux/mm.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "include/compat.h"
#include "kvm.h"
#include "irqchip/devices.h"
#include "trace.h"

/* ---- ports -------------------------------------------------------------- */

enum port_owner { PORT_OF_NONE, PORT_OF_PIC, PORT_OF_PIT };

static enum port_owner port_owner(struct kvm *kvm, u16 port)
{
	const struct kvm_pit *pit;

	switch (port) {
	case 0x20 ... 0x21:
	case 0xa0 ... 0xa1:
	case 0x4d0 ... 0x4d1:
		return kvm->pic ? PORT_OF_PIC : PORT_OF_NONE;
	case 0x40 ... 0x43:
	case 0x61:
		pit = smp_load_acquire(&kvm->pit);
		return pit && kvm_pit_has_port(pit, port) ? PORT_OF_PIT :
							    PORT_OF_NONE;
	}
	return PORT_OF_NONE;
}

static u8 read_port(struct kvm *kvm, u16 port)
{
	switch (port_owner(kvm, port)) {
	case PORT_OF_PIC:
		return kvm_pic_read(kvm->pic, port);
	case PORT_OF_PIT:
		return kvm_pit_read(kvm->pit, port);
	default:
		return 0xff;
	}
}

static void write_port(struct kvm *kvm, u16 port, u8 val)
{
	switch (port_owner(kvm, port)) {
	case PORT_OF_PIC:
		kvm_pic_write(kvm->pic, port, val);
		break;
	case PORT_OF_PIT:
		kvm_pit_write(kvm->pit, port, val);
		break;
	default:
		break;
	}
}

static int pio_read(struct kvm *kvm, u16 port, unsigned int len, u8 *data)
{
	unsigned int i;

	if (likely(port_owner(kvm, port) == PORT_OF_NONE))
		return -EOPNOTSUPP;
	for (i = 0; i < len; i++)
		data[i] = read_port(kvm, port + i);
	return 0;
}

static int pio_write(struct kvm *kvm, u16 port, unsigned int len,
		     const u8 *data)
{
	unsigned int i;

	if (likely(port_owner(kvm, port) == PORT_OF_NONE))
		return -EOPNOTSUPP;
	for (i = 0; i < len; i++)
		write_port(kvm, port + i, data[i]);
	return 0;
}

/* ---- memory ------------------------------------------------------------- */

static int mmio_read(struct kvm_vcpu *vcpu, u64 addr, unsigned int len,
		     void *data)
{
	struct kvm_ioapic *ioapic = vcpu->kvm->ioapic;
	unsigned int offset;
	u64 val;

	if (vcpu->apic && !kvm_apic_mmio_read(vcpu, addr, len, data))
		return 0;
	if (!ioapic || !kvm_ioapic_covers(ioapic, addr, len, &offset))
		return -EOPNOTSUPP;
	val = kvm_ioapic_read(ioapic, offset);
	memcpy(data, &val, len);
	return 0;
}

static noinline int ioapic_write(struct kvm_ioapic *ioapic, u64 addr,
				 unsigned int len, const void *data)
{
	unsigned int offset;
	u32 val = 0;

	if (!kvm_ioapic_covers(ioapic, addr, len, &offset))
		return -EOPNOTSUPP;
	memcpy(&val, data, min_t(unsigned int, len, sizeof(val)));
	kvm_ioapic_write(ioapic, offset, val);
	return 0;
}

static int mmio_write(struct kvm_vcpu *vcpu, u64 addr, unsigned int len,
		      const void *data)
{
	struct kvm_ioapic *ioapic = vcpu->kvm->ioapic;

	if (vcpu->apic && !kvm_apic_mmio_write(vcpu, addr, len, data))
		return 0;
	return ioapic ? ioapic_write(ioapic, addr, len, data) : -EOPNOTSUPP;
}

/* ---- coalesced MMIO and PIO --------------------------------------------- */

#define MAX_COALESCED_ZONES	1000

int kvm_register_coalesced(struct kvm *kvm,
			   const struct kvm_coalesced_mmio_zone *zone)
{
	struct kvm_coalesced_zone *new;
	int r = -ENOSPC;

	if (zone->pio > 1 || zone->addr + zone->size < zone->addr)
		return -EINVAL;
	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	new->zone = *zone;
	mutex_lock(&kvm->slots_lock);
	if (kvm->nr_coalesced_zones < MAX_COALESCED_ZONES) {
		kvm->nr_coalesced_zones++;
		list_add_rcu(&new->list, &kvm->coalesced_zones);
		new = NULL;
		r = 0;
	}
	mutex_unlock(&kvm->slots_lock);
	kfree(new);
	return r;
}

static bool zone_covers(const struct kvm_coalesced_mmio_zone *zone, bool pio,
			u64 addr, u64 len)
{
	return !!zone->pio == pio && addr >= zone->addr &&
	       len <= zone->size && addr - zone->addr <= zone->size - len;
}

int kvm_unregister_coalesced(struct kvm *kvm,
			     const struct kvm_coalesced_mmio_zone *zone)
{
	struct kvm_coalesced_zone *z, *next;
	LIST_HEAD(removed);

	if (zone->pio > 1)
		return -EINVAL;
	mutex_lock(&kvm->slots_lock);
	list_for_each_entry_safe(z, next, &kvm->coalesced_zones, list) {
		if (!zone_covers(&z->zone, zone->pio, zone->addr, zone->size))
			continue;
		list_del_rcu(&z->list);
		kvm->nr_coalesced_zones--;
		/* A reader may stand on it, but needs it no longer after. */
		synchronize_srcu_expedited(&kvm->srcu);
		kfree(z);
	}
	mutex_unlock(&kvm->slots_lock);
	return 0;
}

static bool address_coalesced(struct kvm *kvm, bool pio, u64 addr,
			      unsigned int len)
{
	struct kvm_coalesced_zone *z;

	list_for_each_entry_srcu(z, &kvm->coalesced_zones, list,
				 srcu_read_lock_held(&kvm->srcu))
		if (zone_covers(&z->zone, pio, addr, len))
			return true;
	return false;
}

/* User space can write to the ring: its indexes are read once and checked. */
static bool ring_put(struct kvm_coalesced_mmio_ring *ring, bool pio, u64 addr,
		     unsigned int len, const void *data)
{
	u32 last = READ_ONCE(ring->last);
	struct kvm_coalesced_mmio *entry;
	u32 next;

	if (last >= KVM_COALESCED_MMIO_MAX)
		return false;
	next = last + 1 < KVM_COALESCED_MMIO_MAX ? last + 1 : 0;
	if (next == READ_ONCE(ring->first))
		return false;
	entry = &ring->coalesced_mmio[last];
	entry->phys_addr = addr;
	entry->len = len;
	entry->pio = pio;
	memcpy(entry->data, data, len);
	/* The entry before the index that announces it. */
	smp_store_release(&ring->last, next);
	return true;
}

static bool coalesce(struct kvm *kvm, bool pio, u64 addr, unsigned int len,
		     const void *data)
{
	bool done;

	if (len > sizeof_field(struct kvm_coalesced_mmio, data) ||
	    !address_coalesced(kvm, pio, addr, len))
		return false;
	spin_lock(&kvm->ring_lock);
	done = ring_put(kvm->coalesced_ring, pio, addr, len, data);
	spin_unlock(&kvm->ring_lock);
	return done;
}

int kvm_coalesced_init(struct kvm *kvm)
{
	spin_lock_init(&kvm->ring_lock);
	INIT_LIST_HEAD(&kvm->coalesced_zones);
	kvm->coalesced_ring = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return kvm->coalesced_ring ? 0 : -ENOMEM;
}

void kvm_coalesced_destroy(struct kvm *kvm)
{
	struct kvm_coalesced_zone *z, *next;

	list_for_each_entry_safe(z, next, &kvm->coalesced_zones, list)
		kfree(z);
	free_page((unsigned long)kvm->coalesced_ring);
}

/* ---- both --------------------------------------------------------------- */

int kvm_io_read(struct kvm_vcpu *vcpu, enum kvm_bus bus, u64 addr,
		unsigned int len, void *data)
{
	int r = bus == KVM_BUS_PIO ? pio_read(vcpu->kvm, addr, len, data) :
				     mmio_read(vcpu, addr, len, data);

	if (!r && bus == KVM_BUS_PIO)
		trace_kvm_pio(false, addr, len, 1, data);
	else if (!r)
		trace_kvm_mmio(KVM_TRACE_MMIO_READ, len, addr, data);
	return r;
}

int kvm_io_write(struct kvm_vcpu *vcpu, enum kvm_bus bus, u64 addr,
		 unsigned int len, const void *data)
{
	int r = bus == KVM_BUS_PIO ? pio_write(vcpu->kvm, addr, len, data) :
				     mmio_write(vcpu, addr, len, data);

	if (r && !kvm_ioeventfd_write(vcpu->kvm, bus, addr, len, data) &&
	    !coalesce(vcpu->kvm, bus == KVM_BUS_PIO, addr, len, data))
		return -EOPNOTSUPP;
	if (bus == KVM_BUS_PIO)
		trace_kvm_pio(true, addr, len, 1, data);
	else
		trace_kvm_mmio(KVM_TRACE_MMIO_WRITE, len, addr, data);
	return 0;
}

/* ---- without more ado --------------------------------------------------- */

bool kvm_io_signal(struct kvm_vcpu *vcpu, u16 port, unsigned int len,
		   const void *data)
{
	struct kvm *kvm = vcpu->kvm;
	bool done;
	int idx;

	if (port_owner(kvm, port) != PORT_OF_NONE)
		return false;
	idx = srcu_read_lock(&kvm->srcu);
	done = kvm_ioeventfd_write(kvm, KVM_BUS_PIO, port, len, data);
	srcu_read_unlock(&kvm->srcu, idx);
	return done;
}

bool kvm_io_signal_any(struct kvm_vcpu *vcpu, gpa_t gpa)
{
	struct kvm *kvm = vcpu->kvm;
	int idx = srcu_read_lock(&kvm->srcu);
	bool done = kvm_ioeventfd_write(kvm, KVM_BUS_MMIO, gpa, 0, NULL);

	srcu_read_unlock(&kvm->srcu, idx);
	return done;
}
