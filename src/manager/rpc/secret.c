/* SPDX-License-Identifier: GPL-2.0-or-later */
/* secret.c: none yet. */
#include "manager/rpc/dispatch.h"

const struct rpc_procedure rpc_secret_procedures[] = { {} };
