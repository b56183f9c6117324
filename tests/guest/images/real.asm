; SPDX-License-Identifier: GPL-2.0-or-later
; real.asm: real mode: flags, strings, segments, interrupts and exceptions through the vector
; table, the timer's interrupt through the 8259. Spec: SDM vol. 3, chapter 21.
%include "common.inc"
bits 16
org 0x7c00
start:
	cli
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov sp, 0x7c00
	cld
	say 'r', 'e', 'a', 'l', ' '

	; arithmetic and its flags
	mov al, 0x7f
	add al, 1
	check o
	check s
	mov al, 0xff
	add al, 1
	check c
	check z
	mov ax, 0x8000
	sub ax, 1
	check o
%ifndef PLAIN
	mov al, 0x15
	add al, 0x27
	daa
	cmp al, 0x42
	check e
	mov ax, 0x0a07
	aad
	cmp ax, 107
	check e
%endif
	mov ax, 1234
	mov bx, 100
	mul bx
	cmp dx, 1
	check e
	cmp ax, 0xe208
	check e
	stc
	mov al, 1
	rcr al, 1
	cmp al, 0x80
	check e
	mov eax, 0x12345678
	bswap eax
	cmp eax, 0x78563412
	check e

	; strings, both directions, and a segment's end
	mov ax, 0x1000
	mov es, ax
	mov di, 0xfffe
	mov cx, 2
	mov ax, 0xbeef
	rep stosw			; the second word wraps to offset 0
	cmp di, 2
	check e
	cmp word [es:0xfffe], 0xbeef
	check e
	cmp word [es:0], 0xbeef
	check e
	std
	mov si, 0xfffe
	mov ds, ax			; any segment will do: only registers are looked at
	lodsb
	cmp si, 0xfffd
	check e
	cld
	xor ax, ax
	mov ds, ax
	mov es, ax

	; a software interrupt pushes flags, cs, ip; iret restores all three
	mov word [0x60 * 4], on_int
	mov word [0x60 * 4 + 2], 0
	mov bx, sp
	stc
	int 0x60
	check c				; the handler cleared its own, not ours
	cmp sp, bx
	check e
	cmp dx, 0x6060
	check e

	; a division by zero is a fault: the pushed ip is that of the div
	mov word [0], on_divide
	mov word [2], 0
	mov dx, 0
	mov ax, 5
	xor cl, cl
divide:
	div cl
	cmp si, divide
	check e

	; far calls and returns
	call 0:far_sub
	cmp dx, 0x1234
	check e

	; the timer interrupts through the 8259, and wakes a hlt
	mov word [8 * 4], on_timer
	mov word [8 * 4 + 2], 0
	mov al, 0x11			; ICW1..4: vectors at 8, 8086 mode
	out 0x20, al
	mov al, 8
	out 0x21, al
	mov al, 4
	out 0x21, al
	mov al, 1
	out 0x21, al
	mov al, 0xfe			; only IRQ 0
	out 0x21, al
	mov al, 0x34			; counter 0, rate generator
	out 0x43, al
	mov ax, 11932			; 100 Hz
	out 0x40, al
	mov al, ah
	out 0x40, al
	mov word [ticks], 0
	sti
wait_tick:
	hlt
	cmp word [ticks], 5
	jb wait_tick
	cli
	success

on_int:
	clc
	mov dx, 0x6060
	iret
on_divide:
	push bp
	mov bp, sp
	mov si, [bp + 2]
	add word [bp + 2], 2		; skip the div
	pop bp
	iret
on_timer:
	inc word [ticks]
	push ax
	mov al, 0x20
	out 0x20, al
	pop ax
	iret
far_sub:
	mov dx, 0x1234
	retf
ticks:	dw 0
failed:
	failure_code
