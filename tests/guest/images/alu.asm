; SPDX-License-Identifier: GPL-2.0-or-later
; alu.asm: integer instructions over a grid of operands, in the code size BITS (16: real mode, 32: protected, 64:
; long), printed as one checksum of results and defined flags an instruction: what one engine prints, every
; other must. Flags that the manuals leave open are masked out. Spec: SDM vol. 1, appendix A; vol. 2.
%ifndef BITS
%define BITS 32
%endif
%if BITS == 64
%include "long.inc"
	start_long 0x87, "alu64 "
	gate 0, on_divide
%define POINTER qword
%define POPF popfq
%define PUSHF pushfq
%elif BITS == 32
%include "flat.inc"
	start_flat "alu32 "
	vector 0, on_divide
%define POINTER dword
%define POPF popfd
%define PUSHF pushfd
%else
%include "common.inc"
bits 16
org 0x7c00
	jmp 0:start
start:
	cli
	cld
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov sp, 0x7c00
	print "alu16 "
	mov word [0], on_divide
	mov word [2], 0
%define POINTER word
%define POPF popfw
%define PUSHF pushfw
%endif
%define A8 al
%define A16 ax
%define A32 eax
%define A64 rax
%define B8 bl
%define B16 bx
%define B32 ebx
%define B64 rbx
%define SIZE8 byte
%define SIZE16 word
%define SIZE32 dword
%define SIZE64 qword
; One instruction over the grid: which flags it defines.
%macro grid 2+
	mov POINTER [op], %%op
	mov word [mask], %1
	call run
	jmp %%end
%%op:
	%2
	ret
%%end:
%endmacro
%macro sized 1
%define A A%1
%define B B%1
%define SIZE SIZE%1
	grid 0x8d5, add A, B
	grid 0x8c5, or A, B
	grid 0x8d5, adc A, B
	grid 0x8d5, sbb A, B
	grid 0x8c5, and A, B
	grid 0x8d5, sub A, B
	grid 0x8c5, xor A, B
	grid 0x8d5, cmp A, B
	grid 0x8c5, test A, B
	grid 0x8d5, add SIZE [memory], 0x55
	grid 0x8d5, adc A, SIZE [memory]
	grid 0x8d5, sbb SIZE [memory], A
	grid 0x8d5, cmp SIZE [memory], -1
	grid 0x8d5, adc A, 0x7f
	grid 0x8d5, inc A
	grid 0x8d5, dec SIZE [memory]
	grid 0x8d5, neg A
	grid 0x8d5, not A
	grid 0x8d5, lock xadd SIZE [memory], A
	grid 0x8d5, xadd A, B
	grid 0x8d5, cmpxchg B, D%1L
	grid 0x8d5, xchg A, SIZE [memory]
	grid 0x801, mul B
	grid 0x801, imul B
	grid 0, div B
	grid 0, idiv B
	grid 0, div SIZE [memory]
	grid 0x0c4, shl A, cl
	grid 0x0c4, shr A, cl
	grid 0x0c4, sar A, cl
	grid 0x0d5, rol A, cl
	grid 0x0d5, ror A, cl
	grid 0x0d5, rcl A, cl
	grid 0x0d5, rcr A, cl
	grid 0x8c5, shl A, 1
	grid 0x8c5, shr A, 1
	grid 0x8c5, sar A, 1
	grid 0x8d5, rol A, 1
	grid 0x8d5, ror A, 1
	grid 0x8d5, rcl A, 1
	grid 0x8d5, rcr A, 1
	grid 0x0c5, shl A, 5
	grid 0x0c5, shr SIZE [memory], 5
	grid 0x0c5, sar A, 5
	grid 0x0d5, rcl SIZE [memory], 5
	grid 0x0d5, rcr A, 5
	grid 0x8d5, setb al
%endmacro
%define D8L dl
%define D16L dx
%define D32L edx
%define D64L rdx
; What 8-bit operands do not have.
%macro wide 1
%define A A%1
%define B B%1
%define SIZE SIZE%1
	grid 0x801, imul A, B
	grid 0x801, imul A, B, 0x35
	grid 0x801, imul A, SIZE [memory], 0x1234
	grid 0x0c5, shld A, B, 5
	grid 0x0c5, shrd A, B, 5
	grid 0x8c5, shld A, B, 1
	grid 0x8c5, shrd SIZE [memory], A, 1
	grid 0x041, bt A, B
	grid 0x041, bts A, B
	grid 0x041, btr A, B
	grid 0x041, btc A, B
	grid 0x041, btc SIZE [memory], 3
%if BITS != 64 || %1 != 32		; of zero: whether the upper half is cleared is open
	grid 0x040, bsf A, B
	grid 0x040, bsr A, B
%endif
	grid 0x8d5, cmovl A, B
	grid 0x8d5, cmova A, SIZE [memory]
	grid 0x8d5, lea A, [memory + 5]
	grid 0x8d5, movsx A, bl
	grid 0x8d5, movzx A, byte [memory + 1]
%endmacro
%macro condition 1-*
%rep %0
	grid 0x8d5, set%1 al
	grid 0x8d5, cmov%1 eax, ebx
%rotate 1
%endrep
%endmacro
	sized 8
	sized 16
	sized 32
	wide 16
	wide 32
	grid 0x0c4, shld eax, ebx, cl
	grid 0x0c4, shrd eax, ebx, cl
	grid 0x8d5, bswap eax
	grid 0x8d5, movsx eax, bx
	grid 0x8d5, cbw
	grid 0x8d5, cwde
	grid 0x8d5, cwd
	grid 0x8d5, cdq
	grid 0x8d5, lahf
	grid 0x8d5, sahf
	grid 0x8d5, cmc
	grid 0x8d5, stc
	grid 0x8d5, lock cmpxchg8b [memory]
	condition o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g
%if BITS == 64
	sized 64
	wide 64
	grid 0x8d5, bswap rax
	grid 0x8d5, cdqe
	grid 0x8d5, cqo
	grid 0x8d5, movsxd rax, ebx
	grid 0x0c4, shld rax, rbx, cl
	grid 0x0c4, shrd rax, rbx, cl
%else
	grid 0x0d5, daa
	grid 0x0d5, das
	grid 0x011, aaa
	grid 0x011, aas
	grid 0x0c4, aam
	grid 0x0c4, aad
	grid 0x0c4, aam 7
	grid 0x0c4, aad 0x83
	grid 0x8d5, salc
%endif
	success

%macro mix 1
	rol edi, 5
	xor edi, %1
	imul edi, edi, 0x01000193
%endmacro
%if BITS == 64
%define WIDE(r) r %+ _64
%define a_64 rax
%define b_64 rbx
%define c_64 rcx
%define d_64 rdx
%else
%define WIDE(r) r %+ _32
%define a_32 eax
%define b_32 ebx
%define c_32 ecx
%define d_32 edx
%endif
run:
	mov edi, 0x811c9dc5
	mov dword [first], 0
.first:
	mov dword [second], 0
.second:
	mov dword [carry], 2
.carry:
	mov ebx, [first]
	mov WIDE(a), [values + ebx * 8]
	mov ebx, [second]
	mov WIDE(b), [values + ebx * 8]
	mov [memory], WIDE(b)
	mov dword [memory + 8], 0x13579bdf
	mov WIDE(c), WIDE(b)
	mov edx, 0x2468ace0
	xor WIDE(d), WIDE(a)
	push POINTER [carry]
	POPF
	call POINTER [op]
	PUSHF
	pop POINTER [flags]
	mix eax
	mix ebx
	mix edx
%if BITS == 64
	shr rax, 32
	shr rbx, 32
	shr rdx, 32
	mix eax
	mix ebx
	mix edx
%endif
	mix dword [memory]
	mix dword [memory + 4]
	movzx eax, word [flags]
	and ax, [mask]
	mix eax
	xor dword [carry], 0x8d5
	cmp dword [carry], 2
	jne .carry
	inc dword [second]
	cmp dword [second], VALUES
	jb .second
	inc dword [first]
	cmp dword [first], VALUES
	jb .first
	mov ebx, edi
	call print_hex
	ret
; A division that raises #DE: as if it were not there
on_divide:
%if BITS == 16
	push bp
	mov bp, sp
	mov word [bp + 2], divided
	pop bp
	iret
%elif BITS == 32
	mov dword [esp], divided
	iretd
%else
	mov qword [rsp], divided
	iretq
%endif
divided:
	ret
align 8
values:
	dq 0, 1, 2, 7, 0x1f, 0x20, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x12345678, 0x7fffffff, 0x80000000
	dq 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x123456789abcdef0
VALUES equ ($ - values) / 8
memory:	dq 0, 0
first:	dd 0
second:	dd 0
carry:	dd 0, 0
flags:	dd 0, 0
op:	dd 0, 0
mask:	dw 0
%if BITS == 16
	hex_printer
failed:
	failure_code
%else
	frame
%endif
