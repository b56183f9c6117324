; SPDX-License-Identifier: GPL-2.0-or-later
; debug.asm: 64-bit mode: single step through everything that treats it in its own way, breakpoints on code,
; data and ports, DR6, DR7 and RF. Spec: SDM vol. 3, 17.2, 17.3, 6.8.3; APM vol. 2, 13.1.
%include "long.inc"
WATCHED equ SCRATCH + 0x100
	start_long 0x87, "debug "
	mov ecx, 0xc0000080		; EFER.SCE
	rdmsr
	or eax, 1
	wrmsr
	mov ecx, 0xc0000081		; STAR
	mov edx, (UCODE32 << 16) | CODE
	xor eax, eax
	wrmsr
	mov ecx, 0xc0000082		; LSTAR
	mov eax, on_syscall
	xor edx, edx
	wrmsr

; Runs what follows with TF set by POPFQ, to a label `%2` where TF is clear again; on_step notes each rip.
%macro stepped 0
	mov qword [steps], 0
	push rax
	xor eax, eax
	mov dr6, rax
	pop rax
	push qword 0x102
	popfq
%endmacro
; … and ends: clears TF (one trap more, after the POPFQ), checks how many traps there were.
%macro stepped_end 1
	push qword 2
	popfq
	cmp qword [steps], %1 + 2
	check e
%endmacro
	gate 1, on_step
	stepped
	nop
	nop
	stepped_end 2
	mov rax, dr6
	and eax, 0xe00f
	cmp eax, 0x4000			; BS and nothing else
	check e
	stepped				; no trap after POPFQ itself
	stepped_end 0
	; strings trap after each element, and the record shows the string itself until the last
	mov rsi, SCRATCH
	mov rdi, SCRATCH + 64
	mov ecx, 4
	stepped
.string:
	rep movsb
.string_next:
	stepped_end 4
	same [rips], .string
	same [rips + 16], .string
	same [rips + 24], .string_next
	xor ecx, ecx
	stepped
	rep stosb			; of none: once
	stepped_end 1
	mov ecx, 5
	mov rdi, SCRATCH
	mov byte [SCRATCH + 2], 0x77
	mov byte [SCRATCH], 0
	mov byte [SCRATCH + 1], 0
	mov al, 0x77
	stepped
	repne scasb
	stepped_end 3
	; loads of SS hold it back
	mov eax, DATA
	stepped
	mov ss, ax
.shadowed:
	nop
.after_shadow:
	nop
	stepped_end 2
	same [rips], .after_shadow
	push qword DATA
	stepped
	mov ss, ax
	mov ss, ax			; of two, only the first need
	nop
	push qword 2
	popfq
	cmp qword [steps], 3
	check ae
	pop rax
%ifndef TCG
	stepped
	sti				; does not
	cli
	stepped_end 2
%endif
	; a branch, taken or not
	stepped
	xor eax, eax
	jz .taken
	nop
.taken:
	jnz .never
	call routine
.never:
	stepped_end 5
	same [rips + 8], .taken
	; INT n clears TF for its handler: no trap inside, one after IRETQ's next
	gate 0x40, on_int
	stepped
	int 0x40
	nop
	stepped_end 1			; after the NOP
	same [steps_in_handler], 0
	; a fault on a stepped instruction: no trap for it
	mov qword [resume], .faulted
	stepped
	ud2
.faulted:
	same [seen], 6
	same [steps], 0
	pushfq				; the handler began with TF clear
	pop rax
	test eax, 0x100
	check z
	test dword [frame_flags], 0x100
	check nz
	; IRETQ that sets TF: after the next instruction
	mov qword [steps], 0
	push qword DATA
	push qword STACK0
	push qword 0x102
	push qword CODE
	push qword .stepping
	iretq
.stepping:
	nop
.stepped:
	push qword 2
	popfq
	same [rips], .stepped
	; CPUID, RDTSC, port I/O, LOCK, FPU: one each
	mov ebp, STACK0 - 0x100
	stepped
	xor eax, eax
	cpuid
	rdtsc
	in al, 0x80
	out 0x80, al
	lock inc qword [SCRATCH]
	fninit
	fldz
	movaps xmm0, xmm1
	mov rax, cr3
	mov cr3, rax
	mov rax, cr0
	mov cr0, rax
	pushfq
	pop rax
	xchg rax, rcx
	enter 16, 2
	leave
	stepped_end 18
	; HLT: the trap comes when it has halted, and wakes it
%ifndef TCG
	stepped
	hlt
	stepped_end 1
%endif
	; SYSCALL with TF: traps in the kernel unless FMASK clears TF; SYSRET that sets it traps at once
	mov ecx, 0xc0000084
	xor eax, eax
	xor edx, edx
	wrmsr
	mov qword [steps], 0
	mov dword [user_flags], 0x102
	mov qword [resume], .back
	to_user .user_step
.user_step:
	syscall
	ud2
.back:
	same [steps], 4			; there, and three times until it clears TF
	same [rips], on_syscall
	mov ecx, 0xc0000084
	mov eax, 0x100
	xor edx, edx
	wrmsr
	mov qword [steps], 0
	mov qword [resume], .back2
	to_user .user_step2
.user_step2:
	syscall
	ud2
.back2:
	same [steps], 0
	mov qword [steps], 0
	mov qword [resume], .returned
	mov dword [user_flags], 2
	mov ecx, .user_returned
	mov r11d, 0x102
	gate 6, on_ud_user
	o64 sysret
.user_returned:
	nop
	ud2
.returned:
	cmp qword [steps], 2		; before the NOP, and after
	check e
	same [rips], .user_returned
	gate 6, stub6

	; ---- breakpoints on code
	gate 1, stub1
%macro dr 2
	mov rax, %2
	mov dr%1, rax
%endmacro
%macro clear_dr6 0
	xor eax, eax
	mov dr6, rax
%endmacro
%macro dr6_is 1
	mov rax, dr6
	and eax, 0xe00f
	cmp eax, %1
	check e
%endmacro
	dr 0, .hit
	dr 7, 0x402
	clear_dr6
	mov qword [resume], .after_hit
	xor ebx, ebx
.hit:
	inc ebx
	missed
.after_hit:
	dr6_is 1
	same [frame_rip], .hit
	same rbx, 0
	test dword [frame_flags], 0x10000 ; RF is clear in the record of a breakpoint
	check z
	; RF in the image of IRETQ passes it once
	mov qword [resume], .twice
	mov ecx, 2
	push qword DATA
	push qword STACK0
	push qword 0x10002
	push qword CODE
	push qword .hit2
	dr 0, .hit2
	iretq
.hit2:
	inc ebx
	dec ecx
	jnz .hit2
	missed
.twice:
	same rbx, 1
	; a fault's record has RF, so that the instruction can be done again
	dr 0, .hit3
	gate 14, .absent
	mov qword [resume], .after_fault
	mov qword [PT + 5 * 8], 0
	invlpg [WINDOW + 0x5000]
	mov ebx, 0
	push qword DATA
	push qword STACK0
	push qword 0x10002
	push qword CODE
	push qword .hit3
	iretq
.hit3:
	mov bl, [WINDOW + 0x5000]
	dr 0, 0
	jmp .after_fault
.absent:
	mov qword [PT + 5 * 8], SCRATCH | 3
	test dword [rsp + 8 + 16], 0x10000
	check nz
	add rsp, 8
	iretq
.after_fault:
	gate 14, stub14
	; MOV SS holds back the breakpoint on the next instruction, and what a data access found
	mov ebx, DATA
	dr 0, .quiet
	mov qword [resume], .not_quiet
	mov ss, bx
.quiet:
	nop
	jmp .was_quiet
.not_quiet:
%ifndef TCG
	missed
%endif
.was_quiet:
	; disabled, and of another kind
	dr 0, .free
	dr 7, 0x400
.free:	nop
	dr 7, 0x10402			; on writes of a byte
	jmp .free2
.free2:	nop

	; ---- on data: traps after the access
	dr 7, 0x400
	dr 0, WATCHED
	dr 1, WATCHED + 8
	dr 2, WATCHED + 16
	dr 3, WATCHED + 34
%macro watched 3+			; DR6 wanted (0: no trap), DR7, instruction
	clear_dr6
	dr 7, %2
	mov qword [resume], %%after
	mov qword [seen], -1
	%3
%%next:
	nop
	mov qword [seen], -2
%%after:
%if %1
	same [seen], 1
	same [frame_rip], %%next
%else
	same [seen], -2
%endif
	dr 7, 0x400
	dr6_is %1
%endmacro
%define W0 0x10400 | 2			; DR0: writes of 1 byte
%define RW0 0x30400 | 2
	watched 1, W0, mov byte [WATCHED], 1
	watched 1, W0, mov dword [WATCHED - 3], 1
	watched 0, W0, mov dword [WATCHED - 4], 1
	watched 0, W0, mov dword [WATCHED + 1], 1
	watched 0, W0, mov eax, [WATCHED]
	watched 1, W0, inc byte [WATCHED]
	watched 1, RW0, mov al, [WATCHED]
	watched 1, RW0, cmp qword [WATCHED - 7], 0
	watched 0, RW0, mov eax, [WATCHED + 1]
	watched 1, RW0, movups xmm0, [WATCHED - 15]
	watched 1, W0, movups [WATCHED - 15], xmm0
	watched 1, 0x50400 | 2, mov byte [WATCHED + 1], 1 ; 2 bytes
	watched 0, 0x50400 | 2, mov byte [WATCHED + 2], 1
	watched 1, 0xd0400 | 2, mov byte [WATCHED + 3], 1 ; 4 bytes
	watched 1, 0x90400 | 2, mov byte [WATCHED + 7], 1 ; 8 bytes
	watched 2, 0x100400 | 8, mov byte [WATCHED + 8], 1
	watched 4, 0x1000400 | 32, mov byte [WATCHED + 16], 1
	watched 8, 0x50000400 | 128, mov byte [WATCHED + 34], 1 ; DR3: 2 bytes
	watched 8, 0x50000400 | 64, mov byte [WATCHED + 35], 1 ; local
	watched 3, 0x990400 | 10, movups [WATCHED], xmm0 ; two at once
	watched 1, W0, lock xadd [WATCHED], eax
	watched 1, RW0, fld qword [WATCHED - 4]
	fninit
	; strings: after the element
	mov edi, WATCHED - 4
	mov ecx, 8
	clear_dr6
	dr 7, W0
	mov qword [resume], .after_string
.filling:
	rep stosb
	missed
.after_string:
	same [frame_rip], .filling
	dr 7, 0x400
	dr6_is 1
	cmp ecx, 3
	check e
	cmp edi, WATCHED + 1
	check e

	; ---- on ports, with CR4.DE
	dr 0, 0x80
	watched 1, 0x20400 | 2, in al, 0x80
	watched 1, 0x20400 | 2, out 0x80, al
	watched 0, 0x20400 | 2, in al, 0x81
	watched 1, 0xe0400 | 2, in al, 0x83 ; 4 ports

	; ---- the registers themselves
	dr 7, 0x400
	mov rax, -1 >> 32
	mov dr6, rax
	mov rax, dr6
	same rax, 0xffffefff
	xor eax, eax
	mov dr6, rax
	mov rax, dr6
	same rax, 0xffff0ff0
	mov rax, 1 << 32
	faults 13, 0, mov dr6, rax
	faults 13, 0, mov dr7, rax
	faults 6, -1, mov rax, dr4	; CR4.DE
	faults 6, -1, mov dr5, rax
	mov rax, cr4
	btr rax, 3
	mov cr4, rax
	mov rax, dr5
	mov rcx, dr7
	cmp rax, rcx
	check e
	mov rax, dr4
	mov rcx, dr6
	cmp rax, rcx
	check e
	bts rax, 3
	; GD: any use is a fault, reported as BD; the handler finds GD clear
	dr 7, 0x2400
	faults 1, -1, mov rax, dr7
	mov rax, dr7
	same rax, 0x400
	mov rax, dr6
	test eax, 0x2000
	check nz
	clear_dr6
	dr 7, 0x2400
	faults 1, -1, mov dr0, rax
	dr6_is 0x2000
	; INT1: a trap that DR6 does not tell of
	clear_dr6
	traps 1, -1, db 0xf1
	dr6_is 0
	success

routine:
	mov rax, [rsp]
	push qword 2
	popfq				; ends the stepping: 4 by here, and this one
	ret

on_step:
	push rax
	push rbx
	mov rbx, [steps]
	mov rax, [rsp + 16]
	cmp rbx, 16
	jae .many
	mov [rips + rbx * 8], rax
.many:
	inc qword [steps]
	pop rbx
	pop rax
	iretq
on_int:
	push rax
	mov rax, [steps]
	mov [steps_in_handler], rax
	nop
	nop
	mov rax, [steps]
	sub rax, [steps_in_handler]
	mov [steps_in_handler], rax
	pop rax
	iretq
on_syscall:
	mov rsp, STACK0
	push qword 2
	popfq
	jmp [resume]
on_ud_user:
	mov rsp, STACK0
	jmp [resume]
align 8
steps:	dq 0
steps_in_handler: dq 0
rips:	times 16 dq 0
	frame
stub1 equ stubs + 16
stub6 equ stubs + 6 * 16
stub14 equ stubs + 14 * 16
