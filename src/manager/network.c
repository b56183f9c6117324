/* SPDX-License-Identifier: GPL-2.0-or-later */
/* network.c: none yet. */
#include "manager/network.h"

struct networks { int none; };

struct networks *networks_new(struct manager *m, GError **error)
{
	return g_new0(struct networks, 1);
}

void networks_free(struct networks *d)
{
	g_free(d);
}
