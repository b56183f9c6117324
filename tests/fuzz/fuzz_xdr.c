/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_xdr.c: libFuzzer target: the first two bytes choose a procedure, the rest are its arguments or results.
 * What decodes must encode, to something that decodes to the same.
 */
#include "input.h"
#include "wire/libvirt/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned choice = (unsigned)in_get(&in, 2);
	const struct wire_procedure *p = &remote_procedures[(choice >> 1) % remote_procedure_count];
	const struct xdr_type *type = choice & 1 && p->ret ? p->ret : p->args;
	g_autoptr(GByteArray) first = g_byte_array_new(), second = g_byte_array_new();
	g_autofree void *object = type ? g_malloc0(type->size) : NULL;

	if (!type || xdr_decode(type, object, in.p, in.left, NULL, NULL) < 0)
		return 0;
	if (xdr_encode(type, object, first, 64 << 20, NULL) < 0)
		__builtin_trap();
	xdr_clear(type, object);
	if (xdr_decode(type, object, first->data, first->len, NULL, NULL) < 0 ||
	    xdr_encode(type, object, second, 64 << 20, NULL) < 0)
		__builtin_trap();
	xdr_clear(type, object);
	if (first->len != second->len || memcmp(first->data, second->data, first->len) != 0)
		__builtin_trap();
	return 0;
}
