/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_device.c: none yet. */
#include "manager/rpc/dispatch.h"

const struct rpc_procedure rpc_domain_device_procedures[] = { {} };
