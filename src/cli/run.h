/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run.h: the commands above the plain ones: run, shell, cp, top, apply. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "cli/verb.h"

extern const struct cli_option run_options[], shell_options[], cp_options[], top_options[],
	apply_options[];
int run_run(struct cli *c, GError **error);
int shell_run(struct cli *c, GError **error);
int cp_run(struct cli *c, GError **error);
int top_run(struct cli *c, GError **error);
int apply_run(struct cli *c, GError **error);

#endif
