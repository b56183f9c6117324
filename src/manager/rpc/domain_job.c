/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_job.c: none yet. */
#include "manager/rpc/dispatch.h"

const struct rpc_procedure rpc_domain_job_procedures[] = { {} };
