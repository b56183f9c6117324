; SPDX-License-Identifier: GPL-2.0-or-later
; limits.asm: segment limits in protected mode: data, expand-down, stack and code.
; Spec: SDM vol. 3, 5.3.
%include "common.inc"
bits 16
org 0x7c00
CODE equ 0x08
DATA equ 0x10
SMALL equ 0x18				; data, limit 0xfff
DOWN equ 0x20				; expand-down, valid from 0x1000 to 0xffff
SMALLCODE equ 0x28			; code, limit up to `beyond`
IDT equ 0x10000
STACK0 equ 0x1f000
start:
	cli
	xor ax, ax
	mov ds, ax
	mov ss, ax
	mov sp, 0x7c00
	enter_protected flat
bits 32
; Runs an instruction that must raise a fault with error code 0.
%macro faults 2+			; vector, instruction
	mov dword [resume], %%after
	mov dword [seen], 0
	%2
	jmp not_reached
%%after:
	cmp dword [seen], %1
	check e
	cmp dword [code], 0
	check e
%endmacro
flat:
	mov ax, DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, STACK0
	say 'l', 'i', 'm', 'i', 't', 's', ' '
	vector 0x0c, on_ss
	vector 0x0d, on_gp
	lidt [idt_pointer]

	mov ax, SMALL
	mov fs, ax
	mov al, [fs:0xfff]
	mov eax, [fs:0xffc]
	faults 0x0d, mov al, [fs:0x1000]
	faults 0x0d, mov eax, [fs:0xffe]
	faults 0x0d, mov [fs:0xfffffffc], eax
	mov eax, 0x2000
	faults 0x0d, mov ebx, [fs:eax + eax * 4]

	mov ax, DOWN
	mov gs, ax
	mov al, [gs:0x1000]
	mov al, [gs:0xffff]
	faults 0x0d, mov al, [gs:0xfff]
	faults 0x0d, mov al, [gs:0x10000]
	faults 0x0d, mov ax, [gs:0xffff]

	; through the stack's segment the same is #SS; esp itself stays where a frame fits
	mov ax, SMALL
	mov ss, ax
	mov esp, 0x800
	mov ebp, 0xffe
	faults 0x0c, mov eax, [ebp]
	mov ax, SMALL
	mov ss, ax
	mov esp, 0x800
	faults 0x0c, mov [esp + 0x800], eax

	; code: the instruction that begins beyond the limit faults
	mov dword [resume], .after_code
	mov dword [seen], 0
	jmp SMALLCODE:inside
.after_code:
	cmp dword [seen], 0x0d
	check e
	cmp esi, 1
	check e
	success

inside:
	mov esi, 1
	nop
beyond:
	mov esi, 2
not_reached:
	mov ax, 0xdead
	jmp failed
; The handlers run on the stack that the fault was taken on, so faults of the stack's own segment come
; with room below it. The error code is on top.
on_ss:
	mov ebx, 0x0c
	jmp on_fault
on_gp:
	mov ebx, 0x0d
on_fault:
	pop ecx
	mov ax, DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, STACK0
	mov [seen], ebx
	mov [code], ecx
	jmp [resume]
failed:
	failure_code

align 8
gdt:
	dq 0
	dq 0x00cf9a000000ffff		; CODE
	dq 0x00cf92000000ffff		; DATA
	dq 0x0040920000000fff		; SMALL
	dq 0x0000960000000fff		; DOWN
	dw beyond - 1			; SMALLCODE
	dw 0
	dd 0x00409a00
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dd gdt
idt_pointer:
	dw 0x0e * 8 - 1
	dd IDT
seen:	dd 0
code:	dd 0
resume:	dd 0
