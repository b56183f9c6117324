/* SPDX-License-Identifier: GPL-2.0-or-later */
/* network.c: none yet. */
#include "manager/rpc/dispatch.h"

const struct rpc_procedure rpc_network_procedures[] = { {} };
