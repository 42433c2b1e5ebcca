// SPDX-License-Identifier: GPL-2.0-only
/*
 * emulate.c - instructions and I/O that the processor hands to us: connects
 * the instruction emulator with guest memory, registers, and user space.
 *
 * An access to memory that no slot backs is MMIO. User space serves it, in
 * pieces of at most 8 bytes. A read stops the instruction: its answer goes
 * into a log, and the instruction runs again from the start, with the log
 * answering what has been asked before. A write is noted, the instruction
 * completes, and then its writes go out one after the other. Port I/O works
 * the same way, with its data in a page of its own. Between two calls of
 * KVM_RUN the vCPU's registers are therefore always those of an instruction
 * boundary: user space may read them, and may send the vCPU elsewhere, which
 * drops the instruction that was waiting.
 *
 * x86_emulate.c knows the instructions; mmu.c translates; here is no page
 * table and no VMCS field. Locking: vcpu->mutex is held, and kvm->srcu.
 *
 * Entry points: kvm_emulate_instruction(), kvm_emulate_undefined(),
 * kvm_emulate_event(), kvm_emulate_task_switch(), kvm_fast_pio().
 *
 * SDM: "Instruction Set Reference", "Task Management"; the KVM API's
 * documentation for what kvm_run holds at each exit.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include <asm/archrandom.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>

#include "include/compat.h"
#include "kvm.h"
#include "trace.h"
#include "x86_emulate.h"

static bool force_emulation_prefix;
module_param(force_emulation_prefix, bool, 0444);
MODULE_PARM_DESC(force_emulation_prefix,
		 "Emulate what a guest puts behind UD2 and \"kvm\"");

#define MAX_INSN_BYTES	15	/* of an instruction */
/* What kvm_run can carry in one MMIO exit. */
#define IO_PIECE	sizeof_field(struct kvm_run, mmio.data)
/*
 * The most that one instruction, or one iteration of a repeated one, may ask
 * and post: 64 unaligned bytes are 9 pieces, POPA and PUSHA up to 8.
 */
#define MAX_ANSWERS	16
#define MAX_POSTED	16

/* Fields that asm/debugreg.h has no names for. */
#define DR6_BD		BIT(13)
#define DR_RW_MASK	3u
#define DR_RW_IO	2u	/* DR_RW_EXECUTE 0, _WRITE 1, _READ 3 */

struct io_piece {
	gpa_t gpa;
	unsigned int len;
	u8 data[IO_PIECE];
};

/* A translation that stays good while one instruction runs, as a TLB's. */
struct recent_page {
	u64 lin;		/* of the page, or NO_PAGE */
	gpa_t gpa;
	u32 access;
};
#define NO_PAGE		1ull

struct kvm_emulator {
	struct x86_emulate_ctxt ctxt;
	struct kvm_vcpu *vcpu;
	unsigned long rflags;	/* as in the backend */
	int error;		/* -errno behind an UNHANDLEABLE */
	bool x87_fault;		/* #MF is due */
	unsigned long hits;	/* breakpoints met: B0 to B3 of DR6 */
	unsigned long exit_dr6;	/* KVM_EXIT_DEBUG is due after the I/O */

	struct kvm_walk_cache code;	/* where the last instruction was */
	/* The last data pages translated, for reading and for writing. */
	struct recent_page recent[2];
	/* Where the access is that brought us here, or INVALID_GPA. */
	gpa_t fault_gpa;
	bool one_operand;	/* see one_operand() */
	bool no_slot;		/* at fault_gpa */

	/* IO_NEEDED: how to go on, with the answer. */
	int (*resume)(struct kvm_vcpu *vcpu);

	/* MMIO reads that user space has answered, and the next to replay. */
	unsigned int nr_answers, replayed;
	struct io_piece answer[MAX_ANSWERS];

	/* MMIO writes not yet delivered. */
	unsigned int nr_posted, delivered;
	struct io_piece posted[MAX_POSTED];
	/* They are one iteration's of a string instruction that goes on. */
	bool unfinished;
	unsigned int rounds;	/* of it without the guest in between */

	bool msr_answered;	/* RDMSR, WRMSR: kvm_run holds the answer */

	/* The port access that user space serves; its data is in pio_data. */
	struct {
		bool out;	/* posted */
		bool answered;	/* IN: pio_data holds the answer */
		u16 port;
		u8 size;
		u32 count;
	} pio;
};

static struct kvm_emulator *to_emulator(struct x86_emulate_ctxt *ctxt)
{
	return container_of(ctxt, struct kvm_emulator, ctxt);
}

/* ---- translation -------------------------------------------------------- */

static u32 walk_access(const struct x86_emulate_ctxt *ctxt, unsigned int access)
{
	u32 walk = access & X86_ACC_WRITE ? PFERR_WRITE : 0;

	if (access & X86_ACC_SYSTEM)
		return walk;
	if (ctxt->cpl == 3)
		return walk | PFERR_USER;
	return ctxt->rflags & X86_EFLAGS_AC ? walk | WALK_AC : walk;
}

static int walk(struct x86_emulate_ctxt *ctxt, u64 lin, u32 access, gpa_t *gpa)
{
	struct x86_exception e;

	if (likely(!kvm_gva_to_gpa(ctxt->vcpu, lin, access, gpa, &e)))
		return X86EMUL_OK;
	return x86_emul_pf(ctxt, e.cr2, e.error_code);
}

/* Where is the data at lin? The processor has translated it once already. */
static int translate(struct x86_emulate_ctxt *ctxt, u64 lin,
		     unsigned int access, gpa_t *gpa)
{
	struct kvm_emulator *em = to_emulator(ctxt);
	struct recent_page *page = &em->recent[access & X86_ACC_WRITE];
	u32 how = walk_access(ctxt, access);
	int rc;

	if (page->lin == (lin & PAGE_MASK) && page->access == how) {
		*gpa = page->gpa | offset_in_page(lin);
		return X86EMUL_OK;
	}
	if (em->one_operand && !offset_in_page(lin ^ em->fault_gpa)) {
		*gpa = em->fault_gpa;
	} else {
		rc = walk(ctxt, lin, how, gpa);
		if (rc)
			return rc;
	}
	page->lin = lin & PAGE_MASK;
	page->gpa = *gpa & PAGE_MASK;
	page->access = how;
	return X86EMUL_OK;
}

/*
 * An access as the pages it touches: two at most, as far as the emulator
 * makes any.
 */
struct span {
	gpa_t gpa[2];
	unsigned int len[2];
	int pages;
};

static u64 next_page(const struct x86_emulate_ctxt *ctxt, u64 lin)
{
	u64 next = (lin & PAGE_MASK) + PAGE_SIZE;

	return ctxt->mode == X86_MODE_PROT64 ? next : (u32)next;
}

static int translate_span(struct x86_emulate_ctxt *ctxt, u64 lin,
			  unsigned int bytes, unsigned int access,
			  struct span *span)
{
	unsigned int room = PAGE_SIZE - offset_in_page(lin);
	int rc;

	span->pages = 1;
	span->len[0] = min(bytes, room);
	rc = translate(ctxt, lin, access, &span->gpa[0]);
	if (likely(bytes <= room) || rc)
		return rc;
	if (WARN_ON_ONCE(bytes - room > PAGE_SIZE))
		return X86EMUL_UNHANDLEABLE;
	span->pages = 2;
	span->len[1] = bytes - room;
	return translate(ctxt, next_page(ctxt, lin), access, &span->gpa[1]);
}

/*
 * Does the instruction make no access but by the one operand that ModRM or an
 * offset names? Then a page offset equal to that of the faulting access tells
 * that this is it, and its translation is known. All others go through the
 * stack, a descriptor table, or two string pointers as well.
 */
static bool one_operand(const struct x86_insn *insn)
{
	if (!insn->has_mem)
		return false;
	if (insn->map > 1 || insn->vex)
		return true;
	if (insn->map == 1)
		switch (insn->opcode) {
		case 0x00 ... 0x03:	/* LLDT, LGDT, LAR and their like */
		case 0xb2:
		case 0xb4 ... 0xb5:	/* LSS, LFS, LGS */
			return false;
		default:
			return true;
		}
	switch (insn->opcode) {
	case 0x63:			/* ARPL reads, and then may write */
	case 0x8e ... 0x8f:		/* MOV to a segment register, POP */
	case 0xc4 ... 0xc5:		/* LES, LDS */
		return false;
	case 0xff:			/* all but INC and DEC */
		return !(insn->modrm & 0x30);
	default:
		return true;
	}
}

/* ---- breakpoints -------------------------------------------------------- */

static bool breakpoints_enabled(const struct kvm_vcpu *vcpu)
{
	return unlikely(vcpu->switch_db_regs & KVM_DEBUGREG_BP_ENABLED);
}

/* Is breakpoint i enabled, of one of these kinds, and in these bytes? */
static bool breakpoint_in(const struct kvm_vcpu *vcpu, int i, u32 kinds,
			  u64 first, unsigned int bytes)
{
	static const u8 lengths[] = { 1, 2, 8, 4 };
	unsigned long dr7 = vcpu->dr7, len, at;
	u32 control;

	if (vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP)
		dr7 = vcpu->guest_debug_dr7;
	control = dr7 >> (DR_CONTROL_SHIFT + i * DR_CONTROL_SIZE);
	len = lengths[control >> 2 & 3];
	at = vcpu->eff_db[i] & -len;
	return (dr7 >> i * DR_ENABLE_SIZE & 3) &&
	       (kinds & BIT(control & DR_RW_MASK)) &&
	       first < at + len && at < first + bytes;
}

/* B0 to B3 of DR6. */
static unsigned long breakpoints(const struct kvm_vcpu *vcpu, u32 kinds,
				 u64 first, unsigned int bytes)
{
	unsigned long hits = 0;
	int i;

	if (!breakpoints_enabled(vcpu))
		return 0;
	for (i = 0; i < ARRAY_SIZE(vcpu->eff_db); i++)
		if (breakpoint_in(vcpu, i, kinds, first, bytes))
			hits |= DR_TRAP0 << i;
	return hits;
}

/* They trap after the instruction, or the iteration of a repeated one. */
static void note_hits(struct kvm_emulator *em, unsigned long hits)
{
	em->hits |= hits;
	if (unlikely(hits))
		em->ctxt.stop = true;
}

static void note_data(struct kvm_emulator *em, u64 lin, unsigned int bytes,
		      unsigned int access, u32 kinds)
{
	if (breakpoints_enabled(em->vcpu) && !(access & X86_ACC_SYSTEM))
		note_hits(em, breakpoints(em->vcpu, kinds, lin, bytes));
}

/* ---- MMIO --------------------------------------------------------------- */

static int resume_after_read(struct kvm_vcpu *vcpu);
static int resume_after_in(struct kvm_vcpu *vcpu);
static int resume_after_msr(struct kvm_vcpu *vcpu);

static void fill_mmio_exit(struct kvm_vcpu *vcpu, const struct io_piece *piece,
			   bool write)
{
	struct kvm_run *run = vcpu->run;

	vcpu->stat.mmio_exits++;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = piece->gpa;
	run->mmio.len = piece->len;
	run->mmio.is_write = write;
	if (write)
		memcpy(run->mmio.data, piece->data, sizeof(run->mmio.data));
	trace_kvm_mmio(write ? KVM_TRACE_MMIO_WRITE :
			       KVM_TRACE_MMIO_READ_UNSATISFIED,
		       piece->len, piece->gpa, write ? piece->data : NULL);
}

static int give_up(struct kvm_emulator *em, int error)
{
	em->error = error;
	return X86EMUL_UNHANDLEABLE;
}

/* The answer to a read, if user space has given it. */
static const struct io_piece *replay_answer(struct kvm_emulator *em, gpa_t gpa,
					    unsigned int len)
{
	const struct io_piece *a = &em->answer[em->replayed];

	if (em->replayed == em->nr_answers)
		return NULL;
	if (a->gpa != gpa || a->len != len) {
		/* Page tables or slots have changed: ask anew from here on. */
		em->nr_answers = em->replayed;
		return NULL;
	}
	em->replayed++;
	return a;
}

/*
 * A device of the driver's own answers at once; that too is noted, for the
 * case that user space must answer what the instruction reads next.
 */
static int ask(struct kvm_emulator *em, gpa_t gpa, unsigned int len, u8 *data)
{
	struct io_piece *a = &em->answer[em->nr_answers];

	if (em->nr_answers == MAX_ANSWERS)
		return give_up(em, 0);
	a->gpa = gpa;
	a->len = len;
	if (!kvm_io_read(em->vcpu, KVM_BUS_MMIO, gpa, len, a->data)) {
		em->replayed = ++em->nr_answers;
		memcpy(data, a->data, len);
		return X86EMUL_OK;
	}
	em->resume = resume_after_read;
	return X86EMUL_IO_NEEDED;
}

static int mmio_read(struct kvm_emulator *em, gpa_t gpa, u8 *data,
		     unsigned int len)
{
	const struct io_piece *a;
	unsigned int n;
	int rc;

	for (; len; len -= n, data += n, gpa += n) {
		n = min_t(unsigned int, len, IO_PIECE);
		a = replay_answer(em, gpa, n);
		if (a) {
			memcpy(data, a->data, n);
			continue;
		}
		rc = ask(em, gpa, n, data);
		if (rc)
			return rc;
	}
	em->ctxt.stop = true;
	return X86EMUL_OK;
}

/*
 * A repeated instruction may write what needs no exit without ever stopping:
 * its iterations are final when done. All else is posted, as it might yet be
 * run again.
 */
static bool write_now(struct kvm_emulator *em, gpa_t gpa, const u8 *data,
		      unsigned int len)
{
	return em->ctxt.insn.rep && !em->nr_posted &&
	       !kvm_io_write(em->vcpu, KVM_BUS_MMIO, gpa, len, data);
}

static int mmio_write(struct kvm_emulator *em, gpa_t gpa, const u8 *data,
		      unsigned int len)
{
	struct io_piece *p;
	unsigned int n;

	for (; len; len -= n, data += n, gpa += n) {
		n = min_t(unsigned int, len, IO_PIECE);
		if (write_now(em, gpa, data, n))
			continue;
		if (em->nr_posted == MAX_POSTED)
			return give_up(em, 0);
		p = &em->posted[em->nr_posted++];
		p->gpa = gpa;
		p->len = n;
		memcpy(p->data, data, n);
		em->ctxt.stop = true;
	}
	return X86EMUL_OK;
}

/* ---- memory ------------------------------------------------------------- */

/*
 * The slot behind gpa. MMIO addresses are kept from displacing the slot that
 * the vCPU remembers.
 */
static struct kvm_memory_slot *slot_at(struct kvm_emulator *em, gpa_t gpa)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;

	if (gfn == em->fault_gpa >> PAGE_SHIFT)
		return em->no_slot ? NULL :
				     kvm_gfn_to_slot(em->vcpu->kvm, gfn);
	return kvm_vcpu_gfn_to_slot(em->vcpu, gfn);
}

static int read_gpa(struct kvm_emulator *em, gpa_t gpa, void *data,
		    unsigned int len)
{
	struct kvm_memory_slot *slot = slot_at(em, gpa);

	if (!slot)
		return mmio_read(em, gpa, data, len);
	if (likely(!kvm_read_slot(slot, gpa, data, len)))
		return X86EMUL_OK;
	return give_up(em, -EFAULT);
}

static int write_gpa(struct kvm_emulator *em, gpa_t gpa, const void *data,
		     unsigned int len)
{
	struct kvm_memory_slot *slot = slot_at(em, gpa);

	if (!slot || slot_readonly(slot))
		return mmio_write(em, gpa, data, len);
	if (likely(!kvm_write_slot(em->vcpu->kvm, slot, gpa, data, len)))
		return X86EMUL_OK;
	return give_up(em, -EFAULT);
}

static int em_read(struct x86_emulate_ctxt *ctxt, u64 lin, void *buf,
		   unsigned int bytes, unsigned int access)
{
	struct span span;
	int rc;

	/* The processor may have seen no more than that it can be read. */
	if (access & X86_ACC_WRITE)
		to_emulator(ctxt)->one_operand = false;
	note_data(to_emulator(ctxt), lin, bytes, access, BIT(DR_RW_READ));
	rc = translate_span(ctxt, lin, bytes, access, &span);
	if (!rc)
		rc = read_gpa(to_emulator(ctxt), span.gpa[0], buf, span.len[0]);
	if (likely(span.pages == 1) || rc)
		return rc;
	return read_gpa(to_emulator(ctxt), span.gpa[1], buf + span.len[0],
			span.len[1]);
}

static int em_write(struct x86_emulate_ctxt *ctxt, u64 lin, const void *buf,
		    unsigned int bytes, unsigned int access)
{
	struct span span;
	int rc;

	if (unlikely(to_emulator(ctxt)->x87_fault))
		return x86_emul_fault(ctxt, X86_TRAP_MF, false, 0);
	note_data(to_emulator(ctxt), lin, bytes, access,
		  BIT(DR_RW_READ) | BIT(DR_RW_WRITE));
	rc = translate_span(ctxt, lin, bytes, access | X86_ACC_WRITE, &span);
	if (!rc)
		rc = write_gpa(to_emulator(ctxt), span.gpa[0], buf,
			       span.len[0]);
	if (likely(span.pages == 1) || rc)
		return rc;
	return write_gpa(to_emulator(ctxt), span.gpa[1], buf + span.len[0],
			 span.len[1]);
}

/*
 * As many bytes as an instruction can have, and one more for reads of a size
 * that is cheap, where the cache of code knows the way.
 */
static int fetch_fast(struct kvm_emulator *em, unsigned int offset, u8 *buf)
{
	const u64 __user *code = (const u64 __user *)(em->code.hva + offset);
	u64 words[2];

	if (__get_user(words[0], code) || __get_user(words[1], code + 1))
		return -EFAULT;
	memcpy(buf, words, MAX_INSN_BYTES);
	return 0;
}

static int fetch_page(struct kvm_emulator *em, gpa_t gpa, void *buf,
		      unsigned int bytes)
{
	unsigned int offset = offset_in_page(gpa);

	if (em->code.levels && bytes == MAX_INSN_BYTES &&
	    offset <= PAGE_SIZE - 16)
		return fetch_fast(em, offset, buf);
	return kvm_read_guest_page(em->vcpu, gpa >> PAGE_SHIFT, buf, offset,
				   bytes);
}

static int em_fetch(struct x86_emulate_ctxt *ctxt, u64 lin, void *buf,
		    unsigned int bytes)
{
	u32 access = PFERR_FETCH | (ctxt->cpl == 3 ? PFERR_USER : 0);
	struct kvm_emulator *em = to_emulator(ctxt);
	struct x86_exception e;
	gpa_t gpa;

	if (kvm_fetch_gva_to_gpa(em->vcpu, &em->code, lin, access, &gpa, &e))
		return x86_emul_pf(ctxt, e.cr2, e.error_code);
	/* Code in MMIO is more than user space can be asked for. */
	if (fetch_page(em, gpa, buf, bytes))
		return give_up(em, 0);
	return X86EMUL_OK;
}

/* Locked across pages or an alignment boundary: not atomic, as documented. */
static int split_cmpxchg(struct x86_emulate_ctxt *ctxt, u64 lin, void *old,
			 const void *new, unsigned int bytes)
{
	u8 seen[16];
	int rc;

	rc = em_read(ctxt, lin, seen, bytes, X86_ACC_WRITE);
	if (rc)
		return rc;
	if (!memcmp(seen, old, bytes))
		return em_write(ctxt, lin, new, bytes, 0);
	memcpy(old, seen, bytes);
	return X86EMUL_OK;
}

static int em_cmpxchg(struct x86_emulate_ctxt *ctxt, u64 lin, void *old,
		      const void *new, unsigned int bytes)
{
	struct kvm_emulator *em = to_emulator(ctxt);
	struct kvm_memory_slot *slot;
	gpa_t gpa;
	int rc;

	if (bytes > 16)
		return give_up(em, 0);
	if (lin & (bytes - 1))
		return split_cmpxchg(ctxt, lin, old, new, bytes);
	note_data(em, lin, bytes, 0, BIT(DR_RW_READ) | BIT(DR_RW_WRITE));
	rc = translate(ctxt, lin, X86_ACC_WRITE, &gpa);
	if (rc)
		return rc;
	slot = slot_at(em, gpa);
	/* A device has no memory to compare: it gets the write. */
	if (!slot || slot_readonly(slot))
		return mmio_write(em, gpa, new, bytes);
	rc = kvm_cmpxchg_slot(slot, gpa, old, new, bytes);
	if (rc < 0)
		return give_up(em, -EFAULT);
	if (!rc)
		kvm_mmu_guest_write(em->vcpu->kvm, gpa, bytes);
	return X86EMUL_OK;
}

static int em_probe_write(struct x86_emulate_ctxt *ctxt, u64 lin,
			  unsigned int bytes, unsigned int access)
{
	u32 how = walk_access(ctxt, access | X86_ACC_WRITE) | WALK_PEEK;
	unsigned int room = PAGE_SIZE - offset_in_page(lin);
	gpa_t gpa;
	int rc;

	rc = walk(ctxt, lin, how, &gpa);
	if (rc || bytes <= room)
		return rc;
	return walk(ctxt, next_page(ctxt, lin), how, &gpa);
}

static bool em_plain(struct x86_emulate_ctxt *ctxt, u64 lin,
		     unsigned int bytes, unsigned int access)
{
	struct x86_emul_exception saved = ctxt->exception;
	struct kvm_memory_slot *slot;
	gpa_t gpa;

	/* They want to see the items of a string one by one. */
	if (breakpoints_enabled(ctxt->vcpu))
		return false;
	if (translate(ctxt, lin, access, &gpa)) {
		ctxt->exception = saved;
		return false;
	}
	slot = slot_at(to_emulator(ctxt), gpa);
	return slot && !((access & X86_ACC_WRITE) && slot_readonly(slot));
}

/* ---- ports -------------------------------------------------------------- */

/*
 * The exit for a port access takes the place of its breakpoints ("Debug
 * Registers": R/Wn = 10b, with CR4.DE).
 */
static unsigned long io_breakpoints(struct kvm_vcpu *vcpu, u16 port,
				    unsigned int size)
{
	if (!breakpoints_enabled(vcpu) || !(kvm_read_cr4(vcpu) & X86_CR4_DE))
		return 0;
	return breakpoints(vcpu, BIT(DR_RW_IO), port, size);
}

/* Fill kvm_run for a port access of which the data is in pio_data. */
static void fill_pio_exit(struct kvm_vcpu *vcpu, bool in, u16 port,
			  unsigned int size, u32 count)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = size;
	run->io.port = port;
	run->io.count = count;
	run->io.data_offset = KVM_PIO_PAGE * PAGE_SIZE;
	if (!in)
		trace_kvm_pio(true, port, size, count, vcpu->pio_data);
}

/* Items from a device of the driver's own, which answers all or none. */
static int read_ports(struct kvm_emulator *em, u16 port, unsigned int size,
		      void *buf, unsigned int count)
{
	int r = 0;

	for (; count && !r; count--, buf += size)
		r = kvm_io_read(em->vcpu, KVM_BUS_PIO, port, size, buf);
	return r;
}

static int em_pio_in(struct x86_emulate_ctxt *ctxt, u16 port,
		     unsigned int size, void *buf, unsigned int count)
{
	struct kvm_emulator *em = to_emulator(ctxt);

	if (!read_ports(em, port, size, buf, count)) {
		note_hits(em, io_breakpoints(em->vcpu, port, size));
		return X86EMUL_OK;
	}
	if (size * count > PAGE_SIZE)
		return give_up(em, 0);
	if (em->pio.answered && em->pio.port == port && em->pio.size == size &&
	    em->pio.count == count) {
		memcpy(buf, em->vcpu->pio_data, size * count);
		note_hits(em, io_breakpoints(em->vcpu, port, size));
		ctxt->stop = true;
		return X86EMUL_OK;
	}
	em->pio.answered = false;
	em->pio.port = port;
	em->pio.size = size;
	em->pio.count = count;
	em->resume = resume_after_in;
	return X86EMUL_IO_NEEDED;
}

static int em_pio_out(struct x86_emulate_ctxt *ctxt, u16 port,
		      unsigned int size, const void *buf, unsigned int count)
{
	struct kvm_emulator *em = to_emulator(ctxt);

	note_hits(em, io_breakpoints(em->vcpu, port, size));
	while (count &&
	       !kvm_io_write(em->vcpu, KVM_BUS_PIO, port, size, buf)) {
		buf += size;
		count--;
	}
	if (!count)
		return X86EMUL_OK;
	if (size * count > PAGE_SIZE)
		return give_up(em, 0);
	memcpy(em->vcpu->pio_data, buf, size * count);
	em->pio.out = true;
	em->pio.port = port;
	em->pio.size = size;
	em->pio.count = count;
	ctxt->stop = true;
	return X86EMUL_OK;
}

/* ---- segments and tables ------------------------------------------------ */

static_assert((int)X86_SEG_CS == VCPU_SEG_CS && (int)X86_SEG_GS == VCPU_SEG_GS);
static_assert((int)X86_SEG_LDTR == VCPU_SEG_LDTR &&
	      (int)X86_SEG_TR == VCPU_SEG_TR);

static u64 em_segment_base(struct x86_emulate_ctxt *ctxt, enum x86_seg seg)
{
	struct kvm_segment s;

	backend->get_segment(ctxt->vcpu, &s, (enum kvm_seg)seg);
	return s.base;
}

static void em_get_segment(struct x86_emulate_ctxt *ctxt, enum x86_seg seg,
			   struct x86_segment *s)
{
	struct kvm_segment k;

	backend->get_segment(ctxt->vcpu, &k, (enum kvm_seg)seg);
	s->base = k.base;
	s->limit = k.limit;
	s->selector = k.selector;
	s->attr = k.type | k.dpl << X86_SEG_ATTR_DPL_SHIFT;
	s->attr |= k.s ? X86_SEG_ATTR_S : 0;
	s->attr |= k.present ? X86_SEG_ATTR_P : 0;
	s->attr |= k.avl ? X86_SEG_ATTR_AVL : 0;
	s->attr |= k.l ? X86_SEG_ATTR_L : 0;
	s->attr |= k.db ? X86_SEG_ATTR_DB : 0;
	s->attr |= k.g ? X86_SEG_ATTR_G : 0;
	s->attr |= k.unusable ? X86_SEG_ATTR_UNUSABLE : 0;
}

static int em_set_segment(struct x86_emulate_ctxt *ctxt, enum x86_seg seg,
			  const struct x86_segment *s)
{
	struct kvm_segment k = {
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attr & X86_SEG_ATTR_TYPE,
		.s = !!(s->attr & X86_SEG_ATTR_S),
		.dpl = (s->attr & X86_SEG_ATTR_DPL) >> X86_SEG_ATTR_DPL_SHIFT,
		.present = !!(s->attr & X86_SEG_ATTR_P),
		.avl = !!(s->attr & X86_SEG_ATTR_AVL),
		.l = !!(s->attr & X86_SEG_ATTR_L),
		.db = !!(s->attr & X86_SEG_ATTR_DB),
		.g = !!(s->attr & X86_SEG_ATTR_G),
		.unusable = !!(s->attr & X86_SEG_ATTR_UNUSABLE),
	};

	backend->set_segment(ctxt->vcpu, &k, (enum kvm_seg)seg);
	return X86EMUL_OK;
}

static void em_get_dt(struct x86_emulate_ctxt *ctxt, enum x86_dt which,
		      u64 *base, u16 *limit)
{
	struct kvm_dtable dt;

	if (which == X86_DT_GDT)
		backend->get_gdt(ctxt->vcpu, &dt);
	else
		backend->get_idt(ctxt->vcpu, &dt);
	*base = dt.base;
	*limit = dt.limit;
}

static int em_set_dt(struct x86_emulate_ctxt *ctxt, enum x86_dt which,
		     u64 base, u16 limit)
{
	struct kvm_dtable dt = { .base = base, .limit = limit };

	if (which == X86_DT_GDT)
		backend->set_gdt(ctxt->vcpu, &dt);
	else
		backend->set_idt(ctxt->vcpu, &dt);
	return X86EMUL_OK;
}

/* ---- control state ------------------------------------------------------ */

static int ok_or_gp(struct x86_emulate_ctxt *ctxt, int refused)
{
	return refused ? x86_emul_fault(ctxt, X86_TRAP_GP, true, 0) :
			 X86EMUL_OK;
}

static u64 em_get_cr(struct x86_emulate_ctxt *ctxt, unsigned int cr)
{
	struct kvm_vcpu *vcpu = ctxt->vcpu;

	switch (cr) {
	case 0:
		return kvm_read_cr0(vcpu);
	case 2:
		return vcpu->cr2;
	case 3:
		return kvm_read_cr3(vcpu);
	case 4:
		return kvm_read_cr4(vcpu);
	default:
		return kvm_get_cr8(vcpu);
	}
}

static void forget_translations(struct kvm_emulator *em)
{
	em->recent[0].lin = NO_PAGE;
	em->recent[1].lin = NO_PAGE;
}

static int em_set_cr(struct x86_emulate_ctxt *ctxt, unsigned int cr, u64 val)
{
	struct kvm_vcpu *vcpu = ctxt->vcpu;

	/* A task switch goes on with memory of the new task. */
	forget_translations(to_emulator(ctxt));
	switch (cr) {
	case 0:
		return ok_or_gp(ctxt, kvm_set_cr0(vcpu, val));
	case 2:
		vcpu->cr2 = val;
		return X86EMUL_OK;
	case 3:
		return ok_or_gp(ctxt, kvm_set_cr3(vcpu, val));
	case 4:
		return ok_or_gp(ctxt, kvm_set_cr4(vcpu, val));
	default:
		return ok_or_gp(ctxt, kvm_set_cr8(vcpu, val));
	}
}

static u64 em_get_dr(struct x86_emulate_ctxt *ctxt, unsigned int dr)
{
	return kvm_get_dr(ctxt->vcpu, dr);
}

static int em_set_dr(struct x86_emulate_ctxt *ctxt, unsigned int dr, u64 val)
{
	return ok_or_gp(ctxt, kvm_set_dr(ctxt->vcpu, dr, val));
}

/*
 * An access that was refused (`r`), or was before the monitor was asked: what
 * the monitor says, if it is for that.
 */
static int finish_msr(struct kvm_emulator *em, int r, bool write, u32 msr,
		      u64 *val)
{
	struct kvm_run *run = em->vcpu->run;

	if (em->msr_answered) {
		em->msr_answered = false;
		*val = READ_ONCE(run->msr.data);
		return ok_or_gp(&em->ctxt, READ_ONCE(run->msr.error));
	}
	if (!kvm_msr_exit_wanted(em->vcpu, r))
		return ok_or_gp(&em->ctxt, r);
	kvm_msr_fill_exit(em->vcpu, r, write, msr, *val);
	em->resume = resume_after_msr;
	return X86EMUL_IO_NEEDED;
}

static int em_get_msr(struct x86_emulate_ctxt *ctxt, u32 msr, u64 *val)
{
	struct kvm_emulator *em = to_emulator(ctxt);
	int r = 0;

	*val = 0;
	if (!em->msr_answered)
		r = kvm_guest_get_msr(em->vcpu, msr, val);
	return finish_msr(em, r, false, msr, val);
}

static int em_set_msr(struct x86_emulate_ctxt *ctxt, u32 msr, u64 val)
{
	struct kvm_emulator *em = to_emulator(ctxt);
	int r = 0;

	if (!em->msr_answered)
		r = kvm_guest_set_msr(em->vcpu, msr, val);
	return finish_msr(em, r, true, msr, &val);
}

static u64 em_get_xcr(struct x86_emulate_ctxt *ctxt, u32 xcr)
{
	const struct kvm_vcpu *vcpu = ctxt->vcpu;

	return vcpu->xcr0;
}

static int em_set_xcr(struct x86_emulate_ctxt *ctxt, u32 xcr, u64 val)
{
	return ok_or_gp(ctxt, kvm_set_xcr(ctxt->vcpu, xcr, val));
}

static u64 em_get_efer(struct x86_emulate_ctxt *ctxt)
{
	const struct kvm_vcpu *vcpu = ctxt->vcpu;

	return vcpu->efer;
}

static int em_cpuid(struct x86_emulate_ctxt *ctxt, u32 regs[4])
{
	kvm_cpuid(ctxt->vcpu, &regs[0], &regs[1], &regs[2], &regs[3]);
	return X86EMUL_OK;
}

static int em_rdtsc(struct x86_emulate_ctxt *ctxt, u64 *tsc)
{
	*tsc = kvm_read_guest_tsc(ctxt->vcpu);
	return X86EMUL_OK;
}

/* There are no performance counters. */
static int em_rdpmc(struct x86_emulate_ctxt *ctxt, u32 index, u64 *val)
{
	return ok_or_gp(ctxt, 1);
}

/* What there is to do comes when the instruction is over: ctxt->halted. */
static int em_hlt(struct x86_emulate_ctxt *ctxt)
{
	return X86EMUL_OK;
}

static int em_invlpg(struct x86_emulate_ctxt *ctxt, u64 lin)
{
	kvm_mmu_invlpg(ctxt->vcpu, lin);
	return X86EMUL_OK;
}

/*
 * Of one address in the address space of the moment: INVLPG does what is asked
 * for, and more. Which tables belong to another PCID is not known.
 */
static int em_invpcid(struct x86_emulate_ctxt *ctxt, unsigned int type,
		      u16 pcid, u64 lin)
{
	struct kvm_vcpu *vcpu = ctxt->vcpu;
	const unsigned long cr3 = kvm_read_cr3(vcpu);
	const bool pcide = vcpu->cr4 & X86_CR4_PCIDE;

	if (!guest_cpu_has(vcpu, KVM_CPUF_INVPCID))
		return x86_emul_fault(ctxt, X86_TRAP_UD, false, 0);
	if (!type && pcid == (pcide ? cr3 & X86_CR3_PCID_MASK : 0))
		kvm_mmu_invlpg(vcpu, lin);
	else
		kvm_mmu_flush_guest(vcpu);
	return X86EMUL_OK;
}

/* Caches are coherent with everything that a guest can reach. */
static int em_wbinvd(struct x86_emulate_ctxt *ctxt)
{
	return X86EMUL_OK;
}

static void em_unblock_nmi(struct x86_emulate_ctxt *ctxt)
{
	backend->set_nmi_masked(ctxt->vcpu, false);
}

/* ---- vector registers --------------------------------------------------- */

/*
 * The guest's vector state is the state of this thread while KVM_RUN lasts;
 * the host has not touched it. Legacy SSE reaches the low 16 bytes of the
 * first 16 registers and leaves the rest alone; VEX clears what is above; EVEX
 * reaches everything. Each is used only where the guest's XCR0 has allowed the
 * instruction that needs it, so the processor has it.
 */
static void guest_fpu_begin(void)
{
	fpregs_lock();
	compat_fpu_ensure_loaded();
}

static void guest_fpu_end(void)
{
	fpregs_unlock();
}

struct vec64 { u8 data[64]; };
struct vec32 { u8 data[32]; };
struct vec16 { u8 data[16]; };

#define FOR_16_REGS(X)							\
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)				\
	X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define FOR_32_REGS(X)							\
	FOR_16_REGS(X)							\
	X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)			\
	X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)

#define STORE(insn, file, n)						\
	case n:								\
		asm volatile(insn " %%" file #n ", %0" : "=m" (*mem));	\
		break;
#define LOAD(insn, file, n)						\
	case n:								\
		asm volatile(insn " %0, %%" file #n : : "m" (*mem));	\
		break;
#define STORE_XMM(n)	STORE("movdqu", "xmm", n)
#define STORE_YMM(n)	STORE("vmovdqu", "ymm", n)
#define STORE_ZMM(n)	STORE("vmovdqu64", "zmm", n)
#define LOAD_XMM(n)	LOAD("movdqu", "xmm", n)
#define LOAD_YMM(n)	LOAD("vmovdqu", "ymm", n)
#define LOAD_ZMM(n)	LOAD("vmovdqu64", "zmm", n)

#define DEFINE_VEC_FN(name, type, regs)					\
static void name(unsigned int index, type *mem)				\
{									\
	switch (index) {						\
	regs								\
	}								\
}
DEFINE_VEC_FN(store_xmm, struct vec16, FOR_16_REGS(STORE_XMM))
DEFINE_VEC_FN(store_ymm, struct vec32, FOR_16_REGS(STORE_YMM))
DEFINE_VEC_FN(store_zmm, struct vec64, FOR_32_REGS(STORE_ZMM))
DEFINE_VEC_FN(load_xmm, const struct vec16, FOR_16_REGS(LOAD_XMM))
DEFINE_VEC_FN(load_ymm, const struct vec32, FOR_16_REGS(LOAD_YMM))
DEFINE_VEC_FN(load_zmm, const struct vec64, FOR_32_REGS(LOAD_ZMM))

static void em_get_vec(struct x86_emulate_ctxt *ctxt, unsigned int index,
		       void *buf, unsigned int bytes)
{
	struct vec64 v;

	guest_fpu_begin();
	if (index > 15 || bytes == 64)
		store_zmm(index, &v);
	else if (bytes == 32)
		store_ymm(index, (struct vec32 *)&v);
	else
		store_xmm(index, (struct vec16 *)&v);
	guest_fpu_end();
	memcpy(buf, &v, bytes);
}

static void em_set_vec(struct x86_emulate_ctxt *ctxt, unsigned int index,
		       const void *buf, unsigned int bytes, bool zero_upper)
{
	struct vec64 v = { };

	memcpy(&v, buf, bytes);
	guest_fpu_begin();
	if (index > 15 || bytes == 64)
		load_zmm(index, &v);
	else if (zero_upper)
		load_ymm(index, (struct vec32 *)&v);
	else
		load_xmm(index, (struct vec16 *)&v);
	guest_fpu_end();
}

/*
 * An MMX instruction first delivers a pending x87 exception; in the kernel,
 * that would be ours ("x87 FPU Exceptions": the ES flag).
 */
static bool x87_exception_pending(struct kvm_emulator *em)
{
	u16 status;

	asm volatile("fnstsw %0" : "=am" (status));
	em->x87_fault = status & BIT(7);
	return em->x87_fault;
}

#define STORE_MM(n)	STORE("movq", "mm", n)
#define LOAD_MM(n)	LOAD("movq", "mm", n)
#define FOR_8_REGS(X)	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define STORE_K(n)	STORE("kmovq", "k", n)
DEFINE_VEC_FN(store_mm, u64, FOR_8_REGS(STORE_MM))
DEFINE_VEC_FN(load_mm, const u64, FOR_8_REGS(LOAD_MM))
DEFINE_VEC_FN(store_k, u64, FOR_8_REGS(STORE_K))

static void em_get_mmx(struct x86_emulate_ctxt *ctxt, unsigned int index,
		       u64 *val)
{
	*val = 0;
	guest_fpu_begin();
	if (!x87_exception_pending(to_emulator(ctxt)))
		store_mm(index, val);
	guest_fpu_end();
}

static void em_set_mmx(struct x86_emulate_ctxt *ctxt, unsigned int index,
		       u64 val)
{
	guest_fpu_begin();
	if (!x87_exception_pending(to_emulator(ctxt)))
		load_mm(index, &val);
	guest_fpu_end();
}

/* ---- x87 ---------------------------------------------------------------- */

/*
 * The instruction itself, on the guest's registers. AH takes the flags there
 * and back; ModRM of a memory operand names RDI. The largest operand is an
 * image of all of the state.
 */
#define X87_OPERAND	108
#define X87(opcode, modrm)						\
	case (opcode) << 8 | (modrm):					\
		asm volatile("sahf; .byte %c3, %c4; lahf"		\
			     : "+a" (ax), "+m" (*operand)		\
			     : "D" (operand), "i" (opcode),		\
			       "i" (modrm) : "cc");			\
		break;
#define X87_ROW(op, m)							\
	X87(op, m) X87(op, (m) + 1) X87(op, (m) + 2) X87(op, (m) + 3)	\
	X87(op, (m) + 4) X87(op, (m) + 5) X87(op, (m) + 6) X87(op, (m) + 7)
#define X87_MEMORY(op)							\
	X87(op, 0x07) X87(op, 0x0f) X87(op, 0x17) X87(op, 0x1f)		\
	X87(op, 0x27) X87(op, 0x2f) X87(op, 0x37) X87(op, 0x3f)
#define X87_OPCODE(op)							\
	X87_MEMORY(op)							\
	X87_ROW(op, 0xc0) X87_ROW(op, 0xc8) X87_ROW(op, 0xd0)		\
	X87_ROW(op, 0xd8) X87_ROW(op, 0xe0) X87_ROW(op, 0xe8)		\
	X87_ROW(op, 0xf0) X87_ROW(op, 0xf8)

#define FNSTSW_AX	0xdfe0
#define EMMS		0x0f77

static void x87_execute(u16 insn, void *data, u8 *flags)
{
	u8 (*operand)[X87_OPERAND] = data;
	u16 ax = *flags << 8;

	switch (insn) {
	X87_OPCODE(0xd8)
	X87_OPCODE(0xd9)
	X87_OPCODE(0xda)
	X87_OPCODE(0xdb)
	X87_OPCODE(0xdc)
	X87_OPCODE(0xdd)
	X87_OPCODE(0xde)
	X87_OPCODE(0xdf)
	}
	*flags = ax >> 8;
}

/*
 * Those that do not wait for exceptions: FNSTCW, FNSTSW, FNSTENV, FNSAVE,
 * FNCLEX, FNINIT and those of the 287 that do nothing.
 */
static bool x87_control(u16 insn)
{
	return insn == 0xd93f || insn == 0xdd3f || insn == FNSTSW_AX ||
	       insn == 0xd937 || insn == 0xdd37 ||
	       (insn >= 0xdbe0 && insn <= 0xdbe4);
}

/* FLDENV and FRSTOR bring pointers of their own. */
static bool x87_loads_pointers(u16 insn)
{
	return insn == 0xd927 || insn == 0xdd27;
}

/*
 * "x87 FPU Instruction and Data (Operand) Pointers": never the host's. Where
 * an image has linear ones, the selector that would be added is 0.
 */
static void x87_pointers(struct x86_emulate_ctxt *ctxt, u8 opcode, u8 modrm)
{
	struct fxregs_state fx __aligned(16);

	asm volatile("fxsave64 %0" : "=m" (fx));
	fx.rip = ctxt->rip;
	if (ctxt->mode == X86_MODE_REAL || ctxt->mode == X86_MODE_VM86)
		fx.rip += em_segment_base(ctxt, X86_SEG_CS);
	fx.rdp = 0;
	fx.fop = (opcode & 7) << 8 | modrm;
	asm volatile("fxrstor64 %0" : : "m" (fx));
}

static int em_x87(struct x86_emulate_ctxt *ctxt, u8 opcode, u8 modrm,
		  void *data, u8 *flags)
{
	struct kvm_emulator *em = to_emulator(ctxt);
	u16 insn = opcode << 8 | modrm;

	if (ctxt->insn.has_mem)
		insn = opcode << 8 | (modrm & 0x38) | 7;
	guest_fpu_begin();
	if (insn == FNSTSW_AX) {
		asm volatile("fnstsw %0" : "=m" (*(u16 *)data));
	} else if (x87_control(insn)) {
		x87_execute(insn, data, flags);
	} else if (x87_exception_pending(em)) {
		/* #MF, below */
	} else if (insn == EMMS) {
		asm volatile("emms");
	} else {
		x87_execute(insn, data, flags);
		if (!x87_loads_pointers(insn))
			x87_pointers(ctxt, opcode, modrm);
	}
	guest_fpu_end();
	return em->x87_fault ? x86_emul_fault(ctxt, X86_TRAP_MF, false, 0) :
			       X86EMUL_OK;
}

/* ---- FXSAVE and MXCSR --------------------------------------------------- */

static void fxsave(struct fxregs_state *fx, bool wide)
{
	if (wide)
		asm volatile("fxsave64 %0" : "=m" (*fx));
	else
		asm volatile("fxsave %0" : "=m" (*fx));
}

static int em_fxsave(struct x86_emulate_ctxt *ctxt, void *image, bool wide)
{
	struct fxregs_state fx __aligned(16) = { };

	guest_fpu_begin();
	fxsave(&fx, wide);
	guest_fpu_end();
	memcpy(image, &fx, sizeof(fx));
	return X86EMUL_OK;
}

/* What the image does not have stays as it is. */
static int em_fxrstor(struct x86_emulate_ctxt *ctxt, const void *image,
		      unsigned int bytes, bool wide)
{
	const bool sse = bytes > offsetof(struct fxregs_state, xmm_space);
	struct fxregs_state fx __aligned(16);
	u32 mxcsr, mask;

	guest_fpu_begin();
	fxsave(&fx, wide);
	mxcsr = fx.mxcsr;
	mask = fx.mxcsr_mask;
	memcpy(&fx, image, bytes);
	if (!sse)
		fx.mxcsr = mxcsr;
	mxcsr = fx.mxcsr;
	if (mxcsr & ~mask)
		; /* #GP, below */
	else if (wide)
		asm volatile("fxrstor64 %0" : : "m" (fx));
	else
		asm volatile("fxrstor %0" : : "m" (fx));
	guest_fpu_end();
	return ok_or_gp(ctxt, !!(mxcsr & ~mask));
}

static u32 em_get_mxcsr(struct x86_emulate_ctxt *ctxt)
{
	u32 mxcsr;

	guest_fpu_begin();
	asm volatile("stmxcsr %0" : "=m" (mxcsr));
	guest_fpu_end();
	return mxcsr;
}

static int em_set_mxcsr(struct x86_emulate_ctxt *ctxt, u32 val)
{
	struct fxregs_state fx __aligned(16);

	guest_fpu_begin();
	fxsave(&fx, true);
	if (!(val & ~fx.mxcsr_mask))
		asm volatile("ldmxcsr %0" : : "m" (val));
	guest_fpu_end();
	return ok_or_gp(ctxt, !!(val & ~fx.mxcsr_mask));
}

static bool em_random(struct x86_emulate_ctxt *ctxt, bool seed, u64 *val)
{
	unsigned long value = 0;
	bool found = seed ? rdseed_long(&value) : rdrand_long(&value);

	*val = value;
	return found;
}

/* VMMCALL is another vendor's. */
static int em_hypercall(struct x86_emulate_ctxt *ctxt)
{
	struct kvm_vcpu *vcpu = ctxt->vcpu;

	if (ctxt->insn.modrm != 0xc1)
		return x86_emul_fault(ctxt, X86_TRAP_UD, false, 0);
	kvm_hypercall(vcpu);
	memcpy(ctxt->regs, vcpu->regs, sizeof(ctxt->regs));
	return X86EMUL_OK;
}

static u64 em_get_opmask(struct x86_emulate_ctxt *ctxt, unsigned int index)
{
	u64 val = 0;

	guest_fpu_begin();
	store_k(index, &val);
	guest_fpu_end();
	return val;
}

static const struct x86_emulate_ops emulate_ops = {
	.read		= em_read,
	.write		= em_write,
	.fetch		= em_fetch,
	.cmpxchg	= em_cmpxchg,
	.probe_write	= em_probe_write,
	.plain		= em_plain,
	.segment_base	= em_segment_base,
	.get_segment	= em_get_segment,
	.set_segment	= em_set_segment,
	.get_dt		= em_get_dt,
	.set_dt		= em_set_dt,
	.get_cr		= em_get_cr,
	.set_cr		= em_set_cr,
	.get_dr		= em_get_dr,
	.set_dr		= em_set_dr,
	.get_msr	= em_get_msr,
	.set_msr	= em_set_msr,
	.get_xcr	= em_get_xcr,
	.set_xcr	= em_set_xcr,
	.get_efer	= em_get_efer,
	.cpuid		= em_cpuid,
	.rdtsc		= em_rdtsc,
	.rdpmc		= em_rdpmc,
	.pio_in		= em_pio_in,
	.pio_out	= em_pio_out,
	.get_vec	= em_get_vec,
	.set_vec	= em_set_vec,
	.get_mmx	= em_get_mmx,
	.set_mmx	= em_set_mmx,
	.get_opmask	= em_get_opmask,
	.x87		= em_x87,
	.fxsave		= em_fxsave,
	.fxrstor	= em_fxrstor,
	.get_mxcsr	= em_get_mxcsr,
	.set_mxcsr	= em_set_mxcsr,
	.random		= em_random,
	.hypercall	= em_hypercall,
	.hlt		= em_hlt,
	.invlpg		= em_invlpg,
	.invpcid	= em_invpcid,
	.wbinvd		= em_wbinvd,
	.unblock_nmi	= em_unblock_nmi,
};

/* ---- registers in and out ----------------------------------------------- */

static_assert((int)X86_NR_GPRS == VCPU_RIP &&
	      sizeof(u64) == sizeof(unsigned long));

static void load_registers(struct kvm_emulator *em)
{
	struct kvm_vcpu *vcpu = em->vcpu;

	kvm_reg_read(vcpu, VCPU_RSP);
	memcpy(em->ctxt.regs, vcpu->regs, sizeof(em->ctxt.regs));
	em->ctxt.rip = kvm_rip_read(vcpu);
	em->rflags = backend->get_rflags(vcpu);
	em->ctxt.rflags = em->rflags;
}

static void store_registers(struct kvm_emulator *em)
{
	struct x86_emulate_ctxt *ctxt = &em->ctxt;
	struct kvm_vcpu *vcpu = em->vcpu;
	unsigned long dirty = ctxt->regs_dirty;
	int reg;

	for_each_set_bit(reg, &dirty, X86_NR_GPRS)
		kvm_reg_write(vcpu, reg, ctxt->regs[reg]);
	if (vcpu->regs[VCPU_RIP] != ctxt->rip)
		kvm_rip_write(vcpu, ctxt->rip);
	if (em->rflags != ctxt->rflags) {
		backend->set_rflags(vcpu, ctxt->rflags);
		em->rflags = ctxt->rflags;
	}
}

static enum x86_emul_mode current_mode(struct kvm_emulator *em)
{
	struct kvm_vcpu *vcpu = em->vcpu;
	int db, l;

	/* PE is never the guest's own. */
	if (!(vcpu->cr0 & X86_CR0_PE))
		return X86_MODE_REAL;
	if (em->rflags & X86_EFLAGS_VM)
		return X86_MODE_VM86;
	backend->get_cs_db_l(vcpu, &db, &l);
	if (l && is_long_mode(vcpu))
		return X86_MODE_PROT64;
	return db ? X86_MODE_PROT32 : X86_MODE_PROT16;
}

/* Only what decoding needs; all else is set where it comes into use. */
static void begin_instruction(struct kvm_emulator *em)
{
	struct x86_emulate_ctxt *ctxt = &em->ctxt;

	load_registers(em);
	ctxt->mode = current_mode(em);
	ctxt->cpl = backend->get_cpl(em->vcpu);
	ctxt->insn.fetched = 0;
	em->error = 0;
	em->x87_fault = false;
	em->one_operand = false;
	em->fault_gpa = INVALID_GPA;
	em->nr_answers = 0;
	em->pio.answered = false;
	em->msr_answered = false;
	em->rounds = 0;
}

/* ---- after the instruction ---------------------------------------------- */

static u64 linear_rip(struct kvm_vcpu *vcpu)
{
	struct kvm_segment cs;

	if (is_64bit_mode(vcpu))
		return kvm_rip_read(vcpu);
	backend->get_segment(vcpu, &cs, VCPU_SEG_CS);
	return (u32)(cs.base + kvm_rip_read(vcpu));
}

/* KVM_EXIT_DEBUG: stepped over an instruction, or met a breakpoint. */
static int exit_debug(struct kvm_vcpu *vcpu, unsigned long dr6)
{
	struct kvm_debug_exit_arch *debug = &vcpu->run->debug.arch;

	vcpu->run->exit_reason = KVM_EXIT_DEBUG;
	debug->exception = X86_TRAP_DB;
	debug->pad = 0;
	debug->pc = linear_rip(vcpu);
	debug->dr6 = dr6 | DR6_RESERVED;
	debug->dr7 = vcpu->dr7;
	return 0;
}

/*
 * The processor would clear the blocking by STI and MOV SS, and trap if TF
 * was set; a debugger takes precedence over the guest's own handler.
 */
static void retire(struct kvm_emulator *em, bool complete)
{
	const struct x86_emulate_ctxt *ctxt = &em->ctxt;
	struct kvm_vcpu *vcpu = em->vcpu;
	unsigned long dr6 = 0;
	u32 shadow = 0;

	if (complete) {
		if (ctxt->shadow & X86_SHADOW_STI)
			shadow = KVM_X86_SHADOW_INT_STI;
		if (ctxt->shadow & X86_SHADOW_MOV_SS)
			shadow = KVM_X86_SHADOW_INT_MOV_SS;
		backend->set_interrupt_shadow(vcpu, shadow);
	}
	em->exit_dr6 = 0;
	if (unlikely(vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP))
		em->exit_dr6 = complete || ctxt->trap ? DR_STEP : 0;
	else if (unlikely(ctxt->trap))
		dr6 |= DR_STEP;
	if (unlikely(vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP))
		em->exit_dr6 |= em->hits;
	else
		dr6 |= em->hits;
	if (unlikely(ctxt->task_trap))
		dr6 |= DR_SWITCH;
	if (unlikely(dr6))
		kvm_queue_db(vcpu, dr6);
}

static int after_io(struct kvm_vcpu *vcpu)
{
	const unsigned long dr6 = vcpu->emul->exit_dr6;

	return unlikely(dr6) ? exit_debug(vcpu, dr6) : 1;
}

static int next_iteration(struct kvm_vcpu *vcpu);

/* Send posted writes on their way, as many as can go without an exit. */
static int deliver_writes(struct kvm_vcpu *vcpu)
{
	struct kvm_emulator *em = vcpu->emul;
	const struct io_piece *p;

	while (em->delivered < em->nr_posted) {
		p = &em->posted[em->delivered++];
		if (!kvm_io_write(vcpu, KVM_BUS_MMIO, p->gpa, p->len, p->data))
			continue;
		fill_mmio_exit(vcpu, p, true);
		if (em->delivered < em->nr_posted)
			vcpu->complete_userspace_io = deliver_writes;
		else if (em->exit_dr6)
			vcpu->complete_userspace_io = after_io;
		else if (em->unfinished)
			vcpu->complete_userspace_io = next_iteration;
		return 0;
	}
	return after_io(vcpu);
}

static int deliver_pio(struct kvm_vcpu *vcpu)
{
	struct kvm_emulator *em = vcpu->emul;

	fill_pio_exit(vcpu, false, em->pio.port, em->pio.size, em->pio.count);
	if (em->exit_dr6)
		vcpu->complete_userspace_io = after_io;
	return 0;
}

static int inject_fault(struct kvm_emulator *em)
{
	const struct x86_emul_exception *from = &em->ctxt.exception;
	struct x86_exception e = {
		.vector = from->vector,
		.has_error_code = from->has_error,
		.error_code = from->error,
		.cr2 = from->cr2,
	};

	/* Breakpoints trap; the #DB that is a fault is general detect. */
	if (unlikely(e.vector == X86_TRAP_DB))
		kvm_queue_db(em->vcpu, DR6_BD);
	else
		kvm_inject_x86_exception(em->vcpu, &e);
	return 1;
}

/*
 * The data is laid out as emulation_failure in struct kvm_run. A program in
 * the guest, which may have changed its code since the exit, cannot end the
 * VM: to it the processor does not know the instruction.
 */
static noinline void do_trace_insn(const struct kvm_emulator *em, bool failed)
{
	static const u8 flags[] = {
		[X86_MODE_REAL] = 0, [X86_MODE_VM86] = 0,
		[X86_MODE_PROT16] = 1, [X86_MODE_PROT32] = 2,
		[X86_MODE_PROT64] = 3,
	};
	const struct x86_emulate_ctxt *ctxt = &em->ctxt;
	struct kvm_segment cs;

	backend->get_segment(em->vcpu, &cs, VCPU_SEG_CS);
	trace_kvm_emulate_insn(ctxt->rip, cs.base, ctxt->insn.bytes,
			       ctxt->insn.fetched, flags[ctxt->mode], failed);
}

static __always_inline void trace_insn(const struct kvm_emulator *em,
				       bool failed)
{
	if (trace_kvm_emulate_insn_enabled())
		do_trace_insn(em, failed);
}

static int fail(struct kvm_emulator *em)
{
	const struct x86_insn *insn = &em->ctxt.insn;
	u64 data[3] = { };
	u8 *bytes = (u8 *)&data[1];

	if (em->error)
		return em->error;
	if (kvm_mmu_unprotect(em->vcpu))
		return 1;
	em->vcpu->stat.insn_emulation_fail++;
	trace_insn(em, true);
	if (backend->get_cpl(em->vcpu) > 0) {
		kvm_queue_exception(em->vcpu, X86_TRAP_UD);
		return 1;
	}
	if (insn->fetched) {
		data[0] = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		bytes[0] = min_t(u8, insn->fetched, 15);
		memcpy(bytes + 1, insn->bytes, bytes[0]);
	}
	return kvm_internal_error(em->vcpu, KVM_INTERNAL_ERROR_EMULATION,
				  ARRAY_SIZE(data), data);
}

static int finish(struct kvm_emulator *em, bool done)
{
	if (unlikely(em->x87_fault)) {
		kvm_queue_exception(em->vcpu, X86_TRAP_MF);
		return 1;
	}
	store_registers(em);
	retire(em, done);
	em->unfinished = !done;
	if (em->nr_posted)
		return deliver_writes(em->vcpu);
	if (em->pio.out)
		return deliver_pio(em->vcpu);
	if (em->ctxt.halted)
		return kvm_emulate_halt(em->vcpu);
	return after_io(em->vcpu);
}

/* ---- running it --------------------------------------------------------- */

/* User space must answer before the instruction can go on. */
static int exit_for_answer(struct kvm_emulator *em)
{
	struct kvm_vcpu *vcpu = em->vcpu;

	store_registers(em);
	if (em->resume == resume_after_read)
		fill_mmio_exit(vcpu, &em->answer[em->nr_answers], false);
	else if (em->resume != resume_after_msr)
		fill_pio_exit(vcpu, true, em->pio.port, em->pio.size,
			      em->pio.count);
	vcpu->complete_userspace_io = em->resume;
	return 0;
}

static void begin_attempt(struct kvm_emulator *em)
{
	forget_translations(em);
	em->replayed = 0;
	em->nr_posted = 0;
	em->delivered = 0;
	em->pio.out = false;
	em->hits = 0;
}

/* An instruction that the tables do not have. */
static int unknown(struct kvm_emulator *em, u32 emultype)
{
	if (em->error || !(emultype & EMULTYPE_TRY))
		return fail(em);
	return KVM_EMULATE_UNKNOWN;
}

/*
 * After an iteration of a string instruction, is there nothing that could come
 * before the next? Now and then the processor is to find out.
 */
#define MAX_ROUNDS	64

static bool goes_on(struct kvm_emulator *em)
{
	struct kvm_vcpu *vcpu = em->vcpu;

	if (++em->rounds == MAX_ROUNDS || vcpu->ev.exception.pending ||
	    kvm_request_pending(vcpu) || compat_immediate_exit(vcpu->run) ||
	    __xfer_to_guest_mode_work_pending())
		return false;
	em->nr_answers = 0;
	em->pio.answered = false;
	em->no_slot = false;	/* the next one is elsewhere */
	return true;
}

static int run_instruction(struct kvm_emulator *em, u32 emultype)
{
	int rc, r;

	do {
		begin_attempt(em);
		rc = x86_emulate_insn(&em->ctxt);
		switch (rc) {
		case X86EMUL_OK:
		case X86EMUL_RESTART:
			r = finish(em, rc == X86EMUL_OK);
			break;
		case X86EMUL_FAULT:
			store_registers(em);
			return inject_fault(em);
		case X86EMUL_IO_NEEDED:
			return exit_for_answer(em);
		default:
			return unknown(em, emultype);
		}
	} while (rc == X86EMUL_RESTART && r > 0 && goes_on(em));
	return r;
}

/*
 * User space is back with an answer. If it has meanwhile sent the vCPU
 * elsewhere, by a reset say, the instruction is no more.
 */
static int resume(struct kvm_emulator *em)
{
	if (kvm_rip_read(em->vcpu) != em->ctxt.rip)
		return 1;
	load_registers(em);
	em->no_slot = false;	/* slots may have changed */
	return run_instruction(em, 0);
}

/* User space has taken what an iteration of a string instruction wrote. */
static int next_iteration(struct kvm_vcpu *vcpu)
{
	struct kvm_emulator *em = vcpu->emul;

	return goes_on(em) ? resume(em) : 1;
}

static int resume_after_read(struct kvm_vcpu *vcpu)
{
	struct kvm_emulator *em = vcpu->emul;
	struct io_piece *p = &em->answer[em->nr_answers++];

	memcpy(p->data, vcpu->run->mmio.data, sizeof(p->data));
	trace_kvm_mmio(KVM_TRACE_MMIO_READ, p->len, p->gpa, p->data);
	return resume(em);
}

static int resume_after_in(struct kvm_vcpu *vcpu)
{
	struct kvm_emulator *em = vcpu->emul;

	em->pio.answered = true;
	trace_kvm_pio(false, em->pio.port, em->pio.size, em->pio.count,
		      vcpu->pio_data);
	return resume(em);
}

static int resume_after_msr(struct kvm_vcpu *vcpu)
{
	vcpu->emul->msr_answered = true;
	return resume(vcpu->emul);
}

/*
 * "Instruction-Breakpoint Exception Condition": a fault, before the
 * instruction; but not behind MOV SS, and not where RF is set.
 */
static unsigned long code_breakpoints(struct kvm_emulator *em)
{
	struct kvm_vcpu *vcpu = em->vcpu;

	if (!breakpoints_enabled(vcpu) || (em->rflags & X86_EFLAGS_RF) ||
	    (backend->get_interrupt_shadow(vcpu) & KVM_X86_SHADOW_INT_MOV_SS))
		return 0;
	return breakpoints(vcpu, BIT(DR_RW_EXECUTE), linear_rip(vcpu), 1);
}

static int stop_at_breakpoint(struct kvm_vcpu *vcpu, unsigned long hits)
{
	if (vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP)
		return exit_debug(vcpu, hits);
	kvm_queue_db(vcpu, hits);
	return 1;
}

int kvm_emulate_instruction(struct kvm_vcpu *vcpu, gpa_t fault_gpa,
			    u32 emultype)
{
	struct kvm_emulator *em = vcpu->emul;
	unsigned long hits;
	int rc;

	vcpu->stat.insn_emulation++;
	begin_instruction(em);
	if (emultype & EMULTYPE_BEGIN) {
		hits = code_breakpoints(em);
		if (unlikely(hits))
			return stop_at_breakpoint(vcpu, hits);
	}
	rc = x86_decode_insn(&em->ctxt);
	if (rc == X86EMUL_OK) {
		/* It fills a page that was a table, and need not be one yet. */
		if (em->ctxt.insn.rep && kvm_mmu_unprotect(vcpu))
			return 1;
		trace_insn(em, false);
		if (emultype & EMULTYPE_PF) {
			em->fault_gpa = fault_gpa;
			em->one_operand = one_operand(&em->ctxt.insn);
			em->no_slot = emultype & EMULTYPE_MMIO;
		}
		return run_instruction(em, emultype);
	}
	if (rc == X86EMUL_FAULT)
		return inject_fault(em);
	return unknown(em, emultype);
}

/* ---- what the processor does not know ----------------------------------- */

/* By these bytes tests ask for an instruction to be emulated. */
static const u8 emulation_prefix[] = { 0x0f, 0x0b, 'k', 'v', 'm' };
static const u8 insn_syscall[] = { 0x0f, 0x05 };
static const u8 insn_vmmcall[] = { 0x0f, 0x01, 0xd9 };

/* How many of the bytes from RIP on can be had; a fault is not the guest's. */
static unsigned int peek_code(struct kvm_emulator *em, u8 *buf,
			      unsigned int bytes)
{
	const u64 at = linear_rip(em->vcpu);
	unsigned int i;

	for (i = 0; i < bytes; i++)
		if (em_fetch(&em->ctxt, at + i, buf + i, 1))
			break;
	em->error = 0;
	return i;
}

static bool is_prefix(const struct x86_emulate_ctxt *ctxt, u8 byte)
{
	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e:
	case 0x64 ... 0x67:
		return true;
	case 0x40 ... 0x4f:
		return ctxt->mode == X86_MODE_PROT64;
	default:
		return false;
	}
}

static bool is_movbe(const struct x86_emulate_ctxt *ctxt, const u8 *code,
		     unsigned int len)
{
	while (len && is_prefix(ctxt, *code)) {
		code++;
		len--;
	}
	return len >= 3 && code[0] == 0x0f && code[1] == 0x38 &&
	       (code[2] & ~1) == 0xf0;
}

static bool lacks_movbe(const struct kvm_vcpu *vcpu)
{
	return guest_cpu_has(vcpu, KVM_CPUF_MOVBE) &&
	       !boot_cpu_has(X86_FEATURE_MOVBE);
}

/* Of AMD, whose SYSCALL works in compatibility and protected mode, too? */
static bool has_syscall_everywhere(const struct kvm_vcpu *vcpu)
{
	return vcpu->nr_cpuid && !guest_cpu_has(vcpu, KVM_CPUF_INTEL);
}

static bool mends_hypercalls(const struct kvm_vcpu *vcpu)
{
	return kvm_has_quirk(vcpu->kvm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN);
}

bool kvm_wants_undefined(const struct kvm_vcpu *vcpu)
{
	return force_emulation_prefix || has_syscall_everywhere(vcpu) ||
	       lacks_movbe(vcpu) || mends_hypercalls(vcpu);
}

static void set_syscall_segment(struct kvm_vcpu *vcpu, enum kvm_seg seg,
				u16 selector, u8 type, bool l)
{
	const struct kvm_segment s = {
		.selector = selector, .limit = ~0u, .type = type, .s = 1,
		.present = 1, .g = 1, .l = l, .db = !l,
	};

	backend->set_segment(vcpu, &s, seg);
}

/* AMD's manual, volume 3, "SYSCALL": where 64-bit code may not be. */
static int emulate_syscall(struct kvm_emulator *em)
{
	struct x86_emulate_ctxt *ctxt = &em->ctxt;
	struct kvm_vcpu *vcpu = em->vcpu;
	const bool l = is_long_mode(vcpu);
	u64 star = 0, mask = X86_EFLAGS_VM | X86_EFLAGS_IF;

	begin_attempt(em);
	kvm_get_msr(vcpu, MSR_STAR, &star, true);
	ctxt->regs[X86_RCX] = (u32)(ctxt->rip + sizeof(insn_syscall));
	ctxt->regs_dirty = BIT(X86_RCX);
	ctxt->rip = (u32)star;
	if (l) {
		ctxt->regs[X86_R11] = ctxt->rflags & ~X86_EFLAGS_RF;
		ctxt->regs_dirty |= BIT(X86_R11);
		kvm_get_msr(vcpu, MSR_CSTAR, &ctxt->rip, true);
		kvm_get_msr(vcpu, MSR_SYSCALL_MASK, &mask, true);
	}
	ctxt->rflags &= ~(mask | X86_EFLAGS_RF);
	ctxt->rflags |= X86_EFLAGS_FIXED;
	star = star >> 32 & 0xfffc;
	set_syscall_segment(vcpu, VCPU_SEG_CS, star, 11, l);
	set_syscall_segment(vcpu, VCPU_SEG_SS, star + 8, 3, false);
	ctxt->shadow = 0;
	ctxt->halted = false;
	ctxt->task_trap = false;
	ctxt->trap = ctxt->rflags & X86_EFLAGS_TF;
	return finish(em, true);
}

static bool syscall_works(const struct kvm_emulator *em)
{
	const struct kvm_vcpu *vcpu = em->vcpu;
	const enum x86_emul_mode mode = em->ctxt.mode;

	return has_syscall_everywhere(vcpu) && (vcpu->efer & EFER_SCE) &&
	       (mode == X86_MODE_PROT16 || mode == X86_MODE_PROT32);
}

static int emulate_known(struct kvm_vcpu *vcpu)
{
	int r = kvm_emulate_instruction(vcpu, 0, EMULTYPE_TRY);

	if (r != KVM_EMULATE_UNKNOWN)
		return r;
	kvm_queue_exception(vcpu, X86_TRAP_UD);
	return 1;
}

int kvm_emulate_undefined(struct kvm_vcpu *vcpu)
{
	struct kvm_emulator *em = vcpu->emul;
	unsigned int len;
	u8 code[8];

	begin_instruction(em);
	len = peek_code(em, code, sizeof(code));
	if (force_emulation_prefix && len >= sizeof(emulation_prefix) &&
	    !memcmp(code, emulation_prefix, sizeof(emulation_prefix))) {
		kvm_rip_write(vcpu, em->ctxt.rip + sizeof(emulation_prefix));
		return emulate_known(vcpu);
	}
	if (syscall_works(em) && len >= sizeof(insn_syscall) &&
	    !memcmp(code, insn_syscall, sizeof(insn_syscall)))
		return emulate_syscall(em);
	if (lacks_movbe(vcpu) && is_movbe(&em->ctxt, code, len))
		return emulate_known(vcpu);
	if (mends_hypercalls(vcpu) && len >= sizeof(insn_vmmcall) &&
	    !memcmp(code, insn_vmmcall, sizeof(insn_vmmcall))) {
		kvm_fix_hypercall(vcpu, linear_rip(vcpu));
		return 1;
	}
	kvm_queue_exception(vcpu, X86_TRAP_UD);
	return 1;
}

/* ---- events and task switches ------------------------------------------- */

static_assert((int)X86_TASK_CALL == KVM_TASK_CALL &&
	      (int)X86_TASK_IRET == KVM_TASK_IRET &&
	      (int)X86_TASK_JMP == KVM_TASK_JMP &&
	      (int)X86_TASK_GATE == KVM_TASK_GATE);

/* The event is delivered, or its delivery has failed and is another one now. */
static void event_consumed(struct kvm_vcpu *vcpu)
{
	struct kvm_events *ev = &vcpu->ev;

	if (ev->nmi_injected)
		backend->set_nmi_masked(vcpu, true);
	ev->nmi_injected = false;
	ev->interrupt.injected = false;
	ev->exception.injected = false;
}

static int end_event(struct kvm_emulator *em, int rc, bool by_event)
{
	if (rc == X86EMUL_FAULT) {
		store_registers(em);
		/* A contributory exception makes it a double fault. */
		inject_fault(em);
	}
	if (rc != X86EMUL_OK && rc != X86EMUL_FAULT)
		return fail(em);
	if (by_event)
		event_consumed(em->vcpu);
	return rc == X86EMUL_OK ? finish(em, true) : 1;
}

int kvm_emulate_task_switch(struct kvm_vcpu *vcpu, u16 selector,
			    enum kvm_task_source source, unsigned int insn_len)
{
	struct kvm_emulator *em = vcpu->emul;
	const struct kvm_queued_exception *ex = &vcpu->ev.exception;
	const bool by_event = source == KVM_TASK_GATE;
	struct x86_task_switch sw = {
		.selector = selector,
		.reason = (enum x86_task_reason)source,
		.external = !insn_len,
		.insn_len = insn_len,
		.has_error = by_event && ex->injected && ex->has_error_code,
		.error = ex->error_code,
	};
	int rc;

	vcpu->stat.insn_emulation++;
	begin_instruction(em);
	begin_attempt(em);
	rc = x86_emulate_task_switch(&em->ctxt, &sw);
	if (source == KVM_TASK_IRET && em->ctxt.task_switched)
		em_unblock_nmi(&em->ctxt);
	return end_event(em, rc, by_event);
}

/* INT3 and INTO come with the length of the instruction, like INT n. */
static bool exception_is_software(const struct kvm_queued_exception *ex)
{
	return ex->injected &&
	       (ex->vector == X86_TRAP_BP || ex->vector == X86_TRAP_OF);
}

int kvm_emulate_event(struct kvm_vcpu *vcpu)
{
	const struct kvm_events *ev = &vcpu->ev;
	const struct kvm_queued_exception *ex = &ev->exception;
	enum x86_event_kind kind = X86_EVENT_EXTERNAL;
	struct kvm_emulator *em = vcpu->emul;
	u8 vector = ev->interrupt.vector;
	u64 rip;
	int rc;

	vcpu->stat.insn_emulation++;
	begin_instruction(em);
	begin_attempt(em);
	rip = em->ctxt.rip;
	if (ex->injected) {
		kind = X86_EVENT_EXCEPTION;
		vector = ex->vector;
	} else if (ev->nmi_injected) {
		vector = X86_TRAP_NMI;
	}
	if (exception_is_software(ex) ||
	    (ev->interrupt.injected && ev->interrupt.soft)) {
		kind = X86_EVENT_SOFTWARE;
		em->ctxt.rip += ev->soft_insn_len ?: 1;
	}
	rc = x86_emulate_event(&em->ctxt, vector, kind,
			       ex->injected && ex->has_error_code,
			       ex->error_code);
	if (rc == X86EMUL_FAULT && !em->ctxt.task_switched)
		em->ctxt.rip = rip;
	return end_event(em, rc, true);
}

/* ---- IN and OUT of one item --------------------------------------------- */

static int skip_port_access(struct kvm_vcpu *vcpu, u16 port, unsigned int size)
{
	unsigned long hits = io_breakpoints(vcpu, port, size);
	int r = backend->skip_instruction(vcpu);

	if (unlikely(hits) && !(vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP))
		kvm_queue_db(vcpu, hits);
	return r;
}

/* Has user space sent the vCPU elsewhere while it served the access? */
static bool still_there(struct kvm_vcpu *vcpu)
{
	return kvm_rip_read(vcpu) == vcpu->emul->ctxt.rip;
}

static int finish_fast_out(struct kvm_vcpu *vcpu)
{
	const struct kvm_emulator *em = vcpu->emul;

	return still_there(vcpu) ?
		skip_port_access(vcpu, em->pio.port, em->pio.size) : 1;
}

/* "IN": AL and AX leave the rest of RAX alone, EAX clears its upper half. */
static void set_in_result(struct kvm_vcpu *vcpu, unsigned int size, u32 val)
{
	unsigned long rax = vcpu->regs[VCPU_RAX];

	switch (size) {
	case 1:
		rax = (rax & ~0xfful) | (u8)val;
		break;
	case 2:
		rax = (rax & ~0xfffful) | (u16)val;
		break;
	default:
		rax = val;
	}
	kvm_reg_write(vcpu, VCPU_RAX, rax);
}

static int finish_fast_in(struct kvm_vcpu *vcpu)
{
	const struct kvm_emulator *em = vcpu->emul;

	if (!still_there(vcpu))
		return 1;
	trace_kvm_pio(false, em->pio.port, em->pio.size, 1, vcpu->pio_data);
	set_in_result(vcpu, em->pio.size, READ_ONCE(*(u32 *)vcpu->pio_data));
	return skip_port_access(vcpu, em->pio.port, em->pio.size);
}

static void finish_later(struct kvm_vcpu *vcpu, u16 port, unsigned int size,
			 int (*finish)(struct kvm_vcpu *vcpu))
{
	struct kvm_emulator *em = vcpu->emul;

	em->ctxt.rip = kvm_rip_read(vcpu);
	em->pio.port = port;
	em->pio.size = size;
	vcpu->complete_userspace_io = finish;
}

#define PORT_7E		0x7e	/* see KVM_X86_QUIRK_OUT_7E_INC_RIP */

static bool skips_after_exit(const struct kvm_vcpu *vcpu, u16 port)
{
	return vcpu->guest_debug || (port == PORT_7E &&
		!kvm_has_quirk(vcpu->kvm, KVM_X86_QUIRK_OUT_7E_INC_RIP));
}

/*
 * RIP moves on before the exit, so that nothing is left to do afterwards. Not
 * under a debugger: its exit has to follow that for the port.
 */
static int fast_out(struct kvm_vcpu *vcpu, unsigned int size, u16 port)
{
	unsigned long val = vcpu->regs[VCPU_RAX];

	if (!kvm_io_write(vcpu, KVM_BUS_PIO, port, size, &val))
		return skip_port_access(vcpu, port, size);
	if (unlikely(skips_after_exit(vcpu, port)))
		finish_later(vcpu, port, size, finish_fast_out);
	else
		skip_port_access(vcpu, port, size);
	*(u32 *)vcpu->pio_data = val;
	fill_pio_exit(vcpu, false, port, size, 1);
	return 0;
}

int kvm_fast_pio(struct kvm_vcpu *vcpu, unsigned int size, u16 port, bool in)
{
	u32 val;

	if (!in)
		return fast_out(vcpu, size, port);
	if (!kvm_io_read(vcpu, KVM_BUS_PIO, port, size, &val)) {
		set_in_result(vcpu, size, val);
		return skip_port_access(vcpu, port, size);
	}
	finish_later(vcpu, port, size, finish_fast_in);
	fill_pio_exit(vcpu, true, port, size, 1);
	return 0;
}

/* ---- creation ----------------------------------------------------------- */

int kvm_emulator_create(struct kvm_vcpu *vcpu)
{
	struct kvm_emulator *em = kzalloc(sizeof(*em), GFP_KERNEL_ACCOUNT);

	if (!em)
		return -ENOMEM;
	em->vcpu = vcpu;
	em->ctxt.vcpu = vcpu;
	em->ctxt.ops = &emulate_ops;
	vcpu->emul = em;
	return 0;
}

void kvm_emulator_free(struct kvm_vcpu *vcpu)
{
	kfree(vcpu->emul);
}
