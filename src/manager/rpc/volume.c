/* SPDX-License-Identifier: GPL-2.0-or-later */
/* volume.c: none yet. */
#include "manager/rpc/dispatch.h"

const struct rpc_procedure rpc_volume_procedures[] = { {} };
