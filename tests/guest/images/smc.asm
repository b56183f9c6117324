; SPDX-License-Identifier: GPL-2.0-or-later
; smc.asm: code that changes the instruction behind it, in every way a store can be made; through another mapping;
; across pages; remapped under its feet. Spec: SDM vol. 3, 8.1.3 and 11.6: on the same CPU, by the same linear
; address, changes are seen at once; by another, after a serializing instruction.
%include "long.inc"
BUFFER equ SCRATCH + 0x200
CODEPAGE equ SCRATCH + 0x4000
LOW equ 0x800000			; the first 2 MiB once more
	start_long 0x87, "smc "
	mov dword [PD + (LOW >> 21) * 8], 0x87
	mov rax, cr3
	mov cr3, rax
	fninit
; Between the two stands what changes the immediate of the MOV behind it: rdi = its address, eax and [rsi] the new
; value, rax and [rsi] eight and more bytes with what follows unchanged. The MOV must see it, three times over.
%macro patch 0
%push
	mov ebp, 3
%$again:
	mov dword [%$target + 1], 0x11111111
	mov edi, %$target + 1
	mov esi, BUFFER
	mov rax, [rdi]
	mov [rsi], rax
	mov rax, [rdi + 8]
	mov [rsi + 8], rax
	imul eax, ebp, 0x01010101
	mov [rsi], eax
	mov rax, [rsi]
	movups xmm0, [rsi]
	jmp %$go			; a block of its own
	align 8
	times 7 nop			; the immediate is aligned
%$go:
%endmacro
%macro patched 0
%$target:
	mov ebx, 0x11111111
	mov rsp, STACK0
	imul ecx, ebp, 0x01010101
	cmp ebx, ecx
	check e
	dec ebp
	jnz %$again
%pop
%endmacro
%macro patched_by 1+
	patch
	%1
	patched
%endmacro
	patched_by mov [rdi], eax
	patched_by mov [rdi], rax
	patched_by stosd
	patched_by stosq
	patched_by movsq
	patched_by xchg [rdi], eax
	patched_by movups [rdi], xmm0
	patched_by movnti [rdi], eax
	patched_by movd [rdi], xmm0
	patched_by movq [rdi], xmm0
	patched_by movlps [rdi], xmm0
	patched_by call store_eax
	patch
	mov ecx, 16
	rep movsb
	patched
	patch
	mov ecx, 4
	rep movsd
	patched
	patch
	mov ecx, 1
	rep stosd
	patched
	patch
	std
	mov ecx, 1
	rep movsq
	cld
	patched
	patch
	lea rsp, [rdi + 8]
	push rax
	patched
	patch
	lea rsp, [rdi + 8]
	push qword [rsi]
	patched
	patch
	mov rsp, rsi
	pop qword [rdi]
	patched
	patch
	sub eax, 0x11111111
	add [rdi], eax
	patched
	patch
	sub eax, 0x11111111
	lock add [rdi], eax
	patched
	patch
	sub eax, 0x11111111
	lock xadd [rdi], eax
	patched
	patch
	xor eax, 0x11111111
	xor [rdi], eax
	patched
	patch
	mov ecx, eax
	mov eax, [rdi]
	lock cmpxchg [rdi], ecx
	patched
	patch
	mov rbx, rax
	mov ecx, [rdi + 4]
	mov edx, ecx
	mov eax, [rdi]
	lock cmpxchg8b [rdi]
	patched
	patch
	fild dword [rsi]
	fistp dword [rdi]
	patched
	patch
	fild qword [rsi]
	fistp qword [rdi]
	patched
	patch
	pcmpeqd xmm1, xmm1
	maskmovdqu xmm0, xmm1
	patched
	patch
	mov rbx, rdi
	mov [rbx], al
	mov [rbx + 1], ah
	shr eax, 16
	mov [rbx + 2], ax
	patched
	patch
	mov eax, edi
	mov ebx, [rsi]
	mov [rax + LOW], ebx
	cpuid
	patched

	; ---- instructions that are not all there: the last byte is in the next page, and changes
	mov dword [CODEPAGE + 0xffc], 0x34b86690 ; MOV AX, of which the last byte lies beyond
	mov word [CODEPAGE + 0x1000], 0xc312
	mov esi, CODEPAGE + 0xffd
	mov ecx, 100
.crossing:
	mov [CODEPAGE + 0x1000], cl
	call rsi
	cmp ah, cl
	check e
	cmp al, 0x34
	check e
	loop .crossing
	; ---- the same place, other pages: code by remapping
	mov dword [SCRATCH + 0x6000], 0xc301b0	; MOV AL, 1; RET
	mov dword [SCRATCH + 0x7000], 0xc302b0
	mov ebx, WINDOW
	mov ecx, 100
.remapping:
	mov qword [PT], (SCRATCH + 0x6000) | 3
	invlpg [rbx]
	call rbx
	cmp al, 1
	check e
	mov qword [PT], (SCRATCH + 0x7000) | 3
	invlpg [rbx]
	call rbx
	cmp al, 2
	check e
	loop .remapping
	; … by CR3, with a jump that was linked
	mov ecx, 20
.switching:
	mov qword [PT], (SCRATCH + 0x6000) | 3
	mov rax, cr3
	mov cr3, rax
	jmp .call1
.call1:
	call near WINDOW
	cmp al, 1
	check e
	mov qword [PT], (SCRATCH + 0x7000) | 3
	mov rax, cr3
	mov cr3, rax
	call near WINDOW
	cmp al, 2
	check e
	loop .switching
	; ---- one page seen at two places: written at one, run at the other after a serializing instruction
	mov qword [PT + 8], (SCRATCH + 0x6000) | 3
	invlpg [WINDOW + 0x1000]
	mov r9d, 100
.alias:
	mov [SCRATCH + 0x6001], r9b
	xor eax, eax
	cpuid
	mov ebx, WINDOW + 0x1000
	call rbx
	cmp al, r9b
	check e
	mov [WINDOW + 0x1001], r9b
	inc byte [WINDOW + 0x1001]
	mov ebx, SCRATCH + 0x6000
	xor eax, eax
	cpuid
	mov ebx, SCRATCH + 0x6000
	call rbx
	dec al
	cmp al, r9b
	check e
	dec r9d
	jnz .alias
	; ---- a generator: code made, run and overwritten, a hundred times
	xor ebp, ebp
.generate:
	mov edi, CODEPAGE
	mov al, 0x05			; ADD EAX, imm32
	mov ecx, 20
.emit:
	mov byte [rdi], 0x05
	mov [rdi + 1], ebp
	add edi, 5
	loop .emit
	mov byte [rdi], 0xc3
	xor eax, eax
	mov ebx, CODEPAGE
	call rbx
	imul ecx, ebp, 20
	cmp eax, ecx
	check e
	inc ebp
	cmp ebp, 100
	jb .generate
	; ---- data beside code: stores to the page go on without disturbing it
	mov dword [CODEPAGE], 0xc307b0
	mov ecx, 1000
	mov ebx, CODEPAGE
.beside:
	inc dword [CODEPAGE + 0x800]
	call rbx
	cmp al, 7
	check e
	loop .beside
	success
store_eax:
	mov [rdi], eax
	ret
	frame
