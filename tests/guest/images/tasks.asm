; SPDX-License-Identifier: GPL-2.0-or-later
; tasks.asm: 32-bit protected mode: hardware task switches by CALL, JMP, IRET and task gates, what they
; check, call gates with parameters, far returns, LAR, LSL, VERR, ARPL. Spec: SDM vol. 3, chapters 5 and 7.
%include "common.inc"
bits 16
org 0x7c00
CODE equ 0x08
DATA equ 0x10
UCODE equ 0x18 | 3
UDATA equ 0x20 | 3
TSS1 equ 0x28
TSS2 equ 0x30
TSS3 equ 0x38				; of the fault handler
TASKGATE equ 0x40
CALLGATE equ 0x48 | 3
CONFORMING equ 0x50
ABSENT equ 0x58
STACK0 equ 0x1f000
STACK2 equ 0x1d000
STACK3 equ 0x1c000
USTACK equ 0x1b000
IDT equ 0x10000
start:
	cli
	xor ax, ax
	mov ds, ax
	mov ss, ax
	mov sp, 0x7c00
	enter_protected flat

bits 32
%macro tss_base 2
	mov eax, %2
	mov [gdt + %1 + 2], ax
	shr eax, 16
	mov [gdt + %1 + 4], al
%endmacro
%macro faults 3+			; vector, error code, instruction
	mov dword [resume], %%after
	mov dword [seen], -1
	%3
	jmp not_reached
%%after:
	cmp dword [seen], %1
	check e
	cmp dword [code], %2
	check e
%endmacro
%macro stub 1
on_%1:
	pop dword [ss:code]
	mov dword [ss:seen], %1
	jmp on_fault
%endmacro
flat:
	mov ax, DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov fs, ax
	mov gs, ax
	mov esp, STACK0
	cld
	say 't', 'a', 's', 'k', 's', ' '
	mov edi, IDT
	mov ecx, 0x100
	xor eax, eax
	rep stosd
	vector 10, on_10, 0x8e
	vector 11, on_11, 0x8e
	vector 12, on_12, 0x8e
	vector 13, on_13, 0x8e
	lidt [idt_pointer]
	tss_base TSS1, tss1
	tss_base TSS2, tss2
	tss_base TSS3, tss3
	mov eax, on_callgate
	mov [gdt + (CALLGATE & ~3)], ax
	shr eax, 16
	mov [gdt + (CALLGATE & ~3) + 6], ax
	mov ax, TSS1
	ltr ax
	test byte [gdt + TSS1 + 5], 2	; busy
	check nz
	str ax
	cmp ax, TSS1
	check e

	; ---- CALL: nested, back by IRET
	mov dword [tss2 + 0x20], task2
	mov dword [tss2 + 0x24], 2
	mov dword [tss2 + 0x38], STACK2
	mov ebx, 0x1234
	clts
	call TSS2:0
.called:
	cmp ebx, 0x1234
	check e
	cmp dword [result], 0x4321
	check e
	cmp dword [tss1 + 0x20], .called
	check e
	cmp dword [tss1 + 0x34], 0x1234	; EBX
	check e
	cmp word [tss2], TSS1		; back link
	check e
	test dword [flags2], 0x4000	; NT
	check nz
	pushfd
	pop eax
	test eax, 0x4000
	check z
	mov eax, cr0
	test eax, 8			; TS
	check nz
	test byte [gdt + TSS2 + 5], 2
	check z
	test dword [tss2 + 0x24], 0x4000 ; IRET cleared NT in the image it left
	check z

	; ---- JMP there and back, and the task gate
	mov dword [tss2 + 0x20], task2_jumps
	mov dword [tss2 + 0x38], STACK2
	jmp TSS2:0
.jumped:
	cmp dword [result], 0x5678
	check e
	mov dword [tss2 + 0x20], task2
	mov dword [result], 0
	call TASKGATE:0
	cmp dword [result], 0x4321
	check e

	; ---- an interrupt and a fault through task gates
	mov word [IDT + 0x30 * 8 + 2], TSS3
	mov word [IDT + 0x30 * 8 + 4], 0xe500
	mov dword [tss3 + 0x20], task3
	mov dword [tss3 + 0x38], STACK3
	mov dword [result], 0
	int 0x30
	cmp dword [result], 0x3333
	check e
	cmp dword [error3], STACK3	; no error code was pushed
	check e
	mov word [IDT + 13 * 8 + 2], TSS3
	mov word [IDT + 13 * 8 + 4], 0x8500
	mov dword [tss3 + 0x20], task3_fault
	mov dword [tss3 + 0x38], STACK3
	mov dword [skip], .faulted
	mov ax, 0x1000
	mov es, ax
.faulted:
	cmp dword [error3], 0x1000
	check e
	vector 13, on_13, 0x8e

	; ---- what is refused
	or byte [gdt + TSS2 + 5], 2
	faults 13, TSS2, jmp TSS2:0	; busy
	and byte [gdt + TSS2 + 5], ~2
	and byte [gdt + TSS2 + 5], 0x7f
	faults 11, TSS2, jmp TSS2:0	; not present
	or byte [gdt + TSS2 + 5], 0x80
	mov byte [gdt + TSS2], 0x66
	faults 10, TSS2, jmp TSS2:0	; too small
	mov byte [gdt + TSS2], 0x67
	faults 13, DATA, jmp DATA:0
	faults 11, ABSENT, jmp ABSENT:0
	faults 13, 0, jmp 0:0
	; a bad stack segment: #TS in the new task
	mov dword [tss2 + 0x20], task2
	mov dword [tss2 + 0x50], CODE	; SS
	mov dword [resume], .bad_stack
	mov dword [seen], -1
	mov dword [tss_back], 1
	mov word [IDT + 10 * 8 + 2], TSS3
	mov word [IDT + 10 * 8 + 4], 0x8500
	mov dword [tss3 + 0x20], task3_ts
	mov dword [tss3 + 0x38], STACK3
	jmp TSS2:0
	jmp not_reached
.bad_stack:
	cmp dword [error3], CODE
	check e
	mov dword [tss2 + 0x50], DATA
	vector 10, on_10, 0x8e

	; ---- segments as LAR and its like see them
	mov ax, CODE
	lar ebx, eax
	check z
	and ebx, 0xfffeff		; but for the accessed bit
	cmp ebx, 0x00cf9a00 & 0xf0ff00
	check e
	lsl ebx, eax
	check z
	cmp ebx, 0xffffffff
	check e
	mov ax, 0x1000
	lar ebx, eax
	check nz
	mov ax, CALLGATE
	lar ebx, eax
	check z
	lsl ebx, eax
	check nz
	mov ax, CODE
	verw ax
	check nz
	verr ax
	check z
	mov ax, DATA
	verw ax
	check z
	mov ax, 0x10
	mov cx, 3
	arpl ax, cx
	check z
	cmp ax, 0x13
	check e
	arpl ax, cx
	check nz

	; ---- ring 3: a call gate with two parameters, and what it may not
	push dword UDATA
	push dword USTACK
	push dword 2
	push dword UCODE
	push dword user
	iretd
user:
	mov ax, UDATA
	mov ds, ax
	mov es, ax
	push dword 0x1111
	push dword 0x2222
	call CALLGATE:0
	cmp eax, 0x3333
	check e
	cmp esp, USTACK
	check e
	mov ax, cs
	cmp ax, UCODE
	check e
	; conforming code runs at our level
	call CONFORMING:conforming
	cmp bx, CONFORMING | 3
	check e
	mov dword [resume], .end
	mov ax, DATA
	mov ds, ax			; #GP(DATA), in ring 0 from here
	jmp not_reached
.end:
	cmp dword [code], DATA
	check e
	success

on_callgate:				; [esp]: EIP, CS, 0x2222, 0x1111, ESP, SS
	mov eax, [ss:esp + 8]
	add eax, [ss:esp + 12]
	cmp dword [ss:esp + 16], USTACK - 8
	je .good
	xor eax, eax
.good:
	retf 8
conforming:
	mov bx, cs
	retf

task2:
	pushfd
	pop dword [flags2]
	mov dword [result], 0x4321
	mov ebx, 0x9999
	iretd
	jmp task2			; the next call goes on here
task2_jumps:
	mov dword [result], 0x5678
	jmp TSS1:0
	jmp not_reached
task3:
	mov dword [result], 0x3333
	mov [error3], esp
	iretd
task3_fault:
	pop dword [error3]
	mov eax, [skip]
	mov [tss1 + 0x20], eax
	iretd
task3_ts:
	pop dword [error3]
	mov eax, [resume]
	mov [tss1 + 0x20], eax
	and byte [gdt + TSS2 + 5], ~2	; on with the first task
	jmp TSS1:0

not_reached:
	mov ax, 0xdead
	jmp failed
	stub 10
	stub 11
	stub 12
	stub 13
on_fault:
	mov ax, DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, STACK0
	jmp [resume]
failed:
	failure_code

align 8
gdt:
	dq 0
	dq 0x00cf9a000000ffff		; CODE
	dq 0x00cf92000000ffff		; DATA
	dq 0x00cffa000000ffff		; UCODE
	dq 0x00cff2000000ffff		; UDATA
	dq 0x0000890000000067		; TSS1
	dq 0x0000890000000067		; TSS2
	dq 0x0000890000000067		; TSS3
	dw 0, TSS2, 0x8500, 0		; TASKGATE
	dw 0, CODE, 0xec02, 0		; CALLGATE, two parameters
	dq 0x00cf9e000000ffff		; CONFORMING
	dq 0x00cf1a000000ffff		; ABSENT
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dd gdt
idt_pointer:
	dw 0x40 * 8 - 1
	dd IDT
seen:	dd 0
code:	dd 0
resume:	dd 0
result:	dd 0
flags2:	dd 0
error3:	dd 0
skip:	dd 0
tss_back: dd 0
align 16
tss1:
	dd 0, STACK0 - 0x400, DATA
	times 23 dd 0
tss2:
	dd 0, STACK0, DATA, 0, 0, 0, 0, 0	; .. CR3
	dd 0, 2, 0, 0, 0, 0, STACK2, 0, 0, 0	; EIP EFLAGS EAX ECX EDX EBX ESP EBP ESI EDI
	dd DATA, CODE, DATA, DATA, DATA, DATA, 0, 0
tss3:
	dd 0, STACK0, DATA, 0, 0, 0, 0, 0
	dd 0, 2, 0, 0, 0, 0, STACK3, 0, 0, 0
	dd DATA, CODE, DATA, DATA, DATA, DATA, 0, 0
