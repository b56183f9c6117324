; SPDX-License-Identifier: GPL-2.0-or-later
; vm86.asm: virtual-8086 mode: what IOPL and VME let through, how interrupts leave it and IRET enters it, task
; switches of all kinds with what goes wrong in them, 16-bit protected mode, SYSENTER and SYSEXIT.
; Spec: SDM vol. 3, chapters 7 and 20; vol. 2, CLI, STI, PUSHF, POPF, IRET, INT.
%include "flat.inc"
VSTACK equ 0x7000
VIF equ 1 << 19
VIP equ 1 << 20
VM equ 1 << 17
IOPL equ 3 << 12
TSS2 equ FREE
TSS16 equ FREE + 8
TESTED equ FREE + 16
HANDLERS equ FREE + 24			; of vectors 10 to 12
	start_flat "vm86 "
	; the TSS with room for both bitmaps
	mov word [gdt + TSS], 0x68 + 32 + 32
	mov byte [gdt + TSS + 5], 0x89
	mov word [tss + 0x66], 0x68 + 32
	mov ax, TSS
	ltr ax
	mov edi, tss + 0x68
	mov ecx, 8
	xor eax, eax
	rep stosd			; all interrupts redirected
	dec eax
	mov ecx, 9
	rep stosd			; all ports closed
	; INT 21h of the 8086 program
	mov dword [0x21 * 4], v_int21

; Virtual-8086 code between the two, with EFLAGS %1; ends with HLT, which is always #GP.
%macro v86 1
%push
	mov dword [resume], %$after
	mov dword [seen], -2
	push dword 0			; GS FS DS ES SS
	push dword 0
	push dword 0
	push dword 0
	push dword 0
	push dword VSTACK
	push dword (%1) | VM | 2
	push dword 0
	push dword %$code
	iretd
bits 16
%$code:
%endmacro
%macro v86_end 0-2 13, 0		; how it ends: vector, error code
%$end:
	hlt
bits 32
%$after:
	expect %1, %2, %$end
%pop
%endmacro
; Ends with this instruction, which faults.
%macro v86_faults 3+
%$end:
	%3
	hlt
bits 32
%$after:
	expect %1, %2, %$end
%pop
%endmacro
%macro flags_are 2			; of what was saved: mask, value
	mov eax, [frame_flags]
	and eax, %1
	cmp eax, %2
	check e
%endmacro

	; ---- IOPL 3: all but privileged instructions
	v86 IOPL
	mov ax, 0x123
	mov ds, ax
	mov bx, ds
	sti
	pushf
	pop cx
	cli
	pushf
	pop dx
	v86_end
	cmp cx, 0x3202
	check e
	cmp dx, 0x3002
	check e
	cmp bx, 0x123
	check e
	flags_are VM | IOPL | 0x200, VM | IOPL
	cmp dword [frame_esp], VSTACK
	check e
	same [frame_ds], 0		; the handler's own are null; the program's are in the frame
	v86 IOPL
	push word 0x3202
	popf
	pushfd
	pop ecx
	v86_end
	same ecx, 0x3202		; VM and RF do not show
	v86 IOPL
	v86_faults 13, 0x21 * 8 + 2, int 0x21 ; to the IDT, which has no such gate
	v86 IOPL
	v86_faults 13, 0, mov eax, cr0
	v86 IOPL
	v86_faults 13, 0, lgdt [gdt_pointer]
	v86 IOPL
	v86_faults 13, 0, clts
	v86 IOPL
	v86_faults 13, 0, lmsw ax
	v86 IOPL
	v86_faults 6, -1, lldt ax
	v86 IOPL
	v86_faults 6, -1, sldt ax
	v86 IOPL
	v86_faults 6, -1, lar ax, ax
	v86 IOPL
	v86_faults 6, -1, arpl ax, ax
	v86 IOPL
	v86_faults 6, -1, verr ax
	v86 IOPL
	smsw ax
	v86_end
	v86 IOPL			; ports go by the bitmap, not IOPL
	v86_faults 13, 0, in al, 0x80
	mov byte [tss + 0x68 + 32 + 16], 0xfe
	v86 0
	in al, 0x80
	v86_faults 13, 0, in al, 0x81
	; limits: 64 KiB everywhere
	v86 IOPL
	mov ebx, 0x10000
	v86_faults 13, 0, mov al, [ebx]
	v86 IOPL
	mov bx, 0xffff
	v86_faults 13, 0, mov ax, [bx]
	v86 IOPL
	mov bp, 0xffff
	v86_faults 12, 0, mov ax, [bp]
	v86 IOPL
	mov sp, 1
	v86_faults 12, 0, push ax
	v86 IOPL			; SP wraps
	mov sp, 0
	push ax
	mov cx, sp
	v86_end
	cmp cx, 0xfffe
	check e
	; far returns and jumps as in real mode
	v86 IOPL
	push word 0x700
	push word v_far - 0x7000
	retf
v_far:
	mov cx, cs
	jmp 0:v_far2
v_far2:
	v86_end
	cmp cx, 0x700
	check e
	v86 IOPL
	pushf
	push word 0x700
	push word v_iret - 0x7000
	iret
v_iret:
	mov cx, cs
	jmp 0:v_iret2
v_iret2:
	v86_end
	cmp cx, 0x700
	check e

	; ---- IOPL 0, without VME
	v86 0
	v86_faults 13, 0, cli
	v86 0
	v86_faults 13, 0, sti
	v86 0
	v86_faults 13, 0, pushf
	v86 0
	v86_faults 13, 0, popf
	v86 0
	v86_faults 13, 0, int 0x21
	v86 0
	v86_faults 13, 0, iret
	mov byte [IDT + 3 * 8 + 5], 0xee
	v86 0
	int3				; not sensitive to IOPL
bits 32
%$after:
	same [seen], 3
%pop

	; ---- VME
	mov eax, 1
	cpuid
	bt edx, 1
	jnc .no_vme
	mov eax, cr4
	or eax, 1
	mov cr4, eax
	v86 0
	sti
	v86_end
	flags_are VIF | 0x200, VIF
	v86 VIF
	cli
	v86_end
	flags_are VIF | 0x200, 0
	v86 VIF
	pushf				; VIF in the place of IF, IOPL 3
	pop cx
	v86_end
	cmp cx, 0x3202
	check e
	v86 0
	push word 0x202
	popf
	v86_end
	flags_are VIF | 0x200, VIF
	v86 VIF
	push word 2
	popf
	v86_end
	flags_are VIF | 0x200, 0
	v86 VIP
	v86_faults 13, 0, sti
	v86 VIP
	push word 0x202
	v86_faults 13, 0, popf
	v86 0
	push word 0x102			; TF
	v86_faults 13, 0, popf
	v86 0
	v86_faults 13, 0, pushfd	; only the 16-bit forms
	v86 0
	v86_faults 13, 0, popfd
	v86 VIF
	mov ecx, 0
	int 0x21			; redirected to the 8086 program
	mov bx, 0x77
	v86_end
	same ecx, 0x3202		; FLAGS in its frame
	same edx, 0			; and VIF in the handler
	cmp bx, 0x77
	check e
	flags_are VIF, VIF		; IRET took it from the frame
	v86 IOPL
	int 0x21			; with IOPL 3, IF itself
	v86_end
	same ecx, 0x3002
	mov byte [tss + 0x68 + 0x21 / 8], 1 << (0x21 & 7)
	v86 0				; not redirected
	v86_faults 13, 0, int 0x21
	v86 IOPL
	v86_faults 13, 0x21 * 8 + 2, int 0x21
	mov eax, cr4
	and eax, ~1
	mov cr4, eax
	; PVI: the same for ring 3
	mov eax, cr4
	or eax, 2
	mov cr4, eax
	mov dword [user_flags], 2
	user_runs sti
	flags_are VIF | 0x200, VIF
	mov dword [user_flags], 2 | VIF
	user_runs cli
	flags_are VIF | 0x200, 0
	mov dword [user_flags], 2 | VIP
	user_faults 13, 0, sti
	mov dword [user_flags], 2
	mov eax, cr4
	and eax, ~2
	mov cr4, eax
	user_faults 13, 0, sti
.no_vme:

	; ---- an interrupt needs a handler of ring 0
	mov byte [IDT + 0x40 * 8 + 5], 0xee
	mov eax, stubs
	mov [IDT + 0x40 * 8], ax
	mov word [IDT + 0x40 * 8 + 2], TESTED
	descriptor TESTED, 0xffff, 0x00cffa00 ; ring 3
	v86 IOPL
	v86_faults 13, TESTED, int 0x40
	descriptor TESTED, 0xffff, 0x00cf9e00 ; conforming: would run in ring 3
	v86 IOPL
	v86_faults 13, TESTED, int 0x40

	; ---- tasks: a 32-bit task's segments go wrong one by one, in the new task
	mov eax, tss2
	mov [gdt + TSS2], eax
	mov dword [gdt + TSS2], 0x67
	mov [gdt + TSS2 + 2], ax
	shr eax, 16
	mov ah, 0x89
	mov [gdt + TSS2 + 4], ax
	mov edi, tss2
	mov ecx, 26
	xor eax, eax
	rep stosd
%macro segments_of_task 2		; field, value
	mov word [tss2 + 0x48], DATA
	mov word [tss2 + 0x4c], CODE
	mov word [tss2 + 0x50], DATA
	mov word [tss2 + 0x54], DATA
	mov word [tss2 + 0x58], 0
	mov word [tss2 + 0x5c], 0
	mov word [tss2 + 0x60], 0
	mov dword [tss2 + 0x20], in_task
	mov dword [tss2 + 0x24], 2
	mov dword [tss2 + 0x38], STACK0 - 0x800
	mov dword [%1 + tss2], %2
%endmacro
; The new task raises this at its first instruction, on its own stack.
%macro task 4				; field, value, vector, error code
	segments_of_task %1, %2
	mov dword [resume], %%after
	mov dword [seen], -2
	jmp TSS2:0
	jmp %%back
%%after:
	str cx
	cmp cx, TSS2
	check e
	expect %3, %4, in_task
	jmp TSS:0
%%back:
%endmacro
; … or has no stack to raise it on, so a third task handles it.
%macro bad_task 4
	segments_of_task %1, %2
	mov dword [seen], -2
	jmp TSS2:0
	expect %3, %4, in_task
%endmacro
	task 0x24, 2, 6, -1		; nothing wrong
	task 0x54, TSS, 10, TSS
	task 0x58, UDATA & ~3, 6, -1	; less privileged data is fine
	task 0x54, GDT_END, 10, GDT_END
	descriptor TESTED, 0xffff, 0x00cf1200
	task 0x54, TESTED, 11, TESTED
	descriptor TESTED, 0x0fff, 0x00409a00
	task 0x4c, TESTED, 13, 0	; EIP beyond the limit
%macro handler 1			; vector %1 by a task of its own
	mov edi, tss_%1
	mov ecx, 26
	xor eax, eax
	rep stosd
	mov dword [tss_%1 + 0x20], on_%1
	mov dword [tss_%1 + 0x24], 2
	mov dword [tss_%1 + 0x38], STACK0 - 0x1000
	mov word [tss_%1 + 0x48], DATA
	mov word [tss_%1 + 0x4c], CODE
	mov word [tss_%1 + 0x50], DATA
	mov word [tss_%1 + 0x54], DATA
	mov eax, tss_%1
	mov dword [gdt + HANDLERS + (%1 - 10) * 8], 0x67
	mov [gdt + HANDLERS + (%1 - 10) * 8 + 2], ax
	shr eax, 16
	mov ah, 0x89
	mov [gdt + HANDLERS + (%1 - 10) * 8 + 4], ax
	mov word [IDT + %1 * 8 + 2], HANDLERS + (%1 - 10) * 8
	mov word [IDT + %1 * 8 + 4], 0x8500
%endmacro
	handler 10
	handler 11
	handler 12
	bad_task 0x48, GDT_END, 10, GDT_END
	bad_task 0x48, DATA | 4, 10, DATA | 4
	bad_task 0x4c, 0, 10, 0
	bad_task 0x4c, DATA, 10, DATA
	bad_task 0x4c, UCODE & ~3, 10, UCODE & ~3
	bad_task 0x4c, GDT_END, 10, GDT_END
	bad_task 0x50, 0, 10, 0
	bad_task 0x50, UDATA & ~3, 10, UDATA & ~3
	bad_task 0x50, CODE, 10, CODE
	bad_task 0x60, DATA, 10, DATA	; LDT
	bad_task 0x60, GDT_END, 10, GDT_END
	descriptor TESTED, 0xffff, 0x00cf1200
	bad_task 0x50, TESTED, 12, TESTED
	bad_task 0x54, TESTED, 11, TESTED
	descriptor TESTED, 0xffff, 0x00cf1a00
	bad_task 0x4c, TESTED, 11, TESTED
	; the T bit
	mov byte [tss2 + 0x64], 1
	task 0x24, 2, 1, -1
	mov eax, dr6
	test eax, 0x8000
	check nz
	mov byte [tss2 + 0x64], 0
	; into virtual-8086 mode by a task
	mov dword [tss2 + 0x24], VM | 2
	mov dword [tss2 + 0x20], v_task
	mov dword [tss2 + 0x38], VSTACK
	mov dword [tss2 + 4], STACK0 - 0x400
	mov dword [tss2 + 8], DATA
	mov dword [tss2 + 0x48], 0x111
	mov dword [tss2 + 0x4c], 0
	mov dword [tss2 + 0x50], 0
	mov dword [tss2 + 0x54], 0x222
	mov dword [resume], from_v86
	jmp TSS2:0
	jmp returned_v86
bits 16
v_task:
	mov cx, es
	mov bx, ds
	hlt
bits 32
from_v86:
	expect 13, 0, v_task + 4
	cmp cx, 0x111
	check e
	cmp bx, 0x222
	check e
	flags_are VM, VM
	jmp TSS:0
returned_v86:
	; ---- a 16-bit task
	mov eax, tss16
	mov dword [gdt + TSS16], 0x2b
	mov [gdt + TSS16 + 2], ax
	shr eax, 16
	mov ah, 0x81
	mov [gdt + TSS16 + 4], ax
	mov word [tss16 + 0x0e], in_task16
	mov word [tss16 + 0x10], 2
	mov word [tss16 + 0x12], 0x1234	; AX
	mov word [tss16 + 0x1a], 0xf000 ; SP
	mov word [tss16 + 0x22], DATA
	mov word [tss16 + 0x24], CODE16
	mov word [tss16 + 0x26], DATA
	mov word [tss16 + 0x28], DATA
	mov word [tss16 + 0x2a], 0
	mov esi, 0x77777777
	call TSS16:0
	same esi, 0x77777777
	same [SCRATCH], 0x1234
	cmp word [tss16], TSS		; back link
	check e
	test byte [gdt + TSS16 + 5], 2
	check z

	; ---- 16-bit protected mode: SP and IP are 16 bits wide
	mov [saved], esp
	jmp CODE16:.code16
bits 16
.code16:
	mov ax, DATA16
	mov ss, ax
	mov esp, 0x12340000
	push ax				; wraps to FFFE
	mov ecx, esp
	pop ax
	mov edx, esp
	call .near16
.near16:
	pop bx
	mov ax, DATA
	mov ss, ax
	mov esp, [saved]
	jmp dword CODE:.code32
bits 32
.code32:
	same ecx, 0x1234fffe
	same edx, 0x12340000
	cmp bx, .near16
	check e

	; ---- SYSENTER and SYSEXIT
	mov ecx, 0x174
	xor edx, edx
	mov eax, CODE
	wrmsr
	mov ecx, 0x175
	mov eax, STACK0 - 0x100
	wrmsr
	mov ecx, 0x176
	mov eax, on_sysenter
	wrmsr
	mov dword [user_flags], 0x202
	mov dword [resume], .exited
	to_user .enter
.enter:
	sysenter
	ud2
.exited:
	same [seen], 6
	same [frame_eip], sysexit_target
	same [frame_cs], CODE + 16 + 3
	same [frame_ss], CODE + 24 + 3
	same [frame_esp], STACK3 - 64
	same [SCRATCH], STACK0 - 0x100
	same [SCRATCH + 4], 2		; IF was cleared
	mov ecx, 0x174
	xor eax, eax
	wrmsr
	user_faults 13, 0, sysenter
	faults 13, 0, sysexit
	success

bits 16
v_int21:
	push bp
	mov bp, sp
	mov cx, [bp + 6]
	movzx ecx, cx
	pushf
	pop dx
	and edx, 0x200
	pop bp
	iret
in_task16:
	mov [dword SCRATCH], eax
	and dword [dword SCRATCH], 0xffff
	iret
bits 32
in_task:
	ud2
%macro handler_code 1
on_%1:
	pop dword [code]
	mov dword [seen], %1
	mov eax, [tss2 + 0x20]
	mov [frame_eip], eax
	and byte [gdt + TSS2 + 5], ~2
	jmp TSS:0
	jmp on_%1			; the next time
%endmacro
	handler_code 10
	handler_code 11
	handler_code 12
on_sysenter:
	mov [ss:SCRATCH], esp
	pushfd
	pop dword [ss:SCRATCH + 4]
	mov edx, sysexit_target
	mov ecx, STACK3 - 64
	sysexit
sysexit_target:
	ud2
align 16
tss16:	times 0x2c db 0
align 4
saved:	dd 0
align 16
tss2:	times 26 dd 0
tss_10:	times 26 dd 0
tss_11:	times 26 dd 0
tss_12:	times 26 dd 0
	frame
	times 80 db 0			; bitmaps
