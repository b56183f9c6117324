/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_rig.h: what the tests of disk images share: a folder, shell commands, opened images. */
#ifndef TESTS_IMAGE_RIG_H
#define TESTS_IMAGE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include "image/image.h"
#include "image/spec.h"

/* A folder of its own for the program, removed by rig_stop(). */
int rig_start(void **state);
int rig_stop(void **state);
const char *rig_dir(void);
/* A path in it, kept until the end. */
const char *rig_path(const char *name);

/* Exit status of a shell command run in the folder; qemu-io's failed verifications count as 1. */
int sh(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void sh_ok(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* options: "a=b,c=d" or NULL. */
void make_image(const char *path, const char *format, uint64_t size, const char *options,
	const char *backing, const char *backing_format);
struct image *open_image(const struct image_options *o);
struct image *open_rw(const char *path, const char *format);
struct image *open_ro(const char *path, const char *format);
/* Our own check finds nothing, neither corruption nor leak. */
void check_clean(const char *path, const char *format);

/* 64-bit pseudo random numbers, reproducible. */
uint64_t rig_random(uint64_t *state);

#endif
