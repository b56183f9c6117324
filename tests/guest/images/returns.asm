; SPDX-License-Identifier: GPL-2.0-or-later
; returns.asm: long mode: IRET, RETF, far jumps and calls, call gates, SYSCALL, SYSRET, SYSENTER: between rings, between
; 64-bit and compatibility mode, and with everything that may be wrong in a frame. Spec: SDM vol. 2; vol. 3, 5.8,
; 6.14; APM vol. 2, 6.1; vol. 3.
%include "long.inc"
	start_long 0x87, "returns "
	mov ecx, 0xc0000080		; SCE
	rdmsr
	or eax, 1
	wrmsr
	mov ecx, 0xc0000081
	mov edx, (UCODE32 & ~3 | 3) << 16 | CODE
	xor eax, eax
	wrmsr
	mov ecx, 0xc0000082
	mov eax, on_syscall
	xor edx, edx
	wrmsr
	mov ecx, 0xc0000083
	mov eax, on_syscall32
	wrmsr
	xor eax, eax
	cpuid
	cmp ebx, 'Auth'
	sete byte [amd]

; IRETQ with this frame: SS, RSP, RFLAGS, CS, RIP
%macro frame_of 5
	push qword %1
	push qword %2
	push qword %3
	push qword %4
	mov rax, %5
	push rax
%endmacro
%macro iret_faults 7			; vector, code, frame
	frame_of %3, %4, %5, %6, %7
	faults %1, %2, iretq
%endmacro
	iret_faults 13, 0, DATA, STACK0, 2, 0, target
	iret_faults 13, 0, DATA, STACK0, 2, 3, target
	iret_faults 13, DATA, DATA, STACK0, 2, DATA, target
	iret_faults 13, GDT_END, DATA, STACK0, 2, GDT_END, target
	iret_faults 13, TSS, DATA, STACK0, 2, TSS, target
	iret_faults 13, CODE, UDATA, STACK3, 2, CODE | 3, target ; DPL 0, RPL 3
	iret_faults 13, UCODE & ~3, DATA, STACK0, 2, UCODE & ~3, target
	iret_faults 13, 0, DATA, STACK0, 2, CODE, 1 << 47
	iret_faults 13, 0, UDATA, STACK3, 2, UCODE, 1 << 47
	iret_faults 13, 0, 0, STACK3, 2, UCODE, target ; null SS outside
	iret_faults 13, 0, 3, STACK3, 2, UCODE, target
	iret_faults 13, 0, 3, STACK0, 2, CODE, target
	iret_faults 13, DATA, DATA, STACK3, 2, UCODE, target
	iret_faults 13, UDATA & ~3, UDATA, STACK0, 2, CODE, target
	iret_faults 13, CODE, CODE, STACK0, 2, CODE, target
	iret_faults 13, GDT_END, GDT_END, STACK0, 2, CODE, target
	iret_faults 13, 0, 0, STACK0, 2, CODE32, target ; null SS in compatibility mode
	descriptor FREE, 0x00af1a000000ffff
	iret_faults 11, FREE, DATA, STACK0, 2, FREE, target
	descriptor FREE, 0x00cf12000000ffff
	iret_faults 12, FREE, FREE, STACK0, 2, CODE, target
	descriptor FREE, 0x00ef9a000000ffff	; L and D
	iret_faults 13, FREE, DATA, STACK0, 2, FREE, target
	descriptor FREE, 0x00409a000000ffff
	iret_faults 13, 0, DATA, STACK0, 2, FREE, 0x12345 ; beyond the limit
	descriptor FREE, 0x00cf90000000ffff	; SS read-only
	iret_faults 13, FREE, FREE, STACK0, 2, CODE, target
	push qword 0x4002		; NT
	popfq
	frame_of DATA, STACK0, 2, CODE, target
	faults 13, 0, iretq
	push qword 2
	popfq
	mov rsp, (1 << 47) - 16
	mov byte [IDT + 12 * 16 + 4], 1
	faults 12, 0, iretq		; the frame reaches beyond the canonical addresses
	mov byte [IDT + 12 * 16 + 4], 0

; … that goes through: where it led, with which flags and stack
%macro iret_to 5
	mov qword [resume], %%after
	mov qword [seen], -2
	frame_of %1, %2, %3, %4, %5
	iretq
%%after:
	same [seen], 6
	same [frame_rip], %5
	same [frame_cs], %4
	same [frame_ss], %1
	same [frame_rsp], %2
%endmacro
	iret_to 0, STACK0 - 64, 2, CODE, target	; a null SS is fine in ring 0
	iret_to DATA, STACK0 - 64, 2, CODE, target
	iret_to UDATA, STACK3, 2, UCODE, target
	iret_to UDATA, STACK3, 2, UCODE32, target
	iret_to DATA, STACK0 - 64, 2, CODE32, target
	iret_to UDATA, STACK3, 0x3202, UCODE, target
	same [frame_flags], 0x13202
	iret_to UDATA, STACK3, 0x20002, UCODE, target ; VM is not there in long mode
	same [frame_flags], 0x10002
	iret_to UDATA, STACK3, 0x247fd7, UCODE32, landed_quiet ; all flags but TF, IF clear
	mov rax, [frame_flags]
	and eax, 0x2474d7
	cmp eax, 0x2474d7
	check e
	push qword 2
	popfq
	; ring 3 may not change IF and IOPL by IRETQ
	mov qword [resume], .user_iret
	to_user .in_user
.in_user:
	mov rax, rsp
	frame_of UDATA, STACK3 - 32, 0x3302 & ~0x100, UCODE, target
	iretq
.user_iret:
	same [frame_flags], 0x10002
	same [frame_rsp], STACK3 - 32
	; nor go inwards
	user_begin
	mov qword [resume], .inwards
	frame_of DATA, STACK0, 2, CODE, target
.inwards_iret:
	iretq
	user_end
	jmp .inwards_done
.inwards:
	same [seen], 13
	same [code], CODE
	same [frame_rip], .inwards_iret
.inwards_done:
	; IRETD and IRETW
	mov qword [resume], .iretd
	sub rsp, 20
	mov dword [rsp], target
	mov dword [rsp + 4], UCODE
	mov dword [rsp + 8], 2
	mov dword [rsp + 12], STACK3
	mov dword [rsp + 16], UDATA
	iretd
.iretd:
	same [frame_rip], target
	same [frame_rsp], STACK3
	mov qword [resume], .iretw
	sub rsp, 10
	mov word [rsp], target
	mov word [rsp + 2], CODE
	mov word [rsp + 4], 2
	mov word [rsp + 6], 0xf000
	mov word [rsp + 8], DATA
	iretw
.iretw:
	same [frame_rip], target
	same [frame_rsp], 0xf000

	; ---- compatibility mode and back
	mov ax, DATA			; rings have been left since: DS is null
	mov ds, ax
	mov qword [resume], .compat
	mov qword [scratch], 0
	frame_of DATA, 0x1b000, 2, CODE32, compat
	iretq
.compat:
	same [seen], 6
	same [frame_cs], CODE32
	same [scratch], 0x12345678	; 32-bit operands, no REX
	same [handler_rsp], 0x1b000 - 40 ; the frame has SS and RSP, whatever ring
	same [frame_rsp], 0x1b000
	mov qword [resume], back_failed
	jmp dword far [to_compat]
back64:
	same rbx, 0xffffffff		; 32-bit code cannot see the upper half
	jmp back_jumped
back_failed:
	missed
back_jumped:
	; interrupts from user compatibility code
	mov qword [resume], .from_user32
	frame_of UDATA, STACK3, 2, UCODE32, user32
	iretq
.from_user32:
	same [seen], 13
	same [code], 0x21 * 8 + 2
	same [frame_cs], UCODE32
	same [handler_rsp], STACK0 - 40

	; ---- far returns
%macro retf_faults 4			; vector, code, CS, RIP
	push qword %3
	mov rax, %4
	push rax
	faults %1, %2, o64 retf
%endmacro
	retf_faults 13, 0, 0, target
	retf_faults 13, DATA, DATA, target
	retf_faults 13, 0, CODE, 1 << 47
	retf_faults 13, CODE, CODE | 3, target
	mov qword [resume], .retf
	push qword UDATA
	push qword STACK3
	push qword 0
	push qword 0
	push qword UCODE
	push qword target
	o64 retf 16
.retf:
	same [frame_rip], target
	same [frame_cs], UCODE
	same [frame_rsp], STACK3 + 16

	; ---- far calls and jumps through memory; call gates
	call dword far [far_code]
	same rbx, CODE
	mov dword [far_pointer], target
	mov word [far_pointer + 4], DATA
	faults 13, DATA, jmp dword far [far_pointer]
	mov word [far_pointer + 4], 0
	faults 13, 0, call dword far [far_pointer]
	mov word [far_pointer + 4], GDT_END
	faults 13, GDT_END, jmp dword far [far_pointer]
	mov word [far_pointer + 4], UCODE
	faults 13, UCODE & ~3, jmp dword far [far_pointer]
	mov word [far_pointer + 4], TSS
	faults 13, TSS, jmp dword far [far_pointer]	; no task switches
	faults 13, TSS, call dword far [far_pointer]
%macro gate64 4				; type and DPL and P, selector, offset, upper half
	mov rax, %3
	mov [gdt + FREE], ax
	mov word [gdt + FREE + 2], %2
	mov word [gdt + FREE + 4], (%1) << 8
	shr rax, 16
	mov [gdt + FREE + 6], ax
	shr rax, 16
	mov [gdt + FREE + 8], rax
	mov dword [gdt + FREE + 12], %4
%endmacro
	mov word [far_pointer + 4], FREE
	gate64 0xec, CODE, gate_same, 0
	mov [scratch], rsp
	call dword far [far_pointer]
	cmp rsp, [scratch]
	check e
	same rbx, CODE
	user_begin
	call dword far [far_pointer]
	cmp rsp, STACK3
	check e
	mov ax, cs
	cmp ax, UCODE
	check e
	user_end
	same [scratch + 8], STACK0 - 32
	same [scratch + 16], UCODE
	same [scratch + 24], STACK3
	same [scratch + 32], UDATA
	same [scratch + 40], 0		; SS became null
	gate64 0x8c, CODE, gate_same, 0
	user_faults 13, FREE, call dword far [far_pointer]
	gate64 0x6c, CODE, gate_same, 0
	user_faults 11, FREE, call dword far [far_pointer]
	gate64 0xec, CODE, gate_same, 0x100
	user_faults 13, FREE, call dword far [far_pointer]
	gate64 0xec, CODE32, gate_same, 0
	user_faults 13, CODE32, call dword far [far_pointer]
	gate64 0xec, 0, gate_same, 0
	user_faults 13, 0, call dword far [far_pointer]
	gate64 0xec, DATA, gate_same, 0
	user_faults 13, DATA, call dword far [far_pointer]
	gate64 0xec, CODE, 1 << 47, 0
	user_faults 13, 0, call dword far [far_pointer]
	gate64 0xec, CODE, gate_same, 0
	user_faults 13, CODE, jmp dword far [far_pointer]
	gate64 0xe4, CODE, gate_same, 0		; a 16-bit gate
	user_faults 13, FREE, call dword far [far_pointer]

	; ---- SYSCALL and SYSRET
	mov ecx, 0xc0000084
	mov eax, 0x40400		; AC, DF
	xor edx, edx
	wrmsr
	mov dword [user_flags], 0x40ed7 & ~0x300
	mov qword [resume], .syscalled
	to_user .call
.call:
	syscall
.call_next:
	ud2
.syscalled:
	same rcx, .call_next
	same r11, 0x40cd7
	same [scratch], 0x8d7 & ~0
	same [scratch + 8], CODE
	same [scratch + 16], DATA
	same [scratch + 24], STACK3	; RSP is the user's still
	mov dword [user_flags], 2
	mov ecx, target
	mov r11d, 0x3f7fd7 & ~0x10100 & ~0x20000 ; all that can be set, but TF and VM
	mov qword [resume], .sysret
	mov rsp, STACK3
	o64 sysret
.sysret:
	same [frame_cs], UCODE
	same [frame_ss], UDATA
	mov rax, [frame_flags]
	and eax, ~0x10000
	cmp eax, 0x3c7ed7
	check e
	push qword 2
	popfq
	mov rcx, 0x1234567800000000 + target
	mov r11d, 2
	mov qword [resume], .sysretl
	sysret				; to 32-bit code
.sysretl:
	same [frame_cs], UCODE32
	same [frame_rip], target
	; a return address that is none: Intel's SYSRET faults itself, AMD's instruction fetch does, in ring 3
	mov rcx, 1 << 47
	mov r11d, 2
	mov qword [resume], .bad_sysret
	mov qword [seen], -2
	mov rsp, STACK3
.sysret_here:
	o64 sysret
.bad_sysret:
	same [seen], 13
	same [code], 0
	cmp byte [amd], 0
	je .intel
	same [frame_cs], UCODE
	mov rax, [frame_rip]
	mov rcx, 1 << 47
	cmp rax, rcx
	check e
	mov qword [resume], .syscall32	; SYSCALL from compatibility mode
	frame_of UDATA, STACK3, 2, UCODE32, .call32
	iretq
bits 32
.call32:
	syscall
	ud2
bits 64
.syscall32:
	same [scratch], 0x32
	same rcx, .call32 + 2
	faults 6, -1, sysenter		; not in AMD's long mode
	jmp .vendor_done
.intel:
	same [frame_rip], .sysret_here
.vendor_done:
	user_faults 13, 0, o64 sysret
	mov ecx, 0xc0000080
	rdmsr
	and eax, ~1
	wrmsr
	faults 6, -1, syscall
	faults 6, -1, o64 sysret
	user_faults 6, -1, syscall
	success

landed_quiet:
target:
	ud2
far_target:
	mov ebx, cs
	retf
gate_same:
	mov [scratch + 8], rsp
	mov rax, [rsp + 8]
	mov [scratch + 16], rax
	mov rax, [rsp + 16]
	mov [scratch + 24], rax
	mov rax, [rsp + 24]
	mov [scratch + 32], rax
	xor eax, eax
	mov ax, ss
	mov [scratch + 40], rax
	mov ebx, cs
	o64 retf
on_syscall:
	mov [scratch + 24], rsp
	mov rsp, STACK0
	pushfq
	pop qword [scratch]
	xor eax, eax
	mov ax, cs
	mov [scratch + 8], rax
	mov ax, ss
	mov [scratch + 16], rax
	jmp [resume]
on_syscall32:
	mov qword [scratch], 0x32
	mov rsp, STACK0
	jmp [resume]
bits 32
compat:
	mov eax, 0x12345678
	mov [scratch], eax
	ud2
compat2:
	xor ebx, ebx
	dec ebx				; in 64-bit code this would be a REX prefix
	nop
	jmp CODE:start_back
user32:
	int 0x21
bits 64
start_back:
	jmp back64
align 8
to_compat: dd compat2
	dw CODE32
far_code: dd far_target
	dw CODE
far_pointer: dd 0
	dw 0
amd:	db 0
align 8
scratch: times 6 dq 0
	frame
