; SPDX-License-Identifier: GPL-2.0-or-later
; paging.asm: 4-level paging: every combination of rights in the leaf and in one table above it, CR0.WP, SMEP,
; SMAP, RFLAGS.AC and NXE, for loads, stores and fetches of rings 0 and 3, against the rules of SDM vol. 3, 4.6
; and 4.7; accessed and dirty bits (4.8); large pages.
%include "long.inc"
AREA equ 1 << 39			; what is tested, by tables of its own
PDPT2 equ 0x28000
PD2 equ 0x29000
PT2 equ 0x2a000
LOW equ 0x800000			; the first 2 MiB for ring 3
P equ 1
W equ 2
U equ 4
	start_long 0x83, "paging "
	mov dword [PD + (LOW >> 21) * 8], 0x87
	mov dword [PML4 + 8], PDPT2 | 7
	mov dword [PDPT2], PD2 | 7
	mov dword [PD2], PT2 | 7
	mov dword [SCRATCH], 0x0b0f	; UD2
	mov rax, cr3
	mov cr3, rax
	mov eax, 7
	xor ecx, ecx
	cpuid
	xor r15d, r15d			; CR4 bits there are
	bt ebx, 7
	jnc .no_smep
	bts r15d, 20
.no_smep:
	bt ebx, 20
	jnc .no_smap
	bts r15d, 21
.no_smap:
	mov eax, 0x80000008
	cpuid
	mov rcx, 1 << 51
	cmp al, 52
	jb .reserved
	xor ecx, ecx
.reserved:
	mov [reserved], rcx

	; r12: bit 0 WP, 1 SMEP, 2 SMAP, 3 AC, 4 NXE
	mov rsp, STACK0 - 0x400		; out of the way of exceptions from ring 3
	xor r12d, r12d
.modes:
	call set_mode
	test eax, eax
	jz .next_mode
	; r13: bits 0-4 leaf not P, W, U, NX, reserved; 5-9 the same of the table; 10-11 which table (PML4E, PDPTE, PDE)
	xor r13d, r13d
.entries:
	mov eax, r13d			; of a table that is not there, or bad, the leaf does not matter
	test eax, 0x220
	jz .wanted
	test eax, 0x1f
	jnz .next_entry
.wanted:
	call set_entries
	xor r14d, r14d			; bit 0 ring 3; 1-2: load, store, fetch
.accesses:
	call access
	inc r14d
	cmp r14d, 6
	jb .accesses
.next_entry:
	inc r13d
	cmp r13d, 3 << 10
	jb .entries
.next_mode:
	inc r12d
	cmp r12d, 32
	jb .modes

	; ---- large pages
	mov r12d, 0x11			; WP, NXE
	call set_mode
	mov qword [PML4 + 8], PDPT2 | 7
	mov qword [PDPT2], PD2 | 7
%macro large 2				; entry, value
	mov rax, %2
	mov [%1], rax
	mov rax, cr3
	mov cr3, rax
%endmacro
%macro fine 1
	mov rax, %1
	mov cl, [rax]
%endmacro
	large PD2, 0x87
	fine AREA + SCRATCH
	test dword [PD2], 0x60
	check nz
	test dword [PD2], 0x40
	check z
	mov rax, AREA + SCRATCH + 8
	mov [rax], cl
	test dword [PD2], 0x40
	check nz
	large PD2, 0x85
	mov rbx, AREA + SCRATCH
	faults 14, 3, mov [rbx], cl
	large PD2, 0x2087		; bit 13 is reserved
	faults 14, 9, mov cl, [rbx]
	large PD2, 0x100087
	faults 14, 9, mov cl, [rbx]
	large PD2, 0x1087		; bit 12 is PAT
	mov cl, [rbx]
	mov eax, 0x80000001
	cpuid
	mov rbx, AREA + SCRATCH
	bt edx, 26
	jnc .no_huge
	large PDPT2, 0x87
	mov cl, [rbx]
	test dword [PDPT2], 0x20
	check nz
	large PDPT2, 0x2087
	faults 14, 9, mov cl, [rbx]
	large PDPT2, 0x200087
	faults 14, 9, mov cl, [rbx]
	large PDPT2, 0x1087
	mov cl, [rbx]
.no_huge:
	large PML4 + 8, PDPT2 | 0x87	; PS is reserved there
	faults 14, 9, mov cl, [rbx]
	mov qword [PML4 + 8], PDPT2 | 7
	mov qword [PDPT2], PD2 | 7
	large PD2, PT2 | 7

	; ---- global pages stay over a CR3 write, and INVLPG takes them
	mov rax, cr4
	bts rax, 7
	mov cr4, rax
	mov dword [SCRATCH + 0x1000], 0x1111
	mov dword [SCRATCH + 0x2000], 0x2222
	mov qword [PT2], (SCRATCH + 0x1000) | 3
	mov rbx, AREA
	invlpg [rbx]
	cmp dword [rbx], 0x1111
	check e
	mov qword [PT2], (SCRATCH + 0x2000) | 3
	mov rax, cr3
	mov cr3, rax
	cmp dword [rbx], 0x2222
	check e
	mov qword [PT2], (SCRATCH + 0x1000) | 0x103
	invlpg [rbx]
	cmp dword [rbx], 0x1111
	check e
	mov qword [PT2], (SCRATCH + 0x2000) | 0x103
	invlpg [rbx]
	cmp dword [rbx], 0x2222
	check e
	mov qword [PT2], (SCRATCH + 0x1000) | 0x103
	mov rax, cr4			; toggling PGE takes all of them
	btr rax, 7
	mov cr4, rax
	bts rax, 7
	mov cr4, rax
	cmp dword [rbx], 0x1111
	check e

	; ---- across a border: the first byte that faults is the one reported, and nothing is written
	mov qword [PT2], (SCRATCH + 0x1000) | 3
	mov qword [PT2 + 8], 0
	mov rax, cr3
	mov cr3, rax
	mov rbx, AREA + 0xffc
	mov qword [SCRATCH + 0x1ff8], 0
	mov rcx, -1
	mov rsi, AREA + 0x1000
%macro crosses 2+
	faults 14, %1, %2
	mov rax, cr2
	cmp rax, rsi
	check e
	cmp qword [SCRATCH + 0x1ff8], 0
	check e
%endmacro
	crosses 2, mov [rbx], rcx
	crosses 2, add [rbx], rcx
	crosses 2, xchg [rbx], rcx
	crosses 2, lock inc qword [rbx]
	crosses 2, movups [rbx], xmm0
	crosses 0, mov rax, [rbx]
	crosses 0, movups xmm0, [rbx]
	mov rdi, rbx
	crosses 2, stosq
	mov qword [PT2], (SCRATCH + 0x1000) | 1
	mov qword [PT2 + 8], (SCRATCH + 0x2000) | 3
	mov rax, cr3
	mov cr3, rax
	mov rsi, rbx
	crosses 3, mov [rbx], rcx
	mov qword [PT2], (SCRATCH + 0x1000) | 3
	invlpg [rbx]
	mov qword [SCRATCH + 0x2000], 0
	mov [rbx], rcx
	cmp dword [SCRATCH + 0x1ffc], -1
	check e
	cmp dword [SCRATCH + 0x2000], -1
	check e
	lock inc qword [rbx]
	cmp dword [SCRATCH + 0x1ffc], 0
	check e
	; pages that lie apart
	mov qword [PT2 + 8], (SCRATCH + 0x4000) | 3
	invlpg [rbx + 8]
	mov qword [SCRATCH + 0x4000], 0
	mov rax, 0x1122334455667788
	mov [rbx - 3], rax
	cmp byte [SCRATCH + 0x4000], 0x11
	check e
	lock xadd [rbx - 3], rax
	cmp byte [SCRATCH + 0x4000], 0x22
	check e
	; code across the border
	mov dword [SCRATCH + 0x1ffd], 0x3412b866	; mov ax, 0x1212, of which the last byte
	mov word [SCRATCH + 0x4000], 0xc312
	mov rax, AREA + 0xffd
	call rax
	cmp ax, 0x1212
	check e
	mov qword [PT2 + 8], 0
	invlpg [rbx + 8]
	mov rax, AREA + 0xffd
	mov qword [resume], .not_fetched
	mov qword [seen], -2
	call rax
	missed
.not_fetched:
	same [seen], 14
	same [code], 0x10
	mov rax, AREA + 0xffd
	cmp [frame_rip], rax
	check e
	mov rax, AREA + 0x1000
	mov rcx, cr2
	cmp rax, rcx
	check e
	success

; Mode r12; eax = 0: there is no such.
set_mode:
	xor eax, eax
	mov ecx, r12d
	and ecx, 6
	shl ecx, 19			; SMEP, SMAP
	mov edx, r15d
	not edx
	test ecx, edx
	jnz .end
	test r12d, 4
	jnz .smap
	test r12d, 8			; AC alone says nothing
	jnz .end
.smap:
	mov rax, cr4
	and eax, ~(3 << 20)
	or eax, ecx
	mov cr4, rax
	mov rax, cr0
	btr eax, 16
	test r12d, 1
	jz .wp
	bts eax, 16
.wp:
	mov cr0, rax
	mov ecx, 0xc0000080
	rdmsr
	btr eax, 11
	test r12d, 16
	jz .nxe
	bts eax, 11
.nxe:
	wrmsr
	mov eax, 1
.end:
	ret

; ecx: bits 0-4 as in r13; rax: address, to which the bits are added
entry:
	xor edx, edx
	test ecx, 1
	jnz .absent
	or eax, P
.absent:
	test ecx, 2
	jz .not_w
	or eax, W
.not_w:
	test ecx, 4
	jz .not_u
	or eax, U
.not_u:
	test ecx, 8
	jz .not_nx
	bts rax, 63
.not_nx:
	test ecx, 16
	jz .not_reserved
	or rax, [reserved]
.not_reserved:
	ret
set_entries:
	mov dword [PML4 + 8], PDPT2 | 7
	mov dword [PML4 + 12], 0
	mov dword [PDPT2], PD2 | 7
	mov dword [PDPT2 + 4], 0
	mov dword [PD2], PT2 | 7
	mov dword [PD2 + 4], 0
	mov ecx, r13d
	mov eax, SCRATCH
	call entry
	mov [leaf], rax
	mov ecx, r13d
	shr ecx, 5
	mov ebx, r13d
	shr ebx, 10
	mov edi, [tables + rbx * 8]	; address of the entry, what it points to
	mov eax, [tables + rbx * 8 + 4]
	call entry
	mov [rdi], rax
	ret
align 4
tables:	dd PML4 + 8, PDPT2, PDPT2, PD2, PD2, PT2

; Access r14 under all this.
access:
	mov rax, [leaf]
	mov [PT2], rax
	mov rdi, AREA
	invlpg [rdi]
	mov qword [seen], -2
	mov qword [resume], .back
	xor eax, eax
	mov cr2, rax
	mov eax, r14d
	shr eax, 1
	mov eax, [stubs_at + rax * 4]
	mov ecx, 2
	test r12d, 8
	jz .no_ac
	bts ecx, 18
.no_ac:
	mov [saved], rsp
	test r14d, 1
	jz .ring0
	add eax, LOW
	push qword UDATA
	push qword LOW + STACK3
	push rcx
	push qword UCODE
	push rax
	iretq
.ring0:
	push rcx
	popfq
	jmp rax
.back:
	mov rsp, [saved]
	push qword 2
	popfq
	call expected			; eax vector, ecx code
	cmp eax, [seen]
	jne .wrong
	cmp eax, 6
	je .no_fault
	cmp ecx, [code]
	jne .wrong
	mov rax, cr2
	cmp rax, rdi
	jne .wrong
	test dword [PT2], 0x40		; no dirty bit by a fault
	jnz .wrong
	ret
.no_fault:
	mov eax, [PT2]
	and eax, 0x60
	mov ecx, 0x20
	mov edx, r14d
	and edx, 6
	cmp edx, 2
	jne .clean
	mov ecx, 0x60
.clean:
	cmp eax, ecx
	jne .wrong
	mov eax, [PML4 + 8]
	and eax, [PDPT2]
	and eax, [PD2]
	and eax, 0x60
	cmp eax, 0x20
	jne .wrong
	ret
.wrong:
	push rcx
	mov ebx, r12d
	call print_hex
	mov ebx, r13d
	call print_hex
	mov ebx, r14d
	call print_hex
	mov ebx, [seen]
	call print_hex
	mov ebx, [code]
	call print_hex
	pop rbx
	call print_hex
	mov ebx, [PT2]
	call print_hex
	mov ax, 0xbad
	jmp failed

; The rules. eax: vector (6: it goes through and ends at UD2), ecx: error code.
expected:
	xor ecx, ecx
	mov eax, r13d
	shr eax, 5
	call .bad
	jc .fault
	mov eax, r13d
	call .bad
	jc .fault
	mov ecx, P
	mov eax, r13d			; rights both give
	shr eax, 5
	and eax, r13d			; 2 W, 4 U
	mov edx, r13d
	shr edx, 5
	or edx, r13d			; 8 NX
	test r14d, 1
	jnz .user
	cmp r14d, 4
	jae .system_fetch
	test eax, 4
	jz .system_data
	test r12d, 4			; SMAP
	jz .system_data
	test r12d, 8			; AC
	jz .fault
.system_data:
	cmp r14d, 2
	jb .fine
	test eax, 2
	jnz .fine
	test r12d, 1			; WP
	jnz .fault
	jmp .fine
.system_fetch:
	test edx, 8
	jnz .fault
	test eax, 4
	jz .fine
	test r12d, 2			; SMEP
	jnz .fault
	jmp .fine
.user:
	test eax, 4
	jz .fault
	cmp r14d, 4
	jae .user_fetch
	cmp r14d, 2
	jb .fine
	test eax, 2
	jz .fault
	jmp .fine
.user_fetch:
	test edx, 8
	jnz .fault
.fine:
	mov eax, 6
	ret
.fault:
	mov eax, r14d
	shr eax, 1
	cmp eax, 1
	jb .coded
	jne .fetch
	or ecx, W
	jmp .coded
.fetch:
	test r12d, 16 | 2		; NXE, SMEP
	jz .coded
	or ecx, 16
.coded:
	test r14d, 1
	jz .coded_ring
	or ecx, U
.coded_ring:
	mov eax, 14
	ret
; Is an entry (bits in eax) absent or malformed? ecx = error code
.bad:
	xor ecx, ecx
	test eax, 1
	jnz .is_bad
	test eax, 16
	jz .not_reserved
	cmp qword [reserved], 0
	jne .malformed
.not_reserved:
	test eax, 8
	jz .good
	test r12d, 16			; NX without NXE
	jnz .good
.malformed:
	mov ecx, P | 8
.is_bad:
	stc
	ret
.good:
	clc
	ret

stub_load:
	mov al, [rdi]
	ud2
stub_store:
	mov dword [rdi], 0x0b0f
	ud2
stub_fetch:
	jmp rdi
align 8
stubs_at: dd stub_load, stub_store, stub_fetch
align 8
leaf:	dq 0
saved:	dq 0
reserved: dq 0
	frame
