/* SPDX-License-Identifier: GPL-2.0-or-later */
/* node_device.c: none yet. */
#include "manager/rpc/dispatch.h"

const struct rpc_procedure rpc_node_device_procedures[] = { {} };
