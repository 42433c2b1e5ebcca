// SPDX-License-Identifier: GPL-2.0-only
/*
 * routing.c - which interrupt controllers a VM has, and the way from a GSI (a
 * number that the monitor gives an interrupt) or an MSI to them.
 *
 * The table of routes is immutable. Whoever raises an interrupt reads it in a
 * section of kvm->irq_srcu, in any context but NMI; KVM_SET_GSI_ROUTING puts
 * another in its place, under kvm->irq_lock, and frees it when no reader can
 * have it any more.
 *
 * With KVM_IRQCHIP_SPLIT the first so many GSIs stand for the pins of the
 * monitor's I/O APIC: MSIs there that are level-triggered are those whose EOI
 * the monitor wants to know about.
 *
 * SDM: "Message Address Register Format", "Message Data Register Format".
 */
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "include/compat.h"
#include "kvm.h"
#include "irqchip/devices.h"
#include "trace.h"

/* A message: the address is FEEH and what follows. */
#define MSI_LOGICAL	BIT(2)
#define MSI_HINT	BIT(3)
#define MSI_DEST(lo)	((lo) >> 12 & 0xff)
/* With 32-bit IDs. */
#define MSI_DEST_HI	0xffffff00u
#define MSI_VECTOR	0xff
#define MSI_MODE(data)	((data) >> 8 & 7)
#define MSI_LEVEL	BIT(15)

#define NO_GSI		(-1)

struct kvm_irq_route {
	u32 type;		/* KVM_IRQ_ROUTING_IRQCHIP or _MSI */
	union {
		struct kvm_irq_routing_irqchip irqchip;
		struct kvm_irq_routing_msi msi;
	};
};

struct kvm_irq_routes {
	s16 gsi[KVM_NR_IRQCHIPS][KVM_IOAPIC_NUM_PINS];	/* that leads to a pin */
	u32 nr_gsis;
	u32 nr_ioapic;		/* KVM_IRQCHIP_SPLIT: GSIs that are pins */
	u32 *end;		/* by GSI: behind its last route */
	struct kvm_irq_route route[];	/* by GSI */
};

/* The routes of a GSI are those with numbers from here to end[gsi] - 1. */
static u32 first_route(const struct kvm_irq_routes *routes, u32 gsi)
{
	return gsi ? routes->end[gsi - 1] : 0;
}

/* irq_srcu or irq_lock held. */
static struct kvm_irq_routes *routes_of(struct kvm *kvm)
{
	return srcu_dereference_check(kvm->irq_routes, &kvm->irq_srcu,
				      lockdep_is_held(&kvm->irq_lock));
}

/* ---- raising ------------------------------------------------------------ */

static struct kvm_apic_msg msi_message(const struct kvm *kvm,
				       const struct kvm_irq_routing_msi *msi)
{
	u32 dest = MSI_DEST(msi->address_lo);

	if (kvm->x2apic_format)
		dest |= msi->address_hi & MSI_DEST_HI;
	return (struct kvm_apic_msg) {
		.dest = dest,
		.vector = msi->data & MSI_VECTOR,
		.mode = MSI_MODE(msi->data),
		.dest_logical = msi->address_lo & MSI_LOGICAL,
		.level = msi->data & MSI_LEVEL,
		.assert = true,
		.lowest_hint = msi->address_lo & MSI_HINT,
	};
}

static int send_msi(struct kvm *kvm, const struct kvm_irq_routing_msi *msi)
{
	struct kvm_apic_msg msg = msi_message(kvm, msi);

	trace_kvm_msi_set_irq(msi->address_lo | (u64)msi->address_hi << 32,
			      msi->data);
	return kvm_apic_deliver(kvm, NULL, &msg);
}

static int set_pin(struct kvm *kvm, int source, u32 irqchip, u32 pin, bool level)
{
	if (irqchip == KVM_IRQCHIP_IOAPIC)
		return kvm_ioapic_set_pin(kvm->ioapic, source, pin, level);
	return kvm_pic_set_pin(kvm->pic, source, irqchip, pin, level);
}

static int set_route(struct kvm *kvm, const struct kvm_irq_route *route,
		     int source, bool level)
{
	if (route->type == KVM_IRQ_ROUTING_IRQCHIP)
		return set_pin(kvm, source, route->irqchip.irqchip,
			       route->irqchip.pin, level);
	return level ? send_msi(kvm, &route->msi) : -1;
}

int kvm_set_irq(struct kvm *kvm, int source, u32 gsi, bool level)
{
	const struct kvm_irq_routes *routes;
	int idx, r = -1;
	u32 i;

	trace_kvm_set_irq(gsi, level, source);
	idx = srcu_read_lock(&kvm->irq_srcu);
	routes = routes_of(kvm);
	if (likely(gsi < routes->nr_gsis)) {
		gsi = array_index_nospec(gsi, routes->nr_gsis);
		for (i = first_route(routes, gsi); i < routes->end[gsi]; i++)
			r = max(r, set_route(kvm, &routes->route[i], source,
					     level));
	}
	srcu_read_unlock(&kvm->irq_srcu, idx);
	return r;
}

/* ---- acknowledgements --------------------------------------------------- */

int kvm_pin_to_gsi(struct kvm *kvm, unsigned int irqchip, unsigned int pin)
{
	return routes_of(kvm)->gsi[irqchip][pin];
}

static bool gsi_is_timer(struct kvm *kvm, int gsi)
{
	return !gsi && smp_load_acquire(&kvm->pit);
}

bool kvm_pin_wants_ack(struct kvm *kvm, unsigned int irqchip, unsigned int pin)
{
	int gsi = kvm_pin_to_gsi(kvm, irqchip, pin);

	trace_kvm_ack_irq(irqchip, pin);
	if (gsi_is_timer(kvm, gsi) && kvm_pit_wants_ack(kvm->pit))
		return true;
	return gsi != NO_GSI && kvm_irqfd_wants_ack(kvm, gsi);
}

void kvm_notify_acked(struct kvm *kvm, unsigned int irqchip, unsigned int pin)
{
	int idx = srcu_read_lock(&kvm->irq_srcu);
	int gsi = kvm_pin_to_gsi(kvm, irqchip, pin);

	if (gsi_is_timer(kvm, gsi))
		kvm_pit_acked(kvm->pit);
	if (gsi != NO_GSI)
		kvm_irqfd_acked(kvm, gsi);
	srcu_read_unlock(&kvm->irq_srcu, idx);
}

void kvm_notify_unmasked(struct kvm *kvm, unsigned int irqchip,
			 unsigned int pin)
{
	int idx = srcu_read_lock(&kvm->irq_srcu);

	if (gsi_is_timer(kvm, kvm_pin_to_gsi(kvm, irqchip, pin)))
		kvm_pit_rearm(kvm->pit);
	srcu_read_unlock(&kvm->irq_srcu, idx);
}

void kvm_request_ioapic_scan(struct kvm *kvm)
{
	if (kvm_irqchip_in_kernel(kvm))
		kvm_make_all_requests(kvm, KVM_REQ_SCAN_IOAPIC);
}

void kvm_split_eoi_vectors(struct kvm_vcpu *vcpu, unsigned long *bitmap)
{
	const struct kvm_irq_routes *routes = routes_of(vcpu->kvm);
	u32 gsis = min(routes->nr_gsis, routes->nr_ioapic), i;
	struct kvm_apic_msg msg;

	if (!gsis)
		return;
	for (i = 0; i < routes->end[gsis - 1]; i++) {
		msg = msi_message(vcpu->kvm, &routes->route[i].msi);
		if (msg.level && (kvm_apic_is_dest(vcpu, &msg) ||
				  kvm_apic_vector_busy(vcpu, msg.vector)))
			__set_bit(msg.vector, bitmap);
	}
}

/* ---- making a table ----------------------------------------------------- */

static bool msi_valid(const struct kvm *kvm,
		      const struct kvm_irq_routing_msi *msi)
{
	return !kvm->x2apic_format || !(msi->address_hi & ~MSI_DEST_HI);
}

static bool pin_valid(const struct kvm *kvm,
		      const struct kvm_irq_routing_irqchip *irqchip)
{
	if (kvm->irqchip_mode != KVM_IRQCHIP_KERNEL)
		return false;
	switch (irqchip->irqchip) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		return irqchip->pin < 8;
	case KVM_IRQCHIP_IOAPIC:
		return irqchip->pin < KVM_IOAPIC_NUM_PINS;
	}
	return false;
}

static bool entry_valid(const struct kvm *kvm,
			const struct kvm_irq_routing_entry *e)
{
	if (e->gsi >= KVM_MAX_IRQ_ROUTES || e->flags)
		return false;
	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		return pin_valid(kvm, &e->u.irqchip);
	case KVM_IRQ_ROUTING_MSI:
		return msi_valid(kvm, &e->u.msi);
	}
	return false;
}

static struct kvm_irq_route entry_route(const struct kvm_irq_routing_entry *e)
{
	struct kvm_irq_route route = { .type = e->type };

	if (e->type == KVM_IRQ_ROUTING_IRQCHIP)
		route.irqchip = e->u.irqchip;
	else
		route.msi = e->u.msi;
	return route;
}

static void routes_free(struct kvm_irq_routes *routes)
{
	if (routes)
		kvfree(routes->end);
	kvfree(routes);
}

static struct kvm_irq_routes *routes_alloc(u32 nr_gsis, u32 nr_routes)
{
	struct kvm_irq_routes *routes;

	routes = kvzalloc(struct_size(routes, route, nr_routes),
			  GFP_KERNEL_ACCOUNT);
	if (!routes)
		return NULL;
	memset(routes->gsi, 0xff, sizeof(routes->gsi));	/* NO_GSI */
	routes->nr_gsis = nr_gsis;
	routes->end = kvcalloc(max(nr_gsis, 1u), sizeof(*routes->end),
			       GFP_KERNEL_ACCOUNT);
	if (routes->end)
		return routes;
	routes_free(routes);
	return NULL;
}

/* A GSI leads to one MSI, or to one pin of each controller. */
static bool routes_conflict(const struct kvm_irq_route *a,
			    const struct kvm_irq_route *b)
{
	return a->type == KVM_IRQ_ROUTING_MSI ||
	       b->type == KVM_IRQ_ROUTING_MSI ||
	       a->irqchip.irqchip == b->irqchip.irqchip;
}

static bool gsi_valid(const struct kvm_irq_routes *routes, u32 gsi)
{
	u32 first = first_route(routes, gsi), end = routes->end[gsi], i, j;

	if (end - first > KVM_NR_IRQCHIPS)
		return false;
	for (i = first; i < end; i++)
		for (j = i + 1; j < end; j++)
			if (routes_conflict(&routes->route[i],
					    &routes->route[j]))
				return false;
	return true;
}

static void add_route(struct kvm_irq_routes *routes,
		      const struct kvm_irq_routing_entry *e)
{
	const struct kvm_irq_routing_irqchip *irqchip = &e->u.irqchip;

	routes->route[routes->end[e->gsi]++] = entry_route(e);
	if (e->type == KVM_IRQ_ROUTING_IRQCHIP)
		routes->gsi[irqchip->irqchip][irqchip->pin] = e->gsi;
}

/* Count each GSI's routes; let end[] begin where its first one goes; add. */
static int sort_routes(struct kvm_irq_routes *routes,
		       const struct kvm_irq_routing_entry *e, u32 nr)
{
	u32 i, n, start = 0;

	for (i = 0; i < nr; i++)
		routes->end[e[i].gsi]++;
	for (i = 0; i < routes->nr_gsis; i++) {
		n = routes->end[i];
		routes->end[i] = start;
		start += n;
	}
	for (i = 0; i < nr; i++)
		add_route(routes, &e[i]);
	for (i = 0; i < routes->nr_gsis; i++)
		if (!gsi_valid(routes, i))
			return -EINVAL;
	return 0;
}

/* From entries that are valid one by one. */
static struct kvm_irq_routes *
routes_create(const struct kvm_irq_routing_entry *e, u32 nr)
{
	struct kvm_irq_routes *routes;
	u32 i, nr_gsis = 0;

	for (i = 0; i < nr; i++)
		nr_gsis = max(nr_gsis, e[i].gsi + 1);
	routes = routes_alloc(nr_gsis, nr);
	if (!routes)
		return ERR_PTR(-ENOMEM);
	if (!sort_routes(routes, e, nr))
		return routes;
	routes_free(routes);
	return ERR_PTR(-EINVAL);
}

static int replace_routes(struct kvm *kvm,
			  const struct kvm_irq_routing_entry *e, u32 nr)
{
	struct kvm_irq_routes *new, *old;
	u32 i;

	for (i = 0; i < nr; i++)
		if (!entry_valid(kvm, &e[i]))
			return -EINVAL;
	new = routes_create(e, nr);
	if (IS_ERR(new))
		return PTR_ERR(new);
	mutex_lock(&kvm->irq_lock);
	old = routes_of(kvm);
	new->nr_ioapic = old->nr_ioapic;
	rcu_assign_pointer(kvm->irq_routes, new);
	mutex_unlock(&kvm->irq_lock);
	kvm_request_ioapic_scan(kvm);
	synchronize_srcu_expedited(&kvm->irq_srcu);
	routes_free(old);
	return 0;
}

/* ---- ioctls ------------------------------------------------------------- */

int kvm_set_gsi_routing(struct kvm *kvm, struct kvm_irq_routing __user *user)
{
	struct kvm_irq_routing_entry *entries;
	struct kvm_irq_routing head;
	int r;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (!kvm_irqchip_in_kernel(kvm) || head.flags ||
	    head.nr > KVM_MAX_IRQ_ROUTES)
		return -EINVAL;
	entries = vmemdup_user(user->entries,
			       array_size(head.nr, sizeof(*entries)));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	r = replace_routes(kvm, entries, head.nr);
	kvfree(entries);
	return r;
}

int kvm_signal_msi(struct kvm *kvm, const struct kvm_msi *msi)
{
	const struct kvm_irq_routing_msi route = {
		.address_lo = msi->address_lo,
		.address_hi = msi->address_hi,
		.data = msi->data,
	};

	if (!kvm_irqchip_in_kernel(kvm) || msi->flags ||
	    !msi_valid(kvm, &route))
		return -EINVAL;
	return send_msi(kvm, &route);
}

int kvm_irq_line(struct kvm *kvm, struct kvm_irq_level *line)
{
	if (!kvm_irqchip_in_kernel(kvm))
		return -ENXIO;
	line->status = kvm_set_irq(kvm, KVM_IRQ_SOURCE_USER, line->irq,
				   line->level);
	return 0;
}

int kvm_get_irqchip(struct kvm *kvm, struct kvm_irqchip *chip)
{
	if (smp_load_acquire(&kvm->irqchip_mode) != KVM_IRQCHIP_KERNEL)
		return -ENXIO;
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		kvm_pic_get_state(kvm->pic, chip->chip_id, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		kvm_ioapic_get_state(kvm->ioapic, &chip->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}

int kvm_set_irqchip(struct kvm *kvm, const struct kvm_irqchip *chip)
{
	if (smp_load_acquire(&kvm->irqchip_mode) != KVM_IRQCHIP_KERNEL)
		return -ENXIO;
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		kvm_pic_set_state(kvm->pic, chip->chip_id, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		kvm_ioapic_set_state(kvm->ioapic, &chip->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}

/* ---- which controllers there are ---------------------------------------- */

#define ISA_PINS	16

/*
 * GSIs 0 to 15 are those of the ISA bus and lead to both kinds of controller;
 * up to 23, to the I/O APIC alone. The monitor describes to the guest, and
 * sets, what differs: mostly that the timer is at the I/O APIC's pin 2.
 */
static struct kvm_irq_routes *default_routes(void)
{
	struct kvm_irq_routing_entry *e;
	struct kvm_irq_routes *routes;
	u32 gsi, n = 0;

	e = kcalloc(KVM_IOAPIC_NUM_PINS + ISA_PINS, sizeof(*e), GFP_KERNEL);
	if (!e)
		return ERR_PTR(-ENOMEM);
	for (gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; gsi++)
		e[n++] = (struct kvm_irq_routing_entry) {
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { KVM_IRQCHIP_IOAPIC, gsi },
		};
	for (gsi = 0; gsi < ISA_PINS; gsi++)
		e[n++] = (struct kvm_irq_routing_entry) {
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { gsi / 8, gsi % 8 },
		};
	routes = routes_create(e, n);
	kfree(e);
	return routes;
}

/* What becomes a VM's own: all of it, or nothing. */
static int add_controllers(struct kvm *kvm, enum kvm_irqchip_mode mode,
			   struct kvm_irq_routes *routes)
{
	int r = init_srcu_struct(&kvm->irq_srcu);

	if (r) {
		routes_free(routes);
		return r;
	}
	rcu_assign_pointer(kvm->irq_routes, routes);
	/* From here on ioctls use them. */
	smp_store_release(&kvm->irqchip_mode, mode);
	return 0;
}

static int add_kernel_controllers(struct kvm *kvm)
{
	struct kvm_irq_routes *routes;

	kvm->pic = kvm_pic_create(kvm);
	kvm->ioapic = kvm_ioapic_create(kvm);
	if (!kvm->pic || !kvm->ioapic)
		return -ENOMEM;
	routes = default_routes();
	if (IS_ERR(routes))
		return PTR_ERR(routes);
	return add_controllers(kvm, KVM_IRQCHIP_KERNEL, routes);
}

static void free_kernel_controllers(struct kvm *kvm)
{
	kvm_ioapic_free(kvm->ioapic);
	kvm_pic_free(kvm->pic);
	kvm->ioapic = NULL;
	kvm->pic = NULL;
}

int kvm_irqchip_create(struct kvm *kvm)
{
	int r;

	lockdep_assert_held(&kvm->lock);
	if (kvm_irqchip_in_kernel(kvm))
		return -EEXIST;
	if (kvm->nr_vcpus)
		return -EINVAL;
	r = add_kernel_controllers(kvm);
	if (r)
		free_kernel_controllers(kvm);
	return r;
}

int kvm_irqchip_create_split(struct kvm *kvm, u32 nr_routes)
{
	struct kvm_irq_routes *routes;

	lockdep_assert_held(&kvm->lock);
	if (kvm_irqchip_in_kernel(kvm) || kvm->nr_vcpus)
		return -EEXIST;
	if (nr_routes > KVM_MAX_IRQ_ROUTES)
		return -EINVAL;
	routes = routes_alloc(0, 0);
	if (!routes)
		return -ENOMEM;
	routes->nr_ioapic = nr_routes;
	return add_controllers(kvm, KVM_IRQCHIP_SPLIT, routes);
}

void kvm_irqchip_init(struct kvm *kvm)
{
	mutex_init(&kvm->irq_lock);
	spin_lock_init(&kvm->irqfds_lock);
	INIT_LIST_HEAD(&kvm->irqfds);
	INIT_LIST_HEAD(&kvm->resamplers);
}

void kvm_irqchip_destroy(struct kvm *kvm)
{
	kvm_ioeventfd_release(kvm);
	/* First all that raises interrupts by itself. */
	kvm_pit_free(kvm->pit);
	if (!kvm_irqchip_in_kernel(kvm))
		return;
	kvm_irqfd_release(kvm);
	free_kernel_controllers(kvm);
	routes_free(rcu_dereference_protected(kvm->irq_routes, true));
	cleanup_srcu_struct(&kvm->irq_srcu);
}
