; SPDX-License-Identifier: GPL-2.0-or-later
; long.asm: 64-bit mode: page tables, syscall and sysret, NX, the local APIC's timer, vectors and
; the FPU, code that changes itself. Spec: SDM vol. 3, chapters 4, 6, 10 and 11.
%include "common.inc"
bits 16
org 0x7c00
CODE equ 0x08
DATA equ 0x10
UDATA equ 0x1b				; the order sysret wants: user data, then user code
UCODE equ 0x23
TSS equ 0x28
PML4 equ 0x20000
PDPT equ 0x21000
PD equ 0x22000
IDT equ 0x10000
STACK0 equ 0x1f000
STACK3 equ 0x1e000
APIC equ 0xfee00000
start:
	cli
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov sp, 0x7c00
	map_4g 0x87
	enter_long 0x620, 0x901, long_mode ; PAE, OSFXSR, OSXMMEXCPT; SCE, LME, NXE

bits 64
default abs
long_mode:
	mov ax, DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov rsp, STACK0
	say 'l', 'o', 'n', 'g', ' '
	gate 0x0d, on_gp
	gate 0x0e, on_pf
	gate 0x40, on_timer
	lidt [idt_pointer]
	mov ecx, 0xc0000080
	rdmsr
	test eax, 0x400			; LMA
	check nz

	; 64-bit arithmetic
	mov rax, 0x123456789abcdef0
	mov rbx, 0xfedcba9876543210
	mul rbx
	mov rcx, 0x121fa00ad77d7422
	cmp rdx, rcx
	check e
	mov rcx, 0x236d88fe5618cf00
	cmp rax, rcx
	check e
	mov eax, -1			; a 32-bit write clears the upper half
	shr rax, 32
	check z

%ifndef PLAIN
	; packed floats, and a double that must be exact
	mov eax, 3
	cvtsi2sd xmm0, eax
	sqrtsd xmm0, xmm0
	movq rax, xmm0
	mov rcx, 0x3ffbb67ae8584caa	; sqrt(3), correctly rounded
	cmp rax, rcx
	check e
	movups xmm1, [ones]
	addps xmm1, xmm1
	mulps xmm1, xmm1
	movd eax, xmm1
	cmp eax, 0x40800000		; 4.0
	check e
	fninit				; RESET leaves single precision
	fldpi
	fldpi
	fmulp
	fstp qword [scratch]
	mov rcx, 0x4023bd3cc9be45de	; pi squared, from the 64-bit pi
	cmp [scratch], rcx
	check e
%endif

	; not canonical: #GP; absent: #PF with the full address
	mov qword [resume], .after_canonical
	mov rbx, 0x0000800000000000
	mov rax, [rbx]
	jmp not_reached
.after_canonical:
	cmp qword [seen], 0x0d
	check e
	mov qword [resume], .after_absent
	mov rbx, 0x00007fff12345678
	mov [rbx], rax
	jmp not_reached
.after_absent:
	cmp qword [seen], 0x0e
	check e
	cmp qword [code], 2		; write, not present
	check e
	mov rax, cr2
	cmp rax, rbx
	check e
	; no-execute
	mov rax, 1 << 63
	or [PD + 8 * 8], rax		; 16 MiB
	mov byte [16 << 20], 0xc3
	invlpg [16 << 20]
	mov qword [resume], .after_nx
	mov rax, 16 << 20
	call rax
	jmp not_reached
.after_nx:
	cmp qword [code], 0x11		; present, instruction fetch
	check e
	; the same address executes once the bit is gone
	mov rax, 1 << 63
	not rax
	and [PD + 8 * 8], rax
	invlpg [16 << 20]
	mov rax, 16 << 20
	call rax

	; code that changes itself, in the same page and a hundred times
	xor ecx, ecx
	xor esi, esi
.modify:
	mov [.immediate + 1], ecx
.immediate:
	mov eax, 0x55555555
	cmp eax, ecx
	check e
	add esi, eax
	inc ecx
	cmp ecx, 100
	jb .modify
	cmp esi, 4950
	check e

%ifndef PLAIN
	; ring 3 by sysret, back by syscall
	mov rax, tss
	mov [gdt + TSS + 2], ax
	shr rax, 16
	mov [gdt + TSS + 4], al
	mov ax, TSS
	ltr ax
	mov ecx, 0xc0000081		; STAR
	mov edx, (0x13 << 16) | CODE
	xor eax, eax
	wrmsr
	mov ecx, 0xc0000082		; LSTAR
	mov rax, on_syscall
	xor edx, edx
	wrmsr
	mov ecx, 0xc0000084		; FMASK: IF
	mov eax, 0x200
	wrmsr
	mov rcx, user
	mov r11d, 0x202
	o64 sysret
user:
	mov ax, cs
	cmp ax, UCODE
	check e
	mov ax, ss
	cmp ax, UDATA
	check e
	mov rsp, STACK3
	mov edi, 0x1111
	syscall
	jmp not_reached
on_syscall:
	mov ax, cs
	cmp ax, CODE
	check e
	cmp edi, 0x1111
	check e
	test r11, 0x200			; the user's IF is in r11, ours is masked
	check nz
	pushfq
	pop rax
	test eax, 0x200
	check z
	mov rsp, STACK0
%endif

	; the local APIC's timer, one shot and periodic, wakes hlt
	mov al, 0xff			; the 8259s stay silent
	out 0x21, al
	out 0xa1, al
	mov rbx, APIC
	mov dword [rbx + 0xf0], 0x1ff	; enable, spurious vector 0xff
	mov dword [rbx + 0x3e0], 3	; divide by 16
	mov dword [rbx + 0x320], 0x40
	mov dword [rbx + 0x380], 10000
	sti
	hlt
	cmp qword [ticks], 1
	check e
	mov dword [rbx + 0x320], 0x20040
	mov dword [rbx + 0x380], 10000
.wait:
	hlt
	cmp qword [ticks], 20
	jb .wait
	cli
	success

not_reached:
	mov ax, 0xdead
	jmp failed
on_gp:
	mov qword [seen], 0x0d
	jmp on_fault
on_pf:
	mov qword [seen], 0x0e
on_fault:
	pop qword [code]
	mov rsp, STACK0
	jmp [resume]
on_timer:
	inc qword [ticks]
	push rax
	mov eax, APIC
	mov dword [rax + 0xb0], 0
	pop rax
	iretq
failed:
	failure_code

align 16
ones:	dd 1.0, 1.0, 1.0, 1.0
gdt:
	dq 0
	dq 0x00af9a000000ffff		; CODE
	dq 0x00cf92000000ffff		; DATA
	dq 0x00cff2000000ffff		; UDATA
	dq 0x00affa000000ffff		; UCODE
	dq 0x0000890000000067, 0	; TSS, base filled in
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dd gdt
idt_pointer:
	dw 0x41 * 16 - 1
	dq IDT
seen:	dq 0
code:	dq 0
resume:	dq 0
ticks:	dq 0
scratch: dq 0
tss:
	dd 0
	dq STACK0
	times 23 dd 0
