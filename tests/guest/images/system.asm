; SPDX-License-Identifier: GPL-2.0-or-later
; system.asm: 64-bit mode, ring 0: gates and error codes, stacks of the IST, double faults, single step and
; debug registers, interrupt shadows, NMI, SMEP and SMAP, accessed and dirty bits, interrupted strings,
; reserved bits. Spec: SDM vol. 3, chapters 2, 4, 5, 6, 17; vol. 2, IRET, MOV, STI.
%include "common.inc"
bits 16
org 0x7c00
CODE equ 0x08
DATA equ 0x10
TSS equ 0x18
PML4 equ 0x20000
PDPT equ 0x21000
PD equ 0x22000
PT equ 0x26000				; the 2 MiB at WINDOW, in 4 KiB pages
WINDOW equ 0x600000
STACK0 equ 0x1f000
IST1 equ 0x1e008			; not aligned on purpose
IST2 equ 0x1d000
APIC equ 0xfee00000
IDT equ 0x10000
start:
	cli
	xor ax, ax
	mov ds, ax
	mov ss, ax
	mov sp, 0x7c00
	map_4g 0x83
	mov dword [es:0x2000 + (WINDOW >> 21) * 8], PT | 7
	enter_long 0x628, 0x900, long_mode ; DE, PAE, OSFXSR, OSXMMEXCPT; LME, NXE

bits 64
default abs
; What follows must raise vector %1 with error code %2 (-1: has none) at its own address.
%macro faults 3+
	mov qword [resume], %%after
	mov qword [seen], -1
%%here:
	%3
	jmp not_reached
%%after:
	cmp qword [seen], %1
	check e
	cmp qword [code], %2
	check e
	mov rax, %%here
	cmp [frame_rip], rax
	check e
%endmacro
; Stubs: 8, 10..14 and 17 come with an error code.
%macro stub 1
on_%1:
%if (%1 == 8) || (%1 >= 10 && %1 <= 14) || (%1 == 17)
	pop qword [code]
%else
	mov qword [code], -1
%endif
	mov qword [seen], %1
	jmp on_fault
%endmacro

long_mode:
	mov ax, DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov rsp, STACK0
	say 's', 'y', 's', 't', 'e', 'm', ' '
	mov rdi, IDT
	mov ecx, 256 * 2
	xor eax, eax
	cld
	rep stosq
	gate 1, on_1
	gate 6, on_6
	gate 8, on_8, 2
	gate 10, on_10
	gate 11, on_11
	gate 12, on_12
	gate 13, on_13
	gate 14, on_14
	lidt [idt_pointer]
	mov rax, tss
	mov [gdt + TSS + 2], ax
	shr rax, 16
	mov [gdt + TSS + 4], al
	mov ax, TSS
	ltr ax

	; ---- gates and error codes
	mov rsp, STACK0 - 4		; the frame gets aligned
	faults 6, -1, ud2
	cmp qword [frame_rsp], STACK0 - 4
	check e
	cmp qword [handler_rsp], STACK0 - 16 - 40
	check e
	test dword [frame_flags], 1 << 16 ; RF: a fault
	check nz
	gate 0x50, on_6, 0, 0x8f
	mov qword [resume], .after_int
	int 0x50
.int_next:
	jmp not_reached
.after_int:
	cmp qword [frame_rip], .int_next
	check e
	test dword [frame_flags], 1 << 16
	check z
	faults 13, 0x51 * 8 + 2, int 0x51 ; an empty gate has no right type
	mov byte [IDT + 0x52 * 16 + 5], 0x0e
	faults 11, 0x52 * 8 + 2, int 0x52
	mov byte [IDT + 0x52 * 16 + 5], 0x85 ; a task gate
	faults 13, 0x52 * 8 + 2, int 0x52
	faults 13, 0x90 * 8 + 2, int 0x90 ; beyond the limit
	gate 0x53, on_6
	mov word [IDT + 0x53 * 16 + 2], DATA
	faults 13, DATA, int 0x53
	mov word [IDT + 0x53 * 16 + 2], 0
	faults 13, 0, int 0x53
	mov ax, 0x123
	faults 13, 0x120, mov ds, ax
	mov ax, 0x14			; in a local table that is not there
	faults 13, 0x14, mov fs, ax
	mov ax, 0x11			; RPL 1: not this stack's
	faults 13, 0x10, mov ss, ax
	mov ax, 3			; null, but not RPL = CPL
	faults 13, 0, mov ss, ax
	xor eax, eax
	mov ss, ax			; null is a stack here
	push rax
	pop rax
	mov ax, DATA
	mov ss, ax
	mov ax, TSS			; busy
	faults 13, TSS, ltr ax
	mov rbp, 0x0000900000000000
	faults 12, 0, mov rax, [rbp]
	mov rbx, rbp
	faults 13, 0, mov rax, [rbx]

	; ---- IST: its own stack, aligned
	gate 0x54, on_6, 1
	mov qword [resume], .after_ist
	int 0x54
.after_ist:
	cmp qword [handler_rsp], (IST1 & ~15) - 40
	check e
	cmp qword [frame_rsp], STACK0
	check e

	; ---- a fault that cannot be delivered is a double fault, on its own stack
	mov byte [IDT + 13 * 16 + 5], 0x0e ; #GP: not present
	mov ax, 0x123
	faults 8, 0, mov ds, ax
	cmp qword [handler_rsp], IST2 - 40 ; the code is popped
	check e
	mov byte [IDT + 13 * 16 + 5], 0x8e
	; #UD is benign: a #NP while delivering it is just that, with EXT
	mov byte [IDT + 6 * 16 + 5], 0x0e
	faults 11, 6 * 8 + 3, ud2
	mov byte [IDT + 6 * 16 + 5], 0x8e

	; ---- IRET
	push qword DATA
	push qword STACK0
	push qword 2
	push qword CODE
	mov rax, 0x0000900000000000
	push rax
	faults 13, 0, iretq		; to nowhere
	push qword DATA
	push qword STACK0
	push qword 2
	push qword 0
	push qword .nowhere
	faults 13, 0, iretq
.nowhere:
	push qword DATA
	push qword STACK0
	push qword 0x4002		; NT
	popfq
	faults 13, 0, iretq
	push qword 2
	popfq

	; ---- reserved bits
	mov rax, cr0
	bts rax, 32
	faults 13, 0, mov cr0, rax
	mov rax, cr0
	and rax, ~1			; PG without PE
	faults 13, 0, mov cr0, rax
	mov rax, cr4
	and rax, ~0x20			; PAE in long mode
	faults 13, 0, mov cr4, rax
	mov rax, cr4
	bts rax, 31
	faults 13, 0, mov cr4, rax
	mov ecx, 0xc0000080
	rdmsr
	or eax, 2
	faults 13, 0, wrmsr
	mov ecx, 0xc0000102
	mov edx, 0x8000
	faults 13, 0, wrmsr
	mov ecx, 0xc0010000		; no such register
	mov ecx, 0x12345678
	faults 13, 0, rdmsr
	faults 6, -1, syscall		; EFER.SCE is clear

	; ---- single step
	mov qword [steps], 0
	gate 1, on_step
	pushfq
	or qword [rsp], 0x100
	popfq
	nop				; a trap after this one
	mov ax, DATA			; and this
	mov ss, ax			; not here: it holds the trap back
	nop				; but here
	pushfq
	and qword [rsp], ~0x100
	popfq				; and, the last time, here
	nop
	cmp qword [steps], 6
	check e
	test qword [frame_dr6], 0x4000	; BS
	check nz
	; each element of a string
	mov qword [steps], 0
	mov rsi, WINDOW2
	mov rdi, WINDOW2 + 64
	mov ecx, 3
	pushfq
	or qword [rsp], 0x100
	popfq
	rep movsb
	pushfq
	and qword [rsp], ~0x100
	popfq
	cmp qword [steps], 3 + 3
	check e

	; ---- debug registers
	gate 1, on_1
	mov rax, .watched
	mov dr0, rax
	mov eax, 0x402			; G0: execution
	mov dr7, rax
	xor eax, eax
	mov dr6, rax
	mov qword [resume], .after_breakpoint
	mov qword [seen], -1
	xor ebx, ebx
	inc ebx
.watched:
	inc ebx
	jmp not_reached
.after_breakpoint:
	cmp ebx, 1			; before the instruction
	check e
	cmp qword [frame_rip], .watched
	check e
	mov rax, dr6
	test al, 1
	check nz
	; RF in the image lets it run
	push qword DATA
	push qword STACK0
	push qword 0x10002
	push qword CODE
	push qword .watched2
	mov rax, .watched2
	mov dr0, rax
	iretq
.watched2:
	inc ebx
	cmp ebx, 2
	check e
	; data: after the access
	mov rax, WINDOW2 + 8
	mov dr1, rax
	mov eax, 0x00d00408		; G1: writes, 4 bytes
	mov dr7, rax
	xor eax, eax
	mov dr6, rax
	mov qword [resume], .after_data
	mov qword [WINDOW2 + 16], 1	; beside it
	mov rax, [WINDOW2 + 8]		; a read
	mov byte [WINDOW2 + 11], 0x77
.data_next:
	jmp not_reached
.after_data:
	cmp byte [WINDOW2 + 11], 0x77
	check e
	cmp qword [frame_rip], .data_next
	check e
	mov rax, dr6
	test al, 2
	check nz
	mov eax, 0x400
	mov dr7, rax
	mov rax, cr4			; DE: DR4 is none
	faults 6, -1, mov rax, dr4

	; ---- pages: accessed and dirty bits, read-only, SMEP, SMAP
	mov qword [PT], WINDOW2 & ~0xfff | 3
	mov qword [PT + 8], WINDOW2 & ~0xfff | 1
	mov qword [PT + 16], WINDOW2 & ~0xfff | 7
	mov rax, 1 << 51
	or rax, WINDOW2 & ~0xfff | 3
	mov [PT + 24], rax
	mov rax, cr3
	mov cr3, rax
	mov al, [WINDOW]
	mov rax, [PT]
	and eax, 0x60
	cmp eax, 0x20
	check e
	mov [WINDOW + 1], al
	mov rax, [PT]
	and eax, 0x60
	cmp eax, 0x60
	check e
	mov al, [WINDOW + 0x1000]
	faults 14, 3, mov [WINDOW + 0x1000], al
	test qword [PT + 8], 0x40	; no dirty bit for a store that faults
	check z
	mov rax, cr2
	cmp rax, WINDOW + 0x1000
	check e
	faults 14, 9, mov al, [WINDOW + 0x3000] ; a reserved bit
	faults 14, 0, mov al, [WINDOW + 0x4ffd]
	; a store that reaches from a good page into a bad one does nothing
	mov dword [WINDOW + 0xffc], 0x11223344
	faults 14, 3, mov [WINDOW + 0xffe], ebx
	cmp dword [WINDOW + 0xffc], 0x11223344
	check e
	mov rax, cr2
	cmp rax, WINDOW + 0x1000
	check e
	; WP off: supervisors write anywhere
	mov rax, cr0
	btr rax, 16
	mov cr0, rax
	mov [WINDOW + 0x1000], al
	bts rax, 16
	mov cr0, rax
	faults 14, 3, mov [WINDOW + 0x1000], al
	mov eax, 7
	xor ecx, ecx
	cpuid
	mov r8d, ebx
	bt r8d, 7			; SMEP
	jnc .no_smep
	mov byte [WINDOW + 0x2000], 0xc3
	mov rax, WINDOW + 0x2000
	call rax
	mov rax, cr4
	bts rax, 20
	mov cr4, rax
	mov rax, WINDOW + 0x2000
	mov qword [resume], .after_smep
	call rax
	jmp not_reached
.after_smep:
	cmp qword [code], 0x11
	check e
.no_smep:
	bt r8d, 20			; SMAP
	jnc .no_smap
	mov al, [WINDOW + 0x2000]
	mov rax, cr4
	bts rax, 21
	mov cr4, rax
	faults 14, 1, mov al, [WINDOW + 0x2000]
	stac
	mov al, [WINDOW + 0x2000]
	clac
	faults 14, 3, mov [WINDOW + 0x2000], al
	stac
	mov [WINDOW + 0x2000], al
	clac
.no_smap:

	; ---- a string stopped by a fault, and gone on with
	mov rdi, WINDOW + 0xff0
	mov ecx, 0x20
	mov al, 0x5a
	faults 14, 3, rep stosb
	cmp rdi, WINDOW + 0x1000
	check e
	cmp ecx, 0x10
	check e
	or qword [PT + 8], 2
	invlpg [WINDOW + 0x1000]
	mov al, 0x5a
	rep stosb
	cmp rdi, WINDOW + 0x1010
	check e
	; overlapping moves repeat the pattern
	mov dword [WINDOW2], 0x04030201
	mov rsi, WINDOW2
	mov rdi, WINDOW2 + 3
	mov ecx, 100
	rep movsb
	cmp word [WINDOW2 + 99], 0x0201
	check e
	std
	mov rsi, WINDOW2 + 7
	mov rdi, WINDOW2 + 15
	mov ecx, 1
	rep movsq
	cld
	cmp rdi, WINDOW2 + 7
	check e

	; ---- interrupts through the local APIC
	mov al, 0xff
	out 0x21, al
	out 0xa1, al
	gate 0x40, on_irq
	gate 0xff, on_spurious
	gate 2, on_nmi
	mov rbx, APIC
	mov dword [rbx + 0xf0], 0x1ff
	mov qword [counter], 0
	mov dword [rbx + 0x300], 0x44040 ; to myself: waits, as IF is clear
	mov ecx, 100
.wait:
	pause
	loop .wait
	cmp qword [irqs], 0
	check e
	sti
	inc qword [counter]		; in the shadow
	inc qword [counter]		; after the interrupt
	cli
	cmp qword [irqs], 1
	check e
	cmp qword [counter_then], 1
	check e
	mov dword [rbx + 0x300], 0x44040
	sti				; and hlt in the shadow wakes up
	hlt
	cli
	cmp qword [irqs], 2
	check e
	; mov ss holds interrupts back once
	mov qword [counter], 0
	mov dword [rbx + 0x300], 0x44040
	mov ecx, 100
.wait2:
	pause
	loop .wait2
	mov ax, DATA
	sti
	mov ss, ax
	inc qword [counter]
	inc qword [counter]
	cli
	cmp qword [irqs], 3
	check e
	; NMI comes with IF clear; a second one waits for the iret of the first
	mov dword [rbx + 0x300], 0x4400
	mov ecx, 1000
.wait3:
	pause
	cmp qword [nmis], 2
	loopne .wait3
	cmp qword [nmis], 2
	check e
	cmp qword [nested], 0
	check e
	; TPR holds it back, and lets it go
	mov rax, 5
	mov cr8, rax
	mov dword [rbx + 0x300], 0x44040
	sti
	mov ecx, 100
.wait4:
	pause
	loop .wait4
	cmp qword [irqs], 3
	check e
	xor eax, eax
	mov cr8, rax
	mov ecx, 1000
.wait5:
	pause
	cmp qword [irqs], 4
	loopne .wait5
	cli
	cmp qword [irqs], 4
	check e
	success

not_reached:
	mov ax, 0xdead
	jmp failed
	stub 1
	stub 6
	stub 8
	stub 10
	stub 11
	stub 12
	stub 13
	stub 14
on_fault:
	mov [handler_rsp], rsp
	push rax
	mov rax, [rsp + 8]
	mov [frame_rip], rax
	mov rax, [rsp + 24]
	mov [frame_flags], rax
	mov rax, [rsp + 32]
	mov [frame_rsp], rax
	pop rax
	mov rsp, STACK0
	jmp [resume]
on_step:
	push rax
	mov rax, dr6
	mov [frame_dr6], rax
	inc qword [steps]
	pop rax
	iretq
on_irq:
	push rax
	inc qword [irqs]
	mov rax, [counter]
	mov [counter_then], rax
	mov eax, APIC
	mov dword [rax + 0xb0], 0
	pop rax
on_spurious:
	iretq
on_nmi:
	push rax
	inc qword [nmis]
	inc qword [inside]
	cmp qword [inside], 1
	je .first
	inc qword [nested]
.first:
	cmp qword [nmis], 1
	jne .done
	mov eax, APIC
	mov dword [rax + 0x300], 0x4400
	mov eax, 100
.spin:
	pause
	dec eax
	jnz .spin
.done:
	dec qword [inside]
	pop rax
	iretq
failed:
	failure_code

align 8
gdt:
	dq 0
	dq 0x00af9a000000ffff		; CODE
	dq 0x00cf92000000ffff		; DATA
	dq 0x0000890000000067, 0	; TSS, base filled in
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dd gdt
idt_pointer:
	dw 0x60 * 16 - 1
	dq IDT
seen:	dq 0
code:	dq 0
resume:	dq 0
steps:	dq 0
irqs:	dq 0
nmis:	dq 0
nested:	dq 0
inside:	dq 0
counter: dq 0
counter_then: dq 0
handler_rsp: dq 0
frame_rip: dq 0
frame_flags: dq 0
frame_rsp: dq 0
frame_dr6: dq 0
tss:
	dd 0
	dq STACK0, 0, 0, 0
	dq IST1, IST2
	times 13 dd 0
WINDOW2 equ 0x30000
