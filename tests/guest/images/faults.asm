; SPDX-License-Identifier: GPL-2.0-or-later
; faults.asm: 64-bit mode: which exception, error code and address each instruction raises, at both ends of the
; privilege scale. Spec: SDM vol. 2, each instruction; vol. 3, chapters 5 and 6.
%include "long.inc"
	start_long 0x87, "faults "
	mov byte [IDT + 3 * 16 + 5], 0xee
	mov byte [IDT + 4 * 16 + 5], 0xee

	; ---- arithmetic
	xor ecx, ecx
	mov eax, 1
	cdq
	faults 0, -1, div ecx
	faults 0, -1, div cl
	faults 0, -1, idiv rcx
	mov edx, 1
	mov ecx, 1
	faults 0, -1, div ecx		; quotient too large
	mov eax, 0x80000000
	cdq
	mov ecx, -1
	faults 0, -1, idiv ecx
	mov rax, 1 << 63
	cqo
	mov rcx, -1
	faults 0, -1, idiv rcx
	mov ax, 0x8000
	cwd
	faults 0, -1, idiv cx
	mov ax, 0xff80			; -128 / -1
	mov cl, -1
	faults 0, -1, idiv cl
	mov ax, 0x100
	mov cl, 1
	faults 0, -1, div cl
	mov eax, 7			; what is defined still works
	cdq
	mov ecx, -2
	idiv ecx
	same rax, 0xfffffffd

	; ---- software interrupts: traps, with the DPL of the gate
	traps 3, -1, int3
	user_traps 3, -1, int3
	user_traps 3, -1, int 3
%ifndef TCG
	user_faults 13, 1 * 8 + 2, int 1
	user_faults 13, 13 * 8 + 2, int 13
	user_faults 13, 0x80 * 8 + 2, int 0x80 ; beyond the limit
%endif

	; ---- not there
%ifndef TCG
	faults 6, -1, ud2
	faults 6, -1, db 0x0f, 0xb9, 0xc0 ; UD1
	faults 6, -1, db 0x06		; PUSH ES
	faults 6, -1, db 0x0e
	faults 6, -1, db 0x16
	faults 6, -1, db 0x17
	faults 6, -1, db 0x1e
	faults 6, -1, db 0x1f
	faults 6, -1, db 0x27		; DAA
	faults 6, -1, db 0x2f
	faults 6, -1, db 0x37
	faults 6, -1, db 0x3f
	faults 6, -1, db 0x60		; PUSHA
	faults 6, -1, db 0x61
	faults 6, -1, db 0x82, 0xc0, 0
	faults 6, -1, db 0x9a, 0, 0, 0, 0, 0, 0
	faults 6, -1, db 0xea, 0, 0, 0, 0, 0, 0
	faults 6, -1, db 0xce		; INTO
	faults 6, -1, db 0xd4, 10
	faults 6, -1, db 0xd5, 10
	faults 6, -1, db 0xd6
	mov eax, SCRATCH
	mov ebx, SCRATCH
	faults 6, -1, db 0xf0, 0x90	; LOCK where none goes
	faults 6, -1, db 0xf0, 0x01, 0xc0 ; … to a register
	faults 6, -1, db 0xf0, 0x8b, 0x00
	faults 6, -1, db 0xf0, 0x3b, 0x00
	faults 6, -1, db 0x8e, 0xc8	; MOV CS
	faults 6, -1, db 0x8e, 0xf0
	faults 6, -1, db 0x8c, 0xf0
	faults 6, -1, db 0xfe, 0xd0
	faults 6, -1, db 0xff, 0xf8
	faults 6, -1, db 0xff, 0xe8	; JMP far through a register
	faults 6, -1, db 0x8d, 0xc0	; LEA of one
	faults 6, -1, db 0xc6, 0xc8, 0
	faults 6, -1, db 0x8f, 0xc8
	faults 6, -1, db 0x0f, 0xc7, 0xc8 ; CMPXCHG8B of one
	faults 6, -1, db 0x0f, 0x20, 0xc8 ; CR1
	faults 6, -1, db 0x0f, 0x22, 0xe8 ; CR5
	faults 6, -1, db 0x44, 0x0f, 0x20, 0xc8 ; CR9
	faults 6, -1, db 0x0f, 0x24, 0xc0
	faults 6, -1, db 0x44, 0x0f, 0x21, 0xc0 ; DR8
	faults 6, -1, db 0x0f, 0x01, 0xc8 ; MONITOR is not offered
	faults 6, -1, db 0x0f, 0x04
	faults 6, -1, db 0x0f, 0x0a
	faults 6, -1, db 0x0f, 0x26
	faults 6, -1, db 0x0f, 0x36
	faults 6, -1, db 0x0f, 0xae, 0xc0
	faults 6, -1, db 0x0f, 0x01, 0xd4 ; VMFUNC
	faults 6, -1, db 0xf3, 0x0f, 0xae, 0xc8 ; RDGSBASE before CR4.FSGSBASE
	; 15 bytes are allowed
	times 14 db 0x66
	nop
	faults 13, 0, db 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90

%endif

	; ---- addresses
	mov rbx, 1 << 47
	mov rbp, rbx
	faults 13, 0, mov al, [rbx]
	faults 12, 0, mov al, [rbp]
	faults 12, 0, mov [rbp], rax
	faults 12, 0, mov al, [rbp + rax * 0 + 8]
	mov byte [IDT + 12 * 16 + 4], 1	; on a stack of its own
	mov rsp, rbx
	add rsp, 8
	mov qword [resume], .pushed
	mov qword [seen], -2
.push:	push rax
	missed
.pushed:
	expect 12, 0, .push
	mov rsp, 1 << 47
	mov qword [resume], .popped
.pop:	pop rax
	missed
.popped:
	expect 12, 0, .pop
	mov rsp, 1 << 47
	mov qword [resume], .returned
.ret:	ret
	missed
.returned:
	expect 12, 0, .ret
	same [frame_rsp], 1 << 47
	mov rsp, (1 << 47) + 8
	mov qword [resume], .called
.call:	call qword [.pointer]
	missed
.pointer:
	dq .ret
.called:
	expect 12, 0, .call
	mov rbx, 1 << 47
	invlpg [rbx]			; no fault: it is no access
	clflush [SCRATCH]
	faults 13, 0, clflush [rbx]
	prefetcht0 [rbx]
	faults 13, 0, cmpxchg16b [SCRATCH + 8]
	faults 13, 0, movaps xmm0, [SCRATCH + 8]
	faults 13, 0, movaps [SCRATCH + 4], xmm0
	faults 13, 0, addps xmm0, [SCRATCH + 1]
	faults 13, 0, movntdq [SCRATCH + 8], xmm0
	faults 13, 0, fxsave [SCRATCH + 8]
	movups xmm0, [SCRATCH + 3]
	lddqu xmm0, [SCRATCH + 3]

	; ---- alignment: ring 3, with CR0.AM and RFLAGS.AC
	mov rax, cr0
	bts rax, 18
	mov cr0, rax
	user_runs mov eax, [SCRATCH + 1]
	mov dword [user_flags], 0x40002
	user_faults 17, 0, mov eax, [SCRATCH + 1]
	user_faults 17, 0, mov [SCRATCH + 2], eax
	user_faults 17, 0, mov ax, [SCRATCH + 1]
	user_faults 17, 0, mov rax, [SCRATCH + 4]
	user_faults 17, 0, add qword [SCRATCH + 4], 1
	user_faults 17, 0, fld qword [SCRATCH + 4]
	user_faults 17, 0, movsd xmm0, [SCRATCH + 4]
	user_runs mov al, [SCRATCH + 1]
	user_runs mov ax, [SCRATCH + 2]
	user_runs mov eax, [SCRATCH + 4]
	user_runs movups xmm0, [SCRATCH + 16]
	user_faults 13, 0, mov eax, [rbx + 1] ; the address comes first
	mov rax, 1 << 46
	user_faults 14, 4, mov ecx, [rax + 1 - 1 + 4]
	pushfq
	or dword [rsp], 0x40000
	popfq
	mov eax, [SCRATCH + 1]		; not in ring 0
	pushfq
	and dword [rsp], ~0x40000
	popfq
	mov rax, cr0
	btr rax, 18
	mov cr0, rax
	user_runs mov eax, [SCRATCH + 1]
	mov dword [user_flags], 2

	; ---- what ring 3 may not
	user_faults 13, 0, hlt
	user_faults 13, 0, cli
	user_faults 13, 0, sti
	user_faults 13, 0, in al, 0x80
	user_faults 13, 0, out 0x80, al
	user_faults 13, 0, in eax, dx
	user_faults 13, 0, insb
	user_faults 13, 0, outsd
	user_faults 13, 0, rep outsb
	user_faults 13, 0, lgdt [gdt_pointer]
	user_faults 13, 0, lidt [idt_pointer]
	user_faults 13, 0, lldt ax
	user_faults 13, 0, ltr ax
	user_faults 13, 0, lmsw ax
	user_faults 13, 0, mov rax, cr0
	user_faults 13, 0, mov rax, cr2
	user_faults 13, 0, mov cr3, rax
	user_faults 13, 0, mov cr8, rax
	user_faults 13, 0, mov rax, cr8
	user_faults 13, 0, mov rax, dr0
	user_faults 13, 0, mov dr7, rax
	user_faults 13, 0, clts
	user_faults 13, 0, invd
	user_faults 13, 0, wbinvd
	user_faults 13, 0, invlpg [SCRATCH]
	user_faults 13, 0, rdmsr
	user_faults 13, 0, wrmsr
	user_faults 13, 0, rdpmc
	user_faults 13, 0, swapgs
	user_runs sgdt [SCRATCH]
	user_runs smsw rax
	user_runs str ax
	user_runs rdtsc
	user_runs cpuid
	user_runs pushfq
	user_runs lar ecx, eax
	user_runs rdtscp
	mov eax, 7
	xor ecx, ecx
	cpuid
	mov r12d, ebx
	mov r13d, ecx
	bt r12d, 10
	jnc .no_invpcid
	xor eax, eax
	user_faults 13, 0, invpcid rax, [SCRATCH]
.no_invpcid:
	bt r12d, 20
	jnc .no_smap
	user_faults 6, -1, clac
	user_faults 6, -1, stac
.no_smap:
	mov rax, cr4
	bts rax, 2			; TSD
	mov cr4, rax
	rdtsc
	user_faults 13, 0, rdtsc
	user_faults 13, 0, rdtscp
	mov rax, cr4
	btr rax, 2
	mov cr4, rax
	bt r13d, 2
	jnc .no_umip
	mov rax, cr4
	bts rax, 11
	mov cr4, rax
	user_faults 13, 0, sgdt [SCRATCH]
	user_faults 13, 0, sidt [SCRATCH]
	user_faults 13, 0, sldt ax
	user_faults 13, 0, str ax
	user_faults 13, 0, smsw ax
	user_faults 13, 0, sldt [SCRATCH]
	sgdt [SCRATCH]
	str ax
	mov rax, cr4
	btr rax, 11
	mov cr4, rax
.no_umip:
	; IOPL and IF: POPF leaves them alone without saying so
	mov dword [user_flags], 2
	user_begin
	push qword 0x3202
	popfq
	pushfq
	pop qword [SCRATCH]
	user_end
	same [SCRATCH], 2
	mov dword [user_flags], 0x3002	; IOPL 3
	user_runs cli
	user_runs in al, 0x80
	user_begin
	push qword 0x202
	popfq
	pushfq
	pop qword [SCRATCH]
	user_end
	same [SCRATCH], 0x3202
	mov dword [user_flags], 2
	; the I/O permission bitmap: one bit a port, all bytes of an access
	mov word [tss + 0x66], 0x68
	mov word [gdt + TSS], 0x68 + 16 + 1
	mov byte [gdt + TSS + 5], 0x89
	mov ax, TSS
	ltr ax
	mov qword [tss + 0x68], 0
	mov qword [tss + 0x70], 0
	mov word [tss + 0x68 + 0x80 / 8], 0xff04 ; port 0x82
	mov dx, 0x81
	user_runs in al, 0x80
	user_runs in al, dx
	user_faults 13, 0, in al, 0x82
	user_faults 13, 0, in ax, dx
	user_faults 13, 0, in eax, 0x80
	user_runs in ax, 0x80
	user_runs in al, 0x83
	mov dx, 0x88			; bytes 16 and 17: all ones
	user_faults 13, 0, in al, dx
	mov word [tss + 0x66], 0xffff
	mov dx, 0x81
	user_faults 13, 0, in al, dx

	; ---- FPU, SSE, AVX switched off
%macro cr0_bits 2			; set, clear
	mov rax, cr0
	or rax, %1
	and rax, ~(%2)
	mov cr0, rax
%endmacro
%macro cr4_bits 2
	mov rax, cr4
	or rax, %1
	and rax, ~(%2)
	mov cr4, rax
%endmacro
	fninit
	cr0_bits 8, 2			; TS without MP
	faults 7, -1, fld1
	faults 7, -1, fninit
	faults 7, -1, fnstcw [SCRATCH]
	faults 7, -1, fxsave [SCRATCH]
	faults 7, -1, fnsave [SCRATCH]
	faults 7, -1, movq mm0, mm1
	faults 7, -1, emms
	faults 7, -1, movaps xmm0, xmm1
	faults 7, -1, ldmxcsr [SCRATCH]
	faults 7, -1, stmxcsr [SCRATCH]
	faults 7, -1, pshufb xmm0, xmm1
	faults 7, -1, movd xmm0, eax
	wait
	movnti [SCRATCH], eax		; no SSE register, no check
	lfence
	cr0_bits 10, 0			; TS and MP
	faults 7, -1, wait
	clts
	wait
	cr0_bits 4, 0			; EM
	faults 7, -1, fld1
	faults 7, -1, fxsave [SCRATCH]
	faults 6, -1, movq mm0, mm1
	faults 6, -1, emms
	faults 6, -1, movaps xmm0, xmm1
	faults 6, -1, ldmxcsr [SCRATCH]
	wait
	cr0_bits 8, 0			; EM and TS: which comes first
	faults 6, -1, movaps xmm0, xmm1
	cr0_bits 2, 12
	cr4_bits 0, 0x200		; OSFXSR
	faults 6, -1, movaps xmm0, xmm1
	faults 6, -1, addsd xmm0, xmm1
	faults 6, -1, stmxcsr [SCRATCH]
	movq mm0, mm1
	emms
	cr4_bits 0x200, 0
	mov eax, 1
	xor ecx, ecx
	cpuid
	bt ecx, 26
	jnc .no_xsave
	mov r14d, ecx
	xor ecx, ecx
	faults 6, -1, xgetbv
	faults 6, -1, xsetbv
	faults 6, -1, xsave [SCRATCH]
	cr4_bits 1 << 18, 0
	xor ecx, ecx
	xgetbv
	cmp eax, 1			; as after reset
	check e
	mov ecx, 1234
	faults 13, 0, xgetbv
	xor ecx, ecx
	user_faults 13, 0, xsetbv
	xor edx, edx
	xor eax, eax
	faults 13, 0, xsetbv		; x87 cannot be off
	mov eax, 5
	faults 13, 0, xsetbv		; AVX without SSE
	mov eax, 0x80000001
	faults 13, 0, xsetbv
	mov eax, 3
	mov edx, 0x80000000
	faults 13, 0, xsetbv
	mov ecx, 1
	mov eax, 3
	xor edx, edx
	faults 13, 0, xsetbv
	bt r14d, 28
	jnc .no_avx
	faults 6, -1, vaddps ymm0, ymm1, ymm2
	xor ecx, ecx
	mov eax, 7
	xsetbv
	vaddps ymm0, ymm1, ymm2
	cr0_bits 8, 0
	faults 7, -1, vaddps ymm0, ymm1, ymm2
	cr0_bits 4, 8			; AVX does not look at EM
	vaddps ymm0, ymm1, ymm2
	cr0_bits 0, 4
	cr4_bits 0, 1 << 18
	faults 6, -1, vaddps ymm0, ymm1, ymm2
	cr4_bits 1 << 18, 0
	vmovups ymm0, [SCRATCH + 1]
	faults 13, 0, vmovaps ymm0, [SCRATCH + 16]
	faults 6, -1, db 0xf0, 0xc5, 0xf4, 0x58, 0xc2 ; LOCK before VEX
	faults 6, -1, db 0x66, 0xc5, 0xf4, 0x58, 0xc2
	faults 6, -1, db 0x48, 0xc5, 0xf4, 0x58, 0xc2
.no_avx:
	mov eax, 1
	xor edx, edx
	faults 13, 0, xsave [SCRATCH + 32] ; 64-byte alignment
	xsave [SCRATCH]
	mov qword [SCRATCH + 512 + 8], 1 ; XCOMP_BV of a plain area
	faults 13, 0, xrstor [SCRATCH]
	mov qword [SCRATCH + 512 + 8], 0
	mov qword [SCRATCH + 512], 1 << 9 ; a component that is not on
	faults 13, 0, xrstor [SCRATCH]
	mov qword [SCRATCH + 512], 1
	xrstor [SCRATCH]
.no_xsave:

	; ---- floating-point exceptions
	fninit
	mov word [SCRATCH], 0x37f & ~4	; divisions by zero
	fldcw [SCRATCH]
	fldz
	fld1
	fdiv st0, st1			; pending: not here
	fnstsw ax
	and eax, 0x8084
	cmp eax, 0x8084
	check e
	fnstenv [SCRATCH]		; does not wait, and masks all
	fldenv [SCRATCH]
	faults 16, -1, wait
	faults 16, -1, fld1
	faults 16, -1, fldcw [SCRATCH]
	faults 16, -1, movq mm0, mm1
	fnstsw ax
	test ax, 0x80
	check nz
	fnclex
	wait
	fninit
	mov dword [SCRATCH], 0x1f80 & ~0x200
	ldmxcsr [SCRATCH]
	mov rax, 0x3ff0000000000000
	movq xmm0, rax
	xorps xmm1, xmm1
	movaps xmm2, xmm0
	faults 19, -1, divsd xmm0, xmm1
	movq rax, xmm0			; as it was
	movq rcx, xmm2
	cmp rax, rcx
	check e
	stmxcsr [SCRATCH]
	cmp dword [SCRATCH], (0x1f84 & ~0x200)
	check e
	cr4_bits 0, 0x400		; OSXMMEXCPT
	faults 6, -1, divsd xmm0, xmm1
	cr4_bits 0x400, 0
	mov dword [SCRATCH], 0x1f80
	ldmxcsr [SCRATCH]
	divsd xmm0, xmm1
	mov dword [SCRATCH], 0x11f80
	faults 13, 0, ldmxcsr [SCRATCH]
	fxsave [SCRATCH]
	bts dword [SCRATCH + 24], 16
	faults 13, 0, fxrstor [SCRATCH]

	; ---- bases
	mov rcx, 1 << 47
	cr4_bits 1 << 16, 0
	bt r12d, 0
	jnc .no_fsgsbase
	faults 13, 0, wrfsbase rcx
	faults 13, 0, wrgsbase rcx
	mov eax, 0x12345678
	wrgsbase rax
	xor eax, eax
	user_begin
	mov eax, 0x5678
	wrgsbase rax
	rdgsbase rbx
	user_end
	same rbx, 0x5678
	rdgsbase rax
	cmp eax, 0x5678
	check e
	mov ecx, 0xc0000102
	xor edx, edx
	mov eax, 0x9999
	wrmsr
	swapgs
	rdgsbase rbx
	same rbx, 0x9999
	mov ecx, 0xc0000102
	rdmsr
	cmp eax, 0x5678
	check e
.no_fsgsbase:
	success

	frame
