// SPDX-License-Identifier: GPL-2.0-only
/*
 * apic_bus.c - interrupt messages between local APICs, and to them from I/O
 * APICs and MSIs: who is meant, and what it means to them.
 *
 * Whom a message names is asked of a map, which leads from a physical or a
 * logical ID to local APICs without looking at any other. Where the map has no
 * answer (broadcasts; logical IDs that are shared, or in more than one model;
 * IDs that software has written), every local APIC is asked: message_matches()
 * is the definition, the map its short cut.
 *
 * Locking: kvm->apic_map is RCU, replaced under kvm->apic_map_lock. Delivery
 * runs in any context but NMI, and takes no lock: IRR and what is pending are
 * set atomically, then KVM_REQ_EVENT, then the vCPU is kicked.
 *
 * SDM: "Issuing Interprocessor Interrupts", "Determining IPI Destination",
 * "Message Signalled Interrupts", "x2APIC ID", "Logical Destination Mode in
 * x2APIC Mode", "Interrupt Acceptance for Fixed Interrupts".
 */
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "lapic.h"
#include "trace.h"

#define X2APIC_BROADCAST	0xffffffffu
#define XAPIC_BROADCAST		0xffu

/* ---- who is meant: the definition --------------------------------------- */

/* x2APIC: the cluster above, a bit of 16 below. xAPIC: 8 bits, by DFR. */
static u32 logical_id(const struct kvm_lapic *apic)
{
	u32 ldr = apic_get(apic, APIC_LDR);

	return apic->x2apic ? ldr : GET_APIC_LOGICAL_ID(ldr);
}

static bool logical_model_is_flat(const struct kvm_lapic *apic)
{
	return apic_get(apic, APIC_DFR) >> 28 == 0xf;
}

static u32 xapic_id(const struct kvm_lapic *apic)
{
	return apic_get(apic, APIC_ID) >> 24;
}

/* In xAPIC mode software may have changed it, to one that others have too. */
static bool id_was_written(const struct kvm_lapic *apic)
{
	return !READ_ONCE(apic->x2apic) &&
	       xapic_id(apic) != (u8)apic->vcpu->id;
}

static bool matches_physical(const struct kvm_lapic *apic, u32 dest)
{
	return dest == (id_was_written(apic) ? xapic_id(apic) :
					       (u32)apic->vcpu->id);
}

static bool matches_logical(const struct kvm_lapic *apic, u32 dest)
{
	u32 id = logical_id(apic);

	if (READ_ONCE(apic->x2apic))
		return dest >> 16 == id >> 16 && (dest & id & 0xffff);
	if (dest > 0xff)
		return false;
	if (logical_model_is_flat(apic))
		return dest & id;
	return dest >> 4 == id >> 4 && (dest & id & 0xf);
}

/*
 * FFH means all to a sender that knows 8 bits. For what is no IPI that holds
 * though the guest may use x2APIC IDs, as without interrupt remapping there is
 * no other way to say it, until the monitor disables that quirk.
 */
static bool dest_is_all(const struct kvm *kvm, const struct kvm_lapic *source,
			u32 dest)
{
	if (dest == X2APIC_BROADCAST)
		return true;
	return dest == XAPIC_BROADCAST &&
	       (source ? !source->x2apic : !kvm->x2apic_no_broadcast);
}

static bool message_matches(const struct kvm_lapic *apic,
			    const struct kvm_lapic *source,
			    const struct kvm_apic_msg *msg)
{
	if (!READ_ONCE(apic->hw_enabled))
		return false;
	switch (msg->shorthand) {
	case KVM_SHORTHAND_SELF:
		return apic == source;
	case KVM_SHORTHAND_ALL:
		return true;
	case KVM_SHORTHAND_OTHERS:
		return apic != source;
	}
	if (dest_is_all(apic->vcpu->kvm, source, msg->dest))
		return true;
	/* With the quirk disabled an xAPIC still takes it so. */
	if (msg->dest == XAPIC_BROADCAST && !source &&
	    !READ_ONCE(apic->x2apic))
		return true;
	if (msg->dest_logical)
		return matches_logical(apic, msg->dest);
	return matches_physical(apic, msg->dest);
}

bool kvm_apic_is_dest(struct kvm_vcpu *vcpu, const struct kvm_apic_msg *msg)
{
	return vcpu->apic && message_matches(vcpu->apic, NULL, msg);
}

/* ---- who is meant: the map ---------------------------------------------- */

/* By which model logical[], or by_id[], answers for logical destinations. */
enum logical_model {
	LOGICAL_UNKNOWN, LOGICAL_FLAT, LOGICAL_CLUSTER, LOGICAL_X2APIC,
};

/* In units of a cluster of x2APIC: a bit of a logical ID is the next ID. */
#define MAP_UNIT	16

struct kvm_apic_map {
	struct rcu_head rcu;
	enum logical_model model;
	bool ids_written;		/* by_id[] goes by vCPUs' IDs alone */
	struct kvm_lapic *logical[64];	/* flat: by bit; cluster: 4 for each */
	u32 size;
	struct kvm_lapic *by_id[];
};

/* Local APICs that lie beside each other in the map: one for each bit. */
struct apic_set {
	struct kvm_lapic *const *apics;
	unsigned long bits;
	bool x2apic;		/* only those in that mode */
};

#define for_each_in_set(apic, bit, set)					\
	for_each_set_bit(bit, &(set)->bits, MAP_UNIT)			\
		if (((apic) = (set)->apics[bit]) &&			\
		    (!(set)->x2apic || READ_ONCE((apic)->x2apic)))

static void set_from_ids(const struct kvm_apic_map *map, u32 first, u32 bits,
			 struct apic_set *set)
{
	*set = (struct apic_set) { map->by_id, 0 };
	if (first >= map->size)
		return;
	set->apics += array_index_nospec(first, map->size);
	set->bits = bits;
}

/* False: the map does not tell. */
static bool logical_set(const struct kvm_apic_map *map, u32 dest,
			struct apic_set *set)
{
	switch (map->model) {
	case LOGICAL_X2APIC:
		/* No cluster number of 16 bits wraps: IDs have 32. */
		set_from_ids(map, dest >> 16 << 4, dest & 0xffff, set);
		set->x2apic = true;
		return true;
	case LOGICAL_FLAT:
		*set = (struct apic_set) { map->logical, dest & 0xff };
		return dest <= 0xff;
	case LOGICAL_CLUSTER:
		*set = (struct apic_set) {
			map->logical + (dest >> 4 & 0xf) * 4, dest & 0xf,
		};
		return dest <= 0xff;
	default:
		return false;
	}
}

static bool find_set(const struct kvm_apic_map *map,
		     const struct kvm_lapic *source,
		     const struct kvm_apic_msg *msg, struct apic_set *set)
{
	if (!map || msg->shorthand || msg->dest == X2APIC_BROADCAST ||
	    (msg->dest == XAPIC_BROADCAST && !(source && source->x2apic)))
		return false;
	if (msg->dest_logical)
		return logical_set(map, msg->dest, set);
	if (unlikely(map->ids_written))
		return false;
	set_from_ids(map, msg->dest, 1, set);
	return true;
}

static enum logical_model model_of(const struct kvm_lapic *apic)
{
	if (apic->x2apic)
		return LOGICAL_X2APIC;
	return logical_model_is_flat(apic) ? LOGICAL_FLAT : LOGICAL_CLUSTER;
}

/* False: a slot is another's already. */
static bool fill_slots(struct kvm_apic_map *map, unsigned int first, u32 bits,
		       struct kvm_lapic *apic)
{
	for (; bits; bits &= bits - 1) {
		if (map->logical[first + __ffs(bits)])
			return false;
		map->logical[first + __ffs(bits)] = apic;
	}
	return true;
}

static bool add_logical(struct kvm_apic_map *map, struct kvm_lapic *apic)
{
	u32 id = logical_id(apic);

	switch (map->model) {
	case LOGICAL_FLAT:
		return fill_slots(map, 0, id, apic);
	case LOGICAL_CLUSTER:
		return fill_slots(map, (id >> 4) * 4, id & 0xf, apic);
	default:
		return true;	/* by_id[] does it */
	}
}

static void add_to_map(struct kvm_apic_map *map, struct kvm_lapic *apic,
		       bool *has_model)
{
	if (!apic->hw_enabled)
		return;
	map->by_id[apic->vcpu->id] = apic;
	map->ids_written |= id_was_written(apic);
	/* None yet, as after reset: nothing logical reaches it. */
	if (!logical_id(apic))
		return;
	if (!*has_model) {
		map->model = model_of(apic);
		*has_model = true;
	}
	if (map->model != model_of(apic) || !add_logical(map, apic))
		map->model = LOGICAL_UNKNOWN;
}

/* NULL, where memory is short, does as well: then all are asked. */
static struct kvm_apic_map *make_map(struct kvm *kvm)
{
	struct kvm_apic_map *map;
	struct kvm_vcpu *vcpu;
	bool has_model = false;
	u32 size = 0;
	int i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		size = max_t(u32, size, vcpu->id + 1);
	size = round_up(size, MAP_UNIT);
	map = kvzalloc(struct_size(map, by_id, size), GFP_KERNEL_ACCOUNT);
	if (!map)
		return NULL;
	map->size = size;
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu->apic && vcpu->id < size)
			add_to_map(map, vcpu->apic, &has_model);
	return map;
}

void kvm_apic_map_update(struct kvm *kvm)
{
	struct kvm_apic_map *old;

	if (!atomic_read(&kvm->apic_map_stale))
		return;
	mutex_lock(&kvm->apic_map_lock);
	/* Before looking, so that what changes meanwhile is looked at again. */
	if (atomic_xchg(&kvm->apic_map_stale, 0)) {
		old = rcu_dereference_protected(kvm->apic_map,
				lockdep_is_held(&kvm->apic_map_lock));
		rcu_assign_pointer(kvm->apic_map, make_map(kvm));
		if (old)
			kvfree_rcu(old, rcu);
	}
	mutex_unlock(&kvm->apic_map_lock);
	kvm_request_ioapic_scan(kvm);
}

void kvm_apic_map_destroy(struct kvm *kvm)
{
	kvfree(rcu_dereference_protected(kvm->apic_map, true));
}

void apic_map_changed(struct kvm_lapic *apic)
{
	atomic_set_release(&apic->vcpu->kvm->apic_map_stale, 1);
	kvm_make_request(apic->vcpu, KVM_REQ_APIC_MAP);
}

/* ---- what it means to them ---------------------------------------------- */

/* The vCPU's own thread need not be kicked; it is on its way to look. */
static void notify(struct kvm_lapic *apic)
{
	kvm_make_request(apic->vcpu, KVM_REQ_EVENT);
	kvm_vcpu_kick(apic->vcpu);
}

static void set_trigger_mode(struct kvm_lapic *apic, u8 vector, bool level)
{
	unsigned long *word = vector_word(apic, APIC_TMR, vector);

	if (test_bit(vector % 32, word) == level)
		return;
	if (level)
		set_bit(vector % 32, word);
	else
		clear_bit(vector % 32, word);
}

/* A vCPU in guest mode takes it there; others look before they enter. */
static int post(struct kvm_lapic *apic, u8 vector)
{
	if (!backend->apic_post(apic->vcpu, vector))
		return 0;
	rcuwait_wake_up(&apic->vcpu->wait);
	return 1;
}

int apic_accept_fixed(struct kvm_lapic *apic, u8 vector, bool level)
{
	trace_kvm_apic_accept_irq(apic->vcpu->id, KVM_DELIVER_FIXED, level,
				  vector);
	if (!READ_ONCE(apic->sw_enabled))
		return -1;
	if (unlikely(vector < FIRST_LEGAL_VECTOR)) {
		apic_error(apic, ESR_RECEIVE_ILLEGAL_VECTOR);
		return 0;
	}
	set_trigger_mode(apic, vector, level);
	if (apic->vcpu->apicv_active)
		return post(apic, vector);
	if (test_and_set_bit(vector % 32, vector_word(apic, APIC_IRR, vector)))
		return 0;
	if (!test_bit(vector / 32, &apic->irr_words))
		set_bit(vector / 32, &apic->irr_words);
	notify(apic);
	return 1;
}

static int accept_event(struct kvm_lapic *apic, unsigned int event)
{
	set_bit(event, &apic->events);
	notify(apic);
	return 1;
}

/* INIT ends what was going on, a start-up IPI before it too. */
static int accept_init(struct kvm_lapic *apic)
{
	WRITE_ONCE(apic->events, BIT(APIC_EVENT_INIT));
	notify(apic);
	return 1;
}

static int accept_startup(struct kvm_lapic *apic, u8 vector)
{
	WRITE_ONCE(apic->sipi_vector, vector);
	smp_wmb();	/* pairs with that in kvm_apic_accept_events() */
	return accept_event(apic, APIC_EVENT_SIPI);
}

static int accept(struct kvm_lapic *apic, const struct kvm_apic_msg *msg)
{
	switch (msg->mode) {
	case KVM_DELIVER_FIXED:
	case KVM_DELIVER_LOWEST:
		return apic_accept_fixed(apic, msg->vector, msg->level);
	case KVM_DELIVER_NMI:
		kvm_inject_nmi(apic->vcpu);
		return 1;
	case KVM_DELIVER_INIT:
		/* "INIT Level De-assert": only arbitration IDs, long gone. */
		return msg->level && !msg->assert ? 1 : accept_init(apic);
	case KVM_DELIVER_STARTUP:
		return accept_startup(apic, msg->vector);
	case KVM_DELIVER_EXTINT:
		return accept_event(apic, APIC_EVENT_EXTINT);
	default:
		/* There is no system-management mode. */
		return -1;
	}
}

void apic_error(struct kvm_lapic *apic, unsigned int bit)
{
	if (!test_and_set_bit(bit, &apic->errors))
		apic_deliver_local(apic, APIC_LVTERR);
}

void apic_deliver_local(struct kvm_lapic *apic, unsigned int lvt)
{
	u32 entry = apic_get(apic, lvt);
	bool level = (entry & APIC_LVT_LEVEL_TRIGGER) &&
		     (lvt == APIC_LVT0 || lvt == APIC_LVT1);

	if (entry & APIC_LVT_MASKED)
		return;
	switch (GET_APIC_DELIVERY_MODE(entry)) {
	case KVM_DELIVER_FIXED:
		apic_accept_fixed(apic, entry & APIC_VECTOR_MASK, level);
		break;
	case KVM_DELIVER_NMI:
		kvm_inject_nmi(apic->vcpu);
		break;
	}
}

void kvm_apic_lint0_nmi(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	int i;

	if (!atomic_read(&kvm->nr_lint0_nmi))
		return;
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu->apic && READ_ONCE(vcpu->apic->lint0_nmi))
			apic_deliver_local(vcpu->apic, APIC_LVT0);
}

/* ---- delivery ----------------------------------------------------------- */

/* The n-th of those that match and take interrupts, or how many there are. */
struct choice {
	const struct kvm_lapic *source;
	const struct kvm_apic_msg *msg;
	int seen;
	int want;		/* -1: count only */
	struct kvm_lapic *found;
};

static bool consider(struct choice *c, struct kvm_lapic *apic)
{
	if (!READ_ONCE(apic->sw_enabled) || c->seen++ != c->want)
		return false;
	c->found = apic;
	return true;
}

static void choose(struct kvm *kvm, const struct apic_set *set,
		   struct choice *c)
{
	struct kvm_lapic *apic;
	struct kvm_vcpu *vcpu;
	unsigned long bit;
	int i;

	c->seen = 0;
	if (set) {
		for_each_in_set(apic, bit, set)
			if (consider(c, apic))
				return;
		return;
	}
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu->apic &&
		    message_matches(vcpu->apic, c->source, c->msg) &&
		    consider(c, vcpu->apic))
			return;
}

/* One of them all: by vector, so that each source keeps to one processor. */
static int deliver_lowest(struct kvm *kvm, const struct kvm_lapic *source,
			  const struct kvm_apic_msg *msg,
			  const struct apic_set *set)
{
	struct choice c = { .source = source, .msg = msg, .want = -1 };

	choose(kvm, set, &c);
	if (!c.seen)
		return -1;
	c.want = msg->vector % c.seen;
	choose(kvm, set, &c);
	return c.found ? accept(c.found, msg) : -1;
}

/* -1 is nobody; whoever is there makes it a count. */
static void add_taken(int *taken, int one)
{
	if (one >= 0)
		*taken = max(*taken, 0) + one;
}

static int deliver_set(const struct kvm_apic_msg *msg,
		       const struct apic_set *set)
{
	struct kvm_lapic *apic;
	unsigned long bit;
	int taken = -1;

	for_each_in_set(apic, bit, set)
		add_taken(&taken, accept(apic, msg));
	return taken;
}

static int deliver_matching(struct kvm *kvm, const struct kvm_lapic *source,
			    const struct kvm_apic_msg *msg)
{
	struct kvm_vcpu *vcpu;
	int taken = -1, i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu->apic && message_matches(vcpu->apic, source, msg))
			add_taken(&taken, accept(vcpu->apic, msg));
	return taken;
}

static bool wants_lowest(const struct kvm_apic_msg *msg)
{
	return msg->mode == KVM_DELIVER_LOWEST ||
	       (msg->lowest_hint && msg->mode == KVM_DELIVER_FIXED);
}

static int deliver(struct kvm *kvm, const struct kvm_lapic *source,
		   const struct kvm_apic_msg *msg)
{
	struct apic_set set;
	bool found;
	int taken;

	rcu_read_lock();
	found = find_set(rcu_dereference(kvm->apic_map), source, msg, &set);
	if (unlikely(wants_lowest(msg)))
		taken = deliver_lowest(kvm, source, msg, found ? &set : NULL);
	else if (found)
		taken = deliver_set(msg, &set);
	else
		taken = deliver_matching(kvm, source, msg);
	rcu_read_unlock();
	return taken;
}

int kvm_apic_deliver(struct kvm *kvm, struct kvm_vcpu *source,
		     const struct kvm_apic_msg *msg)
{
	return deliver(kvm, source ? source->apic : NULL, msg);
}

/* Without a map, which is made anew when there is memory, nobody is found. */
static struct kvm_lapic *find_id(const struct kvm_apic_map *map, u64 id)
{
	if (!map || id >= map->size)
		return NULL;
	return map->by_id[array_index_nospec(id, map->size)];
}

int kvm_apic_deliver_ids(struct kvm *kvm, const struct kvm_apic_msg *msg,
			 u64 first, u64 ids)
{
	const struct kvm_apic_map *map;
	struct kvm_lapic *apic;
	int count = 0;

	rcu_read_lock();
	map = rcu_dereference(kvm->apic_map);
	for (; ids; ids &= ids - 1) {
		apic = find_id(map, first + __ffs64(ids));
		if (apic && accept(apic, msg) >= 0)
			count++;
	}
	rcu_read_unlock();
	return count;
}

struct kvm_vcpu *kvm_apic_find(struct kvm *kvm, u32 id)
{
	struct kvm_lapic *apic;

	rcu_read_lock();
	apic = find_id(rcu_dereference(kvm->apic_map), id);
	rcu_read_unlock();
	/* It stays as long as the VM. */
	return apic ? apic->vcpu : NULL;
}

#define ICR_SHORTHAND(icr)	((icr) >> 18 & 3)

/* "Valid Combinations for the ... Interrupt Command Register". */
void apic_send_ipi(struct kvm_lapic *apic, u32 icr, u32 dest)
{
	const struct kvm_apic_msg msg = {
		.dest = dest,
		.vector = icr & APIC_VECTOR_MASK,
		.mode = GET_APIC_DELIVERY_MODE(icr),
		.shorthand = ICR_SHORTHAND(icr),
		.dest_logical = icr & APIC_DEST_LOGICAL,
		/* Level is for INIT alone; all others are edges. */
		.level = (icr & APIC_INT_LEVELTRIG) &&
			 GET_APIC_DELIVERY_MODE(icr) == KVM_DELIVER_INIT,
		.assert = icr & APIC_INT_ASSERT,
	};

	trace_kvm_apic_ipi(icr, dest);
	if (unlikely(msg.vector < FIRST_LEGAL_VECTOR &&
		     msg.mode <= KVM_DELIVER_LOWEST)) {
		apic_error(apic, ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	/* "... the bus will not send": an ExtINT is no IPI. */
	if (unlikely(msg.mode == KVM_DELIVER_EXTINT))
		return;
	if (msg.shorthand == KVM_SHORTHAND_SELF)
		accept(apic, &msg);
	else
		deliver(apic->vcpu->kvm, apic, &msg);
}
