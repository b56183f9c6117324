; SPDX-License-Identifier: GPL-2.0-or-later
; apic.asm: the local APIC: priorities, self IPIs, the timer in its three modes, x2APIC and the changes of mode,
; errors; interrupts between instructions: shadows, HLT, strings, NMI. Spec: SDM vol. 3, 11.4 to 11.12, 6.7, 6.8.
%include "long.inc"
	start_long 0x87, "apic "
	mov rbx, APIC
	mov dword [rbx + 0xf0], 0x1ff	; on, spurious vector 0xff
%assign n 0x30
%rep 32
	gate n, irq_stubs + (n - 0x30) * 8
%assign n n + 1
%endrep
	gate 0xf0, irq_stubs + 32 * 8
	gate 0xff, on_spurious
	lidt [all_vectors]
	; what is as after reset
	mov eax, [rbx + 0x30]
	and eax, 0xff
	cmp eax, 0x10
	check ae
	cmp dword [rbx + 0x80], 0
	check e
	cmp dword [rbx + 0xe0], -1
	check e
%macro self 1				; an IPI to myself
	mov dword [rbx + 0x300], 0x44000 | %1
%endmacro
%macro settle 0				; time for what is under way
	mov ecx, 50
%%wait:
	pause
	loop %%wait
%endmacro
%macro eoi 0
	mov dword [rbx + 0xb0], 0
%endmacro
	; ---- the request register, then the service register, then neither
	mov dword [log_at], log
	self 0x31
	settle
	test dword [rbx + 0x210], 1 << 0x11
	check nz
	test dword [rbx + 0x110], 1 << 0x11
	check z
	mov byte [keep], 1		; handlers do no EOI
	sti
	nop
	cli
	test dword [rbx + 0x210], 1 << 0x11
	check z
	test dword [rbx + 0x110], 1 << 0x11
	check nz
	cmp byte [log], 0x31
	check e
	cmp dword [rbx + 0xa0], 0x30	; PPR
	check e
	; a lower class and the same class wait, a higher does not
	self 0x3f
	self 0x41
	settle
	sti
	nop
	cli
	cmp byte [log + 1], 0x41
	check e
	cmp dword [log_at], log + 2
	check e
	cmp dword [rbx + 0xa0], 0x40
	check e
	eoi				; of 0x41
	sti
	nop
	cli
	cmp dword [log_at], log + 2	; 0x31 still holds 0x3f back
	check e
	eoi
	sti
	nop
	nop
	cli
	cmp byte [log + 2], 0x3f
	check e
	eoi
	cmp dword [rbx + 0xa0], 0
	check e
	mov byte [keep], 0
	; the highest first, each once however often it was asked for
	mov dword [log_at], log
	self 0x32
	self 0x45
	self 0x38
	self 0x45
	settle
	sti
	nop
	nop
	cli
	cmp dword [log_at], log + 3
	check e
	cmp byte [log], 0x45
	check e
	cmp byte [log + 1], 0x38
	check e
	cmp byte [log + 2], 0x32
	check e
	; TPR: by the register and by CR8
	mov dword [log_at], log
	mov dword [rbx + 0x80], 0x30 ; KVM keeps no more than the class
	mov rax, cr8
	cmp rax, 3
	check e
	cmp dword [rbx + 0xa0], 0x30
	check e
	self 0x3e
	self 0x40
	settle
	sti
	nop
	nop
	cli
	cmp dword [log_at], log + 1
	check e
	cmp byte [log], 0x40
	check e
	mov eax, 2
	mov cr8, rax
	cmp dword [rbx + 0x80], 0x20
	check e
	sti
	nop
	nop
	cli
	cmp byte [log + 1], 0x3e
	check e
	xor eax, eax
	mov cr8, rax
	; an EOI without anything in service is nothing
	eoi
	cmp dword [rbx + 0xa0], 0
	check e
	; vectors below 16 are errors (of which KVM's ESR does not tell)
	self 5
	settle
	mov dword [rbx + 0x280], 0
	mov dword [rbx + 0x280], 0
	cmp dword [rbx + 0x280], 0
	check e
	; a masked LVT entry stays so while the APIC is off by software
	mov dword [rbx + 0xf0], 0xff
	mov dword [rbx + 0x320], 0x40
	test dword [rbx + 0x320], 0x10000
	check nz
	mov dword [rbx + 0xf0], 0x1ff
	test dword [rbx + 0x320], 0x10000
	check nz

	; ---- shadows and HLT
	mov dword [log_at], log
	self 0x40
	settle
	xor esi, esi
	sti
	inc esi
	inc esi
	cli
	cmp byte [count_then], 1
	check e
	self 0x40			; STI, CLI: no window
	settle
	mov dword [log_at], log
	sti
	cli
	nop
	cmp dword [log_at], log
	check e
	sti				; … and STI, HLT wakes
	hlt
	cli
	cmp dword [log_at], log + 1
	check e
	self 0x40
	settle
	xor esi, esi
	push qword 0x202		; POPFQ has no shadow
	popfq
	inc esi
	cli
	cmp byte [count_then], 0
	check e
	; STI when IF is set already has none
	sti
	nop
	self 0x40
	nop
	nop
	cli
	; IRETQ has none
	self 0x40
	settle
	xor esi, esi
	push qword DATA
	push qword STACK0
	push qword 0x202
	push qword CODE
	push qword .returned
	iretq
.returned:
	inc esi
	cli
	cmp byte [count_then], 0
	check e

	; ---- NMI
	gate 2, on_nmi
	mov dword [rbx + 0x300], 0x4400
	settle
	cmp dword [nmis], 1
	check e
	; blocked till IRET, and then one only
	mov byte [again], 3
	mov dword [rbx + 0x300], 0x4400
	settle
	settle
	cmp dword [nmis], 3
	check e
	cmp byte [nested], 0
	check e
	; a fault's IRET in the handler lets them in again
	mov byte [faulting], 1
	gate 6, on_ud
	mov byte [again], 0
	mov dword [nmis], 0
	mov dword [rbx + 0x300], 0x4400
	settle
	settle
	cmp dword [nmis], 2
	check e
	gate 6, stubs + 6 * 16

	; ---- the timer: one shot, counting down, stopped, periodic, divided
	mov dword [rbx + 0x3e0], 0xb	; divide by 1
	mov dword [log_at], log
	mov dword [rbx + 0x320], 0x10040 ; masked: counts, says nothing
	mov dword [rbx + 0x380], 4000000000
	mov eax, [rbx + 0x390]
	cmp eax, 4000000000
	check be
	mov ecx, 1000
.counting:
	pause
	cmp [rbx + 0x390], eax
	loope .counting
	cmp [rbx + 0x390], eax
	check b
	mov dword [rbx + 0x380], 0
	cmp dword [rbx + 0x390], 0
	check e
	mov dword [rbx + 0x320], 0x40
	mov dword [rbx + 0x380], 100000
	sti
	hlt
	cli
	cmp dword [log_at], log + 1
	check e
	cmp dword [rbx + 0x390], 0
	check e
	mov dword [rbx + 0x320], 0x20040
	mov dword [rbx + 0x380], 200000
	mov dword [log_at], log
.periodic:
	sti
	hlt
	cli
	cmp dword [log_at], log + 5
	jb .periodic
	mov dword [rbx + 0x320], 0x40	; one shot from here: one more at most
	mov dword [log_at], log
	mov dword [rbx + 0x380], 0
	sti
	settle
	cli
	; TSC deadline
	mov eax, 1
	cpuid
	bt ecx, 24
	mov rbx, APIC
	jnc .no_deadline
	mov dword [rbx + 0x320], 0x40040
	mfence
	mov ecx, 0x6e0
	rdmsr
	or eax, edx
	check z
	mov dword [log_at], log
	rdtsc
	add eax, 3000000
	adc edx, 0
	mov r8d, eax
	mov r9d, edx
	mov ecx, 0x6e0
	wrmsr
	rdmsr
	cmp eax, r8d
	check e
	sti
	hlt
	cli
	rdtsc
	cmp edx, r9d
	check ae
	ja .after
	cmp eax, r8d
	check ae
.after:
	cmp dword [log_at], log + 1
	check e
	mov ecx, 0x6e0			; it has gone off: 0
	rdmsr
	or eax, edx
	check z
	mov eax, 1			; long past: at once
	xor edx, edx
	wrmsr
	settle
	sti
	nop
	cli
	cmp dword [log_at], log + 2
	check e
	cmp dword [rbx + 0x390], 0	; the counter is not there in this mode
	check e
	mov dword [rbx + 0x380], 1000
	settle
	cmp dword [rbx + 0x390], 0
	check e
	mov dword [rbx + 0x320], 0x10040
	mov ecx, 0x6e0			; outside it writes are ignored
	mov eax, 1000
	wrmsr
	rdmsr
	or eax, edx
	check z
.no_deadline:

	; ---- interrupts in the middle of strings: registers are exact wherever it happens
	mov dword [rbx + 0x3e0], 0xb
	mov dword [rbx + 0x320], 0x2004f
	mov dword [rbx + 0x380], 60000
	mov ebp, 40
.strings:
	mov edi, 0x1000000
	mov ecx, 0x200000
	mov al, 0x5a
	sti
	rep stosb
	mov esi, 0x1000000
	mov edi, 0x1400000
	mov ecx, 0x200000 / 8
	rep movsq
	cli
	cmp edi, 0x1600000
	check e
	cmp esi, 0x1200000
	check e
	dec ebp
	jnz .strings
	cmp dword [string_irqs], 0
	check ne
	mov dword [rbx + 0x380], 0
	mov dword [rbx + 0x320], 0x10000
	sti				; what has come meanwhile
	settle
	cli

	; ---- x2APIC
	mov eax, 1
	cpuid
	mov rbx, APIC
	bt ecx, 21
	jnc .no_x2apic
	mov ecx, 0x802
	faults 13, 0, rdmsr		; not yet
	mov ecx, 0x1b
	rdmsr
	mov r12d, eax
	bts eax, 10
	wrmsr
	mov ecx, 0x802
	rdmsr
	test eax, eax
	check z
	mov ecx, 0x803
	rdmsr
	mov ecx, 0x80d			; LDR: from the id
	rdmsr
	cmp eax, 1
	check e
%macro x2_refused 3			; register, eax, edx
	mov ecx, %1
	mov eax, %2
	mov edx, %3
	faults 13, 0, wrmsr
%endmacro
	x2_refused 0x802, 0, 0
	x2_refused 0x803, 0, 0
	x2_refused 0x80a, 0, 0
	x2_refused 0x80d, 0, 0
	x2_refused 0x80b, 1, 0		; EOI: 0 only
	x2_refused 0x808, 0x100, 0
	x2_refused 0x808, 0, 1
	x2_refused 0x80e, 0, 0		; DFR is not there
	x2_refused 0x831, 0, 0		; nor the upper half of ICR
	x2_refused 0x839, 0, 0
	x2_refused 0x83f, 0x100, 0
	x2_refused 0x830, 0x100000, 0
	x2_refused 0x832, 0x80000000, 0
	mov ecx, 0x80b
	faults 13, 0, rdmsr
	mov ecx, 0x83f
	faults 13, 0, rdmsr
	mov ecx, 0x80e
	faults 13, 0, rdmsr
	mov ecx, 0x8ff
	faults 13, 0, rdmsr
	mov dword [x2], 1
	mov dword [log_at], log
	mov ecx, 0x83f			; SELF IPI
	mov eax, 0x36
	xor edx, edx
	wrmsr
	mov ecx, 0x821			; IRR
	rdmsr
	test eax, 1 << 0x16
	check nz
	sti
	nop
	cli
	cmp byte [log], 0x36
	check e
	mov ecx, 0x830			; ICR: to id 0
	mov eax, 0x4037
	xor edx, edx
	wrmsr
	settle
	sti
	nop
	cli
	cmp byte [log + 1], 0x37
	check e
	; from here only off, not back
	mov ecx, 0x1b
	mov eax, r12d
	xor edx, edx
	faults 13, 0, wrmsr
	mov eax, r12d
	btr eax, 11
	wrmsr
	mov eax, r12d
	bts eax, 10
	faults 13, 0, wrmsr
	mov eax, r12d
	wrmsr
	mov ecx, 0x802
	faults 13, 0, rdmsr
	mov dword [x2], 0
	cmp dword [rbx + 0xf0], 0xff	; as after reset
	check e
.no_x2apic:
	success

align 8
irq_stubs:
%assign n 0x30
%rep 32
align 8
	push byte n
	jmp irq
%assign n n + 1
%endrep
align 8
	jmp on_spurious
; Notes its vector, and the count in esi as it was then.
irq:
	push rax
	push rcx
	mov eax, [rsp + 16]
	mov ecx, [log_at]
	cmp ecx, log_end
	jae .full
	mov [rcx], al
	inc dword [log_at]
.full:
	mov [count_then], sil
	cmp eax, 0x4f			; the timer, while strings run
	jne .other
	inc dword [string_irqs]
	call check_string
.other:
	cmp byte [keep], 0
	jne .done
	cmp dword [x2], 0
	jne .x2apic
	mov eax, APIC
	mov dword [rax + 0xb0], 0
	jmp .done
.x2apic:
	push rdx
	mov ecx, 0x80b
	xor eax, eax
	xor edx, edx
	wrmsr
	pop rdx
.done:
	pop rcx
	pop rax
	add rsp, 8
on_spurious:
	iretq
; rdi and rcx of the program say the same of how far the string is; saved rcx is at rsp + 8.
check_string:
	mov rax, [rsp + 32]		; rip: at the string, or not any more
	cmp word [rax], 0xaaf3
	jne .movs
	lea rax, [rdi - 0x1000000]
	add rax, [rsp + 8]
	cmp rax, 0x200000
	check e
	ret
.movs:
	cmp dword [rax], 0xfaa548f3
	jne .neither
	lea rax, [rdi - 0x1400000]
	lea rcx, [rsi - 0x1000000]
	cmp rax, rcx
	check e
	mov rcx, [rsp + 8]
	lea rax, [rax + rcx * 8]
	cmp rax, 0x200000
	check e
.neither:
	ret
on_nmi:
	push rax
	inc dword [nmis]
	cmp byte [inside], 0
	je .first
	mov byte [nested], 1
.first:
	mov byte [inside], 1
	mov eax, APIC
	cmp byte [faulting], 0
	je .plain
	mov byte [faulting], 0
	mov dword [rax + 0x300], 0x4400
	mov byte [inside], 0
	ud2				; its IRETQ ends the blocking
	cmp dword [nmis], 2
	check e
.plain:
	cmp byte [again], 0
	je .last
	mov byte [again], 0
	mov dword [rax + 0x300], 0x4400
	mov dword [rax + 0x300], 0x4400
	push rcx
	settle
	pop rcx
.last:
	mov byte [inside], 0
	pop rax
	iretq
on_ud:
	add qword [rsp], 2
	iretq
all_vectors:
	dw 0x1000 - 1
	dq IDT
align 4
log_at:	dd log
string_irqs: dd 0
nmis:	dd 0
x2:	dd 0
keep:	db 0
again:	db 0
nested:	db 0
inside:	db 0
faulting: db 0
count_then: db 0
log:	times 16 db 0
log_end:
	frame
