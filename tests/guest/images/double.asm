; SPDX-License-Identifier: GPL-2.0-or-later
; double.asm: exceptions while an exception is delivered: which pairs make a double fault, which are handled one
; after the other, and the EXT bit. Spec: SDM vol. 3, 6.13, 6.15, table 6-5.
%include "long.inc"
	start_long 0x87, "double "
	mov byte [IDT + 8 * 16 + 4], 2	; IST2
	mov rax, cr0
	bts rax, 18			; AM
	mov cr0, rax
	xor ebx, ebx
%macro absent 1
	mov byte [IDT + %1 * 16 + 5], 0x0e
%endmacro
%macro present 1
	mov byte [IDT + %1 * 16 + 5], 0x8e
%endmacro
; The gate of vector %1 is absent when the instruction raises it: #DF, or #NP with EXT.
%macro doubles 2+
	absent %1
	faults 8, 0, %2
	present %1
%endmacro
%macro serial 2+
	absent %1
	faults 11, %1 * 8 + 3, %2
	present %1
%endmacro
	doubles 0, div ebx
	serial 6, ud2
	mov eax, DATA
	mov rcx, 1 << 47
	doubles 13, mov al, [rcx]
	mov rbp, rcx
	doubles 12, mov al, [rbp]
	mov rcx, 1 << 46
	doubles 14, mov al, [rcx]
	descriptor FREE, 0x00cf12000000ffff
	mov eax, FREE
	doubles 11, mov ds, ax
	mov rax, cr0
	bts rax, 3
	mov cr0, rax
	serial 7, fld1
	clts
	fninit
	mov word [SCRATCH], 0x37e
	fldcw [SCRATCH]
	fldz
	fldz
	fdivp				; 0 / 0: invalid
	serial 16, fwait
	fninit
	mov dword [SCRATCH], 0x1f80 & ~0x80
	ldmxcsr [SCRATCH]
	xorps xmm0, xmm0
	serial 19, divss xmm0, xmm0
	mov dword [SCRATCH], 0x1f80
	ldmxcsr [SCRATCH]
	mov dword [user_flags], 0x40002
	absent 17
	user_faults 11, 17 * 8 + 3, mov eax, [SCRATCH + 1]
	present 17
	mov dword [user_flags], 2
	; software interrupts: no EXT, and nothing to double
	absent 3
	faults 11, 3 * 8 + 2, int3
	present 3
	absent 0x21
	faults 11, 0x21 * 8 + 2, int 0x21
	absent 13
	faults 11, 13 * 8 + 2, int 13	; though the vector is a contributory one's
	present 13

	; ---- bad gates, code segments and stacks
%macro bad_code 2			; selector, error code; by #UD
	mov word [IDT + 6 * 16 + 2], %1
	faults 13, %2, ud2
	mov word [IDT + 6 * 16 + 2], CODE
%endmacro
	bad_code 0, 1
	bad_code DATA, DATA + 1
	bad_code CODE32, CODE32 + 1
	bad_code UCODE & ~3, (UCODE & ~3) + 1 ; less privileged
	bad_code GDT_END, GDT_END + 1
	bad_code TSS, TSS + 1
	descriptor FREE, 0x00af1a000000ffff
	mov word [IDT + 6 * 16 + 2], FREE
	faults 11, FREE + 1, ud2
	mov word [IDT + 6 * 16 + 2], CODE
	mov dword [IDT + 6 * 16 + 8], 0x8000 ; not canonical
	faults 13, 1, ud2
	mov dword [IDT + 6 * 16 + 8], 0
	mov byte [IDT + 6 * 16 + 5], 0x85 ; a task gate
	faults 13, 6 * 8 + 3, ud2
	mov byte [IDT + 6 * 16 + 5], 0x8c ; a call gate
	faults 13, 6 * 8 + 3, ud2
	mov byte [IDT + 6 * 16 + 5], 0x9e ; S
	faults 13, 6 * 8 + 3, ud2
	present 6
	; the stack is not there: a page fault while #UD is delivered, and while #DE is: one after the other
	mov rax, 1 << 46
	mov [tss + 36], rax		; IST1
%macro no_stack 3+			; vector, what comes of it
	mov byte [IDT + %1 * 16 + 4], 1
	faults %2, %3
	mov byte [IDT + %1 * 16 + 4], 0
%endmacro
	no_stack 6, 14, 2, ud2
	mov rax, cr2
	mov rcx, (1 << 46) - 40
	cmp rax, rcx
	check ae
	no_stack 0, 14, 2, div ebx
	mov rcx, 1 << 45
	no_stack 14, 8, 0, mov al, [rcx] ; but two page faults are double
	mov rax, 1 << 47
	mov [tss + 36], rax
	no_stack 6, 12, 1, ud2
	no_stack 0, 8, 0, div ebx
	; from ring 3 without a stack in the TSS: #TS
	mov word [gdt + TSS], 0x0b
	mov byte [gdt + TSS + 5], 0x89
	mov ax, TSS
	ltr ax
	mov byte [IDT + 10 * 16 + 4], 0
	success
	frame
