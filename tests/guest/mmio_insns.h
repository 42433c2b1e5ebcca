/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions with a memory operand, for mmio.c: INSN(name, code, flags that
 * the SDM leaves undefined, what it needs). RSI, RDI and RBX point to WINDOW,
 * RSP to the middle of it; RCX is small, RDX a bit offset, the others are
 * arbitrary. RBP points to RAM that each run starts with anew.
 */

/* Moves */
INSN(mov_load_b, "movb (%rsi), %al", 0, 0)
INSN(mov_load_w, "movw (%rsi), %ax", 0, 0)
INSN(mov_load_l, "movl (%rsi), %eax", 0, 0)
INSN(mov_load_q, "movq (%rsi), %rax", 0, 0)
INSN(mov_load_high_byte, "movb 3(%rsi), %ah", 0, 0)
INSN(mov_load_rex_byte, "movb 3(%rsi), %sil", 0, 0)
INSN(mov_store_b, "movb %al, 5(%rsi)", 0, 0)
INSN(mov_store_w, "movw %r8w, 6(%rsi)", 0, 0)
INSN(mov_store_l, "movl %r9d, 8(%rsi)", 0, 0)
INSN(mov_store_q, "movq %r10, 16(%rsi)", 0, 0)
INSN(mov_store_high_byte, "movb %ch, 3(%rsi)", 0, 0)
INSN(mov_imm_b, "movb $0x81, (%rdi)", 0, 0)
INSN(mov_imm_w, "movw $0x8182, (%rdi)", 0, 0)
INSN(mov_imm_l, "movl $0x81828384, (%rdi)", 0, 0)
INSN(mov_imm_q, "movq $-0x7e7d7c7c, (%rdi)", 0, 0)
INSN(mov_sib, "movl 0x10(%rsi,%rcx,8), %eax", 0, 0)
INSN(mov_sib_store, "movw %ax, -8(%rbx,%rcx,4)", 0, 0)
INSN(mov_addr32, "movl (%esi), %eax", 0, 0)
INSN(mov_rip_relative, "movl window+0x140(%rip), %eax", 0, 0)
INSN(mov_moffs_load_b, "movabsb " WINDOW_TEXT ", %al", 0, 0)
INSN(mov_moffs_load_w, "movabsw " WINDOW_TEXT ", %ax", 0, 0)
INSN(mov_moffs_load_l, "movabsl " WINDOW_TEXT ", %eax", 0, 0)
INSN(mov_moffs_load_q, "movabsq " WINDOW_TEXT ", %rax", 0, 0)
INSN(mov_moffs_store_b, "movabsb %al, " WINDOW_TEXT, 0, 0)
INSN(mov_moffs_store_l, "movabsl %eax, " WINDOW_TEXT, 0, 0)
INSN(mov_moffs_store_q, "movabsq %rax, " WINDOW_TEXT, 0, 0)
INSN(mov_segment, "movw %ds, 2(%rsi)", 0, 0)
INSN(movzx_bw, "movzbw (%rsi), %ax", 0, 0)
INSN(movzx_bl, "movzbl (%rsi), %eax", 0, 0)
INSN(movzx_bq, "movzbq (%rsi), %rax", 0, 0)
INSN(movzx_wl, "movzwl 2(%rsi), %eax", 0, 0)
INSN(movzx_wq, "movzwq 2(%rsi), %rax", 0, 0)
INSN(movsx_bw, "movsbw 3(%rsi), %ax", 0, 0)
INSN(movsx_bl, "movsbl 3(%rsi), %eax", 0, 0)
INSN(movsx_bq, "movsbq 3(%rsi), %r11", 0, 0)
INSN(movsx_wl, "movswl 2(%rsi), %eax", 0, 0)
INSN(movsx_wq, "movswq 2(%rsi), %rax", 0, 0)
INSN(movsx_lq, "movslq 4(%rsi), %rax", 0, 0)
INSN(movbe_load_w, "movbe (%rsi), %ax", 0, NEED_MOVBE)
INSN(movbe_load_l, "movbe (%rsi), %eax", 0, NEED_MOVBE)
INSN(movbe_load_q, "movbe (%rsi), %rax", 0, NEED_MOVBE)
INSN(movbe_store_w, "movbe %ax, (%rsi)", 0, NEED_MOVBE)
INSN(movbe_store_l, "movbe %eax, (%rsi)", 0, NEED_MOVBE)
INSN(movbe_store_q, "movbe %rax, (%rsi)", 0, NEED_MOVBE)
INSN(movnti_l, "movntil %eax, (%rsi)", 0, 0)
INSN(movnti_q, "movntiq %rax, (%rsi)", 0, 0)
INSN(cmovc, "stc; cmovcl (%rsi), %eax", 0, 0)
INSN(cmovnc, "stc; cmovncl (%rsi), %eax", 0, 0)
INSN(cmovs, "cmovsq (%rsi), %rax", 0, 0)
INSN(xlat, "xlatb", 0, 0)

/* Arithmetic and logic */
#define ALU(op)								\
	INSN(op##_rm_b, #op "b (%rsi), %al", UNDEF_##op, 0)		\
	INSN(op##_rm_w, #op "w 2(%rsi), %ax", UNDEF_##op, 0)		\
	INSN(op##_rm_l, #op "l 4(%rsi), %eax", UNDEF_##op, 0)		\
	INSN(op##_rm_q, #op "q 8(%rsi), %rax", UNDEF_##op, 0)		\
	INSN(op##_mr_b, #op "b %al, (%rsi)", UNDEF_##op, 0)		\
	INSN(op##_mr_w, #op "w %ax, 2(%rsi)", UNDEF_##op, 0)		\
	INSN(op##_mr_l, #op "l %eax, 4(%rsi)", UNDEF_##op, 0)		\
	INSN(op##_mr_q, #op "q %rax, 8(%rsi)", UNDEF_##op, 0)		\
	INSN(op##_mi_b, #op "b $0x9a, (%rsi)", UNDEF_##op, 0)		\
	INSN(op##_mi_w, #op "w $0x789a, (%rsi)", UNDEF_##op, 0)		\
	INSN(op##_mi_l, #op "l $0x56789abc, (%rsi)", UNDEF_##op, 0)	\
	INSN(op##_mi_sx, #op "q $-3, (%rsi)", UNDEF_##op, 0)
#define UNDEF_add 0
#define UNDEF_adc 0
#define UNDEF_sub 0
#define UNDEF_sbb 0
#define UNDEF_cmp 0
#define UNDEF_and AF
#define UNDEF_or AF
#define UNDEF_xor AF
ALU(add)
ALU(or)
ALU(adc)
ALU(sbb)
ALU(and)
ALU(sub)
ALU(xor)
ALU(cmp)
INSN(test_mr_b, "testb %al, (%rsi)", AF, 0)
INSN(test_mr_l, "testl %eax, (%rsi)", AF, 0)
INSN(test_mr_q, "testq %rax, (%rsi)", AF, 0)
INSN(test_mi_b, "testb $0x80, (%rsi)", AF, 0)
INSN(test_mi_w, "testw $0x8001, (%rsi)", AF, 0)
INSN(test_mi_l, "testl $0x80000001, (%rsi)", AF, 0)

#define UNARY(op)							\
	INSN(op##_b, #op "b (%rdi)", 0, 0)				\
	INSN(op##_w, #op "w (%rdi)", 0, 0)				\
	INSN(op##_l, #op "l (%rdi)", 0, 0)				\
	INSN(op##_q, #op "q (%rdi)", 0, 0)
UNARY(inc)
UNARY(dec)
UNARY(not)
UNARY(neg)

#define SHIFT(op, one, more)						\
	INSN(op##_1_b, #op "b (%rdi)", one, 0)				\
	INSN(op##_1_l, #op "l (%rdi)", one, 0)				\
	INSN(op##_i_w, #op "w $5, (%rdi)", more, 0)			\
	INSN(op##_i_l, #op "l $9, (%rdi)", more, 0)			\
	INSN(op##_i_q, #op "q $37, (%rdi)", more, 0)			\
	INSN(op##_cl_b, #op "b %cl, (%rdi)", more, 0)			\
	INSN(op##_cl_l, #op "l %cl, (%rdi)", more, 0)			\
	INSN(op##_zero, "xorl %ecx, %ecx; stc; " #op "l %cl, (%rdi)", 0, 0)
SHIFT(shl, AF, AF | OF)
SHIFT(shr, AF, AF | OF)
SHIFT(sar, AF, AF | OF)
SHIFT(rol, 0, OF)
SHIFT(ror, 0, OF)
SHIFT(rcl, 0, OF)
SHIFT(rcr, 0, OF)
INSN(shld_i, "shldl $7, %eax, (%rdi)", AF | OF, 0)
INSN(shld_cl, "shldq %cl, %rax, (%rdi)", AF | OF, 0)
INSN(shrd_i, "shrdl $7, %eax, (%rdi)", AF | OF, 0)
INSN(shrd_cl, "shrdq %cl, %rax, (%rdi)", AF | OF, 0)

INSN(mul_b, "mulb (%rsi)", SF | ZF | AF | PF, 0)
INSN(mul_w, "mulw (%rsi)", SF | ZF | AF | PF, 0)
INSN(mul_l, "mull (%rsi)", SF | ZF | AF | PF, 0)
INSN(mul_q, "mulq (%rsi)", SF | ZF | AF | PF, 0)
INSN(imul_1, "imull (%rsi)", SF | ZF | AF | PF, 0)
INSN(imul_2, "imulq (%rsi), %rax", SF | ZF | AF | PF, 0)
INSN(imul_3, "imull $-1234567, (%rsi), %eax", SF | ZF | AF | PF, 0)
INSN(imul_3b, "imulq $-5, (%rsi), %rax", SF | ZF | AF | PF, 0)
INSN(div_l, "movl $0x1234, %edx; divl 4(%rsi)", ALLF, 0)
INSN(div_q, "movl $0x12, %edx; divq 8(%rsi)", ALLF, 0)
INSN(div_b, "movl $0x1234, %eax; divb 1(%rsi)", ALLF, 0)
INSN(idiv_l, "movl $-1, %edx; idivl 4(%rsi)", ALLF, 0)

/* Bits */
#define BITOP(op)							\
	INSN(op##_i_w, #op "w $11, (%rsi)", OF | SF | AF | PF, 0)	\
	INSN(op##_i_l, #op "l $30, (%rsi)", OF | SF | AF | PF, 0)	\
	INSN(op##_i_q, #op "q $63, (%rsi)", OF | SF | AF | PF, 0)	\
	INSN(op##_r_w, #op "w %dx, (%rsi)", OF | SF | AF | PF, 0)	\
	INSN(op##_r_l, #op "l %edx, (%rsi)", OF | SF | AF | PF, 0)	\
	INSN(op##_r_q, #op "q %rdx, (%rsi)", OF | SF | AF | PF, 0)	\
	INSN(op##_r_negative, "movq $-77, %rdx; " #op "q %rdx, (%rsi)", \
	     OF | SF | AF | PF, 0)
BITOP(bt)
BITOP(bts)
BITOP(btr)
BITOP(btc)
INSN(bsf, "bsfl (%rsi), %eax", CF | OF | SF | AF | PF, 0)
INSN(bsr, "bsrq (%rsi), %rax", CF | OF | SF | AF | PF, 0)
INSN(tzcnt, "tzcntl (%rsi), %eax", OF | SF | AF | PF, NEED_BMI1)
INSN(lzcnt, "lzcntl (%rsi), %eax", OF | SF | AF | PF, NEED_LZCNT)
INSN(popcnt_w, "popcntw (%rsi), %ax", 0, NEED_POPCNT)
INSN(popcnt_q, "popcntq (%rsi), %rax", 0, NEED_POPCNT)
INSN(crc32_b, "crc32b (%rsi), %eax", 0, NEED_SSE42)
INSN(crc32_q, "crc32q (%rsi), %rax", 0, NEED_SSE42)
INSN(adcx, "adcx (%rsi), %eax", 0, NEED_ADX)
INSN(adox, "adox (%rsi), %rax", 0, NEED_ADX)
INSN(andn, "andn (%rsi), %eax, %r8d", AF | PF, NEED_BMI1)
INSN(bextr, "bextr %ecx, (%rsi), %eax", SF | AF | PF, NEED_BMI1)
INSN(blsr, "blsr (%rsi), %rax", AF | PF, NEED_BMI1)
INSN(mulx, "mulx (%rsi), %rax, %r8", 0, NEED_BMI2)
INSN(rorx, "rorx $5, (%rsi), %eax", 0, NEED_BMI2)
INSN(shlx, "shlx %rcx, (%rsi), %rax", 0, NEED_BMI2)
INSN(pdep, "movl $0xff00ff, %eax; pdep (%rsi), %eax, %r8d", 0, NEED_BMI2)
INSN(seto, "seto (%rsi)", 0, 0)
INSN(setc, "stc; setc (%rsi)", 0, 0)
INSN(setnle, "setnle (%rsi)", 0, 0)

/* Exchange and locks */
INSN(xchg_b, "xchgb %al, (%rsi)", 0, 0)
INSN(xchg_w, "xchgw %ax, (%rsi)", 0, 0)
INSN(xchg_l, "xchgl %eax, (%rsi)", 0, 0)
INSN(xchg_q, "xchgq %rax, (%rsi)", 0, 0)
INSN(xadd_b, "xaddb %al, (%rsi)", 0, 0)
INSN(xadd_q, "lock; xaddq %rax, (%rsi)", 0, 0)
INSN(cmpxchg_fails_b, "cmpxchgb %r8b, (%rsi)", 0, 0)
INSN(cmpxchg_fails_q, "cmpxchgq %r8, (%rsi)", 0, 0)
INSN(cmpxchg_works_w, "movl $" DATA_LOW ", %eax; cmpxchgw %r8w, (%rsi)", 0, 0)
INSN(cmpxchg_works_l, "movl $" DATA_LOW ", %eax; lock; cmpxchgl %r8d, (%rsi)",
     0, 0)
INSN(cmpxchg8b_fails, "lock; cmpxchg8b (%rsi)", 0, 0)
INSN(cmpxchg8b_works, "movl $" DATA_LOW ", %eax; movl $" DATA_HIGH ", %edx\n"
     "movl $0x123, %ebx; lock; cmpxchg8b (%rsi)", 0, 0)
INSN(cmpxchg16b_fails, "lock; cmpxchg16b (%rsi)", 0, 0)
INSN(lock_add_l, "lock; addl %eax, (%rsi)", 0, 0)
INSN(lock_or_b, "lock; orb $0x10, (%rsi)", AF, 0)
INSN(lock_inc_q, "lock; incq (%rsi)", 0, 0)
INSN(lock_not_w, "lock; notw (%rsi)", 0, 0)
INSN(lock_bts, "lock; btsl $5, (%rsi)", OF | SF | AF | PF, 0)

/* Strings */
#define STRING(op)							\
	INSN(op##b, #op "b", 0, 0)					\
	INSN(op##w, #op "w", 0, 0)					\
	INSN(op##l, #op "l", 0, 0)					\
	INSN(op##q, #op "q", 0, 0)					\
	INSN(op##b_down, "std; " #op "b; cld", 0, 0)
STRING(lods)
STRING(stos)
STRING(scas)
INSN(movs_in, "movq %rbp, %rdi; movsl", 0, 0)
INSN(movs_out, "movq %rbp, %rsi; movsq", 0, 0)
INSN(movs_within, "addq $64, %rdi; movsw", 0, 0)
INSN(cmps_left, "movq %rbp, %rdi; cmpsb", 0, 0)
INSN(cmps_right, "movq %rbp, %rsi; cmpsl", 0, 0)
INSN(cmps_both, "addq $64, %rdi; cmpsq", 0, 0)
INSN(rep_movs_in_b, "movl $37, %ecx; movq %rbp, %rdi; rep; movsb", 0, 0)
INSN(rep_movs_in_q, "movl $19, %ecx; movq %rbp, %rdi; rep; movsq", 0, 0)
INSN(rep_movs_out_b, "movl $37, %ecx; movq %rbp, %rsi; rep; movsb", 0, 0)
INSN(rep_movs_out_l, "movl $19, %ecx; movq %rbp, %rsi; rep; movsl", 0, 0)
INSN(rep_movs_overlap, "movl $20, %ecx; addq $4, %rdi; rep; movsb", 0, 0)
INSN(rep_movs_down, "std; movl $20, %ecx; subq $4, %rdi; rep; movsw; cld",
     0, 0)
INSN(rep_stos_b, "movl $21, %ecx; rep; stosb", 0, 0)
INSN(rep_stos_q, "movl $21, %ecx; rep; stosq", 0, 0)
INSN(rep_stos_none, "xorl %ecx, %ecx; rep; stosq", 0, 0)
INSN(rep_lods, "movl $5, %ecx; rep; lodsw", 0, 0)
INSN(repe_cmps, "movl $40, %ecx; movq %rbp, %rdi; repe; cmpsb", 0, 0)
INSN(repne_cmps, "movl $40, %ecx; movq %rbp, %rdi; repne; cmpsb", 0, 0)
INSN(repne_scas, "movl $40, %ecx; movb 9(%rsi), %al; repne; scasb", 0, 0)
INSN(repe_scas, "movl $40, %ecx; movl (%rsi), %eax; repe; scasl", 0, 0)
INSN(rep_addr32, "movl $9, %ecx; rep; stosb (%edi)", 0, 0)

/* Stack and control flow */
INSN(push_r, "pushq %rax", 0, 0)
INSN(push_w, "pushw %ax", 0, 0)
INSN(push_i, "pushq $-77", 0, 0)
INSN(push_m, "pushq (%rbp)", 0, 0)
INSN(push_m_from_window, "leaq 1024(%rbp), %rsp; pushq (%rsi)", 0, 0)
INSN(pop_r, "popq %rax", 0, 0)
INSN(pop_w, "popw %ax", 0, 0)
INSN(pop_m, "popq (%rbp)", 0, 0)
INSN(pop_m_to_window, "leaq 64(%rbp), %rsp; popq (%rsi)", 0, 0)
INSN(pushf, "pushfq; popq %rax", 0, 0)
INSN(popf, "pushq $0x8d7; popfq; pushq $2; popfq", 0, 0)
INSN(call, "call 1f; 1: popq %rax", 0, 0)
INSN(call_ret, "jmp 2f; 1: incl %eax; ret; 2: call 1b; decl %r8d", 0, 0)
INSN(ret_imm, "jmp 2f; 1: ret $24; 2: call 1b", 0, 0)
INSN(call_m, "leaq 1f(%rip), %rax; movq %rax, (%rsi); call *(%rsi); 1:", 0, 0)
INSN(jmp_m, "leaq 1f(%rip), %rax; movq %rax, (%rsi); jmp *(%rsi); ud2; 1:",
     0, 0)
INSN(enter, "enter $32, $0", 0, 0)
INSN(leave, "movq %rsp, %rbp; leave", 0, 0)
INSN(clflush, "clflush (%rsi)", 0, 0)
INSN(prefetch, "prefetcht0 (%rsi)", 0, 0)

/* MMX, SSE and AVX moves */
INSN(movq_mmx_load, "movq (%rsi), %mm0; movq2dq %mm0, %xmm0; emms", 0, 0)
INSN(movq_mmx_store, "movdq2q %xmm1, %mm1; movq %mm1, (%rsi); emms", 0, 0)
INSN(movups_load, "movups 1(%rsi), %xmm0", 0, 0)
INSN(movups_store, "movups %xmm1, 1(%rsi)", 0, 0)
INSN(movaps_load, "movaps (%rsi), %xmm0", 0, 0)
INSN(movaps_store, "movaps %xmm1, (%rsi)", 0, 0)
INSN(movapd_load, "movapd 16(%rsi), %xmm0", 0, 0)
INSN(movapd_store, "movapd %xmm1, 16(%rsi)", 0, 0)
INSN(movupd_load, "movupd 3(%rsi), %xmm0", 0, 0)
INSN(movupd_store, "movupd %xmm1, 3(%rsi)", 0, 0)
INSN(movdqa_load, "movdqa (%rsi), %xmm2", 0, 0)
INSN(movdqa_store, "movdqa %xmm3, (%rsi)", 0, 0)
INSN(movdqu_load, "movdqu 5(%rsi), %xmm2", 0, 0)
INSN(movdqu_store, "movdqu %xmm3, 5(%rsi)", 0, 0)
INSN(lddqu, "lddqu 5(%rsi), %xmm2", 0, 0)
INSN(movss_load, "movss (%rsi), %xmm0", 0, 0)
INSN(movss_store, "movss %xmm1, (%rsi)", 0, 0)
INSN(movsd_load, "movsd (%rsi), %xmm0", 0, 0)
INSN(movsd_store, "movsd %xmm1, (%rsi)", 0, 0)
INSN(movd_load, "movd (%rsi), %xmm0", 0, 0)
INSN(movd_store, "movd %xmm1, (%rsi)", 0, 0)
INSN(movq_load, "movq (%rsi), %xmm0", 0, 0)
INSN(movq_store, "movq %xmm1, (%rsi)", 0, 0)
INSN(movlps_load, "movlps (%rsi), %xmm0", 0, 0)
INSN(movlps_store, "movlps %xmm1, (%rsi)", 0, 0)
INSN(movhps_load, "movhps (%rsi), %xmm0", 0, 0)
INSN(movhps_store, "movhps %xmm1, (%rsi)", 0, 0)
INSN(movlpd_load, "movlpd (%rsi), %xmm0", 0, 0)
INSN(movhpd_store, "movhpd %xmm1, (%rsi)", 0, 0)
INSN(movntps, "movntps %xmm1, (%rsi)", 0, 0)
INSN(movntdq, "movntdq %xmm1, (%rsi)", 0, 0)
INSN(movntdqa, "movntdqa (%rsi), %xmm0", 0, NEED_SSE41)
INSN(vmovups_x_load, "vmovups 1(%rsi), %xmm0", 0, NEED_AVX)
INSN(vmovups_x_store, "vmovups %xmm1, 1(%rsi)", 0, NEED_AVX)
INSN(vmovups_y_load, "vmovups 1(%rsi), %ymm0", 0, NEED_AVX)
INSN(vmovups_y_store, "vmovups %ymm1, 1(%rsi)", 0, NEED_AVX)
INSN(vmovaps_y_load, "vmovaps (%rsi), %ymm0", 0, NEED_AVX)
INSN(vmovaps_y_store, "vmovaps %ymm1, (%rsi)", 0, NEED_AVX)
INSN(vmovdqa_y_load, "vmovdqa (%rsi), %ymm2", 0, NEED_AVX)
INSN(vmovdqa_y_store, "vmovdqa %ymm3, (%rsi)", 0, NEED_AVX)
INSN(vmovdqu_y_load, "vmovdqu 7(%rsi), %ymm2", 0, NEED_AVX)
INSN(vmovdqu_y_store, "vmovdqu %ymm3, 7(%rsi)", 0, NEED_AVX)
INSN(vmovntdq_y, "vmovntdq %ymm3, (%rsi)", 0, NEED_AVX)
INSN(vmovss_load, "vmovss (%rsi), %xmm0", 0, NEED_AVX)
INSN(vmovss_store, "vmovss %xmm1, (%rsi)", 0, NEED_AVX)
INSN(vmovsd_load, "vmovsd (%rsi), %xmm0", 0, NEED_AVX)
INSN(vmovsd_store, "vmovsd %xmm1, (%rsi)", 0, NEED_AVX)
INSN(vmovd_load, "vmovd (%rsi), %xmm0", 0, NEED_AVX)
INSN(vmovd_store, "vmovd %xmm1, (%rsi)", 0, NEED_AVX)
INSN(vmovq_load, "vmovq (%rsi), %xmm0", 0, NEED_AVX)
INSN(vmovq_store, "vmovq %xmm1, (%rsi)", 0, NEED_AVX)
