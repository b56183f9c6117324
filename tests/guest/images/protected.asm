; SPDX-License-Identifier: GPL-2.0-or-later
; protected.asm: 32-bit protected mode: selectors, rings, a call gate, paging and
; its faults, virtual-8086 mode. Spec: SDM vol. 3, chapters 3 to 6 and 21.
%include "common.inc"
bits 16
org 0x7c00
CODE equ 0x08
DATA equ 0x10
UCODE equ 0x1b
UDATA equ 0x23
TSS equ 0x28
GATE equ 0x33
DIRECTORY equ 0x20000
TABLE equ 0x21000
IDT equ 0x10000
STACK0 equ 0x1f000
STACK3 equ 0x1e000
start:
	cli
	xor ax, ax
	mov ds, ax
	mov ss, ax
	mov sp, 0x7c00
	enter_protected flat

bits 32
flat:
	mov ax, DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, STACK0
	cld
	say 'p', 'r', 'o', 't', 'e', 'c', 't', 'e', 'd', ' '
	vector 0x0d, on_gp, 0x8e
	vector 0x0e, on_pf, 0x8e
	vector 0x80, on_syscall, 0xee
	lidt [idt_pointer]

	; a selector beyond the GDT: #GP with that selector as the error code
	mov dword [resume], .after_selector
	mov ax, 0x1000
	mov gs, ax
	jmp not_reached
.after_selector:
	cmp dword [seen], 0x0d
	check e
%ifndef PLAIN
	cmp dword [code], 0x1000
	check e
%endif

%ifndef PLAIN
	; paging: identity below 4 MiB except one page
	mov edi, DIRECTORY
	xor eax, eax
	mov ecx, 1024
	rep stosd
	mov dword [DIRECTORY], TABLE | 7
	mov edi, TABLE
	mov eax, 7
.fill:
	stosd
	add eax, 4096
	cmp eax, 4 << 20
	jb .fill
	mov dword [TABLE + 0x300 * 4], 0	; 0x300000: absent
	mov dword [TABLE + 0x301 * 4], 0x301005	; 0x301000: read-only
	mov eax, DIRECTORY
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80010000		; PG, WP
	mov cr0, eax

	mov dword [resume], .after_absent
	mov eax, [0x300123]
	jmp not_reached
.after_absent:
	cmp dword [seen], 0x0e
	check e
	cmp dword [code], 0
	check e
	mov eax, cr2
	cmp eax, 0x300123
	check e
	mov dword [resume], .after_write
	mov eax, [0x301000]
	test dword [TABLE + 0x301 * 4], 0x20	; accessed
	check nz
	mov dword [0x301ffc], 1
	jmp not_reached
.after_write:
	cmp dword [code], 3		; present, write
	check e
	; after the entry changes and invlpg, it goes through and sets the dirty bit
	mov dword [TABLE + 0x301 * 4], 0x302007
	invlpg [0x301000]
	mov dword [0x301ffc], 0xabcd
	cmp dword [0x302ffc], 0xabcd
	check e
	test dword [TABLE + 0x301 * 4], 0x40
	check nz

	; ring 3 by iret; back by an interrupt, then by a call gate
	mov eax, tss
	mov [gdt + TSS + 2], ax
	shr eax, 16
	mov [gdt + TSS + 4], al
	mov eax, on_gate
	mov [gdt + 0x30], ax
	shr eax, 16
	mov [gdt + 0x30 + 6], ax
	mov ax, TSS
	ltr ax
	push dword UDATA
	push dword STACK3
	push dword 0x202
	push dword UCODE
	push dword user
	iretd
user:
	mov ax, UDATA			; iret made DS and ES null: ring 3 may not keep ring 0's
	mov ds, ax
	mov es, ax
	mov ax, cs
	and ax, 3
	cmp ax, 3
	check e
	mov eax, 0x1111
	int 0x80
	cmp eax, 0x2222
	check e
	call GATE:0
	cmp ebx, 0x3333
	check e
	mov eax, esp
	cmp eax, STACK3			; both ways back restored the stack
	check e
	; what ring 3 may not do is a #GP
	mov dword [resume], .after_hlt
	mov dword [seen], 0
	hlt
	jmp not_reached
.after_hlt:				; in ring 0 now: the handler does not go back
	cmp dword [seen], 0x0d
	check e

	; virtual-8086 mode: real-mode code under paging; its int traps
	mov esp, STACK0
	push dword 0			; gs, fs, ds, es, ss
	push dword 0
	push dword 0
	push dword 0
	push dword 0
	push dword 0x7000		; esp
	push dword 0x20202		; VM, IF (IOPL 0)
	push dword 0			; cs
	push dword virtual
	mov dword [resume], .after_virtual
	iretd
.after_virtual:
	cmp dword [seen], 0x0d
	check e
	cmp word [0x6f00], 0x8086
	check e
%endif
	success

not_reached:
	mov ax, 0xdead
	jmp failed
; Faults note what came and go on at [resume] in ring 0 with a fresh stack.
on_gp:
	mov dword [ss:seen], 0x0d
	jmp on_fault
on_pf:
	mov dword [ss:seen], 0x0e
on_fault:
	pop dword [ss:code]
	mov ax, DATA
	mov ds, ax
	mov es, ax
	mov esp, STACK0
	jmp [resume]
on_syscall:
	mov cx, cs
	and cx, 3
	cmp cx, 0
	check e
	cmp eax, 0x1111
	check e
	mov eax, 0x2222
	iretd
on_gate:
	mov bx, cs
	and bx, 3
	check z
	mov ebx, 0x3333
	retf

bits 16
virtual:
	mov ax, 0x6f0			; a paragraph, as real mode has them
	mov ds, ax
	mov word [0], 0x8086
	int 0x21			; IOPL 0: #GP into the monitor
bits 32
failed:
	failure_code

align 8
gdt:
	dq 0
	dq 0x00cf9a000000ffff		; CODE
	dq 0x00cf92000000ffff		; DATA
	dq 0x00cffa000000ffff		; UCODE
	dq 0x00cff2000000ffff		; UDATA
	dq 0x0000890000000067		; TSS, base filled in
	dw 0, CODE, 0xec00, 0		; call gate for ring 3, offset filled in
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dd gdt
idt_pointer:
	dw 0x81 * 8 - 1
	dd IDT
seen:	dd 0
code:	dd 0
resume:	dd 0
tss:
	dd 0, STACK0, DATA
	times 22 dd 0
	dd 0x680000			; no I/O bitmap: every port traps in ring 3
