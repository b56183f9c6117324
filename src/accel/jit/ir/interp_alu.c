/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interp_alu.c: integer operations and their flags, computed from the definitions and not by the
 * host's instructions. Spec: SDM vol. 1, 3.4.3.1; vol. 2.
 */
#include "accel/jit/ir/interp.h"

enum { CF = 1 << 0, PF = 1 << 2, AF = 1 << 4, ZF = 1 << 6, SF = 1 << 7, OF = 1 << 11 };

uint64_t ir_flag_bits(uint8_t irfl)
{
	return (irfl & IRFL_CF ? CF : 0) | (irfl & IRFL_PF ? PF : 0) | (irfl & IRFL_AF ? AF : 0) |
	       (irfl & IRFL_ZF ? ZF : 0) | (irfl & IRFL_SF ? SF : 0) | (irfl & IRFL_OF ? OF : 0);
}

bool ir_cond_true(unsigned cond, uint64_t f)
{
	bool c = f & CF, z = f & ZF, s = f & SF, o = f & OF, p = f & PF, r;

	switch (cond >> 1) {
	case 0: r = o; break;
	case 1: r = c; break;
	case 2: r = z; break;
	case 3: r = c || z; break;
	case 4: r = s; break;
	case 5: r = p; break;
	case 6: r = s != o; break;
	default: r = z || s != o; break;
	}
	return r != (cond & 1);
}

static uint64_t width_mask(unsigned size)
{
	return size == 8 ? UINT64_MAX : (1ull << size * 8) - 1;
}

static int64_t sign_extend(uint64_t v, unsigned size)
{
	unsigned shift = 64 - size * 8;

	return (int64_t)(v << shift) >> shift;
}

/* ZF, SF, PF of a result */
static uint64_t result_flags(uint64_t r, unsigned size)
{
	uint64_t f = 0;

	r &= width_mask(size);
	if (!r)
		f |= ZF;
	if (r >> (size * 8 - 1))
		f |= SF;
	if (!(__builtin_popcountll(r & 0xff) & 1))
		f |= PF;
	return f;
}

static uint64_t add_flags(uint64_t a, uint64_t b, uint64_t r, unsigned size)
{
	uint64_t f = result_flags(r, size), carries = (a & b) | ((a | b) & ~r);

	if (carries >> (size * 8 - 1) & 1)
		f |= CF;
	if (carries >> 3 & 1)
		f |= AF;
	if ((a ^ r) & (b ^ r) & 1ull << (size * 8 - 1))
		f |= OF;
	return f;
}

static uint64_t sub_flags(uint64_t a, uint64_t b, uint64_t r, unsigned size)
{
	uint64_t f = result_flags(r, size), borrows = (~a & b) | (~(a ^ b) & r);

	if (borrows >> (size * 8 - 1) & 1)
		f |= CF;
	if (borrows >> 3 & 1)
		f |= AF;
	if ((a ^ b) & (a ^ r) & 1ull << (size * 8 - 1))
		f |= OF;
	return f;
}

/* Shifts and rotates. *keep: the count was zero, flags stay. */
static uint64_t shift(unsigned code, unsigned size, uint64_t a, unsigned n, uint64_t *f, bool *keep)
{
	unsigned bits = size * 8;
	uint64_t mask = width_mask(size), r = a, top = 1ull << (bits - 1), cf = *f & CF ? 1 : 0;

	n &= size == 8 ? 63 : 31;
	*keep = !n;
	if (!n)
		return a;
	switch (code) {
	case IR_SHL:
		r = n < 64 ? a << n : 0;
		cf = n <= bits ? a >> (bits - n) & 1 : 0;
		*f = result_flags(r, size) | cf | ((!!(r & top) != cf) ? OF : 0);
		break;
	case IR_SHR:
		r = n < bits ? a >> n : 0;
		cf = n <= bits ? a >> (n - 1) & 1 : 0;
		*f = result_flags(r, size) | cf | (a & top ? OF : 0);
		break;
	case IR_SAR:
		r = (uint64_t)(sign_extend(a, size) >> (n < 63 ? n : 63));
		cf = (uint64_t)(sign_extend(a, size) >> (n - 1)) & 1;
		*f = result_flags(r, size) | cf;
		break;
	case IR_ROL:
		n %= bits;
		r = n ? (a << n | a >> (bits - n)) & mask : a;
		*f = (*f & ~(uint64_t)(CF | OF)) | (r & 1) | (!!(r & top) != (r & 1) ? OF : 0);
		break;
	case IR_ROR:
		n %= bits;
		r = n ? (a >> n | a << (bits - n)) & mask : a;
		*f = (*f & ~(uint64_t)(CF | OF)) | (r & top ? CF : 0) |
		     ((r ^ r << 1) & top ? OF : 0);
		break;
	default: /* RCL, RCR: bit by bit through the carry */
		n %= bits + 1;
		*keep = !n;
		for (unsigned i = 0; i < n; i++) {
			uint64_t out = code == IR_RCL ? !!(r & top) : r & 1;

			r = code == IR_RCL ? (r << 1 | cf) & mask : r >> 1 | (cf ? top : 0);
			cf = out;
		}
		*f = (*f & ~(uint64_t)(CF | OF)) | cf;
		if (code == IR_RCL ? !!(r & top) != cf : !!((r ^ r << 1) & top))
			*f |= OF;
		break;
	}
	return r;
}

/* The pair a:b shifted by c (count already known to be modulo 32 or 64) */
static uint64_t shift_pair(
	unsigned code, unsigned size, uint64_t a, uint64_t b, unsigned n, uint64_t *f, bool *keep)
{
	unsigned bits = size * 8;
	uint64_t r = a, cf = 0, top = 1ull << (bits - 1);

	n &= size == 8 ? 63 : 31;
	*keep = !n;
	for (unsigned i = 0; i < n; i++) {
		/* for 16-bit operands shifted further than 16 the manuals leave the result open;
		 * processors shift in the destination again */
		if (i && i % bits == 0)
			b = a;
		if (code == IR_SHLD) {
			cf = !!(r & top);
			r = r << 1 | (b >> (bits - 1 - i % bits) & 1);
		} else {
			cf = r & 1;
			r = (r & width_mask(size)) >> 1 | (b >> i % bits & 1 ? top : 0);
		}
	}
	*f = result_flags(r, size) | cf | ((a ^ r) & top ? OF : 0);
	return r;
}

static uint64_t imul(uint64_t a, uint64_t b, unsigned size, uint64_t *f)
{
	__int128 p = (__int128)sign_extend(a, size) * sign_extend(b, size);
	uint64_t r = (uint64_t)p;

	*f = result_flags(r, size);
	if (p != sign_extend(r, size))
		*f |= CF | OF;
	return r;
}

static uint64_t bit_op(unsigned code, unsigned size, uint64_t a, uint64_t b, uint64_t *f)
{
	uint64_t bit = 1ull << (b & (size * 8 - 1));

	*f = (*f & ~(uint64_t)CF) | (a & bit ? CF : 0);
	switch (code) {
	case IR_BTS: return a | bit;
	case IR_BTR: return a & ~bit;
	case IR_BTC: return a ^ bit;
	default: return a;
	}
}

/* BSF, BSR; c is what the destination keeps if there is no bit */
static uint64_t scan(unsigned code, uint64_t a, uint64_t c)
{
	if (!a)
		return c;
	return (uint64_t)(code == IR_BSF ? __builtin_ctzll(a) : 63 - __builtin_clzll(a));
}

uint64_t ir_alu(unsigned code, unsigned size, uint64_t a, uint64_t b, uint64_t c, uint64_t *flags,
	uint8_t fout)
{
	uint64_t mask = width_mask(size), full = a, f = *flags, r = 0, cin = f & CF ? 1 : 0;
	bool keep = false;

	a &= mask;
	if (code < IR_SHL || code > IR_BTC)
		b &= mask;
	switch (code) {
	case IR_ADD:
		r = a + b;
		f = add_flags(a, b, r, size);
		break;
	case IR_ADC:
		r = a + b + cin;
		f = add_flags(a, b, r, size);
		break;
	case IR_CMP:
	case IR_SUB:
		r = a - b;
		f = sub_flags(a, b, r, size);
		break;
	case IR_SBB:
		r = a - b - cin;
		f = sub_flags(a, b, r, size);
		break;
	case IR_TEST:
	case IR_AND:
		r = a & b;
		f = result_flags(r, size);
		break;
	case IR_OR:
		r = a | b;
		f = result_flags(r, size);
		break;
	case IR_XOR:
		r = a ^ b;
		f = result_flags(r, size);
		break;
	case IR_INC:
		r = a + 1;
		f = (f & CF) | (add_flags(a, 1, r, size) & ~(uint64_t)CF);
		break;
	case IR_DEC:
		r = a - 1;
		f = (f & CF) | (sub_flags(a, 1, r, size) & ~(uint64_t)CF);
		break;
	case IR_NEG:
		r = 0 - a;
		f = sub_flags(0, a, r, size);
		break;
	case IR_NOT: r = ~a; break;
	case IR_IMUL: r = imul(a, b, size, &f); break;
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
	case IR_ROL:
	case IR_ROR:
	case IR_RCL:
	case IR_RCR: r = shift(code, size, a, (unsigned)b & 0xff, &f, &keep); break;
	case IR_SHLD:
	case IR_SHRD: r = shift_pair(code, size, a, b & mask, (unsigned)c & 0xff, &f, &keep); break;
	case IR_BT:
	case IR_BTS:
	case IR_BTR:
	case IR_BTC: r = bit_op(code, size, a, b, &f); break;
	case IR_BSF:
	case IR_BSR:
		*flags = (*flags & ~(ir_flag_bits(fout) & ZF)) | (a ? 0 : ir_flag_bits(fout) & ZF);
		return scan(code, a, c);
	case IR_MUL: r = a * b; break;
	case IR_UMULH: r = (uint64_t)((unsigned __int128)a * b >> size * 8); break;
	case IR_SMULH:
		r = (uint64_t)((__int128)sign_extend(a, size) * sign_extend(b, size) >> size * 8);
		break;
	case IR_UDIV: r = b ? a / b : 0; break;
	case IR_SDIV: r = b ? (uint64_t)(sign_extend(a, size) / sign_extend(b, size)) : 0; break;
	case IR_BSWAP: r = size == 8 ? __builtin_bswap64(a) : __builtin_bswap32((uint32_t)a); break;
	default: r = full; break;
	}
	if (!keep)
		*flags = (*flags & ~ir_flag_bits(fout)) | (f & ir_flag_bits(fout));
	return r & mask;
}

static uint64_t mul_flags(bool overflow, uint64_t low, unsigned size)
{
	return result_flags(low, size) | (overflow ? CF | OF : 0);
}

static void put(uint64_t *reg, unsigned size, uint64_t v)
{
	if (size == 8)
		*reg = v;
	else if (size == 4)
		*reg = (uint32_t)v;
	else
		*reg = (*reg & ~width_mask(size)) | (v & width_mask(size));
}

static bool divide(bool is_signed, unsigned size, uint64_t a, uint64_t *ax, uint64_t *dx)
{
	uint64_t mask = width_mask(size), quotient, remainder;
	unsigned bits = size * 8;
	unsigned __int128 n =
		size == 1 ? *ax & 0xffff : (unsigned __int128)(*dx & mask) << bits | (*ax & mask);

	a &= mask;
	if (!a)
		return false;
	if (is_signed) {
		/* the dividend has twice the width: sign-extend it from there */
		__int128 sn = (__int128)(n << (128 - 2 * bits)) >> (128 - 2 * bits);
		int64_t d = sign_extend(a, size);
		__int128 q;

		if (size == 8 && d == -1 && n == (unsigned __int128)1 << 127)
			return false; /* C could not do that division */
		q = sn / d;
		if (q != sign_extend((uint64_t)q, size))
			return false;
		quotient = (uint64_t)q;
		remainder = (uint64_t)(sn % d);
	} else {
		unsigned __int128 q = n / a;

		if (q > mask)
			return false;
		quotient = (uint64_t)q;
		remainder = (uint64_t)(n % a);
	}
	if (size == 1) {
		put(ax, 2, (quotient & 0xff) | (remainder & 0xff) << 8);
	} else {
		put(ax, size, quotient);
		put(dx, size, remainder);
	}
	return true;
}

bool ir_muldiv(unsigned code, unsigned size, uint64_t a, uint64_t *ax, uint64_t *dx,
	uint64_t *flags, uint8_t fout)
{
	uint64_t mask = width_mask(size), f;
	unsigned bits = size * 8;
	unsigned __int128 p;
	bool overflow;

	if (code == IR_DIVX86 || code == IR_IDIVX86)
		return divide(code == IR_IDIVX86, size, a, ax, dx);
	if (code == IR_MULX86) {
		p = (unsigned __int128)(*ax & mask) * (a & mask);
		overflow = p >> bits;
	} else {
		__int128 s = (__int128)sign_extend(*ax, size) * sign_extend(a, size);

		p = (unsigned __int128)s;
		overflow = s != sign_extend((uint64_t)s, size);
	}
	f = mul_flags(overflow, (uint64_t)p, size);
	*flags = (*flags & ~ir_flag_bits(fout)) | (f & ir_flag_bits(fout));
	if (size == 1) {
		put(ax, 2, (uint64_t)p);
	} else {
		put(ax, size, (uint64_t)p);
		put(dx, size, (uint64_t)(p >> bits));
	}
	return true;
}
