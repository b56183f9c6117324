; SPDX-License-Identifier: GPL-2.0-or-later
; segments.asm: 32-bit protected mode: every type of descriptor, DPL, RPL and presence against what loads or
; examines it, in rings 0 and 3, by the rules of SDM vol. 3, chapter 5, and vol. 2 (MOV, LAR, LSL, VERR, JMP, LLDT,
; LTR); the LDT; call gates of both sizes; exceptions only 32-bit code has.
%include "flat.inc"
TESTED equ FREE
GATE equ FREE + 8
	start_flat "segments "

	; ---- ebp: bits 0-4 type and S, 5-6 DPL, 7 present, 8-9 RPL, 10 ring 3
	mov esp, STACK0 - 0x400		; out of the way of exceptions
	xor ebp, ebp
.next:
	mov eax, ebp
	and eax, 0xff
	shl eax, 8
	mov ecx, ebp
	and ecx, 0x1c
	mov edx, 0xffff
	cmp ecx, 0x14			; expand-down: from 4 KiB on
	mov ecx, 0x00cf0000
	jne .up
	mov ecx, 0x00400000
	mov edx, 0x0fff
.up:
	or eax, ecx
	mov [gdt + TESTED + 4], eax
	mov [gdt + TESTED], edx
	mov ebx, ebp
	shr ebx, 8
	and ebx, 3
	or ebx, TESTED
	mov [far_pointer + 4], bx
	xor edi, edi			; what is done with it
.operation:
	call try
	inc edi
	cmp edi, 7
	jb .operation
	inc ebp
	cmp ebp, 1 << 11
	jb .next
	mov esp, STACK0

	; ---- the accessed bit
	descriptor TESTED, 0x1234, 0x00409200
	mov ax, TESTED
	mov fs, ax
	test byte [gdt + TESTED + 5], 1
	check nz
	descriptor TESTED, 0x1234, 0x00409200
	lar ebx, eax
	test byte [gdt + TESTED + 5], 1
	check z
	; null selectors: loading is fine, using is not
	xor eax, eax
	mov fs, ax
	mov gs, ax
	faults 13, 0, mov al, [fs:0]
	faults 13, 0, mov [gs:SCRATCH], al
	mov ax, 3
	mov fs, ax
	mov bx, fs
	cmp bx, 3
	check e
	xor eax, eax
	faults 13, 0, mov ss, ax
	; beyond the table; without an LDT
	mov ax, GDT_END
	faults 13, GDT_END, mov ds, ax
	mov ax, GDT_END - 8 + 4
	faults 13, GDT_END - 8 + 4, mov ds, ax
	mov ax, 0xffff
	faults 13, 0xfffc, mov ss, ax
	lar ebx, eax
	check nz
	; read-only and execute-only
	descriptor TESTED, 0xffff, 0x00409000
	mov ax, TESTED
	mov fs, ax
	mov al, [fs:SCRATCH & 0xff]
	faults 13, 0, mov [fs:0], al
	faults 13, 0, inc byte [fs:0]
	faults 13, 0, mov [cs:SCRATCH], al
	descriptor TESTED, 0xffff, 0x00409a00	; code, readable
	mov ax, TESTED
	mov fs, ax
	mov al, [fs:0]
	faults 13, 0, mov [fs:0], al

	; ---- LLDT, LTR, and selectors of the LDT
	mov ax, DATA
	faults 13, DATA, lldt ax
	faults 13, DATA, ltr ax
	mov ax, TSS
	faults 13, TSS, ltr ax		; busy
	faults 13, TSS, lldt ax
	xor eax, eax
	faults 13, 0, ltr ax
	lldt ax
	sldt bx
	test bx, bx
	check z
	mov ax, 7
	faults 13, 4, mov ds, ax
	faults 13, 4, lldt ax
	faults 13, 4, ltr ax
	descriptor TESTED, 15, 0x00000200
	mov ax, TESTED
	faults 11, TESTED, lldt ax
	mov eax, ldt
	mov [gdt + TESTED + 2], ax
	shr eax, 16
	mov [gdt + TESTED + 4], al
	mov byte [gdt + TESTED + 5], 0x82
	mov ax, TESTED
	lldt ax
	sldt ebx
	cmp ebx, TESTED
	check e
	mov ax, 4
	mov fs, ax
	mov eax, [fs:0]
	mov ax, 0xc
	mov fs, ax			; base 0x30000
	mov dword [SCRATCH + 8], 0x55aa
	mov eax, [fs:8]
	cmp eax, 0x55aa
	check e
	mov ax, 0x14
	faults 13, 0x14, mov fs, ax
	xor eax, eax
	lldt ax
	descriptor TESTED, 0x67, 0x00008b00	; a busy TSS
	mov ax, TESTED
	faults 13, TESTED, ltr ax
	mov byte [gdt + TESTED + 5], 0x09
	faults 11, TESTED, ltr ax
	mov byte [gdt + TESTED + 5], 0x89
	mov eax, tss
	mov [gdt + TESTED + 2], ax
	mov ax, TESTED
	ltr ax
	test byte [gdt + TESTED + 5], 2
	check nz
	mov byte [gdt + TSS + 5], 0x89
	mov ax, TSS
	ltr ax

	; ---- expand-down segments: what lies above the limit
	descriptor TESTED, 0x0fff, 0x00409600	; 32 bits: to 4 GiB
	mov ax, TESTED
	mov fs, ax
	faults 13, 0, mov al, [fs:0xfff]
	faults 13, 0, mov eax, [fs:0xffe]
	mov al, [fs:0x1000]
	mov eax, [fs:SCRATCH]
	mov byte [gdt + TESTED + 6], 0x00	; 16 bits: to 64 KiB
	mov fs, ax
	mov ax, TESTED
	mov fs, ax
	mov al, [fs:0xffff]
	faults 13, 0, mov al, [fs:0x10000]
	faults 13, 0, mov eax, [fs:0xfffd]
	mov eax, [fs:0xfffc]
	faults 13, 0, mov al, [fs:0xfff]

	; ---- call gates: 32 and 16 bits, with and without parameters, to an inner ring and to the same
%macro gate_to 4			; type, DPL, parameters, offset
	mov eax, %4
	mov [gdt + GATE], ax
	mov word [gdt + GATE + 2], CODE
	mov word [gdt + GATE + 4], (0x80 | %2 << 5 | %1) << 8 | %3
	shr eax, 16
	mov [gdt + GATE + 6], ax
%endmacro
	gate_to 12, 3, 3, in_gate
	user_begin
	push dword 0x1111
	push dword 0x2222
	push dword 0x3333
	call GATE | 3:0x12345678
	cmp esp, STACK3
	check e
	mov ax, cs
	cmp ax, UCODE
	check e
	user_end
	same [SCRATCH], 0x3333
	same [SCRATCH + 4], 0x2222
	same [SCRATCH + 8], 0x1111
	same [SCRATCH + 12], STACK3 - 12
	same [SCRATCH + 16], UDATA
	same [SCRATCH + 20], STACK0 - 28
	gate_to 4, 3, 2, in_gate16
	user_begin
	push word 0x1111
	push word 0x2222
	call GATE | 3:0
	cmp sp, STACK3 & 0xffff
	check e
	user_end
	cmp dword [SCRATCH], 0x11112222
	check e
	cmp word [SCRATCH + 4], (STACK3 - 4) & 0xffff
	check e
	cmp word [SCRATCH + 6], UDATA
	check e
	gate_to 12, 3, 0, in_gate_same
	call GATE:0			; the same ring: the same stack
	cmp esp, STACK0
	check e
	jmp GATE:0
in_gate_jumped:
	gate_to 12, 0, 0, in_gate_same
	user_faults 13, GATE, call GATE:0 ; DPL
	gate_to 12, 2, 0, in_gate_same
	user_faults 13, GATE, call GATE | 3:0
	gate_to 12, 3, 0, in_gate_same
	user_faults 13, CODE, jmp GATE:0 ; a jump may not go inwards
	mov byte [gdt + GATE + 5], 0x6c
	user_faults 11, GATE, call GATE:0
	gate_to 12, 3, 0, in_gate_same
	mov word [gdt + GATE + 2], 0
	faults 13, 0, call GATE:0
	mov word [gdt + GATE + 2], DATA
	faults 13, DATA, call GATE:0
	mov word [gdt + GATE + 2], UCODE & ~3
	faults 13, UCODE & ~3, call GATE:0 ; outwards
	mov word [gdt + GATE + 2], GDT_END
	faults 13, GDT_END, call GATE:0
	descriptor TESTED, 0xffff, 0x00cf1a00
	mov word [gdt + GATE + 2], TESTED
	faults 11, TESTED, call GATE:0
	; the inner stack: null, of the wrong ring, read-only, absent, none in the TSS
	gate_to 12, 3, 0, in_gate_same
	descriptor TESTED, 0xffff, 0x00cfba00	; ring 1
	gate_to 12, 3, 0, in_gate_same
	mov word [gdt + GATE + 2], TESTED
	mov dword [tss + 12], 0x1a000
%macro inner 2-3			; vector, code, SS1
	mov word [tss + 16], %3
	user_faults %1, %2, call GATE:0
%endmacro
	inner 10, 0, 0
	inner 10, DATA, DATA | 1	; DPL 0
	inner 10, DATA, DATA
	inner 10, GDT_END, GDT_END | 1
	descriptor GATE + 8, 0xffff, 0x00cfb000
	inner 10, GATE + 8, (GATE + 8) | 1 ; read-only
	descriptor GATE + 8, 0xffff, 0x00cf3200
	inner 12, GATE + 8, (GATE + 8) | 1
	descriptor GATE + 8, 0xffff, 0x00cfb200
	inner 10, GATE + 8, GATE + 8	; RPL 0
	descriptor GATE + 8, 0xfff, 0x0040b200 ; no room
	inner 12, GATE + 8, (GATE + 8) | 1
	mov word [gdt + TSS], 15	; nothing but ring 0's stack in the TSS
	mov byte [gdt + TSS + 5], 0x89
	mov ax, TSS
	ltr ax
	inner 10, TSS, DATA | 1
	mov word [gdt + TSS], 0x67
	mov byte [gdt + TSS + 5], 0x89
	ltr ax

	; ---- far transfers to code
	descriptor TESTED, 0xffff, 0x00cf9a00
	call TESTED:far_target
	cmp ebx, TESTED
	check e
	descriptor TESTED, 0xffff, 0x00cf9e00	; conforming
	call TESTED:far_target
	user_begin
	call TESTED:far_target
	cmp ebx, TESTED | 3
	check e
	user_end
	descriptor TESTED, 0x0fff, 0x00409a00	; the target beyond the limit
	faults 13, 0, jmp TESTED:far_target
	faults 13, 0, call TESTED:far_target
	descriptor TESTED, 0xffff, 0x00cffa00
	faults 13, TESTED, jmp TESTED:far_target
	faults 13, TESTED, jmp TESTED | 3:far_target
	faults 13, 0, jmp 0:far_target
	faults 13, 0, jmp 3:far_target
	; RETF outwards makes selectors of inner rings null
	mov ax, UDATA
	mov fs, ax
	mov ax, DATA
	mov gs, ax
	mov es, ax
	push dword UDATA
	push dword STACK3
	push dword UCODE
	push dword .outside
	retf
.outside:
	mov ax, es
	mov bx, gs
	or ax, bx
	check z
	mov ax, fs
	cmp ax, UDATA
	check e
	mov dword [fs:resume], .inside
	ud2
.inside:
	push dword DATA
	push dword STACK3
	push dword UCODE
	push dword .outside
	mov dword [resume], .bad_ss
	mov dword [seen], -2
	retf				; SS of ring 0
.bad_ss:
	same [seen], 13
	same [code], DATA
	push dword DATA			; CS is no code
	push dword .outside
	mov dword [resume], .bad_cs
	mov dword [seen], -2
	retf
	missed
.bad_cs:

	; ---- only here
	mov al, 5
	faults 0, -1, aam 0
	mov al, 0x7f
	add al, 1
	traps 4, -1, into
	mov al, 1
	add al, 1
	into				; OF is clear
	mov dword [SCRATCH], 10
	mov dword [SCRATCH + 4], 20
	mov eax, 10
	bound eax, [SCRATCH]
	mov eax, 20
	bound eax, [SCRATCH]
	mov eax, 21
	faults 5, -1, bound eax, [SCRATCH]
	mov eax, -1
	faults 5, -1, bound eax, [SCRATCH]
	mov word [SCRATCH], -5
	mov word [SCRATCH + 2], 5
	mov ax, -5
	bound ax, [SCRATCH]
	mov ax, 6
	faults 5, -1, bound ax, [SCRATCH]
	faults 6, -1, db 0x62, 0xc0	; of a register
	faults 6, -1, db 0xc4, 0xc0	; LES of a register
	faults 6, -1, db 0x0f, 0x05 ; SYSCALL, which EFER.SCE forbids
	faults 13, 0, sysenter		; no code segment
	faults 13, 0, sysexit
	user_faults 13, 0, cli
	user_faults 13, 0x20 * 8 + 2, int 0x20
	success

; One operation (edi) on the descriptor (ebp), and what it must come to.
try:
	mov ecx, ebp
	and ecx, 0x10
	jnz .memory
	cmp edi, 6			; gates and tasks are not for here
	je .end
.memory:
	mov [saved], esp
	mov dword [resume], .back
	mov dword [seen], -2
	mov ecx, 0x5a5a5a5a
	movzx ebx, word [far_pointer + 4]
	mov eax, [operations + edi * 4]
	test ebp, 1 << 10
	jz .ring0
	push dword UDATA
	push dword STACK3
	push dword 2
	push dword UCODE
	push eax
	mov dx, UDATA
	mov ds, dx
	iretd
.ring0:
	jmp eax
.back:
	mov esp, [saved]
	mov [result], ecx
	call rules			; eax vector, ecx code or result, edx ZF
	cmp eax, [seen]
	jne .wrong
	cmp eax, 6
	jne .fault
	lea eax, [edi - 2]
	cmp eax, 4
	jae .end
	mov ebx, [frame_flags]
	shr ebx, 6
	and ebx, 1
	cmp ebx, edx
	jne .wrong
	cmp edi, 4
	jae .end
	cmp ecx, [result]
	jne .wrong
.end:
	ret
.fault:
	cmp dword [code], TESTED
	je .end
.wrong:
	push ecx
	mov ebx, ebp
	call print_hex
	mov ebx, edi
	call print_hex
	mov ebx, [seen]
	call print_hex
	mov ebx, [code]
	call print_hex
	mov ebx, [frame_eip]
	call print_hex
	pop ebx
	call print_hex
	mov ax, 0xbad
	jmp failed

; bl type and S, bh DPL, cl RPL, ch CPL
rules:
	mov eax, ebp
	mov bl, al
	and bl, 0x1f
	shr al, 5
	and al, 3
	mov bh, al
	mov ecx, ebp
	shr ecx, 8
	and ecx, 3
	test ebp, 1 << 10
	jz .cpl
	mov ch, 3
.cpl:
	jmp [.rule + edi * 4]
align 4
.rule:	dd .data, .stack, .lar, .lsl, .verr, .verw, .jump
; carry: DPL < RPL or CPL
.privilege:
	cmp bh, cl
	jb .less
	cmp bh, ch
.less:
	ret
.is_conforming:				; zero: conforming code
	mov al, bl
	and al, 0x1c
	cmp al, 0x1c
	ret
.data:
	test bl, 0x10
	jz .gp
	mov al, bl
	and al, 0x0a
	cmp al, 0x08			; execute-only
	je .gp
	call .is_conforming
	je .data_present
	call .privilege
	jb .gp
.data_present:
	test ebp, 0x80
	jnz .fine
	mov eax, 11
	ret
.stack:
	mov al, bl
	and al, 0x1a
	cmp al, 0x12			; writable data
	jne .gp
	cmp cl, ch
	jne .gp
	cmp bh, ch
	jne .gp
	test ebp, 0x80
	jnz .fine
	mov eax, 12
	ret
.jump:
	mov al, bl
	and al, 0x18
	cmp al, 0x18
	jne .gp
	call .is_conforming
	jne .jump_direct
	cmp bh, ch
	ja .gp
	jmp .data_present
.jump_direct:
	cmp cl, ch
	ja .gp
	cmp bh, ch
	jne .gp
	jmp .data_present
.lar:
	mov edx, 0x1a3e			; types 1-5, 9, 11, 12
	call .visible
	mov ecx, [gdt + TESTED + 4]
	and ecx, 0x00f0ff00
	jmp .shown
.lsl:
	mov edx, 0x0a0e			; types 1-3, 9, 11
	call .visible
	mov ecx, -1
	cmp word [gdt + TESTED], 0x0fff
	jne .shown
	mov ecx, 0x0fff
.shown:
	and edx, 1
	jnz .fine
	mov ecx, 0x5a5a5a5a
	jmp .fine
.verr:
	xor edx, edx
	call .visible
	mov al, bl
	and al, 0x0a
	cmp al, 0x08
	je .not
	jmp .fine
.verw:
	xor edx, edx
	call .visible
	mov al, bl
	and al, 0x1a
	cmp al, 0x12
	je .fine
.not:
	xor edx, edx
.fine:
	mov eax, 6
	ret
.gp:
	mov eax, 13
	ret
; edx: system types that may be seen; then 1: seen
.visible:
	test bl, 0x10
	jnz .not_system
	mov al, bl
	push ecx
	mov cl, al
	shr edx, cl
	pop ecx
	and edx, 1
	jmp .system
.not_system:
	mov edx, 1
	call .is_conforming
	je .seen
.system:
	call .privilege
	jae .seen
	xor edx, edx
.seen:
	ret
do_data:
	mov fs, bx
	ud2
do_stack:
	mov ss, bx
	ud2
do_lar:
	lar ecx, ebx
	ud2
do_lsl:
	lsl ecx, ebx
	ud2
do_verr:
	verr bx
	ud2
do_verw:
	verw bx
	ud2
do_jump:
	jmp far [far_pointer]
landed:
	ud2
align 4
operations: dd do_data, do_stack, do_lar, do_lsl, do_verr, do_verw, do_jump
far_pointer: dd landed
	dw 0
align 4
saved:	dd 0
result:	dd 0
in_gate:				; [esp]: EIP, CS, three parameters, ESP, SS
	push esi
	lea esi, [esp + 12]
	mov edi, SCRATCH
	mov ecx, 5
	push ds
	push es
	mov ax, DATA
	mov ds, ax
	mov es, ax
	rep movsd
	pop es
	pop ds
	pop esi
	mov [ss:SCRATCH + 20], esp
	retf 12
in_gate16:
	mov eax, [esp + 4]
	mov [ss:SCRATCH], eax
	mov eax, [esp + 8]
	mov [ss:SCRATCH + 4], eax
	o16 retf 4
in_gate_same:
	cmp esp, STACK0
	je in_gate_jumped
	retf
far_target:
	mov bx, cs
	movzx ebx, bx
	retf
ldt:
	dq 0x00cf92000000ffff
	dq 0x004092030000ffff
	frame
