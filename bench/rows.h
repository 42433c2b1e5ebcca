/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rows of the benchmark that small guests measure: what a row is made of,
 * and what the files that have rows share. rows.c measures them.
 *
 * A row is measured in batches. The guest loops: it stops in the host, which
 * prepares the batch, then it does a batch of operations and takes the time.
 * Rows that cost the host something are timed there.
 *
 * Some have a second thread, on another processor if there is one: it runs a
 * second vCPU, or whatever else the row wants.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <pthread.h>

#include "irqchip.h"

#define PAGE		0x1000ul
#define WARM_UP		2		/* batches that do not count */
#define PORT		0x77
#define G_AREA		0x40000000ul	/* a slot of the row's own */
#define VECTOR		0x40
#define APIC_VECTOR	0x41		/* ... whose handler signals its end */

struct bench {
	const struct row *row;
	struct vm *vm;
	struct vcpu *v;
	u8 *area;
	size_t area_size;
	struct kvm_coalesced_mmio_ring *ring;
	int fd, vcpu_fd;
	u32 user_exits;			/* of this batch */
	u64 cost;			/* of this batch, if op says so */

	struct vcpu *partner;		/* run by the second thread */
	pthread_t thread;
	volatile bool over;		/* the second thread shall end */
	int kick, irq;			/* eventfds */
};

struct row {
	const char *name;
	u32 n, batches;			/* operations in a batch, batches */
	u32 user_exits;			/* that one operation needs */
	bool any_exits;			/* user_exits is not known */
	void (*guest)(u32 n);		/* a batch, in the guest */
	void (*begin)(void);		/* once, in the guest: it has an APIC */
	const u8 *handler;		/* of APIC_VECTOR */
	void (*partner)(void);		/* a second vCPU's guest code */
	void *(*thread)(void *bench);	/* the second thread, if not that */
	void (*setup)(struct bench *b);
	void (*before)(struct bench *b);
	void (*op)(struct bench *b);	/* timed in the host */
	void (*after)(struct bench *b);
};

/* Both end with a row without a name. */
extern const struct row exit_rows[], interrupt_rows[];

/* What the host and the guest's loop tell each other, in the guest's copy. */
struct job {
	void (*begin)(void);
	void (*op)(u32 n);
	u32 n;
	u64 started;			/* by an op that prepares something */
	u64 cost;
	u8 *next;			/* page to touch */
	volatile u64 *pte;		/* of a page with an entry of its own */
	volatile u64 *table;		/* the entry that refers to its table */
};
extern struct job job;

#define OP(name, ...)							\
static void name(u32 n)							\
{									\
	do {								\
		__VA_ARGS__;						\
	} while (--n);							\
}

/* Handlers: what the hardware asks for, and no more. */
extern const u8 bench_interrupt[], bench_eoi_xapic[], bench_eoi_x2apic[];
/* ... and note the time in taken_at, before they count themselves in taken. */
extern const u8 bench_taken[];
extern volatile u64 taken, taken_at;
/* Set by a second vCPU that is ready for interrupts. */
extern volatile bool partner_ready;

/* Host: runs the guest up to where it waits for the next batch. */
void run_batch(struct bench *b);
void run_guest(struct bench *b);
void bench_vm(struct bench *b);
void bench_vm_free(struct bench *b);
void install(struct bench *b, u32 vector, const u8 *handler);
void ioeventfd(struct bench *b, u64 addr, u32 len, u32 flags);

#endif
