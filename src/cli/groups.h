/* SPDX-License-Identifier: GPL-2.0-or-later */
/* groups.h: the groups of commands, each in a file of its own; groups.c lists them. */
#ifndef CLI_GROUPS_H
#define CLI_GROUPS_H

#include "cli/verb.h"

extern const struct cli_group cli_general, cli_host, cli_image, cli_machines, cli_networks,
	cli_pools, cli_quick, cli_snapshots, cli_volumes;

#endif
