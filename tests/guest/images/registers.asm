; SPDX-License-Identifier: GPL-2.0-or-later
; registers.asm: control registers, EFER, model-specific registers and XCR0 bit by bit: what is refused, what reads
; back, what CPUID says of it; TSC. Spec: SDM vol. 3, 2.5 to 2.7, 4.1.4, 4.10.1, 11.11, 17.17; vol. 4.
%include "long.inc"
	start_long 0x87, "registers "
; The instruction does, or (carry) raises #GP(0).
%macro attempt 1+
	mov qword [resume], %%after
	mov qword [seen], -2
	%1
	ud2
%%after:
	call outcome
%endmacro
%macro refused 1+
	attempt %1
	check c
%endmacro
%macro accepted 1+
	attempt %1
	check nc
%endmacro

	; ---- CR0
	mov ebx, 32
.cr0:
	mov rax, cr0
	bts rax, rbx
	refused mov cr0, rax
	inc ebx
	cmp ebx, 64
	jb .cr0
	mov rax, cr0
	mov rcx, rax
	and eax, ~1
	refused mov cr0, rax
	mov rax, rcx
	btr rax, 31			; PG, in 64-bit code
	refused mov cr0, rax
	mov rax, rcx
	bts rax, 29			; NW without CD
	refused mov cr0, rax
	bts rax, 30
	accepted mov cr0, rax
	mov rax, rcx
	btr rax, 4			; ET stays
	accepted mov cr0, rax
	mov rax, cr0
	cmp rax, rcx
	check e
	smsw rax
	cmp rax, rcx
	check e
	mov eax, 0xf
	lmsw ax
	mov rax, cr0
	and eax, 0xf
	cmp eax, 0xf
	check e
	xor eax, eax			; LMSW cannot leave protected mode
	lmsw ax
	mov rax, cr0
	and eax, 0xf
	cmp eax, 1
	check e
	mov cr0, rcx

	; ---- CR4: the bits of features that there are
	mov eax, 1
	cpuid
	mov r12d, 0x100			; PCE
%macro cr4_if 3				; CPUID register, bit, bits of CR4
	bt %1, %2
	jnc %%no
	or r12, %3
%%no:
%endmacro
	cr4_if edx, 1, 3
	cr4_if edx, 2, 8
	cr4_if edx, 3, 0x10
	cr4_if edx, 4, 4
	cr4_if edx, 6, 0x20
	cr4_if edx, 7, 0x40
	cr4_if edx, 13, 0x80
	cr4_if edx, 24, 0x200
	cr4_if edx, 25, 0x400
	cr4_if ecx, 5, 0x2000		; VMX
	cr4_if ecx, 6, 0x4000
	cr4_if ecx, 17, 0x20000
	cr4_if ecx, 26, 0x40000
	mov eax, 7
	xor ecx, ecx
	cpuid
	cr4_if ebx, 0, 0x10000
	cr4_if ebx, 7, 0x100000
	cr4_if ebx, 20, 0x200000
	cr4_if ecx, 2, 0x800
	cr4_if ecx, 3, 0x400000
	cr4_if ecx, 7, 0x800000		; CET
	cr4_if ecx, 16, 0		; LA57: not while in long mode
	mov r13, cr4
	xor ebx, ebx
.cr4:
	mov rax, r13
	btc rax, rbx
	cmp ebx, 5			; PAE
	je .cr4_no
	cmp ebx, 13
	je .cr4_next
	cmp ebx, 20			; SMEP: this very code is the user's
	je .cr4_next
	cmp ebx, 21
	je .cr4_next
	cmp ebx, 23
	je .cr4_next
	bt r12, rbx
	jnc .cr4_no
	accepted mov cr4, rax
	mov rcx, cr4
	cmp rax, rcx
	check e
	mov cr4, r13
	jmp .cr4_next
.cr4_no:
	refused mov cr4, rax
	mov rcx, cr4
	cmp r13, rcx
	check e
.cr4_next:
	inc ebx
	cmp ebx, 64
	jb .cr4

	; ---- CR3 and PCIDs
	mov eax, 0x80000008
	cpuid
	movzx ebx, al
	mov r14, cr3
.cr3:
	cmp ebx, 61			; LAM
	je .cr3_next
	cmp ebx, 62
	je .cr3_next
	mov rax, r14
	bts rax, rbx
	refused mov cr3, rax
.cr3_next:
	inc ebx
	cmp ebx, 64
	jb .cr3
	mov rax, r14
	or eax, 0x18			; PWT, PCD
	accepted mov cr3, rax
	mov rcx, cr3
	cmp rax, rcx
	check e
	mov cr3, r14
	bt r12, 17
	jnc .no_pcid
	mov rax, r14
	or eax, 8
	mov cr3, rax
	mov rax, r13
	bts rax, 17
	refused mov cr4, rax		; CR3[11:0] is not 0
	mov cr3, r14
	accepted mov cr4, rax
	mov rax, r14
	or eax, 0xabc
	accepted mov cr3, rax
	bts rax, 63
	accepted mov cr3, rax
	mov rcx, cr3
	btr rax, 63			; is not kept
	cmp rax, rcx
	check e
	; INVPCID: types and descriptors
	mov eax, 7
	xor ecx, ecx
	cpuid
	bt ebx, 10
	jnc .no_invpcid
	mov qword [SCRATCH], 0
	mov qword [SCRATCH + 8], 0
	mov eax, 4
	refused invpcid rax, [SCRATCH]
	mov eax, 1
	mov qword [SCRATCH], 0x1000
	refused invpcid rax, [SCRATCH]
	mov qword [SCRATCH], 0xabc
	accepted invpcid rax, [SCRATCH]
	xor eax, eax
	mov rcx, 1 << 47
	mov [SCRATCH + 8], rcx
	refused invpcid rax, [SCRATCH]
	mov eax, 2
	accepted invpcid rax, [SCRATCH]
	mov eax, 3
	accepted invpcid rax, [SCRATCH]
.no_invpcid:
	mov cr3, r14
	mov cr4, r13
	mov eax, 7
	xor ecx, ecx
	cpuid
	bt ebx, 10
	jnc .no_pcid
	mov qword [SCRATCH], 1		; a PCID without CR4.PCIDE
	mov qword [SCRATCH + 8], 0
	xor eax, eax
	refused invpcid rax, [SCRATCH]
	mov qword [SCRATCH], 0
	accepted invpcid rax, [SCRATCH]
.no_pcid:

	; ---- CR8
	mov eax, 16
	refused mov cr8, rax
	mov rax, 1 << 63
	refused mov cr8, rax
	mov eax, 15
	mov cr8, rax
	mov rax, cr8
	cmp rax, 15
	check e
	xor eax, eax
	mov cr8, rax

	; ---- EFER
	mov eax, 0x80000001
	cpuid
	mov r12d, 0
	cr4_if edx, 11, 1
	cr4_if edx, 20, 0x800
	cr4_if edx, 25, 0x4000		; FFXSR
	cr4_if ecx, 2, 0x1000		; SVME
	mov ecx, 0xc0000080
	rdmsr
	mov r13d, eax
	test edx, edx
	check z
	xor ebx, ebx
.efer:
	cmp ebx, 8			; LME may not change while paging is on
	je .efer_no
	cmp ebx, 10			; LMA is read-only, in one way or another
	je .efer_next
	cmp ebx, 12			; and these are nobody's business here
	jae .efer_next
	mov eax, r13d
	btc eax, ebx
	xor edx, edx
	mov ecx, 0xc0000080
	bt r12d, ebx
	jnc .efer_no
	accepted wrmsr
	rdmsr
	mov ecx, r13d
	btc ecx, ebx
	cmp eax, ecx
	check e
	mov ecx, 0xc0000080
	mov eax, r13d
	wrmsr
	jmp .efer_next
.efer_no:
	mov eax, r13d
	btc eax, ebx
	xor edx, edx
	mov ecx, 0xc0000080
	refused wrmsr
.efer_next:
	inc ebx
	cmp ebx, 32
	jb .efer
	mov ecx, 0xc0000080
	mov eax, r13d
	mov edx, 1
	refused wrmsr

	; ---- model-specific registers: what may be written, and reads back; what may not
	mov esi, msrs
.msr:
	mov ecx, [rsi]
	test ecx, ecx
	jz .msrs_done
	mov eax, [rsi + 8]
	mov edx, [rsi + 12]
	cmp dword [rsi + 4], 0
	jne .msr_refused
	rdmsr				; what it was
	mov r8d, eax
	mov r9d, edx
	mov eax, [rsi + 8]
	mov edx, [rsi + 12]
	accepted wrmsr
	rdmsr
	cmp eax, [rsi + 8]
	check e
	cmp edx, [rsi + 12]
	check e
	mov eax, r8d
	mov edx, r9d
	wrmsr
	jmp .msr_next
.msr_refused:
	refused wrmsr
.msr_next:
	add esi, 16
	jmp .msr
.msrs_done:
	mov ecx, 0x12345678
	refused rdmsr
	refused wrmsr
	mov ecx, 0xc0011fff
	refused rdmsr
	mov ecx, 0xfe			; MTRRCAP is read-only
	rdmsr
	refused wrmsr
	mov ecx, 0x1234567
	refused rdpmc
	mov rcx, 0xffffffff00000010	; only ECX counts
	rdmsr
	; upper halves of the results are clear
	mov rax, -1
	mov rdx, -1
	mov ecx, 0xc0000100
	rdmsr
	shr rax, 32
	check z
	shr rdx, 32
	check z

	; ---- the TSC: what is written is what goes on; IA32_TSC_ADJUST tells
	mov eax, 7
	xor ecx, ecx
	cpuid
	mov r15d, ebx
	mov ecx, 0x10
	xor eax, eax
	mov edx, 0x100
	wrmsr
	rdtsc
	cmp edx, 0x100
	check e
	cmp eax, 0x40000000
	check b
	bt r15d, 1
	jnc .no_adjust
	mov ecx, 0x3b
	rdmsr
	add edx, 0x100
	wrmsr
	rdtsc
	cmp edx, 0x200
	check e
.no_adjust:
	mov ecx, 0xc0000103		; TSC_AUX
	mov eax, 0x1234
	xor edx, edx
	wrmsr
	mov rcx, -1
	rdtscp
	cmp rcx, 0x1234
	check e
	mov eax, 7
	xor ecx, ecx
	cpuid
	bt ecx, 22
	jnc .no_rdpid
	mov rbx, -1
	rdpid rbx
	cmp rbx, 0x1234
	check e
.no_rdpid:
	rdtsc
	mov ebx, eax
	mov r8d, edx
	mov ecx, 10000
.monotonic:
	rdtsc
	cmp edx, r8d
	check ae
	jne .later
	cmp eax, ebx
	check ae
.later:
	mov ebx, eax
	mov r8d, edx
	loop .monotonic

	; ---- CPUID
	mov eax, 1
	cpuid
	bt ecx, 26
	jnc .no_xsave
	bt ecx, 27			; OSXSAVE mirrors CR4
	check nc
	mov rax, cr4
	bts rax, 18
	mov cr4, rax
	mov eax, 1
	cpuid
	bt ecx, 27
	check c
	mov eax, 0xd
	xor ecx, ecx
	cpuid
	cmp ebx, 576
	check e
	test eax, 3
	check nz
	bt eax, 2
	jnc .no_avx
	xor ecx, ecx
	mov eax, 7
	xor edx, edx
	xsetbv
	mov eax, 0xd
	xor ecx, ecx
	cpuid
	cmp ebx, 832
	check e
	cmp ecx, ebx
	check ae
	mov eax, 0xd
	mov ecx, 2
	cpuid
	cmp eax, 256
	check e
	cmp ebx, 576
	check e
.no_avx:
.no_xsave:
	mov ecx, 0x1b			; the APIC bit mirrors the APIC's
	rdmsr
	mov r8d, eax
	btr eax, 11
	wrmsr
	mov eax, 1
	cpuid
	bt edx, 9
	check nc
	mov ecx, 0x1b
	mov eax, r8d
	xor edx, edx
	wrmsr
	mov eax, 1
	cpuid
	bt edx, 9
	check c
	mov rax, 0xffffffff00000000
	mov rcx, 0xffffffff00000000
	cpuid
	shr rax, 32
	check z
	shr rcx, 32
	check z
	xor eax, eax			; the last basic leaf, then nothing worse than zeros or its copy
	cpuid
	cmp eax, 1
	check ae
	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000008
	check ae
	success

outcome:
	cmp qword [seen], 6
	je .done
	cmp qword [seen], 13
	jne failed
	cmp qword [code], 0
	jne failed
	stc
	ret
.done:
	clc
	ret

align 8
; number, 0: may be written, 1: may not; value
%macro msr 3
	dd %1, %2
	dq %3
%endmacro
msrs:
	msr 0x174, 0, 0x1234
	msr 0x175, 0, 0xffff800000001234
	msr 0x175, 1, 0x0000800000000000
	msr 0x176, 0, 0x00007fffffffffff
	msr 0x176, 1, 0xffff7fffffffffff
	msr 0x277, 0, 0x0007040600070406
	msr 0x277, 1, 0x0007040600070402
	msr 0x277, 1, 0x0307040600070406
	msr 0x277, 1, 0x0807040600070406
	msr 0x2ff, 0, 0xc06
	msr 0x2ff, 1, 0xc02
	msr 0x2ff, 1, 0x1c06
	msr 0x200, 0, 0x10000006
	msr 0x200, 1, 0x10000002
	msr 0x200, 1, 0x10000106
	msr 0x201, 0, 0xf0000800
	msr 0x201, 1, 0xf0000400
	msr 0x250, 0, 0x0606060606060606
	msr 0x250, 1, 0x0606060606060602
	msr 0x26f, 0, 0x0404050506060101
	msr 0xc0000081, 0, 0x0023001012345678
	msr 0xc0000082, 0, 0xffffffff81000000
	msr 0xc0000082, 1, 0x0000800000000000
	msr 0xc0000083, 0, 0x00007fffffffffff
	msr 0xc0000083, 1, 0xfeffffff81000000
	msr 0xc0000084, 0, 0x47700
	msr 0xc0000100, 0, 0xffff888000000000
	msr 0xc0000100, 1, 0x0000800000000000
	msr 0xc0000101, 0, 0x00007f0000000000
	msr 0xc0000101, 1, 0x8000000000000000
	msr 0xc0000102, 0, 0xffff888000000000
	msr 0xc0000102, 1, 0x0001000000000000
	msr 0xc0000103, 0, 0xffffffff
	msr 0xc0000103, 1, 0x100000000
	msr 0x1b, 1, 0x00000000fee00400		; x2APIC without the enable bit
	msr 0x1b, 1, 0x00000000fee00801
	msr 0x1b, 1, 0x10000000fee00900
	msr 0, 0, 0
	frame
