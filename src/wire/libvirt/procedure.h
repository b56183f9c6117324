/* SPDX-License-Identifier: GPL-2.0-or-later */
/* procedure.h: what is known of a procedure of libvirt's protocol. */
#ifndef WIRE_LIBVIRT_PROCEDURE_H
#define WIRE_LIBVIRT_PROCEDURE_H

#include "wire/xdr.h"

enum wire_stream { WIRE_STREAM_NONE, WIRE_STREAM_OUT, WIRE_STREAM_IN, WIRE_STREAM_BOTH };

struct wire_procedure {
	uint32_t number;
	const char *name;            /* "domain_create" */
	const struct xdr_type *args; /* of an event: its message; NULL: none */
	const struct xdr_type *ret;  /* NULL: none */
	enum wire_stream stream;     /* as the client sees it: OUT is a download */
	bool fast;                   /* waits for no guest and no disk */
	bool event;                  /* to the client, never called */
};

#endif
