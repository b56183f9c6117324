; SPDX-License-Identifier: GPL-2.0-or-later
; vectors.asm: real mode: which vector each mistake takes and what it leaves on the stack; limits and wraps; big real
; mode; a moved vector table; single step. Spec: SDM vol. 3, 20.1; vol. 2, the real-address mode exceptions.
%include "common.inc"
bits 16
org 0x7c00
FLATDATA equ 8
	jmp 0:start
start:
	cli
	cld
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov sp, 0x7000
	mov al, 0xff			; the 8259s stay silent
	out 0x21, al
	out 0xa1, al
	print "vectors "
	xor di, di			; vectors 0 to 31
	mov ax, stubs
	mov cx, 32
.fill:
	stosw
	mov word [di], 0
	add di, 2
	add ax, 8
	loop .fill

%macro faults 2+			; vector, instruction
	mov word [resume], %%after
	mov word [seen], -1
%%here:
	%2
	missed
%%after:
	cmp word [seen], %1
	check e
	cmp word [frame_ip], %%here
	check e
	cmp word [frame_cs], 0
	check e
	cmp word [frame_sp], 0x7000	; no error code
	check e
%endmacro
%macro traps 2+
	mov word [resume], %%after
	mov word [seen], -1
	%2
%%next:
	missed
%%after:
	cmp word [seen], %1
	check e
	cmp word [frame_ip], %%next
	check e
%endmacro
	xor ebx, ebx
	faults 0, div bx
	faults 0, aam 0
	traps 3, int3
	mov al, 0x7f
	inc al
	traps 4, into
	mov dword [0x5000], 0x00050001
	mov ax, 6
	faults 5, bound ax, [0x5000]
	faults 6, ud2
	faults 6, lldt ax
	faults 6, ltr ax
	faults 6, sldt ax
	faults 6, str ax
	faults 6, verr ax
	faults 6, lar ax, ax
	faults 6, lsl ax, ax
	faults 6, arpl ax, ax
	faults 6, db 0x8e, 0xc8		; MOV CS
	faults 6, db 0xf0, 0x90		; LOCK where none goes
	faults 6, db 0xf0, 0x89, 0x07
	faults 6, syscall
	faults 13, sysenter
	faults 13, sysexit
	mov eax, cr0
	mov ecx, eax
	or eax, 4
	mov cr0, eax
	faults 7, fld1
	mov cr0, ecx
	; limits: 64 KiB, in every segment
	mov bx, 0xffff
	mov si, bx
	mov di, bx
	mov al, [bx]
	faults 13, mov ax, [bx]
	faults 13, mov [bx], ax
	faults 13, mov eax, [bx - 2]
	faults 13, add word [es:bx], 1
	mov bp, bx
	faults 12, mov ax, [bp]
	faults 12, inc dword [bp - 1]
	faults 13, movsw
	faults 13, lodsw
	faults 13, stosd
	faults 13, fld qword [bx - 3]
	mov ebx, 0x10000
	faults 13, mov al, [ebx]
	faults 13, mov al, [cs:ebx]
	mov ebp, ebx
	faults 12, mov al, [ebp]
	faults 13, jmp dword 0x10000
	faults 13, call ebx
	movzx ebx, bx
	mov cx, 2			; a string runs up to the border, and stops there
	mov di, 0xfffe
	mov word [resume], .string
.rep:
	rep stosd
	missed
.string:
	cmp word [seen], 13
	check e
	cmp word [frame_ip], .rep
	check e
	cmp cx, 2
	check e
	; 16-bit offsets wrap, SP too
	mov byte [0x0005], 0x5a
	mov bx, 0xffff
	mov al, [bx + 6]
	cmp al, 0x5a
	check e
	mov si, 0xffff
	lodsb
	cmp si, 0
	check e
	mov esp, 0x12340000
	push ax
	mov ecx, esp
	pop ax
	mov edx, esp
	mov esp, 0x7000
	cmp ecx, 0x1234fffe
	check e
	cmp edx, 0x12340000
	check e
	; the end of the code segment
	mov ax, 0x3000
	mov es, ax
	mov byte [es:0xffff], 0x90	; NOP, then IP has to be 10000h
	mov word [resume], .fell
	mov word [seen], -1
	jmp 0x3000:0xffff
.fell:
	cmp word [seen], 13
	check e
	cmp word [frame_cs], 0x3000
	check e
	mov byte [es:0xffff], 0xb8	; MOV AX that does not fit
	mov word [resume], .cut
	mov word [seen], -1
	jmp 0x3000:0xffff
.cut:
	cmp word [seen], 13
	check e
	cmp word [frame_ip], 0xffff
	check e
	; 1 MiB is no border once A20 is open
	open_a20
	mov ax, 0xffff
	mov es, ax
	mov dword [es:0x20], 0x600d600d
	mov dword [0x10], 0
	cmp dword [es:0x20], 0x600d600d
	check e

	; ---- big real mode: limits stay what protected mode made them
	lgdt [gdt_pointer]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	mov bx, FLATDATA
	mov ds, bx
	mov es, bx
	and al, ~1
	mov cr0, eax
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ebx, 0x200000
	mov dword [ebx], 0xcafe
	mov ax, 0x1000
	mov ds, ax			; a new base, the old limit
	cmp dword [ebx - 0x10000], 0xcafe
	check e
	xor ax, ax
	mov ds, ax
	mov edi, 0x200000
	mov ecx, 3
	mov eax, 0x11223344
	a32 rep stosd
	cmp edi, 0x20000c
	check e
	cmp dword [ebx + 8], 0x11223344
	check e
	mov ebp, ebx
	mov eax, [ds:ebp]
	faults 12, mov eax, [ebp]	; SS has its own

	; ---- INT and IRET: three words, IF and TF clear, and the image
	mov word [0x60 * 4], on_int
	mov word [0x60 * 4 + 2], 0
	push word 0x0ed7 & ~0x100
	popf
	int 0x60
	pushf
	pop ax
	and ax, 0xfd5
	cmp ax, 0x0ed5 & ~0x100
	check e
	cld
	cli
	cmp word [in_handler], 0
	check e
	mov sp, 0x7000
	push dword 0x00040246		; IRETD: AC and ID as well
	push dword 0
	push dword .iretd
	iretd
.iretd:
	pushfd
	pop eax
	test eax, 0x40000
	check nz
	push dword 2
	popfd
	; single step
	mov word [1 * 4], on_step
	mov word [steps], 0
	push word 0x102
	popf
	nop
	mov ax, ss
	mov ss, ax
	nop
	mov cx, 2
	rep lodsb
	push word 2
	popf
	cmp word [steps], 8
	check e
	; ---- the vector table elsewhere, and with an end
	mov si, 0
	mov di, 0x6000
	mov cx, 128
	rep movsw
	mov word [0x6000 + 6 * 4], moved_ud
	lidt [moved]
	mov word [seen], -1
	ud2
after_moved:
	cmp word [seen], 0x66
	check e
	faults 13, int 0x20		; beyond its limit
	lidt [usual]
	sidt [0x5000]
	cmp word [0x5000], 0x3ff
	check e
	cmp dword [0x5002], 0
	check e
	; ---- an x87 exception with CR0.NE clear: IRQ 13, before the next instruction that waits
	mov al, 0x11			; 8259s: vectors at 8 and 70h
	out 0x20, al
	out 0xa0, al
	mov al, 8
	out 0x21, al
	mov al, 0x70
	out 0xa1, al
	mov al, 4
	out 0x21, al
	mov al, 2
	out 0xa1, al
	mov al, 1
	out 0x21, al
	out 0xa1, al
	mov al, 0xfb			; the second one's
	out 0x21, al
	mov al, 0xdf			; IRQ 13
	out 0xa1, al
	mov word [0x75 * 4], on_ferr
	mov word [0x75 * 4 + 2], 0
	mov eax, cr0
	and eax, ~0x20
	mov cr0, eax
	mov word [ferrs], 0
	fninit
	mov word [0x5000], 0x37b
	fldcw [0x5000]
	fldz
	fld1
	sti
	fdiv st0, st1
	nop
	cmp word [ferrs], 0
	check e
.waits:
	fwait
	cmp word [ferrs], 1
	check e
	cmp word [frame_ip], .waits
	check e
	fdiv st0, st1
.waits2:
	fld1
	cmp word [ferrs], 2
	check e
	cmp word [frame_ip], .waits2
	check e
	cli
	mov eax, cr0
	or eax, 0x20
	mov cr0, eax
	; ---- registers of the system
	smsw ax
	mov ebx, cr0
	cmp ax, bx
	check e
	mov eax, 1
	mov dr0, eax
	mov ebx, dr0
	cmp eax, ebx
	check e
	mov ecx, 0x10
	rdmsr
	wrmsr
	mov ebp, 1 << 31
	faults 13, mov cr4, ebp
	success

moved_ud:
	mov word [seen], 0x66
	add sp, 6
	push word 2
	popf
	jmp after_moved
on_int:
	pushf
	pop word [in_handler]
	and word [in_handler], 0x300
	iret
on_ferr:
	push ax
	push bp
	mov bp, sp
	mov ax, [bp + 4]
	mov [frame_ip], ax
	inc word [ferrs]
	out 0xf0, al
	fnclex
	mov al, 0x20
	out 0xa0, al
	out 0x20, al
	pop bp
	pop ax
	iret
on_step:
	inc word [steps]
	iret
align 8
stubs:
%assign n 0
%rep 32
	align 8
	push word n
	jmp near caught
%assign n n + 1
%endrep
caught:
	pop word [cs:seen]
	pop word [cs:frame_ip]
	pop word [cs:frame_cs]
	pop word [cs:frame_flags]
	mov [cs:frame_sp], sp
	mov sp, 0x7000
	push ax
	xor ax, ax
	mov ds, ax
	pop ax
	jmp [cs:resume]
failed:
	failure_code
gdt:	dq 0, 0x00cf92000000ffff
gdt_pointer:
	dw 15
	dd gdt
moved:	dw 0x7f
	dd 0x6000
usual:	dw 0x3ff
	dd 0
seen:	dw 0
resume:	dw 0
frame_ip: dw 0
frame_cs: dw 0
frame_flags: dw 0
frame_sp: dw 0
in_handler: dw 0
steps:	dw 0
ferrs:	dw 0
