/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot.c: none yet. */
#include "manager/rpc/dispatch.h"

const struct rpc_procedure rpc_snapshot_procedures[] = { {} };
