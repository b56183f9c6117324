; SPDX-License-Identifier: GPL-2.0-or-later
; idle.asm: the smallest guest: an ELF kernel that says "idle" on the first serial port and sleeps.
; A 'q' on that port makes it reset the machine by the keyboard controller.
; Spec: System V ABI, AMD64; PVH boot ABI (32-bit entry).
bits 32
BASE equ 0x200000
org BASE
header:
	db 0x7f, "ELF", 1, 1, 1, 0
	times 8 db 0
	dw 2, 3			; ET_EXEC, EM_386
	dd 1
	dd entry
	dd phdr - BASE, 0, 0
	dw 52, 32, 2, 0, 0, 0
phdr:
	dd 1, 0, BASE, BASE, end - BASE, end - BASE, 7, 0x1000
	dd 4, note - BASE, note, note, note_end - note, note_end - note, 4, 4
note:
	dd 4, 4, 18		; XEN_ELFNOTE_PHYS32_ENTRY
	db "Xen", 0
	dd entry
note_end:
entry:
	mov esi, text
.next:
	lodsb
	test al, al
	jz .wait
	mov dx, 0x3f8
	out dx, al
	jmp .next
.wait:
	mov dx, 0x3fd
	in al, dx
	test al, 1
	jz .sleep
	mov dx, 0x3f8
	in al, dx
	cmp al, 'q'
	jne .wait
	mov al, 0xfe
	out 0x64, al
.sleep:
	cli
	hlt
	jmp .wait
text:	db "idle", 13, 10, 0
end:
