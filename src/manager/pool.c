/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool.c: none yet. */
#include "manager/pool.h"

struct pools { int none; };

struct pools *pools_new(struct manager *m, GError **error)
{
	return g_new0(struct pools, 1);
}

void pools_free(struct pools *d)
{
	g_free(d);
}
