; SPDX-License-Identifier: GPL-2.0-or-later
; rom.asm: a tiny guest (IMAGE) as 64 KiB of firmware: does what the guests expect to be done, copies
; the image to 0000:7c00 and jumps there. This is how another VMM runs them.
bits 16
org 0
start:
	cli
	cld
	o32 lgdt [cs:gdt_pointer]
	mov eax, cr0
	inc ax				; a moment of protected mode leaves ds with a 4 GiB limit
	mov cr0, eax
	mov bx, 8
	mov ds, bx
	dec ax
	mov cr0, eax
	mov ebx, 0xfee00000		; virtual wire: LINT0 carries the 8259's interrupts
	mov dword [ebx + 0xf0], 0x1ff
	mov dword [ebx + 0x350], 0x700
	mov ax, 0xf000
	mov ds, ax
	xor ax, ax
	mov es, ax
	mov si, image
	mov di, 0x7c00
	mov cx, image_end - image
	rep movsb
	jmp 0:0x7c00
gdt:
	dq 0, 0x00cf92000000ffff
gdt_pointer:
	dw 15
	dd 0xf0000 + gdt
image:
	incbin IMAGE
image_end:
	times 0xfff0 - ($ - $$) db 0xf4
	jmp 0xf000:start
	times 0x10000 - ($ - $$) db 0xf4
