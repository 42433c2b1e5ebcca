// SPDX-License-Identifier: GPL-2.0-only
/*
 * pit.c - the 8254 timer of a PC and what port 61H has of it: channel 0 drives
 * GSI 0, channel 2 the loudspeaker, which nobody hears.
 *
 * A channel's registers are kept as the monitor gets and sets them, in struct
 * kvm_pit_channel_state. Nothing counts: a count and the output follow from
 * the time since the count was loaded. A count that waits for the end of the
 * period, or for the gate, is in `next` and no part of that state: the monitor
 * gets it as if it were loaded. Channel 0's output has an hrtimer that raises
 * the interrupt; its gate is high for good, so that modes 1 and 5, which a gate
 * triggers, never start there.
 *
 * Reinjection: guests that count ticks must get each of them. A tick that
 * comes before the last one was acknowledged then waits for that. With the
 * policy "discard" it is one with the last.
 *
 * Locking: pit->lock (mutex) for the registers and the timer's programming;
 * pit->tick_lock (spinlock, interrupts off) for what the timer and
 * acknowledgements share. No lock is held when the interrupt is raised.
 *
 * "8254 Programmable Interval Timer", "Mode Definitions"; for port 61H:
 * "82371AB PCI-to-ISA / IDE Xcelerator (PIIX4)".
 */
#include <linux/bcd.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/timex.h>

#include "include/compat.h"
#include "kvm.h"
#include "irqchip/devices.h"

#define CHANNELS	3
#define SPEAKER		2	/* the channel with a gate */

#define PORT_COUNTER	0x40
#define PORT_CONTROL	0x43
#define PORT_SPEAKER	0x61

/* The control word; RW 0 latches a count, channel 3 is the read-back. */
#define CONTROL_CHANNEL(v)	((v) >> 6)
#define CONTROL_RW(v)		((v) >> 4 & 3)
#define CONTROL_MODE(v)		((v) >> 1 & 7)
#define CONTROL_BCD		BIT(0)
#define READ_BACK		3
#define READ_BACK_NO_COUNT	BIT(5)
#define READ_BACK_NO_STATUS	BIT(4)
#define STATUS_OUT		BIT(7)
#define STATUS_NULL_COUNT	BIT(6)

/* read_state, write_state and count_latched, as the interface has them. */
enum { RW_NONE, RW_LSB, RW_MSB, RW_WORD0, RW_WORD1 };

#define MODE_NONE	0xff	/* not programmed yet */

#define SPEAKER_GATE	BIT(0)
#define SPEAKER_DATA	BIT(1)
#define SPEAKER_REFRESH	BIT(4)
#define SPEAKER_OUT	BIT(5)
#define REFRESH_NS	15085	/* the bit toggles with each DRAM refresh */

/* The host is not to be interrupted more often: ticks then come in bunches. */
#define MIN_INTERVAL_NS	(200 * NSEC_PER_USEC)

/* A count that was written and is to be loaded into the counter later. */
struct pit_next {
	u32 count;		/* 0: there is none */
	s64 at;			/* KTIME_MAX: when the gate rises */
	s64 load_time;		/* as if it had been loaded then, see there */
};

struct kvm_pit {
	struct kvm *kvm;
	struct mutex lock;
	struct kvm_pit_channel_state channel[CHANNELS];
	struct pit_next next[CHANNELS];
	bool null_count[CHANNELS];	/* programmed, and none loaded yet */
	s64 gate_fell;			/* channel 2; 0: its gate is high */
	u32 flags;			/* KVM_PIT_FLAGS_* */
	bool has_speaker;

	struct hrtimer timer;
	ktime_t interval;		/* 0: one shot */
	u32 ticks_per_interval;

	spinlock_t tick_lock;
	bool reinject;
	bool awaiting_ack;
	u32 missed;			/* ticks that wait for it */
};

/* ---- ticks of channel 0 to interrupts ----------------------------------- */

/*
 * The output rises. False: nobody would ever acknowledge that, as nobody is
 * there yet, or the interrupt controllers that are tell only the monitor.
 */
static bool raise(struct kvm_pit *pit)
{
	struct kvm *kvm = pit->kvm;
	int r;

	if (!kvm_irqchip_in_kernel(kvm))
		return false;
	r = kvm_set_irq(kvm, KVM_IRQ_SOURCE_PIT, 0, true);
	kvm_set_irq(kvm, KVM_IRQ_SOURCE_PIT, 0, false);
	return r >= 0 && kvm->irqchip_mode == KVM_IRQCHIP_KERNEL;
}

static void raise_and_await(struct kvm_pit *pit)
{
	unsigned long flags;

	if (raise(pit))
		return;
	spin_lock_irqsave(&pit->tick_lock, flags);
	pit->awaiting_ack = false;
	pit->missed = 0;
	spin_unlock_irqrestore(&pit->tick_lock, flags);
}

static void tick(struct kvm_pit *pit, u64 ticks)
{
	unsigned long flags;
	bool wait;

	spin_lock_irqsave(&pit->tick_lock, flags);
	if (!pit->reinject) {
		spin_unlock_irqrestore(&pit->tick_lock, flags);
		raise(pit);
		return;
	}
	wait = pit->awaiting_ack;
	pit->awaiting_ack = true;
	pit->missed = min_t(u64, pit->missed + ticks - !wait, S32_MAX);
	spin_unlock_irqrestore(&pit->tick_lock, flags);
	if (!wait)
		raise_and_await(pit);
}

void kvm_pit_acked(struct kvm_pit *pit)
{
	unsigned long flags;
	bool again;

	spin_lock_irqsave(&pit->tick_lock, flags);
	again = pit->awaiting_ack && pit->missed;
	pit->missed -= again;
	pit->awaiting_ack = again;
	spin_unlock_irqrestore(&pit->tick_lock, flags);
	if (again)
		raise_and_await(pit);
}

void kvm_pit_rearm(struct kvm_pit *pit)
{
	unsigned long flags;

	spin_lock_irqsave(&pit->tick_lock, flags);
	pit->awaiting_ack = false;
	pit->missed = 0;
	spin_unlock_irqrestore(&pit->tick_lock, flags);
}

bool kvm_pit_wants_ack(const struct kvm_pit *pit)
{
	return READ_ONCE(pit->reinject);
}

static enum hrtimer_restart timer_fired(struct hrtimer *timer)
{
	struct kvm_pit *pit = container_of(timer, struct kvm_pit, timer);
	u64 n;

	if (!pit->interval) {
		tick(pit, 1);
		return HRTIMER_NORESTART;
	}
	n = hrtimer_forward_now(timer, pit->interval);
	tick(pit, n * pit->ticks_per_interval);
	return HRTIMER_RESTART;
}

/* ---- counts and outputs ------------------------------------------------- */

static u32 bcd_to_number(u32 bcd)
{
	return bcd2bin(bcd >> 8 & 0xff) * 100 + bcd2bin(bcd & 0xff);
}

static u32 number_to_bcd(u32 n)
{
	return bin2bcd(n / 100 % 100) << 8 | bin2bcd(n % 100);
}

static u32 modulus(const struct kvm_pit_channel_state *c)
{
	return c->bcd ? 10000 : 0x10000;
}

/* A count as a number: 0 stands for the largest, which is one more. */
static u32 to_ticks(const struct kvm_pit_channel_state *c, u32 count)
{
	u32 n = c->bcd ? bcd_to_number(count) : count & 0xffff;

	return n ?: modulus(c);
}

static u32 ticks_of(const struct kvm_pit_channel_state *c)
{
	return to_ticks(c, c->count);
}

static u64 ticks_to_ns(u64 ticks)
{
	return mul_u64_u32_div(ticks, NSEC_PER_SEC, PIT_TICK_RATE);
}

/* Behind a low gate time stands still. */
static s64 channel_now(const struct kvm_pit *pit, int n)
{
	return n == SPEAKER && pit->gate_fell ? pit->gate_fell : ktime_get();
}

static void load_next(struct kvm_pit *pit, int n, s64 load_time)
{
	pit->channel[n].count = pit->next[n].count;
	pit->channel[n].count_load_time = load_time;
	pit->next[n].count = 0;
	pit->null_count[n] = false;
}

/* Since the count was loaded. */
static u64 elapsed(struct kvm_pit *pit, int n)
{
	const struct pit_next *next = &pit->next[n];
	s64 now = channel_now(pit, n), ns;

	if (next->count && now >= next->at)
		load_next(pit, n, next->load_time);
	ns = now - pit->channel[n].count_load_time;
	return ns > 0 ? mul_u64_u32_div(ns, PIT_TICK_RATE, NSEC_PER_SEC) : 0;
}

static u16 current_count(struct kvm_pit *pit, int n)
{
	const struct kvm_pit_channel_state *c = &pit->channel[n];
	u64 gone = elapsed(pit, n);
	u32 ticks = ticks_of(c), now;

	switch (c->mode) {
	case 2:
		now = ticks - do_div(gone, ticks);
		break;
	case 3:
		/* By twos, and twice through in a period. */
		gone *= 2;
		now = ticks - do_div(gone, ticks);
		break;
	default:
		now = ticks + modulus(c) - do_div(gone, modulus(c));
	}
	now %= modulus(c);
	return c->bcd ? number_to_bcd(now) : now;
}

/* Before the first count it is low in mode 0, and high in all others. */
static bool output(struct kvm_pit *pit, int n)
{
	const struct kvm_pit_channel_state *c = &pit->channel[n];
	u64 gone = elapsed(pit, n);
	u32 ticks = ticks_of(c);

	if (pit->null_count[n])
		return c->mode;
	switch (c->mode) {
	case 0:
	case 1:
		return gone >= ticks;
	case 2:
		return !c->gate || do_div(gone, ticks) != ticks - 1;
	case 3:
		return !c->gate || do_div(gone, ticks) < (ticks + 1) / 2;
	default:
		return gone != ticks;
	}
}

/* ---- loading ------------------------------------------------------------ */

static bool periodic(const struct kvm_pit_channel_state *c)
{
	return c->mode == 2 || c->mode == 3;
}

static void set_interval(struct kvm_pit *pit, u64 period)
{
	pit->ticks_per_interval = DIV_ROUND_UP(MIN_INTERVAL_NS, (u32)period);
	pit->interval = period * pit->ticks_per_interval;
}

/*
 * When the first interval ends, from which on there is one after the other. Of
 * a count that waits, the first tick is when the last period of its
 * predecessor ends.
 */
static s64 first_interval(const struct kvm_pit *pit, u64 period)
{
	const struct pit_next *next = &pit->next[0];
	s64 first = pit->channel[0].count_load_time + period, late;

	if (next->count)
		first = next->load_time < next->at ? next->load_time + period :
						     next->at;
	first += pit->interval - period;
	late = ktime_get() - first;
	if (late > 0)
		first += (div64_u64(late, pit->interval) + 1) * pit->interval;
	return first;
}

static void program_timer(struct kvm_pit *pit)
{
	const struct kvm_pit_channel_state *c = &pit->channel[0];
	u64 period = ticks_to_ns(to_ticks(c, pit->next[0].count ?: c->count));
	s64 first;

	hrtimer_cancel(&pit->timer);
	if (pit->null_count[0] || (pit->flags & KVM_PIT_FLAGS_HPET_LEGACY))
		return;
	if (periodic(c)) {
		set_interval(pit, period);
		first = first_interval(pit, period);
	} else if (c->mode == 0 || c->mode == 4) {
		pit->interval = 0;
		first = c->count_load_time + period;
	} else {
		return;
	}
	hrtimer_start(&pit->timer, first, HRTIMER_MODE_ABS);
}

/* In modes 1 and 5 counting begins when the gate rises. */
static bool gate_triggers(const struct kvm_pit_channel_state *c)
{
	return c->mode == 1 || c->mode == 5;
}

/*
 * "Writing a new count while counting does not affect the current counting
 * sequence." It ends with the period in mode 2, with half of one in mode 3. A
 * square wave that goes on with its low half is one that began with the high
 * half of the new count, which is the longer one where the count is odd.
 */
static void load_after_period(struct kvm_pit *pit, int n, u32 count)
{
	const struct kvm_pit_channel_state *c = &pit->channel[n];
	u64 gone = elapsed(pit, n), left;
	u32 ticks = ticks_of(c), ahead = 0;

	left = ticks - do_div(gone, ticks);
	if (c->mode == 3 && left > ticks / 2) {
		left -= ticks / 2;
		ahead = (to_ticks(c, count) + 1) / 2;
	}
	pit->next[n].count = count;
	pit->next[n].at = channel_now(pit, n) + ticks_to_ns(left);
	pit->next[n].load_time = pit->next[n].at - ticks_to_ns(ahead);
}

/* The next tick of the counter's clock is near enough to be now. */
static void load_now(struct kvm_pit *pit, int n, u32 count)
{
	s64 now = ktime_get();

	pit->next[n].count = count;
	load_next(pit, n, now);
	if (n == SPEAKER && pit->gate_fell)
		pit->gate_fell = now;
}

static void load_count(struct kvm_pit *pit, int n, u16 value)
{
	const struct kvm_pit_channel_state *c = &pit->channel[n];
	u32 count = value ?: 0x10000;
	bool waits = true;

	if (gate_triggers(c))
		pit->next[n] = (struct pit_next) { count, .at = KTIME_MAX };
	else if (periodic(c) && !pit->null_count[n])
		load_after_period(pit, n, count);
	else
		waits = false;
	if (!waits)
		load_now(pit, n, count);
	if (n)
		return;
	program_timer(pit);
	if (!waits)
		kvm_pit_rearm(pit);
}

/* "Writing the first byte disables counting." */
static void stop_counting(struct kvm_pit *pit, int n)
{
	pit->null_count[n] = true;
	if (!n)
		program_timer(pit);
}

static void gate_rises(struct kvm_pit *pit)
{
	struct kvm_pit_channel_state *c = &pit->channel[SPEAKER];
	s64 now = ktime_get();

	/* Modes 0 and 4 go on where they were; the others start over. */
	if (c->mode == 0 || c->mode == 4)
		c->count_load_time += now - pit->gate_fell;
	else if (pit->next[SPEAKER].count)
		load_next(pit, SPEAKER, now);
	else
		c->count_load_time = now;
	pit->gate_fell = 0;
}

/* "Gate Pin Operations Summary". */
static void set_gate(struct kvm_pit *pit, bool gate)
{
	struct kvm_pit_channel_state *c = &pit->channel[SPEAKER];

	if (gate == !!c->gate)
		return;
	c->gate = gate;
	if (gate)
		gate_rises(pit);
	else if (!gate_triggers(c))
		pit->gate_fell = ktime_get();
}

/* ---- registers ---------------------------------------------------------- */

static void latch_count(struct kvm_pit *pit, int n)
{
	struct kvm_pit_channel_state *c = &pit->channel[n];

	if (c->count_latched)
		return;
	c->latched_count = current_count(pit, n);
	c->count_latched = c->rw_mode;
}

static void latch_status(struct kvm_pit *pit, int n)
{
	struct kvm_pit_channel_state *c = &pit->channel[n];

	if (c->status_latched)
		return;
	c->status = c->rw_mode << 4 | (c->mode & 7) << 1;
	if (c->bcd)
		c->status |= CONTROL_BCD;
	if (output(pit, n))
		c->status |= STATUS_OUT;
	if (pit->null_count[n] || pit->next[n].count)
		c->status |= STATUS_NULL_COUNT;
	c->status_latched = 1;
}

static void read_back(struct kvm_pit *pit, u8 val)
{
	int n;

	for (n = 0; n < CHANNELS; n++) {
		if (!(val & BIT(n + 1)))
			continue;
		if (!(val & READ_BACK_NO_COUNT))
			latch_count(pit, n);
		if (!(val & READ_BACK_NO_STATUS))
			latch_status(pit, n);
	}
}

static void program_channel(struct kvm_pit *pit, int n, u8 val)
{
	struct kvm_pit_channel_state *c = &pit->channel[n];

	c->rw_mode = CONTROL_RW(val);
	c->read_state = c->rw_mode;
	c->write_state = c->rw_mode;
	c->count_latched = 0;
	c->status_latched = 0;
	/* The upper bit of modes 2 and 3 does not matter. */
	c->mode = CONTROL_MODE(val);
	if (c->mode > 5)
		c->mode &= 3;
	c->bcd = val & CONTROL_BCD;
	pit->next[n].count = 0;
	pit->null_count[n] = true;
	if (!n)
		program_timer(pit);
}

static void write_control(struct kvm_pit *pit, u8 val)
{
	int n = CONTROL_CHANNEL(val);

	if (n == READ_BACK)
		read_back(pit, val);
	else if (CONTROL_RW(val) == RW_NONE)
		latch_count(pit, n);
	else
		program_channel(pit, n, val);
}

static void write_counter(struct kvm_pit *pit, int n, u8 val)
{
	struct kvm_pit_channel_state *c = &pit->channel[n];

	switch (c->write_state) {
	case RW_LSB:
		load_count(pit, n, val);
		break;
	case RW_MSB:
		load_count(pit, n, val << 8);
		break;
	case RW_WORD0:
		c->write_latch = val;
		c->write_state = RW_WORD1;
		if (c->mode == 0)
			stop_counting(pit, n);
		break;
	case RW_WORD1:
		c->write_state = RW_WORD0;
		load_count(pit, n, c->write_latch | val << 8);
		break;
	}
}

static u8 read_latched(struct kvm_pit_channel_state *c)
{
	u8 which = c->count_latched;

	/* Of a word, the upper half comes with the next read. */
	c->count_latched = which == RW_WORD0 ? RW_MSB : RW_NONE;
	return which == RW_MSB ? c->latched_count >> 8 : c->latched_count;
}

static u8 read_live(struct kvm_pit *pit, int n)
{
	struct kvm_pit_channel_state *c = &pit->channel[n];
	u16 count = current_count(pit, n);

	switch (c->read_state) {
	case RW_WORD0:
		c->read_state = RW_WORD1;
		return count;
	case RW_WORD1:
		c->read_state = RW_WORD0;
		return count >> 8;
	case RW_MSB:
		return count >> 8;
	default:
		return count;
	}
}

static u8 read_counter(struct kvm_pit *pit, int n)
{
	struct kvm_pit_channel_state *c = &pit->channel[n];

	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	return c->count_latched ? read_latched(c) : read_live(pit, n);
}

static u8 read_speaker(struct kvm_pit *pit)
{
	u8 val = 0;

	if (pit->channel[SPEAKER].gate)
		val |= SPEAKER_GATE;
	if (pit->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON)
		val |= SPEAKER_DATA;
	if (div_u64(ktime_get(), REFRESH_NS) & 1)
		val |= SPEAKER_REFRESH;
	if (output(pit, SPEAKER))
		val |= SPEAKER_OUT;
	return val;
}

static void write_speaker(struct kvm_pit *pit, u8 val)
{
	pit->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if (val & SPEAKER_DATA)
		pit->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	set_gate(pit, val & SPEAKER_GATE);
}

bool kvm_pit_has_port(const struct kvm_pit *pit, u16 port)
{
	return (port & ~3) == PORT_COUNTER ||
	       (port == PORT_SPEAKER && pit->has_speaker);
}

u8 kvm_pit_read(struct kvm_pit *pit, u16 port)
{
	u8 val = 0;

	mutex_lock(&pit->lock);
	if (port == PORT_SPEAKER)
		val = read_speaker(pit);
	else if (port != PORT_CONTROL)
		val = read_counter(pit, port - PORT_COUNTER);
	mutex_unlock(&pit->lock);
	return val;
}

void kvm_pit_write(struct kvm_pit *pit, u16 port, u8 val)
{
	mutex_lock(&pit->lock);
	if (port == PORT_SPEAKER)
		write_speaker(pit, val);
	else if (port == PORT_CONTROL)
		write_control(pit, val);
	else
		write_counter(pit, port - PORT_COUNTER, val);
	mutex_unlock(&pit->lock);
}

/* ---- life, state -------------------------------------------------------- */

static struct kvm_pit *find_pit(struct kvm *kvm)
{
	return smp_load_acquire(&kvm->pit);
}

static void save_channel(const struct kvm_pit *pit, int n,
			 struct kvm_pit_channel_state *to)
{
	const struct pit_next *next = &pit->next[n];

	*to = pit->channel[n];
	if (!next->count)
		return;
	to->count = next->count;
	if (next->at != KTIME_MAX)
		to->count_load_time = next->load_time;
}

int kvm_get_pit(struct kvm *kvm, struct kvm_pit_state2 *state)
{
	struct kvm_pit *pit = find_pit(kvm);
	int n;

	if (!pit)
		return -ENXIO;
	*state = (struct kvm_pit_state2) { };
	mutex_lock(&pit->lock);
	for (n = 0; n < CHANNELS; n++)
		save_channel(pit, n, &state->channels[n]);
	state->flags = pit->flags;
	mutex_unlock(&pit->lock);
	return 0;
}

/* Whatever is given becomes something that the hardware could be in. */
static void load_channel(struct kvm_pit *pit, int n,
			 const struct kvm_pit_channel_state *from)
{
	struct kvm_pit_channel_state *c = &pit->channel[n];
	s64 now = ktime_get();

	*c = *from;
	if (!c->count || c->count > 0x10000)
		c->count = 0x10000;
	c->rw_mode &= 3;
	c->count_latched &= 3;
	if (c->mode > 5)
		c->mode = MODE_NONE;
	/* Of a time to come, or on another machine's clock, nothing is known. */
	if (c->count_load_time < 0 || c->count_load_time > now)
		c->count_load_time = now;
	pit->next[n].count = 0;
	pit->null_count[n] = false;
	if (n == SPEAKER)
		pit->gate_fell = c->gate || gate_triggers(c) ? 0 : now;
}

int kvm_set_pit(struct kvm *kvm, const struct kvm_pit_state2 *state)
{
	const u32 known = KVM_PIT_FLAGS_HPET_LEGACY |
			  KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	struct kvm_pit *pit = find_pit(kvm);
	int n;

	if (!pit)
		return -ENXIO;
	if (state->flags & ~known)
		return -EINVAL;
	mutex_lock(&pit->lock);
	pit->flags = state->flags;
	for (n = 0; n < CHANNELS; n++)
		load_channel(pit, n, &state->channels[n]);
	program_timer(pit);
	kvm_pit_rearm(pit);
	mutex_unlock(&pit->lock);
	return 0;
}

int kvm_pit_set_reinject(struct kvm *kvm, bool reinject)
{
	struct kvm_pit *pit = find_pit(kvm);
	bool changed;

	if (!pit)
		return -ENXIO;
	mutex_lock(&pit->lock);
	changed = pit->reinject != reinject;
	WRITE_ONCE(pit->reinject, reinject);
	kvm_pit_rearm(pit);
	mutex_unlock(&pit->lock);
	if (changed)
		kvm_request_ioapic_scan(kvm);
	return 0;
}

static struct kvm_pit *pit_alloc(struct kvm *kvm, u32 flags)
{
	struct kvm_pit *pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	int n;

	if (!pit)
		return NULL;
	pit->kvm = kvm;
	mutex_init(&pit->lock);
	spin_lock_init(&pit->tick_lock);
	hrtimer_setup(&pit->timer, timer_fired, CLOCK_MONOTONIC,
		      HRTIMER_MODE_ABS);
	pit->reinject = true;
	pit->has_speaker = flags & KVM_PIT_SPEAKER_DUMMY;
	for (n = 0; n < CHANNELS; n++) {
		pit->channel[n].mode = MODE_NONE;
		pit->channel[n].gate = n != SPEAKER;
		pit->channel[n].count = 0x10000;
		pit->channel[n].count_load_time = ktime_get();
	}
	pit->gate_fell = pit->channel[SPEAKER].count_load_time;
	return pit;
}

/* KVM_CREATE_PIT2; kvmtool calls it before KVM_CREATE_IRQCHIP. */
int kvm_pit_create(struct kvm *kvm, u32 flags)
{
	struct kvm_pit *pit;
	int r = -EEXIST;

	if (flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	mutex_lock(&kvm->lock);
	if (!kvm->pit) {
		pit = pit_alloc(kvm, flags);
		r = pit ? 0 : -ENOMEM;
		smp_store_release(&kvm->pit, pit);
	}
	mutex_unlock(&kvm->lock);
	if (!r)
		kvm_request_ioapic_scan(kvm);
	return r;
}

void kvm_pit_free(struct kvm_pit *pit)
{
	if (!pit)
		return;
	hrtimer_cancel(&pit->timer);
	kfree(pit);
}
