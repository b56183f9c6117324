/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.h: the commands of `lodge image`: a file each, and what they share (image_common.c). */
#ifndef CLI_IMAGE_H
#define CLI_IMAGE_H

#include "cli/verb.h"
#include "image/image.h"

extern const struct cli_option image_info_options[];
int image_info_run(struct cli *c, GError **error);

#endif
