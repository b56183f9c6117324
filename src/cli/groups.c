/* SPDX-License-Identifier: GPL-2.0-or-later */
/* groups.c: the table of all groups of commands, in the order help shows them. */
#include "cli/groups.h"

const struct cli_group *const cli_groups[] = {
	&cli_quick,
	&cli_machines,
	&cli_snapshots,
	&cli_networks,
	&cli_pools,
	&cli_volumes,
	&cli_host,
	&cli_image,
	&cli_general,
	NULL,
};
