; SPDX-License-Identifier: GPL-2.0-or-later
; smp.asm: two CPUs in 64-bit mode: INIT and SIPI, IPIs both ways, atomics, code changed under the other's
; feet, TLB shootdown, TSC. Spec: SDM vol. 3, 8.1 to 8.4, 10.6; vol. 2, LOCK.
%include "common.inc"
bits 16
org 0x7c00
CODE equ 0x08
DATA equ 0x10
PML4 equ 0x20000
PDPT equ 0x21000
PD equ 0x22000
PT equ 0x26000
WINDOW equ 0x600000
STACK_A equ 0x1f000
STACK_B equ 0x1d000
APIC equ 0xfee00000
IDT equ 0x10000
ROUNDS equ 20000
SPLITS equ 300
CROSSING equ 0x8ffb
start:
	cli
	xor ax, ax
	mov ds, ax
	mov ss, ax
	mov sp, 0x7c00
	map_4g 0x83
	mov dword [es:0x2000 + (WINDOW >> 21) * 8], PT | 7
	mov dword [es:0x6000], 0x300003
	mov dword [es:0x6000 + 8 * 8], 0x308003
	mov dword [es:0x6000 + 9 * 8], 0x30a003 ; lies elsewhere
	mov word [stack], STACK_A & 0xffff
	jmp both

; The other CPU begins here, in real mode: SIPI vector 8.
	times 0x8000 - 0x7c00 - ($ - $$) db 0x90
other:
	cli
	xor ax, ax
	mov ds, ax
	mov ss, ax
	mov [cs_seen - 0x0000], cs
	mov word [stack], STACK_B & 0xffff
	jmp 0:both
both:
	enter_long 0x620, 0x900, long_mode

bits 64
default abs
; Waits until the condition holds after a cmp, a few seconds at most.
%macro await 3
	mov ecx, 400000000
%%again:
	pause
	cmp %2, %3
	j%1 %%done
	dec ecx
	jnz %%again
	mov ax, 0xbad
	jmp failed
%%done:
%endmacro
%macro ipi 1				; to the CPU whose APIC id is in bits 24..31 of edx
	mov rbx, APIC
	mov [rbx + 0x310], edx
	mov dword [rbx + 0x300], %1
%%sent:
	test dword [rbx + 0x300], 0x1000
	jnz %%sent
%endmacro
long_mode:
	mov ax, DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	movzx esp, word [stack]
	or esp, 0x10000
	mov rbx, APIC
	mov dword [rbx + 0xf0], 0x1ff
	cmp esp, STACK_B
	je second

	say 's', 'm', 'p', ' '
	mov al, 0xff
	out 0x21, al
	out 0xa1, al
	mov rdi, IDT
	mov ecx, 0x80 * 2
	xor eax, eax
	rep stosq
	gate 0x40, on_ipi
	gate 0x41, on_shootdown
	lidt [idt_pointer]
	mov edx, 1 << 24
	ipi 0x4500			; INIT
	ipi 0x4608			; SIPI
	await e, dword [there], 1
	cmp word [cs_seen], 0x800
	check e

	; ---- atomics: none gets lost
	mov dword [go], 1
	call count
	await e, dword [counted], 2
	cmp qword [counter], 2 * ROUNDS
	check e
	cmp qword [counter2], 2 * ROUNDS
	check e
	cmp qword [counter3], 4 * ROUNDS
	check e
	cmp qword [WINDOW + CROSSING], 2 * SPLITS
	check e
	cmp qword [counter16], 2 * ROUNDS
	check e
	cmp qword [counter16 + 8], 4 * ROUNDS
	check e

	; ---- IPIs: one at a time, each answered
	xor esi, esi
.ping:
	mov edx, 1 << 24
	ipi 0x40
	inc esi
	await e, [pings], esi
	cmp esi, 1000
	jb .ping
	cmp dword [wakeups], 1000	; it sleeps in hlt between them
	check be

	; ---- code changed under the other's feet: it must see each version in the end
	mov dword [go], 2
	mov edx, 1 << 24
	ipi 0x40			; it may sleep again
	xor esi, esi
.modify:
	inc esi
	mov [patched + 1], esi		; the immediate of a mov
	mfence
	await e, [seen_version], esi
	cmp esi, 500
	jb .modify
	mov dword [stop], 1

	; ---- a mapping changed: after the shootdown the other sees the new page
	mov dword [0x300000], 0x1111
	mov dword [0x301000], 0x2222
	await e, dword [phase], 3
	xor esi, esi
.shoot:
	inc esi
	mov eax, 0x300003
	test esi, 1
	jz .even
	mov eax, 0x301003
.even:
	mov [PT], rax
	mov edx, 1 << 24
	ipi 0x41
	await e, [shot], esi
	cmp dword [wrong], 0
	check e
	cmp esi, 500
	jb .shoot

	; ---- time: what one has read, the other has passed
	mov dword [go], 4
	await e, dword [phase], 4
	mov esi, 20000
.time:
	lfence
	rdtsc
	shl rdx, 32
	or rax, rdx
	mov rbx, [other_time]
	mov [my_time], rax
	lfence
	rdtsc
	shl rdx, 32
	or rax, rdx
	cmp rax, rbx			; read after the other had written it
	check ae
	dec esi
	jnz .time
	mov dword [go], 5
	await e, dword [phase], 5
	cmp dword [wrong], 0
	check e
	success

count:
	mov ecx, ROUNDS
.next:
	lock inc qword [counter]
	mov eax, 1
	lock xadd [counter2], rax
.swap:
	mov rax, [counter3]
	lea rdx, [rax + 2]
	lock cmpxchg [counter3], rdx
	jne .swap
	dec ecx
	jnz .next
	; across pages, where all others must hold still
	mov ecx, SPLITS
.split:
	lock inc qword [WINDOW + CROSSING]
	dec ecx
	jnz .split
	mov esi, ROUNDS
.wide:
	mov rax, [counter16]
	mov rdx, [counter16 + 8]
.again:
	lea rbx, [rax + 1]
	lea rcx, [rdx + 2]
	lock cmpxchg16b [counter16]
	jne .again
	dec esi
	jnz .wide
	lock inc dword [counted]
	ret

second:
	lidt [idt_pointer]
	mov dword [there], 1
.wait:
	pause
	cmp dword [go], 1
	jne .wait
	call count
.sleep:
	cli
	cmp dword [go], 2
	jae .run
	sti
	hlt
	inc dword [wakeups]
	cmp dword [pings], 1000
	jb .sleep
	sti
.spin:
	pause
	cmp dword [go], 2
	jb .spin
.run:
	cli
patched:
	mov eax, 0
	mov [seen_version], eax
	cmp dword [stop], 0
	je patched
	sti
	mov eax, [WINDOW]
	mov dword [phase], 3
.shootdowns:
	mov eax, [WINDOW]		; keeps it in the TLB
	cmp dword [go], 4
	jb .shootdowns
	cli
	mov dword [phase], 4
.time:
	lfence
	rdtsc
	shl rdx, 32
	or rax, rdx
	mov [other_time], rax
	mov rbx, [my_time]
	lfence
	rdtsc
	shl rdx, 32
	or rax, rdx
	cmp rax, rbx
	jae .fine
	inc dword [wrong]
.fine:
	cmp dword [go], 5
	jb .time
	mov dword [phase], 5
.end:
	hlt
	jmp .end

on_ipi:
	push rax
	lock inc dword [pings]
	mov eax, APIC
	mov dword [rax + 0xb0], 0
	pop rax
	iretq
on_shootdown:
	push rax
	push rcx
	invlpg [WINDOW]
	mov eax, [shot]
	inc eax
	mov ecx, 0x1111
	test eax, 1
	jz .even
	mov ecx, 0x2222
.even:
	cmp [WINDOW], ecx
	je .right
	inc dword [wrong]
.right:
	mov [shot], eax
	mov eax, APIC
	mov dword [rax + 0xb0], 0
	pop rcx
	pop rax
	iretq
failed:
	failure_code

align 8
gdt:
	dq 0
	dq 0x00af9a000000ffff
	dq 0x00cf92000000ffff
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dd gdt
idt_pointer:
	dw 0x80 * 16 - 1
	dq IDT
stack:	dw 0
cs_seen: dw 0
align 64
counter: dq 0
counter2: dq 0
counter3: dq 0
align 64
counter16: dq 0, 0
align 64
there:	dd 0
go:	dd 0
counted: dd 0
align 64
pings:	dd 0
wakeups: dd 0
seen_version: dd 0
stop:	dd 0
phase:	dd 0
shot:	dd 0
wrong:	dd 0
align 64
my_time: dq 0
align 64
other_time: dq 0
