; SPDX-License-Identifier: GPL-2.0-or-later
; paging32.asm: 32-bit paging with 4 KiB and 4 MiB pages, and PAE paging with its page-directory pointers: rights of
; both levels in both rings, WP, NX, SMEP, reserved bits, accessed and dirty bits, what MOV to CR3 and CR4 checks.
; Spec: SDM vol. 3, 4.3, 4.4, 4.6 to 4.8.
%include "flat.inc"
DIRECTORY equ 0x40000
TABLE0 equ 0x41000			; the first 4 MiB (or 2), to themselves
TABLE1 equ 0x42000			; what is tested, at AREA
POINTERS equ 0x43000
AREA equ 0x800000
	start_flat "paging32 "
	; ---- two levels
	mov edi, DIRECTORY
	mov ecx, 0x4000 / 4
	xor eax, eax
	rep stosd
	mov edi, TABLE0
	mov eax, 7
.fill:
	stosd
	add eax, 0x1000
	cmp eax, 0x400007
	jb .fill
	mov dword [DIRECTORY], TABLE0 | 7
	mov eax, DIRECTORY
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80010000		; PG, WP
	mov cr0, eax
	mov dword [SCRATCH], 0x90c3	; RET

; Entries of the directory and the table, then who may what: for loads, stores and fetches the error code of ring 0
; and of ring 3 (-1: fine).
%macro rights 8
	mov dword [DIRECTORY + (AREA >> 22) * 4], TABLE1 | %1
	mov dword [TABLE1], SCRATCH | %2
	all_ways %3, %4, %5, %6, %7, %8
%endmacro
%macro all_ways 6
	mov eax, cr3
	mov cr3, eax
	way %1, mov al, [AREA]
	way %2, mov [AREA + 8], al
	way %3, call AREA
	user_way %4, mov al, [AREA]
	user_way %5, mov [AREA + 8], al
	user_fetch %6
%endmacro
%macro way 2+
%if %1 == -1
	%2
%else
	mov dword [resume], %%after
	mov dword [seen], -2
	%2
	missed
%%after:
	same [seen], 14
	same [code], %1
%endif
%endmacro
%macro user_way 2+
%if %1 == -1
	user_runs %2
%else
	user_faults 14, %1, %2
	mov eax, cr2
	and eax, ~8
	cmp eax, AREA
	check e
%endif
%endmacro
%macro user_fetch 1
%if %1 == -1
	user_runs call AREA
%else
	user_begin
	call AREA
%$after:
	expect 14, %1, AREA
%pop
%endif
%endmacro
	;      PDE PTE  ring 0: load store fetch  ring 3
	rights 7,  7,   -1, -1, -1,               -1, -1, -1
	rights 7,  5,   -1, 3, -1,                -1, 7, -1
	rights 5,  7,   -1, 3, -1,                -1, 7, -1
	rights 7,  3,   -1, -1, -1,               5, 7, 5
	rights 3,  7,   -1, -1, -1,               5, 7, 5
	rights 1,  1,   -1, 3, -1,                5, 7, 5
	rights 7,  6,   0, 2, 0,                  4, 6, 4
	rights 6,  7,   0, 2, 0,                  4, 6, 4
	mov eax, cr0
	and eax, ~0x10000
	mov cr0, eax
	rights 7,  5,   -1, -1, -1,               -1, 7, -1
	rights 1,  1,   -1, -1, -1,               5, 7, 5
	mov eax, cr0
	or eax, 0x10000
	mov cr0, eax
	; accessed and dirty
%macro entry_is 3				; at, mask, value
	mov eax, [%1]
	and eax, %2
	cmp eax, %3
	check e
%endmacro
	mov dword [DIRECTORY + (AREA >> 22) * 4], TABLE1 | 7
	mov dword [TABLE1], SCRATCH | 7
	mov eax, cr3
	mov cr3, eax
	mov al, [AREA]
	entry_is TABLE1, 0x60, 0x20
	entry_is DIRECTORY + (AREA >> 22) * 4, 0x20, 0x20
	mov [AREA], al
	entry_is TABLE1, 0x60, 0x60
	; ---- 4 MiB pages: only with CR4.PSE, else bit 7 is ignored
	mov dword [DIRECTORY + (AREA >> 22) * 4], TABLE1 | 0x87
	mov eax, cr3
	mov cr3, eax
	mov dword [SCRATCH + 4], 0x1234
	same [AREA + 4], 0x1234
	mov eax, cr4
	or eax, 0x10
	mov cr4, eax
	mov dword [DIRECTORY + (AREA >> 22) * 4], 0x87
	mov eax, cr3
	mov cr3, eax
	same [AREA + SCRATCH + 4], 0x1234
	entry_is DIRECTORY + (AREA >> 22) * 4, 0x60, 0x20
	mov dword [AREA + SCRATCH + 4], 0x4321
	entry_is DIRECTORY + (AREA >> 22) * 4, 0x60, 0x60
	same [SCRATCH + 4], 0x4321
	mov dword [DIRECTORY + (AREA >> 22) * 4], 0x85
	mov eax, cr3
	mov cr3, eax
	faults 14, 3, mov [AREA + SCRATCH], eax
	mov dword [DIRECTORY + (AREA >> 22) * 4], 0x200087 ; bit 21
	mov eax, cr3
	mov cr3, eax
	faults 14, 11, mov [AREA + SCRATCH], eax
	user_faults 14, 13, mov al, [AREA + SCRATCH]
	; ---- SMEP
	mov eax, 7
	xor ecx, ecx
	cpuid
	bt ebx, 7
	jnc .no_smep
	mov edi, TABLE0			; this code: the supervisor's
	mov ecx, 1024
.supervisor:
	and byte [edi], ~4
	add edi, 4
	loop .supervisor
	mov eax, cr4
	or eax, 1 << 20
	mov cr4, eax
	mov dword [DIRECTORY + (AREA >> 22) * 4], TABLE1 | 7
	mov dword [TABLE1], SCRATCH | 7
	mov eax, cr3
	mov cr3, eax
	mov byte [SCRATCH], 0xc3
	mov al, [AREA]
	way 0x11, call AREA
	mov dword [TABLE1], SCRATCH | 3
	invlpg [AREA]
	call AREA
	mov eax, cr4
	and eax, ~(1 << 20)
	mov cr4, eax
	mov edi, TABLE0
	mov ecx, 1024
.user:
	or byte [edi], 4
	add edi, 4
	loop .user
.no_smep:

	; ---- PAE
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	mov edi, DIRECTORY
	mov ecx, 0x4000 / 4
	xor eax, eax
	rep stosd
	mov dword [POINTERS], DIRECTORY | 1
	mov dword [DIRECTORY], 0x87	; 2 MiB
	mov dword [DIRECTORY + (AREA >> 21) * 8], TABLE1 | 7
	mov dword [TABLE1], SCRATCH | 7
	mov eax, cr4
	or eax, 0x20
	mov cr4, eax
	mov eax, POINTERS
	mov cr3, eax
	mov ecx, 0xc0000080
	rdmsr
	or eax, 0x800			; NXE
	wrmsr
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
%macro rights_pae 10			; PDE, its upper half, PTE, its upper half, …
	mov dword [DIRECTORY + (AREA >> 21) * 8], TABLE1 | %1
	mov dword [DIRECTORY + (AREA >> 21) * 8 + 4], %2
	mov dword [TABLE1], SCRATCH | %3
	mov dword [TABLE1 + 4], %4
	all_ways %5, %6, %7, %8, %9, %10
%endmacro
NX equ 1 << 31
	rights_pae 7, 0, 7, 0,   -1, -1, -1,   -1, -1, -1
	rights_pae 7, 0, 5, 0,   -1, 3, -1,    -1, 7, -1
	rights_pae 5, 0, 3, 0,   -1, 3, -1,    5, 7, 0x15
	rights_pae 7, NX, 7, 0,  -1, -1, 0x11, -1, -1, 0x15
	rights_pae 7, 0, 7, NX,  -1, -1, 0x11, -1, -1, 0x15
	rights_pae 7, 0, 6, 0,   0, 2, 0x10,   4, 6, 0x14
	rights_pae 7, 0, 7, 1 << 30, 9, 11, 0x19, 13, 15, 0x1d ; bit 62
	rights_pae 7, 1 << 20, 7, 0, 9, 11, 0x19, 13, 15, 0x1d
	mov ecx, 0xc0000080
	rdmsr
	and eax, ~0x800
	wrmsr
	rights_pae 7, 0, 7, NX,  9, 11, 9,     13, 15, 13	; reserved without NXE; no I bit
	rights_pae 7, NX, 7, 0,  9, 11, 9,     13, 15, 13
	; the page-directory pointers are read by MOV to CR3, and checked
	mov dword [POINTERS + 8], DIRECTORY | 3	; bit 1 is reserved
	mov eax, POINTERS
	faults 13, 0, mov cr3, eax
	mov dword [POINTERS + 8], DIRECTORY | 0x21
	faults 13, 0, mov cr3, eax
	mov dword [POINTERS + 8], DIRECTORY | 0x81
	faults 13, 0, mov cr3, eax
	mov dword [POINTERS + 8], DIRECTORY | 1
	mov dword [POINTERS + 12], NX
	faults 13, 0, mov cr3, eax
	mov dword [POINTERS + 12], 0
	mov cr3, eax
	mov dword [DIRECTORY + (AREA >> 21) * 8], TABLE1 | 7
	mov dword [TABLE1 + 4], 0
	mov dword [DIRECTORY + (AREA >> 21) * 8 + 4], 0
	mov eax, cr3
	mov cr3, eax
	same [(1 << 30) + SCRATCH + 4], 0x4321	; the second pointer: the same tables
	mov dword [POINTERS + 8], DIRECTORY | 0x1e1 ; changed in memory only: not looked at
	invlpg [(1 << 30) + SCRATCH]
	same [(1 << 30) + SCRATCH + 4], 0x4321
	mov dword [POINTERS + 8], 0		; not present: no fault before it is used
	mov eax, POINTERS
	mov cr3, eax
	faults 14, 0, mov cl, [(1 << 30) + SCRATCH]
	; the upper reserved bits of CR3 are not there in 32 bits; PGE loads the pointers again
	mov dword [POINTERS + 8], DIRECTORY | 0x1e1
	mov eax, cr4
	xor eax, 0x80
	faults 13, 0, mov cr4, eax
	mov dword [POINTERS + 8], 0
	success
	frame
